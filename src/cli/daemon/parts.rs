//! What a daemon is made of, as the configuration wants it: store, use cases, audit log, webhooks and tables. Commands on a
//! daemon that is stopped make the same.

use std::{collections::HashMap, fs::DirBuilder, os::unix::fs::DirBuilderExt, sync::Arc, time::Duration};

use super::{Overrides, StartError};
use crate::{
    audit::{self, Log},
    cli::{anchors, identities, revocation::Revocation},
    config::{self, Config, Secret, StoreKind},
    domain::Ruc,
    exchange::{
        Clock, Emisores, Exchange, Ids, Renewed, RetryPolicy, Settings, SystemClock, SystemIds,
        examine::{self, Demands, Examiner},
        health::BreakerPolicy,
        retention::Politica,
    },
    platform::{self, PlatformSoap},
    sgd::{tables::Tablas, webhook::Webhooks},
    signing::timestamp::Timestamper,
    store::{
        SharedStore, StoreError,
        embedded::{self, EmbeddedStore, Reading},
        postgres::{self, PostgresStore},
    },
    telemetry::failpoint,
};

/// How much longer than one call to the platform an attempt at a job may take: it makes several, and they store things.
const ATTEMPT_MARGIN: Duration = Duration::from_secs(60);

/// The webhooks as the configuration wants them.
pub fn webhooks(config: &Config) -> Result<Webhooks, StartError> {
    Webhooks::from_config(config).map_err(StartError::Webhook)
}

/// The tables of the entities' systems as the configuration wants them.
pub fn tablas(config: &Config) -> Result<Tablas, StartError> {
    Tablas::from_config(config).map_err(StartError::Tablas)
}

/// The audit log over the open store; its key is made at the first start.
pub fn audit_log(config: &Config, exchange: &Exchange) -> Result<Arc<Log>, StartError> {
    let suffix = SystemIds.secret();
    let installation: String = suffix.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let ruc = config.entities().first().map(|entity| entity.ruc.to_string()).unwrap_or_default();
    let options = audit::log::Options {
        data_dir: config.data_dir.clone(),
        origin: format!("chasqui/{ruc}/{installation}"),
        seed: SystemIds.secret(),
        export: config.audit.checkpoint_file.clone(),
        timestamper: exchange.sellador(),
    };
    Ok(Log::open(Arc::clone(exchange.store()), options)?)
}

/// The use cases as the configuration wants them.
pub fn exchange(config: &Config, overrides: Overrides, store: SharedStore) -> Result<Exchange, StartError> {
    let platform = match overrides.platform {
        Some(platform) => platform,
        None => {
            let client = PlatformSoap::new(&platform::Options::from_config(config));
            Arc::new(client.map_err(|error| StartError::Platform(error.to_string()))?)
        }
    };
    let settings = settings(config, overrides.retry.unwrap_or_else(|| retry(config)));
    let clock = overrides.clock.unwrap_or_else(|| Arc::new(SystemClock));
    let ids = overrides.ids.unwrap_or_else(|| Arc::new(SystemIds));
    let sellador = identities::timestamper(config).transpose().map_err(StartError::Signing)?;
    let sellador = sellador.map(|client| client as Arc<dyn Timestamper>);
    let emisores = Emisores { por_ruc: identities::issuers(config).map_err(StartError::Signing)?, sellador };
    // The watch looks at the lists again at once, and tells what is wrong with them.
    let (trust, _) = anchors::known(config, clock.now()).map_err(StartError::Trust)?;
    let asked = Revocation::new(config, Arc::clone(&clock)).transpose().map_err(StartError::Trust)?;
    let asked = asked.map(|shared| Arc::new(move || Arc::clone(&shared).for_document()) as examine::Revocation);
    let examiner = Examiner::new(trust, demands(config)).with_revocation(asked);
    let config::Retention { despachos, recepciones, every } = config.retention.clone();
    let politica = Politica { despachos, recepciones, cada: every };
    let exchange = Exchange::new(store, platform, clock, ids, settings).with_retention(politica);
    let exchange = exchange.with_anexos(config.listen.soap_public_url.as_deref());
    Ok(exchange.with_emisores(emisores).with_examiner(examiner).with_rules(config.rules()))
}

