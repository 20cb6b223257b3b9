//! The shared suite, and what is this store's own: crashes, damage, a full disk.

mod copies;
mod crash;
mod damage;
mod disk;
mod erasure;
mod map;
mod moving;
mod power;
mod reopening;
mod tail;
mod writing;

use std::{fs, path::Path, sync::Arc};

use disk::{Hasty, TestDisk};
use map::MapIndex;
use tempfile::TempDir;

use super::{EmbeddedStore, Options, recovery, shared::IndexState};
use crate::{
    domain::Id,
    store::{
        Change, Cursor, Record, SharedStore, Store,
        blobs::SMALL_MAX,
        samples::{api_key, at, bytes, change, despacho, documento, fact, job, jobs, number, stage},
        suite::store_suite,
    },
};

mod suite {
    use super::*;

    store_suite!(fresh);
}

fn options() -> Options {
    Options::new(at(0))
}

fn open(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(dir, options()).unwrap()
}

fn open_on(dir: &Path, disk: &Arc<TestDisk>) -> Arc<EmbeddedStore> {
    let disk = Arc::clone(disk);
    EmbeddedStore::open(dir, Options { disk, ..options() }).unwrap()
}

/// Opens fast, with an index in memory and on a disk that does not sync.
fn open_hastily(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(dir, Options { disk: Arc::new(Hasty), index: MapIndex::open, ..options() }).unwrap()
}

async fn fresh() -> (SharedStore, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (open(dir.path()), dir)
}

/// A despacho with a document of its own, of `size` bytes.
async fn dispatch(store: &EmbeddedStore, size: usize) -> Change {
    let staged = stage(store, &bytes(number(), size)).await;
    change(Record::Despacho(Box::new(despacho(documento(&staged)))), vec![staged])
}

/// Commits despachos with small and large documents, a key and a job; returns the despachos' ids.
async fn fill(store: &EmbeddedStore) -> Vec<Id> {
    let mut ids = Vec::new();
    for size in [100, SMALL_MAX + 100, 5_000, 300] {
        let change = dispatch(store, size).await;
        ids.push(change.records[0].id());
        store.commit(change).await.unwrap();
    }
    store.commit(change(Record::ApiKey(api_key(number())), vec![])).await.unwrap();
    store.commit(jobs(vec![job(at(0))])).await.unwrap();
    ids
}

/// Changes without records, whose frames are short.
async fn short(store: &EmbeddedStore, count: usize) {
    for _ in 0..count {
        store.commit(Change { jobs_done: vec![Id::nil()], ..Change::default() }).await.unwrap();
    }
}

/// The last entry.
fn last(store: &EmbeddedStore) -> u64 {
    *store.watch().borrow()
}

async fn whole(store: &EmbeddedStore) {
    let verified = store.verify().await.unwrap();
    assert_eq!(verified.damage, Vec::<String>::new());
}

/// The index is what it would be if it were built anew.
fn same_as_rebuilt(store: &EmbeddedStore) {
    let state = store.shared.index.read().unwrap();
    let IndexState::Ready(index) = &*state else { panic!("the index is lost") };
    recovery::compare(&recovery::Setting::of(&store.shared), &**index).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            match fs::copy(&path, &target) {
                // What the store still has under another name for a moment.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            }
        }
    }
}

/// The newest segment of the journal.
fn newest(dir: &Path) -> std::path::PathBuf {
    super::segment::list(&dir.join("journal")).unwrap().pop().unwrap().path
}

/// Where the journal's last segment's frames begin, and its length at the end.
fn frames(dir: &Path) -> Vec<u64> {
    let segment = super::segment::list(&dir.join("journal")).unwrap().pop().unwrap();
    let mut walker = super::segment::Walker::open(&segment).unwrap().unwrap();
    let mut offsets = Vec::new();
    loop {
        let step = walker.next().unwrap();
        offsets.push(step.offset);
        if let super::frame::Read1::End = step.found {
            return offsets;
        }
    }
}

async fn cut_facts(store: &EmbeddedStore) -> Vec<String> {
    let all = store.facts(Cursor::default(), None, 10_000).await.unwrap();
    all.into_iter().filter(|f| f.fact.tipo == "almacen.recortado").filter_map(|f| f.fact.detalle).collect()
}

/// A change with one fact.
fn note() -> Change {
    let job = job(at(0));
    Change { facts: vec![fact(job.sujeto, "nota")], jobs: vec![job], ..Change::default() }
}
