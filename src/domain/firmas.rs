//! What the examination of a PDF found: the report (`firmas` in the API), stored with the exchange and shown to people.
//! Pure data; `signing::verify` makes it. Codes are stable, sentences are for whoever attends a mesa de partes.

use std::fmt::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lima;

/// The whole report on one PDF.
#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Informe {
    pub veredicto: Veredicto,
    /// The verdict in one sentence.
    pub resumen: String,
    pub examinado_en: Timestamp,
    pub bytes: u64,
    /// `None` if they could not be counted.
    pub paginas: Option<u64>,
    /// How often it was saved: 1 for the original, and one more for each update.
    pub revisiones: u32,
    pub firmas: Vec<Firma>,
    /// On the document as a whole; those of one signature are with it.
    pub hallazgos: Vec<Hallazgo>,
}

/// On the document: the worst of its signatures, and what was done to it after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Veredicto {
    /// Every signature holds, its signer is vouched for by a trust anchor, and nothing changed after it.
    Confiable,
    /// Every signature holds and nothing changed after it, but who signed is not vouched for.
    Integro,
    /// There is no signature.
    SinFirmas,
    /// A signature holds for an earlier state of the document, which was changed afterwards.
    Modificado,
    /// A signature does not hold.
    Invalido,
    /// It cannot be told: encrypted, damaged, or beyond the limits.
    NoComprobable,
}

impl Veredicto {
    pub fn palabra(self) -> &'static str {
        match self {
            Self::Confiable => "confiable",
            Self::Integro => "integro",
            Self::SinFirmas => "sin_firmas",
            Self::Modificado => "modificado",
            Self::Invalido => "invalido",
            Self::NoComprobable => "no_comprobable",
        }
    }

    pub fn titulo(self) -> &'static str {
        match self {
            Self::Confiable => "FIRMAS CONFIABLES",
            Self::Integro => "FIRMAS ÍNTEGRAS, FIRMANTE SIN RESPALDO CONOCIDO",
            Self::SinFirmas => "SIN FIRMA DIGITAL",
            Self::Modificado => "MODIFICADO DESPUÉS DE FIRMAR",
            Self::Invalido => "FIRMA INVÁLIDA",
            Self::NoComprobable => "NO SE PUDO COMPROBAR",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TipoFirma {
    Firma,
    /// A timestamp on the document itself: says when, not who.
    SelloDeTiempo,
}

/// On one signature; in the order of [`Veredicto`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VeredictoFirma {
    Confiable,
    Integra,
    NoComprobable,
    Modificada,
    Invalida,
}

impl VeredictoFirma {
    pub fn palabra(self) -> &'static str {
        match self {
            Self::Confiable => "confiable",
            Self::Integra => "integra",
            Self::NoComprobable => "no_comprobable",
            Self::Modificada => "modificada",
            Self::Invalida => "invalida",
        }
    }

    pub fn frase(self) -> &'static str {
        match self {
            Self::Confiable => "válida, y un emisor de confianza responde por quien firma",
            Self::Integra => "íntegra, pero no consta que un emisor de confianza responda por quien firma",
            Self::NoComprobable => "no se pudo comprobar",
            Self::Modificada => "válida para un estado anterior: el documento se modificó después de firmarlo",
            Self::Invalida => "no es válida",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Firma {
    /// The name of its field.
    pub campo: String,
    pub tipo: TipoFirma,
    /// `SubFilter`: `ETSI.CAdES.detached` and the like.
    pub formato: String,
    pub veredicto: VeredictoFirma,
    pub firmante: Option<Firmante>,
    pub motivo: Option<String>,
    pub lugar: Option<String>,
    /// What the signer's machine said; nobody vouches for it.
    pub fecha_declarada: Option<Timestamp>,
    /// What a timestamp authority says.
    pub sello_de_tiempo: Option<SelloDeTiempo>,
    pub algoritmo: Option<String>,
    /// Nothing at all was added to the file after it.
    pub cubre_todo: bool,
    /// In which saving it was made, from 1.
    pub revision: Option<u32>,
    pub hallazgos: Vec<Hallazgo>,
}

#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Firmante {
    pub nombre: String,
    pub nombre_comun: String,
    pub dni: Option<String>,
    pub ruc: Option<String>,
    pub entidad: Option<String>,
    pub certificado: Certificado,
}

