//! The commands as scripts use them: what they print, and the code they end with.

use std::{path::Path, process::Output};

use serde_json::Value;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    pdf::{pdf, sha256},
    platform::Platform,
    process::{self, run, said},
};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{}", said(output)))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

fn failed_with(expected: i32, words: &str, output: &Output) {
    assert_eq!(code(output), expected, "{}", said(output));
    assert!(output.stdout.is_empty(), "an error is not a result: {}", said(output));
    assert!(String::from_utf8_lossy(&output.stderr).contains(words), "no «{words}»: {}", said(output));
}

#[test]
fn wrong_usage_and_wrong_configuration_end_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["borrar"][..], &["serve", "--puerto", "1"], &["send"]] {
        assert_eq!(code(&run(dir.path(), args)), 2, "{args:?}");
    }
    std::fs::write(dir.path().join("chasqui.toml"), "data_dri = \"x\"\n").unwrap();
    failed_with(2, "data_dir", &run(dir.path(), &["serve"]));
    failed_with(2, "otro.toml", &run(dir.path(), &["serve", "--config", "otro.toml"]));
}

#[test]
fn help_is_in_spanish_and_every_command_has_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["--help"]);
    assert_eq!(code(&help), 0);
    let text = String::from_utf8(help.stdout).unwrap();
    for command in ["demo", "serve", "send", "api-key", "store", "simulator"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(command));
        let line = line.unwrap_or_else(|| panic!("no {command}: {text}"));
        assert!(line.trim().len() > command.len() + 10, "{line}");
    }
    for english in ["Usage", "Options", "Commands", "Print help"] {
        assert!(!text.contains(english), "«{english}»: {text}");
    }
}

#[test]
fn a_daemon_that_cannot_be_reached_ends_with_3() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("oficio.pdf"), pdf(1, 1_000)).unwrap();
    let send =
        ["send", "oficio.pdf", "--to", CUSCO.ruc, "--dni", "40633367", "--url", "http://127.0.0.1:9", "--key", "chq_0"];
    failed_with(3, "127.0.0.1:9", &run(dir.path(), &send));
}

/// A file beside a daemon's configuration.
fn file(daemon: &Daemon, name: &str, bytes: &[u8]) {
    std::fs::write(daemon.dir().join(name), bytes).unwrap();
}

#[tokio::test]
async fn send_hands_a_document_over_and_says_what_became_of_it() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let document = pdf(2, 500_000);
    file(&daemons[0], "oficio.pdf", &document);
    let sent = daemons[0].cli(&["send", "oficio.pdf", "--to", CUSCO.ruc, "--dni", "40633367", "--format", "json"]);
    assert_eq!(code(&sent), 0, "{}", said(&sent));
    assert_eq!(
        (&json(&sent)["estado"], &json(&sent)["documento"]["sha256"]),
        (&"enviado".into(), &sha256(&document).into())
    );
    daemons[1].api().until_one("/api/v1/recepciones").await;

    let told =
        daemons[0].cli(&["send", "oficio.pdf", "--to", CUSCO.ruc, "--dni", "40633367", "--numero-registro", "2026-77"]);
    assert_eq!(code(&told), 0, "{}", said(&told));
    assert!(String::from_utf8_lossy(&told.stdout).contains("2026-77"), "{}", said(&told));

    file(&daemons[0], "carta.txt", b"hola");
    let refused = daemons[0].cli(&["send", "carta.txt", "--to", CUSCO.ruc, "--dni", "40633367"]);
    failed_with(1, "PDF", &refused);
    let missing = daemons[0].cli(&["send", "nada.pdf", "--to", CUSCO.ruc, "--dni", "40633367"]);
    failed_with(2, "nada.pdf", &missing);
}

#[tokio::test]
async fn a_key_that_is_revoked_opens_nothing_from_then_on() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let daemon = &mut daemons[0];
    let made = daemon.cli(&["api-key", "create", "--name", "SGD", "--role", "sgd", "--format", "json"]);
    assert_eq!(code(&made), 0, "{}", said(&made));
    let key = json(&made)["clave"].as_str().expect("the key").to_owned();
    let api = daemon.api().with_key(Some(&key));
    api.get("/api/v1/despachos").await.expect(200);
    let listed = daemon.cli(&["api-key", "list"]);
    assert!(!said(&listed).contains(&key), "a list shows no key");
    daemon.kill();
    for path in [daemon.files("journal"), daemon.files("index")].concat() {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(key.len()).any(|w| w == key.as_bytes()), "the key is in {}", path.display());
    }
    daemon.run().await;
    let id = json(&made)["id"].as_str().expect("its id").to_owned();
    let revoked = daemon.cli(&["api-key", "revoke", &id]);
    assert_eq!(code(&revoked), 0, "{}", said(&revoked));
    assert_eq!(api.get("/api/v1/despachos").await.problem(), (401, "clave_requerida".into()));
    failed_with(1, "No existe", &daemon.cli(&["api-key", "revoke", "01920000-0000-7000-8000-000000000000"]));
    failed_with(2, "jefe", &daemon.cli(&["api-key", "create", "--name", "x", "--role", "jefe"]));
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_ends_and_harms_nothing() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let config = daemons[0].config();
    let args = ["serve", "--config", config.to_str().unwrap()];
    let second = process::command(&process::binary(), Path::new("/"), &args).output().unwrap();
    assert_eq!(code(&second), 1, "{}", said(&second));
    assert!(said(&second).contains("ya está abierto por otro proceso"), "{}", said(&second));
    daemons[0].api().get("/api/v1/despachos").await.expect(200);
}

#[tokio::test]
async fn health_and_metrics_need_no_key_and_tell_nothing_of_documents() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let open = daemons[0].api().with_key(None);
    assert_eq!(open.get("/healthz").await.status, 200);
    assert_eq!(open.get("/readyz").await.expect(200)["estado"], "listo");
    let metrics = open.get("/metrics").await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.status == 200 && text.lines().any(|line| line.starts_with("chasqui_")), "{text}");
}
