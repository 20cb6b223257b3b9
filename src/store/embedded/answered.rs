//! The last entry that was answered, in a small file of its own: written after each batch and not synced, so it outlives a
//! killed process, and after a power cut says at most too little. By it a start knows that entries are missing at the
//! journal's end, which a killed index does not tell.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use super::{disk::Disk, frame::Fields};
use crate::store::Seq;

const FILE: &str = "answered";
/// Bytes of the file.
const LENGTH: u64 = 20;

pub struct Answered {
    file: File,
    disk: Arc<dyn Disk>,
    /// The file's own: a copy, made while the store was written, may be ahead of the journal beside it and is not believed.
    inode: u64,
}

/// What was answered last; 0 if nobody can tell.
pub fn read(data_dir: &Path) -> Seq {
    let path = data_dir.join(FILE);
    let found = File::open(&path).and_then(|file| {
        let mut bytes = Vec::new();
        (&file).take(LENGTH + 1).read_to_end(&mut bytes)?;
        Ok((bytes, file.metadata()?.ino()))
    });
    let Ok((bytes, inode)) = found else { return 0 };
    let seq = Fields(&bytes).u64().unwrap_or(0);
    if bytes == encoded(seq, inode) { seq } else { 0 }
}

/// Entry and inode (u64, little-endian), CRC32C of both (u32).
fn encoded(seq: Seq, inode: u64) -> Vec<u8> {
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.extend_from_slice(&inode.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

impl Answered {
    pub fn open(data_dir: &Path, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let path = data_dir.join(FILE);
        let file = match disk.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.open(&path, true)?,
            opened => opened?,
        };
        let inode = file.metadata()?.ino();
        Ok(Self { file, disk, inode })
    }

    /// Before `seq` is answered.
    pub fn write(&self, seq: Seq) -> io::Result<()> {
        self.disk.write_at(&self.file, &encoded(seq, self.inode), 0)
    }

    /// Returns when `seq` is on the disk: less was answered than the file said.
    pub fn lower(&self, seq: Seq) -> io::Result<()> {
        self.write(seq)?;
        self.disk.sync(&self.file)
    }
}
