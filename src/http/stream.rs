//! A connection that gives up on a peer that takes nothing, and that lets one still sending hear the answer.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// How long a connection we closed stays open for reading. A peer that is still sending when it gets a refusal (no key,
/// too large) would otherwise be reset before it reads the answer.
const LINGER: Duration = Duration::from_secs(3);

/// How much is discarded at a time while lingering, in bytes.
const SCRATCH_BYTES: usize = 16 * 1024;

pub struct Guarded<S> {
    inner: S,
    /// Longest time a write may make no progress.
    stall: Duration,
    writing: Option<Pin<Box<Sleep>>>,
    lingering: Option<Pin<Box<Sleep>>>,
    /// Once cancelled, a peer that is sending nothing is not waited for.
    stop: CancellationToken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub fn new(inner: S, stall: Duration, stop: CancellationToken) -> Self {
        Self { inner, stall, writing: None, lingering: None, stop }
    }

    /// A write that is pending too long is an error.
    fn progress<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let until = Instant::now() + self.stall;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing of the answer")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(context, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write(context, buf);
        this.progress(context, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_write_vectored(context, bufs);
        this.progress(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_flush(context);
        this.progress(context, result)
    }

    /// Ends our side, then discards what the peer still sends until it ends too or [`LINGER`] has passed.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let result = Pin::new(&mut this.inner).poll_shutdown(context);
            ready!(this.progress(context, result))?;
        }
        let timer = this.lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut scratch = [0; SCRATCH_BYTES];
        while timer.as_mut().poll(context).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.inner).poll_read(context, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                // An idle connection kept alive ends with the service, at once.
                Poll::Pending if !this.stop.is_cancelled() => return Poll::Pending,
                Poll::Pending | Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(1024);
        let mut ours = Guarded::new(ours, Duration::from_secs(60), CancellationToken::new());
        let error = ours.write_all(&[7; 2048]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_takes_a_little_each_time_is_served() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Guarded::new(ours, Duration::from_secs(60), CancellationToken::new());
        let reader = tokio::spawn(async move {
            let mut taken = 0;
            let mut buf = [0; 64];
            while taken < 1024 {
                tokio::time::sleep(Duration::from_secs(50)).await;
                taken += theirs.read(&mut buf).await.unwrap();
            }
        });
        ours.write_all(&[7; 1024]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_a_peer_that_is_still_sending_but_not_for_ever() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Guarded::new(ours, Duration::from_secs(60), CancellationToken::new());
        let peer = tokio::spawn(async move {
            theirs.write_all(&[7; 1024]).await.unwrap();
            theirs
        });
        let began = Instant::now();
        ours.shutdown().await.unwrap();
        let _still_open = peer.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), LINGER.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn once_the_service_stops_an_idle_peer_is_not_waited_for() {
        let (ours, _theirs) = duplex(64);
        let stop = CancellationToken::new();
        let mut ours = Guarded::new(ours, Duration::from_secs(60), stop.clone());
        stop.cancel();
        let began = Instant::now();
        ours.shutdown().await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
