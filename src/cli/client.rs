//! Calls to a daemon's REST API: over the network with a key, over the control socket as the operator of the machine, or,
//! when the daemon is stopped, into the same router in this process.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use futures_util::StreamExt;
use http::{Method, Request, header};
use reqwest::{Client, Url, multipart::Form};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Failure,
    causes::in_spanish,
    daemon::{self, CONTROL_SOCKET, Overrides},
};
use crate::{
    config::Config,
    exchange::{Exchange, SystemClock},
    http::{limits::InFlight, rates::Rates, server::Peer},
    sgd::rest::Streams,
    store::StoreError,
    telemetry::Metrics,
};

/// The host that stands in addresses for the daemon behind the control socket.
const CONTROL_HOST: &str = "chasqui.local";

/// Wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Wait for more of an answer; longer than a daemon waits for the platform on request.
const READ: Duration = Duration::from_secs(180);

/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

pub enum Api {
    Remote {
        http: Client,
        base: Url,
        key: Option<String>,
    },
    /// The daemon is stopped: its router, on its store.
    Here {
        router: Router,
        exchange: Box<Exchange>,
    },
}

impl Api {
    /// A daemon on the network.
    pub fn network(url: &str, key: String) -> Result<Self, Failure> {
        let base = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| Failure::Usage(format!("«{url}» no es una dirección http:// o https://")))?;
        Ok(Self::Remote { http: client(Client::builder())?, base, key: Some(key) })
    }

    /// The daemon that runs on this configuration's data, or that data itself if none does.
    pub async fn local(config: &Config) -> Result<Self, Failure> {
        let socket = config.data_dir.join(CONTROL_SOCKET);
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            return Self::control(&socket);
        }
        if !config.data_dir.is_dir() {
            let dir = config.data_dir.display();
            return Err(Failure::Failed(format!("no hay datos en {dir}: ¿es esta la configuración del servicio?")));
        }
        let store = match daemon::open_store(config, &SystemClock).await {
            Ok(store) => store,
            Err(daemon::StartError::Store(StoreError::Locked(_))) => {
                return Err(Failure::Unreachable(no_socket(&config.data_dir, &socket)));
            }
            Err(error) => return Err(Failure::Failed(error.to_string())),
        };
        let exchange = daemon::exchange(config, Overrides::default(), store);
        let exchange = exchange.map_err(|error| Failure::Failed(error.to_string()))?;
        let audit = daemon::audit_log(config, &exchange).map_err(|error| Failure::Failed(error.to_string()))?;
        let webhooks = daemon::webhooks(config).map_err(|error| Failure::Failed(error.to_string()))?;
        let tablas = daemon::tablas(config).map_err(|error| Failure::Failed(error.to_string()))?;
        let told = daemon::Told { webhooks: &webhooks, tablas: &tablas };
        let metrics = Arc::new(Metrics::default());
        let rates = Rates::new(&config.limits);
        let running =
            daemon::Running { stop: CancellationToken::new(), rates, reload: None, streams: Streams::default() };
        let in_flight = InFlight::new(config.limits.bytes_in_flight_max.bytes());
        let router = daemon::api_router(config, &exchange, &audit, &metrics, &told, in_flight, &running);
        Ok(Self::Here { router, exchange: Box::new(exchange) })
    }

    /// The daemon behind a control socket.
    pub fn control(socket: &Path) -> Result<Self, Failure> {
        let base = Url::parse(&format!("http://{CONTROL_HOST}")).map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Self::Remote { http: client(Client::builder().unix_socket(socket))?, base, key: None })
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        match self {
            Self::Remote { .. } => {
                let mut request = self.request(method, path)?;
                if let Some(body) = body {
                    request = request.json(body);
                }
                answered(request).await
            }
            Self::Here { router, .. } => {
                let body = body.map_or_else(Body::empty, |value| Body::from(value.to_string()));
                let mut request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(body)
                    .map_err(|error| Failure::Usage(error.to_string()))?;
                request.extensions_mut().insert(Peer::Local);
                let response = match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                let status = response.status();
                let body = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
                read(status, &body.map_err(|error| Failure::Failed(error.to_string()))?)
            }
        }
    }

    /// Sends a form. Only over the network or the control socket.
    pub async fn form(&self, path: &str, form: Form) -> Result<Value, Failure> {
        answered(self.request(Method::POST, path)?.multipart(form)).await
    }

    /// A document, whole. Only over the network or the control socket.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let (status, body) = fetched(self.request(Method::GET, path)?).await?;
        if status.is_success() { Ok(body) } else { read(status, &body).map(|_| Vec::new()) }
    }

    /// Writes what is at `path` into `file` as it comes; `false` if there is nothing.
    pub async fn save(&self, path: &str, file: &mut tokio::fs::File) -> Result<bool, Failure> {
        let response: http::Response<Body> = match self {
            Self::Remote { .. } => {
                let answer = self.request(Method::GET, path)?.send().await.map_err(|error| unreachable(&error))?;
                http::Response::from(answer).map(Body::new)
            }
            Self::Here { router, .. } => {
                let request = Request::builder().uri(path).body(Body::empty());
                let mut request = request.map_err(|error| Failure::Usage(error.to_string()))?;
                request.extensions_mut().insert(Peer::Local);
                match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        };
        let (status, body) = (response.status(), response.into_body());
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("la descarga se cortó: {error}"));
        if !status.is_success() {
            let body = to_bytes(body, ANSWER_BYTES_MAX).await.map_err(|error| failed(&error))?;
            return if status == http::StatusCode::NOT_FOUND { Ok(false) } else { read(status, &body).map(|_| false) };
        }
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| failed(&error))?;
            file.write_all(&piece).await.map_err(|error| failed(&in_spanish(&error)))?;
        }
        file.sync_all().await.map_err(|error| failed(&in_spanish(&error)))?;
        Ok(true)
    }

    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let Self::Remote { http, base, key } = self else {
            return Err(Failure::Unreachable("el servicio no está en marcha".into()));
        };
        let url = base.join(path).map_err(|error| Failure::Usage(error.to_string()))?;
        let request = http.request(method, url);
        Ok(match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
    }

    /// Leaves a stopped daemon's store as it should be.
    pub async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Remote { .. } => Ok(()),
            Self::Here { exchange, .. } => {
                exchange.store().close().await.map_err(|error| Failure::Failed(error.to_string()))
            }
        }
    }
}

