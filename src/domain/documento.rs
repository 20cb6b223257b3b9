//! A PDF and its annexes, as a record names them; the bytes live in the store under their SHA-256.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::firmas::Informe;

/// A digest in lower-case hexadecimal: 64 characters. The name of a document in the store.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(String);

#[derive(Debug, thiserror::Error)]
#[error("«{0}» no es un SHA-256: son 64 dígitos hexadecimales en minúscula")]
pub struct Sha256Invalido(String);

impl Sha256 {
    pub fn from_digest(digest: &[u8]) -> Self {
        let mut text = String::with_capacity(digest.len() * 2);
        for byte in digest {
            fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}")).ok();
        }
        Self(text)
    }

    pub fn parse(text: &str) -> Result<Self, Sha256Invalido> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Sha256Invalido(text.chars().take(80).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its 32 bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut raw = [0; 32];
        for (byte, digits) in raw.iter_mut().zip(self.0.as_bytes().chunks_exact(2)) {
            let digit = |d: &u8| char::from(*d).to_digit(16).and_then(|d| u8::try_from(d).ok()).unwrap_or_default();
            *byte = digits.iter().fold(0, |value, d| value << 4 | digit(d));
        }
        raw
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Sha256 {
    type Error = Sha256Invalido;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Sha256> for String {
    fn from(sha256: Sha256) -> Self {
        sha256.0
    }
}

/// A PDF in the store. `bytes` is its size decoded, `nombre` the file name its sender gave (not a path: display only).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documento {
    pub nombre: String,
    pub bytes: u64,
    pub sha256: Sha256,
    /// What the examination of its signatures found; absent in records from before documents were examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmas: Option<Box<Informe>>,
}

/// An annex: only its name travels (CONTRACT §1).
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Anexo {
    pub nombre: String,
    /// Where the file itself is here: its receiver downloads it from us.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub archivo: Option<Archivo>,
}

impl From<&str> for Anexo {
    /// One of which only the name is known.
    fn from(nombre: &str) -> Self {
        Self { nombre: nombre.to_owned(), archivo: None }
    }
}

/// A file of any kind in the store.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Archivo {
    pub bytes: u64,
    pub sha256: Sha256,
}

/// What was found where a PDF should be, once its base64 layers are off (CONTRACT §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contenido {
    /// The element is absent, empty or nil.
    #[default]
    Ausente,
    /// More bytes than the configured maximum; the rest was not read.
    Excesivo,
    /// Not base64, in the outer or the inner layer.
    NoBase64,
    /// Base64, but what it holds does not begin like a PDF.
    NoPdf,
    /// A PDF, encoded twice as every deployed sender does, or `una_vez`.
    Pdf { una_vez: bool },
}
