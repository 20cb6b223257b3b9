//! Bounds on what callers send: the size of a body, the time between its pieces and in all, and how many bytes all
//! requests together may be sending. Over the last bound the next caller is told to come back (503, `Retry-After`).

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};

use super::{places::Places, problem::Problem};
use crate::config;

/// Bytes in flight are counted in units of this many.
const UNIT_BYTES: u64 = 4096;

/// A body must bring this much per second, on average since its request came.
pub const RATE_BYTES_PER_S_MIN: u64 = 1024;

/// How long a body has before that rate is asked of it; at least as long as it may be silent.
pub const RATE_GRACE: Duration = Duration::from_secs(15);

/// What one listener's requests may send.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Largest body, in bytes.
    pub bytes_max: u64,
    /// Longest wait for the next piece.
    pub idle: Duration,
    /// Longest time for the whole body.
    pub total: Duration,
    /// How many bytes one byte of a compressed body may become, on average.
    pub gzip_ratio_max: u64,
}

/// Bytes of bodies on their way in, over all listeners that share it.
#[derive(Debug, Clone)]
pub struct InFlight {
    units: Arc<Semaphore>,
    shown: Gauge,
}

impl InFlight {
    pub fn new(bytes_max: u64) -> Self {
        Self::shown(bytes_max, Gauge::default())
    }

    /// The same, with the bytes that are taken shown by `gauge`.
    pub fn shown(bytes_max: u64, gauge: Gauge) -> Self {
        let units = usize::try_from(units(bytes_max)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), shown: gauge }
    }

    fn reserve(&self, units: u32) -> Option<Reserved> {
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units).ok()?;
        self.shown.inc_by(bytes(units.into()));
        Some(Reserved { permit, shown: self.shown.clone() })
    }
}

/// Room that one body has taken, until it is dropped.
#[derive(Debug)]
struct Reserved {
    permit: OwnedSemaphorePermit,
    shown: Gauge,
}

impl Reserved {
    fn units(&self) -> u64 {
        self.permit.num_permits() as u64
    }

    fn merge(&mut self, mut other: Self) {
        if let Some(all) = other.permit.split(other.permit.num_permits()) {
            // What it had is shown as ours from now on: its own drop finds nothing to take away.
            self.permit.merge(all);
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shown.dec_by(bytes(self.units()));
    }
}

/// Units as bytes, for a gauge.
fn bytes(units: u64) -> i64 {
    i64::try_from(units.saturating_mul(UNIT_BYTES)).unwrap_or(i64::MAX)
}

fn grace(idle: Duration) -> Duration {
    RATE_GRACE.max(idle)
}

fn units(bytes: u64) -> u64 {
    bytes.div_ceil(UNIT_BYTES)
}

/// Why a body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("La petición supera el máximo de {0} bytes")]
    TooLarge(u64),
    #[error("Pasaron {} s sin que llegara nada de la petición", .0.as_secs())]
    Idle(Duration),
    #[error("La petición llega demasiado despacio: menos de {RATE_BYTES_PER_S_MIN} bytes por segundo")]
    Slow,
    #[error("La petición no terminó de llegar en {} s", .0.as_secs())]
    Total(Duration),
    #[error("Se están recibiendo demasiados bytes a la vez; vuelva a intentarlo en unos segundos")]
    Busy,
    #[error("La petición se interrumpió antes de llegar entera")]
    Broken(#[source] axum::Error),
}

impl BodyError {
    /// The one in a chain of errors.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

/// The bounds of a router; see [`bound`].
#[derive(Debug, Clone)]
pub struct Intake {
    pub limits: BodyLimits,
    pub in_flight: InFlight,
    /// Requests under way; taken by the edges that bound them.
    pub requests: Places,
}

impl Intake {
    pub fn new(limits: &config::Limits, bytes_max: u64, in_flight: InFlight) -> Self {
        let limits = BodyLimits {
            bytes_max,
            idle: limits.body_idle_timeout,
            total: limits.body_total_timeout,
            gzip_ratio_max: limits.gzip_ratio_max.into(),
        };
        Self { limits, in_flight, requests: Places::new(usize::MAX, usize::MAX) }
    }

    /// The same with a bound on requests under way.
    #[must_use]
    pub fn with_requests(self, limits: &config::Limits) -> Self {
        self.with_places(Places::new(0, 0), limits)
    }

    /// The same on places that there are already, with those that are taken.
    #[must_use]
    pub fn with_places(self, requests: Places, limits: &config::Limits) -> Self {
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        requests.set(count(limits.requests_max), count(limits.requests_per_peer_max));
        Self { requests, ..self }
    }

