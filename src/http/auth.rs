//! Who is calling and what they may do: API keys as `Authorization: Bearer`, a certificate that stands for one, or the
//! operator at the control socket.
//!
//! What each role may do is one table, [`Grupo::permite`]; routes join a group with [`protected`] and cannot be reached
//! without it. Which records a caller sees is bound by the key's entity: [`Acceso::alcanza`].

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, header, request::Parts};
use tracing::Instrument;

use super::{
    failure,
    problem::{Code, Problem},
    rates::Rates,
    server::Peer,
    tls::Secured,
};
use crate::{
    domain::{Id, Ruc},
    exchange::{Actor, Exchange, ExchangeError, Rechazo},
    store::{ApiKey, Rol},
    telemetry::{Metrics, log},
};

/// Longest key looked at, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// A caller that was let in. An extension of every request to a [`protected`] route, and an extractor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceso {
    /// For the audit log.
    pub actor: Actor,
    pub rol: Rol,
    /// The only entity whose records the caller sees; `None`: all.
    pub entidad: Option<Ruc>,
    /// The key's record; `None`: the operator at the machine.
    pub clave: Option<Id>,
}

impl Acceso {
    /// The operator at the machine itself.
    pub fn local() -> Self {
        Self { actor: Actor::local(), rol: Rol::Admin, entidad: None, clave: None }
    }

    /// Whether the caller sees records of this entity.
    pub fn alcanza(&self, entidad: &Ruc) -> bool {
        self.entidad.as_ref().is_none_or(|own| own == entidad)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Acceso {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Problem::internal(&"a route outside every group asked who is calling"))
    }
}

/// Routes that the same roles may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grupo {
    /// Lists, records, documents, histories, events.
    Leer,
    /// Entities, categories, document types.
    Directorio,
    Despachar,
    /// Filing received documents and issuing their cargos.
    Responder,
    /// Deciding about work that is stuck; the health of counterparts.
    Operar,
    /// The audit log and its checkpoints.
    Auditar,
    /// Keys and other affairs of the daemon.
    Administrar,
}

impl Grupo {
    /// Whether what is asked for waits for the end of maintenance.
    pub fn cambia(self) -> bool {
        matches!(self, Self::Despachar | Self::Responder)
    }

    /// The table of roles.
    pub fn permite(self, rol: Rol) -> bool {
        match self {
            Self::Leer | Self::Directorio => true,
            Self::Despachar => matches!(rol, Rol::Sgd | Rol::Admin),
            Self::Responder => matches!(rol, Rol::Sgd | Rol::MesaDePartes | Rol::Admin),
            Self::Operar => matches!(rol, Rol::Operador | Rol::Admin),
            Self::Auditar => matches!(rol, Rol::Auditor | Rol::Admin),
            Self::Administrar => matches!(rol, Rol::Admin),
        }
    }
}

/// What stands before every route that needs a key.
#[derive(Clone)]
pub struct Door {
    pub exchange: Exchange,
    pub rates: Rates,
    pub metrics: Arc<Metrics>,
}

/// Lets only callers in whose role may use `grupo`, each as often as it may.
pub fn protected<S: Clone + Send + Sync + 'static>(grupo: Grupo, door: &Door, routes: Router<S>) -> Router<S> {
    routes.route_layer(from_fn_with_state((door.clone(), grupo), enter))
}

async fn enter(State((door, grupo)): State<(Door, Grupo)>, mut request: Request, next: Next) -> Response {
    let (exchange, peer) = (&door.exchange, request.extensions().get::<Peer>().copied());
    let shown = request.extensions().get::<Secured>().and_then(|secured| secured.caller.as_ref()?.api_key);
    let acceso = match authenticate(exchange, peer, shown, request.headers()).await {
        Ok(acceso) => acceso,
        Err(problem) => return problem.into_response(),
    };
    if let Some(Err(wait)) = acceso.clave.map(|clave| door.rates.take(clave)) {
        door.metrics.refused("api", "requests", "key");
        let detail = "Demasiadas peticiones con esta clave; vuelva a intentarlo cuando dice Retry-After";
        return Problem::new(Code::DemasiadasPeticiones, detail).retry_after(wait).into_response();
    }
    if !grupo.permite(acceso.rol) {
        exchange.acceso_rechazado(Rechazo::SinPermiso, address(peer));
        let detail = format!("Una clave con el rol «{}» no puede usar esta operación", rol(acceso.rol));
        return Problem::new(Code::PermisoInsuficiente, detail).into_response();
    }
    if grupo.cambia()
        && *request.method() != Method::GET
        && let Some(found) = exchange.mantenimiento()
    {
        // Before its document is read.
        let wait = found.espera(exchange.now());
        return failure::exchange(ExchangeError::Mantenimiento(found)).retry_after(wait).into_response();
    }
    request.extensions_mut().insert(acceso);
    next.run(request).instrument(log::exchange()).await
}

