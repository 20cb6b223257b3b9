//! `/api/v1/admin/usuarios`: people of the console. A password that is made here can be read only in that answer.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::StatusCode;
use http_body::Body as _;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Api, api_keys::role, failure, fields::Fields, json, query, query::Params, view::Items};
use crate::{
    domain::{Id, Ruc, lima},
    exchange::{ExchangeError, usuarios::NuevoUsuario},
    http::{Acceso, Code, Problem, auth},
    store::{Rol, Usuario},
};

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usuario")]
pub struct UsuarioView<'a> {
    id: Id,
    cuenta: &'a str,
    nombre: &'a str,
    #[schemars(with = "Rol")]
    rol: &'static str,
    entidad: Option<&'a Ruc>,
    /// Whether another password must be chosen.
    provisional: bool,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    creado_en: Timestamp,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    deshabilitado_en: Option<Timestamp>,
    /// Only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    contrasena: Option<&'a str>,
}

fn usuario<'a>(usuario: &'a Usuario, made: Option<&'a str>) -> UsuarioView<'a> {
    UsuarioView {
        id: usuario.id,
        cuenta: &usuario.cuenta,
        nombre: &usuario.nombre,
        rol: auth::rol(usuario.rol),
        entidad: usuario.entidad.as_ref(),
        provisional: usuario.contrasena.provisional,
        creado_en: usuario.creado_en,
        deshabilitado_en: usuario.deshabilitado_en,
        contrasena: made,
    }
}

/// What a new person needs.
pub const MEMBERS: [&str; 5] = ["cuenta", "nombre", "rol", "entidad", "contrasena"];

pub async fn create(
    State(api): State<Api>,
    acceso: Acceso,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let mut fields = Fields::new(api.receive_plain(request).await?, &MEMBERS);
    let (cuenta, nombre) = (fields.text("cuenta").unwrap_or_default(), fields.text("nombre").unwrap_or_default());
    let rol = role(&mut fields);
    let entidad = match fields.text("entidad").map(|text| Ruc::de_contraparte(&text)) {
        Some(Err(error)) => {
            fields.wrong("entidad", "no_valido", error.to_string());
            None
        }
        Some(Ok(ruc)) => Some(ruc),
        None => acceso.entidad.clone(),
    };
    let contrasena = fields.text("contrasena").map(Zeroizing::new);
    fields.finish()?;
    let Some(rol) = rol else { return Err(Problem::internal(&"a wrong role passed its checks")) };
    if let Some(other) = entidad.as_ref().filter(|ruc| !acceso.alcanza(ruc)) {
        return Err(failure::exchange(ExchangeError::EntidadAjena(other.clone())));
    }
    let nuevo = NuevoUsuario { cuenta, nombre, rol, entidad };
    let made = api.exchange.crear_usuario(&acceso.actor, nuevo, contrasena).await.map_err(failure::exchange)?;
    let mut response = json(&usuario(&made.1, made.0.as_ref().map(|text| text.as_str())));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

pub async fn list(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    params.only(&[])?;
    let mut found = api.exchange.usuarios().await.map_err(failure::store)?;
    found.retain(|person| visible(&acceso, person));
    Ok(json(&Items::whole(found.iter().map(|person| usuario(person, None)))))
}

/// Another password, and in again if the person was disabled. Sessions of before end.
pub async fn reset(
    State(api): State<Api>,
    acceso: Acceso,
    Path(named): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let id = known(&api, &acceso, &named).await?.id;
    let mut contrasena = None;
    if request.body().size_hint().exact() != Some(0) {
        let mut fields = Fields::new(api.receive_plain(request).await?, &["contrasena"]);
        contrasena = fields.text("contrasena").map(Zeroizing::new);
        fields.finish()?;
    }
    let done = api.exchange.restablecer_usuario(&acceso.actor, id, contrasena).await.map_err(failure::exchange)?;
    Ok(json(&usuario(&done.1, done.0.as_ref().map(|text| text.as_str()))))
}

/// From the next request on the person is not let in.
pub async fn disable(State(api): State<Api>, acceso: Acceso, Path(named): Path<String>) -> Result<Response, Problem> {
    let id = known(&api, &acceso, &named).await?.id;
    let done = api.exchange.deshabilitar_usuario(&acceso.actor, id).await.map_err(failure::exchange)?;
    Ok(json(&usuario(&done, None)))
}

/// A person by id or account.
async fn known(api: &Api, acceso: &Acceso, named: &str) -> Result<Usuario, Problem> {
    let people = api.exchange.usuarios().await.map_err(failure::store)?;
    let id = query::id(named).ok();
    let found = people.into_iter().find(|person| id == Some(person.id) || person.cuenta == named.to_lowercase());
    found
        .filter(|person| visible(acceso, person))
        .ok_or_else(|| Problem::new(Code::NoExiste, format!("No hay ninguna persona con la cuenta {named}")))
}

/// Whether the caller may see a person: one limited to an entity sees those of that entity alone.
fn visible(acceso: &Acceso, person: &Usuario) -> bool {
    acceso.entidad.is_none() || person.entidad.as_ref().is_some_and(|ruc| acceso.alcanza(ruc))
}
