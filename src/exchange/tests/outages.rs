//! What people are told of outages: once, also across restarts, and that they are over.

use std::time::Duration;

use super::world::*;
use crate::{
    domain::{EstadoDespacho, Falla},
    exchange::{
        Actor, Exchange, NuevoDespacho, PlatformError,
        health::{Circuito, Estado},
    },
    store::Cursor,
};

const HOUR: Duration = Duration::from_secs(3600);

async fn alerts(world: &World) -> Vec<String> {
    let facts = world.exchange.store().facts(Cursor::default(), None, 10_000).await.unwrap();
    facts.into_iter().filter(|at| at.fact.tipo == "alerta").filter_map(|at| at.fact.estado).collect()
}

/// Another process on the same store.
async fn restarted(world: &World) -> Exchange {
    let Exchange { store, platform, clock, ids, settings, .. } = world.exchange.clone();
    let fresh = Exchange::new(store, platform, clock, ids, (*settings.get()).clone());
    fresh.remember_alerts().await;
    fresh
}

/// A despacho whose receiver does not answer, until people were told.
async fn down(world: &World) -> crate::domain::Id {
    world.platform.sends.lock().unwrap().push_back(Err(unclear("nadie contesta")));
    world.platform.consultas.lock().unwrap().extend((0..20).map(|_| Err(unclear("nadie contesta"))));
    let id = world.dispatch().await;
    let began = world.exchange.now();
    while world.exchange.now().duration_since(began).as_secs() < 3700 {
        assert!(world.run_next().await);
    }
    world.exchange.tell_people().await;
    assert_eq!(alerts(world).await, ["caida"]);
    id
}

#[tokio::test]
async fn an_alert_is_told_once_across_restarts_and_so_is_its_end() {
    let mut world = World::new().await;
    let id = down(&world).await;
    for _ in 0..2 {
        world.exchange = restarted(&world).await;
        world.advance(HOUR * 2);
        world.run_due().await;
        world.exchange.tell_people().await;
    }
    assert_eq!(alerts(&world).await, ["caida"]);
    world.exchange = restarted(&world).await;
    world.platform.consultas.lock().unwrap().clear();
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    world.advance(HOUR);
    world.run_due().await;
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
    world.exchange.tell_people().await;
    world.exchange = restarted(&world).await;
    world.exchange.tell_people().await;
    assert_eq!(alerts(&world).await, ["caida", "restablecida"]);
}

#[tokio::test]
async fn an_outage_ends_for_people_when_a_cargo_ended_the_exchange() {
    let world = World::new().await;
    let id = down(&world).await;
    assert_eq!(world.collect(&cargo("1", "R"), b"%PDF-1.7 c").await.0, "0000");
    world.exchange.tell_people().await;
    assert_eq!(alerts(&world).await, ["caida", "restablecida"], "nothing is left that could show it");
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Recepcionado);
}

#[tokio::test]
async fn a_directory_that_can_be_fetched_ends_the_pause_of_everything() {
    let world = World::new().await;
    let refused = || Err(PlatformError::new(Falla::SinConexion, "la conexión fue rechazada"));
    world.platform.sends.lock().unwrap().extend((0..5).map(|_| refused()));
    for n in 0..5 {
        world.dispatch_as(NuevoDespacho { numero_registro: Some(n.to_string()), ..nuevo() }).await;
    }
    world.run_due().await;
    let pide = world.exchange.health().plataforma(world.exchange.now());
    assert_eq!((pide.estado, pide.circuito), (Estado::NoResponde, Circuito::Abierto));
    assert!(pide.proxima_prueba.is_some() && pide.ultimo_error.unwrap().contains("rechazada"));
    assert_eq!(world.exchange.health().allowance(world.exchange.now()).total, Some(0));
    world.exchange.actualizar_directorio(&Actor::local()).await.unwrap();
    let now_is = world.exchange.health().plataforma(world.exchange.now());
    assert_eq!((now_is.estado, now_is.circuito, now_is.caida_desde), (Estado::Bien, Circuito::Cerrado, None));
    assert_eq!(world.run_due().await, 5, "what waited for it is due");
}
