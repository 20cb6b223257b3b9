//! Our own accept loop over hyper's HTTP/1.1, so that headers have a timer, connections a limit in all and for each caller,
//! failures to accept never end the daemon, and stopping drains what is under way. Over the limit a caller is told to come
//! back (503) on one of a few places kept for that; over those too, its connection is closed.

use std::{any::Any, convert::Infallible, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderValue, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    networks::Networks,
    places::{Full, Place, Places},
    problem::{Code, Problem},
    stream::Guarded,
    tls::{Refused, Secured, Tls},
};
use crate::{config, telemetry::Metrics};

/// The read buffer's limit per connection, in bytes, beside what headers need. Bodies arrive in pieces of at most this.
const BUFFER_BYTES: usize = 32 * 1024;

/// Connections over the limit that are told so at once, in all and of one caller, and how long each may take to ask.
pub const REFUSALS_MAX: usize = 64;
pub const REFUSALS_PER_PEER_MAX: usize = 8;
pub const REFUSAL_HEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an overloaded listener asks to wait, in seconds.
pub const RETRY_AFTER_S: u64 = 5;

/// The only path that is answered as ever to a caller over the limit: whoever probes it asks whether we live.
const PROBE: &str = "/healthz";

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
    pub connections_per_peer_max: usize,
    pub headers_max: usize,
    pub header_bytes_max: usize,
    pub header_timeout: Duration,
    pub response_idle: Duration,
    pub drain: Duration,
    pub metrics: Arc<Metrics>,
    /// What a caller gets whose request ended in a panic of ours.
    pub on_panic: fn() -> Response,
    /// What a caller gets for whom there is no place; its connection is closed after it.
    pub on_overload: fn() -> Response,
    /// Else it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// From where its parts may be reached.
    pub networks: Networks,
    /// What a caller from elsewhere gets.
    pub on_stranger: fn() -> Response,
}

impl Options {
    pub fn new(name: &'static str, limits: &config::Limits, metrics: Arc<Metrics>) -> Self {
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            name,
            connections_max: count(limits.connections_max),
            connections_per_peer_max: count(limits.connections_per_peer_max),
            headers_max: count(limits.headers_max),
            header_bytes_max: limits.header_bytes_max.in_memory(),
            header_timeout: limits.header_timeout,
            response_idle: limits.response_idle_timeout,
            drain: limits.drain_timeout,
            metrics,
            on_panic: || Problem::internal(&"a panic while answering").into_response(),
            on_overload: || {
                let what = "Hay demasiadas conexiones abiertas a la vez; vuelva a intentarlo en unos segundos";
                Problem::new(Code::ServicioOcupado, what).into_response()
            },
            tls: None,
            networks: Networks::default(),
            on_stranger: || {
                let what = "Desde su dirección no se atiende esta operación: las redes admitidas están en [networks]";
                Problem::new(Code::PermisoInsuficiente, what).into_response()
            },
        }
    }
}

/// What a listener serves, and within which bounds.
#[derive(Clone)]
pub struct Served {
    pub router: Router,
    pub options: Options,
}

/// Serves `router` until `stop`; then lets requests under way end for [`Options::drain`], and returns.
pub async fn serve(listener: Listener, router: Router, options: Options, stop: CancellationToken) {
    // Nobody replaces it: the sender may go.
    let (_, served) = watch::channel(Served { router, options });
    serve_current(listener, served, stop).await;
}

/// The same with what may be replaced meanwhile: the next connection has the new bounds, the next request on any connection
/// the new router.
pub async fn serve_current(listener: Listener, served: watch::Receiver<Served>, stop: CancellationToken) {
    let current = || served.borrow().options.clone();
    let doors = Doors::new(&current());
    let graceful = GracefulShutdown::new();
    let abort = CancellationToken::new();
    let mut pause = ACCEPT_PAUSE_FIRST;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE_FIRST;
                let options = current();
                let Some((place, refused)) = doors.enter(peer, &options) else { continue };
                let (served, hangup) = (served.clone(), Hangup::default());
                let connection = Connection { served, options, peer, hangup, refused, secured: None };
                connection.spawn(stream, place, graceful.watcher(), [stop.clone(), abort.clone()]);
            }
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(listener = current().name, %error, ?pause, "connections cannot be accepted");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
    drop(listener);
    let options = current();
    if timeout(options.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(listener = options.name, "requests still under way were cut");
        abort.cancel();
    }
}

/// Where connections come in: to be served, or only to hear that there is no place.
struct Doors {
    served: Places,
    refused: Places,
}

impl Doors {
    fn new(options: &Options) -> Self {
        Self {
            served: Places::new(options.connections_max, options.connections_per_peer_max),
            refused: Places::new(REFUSALS_MAX, REFUSALS_PER_PEER_MAX),
        }
    }

    /// A place for a connection, and why it is to be told to come back; `None` if not even for that there is one.
    fn enter(&self, peer: Peer, options: &Options) -> Option<(Place, Option<Full>)> {
        self.served.set(options.connections_max, options.connections_per_peer_max);
        match self.served.take(peer) {
            Ok(place) => Some((place, None)),
            Err(full) => {
                options.metrics.refused(options.name, "connections", full.name());
                self.refused.take(peer).ok().map(|place| (place, Some(full)))
            }
        }
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
    served: watch::Receiver<Served>,
    options: Options,
    peer: Peer,
    hangup: Hangup,
    /// There was no place for it.
    refused: Option<Full>,
    /// It speaks TLS.
    secured: Option<Secured>,
}

impl Connection {
    fn spawn(self, stream: Box<dyn Stream>, place: Place, watcher: Watcher, ends: [CancellationToken; 2]) {
        self.options.metrics.connection_opened(self.options.name);
        tokio::spawn(async move {
            let (name, metrics) = (self.options.name, Arc::clone(&self.options.metrics));
            match self.options.tls.clone() {
                None => self.serve(stream, watcher, ends).await,
                Some(tls) => self.secure(tls, stream, watcher, ends).await,
            }
            metrics.connection_closed(name);
            drop(place);
        });
    }

