//! The entity's component as the platform calls it: every row of CONTRACT §6, and what deployed senders do differently.

use serde_json::{Value, json};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup, answer, post},
    envelope::{ENTITY, Fields, base64, from_base64_twice, query, wrap},
    pdf::{pdf, sha256},
    platform::Platform,
    rest::{Api, client, despacho, text},
};

const STORED: &str = "El documento N° CUO 0000000019 se encuentra a disposición para la recepción formal de la entidad \
                      destinataria MUNICIPALIDAD METROPOLITANA DE LIMA en los horarios de atención de su Mesa de Partes.";

fn pair(code: &str, text: &str) -> (String, String) {
    (code.to_owned(), text.to_owned())
}

/// The daemon of Lima, the receiver here; a document for it from Cusco.
async fn receiver() -> (Platform, Daemon, Fields) {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let document = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 30_000));
    (platform, daemons.pop().unwrap(), document)
}

#[tokio::test]
async fn a_document_is_stored_once_however_often_it_arrives() {
    let (_platform, mut daemon, document) = receiver().await;
    for _ in 0..3 {
        assert_eq!(daemon.soap(document.xml()).await.verdict(), pair("0000", STORED));
    }
    let api = daemon.api();
    let stored = api.list("/api/v1/recepciones").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["documento"]["sha256"], sha256(&pdf(1, 30_000)));

    let simultaneous: Vec<_> = (0..8)
        .map(|_| tokio::spawn(post_to(daemon.soap_url(), document.clone().with("vcuo", "0000000020").xml())))
        .collect();
    for answer in simultaneous {
        assert_eq!(answer.await.unwrap(), "0000");
    }
    assert_eq!(api.list("/api/v1/recepciones").await.len(), 2);
}

async fn post_to(url: String, envelope: String) -> String {
    post(&url, envelope).await.verdict().0
}

#[tokio::test]
async fn the_same_cuo_with_other_content_is_refused() {
    let (_platform, mut daemon, document) = receiver().await;
    assert_eq!(daemon.soap(document.xml()).await.verdict().0, "0000");
    let refused = pair("0003", "CUO no valido");
    let other_text = document.clone().with("vasu", "Otro asunto");
    assert_eq!(daemon.soap(other_text.xml()).await.verdict(), refused);
    let other_pdf = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(2, 30_000));
    assert_eq!(daemon.soap(other_pdf.xml()).await.verdict(), refused);
    let stored = daemon.api().list("/api/v1/recepciones").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0]["asunto"], "Remito información");
}

#[tokio::test]
async fn a_document_that_is_useless_is_refused_with_the_words_of_the_specification() {
    let (_platform, mut daemon, good) = receiver().await;
    let cases = [
        (good.clone().without("vcuo"), "CUO no especificado"),
        (good.clone().with("vcuo", "12345678901"), "CUO no valido"),
        (good.clone().without("vrucentrec"), "RUC de la entidad receptora no especificado"),
        (good.clone().with("vrucentrec", "2017721704"), "RUC de Entidad receptora tiene que ser de 11 dígitos"),
        (good.clone().with("vrucentrec", CUSCO.ruc), "RUC de entidad receptora no se encuentra registrada"),
        (good.clone().with("vrucentrem", ""), "RUC de la entidad remitente no especificado"),
        (good.clone().without("bpdfdoc"), "No existe Documento PDF Principal"),
        (good.clone().with("bpdfdoc", "¡no es base64!"), "El Documento Principal debe estar codificado en Base64"),
        (good.clone().with("bpdfdoc", &base64(b"SG9sYQ==")), "El Documento Principal no es un archivo PDF válido"),
    ];
    for (document, text) in cases {
        assert_eq!(daemon.soap(document.xml()).await.verdict(), pair("0003", text));
    }
    assert!(daemon.api().list("/api/v1/recepciones").await.is_empty());
}

#[tokio::test]
async fn a_document_with_harmless_defects_is_kept_leniently_and_refused_strictly() {
    let (_platform, mut daemons) =
        Platform::with([Setup::of(&[LIMA]), Setup::of(&[LIMA]).with("[reception]\nvalidation = \"strict\"")]).await;
    let long = "x".repeat(501);
    let document = Fields::document(CUSCO.ruc, LIMA.ruc, "19", &pdf(1, 3_000)).with("vasu", &long);
    assert_eq!(daemons[0].soap(document.xml()).await.verdict().0, "0000");
    let kept = daemons[0].api().until_one("/api/v1/recepciones").await;
    assert_eq!(kept["asunto"], long, "whole");
    assert!(kept["advertencias"].as_array().is_some_and(|list| !list.is_empty()), "flagged: {kept}");

    let refused = pair("0003", "Asunto de documento excede el tamaño permitido");
    assert_eq!(daemons[1].soap(document.xml()).await.verdict(), refused);
    assert!(daemons[1].api().list("/api/v1/recepciones").await.is_empty());
}

