//! The SOAP service `Tramite` that the platform calls at every entity (CONTRACT §2, INTERFACES "SOAP, on `listen.soap`").
//! One file per operation; [`binding`] and [`body`] are the HTTP side, which the simulator shares.
//!
//! A document streams from the socket through both base64 layers into the store's staging, where nothing stays that is
//! not committed. Business errors are answers; faults are for what is no request. Decides nothing itself: `exchange` does.

pub mod binding;
pub mod body;
mod cargo;
mod consultar;
mod gunzip;
mod recepcionar;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, Uri, header};
use tracing::Instrument;

use self::binding::{Call, Reply};
use crate::{
    contract::{
        Operation, Tolerancia,
        tramite::{self, Request as Asked},
        wsdl,
    },
    domain::{Contenido, Cuo, cargo::Respuesta},
    exchange::Exchange,
    http::{limits::Intake, places::Full, server::Peer, tls::Secured},
    soap::{Fault, Limits, ReadError},
    store::{BlobWriter, Staged, StoreError},
    telemetry::{Metrics, log as lines},
};

/// Where the service is; entities have this path registered today.
pub const PATH: &str = "/wsiotramite/Tramite";

/// The listener it is on, in logs and metrics.
pub const LISTENER: &str = "soap";

/// What the service needs.
#[derive(Clone)]
pub struct Wsiotramite {
    pub exchange: Exchange,
    pub intake: Intake,
    pub metrics: Arc<Metrics>,
    /// Scheme and host to publish in the description; `None`: those the caller used.
    pub public_url: Option<Arc<str>>,
}

/// All that answers on `listen.soap`.
pub fn router(state: Wsiotramite) -> Router {
    Router::new()
        .route(PATH, get(describe).post(call))
        .route("/healthz", get(|| async { binding::plain(http::StatusCode::OK, "vivo") }))
        .fallback(binding::no_route)
        .method_not_allowed_fallback(binding::no_method)
        .with_state(state)
}

async fn describe(
    State(state): State<Wsiotramite>,
    secured: Option<axum::Extension<Secured>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !binding::asks_wsdl(&uri) {
        return page();
    }
    let base = match &state.public_url {
        Some(url) => url.to_string(),
        None => match binding::callers_base(&headers, secured.is_some()) {
            Ok(base) => base,
            Err(refusal) => return *refusal,
        },
    };
    binding::wsdl_response(wsdl::TRAMITE, &base, PATH)
}

/// For a person who follows the address: messages are posted there (BP R1114), and its description has an address of its own.
fn page() -> Response {
    let html = "<!doctype html><html lang=\"es\"><meta charset=\"utf-8\"><title>wsiotramite</title>\
        <h1>Servicio Tramite (wsiotramite)</h1>\
        <p>Por esta dirección la plataforma de interoperabilidad del Estado (PIDE) entrega documentos y cargos a esta \
        entidad. Se usa con SOAP 1.1; la descripción del servicio está en <a href=\"?wsdl\">?wsdl</a>.</p></html>\n";
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::ALLOW, "POST")];
    (http::StatusCode::METHOD_NOT_ALLOWED, headers, html).into_response()
}

async fn call(State(state): State<Wsiotramite>, request: Request) -> Response {
    let began = Instant::now();
    let peer = request.extensions().get().copied().unwrap_or(Peer::Local);
    let _place = match state.intake.requests.take(peer) {
        Ok(place) => place,
        Err(full) => {
            state.metrics.refused(LISTENER, "requests", full.name());
            return binding::busy();
        }
    };
    if let Some(found) = state.exchange.mantenimiento() {
        state.metrics.refused(LISTENER, "maintenance", Full::All.name());
        return binding::maintenance(found.espera(state.exchange.now()));
    }
    let _under_way = state.metrics.under_way(LISTENER);
    let names = Operation::ALL.map(Operation::name);
    let call = match Call::accept(&state.intake, &names, request) {
        Ok(call) => call,
        Err(refusal) => return state.counted(*refusal),
    };
    state.answered(call, began).instrument(lines::exchange()).await
}

