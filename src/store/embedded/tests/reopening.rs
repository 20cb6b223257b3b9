//! Stopping in every way and starting again.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    super::index::{Index, IndexError, Keeping, RedbIndex},
    disk::Fault,
    *,
};
use crate::store::{StoreError, samples::read};

#[tokio::test]
async fn a_store_dropped_without_closing_opens_with_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids = Vec::new();
    for round in 0..4 {
        let store = open(dir.path());
        assert_eq!(last(&store), round * 6);
        for id in &ids {
            let found = store.despacho(*id).await.unwrap().unwrap();
            read(&*store, &found.documento.sha256).await.unwrap();
        }
        whole(&store).await;
        ids.extend(fill(&store).await);
    }
}

#[tokio::test]
async fn a_closed_store_opens_without_replay_and_its_copy_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store).await;
    store.close().await.unwrap();
    drop(store);
    let copied = tempfile::tempdir().unwrap();
    copy(dir.path(), copied.path());
    assert_eq!(replayed(dir.path(), options()), 0);
    assert_eq!(replayed(copied.path(), options()), 6, "a copied index may have been copied while it changed");
}

/// How many of six entries are brought into the index when the store is opened, and left without closing.
fn replayed(dir: &Path, options: Options) -> u64 {
    let entries = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&entries);
    let progress: Arc<super::super::Progress> = Arc::new(move |at| seen.store(at.entries, Ordering::Relaxed));
    let store = EmbeddedStore::open(dir, Options { progress: Some(progress), ..options }).unwrap();
    assert_eq!(last(&store), 6);
    entries.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_start_on_a_full_disk_costs_the_index_nothing() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
    let store = open(dir.path());
    fill(&store).await;
    store.close().await.unwrap();
    drop(store);
    disk.set(Fault::NoRoom);
    for _ in 0..2 {
        assert_eq!(replayed(dir.path(), Options { disk: disk.clone(), ..options() }), 0);
    }
    assert_eq!(replayed(dir.path(), options()), 0);
}

/// An index that can only be opened to be read from, as on a disk that takes nothing.
fn only_read(path: &Path, cache_bytes: u64, keeping: Keeping) -> Result<Box<dyn Index>, IndexError> {
    match keeping {
        Keeping::OnDisk => Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem).into()),
        over => RedbIndex::open(path, cache_bytes, over),
    }
}

#[tokio::test]
async fn the_index_that_was_read_on_a_disk_that_takes_nothing_stays_in_use_when_it_does_again() {
    for spoilt in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let ids = fill(&store).await;
        store.close().await.unwrap();
        drop(store);
        if spoilt {
            fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let store = EmbeddedStore::open(dir.path(), Options { index: only_read, ..options() }).unwrap();
        let holds = || matches!(&*store.shared.index.read().unwrap(), IndexState::Ready(index) if index.holds());
        assert!(store.despacho(ids[0]).await.unwrap().is_some() && holds());
        // It is never opened again: reading does not stop, and its memory is given back.
        store.commit(note()).await.unwrap();
        assert!(store.despacho(ids[0]).await.unwrap().is_some() && !holds());
        whole(&store).await;
        drop(store);
        let entries = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&entries);
        let progress: Arc<super::super::Progress> = Arc::new(move |at| seen.store(at.entries, Ordering::Relaxed));
        let store = EmbeddedStore::open(dir.path(), Options { progress: Some(progress), ..options() }).unwrap();
        assert_eq!(last(&store), 7);
        assert!(entries.load(Ordering::Relaxed) <= 1, "the index is on the disk and believed");
        same_as_rebuilt(&store);
    }
}

