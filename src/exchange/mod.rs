//! The use cases: receive, dispatch, acknowledge, query, and the worker that keeps at it until each exchange has ended.
//!
//! Owns the ports it needs from the edges ([`Platform`], [`Clock`], [`Ids`]), so every use case runs in a test with a
//! simulated platform, a still clock and a store in a temporary folder. Knows nothing of XML, HTTP or JSON.
//!
//! What holds here: nothing is answered before it is committed; nothing is sent twice without a clear "not found" in
//! between (CONTRACT §7); a state changes only through the domain's transition functions.

mod acknowledge;
mod administration;
pub mod anexos;
mod api_keys;
mod ask;
mod collect;
mod correct;
mod deliver;
mod directory;
mod dispatch;
mod events;
pub mod examine;
pub mod health;
mod holds;
mod importing;
mod issue;
pub mod listing;
mod live;
pub mod maintenance;
pub mod notices;
mod query;
mod queue;
mod receive;
pub mod reconcile;
mod renewal;
pub mod retention;
mod retry;
mod send;
mod sobres;
pub mod statistics;
mod step;
mod texts;
pub mod usuarios;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::RwLock;

pub use acknowledge::NuevaRespuesta;
pub use administration::Rechazo;
pub use api_keys::NuevaClave;
pub use dispatch::{DESTINOS_MAX, Documentacion, Idempotency, NuevoDespacho};
pub use events::{ALERTA, CERTIFICADO_POR_VENCER, RECEPCION_IMPORTADA, RECEPCION_RECIBIDA};
pub use importing::{DespachoAnterior, FinAnterior, RecepcionAnterior, RespuestaAnterior};
pub use issue::{Emisor, Emisores};
pub use live::Live;
pub use query::ConsultaRespondida;
pub use queue::{Camino, Situacion, Trabajo};
pub use renewal::Renewed;
pub use retry::RetryPolicy;
pub use sobres::{Sobres, Testigo};
pub use texts::TextoListado;
pub use worker::Worker;

use examine::Examiner;
use health::Health;
use maintenance::Mantenimiento;
use texts::Texts;

use crate::{
    domain::{
        Ambiente, CargoTramite, Categoria, Consulta, Cuo, Entidad, EntidadPropia, Falla, Id, Ruc, Tramite,
        calendario::Calendario,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
        recepcion::RecepcionError,
        respuestas::Regla,
        validation::{Defecto, Rigor},
    },
    soap::sink::DocumentSink,
    store::{BlobReader, BlobWriter, CommitError, SharedStore, StoreError},
};

/// The national platform, as the use cases need it. Each call is one attempt with its own time limit; retrying is the
/// worker's affair. A call leaves in `sobres` what was on the wire, also where it fails.
#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// A new CUO for a document of `entidad`.
    async fn cuo(&self, entidad: &Ruc) -> Result<Cuo, PlatformError>;
    async fn recepcionar(
        &self,
        tramite: &Tramite,
        documento: BlobReader,
        sobres: &mut Sobres,
    ) -> Result<Respuesta, PlatformError>;
    async fn cargo(
        &self,
        cargo: &CargoTramite,
        documento: BlobReader,
        sobres: &mut Sobres,
    ) -> Result<Respuesta, PlatformError>;
    /// Asks the receiver for a document's state; a cargo in the answer goes to `sink` as it arrives.
    async fn consultar(
        &self,
        consulta: &Consulta,
        sink: &mut dyn DocumentSink,
        sobres: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError>;
    async fn validar_entidad(&self, ruc: &Ruc) -> Result<bool, PlatformError>;
    async fn entidades(&self, categoria: Categoria) -> Result<Vec<Entidad>, PlatformError>;
    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError>;
}

/// Why a call to the platform gave no answer that can be read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detalle}")]
pub struct PlatformError {
    /// Which kind of failure: [`Falla::SinConexion`] says that no byte of the request left; after any other it may have
    /// arrived.
    pub falla: Falla,
    /// What happened, in Spanish, for a person.
    pub detalle: String,
    /// What the platform asked to wait.
    pub retry_after: Option<Duration>,
}

