//! How work on the tables is going, for people and for metrics.

use std::collections::VecDeque;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Conexion, Failure,
    schema::{DESPACHO, KEY_WARN_PERCENT, RECEPCION},
    session::Session,
};
use crate::{
    domain::{Id, Ruc, lima},
    exchange::Exchange,
    store::{EstadoWebhook, StoreError},
};

/// Rows with errors that are shown.
const SHOWN_MAX: usize = 20;
/// Longest text of an error that is shown, in characters.
const ERROR_MAX: usize = 500;
/// Most events that are counted as not written yet.
const LAG_MAX: usize = 1000;

/// In a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SituacionDeTablas")]
pub enum TablasSituacion {
    Bien,
    /// Some rows or exchanges wait for somebody to correct them, or a key is running out.
    ConErrores,
    SinConexion,
    /// Another daemon of the same store works on them.
    OtroServicio,
}

/// What this process learnt of the tables, beside what is stored.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub estado: Option<EstadoWebhook>,
    pub esquema: Option<String>,
    pub conectada: bool,
    /// Another daemon of the same store works on them.
    pub otro: bool,
    pub ultimo_exito: Option<Timestamp>,
    pub ultimo_fallo: Option<Timestamp>,
    pub ultimo_error: Option<String>,
    /// Rows that wait for their end, when last looked at.
    pub por_enviar: usize,
    pub por_entregar: usize,
    /// Since the start.
    pub despachados: u64,
    pub recibidos: u64,
    pub cargos: u64,
    pub recortes: u64,
    pub desconocidas: usize,
    pub llaves: Vec<Llave>,
    pub filas: VecDeque<FilaConError>,
}

/// A key that ends.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "LlaveDeTabla")]
pub struct Llave {
    pub tabla: &'static str,
    pub columna: &'static str,
    pub ultima: i64,
    pub maximo: i64,
}

impl Llave {
    pub fn por_agotarse(&self) -> bool {
        self.ultima.saturating_mul(100) >= self.maximo.saturating_mul(KEY_WARN_PERCENT)
    }
}

/// A row that could not be sent or answered, and why.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "FilaConError")]
pub struct FilaConError {
    pub tabla: &'static str,
    pub fila: i64,
    pub motivo: String,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    pub en: Timestamp,
}

/// An exchange that the database refuses.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "RetenidoEnTablas")]
pub struct RetenidoView {
    pub id: Id,
    pub intentos: u32,
    #[serde(with = "lima::rfc3339")]
    #[schemars(with = "Timestamp")]
    pub proximo_en: Timestamp,
    pub ultimo_error: Option<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "Tablas")]
pub struct TablasView {
    pub nombre: String,
    pub entidad: Ruc,
    /// Server and database.
    pub base: String,
    /// `null` until it was reached.
    pub esquema: Option<String>,
    pub situacion: TablasSituacion,
    /// Events of the feed not written yet, up to 1000.
    pub atraso: usize,
    /// Exchanges that the database refuses.
    pub retenidos: usize,
    /// Rows `P` that wait for the platform's answer.
    pub por_enviar: usize,
    /// Rows `R` and `O` whose cargo the sender does not have yet.
    pub por_entregar: usize,
    /// Of these, rows whose document is not known here.
    pub desconocidas: usize,
    /// Since the start: rows handed over, documents written, answers taken, texts cut to their column.
    pub despachados: u64,
    pub recibidos: u64,
    pub cargos: u64,
    pub recortes: u64,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_exito: Option<Timestamp>,
    #[serde(with = "lima::rfc3339::option")]
    #[schemars(with = "Option<Timestamp>")]
    pub ultimo_fallo: Option<Timestamp>,
    pub ultimo_error: Option<String>,
    pub llaves: Vec<Llave>,
    /// The last rows that could not be sent or answered.
    pub filas_con_error: Vec<FilaConError>,
    pub detalle_retenidos: Vec<RetenidoView>,
}

impl Conexion {
    pub fn nombre(&self) -> &str {
        &self.options.nombre
    }