    /// Agrees on TLS first. One that says nothing holds its place no longer than [`super::tls::HANDSHAKE_TIMEOUT`].
    async fn secure(self, tls: Tls, stream: Box<dyn Stream>, watcher: Watcher, ends: [CancellationToken; 2]) {
        let agreed = tokio::select! {
            agreed = tls.accept(stream, self.header_timeout()) => agreed,
            () = ends[0].cancelled() => return,
        };
        match agreed {
            Ok((stream, secured)) => {
                let this = Self { secured: Some(secured), ..self };
                this.serve(Box::new(stream), watcher, ends).await;
            }
            Err(why) => {
                self.options.metrics.unsecured(self.options.name, why.name());
                let (listener, peer) = (self.options.name, self.peer);
                match why {
                    // Somebody is set up to call and is not let in: who runs this wants to know why.
                    Refused::Certificate(_) => tracing::warn!(listener, ?peer, %why, "a caller was not let in"),
                    _ => tracing::debug!(listener, ?peer, %why, "a connection was not secured"),
                }
            }
        }
    }

    fn header_timeout(&self) -> Duration {
        match self.refused {
            None => self.options.header_timeout,
            Some(_) => self.options.header_timeout.min(REFUSAL_HEADER_TIMEOUT),
        }
    }

    async fn serve(self, stream: Box<dyn Stream>, watcher: Watcher, [stop, abort]: [CancellationToken; 2]) {
        let options = self.options.clone();
        let io = TokioIo::new(Guarded::new(stream, options.response_idle, stop));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout())
            .keep_alive(self.refused.is_none())
            .max_headers(options.headers_max)
            .max_header_size(options.header_bytes_max)
            .max_buf_size(BUFFER_BYTES.max(options.header_bytes_max));
        let (peer, hangup) = (self.peer, self.hangup.clone());
        let this = Arc::new(self);
        let service = service_fn(move |request| {
            let this = Arc::clone(&this);
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        tokio::select! {
            ended = watcher.watch(http.serve_connection(io, service)) => if let Err(error) = ended {
                tracing::debug!(listener = options.name, ?peer, %error, "connection ended early");
            },
            () = abort.cancelled() => {}
            () = hangup.0.cancelled() => {}
        }
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Response {
        if self.refused.is_some() && request.uri().path() != PROBE {
            let mut response = (self.options.on_overload)();
            close(&mut response);
            self.options.metrics.request(self.options.name, response.status().as_u16());
            return response;
        }
        let (networks, path) = (&self.options.networks, request.uri().path());
        let peer = networks.caller(self.peer, request.headers());
        if path != PROBE && !networks.let_in(peer, path) {
            self.options.metrics.refused(self.options.name, "networks", Full::Peer.name());
            let mut response = (self.options.on_stranger)();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            self.options.metrics.request(self.options.name, response.status().as_u16());
            return response;
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(self.hangup.clone());
        if let Some(secured) = &self.secured {
            request.extensions_mut().insert(secured.clone());
        }
        let router = self.served.borrow().router.clone();
        let answered = AssertUnwindSafe(router.oneshot(request)).catch_unwind().await;
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

/// Ends a connection with the answer, and says how long to wait with the next.
fn close(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER_S.into());
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
    async fn over_the_limit_of_connections_the_next_is_told_to_come_back_and_probes_are_answered() {
        let router = Router::new().route("/", get(|| async { "fine" })).route("/healthz", get(|| async { "vivo" }));
        for change in [(|o: &mut Options| o.connections_max = 1) as fn(&mut Options), |o: &mut Options| {
            o.connections_per_peer_max = 1
        }] {
            let running = start(router.clone(), change).await;
            let mut first = TcpStream::connect(running.address).await.unwrap();
            first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            first.read_exact(&mut [0; 12]).await.unwrap();
            let answer = ask(running.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.to_lowercase();
            assert!(answer.starts_with("http/1.1 503") && answer.contains("\"servicio_ocupado\""), "{answer}");
            assert!(answer.contains("retry-after: 5") && answer.contains("connection: close"), "{answer}");
            assert!(ask(running.address, &GET.replace("/ ", "/healthz ")).await.ends_with("vivo"));
            let page = running.metrics.text().unwrap();
            assert!(page.contains("chasqui_http_refused_total{listener=\"test\",what=\"connections\""), "{page}");
            drop(first);
            while !ask(running.address, GET).await.ends_with("fine") {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn over_the_places_for_refusals_connections_are_closed_and_the_first_still_served() {
        let router = Router::new().route("/", get(|| async { "fine" }));
        let running = start(router, |o| o.connections_max = 1).await;
        let mut first = TcpStream::connect(running.address).await.unwrap();
        first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        first.read_exact(&mut [0; 12]).await.unwrap();
        let mut told = Vec::new();
        for _ in 0..REFUSALS_PER_PEER_MAX {
            told.push(TcpStream::connect(running.address).await.unwrap());
        }
        let mut over = TcpStream::connect(running.address).await.unwrap();
        assert!(matches!(over.read(&mut [0; 1]).await, Ok(0) | Err(_)), "it is closed without a word");
        first.write_all(GET.as_bytes()).await.unwrap();
        let mut rest = String::new();
        first.read_to_string(&mut rest).await.unwrap();
        assert!(rest.ends_with("fine"), "{rest}");
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
