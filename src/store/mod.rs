//! What is durable. The trait [`Store`] speaks in the terms of the use cases; every implementation keeps the same
//! promises and passes the same suite:
//!
//! - A commit is all or nothing, and durable when it returns: it and its documents survive `kill -9` and a power cut.
//! - Writers don't overwrite each other: a record is committed with the version after the one that was read, else
//!   [`CommitError::Stale`]; what must be unique is claimed in the same commit, else [`CommitError::Exists`]. Only a number of
//!   registration goes over to another record: in the commit in which its owner gives it up.
//! - Facts get their place in one order, without gaps, in which every reader sees them.
//! - What an exchange loses when it is purged is named by its own record in the same commit, before any byte goes; a change
//!   that purges what another exchange names, what has jobs, or what changed since it was read is [`CommitError::Stale`].
//! - A document is found by its SHA-256, is stored once, and its bytes are checked when it is read to its end.
//!
//! May use `domain` and floor 1; knows nothing of protocols, use cases or configuration files.

pub mod blobs;
pub mod embedded;
mod encoding;
mod latest;
pub mod moving;
pub mod postgres;
mod queue;
pub mod record;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod suite;
pub mod tally;
mod validation;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use blobs::{BlobReader, BlobWriter, Staged, StagedBody};
pub use record::{
    ApiKey, AvisoVigente, Avisos, Directorio, EstadoWebhook, Fact, FactAt, Idempotencia, Job, JobKind, PausaWebhook,
    Record, Retenido, Rol, TextosVistos, Usuario,
};

use tally::{Line, Lines};

use crate::{
    config::causes::in_spanish,
    domain::{Cuo, Despacho, EstadoDespacho, EstadoRecepcion, Id, Recepcion, Ruc, Sha256},
};

/// The place of an entry in the journal, from 1, without gaps.
pub type Seq = u64;

/// Everything one use case decides, committed whole or not at all.
#[derive(Debug, Default)]
pub struct Change {
    /// What happened, for the history, the feed and the audit log; at most 255. Empty only where nothing but jobs or
    /// bookkeeping ([`Record::is_bookkeeping`]) change.
    pub facts: Vec<Fact>,
    /// Full new values; a record's `version` is 1 if it is new, else one more than the version read.
    pub records: Vec<Record>,
    /// Jobs to add or to replace, by id.
    pub jobs: Vec<Job>,
    /// Jobs that are done with.
    pub jobs_done: Vec<Id>,
    /// Documents that `records` name and that may not be in the store yet.
    pub documents: Vec<Staged>,
}

impl From<Job> for Change {
    /// A job added or replaced, and nothing else.
    fn from(job: Job) -> Self {
        Self { jobs: vec![job], ..Self::default() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or read-only: nothing was stored; new work must be refused until space returns.
    #[error("no se puede escribir en el almacén: {0}")]
    Unwritable(String),
    /// The index failed, and why: it is built anew from the journal, and meanwhile little can be read and nothing stored.
    #[error("el índice del almacén falló y se está reconstruyendo con el diario; nada de lo guardado se perdió ({0})")]
    Index(String),
    /// Something stored does not read back as it was written. Names the place.
    #[error("el almacén está dañado en {place}: {what}")]
    Damaged { place: String, what: String },
    #[error("el documento {0} no está en el almacén")]
    NoDocument(Sha256),
    /// It was there and was purged: the certificate stands in that entry.
    #[error("el documento {sha256} fue borrado al vencer su plazo de conservación (certificado en el asiento {seq})")]
    Purged { sha256: Sha256, seq: Seq },
    /// A document grew past the limit given to [`Store::stage`], in bytes.
    #[error("el documento supera el máximo de {0} bytes")]
    TooLarge(u64),
    /// What was here went to another store, which is the one in use now; where that is.
    #[error(
        "lo que había en este almacén se trasladó a {0}, que es el que está en uso. Use la configuración de allá; para volver a \
         este, traslade de vuelta con «chasqui store migrate»"
    )]
    Moved(String),
    /// Another process has the store open.
    #[error("el almacén {0} ya está abierto por otro proceso")]
    Locked(String),
    /// The database does not answer, or refuses. Where the end of a commit could not be learnt, the change may be stored: who
    /// repeats it finds it there.
    #[error("el almacén no está disponible: {0}. Revise el servidor y store.url")]
    Database(String),
    #[error("error del almacén: {}", in_spanish(.0))]
    Io(#[from] std::io::Error),
    #[error("el almacén se está cerrando")]
    Closed,
}

impl StoreError {
    /// Whether the disk takes nothing now: it is full or read-only; or the database.
    pub fn disk_refuses(&self) -> bool {
        match self {
            Self::Unwritable(_) | Self::Database(_) => true,
            Self::Io(error) => blobs::disk_refuses(error),
            _ => false,
        }
    }

