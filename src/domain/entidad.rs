//! Public entities: the ones this daemon serves and the ones in the platform's directory.

use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use super::Ruc;

/// An entity this daemon answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntidadPropia {
    pub ruc: Ruc,
    /// As it stands in the answers to senders and in `vnomentemi` (at most 250 characters).
    pub nombre: String,
    /// End of the reception hours of its mesa de partes; later arrivals are presented the next business day.
    pub cierre: Time,
}

/// An entity of the platform's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entidad {
    pub ruc: Ruc,
    pub nombre: String,
    pub categoria: Categoria,
}

/// `sidcatent`, the platform's eight categories (CONTRACT §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Categoria(u8);

const NOMBRES: [&str; 8] = [
    "Poder Ejecutivo",
    "Poder Legislativo",
    "Poder Judicial",
    "Organismos Autónomos",
    "Universidades Públicas",
    "Gobierno Regional",
    "Gobierno Local Provincial",
    "Gobierno Local Distrital",
];

#[derive(Debug, thiserror::Error)]
#[error("la categoría {0} no existe: van del 1 al 8")]
pub struct CategoriaInvalida(u8);

impl Categoria {
    pub fn todas() -> impl Iterator<Item = Self> {
        (1..=8).map(Self)
    }

    pub fn numero(self) -> u8 {
        self.0
    }

    pub fn nombre(self) -> &'static str {
        NOMBRES.get(usize::from(self.0) - 1).copied().unwrap_or_default()
    }
}

impl TryFrom<u8> for Categoria {
    type Error = CategoriaInvalida;

    fn try_from(n: u8) -> Result<Self, Self::Error> {
        if (1..=8).contains(&n) { Ok(Self(n)) } else { Err(CategoriaInvalida(n)) }
    }
}

impl From<Categoria> for u8 {
    fn from(categoria: Categoria) -> Self {
        categoria.0
    }
}

/// A document type of the platform's catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TipoDocumento {
    pub codigo: String,
    pub nombre: String,
}

/// The catalogue as the specification prints it, used until the platform's own was fetched.
pub fn tipos_documento_conocidos() -> Vec<TipoDocumento> {
    [("01", "OFICIO"), ("02", "CARTA")]
        .map(|(codigo, nombre)| TipoDocumento { codigo: codigo.into(), nombre: nombre.into() })
        .into()
}
