//! The platform's entities, categories and document types, as last fetched.

use axum::{
    extract::{Path, State},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, failure, json, query, query::Params, view};
use crate::{
    domain::{Categoria, Ruc, lima},
    http::{Acceso, Problem},
};

/// A list with the time its source was fetched; `null` if it never was.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListaDe{T}")]
pub struct Dated<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    actualizado_en: Option<Timestamp>,
}

impl<T> Dated<T> {
    fn new(items: Vec<T>, actualizado_en: Option<Timestamp>) -> Self {
        Self { items, next_cursor: None, actualizado_en }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CatalogoDe{C}")]
pub struct Named<C, N> {
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
    let mut chosen = Vec::new();
    if let Some(directorio) = &directorio {
        let wanted = directorio.entidades.iter().filter(|e| categoria.is_none_or(|c| e.categoria == c));
        chosen.extend(wanted.map(|e| view::entidad(directorio, e)));
    }
    Ok(json(&Dated::new(chosen, fetched)))
}

pub async fn entity(State(api): State<Api>, Path(ruc): Path<String>) -> Result<Response, Problem> {
    let wanted = Ruc::de_contraparte(&ruc).map_err(|_| query::not_found(&ruc))?;
    let directorio = api.exchange.directorio().await.map_err(failure::store)?;
    let found = directorio.as_ref().and_then(|d| Some((d, d.entidades.iter().find(|e| e.ruc == wanted)?)));
    found.map(|(d, e)| json(&view::entidad(d, e))).ok_or_else(|| query::not_found(&ruc))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DirectorioActualizado")]
pub struct Fetched {
    entidades: usize,
    /// Of these, the ones that the platform does not list any more.
    ausentes: usize,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    actualizado_en: Timestamp,
}

/// `POST /api/v1/entidades/actualizar`: asks the platform for its list now.
pub async fn refresh(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    params.only(&[])?;
    let fetched = api.exchange.actualizar_directorio(&acceso.actor).await.map_err(failure::exchange)?;
    let (entidades, ausentes) = (fetched.entidades.len(), fetched.ausentes.len());
    Ok(json(&Fetched { entidades, ausentes, actualizado_en: fetched.actualizado_en }))
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
