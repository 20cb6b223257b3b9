//! `/api/v1/recepciones/{id}/anexos`: annexes of received documents, downloaded when somebody asks and kept apart: nobody has
//! judged what is in them.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header};
use http_body::Body as _;
use reqwest::Url;

use super::{Api, failure, fields::Fields, json, not_purged, query, view};
use crate::{
    domain::{Documento, recepcion::AnexoTraido},
    http::{Acceso, Code, FieldError, Problem},
    sgd::annexes::fetch::{Fetched, NotFetched, same_host},
};

/// What the files are served as.
pub const TYPE: &str = "application/octet-stream";

/// Downloads one file from where the document says its annexes are.
pub async fn fetch(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let recepcion = api.recepcion(&acceso, &id).await?;
    let mut stated = None;
    if request.body().size_hint().exact() != Some(0) {
        let mut fields = Fields::new(api.receive_plain(request).await?, &["url"]);
        stated = fields.text("url");
        fields.finish()?;
    }
    let wrong = |code, detail: &str| Problem::field("url", code, detail);
    let base: Option<Url> = recepcion.url_anexos.as_deref().and_then(|url| url.trim().parse().ok());
    let base = base.ok_or_else(|| wrong("no_especificado", "El documento no dice una dirección de sus anexos"))?;
    let url = match stated {
        Some(url) => url.trim().parse().map_err(|_| wrong("no_valido", "No es una dirección"))?,
        None => base.clone(),
    };
    if !same_host(&base, &url) {
        return Err(wrong("no_valido", "No es del servidor que el documento dice en url_anexos"));
    }
    let fetched = api.fetching.fetch(&url, api.exchange.stage()).await.map_err(refused)?;
    let Fetched { nombre, tipo, url, file } = fetched;
    let traido = AnexoTraido {
        nombre,
        url,
        tipo,
        bytes: file.bytes,
        sha256: file.sha256.clone(),
        traido_en: api.exchange.now(),
    };
    let kept = api.exchange.anexo_traido(&acceso.actor, acceso.entidad.as_ref(), recepcion.id, traido, file).await;
    Ok(json(&view::recepcion(&kept.map_err(failure::exchange)?)))
}

fn refused(error: NotFetched) -> Problem {
    if error.busy {
        return Problem::new(Code::ServicioOcupado, error.why);
    }
    let mut errors = vec![FieldError::new("url", "no_disponible", error.why)];
    errors.extend(error.links.into_iter().map(|link| FieldError::new("url", "enlace", link)));
    Problem::fields(errors)
}

/// One that was downloaded, as a file that no browser opens.
pub async fn file(
    State(api): State<Api>,
    acceso: Acceso,
    Path((id, sha256)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let recepcion = api.recepcion(&acceso, &id).await?;
    not_purged(recepcion.purga.as_deref())?;
    let found = recepcion.anexos_traidos.iter().find(|traido| traido.sha256.as_str() == sha256);
    let found = found.ok_or_else(|| query::not_found(&sha256))?;
    let AnexoTraido { nombre, bytes, sha256, .. } = found.clone();
    let mut response = api.download(&Documento { nombre, bytes, sha256, firmas: None }, &headers).await?;
    if response.headers().contains_key(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
    }
    Ok(response)
}
