//! What was answered is there after SIGKILL, after the index is gone, and after the journal was cut; and damage is named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    pdf::{pdf, sha256},
    platform::Platform,
    process::said,
    rest::{despacho, text},
};

/// Up to this size documents lie in packs; larger ones are files.
const SMALL: usize = 20_000;
const LARGE: usize = 400_000;

async fn alone() -> (Platform, Daemon) {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    (platform, daemons.pop().unwrap())
}

fn document(n: u64, bytes: usize) -> (String, Vec<u8>, Fields) {
    let (cuo, pdf) = (format!("{n:010}"), pdf(n, bytes));
    let fields = Fields::document(CUSCO.ruc, LIMA.ruc, &cuo, &pdf);
    (cuo, pdf, fields)
}

/// The record under this CUO is there once, and its document reads back.
async fn kept(daemon: &mut Daemon, cuo: &str, pdf: &[u8]) {
    let api = daemon.api();
    let found = api.list(&format!("/api/v1/recepciones?cuo={cuo}")).await;
    assert_eq!(found.len(), 1, "CUO {cuo}");
    let bytes = api.get(&format!("/api/v1/recepciones/{}/documento", text(&found[0], "id"))).await;
    assert_eq!(bytes.status, 200, "CUO {cuo}: {}", String::from_utf8_lossy(&bytes.body));
    assert!(bytes.body == pdf, "the bytes of CUO {cuo}");
}

fn drop_index(daemon: &Daemon) {
    fs::remove_dir_all(daemon.data_dir().join("index")).expect("there is an index");
}

