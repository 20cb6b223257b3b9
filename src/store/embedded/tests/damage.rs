//! Journals cut at any byte, bytes that changed, files that are gone.

use std::fs::{self, OpenOptions};

use super::{
    super::{journal, packs, segment, verify_dir},
    *,
};
use crate::store::{StoreError, Verification, samples::read};

fn truncate(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn flip(path: &Path, at: u64) {
    let mut content = fs::read(path).unwrap();
    content[usize::try_from(at).unwrap()] ^= 0x20;
    fs::write(path, content).unwrap();
}

fn verified(dir: &Path) -> Verification {
    verify_dir(dir, &mut |_| {}).unwrap()
}

/// A closed store, without its index and its mark, whose last frames are short.
async fn journal_only() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store).await;
    short(&store, 3).await;
    drop(store);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    dir
}

#[tokio::test]
async fn a_journal_cut_at_any_byte_scans_to_the_last_whole_frame() {
    let dir = journal_only().await;
    let journal_dir = dir.path().join("journal");
    let (path, frames) = (newest(dir.path()), frames(dir.path()));
    for length in (0..=*frames.last().unwrap()).rev() {
        truncate(&path, length);
        let scanned = journal::scan(&journal_dir, 1, None, &mut |_, _, _| Ok(())).unwrap();
        let whole = frames.iter().filter(|end| **end <= length).count().saturating_sub(1);
        assert_eq!(scanned.next, whole as u64 + 1, "cut to {length} bytes");
        assert_eq!(scanned.torn.is_some(), !frames.contains(&length), "cut to {length} bytes");
    }
}

#[tokio::test]
async fn a_store_cut_at_any_byte_of_its_last_frames_opens_with_what_is_whole_and_goes_on() {
    let template = journal_only().await;
    let frames = frames(template.path());
    let (first, end) = (frames[frames.len() - 4], *frames.last().unwrap());
    let sample = (0..first).step_by(usize::try_from(first / 40).unwrap());
    for length in sample.chain(first..=end) {
        let dir = tempfile::tempdir().unwrap();
        copy(template.path(), dir.path());
        truncate(&newest(dir.path()), length);
        let store = open_hastily(dir.path());
        let whole = frames.iter().filter(|end| **end <= length).count().saturating_sub(1) as u64;
        assert_eq!(last(&store), whole, "cut to {length} bytes");
        let facts = store.facts(Cursor::default(), None, 100).await.unwrap();
        assert!(facts.iter().all(|f| f.cursor.seq <= whole));
        assert_eq!(store.commit(note()).await.unwrap(), whole + 1);
        let torn = !frames.contains(&length) && length > 0;
        // Of an empty file nothing is kept.
        assert_eq!(journal::cuts(&dir.path().join("journal")).unwrap().len(), usize::from(torn));
        assert_eq!(store.verify().await.unwrap().damage, Vec::<String>::new());
    }
}

