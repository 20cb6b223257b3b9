//! The shared suite, and what is this store's own: crashes, damage, a full disk.

use std::{path::Path, sync::Arc};

use tempfile::TempDir;

use super::{EmbeddedStore, Options};
use crate::store::{SharedStore, samples::at, suite::store_suite};

mod suite {
    use super::*;

    store_suite!(fresh);
}

fn open(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(dir, Options::new(at(0))).unwrap()
}

async fn fresh() -> (SharedStore, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (open(dir.path()), dir)
}
