//! What a run found, as it is kept and given to others: JSON with a schema (`schemas/conformidad.schema.json`). Everything
//! else that shows a run (terminal, HTML, PDF, JUnit) is made from this. Knows nothing of how cases are run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of the report; it grows when a member changes its meaning.
pub const FORMATO: u32 = 1;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Veredicto {
    #[serde(rename = "CUMPLE")]
    Cumple,
    /// It departs from the contract in a way that deployed systems accept.
    #[serde(rename = "CUMPLE CON TOLERANCIA")]
    ConTolerancia,
    #[serde(rename = "NO CUMPLE")]
    NoCumple,
    /// It can't be asked of this component, for example TLS of an http address.
    #[serde(rename = "NO APLICA")]
    NoAplica,
    /// It could be asked, and was not: the notes say why.
    #[serde(rename = "NO EJECUTADO")]
    NoEjecutado,
    /// It judges nothing: a measurement.
    #[serde(rename = "INFORMATIVO")]
    Informativo,
}

impl Veredicto {
    pub const TODOS: [Self; 6] =
        [Self::Cumple, Self::ConTolerancia, Self::NoCumple, Self::NoAplica, Self::NoEjecutado, Self::Informativo];

    pub fn texto(self) -> &'static str {
        match self {
            Self::Cumple => "CUMPLE",
            Self::ConTolerancia => "CUMPLE CON TOLERANCIA",
            Self::NoCumple => "NO CUMPLE",
            Self::NoAplica => "NO APLICA",
            Self::NoEjecutado => "NO EJECUTADO",
            Self::Informativo => "INFORMATIVO",
        }
    }
}

/// How much depends on a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severidad {
    /// Documents are lost, doubled, or taken by who should not have them.
    Critica,
    /// An exchange with a deployed component fails.
    Alta,
    /// People on the other side are told too little or the wrong thing.
    Media,
    /// It disturbs nobody today.
    Baja,
}

impl Severidad {
    pub fn texto(self) -> &'static str {
        match self {
            Self::Critica => "crítica",
            Self::Alta => "alta",
            Self::Media => "media",
            Self::Baja => "baja",
        }
    }
}

/// The result of the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Conclusion {
    /// Nothing fails that was not expected, and all ran.
    #[serde(rename = "CONFORME")]
    Conforme,
    #[serde(rename = "NO CONFORME")]
    NoConforme,
    /// Nothing fails, but cases did not run, or were not asked for.
    #[serde(rename = "INCOMPLETO")]
    Incompleto,
}

impl Conclusion {
    pub fn texto(self) -> &'static str {
        match self {
            Self::Conforme => "CONFORME",
            Self::NoConforme => "NO CONFORME",
            Self::Incompleto => "INCOMPLETO",
        }
    }
}

/// A run and everything it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Informe {
    /// Of this form, [`FORMATO`].
    pub formato: u32,
    /// The version of chasqui that ran it.
    pub chasqui: String,
    /// SHA-256 of the cases, in hexadecimal: two runs with the same one asked the same.
    pub catalogo_sha256: String,
    pub inicio: Timestamp,
    pub fin: Timestamp,
    pub objetivo: Objetivo,
    /// What was tested, as it says itself: only of a chasqui of this machine, with `--config`.
    #[serde(default)]
    pub programa: Option<Programa>,
    pub resumen: Resumen,
    pub casos: Vec<Resultado>,
}

/// The program that was tested and the configuration that it ran with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Programa {
    pub version: String,
    /// SHA-256 of its executable file, in hexadecimal.
    pub binario_sha256: String,
    /// SHA-256 of each section of its configuration without its secrets.
    pub configuracion: BTreeMap<String, String>,
}

