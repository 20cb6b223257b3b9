//! What a batch of changes is judged on: what is durable, read at once for all of them, and what they bring one after the other.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;

use super::{
    committer::Prepared,
    shared::{Failure, digest, unsigned},
};
use crate::{
    domain::{Id, Sha256},
    store::{CommitError, Fact, Job, Record, UniqueKey, validation},
};

/// Most of those who name a document that are read: one more than the purged one is enough to keep it.
const NAMED_MAX: i64 = 16;

/// A record as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub struct Stored {
    pub version: u32,
    /// It is an exchange that is not purged.
    pub kept: bool,
    pub purged: bool,
}

/// A stored document.
#[derive(Debug, Clone, Copy)]
pub struct Document {
    pub bytes: u64,
    pub body: Id,
}

/// One layer: what was read, or what changes bring. `None`: it is there no more.
#[derive(Debug, Default)]
struct Layer {
    records: HashMap<Id, Stored>,
    owners: HashMap<Vec<u8>, Id>,
    documents: HashMap<Sha256, Option<Document>>,
    naming: HashMap<Sha256, HashMap<Id, bool>>,
    jobs: HashSet<Id>,
}

/// What is known: what was read and what was admitted, and over it what the change under judgement brings.
#[derive(Debug, Default)]
pub struct Known {
    below: Layer,
    change: Layer,
}

impl Known {
    /// Reads all that a batch is judged on.
    pub async fn read(transaction: &Transaction<'_>, batch: &[&Prepared]) -> Result<Self, Failure> {
        let records = || batch.iter().flat_map(|prepared| &prepared.records);
        let facts = || batch.iter().flat_map(|prepared| &prepared.facts);
        let subjects = facts().filter(|fact| names(fact).next().is_some()).map(|fact| fact.sujeto);
        let ids: Vec<Id> = records().map(Record::id).chain(subjects).collect();
        let keys: Vec<Vec<u8>> = records().flat_map(Record::unique_keys).map(|key| key.digest()).collect();
        let purged = || records().filter_map(Record::purga).flat_map(|purga| &purga.documentos).map(|d| &d.sha256);
        let brought = batch.iter().flat_map(|prepared| &prepared.documents).map(|document| &document.sha256);
        let named = records().flat_map(Record::documents).chain(facts().flat_map(|fact| &fact.sobres));
        let documents: Vec<Vec<u8>> = named.chain(brought).chain(purged()).map(raw).collect();
        let purging: Vec<Vec<u8>> = purged().map(raw).collect();
        let purged_ids: Vec<Id> = records().filter(|r| r.purga().is_some()).map(Record::id).collect();

        let mut known = Self::default();
        known.below.read_records(transaction, &ids).await?;
        known.below.read_owners(transaction, &keys).await?;
        known.below.read_documents(transaction, &documents).await?;
        if !purged_ids.is_empty() {
            known.below.read_naming(transaction, &purging).await?;
            let jobs = "SELECT DISTINCT subject FROM job WHERE subject = ANY($1)";
            for row in transaction.query(jobs, &[&purged_ids]).await? {
                known.below.jobs.insert(row.try_get(0)?);
            }
        }
        Ok(known)
    }

    pub fn stored(&self, id: Id) -> Option<Stored> {
        self.change.records.get(&id).or_else(|| self.below.records.get(&id)).copied()
    }

    pub fn document(&self, sha256: &Sha256) -> Option<Document> {
        let known = self.change.documents.get(sha256).or_else(|| self.below.documents.get(sha256));
        known.copied().flatten()
    }

    /// Judges a change. Admitted, it is known to those after it; refused, it leaves nothing.
    pub fn admit(&mut self, prepared: &Prepared) -> Result<(), CommitError> {
        let judged = self.judge(prepared);
        let change = std::mem::take(&mut self.change);
        if judged.is_ok() {
            self.below.records.extend(change.records);
            self.below.owners.extend(change.owners);
            self.below.documents.extend(change.documents);
            for (sha256, naming) in change.naming {
                self.below.naming.entry(sha256).or_default().extend(naming);
            }
            self.below.jobs.extend(change.jobs);
        }
        judged
    }

    fn judge(&mut self, prepared: &Prepared) -> Result<(), CommitError> {
        for record in &prepared.records {
            validation::record(self, record, &prepared.records)?;
            validation::purge(self, record, !prepared.jobs.is_empty())?;
            self.bring_record(record);
        }
        for document in &prepared.documents {
            if self.document(&document.sha256).is_none() {
                let stored = Document { bytes: document.bytes, body: document.body };
                self.change.documents.insert(document.sha256.clone(), Some(stored));
            }
        }
        validation::documents(self, &prepared.records, &prepared.facts)?;
        for fact in &prepared.facts {
            if self.stored(fact.sujeto).is_none_or(|stored| !stored.purged) {
                names(fact).for_each(|sha256| self.bring_naming(sha256, fact.sujeto, true));
            }
        }
        self.change.jobs.extend(prepared.jobs.iter().map(|job: &Job| job.sujeto));
        Ok(())
    }

