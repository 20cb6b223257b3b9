//! Bringing the index up to the journal: at start, and when it failed while running.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Reading, answered,
    boot::{Boot, Trust},
    disk::{self, Disk, OsDisk},
    entry::{Entry, json},
    frame::Frame,
    index::{self, Direction, Index, IndexError, Keeping, Writes},
    journal::{self, Scanned},
    keys, lookup,
    segment::{self, Place, Segment},
    shared::{CleanStop, Shared},
    tail::Tail,
    view::{View, ViewError},
};
use crate::{
    store::{Seq, StoreError},
    telemetry::failpoint,
};

/// Entries, and about the bytes of them, that are applied to the index at once while replaying.
const STEP_ENTRIES: u64 = 2048;
const STEP_BYTES: usize = 4 * 1024 * 1024;
/// Time between two lines of the log on a replay's progress.
const LOG_EVERY: Duration = Duration::from_secs(2);

/// Entries that were acknowledged and are in the journal no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub first: Seq,
    pub last: Seq,
}

/// Where it is written down until a fact about it is in the journal.
const MISSING: &str = "recortado.json";

/// The store as found.
pub struct Recovered {
    pub index: Box<dyn Index>,
    pub end: End,
}

/// The journal's end, ready to be written on.
pub struct End {
    pub scanned: Scanned,
    pub clean: bool,
    pub missing: Option<Missing>,
}

/// What is known of the journal without reading it.
struct Marks {
    clean: bool,
    noted: Option<Missing>,
    /// The last entry that anybody knows of.
    known: Seq,
}

impl Marks {
    fn read(dir: &Path) -> Self {
        let stop = clean_stop(dir);
        let known = stop.as_ref().map_or(0, |m| m.last_seq).max(answered::read(dir));
        Self { clean: stop.is_some(), noted: read_json(&dir.join(MISSING)), known }
    }
}

/// Opens the index if it can be trusted, brings it up to the journal's end, and cuts off what an interrupted write left.
pub fn recover(shared: &Setting<'_>, disk: &dyn Disk) -> Result<Recovered, StoreError> {
    let dir = shared.data_dir;
    let mut marks = Marks::read(dir);
    let existing = if trusted(shared, marks.clean) { usable(open_index(shared, disk))? } else { None };
    marks.known = marks.known.max(existing.as_ref().map_or(0, |(_, applied)| *applied));
    let brought = existing.map(|(index, applied)| bring_up(shared, index, applied)).transpose()?;
    let (index, scanned) = match brought.flatten() {
        Some(up_to_date) => up_to_date,
        None => {
            // Where the journal ends is known before an index that knows of more is thrown away.
            let unfinished = Tail::read(dir, marks.known)?.unfinished(dir)?;
            let scanned = journal::scan(&dir.join("journal"), Seq::MAX, unfinished, &mut |_, _, _| Ok(()))?;
            note_missing(dir, disk, &marks, scanned.next)?;
            let index = new_index(shared, disk)?;
            let scanned = replay(shared, &*index, 1)?;
            (index, scanned)
        }
    };
    if failpoint::told("CHASQUI_INDEX_COMPARE").is_some() {
        compare(shared, &*index)?;
    }
    Ok(Recovered { end: end(shared, disk, &marks, scanned)?, index })
}

/// Fails if an index is not what it would be if it were built anew: each key, each value.
pub fn compare(shared: &Setting<'_>, index: &dyn Index) -> Result<(), StoreError> {
    let folder = shared.data_dir.join("index");
    let anew = (shared.open_index)(&folder, shared.cache_bytes, Keeping::InMemory).map_err(index_failed)?;
    let anew = empty(anew)?;
    replay(shared, &*anew, 1)?;
    let contents = |index: &dyn Index| {
        let mut contents = BTreeMap::new();
        let scanned = index.scan(&[], None, Direction::Forward, &mut |key, value| {
            // What is still to be erased is a matter of the disk, not of the journal.
            if !key.starts_with(keys::ERASING) {
                contents.insert(key.to_vec(), value.to_vec());
            }
            ControlFlow::Continue(())
        });
        scanned.map(|()| contents).map_err(index_failed)
    };
    let (found, expected) = (contents(index)?, contents(&*anew)?);
    let differing = found.iter().find(|(key, value)| expected.get(*key) != Some(*value)).map(|(key, _)| key);
    let differing = differing.or_else(|| expected.keys().find(|key| !found.contains_key(*key)));
    match differing {
        None => Ok(()),
        Some(key) => Err(StoreError::Damaged {
            place: "index".into(),
            what: format!("no es lo que dice el diario: {}", String::from_utf8_lossy(key)),
        }),
    }
}

