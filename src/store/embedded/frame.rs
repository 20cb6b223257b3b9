//! One journal entry as bytes, and back. The format is described in the module above.

use std::io::{self, Read};

use crate::store::Seq;

/// Begins every frame. 0xFF is in no UTF-8 text, so no payload holds it.
pub const MAGIC: [u8; 4] = [0xFF, b'C', b'H', b'J'];
/// Bytes before the three parts.
pub const HEADER: usize = 40;
/// Longest frame, in bytes. A directory of all of Peru's entities is under 2 MiB.
pub const FRAME_MAX: usize = 16 * 1024 * 1024;
/// What the length field counts besides the parts: seq, durable and the parts' lengths.
const FIXED: usize = HEADER - 12;

/// What an entry says, each part in its stored form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// JSON of the facts.
    pub facts: Vec<u8>,
    /// JSON of records, jobs and jobs done.
    pub change: Vec<u8>,
    /// JSON of where this entry's documents lie.
    pub placement: Vec<u8>,
}

impl Parts {
    pub fn len(&self) -> usize {
        HEADER + self.facts.len() + self.change.len() + self.placement.len()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub seq: Seq,
    /// The highest entry known to be synced when this one was written.
    pub durable: Seq,
    pub parts: Parts,
}

/// What stands at a place of the journal.
#[derive(Debug)]
pub enum Read1 {
    Frame(Frame),
    /// Nothing: the end.
    End,
    /// Not a frame; why, in Spanish for a report.
    Bad(&'static str),
}

/// Appends an entry's frame to `out`. The caller has checked [`Parts::len`] against [`FRAME_MAX`].
pub fn encode(seq: Seq, durable: Seq, parts: &Parts, out: &mut Vec<u8>) {
    let start = out.len();
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&size(parts.len() - HEADER + FIXED));
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    for part in [&parts.facts, &parts.change, &parts.placement] {
        out.extend_from_slice(&size(part.len()));
    }
    for part in [&parts.facts, &parts.change, &parts.placement] {
        out.extend_from_slice(part);
    }
    let crc = out.get(start + 8..).map_or(0, crc32c::crc32c);
    if let Some(field) = out.get_mut(start + 4..start + 8) {
        field.copy_from_slice(&crc.to_le_bytes());
    }
}

/// Reads one frame. Errors are the disk's; whatever the bytes hold is a [`Read1`].
pub fn read(from: &mut impl Read) -> io::Result<Read1> {
    let mut header = Vec::with_capacity(HEADER);
    from.take(HEADER as u64).read_to_end(&mut header)?;
    if header.is_empty() {
        return Ok(Read1::End);
    }
    let mut fields = Fields(&header);
    let magic = fields.take(4);
    let (Some(crc), Some(length), Some(seq), Some(durable), Some(facts), Some(change), Some(placement)) =
        (fields.u32(), fields.u32(), fields.u64(), fields.u64(), fields.u32(), fields.u32(), fields.u32())
    else {
        return Ok(Read1::Bad("cabecera incompleta"));
    };
    if magic != Some(&MAGIC) {
        return Ok(Read1::Bad("no comienza como un asiento"));
    }
    let sizes = [facts, change, placement].map(|n| n as usize);
    let body = sizes.iter().fold(0, |sum: usize, n| sum.saturating_add(*n));
    if body.saturating_add(HEADER) > FRAME_MAX || body + FIXED != length as usize {
        return Ok(Read1::Bad("sus longitudes no concuerdan"));
    }
    let mut payload = Vec::with_capacity(body);
    from.take(body as u64).read_to_end(&mut payload)?;
    if payload.len() != body {
        return Ok(Read1::Bad("está incompleto"));
    }
    let covered = header.get(8..).map_or(0, crc32c::crc32c);
    if crc32c::crc32c_append(covered, &payload) != crc {
        return Ok(Read1::Bad("su suma de control no corresponde"));
    }
    let placement = payload.split_off(sizes[0] + sizes[1]);
    let change = payload.split_off(sizes[0]);
    Ok(Read1::Frame(Frame { seq, durable, parts: Parts { facts: payload, change, placement } }))
}

/// Takes fixed fields off the front of a slice.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts { facts: b"[1]".to_vec(), change: b"{}".to_vec(), placement: Vec::new() }
    }

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let mut bytes = Vec::new();
        encode(7, 6, &parts(), &mut bytes);
        encode(8, 6, &Parts::default(), &mut bytes);
        let mut from = bytes.as_slice();
        let Read1::Frame(first) = read(&mut from).unwrap() else { panic!() };
        assert_eq!(first, Frame { seq: 7, durable: 6, parts: parts() });
        let Read1::Frame(second) = read(&mut from).unwrap() else { panic!() };
        assert_eq!(second.seq, 8);
        assert!(matches!(read(&mut from).unwrap(), Read1::End));
    }

    #[test]
    fn any_changed_byte_and_any_shorter_length_is_noticed() {
        let mut bytes = Vec::new();
        encode(7, 6, &parts(), &mut bytes);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            assert!(matches!(read(&mut changed.as_slice()).unwrap(), Read1::Bad(_)), "byte {at}");
            let short = read(&mut &bytes[..at]).unwrap();
            assert!(if at == 0 { matches!(short, Read1::End) } else { matches!(short, Read1::Bad(_)) }, "length {at}");
        }
    }
}
