//! What the store's handle and its committer share: the index and its state, the queue of jobs, and the news of what was committed.

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    Progress,
    boot::Boot,
    disk::{self, Disk},
    entry::json,
    index::{self, Index, IndexError},
    lookup::Lookup,
    recovery::index_failed,
    view::ViewError,
};
use crate::store::{Seq, StoreError, latest::Latest, queue::Queue};

pub struct Shared {
    pub data_dir: PathBuf,
    pub journal_dir: PathBuf,
    pub boot: Boot,
    pub open_index: index::Opener,
    /// Bound of the index's cache, in bytes.
    pub cache_bytes: u64,
    pub progress: Option<Arc<Progress>>,
    /// Written only while a batch is applied or the index exchanged, so that a reader sees whole changes.
    pub index: RwLock<IndexState>,
    /// The jobs that are not dead, as of the last batch.
    pub queue: Mutex<Queue>,
    pub published: watch::Sender<Seq>,
    pub directory: Latest,
    /// Held as long as anything of the store is in use.
    pub _lock: File,
}

pub enum IndexState {
    Ready(Box<dyn Index>),
    /// It failed, and why; the committer rebuilds it.
    Lost(IndexError),
}

/// Left by a clean stop, removed at the next start.
#[derive(Debug, Serialize, Deserialize)]
pub struct CleanStop {
    pub last_seq: Seq,
    /// The kernel's boot in which it stopped.
    pub boot_id: Option<String>,
}

impl Shared {
    pub fn lose(&self, error: &IndexError) {
        let mut state = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let IndexState::Ready(_) = &*state {
            tracing::error!(%error, "the index failed and will be rebuilt");
            *state = IndexState::Lost(error.clone());
        }
    }

    pub fn replace_index(&self, index: Box<dyn Index>) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = IndexState::Ready(index);
    }

    pub fn is_lost(&self) -> bool {
        matches!(&*self.index.read().unwrap_or_else(PoisonError::into_inner), IndexState::Lost(_))
    }

    /// Reads the index in one state, between two batches. A lost index is an [`IndexError`].
    pub fn read<T, E: Into<ViewError>>(&self, work: impl FnOnce(Lookup<'_>) -> Result<T, E>) -> Result<T, ViewError> {
        match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            IndexState::Ready(index) => work(Lookup::new(&**index, &self.journal_dir)).map_err(Into::into),
            IndexState::Lost(why) => Err(why.clone().into()),
        }
    }

    pub fn publish(&self, seq: Seq) {
        self.published.send_replace(seq);
    }

    /// Puts the index and then the mark on the disk.
    pub fn leave_mark(&self, disk: &dyn Disk, last_seq: Seq) -> Result<(), StoreError> {
        let state = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let IndexState::Ready(index) = &*state else { return Ok(()) };
        index.flush().map_err(index_failed)?;
        index::sync_files(&self.data_dir.join("index"))?;
        let mark = CleanStop { last_seq, boot_id: self.boot.id.clone() };
        disk::replace(disk, &self.data_dir.join("clean-stop"), &json(&mark)?)?;
        Ok(())
    }
}
