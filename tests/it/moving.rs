//! `chasqui store migrate`: a daemon's whole store to a database while it is at work, and back, and a daemon goes on there.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    pdf::pdf,
    platform::Platform,
    postgres::Postgres,
    process::{self, said},
    rest::{Api, despacho, text},
};

/// Documents that arrive at once in the test that is part of `./test`; `CHASQUI_MIGRATE_ARRIVALS` says otherwise.
const ARRIVALS: u64 = 60;

/// The daemon's configuration with another store.
fn with_store(daemon: &Daemon, name: &str, data_dir: &Path, store: &str) -> String {
    let text = fs::read_to_string(daemon.config()).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix("data_dir") {
        Some(_) => format!("data_dir = {data_dir:?}"),
        None => line.to_owned(),
    });
    let path = daemon.dir().join(name);
    fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n" + store).unwrap();
    path.to_str().unwrap().to_owned()
}

fn migrate(daemon: &Daemon, from: &str, to: &str) -> Value {
    let moved = process::run(daemon.dir(), &["store", "migrate", "--config", from, "--to", to, "--format", "json"]);
    assert!(moved.status.success(), "{}", said(&moved));
    serde_json::from_slice(&moved.stdout).unwrap()
}

/// Sends a document and waits until it is with its receiver.
async fn send(api: &Api, number: &str, seed: u64, size: usize) -> String {
    let made = api.dispatch(&despacho(number, CUSCO.ruc), &pdf(seed, size)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    api.until_state(&path, "enviado").await;
    path
}

async fn arrive(daemon: &Daemon, n: u64) {
    let document = pdf(1000 + n, if n.is_multiple_of(9) { 400_000 } else { 9_000 });
    let fields = Fields::document(CUSCO.ruc, LIMA.ruc, &format!("{:010}", 700_000 + n), &document);
    assert_eq!(daemon.soap(fields.xml()).await.verdict().0, "0000");
}

#[tokio::test]
async fn a_store_moves_to_a_database_beside_its_daemon_and_back() {
    let server = Postgres::start().await;
    server.client("postgres").await.unwrap().batch_execute("CREATE DATABASE chasqui").await.unwrap();
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let mut lima = daemons.remove(0);
    let (folder, base) = (lima.data_dir(), lima.dir().join("junto-a-la-base"));
    let arrivals = std::env::var("CHASQUI_MIGRATE_ARRIVALS").ok().and_then(|n| n.parse().ok()).unwrap_or(ARRIVALS);
    for n in 0..arrivals {
        arrive(&lima, n).await;
    }
    let api = lima.api();
    let path = send(&api, "2026-1", 1, 700_000).await;

    let here = with_store(&lima, "carpeta.toml", &folder, "");
    let store = format!("[store]\nkind = \"postgres\"\nurl = \"{}\"\n", server.url("chasqui"));
    let there = with_store(&lima, "base.toml", &base, &store);
    let empty = with_store(&lima, "otra.toml", &lima.dir().join("otra"), "");
    // What can be copied ahead is, and changes nothing.
    let ahead = process::run(lima.dir(), &["store", "migrate", "--config", &here, "--to", &there, "--copy-only"]);
    assert!(ahead.status.success(), "{}", said(&ahead));
    let args = ["store", "migrate", "--config", &here, "--to", &there, "--format", "json"];
    let mut command = process::command(&process::binary(), lima.dir(), &args);
    let moving = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for n in 0..20 {
        arrive(&lima, arrivals + n).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let also = send(&api, "2026-2", 2, 20_000).await;
    lima.stop();
    let moved = tokio::task::spawn_blocking(|| moving.wait_with_output().unwrap()).await.unwrap();
    assert!(moved.status.success(), "{}", said(&moved));
    let moved: Value = serde_json::from_slice(&moved.stdout).unwrap();
    assert_eq!(moved["trasladado"], true, "{moved}");
    assert!(moved["archivos"].as_array().unwrap().contains(&json!("audit/clave")), "{moved}");
    let refused = process::run(lima.dir(), &["serve", "--config", &here]);
    assert!(
        !refused.status.success() && said(&refused).contains("se trasladó a la base de datos"),
        "{}",
        said(&refused)
    );

    fs::copy(&there, lima.config()).unwrap();
    lima.run().await;
    let api = lima.api();
    for (path, document) in [(&path, pdf(1, 700_000)), (&also, pdf(2, 20_000))] {
        assert!(api.get(&format!("{path}/documento")).await.body == document, "{path}");
    }
    for n in 0..arrivals + 20 {
        let found = api.list(&format!("/api/v1/recepciones?cuo={:010}", 700_000 + n)).await;
        assert_eq!(found.len(), 1, "CUO {n}");
    }
    arrive(&lima, 3).await;
    let third = send(&api, "2026-3", 3, 20_000).await;
    let evidence = api.get(&format!("{path}/evidencia")).await;
    assert_eq!(evidence.status, 200, "{}", String::from_utf8_lossy(&evidence.body));
    let busy = process::run(lima.dir(), &["store", "migrate", "--config", &here, "--to", &there]);
    assert!(!busy.status.success() && said(&busy).contains("hay servicios en marcha"), "{}", said(&busy));
    lima.stop();

    // Back where it came from, and on to an empty folder: the same entries to the last byte.
    let back = migrate(&lima, &there, &here);
    assert_eq!(back["trasladado"], true);
    let on = migrate(&lima, &here, &empty);
    assert_eq!((&on["raiz"], &on["asientos"]), (&back["raiz"], &back["asientos"]));
    fs::copy(&empty, lima.config()).unwrap();
    for args in [["store", "verify"], ["audit", "verify"]] {
        let whole = lima.cli(&args);
        assert!(whole.status.success(), "{args:?}: {}", said(&whole));
    }
    lima.run().await;
    let api = lima.api();
    assert!(api.get(&format!("{third}/documento")).await.body == pdf(3, 20_000));
    send(&api, "2026-4", 4, 20_000).await;
}

#[tokio::test]
async fn a_move_names_what_stands_in_its_way() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let mut lima = daemons.remove(0);
    arrive(&lima, 1).await;
    lima.stop();
    let here = with_store(&lima, "carpeta.toml", &lima.data_dir(), "");
    let other = with_store(&lima, "otra.toml", &lima.dir().join("otra"), "");
    migrate(&lima, &here, &other);
    let dir = lima.dir().to_owned();
    let refusal = |from: &str, to: &str, status: i32, expected: &str| {
        let refused = process::run(&dir, &["store", "migrate", "--config", from, "--to", to]);
        assert_eq!(refused.status.code(), Some(status), "{}", said(&refused));
        assert!(said(&refused).contains(expected), "{}", said(&refused));
    };
    let third = with_store(&lima, "tercera.toml", &lima.dir().join("tercera"), "");
    refusal(&here, &third, 1, "se trasladó a la carpeta");
    // The same once more ends what may have been cut short.
    migrate(&lima, &here, &other);
    let mode = fs::metadata(lima.dir().join("otra")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the data are their owner's alone");
    refusal(&other, &other, 2, "nombran el mismo almacén");
    let unreachable = "[store]\nkind = \"postgres\"\nurl = \"postgres://x@127.0.0.1:1/x\"\n";
    let nowhere = with_store(&lima, "lejos.toml", &lima.dir().join("lejos"), unreachable);
    refusal(&other, &nowhere, 1, "no se puede abrir la base de datos 127.0.0.1/x");
    // Other data are never mixed.
    let fresh = with_store(&lima, "fresca.toml", &lima.dir().join("fresca"), "");
    fs::copy(&fresh, lima.config()).unwrap();
    lima.run().await;
    arrive(&lima, 2).await;
    lima.stop();
    refusal(&other, &fresh, 1, "ya tiene otros datos");
}
