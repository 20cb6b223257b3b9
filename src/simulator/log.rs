//! What passed through the simulated platform, by CUO: enough for a person to follow an exchange, never its content.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use crate::{contract, domain::lima};

/// CUOs remembered; the oldest is forgotten first.
const CUOS_MAX: usize = 1_000;
/// Messages remembered of one CUO; the first ones are kept.
const MENSAJES_MAX: usize = 64;
/// Longest text kept of what a message states, in characters.
const TEXT_MAX: usize = 300;

/// One request to the platform and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mensaje {
    #[serde(serialize_with = "lima::rfc3339::serialize")]
    pub fecha: Timestamp,
    pub operacion: &'static str,
    pub cuo: String,
    /// RUC of who sends it, and of whom it is for.
    pub de: String,
    pub a: String,
    pub vcodres: Option<String>,
    pub vdesres: Option<String>,
    /// SHA-256 and size of the document in it.
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
    /// Until it was answered.
    pub milisegundos: u64,
}

#[derive(Default)]
pub struct Log {
    inner: Mutex<Inner>,
    /// Tells that something was added.
    news: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    by_cuo: HashMap<String, Vec<Mensaje>>,
    order: VecDeque<String>,
}

impl Log {
    pub fn add(&self, mensaje: Mensaje) {
        self.keep(mensaje);
        self.news.send_replace(());
    }

    /// Changes with every message.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Whether a cargo under this CUO was accepted.
    pub fn cargo_passed(&self, cuo: &str) -> bool {
        let cargo = contract::Operation::Cargo.name();
        self.of(cuo).iter().any(|m| m.operacion == cargo && m.vcodres.as_deref().map(str::trim) == Some("0000"))
    }

    fn keep(&self, mut mensaje: Mensaje) {
        for text in [&mut mensaje.cuo, &mut mensaje.de, &mut mensaje.a] {
            *text = text.chars().take(TEXT_MAX).collect();
        }
        mensaje.vdesres = mensaje.vdesres.map(|text| text.chars().take(TEXT_MAX).collect());
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let key = key(&mensaje.cuo);
        let messages = inner.by_cuo.entry(key.clone()).or_insert_with(|| {
            inner.order.push_back(key);
            Vec::new()
        });
        if messages.len() < MENSAJES_MAX {
            messages.push(mensaje);
        }
        if inner.order.len() > CUOS_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.by_cuo.remove(&oldest);
        }
    }

    /// The messages of one CUO, oldest first.
    pub fn of(&self, cuo: &str) -> Vec<Mensaje> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.by_cuo.get(&key(cuo)).cloned().unwrap_or_default()
    }

    /// The messages of the newest CUOs, newest CUO first.
    pub fn newest(&self, cuos: usize) -> Vec<Vec<Mensaje>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.order.iter().rev().take(cuos).filter_map(|cuo| inner.by_cuo.get(cuo).cloned()).collect()
    }
}

fn key(cuo: &str) -> String {
    format!("{:0>10}", cuo.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mensaje(cuo: &str) -> Mensaje {
        Mensaje {
            fecha: Timestamp::UNIX_EPOCH,
            operacion: "cargoResponse",
            cuo: cuo.into(),
            de: "a".repeat(10_000),
            a: String::new(),
            vcodres: None,
            vdesres: None,
            sha256: None,
            bytes: None,
            milisegundos: 1,
        }
    }

    #[test]
    fn it_never_grows_past_its_bounds() {
        let log = Log::default();
        for n in 0..(CUOS_MAX + 200) {
            log.add(mensaje(&n.to_string()));
        }
        for _ in 0..(2 * MENSAJES_MAX) {
            log.add(mensaje("0000001100"));
        }
        assert_eq!(log.newest(usize::MAX).len(), CUOS_MAX);
        assert_eq!(log.of("1100").len(), MENSAJES_MAX);
        assert_eq!(log.of("1100")[0].de.len(), TEXT_MAX);
        assert!(log.of("0").is_empty(), "the oldest are forgotten");
    }
}
