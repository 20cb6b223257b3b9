//! How many documents went and came, how they ended, and how long their cargos took, by day, by own entity or by counterpart.
//!
//! Counted from the records themselves, newest first, in batches; a range with more records than a bound is refused.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, civil::Date};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Exchange,
    listing::{Registro, first_after},
};
use crate::{
    domain::{Despacho, EstadoDespacho, EstadoRecepcion, Recepcion, Ruc, lima},
    store::{Listing, Page, Store, StoreError},
};

/// Days counted where the caller names none, and at most.
pub const DAYS_DEFAULT: i64 = 30;
pub const DAYS_MAX: i64 = 366;
/// Most records counted for one answer.
pub const RECORDS_MAX: usize = 200_000;
/// Records read at a time; between two batches others have their turn.
const BATCH: usize = 200;
/// Counts under way at once; others are told to come again.
static COUNTING: Semaphore = Semaphore::const_new(2);

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    #[error("Se están calculando otras estadísticas: vuelva a intentarlo en unos segundos")]
    Busy,
    #[error("«desde» debe ser anterior a «hasta», y entre los dos caben {DAYS_MAX} días")]
    Range,
    #[error("En esas fechas hay más de {RECORDS_MAX} documentos: pida menos días")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
pub struct Sent {
    pub total: u64,
    pub en_curso: u64,
    pub enviados: u64,
    pub recepcionados: u64,
    pub observados: u64,
    pub subsanados: u64,
    pub fallidos: u64,
    pub anulados: u64,
    pub horas_al_cargo: Hours,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "RecepcionesContadas")]
pub struct Received {
    pub total: u64,
    pub pendientes: u64,
    pub recepcionados: u64,
    pub observados: u64,
    pub horas_al_cargo: Hours,
}

/// How long cargos took.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Tiempos")]
pub struct Hours {
    pub de: u64,
    pub mediana: Option<f64>,
    pub p90: Option<f64>,
    #[serde(skip)]
    seconds: Vec<i64>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "FilaDeEstadisticas")]
pub struct Row {
    pub fecha: Option<Date>,
    pub entidad: Option<Ruc>,
    pub contraparte: Option<Ruc>,
    pub nombre: Option<String>,
    pub despachos: Sent,
    pub recepciones: Received,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Estadisticas")]
pub struct Counted {
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    pub desde: Timestamp,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    pub hasta: Timestamp,
    pub por: Por,
    pub totales: Row,
    pub items: Vec<Row>,
}

impl Exchange {
    /// Counts what was made between the two times, of these own entities. `desde` left out: 30 days before `hasta`, which is
    /// now.
    pub async fn contar(
        &self,
        entidades: &[Ruc],
        por: Por,
        desde: Option<Timestamp>,
        hasta: Option<Timestamp>,
    ) -> Result<Counted, CountError> {
        let (desde, hasta) = range(desde, hasta, self.now())?;
        let _turn = turn(&COUNTING)?;
        let mut counter =
            Counter { desde, hasta, por, rows: BTreeMap::new(), totals: Row::default(), left: RECORDS_MAX };
        for entidad in entidades {
            counter.all::<Despacho>(&**self.store(), entidad).await?;
            counter.all::<Recepcion>(&**self.store(), entidad).await?;
        }
        Ok(counter.finish(&self.names(por).await?))
    }

    /// Of the own entities, or of those in the directory.
    async fn names(&self, por: Por) -> Result<BTreeMap<Ruc, String>, StoreError> {
        Ok(match por {
            Por::Dia => BTreeMap::new(),
            Por::Entidad => self.settings().entidades.iter().map(|e| (e.ruc.clone(), e.nombre.clone())).collect(),
            Por::Contraparte => {
                let directorio = self.directorio().await?;
                directorio.into_iter().flat_map(|d| d.entidades).map(|e| (e.ruc, e.nombre)).collect()
            }
        })
    }
}

fn turn(places: &Semaphore) -> Result<SemaphorePermit<'_>, CountError> {
    places.try_acquire().map_err(|_| CountError::Busy)
}

fn range(
    desde: Option<Timestamp>,
    hasta: Option<Timestamp>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), CountError> {
    let days = |n: i64| SignedDuration::from_hours(24 * n);
    let hasta = hasta.unwrap_or(now);
    let before = hasta.checked_sub(days(DAYS_DEFAULT)).unwrap_or(Timestamp::MIN);
    let desde = desde.unwrap_or(before);
    if desde > hasta || hasta.duration_since(desde) > days(DAYS_MAX) {
        return Err(CountError::Range);
    }
    Ok((desde, hasta))
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
    async fn all<R: Contado>(&mut self, store: &dyn Store, entidad: &Ruc) -> Result<(), CountError> {
        let mut after = Some(first_after(self.hasta));
        loop {
            let listing = Listing { entidad: entidad.clone(), estado: None, after, limit: BATCH };
            let Page { items, next } = R::page(store, listing).await?;
            for record in &items {
                if record.creado_en() < self.desde {
                    return Ok(());
                }
                self.left = self.left.checked_sub(1).ok_or(CountError::TooMany)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_counts_than_have_a_place_are_refused_and_none_waits() {
        let places = Semaphore::new(1);
        let held = turn(&places).unwrap();
        assert!(matches!(turn(&places), Err(CountError::Busy)));
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