/// Who a request comes from: the operator at the control socket, or the holder of a key in force, which a certificate may
/// have `shown`. A key that is stated counts before one that is shown.
async fn authenticate(
    exchange: &Exchange,
    peer: Option<Peer>,
    shown: Option<Id>,
    headers: &HeaderMap,
) -> Result<Acceso, Problem> {
    if peer == Some(Peer::Local) {
        return Ok(Acceso::local());
    }
    let refused = |why, detail| {
        exchange.acceso_rechazado(why, address(peer));
        Problem::new(Code::ClaveRequerida, detail)
    };
    let Some(stated) = headers.get(header::AUTHORIZATION) else {
        let Some(id) = shown else {
            return Err(refused(Rechazo::SinClave, "Falta la cabecera Authorization: Bearer CLAVE"));
        };
        // A browser shows its certificate to whatever page asks it to: a page of somebody else must not act with it.
        if headers.contains_key(header::ORIGIN) {
            let detail = "Con un certificado no se atiende lo que pide una página web: use una clave";
            return Err(refused(Rechazo::SinClave, detail));
        }
        let found = exchange.clave_por_id(id).await.map_err(|error| Problem::internal(&error))?;
        let found = found.ok_or_else(|| {
            refused(Rechazo::Desconocida, "La clave a la que corresponde su certificado no existe o fue revocada")
        })?;
        return Ok(holder(found));
    };
    let key = stated.to_str().ok().and_then(bearer);
    let Some(key) = key.filter(|key| key.len() <= KEY_BYTES_MAX) else {
        return Err(refused(Rechazo::MalEscrita, "La cabecera Authorization debe ser: Bearer CLAVE"));
    };
    let found = exchange.clave_vigente(key).await.map_err(|error| Problem::internal(&error))?;
    let found = found.ok_or_else(|| refused(Rechazo::Desconocida, "La clave no existe o fue revocada"))?;
    Ok(holder(found))
}

fn holder(key: ApiKey) -> Acceso {
    Acceso { actor: Actor::clave(key.id), rol: key.rol, entidad: key.entidad, clave: Some(key.id) }
}

fn address(peer: Option<Peer>) -> Option<IpAddr> {
    match peer {
        Some(Peer::Network(address)) => Some(address.ip()),
        _ => None,
    }
}

/// The key of a `Bearer` header; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.trim().split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

/// A role as the API and the command line write it.
pub fn rol(rol: Rol) -> &'static str {
    match rol {
        Rol::Sgd => "sgd",
        Rol::MesaDePartes => "mesa_de_partes",
        Rol::Operador => "operador",
        Rol::Auditor => "auditor",
        Rol::Admin => "admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_table_says() {
        use Grupo as G;
        let may = |rol| {
            [G::Leer, G::Directorio, G::Despachar, G::Responder, G::Operar, G::Auditar, G::Administrar]
                .map(|g| u8::from(g.permite(rol)))
        };
        assert_eq!(may(Rol::Sgd), [1, 1, 1, 1, 0, 0, 0]);
        assert_eq!(may(Rol::MesaDePartes), [1, 1, 0, 1, 0, 0, 0]);
        assert_eq!(may(Rol::Operador), [1, 1, 0, 0, 1, 0, 0]);
        assert_eq!(may(Rol::Auditor), [1, 1, 0, 0, 0, 1, 0]);
        assert_eq!(may(Rol::Admin), [1, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn the_bearer_scheme_is_read_in_any_case_and_nothing_else_is() {
        assert_eq!(bearer("Bearer chq_1"), Some("chq_1"));
        assert_eq!(bearer("bearer  chq_1 "), Some("chq_1"));
        for text in ["", "Bearer", "Bearer ", "Basic chq_1", "chq_1"] {
            assert_eq!(bearer(text), None, "{text}");
        }
    }
}
