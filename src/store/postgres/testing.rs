//! A PostgreSQL server for tests: the one that `CHASQUI_TEST_POSTGRES` names, or one of the test's own in a temporary folder,
//! on a socket of its own, that ends with it.

use std::{
    fs,
    process::{Child, Command},
    time::Duration,
};

use tokio_postgres::NoTls;

use super::programs::{command, is_root, programs};

/// Where a shared server is, without a database's name: `postgres://user@host`.
pub const SHARED: &str = "CHASQUI_TEST_POSTGRES";

pub struct Server {
    /// Without the database's name.
    url: String,
    _own: Option<Own>,
}

/// Dropped, it ends and its folder is removed.
struct Own {
    server: Child,
    _dir: tempfile::TempDir,
}

impl Drop for Own {
    fn drop(&mut self) {
        // At once, but in order: its children and its shared memory go with it.
        Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status().ok();
        self.server.wait().ok();
    }
}

impl Server {
    pub async fn new() -> Self {
        match std::env::var(SHARED) {
            Ok(url) => Self { url, _own: None },
            Err(_) => Self::start().await,
        }
    }

    async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("chasqui-pg-").tempdir().expect("a temporary folder");
        let (bin, data) = (programs(), dir.path().join("data"));
        if is_root() {
            assert!(Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap().success());
        }
        let made = command(dir.path(), &bin.join("initdb"))
            .args(["-U", "sgd", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let log = fs::File::create(dir.path().join("server.log")).unwrap();
        let server = command(dir.path(), &bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(dir.path())
            .args(["-c", "listen_addresses=", "-c", "shared_buffers=16MB"])
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .expect("postgres starts");
        let host = dir.path().to_str().expect("a path in UTF-8").replace('/', "%2F");
        let started = Self { url: format!("postgres://sgd@{host}"), _own: Some(Own { server, _dir: dir }) };
        for _ in 0..600 {
            if tokio_postgres::connect(&started.of("postgres"), NoTls).await.is_ok() {
                return started;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the database does not answer");
    }

    pub fn of(&self, database: &str) -> String {
        format!("{}/{database}", self.url)
    }

    /// A new database, by its address.
    pub async fn database(&self) -> String {
        let (client, connection) = tokio_postgres::connect(&self.of("postgres"), NoTls).await.unwrap();
        tokio::spawn(connection);
        let name = format!("t{}", super::handle::identity().unwrap().simple());
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        self.of(&name)
    }
}
