//! Each stack against the entity's component: a document with annexes, the same again, cargos that accept and observe, a
//! question before and after; and a fault.

use serde_json::{Value, json};

use super::*;
use crate::{
    daemon::{Daemon, Setup},
    envelope::Fields,
    pdf::{pdf, sha256},
    platform::Platform,
    rest::despacho,
};

/// The document of the first test, in bytes.
const BYTES: usize = 2_000_000;

/// `client` makes one for the description at an address.
async fn sends_queries_repeats_and_delivers(client: impl FnOnce(&str) -> Client) {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let daemon = &mut daemons[0];
    let (files, api, wsdl) = (Files::new(), daemon.api(), format!("{}?wsdl", daemon.soap_url()));
    let client = &client(&wsdl);
    let large = pdf(1, BYTES);
    let request = json!({"recepcionRequest": tramite("0000004321", &files.add("carta.pdf", &large), "base64_of")});

    for letter in ["R", "O"] {
        a_cargo(client, daemon, &files, letter).await;
    }
    for _ in 0..2 {
        let answer = client.call(&wsdl, "recepcionarTramiteResponse", &request);
        assert_eq!(answer["vcodres"], "0000", "{answer}");
        assert!(
            text(&answer, "vdesres").starts_with("El documento N° CUO 0000004321 se encuentra a disposición"),
            "{answer}"
        );
    }
    let stored = api.list("/api/v1/recepciones").await;
    assert_eq!(stored.len(), 1, "stored once");
    as_sent(&stored[0], &large);
    let recepcion = format!("/api/v1/recepciones/{}", text(&stored[0], "id"));
    assert!(api.get(&format!("{recepcion}/documento")).await.body == large, "the bytes are those sent");

    let mut other = request.clone();
    other["recepcionRequest"]["vasu"] = json!("Otro");
    let refused = client.call(&wsdl, "recepcionarTramiteResponse", &other);
    assert_eq!((&refused["vcodres"], &refused["vdesres"]), (&json!("0003"), &json!("CUO no valido")));

    let query = json!({"request": "0000004321"});
    let pending = client.call(&wsdl, "consultarTramiteResponse", &query);
    assert_eq!((&pending["vcodres"], &pending["cflgest"]), (&json!("0000"), &json!("P")), "{pending}");
    let filing = json!({"numero_registro": "E-777", "unidad": "GERENCIA", "usuario": "ROSA ÑAHUI PÉREZ"});
    let cargo = pdf(2, 900_000);
    api.form(&format!("{recepcion}/recepcionar"), &filing, "cargo", &cargo).await.expect(200);
    let done = client.call(&wsdl, "consultarTramiteResponse", &query);
    assert_eq!((&done["cflgest"], &done["vnumregstd"]), (&json!("R"), &json!("E-777")));
    assert_eq!(done["vusuregstd"], "ROSA ÑAHUI PÉREZ");
    assert!(document(&done["bcarstd"]) == cargo, "the cargo's bytes");
    let unknown = client.call(&wsdl, "consultarTramiteResponse", &json!({"request": "0000009999"}));
    assert_eq!((&unknown["vcodres"], &unknown["vdesres"]), (&json!("0001"), &json!("DATOS NO ENCONTRADOS")));

    encoded_once(client, daemon, &files).await;
}

/// Every field is as the client sent it.
fn as_sent(stored: &Value, document: &[u8]) {
    let remitente = json!({"ruc": CUSCO.ruc, "nombre": CUSCO.name, "unidad": "OFICINA DE TECNOLOGÍA",
                           "tipo_documento": "1", "numero_documento": "40633367"});
    let destinatario =
        json!({"unidad": "GERENCIA MUNICIPAL", "nombre": "MARÍA QUISPE MAMANI", "cargo": "GERENTE MUNICIPAL"});
    let expected = [
        ("cuo", json!("0000004321")),
        ("remitente", remitente),
        ("destinatario", destinatario),
        ("tipo_documento", json!("02")),
        ("numero_documento", json!("CARTA 7-2025")),
        ("fecha_documento", json!("2025-06-02T09:30:00-05:00")),
        ("asunto", json!(SUBJECT)),
        ("folios", json!(12)),
        ("url_anexos", json!("https://cusco.example/anexos?a=1&b=2")),
        ("documento", json!({"nombre": "carta nº 7.pdf", "bytes": document.len(), "sha256": sha256(document)})),
    ];
    for (field, value) in expected {
        assert_eq!(stored[field], value, "{field}");
    }
    assert_eq!(stored["anexos"][0]["nombre"], "plano & corte.dwg");
}

