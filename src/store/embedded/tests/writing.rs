//! Sharing syncs, and what happens when the disk refuses.

use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use super::{disk::Fault, *};
use crate::store::{CommitError, StoreError, samples::read};

#[tokio::test]
async fn commits_that_wait_share_their_syncs() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
    let store = open_on(dir.path(), &disk);
    store.commit(dispatch(&store, 100).await).await.unwrap();
    let mut changes = Vec::new();
    for _ in 0..64 {
        changes.push(dispatch(&store, 1000).await);
    }
    disk.hold(true);
    disk.syncs.store(0, Ordering::Relaxed);
    let commits: Vec<_> = changes.into_iter().map(|change| store.commit(change)).collect();
    let mut commits = std::pin::pin!(join_all(commits));
    // Polled once, all of them wait; what the committer took before is at most a few.
    assert!(futures_util::poll!(commits.as_mut()).is_pending());
    disk.hold(false);
    for seq in commits.await {
        seq.unwrap();
    }
    let syncs = disk.syncs.load(Ordering::Relaxed);
    assert!(syncs <= 6, "{syncs} syncs for 64 commits with documents");
}

#[tokio::test]
async fn a_pack_that_a_sync_failed_for_once_is_not_believed_by_the_rest_of_its_batch() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
    let options = Options { disk: disk.clone(), pack_bytes: 2_000, ..options() };
    let store = EmbeddedStore::open(dir.path(), options).unwrap();
    store.commit(dispatch(&store, 100).await).await.unwrap();
    // The second fills the pack, so that the third syncs it before it begins another.
    let (full, next) = (dispatch(&store, 3_000).await, dispatch(&store, 100).await);
    let documents = [full.documents[0].sha256.clone(), next.documents[0].sha256.clone()];
    disk.hold(true);
    let mut commits = std::pin::pin!(join_all([note(), full, next].map(|change| store.commit(change))));
    assert!(futures_util::poll!(commits.as_mut()).is_pending());
    disk.holds();
    disk.set(Fault::DropsPack);
    disk.hold(false);
    let answers = commits.await;
    assert!(answers[1..].iter().any(Result::is_err), "{answers:?}");
    for (answer, sha256) in answers[1..].iter().zip(&documents) {
        if answer.is_ok() {
            read(&*store, sha256).await.unwrap();
        }
    }
    store.commit(dispatch(&store, 100).await).await.unwrap();
    whole(&store).await;
}

#[tokio::test]
async fn a_disk_that_refuses_costs_nothing_acknowledged_and_work_goes_on_when_it_recovers() {
    for fault in [Fault::Full, Fault::Sync, Fault::SyncAndCut, Fault::Dead, Fault::Panic] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
        let store = open_on(dir.path(), &disk);
        let before = fill(&store).await;
        let mut refused = Vec::new();
        for size in [100, 5_000, SMALL_MAX + 100] {
            let change = dispatch(&store, size).await;
            let (id, staged) = (change.records[0].id(), change.documents[0].clone());
            disk.set(fault);
            let error = store.commit(change).await.unwrap_err();
            let unwritable = matches!(error, CommitError::Store(StoreError::Unwritable(_)));
            assert!(unwritable || fault == Fault::Panic, "{fault:?}: {error}");
            disk.set(Fault::None);
            refused.push((id, staged));
        }
        let after = dispatch(&store, 300).await;
        let after_id = after.records[0].id();
        assert_eq!(store.commit(after).await.unwrap(), 7, "{fault:?}: the sequence has no gap");
        // What a refused change brought can be committed again.
        for (_, staged) in &refused {
            let new = despacho(documento(staged));
            store.commit(change(Record::Despacho(Box::new(new)), vec![staged.clone()])).await.unwrap();
            read(&*store, &staged.sha256).await.unwrap();
        }
        for reopened in [false, true] {
            let store = if reopened { open_again(&store, &dir) } else { Arc::clone(&store) };
            for id in before.iter().chain([&after_id]) {
                let found = store.despacho(*id).await.unwrap().unwrap();
                read(&*store, &found.documento.sha256).await.unwrap();
            }
            for (id, _) in &refused {
                assert_eq!(store.despacho(*id).await.unwrap(), None, "{fault:?}");
            }
            whole(&store).await;
        }
    }
}

