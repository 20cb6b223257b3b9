//! What is no valid request, and what we do not want: the right fault, and nothing left behind.

use futures_util::stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::http::server::{self, Listener};

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";

fn envelope(namespace: &str, body: &str) -> String {
    format!("<s:Envelope xmlns:s=\"{namespace}\"><s:Body>{body}</s:Body></s:Envelope>")
}

fn operation(namespace: &str, name: &str, inside: &str) -> String {
    envelope(ENVELOPE, &format!("<n:{name} xmlns:n=\"{namespace}\">{inside}</n:{name}>"))
}

#[tokio::test]
async fn what_is_no_request_gets_a_fault_that_says_why() {
    let world = world();
    let before = world.on_disk();
    let ns = tramite::NAMESPACE;
    let header = "<s:Header><x:a xmlns:x=\"urn:x\" s:mustUnderstand=\"1\"/></s:Header>";
    let good = operation(ns, "consultarTramiteResponse", "<request>19</request>");
    let cases = [
        ("no es XML", "", "Client", "vacío"),
        ("no es XML", "hola", "Client", "XML"),
        ("JSON", "{\"a\": 1}", "Client", "XML"),
        ("cortado", &good[..good.len() - 20], "Client", "incompleto"),
        ("SOAP 1.2", &envelope("http://www.w3.org/2003/05/soap-envelope", "<a/>"), "VersionMismatch", "SOAP 1.1"),
        ("otra raíz", "<html><body/></html>", "Client", "html"),
        ("otro espacio", &operation("urn:otro", "cargoResponse", ""), "Client", "cargoResponse"),
        ("otra operación", &operation(ns, "borrarTodo", ""), "Client", "borrarTodo"),
        ("sin parte", &operation(ns, "recepcionarTramiteResponse", ""), "Client", "recepcionRequest"),
        ("sin parte", &operation(ns, "cargoResponse", "<otra/>"), "Client", "cargoRequest"),
        ("sin parte", &operation(ns, "consultarTramiteResponse", ""), "Client", "request"),
        ("Body vacío", &envelope(ENVELOPE, ""), "Client", "Body"),
        ("DTD", &format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{good}"), "Client", "no admite"),
        ("cabecera", &good.replace("<s:Body>", &format!("{header}<s:Body>")), "MustUnderstand", "obligatoria"),
        (
            "repetido",
            &operation(ns, "cargoResponse", "<cargoRequest><vcuo>1</vcuo><vcuo>2</vcuo></cargoRequest>"),
            "Client",
            "repetido",
        ),
    ];
    for (kind, body, code, word) in cases {
        let (found, text) = world.xml(body.to_owned()).await.fault(500).await;
        assert_eq!(found, code, "{kind}: {text}");
        assert!(text.contains(word), "{kind}: {text}");
        assert!(!text.contains("src/") && !text.to_lowercase().contains("panic"), "{kind}: {text}");
    }
    assert_eq!(world.on_disk(), before);
}

#[tokio::test]
async fn bytes_in_no_known_encoding_get_a_fault() {
    let world = world();
    let mut body = operation(tramite::NAMESPACE, "consultarTramiteResponse", "<request>19</request>").into_bytes();
    body.extend_from_slice(b"<!-- \xff\xfe\x00 -->");
    assert_eq!(world.xml(body).await.fault(500).await.0, "Client");
    let text = operation(tramite::NAMESPACE, "consultarTramiteResponse", "<request>19</request>");
    let answer = world.post(&[("content-type", "text/xml; charset=klingon")], text).await;
    assert_eq!(answer.fault(500).await.0, "Client");
}

#[tokio::test]
async fn a_message_that_ends_in_the_middle_of_its_document_leaves_nothing() {
    let world = world();
    let before = world.on_disk();
    let whole = wire(tramite::recepcionar(&documento(), Some(LARGE as u64)).message, &pdf(LARGE)).await;
    // Cut short by its sender, and by the network.
    let (code, text) = world.xml(whole[..whole.len() / 2].to_vec()).await.fault(500).await;
    assert_eq!(code, "Client", "{text}");
    let half = Bytes::from(whole[..whole.len() / 2].to_vec());
    let pieces = [Ok(half), Err(std::io::Error::other("reset"))];
    let answer = world.xml(Body::from_stream(stream::iter(pieces))).await;
    assert_eq!(answer.fault(500).await.1, "El mensaje llegó incompleto.");
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(world.on_disk(), before);
    assert_eq!(world.arrivals(CUO).await, []);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_on_its_length_or_when_it_grows_past_it() {
    let world = world();
    let before = world.on_disk();
    let (code, text) = world.xml(vec![b' '; limits().envelope_max().in_memory() + 1]).await.fault(500).await;
    assert_eq!((code.as_str(), text.as_str()), ("Client", "El mensaje excede el tamaño permitido."));
    let size = DOCUMENT_MAX as usize * 4;
    let whole = Bytes::from(wire(tramite::recepcionar(&documento(), Some(size as u64)).message, &pdf(size)).await);
    let pieces: Vec<_> = (0..whole.len())
        .step_by(60_000)
        .map(|at| Ok::<_, std::io::Error>(whole.slice(at..(at + 60_000).min(whole.len()))))
        .collect();
    let answer = world.xml(Body::from_stream(stream::iter(pieces))).await;
    assert_eq!(answer.fault(500).await.1, "El mensaje excede el tamaño permitido.");
    assert_eq!(world.on_disk(), before);
}

#[tokio::test]
async fn overload_is_told_to_come_back() {
    let world = world_with(InFlight::new(100_000), None);
    let answer = world.xml(vec![b' '; 200_000]).await;
    assert_eq!(answer.fault(503).await.0, "Server");
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(world.recepcionar(&documento(), &pdf(500)).await.0, "0000", "what fits is still served");
}

#[tokio::test]
async fn media_types_are_taken_as_toolkits_write_them_and_others_refused() {
    let world = world();
    let ask = || operation(tramite::NAMESPACE, "consultarTramiteResponse", "<request>19</request>");
    for headers in [
        &[][..],
        &[("content-type", "text/xml")],
        &[("content-type", "TEXT/XML; charset=\"utf-8\"")],
        &[("content-type", "application/xml;charset=UTF-8")],
        &[("content-type", "application/soap+xml; action=\"x\"")],
        &[("content-type", "text/xml"), ("content-encoding", "identity")],
    ] {
        assert_eq!(world.post(headers, ask()).await.respuesta(Operation::Consultar).await.0, "0001", "{headers:?}");
    }
    for name in ["content_type_absent", "content_type_application_xml", "content_type_soap12"] {
        assert!(world.tolerated(name), "{name}");
    }
    for headers in [
        &[("content-type", "application/json")][..],
        &[("content-type", "text/plain")],
        &[("content-type", "multipart/related; type=\"application/xop+xml\"")],
        &[("content-type", "text/xml"), ("content-encoding", "br")],
        &[("content-type", "text/xml"), ("content-encoding", "gzip, gzip")],
        &[("content-type", "text/xml"), ("content-encoding", "gzip"), ("content-encoding", "gzip")],
    ] {
        let answer = world.post(headers, ask()).await;
        assert_eq!(answer.status, 415, "{headers:?}");
        assert!(answer.text().lines().count() == 1, "{}", answer.text());
    }
}

const GZIPPED: [(&str, &str); 2] = [("content-type", "text/xml"), ("content-encoding", "gzip")];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_message_is_taken_and_counted() {
    let world = world();
    let whole = wire(tramite::recepcionar(&documento(), Some(LARGE as u64)).message, &pdf(LARGE)).await;
    let answer = world.post(&GZIPPED, gzip(&whole)).await;
    assert_eq!(answer.respuesta(Operation::Recepcionar).await.0, "0000");
    assert!(world.tolerated("content_encoding_gzip"));
    let stored = world.arrivals(CUO).await;
    assert!(world.document(&stored[0].documento.sha256).await == pdf(LARGE), "the bytes that were packed");
}

#[tokio::test]
async fn a_compressed_message_that_is_none_or_a_bomb_leaves_nothing() {
    let world = world();
    let before = world.on_disk();
    let whole = wire(tramite::recepcionar(&documento(), Some(LARGE as u64)).message, &pdf(LARGE)).await;
    let packed = gzip(&whole);
    let (head, tail) = whole.split_at(whole.len() / 2);
    // Within the message's limit, and over it.
    let bombs = [1_500_000, 64 << 20].map(|spaces| gzip(&[head, &vec![b' '; spaces], tail].concat()));
    let small = wire(tramite::recepcionar(&documento(), Some(900)).message, &pdf(900)).await;
    let inside = memchr::memmem::find(&small, b"</bpdfdoc>").unwrap();
    let bomb = gzip(&[&small[..inside], &vec![b' '; 3_500_000], &small[inside..]].concat());
    let cannot = "El mensaje dice venir comprimido con gzip y no se puede descomprimir.";
    for (what, body, said) in [
        ("plain", whole.clone(), Some(cannot)),
        ("cut", packed[..packed.len() / 2].to_vec(), Some(cannot)),
        ("trailing", [&packed[..], b"x"].concat(), Some(cannot)),
        ("twice", gzip(&packed), None),
        ("over the message's limit", bombs[1].clone(), None),
        ("spaces without end", gzip(&vec![b' '; 64 << 20]), None),
        ("a bomb", bomb, Some("El mensaje comprimido crece más de lo que se admite.")),
    ] {
        let answer = world.post(&GZIPPED, body).await;
        let (code, text) = answer.fault(500).await;
        assert_eq!(code, "Client", "{what}: {text}");
        assert!(said.is_none_or(|said| said == text), "{what}: {text}");
        assert_eq!(world.on_disk(), before, "{what}");
    }
    let spaced = world.post(&GZIPPED, bombs[0].clone()).await;
    assert_eq!(spaced.respuesta(Operation::Recepcionar).await.0, "0000", "whitespace alone is no bomb");
}

#[tokio::test]
async fn callers_over_the_requests_at_once_are_told_to_come_back() {
    let world = world_bounded(config::Limits { requests_max: 1, ..limits() });
    let (_open, body) = tokio::io::duplex(64);
    let stuck = Body::from_stream(tokio_util::io::ReaderStream::new(body));
    let stuck = Request::builder().method(Method::POST).uri(PATH).header("content-type", "text/xml").body(stuck);
    let mut stuck = Box::pin(world.send(stuck.unwrap()));
    assert!(futures_util::poll!(&mut stuck).is_pending());
    let ask = operation(tramite::NAMESPACE, "consultarTramiteResponse", "<request>19</request>");
    let answer = world.xml(ask.clone()).await;
    assert_eq!(answer.fault(503).await.0, "Server");
    assert_eq!(
        (&answer.headers["retry-after"], &answer.headers["connection"]),
        (&"5".parse().unwrap(), &"close".parse().unwrap())
    );
    assert_eq!(world.get("/healthz").await.status, 200);
    let page = world.metrics.text().unwrap();
    assert!(page.contains("chasqui_http_requests_under_way{listener=\"soap\"} 1"), "{page}");
    assert!(page.contains("what=\"requests\",bound=\"all\"} 1"), "{page}");
    drop(stuck);
    assert_eq!(world.xml(ask).await.respuesta(Operation::Consultar).await.0, "0001");
}

#[tokio::test]
async fn drift_seen_in_deployed_systems_is_accepted_and_counted() {
    let world = world();
    let ask = |ns, inside| operation(ns, "consultarTramiteResponse", inside);
    let structure = "<request><vrucentrem>20168999926</vrucentrem><vcuo>19</vcuo></request>";
    for (action, body) in [
        (None, ask(tramite::NAMESPACE, "<request>19</request>")),
        (Some("\"consultarTramiteResponse\""), ask(tramite::NAMESPACE, structure)),
        (Some("http://ws/consultar"), ask(contract::iotramite::NAMESPACE, "<request>19</request>")),
        (Some("cargoResponse2"), ask(tramite::NAMESPACE, "<request>19</request>")),
    ] {
        let headers: Vec<_> =
            [("content-type", "text/xml")].into_iter().chain(action.map(|a| ("soapaction", a))).collect();
        assert_eq!(world.post(&headers, body).await.respuesta(Operation::Consultar).await.0, "0001");
    }
    let cargo = operation(tramite::NAMESPACE, "cargoResponse", "<request><vcuo>19</vcuo></request>");
    assert_eq!(world.xml(cargo).await.respuesta(Operation::Cargo).await.0, "0003");
    let names = [
        "soap_action_absent",
        "soap_action_operation",
        "soap_action_uri",
        "soap_action_other",
        "consulta_structure",
        "platform_namespace",
        "part_named_request",
    ];
    for name in names {
        assert!(world.tolerated(name), "{name}:\n{}", world.metrics.text().unwrap());
    }
}

/// Many clients write the whole request before they read: they must get to hear the fault.
#[tokio::test]
async fn a_caller_that_writes_everything_first_hears_an_early_fault() {
    let world = world();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let options = server::Options::new("soap", &config::Limits::default(), Arc::clone(&world.metrics));
    tokio::spawn(server::serve(Listener::Tcp(listener), world.router.clone(), options, stop.clone()));
    let body = operation("urn:otro", "nada", &"x".repeat(3_000_000));
    let head =
        format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = vec![0; 300];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(answer.starts_with("http/1.1 500") && answer.contains("content-length"), "{answer}");
    stop.cancel();
}
