//! The index with changes not yet applied laid over it: what validation reads, and how an entry becomes writes.

use std::{collections::HashMap, ops::ControlFlow};

use super::{
    entry::{Entry, json},
    frame::Fields,
    index::{Direction, Index, IndexError, Writes},
    keys::{self, Listed},
    packs::RECORD_HEADER,
    placement::{InPack, Placed},
    segment::Place,
};
use crate::{
    domain::{Id, Purga, Ruc, Sha256},
    store::{
        Cursor, Job, JobKind, Kept, Record, Seq, StoreError, UniqueKey,
        tally::{Counts, Tally},
    },
};

/// Most of those who name a document that are told: one more than the purged one is enough to keep it.
pub const NAMED_MAX: usize = 16;

/// The index cannot be relied on, or something else is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record in the index: what is needed to validate, to list, and to find it in the journal.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    pub version: u32,
    /// The entry that brought this version.
    pub seq: Seq,
    /// The state it is listed under; empty if it is not listed.
    pub estado: String,
    /// What it counts as, if it is an exchange.
    pub tally: Option<Tally>,
}

impl Stored {
    fn to_value(&self) -> Vec<u8> {
        let mut value = self.version.to_le_bytes().to_vec();
        value.extend_from_slice(&self.seq.to_le_bytes());
        value.extend_from_slice(self.estado.as_bytes());
        value.push(0);
        value.extend(self.tally.iter().flat_map(Tally::to_bytes));
        value
    }

    pub fn from_value(value: &[u8]) -> Result<Self, IndexError> {
        let mut fields = Fields(value);
        let mut read = || {
            let (version, seq) = (fields.u32()?, fields.u64()?);
            let end = fields.0.iter().position(|byte| *byte == 0)?;
            let (estado, tally) = (fields.0.get(..end)?, fields.0.get(end + 1..)?);
            let tally = if tally.is_empty() { None } else { Some(Tally::from_bytes(tally)?) };
            Some(Self { version, seq, estado: std::str::from_utf8(estado).ok()?.to_owned(), tally })
        };
        read().ok_or_else(|| IndexError::new("a record in the index does not read back"))
    }
}

/// Reads through `writes`, then `below`, then the index. Collects writes.
pub struct View<'a> {
    index: &'a dyn Index,
    below: Option<&'a Writes>,
    pub writes: Writes,
}

