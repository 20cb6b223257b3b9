//! CONTRACT §7 against a platform that a test scripts: after an unclear end the receiver is asked before anything is sent
//! again, and a cargo may arrive before the send has ended.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Request, StatusCode},
    response::{Html, IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::{Answer, Fields, wrap},
    patience::until,
    pdf::pdf,
    platform::Platform,
    rest::{Api, despacho, text},
};

const TRAMITE: &str = "http://ws.wsiopidetramite.segdi.gob.pe/";

const SEND: &str = "recepcionarTramite";
const ASK: &str = "consultarTramite";

/// How the scripted service ends one call.
#[derive(Debug, Clone, Copy)]
enum End {
    /// `vcodres`, and for a query `cflgest`.
    Code(&'static str, &'static str),
    /// Nothing ever comes.
    Silence,
    /// The connection breaks in the middle of the answer.
    Cut,
    Html,
    /// 202 without a body.
    Empty,
    Fault,
}

/// What was called so far, operation and CUO, and how the next calls end.
#[derive(Debug, Clone, Default)]
struct Script {
    calls: Arc<Mutex<Vec<(&'static str, String)>>>,
    ends: Arc<Mutex<VecDeque<End>>>,
}

impl Script {
    fn calls(&self) -> Vec<(&'static str, String)> {
        self.calls.lock().unwrap().clone()
    }

    fn operations(&self) -> Vec<&'static str> {
        self.calls().into_iter().map(|(operation, _)| operation).collect()
    }
}

fn xml(status: StatusCode, body: &str) -> Response {
    (status, [("content-type", "text/xml; charset=utf-8")], wrap(body)).into_response()
}

/// The catalogue that a daemon fetches when it starts.
fn types() -> String {
    let oficio = "<ccodtipdoctra>01</ccodtipdoctra><vnomtipdoctra>OFICIO</vnomtipdoctra>";
    format!("<w:getTipoDocumentoResponse xmlns:w=\"{TRAMITE}\"><return>{oficio}</return></w:getTipoDocumentoResponse>")
}

async fn call(State(script): State<Script>, request: Request<Body>) -> Response {
    let body = to_bytes(request.into_body(), 10_000_000).await.unwrap();
    let received = Answer { status: 200, content_type: String::new(), body: String::from_utf8(body.to_vec()).unwrap() };
    let body = &received.body;
    if body.contains("getTipoDocumento") {
        return xml(StatusCode::OK, &types());
    }
    let operation = if body.contains(ASK) { ASK } else { SEND };
    script.calls.lock().unwrap().push((operation, received.field("vcuo").unwrap_or_default()));
    let end = script.ends.lock().unwrap().pop_front().expect("a call that the script does not foresee");
    match end {
        End::Code(code, letter) => xml(
            StatusCode::OK,
            &format!(
                "<w:{operation}ResponseResponse xmlns:w=\"{TRAMITE}\"><return><vcodres>{code}</vcodres><vdesres>x</vdesres>\
                 <cflgest>{letter}</cflgest></return></w:{operation}ResponseResponse>"
            ),
        ),
        End::Silence => std::future::pending().await,
        End::Cut => {
            let pieces = [Ok("<?xml version=\"1.0\"?><s:Env"), Err(std::io::Error::other("cut"))];
            Body::from_stream(futures_util::stream::iter(pieces)).into_response()
        }
        End::Html => Html("<html><body>502 Bad Gateway</body></html>").into_response(),
        End::Empty => StatusCode::ACCEPTED.into_response(),
        End::Fault => xml(
            StatusCode::INTERNAL_SERVER_ERROR,
            "<s:Fault><faultcode>s:Server</faultcode><faultstring>x</faultstring></s:Fault>",
        ),
    }
}