    /// Bounds a request's body, or refuses it on what its head says.
    pub fn admit(&self, request: Request) -> Result<Request, BodyError> {
        let (head, body) = request.into_parts();
        let hint = http_body::Body::size_hint(&body);
        if hint.lower() > self.limits.bytes_max {
            return Err(BodyError::TooLarge(self.limits.bytes_max));
        }
        if hint.exact() == Some(0) {
            return Ok(Request::from_parts(head, body));
        }
        // Only what has come is counted: a length is but a claim, and a few bytes of head must not hold the room of many.
        let permit = self.in_flight.reserve(1).ok_or(BodyError::Busy)?;
        let bounded = Bounded::new(body, self.clone(), permit);
        Ok(Request::from_parts(head, Body::new(bounded)))
    }
}

/// Middleware: bounds the bodies of a router's requests (`axum::middleware::from_fn_with_state(intake, bound)`).
pub async fn bound(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    match intake.admit(request) {
        Ok(request) => next.run(request).await,
        Err(error) => Problem::from(&error).into_response(),
    }
}

/// A body that keeps to its limits. What it reserved is free again when it is dropped.
struct Bounded {
    body: Body,
    intake: Intake,
    permit: Reserved,
    bytes: u64,
    began: Instant,
    /// When its last piece came.
    heard: Instant,
    idle: Pin<Box<Sleep>>,
    /// When what came so far is too little.
    slow: Pin<Box<Sleep>>,
    total: Pin<Box<Sleep>>,
}

impl Bounded {
    fn new(body: Body, intake: Intake, permit: Reserved) -> Self {
        let (idle, total) = (intake.limits.idle, intake.limits.total);
        let slow = Box::pin(sleep(grace(idle)));
        let (idle, total) = (Box::pin(sleep(idle)), Box::pin(sleep(total)));
        let now = Instant::now();
        Self { body, intake, permit, bytes: 0, began: now, heard: now, idle, slow, total }
    }

    fn count(&mut self, piece: &Bytes) -> Result<(), BodyError> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.intake.limits.bytes_max {
            return Err(BodyError::TooLarge(self.intake.limits.bytes_max));
        }
        let missing = units(self.bytes).saturating_sub(self.permit.units());
        if missing > 0 {
            let missing = u32::try_from(missing).map_err(|_| BodyError::Busy)?;
            self.permit.merge(self.intake.in_flight.reserve(missing).ok_or(BodyError::Busy)?);
        }
        Ok(())
    }

    /// Sets the clocks that pieces set anew. Only a wait needs them: pieces that are there already wind nothing.
    fn wind(&mut self) {
        let limits = self.intake.limits;
        let idle = self.heard + limits.idle;
        if self.idle.deadline() != idle {
            self.idle.as_mut().reset(idle);
            let earned = Duration::from_secs(self.bytes / RATE_BYTES_PER_S_MIN);
            // Past the total it is of no use, and far past it no clock goes.
            let slow = earned.max(grace(limits.idle)).min(limits.total);
            self.slow.as_mut().reset(self.began + slow);
        }
    }