/// What of the configuration the use cases take up while the daemon runs, made from `config`; `running` is in force.
pub fn renewed(running: &Config, config: &Config, exchange: &Exchange) -> Result<Renewed, String> {
    // A test's daemon may have another policy than its configuration's.
    let policy = if running.retry == config.retry { exchange.settings().retry.clone() } else { retry(config) };
    let emisores = Emisores { por_ruc: identities::issuers(config)?, sellador: exchange.sellador() };
    Ok(Renewed { settings: settings(config, policy), emisores, demands: demands(config), reglas: config.rules() })
}

fn settings(config: &Config, retry: RetryPolicy) -> Settings {
    Settings {
        ambiente: config.environment,
        entidades: config.entities(),
        rigor: config.reception.validation,
        calendario: config.calendar(),
        document_bytes_max: config.limits.document_max.bytes(),
        retry,
    }
}

fn demands(config: &Config) -> HashMap<Ruc, Demands> {
    let of = |(ruc, config::Firmas { salida, cargo })| (ruc, Demands { salida, cargo });
    config.demands().into_iter().map(of).collect()
}

fn retry(config: &Config) -> RetryPolicy {
    let (pide, config::Retry { first_delay, factor, delay_max, ask_after, ask_cargo, .. }) =
        (&config.pide, config.retry.clone());
    let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    RetryPolicy {
        first: first_delay,
        factor,
        max: delay_max,
        ask_after,
        ask_cargo,
        ask_cargo_for: config.retry.ask_cargo_for,
        attempt: pide.total_timeout + ATTEMPT_MARGIN,
        dead_after: config.retry.dead_after,
        workers: count(config.retry.workers),
        breaker: BreakerPolicy {
            failures: config.retry.breaker_failures,
            pause: config.retry.breaker_pause,
            pause_max: config.retry.breaker_pause_max,
            concurrency: count(config.retry.workers_per_destination),
        },
        alert_after: config.retry.alert_after,
        directory_age: pide.directory_age,
    }
}

/// Opens the store in the folder of the data, which is made for its owner alone if it is missing.
pub async fn open_store(config: &Config, clock: &dyn Clock) -> Result<SharedStore, StartError> {
    let dir = config.data_dir.clone();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|error| StartError::DataDir { dir: dir.clone(), error })?;
    if config.store.kind == StoreKind::Postgres {
        return Ok(PostgresStore::open(postgres_options(config)).await?);
    }
    let options = embedded_options(clock);
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, options)).await;
    Ok(opened.map_err(|_| StoreError::Closed)??)
}

/// How the database that the configuration names is opened by a daemon.
pub fn postgres_options(config: &Config) -> postgres::Options {
    let (store, data_dir) = (&config.store, config.data_dir.clone());
    let url = store.url.as_ref().map_or("", Secret::reveal).to_owned();
    let connections = usize::try_from(store.connections).unwrap_or(usize::MAX);
    postgres::Options { url, ca_file: store.ca_file.clone(), data_dir, connections, apart: false }
}

/// How a folder of data is opened by a daemon.
pub fn embedded_options(clock: &dyn Clock) -> embedded::Options {
    let mut options = embedded::Options::new(clock.now());
    options.segment_bytes = failpoint::size("CHASQUI_SEGMENT_BYTES", options.segment_bytes);
    options.pack_bytes = failpoint::size("CHASQUI_PACK_BYTES", options.pack_bytes);
    options.progress = Some(Arc::new(replaying));
    options
}

fn replaying(reading: Reading) {
    if reading.bytes_total == 0 {
        return;
    }
    let percent = reading.bytes.saturating_mul(100) / reading.bytes_total.max(1);
    tracing::info!(entries = reading.entries, percent, "reading the journal to rebuild the index");
}
