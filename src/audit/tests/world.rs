//! A store with a log over it, in a folder of its own.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::{
    audit::{
        Log,
        log::Options,
        verify::{Report, verify_dir},
    },
    domain::{Despacho, Sha256},
    signing::timestamp::Timestamper,
    store::{
        Change, Record, SharedStore, Staged,
        embedded::{self, EmbeddedStore},
        samples::{at, bytes, despacho, documento, fact, number, stage},
    },
};

pub struct World {
    pub folder: TempDir,
    pub store: SharedStore,
    pub log: Arc<Log>,
}

/// The documents of the samples are told from each other by this.
const SIZE: usize = 3000;

pub fn now() -> Timestamp {
    at(1000)
}

impl World {
    pub fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    /// With an authority that stamps its checkpoints.
    pub fn with_timestamper(timestamper: Arc<dyn Timestamper>) -> Self {
        Self::open_with(tempfile::tempdir().unwrap(), Some(timestamper))
    }

    pub fn open(folder: TempDir) -> Self {
        Self::open_with(folder, None)
    }

    fn open_with(folder: TempDir, timestamper: Option<Arc<dyn Timestamper>>) -> Self {
        let store: SharedStore = EmbeddedStore::open(folder.path(), embedded::Options::new(now())).unwrap();
        let log = Self::log(folder.path().to_owned(), &store, timestamper);
        Self { folder, store, log }
    }

    fn log(data_dir: PathBuf, store: &SharedStore, timestamper: Option<Arc<dyn Timestamper>>) -> Arc<Log> {
        let options = Options { data_dir, origin: "chasqui/prueba".into(), seed: [5; 32], export: None, timestamper };
        Log::open(Arc::clone(store), options).unwrap()
    }

    /// Closes everything and opens it again.
    pub async fn reopen(self) -> Self {
        let folder = self.close().await;
        Self::open(folder)
    }

    pub async fn close(self) -> TempDir {
        self.log.settle().await;
        self.store.close().await.unwrap();
        self.folder
    }

    pub async fn stage(&self, seed: u64, size: usize) -> Staged {
        stage(&*self.store, &bytes(seed, size)).await
    }

    /// One entry: a despacho with a document of its own.
    pub async fn entry(&self, seed: u64) -> (Despacho, Sha256) {
        let staged = self.stage(seed, SIZE).await;
        let sha256 = staged.sha256.clone();
        let despacho = despacho(documento(&staged));
        let mut fact = fact(despacho.id, "despacho.registrado");
        fact.documentos = vec![sha256.clone()];
        let records = vec![Record::Despacho(Box::new(despacho.clone()))];
        let change = Change { facts: vec![fact], records, documents: vec![staged], ..Change::default() };
        self.store.commit(change).await.unwrap();
        (despacho, sha256)
    }

    pub async fn entries(&self, count: u64) {
        for _ in 0..count {
            self.entry(number()).await;
        }
    }

    pub fn verify(&self) -> Report {
        verify_dir(self.folder.path(), None, None, &mut |_| {}).unwrap()
    }
}
