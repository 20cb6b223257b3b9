//! The whole daemon in one process: store, use cases, worker, listeners. `serve` runs one; `demo` and the tests start as
//! many as they need, on free ports.

use std::{
    fs::{DirBuilder, Permissions},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use ring::digest;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    anchors, backup, causes::in_spanish, check::schedule::Schedule, identities, limits, networks::Reachable, ready,
    reload, reload::Reloader, revocation::Revocation, tls::Secure, watch::Watch,
};
use crate::{
    audit::{self, AuditError, Log},
    config::{self, Config, Secret, StoreKind},
    console::{self, Console},
    domain::Sha256,
    exchange::{
        Clock, Emisores, Exchange, Ids, Platform, RetryPolicy, Settings, SystemClock, SystemIds, Worker,
        examine::{self, Demands, Examiner},
        health::BreakerPolicy,
        retention::Politica,
    },
    http::{
        limits::{InFlight, Intake},
        rates::Rates,
        server::{self, Listener, Options},
    },
    platform::{self, PlatformSoap},
    sgd::{
        annexes::{self, Annexes, fetch::Fetching},
        bridge::{self, Bridge},
        rest::{self, Api, Reload, Reloaded, Streams},
        tables::Tablas,
        webhook::Webhooks,
    },
    signing::timestamp::Timestamper,
    store::{
        SharedStore, StoreError,
        blobs::disk_refuses,
        embedded::{self, EmbeddedStore, Reading},
        postgres::{self, PostgresStore},
    },
    telemetry::{Metrics, failpoint, log::Level},
    wsiotramite::{self, Wsiotramite},
};

/// The control socket's name in the folder of the data.
pub const CONTROL_SOCKET: &str = "control.sock";

/// The listeners in logs and metrics: the platform's, and the one for the SGD and people.
const SOAP: &str = wsiotramite::LISTENER;
const API: &str = "api";

/// The control socket's listener.
const CONTROL: &str = "control";

/// Between two attempts at making the control socket on a disk that took nothing.
const CONTROL_AGAIN: Duration = Duration::from_secs(2);

/// How much longer than one call to the platform an attempt at a job may take: it makes several, and they store things.
const ATTEMPT_MARGIN: Duration = Duration::from_secs(60);

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
}

