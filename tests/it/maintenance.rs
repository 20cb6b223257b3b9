//! Maintenance of a running daemon: everybody is told to come back, nothing is lost, and it goes on as before afterwards.

use serde_json::json;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    patience::until,
    pdf::pdf,
    platform::Platform,
    process::said,
    rest::{client, despacho, text},
};

async fn ready(daemon: &Daemon) -> (u16, String) {
    let response = client().get(format!("http://{}/readyz", daemon.api_address())).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn everybody_is_told_to_come_back_also_after_a_restart_and_then_all_goes_on() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let (_receiver, mut daemon) = (daemons.pop().unwrap(), daemons.pop().unwrap());
    let (api, admin) = (daemon.api(), daemon.anonymous().with_key(Some(&daemon.new_key("admin", None))));
    let begun = daemon.cli(&["maintenance", "on", "--reason", "Cambio de disco"]);
    assert!(begun.status.success(), "{}", said(&begun));

    let document = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000001", &pdf(1, 3_000)).xml();
    for restarted in [false, true] {
        if restarted {
            daemon.stop();
            daemon.run_until(503).await;
        }
        let response = client().post(daemon.soap_url()).header("content-type", "text/xml; charset=utf-8");
        let response = response.header("soapaction", "\"\"").body(document.clone()).send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        let fault = response.text().await.unwrap();
        assert!(
            fault.contains("faultstring") && fault.contains("mantenimiento") && !fault.contains("disco"),
            "{fault}"
        );

        let datos = despacho("2026-1", CUSCO.ruc);
        let refused = api.form("/api/v1/despachos", &datos, "documento", &pdf(2, 3_000)).await;
        assert_eq!(refused.problem(), (503, "en_mantenimiento".to_owned()));
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(api.get("/api/v1/despachos").await.expect(200)["items"], json!([]), "what is there can be read");

        let (status, told) = ready(&daemon).await;
        assert!(status == 503 && told.contains("mantenimiento"), "{status} {told}");
        assert_eq!(daemon.anonymous().get("/healthz").await.status, 200);
    }

    let status = daemon.cli(&["maintenance", "status"]);
    assert!(said(&status).contains("Cambio de disco"), "{}", said(&status));
    let ended = daemon.cli(&["maintenance", "off", "--format", "json"]);
    assert!(ended.status.success(), "{}", said(&ended));
    assert_eq!(daemon.soap(document).await.verdict().0, "0000");
    let sent = api.dispatch(&despacho("2026-1", CUSCO.ruc), &pdf(2, 3_000)).await;
    api.until_state(&format!("/api/v1/despachos/{}", text(&sent, "id")), "enviado").await;
    assert_eq!(ready(&daemon).await.0, 200);
    let facts = admin.get("/api/v1/eventos?limit=200").await.expect(200);
    let told: Vec<_> = facts["items"].as_array().unwrap().iter().map(|fact| text(fact, "tipo").to_owned()).collect();
    assert!(
        ["mantenimiento.iniciado", "mantenimiento.terminado"].iter().all(|tipo| told.iter().any(|t| t == tipo)),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_waits_to_be_sent_waits_until_the_end() {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let mut daemon = daemons.pop().unwrap();
    let (api, operator) = (daemon.api(), daemon.anonymous().with_key(Some(&daemon.new_key("operador", None))));
    drop(platform);
    api.dispatch(&despacho("2026-1", CUSCO.ruc), &pdf(2, 3_000)).await;
    let tried = || async {
        let jobs = operator.get("/api/v1/cola").await.expect(200);
        jobs["items"][0]["intentos"].as_u64().unwrap_or_default()
    };
    until("it was tried", 60, || async { if tried().await > 0 { Ok(()) } else { Err("not yet".to_owned()) } }).await;
    let begun = daemon.cli(&["maintenance", "on", "--reason", "Prueba"]);
    assert!(begun.status.success(), "{}", said(&begun));
    until("no attempt is under way", 60, || async {
        let page = String::from_utf8(daemon.anonymous().get("/metrics").await.body).unwrap();
        let busy = page.lines().any(|line| {
            line.contains("under_way") && line.contains("despachar") && line.contains("_jobs") && !line.ends_with(" 0")
        });
        if busy { Err(page) } else { Ok(()) }
    })
    .await;
    let before = tried().await;
    // What waits for a second at most would be tried again at once.
    daemon.stop();
    daemon.run_until(503).await;
    assert_eq!(tried().await, before);
    let ended = daemon.cli(&["maintenance", "off"]);
    assert!(ended.status.success(), "{}", said(&ended));
    until("it is tried again", 60, || async {
        if tried().await > before { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}
