//! XML that is signed: a bounded tree of a whole document, its canonical form, and the one kind of signature that trusted
//! lists carry. What is verified is what is read: [`tree::Document`] is the only parse of the bytes, the canonical form is
//! written from it, and its readers walk it. No DTD, no entities but the five, no transform but the named ones; no I/O.

pub mod canonical;
pub mod signature;
pub mod tree;

#[cfg(test)]
pub mod tests;

pub use signature::{SignatureFault, Signer, check};
pub use tree::{Document, Element, XmlFault};

/// Base64 with white space anywhere, as XML has it.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let tight: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    base64_simd::STANDARD.decode_to_vec(tight).ok()
}
