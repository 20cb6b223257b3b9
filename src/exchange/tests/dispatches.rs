//! What the SGD may hand over, and how often.

use super::world::*;
use crate::{
    domain::{Contenido, EstadoDespacho, Sha256},
    exchange::{Actor, ExchangeError, Idempotency, NuevoDespacho},
};

async fn hand_over(
    world: &World,
    nuevo: NuevoDespacho,
    idempotency: Option<&Idempotency>,
) -> Result<Vec<crate::domain::Despacho>, ExchangeError> {
    let pdf = world.stage(b"%PDF-1.7 x").await;
    world.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &nuevo, Some(pdf), idempotency).await
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once_and_nothing_is_stored() {
    let world = World::new().await;
    let wrong = NuevoDespacho {
        numero_registro: None,
        destinos: vec!["20537630221".into()],
        asunto: None,
        tipo_documento: Some("77".into()),
        contenido: Contenido::NoPdf,
        ..nuevo()
    };
    let Err(ExchangeError::Defectos(defectos)) = hand_over(&world, wrong, None).await else { panic!("accepted") };
    let fields: Vec<&str> = defectos.iter().map(|d| d.campo).collect();
    assert_eq!(fields, ["destino", "numero_registro", "tipo_documento", "asunto", "documento.contenido"]);
    assert_eq!(world.run_due().await, 0);
}

#[tokio::test]
async fn one_number_goes_to_each_destination_once() {
    let world = World::new().await;
    let both = NuevoDespacho { destinos: vec![OTRA.into(), "11111111111".into()], ..nuevo() };
    let made = hand_over(&world, both, None).await.unwrap();
    assert_eq!(made.len(), 2);
    let again = hand_over(&world, nuevo(), None).await;
    assert!(matches!(again, Err(ExchangeError::Duplicado { id }) if id == made[0].id));
    assert_eq!(world.run_due().await, 2);
    assert_ne!(world.despacho(made[0].id).await.cuo, world.despacho(made[1].id).await.cuo);
}

#[tokio::test]
async fn an_idempotency_key_gives_the_first_result_again_and_refuses_another_request() {
    let world = World::new().await;
    let key = |n: u8| Idempotency { key: "k".into(), huella: Sha256::from_digest(&[n; 32]) };
    let first = hand_over(&world, nuevo(), Some(&key(1))).await.unwrap();
    world.run_due().await;
    let again = hand_over(&world, nuevo(), Some(&key(1))).await.unwrap();
    assert_eq!(again[0].id, first[0].id);
    assert_eq!(again[0].estado, EstadoDespacho::Enviado, "as it is now");
    let other = NuevoDespacho { numero_registro: Some("2".into()), ..nuevo() };
    assert!(matches!(hand_over(&world, other, Some(&key(2))).await, Err(ExchangeError::IdempotencyReused)));
}

#[tokio::test]
async fn the_same_request_twice_at_once_makes_one_despacho() {
    let world = World::new().await;
    let key = Idempotency { key: "k".into(), huella: Sha256::from_digest(&[1; 32]) };
    let all = futures_util::future::join_all((0..8).map(|_| hand_over(&world, nuevo(), Some(&key)))).await;
    let ids: std::collections::HashSet<_> = all.into_iter().map(|made| made.unwrap()[0].id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.run_due().await, 1);
}

#[tokio::test]
async fn an_observed_document_is_subsanado_once_the_new_one_is_accepted() {
    let world = World::new().await;
    let observed = world.dispatch().await;
    world.run_due().await;
    world.collect(&cargo("0000000001", "O"), b"%PDF-1.7 c").await;
    let correction =
        NuevoDespacho { numero_registro: Some("2026-000124".into()), referencia: Some("0000000001".into()), ..nuevo() };
    world.dispatch_as(correction).await;
    assert_eq!(world.despacho(observed).await.estado, EstadoDespacho::Observado, "not before it is accepted");
    world.run_due().await;
    assert_eq!(world.despacho(observed).await.estado, EstadoDespacho::Subsanado);
}
