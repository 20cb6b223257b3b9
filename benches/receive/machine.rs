//! What this machine can do at most, measured in the same run as everything else.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use base64_simd::STANDARD;
use ring::digest::{SHA256, digest};

/// How long each is measured.
const TIME: Duration = Duration::from_secs(1);
const PIECE: usize = 128 * 1024;

pub struct Machine {
    pub processors: usize,
    /// Appends of 4 KiB, each synced, in one file.
    pub syncs_per_second: f64,
    /// SHA-256 of one processor, in MB (10⁶ bytes) of document.
    pub sha256: f64,
    /// Both layers of base64 taken off by one processor, in MB of wire.
    pub base64: f64,
    /// Copied through a socket on loopback, in MB, by one sender and one receiver.
    pub loopback: f64,
}

impl Machine {
    /// Syncs are those of the file system of `dir`.
    pub fn measure(dir: &Path) -> Self {
        let piece = vec![7; PIECE];
        let text = STANDARD.encode_to_string(STANDARD.encode_to_string(&piece));
        Self {
            processors: thread::available_parallelism().map_or(1, usize::from),
            syncs_per_second: syncs(dir),
            sha256: per_second(|| {
                std::hint::black_box(digest(&SHA256, &piece));
                PIECE
            }),
            base64: per_second(|| {
                let once = STANDARD.decode_to_vec(&text).expect("base64");
                std::hint::black_box(STANDARD.decode_to_vec(once).expect("base64"));
                text.len()
            }),
            loopback: loopback(&piece),
        }
    }
}

/// MB per second of `work`, which says how many bytes it did.
fn per_second(mut work: impl FnMut() -> usize) -> f64 {
    let (began, mut bytes) = (Instant::now(), 0);
    while began.elapsed() < TIME {
        bytes += work();
    }
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}

fn syncs(dir: &Path) -> f64 {
    let path = dir.join("syncs");
    let mut file = File::create(&path).expect("a file");
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < TIME {
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("the disk takes it");
        count += 1;
    }
    std::fs::remove_file(path).expect("the file goes");
    f64::from(count) / began.elapsed().as_secs_f64()
}

fn loopback(piece: &[u8]) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut to = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (mut from, _) = listener.accept().expect("a connection");
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        while from.read(&mut buffer).is_ok_and(|n| n > 0) {}
    });
    let rate = per_second(|| to.write(piece).expect("it is read"));
    drop(to);
    reader.join().expect("the reader ends");
    rate
}
