//! Purging: what goes from the disk, what stays, and what a start makes of a purge that was cut short.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use proptest::prelude::*;

use super::{
    super::{
        index::{Direction, Index, IndexError, Keeping, Visitor, Writes},
        verify_dir,
    },
    *,
};
use crate::{
    domain::{Despacho, Sha256},
    store::{
        CommitError, Kept, StoreError,
        samples::{purge, read, sha256},
    },
};

/// Commits a despacho of these bytes.
pub async fn keep(store: &EmbeddedStore, content: &[u8]) -> Despacho {
    let staged = stage(store, content).await;
    let despacho = despacho(documento(&staged));
    let mut change = change(Record::Despacho(Box::new(despacho.clone())), vec![staged.clone()]);
    change.facts[0].documentos.push(staged.sha256);
    store.commit(change).await.unwrap();
    despacho
}

/// Whether these bytes stand anywhere in the folder.
pub fn on_disk(dir: &Path, content: &[u8]) -> bool {
    dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return on_disk(&path, content);
        }
        memchr::memmem::find(&fs::read(&path).unwrap(), content).is_some()
    })
}

/// A purge is answered when it is durable; its bytes go right after, before the committer serves anybody else.
async fn erased(store: &EmbeddedStore) {
    store.writable().await.unwrap();
}

pub fn verified(dir: &Path) -> crate::store::Verification {
    verify_dir(dir, &mut |_| {}).unwrap()
}

#[tokio::test]
async fn purged_documents_are_nowhere_on_the_disk_and_what_is_beside_them_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let contents = [bytes(1, 700), bytes(2, SMALL_MAX + 9), bytes(3, 900), bytes(4, SMALL_MAX + 1)];
    let mut kept = Vec::new();
    for content in &contents {
        kept.push(keep(&store, content).await);
    }
    for n in [0, 1] {
        store.commit(purge(&kept[n], contents[n].len() as u64, false)).await.unwrap();
    }
    erased(&store).await;
    for rebuilt in [false, true] {
        for n in [0, 1] {
            let gone = read(&*store, &kept[n].documento.sha256).await.unwrap_err();
            assert!(matches!(&gone, StoreError::Purged { seq, .. } if *seq == 5 + n as u64), "{rebuilt}: {gone}");
            assert!(!on_disk(&dir.path().join("packs"), &contents[n]));
            assert!(!on_disk(&dir.path().join("documents"), &contents[n]));
        }
        for n in [2, 3] {
            assert_eq!(read(&*store, &kept[n].documento.sha256).await.unwrap(), contents[n]);
        }
        let list = |which| store.kept(which, None, 10);
        assert_eq!(list(Kept::Despachos).await.unwrap().items.len(), 2);
        assert_eq!(list(Kept::Purged).await.unwrap().items.len(), 2);
        same_as_rebuilt(&store);
        for found in [store.verify().await.unwrap(), verified(dir.path())] {
            assert_eq!((found.damage, found.remarks, found.purged), (vec![], vec![], 2));
        }
        if !rebuilt {
            let state = crate::store::embedded::index::IndexError::new("a test");
            store.shared.lose(&state);
            store.writable().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_document_stays_until_the_last_exchange_that_names_it_is_purged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let content = bytes(7, 500);
    let (one, other) = (keep(&store, &content).await, keep(&store, &content).await);
    let refused = store.commit(purge(&one, 500, false)).await;
    assert!(matches!(refused, Err(CommitError::Stale(id)) if id == one.id), "it would take the other's document");
    store.commit(purge(&one, 500, true)).await.unwrap();
    assert_eq!(read(&*store, &other.documento.sha256).await.unwrap(), content);
    let refused = store.commit(purge(&other, 500, true)).await;
    assert!(matches!(refused, Err(CommitError::Stale(_))), "nobody else would ever take it away");
    store.commit(purge(&other, 500, false)).await.unwrap();
    erased(&store).await;
    assert!(!on_disk(&dir.path().join("packs"), &content));
    whole(&store).await;
}

#[tokio::test]
async fn a_document_that_comes_again_after_its_purge_stays() {
    for size in [800, SMALL_MAX + 10] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let content = bytes(11, size);
        let first = keep(&store, &content).await;
        store.commit(purge(&first, size as u64, false)).await.unwrap();
        let again = keep(&store, &content).await;
        assert_eq!(read(&*store, &again.documento.sha256).await.unwrap(), content);
        drop(store);
        // Everything that was ever purged is looked at again.
        fs::remove_dir_all(dir.path().join("index")).unwrap();
        let store = open(dir.path());
        assert_eq!(read(&*store, &again.documento.sha256).await.unwrap(), content, "of {size} bytes");
        same_as_rebuilt(&store);
        for found in [store.verify().await.unwrap(), verified(dir.path())] {
            assert_eq!((found.damage, found.remarks), (vec![], vec![]), "of {size} bytes");
        }
    }
}

