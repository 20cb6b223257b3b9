//! A session with the database: made, told in which zone and within which times to work, and the only one of its kind. A second
//! daemon on the same tables finds the lock taken and leaves them alone; the lock goes with the session, so a statement of a
//! daemon that was killed has ended before another looks.

use std::sync::Arc;

use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinHandle},
};
use tokio_postgres::{AsyncMessage, Client, Connection, tls::TlsStream};

use super::{Failure, pieces, schema::Schema};
use crate::store::postgres::Address;

/// Lima's time all year (CONTRACT §9); no statement and no lock is waited for without end; a server that loses us frees what
/// we held.
const SETTINGS: &str = "SET TIME ZONE INTERVAL '-05:00' HOUR TO MINUTE; SET client_encoding = 'UTF8'; \
                        SET standard_conforming_strings = on; SET statement_timeout = '120s'; SET lock_timeout = '15s'; \
                        SET idle_in_transaction_session_timeout = '120s'; SET tcp_keepalives_idle = 30; \
                        SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// What the lock is named after, beside the schema: one number for all of ours.
const LOCK: i32 = 0x6368_6173;

pub struct Session {
    pub client: Client,
    pub schema: Schema,
    driver: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects to read beside whoever works on the tables.
pub async fn read(address: &Address, schema: Option<&str>) -> Result<Session, Failure> {
    let (client, guard) = open(address, Arc::default()).await?;
    let schema = Schema::read_only(&client, schema).await?;
    client.batch_execute("SET default_transaction_read_only = on").await?;
    Ok(Session { client, schema, driver: guard.keep()? })
}

async fn open(address: &Address, news: Arc<Notify>) -> Result<(Client, Guard), Failure> {
    let (client, connection) = address.config.connect(address.tls.clone()).await?;
    let driver: JoinHandle<()> = tokio::spawn(drive(connection, news));
    let guard = Guard(Some(driver.abort_handle()));
    client.batch_execute(SETTINGS).await?;
    Ok((client, guard))
}

/// Connects, takes the lock, learns the schema and listens on `channel`; news are told to `news`.
pub async fn connect(address: &Address, wanted: &Wanted<'_>, news: Arc<Notify>) -> Result<Session, Failure> {
    let (client, guard) = open(address, news).await?;
    let schema = Schema::discover(&client, wanted.schema, wanted.sequences).await?;
    let lock = "SELECT pg_try_advisory_lock($1, hashtext($2))";
    let ours: bool = client.query_one(lock, &[&LOCK, &schema.name]).await?.try_get(0)?;
    if !ours {
        return Err(Failure::Taken);
    }
    client.batch_execute(pieces::PREPARE).await?;
    client.batch_execute(&format!("LISTEN \"{}\"", wanted.channel)).await?;
    Ok(Session { client, schema, driver: guard.keep()? })
}

/// What a session is to find.
pub struct Wanted<'a> {
    pub schema: Option<&'a str>,
    pub sequences: &'a [String],
    pub channel: &'a str,
}

/// Ends the connection where the session is not made after all.
struct Guard(Option<AbortHandle>);

impl Guard {
    fn keep(mut self) -> Result<AbortHandle, Failure> {
        self.0.take().ok_or(Failure::Taken)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(driver) = self.0.take() {
            driver.abort();
        }
    }
}

async fn drive<T>(mut connection: Connection<tokio_postgres::Socket, T>, news: Arc<Notify>)
where
    T: TlsStream + tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    loop {
        match futures_util::future::poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => news.notify_one(),
            Some(Ok(_)) => {}
            // Whoever uses the session learns it from the next statement.
            Some(Err(_)) | None => {
                news.notify_one();
                return;
            }
        }
    }
}
