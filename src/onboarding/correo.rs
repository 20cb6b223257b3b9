//! An e-mail as a file: RFC 5322 with RFC 2047 subjects, a text and attachments (RFC 2045, 2046, 2231). Every line ends in
//! CRLF and is short; nothing that is written into a header can end it.

use std::fmt::Write;

use jiff::Timestamp;

use crate::domain::lima;

/// Bytes of a line of base64 text.
const LINE: usize = 76;
/// Bytes of text in one encoded word: 75 characters with its frame, of whole letters.
const WORD_BYTES: usize = 42;

/// A mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buzon {
    pub nombre: String,
    pub direccion: String,
}

pub struct Adjunto {
    pub nombre: String,
    /// `application/pdf` and the like.
    pub tipo: &'static str,
    pub bytes: Vec<u8>,
}

pub struct Mensaje {
    pub de: Buzon,
    pub para: Vec<Buzon>,
    pub copia: Vec<Buzon>,
    pub asunto: String,
    pub texto: String,
    pub adjuntos: Vec<Adjunto>,
    pub fecha: Timestamp,
    /// Makes the message and its parts unlike all others.
    pub id: String,
}

impl Mensaje {
    pub fn eml(&self) -> Vec<u8> {
        let mut out = String::new();
        let mut header = |name: &str, value: &str| {
            write!(out, "{name}: {value}\r\n").ok();
        };
        let host = self.de.direccion.split('@').nth(1).unwrap_or("localhost");
        header("From", &buzones(std::slice::from_ref(&self.de)));
        header("To", &buzones(&self.para));
        if !self.copia.is_empty() {
            header("Cc", &buzones(&self.copia));
        }
        header("Subject", &words(&self.asunto));
        header("Date", &lima::en_lima(self.fecha).strftime("%a, %d %b %Y %H:%M:%S -0500").to_string());
        header("Message-ID", &format!("<{}@{host}>", self.id));
        // Mail programs then open it as a draft.
        header("X-Unsent", "1");
        header("MIME-Version", "1.0");
        let boundary = format!("=_chasqui_{}", self.id);
        header("Content-Type", &format!("multipart/mixed;\r\n boundary=\"{boundary}\""));
        out.push_str("\r\n");
        write!(
            out,
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        )
        .ok();
        let text = self.texto.replace("\r\n", "\n").replace('\n', "\r\n");
        base64_lines(&mut out, text.as_bytes());
        for adjunto in &self.adjuntos {
            write!(out, "--{boundary}\r\nContent-Type: {}\r\nContent-Transfer-Encoding: base64\r\n", adjunto.tipo).ok();
            write!(out, "Content-Disposition: attachment;{}\r\n\r\n", filename(&adjunto.nombre)).ok();
            base64_lines(&mut out, &adjunto.bytes);
        }
        write!(out, "--{boundary}--\r\n").ok();
        out.into_bytes()
    }
}

fn base64_lines(out: &mut String, bytes: &[u8]) {
    let text = base64_simd::STANDARD.encode_to_string(bytes);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        out.push_str(line);
        out.push_str("\r\n");
        rest = after;
    }
}

fn plain(text: &str) -> bool {
    text.bytes().all(|b| (b' '..=b'~').contains(&b)) && !text.contains("=?")
}

/// A text of a header: as it is, or as encoded words, each on a line of its own.
fn words(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if plain(&text) && text.len() < LINE {
        return text;
    }
    let (mut encoded, mut word) = (Vec::new(), String::new());
    for c in text.chars() {
        if word.len() + c.len_utf8() > WORD_BYTES {
            encoded.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    encoded.push(word);
    let framed = encoded.iter().map(|word| format!("=?utf-8?B?{}?=", base64_simd::STANDARD.encode_to_string(word)));
    framed.collect::<Vec<_>>().join("\r\n ")
}

fn buzones(all: &[Buzon]) -> String {
    let one = |buzon: &Buzon| {
        let address: String = buzon.direccion.chars().filter(|c| !c.is_control()).collect();
        if buzon.nombre.is_empty() {
            return address;
        }
        let name = if plain(&buzon.nombre) && buzon.nombre.len() < LINE {
            format!("\"{}\"", buzon.nombre.replace('\\', "\\\\").replace('"', "\\\""))
        } else {
            words(&buzon.nombre)
        };
        format!("{name} <{address}>")
    };
    all.iter().map(one).collect::<Vec<_>>().join(",\r\n ")
}

/// As it is if it is plain, else in the form of RFC 2231: nothing of both, as readers differ in which one they take.
fn filename(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control() && !"/\\".contains(*c)).take(120).collect();
    let mut out = String::new();
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "._- ".contains(c)) {
        write!(out, "\r\n filename=\"{name}\"").ok();
        return out;
    }
    let mut pieces = vec![String::from("utf-8''")];
    for byte in name.bytes() {
        let safe = byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let next = if safe { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        match pieces.last_mut() {
            Some(last) if last.len() + next.len() <= 56 => last.push_str(&next),
            _ => pieces.push(next),
        }
    }
    match pieces.as_slice() {
        [whole] => {
            write!(out, "\r\n filename*={whole}").ok();
        }
        parts => {
            let numbered = parts.iter().enumerate().map(|(n, part)| format!("\r\n filename*{n}*={part}"));
            out.push_str(&numbered.collect::<Vec<_>>().join(";"));
        }
    }
    out
}
