//! Documents on their way in and out: taken in piece by piece, hashed as they come, never held whole. Both stores share
//! this; they differ in where a finished document goes.

use std::{
    fs::{File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use ring::digest;
use tempfile::TempPath;
use tokio::sync::watch;

use super::StoreError;
use crate::{
    config::causes::in_spanish,
    domain::Sha256,
    signing::begun::{Begun, Hashing},
    soap::{
        body::DocumentSource,
        sink::{DocumentSink, SinkError},
    },
    telemetry::syncs,
};

/// Documents up to this size, in bytes, travel in memory and are kept in pack files; larger ones are files of their own.
pub const SMALL_MAX: usize = 256 * 1024;

/// What a document that is expected to be large is written in, in bytes: all that is held of it.
const PIECE: usize = 64 * 1024;

/// Takes in one document. Dropped unfinished, it leaves nothing behind.
pub struct BlobWriter {
    dir: PathBuf,
    max: u64,
    bytes: u64,
    /// What was not hashed yet: at most `pending_max` bytes.
    pending: Vec<u8>,
    pending_max: usize,
    spill: Option<Spill>,
}

/// The part of a large document that is on disk already.
struct Spill {
    file: File,
    path: TempPath,
    hash: Hashing,
}

/// A whole document, hashed; not in the store until a commit names it. Cheap to clone, so that a use case which lost a race
/// can commit it again; a commit that succeeds moves the file away, the rest is removed with the last clone.
#[derive(Debug, Clone)]
pub struct Staged {
    pub sha256: Sha256,
    pub bytes: u64,
    pub body: StagedBody,
    /// For whoever examines it.
    pub begun: Begun,
}

#[derive(Debug, Clone)]
pub enum StagedBody {
    /// At most [`SMALL_MAX`] bytes.
    Memory(Bytes),
    /// A file in the store's own file system.
    File(Arc<StagedFile>),
}

/// A large document on its way into the store. It is being synced while others read it already; a commit waits for that.
#[derive(Debug)]
pub struct StagedFile {
    path: TempPath,
    synced: watch::Receiver<Option<Result<(), Unsynced>>>,
}

/// Why a file is not on the disk, to be told to everybody who waits for it.
#[derive(Debug, Clone)]
struct Unsynced {
    kind: io::ErrorKind,
    system: Option<i32>,
    text: String,
}

impl StagedFile {
    /// Begins to sync the file, off the runtime's threads.
    fn sync(path: TempPath, file: File) -> Self {
        let (told, synced) = watch::channel(None);
        tokio::task::spawn_blocking(move || {
            syncs::count();
            told.send_replace(Some(file.sync_data().map_err(|error| Unsynced::from(&error))));
        });
        Self { path, synced }
    }

    /// Waits until the file is on the disk.
    pub async fn synced(&self) -> Result<(), StoreError> {
        let mut synced = self.synced.clone();
        let end = synced.wait_for(Option::is_some).await.map_err(|_| StoreError::Closed)?.clone();
        end.unwrap_or(Ok(())).map_err(|why| unwritable(why.into()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the file to whoever has moved it: nothing of it is removed any more.
    pub fn keep(self) -> io::Result<PathBuf> {
        self.path.keep().map_err(|error| error.error)
    }
}

impl From<&io::Error> for Unsynced {
    fn from(error: &io::Error) -> Self {
        Self { kind: error.kind(), system: error.raw_os_error(), text: error.to_string() }
    }
}

impl From<Unsynced> for io::Error {
    fn from(why: Unsynced) -> Self {
        why.system.map_or_else(|| Self::new(why.kind, why.text), Self::from_raw_os_error)
    }
}

impl Staged {
    /// Waits until the document can be named by a commit: a large one is on the disk then.
    pub async fn synced(&self) -> Result<(), StoreError> {
        match &self.body {
            StagedBody::Memory(_) => Ok(()),
            StagedBody::File(file) => file.synced().await,
        }
    }
}

impl BlobWriter {
    /// Stages in `dir`, which must be in the store's file system, a document of at most `max` bytes.
    pub fn new(dir: &Path, max: u64) -> Self {
        Self { dir: dir.to_owned(), max, bytes: 0, pending: Vec::new(), pending_max: SMALL_MAX, spill: None }
    }

    /// The same for a document of about so many bytes, if that is known: a large one is held in smaller pieces from its
    /// first byte on. A document that turns out small is kept all the same.
    #[must_use]
    pub fn expecting(self, bytes: Option<u64>) -> Self {
        let large = bytes.is_some_and(|bytes| bytes > SMALL_MAX as u64);
        Self { pending_max: if large { PIECE } else { SMALL_MAX }, ..self }
    }

    /// Bytes taken in so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub async fn write(&mut self, mut piece: &[u8]) -> Result<(), StoreError> {
        self.bytes += piece.len() as u64;
        if self.bytes > self.max {
            return Err(StoreError::TooLarge(self.max));
        }
        if self.pending_max == PIECE && self.pending.capacity() == 0 {
            self.pending.reserve_exact(PIECE);
        }
        while !piece.is_empty() {
            if self.pending.len() == self.pending_max {
                self.spill().await?;
            }
            let (now, later) = piece.split_at(piece.len().min(self.pending_max - self.pending.len()));
            self.pending.extend_from_slice(now);
            piece = later;
        }
        Ok(())
    }

    pub async fn finish(mut self) -> Result<Staged, StoreError> {
        if self.spill.is_none() {
            let body = Bytes::from(self.pending);
            let mut hash = Hashing::default();
            hash.update(&body);
            let (digest, begun) = hash.finish();
            let sha256 = Sha256::from_digest(digest.as_ref());
            return Ok(Staged { sha256, bytes: self.bytes, body: StagedBody::Memory(body), begun });
        }
        self.spill().await?;
        let Some(spill) = self.spill.take() else { return Err(StoreError::Closed) };
        let (digest, begun) = spill.hash.finish();
        let sha256 = Sha256::from_digest(digest.as_ref());
        let file = StagedFile::sync(spill.path, spill.file);
        Ok(Staged { sha256, bytes: self.bytes, body: StagedBody::File(Arc::new(file)), begun })
    }

    /// Hashes and writes what is pending, off the runtime's threads.
    async fn spill(&mut self) -> Result<(), StoreError> {
        let mut pending = std::mem::take(&mut self.pending);
        let (spill, dir) = (self.spill.take(), self.dir.clone());
        let (spill, pending) = blocking(move || {
            let mut spill = spill.map_or_else(|| Spill::create(&dir), Ok)?;
            spill.hash.update(&pending);
            spill.file.write_all(&pending).map_err(unwritable)?;
            pending.clear();
            Ok((spill, pending))
        })
        .await?;
        self.spill = Some(spill);
        self.pending = pending;
        Ok(())
    }
}

impl Spill {
    fn create(dir: &Path) -> Result<Self, StoreError> {
        let (file, path) = tempfile::Builder::new().prefix("in-").tempfile_in(dir).map_err(unwritable)?.into_parts();
        Ok(Self { file, path, hash: Hashing::default() })
    }
}

#[async_trait]
impl DocumentSink for BlobWriter {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        BlobWriter::write(self, piece).await.map_err(|error| match error {
            StoreError::TooLarge(_) => SinkError::TooLarge,
            other => SinkError::Failed(Box::new(other)),
        })
    }
}

/// A full or read-only disk is told from other failures: it ends by itself and nothing is damaged.
pub fn unwritable(error: io::Error) -> StoreError {
    if disk_refuses(&error) { StoreError::Unwritable(in_spanish(&error)) } else { StoreError::Io(error) }
}

/// Whether an error says that the disk takes nothing now.
pub fn disk_refuses(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// One process uses a folder of data. The lock goes with the process, however it ends.
pub fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = match File::options().read(true).write(true).create(true).truncate(false).open(&path) {
        Err(error) if disk_refuses(&error) => File::open(&path)?,
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Runs file work off the runtime's threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)?
}

/// Where a stored document's bytes come from.
#[async_trait]
pub trait BlobSource: Send {
    /// The next piece, of at most a few hundred KiB; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError>;
}

/// Reads one document in pieces, and checks at its end that it is the one that was stored.
pub struct BlobReader {
    sha256: Sha256,
    bytes: u64,
    source: Box<dyn BlobSource>,
    /// `None` once the end was reached.
    hash: Option<digest::Context>,
}

impl BlobReader {
    pub fn new(sha256: Sha256, bytes: u64, source: Box<dyn BlobSource>) -> Self {
        Self { sha256, bytes, source, hash: Some(digest::Context::new(&digest::SHA256)) }
    }

    /// The document's whole size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(hash) = &mut self.hash else { return Ok(None) };
        if let Some(piece) = self.source.next().await? {
            hash.update(&piece);
            return Ok(Some(piece));
        }
        let found = self.hash.take().map(|hash| Sha256::from_digest(hash.finish().as_ref()));
        if found.as_ref() == Some(&self.sha256) {
            return Ok(None);
        }
        Err(StoreError::Damaged {
            place: format!("documento {}", self.sha256),
            what: "sus bytes no corresponden a su SHA-256".into(),
        })
    }
}

#[async_trait]
impl DocumentSource for BlobReader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        BlobReader::next(self).await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn stage(dir: &Path, size: usize) -> Staged {
        let mut writer = BlobWriter::new(dir, 10_000_000);
        for piece in vec![7u8; size].chunks(10_007) {
            BlobWriter::write(&mut writer, piece).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn small_documents_stay_in_memory_and_large_ones_go_to_a_file_with_the_right_hash() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, SMALL_MAX - 1, SMALL_MAX, SMALL_MAX + 1, 3 * SMALL_MAX, 3 * SMALL_MAX + 5] {
            let staged = stage(dir.path(), size).await;
            let expected = Sha256::from_digest(digest::digest(&digest::SHA256, &vec![7u8; size]).as_ref());
            assert_eq!((staged.bytes, &staged.sha256), (size as u64, &expected));
            match &staged.body {
                StagedBody::Memory(bytes) => assert!(bytes.len() == size && size <= SMALL_MAX),
                StagedBody::File(file) => {
                    assert_eq!(std::fs::read(file.path()).unwrap(), vec![7u8; size]);
                    file.synced().await.unwrap();
                }
            }
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "dropped documents leave nothing");
    }

    #[tokio::test]
    async fn a_document_that_could_not_be_synced_says_so_to_everybody_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        for (why, disk) in [(io::Error::from_raw_os_error(28), true), (io::Error::other("se soltó el cable"), false)] {
            let (path, why) =
                (tempfile::NamedTempFile::new_in(dir.path()).unwrap().into_temp_path(), Unsynced::from(&why));
            let (_told, synced) = watch::channel(Some(Err(why)));
            let file = StagedFile { path, synced };
            for _ in 0..2 {
                let error = file.synced().await.unwrap_err();
                assert_eq!(matches!(error, StoreError::Unwritable(_)), disk, "{error}");
            }
        }
    }

    #[tokio::test]
    async fn a_document_over_the_limit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = BlobWriter::new(dir.path(), 100);
        BlobWriter::write(&mut writer, &[0; 100]).await.unwrap();
        assert!(matches!(BlobWriter::write(&mut writer, &[0]).await, Err(StoreError::TooLarge(100))));
    }
}