    /// Why, without saying again that it is the store.
    pub fn cause(&self) -> String {
        match self {
            Self::Unwritable(why) | Self::Database(why) => why.clone(),
            Self::Io(error) => in_spanish(error),
            other => other.to_string(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The record changed since it was read: read it again and decide again.
    #[error("el registro {0} cambió mientras tanto")]
    Stale(Id),
    /// A key that must be unique belongs to another record, `id`.
    #[error("ya existe: {key}")]
    Exists { key: UniqueKey, id: Id },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What no two records may share. The store derives these from the records ([`Record::unique_keys`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UniqueKey {
    /// A despacho's number of registration, within its entity and for one destination: one number may go to several.
    NumeroRegistro { entidad: Ruc, numero: String, destino: Ruc },
    /// The CUO of a despacho, within its entity.
    CuoDespacho { entidad: Ruc, cuo: Cuo },
    /// An arrival: receiver, sender and CUO.
    Arrival { entidad: Ruc, remitente: Ruc, cuo: Cuo },
    /// An `Idempotency-Key`, within its entity.
    Idempotency { entidad: Ruc, key: String },
    /// The SHA-256 of an API key.
    ApiKey { hash: Sha256 },
    /// What a person signs in with.
    Usuario { cuenta: String },
}

impl UniqueKey {
    /// Its kind and a digest of its parts, whose lengths have no common bound: 33 bytes.
    pub fn digest(&self) -> Vec<u8> {
        let (kind, parts) = match self {
            Self::NumeroRegistro { entidad, numero, destino } => {
                (b'n', vec![entidad.to_string(), numero.clone(), destino.to_string()])
            }
            Self::CuoDespacho { entidad, cuo } => (b'c', vec![entidad.to_string(), cuo.clave()]),
            Self::Arrival { entidad, remitente, cuo } => {
                (b'a', vec![entidad.to_string(), remitente.to_string(), cuo.clave()])
            }
            Self::Idempotency { entidad, key } => (b'i', vec![entidad.to_string(), key.clone()]),
            Self::ApiKey { hash } => (b'k', vec![hash.to_string()]),
            Self::Usuario { cuenta } => (b'y', vec![cuenta.clone()]),
        };
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        [&[kind], digest.as_ref()].concat()
    }
}

impl std::fmt::Display for UniqueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NumeroRegistro { entidad, numero, destino } => {
                write!(f, "número de registro {numero} de {entidad} para {destino}")
            }
            Self::CuoDespacho { entidad, cuo } => write!(f, "CUO {cuo} de {entidad}"),
            Self::Arrival { entidad, remitente, cuo } => write!(f, "CUO {cuo} de {remitente} para {entidad}"),
            Self::Idempotency { key, .. } => write!(f, "Idempotency-Key {key}"),
            Self::ApiKey { .. } => f.write_str("clave de API"),
            Self::Usuario { cuenta } => write!(f, "cuenta {cuenta}"),
        }
    }
}

/// A place in the feed of facts: entry and position within it. Shown to callers as `seq.n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Cursor {
    pub seq: Seq,
    pub n: u8,
}

/// An entry as it is stored: facts and change are the same bytes in every store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    pub seq: Seq,
    /// JSON array of [`Fact`]s.
    pub facts: Vec<u8>,
    /// JSON object of records and jobs.
    pub change: Vec<u8>,
}

/// An entry of another store on its way into this one.
#[derive(Debug)]
pub struct Adopted {
    pub entry: RawEntry,
    /// Documents that it names and that may not be in the store yet.
    pub documents: Vec<Staged>,
    /// And those whose bytes are gone, because a later entry purged them.
    pub gone: Vec<Gone>,
}

/// A document that was purged, of which its size is known.
#[derive(Debug, Clone)]
pub struct Gone {
    pub sha256: Sha256,
    pub bytes: u64,
}

/// A page of a list, newest first. `next` continues it; `None` at its end.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Id>,
}

/// Which records of an entity a list shows.
#[derive(Debug, Clone)]
pub struct Listing<E> {
    pub entidad: Ruc,
    /// `None`: all states.
    pub estado: Option<E>,
    /// Continue after this id (exclusive); ids sort by creation.
    pub after: Option<Id>,
    /// Most items, at least 1.
    pub limit: usize,
}

/// Which records of an entity under one number of registration a list shows: what an SGD looks a document up by.
#[derive(Debug, Clone)]
pub struct Numbered {
    pub entidad: Ruc,
    pub numero: String,
    /// Continue after this id (exclusive).
    pub after: Option<Id>,
    /// Most items, at least 1.
    pub limit: usize,
}

/// Exchanges listed by how long they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Not purged.
    Despachos,
    /// Not purged.
    Recepciones,
    /// Under a hold.
    Held,
    /// Purged: what remains of them, with their certificates.
    Purged,
}

