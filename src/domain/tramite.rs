//! A document as a sender states it on the wire, before anything of it is believed: every field optional, every text as
//! it came. The contract decodes into it and encodes from it; validation judges it; the exchange makes records of it.

use serde::{Deserialize, Serialize};

use super::{Contenido, lima};

/// The body of `recepcionarTramiteResponse` (CONTRACT §4). Empty elements are `None`; the PDF's bytes are elsewhere,
/// `contenido` says what was found in their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tramite {
    pub ruc_remitente: Option<String>,
    pub ruc_receptor: Option<String>,
    pub nombre_remitente: Option<String>,
    pub unidad_remitente: Option<String>,
    pub tipo_identidad: Option<String>,
    pub numero_identidad: Option<String>,
    pub cuo: Option<String>,
    pub cuo_referencia: Option<String>,
    pub tipo_documento: Option<String>,
    pub numero_documento: Option<String>,
    pub fecha_documento: Option<String>,
    pub unidad_destino: Option<String>,
    pub nombre_destinatario: Option<String>,
    pub cargo_destinatario: Option<String>,
    pub asunto: Option<String>,
    /// `None` if absent or not a number.
    pub numero_anexos: Option<i64>,
    /// `None` if absent or not a number.
    pub folios: Option<i64>,
    pub url_anexos: Option<String>,
    pub nombre_documento: Option<String>,
    pub contenido: Contenido,
    /// Names of the annexes; an element without a name is `None`.
    pub anexos: Vec<Option<String>>,
}

impl Tramite {
    /// What two submissions under one CUO must have in common to be the same: every field, read as meaning (dates as
    /// instants, the CUO padded, spaces around texts dropped), in a fixed order, each preceded by its length. The
    /// document's own digest is added by the caller.
    pub fn canonico(&self) -> Vec<u8> {
        let number = |n: Option<i64>| n.map(|n| n.to_string());
        let date = self.fecha_documento.as_deref().map(|text| match lima::leer(text) {
            Some(at) => at.as_second().to_string(),
            None => text.to_owned(),
        });
        let cuo = self.cuo.as_deref().map(|text| format!("{:0>10}", text.trim()));
        let fields = [
            self.ruc_remitente.clone(),
            self.ruc_receptor.clone(),
            self.nombre_remitente.clone(),
            self.unidad_remitente.clone(),
            self.tipo_identidad.clone(),
            self.numero_identidad.clone(),
            cuo,
            self.cuo_referencia.clone(),
            self.tipo_documento.clone(),
            self.numero_documento.clone(),
            date,
            self.unidad_destino.clone(),
            self.nombre_destinatario.clone(),
            self.cargo_destinatario.clone(),
            self.asunto.clone(),
            // Absent, it is the list's size (CONTRACT §6).
            number(self.numero_anexos.or(i64::try_from(self.anexos.len()).ok())),
            number(self.folios),
            self.url_anexos.clone(),
            self.nombre_documento.clone(),
        ];
        let mut bytes = Vec::new();
        for field in fields.iter().chain(&self.anexos) {
            let text = field.as_deref().unwrap_or_default().trim();
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}

/// Asks for the state of a document. The entity's own contract carries only the CUO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consulta {
    /// The document's sender.
    pub ruc_remitente: Option<String>,
    /// The document's receiver.
    pub ruc_receptor: Option<String>,
    pub cuo: Option<String>,
}

/// The person who sends: kind and number of the identity document (`1` DNI, `2` carné de extranjería).
#[derive(Debug, Clone, Default, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Persona {
    pub tipo_documento: String,
    pub numero_documento: String,
}

/// The person and unit a document is addressed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Destinatario {
    pub unidad: String,
    pub nombre: String,
    pub cargo: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_meaning_written_otherwise_is_the_same() {
        let one = Tramite {
            cuo: Some("19".into()),
            fecha_documento: Some("2026-11-21T10:00:00-05:00".into()),
            asunto: Some("Reporte".into()),
            ..Tramite::default()
        };
        let other = Tramite {
            cuo: Some("0000000019".into()),
            fecha_documento: Some("2026-11-21T15:00:00.000Z".into()),
            asunto: Some(" Reporte ".into()),
            ..Tramite::default()
        };
        assert_eq!(one.canonico(), other.canonico());
    }

    #[test]
    fn an_absent_number_of_annexes_is_that_of_the_list() {
        let stated = Tramite { numero_anexos: Some(0), ..Tramite::default() };
        assert_eq!(stated.canonico(), Tramite::default().canonico());
    }

    #[test]
    fn moving_text_between_fields_is_noticed() {
        let one = Tramite { nombre_destinatario: Some("ab".into()), ..Tramite::default() };
        let other = Tramite {
            nombre_destinatario: Some("a".into()),
            cargo_destinatario: Some("b".into()),
            ..Tramite::default()
        };
        assert_ne!(one.canonico(), other.canonico());
    }
}
