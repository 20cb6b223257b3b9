//! The cases as data: what `conformance/*.toml` may say. A case is a list of steps; a step does one thing (sends, waits,
//! has the entity act) and says what is expected of what is then seen. What data can't express is a step of its own in
//! `named.rs`. Nothing here runs anything.

use std::collections::{BTreeMap, BTreeSet};

use ring::digest;
use serde::Deserialize;

use super::report::Severidad;

/// The files, embedded in the binary: groups in the order in which they run.
const ARCHIVOS: [(&str, &str); 13] = [
    ("contrato.toml", include_str!("../../conformance/contrato.toml")),
    ("recepcion.toml", include_str!("../../conformance/recepcion.toml")),
    ("campos.toml", include_str!("../../conformance/campos.toml")),
    ("codificacion.toml", include_str!("../../conformance/codificacion.toml")),
    ("tolerancias.toml", include_str!("../../conformance/tolerancias.toml")),
    ("consulta.toml", include_str!("../../conformance/consulta.toml")),
    ("soap.toml", include_str!("../../conformance/soap.toml")),
    ("robustez.toml", include_str!("../../conformance/robustez.toml")),
    ("seguridad.toml", include_str!("../../conformance/seguridad.toml")),
    ("cargo.toml", include_str!("../../conformance/cargo.toml")),
    ("despacho.toml", include_str!("../../conformance/despacho.toml")),
    ("subsanacion.toml", include_str!("../../conformance/subsanacion.toml")),
    ("rendimiento.toml", include_str!("../../conformance/rendimiento.toml")),
];

/// On which side of an exchange the entity stands in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lado {
    Receptor,
    Emisor,
}

/// What a case can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Necesidad {
    /// Somebody who acts for the entity.
    Operador,
    /// The suite as the entity's platform.
    Plataforma,
    /// An https address.
    Https,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archivo {
    grupo: String,
    /// For people.
    pub nombre: String,
    perfil: Lado,
    /// What a failure means and how to mend it, where the case says nothing of its own.
    significa: String,
    remedio: String,
    fuente: Option<String>,
    #[serde(default, rename = "causa")]
    causas: Vec<Causa>,
    #[serde(default, rename = "escenario")]
    escenarios: Vec<Escenario>,
    #[serde(default, rename = "caso")]
    casos: Vec<CasoEscrito>,
}

/// A likely cause: where what was seen is like this.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Causa {
    pub si: Espera,
    pub dice: String,
}

/// Steps that are done once and looked at by several cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escenario {
    pub id: String,
    pub titulo: String,
    pub pasos: Vec<Paso>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CasoEscrito {
    id: String,
    titulo: String,
    exige: String,
    requisitos: Vec<String>,
    fuente: Option<String>,
    severidad: Severidad,
    perfil: Option<Lado>,
    #[serde(default)]
    intrusivo: bool,
    #[serde(default)]
    informativo: bool,
    #[serde(default)]
    necesita: Vec<Necesidad>,
    escenario: Option<String>,
    #[serde(default)]
    pasos: Vec<Paso>,
    significa: Option<String>,
    remedio: Option<String>,
    #[serde(default, rename = "causa")]
    causas: Vec<Causa>,
}

#[derive(Debug, Clone)]
pub struct Caso {
    pub id: String,
    pub grupo: String,
    pub titulo: String,
    pub exige: String,
    pub requisitos: Vec<String>,
    pub fuente: String,
    pub severidad: Severidad,
    pub perfil: Lado,
    pub intrusivo: bool,
    pub informativo: bool,
    pub necesita: Vec<Necesidad>,
    pub escenario: Option<String>,
    pub pasos: Vec<Paso>,
    pub significa: String,
    pub remedio: String,
    /// The case's own first.
    pub causas: Vec<Causa>,
}

/// One step: exactly one of the things it may do, or `mira`, which looks again at what was seen.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paso {
    /// For people; made from what it does if absent.
    pub que: Option<String>,
    pub recepcion: Option<Pedido>,
    pub cargo: Option<Pedido>,
    pub consulta: Option<Pedido>,
    /// Bytes as they stand.
    pub crudo: Option<Crudo>,
    pub actua: Option<Actua>,
    pub prepara: Option<Prepara>,
    pub aguarda: Option<Aguarda>,
    pub suelta: bool,
    /// By name, in `named.rs`.
    pub propio: Option<String>,
    /// A message that a step kept, by its name.
    pub mira: Option<String>,
    pub guarda: Option<String>,
    /// Any of these will do; none: whatever is seen will.
    pub espera: Vec<Espera>,
    /// These too, with a note.
    pub tolera: Vec<Tolera>,
}

/// A request as the platform would send it, and how this one differs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pedido {
    /// Values of fields, as templates.
    pub campos: BTreeMap<String, String>,
    pub sin: Vec<String>,
    /// Names of annexes, each an element of its own.
    pub anexos: Vec<String>,
    pub espacio: Option<String>,
    pub parte: Option<String>,
    /// In the finished envelope, texts for texts; both templates.
    pub reemplaza: Vec<[String; 2]>,
    /// The value of SOAPAction; `ausente` for no such header.
    pub accion: Option<String>,
    pub tipo: Option<String>,
    pub cabeceras: Vec<[String; 2]>,
    pub metodo: Option<String>,
    pub ruta: Option<String>,
    pub trama: Trama,
    /// `utf-16`, `utf-16be`, `iso-8859-1`, `bom`.
    pub codificacion: Option<String>,
}

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trama {
    #[default]
    Longitud,
    /// In chunks.
    Trozos,
    /// After `Expect: 100-continue`.
    Continua,
    Gzip,
    /// HTTP/1.0.
    Antigua,
    /// Half of it, then the connection is closed.
    Corta,
    /// Half of it, then nothing more.
    Calla,
    /// In small pieces with pauses.
    Gotea,
}

