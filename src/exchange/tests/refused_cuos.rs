//! A CUO that was refused: what comes under it afterwards is not about our document.

use std::time::Duration;

use super::world::*;
use crate::{
    domain::{EstadoDespacho, Falla, Id, cargo::Respuesta},
    exchange::Actor,
};

fn refuse_cuos(world: &World, times: usize) {
    let refusal = || Ok(Respuesta::nueva("0003", "CUO no valido"));
    world.platform.sends.lock().unwrap().extend((0..times).map(|_| refusal()));
}

/// A despacho whose three CUOs were refused.
async fn given_up(world: &World) -> Id {
    refuse_cuos(world, 3);
    let id = world.dispatch().await;
    while world.run_next().await {}
    let failed = world.despacho(id).await;
    assert_eq!((failed.estado, failed.falla), (EstadoDespacho::Fallido, Some(Falla::CuoNoValido)));
    id
}

#[tokio::test]
async fn a_retry_after_refused_cuos_takes_a_new_one_and_asks_nobody_about_the_old() {
    let world = World::new().await;
    let id = given_up(&world).await;
    // The receiver holds something else under the third CUO.
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    world.exchange.reintentar_despacho(&Actor::local(), None, id).await.unwrap();
    while world.run_next().await {}
    let sent = world.despacho(id).await;
    assert_eq!((sent.estado, sent.cuo.unwrap().as_str()), (EstadoDespacho::Enviado, "0000000004"));
    assert_eq!(sent.cuos_anteriores.len(), 3);
    assert!(!world.platform.calls().iter().any(|call| call.starts_with("consultar")));
}

#[tokio::test]
async fn a_retry_gives_three_more_cuos_a_chance_and_no_more() {
    let world = World::new().await;
    let id = given_up(&world).await;
    refuse_cuos(&world, 9);
    world.exchange.reintentar_despacho(&Actor::local(), None, id).await.unwrap();
    while world.run_next().await {}
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Fallido);
    assert_eq!(world.platform.calls().iter().filter(|call| *call == "cuo").count(), 6);
}

#[tokio::test]
async fn a_cargo_under_a_refused_cuo_is_not_taken_and_people_are_told_once() {
    let world = World::new().await;
    refuse_cuos(&world, 1);
    let id = world.dispatch().await;
    world.run_due().await;
    for _ in 0..3 {
        assert_eq!(world.collect(&cargo("0000000001", "R"), b"%PDF-1.7 c").await.0, "-1");
    }
    while world.run_next().await {}
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado, "our document went out under the new one");
    assert_eq!(world.history(id).await.iter().filter(|tipo| *tipo == "alerta").count(), 1);
    assert_eq!(world.collect(&cargo("0000000002", "R"), b"%PDF-1.7 c").await.0, "0000");
}

#[tokio::test]
async fn nor_is_what_the_receiver_tells_of_the_last_refused_cuo() {
    let world = World::new().await;
    let id = given_up(&world).await;
    assert_eq!(world.collect(&cargo("0000000003", "R"), b"%PDF-1.7 c").await.0, "-1");
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    world.exchange.consultar(None, id).await.unwrap();
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Fallido);
}

#[tokio::test]
async fn a_cargo_under_a_refused_cuo_whose_send_was_once_unclear_is_ours() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Err(unclear("tiempo agotado")));
    refuse_cuos(&world, 1);
    world.platform.consultas.lock().unwrap().extend([Ok(told("0001", "")), Ok(told("0001", ""))]);
    let id = world.dispatch().await;
    world.run_due().await;
    world.run_next().await;
    assert_eq!(world.despacho(id).await.cuos_anteriores.len(), 1, "a new one is to be taken");
    assert_eq!(world.collect(&cargo("0000000001", "R"), b"%PDF-1.7 c").await.0, "0000");
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Recepcionado);
}

#[tokio::test]
async fn a_send_that_a_crash_interrupted_may_be_decided_about_once_a_consulta_failed() {
    let world = World::new().await;
    let id = world.stuck_send().await;
    world.platform.consultas.lock().unwrap().push_back(Err(unclear("tiempo agotado")));
    world.advance(Duration::from_secs(3600));
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::PorConfirmar);
    let job = crate::store::Job::id_for(crate::store::JobKind::Despachar, id);
    world.exchange.descartar_trabajo(&Actor::local(), None, job, "se envió en papel").await.unwrap();
    let given_up = world.despacho(id).await;
    assert_eq!(given_up.estado, EstadoDespacho::Fallido);
    assert!(given_up.ultimo_error.unwrap().contains("No se sabe si llegó"));
}

#[tokio::test]
async fn a_cuo_that_the_platform_gives_twice_is_named_and_another_is_asked_for() {
    let world = World::new().await;
    world.dispatch().await;
    world.run_due().await;
    world.platform.again.store(1, std::sync::atomic::Ordering::SeqCst);
    let id = world.dispatch_as(crate::exchange::NuevoDespacho { numero_registro: Some("2".into()), ..nuevo() }).await;
    world.run_due().await;
    let job = crate::store::Job::id_for(crate::store::JobKind::Despachar, id);
    let told = world.exchange.store().job(job).await.unwrap().unwrap();
    assert_eq!(told.falla, Some(Falla::CuoRepetido));
    let noted = world.despacho(id).await.ultimo_error.unwrap();
    assert!(noted.contains("0000000001") && noted.contains("otro documento"), "{noted}");
    while world.run_next().await {}
    assert_eq!(world.despacho(id).await.cuo.unwrap().as_str(), "0000000002");
}
