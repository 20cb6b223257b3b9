//! Brings the database to what this version needs. Forward only; each step in a transaction of its own, one daemon at a time.

use super::{
    counting,
    shared::{Failure, damaged},
};
use deadpool_postgres::Client;

/// What the lock is named after.
const LOCK: i64 = 0x6368_6173_7175_6901;

/// In order. A step that was released never changes.
const STEPS: [&str; 3] = [include_str!("schema.sql"), include_str!("counts.sql"), include_str!("moved.sql")];

/// A version of the schema beyond ours is fine as long as it says so: what is added later must leave what is here as it is.
pub async fn run(client: &mut Client) -> Result<(), Failure> {
    client.query_one("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let done = match steps(client).await {
        Ok(()) => counting::catch_up(client).await,
        failed => failed,
    };
    client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    done
}

async fn steps(client: &mut Client) -> Result<(), Failure> {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS migration (step integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    let row = client.query_one("SELECT coalesce(max(step), 0) FROM migration", &[]).await?;
    let done: i32 = row.try_get(0)?;
    let done = usize::try_from(done).map_err(|error| damaged("migration", error))?;
    for (step, sql) in (1_i32..).zip(STEPS).skip(done) {
        let transaction = client.transaction().await?;
        transaction.batch_execute(sql).await?;
        transaction.execute("INSERT INTO migration (step) VALUES ($1)", &[&step]).await?;
        transaction.commit().await?;
        tracing::info!(step, "the database was brought up");
    }
    Ok(())
}
