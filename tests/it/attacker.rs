//! Somebody who attacks a SOAP endpoint for as long as he is kept: many connections at once, each doing the same over and
//! over. Uses nothing of the other tests, so that a bench can take it too (`#[path]`).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long an attacker waits for an answer, and between connections that fail at once.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// What each connection does.
#[derive(Debug, Clone)]
pub enum Attack {
    /// Connects and says nothing.
    Silent,
    /// Sends a head a byte at a time, with this wait between two.
    DrippingHead(Duration),
    /// Sends these bytes whole, takes the answer, and begins anew.
    Request(Arc<[u8]>),
    /// Sends these bytes and stays.
    Stuck(Arc<[u8]>),
}

/// An attack under way; it ends when this is dropped.
#[derive(Debug)]
pub struct Attacker {
    connections: JoinSet<()>,
    rounds: Arc<AtomicU64>,
}

impl Attacker {
    /// `connections` at once, against `target`.
    pub fn start(target: SocketAddr, connections: usize, attack: &Attack) -> Self {
        let rounds = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (attack, rounds) = (attack.clone(), Arc::clone(&rounds));
            tasks.spawn(async move {
                loop {
                    if let Ok(stream) = TcpStream::connect(target).await {
                        round(stream, &attack).await;
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                    sleep(PAUSE).await;
                }
            });
        }
        Self { connections: tasks, rounds }
    }

    /// Connections that came to their end so far.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    pub fn connections(&self) -> usize {
        self.connections.len()
    }
}

/// Until the other side ends it, or there is no more to do.
async fn round(mut stream: TcpStream, attack: &Attack) {
    let mut answer = [0; 4096];
    match attack {
        Attack::Silent => while stream.read(&mut answer).await.is_ok_and(|n| n > 0) {},
        Attack::DrippingHead(wait) => {
            let head = b"POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nX-Drip: ";
            let bytes = head.iter().copied().chain(std::iter::repeat(b'a'));
            for byte in bytes {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(*wait).await;
            }
        }
        Attack::Request(bytes) => {
            stream.write_all(bytes).await.ok();
            timeout(PATIENCE, stream.read(&mut answer)).await.ok();
        }
        Attack::Stuck(bytes) => {
            stream.write_all(bytes).await.ok();
            while stream.read(&mut answer).await.is_ok_and(|n| n > 0) {}
        }
    }
}

/// A POST of this body to the component, whole.
pub fn request(headers: &str, body: &[u8]) -> Arc<[u8]> {
    head(headers, body.len()).into_bytes().into_iter().chain(body.iter().copied()).collect()
}

/// The same, with only half of its body.
pub fn half(headers: &str, body: &[u8]) -> Arc<[u8]> {
    let half = body.get(..body.len() / 2).unwrap_or_default();
    head(headers, body.len()).into_bytes().into_iter().chain(half.iter().copied()).collect()
}

fn head(headers: &str, length: usize) -> String {
    format!(
        "POST /wsiotramite/Tramite HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
}
