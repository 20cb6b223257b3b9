//! A disk that counts its syncs, holds them back, and fails when told to.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt},
    },
    path::Path,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::store::embedded::disk::{Disk, OsDisk};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Half of what is written arrives, then the disk is full.
    Full,
    /// What is there can be changed; nothing can grow.
    NoRoom,
    /// Writes arrive, syncs fail.
    Sync,
    /// Neither syncing nor cutting works.
    SyncAndCut,
    /// Nothing works, not even cutting.
    Dead,
    /// A sync panics.
    Panic,
    /// The next sync of a pack fails, once: what was not synced before is zeros, and later syncs say that all is well.
    DropsPack,
}

pub struct TestDisk {
    fault: Mutex<Fault>,
    /// Syncs wait while this is true.
    held: Mutex<Held>,
    changed: Condvar,
    /// Length of each file, by inode, when it was last synced.
    synced: Mutex<HashMap<u64, u64>>,
    pub syncs: AtomicUsize,
}

#[derive(Default)]
struct Held {
    held: bool,
    waiting: bool,
}

impl TestDisk {
    pub fn new() -> Self {
        let (fault, held) = (Mutex::new(Fault::None), Mutex::default());
        Self { fault, held, changed: Condvar::new(), synced: Mutex::default(), syncs: AtomicUsize::new(0) }
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = Held { held, waiting: false };
        self.changed.notify_all();
    }

    /// Returns when a sync is held.
    pub fn holds(&self) {
        drop(self.changed.wait_while(self.held.lock().unwrap(), |held| !held.waiting).unwrap());
    }

    fn wait(&self) {
        let mut held = self.held.lock().unwrap();
        held.waiting = held.held;
        self.changed.notify_all();
        drop(self.changed.wait_while(held, |held| held.held).unwrap());
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn check(&self, failing: &[Fault]) -> io::Result<()> {
        if failing.contains(&self.fault()) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path, fresh: bool) -> io::Result<File> {
        self.check(&[Fault::Dead])?;
        if fresh {
            self.check(&[Fault::NoRoom])?;
        }
        OsDisk.open(path, fresh)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(&[Fault::Dead])?;
        if self.fault() == Fault::Full {
            OsDisk.write_at(file, &bytes[..bytes.len() / 2], offset)?;
        }
        self.check(&[Fault::Full])?;
        if offset + bytes.len() as u64 > file.metadata()?.len() {
            self.check(&[Fault::NoRoom])?;
        }
        OsDisk.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.wait();
        assert!(self.fault() != Fault::Panic, "told to panic");
        self.check(&[Fault::Sync, Fault::SyncAndCut, Fault::Dead])?;
        let found = file.metadata()?;
        let mut synced = self.synced.lock().unwrap();
        let before = synced.insert(found.ino(), found.len()).unwrap_or(0);
        if self.fault() == Fault::DropsPack && is_pack(file)? {
            self.set(Fault::None);
            let lost = usize::try_from(found.len() - before).unwrap();
            file.write_all_at(&vec![0; lost], before)?;
            return Err(io::Error::other("told to lose what was written"));
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        OsDisk.sync(file)
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        self.check(&[Fault::SyncAndCut, Fault::Dead])?;
        OsDisk.truncate(file, len)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(&[Fault::Dead])?;
        OsDisk.rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(&[Fault::Sync, Fault::SyncAndCut, Fault::Dead])?;
        OsDisk.sync_dir(path)
    }
}

fn is_pack(file: &File) -> io::Result<bool> {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(path.extension().is_some_and(|extension| extension == "pack"))
}

/// A disk whose syncs do nothing, for tests that open many stores and cut no current.
pub struct Hasty;

impl Disk for Hasty {
    fn sync(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
}
