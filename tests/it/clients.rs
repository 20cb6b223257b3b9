//! Independent SOAP clients, PHP's SoapClient and Python's zeep, from the published descriptions alone: against the entity's
//! component, and against the simulated platform in both flavours. `./test` installs them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    envelope::Fields,
    patience::until,
    pdf::{pdf, sha256},
    platform::{Flavour, Platform},
    rest::{despacho, text},
};

/// The document of the first test, in bytes.
const BYTES: usize = 5_000_000;

const SUBJECT: &str = "Señalización de «Ñaña» & áéíóú: si a < b, año 2026 > 2025; \"comillas\" y 'apóstrofos'";

#[derive(Clone, Copy)]
enum Client {
    Zeep,
    Php,
}

impl Client {
    fn command(self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (program, script) = match self {
            Self::Zeep => (root.join(".venv/bin/python"), "call.py"),
            Self::Php => (PathBuf::from("php"), "call.php"),
        };
        let mut command = Command::new(program);
        if matches!(self, Self::Php) {
            command.args(["-d", "memory_limit=512M"]);
        }
        command.arg(root.join("tests/clients").join(script));
        command
    }

    /// Calls an operation with nothing but the description at `wsdl` to go by.
    fn call(self, wsdl: &str, operation: &str, arguments: &Value) -> Value {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        serde_json::to_writer(&mut file, arguments).unwrap();
        let output = self.command().args([wsdl, operation]).arg(file.path()).output();
        let output =
            output.unwrap_or_else(|e| panic!("the client does not start ({e}): run ./test once, it installs it"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{operation}: {}\n{error}", output.status);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{operation}: {}\n{error}", String::from_utf8_lossy(&output.stdout)))
    }
}

/// Files that a client reads.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Bytes that the client decoded once.
fn bytes(value: &Value) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text(value, "base64")).unwrap()
}

/// The PDF in a field of an answer: one layer was the client's affair, the other is ours to take off.
fn document(value: &Value) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(bytes(value)).expect("the inner base64")
}

/// A document as the entity's component takes it, the PDF encoded twice (`base64_of`) or once (`bytes_of`).
fn tramite(cuo: &str, pdf: &Path, encoding: &str) -> Value {
    json!({
        "vrucentrem": CUSCO.ruc, "vrucentrec": LIMA.ruc, "vnomentemi": CUSCO.name, "vuniorgrem": "OFICINA DE TECNOLOGÍA",
        "vcuo": cuo, "ccodtipdoc": "02", "vnumdoc": "CARTA 7-2025", "dfecdoc": "2025-06-02T09:30:00-05:00",
        "vuniorgdst": "GERENCIA MUNICIPAL", "vnomdst": "MARÍA QUISPE MAMANI", "vnomcardst": "GERENTE MUNICIPAL",
        "vasu": SUBJECT, "snumanx": 1, "snumfol": 12, "vurldocanx": "https://cusco.example/anexos?a=1&b=2",
        "bpdfdoc": {encoding: pdf}, "vnomdoc": "carta nº 7.pdf",
        "lstanexos": [{"siddocanx": 1, "siddocext": 1, "vnomdoc": "plano & corte.dwg"}],
        "ctipdociderem": "1", "vnumdociderem": "40633367",
    })
}

