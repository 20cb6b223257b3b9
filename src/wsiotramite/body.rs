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

use super::gunzip::{Gunzip, Spoilt};
use crate::{
    http::limits::BodyError,
    soap::capture::{Capture, Sobre},
};

/// What is still read of a request whose answer is decided already, so that a caller who writes all before it reads gets
/// to hear it: so many bytes, and for so long.
pub const DRAIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Why a body did not come whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    TooLarge,
    Slow,
    /// Our own limit on what all callers together may be sending.
    Busy,
    /// The connection.
    Cut,
    /// Said to be gzip and is not, or not whole.
    NotGzip,
    /// A few bytes of gzip that become far too many.
    Bomb,
}

impl From<Spoilt> for Broken {
    fn from(spoilt: Spoilt) -> Self {
        match spoilt {
            Spoilt::Malformed => Self::NotGzip,
            Spoilt::Bomb => Self::Bomb,
        }
    }
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
    /// What arrived and is compressed still.
    packed: Bytes,
    /// What is to be read next.
    piece: Bytes,
    gunzip: Option<Gunzip>,
    bytes: u64,
    ended: bool,
    broken: Option<Broken>,
    /// Takes in the message as it is read, uncompressed.
    capture: Option<Box<Capture>>,
}

impl BodyReader {
    /// `gunzip`: the body is compressed.
    pub fn new(body: Body, gunzip: Option<Gunzip>) -> Self {
        Self {
            body,
            packed: Bytes::new(),
            piece: Bytes::new(),
            gunzip,
            bytes: 0,
            ended: false,
            broken: None,
            capture: None,
        }
    }

    /// Bytes that have arrived so far, as they came.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// Takes in the message from here on.
    pub fn capture(&mut self) {
        self.capture = Some(Box::default());
    }

    /// What was taken in, if it was wanted.
    pub fn captured(&mut self) -> Option<Sobre> {
        let whole = self.ended && self.broken.is_none() && self.piece.is_empty();
        self.capture.take().map(|capture| capture.finish(whole))
    }

    /// Reads the rest, within bounds, for nothing but the caller's sake.
    pub async fn drain(&mut self) {
        (self.gunzip, self.packed, self.capture) = (None, Bytes::new(), None);
        let mut rest = self.take(DRAIN_BYTES_MAX);
        timeout(DRAIN_TIME_MAX, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await.ok();
    }
}

impl BodyReader {
    /// Waits for the next piece of the body. Its end is no piece.
    fn poll_arrived(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let piece = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => {
                self.ended = true;
                Bytes::new()
            }
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => {
                self.ended = true;
                self.broken = Some(BodyError::find(&error).map_or(Broken::Cut, Broken::from));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)));
            }
        };
        self.bytes += piece.len() as u64;
        Poll::Ready(Ok(piece))
    }

    /// One step towards the next piece to be read; it may bring none yet.
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.packed.is_empty() {
            let arrived = ready!(self.poll_arrived(context))?;
            match self.gunzip {
                None => self.piece = arrived,
                Some(_) => self.packed = arrived,
            }
        }
        let Some(gunzip) = &mut self.gunzip else { return Poll::Ready(Ok(())) };
        let out = if self.ended { gunzip.finish() } else { gunzip.step(&mut self.packed) };
        match out {
            Ok(piece) => self.piece = piece,
            Err(spoilt) => {
                self.ended = true;
                self.broken = Some(spoilt.into());
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for BodyReader {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.piece.is_empty() && !this.ended {
            ready!(this.poll_step(context))?;
        }
        let n = this.piece.len().min(out.remaining());
        let now = this.piece.get(..n).unwrap_or_default();
        if let Some(capture) = &mut this.capture {
            capture.push(now);
        }
        out.put_slice(now);
        this.piece.advance(n);
        Poll::Ready(Ok(()))
    }
}
