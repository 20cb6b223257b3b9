//! Which jobs a daemon takes: decided as in the embedded store, by the queue ([`crate::store`]), on what is due now and what any daemon holds.

use std::{collections::HashMap, sync::PoisonError, time::Duration};

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    presence::ALIVE,
    rows::{job_kind, nanoseconds, timestamp},
    shared::{Failure, NEWS, Shared, damaged, unsigned},
};
use crate::{
    domain::{Id, Ruc},
    store::{Claim, Claimed, Job, JobKind, Page, Stage, Standing},
};

/// What the lock is named after under which daemons claim, one after the other.
const LOCK: i64 = 0x6368_6173_7175_6902;

/// Jobs of one entity for one destination that are looked at for one claim.
const LANE_MAX: i64 = 32;
/// Pairs of entity and destination that are looked at for one claim. Where there are more, chance decides which.
const LANES_MAX: i64 = 256;

pub async fn claim(shared: &Shared, claim: &Claim) -> Result<Claimed, Failure> {
    let mut client = shared.client().await?;
    let transaction = client.transaction().await?;
    transaction.query_one("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    give_back(shared, &transaction, claim.uptime).await?;
    let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).emptied();
    let mut jobs = HashMap::new();
    for row in held(shared, &transaction).await? {
        let (job, until) = (decoded(&row, 0)?, lease(shared, &row, claim)?);
        queue.put(&job);
        queue.hold(job.id, until);
    }
    for row in due(shared, &transaction, claim).await? {
        let (job, woken): (Job, bool) = (decoded(&row, 0)?, row.try_get(1)?);
        queue.put(&job);
        if woken {
            queue.wake_one(job.id);
        }
        jobs.insert(job.id, job);
    }
    let (ids, next) = queue.claim(claim);
    let later = later(shared, &transaction, claim).await?;
    let next = [next, later].into_iter().flatten().min();
    if !ids.is_empty() {
        let take = "UPDATE job SET owner = $1, woken = false WHERE id = ANY($2)";
        transaction.execute(take, &[&shared.me, &ids]).await?;
    }
    transaction.commit().await?;
    *shared.queue.lock().unwrap_or_else(PoisonError::into_inner) = queue.emptied();
    let until = claim.uptime.saturating_add(claim.lease);
    shared.leases().extend(ids.iter().map(|id| (*id, until)));
    Ok(Claimed { jobs: ids.iter().filter_map(|id| jobs.remove(id)).collect(), next })
}

/// What we held for longer than its lease is free.
async fn give_back(shared: &Shared, transaction: &Transaction<'_>, uptime: Duration) -> Result<(), Failure> {
    let over: Vec<Id> = shared.leases().iter().filter(|(_, until)| **until <= uptime).map(|(id, _)| *id).collect();
    if !over.is_empty() {
        let free = "UPDATE job SET owner = NULL WHERE id = ANY($1) AND owner = $2";
        transaction.execute(free, &[&over, &shared.me]).await?;
        shared.leases().retain(|_, until| *until > uptime);
    }
    Ok(())
}

/// The jobs that we hold, or another that is not silent.
async fn held(shared: &Shared, transaction: &Transaction<'_>) -> Result<Vec<Row>, Failure> {
    let sql = format!(
        "SELECT body, owner FROM job WHERE owner IS NOT NULL AND NOT dead AND (owner = $1 OR owner IN ({ALIVE}))"
    );
    let statement = transaction.prepare_cached(&sql).await?;
    Ok(transaction.query(&statement, &[&shared.me]).await?)
}

/// Until when somebody holds a job: of ours we know, of another's only that it holds it now.
fn lease(shared: &Shared, row: &Row, claim: &Claim) -> Result<Duration, Failure> {
    let (owner, job): (Id, Job) = (row.try_get(1)?, decoded(row, 0)?);
    let ours = shared.leases().get(&job.id).copied().filter(|_| owner == shared.me);
    Ok(ours.unwrap_or_else(|| claim.uptime.saturating_add(claim.lease)))
}

/// Jobs whose time has come, of each entity and destination the oldest; where the destination is in doubt, also the one that
/// was tried least.
async fn due(shared: &Shared, transaction: &Transaction<'_>, claim: &Claim) -> Result<Vec<Row>, Failure> {
    let latest = claim.now.checked_add(claim.wait_max).unwrap_or(Timestamp::MAX);
    let doubt: Vec<&str> = claim.in_doubt.iter().map(Ruc::as_str).collect();
    let closed: Vec<&str> = claim.exceptions.iter().filter(|(_, n)| **n == 0).map(|(ruc, _)| ruc.as_str()).collect();
    let free = format!("(job.owner IS NULL OR job.owner NOT IN (SELECT $1::uuid UNION ALL ({ALIVE})))");
    let sql = format!(
        "WITH every AS (SELECT DISTINCT entity, destination FROM job WHERE NOT dead AND NOT (destination = ANY($5)) \
            AND (due_ns <= $2 OR woken OR due_ns > $3)), \
         lane AS (SELECT entity, destination FROM every ORDER BY random() LIMIT {LANES_MAX}) \
         SELECT found.body, found.woken FROM lane CROSS JOIN LATERAL ( \
            (SELECT id, body, woken FROM job WHERE NOT dead AND job.entity = lane.entity \
             AND job.destination = lane.destination AND {free} AND (due_ns <= $2 OR woken OR due_ns > $3) \
             ORDER BY made_ns, id LIMIT {LANE_MAX}) \
            UNION \
            (SELECT id, body, woken FROM job WHERE NOT dead AND job.entity = lane.entity \
             AND job.destination = lane.destination AND {free} AND (due_ns <= $2 OR woken OR due_ns > $3) \
             AND job.destination = ANY($4) ORDER BY tries, made_ns, id LIMIT 1) \
         ) AS found"
    );
    let statement = transaction.prepare_cached(&sql).await?;
    let (now, latest) = (nanoseconds(claim.now), nanoseconds(latest));
    Ok(transaction.query(&statement, &[&shared.me, &now, &latest, &doubt, &closed]).await?)
}

