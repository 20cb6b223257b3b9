//! Reads a SOAP 1.1 envelope as it arrives: one element at a time, nothing larger than a text field held. Documents and
//! whatever is skipped are read beneath the XML parser, from the same buffer, because the parser holds a text whole.
//!
//! That use of quick-xml is not documented by it: after a start tag, a comment or a reference it stands right behind
//! that in the source, and goes on from wherever the source is. The version is pinned; `tests` here hold it to that.

use std::io;

use quick_xml::{
    NsReader,
    events::{BytesStart, Event},
    name::{NamespaceResolver, QName, ResolveResult},
};
use tokio::io::AsyncRead;

use super::{
    base64::DocumentDecoder,
    error::ReadError,
    sink::{DocumentSink, SinkError},
    source::{BUFFER_BYTES, Source, Stop},
};
use crate::domain::Contenido;

/// SOAP 1.1.
pub const ENVELOPE_NS: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const ACTOR_NEXT: &str = "http://schemas.xmlsoap.org/soap/actor/next";
const XSI_NS: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Nested elements, from the Envelope.
pub const DEPTH_MAX: usize = 32;
pub const ATTRIBUTES_MAX: usize = 64;
/// Names of elements and attributes with their prefix, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// One tag, comment or text between two tags, in bytes.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// One text field, in bytes of UTF-8.
pub const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Decoded bytes that are handed to a sink at once, at least, but for the last.
const PIECE_BYTES: usize = 32 * 1024;

/// How large a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The whole message as it arrives, in bytes.
    pub message_bytes: u64,
    /// All of it but documents and what is skipped: tags, comments, text fields. In bytes of UTF-8.
    pub structure_bytes: u64,
}

impl Limits {
    const STRUCTURE_BYTES: u64 = 1024 * 1024;

    /// For messages without documents.
    pub const SMALL: Self = Self { message_bytes: Self::STRUCTURE_BYTES, structure_bytes: Self::STRUCTURE_BYTES };
    /// For the platform's lists of entities: thousands of rows.
    pub const LIST: Self = Self { message_bytes: 16 * 1024 * 1024, structure_bytes: 16 * 1024 * 1024 };

    /// For messages that hold one document of at most `bytes`: 1.78 bytes for each, line breaks in both layers, and the
    /// rest. Whether the document itself is too large is for its sink to say.
    pub const fn with_document(bytes: u64) -> Self {
        Self {
            message_bytes: bytes.saturating_mul(9).saturating_div(4).saturating_add(2 * Self::STRUCTURE_BYTES),
            structure_bytes: Self::STRUCTURE_BYTES,
        }
    }
}

/// An element that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub local: String,
    /// Empty if it is in none.
    pub namespace: String,
    /// `xsi:nil` is true.
    pub nil: bool,
    /// `mustUnderstand` is set and no other actor is meant.
    must_understand: bool,
}

/// What an element holds that may be text or a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Text(Option<String>),
    /// It has children, which are to be read with [`EnvelopeReader::child`].
    Elements,
}

enum Token {
    Open(Element),
    Close,
    /// Was appended to `text`.
    Text,
    Eof,
}

/// Stands inside an element. Each child returned by [`Self::child`] must be consumed before the next is asked for: by
/// [`Self::text`], [`Self::document`], [`Self::skip`], or by reading its own children until `None`.
pub struct EnvelopeReader<R> {
    xml: NsReader<Source<R>>,
    buf: Vec<u8>,
    text: String,
    depth: usize,
    /// The current element was written `<a/>`: its end comes without an event.
    empty: bool,
    nil: bool,
    /// A child that [`Self::content`] met.
    pending: Option<Element>,
    structure_left: u64,
    started: bool,
    saw_nil: bool,
    saw_qualified: bool,
    operation: Element,
}

impl<R: AsyncRead + Unpin + Send> EnvelopeReader<R> {
    /// Reads up to the Body's first child and enters it. `charset` is the one of the HTTP header.
    pub async fn open(inner: R, charset: Option<&str>, limits: Limits) -> Result<Self, ReadError> {
        let source = Source::open(inner, charset, limits.message_bytes).await.map_err(from_io)?;
        Self::with_source(source, limits).await
    }

