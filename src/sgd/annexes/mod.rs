//! The annexes of documents that were sent, for who received them (INTERFACES, "SOAP, on `listen.soap`"): a page for each
//! document at its unguessable address, its files, and where it is wanted a form that finds it
//! by CUO, RUC, number and date. What is served is what the SGD
//! gave: files of any kind, always as downloads.
//!
//! The other way round, [`fetch`] downloads those of received documents when somebody asks.
//!
//! On the listener that the platform reaches, so whoever asks is a stranger: lookups are few for each address, the pages
//! name nobody, and each download is on record.

pub mod fetch;
mod page;
#[cfg(test)]
mod tests;
mod visitors;

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    middleware::map_response,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::Deserialize;

pub use visitors::LOOKUPS_PER_MINUTE;
use visitors::{Downloads, Lookups};

use crate::{
    config,
    domain::{Cuo, Despacho, Ruc},
    exchange::{Exchange, anexos::PATH},
    http::download::{disposition, pieces},
    http::server::Peer,
    store::StoreError,
};

/// What the pages need.
#[derive(Clone)]
pub struct Annexes {
    exchange: Exchange,
    expire_after: Duration,
    lookup: bool,
    lookups: Arc<Lookups>,
    downloads: Arc<Downloads>,
}

impl Annexes {
    pub fn new(exchange: Exchange, config: &config::Anexos) -> Self {
        let config::Anexos { expire_after, lookup, .. } = *config;
        Self { exchange, expire_after, lookup, lookups: Arc::default(), downloads: Arc::default() }
    }

    /// The same with what was looked up and downloaded, under another configuration.
    #[must_use]
    pub fn renewed(&self, config: &config::Anexos) -> Self {
        let config::Anexos { expire_after, lookup, .. } = *config;
        Self { expire_after, lookup, ..self.clone() }
    }

    /// Until when a document's annexes can be downloaded.
    fn expires(&self, despacho: &Despacho) -> Timestamp {
        let sent = despacho.enviado_en.unwrap_or(despacho.creado_en);
        let after = SignedDuration::try_from(self.expire_after).unwrap_or(SignedDuration::MAX);
        sent.checked_add(after).unwrap_or(Timestamp::MAX)
    }

    /// The document at an address, if it still can be downloaded.
    async fn found(&self, token: &str) -> Result<Despacho, Refusal> {
        let despacho = self.exchange.anexos_de(token).await?.ok_or(Refusal::NotFound)?;
        if self.expires(&despacho) < self.exchange.now() { Err(Refusal::Expired) } else { Ok(despacho) }
    }
}

impl Annexes {
    /// Puts a download on record, the first of its kind of a day. It counts as told once the record is durable.
    async fn record(&self, despacho: &Despacho, n: usize, from: Option<IpAddr>) {
        let now = self.exchange.now();
        if !self.downloads.untold(despacho.id, n, from, now) {
            return;
        }
        match self.exchange.anexo_descargado(despacho, n, from).await {
            Ok(()) => self.downloads.told(despacho.id, n, from, now),
            Err(error) => tracing::warn!(%error, "a download could not be recorded"),
        }
    }
}

/// Why there is nothing to download.
enum Refusal {
    NotFound,
    Expired,
    TooMany,
    Failed,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "annexes could not be read");
        Self::Failed
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "No hay anexos en esta dirección",
                "Revise que esté completa, tal como vino con el documento.",
            ),
            Self::Expired => (
                StatusCode::GONE,
                "El plazo para descargar estos anexos terminó",
                "Pídalos a la entidad que envió el documento, con su número y su CUO.",
            ),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "Demasiadas búsquedas desde su dirección",
                "Espere un minuto y vuelva a intentarlo, o use la dirección que vino con el documento.",
            ),
            Self::Failed => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Los anexos no se pueden leer en este momento",
                "Vuelva a intentarlo en unos minutos.",
            ),
        };
        let mut response = page::html(status, page::message(title, text));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}

