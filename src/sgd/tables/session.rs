//! A session with the database: made, told in which zone and within which times to work, and the only one of its kind. A second
//! daemon on the same tables finds the lock taken and leaves them alone; the lock goes with the session, so a statement of a
//! daemon that was killed has ended before another looks.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinHandle},
};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, tls::TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Failure, pieces, schema::Schema};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is silent is asked after this long, and given up when data wait this long for an answer.
const KEEPALIVE: Duration = Duration::from_secs(30);
const UNANSWERED: Duration = Duration::from_secs(60);
/// Lima's time all year (CONTRACT §9); no statement and no lock is waited for without end; a server that loses us frees what
/// we held.
const SETTINGS: &str = "SET TIME ZONE INTERVAL '-05:00' HOUR TO MINUTE; SET client_encoding = 'UTF8'; \
                        SET standard_conforming_strings = on; SET statement_timeout = '120s'; SET lock_timeout = '15s'; \
                        SET idle_in_transaction_session_timeout = '120s'; SET tcp_keepalives_idle = 30; \
                        SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// What the lock is named after, beside the schema: one number for all of ours.
const LOCK: i32 = 0x6368_6173;

/// How to reach a database.
pub struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    /// Server and database, without user and password.
    pub shown: String,
}

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

impl Address {
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        // The error may repeat the text, with its password.
        let mut config: Config =
            url.parse().map_err(|_| "la dirección de la base de datos no se entiende".to_owned())?;
        config.application_name("chasqui");
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(KEEPALIVE).tcp_user_timeout(UNANSWERED);
        let hosts = config.get_hosts().iter().map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = hosts.collect();
        let shown = format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default());
        Ok(Self { config, tls: tls(ca_file)?, shown })
    }

    /// Connects to read beside whoever works on the tables.
    pub async fn read(&self, schema: Option<&str>) -> Result<Session, Failure> {
        let (client, guard) = self.open(Arc::default()).await?;
        let schema = Schema::read_only(&client, schema).await?;
        client.batch_execute("SET default_transaction_read_only = on").await?;
        Ok(Session { client, schema, driver: guard.keep()? })
    }

    async fn open(&self, news: Arc<Notify>) -> Result<(Client, Guard), Failure> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        let driver: JoinHandle<()> = tokio::spawn(drive(connection, news));
        let guard = Guard(Some(driver.abort_handle()));
        client.batch_execute(SETTINGS).await?;
        Ok((client, guard))
    }

    /// Connects, takes the lock, learns the schema and listens on `channel`; news are told to `news`.
    pub async fn connect(&self, wanted: &Wanted<'_>, news: Arc<Notify>) -> Result<Session, Failure> {
        let (client, guard) = self.open(news).await?;
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

fn tls(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let wrong = |why: String| format!("no se pudo leer ca_file ({}): {why}", path.display());
        let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
        for certificate in read {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