    pub(super) async fn with_source(source: Source<R>, limits: Limits) -> Result<Self, ReadError> {
        let mut xml = NsReader::from_reader(source);
        xml.config_mut().check_comments = false;
        let operation = Element { local: String::new(), namespace: String::new(), nil: false, must_understand: false };
        let mut reader = Self {
            xml,
            buf: Vec::new(),
            text: String::new(),
            depth: 0,
            empty: false,
            nil: false,
            pending: None,
            structure_left: limits.structure_bytes,
            started: false,
            saw_nil: false,
            saw_qualified: false,
            operation,
        };
        reader.enter().await?;
        Ok(reader)
    }

    async fn enter(&mut self) -> Result<(), ReadError> {
        let Some(root) = self.between().await? else { return Err(ReadError::Empty) };
        if root.local != "Envelope" {
            return Err(ReadError::NotEnvelope(root.local));
        }
        if root.namespace != ENVELOPE_NS {
            return Err(ReadError::Version(root.namespace));
        }
        let mut part = self.between().await?.ok_or(ReadError::Missing("Body"))?;
        if part.local == "Header" && part.namespace == ENVELOPE_NS {
            while let Some(block) = self.between().await? {
                if block.must_understand {
                    return Err(ReadError::MustUnderstand(block.local));
                }
                self.skip().await?;
            }
            part = self.between().await?.ok_or(ReadError::Missing("Body"))?;
        }
        if part.local != "Body" || part.namespace != ENVELOPE_NS {
            return Err(ReadError::Missing("Body"));
        }
        self.operation = self.between().await?.ok_or(ReadError::EmptyBody)?;
        (self.saw_nil, self.saw_qualified) = (self.operation.nil, false);
        Ok(())
    }

    /// The Body's first child, which the reader is in.
    pub fn operation(&self) -> &Element {
        &self.operation
    }

    /// Whether `xsi:nil` was met so far.
    pub fn saw_nil(&self) -> bool {
        self.saw_nil
    }

    /// Whether an element within the operation was in a namespace, where the contract has none.
    pub fn saw_qualified(&self) -> bool {
        self.saw_qualified
    }

    /// Whether the sender wrote something other than UTF-8.
    pub fn transcoded(&self) -> bool {
        self.xml.get_ref().transcoded()
    }

    /// The next child of the current element; `None` at its end, which leaves the reader in the parent. Text between
    /// children is ignored.
    pub async fn child(&mut self) -> Result<Option<Element>, ReadError> {
        if let Some(element) = self.pending.take() {
            return Ok(Some(element));
        }
        loop {
            self.text.clear();
            match self.step().await? {
                Token::Open(element) => {
                    self.saw_nil |= element.nil;
                    self.saw_qualified |= !element.namespace.is_empty();
                    return Ok(Some(element));
                }
                Token::Close => return Ok(None),
                Token::Text => {}
                Token::Eof => return Err(self.cut_short()),
            }
        }
    }

    /// The same where only elements may stand: around the Envelope and between its parts. At the end of the message
    /// `None` as well.
    async fn between(&mut self) -> Result<Option<Element>, ReadError> {
        loop {
            self.text.clear();
            match self.step().await? {
                Token::Open(element) => return Ok(Some(element)),
                Token::Close => return Ok(None),
                Token::Text if self.text.trim_matches(is_space).is_empty() => {}
                Token::Text => return Err(self.not_xml("text outside of elements")),
                Token::Eof if self.depth == 0 => return Ok(None),
                Token::Eof => return Err(self.cut_short()),
            }
        }
    }

    /// The current element's text, and leaves it. `None` if it is empty, only whitespace, or nil.
    pub async fn text(&mut self) -> Result<Option<String>, ReadError> {
        match self.content().await? {
            Content::Text(text) => Ok(text),
            Content::Elements => {
                let inner = self.pending.take().map(|e| e.local).unwrap_or_default();
                Err(ReadError::Unexpected(inner))
            }
        }
    }

    /// The current element's text, and leaves it; or stays inside if it has children.
    pub async fn content(&mut self) -> Result<Content, ReadError> {
        let nil = self.nil;
        self.text.clear();
        loop {
            match self.step().await? {
                Token::Text if self.text.len() > FIELD_BYTES_MAX => {
                    return Err(ReadError::Limit("un campo de texto de más de 64 KiB"));
                }
                Token::Text => {}
                Token::Close => break,
                Token::Open(element) => {
                    self.saw_nil |= element.nil;
                    self.saw_qualified |= !element.namespace.is_empty();
                    self.pending = Some(element);
                    return Ok(Content::Elements);
                }
                Token::Eof => return Err(self.cut_short()),
            }
        }
        let blank = nil || self.text.trim_matches(is_space).is_empty();
        Ok(Content::Text(if blank { None } else { Some(std::mem::take(&mut self.text)) }))
    }

