//! The proof of what is durable: a Merkle tree (RFC 9162) over the journal's entries, checkpoints of it signed by this
//! installation, and their verification by someone who trusts nobody.
//!
//! ```text
//! audit/            in the folder of the data
//!   clave           the audit key: Ed25519, for its owner alone; clave.pub: its public part
//!   puntos/         <entries, 20 digits>.note: checkpoints; .tsr beside one: its timestamp
//!   arbol/          hashes of the tree; disposable, the journal gives them again
//! ```
//!
//! The leaf of an entry commits to its number, its facts and its change, the latter two by their SHA-256 ([`tree::leaf`]).
//! Where a store keeps an entry's documents is no part of it: the tree is the same over any store.
//!
//! May use `domain`, floor 1 and `store`; knows nothing of use cases. Time is passed in.

pub mod checkpoint;
pub mod evidence;
pub mod files;
pub mod log;
pub mod merkle;
pub mod note;
mod stamp;
pub mod tree;
pub mod verify;

#[cfg(test)]
mod tests;

pub use log::{AuditError, Log};
