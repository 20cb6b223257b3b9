//! A national platform on loopback, with the same contracts as the real one: CUOs, a directory, relaying to registered
//! entities, and counterparts that answer by themselves. For `demo`, for tests, and for teams without access.
//!
//! Keeps nothing on disk but documents on their way. Uses the client of `platform` and the HTTP binding of `wsiotramite`;
//! knows nothing of `exchange` but its ports, nor of the store but its staging.

mod conduct;
pub mod counterpart;
mod directory;
pub mod faults;
mod identity;
mod ledger;
pub mod log;
mod manual;
mod page;
pub mod pdf;
mod registry;
mod relay;
mod request;
pub mod send;
mod services;
mod spool;
#[cfg(test)]
mod tests;
mod traffic;
mod twin;
pub mod web;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use counterpart::Comportamiento;
use faults::{Count, Faults, Script};
pub use log::Mensaje;
pub use send::{Enviado, EnviarError, Envio};

use crate::{
    config::{self, PideUrls, causes::in_spanish},
    domain::{Categoria, Cuo, Entidad, Ruc},
    exchange::{Clock, SystemClock},
    http::{
        limits::{InFlight, Intake},
        server::{self, Listener},
    },
    platform::{ClientError, SoapClient, Timeouts, client},
    telemetry::Metrics,
    wsiotramite,
};

/// What a simulator is started with.
#[derive(Clone)]
pub struct Options {
    pub listen: SocketAddr,
    /// Of what it takes in and how it serves; the largest document among them.
    pub limits: config::Limits,
    /// How long an entity's service may take.
    pub timeouts: Timeouts,
    /// How long the counterparts take to answer.
    pub demora_cargo: Duration,
    pub clock: Arc<dyn Clock>,
    /// What goes wrong from the start; another script may be given while it runs.
    pub faults: Script,
}

impl Default for Options {
    /// On a free port of loopback.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            limits: config::Limits::default(),
            timeouts: Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(60) },
            demora_cargo: Duration::from_secs(2),
            clock: Arc::new(SystemClock),
            faults: Script::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error("el simulador no puede escuchar en {address}: {}; elija otra con --listen o simulator.listen", in_spanish(.source))]
    Listen { address: SocketAddr, source: io::Error },
    #[error("el simulador no puede crear su carpeta temporal: {}", in_spanish(.0))]
    Folder(#[source] io::Error),
    #[error("el simulador no puede hacer las claves con que firma: {0}")]
    Identity(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("«{0}» no es una entidad: {1}")]
    Entidad(String, String),
    #[error(
        "[[contraparte]]: el RUC {0} no está en el directorio del simulador; solo sus entidades pueden hacer un papel"
    )]
    Contraparte(Ruc),
}

/// A running simulator. Dropped without [`Simulator::shutdown`], it ends with its runtime.
pub struct Simulator {
    core: Arc<relay::Core>,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Simulator {
    /// Serves as soon as it returns.
    pub async fn start(options: Options) -> Result<Self, SimulatorError> {
        let listen = |source| SimulatorError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let stop = CancellationToken::new();
        let document_bytes_max = options.limits.document_max.bytes();
        let authority = identity::Authority::new(options.clock.now());
        let authority = Arc::new(authority.map_err(|error| SimulatorError::Identity(error.to_string()))?);
        let core = Arc::new(relay::Core {
            registry: registry::Registry::new(),
            counterparts: counterpart::Counterparts::signing(Arc::clone(&authority)),
            authority,
            faults: Faults::new(Script::default(), seed()),
            log: log::Log::default(),
            traffic: traffic::Traffic::default(),
            rounds: std::sync::Mutex::new(stop.child_token()),
            ledger: ledger::Ledger::default(),
            spool: spool::Spool::new(document_bytes_max).map_err(SimulatorError::Folder)?,
            client: client_for(options.timeouts)?,
            clock: options.clock,
            demora_cargo: options.demora_cargo,
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        core.play(options.faults)?;
        let metrics = Arc::new(Metrics::default());
        let in_flight = InFlight::new(options.limits.bytes_in_flight_max.bytes());
        let intake = Intake::new(&options.limits, options.limits.envelope_max().bytes(), in_flight);
        let services = services::Services { core: Arc::clone(&core), intake, metrics: Arc::clone(&metrics) };
        let router = services::router(services.clone())
            .merge(twin::router(services))
            .merge(web::router(Arc::clone(&core)))
            .merge(page::router(Arc::clone(&core)))
            .fallback(wsiotramite::binding::no_route)
            .method_not_allowed_fallback(wsiotramite::binding::no_method);
        let mut http = server::Options::new("simulator", &options.limits, metrics);
        http.on_panic = wsiotramite::on_panic;
        let server = tokio::spawn(server::serve(Listener::Tcp(listener), router, http, stop.clone()));
        Ok(Self { core, address, stop, server })
    }

    /// The certificate above those with which its counterparts sign, in PEM; also at `/simulador/raiz.pem`.
    pub fn root(&self) -> Vec<u8> {
        self.core.authority.root()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `[pide]` has to say to reach it.
    pub fn urls(&self) -> PideUrls {
        let url = |path| format!("http://{}{path}", self.address);
        PideUrls { tramite: url(services::TRAMITE), entidad: url(services::ENTIDAD), cuo: url(services::CUO) }
    }

    /// Registers an entity whose `wsiotramite` is at `url`, or gives a registered one another address.
    pub fn register(&self, ruc: &Ruc, nombre: &str, url: &str) -> Result<(), SimulatorError> {
        let wrong = |why: String| SimulatorError::Entidad(ruc.to_string(), why);
        let categoria = Categoria::try_from(web::CATEGORIA).map_err(|error| wrong(error.to_string()))?;
        let entidad = Entidad { ruc: ruc.clone(), nombre: nombre.to_owned(), categoria };
        self.core.registry.register(entidad, client::parse_url(url)?).map_err(|full| wrong(full.to_string()))
    }

    /// A counterpart sends a document through the platform.
    pub async fn enviar(&self, envio: &Envio) -> Result<Enviado, EnviarError> {
        self.core.enviar(envio).await
    }

    /// What goes wrong, with the seed that chance is drawn from.
    pub fn faults(&self) -> (Script, Vec<Count>) {
        self.core.faults.now()
    }

    /// What passed under a CUO, oldest first.
    pub fn mensajes(&self, cuo: &Cuo) -> Vec<Mensaje> {
        self.core.log.of(cuo.as_str())
    }

    /// Takes no more requests and returns when those under way have ended.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.core.tasks.close();
        self.server.await.ok();
        self.core.tasks.wait().await;
    }
}

impl relay::Core {
    /// Takes a script: its faults and the parts of the counterparts. One with an unknown counterpart changes no fault.
    fn play(self: &Arc<Self>, script: Script) -> Result<(), SimulatorError> {
        if let Some(ruc) = self.registry.play(&script.contrapartes).into_iter().next() {
            return Err(SimulatorError::Contraparte(ruc));
        }
        self.send_regularly(&script.contrapartes);
        self.faults.replace(script, seed());
        Ok(())
    }
}

/// A seed nobody chose.
fn seed() -> u64 {
    // Small enough to be copied by hand and to be exact in JSON.
    getrandom::u32().map_or(1, u64::from)
}

/// Entities may be behind https; where the machine has no certificates at all, those behind http can still be reached.
fn client_for(timeouts: Timeouts) -> Result<SoapClient, ClientError> {
    SoapClient::new(timeouts, true).or_else(|error| {
        tracing::warn!(%error, "services behind https cannot be reached from here");
        SoapClient::new(timeouts, false)
    })
}
