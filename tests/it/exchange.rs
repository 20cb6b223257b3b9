//! Whole exchanges between daemons through the simulated platform, and the REST API around them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, PUNO, Setup},
    patience::until,
    pdf::{pdf, sha256},
    platform::Platform,
    rest::{Api, despacho, text},
};

/// Two entities that are each reached at their own daemon, on one platform.
struct Pair {
    sender: Daemon,
    receiver: Daemon,
    _platform: Platform,
}

impl Pair {
    async fn start() -> Self {
        let (sender, receiver) = (Setup::of(&[LIMA]), Setup::of(&[CUSCO]));
        let (platform, mut daemons) = Platform::with([sender, receiver]).await;
        let (receiver, sender) = (daemons.pop().unwrap(), daemons.pop().unwrap());
        Self { sender, receiver, _platform: platform }
    }

    /// Sends a document and waits until both sides have it: its despacho and its recepcion.
    async fn delivered(&mut self, datos: &Value, document: &[u8]) -> (Value, Value) {
        let (sender, receiver) = (self.sender.api(), self.receiver.api());
        let accepted = sender.dispatch(datos, document).await;
        let despacho = sender.until_state(&format!("/api/v1/despachos/{}", text(&accepted, "id")), "enviado").await;
        let recepcion = receiver.until_one(&format!("/api/v1/recepciones?cuo={}", text(&despacho, "cuo"))).await;
        (despacho, recepcion)
    }
}

/// What mesa de partes says when it files a document.
fn filing(numero: &str) -> Value {
    json!({"numero_registro": numero, "unidad": "GERENCIA MUNICIPAL", "codigo_unidad": "GM", "usuario": "ROSA ÑAHUI PÉREZ"})
}

#[tokio::test]
async fn a_document_goes_out_and_its_cargo_comes_back() {
    let mut pair = Pair::start().await;
    let document = pdf(1, 700_000);
    let datos = despacho("2026-000123", CUSCO.ruc);
    let (sent, received) = pair.delivered(&datos, &document).await;
    let (sender, receiver) = (pair.sender.api(), pair.receiver.api());

    assert_eq!(
        (&sent["cflgest"], &received["estado"], &received["cflgest"]),
        (&json!("E"), &json!("pendiente"), &json!("P"))
    );
    assert_eq!(
        sent["documento"],
        json!({"nombre": "oficio.pdf", "bytes": document.len(), "sha256": sha256(&document)})
    );
    assert_eq!(received["documento"], sent["documento"]);
    for field in ["cuo", "asunto", "folios", "tipo_documento", "numero_documento", "fecha_documento", "destinatario"] {
        assert_eq!(received[field], sent[field], "{field}");
    }
    let stated = json!({"ruc": LIMA.ruc, "nombre": LIMA.name, "unidad": datos["unidad_remitente"],
                        "tipo_documento": "1", "numero_documento": "40633367"});
    assert_eq!(received["remitente"], stated);
    let recepcion = format!("/api/v1/recepciones/{}", text(&received, "id"));
    assert!(receiver.get(&format!("{recepcion}/documento")).await.body == document, "the bytes are those sent");

    receiver.post(&format!("{recepcion}/registrar"), &json!({"numero_registro": "E-777"})).await.expect(200);
    let cargo = pdf(2, 40_000);
    let answered = receiver.form(&format!("{recepcion}/recepcionar"), &filing("E-777"), "cargo", &cargo).await;
    assert_eq!(answered.expect(200)["estado"], "recepcionado");

    let despacho = format!("/api/v1/despachos/{}", text(&sent, "id"));
    let closed = sender.until_state(&despacho, "recepcionado").await;
    assert_eq!(closed["cflgest"], "R");
    assert_eq!(
        (&closed["cargo"]["numero_registro"], &closed["cargo"]["usuario"]),
        (&json!("E-777"), &json!("ROSA ÑAHUI PÉREZ"))
    );
    let stated = &closed["cargo"]["documento"];
    assert_eq!((&stated["bytes"], &stated["sha256"]), (&json!(cargo.len()), &json!(sha256(&cargo))));
    let returned = sender.get(&format!("{despacho}/cargo")).await;
    assert_eq!(returned.headers["content-type"], "application/pdf");
    assert!(returned.body == cargo, "the cargo's bytes are those issued");

    let history = sender.history(&despacho).await;
    for event in ["despacho.enviado", "despacho.recepcionado"] {
        assert!(history.iter().any(|e| e == event), "no {event}: {history:?}");
    }
    until("the receiver knows that its cargo was delivered", 30, || async {
        let history = receiver.history(&recepcion).await;
        if history.iter().any(|e| e == "recepcion.cargo_enviado") { Ok(()) } else { Err(format!("{history:?}")) }
    })
    .await;
}

