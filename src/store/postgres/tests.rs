//! The store's suite on a real server, and what only this store does. `CHASQUI_TEST_POSTGRES` names a server where databases may
//! be made (`./test` starts one); without it each test starts one of its own.

use std::sync::Arc;

use super::*;
use crate::store::{SharedStore, suite::store_suite};

store_suite!(store);

/// What keeps a test's database alive.
struct Guard {
    _server: testing::Server,
    _folder: tempfile::TempDir,
}

async fn store() -> (SharedStore, Guard) {
    let server = testing::Server::new().await;
    let url = server.database().await;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&url, &folder).await;
    (store, Guard { _server: server, _folder: folder })
}

async fn open(url: &str, folder: &tempfile::TempDir) -> Arc<PostgresStore> {
    let options = Options { url: url.into(), ca_file: None, data_dir: folder.path().into(), connections: 8 };
    PostgresStore::open(options).await.unwrap()
}
