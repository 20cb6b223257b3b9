//! What the SGD may still do with a document: withdraw it, try it again, ask now, correct it, pass it on.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::StatusCode;
use http_body::Body as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Api,
    despachos::{accepted, read},
    failure,
    fields::Fields,
    idempotency::{self, Target},
    intake::DOCUMENT,
    json,
    query::Params,
    view, wait,
};
use crate::http::{Acceso, Problem};

/// `POST …/anular`, with `{"motivo": …}` or nothing.
pub async fn withdraw(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = api.despacho(&acceso, &id).await?.id;
    let motivo = reason(&api, request).await?;
    let done = api.exchange.anular(&acceso.actor, acceso.entidad.as_ref(), id, motivo.as_deref()).await;
    Ok(json(&view::despacho(&done.map_err(failure::exchange)?)))
}

/// `POST …/reintentar`: from the beginning if it failed, at once if it waits.
pub async fn retry(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = api.despacho(&acceso, &id).await?.id;
    let done = api.exchange.reintentar_despacho(&acceso.actor, acceso.entidad.as_ref(), id).await;
    let mut response = json(&view::despacho(&done.map_err(failure::exchange)?));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RespuestaDeConsulta")]
pub struct Told<'a> {
    codigo: Option<&'a str>,
    descripcion: Option<&'a str>,
    despacho: view::DespachoView<'a>,
}

/// `POST …/consultar`: asks the receiver now; a cargo it has comes with the answer.
pub async fn ask(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = api.despacho(&acceso, &id).await?.id;
    let (told, despacho) = api.exchange.consultar(acceso.entidad.as_ref(), id).await.map_err(failure::exchange)?;
    Ok(json(&Told {
        codigo: told.codigo.as_deref(),
        descripcion: told.descripcion.as_deref(),
        despacho: view::despacho(&despacho),
    }))
}

/// `POST …/subsanar`: the body of a new despacho; without `destino` it goes to the same entity.
pub async fn correct(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let observed = api.despacho(&acceso, &id).await?;
    let (wait, key) = (wait::asked(&params.only(&["esperar"])?)?, idempotency::key(request.headers())?);
    let received = api.receive(request, &DOCUMENT).await?;
    let target = Target { operation: "subsanar", id: Some(observed.id), entidad: &observed.entidad };
    let idempotency = key.map(|key| idempotency::of(key, &target, &received));
    let (nuevo, pdf, _) = read(received)?;
    let entidad = acceso.entidad.as_ref();
    let made = api.exchange.subsanar(&acceso.actor, entidad, observed.id, &nuevo, pdf, idempotency.as_ref()).await;
    let made = api.settled(vec![made.map_err(failure::exchange)?], wait).await?;
    Ok(accepted(&made, false))
}

/// `POST /api/v1/recepciones/{id}/derivar`: the body of a new despacho without its document, which is the received one.
pub async fn pass_on(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let received = api.recepcion(&acceso, &id).await?;
    let (wait, key) = (wait::asked(&params.only(&["esperar"])?)?, idempotency::key(request.headers())?);
    let stated = api.receive(request, &DOCUMENT).await?;
    if stated.pdf.is_some() || stated.form {
        let detail = "Al derivar se envía el documento recibido: no se da otro";
        return Err(Problem::field("documento.contenido", "no_valido", detail));
    }
    let target = Target { operation: "derivar", id: Some(received.id), entidad: &received.entidad };
    let idempotency = key.map(|key| idempotency::of(key, &target, &stated));
    let (nuevo, _, several) = read(stated)?;
    let entidad = acceso.entidad.as_ref();
    let made = api.exchange.derivar(&acceso.actor, entidad, received.id, &nuevo, idempotency.as_ref()).await;
    let made = api.settled(made.map_err(failure::exchange)?, wait).await?;
    Ok(accepted(&made, several))
}

/// The `motivo` of a request that may have no body at all.
pub async fn reason(api: &Api, request: Request) -> Result<Option<String>, Problem> {
    if request.body().size_hint().exact() == Some(0) {
        return Ok(None);
    }
    let mut fields = Fields::new(api.receive_plain(request).await?, &["motivo"]);
    let motivo = fields.text("motivo").filter(|text| !text.trim().is_empty());
    fields.finish()?;
    Ok(motivo)
}

/// The `motivo` of a decision that is not taken without one.
pub async fn needed_reason(api: &Api, request: Request) -> Result<String, Problem> {
    let missing = || Problem::field("motivo", "no_especificado", "Diga el motivo: queda en el registro de auditoría");
    reason(api, request).await?.ok_or_else(missing)
}
