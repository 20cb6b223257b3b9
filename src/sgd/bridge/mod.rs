//! The API of the REST bridge that SGDs already use (CONTRACT §11), over the use cases of `exchange`: an SGD written for it
//! changes only the address. Here are its names (`vnumregstd`) and its manners; it decides nothing about exchanges.
//!
//! What it adds to the use cases is that a caller may repeat everything: a number of registration is never sent twice, and
//! what a caller gives up on is withdrawn if it surely did not leave ([`send`]).

mod answer;
mod body;
mod cargo;
mod directory;
mod guesses;
mod local;
mod query;
mod send;
#[cfg(test)]
mod tests;
mod token;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State},
    middleware::{Next, from_fn_with_state, map_response},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{Method, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use answer::Failure;
pub use guesses::WRONG_PER_MINUTE;
use guesses::{Closed, Guesses};
pub use token::TOKEN_BYTES_MAX;
use token::Tokens;

use crate::{
    config::{self, Config},
    domain::{Ambiente, Contenido, Despacho, Id, Recepcion, Ruc},
    exchange::{Actor, Exchange, Rechazo},
    http::{
        limits::{BodyLimits, Intake},
        server::Peer,
    },
    sgd::rest::{Api, intake::Place, private},
    store::{Numbered, Staged},
};

/// The ways in, and what their handlers share.
#[derive(Clone)]
pub struct Bridge {
    api: Api,
    doors: Arc<[Arc<Door>]>,
    guesses: Arc<Guesses>,
}

/// The way in of one entity.
pub struct Door {
    tokens: Tokens,
    /// How long a send is waited for.
    wait: Duration,
}

impl Bridge {
    /// `None`: no entity's SGD speaks this way.
    pub fn from_config(config: &Config, api: Api) -> Option<Self> {
        let doors: Vec<Arc<Door>> = config.bridge.iter().filter_map(|one| door(config, one)).map(Arc::new).collect();
        (!doors.is_empty()).then(|| Self { api, doors: doors.into(), guesses: Arc::default() })
    }

    fn exchange(&self) -> &Exchange {
        &self.api.exchange
    }

    /// The caller's despachos under a number, newest first, but for those that gave it up to another.
    async fn sent_as(&self, caller: &Caller, numero: &str) -> Result<Vec<Despacho>, Failure> {
        let page = self.exchange().store().despachos_by_numero(numbered(caller, numero)).await?;
        Ok(page.items.into_iter().filter(|despacho| despacho.reemplazado_por.is_none()).collect())
    }

    /// What the caller received and filed under a number, newest first.
    async fn filed_as(&self, caller: &Caller, numero: &str) -> Result<Vec<Recepcion>, Failure> {
        Ok(self.exchange().store().recepciones_by_numero(numbered(caller, numero)).await?.items)
    }

    /// A request's members, and its PDF.
    async fn receive(&self, request: Request, place: &Place) -> Result<Received, Failure> {
        let received = self.api.receive_json(request.into_body(), place).await?;
        Ok(Received { members: received.members, contenido: received.contenido, pdf: received.pdf })
    }
}

/// Longest body of a request for a token, in bytes.
pub const ACCESS_BYTES_MAX: u64 = 4 * 1024;

/// How long it may take to come.
pub const ACCESS_TIME_MAX: Duration = Duration::from_secs(5);

/// Most records looked at under one number.
pub const NUMBERED_MAX: usize = 64;

fn numbered(caller: &Caller, numero: &str) -> Numbered {
    Numbered { entidad: caller.entidad().clone(), numero: numero.trim().to_owned(), after: None, limit: NUMBERED_MAX }
}

struct Received {
    members: Map<String, Value>,
    contenido: Contenido,
    pdf: Option<Staged>,
}

fn door(config: &Config, bridge: &config::Bridge) -> Option<Door> {
    let entidad = bridge.entity(config)?;
    let access = bridge.user_access_api.as_ref()?.reveal();
    let secret = bridge.jwt_secret.as_ref()?.reveal();
    Some(Door { tokens: Tokens::new(entidad, access, secret, bridge.token_lifetime), wait: bridge.wait })
}

/// The routes, bounded by `intake`.
pub fn router(bridge: Bridge, intake: Intake) -> Router {
    let routes = Router::new()
        .route("/pide/ping", get(ping))
        .route("/pide/despacho/enviado", post(send::send))
        .route("/pide/despacho/subsanado", post(send::correct))
        .route("/pide/cargo/recepcionado", post(cargo::accept))
        .route("/pide/cargo/observado", post(cargo::object))
        .route("/pide/consultar/recepcion/{ruc}/{numero}/{token}", get(query::ask))
        .route("/pide/consultar/lista/entidades/{categoria}/{token}", get(directory::list))
        .route("/local/documento/despachado/{numero}/{token}", get(local::sent))
        .route("/local/documento/recepcionado/{numero}/{token}", get(local::received))
        .route("/local/cargo/despachado/{numero}/{token}", get(local::cargo_of_sent))
        .route("/local/cargo/recepcionado/{numero}/{token}", get(local::cargo_of_received))
        .fallback(nowhere)
        .method_not_allowed_fallback(nowhere);
    let strangers = Router::new()
        .route("/pide/autenticacion", post(authenticate))
        .method_not_allowed_fallback(nowhere)
        .layer(from_fn_with_state(of_strangers(&intake), bound));
    let rest = routes.layer(from_fn_with_state(intake, bound)).merge(strangers);
    Router::new()
        .nest("/componente-proxy", Router::new().nest("/rest", rest).fallback(nowhere))
        .with_state(bridge)
        .layer(DefaultBodyLimit::disable())
        .layer(map_response(private))
}

/// Bounds on who is not known yet: a few bytes, soon, so that nobody without a key takes the room of those who have one.
fn of_strangers(intake: &Intake) -> Intake {
    let BodyLimits { bytes_max, idle, total, .. } = intake.limits;
    let limits = BodyLimits {
        bytes_max: bytes_max.min(ACCESS_BYTES_MAX),
        idle: idle.min(ACCESS_TIME_MAX),
        total: total.min(ACCESS_TIME_MAX),
        ..intake.limits
    };
    Intake { limits, ..intake.clone() }
}

/// The listener's bounds on bodies; what is over them is told as everything else is.
async fn bound(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    match intake.admit(request) {
        Ok(request) => next.run(request).await,
        Err(error) => Failure::unexpected(error.to_string()).into_response(),
    }
}

async fn ping(State(bridge): State<Bridge>) -> &'static str {
    match bridge.exchange().settings().ambiente {
        Ambiente::Production => "pong modo: PROD",
        Ambiente::Test => "pong modo: DEV",
        Ambiente::Simulation => "pong modo: DEV_LOCALHOST",
    }
}

