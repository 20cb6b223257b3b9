//! PDFs in and out of `bytea` in pieces, so that this process never holds one whole. Out: a piece of the value at a time, within
//! one reading of the database. In: the pieces go to a temporary table of the session and the server puts them together in the
//! statement that needs them; the server itself holds the value whole, which is how `bytea` is (1 GB at most).

use tokio_postgres::Transaction;

use super::Failure;
use crate::{
    domain::Contenido,
    exchange::Exchange,
    store::{BlobReader, Staged, StoreError},
};

/// A piece, in bytes.
pub const PIECE_BYTES: usize = 256 * 1024;
/// How far into a file `%PDF` may begin, in bytes.
const SNIFF_BYTES: usize = 1024;

/// The temporary table, made once a session.
pub const PREPARE: &str =
    "CREATE TEMPORARY TABLE IF NOT EXISTS chasqui_piezas (n int4 NOT NULL, pieza bytea NOT NULL) ON COMMIT DELETE ROWS";

/// Brings a document of the store to the session, for [`super::statement::DOCUMENT`].
pub async fn put(tx: &Transaction<'_>, mut reader: BlobReader) -> Result<(), Failure> {
    tx.execute("DELETE FROM pg_temp.chasqui_piezas", &[]).await?;
    let insert = tx.prepare("INSERT INTO pg_temp.chasqui_piezas (n, pieza) VALUES ($1, $2)").await?;
    let mut n: i32 = 0;
    while let Some(piece) = reader.next().await? {
        for piece in piece.chunks(PIECE_BYTES) {
            tx.execute(&insert, &[&n, &piece]).await?;
            n = n.saturating_add(1);
        }
    }
    Ok(())
}

/// What was found in a column.
pub struct Taken {
    pub contenido: Contenido,
    /// Also of what is no PDF.
    pub staged: Option<Staged>,
}

impl Taken {
    /// Only a PDF is of use.
    pub fn pdf(self) -> (Contenido, Option<Staged>) {
        let is_pdf = matches!(self.contenido, Contenido::Pdf { .. });
        (self.contenido, self.staged.filter(|_| is_pdf))
    }
}

/// What is in the `column` of the row with this key, taken into the store.
pub async fn take(
    tx: &Transaction<'_>,
    exchange: &Exchange,
    (table, key, column): (&str, &str, &str),
    id: i64,
) -> Result<Taken, Failure> {
    let piece = i32::try_from(PIECE_BYTES).unwrap_or(i32::MAX);
    let sql = format!("SELECT substring(\"{column}\" FROM $1 FOR {piece}) FROM {table} WHERE \"{key}\" = $2::int8");
    let read = tx.prepare(&sql).await?;
    let (mut writer, mut head, mut from) = (exchange.stage(), Vec::new(), 1_i32);
    loop {
        let row = tx.query_opt(&read, &[&from, &id]).await?;
        let found: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        let found = found.unwrap_or_default();
        let missing = SNIFF_BYTES.saturating_sub(head.len()).min(found.len());
        head.extend_from_slice(found.get(..missing).unwrap_or_default());
        match writer.write(&found).await {
            Err(StoreError::TooLarge(_)) => return Ok(Taken { contenido: Contenido::Excesivo, staged: None }),
            written => written?,
        }
        if found.len() < PIECE_BYTES {
            break;
        }
        from = from.saturating_add(piece);
    }
    if head.is_empty() {
        return Ok(Taken { contenido: Contenido::Ausente, staged: None });
    }
    let contenido = match memchr::memmem::find(&head, b"%PDF") {
        Some(_) => Contenido::Pdf { una_vez: true },
        None => Contenido::NoPdf,
    };
    Ok(Taken { contenido, staged: Some(writer.finish().await?) })
}
