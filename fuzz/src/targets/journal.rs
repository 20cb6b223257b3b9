//! The journal's frames, and the entries in them: as they stand, and with their sums made right, which chance would never do.

use chasqui::store::embedded::fuzzing;

pub fn journal(data: &[u8]) {
    fuzzing::frames(data);
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    fuzzing::entry(part(), part(), part());
}
