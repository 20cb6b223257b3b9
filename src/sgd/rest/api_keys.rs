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
    store::Rol,
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
    let nueva = read(&mut fields);
    fields.finish()?;
    let Some(nueva) = nueva else { return Err(Problem::internal(&"a wrong key passed its checks")) };
    let (clave, record) = api.exchange.crear_clave(&acceso.actor, nueva).await.map_err(failure::exchange)?;
    let mut response = json(&view::api_key(&record, Some(&clave)));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `None` only where `fields` says what is wrong.
fn read(fields: &mut Fields) -> Option<NuevaClave> {
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
        None => None,
    };
    if matches!(rol, Some(Rol::Sgd | Rol::MesaDePartes)) && entidad.is_none() {
        fields.wrong("entidad", "no_especificado", "Una clave con este rol es siempre de una entidad: diga su RUC");
    }
    Some(NuevaClave { nombre, rol: rol?, entidad })
}

fn role(fields: &mut Fields) -> Option<Rol> {
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

pub async fn list(State(api): State<Api>, params: Params) -> Result<Response, Problem> {
    params.only(&[])?;
    let keys = api.exchange.claves().await.map_err(failure::store)?;
    Ok(json(&view::Items::whole(keys.iter().map(|key| view::api_key(key, None)))))
}

pub async fn revoke(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let revoked = api.exchange.revocar_clave(&acceso.actor, query::id(&id)?).await;
    let revoked = revoked.map_err(|error| match error {
        ExchangeError::NoExiste => {
            Problem::new(Code::NoExiste, format!("No hay ninguna clave con el identificador {id}"))
        }
        other => failure::exchange(other),
    });
    Ok(json(&view::api_key(&revoked?, None)))
}
