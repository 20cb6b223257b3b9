//! Bytes of purged documents off the disk. By now the entry that purged them is durable and the index does not lead to them
//! any more; the index keeps a list of what is left to do, which a rebuilt one makes anew from the journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    ops::ControlFlow,
    path::PathBuf,
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    committer::Committer,
    disk, documents,
    index::{Direction, Index, IndexError, Writes},
    keys, packs,
    placement::{InPack, Placed},
    shared::IndexState,
};
use crate::{domain::Sha256, telemetry::failpoint};

/// Documents erased with shared syncs.
const STEP: usize = 64;
/// Least time between a failed attempt and the next.
const PAUSE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });

impl Committer {
    /// Erases what was purged: one step, so that other changes do not wait long, or `all` of it. What the disk refuses is
    /// tried again later: nothing else depends on it.
    pub fn erase(&mut self, all: bool) {
        if !self.unerased || self.erase_failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        let mut erased = 0_u64;
        loop {
            match self.erase_step() {
                Ok(None) => break,
                Ok(Some(0)) => {
                    self.unerased = false;
                    break;
                }
                Ok(Some(count)) => {
                    erased += count;
                    if !all {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "purged documents are still on the disk; trying again later");
                    self.erase_failed = Some(Instant::now());
                    return;
                }
            }
        }
        self.erase_failed = None;
        if erased > 0 {
            tracing::info!(documents = erased, "purged documents were erased");
        }
    }

    /// How many were done with; 0: none is left; `None`: without an index that cannot be told now.
    fn erase_step(&mut self) -> io::Result<Option<u64>> {
        let shared = std::sync::Arc::clone(&self.shared);
        let pending = {
            let state = shared.index.read().unwrap_or_else(PoisonError::into_inner);
            let IndexState::Ready(index) = &*state else { return Ok(None) };
            Pending::of(&**index).map_err(failed)?
        };
        if pending.done.is_empty() {
            return Ok(Some(0));
        }
        failpoint::reach("erase.begin");
        self.erase_in_packs(&pending.packs)?;
        self.remove_files(&pending.files)?;
        failpoint::reach("erase.forget");
        let count = pending.done.len() as u64;
        let writes: Writes = pending.done.into_iter().map(|key| (key, None)).collect();
        let state = shared.index.write().unwrap_or_else(PoisonError::into_inner);
        if let IndexState::Ready(index) = &*state {
            index.apply(writes).map_err(failed)?;
        }
        Ok(Some(count))
    }

    fn erase_in_packs(&self, packs: &BTreeMap<u32, Vec<(InPack, Sha256, u64)>>) -> io::Result<()> {
        let dir = self.shared.data_dir.join("packs");
        for (number, documents) in packs {
            let file = match self.disk.open(&packs::path(&dir, *number), false) {
                // A pack that is missing is damage, and not this one's to tell.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let mut written = false;
            for (at, sha256, bytes) in documents {
                let Some(record) = packs::erased(sha256, *bytes) else { continue };
                if packs::is_erased(&dir, *at, sha256, *bytes)? {
                    continue;
                }
                failpoint::reach_half("erase.torn", || disk::write_half(&*self.disk, &file, &record, at.offset));
                self.disk.write_at(&file, &record, at.offset)?;
                written = true;
            }
            if written {
                failpoint::reach("erase.sync");
                self.disk.sync(&file)?;
                failpoint::reach("erase.synced");
            }
        }
        Ok(())
    }

    fn remove_files(&self, files: &[Sha256]) -> io::Result<()> {
        let dir = self.shared.data_dir.join("documents");
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for sha256 in files {
            let path = documents::path(&dir, sha256);
            if !fs::exists(&path)? {
                continue;
            }
            disk::remove(&path)?;
            failpoint::reach("erase.removed");
            folders.extend(path.parent().map(PathBuf::from));
        }
        folders.iter().try_for_each(|folder| self.disk.sync_dir(folder))
    }
}

fn failed(error: IndexError) -> io::Error {
    io::Error::other(error)
}

/// What is left to erase.
#[derive(Default)]
struct Pending {
    packs: BTreeMap<u32, Vec<(InPack, Sha256, u64)>>,
    files: Vec<Sha256>,
    /// The keys of all of it, and of what came back meanwhile.
    done: Vec<Vec<u8>>,
}

impl Pending {
    fn of(index: &dyn Index) -> Result<Self, IndexError> {
        let mut pending = Self::default();
        index.scan(keys::ERASING, None, Direction::Forward, &mut |key, _| {
            pending.done.push(key.to_vec());
            if pending.done.len() < STEP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for Placed { sha256, bytes, pack } in pending.done.iter().filter_map(|key| keys::erasing_of(key)) {
            match pack {
                Some(at) => pending.packs.entry(at.number).or_default().push((at, sha256, bytes)),
                // Stored again since, a large document has the same name; in a pack it has another place.
                None => {
                    let stored = index.get(&keys::document(&sha256))?;
                    let placed = stored.and_then(|value| Placed::from_value(&sha256, &value));
                    if placed.is_none_or(|placed| placed.pack.is_some()) {
                        pending.files.push(sha256);
                    }
                }
            }
        }
        Ok(pending)
    }
}
