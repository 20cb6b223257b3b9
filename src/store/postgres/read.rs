//! Reading in the store's terms.

use tokio_postgres::{Row, types::ToSql};

use super::{
    rows::{DESPACHO, RECEPCION, number_digest},
    shared::{Failure, Shared, damaged, signed, unsigned},
};
use crate::{
    domain::{Cuo, Id, Ruc, Sha256},
    store::{Cursor, FactAt, Kept, Named, Numbered, Page, RawEntry, Record, Seq, UniqueKey, encoding},
};

/// Most arrivals told for one CUO, and most of those who name a document.
const ARRIVALS_MAX: i64 = 16;
const NAMED_MAX: i64 = 16;
/// About the most bytes of entries read at once.
const ENTRIES_BYTES_MAX: usize = 1024 * 1024;
/// Entries read at once for their facts.
const FACTS_PAGE: i64 = 256;

/// What a list is of.
pub enum Listed<'a> {
    Despachos { entidad: &'a Ruc, estado: Option<&'a str> },
    Recepciones { entidad: &'a Ruc, estado: Option<&'a str> },
    DespachosNumbered(&'a Numbered),
    RecepcionesNumbered(&'a Numbered),
}

async fn query(shared: &Shared, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
    let client = shared.client().await?;
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, values).await?)
}

fn record_in(row: &Row) -> Result<Record, Failure> {
    let body: &[u8] = row.try_get(0)?;
    Ok(serde_json::from_slice(body).map_err(|error| damaged("record", error))?)
}

pub async fn record(shared: &Shared, id: Id) -> Result<Option<Record>, Failure> {
    let rows = query(shared, "SELECT body FROM record WHERE id = $1", &[&id]).await?;
    rows.first().map(record_in).transpose()
}

/// Which version of a record is in the store.
pub async fn version(shared: &Shared, id: Id) -> Result<Option<u32>, Failure> {
    let rows = query(shared, "SELECT version FROM record WHERE id = $1", &[&id]).await?;
    let version: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?;
    Ok(version.and_then(|version| u32::try_from(version).ok()))
}

pub async fn by_unique(shared: &Shared, key: &UniqueKey) -> Result<Option<Record>, Failure> {
    let sql = "SELECT record.body FROM unique_key JOIN record USING (id) WHERE unique_key.key = $1";
    let rows = query(shared, sql, &[&key.digest()]).await?;
    rows.first().map(record_in).transpose()
}

/// Newest first.
pub async fn list(
    shared: &Shared,
    listed: Listed<'_>,
    after: Option<Id>,
    limit: usize,
) -> Result<Page<Record>, Failure> {
    let (kind, entidad) = match &listed {
        Listed::Despachos { entidad, .. } => (DESPACHO, (*entidad).as_str()),
        Listed::DespachosNumbered(numbered) => (DESPACHO, numbered.entidad.as_str()),
        Listed::Recepciones { entidad, .. } => (RECEPCION, (*entidad).as_str()),
        Listed::RecepcionesNumbered(numbered) => (RECEPCION, numbered.entidad.as_str()),
    };
    // Every list begins behind some id: the greatest, if none is given.
    let (after, limit) = (after.unwrap_or(Id::from_u128(u128::MAX)), limit.max(1));
    let most = signed(limit as u64).saturating_add(1);
    let sql = |and: &str| {
        format!(
            "SELECT body, id FROM record WHERE kind = $1 AND entity = $2 {and} AND id < $3 ORDER BY id DESC LIMIT $4"
        )
    };
    let rows = match listed {
        Listed::Despachos { estado: None, .. } | Listed::Recepciones { estado: None, .. } => {
            query(shared, &sql(""), &[&kind, &entidad, &after, &most]).await?
        }
        Listed::Despachos { estado, .. } | Listed::Recepciones { estado, .. } => {
            query(shared, &sql("AND state = $5"), &[&kind, &entidad, &after, &most, &estado]).await?
        }
        Listed::DespachosNumbered(numbered) | Listed::RecepcionesNumbered(numbered) => {
            let number = number_digest(&numbered.numero);
            query(shared, &sql("AND number = $5"), &[&kind, &entidad, &after, &most, &number]).await?
        }
    };
    page(&rows, limit)
}

fn page(rows: &[Row], limit: usize) -> Result<Page<Record>, Failure> {
    let items = rows.iter().take(limit).map(record_in).collect::<Result<Vec<_>, _>>()?;
    let next = items.last().map(Record::id).filter(|_| rows.len() > limit);
    Ok(Page { items, next })
}

