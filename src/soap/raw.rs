//! Text of an element, read beneath the XML parser: what may be larger than a buffer is looked at where it lies.
//!
//! The parser stands right behind the last tag, comment or reference, so that the source is at text, and goes on from
//! wherever the source is then. Whatever is not plain text, CDATA or a reference to whitespace is left to it.

use std::io;

use tokio::io::AsyncRead;

use super::source::Source;

const CDATA: &[u8] = b"<![CDATA[";
const CDATA_END: &[u8] = b"]]>";
/// References to whitespace; senders put one at the end of each line of base64.
const SPACES: [&[u8]; 8] = [b"&#xd;", b"&#xD;", b"&#13;", b"&#xa;", b"&#xA;", b"&#10;", b"&#9;", b"&#32;"];

/// What lies ahead.
pub(super) enum Ahead {
    /// This many buffered bytes are text; to be consumed by the caller, all or some.
    Text(usize),
    /// A reference to whitespace, consumed.
    Space,
    /// Nothing of either: for the parser to see.
    Markup,
}

/// Where in an element's text the source is.
#[derive(Default)]
pub(super) struct RawText {
    in_cdata: bool,
}

impl RawText {
    pub(super) async fn ahead<R: AsyncRead + Unpin>(&mut self, source: &mut Source<R>) -> io::Result<Ahead> {
        loop {
            if self.in_cdata {
                let text = source.peek(CDATA_END.len()).await?;
                match memchr::memmem::find(text, CDATA_END) {
                    Some(0) => {
                        source.consume_raw(CDATA_END.len());
                        self.in_cdata = false;
                        continue;
                    }
                    Some(n) => return Ok(Ahead::Text(n)),
                    // The message ended: the parser will say so.
                    None if text.len() < CDATA_END.len() => return Ok(Ahead::Markup),
                    // The end may stand half in the buffer.
                    None => return Ok(Ahead::Text(text.len() - (CDATA_END.len() - 1))),
                }
            }
            let text = source.peek(1).await?;
            let n = memchr::memchr2(b'<', b'&', text).unwrap_or(text.len());
            if n > 0 {
                return Ok(Ahead::Text(n));
            }
            let head = source.peek(CDATA.len()).await?;
            if head.starts_with(CDATA) {
                source.consume_raw(CDATA.len());
                self.in_cdata = true;
            } else if let Some(reference) = SPACES.iter().find(|s| head.starts_with(s)) {
                source.consume_raw(reference.len());
                return Ok(Ahead::Space);
            } else {
                return Ok(Ahead::Markup);
            }
        }
    }
}
