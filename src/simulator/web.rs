//! What programs use beside the SOAP services, as JSON: the messages that passed, registering entities, sending from a
//! counterpart, the faults in force. What people use is in `page`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State, rejection::JsonRejection},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::header;
use serde::{Deserialize, Serialize};

use super::{
    faults::{self, Count, Script},
    ledger::Operation,
    registry::{Destino, Registrada},
    relay::Core,
    send::{Enviado, Envio},
};
use crate::{
    domain::{Categoria, Entidad, Ruc},
    http::{Code, Problem},
    platform::client::parse_url,
};

/// CUOs shown at once.
const CUOS_SHOWN: usize = 50;
/// Operations shown at once.
const OPERATIONS_SHOWN: usize = 1_000;
/// The category of an entity that is registered without one: gobierno local distrital.
pub const CATEGORIA: u8 = 8;

pub fn router(core: Arc<Core>) -> Router {
    Router::new()
        .route("/simulador/mensajes", get(messages))
        .route("/simulador/entidades", get(entities).post(register))
        .route("/simulador/enviar", post(send))
        .route("/simulador/fallas", get(get_faults).put(put_faults).delete(no_faults))
        .route("/simulador/operaciones", get(operations))
        .route("/simulador/raiz.pem", get(root))
        .route("/healthz", get(|| async { "vivo\n" }))
        .with_state(core)
}

#[derive(Deserialize)]
struct Which {
    cuo: Option<String>,
}

/// Newest CUOs first, the messages of each oldest first.
async fn messages(State(core): State<Arc<Core>>, Query(which): Query<Which>) -> Response {
    match which.cuo {
        Some(cuo) => Json(vec![core.log.of(&cuo)]).into_response(),
        None => Json(core.log.newest(CUOS_SHOWN)).into_response(),
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    entidad: Entidad,
    /// Its service's address; absent for samples and counterparts.
    url: Option<String>,
    contraparte: Option<&'static str>,
}

async fn entities(State(core): State<Arc<Core>>) -> Json<Vec<Shown>> {
    let shown = |r: Registrada| {
        let (url, contraparte) = match r.destino {
            Destino::Servicio(url) => (Some(url.to_string()), None),
            Destino::Contraparte(c) => (None, Some(c.responde.explicacion())),
            Destino::Ninguno => (None, None),
        };
        Shown { entidad: r.entidad, url, contraparte }
    };
    Json(core.registry.all().into_iter().map(shown).collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registro {
    ruc: String,
    nombre: String,
    url: String,
    categoria: Option<u8>,
}

async fn register(
    State(core): State<Arc<Core>>,
    registro: Result<Json<Registro>, JsonRejection>,
) -> Result<Json<Entidad>, Problem> {
    let Json(registro) = registro.map_err(not_json)?;
    let wrong = |field: &'static str, why: String| Problem::field(field, "no_valido", why);
    let ruc = Ruc::de_contraparte(&registro.ruc).map_err(|error| wrong("ruc", error.to_string()))?;
    let url = parse_url(&registro.url).map_err(|error| wrong("url", error.to_string()))?;
    let categoria = Categoria::try_from(registro.categoria.unwrap_or(CATEGORIA));
    let categoria = categoria.map_err(|error| wrong("categoria", error.to_string()))?;
    let entidad = Entidad { ruc, nombre: registro.nombre, categoria };
    let registered = core.registry.register(entidad.clone(), url);
    registered.map_err(|full| Problem::new(Code::ServicioOcupado, full.to_string()))?;
    Ok(Json(entidad))
}

async fn send(
    State(core): State<Arc<Core>>,
    envio: Result<Json<Envio>, JsonRejection>,
) -> Result<Json<Enviado>, Problem> {
    let Json(envio) = envio.map_err(not_json)?;
    core.enviar(&envio).await.map(Json).map_err(|error| Problem::field("de", "no_valido", error.to_string()))
}

fn not_json(rejection: JsonRejection) -> Problem {
    Problem::new(Code::JsonNoValido, rejection.body_text())
}

#[derive(Serialize)]
struct InForce {
    #[serde(flatten)]
    script: Script,
    /// Of each rule: how many requests it could have struck, and how many it did.
    cuentas: Vec<Count>,
}

async fn get_faults(State(core): State<Arc<Core>>) -> Json<InForce> {
    faults_now(&core)
}

fn faults_now(core: &Core) -> Json<InForce> {
    let (script, cuentas) = core.faults.now();
    Json(InForce { script, cuentas })
}

/// Takes a script instead of the one in force.
async fn put_faults(
    State(core): State<Arc<Core>>,
    script: Result<Json<serde_json::Value>, JsonRejection>,
) -> Result<Json<InForce>, Problem> {
    let Json(script) = script.map_err(not_json)?;
    let script =
        faults::reading::json(&script).map_err(|error| Problem::field("falla", "no_valido", error.0.join("; ")))?;
    core.play(script).map_err(|error| Problem::field("contraparte", "no_valido", error.to_string()))?;
    Ok(faults_now(&core))
}

/// Nothing goes wrong any more.
async fn no_faults(State(core): State<Arc<Core>>) -> Result<Json<InForce>, Problem> {
    core.play(Script::default()).map_err(|error| Problem::internal(&error))?;
    Ok(faults_now(&core))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Number of the last operation that is known already.
    desde: Option<u64>,
    limite: Option<usize>,
    cuo: Option<String>,
}

#[derive(Serialize)]
struct Operations {
    items: Vec<Operation>,
    /// What to give as `desde` to go on; there is more if it is less than `ultima`.
    siguiente: u64,
    ultima: u64,
}

/// What was asked, oldest first.
async fn operations(State(core): State<Arc<Core>>, Query(page): Query<Page>) -> Json<Operations> {
    let desde = page.desde.unwrap_or(0);
    let limite = page.limite.unwrap_or(OPERATIONS_SHOWN).min(OPERATIONS_SHOWN);
    let (items, ultima) = core.ledger.after(desde, limite, page.cuo.as_deref());
    let siguiente = items.last().map_or(ultima.max(desde), |o| o.n);
    Json(Operations { items, siguiente, ultima })
}

/// The certificate above those with which the counterparts sign.
async fn root(State(core): State<Arc<Core>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], core.authority.root())
}
