//! Games with HTTP itself: what two readers of one request would read differently, and what claims to be large.

use super::{document, took_it, unharmed, victim};
use crate::{
    daemon::Daemon,
    envelope::query,
    wire::{answers, first, post, say},
};

const XML: &str = "Content-Type: text/xml\r\n";

/// The daemon answers what it is sent at most once, with an error or to the first request alone, and closes.
async fn no_second_request_is_read(daemon: &Daemon, what: &str, request: &str) {
    let said = say(daemon.soap_address(), request.as_bytes()).await;
    assert!(answers(&said) <= 1, "{what}: {said}");
    assert!(!said.contains("Aquí no hay nada"), "{what}: what was smuggled in was read: {said}");
}

/// A request in the body of another; its path is answered with 404 where it is read.
const SMUGGLED: &str = "GET /contrabando HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_length_and_chunks_at_once() {
    let (_platform, mut daemon) = victim().await;
    let head = "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n";
    let body = format!("0\r\n\r\n{SMUGGLED}");
    let length = format!("Content-Length: {}\r\n", body.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (what, headers) in [("the length first", [&length, chunked]), ("the chunks first", [chunked, &length])] {
        let headers = headers.concat();
        no_second_request_is_read(&daemon, what, &format!("{head}{headers}\r\n{body}")).await;
        let short = headers.replace(&body.len().to_string(), "5");
        no_second_request_is_read(&daemon, "with the length of the end", &format!("{head}{short}\r\n{body}")).await;
    }
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn chunks_by_other_names() {
    let (_platform, mut daemon) = victim().await;
    let body = format!("0\r\n\r\n{SMUGGLED}");
    for coding in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding:\x0bchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=0",
        "Transfer_Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
    ] {
        let length = body.len();
        let request = format!(
            "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{XML}Content-Length: {length}\r\n{coding}\r\n\r\n{body}"
        );
        no_second_request_is_read(&daemon, coding, &request).await;
    }
    let old = format!("POST /wsiotramite/Tramite HTTP/1.0\r\nHost: x\r\n{XML}Transfer-Encoding: chunked\r\n\r\n{body}");
    no_second_request_is_read(&daemon, "HTTP/1.0", &old).await;
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn chunks_of_wrong_sizes() {
    let (_platform, mut daemon) = victim().await;
    let head = format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{XML}Transfer-Encoding: chunked\r\n\r\n"
    );
    for chunks in [
        "-5\r\nabcde\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffff0\r\nabc\r\n0\r\n\r\n",
        "5\nabcde\n0\n\n",
        "5;x=\ny\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcdefgh\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
    ] {
        let said = say(daemon.soap_address(), format!("{head}{chunks}{SMUGGLED}").as_bytes()).await;
        assert!(answers(&said) <= 1 && !said.contains("Aquí no hay nada"), "{chunks:?}: {said}");
        assert!(!said.contains("0000"), "{chunks:?}: {said}");
    }
    let extension = format!("{head}5;{}\r\nabcde\r\n0\r\n\r\n", "x".repeat(1 << 20));
    assert!(answers(&say(daemon.soap_address(), extension.as_bytes()).await) <= 1);
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn heads_that_two_would_read_differently() {
    let (_platform, mut daemon) = victim().await;
    let body = query("19");
    let (length, half) = (body.len(), body.len() / 2);
    for headers in [
        format!("Content-Length: {length}\r\nContent-Length: {half}\r\n"),
        format!("Content-Length: {length}, {half}\r\n"),
        format!("Content-Length : {length}\r\n"),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: -{length}\r\n"),
        format!("Content-Length: 0x{length:x}\r\n"),
        format!("Content-Length: {length}\r\n folded: yes\r\n"),
        format!("X-A: b\r\n\tfolded\r\nContent-Length: {length}\r\n"),
        "Content-Length: 99999999999999999999999\r\n".to_owned(),
        format!("Content-Length: {length}\r\nX-A: b\0c\r\n"),
        format!("Content-Length: {length}\r\nX-A: b\rc\r\n"),
        format!("Content-Length: {length}\r\nX A: b\r\n"),
        format!("Content-Length: {length}\r\n: b\r\n"),
    ] {
        let request =
            format!("POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{XML}{headers}\r\n{body}");
        let said = say(daemon.soap_address(), request.as_bytes()).await;
        assert_eq!(first(&said).status, 400, "{headers:?}: {said}");
        assert_eq!(answers(&said), 1, "{headers:?}: {said}");
    }
    // A line that ends without a return is a line to everybody who takes it at all.
    let bare = post(XML, body.as_bytes()).iter().copied().filter(|b| *b != b'\r').collect::<Vec<_>>();
    assert!(answers(&say(daemon.soap_address(), &bare).await) <= 1);
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn lengths_that_lie() {
    let (_platform, mut daemon) = victim().await;
    let body = document().xml();
    let claim = |length: usize, body: &str| {
        format!(
            "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{XML}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let short = say(daemon.soap_address(), claim(body.len() - 100, &body).as_bytes()).await;
    assert_eq!((first(&short).fault().0.as_str(), answers(&short)), ("Client", 1), "{short}");
    let long = say(daemon.soap_address(), claim(body.len() + 100, &body).as_bytes()).await;
    assert_eq!(first(&long).fault().0, "Client", "what never comes is not waited for without end: {long}");
    for oversize in [100 << 20, usize::MAX / 4] {
        let said = say(daemon.soap_address(), claim(oversize, "").as_bytes()).await;
        let (code, text) = first(&said).fault();
        assert!(code == "Client" && text.contains("tamaño"), "{oversize}: {said}");
    }
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let (_platform, mut daemon) = victim().await;
    for (what, headers) in [
        ("one", format!("X: {}\r\n", "x".repeat(200_000))),
        ("many", "X: y\r\n".repeat(2_000)),
        ("a name", format!("{}: y\r\n", "x".repeat(100_000))),
        ("an action", format!("SOAPAction: \"{}\"\r\n", "x".repeat(100_000))),
    ] {
        let said = say(daemon.soap_address(), &post(&headers, b"")).await;
        assert!((400..500).contains(&first(&said).status), "{what}: {said}");
    }
    unharmed(&mut daemon).await;
}

#[tokio::test]
async fn bombs_of_gzip() {
    use std::io::Write;
    let (_platform, mut daemon) = victim().await;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let headers = format!("{XML}Content-Encoding: gzip\r\n");
    let send = async |body: Vec<u8>| first(&say(daemon.soap_address(), &post(&headers, &body)).await);
    let xml = document().with("bpdfdoc", "JVBERi0xLjcK@").xml();
    let (before, after) = xml.split_once('@').unwrap();
    let bomb = gzip(&[before.as_bytes(), &vec![b' '; 200 << 20], after.as_bytes()].concat());
    for (what, body) in [
        ("spaces in the document", bomb.clone()),
        ("a bomb in a bomb", gzip(&bomb)),
        ("zeros", gzip(&vec![0; 200 << 20])),
        ("not gzip", xml.clone().into_bytes()),
        ("cut", bomb[..bomb.len() / 2].to_vec()),
    ] {
        let answer = send(body).await;
        assert_eq!(answer.fault().0, "Client", "{what}: {}", answer.body);
    }
    let good = send(gzip(document().xml().as_bytes())).await;
    assert_eq!(good.verdict().0, "0000");
    took_it(&mut daemon).await;
}
