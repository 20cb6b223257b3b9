//! How long an exchange is kept: the hold that keeps it whatever its age, and the certificate of what was purged of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Despacho, Id, Recepcion, Sha256, lima};

/// While it is there nothing of the exchange is purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bloqueo {
    /// Why, in the words of who set it.
    pub motivo: String,
    /// Who, as the audit log names them.
    pub por: String,
    pub desde: Timestamp,
}

/// What was purged of an exchange, by whom and by which rule. It stays with what remains of the record, in the entry that
/// removed the rest, so the audit log commits to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purga {
    /// The run that purged it, with others.
    pub corrida: Id,
    pub en: Timestamp,
    pub por: String,
    /// The rule, as the configuration has it.
    pub politica: String,
    /// When the exchange had ended.
    pub terminado_en: Timestamp,
    pub documentos: Vec<DocumentoPurgado>,
    /// The record as it was.
    pub registro: RegistroPurgado,
}

/// A document of a purged exchange.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct DocumentoPurgado {
    pub clase: ClaseDocumento,
    pub bytes: u64,
    pub sha256: Sha256,
    /// It stays in the store because another exchange that is not purged has the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compartido: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaseDocumento {
    Documento,
    Cargo,
    Anexo,
    /// A message as it was on the wire.
    Sobre,
    /// One that a fact names and the record does not, or not any more.
    Otro,
}

/// Size and digest of a record as it was before its purge: of its JSON as this program writes it. Those are the journal's own
/// bytes where the same version of the program wrote the record's last entry; a field that came since is in one and not in the
/// other.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct RegistroPurgado {
    pub version: u32,
    pub bytes: u64,
    pub sha256: Sha256,
}

impl ClaseDocumento {
    pub fn palabra(self) -> &'static str {
        match self {
            Self::Documento => "documento",
            Self::Cargo => "cargo",
            Self::Anexo => "anexo",
            Self::Sobre => "mensaje",
            Self::Otro => "otro documento",
        }
    }
}

impl Purga {
    /// The documents whose bytes went.
    pub fn borrados(&self) -> impl Iterator<Item = &DocumentoPurgado> {
        self.documentos.iter().filter(|documento| !documento.compartido)
    }

    /// Bytes that went.
    pub fn bytes(&self) -> u64 {
        self.borrados().map(|documento| documento.bytes).fold(0, u64::saturating_add)
    }

    /// Whether this document's bytes went.
    pub fn borro(&self, sha256: &Sha256) -> bool {
        self.borrados().any(|documento| documento.sha256 == *sha256)
    }

    /// In one sentence, for the history.
    pub fn resumen(&self) -> String {
        let (borrados, bytes) = (self.borrados().count(), self.bytes());
        let compartidos = match self.documentos.len() - borrados {
            0 => String::new(),
            n => format!("; {n} se conservan porque otro intercambio tiene los mismos"),
        };
        format!(
            "Se borraron {borrados} archivo(s), {bytes} bytes{compartidos}, y los datos personales del registro, por {}; \
             terminó el {}; corrida {}. Quedan las huellas",
            self.politica,
            lima::texto(self.terminado_en),
            self.corrida
        )
    }
}

/// What comes before the certificates' own lines, for each exchange.
fn certificado(titulo: &str, purga: &Purga) -> String {
    let mut texto = format!(
        "CERTIFICADO DE PURGA\n\n{titulo}\n\
         Terminó:          {}\n\
         Purgado:          {}\n\
         Por:              {}\n\
         Regla:            {}\n\
         Corrida:          {}\n\
         Registro:         versión {}, {} bytes, SHA-256 {}\n",
        lima::momento_en_palabras(purga.terminado_en),
        lima::momento_en_palabras(purga.en),
        purga.por,
        purga.politica,
        purga.corrida,
        purga.registro.version,
        purga.registro.bytes,
        purga.registro.sha256,
    );
    for DocumentoPurgado { clase, bytes, sha256, compartido } in &purga.documentos {
        let que = if *compartido { "se conserva por otro intercambio" } else { "borrado" };
        texto += &format!("  - {}: {bytes} bytes, SHA-256 {sha256} ({que})\n", clase.palabra());
    }
    texto
}

impl Despacho {
    /// Leaves identifiers, states, dates and digests; what names or describes people goes. Not counted as a change of the
    /// exchange: its time stays.
    pub fn purgar(&mut self, purga: Purga) {
        self.usuario.clear();
        self.remitente.numero_documento.clear();
        self.destinatario.nombre.clear();
        self.destinatario.cargo.clear();
        self.asunto.clear();
        self.anexos.clear();
        self.url_anexos = None;
        self.ultimo_error = None;
        vaciar(&mut self.documento);
        self.cargo.as_mut().into_iter().for_each(vaciar_cargo);
        self.bloqueo = None;
        self.purga = Some(Box::new(purga));
        self.version += 1;
    }

    /// The certificate of what was purged of it, to be read.
    pub fn certificado(&self) -> Option<String> {
        let cuo = self.cuo.as_ref().map_or_else(|| "sin CUO".to_owned(), |cuo| format!("CUO {cuo}"));
        let titulo = format!(
            "Despacho {} ({cuo}), registro {}, de {} para {}; estado: {}",
            self.id,
            self.numero_registro,
            self.entidad,
            self.destino,
            self.estado.palabra()
        );
        self.purga.as_ref().map(|purga| certificado(&titulo, purga))
    }
}

impl Recepcion {
    /// As [`Despacho::purgar`].
    pub fn purgar(&mut self, purga: Purga) {
        self.remitente.numero_documento.clear();
        self.destinatario.nombre.clear();
        self.destinatario.cargo.clear();
        self.asunto.clear();
        self.anexos_traidos.clear();
        self.anexos.clear();
        self.url_anexos = None;
        self.ultimo_error = None;
        self.advertencias.clear();
        vaciar(&mut self.documento);
        self.cargo.as_mut().into_iter().for_each(vaciar_cargo);
        self.bloqueo = None;
        self.purga = Some(Box::new(purga));
        self.version += 1;
    }

    /// The certificate of what was purged of it, to be read.
    pub fn certificado(&self) -> Option<String> {
        let titulo = format!(
            "Recepción {} (CUO {}), registro {}, de {} para {}; estado: {}",
            self.id,
            self.cuo,
            self.numero_registro.as_deref().unwrap_or("—"),
            self.remitente.ruc,
            self.entidad,
            self.estado.palabra()
        );
        self.purga.as_ref().map(|purga| certificado(&titulo, purga))
    }
}

fn vaciar(documento: &mut super::Documento) {
    documento.nombre.clear();
    documento.firmas = None;
}

fn vaciar_cargo(cargo: &mut super::Cargo) {
    cargo.usuario = None;
    cargo.observacion = None;
    cargo.documento.as_mut().into_iter().for_each(vaciar);
}
