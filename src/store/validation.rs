//! Whether a change may be committed on what is known: the same rules in every store.

use super::{CommitError, Fact, Record, Seq, StoreError, UniqueKey};
use crate::domain::{Id, Sha256};

/// What a store knows while a change is judged: all that is durable, and what the same batch and the same change brought before.
pub trait Known {
    type Error: From<CommitError>;

    /// The version of a record; `None`: there is none.
    fn version(&self, id: Id) -> Result<Option<u32>, Self::Error>;
    /// Which record a unique key belongs to.
    fn owner(&self, key: &UniqueKey) -> Result<Option<Id>, Self::Error>;
    /// The size of a stored document, in bytes.
    fn document(&self, sha256: &Sha256) -> Result<Option<u64>, Self::Error>;
    /// Who names a document; where they are many, not all.
    fn naming(&self, sha256: &Sha256) -> Result<Vec<Id>, Self::Error>;
    /// Whether a record has work to be done.
    fn has_jobs(&self, id: Id) -> Result<bool, Self::Error>;
    /// Whether the exchange with this record's id is in the store and not purged.
    fn is_kept(&self, record: &Record) -> Result<bool, Self::Error>;
}

/// An entry of another store keeps its number, or it is not taken over.
pub fn place(expected: Option<Seq>, next: Seq) -> Result<(), CommitError> {
    match expected {
        Some(expected) if expected != next => Err(CommitError::Store(StoreError::Damaged {
            place: format!("asiento {expected}"),
            what: format!("no es el que sigue, que es el {next}"),
        })),
        _ => Ok(()),
    }
}

/// Its version follows the stored one, and what must be unique is its own.
pub fn record<K: Known>(known: &K, record: &Record, together: &[Record]) -> Result<(), K::Error> {
    let id = record.id();
    let stored = known.version(id)?.unwrap_or(0);
    if stored.checked_add(1) != Some(record.version()) {
        return Err(CommitError::Stale(id).into());
    }
    for key in record.unique_keys() {
        // A number goes over to another despacho in the commit in which its owner gives it up, and in no other.
        let given_up = |owner: &Id| {
            matches!(key, UniqueKey::NumeroRegistro { .. })
                && together.iter().any(|other| other.id() == *owner && !other.unique_keys().contains(&key))
        };
        if let Some(owner) = known.owner(&key)?.filter(|owner| *owner != id && !given_up(owner)) {
            return Err(CommitError::Exists { key, id: owner }.into());
        }
    }
    Ok(())
}

/// A purge takes what is as its certificate says: nobody works on the exchange, what goes is named by nobody else, what stays
/// is named by somebody else. `brings_jobs`: whether the same change adds work.
pub fn purge<K: Known>(known: &K, record: &Record, brings_jobs: bool) -> Result<(), K::Error> {
    let id = record.id();
    let Some(purga) = record.purga() else { return Ok(()) };
    if !known.is_kept(record)? {
        return Ok(());
    }
    let stale = || K::Error::from(CommitError::Stale(id));
    let follows = purga.registro.version.checked_add(1) == Some(record.version());
    if !follows || known.has_jobs(id)? || brings_jobs {
        return Err(stale());
    }
    for documento in &purga.documentos {
        let others = known.naming(&documento.sha256)?.into_iter().any(|named_by| named_by != id);
        let there = known.document(&documento.sha256)?.is_some_and(|bytes| bytes == documento.bytes);
        if others != documento.compartido || !there {
            return Err(stale());
        }
    }
    Ok(())
}

/// Every document that is named is there.
pub fn documents<K: Known>(known: &K, records: &[Record], facts: &[Fact]) -> Result<(), K::Error> {
    let told = facts.iter().flat_map(|fact| &fact.sobres);
    for sha256 in records.iter().flat_map(Record::documents).chain(told) {
        if known.document(sha256)?.is_none() {
            return Err(CommitError::Store(StoreError::NoDocument(sha256.clone())).into());
        }
    }
    Ok(())
}
