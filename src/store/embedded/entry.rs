//! A change in its stored form, and back.

use super::{frame::Parts, placement::Placed};
pub use crate::store::encoding::json;
use crate::{
    domain::Id,
    store::{
        Adopted, Change, Fact, Gone, Job, Record, Seq, Staged, StoreError,
        blobs::StagedBody,
        encoding::{self, Changed, Encoded},
    },
};

/// An entry as it is applied to the index.
#[derive(Debug, Default)]
pub struct Entry {
    pub facts: Vec<Fact>,
    pub records: Vec<Record>,
    pub jobs: Vec<Job>,
    pub jobs_done: Vec<Id>,
    pub placed: Vec<Placed>,
}

/// A change made ready off the committer's thread: all that is left is to validate it and give it its place.
pub struct Prepared {
    pub entry: Entry,
    pub parts: Parts,
    pub documents: Vec<Staged>,
    /// Documents of which no bytes come.
    pub gone: Vec<Gone>,
    /// The number it must get, if it has one already.
    pub seq: Option<Seq>,
}

impl Prepared {
    pub fn new(change: Change) -> Result<Self, StoreError> {
        let Change { facts, records, jobs, jobs_done, documents } = change;
        let Encoded { facts: told, change } = encoding::encode(&facts, &records, &jobs, &jobs_done)?;
        let parts = Parts { facts: told, change, placement: Vec::new() };
        let entry = Entry { facts, records, jobs, jobs_done, placed: Vec::new() };
        Ok(Self { entry, parts, documents, gone: Vec::new(), seq: None })
    }

    /// An entry of another store: its bytes stay as they are.
    pub fn adopted(adopted: Adopted) -> Result<Self, StoreError> {
        let Adopted { entry, documents, gone } = adopted;
        let (facts, Changed { records, jobs, jobs_done }) = encoding::read(&entry)?;
        let parts = Parts { facts: entry.facts, change: entry.change, placement: Vec::new() };
        let decoded = Entry { facts, records, jobs, jobs_done, placed: Vec::new() };
        Ok(Self { entry: decoded, parts, documents, gone, seq: Some(entry.seq) })
    }

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
        let Changed { records, jobs, jobs_done } = encoding::change(&parts.change)?;
        let placed =
            serde_json::from_slice(&parts.placement).map_err(|e| format!("sus documentos no se entienden: {e}"))?;
        Ok(Self { facts: facts(parts)?, records, jobs, jobs_done, placed })
    }
}

/// Only the facts of an entry.
pub fn facts(parts: &Parts) -> Result<Vec<Fact>, String> {
    encoding::facts(&parts.facts)
}

/// Only the records of an entry.
pub fn records(parts: &Parts) -> Result<Vec<Record>, String> {
    Ok(encoding::change(&parts.change)?.records)
}
