//! The component as an INSTANCE, RECEIVER and sender of answers.

use serde_json::Value;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup, answer},
    envelope::{Answer, ENTITY, Fields, SOAP11, query, wrap},
    pdf::pdf,
    platform::Platform,
    rest::client,
    wire::{first, header, post, say},
};

const XML: &str = "Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \"\"\r\n";

async fn component() -> (Platform, Daemon) {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    (platform, daemons.pop().unwrap())
}

fn document() -> Fields {
    Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 3_000))
}

/// Requests that are no requests, each with the fault it earns.
fn wrong() -> Vec<(&'static str, String)> {
    let must = "<s:Header><x:a xmlns:x=\"urn:x\" s:mustUnderstand=\"1\"/></s:Header><s:Body>";
    vec![
        ("Client", "hola".into()),
        ("Client", wrap(&format!("<w:borrarTodo xmlns:w=\"{ENTITY}\"/>"))),
        ("Client", wrap("")),
        ("VersionMismatch", query("19").replace(SOAP11, "http://www.w3.org/2003/05/soap-envelope")),
        ("MustUnderstand", query("19").replace("<s:Body>", must)),
    ]
}

/// The answers of one component to all of [`wrong`].
async fn faults() -> Vec<(&'static str, Answer)> {
    let (_platform, daemon) = component().await;
    let mut answers = Vec::new();
    for (code, envelope) in wrong() {
        answers.push((code, daemon.soap(envelope).await));
    }
    answers
}

/// An answer of each kind: to a document, a question and a wrong request.
async fn answers(daemon: &Daemon) -> Vec<Answer> {
    let mut answers = Vec::new();
    for envelope in [document().xml(), query("0000000019"), Fields::cargo("7", "R", &pdf(2, 500)).xml(), "hola".into()]
    {
        answers.push(daemon.soap(envelope).await);
    }
    answers
}

/// The document's envelope with something changed is taken as if nothing were.
async fn taken(daemon: &mut Daemon, what: &str, headers: &str, body: &[u8]) {
    let said = say(daemon.soap_address(), &post(headers, body)).await;
    assert_eq!(first(&said).verdict().0, "0000", "{what}: {said}");
    let stored = daemon.api().list("/api/v1/recepciones").await;
    assert_eq!(stored.len(), 1, "{what}");
    assert_eq!(stored[0]["asunto"], "Remito información", "{what}");
}

async fn stored(daemon: &mut Daemon) -> Vec<Value> {
    daemon.api().list("/api/v1/recepciones").await
}

#[tokio::test]
async fn r1000_a_fault_holds_nothing_but_the_four_children_that_soap_knows() {
    for (_, fault) in faults().await {
        let (_, inside) = fault.body.split_once("<soap:Fault>").unwrap();
        let (inside, _) = inside.split_once("</soap:Fault>").unwrap();
        let children: Vec<&str> =
            inside.split('<').skip(1).filter(|t| !t.starts_with('/')).map(|t| t.split('>').next().unwrap()).collect();
        assert_eq!(children, ["faultcode", "faultstring"], "{}", fault.body);
    }
}

#[tokio::test]
async fn r1001_the_children_of_a_fault_are_in_no_namespace() {
    for (_, fault) in faults().await {
        assert!(fault.body.contains("<faultcode>") && fault.body.contains("<faultstring>"), "{}", fault.body);
        assert!(!fault.body.contains("xmlns=\""), "no default namespace: {}", fault.body);
    }
}

#[tokio::test]
async fn r1004_fault_codes_are_those_of_soap_1_1() {
    for (code, fault) in faults().await {
        assert!(fault.body.contains(&format!("xmlns:soap=\"{SOAP11}\"")), "{}", fault.body);
        assert_eq!(fault.field("faultcode"), Some(format!("soap:{code}")));
    }
}

#[tokio::test]
async fn r1031_fault_codes_have_no_dots() {
    for (_, fault) in faults().await {
        assert!(!fault.field("faultcode").unwrap().contains('.'), "{}", fault.body);
    }
}

#[tokio::test]
async fn r1005_no_answer_has_an_encoding_style_and_a_request_that_has_one_is_read() {
    let (_platform, mut daemon) = component().await;
    let styled =
        document().xml().replace("<s:Body>", "<s:Body s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\">");
    taken(&mut daemon, "an encoding style", XML, styled.as_bytes()).await;
    for answer in answers(&daemon).await {
        assert!(!answer.body.contains("encodingStyle"), "{}", answer.body);
    }
}

