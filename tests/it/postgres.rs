//! A PostgreSQL server of a test's own, in a temporary folder, that ends with its test.

#[path = "../../src/store/postgres/programs.rs"]
mod programs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use tokio_postgres::{Client, NoTls};

use crate::{patience::until, port::Port};
use programs::{command, is_root, programs};

/// The tables of the reference component.
const COMPONENT: &str = include_str!("tables/component.sql");

/// Dropped, it ends and its folder is removed.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    port: Port,
    dir: tempfile::TempDir,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, but in order: its children and its shared memory go with it.
        Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status().ok();
        self.server.wait().ok();
    }
}

impl Postgres {
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("chasqui-pg-").tempdir().expect("a temporary folder");
        let (bin, port, data) = (programs(), Port::reserve(), dir.path().join("data"));
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
        let number = port.address().port().to_string();
        let server = command(dir.path(), &bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &number, "-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB"])
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .expect("postgres starts");
        let server = Self { server, port, dir };
        until("the database answers", 60, || async {
            server.client("postgres").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        server
    }

    /// A new database with the component's tables.
    pub async fn component(&self, name: &str) -> Client {
        let server = self.client("postgres").await.unwrap();
        server.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let client = self.client(name).await.unwrap();
        client.batch_execute(COMPONENT).await.unwrap();
        client
    }

    /// Encrypts connections from now on. Gives the certificate of who vouches for the server.
    pub async fn encrypt(&self) -> PathBuf {
        let dir = self.dir.path();
        fs::write(dir.join("server.ext"), "subjectAltName = IP:127.0.0.1\nbasicConstraints = CA:FALSE\n").unwrap();
        for args in [
            "req -x509 -newkey rsa:2048 -nodes -subj /CN=prueba -keyout ca.key -out ca.pem -days 2",
            "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout data/server.key -out server.csr",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext -out data/server.crt -days 2",
        ] {
            let made = command(dir, Path::new("openssl")).args(args.split(' ')).output().expect("openssl starts");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let server = self.client("postgres").await.unwrap();
        server.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
        server.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        until("connections are encrypted", 30, || async {
            let client = self.client("postgres").await.map_err(|error| error.to_string())?;
            let row = client.query_one("SHOW ssl", &[]).await.map_err(|error| error.to_string())?;
            let on: String = row.get(0);
            if on == "on" { Ok(()) } else { Err(on) }
        })
        .await;
        dir.join("ca.pem")
    }

    pub async fn client(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://sgd@{}/{database}", self.port.address())
    }
}
