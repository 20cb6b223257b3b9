//! A document that goes out, and the one function through which its state may change.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Anexo, Bloqueo, Cargo, Contenido, Cuo, Desenlace, Destinatario, Documento, EntidadPropia, Falla, Id, Persona,
    Purga, Ruc, Tramite, lima,
};

/// Longest number of registration of a despacho, in characters (CONTRACT §10).
pub const NUMERO_REGISTRO_MAX: usize = 30;

/// The states of CONTRACT §5, with those a sender must tell apart while the wire still says `P`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, schemars::JsonSchema, Serialize, Deserialize)]
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
    /// CUOs, of these or the present one, under which a send once ended unclearly: it may have arrived, whatever was said
    /// later.
    #[serde(default)]
    pub cuos_inciertos: Vec<Cuo>,
    pub estado: EstadoDespacho,
    /// Sends begun so far.
    pub intentos: u32,
    /// Of these, the ones under the present CUO.
    pub intentos_con_cuo: u32,
    /// Questions to the receiver whether it arrived, so far; not those for its cargo.
    #[serde(default)]
    pub consultas: u32,
    /// When the last send was begun.
    #[serde(default)]
    pub envio_iniciado_en: Option<Timestamp>,
    /// When the last send ended without a clear answer.
    #[serde(default)]
    pub envio_incierto_en: Option<Timestamp>,
    pub enviado_en: Option<Timestamp>,
    pub cargo: Option<Cargo>,
    /// What the last unclear end or refusal said, in words for a person.
    pub ultimo_error: Option<String>,
    /// Why it is `Fallido`, as the catalogue knows it.
    #[serde(default)]
    pub falla: Option<Falla>,
    /// The document that corrects this observed one, once one was handed over. Another may follow only if it failed.
    #[serde(default)]
    pub subsanado_por: Option<Id>,
    /// The despacho that has its number of registration now: this one failed or was withdrawn, and what it should have sent
    /// was handed over anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reemplazado_por: Option<Id>,
    /// While it is there nothing of it is purged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bloqueo: Option<Bloqueo>,
    /// What was purged of it: the rest of this record is what remains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purga: Option<Box<Purga>>,
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
    /// Refused for a reason that sending again does not cure, or given up by a person.
    Rechazado { falla: Option<Falla>, motivo: String },
    /// A cargo arrived, or a consulta told the outcome.
    Respondido { cargo: Cargo },
    /// A document that corrects this one was handed over.
    SubsanacionIniciada { por: Id },
    /// A document that corrects this one was accepted.
    Subsanado,
    /// Withdrawn by the SGD.
    Anulado,
    /// What it should have sent was handed over anew, under the same number.
    Reemplazado { por: Id },
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
            Self::SubsanacionIniciada { .. } => "subsanación iniciada",
            Self::Subsanado => "subsanado",
            Self::Anulado => "anulado",
            Self::Reemplazado { .. } => "reemplazado",
            Self::Reintentado => "reintentado",
        }
    }
}