#[tokio::test]
async fn r1008_no_answer_has_a_document_type_and_a_request_that_has_one_is_refused() {
    let (_platform, mut daemon) = component().await;
    let typed = document().xml().replace("?><s:", "?><!DOCTYPE s:Envelope><s:");
    assert_eq!(daemon.soap(typed).await.fault().0, "Client");
    assert!(stored(&mut daemon).await.is_empty());
    for answer in answers(&daemon).await {
        assert!(!answer.body.contains("<!DOCTYPE"), "{}", answer.body);
    }
}

#[tokio::test]
async fn r1009_no_answer_has_processing_instructions_and_those_of_a_request_are_not_obeyed() {
    let (_platform, mut daemon) = component().await;
    let style = "?><?xml-stylesheet href=\"http://127.0.0.1:1/x\"?><!-- a comment --><s:";
    let instructed = document().xml().replace("?><s:", style).replace("<vasu>", "<?php exit(); ?><vasu>");
    taken(&mut daemon, "instructions", XML, instructed.as_bytes()).await;
    for answer in answers(&daemon).await {
        assert_eq!(answer.body.matches("<?").count(), 1, "the XML declaration alone: {}", answer.body);
    }
}

#[tokio::test]
async fn r1010_an_xml_declaration_is_read_and_not_asked_for() {
    let (_platform, mut daemon) = component().await;
    let bare = document().xml().split_once("?>").unwrap().1.to_owned();
    for declaration in ["", "<?xml version='1.0'?>\n", "<?xml version=\"1.0\" encoding='utf-8' standalone=\"yes\" ?>"] {
        taken(&mut daemon, declaration, XML, format!("{declaration}{bare}").as_bytes()).await;
    }
}

