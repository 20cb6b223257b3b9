//! The REST API for the entity's document system (INTERFACES, "REST, on `listen.api`"). One file per resource; handlers
//! return `Result` with a [`Problem`] and never build an error answer themselves.
//!
//! A caller sees only the records of its key's entity; those of others do not exist for it. Documents stream both ways.

mod api_keys;
mod auditoria;
mod decisions;
mod despachos;
mod directory;
mod download;
mod events;
mod evidence;
pub(in crate::sgd) mod failure;
mod fields;
mod form;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gauges;
mod health;
mod idempotency;
pub(in crate::sgd) mod intake;
mod listing;
mod query;
mod queue;
mod recepciones;
mod scan;
pub mod stream;
pub(in crate::sgd) mod view;
mod wait;
mod webhooks;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderValue, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use health::Check;
pub use stream::Streams;

use crate::{
    audit::Log,
    domain::{Despacho, Id, Recepcion},
    exchange::Exchange,
    http::{
        Acceso, Grupo, Problem,
        auth::protected,
        limits::{Intake, bound},
        problem::{no_method, no_route},
    },
    sgd::webhook::Webhooks,
    telemetry::Metrics,
};

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    pub exchange: Exchange,
    pub audit: Arc<Log>,
    pub metrics: Arc<Metrics>,
    pub webhooks: Webhooks,
    /// Largest JSON of a request beside its documents, in bytes.
    pub json_bytes_max: usize,
    /// What `/readyz` asks.
    pub checks: Arc<[Check]>,
    /// Callers that follow the feed.
    pub streams: Streams,
    /// Callers that wait for a state are answered when this is cancelled.
    pub stop: CancellationToken,
}

impl Api {
    /// A despacho the caller may see.
    async fn despacho(&self, acceso: &Acceso, id: &str) -> Result<Despacho, Problem> {
        let found = self.exchange.store().despacho(query::id(id)?).await.map_err(failure::store)?;
        found.filter(|d| acceso.alcanza(&d.entidad)).ok_or_else(|| query::not_found(id))
    }

    /// A recepcion the caller may see.
    async fn recepcion(&self, acceso: &Acceso, id: &str) -> Result<Recepcion, Problem> {
        let found = self.exchange.store().recepcion(query::id(id)?).await.map_err(failure::store)?;
        found.filter(|r| acceso.alcanza(&r.entidad)).ok_or_else(|| query::not_found(id))
    }

    /// The history of one exchange.
    async fn history(&self, id: Id) -> Result<Response, Problem> {
        let facts = self.exchange.store().facts_of(id).await.map_err(failure::store)?;
        Ok(json(&view::Items::whole(facts.iter().map(view::fact))))
    }
}

/// The API, health and metrics, bounded by `intake`.
pub fn router(api: Api, intake: Intake) -> Router {
    let exchange = api.exchange.clone();
    let group = |grupo, routes| protected(grupo, &exchange, routes);
    Router::new()
        .merge(group(Grupo::Leer, reading()))
        .merge(group(Grupo::Directorio, directory()))
        .merge(group(Grupo::Despachar, dispatching()))
        .merge(group(Grupo::Operar, operation()))
        .merge(group(Grupo::Responder, answering()))
        .merge(group(Grupo::Auditar, auditing()))
        .merge(group(Grupo::Administrar, administration()))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(api)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(intake, bound))
        .layer(map_response(private))
}

fn reading() -> Router<Api> {
    Router::new()
        .route("/api/v1/despachos", get(despachos::list))
        .route("/api/v1/despachos/{id}", get(despachos::show))
        .route("/api/v1/despachos/{id}/documento", get(despachos::document))
        .route("/api/v1/despachos/{id}/cargo", get(despachos::cargo))
        .route("/api/v1/despachos/{id}/historial", get(despachos::history))
        .route("/api/v1/despachos/{id}/evidencia", get(evidence::of_despacho))
        .route("/api/v1/recepciones/{id}/evidencia", get(evidence::of_recepcion))
        .route("/api/v1/recepciones", get(recepciones::list))
        .route("/api/v1/recepciones/{id}", get(recepciones::show))
        .route("/api/v1/recepciones/{id}/documento", get(recepciones::document))
        .route("/api/v1/recepciones/{id}/cargo", get(recepciones::cargo))
        .route("/api/v1/recepciones/{id}/historial", get(recepciones::history))
        .route("/api/v1/eventos", get(events::page))
        .route("/api/v1/cola", get(queue::list))
        .route("/api/v1/cola/{id}", get(queue::show))
}

fn directory() -> Router<Api> {
    Router::new()
        .route("/api/v1/entidades", get(directory::entities))
        .route("/api/v1/entidades/{ruc}", get(directory::entity))
        .route("/api/v1/categorias", get(directory::categories))
        .route("/api/v1/tipos-documento", get(directory::document_types))
}

fn dispatching() -> Router<Api> {
    Router::new()
        .route("/api/v1/despachos", post(despachos::create))
        .route("/api/v1/despachos/{id}/anular", post(decisions::withdraw))
        .route("/api/v1/despachos/{id}/reintentar", post(decisions::retry))
        .route("/api/v1/despachos/{id}/consultar", post(decisions::ask))
        .route("/api/v1/despachos/{id}/subsanar", post(decisions::correct))
        .route("/api/v1/recepciones/{id}/derivar", post(decisions::pass_on))
}

fn operation() -> Router<Api> {
    Router::new()
        .route("/api/v1/cola/{id}/reintentar", post(queue::retry))
        .route("/api/v1/cola/{id}/descartar", post(queue::discard))
        .route("/api/v1/salud", get(queue::health))
        .route("/api/v1/webhooks", get(webhooks::list))
        .route("/api/v1/webhooks/{nombre}", get(webhooks::show))
        .route("/api/v1/webhooks/{nombre}/ping", post(webhooks::ping))
        .route("/api/v1/webhooks/{nombre}/repetir", post(webhooks::again))
        .route("/api/v1/salud/textos", get(queue::texts))
        .route("/api/v1/entidades/actualizar", post(directory::refresh))
}

fn answering() -> Router<Api> {
    Router::new()
        .route("/api/v1/recepciones/{id}/registrar", post(recepciones::file))
        .route("/api/v1/recepciones/{id}/recepcionar", post(recepciones::accept))
        .route("/api/v1/recepciones/{id}/observar", post(recepciones::object))
}

fn auditing() -> Router<Api> {
    Router::new()
        .route("/api/v1/auditoria", get(auditoria::list))
        .route("/api/v1/auditoria/checkpoint", get(auditoria::latest).post(auditoria::checkpoint))
}

fn administration() -> Router<Api> {
    Router::new()
        .route("/api/v1/admin/api-keys", get(api_keys::list).post(api_keys::create))
        .route("/api/v1/admin/api-keys/{id}", delete(api_keys::revoke))
}

/// Answers are for their caller alone, and are what their type says.
pub(in crate::sgd) async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn json<T: Serialize>(value: &T) -> Response {
    Json(value).into_response()
}
