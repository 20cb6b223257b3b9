//! Evidence of one exchange in one file (ASiC-E, ETSI EN 319 162-1) that proves itself: written from the log and the store,
//! verified with nothing but the file, and the trust anchors and the log's key if one has them.
//!
//! ```text
//! mimetype                       first, so that any tool knows what this is
//! LEEME.txt                      what is in here and how to check it by hand
//! manifiesto.json                the exchange and the files
//! documento.pdf, cargo.pdf       as they were exchanged
//! sobres/                        requests and answers as they were on the wire, without the documents; firmas/: their reports
//! asientos.json                  the entries of the log about it, with their inclusion proofs
//! auditoria/punto.note           the checkpoint; punto.tsr: its timestamp; clave.txt: the key it is checked with
//! certificados/                  of who signed the package
//! META-INF/ASiCManifest.xml      the SHA-256 of every file above
//! META-INF/signature.p7s         CAdES over the manifest by the entity's identity, if it has one
//! META-INF/sello.note            over both by the log's key
//! ```

pub mod container;
mod entries;
#[cfg(test)]
pub mod forgery;
mod manifest;
mod messages;
mod readme;
pub mod report;
mod signatures;
pub mod verify;
mod write;

pub use report::{Report, Verdict};
pub use verify::{Trust, verify, verify_rebuilding};
pub use write::{Request, write};

const MIMETYPE: &[u8] = b"application/vnd.etsi.asic-e+zip";
const MANIFEST: &str = "META-INF/ASiCManifest.xml";
const SIGNATURE: &str = "META-INF/signature.p7s";
const SEAL: &str = "META-INF/sello.note";
const CONTENTS: &str = "manifiesto.json";
const ENTRIES: &str = "asientos.json";
const CHECKPOINT: &str = "auditoria/punto.note";
const TIMESTAMP: &str = "auditoria/punto.tsr";
const KEY: &str = "auditoria/clave.txt";
const DOCUMENT: &str = "documento.pdf";
const CARGO: &str = "cargo.pdf";
const CERTIFICATES: &str = "certificados/firmante.pem";

/// Largest member that is read whole, in bytes: the entries of one exchange, each with the record as it then was.
const WHOLE_MAX: u64 = 32 * 1024 * 1024;
