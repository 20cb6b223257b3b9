//! Pack files: small documents one after the other, each with a header that tells what it is.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    disk::{self, Disk},
    frame::Fields,
    placement::{InPack, Placed},
};
use crate::{
    domain::Sha256,
    store::{StoreError, blobs::SMALL_MAX},
    telemetry::failpoint,
};

const FILE_MAGIC: &[u8; 8] = b"CHQPACK1";
/// Bytes before the first record: magic, number and a CRC32C over these.
pub const FILE_HEADER: u64 = 16;
const RECORD_MAGIC: [u8; 4] = [0xFF, b'C', b'H', b'P'];
/// Begins the record of a document that was purged: zeros stand in its place.
const ERASED_MAGIC: [u8; 4] = [0xFF, b'C', b'H', b'Z'];
/// Bytes before a record's document: magic, CRC32C over what follows, length, SHA-256.
pub const RECORD_HEADER: usize = 44;

pub fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.pack"))
}

/// How a report names a place in a pack.
pub fn place(at: InPack) -> String {
    format!("packs/{:010}.pack, byte {}", at.number, at.offset)
}

/// The packs there are, by number, with their lengths in bytes.
pub fn list(dir: &Path) -> io::Result<Vec<(u32, u64)>> {
    let mut packs = Vec::new();
    for entry in dir.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|n| n.strip_suffix(".pack")).and_then(|n| n.parse().ok());
        if let Some(number) = number {
            packs.push((number, entry.metadata()?.len()));
        }
    }
    packs.sort_unstable();
    Ok(packs)
}

fn file_header(number: u32) -> Vec<u8> {
    let mut bytes = FILE_MAGIC.to_vec();
    bytes.extend_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Whether a pack begins as it must.
pub fn header_is_sound(dir: &Path, number: u32) -> io::Result<bool> {
    let mut header = [0; FILE_HEADER as usize];
    match File::open(path(dir, number))?.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| header == file_header(number).as_slice()),
    }
}

/// Reads the record at `at`, which must be the document named.
pub fn read(dir: &Path, at: InPack, sha256: &Sha256, bytes: u64) -> Result<Bytes, StoreError> {
    let damaged = |what: &str| StoreError::Damaged { place: place(at), what: format!("documento {sha256}: {what}") };
    let size =
        usize::try_from(bytes).ok().filter(|n| *n <= SMALL_MAX).ok_or_else(|| damaged("su tamaño no es válido"))?;
    let mut record = vec![0; RECORD_HEADER + size];
    let file = match File::open(path(dir, at.number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("falta el archivo")),
        opened => opened?,
    };
    match file.read_exact_at(&mut record, at.offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged("el archivo está cortado")),
        read => read?,
    }
    let mut fields = Fields(&record);
    let (magic, crc, length) = (fields.take(4), fields.u32(), fields.u32());
    if magic == Some(&ERASED_MAGIC) {
        return Err(damaged("fue borrado por una purga"));
    }
    if magic != Some(&RECORD_MAGIC) || length.map(u64::from) != Some(bytes) {
        return Err(damaged("su cabecera no es válida"));
    }
    if fields.take(32) != Some(&sha256.digest()) {
        return Err(damaged("en su lugar hay otro documento"));
    }
    if record.get(8..).map(crc32c::crc32c) != crc {
        return Err(damaged("su suma de control no corresponde"));
    }
    Ok(Bytes::from(record).slice(RECORD_HEADER..))
}

/// Writes the record at `at`, which is sound, as it stands there, and syncs it.
pub fn write_again(dir: &Path, disk: &dyn Disk, at: InPack, placed: &Placed) -> Result<(), StoreError> {
    let document = read(dir, at, &placed.sha256, placed.bytes)?;
    let mut record = record(RECORD_MAGIC, &placed.sha256, document.len());
    record.extend_from_slice(&document);
    seal(&mut record);
    let file = disk.open(&path(dir, at.number), false)?;
    disk.write_at(&file, &record, at.offset)?;
    Ok(disk.sync(&file)?)
}

/// What stands in the place of a document of `bytes` that was purged.
pub fn erased(sha256: &Sha256, bytes: u64) -> Option<Vec<u8>> {
    let size = usize::try_from(bytes).ok().filter(|n| *n <= SMALL_MAX)?;
    let mut record = record(ERASED_MAGIC, sha256, size);
    record.resize(RECORD_HEADER + size, 0);
    seal(&mut record);
    Some(record)
}

/// Whether what stands at `at` is what a purge leaves of this document.
pub fn is_erased(dir: &Path, at: InPack, sha256: &Sha256, bytes: u64) -> io::Result<bool> {
    let Some(expected) = erased(sha256, bytes) else { return Ok(false) };
    let mut found = vec![0; expected.len()];
    match File::open(path(dir, at.number))?.read_exact_at(&mut found, at.offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| found == expected),
    }
}

/// A record without its document, and without its checksum.
fn record(magic: [u8; 4], sha256: &Sha256, size: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(RECORD_HEADER + size);
    record.extend_from_slice(&magic);
    record.extend_from_slice(&[0; 4]);
    record.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    record.extend_from_slice(&sha256.digest());
    record
}

