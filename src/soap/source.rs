//! The bytes of a message as they arrive: buffered with a look-ahead, counted against limits, always UTF-8 whatever the
//! sender wrote. Lies beneath the XML parser, and is read directly where a text may be larger than a buffer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// Size of the buffer and of the largest look-ahead, in bytes.
pub const BUFFER_BYTES: usize = 32 * 1024;
/// Longest XML declaration looked at, in bytes.
const DECLARATION_BYTES_MAX: usize = 512;
/// Read at a time when transcoding, in bytes.
const RAW_BYTES: usize = 16 * 1024;
/// Room kept free behind the largest look-ahead, in bytes: enough for the transcoder to make progress.
const ROOM_BYTES: usize = 64;

/// Why the source itself stopped reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// More bytes than the message may have.
    TooLarge,
    /// One XML event is larger than may be held, or all of them together are.
    EventTooLarge,
    /// Bytes that are not in the stated encoding.
    Malformed,
    /// An encoding that is not read.
    UnknownEncoding,
}

/// A message's bytes, as UTF-8.
pub struct Source<R> {
    inner: R,
    transcoder: Option<Transcoder>,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    eof: bool,
    /// Bytes taken from `inner`, and how many may be.
    read: u64,
    limit: u64,
    /// Bytes the parser may still take for its current event.
    budget: usize,
    consumed: u64,
    stop: Option<Stop>,
}

struct Transcoder {
    decoder: Decoder,
    raw: Vec<u8>,
    raw_start: usize,
    raw_eof: bool,
}

impl<R: AsyncRead + Unpin> Source<R> {
    /// Looks at the first bytes and decides the encoding: a byte order mark, else the zero bytes of UTF-16, else
    /// `charset` (from the HTTP header), else the XML declaration, else UTF-8.
    pub async fn open(inner: R, charset: Option<&str>, limit: u64) -> io::Result<Self> {
        let mut source = Self {
            inner,
            transcoder: None,
            buf: Vec::new(),
            start: 0,
            end: 0,
            eof: false,
            read: 0,
            limit,
            budget: usize::MAX,
            consumed: 0,
            stop: None,
        };
        let head = source.peek(4).await?;
        let marked = match head {
            [0xEF, 0xBB, 0xBF, ..] => {
                source.consume_raw(3);
                Some(UTF_8)
            }
            [0xFF, 0xFE, ..] | [b'<', 0, ..] => Some(UTF_16LE),
            [0xFE, 0xFF, ..] | [0, b'<', ..] => Some(UTF_16BE),
            _ => None,
        };
        let encoding = match (marked, charset.map(|c| c.trim_matches(['"', '\'', ' ']))) {
            (Some(encoding), _) => Some(encoding),
            (None, Some(label)) if !label.is_empty() => eight_bit(label.as_bytes()),
            (None, _) => source.declared().await?,
        };
        match encoding {
            Some(encoding) if encoding == UTF_8 => Ok(source),
            Some(encoding) => {
                source.transcode(encoding);
                Ok(source)
            }
            None => Err(source.stopped(Stop::UnknownEncoding)),
        }
    }

