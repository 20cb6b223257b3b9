//! The few ways in which the store changes the disk, as a seam: tests make them fail and count the syncs.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use crate::telemetry::{failpoint, syncs};

pub trait Disk: Send + Sync {
    /// Opens a file for reading and writing; makes it, empty, if `fresh`.
    fn open(&self, path: &Path, fresh: bool) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(fresh).truncate(fresh).open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    /// Returns when the file's bytes and length are on the disk.
    fn sync(&self, file: &File) -> io::Result<()> {
        syncs::count();
        file.sync_data()
    }

    /// Cuts a file to `len` bytes and returns when that is on the disk.
    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)?;
        syncs::count();
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Returns when the names in a folder are on the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        syncs::count();
        File::open(path)?.sync_all()
    }
}

/// The real one.
#[derive(Debug)]
pub struct OsDisk;

impl Disk for OsDisk {}

/// Replaces a small file whole: written beside it, synced, renamed over it.
pub fn replace(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    failpoint::reach("replace.write");
    let beside = path.with_extension("new");
    let file = disk.open(&beside, true)?;
    disk.write_at(&file, content, 0)?;
    disk.sync(&file)?;
    failpoint::reach("replace.rename");
    disk.rename(&beside, path)?;
    match path.parent() {
        Some(dir) => disk.sync_dir(dir),
        None => Ok(()),
    }
}

/// What a process leaves that dies in the middle of a write, as its tests want it: the write ends within its last frame.
pub fn write_half(disk: &dyn Disk, file: &File, bytes: &[u8], offset: u64) {
    disk.write_at(file, bytes.get(..bytes.len().saturating_sub(7)).unwrap_or_default(), offset).ok();
}

/// Removes a file; one that is not there is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