/// A daemon whose sends go to the script, and whose CUOs and directory come from the simulator.
async fn scripted(ends: &[End]) -> (Platform, Daemon, Script) {
    let script = Script { ends: Arc::new(Mutex::new(ends.iter().copied().collect())), ..Script::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/tramite", post(call)).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let pide = format!("[pide]\ntramite_url = \"http://{address}/tramite\"\ntotal_timeout = \"2s\"\n");
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]).with(&pide)]).await;
    // A receiver the platform does not know would be refused before anything is sent.
    platform.register(&CUSCO).await;
    (platform, daemons.pop().unwrap(), script)
}

async fn dispatched(api: &Api) -> String {
    let made = api.dispatch(&despacho("2026-1", CUSCO.ruc), &pdf(1, 20_000)).await;
    format!("/api/v1/despachos/{}", text(&made, "id"))
}

#[tokio::test]
async fn after_every_unclear_end_the_receiver_is_asked_and_what_arrived_is_not_sent_again() {
    for end in [End::Silence, End::Cut, End::Html, End::Empty, End::Fault, End::Code("", ""), End::Code("-1", "")] {
        let (_platform, mut daemon, script) = scripted(&[end, End::Code("0000", "P")]).await;
        let api = daemon.api();
        let path = dispatched(&api).await;
        let record = api.until_state(&path, "enviado").await;
        assert_eq!(script.operations(), [SEND, ASK], "{end:?}");
        assert!(script.calls().iter().all(|(_, cuo)| *cuo == text(&record, "cuo")), "{end:?}: {:?}", script.calls());
    }
}

#[tokio::test]
async fn what_did_not_arrive_is_sent_again_under_the_same_cuo() {
    let ends = [End::Silence, End::Html, End::Code("0001", ""), End::Code("0000", "")];
    let (_platform, mut daemon, script) = scripted(&ends).await;
    let api = daemon.api();
    let path = dispatched(&api).await;
    let record = api.until_state(&path, "enviado").await;
    assert_eq!(script.operations(), [SEND, ASK, ASK, SEND]);
    assert!(script.calls().iter().all(|(_, cuo)| *cuo == text(&record, "cuo")), "{:?}", script.calls());
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let (_platform, mut daemon, script) = scripted(&[End::Code("0003", "")]).await;
    let api = daemon.api();
    let path = dispatched(&api).await;
    let record = api.until_state(&path, "fallido").await;
    assert!(record["ultimo_error"].as_str().is_some_and(|text| text.contains("0003")), "{record}");
    assert_eq!(script.operations(), [SEND]);
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_send_is_an_unclear_end() {
    let (_platform, mut daemon, script) = scripted(&[End::Silence, End::Code("0000", "P")]).await;
    let api = daemon.api();
    let path = dispatched(&api).await;
    until("the send has begun", 10, || async {
        if script.calls().is_empty() { Err("nothing yet".to_owned()) } else { Ok(()) }
    })
    .await;
    daemon.kill();
    daemon.run().await;
    api.until_state(&path, "enviado").await;
    assert_eq!(script.operations(), [SEND, ASK]);
}

#[tokio::test]
async fn a_cargo_may_arrive_before_the_send_has_ended() {
    let (_platform, mut daemon, _script) = scripted(&[End::Silence]).await;
    let api = daemon.api();
    let path = dispatched(&api).await;
    let sending = api.until_state(&path, "enviando").await;
    let cargo = Fields::cargo(text(&sending, "cuo"), "R", &pdf(2, 5_000));
    let taken = ("0000".to_owned(), "RECEPCION DE CARGO EXITOSO".to_owned());
    assert_eq!(daemon.soap(cargo.xml()).await.verdict(), taken);
    let closed = api.get(&path).await.expect(200);
    assert_eq!((&closed["estado"], &closed["cargo"]["numero_registro"]), (&json!("recepcionado"), &json!("000777")));
    // The send then ends unclearly, which changes nothing and asks nothing: the script foresees no second call.
    until("the job is done", 10, || async {
        let jobs = api.list("/api/v1/cola").await;
        if jobs.is_empty() { Ok(()) } else { Err(format!("{jobs:?}")) }
    })
    .await;
    assert_eq!(api.get(&path).await.expect(200)["estado"], "recepcionado");
}