    /// Decodes the current element's document into `sink`, and leaves it. What the sink got is only to be kept if the
    /// answer is [`Contenido::Pdf`].
    pub async fn document(&mut self, sink: &mut dyn DocumentSink) -> Result<Contenido, ReadError> {
        let nil = self.nil;
        let mut decoder = DocumentDecoder::default();
        let mut raw = Vec::with_capacity(BUFFER_BYTES);
        let mut pdf = Vec::new();
        let mut refused = None;
        loop {
            let ended = self.raw_text(Some(&mut raw)).await?;
            if refused.is_none() {
                decoder.push(&raw, &mut pdf);
                refused = decoder.refused();
            }
            if refused.is_none() && pdf.len() >= PIECE_BYTES {
                refused = write(sink, &mut pdf).await?;
            }
            raw.clear();
            if ended {
                break;
            }
        }
        if nil {
            return Ok(Contenido::Ausente);
        }
        if let Some(contenido) = refused {
            return Ok(contenido);
        }
        let contenido = decoder.finish(&mut pdf);
        if matches!(contenido, Contenido::Pdf { .. }) && !pdf.is_empty() {
            return Ok(write(sink, &mut pdf).await?.unwrap_or(contenido));
        }
        Ok(contenido)
    }

    /// Leaves the current element without looking at what it holds.
    pub async fn skip(&mut self) -> Result<(), ReadError> {
        let parent = self.depth.saturating_sub(1);
        while self.depth > parent {
            if !self.empty {
                self.raw_run(None).await?;
            }
            self.text.clear();
            if matches!(self.step().await?, Token::Eof) {
                return Err(self.cut_short());
            }
        }
        Ok(())
    }

    /// Reads to the end of the message. The operation must have been left.
    pub async fn finish(mut self) -> Result<(), ReadError> {
        while self.depth > 0 {
            if let Some(element) = self.between().await? {
                return Err(ReadError::Unexpected(element.local));
            }
        }
        match self.between().await? {
            Some(element) => Err(ReadError::Unexpected(element.local)),
            None => Ok(()),
        }
    }

    /// Reads text of the current element into `raw` until that is well filled. True once the element was left.
    async fn raw_text(&mut self, mut raw: Option<&mut Vec<u8>>) -> Result<bool, ReadError> {
        loop {
            if !self.empty && self.raw_run(raw.as_deref_mut()).await? {
                return Ok(false);
            }
            self.text.clear();
            match self.step().await? {
                Token::Close => return Ok(true),
                Token::Text => {
                    if let Some(raw) = raw.as_deref_mut() {
                        raw.extend_from_slice(self.text.as_bytes());
                    }
                }
                Token::Open(element) => return Err(ReadError::Unexpected(element.local)),
                Token::Eof => return Err(self.cut_short()),
            }
        }
    }

    /// Takes text straight from the source, up to the next markup that is none of CDATA and references to whitespace.
    /// True if it stopped because `raw` is well filled.
    async fn raw_run(&mut self, mut raw: Option<&mut Vec<u8>>) -> Result<bool, ReadError> {
        let source = self.xml.get_mut();
        loop {
            if raw.as_ref().is_some_and(|raw| raw.len() >= BUFFER_BYTES) {
                return Ok(true);
            }
            let text = source.peek(1).await.map_err(from_io)?;
            if text.is_empty() {
                return Ok(false); // the parser will say where it ended
            }
            let n = memchr::memchr2(b'<', b'&', text).unwrap_or(text.len());
            if n > 0 {
                take(source, n, raw.as_deref_mut());
                continue;
            }
            let head = source.peek(CDATA.len()).await.map_err(from_io)?;
            if head.starts_with(CDATA) {
                source.consume_raw(CDATA.len());
                cdata(source, raw.as_deref_mut()).await?;
            } else if let Some(reference) = SPACES.iter().find(|s| head.starts_with(s)) {
                source.consume_raw(reference.len());
                if let Some(raw) = raw.as_deref_mut() {
                    raw.push(b'\n');
                }
            } else {
                return Ok(false);
            }
        }
    }

