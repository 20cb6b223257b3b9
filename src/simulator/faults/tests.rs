//! Which requests are struck, and what a caller of the simulator gets to see of each kind.

use std::{collections::BTreeSet, time::Duration};

use reqwest::header;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::simulator::{Comportamiento, Options, Simulator};

fn about(operacion: Operacion, de: &str, a: &str, cuo: &str) -> About {
    About { operacion, de: de.into(), a: a.into(), cuo: cuo.into() }
}

const A: &str = "20900000015";
const B: &str = "20900000023";

fn faults(rules: serde_json::Value) -> Faults {
    Faults::new(reading::json(&json!({ "falla": rules })).unwrap(), 7)
}

/// Which of `n` cargos from A to B under one CUO are struck.
fn struck(faults: &Faults, n: usize) -> Vec<usize> {
    let cargo = about(Operacion::Cargo, A, B, "0000000001");
    (1..=n).filter(|_| !faults.plan(&cargo).names().is_empty()).collect()
}

#[test]
fn a_rule_strikes_as_often_as_it_says() {
    for (rule, expected) in [
        (json!({"falla": "corte"}), vec![1, 2, 3, 4, 5, 6]),
        (json!({"falla": "corte", "primeras": 2}), vec![1, 2]),
        (json!({"falla": "corte", "cada": 3}), vec![3, 6]),
        (json!({"falla": "corte", "veces": 1}), vec![1]),
        (json!({"falla": "corte", "cada": 2, "veces": 2}), vec![2, 4]),
        (json!({"falla": "corte", "probabilidad": 0.0}), vec![]),
    ] {
        assert_eq!(struck(&faults(json!([rule])), 6), expected, "{rule}");
    }
}

#[test]
fn a_rule_strikes_only_what_fits_it() {
    let rule = |key: &str, value: &str| json!([{"falla": "corte", key: value}]);
    let strikes = |faults: &Faults, about: &About| !faults.plan(about).names().is_empty();
    let (ab, ba) = (about(Operacion::Cargo, A, B, "1"), about(Operacion::Cargo, B, A, "1"));
    for (key, value, expected) in [
        ("entidad", A, [true, true]),
        ("remitente", A, [true, false]),
        ("receptora", A, [false, true]),
        ("operacion", "cargo", [true, true]),
        ("operacion", "consultar", [false, false]),
    ] {
        let faults = faults(rule(key, value));
        assert_eq!([&ab, &ba].map(|about| strikes(&faults, about)), expected, "{key} = {value}");
    }
}

#[test]
fn counts_may_be_kept_for_each_cuo() {
    let faults = faults(json!([{"falla": "corte", "primeras": 1, "por_cuo": true}]));
    let plan = |cuo| faults.plan(&about(Operacion::Recepcionar, A, B, cuo)).names().len();
    assert_eq!(["1", "1", "2", "1", "2", "3"].map(plan), [1, 0, 1, 0, 0, 1]);
    assert_eq!(faults.now().1, [Count { vistas: 6, aplicadas: 3 }]);
}

#[test]
fn the_same_seed_strikes_the_same_requests_and_another_one_others() {
    let drawn = |seed| {
        let script = reading::json(&json!({"falla": [{"falla": "corte", "probabilidad": 0.2}]})).unwrap();
        let faults = Faults::new(script, seed);
        let all: Vec<bool> =
            (0..2_000).map(|_| !faults.plan(&about(Operacion::Cargo, A, B, "1")).names().is_empty()).collect();
        all
    };
    assert_eq!(drawn(5), drawn(5));
    assert_ne!(drawn(5), drawn(6));
    let struck = drawn(5).into_iter().filter(|s| *s).count();
    assert!((330..470).contains(&struck), "{struck} of 2000 at 20 %");
}

/// What a caller sees of the answer to a request for a CUO.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    content_type: String,
    body: Result<Vec<u8>, ()>,
    head: header::HeaderMap,
}

const CUO: &str = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>\
                   <w:getCUO xmlns:w='http://pcm.pide.gob.pe/webservice'><ruc>20900000015</ruc><servicio>3011</servicio>\
                   </w:getCUO></e:Body></e:Envelope>";

async fn ask(http: &reqwest::Client, simulator: &Simulator) -> Option<Seen> {
    let request = http.post(format!("http://{}/services/PcmCuo", simulator.address()));
    let request = request.header("content-type", "text/xml").header("soapaction", "\"\"").body(CUO);
    let response = request.send().await.ok()?;
    let head = response.headers().clone();
    let content_type = head.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let status = response.status().as_u16();
    Some(Seen { status, content_type, body: response.bytes().await.map(|b| b.to_vec()).map_err(drop), head })
}

fn client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().no_gzip().tls_certs_only([]).build().unwrap()
}

async fn with(rule: serde_json::Value) -> (Simulator, reqwest::Client) {
    let faults = reading::json(&json!({ "falla": [rule] })).unwrap();
    (Simulator::start(Options { faults, ..Options::default() }).await.unwrap(), client())
}

