//! Two entities in one daemon: each has its own documents, numbers, feed, queue and counts, and what one sends the other goes
//! the way of every document, through the platform.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, PUNO, Setup},
    pdf::pdf,
    platform::Platform,
    rest::{Api, despacho, text},
};

struct Neighbours {
    platform: Platform,
    daemon: Daemon,
    lima: Api,
    puno: Api,
}

async fn neighbours() -> Neighbours {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA, PUNO])]).await;
    let mut daemon = daemons.pop().unwrap();
    let lima = daemon.api();
    let puno = lima.with_key(Some(&daemon.new_key("sgd", Some(PUNO))));
    Neighbours { platform, daemon, lima, puno }
}

/// The entities that the feed of a key tells of.
async fn told_of(api: &Api) -> Vec<String> {
    let page = api.get("/api/v1/eventos?limit=500").await.expect(200);
    let mut all: Vec<String> =
        page["items"].as_array().unwrap().iter().map(|f| text(f, "entidad").to_owned()).collect();
    all.sort();
    all.dedup();
    all
}

#[tokio::test]
async fn a_document_from_one_hosted_entity_to_another_goes_through_the_platform_and_each_sees_its_side() {
    let Neighbours { platform, daemon: _daemon, lima, puno } = neighbours().await;
    let made = lima.dispatch(&despacho("2026-1", PUNO.ruc), &pdf(1, 5_000)).await;
    let sent = format!("/api/v1/despachos/{}", text(&made, "id"));
    let cuo = text(&lima.until_state(&sent, "enviado").await, "cuo").to_owned();
    let arrived = puno.until_one(&format!("/api/v1/recepciones?cuo={cuo}")).await;
    let received = format!("/api/v1/recepciones/{}", text(&arrived, "id"));
    let relayed = platform.operations().await;
    assert!(relayed.iter().any(|o| o.to_string().contains(&cuo)), "the platform saw it: {relayed:?}");

    for (api, foreign) in [(&puno, &sent), (&lima, &received)] {
        assert_eq!(api.get(foreign).await.problem(), (404, "no_existe".into()));
        assert_eq!(api.get(&format!("{foreign}/documento")).await.problem(), (404, "no_existe".into()));
    }
    let filing = json!({"numero_registro": "E-1", "unidad": "GERENCIA", "usuario": "ROSA ÑAHUI"});
    let refused = lima.form(&format!("{received}/recepcionar"), &filing, "cargo", &pdf(2, 2_000)).await;
    assert_eq!(refused.problem(), (404, "no_existe".into()));
    puno.form(&format!("{received}/recepcionar"), &filing, "cargo", &pdf(2, 2_000)).await.expect(200);
    lima.until_state(&sent, "recepcionado").await;

    assert_eq!((told_of(&lima).await, told_of(&puno).await), (vec![LIMA.ruc.to_owned()], vec![PUNO.ruc.to_owned()]));
    let counted =
        |page: Value| (page["totales"]["despachos"]["total"].clone(), page["totales"]["recepciones"]["total"].clone());
    let of_lima = counted(lima.get("/api/v1/estadisticas?por=entidad").await.expect(200));
    let of_puno = counted(puno.get("/api/v1/estadisticas?por=entidad").await.expect(200));
    assert_eq!((of_lima, of_puno), ((json!(1), json!(0)), (json!(0), json!(1))));
}

#[tokio::test]
async fn numbers_and_idempotency_keys_of_one_entity_are_free_for_another_and_queues_are_apart() {
    let Neighbours { platform, daemon: _daemon, lima, puno } = neighbours().await;
    // Known to the platform, and nobody answers there: what is sent waits.
    platform.register(&CUSCO).await;
    let mut ids = Vec::new();
    for api in [&lima, &puno] {
        let datos = despacho("2026-7", CUSCO.ruc);
        let form = reqwest::multipart::Form::new()
            .part("datos", reqwest::multipart::Part::text(datos.to_string()).mime_str("application/json").unwrap())
            .part("documento", reqwest::multipart::Part::bytes(pdf(3, 2_000)).file_name("oficio.pdf"));
        let request =
            api.request(Method::POST, "/api/v1/despachos").header("idempotency-key", "la-misma").multipart(form);
        ids.push(text(&api.send(request).await.unwrap().expect(202), "id").to_owned());
    }
    assert_ne!(ids[0], ids[1], "each has its own despacho");
    for (api, id) in [(&lima, &ids[0]), (&puno, &ids[1])] {
        let mine = api.until_one("/api/v1/cola").await;
        assert_eq!(text(&mine, "sujeto"), id);
        let found = api.list("/api/v1/despachos?numero_registro=2026-7").await;
        assert_eq!(found.iter().map(|d| text(d, "id")).collect::<Vec<_>>(), [id]);
    }
}

#[tokio::test]
async fn a_stream_tells_its_entity_s_news_alone_and_holds_up_no_stop() {
    let Neighbours { platform: _platform, mut daemon, lima, puno } = neighbours().await;
    let request = puno.request(Method::GET, "/api/v1/eventos?desde=ahora").header("accept", "text/event-stream");
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "retry: 3000\n\n");
    lima.dispatch(&despacho("2026-2", CUSCO.ruc), &pdf(4, 2_000)).await;
    puno.dispatch(&despacho("2026-3", CUSCO.ruc), &pdf(5, 2_000)).await;
    let piece = stream.chunk().await.unwrap().unwrap();
    let piece = String::from_utf8_lossy(&piece);
    assert!(piece.contains("event: despacho.registrado") && piece.contains(PUNO.ruc), "{piece}");
    assert!(!piece.contains(LIMA.ruc), "{piece}");

    let stopped = tokio::task::spawn_blocking(move || {
        daemon.stop();
        daemon
    });
    // The stream is ended, not cut: its last piece is followed by its end.
    while stream.chunk().await.unwrap().is_some() {}
    stopped.await.unwrap();
}
