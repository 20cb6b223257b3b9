//! A whole daemon in this process, on free ports and a folder of the test's.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use std::path::Path;

use super::*;

/// A daemon's on free ports, its data in a folder of the test's.
pub fn config(dir: &Path) -> Config {
    let free: SocketAddr = ([127, 0, 0, 1], 0).into();
    let mut config = Config { data_dir: dir.join("data"), ..Config::default() };
    (config.listen.soap, config.listen.api) = (free, free);
    // Nobody listens there: these tests have no platform.
    config.simulator.listen = ([127, 0, 0, 1], 9).into();
    config
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_serves_both_listeners_until_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
    assert!(ask(daemon.soap, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(ask(daemon.api, "/readyz").await.contains("\"listo\""));
    // What people reach is not on the platform's side.
    assert!(ask(daemon.soap, "/api/v1/despachos").await.starts_with("HTTP/1.1 404"));
    assert!(ask(daemon.soap, "/metrics").await.starts_with("HTTP/1.1 404"));
    assert!(ask(daemon.api, "/api/v1/despachos").await.starts_with("HTTP/1.1 401"));
    let addresses = [daemon.soap, daemon.api];
    daemon.stop().await.unwrap();
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err());
    }
    assert!(!config.data_dir.join(CONTROL_SOCKET).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_socket_and_the_data_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&config.data_dir), mode(&daemon.control)), (0o700, 0o600));
    let api = super::super::client::Api::local(&config).await.unwrap();
    assert_eq!(api.get("/api/v1/admin/api-keys").await.unwrap()["items"], Value::Array(Vec::new()));
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_is_asked_for_at_a_running_daemon_and_tells_what_needs_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let mut fresh = config.clone();
    fresh.limits.key_rate = 7;
    fresh.listen.soap_public_url = Some("https://entidad.gob.pe".into());
    let read: reload::Read = Arc::new(move || Ok(fresh.clone()));
    let daemon = Daemon::start(&config, Overrides { read: Some(read), ..Overrides::default() }).await.unwrap();
    let api = super::super::client::Api::local(&config).await.unwrap();
    let told = api.call(http::Method::POST, "/api/v1/admin/reload", None).await.unwrap();
    assert_eq!(told["aplicado"], serde_json::json!(["limits.key_rate"]));
    assert_eq!(told["requiere_reinicio"], serde_json::json!(["listen.soap_public_url"]));
    daemon.stop().await.unwrap();
    let stopped = super::super::client::Api::local(&config).await.unwrap();
    let refused = stopped.call(http::Method::POST, "/api/v1/admin/reload", None).await.unwrap_err();
    assert!(matches!(refused, super::super::Failure::Failed(text) if text.contains("no está en marcha")));
    stopped.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_on_a_stopped_daemon_and_hold_when_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    Daemon::start(&config, Overrides::default()).await.unwrap().stop().await.unwrap();
    let api = super::super::client::Api::local(&config).await.unwrap();
    let body = serde_json::json!({"nombre": "x", "rol": "auditor"});
    let made = api.call(http::Method::POST, "/api/v1/admin/api-keys", Some(&body)).await.unwrap();
    api.close().await.unwrap();

    let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
    let found = daemon.exchange().clave_vigente(made["clave"].as_str().unwrap()).await.unwrap();
    assert_eq!(found.map(|key| key.nombre).as_deref(), Some("x"));
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_data_or_port_does_not_start_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(folder.path());
    let daemon = Daemon::start(&first, Overrides::default()).await.unwrap();
    let same_data = Daemon::start(&first, Overrides::default()).await.err();
    assert!(matches!(same_data, Some(StartError::Store(StoreError::Locked(_)))));

    let mut same_port = Config { data_dir: folder.path().join("other"), ..first.clone() };
    same_port.listen.api = daemon.api;
    let error = Daemon::start(&same_port, Overrides::default()).await.err().unwrap();
    assert!(error.to_string().starts_with(&format!("no se puede escuchar en {} (listen.api)", daemon.api)));
    // Its store was closed again.
    same_port.listen.api = first.listen.api;
    Daemon::start(&same_port, Overrides::default()).await.unwrap().stop().await.unwrap();

    assert!(ask(daemon.api, "/healthz").await.starts_with("HTTP/1.1 200"));
    daemon.stop().await.unwrap();
}
