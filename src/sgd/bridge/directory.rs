//! The entities of a category, from the directory that is kept here.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Bridge, Caller, Parted,
    answer::{self, Failure},
};
use crate::domain::{Categoria, Ruc};

#[derive(Serialize)]
struct Listed<'a> {
    vnoment: &'a str,
    vrucent: &'a Ruc,
}

pub async fn list(
    State(bridge): State<Bridge>,
    caller: Caller,
    Parted((categoria, _)): Parted<(String, String)>,
) -> Response {
    entities(&bridge, &caller, &categoria).await.unwrap_or_else(Failure::into_response)
}

async fn entities(bridge: &Bridge, caller: &Caller, categoria: &str) -> Result<Response, Failure> {
    let wanted = Categoria::todas().find(|one| one.numero().to_string() == categoria);
    let wanted = wanted.ok_or_else(|| Failure::unexpected("La categoría (sidcatent) es un número del 1 al 8"))?;
    let directorio = match bridge.exchange().directorio().await? {
        Some(directorio) => directorio,
        None => Arc::new(bridge.exchange().actualizar_directorio(&caller.actor()).await?),
    };
    let listed = directorio.entidades.iter().filter(|one| one.categoria == wanted && directorio.vigente(&one.ruc));
    let listed: Vec<Listed<'_>> = listed.map(|one| Listed { vnoment: &one.nombre, vrucent: &one.ruc }).collect();
    Ok(answer::done("0000", listed))
}

/// An entity's name, if the directory knows it.
pub async fn name_of(bridge: &Bridge, ruc: &Ruc) -> Result<Option<String>, Failure> {
    let directorio = bridge.exchange().directorio().await?;
    Ok(directorio.and_then(|known| Some(known.entidades.iter().find(|one| one.ruc == *ruc)?.nombre.clone())))
}