pub fn router(state: Annexes) -> Router {
    Router::new()
        .route(PATH, get(lookup))
        .route(&format!("{PATH}/estilo.css"), get(page::style))
        .route(&format!("{PATH}/{{token}}"), get(list))
        .route(&format!("{PATH}/{{token}}/{{n}}"), get(file))
        .with_state(state)
        .layer(map_response(guarded))
}

/// What keeps a page from being framed, kept, indexed, or told of to others.
async fn guarded(mut response: Response) -> Response {
    let policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Default, PartialEq, Deserialize)]
struct Asked {
    #[serde(default)]
    cuo: String,
    #[serde(default)]
    ruc: String,
    #[serde(default)]
    numero: String,
    #[serde(default)]
    fecha: String,
}

fn address(peer: Option<Peer>) -> Option<IpAddr> {
    match peer {
        Some(Peer::Network(address)) => Some(address.ip().to_canonical()),
        _ => None,
    }
}

/// The form, or what it finds.
async fn lookup(State(state): State<Annexes>, peer: Option<axum::Extension<Peer>>, uri: Uri) -> Response {
    if !state.lookup {
        return Refusal::NotFound.into_response();
    }
    let asked = Query::<Asked>::try_from_uri(&uri).ok();
    let asked = asked.filter(|Query(asked)| *asked != Asked::default());
    let Some(Query(Asked { cuo, ruc, numero, fecha })) = asked else {
        return page::html(StatusCode::OK, page::form(None));
    };
    if !state.lookups.admit(address(peer.map(|peer| peer.0)), state.exchange.now()) {
        return Refusal::TooMany.into_response();
    }
    let stated = (Cuo::parse(cuo.trim()), Ruc::de_contraparte(ruc.trim()), fecha.trim().parse::<Date>());
    let (Ok(cuo), Ok(ruc), Ok(fecha)) = stated else {
        let wrong = "El CUO tiene hasta 10 caracteres, el RUC de la entidad receptora 11 dígitos, y la fecha del documento es \
                     AAAA-MM-DD.";
        return page::html(StatusCode::BAD_REQUEST, page::form(Some(wrong)));
    };
    let found = match state.exchange.buscar_anexos(&cuo, &ruc, &numero, fecha).await {
        Ok(found) => found,
        Err(error) => return Refusal::from(error).into_response(),
    };
    match found {
        Some(token) => Redirect::to(&format!("{PATH}/{token}")).into_response(),
        None => {
            let none = "No hay anexos de un documento con esos datos. Cópielos tal como están en el documento.";
            page::html(StatusCode::NOT_FOUND, page::form(Some(none)))
        }
    }
}

async fn list(State(state): State<Annexes>, Path(token): Path<String>) -> Result<Response, Refusal> {
    let despacho = state.found(&token).await?;
    let sender = state.exchange.propia(&despacho.entidad).map(|own| own.nombre).unwrap_or_default();
    let until = state.expires(&despacho);
    Ok(page::html(StatusCode::OK, page::list(&despacho, &sender, &token, until)))
}

async fn file(
    State(state): State<Annexes>,
    method: Method,
    peer: Option<axum::Extension<Peer>>,
    Path((token, n)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let despacho = state.found(&token).await?;
    let n: usize = n.parse().map_err(|_| Refusal::NotFound)?;
    let anexo = n.checked_sub(1).and_then(|n| despacho.anexos.get(n)).ok_or(Refusal::NotFound)?;
    let archivo = anexo.archivo.as_ref().ok_or(Refusal::NotFound)?;
    let reader = state.exchange.store().open_document(&archivo.sha256).await?;
    let from = address(peer.map(|peer| peer.0));
    if method != Method::HEAD {
        tracing::info!(despacho = %despacho.id, n, ?from, "an annex is downloaded");
        state.record(&despacho, n, from).await;
    }
    let mut response = Body::from_stream(pieces(reader)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, archivo.bytes.into());
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    for (name, value) in
        [(header::CONTENT_DISPOSITION, disposition(&anexo.nombre)), (header::ETAG, format!("\"{}\"", archivo.sha256))]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}