/// What was tested, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Objetivo {
    /// The address of the component.
    pub url: String,
    /// The RUC of its entity.
    pub ruc: String,
    /// `receptor`, `emisor` or `completo`.
    pub perfil: String,
    /// Whether attacks and load were allowed.
    pub intrusivo: bool,
    /// Where the suite played the platform, if it did.
    pub plataforma: Option<String>,
    /// Who acted for the entity: `api`, `orden`, `persona` or `nadie`.
    pub operador: String,
    /// The seed of its CUOs: they begin with it.
    pub prefijo_cuo: String,
    /// The sender's RUC in what was sent to it.
    pub remitente: String,
    /// Beginnings of ids, or groups, to which the run was limited; empty: all cases ran.
    #[serde(default)]
    pub solo: Vec<String>,
}

/// How many cases ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resumen {
    pub conclusion: Conclusion,
    pub casos: usize,
    pub cumple: usize,
    pub cumple_con_tolerancia: usize,
    pub no_cumple: usize,
    pub no_aplica: usize,
    pub no_ejecutado: usize,
    pub informativo: usize,
    /// Of `no_cumple`: those that the file of known deviations names.
    pub esperados: usize,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resultado {
    pub id: String,
    pub grupo: String,
    pub titulo: String,
    /// What is demanded.
    pub exige: String,
    /// Where that stands.
    pub fuente: String,
    /// Ids of the statements of the contract that it tests.
    pub requisitos: Vec<String>,
    pub severidad: Severidad,
    pub intrusivo: bool,
    pub veredicto: Veredicto,
    /// What was taken with tolerance, measured, or why it did not run.
    pub notas: Vec<String>,
    pub fallo: Option<Fallo>,
    /// Why this failure is known and accepted, as the file of known deviations says.
    pub esperado: Option<String>,
    pub inicio: Timestamp,
    pub milisegundos: u64,
    pub evidencia: Vec<Evidencia>,
}

/// A failure, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fallo {
    /// What was found in the place of what was expected.
    pub encontrado: Vec<String>,
    /// What it means for the exchange of documents.
    pub significa: String,
    /// Its likely cause in known implementations.
    pub causa: Option<String>,
    pub remedio: String,
}

/// A message and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidencia {
    pub paso: String,
    pub inicio: Timestamp,
    pub milisegundos: u64,
    /// Long base64 and long messages are shortened, and say so.
    pub pedido: String,
    pub respuesta: String,
}

impl Resumen {
    /// `enteros`: whether these are all the cases of the profile.
    pub fn de(casos: &[Resultado], enteros: bool) -> Self {
        let count = |v| casos.iter().filter(|c| c.veredicto == v).count();
        let esperados = casos.iter().filter(|c| c.veredicto == Veredicto::NoCumple && c.esperado.is_some()).count();
        let (no_cumple, no_ejecutado) = (count(Veredicto::NoCumple), count(Veredicto::NoEjecutado));
        let conclusion = if no_cumple > esperados {
            Conclusion::NoConforme
        } else if no_ejecutado > 0 || casos.is_empty() || !enteros {
            Conclusion::Incompleto
        } else {
            Conclusion::Conforme
        };
        Self {
            conclusion,
            casos: casos.len(),
            cumple: count(Veredicto::Cumple),
            cumple_con_tolerancia: count(Veredicto::ConTolerancia),
            no_cumple,
            no_aplica: count(Veredicto::NoAplica),
            no_ejecutado,
            informativo: count(Veredicto::Informativo),
            esperados,
        }
    }

    pub fn cuenta(&self, veredicto: Veredicto) -> usize {
        match veredicto {
            Veredicto::Cumple => self.cumple,
            Veredicto::ConTolerancia => self.cumple_con_tolerancia,
            Veredicto::NoCumple => self.no_cumple,
            Veredicto::NoAplica => self.no_aplica,
            Veredicto::NoEjecutado => self.no_ejecutado,
            Veredicto::Informativo => self.informativo,
        }
    }
}