/// A document in the store, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub bytes: u64,
    /// Exchanges that are not purged, and other subjects of facts, that name it; at most 16.
    pub by: Vec<Id>,
}

/// Which jobs a worker can take now.
#[derive(Debug, Clone)]
pub struct Claim {
    pub now: Timestamp,
    /// By the clock that nobody sets: leases last by it.
    pub uptime: Duration,
    /// How long the worker may hold a job.
    pub lease: Duration,
    /// No job waits for longer: one whose time is further off was given it by a clock that has been set back since.
    pub wait_max: Duration,
    /// Most jobs.
    pub limit: usize,
    /// Most jobs under lease for one destination.
    pub concurrency: usize,
    /// Destinations with another limit; 0: none.
    pub exceptions: HashMap<Ruc, usize>,
    /// Destinations of which the job that was tried least is taken first, not the oldest.
    pub in_doubt: HashSet<Ruc>,
}

impl Claim {
    /// How many jobs may be under lease for a destination.
    pub fn allowed(&self, destino: &Ruc) -> usize {
        self.exceptions.get(destino).copied().unwrap_or(self.concurrency)
    }
}

/// Jobs taken, and when the next can be: `None` if nothing but the end of an attempt can change that.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub jobs: Vec<Job>,
    pub next: Option<Timestamp>,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not tried yet.
    New,
    /// It failed and is tried again.
    Waiting,
    /// Under lease.
    UnderWay,
    /// Given up.
    Dead,
}

/// How many jobs of a kind are as far, and when the oldest of them was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub kind: JobKind,
    pub stage: Stage,
    pub jobs: u64,
    pub oldest: Timestamp,
}

