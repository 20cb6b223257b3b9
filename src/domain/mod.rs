//! The words and rules of the exchange, pure: no I/O, no clock, no randomness. Everything above may use it; it uses
//! nothing of ours. Domain nouns keep the field's Spanish; sources of facts are cited as CONTRACT §n.

pub mod calendario;
pub mod cargo;
pub mod conservacion;
pub mod cuo;
pub mod despacho;
pub mod documento;
pub mod entidad;
pub mod falla;
pub mod firmas;
pub mod lima;
pub mod recepcion;
pub mod respuestas;
pub mod ruc;
pub mod tramite;
pub mod validation;

pub use cargo::{Cargo, CargoTramite, Desenlace, EmisionCargo};
pub use conservacion::{Bloqueo, Purga};
pub use cuo::Cuo;
pub use despacho::{Despacho, EstadoDespacho};
pub use documento::{Anexo, Archivo, Contenido, Documento, Sha256};
pub use entidad::{Categoria, Entidad, EntidadPropia};
pub use falla::Falla;
pub use firmas::Informe;
pub use recepcion::{EstadoRecepcion, Recepcion};
pub use ruc::Ruc;
pub use tramite::{Consulta, Destinatario, Persona, Tramite};

/// Identifies a record: a UUIDv7, so ids sort by time of creation.
pub type Id = uuid::Uuid;

/// Where the daemon runs; decides addresses and whether the test RUCs are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ambiente {
    Simulation,
    Test,
    Production,
}
