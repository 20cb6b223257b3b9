//! `/api/v1/admin/mantenimiento`: whether nothing new is taken in, beginning it, and ending it.

use axum::{
    extract::{Request, State},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, failure, fields::Fields, json, query::Params};
use crate::{
    domain::lima,
    exchange::maintenance::{MOTIVO_MAX, Mantenimiento},
    http::{Acceso, Code, Problem},
};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Mantenimiento")]
pub struct MantenimientoView {
    activo: bool,
    motivo: Option<String>,
    actor: Option<String>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    desde: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    hasta: Option<Timestamp>,
}

/// It is of all entities.
fn of_all(acceso: &Acceso) -> Result<(), Problem> {
    if acceso.entidad.is_none() {
        return Ok(());
    }
    let detail = "El mantenimiento es de todo el servicio: use una clave de administrador que no sea de una entidad";
    Err(Problem::new(Code::PermisoInsuficiente, detail))
}

async fn view(api: &Api) -> Result<Response, Problem> {
    // Of the store, not of what this process knew: another daemon may have been told.
    api.exchange.leer_mantenimiento().await.map_err(failure::store)?;
    let found = api.exchange.mantenimiento();
    let activo = found.is_some();
    let (motivo, actor, desde, hasta) = match found {
        Some(Mantenimiento { motivo, actor, desde, hasta }) => (Some(motivo), Some(actor), Some(desde), hasta),
        None => (None, None, None, None),
    };
    Ok(json(&MantenimientoView { activo, motivo, actor, desde, hasta }))
}

pub async fn show(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    params.only(&[])?;
    of_all(&acceso)?;
    view(&api).await
}

pub async fn begin(
    State(api): State<Api>,
    acceso: Acceso,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    params.only(&[])?;
    of_all(&acceso)?;
    let mut fields = Fields::new(api.receive_plain(request).await?, &["motivo", "hasta"]);
    let motivo = fields.text("motivo").map(|text| text.trim().to_owned()).unwrap_or_default();
    match motivo.chars().count() {
        0 => fields.wrong("motivo", "no_especificado", "Diga el motivo: queda en el registro de auditoría"),
        n if n > MOTIVO_MAX => fields.wrong("motivo", "excede", "El motivo excede los 1000 caracteres"),
        _ => {}
    }
    let hasta = fields.text("hasta").and_then(|text| {
        let end = lima::leer(&text).filter(|end| *end > api.exchange.now());
        if end.is_none() {
            fields.wrong("hasta", "no_valido", "Debe ser un momento futuro, como 2026-11-21T18:00:00-05:00");
        }
        end
    });
    fields.finish()?;
    api.exchange.iniciar_mantenimiento(&acceso.actor, &motivo, hasta).await.map_err(failure::exchange)?;
    view(&api).await
}

pub async fn end(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    params.only(&[])?;
    of_all(&acceso)?;
    api.exchange.terminar_mantenimiento(&acceso.actor).await.map_err(failure::exchange)?;
    view(&api).await
}
