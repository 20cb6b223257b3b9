//! A disk that is full or read-only: new work is refused in words, what there is can be read, nothing is lost, and work goes
//! on by itself when the disk takes it again.

use std::{fs, io::Write, path::PathBuf};

use serde_json::Value;

use crate::{
    daemon::{Daemon, LIMA, PUNO},
    disk::Disk,
    envelope::Fields,
    ledger::all,
    patience::until,
    pdf::pdf,
    rest::{client, despacho},
    seed,
    world::World,
};

/// Size of the disk, in megabytes: more than the documents of a run need, so that only the ballast fills it.
const DISK: u64 = 96;
/// How long until it is full or free again, in seconds.
const PATIENCE: u64 = 120;

/// What `/readyz` says: its status, and the check that fails.
async fn ready(daemon: &Daemon) -> (u16, Option<Value>) {
    let answer = client().get(format!("http://{}/readyz", daemon.api_address())).send().await;
    let answer = answer.expect("/readyz answers whatever the disk does");
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.expect("JSON");
    let checks = body["comprobaciones"].as_array().expect("checks").clone();
    (status, checks.into_iter().find(|check| check["estado"] == "falla"))
}

async fn until_ready(daemon: &Daemon, wanted: u16) {
    until(&format!("/readyz says {wanted}"), PATIENCE, || async {
        match ready(daemon).await {
            (status, _) if status == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// It refuses what is new on both sides, in words, and tells what it has.
async fn refuses_and_tells(world: &mut World, known: usize) {
    let api = world.api(0);
    let daemon = &world.daemons[0];
    let (status, check) = ready(daemon).await;
    assert_eq!(status, 503);
    let check = check.expect("a check that fails");
    assert_eq!(check["nombre"], "almacen", "{check}");
    let answer = api.form("/api/v1/despachos", &despacho("lleno", PUNO.ruc), "documento", &pdf(1, 300_000)).await;
    assert_eq!(answer.problem(), (503, "almacen_no_disponible".into()));
    let fields = Fields::document(PUNO.ruc, LIMA.ruc, "8000000001", &pdf(2, 300_000));
    let (code, words) = daemon.soap(fields.xml()).await.verdict();
    assert!(code == "-1" && words.contains("no puede guardar"), "{code} {words}");
    let records = all(&api, "recepciones").await;
    assert!(records.len() >= known, "{} of {known} are told", records.len());
    for record in records.iter().take(5) {
        let path = format!("/api/v1/recepciones/{}/documento", record["id"].as_str().expect("an id"));
        assert_eq!(api.get(&path).await.status, 200, "a document is read");
    }
}

fn fill(path: &PathBuf) {
    let mut file = fs::File::options().append(true).create(true).open(path).expect("the ballast");
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    file.sync_all().ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_nothing_and_work_goes_on_when_there_is_room() {
    let disk = Disk::new(DISK);
    let ballast = disk.root().join("ballast");
    let mut world = World::start(seed(), &[disk.root().join("data")]).await;
    for restarted in [false, true] {
        let traffic = world.traffic();
        let wanted = world.ledger.documents() + 20;
        until("documents flow", PATIENCE, || {
            let now = world.ledger.documents();
            async move { if now >= wanted { Ok(()) } else { Err(now.to_string()) } }
        })
        .await;
        fill(&ballast);
        until_ready(&world.daemons[0], 503).await;
        traffic.stop().await;
        fill(&ballast);
        if restarted {
            world.daemons[0].kill();
            fill(&ballast);
            world.daemons[0].run_until(503).await;
        }
        refuses_and_tells(&mut world, 5).await;
        fs::remove_file(&ballast).expect("there is room again");
        until_ready(&world.daemons[0], 200).await;
    }
    let traffic = world.traffic();
    let wanted = world.ledger.documents() + 10;
    until("work goes on by itself", PATIENCE, || {
        let now = world.ledger.documents();
        async move { if now >= wanted { Ok(()) } else { Err(now.to_string()) } }
    })
    .await;
    traffic.stop().await;
    assert_eq!(world.ledger.failures(), 0, "something went wrong inside");
    world.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_disk_is_read_and_work_goes_on_when_it_can_be_written() {
    let disk = Disk::new(DISK);
    let mut world = World::start(seed(), &[disk.root().join("data")]).await;
    // Nothing on its machine takes anything, not even what is temporary.
    let temporary = disk.root().join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    world.daemons[0].environment().push(("TMPDIR".into(), temporary.to_str().expect("UTF-8").into()));
    for clean in [true, false] {
        let traffic = world.traffic();
        let wanted = world.ledger.documents() + 10;
        until("documents flow", PATIENCE, || {
            let now = world.ledger.documents();
            async move { if now >= wanted { Ok(()) } else { Err(now.to_string()) } }
        })
        .await;
        if clean {
            traffic.stop().await;
            world.daemons[0].stop();
        } else {
            world.daemons[0].kill();
            traffic.stop().await;
        }
        disk.remount("ro");
        world.daemons[0].run_until(503).await;
        refuses_and_tells(&mut world, 3).await;
        disk.remount("rw");
        until_ready(&world.daemons[0], 200).await;
    }
    assert_eq!(world.ledger.failures(), 0, "something went wrong inside");
    world.judge().await;
}
