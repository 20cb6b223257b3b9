//! Input that arrives in pieces of a given size, and a place for documents.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use async_trait::async_trait;
use chasqui::soap::{DocumentSink, SinkError};
use tokio::{
    io::{AsyncRead, ReadBuf},
    runtime::{Builder, Runtime},
};

/// Largest document a sink takes, in bytes: small, so that the refusal is met too.
const DOCUMENT_MAX: usize = 2_000;

/// A stream that gives at most `size` bytes at a time.
pub struct Pieces<'a> {
    data: &'a [u8],
    size: usize,
}

impl<'a> Pieces<'a> {
    pub fn new(data: &'a [u8], size: usize) -> Self {
        Self { data, size: size.max(1) }
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let (now, later) = self.data.split_at(self.size.min(self.data.len()).min(buf.remaining()));
        buf.put_slice(now);
        self.data = later;
        Poll::Ready(Ok(()))
    }
}

/// Keeps what it is given.
#[derive(Default)]
pub struct Kept(pub Vec<u8>);

#[async_trait]
impl DocumentSink for Kept {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        if self.0.len() + piece.len() > DOCUMENT_MAX {
            return Err(SinkError::TooLarge);
        }
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

/// Runs what waits for nothing outside.
pub fn now<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: RefCell<Runtime> = RefCell::new(Builder::new_current_thread().build().unwrap());
    }
    RUNTIME.with_borrow(|runtime| runtime.block_on(work))
}

/// The first byte says how the input is cut, the rest is the input.
pub fn cut(data: &[u8]) -> (usize, &[u8]) {
    match data.split_first() {
        Some((first, rest)) => (usize::from(*first), rest),
        None => (1, data),
    }
}