/// Puts the checksum of what follows it into a record.
fn seal(record: &mut [u8]) {
    let crc = record.get(8..).map_or(0, crc32c::crc32c);
    if let Some(field) = record.get_mut(4..8) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Appends to the newest pack.
pub struct Packs {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// A pack begins when the current one is longer than this, in bytes.
    pack_max: u64,
    current: Option<Current>,
    last: u32,
}

struct Current {
    file: File,
    /// What is kept.
    length: u64,
    /// What is written, synced or not.
    written: u64,
    /// There may be bytes behind `length`.
    dirty: bool,
    /// As in the journal: a file whose sync failed gets no more.
    distrusted: bool,
}

impl Packs {
    /// Goes on in a new pack: what stands at the end of the last one is not known. `appending_at` says where, if it is.
    pub fn open(dir: PathBuf, disk: Arc<dyn Disk>, pack_max: u64, appending_at: Option<InPack>) -> io::Result<Self> {
        let last = list(&dir)?.last().map_or(0, |(number, _)| *number);
        let current = match appending_at.filter(|at| at.number == last) {
            Some(at) => {
                let file = disk.open(&path(&dir, at.number), false)?;
                let dirty = file.metadata()?.len() != at.offset;
                Some(Current { file, length: at.offset, written: at.offset, dirty, distrusted: false })
            }
            None => None,
        };
        Ok(Self { dir, disk, pack_max, current, last })
    }

    /// Writes a document at the end, not yet synced, and says where.
    pub fn write(&mut self, sha256: &Sha256, document: &[u8]) -> io::Result<InPack> {
        let mut record = record(RECORD_MAGIC, sha256, document.len());
        record.extend_from_slice(document);
        seal(&mut record);
        let disk = Arc::clone(&self.disk);
        let current = self.pack()?;
        current.dirty = true;
        failpoint::reach("pack.write");
        failpoint::reach_half("pack.torn", || disk::write_half(&*disk, &current.file, &record, current.written));
        disk.write_at(&current.file, &record, current.written)?;
        let offset = current.written;
        current.written += record.len() as u64;
        Ok(InPack { number: self.last, offset })
    }

    /// Whether something was written that is not durable yet.
    pub fn pending(&self) -> bool {
        self.current.as_ref().is_some_and(|c| c.written > c.length)
    }

    /// Makes what was written durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if let Some(current) = self.current.as_mut().filter(|c| c.written > c.length) {
            // The kernel tells of an error once: a second sync would succeed, whatever became of the pages.
            if current.distrusted {
                return Err(io::Error::other("el disco no confirmó los documentos que se escribieron antes"));
            }
            current.distrusted = true;
            failpoint::reach("pack.sync");
            self.disk.sync(&current.file)?;
            failpoint::reach("pack.synced");
            current.distrusted = false;
        }
        Ok(())
    }

    /// The journal names what was written: it stays.
    pub fn keep(&mut self) {
        if let Some(current) = &mut self.current {
            current.length = current.written;
            current.dirty = false;
        }
    }

    /// A place to come back to with [`Packs::rewind`].
    pub fn mark(&self) -> Option<InPack> {
        self.current.as_ref().map(|c| InPack { number: self.last, offset: c.written })
    }

    /// Takes back what was written since `mark`.
    pub fn rewind(&mut self, mark: Option<InPack>) {
        let number = self.last;
        if let Some(current) = &mut self.current {
            let back = mark.filter(|m| m.number == number).map_or(current.length, |m| m.offset);
            current.written = back.clamp(current.length, current.written);
        }
    }

    /// Cuts off what was written and not kept.
    pub fn repair(&mut self) -> io::Result<()> {
        if let Some(current) = self.current.as_mut().filter(|c| c.dirty) {
            current.written = current.length;
            self.disk.truncate(&current.file, current.length)?;
            current.dirty = false;
        }
        Ok(())
    }

    /// The pack to append to: a new one if there is none, or the newest is full or distrusted.
    fn pack(&mut self) -> io::Result<&mut Current> {
        let max = self.pack_max;
        let full = self.current.as_ref().is_none_or(|c| c.written >= max || c.distrusted);
        if full {
            self.sync()?;
            self.current = None;
        }
        let current = match self.current.take() {
            Some(current) => current,
            None => self.begin()?,
        };
        Ok(self.current.insert(current))
    }

    fn begin(&mut self) -> io::Result<Current> {
        let number = self.last + 1;
        let (path, header) = (path(&self.dir, number), file_header(number));
        let file = self.disk.open(&path, true)?;
        failpoint::reach("pack.begin");
        let made = self
            .disk
            .write_at(&file, &header, 0)
            .and_then(|()| self.disk.sync(&file))
            .inspect(|()| failpoint::reach("pack.sync_dir"))
            .and_then(|()| self.disk.sync_dir(&self.dir));
        if let Err(error) = made {
            disk::remove(&path)?;
            return Err(error);
        }
        self.last = number;
        Ok(Current { file, length: FILE_HEADER, written: FILE_HEADER, dirty: false, distrusted: false })
    }
}
