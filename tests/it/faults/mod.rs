//! Whole daemons against a platform that goes wrong: for every kind of fault and every operation it can strike, exchanges
//! end in the right state with one copy at the receiver and the cargo back, and the histories tell what happened.

mod cases;
mod mixed;
mod world;

use serde_json::{Value, json};

use self::{
    cases::{Case, Tells},
    world::{Entities, World},
};
use crate::{
    daemon::{CUSCO, Setup},
    patience::until,
    pdf::{pdf, sha256},
    platform::Platform,
    rest::{despacho, text},
};

/// Waits of people's time would be waits of the tests.
const SHORT: &str = "[pide]\ntotal_timeout = \"5s\"\n[retry]\nfirst_delay = \"200ms\"\ndelay_max = \"1s\"\n\
                     ask_after = \"200ms\"\nbreaker_pause = \"200ms\"\nbreaker_pause_max = \"1s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_on_every_operation_ends_with_one_copy_and_its_cargo() {
    let cases = cases::all();
    let senders = Entities::numbered(1_000, cases.len());
    let receivers = Entities::numbered(2_000, cases.len());
    let rules: Vec<Value> =
        (0..).zip(&cases).flat_map(|(n, case)| case.rules(senders.ruc(n), receivers.ruc(n))).collect();
    let mut world = World::start(json!({"semilla": 1, "falla": rules}), &senders, &receivers, SHORT).await;
    let mut sent = Vec::new();
    for (n, case) in (0..).zip(&cases) {
        let mut datos = despacho(&format!("2026-{n}"), receivers.ruc(n));
        datos["entidad"] = json!(senders.ruc(n));
        datos["asunto"] = json!(case.name);
        let made = world.sender.dispatch(&datos, &pdf(n as u64, 4_000)).await;
        sent.push(text(&made, "id").to_owned());
    }
    world.answer_all(cases.len()).await;
    for (n, case) in (0..).zip(&cases) {
        let despacho = world.sender.until_state(&format!("/api/v1/despachos/{}", sent[n]), "recepcionado").await;
        let recepcion = world.one_copy(receivers.ruc(n), &despacho).await;
        assert_eq!(text(&despacho["documento"], "sha256"), sha256(&pdf(n as u64, 4_000)), "{}", case.name);
        let histories = [
            world.sender.facts(&format!("/api/v1/despachos/{}", sent[n])).await,
            world.receiver.facts(&format!("/api/v1/recepciones/{}", text(&recepcion, "id"))).await,
        ];
        case.check(&histories.concat());
        // What is delayed is on the account once it was delivered, and by then another try may have closed the exchange.
        until(&format!("{} struck", case.name), 20, || async {
            let operations = world.platform.operations().await;
            let of_case =
                |o: &&Value| o["cuo"] == despacho["cuo"] || o["operacion"] == "cuo" && o["de"] == senders.ruc(n);
            let struck = operations.iter().filter(of_case).any(|o| case.struck(o));
            if struck { Ok(()) } else { Err("no fault struck".to_owned()) }
        })
        .await;
    }
    assert_eq!(world.in_store().await, [cases.len(); 2], "no other record is anywhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_accepts_and_then_resets_every_time_ends_with_one_copy_and_state_e() {
    let (senders, receivers) = (Entities::numbered(1_000, 1), Entities::numbered(2_000, 1));
    let always = json!([{"falla": "corte", "operacion": "recepcionar"}]);
    let mut world = World::start(json!({"falla": always}), &senders, &receivers, SHORT).await;
    let mut datos = despacho("2026-1", receivers.ruc(0));
    datos["entidad"] = json!(senders.ruc(0));
    let made = world.sender.dispatch(&datos, &pdf(1, 4_000)).await;
    let sent = world.sender.until_state(&format!("/api/v1/despachos/{}", text(&made, "id")), "enviado").await;
    assert_eq!(sent["cflgest"], "E");
    world.answer_all(1).await;
    let closed = world.sender.until_state(&format!("/api/v1/despachos/{}", text(&made, "id")), "recepcionado").await;
    world.one_copy(receivers.ruc(0), &closed).await;
    let sends = world.platform.operations().await.iter().filter(|o| o["operacion"] == "recepcionar").count();
    assert_eq!(sends, 1, "it was asked for, not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_is_there_in_the_end_whatever_goes_wrong_on_its_way() {
    // Each kind strikes one request of its own.
    let mut rules = Vec::new();
    for operacion in ["lista-entidades", "tipos"] {
        let kinds = ["corte", "corte_a_medias", "fallo_500", "error_503", "html", "vacia", "gzip", "cierra_conexion"];
        for (n, kind) in (1..).zip(kinds) {
            rules.push(json!({"falla": kind, "operacion": operacion, "cada": n, "veces": 1}));
        }
    }
    let (platform, mut daemons) =
        Platform::with_faults(json!({"falla": rules}), [Setup::of(&[CUSCO]).with(SHORT)]).await;
    let api = daemons[0].api();
    until("the directory has all that the platform has", 60, || async {
        let mut known = 0;
        for categoria in 1..=8 {
            known += api.list(&format!("/api/v1/entidades?categoria={categoria}")).await.len();
        }
        let types = api.list("/api/v1/tipos-documento").await.len();
        // The samples, the counterparts, the simulator's own entity and the daemon's.
        if known == 22 + 4 + 2 && types > 1 { Ok(()) } else { Err(format!("{known} entities, {types} types")) }
    })
    .await;
    let struck: Vec<String> = platform
        .operations()
        .await
        .iter()
        .flat_map(|o| o["fallas"].as_array().unwrap().clone())
        .map(|f| f.to_string())
        .collect();
    assert!(struck.len() > 8, "{struck:?}");
}

impl Case {
    /// Whether this fault struck an operation.
    fn struck(&self, operation: &Value) -> bool {
        operation["operacion"] == self.operacion
            && operation["fallas"].as_array().is_some_and(|f| f.contains(&self.fault["falla"]))
    }

    /// The histories of both sides tell of it, or have nothing to tell.
    fn check(&self, history: &[Value]) {
        let told = |word: &str| history.iter().any(|fact| fact["tipo"] == word);
        let unclear = match self.operacion {
            "recepcionar" => "despacho.por_confirmar",
            "cargo" => "recepcion.cargo_sin_respuesta",
            _ => "despacho.sin_respuesta",
        };
        let name = &self.name;
        match self.tells {
            // A cargo may overtake the end of the send, which then has nothing unclear any more.
            Tells::Unclear => {
                let overtaken = ["recepcionar", "consultar"].contains(&self.operacion) && !told("despacho.enviado");
                assert!(told(unclear) || overtaken, "{name}: no {unclear} in {history:?}");
            }
            Tells::Clean => assert!(!told(unclear), "{name}: {unclear} in {history:?}"),
            Tells::Either => {}
        }
        for word in ["despacho.enviado", "despacho.recepcionado", "recepcion.recibida", "recepcion.cargo_enviado"] {
            // A cargo that is there before the send has ended leaves no "enviado".
            let early = word == "despacho.enviado" && told("despacho.recepcionado");
            assert!(told(word) || early, "{name}: no {word} in {history:?}");
        }
    }
}
