//! A clock that is set, back or forwards, freezes nothing and makes nothing go out twice.

use std::time::Duration;

use super::{
    town::{Receiver, Town},
    world::*,
};
use crate::domain::{EstadoDespacho, Id};

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: i64 = 365 * 24 * 3600;

/// Documents for a receiver that is down for an hour, whose clock is set by `by` seconds in the middle of it.
async fn through(by: i64) {
    let town = Town::new();
    town.relay.set(OTRA, Receiver::Dead);
    let mut sent: Vec<Id> = Vec::new();
    for n in 0..6_u32 {
        sent.push(town.dispatch_at(MINUTE * n, OTRA, &format!("r-{n}")).await);
    }
    town.pass(MINUTE * 30).await;
    town.set_clock(by);
    town.pass(MINUTE * 60).await;
    assert!(town.relay.arrived_at(OTRA).is_empty());
    town.relay.set(OTRA, Receiver::Well);
    // The longest pause, the longest wait, and the attempts.
    town.pass(MINUTE * 120).await;
    let mut arrived = town.relay.arrived_at(OTRA);
    arrived.sort();
    assert_eq!(arrived, (0..6).map(|n| format!("r-{n}")).collect::<Vec<_>>(), "by {by} s: each, once");
    for id in sent {
        assert_eq!(town.estado(id).await, EstadoDespacho::Enviado, "by {by} s");
    }
    town.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_a_year_freezes_no_queue() {
    through(-YEAR).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_an_hour_freezes_no_queue() {
    through(-3600).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forwards_by_a_day_makes_nothing_go_out_twice() {
    through(24 * 3600).await;
}

#[tokio::test]
async fn a_send_whose_end_lies_ahead_is_asked_about_after_a_wait_that_begins_anew() {
    let world = World::new().await;
    world.platform.sends.lock().unwrap().push_back(Err(unclear("sin respuesta")));
    world.platform.consultas.lock().unwrap().push_back(Ok(told("0000", "P")));
    let id = world.dispatch().await;
    world.run_due().await;
    world.clock.0.fetch_sub(YEAR * 1000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(world.run_due().await, 1, "its time was given by another clock");
    assert_eq!(world.platform.calls().len(), 2, "too early to ask");
    world.advance(Duration::from_secs(31));
    assert_eq!(world.run_due().await, 1);
    assert_eq!(world.despacho(id).await.estado, EstadoDespacho::Enviado);
}
