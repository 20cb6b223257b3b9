//! A document that arrived, from the moment it was answered 0000.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{Anexo, Bloqueo, Cargo, Cuo, Desenlace, Destinatario, Documento, Id, Purga, Ruc, Sha256};

/// `P` → `R` or `O`, never back (CONTRACT §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EstadoRecepcion {
    Pendiente,
    Recepcionado,
    Observado,
}

impl EstadoRecepcion {
    pub const TODOS: [Self; 3] = [Self::Pendiente, Self::Recepcionado, Self::Observado];

    pub fn palabra(self) -> &'static str {
        match self {
            Self::Pendiente => "pendiente",
            Self::Recepcionado => "recepcionado",
            Self::Observado => "observado",
        }
    }

    /// `cflgest`, the wire letter.
    pub fn letra(self) -> &'static str {
        match self {
            Self::Pendiente => "P",
            Self::Recepcionado => "R",
            Self::Observado => "O",
        }
    }
}

/// Who sent it, as stated; only the RUC is known to be well formed.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Remitente {
    pub ruc: Ruc,
    pub nombre: String,
    pub unidad: String,
    pub tipo_documento: String,
    pub numero_documento: String,
}

/// Something wrong in a document that was kept all the same (`validation = "lenient"`, CONTRACT §6).
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Advertencia {
    pub campo: String,
    pub detalle: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recepcion {
    pub id: Id,
    /// Counts the commits of this record, from 1; a stale writer is refused.
    pub version: u32,
    /// Which of our entities received it.
    pub entidad: Ruc,
    pub cuo: Cuo,
    pub cuo_referencia: Option<String>,
    pub remitente: Remitente,
    pub destinatario: Destinatario,
    pub tipo_documento: String,
    pub numero_documento: String,
    pub fecha_documento: Option<Timestamp>,
    pub asunto: String,
    pub folios: Option<i64>,
    pub documento: Documento,
    pub anexos: Vec<Anexo>,
    pub url_anexos: Option<String>,
    /// Annexes that somebody had downloaded, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anexos_traidos: Vec<AnexoTraido>,
    pub advertencias: Vec<Advertencia>,
    /// When a person of the entity first opened it in the console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visto_en: Option<Timestamp>,
    /// Digest of the content as stated and of the PDF: tells a repeated delivery from another document.
    pub huella: Sha256,
    pub estado: EstadoRecepcion,
    /// When it arrived.
    pub recibido_en: Timestamp,
    /// The business day on which it counts as presented (CONTRACT §9).
    pub fecha_presentacion: Date,
    pub numero_registro: Option<String>,
    pub anio_registro: Option<String>,
    pub cargo: Option<Cargo>,
    /// When the sender's side accepted our cargo.
    pub cargo_entregado_en: Option<Timestamp>,
    /// The last refusal or failure in delivering our cargo.
    pub ultimo_error: Option<String>,
    /// While it is there nothing of it is purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bloqueo: Option<Bloqueo>,
    /// What was purged of it: the rest of this record is what remains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purga: Option<Box<Purga>>,
    pub actualizado_en: Timestamp,
}

/// Most annexes downloaded for one document.
pub const ANEXOS_TRAIDOS_MAX: usize = 64;

/// A file that was downloaded from where a received document says its annexes are. Nobody has judged what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnexoTraido {
    pub nombre: String,
    /// Where it came from.
    pub url: String,
    /// What its server called it.
    pub tipo: Option<String>,
    pub bytes: u64,
    pub sha256: Sha256,
    pub traido_en: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecepcionError {
    #[error("el documento ya fue {} y eso no puede cambiar", .0.palabra())]
    YaRespondida(EstadoRecepcion),
    #[error("el documento ya está registrado con el número {0}")]
    YaRegistrada(String),
    #[error("ya se descargaron {ANEXOS_TRAIDOS_MAX} anexos de este documento")]
    DemasiadosAnexos,
    #[error("para observar un documento hay que decir la observación")]
    SinObservacion,
}

impl Recepcion {
    /// Files it under the receiver's number. The same number again changes nothing.
    pub fn registrar(&mut self, numero: &str, anio: &str, at: Timestamp) -> Result<(), RecepcionError> {
        match (&self.numero_registro, &self.anio_registro) {
            (Some(n), Some(a)) if n == numero && a == anio => return Ok(()),
            (Some(n), _) => return Err(RecepcionError::YaRegistrada(n.clone())),
            (None, _) => {}
        }
        self.numero_registro = Some(numero.to_owned());
        self.anio_registro = Some(anio.to_owned());
        self.toca(at);
        Ok(())
    }

    /// A person opened it. Returns whether that was the first time.
    pub fn ver(&mut self, at: Timestamp) -> bool {
        if self.visto_en.is_some() || self.purga.is_some() {
            return false;
        }
        self.visto_en = Some(at);
        // Not `actualizado_en`: how long it is kept counts from its end, and this is none.
        self.version += 1;
        true
    }

    /// Keeps an annex that was downloaded. Returns whether anything changed: the same from the same place does not.
    pub fn traer_anexo(&mut self, traido: AnexoTraido) -> Result<bool, RecepcionError> {
        if self.anexos_traidos.iter().any(|known| known.sha256 == traido.sha256 && known.url == traido.url) {
            return Ok(false);
        }
        if self.anexos_traidos.len() >= ANEXOS_TRAIDOS_MAX {
            return Err(RecepcionError::DemasiadosAnexos);
        }
        self.anexos_traidos.push(traido);
        // Not `actualizado_en`: how long it is kept counts from its end, and this is none.
        self.version += 1;
        Ok(true)
    }

    /// Answers it with a cargo; `P` becomes `R` or `O`. Returns whether anything changed: the same cargo again does not.
    pub fn responder(&mut self, cargo: Cargo, at: Timestamp) -> Result<bool, RecepcionError> {
        if let Some(issued) = &self.cargo {
            return if issued.equivale(&cargo) { Ok(false) } else { Err(RecepcionError::YaRespondida(self.estado)) };
        }
        if cargo.desenlace == Desenlace::Observado && cargo.observacion.as_deref().is_none_or(|o| o.trim().is_empty()) {
            return Err(RecepcionError::SinObservacion);
        }
        if let (Some(filed), Some(number)) = (&self.numero_registro, &cargo.numero_registro)
            && filed != number
        {
            return Err(RecepcionError::YaRegistrada(filed.clone()));
        }
        self.estado = match cargo.desenlace {
            Desenlace::Recepcionado => EstadoRecepcion::Recepcionado,
            Desenlace::Observado => EstadoRecepcion::Observado,
        };
        self.numero_registro = cargo.numero_registro.clone();
        self.anio_registro = cargo.anio_registro.clone();
        self.cargo = Some(cargo);
        self.toca(at);
        Ok(true)
    }

    /// The sender's side accepted our cargo.
    pub fn cargo_entregado(&mut self, at: Timestamp) {
        self.cargo_entregado_en = Some(at);
        self.ultimo_error = None;
        self.toca(at);
    }

    /// Delivering our cargo failed; it stays queued.
    pub fn cargo_no_entregado(&mut self, error: String, at: Timestamp) {
        self.ultimo_error = Some(error);
        self.toca(at);
    }

    fn toca(&mut self, at: Timestamp) {
        self.version += 1;
        self.actualizado_en = at;
    }
}
