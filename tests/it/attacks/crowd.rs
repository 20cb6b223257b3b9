//! Many callers at once: who says nothing, who says it slowly, who says the wrong thing a thousand times.

use std::{fs, sync::Arc, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{discreet, document, unharmed, victim};
use crate::{
    attacker::{self, Attack, Attacker},
    daemon::{CUSCO, Daemon, LIMA, Setup, answer},
    envelope::{Fields, query},
    patience::until,
    pdf::pdf,
    platform::Platform,
    rest::client,
};

/// What a refused request may leave in memory by chance, in KiB: buffers of the allocator, not of requests.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

/// Resident memory in KiB and open files of a daemon.
fn held(daemon: &mut Daemon) -> (u64, usize) {
    let id = daemon.process().id();
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kib = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    (kib, fs::read_dir(format!("/proc/{id}/fd")).expect("its files").count())
}

async fn roomy() -> (Platform, Daemon) {
    let limits = "[limits]\ndocument_max = \"2MiB\"\nconnections_max = 1500\nconnections_per_peer_max = 1400\n\
                  header_timeout = \"3s\"\nbody_idle_timeout = \"2s\"\nbody_total_timeout = \"20s\"";
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]).with(limits)]).await;
    (platform, daemons.pop().unwrap())
}

#[tokio::test]
async fn a_thousand_silent_sockets_are_closed() {
    let (_platform, mut daemon) = roomy().await;
    let (_, files) = held(&mut daemon);
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(TcpStream::connect(daemon.soap_address()).await.expect("a connection"));
    }
    assert_eq!(daemon.soap(query("19")).await.status, 200, "the next one is served among them");
    for stream in &mut silent {
        let read = timeout(Duration::from_secs(30), stream.read(&mut [0; 64])).await.expect("it is closed by itself");
        assert!(matches!(read, Ok(0) | Err(_)), "nothing is said to it");
    }
    drop(silent);
    until("their files are closed", 20, || {
        let now = held(&mut daemon).1;
        async move { if now <= files + 8 { Ok(()) } else { Err(format!("{now} files, {files} before")) } }
    })
    .await;
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn heads_and_bodies_that_drip_are_cut() {
    let (_platform, mut daemon) = roomy().await;
    let address = daemon.soap_address();
    let heads = Attacker::start(address, 50, &Attack::DrippingHead(Duration::from_millis(100)));
    let bodies = Attacker::start(address, 50, &Attack::Stuck(attacker::half("", document().xml().as_bytes())));
    until("all of them were cut", 60, || async {
        let (heads, bodies) = (heads.rounds(), bodies.rounds());
        if heads >= 50 && bodies >= 50 { Ok(()) } else { Err(format!("{heads} heads and {bodies} bodies")) }
    })
    .await;
    drop((heads, bodies));
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn a_thousand_refused_requests_leave_no_file_no_record_and_no_memory() {
    let (_platform, mut daemon) = victim().await;
    let xml = document().xml();
    let wrong: Vec<String> = vec![
        xml[..xml.len() / 2].to_owned(),
        xml.replace("</s:Body>", "<x/></s:Body>"),
        xml.replace("?><s:", "?><!DOCTYPE s><s:"),
        xml.replace("<vasu>", &"<a>".repeat(5_000)),
        document().with("bpdfdoc", "****").xml(),
        document().without("vcuo").xml(),
        "x".repeat(100_000),
    ];
    let refuse = async |times: usize| {
        for envelope in wrong.iter().cycle().take(times) {
            let answer = daemon.soap(envelope.clone()).await;
            assert!(answer.status == 500 || answer.verdict().0 == "0003", "{}", answer.body);
        }
    };
    refuse(100).await;
    let journal = |daemon: &Daemon| -> u64 {
        let files = ["journal", "packs", "documents", "incoming"].map(|folder| daemon.files(folder)).concat();
        files.iter().map(|file| fs::metadata(file).map_or(0, |meta| meta.len())).sum()
    };
    let bytes = journal(&daemon);
    refuse(1).await;
    let (before, files) = held(&mut daemon);
    let refuse = async |daemon: &Daemon, times: usize| {
        for envelope in wrong.iter().cycle().take(times) {
            daemon.soap(envelope.clone()).await;
        }
    };
    refuse(&daemon, 1_000).await;
    assert_eq!(journal(&daemon), bytes, "bytes in the folder of the data");
    let (after, files_after) = held(&mut daemon);
    println!(
        "resident memory: {before} KiB before, {after} KiB after 1000 refusals; open files: {files}, {files_after}"
    );
    assert!(after < before + GROWTH_KIB_MAX, "{before} KiB before, {after} KiB after");
    assert!(files_after <= files + 8, "{files} open files before, {files_after} after");
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn a_good_caller_is_served_beside_an_attack() {
    let (_platform, mut daemon) = roomy().await;
    let xml = document().xml();
    let deep = format!("{}{}", &xml[..xml.find("<vasu>").unwrap()], "<a>".repeat(20_000));
    let attacks = [
        Attack::Silent,
        Attack::DrippingHead(Duration::from_millis(50)),
        Attack::Stuck(attacker::half("", xml.as_bytes())),
        Attack::Request(attacker::request("", deep.as_bytes())),
        Attack::Request(Arc::from(&b"GARBAGE\r\n\r\n"[..])),
    ];
    let attackers: Vec<Attacker> =
        attacks.iter().map(|attack| Attacker::start(daemon.soap_address(), 20, attack)).collect();
    assert!(attackers.iter().all(|attacker| attacker.connections() == 20));
    for n in 0..20 {
        let good = Fields::document(CUSCO.ruc, LIMA.ruc, &format!("00000001{n:02}"), &pdf(n, 60_000));
        let answer = timeout(Duration::from_secs(20), daemon.soap(good.xml())).await.expect("an answer in time");
        assert_eq!(answer.verdict().0, "0000");
    }
    let api = daemon.api();
    assert_eq!(api.get("/readyz").await.status, 200);
    assert_eq!(api.list("/api/v1/recepciones").await.len(), 20);
    assert!(attackers.iter().map(Attacker::rounds).sum::<u64>() > 0, "they were at it");
    drop(attackers);
    daemon.process().alive().unwrap();
}

#[tokio::test]
async fn errors_tell_nothing_of_the_inside() {
    let (_platform, mut daemon) = victim().await;
    let base = format!("http://{}", daemon.soap_address());
    for path in
        ["/", "/nada", "/wsiotramite/Tramite/../../etc/passwd", "/wsiotramite/Tramite?wsdl=../x", "/%00", "/healthz/x"]
    {
        let response = client().get(format!("{base}{path}")).send().await.unwrap();
        for name in ["server", "x-powered-by", "via"] {
            assert!(!response.headers().contains_key(name), "{path} tells {name}");
        }
        let said = answer(client().get(format!("{base}{path}"))).await;
        discreet(path, &said);
    }
    for envelope in ["", "<", "<a", &document().xml()[..900], "\u{0}"] {
        let said = daemon.soap(envelope.to_owned()).await;
        assert_eq!(said.fault().0, "Client");
        discreet(envelope, &said);
    }
    unharmed(&mut daemon).await;
}