/// Cuts off what an interrupted write left, and tells what is missing.
fn end(shared: &Setting<'_>, disk: &dyn Disk, marks: &Marks, scanned: Scanned) -> Result<End, StoreError> {
    let missing = note_missing(shared.data_dir, disk, marks, scanned.next)?;
    if let Some(torn) = &scanned.torn {
        failpoint::reach("torn.cut");
        let bytes = torn.cut(&shared.data_dir.join("journal"), disk)?;
        let (place, seq, why) = (torn.segment.place(torn.offset), torn.seq, torn.why);
        tracing::warn!(%place, seq, why, bytes, "the journal ended in an unfinished entry, which was cut off");
    }
    // Whoever opens the store tells of these entries as of any other.
    Tail::read(shared.data_dir, marks.known)?.settle(shared.data_dir, scanned.next, disk)?;
    Ok(End { scanned, clean: marks.clean, missing })
}

/// The store as found, for reading: nothing is written to the disk, which takes nothing. With it the last entry that an
/// index knew of that is of no use.
pub fn read(shared: &Setting<'_>) -> Result<(UpToDate, Seq), StoreError> {
    let open = |keeping| (shared.open_index)(&shared.data_dir.join("index"), shared.cache_bytes, keeping);
    let clean = clean_stop(shared.data_dir).is_some();
    let existing = if trusted(shared, clean) { usable(open(Keeping::OverFile).map_err(index_failed))? } else { None };
    let known = existing.as_ref().map_or(0, |(_, applied)| *applied);
    let brought = existing.map(|(index, applied)| bring_up(shared, index, applied)).transpose()?;
    if let Some(up_to_date) = brought.flatten() {
        return Ok((up_to_date, known));
    }
    let index = empty(open(Keeping::InMemory).map_err(index_failed)?)?;
    let scanned = replay(shared, &*index, 1)?;
    Ok(((index, scanned), known))
}

/// On a disk that takes something again: the index that was read from goes there, and stays in use meanwhile; the journal's
/// end is made ready. `known`: what [`read`] said.
pub fn resume(shared: &Setting<'_>, disk: &dyn Disk, index: &dyn Index, known: Seq) -> Result<End, StoreError> {
    settle(shared, disk, index)?;
    let applied = lookup::applied(index).map_err(index_failed)?.unwrap_or(0);
    let scanned = replay(shared, index, applied + 1)?;
    let mut marks = Marks::read(shared.data_dir);
    marks.known = marks.known.max(known);
    end(shared, disk, &marks, scanned)
}

/// Brings what an index holds in memory to the disk, and vouches for it.
pub fn settle(shared: &Setting<'_>, disk: &dyn Disk, index: &dyn Index) -> Result<(), StoreError> {
    if index.holds() {
        index.settle().map_err(index_failed)?;
        vouch(shared, disk)?;
    }
    Ok(())
}

fn trusted(shared: &Setting<'_>, clean: bool) -> bool {
    match shared.boot.judge(shared.data_dir) {
        Trust::Same => true,
        Trust::Other => clean,
        Trust::None => false,
    }
}

/// An index that has everything the journal has.
pub type UpToDate = (Box<dyn Index>, Scanned);

/// What recovery needs to know of the store.
pub struct Setting<'a> {
    pub data_dir: &'a Path,
    pub boot: &'a Boot,
    pub open_index: index::Opener,
    pub cache_bytes: u64,
    pub progress: Option<&'a super::Progress>,
}