#[tokio::test]
async fn a_lost_or_spoilt_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = fill(&store).await;
    store.close().await.unwrap();
    drop(store);
    let index = dir.path().join("index");
    let spoil = |seed: u64, size: usize| {
        for entry in index.read_dir().unwrap().map(Result::unwrap).filter(|e| e.path().is_file()) {
            fs::write(entry.path(), bytes(seed, size)).unwrap();
        }
    };
    let damages: [&dyn Fn(); 6] = [
        &|| fs::remove_dir_all(&index).unwrap(),
        &|| spoil(1, 0),
        &|| spoil(2, 10),
        &|| spoil(3, 600_000),
        &|| {
            // A flipped byte here and there in redb's own file.
            let path = index.join("index.redb");
            let mut content = fs::read(&path).unwrap();
            for byte in content.iter_mut().step_by(501) {
                *byte ^= 0x5A;
            }
            fs::write(path, content).unwrap();
        },
        &|| fs::remove_file(dir.path().join("index.boot")).unwrap(),
    ];
    for damage in damages {
        damage();
        let store = open(dir.path());
        assert_eq!(last(&store), 6);
        for id in &ids {
            let found = store.despacho(*id).await.unwrap().unwrap();
            read(&*store, &found.documento.sha256).await.unwrap();
        }
        whole(&store).await;
        assert!(cut_facts(&store).await.is_empty());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_index_that_fails_while_running_is_rebuilt() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
    let store = open_on(dir.path(), &disk);
    let ids = fill(&store).await;
    store.shared.lose(&IndexError::new("told to"));
    assert!(matches!(store.despacho(ids[0]).await, Err(StoreError::Index(_))));
    store.commit(note()).await.unwrap();
    assert_eq!(last(&store), 7);
    assert!(store.despacho(ids[0]).await.unwrap().is_some());
    whole(&store).await;
}

#[tokio::test]
async fn a_second_opening_is_refused_and_verification_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store).await;
    assert!(matches!(EmbeddedStore::open(dir.path(), options()), Err(StoreError::Locked(_))));
    let verified = super::super::verify_dir(dir.path(), &mut |_| {}).unwrap();
    assert_eq!((verified.entries, verified.documents), (6, 4));
    assert_eq!((verified.damage, verified.remarks), (vec![], vec![]));
    store.commit(note()).await.unwrap();
}

#[tokio::test]
async fn what_interrupted_commits_left_is_removed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = fill(&store).await;
    drop(store);
    let orphan = "ab".repeat(32);
    fs::create_dir_all(dir.path().join("documents/ab")).unwrap();
    fs::write(dir.path().join("documents/ab").join(&orphan), b"x").unwrap();
    fs::write(dir.path().join("incoming/in-left"), b"x").unwrap();
    let remarks = super::super::verify_dir(dir.path(), &mut |_| {}).unwrap().remarks;
    assert!(remarks.iter().any(|r| r.contains("1 archivos que ningún asiento nombra")), "{remarks:?}");
    let store = open(dir.path());
    assert!(!dir.path().join("documents/ab").join(&orphan).exists());
    assert_eq!(dir.path().join("incoming").read_dir().unwrap().count(), 0);
    for id in ids {
        let found = store.despacho(id).await.unwrap().unwrap();
        read(&*store, &found.documento.sha256).await.unwrap();
    }
}

#[tokio::test]
async fn segments_and_packs_roll_over_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Options { segment_bytes: 2_000, pack_bytes: 12_000, ..options() };
    let mut ids = Vec::new();
    for _ in 0..3 {
        let store = EmbeddedStore::open(dir.path(), small()).unwrap();
        for _ in 0..3 {
            ids.extend(fill(&store).await);
        }
    }
    assert!(super::super::segment::list(&dir.path().join("journal")).unwrap().len() > 5);
    assert!(super::super::packs::list(&dir.path().join("packs")).unwrap().len() > 2);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let store = EmbeddedStore::open(dir.path(), small()).unwrap();
    for id in ids {
        let found = store.despacho(id).await.unwrap().unwrap();
        read(&*store, &found.documento.sha256).await.unwrap();
    }
    whole(&store).await;
    assert_eq!(super::super::verify_dir(dir.path(), &mut |_| {}).unwrap().remarks, Vec::<String>::new());
}
