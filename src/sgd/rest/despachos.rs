//! `/api/v1/despachos`: documents that go out.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    Api, failure,
    fields::Fields,
    idempotency::{self, Target},
    intake::{Annex, DOCUMENT, Received},
    json, listing, not_purged, query,
    query::Params,
    view, wait,
};
use crate::{
    domain::{Contenido, Despacho, Destinatario, Persona},
    exchange::NuevoDespacho,
    http::{Acceso, Problem},
    store::Staged,
};

pub const MEMBERS: [&str; 18] = [
    "entidad",
    "numero_registro",
    "destino",
    "destinos",
    "unidad_remitente",
    "codigo_unidad_remitente",
    "usuario",
    "remitente",
    "destinatario",
    "tipo_documento",
    "numero_documento",
    "fecha_documento",
    "asunto",
    "folios",
    "documento",
    "anexos",
    "url_anexos",
    "referencia",
];

pub async fn create(
    State(api): State<Api>,
    acceso: Acceso,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    let params = params.only(&["esperar", "entidad"])?;
    let (wait, key) = (wait::asked(&params)?, idempotency::key(request.headers())?);
    let received = api.receive(request, &DOCUMENT).await?;
    let stated = received.members.get("entidad").and_then(|v| v.as_str()).or(params.text("entidad"));
    let entidad = query::entity(&acceso, stated, &api.exchange.settings().entidades)?;
    let target = Target { operation: "despachar", id: None, entidad: &entidad };
    let idempotency = key.map(|key| idempotency::of(key, &target, &received));
    let (nuevo, pdf, several) = read(received)?;
    let made = api.exchange.despachar(&acceso.actor, &entidad, &nuevo, pdf, idempotency.as_ref()).await;
    let made = api.settled(made.map_err(failure::exchange)?, wait).await?;
    Ok(accepted(&made, several))
}

/// 202: one despacho, or a list where the request named several destinations.
pub fn accepted(made: &[Despacho], several: bool) -> Response {
    let mut response = match made {
        [one] if !several => {
            let mut response = json(&view::despacho(one));
            if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/despachos/{}", one.id)) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response
        }
        many => json(&view::Items::whole(many.iter().map(view::despacho))),
    };
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// The request as the exchange wants it, and whether it named its destinations as a list.
pub fn read(received: Received) -> Result<(NuevoDespacho, Option<Staged>, bool), Problem> {
    let Received { members, contenido, pdf, file_name, annexes: files, form } = received;
    let mut fields = Fields::new(members, &MEMBERS);
    let (destinos, several) = destinations(&mut fields);
    let mut named = document_name(&mut fields, contenido, form);
    named = named.or_else(|| file_name.filter(|name| !name.is_empty()));
    let (anexos, archivos) = annexes(&mut fields, files, form);
    let nuevo = NuevoDespacho {
        numero_registro: fields.text("numero_registro"),
        destinos,
        unidad_remitente: fields.text("unidad_remitente"),
        codigo_unidad_remitente: fields.text("codigo_unidad_remitente"),
        usuario: fields.text("usuario"),
        remitente: fields.object("remitente", &["tipo_documento", "numero_documento"], |f| Persona {
            tipo_documento: f.text("tipo_documento").unwrap_or_default(),
            numero_documento: f.text("numero_documento").unwrap_or_default(),
        }),
        destinatario: fields.object("destinatario", &["unidad", "nombre", "cargo"], |f| Destinatario {
            unidad: f.text("unidad").unwrap_or_default(),
            nombre: f.text("nombre").unwrap_or_default(),
            cargo: f.text("cargo").unwrap_or_default(),
        }),
        tipo_documento: fields.text("tipo_documento"),
        numero_documento: fields.text("numero_documento"),
        fecha_documento: fields.text("fecha_documento"),
        asunto: fields.text("asunto"),
        folios: fields.integer("folios"),
        nombre_documento: named,
        contenido,
        anexos,
        archivos,
        url_anexos: fields.text("url_anexos"),
        referencia: fields.text("referencia"),
        reemplaza: None,
    };
    // It was read already, to know whose request this is; here only its kind is checked.
    fields.text("entidad");
    fields.finish()?;
    Ok((nuevo, pdf, several))
}

fn destinations(fields: &mut Fields) -> (Vec<String>, bool) {
    if fields.has("destino") && fields.has("destinos") {
        fields.wrong("destinos", "no_valido", "Dé «destino» o «destinos», no los dos");
    }
    match fields.texts("destinos") {
        Some(many) => (many, true),
        None => (fields.text("destino").into_iter().collect(), false),
    }
}

fn document_name(fields: &mut Fields, contenido: Contenido, form: bool) -> Option<String> {
    fields.object("documento", &["nombre", "contenido"], |document| {
        if form && document.has("contenido") {
            document.wrong(
                "contenido",
                "no_valido",
                "En un formulario el documento va como archivo, en la parte «documento»",
            );
        }
        // Where the content was a text there is a mark now; anything else is no content.
        if !form && contenido == Contenido::Ausente {
            document.text("contenido");
        }
        document.text("nombre")
    })
}

/// The names of the annexes and their files. In a form they may be named by their files alone.
fn annexes(fields: &mut Fields, files: Vec<Annex>, form: bool) -> (Vec<Option<String>>, Vec<Staged>) {
    let mut names = fields.objects("anexos", &["nombre", "contenido"], |annex| {
        if form && annex.has("contenido") {
            annex.wrong("contenido", "no_valido", "En un formulario cada anexo va como archivo, en una parte «anexos»");
        } else {
            // Where the content was a text there is a mark now; anything else is no content.
            annex.text("contenido");
        }
        annex.text("nombre")
    });
    if form && names.is_empty() {
        names = files.iter().map(|annex| annex.file_name.clone().filter(|name| !name.is_empty())).collect();
    } else if !files.is_empty() && files.len() != names.len() {
        let detail =
            format!("Hay {} anexos y {} archivos: dé el contenido de todos, o el de ninguno", names.len(), files.len());
        fields.wrong("anexos", "no_valido", detail);
    }
    (names, files.into_iter().map(|annex| annex.file).collect())
}

pub async fn list(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let found = listing::find::<Despacho>(&api, &acceso, params).await?;
    Ok(json(&found.map(view::despacho)))
}

pub async fn show(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Problem> {
    let wait = wait::asked(&params.only(&["esperar"])?)?;
    let despacho = api.despacho(&acceso, &id).await?;
    let settled = api.settled(vec![despacho], wait).await?;
    settled.first().map(|d| json(&view::despacho(d))).ok_or_else(|| query::not_found(&id))
}

pub async fn document(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let despacho = api.despacho(&acceso, &id).await?;
    not_purged(despacho.purga.as_deref())?;
    api.download(&despacho.documento, &headers).await
}

pub async fn cargo(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let despacho = api.despacho(&acceso, &id).await?;
    not_purged(despacho.purga.as_deref())?;
    let document = despacho.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref());
    api.download(document.ok_or_else(|| query::not_found("el cargo de este despacho"))?, &headers).await
}

pub async fn history(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let despacho = api.despacho(&acceso, &id).await?;
    api.history(despacho.id).await
}
