//! Webhooks over a real store, with a receiver that a test scripts and a clock that it moves.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{transport::Letter, *};
use crate::exchange::tests::world::{World, arrival};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Takes what it is told unless it is down or the event is of a document it does not take.
#[derive(Default)]
struct Receiver {
    taken: Mutex<Vec<(String, Value)>>,
    tried: Mutex<Vec<String>>,
    down: Mutex<bool>,
    poison: Mutex<HashSet<String>>,
    answer: Mutex<Option<Value>>,
    retry_after: Mutex<Option<Duration>>,
}

#[async_trait]
impl Transport for Receiver {
    async fn post(&self, letter: Letter) -> Result<Accepted, Refused> {
        let body: Value = serde_json::from_slice(&letter.body).unwrap();
        let cuo = body["data"]["cuo"].as_str().unwrap_or_default().to_owned();
        let what = format!("{} {cuo}", body["type"].as_str().unwrap());
        self.tried.lock().unwrap().push(what.clone());
        if *self.down.lock().unwrap() || self.poison.lock().unwrap().contains(&cuo) {
            let retry_after = *self.retry_after.lock().unwrap();
            return Err(Refused { motivo: "receptor respondió HTTP 500".into(), status: Some(500), retry_after });
        }
        self.taken.lock().unwrap().push((what, body));
        let answer = self.answer.lock().unwrap().as_ref().map_or(Vec::new(), |value| value.to_string().into_bytes());
        Ok(Accepted { status: 200, answer, took: Duration::ZERO })
    }
}

impl Receiver {
    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(|(what, _)| what.clone()).collect()
    }

    fn tried(&self) -> usize {
        self.tried.lock().unwrap().len()
    }

    fn poisoned(&self, cuo: &str) {
        self.poison.lock().unwrap().insert(cuo.into());
    }
}

fn endpoint(receiver: &Arc<Receiver>) -> Endpoint {
    let options = Options {
        nombre: "sgd".into(),
        url: "https://sgd.pe/x".into(),
        entidad: None,
        sucesos: config::webhook::EVENTS.map(str::to_owned).into(),
        concurrency: 1,
        retry: [5, 300, 1800].map(Duration::from_secs).into(),
        pause_failures: 5,
        pause: Duration::from_secs(60),
        pause_max: Duration::from_secs(600),
    };
    let keys = Keys::new(&config::webhook::keys(SECRET).unwrap());
    Endpoint::new(options, Speech::Signed(keys), Arc::<Receiver>::clone(receiver))
}

/// A world with a webhook that follows it from its beginning.
async fn world() -> (World, Arc<Receiver>, Endpoint) {
    let (world, receiver) = (World::new().await, Arc::new(Receiver::default()));
    let endpoint = endpoint(&receiver);
    endpoint.estado(&world.exchange).await.unwrap();
    (world, receiver, endpoint)
}

/// Tells all that can be told now.
async fn turn(world: &World, endpoint: &Endpoint) -> Next {
    let stop = CancellationToken::new();
    loop {
        match endpoint.round(&world.exchange, &stop).await.unwrap() {
            Next::Now => {}
            Next::At(at) if at <= world.exchange.now() => {}
            next => return next,
        }
    }
}

async fn receive(world: &World, cuo: &str) -> Id {
    assert_eq!(world.receive(&arrival(cuo), b"%PDF-1.7 x").await.0, "0000");
    let entidad = Ruc::de_contraparte(crate::exchange::tests::world::NUESTRA).unwrap();
    let found = world.exchange.store().recepciones_by_cuo(&entidad, &crate::domain::Cuo::parse(cuo).unwrap()).await;
    found.unwrap()[0].id
}

#[tokio::test]
async fn every_event_that_was_asked_for_is_told_once_with_its_record_and_nothing_of_before() {
    let world = World::new().await;
    receive(&world, "0000000001").await;
    let receiver = Arc::new(Receiver::default());
    let endpoint = endpoint(&receiver);
    turn(&world, &endpoint).await;
    receive(&world, "0000000002").await;
    world.dispatch().await;
    world.run_due().await;
    assert_eq!(turn(&world, &endpoint).await, Next::News);
    turn(&world, &endpoint).await;
    assert_eq!(receiver.taken(), ["recepcion.recibida 0000000002", "despacho.enviado 0000000001"]);
    let taken = receiver.taken.lock().unwrap();
    let (_, first) = &taken[0];
    assert_eq!(first["timestamp"], "2026-11-20T10:00:00-05:00");
    assert_eq!(first["data"]["recepcion"]["asunto"], "Asunto");
    assert_eq!(first["data"]["id"], first["data"]["recepcion"]["id"]);
    assert_eq!(first["data"].get("despacho"), None);
    assert!(taken[1].1["data"]["despacho"]["numero_registro"].is_string());
}

