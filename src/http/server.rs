//! Our own accept loop over hyper's HTTP/1.1, so that headers have a timer, connections a limit, failures to accept never
//! end the daemon, and stopping drains what is under way.

use std::{any::Any, convert::Infallible, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{problem::Problem, stream::Guarded};
use crate::{config, telemetry::Metrics};

/// The read buffer's limit per connection, in bytes, beside what headers need. Bodies arrive in pieces of at most this.
const BUFFER_BYTES: usize = 64 * 1024;

/// Waits after failures to accept (no file descriptors left): doubled from the first to the last.
const ACCEPT_PAUSE_FIRST: Duration = Duration::from_millis(20);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Who is at the other end; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Network(SocketAddr),
    /// Somebody on this machine who may open the control socket: the operator.
    Local,
}

/// Cuts its connection at once, without an answer; an extension of every request. For who plays a service out of order.
#[derive(Debug, Clone, Default)]
pub struct Hangup(CancellationToken);

impl Hangup {
    pub fn cut(&self) {
        self.0.cancel();
    }
}

pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One listener's name in logs and metrics, and its bounds.
#[derive(Clone)]
pub struct Options {
    pub name: &'static str,
    pub connections_max: usize,
    pub headers_max: usize,
    pub header_bytes_max: usize,
    pub header_timeout: Duration,
    pub response_idle: Duration,
    pub drain: Duration,
    pub metrics: Arc<Metrics>,
    /// What a caller gets whose request ended in a panic of ours.
    pub on_panic: fn() -> Response,
}

impl Options {
    pub fn new(name: &'static str, limits: &config::Limits, metrics: Arc<Metrics>) -> Self {
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            name,
            connections_max: count(limits.connections_max),
            headers_max: count(limits.headers_max),
            header_bytes_max: limits.header_bytes_max.in_memory(),
            header_timeout: limits.header_timeout,
            response_idle: limits.response_idle_timeout,
            drain: limits.drain_timeout,
            metrics,
            on_panic: || Problem::internal(&"a panic while answering").into_response(),
        }
    }
}

/// Serves `router` until `stop`; then lets requests under way end for [`Options::drain`], and returns.
pub async fn serve(listener: Listener, router: Router, options: Options, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let abort = CancellationToken::new();
    let mut pause = ACCEPT_PAUSE_FIRST;
    loop {
        // The place comes first: over the limit, connections wait in the kernel's queue.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, accept(&listener).await?))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((place, (stream, peer))) => {
                pause = ACCEPT_PAUSE_FIRST;
                let hangup = Hangup::default();
                let connection = Connection { router: router.clone(), options: options.clone(), peer, hangup };
                connection.spawn(stream, place, &graceful, abort.clone());
            }
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(listener = options.name, %error, ?pause, "connections cannot be accepted");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
    drop(listener);
    if timeout(options.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(listener = options.name, "requests still under way were cut");
        abort.cancel();
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn accept(listener: &Listener) -> io::Result<(Box<dyn Stream>, Peer)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream), Peer::Network(address)))
        }
        Listener::Unix(listener) => Ok((Box::new(listener.accept().await?.0), Peer::Local)),
    }
}

/// The connection failed, not the accepting of connections.
fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionAborted
            | K::ConnectionReset
            | K::ConnectionRefused
            | K::Interrupted
            | K::NotConnected
            | K::InvalidInput
    )
}

struct Connection {
    router: Router,
    options: Options,
    peer: Peer,
    hangup: Hangup,
}

impl Connection {
    fn spawn(
        self,
        stream: Box<dyn Stream>,
        place: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
        abort: CancellationToken,
    ) {
        let options = self.options.clone();
        let io = TokioIo::new(Guarded::new(stream, options.response_idle));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_headers(options.headers_max)
            .max_header_size(options.header_bytes_max)
            .max_buf_size(BUFFER_BYTES.max(options.header_bytes_max));
        let (peer, hangup) = (self.peer, self.hangup.clone());
        let this = Arc::new(self);
        let service = service_fn(move |request| {
            let this = Arc::clone(&this);
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let connection = graceful.watch(http.serve_connection(io, service));
        options.metrics.connection_opened(options.name);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(listener = options.name, ?peer, %error, "connection ended early");
                },
                () = abort.cancelled() => {}
                () = hangup.0.cancelled() => {}
            }
            options.metrics.connection_closed(options.name);
            drop(place);
        });
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Response {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        request.extensions_mut().insert(self.hangup.clone());
        let answered = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind().await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => {
                tracing::error!(listener = self.options.name, panic = said(&*panic), "a request ended in a panic");
                self.options.metrics.panicked(self.options.name);
                (self.options.on_panic)()
            }
        };
        self.options.metrics.request(self.options.name, response.status().as_u16());
        response
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