    /// Which of the waits is over, while nothing arrives.
    fn overdue(&mut self, context: &mut Context<'_>) -> Poll<BodyError> {
        let limits = self.intake.limits;
        self.wind();
        if self.total.as_mut().poll(context).is_ready() {
            return Poll::Ready(BodyError::Total(limits.total));
        }
        if self.idle.as_mut().poll(context).is_ready() {
            return Poll::Ready(BodyError::Idle(limits.idle));
        }
        ready!(self.slow.as_mut().poll(context));
        Poll::Ready(BodyError::Slow)
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let limits = this.intake.limits;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.overdue(context).map(|why| Some(Err(why)));
        };
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(BodyError::Broken(error)))),
            Some(Ok(frame)) => frame,
        };
        // A body that always has a piece ready must still end.
        this.heard = Instant::now();
        if this.total.deadline() <= this.heard {
            return Poll::Ready(Some(Err(BodyError::Total(limits.total))));
        }
        let counted = frame.data_ref().map_or(Ok(()), |piece| this.count(piece));
        Poll::Ready(Some(counted.map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    const KIB: u64 = 1024;

    fn intake(bytes_max: u64, in_flight: u64) -> Intake {
        let (idle, total) = (Duration::from_secs(30), Duration::from_secs(100));
        let limits = BodyLimits { bytes_max, idle, total, gzip_ratio_max: 100 };
        Intake { limits, in_flight: InFlight::new(in_flight), requests: Places::new(10, 10) }
    }

    fn chunked(pieces: usize, size: usize) -> Request {
        let pieces = (0..pieces).map(move |_| Ok::<_, std::io::Error>(vec![7; size]));
        Request::new(Body::from_stream(stream::iter(pieces)))
    }

    async fn read(request: Request) -> Result<usize, axum::Error> {
        request.into_body().collect().await.map(|all| all.to_bytes().len())
    }

    fn why(result: Result<usize, axum::Error>) -> String {
        BodyError::find(&result.unwrap_err()).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_body_within_its_limits_passes_whole() {
        let intake = intake(10 * KIB, 100 * KIB);
        assert_eq!(read(intake.admit(Request::new(Body::from(vec![7; 10_240]))).unwrap()).await.unwrap(), 10_240);
        let wide = super::tests::intake(4096 * KIB, 4096 * KIB);
        assert_eq!(read(wide.admit(chunked(40, 65_536)).unwrap()).await.unwrap(), 40 * 65_536);
    }

    #[tokio::test]
    async fn a_body_too_large_is_refused_on_its_length_or_when_it_grows_past_it() {
        let intake = intake(10 * KIB, 10_000 * KIB);
        assert!(matches!(intake.admit(Request::new(Body::from(vec![7; 10_241]))), Err(BodyError::TooLarge(10_240))));
        let grown = read(intake.admit(chunked(11, 1024)).unwrap()).await;
        assert_eq!(why(grown), "La petición supera el máximo de 10240 bytes");
    }

    #[tokio::test]
    async fn bytes_in_flight_are_bounded_and_freed() {
        let intake = intake(1000 * KIB, 16 * KIB);
        let mut first = intake.admit(Request::new(Body::from(vec![7; 12_288]))).unwrap();
        first.body_mut().frame().await.unwrap().unwrap();
        let small = intake.admit(Request::new(Body::from(vec![7; 4096]))).unwrap();
        assert!(matches!(intake.admit(Request::new(Body::from(vec![7; 1]))), Err(BodyError::Busy)));
        drop((first, small));
        assert_eq!(read(intake.admit(Request::new(Body::from(vec![7; 16_384]))).unwrap()).await.unwrap(), 16_384);
        // Past the bound while it comes, it ends.
        let wide = super::tests::intake(10_000 * KIB, 2048 * KIB);
        assert!(why(read(wide.admit(chunked(50, 65_536)).unwrap()).await).starts_with("Se están recibiendo"));
    }

    #[tokio::test]
    async fn what_is_taken_is_shown_while_it_is_taken() {
        let shown = Gauge::default();
        let intake = Intake { in_flight: InFlight::shown(1000 * KIB, shown.clone()), ..intake(1000 * KIB, 0) };
        let mut body = intake.admit(chunked(3, 65_536)).unwrap().into_body();
        let _other = intake.admit(Request::new(Body::from(vec![7; 5000]))).unwrap();
        assert_eq!(shown.get(), 2 * 4096);
        for taken in [1, 2, 3] {
            body.frame().await.unwrap().unwrap();
            assert_eq!(shown.get(), taken * 65_536 + 4096);
        }
        drop(body);
        assert_eq!(shown.get(), 4096);
    }

    #[tokio::test]
    async fn a_length_that_is_only_declared_takes_no_room_from_others() {
        let intake = intake(1000 * KIB, 1000 * KIB);
        let claims: Vec<_> = (0..100).map(|_| intake.admit(Request::new(Body::from(vec![7; 1_000_000])))).collect();
        assert!(claims.iter().all(Result::is_ok));
        assert_eq!(read(intake.admit(Request::new(Body::from(vec![7; 500_000]))).unwrap()).await.unwrap(), 500_000);
    }

    /// A body that brings so many bytes each `every` seconds, for ever.
    fn dripping(bytes: usize, every: u64) -> Request {
        let pieces = stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(every)).await;
            Some((Ok::<_, std::io::Error>(vec![7; bytes]), ()))
        });
        Request::new(Body::from_stream(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_ended_and_one_over_a_slow_line_is_not() {
        let intake = intake(1000 * KIB, 10_000 * KIB);
        let began = Instant::now();
        assert!(why(read(intake.admit(dripping(1000, 1)).unwrap()).await).starts_with("La petición llega demasiado"));
        assert_eq!(began.elapsed().as_secs(), 30);
        // What it brought before earns it time.
        let first = stream::iter([Ok(Bytes::from(vec![7; 60 * 1024]))]);
        let early = Request::new(Body::from_stream(first.chain(dripping(1, 1).into_body().into_data_stream())));
        let began = Instant::now();
        assert!(why(read(intake.admit(early).unwrap()).await).starts_with("La petición llega demasiado"));
        assert_eq!(began.elapsed().as_secs(), 60);
        let slow_line = read(intake.admit(dripping(2 * 1024, 1)).unwrap()).await;
        assert!(why(slow_line).starts_with("La petición no terminó"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_and_an_endless_one_are_ended() {
        let intake = intake(1000 * KIB, 10_000 * KIB);
        let silent = Request::new(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
        assert!(why(read(intake.admit(silent).unwrap()).await).starts_with("Pasaron 30 s"));
        let began = Instant::now();
        let slow = dripping(20 * 1024, 10);
        assert!(why(read(intake.admit(slow).unwrap()).await).starts_with("La petición no terminó"));
        assert!(began.elapsed() < Duration::from_secs(101));
    }
}
