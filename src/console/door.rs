//! The door: signing in and out, whose visit a request is, and what each role may do.

use std::{fmt::Write, net::IpAddr};

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::{Markup, html};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Console, failure::Fault, forms, layout, words};
use crate::{
    domain::Ruc,
    exchange::{
        Actor,
        usuarios::{CONTRASENA_MIN, Ingreso},
    },
    http::{Acceso, FieldError, server::Peer},
    store::{Cursor, Rol, Usuario},
};

/// What a person wants to do. Everybody who is let in may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permiso {
    /// File received documents and issue their cargos.
    Responder,
    /// Send documents, correct and pass them on.
    Despachar,
    /// Decide about work that is stuck.
    Operar,
    /// Read the audit log and take evidence out.
    Auditar,
    /// People and the configuration.
    Administrar,
}

impl Permiso {
    /// The table of roles.
    pub fn tiene(self, rol: Rol) -> bool {
        match self {
            Self::Responder | Self::Despachar => matches!(rol, Rol::MesaDePartes | Rol::Admin),
            Self::Operar => matches!(rol, Rol::Operador | Rol::Admin),
            Self::Auditar => matches!(rol, Rol::Auditor | Rol::Admin),
            Self::Administrar => matches!(rol, Rol::Admin),
        }
    }
}

/// A request of somebody who is signed in.
pub struct Visit {
    pub usuario: Usuario,
    pub acceso: Acceso,
    /// The entity whose documents are shown: the person's, or the chosen one.
    pub entidad: Ruc,
    pub csrf: String,
    /// Up to where the person has looked at the news.
    pub visto: Cursor,
    /// The session's token.
    pub token: String,
    /// Where this page is.
    pub path: String,
}

impl Visit {
    pub fn puede(&self, permiso: Permiso) -> bool {
        permiso.tiene(self.acceso.rol)
    }

    pub fn exige(&self, permiso: Permiso) -> Result<(), Fault> {
        if self.puede(permiso) { Ok(()) } else { Err(Fault::forbidden()) }
    }

    /// The entity the use cases are limited to: the one that is shown.
    pub fn limite(&self) -> Option<&Ruc> {
        Some(&self.entidad)
    }

    pub fn actor(&self) -> &Actor {
        &self.acceso.actor
    }
}

impl FromRequestParts<Console> for Visit {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Fault> {
        let wanted = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let reading = parts.method == http::Method::GET && wanted.len() < 500;
        let to_the_door = || {
            let back = if reading && wanted != "/" { format!("?a={}", encoded(wanted)) } else { String::new() };
            Fault::Elsewhere(format!("/ingresar{back}"))
        };
        let token = cookie(&parts.headers, &session_cookie(&parts.headers)).ok_or_else(to_the_door)?;
        let session = console.sessions.find(&token, console.exchange.uptime()).ok_or_else(to_the_door)?;
        let usuario = console.exchange.store().usuario(session.usuario).await?.ok_or_else(to_the_door)?;
        if !session.is_of(&usuario) {
            console.sessions.close(&token);
            return Err(to_the_door());
        }
        let path = parts.uri.path().to_owned();
        if usuario.contrasena.provisional && !matches!(path.as_str(), "/cuenta" | "/salir") {
            return Err(Fault::Elsewhere("/cuenta".into()));
        }
        let settings = console.exchange.settings();
        let ours = &settings.entidades;
        let chosen = session.entidad.filter(|ruc| ours.iter().any(|own| own.ruc == *ruc));
        let entidad = usuario.entidad.clone().or(chosen).or_else(|| ours.first().map(|own| own.ruc.clone()));
        let entidad = entidad.ok_or_else(|| Fault::wrong("Este servicio no tiene ninguna entidad configurada"))?;
        let actor = Actor::usuario(usuario.id);
        let acceso = Acceso { actor, rol: usuario.rol, entidad: usuario.entidad.clone(), clave: None };
        let visto = session.visto.unwrap_or_default();
        Ok(Self { usuario, acceso, entidad, csrf: session.csrf, visto, token, path })
    }
}

/// Text as it may stand in a query.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Cookies know no ports: daemons on one machine have names of their own.
fn session_cookie(headers: &HeaderMap) -> String {
    format!("chasqui_sesion{}", port(headers))
}

