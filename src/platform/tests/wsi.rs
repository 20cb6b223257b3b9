//! WS-I Basic Profile 1.1 as a CONSUMER and sender of requests; docs/ws-i.md is the table. A test's name begins with the
//! number of its assertion.

use super::*;
use crate::contract::wsdl;

fn fault(inside: &str) -> String {
    envelope(&format!("<s:Fault>{inside}</s:Fault>"))
}

const CODES: &str = "<faultcode>s:Server</faultcode><faultstring>No hay línea</faultstring>";
const SAID: &str = "X respondió con un fallo SOAP: «No hay línea»";

/// An answer is a fault whatever its status, but for those by which a service asks for time.
async fn is_fault(body: &str) {
    for status in ["200 OK", "202 Accepted", "400 Bad Request", "404 Not Found", "500 Internal Server Error", "502 Bad"]
    {
        let error = send(&Odd::answering(status, "", body).await).await.unwrap_err();
        assert_eq!(error.falla, Falla::FalloSoap, "{status}: {body}: {error}");
        assert!(error.detalle.ends_with("«No hay línea»"), "{status}: {error}");
    }
}

async fn accepted_as(headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len());
    let server = Odd::start(Behaviour::Answer([head.as_bytes(), body].concat())).await;
    let respuesta = send(&server).await.unwrap_or_else(|e| panic!("{headers}: {e}"));
    assert_eq!(respuesta, Respuesta::nueva("0000", "Recibido, señor"), "{headers}");
}

#[tokio::test]
async fn r1002_the_detail_of_a_fault_may_hold_anything() {
    for detail in
        ["", "<detail/>", "<detail><a/><x:b xmlns:x='urn:x'>1</x:b><c><d/></c></detail>", "<detail>texto</detail>"]
    {
        is_fault(&fault(&format!("{CODES}{detail}"))).await;
    }
}

#[tokio::test]
async fn r1003_the_detail_of_a_fault_may_have_any_attributes() {
    is_fault(&fault(&format!("{CODES}<detail a='1' xmlns:x='urn:x' x:b='2'><a/></detail>"))).await;
}

#[tokio::test]
async fn r1016_the_text_of_a_fault_may_name_its_language() {
    is_fault(&fault("<faultcode>s:Server</faultcode><faultstring xml:lang='es-PE'>No hay línea</faultstring>")).await;
}

#[tokio::test]
async fn r1107_a_fault_is_known_by_its_element_whatever_the_status_and_however_it_is_written() {
    is_fault(&fault(CODES)).await;
    let namespaced = CODES.replace("<fault", "<s:fault").replace("</fault", "</s:fault");
    is_fault(&fault(&namespaced)).await;
    is_fault(&fault("<faultstring><![CDATA[No hay línea]]></faultstring><faultactor>urn:x</faultactor>")).await;
    is_fault(
        &fault(CODES)
            .replace("<s:", "<soapenv:")
            .replace("</s:", "</soapenv:")
            .replace("xmlns:s=", "xmlns:soapenv=")
            .replace("s:Server", "soapenv:Server"),
    )
    .await;
    // What asks for time is given it, and what it said is kept.
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        let error = send(&Odd::answering(status, "retry-after: 7\r\n", &fault(CODES)).await).await.unwrap_err();
        assert_eq!((error.falla, error.retry_after), (Falla::Ocupada, Some(Duration::from_secs(7))), "{error}");
        assert!(error.detalle.contains("No hay línea"), "{error}");
    }
}

#[tokio::test]
async fn r1108_requests_use_no_extension_of_http() {
    let server = Odd::answering("200 OK", "", &accepted()).await;
    send(&server).await.unwrap();
    let (head, _) = server.request();
    assert!(!head.contains("\r\nman:") && !head.contains("\r\nopt:"), "{head}");
}

#[tokio::test]
async fn r1109_the_action_is_quoted() {
    for flavour in [Flavour::Production, Flavour::Test] {
        let action = action(flavour).await;
        assert!(action.len() >= 2 && action.starts_with('"') && action.ends_with('"'), "{action}");
    }
}

