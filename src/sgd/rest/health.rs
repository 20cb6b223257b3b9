//! Whether the daemon lives, whether it can take work, and what it counts. Without a key: nothing here tells of documents
//! or people.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, gauges, json};
use crate::{exchange::health::SaludPlataforma, http::Problem, telemetry::metrics::CONTENT_TYPE};

type Probe = dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync;

/// Something that must hold for the daemon to take work.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    probe: Arc<Probe>,
}

impl Check {
    /// `probe` says in Spanish why not.
    pub fn new<F>(name: &'static str, probe: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, probe: Arc::new(move || Box::pin(probe())) }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Preparado")]
pub struct Answer {
    estado: &'static str,
    comprobaciones: Vec<Found>,
    /// Told, and no reason not to be ready: without the platform documents are taken all the same, and wait.
    plataforma: SaludPlataforma,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Comprobacion")]
pub struct Found {
    nombre: &'static str,
    estado: &'static str,
    detalle: Option<String>,
}

pub async fn alive() -> Response {
    json(&serde_json::json!({ "estado": "vivo" }))
}

/// 200 if every check holds, else 503; either way with each check's result.
pub async fn ready(State(api): State<Api>) -> Response {
    let mut comprobaciones = Vec::with_capacity(api.checks.len() + 2);
    for check in api.checks.iter() {
        let detalle = (check.probe)().await.err();
        comprobaciones.push(Found { nombre: check.name, estado: word(detalle.is_none()), detalle });
    }
    let stopping = api.stop.is_cancelled().then(|| "El servicio se está deteniendo".to_owned());
    comprobaciones.push(Found { nombre: "servicio", estado: word(stopping.is_none()), detalle: stopping });
    let resting = api.exchange.mantenimiento().map(|found| found.aviso());
    comprobaciones.push(Found { nombre: "mantenimiento", estado: word(resting.is_none()), detalle: resting });
    let all = comprobaciones.iter().all(|found| found.detalle.is_none());
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let estado = if all { "listo" } else { "no_listo" };
    let plataforma = api.exchange.health().plataforma(api.exchange.now());
    (status, json(&Answer { estado, comprobaciones, plataforma })).into_response()
}

fn word(holds: bool) -> &'static str {
    if holds { "bien" } else { "falla" }
}

pub async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let mut page = api.metrics.text().map_err(|error| Problem::internal(&error))?;
    let (exchange, now) = (&api.exchange, api.exchange.now());
    gauges::add_to(&mut page, exchange.health().todas(None, now));
    gauges::add_platform(&mut page, &exchange.health().plataforma(now));
    gauges::add_maintenance(&mut page, exchange.mantenimiento().is_some());
    gauges::add_queue(&mut page, &exchange.store().standing().await, now);
    let mut webhooks = Vec::new();
    for endpoint in api.webhooks.all() {
        // While the index is built anew nothing is known of them; the rest of the page is.
        webhooks.extend(endpoint.view(exchange).await.ok());
    }
    gauges::add_webhooks(&mut page, &webhooks, now);
    let mut tablas = Vec::new();
    for one in api.tablas.all() {
        tablas.extend(one.view(exchange).await.ok());
    }
    gauges::add_tables(&mut page, &tablas);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response())
}
