//! PDF files of any size whose bytes compress no better than chance and differ with the seed.

use std::io::{self, Write};

use ring::digest::{Context, SHA256};

/// Bytes made at a time.
const PIECE: usize = 64 * 1024;

/// A small whole PDF: one page and a stream of about `bytes` bytes.
pub fn pdf(seed: u64, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 1024);
    write(seed, bytes, &mut out).expect("memory takes it");
    out
}

/// Writes the same PDF piece by piece and returns its size and SHA-256.
pub fn write(seed: u64, bytes: usize, out: &mut dyn Write) -> io::Result<(u64, String)> {
    let mut out = Hashed { out, bytes: 0, hash: Context::new(&SHA256) };
    let mut places = Vec::new();
    out.write_all(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")?;
    for body in [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
    ] {
        places.push(out.bytes);
        write!(out, "{} 0 obj\n{body}\nendobj\n", places.len())?;
    }
    places.push(out.bytes);
    write!(out, "4 0 obj\n<< /Length {bytes} >>\nstream\n")?;
    noise(seed, bytes, &mut out)?;
    out.write_all(b"\nendstream\nendobj\n")?;
    let xref = out.bytes;
    write!(out, "xref\n0 {}\n0000000000 65535 f \n", places.len() + 1)?;
    for place in &places {
        writeln!(out, "{place:010} 00000 n ")?;
    }
    write!(out, "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n", places.len() + 1)?;
    Ok((out.bytes, hex(out.hash.finish().as_ref())))
}

/// The name of these bytes in the store and on the API.
pub fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&SHA256, bytes).as_ref())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn noise(seed: u64, bytes: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut piece = Vec::with_capacity(PIECE);
    let mut left = bytes;
    while left > 0 {
        piece.clear();
        while piece.len() < left.min(PIECE) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        piece.truncate(left.min(PIECE));
        out.write_all(&piece)?;
        left -= piece.len();
    }
    Ok(())
}

struct Hashed<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
    hash: Context,
}

impl Write for Hashed<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.out.write_all(piece)?;
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
