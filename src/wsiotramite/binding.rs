//! SOAP 1.1 over HTTP as a server (SOAP 1.1 §6): what a request's head must say, how answers and faults look, and service
//! descriptions with the caller's own address. Knows no operation; the simulator serves its own with it.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::{
    body::{BodyReader, Broken},
    gunzip::Gunzip,
};
use crate::{
    http::{
        limits::{BodyError, Intake},
        server::RETRY_AFTER_S,
    },
    soap::{self, DocumentSource, EnvelopeReader, Fault, Limits, Message, ReadError, capture::Sobre, wsdl},
    telemetry::Metrics,
};

const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");
/// Longest name of a host, in bytes: DNS allows 253, a port is five digits and a colon.
const HOST_BYTES_MAX: usize = 260;

/// An answer that is decided before a request is read.
pub type Refusal = Box<Response>;

/// One SOAP request: its head is checked, its body not read yet.
pub struct Call {
    /// Departures of the head from the contract that are accepted, by name.
    pub tolerated: Vec<&'static str>,
    charset: Option<String>,
    /// What its head says that its body takes, in bytes.
    length: Option<u64>,
    body: BodyReader,
}

/// A message to answer with, and its document if it has a place for one.
pub struct Reply {
    pub message: Message,
    pub document: Option<Box<dyn DocumentSource>>,
}

impl From<Message> for Reply {
    fn from(message: Message) -> Self {
        Self { message, document: None }
    }
}

impl Call {
    /// Checks a request's head and bounds its body. `Err` is the whole answer.
    pub fn accept(intake: &Intake, operations: &[&str], request: Request) -> Result<Self, Refusal> {
        let (charset, mut tolerated) = content_type(request.headers())?;
        let gzip = gzip(request.headers())?;
        tolerated.extend(gzip.then_some("content_encoding_gzip"));
        tolerated.extend(soap_action(request.headers(), operations));
        let gunzip = gzip.then(|| Gunzip::new(intake.limits.gzip_ratio_max));
        let length = http_body::Body::size_hint(request.body()).exact();
        match intake.admit(request) {
            Ok(request) => Ok(Self { tolerated, charset, length, body: BodyReader::new(request.into_body(), gunzip) }),
            Err(error) => Err(broken(Broken::from(&error), Some(&error)).into()),
        }
    }

    /// Opens the envelope up to its operation. What is left of the body stays here.
    pub async fn envelope(&mut self, limits: Limits) -> Result<EnvelopeReader<&mut BodyReader>, ReadError> {
        EnvelopeReader::open(&mut self.body, self.charset.as_deref(), limits).await
    }

    /// Takes in the message as it is read, to be had from [`Call::captured`].
    pub fn capture(&mut self) {
        self.body.capture();
    }

    pub fn captured(&mut self) -> Option<Sobre> {
        self.body.captured()
    }

    /// About how large the document in it is, in bytes, if its head tells.
    pub fn document_bytes(&self) -> Option<u64> {
        self.length.map(|bytes| bytes / 16 * 9)
    }

    /// Bytes of body that have arrived.
    pub fn bytes(&self) -> u64 {
        self.body.bytes()
    }

    /// The answer to what was read. What the caller is still sending is taken, within bounds, so that it gets to read it.
    pub async fn answer(mut self, result: Result<Reply, ReadError>) -> Response {
        let response = match (result, self.body.broken()) {
            (Ok(reply), _) => reply_response(StatusCode::OK, reply),
            (Err(_), Some(why)) => return broken(why, None),
            (Err(error), None) => fault_response(StatusCode::INTERNAL_SERVER_ERROR, &error.fault()),
        };
        self.body.drain().await;
        response
    }
}

/// Counts accepted departures, each by its name.
pub fn count(metrics: &Metrics, names: impl IntoIterator<Item = &'static str>) {
    for name in names {
        metrics.tolerated(name);
        tracing::debug!(tolerance = name, "a departure from the contract was accepted");
    }
}

/// The charset a request states. Toolkits differ in what they call XML; what is plainly something else is refused.
fn content_type(headers: &HeaderMap) -> Result<(Option<String>, Vec<&'static str>), Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok((None, vec!["content_type_absent"])) };
    let text = value.to_str().unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let tolerated = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "text/xml" => vec![],
        "application/xml" => vec!["content_type_application_xml"],
        // SOAP 1.2's; which version it really is, its envelope says.
        "application/soap+xml" => vec!["content_type_soap12"],
        _ => {
            let said = "Se espera un mensaje SOAP 1.1 (Content-Type: text/xml).";
            return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, said).into());
        }
    };
    let mut named = parts.filter_map(|p| p.split_once('='));
    let charset = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    Ok((charset.map(|(_, value)| value.trim().to_owned()), tolerated))
}

/// Whether the body is compressed. A coding that is not taken off, or several, are refused.
fn gzip(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter().map(|v| v.as_bytes().trim_ascii());
    let coding = codings.next().unwrap_or_default();
    if codings.next().is_none() {
        if coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
            return Ok(false);
        }
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return Ok(true);
        }
    }
    let said = "El cuerpo debe llegar sin comprimir o comprimido una vez con gzip (Content-Encoding).";
    let mut refusal = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, said);
    refusal.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    Err(refusal.into())
}

