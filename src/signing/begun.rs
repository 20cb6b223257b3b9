//! The SHA-256 of a document as it comes in, remembered wherever the gap of a signature may begin: an examination then goes
//! on from there, and what stands before the gap (mostly the whole document) is hashed once. Knows of PDF only how a
//! signature's `/Contents` looks.

use std::{fmt, sync::Arc};

use ring::digest::{Context, Digest, SHA256};

const KEY: &[u8] = b"/Contents";
/// White space between the key and its value that is understood, in bytes.
const SPACE_MAX: usize = 16;
/// What may stand before a gap and belong to it, in bytes.
const BEFORE_MAX: usize = KEY.len() + SPACE_MAX;
/// Gaps that are looked for in one document. More are odd, and each costs a little.
const SOUGHT_MAX: usize = 4096;
/// Of those, how many are remembered: the last ones.
const KEPT_MAX: usize = 64;

/// A SHA-256 under way.
#[derive(Clone)]
pub struct Hashing {
    hash: Context,
    bytes: u64,
    /// The last bytes, at most [`BEFORE_MAX`].
    before: Vec<u8>,
    sought: usize,
    begun: Vec<(u64, Context)>,
}

/// Where gaps may begin, each with the SHA-256 of all that stands before it.
#[derive(Clone, Default)]
pub struct Begun(Arc<[(u64, Context)]>);

impl Default for Hashing {
    fn default() -> Self {
        Self { hash: Context::new(&SHA256), bytes: 0, before: Vec::new(), sought: 0, begun: Vec::new() }
    }
}

impl Hashing {
    pub fn update(&mut self, piece: &[u8]) {
        let mut done = 0;
        for gap in self.gaps(piece) {
            self.hash.update(piece.get(done..gap).unwrap_or_default());
            done = gap;
            if self.begun.len() == KEPT_MAX {
                self.begun.remove(0);
            }
            self.begun.push((self.bytes + gap as u64, self.hash.clone()));
        }
        self.hash.update(piece.get(done..).unwrap_or_default());
        self.bytes += piece.len() as u64;
        self.before.extend_from_slice(piece.get(piece.len().saturating_sub(BEFORE_MAX)..).unwrap_or_default());
        self.before.drain(..self.before.len().saturating_sub(BEFORE_MAX));
    }

    pub fn finish(self) -> (Digest, Begun) {
        (self.hash.finish(), Begun(self.begun.into()))
    }

    /// Where gaps begin in a piece.
    fn gaps(&mut self, piece: &[u8]) -> Vec<usize> {
        let mut gaps = Vec::new();
        if self.sought == SOUGHT_MAX {
            return gaps;
        }
        // A key that ended before this piece did not see its value yet.
        let known = self.before.len();
        let seam = [&self.before, piece.get(..piece.len().min(BEFORE_MAX)).unwrap_or_default()].concat();
        gaps.extend(found(&seam).filter(|(key, gap)| *key < known && *gap >= known).map(|(_, gap)| gap - known));
        gaps.extend(found(piece).map(|(_, gap)| gap).take(SOUGHT_MAX - self.sought));
        self.sought = (self.sought + gaps.len()).min(SOUGHT_MAX);
        gaps
    }
}

/// Keys with a string in hexadecimal for a value: where the key begins, and where the string.
fn found(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    memchr::memmem::find_iter(bytes, KEY).filter_map(|key| {
        let start = key + KEY.len();
        let after = bytes.get(start..)?;
        let space = after.iter().take(SPACE_MAX).take_while(|byte| byte.is_ascii_whitespace()).count();
        (after.get(space) == Some(&b'<')).then_some((key, start + space))
    })
}

impl Begun {
    /// The SHA-256 of the document's first `bytes` bytes, to go on with, if it was remembered.
    pub fn until(&self, bytes: u64) -> Option<Context> {
        self.0.iter().find(|(gap, _)| *gap == bytes).map(|(_, hash)| hash.clone())
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(gap, _)| gap)).finish()
    }
}

#[cfg(test)]
mod tests {
    use ring::digest::digest;

    use super::*;

    const GAPS: &[u8] =
        b"%PDF /Contents <00> and /Contents\r\n \t<ab> not /Contents 5 0 R nor /Contents[<aa>] /Contents<";

    fn hashed(bytes: &[u8], pieces: usize) -> (Digest, Begun) {
        let mut hashing = Hashing::default();
        bytes.chunks(pieces).for_each(|piece| hashing.update(piece));
        hashing.finish()
    }

    #[test]
    fn gaps_are_found_however_the_document_comes_and_go_on_to_the_right_digest() {
        let gaps = [15, 37, GAPS.len() - 1];
        for pieces in 1..=GAPS.len() {
            let (whole, begun) = hashed(GAPS, pieces);
            assert_eq!(whole.as_ref(), digest(&SHA256, GAPS).as_ref());
            assert_eq!(format!("{begun:?}"), format!("{gaps:?}"), "in pieces of {pieces}");
            for gap in gaps {
                assert_eq!(GAPS[gap], b'<');
                let mut hash = begun.until(gap as u64).unwrap();
                hash.update(b"what follows");
                let expected = digest(&SHA256, &[&GAPS[..gap], b"what follows"].concat());
                assert_eq!(hash.finish().as_ref(), expected.as_ref());
            }
            assert!(begun.until(16).is_none());
        }
    }

    #[test]
    fn a_document_full_of_gaps_is_hashed_and_costs_a_bounded_number_of_them() {
        let many = b"/Contents <".repeat(SOUGHT_MAX + 10);
        let (whole, begun) = hashed(&many, 1 << 16);
        assert_eq!(whole.as_ref(), digest(&SHA256, &many).as_ref());
        assert_eq!(begun.0.len(), KEPT_MAX);
        assert!(begun.until(many.len() as u64 - 1).is_none(), "those after the last one sought are not looked for");
    }
}