/// A running daemon. Dropped, it goes on; end it with [`Daemon::stop`].
pub struct Daemon {
    pub soap: SocketAddr,
    pub api: SocketAddr,
    pub control: PathBuf,
    exchange: Exchange,
    audit: Arc<Log>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    drain: Duration,
    listeners: Vec<JoinHandle<()>>,
    worker: JoinHandle<()>,
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
        let exchange = exchange(config, overrides, store)?;
        let audit = audit_log(config, &exchange)?;
        tell_configuration(config, &exchange).await;
        let secure = Secure::open(&config.tls).map_err(StartError::Tls)?;
        let webhooks = webhooks(config)?;
        webhooks.prepare(&exchange).await;
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
        let parts = reload::Parts {
            level,
            rates: rates.clone(),
            again: Arc::clone(&again),
            secure: secure.clone(),
            networks: networks.clone(),
        };
        let reloader = Reloader::new(config.clone(), read, parts);
        let reloader = Arc::new(reloader);
        let reload: Arc<dyn Reload> = Arc::clone(&reloader) as _;
        let running = Running { stop: stop.clone(), rates, reload: Some(reload) };
        let shared = Shared {
            config,
            exchange: &exchange,
            audit: &audit,
            metrics: &metrics,
            webhooks: &webhooks,
            tablas: &tablas,
            running: &running,
            secure: &secure,
            networks: &networks,
        };
        let inside = shared.in_flight(API);
        let listeners = vec![
            shared.listen(SOAP, Listener::Tcp(soap), shared.soap_router()),
            shared.listen(
                API,
                Listener::Tcp(api),
                shared
                    .api_router(inside.clone())
                    .merge(shared.console_router(inside.clone()))
                    .layer(axum::middleware::from_fn(console::lost)),
            ),
            match local {
                Some(local) => shared.listen(CONTROL, Listener::Unix(local), shared.api_router(inside)),
                None => shared.listen_later(control.clone(), shared.api_router(inside)),
            },
        ];
        backup::take_note(config, &exchange).await.map_err(StartError::Restored)?;
        let worker = tokio::spawn(Worker::new(exchange.clone()).run(stop.clone()));
        let mut telling = webhooks.spawn(&exchange, &stop);
        telling.extend(tablas.spawn(&exchange, &stop));
        let clock = exchange.clone();
        let every = config.audit.checkpoint_every;
        let auditing = tokio::spawn(Arc::clone(&audit).run(Arc::new(move || clock.now()), every, stop.clone()));
        let watch = Watch {
            config: config.clone(),
            exchange: exchange.clone(),
            again: Arc::clone(&again),
            secure: secure.clone(),
        };
        let schedule = Schedule { config: config.clone(), exchange: exchange.clone(), metrics: Arc::clone(&metrics) };
        let watching = vec![
            tokio::spawn(watch.run(stop.clone())),
            tokio::spawn(secure.watch(exchange.clone(), stop.clone())),
            tokio::spawn(schedule.run(stop.clone())),
            tokio::spawn(backup::on_schedule(config.clone(), exchange.clone(), stop.clone())),
        ];
        let purging = exchange.politica().activa().then(|| tokio::spawn(exchange.clone().conservar(stop.clone())));
        let drain = config.limits.drain_timeout;
        let (soap, api) = (soap_address, api_address);
        Ok(Self {
            soap,
            api,
            control,
            exchange,
            audit,
            metrics,
            stop,
            drain,
            listeners,
            worker,
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

    /// Reads the configuration anew, and logs what came of it.
    pub fn reload(&self) {
        match self.reloader.reload() {
            Ok(Reloaded { aplicado, requiere_reinicio, .. }) => {
                let (applied, restart) = (aplicado.join(", "), requiere_reinicio.join(", "));
                tracing::info!(applied, needs_restart = restart, "the configuration was read again");
            }
            Err(error) => tracing::error!(error, "the configuration could not be read again; the one in force stays"),
        }
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
        let (listeners, mut worker, mut telling) = (self.listeners, self.worker, self.telling);
        let drained = async {
            // One that has ended already was seen by `failed`, and must not be asked again.
            for listener in listeners.into_iter().filter(|listener| !listener.is_finished()) {
                listener.await.ok();
            }
        };
        let worked = async {
            if !worker.is_finished() && timeout(self.drain, &mut worker).await.is_err() {
                // Every step of a job is on record before it is taken: what is cut here is asked about after the next
                // start.
                tracing::warn!("attempts still under way were cut");
                worker.abort();
            }
        };
        let told = async {
            let ended = futures_util::future::join_all(&mut telling);
            if timeout(self.drain, ended).await.is_err() {
                // What was told and is not on record as told is told again after the next start.
                telling.iter().for_each(JoinHandle::abort);
            }
        };
        tokio::join!(drained, worked, told);
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

/// What the listeners are made of.
struct Shared<'a> {
    config: &'a Config,
    exchange: &'a Exchange,
    audit: &'a Arc<Log>,
    metrics: &'a Arc<Metrics>,
    webhooks: &'a Webhooks,
    tablas: &'a Tablas,
    running: &'a Running,
    secure: &'a Secure,
    networks: &'a Reachable,
}

impl Shared<'_> {
    fn listen(&self, name: &'static str, listener: Listener, router: Router) -> JoinHandle<()> {
        let mut options = Options::new(name, &self.config.limits, Arc::clone(self.metrics));
        if name == SOAP {
            options.on_panic = wsiotramite::on_panic;
            options.on_overload = wsiotramite::on_overload;
            options.on_stranger = wsiotramite::on_stranger;
        }
        options.networks = self.networks.of(name);
        options.tls = match name {
            SOAP => self.secure.soap.clone(),
            API => self.secure.api.clone(),
            _ => None,
        };
        tokio::spawn(server::serve(listener, router, options, self.running.stop.clone()))
    }

    /// Room for the bodies that one side sends: what the platform floods us with is not taken from the SGD.
    fn in_flight(&self, listener: &'static str) -> InFlight {
        InFlight::shown(self.config.limits.bytes_in_flight_max.bytes(), self.metrics.in_flight(listener))
    }

    /// Makes the control socket as soon as the disk takes one.
    fn listen_later(&self, path: PathBuf, router: Router) -> JoinHandle<()> {
        let (data_dir, stop) = (self.config.data_dir.clone(), self.running.stop.clone());
        let options = Options::new(CONTROL, &self.config.limits, Arc::clone(self.metrics));
        tokio::spawn(async move {
            let listener = loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(CONTROL_AGAIN) => {}
                }
                if let Ok(listener) = bind_control(&data_dir, &path) {
                    break listener;
                }
            };
            server::serve(Listener::Unix(listener), router, options, stop).await;
        })
    }

