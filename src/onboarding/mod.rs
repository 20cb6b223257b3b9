//! The administrative road to production (CONTRACT §12): what an entity tells of itself (`expediente.toml`), checked; the
//! forms, e-mails and the acta made of it; who signed them; and how far it has come.
//!
//! Sends nothing and signs nothing: it makes files. Uses the domain, `signing` for PDFs, and the report of `conformance`;
//! the day, the calendar and the trust anchors are passed in.

pub mod acta;
pub mod cartas;
mod constancia;
mod correo;
pub mod expediente;
pub mod formularios;
mod revision;
pub mod sello;
pub mod situacion;
#[cfg(test)]
mod tests;

use jiff::{Timestamp, civil::Date};

pub use expediente::Expediente;
pub use revision::Problema;

use crate::{
    domain::{Ambiente, calendario::Calendario, lima},
    signing::trust::Trust,
};

/// What holds while a dossier is looked at.
pub struct Contexto<'a> {
    pub ahora: Timestamp,
    pub calendario: &'a Calendario,
    /// Outside production the RUCs of examples are taken, and what is made of them says that it is a rehearsal.
    pub ambiente: Ambiente,
    pub confianza: &'a Trust,
}

impl Contexto<'_> {
    pub fn hoy(&self) -> Date {
        lima::en_lima(self.ahora).date()
    }
}

/// Why a document or an e-mail was not made. The texts are for people.
#[derive(Debug, thiserror::Error)]
pub enum OnboardingError {
    #[error("faltan datos en el expediente:\n{}", revision::lista(.0))]
    Datos(Vec<Problema>),
    #[error("no se pudo hacer el PDF: {0}")]
    Pdf(String),
}