#[tokio::test]
async fn a_start_finishes_what_a_purge_left_on_the_disk() {
    for torn in [0, 3, 60, 700] {
        let dir = tempfile::tempdir().unwrap();
        let (small, large) = (bytes(12, 700), bytes(13, SMALL_MAX + 10));
        let store = open(dir.path());
        let (one, two) = (keep(&store, &small).await, keep(&store, &large).await);
        let pack = super::super::packs::path(&dir.path().join("packs"), 1);
        let file = super::super::documents::path(&dir.path().join("documents"), &sha256(&large));
        let before = [fs::read(&pack).unwrap(), fs::read(&file).unwrap()];
        store.commit(purge(&one, 700, false)).await.unwrap();
        store.commit(purge(&two, large.len() as u64, false)).await.unwrap();
        drop(store);
        // As if the current had gone before, or while, the bytes went: the first `torn` of the record are what they shall be.
        let erased = fs::read(&pack).unwrap();
        let (header, record) = before[0].split_at(16);
        let record = [&erased[16..16 + torn], &record[torn..]].concat();
        fs::write(&pack, [header, &record].concat()).unwrap();
        fs::write(&file, &before[1]).unwrap();
        fs::remove_dir_all(dir.path().join("index")).unwrap();
        let found = verified(dir.path());
        assert_eq!(found.damage, Vec::<String>::new(), "torn at {torn}");
        assert!(found.remarks.iter().any(|r| r.contains("2 documentos purgados todavía no")), "{:?}", found.remarks);

        let store = open(dir.path());
        assert_eq!(fs::read(&pack).unwrap(), erased);
        assert!(!file.exists());
        whole(&store).await;
        assert_eq!(verified(dir.path()).remarks, Vec::<String>::new());
    }
}

/// An index whose next change fails when it is told so.
struct Frail(Box<dyn Index>);

static FAIL: AtomicBool = AtomicBool::new(false);

impl Frail {
    fn open(path: &Path, cache_bytes: u64, keeping: Keeping) -> Result<Box<dyn Index>, IndexError> {
        Ok(Box::new(Self(MapIndex::open(path, cache_bytes, keeping)?)))
    }
}

impl Index for Frail {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.0.get(key)
    }

    fn scan(&self, of: &[u8], after: Option<&[u8]>, to: Direction, each: &mut Visitor<'_>) -> Result<(), IndexError> {
        self.0.scan(of, after, to, each)
    }

    fn apply(&self, writes: Writes) -> Result<(), IndexError> {
        if FAIL.swap(false, Ordering::SeqCst) { Err(IndexError::new("a test")) } else { self.0.apply(writes) }
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.0.flush()
    }

    fn holds(&self) -> bool {
        self.0.holds()
    }

    fn settle(&self) -> Result<(), IndexError> {
        self.0.settle()
    }
}

#[tokio::test]
async fn what_was_purged_while_the_index_failed_goes_once_there_is_one_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path(), Options { index: Frail::open, ..options() }).unwrap();
    let content = bytes(14, 700);
    let kept = keep(&store, &content).await;
    FAIL.store(true, Ordering::SeqCst);
    // Durable it is, whatever its caller is told.
    let _ = store.commit(purge(&kept, 700, false)).await;
    assert!(!FAIL.load(Ordering::SeqCst) && on_disk(&dir.path().join("packs"), &content));
    keep(&store, &bytes(15, 700)).await;
    erased(&store).await;
    assert!(!on_disk(&dir.path().join("packs"), &content));
}

