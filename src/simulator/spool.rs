//! Documents on their way through the platform: taken in piece by piece into a temporary folder, read back the same way,
//! gone when the last who needs one is done. Memory does not depend on their size.

use std::{fs::File, io::Read, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::{
    BlobReader, BlobWriter, Staged, StoreError,
    blobs::{BlobSource, StagedBody, StagedFile, blocking},
};

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 * 1024;

pub struct Spool {
    folder: tempfile::TempDir,
    document_bytes_max: u64,
}

impl Spool {
    pub fn new(document_bytes_max: u64) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("chasqui-simulador-").tempdir()?;
        Ok(Self { folder, document_bytes_max })
    }

    pub fn writer(&self) -> BlobWriter {
        BlobWriter::new(self.folder.path(), self.document_bytes_max)
    }

    pub fn document_bytes_max(&self) -> u64 {
        self.document_bytes_max
    }

    /// Takes in a document that is whole already.
    pub async fn keep(&self, document: &[u8]) -> Result<Staged, StoreError> {
        let mut writer = self.writer();
        writer.write(document).await?;
        writer.finish().await
    }

    /// The folder, for tests of what stays behind.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// Reads a document back, as often as wanted.
pub async fn open(staged: &Staged) -> Result<BlobReader, StoreError> {
    let source: Box<dyn BlobSource> = match &staged.body {
        StagedBody::Memory(bytes) => Box::new(Whole(Some(bytes.clone()))),
        StagedBody::File(staged) => {
            let staged = Arc::clone(staged);
            Box::new(blocking(move || Ok(Pieces { file: Some(File::open(staged.path())?), _staged: staged })).await?)
        }
    };
    Ok(BlobReader::new(staged.sha256.clone(), staged.bytes, source))
}

struct Whole(Option<Bytes>);

#[async_trait]
impl BlobSource for Whole {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.take())
    }
}

struct Pieces {
    file: Option<File>,
    /// Keeps the file until it was read.
    _staged: Arc<StagedFile>,
}

#[async_trait]
impl BlobSource for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(file) = self.file.take() else { return Err(StoreError::Closed) };
        let (file, piece) = blocking(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            (&file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            Ok((file, piece))
        })
        .await?;
        self.file = Some(file);
        Ok((!piece.is_empty()).then(|| piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_document_is_read_back_as_it_came_and_leaves_nothing() {
        let spool = Spool::new(10_000_000).unwrap();
        for size in [0, 1000, 3_000_000] {
            let document = vec![7u8; size];
            let staged = spool.keep(&document).await.unwrap();
            for _ in 0..2 {
                let (mut reader, mut all) = (open(&staged).await.unwrap(), Vec::new());
                while let Some(piece) = reader.next().await.unwrap() {
                    assert!(piece.len() <= PIECE_BYTES);
                    all.extend_from_slice(&piece);
                }
                assert!(all == document);
            }
        }
        assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
    }
}
