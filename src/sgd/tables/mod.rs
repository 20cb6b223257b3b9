//! The tables of the reference component (CONTRACT §10), for SGDs that read and write them in PostgreSQL: what they put there is
//! handed over, and what happens here is written there. The tables' own names (`vrucentrem` and its kin) appear in this folder.
//!
//! Once on both sides, whoever dies when: a row that is handed over is known by its number of registration, which the store
//! gives once, and by the first fact of its despacho, which names the row ([`outgoing`]). What happens here is followed at a
//! place in the feed, kept like a webhook's, and written as the record stands, so that writing it again changes nothing
//! ([`reflect`]). One daemon at a time works on a schema ([`session`]). The schema is never altered.
//!
//! Uses the store and the use cases of `exchange`; decides nothing about exchanges.

mod answers;
mod arrivals;
mod feed;
mod import;
mod keys;
mod outgoing;
mod pieces;
mod reflect;
mod schema;
mod session;
mod standing;
mod statement;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use feed::{HELD_MAX, PAGE};
pub use import::{IMPORT_PAGE, ImportacionView, Lugar};
pub use outgoing::ROWS_PAGE;
pub use pieces::PIECE_BYTES;
pub use standing::{TablasSituacion, TablasView};

use session::{Session, Wanted};
use standing::Known;
use statement::Drawn;

use crate::{
    config::{Config, Secret},
    domain::{Id, Ruc},
    exchange::{Actor, Exchange, ExchangeError},
    http::Acceso,
    store::{EstadoWebhook, StoreError, postgres::Address},
};

/// How long news of the store are gathered before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// How long is waited after something failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);
/// Rows that need not be looked at again for a while, and what is in flight; over it all of them are looked at anew.
const REMEMBERED_MAX: usize = 100_000;

/// What keeps a round from its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{}", said(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error("{0}")]
    Schema(String),
    #[error("otro servicio de chasqui trabaja con estas tablas; mientras lo haga, este las deja en paz")]
    Taken,
    #[error("no se pudo leer o guardar aquí: {}", .0.cause())]
    Store(#[from] StoreError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("su PDF no está en el almacén de chasqui, y no se eliminó por antigüedad")]
    NoDocument,
}

/// Classes of answers that concern all rows: the connection, who may connect, the database, the transaction, resources.
const OF_ALL: [&str; 5] = ["08", "25", "28", "3D", "53"];
/// So do those with which the server ends sessions.
const ENDS_SESSIONS: &str = "57P0";

/// What the database said, with the names it gives and none of the values.
fn said(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        return format!("no se pudo hablar con la base de datos ({error}{cause})");
    };
    let place = db.column().or(db.constraint()).map(|name| format!(", {name}")).unwrap_or_default();
    let table = db.table().map(|name| format!(" ({name}{place})")).unwrap_or_default();
    format!("la base de datos respondió {}: {}{table}", db.code().code(), db.message())
}

impl Failure {
    /// Whether another row could do better: the database refused what was said of this one, or somebody holds it. The SGD's
    /// triggers answer with any code they like, so what concerns all is listed and not what concerns one.
    fn of_this_row(&self) -> bool {
        let error = match self {
            Self::Database(error) => error,
            Self::NoDocument => return true,
            _ => return false,
        };
        match error.code() {
            Some(code) => of_one(code.code()),
            None => !error.is_closed() && !lost(error),
        }
    }

    /// Whether work can go on with another row.
    fn leaves_others(&self) -> bool {
        match self {
            Self::Exchange(ExchangeError::Store(_)) => false,
            Self::Exchange(_) => true,
            other => other.of_this_row(),
        }
    }

    /// Whether the session is of no more use.
    fn ends_session(&self) -> bool {
        match self {
            Self::Database(error) => !self.of_this_row() || error.is_closed(),
            Self::Schema(_) | Self::Taken => true,
            Self::Store(_) | Self::Exchange(_) | Self::NoDocument => false,
        }
    }
}

fn of_one(code: &str) -> bool {
    !OF_ALL.iter().any(|class| code.starts_with(class)) && !code.starts_with(ENDS_SESSIONS)
}

/// Whether the connection broke; a value that cannot be put into a message is said by the same kind of error.
fn lost(error: &tokio_postgres::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|io| io.kind() != std::io::ErrorKind::InvalidInput)
}

/// All the tables that a daemon works on. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tablas(Arc<[Arc<Conexion>]>);

