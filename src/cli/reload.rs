//! Reads the configuration again while the daemon runs (SIGHUP, `POST /api/v1/admin/reload`): applies what can be applied and
//! says what needs a restart. All of it or nothing: what cannot be used is found before anything changes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use ring::digest;
use serde_json::Value;
use tokio::sync::{Mutex, Notify};

use crate::{
    cli::{
        daemon::{Listening, renewed},
        limits,
        networks::Reachable,
        tls::Secure,
    },
    config::Config,
    domain::{Ruc, Sha256},
    exchange::{Actor, Exchange, Live},
    http::rates::Rates,
    sgd::{
        rest::{Reload, Reloaded},
        webhook::{Tellers, Webhooks},
    },
    telemetry::{Metrics, log::Level},
};

/// Reads the configuration from where it came from.
pub type Read = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What is read anew each time, changed or not.
const WATCHED: [&str; 4] = ["trust.anchors", "trust.lists", "entity.identity", "los archivos de [tls]"];

/// A daemon's parts that take up new values.
pub struct Parts {
    pub level: Option<Level>,
    pub rates: Rates,
    /// Has the watch read its files anew.
    pub again: Arc<Notify>,
    pub secure: Secure,
    pub networks: Reachable,
    pub exchange: Exchange,
    pub metrics: Arc<Metrics>,
    pub listening: Listening,
    pub tellers: Arc<Tellers>,
}

pub struct Reloader {
    /// As it is in force.
    running: Live<Config>,
    /// The webhooks in force; held while a reload is under way.
    webhooks: Mutex<Webhooks>,
    /// Where a configuration is read; a test's daemon has none.
    read: Option<Read>,
    parts: Parts,
}

/// A reloader for its own listeners, which it keeps alive and not the other way round.
pub struct Again(pub Weak<Reloader>);

#[async_trait]
impl Reload for Again {
    async fn reload(&self, actor: &Actor) -> Result<Reloaded, String> {
        match self.0.upgrade() {
            Some(reloader) => reloader.reload(actor).await,
            None => Err("el servicio se está deteniendo".into()),
        }
    }
}

impl Reloader {
    pub fn new(running: Live<Config>, read: Option<Read>, webhooks: Webhooks, parts: Parts) -> Self {
        Self { running, webhooks: Mutex::new(webhooks), read, parts }
    }

    pub fn listening(&self) -> &Listening {
        &self.parts.listening
    }

    /// Logs and records what came of it.
    pub async fn reload(&self, actor: &Actor) -> Result<Reloaded, String> {
        let done = self.apply().await;
        match &done {
            Ok(Reloaded { aplicado, requiere_reinicio, .. }) => {
                let (applied, restart) = (aplicado.join(", "), requiere_reinicio.join(", "));
                tracing::info!(applied, needs_restart = restart, "the configuration was read again");
                self.record(actor, aplicado, requiere_reinicio).await;
            }
            Err(error) => tracing::error!(error, "the configuration could not be read again; the one in force stays"),
        }
        done
    }

    async fn apply(&self) -> Result<Reloaded, String> {
        let mut webhooks = self.webhooks.lock().await;
        let (running, parts) = (self.running.get(), &self.parts);
        let fresh = self.fresh().await?;
        let next = merged(&running, &fresh, parts.secure.differs(&fresh));
        let (aplicado, requiere_reinicio) = (changed(&running, &next), changed(&next, &fresh));
        // First what may be refused: then nothing has changed.
        self.may_go(&running, &next).await?;
        let (before, after, exchange) = (Arc::clone(&running), next.clone(), parts.exchange.clone());
        let made = tokio::task::spawn_blocking(move || renewed(&before, &after, &exchange));
        let made = made.await.map_err(|error| error.to_string())??;
        let told = webhooks.renewed(&running, &next)?;
        if let Some(level) = parts.level.as_ref().filter(|_| next.log.level != running.log.level) {
            level.set(&next.log.level).map_err(|error| error.to_string())?;
        }
        parts.secure.change(&next.tls)?;
        parts.rates.set(&next.limits);
        parts.networks.set(&next.networks);
        limits::show(&next.limits, &parts.metrics);
        parts.exchange.renew(made);
        parts.listening.serve(&next, &told);
        self.running.set(next);
        parts.tellers.tell(&told).await;
        *webhooks = told;
        parts.again.notify_one();
        Ok(Reloaded { releido: WATCHED.map(Into::into).into(), aplicado, requiere_reinicio })
    }

    async fn fresh(&self) -> Result<Config, String> {
        match self.read.clone() {
            None => Ok((*self.running.get()).clone()),
            Some(read) => tokio::task::spawn_blocking(move || read()).await.map_err(|error| error.to_string())?,
        }
    }

    /// Whether the entities that are not named any more can go.
    async fn may_go(&self, running: &Config, next: &Config) -> Result<(), String> {
        let stays = next.entities();
        for gone in running.entities().into_iter().filter(|own| stays.iter().all(|other| other.ruc != own.ruc)) {
            let why = match of_tables(running, &gone.ruc) {
                true => Some("su SGD usa [[tables]], que se quita con un reinicio".to_owned()),
                false => self.parts.exchange.impide_quitar(&gone.ruc).await.map_err(|error| error.to_string())?,
            };
            if let Some(why) = why {
                return Err(format!(
                    "la entidad {} no se puede quitar: {why}. Se sigue con la configuración anterior; deje la entidad hasta que \
                     todo lo suyo termine",
                    gone.ruc
                ));
            }
        }
        Ok(())
    }