#[tokio::test]
async fn a_document_that_is_gone_without_a_certificate_is_damage_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (small, large) = (bytes(14, 700), bytes(15, SMALL_MAX + 10));
    let (one, two) = (keep(&store, &small).await, keep(&store, &large).await);
    let pack = super::super::packs::path(&dir.path().join("packs"), 1);
    let zeros = super::super::packs::erased(&one.documento.sha256, 700).unwrap();
    let mut content = fs::read(&pack).unwrap();
    content.splice(16..16 + zeros.len(), zeros);
    fs::write(&pack, content).unwrap();
    fs::remove_file(super::super::documents::path(&dir.path().join("documents"), &sha256(&large))).unwrap();
    for found in [store.verify().await.unwrap(), verified(dir.path())] {
        assert_eq!((found.damage.len(), found.purged), (2, 0), "{:?}", found.damage);
        for (despacho, damage) in [&one, &two].into_iter().zip(&found.damage) {
            assert!(damage.contains(despacho.documento.sha256.as_str()), "{damage}");
            assert!(damage.contains("ningún certificado de purga lo dice"), "{damage}");
        }
    }
}

/// What a random life of a store does: keep a despacho with one of a few documents, purge one, start again.
#[derive(Debug, Clone)]
enum Act {
    Keep(usize),
    Purge(usize),
    Restart { anew: bool },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..3_usize).prop_map(Act::Keep),
        4 => any::<usize>().prop_map(Act::Purge),
        1 => any::<bool>().prop_map(|anew| Act::Restart { anew }),
    ];
    prop::collection::vec(act, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_document_is_there_exactly_as_long_as_somebody_names_it(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(acts));
    }
}

async fn live(acts: Vec<Act>) {
    let dir = tempfile::tempdir().unwrap();
    let contents = [bytes(21, 300), bytes(22, 400), bytes(23, SMALL_MAX + 5)];
    let mut store = Some(open_hastily(dir.path()));
    let mut kept: Vec<(usize, Despacho)> = Vec::new();
    for act in acts {
        let here = store.take().unwrap();
        match act {
            Act::Keep(which) => kept.push((which, keep(&here, &contents[which]).await)),
            Act::Purge(n) if !kept.is_empty() => {
                let (which, despacho) = kept.swap_remove(n % kept.len());
                let shared = kept.iter().any(|(other, _)| *other == which);
                let size = contents[which].len() as u64;
                let wrong = here.commit(purge(&despacho, size, !shared)).await;
                assert!(matches!(wrong, Err(CommitError::Stale(_))));
                here.commit(purge(&despacho, size, shared)).await.unwrap();
            }
            Act::Purge(_) => {}
            Act::Restart { anew } => {
                drop(here);
                if anew {
                    fs::remove_dir_all(dir.path().join("index")).unwrap();
                }
                store = Some(open_hastily(dir.path()));
                continue;
            }
        }
        store = Some(here);
    }
    let store = store.unwrap();
    erased(&store).await;
    let named: BTreeSet<usize> = kept.iter().map(|(which, _)| *which).collect();
    let digests: BTreeMap<usize, Sha256> = contents.iter().map(|content| sha256(content)).enumerate().collect();
    for (which, digest) in digests {
        let found = read(&*store, &digest).await.ok();
        assert_eq!(found.as_ref(), named.contains(&which).then_some(&contents[which]), "document {which}");
        let dir = dir.path();
        let there = on_disk(&dir.join("packs"), &contents[which]) || on_disk(&dir.join("documents"), &contents[which]);
        assert_eq!(there, named.contains(&which), "document {which} on the disk");
    }
    whole(&store).await;
    assert_eq!(verified(dir.path()).damage, Vec::<String>::new());
}
