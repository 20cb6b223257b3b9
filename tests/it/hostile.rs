//! Hostile and broken input to the component: the right fault, nothing left behind, and the daemon goes on.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup, answer},
    envelope::{ENTITY, Fields, SOAP11, base64_twice, wrap},
    patience::until,
    pdf::pdf,
    platform::Platform,
    rest::client,
};

/// Small limits, so that a test reaches them soon.
const LIMITS: &str = "[limits]\ndocument_max = \"2MiB\"\nheader_timeout = \"2s\"\n\
                      body_idle_timeout = \"2s\"\nbody_total_timeout = \"20s\"";

pub async fn victim() -> (Platform, Daemon) {
    let (platform, mut daemons) = Platform::with([Setup::of(&[LIMA]).with(LIMITS)]).await;
    (platform, daemons.pop().unwrap())
}

pub fn document() -> Fields {
    Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(1, 600_000))
}

/// Nothing of what was refused is in the store, and a good document still is taken.
pub async fn unharmed(daemon: &mut Daemon) {
    let api = daemon.api();
    assert!(api.list("/api/v1/recepciones").await.is_empty(), "a refused document has a record");
    until("no file is left behind", 10, || async {
        let files = [daemon.files("incoming"), daemon.files("documents")].concat();
        if files.is_empty() { Ok(()) } else { Err(format!("{files:?}")) }
    })
    .await;
    daemon.process().alive().unwrap();
    assert_eq!(daemon.soap(document().xml()).await.verdict().0, "0000");
}

