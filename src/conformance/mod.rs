//! «MPV Pruebas»: conformance cases against any `wsiotramite`, ours or not. The cases are data (`conformance/`); here are
//! what reads them (`case`), what runs them (`runner`, step by step `steps`, with `envelope` and `wire` to speak, `platform` and `operator` to play
//! the other parts, `checks` to judge) and what shows the result (`report`, from which all other forms are made).
//!
//! Knows a component only from outside: nothing here uses the store, the use cases or the service that may be tested.

pub mod case;
mod checks;
pub mod compare;
pub mod coverage;
mod envelope;
mod evidence;
pub mod html;
pub mod junit;
mod named;
pub mod operator;
pub mod pdf;
pub mod platform;
mod probe;
pub mod report;
pub mod resume;
pub mod runner;
mod steps;
pub mod target;
mod template;
pub mod terminal;
mod tls;
mod wire;
mod wsdl;
mod xml;

pub use wire::Destino;
