//! A message as it was on the wire, without its document: what stood around it, and how the document's text was laid out.
//! With the document's bytes the message can be written again, byte for byte.
//!
//! Works beneath XML: any run of base64 behind a `>` that is longer than [`RUN_MIN`] is taken for the document. Of one that is
//! laid out irregularly beyond bounds only the size is kept, and [`Sobre::motivo`] says why.
//!
//! The layout and the document's digest determine the message, so it is not hashed besides: that would be the dearest part
//! of receiving it. A CRC of what came lets whoever writes it again see that nothing was noted wrongly.

use base64_simd::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{scratch, writer::Message};

/// Shortest run of base64 taken for a document, in bytes.
const RUN_MIN: usize = 2048;
/// Most bytes kept of what stands around the document, and most stretches of one layout.
const TEXT_MAX: usize = 256 * 1024;
const STRETCHES_MAX: usize = 512;
/// Longest separator between two lines, in bytes: a line's end as character references, and indentation.
const SEPARATOR_MAX: usize = 128;
/// How far into a document `%PDF` may stand, in bytes ([`super::base64`] decides alike).
const SNIFF_BYTES: usize = 1024;

/// A message as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sobre {
    /// CRC32C of the whole message, where it was read to its end.
    pub crc32c: Option<u32>,
    pub bytes: u64,
    pub partes: Vec<Parte>,
    /// Why the message cannot be written again from its parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motivo: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parte {
    Texto(String),
    /// Bytes that are no UTF-8, in base64.
    Bytes(String),
    /// The document, under these layers of base64, the outermost first.
    Documento(Vec<Trazo>),
    /// So many bytes of a document whose layout was not kept.
    Omitido(u64),
}

/// How one layer of base64 was laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trazo {
    /// Stretches of lines: characters in each, what stands behind each, how many of them follow each other.
    pub lineas: Vec<(u64, String, u64)>,
    /// Whether `=` filled the last four characters.
    pub relleno: bool,
}

impl From<&Message> for Sobre {
    /// A message of ours, before it is sent.
    fn from(message: &Message) -> Self {
        match message.document_len {
            Some(bytes) => Self::enviado(&message.before, &message.after, bytes),
            None => {
                let mut capture = Capture::default();
                capture.push(&message.before);
                capture.push(&message.after);
                capture.finish(true)
            }
        }
    }
}

impl Sobre {
    /// A message that is written with its document encoded twice, without line breaks: as we send.
    pub fn enviado(before: &[u8], after: &[u8], document_bytes: u64) -> Self {
        let once = |n: u64| n.div_ceil(3).saturating_mul(4);
        let layer = |n| Trazo { lineas: vec![(n, String::new(), 1)], relleno: true };
        let (inner, outer) = (once(document_bytes), once(once(document_bytes)));
        let bytes = before.len() as u64 + outer + after.len() as u64;
        let document = Parte::Documento(vec![layer(outer), layer(inner)]);
        Self { crc32c: None, bytes, partes: vec![literal(before), document, literal(after)], motivo: None }
    }
}

fn literal(bytes: &[u8]) -> Parte {
    match std::str::from_utf8(bytes) {
        Ok(text) => Parte::Texto(text.to_owned()),
        Err(_) => Parte::Bytes(STANDARD.encode_to_string(bytes)),
    }
}

/// Takes in a message as its bytes come.
#[derive(Default)]
pub struct Capture {
    crc32c: u32,
    bytes: u64,
    parts: Vec<Parte>,
    text: Vec<u8>,
    texts: usize,
    /// Bytes behind a `>` that may be the beginning of the document.
    candidate: Option<Vec<u8>>,
    document: Option<Document>,
    seen: bool,
    irregular: bool,
    failed: Option<&'static str>,
}

/// The document that is being taken in: its layout as long as it is regular, and its size on the wire.
struct Document {
    outer: Option<Outer>,
    bytes: u64,
}

impl Document {
    fn push(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        if self.outer.as_mut().is_some_and(|outer| outer.push(text).is_none()) {
            self.outer = None;
        }
    }
}

impl Capture {
    pub fn push(&mut self, mut piece: &[u8]) {
        self.crc32c = crc32c::crc32c_append(self.crc32c, piece);
        self.bytes += piece.len() as u64;
        while !piece.is_empty() && self.failed.is_none() {
            piece = self.step(piece);
        }
    }

