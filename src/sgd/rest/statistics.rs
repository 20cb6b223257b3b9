//! `/api/v1/estadisticas`: how many documents went and came, how they ended, and how long their cargos took, by day, by own
//! entity or by counterpart; as JSON or as a table for spreadsheets.
//!
//! Counted from the records themselves, newest first, in batches; a range with more records than a bound is refused.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use jiff::{SignedDuration, Timestamp, civil::Date};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Api, csv, failure, json,
    listing::{Registro, first_after},
    query,
    query::{Edge, Params},
};
use crate::{
    domain::{Despacho, EstadoDespacho, EstadoRecepcion, Recepcion, Ruc, lima},
    http::{Acceso, Code, Problem},
    store::{Listing, Page},
};

/// Days counted where the caller names none, and at most.
const DAYS_DEFAULT: i64 = 30;
const DAYS_MAX: i64 = 366;
/// Most records counted for one answer.
pub const RECORDS_MAX: usize = 200_000;
/// Records read at a time; between two batches others have their turn.
const BATCH: usize = 200;
/// Counts under way at once; others are told to come again.
static COUNTING: Semaphore = Semaphore::const_new(2);

/// What the rows are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Por {
    Dia,
    Entidad,
    Contraparte,
}

/// How many documents that were sent are in which state.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "DespachosContados")]
struct Sent {
    total: u64,
    en_curso: u64,
    enviados: u64,
    recepcionados: u64,
    observados: u64,
    subsanados: u64,
    fallidos: u64,
    anulados: u64,
    horas_al_cargo: Hours,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "RecepcionesContadas")]
struct Received {
    total: u64,
    pendientes: u64,
    recepcionados: u64,
    observados: u64,
    horas_al_cargo: Hours,
}

/// How long cargos took.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Tiempos")]
struct Hours {
    de: u64,
    mediana: Option<f64>,
    p90: Option<f64>,
    #[serde(skip)]
    seconds: Vec<i64>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "FilaDeEstadisticas")]
pub struct Row {
    fecha: Option<Date>,
    entidad: Option<Ruc>,
    contraparte: Option<Ruc>,
    nombre: Option<String>,
    despachos: Sent,
    recepciones: Received,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Estadisticas")]
pub struct Counted {
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    desde: Timestamp,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    hasta: Timestamp,
    por: Por,
    totales: Row,
    items: Vec<Row>,
}

pub async fn count(
    State(api): State<Api>,
    acceso: Acceso,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = params.only(&["desde", "hasta", "entidad", "por"])?;
    let por = params.word("por", &[("dia", Por::Dia), ("entidad", Por::Entidad), ("contraparte", Por::Contraparte)])?;
    let por = por.unwrap_or(Por::Dia);
    let entidades = entities(&api, &acceso, &params)?;
    let (desde, hasta) = range(&params, api.exchange.now())?;
    let _turn = turn(&COUNTING)?;
    let mut counter = Counter { desde, hasta, por, rows: BTreeMap::new(), totals: Row::default(), left: RECORDS_MAX };
    for entidad in &entidades {
        counter.all::<Despacho>(&api, entidad).await?;
        counter.all::<Recepcion>(&api, entidad).await?;
    }
    let names = names(&api, por).await?;
    let counted = counter.finish(&names);
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(if accepted.contains("text/csv") { as_csv(&counted) } else { json(&counted) })
}

fn turn(places: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    let busy = "Se están calculando otras estadísticas: vuelva a intentarlo en unos segundos";
    places.try_acquire().map_err(|_| Problem::new(Code::ServicioOcupado, busy))
}

/// The own entities to count: those that the caller sees, or the one it names.
fn entities(api: &Api, acceso: &Acceso, params: &Params) -> Result<Vec<Ruc>, Problem> {
    let ours = &api.exchange.settings().entidades;
    match (&acceso.entidad, params.text("entidad")) {
        (None, None) => Ok(ours.iter().map(|own| own.ruc.clone()).collect()),
        (_, stated) => Ok(vec![query::entity(acceso, stated, ours)?]),
    }
}

fn range(params: &Params, now: Timestamp) -> Result<(Timestamp, Timestamp), Problem> {
    let days = |n: i64| SignedDuration::from_hours(24 * n);
    let hasta = params.time("hasta", Edge::Last)?.unwrap_or(now);
    let before = hasta.checked_sub(days(DAYS_DEFAULT)).unwrap_or(Timestamp::MIN);
    let desde = params.time("desde", Edge::First)?.unwrap_or(before);
    if desde > hasta || hasta.duration_since(desde) > days(DAYS_MAX) {
        let detail = format!("«desde» debe ser anterior a «hasta», y entre los dos caben {DAYS_MAX} días");
        return Err(Problem::new(Code::ParametroNoValido, detail));
    }
    Ok((desde, hasta))
}

/// Of the own entities, or of those in the directory.
async fn names(api: &Api, por: Por) -> Result<BTreeMap<Ruc, String>, Problem> {
    Ok(match por {
        Por::Dia => BTreeMap::new(),
        Por::Entidad => api.exchange.settings().entidades.iter().map(|e| (e.ruc.clone(), e.nombre.clone())).collect(),
        Por::Contraparte => {
            let directorio = api.exchange.directorio().await.map_err(failure::store)?;
            directorio.into_iter().flat_map(|d| d.entidades).map(|e| (e.ruc, e.nombre)).collect()
        }
    })
}

/// A record that is counted.
trait Contado: Registro {
    fn entidad(&self) -> &Ruc;
    fn add_to(&self, row: &mut Row);
}

/// Day, own entity, counterpart.
type Key = (Option<Date>, Option<Ruc>, Option<Ruc>);

struct Counter {
    desde: Timestamp,
    hasta: Timestamp,
    por: Por,
    rows: BTreeMap<Key, Row>,
    totals: Row,
    left: usize,
}

impl Counter {
    async fn all<R: Contado>(&mut self, api: &Api, entidad: &Ruc) -> Result<(), Problem> {
        let mut after = Some(first_after(self.hasta));
        loop {
            let listing = Listing { entidad: entidad.clone(), estado: None, after, limit: BATCH };
            let Page { items, next } = R::page(&**api.exchange.store(), listing).await.map_err(failure::store)?;
            for record in &items {
                if record.creado_en() < self.desde {
                    return Ok(());
                }
                self.left = self.left.checked_sub(1).ok_or_else(too_many)?;
                if record.creado_en() <= self.hasta {
                    self.add(record);
                }
            }
            if next.is_none() {
                return Ok(());
            }
            after = next;
            tokio::task::yield_now().await;
        }
    }

