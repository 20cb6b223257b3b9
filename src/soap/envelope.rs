//! Reads a SOAP 1.1 envelope as it arrives: one element at a time, nothing larger than a text field held. Documents and
//! whatever is skipped are read beneath the XML parser, from the same buffer, because the parser holds a text whole.
//!
//! That use of quick-xml is not documented by it: after a start tag, a comment or a reference it stands right behind
//! that in the source, and goes on from wherever the source is. The version is pinned; `tests` here hold it to that.

use std::io;

use quick_xml::{NsReader, events::Event};
use tokio::io::AsyncRead;

use super::{
    base64::DocumentDecoder,
    error::ReadError,
    markup::{self, is_space},
    raw::{Ahead, RawText},
    sink::{DocumentSink, SinkError},
    source::{Source, Stop},
};
use crate::domain::Contenido;

/// SOAP 1.1.
pub const ENVELOPE_NS: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// Nested elements, from the Envelope.
pub const DEPTH_MAX: usize = 32;
/// One comment, instruction or text between two tags, in bytes.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// One tag, in bytes. Its attributes are only counted once all of it was read and its namespaces were looked for, so that a
/// flood of them is refused by its length before.
pub const TAG_BYTES_MAX: usize = 16 * 1024;
/// One text field, in bytes of UTF-8.
pub const FIELD_BYTES_MAX: usize = 64 * 1024;
/// Text of a document that is decoded at once, in bytes: it and what comes of it stay in a processor's first cache.
const RAW_BYTES: usize = 16 * 1024;
/// Decoded bytes that are handed to a sink at once, at least, but for the last.
const PIECE_BYTES: usize = 8 * 1024;

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
    pub(super) must_understand: bool,
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
    raw: RawText,
    /// A child that [`Self::content`] met.
    pending: Option<Element>,
    structure_left: u64,
    /// The XML declaration or the first tag was met.
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
            raw: RawText::default(),
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
        if self.nil {
            self.skip().await?;
            return Ok(Contenido::Ausente);
        }
        let (mut decoder, mut pdf) = (DocumentDecoder::default(), Vec::new());
        let mut refused = None;
        while let Some(taken) = self.document_text(&mut decoder, &mut pdf).await? {
            refused = refused.or(decoder.refused());
            if refused.is_some() {
                pdf.clear();
            } else if pdf.len() >= PIECE_BYTES {
                refused = write(sink, &mut pdf).await?;
            }
            self.xml.get_mut().consume_raw(taken);
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
                self.pass_text().await?;
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

    /// Decodes the next piece of the current element's text into `pdf`: how much of the source it was, to be taken from it.
    /// `None` once the element was left.
    async fn document_text(
        &mut self,
        decoder: &mut DocumentDecoder,
        pdf: &mut Vec<u8>,
    ) -> Result<Option<usize>, ReadError> {
        if !self.empty {
            let source = self.xml.get_mut();
            match self.raw.ahead(source).await.map_err(from_io)? {
                Ahead::Text(n) => {
                    let n = n.min(RAW_BYTES);
                    decoder.push(source.buffered().get(..n).unwrap_or_default(), pdf);
                    return Ok(Some(n));
                }
                Ahead::Space => {
                    decoder.push(b"\n", pdf);
                    return Ok(Some(0));
                }
                Ahead::Markup => {}
            }
        }
        self.text.clear();
        match self.step().await? {
            Token::Close => Ok(None),
            Token::Text => {
                decoder.push(self.text.as_bytes(), pdf);
                Ok(Some(0))
            }
            Token::Open(element) => Err(ReadError::Unexpected(element.local)),
            Token::Eof => Err(self.cut_short()),
        }
    }

    /// Takes text straight from the source, for nothing, up to the next markup that is for the parser.
    async fn pass_text(&mut self) -> Result<(), ReadError> {
        let source = self.xml.get_mut();
        loop {
            match self.raw.ahead(source).await.map_err(from_io)? {
                Ahead::Text(n) => source.consume_raw(n),
                Ahead::Space => {}
                Ahead::Markup => return Ok(()),
            }
        }
    }

    /// The next tag or piece of text, checked.
    async fn step(&mut self) -> Result<Token, ReadError> {
        if std::mem::take(&mut self.empty) {
            self.depth = self.depth.saturating_sub(1);
            return Ok(Token::Close);
        }
        loop {
            let left = usize::try_from(self.structure_left).unwrap_or(usize::MAX);
            let source = self.xml.get_mut();
            let before = source.consumed();
            let head = source.peek(2).await.map_err(from_io)?;
            let tag = matches!(head, [b'<', next, ..] if !matches!(next, b'!' | b'?'));
            let max = if tag { TAG_BYTES_MAX } else { EVENT_BYTES_MAX };
            source.set_budget(left.min(max) + 1); // the parser must see the markup that ends a text
            let token = self.event().await;
            let taken = self.xml.get_ref().consumed().saturating_sub(before);
            self.structure_left = self.structure_left.saturating_sub(taken);
            match token {
                Ok(Some(token)) => return Ok(token),
                Ok(None) => {}
                Err(ReadError::NotXml { what, .. }) => return Err(self.not_xml(&what)),
                Err(error) => return Err(error),
            }
        }
    }

    /// One event of the parser; `None` for what means nothing.
    async fn event(&mut self) -> Result<Option<Token>, ReadError> {
        self.buf.clear();
        let event = match self.xml.read_event_into_async(&mut self.buf).await {
            Ok(event) => event,
            Err(error) => return Err(self.failed(error)),
        };
        match event {
            Event::Start(tag) => {
                let element = markup::element(&tag, self.xml.resolver())?;
                self.opened(element, false).map(Some)
            }
            Event::Empty(tag) => {
                let element = markup::element(&tag, self.xml.resolver())?;
                self.opened(element, true).map(Some)
            }
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(Some(Token::Close))
            }
            Event::Text(text) => markup::append(&mut self.text, &text).map(|()| Some(Token::Text)),
            Event::CData(text) => markup::append(&mut self.text, &text).map(|()| Some(Token::Text)),
            Event::GeneralRef(reference) => {
                self.text.push(markup::resolve(&reference)?);
                Ok(Some(Token::Text))
            }
            Event::Comment(comment) => markup::check_chars(&comment).map(|()| None),
            Event::PI(instruction) => markup::check_chars(&instruction).map(|()| None),
            Event::Decl(_) if !std::mem::replace(&mut self.started, true) => Ok(None),
            Event::Decl(_) => Err(self.not_xml("an XML declaration that is not at the beginning")),
            Event::DocType(_) => Err(ReadError::Forbidden("una declaración DOCTYPE")),
            Event::Eof => Ok(Some(Token::Eof)),
        }
    }

    fn opened(&mut self, element: Element, empty: bool) -> Result<Token, ReadError> {
        self.started = true;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ReadError::Limit("elementos anidados"));
        }
        (self.empty, self.nil) = (empty, element.nil);
        Ok(Token::Open(element))
    }

    fn failed(&self, error: quick_xml::Error) -> ReadError {
        match (self.xml.get_ref().stop(), error) {
            (Some(stop), _) => stopped(stop),
            (None, quick_xml::Error::Io(error)) => ReadError::Io(io::Error::new(error.kind(), error)),
            (None, quick_xml::Error::Encoding(_)) => ReadError::Encoding("bytes that are not UTF-8"),
            (None, error) => self.not_xml(&error.to_string()),
        }
    }

    fn not_xml(&self, what: &str) -> ReadError {
        ReadError::NotXml { at: self.xml.get_ref().consumed(), what: what.chars().take(200).collect() }
    }

    fn cut_short(&self) -> ReadError {
        self.not_xml("it ends before its elements do")
    }
}

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

#[cfg(test)]
mod tests;
