//! What stands in logs and metrics: the exchange's id on its lines, and nothing of people, documents or secrets, at any level.

use std::fs;

use reqwest::multipart::Form;
use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    pdf::pdf,
    platform::Platform,
    process::said,
    rest::{client, despacho, text},
};

/// Stand nowhere but in what people say, and in secrets.
const MARKS: [&str; 11] = [
    "asuntomarcado",
    "47731937",
    "usuariomarcado",
    "NOMBREMARCADO",
    "OFICIOMARCADO",
    "observacionmarcada",
    "correo.marcado@ejemplo.pe",
    "ClaveMarcada7731",
    "tokenmarcado",
    "busquedamarcada",
    "c2VjcmV0b21hcmNhZG8tc2VjcmV0b21hcmNhZG8",
];

fn setup(of: crate::daemon::Entity, format: &str) -> Setup {
    Setup::of(&[of]).with(&format!(
        "[log]\nlevel = \"trace\"\nformat = \"{format}\"\n[[webhook]]\nname = \"sgd\"\nallow_private = true\n\
         url = \"http://127.0.0.1:9/avisos?token=tokenmarcado\"\nsecret = \"whsec_c2VjcmV0b21hcmNhZG8tc2VjcmV0b21hcmNhZG8=\"\n"
    ))
}

fn marked(number: &str) -> Value {
    let mut datos = despacho(number, CUSCO.ruc);
    datos["asunto"] = json!("asuntomarcado");
    datos["usuario"] = json!("usuariomarcado");
    datos["remitente"]["numero_documento"] = json!("47731937");
    datos["destinatario"]["nombre"] = json!("NOMBREMARCADO");
    datos["numero_documento"] = json!("OFICIOMARCADO");
    datos
}

fn log_of(daemon: &Daemon) -> String {
    fs::read_to_string(daemon.dir().join("serve.log")).unwrap()
}

/// Whoever comes to the door with the wrong password, and a wrong key.
async fn strangers(daemon: &Daemon) {
    let (http, base) = (client(), format!("http://{}", daemon.api_address()));
    let door = http.get(format!("{base}/ingresar")).send().await.unwrap();
    let cookie = door.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let token = cookie.split_once('=').unwrap().1.to_owned();
    let form = Form::new()
        .text("_csrf", token)
        .text("cuenta", "correo.marcado@ejemplo.pe")
        .text("contrasena", "ClaveMarcada7731");
    let refused = http.post(format!("{base}/ingresar")).header("cookie", &cookie).multipart(form).send().await.unwrap();
    assert_eq!(refused.status(), 422);
    let wrong = daemon.anonymous().with_key(Some("ClaveMarcada7731"));
    assert_eq!(wrong.get("/api/v1/despachos").await.status, 401);
}

#[tokio::test]
async fn a_day_of_exchanges_leaves_its_ids_and_nothing_of_people_or_secrets_in_logs_and_metrics() {
    let (_platform, mut daemons) = Platform::with([setup(LIMA, "human"), setup(CUSCO, "json")]).await;
    let (mut receiver, mut sender) = (daemons.pop().unwrap(), daemons.pop().unwrap());
    let (out, inside) = (sender.api(), receiver.api());
    let sent = out.dispatch(&marked("2026-1"), &pdf(1, 30_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&sent, "id"));
    let sent = out.until_state(&path, "enviado").await;
    let arrived = inside.until_one(&format!("/api/v1/recepciones?cuo={}", text(&sent, "cuo"))).await;
    let recepcion = format!("/api/v1/recepciones/{}", text(&arrived, "id"));
    let observed = json!({"numero_registro": "E-1", "unidad": "GM", "usuario": "usuariomarcado", "observacion": "observacionmarcada"});
    inside.form(&format!("{recepcion}/observar"), &observed, "cargo", &pdf(2, 9_000)).await.expect(200);
    out.until_state(&path, "observado").await;

    // What is refused says what it is not either.
    let mut wrong = marked("2026-2");
    wrong["folios"] = json!("asuntomarcado");
    assert_eq!(out.form("/api/v1/despachos", &wrong, "documento", &pdf(3, 3_000)).await.status, 422);
    assert_eq!(out.get("/api/v1/despachos?q=busquedamarcada").await.status, 200);
    let broken = Fields::document(LIMA.ruc, CUSCO.ruc, "asuntomarcado", &pdf(4, 3_000)).xml();
    assert_ne!(receiver.soap(broken).await.verdict().0, "0000");
    receiver.soap("<Envelope><asuntomarcado>47731937</Envelope>").await;
    strangers(&receiver).await;
    let admin = receiver.anonymous().with_key(Some(&receiver.new_key("admin", None)));
    let person = json!({"cuenta": "correo.marcado@ejemplo.pe", "nombre": "NOMBREMARCADO", "rol": "operador", "contrasena": "ClaveMarcada7731"});
    assert_eq!(admin.post("/api/v1/admin/usuarios", &person).await.status, 201);

    for daemon in [&mut sender, &mut receiver] {
        let keys = daemon.api().key().unwrap().to_owned();
        let page = String::from_utf8(daemon.anonymous().get("/metrics").await.body).unwrap();
        daemon.stop();
        let log = log_of(daemon);
        assert!(log.lines().count() > 50, "it logs at every level: {log}");
        for mark in MARKS.into_iter().chain([keys.as_str()]) {
            let found: Vec<&str> = log.lines().chain(page.lines()).filter(|line| line.contains(mark)).take(3).collect();
            assert!(found.is_empty(), "{mark}: {found:#?}");
        }
    }
    let lines: Vec<Value> = log_of(&receiver).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let id = arrived["id"].clone();
    let answered = |line: &&Value| line["message"] == "answered" && line["span"]["id"] == id;
    assert!(lines.iter().any(|line| answered(&line)), "the answer's line names its exchange");
    let delivered = lines.iter().filter(|line| line["span"]["name"] == "exchange" && line["span"]["id"] == id).count();
    assert!(delivered > 1, "so do those of its cargo");
    let traced = receiver.cli(&["check", "--format", "json"]);
    assert!(!MARKS.iter().any(|mark| said(&traced).contains(mark)), "{}", said(&traced));
}
