//! Journal segments as files: their names and headers, and walking through their frames. Only reads.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::frame::{self, Fields, Frame, Read1};
use crate::store::{Seq, StoreError};

const MAGIC: &[u8; 8] = b"CHQDIARI";
/// Version of the format of segments and frames.
const VERSION: u32 = 1;
/// Bytes before the first frame.
pub const HEADER: u64 = 24;
/// Buffer for reading frames and for looking for them, in bytes.
const PIECE: usize = 64 * 1024;
/// What is read at once of a single frame, in bytes: most are shorter.
const FRAME_GUESS: usize = 4 * 1024;

/// One file of the journal, named by its first entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub first: Seq,
    pub path: PathBuf,
}

impl Segment {
    pub fn new(dir: &Path, first: Seq) -> Self {
        Self { first, path: dir.join(format!("{first:020}.log")) }
    }

    /// Its header's bytes: magic, version, first entry, and a CRC32C over these.
    pub fn header(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// How a report names a place in it.
    pub fn place(&self, offset: u64) -> String {
        format!("journal/{:020}.log, byte {offset}", self.first)
    }
}

/// The journal's segments, oldest first.
pub fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in dir.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if let Some(first) = name.strip_suffix(".log").and_then(|n| n.parse().ok()) {
            segments.push(Segment { first, path });
        }
    }
    segments.sort_by_key(|s| s.first);
    Ok(segments)
}

/// Where a frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First entry of its segment.
    pub segment: Seq,
    pub offset: u64,
}

impl Place {
    /// As a value of the index, under the number of its entry.
    pub fn to_value(self) -> Vec<u8> {
        [self.segment.to_le_bytes(), self.offset.to_le_bytes()].concat()
    }

    pub fn from_value(value: &[u8]) -> Option<Self> {
        let mut fields = Fields(value);
        Some(Self { segment: fields.u64()?, offset: fields.u64()? })
    }
}

/// Reads single frames, keeping the last segment it used open.
pub struct Frames<'a> {
    dir: &'a Path,
    open: Option<(Segment, File)>,
}

impl<'a> Frames<'a> {
    pub fn new(dir: &'a Path) -> Self {
        Self { dir, open: None }
    }

    /// The frame of entry `seq`, which must stand at `place`.
    pub fn read(&mut self, place: Place, seq: Seq) -> Result<Frame, StoreError> {
        let (segment, file) = match self.open.take().filter(|(segment, _)| segment.first == place.segment) {
            Some(open) => open,
            None => {
                let segment = Segment::new(self.dir, place.segment);
                let file = File::open(&segment.path)?;
                (segment, file)
            }
        };
        let mut bytes = BufReader::with_capacity(FRAME_GUESS, From { file: &file, offset: place.offset });
        let why = match frame::read(&mut bytes)? {
            Read1::Frame(frame) if frame.seq == seq => {
                self.open = Some((segment, file));
                return Ok(frame);
            }
            Read1::Frame(_) => "en su lugar hay otro",
            Read1::End => "falta",
            Read1::Bad(why) => why,
        };
        Err(StoreError::Damaged { place: segment.place(place.offset), what: format!("asiento {seq}: {why}") })
    }
}

/// What the walker met, and where.
#[derive(Debug)]
pub struct Step {
    pub offset: u64,
    pub found: Read1,
}

/// Reads a segment's frames one after the other.
pub struct Walker {
    file: BufReader<File>,
    pub offset: u64,
}

impl Walker {
    /// The inner error says, in Spanish, what is wrong with the header.
    pub fn open(segment: &Segment) -> io::Result<Result<Self, &'static str>> {
        let file = File::open(&segment.path)?;
        let mut header = Vec::new();
        (&file).take(HEADER).read_to_end(&mut header)?;
        let mut fields = Fields(&header);
        let magic = fields.take(8);
        let (version, first) = (fields.u32(), fields.u64());
        if header == segment.header() {
            return Ok(Ok(Self { file: BufReader::with_capacity(PIECE, file), offset: HEADER }));
        }
        Ok(Err(match (magic, version, first) {
            (Some(magic), Some(version), Some(_)) if magic == MAGIC && version > VERSION => {
                "es de una versión más nueva de chasqui"
            }
            _ => "su cabecera no es válida",
        }))
    }

    pub fn next(&mut self) -> io::Result<Step> {
        let offset = self.offset;
        let found = frame::read(&mut self.file)?;
        if let Read1::Frame(frame) = &found {
            self.offset += frame.parts.len() as u64;
        }
        Ok(Step { offset, found })
    }

    /// Goes on at `offset`, from the disk: what was read ahead is forgotten.
    pub fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.offset = offset;
        Ok(())
    }

    /// Walks from `offset` on, whatever stands before it.
    pub fn at(segment: &Segment, offset: u64) -> io::Result<Self> {
        let mut walker = Self { file: BufReader::with_capacity(PIECE, File::open(&segment.path)?), offset };
        walker.seek(offset)?;
        Ok(walker)
    }
}

/// A sound frame at or after a place, found by its magic: what stands behind damage.
pub fn find(segment: &Segment, from: u64) -> io::Result<Option<(u64, Frame)>> {
    let file = File::open(&segment.path)?;
    let magic = memchr::memmem::Finder::new(&frame::MAGIC);
    let overlap = frame::MAGIC.len() - 1;
    let (mut at, mut buffer) = (from, vec![0; PIECE]);
    loop {
        let n = read_up_to(&file, &mut buffer, at)?;
        let piece = buffer.get(..n).unwrap_or_default();
        for hit in magic.find_iter(piece) {
            let offset = at + hit as u64;
            let mut from = BufReader::new(From { file: &file, offset });
            if let Read1::Frame(frame) = frame::read(&mut from)? {
                return Ok(Some((offset, frame)));
            }
        }
        if n < buffer.len() {
            return Ok(None);
        }
        at += (n - overlap) as u64;
    }
}

/// Hands over what stands in a file from `offset` to `end`, piece by piece, each with its place.
pub fn copy_pieces(
    file: &File,
    offset: u64,
    end: u64,
    to: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let (mut at, mut buffer) = (offset, vec![0; PIECE]);
    while at < end {
        let n = read_up_to(file, &mut buffer, at)?;
        let n = n.min(usize::try_from(end - at).unwrap_or(n));
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to(buffer.get(..n).unwrap_or_default(), at)?;
        at += n as u64;
    }
    Ok(())
}

fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut n = 0;
    while let Some(rest) = buffer.get_mut(n..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + n as u64)? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// Reads a file from a place on without moving its own position.
struct From<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for From<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}