/// One entity's tables.
pub struct Conexion {
    options: Options,
    /// Under which its place is kept.
    id: Id,
    address: Address,
    known: Mutex<Known>,
    /// Told when the database says that there is something to do.
    news: Arc<Notify>,
}

/// What the configuration says, decided.
struct Options {
    nombre: String,
    entidad: Ruc,
    schema: Option<String>,
    every: Duration,
    channel: String,
    sequences: Vec<String>,
}

/// What one run remembers. All of it can be learnt anew.
#[derive(Default)]
struct Memory {
    session: Option<Session>,
    /// Rows of despachos that were handed over and are not told to have ended.
    flying: HashMap<i64, Id>,
    /// Rows of received documents that were answered and whose cargo is not told to have been delivered.
    answered: HashMap<i64, Id>,
    /// Rows that are looked at again later, by table.
    later: HashMap<(&'static str, i64), Instant>,
    /// Rows seen without their document, since when.
    incomplete: HashMap<i64, Instant>,
    /// Answered rows of documents that are not known here, and when they are looked for again.
    unknown: HashMap<i64, Instant>,
    /// When the keys were looked at.
    keys_seen: Option<Instant>,
    /// Keys that were drawn for exchanges whose rows the database refused: what is drawn does not come back.
    drawn: HashMap<Id, Drawn>,
    /// Whether a receiver was asked in this round: one that hangs holds up everything.
    asked: bool,
}

impl Memory {
    fn bound(&mut self) {
        let rows = [
            self.flying.len(),
            self.answered.len(),
            self.later.len(),
            self.incomplete.len(),
            self.unknown.len(),
            self.drawn.len(),
        ];
        if rows.iter().sum::<usize>() > REMEMBERED_MAX {
            self.flying.clear();
            self.answered.clear();
            self.later.clear();
            self.incomplete.clear();
            self.unknown.clear();
            self.drawn.clear();
        }
    }

    fn waits(&self, table: &'static str, row: i64) -> bool {
        self.later.get(&(table, row)).is_some_and(|until| *until > Instant::now())
    }

    fn look_later(&mut self, table: &'static str, row: i64, wait: Duration) {
        self.later.insert((table, row), Instant::now() + wait);
    }
}

impl Tablas {
    pub fn from_config(config: &Config) -> Result<Self, String> {
        let one = |tables: &crate::config::Tables| -> Result<Arc<Conexion>, String> {
            let wrong = |what: String| format!("tablas «{}»: {what}", tables.name);
            let entidad = tables.entity(config).ok_or_else(|| wrong("no se sabe de qué entidad son".into()))?;
            let url = tables.url.as_ref().map_or("", Secret::reveal);
            let ca_file: Option<&PathBuf> = tables.ca_file.as_ref();
            let options = Options {
                nombre: tables.name.clone(),
                entidad,
                schema: tables.schema.clone(),
                every: tables.every,
                channel: tables.channel.clone(),
                sequences: tables.sequences.clone(),
            };
            let id = EstadoWebhook::id_for(&options.place());
            let address = Address::new(url, ca_file.map(PathBuf::as_path)).map_err(wrong)?;
            Ok(Arc::new(Conexion { options, id, address, known: Mutex::default(), news: Arc::default() }))
        };
        Ok(Self(config.tables.iter().map(one).collect::<Result<Vec<_>, _>>()?.into()))
    }

    /// Gives new tables their place at the end of the feed: what arrives from here on is written there. One that the disk does
    /// not take is given it later.
    pub async fn prepare(&self, exchange: &Exchange) {
        for one in self.0.iter() {
            if let Err(error) = one.place(exchange).await {
                tracing::warn!(tables = one.options.nombre, %error, "the tables' place could not be read or made");
            }
        }
    }

    /// Works on each of them, beside the others, until `stop`.
    pub fn spawn(&self, exchange: &Exchange, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let run = |one: &Arc<Conexion>| tokio::spawn(keep_running(Arc::clone(one), exchange.clone(), stop.clone()));
        self.0.iter().map(run).collect()
    }

    /// Those a caller may see.
    pub fn of<'a>(&'a self, acceso: &'a Acceso) -> impl Iterator<Item = &'a Conexion> {
        let seen = |one: &&Arc<Conexion>| acceso.entidad.as_ref().is_none_or(|own| *own == one.options.entidad);
        self.0.iter().filter(seen).map(|one| &**one)
    }