async fn sends_queries_repeats_and_delivers(client: Client) {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let daemon = &mut daemons[0];
    let (files, api, wsdl) = (Files::new(), daemon.api(), format!("{}?wsdl", daemon.soap_url()));
    let large = pdf(1, BYTES);
    let request = json!({"recepcionRequest": tramite("0000004321", &files.add("carta.pdf", &large), "base64_of")});

    a_cargo(client, daemon, &files).await;
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

async fn encoded_once(client: Client, daemon: &mut Daemon, files: &Files) {
    let once = pdf(3, 100_000);
    let request = json!({"recepcionRequest": tramite("0000004322", &files.add("una.pdf", &once), "bytes_of")});
    let answer = client.call(&format!("{}?wsdl", daemon.soap_url()), "recepcionarTramiteResponse", &request);
    assert_eq!(answer["vcodres"], "0000", "{answer}");
    let stored = daemon.api().until_one("/api/v1/recepciones?cuo=0000004322").await;
    assert_eq!(stored["documento"]["sha256"], sha256(&once));
}

/// A document of ours goes out; the client brings its cargo, twice, and another one.
async fn a_cargo(client: Client, daemon: &mut Daemon, files: &Files) {
    let (api, wsdl) = (daemon.api(), format!("{}?wsdl", daemon.soap_url()));
    let made = api.dispatch(&despacho("2026-cargo", CUSCO.ruc), &pdf(4, 5_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    let sent = api.until_state(&path, "enviado").await;
    let cargo = pdf(5, 60_000);
    let request = json!({"cargoRequest": {
        "vcuo": sent["cuo"], "vnumregstd": "000777", "vanioregstd": "2025", "dfecregstd": "2025-06-02T10:00:00-05:00",
        "vuniorgstd": "GERENCIA & OTROS", "vusuregstd": "ROSA ÑAHUI PÉREZ",
        "bcarstd": {"base64_of": files.add("cargo.pdf", &cargo)}, "cflgest": "R",
    }});
    let texts = ["RECEPCION DE CARGO EXITOSO", "EL CARGO YA SE ENCUENTRA REGISTRADO"];
    for text in texts {
        let answer = client.call(&wsdl, "cargoResponse", &request);
        assert_eq!((&answer["vcodres"], &answer["vdesres"]), (&json!("0000"), &json!(text)));
    }
    let mut other = request;
    other["cargoRequest"]["vnumregstd"] = json!("000778");
    assert_eq!(client.call(&wsdl, "cargoResponse", &other)["vcodres"], "0002");
    let closed = api.get(&path).await.expect(200);
    assert_eq!((&closed["estado"], &closed["cargo"]["unidad"]), (&json!("recepcionado"), &json!("GERENCIA & OTROS")));
    assert!(api.get(&format!("{path}/cargo")).await.body == cargo, "the cargo's bytes");
}

#[tokio::test]
async fn zeep_sends_queries_repeats_and_delivers_a_cargo_from_the_description_alone() {
    sends_queries_repeats_and_delivers(Client::Zeep).await;
}

#[tokio::test]
async fn php_sends_queries_repeats_and_delivers_a_cargo_from_the_description_alone() {
    sends_queries_repeats_and_delivers(Client::Php).await;
}

/// A document as the platform takes it: without what only the entity's side has.
fn at_the_platform(cuo: &str, pdf: &Path) -> Value {
    let mut tramite = tramite(cuo, pdf, "base64_of");
    tramite["lstanexos"] = json!([{"vnomdoc": "plano & corte.dwg"}]);
    tramite
}

async fn uses_the_platform(client: Client, flavour: Flavour) {
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
async fn a_cargo_at_the_platform(client: Client, wsdl: &str, sender: &mut Daemon, files: &Files) {
    let api = sender.api();
    let made = api.dispatch(&despacho("2026-cargo", LIMA.ruc), &pdf(8, 5_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    let sent = api.until_state(&path, "enviado").await;
    let cargo = pdf(9, 60_000);
    let request = json!({"request": {
        "vrucentrem": LIMA.ruc, "vrucentrec": CUSCO.ruc, "vcuo": sent["cuo"], "vnumregstd": "000777",
        "vanioregstd": "2025", "dfecregstd": "2025-06-02T10:00:00-05:00", "vuniorgstd": "GERENCIA & OTROS",
        "vusuregstd": "ROSA ÑAHUI PÉREZ", "bcarstd": {"base64_of": files.add("cargo.pdf", &cargo)},
        "vobs": "Falta la firma de la página 2 & «otra»", "cflgest": "O",
    }});
    let answer = client.call(wsdl, "cargoResponse", &request);
    assert_eq!(answer["vcodres"], "0000", "{answer}");
    let closed = api.until_state(&path, "observado").await;
    assert_eq!(closed["cargo"]["observacion"], "Falta la firma de la página 2 & «otra»");
    assert!(api.get(&format!("{path}/cargo")).await.body == cargo, "the cargo's bytes");
}

#[tokio::test]
async fn zeep_uses_the_platform_of_production_from_its_descriptions_alone() {
    uses_the_platform(Client::Zeep, Flavour::Production).await;
}

#[tokio::test]
async fn zeep_uses_the_platform_of_tests_from_its_descriptions_alone() {
    uses_the_platform(Client::Zeep, Flavour::Test).await;
}

#[tokio::test]
async fn php_uses_the_platform_of_production_from_its_descriptions_alone() {
    uses_the_platform(Client::Php, Flavour::Production).await;
}

#[tokio::test]
async fn php_uses_the_platform_of_tests_from_its_descriptions_alone() {
    uses_the_platform(Client::Php, Flavour::Test).await;
}

#[tokio::test]
async fn a_fault_reads_as_one_in_both_clients() {
    let (_platform, daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let wsdl = format!("{}?wsdl", daemons[0].soap_url());
    // Both leave the part out: a missing structure.
    for client in [Client::Zeep, Client::Php] {
        let answer = client.call(&wsdl, "recepcionarTramiteResponse", &json!({}));
        assert!(text(&answer, "fault").ends_with("Client"), "{answer}");
        assert!(text(&answer, "text").contains("recepcionRequest"), "{answer}");
    }
    let answer = daemons[0].soap(Fields::cargo("1", "R", b"").without("bcarstd").xml()).await;
    assert_eq!(answer.verdict().0, "0003", "a field that is missing is no fault");
    until("the daemon is well", 5, || async {
        let reply = crate::rest::client().get(format!("http://{}/healthz", daemons[0].api_address())).send().await;
        reply.map(drop).map_err(|e| e.to_string())
    })
    .await;
}