/// Why a daemon that runs cannot be spoken to from here.
fn no_socket(data_dir: &Path, socket: &Path) -> String {
    let socket = socket.display();
    match tempfile::tempfile_in(data_dir) {
        Ok(_) => format!("el servicio está en marcha pero no atiende en {socket}: ¿está arrancando o deteniéndose?"),
        Err(error) => format!(
            "el servicio está en marcha, pero el disco no deja escribir en {} ({}) y por eso falta {socket}, por donde hablan las \
             órdenes de esta máquina. Tampoco acepta documentos nuevos; lo guardado se lee por su API, con clave. Libere espacio o \
             vuelva a montar el disco con escritura: lo demás se recupera solo",
            data_dir.display(),
            in_spanish(&error)
        ),
    }
}

fn client(builder: reqwest::ClientBuilder) -> Result<Client, Failure> {
    // A second installation is no error: the first one stands.
    rustls::crypto::ring::default_provider().install_default().ok();
    let builder = builder.connect_timeout(CONNECT).read_timeout(READ).redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(|error| Failure::Failed(format!("no se puede preparar el cliente HTTP: {error}")))
}

async fn answered(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
    let (status, body) = fetched(request).await?;
    read(status, &body)
}

async fn fetched(request: reqwest::RequestBuilder) -> Result<(http::StatusCode, Vec<u8>), Failure> {
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Failure::Failed("la respuesta es demasiado grande".into()));
        }
        body.extend_from_slice(&piece);
    }
    Ok((status, body))
}

fn unreachable(error: &reqwest::Error) -> Failure {
    let place = match error.url() {
        Some(url) if url.host_str() == Some(CONTROL_HOST) => " al servicio de esta máquina".into(),
        Some(url) => format!(" a {}", url.origin().ascii_serialization()),
        None => String::new(),
    };
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let what = if error.is_connect() {
        "no se pudo conectar"
    } else if error.is_timeout() {
        "no hubo respuesta a tiempo al llamar"
    } else {
        "se interrumpió la llamada"
    };
    let cause = cause.downcast_ref::<std::io::Error>().map_or_else(|| cause.to_string(), in_spanish);
    Failure::Unreachable(format!("{what}{place}: {cause}"))
}

/// The answer's JSON, or what the problem in it says.
fn read(status: http::StatusCode, body: &[u8]) -> Result<Value, Failure> {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    match value {
        None if status == http::StatusCode::NO_CONTENT => Ok(Value::Null),
        Some(value) if status.is_success() => Ok(value),
        Some(problem) if problem.get("code").is_some() => Err(Failure::Failed(said(&problem))),
        _ => Err(Failure::Unreachable(format!("la dirección respondió {status}, no como la API de chasqui"))),
    }
}

/// A problem in words: its detail, and each wrong field on a line of its own.
fn said(problem: &Value) -> String {
    let text = |value: &Value, member: &str| value[member].as_str().unwrap_or_default().to_owned();
    let fields = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut said = format!("{} ({})", text(problem, "title"), text(problem, "code"));
    if fields.is_empty() {
        said += &format!(": {}", text(problem, "detail"));
    }
    for field in fields {
        said += &format!("\n  {}: {}", text(field, "field"), text(field, "detail"));
    }
    if let Some(id) = problem["id"].as_str() {
        said += &format!("\n  id: {id}");
    }
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn problems_are_said_with_all_their_fields() {
        let problem = json!({"title": "Hay campos que no son válidos", "code": "campos_no_validos", "detail": "2 campos",
                             "errors": [{"field": "asunto", "code": "excede", "detail": "Es muy largo"},
                                        {"field": "folios", "code": "no_valido", "detail": "Debe ser un número"}]});
        let Err(Failure::Failed(text)) = read(http::StatusCode::UNPROCESSABLE_ENTITY, problem.to_string().as_bytes())
        else {
            panic!("a problem is a failure")
        };
        assert_eq!(
            text,
            "Hay campos que no son válidos (campos_no_validos)\n  asunto: Es muy largo\n  folios: Debe ser un número"
        );
    }

    #[test]
    fn a_daemon_without_its_socket_is_told_from_a_disk_that_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let said = |dir: &Path| no_socket(dir, &dir.join(CONTROL_SOCKET));
        assert!(said(folder.path()).contains("no atiende en"));
        let refused = said(&folder.path().join("no"));
        assert!(refused.contains("el disco no deja escribir") && refused.contains(CONTROL_SOCKET), "{refused}");
    }

    #[test]
    fn what_is_not_our_api_is_not_taken_for_it() {
        for body in ["<html>", "", "{\"error\": 1}"] {
            assert!(matches!(read(http::StatusCode::BAD_GATEWAY, body.as_bytes()), Err(Failure::Unreachable(_))));
        }
        assert!(matches!(read(http::StatusCode::OK, b"<html>"), Err(Failure::Unreachable(_))));
    }
}