#[tokio::test]
async fn an_observed_document_is_corrected_by_another() {
    let mut pair = Pair::start().await;
    let (sent, received) = pair.delivered(&despacho("2026-1", CUSCO.ruc), &pdf(3, 10_000)).await;
    let (sender, receiver) = (pair.sender.api(), pair.receiver.api());
    let observe = format!("/api/v1/recepciones/{}/observar", text(&received, "id"));

    let refused = receiver.form(&observe, &filing("1"), "cargo", &pdf(4, 5_000)).await;
    assert_eq!(refused.problem(), (422, "campos_no_validos".into()));
    assert_eq!(refused.json()["errors"][0]["field"], "observacion");

    let mut observed = filing("1");
    observed["observacion"] = json!("Falta la firma de la página 2 & «otra»");
    receiver.form(&observe, &observed, "cargo", &pdf(4, 5_000)).await.expect(200);
    let first = format!("/api/v1/despachos/{}", text(&sent, "id"));
    let closed = sender.until_state(&first, "observado").await;
    assert_eq!((&closed["cflgest"], &closed["cargo"]["observacion"]), (&json!("O"), &observed["observacion"]));

    let mut correction = despacho("2026-2", CUSCO.ruc);
    correction["referencia"] = sent["cuo"].clone();
    let (_, second) = pair.delivered(&correction, &pdf(5, 10_000)).await;
    assert_eq!(second["cuo_referencia"], sent["cuo"]);
    let corrected = sender.until_state(&first, "subsanado").await;
    assert_eq!(corrected["cflgest"], "S");
}

#[tokio::test]
async fn a_document_in_json_is_the_same_as_one_in_a_form() {
    let mut pair = Pair::start().await;
    let sender = pair.sender.api();
    let document = pdf(6, 300_000);
    let mut datos = despacho("2026-json", CUSCO.ruc);
    datos["documento"]["contenido"] = json!(crate::envelope::base64(&document));
    let made = sender.post("/api/v1/despachos?esperar=30", &datos).await.expect(202);
    assert_eq!((&made["estado"], &made["documento"]["sha256"]), (&json!("enviado"), &json!(sha256(&document))));
    let bytes = sender.get(&format!("/api/v1/despachos/{}/documento", text(&made, "id"))).await;
    assert!(bytes.body == document, "the bytes are those sent");
}

#[tokio::test]
async fn a_document_for_several_entities_is_one_despacho_each() {
    let setups = [Setup::of(&[LIMA]), Setup::of(&[CUSCO]), Setup::of(&[PUNO])];
    let (_platform, mut daemons) = Platform::with(setups).await;
    let sender = daemons[0].api();
    let mut datos = despacho("2026-varios", CUSCO.ruc);
    datos.as_object_mut().unwrap().remove("destino");
    datos["destinos"] = json!([CUSCO.ruc, PUNO.ruc]);
    sender.form("/api/v1/despachos", &datos, "documento", &pdf(7, 10_000)).await.expect(202);
    for daemon in &mut daemons[1..] {
        let received = daemon.api().until_one("/api/v1/recepciones").await;
        assert_eq!(received["remitente"]["ruc"], LIMA.ruc);
    }
    let made = sender.list("/api/v1/despachos").await;
    assert!(made.len() == 2 && made.iter().all(|d| d["numero_registro"] == "2026-varios"), "{made:?}");
}

