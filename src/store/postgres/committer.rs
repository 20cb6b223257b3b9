//! One task that commits: every change that waits, in one transaction, each judged by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    documents::Brought,
    known::Known,
    rows::Rows,
    shared::{Failure, NEWS, Shared, signed, unsigned},
};
use crate::{
    domain::Id,
    store::{CommitError, Fact, Job, Record, Seq, StoreError, encoding::Encoded, validation},
    telemetry::failpoint,
};

/// Most changes, and about the most bytes, in one transaction.
const CHANGES_MAX: usize = 256;
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a batch is tried again while the database does not answer: a failover takes seconds, and who waits waits for less
/// than a minute.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 25 });
const AGAIN: Duration = Duration::from_millis(250);

/// A change made ready: all that is left is to judge it and to write it.
pub struct Prepared {
    pub facts: Vec<Fact>,
    pub records: Vec<Record>,
    pub jobs: Vec<Job>,
    pub jobs_done: Vec<Id>,
    pub encoded: Encoded,
    pub documents: Vec<Brought>,
    /// The number it must get, if it has one already.
    pub seq: Option<Seq>,
}

impl Prepared {
    fn purges(&self) -> bool {
        self.records.iter().any(|record| record.purga().is_some())
    }

    fn size(&self) -> usize {
        let inline = self.documents.iter().filter_map(|document| document.inline.as_ref()).map(|bytes| bytes.len());
        self.encoded.facts.len() + self.encoded.change.len() + inline.sum::<usize>()
    }
}

pub type Answer = oneshot::Sender<Result<Seq, CommitError>>;
pub type Request = (Box<Prepared>, Answer);

/// What became of each change of a batch.
type Judged = Vec<Result<Seq, CommitError>>;

/// Serves until nobody can ask any more.
pub async fn serve(shared: Arc<Shared>, mut requests: mpsc::Receiver<Request>) {
    let mut waiting: Vec<Request> = Vec::new();
    while let Some(first) = requests.recv().await {
        let mut bytes = first.0.size();
        waiting.push(first);
        while waiting.len() < CHANGES_MAX && bytes < BYTES_MAX {
            let Ok(more) = requests.try_recv() else { break };
            bytes += more.0.size();
            waiting.push(more);
        }
        // What is purged is decided on what is durable, not on what the same batch brings.
        let (purges, others): (Vec<_>, Vec<_>) = waiting.drain(..).partition(|(prepared, _)| prepared.purges());
        for batch in [others, purges] {
            for apart in answer(&shared, batch, true).await {
                answer(&shared, vec![apart], false).await;
            }
        }
    }
}

/// Commits a batch and answers it. Gives it back if the database refuses it for what is in it and it may be `divided`: one
/// change must not take its neighbours with it.
async fn answer(shared: &Shared, batch: Vec<Request>, divided: bool) -> Vec<Request> {
    if batch.is_empty() {
        return batch;
    }
    let result = {
        let prepared: Vec<&Prepared> = batch.iter().map(|(prepared, _)| &**prepared).collect();
        insist(shared, &prepared).await
    };
    if let Err(failure) = &result
        && divided
        && batch.len() > 1
        && !passes(failure)
    {
        tracing::warn!(error = %failure, changes = batch.len(), "the database refused a batch; each change by itself");
        return batch;
    }
    let (prepared, answers): (Vec<Box<Prepared>>, Vec<Answer>) = batch.into_iter().unzip();
    match result {
        Ok(judged) => {
            let last = judged.iter().filter_map(|judged| judged.as_ref().ok()).max();
            if let Some(last) = last {
                shared.publish(*last);
            }
            for ((judged, answer), prepared) in judged.into_iter().zip(answers).zip(&prepared) {
                if judged.is_ok() {
                    reach("after", prepared);
                }
                answer.send(judged).ok();
            }
        }
        Err(failure) => {
            tracing::error!(error = %failure, changes = answers.len(), "the database took nothing");
            let why = failure.to_string();
            for answer in answers {
                answer.send(Err(StoreError::Database(why.clone()).into())).ok();
            }
        }
    }
    Vec::new()
}