impl Wsiotramite {
    async fn answered(&self, mut call: Call, began: Instant) -> Response {
        let result = self.serve(&mut call).await;
        binding::count(&self.metrics, call.tolerated.iter().copied());
        if let Err(error) = &result {
            tracing::info!(code = error.code(), bytes = call.bytes(), "a message was refused with a fault");
            tracing::debug!(%error, "why it was refused");
        }
        let bytes = call.bytes();
        let response = self.counted(call.answer(result).await);
        let (ms, status) = (began.elapsed().as_millis(), response.status().as_u16());
        tracing::debug!(bytes, ms, status, "answered");
        response
    }

    /// Counts an answer that asks to come back: here, there was no room for the body.
    fn counted(&self, response: Response) -> Response {
        if response.status() == http::StatusCode::SERVICE_UNAVAILABLE {
            self.metrics.refused(LISTENER, "bytes", Full::All.name());
        }
        response
    }

    async fn serve(&self, call: &mut Call) -> Result<Reply, ReadError> {
        call.capture();
        let limits = Limits::with_document(self.exchange.settings().document_bytes_max);
        let mut sink = self.exchange.stage().expecting(call.document_bytes());
        let envelope = call.envelope(limits).await?;
        let operation = tramite::operation(&envelope)?;
        let incoming = match tramite::read(envelope, &mut sink).await {
            Ok(incoming) => incoming,
            Err(ReadError::Sink(cause)) => return Ok(own_fault(operation, cause.downcast_ref())),
            Err(error) => return Err(error),
        };
        let heard = call.captured();
        binding::count(&self.metrics, incoming.tolerancias.into_iter().map(Tolerancia::name));
        Ok(match incoming.request {
            Asked::Recepcionar(tramite) => recepcionar::answer(&self.exchange, &tramite, sink, heard).await,
            Asked::Cargo(cargo) => cargo::answer(&self.exchange, &cargo, sink, heard).await,
            Asked::Consultar(consulta) => consultar::answer(&self.exchange, consulta).await,
        })
    }
}

/// What a caller gets whose request ended in a panic of ours ([`crate::http::server::Options::on_panic`]).
pub fn on_panic() -> Response {
    let text = "El servicio de la entidad tuvo un error interno y no registró la operación; vuelva a intentarlo.";
    binding::fault_response(http::StatusCode::INTERNAL_SERVER_ERROR, &Fault::server(text))
}

/// What a caller gets for whom there is no place ([`crate::http::server::Options::on_overload`]).
pub fn on_overload() -> Response {
    binding::busy()
}

/// What a caller gets from whose network nobody may call ([`crate::http::server::Options::on_stranger`]).
pub fn on_stranger() -> Response {
    let text = "Esta dirección solo la atiende para las redes que la entidad autorizó.";
    binding::plain(http::StatusCode::FORBIDDEN, text)
}

/// The document that was taken in, if what came was one. Anything else that was staged is dropped here.
async fn staged(contenido: Contenido, sink: BlobWriter) -> Result<Option<Staged>, StoreError> {
    match contenido {
        Contenido::Pdf { .. } => sink.finish().await.map(Some),
        _ => Ok(None),
    }
}

/// The answer when our own store failed.
fn own_fault(operation: Operation, error: Option<&StoreError>) -> Reply {
    let respuesta = match error {
        Some(error) => Exchange::own_fault(error),
        None => Exchange::own_fault(&StoreError::Closed),
    };
    tracing::error!(operation = operation.name(), ?error, "a document could not be taken in");
    match operation {
        Operation::Recepcionar | Operation::Cargo => tramite::respuesta(operation, &respuesta).into(),
        Operation::Consultar => {
            let answer = crate::domain::cargo::RespuestaConsulta { respuesta, ..Default::default() };
            tramite::respuesta_consulta(&answer, None).into()
        }
    }
}

/// One line per operation: no names, no subjects, no content; the CUO only if it is one.
fn log(operation: Operation, cuo: Option<&str>, respuesta: &Respuesta) {
    let cuo = cuo.and_then(|text| Cuo::parse(text).ok());
    tracing::info!(operation = operation.name(), ?cuo, code = respuesta.codigo(), "answered");
}
