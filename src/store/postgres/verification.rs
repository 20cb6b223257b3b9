//! Reads everything and compares: entries without a gap, records as their last entry tells, documents to their last byte.

use std::{collections::HashMap, sync::Arc};

use super::{
    documents, read,
    shared::{Failure, Shared, digest, signed, unsigned},
};
use crate::{
    domain::Id,
    store::{RawEntry, Record, Seq, Verification, encoding},
};

/// Entries, and documents, read at a time.
const PAGE: usize = 256;

pub async fn verify(shared: &Arc<Shared>) -> Result<Verification, Failure> {
    let client = shared.client().await?;
    let head: i64 = client.query_one("SELECT seq FROM head", &[]).await?.try_get(0)?;
    drop(client);
    let mut found = Verification::default();
    entries(shared, unsigned(head), &mut found).await?;
    documents(shared, &mut found).await?;
    Ok(found)
}

async fn entries(shared: &Shared, head: Seq, found: &mut Verification) -> Result<(), Failure> {
    let mut last: Seq = 0;
    loop {
        let page = read::entries(shared, last, PAGE).await?;
        if page.is_empty() {
            break;
        }
        let mut records = HashMap::new();
        for RawEntry { seq, facts, change } in page {
            if seq != last + 1 {
                found.damage.push(format!("entry: faltan los asientos {} a {}", last + 1, seq - 1));
            }
            (last, found.entries) = (seq, found.entries + 1);
            found.bytes += (facts.len() + change.len()) as u64;
            if let Err(what) = encoding::facts(&facts) {
                found.damage.push(format!("entry {seq}: {what}"));
            }
            match encoding::change(&change) {
                Ok(change) => records.extend(change.records.into_iter().map(|record| (record.id(), (seq, record)))),
                Err(what) => found.damage.push(format!("entry {seq}: {what}")),
            }
        }
        compare(shared, &records, found).await?;
    }
    if last < head {
        found.damage.push(format!("entry: faltan los asientos {} a {head}", last + 1));
    }
    Ok(())
}

/// Records are at least as new as entries tell, and the same where they are as new.
async fn compare(shared: &Shared, told: &HashMap<Id, (Seq, Record)>, found: &mut Verification) -> Result<(), Failure> {
    let ids: Vec<Id> = told.keys().copied().collect();
    let client = shared.client().await?;
    let rows = client.query("SELECT id, body FROM record WHERE id = ANY($1)", &[&ids]).await?;
    let mut stored: HashMap<Id, Option<Record>> = HashMap::new();
    for row in rows {
        stored.insert(row.try_get(0)?, serde_json::from_slice(row.try_get(1)?).ok());
    }
    for (id, (seq, record)) in told {
        let wrong = match stored.get(id) {
            None => "falta",
            Some(None) => "no se entiende",
            Some(Some(stored)) if stored.version() < record.version() => "es anterior",
            Some(Some(stored)) if stored.version() == record.version() && stored != record => "es otro",
            Some(Some(_)) => continue,
        };
        found.damage.push(format!("record {id}: {wrong}, según el asiento {seq}"));
    }
    Ok(())
}

async fn documents(shared: &Arc<Shared>, found: &mut Verification) -> Result<(), Failure> {
    let mut after: Vec<u8> = Vec::new();
    loop {
        let client = shared.client().await?;
        let sql = "SELECT sha256, bytes, body FROM document WHERE sha256 > $1 ORDER BY sha256 LIMIT $2";
        let rows = client.query(sql, &[&after, &signed(PAGE as u64)]).await?;
        drop(client);
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.try_get(0)?;
        for row in &rows {
            let (sha256, bytes, body): (&[u8], i64, Option<Id>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            found.documents += 1;
            let Some(body) = body else {
                found.purged += 1;
                continue;
            };
            found.bytes += unsigned(bytes);
            if let Some(what) = documents::check(shared, sha256, unsigned(bytes), body).await? {
                found.damage.push(format!("documento {}: {what}", digest(sha256)));
            }
        }
    }
}
