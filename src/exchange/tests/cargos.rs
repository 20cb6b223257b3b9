//! Cargos in both directions.

use super::world::*;
use crate::{
    domain::{Desenlace, EstadoDespacho, EstadoRecepcion, Id, cargo::Respuesta},
    exchange::{Actor, ExchangeError},
    store::Listing,
};

const PDF: &[u8] = b"%PDF-1.7 cargo";

fn answer(code: &str, text: &str) -> (String, String) {
    (code.into(), text.into())
}

#[tokio::test]
async fn a_cargo_closes_the_despacho_and_its_repetition_is_told_from_another() {
    let world = World::new().await;
    let id = world.dispatch().await;
    world.run_due().await;
    let good = cargo("0000000001", "R");
    assert_eq!(world.collect(&good, PDF).await, answer("0000", "RECEPCION DE CARGO EXITOSO"));
    assert_eq!(world.collect(&good, PDF).await, answer("0000", "EL CARGO YA SE ENCUENTRA REGISTRADO"));
    assert_eq!(world.collect(&good, b"%PDF other").await, answer("0002", "EL CARGO YA SE ENCUENTRA REGISTRADO"));
    assert_eq!(world.collect(&cargo("1", "O"), PDF).await, answer("0002", "EL CARGO YA SE ENCUENTRA REGISTRADO"));
    let closed = world.despacho(id).await;
    assert_eq!(closed.estado, EstadoDespacho::Recepcionado);
    assert_eq!(world.bytes(&closed.cargo.unwrap().documento.unwrap()).await, PDF);
}

#[tokio::test]
async fn a_cargo_for_nothing_of_ours_is_refused_and_a_wrong_field_hears_its_sentence() {
    let world = World::new().await;
    assert_eq!(world.collect(&cargo("9", "R"), PDF).await, answer("-1", "NO SE PUDO REGISTRAR EL CARGO"));
    let mut wrong = cargo("9", "R");
    wrong.estado = Some("X".into());
    assert_eq!(world.collect(&wrong, PDF).await, answer("0003", "Código de Estado inválido"));
    let none = world.exchange.recibir_cargo(&crate::domain::CargoTramite::default(), None, None).await;
    assert_eq!(none.codigo(), "0003");
}

#[tokio::test]
async fn the_same_cargo_many_times_at_once_is_taken_once() {
    let world = World::new().await;
    let id = world.dispatch().await;
    world.run_due().await;
    let good = cargo("0000000001", "R");
    let all = futures_util::future::join_all((0..10).map(|_| world.collect(&good, PDF))).await;
    assert!(all.iter().all(|a| a.0 == "0000"), "{all:?}");
    assert_eq!(all.iter().filter(|a| a.1 == "RECEPCION DE CARGO EXITOSO").count(), 1);
    assert_eq!(world.history(id).await.iter().filter(|f| *f == "despacho.recepcionado").count(), 1);
}

/// A document that arrived, by id.
async fn arrived(world: &World) -> Id {
    world.receive(&arrival("0000000019"), b"%PDF-1.7 x").await;
    let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 1 };
    world.exchange.store().recepciones(listing).await.unwrap().items[0].id
}

async fn acknowledge(world: &World, id: Id, desenlace: Desenlace) -> Result<(), ExchangeError> {
    let pdf = world.stage(PDF).await;
    world.exchange.responder(&Actor::local(), None, id, &respuesta(desenlace), Some(pdf)).await.map(|_| ())
}

