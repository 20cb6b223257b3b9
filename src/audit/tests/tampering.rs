//! What an enemy with the disk in his hands may do, and how it is named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::world::{World, now};
use crate::{
    audit::{
        AuditError,
        log::Folder,
        merkle,
        note::Signer,
        verify::{Report, verify_dir},
    },
    store::samples::at,
};

fn verify(dir: &Path) -> Report {
    verify_dir(dir, None, None, &mut |_| {}).unwrap()
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("journal/00000000000000000001.log")
}

/// Bytes before a segment's first frame, and before a frame's parts.
const SEGMENT_HEADER: usize = 24;
const FRAME_HEADER: usize = 40;

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The frames of a segment.
fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut at, mut frames) = (SEGMENT_HEADER, Vec::new());
    while at < bytes.len() {
        let end = at + 12 + u32_at(bytes, at + 8);
        frames.push(bytes[at..end].to_vec());
        at = end;
    }
    frames
}

/// Writes the segment anew with frames changed by an enemy who knows the format: numbers and checksums are right.
fn rewrite(dir: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let bytes = fs::read(segment(dir)).unwrap();
    let mut list = frames(&bytes);
    change(&mut list);
    let mut out = bytes[..SEGMENT_HEADER].to_vec();
    for (frame, seq) in list.iter_mut().zip(1_u64..) {
        frame[12..20].copy_from_slice(&seq.to_le_bytes());
        let crc = crc32c::crc32c(&frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(frame);
    }
    fs::write(segment(dir), out).unwrap();
}

/// A log of 12 entries with checkpoints at 5 and, with the first one's own entry, at 12; closed.
async fn closed_log() -> tempfile::TempDir {
    let world = World::new();
    world.entries(5).await;
    world.log.checkpoint(now(), "local").await.unwrap();
    world.entries(6).await;
    let second = world.log.checkpoint(at(5000), "local").await.unwrap();
    assert_eq!((second.checkpoint.size, second.checkpoint.last), (12, 12));
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_log_is_whole_open_and_closed_and_after_a_reopening() {
    let world = World::new();
    assert!(matches!(world.log.checkpoint(now(), "local").await, Err(AuditError::Empty)));
    world.entries(5).await;
    assert_eq!(world.log.checkpoint_if_news(now(), "chasqui").await.unwrap().unwrap().checkpoint.size, 5);
    assert_eq!(
        world.log.checkpoint_if_news(now(), "chasqui").await.unwrap(),
        None,
        "only the checkpoint itself is new"
    );
    let report = world.verify();
    assert!(report.is_whole(), "{report:?}");
    let world = world.reopen().await;
    world.entries(3).await;
    assert_eq!(world.log.checkpoint_if_news(now(), "chasqui").await.unwrap().unwrap().checkpoint.size, 9);
    let report = verify(world.close().await.path());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.checkpoints, report.covered, report.store.entries), (2, 9, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_is_proven_under_the_checkpoint() {
    let world = World::new();
    world.entries(7).await;
    let proven = world.log.prove(&[2, 7], now(), "local").await.unwrap();
    let checkpoint = &proven.signed.checkpoint;
    assert_eq!(checkpoint.size, 7);
    for entry in &proven.entries {
        let leaf = crate::audit::log::leaf(&entry.entry);
        assert!(merkle::includes(&leaf.hash, entry.index, checkpoint.size, &entry.path, &checkpoint.root));
    }
    // What came later has a checkpoint made for it.
    let later = world.log.prove(&[8], now(), "local").await.unwrap();
    assert_eq!(later.signed.checkpoint.size, 8);
    assert!(matches!(world.log.prove(&[99], now(), "local").await, Err(AuditError::NoEntry(99))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_removed_moved_or_added_entry_is_named_even_with_right_checksums() {
    type Change = Box<dyn FnOnce(&mut Vec<Vec<u8>>)>;
    let changes: [(&str, Change, &str); 5] = [
        ("facts", Box::new(|list| list[2][FRAME_HEADER + 20] ^= 1), "asiento 3: no es el que se escribió"),
        (
            "change",
            Box::new(|list| {
                let at = FRAME_HEADER + u32_at(&list[8], 28) + 30;
                list[8][at] ^= 1;
            }),
            "asiento 9: no es el que se escribió",
        ),
        ("removed", Box::new(|list| drop(list.remove(3))), "asiento 4: no es el que se escribió"),
        ("swapped", Box::new(|list| list.swap(1, 2)), "asiento 2: no es el que se escribió"),
        (
            "added",
            Box::new(|list| {
                let copy = list[1].clone();
                list.insert(1, copy)
            }),
            "asiento 3: no es el que se escribió",
        ),
    ];
    for (name, change, expected) in changes {
        let dir = closed_log().await;
        rewrite(dir.path(), change);
        let report = verify(dir.path());
        assert_eq!(report.problems.first().map(String::as_str), Some(expected), "{name}: {report:#?}");
        // Without the kept leaves it is still found, if not named.
        fs::remove_dir_all(Folder::of(dir.path()).tree()).unwrap();
        let report = verify(dir.path());
        assert!(report.problems[0].contains("su raíz no es la del diario"), "{name}: {report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_cut_off_the_end_are_missed() {
    let dir = closed_log().await;
    fs::remove_file(dir.path().join("clean-stop")).unwrap();
    rewrite(dir.path(), |list| list.truncate(8));
    let report = verify(dir.path());
    assert_eq!(report.problems.len(), 5, "{report:#?}");
    assert_eq!(report.problems[0], "asiento 9: falta");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_go_on_from_its_checkpoint_gets_no_other() {
    let dir = closed_log().await;
    fs::remove_file(dir.path().join("clean-stop")).unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    rewrite(dir.path(), |list| list.swap(1, 2));
    let world = World::open(dir);
    // The last leaf is as it was: the tree is trusted until the whole is verified; without it the fork shows.
    let folder = world.close().await;
    fs::remove_dir_all(Folder::of(folder.path()).tree()).unwrap();
    let world = World::open(folder);
    assert!(matches!(world.log.checkpoint(now(), "local").await, Err(AuditError::Fork(12))));
    let told = world.store.facts_of(crate::audit::log::SUJETO).await.unwrap();
    assert_eq!(told.last().map(|at| &*at.fact.tipo), Some("auditoria.discrepancia"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_in_a_checkpoint_a_document_or_the_tree_is_named() {
    let dir = closed_log().await;
    let note = dir.path().join("audit/puntos/00000000000000000005.note");
    let sound = fs::read(&note).unwrap();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        fs::write(&note, bytes).unwrap();
        let report = verify(dir.path());
        assert_eq!(report.problems.len(), 1, "byte {at}: {report:#?}");
        assert!(report.problems[0].starts_with("punto de control 00000000000000000005.note: "));
    }
    fs::write(&note, &sound).unwrap();
    assert!(verify(dir.path()).is_whole());

    let pack = dir.path().join("packs").read_dir().unwrap().next().unwrap().unwrap().path();
    let sound = fs::read(&pack).unwrap();
    let mut bytes = sound.clone();
    bytes[2000] ^= 1;
    fs::write(&pack, bytes).unwrap();
    let report = verify(dir.path());
    assert_eq!(report.store.damage.len(), 1, "{report:#?}");
    assert!(report.problems.is_empty());
    fs::write(&pack, &sound).unwrap();

    // The tree is only remembered: what was signed and what the journal holds decide.
    let leaves = Folder::of(dir.path()).tree().join("00.hashes");
    let mut bytes = fs::read(&leaves).unwrap();
    bytes[100] ^= 1;
    fs::write(&leaves, bytes).unwrap();
    let report = verify(dir.path());
    assert!(report.is_whole(), "{report:#?}");
    assert!(report.store.remarks.iter().any(|remark| remark.starts_with("arbol: ")), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_another_key_is_not_believed() {
    let dir = closed_log().await;
    let stranger = Signer::new("chasqui/prueba", &[6; 32]).unwrap();
    let report = verify_dir(dir.path(), None, Some(stranger.public().clone()), &mut |_| {}).unwrap();
    assert_eq!(report.problems.len(), 2);
    assert!(report.problems[0].ends_with("está firmado con otra clave"));
}

#[tokio::test(flavor = "multi_thread")]
async fn since_a_date_only_what_came_later_is_read_and_damage_there_is_found() {
    let dir = closed_log().await;
    let since = |when| verify_dir(dir.path(), Some(at(when)), None, &mut |_| {}).unwrap();
    let report = since(2000);
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!((report.from, report.store.entries, report.store.documents, report.covered), (6, 8, 6, 12));
    assert_eq!(since(9000).store.entries, 1);
    assert_eq!(since(10).store.entries, 13, "no checkpoint is that old");

    rewrite(dir.path(), |list| list[8][FRAME_HEADER + 20] ^= 1);
    assert_eq!(since(2000).problems, ["asiento 9: no es el que se escribió"]);
}
