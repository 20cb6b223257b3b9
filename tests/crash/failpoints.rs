//! Death at every durable step, one after the other, while documents flow both ways.

use std::time::Duration;

use crate::{patience::until, seed, world::World};

/// Each is a place in the code where the process ends itself at once; `*2`: when it comes there for the second time.
const PLACES: [&str; 37] = [
    // Documents on their way into the store.
    "pack.begin",
    "pack.sync_dir",
    "pack.write*3",
    "pack.torn*2",
    "pack.sync*2",
    "pack.synced*2",
    "document.rename",
    "document.renamed",
    "document.sync_dir",
    // The entry that names them.
    "segment.write",
    "segment.sync_dir",
    "segment.made",
    "journal.write*3",
    "journal.torn*3",
    "journal.sync*3",
    "journal.synced*3",
    "index.apply*2",
    "index.applied*2",
    // The mark of a start, and of the first one.
    "vouch.write",
    "vouch.rename",
    "replace.write",
    "replace.rename",
    // Handed over, not yet durable; durable, not yet answered 202.
    "before:despacho.registrado",
    "after:despacho.registrado",
    // The CUO and "a send begins" are one entry; then it is sent.
    "before:despacho.cuo_asignado",
    "after:despacho.cuo_asignado",
    // It was sent, perhaps stored there, and the answer is not on record; then it is.
    "before:despacho.enviado",
    "after:despacho.enviado",
    // An arrival, and its answer 0000.
    "before:recepcion.recibida",
    "after:recepcion.recibida",
    // The cargo is issued, delivered, and its delivery recorded.
    "before:recepcion.recepcionada",
    "after:recepcion.recepcionada",
    "before:recepcion.observada",
    "before:recepcion.cargo_enviado",
    "after:recepcion.cargo_enviado",
    // The cargo comes back.
    "before:despacho.recepcionado",
    "after:despacho.recepcionado",
];

/// Within this time traffic brings a daemon to every place, in seconds.
const REACHED: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_at_whichever_step_all_that_was_answered_is_there_once() {
    let mut world = World::start(seed(), &[]).await;
    let traffic = world.traffic();
    for (n, place) in PLACES.iter().enumerate() {
        let daemon = &mut world.daemons[n % 2];
        daemon.kill();
        if place.starts_with("replace.") {
            std::fs::remove_file(daemon.data_dir().join("index.boot")).expect("the mark of the start before");
        }
        daemon.environment().push(("CHASQUI_FAILPOINT".into(), (*place).into()));
        daemon.start();
        until(&format!("it dies at {place}"), REACHED, || {
            let ended = daemon.process().alive().err();
            async move {
                let said = ended.ok_or("it lives")?;
                // Ended by the place itself, and not by what it was about.
                assert!(said.lines().next().is_some_and(|how| how.contains("SIGABRT")), "at {place}: {said}");
                Ok::<_, String>(())
            }
        })
        .await;
        daemon.kill();
        daemon.environment().pop();
        daemon.run().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    traffic.stop().await;
    assert_eq!(world.ledger.failures(), 0, "something went wrong inside");
    world.judge().await;
}