#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Certificado {
    pub serie: String,
    pub emisor: String,
    pub desde: Timestamp,
    pub hasta: Timestamp,
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct SelloDeTiempo {
    pub fecha: Timestamp,
    pub autoridad: String,
    /// A trust anchor vouches for the authority.
    pub confiable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravedad {
    /// Good to know.
    Informacion,
    /// Somebody should look.
    Aviso,
    /// Against the document.
    Grave,
}

#[derive(Debug, Clone, PartialEq, Eq, schemars::JsonSchema, Serialize, Deserialize)]
pub struct Hallazgo {
    /// Stable; the words are not.
    pub codigo: String,
    pub gravedad: Gravedad,
    pub detalle: String,
}

/// What an entity demands of a document's signatures before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exigencia {
    /// Nothing: the report is made and kept.
    #[default]
    Inform,
    /// At least one signature, all of them sound, and nothing changed after them.
    RequireSignature,
    /// That, and a trust anchor vouches for each signer.
    RequireTrusted,
}

impl Informe {
    /// A report on what could not be examined at all.
    pub fn no_comprobable(at: Timestamp, bytes: u64, codigo: &str, detalle: String) -> Self {
        let mut informe = Self {
            veredicto: Veredicto::NoComprobable,
            resumen: String::new(),
            examinado_en: at,
            bytes,
            paginas: None,
            revisiones: 0,
            firmas: Vec::new(),
            hallazgos: vec![Hallazgo { codigo: codigo.to_owned(), gravedad: Gravedad::Grave, detalle }],
        };
        informe.resumir();
        informe
    }

    /// Whether this code was found, on the document or on a signature.
    pub fn tiene(&self, codigo: &str) -> bool {
        self.todos().any(|hallazgo| hallazgo.codigo == codigo)
    }

    fn todos(&self) -> impl Iterator<Item = &Hallazgo> {
        self.hallazgos.iter().chain(self.firmas.iter().flat_map(|firma| &firma.hallazgos))
    }

    /// What is against it, if it does not meet the demand.
    pub fn incumple(&self, exigencia: Exigencia) -> Option<String> {
        let enough = match exigencia {
            Exigencia::Inform => true,
            Exigencia::RequireSignature => matches!(self.veredicto, Veredicto::Confiable | Veredicto::Integro),
            Exigencia::RequireTrusted => self.veredicto == Veredicto::Confiable,
        };
        // Timestamps alone say when, not who.
        let signed = self.firmas.iter().any(|firma| firma.tipo == TipoFirma::Firma);
        if enough && (signed || exigencia == Exigencia::Inform) {
            return None;
        }
        let demand = match exigencia {
            Exigencia::RequireTrusted => "La entidad exige que sus documentos salgan con firmas digitales confiables.",
            _ => "La entidad exige que sus documentos salgan firmados digitalmente.",
        };
        let mut text = format!("{demand} {}", self.resumen);
        let against = self.todos().filter(|hallazgo| hallazgo.gravedad >= Gravedad::Aviso).take(3);
        against.for_each(|hallazgo| {
            write!(text, " {}", hallazgo.detalle).ok();
        });
        Some(text)
    }