impl Despacho {
    /// The only way a despacho changes. Nothing goes back: an impossible step is an error, the record is untouched.
    pub fn aplicar(&mut self, suceso: Suceso, at: Timestamp) -> Result<(), TransicionError> {
        use EstadoDespacho as E;
        let imposible = TransicionError::Imposible { estado: self.estado, suceso: suceso.nombre() };
        // What is left of a purged one goes nowhere: it only learns that it was corrected or replaced, and knows a repeated cargo.
        let closed = matches!(self.estado, E::Recepcionado | E::Observado | E::Subsanado);
        let learns = closed && matches!(suceso, Suceso::Respondido { .. } | Suceso::Subsanado);
        if self.purga.is_some() && !learns && !matches!(suceso, Suceso::Reemplazado { .. }) {
            return Err(imposible);
        }
        match (self.estado, suceso) {
            (E::Pendiente, Suceso::EnvioIniciado { cuo }) => {
                self.intentos_con_cuo = if self.cuo.as_ref() == Some(&cuo) { self.intentos_con_cuo + 1 } else { 1 };
                self.cuo = Some(cuo);
                self.intentos += 1;
                self.envio_iniciado_en = Some(at);
                self.envio_incierto_en = None;
                self.estado = E::Enviando;
            }
            // What was given up while its fate was unknown may turn out to have arrived.
            (E::Enviando | E::PorConfirmar, Suceso::Aceptado) => self.aceptado(at),
            (E::Fallido, Suceso::Aceptado) if self.cuo.is_some() && !self.fallido_por_cuo() => self.aceptado(at),
            (E::Enviando | E::PorConfirmar, Suceso::FinIncierto { motivo }) => {
                self.ultimo_error = Some(motivo);
                self.envio_incierto_en = Some(at);
                self.cuos_inciertos.extend(self.cuo.clone().filter(|cuo| !self.cuos_inciertos.contains(cuo)));
                self.estado = E::PorConfirmar;
            }
            (E::Pendiente | E::Enviando | E::PorConfirmar, Suceso::SinRespuesta { motivo }) => {
                self.preguntado();
                self.ultimo_error = Some(motivo);
            }
            // The CUO is kept: the next send uses the same one.
            (E::Enviando | E::PorConfirmar, Suceso::NoLlego { motivo }) => {
                self.preguntado();
                self.ultimo_error = Some(motivo);
                self.estado = E::Pendiente;
            }
            (E::Enviando | E::PorConfirmar, Suceso::CuoRechazado { motivo }) => {
                self.cuos_anteriores.extend(self.cuo.take());
                self.ultimo_error = Some(motivo);
                self.estado = E::Pendiente;
            }
            (E::Pendiente | E::Enviando | E::PorConfirmar, Suceso::Rechazado { falla, motivo }) => {
                self.ultimo_error = Some(motivo);
                self.falla = falla;
                self.estado = E::Fallido;
            }
            // A cargo proves that the document arrived, whatever our own send was told.
            (E::Pendiente | E::Enviando | E::PorConfirmar | E::Enviado | E::Fallido, Suceso::Respondido { cargo })
                if self.espera_cargo() =>
            {
                self.respondido(cargo, at);
            }
            (E::Recepcionado | E::Observado | E::Subsanado, Suceso::Respondido { cargo }) => {
                return self.cargo_tardio(cargo, at);
            }
            (E::Observado, Suceso::SubsanacionIniciada { por }) => self.subsanado_por = Some(por),
            (E::Observado, Suceso::Subsanado) => self.estado = E::Subsanado,
            (E::Pendiente, Suceso::Anulado) if self.intentos == 0 => self.estado = E::Anulado,
            (E::Fallido | E::Anulado, Suceso::Reemplazado { por }) if self.reemplazado_por.is_none() => {
                self.reemplazado_por = Some(por);
            }
            (E::Fallido, Suceso::Reintentado) if self.reemplazado_por.is_some() => return Err(imposible),
            // Under a CUO refused outright nothing of ours arrived; what the receiver may hold under it is somebody else's.
            (E::Fallido, Suceso::Reintentado) if self.fallido_por_cuo() => {
                self.cuos_anteriores.extend(self.cuo.take());
                self.estado = E::Pendiente;
                self.falla = None;
            }
            (E::Fallido, Suceso::Reintentado) => {
                // What was once begun may have arrived: ask first.
                self.estado = if self.intentos == 0 || self.cuo.is_none() { E::Pendiente } else { E::PorConfirmar };
                self.falla = None;
            }
            _ => return Err(imposible),
        }
        self.toca(at);
        Ok(())
    }

