//! How long exchanges are kept: holds on them, what a purge would take, purging, and its certificates.

use axum::{
    body::HttpBody,
    extract::{Path, Request, State},
    response::Response,
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, decisions::needed_reason, failure, fields::Fields, json, query, query::Params, view};
use crate::{
    domain::{Id, Ruc, lima},
    exchange::retention::{Clase, Conteo, Lugar, Politica},
    http::{Acceso, Code, Problem},
    store::Record,
};

/// An exchange in a list: what tells it apart.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Intercambio")]
pub struct IntercambioView<'a> {
    id: Id,
    tipo: &'static str,
    entidad: Option<&'a Ruc>,
    cuo: Option<&'a str>,
    numero_registro: Option<&'a str>,
    estado: &'static str,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    creado_en: Option<Timestamp>,
    bloqueo: Option<view::BloqueoView<'a>>,
    purga: Option<view::PurgaView<'a>>,
}

fn intercambio(record: &Record) -> Option<IntercambioView<'_>> {
    let (tipo, cuo, numero_registro, estado, creado_en) = match record {
        Record::Despacho(d) => {
            let cuo = d.cuo.as_ref().map(|cuo| cuo.as_str());
            ("despacho", cuo, Some(d.numero_registro.as_str()), d.estado.palabra(), d.creado_en)
        }
        Record::Recepcion(r) => {
            let numero = r.numero_registro.as_deref();
            ("recepcion", Some(r.cuo.as_str()), numero, r.estado.palabra(), r.recibido_en)
        }
        _ => return None,
    };
    Some(IntercambioView {
        id: record.id(),
        tipo,
        entidad: record.entidad(),
        cuo,
        numero_registro,
        estado,
        creado_en: Some(creado_en),
        bloqueo: record.bloqueo().map(view::bloqueo),
        purga: record.purga().map(view::purga),
    })
}

fn shown(record: &Record) -> Result<Response, Problem> {
    match record {
        Record::Despacho(despacho) => Ok(json(&view::despacho(despacho))),
        Record::Recepcion(recepcion) => Ok(json(&view::recepcion(recepcion))),
        _ => Err(Problem::internal(&"a hold on what is no exchange")),
    }
}

/// Whether the exchange is of the kind that the route names.
async fn known(api: &Api, acceso: &Acceso, kind: Kind, id: &str) -> Result<Id, Problem> {
    match kind {
        Kind::Despacho => api.despacho(acceso, id).await.map(|d| d.id),
        Kind::Recepcion => api.recepcion(acceso, id).await.map(|r| r.id),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Despacho,
    Recepcion,
}

async fn hold(api: Api, acceso: Acceso, kind: Kind, id: &str, request: Request) -> Result<Response, Problem> {
    let id = known(&api, &acceso, kind, id).await?;
    let motivo = needed_reason(&api, request).await?;
    let held = api.exchange.bloquear(&acceso.actor, acceso.entidad.as_ref(), id, &motivo).await;
    shown(&held.map_err(failure::exchange)?)
}

async fn lift(api: Api, acceso: Acceso, kind: Kind, id: &str, request: Request) -> Result<Response, Problem> {
    let id = known(&api, &acceso, kind, id).await?;
    let motivo = needed_reason(&api, request).await?;
    let lifted = api.exchange.desbloquear(&acceso.actor, acceso.entidad.as_ref(), id, &motivo).await;
    shown(&lifted.map_err(failure::exchange)?)
}

pub async fn hold_despacho(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    hold(api, acceso, Kind::Despacho, &id, request).await
}

pub async fn hold_recepcion(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    hold(api, acceso, Kind::Recepcion, &id, request).await
}

pub async fn lift_despacho(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    lift(api, acceso, Kind::Despacho, &id, request).await
}

pub async fn lift_recepcion(
    State(api): State<Api>,
    acceso: Acceso,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    lift(api, acceso, Kind::Recepcion, &id, request).await
}

/// Exchanges under a hold.
pub async fn held(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["limit", "cursor"])?;
    let entidad = acceso.entidad.as_ref();
    let page = api.exchange.bloqueados(entidad, params.cursor()?, params.limit()?).await.map_err(failure::store)?;
    let items = visible(&page.items, &acceso);
    Ok(json(&view::Items { items, next_cursor: page.next.map(|id| id.to_string()) }))
}