#[tokio::test]
async fn acknowledged_entries_that_are_gone_are_put_on_record() {
    for closed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let ids = fill(&store).await;
        if closed {
            store.close().await.unwrap();
        }
        drop(store);
        let frames = frames(dir.path());
        truncate(&newest(dir.path()), frames[3] - 1);
        let damage = verified(dir.path()).damage;
        assert!(damage.iter().any(|d| d.contains("asiento 3")), "{damage:?}");
        for _ in 0..2 {
            let store = open(dir.path());
            assert_eq!(last(&store), 3, "two entries and the fact");
            let found = store.despacho(ids[1]).await.unwrap().unwrap();
            read(&*store, &found.documento.sha256).await.unwrap();
            assert_eq!(store.despacho(ids[2]).await.unwrap(), None);
            let facts = cut_facts(&store).await;
            assert!(facts.len() == 1 && facts[0].contains("asientos 3 a 6"), "{facts:?}");
            let verified = store.verify().await.unwrap();
            assert!(verified.remarks.iter().any(|r| r.contains("asientos 3 a 6")), "{:?}", verified.remarks);
            assert_eq!(verified.damage, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_cut_through_whole_segments_is_put_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Options { segment_bytes: 1_000, ..options() };
    let store = EmbeddedStore::open(dir.path(), small()).unwrap();
    fill(&store).await;
    drop(store);
    let segments = segment::list(&dir.path().join("journal")).unwrap();
    assert!(segments.len() >= 4);
    for segment in &segments[2..] {
        fs::remove_file(&segment.path).unwrap();
    }
    let store = EmbeddedStore::open(dir.path(), small()).unwrap();
    let facts = cut_facts(&store).await;
    let expected = format!("asientos {} a 6", segments[2].first);
    assert!(facts.len() == 1 && facts[0].contains(&expected), "{facts:?}");
    whole(&store).await;
}

#[tokio::test]
async fn a_flipped_byte_in_a_middle_frame_is_found_by_opening_and_by_verifying() {
    let template = tempfile::tempdir().unwrap();
    let store = open(template.path());
    fill(&store).await;
    short(&store, 3).await;
    drop(store);
    fs::remove_dir_all(template.path().join("index")).unwrap();
    let frames = frames(template.path());
    // Entries 2, 4 (long) and 7 (short): never the last.
    for (entry, step) in [(2, 7), (4, 13), (7, 1)] {
        for at in (frames[entry - 1]..frames[entry]).step_by(step) {
            let path = newest(template.path());
            flip(&path, at);
            let place = format!("byte {}", frames[entry - 1]);
            let scanned = journal::scan(&template.path().join("journal"), 1, None, &mut |_, _, _| Ok(()));
            let Err(StoreError::Damaged { place: found, what }) = scanned else { panic!("byte {at}: {scanned:?}") };
            assert!(found.contains(&place) && what.contains(&format!("asiento {entry}")), "{found}: {what}");
            let damage = verified(template.path()).damage;
            let named = damage.iter().any(|d| d.contains(&place) && d.contains(&format!("asiento {entry}")));
            assert!(named, "byte {at}: {damage:?}");
            flip(&path, at);
        }
    }
    flip(&newest(template.path()), frames[3] + 50);
    let refused = EmbeddedStore::open(template.path(), options());
    assert!(matches!(refused, Err(StoreError::Damaged { .. })));
    assert!(journal::cuts(&template.path().join("journal")).unwrap().is_empty(), "nothing was touched");
    flip(&newest(template.path()), frames[3] + 50);
    whole(&open(template.path())).await;
}

#[tokio::test]
async fn damage_in_an_older_segment_is_never_taken_for_a_torn_end() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Options { segment_bytes: 1_000, ..options() };
    let store = EmbeddedStore::open(dir.path(), small()).unwrap();
    fill(&store).await;
    drop(store);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let first = segment::list(&dir.path().join("journal")).unwrap().remove(0);
    let length = fs::metadata(&first.path).unwrap().len();
    truncate(&first.path, length - 1);
    let refused = EmbeddedStore::open(dir.path(), small());
    assert!(matches!(refused, Err(StoreError::Damaged { place, .. }) if place.contains("00001.log")));
    assert!(verified(dir.path()).damage[0].contains("00001.log"));
    fs::remove_file(&first.path).unwrap();
    assert!(matches!(EmbeddedStore::open(dir.path(), small()), Err(StoreError::Damaged { .. })));
    assert!(verified(dir.path()).damage[0].contains("faltan los asientos 1 a"));
}

#[tokio::test]
async fn a_damaged_document_is_named_by_verification_and_by_reading() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = fill(&store).await;
    let mut places = Vec::new();
    for id in &ids {
        let sha256 = store.despacho(*id).await.unwrap().unwrap().documento.sha256;
        places.push((store.read(|lookup| lookup.document(&sha256)).unwrap().unwrap(), sha256));
    }
    for (placed, sha256) in places {
        let (path, start, length) = match placed.pack {
            Some(at) => {
                let length = packs::RECORD_HEADER as u64 + placed.bytes;
                (packs::path(&dir.path().join("packs"), at.number), at.offset, length)
            }
            None => (super::super::documents::path(&dir.path().join("documents"), &sha256), 0, placed.bytes),
        };
        let step = usize::try_from(length / 9).unwrap();
        for at in (start..start + length).step_by(step) {
            flip(&path, at);
            for damage in [store.verify().await.unwrap().damage, verified(dir.path()).damage] {
                assert!(damage.len() == 1 && damage[0].contains(sha256.as_str()), "byte {at}: {damage:?}");
            }
            let error = read(&*store, &sha256).await.unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            flip(&path, at);
        }
        let hidden = path.with_extension("hidden");
        fs::rename(&path, &hidden).unwrap();
        let damage = verified(dir.path()).damage;
        assert!(damage.iter().any(|d| d.contains(sha256.as_str())), "{damage:?}");
        assert!(matches!(read(&*store, &sha256).await, Err(StoreError::Damaged { .. })));
        fs::rename(&hidden, &path).unwrap();
    }
    whole(&store).await;
}

#[tokio::test]
async fn an_index_that_says_something_else_than_the_journal_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = fill(&store).await;
    let alter = |id: Id, value: Option<Vec<u8>>| {
        let state = store.shared.index.read().unwrap();
        let super::super::shared::IndexState::Ready(index) = &*state else { panic!() };
        let key = super::super::keys::record(id);
        let before = index.get(&key).unwrap();
        index.apply([(key, value)].into()).unwrap();
        before
    };
    let first = alter(ids[0], None);
    let damage = store.verify().await.unwrap().damage;
    assert!(damage.len() == 1 && damage[0].contains(&ids[0].to_string()), "{damage:?}");
    let second = alter(ids[1], first.clone());
    let damage = store.verify().await.unwrap().damage;
    assert!(damage.iter().any(|d| d.contains(&ids[1].to_string())), "{damage:?}");
    alter(ids[0], first.clone());
    alter(ids[1], second);
    whole(&store).await;
    alter(Id::from_u128(5), first);
    let damage = store.verify().await.unwrap().damage;
    assert!(damage.len() == 1 && damage[0].contains("1 registros no están así en el diario"), "{damage:?}");
}
