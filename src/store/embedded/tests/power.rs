//! Power cuts: a disk that knows what was synced, and what it leaves behind when the current goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    super::disk::{Disk, OsDisk},
    erasure::{keep, on_disk, verified},
    *,
};
use crate::{
    domain::Sha256,
    store::samples::{purge, read, sha256},
};

/// Passes everything on, and remembers what a power cut could take back.
#[derive(Default)]
pub struct Volatile(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    /// Files written through this disk, by inode: what of them is on the disk for sure.
    synced: BTreeMap<u64, Vec<u8>>,
    /// Names that no sync of their folder has made sure.
    unsure: BTreeSet<PathBuf>,
}

impl Volatile {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of this file only so many bytes are on the disk.
    pub fn forget(&self, path: &Path, length: u64) {
        let mut content = fs::read(path).unwrap();
        content.truncate(usize::try_from(length).unwrap());
        self.memory().synced.insert(fs::metadata(path).unwrap().ino(), content);
    }

    /// Nothing has made this name sure.
    pub fn doubt(&self, path: &Path) {
        self.memory().unsure.insert(path.to_owned());
    }

    /// The store as a power cut might leave it: of what was not synced, anything may be there or not.
    pub fn cut(&self, from: &Path, to: &Path, seed: u64) {
        let memory = self.memory();
        let mut random = bytes(seed, 1 << 16).into_iter().cycle();
        copy_without_index(from, to);
        for name in &memory.unsure {
            if random.next().unwrap() < 128 {
                fs::remove_file(to.join(name.strip_prefix(from).unwrap())).ok();
            }
        }
        for folder in ["journal", "packs"] {
            for entry in from.join(folder).read_dir().unwrap().map(Result::unwrap) {
                let target = to.join(folder).join(entry.file_name());
                let Some(synced) = memory.synced.get(&entry.metadata().unwrap().ino()) else { continue };
                if target.exists() {
                    let written = fs::read(entry.path()).unwrap();
                    fs::write(target, remains(synced, &written, &mut random)).unwrap();
                }
            }
        }
    }
}

/// What was synced, each piece of 512 bytes of it perhaps as it was overwritten since; then each of what was not: written,
/// zero, or with all behind it not there.
fn remains(synced: &[u8], written: &[u8], random: &mut impl Iterator<Item = u8>) -> Vec<u8> {
    let mut content = synced.to_vec();
    for (kept, over) in content.chunks_mut(512).zip(written.chunks(512)) {
        if kept.len() <= over.len() && kept != &over[..kept.len()] && random.next().unwrap() < 128 {
            kept.copy_from_slice(&over[..kept.len()]);
        }
    }
    for piece in written.get(synced.len()..).unwrap_or_default().chunks(512) {
        match random.next().unwrap() % 4 {
            0 => break,
            1 => content.extend(vec![0; piece.len()]),
            _ => content.extend_from_slice(piece),
        }
    }
    content
}

fn copy_without_index(from: &Path, to: &Path) {
    for folder in ["journal", "packs", "documents"] {
        copy(&from.join(folder), &to.join(folder));
    }
}

impl Disk for Volatile {
    fn open(&self, path: &Path, fresh: bool) -> io::Result<File> {
        let mut memory = self.memory();
        let file = OsDisk.open(path, fresh)?;
        if fresh {
            memory.synced.insert(file.metadata()?.ino(), Vec::new());
            memory.unsure.insert(path.to_owned());
        }
        Ok(file)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let _memory = self.memory();
        OsDisk.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut memory = self.memory();
        let mut content = Vec::new();
        let length = usize::try_from(file.metadata()?.len()).unwrap();
        content.resize(length, 0);
        std::os::unix::fs::FileExt::read_exact_at(file, &mut content, 0)?;
        memory.synced.insert(file.metadata()?.ino(), content);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.unsure.insert(to.to_owned());
        OsDisk.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut memory = self.memory();
        memory.unsure.retain(|name| name.parent() != Some(path));
        Ok(())
    }
}

const ROUNDS: u64 = 12;
const WRITERS: u64 = 6;
/// Commits of one writer in one round.
const COMMITS: u64 = 6;

/// An answered commit: its record and its document.
type Answered = Arc<Mutex<Vec<(Id, Sha256)>>>;