fn before_cookie(headers: &HeaderMap) -> String {
    format!("chasqui_ingreso{}", port(headers))
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn port(headers: &HeaderMap) -> String {
    let port = host(headers).rsplit_once(':').map_or("", |(_, port)| port);
    if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) { format!("_{port}") } else { String::new() }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// Whether the browser is on this machine and speaks without TLS: the only place where a cookie goes without `Secure`.
fn plain_loopback(headers: &HeaderMap) -> bool {
    let name = host(headers).rsplit_once(':').map_or_else(|| host(headers), |(name, _)| name);
    let here = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    here && !behind_tls(headers)
}

fn behind_tls(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"https"))
}

fn set_cookie(headers: &HeaderMap, name: &str, value: &str) -> Option<HeaderValue> {
    let secure = if plain_loopback(headers) { "" } else { "; Secure" };
    let age = if value.is_empty() { "; Max-Age=0" } else { "" };
    HeaderValue::from_str(&format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")).ok()
}

/// Where the caller is, as the listener knows it: it believes the proxies that the configuration names, and no other.
fn address(request: &Request) -> Option<IpAddr> {
    match request.extensions().get::<Peer>()? {
        Peer::Network(address) => Some(address.ip()),
        Peer::Local => None,
    }
}

/// Each role begins where its work is.
pub async fn home(visit: Visit) -> Redirect {
    Redirect::to(match visit.acceso.rol {
        Rol::Operador => "/operacion",
        Rol::Auditor => "/auditoria",
        _ => "/entrada",
    })
}

#[derive(Deserialize)]
pub struct Back {
    /// Where the person wanted to go.
    a: Option<String>,
}

/// An address within the console, whatever was asked for.
fn within(address: &str) -> &str {
    // Browsers drop tabs and line ends out of an address and take `\` for `/`: none of them stands in one of ours.
    let mut chars = address.chars();
    let rooted = chars.next() == Some('/') && chars.next() != Some('/');
    let plain = rooted && !address.contains(|c: char| c.is_control() || c == '\\');
    if plain { address } else { "/" }
}

/// The page to sign in.
pub async fn ask(State(console): State<Console>, Query(back): Query<Back>, request: Request) -> Response {
    door(&console, request.headers(), back.a.as_deref().unwrap_or("/"), "", None, StatusCode::OK)
}

fn door(
    console: &Console,
    headers: &HeaderMap,
    back: &str,
    cuenta: &str,
    wrong: Option<&str>,
    status: StatusCode,
) -> Response {
    let token: String = console.exchange.secret().iter().map(|byte| format!("{byte:02x}")).collect();
    let exposed = !plain_loopback(headers) && !behind_tls(headers);
    let settings = console.exchange.settings();
    let names: Vec<&str> = settings.entidades.iter().map(|own| own.nombre.as_str()).collect();
    let page = layout::bare(
        "Ingresar",
        html! {
            h1 { "Mesa de partes" }
            p.tenue { (names.join(" · ")) }
            @if let Some(wrong) = wrong { div.aviso.malo role="alert" { p { (wrong) } } }
            @if exposed && wrong.is_none() {
                div.aviso.regular { p {
                    "Esta dirección no usa HTTPS. Fuera de la propia máquina del servicio el navegador no guardará la sesión: \
                     ingrese por la dirección https:// que le dio quien administra el servicio."
                } }
            }
            form.ficha method="post" action="/ingresar" enctype="multipart/form-data" {
                input type="hidden" name=(forms::TOKEN) value=(token);
                input type="hidden" name="a" value=(within(back));
                label for="cuenta" { "Cuenta" }
                input #cuenta name="cuenta" value=(cuenta) required autocomplete="username" autocapitalize="none" spellcheck="false" autofocus;
                label for="contrasena" { "Contraseña" }
                input #contrasena name="contrasena" type="password" required autocomplete="current-password";
                button.boton.principal type="submit" { "Ingresar" }
            }
            p.tenue { "¿No tiene cuenta u olvidó su contraseña? Pídala a quien administra chasqui en su entidad." }
        },
    );
    let mut response = (status, page).into_response();
    if let Some(value) = set_cookie(headers, &before_cookie(headers), &token) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// Lets a person in, or says why not.
pub async fn enter(State(console): State<Console>, request: Request) -> Result<Response, Fault> {
    let (headers, from) = (request.headers().clone(), address(&request));
    let Some(token) = cookie(&headers, &before_cookie(&headers)) else {
        let detail =
            "El navegador no guardó la página de ingreso: permita las cookies de este sitio y vuelva a intentarlo";
        return Ok(door(&console, &headers, "/", "", Some(detail), StatusCode::BAD_REQUEST));
    };
    let sent = forms::read(&console.exchange, &token, request).await?;
    let (cuenta, back) = (sent.text("cuenta").to_lowercase(), sent.text("a").to_owned());
    // Not trimmed: a password may begin with a space.
    let given = sent.textos.iter().find(|(name, _)| name == "contrasena").map(|(_, value)| value.clone());
    let (sessions, now) = (&console.sessions, console.exchange.uptime());
    if let Some(wait) = sessions.wait(&cuenta, from, now) {
        console.exchange.acceso_rechazado(crate::exchange::Rechazo::Ingreso, from);
        let wait = words::wait(wait);
        let detail = format!("Hubo varios intentos fallidos. Espere {wait} y vuelva a intentarlo");
        return Ok(door(&console, &headers, &back, &cuenta, Some(&detail), StatusCode::TOO_MANY_REQUESTS));
    }
    let tried = console.exchange.ingresar(&cuenta, Zeroizing::new(given.unwrap_or_default()), from).await?;
    let Ingreso::Bien(usuario) = tried else {
        sessions.failed(&cuenta, from, now);
        let detail = "La cuenta o la contraseña no corresponden. Revise mayúsculas y vuelva a intentarlo";
        return Ok(door(&console, &headers, &back, &cuenta, Some(detail), StatusCode::UNPROCESSABLE_ENTITY));
    };
    sessions.succeeded(&cuenta, from);
    let visto = Cursor { seq: *console.exchange.store().watch().borrow(), n: u8::MAX };
    let secrets = [console.exchange.secret(), console.exchange.secret()];
    let token = sessions.open(&usuario, visto, secrets, now);
    let mut response = Redirect::to(within(&back)).into_response();
    for (name, value) in [(session_cookie(&headers), token.as_str()), (before_cookie(&headers), "")] {
        if let Some(value) = set_cookie(&headers, &name, value) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    Ok(response)
}

pub async fn leave(State(console): State<Console>, visit: Visit, request: Request) -> Result<Response, Fault> {
    let (headers, from) = (request.headers().clone(), address(&request));
    forms::read(&console.exchange, &visit.csrf, request).await?;
    console.sessions.close(&visit.token);
    console.exchange.salir(&visit.usuario, from).await?;
    let mut response = Redirect::to("/ingresar").into_response();
    if let Some(value) = set_cookie(&headers, &session_cookie(&headers), "") {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// A person of several entities chooses which one is shown.
pub async fn choose(State(console): State<Console>, visit: Visit, request: Request) -> Result<Redirect, Fault> {
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let settings = console.exchange.settings();
    let ours = &settings.entidades;
    let chosen = ours.iter().find(|own| own.ruc.as_str() == sent.text("ruc") && visit.acceso.alcanza(&own.ruc));
    let chosen = chosen.ok_or_else(|| Fault::missing("esa entidad"))?.ruc.clone();
    console.sessions.change(&visit.token, |session| session.entidad = Some(chosen));
    Ok(Redirect::to("/"))
}

/// The person's own account.
pub async fn account(State(console): State<Console>, visit: Visit) -> Markup {
    account_page(&console, &visit, &[])
}

fn account_page(console: &Console, visit: &Visit, errors: &[FieldError]) -> Markup {
    let person = &visit.usuario;
    let error = |name: &str| errors.iter().find(|error| error.field == name).map(|error| error.detail.as_str());
    let field = |name: &str, label: &str, auto: &str| {
        let wrong = error(name);
        html! {
            label for=(name) { (label) }
            input id=(name) name=(name) type="password" required autocomplete=(auto) aria-invalid=[wrong.map(|_| "true")]
                aria-describedby=[wrong.map(|_| format!("{name}-error"))];
            @if let Some(wrong) = wrong { p.error id=(format!("{name}-error")) { (wrong) } }
        }
    };
    layout::page(
        console,
        visit,
        "Mi cuenta",
        html! {
            h1 { "Mi cuenta" }
            @if person.contrasena.provisional {
                div.aviso.regular role="alert" { p { strong { "Elija su contraseña para continuar. " } "La que usó es provisional: otra persona la conoce." } }
            }
            dl.datos {
                dt { "Nombre" } dd { (person.nombre) }
                dt { "Cuenta" } dd { (person.cuenta) }
                dt { "Rol" } dd { (words::rol(person.rol)) }
            }
            h2 { "Cambiar la contraseña" }
            form.ficha method="post" action="/cuenta" enctype="multipart/form-data" {
                (layout::token(visit))
                (field("actual", "Contraseña actual", "current-password"))
                (field("nueva", "Contraseña nueva", "new-password"))
                p.ayuda { "De " (CONTRASENA_MIN) " caracteres o más. Sirve una frase que recuerde; no debe contener su cuenta." }
                (field("repetida", "Contraseña nueva, otra vez", "new-password"))
                button.boton.principal type="submit" { "Cambiar la contraseña" }
            }
            p.tenue { "Al cambiarla terminan sus sesiones en otros equipos." }
        },
    )
}

pub async fn change(State(console): State<Console>, visit: Visit, request: Request) -> Result<Response, Fault> {
    let sent = forms::read(&console.exchange, &visit.csrf, request).await?;
    let whole = |name: &str| {
        let found = sent.textos.iter().find(|(known, _)| known == name);
        Zeroizing::new(found.map(|(_, value)| value.clone()).unwrap_or_default())
    };
    let refused = |errors: &[FieldError]| {
        (StatusCode::UNPROCESSABLE_ENTITY, account_page(&console, &visit, errors)).into_response()
    };
    if whole("nueva") != whole("repetida") {
        let detail = "No es igual a la contraseña nueva: escríbala otra vez";
        return Ok(refused(&[FieldError::new("repetida", "no_valido", detail)]));
    }
    let changed = console.exchange.cambiar_contrasena(visit.usuario.id, whole("actual"), whole("nueva")).await;
    match changed {
        Ok(usuario) => {
            console.sessions.renewed(&visit.token, &usuario);
            Ok(Redirect::to("/").into_response())
        }
        Err(error) => Ok(refused(&Fault::from(error).fields()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_a_browser_on_this_machine_without_tls_has_a_cookie_that_is_not_secure() {
        let secure = |pairs: &[(&'static str, &'static str)]| {
            let cookie = set_cookie(&headers(pairs), "a", "b").unwrap();
            cookie.to_str().unwrap().contains("Secure")
        };
        assert!(!secure(&[("host", "127.0.0.1:8081")]) && !secure(&[("host", "localhost")]));
        assert!(secure(&[("host", "127.0.0.1:8081"), ("x-forwarded-proto", "https")]));
        assert!(secure(&[("host", "mesa.muni.gob.pe")]) && secure(&[]) && secure(&[("host", "127.0.0.1.evil.pe")]));
    }

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        let wrongs =
            ["https://x.pe", "//x.pe", "/\\x.pe", "x", "", "/\t/x.pe", "/\n/x.pe", "\t//x.pe", "/\u{85}/x.pe", "/a\\b"];
        for wrong in wrongs {
            assert_eq!(within(wrong), "/", "{wrong}");
        }
        assert_eq!(within("/entrada?q=a"), "/entrada?q=a");
        assert_eq!(within("/"), "/");
    }

    #[test]
    fn roles_may_what_the_table_says() {
        use Permiso as P;
        let may = |rol: Rol| {
            let all = [P::Responder, P::Despachar, P::Operar, P::Auditar, P::Administrar];
            all.map(|permiso| permiso.tiene(rol))
        };
        assert_eq!(may(Rol::MesaDePartes), [true, true, false, false, false]);
        assert_eq!(may(Rol::Operador), [false, false, true, false, false]);
        assert_eq!(may(Rol::Auditor), [false, false, false, true, false]);
        assert_eq!(may(Rol::Admin), [true; 5]);
        assert_eq!(may(Rol::Sgd), [false; 5]);
    }
}