#[tokio::test]
async fn what_deployed_senders_do_differently_is_understood() {
    let (_platform, mut daemon, good) = receiver().await;
    let once = base64(&pdf(1, 30_000));
    let lines: Vec<&str> = once.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let namespace = |xml: String| xml.replace(ENTITY, "http://ws.wsiopidetramite.segdi.gob.pe/");
    let part = |xml: String| xml.replace("recepcionRequest>", "request>");
    let variants = [
        ("encoded once", good.clone().with("bpdfdoc", &once).xml()),
        ("encoded once, in lines", good.clone().with("bpdfdoc", &lines.join("\r\n")).xml()),
        ("inner layer in lines", good.clone().with("bpdfdoc", &base64(lines.join("\n").as_bytes())).xml()),
        ("the platform's namespace", namespace(good.xml())),
        ("the platform's part", part(good.xml())),
        ("unknown elements", good.clone().with("nuevo", "x").xml()),
        ("a date without zone", good.clone().with("dfecdoc", "2025-06-02T09:30:00").xml()),
    ];
    let api = daemon.api();
    for (n, (what, xml)) in variants.into_iter().enumerate() {
        let cuo = format!("00000001{n:02}");
        let answer = daemon.soap(xml.replace("0000000019", &cuo)).await;
        assert_eq!(answer.verdict().0, "0000", "{what}: {}", answer.body);
        let stored = api.until_one(&format!("/api/v1/recepciones?cuo={cuo}")).await;
        assert_eq!(stored["documento"]["sha256"], sha256(&pdf(1, 30_000)), "{what}");
    }
    for action in [None, Some("\"recepcionarTramiteResponse\""), Some("http://ejemplo/x")] {
        let cuo = format!("00000002{:02}", action.map_or(0, str::len));
        let request = client().post(daemon.soap_url()).header("content-type", "text/xml");
        let request = action.into_iter().fold(request, |request, action| request.header("soapaction", action));
        let stored = answer(request.body(good.clone().with("vcuo", &cuo).xml())).await;
        assert_eq!(stored.verdict().0, "0000", "SOAPAction {action:?}");
    }
}

#[tokio::test]
async fn a_query_tells_what_became_of_a_document() {
    let (_platform, mut daemon, document) = receiver().await;
    let unknown = daemon.soap(query("0000000019")).await;
    assert_eq!(unknown.verdict(), pair("0001", "DATOS NO ENCONTRADOS"));

    daemon.soap(document.xml()).await.verdict();
    let pending = daemon.soap(query("0000000019")).await;
    assert_eq!(pending.verdict(), pair("0000", "DATOS ENCONTRADOS"));
    assert_eq!(pending.field("cflgest").as_deref(), Some("P"));
    assert_eq!(pending.field("bcarstd").unwrap_or_default(), "");

    let api = daemon.api();
    let cargo = pdf(3, 50_000);
    filed(&api, &cargo).await;
    let done = daemon.soap(query("0000000019")).await;
    assert_eq!(done.verdict(), pair("0000", "DATOS ENCONTRADOS"));
    for (name, value) in [
        ("cflgest", "R"),
        ("vnumregstd", "E-777"),
        ("vuniorgstd", "GERENCIA MUNICIPAL"),
        ("vusuregstd", "ROSA ÑAHUI PÉREZ"),
    ] {
        assert_eq!(done.field(name).as_deref(), Some(value), "{}", done.body);
    }
    assert!(from_base64_twice(&done.field("bcarstd").expect("a cargo")) == cargo, "the cargo's bytes");

    let structure = format!(
        "<w:consultarTramiteResponse xmlns:w=\"{ENTITY}\"><request><vrucentrem>{}</vrucentrem><vrucentrec>{}</vrucentrec>\
         <vcuo>0000000019</vcuo></request></w:consultarTramiteResponse>",
        CUSCO.ruc, LIMA.ruc
    );
    assert_eq!(daemon.soap(wrap(&structure)).await.field("cflgest").as_deref(), Some("R"));
}

