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
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{API, CONTROL, CONTROL_AGAIN, SOAP, StartError};
use crate::{
    audit::Log,
    cli::{networks::Reachable, ready, tls::Secure},
    config::Config,
    console::{self, Console},
    exchange::Exchange,
    http::{
        limits::{InFlight, Intake},
        rates::Rates,
        server::{self, Listener, Options},
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

/// What the listeners are made of.
pub(super) struct Shared<'a> {
    pub(super) config: &'a Config,
    pub(super) exchange: &'a Exchange,
    pub(super) audit: &'a Arc<Log>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) webhooks: &'a Webhooks,
    pub(super) tablas: &'a Tablas,
    pub(super) running: &'a Running,
    pub(super) secure: &'a Secure,
    pub(super) networks: &'a Reachable,
}

impl Shared<'_> {
    pub(super) fn listen(&self, name: &'static str, listener: Listener, router: Router) -> JoinHandle<()> {
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
    pub(super) fn in_flight(&self, listener: &'static str) -> InFlight {
        InFlight::shown(self.config.limits.bytes_in_flight_max.bytes(), self.metrics.in_flight(listener))
    }

    /// Makes the control socket as soon as the disk takes one.
    pub(super) fn listen_later(&self, path: PathBuf, router: Router) -> JoinHandle<()> {
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
    pub(super) fn soap_router(&self) -> Router {
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
    pub(super) fn api_router(&self, in_flight: InFlight) -> Router {
        let told = Told { webhooks: self.webhooks, tablas: self.tablas };
        api_router(self.config, self.exchange, self.audit, self.metrics, &told, in_flight, self.running)
    }
}

impl Shared<'_> {
    /// The pages for people, beside the API.
    pub(super) fn console_router(&self, in_flight: InFlight) -> Router {
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
