//! One SOAP call over HTTP as a client: sends a message as a stream, gives the answer back as a stream, and says in
//! Spanish what happened where there is no answer to read.
//!
//! Every call has a connection of its own: a server may close an idle one at the very moment a message leaves on it, and
//! whether the message was taken would be unclear. Follows no redirect (whoever redirects has not taken the document), uses
//! no proxy but the one it is given, and never sends a request a second time by itself. Knows nothing of tramites.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, Once, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{Client, Url, redirect};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::StreamReader;

use super::{Route, verdict};
use crate::{
    contract::Outgoing,
    domain::Falla,
    exchange::PlatformError,
    http::tls::TlsError,
    soap::{
        self, AnswerError, DocumentSource,
        capture::{Capture, Sobre},
    },
};

const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");
/// The longest wait a `Retry-After` may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    pub connect: Duration,
    /// The whole call: the request with its document, and the answer to its last byte.
    pub total: Duration,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct SoapClient {
    http: Client,
    timeouts: Timeouts,
}

/// A client could not be made, or an address is none.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no se puede preparar el cliente HTTP: {0}")]
    Build(#[source] reqwest::Error),
    #[error("«{0}» no es una dirección http o https")]
    Url(String),
    #[error("pide.tls: {0}")]
    Tls(#[from] TlsError),
}

/// An answer to a plain question: small, and whole.
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// An answer whose head has arrived.
pub struct Answer<B> {
    /// The service as sentences name it: host, and port if it is not the usual one.
    pub host: String,
    status: StatusCode,
    retry_after: Option<Duration>,
    charset: Option<String>,
    total: Duration,
    body: B,
}

impl SoapClient {
    /// `https`: whether certificates have to be verified at all; without, the system's roots are not needed.
    pub fn new(timeouts: Timeouts, https: bool) -> Result<Self, ClientError> {
        Self::with_route(timeouts, https, &Route::default())
    }

    /// The same by a route of its own.
    pub fn with_route(timeouts: Timeouts, https: bool, route: &Route) -> Result<Self, ClientError> {
        install_tls_provider();
        let builder = Client::builder()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total)
            .pool_max_idle_per_host(0)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .tcp_nodelay(true)
            .http1_only()
            .user_agent(concat!("chasqui/", env!("CARGO_PKG_VERSION")));
        Ok(Self { http: route.lay(builder, https)?.build().map_err(ClientError::Build)?, timeouts })
    }

    /// Asks for something that is no message, within `time` and `bytes_max`.
    pub async fn get(&self, url: &Url, time: Duration, bytes_max: usize) -> Result<Got, PlatformError> {
        let host = host(url);
        let timeouts = Timeouts { connect: self.timeouts.connect, total: time };
        let failed = |error: &reqwest::Error| verdict::not_sent(&host, timeouts, error);
        let sent = self.http.get(url.clone()).timeout(time).send().await;
        let mut response = sent.map_err(|error| failed(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
            body.extend_from_slice(&piece);
            if body.len() > bytes_max {
                let detalle = format!("{host} respondió más de {bytes_max} bytes");
                return Err(PlatformError::new(Falla::RespuestaIlegible, detalle));
            }
        }
        Ok(Got { status, headers, body })
    }

    /// Sends a message and waits for the head of its answer.
    pub async fn send(
        &self,
        url: &Url,
        outgoing: Outgoing,
        document: Option<Box<dyn DocumentSource>>,
    ) -> Result<Answer<impl AsyncRead + Unpin + Send + use<>>, PlatformError> {
        let host = host(url);
        let request = self
            .http
            .post(url.clone())
            .header(header::CONTENT_TYPE, soap::CONTENT_TYPE)
            .header(header::ACCEPT, "text/xml")
            .header(header::CONNECTION, "close")
            .header(SOAP_ACTION, format!("\"{}\"", outgoing.soap_action))
            .body(reqwest::Body::wrap(outgoing.message.into_body(document)));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(verdict::not_sent(&host, self.timeouts, &error)),
        };
        let (status, headers) = (response.status(), response.headers());
        let (retry_after, charset) = (retry_after(headers), charset(headers));
        let body = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
        Ok(Answer { host, status, retry_after, charset, total: self.timeouts.total, body })
    }
}

/// A body that is taken in as it is read.
pub struct Heard<B> {
    inner: B,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    capture: Capture,
    /// Its end was read.
    ended: bool,
}

