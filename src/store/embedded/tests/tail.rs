//! The last batch: what a power cut may leave of it, and what a killed process leaves unsynced.

use std::fs;

use super::{
    super::{documents, journal, packs, placement::InPack, verify_dir},
    power::Volatile,
    *,
};
use crate::domain::Sha256;

/// A store with three answered despachos, the last with a document of `size` bytes: copied, so that nobody vouches for the last
/// entry. With it what the last one is, and the last document's digest and place.
async fn copied(size: usize) -> (TempDir, Id, Sha256, Option<InPack>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut last = None;
    for size in [100, 5_000, size] {
        let change = dispatch(&store, size).await;
        last = Some((change.records[0].id(), change.documents[0].sha256.clone()));
        store.commit(change).await.unwrap();
    }
    let (id, sha256) = last.unwrap();
    let pack = store.read(|lookup| lookup.document(&sha256)).unwrap().unwrap().pack;
    let left = tempfile::tempdir().unwrap();
    copy(dir.path(), left.path());
    fs::remove_dir_all(left.path().join("index")).unwrap();
    (left, id, sha256, pack)
}

/// What a power cut may leave of a document that was not synced: its end is missing, or its name.
fn lose(dir: &Path, sha256: &Sha256, pack: Option<InPack>) {
    match pack {
        Some(at) => {
            let file = fs::File::options().write(true).open(packs::path(&dir.join("packs"), at.number)).unwrap();
            file.set_len(at.offset + 60).unwrap();
        }
        None => fs::remove_file(documents::path(&dir.join("documents"), sha256)).unwrap(),
    }
}

#[tokio::test]
async fn an_entry_that_nobody_was_answered_is_cut_off_where_its_document_is_not_there() {
    for size in [300, SMALL_MAX + 100] {
        let (dir, id, sha256, pack) = copied(size).await;
        lose(dir.path(), &sha256, pack);
        let before = verify_dir(dir.path(), &mut |_| {}).unwrap();
        assert_eq!((before.entries, &before.damage), (2, &Vec::new()), "{size}");
        assert!(before.remarks.iter().any(|remark| remark.contains("sus documentos")), "{:?}", before.remarks);
        for _ in 0..2 {
            let store = open(dir.path());
            assert_eq!(store.despacho(id).await.unwrap(), None, "{size}");
            assert!(cut_facts(&store).await.is_empty(), "nothing that was answered is missing");
            store.commit(dispatch(&store, size).await).await.unwrap();
            whole(&store).await;
        }
        let cuts = journal::cuts(&dir.path().join("journal")).unwrap();
        assert_eq!(cuts.len(), 1, "what was cut off is kept aside");
    }
}

#[tokio::test]
async fn a_document_of_an_entry_that_was_answered_is_damage_and_never_a_reason_to_cut_it_off() {
    for (size, proof) in [(300, true), (300, false), (SMALL_MAX + 100, true), (SMALL_MAX + 100, false)] {
        let (dir, id, sha256, pack) = copied(size).await;
        let mark = open(dir.path());
        if proof {
            // A later entry knows of it.
            mark.commit(note()).await.unwrap();
        } else {
            mark.close().await.unwrap();
        }
        drop(mark);
        lose(dir.path(), &sha256, pack);
        let damage = verify_dir(dir.path(), &mut |_| {}).unwrap().damage;
        assert!(damage.len() == 1 && damage[0].contains(sha256.as_str()), "{damage:?}");
        let store = open(dir.path());
        assert!(store.despacho(id).await.unwrap().is_some());
        assert_eq!(store.verify().await.unwrap().damage.len(), 1);
    }
}

#[tokio::test]
async fn what_a_killed_process_left_unsynced_is_on_the_disk_before_anybody_is_told_of_it() {
    for size in [300, SMALL_MAX + 100] {
        let (dir, id, sha256, pack) = copied(size).await;
        let end = frames(dir.path());
        let disk = Arc::new(Volatile::default());
        // All that the last commit wrote is in the kernel's memory only.
        disk.forget(&newest(dir.path()), end[2]);
        match pack {
            Some(at) => disk.forget(&packs::path(&dir.path().join("packs"), at.number), at.offset),
            None => disk.doubt(&documents::path(&dir.path().join("documents"), &sha256)),
        }
        let store = EmbeddedStore::open(dir.path(), Options { disk: disk.clone(), ..options() }).unwrap();
        assert!(store.despacho(id).await.unwrap().is_some());
        for seed in 0..8 {
            let left = tempfile::tempdir().unwrap();
            disk.cut(dir.path(), left.path(), seed);
            let after = open_hastily(left.path());
            assert!(after.despacho(id).await.unwrap().is_some(), "{size}, {seed}");
            whole(&after).await;
        }
    }
}