#[tokio::test]
async fn an_idempotency_key_makes_one_despacho() {
    let mut pair = Pair::start().await;
    let api = pair.sender.api();
    let mut datos = despacho("2026-idem", CUSCO.ruc);
    datos["documento"]["contenido"] = json!(crate::envelope::base64(&pdf(8, 20_000)));
    let send = |datos: Value, key: &'static str| {
        let request = api.request(Method::POST, "/api/v1/despachos").header("idempotency-key", key).json(&datos);
        async { api.send(request).await.unwrap() }
    };
    let first = send(datos.clone(), "k-1").await.expect(202);
    let again = send(datos.clone(), "k-1").await.expect(202);
    assert_eq!(first["id"], again["id"]);
    assert_eq!(api.list("/api/v1/despachos").await.len(), 1);

    datos["asunto"] = json!("Otro asunto");
    assert_eq!(send(datos.clone(), "k-1").await.problem(), (422, "idempotency_key_reused".into()));
    let duplicate = send(datos, "k-2").await;
    assert_eq!(duplicate.problem(), (409, "duplicado".into()));
    assert_eq!(duplicate.json()["id"], first["id"], "it names the despacho that is there");
    assert_eq!(api.list("/api/v1/despachos").await.len(), 1);
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let mut pair = Pair::start().await;
    let api = pair.sender.api();
    let mut datos = despacho("2026-mal", "20168999927");
    datos["asunto"] = json!("x".repeat(501));
    datos["remitente"]["numero_documento"] = json!("123");
    datos["folios"] = json!(0);
    let refused = api.form("/api/v1/despachos", &datos, "documento", b"no es un PDF").await;
    assert_eq!(refused.problem(), (422, "campos_no_validos".into()));
    let refused = refused.json();
    let mut fields: Vec<&str> = refused["errors"].as_array().unwrap().iter().map(|e| text(e, "field")).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["asunto", "destino", "documento.contenido", "folios", "remitente.numero_documento"],
        "{refused}"
    );
    assert!(api.list("/api/v1/despachos").await.is_empty());
    let files = [pair.sender.files("incoming"), pair.sender.files("documents")].concat();
    assert!(files.is_empty(), "left behind: {files:?}");
}

#[tokio::test]
async fn what_a_caller_does_wrong_is_told_as_a_problem() {
    let mut pair = Pair::start().await;
    let api = pair.sender.api();
    assert_eq!(api.with_key(None).get("/api/v1/despachos").await.problem(), (401, "clave_requerida".into()));
    assert_eq!(api.with_key(Some("chq_0")).get("/api/v1/despachos").await.problem(), (401, "clave_requerida".into()));
    assert_eq!(api.get("/api/v1/nada").await.problem(), (404, "ruta_no_existe".into()));
    assert_eq!(api.get("/api/v1/despachos/nada").await.problem(), (404, "no_existe".into()));
    let unknown = "/api/v1/recepciones/01920000-0000-7000-8000-000000000000/documento";
    assert_eq!(api.get(unknown).await.problem(), (404, "no_existe".into()));
    assert_eq!(api.get("/api/v1/despachos?limite=3").await.problem(), (400, "parametro_no_valido".into()));
    let send = |request| async { api.send(request).await.unwrap().problem() };
    let put = api.request(Method::PUT, "/api/v1/despachos").body("{}");
    assert_eq!(send(put).await, (405, "metodo_no_permitido".into()));
    let post = |kind: &'static str, body: &'static str| {
        api.request(Method::POST, "/api/v1/despachos").header("content-type", kind).body(body)
    };
    assert_eq!(send(post("text/plain", "hola")).await, (415, "tipo_de_contenido".into()));
    assert_eq!(send(post("application/json", "{\"a\":")).await, (400, "json_no_valido".into()));
    assert_eq!(send(post("multipart/form-data; boundary=b", "nada")).await, (400, "multipart_no_valido".into()));
}

