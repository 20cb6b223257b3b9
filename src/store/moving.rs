//! Bringing all that one store holds into another: entries as they stand, in their order, and the documents that came with
//! them. Nothing is decided anew and nothing is said anew, so both have the same leaves of the audit log. What was brought is
//! durable; who is interrupted goes on where the store ends.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{
    Adopted, BlobReader, CommitError, Gone, RawEntry, Record, Seq, SharedStore, Staged, StagedBody, Store, StoreError,
    encoding,
};
use crate::domain::Sha256;

/// Most entries, and about the most bytes of entries and small documents, that are brought at once.
const ENTRIES_MAX: usize = 256;
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where entries come from.
#[async_trait]
pub trait Origin: Send {
    /// The last entry that is durable there now.
    async fn last(&mut self) -> Result<Seq, StoreError>;
    /// Entries after `after`, in order: at most `limit`, and none only where there are none.
    async fn entries(&mut self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, StoreError>;
    /// A document that one of the entries given last brought.
    async fn document(&mut self, sha256: &Sha256) -> Result<Found, StoreError>;
}

/// What there is of a document.
pub enum Found {
    Here(Box<BlobReader>),
    /// It was purged since.
    Gone(Gone),
}

/// An open store as an origin.
pub struct Opened(pub SharedStore);

#[async_trait]
impl Origin for Opened {
    async fn last(&mut self) -> Result<Seq, StoreError> {
        Ok(*self.0.watch().borrow())
    }

    async fn entries(&mut self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.0.entries(after, limit).await
    }

    async fn document(&mut self, sha256: &Sha256) -> Result<Found, StoreError> {
        match self.0.open_document(sha256).await {
            Ok(reader) => Ok(Found::Here(Box::new(reader))),
            Err(StoreError::Purged { sha256, seq }) => Ok(Found::Gone(certified(&*self.0, sha256, seq).await?)),
            Err(error) => Err(error),
        }
    }
}

/// What the entry that purged a document says of it.
async fn certified(store: &dyn Store, sha256: Sha256, seq: Seq) -> Result<Gone, StoreError> {
    let entries = store.entries(seq.saturating_sub(1), 1).await?;
    let records = entries.iter().map(|entry| Ok(encoding::read(entry)?.1.records));
    let records: Vec<Record> = records.collect::<Result<Vec<_>, StoreError>>()?.concat();
    let mut purged = records.iter().filter_map(Record::purga).flat_map(|purga| &purga.documentos);
    match purged.find(|documento| documento.sha256 == sha256) {
        Some(documento) => Ok(Gone { bytes: documento.bytes, sha256 }),
        None => Err(StoreError::Damaged {
            place: format!("asiento {seq}"),
            what: format!("no certifica la purga del documento {sha256}"),
        }),
    }
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The last entry that was brought.
    pub seq: Seq,
    /// The last one that there is to bring, as far as is known.
    pub last: Seq,
}

/// Whether `to` holds nothing but what `origin` holds: only then can the rest be brought after it.
pub async fn continues(origin: &mut dyn Origin, to: &dyn Store) -> Result<bool, StoreError> {
    let last = *to.watch().borrow();
    let Some(before) = last.checked_sub(1) else { return Ok(true) };
    if origin.last().await? < last {
        return Ok(false);
    }
    Ok(origin.entries(before, 1).await? == to.entries(before, 1).await?)
}

/// Brings what `to` does not have yet, until `origin` has no more for now. Says which entry was the last.
pub async fn bring(
    origin: &mut dyn Origin,
    to: &dyn Store,
    told: &mut (dyn FnMut(Moved) + Send),
) -> Result<Seq, StoreError> {
    loop {
        let at = *to.watch().borrow();
        let entries = origin.entries(at, ENTRIES_MAX).await?;
        if entries.is_empty() {
            return Ok(at);
        }
        let last = origin.last().await?;
        let mut load = Load::default();
        for entry in entries {
            let (names, purges) = named(&entry)?;
            if purges || load.is_full() {
                load.adopt(to, last, told).await?;
            }
            load.add(origin, to, entry, names).await?;
            if purges {
                load.adopt(to, last, told).await?;
            }
        }
        load.adopt(to, last, told).await?;
    }
}

/// The documents that an entry names, and whether it purges.
fn named(entry: &RawEntry) -> Result<(Vec<Sha256>, bool), StoreError> {
    let (facts, changed) = encoding::read(entry)?;
    let records = &changed.records;
    let told = facts.iter().flat_map(|fact| fact.documentos.iter().chain(&fact.sobres));
    let names = records.iter().flat_map(Record::documents).chain(told).cloned().collect();
    Ok((names, records.iter().any(|record| record.purga().is_some())))
}

/// Entries that are brought together.
#[derive(Default)]
struct Load {
    entries: Vec<Adopted>,
    bytes: usize,
    /// Documents among them.
    known: HashSet<Sha256>,
}

impl Load {
    fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX || self.bytes >= BYTES_MAX
    }

    async fn add(
        &mut self,
        origin: &mut dyn Origin,
        to: &dyn Store,
        entry: RawEntry,
        names: Vec<Sha256>,
    ) -> Result<(), StoreError> {
        let (mut documents, mut gone) = (Vec::new(), Vec::new());
        for sha256 in names {
            if self.known.contains(&sha256) || to.named(&sha256).await?.is_some() {
                continue;
            }
            match origin.document(&sha256).await {
                Ok(Found::Here(reader)) => documents.push(staged(to, *reader).await?),
                Ok(Found::Gone(document)) => gone.push(document),
                // A fact may name what was never kept.
                Err(StoreError::NoDocument(_)) => continue,
                Err(error) => return Err(error),
            }
            self.known.insert(sha256);
        }
        let small =
            documents.iter().map(|staged| if matches!(staged.body, StagedBody::Memory(_)) { staged.bytes } else { 0 });
        let small: u64 = small.sum();
        self.bytes += entry.facts.len() + entry.change.len() + usize::try_from(small).unwrap_or(usize::MAX / 2);
        self.entries.push(Adopted { entry, documents, gone });
        Ok(())
    }

    async fn adopt(
        &mut self,
        to: &dyn Store,
        last: Seq,
        told: &mut (dyn FnMut(Moved) + Send),
    ) -> Result<(), StoreError> {
        let Self { entries, .. } = std::mem::take(self);
        if entries.is_empty() {
            return Ok(());
        }
        let seq = to.adopt(entries).await.map_err(|error| match error {
            CommitError::Store(error) => error,
            other => StoreError::Damaged { place: "lo que se traslada".into(), what: other.to_string() },
        })?;
        told(Moved { seq, last: last.max(seq) });
        Ok(())
    }
}

/// Takes a document over, piece by piece.
async fn staged(to: &dyn Store, mut reader: BlobReader) -> Result<Staged, StoreError> {
    let bytes = reader.bytes();
    let mut writer = to.stage(bytes).expecting(Some(bytes));
    while let Some(piece) = reader.next().await? {
        writer.write(&piece).await?;
    }
    writer.finish().await
}
