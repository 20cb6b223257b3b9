//! What proves a time or a state to others: timestamp tokens, signed checkpoints, evidence packages.

use std::io::Cursor;

use chasqui::{
    audit::{
        checkpoint::Checkpoint,
        evidence,
        note::{Signer, Verifier},
    },
    signing::timestamp::TstInfo,
};

pub fn timestamp(data: &[u8]) {
    let _ = TstInfo::read(data);
}

/// The input as a note, as a key, and as a text that was signed with the right key.
pub fn checkpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let signer = Signer::new("prueba", &[7; 32]).unwrap();
    let key = signer.public();
    assert!(Checkpoint::open(text, key).is_err(), "signed by nobody");
    if let Ok(verifier) = Verifier::parse(text) {
        assert_eq!(verifier.to_string(), text);
    }
    let signed = signer.sign(text);
    if let Ok(opened) = key.open(&signed) {
        assert_eq!(opened, text);
    }
    if let Ok(checkpoint) = Checkpoint::open(&signed, key) {
        assert_eq!(checkpoint.sign(&signer), signed, "a checkpoint has one form");
    }
}

pub fn evidence(data: &[u8]) {
    let report = evidence::verify(Cursor::new(data), &evidence::Trust::default());
    assert!(!report.is_sound(), "nobody signed it");
}
