//! The two layers of base64 in which documents travel (CONTRACT §3), piece by piece: decoded with the tolerances of the
//! contract, encoded exactly as deployed senders do.

use base64_simd::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;

use super::scratch;
use crate::domain::Contenido;

/// How far into the bytes `%PDF` may stand, in bytes, as PDF readers allow.
const SNIFF_BYTES: usize = 1024;
const MAGIC: &[u8] = b"%PDF";

/// A text that is not base64.
#[derive(Debug)]
struct Broken;

/// One layer of base64 being taken off. Whitespace is skipped wherever it stands; padding may be missing at the end.
#[derive(Default)]
struct Layer {
    /// Characters not decoded yet; between calls at most three.
    clean: Vec<u8>,
    padding: usize,
    /// Whitespace was met: look for it from now on.
    spaced: bool,
}

impl Layer {
    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let carried = self.clean.len();
        if !self.spaced && self.padding == 0 {
            if self.push_plain(text, out).is_ok() {
                return Ok(());
            }
            self.spaced = true;
            self.clean.extend_from_slice(text);
            self.clean.retain(|b| !is_space(*b));
        } else {
            for run in text.split(|b| is_space(*b)) {
                self.clean.extend_from_slice(run);
            }
        }
        self.decode_clean(carried, out)
    }

    /// Decodes text where it lies, if it is nothing but characters of base64; else nothing was taken.
    fn push_plain(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        let missing = (4 - self.clean.len()) % 4;
        if text.len() < missing {
            self.clean.extend_from_slice(text);
            return Ok(());
        }
        let (first, rest) = text.split_at(missing);
        let (whole, kept) = rest.split_at(rest.len() & !3);
        let start = out.len();
        out.reserve((missing + whole.len()) / 4 * 3 + 3);
        let block = [&self.clean, first].concat();
        let decoded = STANDARD_NO_PAD
            .decode_append(&block, out)
            .and_then(|_| STANDARD_NO_PAD.decode_append(whole, out).map(|_| ()));
        if decoded.is_err() {
            out.truncate(start);
            return Err(Broken);
        }
        self.clean.clear();
        self.clean.extend_from_slice(kept);
        Ok(())
    }

    /// Decodes what is whole of `clean`, which holds no whitespace and `carried` characters of an earlier call.
    fn decode_clean(&mut self, carried: usize, out: &mut Vec<u8>) -> Result<(), Broken> {
        let first = memchr::memchr(b'=', &self.clean).unwrap_or(self.clean.len());
        let padding = self.clean.split_off(first);
        if (self.padding > 0 && first != carried) || padding.iter().any(|b| *b != b'=') {
            return Err(Broken);
        }
        self.padding += padding.len();
        self.decode(self.clean.len() & !3, out)?;
        if self.padding > 0 && (self.clean.len() < 2 || self.clean.len() + self.padding > 4) {
            return Err(Broken);
        }
        Ok(())
    }

    fn decode(&mut self, whole: usize, out: &mut Vec<u8>) -> Result<(), Broken> {
        let text = self.clean.get(..whole).unwrap_or_default();
        out.reserve(whole / 4 * 3);
        STANDARD_NO_PAD.decode_append(text, out).map_err(|_| Broken)?;
        self.clean.drain(..whole);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        self.clean.retain(|b| !is_space(*b));
        self.decode_clean(self.clean.len(), out)?;
        let kept = match self.clean.len() {
            0 => return Ok(()),
            2 => 1,
            3 => 2,
            _ => return Err(Broken),
        };
        // Bits beyond the last whole byte are not looked at, as the decoders in use do not.
        self.clean.resize(4, b'A');
        let end = out.len() + kept;
        self.decode(4, out)?;
        out.truncate(end);
        Ok(())
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\n' | b'\r' | b'\t')
}

/// Takes the one layer off a file of any kind, with the same tolerances.
#[derive(Default)]
pub struct FileDecoder {
    layer: Layer,
    broken: bool,
}

impl FileDecoder {
    /// Takes the next piece of text; what it yields is appended to `out`.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.broken = self.broken || self.layer.push(text, out).is_err();
    }

    /// Whether all of it was base64.
    #[must_use]
    pub fn finish(mut self, out: &mut Vec<u8>) -> bool {
        !self.broken && self.layer.finish(out).is_ok()
    }
}