    /// Takes some of the piece; what is left of it.
    fn step<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if self.document.is_some() {
            let end = memchr::memchr(b'<', piece).unwrap_or(piece.len());
            let (now, later) = piece.split_at(end);
            if let Some(document) = &mut self.document {
                document.push(now);
            }
            if !later.is_empty() {
                self.end_document();
            }
            return later;
        }
        if let Some(mut candidate) = self.candidate.take() {
            let end = piece.iter().position(|b| !in_run(*b)).unwrap_or(piece.len());
            let (now, later) = piece.split_at(end.min(RUN_MIN.saturating_sub(candidate.len())));
            candidate.extend_from_slice(now);
            if candidate.len() >= RUN_MIN {
                self.begin_document(&candidate);
            } else if later.is_empty() {
                self.candidate = Some(candidate);
            } else {
                self.keep(&candidate);
            }
            return later;
        }
        let end = memchr::memchr(b'>', piece).map_or(piece.len(), |at| at + 1);
        let (now, later) = piece.split_at(end);
        self.keep(now);
        if now.ends_with(b">") {
            self.candidate = Some(Vec::new());
        }
        later
    }

    fn keep(&mut self, text: &[u8]) {
        self.texts += text.len();
        if self.texts > TEXT_MAX {
            self.failed = Some("lo que rodea al documento es demasiado largo");
        } else {
            self.text.extend_from_slice(text);
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(literal(&self.text));
            self.text.clear();
        }
    }

    fn begin_document(&mut self, beginning: &[u8]) {
        if std::mem::replace(&mut self.seen, true) {
            self.failed = Some("trae más de un documento en base64");
            return;
        }
        self.flush();
        let mut document = Document { outer: Some(Outer::default()), bytes: 0 };
        document.push(beginning);
        self.document = Some(document);
    }

    fn end_document(&mut self) {
        let Some(Document { outer, bytes }) = self.document.take() else { return };
        let layers = outer.and_then(Outer::finish);
        self.irregular |= layers.is_none();
        self.parts.push(layers.map_or(Parte::Omitido(bytes), Parte::Documento));
    }

    /// `whole`: what was given is the whole message.
    pub fn finish(mut self, whole: bool) -> Sobre {
        if let Some(candidate) = self.candidate.take() {
            self.keep(&candidate);
        }
        self.end_document();
        self.flush();
        let irregular = self.irregular.then_some("la disposición del documento en base64 es irregular");
        let partes = if self.failed.is_some() { Vec::new() } else { self.parts };
        let motivo = self.failed.or(irregular).map(str::to_owned);
        Sobre { crc32c: whole.then_some(self.crc32c), bytes: self.bytes, partes, motivo }
    }
}

fn in_run(b: u8) -> bool {
    is_data(b) || matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'&' | b'#' | b';')
}

fn is_data(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=')
}

/// The outer layer, and what is found in it.
#[derive(Default)]
struct Outer {
    layer: Layer,
    /// First bytes under the outer layer, until it is clear whether there is an inner one.
    head: Vec<u8>,
    inner: Inner,
}

#[derive(Default)]
enum Inner {
    #[default]
    Unknown,
    None,
    Some(Box<Layer>),
}

impl Outer {
    /// `None`: cannot be kept.
    fn push(&mut self, text: &[u8]) -> Option<()> {
        scratch::with(|decoded| {
            self.layer.push(text, Some(decoded))?;
            self.under(decoded)
        })
    }

    /// Bytes that came out of the outer layer.
    fn under(&mut self, decoded: &[u8]) -> Option<()> {
        match &mut self.inner {
            Inner::None => Some(()),
            Inner::Some(inner) => inner.push(decoded, None),
            Inner::Unknown => {
                self.head.extend_from_slice(decoded);
                if self.head.len() < SNIFF_BYTES { Some(()) } else { self.decide() }
            }
        }
    }

    fn decide(&mut self) -> Option<()> {
        let head = std::mem::take(&mut self.head);
        let window = head.get(..SNIFF_BYTES + 4).unwrap_or(&head);
        if memchr::memmem::find(window, b"%PDF").is_some() {
            self.inner = Inner::None;
            return Some(());
        }
        let mut layer = Box::<Layer>::default();
        layer.push(&head, None)?;
        self.inner = Inner::Some(layer);
        Some(())
    }