#[tokio::test]
async fn an_event_that_fails_holds_up_its_own_exchange_alone_and_in_order() {
    let (world, receiver, endpoint) = world().await;
    receiver.poisoned("1");
    world.dispatch().await;
    world.run_due().await;
    let sent = "despacho.enviado 0000000001";
    receiver.poison.lock().unwrap().insert("0000000001".into());
    turn(&world, &endpoint).await;
    // Its next event waits behind the first; another document's does not.
    world.collect(&crate::exchange::tests::world::cargo("1", "R"), b"%PDF-1.7 c").await;
    receive(&world, "0000000009").await;
    let next = turn(&world, &endpoint).await;
    assert_eq!(receiver.taken(), ["recepcion.recibida 0000000009"]);
    assert_eq!(*receiver.tried.lock().unwrap().first().unwrap(), sent);
    assert!(matches!(next, Next::At(at) if at > world.exchange.now()), "{next:?}");
    let view = endpoint.view(&world.exchange).await.unwrap();
    assert_eq!((view.situacion, view.retenidos, view.detalle_retenidos[0].intentos), (Situacion::ConErrores, 1, 1));

    receiver.poison.lock().unwrap().clear();
    world.advance(Duration::from_secs(6));
    turn(&world, &endpoint).await;
    assert_eq!(receiver.taken()[1..], [sent, "despacho.recepcionado 0000000001"]);
    assert_eq!(endpoint.view(&world.exchange).await.unwrap().situacion, Situacion::Bien);
}

#[tokio::test]
async fn waits_follow_the_table_and_what_the_receiver_asks_and_then_it_is_given_up_with_an_alert() {
    let (world, receiver, endpoint) = world().await;
    receiver.poisoned("0000000001");
    let id = receive(&world, "0000000001").await;
    turn(&world, &endpoint).await;
    for (wait, tries) in [(4, 1), (2, 2), (200, 2), (131, 3), (1981, 4)] {
        world.advance(Duration::from_secs(wait));
        turn(&world, &endpoint).await;
        assert_eq!(receiver.tried(), tries, "after {wait} s more");
    }
    let history = world.exchange.store().facts_of(id).await.unwrap();
    let alert = &history.last().unwrap().fact;
    assert_eq!((alert.tipo.as_str(), alert.estado.as_deref()), (ALERTA, Some("aviso_abandonado")));
    assert!(alert.detalle.as_deref().unwrap().contains(&format!("chasqui webhook replay sgd --exchange {id}")));

    // The alert is of that exchange, which it does not take: given up too, without another alert. Then a person repeats.
    receiver.poison.lock().unwrap().clear();
    turn(&world, &endpoint).await;
    endpoint.repetir(&world.exchange, &Actor::local(), Desde::Intercambio(id)).await.unwrap();
    turn(&world, &endpoint).await;
    let taken = receiver.taken();
    assert_eq!(taken.iter().filter(|what| *what == "recepcion.recibida 0000000001").count(), 1, "{taken:?}");

    *receiver.retry_after.lock().unwrap() = Some(Duration::from_secs(900));
    receiver.poisoned("0000000002");
    receive(&world, "0000000002").await;
    let next = turn(&world, &endpoint).await;
    assert_eq!(next, Next::At(later(world.exchange.now(), Duration::from_secs(900))));
}

#[tokio::test]
async fn the_attempts_of_an_event_that_was_due_and_not_tried_count_on() {
    let (world, receiver, endpoint) = world().await;
    receiver.poisoned("0000000001");
    receive(&world, "0000000001").await;
    turn(&world, &endpoint).await;
    world.advance(Duration::from_secs(6));
    turn(&world, &endpoint).await;
    world.advance(Duration::from_secs(400));
    let stopping = CancellationToken::new();
    stopping.cancel();
    endpoint.round(&world.exchange, &stopping).await.unwrap();
    assert_eq!(receiver.tried(), 2, "whoever stops tries nothing more");
    let view = endpoint.view(&world.exchange).await.unwrap();
    assert_eq!(view.detalle_retenidos[0].intentos, 2);
    assert!(view.detalle_retenidos[0].ultimo_error.is_some());
    turn(&world, &endpoint).await;
    assert_eq!(endpoint.view(&world.exchange).await.unwrap().detalle_retenidos[0].intentos, 3);
}

