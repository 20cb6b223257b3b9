//! What XML and SOAP can be abused for.

use std::time::Duration;

use tokio::{net::TcpListener, time::timeout};

use super::{are_faults, document, took_it, unharmed, victim};
use crate::{
    daemon::{answer, post},
    envelope::{ENTITY, wrap},
    rest::client,
};

const PROLOG: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

fn with_dtd(dtd: &str, subject: &str) -> String {
    document().xml().replace(PROLOG, &format!("{PROLOG}{dtd}")).replace("Remito información", subject)
}

#[tokio::test]
async fn document_types_in_all_forms() {
    let forms = [
        ("empty", "<!DOCTYPE s>", "x"),
        ("internal", "<!DOCTYPE s [<!ENTITY a \"b\">]>", "&a;"),
        ("a billion laughs", "<!DOCTYPE s [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">]>", "&b;"),
        ("a file", "<!DOCTYPE s [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>", "&x;"),
        ("an address", "<!DOCTYPE s [<!ENTITY x SYSTEM \"http://127.0.0.1:9/x\">]>", "&x;"),
        ("external", "<!DOCTYPE s SYSTEM \"http://127.0.0.1:9/x.dtd\">", "x"),
        ("public", "<!DOCTYPE s PUBLIC \"-//x\" \"http://127.0.0.1:9/x.dtd\">", "x"),
        ("parameter entities", "<!DOCTYPE s [<!ENTITY % p SYSTEM \"file:///etc/hostname\"> %p;]>", "x"),
        ("defaults of attributes", "<!DOCTYPE s [<!ATTLIST vasu a CDATA \"x\">]>", "x"),
        ("without its end", "<!DOCTYPE s [<!ENTITY a \"b\"", "x"),
    ];
    let mut cases = Vec::new();
    for (what, dtd, subject) in forms {
        let text = with_dtd(dtd, subject);
        for bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
            cases.push((what, "Client", format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()));
        }
        cases.push((what, "Client", text.into_bytes()));
    }
    cases.push(("an entity of nobody's", "Client", with_dtd("", "&x;").into()));
    are_faults(cases).await;
}

#[tokio::test]
async fn coercive_parsing() {
    let xml = document().xml();
    let deep = |n: usize| "<a>".repeat(n);
    let closed = |n: usize| deep(n) + &"</a>".repeat(n);
    are_faults(vec![
        ("in the Body", "Client", wrap(&closed(100_000)).into()),
        ("never closed", "Client", wrap(&deep(400_000)).into()),
        (
            "in the Header",
            "Client",
            xml.replace("<s:Body>", &format!("<s:Header>{}</s:Header><s:Body>", closed(50_000))).into(),
        ),
        ("in a field", "Client", xml.replace("Remito información", &closed(50_000)).into()),
        ("in the document", "Client", xml.replace("<bpdfdoc>", &format!("<bpdfdoc>{}", closed(50_000))).into()),
        ("in what is unknown", "Client", xml.replace("<vasu>", &format!("{}<vasu>", closed(50_000))).into()),
    ])
    .await;
}

#[tokio::test]
async fn a_flood_of_attributes() {
    let flood: String = (0..50_000).map(|n| format!(" a{n}=\"x\"")).collect();
    let few: String = (0..500).map(|n| format!(" a{n}=\"x\"")).collect();
    let on =
        |what: &str, flood: &str| document().xml().replace(what, &format!("{}{flood}>", what.trim_end_matches('>')));
    are_faults(vec![
        ("on the part", "Client", on("<recepcionRequest>", &flood).into()),
        ("on the Body", "Client", on("<s:Body>", &few).into()),
        ("on the document", "Client", on("<bpdfdoc>", &few).into()),
        ("the same twice", "Client", on("<vasu>", " a=\"1\" a=\"2\"").into()),
    ])
    .await;
}

