//! The whole daemon in one process: store, use cases, worker, listeners. `serve` runs one; `demo` and the tests start as
//! many as they need, on free ports.

mod listening;
mod parts;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    backup,
    causes::in_spanish,
    check::schedule::Schedule,
    limits,
    networks::Reachable,
    reload,
    reload::{Again, Reloader},
    tls::Secure,
    watch::Watch,
};
use crate::{
    audit::{AuditError, Log},
    config::{Config, Origin},
    exchange::{Actor, Clock, Exchange, Ids, Live, Platform, RetryPolicy, SystemClock, Worker},
    http::{rates::Rates, server::Listener},
    sgd::{
        rest::{Reload, Streams},
        webhook::Tellers,
    },
    store::{SharedStore, StoreError, blobs::disk_refuses},
    telemetry::{Metrics, log::Level},
    wsiotramite,
};

pub use listening::{Listening, Running, Told, api_router};
use listening::{Shared, bind, bind_control};
pub use parts::{audit_log, embedded_options, exchange, open_store, postgres_options, renewed, tablas, webhooks};

/// The control socket's name in the folder of the data.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The listeners in logs and metrics: the platform's, and the one for the SGD and people.
const SOAP: &str = wsiotramite::LISTENER;
const API: &str = "api";

/// The control socket's listener.
const CONTROL: &str = "control";

