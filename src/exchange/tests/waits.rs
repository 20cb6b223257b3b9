//! How long is waited when the other side says how long, and what a decision taken meanwhile keeps.

use std::time::Duration;

use super::world::*;
use crate::{
    domain::{EstadoDespacho, Falla, Id, cargo::Respuesta},
    exchange::{Actor, PlatformError},
    store::{Job, JobKind},
};

fn busy(falla: Falla, seconds: u64) -> PlatformError {
    PlatformError { retry_after: Some(Duration::from_secs(seconds)), ..PlatformError::new(falla, "ocupada") }
}

/// Seconds until the despacho's job is due.
async fn due_in(world: &World, id: Id) -> i64 {
    let job = world.exchange.store().job(Job::id_for(JobKind::Despachar, id)).await.unwrap().unwrap();
    job.proximo_en.duration_since(world.exchange.now()).as_secs()
}

#[tokio::test]
async fn a_platform_that_asks_to_wait_no_time_is_still_left_the_time_of_the_policy() {
    let world = World::new().await;
    let refusals = [busy(Falla::SinConexion, 0), busy(Falla::SinConexion, 0), busy(Falla::SinConexion, 0)];
    world.platform.sends.lock().unwrap().extend(refusals.map(Err));
    let id = world.dispatch().await;
    for least in [9, 19, 39] {
        assert!(world.run_next().await);
        assert!(due_in(&world, id).await >= least, "{least}");
    }
}

#[tokio::test]
async fn a_wait_the_platform_asks_for_is_kept_within_an_hour_also_after_an_unclear_end() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Err(busy(Falla::Ocupada, 600)));
    world.platform.consultas.lock().unwrap().push_back(Err(busy(Falla::Ocupada, 999_999)));
    let id = world.dispatch().await;
    world.run_due().await;
    assert_eq!(due_in(&world, id).await, 600);
    assert!(world.run_next().await);
    assert_eq!(due_in(&world, id).await, 3600);
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::PorConfirmar);
}

#[tokio::test]
async fn a_retry_asked_for_while_an_attempt_ends_keeps_its_job() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Ok(Respuesta::nueva("0003", "Asunto no valido")));
    let id = world.dispatch().await;
    let held = world.exchange.store().job(Job::id_for(JobKind::Despachar, id)).await.unwrap().unwrap();
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Fallido);
    world.advance(Duration::from_millis(5));
    world.exchange.reintentar_despacho(&Actor::local(), None, id).await.unwrap();
    // The attempt that failed gets to its last step only now.
    world.exchange.finished(&held).await.unwrap();
    assert!(world.exchange.store().job(held.id).await.unwrap().is_some());
    while world.run_next().await {}
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
}
