//! The index: an ordered map that can be thrown away and rebuilt from the journal. redb is behind a small trait, and its
//! panics are contained: whatever it does wrong costs a rebuild, not the process.

use std::{
    collections::HashMap,
    fs,
    ops::ControlFlow,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock},
};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition};

use super::pages::Pages;
use crate::{config::causes::in_spanish, store::blobs::disk_refuses, telemetry::failpoint};

/// The index cannot be relied on any more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct IndexError {
    what: String,
    /// Only because the disk takes nothing now.
    pub disk_refuses: bool,
}

impl IndexError {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), disk_refuses: false }
    }
}

impl From<std::io::Error> for IndexError {
    fn from(error: std::io::Error) -> Self {
        Self { what: in_spanish(&error), disk_refuses: disk_refuses(&error) }
    }
}

/// Keys and their new values; `None` removes.
pub type Writes = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// Sees one key and its value, and says whether to go on.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Back,
}

pub trait Index: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Visits the keys that begin with `prefix`, in order, beyond `after` (exclusive) if given. The visitor must not use the
    /// index: it is locked meanwhile.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        direction: Direction,
        each: &mut Visitor<'_>,
    ) -> Result<(), IndexError>;

    /// Applies all or, if the process dies, nothing.
    fn apply(&self, writes: Writes) -> Result<(), IndexError>;

    /// Hands everything to the operating system.
    fn flush(&self) -> Result<(), IndexError>;

    /// Whether something of it is in memory because the disk did not take it.
    fn holds(&self) -> bool;

    /// Brings what it holds to the disk, if the disk takes it now. Reading goes on meanwhile.
    fn settle(&self) -> Result<(), IndexError>;
}

/// Where an index keeps what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// In its file, which is made if it is missing.
    OnDisk,
    /// In memory over its file, which nothing is written to before it is settled.
    OverFile,
    /// In memory, empty at first, until it is settled.
    InMemory,
}

/// Opens the index in a folder; the bound of its cache is in bytes.
pub type Opener = fn(&Path, u64, Keeping) -> Result<Box<dyn Index>, IndexError>;

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("index");
const FILE: &str = "index.redb";
/// Keys written between two states that a killed process leaves behind: what came after them is replayed from the
/// journal, and each costs redb a walk over its free pages.
const SAVE_EVERY: u64 = 16 * 1024;

type Snapshot = ReadOnlyTable<&'static [u8], &'static [u8]>;

pub struct RedbIndex {
    db: Database,
    /// The state as of the last batch.
    snapshot: RwLock<Snapshot>,
    /// Keys written since the file was last in a state to be left behind.
    unsaved: Mutex<u64>,
    save_every: u64,
    pages: Pages,
}

impl RedbIndex {
    pub fn open(path: &Path, cache_bytes: u64, keeping: Keeping) -> Result<Box<dyn Index>, IndexError> {
        contained(|| {
            let pages = match keeping {
                Keeping::OnDisk => Pages::open(path, FILE),
                Keeping::OverFile => Pages::over(path, FILE),
                Keeping::InMemory => Pages::apart(path, FILE),
            };
            let pages = pages?;
            let db = Database::builder()
                .set_cache_size(usize::try_from(cache_bytes).unwrap_or(usize::MAX))
                // Nothing here was synced: what is found is believed page by page.
                .set_check_integrity_on_open(true)
                .create_with_backend(pages.clone())
                .map_err(failed)?;
            let txn = db.begin_write().map_err(failed)?;
            txn.open_table(TABLE).map_err(failed)?;
            txn.commit().map_err(failed)?;
            let snapshot = RwLock::new(snapshot(&db)?);
            let save_every = failpoint::size("CHASQUI_INDEX_SAVE_EVERY", SAVE_EVERY);
            Ok(Box::new(Self { db, snapshot, unsaved: Mutex::new(0), save_every, pages }) as Box<dyn Index>)
        })
    }

