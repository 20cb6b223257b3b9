//! Every fault at once, each at 20 %, both ways between two daemons; at the end the platform's ledger and both stores are
//! compared: nothing lost, nothing twice, everything ended.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::world::{Entities, World, one_copy};
use crate::{
    pdf::pdf,
    rest::{despacho, text},
};

/// How many exchanges, if `CHASQUI_FAULTS_EXCHANGES` does not say.
const EXCHANGES: usize = 40;

/// Breakers have their own tests; here they would only make the run wait.
const MORE: &str = "[pide]\ntotal_timeout = \"2s\"\n[retry]\nfirst_delay = \"20ms\"\ndelay_max = \"80ms\"\n\
                    ask_after = \"20ms\"\nbreaker_failures = 1000000\n";

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn every_fault() -> Vec<Value> {
    let mut faults = vec![
        json!({"falla": "demora", "tiempo": "100ms"}),
        json!({"falla": "demora", "tiempo": "100ms", "antes": true}),
        json!({"falla": "corte"}),
        json!({"falla": "corte", "entregada": false}),
        json!({"falla": "corte_a_medias"}),
        json!({"falla": "fallo_500"}),
        json!({"falla": "error_503"}),
        json!({"falla": "html"}),
        json!({"falla": "vacia"}),
        json!({"falla": "nula"}),
        json!({"falla": "sin_vdesres"}),
        // Not on CUOs: a platform that gives one CUO to two documents makes the receiver's answers mean nothing.
        json!({"falla": "codigo", "valor": "9999", "operacion": ["recepcionar", "cargo", "consultar"]}),
        json!({"falla": "caida"}),
        json!({"falla": "duplicada"}),
        json!({"falla": "duplicada", "copias": 3, "a_la_vez": true}),
        json!({"falla": "cargo_antes", "tiempo": "500ms"}),
        json!({"falla": "cargo_distinto"}),
        json!({"falla": "gzip"}),
        json!({"falla": "cierra_conexion"}),
        json!({"falla": "charset"}),
        json!({"falla": "reloj", "desfase": "2h"}),
    ];
    faults.iter_mut().for_each(|fault| fault["probabilidad"] = json!(0.2));
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_fault_at_20_percent_nothing_is_lost_nothing_is_twice_and_all_end() {
    let (count, seed) = (number("CHASQUI_FAULTS_EXCHANGES", EXCHANGES), number("CHASQUI_FAULTS_SEED", 20_261_122));
    println!("{count} exchanges, seed {seed}");
    let sides = [Entities::numbered(1_000, 4), Entities::numbered(2_000, 4)];
    let script = json!({"semilla": seed, "falla": every_fault()});
    let mut world = World::start(script, &sides[0], &sides[1], MORE).await;
    let mut sent = Vec::new();
    for n in 0..count {
        let from = n % 2;
        let (own, other) = (sides[from].ruc(n % 4), sides[1 - from].ruc((n / 4) % 4));
        let mut datos = despacho(&format!("2026-{n}"), other);
        datos["entidad"] = json!(own);
        let api = if from == 0 { &world.sender } else { &world.receiver };
        let made = api.dispatch(&datos, &pdf(n as u64, 3_000)).await;
        sent.push((from, other, format!("/api/v1/despachos/{}", text(&made, "id"))));
    }
    world.answer_all(count).await;
    let mut closed = Vec::new();
    for (from, other, path) in &sent {
        let (api, there) = if *from == 0 { (&world.sender, &world.receiver) } else { (&world.receiver, &world.sender) };
        let despacho = until_closed(api, path).await;
        one_copy(there, other, &despacho).await;
        closed.push(despacho);
    }
    compare(&world.platform.operations().await, &closed);
    for api in [&world.sender, &world.receiver] {
        assert!(api.list("/api/v1/cola").await.iter().all(|job| job["tipo"] != "despachar"), "a send goes on");
    }
}

async fn until_closed(api: &crate::rest::Api, path: &str) -> Value {
    crate::patience::until(&format!("{path} is recepcionado"), 300, || async {
        let record = api.get(path).await.expect(200);
        if record["estado"] == "recepcionado" { Ok(record) } else { Err(record.to_string()) }
    })
    .await
}

/// The platform's account of what it delivered against what the senders hold.
fn compare(operations: &[Value], closed: &[Value]) {
    let accepted = |o: &Value| o["entregas"].as_array().is_some_and(|all| all.iter().any(|e| e["vcodres"] == "0000"));
    let mut documents: HashMap<&str, &str> = HashMap::new();
    for o in operations.iter().filter(|o| o["operacion"] == "recepcionar" && accepted(o)) {
        let before = documents.insert(text(o, "cuo"), text(o, "sha256"));
        assert!(before.is_none_or(|sha256| sha256 == text(o, "sha256")), "two documents under one CUO: {o}");
    }
    assert_eq!(documents.len(), closed.len(), "documents delivered");
    for despacho in closed {
        let (cuo, sha256) = (text(despacho, "cuo"), text(&despacho["documento"], "sha256"));
        assert_eq!(documents.get(cuo), Some(&sha256), "{despacho}");
        let cargo = text(&despacho["cargo"]["documento"], "sha256");
        let came = |o: &&Value| o["operacion"] == "cargo" && o["cuo"] == cuo && o["sha256"] == cargo;
        assert!(operations.iter().any(|o| came(&o)), "no cargo passed for {cuo}");
    }
    let struck: usize = operations.iter().map(|o| o["fallas"].as_array().map_or(0, Vec::len)).sum();
    println!("{} operations, {struck} faults struck", operations.len());
    assert!(struck > operations.len(), "the faults were there");
}
