//! `/api/v1/webhooks`: how each webhook is doing, a message that tries it, and telling again what was told.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, events, failure, fields::Fields, json, query, view::Items};
use crate::{
    domain::lima,
    exchange::Exchange,
    http::{Acceso, Problem},
    sgd::webhook::{Desde, Endpoint, WebhookView, Webhooks},
};

/// How the webhooks that a caller may see are doing.
pub async fn views(api: &Api, acceso: &Acceso) -> Result<Vec<WebhookView>, Problem> {
    let mut found = Vec::new();
    for endpoint in api.webhooks.of(acceso) {
        found.push(view(endpoint, &api.exchange).await?);
    }
    Ok(found)
}

async fn view(endpoint: &Endpoint, exchange: &Exchange) -> Result<WebhookView, Problem> {
    endpoint.view(exchange).await.map_err(failure::store)
}

fn named<'a>(webhooks: &'a Webhooks, acceso: &'a Acceso, nombre: &str) -> Result<&'a Endpoint, Problem> {
    webhooks.of(acceso).find(|one| one.nombre() == nombre).ok_or_else(|| query::not_found(nombre))
}

pub async fn list(State(api): State<Api>, acceso: Acceso) -> Result<Response, Problem> {
    Ok(json(&Items::whole(views(&api, &acceso).await?)))
}

pub async fn show(State(api): State<Api>, acceso: Acceso, Path(nombre): Path<String>) -> Result<Response, Problem> {
    Ok(json(&view(named(&api.webhooks, &acceso, &nombre)?, &api.exchange).await?))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PruebaDeWebhook")]
pub struct Ping {
    entregado: bool,
    estado_http: Option<u16>,
    milisegundos: Option<u128>,
    detalle: Option<String>,
}

/// Sends a signed message of type `ping` and says what came of it.
pub async fn ping(State(api): State<Api>, acceso: Acceso, Path(nombre): Path<String>) -> Result<Response, Problem> {
    let endpoint = named(&api.webhooks, &acceso, &nombre)?;
    Ok(json(&match endpoint.ping(&api.exchange).await {
        Ok(accepted) => Ping {
            entregado: true,
            estado_http: Some(accepted.status),
            milisegundos: Some(accepted.took.as_millis()),
            detalle: None,
        },
        Err(refused) => {
            Ping { entregado: false, estado_http: refused.status, milisegundos: None, detalle: Some(refused.motivo) }
        }
    }))
}

/// Tells again: `{"desde": CURSOR or date}` or `{"id": a despacho or recepcion}`.
pub async fn again(
    State(api): State<Api>,
    acceso: Acceso,
    Path(nombre): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let endpoint = named(&api.webhooks, &acceso, &nombre)?;
    let mut fields = Fields::new(api.receive_plain(request).await?, &["desde", "id"]);
    let (desde, id) = (fields.text("desde"), fields.text("id"));
    fields.finish()?;
    let from = match (desde, id) {
        (Some(desde), None) => since(&desde)?,
        (None, Some(id)) => Desde::Intercambio(query::id(&id)?),
        _ => return Err(Problem::field("desde", "no_especificado", "Diga desde dónde con «desde», o qué con «id»")),
    };
    endpoint.repetir(&api.exchange, &acceso.actor, from).await.map_err(failure::exchange)?;
    let mut response = json(&view(endpoint, &api.exchange).await?);
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn since(text: &str) -> Result<Desde, Problem> {
    if let Ok(place) = events::place(text) {
        return Ok(Desde::Cursor(place.at));
    }
    let what = "Debe ser un cursor de /api/v1/eventos o una fecha, como 2026-11-21T09:30:00-05:00";
    let at = lima::leer(text).ok_or_else(|| Problem::field("desde", "no_valido", what))?;
    Ok(Desde::Momento(at))
}