    async fn record(&self, actor: &Actor, aplicado: &[String], requiere_reinicio: &[String]) {
        if aplicado.is_empty() {
            return;
        }
        let told = match digest_of(&self.running.get()) {
            Ok(digest) => {
                let exchange = &self.parts.exchange;
                let told = exchange.configuracion_recargada(actor, &digest, aplicado, requiere_reinicio).await;
                told.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = told {
            tracing::warn!(error, "the configuration in force could not be recorded");
        }
    }
}

fn of_tables(config: &Config, ruc: &Ruc) -> bool {
    let named = |entity: Option<&str>| entity.is_none_or(|named| named.trim() == ruc.as_str());
    config.tables.iter().any(|tables| named(tables.entity.as_deref()))
}

/// Of a configuration; its secrets are written as asterisks.
pub fn digest_of(config: &Config) -> Result<Sha256, serde_json::Error> {
    let text = serde_json::to_vec(config)?;
    Ok(Sha256::from_digest(digest::digest(&digest::SHA256, &text).as_ref()))
}

/// What is in force after a reload: of `fresh` what can change while the daemon runs, the rest as it was. `restarts`: a listener
/// takes up TLS or leaves it.
pub fn merged(running: &Config, fresh: &Config, restarts: bool) -> Config {
    let mut next = running.clone();
    next.log.level.clone_from(&fresh.log.level);
    next.networks.clone_from(&fresh.networks);
    if !restarts {
        next.tls.clone_from(&fresh.tls);
    }
    next.entity.clone_from(&fresh.entity);
    next.reception.clone_from(&fresh.reception);
    next.respuesta.clone_from(&fresh.respuesta);
    next.webhook.clone_from(&fresh.webhook);
    next.bridge.clone_from(&fresh.bridge);
    next.anexos.clone_from(&fresh.anexos);
    // Bytes under way are counted against the bound that they came under.
    next.limits.clone_from(&fresh.limits);
    next.limits.bytes_in_flight_max = running.limits.bytes_in_flight_max;
    // The worker and the breakers are made for theirs.
    next.retry.clone_from(&fresh.retry);
    let retry = &running.retry;
    next.retry.workers = retry.workers;
    next.retry.workers_per_destination = retry.workers_per_destination;
    next.retry.breaker_failures = retry.breaker_failures;
    next.retry.breaker_pause = retry.breaker_pause;
    next.retry.breaker_pause_max = retry.breaker_pause_max;
    let (trust, ours) = (&fresh.trust, &mut next.trust);
    ours.anchors.clone_from(&trust.anchors);
    ours.lists.clone_from(&trust.lists);
    ours.list_signers.clone_from(&trust.list_signers);
    ours.list_refresh = trust.list_refresh;
    next
}

/// The keys whose values differ. Secrets are not shown: where only one of those does, its section is named.
fn changed(before: &Config, after: &Config) -> Vec<String> {
    let (was, is) = (flat(before), flat(after));
    let differs = |key: &&String| was.get(*key) != is.get(*key);
    let mut keys: Vec<String> = was.keys().chain(is.keys()).filter(differs).cloned().collect();
    let sections = [
        ("entity", before.entity != after.entity),
        ("webhook", before.webhook != after.webhook),
        ("bridge", before.bridge != after.bridge),
        ("tables", before.tables != after.tables),
    ];
    for (section, _) in sections.into_iter().filter(|(_, differs)| *differs) {
        keys.push(section.to_owned());
    }
    keys.sort();
    keys.dedup();
    if keys.is_empty() && before != after {
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
    use crate::config::Secret;

    #[test]
    fn what_can_change_does_and_the_rest_waits_for_a_restart() {
        let running = Config::default();
        let mut fresh = running.clone();
        fresh.limits.key_rate = 1;
        fresh.limits.connections_max = 9;
        fresh.limits.bytes_in_flight_max = crate::config::Size::mib(4096);
        fresh.retry.ask_after = Duration::from_secs(7);
        fresh.retry.workers = 3;
        fresh.entity[0].name = "OTRA".into();
        fresh.listen.soap_public_url = Some("https://entidad.gob.pe".into());
        fresh.tls.api.certificate = Some("a.pem".into());
        fresh.networks.api = vec!["10.0.0.0/8".parse().unwrap()];
        let next = merged(&running, &fresh, true);
        let applied = ["entity", "limits.connections_max", "limits.key_rate", "networks.api", "retry.ask_after"];
        assert_eq!(changed(&running, &next), applied);
        let waiting = ["limits.bytes_in_flight_max", "listen.soap_public_url", "retry.workers", "tls.api.certificate"];
        assert_eq!(changed(&next, &fresh), waiting);
        let again = merged(&next, &fresh, true);
        assert_eq!(changed(&next, &again), [""; 0], "what was applied is not told again");
        assert_eq!(changed(&again, &fresh), waiting, "what waits is");
    }

    #[test]
    fn a_secret_that_changed_is_told_by_its_place_alone() {
        let running = Config { webhook: vec![Default::default()], ..Config::default() };
        let mut fresh = running.clone();
        fresh.webhook[0].secret = Some(Secret::new("whsec_otro"));
        assert_eq!(changed(&running, &merged(&running, &fresh, false)), ["webhook"]);
    }
}