/// Commits a batch, and again while the database does not answer. What is not known to have ended is looked for first.
async fn insist(shared: &Shared, batch: &[&Prepared]) -> Result<Judged, Failure> {
    let begun = Instant::now();
    let mut doubt: Option<Judged> = None;
    loop {
        let tried = attempt(shared, batch, &mut doubt).await;
        match tried {
            Ok(judged) => return Ok(judged),
            Err(failure) if begun.elapsed() < PATIENCE && passes(&failure) => {
                tracing::warn!(error = %failure, "the database did not take a batch; trying again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether the same may succeed later: the connection broke, the server is starting or stopping, or two got into each other's way.
fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Pool(_) => true,
        Failure::Store(_) => false,
        Failure::Database(error) => match error.code() {
            None => true,
            // 08 connection, 25006 read-only (a standby), 40 serialization and deadlock, 53300 too many connections, 55P03 a
            // lock that was not had in time, 57 operator's intervention.
            Some(code) => {
                let code = code.code();
                ["08", "40", "57"].iter().any(|class| code.starts_with(class))
                    || ["25006", "53300", "55P03"].contains(&code)
            }
        },
    }
}

async fn attempt(shared: &Shared, batch: &[&Prepared], doubt: &mut Option<Judged>) -> Result<Judged, Failure> {
    let mut client = shared.client().await?;
    let transaction = client.transaction().await?;
    let lock = transaction.prepare_cached("SELECT seq FROM head FOR UPDATE").await?;
    let head: i64 = transaction.query_one(&lock, &[]).await?.try_get(0)?;
    let committed = match &*doubt {
        Some(judged) => is_there(&transaction, batch, judged).await?,
        None => false,
    };
    if let Some(judged) = doubt.take().filter(|_| committed) {
        return Ok(judged);
    }
    let mut known = Known::read(&transaction, batch).await?;
    let (mut rows, mut judged, mut seq) = (Rows::default(), Judged::new(), unsigned(head));
    for prepared in batch {
        let admitted = rows_before(&mut known, &mut rows, seq + 1, prepared);
        seq += u64::from(admitted.is_ok());
        judged.push(admitted);
    }
    let all: Vec<Id> = batch.iter().flat_map(|prepared| &prepared.documents).map(|document| document.body).collect();
    let admitted = judged.iter().any(Result::is_ok);
    rows.write(&transaction, &known, &all).await?;
    if admitted {
        transaction.execute("SELECT pg_notify($1, $2)", &[&NEWS, &seq.to_string()]).await?;
        batch
            .iter()
            .zip(&judged)
            .filter(|(_, judged)| judged.is_ok())
            .for_each(|(prepared, _)| reach("before", prepared));
    }
    match transaction.commit().await {
        Ok(()) => Ok(judged),
        Err(error) => {
            *doubt = admitted.then_some(judged);
            Err(error.into())
        }
    }
}

/// Judges a change and adds what it writes.
fn rows_before<'a>(
    known: &mut Known,
    rows: &mut Rows<'a>,
    seq: Seq,
    prepared: &'a Prepared,
) -> Result<Seq, CommitError> {
    validation::place(prepared.seq, seq)?;
    let purged = Rows::purged(prepared, known);
    known.admit(prepared)?;
    rows.add(seq, prepared, purged);
    Ok(seq)
}

/// Whether a batch of which only the end is unknown was committed: its first entry is there, byte by byte.
async fn is_there(
    transaction: &deadpool_postgres::Transaction<'_>,
    batch: &[&Prepared],
    judged: &Judged,
) -> Result<bool, Failure> {
    let admitted = batch.iter().zip(judged).find_map(|(prepared, judged)| Some((prepared, *judged.as_ref().ok()?)));
    let Some((prepared, seq)) = admitted else { return Ok(false) };
    let sql = "SELECT facts = $2 AND change = $3 FROM entry WHERE seq = $1";
    let (facts, change) = (&prepared.encoded.facts, &prepared.encoded.change);
    let row = transaction.query_opt(sql, &[&signed(seq), facts, change]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(false))
}

/// Where a crash test may end the daemon: named by what a change tells first, in debug builds.
fn reach(when: &str, prepared: &Prepared) {
    if let Some(fact) = prepared.facts.first().filter(|_| cfg!(debug_assertions)) {
        failpoint::reach(&format!("{when}:{}", fact.tipo));
    }
}
