//! A folder as the origin of a move while its store is in use, and the mark that it leaves.

use super::*;
use crate::store::{
    RawEntry, StoreError,
    embedded::{Folder, moved},
    moving::{Origin, bring},
    samples::purge,
};

async fn entries(store: &EmbeddedStore) -> Vec<RawEntry> {
    store.entries(0, 10_000).await.unwrap()
}

#[tokio::test]
async fn a_folder_in_use_is_followed_over_segments_and_purges() {
    let (dir, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = EmbeddedStore::open(dir.path(), Options { segment_bytes: 4096, ..options() }).unwrap();
    let other = open(into.path());
    let mut folder = Folder::new(dir.path());
    assert!(folder.entries(0, 10).await.unwrap().is_empty(), "nothing was answered yet");
    let mut gone = Vec::new();
    for size in [300, SMALL_MAX + 30] {
        let change = dispatch(&one, size).await;
        let Record::Despacho(despacho) = &change.records[0] else { panic!("it is a despacho") };
        gone.push((despacho.clone(), size));
        one.commit(change).await.unwrap();
    }
    for _ in 0..3 {
        fill(&one).await;
        bring(&mut folder, &*other, &mut |_| {}).await.unwrap();
        assert_eq!(entries(&one).await, entries(&other).await);
    }
    for (despacho, size) in &gone {
        one.commit(purge(despacho, *size as u64, false)).await.unwrap();
    }
    one.writable().await.unwrap();
    bring(&mut folder, &*other, &mut |_| {}).await.unwrap();
    assert_eq!(folder.last().await.unwrap(), last(&other));
    other.writable().await.unwrap();
    whole(&other).await;
    assert_eq!(other.verify().await.unwrap().purged, 2);
    // Another that begins now finds nothing left of what was purged, and is whole as well.
    let late = tempfile::tempdir().unwrap();
    let third = open(late.path());
    bring(&mut Folder::new(dir.path()), &*third, &mut |_| {}).await.unwrap();
    assert_eq!(entries(&one).await, entries(&third).await);
    third.writable().await.unwrap();
    whole(&third).await;
    same_as_rebuilt(&third);
}

#[tokio::test]
async fn what_was_moved_does_not_open_until_it_is_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    moved::mark(dir.path(), "la base de datos x/y").unwrap();
    store.close().await.unwrap();
    drop(store);
    let refused = EmbeddedStore::open(dir.path(), options()).map(drop).unwrap_err();
    assert!(matches!(&refused, StoreError::Moved(place) if place == "la base de datos x/y"), "{refused}");
    drop(EmbeddedStore::open(dir.path(), Options { even_if_moved: true, ..options() }).unwrap());
    moved::unmark(dir.path()).unwrap();
    open(dir.path());
}
