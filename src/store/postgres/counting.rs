//! Lines of counts ([`crate::store::tally`]): kept in the transaction that changes records, read, and caught up with at start.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::{Client, Transaction};

use super::shared::{Failure, Shared, damaged};
use crate::{
    domain::Id,
    store::{
        Record,
        tally::{Counts, Line, Lines, Tally},
    },
};

/// Records counted at once of those that were not.
const BATCH: i64 = 1_000;

/// Counts these records as they are to be, and no more as they are. Whoever calls holds the row `head`, and notes beside each
/// record what it counts as.
pub async fn count(transaction: &Transaction<'_>, records: &[&Record]) -> Result<(), Failure> {
    let now: HashMap<Id, Tally> = records.iter().filter_map(|r| Some((r.id(), Tally::of(r)?))).collect();
    let ids: Vec<Id> = now.keys().copied().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "SELECT id, tally FROM record WHERE id = ANY($1) AND tally IS NOT NULL";
    let statement = transaction.prepare_cached(sql).await?;
    let mut before: HashMap<Id, Tally> = HashMap::new();
    for row in transaction.query(&statement, &[&ids]).await? {
        let (id, bytes): (Id, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        let tally = Tally::from_bytes(bytes).ok_or_else(|| damaged(format!("record {id}"), "tally"))?;
        before.insert(id, tally);
    }
    let mut changes: BTreeMap<Vec<u8>, Vec<(Tally, bool)>> = BTreeMap::new();
    for record in records {
        let (id, Some(entidad)) = (record.id(), record.entidad()) else { continue };
        let (before, now) = (before.get(&id), now.get(&id));
        if before == now {
            continue;
        }
        let steps = before.map(|tally| (tally, false)).into_iter().chain(now.map(|tally| (tally, true)));
        for (tally, more) in steps {
            for key in tally.keys(entidad) {
                changes.entry(key).or_default().push((tally.clone(), more));
            }
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    write_lines(transaction, changes).await
}

/// What is noted beside a record.
pub fn noted(record: &Record) -> Option<Vec<u8>> {
    Tally::of(record).map(|tally| tally.to_bytes())
}

async fn write_lines(
    transaction: &Transaction<'_>,
    changes: BTreeMap<Vec<u8>, Vec<(Tally, bool)>>,
) -> Result<(), Failure> {
    let keys: Vec<&Vec<u8>> = changes.keys().collect();
    let statement = transaction.prepare_cached("SELECT key, counts FROM line WHERE key = ANY($1)").await?;
    let mut lines: HashMap<Vec<u8>, Counts> = HashMap::new();
    for row in transaction.query(&statement, &[&keys]).await? {
        let (key, counts): (Vec<u8>, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        lines.insert(key, Counts::from_bytes(counts).ok_or_else(|| damaged("line", "counts"))?);
    }
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (key, steps) in changes {
        let mut line = lines.remove(&key).unwrap_or_default();
        for (tally, more) in &steps {
            if *more { line.add(tally) } else { line.take(tally) }
        }
        keys.push(key);
        values.push(line.to_bytes());
    }
    let sql = "INSERT INTO line (key, counts) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
               ON CONFLICT (key) DO UPDATE SET counts = excluded.counts";
    let statement = transaction.prepare_cached(sql).await?;
    transaction.execute(&statement, &[&keys, &values]).await?;
    Ok(())
}

/// Counts what was committed before there were counts, or by a daemon of an earlier version. Others commit meanwhile.
pub async fn catch_up(client: &mut Client) -> Result<(), Failure> {
    let mut counted = 0;
    loop {
        let transaction = client.transaction().await?;
        transaction.query_one("SELECT seq FROM head FOR UPDATE", &[]).await?;
        let sql = "SELECT body FROM record WHERE kind <= 2 AND tally IS NULL ORDER BY id LIMIT $1";
        let rows = transaction.query(sql, &[&BATCH]).await?;
        if rows.is_empty() {
            break;
        }
        let mut records: Vec<Record> = Vec::with_capacity(rows.len());
        for row in &rows {
            let body: &[u8] = row.try_get(0)?;
            records.push(serde_json::from_slice(body).map_err(|error| damaged("record", error))?);
        }
        count(&transaction, &records.iter().collect::<Vec<_>>()).await?;
        let ids: Vec<Id> = records.iter().map(Record::id).collect();
        let tallies: Vec<Option<Vec<u8>>> = records.iter().map(noted).collect();
        let sql = "UPDATE record SET tally = told.tally FROM unnest($1::uuid[], $2::bytea[]) AS told (id, tally) \
                   WHERE record.id = told.id";
        transaction.execute(sql, &[&ids, &tallies]).await?;
        transaction.commit().await?;
        counted += records.len();
    }
    if counted > 0 {
        tracing::info!(counted, "exchanges that were not in the statistics are in them");
    }
    Ok(())
}

/// Lines of counts, oldest first.
pub async fn lines(shared: &Shared, wanted: &Lines<'_>) -> Result<Vec<Line>, Failure> {
    let (before, end) = wanted.range();
    let client = shared.client().await?;
    let sql = "SELECT key, counts FROM line WHERE key > $1 AND key < $2 ORDER BY key";
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &[&before, &end]).await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let line = wanted.line(row.try_get(0)?, row.try_get(1)?).ok_or_else(|| damaged("line", "counts"))?;
        // One of which nothing is left stays as a row.
        if !line.counts.is_empty() {
            lines.push(line);
        }
    }
    Ok(lines)
}