/// Those of a page that the caller may see.
fn visible<'a>(records: &'a [Record], acceso: &Acceso) -> Vec<IntercambioView<'a>> {
    let reached = |record: &&Record| record.entidad().is_some_and(|ruc| acceso.alcanza(ruc));
    records.iter().filter(reached).filter_map(intercambio).collect()
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Conteo")]
pub struct ConteoView {
    /// Seconds that exchanges of this class are kept after they ended; absent: for ever.
    plazo_segundos: Option<u64>,
    purgables: u64,
    documentos: u64,
    bytes: u64,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    mas_antiguo: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    mas_reciente: Option<Timestamp>,
    no_terminados: u64,
    en_cola: u64,
    bloqueados: u64,
    recientes: u64,
    sin_plazo: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PlanDePurga")]
pub struct PlanView {
    despachos: ConteoView,
    recepciones: ConteoView,
    next_cursor: Option<String>,
}

fn conteo(politica: &Politica, clase: Clase, counted: Conteo) -> ConteoView {
    ConteoView {
        plazo_segundos: politica.plazo(clase).map(|plazo| plazo.as_secs()),
        purgables: counted.purgables,
        documentos: counted.documentos,
        bytes: counted.bytes,
        mas_antiguo: counted.mas_antiguo,
        mas_reciente: counted.mas_reciente,
        no_terminados: counted.no_terminados,
        en_cola: counted.en_cola,
        bloqueados: counted.bloqueados,
        recientes: counted.recientes,
        sin_plazo: counted.sin_plazo,
    }
}

fn place(text: Option<&str>) -> Result<Option<Lugar>, Problem> {
    let read = |text: &str| {
        let detail = "«cursor» debe ser el next_cursor de una respuesta anterior";
        Lugar::leer(text).ok_or_else(|| Problem::new(Code::ParametroNoValido, detail))
    };
    text.map(read).transpose()
}

/// What a purge would take now; of many exchanges only a part, and its cursor goes on.
pub async fn plan(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let lugar = place(params.only(&["cursor"])?.text("cursor"))?;
    let plan = api.exchange.planear_purga(acceso.entidad.as_ref(), lugar).await.map_err(failure::exchange)?;
    let politica = api.exchange.politica();
    Ok(json(&PlanView {
        despachos: conteo(politica, Clase::Despachos, plan.despachos),
        recepciones: conteo(politica, Clase::Recepciones, plan.recepciones),
        next_cursor: plan.siguiente.map(|lugar| lugar.texto()),
    }))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Corrida")]
pub struct CorridaView {
    corrida: Id,
    intercambios: u64,
    documentos: u64,
    bytes: u64,
    next_cursor: Option<String>,
}

/// Purges a part of what the plan says; its cursor and `corrida` go on.
pub async fn purge(State(api): State<Api>, acceso: Acceso, request: Request) -> Result<Response, Problem> {
    if !api.exchange.politica().activa() {
        let detail = "No hay plazos de conservación: todo se guarda. Se configuran en [retention]";
        return Err(Problem::new(Code::EstadoNoPermite, detail));
    }
    let (mut corrida, mut lugar) = (None, None);
    if request.body().size_hint().exact() != Some(0) {
        let mut fields = Fields::new(api.receive_plain(request).await?, &["corrida", "cursor"]);
        let (run, cursor) = (fields.text("corrida"), fields.text("cursor"));
        fields.finish()?;
        corrida = run.map(|id| query::id(&id)).transpose()?;
        lugar = place(cursor.as_deref())?;
    }
    let done = api.exchange.purgar(&acceso.actor, acceso.entidad.as_ref(), corrida, lugar).await;
    let done = done.map_err(failure::exchange)?;
    Ok(json(&CorridaView {
        corrida: done.id,
        intercambios: done.intercambios,
        documentos: done.documentos,
        bytes: done.bytes,
        next_cursor: done.siguiente.map(|lugar| lugar.texto()),
    }))
}

/// What remains of purged exchanges, with their certificates.
pub async fn certificates(State(api): State<Api>, acceso: Acceso, params: Params) -> Result<Response, Problem> {
    let params = params.only(&["limit", "cursor"])?;
    let entidad = acceso.entidad.as_ref();
    let page = api.exchange.purgados(entidad, params.cursor()?, params.limit()?).await.map_err(failure::store)?;
    let items = visible(&page.items, &acceso);
    Ok(json(&view::Items { items, next_cursor: page.next.map(|id| id.to_string()) }))
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CertificadoDePurga")]
pub struct CertificadoView<'a> {
    #[serde(flatten)]
    intercambio: IntercambioView<'a>,
    /// To be read and printed.
    texto: String,
}

/// One certificate.
pub async fn certificate(State(api): State<Api>, acceso: Acceso, Path(id): Path<String>) -> Result<Response, Problem> {
    let record = match api.despacho(&acceso, &id).await {
        Ok(despacho) => Record::Despacho(Box::new(despacho)),
        Err(problem) if problem.code() == Code::NoExiste => {
            Record::Recepcion(Box::new(api.recepcion(&acceso, &id).await?))
        }
        Err(problem) => return Err(problem),
    };
    let texto = match &record {
        Record::Despacho(despacho) => despacho.certificado(),
        Record::Recepcion(recepcion) => recepcion.certificado(),
        _ => None,
    };
    let missing = || Problem::new(Code::NoExiste, "Ese intercambio no fue purgado: no tiene certificado");
    let (texto, intercambio) = texto.zip(intercambio(&record)).ok_or_else(missing)?;
    Ok(json(&CertificadoView { intercambio, texto }))
}
