//! Reading in the store's terms: the index says where, the journal holds what.

use std::{cell::RefCell, ops::ControlFlow, path::Path};

use super::{
    entry,
    frame::{Frame, Parts},
    index::{
        Direction::{self, Back, Forward},
        Index, IndexError,
    },
    keys::{self, Listed},
    placement::{InPack, Placed},
    segment::{Frames, Place},
    view::{Stored, View, ViewError},
};
use crate::{
    domain::{Cuo, Id, Ruc, Sha256},
    store::{
        Cursor, Fact, FactAt, Job, Kept, Named, Numbered, RawEntry, Record, Seq, StoreError, UniqueKey,
        tally::{Line, Lines},
    },
};

/// Most arrivals told for one CUO.
const ARRIVALS_MAX: usize = 16;
/// About the most bytes of entries read at once.
const ENTRIES_BYTES_MAX: usize = 1024 * 1024;

pub struct Lookup<'a> {
    pub index: &'a dyn Index,
    frames: RefCell<Frames<'a>>,
}

/// The last entry applied to an index.
pub fn applied(index: &dyn Index) -> Result<Option<Seq>, IndexError> {
    let value = index.get(keys::APPLIED)?;
    Ok(value.and_then(|v| v.as_slice().try_into().ok()).map(Seq::from_le_bytes))
}

impl<'a> Lookup<'a> {
    pub fn new(index: &'a dyn Index, journal_dir: &'a Path) -> Self {
        Self { index, frames: RefCell::new(Frames::new(journal_dir)) }
    }

    /// Where the next small document would lie, as far as the entries tell.
    pub fn pack_end(&self) -> Result<Option<InPack>, IndexError> {
        Ok(self.index.get(keys::PACK_END)?.and_then(|value| InPack::from_value(&value)))
    }

    /// Where an entry stands in the journal.
    pub fn place(&self, seq: Seq) -> Result<Option<Place>, IndexError> {
        Ok(self.index.get(&keys::entry(seq))?.and_then(|value| Place::from_value(&value)))
    }

    fn frame(&self, seq: Seq) -> Result<Frame, ViewError> {
        let place = self.place(seq)?.ok_or_else(|| IndexError::new(format!("entry {seq} is not in the index")))?;
        Ok(self.frames.borrow_mut().read(place, seq)?)
    }

    pub fn stored(&self, id: Id) -> Result<Option<Stored>, IndexError> {
        self.index.get(&keys::record(id))?.map(|value| Stored::from_value(&value)).transpose()
    }

    pub fn record(&self, id: Id) -> Result<Option<Record>, ViewError> {
        let Some(Stored { seq, version, .. }) = self.stored(id)? else { return Ok(None) };
        let records = entry::records(&self.frame(seq)?.parts).map_err(|what| unreadable(seq, what))?;
        let record = records.into_iter().find(|r| r.id() == id && r.version() == version);
        Ok(Some(record.ok_or_else(|| IndexError::new(format!("record {id} is not in entry {seq}")))?))
    }

    pub fn by_unique(&self, key: &UniqueKey) -> Result<Option<Record>, ViewError> {
        match self.index.get(&keys::unique(key))?.and_then(|value| keys::id_of(&value)) {
            Some(id) => self.record(id),
            None => Ok(None),
        }
    }

    /// Ids of an entity's records, newest first, and whether there are more.
    pub fn list(
        &self,
        kind: Listed,
        entidad: &Ruc,
        estado: Option<&str>,
        after: Option<Id>,
        limit: usize,
    ) -> Result<(Vec<Id>, bool), IndexError> {
        self.page(keys::listing(kind, entidad, estado), Back, after, limit)
    }

    /// The same of those under a number of registration.
    pub fn numbered(&self, kind: Listed, numbered: &Numbered) -> Result<(Vec<Id>, bool), IndexError> {
        let Numbered { entidad, numero, after, limit } = numbered;
        self.page(keys::numbered(kind, entidad, numero), Back, *after, *limit)
    }