#[tokio::test]
async fn a_webhook_that_is_down_is_left_alone_with_an_alert_and_gets_everything_when_it_is_back() {
    let (world, receiver, endpoint) = world().await;
    *receiver.down.lock().unwrap() = true;
    for n in 1..=20 {
        receive(&world, &format!("{n:010}")).await;
    }
    turn(&world, &endpoint).await;
    assert_eq!(receiver.tried(), 5, "then it is left alone");
    let about = world.exchange.store().facts_of(endpoint.id).await.unwrap();
    assert_eq!(about.last().unwrap().fact.estado.as_deref(), Some("webhook_en_pausa"));
    let view = endpoint.view(&world.exchange).await.unwrap();
    assert_eq!(view.situacion, Situacion::EnPausa);
    assert!(view.ultimo_error.unwrap().contains("HTTP 500"));

    // A day down: one probe each time, ever more seldom, and nothing is given up.
    for _ in 0..24 * 6 {
        world.advance(Duration::from_secs(600));
        turn(&world, &endpoint).await;
    }
    let tried = receiver.tried();
    assert!((100..160).contains(&tried), "{tried}");
    // A restart does not forget it, and does not tell of it again.
    let endpoint = self::endpoint(&receiver);
    turn(&world, &endpoint).await;
    assert_eq!(world.exchange.store().facts_of(endpoint.id).await.unwrap().len(), 1);

    *receiver.down.lock().unwrap() = false;
    world.advance(Duration::from_secs(700));
    turn(&world, &endpoint).await;
    turn(&world, &endpoint).await;
    let taken: HashSet<String> = receiver.taken().into_iter().collect();
    for n in 1..=20 {
        assert!(taken.contains(&format!("recepcion.recibida {n:010}")), "{taken:?}");
    }
    assert_eq!(receiver.taken().len(), 20 + 2, "each once, and both alerts: {:?}", receiver.taken());
    assert_eq!(endpoint.view(&world.exchange).await.unwrap().situacion, Situacion::Bien);
}

#[tokio::test]
async fn one_poisoned_document_never_pauses_the_webhook() {
    let (world, receiver, endpoint) = world().await;
    receiver.poisoned("0000000001");
    receive(&world, "0000000001").await;
    for n in 2..=12 {
        turn(&world, &endpoint).await;
        world.advance(Duration::from_secs(2000));
        receive(&world, &format!("{n:010}")).await;
    }
    turn(&world, &endpoint).await;
    assert_eq!(endpoint.view(&world.exchange).await.unwrap().en_pausa_desde, None);
    assert!(receiver.taken().contains(&"recepcion.recibida 0000000012".to_owned()));
}

#[tokio::test]
async fn after_a_crash_what_was_not_stored_as_told_is_told_again_under_the_same_id() {
    let (world, receiver, endpoint) = world().await;
    receive(&world, "0000000001").await;
    turn(&world, &endpoint).await;
    receive(&world, "0000000002").await;
    // The process dies after the receiver has it and before that is stored.
    let found = world.exchange.store().facts(Cursor::default(), None, 10).await.unwrap();
    let second = found.iter().filter(|at| at.fact.tipo == "recepcion.recibida").nth(1).unwrap();
    endpoint.tell(&world.exchange, second).await.unwrap();
    drop(endpoint);
    let endpoint = self::endpoint(&receiver);
    turn(&world, &endpoint).await;
    let taken = receiver.taken();
    assert_eq!(taken[1..], ["recepcion.recibida 0000000002", "recepcion.recibida 0000000002"]);
    let id = message::id(second);
    assert!(!id.contains('.') && id.starts_with("evt_"), "{id}");
}

#[tokio::test]
async fn an_answer_with_a_number_files_the_document_and_one_that_is_no_number_alerts() {
    let (world, receiver, endpoint) = world().await;
    *receiver.answer.lock().unwrap() = Some(json!({"numero_registro": " E-2026-7 "}));
    let id = receive(&world, "0000000001").await;
    turn(&world, &endpoint).await;
    assert_eq!(world.recepcion(id).await.numero_registro.as_deref(), Some("E-2026-7"));
    let actors: Vec<String> =
        world.exchange.store().facts_of(id).await.unwrap().into_iter().map(|at| at.fact.actor).collect();
    assert_eq!(actors.last().map(String::as_str), Some("webhook:sgd"));

    *receiver.answer.lock().unwrap() = Some(json!({"numero_registro": "un número de más de catorce"}));
    let id = receive(&world, "0000000002").await;
    turn(&world, &endpoint).await;
    assert_eq!(world.recepcion(id).await.numero_registro, None);
    let history = world.exchange.store().facts_of(id).await.unwrap();
    assert_eq!(history.last().unwrap().fact.estado.as_deref(), Some("numero_no_anotado"));
}

