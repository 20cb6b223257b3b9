//! How each counterpart is doing, and whether it is worth trying now: a circuit breaker per destination.
//!
//! Kept in memory only, save of whom people were told that it is down: after a restart every destination is tried again,
//! which is what one would want. Pure but for its lock; the time is passed in.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use schemars::JsonSchema;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Circuito {
    /// It works: jobs go out.
    Cerrado,
    /// It fails: nothing is tried until the pause is over.
    Abierto,
    /// The pause is over: one job probes.
    Probando,
}

/// How a destination, or the platform, is doing in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EstadoDeContraparte")]
pub enum Estado {
    /// Nothing was tried yet.
    SinDatos,
    Bien,
    /// It answers, and with errors since its last good answer.
    ConErrores,
    NoResponde,
}

/// A destination's health, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Salud {
    pub ruc: Ruc,
    pub estado: Estado,
    pub circuito: Circuito,
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_exito: Option<Timestamp>,
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_fallo: Option<Timestamp>,
    pub ultimo_error: Option<String>,
    pub fallos_seguidos: u32,
    /// Since when every attempt ended badly, also if it answered (`-1`).
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub errores_desde: Option<Timestamp>,
    /// Since when nothing has worked.
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub caida_desde: Option<Timestamp>,
    /// When it is tried again, if it is being left alone.
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub reabre_en: Option<Timestamp>,
    /// Time of an answer over the last attempts, in milliseconds.
    pub p50_ms: Option<u64>,
    pub p95_ms: Option<u64>,
}