/// The action of a document's request, as it is sent; in lower case, as the heads are kept here.
async fn action(flavour: Flavour) -> String {
    let server = Odd::answering("200 OK", "", &accepted()).await;
    server.platform(flavour).recepcionar(&Tramite::default(), pdf(), &mut Sobres::default()).await.unwrap();
    let (head, _) = server.request();
    let action = head.lines().find_map(|line| line.strip_prefix("soapaction: ")).unwrap();
    action.to_owned()
}

#[tokio::test]
async fn r2744_the_action_is_the_one_the_description_names() {
    let named = wsdl::iotramite(Flavour::Production);
    assert!(named.contains("soapAction=\"recepcionarTramiteResponse\""));
    assert_eq!(action(Flavour::Production).await, "\"recepcionartramiteresponse\"");
}

#[tokio::test]
async fn r2745_the_action_is_empty_where_the_description_names_none() {
    let named = wsdl::iotramite(Flavour::Test);
    assert!(named.split("soapAction=\"").skip(1).all(|rest| rest.starts_with('"')));
    assert_eq!(action(Flavour::Test).await, "\"\"");
}

#[tokio::test]
async fn r1123_cookies_of_a_service_are_not_kept() {
    let server = Odd::answering("200 OK", "set-cookie: a=b; Path=/\r\n", &accepted()).await;
    let platform = server.platform(Flavour::Production);
    for _ in 0..2 {
        platform.recepcionar(&Tramite::default(), pdf(), &mut Sobres::default()).await.unwrap();
        assert!(!server.request().0.contains("cookie"), "{}", server.request().0);
    }
}

#[tokio::test]
async fn r1131_a_temporary_redirection_is_not_followed() {
    let elsewhere = Odd::answering("200 OK", "", &accepted()).await;
    let location = format!("location: http://{}/tramite\r\n", elsewhere.address);
    let error = send(&Odd::answering("307 Temporary Redirect", &location, "").await).await.unwrap_err();
    assert_eq!(error.falla, Falla::ErrorHttp);
    assert!(elsewhere.requests.lock().unwrap().is_empty(), "whoever is elsewhere was not registered");
}

#[tokio::test]
async fn r1132_requests_are_posted() {
    let server = Odd::answering("200 OK", "", &accepted()).await;
    send(&server).await.unwrap();
    assert!(server.request().0.starts_with("post "));
}

#[tokio::test]
async fn r1141_requests_are_sent_with_http_1_1() {
    let server = Odd::answering("200 OK", "", &accepted()).await;
    send(&server).await.unwrap();
    assert!(server.request().0.lines().next().unwrap().ends_with(" http/1.1"));
}