async fn write(store: Arc<EmbeddedStore>, answered: Answered) {
    for n in 0..COMMITS {
        let change = dispatch(&store, if n == 2 { SMALL_MAX + 50 } else { 1_500 }).await;
        let entry = (change.records[0].id(), change.documents[0].sha256.clone());
        store.commit(change).await.unwrap();
        answered.lock().unwrap().push(entry);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_before_a_power_cut_is_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Volatile(Mutex::default()));
    let sizes = Options { segment_bytes: 30_000, pack_bytes: 100_000, ..options() };
    let store = EmbeddedStore::open(dir.path(), Options { disk: disk.clone(), ..sizes }).unwrap();
    let answered = Answered::default();
    for round in 0..ROUNDS {
        let writers: Vec<_> =
            (0..WRITERS).map(|_| tokio::spawn(write(Arc::clone(&store), Arc::clone(&answered)))).collect();
        let moment = round * WRITERS * COMMITS + round * 7 % (WRITERS * COMMITS);
        store.watch().wait_for(|seq| *seq >= moment).await.unwrap();
        let before = answered.lock().unwrap().clone();
        let left = tempfile::tempdir().unwrap();
        disk.cut(dir.path(), left.path(), round + 1);
        let after = open_hastily(left.path());
        for (id, expected) in before {
            let found = after.despacho(id).await.unwrap();
            let found = found.unwrap_or_else(|| panic!("round {round}: {id} is gone"));
            assert_eq!(found.documento.sha256, expected);
            assert_eq!(sha256(&read(&*after, &expected).await.unwrap()), expected);
        }
        assert_eq!(after.verify().await.unwrap().damage, Vec::<String>::new());
        after.commit(note()).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_purged_before_a_power_cut_is_gone_for_good_and_the_rest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Volatile(Mutex::default()));
    let sizes = Options { segment_bytes: 30_000, pack_bytes: 20_000, ..options() };
    let store = EmbeddedStore::open(dir.path(), Options { disk: disk.clone(), ..sizes }).unwrap();
    for round in 0..ROUNDS {
        let mut kept = Vec::new();
        for n in 0..8 {
            let content = bytes(number(), if n == 3 { SMALL_MAX + 50 } else { 1_500 });
            kept.push((keep(&store, &content).await, content));
        }
        let purges: Vec<_> =
            kept.iter().take(6).map(|(despacho, content)| purge(despacho, content.len() as u64, false)).collect();
        let purged = Arc::new(Mutex::new(0));
        let (here, count) = (Arc::clone(&store), Arc::clone(&purged));
        let first = last(&store);
        let purging = tokio::spawn(async move {
            for purge in purges {
                here.commit(purge).await.unwrap();
                *count.lock().unwrap() += 1;
            }
        });
        store.watch().wait_for(|seq| *seq >= first + 1 + round % 6).await.unwrap();
        let answered = *purged.lock().unwrap();
        let left = tempfile::tempdir().unwrap();
        disk.cut(dir.path(), left.path(), 100 + round);
        assert_eq!(verified(left.path()).damage, Vec::<String>::new(), "round {round}, before the start");
        let after = open_hastily(left.path());
        for (n, (despacho, content)) in kept.iter().enumerate() {
            let there = after.despacho(despacho.id).await.unwrap().unwrap().purga.is_none();
            assert!(n >= answered || !there, "round {round}: its purge was answered");
            assert!(n < 6 || there, "round {round}: nobody purged it");
            let found = read(&*after, &despacho.documento.sha256).await.ok();
            assert_eq!(found.as_ref(), there.then_some(content), "round {round}, document {n}");
            let folders = ["packs", "documents"].map(|folder| on_disk(&left.path().join(folder), content));
            assert_eq!(folders.contains(&true), there, "round {round}, document {n} on the disk");
        }
        assert_eq!(after.verify().await.unwrap().damage, Vec::<String>::new());
        assert_eq!(verified(left.path()).remarks, Vec::<String>::new(), "round {round}");
        purging.await.unwrap();
    }
}

#[tokio::test]
async fn names_that_a_killed_process_made_are_sure_before_anything_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = fill(&store).await;
    let large = store.despacho(ids[1]).await.unwrap().unwrap().documento.sha256;
    drop(store);
    // It died before it synced the folders that these stand in.
    let folder = dir.path().join("documents").join(&large.as_str()[..2]);
    let made = [newest(dir.path()), dir.path().join("packs/0000000001.pack"), folder];
    assert!(made.iter().all(|path| path.exists()));
    let disk = Arc::new(Volatile(Mutex::default()));
    disk.memory().unsure.extend(made.clone());
    let store = EmbeddedStore::open(dir.path(), Options { disk: disk.clone(), ..options() }).unwrap();
    store.commit(dispatch(&store, 100).await).await.unwrap();
    let unsure = disk.memory().unsure.clone();
    assert!(made.iter().all(|path| !unsure.contains(path)), "{unsure:?}");
}