    /// Whether `cuo` was refused and no send under it can have arrived: what comes under it is not about this document.
    pub fn cuo_rechazado(&self, cuo: &Cuo) -> bool {
        let refused = self.cuos_anteriores.contains(cuo) || (self.fallido_por_cuo() && self.cuo.as_ref() == Some(cuo));
        refused && self.cuo_limpio(cuo)
    }

    /// Whether no send under `cuo` ended unclearly.
    pub fn cuo_limpio(&self, cuo: &Cuo) -> bool {
        !self.cuos_inciertos.contains(cuo)
    }

    /// Whether it may have arrived, as far as it knows itself: a cargo that comes for it is taken.
    pub fn espera_cargo(&self) -> bool {
        (self.cuo.is_some() || !self.cuos_inciertos.is_empty()) && !self.fallido_por_cuo()
    }

    /// It failed because its present CUO was refused outright.
    fn fallido_por_cuo(&self) -> bool {
        self.estado == EstadoDespacho::Fallido
            && self.falla == Some(Falla::CuoNoValido)
            && self.cuo.as_ref().is_some_and(|cuo| self.cuo_limpio(cuo))
    }

    fn aceptado(&mut self, at: Timestamp) {
        self.estado = EstadoDespacho::Enviado;
        self.enviado_en = Some(at);
        self.ultimo_error = None;
        self.falla = None;
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
        self.falla = None;
    }

    /// A consulta may have told the outcome without its PDF; the cargo that brings it completes the record.
    fn cargo_tardio(&mut self, cargo: Cargo, at: Timestamp) -> Result<(), TransicionError> {
        let Some(known) = &self.cargo else { return Err(TransicionError::OtroCargo) };
        // Of a purged one the texts are gone; the signed PDF tells.
        let same_pdf = || known.documento.as_ref().map(|d| &d.sha256) == cargo.documento.as_ref().map(|d| &d.sha256);
        if known.equivale(&cargo) || self.purga.is_some() && same_pdf() {
            return Err(TransicionError::CargoRepetido);
        }
        if self.purga.is_none()
            && known.documento.is_none()
            && cargo.documento.is_some()
            && known.desenlace == cargo.desenlace
        {
            self.cargo = Some(cargo);
            self.toca(at);
            return Ok(());
        }
        Err(TransicionError::OtroCargo)
    }