/// Which part of a document is being read.
enum Stage {
    /// Bytes under the outer layer, until it is clear whether they are the PDF itself.
    Outer,
    /// A PDF that was encoded once.
    Once,
    /// Bytes under the inner layer, until it is clear that they are a PDF.
    Inner,
    /// A PDF that was encoded twice.
    Twice,
    Refused(Contenido),
}

/// Takes both layers off a document as its text arrives.
pub struct DocumentDecoder {
    stage: Stage,
    outer: Layer,
    inner: Layer,
    /// First bytes of the layer in question.
    head: Vec<u8>,
    /// Whether any text came at all.
    any: bool,
}

impl Default for DocumentDecoder {
    fn default() -> Self {
        Self { stage: Stage::Outer, outer: Layer::default(), inner: Layer::default(), head: Vec::new(), any: false }
    }
}

impl DocumentDecoder {
    /// Takes the next piece of text; what it yields of the PDF is appended to `out`.
    pub fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.any = self.any || text.iter().any(|b| !is_space(*b));
        if self.refused().is_some() {
            return;
        }
        let result = scratch::with(|bytes| {
            self.outer.push(text, bytes)?;
            self.decoded(bytes, out)
        });
        self.judge(result);
    }

    /// The verdict, once the text has ended.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Contenido {
        if !self.any {
            return Contenido::Ausente;
        }
        if self.refused().is_none() {
            let result = self.end(out);
            self.judge(result);
        }
        match self.stage {
            Stage::Refused(contenido) => contenido,
            Stage::Once => Contenido::Pdf { una_vez: true },
            Stage::Twice => Contenido::Pdf { una_vez: false },
            Stage::Outer | Stage::Inner => Contenido::NoPdf,
        }
    }

    /// What is already known to be wrong; the rest of the text need not be kept.
    pub fn refused(&self) -> Option<Contenido> {
        match self.stage {
            Stage::Refused(contenido) => Some(contenido),
            _ => None,
        }
    }

    fn judge(&mut self, result: Result<(), Broken>) {
        if result.is_err() {
            self.stage = Stage::Refused(Contenido::NoBase64);
        }
    }

    /// Bytes that came out of the outer layer.
    fn decoded(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        match self.stage {
            Stage::Outer => {
                self.head.extend_from_slice(bytes);
                if self.head.len() >= SNIFF_BYTES { self.decide_outer(out) } else { Ok(()) }
            }
            Stage::Once => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Stage::Inner | Stage::Twice => self.decoded_text(bytes, out),
            Stage::Refused(_) => Ok(()),
        }
    }

    /// A `%` is no character of base64: where `%PDF` stands near the beginning, there is no second layer.
    fn decide_outer(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let head = std::mem::take(&mut self.head);
        if has_magic(&head) {
            self.stage = Stage::Once;
            out.extend_from_slice(&head);
            return Ok(());
        }
        self.stage = Stage::Inner;
        self.decoded_text(&head, out)
    }

    /// Text of the inner layer.
    fn decoded_text(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if matches!(self.stage, Stage::Twice) {
            return self.inner.push(text, out);
        }
        self.inner.push(text, &mut self.head)?;
        if self.head.len() >= SNIFF_BYTES {
            self.decide_inner(out);
        }
        Ok(())
    }

    fn decide_inner(&mut self, out: &mut Vec<u8>) {
        let head = std::mem::take(&mut self.head);
        if has_magic(&head) {
            self.stage = Stage::Twice;
            out.extend_from_slice(&head);
        } else {
            self.stage = Stage::Refused(Contenido::NoPdf);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let mut bytes = Vec::new();
        self.outer.finish(&mut bytes)?;
        self.decoded(&bytes, out)?;
        if matches!(self.stage, Stage::Outer) {
            self.decide_outer(out)?;
        }
        match self.stage {
            Stage::Twice => self.inner.finish(out)?,
            Stage::Inner => {
                self.inner.finish(&mut self.head)?;
                self.decide_inner(out);
            }
            _ => {}
        }
        Ok(())
    }
}

fn has_magic(head: &[u8]) -> bool {
    let window = head.get(..SNIFF_BYTES + MAGIC.len()).unwrap_or(head);
    memchr::memmem::find(window, MAGIC).is_some()
}

/// Length of base64(base64(pdf)) for a PDF of `pdf_bytes`.
pub fn encoded_len(pdf_bytes: u64) -> u64 {
    let once = |n: u64| n.div_ceil(3).saturating_mul(4);
    once(once(pdf_bytes))
}