/// Oldest first.
pub async fn arrivals(shared: &Shared, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Record>, Failure> {
    let sql = "SELECT body FROM record WHERE kind = 2 AND entity = $1 AND cuo = $2 ORDER BY id LIMIT $3";
    let rows = query(shared, sql, &[&entidad.as_str(), &cuo.clave(), &ARRIVALS_MAX]).await?;
    rows.iter().map(record_in).collect()
}

/// Keys of the API, or people: few.
pub async fn all(shared: &Shared, kind: i16) -> Result<Vec<Record>, Failure> {
    let sql = "SELECT body FROM record WHERE kind = $1 AND kind IN (3, 4) ORDER BY id";
    let rows = query(shared, sql, &[&kind]).await?;
    rows.iter().map(record_in).collect()
}

/// Oldest first.
pub async fn kept(shared: &Shared, which: Kept, after: Option<Id>, limit: usize) -> Result<Page<Record>, Failure> {
    let which = match which {
        Kept::Despachos => "kind = 1 AND NOT purged",
        Kept::Recepciones => "kind = 2 AND NOT purged",
        Kept::Held => "held",
        Kept::Purged => "purged",
    };
    let (after, limit) = (after.unwrap_or(Id::from_u128(0)), limit.max(1));
    let sql = format!("SELECT body FROM record WHERE {which} AND id > $1 ORDER BY id LIMIT $2");
    let rows = query(shared, &sql, &[&after, &signed(limit as u64).saturating_add(1)]).await?;
    page(&rows, limit)
}

pub async fn named(shared: &Shared, sha256: &Sha256) -> Result<Option<Named>, Failure> {
    let digest = sha256.digest().to_vec();
    let sql = "SELECT bytes FROM document WHERE sha256 = $1 AND body IS NOT NULL";
    let Some(row) = query(shared, sql, &[&digest]).await?.pop() else { return Ok(None) };
    let bytes: i64 = row.try_get(0)?;
    let by = query(shared, "SELECT id FROM naming WHERE sha256 = $1 LIMIT $2", &[&digest, &NAMED_MAX]).await?;
    let by = by.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(Some(Named { bytes: unsigned(bytes), by }))
}

/// Facts after a place, oldest first.
pub async fn facts(shared: &Shared, after: Cursor, limit: usize) -> Result<Vec<FactAt>, Failure> {
    let (mut facts, mut from) = (Vec::new(), signed(after.seq));
    while facts.len() < limit {
        let sql = "SELECT seq, facts FROM entry WHERE seq >= $1 ORDER BY seq LIMIT $2";
        let most = FACTS_PAGE.min(signed(limit as u64).saturating_add(1));
        let rows = query(shared, sql, &[&from, &most]).await?;
        for row in &rows {
            let (seq, told): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            facts.extend(facts_in(unsigned(seq), told)?.into_iter().filter(|fact| fact.cursor > after));
            from = seq + 1;
        }
        if signed(rows.len() as u64) < most {
            break;
        }
    }
    facts.truncate(limit);
    Ok(facts)
}

fn facts_in(seq: Seq, told: &[u8]) -> Result<Vec<FactAt>, Failure> {
    let facts = encoding::facts(told).map_err(|what| damaged(format!("entry {seq}"), what))?;
    Ok((0..=u8::MAX).zip(facts).map(|(n, fact)| FactAt { cursor: Cursor { seq, n }, fact }).collect())
}

/// Facts of an entity after a place, oldest first.
pub async fn facts_of_entity(
    shared: &Shared,
    entidad: &Ruc,
    after: Cursor,
    limit: usize,
) -> Result<Vec<FactAt>, Failure> {
    let sql = "SELECT fact.seq, fact.n, entry.facts FROM fact JOIN entry USING (seq) \
               WHERE fact.entity = $1 AND (fact.seq, fact.n) > ($2, $3) ORDER BY fact.seq, fact.n LIMIT $4";
    let values: &[&(dyn ToSql + Sync)] =
        &[&entidad.as_str(), &signed(after.seq), &i16::from(after.n), &signed(limit as u64)];
    placed(&query(shared, sql, values).await?)
}

pub async fn facts_of(shared: &Shared, subject: Id) -> Result<Vec<FactAt>, Failure> {
    let sql = "SELECT fact.seq, fact.n, entry.facts FROM fact JOIN entry USING (seq) \
               WHERE fact.subject = $1 ORDER BY fact.seq, fact.n";
    placed(&query(shared, sql, &[&subject]).await?)
}

/// Facts whose places were found, each beside all of its entry.
fn placed(rows: &[Row]) -> Result<Vec<FactAt>, Failure> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (seq, n, told): (i64, i16, &[u8]) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let place = Cursor { seq: unsigned(seq), n: u8::try_from(n).unwrap_or(u8::MAX) };
        found.extend(facts_in(place.seq, told)?.into_iter().find(|fact| fact.cursor == place));
    }
    Ok(found)
}

/// Entries as they are stored, oldest first; fewer than `limit` where they are large.
pub async fn entries(shared: &Shared, after: Seq, limit: usize) -> Result<Vec<RawEntry>, Failure> {
    // Bounded before they travel: what goes beyond is read next time.
    let sql = "SELECT seq, facts, change FROM (SELECT seq, facts, change, \
               sum(length(facts) + length(change)) OVER (ORDER BY seq) - length(facts) - length(change) AS before \
               FROM (SELECT * FROM entry WHERE seq > $1 ORDER BY seq LIMIT $2) AS page) AS sized \
               WHERE before < $3 ORDER BY seq";
    let bytes = signed(ENTRIES_BYTES_MAX as u64);
    let rows = query(shared, sql, &[&signed(after), &signed(limit as u64), &bytes]).await?;
    let entry = |row: &Row| {
        let seq: i64 = row.try_get(0)?;
        Ok(RawEntry { seq: unsigned(seq), facts: row.try_get(1)?, change: row.try_get(2)? })
    };
    rows.iter().map(entry).collect()
}
