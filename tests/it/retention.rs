//! What is kept and what goes: holds, purges by command and by the daemon itself, and what is still proven after them.

use std::process::Output;

use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    patience::until,
    pdf::{pdf, sha256},
    platform::Platform,
    process::{run, said},
    rest::{Api, despacho, text},
};

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A document sent, received and answered; the paths of its records on both sides.
async fn exchanged(sender: &Api, receiver: &Api, number: &str, document: &[u8]) -> [String; 2] {
    let accepted = sender.dispatch(&despacho(number, CUSCO.ruc), document).await;
    let sent = format!("/api/v1/despachos/{}", text(&accepted, "id"));
    let enviado = sender.until_state(&sent, "enviado").await;
    let found = receiver.until_one(&format!("/api/v1/recepciones?cuo={}", text(&enviado, "cuo"))).await;
    let arrived = format!("/api/v1/recepciones/{}", text(&found, "id"));
    let datos = json!({"numero_registro": "E-777", "unidad": "GERENCIA MUNICIPAL", "usuario": "ROSA ÑAHUI PÉREZ"});
    receiver.form(&format!("{arrived}/recepcionar"), &datos, "cargo", &pdf(3, 40_000)).await.expect(200);
    sender.until_state(&sent, "recepcionado").await;
    [sent, arrived]
}

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// The plan of a purge, once nothing is too young any more.
async fn plan(daemon: &Daemon) -> Value {
    until("everything is old enough", 60, || async {
        let plan: Value =
            serde_json::from_str(&ok(&daemon.cli(&["store", "purge", "--dry-run", "--format", "json"]))).unwrap();
        if plan["despachos"]["recientes"] == 0 { Ok(plan) } else { Err(plan.to_string()) }
    })
    .await
}

#[tokio::test]
async fn a_purge_takes_what_is_old_and_not_held_and_everything_left_is_still_proven() {
    let kept = |every: &str| format!("[retention]\ndespachos = \"1s\"\nrecepciones = \"1s\"\nevery = \"{every}\"\n");
    let setups = [Setup::of(&[LIMA]).with(&kept("1h")), Setup::of(&[CUSCO]).with(&kept("1s"))];
    let (_platform, mut daemons) = Platform::with(setups).await;
    let (sender, receiver) = (daemons[0].api(), daemons[1].api());
    let documents = [pdf(1, 600_000), pdf(2, 30_000)];
    let [goes, arrived] = exchanged(&sender, &receiver, "2026-1", &documents[0]).await;
    let [stays, _] = exchanged(&sender, &receiver, "2026-2", &documents[1]).await;

    // Holding is for who audits.
    let reason = json!({"motivo": "Proceso 12-2026"});
    assert_eq!(
        sender.post(&format!("{stays}/bloquear"), &reason).await.problem(),
        (403, "permiso_insuficiente".into())
    );
    let auditor = sender.with_key(Some(&daemons[0].new_key("auditor", Some(LIMA))));
    let held = auditor.post(&format!("{stays}/bloquear"), &reason).await.expect(200);
    assert_eq!(held["bloqueo"]["motivo"], "Proceso 12-2026");
    assert_eq!(auditor.post(&format!("{stays}/bloquear"), &reason).await.problem(), (409, "estado_no_permite".into()));
    assert!(ok(&daemons[0].cli(&["store", "hold", "list"])).contains(id(&stays)));

    // Looked at first, and not done by mistake.
    let found = plan(&daemons[0]).await;
    assert_eq!(
        (&found["despachos"]["purgables"], &found["despachos"]["bloqueados"]),
        (&json!(1), &json!(1)),
        "{found}"
    );
    assert_eq!(daemons[0].cli(&["store", "purge"]).status.code(), Some(2), "nothing goes without a word");
    assert_eq!(sender.get(&format!("{goes}/documento")).await.status, 200);
    let purged = ok(&daemons[0].cli(&["store", "purge", "--yes"]));
    assert!(purged.contains("Se purgaron 1 intercambios"), "{purged}");

    // What remains.
    assert_eq!(sender.get(&format!("{goes}/documento")).await.problem(), (410, "purgado".into()));
    assert_eq!(sender.get(&format!("{goes}/cargo")).await.problem(), (410, "purgado".into()));
    let left = sender.get(&goes).await.expect(200);
    assert_eq!((&left["asunto"], &left["estado"]), (&json!(""), &json!("recepcionado")));
    assert_eq!(left["documento"]["sha256"], sha256(&documents[0]));
    assert_eq!(left["purga"]["documentos"][0]["sha256"], sha256(&documents[0]));
    assert_eq!(sender.history(&goes).await.last().unwrap(), "despacho.purgado");
    assert_eq!(sha256(&sender.get(&format!("{stays}/documento")).await.body), sha256(&documents[1]));

    // The receiver does it by itself.
    until("the receiver purged it", 60, || async {
        let recepcion = receiver.get(&arrived).await.expect(200);
        if recepcion["purga"]["por"] == "chasqui" { Ok(()) } else { Err(recepcion.to_string()) }
    })
    .await;
    assert_eq!(receiver.get(&format!("{arrived}/documento")).await.problem(), (410, "purgado".into()));

    // All of it is proven with the daemon, without it, and without anything.
    let package = daemons[0].dir().join("e.asice");
    ok(&daemons[0].cli(&["audit", "evidence", id(&goes), "--out", package.to_str().unwrap()]));
    let verified = run(daemons[0].dir(), &["audit", "verify-evidence", "e.asice"]);
    let told = ok(&verified);
    assert!(told.contains("se purgaron") && told.contains(&sha256(&documents[0])), "{told}");
    for running in [true, false] {
        for daemon in &mut daemons {
            if !running {
                daemon.stop();
            }
            for command in ["store", "audit"] {
                let told = ok(&daemon.cli(&[command, "verify"]));
                assert!(
                    told.contains("fueron purgados y su certificado lo dice"),
                    "{command}, running: {running}: {told}"
                );
            }
        }
        let certificate = ok(&daemons[0].cli(&["store", "certificate", id(&goes)]));
        assert!(certificate.contains("CERTIFICADO DE PURGA") && certificate.contains(&sha256(&documents[0])));
    }
    ok(&daemons[0].cli(&["store", "hold", "lift", id(&stays), "--reason", "Archivado"]));
    assert!(ok(&daemons[0].cli(&["store", "purge", "--yes"])).contains("Se purgaron 1 intercambios"));
    ok(&daemons[0].cli(&["audit", "verify"]));
}