/// Gives a token to who knows an entity's `userAccessApi`.
async fn authenticate(State(bridge): State<Bridge>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if let Err(closed) = bridge.guesses.open(peer, bridge.exchange().now()) {
        return too_often(&bridge, closed);
    }
    let none = Place { member: &[], part: "", annexes: None };
    let members = match bridge.receive(request, &none).await {
        Ok(received) => received.members,
        Err(failure) => return failure.into_response(),
    };
    let Some(stated) = body::Body::new(members).text("userAccessApi").filter(|text| !text.is_empty()) else {
        return refused(&bridge, Rechazo::SinClave, peer, "No se encontró usuario");
    };
    let now = bridge.exchange().now();
    // All are looked at, so that the time it takes says nothing.
    let look =
        || bridge.doors.iter().fold(None, |known, door| if door.tokens.lets_in(&stated) { Some(door) } else { known });
    match bridge.guesses.judge(peer, now, look) {
        Ok(known) => match known.and_then(|door| door.tokens.issue(now)) {
            Some(token) => answer::done("0000", token),
            None => refused(&bridge, Rechazo::Desconocida, peer, "Usuario no autorizado"),
        },
        Err(closed) => too_often(&bridge, closed),
    }
}

fn too_often(bridge: &Bridge, Closed(wait): Closed) -> Response {
    bridge.api.metrics.refused("api", "requests", "peer");
    let what = "Demasiadas llaves equivocadas desde su dirección: espere un minuto y vuelva a intentarlo";
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, wait.as_secs().to_string())], what).into_response()
}

/// No address of the bridge, or not that way. The address is not repeated: it may end in a token.
async fn nowhere() -> Failure {
    Failure::unexpected("La dirección o el método no existe en el puente: revise la ruta que llama su SGD")
}

/// Whoever is not let in is told in plain text, as SGDs expect it.
fn refused(bridge: &Bridge, why: Rechazo, peer: Option<Peer>, what: &'static str) -> Response {
    let address = match peer {
        Some(Peer::Network(address)) => Some(address.ip()),
        _ => None,
    };
    bridge.exchange().acceso_rechazado(why, address);
    (StatusCode::UNAUTHORIZED, what).into_response()
}

/// A caller with a token in force: in the header of a `POST`, at the end of the address of a `GET`.
struct Caller(Arc<Door>);

impl Caller {
    fn entidad(&self) -> &Ruc {
        self.0.tokens.entidad()
    }

    /// Whose haste is bounded: an entity's, as a key's is. No key's id is so small.
    fn bucket(&self) -> Id {
        Id::from_u128(self.entidad().as_str().parse().unwrap_or_default())
    }

    fn actor(&self) -> Actor {
        Actor(format!("puente:{}", self.entidad()))
    }
}

impl FromRequestParts<Bridge> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, bridge: &Bridge) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Peer>().copied();
        let token = match parts.method {
            Method::POST => parts.headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?)),
            _ => parts.uri.path().rsplit('/').next(),
        };
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(refused(bridge, Rechazo::SinClave, peer, "Token no proporcionado."));
        };
        let now = bridge.exchange().now();
        let door = bridge.doors.iter().find(|door| door.tokens.accepts(token, now));
        let found = door.map(|door| Self(Arc::clone(door)));
        let caller = found.ok_or_else(|| refused(bridge, Rechazo::Desconocida, peer, "El token no es válido"))?;
        bridge.api.rates.take(caller.bucket()).map_err(|wait| {
            bridge.api.metrics.refused("api", "requests", "key");
            let seconds = wait.as_secs().saturating_add(1);
            let what =
                format!("Demasiadas peticiones de la entidad: esta no se atendió; repítala dentro de {seconds} s");
            Failure::unexpected(what).into_response()
        })?;
        Ok(caller)
    }
}

/// The parts of an address, told of as everything else where they are no text.
struct Parted<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Bridge> for Parted<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, bridge: &Bridge) -> Result<Self, Failure> {
        let read = Path::<T>::from_request_parts(parts, bridge).await;
        read.map(|Path(parts)| Self(parts))
            .map_err(|_| Failure::unexpected("La dirección no es válida: sus partes deben ser texto UTF-8"))
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
