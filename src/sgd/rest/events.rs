//! `/api/v1/eventos`: everything that happened, in order, from a cursor on.

use axum::{extract::State, response::Response};

use super::{Api, failure, json, query, query::Params, view};
use crate::{
    http::{Acceso, Code, Problem},
    store::Cursor,
};

/// A page of the feed. `next_cursor` is always there: asking again with it gives what happened since.
pub async fn page(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["desde", "limit", "entidad"])?;
    let ours = &api.exchange.settings().entidades;
    // A key of no entity sees all of them, unless it asks for one.
    let entidad = match (&acceso.entidad, params.text("entidad")) {
        (None, None) => None,
        (_, stated) => Some(query::entity(&acceso, stated, ours)?),
    };
    let after = params.text("desde").map_or(Ok(Cursor::default()), cursor)?;
    let facts = api.exchange.store().facts(after, entidad.as_ref(), params.limit()?).await.map_err(failure::store)?;
    let next = facts.last().map_or(after, |last| last.cursor);
    let items = facts.iter().map(view::fact).collect();
    Ok(json(&view::Items { items, next_cursor: Some(view::cursor(next)) }))
}

fn cursor(text: &str) -> Result<Cursor, Problem> {
    let parts = text.split_once('.').and_then(|(seq, n)| Some(Cursor { seq: seq.parse().ok()?, n: n.parse().ok()? }));
    parts.ok_or_else(|| {
        Problem::new(Code::ParametroNoValido, "«desde» debe ser el next_cursor de una respuesta anterior")
    })
}