/// The platform's health, as shown.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SaludPlataforma {
    pub estado: Estado,
    pub circuito: Circuito,
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_exito: Option<Timestamp>,
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_fallo: Option<Timestamp>,
    pub ultimo_error: Option<String>,
    /// Since when it cannot be reached.
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub caida_desde: Option<Timestamp>,
    /// When it is tried again, if everything is paused until then.
    #[serde(serialize_with = "crate::domain::lima::rfc3339::option::serialize")]
    #[schemars(with = "Option<Timestamp>")]
    pub proxima_prueba: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Destino {
    /// The hosted entities that sent it something since the start: to others its health is nothing.
    entidades: BTreeSet<Ruc>,
    ultimo_exito: Option<Timestamp>,
    ultimo_fallo: Option<Timestamp>,
    ultimo_error: Option<String>,
    fallos_seguidos: u32,
    caida_desde: Option<Timestamp>,
    /// Since when, and how often, attempts ended badly, whether they were answered or not.
    errores_desde: Option<Timestamp>,
    errores_seguidos: u32,
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
    /// It does answer, always with errors.
    pub con_errores: bool,
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
        let mut known = self.lock();
        known.after_a_step(self.policy.pause_max, now);
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

    /// The same of the platform, or that attempts to reach it have failed of late.
    pub fn pide_in_doubt(&self) -> bool {
        self.lock().pide.errores_desde.is_some()
    }

    /// What people should be told and were not: who has been down for `after`, and who of these works again.
    pub fn avisos(&self, after: Duration, now: Timestamp) -> Vec<Aviso> {
        let known = self.lock();
        let all = known.destinos.iter().map(|(ruc, destino)| (Some(ruc.clone()), destino));
        let due = |(ruc, destino): (Option<Ruc>, &Destino)| match (destino.avisada, destino.errores_desde) {
            (None, Some(desde)) if destino.errores_seguidos >= ALERT_FAILURES && later(desde, after) <= now => {
                let (con_errores, ultimo_error) = (destino.caida_desde.is_none(), destino.ultimo_error.clone());
                Some(Aviso { ruc, desde, vuelve: false, con_errores, ultimo_error })
            }
            (Some(desde), None) => Some(Aviso { ruc, desde, vuelve: true, con_errores: false, ultimo_error: None }),
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

    /// Of whom people were told that nothing works, and since when, as it would be after this one too.
    pub fn vigentes(&self, aviso: &Aviso) -> Vec<(Option<Ruc>, Timestamp)> {
        let known = self.lock();
        let all = known.destinos.iter().map(|(ruc, destino)| (Some(ruc.clone()), destino)).chain([(None, &known.pide)]);
        let told = all.filter(|(ruc, _)| *ruc != aviso.ruc).filter_map(|(ruc, d)| Some((ruc, d.avisada?)));
        let mut told: Vec<_> = told.chain((!aviso.vuelve).then(|| (aviso.ruc.clone(), aviso.desde))).collect();
        told.sort();
        told
    }

    /// People were told before this process began: they are not told again, but when it works again.
    pub fn recuerda(&self, told: impl IntoIterator<Item = (Option<Ruc>, Timestamp)>) {
        let mut known = self.lock();
        for (ruc, desde) in told {
            let destino = match ruc {
                Some(ruc) => known.destinos.entry(ruc).or_default(),
                None => &mut known.pide,
            };
            // What was tried meanwhile says more than what was told then.
            if destino.ultimo_exito.is_none() {
                destino.errores_desde.get_or_insert(desde);
                destino.caida_desde.get_or_insert(desde);
            }
            destino.avisada = Some(desde);
        }
    }

    /// A cargo came from a destination: somebody there is at work. Whether it takes documents is still to be seen, so a pause
    /// goes on; but there may be nothing left to try, and then nobody would ever say that the outage is over.
    pub fn dio_senales(&self, ruc: &Ruc, now: Timestamp) {
        if let Some(destino) = self.lock().destinos.get_mut(ruc) {
            destino.ultimo_exito = Some(now);
            (destino.errores_desde, destino.errores_seguidos) = (None, 0);
            (destino.caida_desde, destino.fallos_seguidos) = (None, 0);
        }
    }

    /// A hosted entity's job made at `creado_en` was taken for a destination: if it came back before that, what had waited is
    /// under way.
    pub fn took(&self, ruc: &Ruc, entidad: &Ruc, creado_en: Timestamp) {
        let mut known = self.lock();
        let destino = known.destinos.entry(ruc.clone()).or_default();
        if !destino.entidades.contains(entidad) {
            destino.entidades.insert(entidad.clone());
        }
        if destino.vuelto_en.is_some_and(|at| creado_en > at) {
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

    /// The platform's own health.
    pub fn plataforma(&self, now: Timestamp) -> SaludPlataforma {
        let known = self.lock();
        let pide = &known.pide;
        SaludPlataforma {
            estado: pide.estado(now),
            circuito: pide.circuito(now),
            ultimo_exito: pide.ultimo_exito,
            ultimo_fallo: pide.ultimo_fallo,
            ultimo_error: pide.ultimo_error.clone(),
            caida_desde: pide.caida_desde,
            proxima_prueba: pide.reabre_en,
        }
    }

    /// The health of a destination; of one never tried, nothing is known.
    pub fn salud(&self, ruc: &Ruc, now: Timestamp) -> Option<Salud> {
        self.lock().destinos.get(ruc).map(|destino| destino.salud(ruc, now))
    }

    /// The health of the destinations that one hosted entity, or any, sent something since the start.
    pub fn todas(&self, entidad: Option<&Ruc>, now: Timestamp) -> Vec<Salud> {
        let known = self.lock();
        let theirs = known.destinos.iter().filter(|(_, d)| entidad.is_none_or(|own| d.entidades.contains(own)));
        let mut all: Vec<Salud> = theirs.map(|(ruc, destino)| destino.salud(ruc, now)).collect();
        all.sort_by(|a, b| a.ruc.cmp(&b.ruc));
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A clock that was set back must leave nobody alone for longer than a pause lasts.
    fn after_a_step(&mut self, pause_max: Duration, now: Timestamp) {
        let latest = later(now, pause_max);
        for destino in self.destinos.values_mut().chain([&mut self.pide]) {
            destino.reabre_en = destino.reabre_en.map(|at| at.min(latest));
            destino.vuelto_en = destino.vuelto_en.map(|at| at.min(now));
            destino.caida_desde = destino.caida_desde.map(|at| at.min(now));
            destino.errores_desde = destino.errores_desde.map(|at| at.min(now));
        }
    }
}

impl Destino {
    fn circuito(&self, now: Timestamp) -> Circuito {
        match self.reabre_en {
            None => Circuito::Cerrado,
            Some(at) if at > now => Circuito::Abierto,
            Some(_) => Circuito::Probando,
        }
    }

    fn estado(&self, now: Timestamp) -> Estado {
        match (self.caida_desde, self.errores_desde) {
            (Some(_), _) => Estado::NoResponde,
            (None, Some(_)) => Estado::ConErrores,
            (None, None) if self.circuito(now) == Circuito::Abierto => Estado::ConErrores,
            (None, None) if self.ultimo_exito.is_none() => Estado::SinDatos,
            (None, None) => Estado::Bien,
        }
    }

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
        if outcome != Outcome::Answered {
            self.errores_desde.get_or_insert(now);
            self.errores_seguidos = self.errores_seguidos.saturating_add(1);
        }
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
        (self.errores_desde, self.errores_seguidos) = (None, 0);
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
            estado: self.estado(now),
            circuito: self.circuito(now),
            ultimo_exito: self.ultimo_exito,
            ultimo_fallo: self.ultimo_fallo,
            ultimo_error: self.ultimo_error.clone(),
            fallos_seguidos: self.fallos_seguidos,
            errores_desde: self.errores_desde,
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
mod tests;