    /// A page of the ids that a list holds, and whether there are more.
    fn page(
        &self,
        prefix: Vec<u8>,
        direction: Direction,
        after: Option<Id>,
        limit: usize,
    ) -> Result<(Vec<Id>, bool), IndexError> {
        let after = after.map(|id| keys::with(prefix.clone(), id.as_bytes()));
        let (mut ids, mut more) = (Vec::new(), false);
        self.index.scan(&prefix, after.as_deref(), direction, &mut |key, _| {
            more = ids.len() == limit.max(1);
            if more {
                return ControlFlow::Break(());
            }
            ids.extend(keys::id_of(key));
            ControlFlow::Continue(())
        })?;
        Ok((ids, more))
    }

    pub fn arrivals(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Id>, IndexError> {
        self.ids(&keys::arrivals(entidad, cuo), ARRIVALS_MAX)
    }

    pub fn api_keys(&self) -> Result<Vec<Id>, IndexError> {
        self.ids(keys::API_KEYS, usize::MAX)
    }

    pub fn usuarios(&self) -> Result<Vec<Id>, IndexError> {
        self.ids(keys::USUARIOS, usize::MAX)
    }

    fn ids(&self, prefix: &[u8], limit: usize) -> Result<Vec<Id>, IndexError> {
        let mut ids = Vec::new();
        self.index.scan(prefix, None, Forward, &mut |key, _| {
            ids.extend(keys::id_of(key));
            if ids.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(ids)
    }

    /// Facts after a place, oldest first.
    pub fn facts(&self, after: Cursor, limit: usize) -> Result<Vec<FactAt>, ViewError> {
        let mut facts = Vec::new();
        let mut failed = None;
        let before = after.seq.checked_sub(1).map(keys::entry);
        self.index.scan(keys::ENTRIES, before.as_deref(), Forward, &mut |key, value| {
            let Some((seq, place)) = keys::seq_of(key).zip(Place::from_value(value)) else {
                return ControlFlow::Continue(());
            };
            match self.facts_at(place, seq) {
                Ok(found) => facts.extend(found.into_iter().filter(|fact| fact.cursor > after)),
                Err(error) => failed = Some(error),
            }
            if failed.is_none() && facts.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        facts.truncate(limit);
        failed.map_or(Ok(facts), |error| Err(error.into()))
    }

    fn facts_at(&self, place: Place, seq: Seq) -> Result<Vec<FactAt>, StoreError> {
        let frame = self.frames.borrow_mut().read(place, seq)?;
        let facts: Vec<Fact> = entry::facts(&frame.parts).map_err(|what| unreadable(seq, what))?;
        Ok((0..=u8::MAX).zip(facts).map(|(n, fact)| FactAt { cursor: Cursor { seq, n }, fact }).collect())
    }

    /// Entries after a place as they are stored, oldest first; fewer than `limit` where they are large.
    pub fn entries(&self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, ViewError> {
        let (mut places, mut entries, mut bytes) = (Vec::new(), Vec::new(), 0);
        self.index.scan(keys::ENTRIES, Some(&keys::entry(after)), Forward, &mut |key, value| {
            if places.len() >= limit {
                return ControlFlow::Break(());
            }
            places.extend(keys::seq_of(key).zip(Place::from_value(value)));
            ControlFlow::Continue(())
        })?;
        for (seq, place) in places {
            let Parts { facts, change, .. } = self.frames.borrow_mut().read(place, seq)?.parts;
            bytes += facts.len() + change.len();
            entries.push(RawEntry { seq, facts, change });
            if bytes >= ENTRIES_BYTES_MAX {
                break;
            }
        }
        Ok(entries)
    }

    pub fn facts_in(&self, entidad: &Ruc, after: Cursor, limit: usize) -> Result<Vec<FactAt>, ViewError> {
        self.facts_under(&keys::facts_in(entidad), Some(after), limit)
    }

    pub fn facts_of(&self, subject: Id) -> Result<Vec<FactAt>, ViewError> {
        self.facts_under(&keys::facts_of(subject), None, usize::MAX)
    }

    /// Facts whose places stand under `prefix`.
    fn facts_under(&self, prefix: &[u8], after: Option<Cursor>, limit: usize) -> Result<Vec<FactAt>, ViewError> {
        let after = after.map(|at| keys::with(prefix.to_vec(), &keys::place(at)));
        let mut cursors = Vec::new();
        self.index.scan(prefix, after.as_deref(), Forward, &mut |key, _| {
            if cursors.len() >= limit {
                return ControlFlow::Break(());
            }
            cursors.extend(keys::cursor_of(key));
            ControlFlow::Continue(())
        })?;
        let mut facts = Vec::with_capacity(cursors.len());
        for same_entry in cursors.chunk_by(|a, b| a.seq == b.seq) {
            let Some(seq) = same_entry.first().map(|cursor| cursor.seq) else { continue };
            let place = self.place(seq)?.ok_or_else(|| IndexError::new(format!("entry {seq} is not in the index")))?;
            facts.extend(self.facts_at(place, seq)?.into_iter().filter(|fact| same_entry.contains(&fact.cursor)));
        }
        Ok(facts)
    }

    /// Jobs after an id, by id, and whether there are more.
    pub fn jobs_after(&self, after: Option<Id>, limit: usize) -> Result<(Vec<Job>, bool), IndexError> {
        let (mut jobs, mut wrong, mut more) = (Vec::new(), None, false);
        self.index.scan(keys::JOBS, after.map(keys::job).as_deref(), Forward, &mut |_, value| {
            more = jobs.len() == limit;
            if more {
                return ControlFlow::Break(());
            }
            match decoded(value) {
                Ok(job) => jobs.push(job),
                Err(error) => wrong = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        wrong.map_or(Ok((jobs, more)), Err)
    }

    pub fn job(&self, id: Id) -> Result<Option<Job>, IndexError> {
        self.index.get(&keys::job(id))?.map(|value| decoded(&value)).transpose()
    }

    /// Ids of a list of the kept, oldest first, and whether there are more.
    pub fn kept(&self, which: Kept, after: Option<Id>, limit: usize) -> Result<(Vec<Id>, bool), IndexError> {
        self.page(keys::kept(which), Forward, after, limit)
    }

    /// Lines of counts, oldest first.
    pub fn lines(&self, wanted: &Lines<'_>) -> Result<Vec<Line>, IndexError> {
        let (before, end) = wanted.range();
        let (prefix, before, end) = (keys::line(&wanted.prefix()), keys::line(&before), keys::line(&end));
        let (mut lines, mut wrong) = (Vec::new(), false);
        self.index.scan(&prefix, Some(&before), Forward, &mut |key, value| {
            if key >= end.as_slice() {
                return ControlFlow::Break(());
            }
            let line = key.get(1..).and_then(|key| wanted.line(key, value));
            wrong |= line.is_none();
            lines.extend(line);
            ControlFlow::Continue(())
        })?;
        if wrong { Err(IndexError::new("a line of counts in the index does not read back")) } else { Ok(lines) }
    }

    /// A stored document and who names it.
    pub fn named(&self, sha256: &Sha256) -> Result<Option<Named>, IndexError> {
        let Some(placed) = self.document(sha256)? else { return Ok(None) };
        let by = View::new(self.index, None).naming(sha256)?;
        Ok(Some(Named { bytes: placed.bytes, by }))
    }

    /// The entry that purged a document which is not there any more.
    pub fn purged(&self, sha256: &Sha256) -> Result<Option<Seq>, IndexError> {
        let value = self.index.get(&keys::purged(sha256))?;
        Ok(value.and_then(|value| value.as_slice().try_into().ok()).map(Seq::from_le_bytes))
    }

    pub fn document(&self, sha256: &Sha256) -> Result<Option<Placed>, IndexError> {
        Ok(self.index.get(&keys::document(sha256))?.and_then(|value| Placed::from_value(sha256, &value)))
    }
}

fn decoded(value: &[u8]) -> Result<Job, IndexError> {
    serde_json::from_slice(value).map_err(|error| IndexError::new(format!("a job in the index: {error}")))
}

fn unreadable(seq: Seq, what: String) -> StoreError {
    StoreError::Damaged { place: format!("journal, asiento {seq}"), what }
}