    fn add<R: Contado>(&mut self, record: &R) {
        let key = match self.por {
            Por::Dia => (Some(lima::en_lima(record.creado_en()).date()), Some(record.entidad().clone()), None),
            Por::Entidad => (None, Some(record.entidad().clone()), None),
            Por::Contraparte => (None, None, Some(record.contraparte().clone())),
        };
        record.add_to(self.rows.entry(key).or_default());
        record.add_to(&mut self.totals);
    }

    fn finish(self, names: &BTreeMap<Ruc, String>) -> Counted {
        let Self { desde, hasta, por, rows, mut totals, .. } = self;
        let row = |((fecha, entidad, contraparte), mut row): (Key, Row)| {
            row.settle();
            let nombre = contraparte.as_ref().or(entidad.as_ref()).and_then(|ruc| names.get(ruc)).cloned();
            Row { fecha, entidad, contraparte, nombre, ..row }
        };
        let items = rows.into_iter().map(row).collect();
        totals.settle();
        Counted { desde, hasta, por, totales: totals, items }
    }
}

fn too_many() -> Problem {
    let detail = format!("En esas fechas hay más de {RECORDS_MAX} documentos: pida menos días");
    Problem::new(Code::ParametroNoValido, detail)
}

impl Row {
    fn settle(&mut self) {
        self.despachos.horas_al_cargo.settle();
        self.recepciones.horas_al_cargo.settle();
    }
}

impl Hours {
    fn add(&mut self, from: Timestamp, to: Timestamp) {
        self.de += 1;
        self.seconds.push(to.duration_since(from).as_secs().max(0));
    }

