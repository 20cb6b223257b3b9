//! A document that goes out, and the one function through which its state may change.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Anexo, Cargo, Contenido, Cuo, Desenlace, Destinatario, Documento, EntidadPropia, Id, Persona, Ruc, Tramite, lima,
};

/// Longest number of registration of a despacho, in characters (CONTRACT §10).
pub const NUMERO_REGISTRO_MAX: usize = 30;

/// The states of CONTRACT §5, with those a sender must tell apart while the wire still says `P`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EstadoDespacho {
    /// Accepted from the SGD; nothing was sent yet.
    Pendiente,
    /// A send was begun and its end is not on record: after a crash, the same as `PorConfirmar`.
    Enviando,
    /// A send ended without a clear answer; the receiver must be asked before anything else.
    PorConfirmar,
    /// The platform answered 0000, or a consulta found it at the receiver.
    Enviado,
    Recepcionado,
    Observado,
    /// Observed, and a new document that corrects it was accepted.
    Subsanado,
    /// Withdrawn before anything was sent.
    Anulado,
    /// The platform or the receiver refused it for good; it needs a person.
    Fallido,
}

impl EstadoDespacho {
    pub const TODOS: [Self; 9] = [
        Self::Pendiente,
        Self::Enviando,
        Self::PorConfirmar,
        Self::Enviado,
        Self::Recepcionado,
        Self::Observado,
        Self::Subsanado,
        Self::Anulado,
        Self::Fallido,
    ];

