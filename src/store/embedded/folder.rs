//! A folder that another process may be writing, read from its files alone: as an origin of a move. Only what was answered is
//! shown; what the other process is still writing, or takes back, is not.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::{
    answered, documents,
    entry::Entry,
    frame::Read1,
    packs,
    placement::Placed,
    recovery,
    segment::{self, Segment, Walker},
};
use crate::{
    domain::Sha256,
    store::{
        Gone, RawEntry, Seq, StoreError,
        blobs::blocking,
        moving::{Found, Origin},
    },
};

/// Bytes of entries that are given at once.
const BYTES_MAX: usize = 4 * 1024 * 1024;

pub struct Folder {
    dir: PathBuf,
    /// Where the entries after `at` begin.
    reading: Option<Reading>,
    /// Where the documents lie that came with the entries given last.
    placed: HashMap<Sha256, Placed>,
}

struct Reading {
    at: Seq,
    segment: Segment,
    offset: u64,
}

/// What was read of the journal.
struct Piece {
    entries: Vec<RawEntry>,
    placed: Vec<Placed>,
    reading: Option<Reading>,
}

impl Folder {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), reading: None, placed: HashMap::new() }
    }
}

#[async_trait]
impl Origin for Folder {
    async fn last(&mut self) -> Result<Seq, StoreError> {
        let dir = self.dir.clone();
        blocking(move || Ok(answered_by(&dir))).await
    }

    async fn entries(&mut self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        let (dir, reading) = (self.dir.clone(), self.reading.take().filter(|reading| reading.at == after));
        let Piece { entries, placed, reading } = blocking(move || read(&dir, reading, after, limit)).await?;
        self.placed = placed.into_iter().map(|placed| (placed.sha256.clone(), placed)).collect();
        self.reading = reading;
        Ok(entries)
    }

    async fn document(&mut self, sha256: &Sha256) -> Result<Found, StoreError> {
        let Some(placed) = self.placed.get(sha256).cloned() else {
            return Err(StoreError::NoDocument(sha256.clone()));
        };
        match documents::open(&self.dir, placed.clone()).await {
            Ok(reader) => Ok(Found::Here(Box::new(reader))),
            Err(error) => {
                let dir = self.dir.clone();
                let gone = Gone { sha256: placed.sha256.clone(), bytes: placed.bytes };
                if blocking(move || Ok(is_purged(&dir, &placed)?)).await? { Ok(Found::Gone(gone)) } else { Err(error) }
            }
        }
    }
}

/// The last entry that was answered, as the process that writes leaves it for others.
fn answered_by(dir: &Path) -> Seq {
    recovery::clean_stop(dir).map_or(0, |mark| mark.last_seq).max(answered::read(dir))
}

/// Whether nothing is left of a document but what a purge leaves. That it was purged, a later entry says.
fn is_purged(dir: &Path, placed: &Placed) -> io::Result<bool> {
    match placed.pack {
        Some(at) => packs::is_erased(&dir.join("packs"), at, &placed.sha256, placed.bytes),
        None => fs::exists(documents::path(&dir.join("documents"), &placed.sha256)).map(|there| !there),
    }
}

/// Reads entries after `after` that were answered: from where the last reading ended, or from the segment that holds them.
fn read(dir: &Path, reading: Option<Reading>, after: Seq, limit: usize) -> Result<Piece, StoreError> {
    let mut piece = Piece { entries: Vec::new(), placed: Vec::new(), reading };
    let upto = answered_by(dir);
    if upto <= after {
        return Ok(piece);
    }
    let segments = segment::list(&dir.join("journal"))?;
    let mut reading = match piece.reading.take() {
        Some(reading) => reading,
        None => match segments.iter().rev().find(|segment| segment.first <= after + 1) {
            Some(segment) => Reading { at: segment.first - 1, segment: segment.clone(), offset: segment::HEADER },
            None => return Err(damaged("journal".into(), &format!("falta el asiento {}", after + 1))),
        },
    };
    let mut walker = Walker::at(&reading.segment, reading.offset)?;
    let mut bytes = 0;
    while reading.at < upto && piece.entries.len() < limit && bytes < BYTES_MAX {
        let step = walker.next()?;
        match step.found {
            Read1::Frame(frame) if frame.seq == reading.at + 1 => {
                (reading.at, reading.offset) = (frame.seq, walker.offset);
                if frame.seq <= after {
                    continue;
                }
                let entry =
                    Entry::decode(&frame.parts).map_err(|what| damaged(reading.segment.place(step.offset), &what))?;
                bytes += frame.parts.len();
                piece.placed.extend(entry.placed);
                let (facts, change) = (frame.parts.facts, frame.parts.change);
                piece.entries.push(RawEntry { seq: frame.seq, facts, change });
            }
            found => {
                let next = segments.iter().find(|segment| segment.first == reading.at + 1);
                let Some(next) = next.filter(|next| **next != reading.segment) else {
                    let why = match found {
                        Read1::Bad(why) => why,
                        Read1::End => "falta",
                        Read1::Frame(_) => "su número no es el que sigue",
                    };
                    let what = format!("asiento {}: {why}", reading.at + 1);
                    return Err(damaged(reading.segment.place(step.offset), &what));
                };
                reading = Reading { at: reading.at, segment: next.clone(), offset: segment::HEADER };
                walker = Walker::at(next, segment::HEADER)?;
            }
        }
    }
    piece.reading = Some(reading);
    Ok(piece)
}

fn damaged(place: String, what: &str) -> StoreError {
    StoreError::Damaged { place, what: what.to_owned() }
}
