//! What a probe finds: how it stands, why, and exactly what to do about it. A group of probes is one function over a [`World`]; to
//! add probes is to add a function to [`super::GROUPS`].

use std::{future::Future, pin::Pin};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::client::Api,
    config::{Config, Loaded},
};

/// How something stands. The order is that of gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Estado {
    /// It does not apply here, and the detail says why.
    Omitida,
    Bien,
    Advertencia,
    Falla,
}

impl Estado {
    pub fn word(self) -> &'static str {
        match self {
            Self::Omitida => "omitida",
            Self::Bien => "bien",
            Self::Advertencia => "advertencia",
            Self::Falla => "FALLA",
        }
    }
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hallazgo {
    /// Its name in metrics and alerts: the same each time, of a small closed set.
    pub clave: &'static str,
    /// What was looked at.
    pub nombre: String,
    pub estado: Estado,
    /// What was found; of a failure, its cause.
    pub detalle: String,
    /// The command or setting that mends it.
    pub remedio: Option<String>,
}

impl Hallazgo {
    pub fn new(clave: &'static str, nombre: impl Into<String>, estado: Estado, detalle: impl Into<String>) -> Self {
        Self { clave, nombre: nombre.into(), estado, detalle: detalle.into(), remedio: None }
    }

    pub fn bien(clave: &'static str, nombre: impl Into<String>, detalle: impl Into<String>) -> Self {
        Self::new(clave, nombre, Estado::Bien, detalle)
    }

    pub fn omitida(clave: &'static str, nombre: impl Into<String>, detalle: impl Into<String>) -> Self {
        Self::new(clave, nombre, Estado::Omitida, detalle)
    }

    pub fn advertencia(clave: &'static str, nombre: impl Into<String>, detalle: impl Into<String>) -> Self {
        Self::new(clave, nombre, Estado::Advertencia, detalle)
    }

    pub fn falla(clave: &'static str, nombre: impl Into<String>, detalle: impl Into<String>) -> Self {
        Self::new(clave, nombre, Estado::Falla, detalle)
    }

    /// What mends it.
    #[must_use]
    pub fn remedio(self, remedio: impl Into<String>) -> Self {
        Self { remedio: Some(remedio.into()), ..self }
    }
}

/// What probes look at.
pub struct World {
    pub loaded: Loaded,
    /// The daemon on this configuration's data, if one runs.
    pub api: Option<Api>,
    pub now: Timestamp,
}

impl World {
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }
}

pub type Probing<'a> = Pin<Box<dyn Future<Output = Vec<Hallazgo>> + Send + 'a>>;

/// Probes of one thing.
pub struct Group {
    pub nombre: &'static str,
    pub run: for<'a> fn(&'a World) -> Probing<'a>,
}

/// What a group found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grupo {
    pub nombre: &'static str,
    pub comprobaciones: Vec<Hallazgo>,
}

/// How all of it stands together.
pub fn worst<'a>(found: impl IntoIterator<Item = &'a Grupo>) -> Estado {
    let all = found.into_iter().flat_map(|group| &group.comprobaciones);
    all.map(|found| found.estado).max().unwrap_or(Estado::Bien)
}
