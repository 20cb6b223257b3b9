//! The end of the journal that nothing proves to be durable: at most one batch. Its entries, their documents and the names of
//! those are synced at the same time, so a power cut may leave an entry without its documents. Nobody was answered then: that
//! entry and those behind it are unfinished as one is whose own bytes are torn.
//!
//! What a killed process left there is whole and perhaps not on the disk: before anybody is told of it, it is brought there.

use std::{io, path::Path};

use super::{
    disk::Disk,
    documents,
    frame::Read1,
    packs,
    placement::Placed,
    segment::{self, Segment, Walker},
};
use crate::store::{Seq, StoreError};

/// Why an entry that reads back is cut off all the same.
pub const UNFINISHED: &str = "sus documentos no se terminaron de guardar";

/// Entries that nobody vouches for, oldest first.
#[derive(Debug, Default)]
pub struct Tail {
    segment: Option<Segment>,
    entries: Vec<Unproved>,
}

#[derive(Debug)]
struct Unproved {
    seq: Seq,
    /// Where its frame begins and ends in the segment.
    offset: u64,
    end: u64,
    placed: Vec<Placed>,
}

impl Tail {
    /// Reads the newest segment: one begins when all that stands in those before is durable. `known`: the last entry that
    /// somebody knows to have been answered.
    pub fn read(data_dir: &Path, known: Seq) -> Result<Self, StoreError> {
        let Some(segment) = segment::list(&data_dir.join("journal"))?.pop() else { return Ok(Self::default()) };
        let Ok(mut walker) = Walker::open(&segment)? else { return Ok(Self::default()) };
        let mut next = segment.first;
        let mut found: Vec<(Seq, u64, u64, Vec<u8>)> = Vec::new();
        loop {
            let step = walker.next()?;
            let Read1::Frame(frame) = step.found else { break };
            if frame.seq != next {
                break;
            }
            next += 1;
            found.retain(|(seq, ..)| *seq > frame.durable);
            found.push((frame.seq, step.offset, walker.offset, frame.parts.placement));
        }
        let entries = found.into_iter().filter(|(seq, ..)| *seq > known).map(|(seq, offset, end, placement)| {
            // What is no JSON of ours is damage, which whoever applies the entry tells.
            let placed = serde_json::from_slice(&placement).unwrap_or_default();
            Unproved { seq, offset, end, placed }
        });
        let entries = entries.collect();
        Ok(Self { segment: Some(segment), entries })
    }

    /// The first entry whose documents are not all there.
    pub fn unfinished(&self, data_dir: &Path) -> Result<Option<Seq>, StoreError> {
        for Unproved { seq, placed, .. } in &self.entries {
            for placed in placed {
                match whole(data_dir, placed) {
                    Err(StoreError::Damaged { .. }) => return Ok(Some(*seq)),
                    found => found?,
                }
            }
        }
        Ok(None)
    }

    /// Brings the entries before `next` and all that they name to the disk. They are written again: of a sync that failed
    /// before the process died the kernel tells nobody any more.
    pub fn settle(self, data_dir: &Path, next: Seq, disk: &dyn Disk) -> Result<(), StoreError> {
        let Self { segment, entries } = self;
        let entries: Vec<_> = entries.into_iter().filter(|entry| entry.seq < next).collect();
        let (Some(segment), Some(first), Some(last)) = (segment, entries.first(), entries.last()) else {
            return Ok(());
        };
        for placed in entries.iter().flat_map(|entry| &entry.placed) {
            match placed.pack {
                Some(at) => packs::write_again(&data_dir.join("packs"), disk, at, placed)?,
                None => {
                    // Its bytes were on the disk before it had this name.
                    let path = documents::path(&data_dir.join("documents"), &placed.sha256);
                    path.parent().map_or(Ok(()), |folder| disk.sync_dir(folder))?;
                }
            }
        }
        Ok(write_again(&segment, first.offset, last.end, disk)?)
    }
}

fn whole(data_dir: &Path, placed: &Placed) -> Result<(), StoreError> {
    match placed.pack {
        Some(at) => packs::read(&data_dir.join("packs"), at, &placed.sha256, placed.bytes).map(drop),
        None => documents::open_file(&data_dir.join("documents"), placed).map(drop),
    }
}

/// Writes a stretch of a segment as it stands there, and syncs it.
fn write_again(segment: &Segment, offset: u64, end: u64, disk: &dyn Disk) -> io::Result<()> {
    let file = disk.open(&segment.path, false)?;
    segment::copy_pieces(&file, offset, end, &mut |piece, at| disk.write_at(&file, piece, at))?;
    disk.sync(&file)
}
