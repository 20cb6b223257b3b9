//! chasqui: a daemon between an entity's document system (SGD) and the national interoperability platform (PIDE).
//!
//! The house, from the ground up. A floor uses the floors below it, never above; `tests/it/floors.rs` holds it to that.
//!
//! - [`domain`] (0): the words and rules of the exchange, pure.
//! - [`soap`] (1): SOAP 1.1 as streams. [`contract`] (1): XML to domain and back.
//! - [`signing`] (1): PDFs and their signatures.
//! - [`store`] (2): what is durable. [`audit`] (2): the proof of it.
//! - [`exchange`] (3): the use cases and the worker.
//! - [`http`] (4): listeners, limits, authentication, errors.
//! - [`platform`] (5): the client of the platform.
//! - [`sgd`] (5): how a document system plugs in.
//! - [`console`] (5): the pages for people.
//! - [`wsiotramite`] (5): the SOAP service the platform calls.
//! - [`onboarding`] (5): the administrative road to production.
//! - [`simulator`] (5): a platform on loopback.
//! - [`conformance`] (5): the suite that judges an entity's component from outside.
//! - [`cli`] (6): the commands, and the daemon composed of all the above.
//! - [`config`] and [`telemetry`], beside the house: what the operator decides, and what he sees.

pub mod audit;
pub mod cli;
pub mod config;
pub mod conformance;
pub mod console;
pub mod contract;
pub mod domain;
pub mod exchange;
pub mod http;
pub mod onboarding;
pub mod platform;
pub mod sgd;
pub mod signing;
pub mod simulator;
pub mod soap;
pub mod store;
pub mod telemetry;
pub mod wsiotramite;
