//! Texts of other entities that the catalogue does not know: listed for the operator, also after a kill, and explained by
//! rules of the configuration.

use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, LIMA, Setup},
    patience::until,
    pdf::pdf,
    platform::Platform,
    process::said,
    rest::{Api, despacho, text},
};

/// The simulator's entity that accepts everything.
const ACCEPTS: &str = "20900001003";

const RULE: &str =
    "[[respuesta]]\ntexto = \"mesa de partes # cerrada*\"\noperacion = \"recepcionar\"\nfalla = \"ocupada\"\n";

async fn listed(api: &Api, texts: usize) -> Vec<Value> {
    until(&format!("{texts} texts are listed"), 30, || async {
        let items = api.list("/api/v1/salud/textos").await;
        if items.len() == texts { Ok(items) } else { Err(format!("{items:?}")) }
    })
    .await
}

#[tokio::test]
async fn a_text_nobody_knows_is_listed_survives_a_kill_and_is_explained_by_a_rule() {
    let fault = json!({"falla": "codigo", "operacion": "recepcionar", "valor": "-1", "entregada": false, "veces": 1,
                       "texto": "Mesa de partes 7 cerrada por feriado"});
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]).with(RULE)]).await;
    platform.faults(&json!({"falla": [fault]})).await;
    let mut daemon = daemons.pop().unwrap();
    let operator = daemon.new_key("operador", None);
    let api = daemon.api();
    let made = api.dispatch(&despacho("2026-1", ACCEPTS), &pdf(1, 3_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    api.until_state(&path, "recepcionado").await;

    let operating = api.with_key(Some(&operator));
    let found = listed(&operating, 1).await.remove(0);
    let members = ["texto", "veces", "codigo", "operacion", "entidad", "falla"].map(|member| found[member].clone());
    let expected: [Value; 6] = [
        "Mesa de partes # cerrada por feriado".into(),
        1.into(),
        "-1".into(),
        "recepcionar".into(),
        ACCEPTS.into(),
        "ocupada".into(),
    ];
    assert_eq!(members, expected);
    assert_eq!(api.get("/api/v1/salud/textos").await.problem(), (403, "permiso_insuficiente".into()));
    let output = daemon.cli(&["queue", "texts"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.contains("Mesa de partes # cerrada por feriado"), "{}", said(&output));

    // A new text is stored by itself; a kill then loses nothing.
    until("the text is stored", 60, || async {
        let page = operating.get("/api/v1/eventos?limit=500").await.expect(200);
        let stored = page["items"].as_array().unwrap().iter().any(|event| event["tipo"] == "textos.actualizados");
        if stored { Ok(()) } else { Err(page.to_string()) }
    })
    .await;
    daemon.kill();
    daemon.run().await;
    assert_eq!(listed(&operating, 1).await, [found]);
}

#[tokio::test]
async fn a_rule_that_is_none_keeps_the_daemon_from_starting_and_names_its_line() {
    for (rule, words) in [
        ("texto = \"**\"\nfalla = \"ocupada\"", "abarca demasiado"),
        ("texto = \"no va\"\nfalla = \"cuo_no_valido\"", "«cuo_no_valido» no es uno de: "),
        ("texto = \"no va\"", "falta la falla"),
        ("texto = \"CUO no valido\"\nfalla = \"ocupada\"", "ya está en el catálogo"),
        ("texto = \"no va\"\nfalla = \"cargo_no_reconocido\"", "operacion = \"cargo\""),
        ("texto = \"no va\"\noperacion = \"borrar\"\nfalla = \"ocupada\"", "recepcionar, cargo, consultar"),
    ] {
        let daemon = Daemon::prepare(Setup::of(&[LIMA]).with(&format!("[[respuesta]]\n{rule}\n")), "127.0.0.1:9");
        let output = daemon.cli(&["serve"]);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{rule}: {}", said(&output));
        assert!(complaint.contains(words) && complaint.contains("chasqui.toml:"), "{rule}: {complaint}");
    }
}
