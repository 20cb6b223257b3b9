//! Whole logs: made over a real store, changed behind its back, verified.

mod packages;
mod purges;
mod tampering;
pub mod world;