fn text(seen: &Seen) -> String {
    String::from_utf8_lossy(seen.body.as_ref().unwrap()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_answer_looks_as_its_name_says() {
    let seen = async |rule| {
        let (simulator, http) = with(rule).await;
        ask(&http, &simulator).await
    };
    assert_eq!(seen(json!({"falla": "corte"})).await, None);
    let cut = seen(json!({"falla": "corte_a_medias"})).await.unwrap();
    assert_eq!((cut.status, cut.body), (200, Err(())));
    let fault = seen(json!({"falla": "fallo_500", "texto": "se cayó"})).await.unwrap();
    assert_eq!(fault.status, 500);
    assert!(text(&fault).contains("<faultstring>se cayó</faultstring>"), "{}", text(&fault));
    let busy = seen(json!({"falla": "error_503", "reintentar_en": "1500ms"})).await.unwrap();
    assert_eq!((busy.status, &busy.head["retry-after"]), (503, &header::HeaderValue::from_static("2")));
    assert!(seen(json!({"falla": "error_503"})).await.unwrap().head.get("retry-after").is_none());
    let page = seen(json!({"falla": "html"})).await.unwrap();
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html; charset=utf-8"));
    let empty = seen(json!({"falla": "vacia"})).await.unwrap();
    assert_eq!((empty.status, empty.body), (202, Ok(vec![])));
    let null = text(&seen(json!({"falla": "nula"})).await.unwrap());
    assert!(null.contains("<ns:getCUOResponse ") && null.contains(" xsi:nil=\"true\"/></ns:getCUOResponse>"), "{null}");
    let code = text(&seen(json!({"falla": "codigo", "valor": "-1"})).await.unwrap());
    assert!(code.contains("<return>-1</return>"), "{code}");
    let packed = seen(json!({"falla": "gzip"})).await.unwrap();
    assert_eq!(&packed.head["content-encoding"], "gzip");
    let mut plain = String::new();
    let body = packed.body.unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain).unwrap();
    assert!(plain.contains("getCUOResponse") && plain.ends_with("</soap:Envelope>"), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_encoding_declared_is_not_the_one_used() {
    let texto = "Ñandú 3.º";
    let rule = |declarado, real| json!([{"falla": "fallo_500", "texto": texto}, {"falla": "charset", "declarado": declarado, "real": real}]);
    for (declarado, real, bytes) in
        [("ISO-8859-1", "UTF-8", texto.as_bytes().to_vec()), ("UTF-8", "ISO-8859-1", b"\xd1and\xfa 3.\xba".to_vec())]
    {
        let faults = reading::json(&json!({ "falla": rule(declarado, real) })).unwrap();
        let simulator = Simulator::start(Options { faults, ..Options::default() }).await.unwrap();
        let seen = ask(&client(), &simulator).await.unwrap();
        assert_eq!(seen.content_type, format!("text/xml; charset={}", declarado.to_lowercase()));
        let body = seen.body.unwrap();
        assert!(memchr::memmem::find(&body, &bytes).is_some(), "{}", String::from_utf8_lossy(&body));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_closed_behind_its_answer() {
    let (simulator, _) = with(json!({"falla": "cierra_conexion", "veces": 1})).await;
    let request = format!("POST /services/PcmCuo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{CUO}", CUO.len());
    for closes in [true, false] {
        let mut stream = tokio::net::TcpStream::connect(simulator.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut answer, mut buffer) = (String::new(), [0; 4096]);
        while !answer.contains("</soap:Envelope>") {
            let read = stream.read(&mut buffer).await.unwrap();
            answer += std::str::from_utf8(&buffer[..read]).unwrap();
        }
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.to_lowercase().contains("connection:"), "{answer}");
        let ended = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await;
        assert_eq!(ended.is_ok(), closes, "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_changed_and_operations_read_over_http() {
    let (simulator, http) = with(json!({"falla": "html"})).await;
    let url = |path: &str| format!("http://{}/simulador/{path}", simulator.address());
    let shown = http.get(url("fallas")).send().await.unwrap().json::<serde_json::Value>().await.unwrap();
    assert_eq!((&shown["falla"][0]["falla"], &shown["cuentas"][0]["vistas"]), (&json!("html"), &json!(0)));
    assert!(shown["semilla"].is_u64(), "{shown}");
    let put = async |body: serde_json::Value| {
        let answer = http.put(url("fallas")).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    assert_eq!(put(shown.clone()).await, (200, shown), "what it shows it takes");
    let (status, problem) = put(json!({"falla": [{"falla": "htlm"}]})).await;
    assert_eq!(status, 422);
    assert!(problem.to_string().contains("¿quiso decir «html»?"), "{problem}");
    let (status, problem) = put(json!({"contraparte": [{"ruc": A, "responde": "calla"}]})).await;
    assert_eq!(status, 422, "{problem}");
    ask(&http, &simulator).await.unwrap();
    let seen = http.get(url("operaciones?limite=10")).send().await.unwrap().json::<serde_json::Value>().await.unwrap();
    let item = &seen["items"][0];
    assert_eq!(
        (&item["operacion"], &item["fallas"], &item["respuesta"]),
        (&json!("cuo"), &json!(["html"]), &json!(null)),
        "{seen}"
    );
    assert_eq!((&item["de"], item["entregas"].as_array().unwrap().len()), (&json!(A), 1));
    let none = http.delete(url("fallas")).send().await.unwrap().json::<serde_json::Value>().await.unwrap();
    assert_eq!(none["falla"], json!([]));
    assert!(text(&ask(&http, &simulator).await.unwrap()).contains("getCUOResponse"));
    assert_eq!(put(json!({"contraparte": [{"ruc": "20900002018", "responde": "calla"}]})).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_waited_for() {
    let (simulator, _) = with(json!({"falla": "demora", "tiempo": "1h"})).await;
    let asked = crate::simulator::request::Asked::Tipos;
    let began = tokio::time::Instant::now();
    simulator.core.attend(asked).await;
    assert!(began.elapsed() >= Duration::from_secs(3600));
}

#[test]
fn every_kind_has_a_name_of_its_own_and_strikes_something() {
    let names: BTreeSet<&str> = Kind::TODAS.iter().map(|kind| kind.nombre()).collect();
    assert_eq!(names.len(), Kind::TODAS.len());
    assert!(Kind::TODAS.iter().all(|kind| !kind.form().operaciones.is_empty()));
    assert!(Comportamiento::TODOS.iter().all(|who| !who.palabra().is_empty()));
}
