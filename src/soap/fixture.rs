//! What the tests of this floor need.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use base64_simd::STANDARD;
use tokio::io::{AsyncRead, ReadBuf};

use super::{DocumentSink, SinkError};

/// Keeps what it is given.
#[derive(Default)]
pub struct Collected(pub Vec<u8>);

#[async_trait]
impl DocumentSink for Collected {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

/// Arrives in pieces of at most so many bytes, with a wait before each.
pub struct Chunks {
    data: Vec<u8>,
    at: usize,
    size: usize,
    ready: bool,
}

impl Chunks {
    pub fn new(data: impl Into<Vec<u8>>, size: usize) -> Self {
        Self { data: data.into(), at: 0, size, ready: false }
    }
}

impl AsyncRead for Chunks {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.ready = !this.ready;
        if this.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = this.size.min(buf.remaining()).min(this.data.len() - this.at);
        buf.put_slice(&this.data[this.at..this.at + n]);
        this.at += n;
        Poll::Ready(Ok(()))
    }
}

/// Bytes that begin like a PDF and go on like noise.
pub fn pdf(bytes: usize) -> Vec<u8> {
    let noise = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    b"%PDF-1.7\n".iter().copied().chain(noise).take(bytes).collect()
}

/// base64 of base64, as it travels.
pub fn twice(pdf: &[u8]) -> String {
    STANDARD.encode_to_string(STANDARD.encode_to_string(pdf))
}

/// `body` in an envelope.
pub fn envelope(body: &str) -> String {
    format!("<s:Envelope xmlns:s=\"{}\"><s:Body>{body}</s:Body></s:Envelope>", super::envelope::ENVELOPE_NS)
}
