//! What is still proven of what was purged, and what no certificate excuses.

use std::io::Cursor;

use serde_json::Value;

use super::{
    packages::{package, trust},
    world::World,
};
use crate::{
    audit::evidence::{forgery, verify},
    domain::{Despacho, Sha256},
    store::{Record, samples::purge},
};

/// Bytes of the documents of this world.
const SIZE: u64 = 3000;

/// A despacho that was purged, as it is after that, and the digest of what went.
async fn purged(world: &World) -> (Despacho, Sha256) {
    world.entries(2).await;
    let (despacho, sha256) = world.entry(7).await;
    world.entries(1).await;
    let change = purge(&despacho, SIZE, false);
    let Some(Record::Despacho(left)) = change.records.first().cloned() else { panic!() };
    world.store.commit(change).await.unwrap();
    world.store.writable().await.unwrap();
    (*left, sha256)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_purged_exchange_is_whole_and_one_of_a_lost_document_is_not() {
    let world = World::new();
    world.log.checkpoint(super::world::now(), "local").await.ok();
    let (_, sha256) = purged(&world).await;
    world.log.checkpoint(super::world::now(), "local").await.unwrap();
    let report = world.verify();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.store.purged, report.store.damage.len()), (1, 0));
    // The same, of a document that nobody purged.
    let (_, lost) = world.entry(8).await;
    let pack = world.folder.path().join("packs/0000000001.pack");
    let mut content = std::fs::read(&pack).unwrap();
    let length = content.len();
    content[length - 3000..].fill(0);
    std::fs::write(&pack, content).unwrap();
    let damage = world.verify().store.damage;
    assert!(
        damage.len() == 1 && damage[0].contains(lost.as_str()) && !damage[0].contains(sha256.as_str()),
        "{damage:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_of_a_purged_exchange_proves_what_went_and_that_alone() {
    let world = World::new();
    let (despacho, sha256) = purged(&world).await;
    let bytes = package(&world, despacho, false).await;
    let report = verify(Cursor::new(&bytes), &trust(&world));
    assert!(report.is_sound(), "{report}");
    let text = report.to_string();
    assert!(text.contains("se purgaron 1 archivos") && text.contains(sha256.as_str()), "{text}");
    assert!(!text.contains("documento.pdf"), "{text}");

    // Who has the key may seal another package, and cannot make a purge of what was not purged, nor another certificate.
    let (kept, _) = world.entry(9).await;
    let whole = package(&world, kept.clone(), false).await;
    let Some(Record::Despacho(claimed)) = purge(&kept, SIZE, false).records.pop() else { panic!() };
    let forged = forgery::replace(&whole, &world.log, "manifiesto.json", &|text| {
        let mut contents: Value = serde_json::from_str(text).unwrap();
        contents["registro"] = serde_json::to_value(Record::Despacho(claimed.clone())).unwrap();
        contents.to_string()
    });
    let report = verify(Cursor::new(&forged), &trust(&world));
    assert!(!report.is_sound() && report.to_string().contains("no es el que dejó el último asiento"), "{report}");
    let other = "ab".repeat(32);
    let forged = forgery::reseal(&bytes, &world.log, &|entries| {
        let last = entries.last_mut().unwrap();
        let change = last["cambio"].as_str().unwrap().replace(sha256.as_str(), &other);
        last["cambio"] = change.into();
    });
    assert!(!verify(Cursor::new(&forged), &trust(&world)).is_sound());
}