impl<'a> Setting<'a> {
    pub fn of(shared: &'a Shared) -> Self {
        let Shared { data_dir, boot, open_index, cache_bytes, progress, .. } = shared;
        Self { data_dir, boot, open_index: *open_index, cache_bytes: *cache_bytes, progress: progress.as_deref() }
    }
}

/// The mark of a clean stop, if the store was not opened since.
pub fn clean_stop(dir: &Path) -> Option<CleanStop> {
    read_json(&dir.join("clean-stop"))
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
}

/// An index as it was left, and the last entry applied to it.
type Left = (Box<dyn Index>, Seq);

/// `None` if it is of no use. Fails only if the disk refuses.
fn usable(opened: Result<Box<dyn Index>, StoreError>) -> Result<Option<Left>, StoreError> {
    let look = |index: Box<dyn Index>| -> Result<_, StoreError> {
        let sound = index.get(keys::FORMAT).map_err(index_failed)?.as_deref() == Some(keys::FORMAT_VALUE);
        let applied = lookup::applied(&*index).map_err(index_failed)?;
        Ok(applied.filter(|_| sound).map(|applied| (index, applied)))
    };
    match opened.and_then(look) {
        Err(error) if !error.disk_refuses() => {
            tracing::warn!(%error, "the index does not open; it is discarded and rebuilt from the journal");
            Ok(None)
        }
        found => found,
    }
}

fn open_index(shared: &Setting<'_>, disk: &dyn Disk) -> Result<Box<dyn Index>, StoreError> {
    Boot::doubt(disk, shared.data_dir)?;
    let folder = shared.data_dir.join("index");
    let index = (shared.open_index)(&folder, shared.cache_bytes, Keeping::OnDisk).map_err(index_failed)?;
    vouch(shared, disk)?;
    Ok(index)
}

fn vouch(shared: &Setting<'_>, disk: &dyn Disk) -> Result<(), StoreError> {
    match shared.boot.vouch(disk, shared.data_dir) {
        // Without the mark the next start builds the index anew.
        Err(error) if error.disk_refuses() => {
            tracing::warn!(%error, "the index opened, which cannot be written down");
            Ok(())
        }
        vouched => vouched,
    }
}

