//! A change in its stored form, and back.

use serde::{Deserialize, Serialize};

use super::{
    frame::{self, Parts},
    placement::Placed,
};
use crate::{
    domain::Id,
    store::{Change, Fact, Job, Record, Staged, StoreError, blobs::StagedBody},
};

/// Most facts in one entry: a place in the feed has one byte for them.
const FACTS_MAX: usize = 255;

/// Room left in a frame for the places of the documents, in bytes.
const PLACEMENT_MAX: usize = 64 * 1024;

/// An entry as it is applied to the index.
#[derive(Debug, Default)]
pub struct Entry {
    pub facts: Vec<Fact>,
    pub records: Vec<Record>,
    pub jobs: Vec<Job>,
    pub jobs_done: Vec<Id>,
    pub placed: Vec<Placed>,
}

/// The `change` part of a frame.
#[derive(Serialize)]
struct ChangeOut<'a> {
    records: &'a [Record],
    jobs: &'a [Job],
    jobs_done: &'a [Id],
}

#[derive(Deserialize)]
struct ChangeIn {
    records: Vec<Record>,
    jobs: Vec<Job>,
    jobs_done: Vec<Id>,
}

/// A change made ready off the committer's thread: all that is left is to validate it and give it its place.
pub struct Prepared {
    pub entry: Entry,
    pub parts: Parts,
    pub documents: Vec<Staged>,
}

impl Prepared {
    pub fn new(change: Change) -> Result<Self, StoreError> {
        let Change { facts, records, jobs, jobs_done, documents } = change;
        let changes = !(records.is_empty() && jobs.is_empty() && jobs_done.is_empty());
        let untold = changes && records.iter().all(Record::is_bookkeeping);
        if facts.len() > FACTS_MAX || facts.is_empty() && !untold {
            return Err(invalid(format!("un asiento lleva de 1 a {FACTS_MAX} hechos y este lleva {}", facts.len())));
        }
        let out = ChangeOut { records: &records, jobs: &jobs, jobs_done: &jobs_done };
        let parts = Parts { facts: json(&facts)?, change: json(&out)?, placement: Vec::new() };
        if parts.len() > frame::FRAME_MAX - PLACEMENT_MAX {
            return Err(invalid(format!("un asiento de {} bytes es demasiado grande", parts.len())));
        }
        Ok(Self { entry: Entry { facts, records, jobs, jobs_done, placed: Vec::new() }, parts, documents })
    }
}

impl Prepared {
    /// Whether it may purge an exchange.
    pub fn purges(&self) -> bool {
        self.entry.records.iter().any(|record| record.purga().is_some())
    }

    /// Bytes it will write, besides documents that are files already.
    pub fn size(&self) -> usize {
        let small = |staged: &Staged| match &staged.body {
            StagedBody::Memory(bytes) => bytes.len(),
            StagedBody::File(_) => 0,
        };
        self.parts.len() + self.documents.iter().map(small).sum::<usize>()
    }
}

impl Entry {
    /// Reads an entry back; the error says, in Spanish, which part is no JSON of ours.
    pub fn decode(parts: &Parts) -> Result<Self, String> {
        let ChangeIn { records, jobs, jobs_done } = change(parts)?;
        let placed =
            serde_json::from_slice(&parts.placement).map_err(|e| format!("sus documentos no se entienden: {e}"))?;
        Ok(Self { facts: facts(parts)?, records, jobs, jobs_done, placed })
    }
}

/// Only the facts of an entry.
pub fn facts(parts: &Parts) -> Result<Vec<Fact>, String> {
    serde_json::from_slice(&parts.facts).map_err(|e| format!("sus hechos no se entienden: {e}"))
}

/// Only the records of an entry.
pub fn records(parts: &Parts) -> Result<Vec<Record>, String> {
    Ok(change(parts)?.records)
}

fn change(parts: &Parts) -> Result<ChangeIn, String> {
    serde_json::from_slice(&parts.change).map_err(|e| format!("su cambio no se entiende: {e}"))
}

pub fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Io(error.into()))
}

fn invalid(what: String) -> StoreError {
    StoreError::Io(std::io::Error::new(std::io::ErrorKind::InvalidInput, what))
}
