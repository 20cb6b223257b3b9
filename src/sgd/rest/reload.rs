//! `POST /api/v1/admin/reload`: has the configuration read again, and says what that changed and what waits for a restart.

use std::sync::Arc;

use async_trait::async_trait;
use axum::{extract::State, response::Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, json, query::Params};
use crate::{
    exchange::Actor,
    http::{Acceso, Code, Problem},
};

/// What was read again and what came of it; keys of the configuration by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Recarga")]
pub struct Reloaded {
    /// Is read anew each time, changed or not.
    pub releido: Vec<String>,
    /// Changed and in force.
    pub aplicado: Vec<String>,
    /// Changed and not in force before a restart.
    pub requiere_reinicio: Vec<String>,
}

/// Who can have the configuration read again.
#[async_trait]
pub trait Reload: Send + Sync {
    /// An error says in Spanish why the configuration is as it was.
    async fn reload(&self, actor: &Actor) -> Result<Reloaded, String>;
}

pub async fn reload(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    params.only(&[])?;
    // It is of all entities.
    if acceso.entidad.is_some() {
        let detail = "Recargar la configuración es de todo el servicio: use una clave de administrador que no sea de una entidad";
        return Err(Problem::new(Code::PermisoInsuficiente, detail));
    }
    let Some(reload) = api.reload.as_ref().map(Arc::clone) else {
        return Err(Problem::new(
            Code::EstadoNoPermite,
            "El servicio no está en marcha: leerá la configuración al iniciarse",
        ));
    };
    // Its caller may hang up: what was begun is ended.
    let done = tokio::spawn(async move { reload.reload(&acceso.actor).await });
    let done = done.await.map_err(|error| Problem::internal(&error))?;
    Ok(json(&done.map_err(|why| Problem::new(Code::ConfiguracionNoValida, why))?))
}