    /// The encoding the XML declaration names; `None` if it is not one we read.
    async fn declared(&mut self) -> io::Result<Option<&'static Encoding>> {
        let mut seen = 6;
        loop {
            let head = self.peek(seen).await?;
            if !head.starts_with(b"<?xml") {
                return Ok(Some(UTF_8));
            }
            let window = head.get(..DECLARATION_BYTES_MAX).unwrap_or(head);
            if let Some(end) = memchr::memmem::find(window, b"?>") {
                return Ok(declared_label(&window[..end]).map_or(Some(UTF_8), eight_bit));
            }
            if head.len() < seen || seen >= DECLARATION_BYTES_MAX {
                return Ok(Some(UTF_8));
            }
            seen = (head.len() + 1).min(DECLARATION_BYTES_MAX);
        }
    }

    /// At least `n` bytes (at most [`BUFFER_BYTES`]) without taking them; fewer only at the end.
    pub async fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        while self.end - self.start < n.min(BUFFER_BYTES) && !self.eof {
            std::future::poll_fn(|cx| self.poll_more(cx)).await?;
        }
        Ok(self.buffered())
    }

    /// Reads once more into the buffer, making room for it.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buf.len() - self.end < ROOM_BYTES {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buf.is_empty() {
            self.buf.resize(BUFFER_BYTES + ROOM_BYTES, 0);
        }
        if self.transcoder.is_some() {
            return self.poll_transcoded(cx);
        }
        let mut into = ReadBuf::new(self.buf.get_mut(self.end..).unwrap_or_default());
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut into);
        let n = into.filled().len();
        if polled.is_pending() && self.end == 0 {
            // Whoever waits for a slow sender holds no buffer meanwhile: there may be hundreds.
            self.buf = Vec::new();
        }
        ready!(polled)?;
        self.end += n;
        self.eof = n == 0;
        Poll::Ready(self.count(n))
    }

    fn poll_transcoded(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let Some(t) = &mut self.transcoder else { return Poll::Ready(Ok(())) };
            if t.raw_start == t.raw.len() && !t.raw_eof {
                t.raw.resize(RAW_BYTES, 0);
                t.raw_start = 0;
                let mut into = ReadBuf::new(&mut t.raw);
                let done = Pin::new(&mut self.inner).poll_read(cx, &mut into);
                let n = into.filled().len();
                t.raw.truncate(n);
                ready!(done)?;
                t.raw_eof = n == 0;
                self.count(n)?;
                continue;
            }
            let (raw, room) = (t.raw.get(t.raw_start..), self.buf.get_mut(self.end..));
            let (result, taken, written) = t.decoder.decode_to_utf8_without_replacement(
                raw.unwrap_or_default(),
                room.unwrap_or_default(),
                t.raw_eof,
            );
            t.raw_start += taken;
            self.end += written;
            match result {
                DecoderResult::Malformed(..) => return Poll::Ready(Err(self.stopped(Stop::Malformed))),
                DecoderResult::InputEmpty if t.raw_eof => self.eof = true,
                DecoderResult::InputEmpty if written == 0 => continue,
                DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn count(&mut self, n: usize) -> io::Result<()> {
        self.read = self.read.saturating_add(n as u64);
        if self.read > self.limit { Err(self.stopped(Stop::TooLarge)) } else { Ok(()) }
    }

    fn transcode(&mut self, encoding: &'static Encoding) {
        let raw = self.buffered().to_vec();
        (self.start, self.end) = (0, 0);
        let raw_eof = std::mem::take(&mut self.eof);
        let decoder = encoding.new_decoder_with_bom_removal();
        self.transcoder = Some(Transcoder { decoder, raw, raw_start: 0, raw_eof });
    }
}

impl<R> Source<R> {
    /// What is in the buffer now.
    pub fn buffered(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes `n` buffered bytes outside the parser's budget.
    pub fn consume_raw(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        self.consumed += n as u64;
    }

    /// How many bytes the parser may take from now on.
    pub fn set_budget(&mut self, bytes: usize) {
        self.budget = bytes;
    }

    /// Bytes of UTF-8 taken so far.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Whether the sender wrote something other than UTF-8.
    pub fn transcoded(&self) -> bool {
        self.transcoder.is_some()
    }

    /// Why reading failed, if it was the source's own decision.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    fn stopped(&mut self, stop: Stop) -> io::Error {
        self.stop = Some(stop);
        io::Error::other(StopError(stop))
    }
}

/// [`Stop`] as it travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?}")]
pub struct StopError(pub Stop);

impl<R: AsyncRead + Unpin> AsyncRead for Source<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let available = ready!(Pin::new(&mut *this).poll_fill_buf(cx))?;
        let n = available.len().min(out.remaining());
        out.put_slice(available.get(..n).unwrap_or_default());
        Pin::new(this).consume(n);
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for Source<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.start == this.end && !this.eof {
            ready!(this.poll_more(cx))?;
        }
        if this.budget == 0 && this.start < this.end {
            return Poll::Ready(Err(this.stopped(Stop::EventTooLarge)));
        }
        let n = (this.end - this.start).min(this.budget);
        Poll::Ready(Ok(this.buf.get(this.start..this.start + n).unwrap_or_default()))
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        let this = self.get_mut();
        this.consume_raw(n);
        this.budget = this.budget.saturating_sub(n);
    }
}

