//! What people decide about an exchange under way, and what counterparts do to one: withdraw, correct, ask, pass on; answer,
//! keep silent, be down, refuse.

use serde_json::json;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, PUNO, Setup},
    envelope::Fields,
    patience::until,
    pdf::{pdf, sha256},
    platform::Platform,
    rest::{Api, despacho, text},
};

/// The simulator's own entities.
const ACCEPTS: &str = "20900001003";
const OBJECTS: &str = "20900001011";
const SILENT: &str = "20900001020";
const DOWN: &str = "20900001038";

async fn alone() -> (Platform, Daemon) {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    (platform, daemons.pop().unwrap())
}

/// Dispatches a document and gives its path.
async fn dispatched(api: &Api, numero: &str, destino: &str) -> String {
    let made = api.dispatch(&despacho(numero, destino), &pdf(1, 3_000)).await;
    format!("/api/v1/despachos/{}", text(&made, "id"))
}

#[tokio::test]
async fn counterparts_accept_object_or_keep_silent_and_one_that_is_down_holds_up_no_other() {
    let (_platform, mut daemon) = alone().await;
    let api = daemon.api();
    let down = dispatched(&api, "2026-down", DOWN).await;
    let silent = dispatched(&api, "2026-silent", SILENT).await;
    let accepted = dispatched(&api, "2026-accepts", ACCEPTS).await;
    let observed = dispatched(&api, "2026-objects", OBJECTS).await;
    let accepted_record = api.until_state(&accepted, "recepcionado").await;
    assert!(accepted_record["cargo"]["numero_registro"].is_string(), "{accepted_record}");
    let observed_record = api.until_state(&observed, "observado").await;
    assert!(observed_record["cargo"]["observacion"].is_string(), "{observed_record}");
    for path in [&accepted, &observed] {
        let cargo = api.get(&format!("{path}/cargo")).await;
        assert!(cargo.status == 200 && cargo.body.starts_with(b"%PDF-"), "{}", cargo.status);
    }
    assert_eq!(api.until_state(&silent, "enviado").await["cargo"], json!(null));
    until("the one that is down says why", 30, || async {
        let record = api.get(&down).await.expect(200);
        let why = record["ultimo_error"].as_str().is_some_and(|text| text.len() > 10);
        if why && ["pendiente", "por_confirmar"].contains(&text(&record, "estado")) {
            Ok(())
        } else {
            Err(record.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn a_despacho_is_withdrawn_only_before_it_was_sent() {
    let (mut platform, mut daemon) = alone().await;
    let api = daemon.api();
    let sent = dispatched(&api, "2026-sent", ACCEPTS).await;
    api.until_state(&sent, "recepcionado").await;
    let refused = api.post(&format!("{sent}/anular"), &json!({})).await;
    assert_eq!(refused.problem(), (409, "estado_no_permite".into()));

    platform.stop();
    let held = dispatched(&api, "2026-held", ACCEPTS).await;
    let withdrawn = api.post(&format!("{held}/anular"), &json!({"motivo": "se envió por error"})).await.expect(200);
    assert_eq!((&withdrawn["estado"], &withdrawn["cflgest"]), (&json!("anulado"), &json!("P")));
    platform.run().await;
    let after = dispatched(&api, "2026-after", ACCEPTS).await;
    api.until_state(&after, "recepcionado").await;
    let still = api.get(&held).await.expect(200);
    assert_eq!((&still["estado"], &still["cuo"]), (&json!("anulado"), &json!(null)), "it never left");
}

#[tokio::test]
async fn an_observed_document_is_corrected_through_its_own_route() {
    let (_platform, mut daemon) = alone().await;
    let api = daemon.api();
    let first = dispatched(&api, "2026-1", OBJECTS).await;
    let observed = api.until_state(&first, "observado").await;
    let correction =
        api.form(&format!("{first}/subsanar"), &despacho("2026-2", OBJECTS), "documento", &pdf(2, 3_000)).await;
    assert_eq!(correction.expect(202)["referencia"], observed["cuo"]);
    api.until_state(&first, "subsanado").await;
    let again = api.form(&format!("{first}/subsanar"), &despacho("2026-3", OBJECTS), "documento", &pdf(3, 3_000)).await;
    assert_eq!(again.problem(), (409, "estado_no_permite".into()));
}

#[tokio::test]
async fn the_receiver_can_be_asked_now() {
    let (_platform, mut daemon) = alone().await;
    let api = daemon.api();
    let path = dispatched(&api, "2026-ask", SILENT).await;
    api.until_state(&path, "enviado").await;
    let told = api.post(&format!("{path}/consultar"), &json!({})).await.expect(200);
    assert_eq!((&told["codigo"], &told["despacho"]["estado"]), (&json!("0000"), &json!("enviado")), "{told}");
}

#[tokio::test]
async fn a_received_document_is_passed_on_with_the_same_bytes() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[PUNO])]).await;
    let document = pdf(4, 300_000);
    let received = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &document);
    assert_eq!(daemons[0].soap(received.xml()).await.verdict().0, "0000");
    let api = daemons[0].api();
    let recepcion = api.until_one("/api/v1/recepciones").await;
    let mut datos = despacho("2026-derivado", PUNO.ruc);
    datos.as_object_mut().unwrap().remove("documento");
    api.post(&format!("/api/v1/recepciones/{}/derivar", text(&recepcion, "id")), &datos).await.expect(202);
    let passed_on = daemons[1].api().until_one("/api/v1/recepciones").await;
    assert_eq!(passed_on["documento"]["sha256"], sha256(&document));
    assert_eq!(passed_on["remitente"]["ruc"], LIMA.ruc);
}

#[tokio::test]
async fn a_cargo_that_its_receiver_does_not_know_holds_up_no_document_for_it() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    // Says that it comes from Cusco; Cusco never sent it.
    let foreign = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(5, 3_000));
    assert_eq!(daemons[0].soap(foreign.xml()).await.verdict().0, "0000");
    let api = daemons[0].api();
    let recepcion = api.until_one("/api/v1/recepciones").await;
    let filing = json!({"numero_registro": "E-1", "unidad": "GERENCIA", "usuario": "ROSA"});
    let issue = format!("/api/v1/recepciones/{}/recepcionar", text(&recepcion, "id"));
    api.form(&issue, &filing, "cargo", &pdf(6, 3_000)).await.expect(200);
    until("its cargo was refused several times", 30, || async {
        let jobs = api.list("/api/v1/cola").await;
        let attempts = jobs.first().and_then(|job| job["intentos"].as_u64()).unwrap_or(0);
        if attempts >= 5 { Ok(()) } else { Err(format!("{jobs:?}")) }
    })
    .await;
    let path = dispatched(&api, "2026-other", CUSCO.ruc).await;
    until("a document for the same entity goes out", 10, || async {
        let record = api.get(&path).await.expect(200);
        if record["estado"] == "enviado" { Ok(()) } else { Err(record.to_string()) }
    })
    .await;
}
