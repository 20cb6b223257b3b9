//! One writer's mistake is contained: a dead destination and a poisoned document stop only themselves.

use std::time::Duration;

use super::{
    town::{ANSWERS_IN, GIVES_UP_IN, Receiver, Town},
    world::OTRA,
};
use crate::domain::{EstadoDespacho, Id};

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Entities that work, beside the one that dies.
const NEIGHBOURS: usize = 500;
/// Documents for each of them in the week.
const DOCUMENTS: usize = 3;
/// Documents for the one that is dead.
const FOR_THE_DEAD: u32 = 25;

/// A RUC that is none of the tests' others, with its check digit.
fn neighbour(n: usize) -> String {
    let digits = format!("206{n:07}");
    let sum: u32 =
        digits.bytes().zip([5, 4, 3, 2, 7, 6, 5, 4, 3, 2]).map(|(d, weight)| u32::from(d - b'0') * weight).sum();
    format!("{digits}{}", (11 - sum % 11) % 10)
}

/// A week of work. Returns how long each document for a neighbour took, by its number.
async fn week(other: Receiver) -> Vec<(String, Duration)> {
    let town = Town::new();
    town.relay.set(OTRA, other);
    // Moments spread over the week, the same in each run; and all neighbours at once in the middle of it.
    let mut plan: Vec<(Duration, String, String)> = Vec::new();
    for n in 0..NEIGHBOURS {
        for k in 0..DOCUMENTS {
            let second = (n * 104_729 + k * 224_737) % 604_000;
            plan.push((Duration::from_secs(second as u64), neighbour(n), format!("v-{n}-{k}")));
        }
        plan.push((WEEK / 2, neighbour(n), format!("v-{n}-juntos")));
    }
    for n in 0..FOR_THE_DEAD {
        plan.push((WEEK / (FOR_THE_DEAD + 2) * n, OTRA.into(), format!("otra-{n:02}")));
    }
    plan.sort();
    let mut sent: Vec<(Id, String)> = Vec::new();
    for (at, receiver, number) in plan {
        sent.push((town.dispatch_at(at, &receiver, &number).await, number));
    }
    town.pass(WEEK).await;
    if other == Receiver::Dead {
        assert!(town.relay.arrived_at(OTRA).is_empty());
        let salud = town.exchange.health().salud(&super::world::ruc(OTRA), town.exchange.now()).unwrap();
        assert!(salud.caida_desde.is_some() && salud.reabre_en.is_some(), "{salud:?}");
    }
    // It is back: nobody does anything.
    town.relay.set(OTRA, Receiver::Well);
    town.pass(WEEK + HOUR).await;
    let told = if other == Receiver::Dead { vec!["caida", "restablecida"] } else { Vec::new() };
    assert_eq!(town.alerts().await, told, "once each");
    let expected: Vec<String> = (0..FOR_THE_DEAD).map(|n| format!("otra-{n:02}")).collect();
    assert_eq!(town.relay.arrived_at(OTRA), expected, "everything for it, once, in order of arrival");
    let took = town.latencies().await;
    assert_eq!(took.len(), sent.len(), "all ended");
    let of_neighbours = sent.iter().filter(|(_, number)| number.starts_with("v-"));
    let latencies = of_neighbours.map(|(id, number)| (number.clone(), took[id])).collect();
    town.close().await;
    latencies
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_dead_for_a_week_costs_five_hundred_others_nothing() {
    let (without, with) = (week(Receiver::Well).await, week(Receiver::Dead).await);
    assert_eq!(without.len(), NEIGHBOURS * (DOCUMENTS + 1));
    let slower: Vec<_> = without.iter().zip(&with).filter(|(without, with)| without != with).collect();
    assert!(slower.is_empty(), "{} of {}: {:?}", slower.len(), without.len(), &slower[..slower.len().min(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_stores_and_then_resets_every_time_ends_with_one_copy() {
    let town = Town::new();
    town.relay.set(OTRA, Receiver::Resets);
    let mut sent = Vec::new();
    for n in 0..12_u32 {
        sent.push(town.dispatch_at(HOUR / 60 * n, OTRA, &format!("r-{n:02}")).await);
    }
    town.pass(HOUR * 3 / 4).await;
    for id in sent {
        assert_eq!(town.estado(id).await, EstadoDespacho::Enviado);
    }
    assert_eq!(town.relay.arrived_at(OTRA).len(), 12, "one copy of each");
    town.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_document_does_not_hold_up_its_neighbours_for_the_same_destination() {
    // What its receiver does with it: an error in answer, an odd code, a reset.
    for poison in ["-1", "9999", ""] {
        let town = Town::new();
        town.relay.poisoned.lock().unwrap().insert("veneno".into(), poison);
        let bad = town.dispatch_at(Duration::ZERO, OTRA, "veneno").await;
        let mut good = Vec::new();
        for n in 1..16_u32 {
            good.push(town.dispatch_at(HOUR / 2 * n, OTRA, &format!("sano-{n:02}")).await);
        }
        town.pass(HOUR * 9).await;
        let took = town.latencies().await;
        for id in good {
            assert!(took[&id] <= ANSWERS_IN * 3, "«{poison}»: {:?}", took[&id]);
        }
        assert!(town.estado(bad).await.en_curso(), "it is still tried");
        town.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn several_poisoned_documents_cost_a_neighbour_one_pause_at_most() {
    let town = Town::new();
    for n in 0..4 {
        let number = format!("veneno-{n}");
        town.relay.poisoned.lock().unwrap().insert(number.clone(), "");
        town.dispatch_at(Duration::from_secs(n), OTRA, &number).await;
    }
    let good = town.dispatch_at(HOUR * 10, OTRA, "sano").await;
    town.pass(HOUR * 11).await;
    let pause = town.exchange.settings().retry.breaker.pause_max;
    assert!(town.latencies().await[&good] <= pause + GIVES_UP_IN, "the next probe is the one never tried");
    town.close().await;
}