impl<'a> View<'a> {
    pub fn new(index: &'a dyn Index, below: Option<&'a Writes>) -> Self {
        Self { index, below, writes: Writes::new() }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let pending = self.writes.get(key).or_else(|| self.below.and_then(|below| below.get(key)));
        match pending {
            Some(value) => Ok(value.clone()),
            None => self.index.get(key),
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    pub fn stored(&self, id: Id) -> Result<Option<Stored>, IndexError> {
        self.get(&keys::record(id))?.map(|value| Stored::from_value(&value)).transpose()
    }

    /// Which record a unique key belongs to.
    pub fn owner(&self, key: &UniqueKey) -> Result<Option<Id>, IndexError> {
        Ok(self.get(&keys::unique(key))?.and_then(|value| keys::id_of(&value)))
    }

    pub fn placed(&self, sha256: &Sha256) -> Result<Option<Placed>, IndexError> {
        Ok(self.get(&keys::document(sha256))?.and_then(|value| Placed::from_value(sha256, &value)))
    }

    pub fn put_record(&mut self, seq: Seq, record: &Record) -> Result<(), IndexError> {
        let id = record.id();
        let listed = keys::listed(record);
        let estado = listed.as_ref().map_or("", |(_, _, estado)| estado);
        let tally = Tally::of(record);
        if let Some((kind, entidad, estado)) = listed {
            let before = self.stored(id)?;
            if let Some(before) = before.as_ref().map(|before| &before.estado).filter(|before| *before != estado) {
                self.remove(keys::with(keys::listing(kind, entidad, Some(before)), id.as_bytes()));
            }
            self.count(entidad, before.and_then(|before| before.tally).as_ref(), tally.as_ref())?;
            self.put(keys::with(keys::listing(kind, entidad, None), id.as_bytes()), Vec::new());
            self.put(keys::with(keys::listing(kind, entidad, Some(estado)), id.as_bytes()), Vec::new());
            // A number never changes once it is there.
            if let Some(numero) = keys::numero(record) {
                self.put(keys::with(keys::numbered(kind, entidad, numero), id.as_bytes()), Vec::new());
            }
        }
        if let Some((kind, _, _)) = listed {
            self.put_kept(seq, kind, record)?;
        }
        for sha256 in record.documents() {
            self.put_naming(sha256, id);
        }
        for unique in record.unique_keys() {
            self.put(keys::unique(&unique), id.as_bytes().to_vec());
        }
        match record {
            Record::Recepcion(r) => self.put(keys::with(keys::arrivals(&r.entidad, &r.cuo), id.as_bytes()), Vec::new()),
            Record::ApiKey(_) => self.put(keys::api_key(id), Vec::new()),
            Record::Usuario(_) => self.put(keys::usuario(id), Vec::new()),
            Record::Despacho(_)
            | Record::Idempotencia(_)
            | Record::Directorio(_)
            | Record::Textos(_)
            | Record::Avisos(_)
            | Record::Webhook(_) => {}
        }
        let stored = Stored { version: record.version(), seq, estado: estado.to_owned(), tally };
        self.put(keys::record(id), stored.to_value());
        Ok(())
    }

    /// Takes from the lines what an exchange counted as, and adds what it counts as now.
    fn count(&mut self, entidad: &Ruc, before: Option<&Tally>, now: Option<&Tally>) -> Result<(), IndexError> {
        if before == now {
            return Ok(());
        }
        let steps = before.map(|tally| (tally, false)).into_iter().chain(now.map(|tally| (tally, true)));
        for (tally, more) in steps {
            for key in tally.keys(entidad).map(|key| keys::line(&key)) {
                let wrong = || IndexError::new("a line of counts in the index does not read back");
                let line = self.get(&key)?.map(|value| Counts::from_bytes(&value).ok_or_else(wrong)).transpose()?;
                let mut line = line.unwrap_or_default();
                if more {
                    line.add(tally)
                } else {
                    line.take(tally)
                }
                if line.is_empty() { self.remove(key) } else { self.put(key, line.to_bytes()) }
            }
        }
        Ok(())
    }

    /// Which lists of the kept an exchange is in; if this version purges it, its documents go.
    fn put_kept(&mut self, seq: Seq, kind: Listed, record: &Record) -> Result<(), IndexError> {
        let id = record.id();
        let key = |which| keys::with(keys::kept(which), id.as_bytes());
        match record.purga() {
            None => self.put(key(kind.kept()), Vec::new()),
            Some(purga) => {
                if self.is_kept(kind, id)? {
                    self.put_purged(seq, id, purga)?;
                }
                self.remove(key(kind.kept()));
                self.put(key(Kept::Purged), Vec::new());
            }
        }
        if record.bloqueo().is_some() {
            self.put(key(Kept::Held), Vec::new());
        } else if self.get(&key(Kept::Held))?.is_some() {
            self.remove(key(Kept::Held));
        }
        Ok(())
    }

    /// Whether an exchange is in the store and not purged.
    pub fn is_kept(&self, kind: Listed, id: Id) -> Result<bool, IndexError> {
        Ok(self.get(&keys::with(keys::kept(kind.kept()), id.as_bytes()))?.is_some())
    }

    fn is_purged(&self, id: Id) -> Result<bool, IndexError> {
        Ok(self.get(&keys::with(keys::kept(Kept::Purged), id.as_bytes()))?.is_some())
    }

    /// It names nothing any more; what nobody else names is no document of the store, and is to be erased.
    fn put_purged(&mut self, seq: Seq, id: Id, purga: &Purga) -> Result<(), IndexError> {
        for documento in &purga.documentos {
            let sha256 = &documento.sha256;
            self.remove(keys::with(keys::naming(sha256), id.as_bytes()));
            if documento.compartido {
                continue;
            }
            if let Some(placed) = self.placed(sha256)? {
                self.put(keys::erasing(&placed), Vec::new());
                self.remove(keys::document(sha256));
                self.put(keys::purged(sha256), seq.to_le_bytes().to_vec());
            }
        }
        Ok(())
    }

    fn put_naming(&mut self, sha256: &Sha256, id: Id) {
        self.put(keys::with(keys::naming(sha256), id.as_bytes()), Vec::new());
    }

    /// Who names a document, at most [`NAMED_MAX`] besides what is not applied yet.
    pub fn naming(&self, sha256: &Sha256) -> Result<Vec<Id>, IndexError> {
        let prefix = keys::naming(sha256);
        let mut found: Vec<Vec<u8>> = Vec::new();
        let pending = [self.below, Some(&self.writes)].into_iter().flatten().flatten();
        let pending: HashMap<&[u8], bool> =
            pending.filter(|(key, _)| key.starts_with(&prefix)).map(|(k, v)| (k.as_slice(), v.is_some())).collect();
        self.index.scan(&prefix, None, Direction::Forward, &mut |key, _| {
            if !pending.contains_key(key) {
                found.push(key.to_vec());
            }
            if found.len() < NAMED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        found.extend(pending.into_iter().filter(|(_, there)| *there).map(|(key, _)| key.to_vec()));
        Ok(found.iter().filter_map(|key| keys::id_of(key)).collect())
    }

    /// Whether a record has work to be done.
    pub fn has_jobs(&self, id: Id) -> Result<bool, IndexError> {
        for kind in JobKind::ALL {
            if self.get(&keys::job(Job::id_for(kind, id)))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub fn put_placed(&mut self, placed: &Placed) {
        self.remove(keys::purged(&placed.sha256));
        self.put(keys::document(&placed.sha256), placed.to_value());
        if let Some(InPack { number, offset }) = placed.pack {
            let end = InPack { number, offset: offset + RECORD_HEADER as u64 + placed.bytes };
            self.put(keys::PACK_END.to_vec(), end.to_value());
        }
    }

    /// Everything of an entry but its records and documents, and where it stands.
    pub fn put_rest(&mut self, seq: Seq, place: Place, entry: &Entry) -> Result<(), ViewError> {
        for job in &entry.jobs {
            self.put(keys::job(job.id), json(job)?);
        }
        for id in &entry.jobs_done {
            self.remove(keys::job(*id));
        }
        for (n, fact) in (0..=u8::MAX).zip(&entry.facts) {
            let at = Cursor { seq, n };
            self.put(keys::with(keys::facts_of(fact.sujeto), &keys::place(at)), Vec::new());
            // What is told late of a purged exchange keeps nothing.
            let named = fact.documentos.iter().chain(&fact.sobres);
            if named.clone().next().is_some() && !self.is_purged(fact.sujeto)? {
                named.for_each(|sha256| self.put_naming(sha256, fact.sujeto));
            }
            if let Some(entidad) = &fact.entidad {
                self.put(keys::with(keys::facts_in(entidad), &keys::place(at)), Vec::new());
            }
        }
        self.put(keys::entry(seq), place.to_value());
        self.put(keys::APPLIED.to_vec(), seq.to_le_bytes().to_vec());
        Ok(())
    }

    /// A whole entry, as read from the journal.
    pub fn put_entry(&mut self, seq: Seq, place: Place, entry: &Entry) -> Result<(), ViewError> {
        for placed in &entry.placed {
            self.put_placed(placed);
        }
        for record in &entry.records {
            self.put_record(seq, record)?;
        }
        self.put_rest(seq, place, entry)
    }
}
