//! More than a daemon takes at once: callers are told to come back with a fault that says so, and the other side of the
//! house does not notice.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup, answer},
    envelope::{Answer, Fields},
    patience::until,
    pdf::pdf,
    platform::Platform,
    rest::{Api, client, despacho},
};

async fn crowded(limits: &str) -> (Platform, Daemon) {
    let limits = format!("[limits]\ndocument_max = \"2MiB\"\n{limits}");
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]).with(&limits)]).await;
    (platform, daemons.pop().unwrap())
}

fn document() -> Fields {
    Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 60_000))
}

/// Callers that send half a message and stay.
async fn stuck(daemon: &Daemon, callers: usize) -> Vec<TcpStream> {
    let xml = document().xml();
    let head = format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        xml.len()
    );
    let mut held = Vec::new();
    for _ in 0..callers {
        let mut stream = TcpStream::connect(daemon.soap_address()).await.unwrap();
        stream.write_all(format!("{head}{}", &xml[..xml.len() / 2]).as_bytes()).await.unwrap();
        held.push(stream);
    }
    held
}

async fn metric(api: &Api, line: &str) -> Option<u64> {
    let page = String::from_utf8(api.get("/metrics").await.body).unwrap();
    page.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

/// What a saturated daemon tells the next caller: nothing was taken, and when to come back.
fn told_to_come_back(refused: &Answer, retry_after: Option<&str>) {
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.content_type.starts_with("text/xml"), "{}", refused.content_type);
    assert_eq!(refused.field("faultcode").as_deref(), Some("soap:Server"));
    assert!(refused.field("faultstring").is_some_and(|text| text.contains("vuelva a intentarlo")), "{}", refused.body);
    assert_eq!(retry_after, Some("5"));
}

async fn next_caller(daemon: &Daemon) -> (Answer, Option<String>) {
    let request = client().post(daemon.soap_url()).header("content-type", "text/xml").header("soapaction", "\"\"");
    let response = request.body(document().xml()).send().await.unwrap();
    let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let (status, retry_after, content_type) =
        (response.status().as_u16(), header("retry-after"), header("content-type").unwrap_or_default());
    (Answer { status, content_type, body: response.text().await.unwrap() }, retry_after)
}

/// The other side goes on as if nothing were: it is asked with the port of the platform full.
async fn other_side_is_well(daemon: &mut Daemon) {
    let api = daemon.api();
    let well = async {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(api.get(path).await.status, 200, "{path}");
        }
        api.dispatch(&despacho("2026-mientras", CUSCO.ruc), &pdf(2, 60_000)).await;
        let probe = answer(client().get(format!("http://{}/healthz", daemon.soap_address()))).await;
        assert_eq!((probe.status, probe.body.as_str()), (200, "vivo\n"));
    };
    timeout(Duration::from_secs(20), well).await.expect("the API answers while the platform's port is full");
}

#[tokio::test]
async fn requests_over_the_limit_are_told_to_come_back_while_the_other_side_is_well() {
    for limit in ["requests_max = 4", "requests_per_peer_max = 4"] {
        let (_platform, mut daemon) = crowded(limit).await;
        let held = stuck(&daemon, 4).await;
        let api = daemon.api();
        let under_way = "chasqui_http_requests_under_way{listener=\"soap\"}";
        until("four are under way", 10, || async {
            match metric(&api, under_way).await {
                Some(4) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert!(metric(&api, "chasqui_http_bytes_in_flight{listener=\"soap\"}").await.is_some_and(|bytes| bytes > 0));
        assert_eq!(metric(&api, "chasqui_limit{name=\"document_max\"}").await, Some(2 << 20));
        let (refused, retry_after) = next_caller(&daemon).await;
        told_to_come_back(&refused, retry_after.as_deref());
        other_side_is_well(&mut daemon).await;
        drop(held);
        until("the next one is served", 10, || async {
            let (next, _) = next_caller(&daemon).await;
            if next.status == 200 { Ok(()) } else { Err(next.body) }
        })
        .await;
        assert_eq!(api.list("/api/v1/recepciones").await.len(), 1, "what was told to come back left nothing");
    }
}

#[tokio::test]
async fn connections_over_the_limit_are_told_to_come_back_while_the_other_side_is_well() {
    for limit in ["connections_max = 6", "connections_per_peer_max = 6"] {
        let (_platform, mut daemon) = crowded(limit).await;
        let held = stuck(&daemon, 6).await;
        let (refused, retry_after) = next_caller(&daemon).await;
        told_to_come_back(&refused, retry_after.as_deref());
        // More than are even told so: they are closed, and the rest is as it was.
        let mut crowd = Vec::new();
        for _ in 0..200 {
            crowd.push(TcpStream::connect(daemon.soap_address()).await.unwrap());
        }
        let last = crowd.last_mut().unwrap();
        let closed = timeout(Duration::from_secs(10), last.read(&mut [0; 1])).await.expect("it is closed at once");
        assert!(matches!(closed, Ok(0) | Err(_)));
        drop(crowd);
        other_side_is_well(&mut daemon).await;
        drop(held);
        until("the next one is served", 10, || async {
            let (next, _) = next_caller(&daemon).await;
            if next.status == 200 { Ok(()) } else { Err(next.body) }
        })
        .await;
    }
}

#[tokio::test]
async fn limits_are_told_with_their_unit_and_place() {
    let (_platform, daemon) = crowded("connections_max = 77").await;
    let output = daemon.cli(&["limits", "--format", "json"]);
    assert!(output.status.success());
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = told["items"].as_array().unwrap();
    let found = items.iter().find(|row| row["nombre"] == "limits.connections_max").unwrap();
    assert_eq!((&found["valor"], &found["unidad"]), (&77.0.into(), &"conexiones".into()));
    assert!(found["lugar"].as_str().is_some_and(|place| place.contains("chasqui.toml:")), "{found}");
    let text = daemon.cli(&["limits"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("limits.connections_max") && text.contains("77 conexiones"), "{text}");
}
