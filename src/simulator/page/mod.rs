//! The page of the simulator: what passed, message by message with its XML, and a mesa de partes in which a person acts as
//! the counterparts. Server-rendered, without scripts. What changes something is taken only from the page itself.

mod html;
mod views;

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{Path, Query, State, rejection::FormRejection},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::{relay::Core, send::Envio};
use crate::domain::{Desenlace, validation::largo};

/// Calls on one page.
const LLAMADAS_SHOWN: usize = 100;
/// Longest observation taken from the form, in characters (CONTRACT §4).
const OBSERVACION_MAX: usize = 250;

pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/simulador/trafico", get(traffic))
        .route("/simulador/trafico/{n}", get(call))
        .route("/simulador/mesa", get(desk))
        .route("/simulador/mesa/enviar", post(send))
        .route("/simulador/mesa/responder", post(answer))
        .route("/simulador/ayuda", get(views::help))
        .route(html::STYLE_PATH, get(html::style))
        .with_state(core)
}

async fn home(State(core): State<Arc<Core>>) -> Response {
    views::home(&core)
}

#[derive(Deserialize)]
struct Which {
    cuo: Option<String>,
}

async fn traffic(State(core): State<Arc<Core>>, Query(which): Query<Which>) -> Response {
    let cuo = which.cuo.as_deref().map(str::trim).filter(|cuo| !cuo.is_empty());
    views::traffic(&core.traffic.newest(LLAMADAS_SHOWN, cuo), cuo)
}

async fn call(State(core): State<Arc<Core>>, Path(n): Path<u64>) -> Response {
    match core.traffic.get(n) {
        Some(call) => views::call(&call),
        None => html::message(
            StatusCode::NOT_FOUND,
            "No está",
            "Ese mensaje no existe o ya se olvidó: se guardan los últimos.",
        ),
    }
}

async fn desk(State(core): State<Arc<Core>>, Query(done): Query<Done>) -> Response {
    views::desk(&core, done.hecho.as_deref())
}

#[derive(Deserialize)]
struct Done {
    hecho: Option<String>,
}

/// Whether a form was sent from our own page: browsers say where it comes from, and no other site may act here.
fn own(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let here = match text(header::ORIGIN) {
        Some(origin) => origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        None => true,
    };
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if here && site.is_none_or(|site| matches!(site, "same-origin" | "none")) {
        return Ok(());
    }
    let words = "Este formulario se llena en la página del simulador; no se acepta desde otro sitio.";
    Err(Box::new(html::message(StatusCode::FORBIDDEN, "No se aceptó", words)))
}

fn wrong(words: &str) -> Response {
    html::message(StatusCode::UNPROCESSABLE_ENTITY, "No se hizo", words)
}

/// Back to the desk, with the number of what was done so that a reload does it no second time.
fn done(what: &str) -> Response {
    let query: String = what.chars().filter(char::is_ascii_alphanumeric).collect();
    Redirect::to(&format!("/simulador/mesa?hecho={query}")).into_response()
}

#[derive(Deserialize)]
struct Sending {
    de: String,
    a: String,
    #[serde(default)]
    asunto: String,
    #[serde(default)]
    referencia: String,
}

async fn send(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    form: Result<Form<Sending>, FormRejection>,
) -> Response {
    if let Err(refused) = own(&headers) {
        return *refused;
    }
    let Ok(Form(form)) = form else { return wrong("El formulario llegó incompleto.") };
    let some = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let envio = Envio {
        de: form.de.trim().to_owned(),
        a: form.a.trim().to_owned(),
        asunto: some(form.asunto).map(|text| text.chars().take(largo::ASUNTO).collect()),
        referencia: some(form.referencia),
    };
    match core.enviar(&envio).await {
        Ok(sent) => done(&sent.cuo),
        Err(error) => wrong(&error.to_string()),
    }
}

#[derive(Deserialize)]
struct Answering {
    ruc: String,
    cuo: String,
    /// `recepcionar` or `observar`: the button that was pressed.
    accion: String,
    #[serde(default)]
    observacion: String,
}

async fn answer(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
    form: Result<Form<Answering>, FormRejection>,
) -> Response {
    if let Err(refused) = own(&headers) {
        return *refused;
    }
    let Ok(Form(form)) = form else { return wrong("El formulario llegó incompleto.") };
    let observacion: String = form.observacion.trim().chars().take(OBSERVACION_MAX).collect();
    let outcome = match form.accion.as_str() {
        "recepcionar" => Desenlace::Recepcionado,
        "observar" if observacion.is_empty() => {
            return wrong("Para observar hace falta decir qué se observa: llene el campo «Observación».");
        }
        "observar" => Desenlace::Observado,
        _ => return wrong("No se entiende qué se pide: use uno de los dos botones."),
    };
    match core.responder(&form.ruc, &form.cuo, outcome, &observacion) {
        Ok(()) => done(&form.cuo),
        Err(error) => wrong(&error.to_string()),
    }
}