#[tokio::test]
async fn what_was_answered_0000_survives_a_kill_and_the_loss_of_the_index() {
    let (_platform, mut daemon) = alone().await;
    daemon.api();
    let mut stored = Vec::new();
    for (n, bytes) in [(1, SMALL), (2, LARGE), (3, SMALL), (4, LARGE)] {
        let (cuo, pdf, fields) = document(n, bytes);
        let answer = daemon.soap(fields.xml()).await;
        daemon.kill();
        assert_eq!(answer.verdict().0, "0000");
        stored.push((cuo, pdf));
        if n > 2 {
            drop_index(&daemon);
        }
        daemon.run().await;
        for (cuo, pdf) in &stored {
            kept(&mut daemon, cuo, pdf).await;
        }
        assert_eq!(daemon.soap(fields.xml()).await.verdict().0, "0000", "it is known as a repetition");
        assert_eq!(daemon.api().list("/api/v1/recepciones").await.len(), stored.len());
    }
    daemon.stop();
    let verified = daemon.cli(&["store", "verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

#[tokio::test]
async fn what_was_answered_while_many_wrote_survives_a_kill() {
    let (_platform, mut daemon) = alone().await;
    daemon.api();
    let (done, mut answered) = tokio::sync::mpsc::channel(1_000);
    let mut writers = Vec::new();
    for writer in 0..12u64 {
        let (done, url) = (done.clone(), daemon.soap_url());
        writers.push(tokio::spawn(async move {
            for n in 0..50 {
                let (cuo, pdf, fields) = document(1_000 * (writer + 1) + n, if n % 5 == 4 { LARGE } else { SMALL });
                let sent =
                    crate::rest::client().post(&url).header("content-type", "text/xml").body(fields.xml()).send();
                let Ok(response) = sent.await else { return };
                let Ok(body) = response.text().await else { return };
                if body.contains("<vcodres>0000</vcodres>") {
                    done.send((cuo, pdf)).await.ok();
                }
            }
        }));
    }
    drop(done);
    let mut stored = Vec::new();
    while stored.len() < 60 {
        stored.push(answered.recv().await.expect("the writers go on"));
    }
    daemon.kill();
    while let Some(one) = answered.recv().await {
        stored.push(one);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    daemon.run().await;
    for (cuo, pdf) in &stored {
        kept(&mut daemon, cuo, pdf).await;
    }
    daemon.kill();
    drop_index(&daemon);
    daemon.run().await;
    for (cuo, pdf) in &stored {
        kept(&mut daemon, cuo, pdf).await;
    }
}

#[tokio::test]
async fn what_was_answered_202_survives_a_kill_and_is_sent_afterwards() {
    for without_index in [false, true] {
        let (mut platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
        let (mut receiver, mut sender) = (daemons.pop().unwrap(), daemons.pop().unwrap());
        let api = sender.api();
        platform.stop();
        let document = pdf(7, LARGE);
        let made = api.dispatch(&despacho("2026-kill", CUSCO.ruc), &document).await;
        sender.kill();
        if without_index {
            drop_index(&sender);
        }
        sender.run().await;
        let path = format!("/api/v1/despachos/{}", text(&made, "id"));
        let kept = api.get(&path).await.expect(200);
        assert_eq!((&kept["id"], &kept["numero_registro"]), (&made["id"], &json!("2026-kill")));
        platform.run().await;
        api.until_state(&path, "enviado").await;
        let received = receiver.api().until_one("/api/v1/recepciones").await;
        assert_eq!(received["documento"]["sha256"], sha256(&document));
    }
}

#[tokio::test]
async fn a_cargo_that_was_issued_survives_a_kill_and_is_delivered_afterwards() {
    let (mut platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let (mut receiver, mut sender) = (daemons.pop().unwrap(), daemons.pop().unwrap());
    let (api, desk) = (sender.api(), receiver.api());
    let made = api.dispatch(&despacho("2026-cargo", CUSCO.ruc), &pdf(8, SMALL)).await;
    let received = desk.until_one("/api/v1/recepciones").await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    api.until_state(&path, "enviado").await;
    platform.stop();
    let filing = json!({"numero_registro": "E-1", "unidad": "GERENCIA", "usuario": "ROSA"});
    let issue = format!("/api/v1/recepciones/{}/recepcionar", text(&received, "id"));
    desk.form(&issue, &filing, "cargo", &pdf(9, SMALL)).await.expect(200);
    receiver.kill();
    receiver.run().await;
    platform.run().await;
    api.until_state(&path, "recepcionado").await;
    assert!(api.get(&format!("{path}/cargo")).await.body == pdf(9, SMALL), "the cargo's bytes");
}

/// A stopped daemon's folder with a few documents of both sizes in it, and what the journal had grown to after each.
async fn filled() -> (Platform, Daemon, Vec<(String, Vec<u8>, u64)>) {
    let (platform, mut daemon) = alone().await;
    daemon.api();
    let mut stored = Vec::new();
    for n in 1..=6 {
        let (cuo, pdf, fields) = document(n, if n % 3 == 0 { LARGE } else { SMALL });
        assert_eq!(daemon.soap(fields.xml()).await.verdict().0, "0000");
        stored.push((cuo, pdf, fs::metadata(segment(&daemon)).unwrap().len()));
    }
    daemon.stop();
    (platform, daemon, stored)
}

/// The only segment of a small journal.
fn segment(daemon: &Daemon) -> PathBuf {
    let segments: Vec<PathBuf> =
        daemon.files("journal").into_iter().filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments[0].clone()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = {
            let entry = entry.unwrap();
            (entry.path(), entry.file_name())
        };
        if path.is_dir() { copy(&path, &to.join(name)) } else { fs::copy(&path, to.join(name)).map(drop).unwrap() }
    }
}

#[tokio::test]
async fn a_journal_that_was_cut_opens_with_everything_before_the_cut() {
    let (_platform, mut daemon, stored) = filled().await;
    let (data, whole) = (daemon.data_dir(), daemon.dir().join("whole"));
    copy(&data, &whole);
    let [.., fourth, fifth, last] = stored.iter().map(|(.., end)| *end).collect::<Vec<_>>()[..] else { panic!() };
    for (cut, without_index) in
        [(last - 1, false), (fifth + 7, false), (fifth, true), (fifth - 30, true), (fourth + 1, false)]
    {
        fs::remove_dir_all(&data).unwrap();
        copy(&whole, &data);
        if without_index {
            drop_index(&daemon);
        }
        fs::File::options().write(true).open(segment(&daemon)).unwrap().set_len(cut).unwrap();
        daemon.run().await;
        for (cuo, pdf, end) in &stored {
            if *end <= cut {
                kept(&mut daemon, cuo, pdf).await;
            }
        }
        let (cuo, pdf, fields) = document(100, SMALL);
        assert_eq!(daemon.soap(fields.xml()).await.verdict().0, "0000", "it goes on after a cut at {cut}");
        kept(&mut daemon, &cuo, &pdf).await;
        daemon.stop();
    }
}

#[tokio::test]
async fn a_follower_of_the_feed_misses_nothing_when_the_journal_lost_its_end() {
    let (_platform, mut daemon, stored) = filled().await;
    daemon.run().await;
    let end = daemon.api().get("/api/v1/eventos?limit=100").await.expect(200);
    let end = text(&end, "next_cursor").to_owned();
    daemon.stop();
    fs::File::options().write(true).open(segment(&daemon)).unwrap().set_len(stored[3].2).unwrap();
    daemon.run().await;
    // The lost numbers are used again, and more than were lost.
    let mut new = Vec::new();
    for n in 101..=108 {
        let (cuo, _, fields) = document(n, SMALL);
        assert_eq!(daemon.soap(fields.xml()).await.verdict().0, "0000");
        new.push(cuo);
    }
    let page = daemon.api().get(&format!("/api/v1/eventos?limit=100&desde={end}")).await.expect(200);
    let told: Vec<&str> = page["items"].as_array().unwrap().iter().filter_map(|fact| fact["cuo"].as_str()).collect();
    assert!(new.iter().all(|cuo| told.contains(&cuo.as_str())), "{new:?} in {told:?}");
}

/// Changes the byte in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(path, bytes).unwrap();
}

/// `store verify` finds damage and names this place.
fn named(daemon: &Daemon, place: &str) {
    let verified = daemon.cli(&["store", "verify", "--format", "json"]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap_or_else(|_| panic!("{}", said(&verified)));
    let damage = report["damage"].as_array().unwrap_or_else(|| panic!("no damage: {report}"));
    assert!(damage.iter().any(|line| line.as_str().is_some_and(|line| line.contains(place))), "not {place}: {report}");
    let told = daemon.cli(&["store", "verify"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(said(&told).contains(place), "{}", said(&told));
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let (_platform, daemon, _) = filled().await;
    let (data, whole) = (daemon.data_dir(), daemon.dir().join("whole"));
    copy(&data, &whole);
    let restore = || {
        fs::remove_dir_all(&data).unwrap();
        copy(&whole, &data);
    };
    let clean = daemon.cli(&["store", "verify"]);
    assert!(clean.status.success(), "{}", said(&clean));

    damage(&segment(&daemon));
    named(&daemon, &name(&segment(&daemon)));

    restore();
    let pack = daemon.files("packs")[0].clone();
    damage(&pack);
    named(&daemon, &name(&pack));

    restore();
    let large = daemon.files("documents")[0].clone();
    damage(&large);
    named(&daemon, &name(&large));

    restore();
    fs::remove_file(&large).unwrap();
    named(&daemon, &name(&large));
}

#[tokio::test]
async fn a_live_store_is_verified_through_its_daemon() {
    let (_platform, mut daemon) = alone().await;
    let (_, _, fields) = document(1, LARGE);
    assert_eq!(daemon.soap(fields.xml()).await.verdict().0, "0000");
    let verified = daemon.cli(&["store", "verify", "--format", "json"]);
    assert!(verified.status.success(), "{}", said(&verified));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap_or_else(|_| panic!("{}", said(&verified)));
    // The document, and the messages in which it came.
    assert!(report["entries"].as_u64().is_some_and(|n| n > 0) && report["documents"] == 2, "{report}");
    daemon.process().alive().unwrap();
}