/// Each of these is answered with a fault of this code.
async fn faults(cases: Vec<(&str, &str, Vec<u8>)>) {
    let (_platform, mut daemon) = victim().await;
    for (what, code, envelope) in cases {
        let answer = daemon.soap(envelope).await;
        assert_eq!(answer.status, 500, "{what}: {}", answer.body);
        let (found, text) = answer.fault();
        assert_eq!(found, code, "{what}: {text}");
        assert!(text.len() > 10, "{what}: {text}");
    }
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn what_is_no_soap_is_a_fault() {
    let xml = document().xml();
    let half = &xml[..xml.len() / 2];
    let unknown = format!("<w:borrarTodo xmlns:w=\"{ENTITY}\"/>");
    let header = "<s:Header><x:a xmlns:x=\"urn:x\" s:mustUnderstand=\"1\"/></s:Header><s:Body>";
    faults(vec![
        ("nothing", "Client", Vec::new()),
        ("not XML", "Client", b"hola".to_vec()),
        ("JSON", "Client", b"{\"a\": 1}".to_vec()),
        ("binary", "Client", pdf(2, 5_000)),
        ("cut in the document", "Client", half.as_bytes().to_vec()),
        ("no envelope", "Client", b"<a/>".to_vec()),
        ("HTML", "Client", b"<html><body>hola</body></html>".to_vec()),
        ("SOAP 1.2", "VersionMismatch", xml.replace(SOAP11, "http://www.w3.org/2003/05/soap-envelope").into()),
        ("no SOAP at all", "VersionMismatch", xml.replace(SOAP11, "urn:otro").into()),
        ("a header to be understood", "MustUnderstand", xml.replace("<s:Body>", header).into()),
        ("an empty body", "Client", wrap("").into()),
        ("no body", "Client", format!("<s:Envelope xmlns:s=\"{SOAP11}\"/>").into()),
        ("an unknown operation", "Client", wrap(&unknown).into()),
        ("another namespace", "Client", xml.replace(ENTITY, "urn:otro").into()),
        ("no part", "Client", wrap(&format!("<w:cargoResponse xmlns:w=\"{ENTITY}\"/>")).into()),
        ("a broken encoding", "Client", [xml.as_bytes(), b"\xff\xfe\xfd"].concat()),
    ])
    .await;
}

#[tokio::test]
async fn what_xml_can_be_abused_for_is_a_fault() {
    let xml = document().xml();
    let prolog = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    let with_dtd = |dtd: &str, subject: &str| {
        xml.replace(prolog, &format!("{prolog}{dtd}")).replace("Remito información", subject).into_bytes()
    };
    let bomb = "<!DOCTYPE s [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    let file = "<!DOCTYPE s [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    let deep = wrap(&format!("{}{}", "<a>".repeat(50_000), "</a>".repeat(50_000)));
    let attributes: String = (0..20_000).map(|n| format!(" a{n}=\"x\"")).collect();
    let flood = xml.replace("<recepcionRequest>", &format!("<recepcionRequest{attributes}>"));
    let namespaces: String = (0..20_000).map(|n| format!(" xmlns:n{n}=\"urn:{n}\"")).collect();
    let elements = "<lstanexos><vnomdoc>a</vnomdoc></lstanexos>".repeat(100_000);
    faults(vec![
        ("a DTD", "Client", with_dtd("<!DOCTYPE s>", "x")),
        ("an entity that grows", "Client", with_dtd(bomb, "&b;")),
        ("an entity from a file", "Client", with_dtd(file, "&x;")),
        ("an unknown entity", "Client", with_dtd("", "&x;")),
        ("deep nesting", "Client", deep.into()),
        ("a flood of attributes", "Client", flood.into()),
        (
            "a flood of namespaces",
            "Client",
            xml.replace("<recepcionRequest>", &format!("<recepcionRequest{namespaces}>")).into(),
        ),
        (
            "a flood of elements",
            "Client",
            xml.replace("</recepcionRequest>", &format!("{elements}</recepcionRequest>")).into(),
        ),
        ("a text without end", "Client", xml.replace("Remito información", &"x".repeat(1_000_000)).into()),
        ("a name without end", "Client", xml.replace("<vasu>", &format!("<{}/><vasu>", "x".repeat(100_000))).into()),
    ])
    .await;
}

#[tokio::test]
async fn a_document_that_is_too_large_or_none_is_refused() {
    let (_platform, mut daemon) = victim().await;
    let large = Fields::document(CUSCO.ruc, LIMA.ruc, "0000000019", &pdf(3, 3_000_000));
    let refused = ("0003".to_owned(), "El Documento principal excede el tamaño permitido".to_owned());
    assert_eq!(daemon.soap(large.xml()).await.verdict(), refused);
    let zip =
        document().with("bpdfdoc", &base64_twice(&[b"PK\x03\x04".to_vec(), pdf(4, 600_000)[400..].to_vec()].concat()));
    let refused = ("0003".to_owned(), "El Documento Principal no es un archivo PDF válido".to_owned());
    assert_eq!(daemon.soap(zip.xml()).await.verdict(), refused);
    let mut broken = document().xml();
    let middle = broken.len() / 2;
    broken.replace_range(middle..middle + 8, "!!!!!!!!");
    let refused = ("0003".to_owned(), "El Documento Principal debe estar codificado en Base64".to_owned());
    assert_eq!(daemon.soap(broken).await.verdict(), refused);

    // Far over every limit: whatever is answered, it is no success and the rest is not read for ever.
    let url = daemon.soap_url();
    let endless =
        client().post(&url).header("content-type", "text/xml").body("x".repeat(64 * 1024 * 1024)).send().await;
    assert!(endless.is_err() || endless.is_ok_and(|r| !r.status().is_success()));
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn a_caller_that_stops_in_the_middle_leaves_nothing() {
    let (_platform, mut daemon) = victim().await;
    let xml = document().xml();
    let head = format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        xml.len()
    );
    // Goes away.
    let mut gone = TcpStream::connect(daemon.soap_address()).await.unwrap();
    gone.write_all(head.as_bytes()).await.unwrap();
    gone.write_all(&xml.as_bytes()[..xml.len() / 2]).await.unwrap();
    until("the document is being taken in", 10, || async {
        if daemon.files("incoming").is_empty() { Err("nothing in incoming/".into()) } else { Ok(()) }
    })
    .await;
    drop(gone);
    // Stays and says nothing more.
    let mut silent = TcpStream::connect(daemon.soap_address()).await.unwrap();
    silent.write_all(head.as_bytes()).await.unwrap();
    silent.write_all(&xml.as_bytes()[..xml.len() / 2]).await.unwrap();
    ended(&mut silent, "a silent caller").await;
    unharmed(&mut daemon).await;
}

/// The daemon ends the connection, after an answer or without one; the answer is returned.
async fn ended(stream: &mut TcpStream, what: &str) -> String {
    let mut said = Vec::new();
    let read = timeout(Duration::from_secs(15), stream.read_to_end(&mut said)).await;
    assert!(read.is_ok(), "{what} is still connected after 15 s; it was told {:?}", String::from_utf8_lossy(&said));
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let (_platform, mut daemon) = victim().await;
    let mut slow = TcpStream::connect(daemon.soap_address()).await.unwrap();
    slow.write_all(b"POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nX-A: ").await.unwrap();
    let (mut reader, mut writer) = slow.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await
        }
    });
    let mut said = Vec::new();
    let read = timeout(Duration::from_secs(15), reader.read_to_end(&mut said)).await;
    assert!(read.is_ok(), "the slow caller is still connected after 15 s");
    dripping.abort();

    let mut flood = TcpStream::connect(daemon.soap_address()).await.unwrap();
    flood.write_all(b"POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    for n in 0..2_000 {
        if flood.write_all(format!("X-{n}: aaaaaaaaaaaaaaaa\r\n").as_bytes()).await.is_err() {
            break;
        }
    }
    let said = ended(&mut flood, "a flood of headers").await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn other_methods_and_types_are_refused_without_reading_them() {
    let (_platform, mut daemon) = victim().await;
    let url = daemon.soap_url();
    let put = answer(client().put(&url).body("x")).await;
    assert_eq!(put.status, 405, "{}", put.body);
    let get = answer(client().get(&url)).await;
    assert!((400..500).contains(&get.status) || get.status == 200, "{}: {}", get.status, get.body);
    let json = answer(client().post(&url).header("content-type", "application/json").body("{}")).await;
    assert!(json.status == 415 || json.status == 500, "{}: {}", json.status, json.body);
    unharmed(&mut daemon).await;
}
