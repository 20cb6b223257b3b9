//! How each counterpart is doing, and whether it is worth trying now: a circuit breaker per destination.
//!
//! Kept in memory only: after a restart every destination is tried again, which is what one would want. Pure but for its
//! lock; the time is passed in.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use super::retry::later;
use crate::domain::{Id, Ruc};

/// Latencies remembered per destination.
const LATENCIES: usize = 128;

/// Documents that must have failed before a destination is left alone: one that fails whatever happens to its neighbours
/// says nothing of the destination.
const WITNESSES: usize = 2;

/// Documents remembered as not taken by a destination, at most; more change nothing.
const WITNESSES_MAX: usize = 64;

/// When a destination is left alone, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerPolicy {
    /// Failures in a row, of two documents at least, after which nothing more is tried until the pause is over. An error
    /// told in answer to a document (`-1`) counts once for each document, and only when as many have met it.
    pub failures: u32,
    /// The first pause; it doubles with each failed probe.
    pub pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// Jobs under way at once for one destination that works.
    pub concurrency: usize,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(30), pause_max: Duration::from_secs(15 * 60), concurrency: 4 }
    }
}

/// How an attempt ended, for the destination's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever it said.
    Answered,
    /// It answered that it could not take this document (`-1`): the fault may be the document's.
    Declined,
    /// No answer, or none that can be understood.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuito {
    /// It works: jobs go out.
    Cerrado,
    /// It fails: nothing is tried until the pause is over.
    Abierto,
    /// The pause is over: one job probes.
    Probando,
}

/// A destination's health, as shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Salud {
    pub ruc: Ruc,
    pub circuito: Circuito,
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    pub ultimo_exito: Option<Timestamp>,
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    pub ultimo_fallo: Option<Timestamp>,
    pub ultimo_error: Option<String>,
    pub fallos_seguidos: u32,
    /// Since when nothing has worked.
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    pub caida_desde: Option<Timestamp>,
    /// When it is tried again, if it is being left alone.
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    pub reabre_en: Option<Timestamp>,
    /// Time of an answer over the last attempts, in milliseconds.
    pub p50_ms: Option<u64>,
    pub p95_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Destino {
    ultimo_exito: Option<Timestamp>,
    ultimo_fallo: Option<Timestamp>,
    ultimo_error: Option<String>,
    fallos_seguidos: u32,
    caida_desde: Option<Timestamp>,
    /// Set while it is left alone; in the past: one probe may go.
    reabre_en: Option<Timestamp>,
    pausas: u32,
    /// Since when it was down as an alert told; told until another says that it works again.
    avisada: Option<Timestamp>,
    /// When it began to work again: what was made before goes out one after the other, in order of arrival.
    vuelto_en: Option<Timestamp>,
    /// Whose attempts failed since the last answer.
    testigos: Vec<Id>,
    /// Which documents were declined since the last answer.
    declinados: Vec<Id>,
    latencias_ms: VecDeque<u64>,
}

/// The health of the platform, and of all destinations tried since the start.
#[derive(Debug, Default)]
pub struct Health {
    policy: BreakerPolicy,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The platform itself: when it cannot be reached, no destination can, and none is to blame.
    pide: Destino,
    destinos: HashMap<Ruc, Destino>,
}

/// Something that people should be told of a destination, or of the platform if `ruc` is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aviso {
    pub ruc: Option<Ruc>,
    /// Since when nothing had worked.
    pub desde: Timestamp,
    /// It works again.
    pub vuelve: bool,
    pub ultimo_error: Option<String>,
}

/// What the breakers allow at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Jobs under way at once in all; `None`: as many as there are workers.
    pub total: Option<usize>,
    /// Jobs under way at once for a destination that is not in `exceptions`.
    pub concurrency: usize,
    /// Destinations with another limit: 0 for one left alone, 1 for one that fails, is probed, or has just come back.
    pub exceptions: HashMap<Ruc, usize>,
    /// Of these, the ones that fail or are probed.
    pub in_doubt: HashSet<Ruc>,
    /// When the next pause ends.
    pub reopens: Option<Timestamp>,
}

/// The platform is being left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pausa {
    /// Since when nothing has worked.
    pub desde: Option<Timestamp>,
    /// When it is tried again.
    pub hasta: Timestamp,
}

/// Failures in a row that make an outage: one alone may be the attempt's own.
const ALERT_FAILURES: u32 = 2;

