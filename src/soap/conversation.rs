//! A request and its answer as they were on the wire, as they are kept: JSON without the documents, which are named by their
//! SHA-256. Read from evidence of strangers too, so nothing of it is believed before it is measured.

use ring::digest;
use serde::{Deserialize, Serialize};

use super::capture::{Parte, Sobre, Taker, Trazo, rebuild};
use crate::domain::Sha256;

/// Layers of base64 that a document may lie under.
const LAYERS_MAX: usize = 2;
/// What the layout may add to a document, as a multiple of its size, and besides, in bytes: two layers add 0.8, separators
/// hardly more than the text they separate.
const LAYOUT_RATIO_MAX: u64 = 16;
const LAYOUT_BESIDES_MAX: u64 = 1024 * 1024;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sentido {
    /// The platform called us.
    Recibida,
    /// We called the platform.
    Enviada,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversacion {
    pub version: u32,
    /// As the service calls it.
    pub operacion: String,
    pub sentido: Sentido,
    pub peticion: Mensaje,
    /// Absent: none came, or none that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respuesta: Option<Mensaje>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mensaje {
    /// The document whose bytes belong where the parts name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documento: Option<Sha256>,
    pub sobre: Sobre,
}

impl Conversacion {
    pub const VERSION: u32 = 1;

    pub fn mensajes(&self) -> impl Iterator<Item = &Mensaje> {
        std::iter::once(&self.peticion).chain(&self.respuesta)
    }
}

/// A message written again: how many bytes it has, and their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehecho {
    pub bytes: u64,
    pub sha256: Sha256,
}

/// Why a message cannot be written again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RehacerError {
    /// Its parts were not kept: why.
    #[error("{0}")]
    SinPartes(String),
    #[error("su disposición no es la de ningún mensaje")]
    Disposicion,
    #[error("lo que se rehace no es lo que se anotó")]
    Distinto,
}

impl Mensaje {
    /// Whether a document's bytes are needed to write it again.
    pub fn needs_document(&self) -> bool {
        self.sobre.partes.iter().any(|part| matches!(part, Parte::Documento(_)))
    }

    /// Writes the message again and compares it with what was noted of it. `bytes` is the document's size; `document` gives its
    /// bytes, `out` takes the message's.
    pub fn rehacer(
        &self,
        bytes: u64,
        document: &mut dyn FnMut(&mut Taker<'_>),
        out: &mut Taker<'_>,
    ) -> Result<Rehecho, RehacerError> {
        if let Some(why) = &self.sobre.motivo {
            return Err(RehacerError::SinPartes(why.clone()));
        }
        if !is_measured(&self.sobre, bytes) {
            return Err(RehacerError::Disposicion);
        }
        let (mut hash, mut crc32c, mut written) = (digest::Context::new(&digest::SHA256), 0, 0);
        rebuild(&self.sobre, document, &mut |piece| {
            hash.update(piece);
            crc32c = crc32c::crc32c_append(crc32c, piece);
            written += piece.len() as u64;
            out(piece);
        })
        .ok_or(RehacerError::Disposicion)?;
        if written != self.sobre.bytes || self.sobre.crc32c.is_some_and(|noted| noted != crc32c) {
            return Err(RehacerError::Distinto);
        }
        let sha256 = Sha256::from_digest(hash.finish().as_ref());
        Ok(Rehecho { bytes: written, sha256 })
    }
}

/// Whether writing it again takes no more work than a message of its size may cost.
fn is_measured(sobre: &Sobre, document: u64) -> bool {
    let most = document.saturating_mul(LAYOUT_RATIO_MAX).saturating_add(LAYOUT_BESIDES_MAX);
    let layers: Vec<&Vec<Trazo>> = sobre
        .partes
        .iter()
        .filter_map(|part| match part {
            Parte::Documento(layers) => Some(layers),
            _ => None,
        })
        .collect();
    layers.len() <= 1 && layers.iter().all(|layers| layers.len() <= LAYERS_MAX && layers.iter().all(|l| laid(l, most)))
}

fn laid(layer: &Trazo, most: u64) -> bool {
    let total = layer.lineas.iter().try_fold(0_u64, |total, (length, separator, times)| {
        let line = length.checked_add(separator.len() as u64).filter(|line| *line > 0)?;
        total.checked_add(line.checked_mul(*times)?)
    });
    total.is_some_and(|total| total <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::{
        capture::Capture,
        fixture::{pdf, twice},
    };

    fn captured(pdf: &[u8]) -> (Vec<u8>, Mensaje) {
        let message = format!("<a><b>{}</b></a>", twice(pdf)).into_bytes();
        let mut capture = Capture::default();
        capture.push(&message);
        (message, Mensaje { documento: None, sobre: capture.finish(true) })
    }

    fn again(message: &Mensaje, pdf: &[u8]) -> Result<Rehecho, RehacerError> {
        message.rehacer(pdf.len() as u64, &mut |take| pdf.chunks(1000).for_each(&mut *take), &mut |_| {})
    }

    #[test]
    fn a_message_is_written_again_only_with_its_own_document_and_as_it_was_noted() {
        let pdf = pdf(9000);
        let (message, mut noted) = captured(&pdf);
        assert!(noted.needs_document());
        assert_eq!(again(&noted, &pdf).unwrap().bytes, message.len() as u64);
        let mut other = pdf.clone();
        other[8000] ^= 1;
        assert_eq!(again(&noted, &other), Err(RehacerError::Distinto));
        noted.sobre.motivo = Some("así fue".into());
        assert_eq!(again(&noted, &pdf), Err(RehacerError::SinPartes("así fue".into())));
    }

    #[test]
    fn a_layout_that_would_be_written_without_end_is_refused() {
        let pdf = pdf(9000);
        let (_, noted) = captured(&pdf);
        for lines in [
            (0, String::new(), u64::MAX),
            (0, "\n".into(), u64::MAX),
            (u64::MAX, "\n".into(), 2),
            (0, "\n".into(), 1 << 40),
        ] {
            let mut endless = noted.clone();
            endless.sobre.partes[1] = Parte::Documento(vec![Trazo { lineas: vec![lines], relleno: true }]);
            assert_eq!(again(&endless, &pdf), Err(RehacerError::Disposicion));
        }
        let mut deep = noted;
        deep.sobre.partes[1] = Parte::Documento(vec![Trazo::default(); 3]);
        assert_eq!(again(&deep, &pdf), Err(RehacerError::Disposicion));
    }
}
