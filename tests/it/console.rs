//! The console in a real browser: the day of who works in a mesa de partes and of who operates, on Debian's Chromium
//! (`tests/clients/console/day.js`), against a whole daemon that receives through the simulated platform.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    daemon::{CUSCO, Daemon, Entity, LIMA, Setup},
    pdf::pdf,
    platform::Platform,
    process::said,
    rest::{client, despacho, text},
};

/// For which `fixtures/pki` has an identity.
const AGENTE: Entity = Entity { ruc: "20900000015", name: "MUNICIPALIDAD DISTRITAL DE EJEMPLO" };

const PASSWORD: &str = "nevado-huascaran-6768";

/// What strangers may write where it is shown.
const EVIL: &str = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}";

/// A person, as its operator makes it.
fn person(daemon: &Daemon, account: &str, role: &str) {
    let file = daemon.dir().join("contrasena");
    std::fs::write(&file, PASSWORD).unwrap();
    let password = file.to_str().unwrap();
    let args =
        ["user", "create", account, "--name", "ROSA ÑAHUI <b>PÉREZ</b>", "--role", role, "--password-file", password];
    let output = daemon.cli(&args);
    assert!(output.status.success(), "{}", said(&output));
}

/// A sender and a mesa de partes that has documents to attend to, all of whose texts are hostile.
async fn town() -> (Platform, Daemon, Daemon) {
    let setups = [Setup::of(&[LIMA]), Setup::of(&[AGENTE]).with_identity("agente-municipalidad")];
    let (platform, mut daemons) = Platform::with(setups).await;
    let (mut mesa, mut sender) = (daemons.pop().unwrap(), daemons.pop().unwrap());
    platform.register(&CUSCO).await;
    let api = sender.api();
    for n in 0..4 {
        let mut datos = despacho(&format!("2026-{n}"), AGENTE.ruc);
        for (member, most) in [("asunto", 500), ("numero_documento", 100), ("unidad_remitente", 250)] {
            datos[member] = json!(format!("{n} {EVIL}").chars().take(most).collect::<String>());
        }
        for member in ["nombre", "cargo", "unidad"] {
            datos["destinatario"][member] = json!(EVIL);
        }
        let sent = api.dispatch(&datos, &pdf(n, 3_000)).await;
        api.until_state(&format!("/api/v1/despachos/{}", text(&sent, "id")), "enviado").await;
    }
    // What this one sends waits: nobody answers there.
    mesa.api().dispatch(&despacho("2026-9", CUSCO.ruc), &pdf(9, 3_000)).await;
    (platform, sender, mesa)
}

#[tokio::test]
async fn the_staffs_and_the_operators_day_in_a_real_browser() {
    let (_platform, _sender, mesa) = town().await;
    for (account, role) in [("mesa", "mesa_de_partes"), ("admin", "admin")] {
        person(&mesa, account, role);
    }
    let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console");
    std::fs::create_dir_all(&shots).unwrap();
    let document = mesa.dir().join("oficio.pdf");
    std::fs::write(&document, pdf(77, 3_000)).unwrap();
    let plan = json!({
        "base": format!("http://{}", mesa.api_address()), "password": PASSWORD, "pdf": document, "shots": shots,
        "destino": LIMA.ruc, "evil": true, "chromium": "/usr/bin/chromium",
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/console/day.js");
    let run = tokio::task::spawn_blocking(move || Command::new("node").arg(script).arg(plan.to_string()).output());
    let output = run.await.unwrap().expect("node starts");
    assert!(output.status.success(), "{}", said(&output));
}

#[tokio::test]
async fn nobody_gets_in_by_guessing_nor_acts_without_the_sessions_token() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[AGENTE])]).await;
    let mesa = daemons.pop().unwrap();
    person(&mesa, "mesa", "mesa_de_partes");
    let base = format!("http://{}", mesa.api_address());
    let http = client();
    for path in ["/entrada", "/salida", "/operacion", "/auditoria", "/personas", "/sucesos"] {
        let answer = http.get(format!("{base}{path}")).send().await.unwrap();
        let led = answer.headers().get("location").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        assert!(
            led.starts_with("/ingresar") || answer.url().path() == "/ingresar",
            "{path}: {} {led}",
            answer.status()
        );
    }
    let door = http.get(format!("{base}/ingresar")).send().await.unwrap();
    let policy = door.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let cookie = door.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let token = cookie.split_once('=').unwrap().1.to_owned();
    let attempt = |given: &str, token: String| {
        let form = reqwest::multipart::Form::new()
            .text("_csrf", token)
            .text("cuenta", "mesa")
            .text("contrasena", given.to_owned());
        http.post(format!("{base}/ingresar")).header("cookie", &cookie).multipart(form).send()
    };
    assert_eq!(attempt(PASSWORD, "0".repeat(64)).await.unwrap().status(), 400, "another token");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(attempt("adivina esta", token.clone()).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [422, 422, 422, 422, 429, 429], "after some failures one waits");
    assert_eq!(attempt(PASSWORD, token).await.unwrap().status(), 429, "also who knows it");
}
