//! Stacks against the simulated platform, in the flavours of production and of tests.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::{
    daemon::{Daemon, Setup},
    pdf::{pdf, sha256},
    platform::{Flavour, Platform},
    rest::despacho,
};

/// A document as the platform takes it: without what only the entity's side has.
fn at_the_platform(cuo: &str, pdf: &Path) -> Value {
    let mut tramite = tramite(cuo, pdf, "base64_of");
    tramite["lstanexos"] = json!([{"vnomdoc": "plano & corte.dwg"}]);
    tramite
}

async fn uses_the_platform(client: &Client, flavour: Flavour) {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let (files, document_sent) = (Files::new(), pdf(6, 1_000_000));
    let wsdl = platform.descriptions(flavour);
    let cuo = client.call(&wsdl.cuo, wsdl.cuo_operation, &json!({"ruc": CUSCO.ruc, "servicio": "3011"}));
    let cuo = cuo.as_str().unwrap_or_else(|| panic!("no CUO: {cuo}")).to_owned();
    assert!(cuo.len() == 10 && cuo.bytes().all(|b| b.is_ascii_digit()), "{cuo}");

    let with_ip = |mut arguments: Value| {
        if flavour == Flavour::Test {
            arguments["vipent"] = json!("127.0.0.1");
        }
        arguments
    };
    let entities = client.call(&wsdl.entidad, "getListaEntidad", &with_ip(json!({"sidcatent": 7})));
    let first = &entities.as_array().filter(|list| !list.is_empty()).unwrap_or_else(|| panic!("{entities}"))[0];
    assert!(text(first, "vrucent").len() == 11 && !text(first, "vnoment").is_empty(), "{first}");
    let valid = |ruc: &str| client.call(&wsdl.entidad, "validarEntidad", &with_ip(json!({"vrucent": ruc})));
    assert_eq!((valid(LIMA.ruc), valid("20100000009")), (json!("0000"), json!("-1")));
    let types = client.call(&wsdl.tramite, "getTipoDocumento", &json!({}));
    let oficio = types.as_array().and_then(|list| list.iter().find(|t| t["ccodtipdoctra"] == "01"));
    assert_eq!(oficio.map(|t| text(t, "vnomtipdoctra").to_uppercase()).as_deref(), Some("OFICIO"), "{types}");

    let request = json!({"request": at_the_platform(&cuo, &files.add("carta.pdf", &document_sent))});
    let answer = client.call(&wsdl.tramite, "recepcionarTramiteResponse", &request);
    assert_eq!(answer["vcodres"], "0000", "{answer}");
    let api = daemons[0].api();
    let stored = api.until_one("/api/v1/recepciones").await;
    assert_eq!((&stored["asunto"], &stored["documento"]["sha256"]), (&json!(SUBJECT), &json!(sha256(&document_sent))));

    let query = json!({"request": {"vrucentrem": CUSCO.ruc, "vrucentrec": LIMA.ruc, "vcuo": cuo}});
    let pending = client.call(&wsdl.tramite, "consultarTramiteResponse", &query);
    assert_eq!((&pending["vcodres"], &pending["cflgest"]), (&json!("0000"), &json!("P")), "{pending}");
    let filing = json!({"numero_registro": "E-777", "unidad": "GERENCIA", "usuario": "ROSA ÑAHUI PÉREZ"});
    let cargo = pdf(7, 300_000);
    api.form(&format!("/api/v1/recepciones/{}/recepcionar", text(&stored, "id")), &filing, "cargo", &cargo)
        .await
        .expect(200);
    let done = client.call(&wsdl.tramite, "consultarTramiteResponse", &query);
    assert_eq!((&done["cflgest"], &done["vnumregstd"]), (&json!("R"), &json!("E-777")), "{done}");
    assert!(document(&done["bcarstd"]) == cargo, "the cargo's bytes");

    a_cargo_at_the_platform(client, &wsdl.tramite, &mut daemons[1], &files).await;
}

/// A document from Cusco to Lima; the client brings Lima's cargo for it to the platform, which brings it to Cusco.
async fn a_cargo_at_the_platform(client: &Client, wsdl: &str, sender: &mut Daemon, files: &Files) {
    let api = sender.api();
    let made = api.dispatch(&despacho("2026-cargo", LIMA.ruc), &pdf(8, 5_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    let sent = api.until_state(&path, "enviado").await;
    let cargo = pdf(9, 60_000);
    let request = json!({"request": {
        "vrucentrem": LIMA.ruc, "vrucentrec": CUSCO.ruc, "vcuo": sent["cuo"], "vnumregstd": "000777",
        "vanioregstd": "2025", "dfecregstd": "2025-06-02T10:00:00-05:00", "vuniorgstd": "GERENCIA & OTROS",
        "vusuregstd": "ROSA ÑAHUI PÉREZ", "bcarstd": {"base64_of": files.add("cargo.pdf", &cargo)},
        "vobs": OBSERVATION, "cflgest": "O",
    }});
    let answer = client.call(wsdl, "cargoResponse", &request);
    assert_eq!(answer["vcodres"], "0000", "{answer}");
    let closed = api.until_state(&path, "observado").await;
    assert_eq!(closed["cargo"]["observacion"], OBSERVATION);
    assert!(api.get(&format!("{path}/cargo")).await.body == cargo, "the cargo's bytes");
}

#[tokio::test]
async fn zeep_uses_the_platform_of_production_from_its_descriptions_alone() {
    uses_the_platform(&Client::Zeep, Flavour::Production).await;
}

#[tokio::test]
async fn zeep_uses_the_platform_of_tests_from_its_descriptions_alone() {
    uses_the_platform(&Client::Zeep, Flavour::Test).await;
}

#[tokio::test]
async fn php_uses_the_platform_of_production_from_its_descriptions_alone() {
    uses_the_platform(&Client::Php, Flavour::Production).await;
}

#[tokio::test]
async fn php_uses_the_platform_of_tests_from_its_descriptions_alone() {
    uses_the_platform(&Client::Php, Flavour::Test).await;
}
