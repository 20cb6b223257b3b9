//! How each counterpart is doing, and whether it is worth trying now: a circuit breaker per destination.
//!
//! Kept in memory only: after a restart every destination is tried again, which is what one would want. Pure but for its
//! lock; the time is passed in.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use super::retry::later;
use crate::domain::Ruc;

/// Latencies remembered per destination.
const LATENCIES: usize = 128;

/// When a destination is left alone, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerPolicy {
    /// Failures in a row after which nothing more is tried until the pause is over.
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

/// What the breakers allow at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Jobs under way at once in all; `None`: as many as there are workers.
    pub total: Option<usize>,
    /// Jobs under way at once for a destination that is not in `exceptions`.
    pub concurrency: usize,
    /// Destinations with another limit: 0 for one left alone, 1 for one that fails or is probed.
    pub exceptions: HashMap<Ruc, usize>,
    /// When the next pause ends.
    pub reopens: Option<Timestamp>,
}

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
                reopens.extend(paused(destino));
            }
        }
        allowance.reopens = reopens.into_iter().min();
        allowance
    }

    /// Takes note of an attempt at a destination that took `took`. Returns whether it was left alone and works again.
    pub fn record(&self, ruc: &Ruc, outcome: Outcome, took: Duration, now: Timestamp) -> bool {
        self.lock().destinos.entry(ruc.clone()).or_default().record(&self.policy, outcome, took, now)
    }

    /// The same for the platform itself, whatever the destination said.
    pub fn record_pide(&self, outcome: Outcome, took: Duration, now: Timestamp) -> bool {
        self.lock().pide.record(&self.policy, outcome, took, now)
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
            None => (self.fallos_seguidos > 0).then_some(1),
        }
    }

    fn record(&mut self, policy: &BreakerPolicy, outcome: Outcome, took: Duration, now: Timestamp) -> bool {
        let error = match outcome {
            Outcome::Answered => return self.answered(took, now),
            Outcome::Failed(error) => error,
        };
        self.ultimo_fallo = Some(now);
        self.ultimo_error = Some(error);
        self.fallos_seguidos = self.fallos_seguidos.saturating_add(1);
        self.caida_desde.get_or_insert(now);
        let probe_failed = self.reabre_en.is_some_and(|at| at <= now);
        if probe_failed || (self.reabre_en.is_none() && self.fallos_seguidos >= policy.failures) {
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
        health.record(&ruc(), failed(), TOOK, at(0));
        assert_eq!(limit(&health, 0), Some(1), "it already gets one job at a time");
        health.record(&ruc(), failed(), TOOK, at(1));
        health.record(&ruc(), failed(), TOOK, at(2));
        assert_eq!(limit(&health, 2), Some(0));
        assert_eq!(health.allowance(at(2)).reopens, Some(at(32)));
        assert_eq!(limit(&health, 32), Some(1), "one probe");
        assert_eq!(health.salud(&ruc(), at(32)).unwrap().circuito, Circuito::Probando);
    }

    #[test]
    fn pauses_double_with_failed_probes_up_to_the_longest() {
        let health = health();
        (0..3).for_each(|n| {
            health.record(&ruc(), failed(), TOOK, at(n));
        });
        let mut now = 32;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            health.record(&ruc(), failed(), TOOK, at(now));
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
            health.record(&ruc(), failed(), TOOK, at(n));
        });
        assert!(health.record(&ruc(), Outcome::Answered, TOOK, at(40)));
        assert_eq!(limit(&health, 40), None);
        assert!(!health.record(&ruc(), Outcome::Answered, TOOK, at(41)));
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
            health.record(&ruc(), failed(), TOOK, at(n));
        });
        health.record(&ruc(), failed(), TOOK, at(10));
        assert_eq!(health.allowance(at(10)).reopens, Some(at(32)));
    }
}