    /// Puts the verdict into one sentence.
    pub fn resumir(&mut self) {
        let signed = self.firmas.iter().filter(|firma| firma.tipo == TipoFirma::Firma).count();
        let many = match signed {
            0 => "No hay firma de ninguna persona".to_owned(),
            1 => "Una firma digital".to_owned(),
            n => format!("{n} firmas digitales"),
        };
        self.resumen = match self.veredicto {
            Veredicto::SinFirmas => "El PDF no tiene ninguna firma digital.".to_owned(),
            Veredicto::Confiable => {
                format!("{many}: todo lo firmado está íntegro y emisores de confianza responden por los firmantes.")
            }
            Veredicto::Integro => format!(
                "{many}: todo lo firmado está íntegro, pero no consta que un emisor de confianza responda por cada firmante."
            ),
            Veredicto::Modificado => "El documento se modificó después de haber sido firmado.".to_owned(),
            Veredicto::Invalido => "Al menos una firma del documento no es válida.".to_owned(),
            Veredicto::NoComprobable => "Las firmas del documento no se pudieron comprobar.".to_owned(),
        };
    }

    /// The report for a person, with line breaks.
    pub fn texto(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("Veredicto: {}", self.veredicto.titulo()));
        line(format!("  {}", self.resumen));
        let pages = self.paginas.map_or("páginas sin contar".to_owned(), |n| {
            if n == 1 { "1 página".to_owned() } else { format!("{n} páginas") }
        });
        line(format!("  {pages}, {} bytes. Examinado el {}.", self.bytes, lima::texto(self.examinado_en)));
        self.hallazgos.iter().for_each(|hallazgo| line(hallazgo.texto("  ")));
        for (index, firma) in self.firmas.iter().enumerate() {
            line(String::new());
            let kind = if firma.tipo == TipoFirma::Firma { "Firma" } else { "Sello de tiempo del documento" };
            line(format!("{kind} {} («{}»): {}", index + 1, firma.campo, firma.veredicto.frase()));
            firma.lineas().into_iter().for_each(|text| line(format!("  {text}")));
            firma.hallazgos.iter().for_each(|hallazgo| line(hallazgo.texto("  ")));
        }
        out
    }
}

impl Firma {
    fn lineas(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(person) = &self.firmante {
            let dni = person.dni.as_deref().map(|dni| format!(", DNI {dni}")).unwrap_or_default();
            let label = if self.tipo == TipoFirma::Firma { "Firmó" } else { "Lo puso" };
            lines.push(format!("{label}: {}{dni}", person.nombre));
            if let Some(entity) = &person.entidad {
                let ruc = person.ruc.as_deref().map(|ruc| format!(", RUC {ruc}")).unwrap_or_default();
                lines.push(format!("Por la entidad: {entity}{ruc}"));
            }
            let card = &person.certificado;
            let (from, to) = (lima::texto(card.desde), lima::texto(card.hasta));
            lines.push(format!("Certificado emitido por: {} (vigente del {from} al {to})", card.emisor));
        }
        lines.extend(self.motivo.as_deref().map(|text| format!("Motivo: {text}")));
        lines.extend(self.lugar.as_deref().map(|text| format!("Lugar: {text}")));
        match (&self.sello_de_tiempo, self.fecha_declarada) {
            (Some(stamp), _) => {
                lines.push(format!("Fecha: {}, según {}", lima::texto(stamp.fecha), stamp.autoridad));
            }
            (None, Some(at)) => {
                let at = lima::texto(at);
                lines.push(format!("Fecha: {at}, según el equipo de quien firmó (sin sello de tiempo)"));
            }
            (None, None) => {}
        }
        lines.extend(self.algoritmo.as_deref().map(|text| format!("Algoritmo: {text}")));
        let covers = if self.cubre_todo { "todo el documento" } else { "el documento como estaba al firmar" };
        if self.veredicto <= VeredictoFirma::Modificada && self.veredicto != VeredictoFirma::NoComprobable {
            lines.push(format!("Cubre: {covers}"));
        }
        lines
    }
}

impl Hallazgo {
    fn texto(&self, indent: &str) -> String {
        let mark = match self.gravedad {
            Gravedad::Informacion => "·",
            Gravedad::Aviso => "Aviso:",
            Gravedad::Grave => "Problema:",
        };
        format!("{indent}{mark} {} [{}]", self.detalle, self.codigo)
    }
}