#[tokio::test]
async fn our_cargo_is_delivered_until_it_is_accepted() {
    let world = World::new().await;
    let id = arrived(&world).await;
    let refusals = [Ok(Respuesta::default()), Err(unclear("HTML")), Ok(Respuesta::nueva("-1", "error"))];
    world.platform.cargos.lock().unwrap().extend(refusals);
    acknowledge(&world, id, Desenlace::Recepcionado).await.unwrap();
    assert_eq!(world.recepcion(id).await.estado, EstadoRecepcion::Recepcionado);
    for _ in 0..3 {
        assert!(world.run_next().await);
        let waiting = world.recepcion(id).await;
        assert!(waiting.cargo_entregado_en.is_none() && waiting.ultimo_error.is_some());
    }
    assert!(world.run_next().await);
    let delivered = world.recepcion(id).await;
    assert!(delivered.cargo_entregado_en.is_some() && delivered.ultimo_error.is_none());
    assert_eq!(world.platform.calls().len(), 4);
    assert!(!world.run_next().await);
}

#[tokio::test]
async fn a_cargo_that_is_there_already_counts_as_delivered_whatever_the_code() {
    let world = World::new().await;
    let id = arrived(&world).await;
    let there = Respuesta::nueva("0002", "El cargo ya se encuentra registrado");
    world.platform.cargos.lock().unwrap().push_back(Ok(there));
    acknowledge(&world, id, Desenlace::Recepcionado).await.unwrap();
    world.run_due().await;
    assert!(world.recepcion(id).await.cargo_entregado_en.is_some());
}

#[tokio::test]
async fn an_answer_is_final_and_its_repetition_changes_nothing() {
    let world = World::new().await;
    let id = arrived(&world).await;
    acknowledge(&world, id, Desenlace::Recepcionado).await.unwrap();
    let version = world.recepcion(id).await.version;
    world.advance(std::time::Duration::from_secs(60));
    acknowledge(&world, id, Desenlace::Recepcionado).await.unwrap();
    assert_eq!(world.recepcion(id).await.version, version);
    assert!(matches!(acknowledge(&world, id, Desenlace::Observado).await, Err(ExchangeError::Estado(_))));
    assert_eq!(world.run_due().await, 1, "one delivery");
}

#[tokio::test]
async fn an_observation_needs_its_reason_and_an_answer_its_pdf() {
    let world = World::new().await;
    let id = arrived(&world).await;
    let mut silent = respuesta(Desenlace::Observado);
    silent.observacion = None;
    let pdf = world.stage(PDF).await;
    let refused = world.exchange.responder(&Actor::local(), None, id, &silent, Some(pdf)).await;
    assert!(matches!(refused, Err(ExchangeError::Defectos(d)) if d[0].campo == "observacion"));
    let mut bare = respuesta(Desenlace::Recepcionado);
    bare.contenido = crate::domain::Contenido::Ausente;
    let refused = world.exchange.responder(&Actor::local(), None, id, &bare, None).await;
    assert!(matches!(refused, Err(ExchangeError::Defectos(d)) if d[0].campo == "cargo.contenido"));
    assert_eq!(world.recepcion(id).await.estado, EstadoRecepcion::Pendiente);
}

#[tokio::test]
async fn a_document_is_filed_once_and_the_cargo_carries_that_number() {
    let world = World::new().await;
    let id = arrived(&world).await;
    let actor = Actor::local();
    for _ in 0..2 {
        world.exchange.registrar(&actor, None, id, "1234", None).await.unwrap();
    }
    let other = world.exchange.registrar(&actor, None, id, "1235", None).await;
    assert!(matches!(other, Err(ExchangeError::Estado(_))));
    assert_eq!(world.history(id).await, ["recepcion.recibida", "recepcion.registrada"]);
    acknowledge(&world, id, Desenlace::Recepcionado).await.unwrap();
    assert_eq!(world.recepcion(id).await.cargo.unwrap().numero_registro.as_deref(), Some("1234"));
}

#[tokio::test]
async fn another_entitys_document_does_not_exist() {
    let world = World::new().await;
    let id = arrived(&world).await;
    let refused = world.exchange.registrar(&Actor::local(), Some(&ruc(OTRA)), id, "1", None).await;
    assert!(matches!(refused, Err(ExchangeError::NoExiste)));
}
