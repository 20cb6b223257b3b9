//! The index: an ordered map that can be thrown away and rebuilt from the journal. sled is behind a small trait, and its
//! panics are contained: whatever it does wrong costs a rebuild, not the process.

use std::{
    collections::HashMap,
    fs,
    ops::ControlFlow,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
};

/// The index cannot be relied on any more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct IndexError(pub String);

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
    /// index: sled holds a lock of its own meanwhile.
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
}

/// Opens the index in a folder, or makes it; the bound of its cache is in bytes.
pub type Opener = fn(&Path, u64) -> Result<Box<dyn Index>, IndexError>;

pub struct SledIndex(sled::Db);

impl SledIndex {
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Box<dyn Index>, IndexError> {
        contained(|| {
            let config = sled::Config::new().path(path).cache_capacity(cache_bytes).mode(sled::Mode::LowSpace);
            // Nothing relies on what sled has on disk; it is flushed at a clean stop.
            let db = config.flush_every_ms(None).open().map_err(failed)?;
            Ok(Box::new(Self(db)) as Box<dyn Index>)
        })
    }
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        contained(|| Ok(self.0.get(key).map_err(failed)?.map(|value| value.to_vec())))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        direction: Direction,
        each: &mut Visitor<'_>,
    ) -> Result<(), IndexError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let low = Included(prefix.to_vec());
        let high = successor(prefix).map_or(Unbounded, Excluded);
        let after = after.map(|key| Excluded(key.to_vec()));
        contained(|| {
            let (range, back) = match direction {
                Direction::Forward => (self.0.range((after.unwrap_or(low), high)), false),
                Direction::Back => (self.0.range((low, after.unwrap_or(high))), true),
            };
            let mut range = range;
            while let Some(pair) = if back { range.next_back() } else { range.next() } {
                let (key, value) = pair.map_err(failed)?;
                if each(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&self, writes: Writes) -> Result<(), IndexError> {
        contained(|| {
            let mut batch = sled::Batch::default();
            for (key, value) in writes {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            self.0.apply_batch(batch).map_err(failed)
        })
    }

    fn flush(&self) -> Result<(), IndexError> {
        contained(|| self.0.flush().map(drop).map_err(failed))
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

fn failed(error: sled::Error) -> IndexError {
    IndexError(error.to_string())
}

fn contained<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic");
        Err(IndexError(format!("panic: {text}")))
    })
}

/// Every file and folder of a flushed index on the disk: sled's own flush does not outlive a power cut.
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
        let index = SledIndex::open(dir.path(), 1 << 20).unwrap();
        let names: [&[u8]; 6] = [b"a", b"b", b"b1", b"b2", b"b\xFF", b"c"];
        index.apply(names.iter().map(|n| (n.to_vec(), Some(vec![]))).collect()).unwrap();
        assert_eq!(keys(&*index, b"b", None, Direction::Forward), [&b"b"[..], b"b1", b"b2", b"b\xFF"]);
        assert_eq!(keys(&*index, b"b", Some(b"b1"), Direction::Forward), [&b"b2"[..], b"b\xFF"]);
        assert_eq!(keys(&*index, b"b", Some(b"b2"), Direction::Back), [&b"b1"[..], b"b"]);
        assert_eq!(keys(&*index, b"b\xFF", None, Direction::Back), [&b"b\xFF"[..]]);
    }

    #[test]
    fn a_panic_inside_is_an_error() {
        assert!(contained::<()>(|| panic!("broken")).is_err_and(|e| e.0.contains("broken")));
    }
}
