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
