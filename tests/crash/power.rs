//! The current is cut while documents flow: what was on the disk at that moment, and only that, is there afterwards.

use std::time::Duration;

use crate::{Random, disk::Disk, number, seed, world::World};

/// Cuts of a usual run.
const CUTS: u64 = 3;
/// Longest time between two cuts, in milliseconds.
const APART_MS: u64 = 1_500;
/// The kernel that starts after a cut is another boot: in debug builds this says which.
const BOOT_ID: &str = "CHASQUI_BOOT_ID";
/// Documents of each kind that are read after each cut; all of them are at the end.
const RECENT: usize = 40;
/// Size of the disk, in megabytes.
const DISK: u64 = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_the_current_is_cut_all_that_was_answered_is_there_once() {
    let (seed, cuts) = (seed(), number("CHASQUI_CRASH_CUTS", CUTS));
    let mut random = Random::new(seed);
    let mut disk = Disk::new(DISK);
    let mut world = World::start(seed, &[disk.root().join("data")]).await;
    let traffic = world.traffic();
    for cut in 0..cuts {
        tokio::time::sleep(Duration::from_millis(100 + random.below(APART_MS))).await;
        // Answered before the cut, so it must be there after it.
        let answered = world.ledger.of(0);
        disk.cut(world.daemons[0].process().id());
        world.daemons[0].kill();
        disk.come_back();
        let environment = world.daemons[0].environment();
        environment.retain(|(name, _)| name != BOOT_ID);
        environment.push((BOOT_ID.into(), format!("after cut {cut}")));
        world.daemons[0].run().await;
        // What flows while it is asked for everything would make a long run ever longer.
        traffic.pause(true);
        let api = world.api(0);
        answered.kept_by(0, &api, RECENT).await;
        traffic.pause(false);
        println!("{} cuts of {cuts}: {}", cut + 1, world.ledger.summary());
    }
    traffic.stop().await;
    assert!(world.ledger.documents() as u64 > cuts, "documents flowed: {}", world.ledger.summary());
    world.judge().await;
}
