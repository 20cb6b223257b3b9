//! HTTP written byte by byte, for what no client would send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::envelope::Answer;

/// How long a connection may stay open that should have been closed by the other side.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);

/// Writes `bytes` and reads until the other side closes. What it says early stops nobody from being read.
pub async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    // A refusal may close the connection while the rest is still being written.
    stream.write_all(bytes).await.ok();
    rest(&mut stream).await
}

/// All that comes until the other side closes.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let ended = timeout(CLOSED_WITHIN, stream.read_to_end(&mut said)).await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ended.is_ok(), "still connected after {} s; it was told: {said}", CLOSED_WITHIN.as_secs());
    said
}

/// How many answers a connection gave.
pub fn answers(said: &str) -> usize {
    said.matches("HTTP/1.1 ").count() + said.matches("HTTP/1.0 ").count()
}

/// Status, type and body of the first answer.
pub fn first(said: &str) -> Answer {
    let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {said}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    let content_type = header(head, "content-type").unwrap_or_default();
    Answer { status, content_type, body: body.to_owned() }
}

/// A header's value in a head.
pub fn header(head: &str, name: &str) -> Option<String> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

/// A POST to the component with these header lines (each ended by `\r\n`) beside those that any request has.
pub fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}
