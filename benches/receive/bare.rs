//! The loop that does only the work itself, to compare with: copies a message from its socket, takes both layers of base64
//! off, hashes the document, writes it to a file and syncs that. One thread for each connection; no XML, no checks, no record of
//! what came, nothing that could be asked for later.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use base64_simd::STANDARD;
use ring::digest::{Context, SHA256};

/// Read from the socket at a time, in bytes: what lies in a processor's cache while it is decoded.
const PIECE: usize = 128 * 1024;
const OPEN: &[u8] = b"<bpdfdoc>";
const ANSWER: &str = "<vcodres>0000</vcodres>";

static FILES: AtomicU64 = AtomicU64::new(0);

/// The loop as a process of its own, so that its processor time is its own.
pub struct Bare {
    child: Child,
    pub address: SocketAddr,
}

impl Bare {
    pub fn start(address: SocketAddr, dir: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(["--bare", &address.to_string(), dir.to_str().expect("a readable path")]);
        let child = command.stdin(Stdio::null()).spawn().expect("the bare loop starts");
        while TcpStream::connect(address).is_err() {
            thread::yield_now();
        }
        Self { child, address }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Serves for ever.
pub fn serve(address: &str, dir: &Path) {
    let listener = TcpListener::bind(address).expect("the address is free");
    for stream in listener.incoming() {
        let (stream, dir) = (stream.expect("a connection"), dir.to_owned());
        thread::spawn(move || connection(stream, &dir));
    }
}

fn connection(mut stream: TcpStream, dir: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut state = State { raw: vec![0; PIECE + 64], once: Vec::new(), pdf: Vec::new() };
    while let Some(message) = Message::begin(&mut stream, &mut state)? {
        state.take(message, &mut stream, dir)?;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

struct State {
    raw: Vec<u8>,
    once: Vec<u8>,
    pdf: Vec<u8>,
}

/// A message whose document begins: what of it lies in the buffer, and what is still to come.
struct Message {
    start: usize,
    end: usize,
    left: usize,
}

impl Message {
    /// `None` if the caller is gone.
    fn begin(stream: &mut TcpStream, state: &mut State) -> io::Result<Option<Self>> {
        let mut end = 0;
        loop {
            let n = stream.read(&mut state.raw[end..])?;
            if n == 0 {
                return Ok(None);
            }
            end += n;
            let seen = &state.raw[..end];
            let Some(head) = memchr::memmem::find(seen, b"\r\n\r\n").map(|at| at + 4) else { continue };
            let Some(start) = memchr::memmem::find(seen, OPEN).map(|at| at + OPEN.len()) else { continue };
            let length = memchr::memmem::find(seen, b"Content-Length: ").map(|at| at + 16);
            let length = length.and_then(|at| seen[at..].split(|b| *b == b'\r').next());
            let length: usize =
                length.and_then(|n| str::from_utf8(n).ok()?.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
            return Ok(Some(Self { start, end, left: head + length - end }));
        }
    }
}

impl State {
    fn take(&mut self, message: Message, stream: &mut TcpStream, dir: &Path) -> io::Result<()> {
        let Message { start, mut end, mut left } = message;
        let (mut hash, mut ended) = (Context::new(&SHA256), false);
        let path: PathBuf = dir.join(FILES.fetch_add(1, Ordering::Relaxed).to_string());
        let mut file = File::create(path)?;
        self.raw.copy_within(start..end, 0);
        end -= start;
        loop {
            let text = memchr::memchr(b'<', &self.raw[..end]).unwrap_or(end);
            let whole = text - text % 16;
            if !ended {
                self.decode(whole)?;
                hash.update(&self.pdf);
                file.write_all(&self.pdf)?;
                ended = text < end;
            }
            self.raw.copy_within(whole..end, 0);
            end = if ended { 0 } else { end - whole };
            if left == 0 {
                break;
            }
            let room = PIECE.min(left + end);
            let n = stream.read(&mut self.raw[end..room])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (end, left) = (end + n, left - n);
        }
        std::hint::black_box(hash.finish());
        file.sync_data()
    }

    fn decode(&mut self, whole: usize) -> io::Result<()> {
        self.once.clear();
        self.pdf.clear();
        let broken = |_| io::Error::from(io::ErrorKind::InvalidData);
        STANDARD.decode_append(&self.raw[..whole], &mut self.once).map_err(broken)?;
        STANDARD.decode_append(&self.once, &mut self.pdf).map_err(broken)
    }
}