    fn finish(mut self) -> Option<Vec<Trazo>> {
        let mut decoded = Vec::new();
        let outer = std::mem::take(&mut self.layer).finish(&mut decoded)?;
        self.under(&decoded)?;
        if matches!(self.inner, Inner::Unknown) {
            self.decide()?;
        }
        match self.inner {
            Inner::Some(inner) => Some(vec![outer, inner.finish(&mut Vec::new())?]),
            _ => Some(vec![outer]),
        }
    }
}

/// One layer of base64: remembers how it was laid out, and takes it off for whom wants what is beneath. What is beneath the
/// inner layer is the document, which others decode and refuse if it is none.
#[derive(Default)]
struct Layer {
    lines: Vec<(u64, String, u64)>,
    /// Characters in the line so far, and the separator that has begun behind it.
    line: u64,
    separator: String,
    /// The last characters: four to seven, which may be filled up, once there are as many.
    clean: Vec<u8>,
}

impl Layer {
    fn push(&mut self, mut text: &[u8], mut out: Option<&mut Vec<u8>>) -> Option<()> {
        while let Some((first, later)) = text.split_first() {
            if self.separator.is_empty() {
                let (now, rest) = text.split_at(next_separator(text));
                self.take(now, out.as_deref_mut())?;
                self.line += now.len() as u64;
                text = rest;
                if let Some((first, rest)) = text.split_first() {
                    self.separator.push(char::from(*first));
                    text = rest;
                }
            } else if self.ends_separator(*first) {
                self.end_line()?;
            } else if first.is_ascii() && self.separator.len() < SEPARATOR_MAX {
                self.separator.push(char::from(*first));
                text = later;
            } else {
                return None;
            }
        }
        Some(())
    }

    /// Whether this byte belongs to the line behind the separator.
    fn ends_separator(&self, b: u8) -> bool {
        let behind = self.separator.rsplit_once('&').map(|(_, behind)| behind);
        let open = behind.is_some_and(|reference| !reference.contains(';'));
        !open && is_data(b)
    }

    fn end_line(&mut self) -> Option<()> {
        let (line, separator) = (std::mem::take(&mut self.line), std::mem::take(&mut self.separator));
        match self.lines.last_mut() {
            Some((last, same, times)) if *last == line && *same == separator => *times += 1,
            _ => self.lines.push((line, separator, 1)),
        }
        (self.lines.len() <= STRETCHES_MAX).then_some(())
    }

    /// Decodes all but the last characters, where they lie.
    fn take(&mut self, run: &[u8], out: Option<&mut Vec<u8>>) -> Option<()> {
        let kept = self.clean.len();
        let whole = (kept + run.len()).saturating_sub(4) & !3;
        if whole < kept {
            self.clean.extend_from_slice(run);
            if let Some(out) = out {
                STANDARD_NO_PAD.decode_append(self.clean.get(..whole)?, out).ok()?;
            }
            self.clean.drain(..whole);
            return Some(());
        }
        // What was kept is filled up to whole fours by the run's first characters.
        let (first, rest) = run.split_at_checked((4 - kept % 4) % 4)?;
        let (plain, last) = rest.split_at_checked(whole.checked_sub(kept + first.len())?)?;
        self.clean.extend_from_slice(first);
        if let Some(out) = out {
            out.reserve(whole / 4 * 3);
            STANDARD_NO_PAD.decode_append(&self.clean, out).ok()?;
            STANDARD_NO_PAD.decode_append(plain, out).ok()?;
        }
        self.clean.clear();
        self.clean.extend_from_slice(last);
        Some(())
    }

    fn finish(mut self, out: &mut Vec<u8>) -> Option<Trazo> {
        if self.line > 0 || !self.separator.is_empty() {
            self.end_line()?;
        }
        let filled = self.clean.ends_with(b"=");
        let last =
            if filled { STANDARD.decode_to_vec(&self.clean) } else { STANDARD_NO_PAD.decode_to_vec(&self.clean) };
        let last = last.ok()?;
        let relleno = filled || last.len() % 3 == 0;
        // Bits that say nothing may be set: what would not be written so again can't be kept.
        let again = if relleno { STANDARD.encode_to_string(&last) } else { STANDARD_NO_PAD.encode_to_string(&last) };
        if again.as_bytes() != self.clean {
            return None;
        }
        out.extend_from_slice(&last);
        Some(Trazo { lineas: self.lines, relleno })
    }
}

