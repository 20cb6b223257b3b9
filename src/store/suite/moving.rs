//! What every store does with the entries of another one: it takes them over as they stand, or not at all.

use tempfile::TempDir;

use super::{purging::keep, *};
use crate::store::{
    Adopted, RawEntry, Store,
    embedded::{EmbeddedStore, Options},
    moving::{Opened, bring, continues},
    samples::purge,
};

/// Another store, with a document of each size, what was purged, what came again after that, work and a person.
async fn lived_in() -> (SharedStore, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store: SharedStore = EmbeddedStore::open(dir.path(), Options::new(at(0))).unwrap();
    for size in [400, SMALL_MAX + 40] {
        keep(&store, &bytes(20, size)).await;
        let gone = keep(&store, &bytes(21, size)).await;
        store.commit(purge(&gone, size as u64, false)).await.unwrap();
        let gone = keep(&store, &bytes(22, size)).await;
        store.commit(purge(&gone, size as u64, false)).await.unwrap();
        keep(&store, &bytes(22, size)).await;
    }
    store.commit(change(Record::Usuario(Box::new(usuario("rosa"))), vec![])).await.unwrap();
    store.commit(jobs((0..3).map(|n| job(at(n))).collect())).await.unwrap();
    (store, dir)
}

async fn entries(store: &dyn Store) -> Vec<RawEntry> {
    store.entries(0, 1000).await.unwrap()
}

/// The second has all that the first has.
async fn same(one: &dyn Store, other: &dyn Store) {
    assert_eq!(entries(one).await, entries(other).await);
    for content in [bytes(20, 400), bytes(20, SMALL_MAX + 40), bytes(22, 400), bytes(22, SMALL_MAX + 40)] {
        assert_eq!(read(other, &sha256(&content)).await.unwrap(), content);
    }
    for content in [bytes(21, 400), bytes(21, SMALL_MAX + 40)] {
        let (here, there) = (read(one, &sha256(&content)).await.unwrap_err(), read(other, &sha256(&content)).await);
        assert_eq!(here.to_string(), there.unwrap_err().to_string());
    }
    let work = async |store: &dyn Store| store.jobs(None, 10).await.unwrap().items;
    assert_eq!(work(one).await, work(other).await);
    assert_eq!(one.usuarios().await.unwrap(), other.usuarios().await.unwrap());
    other.writable().await.unwrap();
    assert_eq!(other.verify().await.unwrap().damage, Vec::<String>::new());
}

pub async fn everything_of_another_store_is_taken_over_as_it_stands_and_goes_back(store: SharedStore) {
    let (one, _dir) = lived_in().await;
    let mut told = Vec::new();
    let mut origin = Opened(one.clone());
    assert!(continues(&mut origin, &*store).await.unwrap(), "it is empty");
    let last = bring(&mut origin, &*store, &mut |moved| told.push(moved)).await.unwrap();
    assert_eq!(last, *one.watch().borrow());
    assert!(told.iter().all(|moved| moved.last == last) && told.last().unwrap().seq == last);
    same(&*one, &*store).await;
    // What comes later is brought after it.
    keep(&one, &bytes(23, 10)).await;
    assert!(continues(&mut origin, &*store).await.unwrap());
    bring(&mut origin, &*store, &mut |moved| assert_eq!(moved.seq, last + 1)).await.unwrap();
    // And back, to an empty one and to where it came from.
    keep(&store, &bytes(24, 10)).await;
    let empty = tempfile::tempdir().unwrap();
    let third: SharedStore = EmbeddedStore::open(empty.path(), Options::new(at(0))).unwrap();
    let mut origin = Opened(store.clone());
    bring(&mut origin, &*third, &mut |_| {}).await.unwrap();
    same(&*store, &*third).await;
    assert!(continues(&mut origin, &*one).await.unwrap());
    bring(&mut origin, &*one, &mut |_| {}).await.unwrap();
    same(&*store, &*one).await;
}

pub async fn what_does_not_follow_is_not_taken_over(store: SharedStore) {
    let (one, _dir) = lived_in().await;
    let second = entries(&*one).await.remove(1);
    let adopted = Adopted { entry: second, documents: Vec::new(), gone: Vec::new() };
    let refused = store.adopt(vec![adopted]).await;
    assert!(matches!(&refused, Err(CommitError::Store(StoreError::Damaged { .. }))), "{refused:?}");
    let first = entries(&*one).await.remove(0);
    let refused = store.adopt(vec![Adopted { entry: first, documents: Vec::new(), gone: Vec::new() }]).await;
    assert!(matches!(&refused, Err(CommitError::Store(StoreError::NoDocument(_)))), "{refused:?}");
    assert_eq!(entries(&*store).await, []);
    keep(&store, &bytes(25, 10)).await;
    assert!(!continues(&mut Opened(one.clone()), &*store).await.unwrap(), "it has something else");
    assert!(!continues(&mut Opened(store), &*one).await.unwrap(), "it has more");
}
