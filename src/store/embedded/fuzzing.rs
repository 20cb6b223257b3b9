//! What fuzz/ reaches of the journal. Built only there.

use std::io::Cursor;

use super::{
    entry::Entry,
    frame::{self, Read1},
};

/// Reads frames until the bytes end or are none; each must be written again as it stood, and its entry decode or be refused.
#[allow(clippy::panic)] // a finding
pub fn frames(bytes: &[u8]) {
    let mut from = Cursor::new(bytes);
    loop {
        let start = usize::try_from(from.position()).unwrap_or(usize::MAX);
        let Ok(Read1::Frame(read)) = frame::read(&mut from) else { return };
        let end = usize::try_from(from.position()).unwrap_or(usize::MAX);
        let mut written = Vec::new();
        frame::encode(read.seq, read.durable, &read.parts, &mut written);
        assert!(bytes.get(start..end) == Some(&written[..]), "a frame is written otherwise than it was read");
        let _ = Entry::decode(&read.parts);
    }
}

/// A frame around three parts, with the right sums: what a journal holds, whatever the parts say.
pub fn entry(facts: &[u8], change: &[u8], placement: &[u8]) {
    let parts = frame::Parts { facts: facts.to_vec(), change: change.to_vec(), placement: placement.to_vec() };
    let mut written = Vec::new();
    frame::encode(1, 0, &parts, &mut written);
    frames(&written);
}