/// Bytes for a connection of their own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crudo {
    /// A template; `{fin}` is a line's end, `{cuerpo}` the body and `{bytes}` its length.
    pub texto: String,
    pub cuerpo: String,
    /// One piece, then a pause of so many milliseconds, so many times.
    pub gotas: u32,
    pub pausa_ms: u64,
    /// After the answer the connection is listened to for so long, or until it ends.
    pub escucha_ms: u64,
}

/// What the entity does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actua {
    /// `despachar`, `subsanar`, `recepcionar`, `observar`, `consultar` or `estado`.
    pub accion: String,
    /// Values, as templates.
    #[serde(default)]
    pub con: BTreeMap<String, String>,
}

/// What the platform will answer in this scenario, operation by operation; the last goes on for ever.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prepara {
    pub recepcionar: Vec<String>,
    pub consultar: Vec<String>,
    pub cargo: Vec<String>,
}

/// A message of the entity to the platform.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aguarda {
    /// `cuo`, `recepcionar`, `consultar` or `cargo`.
    pub operacion: String,
    /// Which one in this scenario, from 0.
    #[serde(default)]
    pub n: usize,
    /// None is expected within this time, in seconds, nor until the run ends.
    #[serde(default)]
    pub ninguno_en_s: Option<u64>,
    /// Not having come within the time is no failure: then the case does not run.
    #[serde(default)]
    pub opcional: bool,
}

/// What a message should be like. All that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Espera {
    pub http: Vec<u16>,
    /// The connection ended without an answer.
    pub sin_respuesta: bool,
    /// Local parts of a fault's code; `*`: any.
    pub falta: Vec<String>,
    /// Of `vcodres`; empty text: null or absent.
    pub codigo: Vec<String>,
    /// Of `vdesres`, as templates.
    pub texto: Vec<String>,
    /// Texts within `vdesres` or within the fault's text.
    pub contiene: Vec<String>,
    pub campos: BTreeMap<String, String>,
    /// Fields by the name of a form (`checks.rs`).
    pub formas: BTreeMap<String, String>,
    pub ausentes: Vec<String>,
    /// Fields that must have another value than this.
    pub difieren: BTreeMap<String, String>,
    /// Fields in the order of this contract: `entidad` or `plataforma`.
    pub orden: Option<String>,
    pub cabeceras: BTreeMap<String, String>,
    /// By name, in `checks.rs`.
    pub comprueba: Vec<String>,
    pub ms_max: Option<u64>,
}

/// What will do, though it is not what was asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolera {
    pub si: Espera,
    pub nota: String,
}

/// All of it.
#[derive(Debug)]
pub struct Catalogo {
    pub casos: Vec<Caso>,
    pub escenarios: BTreeMap<String, Escenario>,
    /// Names of groups, in order.
    pub grupos: Vec<(String, String)>,
    pub sha256: String,
}

impl Catalogo {
    /// What the binary holds.
    pub fn incorporado() -> Result<Self, String> {
        Self::de(&ARCHIVOS)
    }

    pub fn de(archivos: &[(&str, &str)]) -> Result<Self, String> {
        let mut all =
            Self { casos: Vec::new(), escenarios: BTreeMap::new(), grupos: Vec::new(), sha256: String::new() };
        let (mut hash, mut ids) = (digest::Context::new(&digest::SHA256), BTreeSet::new());
        for (name, text) in archivos {
            hash.update(text.as_bytes());
            let archivo: Archivo = toml::from_str(text).map_err(|e| format!("{name}: {e}"))?;
            all.grupos.push((archivo.grupo.clone(), archivo.nombre.clone()));
            for escrito in &archivo.casos {
                if !ids.insert(escrito.id.clone()) {
                    return Err(format!("{name}: el caso {} está dos veces", escrito.id));
                }
                all.casos.push(archivo.caso(escrito));
            }
            for escenario in archivo.escenarios {
                if let Some(twice) = all.escenarios.insert(escenario.id.clone(), escenario) {
                    return Err(format!("{name}: el escenario {} está dos veces", twice.id));
                }
            }
        }
        let missing = |c: &&Caso| c.escenario.as_ref().is_some_and(|e| !all.escenarios.contains_key(e));
        if let Some(caso) = all.casos.iter().find(missing) {
            return Err(format!("el caso {} nombra un escenario que no existe", caso.id));
        }
        all.sha256 = hash.finish().as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Ok(all)
    }

    pub fn nombre_grupo<'a>(&'a self, grupo: &'a str) -> &'a str {
        self.grupos.iter().find(|(id, _)| id == grupo).map_or(grupo, |(_, nombre)| nombre)
    }
}

impl Archivo {
    fn caso(&self, c: &CasoEscrito) -> Caso {
        Caso {
            id: c.id.clone(),
            grupo: self.grupo.clone(),
            titulo: c.titulo.clone(),
            exige: c.exige.clone(),
            requisitos: c.requisitos.clone(),
            fuente: c.fuente.clone().or_else(|| self.fuente.clone()).unwrap_or_default(),
            severidad: c.severidad,
            perfil: c.perfil.unwrap_or(self.perfil),
            intrusivo: c.intrusivo,
            informativo: c.informativo,
            necesita: c.necesita.clone(),
            escenario: c.escenario.clone(),
            pasos: c.pasos.clone(),
            significa: c.significa.clone().unwrap_or_else(|| self.significa.clone()),
            remedio: c.remedio.clone().unwrap_or_else(|| self.remedio.clone()),
            causas: c.causas.iter().chain(&self.causas).cloned().collect(),
        }
    }
}
