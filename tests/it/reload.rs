//! The configuration is read again while the daemon runs: what is added serves at once, what is wrong changes nothing, and all
//! of it is on record.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, PUNO, Setup},
    envelope::Fields,
    patience::until,
    pdf::pdf,
    platform::Platform,
    rest::{Api, text},
};

/// A document for `receiver`, and the code it was answered with.
async fn arrives(daemon: &Daemon, n: u64, receiver: &str) -> String {
    let document = Fields::document(PUNO.ruc, receiver, &format!("{n:010}"), &pdf(n, 3_000));
    daemon.soap(document.xml()).await.verdict().0
}

async fn applied(api: &Api) -> Vec<Value> {
    let page = api.get("/api/v1/eventos?limit=200").await.expect(200);
    let items = page["items"].as_array().unwrap();
    items.iter().filter(|fact| fact["tipo"] == "configuracion.aplicada").cloned().collect()
}

#[tokio::test]
async fn an_entity_and_a_webhook_that_are_added_serve_at_once_and_what_is_wrong_changes_nothing() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let mut daemon = daemons.pop().unwrap();
    let admin = daemon.anonymous().with_key(Some(&daemon.new_key("admin", None)));
    let before = fs::read_to_string(daemon.config()).unwrap();
    let write = |more: &str| fs::write(daemon.config(), format!("{before}\n{more}")).unwrap();
    let cusco = format!("[[entity]]\nruc = \"{}\"\nname = \"{}\"\n", CUSCO.ruc, CUSCO.name);
    let webhook = "[[webhook]]\nname = \"sgd\"\nurl = \"http://127.0.0.1:9/\"\nallow_private = true\n\
                   secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    assert_ne!(arrives(&daemon, 1, CUSCO.ruc).await, "0000");

    write(&format!("{cusco}{webhook}[limits]\nkey_rate = 77\n"));
    let done = admin.post("/api/v1/admin/reload", &json!({})).await.expect(200);
    assert_eq!(done["aplicado"], json!(["entity", "limits.key_rate", "webhook"]), "{done}");
    assert_eq!(done["requiere_reinicio"], json!([]), "{done}");
    assert_eq!(arrives(&daemon, 2, CUSCO.ruc).await, "0000");
    let told = admin.get("/api/v1/webhooks").await.expect(200);
    assert_eq!(told["items"][0]["nombre"], "sgd", "{told}");

    write(&format!("{cusco}[limits]\nkey_rate = \"mucho\"\n"));
    let refused = admin.post("/api/v1/admin/reload", &json!({})).await;
    assert_eq!(refused.problem().1, "configuracion_no_valida");
    let line =
        fs::read_to_string(daemon.config()).unwrap().lines().position(|line| line.contains("mucho")).unwrap() + 1;
    assert!(text(&refused.json(), "detail").contains(&format!("chasqui.toml:{line}")), "{}", refused.json());
    assert_eq!(arrives(&daemon, 3, CUSCO.ruc).await, "0000");

    // What it received waits for an answer.
    write("");
    let refused = admin.post("/api/v1/admin/reload", &json!({})).await;
    assert_eq!(refused.problem().1, "configuracion_no_valida");
    let why = text(&refused.json(), "detail").to_owned();
    assert!(why.contains(CUSCO.ruc) && why.contains("recepciones sin responder"), "{why}");
    assert_eq!(arrives(&daemon, 4, CUSCO.ruc).await, "0000");

    // By signal, from a file in which one name is another.
    write(&format!("{}{webhook}[limits]\nkey_rate = 77\n", cusco.replace(CUSCO.name, "OTRO NOMBRE")));
    let hangup = format!("kill -HUP {}", daemon.process().id());
    assert!(Command::new("sh").args(["-c", &hangup]).status().unwrap().success());
    until("the signal's reload is on record", 60, || async {
        let told = applied(&admin).await;
        let last = told.last().cloned().unwrap_or_default();
        let by_signal =
            last["actor"] == "chasqui" && last["detalle"].as_str().is_some_and(|d| d.contains("cambió entity"));
        if by_signal { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    let told = applied(&admin).await;
    assert!(text(&told[told.len() - 2], "actor").starts_with("clave:"), "{told:?}");
    assert!(text(&told[told.len() - 2], "detalle").contains("cambió entity, limits.key_rate, webhook"), "{told:?}");
}
