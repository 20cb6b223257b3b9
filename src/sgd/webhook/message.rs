//! What a webhook is told of an event: `{type, timestamp, data}`, with the despacho or recepcion as the API shows it now.

use std::slice;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    domain::{Id, Ruc, Sha256, lima},
    exchange::Exchange,
    sgd::rest::view::{self, DespachoView, RecepcionView},
    store::{FactAt, StoreError},
};

/// The type of a message that tries whether a webhook works.
pub const PING: &str = "ping";

#[derive(Serialize)]
struct Message<'a, D> {
    #[serde(rename = "type")]
    tipo: &'a str,
    #[serde(with = "lima::rfc3339")]
    timestamp: Timestamp,
    data: D,
}

#[derive(Serialize)]
struct Data<'a> {
    /// Its place in the feed.
    cursor: String,
    /// The despacho, recepcion or other record it is about.
    id: Id,
    entidad: Option<&'a Ruc>,
    cuo: Option<&'a str>,
    estado: Option<&'a str>,
    detalle: Option<&'a str>,
    documentos: &'a [Sha256],
    #[serde(skip_serializing_if = "Option::is_none")]
    despacho: Option<DespachoView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recepcion: Option<RecepcionView<'a>>,
}

/// The id of an event: the same however often it is told. It has no full stop, which parts what is signed.
pub fn id(at: &FactAt) -> String {
    format!("evt_{}", view::cursor(at).replace('.', "-"))
}

/// The body that tells an event.
pub async fn body(exchange: &Exchange, at: &FactAt) -> Result<Vec<u8>, StoreError> {
    let store = &**exchange.store();
    let fact = &at.fact;
    // The replay of an old one tells no more of it than the API does.
    let told = exchange.se_cuentan(slice::from_ref(at)).await? == [true];
    let despacho = match fact.tipo.starts_with("despacho.") {
        true => store.despacho(fact.sujeto).await?,
        false => None,
    };
    let recepcion = match fact.tipo.starts_with("recepcion.") {
        true => store.recepcion(fact.sujeto).await?,
        false => None,
    };
    let data = Data {
        cursor: view::cursor(at),
        id: fact.sujeto,
        entidad: fact.entidad.as_ref(),
        cuo: fact.cuo.as_deref(),
        estado: fact.estado.as_deref(),
        detalle: fact.detalle.as_deref().filter(|_| told),
        documentos: &fact.documentos,
        despacho: despacho.as_ref().map(view::despacho),
        recepcion: recepcion.as_ref().map(view::recepcion),
    };
    json(&Message { tipo: &fact.tipo, timestamp: fact.at, data })
}

/// The body of a try.
pub fn ping(nombre: &str, now: Timestamp) -> Result<Vec<u8>, StoreError> {
    json(&Message { tipo: PING, timestamp: now, data: serde_json::json!({ "webhook": nombre }) })
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Io(error.into()))
}