#[tokio::test]
async fn r1012_answers_may_be_utf_16_and_requests_are_utf_8() {
    for bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        for mark in ["", "\u{feff}"] {
            let text = format!("{mark}{}", accepted());
            let body: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
            for headers in ["", "content-type: text/xml; charset=UTF-16\r\n", "content-type: text/xml\r\n"] {
                accepted_as(headers, &body).await;
            }
        }
    }
    let server = Odd::answering("200 OK", "", &accepted()).await;
    send(&server).await.unwrap();
    assert!(server.request().1.starts_with(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
}

#[tokio::test]
async fn r1018_the_charset_of_an_answer_decides_and_one_that_nobody_knows_does_not() {
    let latin: Vec<u8> = accepted().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    accepted_as("content-type: text/xml; charset=iso-8859-1\r\n", &latin).await;
    accepted_as("content-type: text/xml; charset=\"ISO-8859-1\"\r\n", &latin).await;
    for odd in ["utf8", "UTF_8", "klingon", "\"\"", "utf-8;utf-8", "x-mac-roman"] {
        accepted_as(&format!("content-type: text/xml; charset={odd}\r\n"), accepted().as_bytes()).await;
    }
    accepted_as("", accepted().as_bytes()).await;
}

#[tokio::test]
async fn r1017_answers_may_state_their_types() {
    let typed = accepted().replace(
        "<vcodres>",
        "<vcodres xmlns:i='http://www.w3.org/2001/XMLSchema-instance' xmlns:xs='http://www.w3.org/2001/XMLSchema' i:type='xs:string'>",
    );
    accepted_as("", typed.as_bytes()).await;
}

#[tokio::test]
async fn r1112_an_empty_success_is_no_answer() {
    for status in ["200 OK", "202 Accepted", "204 No Content"] {
        let error = send(&Odd::answering(status, "", "").await).await.unwrap_err();
        assert_eq!(error.falla, Falla::RespuestaVacia, "{status}: {error}");
    }
}

#[tokio::test]
async fn r2727_a_success_of_http_alone_does_not_mean_delivered() {
    let empty = envelope("");
    let page = "<html><body>OK</body></html>";
    for (status, body, falla) in [
        ("202 Accepted", "", Falla::RespuestaVacia),
        ("200 OK", empty.as_str(), Falla::RespuestaVacia),
        ("200 OK", page, Falla::PaginaWeb),
        ("200 OK", "<vcodres>0000</vcodres>", Falla::PaginaWeb),
    ] {
        let error = send(&Odd::answering(status, "", body).await).await.unwrap_err();
        assert_eq!(error.falla, falla, "{status} {body}: {error}");
        assert!(error.pudo_llegar());
    }
}

#[tokio::test]
async fn r2742_a_fault_may_have_a_detail_that_no_description_knows() {
    is_fault(&fault(&format!(
        "{CODES}<detail><ax:Exception xmlns:ax='http://axis2'>a.b.C: null</ax:Exception></detail>"
    )))
    .await;
}

#[tokio::test]
async fn r2743_a_fault_may_have_headers_that_no_description_knows() {
    is_fault(&fault(CODES).replace("<s:Body>", "<s:Header><x:why xmlns:x='urn:x'>a</x:why></s:Header><s:Body>")).await;
}

#[test]
fn r2750_no_operation_that_is_called_goes_one_way() {
    let mut all = vec![wsdl::CUO];
    for flavour in [Flavour::Production, Flavour::Test] {
        all.extend([wsdl::iotramite(flavour), wsdl::entidad(flavour)]);
    }
    for wsdl in all {
        let port = wsdl.split_once("<portType").unwrap().1.split_once("</portType>").unwrap().0;
        let count = |what| port.matches(what).count();
        assert!(count("<operation") > 0 && count("<operation") == count("<output"), "{port}");
    }
}

#[tokio::test]
async fn r4001_an_answer_may_begin_with_a_byte_order_mark() {
    accepted_as("content-type: text/xml; charset=utf-8\r\n", format!("\u{feff}{}", accepted()).as_bytes()).await;
}

/// What is beside the profile, and met all the same.
#[tokio::test]
async fn answers_in_other_clothes_are_each_told_for_what_they_are() {
    let soap12 =
        accepted().replace("http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope");
    let bare = "<n:recepcionarTramiteResponseResponse xmlns:n='urn:x'><return><vcodres>0000</vcodres></return></n:recepcionarTramiteResponseResponse>";
    let multipart = format!("--b\r\nContent-Type: text/xml\r\n\r\n{}\r\n--b--\r\n", accepted());
    let unknown = accepted().replacen("<?xml version=\"1.0\"?>", "<?xml version=\"1.0\" encoding=\"klingon\"?>", 1);
    for (headers, body, falla, said) in [
        ("", soap12, Falla::RespuestaIlegible, "X respondió con una versión de SOAP que no es la 1.1"),
        ("", bare.to_owned(), Falla::PaginaWeb, "X respondió algo que no es SOAP: «0000»"),
        (
            "content-type: multipart/related; boundary=b\r\n",
            multipart,
            Falla::PaginaWeb,
            "X respondió algo que no es SOAP: «--b",
        ),
        ("", unknown, Falla::RespuestaIlegible, "La respuesta de X no se pudo leer (encoding)"),
        (
            "content-encoding: gzip\r\n",
            accepted(),
            Falla::ConexionCortada,
            "La conexión con X se cortó a mitad de la respuesta",
        ),
    ] {
        let server = Odd::answering("200 OK", headers, &body).await;
        let error = send(&server).await.unwrap_err();
        assert_eq!(error.falla, falla, "{error}");
        let detalle = error.detalle.replace(&server.address.to_string(), "X");
        assert!(detalle.starts_with(said), "{detalle}");
        assert!(error.pudo_llegar());
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(accepted().as_bytes()).unwrap();
    accepted_as("content-encoding: gzip\r\n", &gzip.finish().unwrap()).await;
    let said = fault(CODES);
    assert_eq!(unclear(Odd::answering("500 Internal Server Error", "", &said).await).await, SAID);
}
