//! An index in memory only, for tests that open many stores.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::super::index::{Direction, Index, IndexError, Keeping, Visitor, Writes};

pub struct MapIndex(Mutex<BTreeMap<Vec<u8>, Vec<u8>>>);

impl MapIndex {
    pub fn open(path: &Path, _cache_bytes: u64, _keeping: Keeping) -> Result<Box<dyn Index>, IndexError> {
        fs::create_dir_all(path)?;
        Ok(Box::new(Self(Mutex::default())))
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index for MapIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.map().get(key).cloned())
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        direction: Direction,
        each: &mut Visitor<'_>,
    ) -> Result<(), IndexError> {
        let map = self.map();
        let within = map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        let mut found: Vec<_> = within.map(|(key, value)| (key.clone(), value.clone())).collect();
        drop(map);
        if direction == Direction::Back {
            found.reverse();
        }
        let beyond = |key: &[u8]| match (after, direction) {
            (None, _) => true,
            (Some(after), Direction::Forward) => key > after,
            (Some(after), Direction::Back) => key < after,
        };
        for (key, value) in found.iter().filter(|(key, _)| beyond(key)) {
            if each(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, writes: Writes) -> Result<(), IndexError> {
        let mut map = self.map();
        for (key, value) in writes {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn holds(&self) -> bool {
        false
    }

    fn settle(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