async fn encoded_once(client: &Client, daemon: &mut Daemon, files: &Files) {
    let once = pdf(3, 100_000);
    let request = json!({"recepcionRequest": tramite("0000004322", &files.add("una.pdf", &once), "bytes_of")});
    let answer = client.call(&format!("{}?wsdl", daemon.soap_url()), "recepcionarTramiteResponse", &request);
    assert_eq!(answer["vcodres"], "0000", "{answer}");
    let stored = daemon.api().until_one("/api/v1/recepciones?cuo=0000004322").await;
    assert_eq!(stored["documento"]["sha256"], sha256(&once));
}

/// A document of ours goes out; the client brings its cargo with the letter `R` or `O`, twice, and another one.
async fn a_cargo(client: &Client, daemon: &mut Daemon, files: &Files, letter: &str) {
    let (api, wsdl) = (daemon.api(), format!("{}?wsdl", daemon.soap_url()));
    let made = api.dispatch(&despacho(&format!("2026-{letter}"), CUSCO.ruc), &pdf(4, 5_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    let sent = api.until_state(&path, "enviado").await;
    let cargo = pdf(5, 60_000);
    let mut request = json!({"cargoRequest": {
        "vcuo": sent["cuo"], "vnumregstd": "000777", "vanioregstd": "2025", "dfecregstd": "2025-06-02T10:00:00-05:00",
        "vuniorgstd": "GERENCIA & OTROS", "vusuregstd": "ROSA ÑAHUI PÉREZ",
        "bcarstd": {"base64_of": files.add("cargo.pdf", &cargo)}, "cflgest": letter,
    }});
    let (estado, observacion) = match letter {
        "O" => ("observado", json!(OBSERVATION)),
        _ => ("recepcionado", json!(null)),
    };
    if letter == "O" {
        request["cargoRequest"]["vobs"] = observacion.clone();
    }
    let texts = ["RECEPCION DE CARGO EXITOSO", "EL CARGO YA SE ENCUENTRA REGISTRADO"];
    for text in texts {
        let answer = client.call(&wsdl, "cargoResponse", &request);
        assert_eq!((&answer["vcodres"], &answer["vdesres"]), (&json!("0000"), &json!(text)));
    }
    let mut other = request;
    other["cargoRequest"]["vnumregstd"] = json!("000778");
    assert_eq!(client.call(&wsdl, "cargoResponse", &other)["vcodres"], "0002");
    let closed = api.get(&path).await.expect(200);
    assert_eq!((&closed["estado"], &closed["cargo"]["unidad"]), (&json!(estado), &json!("GERENCIA & OTROS")));
    assert_eq!(closed["cargo"]["observacion"], observacion);
    assert_eq!(closed["cargo"]["fecha_registro"], "2025-06-02T10:00:00-05:00");
    assert!(api.get(&format!("{path}/cargo")).await.body == cargo, "the cargo's bytes");
}

#[tokio::test]
async fn zeep_sends_queries_repeats_and_delivers_cargos_from_the_description_alone() {
    sends_queries_repeats_and_delivers(|_| Client::Zeep).await;
}

#[tokio::test]
async fn suds_sends_queries_repeats_and_delivers_cargos_from_the_description_alone() {
    sends_queries_repeats_and_delivers(|_| Client::Suds).await;
}

#[tokio::test]
async fn php_sends_queries_repeats_and_delivers_cargos_from_the_description_alone() {
    sends_queries_repeats_and_delivers(|_| Client::Php).await;
}

#[tokio::test]
async fn node_sends_queries_repeats_and_delivers_cargos_from_the_description_alone() {
    sends_queries_repeats_and_delivers(|_| Client::Node).await;
}

#[tokio::test]
async fn soap_lite_sends_queries_repeats_and_delivers_cargos() {
    sends_queries_repeats_and_delivers(|_| Client::Perl).await;
}

#[tokio::test]
async fn gsoap_sends_queries_repeats_and_delivers_cargos_with_stubs_made_from_the_description() {
    sends_queries_repeats_and_delivers(Client::gsoap).await;
}

#[tokio::test]
async fn a_fault_reads_as_one_in_every_client() {
    let (_platform, daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let wsdl = format!("{}?wsdl", daemons[0].soap_url());
    let clients = [Client::Zeep, Client::Suds, Client::Php, Client::Node, Client::Perl, Client::gsoap(&wsdl)];
    // All leave the part out: a missing structure.
    for client in clients {
        let answer = client.call(&wsdl, "recepcionarTramiteResponse", &json!({}));
        assert!(text(&answer, "fault").ends_with("Client"), "{client:?}: {answer}");
        assert!(text(&answer, "text").contains("recepcionRequest"), "{client:?}: {answer}");
    }
    let answer = daemons[0].soap(Fields::cargo("1", "R", b"").without("bcarstd").xml()).await;
    assert_eq!(answer.verdict().0, "0003", "a field that is missing is no fault");
}
