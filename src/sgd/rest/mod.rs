//! The REST API for the entity's document system (INTERFACES, "REST, on `listen.api`"). One file per resource; handlers
//! return `Result` with a [`Problem`] and never build an error answer themselves.
//!
//! A caller sees only the records of its key's entity; those of others do not exist for it. Documents stream both ways.

mod anexos;
mod api_keys;
mod auditoria;
mod decisions;
mod despachos;
mod directory;
mod events;
mod evidence;
mod fields;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gauges;
mod health;
mod idempotency;
pub(in crate::sgd) mod intake;
pub mod listing;
mod maintenance;
mod openapi;
mod query;
mod queue;
mod recepciones;
mod reload;
pub(in crate::sgd) mod retention;
mod routes;
mod scan;
pub mod statistics;
pub mod stream;
mod tables;
mod usuarios;
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
};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use health::Check;
pub use intake::ANNEXES_MAX;
use openapi::operation::Operacion;
pub use reload::{Reload, Reloaded};
pub use stream::Streams;

use crate::{
    audit::Log,
    domain::{Despacho, Documento, Id, Recepcion},
    exchange::Exchange,
    http::{
        Acceso, Problem,
        auth::{Door, protected},
        download::{self, Manner, not_purged},
        failure, form,
        limits::{Intake, bound},
        problem::{no_method, no_route},
        rates::Rates,
    },
    sgd::{annexes::fetch::Fetching, tables::Tablas, webhook::Webhooks},
    telemetry::Metrics,
};

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    pub exchange: Exchange,
    pub audit: Arc<Log>,
    pub metrics: Arc<Metrics>,
    pub webhooks: Webhooks,
    pub tablas: Tablas,
    /// How annexes of received documents are downloaded.
    pub fetching: Fetching,
    /// Largest JSON of a request beside its documents, in bytes.
    pub json_bytes_max: usize,
    /// What `/readyz` asks.
    pub checks: Arc<[Check]>,
    /// How often a key may ask.
    pub rates: Rates,
    /// Has the configuration read again; `None` without a daemon.
    pub reload: Option<Arc<dyn Reload>>,
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

    /// A document as a file to be kept.
    async fn download(&self, document: &Documento, asked: &HeaderMap) -> Result<Response, Problem> {
        download::pdf(&**self.exchange.store(), document, Manner::Attachment, asked).await
    }

    /// The history of one exchange.
    async fn history(&self, id: Id) -> Result<Response, Problem> {
        let facts = self.exchange.store().facts_of(id).await.map_err(failure::store)?;
        let told = self.exchange.se_cuentan(&facts).await.map_err(failure::store)?;
        Ok(json(&view::Items::whole(view::facts(&facts, &told))))
    }
}

/// The API, health and metrics, bounded by `intake`.
pub fn router(api: Api, intake: Intake) -> Router {
    let door = Door { exchange: api.exchange.clone(), rates: api.rates.clone(), metrics: Arc::clone(&api.metrics) };
    let mut routes = Router::new();
    for Operacion { ruta, grupo, servicio, .. } in routes::operaciones() {
        let route = Router::new().route(ruta, servicio);
        routes = routes.merge(match grupo {
            Some(grupo) => protected(grupo, &door, route),
            None => route,
        });
    }
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(api)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(intake, bound))
        .layer(map_response(private))
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