/// Puts both layers on a document as its bytes come. Nine bytes of PDF are sixteen characters on the wire.
#[derive(Default)]
pub struct DocumentEncoder {
    /// At most eight bytes.
    carry: Vec<u8>,
    inner: Vec<u8>,
}

impl DocumentEncoder {
    const BLOCK: usize = 9;

    pub fn push(&mut self, pdf: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity((self.carry.len() + pdf.len()) / Self::BLOCK * 16);
        let missing = (Self::BLOCK - self.carry.len()).min(pdf.len());
        let pdf = if self.carry.is_empty() {
            pdf
        } else {
            let (now, later) = pdf.split_at(missing);
            self.carry.extend_from_slice(now);
            if self.carry.len() < Self::BLOCK {
                return Bytes::new();
            }
            let block = std::mem::take(&mut self.carry);
            self.encode(&block, &mut out);
            later
        };
        let (whole, rest) = pdf.split_at(pdf.len() - pdf.len() % Self::BLOCK);
        self.encode(whole, &mut out);
        self.carry.extend_from_slice(rest);
        out.into()
    }

    pub fn finish(mut self) -> Bytes {
        let (rest, mut out) = (std::mem::take(&mut self.carry), Vec::new());
        self.encode(&rest, &mut out);
        out.into()
    }

    fn encode(&mut self, pdf: &[u8], out: &mut Vec<u8>) {
        self.inner.clear();
        STANDARD.encode_append(pdf, &mut self.inner);
        STANDARD.encode_append(&self.inner, out);
    }
}

#[cfg(test)]
mod tests {
    use base64_simd::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::soap::fixture::{pdf, twice};

    fn decode_in(text: &[u8], chunk: usize) -> (Contenido, Vec<u8>) {
        let (mut decoder, mut out) = (DocumentDecoder::default(), Vec::new());
        text.chunks(chunk).for_each(|piece| decoder.push(piece, &mut out));
        (decoder.finish(&mut out), out)
    }

    fn decode(text: &str) -> (Contenido, Vec<u8>) {
        let whole = decode_in(text.as_bytes(), usize::MAX);
        for chunk in [1, 2, 3, 4, 5, 7, 76, 1000] {
            assert_eq!(decode_in(text.as_bytes(), chunk).0, whole.0, "{text:.60} in chunks of {chunk}");
        }
        whole
    }

    fn once(bytes: &[u8]) -> String {
        STANDARD.encode_to_string(bytes)
    }

    fn lines(text: &str, end: &str) -> String {
        text.as_bytes().chunks(76).flat_map(|l| [str::from_utf8(l).unwrap(), end]).collect()
    }

    const TWICE: Contenido = Contenido::Pdf { una_vez: false };
    const ONCE: Contenido = Contenido::Pdf { una_vez: true };

    #[test]
    fn both_layers_come_off_with_line_breaks_in_either() {
        for size in [4, 5, 6, 7, 9, 767, 768, 769, 1023, 1024, 1025, 5000] {
            let pdf = pdf(size);
            for end in ["\n", "\r\n", " ", "\t\r\n  "] {
                let inner = lines(&once(&pdf), end);
                assert_eq!(decode(&once(inner.as_bytes())), (TWICE, pdf.clone()), "lines inside, {size} bytes");
                assert_eq!(decode(&lines(&once(inner.as_bytes()), end)), (TWICE, pdf.clone()), "lines in both");
            }
            assert_eq!(decode(&twice(&pdf)), (TWICE, pdf));
        }
    }

    #[test]
    fn a_document_encoded_once_is_taken_as_it_is() {
        for size in [4, 10, 1023, 1024, 1025, 5000] {
            let pdf = pdf(size);
            assert_eq!(decode(&once(&pdf)), (ONCE, pdf.clone()));
            assert_eq!(decode(&lines(&once(&pdf), "\r\n")), (ONCE, pdf));
        }
    }

    #[test]
    fn junk_before_the_pdf_is_allowed_and_kept_so_that_digests_hold() {
        for junk in [&b"\xEF\xBB\xBF"[..], b"\r\n\r\n", b"\0\0", &[b' '; 1000]] {
            let bytes = [junk, &pdf(3000)].concat();
            assert_eq!(decode(&once(&bytes)), (ONCE, bytes.clone()));
            assert_eq!(decode(&twice(&bytes)), (TWICE, bytes));
        }
        let too_far = [&[b' '; 2000][..], &pdf(3000)].concat();
        assert_eq!(decode(&twice(&too_far)).0, Contenido::NoPdf);
    }

