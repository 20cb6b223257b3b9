//! `…/{id}/evidencia`: one exchange as a file that proves itself.

use axum::{
    extract::{Path, State},
    response::Response,
};

pub use crate::http::evidence::TYPE;

use super::Api;
use crate::{
    http::{Acceso, Problem, evidence::package},
    store::Record,
};

pub async fn of_despacho(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let found = Record::Despacho(Box::new(api.despacho(&acceso, &id).await?));
    package(&api.audit, &api.exchange, &acceso.actor, found).await
}

pub async fn of_recepcion(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let found = Record::Recepcion(Box::new(api.recepcion(&acceso, &id).await?));
    package(&api.audit, &api.exchange, &acceso.actor, found).await
}
