//! `/api/v1/recepciones`: documents that arrived, how they are filed, and the cargos that answer them.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::HeaderMap;

use super::{
    Api, failure,
    fields::Fields,
    intake::{CARGO, Received},
    json, listing, not_purged, query,
    query::Params,
    view,
};
use crate::{
    domain::{Contenido, Desenlace, EstadoRecepcion, Recepcion, recepcion::RecepcionError},
    exchange::{ExchangeError, NuevaRespuesta},
    http::{Acceso, Code, Problem},
    store::Staged,
};

pub async fn list(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let found = listing::find::<Recepcion>(&api, &acceso, params).await?;
    Ok(json(&found.map(view::recepcion)))
}

pub async fn show(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    Ok(json(&view::recepcion(&api.recepcion(&acceso, &id).await?)))
}

pub async fn document(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let recepcion = api.recepcion(&acceso, &id).await?;
    not_purged(recepcion.purga.as_deref())?;
    api.download(&recepcion.documento, &headers).await
}

pub async fn cargo(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let recepcion = api.recepcion(&acceso, &id).await?;
    not_purged(recepcion.purga.as_deref())?;
    let document = recepcion.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref());
    api.download(document.ok_or_else(|| query::not_found("el cargo de esta recepción"))?, &headers).await
}

pub async fn history(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let recepcion = api.recepcion(&acceso, &id).await?;
    api.history(recepcion.id).await
}

/// The SGD says under which number it filed the document.
pub async fn file(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = api.recepcion(&acceso, &id).await?.id;
    let mut fields = Fields::new(api.receive_plain(request).await?, &["numero_registro", "anio_registro"]);
    let (numero, anio) = (fields.text("numero_registro").unwrap_or_default(), fields.text("anio_registro"));
    fields.finish()?;
    let filed = api.exchange.registrar(&acceso.actor, acceso.entidad.as_ref(), id, &numero, anio.as_deref()).await;
    Ok(json(&view::recepcion(&filed.map_err(failure::exchange)?)))
}

pub async fn accept(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    answer(&api, &acceso, &id, request, Desenlace::Recepcionado).await
}

pub async fn object(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    answer(&api, &acceso, &id, request, Desenlace::Observado).await
}

async fn answer(
    api: &Api,
    acceso: &Acceso,
    id: &str,
    request: Request,
    desenlace: Desenlace,
) -> Result<Response, Problem> {
    let known = api.recepcion(acceso, id).await?;
    let received = api.receive(request, &CARGO).await?;
    // Of a document that was answered it is worth nothing to hear which fields another answer would lack.
    let already = |problem: Problem| match (problem.code(), known.estado) {
        (Code::CamposNoValidos, estado) if estado != EstadoRecepcion::Pendiente => {
            failure::exchange(ExchangeError::from(RecepcionError::YaRespondida(estado)))
        }
        _ => problem,
    };
    let (respuesta, pdf) = read(received, desenlace).map_err(already)?;
    let answered = api.exchange.responder(&acceso.actor, acceso.entidad.as_ref(), known.id, &respuesta, pdf).await;
    let answered = answered.map_err(|error| already(failure::exchange(error)))?;
    Ok(json(&view::recepcion(&answered)))
}

pub const MEMBERS: [&str; 8] = [
    "numero_registro",
    "anio_registro",
    "fecha_registro",
    "unidad",
    "codigo_unidad",
    "usuario",
    "observacion",
    "cargo",
];

fn read(received: Received, desenlace: Desenlace) -> Result<(NuevaRespuesta, Option<Staged>), Problem> {
    let Received { members, contenido, pdf, form, .. } = received;
    let mut fields = Fields::new(members, &MEMBERS);
    fields.object("cargo", &["contenido"], |cargo| {
        if form && cargo.has("contenido") {
            cargo.wrong("contenido", "no_valido", "En un formulario el cargo va como archivo, en la parte «cargo»");
        }
        if !form && contenido == Contenido::Ausente {
            cargo.text("contenido");
        }
    });
    if desenlace == Desenlace::Recepcionado && fields.has("observacion") {
        let detail = "Un documento recepcionado no lleva observación; para observarlo use …/observar";
        fields.wrong("observacion", "no_valido", detail);
    }
    let respuesta = NuevaRespuesta {
        desenlace,
        numero_registro: fields.text("numero_registro"),
        anio_registro: fields.text("anio_registro"),
        fecha_registro: fields.text("fecha_registro"),
        unidad: fields.text("unidad"),
        usuario: fields.text("usuario"),
        observacion: fields.text("observacion"),
        contenido,
    };
    // Neither travels nor is kept: accepted because SGDs send it.
    fields.text("codigo_unidad");
    fields.finish()?;
    Ok((respuesta, pdf))
}