/// Throws away whatever index there is and begins an empty one.
fn new_index(shared: &Setting<'_>, disk: &dyn Disk) -> Result<Box<dyn Index>, StoreError> {
    match fs::remove_dir_all(shared.data_dir.join("index")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    empty(open_index(shared, disk)?)
}

fn empty(index: Box<dyn Index>) -> Result<Box<dyn Index>, StoreError> {
    let mut writes = Writes::new();
    writes.insert(keys::FORMAT.to_vec(), Some(keys::FORMAT_VALUE.to_vec()));
    writes.insert(keys::APPLIED.to_vec(), Some(0_u64.to_le_bytes().to_vec()));
    index.apply(writes).map_err(index_failed)?;
    Ok(index)
}

/// `None` if the index fails or knows of more than the journal has.
fn bring_up(shared: &Setting<'_>, index: Box<dyn Index>, applied: Seq) -> Result<Option<UpToDate>, StoreError> {
    match replay(shared, &*index, applied + 1) {
        Ok(scanned) if scanned.next > applied => Ok(Some((index, scanned))),
        Ok(_) => {
            tracing::warn!(applied, "the index knows of entries that the journal has no more; it is rebuilt");
            Ok(None)
        }
        Err(error @ StoreError::Index(_)) => {
            tracing::warn!(%error, "the index failed while it was brought up; it is rebuilt");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Writes down which acknowledged entries are gone, until a fact about it is in the journal.
fn note_missing(dir: &Path, disk: &dyn Disk, marks: &Marks, next: Seq) -> Result<Option<Missing>, StoreError> {
    let Marks { known, noted, .. } = *marks;
    let found = (known >= next).then_some(Missing { first: next, last: known });
    if let Some(missing) = found.filter(|_| noted.is_none()) {
        disk::replace(disk, &dir.join(MISSING), &json(&missing)?)?;
    }
    Ok(noted.or(found))
}

/// The fact is in the journal.
pub fn missing_recorded(dir: &Path) -> io::Result<()> {
    disk::remove(&dir.join(MISSING))
}

/// Replaces a failed index while the store runs.
pub fn rebuild(shared: &Shared) -> Result<(), StoreError> {
    tracing::warn!("rebuilding the index from the journal");
    let setting = Setting::of(shared);
    let index = match new_index(&setting, &OsDisk) {
        // Reading must go on: in memory, until the disk takes it.
        Err(error) if error.disk_refuses() => {
            let folder = setting.data_dir.join("index");
            let index = (setting.open_index)(&folder, setting.cache_bytes, Keeping::InMemory);
            empty(index.map_err(index_failed)?)?
        }
        index => index?,
    };
    let scanned = replay(&setting, &*index, 1)?;
    if let Some(torn) = scanned.torn {
        return Err(StoreError::Damaged { place: torn.segment.place(torn.offset), what: torn.why.into() });
    }
    shared.replace_index(index);
    shared.publish(scanned.next - 1);
    tracing::warn!(entries = scanned.next - 1, "the index is rebuilt");
    Ok(())
}

/// Applies the journal's entries from `from` on.
fn replay(shared: &Setting<'_>, index: &dyn Index, from: Seq) -> Result<Scanned, StoreError> {
    let journal_dir = shared.data_dir.join("journal");
    let segments = segment::list(&journal_dir)?;
    let mut replay = Replay {
        index,
        view: View::new(index, None),
        pending: (0, 0),
        state: Reading { entries: 0, bytes: 0, bytes_total: length(&segments, from)? },
        progress: shared.progress,
        logged: Instant::now(),
    };
    // What an index has was answered.
    let known = Marks::read(shared.data_dir).known.max(lookup::applied(index).map_err(index_failed)?.unwrap_or(0));
    let unfinished = Tail::read(shared.data_dir, known)?.unfinished(shared.data_dir)?;
    let mut visit = |frame: Frame, place, read| replay.entry(&frame, place, read);
    let scanned = journal::scan(&journal_dir, from, unfinished, &mut visit)?;
    replay.apply()?;
    Ok(scanned)
}

/// Bytes of the segments that hold the entries from `from` on.
fn length(segments: &[Segment], from: Seq) -> io::Result<u64> {
    let start = segments.iter().rposition(|s| s.first <= from).unwrap_or(0);
    segments.iter().skip(start).map(|s| Ok(fs::metadata(&s.path)?.len())).sum()
}

struct Replay<'a> {
    index: &'a dyn Index,
    view: View<'a>,
    /// Entries and bytes not yet applied.
    pending: (u64, usize),
    state: Reading,
    progress: Option<&'a super::Progress>,
    logged: Instant,
}

impl Replay<'_> {
    fn entry(&mut self, frame: &Frame, place: Place, read: u64) -> Result<(), StoreError> {
        let entry = Entry::decode(&frame.parts)
            .map_err(|what| StoreError::Damaged { place: format!("journal, asiento {}", frame.seq), what })?;
        self.view.put_entry(frame.seq, place, &entry).map_err(|error| match error {
            ViewError::Index(error) => index_failed(error),
            ViewError::Store(error) => error,
        })?;
        self.state.entries += 1;
        self.state.bytes = read;
        self.pending = (self.pending.0 + 1, self.pending.1 + frame.parts.len());
        if self.pending.0 >= STEP_ENTRIES || self.pending.1 >= STEP_BYTES {
            self.apply()?;
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        self.index.apply(std::mem::take(&mut self.view.writes)).map_err(index_failed)?;
        self.pending = (0, 0);
        if let Some(progress) = self.progress {
            progress(self.state);
        }
        if self.logged.elapsed() >= LOG_EVERY {
            let Reading { entries, bytes, bytes_total } = self.state;
            tracing::info!(entries, bytes, bytes_total, "replaying the journal into the index");
            self.logged = Instant::now();
        }
        Ok(())
    }
}

/// An index that fails costs time: the journal is sound, and it is built anew.
pub fn index_failed(error: IndexError) -> StoreError {
    if error.disk_refuses { StoreError::Unwritable(error.to_string()) } else { StoreError::Index(error.to_string()) }
}
