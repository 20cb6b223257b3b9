//! `/api/v1/admin/api-keys`: keys for SGDs and people. A key can be read only in the answer that made it.

use axum::{
    extract::{Path, Request, State},
    response::Response,
};
use http::StatusCode;

use super::{Api, failure, fields::Fields, json, query, query::Params, view};
use crate::{
    config,
    domain::Ruc,
    exchange::{ExchangeError, NuevaClave},
    http::{Acceso, Code, Problem, auth},
    store::{ApiKey, Rol},
};

/// Longest name of a key, in characters.
const NAME_CHARS_MAX: usize = 100;

const ROLES: [Rol; 5] = [Rol::Sgd, Rol::MesaDePartes, Rol::Operador, Rol::Auditor, Rol::Admin];

pub async fn create(
    State(api): State<Api>,
    acceso: Acceso,
    params: Params,
    request: Request,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let mut fields = Fields::new(api.receive_plain(request).await?, &["nombre", "rol", "entidad"]);
    let nueva = read(&mut fields, acceso.entidad.as_ref());
    fields.finish()?;
    let Some(nueva) = nueva else { return Err(Problem::internal(&"a wrong key passed its checks")) };
    if let Some(other) = nueva.entidad.as_ref().filter(|ruc| !acceso.alcanza(ruc)) {
        return Err(failure::exchange(ExchangeError::EntidadAjena(other.clone())));
    }
    let (clave, record) = api.exchange.crear_clave(&acceso.actor, nueva).await.map_err(failure::exchange)?;
    let mut response = json(&view::api_key(&record, Some(&clave)));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `None` only where `fields` says what is wrong. A key that is limited to an entity (`own`) makes no key for others, nor one
/// for all.
fn read(fields: &mut Fields, own: Option<&Ruc>) -> Option<NuevaClave> {
    let nombre = fields.text("nombre").map(|text| text.trim().to_owned()).unwrap_or_default();
    match nombre.chars().count() {
        0 => fields.wrong("nombre", "no_especificado", "Diga para quién o para qué sistema es la clave"),
        n if n > NAME_CHARS_MAX => fields.wrong("nombre", "excede", "El nombre excede los 100 caracteres"),
        _ => {}
    }
    let rol = role(fields);
    let entidad = match fields.text("entidad").map(|text| Ruc::de_contraparte(&text)) {
        Some(Err(error)) => {
            fields.wrong("entidad", "no_valido", error.to_string());
            None
        }
        Some(Ok(ruc)) => Some(ruc),
        None => own.cloned(),
    };
    if matches!(rol, Some(Rol::Sgd | Rol::MesaDePartes)) && entidad.is_none() {
        fields.wrong("entidad", "no_especificado", "Una clave con este rol es siempre de una entidad: diga su RUC");
    }
    Some(NuevaClave { nombre, rol: rol?, entidad })
}

/// The role a request names.
pub fn role(fields: &mut Fields) -> Option<Rol> {
    let words = ROLES.map(auth::rol);
    let Some(text) = fields.text("rol") else {
        fields.wrong("rol", "no_especificado", format!("Diga uno de: {}", words.join(", ")));
        return None;
    };
    let found = ROLES.into_iter().find(|rol| auth::rol(*rol) == text);
    if found.is_none() {
        let nearest = config::nearest(&text, words.into_iter()).unwrap_or_default();
        let all = words.join(", ");
        fields.wrong("rol", "no_valido", format!("«{text}» no es uno de: {all}; ¿quiso decir «{nearest}»?"));
    }
    found
}

pub async fn list(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    params.only(&[])?;
    let mut keys = api.exchange.claves().await.map_err(failure::store)?;
    keys.retain(|key| visible(&acceso, key));
    Ok(json(&view::Items::whole(keys.iter().map(|key| view::api_key(key, None)))))
}

pub async fn revoke(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let none = || Problem::new(Code::NoExiste, format!("No hay ninguna clave con el identificador {id}"));
    let known = query::id(&id)?;
    let keys = api.exchange.claves().await.map_err(failure::store)?;
    if !keys.iter().any(|key| key.id == known && visible(&acceso, key)) {
        return Err(none());
    }
    let revoked = api.exchange.revocar_clave(&acceso.actor, known).await;
    let revoked = revoked.map_err(|error| match error {
        ExchangeError::NoExiste => none(),
        other => failure::exchange(other),
    });
    Ok(json(&view::api_key(&revoked?, None)))
}

/// Whether the caller may see a key: one limited to an entity sees those of that entity alone.
fn visible(acceso: &Acceso, key: &ApiKey) -> bool {
    acceso.entidad.is_none() || key.entidad.as_ref().is_some_and(|ruc| acceso.alcanza(ruc))
}
