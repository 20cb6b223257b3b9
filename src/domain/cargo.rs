//! The cargo: the receipt that answers a document, signed, with the number under which the receiver filed it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Contenido, Documento};

/// How the receiver answered: `R` or `O` (CONTRACT §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desenlace {
    Recepcionado,
    Observado,
}

impl Desenlace {
    /// `cflgest`, the wire letter.
    pub fn letra(self) -> &'static str {
        match self {
            Self::Recepcionado => "R",
            Self::Observado => "O",
        }
    }

    pub fn de_letra(text: &str) -> Option<Self> {
        match text.trim() {
            "R" | "r" => Some(Self::Recepcionado),
            "O" | "o" => Some(Self::Observado),
            _ => None,
        }
    }
}

impl fmt::Display for Desenlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recepcionado => "recepcionado",
            Self::Observado => "observado",
        })
    }
}

/// Where the PDF of an entity's cargos comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmisionCargo {
    /// A receipt of one page, made and signed here.
    #[serde(rename = "generate")]
    Generado,
    /// The received document, stamped and signed here.
    #[serde(rename = "stamp")]
    Sellado,
    /// The SGD gives it, signed by a person.
    #[serde(rename = "given")]
    Dado,
}

/// A cargo on record, ours or theirs. What a counterpart left out is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cargo {
    pub desenlace: Desenlace,
    pub numero_registro: Option<String>,
    pub anio_registro: Option<String>,
    pub fecha_registro: Option<Timestamp>,
    pub unidad: Option<String>,
    pub usuario: Option<String>,
    /// Why it was observed; ours always has one when observed.
    pub observacion: Option<String>,
    /// The signed PDF. A consulta may tell the outcome without it.
    pub documento: Option<Documento>,
}

impl Cargo {
    /// Whether both say the same: a repeated delivery, not a second cargo. The name of the file does not count, nor the
    /// spaces around texts.
    pub fn equivale(&self, other: &Self) -> bool {
        let text = |t: &Option<String>| t.as_deref().unwrap_or_default().trim().to_owned();
        let digest = |c: &Self| c.documento.as_ref().map(|d| d.sha256.clone());
        self.desenlace == other.desenlace
            && text(&self.numero_registro) == text(&other.numero_registro)
            && text(&self.anio_registro) == text(&other.anio_registro)
            && self.fecha_registro == other.fecha_registro
            && text(&self.unidad) == text(&other.unidad)
            && text(&self.usuario) == text(&other.usuario)
            && text(&self.observacion) == text(&other.observacion)
            && digest(self) == digest(other)
    }
}

/// The body of `cargoResponse`, and what an answered consulta holds: as stated on the wire, unjudged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CargoTramite {
    /// Who issues the cargo: the document's receiver. Only on the platform's side.
    pub ruc_emisor: Option<String>,
    /// The document's original sender. Only on the platform's side.
    pub ruc_destino: Option<String>,
    pub cuo: Option<String>,
    pub cuo_referencia: Option<String>,
    pub numero_registro: Option<String>,
    pub anio_registro: Option<String>,
    pub fecha_registro: Option<String>,
    pub unidad: Option<String>,
    pub usuario: Option<String>,
    pub contenido: Contenido,
    pub observacion: Option<String>,
    /// `cflgest`: `R`, `O`, in a consulta also `P`.
    pub estado: Option<String>,
    /// `vdesanxstdrec`: free text on annexes.
    pub anexos: Option<String>,
}

impl CargoTramite {
    /// The record this makes, with the PDF the caller stored. `None` if the state is neither `R` nor `O`.
    pub fn cargo(&self, documento: Option<Documento>) -> Option<Cargo> {
        Some(Cargo {
            desenlace: Desenlace::de_letra(self.estado.as_deref()?)?,
            numero_registro: self.numero_registro.clone(),
            anio_registro: self.anio_registro.clone(),
            fecha_registro: self.fecha_registro.as_deref().and_then(super::lima::leer),
            unidad: self.unidad.clone(),
            usuario: self.usuario.clone(),
            observacion: self.observacion.clone(),
            documento,
        })
    }
}

/// `vcodres` and `vdesres`, trimmed; null is `None` (CONTRACT §7: treat as -1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Respuesta {
    pub codigo: Option<String>,
    pub descripcion: Option<String>,
}

impl Respuesta {
    pub fn nueva(codigo: &str, descripcion: impl Into<String>) -> Self {
        Self { codigo: Some(codigo.to_owned()), descripcion: Some(descripcion.into()) }
    }

    pub fn codigo(&self) -> &str {
        self.codigo.as_deref().map_or("", str::trim)
    }

    pub fn descripcion(&self) -> &str {
        self.descripcion.as_deref().map_or("", str::trim)
    }
}

/// The answer of `consultarTramiteResponse`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RespuestaConsulta {
    pub respuesta: Respuesta,
    pub cargo: CargoTramite,
}
