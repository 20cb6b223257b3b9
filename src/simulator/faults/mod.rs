//! Faults on demand: which of them strike a request, decided from a script and a seed, and what they do to it.
//!
//! The kinds and the script are data (`kind`, `script`, read by `reading`); [`Faults`] counts and decides; [`Plan`] is all
//! that strikes one request, and the only thing that applies it: to the delivery, to what is said, and (`wire`) to the
//! bytes of the answer. The relay and the services know of faults only that plan.

mod kind;
mod plan;
pub mod reading;
mod script;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

pub use kind::{Kind, Operacion};
pub use plan::Plan;
pub use reading::ScriptError;
pub use script::{Contraparte, Offset, Rule, Script};

/// A script with every kind of fault and a comment on every key.
pub const EXAMPLE: &str = include_str!("../../../fallas.example.toml");

/// CUOs whose counts are remembered, of each rule; the oldest is forgotten first.
const CUOS_MAX: usize = 20_000;

/// What a request is about, as far as rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    pub operacion: Operacion,
    /// RUCs as the message states them; empty where it has none.
    pub de: String,
    pub a: String,
    pub cuo: String,
}

/// How often a rule could have struck, and how often it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub vistas: u32,
    pub aplicadas: u32,
}

/// The script in force.
pub struct Faults(Mutex<Inner>);

struct Inner {
    script: Script,
    seed: u64,
    rules: Vec<InForce>,
}

struct InForce {
    rule: Arc<Rule>,
    count: Count,
    by_cuo: HashMap<String, Count>,
    order: VecDeque<String>,
}

impl Faults {
    /// `seed` is drawn from where the script has none.
    pub fn new(script: Script, seed: u64) -> Self {
        Self(Mutex::new(Inner::new(script, seed)))
    }

    /// Takes another script; all counts begin anew.
    pub fn replace(&self, script: Script, seed: u64) {
        *self.lock() = Inner::new(script, seed);
    }

    /// The script in force, its seed filled in, and the counts of its rules.
    pub fn now(&self) -> (Script, Vec<Count>) {
        let inner = self.lock();
        let script = Script { semilla: Some(inner.seed), ..inner.script.clone() };
        (script, inner.rules.iter().map(|rule| rule.count).collect())
    }

    /// What strikes a request. Every rule that fits is counted and may strike: they act together.
    pub fn plan(&self, about: &About) -> Plan {
        let mut inner = self.lock();
        let seed = inner.seed;
        let strikes = inner.rules.iter_mut().enumerate().filter_map(|(n, rule)| rule.strikes(seed, n, about));
        Plan::new(strikes.collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn new(script: Script, seed: u64) -> Self {
        let in_force = |rule: &Rule| InForce {
            rule: Arc::new(rule.clone()),
            count: Count::default(),
            by_cuo: HashMap::new(),
            order: VecDeque::new(),
        };
        let rules = script.reglas.iter().map(in_force).collect();
        Self { seed: script.semilla.unwrap_or(seed), rules, script }
    }
}

impl InForce {
    fn strikes(&mut self, seed: u64, number: usize, about: &About) -> Option<Arc<Rule>> {
        if !self.rule.fits(about) {
            return None;
        }
        let rule = Arc::clone(&self.rule);
        let drawn = chance(seed, number, self.count.vistas);
        let counted = if rule.por_cuo { self.of_cuo(&about.cuo) } else { &mut self.count };
        counted.vistas = counted.vistas.saturating_add(1);
        let Count { vistas, aplicadas } = *counted;
        let now = rule.primeras.is_none_or(|n| vistas <= n)
            && rule.cada.is_none_or(|n| vistas.is_multiple_of(n))
            && rule.veces.is_none_or(|n| aplicadas < n)
            && drawn < rule.probabilidad;
        if now {
            counted.aplicadas = counted.aplicadas.saturating_add(1);
        }
        if rule.por_cuo {
            self.count.vistas = self.count.vistas.saturating_add(1);
            self.count.aplicadas = self.count.aplicadas.saturating_add(u32::from(now));
        }
        now.then_some(rule)
    }

    fn of_cuo(&mut self, cuo: &str) -> &mut Count {
        if !self.by_cuo.contains_key(cuo) {
            self.order.push_back(cuo.to_owned());
            if self.order.len() > CUOS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_cuo.remove(&oldest);
            }
        }
        self.by_cuo.entry(cuo.to_owned()).or_default()
    }
}

impl Rule {
    fn fits(&self, about: &About) -> bool {
        let is = |ruc: &Option<crate::domain::Ruc>, text: &str| ruc.as_ref().is_none_or(|ruc| ruc.as_str() == text);
        let either = |ruc: &crate::domain::Ruc| ruc.as_str() == about.de || ruc.as_str() == about.a;
        self.operacion.contains(&about.operacion)
            && self.entidad.as_ref().is_none_or(either)
            && is(&self.remitente, &about.de)
            && is(&self.receptora, &about.a)
    }
}

/// A number from 0 up to 1 that follows from the seed, the rule, and which of its requests it is.
fn chance(seed: u64, rule: usize, request: u32) -> f64 {
    let mut x = seed ^ (rule as u64).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ (u64::from(request) << 32);
    for _ in 0..2 {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    (x >> 11) as f64 / (1u64 << 53) as f64
}
