//! A request's body as a stream of bytes that remembers why it broke, and that can be drained.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use http_body::Body as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    time::timeout,
};

use crate::http::limits::BodyError;

/// What is still read of a request whose answer is decided already, so that a caller who writes all before it reads gets
/// to hear it: so many bytes, and for so long.
const DRAIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a body did not come whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    TooLarge,
    Slow,
    /// Our own limit on what all callers together may be sending.
    Busy,
    /// The connection.
    Cut,
}

impl From<&BodyError> for Broken {
    fn from(error: &BodyError) -> Self {
        match error {
            BodyError::TooLarge(_) => Self::TooLarge,
            BodyError::Idle(_) | BodyError::Slow | BodyError::Total(_) => Self::Slow,
            BodyError::Busy => Self::Busy,
            BodyError::Broken(_) => Self::Cut,
        }
    }
}

pub struct BodyReader {
    body: Body,
    piece: Bytes,
    bytes: u64,
    ended: bool,
    broken: Option<Broken>,
}

impl BodyReader {
    pub fn new(body: Body) -> Self {
        Self { body, piece: Bytes::new(), bytes: 0, ended: false, broken: None }
    }

    /// Bytes that have arrived so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Reads the rest, within bounds, for nothing but the caller's sake.
    pub async fn drain(&mut self) {
        let mut rest = self.take(DRAIN_BYTES_MAX);
        timeout(DRAIN_TIME_MAX, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await.ok();
    }
}

impl AsyncRead for BodyReader {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.piece.is_empty() && !this.ended {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                None => this.ended = true,
                Some(Ok(frame)) => this.piece = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    this.ended = true;
                    this.broken = Some(BodyError::find(&error).map_or(Broken::Cut, Broken::from));
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)));
                }
            }
            this.bytes += this.piece.len() as u64;
        }
        let n = this.piece.len().min(out.remaining());
        out.put_slice(this.piece.get(..n).unwrap_or_default());
        this.piece.advance(n);
        Poll::Ready(Ok(()))
    }
}
