//! A change in its stored form: the same bytes in every store, so that the audit log can commit to them.

use serde::{Deserialize, Serialize};

use super::{Fact, Job, RawEntry, Record, StoreError};
use crate::domain::Id;

/// Most facts in one entry: a place in the feed has one byte for them.
const FACTS_MAX: usize = 255;

/// Most bytes of facts and change together: an entry of one store fits every other.
pub const ENTRY_BYTES_MAX: usize = 16 * 1024 * 1024 - 64 * 1024;

/// The two parts of an entry that a leaf of the audit log commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// JSON array of [`Fact`]s.
    pub facts: Vec<u8>,
    /// JSON object of records and jobs.
    pub change: Vec<u8>,
}

#[derive(Serialize)]
struct ChangeOut<'a> {
    records: &'a [Record],
    jobs: &'a [Job],
    jobs_done: &'a [Id],
}

/// What an entry changes.
#[derive(Debug, Deserialize)]
pub struct Changed {
    pub records: Vec<Record>,
    pub jobs: Vec<Job>,
    pub jobs_done: Vec<Id>,
}

/// Refuses a change that is no entry: one that says nothing, or too much.
pub fn encode(facts: &[Fact], records: &[Record], jobs: &[Job], jobs_done: &[Id]) -> Result<Encoded, StoreError> {
    let changes = !(records.is_empty() && jobs.is_empty() && jobs_done.is_empty());
    let untold = changes && records.iter().all(Record::is_bookkeeping);
    if facts.len() > FACTS_MAX || facts.is_empty() && !untold {
        return Err(invalid(format!("un asiento lleva de 1 a {FACTS_MAX} hechos y este lleva {}", facts.len())));
    }
    let encoded = Encoded { facts: json(&facts)?, change: json(&ChangeOut { records, jobs, jobs_done })? };
    let bytes = encoded.facts.len() + encoded.change.len();
    if bytes > ENTRY_BYTES_MAX {
        return Err(invalid(format!("un asiento de {bytes} bytes es demasiado grande")));
    }
    Ok(encoded)
}

/// Reads the facts of an entry; the error says, in Spanish, what is no JSON of ours.
pub fn facts(bytes: &[u8]) -> Result<Vec<Fact>, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("sus hechos no se entienden: {e}"))
}

/// Reads what an entry changes.
pub fn change(bytes: &[u8]) -> Result<Changed, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("su cambio no se entiende: {e}"))
}

/// Reads both parts of an entry.
pub fn read(entry: &RawEntry) -> Result<(Vec<Fact>, Changed), StoreError> {
    let damaged = |what| StoreError::Damaged { place: format!("asiento {}", entry.seq), what };
    Ok((facts(&entry.facts).map_err(damaged)?, change(&entry.change).map_err(damaged)?))
}

pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Io(error.into()))
}

fn invalid(what: String) -> StoreError {
    StoreError::Io(std::io::Error::new(std::io::ErrorKind::InvalidInput, what))
}