/// How the SOAPAction departs from the contract's `""`. Nothing is decided by it (CONTRACT §2).
fn soap_action(headers: &HeaderMap, operations: &[&str]) -> Option<&'static str> {
    let Some(value) = headers.get(SOAP_ACTION) else { return Some("soap_action_absent") };
    let text = value.to_str().unwrap_or("?").trim();
    let unquoted = text.trim_matches('"');
    match unquoted {
        "" => None,
        name if operations.contains(&name) => Some("soap_action_operation"),
        uri if uri.contains(':') => Some("soap_action_uri"),
        _ => Some("soap_action_other"),
    }
}

fn reply_response(status: StatusCode, reply: Reply) -> Response {
    let body = Body::new(reply.message.into_body(reply.document));
    (status, [(header::CONTENT_TYPE, soap::CONTENT_TYPE)], body).into_response()
}

pub fn fault_response(status: StatusCode, fault: &Fault) -> Response {
    reply_response(status, fault.message().into())
}

/// The answer to a body that did not come whole, or is not wanted. The connection is closed after it.
fn broken(why: Broken, error: Option<&BodyError>) -> Response {
    let wrong = |text| fault_response(StatusCode::INTERNAL_SERVER_ERROR, &Fault::client(text));
    let mut response = match why {
        Broken::TooLarge => wrong("El mensaje excede el tamaño permitido."),
        Broken::Slow => wrong("El mensaje tardó demasiado en llegar."),
        Broken::Cut => wrong("El mensaje llegó incompleto."),
        Broken::NotGzip => wrong("El mensaje dice venir comprimido con gzip y no se puede descomprimir."),
        Broken::Bomb => wrong("El mensaje comprimido crece más de lo que se admite."),
        Broken::Busy => busy(),
    };
    tracing::debug!(?why, ?error, "a message did not come whole");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer of a service that serves all it can already: whoever gets it has delivered nothing and may try again. The
/// connection is closed after it, as what the caller is sending is not read.
pub fn busy() -> Response {
    let text = "El servicio está atendiendo todo lo que admite a la vez; vuelva a intentarlo en unos segundos.";
    let mut response = fault_response(StatusCode::SERVICE_UNAVAILABLE, &Fault::server(text));
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer while nothing is taken in: the platform has delivered nothing, and comes back.
pub fn maintenance(wait: std::time::Duration) -> Response {
    let text =
        "El servicio de la entidad está en mantenimiento y no registró la operación; vuelva a intentarlo después.";
    let mut response = fault_response(StatusCode::SERVICE_UNAVAILABLE, &Fault::server(text));
    response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A short answer for people and probes.
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

/// No route is here.
pub async fn no_route() -> Response {
    plain(StatusCode::NOT_FOUND, "Aquí no hay nada.")
}

/// The route is here, the method is not. The router adds `Allow`.
pub async fn no_method() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "Este servicio no admite ese método.")
}

/// Whether a GET asks for the service's description: `?wsdl`, in any case, alone or among others.
pub fn asks_wsdl(uri: &Uri) -> bool {
    let mut names = uri.query().unwrap_or_default().split('&').filter_map(|p| p.split('=').next());
    names.any(|name| name.eq_ignore_ascii_case("wsdl"))
}

/// A description whose address is `base` (scheme and host) with `path`.
pub fn wsdl_response(template: &str, base: &str, path: &str) -> Response {
    let text = wsdl::with_address(template, &format!("{}{path}", base.trim_end_matches('/')));
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response()
}

/// Scheme and host under which the caller reached us, `secured` with TLS or not. `Err` if the header is no host: it goes
/// into what we answer.
pub fn callers_base(headers: &HeaderMap, secured: bool) -> Result<String, Refusal> {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let plausible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.chars().all(plausible) {
        return Err(plain(StatusCode::BAD_REQUEST, "La cabecera Host no es válida.").into());
    }
    Ok(format!("{}://{host}", if secured { "https" } else { "http" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(value: Option<&'static str>) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(SOAP_ACTION, HeaderValue::from_static(value));
        }
        soap_action(&headers, &["cargoResponse"])
    }

    #[test]
    fn every_form_of_soapaction_has_its_name() {
        assert_eq!(action(Some("\"\"")), None);
        assert_eq!(action(Some("")), None);
        assert_eq!(action(None), Some("soap_action_absent"));
        assert_eq!(action(Some("\"cargoResponse\"")), Some("soap_action_operation"));
        assert_eq!(action(Some("cargoResponse")), Some("soap_action_operation"));
        assert_eq!(action(Some("\"http://ws/cargoResponse\"")), Some("soap_action_uri"));
        assert_eq!(action(Some("urn:x")), Some("soap_action_uri"));
        assert_eq!(action(Some("x y")), Some("soap_action_other"));
    }

    #[test]
    fn a_description_is_asked_for_in_any_case() {
        for (uri, expected) in [
            ("/a?wsdl", true),
            ("/a?WSDL", true),
            ("/a?wsdl=", true),
            ("/a?x=1&Wsdl", true),
            ("/a", false),
            ("/a?xsd=wsdl", false),
        ] {
            assert_eq!(asks_wsdl(&uri.parse().unwrap()), expected, "{uri}");
        }
    }

    #[test]
    fn a_host_that_is_none_is_not_repeated() {
        let base = |host: &'static str| {
            let headers = [(header::HOST, HeaderValue::from_static(host))].into_iter().collect();
            callers_base(&headers, false).ok()
        };
        assert_eq!(base("mesa.ejemplo.gob.pe:8080").as_deref(), Some("http://mesa.ejemplo.gob.pe:8080"));
        assert_eq!(base("[::1]:80").as_deref(), Some("http://[::1]:80"));
        for host in ["", "a/b", "x\"><script>", "a b", "user@host"] {
            assert_eq!(base(host), None, "{host}");
        }
    }
}