    pub fn palabra(self) -> &'static str {
        match self {
            Self::Pendiente => "pendiente",
            Self::Enviando => "enviando",
            Self::PorConfirmar => "por_confirmar",
            Self::Enviado => "enviado",
            Self::Recepcionado => "recepcionado",
            Self::Observado => "observado",
            Self::Subsanado => "subsanado",
            Self::Anulado => "anulado",
            Self::Fallido => "fallido",
        }
    }

    /// `cflgest`, the wire letter.
    pub fn letra(self) -> &'static str {
        match self {
            Self::Pendiente | Self::Enviando | Self::PorConfirmar | Self::Anulado | Self::Fallido => "P",
            Self::Enviado => "E",
            Self::Recepcionado => "R",
            Self::Observado => "O",
            Self::Subsanado => "S",
        }
    }

    /// Whether the platform's answer to the send is still awaited.
    pub fn en_curso(self) -> bool {
        matches!(self, Self::Pendiente | Self::Enviando | Self::PorConfirmar)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Despacho {
    pub id: Id,
    /// Counts the commits of this record, from 1; a stale writer is refused.
    pub version: u32,
    /// Which of our entities sends it.
    pub entidad: Ruc,
    /// The SGD's own number for it, unique within the entity.
    pub numero_registro: String,
    pub codigo_unidad_remitente: Option<String>,
    pub unidad_remitente: String,
    pub usuario: String,
    pub remitente: Persona,
    pub destino: Ruc,
    pub destinatario: Destinatario,
    pub tipo_documento: String,
    pub numero_documento: String,
    pub fecha_documento: Timestamp,
    pub asunto: String,
    pub folios: u32,
    pub documento: Documento,
    pub anexos: Vec<Anexo>,
    pub url_anexos: Option<String>,
    /// The observed document that this one corrects.
    pub cuo_referencia: Option<Cuo>,
    pub cuo: Option<Cuo>,
    /// CUOs the platform called not valid, oldest first.
    pub cuos_anteriores: Vec<Cuo>,
    pub estado: EstadoDespacho,
    /// Sends begun so far.
    pub intentos: u32,
    /// Of these, the ones under the present CUO.
    pub intentos_con_cuo: u32,
    pub enviado_en: Option<Timestamp>,
    pub cargo: Option<Cargo>,
    /// What the last unclear end or refusal said, in words for a person.
    pub ultimo_error: Option<String>,
    pub creado_en: Timestamp,
    pub actualizado_en: Timestamp,
}

/// What can happen to a despacho.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suceso {
    /// A send is about to begin under this CUO. From `Pendiente`, or after the receiver said it has nothing.
    EnvioIniciado { cuo: Cuo },
    /// The platform answered 0000, or a consulta found it.
    Aceptado,
    /// The send ended unclearly.
    FinIncierto { motivo: String },
    /// Nothing left for the platform: the request could not even be begun, or a consulta was not answered. The state stays.
    SinRespuesta { motivo: String },
    /// The receiver surely does not have it: a consulta said so clearly, or the request never left.
    NoLlego { motivo: String },
    /// The platform called the CUO not valid: a new one is needed.
    CuoRechazado { motivo: String },
    /// Refused for a reason that sending again does not cure.
    Rechazado { motivo: String },
    /// A cargo arrived, or a consulta told the outcome.
    Respondido { cargo: Cargo },
    /// A document that corrects this one was accepted.
    Subsanado,
    /// Withdrawn by the SGD.
    Anulado,
    /// A person asks to try a failed one again.
    Reintentado,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransicionError {
    /// What was asked for is not possible from this state.
    #[error("un despacho {} no puede pasar por «{suceso}»", .estado.palabra())]
    Imposible { estado: EstadoDespacho, suceso: &'static str },
    /// It has an outcome already, and this is the same one.
    #[error("el cargo ya se encuentra registrado")]
    CargoRepetido,
    /// It has an outcome already, and this is another one.
    #[error("ya hay otro cargo registrado para este despacho")]
    OtroCargo,
}

impl Suceso {
    fn nombre(&self) -> &'static str {
        match self {
            Self::EnvioIniciado { .. } => "envío iniciado",
            Self::Aceptado => "aceptado",
            Self::FinIncierto { .. } => "fin incierto",
            Self::SinRespuesta { .. } => "sin respuesta",
            Self::NoLlego { .. } => "no llegó",
            Self::CuoRechazado { .. } => "CUO rechazado",
            Self::Rechazado { .. } => "rechazado",
            Self::Respondido { .. } => "respondido",
            Self::Subsanado => "subsanado",
            Self::Anulado => "anulado",
            Self::Reintentado => "reintentado",
        }
    }
}

impl Despacho {
    /// The only way a despacho changes. Nothing goes back: an impossible step is an error, the record is untouched.
    pub fn aplicar(&mut self, suceso: Suceso, at: Timestamp) -> Result<(), TransicionError> {
        use EstadoDespacho as E;
        let imposible = TransicionError::Imposible { estado: self.estado, suceso: suceso.nombre() };
        match (self.estado, suceso) {
            (E::Pendiente, Suceso::EnvioIniciado { cuo }) => {
                self.intentos_con_cuo = if self.cuo.as_ref() == Some(&cuo) { self.intentos_con_cuo + 1 } else { 1 };
                self.cuo = Some(cuo);
                self.intentos += 1;
                self.estado = E::Enviando;
            }
            (E::Enviando | E::PorConfirmar, Suceso::Aceptado) => self.aceptado(at),
            (E::Enviando | E::PorConfirmar, Suceso::FinIncierto { motivo }) => {
                self.ultimo_error = Some(motivo);
                self.estado = E::PorConfirmar;
            }
            (E::Pendiente | E::Enviando | E::PorConfirmar, Suceso::SinRespuesta { motivo }) => {
                self.ultimo_error = Some(motivo);
            }
            // The CUO is kept: the next send uses the same one.
            (E::Enviando | E::PorConfirmar, Suceso::NoLlego { motivo }) => {
                self.ultimo_error = Some(motivo);
                self.estado = E::Pendiente;
            }
            (E::Enviando | E::PorConfirmar, Suceso::CuoRechazado { motivo }) => {
                self.cuos_anteriores.extend(self.cuo.take());
                self.ultimo_error = Some(motivo);
                self.estado = E::Pendiente;
            }
            (E::Pendiente | E::Enviando | E::PorConfirmar, Suceso::Rechazado { motivo }) => {
                self.ultimo_error = Some(motivo);
                self.estado = E::Fallido;
            }
            // A cargo proves that the document arrived, whatever our own send was told.
            (E::Pendiente | E::Enviando | E::PorConfirmar | E::Enviado | E::Fallido, Suceso::Respondido { cargo })
                if self.cuo.is_some() =>
            {
                self.respondido(cargo, at);
            }
            (E::Recepcionado | E::Observado | E::Subsanado, Suceso::Respondido { cargo }) => {
                return self.cargo_tardio(cargo, at);
            }
            (E::Observado, Suceso::Subsanado) => self.estado = E::Subsanado,
            (E::Pendiente, Suceso::Anulado) if self.intentos == 0 => self.estado = E::Anulado,
            (E::Fallido, Suceso::Reintentado) => {
                // What was once begun may have arrived: ask first.
                self.estado = if self.intentos == 0 || self.cuo.is_none() { E::Pendiente } else { E::PorConfirmar };
            }
            _ => return Err(imposible),
        }
        self.toca(at);
        Ok(())
    }

    fn aceptado(&mut self, at: Timestamp) {
        self.estado = EstadoDespacho::Enviado;
        self.enviado_en = Some(at);
        self.ultimo_error = None;
    }

    fn respondido(&mut self, cargo: Cargo, at: Timestamp) {
        if self.enviado_en.is_none() {
            self.enviado_en = Some(at);
        }
        self.estado = match cargo.desenlace {
            Desenlace::Recepcionado => EstadoDespacho::Recepcionado,
            Desenlace::Observado => EstadoDespacho::Observado,
        };
        self.cargo = Some(cargo);
        self.ultimo_error = None;
    }

    /// A consulta may have told the outcome without its PDF; the cargo that brings it completes the record.
    fn cargo_tardio(&mut self, cargo: Cargo, at: Timestamp) -> Result<(), TransicionError> {
        let Some(known) = &self.cargo else { return Err(TransicionError::OtroCargo) };
        if known.equivale(&cargo) {
            return Err(TransicionError::CargoRepetido);
        }
        if known.documento.is_none() && cargo.documento.is_some() && known.desenlace == cargo.desenlace {
            self.cargo = Some(cargo);
            self.toca(at);
            return Ok(());
        }
        Err(TransicionError::OtroCargo)
    }

    fn toca(&mut self, at: Timestamp) {
        self.version += 1;
        self.actualizado_en = at;
    }

    /// The document as it goes on the wire.
    pub fn tramite(&self, propia: &EntidadPropia) -> Tramite {
        let anexos = i64::try_from(self.anexos.len()).unwrap_or(i64::MAX);
        Tramite {
            ruc_remitente: Some(self.entidad.to_string()),
            ruc_receptor: Some(self.destino.to_string()),
            nombre_remitente: Some(propia.nombre.clone()),
            unidad_remitente: Some(self.unidad_remitente.clone()),
            tipo_identidad: Some(self.remitente.tipo_documento.clone()),
            numero_identidad: Some(self.remitente.numero_documento.clone()),
            cuo: self.cuo.as_ref().map(ToString::to_string),
            cuo_referencia: self.cuo_referencia.as_ref().map(ToString::to_string),
            tipo_documento: Some(self.tipo_documento.clone()),
            numero_documento: Some(self.numero_documento.clone()),
            fecha_documento: Some(lima::texto(self.fecha_documento)),
            unidad_destino: Some(self.destinatario.unidad.clone()),
            nombre_destinatario: Some(self.destinatario.nombre.clone()),
            cargo_destinatario: Some(self.destinatario.cargo.clone()),
            asunto: Some(self.asunto.clone()),
            numero_anexos: Some(anexos),
            folios: Some(i64::from(self.folios)),
            url_anexos: self.url_anexos.clone(),
            nombre_documento: Some(self.documento.nombre.clone()),
            contenido: Contenido::Pdf { una_vez: false },
            anexos: self.anexos.iter().map(|a| Some(a.nombre.clone())).collect(),
        }
    }
}