impl Informe {
    /// The report as it is written, and as its SHA-256 is taken: indented JSON with a line end.
    pub fn a_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    pub fn de_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The schema of [`Informe::a_json`].
    pub fn esquema() -> String {
        let schema = schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Self>();
        serde_json::to_string_pretty(&schema).map(|text| text + "\n").unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub fn resultado(id: &str, veredicto: Veredicto) -> Resultado {
        let fallo = Fallo {
            encontrado: vec!["vcodres es «0000» y debía ser «0003»".into()],
            significa: "Se guarda un documento <ajeno>.".into(),
            causa: Some("El componente de referencia no mira el RUC.".into()),
            remedio: "Compare vrucentrec con el RUC propio.".into(),
        };
        let evidencia = Evidencia {
            paso: "Enviar un documento".into(),
            inicio: Timestamp::UNIX_EPOCH,
            milisegundos: 12,
            pedido: "POST /wsiotramite/Tramite HTTP/1.1\r\n\r\n<a>&amp;</a>".into(),
            respuesta: "HTTP/1.1 200 OK\r\n\r\n<b/>".into(),
        };
        Resultado {
            id: id.into(),
            grupo: "recepcion".into(),
            titulo: "Un documento «de prueba» & más".into(),
            exige: "Lo ajeno se rechaza.".into(),
            fuente: "CONTRACT §6".into(),
            requisitos: vec!["C6-01".into()],
            severidad: Severidad::Critica,
            intrusivo: false,
            veredicto,
            notas: Vec::new(),
            fallo: (veredicto == Veredicto::NoCumple).then_some(fallo),
            esperado: None,
            inicio: Timestamp::UNIX_EPOCH,
            milisegundos: 1_234,
            evidencia: vec![evidencia],
        }
    }

    pub fn informe(casos: Vec<Resultado>) -> Informe {
        Informe {
            formato: FORMATO,
            chasqui: "0.1.0".into(),
            catalogo_sha256: "00".repeat(32),
            inicio: Timestamp::UNIX_EPOCH,
            fin: Timestamp::UNIX_EPOCH,
            objetivo: Objetivo {
                url: "http://127.0.0.1:8080/wsiotramite/Tramite".into(),
                ruc: "20900000015".into(),
                perfil: "receptor".into(),
                intrusivo: false,
                plataforma: None,
                operador: "nadie".into(),
                prefijo_cuo: "9912345".into(),
                remitente: "20900001003".into(),
                solo: Vec::new(),
            },
            programa: None,
            resumen: Resumen::de(&casos, true),
            casos,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{samples::*, *};

    #[test]
    fn the_conclusion_follows_from_what_fails_and_what_did_not_run() {
        let of = |casos: &[Resultado]| Resumen::de(casos, true).conclusion;
        let cumple = resultado("A", Veredicto::Cumple);
        let mut falla = resultado("B", Veredicto::NoCumple);
        assert_eq!(of(&[cumple.clone(), resultado("C", Veredicto::NoAplica)]), Conclusion::Conforme);
        assert_eq!(of(&[cumple.clone(), resultado("C", Veredicto::NoEjecutado)]), Conclusion::Incompleto);
        assert_eq!(of(&[]), Conclusion::Incompleto);
        let some = Resumen::de(std::slice::from_ref(&cumple), false);
        assert_eq!(some.conclusion, Conclusion::Incompleto, "a part proves nothing of the whole");
        assert_eq!(of(&[cumple.clone(), falla.clone()]), Conclusion::NoConforme);
        falla.esperado = Some("se corrige en marzo".into());
        assert_eq!(of(&[cumple, falla]), Conclusion::Conforme);
    }

    #[test]
    fn a_report_is_read_back_as_it_was_written() {
        let sent = informe(Veredicto::TODOS.map(|v| resultado(v.texto(), v)).to_vec());
        let text = sent.a_json().unwrap();
        assert!(text.contains("\"veredicto\": \"CUMPLE CON TOLERANCIA\""), "{text}");
        assert_eq!(Informe::de_json(&text).unwrap(), sent);
    }

    #[test]
    fn the_published_schema_is_the_one_of_these_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/conformidad.schema.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, Informe::esquema()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), Informe::esquema(), "UPDATE_DOCS=1 writes it anew");
    }
}
