//! That we are here, and who else is: by the database's clock alone. The eldest leads.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Connection, tls::TlsStream};

use super::{
    Address,
    shared::{Failure, NEWS, Shared, unsigned},
};
use crate::store::Seq;

/// A daemon that says nothing for so long is taken for dead: its jobs are free.
pub const SILENT: Duration = Duration::from_secs(20);

/// How often each says that it is here, and looks for news that nobody told.
const EVERY: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 4 });

/// Bodies that no commit named are deleted after a day.
const ABANDONED: &str = "WITH gone AS (DELETE FROM upload WHERE begun < now() - interval '1 day' RETURNING body) \
                         DELETE FROM chunk WHERE body IN (SELECT body FROM gone)";

/// Of `daemon`: those who are not silent.
pub const ALIVE: &str = "SELECT id FROM daemon WHERE seen > now() - interval '20 seconds'";

/// Says that we are here, and learns who leads and what was committed.
pub async fn show(shared: &Shared) -> Result<(), Failure> {
    let client = shared.client().await?;
    let row = "INSERT INTO daemon (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET seen = now()";
    client.execute(row, &[&shared.me]).await?;
    let eldest = format!("SELECT id FROM daemon WHERE id IN ({ALIVE}) ORDER BY begun, id LIMIT 1");
    let eldest = client.query_opt(&eldest, &[]).await?;
    let leads = eldest.map(|row| row.try_get(0)).transpose()? == Some(shared.me);
    if shared.leads.swap(leads, Ordering::Relaxed) != leads {
        tracing::info!(leads, "who leads the daemons of this database changed");
    }
    let head: i64 = client.query_one("SELECT seq FROM head", &[]).await?.try_get(0)?;
    shared.publish(unsigned(head));
    if leads {
        client.execute("DELETE FROM daemon WHERE seen < now() - interval '1 hour'", &[]).await?;
        client.execute(ABANDONED, &[]).await?;
    }
    Ok(())
}

/// Goes on saying so until the store is closed.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        if let Err(error) = show(&shared).await {
            tracing::warn!(%error, "the database does not answer");
            // Somebody else may take it over.
            shared.leads.store(false, Ordering::Relaxed);
        }
    }
}

/// We go: what we hold is free at once.
pub async fn leave(shared: &Shared) -> Result<(), Failure> {
    shared.leads.store(false, Ordering::Relaxed);
    let client = shared.client().await?;
    client.execute("DELETE FROM daemon WHERE id = $1", &[&shared.me]).await?;
    client.execute("SELECT pg_notify($1, '')", &[&NEWS]).await?;
    Ok(())
}

/// Listens to what the database tells until the store is closed. Where the connection breaks, [`keep`] looks meanwhile.
pub async fn listen(shared: Arc<Shared>, address: Address) {
    while !shared.stop.is_cancelled() {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            heard = hear(&shared, &address) => {
                if let Err(error) = heard {
                    tracing::warn!(%error, "the database tells no news");
                }
            }
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn hear(shared: &Arc<Shared>, address: &Address) -> Result<(), Failure> {
    let (client, connection) = address.config.connect(address.tls.clone()).await?;
    let ended = Arc::new(Notify::new());
    let driver = tokio::spawn(drive(connection, Arc::clone(shared), Arc::clone(&ended)));
    let listening = client.batch_execute(&format!("LISTEN {NEWS}")).await;
    if listening.is_ok() {
        tokio::select! {
            () = ended.notified() => {}
            () = shared.stop.cancelled() => {}
        }
    }
    driver.abort();
    Ok(listening?)
}

async fn drive<T>(mut connection: Connection<tokio_postgres::Socket, T>, shared: Arc<Shared>, ended: Arc<Notify>)
where
    T: TlsStream + tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    while let Some(Ok(message)) = futures_util::future::poll_fn(|cx| connection.poll_message(cx)).await {
        let AsyncMessage::Notification(told) = message else { continue };
        match told.payload().parse::<Seq>() {
            Ok(seq) => shared.publish(seq),
            // Jobs are due; whoever waits for news looks again.
            Err(_) => shared.published.send_modify(|_| {}),
        }
    }
    ended.notify_one();
}
