//! A document as it stands on the wire, made once and sent many times: nine of its bytes, sixteen characters, differ from one
//! to the next, so that no two are the same document and none is encoded anew.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use crate::{
    daemon::Entity,
    envelope::{Fields, base64_twice, query},
    pdf,
};

/// Bytes of a PDF that become one whole block of text in both layers, and the characters of that block.
const BLOCK: usize = 9;
const BLOCK_TEXT: usize = 16;
/// Where the bytes that differ are: within the PDF's only stream, whatever its size.
const DIFFERS_AT: usize = 100 * BLOCK;

/// Stands for a CUO until it is known.
const CUO: &str = "@CUO@";

/// What is asked of a daemon.
pub enum Asked {
    Recepcion(Box<Wire>),
    /// About CUOs that were received, from the first given on.
    Consulta {
        first: u64,
        count: u64,
    },
}

/// One message in its parts.
pub struct Wire {
    head: String,
    text: Vec<u8>,
    tail: String,
}

impl Wire {
    /// About so many bytes of PDF, from `sender` to `receiver`.
    pub fn new(bytes: usize, sender: Entity, receiver: Entity) -> Self {
        let mut whole = pdf::pdf(7, bytes);
        // A last byte of whitespace or more: no padding on the wire, as every other block.
        whole.resize(whole.len().next_multiple_of(BLOCK), b'\n');
        let xml = Fields::document(sender.ruc, receiver.ruc, CUO, b"").xml();
        let (head, tail) = xml.split_once("</bpdfdoc>").expect("a document's element");
        Self { head: head.to_owned(), text: base64_twice(&whole).into_bytes(), tail: format!("</bpdfdoc>{tail}") }
    }

    /// Bytes of one message's body.
    pub fn body_bytes(&self) -> u64 {
        (self.head.len() - CUO.len() + cuo(0).len() + self.text.len() + self.tail.len()) as u64
    }

    fn send(&self, number: u64, http: &str, stream: &mut TcpStream) -> io::Result<()> {
        let own = base64_twice(format!("{:09}", number % 1_000_000_000).as_bytes());
        let head = self.head.replace(CUO, &cuo(number));
        let at = DIFFERS_AT / BLOCK * BLOCK_TEXT;
        let start = [http.as_bytes(), head.as_bytes(), &self.text[..at], own.as_bytes()].concat();
        let rest = &self.text[at + BLOCK_TEXT..];
        if rest.len() < 256 * 1024 {
            return stream.write_all(&[&start[..], rest, self.tail.as_bytes()].concat());
        }
        stream.write_all(&start)?;
        stream.write_all(rest)?;
        stream.write_all(self.tail.as_bytes())
    }
}

impl Asked {
    /// Writes request `number` to the end.
    pub fn send(&self, number: u64, host: &str, path: &str, stream: &mut TcpStream) -> io::Result<()> {
        let http = |bytes: u64| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml; charset=utf-8\r\nSOAPAction: \"\"\r\n\
                 Content-Length: {bytes}\r\n\r\n"
            )
        };
        match self {
            Self::Recepcion(wire) => wire.send(number, &http(wire.body_bytes()), stream),
            Self::Consulta { first, count } => {
                let body = query(&cuo(first + number % count));
                stream.write_all(format!("{}{body}", http(body.len() as u64)).as_bytes())
            }
        }
    }

    pub fn body_bytes(&self) -> u64 {
        match self {
            Self::Recepcion(wire) => wire.body_bytes(),
            Self::Consulta { .. } => query(&cuo(0)).len() as u64,
        }
    }
}

fn cuo(number: u64) -> String {
    format!("{number:010}")
}
