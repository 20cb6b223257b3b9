//! Large documents as files named by their content, and reading documents of both sizes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{disk::Disk, packs, placement::Placed};
use crate::{
    domain::Sha256,
    store::{
        BlobReader, StoreError,
        blobs::{BlobSource, StagedFile, blocking},
    },
    telemetry::failpoint,
};

/// What is read of a file at a time, in bytes.
const PIECE: usize = 128 * 1024;

pub fn path(dir: &Path, sha256: &Sha256) -> PathBuf {
    dir.join(folder(sha256)).join(sha256.as_str())
}

/// How a report names a document's file.
pub fn place(sha256: &Sha256) -> String {
    format!("documents/{}/{sha256}", folder(sha256))
}

fn folder(sha256: &Sha256) -> &str {
    sha256.as_str().get(..2).unwrap_or_default()
}

/// Every document file there is, visited in order of its name; other files too, as errors that name them.
pub fn visit(
    dir: &Path,
    each: &mut dyn FnMut(Result<Sha256, PathBuf>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for folder in sorted(dir)? {
        if !folder.is_dir() {
            each(Err(folder))?;
            continue;
        }
        for path in sorted(&folder)? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            each(Sha256::parse(name).map_err(|_| path.clone()))?;
        }
    }
    Ok(())
}

fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = dir.read_dir()?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort_unstable();
    Ok(paths)
}

/// Puts staged files in their place.
pub struct Documents {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// Folders with new names that are not synced yet.
    touched: BTreeSet<PathBuf>,
    /// Files put there and not yet kept, and where they came from.
    new: Vec<(PathBuf, Arc<StagedFile>)>,
}

impl Documents {
    pub fn new(dir: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { dir, disk, touched: BTreeSet::new(), new: Vec::new() }
    }

    /// Renames a staged file, which is synced, to its name. What stands there is from an interrupted commit.
    pub fn write(&mut self, sha256: &Sha256, staged: Arc<StagedFile>) -> io::Result<()> {
        let target = path(&self.dir, sha256);
        let folder = self.dir.join(folder(sha256));
        if !folder.is_dir() {
            fs::create_dir(&folder)?;
            self.touched.insert(self.dir.clone());
        }
        failpoint::reach("document.rename");
        self.disk.rename(staged.path(), &target)?;
        failpoint::reach("document.renamed");
        self.touched.insert(folder);
        self.new.push((target, staged));
        Ok(())
    }

    /// Whether there are names that are not durable yet.
    pub fn pending(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Makes the new names durable.
    pub fn sync(&mut self) -> io::Result<()> {
        for folder in &self.touched {
            failpoint::reach("document.sync_dir");
            self.disk.sync_dir(folder)?;
        }
        Ok(())
    }

    /// The journal names the new files: they stay.
    pub fn keep(&mut self) {
        self.touched.clear();
        for (_, staged) in self.new.drain(..) {
            // The name it had is gone: there is nothing for the guard to remove.
            if let Some(Err(error)) = Arc::into_inner(staged).map(StagedFile::keep) {
                tracing::warn!(%error, "a document in the store is still guarded as staged");
            }
        }
    }

    /// A place to come back to with [`Documents::rewind`].
    pub fn mark(&self) -> usize {
        self.new.len()
    }

    /// Moves back the files put there since `mark`, for whoever holds them to commit them again or drop them. One that
    /// cannot be moved now is an orphan, removed at a later start.
    pub fn rewind(&mut self, mark: usize) {
        for (target, staged) in self.new.drain(mark.min(self.new.len())..) {
            if let Err(error) = fs::rename(&target, staged.path()) {
                tracing::warn!(path = %target.display(), %error, "a document that was not committed stays behind");
            }
        }
    }
}

/// Opens a document for reading in pieces.
pub async fn open(data_dir: &Path, placed: Placed) -> Result<BlobReader, StoreError> {
    let (sha256, bytes, dir) = (placed.sha256.clone(), placed.bytes, data_dir.to_owned());
    let source: Box<dyn BlobSource> = match placed.pack {
        Some(at) => {
            let body = blocking(move || packs::read(&dir.join("packs"), at, &placed.sha256, placed.bytes)).await?;
            Box::new(Whole(Some(body)))
        }
        None => {
            let file = blocking(move || open_file(&dir.join("documents"), &placed)).await?;
            Box::new(Pieces { file: Some(file) })
        }
    };
    Ok(BlobReader::new(sha256, bytes, source))
}

/// Opens a document's file and checks its size.
pub fn open_file(dir: &Path, placed: &Placed) -> Result<File, StoreError> {
    let damaged = |what: String| StoreError::Damaged { place: place(&placed.sha256), what };
    let file = match File::open(path(dir, &placed.sha256)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("falta el archivo".into())),
        opened => opened?,
    };
    let found = file.metadata()?.len();
    if found != placed.bytes {
        return Err(damaged(format!("tiene {found} bytes y debe tener {}", placed.bytes)));
    }
    Ok(file)
}

struct Whole(Option<Bytes>);

#[async_trait]
impl BlobSource for Whole {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.take().filter(|bytes| !bytes.is_empty()))
    }
}

struct Pieces {
    /// `None` while a piece is being read, and after an error.
    file: Option<File>,
}

#[async_trait]
impl BlobSource for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(file) = self.file.take() else { return Ok(None) };
        let (file, piece) = blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            (&file).take(PIECE as u64).read_to_end(&mut piece)?;
            Ok((file, piece))
        })
        .await?;
        self.file = Some(file);
        Ok((!piece.is_empty()).then(|| Bytes::from(piece)))
    }
}
