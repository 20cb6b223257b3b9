//! `…/{id}/evidencia`: one exchange as a file that proves itself.

use std::io::{Seek, SeekFrom};

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use tokio_util::io::ReaderStream;

use super::{Api, auditoria};
use crate::{
    audit::evidence::{self, Request},
    domain::{Id, Ruc},
    http::{Acceso, Problem},
    store::Record,
};

/// What a package is.
pub const TYPE: &str = "application/vnd.etsi.asic-e+zip";

/// Read at a time while a package leaves, in bytes.
const PIECE: usize = 128 * 1024;

pub async fn of_despacho(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let found = api.despacho(&acceso, &id).await?;
    let (id, entidad) = (found.id, found.entidad.clone());
    api.evidence(&acceso, id, &entidad, Record::Despacho(Box::new(found))).await
}

pub async fn of_recepcion(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let found = api.recepcion(&acceso, &id).await?;
    let (id, entidad) = (found.id, found.entidad.clone());
    api.evidence(&acceso, id, &entidad, Record::Recepcion(Box::new(found))).await
}

impl Api {
    async fn evidence(&self, acceso: &Acceso, id: Id, entidad: &Ruc, record: Record) -> Result<Response, Problem> {
        let request = Request {
            record,
            now: self.exchange.now(),
            actor: acceso.actor.0.clone(),
            identity: self.exchange.identidad(entidad),
        };
        let file = self.audit.temporary().map_err(|error| Problem::internal(&error))?;
        let mut file = evidence::write(&self.audit, request, file).await.map_err(|error| auditoria::problem(&error))?;
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
}
