//! Documents in chunks, on their way in and out: no more than a chunk of one is held.

use std::{fs::File, io::Read, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    handle::identity,
    shared::{Failure, Shared, digest, signed, unsigned},
};
use crate::{
    domain::{Id, Sha256},
    store::{
        BlobReader, Staged, StagedBody, StoreError,
        blobs::{BlobSource, blocking},
    },
};

/// Bytes of a chunk.
const CHUNK: usize = 256 * 1024;

/// A document on its way into a commit.
pub struct Brought {
    pub sha256: Sha256,
    pub bytes: u64,
    /// What its chunks are kept under.
    pub body: Id,
    /// A small document's bytes: written by the commit itself.
    pub inline: Option<Bytes>,
}

/// Brings a large document into the database, where nothing names it yet; a small one travels with its commit.
pub async fn bring(shared: &Shared, staged: &Staged) -> Result<Brought, Failure> {
    let mut brought = Brought { sha256: staged.sha256.clone(), bytes: staged.bytes, body: identity()?, inline: None };
    match &staged.body {
        StagedBody::Memory(bytes) => brought.inline = Some(bytes.clone()),
        StagedBody::File(file) => {
            let file = File::open(file.path()).map_err(StoreError::Io)?;
            upload(shared, brought.body, file).await?;
        }
    }
    Ok(brought)
}

async fn upload(shared: &Shared, body: Id, mut file: File) -> Result<(), Failure> {
    let mut client = shared.client().await?;
    let transaction = client.transaction().await?;
    // The commit that names it syncs everything before it.
    transaction.batch_execute("SET LOCAL synchronous_commit = off").await?;
    transaction.execute("INSERT INTO upload (body) VALUES ($1)", &[&body]).await?;
    let insert = transaction.prepare_cached("INSERT INTO chunk (body, n, data) VALUES ($1, $2, $3)").await?;
    for n in 0_i32.. {
        let (rest, piece) = blocking(move || {
            let mut piece = Vec::with_capacity(CHUNK);
            (&mut file).take(CHUNK as u64).read_to_end(&mut piece).map_err(StoreError::Io)?;
            Ok((file, piece))
        })
        .await?;
        file = rest;
        if piece.is_empty() {
            break;
        }
        transaction.execute(&insert, &[&body, &n, &piece]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Deletes what was brought and not committed.
pub async fn abandon(shared: &Shared, bodies: &[Id]) -> Result<(), Failure> {
    let client = shared.client().await?;
    client.execute("DELETE FROM chunk WHERE body = ANY($1)", &[&bodies]).await?;
    client.execute("DELETE FROM upload WHERE body = ANY($1)", &[&bodies]).await?;
    Ok(())
}

/// Opens a stored document.
pub async fn open(shared: &Arc<Shared>, sha256: &Sha256) -> Result<BlobReader, Failure> {
    let client = shared.client().await?;
    let find = client.prepare_cached("SELECT bytes, body, purged_seq FROM document WHERE sha256 = $1").await?;
    let row = client.query_opt(&find, &[&sha256.digest().as_slice()]).await?;
    let Some(row) = row else { return Err(StoreError::NoDocument(sha256.clone()).into()) };
    let (bytes, body, purged): (i64, Option<Id>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let Some(body) = body else {
        return Err(StoreError::Purged { sha256: sha256.clone(), seq: unsigned(purged.unwrap_or(0)) }.into());
    };
    let chunks = Chunks { shared: Arc::clone(shared), body, n: 0 };
    Ok(BlobReader::new(sha256.clone(), unsigned(bytes), Box::new(chunks)))
}

struct Chunks {
    shared: Arc<Shared>,
    body: Id,
    n: i32,
}

impl Chunks {
    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let client = self.shared.client().await?;
        let read = client.prepare_cached("SELECT data FROM chunk WHERE body = $1 AND n = $2").await?;
        let row = client.query_opt(&read, &[&self.body, &self.n]).await?;
        self.n += 1;
        Ok(row.map(|row| row.try_get::<_, Vec<u8>>(0)).transpose()?.map(Bytes::from))
    }
}

#[async_trait]
impl BlobSource for Chunks {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.read().await?)
    }
}

/// Reads a stored document to its end, as [`super::verification`] does: what is wrong with it, if anything.
pub async fn check(shared: &Arc<Shared>, sha256: &[u8], bytes: u64, body: Id) -> Result<Option<String>, Failure> {
    let chunks = Chunks { shared: Arc::clone(shared), body, n: 0 };
    let (mut reader, mut read) = (BlobReader::new(digest(sha256), bytes, Box::new(chunks)), 0_u64);
    loop {
        match reader.next().await {
            Ok(Some(piece)) => read += piece.len() as u64,
            Ok(None) if signed(read) == signed(bytes) => return Ok(None),
            Ok(None) => return Ok(Some(format!("tiene {read} bytes y no {bytes}"))),
            Err(StoreError::Damaged { what, .. }) => return Ok(Some(what)),
            Err(other) => return Err(other.into()),
        }
    }
}