/// Mesa de partes files the only document there is.
async fn filed(api: &Api, cargo: &[u8]) -> Value {
    let received = api.until_one("/api/v1/recepciones").await;
    let path = format!("/api/v1/recepciones/{}/recepcionar", text(&received, "id"));
    let datos = json!({"numero_registro": "E-777", "unidad": "GERENCIA MUNICIPAL", "usuario": "ROSA ÑAHUI PÉREZ"});
    api.form(&path, &datos, "cargo", cargo).await.expect(200)
}

#[tokio::test]
async fn a_cargo_is_taken_once_and_another_one_is_refused() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let daemon = &mut daemons[0];
    let api = daemon.api();
    let made = api.dispatch(&despacho("2026-cargo", CUSCO.ruc), &pdf(4, 8_000)).await;
    let path = format!("/api/v1/despachos/{}", text(&made, "id"));
    let sent = api.until_state(&path, "enviado").await;
    let document = pdf(5, 20_000);
    let cargo = Fields::cargo(text(&sent, "cuo"), "R", &document);

    let missing = cargo.clone().without("bcarstd");
    assert_eq!(daemon.soap(missing.xml()).await.verdict(), pair("0003", "No existe documento PDF de cargo de tramite"));
    let no_letter = cargo.clone().with("cflgest", "X");
    assert_eq!(daemon.soap(no_letter.xml()).await.verdict(), pair("0003", "Código de Estado inválido"));
    let unknown = cargo.clone().with("vcuo", "9999999999");
    assert_eq!(daemon.soap(unknown.xml()).await.verdict(), pair("-1", "NO SE PUDO REGISTRAR EL CARGO"));
    assert_eq!(api.get(&path).await.expect(200)["estado"], "enviado");

    assert_eq!(daemon.soap(cargo.xml()).await.verdict(), pair("0000", "RECEPCION DE CARGO EXITOSO"));
    assert_eq!(daemon.soap(cargo.xml()).await.verdict(), pair("0000", "EL CARGO YA SE ENCUENTRA REGISTRADO"));
    let other = cargo.clone().with("vnumregstd", "000778");
    assert_eq!(daemon.soap(other.xml()).await.verdict(), pair("0002", "EL CARGO YA SE ENCUENTRA REGISTRADO"));
    let other = Fields::cargo(text(&sent, "cuo"), "O", &document);
    assert_eq!(daemon.soap(other.xml()).await.verdict(), pair("0002", "EL CARGO YA SE ENCUENTRA REGISTRADO"));

    let closed = api.get(&path).await.expect(200);
    assert_eq!((&closed["estado"], &closed["cargo"]["numero_registro"]), (&json!("recepcionado"), &json!("000777")));
    assert!(api.get(&format!("{path}/cargo")).await.body == document, "the first cargo's bytes");
}

#[tokio::test]
async fn our_own_fault_is_answered_with_a_sentence_and_nothing_is_stored() {
    let (_platform, mut daemon, _) = receiver().await;
    let large = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(6, 1_000_000));
    let incoming = daemon.data_dir().join("incoming");
    std::fs::remove_dir_all(&incoming).unwrap();
    let (code, text) = daemon.soap(large.xml()).await.verdict();
    assert_eq!(code, "-1", "{text}");
    assert!(text.len() > 20 && !text.contains('/'), "a sentence without paths: {text}");
    assert!(daemon.api().list("/api/v1/recepciones").await.is_empty());

    std::fs::create_dir(&incoming).unwrap();
    assert_eq!(daemon.soap(large.xml()).await.verdict().0, "0000");
}

#[tokio::test]
async fn the_description_holds_the_address_that_the_caller_used() {
    let (_platform, daemon, _) = receiver().await;
    let own = daemon.soap_address().to_string();
    // Names stand in the header only: a bare machine resolves none, not even localhost.
    for host in [own.as_str(), "localhost:8080", "tramite.munilima.example"] {
        let wsdl = answer(client().get(format!("{}?wsdl", daemon.soap_url())).header("host", host)).await;
        assert_eq!(wsdl.status, 200);
        assert!(wsdl.content_type.starts_with("text/xml"), "{}", wsdl.content_type);
        let location = format!("location=\"http://{host}/wsiotramite/Tramite\"");
        assert!(wsdl.body.contains(&location), "no {location}: {}", wsdl.body);
    }
    let other = client().get(format!("http://{}/api/v1/despachos", daemon.soap_address()));
    assert_eq!(answer(other).await.status, 404, "the platform's side shows nothing else");
}