#[tokio::test]
async fn a_flood_of_elements() {
    let xml = document().xml();
    let in_part =
        |flood: String| xml.replace("</recepcionRequest>", &format!("{flood}</recepcionRequest>")).into_bytes();
    are_faults(vec![
        ("annexes", "Client", in_part("<lstanexos><vnomdoc>a</vnomdoc></lstanexos>".repeat(100_000))),
        ("unknown", "Client", in_part("<x/>".repeat(500_000))),
        (
            "headers",
            "Client",
            xml.replace("<s:Body>", &format!("<s:Header>{}</s:Header><s:Body>", "<x/>".repeat(500_000))).into(),
        ),
        ("comments", "Client", in_part("<!--x-->".repeat(300_000))),
        ("instructions", "Client", in_part("<?x y?>".repeat(300_000))),
        ("a field twice", "Client", in_part("<vcuo>1</vcuo>".into())),
    ])
    .await;
}

#[tokio::test]
async fn a_flood_of_namespaces() {
    let flood: String = (0..50_000).map(|n| format!(" xmlns:n{n}=\"urn:{n}\"")).collect();
    let each: String = (0..20_000).map(|n| format!("<n:x xmlns:n=\"urn:{n}\"/>")).collect::<String>().repeat(3);
    are_faults(vec![
        (
            "on one element",
            "Client",
            document().xml().replace("<recepcionRequest>", &format!("<recepcionRequest{flood}>")).into(),
        ),
        ("on each", "Client", document().xml().replace("<vasu>", &format!("{each}<vasu>")).into()),
    ])
    .await;
}

#[tokio::test]
async fn overlong_names() {
    let xml = document().xml();
    let long = "x".repeat(100_000);
    let before = |what: String| xml.replace("<vasu>", &format!("{what}<vasu>")).into_bytes();
    are_faults(vec![
        ("an element", "Client", before(format!("<{long}/>"))),
        ("an attribute", "Client", before(format!("<a {long}=\"1\"/>"))),
        ("a prefix", "Client", before(format!("<{long}:a xmlns:{long}=\"urn:x\"/>"))),
        ("an instruction", "Client", before(format!("<?{long} a?>"))),
        ("a namespace", "Client", before(format!("<a xmlns=\"urn:{long}\"/>"))),
        ("a comment", "Client", before(format!("<!--{long}-->"))),
        ("a field", "Client", xml.replace("Remito información", &long).into()),
        ("a little over", "Client", before(format!("<{}/>", "x".repeat(300)))),
    ])
    .await;
}

#[tokio::test]
async fn arrays_that_claim_to_be_large() {
    let array = "<lstanexos xmlns:e=\"http://schemas.xmlsoap.org/soap/encoding/\" \
                 e:arrayType=\"xs:string[2147483647,2147483647]\" e:offset=\"[2147483646]\"><vnomdoc>a</vnomdoc></lstanexos>";
    let (_platform, mut daemon) = victim().await;
    let xml = document().with("snumanx", "2147483647").with("vurldocanx", "https://x.gob.pe/a").xml();
    let xml = xml.replace("</recepcionRequest>", &format!("{array}</recepcionRequest>"));
    assert_eq!(daemon.soap(xml).await.verdict().0, "0000", "kept with a warning, and nothing set aside for so many");
    took_it(&mut daemon).await;
}

/// Names that fall together under the hash of Java's and PHP's tables: all words of the pairs `Aa` and `BB`.
#[tokio::test]
async fn names_of_one_hash() {
    let names: Vec<String> =
        (0..4096u32).map(|n| (0..12).map(|bit| if n >> bit & 1 == 0 { "Aa" } else { "BB" }).collect()).collect();
    let attributes: String = names.iter().map(|name| format!(" {name}=\"1\"")).collect();
    let elements: String = names.iter().map(|name| format!("<{name}>1</{name}>")).collect();
    are_faults(vec![
        ("attributes", "Client", document().xml().replace("<vasu>", &format!("<vasu{attributes}>")).into()),
        (
            "headers",
            "Client",
            document()
                .xml()
                .replace("<s:Body>", &format!("<s:Header>{}</s:Header><s:Body>", elements.repeat(9)))
                .into(),
        ),
    ])
    .await;
    let (_platform, mut daemon) = victim().await;
    let few = document().xml().replace("<vasu>", &format!("{elements}<vasu>"));
    assert_eq!(daemon.soap(few).await.verdict().0, "0000", "unknown elements are skipped, whatever their hash");
    took_it(&mut daemon).await;
}