#[tokio::test]
async fn r1011_nothing_stands_behind_the_body() {
    let (_platform, mut daemon) = component().await;
    let behind = document().xml().replace("</s:Body>", "</s:Body><x:a xmlns:x=\"urn:x\"/>");
    assert_eq!(daemon.soap(behind).await.fault().0, "Client");
    assert!(stored(&mut daemon).await.is_empty());
    for answer in answers(&daemon).await {
        assert!(answer.body.ends_with("</soap:Body></soap:Envelope>"), "{}", answer.body);
    }
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[tokio::test]
async fn r1012_answers_are_utf_8_and_requests_may_be_utf_16_of_either_end() {
    let (_platform, mut daemon) = component().await;
    let declared = document().xml().replace("UTF-8", "UTF-16");
    let bare = declared.split_once("?>").unwrap().1.to_owned();
    for (end, bytes) in [("le", u16::to_le_bytes as fn(u16) -> [u8; 2]), ("be", u16::to_be_bytes)] {
        for mark in ["", "\u{feff}"] {
            for (text, kind) in [(&declared, "text/xml; charset=utf-16"), (&bare, "text/xml"), (&declared, "text/xml")]
            {
                let headers = format!("Content-Type: {kind}\r\nSOAPAction: \"\"\r\n");
                let body = utf16(&format!("{mark}{text}"), bytes);
                taken(&mut daemon, &format!("UTF-16 {end} {mark:?} {kind}"), &headers, &body).await;
            }
        }
    }
    for answer in answers(&daemon).await {
        assert!(answer.body.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{}", answer.body);
    }
}

#[tokio::test]
async fn r1013_what_must_be_understood_says_so_with_any_word_but_that_for_no() {
    let (_platform, mut daemon) = component().await;
    let headed = |value: &str| {
        let header = format!("<s:Header><x:a xmlns:x=\"urn:x\" s:mustUnderstand=\"{value}\"/></s:Header><s:Body>");
        document().xml().replace("<s:Body>", &header)
    };
    for value in ["1", "true", " 1 ", "yes"] {
        assert_eq!(daemon.soap(headed(value)).await.fault().0, "MustUnderstand", "{value}");
    }
    assert!(stored(&mut daemon).await.is_empty());
    taken(&mut daemon, "0", XML, headed("0").as_bytes()).await;
    for answer in answers(&daemon).await {
        assert!(!answer.body.contains("mustUnderstand"), "{}", answer.body);
    }
}

#[tokio::test]
async fn r1014_the_bodys_child_is_in_a_namespace() {
    let (_platform, mut daemon) = component().await;
    let unqualified = document()
        .xml()
        .replace(&format!("<w:recepcionarTramiteResponse xmlns:w=\"{ENTITY}\">"), "<recepcionarTramiteResponse>");
    let unqualified = unqualified.replace("</w:", "</");
    assert_eq!(daemon.soap(unqualified).await.fault().0, "Client");
    assert!(stored(&mut daemon).await.is_empty());
    let answer = daemon.soap(document().xml()).await;
    assert!(
        answer.body.contains(&format!("<ns:recepcionarTramiteResponseResponse xmlns:ns=\"{ENTITY}\">")),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn r1015_a_message_that_is_no_envelope_is_a_fault() {
    let (_platform, daemon) = component().await;
    for (envelope, code) in [
        ("<html/>".to_owned(), "Client"),
        ("<Envelope/>".to_owned(), "VersionMismatch"),
        (query("19").replace(SOAP11, "urn:schemas-xmlsoap-org:soap.v1"), "VersionMismatch"),
        (query("19").replace("s:Envelope", "s:Envelop"), "Client"),
    ] {
        assert_eq!(daemon.soap(envelope.clone()).await.fault().0, code, "{envelope}");
    }
}

#[tokio::test]
async fn r1017_types_need_not_be_stated_and_may_be() {
    let (_platform, mut daemon) = component().await;
    taken(&mut daemon, "no types", XML, document().xml().as_bytes()).await;
    let typed = document().xml().replace(
        "<vasu>",
        "<vasu xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" i:type=\"xs:string\">",
    );
    taken(&mut daemon, "types", XML, typed.as_bytes()).await;
}

#[tokio::test]
async fn r1018_the_type_of_an_answer_states_its_encoding_and_that_of_a_request_decides() {
    let (_platform, mut daemon) = component().await;
    for answer in answers(&daemon).await {
        assert_eq!(answer.content_type, "text/xml; charset=utf-8");
    }
    let latin: Vec<u8> = document().xml().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let declared = String::from_utf8_lossy(&latin).into_owned();
    assert!(declared.contains("UTF-8"), "the declaration says otherwise than the header");
    taken(&mut daemon, "ISO-8859-1", "Content-Type: text/xml; charset=ISO-8859-1\r\nSOAPAction: \"\"\r\n", &latin)
        .await;
    let in_declaration: Vec<u8> =
        document().xml().replace("UTF-8", "ISO-8859-1").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    taken(&mut daemon, "by its declaration", "Content-Type: text/xml\r\nSOAPAction: \"\"\r\n", &in_declaration).await;
}

#[tokio::test]
async fn r1025_headers_that_must_be_understood_are_judged_before_anything_is_stored() {
    let (_platform, mut daemon) = component().await;
    let header = "<s:Header><a/><x:b xmlns:x=\"urn:x\" s:mustUnderstand=\"1\"/></s:Header><s:Body>";
    let large = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 600_000));
    assert_eq!(daemon.soap(large.xml().replace("<s:Body>", header)).await.fault().0, "MustUnderstand");
    assert!(stored(&mut daemon).await.is_empty());
    assert_eq!([daemon.files("incoming"), daemon.files("documents")].concat(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn r1027_what_must_be_understood_by_us_and_is_not_is_a_must_understand_fault() {
    let (_platform, mut daemon) = component().await;
    let headed = |actor: &str| {
        let header = format!("<s:Header><x:a xmlns:x=\"urn:x\" s:mustUnderstand=\"1\" {actor}/></s:Header><s:Body>");
        document().xml().replace("<s:Body>", &header)
    };
    for actor in ["", "s:actor=\"\"", "s:actor=\"http://schemas.xmlsoap.org/soap/actor/next\""] {
        let (code, text) = daemon.soap(headed(actor)).await.fault();
        assert_eq!(code, "MustUnderstand", "{actor}: {text}");
        assert!(text.contains("«a»"), "{text}");
    }
    taken(&mut daemon, "meant for another", XML, headed("s:actor=\"urn:otro\"").as_bytes()).await;
}

#[tokio::test]
async fn r1028_what_was_answered_with_a_fault_is_not_processed() {
    let (_platform, mut daemon) = component().await;
    // The fault is behind the document, which was whole.
    let xml = document().xml().replace("</s:Body>", "<x:otra xmlns:x=\"urn:x\"/></s:Body>");
    assert_eq!(daemon.soap(xml).await.fault().0, "Client");
    let question = daemon.soap(query("0000000019")).await;
    assert_eq!(question.verdict().0, "0001", "it is not known");
    assert!(stored(&mut daemon).await.is_empty());
}

#[tokio::test]
async fn r1029_a_fault_stands_in_the_place_of_the_answer() {
    for (code, fault) in faults().await {
        assert_eq!(fault.fault().0, code);
        assert!(!fault.body.contains("vcodres"), "{}", fault.body);
    }
}

#[tokio::test]
async fn r1030_whoever_operates_the_service_gets_to_know_of_faults() {
    let (_platform, daemon) = component().await;
    daemon.soap("hola").await.fault();
    let log = std::fs::read_to_string(daemon.dir().join("serve.log")).unwrap();
    assert!(log.contains("a message was refused with a fault") && log.contains("not_xml"), "{log}");
}

#[tokio::test]
async fn r1108_the_http_extension_framework_is_not_used() {
    let (_platform, daemon) = component().await;
    let body = query("19");
    let request = String::from_utf8(post(XML, body.as_bytes())).unwrap().replacen("POST", "M-POST", 1);
    let said =
        say(daemon.soap_address(), request.replace("SOAPAction", "Man: \"urn:x\"; ns=01\r\n01-SOAPAction").as_bytes())
            .await;
    assert_eq!(first(&said).status, 405, "{said}");
}

#[tokio::test]
async fn r1110_the_service_may_be_put_on_port_80() {
    let (_platform, daemon) = component().await;
    let file = daemon.dir().join("80.toml");
    let toml = std::fs::read_to_string(daemon.config()).unwrap();
    let soap = format!("soap = \"{}\"", daemon.soap_address());
    std::fs::write(&file, toml.replace(&soap, "soap = \"0.0.0.0:80\"")).unwrap();
    let output = crate::process::run(daemon.dir(), &["limits", "--config", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", crate::process::said(&output));
}

#[tokio::test]
async fn r1111_an_answer_that_is_no_fault_is_200() {
    let (_platform, daemon) = component().await;
    for envelope in [document().xml(), query("19"), document().without("vcuo").xml()] {
        let answer = daemon.soap(envelope).await;
        assert_eq!(answer.status, 200, "also one that says no: {}", answer.body);
    }
}

#[tokio::test]
async fn r1112_what_succeeds_without_an_envelope_is_200() {
    let (_platform, daemon) = component().await;
    for path in ["/healthz", "/wsiotramite/Tramite?wsdl"] {
        assert_eq!(answer(client().get(format!("http://{}{path}", daemon.soap_address()))).await.status, 200);
    }
}

#[tokio::test]
async fn r1113_a_malformed_request_of_http_is_400() {
    let (_platform, daemon) = component().await;
    for request in ["hola\r\n\r\n", "POST /x y HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost x\r\n\r\n"] {
        let said = say(daemon.soap_address(), request.as_bytes()).await;
        assert_eq!(first(&said).status, 400, "{request}: {said}");
    }
}

#[tokio::test]
async fn r1114_other_methods_are_405_and_the_description_has_an_address_of_its_own() {
    let (_platform, daemon) = component().await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "M-POST"] {
        let request = client().request(method.parse().unwrap(), daemon.soap_url());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 405, "{method}");
        assert!(response.headers()["allow"].to_str().unwrap().contains("POST"));
    }
    let page = answer(client().get(daemon.soap_url())).await;
    assert!(page.status == 405 && page.content_type.starts_with("text/html"), "a person reads what to do");
    assert_eq!(answer(client().get(format!("{}?wsdl", daemon.soap_url()))).await.status, 200);
}

#[tokio::test]
async fn r1115_what_is_no_xml_by_its_type_is_415() {
    let (_platform, daemon) = component().await;
    for kind in ["application/json", "text/plain", "multipart/related; type=\"text/xml\"", "image/png"] {
        let request = client().post(daemon.soap_url()).header("content-type", kind).body(query("19"));
        assert_eq!(answer(request).await.status, 415, "{kind}");
    }
}

#[tokio::test]
async fn r1119_an_action_without_quotes_is_no_reason_to_refuse() {
    let (_platform, mut daemon) = component().await;
    for action in ["recepcionarTramiteResponse", "urn:x", ""] {
        let headers = format!("Content-Type: text/xml; charset=utf-8\r\nSOAPAction: {action}\r\n");
        taken(&mut daemon, action, &headers, document().xml().as_bytes()).await;
    }
}

#[tokio::test]
async fn r1120_no_cookie_is_set() {
    let (_platform, daemon) = component().await;
    let said = say(daemon.soap_address(), &post(XML, document().xml().as_bytes())).await;
    assert_eq!(header(&said, "set-cookie"), None, "{said}");
}

#[tokio::test]
async fn r1121_no_cookie_is_asked_for() {
    let (_platform, mut daemon) = component().await;
    for cookie in ["", "Cookie: a=b\r\n", "Cookie: \u{1f36a}=;;=\r\n"] {
        taken(&mut daemon, cookie, &format!("{XML}{cookie}"), document().xml().as_bytes()).await;
    }
}

#[tokio::test]
async fn r1122_the_form_of_cookies_does_not_matter_where_none_are_used() {
    let (_platform, daemon) = component().await;
    for path in ["/healthz", "/wsiotramite/Tramite", "/wsiotramite/Tramite?wsdl", "/nada"] {
        let response = client().get(format!("http://{}{path}", daemon.soap_address())).send().await.unwrap();
        assert!(
            !response.headers().contains_key("set-cookie") && !response.headers().contains_key("set-cookie2"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn r1124_success_is_2xx() {
    let (_platform, daemon) = component().await;
    assert_eq!(daemon.soap(document().xml()).await.verdict().0, "0000");
}

#[tokio::test]
async fn r1125_a_request_wrong_in_its_form_is_4xx() {
    let (_platform, daemon) = component().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(500));
    for request in ["\0\0\0\r\n\r\n", "GET /nada HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", &long, &many] {
        let status = first(&say(daemon.soap_address(), request.as_bytes()).await).status;
        assert!((400..500).contains(&status), "{status}: {request:.60}");
    }
}

#[tokio::test]
async fn r1126_a_fault_is_http_500() {
    for (code, fault) in faults().await {
        assert_eq!((fault.status, fault.fault().0.as_str()), (500, code));
    }
}

#[tokio::test]
async fn r1127_what_is_asked_is_read_from_the_body_and_never_from_the_action() {
    let (_platform, mut daemon) = component().await;
    for action in ["\"cargoResponse\"", "\"consultarTramiteResponse\"", "\"http://ws/borrarTodo\""] {
        let headers = format!("Content-Type: text/xml; charset=utf-8\r\nSOAPAction: {action}\r\n");
        taken(&mut daemon, action, &headers, document().xml().as_bytes()).await;
    }
    taken(&mut daemon, "none", "Content-Type: text/xml; charset=utf-8\r\n", document().xml().as_bytes()).await;
}

#[tokio::test]
async fn r1130_nobody_is_redirected() {
    let (_platform, daemon) = component().await;
    for path in ["/wsiotramite/Tramite/", "/wsiotramite", "//wsiotramite/Tramite", "/wsiotramite/tramite", "/"] {
        let request =
            client().post(format!("http://{}{path}", daemon.soap_address())).header("content-type", "text/xml");
        let status = answer(request.body(query("19"))).await.status;
        assert!(!(300..400).contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn r1132_an_operation_is_never_done_by_another_method_than_post() {
    let (_platform, mut daemon) = component().await;
    for method in ["GET", "PUT", "PATCH", "HEAD"] {
        let request = client().request(method.parse().unwrap(), daemon.soap_url());
        request.header("content-type", "text/xml").body(document().xml()).send().await.unwrap();
    }
    assert!(stored(&mut daemon).await.is_empty());
}

#[tokio::test]
async fn r1140_http_1_1_is_spoken_with_chunks_and_with_100_continue() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (_platform, mut daemon) = component().await;
    let xml = document().xml();
    let characters: Vec<char> = xml.chars().collect();
    let pieces = characters.chunks(700).map(|piece| piece.iter().collect::<String>());
    let chunks: String = pieces.map(|piece| format!("{:x};a=b\r\n{piece}\r\n", piece.len())).collect();
    let head = format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{XML}Transfer-Encoding: chunked\r\n\r\n"
    );
    let said = say(daemon.soap_address(), format!("{head}{chunks}0\r\nX-Trailer: a\r\n\r\n").as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");

    let mut stream = tokio::net::TcpStream::connect(daemon.soap_address()).await.unwrap();
    let head = format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{XML}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        xml.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(xml.as_bytes()).await.unwrap();
    assert_eq!(first(&crate::wire::rest(&mut stream).await).verdict().0, "0000");
    assert_eq!(stored(&mut daemon).await.len(), 1);
    // Whoever would be refused is told so before it sends.
    let head = "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 900\r\nExpect: 100-continue\r\n\r\n";
    assert!(say(daemon.soap_address(), head.as_bytes()).await.starts_with("HTTP/1.1 415"));
}

#[tokio::test]
async fn r1141_http_1_0_is_answered_and_nothing_else_is() {
    let (_platform, daemon) = component().await;
    let request = String::from_utf8(post(XML, document().xml().as_bytes())).unwrap();
    let said = say(daemon.soap_address(), request.replace("HTTP/1.1", "HTTP/1.0").as_bytes()).await;
    assert_eq!(first(&said).verdict().0, "0000", "{said}");
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "SOAP/1.1"] {
        let said = say(daemon.soap_address(), request.replace("HTTP/1.1", version).as_bytes()).await;
        assert!(said.is_empty() || (400..600).contains(&first(&said).status), "{version}: {said}");
    }
}

#[tokio::test]
async fn r2113_no_answer_has_array_types_and_those_of_a_request_mean_nothing() {
    let (_platform, mut daemon) = component().await;
    let array = "<lstanexos xmlns:e=\"http://schemas.xmlsoap.org/soap/encoding/\" xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                 e:arrayType=\"xs:string[2147483647]\"><vnomdoc>a.pdf</vnomdoc></lstanexos>";
    let xml = document().with("snumanx", "1").with("vurldocanx", "https://x.gob.pe/a").xml();
    let xml = xml.replace("</recepcionRequest>", &format!("{array}</recepcionRequest>"));
    taken(&mut daemon, "an array type", XML, xml.as_bytes()).await;
    for answer in answers(&daemon).await {
        assert!(!answer.body.contains("arrayType"), "{}", answer.body);
    }
}

/// The description that the component publishes.
async fn description(daemon: &Daemon) -> String {
    answer(client().get(format!("{}?wsdl", daemon.soap_url()))).await.body
}

#[tokio::test]
async fn r2301_an_answers_body_holds_one_element_and_its_parts_in_the_order_of_the_description() {
    let (_platform, daemon) = component().await;
    let wsdl = description(&daemon).await;
    let answer = daemon.soap(document().xml()).await;
    let order = |text: &str| text.find("vcodres").unwrap() < text.find("vdesres").unwrap();
    assert!(order(&wsdl) && order(&answer.body), "{}", answer.body);
    assert_eq!(answer.body.matches("<ns:").count(), 1, "{}", answer.body);
}

#[tokio::test]
async fn r2706_the_description_says_literal_everywhere() {
    let (_platform, daemon) = component().await;
    let wsdl = description(&daemon).await;
    let uses: Vec<&str> = wsdl.split(" use=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(uses.len() == 6 && uses.iter().all(|word| *word == "literal"), "{uses:?}");
}

#[tokio::test]
async fn r2712_the_bodys_child_is_the_element_that_the_description_declares() {
    let (_platform, daemon) = component().await;
    let wsdl = description(&daemon).await;
    assert!(wsdl.contains(&format!("targetNamespace=\"{ENTITY}\"")));
    for (envelope, operation) in [
        (document().xml(), "recepcionarTramiteResponse"),
        (query("19"), "consultarTramiteResponse"),
        (Fields::cargo("7", "R", &pdf(2, 500)).xml(), "cargoResponse"),
    ] {
        let element = format!("{operation}Response");
        assert!(wsdl.contains(&format!("<xs:element name=\"{element}\"")), "{element}");
        let answer = daemon.soap(envelope).await;
        assert!(answer.body.contains(&format!("<soap:Body><ns:{element} xmlns:ns=\"{ENTITY}\">")), "{}", answer.body);
    }
}

#[tokio::test]
async fn r2714_no_operation_goes_one_way() {
    let (_platform, daemon) = component().await;
    let wsdl = description(&daemon).await;
    let (_, port) = wsdl.split_once("<portType").unwrap();
    let (port, _) = port.split_once("</portType>").unwrap();
    let count = |what: &str| port.matches(what).count();
    assert_eq!((count("<operation"), count("<input"), count("<output")), (3, 3, 3), "{port}");
    assert!(!daemon.soap(document().xml()).await.body.is_empty());
}

#[tokio::test]
async fn r4001_a_byte_order_mark_is_read() {
    let (_platform, mut daemon) = component().await;
    let marked = format!("\u{feff}{}", document().xml());
    for headers in [XML, "Content-Type: text/xml\r\nSOAPAction: \"\"\r\n"] {
        taken(&mut daemon, "UTF-8", headers, marked.as_bytes()).await;
        taken(&mut daemon, "UTF-16", headers, &utf16(&marked, u16::to_le_bytes)).await;
    }
}
