//! What a team writes down: rules that say which requests a fault strikes and how often, and how the counterparts behave.
//! One shape for the TOML file and the control route's JSON; reading is `reading.rs`.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::kind::{Kind, Operacion};
use crate::{domain::Ruc, simulator::Comportamiento};

/// Everything a script says.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Script {
    /// What chance is drawn from; without it one is drawn at the start and shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semilla: Option<u64>,
    #[serde(rename = "falla")]
    pub reglas: Vec<Rule>,
    #[serde(rename = "contraparte")]
    pub contrapartes: Vec<Contraparte>,
}

/// One fault, the requests it may strike, and how often it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    pub falla: Kind,
    /// Empty in a script: every operation the kind can strike; filled when it is read.
    pub operacion: Vec<Operacion>,
    /// RUC of either end, of who sends the message, of whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entidad: Option<Ruc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remitente: Option<Ruc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receptora: Option<Ruc>,
    /// Of requests it could strike: with this probability each.
    pub probabilidad: f64,
    /// Only the first N of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primeras: Option<u32>,
    /// Only every Nth of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cada: Option<u32>,
    /// At most N times in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub veces: Option<u32>,
    /// `primeras`, `cada` and `veces` count for each CUO by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub por_cuo: bool,
    /// Whether the receiver gets the message although the caller gets no sound answer.
    pub entregada: bool,
    #[serde(flatten)]
    pub detalle: Detail,
}

/// What only some kinds have; the reader sees to it that a kind has its own.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Detail {
    #[serde(serialize_with = "duration", skip_serializing_if = "Option::is_none")]
    pub tiempo: Option<Duration>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub antes: bool,
    #[serde(serialize_with = "duration", skip_serializing_if = "Option::is_none")]
    pub reintentar_en: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texto: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copias: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub a_la_vez: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desfase: Option<Offset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declarado: Option<Charset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real: Option<Charset>,
}

/// How far a clock is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    pub by: Duration,
    /// It is slow.
    pub behind: bool,
}

/// The two encodings that deployed services mix up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Charset {
    #[serde(rename = "UTF-8")]
    Utf8,
    #[serde(rename = "ISO-8859-1")]
    Latin1,
}

/// How an entity that the simulator plays behaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contraparte {
    pub ruc: Ruc,
    pub responde: Comportamiento,
    /// How long its cargo takes.
    #[serde(serialize_with = "duration", skip_serializing_if = "Option::is_none")]
    pub demora: Option<Duration>,
    /// Whom it sends a document to, and how often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envia_a: Option<Ruc>,
    #[serde(serialize_with = "duration", skip_serializing_if = "Option::is_none")]
    pub cada: Option<Duration>,
}

impl Charset {
    pub const TODOS: [(&'static str, Self); 2] = [("UTF-8", Self::Utf8), ("ISO-8859-1", Self::Latin1)];

    pub fn nombre(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Latin1 => "ISO-8859-1",
        }
    }
}

impl Offset {
    pub fn of(self, at: jiff::Timestamp) -> jiff::Timestamp {
        let by = jiff::SignedDuration::try_from(self.by).unwrap_or_default();
        at.checked_add(if self.behind { -by } else { by }).unwrap_or(at)
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = if self.behind { "-" } else { "" };
        let by = humantime_serde::re::humantime::format_duration(self.by);
        serializer.collect_str(&format_args!("{sign}{by}"))
    }
}

#[allow(clippy::ref_option)] // the shape serde asks for
fn duration<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(&humantime_serde::re::humantime::format_duration(*value)),
        None => serializer.serialize_none(),
    }
}