#[cfg(test)]
mod tests {
    use axum::{extract::Extension, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpStream, UnixStream},
        sync::Notify,
        task::JoinHandle,
    };

    use super::*;

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        task: JoinHandle<()>,
        metrics: Arc<Metrics>,
    }

    fn options(metrics: &Arc<Metrics>) -> Options {
        Options::new("test", &config::Limits::default(), Arc::clone(metrics))
    }

    async fn start(router: Router, change: impl FnOnce(&mut Options)) -> Running {
        let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut options = options(&metrics);
        change(&mut options);
        let task = tokio::spawn(serve(Listener::Tcp(listener), router, options, stop.clone()));
        Running { address, stop, task, metrics }
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn handlers_are_told_who_calls() {
        let router =
            Router::new().route("/", get(|Extension(peer): Extension<Peer>| async move { format!("{peer:?}") }));
        let running = start(router.clone(), |_| {}).await;
        assert!(ask(running.address, GET).await.contains("Network(127.0.0.1:"));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
        tokio::spawn(serve(listener, router, options(&running.metrics), running.stop.clone()));
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(GET.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("Local"), "{answer}");
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_counted_and_the_next_request_is_served() {
        #[allow(clippy::unused_async)]
        async fn broken() -> String {
            panic!("boom")
        }
        let router = Router::new().route("/broken", get(broken)).route("/", get(|| async { "fine" }));
        let running = start(router, |_| {}).await;
        let answer = ask(running.address, "GET /broken HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("\"error_interno\""), "{answer}");
        assert!(ask(running.address, GET).await.ends_with("fine"));
        assert!(running.metrics.text().unwrap().contains("chasqui_http_panics_total{listener=\"test\"} 1"));
    }

    #[tokio::test]
    async fn too_many_headers_and_too_large_ones_are_refused() {
        let router = Router::new().route("/", get(|| async { "fine" }));
        let running = start(router, |o| (o.headers_max, o.header_bytes_max) = (10, 8192)).await;
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(11));
        assert!(ask(running.address, &many).await.starts_with("HTTP/1.1 431"));
        let large = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(9000));
        assert!(ask(running.address, &large).await.starts_with("HTTP/1.1 431"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_never_ends_its_headers_is_cut() {
        let running = start(Router::new(), |_| {}).await;
        let answer = ask(running.address, "GET / HTTP/1.1\r\nhost: x\r\n").await;
        assert_eq!(answer, "");
    }

    #[tokio::test]
    async fn over_the_limit_of_connections_the_next_waits_for_a_place() {
        let router = Router::new().route("/", get(|| async { "fine" }));
        let running = start(router, |o| o.connections_max = 1).await;
        let first = TcpStream::connect(running.address).await.unwrap();
        let second = tokio::spawn(ask(running.address, GET));
        let too_early = timeout(Duration::from_millis(100), async {
            while !second.is_finished() {
                tokio::task::yield_now().await
            }
        });
        assert!(too_early.await.is_err());
        drop(first);
        assert!(second.await.unwrap().ends_with("fine"));
    }

    #[tokio::test]
    async fn stopping_lets_requests_under_way_end_and_takes_no_new_ones() {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (b, g) = (Arc::clone(&begun), Arc::clone(&go_on));
        let slow = move || async move {
            b.notify_one();
            g.notified().await;
            "fine"
        };
        let running = start(Router::new().route("/", get(slow)), |_| {}).await;
        let under_way = tokio::spawn(ask(running.address, GET));
        begun.notified().await;
        running.stop.cancel();
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go_on.notify_one();
        assert!(under_way.await.unwrap().ends_with("fine"));
        running.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_is_cut_after_the_grace_period() {
        let begun = Arc::new(Notify::new());
        let b = Arc::clone(&begun);
        let never = move || async move {
            b.notify_one();
            std::future::pending::<&str>().await
        };
        let running = start(Router::new().route("/", get(never)), |o| o.drain = Duration::from_millis(50)).await;
        let under_way = tokio::spawn(ask(running.address, GET));
        begun.notified().await;
        running.stop.cancel();
        running.task.await.unwrap();
        assert_eq!(under_way.await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_caller_that_is_still_sending_hears_the_refusal() {
        let router = Router::new().route("/", get(|| async { "fine" }));
        let running = start(router, |_| {}).await;
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 20000000\r\n\r\n").await.unwrap();
        stream.write_all(&vec![7; 20_000_000]).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 405");
    }
}
