//! A disk that counts its syncs, holds them back, and fails when told to.

use std::{
    fs::File,
    io,
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
    /// Writes arrive, syncs fail.
    Sync,
    /// Neither syncing nor cutting works.
    SyncAndCut,
    /// Nothing works, not even cutting.
    Dead,
    /// A sync panics.
    Panic,
}

pub struct TestDisk {
    fault: Mutex<Fault>,
    /// Syncs wait while this is true.
    held: Mutex<bool>,
    released: Condvar,
    pub syncs: AtomicUsize,
}

impl TestDisk {
    pub fn new() -> Self {
        let (fault, held) = (Mutex::new(Fault::None), Mutex::new(false));
        Self { fault, held, released: Condvar::new(), syncs: AtomicUsize::new(0) }
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
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
        OsDisk.open(path, fresh)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(&[Fault::Dead])?;
        if self.fault() == Fault::Full {
            OsDisk.write_at(file, &bytes[..bytes.len() / 2], offset)?;
        }
        self.check(&[Fault::Full])?;
        OsDisk.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        drop(self.released.wait_while(self.held.lock().unwrap(), |held| *held).unwrap());
        assert!(self.fault() != Fault::Panic, "told to panic");
        self.check(&[Fault::Sync, Fault::SyncAndCut, Fault::Dead])?;
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