#[tokio::test]
async fn an_action_that_names_another_operation() {
    let (_platform, mut daemon) = victim().await;
    for action in ["\"cargoResponse\"", "\"http://x/borrarTodo\"", "\"../../etc/passwd\""] {
        let request = client().post(daemon.soap_url()).header("content-type", "text/xml").header("soapaction", action);
        assert_eq!(answer(request.body(document().xml())).await.verdict().0, "0000", "{action}");
    }
    took_it(&mut daemon).await;
}

/// Nobody is called because a message says so: not to answer, not to tell a fault, not to fetch a schema.
#[tokio::test]
async fn addresses_in_a_message_are_never_called() {
    let (_platform, mut daemon) = victim().await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", trap.local_addr().unwrap());
    let header = |must: &str| {
        format!(
            "<s:Header xmlns:a=\"http://www.w3.org/2005/08/addressing\"><a:To>{url}</a:To><a:ReplyTo {must}><a:Address>{url}\
             </a:Address></a:ReplyTo><a:FaultTo><a:Address>{url}</a:Address></a:FaultTo></s:Header><s:Body>"
        )
    };
    let xml = document().xml();
    assert_eq!(daemon.soap(xml.replace("<s:Body>", &header(""))).await.verdict().0, "0000");
    let must = xml.replace("<s:Body>", &header("s:mustUnderstand=\"1\""));
    assert_eq!(daemon.soap(must).await.fault().0, "MustUnderstand");
    let hints = format!(
        "<w:recepcionarTramiteResponse xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:schemaLocation=\"{ENTITY} {url}\" "
    );
    let include = format!("<x:include xmlns:x=\"http://www.w3.org/2001/XInclude\" href=\"{url}\"/><vasu>");
    let hinted = xml.replace("<w:recepcionarTramiteResponse ", &hints).replace("<vasu>", &include);
    let hinted = hinted.replace(PROLOG, &format!("{PROLOG}<?xml-stylesheet href=\"{url}\"?>"));
    assert_eq!(post(&daemon.soap_url(), hinted).await.verdict().0, "0000");
    assert!(timeout(Duration::from_millis(500), trap.accept()).await.is_err(), "somebody called");
    took_it(&mut daemon).await;
}

#[tokio::test]
async fn bytes_that_are_no_text() {
    let xml = document().xml();
    let with = |bytes: &[u8]| {
        let (before, after) = xml.split_once("Remito información").unwrap();
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    are_faults(vec![
        ("no UTF-8", "Client", with(b"\xff\xfe\xfd")),
        ("half a character", "Client", with(b"\xc3")),
        ("an overlong «<»", "Client", with(b"\xc0\xbcvcuo\xc0\xbe")),
        ("an overlong slash", "Client", with(b"\xe0\x80\xaf")),
        ("a surrogate", "Client", with(b"\xed\xa0\x80")),
        ("beyond Unicode", "Client", with(b"\xf4\x90\x80\x80")),
        ("a NUL", "Client", with(b"a\0b")),
        ("a referenced NUL", "Client", with(b"a&#0;b")),
        ("controls", "Client", with(b"\x01\x02\x1b[2J")),
        ("a NUL behind all", "Client", [xml.as_bytes(), b"\0"].concat()),
        ("UTF-32", "Client", xml.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect()),
    ])
    .await;
    let (_platform, mut daemon) = victim().await;
    for charset in ["utf-7", "utf-32", "ebcdic-cp-us"] {
        let request = client().post(daemon.soap_url()).header("content-type", format!("text/xml; charset={charset}"));
        assert_eq!(answer(request.body(xml.clone())).await.fault().0, "Client", "{charset}");
    }
    unharmed(&mut daemon).await;
}