    /// The parser's next event, checked.
    async fn step(&mut self) -> Result<Token, ReadError> {
        if std::mem::take(&mut self.empty) {
            self.depth -= 1;
            return Ok(Token::Close);
        }
        loop {
            self.buf.clear();
            let left = usize::try_from(self.structure_left).unwrap_or(usize::MAX);
            let source = self.xml.get_mut();
            let before = source.consumed();
            source.set_budget(left.min(EVENT_BYTES_MAX));
            let event = match self.xml.read_event_into_async(&mut self.buf).await {
                Ok(event) => event,
                Err(error) => return Err(self.failed(error)),
            };
            let first = !std::mem::replace(&mut self.started, true);
            let (open, empty) = match event {
                Event::Start(tag) => (Some(tag), false),
                Event::Empty(tag) => (Some(tag), true),
                Event::End(_) => {
                    self.depth -= 1;
                    self.charge(before);
                    return Ok(Token::Close);
                }
                Event::Text(text) => {
                    append(&mut self.text, &text)?;
                    (None, false)
                }
                Event::CData(text) => {
                    append(&mut self.text, &text)?;
                    (None, false)
                }
                Event::GeneralRef(reference) => {
                    let c = resolve(&reference)?;
                    self.text.push(c);
                    (None, false)
                }
                Event::Comment(_) | Event::PI(_) => {
                    self.charge(before);
                    continue;
                }
                Event::Decl(_) if first => {
                    self.charge(before);
                    continue;
                }
                Event::Decl(_) => return Err(self.not_xml("an XML declaration that is not at the beginning")),
                Event::DocType(_) => return Err(ReadError::Forbidden("una declaración DOCTYPE")),
                Event::Eof => return Ok(Token::Eof),
            };
            let Some(tag) = open else {
                self.charge(before);
                return Ok(Token::Text);
            };
            let element = element(&tag, self.xml.resolver())?;
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(ReadError::Limit("elementos anidados"));
            }
            (self.empty, self.nil) = (empty, element.nil);
            self.charge(before);
            return Ok(Token::Open(element));
        }
    }

    fn charge(&mut self, before: u64) {
        let taken = self.xml.get_ref().consumed().saturating_sub(before);
        self.structure_left = self.structure_left.saturating_sub(taken);
    }

    fn failed(&mut self, error: quick_xml::Error) -> ReadError {
        match (self.xml.get_ref().stop(), error) {
            (Some(stop), _) => stopped(stop),
            (None, quick_xml::Error::Io(error)) => ReadError::Io(io::Error::new(error.kind(), error)),
            (None, quick_xml::Error::Encoding(_)) => ReadError::Encoding("bytes that are not UTF-8"),
            (None, error) => self.not_xml(&error.to_string()),
        }
    }

    fn not_xml(&mut self, what: &str) -> ReadError {
        ReadError::NotXml { at: self.xml.get_ref().consumed(), what: what.chars().take(200).collect() }
    }

    fn cut_short(&mut self) -> ReadError {
        self.not_xml("it ends before its elements do")
    }
}

const CDATA: &[u8] = b"<![CDATA[";
const CDATA_END: &[u8] = b"]]>";
/// References to whitespace that senders put at the end of each line of base64.
const SPACES: [&[u8]; 8] = [b"&#xd;", b"&#xD;", b"&#13;", b"&#xa;", b"&#xA;", b"&#10;", b"&#9;", b"&#32;"];

/// Hands a piece to the sink; the verdict if it takes no more.
async fn write(sink: &mut dyn DocumentSink, pdf: &mut Vec<u8>) -> Result<Option<Contenido>, ReadError> {
    match sink.write(pdf).await {
        Ok(()) => {
            pdf.clear();
            Ok(None)
        }
        Err(SinkError::TooLarge) => Ok(Some(Contenido::Excesivo)),
        Err(SinkError::Failed(error)) => Err(ReadError::Sink(error)),
    }
}

fn take<R: AsyncRead + Unpin>(source: &mut Source<R>, n: usize, raw: Option<&mut Vec<u8>>) {
    if let Some(raw) = raw {
        raw.extend_from_slice(source.buffered().get(..n).unwrap_or_default());
    }
    source.consume_raw(n);
}

/// Takes the rest of a CDATA section.
async fn cdata<R: AsyncRead + Unpin>(source: &mut Source<R>, mut raw: Option<&mut Vec<u8>>) -> Result<(), ReadError> {
    loop {
        let text = source.peek(CDATA_END.len()).await.map_err(from_io)?;
        if let Some(n) = memchr::memmem::find(text, CDATA_END) {
            take(source, n, raw);
            source.consume_raw(CDATA_END.len());
            return Ok(());
        }
        if text.len() < CDATA_END.len() {
            return Err(ReadError::NotXml { at: source.consumed(), what: "a CDATA section that does not end".into() });
        }
        let n = text.len() - (CDATA_END.len() - 1); // the end may stand half in the buffer
        take(source, n, raw.as_deref_mut());
    }
}

