//! Several daemons on one PostgreSQL database: any of them answers for all, and what one held when it was killed goes on.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    patience::until,
    pdf::pdf,
    platform::Platform,
    postgres::Postgres,
    process::said,
    rest::{Api, client, despacho, text},
};

/// Kills in the test that is part of `./test`; `CHASQUI_CLUSTER_KILLS` says otherwise.
const KILLS: u64 = 6;

/// How long a send that was cut short may wait until it is asked about, in seconds.
const INTERRUPTED: u64 = 120;

async fn database() -> (Postgres, String) {
    let server = Postgres::start().await;
    server.client("postgres").await.unwrap().batch_execute("CREATE DATABASE chasqui").await.unwrap();
    // A send that its daemon's death cut short is asked about when it can be under way nowhere any more: after total_timeout and
    // a minute.
    let pide = "[pide]\ntotal_timeout = \"5s\"\n";
    let store = format!("{pide}[store]\nkind = \"postgres\"\nurl = \"{}\"\n", server.url("chasqui"));
    (server, store)
}

#[tokio::test]
async fn any_daemon_answers_for_all_of_those_on_a_database() {
    let (_server, store) = database().await;
    let lima = || Setup::of(&[LIMA]).with(&store);
    let (_platform, mut daemons) = Platform::with([lima(), lima(), Setup::of(&[CUSCO])]).await;
    let (mut receiver, second, mut first) = (daemons.pop().unwrap(), daemons.pop().unwrap(), daemons.pop().unwrap());
    // A key made at one opens the other.
    let api = first.api();
    let other = second.anonymous().with_key(api.key());
    let made = api.dispatch(&despacho("2026-1", CUSCO.ruc), &pdf(1, 700_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    let sent = other.until_state(&path, "enviado").await;
    assert!(other.get(&format!("{path}/documento")).await.body == pdf(1, 700_000));
    receiver.api().until_one("/api/v1/recepciones").await;
    let (cuo, document) = ("0000000077", pdf(2, 20_000));
    let fields = Fields::document(CUSCO.ruc, LIMA.ruc, cuo, &document);
    assert_eq!(first.soap(fields.xml()).await.verdict().0, "0000");
    assert_eq!(second.soap(fields.xml()).await.verdict().0, "0000", "known as a repetition by the other");
    assert_eq!(other.list(&format!("/api/v1/recepciones?cuo={cuo}")).await.len(), 1);
    // One that stops takes nothing with it.
    first.stop();
    let again = other.dispatch(&despacho("2026-2", CUSCO.ruc), &pdf(3, 20_000)).await;
    other.until_state(&format!("/api/v1/despachos/{}", text(&again, "id")), "enviado").await;
    let evidence = other.get(&format!("{path}/evidencia")).await;
    assert_eq!(evidence.status, 200, "{}", String::from_utf8_lossy(&evidence.body));
    assert_eq!(text(&sent, "cflgest"), "E");
    let verified = second.cli(&["store", "verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

/// What was answered as taken in.
#[derive(Default)]
struct Taken {
    arrivals: Mutex<Vec<String>>,
    despachos: Mutex<Vec<String>>,
    numbers: AtomicU64,
    over: AtomicBool,
}

#[tokio::test]
async fn daemons_killed_at_any_moment_lose_nothing_and_send_nothing_twice() {
    let (_server, store) = database().await;
    let lima = || Setup::of(&[LIMA]).with(&store);
    let (_platform, mut daemons) = Platform::with([lima(), lima(), lima(), Setup::of(&[CUSCO])]).await;
    let mut receiver = daemons.pop().unwrap();
    let apis: Vec<Api> = {
        let first = daemons[0].api();
        daemons.iter_mut().map(|daemon| daemon.anonymous().with_key(first.key())).collect()
    };
    let soap: Vec<String> = daemons.iter().map(Daemon::soap_url).collect();
    let taken = Arc::new(Taken::default());
    let writers: Vec<_> = (0..6)
        .map(|n| tokio::spawn(write(Arc::clone(&taken), apis[n % 3].clone(), soap[n % 3].clone(), n % 2 == 0)))
        .collect();
    let kills = std::env::var("CHASQUI_CLUSTER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    for n in 0..kills {
        // Moments that no two runs share: how far the others have come decides.
        let seen = taken.numbers.load(Ordering::Relaxed);
        until("the others go on", 60, || async {
            let now = taken.numbers.load(Ordering::Relaxed);
            if now > seen + 5 + n % 7 { Ok(()) } else { Err(format!("{now} written")) }
        })
        .await;
        let one = &mut daemons[usize::try_from(n % 3).unwrap()];
        one.kill();
        one.run().await;
    }
    taken.over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let (arrivals, despachos) = (taken.arrivals.lock().unwrap().clone(), taken.despachos.lock().unwrap().clone());
    assert!(!arrivals.is_empty() && !despachos.is_empty());
    for cuo in &arrivals {
        assert_eq!(apis[0].list(&format!("/api/v1/recepciones?cuo={cuo}")).await.len(), 1, "CUO {cuo}");
    }
    let desk = receiver.api();
    for id in &despachos {
        let path = format!("/api/v1/despachos/{id}");
        let despacho = until(&format!("{path} is sent"), INTERRUPTED, || async {
            let despacho = apis[1].get(&path).await.expect(200);
            if despacho["estado"] == "enviado" { Ok(despacho) } else { Err(despacho.to_string()) }
        })
        .await;
        let cuo = text(&despacho, "cuo");
        assert_eq!(desk.list(&format!("/api/v1/recepciones?cuo={cuo}")).await.len(), 1, "despacho {id}, CUO {cuo}");
    }
    let verified = daemons[2].cli(&["store", "verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

/// Hands over documents, as the platform does or as the SGD does, until it is over. What is not answered is not counted.
async fn write(taken: Arc<Taken>, api: Api, soap: String, arrives: bool) {
    while !taken.over.load(Ordering::Relaxed) {
        let n = taken.numbers.fetch_add(1, Ordering::Relaxed);
        let document = pdf(n, if n.is_multiple_of(5) { 400_000 } else { 20_000 });
        if arrives {
            let cuo = format!("{:010}", 900_000 + n);
            let fields = Fields::document(CUSCO.ruc, LIMA.ruc, &cuo, &document);
            let sent = client().post(&soap).header("content-type", "text/xml").body(fields.xml()).send().await;
            let Ok(answer) = sent else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            if answer.text().await.is_ok_and(|body| body.contains("<vcodres>0000</vcodres>")) {
                taken.arrivals.lock().unwrap().push(cuo);
            }
        } else {
            let datos = despacho(&format!("2026-{n:06}"), CUSCO.ruc);
            let Some(made) = api.try_dispatch(&datos, &document).await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            taken.despachos.lock().unwrap().push(text(&made, "id").to_owned());
        }
    }
}
