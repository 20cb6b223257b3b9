//! How many documents went and came, how they ended, and how long their cargos took, by day, by own entity or by counterpart.
//!
//! Whole days are read from the lines that the store keeps ([`crate::store::tally`]); of days of which only a part is asked for
//! the records themselves are counted, newest first, in batches, and where they are more than a bound it is refused.

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
    store::{
        Listing, Page, Store, StoreError,
        tally::{Counts, Kind, Lines, Tally, beginning_of, day_of, seconds_in},
    },
};

/// Days counted where the caller names none, and at most.
pub const DAYS_DEFAULT: i64 = 30;
pub const DAYS_MAX: i64 = 366;
/// Most records counted one by one for one answer.
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
    /// How many are of which class.
    #[serde(skip)]
    classes: BTreeMap<u16, u64>,
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
    /// now; and then from the beginning of that day.
    pub async fn contar(
        &self,
        entidades: &[Ruc],
        por: Por,
        desde: Option<Timestamp>,
        hasta: Option<Timestamp>,
    ) -> Result<Counted, CountError> {
        let now = self.now();
        let (desde, hasta) = range(desde, hasta, now)?;
        let _turn = turn(&COUNTING)?;
        let parts = Parts::of(desde, hasta, now);
        let mut counter = Counter { por, rows: BTreeMap::new(), totals: Row::default(), left: RECORDS_MAX };
        for entidad in entidades {
            counter.entity(&**self.store(), entidad, &parts).await?;
        }
        Ok(counter.finish(&self.names(por).await?, desde, hasta))
    }

    /// Of the own entities, or of those in the directory.
    async fn names(&self, por: Por) -> Result<BTreeMap<Ruc, String>, StoreError> {
        Ok(match por {
            Por::Dia => BTreeMap::new(),
            Por::Entidad => self.settings().entidades.iter().map(|e| (e.ruc.clone(), e.nombre.clone())).collect(),
            Por::Contraparte => {
                let directorio = self.directorio().await?;
                let entidades = directorio.iter().flat_map(|d| &d.entidades);
                entidades.map(|e| (e.ruc.clone(), e.nombre.clone())).collect()
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
    let desde = desde.unwrap_or_else(|| lima::inicio_del_dia(before));
    if desde > hasta || hasta.duration_since(desde) > days(DAYS_MAX) {
        return Err(CountError::Range);
    }
    Ok((desde, hasta))
}

/// The days that are whole, and what is left before and behind them.
struct Parts {
    /// From the first to the last of them.
    days: Option<(u32, u32)>,
    /// Of which the records are counted: both ends too.
    rest: Vec<(Timestamp, Timestamp)>,
}

impl Parts {
    fn of(desde: Timestamp, hasta: Timestamp, now: Timestamp) -> Self {
        let moment = SignedDuration::from_nanos(1);
        let first = day_of(desde) + u32::from(beginning_of(day_of(desde)) < desde);
        // Nothing was made after now.
        let ends = |day: u32| hasta >= now || beginning_of(day + 1).checked_sub(moment).is_ok_and(|end| hasta >= end);
        let last = day_of(hasta);
        let last = if ends(last) { Some(last) } else { last.checked_sub(1) };
        let Some(last) = last.filter(|last| *last >= first) else {
            return Self { days: None, rest: vec![(desde, hasta)] };
        };
        let (begin, end) = (beginning_of(first), beginning_of(last + 1));
        let before = begin.checked_sub(moment).ok().filter(|before| *before >= desde).map(|before| (desde, before));
        let behind = (end <= hasta && hasta < now).then_some((end, hasta));
        Self { days: Some((first, last)), rest: before.into_iter().chain(behind).collect() }
    }
}

/// Day, own entity, counterpart.
type Key = (Option<Date>, Option<Ruc>, Option<Ruc>);

struct Counter {
    por: Por,
    rows: BTreeMap<Key, Row>,
    totals: Row,
    left: usize,
}

impl Counter {
    async fn entity(&mut self, store: &dyn Store, entidad: &Ruc, parts: &Parts) -> Result<(), CountError> {
        for kind in [Kind::Despachos, Kind::Recepciones] {
            if let Some(days) = parts.days {
                let by_counterpart = self.por == Por::Contraparte;
                for line in store.lines(&Lines { entidad, kind, days, by_counterpart }).await? {
                    self.add(entidad, kind, line.day, line.counterpart, &line.counts);
                }
            }
            for between in &parts.rest {
                match kind {
                    Kind::Despachos => self.records::<Despacho>(store, entidad, *between).await?,
                    Kind::Recepciones => self.records::<Recepcion>(store, entidad, *between).await?,
                }
            }
        }
        Ok(())
    }

    async fn records<R: Registro>(
        &mut self,
        store: &dyn Store,
        entidad: &Ruc,
        (desde, hasta): (Timestamp, Timestamp),
    ) -> Result<(), CountError>
    where
        for<'a> Tally: From<&'a R>,
    {
        let mut after = Some(first_after(hasta));
        loop {
            let listing = Listing { entidad: entidad.clone(), estado: None, after, limit: BATCH };
            let Page { items, next } = R::page(store, listing).await?;
            for record in &items {
                if record.creado_en() < desde {
                    return Ok(());
                }
                self.left = self.left.checked_sub(1).ok_or(CountError::TooMany)?;
                if record.creado_en() <= hasta {
                    let (tally, mut counts) = (Tally::from(record), Counts::default());
                    counts.add(&tally);
                    self.add(entidad, tally.kind, tally.day, Some(tally.counterpart), &counts);
                }
            }
            if next.is_none() {
                return Ok(());
            }
            after = next;
            tokio::task::yield_now().await;
        }
    }

    fn add(&mut self, entidad: &Ruc, kind: Kind, day: u32, counterpart: Option<Ruc>, counts: &Counts) {
        let key = match self.por {
            Por::Dia => (Some(lima::en_lima(beginning_of(day)).date()), Some(entidad.clone()), None),
            Por::Entidad => (None, Some(entidad.clone()), None),
            Por::Contraparte => (None, None, counterpart),
        };
        for row in [self.rows.entry(key).or_default(), &mut self.totals] {
            match kind {
                Kind::Despachos => row.despachos.add(counts),
                Kind::Recepciones => row.recepciones.add(counts),
            }
        }
    }

    fn finish(self, names: &BTreeMap<Ruc, String>, desde: Timestamp, hasta: Timestamp) -> Counted {
        let Self { por, rows, mut totals, .. } = self;
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
    fn add(&mut self, counts: &Counts) {
        for (class, count) in counts.spans() {
            self.de += count;
            *self.classes.entry(class).or_default() += count;
        }
    }

    /// Works out the times from all that were added.
    fn settle(&mut self) {
        let classes = std::mem::take(&mut self.classes);
        self.mediana = quantile(&classes, self.de, 50);
        self.p90 = quantile(&classes, self.de, 90);
    }
}

/// In hours, to two places: the smallest of the times that so many in a hundred do not exceed.
fn quantile(classes: &BTreeMap<u16, u64>, all: u64, percent: u64) -> Option<f64> {
    let rank = (all * percent).div_ceil(100).max(1);
    let mut so_far = 0;
    let (class, _) = classes.iter().find(|(_, count)| {
        so_far += *count;
        so_far >= rank
    })?;
    let seconds = u32::try_from(seconds_in(*class)).unwrap_or(u32::MAX);
    Some((f64::from(seconds) / 36.0).round() / 100.0)
}

impl Sent {
    fn add(&mut self, counts: &Counts) {
        for estado in EstadoDespacho::TODOS {
            let count = counts.despachos(estado);
            self.total += count;
            *match estado {
                EstadoDespacho::Pendiente | EstadoDespacho::Enviando | EstadoDespacho::PorConfirmar => {
                    &mut self.en_curso
                }
                EstadoDespacho::Enviado => &mut self.enviados,
                EstadoDespacho::Recepcionado => &mut self.recepcionados,
                EstadoDespacho::Observado => &mut self.observados,
                EstadoDespacho::Subsanado => &mut self.subsanados,
                EstadoDespacho::Anulado => &mut self.anulados,
                EstadoDespacho::Fallido => &mut self.fallidos,
            } += count;
        }
        self.horas_al_cargo.add(counts);
    }
}

impl Received {
    fn add(&mut self, counts: &Counts) {
        for estado in EstadoRecepcion::TODOS {
            let count = counts.recepciones(estado);
            self.total += count;
            *match estado {
                EstadoRecepcion::Pendiente => &mut self.pendientes,
                EstadoRecepcion::Recepcionado => &mut self.recepcionados,
                EstadoRecepcion::Observado => &mut self.observados,
            } += count;
        }
        self.horas_al_cargo.add(counts);
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
        let of = |classes: &[(u16, u64)]| {
            let (classes, all) = (classes.iter().copied().collect(), classes.iter().map(|(_, n)| n).sum());
            (quantile(&classes, all, 50), quantile(&classes, all, 90))
        };
        assert_eq!(of(&[]), (None, None));
        assert_eq!(of(&[(18, 1)]), (Some(0.01), Some(0.01)));
        assert_eq!(of(&[(0, 5), (31, 4), (400, 1)]), (Some(0.0), Some(0.01)));
        assert!(of(&[(0, 8), (400, 2)]).1.is_some_and(|hours| hours > 1_000.0));
    }

    #[test]
    fn whole_days_are_told_from_parts_of_days() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-21T12:00:00-05:00");
        let day = day_of(now);
        let parts = |desde: &str, hasta: &str| {
            let parts = Parts::of(at(desde), at(hasta), now);
            (parts.days.map(|(first, last)| (day - first, day - last)), parts.rest)
        };
        assert_eq!(parts("2026-11-19T00:00:00-05:00", "2026-11-20T23:59:59.999999999-05:00"), (Some((2, 1)), vec![]));
        assert_eq!(parts("2026-11-19T00:00:00-05:00", "2026-11-21T12:00:00-05:00"), (Some((2, 0)), vec![]));
        let (days, rest) = parts("2026-11-18T08:00:00-05:00", "2026-11-20T09:00:00-05:00");
        assert_eq!(days, Some((2, 2)));
        let before = (at("2026-11-18T08:00:00-05:00"), at("2026-11-18T23:59:59.999999999-05:00"));
        assert_eq!(rest, [before, (at("2026-11-20T00:00:00-05:00"), at("2026-11-20T09:00:00-05:00"))]);
        let (days, rest) = parts("2026-11-20T08:00:00-05:00", "2026-11-20T09:00:00-05:00");
        assert_eq!((days, rest.len()), (None, 1));
    }
}