    fn bring_record(&mut self, record: &Record) {
        let id = record.id();
        for key in record.unique_keys() {
            self.change.owners.insert(key.digest(), id);
        }
        for sha256 in record.documents() {
            self.bring_naming(sha256, id, true);
        }
        let was_kept = self.stored(id).is_some_and(|stored| stored.kept);
        if let Some(purga) = record.purga().filter(|_| was_kept) {
            for documento in &purga.documentos {
                self.bring_naming(&documento.sha256, id, false);
                if !documento.compartido {
                    self.change.documents.insert(documento.sha256.clone(), None);
                }
            }
        }
        let (exchange, purged) = (record.entidad().is_some(), record.purga().is_some());
        self.change.records.insert(id, Stored { version: record.version(), kept: exchange && !purged, purged });
    }

    fn bring_naming(&mut self, sha256: &Sha256, id: Id, names: bool) {
        self.change.naming.entry(sha256.clone()).or_default().insert(id, names);
    }
}

/// What a fact names.
pub fn names(fact: &Fact) -> impl Iterator<Item = &Sha256> {
    fact.documentos.iter().chain(&fact.sobres)
}

pub fn raw(sha256: &Sha256) -> Vec<u8> {
    sha256.digest().to_vec()
}

impl Layer {
    async fn read_records(&mut self, transaction: &Transaction<'_>, ids: &[Id]) -> Result<(), Failure> {
        let sql = "SELECT id, version, kind <= 2 AND NOT purged, purged FROM record WHERE id = ANY($1)";
        let statement = transaction.prepare_cached(sql).await?;
        for row in transaction.query(&statement, &[&ids]).await? {
            let version: i64 = row.try_get(1)?;
            let version = u32::try_from(version).unwrap_or(u32::MAX);
            let stored = Stored { version, kept: row.try_get(2)?, purged: row.try_get(3)? };
            self.records.insert(row.try_get(0)?, stored);
        }
        Ok(())
    }

    async fn read_owners(&mut self, transaction: &Transaction<'_>, keys: &[Vec<u8>]) -> Result<(), Failure> {
        let statement = transaction.prepare_cached("SELECT key, id FROM unique_key WHERE key = ANY($1)").await?;
        for row in transaction.query(&statement, &[&keys]).await? {
            self.owners.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(())
    }

    async fn read_documents(&mut self, transaction: &Transaction<'_>, digests: &[Vec<u8>]) -> Result<(), Failure> {
        let sql = "SELECT sha256, bytes, body FROM document WHERE sha256 = ANY($1) AND body IS NOT NULL";
        let statement = transaction.prepare_cached(sql).await?;
        for row in transaction.query(&statement, &[&digests]).await? {
            let (sha256, bytes): (Vec<u8>, i64) = (row.try_get(0)?, row.try_get(1)?);
            let document = Document { bytes: unsigned(bytes), body: row.try_get(2)? };
            self.documents.insert(digest(&sha256), Some(document));
        }
        Ok(())
    }

    async fn read_naming(&mut self, transaction: &Transaction<'_>, digests: &[Vec<u8>]) -> Result<(), Failure> {
        let sql = "SELECT wanted.sha256, found.id FROM unnest($1::bytea[]) AS wanted (sha256) CROSS JOIN LATERAL \
                   (SELECT id FROM naming WHERE naming.sha256 = wanted.sha256 LIMIT $2) AS found";
        for row in transaction.query(sql, &[&digests, &NAMED_MAX]).await? {
            let (sha256, id): (Vec<u8>, Id) = (row.try_get(0)?, row.try_get(1)?);
            self.naming.entry(digest(&sha256)).or_default().insert(id, true);
        }
        Ok(())
    }
}

impl validation::Known for Known {
    type Error = CommitError;

    fn version(&self, id: Id) -> Result<Option<u32>, CommitError> {
        Ok(self.stored(id).map(|stored| stored.version))
    }

    fn owner(&self, key: &UniqueKey) -> Result<Option<Id>, CommitError> {
        let key = key.digest();
        Ok(self.change.owners.get(&key).or_else(|| self.below.owners.get(&key)).copied())
    }

    fn document(&self, sha256: &Sha256) -> Result<Option<u64>, CommitError> {
        Ok(Self::document(self, sha256).map(|document| document.bytes))
    }

    fn naming(&self, sha256: &Sha256) -> Result<Vec<Id>, CommitError> {
        let layers = [&self.below, &self.change].into_iter().filter_map(|layer| layer.naming.get(sha256));
        let mut all: HashMap<Id, bool> = HashMap::new();
        layers.for_each(|naming| all.extend(naming));
        Ok(all.into_iter().filter(|(_, names)| *names).map(|(id, _)| id).collect())
    }

    fn has_jobs(&self, id: Id) -> Result<bool, CommitError> {
        Ok(self.below.jobs.contains(&id) || self.change.jobs.contains(&id))
    }

    fn is_kept(&self, record: &Record) -> Result<bool, CommitError> {
        Ok(self.stored(record.id()).is_some_and(|stored| stored.kept))
    }
}
