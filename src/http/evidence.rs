//! One exchange as a file that proves itself, on its way to whoever asked for it.

use std::io::{Seek, SeekFrom};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use tokio_util::io::ReaderStream;

use super::problem::{Code, Problem};
use crate::{
    audit::{
        AuditError, Log,
        evidence::{self, Request},
    },
    exchange::{Actor, Exchange},
    store::Record,
};

/// What a package is.
pub const TYPE: &str = "application/vnd.etsi.asic-e+zip";

/// Read at a time while a package leaves, in bytes.
const PIECE: usize = 128 * 1024;

/// The package of an exchange; of another record there is none.
pub async fn package(log: &Log, exchange: &Exchange, actor: &Actor, record: Record) -> Result<Response, Problem> {
    let (id, identity) = (record.id(), record.entidad().and_then(|entidad| exchange.identidad(entidad)));
    let request = Request { record, now: exchange.now(), actor: actor.0.clone(), identity };
    let file = log.temporary().map_err(|error| Problem::internal(&error))?;
    let mut file = evidence::write(log, request, file).await.map_err(|error| problem(&error))?;
    let bytes = file.metadata().map_err(|error| Problem::internal(&error))?.len();
    file.seek(SeekFrom::Start(0)).map_err(|error| Problem::internal(&error))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    let name = format!("attachment; filename=\"evidencia-{id}.asice\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE);
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// Why the audit log gave nothing.
pub fn problem(error: &AuditError) -> Problem {
    match error {
        AuditError::Empty => Problem::new(Code::NoExiste, "Todavía no hay ningún asiento"),
        AuditError::Fork(_) => Problem::new(Code::EstadoNoPermite, error.to_string()),
        other => Problem::internal(other),
    }
}