impl PlatformError {
    pub fn new(falla: Falla, detalle: impl Into<String>) -> Self {
        Self { falla, detalle: detalle.into(), retry_after: None }
    }

    /// Whether the request may have reached the platform.
    pub fn pudo_llegar(&self) -> bool {
        self.falla != Falla::SinConexion
    }
}

/// The time, passed in so that a test decides it.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    /// Time since some moment, which nobody sets: what must not end early or late when the clock is set, lasts by this.
    fn uptime(&self) -> Duration {
        Duration::try_from(self.now().as_duration()).unwrap_or_default()
    }
}

/// Ids and chance, passed in so that a test decides them.
pub trait Ids: Send + Sync + 'static {
    /// A UUIDv7 at `now`.
    fn id(&self, now: Timestamp) -> Id;
    /// A number evenly spread over 0 ≤ x < 1.
    fn chance(&self) -> f64;
    /// 32 bytes nobody can guess.
    fn secret(&self) -> [u8; 32];
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that reads it
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn uptime(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// Ids from the system's random source.
pub struct SystemIds;

impl SystemIds {
    fn random<const N: usize>() -> [u8; N] {
        let mut bytes = [0; N];
        // The kernel's source fails only before it is seeded, at boot; there is no safe way to go on without it.
        #[allow(clippy::expect_used)]
        getrandom::fill(&mut bytes).expect("the system's random source");
        bytes
    }
}

impl Ids for SystemIds {
    fn id(&self, now: Timestamp) -> Id {
        let ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &Self::random()).into_uuid()
    }

    fn chance(&self) -> f64 {
        f64::from(u32::from_be_bytes(Self::random())) / (f64::from(u32::MAX) + 1.0)
    }

    fn secret(&self) -> [u8; 32] {
        Self::random()
    }
}

/// What the configuration says to the use cases.
#[derive(Debug, Clone)]
pub struct Settings {
    pub ambiente: Ambiente,
    pub entidades: Vec<EntidadPropia>,
    pub rigor: Rigor,
    pub calendario: Calendario,
    /// Largest PDF taken, in bytes, decoded.
    pub document_bytes_max: u64,
    pub retry: RetryPolicy,
}

/// Who asks: goes into the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub String);

impl Actor {
    pub fn pide() -> Self {
        Self("pide".into())
    }

    pub fn chasqui() -> Self {
        Self("chasqui".into())
    }

    /// Somebody at the machine itself: the command line.
    pub fn local() -> Self {
        Self("local".into())
    }

    pub fn clave(id: Id) -> Self {
        Self(format!("clave:{id}"))
    }

    /// A person of the console.
    pub fn usuario(id: Id) -> Self {
        Self(format!("usuario:{id}"))
    }
}

/// Why a use case was refused. What the platform hears is decided in [`receive`] and [`collect`]; this is for the SGD and
/// the command line.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Fields that the specification refuses; nothing was stored.
    #[error("{} campo(s) no cumplen la especificación", .0.len())]
    Defectos(Vec<Defecto>),
    /// The signatures of the PDF are not what the entity demands: why, in sentences.
    #[error("{0}")]
    Firmas(String),
    /// A despacho with this number of registration for this destination exists: `id`.
    #[error("ya existe un despacho con ese número de registro para ese destino")]
    Duplicado { id: Id },
    /// The key was used for another request.
    #[error("esa Idempotency-Key ya se usó para otra petición")]
    IdempotencyReused,
    #[error("no existe")]
    NoExiste,
    /// The work was there and is not any more: what became of it.
    #[error("{0}")]
    Terminado(String),
    /// The record's state does not allow it.
    #[error("{0}")]
    Estado(String),
    /// A correction of this document is under way already: `id`.
    #[error("ya hay una subsanación en curso de ese documento")]
    SubsanacionEnCurso { id: Id },
    /// The observed document was corrected already, by the despacho `id`.
    #[error("ese documento ya fue subsanado")]
    YaSubsanado { id: Id },
    /// Nothing new is taken in for a while.
    #[error("{}", .0.aviso())]
    Mantenimiento(Mantenimiento),
    /// The entity is not one this daemon serves.
    #[error("la entidad {0} no está configurada en este servicio")]
    EntidadAjena(Ruc),
    /// A cargo was to be made here and could not.
    #[error("{0}")]
    SinCargo(String),
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RecepcionError> for ExchangeError {
    fn from(error: RecepcionError) -> Self {
        Self::Estado(error.to_string())
    }
}