    /// What the platform reaches.
    fn soap_router(&self) -> Router {
        let limits = &self.config.limits;
        let public = self.config.listen.soap_public_url.as_deref();
        let component = wsiotramite::router(Wsiotramite {
            exchange: self.exchange.clone(),
            intake: Intake::new(limits, limits.envelope_max().bytes(), self.in_flight(SOAP)).with_requests(limits),
            metrics: Arc::clone(self.metrics),
            public_url: public.map(|url| url.trim_end_matches('/').into()),
        });
        component.merge(annexes::router(Annexes::new(self.exchange.clone(), &self.config.anexos)))
    }

    /// What the SGD and people reach.
    fn api_router(&self, in_flight: InFlight) -> Router {
        let told = Told { webhooks: self.webhooks, tablas: self.tablas };
        api_router(self.config, self.exchange, self.audit, self.metrics, &told, in_flight, self.running)
    }
}

impl Shared<'_> {
    /// The pages for people, beside the API.
    fn console_router(&self, in_flight: InFlight) -> Router {
        let config = self.config;
        let (exchange, audit) = (self.exchange.clone(), Arc::clone(self.audit));
        let console = Console::new(exchange, audit, config.data_dir.clone(), self.running.stop.clone());
        console::router(console, Intake::new(&config.limits, config.limits.request_max().bytes(), in_flight))
    }
}

/// The entities' systems that are told what happens, other than by asking.
pub struct Told<'a> {
    pub webhooks: &'a Webhooks,
    pub tablas: &'a Tablas,
}

/// What the API has of the daemon that runs it.
pub struct Running {
    pub stop: CancellationToken,
    pub rates: Rates,
    /// `None` where no daemon runs.
    pub reload: Option<Arc<dyn Reload>>,
}

/// The REST API over `exchange`; also run without any listener, for a command on a daemon that is stopped.
pub fn api_router(
    config: &Config,
    exchange: &Exchange,
    audit: &Arc<Log>,
    metrics: &Arc<Metrics>,
    told: &Told<'_>,
    in_flight: InFlight,
    running: &Running,
) -> Router {
    let api = Api {
        exchange: exchange.clone(),
        audit: Arc::clone(audit),
        metrics: Arc::clone(metrics),
        webhooks: told.webhooks.clone(),
        tablas: told.tablas.clone(),
        fetching: Fetching::new(&config.anexos),
        json_bytes_max: config.limits.json_max.in_memory(),
        checks: Arc::new([ready::disk(config.data_dir.clone(), Arc::clone(exchange.store()))]),
        rates: running.rates.clone(),
        reload: running.reload.clone(),
        streams: Streams::default(),
        stop: running.stop.clone(),
    };
    let intake = Intake::new(&config.limits, config.limits.request_max().bytes(), in_flight);
    match Bridge::from_config(config, api.clone()) {
        Some(bridge) => rest::router(api, intake.clone()).merge(bridge::router(bridge, intake)),
        None => rest::router(api, intake),
    }
}

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