    pub fn all(&self) -> impl Iterator<Item = &Conexion> {
        self.0.iter().map(|one| &**one)
    }
}

/// A panic over one row stops neither the daemon nor these tables for good.
async fn keep_running(one: Arc<Conexion>, exchange: Exchange, stop: CancellationToken) {
    let mut running = JoinSet::new();
    while !stop.is_cancelled() {
        running.spawn(Arc::clone(&one).run(exchange.clone(), stop.clone()));
        if let Some(Err(error)) = running.join_next().await {
            tracing::error!(tables = one.options.nombre, %error, "work on the tables broke off; it begins again");
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
}

impl Options {
    /// The name under which their place is kept; no webhook may have it.
    fn place(&self) -> String {
        format!("tablas:{}", self.nombre)
    }

    fn actor(&self) -> Actor {
        Actor(self.place())
    }

    /// Who hands over the row with this key: the despacho's first fact says it, and so whose row it is.
    fn actor_of_row(&self, row: i64) -> Actor {
        Actor(format!("{}#{row}", self.place()))
    }

    /// The row that an actor names, if it is one of these tables.
    fn row_of_actor(&self, actor: &str) -> Option<i64> {
        actor.strip_prefix(&self.place())?.strip_prefix('#')?.parse().ok()
    }
}

impl Conexion {
    async fn run(self: Arc<Self>, exchange: Exchange, stop: CancellationToken) {
        let mut store_news = exchange.store().watch();
        let mut memory = Memory::default();
        let mut look = true;
        let mut looked = Instant::now();
        while !stop.is_cancelled() {
            store_news.borrow_and_update();
            if !exchange.store().leads() {
                // Another daemon of the same store does it; what is known here is from before.
                memory = Memory::default();
                self.left_to_another();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(FAILURE_PAUSE) => continue,
                }
            }
            self.leads_again();
            let round = tokio::select! {
                round = self.round(&exchange, &mut memory, look) => round,
                // What is cut here is rolled back there, or was committed and is seen so.
                () = stop.cancelled() => return,
            };
            if look {
                looked = Instant::now();
            }
            match round {
                Ok(()) => {
                    self.worked(&exchange);
                    let next = looked + self.options.every;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.news.notified() => look = true,
                        () = tokio::time::sleep_until(next) => look = true,
                        _ = store_news.changed() => {
                            look = Instant::now() >= next;
                            tokio::time::sleep(GATHER).await;
                        }
                    }
                }
                Err(failure) => {
                    if failure.ends_session() {
                        memory.session = None;
                    }
                    self.failed(&exchange, &failure, memory.session.is_some());
                    look = true;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(FAILURE_PAUSE) => {}
                    }
                }
            }
        }
    }

    /// Writes what happened here, then looks at what the SGD did.
    async fn round(&self, exchange: &Exchange, memory: &mut Memory, look: bool) -> Result<(), Failure> {
        memory.bound();
        memory.asked = false;
        let mut session = match memory.session.take() {
            Some(session) => session,
            None => self.connect().await?,
        };
        // Given back unless it is of no more use: `run` decides by the failure.
        let done = async {
            self.follow(exchange, &mut session, memory).await?;
            if look && exchange.mantenimiento().is_none() {
                self.pick_up(exchange, &mut session, memory).await?;
                self.take_answers(exchange, &mut session, memory).await?;
                self.look_at_keys(exchange, &session, memory).await?;
                self.forget(&session).await?;
            }
            Ok(())
        }
        .await;
        memory.session = Some(session);
        done
    }

    async fn connect(&self) -> Result<Session, Failure> {
        let Options { schema, sequences, channel, .. } = &self.options;
        let wanted = Wanted { schema: schema.as_deref(), sequences, channel };
        let session = session::connect(&self.address, &wanted, Arc::clone(&self.news)).await?;
        tracing::info!(tables = self.options.nombre, schema = session.schema.name, "connected to the tables");
        self.known().esquema = Some(session.schema.name.clone());
        Ok(session)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::of_one;

    #[test]
    fn what_a_trigger_answers_concerns_its_row_and_a_server_that_ends_concerns_all() {
        for code in ["45000", "P0001", "23505", "22001", "57014", "XX000", "42501"] {
            assert!(of_one(code), "{code}");
        }
        for code in ["08006", "57P01", "28P01", "3D000", "25006", "53100"] {
            assert!(!of_one(code), "{code}");
        }
    }
}
