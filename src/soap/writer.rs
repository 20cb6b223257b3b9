//! Writes envelopes: all of it that is small at once, with a slot where a document is streamed in. The length is known
//! before the first byte leaves.

use bytes::Bytes;

use super::{base64, envelope::ENVELOPE_NS, markup::is_xml_char};

/// The media type of every message.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

/// A whole message, with or without a place for a document in it. Cheap to clone: a message may have to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub before: Bytes,
    /// Size in bytes of the PDF that belongs between `before` and `after`.
    pub document_len: Option<u64>,
    pub after: Bytes,
}

impl Message {
    /// The same operation answering null: as services do whose own code failed.
    pub fn null(&self) -> Self {
        let start = memchr::memmem::find(&self.before, b"<ns:");
        let end = start.and_then(|start| {
            let rest = self.before.get(start..)?;
            Some(start + memchr::memchr(b'>', rest)? + 1)
        });
        let (Some(start), Some(end)) = (start, end) else { return self.clone() };
        let head = self.before.slice(..end);
        let name = head.get(start + 1..).unwrap_or_default();
        let name = name.get(..memchr::memchr2(b' ', b'>', name).unwrap_or(0)).unwrap_or_default();
        let null = b"<return xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\"/></";
        let out = [&head, &null[..], name, b"></soap:Body></soap:Envelope>"].concat();
        Self { before: out.into(), document_len: None, after: Bytes::new() }
    }

    /// Exact length of the HTTP body, in bytes.
    pub fn content_length(&self) -> u64 {
        let around = self.before.len() as u64 + self.after.len() as u64;
        around + self.document_len.map_or(0, base64::encoded_len)
    }
}

/// Writes one message, element by element.
pub struct Writer {
    out: Vec<u8>,
    /// What came before the document, and the document's size.
    split: Option<(Bytes, u64)>,
    /// The operation's name, until its end is written.
    operation: Option<String>,
}

impl Writer {
    /// A message whose Body holds `operation`, in `namespace`.
    pub fn new(namespace: &str, operation: &str) -> Self {
        let mut writer = Self::bare();
        writer.raw("<ns:");
        writer.raw(operation);
        writer.raw(" xmlns:ns=\"");
        writer.escaped(namespace);
        writer.raw("\">");
        writer.operation = Some(operation.to_owned());
        writer
    }

    /// A message with an empty Body.
    pub(super) fn bare() -> Self {
        let mut writer = Self { out: Vec::with_capacity(2048), split: None, operation: None };
        writer.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?><soap:Envelope xmlns:soap=\"");
        writer.raw(ENVELOPE_NS);
        writer.raw("\"><soap:Body>");
        writer
    }

    pub fn open(&mut self, name: &str) {
        self.raw("<");
        self.raw(name);
        self.raw(">");
    }

    pub fn close(&mut self, name: &str) {
        self.raw("</");
        self.raw(name);
        self.raw(">");
    }

    pub fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        self.escaped(text);
        self.close(name);
    }

    /// An element that is left out if there is nothing to say.
    pub fn optional(&mut self, name: &str, text: &Option<String>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    pub fn number(&mut self, name: &str, n: i64) {
        self.text(name, &n.to_string());
    }

    /// The element in which the document will be streamed; a message has one at most.
    pub fn document(&mut self, name: &str, bytes: u64) {
        debug_assert!(self.split.is_none(), "a message holds one document");
        self.open(name);
        self.split = Some((std::mem::take(&mut self.out).into(), bytes));
        self.close(name);
    }

    pub fn finish(mut self) -> Message {
        if let Some(operation) = self.operation.take() {
            self.close(&format!("ns:{operation}"));
        }
        self.raw("</soap:Body></soap:Envelope>");
        let out = Bytes::from(self.out);
        match self.split {
            Some((before, bytes)) => Message { before, document_len: Some(bytes), after: out },
            None => Message { before: out, document_len: None, after: Bytes::new() },
        }
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn escaped(&mut self, text: &str) {
        escape(text, &mut self.out);
    }
}

/// Writes text so that an XML reader gets the same text back. A character that XML 1.0 cannot carry (control characters,
/// U+FFFE, U+FFFF) becomes a space: lengths stay what they were and words stay apart.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '"' => out.extend_from_slice(b"&quot;"),
            '\r' => out.extend_from_slice(b"&#13;"),
            c if is_xml_char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            _ => out.push(b' '),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_what_xml_can_not_carry_becomes_a_space() {
        let mut out = Vec::new();
        escape("a&b<c>\"d'\r\n\te\u{0}\u{8}\u{b}\u{fffe}\u{ffff}ñ😀", &mut out);
        let expected = "a&amp;b&lt;c&gt;&quot;d'&#13;\n\te     ñ😀";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_message_is_an_envelope_with_the_operation_qualified_and_its_fields_not() {
        let mut w = Writer::new("urn:a&b", "op");
        w.text("uno", "1");
        w.optional("dos", &None);
        w.number("tres", -3);
        let message = w.finish();
        assert_eq!(
            String::from_utf8(message.before.to_vec()).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Body>\
             <ns:op xmlns:ns=\"urn:a&amp;b\"><uno>1</uno><tres>-3</tres></ns:op></soap:Body></soap:Envelope>"
        );
        assert_eq!(message.content_length(), message.before.len() as u64);
    }
}