/// Between two attempts at making the control socket on a disk that took nothing.
const CONTROL_AGAIN: Duration = Duration::from_secs(2);

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("no se puede usar la carpeta de datos {}: {}", dir.display(), in_spanish(error))]
    DataDir { dir: PathBuf, error: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no se puede escuchar en {address} ({key}): {}{}", in_spanish(error), taken(key, error))]
    Bind { key: &'static str, address: SocketAddr, error: io::Error },
    #[error("no se puede preparar el cliente de la plataforma: {0}")]
    Platform(String),
    #[error("no se puede usar lo que se configuró para firmar: {0}")]
    Signing(String),
    #[error("los certificados de confianza de [trust] no se pueden usar: {0}")]
    Trust(String),
    #[error("los datos se restauraron de una copia y no se pudo tomar nota de ello: {0}")]
    Restored(String),
    #[error("no se puede atender con TLS: {0}")]
    Tls(String),
    #[error("no se puede usar el {0}")]
    Webhook(String),
    #[error("no se pueden usar las {0}")]
    Tablas(String),
    #[error("el registro de auditoría no se puede abrir: {0}")]
    Audit(#[from] AuditError),
}

/// What to do about an address that another program has.
fn taken(key: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrInUse {
        return format!("; detenga el programa que la usa (¿otro chasqui?) o cambie {key} en la configuración");
    }
    String::new()
}

/// What a test or the demo puts in the place of the real thing.
#[derive(Default)]
pub struct Overrides {
    /// Else the SOAP client the configuration describes.
    pub platform: Option<Arc<dyn Platform>>,
    pub clock: Option<Arc<dyn Clock>>,
    pub ids: Option<Arc<dyn Ids>>,
    /// Else what the configuration says.
    pub retry: Option<RetryPolicy>,
    /// Where the configuration is read again; else there is nothing to read.
    pub read: Option<reload::Read>,
    /// The log's level, that a reload may change.
    pub level: Option<Level>,
    /// Where the keys of the configuration were set.
    pub origins: Origins,
}

/// The configuration file's name, and where each key was set, by its path.
pub type Origins = Arc<(String, BTreeMap<String, Origin>)>;

/// A running daemon. Dropped, it goes on; end it with [`Daemon::stop`].
pub struct Daemon {
    pub soap: SocketAddr,
    pub api: SocketAddr,
    pub control: PathBuf,
    exchange: Exchange,
    audit: Arc<Log>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    /// As it is in force.
    config: Live<Config>,
    listeners: Vec<JoinHandle<()>>,
    worker: JoinHandle<()>,
    tellers: Arc<Tellers>,
    telling: Vec<JoinHandle<()>>,
    auditing: JoinHandle<()>,
    watching: Vec<JoinHandle<()>>,
    /// Purges what is old enough, if there is a rule.
    purging: Option<JoinHandle<()>>,
    reloader: Arc<Reloader>,
}

impl Daemon {
    /// Opens the store, binds every listener, and only then begins to work.
    pub async fn start(config: &Config, overrides: Overrides) -> Result<Self, StartError> {
        let clock = overrides.clock.clone().unwrap_or_else(|| Arc::new(SystemClock));
        let store = open_store(config, &*clock).await?;
        match Self::start_on(config, overrides, Arc::clone(&store)).await {
            Ok(daemon) => Ok(daemon),
            Err(error) => {
                store.close().await.ok();
                Err(error)
            }
        }
    }

    async fn start_on(config: &Config, overrides: Overrides, store: SharedStore) -> Result<Self, StartError> {
        let (read, level) = (overrides.read.clone(), overrides.level.clone());
        let origins = Arc::clone(&overrides.origins);
        let exchange = exchange(config, overrides, store)?;
        exchange.leer_mantenimiento().await?;
        let audit = audit_log(config, &exchange)?;
        tell_configuration(config, &exchange).await;
        let secure = Secure::open(&config.tls).map_err(StartError::Tls)?;
        let webhooks = webhooks(config)?;
        let tablas = tablas(config)?;
        tablas.prepare(&exchange).await;
        let (soap, soap_address) = bind("listen.soap", config.listen.soap).await?;
        let (api, api_address) = bind("listen.api", config.listen.api).await?;
        let control = config.data_dir.join(CONTROL_SOCKET);
        let local = match bind_control(&config.data_dir, &control) {
            Err(error) if disk_refuses(&error) => {
                tracing::error!(%error, "no control socket until the disk takes one");
                None
            }
            bound => Some(bound.map_err(|error| StartError::DataDir { dir: control.clone(), error })?),
        };

        let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
        limits::show(&config.limits, &metrics);
        let (again, rates) = (Arc::new(Notify::new()), Rates::new(&config.limits));
        let networks = Reachable::new(&config.networks);
        let tellers = Arc::new(Tellers::new(exchange.clone(), stop.clone()));
        let running_config = Live::new(config.clone());
        let reloader = Arc::new_cyclic(|reloader| {
            let reload: Arc<dyn Reload> = Arc::new(Again(Weak::clone(reloader)));
            let (stop, rates, streams) = (stop.clone(), rates.clone(), Streams::default());
            let listening = Listening::new(Shared {
                config,
                exchange: exchange.clone(),
                audit: Arc::clone(&audit),
                metrics: Arc::clone(&metrics),
                webhooks: &webhooks,
                tablas: tablas.clone(),
                running: Running { stop, rates: rates.clone(), reload: Some(reload), streams },
                secure: secure.clone(),
                networks: networks.clone(),
                origins,
            });
            let (exchange, metrics) = (exchange.clone(), Arc::clone(&metrics));
            let (again, secure, tellers) = (Arc::clone(&again), secure.clone(), Arc::clone(&tellers));
            let parts = reload::Parts { level, rates, again, secure, networks, exchange, metrics, listening, tellers };
            Reloader::new(running_config.clone(), read, webhooks.clone(), parts)
        });
        let listening = reloader.listening();
        let listeners = vec![
            listening.listen(SOAP, Listener::Tcp(soap)),
            listening.listen(API, Listener::Tcp(api)),
            match local {
                Some(local) => listening.listen(CONTROL, Listener::Unix(local)),
                None => listening.listen_later(config.data_dir.clone(), control.clone()),
            },
        ];
        backup::take_note(config, &exchange).await.map_err(StartError::Restored)?;
        let worker = tokio::spawn(Worker::new(exchange.clone()).run(stop.clone()));
        tellers.tell(&webhooks).await;
        let telling = tablas.spawn(&exchange, &stop);
        let clock = exchange.clone();
        let every = config.audit.checkpoint_every;
        let auditing = tokio::spawn(Arc::clone(&audit).run(Arc::new(move || clock.now()), every, stop.clone()));
        let watch = Watch {
            config: running_config.clone(),
            exchange: exchange.clone(),
            again: Arc::clone(&again),
            secure: secure.clone(),
        };
        let schedule =
            Schedule { config: running_config.clone(), exchange: exchange.clone(), metrics: Arc::clone(&metrics) };
        let watching = vec![
            tokio::spawn(watch.run(stop.clone())),
            tokio::spawn(secure.watch(exchange.clone(), stop.clone())),
            tokio::spawn(schedule.run(stop.clone())),
            tokio::spawn(backup::on_schedule(config.clone(), exchange.clone(), stop.clone())),
        ];
        let purging = exchange.politica().activa().then(|| tokio::spawn(exchange.clone().conservar(stop.clone())));
        let (soap, api) = (soap_address, api_address);
        Ok(Self {
            soap,
            api,
            control,
            exchange,
            audit,
            metrics,
            stop,
            config: running_config,
            listeners,
            worker,
            tellers,
            telling,
            auditing,
            watching,
            purging,
            reloader,
        })
    }

    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    pub fn audit(&self) -> &Arc<Log> {
        &self.audit
    }

    /// Reads the configuration anew.
    pub async fn reload(&self) {
        // It says itself, in the log, what came of it.
        self.reloader.reload(&Actor::chasqui()).await.ok();
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Ends only if a part of the daemon ended that must not; then it should be stopped.
    pub async fn failed(&mut self) -> &'static str {
        let worker = &mut self.worker;
        tokio::select! {
            _ = worker => "the worker ended",
            _ = futures_util::future::select_all(&mut self.listeners) => "a listener ended",
        }
    }

    /// Takes nothing new, lets what is under way end within the configured time, and closes the store.
    pub async fn stop(self) -> Result<(), StoreError> {
        self.stop.cancel();
        let drain = self.config.get().limits.drain_timeout;
        let (listeners, mut worker, mut telling) = (self.listeners, self.worker, self.telling);
        let drained = async {
            // One that has ended already was seen by `failed`, and must not be asked again.
            for listener in listeners.into_iter().filter(|listener| !listener.is_finished()) {
                listener.await.ok();
            }
        };
        let worked = async {
            if !worker.is_finished() && timeout(drain, &mut worker).await.is_err() {
                // Every step of a job is on record before it is taken: what is cut here is asked about after the next
                // start.
                tracing::warn!("attempts still under way were cut");
                worker.abort();
            }
        };
        let told = async {
            let ended = futures_util::future::join_all(&mut telling);
            if timeout(drain, ended).await.is_err() {
                // What was told and is not on record as told is told again after the next start.
                telling.iter().for_each(JoinHandle::abort);
            }
        };
        tokio::join!(drained, worked, told, self.tellers.end(drain));
        self.auditing.await.ok();
        for watching in self.watching {
            watching.await.ok();
        }
        if let Some(purging) = self.purging {
            purging.await.ok();
        }
        std::fs::remove_file(&self.control).ok();
        self.exchange.store().close().await
    }
}

/// Puts on record what serves from now on. That a full disk does not take it stops nothing: the next start tells it.
async fn tell_configuration(config: &Config, exchange: &Exchange) {
    let told = match reload::digest_of(config) {
        Ok(digest) => {
            let program = concat!("chasqui ", env!("CARGO_PKG_VERSION"));
            exchange.configuracion(&digest, program).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = told {
        tracing::warn!(error, "the configuration in force could not be recorded");
    }
}

#[cfg(test)]
pub(super) mod tests;
