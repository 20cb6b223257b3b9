//! The documents of the demo: a real signed oficio, a letter, and the cargos that come back.

use ring::digest;

use crate::{domain::Sha256, simulator::pdf::Hoja};

/// Two pages, signed with a test key (`fixtures/oficio.py`).
pub const OFICIO: &[u8] = include_bytes!("../../../fixtures/oficio.pdf");

/// A document with its name and digest.
pub struct Paper {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub sha256: String,
}

impl Paper {
    fn new(name: &'static str, bytes: Vec<u8>) -> Self {
        let sha256 = sha256(&bytes);
        Self { name, bytes, sha256 }
    }

    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::from_digest(digest::digest(&digest::SHA256, bytes).as_ref()).to_string()
}

pub fn oficio() -> Paper {
    Paper::new("oficio.pdf", OFICIO.to_vec())
}

pub fn carta(de: &str, para: &str) -> Paper {
    let hoja = Hoja {
        membrete: de.to_owned(),
        titulo: "CARTA N.º 002-2026-MDE/OTI".to_owned(),
        datos: vec![
            ("Para".to_owned(), para.to_owned()),
            ("Asunto".to_owned(), "Remite el plan de pruebas y su cronograma (anexo 2)".to_owned()),
        ],
        parrafos: vec![
            "Por la presente remitimos el plan de pruebas acordado y, como anexo 2, el cronograma con los responsables de \
             cada actividad."
                .to_owned(),
            "Quedamos atentos a su conformidad.".to_owned(),
        ],
        pie: "Documento de muestra: entidades, personas y números son ficticios.".to_owned(),
    };
    Paper::new("carta.pdf", hoja.render())
}

/// A cargo as its receiver's daemon made it.
pub fn cargo(bytes: Vec<u8>) -> Paper {
    Paper::new("cargo.pdf", bytes)
}