/// Whether a charset of an HTTP header is one that is read.
pub fn reads(charset: &str) -> bool {
    eight_bit(charset.trim_matches(['"', '\'', ' ']).as_bytes()).is_some()
}

/// The encoding of `label`, for text whose first bytes are plainly not UTF-16: a declaration that says UTF-16 there is
/// wrong about itself (seen from writers that declare what they held in memory).
fn eight_bit(label: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(label)?;
    if encoding == UTF_16LE || encoding == UTF_16BE {
        return Some(UTF_8);
    }
    (encoding == UTF_8 || encoding == WINDOWS_1252).then_some(encoding)
}

/// The value of `encoding` in an XML declaration.
fn declared_label(declaration: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(declaration, b"encoding")? + b"encoding".len();
    let rest = declaration.get(at..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    rest.get(..memchr::memchr(*quote, rest)?)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncBufReadExt;

    use super::*;
    use crate::soap::fixture::Chunks;

    async fn read_in(bytes: &[u8], charset: Option<&str>, chunk: usize) -> Result<String, Stop> {
        let stop = |e: io::Error| e.get_ref().and_then(|e| e.downcast_ref::<StopError>()).map(|s| s.0).unwrap();
        let mut source = Source::open(Chunks::new(bytes, chunk), charset, 1 << 20).await.map_err(stop)?;
        let mut all = Vec::new();
        loop {
            let piece = source.fill_buf().await.map_err(stop)?;
            if piece.is_empty() {
                return Ok(String::from_utf8(all).unwrap());
            }
            all.extend_from_slice(piece);
            let n = piece.len();
            source.consume(n);
        }
    }

    async fn read(bytes: &[u8], charset: Option<&str>) -> Result<String, Stop> {
        let whole = read_in(bytes, charset, usize::MAX).await;
        for chunk in [1, 2, 3, 5] {
            assert_eq!(read_in(bytes, charset, chunk).await, whole, "in chunks of {chunk}");
        }
        whole
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    const TEXT: &str = "<a>ñandú 😀 ñ</a>";

    #[tokio::test]
    async fn every_encoding_of_a_text_is_read_as_the_same_text() {
        assert_eq!(read(TEXT.as_bytes(), None).await.unwrap(), TEXT);
        assert_eq!(read(format!("\u{feff}{TEXT}").as_bytes(), Some("utf-16")).await.unwrap(), TEXT, "the mark wins");
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            assert_eq!(read(&utf16(TEXT, bytes), None).await.unwrap(), TEXT);
            assert_eq!(read(&utf16(&format!("\u{feff}{TEXT}"), bytes), Some("utf-8")).await.unwrap(), TEXT);
        }
        let latin: Vec<u8> = b"<a>\xF1and\xFA\x80</a>".to_vec();
        for charset in ["ISO-8859-1", "\"iso-8859-1\"", "windows-1252", "latin1"] {
            assert_eq!(read(&latin, Some(charset)).await.unwrap(), "<a>ñandú€</a>");
        }
        let long = format!("<a>{}</a>", "ñ".repeat(100_000));
        let latin: Vec<u8> = long.chars().map(|c| if c == 'ñ' { 0xF1 } else { c as u8 }).collect();
        assert_eq!(read_in(&latin, Some("latin1"), 9999).await.unwrap(), long);
    }

    #[tokio::test]
    async fn the_declaration_decides_where_nothing_else_does() {
        let declared = |declaration: &str| [declaration.as_bytes(), b"<a>\xF1</a>"].concat();
        for declaration in [
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>",
            "<?xml version='1.0' encoding = 'windows-1252' standalone='no' ?>",
        ] {
            let text = read(&declared(declaration), None).await.unwrap();
            assert!(text.ends_with("<a>ñ</a>"), "{text}");
        }
        let utf8 = "<?xml version='1.0' encoding='ISO-8859-1'?><a>ñ</a>";
        assert_eq!(read(utf8.as_bytes(), Some("UTF-8")).await.unwrap(), utf8, "the HTTP header wins");
        let mistaken = "<?xml version='1.0' encoding='utf-16'?><a>ñ</a>";
        assert_eq!(read(mistaken.as_bytes(), None).await.unwrap(), mistaken, "it can not be UTF-16");
        for plain in ["<?xml version='1.0'?><a/>", "<?xml", "<?x", "", "x", "<?xml encoding=?><a/>"] {
            assert_eq!(read(plain.as_bytes(), None).await.unwrap(), plain);
        }
        let endless = format!("<?xml {}", " ".repeat(2000));
        assert_eq!(read(endless.as_bytes(), None).await.unwrap(), endless);
    }

    #[tokio::test]
    async fn encodings_that_are_not_read_and_bytes_that_do_not_fit_are_told() {
        for unknown in ["klingon", "shift_jis", "iso-2022-jp", "utf-7"] {
            assert_eq!(read(b"<a/>", Some(unknown)).await, Err(Stop::UnknownEncoding), "{unknown}");
            let declared = format!("<?xml version='1.0' encoding='{unknown}'?><a/>");
            assert_eq!(read(declared.as_bytes(), None).await, Err(Stop::UnknownEncoding), "{unknown}");
        }
        let mut lone = utf16("<a>", u16::to_le_bytes);
        lone.extend_from_slice(&[0x00, 0xD8, b'x', 0]);
        assert_eq!(read(&lone, None).await, Err(Stop::Malformed), "half a surrogate pair");
        let mut odd = utf16("<a/>", u16::to_be_bytes);
        odd.push(0);
        assert_eq!(read(&odd, None).await, Err(Stop::Malformed), "half a character");
    }

    #[tokio::test]
    async fn the_limit_counts_bytes_as_they_arrive() {
        let mut source = Source::open(Chunks::new(vec![b'x'; 1000], 7), None, 999).await.unwrap();
        let error = source.peek(1000).await.err().unwrap();
        assert!(error.get_ref().is_some_and(|e| e.is::<StopError>()));
        assert_eq!(source.stop(), Some(Stop::TooLarge));
        let mut exact = Source::open(Chunks::new(vec![b'x'; 1000], 7), None, 1000).await.unwrap();
        assert_eq!(exact.peek(2000).await.unwrap().len(), 1000);
    }

    #[tokio::test]
    async fn a_look_ahead_is_as_long_as_asked_wherever_the_buffer_stands() {
        let data: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let mut source = Source::open(Chunks::new(data.clone(), 10_007), None, 1 << 20).await.unwrap();
        let mut at = 0;
        for (n, taken) in [(BUFFER_BYTES, 60_000), (BUFFER_BYTES, 5_000), (9, 65_000), (BUFFER_BYTES, 65_536), (3, 3)] {
            let seen = source.peek(n).await.unwrap();
            assert!(seen.len() >= n && seen == &data[at..at + seen.len()], "at {at}");
            let taken = taken.min(seen.len());
            source.consume_raw(taken);
            at += taken;
        }
        assert_eq!(source.consumed(), at as u64);
    }

    #[tokio::test]
    async fn the_parser_gets_no_more_than_its_budget() {
        let mut source = Source::open(Chunks::new(vec![b'x'; 100], 100), None, 1000).await.unwrap();
        source.set_budget(10);
        assert_eq!(source.fill_buf().await.unwrap().len(), 10);
        source.consume(10);
        assert!(source.fill_buf().await.is_err());
        assert_eq!(source.stop(), Some(Stop::EventTooLarge));
    }
}
