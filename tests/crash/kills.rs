//! SIGKILL at random moments while documents flow both ways.

use std::time::Duration;

use crate::{Random, number, seed, world::World};

/// Kills of a usual run.
const KILLS: u64 = 20;
/// Longest time between two kills, in milliseconds.
const APART_MS: u64 = 900;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_whenever_all_that_was_answered_is_there_once() {
    let (seed, kills) = (seed(), number("CHASQUI_CRASH_KILLS", KILLS));
    let mut random = Random::new(seed);
    let mut world = World::start(seed, &[]).await;
    let traffic = world.traffic();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(random.below(APART_MS))).await;
        let died: Vec<usize> = match random.below(10) {
            0 => vec![0, 1],
            n => vec![usize::try_from(n % 2).unwrap()],
        };
        died.iter().for_each(|n| world.daemons[*n].kill());
        // Now and then its index is lost too, and the journal alone tells.
        if random.below(12) == 0 {
            std::fs::remove_dir_all(world.daemons[died[0]].data_dir().join("index")).expect("the index");
        }
        // Now and then the index that was left is compared, whole, with one that is made anew: that takes its time.
        let compared = random.below(6) == 0;
        for n in died {
            world.daemons[n].compare_index(compared);
            world.daemons[n].run().await;
        }
        if kill % 10 == 9 {
            println!("{} kills of {kills}: {}", kill + 1, world.ledger.summary());
        }
    }
    traffic.stop().await;
    assert!(world.ledger.documents() as u64 > kills, "documents flowed: {}", world.ledger.summary());
    assert!(world.ledger.arrivals() > 0, "the platform brought documents: {}", world.ledger.summary());
    assert_eq!(world.ledger.failures(), 0, "something went wrong inside");
    world.judge().await;
}