impl<B: AsyncRead + Unpin> AsyncRead for Heard<B> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (before, room) = (out.filled().len(), out.remaining() > 0);
        ready!(Pin::new(&mut this.inner).poll_read(context, out))?;
        let now = out.filled().get(before..).unwrap_or_default();
        let mut taken = this.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.capture.push(now);
        taken.ended |= room && now.is_empty();
        Poll::Ready(Ok(()))
    }
}

impl<B: AsyncRead + Unpin + Send> Answer<B> {
    /// As [`Answer::read`], and the answer as it was on the wire, as far as it was read.
    pub async fn hear<T>(
        self,
        heard: &mut Option<Sobre>,
        reader: impl AsyncFnOnce(Heard<B>, Option<&str>) -> Result<T, AnswerError>,
    ) -> Result<T, PlatformError> {
        let taken = Arc::<Mutex<Taken>>::default();
        let Self { host, status, retry_after, charset, total, body } = self;
        let body = Heard { inner: body, taken: Arc::clone(&taken) };
        let result = Answer { host, status, retry_after, charset, total, body }.read(reader).await;
        let Taken { capture, ended } = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
        *heard = Some(capture.finish(ended));
        result
    }

    /// Reads the answer with one of the contract's readers, which gets the body and the charset. Only a 2xx can have been
    /// said by the service itself: anything else is no answer, however it reads.
    pub async fn read<T>(
        self,
        reader: impl AsyncFnOnce(B, Option<&str>) -> Result<T, AnswerError>,
    ) -> Result<T, PlatformError> {
        let Self { host, status, retry_after, charset, total, body } = self;
        let result = reader(body, charset.as_deref()).await;
        let error = match result {
            Ok(answer) if status.is_success() => return Ok(answer),
            Ok(_) => verdict::status(&host, status, None),
            Err(error) => verdict::no_answer(&host, status, total, &error),
        };
        Err(PlatformError { retry_after, ..error })
    }
}

/// An address the client can call.
pub fn parse_url(text: &str) -> Result<Url, ClientError> {
    let wrong = || ClientError::Url(text.chars().take(200).collect());
    let url = Url::parse(text.trim()).map_err(|_| wrong())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(wrong()) }
}

/// One cryptographic provider for the process. Another one that is installed already serves as well.
pub fn install_tls_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().ok();
    });
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn charset(headers: &HeaderMap) -> Option<String> {
    let parameters = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').skip(1);
    let mut named = parameters.filter_map(|p| p.split_once('='));
    let (_, value) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().to_owned())
}

/// Seconds, or a date, which is read against the answer's own `Date`: the two clocks need not agree.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).map(HeaderValue::to_str)?.ok();
    let value = text(header::RETRY_AFTER)?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Duration::try_from(date(value)?.duration_since(date(text(header::DATE)?)?)).ok()?,
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn date(text: &str) -> Option<Timestamp> {
    static PARSER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new();
    PARSER.parse_timestamp(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_an_hour() {
        use header::{DATE, RETRY_AFTER};
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "120")])), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "99999999")])), Some(Duration::from_secs(3600)));
        let at = [(RETRY_AFTER, "Sun, 22 Nov 2026 10:00:30 GMT"), (DATE, "Sun, 22 Nov 2026 10:00:00 GMT")];
        assert_eq!(retry_after(&headers(&at)), Some(Duration::from_secs(30)));
        let past = [(RETRY_AFTER, "Sun, 22 Nov 2026 09:00:00 GMT"), (DATE, "Sun, 22 Nov 2026 10:00:00 GMT")];
        for unusable in [&past[..], &at[..1], &[(RETRY_AFTER, "soon")], &[]] {
            assert_eq!(retry_after(&headers(unusable)), None, "{unusable:?}");
        }
    }

    #[test]
    fn the_charset_is_found_among_parameters() {
        for (value, expected) in [
            ("text/xml", None),
            ("text/xml; charset=UTF-8", Some("UTF-8")),
            ("multipart/related; type=\"text/xml\"; Charset=\"iso-8859-1\"", Some("\"iso-8859-1\"")),
        ] {
            assert_eq!(charset(&headers(&[(header::CONTENT_TYPE, value)])).as_deref(), expected);
        }
    }

    #[test]
    fn only_http_addresses_are_called() {
        for text in ["", "ws6.pide.gob.pe", "file:///etc/passwd", "ftp://x/y"] {
            assert!(matches!(parse_url(text), Err(ClientError::Url(_))), "{text}");
        }
        assert_eq!(host(&parse_url(" https://ws6.pide.gob.pe/services/PcmCuo ").unwrap()), "ws6.pide.gob.pe");
        assert_eq!(host(&parse_url("http://127.0.0.1:8090/x").unwrap()), "127.0.0.1:8090");
    }
}
