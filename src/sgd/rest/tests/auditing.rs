//! The audit log as its readers meet it.

use super::*;

#[tokio::test]
async fn auditors_read_entries_by_filter_and_nobody_else_does() {
    let world = world();
    let (auditor, sgd) = (world.key(Rol::Auditor, None).await, world.key(Rol::Sgd, Some(RUC_A)).await);
    let of_b = world.key(Rol::Auditor, Some(RUC_B)).await;
    let id = world.arrival("40").await;
    for path in ["/api/v1/auditoria", "/api/v1/auditoria/checkpoint"] {
        assert_eq!(world.get(&sgd, path).await.code(), "permiso_insuficiente");
    }
    let tipos = |answer: &Value| -> Vec<String> {
        let facts = answer["items"].as_array().unwrap().iter().flat_map(|e| e["hechos"].as_array().unwrap());
        facts.map(|fact| fact["tipo"].as_str().unwrap().to_owned()).collect()
    };
    let ask = async |key: &str, query: &str| world.get(key, &format!("/api/v1/auditoria?{query}")).await.json();
    let all = ask(&auditor, "").await;
    assert_eq!(tipos(&all), ["clave.creada", "clave.creada", "clave.creada", "recepcion.recibida"]);
    assert_eq!(all["items"][3]["hoja"].as_str().map(str::len), Some(64));
    assert_eq!(tipos(&ask(&auditor, &format!("sujeto={id}")).await), ["recepcion.recibida"]);
    assert_eq!(tipos(&ask(&auditor, "tipo=recepcion&cuo=40").await), ["recepcion.recibida"]);
    assert_eq!(tipos(&ask(&auditor, "actor=local&limit=2").await).len(), 2);
    assert_eq!(tipos(&ask(&auditor, "cursor=3").await), ["recepcion.recibida"]);
    assert!(tipos(&ask(&auditor, "desde=2030-01-01").await).is_empty());
    assert_eq!(tipos(&ask(&of_b, "").await), ["clave.creada"], "of its own entity alone");
    assert_eq!(world.get(&auditor, "/api/v1/auditoria?desde=ayer").await.code(), "parametro_no_valido");
}

#[tokio::test]
async fn a_checkpoint_is_made_on_demand_and_opens_with_the_key_beside_it() {
    let world = world();
    let auditor = world.key(Rol::Auditor, None).await;
    assert_eq!(world.get(&auditor, "/api/v1/auditoria/checkpoint").await.code(), "no_existe");
    let made = world.post(&auditor, "/api/v1/auditoria/checkpoint", &Value::Null).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    assert_eq!((&made["asientos"], &made["fecha"]), (&json!(1), &json!("2026-11-21T10:00:00-05:00")));
    let key = audit::note::Verifier::parse(made["clave"].as_str().unwrap()).unwrap();
    let opened = audit::checkpoint::Checkpoint::open(made["nota"].as_str().unwrap(), &key).unwrap();
    assert_eq!(opened.size, 1);
    assert_eq!(world.get(&auditor, "/api/v1/auditoria/checkpoint").await.json(), made);
    let told = world.get(&auditor, "/api/v1/auditoria?tipo=auditoria").await.json();
    assert!(told["items"][0]["hechos"][0]["actor"].as_str().unwrap().starts_with("clave:"));
}

#[tokio::test]
async fn the_evidence_of_an_exchange_is_downloaded_by_who_may_see_it() {
    let world = world();
    let (own, other) = (world.key(Rol::Sgd, Some(RUC_A)).await, world.key(Rol::Sgd, Some(RUC_B)).await);
    let id = world.arrival("41").await;
    let path = format!("/api/v1/recepciones/{id}/evidencia");
    assert_eq!(world.get(&other, &path).await.code(), "no_existe");
    let package = world.get(&own, &path).await;
    assert_eq!(package.status, 200);
    assert_eq!(package.headers["content-type"], "application/vnd.etsi.asic-e+zip");
    assert_eq!(package.headers["content-length"].to_str().unwrap(), package.body.len().to_string());
    let report = audit::evidence::verify(std::io::Cursor::new(package.body), &audit::evidence::Trust::default());
    assert!(report.is_sound(), "{report}");
    assert!(report.to_string().contains("CUO 41"), "{report}");

    let made = world.post(&own, "/api/v1/despachos", &despacho("N-9", &pdf(900_000))).await.json();
    let path = format!("/api/v1/despachos/{}/evidencia", made["id"].as_str().unwrap());
    let package = world.get(&own, &path).await;
    assert!(audit::evidence::verify(std::io::Cursor::new(package.body), &audit::evidence::Trust::default()).is_sound());
}