#[tokio::test]
async fn a_key_sees_its_entity_and_does_what_its_role_may() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA, PUNO]), Setup::of(&[CUSCO])]).await;
    let daemon = &mut daemons[0];
    let of_lima = daemon.api();
    let made = of_lima.dispatch(&despacho("2026-lima", CUSCO.ruc), &pdf(9, 9_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));

    let of_puno = of_lima.with_key(Some(&daemon.new_key("sgd", Some(PUNO))));
    assert!(of_puno.list("/api/v1/despachos").await.is_empty());
    assert_eq!(of_puno.get(&path).await.problem(), (404, "no_existe".into()));
    assert_eq!(of_puno.get(&format!("{path}/documento")).await.problem(), (404, "no_existe".into()));

    let auditor = of_lima.with_key(Some(&daemon.new_key("auditor", None)));
    assert_eq!(auditor.get(&path).await.expect(200)["id"], made["id"]);
    let refused = auditor.form("/api/v1/despachos", &despacho("2026-x", CUSCO.ruc), "documento", &pdf(9, 9_000)).await;
    assert_eq!(refused.problem(), (403, "permiso_insuficiente".into()));
    let desk = of_lima.with_key(Some(&daemon.new_key("mesa_de_partes", Some(LIMA))));
    let refused = desk.form("/api/v1/despachos", &despacho("2026-y", CUSCO.ruc), "documento", &pdf(9, 9_000)).await;
    assert_eq!(refused.problem(), (403, "permiso_insuficiente".into()));
}

#[tokio::test]
async fn lists_and_the_feed_go_on_where_a_page_ended() {
    let mut pair = Pair::start().await;
    let api = pair.sender.api();
    for n in 0..5 {
        api.dispatch(&despacho(&format!("2026-{n}"), CUSCO.ruc), &pdf(n, 2_000)).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/despachos?limit=2".to_owned();
    loop {
        let page = api.get(&path).await.expect(200);
        seen.extend(page["items"].as_array().unwrap().iter().map(|d| text(d, "numero_registro").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/despachos?limit=2&cursor={next}");
    }
    assert_eq!(seen, ["2026-4", "2026-3", "2026-2", "2026-1", "2026-0"], "newest first, none twice, none left out");
    for despacho in api.list("/api/v1/despachos").await {
        api.until_state(&format!("/api/v1/despachos/{}", text(&despacho, "id")), "enviado").await;
    }
    let events = feed(&api).await;
    let sent = events.iter().filter(|e| e["tipo"] == "despacho.enviado").count();
    assert_eq!(sent, 5, "{events:?}");
}

/// All events of the feed, page by page.
async fn feed(api: &Api) -> Vec<Value> {
    let (mut events, mut path) = (Vec::new(), "/api/v1/eventos?limit=3".to_owned());
    loop {
        let page = api.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            return events;
        }
        events.extend(items.iter().cloned());
        path = format!("/api/v1/eventos?limit=3&desde={}", text(&page, "next_cursor"));
    }
}

#[tokio::test]
async fn the_directory_is_the_platforms() {
    let mut pair = Pair::start().await;
    let api = pair.sender.api();
    let types = api.get("/api/v1/tipos-documento").await.expect(200);
    let oficio = types["items"].as_array().unwrap().iter().find(|t| t["codigo"] == "01").expect("an Oficio");
    assert_eq!(text(oficio, "nombre").to_uppercase(), "OFICIO");
    assert!(types["actualizado_en"].is_string(), "{types}");
    let categories = api.get("/api/v1/categorias").await.expect(200);
    assert_eq!(categories["items"].as_array().unwrap().len(), 8);
    let mut all = 0;
    for n in 1..=8 {
        all += api.list(&format!("/api/v1/entidades?categoria={n}")).await.len();
    }
    assert!(all >= 8, "only {all} entities");
    let known = api.get(&format!("/api/v1/entidades/{}", CUSCO.ruc)).await.expect(200);
    assert_eq!(known["ruc"], CUSCO.ruc);
}
