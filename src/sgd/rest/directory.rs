//! The platform's entities, categories and document types, as last fetched.

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use serde::Serialize;

use super::{Api, failure, json, query, query::Params, view};
use crate::{
    domain::{Categoria, Ruc, lima},
    http::Problem,
};

/// A list with the time its source was fetched; `null` if it never was.
#[derive(Serialize)]
struct Dated<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
    #[serde(with = "lima::rfc3339::option")]
    actualizado_en: Option<Timestamp>,
}

impl<T> Dated<T> {
    fn new(items: Vec<T>, actualizado_en: Option<Timestamp>) -> Self {
        Self { items, next_cursor: None, actualizado_en }
    }
}

#[derive(Serialize)]
struct Named<C, N> {
    codigo: C,
    nombre: N,
}

pub async fn entities(State(api): State<Api>, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["categoria"])?;
    let known: Vec<(String, Categoria)> = Categoria::todas().map(|c| (c.numero().to_string(), c)).collect();
    let known: Vec<(&str, Categoria)> = known.iter().map(|(text, c)| (text.as_str(), *c)).collect();
    let categoria = params.word("categoria", &known)?;
    let directorio = api.exchange.directorio().await.map_err(failure::store)?;
    let fetched = directorio.as_ref().map(|d| d.actualizado_en);
    let all = directorio.as_ref().map(|d| d.entidades.as_slice()).unwrap_or_default();
    let chosen = all.iter().filter(|e| categoria.is_none_or(|c| e.categoria == c));
    Ok(json(&Dated::new(chosen.map(view::entidad).collect(), fetched)))
}

pub async fn entity(State(api): State<Api>, Path(ruc): Path<String>) -> Result<Response, Problem> {
    let directorio = api.exchange.directorio().await.map_err(failure::store)?;
    let all = directorio.as_ref().map(|d| d.entidades.as_slice()).unwrap_or_default();
    let found = Ruc::de_contraparte(&ruc).ok().and_then(|ruc| all.iter().find(|e| e.ruc == ruc));
    found.map(|e| json(&view::entidad(e))).ok_or_else(|| query::not_found(&ruc))
}

pub async fn categories() -> Response {
    json(&view::Items::whole(Categoria::todas().map(|c| Named { codigo: c.numero(), nombre: c.nombre() })))
}

pub async fn document_types(State(api): State<Api>) -> Result<Response, Problem> {
    let types = api.exchange.tipos_documento().await.map_err(failure::store)?;
    let fetched = api.exchange.directorio().await.map_err(failure::store)?.map(|d| d.actualizado_en);
    let items = types.into_iter().map(|t| Named { codigo: t.codigo, nombre: t.nombre }).collect();
    Ok(json(&Dated::new(items, fetched)))
}