    /// While it is not known whether it arrived, whatever is learnt was asked.
    fn preguntado(&mut self) {
        self.consultas += u32::from(self.estado == EstadoDespacho::PorConfirmar);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::Sha256;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn cuo(text: &str) -> Cuo {
        Cuo::parse(text).unwrap()
    }

    fn despacho() -> Despacho {
        Despacho {
            id: Id::from_u128(7),
            version: 1,
            entidad: Ruc::de_contraparte("20168999926").unwrap(),
            numero_registro: "2026-000123".into(),
            codigo_unidad_remitente: None,
            unidad_remitente: "OTI".into(),
            usuario: "jperez".into(),
            remitente: Persona { tipo_documento: "1".into(), numero_documento: "40633367".into() },
            destino: Ruc::de_contraparte("20537630222").unwrap(),
            destinatario: Destinatario::default(),
            tipo_documento: "01".into(),
            numero_documento: "OFICIO 1".into(),
            fecha_documento: at(0),
            asunto: "Asunto".into(),
            folios: 1,
            documento: Documento {
                nombre: "a.pdf".into(),
                bytes: 9,
                sha256: Sha256::from_digest(&[1; 32]),
                firmas: None,
            },
            anexos: Vec::new(),
            url_anexos: None,
            cuo_referencia: None,
            cuo: None,
            cuos_anteriores: Vec::new(),
            cuos_inciertos: Vec::new(),
            estado: EstadoDespacho::Pendiente,
            intentos: 0,
            intentos_con_cuo: 0,
            consultas: 0,
            envio_iniciado_en: None,
            envio_incierto_en: None,
            enviado_en: None,
            cargo: None,
            ultimo_error: None,
            falla: None,
            subsanado_por: None,
            reemplazado_por: None,
            bloqueo: None,
            purga: None,
            creado_en: at(0),
            actualizado_en: at(0),
        }
    }

    fn cargo(desenlace: Desenlace, pdf: Option<u8>) -> Cargo {
        Cargo {
            desenlace,
            numero_registro: Some("55".into()),
            anio_registro: Some("2026".into()),
            fecha_registro: Some(at(5)),
            unidad: Some("MESA DE PARTES".into()),
            usuario: Some("ANA".into()),
            observacion: (desenlace == Desenlace::Observado).then(|| "ilegible".into()),
            documento: pdf.map(|n| Documento {
                nombre: "c.pdf".into(),
                bytes: 9,
                sha256: Sha256::from_digest(&[n; 32]),
                firmas: None,
            }),
        }
    }

    fn after(sucesos: &[Suceso]) -> Despacho {
        let mut d = despacho();
        for suceso in sucesos {
            d.aplicar(suceso.clone(), at(1)).unwrap();
        }
        d
    }

    fn enviado() -> Vec<Suceso> {
        vec![Suceso::EnvioIniciado { cuo: cuo("1") }, Suceso::Aceptado]
    }

    #[test]
    fn the_plain_way_goes_from_p_to_e_to_r() {
        let mut d = after(&enviado());
        assert_eq!((d.estado.letra(), d.intentos, d.enviado_en), ("E", 1, Some(at(1))));
        d.aplicar(Suceso::Respondido { cargo: cargo(Desenlace::Recepcionado, Some(2)) }, at(2)).unwrap();
        assert_eq!(d.estado.letra(), "R");
        assert_eq!(d.version, 4);
    }

    #[test]
    fn a_cargo_is_accepted_before_our_own_send_has_ended() {
        for sucesos in [
            vec![Suceso::EnvioIniciado { cuo: cuo("1") }],
            vec![Suceso::EnvioIniciado { cuo: cuo("1") }, Suceso::FinIncierto { motivo: "tiempo agotado".into() }],
            vec![Suceso::EnvioIniciado { cuo: cuo("1") }, Suceso::Rechazado { falla: None, motivo: "-".into() }],
        ] {
            let mut d = after(&sucesos);
            d.aplicar(Suceso::Respondido { cargo: cargo(Desenlace::Observado, Some(2)) }, at(2)).unwrap();
            assert_eq!((d.estado, d.enviado_en), (EstadoDespacho::Observado, Some(at(2))));
        }
    }

    #[test]
    fn a_cargo_for_what_was_never_sent_or_was_withdrawn_is_impossible() {
        for sucesos in [vec![], vec![Suceso::Anulado]] {
            let mut d = after(&sucesos);
            let result = d.aplicar(Suceso::Respondido { cargo: cargo(Desenlace::Recepcionado, None) }, at(2));
            assert!(matches!(result, Err(TransicionError::Imposible { .. })));
        }
    }

    #[test]
    fn a_repeated_cargo_is_told_from_another_one_and_the_pdf_may_come_late() {
        let mut d = after(&enviado());
        d.aplicar(Suceso::Respondido { cargo: cargo(Desenlace::Recepcionado, None) }, at(2)).unwrap();
        let with_pdf = Suceso::Respondido { cargo: cargo(Desenlace::Recepcionado, Some(2)) };
        d.aplicar(with_pdf.clone(), at(3)).unwrap();
        assert!(d.cargo.as_ref().unwrap().documento.is_some());
        assert_eq!(d.aplicar(with_pdf, at(4)), Err(TransicionError::CargoRepetido));
        for other in [cargo(Desenlace::Recepcionado, Some(3)), cargo(Desenlace::Observado, Some(2))] {
            assert_eq!(d.aplicar(Suceso::Respondido { cargo: other }, at(4)), Err(TransicionError::OtroCargo));
        }
        assert_eq!(d.estado, EstadoDespacho::Recepcionado);
    }

    #[test]
    fn a_refused_cuo_is_kept_in_the_history_and_what_never_arrived_keeps_its_cuo() {
        let mut d = after(&[Suceso::EnvioIniciado { cuo: cuo("1") }, Suceso::NoLlego { motivo: "-".into() }]);
        assert_eq!((d.estado, d.cuo.clone()), (EstadoDespacho::Pendiente, Some(cuo("1"))));
        d.aplicar(Suceso::EnvioIniciado { cuo: cuo("1") }, at(2)).unwrap();
        assert_eq!((d.intentos, d.intentos_con_cuo), (2, 2));
        d.aplicar(Suceso::CuoRechazado { motivo: "CUO no valido".into() }, at(3)).unwrap();
        d.aplicar(Suceso::EnvioIniciado { cuo: cuo("2") }, at(4)).unwrap();
        assert_eq!((d.cuos_anteriores.clone(), d.intentos, d.intentos_con_cuo), (vec![cuo("1")], 3, 1));
    }

    #[test]
    fn only_what_was_never_begun_can_be_withdrawn_and_only_the_observed_corrected() {
        assert!(after(&[]).aplicar(Suceso::Anulado, at(2)).is_ok());
        let mut begun = after(&[Suceso::EnvioIniciado { cuo: cuo("1") }, Suceso::NoLlego { motivo: "-".into() }]);
        assert!(begun.aplicar(Suceso::Anulado, at(2)).is_err());
        let mut received = after(&enviado());
        received.aplicar(Suceso::Respondido { cargo: cargo(Desenlace::Recepcionado, Some(2)) }, at(2)).unwrap();
        assert!(received.aplicar(Suceso::Subsanado, at(3)).is_err());
    }

    fn any_suceso() -> impl Strategy<Value = Suceso> {
        let motivo = || "motivo".to_owned();
        prop_oneof![
            (1u32..4).prop_map(|n| Suceso::EnvioIniciado { cuo: cuo(&n.to_string()) }),
            Just(Suceso::Aceptado),
            Just(Suceso::FinIncierto { motivo: motivo() }),
            Just(Suceso::SinRespuesta { motivo: motivo() }),
            Just(Suceso::NoLlego { motivo: motivo() }),
            Just(Suceso::CuoRechazado { motivo: motivo() }),
            Just(Suceso::Rechazado { falla: None, motivo: motivo() }),
            Just(Suceso::Respondido { cargo: cargo(Desenlace::Recepcionado, Some(2)) }),
            Just(Suceso::Respondido { cargo: cargo(Desenlace::Observado, None) }),
            Just(Suceso::Subsanado),
            Just(Suceso::Anulado),
            Just(Suceso::Reintentado),
        ]
    }

    /// How far along the wire letter is: it must never go back.
    fn progress(letter: &str) -> u8 {
        match letter {
            "P" => 0,
            "E" => 1,
            "R" | "O" => 2,
            _ => 3,
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_the_wire_letter_never_goes_back_and_an_error_changes_nothing(
            sucesos in prop::collection::vec(any_suceso(), 0..40)
        ) {
            let mut d = despacho();
            for suceso in sucesos {
                let before = d.clone();
                match d.aplicar(suceso, at(9)) {
                    Ok(()) => {
                        prop_assert_eq!(d.version, before.version + 1);
                        prop_assert!(progress(d.estado.letra()) >= progress(before.estado.letra()));
                        prop_assert!(!(before.estado.letra() == "R" && d.estado.letra() != "R"), "R is final");
                        prop_assert!(before.estado != EstadoDespacho::Anulado, "withdrawn is final");
                    }
                    Err(_) => prop_assert_eq!(&d, &before),
                }
                let answered = matches!(d.estado.letra(), "R" | "O" | "S");
                prop_assert_eq!(answered, d.cargo.is_some());
            }
        }
    }
}
