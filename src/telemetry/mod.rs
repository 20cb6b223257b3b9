//! What the operator sees of a running daemon: logs ([`log`]) and counters ([`metrics`]), and where a test
//! lets it die ([`failpoint`]). Used by every floor; uses only
//! `config`. Documents' content, keys and personal data never pass through here.

pub mod failpoint;
pub mod log;
pub mod metrics;
pub mod syncs;

pub use metrics::Metrics;