/// Where the next byte stands that is no base64: whitespace or a reference.
fn next_separator(text: &[u8]) -> usize {
    let white = memchr::memchr3(b'\n', b'\r', b' ', text).unwrap_or(text.len());
    let other = memchr::memchr2(b'&', b'\t', text.get(..white).unwrap_or(text));
    other.unwrap_or(white)
}

/// Takes bytes, piece by piece.
pub type Taker<'a> = dyn FnMut(&[u8]) + 'a;

/// Writes a message again: `document` gives the document's bytes piece by piece, `out` takes the message's.
pub fn rebuild(sobre: &Sobre, document: &mut dyn FnMut(&mut Taker<'_>), out: &mut Taker<'_>) -> Option<()> {
    for part in &sobre.partes {
        match part {
            Parte::Texto(text) => out(text.as_bytes()),
            Parte::Bytes(text) => out(&STANDARD.decode_to_vec(text).ok()?),
            Parte::Omitido(_) => return None,
            Parte::Documento(layers) => {
                let mut encoders: Vec<Encoder<'_>> = layers.iter().rev().map(Encoder::new).collect();
                document(&mut |piece| {
                    let mut bytes = piece.to_vec();
                    for encoder in &mut encoders {
                        bytes = encoder.push(&bytes, false);
                    }
                    out(&bytes);
                });
                let mut rest = Vec::new();
                for encoder in &mut encoders {
                    rest = encoder.push(&rest, true);
                }
                out(&rest);
            }
        }
    }
    Some(())
}

/// Puts one layer on, laid out as it was.
struct Encoder<'a> {
    trazo: &'a Trazo,
    carry: Vec<u8>,
    /// Stretch, how many lines of it are written, and how many characters of the present line.
    stretch: usize,
    lines: u64,
    line: u64,
}

impl<'a> Encoder<'a> {
    fn new(trazo: &'a Trazo) -> Self {
        Self { trazo, carry: Vec::new(), stretch: 0, lines: 0, line: 0 }
    }

    fn push(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        self.carry.extend_from_slice(bytes);
        let whole = if last { self.carry.len() } else { self.carry.len() / 3 * 3 };
        let now: Vec<u8> = self.carry.drain(..whole).collect();
        let text =
            if self.trazo.relleno { STANDARD.encode_to_string(now) } else { STANDARD_NO_PAD.encode_to_string(now) };
        let mut out = Vec::with_capacity(text.len() + text.len() / 32);
        self.lay(text.as_bytes(), last, &mut out);
        out
    }

    fn lay(&mut self, mut text: &[u8], last: bool, out: &mut Vec<u8>) {
        while let Some((length, separator, times)) = self.trazo.lineas.get(self.stretch) {
            let room = length.saturating_sub(self.line);
            let (now, later) = text.split_at(usize::try_from(room).unwrap_or(usize::MAX).min(text.len()));
            out.extend_from_slice(now);
            self.line += now.len() as u64;
            text = later;
            if self.line < *length || (text.is_empty() && !last) {
                return;
            }
            out.extend_from_slice(separator.as_bytes());
            (self.line, self.lines) = (0, self.lines + 1);
            if self.lines >= *times {
                (self.lines, self.stretch) = (0, self.stretch + 1);
            }
        }
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::soap::fixture::pdf;

    fn capture(message: &[u8], piece: usize) -> Sobre {
        let mut capture = Capture::default();
        message.chunks(piece).for_each(|piece| capture.push(piece));
        capture.finish(true)
    }

    fn again(sobre: &Sobre, document: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let source = &mut |each: &mut Taker<'_>| {
            for piece in document.chunks(piece) {
                each(piece);
            }
        };
        rebuild(sobre, source, &mut |bytes| out.extend_from_slice(bytes)).unwrap();
        out
    }

    fn lines(text: &str, width: usize, end: &str) -> String {
        text.as_bytes().chunks(width).flat_map(|line| [std::str::from_utf8(line).unwrap(), end]).collect()
    }

