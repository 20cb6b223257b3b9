//! How often this process waited for the disk to confirm what was written: a process has one such number, whoever wrote.

use std::sync::atomic::{AtomicU64, Ordering};

static SYNCS: AtomicU64 = AtomicU64::new(0);

/// One more file or folder is being synced.
pub fn count() {
    SYNCS.fetch_add(1, Ordering::Relaxed);
}

pub fn total() -> u64 {
    SYNCS.load(Ordering::Relaxed)
}