/// Puts on record what serves from now on. That a full disk does not take it stops nothing: the next start tells it.
async fn tell_configuration(config: &Config, exchange: &Exchange) {
    // Secrets are written as asterisks.
    let told = match serde_json::to_vec(config) {
        Ok(text) => {
            let digest = Sha256::from_digest(digest::digest(&digest::SHA256, &text).as_ref());
            let program = concat!("chasqui ", env!("CARGO_PKG_VERSION"));
            exchange.configuracion(&digest, program).await.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = told {
        tracing::warn!(error, "the configuration in force could not be recorded");
    }
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
    let settings = Settings {
        ambiente: config.environment,
        entidades: config.entities(),
        rigor: config.reception.validation,
        calendario: config.calendar(),
        document_bytes_max: config.limits.document_max.bytes(),
        retry: overrides.retry.unwrap_or_else(|| retry(config)),
    };
    let clock = overrides.clock.unwrap_or_else(|| Arc::new(SystemClock));
    let ids = overrides.ids.unwrap_or_else(|| Arc::new(SystemIds));
    let sellador = identities::timestamper(config).transpose().map_err(StartError::Signing)?;
    let emisores = Emisores {
        por_ruc: identities::issuers(config).map_err(StartError::Signing)?,
        sellador: sellador.map(|client| client as Arc<dyn Timestamper>),
    };
    // The watch looks at the lists again at once, and tells what is wrong with them.
    let (trust, _) = anchors::known(config, clock.now()).map_err(StartError::Trust)?;
    let demands = config.demands().into_iter().map(|(ruc, firmas)| {
        let config::Firmas { salida, cargo } = firmas;
        (ruc, Demands { salida, cargo })
    });
    let asked = Revocation::new(config, Arc::clone(&clock)).transpose().map_err(StartError::Trust)?;
    let asked = asked.map(|shared| Arc::new(move || Arc::clone(&shared).for_document()) as examine::Revocation);
    let examiner = Examiner::new(trust, demands.collect()).with_revocation(asked);
    let config::Retention { despachos, recepciones, every } = config.retention.clone();
    let politica = Politica { despachos, recepciones, cada: every };
    let exchange = Exchange::new(store, platform, clock, ids, settings).with_retention(politica);
    let exchange = exchange.with_anexos(config.listen.soap_public_url.as_deref());
    Ok(exchange.with_emisores(emisores).with_examiner(examiner).with_rules(config.rules()))
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
        let store = &config.store;
        let url = store.url.as_ref().map_or("", Secret::reveal).to_owned();
        let connections = usize::try_from(store.connections).unwrap_or(usize::MAX);
        let options = postgres::Options { url, ca_file: store.ca_file.clone(), data_dir: dir, connections };
        return Ok(PostgresStore::open(options).await?);
    }
    let mut options = embedded::Options::new(clock.now());
    options.segment_bytes = failpoint::size("CHASQUI_SEGMENT_BYTES", options.segment_bytes);
    options.pack_bytes = failpoint::size("CHASQUI_PACK_BYTES", options.pack_bytes);
    options.progress = Some(Arc::new(replaying));
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, options)).await;
    Ok(opened.map_err(|_| StoreError::Closed)??)
}

fn replaying(reading: Reading) {
    if reading.bytes_total == 0 {
        return;
    }
    let percent = reading.bytes.saturating_mul(100) / reading.bytes_total.max(1);
    tracing::info!(entries = reading.entries, percent, "reading the journal to rebuild the index");
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Bind { key, address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The control socket, for the owner of the data alone from its first moment: it is made in a closed folder and moved.
/// One that a daemon left behind is replaced; the store's lock says that none is running.
fn bind_control(data_dir: &Path, path: &Path) -> io::Result<UnixListener> {
    let closed = tempfile::Builder::new().prefix(".control-").tempdir_in(data_dir)?;
    let made = closed.path().join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    Ok(listener)
}

#[cfg(test)]
pub(super) mod tests;