    pub async fn view(&self, exchange: &Exchange) -> Result<TablasView, StoreError> {
        let estado = self.place(exchange).await?;
        let facts = exchange.store().facts(estado.hasta, Some(&self.options.entidad), LAG_MAX).await?;
        let known = self.known();
        let scarce = known.llaves.iter().any(Llave::por_agotarse);
        let situacion = match known.conectada {
            _ if known.otro => TablasSituacion::OtroServicio,
            false => TablasSituacion::SinConexion,
            true if known.ultimo_fallo > known.ultimo_exito => TablasSituacion::ConErrores,
            true if !estado.retenidos.is_empty() || !known.filas.is_empty() || scarce => TablasSituacion::ConErrores,
            true => TablasSituacion::Bien,
        };
        let held = estado.retenidos.iter().take(SHOWN_MAX).map(|held| RetenidoView {
            id: held.sujeto,
            intentos: held.intentos,
            proximo_en: held.proximo_en,
            ultimo_error: held.ultimo_error.clone(),
        });
        Ok(TablasView {
            nombre: self.options.nombre.clone(),
            entidad: self.options.entidad.clone(),
            base: self.address.shown.clone(),
            esquema: known.esquema.clone(),
            situacion,
            atraso: facts.len(),
            retenidos: estado.retenidos.len(),
            por_enviar: known.por_enviar,
            por_entregar: known.por_entregar,
            desconocidas: known.desconocidas,
            despachados: known.despachados,
            recibidos: known.recibidos,
            cargos: known.cargos,
            recortes: known.recortes,
            ultimo_exito: known.ultimo_exito,
            ultimo_fallo: known.ultimo_fallo,
            ultimo_error: known.ultimo_error.clone(),
            llaves: known.llaves.clone(),
            filas_con_error: known.filas.iter().rev().cloned().collect(),
            detalle_retenidos: held.collect(),
        })
    }

    /// Another daemon of the same store works on them now, and keeps their place.
    pub(super) fn left_to_another(&self) {
        let mut known = self.known();
        known.otro = true;
        known.estado = None;
        known.conectada = false;
        known.filas.clear();
    }

    pub(super) fn leads_again(&self) {
        let mut known = self.known();
        if known.otro {
            known.otro = false;
            known.estado = None;
        }
    }

    /// Forgets what was wrong with rows that are gone, and with those that the SGD annulled after it.
    pub(super) async fn forget(&self, session: &Session) -> Result<(), Failure> {
        for name in [DESPACHO, RECEPCION] {
            let rows: Vec<i64> =
                self.known().filas.iter().filter(|row| row.tabla == name).map(|row| row.fila).collect();
            if rows.is_empty() {
                continue;
            }
            let table = session.schema.table(name)?;
            let told = if name == DESPACHO { "cflgenv" } else { "cflgenvcar" };
            let sql = format!(
                "SELECT t.\"{key}\"::int8 FROM {full} t WHERE t.\"{key}\"::int8 = ANY($1) AND NOT ({annulled} = 'S' AND {told} = 'E')",
                key = table.key,
                full = table.full,
                annulled = table.flag("t", "cflganu", "N"),
                told = table.flag("t", told, "N"),
            );
            let found = session.client.query(sql.as_str(), &[&rows]).await?;
            let left = found.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
            let gone = |row: &FilaConError| row.tabla == name && rows.contains(&row.fila) && !left.contains(&row.fila);
            self.known().filas.retain(|row| !gone(row));
        }
        Ok(())
    }

    /// A round went to its end.
    pub(super) fn worked(&self, exchange: &Exchange) {
        let mut known = self.known();
        known.conectada = true;
        known.ultimo_exito = Some(exchange.now());
    }

    pub(super) fn failed(&self, exchange: &Exchange, failure: &Failure, connected: bool) {
        let error = failure.to_string();
        let mut known = self.known();
        // The same thing every two seconds is told once.
        if known.ultimo_error.as_ref() != Some(&error) || known.conectada {
            tracing::warn!(tables = self.options.nombre, error, "work on the tables was interrupted");
        }
        known.conectada = connected;
        known.ultimo_fallo = Some(exchange.now());
        known.ultimo_error = Some(error);
    }

    pub(super) fn row_failed(&self, exchange: &Exchange, tabla: &'static str, fila: i64, motivo: String) {
        tracing::warn!(tables = self.options.nombre, table = tabla, row = fila, motivo, "a row waits for a correction");
        let motivo = motivo.chars().take(ERROR_MAX).collect();
        let mut known = self.known();
        known.filas.retain(|known| known.tabla != tabla || known.fila != fila);
        if known.filas.len() >= SHOWN_MAX {
            known.filas.pop_front();
        }
        known.filas.push_back(FilaConError { tabla, fila, motivo, en: exchange.now() });
    }

    /// A row was written; what did not fit is told, and what was wrong with it before is no more.
    pub(super) fn wrote(&self, cut: &[&'static str], table: &'static str, row: i64) {
        let mut known = self.known();
        known.filas.retain(|known| known.tabla != table || known.fila != row);
        if !cut.is_empty() {
            let columns = cut.join(", ");
            tracing::warn!(
                tables = self.options.nombre,
                table,
                row,
                columns,
                "texts were cut to the length of their columns"
            );
            known.recortes = known.recortes.saturating_add(1);
        }
    }
}
