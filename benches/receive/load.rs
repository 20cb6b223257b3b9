//! The load generator: so many connections kept open, each with one request at a time, for so long. Plain threads and
//! sockets, so that what it costs is little and the same for all who are measured with it.

use std::{
    io::{self, Read},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::document::Asked;

/// What an answer's head may take, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Numbers of requests, and so CUOs, are never used twice in a run.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// How long a load lasts: so long, and at least so many requests.
#[derive(Clone, Copy)]
pub struct Length {
    pub time: Duration,
    pub requests: u64,
}

/// What came of a load.
#[derive(Default)]
pub struct Outcome {
    pub answered: u64,
    /// Told to come back (503).
    pub refused: u64,
    /// Answered, or not, in any other way; with the first of them in words.
    pub failed: u64,
    pub first_failure: Option<String>,
    pub elapsed: Duration,
    /// From the first byte sent to the last byte of the answer, in order of length.
    times: Vec<Duration>,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// The time within which so many in a hundred were answered.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.times.len().saturating_sub(1);
        self.times.get(last * percent / 100).copied().unwrap_or_default()
    }

    fn add(&mut self, answer: io::Result<Answer>, took: Duration) {
        match answer {
            Ok(Answer { status: 200, body }) if body.contains("<vcodres>0000</vcodres>") => {
                self.answered += 1;
                self.times.push(took);
            }
            Ok(Answer { status: 503, .. }) => self.refused += 1,
            Ok(Answer { status, body }) => self.fail(format!("{status}: {body:.300}")),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&mut self, what: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(what);
    }

    fn merge(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.times.extend(other.times);
    }
}

/// The number that the next request will have.
pub fn next() -> u64 {
    NEXT.load(Ordering::Relaxed)
}

/// Begins elsewhere: a daemon that ran before knows the numbers of earlier loads.
pub fn begin_at(number: u64) {
    NEXT.store(number, Ordering::Relaxed);
}

/// Sends to `path` at `target` over `connections` until `length` has passed.
#[allow(clippy::disallowed_methods)] // these threads wait for nobody but a daemon that refused them
pub fn run(target: SocketAddr, path: &str, connections: usize, asked: &Asked, length: Length) -> Outcome {
    let (all, begun) = (Mutex::new(Outcome::default()), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut own = Outcome::default();
                let mut stream = None;
                while began.elapsed() < length.time || begun.load(Ordering::Relaxed) < length.requests {
                    begun.fetch_add(1, Ordering::Relaxed);
                    let started = Instant::now();
                    let answer = ask(&mut stream, target, path, asked);
                    if answer.as_ref().map_or(true, |answer| answer.status != 200) {
                        stream = None;
                        thread::sleep(Duration::from_millis(20));
                    }
                    own.add(answer, started.elapsed());
                }
                all.lock().expect("no load panicked").merge(own);
            });
        }
    });
    let mut outcome = all.into_inner().expect("no load panicked");
    outcome.elapsed = began.elapsed();
    outcome.times.sort_unstable();
    outcome
}

struct Answer {
    status: u16,
    body: String,
}

fn ask(stream: &mut Option<TcpStream>, target: SocketAddr, path: &str, asked: &Asked) -> io::Result<Answer> {
    let stream = match stream {
        Some(open) => open,
        closed => {
            let open = TcpStream::connect(target)?;
            open.set_nodelay(true)?;
            open.set_read_timeout(Some(Duration::from_secs(300)))?;
            closed.insert(open)
        }
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let sent = asked.send(number, &target.to_string(), path, stream);
    // A refusal may come while the rest is still being sent.
    answer(stream).or_else(|error| sent.and(Err(error)))
}

fn answer(stream: &mut TcpStream) -> io::Result<Answer> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 8192]);
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        let n = stream.read(&mut piece)?;
        if n == 0 || bytes.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..n]);
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|n| n.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    while bytes.len() < head + length {
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..n]);
    }
    let status = text.get(9..12).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answer { status, body: String::from_utf8_lossy(&bytes[head..]).into_owned() })
}
