//! Hostile and broken input to the REST API: the right problem, nothing left behind, and the daemon goes on.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::{Fields, base64},
    patience::until,
    pdf::pdf,
    platform::Platform,
    rest::{Api, Reply, despacho},
};

async fn victim(limits: &str) -> (Platform, Daemon) {
    let limits = format!("[limits]\ndocument_max = \"2MiB\"\nbody_idle_timeout = \"2s\"\n{limits}");
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]).with(&limits)]).await;
    (platform, daemons.pop().unwrap())
}

async fn unharmed(daemon: &mut Daemon) {
    let api = daemon.api();
    assert!(api.list("/api/v1/despachos").await.is_empty(), "a refused document has a record");
    until("no file is left behind", 10, || async {
        let files = [daemon.files("incoming"), daemon.files("documents")].concat();
        if files.is_empty() { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .await;
    daemon.process().alive().unwrap();
    api.dispatch(&despacho("2026-bien", CUSCO.ruc), &pdf(1, 600_000)).await;
}

/// Posts a body as it is.
async fn post(api: &Api, kind: &str, body: impl Into<reqwest::Body>) -> Reply {
    let request = api.request(Method::POST, "/api/v1/despachos").header("content-type", kind).body(body);
    api.send(request).await.unwrap()
}

/// A whole request in JSON with this as its document's base64.
fn with_content(contenido: &str) -> Value {
    let mut datos = despacho("2026-mal", CUSCO.ruc);
    datos["documento"]["contenido"] = json!(contenido);
    datos
}

#[tokio::test]
async fn json_that_is_broken_or_too_much_is_refused() {
    let (_platform, mut daemon) = victim("").await;
    let api = daemon.api();
    let good = with_content(&base64(&pdf(2, 600_000))).to_string();
    let mut long = with_content("");
    long["asunto"] = json!("x".repeat(600_000));
    let cases = [
        ("cut in the document", good[..good.len() / 2].to_owned(), (400, "json_no_valido")),
        ("deep", "[".repeat(100_000), (400, "json_no_valido")),
        ("a list", format!("[{good}]"), (400, "json_no_valido")),
        ("too long a text", long.to_string(), (413, "peticion_grande")),
        ("too large a document", with_content(&base64(&pdf(3, 3_000_000))).to_string(), (413, "peticion_grande")),
        ("broken base64", with_content("JVBERi0xLjcK!!!!").to_string(), (422, "campos_no_validos")),
        ("no PDF", with_content(&base64(b"PK\x03\x04 hola")).to_string(), (422, "campos_no_validos")),
        ("no document", despacho("2026-mal", CUSCO.ruc).to_string(), (422, "campos_no_validos")),
        ("a misspelt field", good.replace("\"asunto\"", "\"asumto\""), (422, "campos_no_validos")),
    ];
    for (what, body, (status, code)) in cases {
        let refused = post(&api, "application/json", body).await;
        assert_eq!(refused.problem(), (status, code.to_owned()), "{what}: {}", refused.json());
    }
    let bytes = [good.as_bytes(), b"\xff"].concat();
    assert_eq!(post(&api, "application/json", bytes).await.problem().0, 400);
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn forms_that_are_broken_or_too_much_are_refused() {
    let (_platform, mut daemon) = victim("").await;
    let api = daemon.api();
    let datos = despacho("2026-mal", CUSCO.ruc);
    let large = api.form("/api/v1/despachos", &datos, "documento", &pdf(3, 3_000_000)).await;
    assert_eq!(large.problem(), (413, "peticion_grande".into()));
    let other = api.form("/api/v1/despachos", &datos, "archivo", &pdf(2, 600_000)).await;
    assert!([400, 422].contains(&other.problem().0), "{}", other.json());
    let text = api.form("/api/v1/despachos", &datos, "documento", b"hola").await;
    assert_eq!(text.problem(), (422, "campos_no_validos".into()));
    let part = |name: &str, content: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let kind = "multipart/form-data; boundary=b";
    for (what, body) in [
        ("no end", part("datos", &datos.to_string())),
        ("no data", format!("{}--b--\r\n", part("documento", "%PDF-1.7"))),
        ("many parts", format!("{}--b--\r\n", part("x", "y").repeat(5_000))),
    ] {
        let refused = post(&api, kind, body).await;
        assert!([400, 413, 422].contains(&refused.problem().0), "{what}: {}", refused.json());
    }
    assert!([400, 415].contains(&post(&api, "multipart/form-data", "x").await.problem().0));
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn a_caller_without_a_key_is_refused_before_its_document_is_taken() {
    let (_platform, mut daemon) = victim("").await;
    let mut stream = TcpStream::connect(daemon.api_address()).await.unwrap();
    let head = "POST /api/v1/despachos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let read =
        timeout(Duration::from_secs(5), stream.read(&mut answer)).await.expect("an answer without the body").unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer[..read]));
    drop(stream);
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn more_bytes_in_flight_than_allowed_are_told_to_come_back() {
    let (_platform, mut daemon) = victim("bytes_in_flight_max = \"7MiB\"\n").await;
    daemon.api();
    // All of it but its end.
    let message = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(4, 1_500_000)).xml();
    let head = format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        message.len()
    );
    let unfinished = head + &message[..message.len() - 10];
    let mut held = Vec::new();
    let busy = loop {
        let mut stream = TcpStream::connect(daemon.soap_address()).await.unwrap();
        // Whoever is told to come back is not read to the end.
        stream.write_all(unfinished.as_bytes()).await.ok();
        let mut answer = vec![0; 2048];
        match timeout(Duration::from_millis(300), stream.read(&mut answer)).await {
            Ok(read) => break String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned(),
            Err(_) => held.push(stream),
        }
        assert!(held.len() < 10, "20 MB are in flight");
    };
    assert!(busy.starts_with("HTTP/1.1 503"), "{busy}");
    assert!(busy.to_lowercase().contains("\r\nretry-after:"), "{busy}");
    assert!(held.len() >= 2, "only {} were let in", held.len());
    drop(held);
    until("the next one is let in", 10, || async {
        let document = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(4, 600_000));
        let answer = daemon.soap(document.xml()).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.body) }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_ended_and_leaves_nothing() {
    let (_platform, mut daemon) = victim("").await;
    let api = daemon.api();
    let body = with_content(&base64(&pdf(2, 600_000))).to_string();
    let half = body[..body.len() / 2].to_owned();
    let stalls = futures_util::stream::unfold(Some(half), |left| async {
        match left {
            Some(half) => Some((Ok::<_, std::io::Error>(half), None)),
            None => std::future::pending().await,
        }
    });
    let refused = post(&api, "application/json", reqwest::Body::wrap_stream(stalls)).await;
    assert_eq!(refused.problem(), (408, "peticion_lenta".into()));
    unharmed(&mut daemon).await;
}