#[tokio::test]
async fn a_store_that_refuses_changes_says_so_until_the_disk_takes_them() {
    for fault in [Fault::Full, Fault::Sync, Fault::Dead] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
        let store = open_on(dir.path(), &disk);
        store.writable().await.unwrap();
        disk.set(fault);
        store.commit(dispatch(&store, 5_000).await).await.unwrap_err();
        assert!(matches!(store.writable().await, Err(StoreError::Unwritable(_))), "{fault:?}");
        disk.set(Fault::None);
        store.writable().await.unwrap();
        store.commit(note()).await.unwrap();
        drop(store);
        disk.set(Fault::Dead);
        let store = open_on(dir.path(), &disk);
        assert!(matches!(store.writable().await, Err(StoreError::Unwritable(_))));
        disk.set(Fault::None);
        store.writable().await.unwrap();
    }
}

#[tokio::test]
async fn documents_on_their_way_in_outlive_a_disk_that_takes_nothing_and_does_again() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
    drop(open(dir.path()));
    disk.set(Fault::Dead);
    let store = open_on(dir.path(), &disk);
    let large = dispatch(&store, SMALL_MAX + 100).await;
    let sha256 = large.documents[0].sha256.clone();
    store.commit(note()).await.unwrap_err();
    disk.set(Fault::None);
    store.commit(large).await.unwrap();
    read(&*store, &sha256).await.unwrap();
    whole(&store).await;
}

/// The same folder as another process would find it after this one was killed.
fn open_again(_store: &EmbeddedStore, dir: &TempDir) -> Arc<EmbeddedStore> {
    let found = tempfile::tempdir().unwrap().keep();
    copy(dir.path(), &found);
    open(&found)
}

#[tokio::test]
async fn a_store_that_is_killed_while_the_disk_refuses_opens_with_what_was_acknowledged() {
    for fault in [Fault::Full, Fault::Sync, Fault::Dead] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::new(TestDisk::new()));
        let store = open_on(dir.path(), &disk);
        let ids = fill(&store).await;
        let change = dispatch(&store, 5_000).await;
        let refused = change.records[0].id();
        disk.set(fault);
        store.commit(change).await.unwrap_err();
        store.commit(note()).await.unwrap_err();
        drop(store);
        let store = open(dir.path());
        assert_eq!(last(&store), 6, "{fault:?}");
        assert_eq!(store.despacho(refused).await.unwrap(), None);
        assert_eq!(store.despacho(ids[3]).await.unwrap().map(|d| d.id), Some(ids[3]));
        store.commit(note()).await.unwrap();
        whole(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_use_verifies_from_within_and_from_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), Options { segment_bytes: 20_000, ..options() }).unwrap();
    fill(&store).await;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut despacho = fill_one(&store).await;
                for n in 0..60 {
                    store
                        .commit(dispatch(&store, if n % 20 == 0 { SMALL_MAX + 100 } else { 500 }).await)
                        .await
                        .unwrap();
                    despacho.version += 1;
                    let record = Record::Despacho(Box::new(despacho.clone()));
                    store.commit(change(record, vec![])).await.unwrap();
                }
            })
        })
        .collect();
    let mut rounds = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) || rounds < 3 {
        whole(&store).await;
        let path = dir.path().to_owned();
        let apart = tokio::task::spawn_blocking(move || super::super::verify_dir(&path, &mut |_| {})).await.unwrap();
        assert_eq!(apart.unwrap().damage, Vec::<String>::new());
        rounds += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.verify().await.unwrap().entries, 6 + 4 + 4 * 120);
}

async fn fill_one(store: &EmbeddedStore) -> crate::domain::Despacho {
    let new = dispatch(store, 200).await;
    let Record::Despacho(despacho) = new.records[0].clone() else { panic!() };
    store.commit(new).await.unwrap();
    *despacho
}