impl Health {
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, known: Mutex::default() }
    }

    pub fn allowance(&self, now: Timestamp) -> Allowance {
        let known = self.lock();
        let total = known.pide.limit(now);
        let mut allowance = Allowance { total, concurrency: self.policy.concurrency.max(1), ..Allowance::default() };
        let paused = |destino: &Destino| destino.reabre_en.filter(|at| *at > now);
        let mut reopens: Vec<Timestamp> = paused(&known.pide).into_iter().collect();
        for (ruc, destino) in &known.destinos {
            if let Some(limit) = destino.limit(now) {
                allowance.exceptions.insert(ruc.clone(), limit);
                if destino.fallos_seguidos > 0 {
                    allowance.in_doubt.insert(ruc.clone());
                }
                reopens.extend(paused(destino));
            }
        }
        allowance.reopens = reopens.into_iter().min();
        allowance
    }

    /// Takes note of an attempt for `sujeto` at a destination that took `took`. Returns whether it was left alone and works
    /// again.
    pub fn record(&self, ruc: &Ruc, sujeto: Id, outcome: Outcome, took: Duration, now: Timestamp) -> bool {
        let mut known = self.lock();
        let destino = known.destinos.entry(ruc.clone()).or_default();
        let recovered = destino.record(&self.policy, Some(sujeto), outcome, took, now);
        if recovered {
            destino.vuelto_en = Some(now);
        }
        recovered
    }

    /// Whether a destination was left alone and nothing has shown yet that it works again: what is tried there is a probe.
    pub fn in_doubt(&self, ruc: &Ruc) -> bool {
        self.lock().destinos.get(ruc).is_some_and(|destino| destino.reabre_en.is_some())
    }

    /// What people should be told and were not: who has been down for `after`, and who of these works again.
    pub fn avisos(&self, after: Duration, now: Timestamp) -> Vec<Aviso> {
        let known = self.lock();
        let all = known.destinos.iter().map(|(ruc, destino)| (Some(ruc.clone()), destino));
        let due = |(ruc, destino): (Option<Ruc>, &Destino)| match (destino.avisada, destino.caida_desde) {
            (None, Some(desde)) if destino.fallos_seguidos >= ALERT_FAILURES && later(desde, after) <= now => {
                Some(Aviso { ruc, desde, vuelve: false, ultimo_error: destino.ultimo_error.clone() })
            }
            (Some(desde), None) => Some(Aviso { ruc, desde, vuelve: true, ultimo_error: None }),
            _ => None,
        };
        all.chain([(None, &known.pide)]).filter_map(due).collect()
    }

    /// People were told.
    pub fn avisado(&self, aviso: &Aviso) {
        let mut known = self.lock();
        let destino = match &aviso.ruc {
            Some(ruc) => known.destinos.get_mut(ruc),
            None => Some(&mut known.pide),
        };
        if let Some(destino) = destino {
            destino.avisada = (!aviso.vuelve).then_some(aviso.desde);
        }
    }

    /// A job made at `creado_en` was taken for a destination: if it came back before that, what had waited is under way.
    pub fn took(&self, ruc: &Ruc, creado_en: Timestamp) {
        if let Some(destino) = self.lock().destinos.get_mut(ruc)
            && destino.vuelto_en.is_some_and(|at| creado_en > at)
        {
            destino.vuelto_en = None;
        }
    }

    /// Takes note of how the platform itself answered, whatever the destination said.
    pub fn record_pide(&self, outcome: Outcome, took: Duration, now: Timestamp) -> bool {
        self.lock().pide.record(&self.policy, None, outcome, took, now)
    }

    /// The pause of everything, if the platform is being left alone.
    pub fn pausa_de_pide(&self, now: Timestamp) -> Option<Pausa> {
        let known = self.lock();
        let hasta = known.pide.reabre_en.filter(|at| *at > now)?;
        Some(Pausa { desde: known.pide.caida_desde, hasta })
    }

    /// The health of a destination; of one never tried, nothing is known.
    pub fn salud(&self, ruc: &Ruc, now: Timestamp) -> Option<Salud> {
        self.lock().destinos.get(ruc).map(|destino| destino.salud(ruc, now))
    }

    pub fn todas(&self, now: Timestamp) -> Vec<Salud> {
        let mut all: Vec<Salud> = self.lock().destinos.iter().map(|(ruc, destino)| destino.salud(ruc, now)).collect();
        all.sort_by(|a, b| a.ruc.cmp(&b.ruc));
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destino {
    /// How many jobs it gets, if that is not the ordinary number.
    fn limit(&self, now: Timestamp) -> Option<usize> {
        match self.reabre_en {
            Some(at) if at > now => Some(0),
            Some(_) => Some(1),
            None => (self.fallos_seguidos > 0 || self.vuelto_en.is_some()).then_some(1),
        }
    }

    /// `sujeto` is `None` for the platform, which has no one document to blame.
    fn record(
        &mut self,
        policy: &BreakerPolicy,
        sujeto: Option<Id>,
        outcome: Outcome,
        took: Duration,
        now: Timestamp,
    ) -> bool {
        match outcome {
            Outcome::Answered => return self.answered(took, now),
            Outcome::Declined => {
                self.ultimo_fallo = Some(now);
                self.ultimo_error = Some("respondió con un error (-1)".into());
                witness(&mut self.declinados, sujeto);
                let all = usize::try_from(policy.failures).unwrap_or(usize::MAX).clamp(WITNESSES, WITNESSES_MAX);
                if self.reabre_en.is_none() && self.declinados.len() < all {
                    return false;
                }
                self.fallos_seguidos = self.fallos_seguidos.max(policy.failures.saturating_sub(1));
            }
            Outcome::Failed(error) => {
                self.ultimo_fallo = Some(now);
                self.ultimo_error = Some(error);
                witness(&mut self.testigos, sujeto);
            }
        }
        self.fallos_seguidos = self.fallos_seguidos.saturating_add(1);
        self.caida_desde.get_or_insert(now);
        let blamed = sujeto.is_none() || self.testigos.len() >= WITNESSES || self.declinados.len() >= WITNESSES;
        let probe_failed = self.reabre_en.is_some_and(|at| at <= now);
        if probe_failed || (blamed && self.reabre_en.is_none() && self.fallos_seguidos >= policy.failures) {
            let pause = policy.pause.saturating_mul(1 << self.pausas.min(20));
            self.reabre_en = Some(later(now, pause.min(policy.pause_max)));
            self.pausas += 1;
        }
        false
    }

    fn answered(&mut self, took: Duration, now: Timestamp) -> bool {
        let recovered = self.reabre_en.is_some();
        if self.latencias_ms.len() == LATENCIES {
            self.latencias_ms.pop_front();
        }
        self.latencias_ms.push_back(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.ultimo_exito = Some(now);
        self.testigos.clear();
        self.declinados.clear();
        self.fallos_seguidos = 0;
        self.caida_desde = None;
        self.reabre_en = None;
        self.pausas = 0;
        recovered
    }

    fn salud(&self, ruc: &Ruc, now: Timestamp) -> Salud {
        let mut sorted: Vec<u64> = self.latencias_ms.iter().copied().collect();
        sorted.sort_unstable();
        let percentile = |p: usize| sorted.get((sorted.len() * p / 100).min(sorted.len().saturating_sub(1))).copied();
        Salud {
            ruc: ruc.clone(),
            circuito: match self.reabre_en {
                None => Circuito::Cerrado,
                Some(at) if at > now => Circuito::Abierto,
                Some(_) => Circuito::Probando,
            },
            ultimo_exito: self.ultimo_exito,
            ultimo_fallo: self.ultimo_fallo,
            ultimo_error: self.ultimo_error.clone(),
            fallos_seguidos: self.fallos_seguidos,
            caida_desde: self.caida_desde,
            reabre_en: self.reabre_en,
            p50_ms: percentile(50),
            p95_ms: percentile(95),
        }
    }
}

/// Adds a document to those that testify, once.
fn witness(known: &mut Vec<Id>, sujeto: Option<Id>) {
    if let Some(id) = sujeto.filter(|id| known.len() < WITNESSES_MAX && !known.contains(id)) {
        known.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(20);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn ruc() -> Ruc {
        Ruc::de_contraparte("20537630222").unwrap()
    }

    /// Of one document after another, as an ordinary queue has them.
    fn doc(n: i64) -> Id {
        Id::from_u128(u128::from(n.unsigned_abs()))
    }

    fn failed() -> Outcome {
        Outcome::Failed("sin respuesta".into())
    }

    fn health() -> Health {
        Health::new(BreakerPolicy { failures: 3, ..BreakerPolicy::default() })
    }

    fn limit(health: &Health, second: i64) -> Option<usize> {
        health.allowance(at(second)).exceptions.get(&ruc()).copied()
    }

    #[test]
    fn a_destination_that_keeps_failing_is_left_alone_and_probed_by_one_job() {
        let health = health();
        health.record(&ruc(), doc(0), failed(), TOOK, at(0));
        assert_eq!(limit(&health, 0), Some(1), "it already gets one job at a time");
        health.record(&ruc(), doc(1), failed(), TOOK, at(1));
        health.record(&ruc(), doc(2), failed(), TOOK, at(2));
        assert_eq!(limit(&health, 2), Some(0));
        assert_eq!(health.allowance(at(2)).reopens, Some(at(32)));
        assert_eq!(limit(&health, 32), Some(1), "one probe");
        assert_eq!(health.salud(&ruc(), at(32)).unwrap().circuito, Circuito::Probando);
    }

    #[test]
    fn pauses_double_with_failed_probes_up_to_the_longest() {
        let health = health();
        (0..3).for_each(|n| {
            health.record(&ruc(), doc(n), failed(), TOOK, at(n));
        });
        let mut now = 32;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            health.record(&ruc(), doc(now), failed(), TOOK, at(now));
            let reopens = health.allowance(at(now)).reopens.unwrap();
            pauses.push(reopens.as_second() - at(now).as_second());
            now = reopens.as_second() - at(0).as_second();
        }
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn one_answer_closes_it_again_and_says_so() {
        let health = health();
        (0..3).for_each(|n| {
            health.record(&ruc(), doc(n), failed(), TOOK, at(n));
        });
        assert!(health.record(&ruc(), doc(40), Outcome::Answered, TOOK, at(40)));
        assert_eq!(limit(&health, 40), Some(1), "what waited goes out in line");
        health.took(&ruc(), at(39));
        assert_eq!(limit(&health, 40), Some(1));
        health.took(&ruc(), at(41));
        assert_eq!(limit(&health, 40), None);
        assert!(!health.record(&ruc(), doc(41), Outcome::Answered, TOOK, at(41)));
        let salud = health.salud(&ruc(), at(41)).unwrap();
        assert_eq!((salud.circuito, salud.caida_desde, salud.p95_ms), (Circuito::Cerrado, None, Some(20)));
    }

    #[test]
    fn an_unreachable_platform_stops_everything_and_blames_no_destination() {
        let health = health();
        (0..3).for_each(|n| {
            health.record_pide(failed(), TOOK, at(n));
        });
        let allowance = health.allowance(at(3));
        assert_eq!((allowance.total, allowance.exceptions.len()), (Some(0), 0));
        assert_eq!(health.allowance(at(40)).total, Some(1), "one probe");
        assert!(health.record_pide(Outcome::Answered, TOOK, at(40)));
        assert_eq!(health.allowance(at(40)).total, None);
    }

    #[test]
    fn late_failures_of_jobs_begun_before_the_pause_don_t_lengthen_it() {
        let health = health();
        (0..3).for_each(|n| {
            health.record(&ruc(), doc(n), failed(), TOOK, at(n));
        });
        health.record(&ruc(), doc(10), failed(), TOOK, at(10));
        assert_eq!(health.allowance(at(10)).reopens, Some(at(32)));
    }

    #[test]
    fn people_are_told_once_of_one_that_is_down_for_long_and_once_when_it_works_again() {
        let (health, after) = (health(), Duration::from_secs(60));
        (0..4).for_each(|n| {
            health.record(&ruc(), doc(n), failed(), TOOK, at(n));
        });
        assert_eq!(health.avisos(after, at(59)), []);
        let told = health.avisos(after, at(60));
        assert_eq!((told.len(), &told[0].ruc, told[0].desde, told[0].vuelve), (1, &Some(ruc()), at(0), false));
        health.avisado(&told[0]);
        assert_eq!(health.avisos(after, at(600)), []);
        health.record(&ruc(), doc(9), Outcome::Answered, TOOK, at(700));
        let told = health.avisos(after, at(700));
        assert_eq!((told.len(), told[0].vuelve, told[0].desde), (1, true, at(0)));
        health.avisado(&told[0]);
        assert_eq!(health.avisos(after, at(701)), []);
    }

    #[test]
    fn one_document_that_always_fails_does_not_close_the_way_for_its_neighbours() {
        let health = health();
        for n in 0..50 {
            health.record(&ruc(), doc(1), failed(), TOOK, at(n));
        }
        assert_eq!(limit(&health, 50), Some(1), "others still go, one at a time");
        health.record(&ruc(), doc(2), failed(), TOOK, at(51));
        assert_eq!(limit(&health, 51), Some(0), "two documents: it is the destination");
    }

    #[test]
    fn an_error_in_answer_to_a_document_charges_the_destination_only_when_many_meet_it() {
        let health = health();
        for n in 0..50 {
            health.record(&ruc(), doc(n % 2), Outcome::Declined, TOOK, at(n));
        }
        assert_eq!(limit(&health, 50), None, "two documents, however often");
        assert_eq!(health.salud(&ruc(), at(50)).unwrap().caida_desde, None);
        health.record(&ruc(), doc(7), Outcome::Declined, TOOK, at(51));
        assert_eq!(limit(&health, 51), Some(0), "three in a row: its service is down, as the platform says it");
        assert!(health.in_doubt(&ruc()));
        assert!(health.record(&ruc(), doc(8), Outcome::Answered, TOOK, at(90)));
        assert!(!health.in_doubt(&ruc()));
    }
}
