//! PDFs and their signatures: reading and examining them, and making them. Knows the domain and nothing else of ours; its
//! only I/O is the stream it is given. The clock, the trust anchors and the network, where one is wanted, are passed in.

pub mod asn1;
pub mod begun;
pub mod cades;
pub mod cargo_pdf;
pub mod certificate;
pub mod cms;
pub mod drawing;
pub mod identity;
pub mod pades;
pub mod pdf;
#[cfg(test)]
pub mod samples;
pub mod sheet;
pub mod timestamp;
pub mod tlv;
pub mod trust;
pub mod trusted_list;
pub mod verify;
pub mod xml;

pub use identity::{Identity, IdentityError};
