//! `/api/v1/cola`: deliveries under way, waiting and given up, each with an explanation; and the health of counterparts.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, decisions::needed_reason, failure, json, query, query::Params, view::Items, webhooks};
use crate::{
    domain::{Falla, Id, Ruc, lima, respuestas::Operacion},
    exchange::{
        Situacion, TextoListado, Trabajo,
        health::{Salud, SaludPlataforma},
    },
    http::{Acceso, Code, Problem},
    sgd::{tables::TablasView, webhook::WebhookView},
    store::JobKind,
};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Trabajo")]
pub struct TrabajoView<'a> {
    id: Id,
    tipo: JobKind,
    situacion: Situacion,
    entidad: &'a Ruc,
    destino: &'a Ruc,
    sujeto: Id,
    cuo: Option<&'a str>,
    numero_registro: Option<&'a str>,
    intentos: u32,
    /// Of a despacho: how often it was sent, and how often it was only asked whether it arrived.
    envios: Option<u32>,
    consultas: Option<u32>,
    falla: Option<Falla>,
    ultimo_error: Option<&'a str>,
    explicacion: &'a str,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    creado_en: Timestamp,
    /// `null` once it was given up.
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    proximo_en: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    detenido_en: Option<Timestamp>,
    salud: Option<&'a Salud>,
}

fn trabajo(t: &Trabajo) -> TrabajoView<'_> {
    let job = &t.job;
    TrabajoView {
        id: job.id,
        tipo: job.kind,
        situacion: t.situacion(),
        entidad: &job.entidad,
        destino: &job.destino,
        sujeto: job.sujeto,
        cuo: t.cuo.as_deref(),
        numero_registro: t.numero_registro.as_deref(),
        intentos: job.intentos,
        envios: t.camino.map(|camino| camino.envios),
        consultas: t.camino.map(|camino| camino.consultas),
        falla: job.falla,
        ultimo_error: job.ultimo_error.as_deref(),
        explicacion: &t.explicacion,
        creado_en: job.creado_en,
        proximo_en: job.muerto_en.is_none().then_some(t.proximo_en),
        detenido_en: job.muerto_en,
        salud: t.salud.as_ref(),
    }
}

pub async fn list(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["limit", "cursor"])?;
    let (entidad, after) = (acceso.entidad.as_ref(), params.cursor()?);
    let (found, next) = api.exchange.trabajos(entidad, after, params.limit()?).await.map_err(failure::exchange)?;
    Ok(json(&Items { items: found.iter().map(trabajo).collect(), next_cursor: next.map(|id| id.to_string()) }))
}

pub async fn show(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let found = api.exchange.trabajo(acceso.entidad.as_ref(), query::id(&id)?).await;
    Ok(json(&trabajo(&found.map_err(failure::exchange)?)))
}

/// Tries it again now; the body says why: `{"motivo": …}`.
pub async fn retry(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = query::id(&id)?;
    let motivo = needed_reason(&api, request).await?;
    let again = api.exchange.reintentar_trabajo(&acceso.actor, acceso.entidad.as_ref(), id, &motivo).await;
    let mut response = json(&trabajo(&again.map_err(failure::exchange)?));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Gives it up for good; the body says why: `{"motivo": …}`.
pub async fn discard(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let id = query::id(&id)?;
    let motivo = needed_reason(&api, request).await?;
    let done = api.exchange.descartar_trabajo(&acceso.actor, acceso.entidad.as_ref(), id, &motivo).await;
    done.map_err(failure::exchange)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Salud")]
pub struct SaludView {
    plataforma: SaludPlataforma,
    webhooks: Vec<WebhookView>,
    tablas: Vec<TablasView>,
    #[serde(flatten)]
    items: Items<Salud>,
}

/// The health of the platform, of webhooks and tables, and of every counterpart that the caller's entities sent something
/// since the start.
pub async fn health(State(api): State<Api>, acceso: Acceso) -> Result<Response, Problem> {
    let (health, now) = (api.exchange.health(), api.exchange.now());
    let webhooks = webhooks::views(&api, &acceso).await?;
    let mut tablas = Vec::new();
    for one in api.tablas.of(&acceso) {
        tablas.push(one.view(&api.exchange).await.map_err(failure::store)?);
    }
    let items = Items::whole(health.todas(acceso.entidad.as_ref(), now));
    Ok(json(&SaludView { plataforma: health.plataforma(now), webhooks, tablas, items }))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Texto")]
pub struct TextoView<'a> {
    texto: &'a str,
    veces: u64,
    falla: Falla,
    codigo: &'a str,
    operacion: Operacion,
    entidad: &'a Ruc,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    primera_vez: Timestamp,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    ultima_vez: Timestamp,
}

/// What other sides said that the catalogue does not know, the most frequent first.
pub async fn texts(State(api): State<Api>, acceso: Acceso) -> Result<Response, Problem> {
    // They are counted for all hosted entities together.
    if acceso.entidad.is_some() {
        let detail = "Los textos se cuentan para todo el servicio: use una clave que no sea de una entidad";
        return Err(Problem::new(Code::EntidadNoPermitida, detail));
    }
    let found = api.exchange.textos().await.map_err(failure::store)?;
    Ok(json(&Items::whole(found.iter().map(texto))))
}

fn texto(listed: &TextoListado) -> TextoView<'_> {
    let TextoListado { texto, visto, falla } = listed;
    TextoView {
        texto,
        veces: visto.veces,
        falla: *falla,
        codigo: &visto.codigo,
        operacion: visto.operacion,
        entidad: &visto.entidad,
        primera_vez: visto.primera_vez,
        ultima_vez: visto.ultima_vez,
    }
}
