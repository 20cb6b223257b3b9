//! Brings over what an earlier system left in the tables, so that consultas, cargos and repeated arrivals of before find it. In
//! parts, each row in a commit of its own, known again by its CUO: whatever cuts it short, the next run goes on and repeats
//! nothing. The tables are only read, beside whoever works on them.

mod received;
mod rows;
mod sent;

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    Conexion, Failure,
    schema::{DESPACHO, RECEPCION},
    session::{self, Session},
};
use crate::{
    domain::Ruc,
    exchange::{Actor, Exchange},
};

use rows::Fila;

pub use rows::PAGE as IMPORT_PAGE;

/// A part ends after this long, so that who asked hears of it.
const PART: Duration = Duration::from_secs(20);
/// Longest text of a reason, in characters.
const REASON_MAX: usize = 500;
/// Longest letter of a state that is counted as it is, in characters.
const STATE_MAX: usize = 4;

/// What is thought of a row.
enum Juicio<T> {
    Tomar(Box<T>),
    /// It is here, as it was brought over or made here.
    YaEsta,
    Omitir {
        motivo: String,
        /// Somebody should look at it.
        rara: bool,
    },
}

impl<T> Juicio<T> {
    /// A row that cannot be judged holds up itself alone.
    fn unknown(failure: Failure) -> Result<Self, Failure> {
        match failure.leaves_others() {
            true => Ok(Self::Omitir { motivo: format!("no se pudo leer: {failure}"), rara: true }),
            false => Err(failure),
        }
    }
}

/// Where a part goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lugar {
    despachos: bool,
    /// After the row with this key.
    tras: i64,
}

impl Lugar {
    const PRIMERO: Self = Self { despachos: true, tras: i64::MIN };

    pub fn leer(text: &str) -> Option<Self> {
        let (table, row) = text.split_once('.')?;
        let despachos = match table {
            "d" => true,
            "r" => false,
            _ => return None,
        };
        Some(Self { despachos, tras: row.parse().ok()? })
    }

    pub fn texto(self) -> String {
        format!("{}.{}", if self.despachos { 'd' } else { 'r' }, self.tras)
    }
}

/// What was found in one table.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "FilasLeidas")]
pub struct ConteoView {
    pub filas: u64,
    /// How many rows say which state.
    pub por_estado: BTreeMap<String, u64>,
    /// Rows brought over; of a plan: that would be.
    pub tomadas: u64,
    pub ya_estaban: u64,
    /// Why rows are left, and how many.
    pub omitidas: BTreeMap<String, u64>,
    /// Of the documents and cargos of `tomadas`.
    pub bytes: u64,
}

/// A row that somebody should look at.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FilaRara")]
pub struct FilaView {
    pub tabla: &'static str,
    pub fila: i64,
    pub estado: String,
    pub cuo: Option<String>,
    /// Whether it came over, or would.
    pub tomada: bool,
    pub motivo: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Importacion")]
pub struct ImportacionView {
    pub nombre: String,
    pub entidad: Ruc,
    pub esquema: String,
    /// Whether it was done, or only looked at.
    pub hecho: bool,
    pub despachos: ConteoView,
    pub recepciones: ConteoView,
    /// Rows that were left though nothing ordinary says so, and those that came over with something missing.
    pub filas: Vec<FilaView>,
    pub next_cursor: Option<String>,
}

impl Conexion {
    /// A part of what there is, from `desde` on. Without `por`, who has it done, nothing is changed.
    pub async fn importar(
        &self,
        exchange: &Exchange,
        desde: Option<Lugar>,
        por: Option<&Actor>,
    ) -> Result<ImportacionView, Failure> {
        let mut session = session::read(&self.address, self.options.schema.as_deref()).await?;
        let mut part = ImportacionView {
            nombre: self.options.nombre.clone(),
            entidad: self.options.entidad.clone(),
            esquema: session.schema.name.clone(),
            hecho: por.is_some(),
            despachos: ConteoView::default(),
            recepciones: ConteoView::default(),
            filas: Vec::new(),
            next_cursor: None,
        };
        let mut lugar = desde.unwrap_or(Lugar::PRIMERO);
        let table = if lugar.despachos { DESPACHO } else { RECEPCION };
        let found = rows::page(&session.client, &session.schema, table, (lugar.tras, rows::PAGE)).await?;
        // Of a page that was slow to come at least one row is dealt with: a part always gets further.
        let began = Instant::now();
        let mut dealt = false;
        let mut whole = i64::try_from(found.len()).is_ok_and(|n| n == rows::PAGE);
        for fila in &found {
            if dealt && began.elapsed() > PART {
                whole = true;
                break;
            }
            dealt = true;
            lugar.tras = fila.key;
            if lugar.despachos {
                self.un_despacho(exchange, &mut session, fila, por, &mut part).await?;
            } else {
                self.una_recepcion(exchange, &mut session, fila, por, &mut part).await?;
            }
        }
        part.next_cursor = match (whole, lugar.despachos) {
            (true, _) => Some(lugar.texto()),
            (false, true) => Some(Lugar { despachos: false, tras: i64::MIN }.texto()),
            (false, false) => None,
        };
        Ok(part)
    }