/// A tag's name and the attributes that matter; all of them are checked.
fn element(tag: &BytesStart<'_>, resolver: &NamespaceResolver) -> Result<Element, ReadError> {
    let name = tag.name();
    check_name(name)?;
    let (namespace, local) = resolver.resolve_element(name);
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => namespace.as_ref().to_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err(ill_formed("a prefix that is not declared")),
    };
    let mut element = Element { local: local.as_ref().to_owned(), namespace, nil: false, must_understand: false };
    let mut actor_is_other = false;
    for (n, attribute) in tag.attributes().enumerate() {
        if n >= ATTRIBUTES_MAX {
            return Err(ReadError::Limit("atributos de un elemento"));
        }
        let attribute = attribute.map_err(|e| ill_formed(&e.to_string()))?;
        check_name(attribute.key)?;
        check_chars(&attribute.value)?;
        if attribute.value.contains('<') {
            return Err(ill_formed("«<» in an attribute"));
        }
        let value = quick_xml::escape::unescape(&attribute.value)
            .map_err(|_| ReadError::Forbidden("una entidad que no es de las cinco de XML"))?;
        check_chars(&value)?;
        let (ResolveResult::Bound(namespace), local) = resolver.resolve_attribute(attribute.key) else { continue };
        let truth = matches!(value.trim(), "1" | "true");
        match (namespace.as_ref(), local.as_ref()) {
            (XSI_NS, "nil") => element.nil = truth,
            (ENVELOPE_NS, "mustUnderstand") => element.must_understand = truth,
            (ENVELOPE_NS, "actor") => actor_is_other = !matches!(value.trim(), "" | ACTOR_NEXT),
            _ => {}
        }
    }
    element.must_understand &= !actor_is_other;
    Ok(element)
}

fn check_name(name: QName<'_>) -> Result<(), ReadError> {
    let name: &str = name.as_ref();
    if name.len() > NAME_BYTES_MAX {
        return Err(ReadError::Limit("el nombre de un elemento o atributo"));
    }
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii());
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':') || !c.is_ascii();
    let parts = name.split(':').count();
    if parts > 2 || !name.split(':').all(begins) || !name.chars().all(legal) {
        return Err(ill_formed("a name that is none"));
    }
    Ok(())
}

/// Appends text with its line ends made `\n`, as XML asks.
fn append(to: &mut String, text: &str) -> Result<(), ReadError> {
    check_chars(text)?;
    let mut lines = text.split('\r');
    to.push_str(lines.next().unwrap_or_default());
    for line in lines {
        if !line.starts_with('\n') {
            to.push('\n');
        }
        to.push_str(line);
    }
    Ok(())
}

fn check_chars(text: &str) -> Result<(), ReadError> {
    if text.chars().all(is_xml_char) { Ok(()) } else { Err(ill_formed("a character that XML does not allow")) }
}

/// `Char` of XML 1.0 §2.2.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// A reference to a character or one of the five entities.
fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, ReadError> {
    let named = match reference.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    };
    if let Some(c) = named {
        return Ok(c);
    }
    match reference.resolve_char_ref() {
        Ok(Some(c)) if is_xml_char(c) => Ok(c),
        Ok(None) => Err(ReadError::Forbidden("una entidad que no es de las cinco de XML")),
        Ok(Some(_)) | Err(_) => Err(ill_formed("a reference to no character")),
    }
}

fn ill_formed(what: &str) -> ReadError {
    ReadError::NotXml { at: 0, what: what.to_owned() }
}

/// An error of the source as it came through `io`.
pub(super) fn from_io(error: io::Error) -> ReadError {
    match error.get_ref().and_then(|e| e.downcast_ref::<super::source::StopError>()) {
        Some(stop) => stopped(stop.0),
        None => ReadError::Io(error),
    }
}

fn stopped(stop: Stop) -> ReadError {
    match stop {
        Stop::TooLarge => ReadError::TooLarge,
        Stop::EventTooLarge => ReadError::Limit("el texto y las etiquetas"),
        Stop::Malformed => ReadError::Encoding("bytes that are not in the stated encoding"),
        Stop::UnknownEncoding => ReadError::Encoding("an encoding that is not read"),
    }
}