    fn message(text: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\"?>\n<e:Envelope xmlns:e=\"x\"><b><vasu>Año &amp; más</vasu><bpdfdoc>{text}</bpdfdoc>\
                 <vnomdoc>oficio.pdf</vnomdoc></b></e:Envelope>\n"
        )
        .into_bytes()
    }

    /// Kept without the document, small, and written again as it was, however it comes.
    fn holds(message: &[u8], document: &[u8]) {
        for piece in [1, 7, 1000, usize::MAX] {
            let sobre = capture(message, piece);
            assert_eq!((&sobre.motivo, sobre.bytes), (&None, message.len() as u64), "in pieces of {piece}");
            assert_eq!(sobre.crc32c, Some(crc32c::crc32c(message)));
            assert!(again(&sobre, document, piece.min(5000)) == message, "in pieces of {piece}");
            let stored = serde_json::to_vec(&sobre).unwrap();
            assert!(stored.len() < 2000, "{} bytes", stored.len());
            assert_eq!(serde_json::from_slice::<Sobre>(&stored).unwrap(), sobre);
        }
    }

    #[test]
    fn every_layout_that_is_met_is_written_again_byte_for_byte() {
        for size in [9000, 9001, 9002] {
            let pdf = pdf(size);
            let inner = STANDARD.encode_to_string(&pdf);
            let bare = STANDARD_NO_PAD.encode_to_string(&pdf);
            for inner in [inner.clone(), lines(&inner, 76, "\n"), lines(&inner, 64, "\r\n"), bare.clone()] {
                let outer = STANDARD.encode_to_string(&inner);
                for outer in [
                    outer.clone(),
                    lines(&outer, 76, "\r\n"),
                    lines(&outer, 76, "&#xd;\n"),
                    lines(&outer, 60, "\n      "),
                    format!("\n   {outer}\n   "),
                    outer.trim_end_matches('=').to_owned(),
                ] {
                    holds(&message(&outer), &pdf);
                }
            }
            holds(&message(&STANDARD.encode_to_string(&pdf)), &pdf);
            holds(&message(&lines(&bare, 76, "\n")), &pdf);
        }
    }

    #[test]
    fn a_message_without_a_document_is_kept_whole() {
        for text in ["", "QUJD", "  "] {
            let message = message(text);
            assert_eq!(again(&capture(&message, 5), b"", 1), message);
        }
    }

    #[test]
    fn what_is_irregular_is_not_kept_and_says_so() {
        let pdf = pdf(60_000);
        let text = STANDARD.encode_to_string(STANDARD.encode_to_string(&pdf));
        let ragged: String = text
            .as_bytes()
            .chunks(37)
            .enumerate()
            .map(|(n, line)| format!("{}{}", std::str::from_utf8(line).unwrap(), " ".repeat(1 + n % 3)))
            .collect();
        let twice = [message(&text), message(&text)].concat();
        let long = [message(&text), vec![b'-'; TEXT_MAX]].concat();
        for (message, why) in [
            (message(&ragged), "irregular"),
            (message(&format!("{}*{}", &text[..5000], &text[5000..])), "irregular"),
            (message(&format!("{}=={text}", &text[..4000])), "irregular"),
            (twice, "más de un documento"),
            (long, "demasiado largo"),
        ] {
            let sobre = capture(&message, 4096);
            assert!(sobre.motivo.as_deref().is_some_and(|motivo| motivo.contains(why)), "{why}: {:?}", sobre.motivo);
            let kept = if why == "irregular" { 3 } else { 0 };
            assert_eq!((sobre.partes.len(), sobre.crc32c), (kept, Some(crc32c::crc32c(&message))), "{why}");
        }
    }

    #[test]
    fn what_we_send_is_known_before_it_is_sent() {
        let pdf = pdf(10_000);
        let text = STANDARD.encode_to_string(STANDARD.encode_to_string(&pdf));
        let sobre = Sobre::enviado(b"<a>", b"</a>", 10_000);
        let sent = format!("<a>{text}</a>").into_bytes();
        assert_eq!((again(&sobre, &pdf, 77), sobre.bytes), (sent.clone(), sent.len() as u64));
    }

    proptest! {
        #[test]
        fn any_text_is_written_again_or_refused(parts in prop::collection::vec("[A-Za-z0-9+/=<> \n&;#]{0,900}", 0..8)) {
            let message = parts.concat().into_bytes();
            let sobre = capture(&message, 100);
            // Without its document only what has none can be compared.
            if sobre.motivo.is_none() && !sobre.partes.iter().any(|part| matches!(part, Parte::Documento(_))) {
                prop_assert_eq!(again(&sobre, b"", 1), message);
            }
        }
    }
}