    #[test]
    fn missing_padding_is_tolerated_at_the_very_end_of_either_layer() {
        for size in 4..12 {
            let pdf = pdf(size);
            let inner = once(&pdf);
            let bare = inner.trim_end_matches('=');
            for text in [once(bare.as_bytes()), twice(&pdf), once(inner.as_bytes())] {
                assert_eq!(decode(text.trim_end_matches('=')), (TWICE, pdf.clone()), "{text}");
                assert_eq!(decode(&text), (TWICE, pdf.clone()), "{text}");
            }
        }
        let pdf = b"%PDF";
        assert_eq!(once(pdf), "JVBERg==");
        for text in ["JVBERg=", "JVBERg = ", "JVBERg =\n=\n", "JVBERh"] {
            assert_eq!(decode(text), (ONCE, pdf.to_vec()), "{text}: bits beyond the last byte don't count");
        }
    }

    #[test]
    fn broken_base64_is_told_from_what_is_no_pdf() {
        for text in [
            "no es base64",
            "JVBE*",
            "JVBERg==A",
            "JVBERg===",
            "JVBERg==\n==",
            "=JVB",
            "====",
            "JVBE=",
            "JVBE====",
            "J",
            "JVBER",
            "JV=BE",
            "JVBERi0\u{f1}",
            "JVBERi0-_w",
            "data:application/pdf;base64,JVBE",
        ] {
            assert_eq!(decode(text).0, Contenido::NoBase64, "{text}");
        }
        let long = pdf(50_000);
        assert_eq!(decode(&format!("{}*", once(&long))).0, Contenido::NoBase64, "broken at its end");
        assert_eq!(decode(&once(b"PK\x03\x04: encoded once")).0, Contenido::NoBase64, "no second layer");
        assert_eq!(decode(&twice(b"PK\x03\x04")).0, Contenido::NoPdf);
        assert_eq!(decode(&twice(&[0; 5000])).0, Contenido::NoPdf);
        assert_eq!(decode(&once(twice(&long).as_bytes())).0, Contenido::NoPdf, "three layers");
        assert_eq!(decode(&once(b"    ")).0, Contenido::NoPdf);
        for nothing in ["", " ", "\r\n\t "] {
            assert_eq!(decode(nothing).0, Contenido::Ausente);
        }
    }

    #[test]
    fn the_length_is_known_beforehand() {
        for size in 0..200usize {
            assert_eq!(encoded_len(size as u64), twice(&vec![0; size]).len() as u64, "{size}");
        }
        assert_eq!(encoded_len(209_715_200), 372_827_024);
        encoded_len(u64::MAX); // no overflow
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_in_pieces_is_what_other_encoders_write(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            cuts in proptest::collection::vec(1usize..400, 1..20),
        ) {
            let (mut encoder, mut wire, mut rest) = (DocumentEncoder::default(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                wire.extend_from_slice(&encoder.push(now));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            wire.extend_from_slice(&encoder.finish());
            prop_assert_eq!(wire.len() as u64, encoded_len(bytes.len() as u64));
            prop_assert_eq!(String::from_utf8(wire).unwrap(), twice(&bytes));
        }

        #[test]
        fn any_pdf_survives_both_layers_cut_and_spaced_anywhere(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            spaces in proptest::collection::vec((any::<proptest::sample::Index>(), "[ \r\n\t]{1,3}"), 0..30),
            chunk in 1usize..500,
        ) {
            let pdf = [b"%PDF-".as_slice(), &bytes].concat();
            let mut text = twice(&pdf);
            for (at, space) in &spaces {
                text.insert_str(at.index(text.len()), space);
            }
            prop_assert_eq!(decode_in(text.as_bytes(), chunk), (TWICE, pdf));
        }

        #[test]
        fn garbage_is_judged_without_panicking(text in "[A-Za-z0-9+/= \n%*]{0,300}", chunk in 1usize..50) {
            prop_assert_eq!(decode_in(text.as_bytes(), chunk).0, decode_in(text.as_bytes(), 1).0);
        }
    }
}
