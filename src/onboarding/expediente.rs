//! `expediente.toml`: what the entity says of itself, its people and how far it is. Everything is a text until it is
//! checked (`revision`), so that half a dossier can be read and told what it lacks.

use std::{fmt, ops::Deref};

use serde::{Deserialize, Deserializer, de};

use crate::config::words;

/// Largest dossier that is read, in bytes.
pub const EXPEDIENTE_BYTES_MAX: u64 = 256 * 1024;
/// Longest value of one key, in characters.
const DATO_CHARS_MAX: usize = 1_000;
/// People listed.
const PERSONAS_MAX: usize = 100;

/// The dossier to begin with: every key, explained.
pub const EJEMPLO: &str = include_str!("expediente.example.toml");

/// One value; empty if it was not written. Numbers and dates are taken as the text they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dato(String);

impl Deref for Dato {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Dato {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Dato {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Dato {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Datetime(moment) => moment.to_string(),
            _ => return Err(de::Error::custom("se espera un texto entre comillas")),
        };
        let text = text.trim();
        if text.chars().count() > DATO_CHARS_MAX {
            return Err(de::Error::custom(format!("el texto pasa de {DATO_CHARS_MAX} caracteres")));
        }
        if text.chars().any(char::is_control) {
            return Err(de::Error::custom("el texto tiene saltos de línea u otros caracteres de control"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expediente {
    pub entidad: Entidad,
    pub correo: Correo,
    pub master: Master,
    pub consumo: Consumo,
    pub persona: Vec<Persona>,
    pub pruebas: Pruebas,
    pub acta: Acta,
    pub produccion: Produccion,
    pub archivos: Archivos,
    pub avance: Avance,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entidad {
    pub ruc: Dato,
    /// Razón social.
    pub nombre: Dato,
    /// As it stands in the e-mail addresses of who has no institutional one.
    pub sigla: Dato,
    pub direccion: Dato,
    pub telefono: Dato,
    /// Of its e-mail addresses; empty if it has none of its own.
    pub dominio: Dato,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Correo {
    pub para: Dato,
    pub de: Dato,
    pub nombre: Dato,
    pub copia: Vec<Dato>,
}

/// Who becomes usuario máster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Master {
    pub nombre: Dato,
    pub dni: Dato,
    /// One of `revision::CARGOS_MASTER`.
    pub cargo: Dato,
    pub correo: Dato,
    pub celular: Dato,
    /// The resolution or contract, and its date.
    pub designacion: Dato,
    pub designacion_fecha: Dato,
}

/// What the services are wanted for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consumo {
    /// From which the services will be called.
    pub ip_publica: Dato,
    pub sistema: Dato,
    pub finalidad: Dato,
    pub base_legal: Dato,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Persona {
    /// `comunicaciones`, `tecnologia` or `usuario`.
    pub rol: Dato,
    pub nombre: Dato,
    pub dni: Dato,
    pub cargo: Dato,
    pub unidad: Dato,
    pub correo: Dato,
    pub celular: Dato,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pruebas {
    /// `propio` or `pcm`.
    pub sgd: Dato,
    pub sgd_nombre: Dato,
    /// Of `wsiotramite` in development.
    pub url: Dato,
    pub tecnico: Probador,
    pub administrativo: Probador,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Probador {
    pub nombre: Dato,
    pub dni: Dato,
    pub correo: Dato,
    pub celular: Dato,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acta {
    pub lugar: Dato,
    /// JSON report of `chasqui conformance run`.
    pub informe: Dato,
    /// How the SGTD gave its conformity.
    pub conformidad_sgtd: Dato,
    pub jefe_ti: Firmante,
    pub jefe_tramite: Firmante,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Firmante {
    pub nombre: Dato,
    pub dni: Dato,
    pub cargo: Dato,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Produccion {
    pub url: Dato,
    /// Who accompanied the tests.
    pub especialista: Dato,
    /// Planned day.
    pub fecha: Dato,
}

/// Signed files that go with the e-mails, beside the dossier or by their whole path.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Archivos {
    pub a3: Dato,
    pub designacion: Dato,
    pub a1_cuo: Dato,
    pub a1_entidad: Dato,
    pub a1_tramite: Dato,
    pub acta: Dato,
}

/// Days on which something happened, written down by hand.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Avance {
    pub master_pedido: Dato,
    pub master_otorgado: Dato,
    pub consumo_pedido: Dato,
    pub consumo_autorizado: Dato,
    pub componente_instalado: Dato,
    pub pruebas_pedidas: Dato,
    pub pruebas_terminadas: Dato,
    pub acta_conforme: Dato,
    pub produccion_pedida: Dato,
    pub produccion_autorizada: Dato,
}

/// The dossier cannot be read. The text names the key and the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Ilegible(String);

impl Expediente {
    pub fn leer(text: &str) -> Result<Self, Ilegible> {
        let read: Self = toml::from_str(text).map_err(|error| Ilegible(words::of_toml(text, &error)))?;
        if read.persona.len() > PERSONAS_MAX {
            return Err(Ilegible(format!("hay más de {PERSONAS_MAX} [[persona]]: la plataforma admite 15 usuarios")));
        }
        Ok(read)
    }
}
