//! «MPV Pruebas»: conformance cases against any `wsiotramite`, ours or not. The cases are data (`conformance/`); here are
//! what reads them, what runs them and what shows the result.
//!
//! Knows a component only from outside: nothing here uses the store, the use cases or the service that may be tested.

pub mod report;