impl From<CommitError> for ExchangeError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::Store(error),
            other => Self::Estado(other.to_string()),
        }
    }
}

/// How often a use case that lost a race against another writer decides again.
const RACES_MAX: usize = 8;

/// The use cases over a store and a platform. Cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    store: SharedStore,
    platform: Arc<dyn Platform>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: Live<Settings>,
    health: Arc<Health>,
    examiner: Examiner,
    /// Held to read while what became of an attempt is committed, to write while a person decides about a job: so that the
    /// end of an attempt never undoes a decision taken while it was under way.
    deciding: Arc<RwLock<()>>,
    /// When this process began to work on the store: what was being sent before has ended since.
    started: Timestamp,
    emisores: Live<Emisores>,
    /// Scheme and host under which annexes are downloaded.
    anexos_base: Option<Arc<str>>,
    texts: Arc<Texts>,
    refusals: Arc<administration::Refusals>,
    maintenance: Live<Option<Mantenimiento>>,
    retention: Arc<retention::Politica>,
    /// Held while exchanges are purged.
    purging: Arc<tokio::sync::Mutex<()>>,
}

impl Exchange {
    pub fn new(
        store: SharedStore,
        platform: Arc<dyn Platform>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: Settings,
    ) -> Self {
        let health = Arc::new(Health::new(settings.retry.breaker.clone()));
        let started = clock.now();
        Self {
            store,
            platform,
            clock,
            ids,
            settings: Live::new(settings),
            health,
            examiner: Examiner::default(),
            deciding: Arc::default(),
            started,
            emisores: Live::default(),
            anexos_base: None,
            texts: Arc::default(),
            refusals: Arc::default(),
            maintenance: Live::default(),
            retention: Arc::default(),
            purging: Arc::default(),
        }
    }

    /// With other anchors and demands than none.
    #[must_use]
    pub fn with_examiner(self, examiner: Examiner) -> Self {
        Self { examiner, ..self }
    }

    /// With rules on what texts of other sides mean.
    #[must_use]
    pub fn with_rules(self, reglas: Vec<Regla>) -> Self {
        Self { texts: Arc::new(Texts::new(reglas)), ..self }
    }

    /// For reading: lists, records, documents. Changes go through the use cases.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// As the configuration has them now: a reload replaces them.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.get()
    }

    /// How each counterpart and the platform are doing.
    pub fn health(&self) -> &Health {
        &self.health
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Time since some moment, which nobody sets.
    pub fn uptime(&self) -> Duration {
        self.clock.uptime()
    }

    /// Bytes nobody can guess.
    pub fn secret(&self) -> [u8; 32] {
        self.ids.secret()
    }

    /// Starts taking in a PDF, limited to the configured size.
    pub fn stage(&self) -> BlobWriter {
        self.store.stage(self.settings().document_bytes_max)
    }

    /// The entity of ours with this RUC.
    pub fn propia(&self, ruc: &Ruc) -> Option<EntidadPropia> {
        self.settings().entidades.iter().find(|e| e.ruc == *ruc).cloned()
    }

    /// A number evenly spread over 0 ≤ x < 1, for waits that must not end all at once.
    pub fn chance(&self) -> f64 {
        self.ids.chance()
    }

    fn id(&self, now: Timestamp) -> Id {
        self.ids.id(now)
    }
}
