//! `/api/v1/estadisticas`: what `exchange::statistics` counts, as JSON or as a table for spreadsheets.

pub use crate::exchange::statistics::{Counted, RECORDS_MAX};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};

use super::{
    Api, failure, json, query,
    query::{Edge, Params},
};
use crate::{
    domain::Ruc,
    exchange::statistics::{CountError, Por},
    http::{Acceso, Code, Problem, csv},
};

pub async fn count(
    State(api): State<Api>,
    acceso: Acceso,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = params.only(&["desde", "hasta", "entidad", "por"])?;
    let por = params.word("por", &[("dia", Por::Dia), ("entidad", Por::Entidad), ("contraparte", Por::Contraparte)])?;
    let por = por.unwrap_or(Por::Dia);
    let entidades = entities(&api, &acceso, &params)?;
    let (desde, hasta) = (params.time("desde", Edge::First)?, params.time("hasta", Edge::Last)?);
    let counted = api.exchange.contar(&entidades, por, desde, hasta).await.map_err(problem)?;
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(if accepted.contains("text/csv") { csv::statistics(&counted).into_response() } else { json(&counted) })
}

fn problem(error: CountError) -> Problem {
    match error {
        CountError::Busy => Problem::new(Code::ServicioOcupado, error.to_string()),
        CountError::Range | CountError::TooMany => Problem::new(Code::ParametroNoValido, error.to_string()),
        CountError::Store(error) => failure::store(error),
    }
}

/// The own entities to count: those that the caller sees, or the one it names.
fn entities(api: &Api, acceso: &Acceso, params: &Params) -> Result<Vec<Ruc>, Problem> {
    let settings = api.exchange.settings();
    let ours = &settings.entidades;
    match (&acceso.entidad, params.text("entidad")) {
        (None, None) => Ok(ours.iter().map(|own| own.ruc.clone()).collect()),
        (_, stated) => Ok(vec![query::entity(acceso, stated, ours)?]),
    }
}