/// The result of [`Store::verify`]: what was read and everything that is wrong.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Verification {
    pub entries: u64,
    pub documents: u64,
    /// Bytes of journal, packs and files read.
    pub bytes: u64,
    /// Each names the place and what is wrong; empty: the store is whole.
    pub damage: Vec<String>,
    /// Of these, purged by certificate: their bytes are gone.
    pub purged: u64,
    /// Harmless remains of interrupted work.
    pub remarks: Vec<String>,
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes a change durable, whole. Concurrent commits share their syncs.
    async fn commit(&self, change: Change) -> Result<Seq, CommitError>;
    /// Takes over entries of another store as they stand, in order, and says which is the last: each must be the next of this
    /// store, else it and those after it are refused. An entry that purges comes alone. At most 256.
    async fn adopt(&self, entries: Vec<Adopted>) -> Result<Seq, CommitError>;

    async fn despacho(&self, id: Id) -> Result<Option<Despacho>, StoreError>;
    async fn despacho_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Option<Despacho>, StoreError>;
    async fn despachos(&self, listing: Listing<EstadoDespacho>) -> Result<Page<Despacho>, StoreError>;
    /// One number may go to several destinations.
    async fn despachos_by_numero(&self, numbered: Numbered) -> Result<Page<Despacho>, StoreError>;

    async fn recepcion(&self, id: Id) -> Result<Option<Recepcion>, StoreError>;
    async fn recepcion_by_arrival(
        &self,
        entidad: &Ruc,
        remitente: &Ruc,
        cuo: &Cuo,
    ) -> Result<Option<Recepcion>, StoreError>;
    /// A consulta may name only the CUO: every arrival under it, oldest first, at most 16.
    async fn recepciones_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Recepcion>, StoreError>;
    async fn recepciones(&self, listing: Listing<EstadoRecepcion>) -> Result<Page<Recepcion>, StoreError>;
    /// Mesas de partes file several documents under one number.
    async fn recepciones_by_numero(&self, numbered: Numbered) -> Result<Page<Recepcion>, StoreError>;

    async fn api_key_by_hash(&self, hash: &Sha256) -> Result<Option<ApiKey>, StoreError>;
    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError>;
    async fn usuario(&self, id: Id) -> Result<Option<Usuario>, StoreError>;
    async fn usuario_by_cuenta(&self, cuenta: &str) -> Result<Option<Usuario>, StoreError>;
    async fn usuarios(&self) -> Result<Vec<Usuario>, StoreError>;
    async fn idempotencia(&self, entidad: &Ruc, key: &str) -> Result<Option<Idempotencia>, StoreError>;
    /// Read again only if it changed.
    async fn directorio(&self) -> Result<Option<Arc<Directorio>>, StoreError>;
    async fn textos(&self) -> Result<Option<TextosVistos>, StoreError>;
    async fn avisos(&self) -> Result<Option<Avisos>, StoreError>;
    async fn webhook(&self, id: Id) -> Result<Option<EstadoWebhook>, StoreError>;

    /// How many exchanges were made on the wanted days, oldest first; where there are none there is no line.
    async fn lines(&self, wanted: &Lines<'_>) -> Result<Vec<Line>, StoreError>;

    /// Exchanges of every entity by id, oldest first, at most `limit` (at least 1), after `after`.
    async fn kept(&self, which: Kept, after: Option<Id>, limit: usize) -> Result<Page<Record>, StoreError>;
    /// A stored document and who names it; `None` if it is not there.
    async fn named(&self, sha256: &Sha256) -> Result<Option<Named>, StoreError>;

    /// Facts after `cursor`, in order, at most `limit`; of one entity if given.
    async fn facts(&self, after: Cursor, entidad: Option<&Ruc>, limit: usize) -> Result<Vec<FactAt>, StoreError>;
    /// The history of one exchange, oldest first.
    async fn facts_of(&self, subject: Id) -> Result<Vec<FactAt>, StoreError>;

    /// Entries after `after`, in order, as they are stored: at most `limit`, and fewer where they are large.
    async fn entries(&self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, StoreError>;

    /// Takes jobs whose time has come, of each destination in turn and in order of age, for a lease. Only the end of the
    /// lease, its return, or the job's own end frees it: a job that is replaced meanwhile stays with whoever holds it. Dead
    /// jobs are never claimed.
    async fn claim_jobs(&self, claim: &Claim) -> Result<Claimed, StoreError>;
    /// Gives a lease back, so that the job can be claimed when its time has come.
    async fn release_job(&self, id: Id);
    /// A destination works again, or if `None` the platform: what waits for another attempt there is due now.
    async fn wake(&self, destino: Option<&Ruc>);
    async fn job(&self, id: Id) -> Result<Option<Job>, StoreError>;
    /// How long the queues are, by kind and stage; what there is none of is left out.
    async fn standing(&self) -> Vec<Standing>;
    /// Jobs by id, dead ones too, at most `limit` (at least 1), after `after`.
    async fn jobs(&self, after: Option<Id>, limit: usize) -> Result<Page<Job>, StoreError>;

    /// Starts taking in a document of at most `max` bytes. What is not committed leaves nothing behind.
    fn stage(&self, max: u64) -> BlobWriter;
    /// Reads a document in pieces; the last read fails with [`StoreError::Damaged`] if the bytes are not those stored.
    async fn open_document(&self, sha256: &Sha256) -> Result<BlobReader, StoreError>;

    /// The highest sequence committed, as it grows: what waits for news watches this.
    fn watch(&self) -> watch::Receiver<Seq>;
    /// Whether changes are taken in now, and why not; after one failed, by trying.
    async fn writable(&self) -> Result<(), StoreError>;
    /// Reads everything and compares: every frame, record, document.
    async fn verify(&self) -> Result<Verification, StoreError>;
    /// Whether this daemon does what only one of those on a store must do.
    fn leads(&self) -> bool {
        true
    }
    /// Refuses further commits, finishes the ones under way, and leaves a clean-stop mark.
    async fn close(&self) -> Result<(), StoreError>;
}

/// A store shared by all who use it.
pub type SharedStore = Arc<dyn Store>;
