//! What the parts of the store share: connections, who we are among the daemons, and the news of what was committed.

use std::{
    collections::HashMap,
    fs::File,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use deadpool_postgres::{Client, Pool, PoolError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::causes::in_spanish,
    domain::{Id, Sha256},
    store::{Seq, StoreError, latest::Latest, queue::Queue},
};

/// Where the database tells what was committed: the number of the last entry; or nothing, where jobs are due.
pub const NEWS: &str = "chasqui_news";

pub struct Shared {
    pub pool: Pool,
    pub incoming: PathBuf,
    pub published: watch::Sender<Seq>,
    pub directory: Latest,
    /// This daemon, as long as it runs.
    pub me: Id,
    /// Until when we hold which jobs, by the clock that nobody sets.
    pub leases: Mutex<HashMap<Id, Duration>>,
    /// Who was served last; of the jobs it holds none between two claims.
    pub queue: Mutex<Queue>,
    /// We are the eldest.
    pub leads: AtomicBool,
    /// Ends the tasks.
    pub stop: CancellationToken,
    /// Held as long as anything of the store is in use.
    pub _lock: File,
}

impl Shared {
    pub async fn client(&self) -> Result<Client, Failure> {
        Ok(self.pool.get().await?)
    }

    pub fn leases(&self) -> MutexGuard<'_, HashMap<Id, Duration>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who watches that there are entries up to `seq`.
    pub fn publish(&self, seq: Seq) {
        self.published.send_if_modified(|known| {
            let news = seq > *known;
            *known = seq.max(*known);
            news
        });
    }
}

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{}", said(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error("{}", unconnected(.0))]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why, for a person. What the server itself says is in its own language; the error alone says "db error".
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("el servidor de la base de datos respondió «{}» ({})", db.message(), db.code().code());
    }
    match std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(cause) => format!("no se llega al servidor de la base de datos: {}", in_spanish(cause)),
        None if error.is_closed() => "la conexión con la base de datos se cortó".into(),
        None => format!("la conexión con la base de datos falló: {error}"),
    }
}

fn unconnected(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => said(error),
        PoolError::Timeout(_) => "no hubo a tiempo una conexión libre con la base de datos".into(),
        other => format!("no hay conexión con la base de datos: {other}"),
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            other => Self::Database(other.to_string()),
        }
    }
}

/// A number of ours as the database has it. None of ours comes near the end.
pub fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// And back.
pub fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// A digest as the database gave it.
pub fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_digest(bytes)
}

/// Something in the database that is not ours.
pub fn damaged(place: impl Into<String>, what: impl ToString) -> StoreError {
    StoreError::Damaged { place: place.into(), what: what.to_string() }
}