    /// Works out the times from all that were added.
    fn settle(&mut self) {
        let mut seconds = std::mem::take(&mut self.seconds);
        seconds.sort_unstable();
        self.mediana = quantile(&seconds, 50);
        self.p90 = quantile(&seconds, 90);
    }
}

/// In hours, to two places: the smallest of the times that so many in a hundred do not exceed.
fn quantile(sorted: &[i64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    let seconds = i32::try_from(*sorted.get(rank)?).unwrap_or(i32::MAX);
    Some((f64::from(seconds) / 36.0).round() / 100.0)
}

impl Contado for Despacho {
    fn entidad(&self) -> &Ruc {
        &self.entidad
    }

    fn add_to(&self, row: &mut Row) {
        let sent = &mut row.despachos;
        sent.total += 1;
        *match self.estado {
            EstadoDespacho::Pendiente | EstadoDespacho::Enviando | EstadoDespacho::PorConfirmar => &mut sent.en_curso,
            EstadoDespacho::Enviado => &mut sent.enviados,
            EstadoDespacho::Recepcionado => &mut sent.recepcionados,
            EstadoDespacho::Observado => &mut sent.observados,
            EstadoDespacho::Subsanado => &mut sent.subsanados,
            EstadoDespacho::Anulado => &mut sent.anulados,
            EstadoDespacho::Fallido => &mut sent.fallidos,
        } += 1;
        // The cargo was the last that happened to it; what is being corrected was touched afterwards.
        let answered = matches!(self.estado, EstadoDespacho::Recepcionado | EstadoDespacho::Observado);
        if let Some(from) = self.enviado_en.filter(|_| answered && self.subsanado_por.is_none()) {
            sent.horas_al_cargo.add(from, self.actualizado_en);
        }
    }
}

impl Contado for Recepcion {
    fn entidad(&self) -> &Ruc {
        &self.entidad
    }

    fn add_to(&self, row: &mut Row) {
        let received = &mut row.recepciones;
        received.total += 1;
        *match self.estado {
            EstadoRecepcion::Pendiente => &mut received.pendientes,
            EstadoRecepcion::Recepcionado => &mut received.recepcionados,
            EstadoRecepcion::Observado => &mut received.observados,
        } += 1;
        if let Some(to) = self.cargo_entregado_en {
            received.horas_al_cargo.add(self.recibido_en, to);
        }
    }
}

const COLUMNS: [&str; 22] = [
    "fecha",
    "entidad",
    "contraparte",
    "nombre",
    "despachos",
    "despachos en curso",
    "despachos enviados",
    "despachos recepcionados",
    "despachos observados",
    "despachos subsanados",
    "despachos fallidos",
    "despachos anulados",
    "cargos recibidos",
    "horas al cargo (mediana)",
    "horas al cargo (p90)",
    "recepciones",
    "recepciones pendientes",
    "recepciones recepcionadas",
    "recepciones observadas",
    "cargos entregados",
    "horas a entregar el cargo (mediana)",
    "horas a entregar el cargo (p90)",
];

fn as_csv(counted: &Counted) -> Response {
    let mut table = csv::Table::new(&COLUMNS);
    for row in &counted.items {
        table.row(&cells(row));
    }
    let name = HeaderValue::from_static("attachment; filename=\"estadisticas.csv\"");
    ([(header::CONTENT_TYPE, HeaderValue::from_static(csv::TYPE)), (header::CONTENT_DISPOSITION, name)], table.text())
        .into_response()
}

fn cells(row: &Row) -> [String; 22] {
    let Row { fecha, entidad, contraparte, nombre, despachos: d, recepciones: r } = row;
    let hours = |hours: &Option<f64>| hours.map(|hours| format!("{hours:.2}")).unwrap_or_default();
    let ruc = |ruc: &Option<Ruc>| ruc.as_ref().map(ToString::to_string).unwrap_or_default();
    [
        fecha.map(|fecha| fecha.to_string()).unwrap_or_default(),
        ruc(entidad),
        ruc(contraparte),
        nombre.clone().unwrap_or_default(),
        d.total.to_string(),
        d.en_curso.to_string(),
        d.enviados.to_string(),
        d.recepcionados.to_string(),
        d.observados.to_string(),
        d.subsanados.to_string(),
        d.fallidos.to_string(),
        d.anulados.to_string(),
        d.horas_al_cargo.de.to_string(),
        hours(&d.horas_al_cargo.mediana),
        hours(&d.horas_al_cargo.p90),
        r.total.to_string(),
        r.pendientes.to_string(),
        r.recepcionados.to_string(),
        r.observados.to_string(),
        r.horas_al_cargo.de.to_string(),
        hours(&r.horas_al_cargo.mediana),
        hours(&r.horas_al_cargo.p90),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_counts_than_have_a_place_are_refused_and_none_waits() {
        let places = Semaphore::new(1);
        let held = turn(&places).unwrap();
        assert_eq!(turn(&places).unwrap_err().code(), Code::ServicioOcupado);
        drop(held);
        assert!(turn(&places).is_ok());
    }

    #[test]
    fn times_are_ranks_of_what_was_seen() {
        let hours = |n: i64| n * 3600;
        let ten: Vec<i64> = (1..=10).map(hours).collect();
        assert_eq!((quantile(&ten, 50), quantile(&ten, 90)), (Some(5.0), Some(9.0)));
        assert_eq!(quantile(&[hours(3)], 90), Some(3.0));
        assert_eq!(quantile(&[90], 50), Some(0.03));
        assert_eq!(quantile(&[], 50), None);
    }
}
