//! Reads the configuration again while the daemon runs (SIGHUP, `POST /api/v1/admin/reload`): applies what can be applied and
//! says what needs a restart.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    cli::{networks::Reachable, tls::Secure},
    config::Config,
    http::rates::Rates,
    sgd::rest::{Reload, Reloaded},
    telemetry::log::Level,
};

/// Reads the configuration from where it came from.
pub type Read = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What is read anew each time by who watches it.
const WATCHED: [&str; 4] =
    ["trust.anchors", "trust.lists", "entity.identity (solo para avisar de su vencimiento)", "los archivos de [tls]"];

/// The keys that change while the daemon runs; of a section with a dot at its end all do.
const APPLIED: [&str; 5] = ["log.level", "limits.key_rate", "limits.key_burst", "networks.", TLS];

/// Changes as long as no listener takes up TLS or leaves it.
const TLS: &str = "tls.";

/// The parts of a running daemon that take up new values.
pub struct Parts {
    pub level: Option<Level>,
    pub rates: Rates,
    /// Has the watch read its files anew.
    pub again: Arc<Notify>,
    pub secure: Secure,
    pub networks: Reachable,
}

pub struct Reloader {
    /// As it is in force.
    running: Mutex<Config>,
    /// Where a configuration is read; a test's daemon has none.
    read: Option<Read>,
    parts: Parts,
}

impl Reloader {
    pub fn new(running: Config, read: Option<Read>, parts: Parts) -> Self {
        Self { running: Mutex::new(running), read, parts }
    }
}

impl Reload for Reloader {
    fn reload(&self) -> Result<Reloaded, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = match &self.read {
            Some(read) => read()?,
            None => running.clone(),
        };
        let changed = changed(&running, &fresh);
        let restarts = self.parts.secure.differs(&fresh);
        let applied = |key: &String| {
            let fits = |known: &&str| if known.ends_with('.') { key.starts_with(*known) } else { key == known };
            APPLIED.iter().any(|known| fits(known) && !(restarts && *known == TLS))
        };
        let (aplicado, requiere_reinicio): (Vec<_>, Vec<_>) = changed.into_iter().partition(applied);
        // First what may be refused: then nothing has changed.
        if !restarts {
            self.parts.secure.change(&fresh.tls)?;
            running.tls.clone_from(&fresh.tls);
        }
        if let Some(level) = self.parts.level.as_ref().filter(|_| fresh.log.level != running.log.level) {
            level.set(&fresh.log.level).map_err(|error| error.to_string())?;
        }
        self.parts.rates.set(&fresh.limits);
        self.parts.networks.set(&fresh.networks);
        running.networks.clone_from(&fresh.networks);
        running.log.level.clone_from(&fresh.log.level);
        (running.limits.key_rate, running.limits.key_burst) = (fresh.limits.key_rate, fresh.limits.key_burst);
        self.parts.again.notify_one();
        Ok(Reloaded { releido: WATCHED.map(Into::into).into(), aplicado, requiere_reinicio })
    }
}

/// The keys whose values differ. Secrets are not shown: where nothing else differs, one of them does.
fn changed(running: &Config, fresh: &Config) -> Vec<String> {
    let (before, after) = (flat(running), flat(fresh));
    let differs = |key: &&String| before.get(*key) != after.get(*key);
    let mut keys: Vec<String> = before.keys().chain(after.keys()).filter(differs).cloned().collect();
    keys.sort();
    keys.dedup();
    if keys.is_empty() && running != fresh {
        keys.push("un secreto (contraseña o clave)".into());
    }
    keys
}

fn flat(config: &Config) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    add(&mut keys, String::new(), serde_json::to_value(config).unwrap_or_default());
    keys
}

fn add(keys: &mut BTreeMap<String, Value>, path: String, value: Value) {
    match value {
        Value::Object(members) => {
            let inside = |name: String| if path.is_empty() { name } else { format!("{path}.{name}") };
            members.into_iter().for_each(|(name, value)| add(keys, inside(name), value));
        }
        value => drop(keys.insert(path, value)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Id;

    #[test]
    fn what_can_be_applied_is_and_the_rest_is_told_until_a_restart() {
        let running = Config::default();
        let mut fresh = running.clone();
        (fresh.limits.key_rate, fresh.limits.key_burst) = (1, 1);
        fresh.limits.drain_timeout = Duration::from_secs(7);
        fresh.entity[0].name = "OTRA".into();
        fresh.tls.api.certificate = Some("a.pem".into());
        fresh.networks.api = vec!["10.0.0.0/8".parse().unwrap()];
        let next = Arc::new(Mutex::new(Ok(fresh)));
        let read = Arc::clone(&next);
        let read: Read = Arc::new(move || read.lock().unwrap().clone());
        let rates = Rates::new(&running.limits);
        let parts = Parts {
            level: None,
            rates: rates.clone(),
            again: Arc::new(Notify::new()),
            secure: Secure::default(),
            networks: Reachable::new(&running.networks),
        };
        let reloader = Reloader::new(running, Some(read), parts);
        let waiting = vec!["entity".to_owned(), "limits.drain_timeout".into(), "tls.api.certificate".into()];
        let first = reloader.reload().unwrap();
        assert_eq!(first.aplicado, ["limits.key_burst", "limits.key_rate", "networks.api"]);
        assert_eq!(first.requiere_reinicio, waiting);
        assert!(rates.take(Id::from_u128(1)).is_ok() && rates.take(Id::from_u128(1)).is_err());
        let again = reloader.reload().unwrap();
        assert_eq!((again.aplicado, again.requiere_reinicio), (vec![], waiting), "what waits is told again");
        *next.lock().unwrap() = Err("línea 3: clave desconocida".into());
        assert_eq!(reloader.reload().unwrap_err(), "línea 3: clave desconocida");
    }
}
