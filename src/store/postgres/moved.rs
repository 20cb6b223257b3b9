//! The mark of a database whose contents went to another store, and who still works on it.

use super::{
    presence::ALIVE,
    shared::{Failure, Shared},
};
use crate::store::StoreError;

/// Refuses a database whose contents went elsewhere.
pub async fn refuse(shared: &Shared) -> Result<(), Failure> {
    match shared.client().await?.query_opt("SELECT place FROM moved", &[]).await? {
        Some(row) => Err(StoreError::Moved(row.try_get(0)?).into()),
        None => Ok(()),
    }
}

/// Says where it went. Daemons that were at work before may still be: see [`working`].
pub async fn mark(shared: &Shared, place: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO moved (place) VALUES ($1) ON CONFLICT (single) DO UPDATE SET place = excluded.place";
    shared.client().await?.execute(sql, &[&place]).await?;
    Ok(())
}

/// It is in use again.
pub async fn unmark(shared: &Shared) -> Result<(), Failure> {
    shared.client().await?.execute("DELETE FROM moved", &[]).await?;
    Ok(())
}

/// How many daemons were at work in the last seconds.
pub async fn working(shared: &Shared) -> Result<u64, Failure> {
    let sql = format!("SELECT count(*) FROM ({ALIVE}) AS alive");
    let count: i64 = shared.client().await?.query_one(&sql, &[]).await?.try_get(0)?;
    Ok(super::shared::unsigned(count))
}