    fn write(&self, writes: Writes, save: bool) -> Result<(), IndexError> {
        let mut txn = self.db.begin_write().map_err(failed)?;
        txn.set_durability(if save { Durability::Immediate } else { Durability::None }).map_err(failed)?;
        // With what a start needs to know of the free pages, so that it need not look for them.
        txn.set_quick_repair(save);
        let mut table = txn.open_table(TABLE).map_err(failed)?;
        // In order, neighbours share their pages while these are at hand.
        let mut writes: Vec<_> = writes.into_iter().collect();
        writes.sort_unstable();
        for (key, value) in &writes {
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice()).map(drop),
                None => table.remove(key.as_slice()).map(drop),
            }
            .map_err(failed)?;
        }
        drop(table);
        txn.commit().map_err(failed)?;
        let snapshot = snapshot(&self.db)?;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(())
    }
}

fn snapshot(db: &Database) -> Result<Snapshot, IndexError> {
    db.begin_read().map_err(failed)?.open_table(TABLE).map_err(failed)
}

impl Index for RedbIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let table = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        contained(|| Ok(table.get(key).map_err(failed)?.map(|value| value.value().to_vec())))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        direction: Direction,
        each: &mut Visitor<'_>,
    ) -> Result<(), IndexError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let end = successor(prefix);
        let (mut low, mut high) = (Included(prefix), end.as_deref().map_or(Unbounded, Excluded));
        match (after, direction) {
            (Some(after), Direction::Forward) => low = Excluded(after),
            (Some(after), Direction::Back) => high = Excluded(after),
            (None, _) => {}
        }
        let table = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        contained(|| {
            let mut range = table.range::<&[u8]>((low, high)).map_err(failed)?;
            while let Some(pair) = if direction == Direction::Back { range.next_back() } else { range.next() } {
                let (key, value) = pair.map_err(failed)?;
                if each(key.value(), value.value()).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&self, writes: Writes) -> Result<(), IndexError> {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        *unsaved += writes.len() as u64;
        let save = *unsaved >= self.save_every;
        contained(|| self.write(writes, save))?;
        if save {
            *unsaved = 0;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        contained(|| self.write(Writes::new(), true))?;
        self.settle()
    }

    fn holds(&self) -> bool {
        self.pages.holds()
    }

    fn settle(&self) -> Result<(), IndexError> {
        // Nobody writes: `unsaved` is held while somebody does.
        let _writing = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.pages.settle()?)
    }
}

/// The first key behind all that begin with `prefix`; `None` if there is none.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return Some(key);
        }
    }
    None
}

fn failed(error: impl std::fmt::Display) -> IndexError {
    IndexError::new(error.to_string())
}

fn contained<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
        Err(IndexError::new(format!("panic: {text}")))
    })
}

/// Every file and folder of a flushed index on the disk: until now nothing of it was synced.
pub fn sync_files(path: &Path) -> std::io::Result<()> {
    for entry in path.read_dir()? {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            sync_files(&path)?;
        } else {
            fs::File::open(&path)?.sync_all()?;
        }
    }
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(index: &dyn Index, prefix: &[u8], after: Option<&[u8]>, direction: Direction) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        let mut each = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        };
        index.scan(prefix, after, direction, &mut each).unwrap();
        keys
    }

    #[test]
    fn scans_keep_to_their_prefix_in_both_directions() {
        let dir = tempfile::tempdir().unwrap();
        let index = RedbIndex::open(dir.path(), 1 << 20, Keeping::OnDisk).unwrap();
        let names: [&[u8]; 6] = [b"a", b"b", b"b1", b"b2", b"b\xFF", b"c"];
        index.apply(names.iter().map(|n| (n.to_vec(), Some(vec![]))).collect()).unwrap();
        assert_eq!(keys(&*index, b"b", None, Direction::Forward), [&b"b"[..], b"b1", b"b2", b"b\xFF"]);
        assert_eq!(keys(&*index, b"b", Some(b"b1"), Direction::Forward), [&b"b2"[..], b"b\xFF"]);
        assert_eq!(keys(&*index, b"b", Some(b"b2"), Direction::Back), [&b"b1"[..], b"b"]);
        assert_eq!(keys(&*index, b"b\xFF", None, Direction::Back), [&b"b\xFF"[..]]);
    }

    #[test]
    fn a_panic_inside_is_an_error() {
        assert!(contained::<()>(|| panic!("broken")).is_err_and(|e| e.to_string().contains("broken")));
    }
}
