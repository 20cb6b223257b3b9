//! The documents of the demo: a real signed oficio, a letter, and the cargos that mesa de partes makes.

use ring::digest;
use serde_json::Value;

use crate::{
    cli::output::text,
    domain::{Sha256, lima},
    exchange::{Clock, SystemClock},
    simulator::pdf::Hoja,
};

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

/// The cargo for a received document, with the facts practice puts in one (CONTRACT §8).
pub fn cargo(receiver: &str, recepcion: &Value, answer: &Value) -> Paper {
    let sender = &recepcion["remitente"];
    let now = lima::en_lima(SystemClock.now()).strftime("%d/%m/%Y %H:%M:%S (hora de Lima)").to_string();
    let mut datos = vec![
        ("N.º de registro".to_owned(), text(answer, "numero_registro").to_owned()),
        ("Fecha y hora".to_owned(), now),
        ("Unidad".to_owned(), text(answer, "unidad").to_owned()),
        ("Registrado por".to_owned(), text(answer, "usuario").to_owned()),
        ("CUO".to_owned(), text(recepcion, "cuo").to_owned()),
        ("Remitente".to_owned(), format!("{} (RUC {})", text(sender, "nombre"), text(sender, "ruc"))),
        ("Documento".to_owned(), text(recepcion, "numero_documento").to_owned()),
        ("Asunto".to_owned(), text(recepcion, "asunto").to_owned()),
        ("Folios".to_owned(), recepcion["folios"].to_string()),
        ("SHA-256".to_owned(), text(&recepcion["documento"], "sha256").to_owned()),
    ];
    let observed = answer["observacion"].as_str();
    datos.extend(observed.map(|o| ("Observación".to_owned(), o.to_owned())));
    let titulo = if observed.is_some() { "Cargo de observación" } else { "Cargo de recepción" };
    let hoja = Hoja {
        membrete: receiver.to_owned(),
        titulo: titulo.to_owned(),
        datos,
        parrafos: Vec::new(),
        pie: "Cargo de muestra, sin firma digital ni valor legal.".to_owned(),
    };
    Paper::new("cargo.pdf", hoja.render())
}