#[tokio::test]
async fn what_was_told_is_told_again_from_a_moment_or_a_place() {
    let (world, receiver, endpoint) = world().await;
    for n in 1..=6 {
        receive(&world, &format!("{n:010}")).await;
        world.advance(Duration::from_secs(60));
    }
    turn(&world, &endpoint).await;
    let fourth = crate::domain::lima::leer("2026-11-20T10:03:00").unwrap();
    endpoint.repetir(&world.exchange, &Actor::local(), Desde::Momento(fourth)).await.unwrap();
    turn(&world, &endpoint).await;
    let again: Vec<String> = receiver.taken().split_off(6);
    assert_eq!(again, ["4", "5", "6"].map(|n| format!("recepcion.recibida 000000000{n}")));
    endpoint.repetir(&world.exchange, &Actor::local(), Desde::Cursor(Cursor::default())).await.unwrap();
    turn(&world, &endpoint).await;
    assert_eq!(receiver.taken().len(), 9 + 6);
    let told = world.exchange.store().facts_of(endpoint.id).await.unwrap();
    assert_eq!((told.len(), told[0].fact.tipo.as_str()), (2, "webhook.repetido"));
}

#[tokio::test]
async fn a_webhook_of_one_entity_is_told_nothing_of_another_and_only_its_keys_see_it() {
    let (world, receiver) = (World::new().await, Arc::new(Receiver::default()));
    let mut other = endpoint(&receiver);
    other.options.entidad = Ruc::de_contraparte(crate::exchange::tests::world::OTRA).ok();
    turn(&world, &other).await;
    receive(&world, "0000000001").await;
    turn(&world, &other).await;
    assert_eq!(receiver.tried(), 0);

    let acceso = |entidad: Option<&str>| Acceso {
        entidad: entidad.map(|ruc| Ruc::de_contraparte(ruc).unwrap()),
        ..Acceso::local()
    };
    let webhooks = Webhooks(Arc::from([Arc::new(other), Arc::new(endpoint(&receiver))]));
    let seen = |entidad| webhooks.of(&acceso(entidad)).count();
    use crate::exchange::tests::world::{NUESTRA, OTRA};
    assert_eq!((seen(None), seen(Some(OTRA)), seen(Some(NUESTRA))), (2, 1, 0));
}

#[tokio::test]
async fn a_ping_is_signed_and_wakes_one_that_was_left_alone() {
    let (world, receiver, endpoint) = world().await;
    *receiver.down.lock().unwrap() = true;
    for n in 1..=6 {
        receive(&world, &format!("{n:010}")).await;
    }
    turn(&world, &endpoint).await;
    assert!(endpoint.ping(&world.exchange).await.unwrap_err().motivo.contains("HTTP 500"));
    *receiver.down.lock().unwrap() = false;
    endpoint.ping(&world.exchange).await.unwrap();
    turn(&world, &endpoint).await;
    let taken = receiver.taken();
    assert_eq!((taken[0].as_str(), taken.len()), ("ping ", 1 + 6 + 2), "{taken:?}");
}

#[tokio::test]
async fn a_receiver_that_rejects_very_many_documents_waits_as_a_whole_with_one_alert_and_loses_nothing() {
    let (world, receiver, endpoint) = world().await;
    for n in 1..=400 {
        let cuo = format!("{n:010}");
        if n % 3 != 0 {
            receiver.poisoned(&cuo);
        }
        receive(&world, &cuo).await;
    }
    for _ in 0..3 {
        turn(&world, &endpoint).await;
    }
    let view = endpoint.view(&world.exchange).await.unwrap();
    assert!(view.retenidos <= HELD_MAX && view.atraso > 0, "{} {}", view.retenidos, view.atraso);
    let told = world.exchange.store().facts_of(endpoint.id).await.unwrap();
    assert_eq!(told.iter().filter(|at| at.fact.estado.as_deref() == Some("webhook_lleno")).count(), 1);

    receiver.poison.lock().unwrap().clear();
    world.advance(Duration::from_secs(6));
    turn(&world, &endpoint).await;
    turn(&world, &endpoint).await;
    let taken: HashSet<String> = receiver.taken().into_iter().filter(|what| what.starts_with("recepcion")).collect();
    assert_eq!(taken.len(), 400);
    assert_eq!(endpoint.view(&world.exchange).await.unwrap().atraso, 0);
}