/// When the next job that nobody holds is due.
async fn later(shared: &Shared, transaction: &Transaction<'_>, claim: &Claim) -> Result<Option<Timestamp>, Failure> {
    let sql = format!(
        "SELECT min(due_ns) FROM job WHERE NOT dead AND due_ns > $2 \
         AND (owner IS NULL OR owner NOT IN (SELECT $1::uuid UNION ALL ({ALIVE})))"
    );
    let statement = transaction.prepare_cached(&sql).await?;
    let next: Option<i64> =
        transaction.query_one(&statement, &[&shared.me, &nanoseconds(claim.now)]).await?.try_get(0)?;
    Ok(next.map(timestamp))
}

/// Gives a lease back.
pub async fn release(shared: &Shared, id: Id) -> Result<(), Failure> {
    shared.leases().remove(&id);
    let client = shared.client().await?;
    let free = client.prepare_cached("UPDATE job SET owner = NULL WHERE id = $1 AND owner = $2").await?;
    client.execute(&free, &[&id, &shared.me]).await?;
    Ok(())
}

/// What waits for another attempt is due: at one destination or everywhere. Questions for a cargo wait for a day that was chosen.
pub async fn wake(shared: &Shared, destino: Option<&Ruc>) -> Result<(), Failure> {
    let client = shared.client().await?;
    let sql = "UPDATE job SET woken = true WHERE NOT dead AND kind <> $1 AND ($2::text IS NULL OR destination = $2)";
    client.execute(sql, &[&job_kind(JobKind::PreguntarCargo), &destino.map(Ruc::as_str)]).await?;
    client.execute("SELECT pg_notify($1, '')", &[&NEWS]).await?;
    shared.published.send_modify(|_| {});
    Ok(())
}

pub async fn get(shared: &Shared, id: Id) -> Result<Option<Job>, Failure> {
    let client = shared.client().await?;
    let find = client.prepare_cached("SELECT body FROM job WHERE id = $1").await?;
    client.query_opt(&find, &[&id]).await?.map(|row| decoded(&row, 0)).transpose()
}

pub async fn list(shared: &Shared, after: Option<Id>, limit: usize) -> Result<Page<Job>, Failure> {
    let client = shared.client().await?;
    let sql = "SELECT body FROM job WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2";
    let (limit, statement) = (limit.max(1), client.prepare_cached(sql).await?);
    let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let rows = client.query(&statement, &[&after, &most]).await?;
    let items = rows.iter().take(limit).map(|row| decoded(row, 0)).collect::<Result<Vec<Job>, _>>()?;
    let next = items.last().map(|job| job.id).filter(|_| rows.len() > limit);
    Ok(Page { items, next })
}

pub async fn standing(shared: &Shared) -> Result<Vec<Standing>, Failure> {
    let client = shared.client().await?;
    let sql = format!(
        "SELECT kind, CASE WHEN dead THEN 3 WHEN owner IS NOT NULL AND (owner = $1 OR owner IN ({ALIVE})) THEN 2 \
         WHEN tries > 0 THEN 1 ELSE 0 END AS stage, count(*), min(made_ns) FROM job GROUP BY 1, 2"
    );
    let mut standing = Vec::new();
    for row in client.query(&sql, &[&shared.me]).await? {
        let (kind, stage, jobs, oldest): (i16, i32, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let Some(kind) = JobKind::ALL.into_iter().find(|known| job_kind(*known) == kind) else { continue };
        let stage = match stage {
            0 => Stage::New,
            1 => Stage::Waiting,
            2 => Stage::UnderWay,
            _ => Stage::Dead,
        };
        standing.push(Standing { kind, stage, jobs: unsigned(jobs), oldest: timestamp(oldest) });
    }
    standing.sort_by_key(|one| (one.kind, one.stage));
    Ok(standing)
}

fn decoded(row: &Row, column: usize) -> Result<Job, Failure> {
    let body: &[u8] = row.try_get(column)?;
    Ok(serde_json::from_slice(body).map_err(|error| damaged("job", error))?)
}
