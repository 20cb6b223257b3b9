//! The listeners of a daemon, and the routers behind them.

use std::{
    fs::Permissions,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{API, CONTROL, CONTROL_AGAIN, Origins, SOAP, StartError};
use crate::{
    audit::Log,
    cli::{networks::Reachable, ready, tls::Secure},
    config::{self, Config},
    console::{self, Console},
    exchange::Exchange,
    http::{
        limits::{InFlight, Intake},
        places::Places,
        rates::Rates,
        server::{self, Listener, Options, Served},
    },
    sgd::{
        annexes::{self, Annexes, fetch::Fetching},
        bridge::{self, Bridge},
        rest::{self, Api, Reload, Streams},
        tables::Tablas,
        webhook::Webhooks,
    },
    telemetry::Metrics,
    wsiotramite::{self, Wsiotramite},
};

/// The listeners of a running daemon, and what they are made of: what they serve is made anew when the configuration changes,
/// and what must outlive that (sessions, places that are taken, bytes under way) is kept here.
pub struct Listening {
    exchange: Exchange,
    audit: Arc<Log>,
    metrics: Arc<Metrics>,
    tablas: Tablas,
    running: Running,
    secure: Secure,
    networks: Reachable,
    origins: Origins,
    console: Console,
    annexes: Annexes,
    /// SOAP requests under way.
    requests: Places,
    /// Room for the bodies that one side sends: what the platform floods us with is not taken from the SGD.
    outside: InFlight,
    inside: InFlight,
    /// Under the names of the listeners.
    served: [(&'static str, watch::Sender<Served>); 3],
}

/// What [`Listening`] is made of.
pub(super) struct Shared<'a> {
    pub config: &'a Config,
    pub exchange: Exchange,
    pub audit: Arc<Log>,
    pub metrics: Arc<Metrics>,
    pub webhooks: &'a Webhooks,
    pub tablas: Tablas,
    pub running: Running,
    pub secure: Secure,
    pub networks: Reachable,
    pub origins: Origins,
}

impl Listening {
    /// Nothing is served yet: see [`Listening::listen`].
    pub(super) fn new(shared: Shared<'_>) -> Self {
        let Shared { config, exchange, audit, metrics, webhooks, tablas, running, secure, networks, origins } = shared;
        let bytes_max = config.limits.bytes_in_flight_max.bytes();
        let console = Console::new(exchange.clone(), Arc::clone(&audit), config.data_dir.clone(), running.stop.clone());
        let nothing = |name| {
            let options = Options::new(name, &config.limits, Arc::clone(&metrics));
            (name, watch::channel(Served { router: Router::new(), options }).0)
        };
        let this = Self {
            served: [SOAP, API, CONTROL].map(nothing),
            annexes: Annexes::new(exchange.clone(), &config.anexos),
            requests: Places::new(0, 0),
            outside: InFlight::shown(bytes_max, metrics.in_flight(SOAP)),
            inside: InFlight::shown(bytes_max, metrics.in_flight(API)),
            exchange,
            audit,
            metrics,
            tablas,
            running,
            secure,
            networks,
            origins,
            console,
        };
        this.serve(config, webhooks);
        this
    }

    /// Serves this from the next request on, also on connections that are open.
    pub fn serve(&self, config: &Config, webhooks: &Webhooks) {
        for (name, served) in &self.served {
            let router = match *name {
                SOAP => self.soap_router(config),
                API => self
                    .api_router(config, webhooks)
                    .merge(self.console_router(config))
                    .layer(axum::middleware::from_fn(console::lost)),
                _ => self.api_router(config, webhooks),
            };
            served.send_replace(Served { router, options: self.options(name, config) });
        }
    }

    fn options(&self, name: &'static str, config: &Config) -> Options {
        let mut options = Options::new(name, &config.limits, Arc::clone(&self.metrics));
        if name == SOAP {
            options.on_panic = wsiotramite::on_panic;
            options.on_overload = wsiotramite::on_overload;
            options.on_stranger = wsiotramite::on_stranger;
        }
        if name != CONTROL {
            options.networks = self.networks.of(name);
        }
        options.tls = match name {
            SOAP => self.secure.soap.clone(),
            API => self.secure.api.clone(),
            _ => None,
        };
        options
    }

    fn of(&self, name: &str) -> watch::Receiver<Served> {
        let [(_, soap), (_, api), (_, control)] = &self.served;
        match name {
            SOAP => soap.subscribe(),
            API => api.subscribe(),
            _ => control.subscribe(),
        }
    }

    pub(super) fn listen(&self, name: &'static str, listener: Listener) -> JoinHandle<()> {
        tokio::spawn(server::serve_current(listener, self.of(name), self.running.stop.clone()))
    }

    /// Makes the control socket as soon as the disk takes one.
    pub(super) fn listen_later(&self, data_dir: PathBuf, path: PathBuf) -> JoinHandle<()> {
        let (served, stop) = (self.of(CONTROL), self.running.stop.clone());
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
            server::serve_current(Listener::Unix(listener), served, stop).await;
        })
    }

    /// What the platform reaches.
    fn soap_router(&self, config: &Config) -> Router {
        let limits = &config.limits;
        let public = config.listen.soap_public_url.as_deref();
        let intake = Intake::new(limits, limits.envelope_max().bytes(), self.outside.clone());
        let component = wsiotramite::router(Wsiotramite {
            exchange: self.exchange.clone(),
            intake: intake.with_places(self.requests.clone(), limits),
            metrics: Arc::clone(&self.metrics),
            public_url: public.map(|url| url.trim_end_matches('/').into()),
        });
        component.merge(annexes::router(self.annexes.renewed(&config.anexos)))
    }

    /// What the SGD and people reach.
    fn api_router(&self, config: &Config, webhooks: &Webhooks) -> Router {
        let told = Told { webhooks, tablas: &self.tablas };
        let inside = self.inside.clone();
        api_router(config, &self.exchange, &self.audit, &self.metrics, &told, inside, &self.running)
    }

    /// The pages for people, beside the API.
    fn console_router(&self, config: &Config) -> Router {
        let intake = Intake::new(&config.limits, config.limits.request_max().bytes(), self.inside.clone());
        let settings = config::effective(config, &self.origins.0, &self.origins.1);
        console::router(self.console.clone().with_settings(settings), intake)
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
    /// Callers that follow the feed.
    pub streams: Streams,
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
        streams: running.streams.clone(),
        stop: running.stop.clone(),
    };
    let intake = Intake::new(&config.limits, config.limits.request_max().bytes(), in_flight);
    match Bridge::from_config(config, api.clone()) {
        Some(bridge) => rest::router(api, intake.clone()).merge(bridge::router(bridge, intake)),
        None => rest::router(api, intake),
    }
}

pub(super) async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Bind { key, address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The control socket, for the owner of the data alone from its first moment: it is made in a closed folder and moved.
/// One that a daemon left behind is replaced; the store's lock says that none is running.
pub(super) fn bind_control(data_dir: &Path, path: &Path) -> io::Result<UnixListener> {
    let closed = tempfile::Builder::new().prefix(".control-").tempdir_in(data_dir)?;
    let made = closed.path().join("s");
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    std::fs::rename(&made, path)?;
    Ok(listener)
}