    async fn un_despacho(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        fila: &Fila,
        por: Option<&Actor>,
        part: &mut ImportacionView,
    ) -> Result<(), Failure> {
        let judged = self.juzgar_despacho(exchange, fila).await.or_else(Juicio::unknown)?;
        let end = match (judged, por) {
            (Juicio::Tomar(mut tomable), Some(por)) => {
                let done = self.tomar_despacho(exchange, session, fila, &mut tomable, por).await;
                ended(done, tomable.reparos)?
            }
            (Juicio::Tomar(tomable), None) => Fin::Tomada(tomable.reparos),
            (Juicio::YaEsta, _) => Fin::YaEstaba,
            (Juicio::Omitir { motivo, rara }, _) => Fin::Omitida { motivo, rara },
        };
        part.despachos.add(fila, &end);
        part.filas.extend(odd(DESPACHO, fila, end));
        Ok(())
    }

    async fn una_recepcion(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        fila: &Fila,
        por: Option<&Actor>,
        part: &mut ImportacionView,
    ) -> Result<(), Failure> {
        let judged = self.juzgar_recepcion(exchange, session, fila).await.or_else(Juicio::unknown)?;
        let end = match (judged, por) {
            (Juicio::Tomar(mut tomable), Some(por)) => {
                let done = self.tomar_recepcion(exchange, session, fila, &mut tomable, por).await;
                ended(done, tomable.reparos)?
            }
            (Juicio::Tomar(tomable), None) => Fin::Tomada(tomable.reparos),
            (Juicio::YaEsta, _) => Fin::YaEstaba,
            (Juicio::Omitir { motivo, rara }, _) => Fin::Omitida { motivo, rara },
        };
        part.recepciones.add(fila, &end);
        part.filas.extend(odd(RECEPCION, fila, end));
        Ok(())
    }

    /// Where an exchange comes from, as its first fact says it.
    fn origen(&self, table: &str, fila: &Fila, reparos: &[String], por: &Actor) -> String {
        let sent = ["cflgenv", "cflgenvcar"].iter().find_map(|name| Some(format!(", {name} {}", fila.said(name)?)));
        let mut text = format!(
            "Importado de {table}, fila {}, de las tablas «{}» ({}): cflgest {}{}. Lo pidió {}",
            fila.key,
            self.options.nombre,
            self.address.shown,
            fila.estado(),
            sent.unwrap_or_default(),
            por.0
        );
        for reparo in reparos {
            text += "; ";
            text += reparo;
        }
        text
    }
}

/// What became of a row.
enum Fin {
    Tomada(Vec<String>),
    YaEstaba,
    Omitida { motivo: String, rara: bool },
}

/// A row that cannot be taken holds up itself alone.
fn ended(done: Result<(), Failure>, reparos: Vec<String>) -> Result<Fin, Failure> {
    match done {
        Ok(()) => {
            crate::telemetry::failpoint::reach("tables.imported");
            Ok(Fin::Tomada(reparos))
        }
        Err(failure) if failure.leaves_others() => {
            Ok(Fin::Omitida { motivo: format!("no se pudo: {failure}"), rara: true })
        }
        Err(failure) => Err(failure),
    }
}

impl ConteoView {
    fn add(&mut self, fila: &Fila, end: &Fin) {
        self.filas += 1;
        let estado: String = fila.estado().chars().take(STATE_MAX).collect();
        *self.por_estado.entry(estado).or_default() += 1;
        match end {
            Fin::Tomada(_) => {
                self.tomadas += 1;
                self.bytes = self.bytes.saturating_add(fila.bytes());
            }
            Fin::YaEstaba => self.ya_estaban += 1,
            // What is odd says more than can be counted together.
            Fin::Omitida { rara: true, .. } => *self.omitidas.entry("raras, una por una".into()).or_default() += 1,
            Fin::Omitida { motivo, .. } => *self.omitidas.entry(motivo.clone()).or_default() += 1,
        }
    }
}

fn odd(tabla: &'static str, fila: &Fila, end: Fin) -> Option<FilaView> {
    let (tomada, motivo) = match end {
        Fin::Tomada(reparos) if !reparos.is_empty() => (true, reparos.join("; ")),
        Fin::Omitida { motivo, rara: true } => (false, motivo),
        _ => return None,
    };
    Some(FilaView {
        tabla,
        fila: fila.key,
        estado: fila.estado().chars().take(STATE_MAX).collect(),
        cuo: fila.said("vcuo").map(|text| text.chars().take(REASON_MAX).collect()),
        tomada,
        motivo: motivo.chars().take(REASON_MAX).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::Lugar;

    #[test]
    fn a_place_reads_back_as_it_was_written_and_nothing_else_does() {
        for lugar in [Lugar::PRIMERO, Lugar { despachos: false, tras: 32_767 }] {
            assert_eq!(Lugar::leer(&lugar.texto()), Some(lugar));
        }
        for text in ["", "d", "x.1", "d.", "d.1; DROP TABLE", "r.99999999999999999999"] {
            assert_eq!(Lugar::leer(text), None, "{text}");
        }
    }
}
