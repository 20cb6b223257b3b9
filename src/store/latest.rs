//! The directory as it was last read: thousands of entities, named on every list, that change once a day.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Directorio, Record};

#[derive(Default)]
pub struct Latest(Mutex<Option<Arc<Directorio>>>);

impl Latest {
    /// If that is the version in the store.
    pub fn of(&self, version: Option<u32>) -> Option<Arc<Directorio>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| Some(kept.version) == version).cloned()
    }

    /// What was just read takes the place of what was kept.
    pub fn keep(&self, read: Option<Record>) -> Option<Arc<Directorio>> {
        let directory = match read {
            Some(Record::Directorio(directory)) => Some(Arc::new(*directory)),
            _ => None,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&directory);
        directory
    }
}
