//! The journal, the store's truth: scanning it at start, and appending to it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{self, Disk},
    frame::{Frame, Read1},
    segment::{self, Place, Segment, Walker},
    tail,
};
use crate::{
    store::{Seq, StoreError},
    telemetry::failpoint,
};

/// Where a sound journal ends, and what stands behind its end.
#[derive(Debug)]
pub struct Scanned {
    /// The last segment, if it can be appended to, and its sound length in bytes.
    pub last: Option<(Segment, u64)>,
    /// The entry that comes next.
    pub next: Seq,
    /// Bytes behind the end that are no entry.
    pub torn: Option<Torn>,
}

/// What an interrupted write left at the end.
#[derive(Debug)]
pub struct Torn {
    pub segment: Segment,
    pub offset: u64,
    pub seq: Seq,
    pub why: &'static str,
}

/// Reads every entry from the segment that holds `from` on; `visit` sees those from `from` on, where they stand, and how
/// many bytes of journal were read so far. `unfinished`: the first entry whose documents are not there ([`super::tail`]).
pub fn scan(
    dir: &Path,
    from: Seq,
    unfinished: Option<Seq>,
    visit: &mut dyn FnMut(Frame, Place, u64) -> Result<(), StoreError>,
) -> Result<Scanned, StoreError> {
    let segments = segment::list(dir)?;
    let start = segments.iter().rposition(|s| s.first <= from).unwrap_or(0);
    let segments = segments.get(start..).unwrap_or_default();
    let mut next = segments.first().map_or(1, |s| if s.first <= from { s.first } else { 1 });
    let mut scanned = Scanned { last: None, next, torn: None };
    let mut read = 0;
    for (n, segment) in segments.iter().enumerate() {
        if segment.first != next {
            return Err(StoreError::Damaged {
                place: segment.place(0),
                what: format!("antes de este segmento falta el asiento {next}"),
            });
        }
        let newest = n + 1 == segments.len();
        let end = scan_segment(segment, newest, unfinished, &mut next, &mut |frame, offset, end| {
            let place = Place { segment: segment.first, offset };
            if frame.seq < from { Ok(()) } else { visit(frame, place, read + end) }
        })?;
        match end {
            End::Sound(length) => {
                read += length;
                scanned.last = Some((segment.clone(), length));
            }
            End::Torn(torn) => {
                scanned.last = (torn.offset >= segment::HEADER).then(|| (segment.clone(), torn.offset));
                scanned.torn = Some(torn);
            }
        }
    }
    scanned.next = next;
    Ok(scanned)
}

enum End {
    Sound(u64),
    Torn(Torn),
}

fn scan_segment(
    segment: &Segment,
    newest: bool,
    unfinished: Option<Seq>,
    next: &mut Seq,
    visit: &mut dyn FnMut(Frame, u64, u64) -> Result<(), StoreError>,
) -> Result<End, StoreError> {
    let mut walker = match Walker::open(segment)? {
        Ok(walker) => walker,
        Err(why) => return judge(segment, newest, 0, *next, why).map(End::Torn),
    };
    loop {
        let step = walker.next()?;
        let why = match step.found {
            Read1::End => return Ok(End::Sound(walker.offset)),
            Read1::Bad(why) => why,
            Read1::Frame(frame) if unfinished == Some(frame.seq) => tail::UNFINISHED,
            Read1::Frame(frame) if frame.seq == *next => {
                visit(frame, step.offset, walker.offset)?;
                *next += 1;
                continue;
            }
            Read1::Frame(_) => "su número no es el que sigue",
        };
        return judge(segment, newest, step.offset, *next, why).map(End::Torn);
    }
}

/// Tells the remains of an interrupted write from damage: what was written later and knows this entry to be durable
/// proves that it was whole once.
fn judge(segment: &Segment, newest: bool, offset: u64, seq: Seq, why: &'static str) -> Result<Torn, StoreError> {
    let damaged = || StoreError::Damaged { place: segment.place(offset), what: format!("asiento {seq}: {why}") };
    if !newest || proves_durable(segment, offset, seq)? {
        return Err(damaged());
    }
    Ok(Torn { segment: segment.clone(), offset, seq, why })
}

/// Whether a sound frame behind `offset` knows entry `seq` to be durable.
pub fn proves_durable(segment: &Segment, offset: u64, seq: Seq) -> io::Result<bool> {
    let mut from = offset;
    while let Some((at, frame)) = segment::find(segment, from)? {
        if frame.seq > seq && frame.durable >= seq {
            return Ok(true);
        }
        from = at + frame.parts.len() as u64;
    }
    Ok(false)
}

impl Torn {
    /// Keeps the bytes in a file of their own, then cuts them off.
    pub fn cut(&self, dir: &Path, disk: &dyn Disk) -> Result<u64, StoreError> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.segment.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let (mut kept, path) = cut_file(dir, self.seq, self.offset)?;
        let copied = io::copy(&mut (&file).take(u64::MAX), &mut kept).and_then(|n| disk.sync(&kept).map(|()| n));
        let bytes = match copied {
            Ok(bytes) => bytes,
            Err(error) => {
                disk::remove(&path)?;
                return Err(error.into());
            }
        };
        if bytes == 0 {
            disk::remove(&path)?;
        }
        if self.offset >= segment::HEADER {
            disk.truncate(&file, self.offset)?;
        } else {
            disk::remove(&self.segment.path)?;
        }
        disk.sync_dir(dir)?;
        Ok(bytes)
    }
}

/// A new, empty file for what is cut off: `cut-<seq>-<offset>.bin`, with a number behind if there is one already.
pub fn cut_file(dir: &Path, seq: Seq, offset: u64) -> io::Result<(File, PathBuf)> {
    let mut n = 0;
    loop {
        let suffix = if n == 0 { String::new() } else { format!(".{n}") };
        let path = dir.join(format!("cut-{seq:020}-{offset}{suffix}.bin"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => n += 1,
            opened => return opened.map(|file| (file, path)),
        }
    }
}

/// Files that earlier cuts left, which a person may look at and remove.
pub fn cuts(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut cuts = Vec::new();
    for entry in dir.read_dir()? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("cut-") {
            cuts.push(entry.path());
        }
    }
    Ok(cuts)
}

/// Appends to the newest segment.
pub struct Journal {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// A segment begins when the current one is longer than this, in bytes.
    segment_max: u64,
    current: Option<Current>,
    next: Seq,
}

struct Current {
    /// Its first entry.
    segment: Seq,
    file: File,
    /// What is kept.
    length: u64,
    /// What is written, synced or not.
    written: u64,
    /// There may be bytes behind `length`; they must go before anything else is written.
    dirty: bool,
    /// A sync failed, so the kernel may have dropped pages of this file without writing them: what was synced before
    /// stays, new entries go to a new file.
    distrusted: bool,
}

impl Journal {
    pub fn new(dir: PathBuf, disk: Arc<dyn Disk>, segment_max: u64, scanned: &Scanned) -> io::Result<Self> {
        let current = match &scanned.last {
            Some((segment, length)) => {
                let file = disk.open(&segment.path, false)?;
                let (segment, length) = (segment.first, *length);
                Some(Current { segment, file, length, written: length, dirty: false, distrusted: false })
            }
            None => None,
        };
        Ok(Self { dir, disk, segment_max, current, next: scanned.next })
    }

    /// The entry that the next append begins with. All before it are durable.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Where the next append will begin: after this, nothing of a failed one is left, and there is room in the segment.
    pub fn prepare(&mut self) -> io::Result<Place> {
        self.repair()?;
        let max = self.segment_max;
        let current = match self.current.take().filter(|c| c.length < max && !c.distrusted) {
            Some(current) => current,
            None => self.begin()?,
        };
        let place = Place { segment: current.segment, offset: current.length };
        self.current = Some(current);
        Ok(place)
    }

    /// Writes encoded frames, from [`Journal::next`] on, where [`Journal::prepare`] said, not yet synced. What is not kept
    /// ([`Journal::keep`]) goes again, at the latest with the next `prepare`.
    pub fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Err(io::Error::other("no segment to append to")) };
        current.dirty = true;
        failpoint::reach("journal.write");
        failpoint::reach_half("journal.torn", || disk::write_half(&*self.disk, &current.file, frames, current.length));
        self.disk.write_at(&current.file, frames, current.length)?;
        current.written = current.length + frames.len() as u64;
        Ok(())
    }

    /// Makes what was written durable.
    pub fn sync(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        current.distrusted = true;
        failpoint::reach("journal.sync");
        self.disk.sync(&current.file)?;
        failpoint::reach("journal.synced");
        current.distrusted = false;
        Ok(())
    }

    /// The `count` frames that were written, and all that they name, are durable: they stay.
    pub fn keep(&mut self, count: u64) {
        if let Some(current) = &mut self.current {
            current.length = current.written;
            current.dirty = false;
        }
        self.next += count;
    }

    /// Cuts off what was written and not kept.
    pub fn repair(&mut self) -> io::Result<()> {
        if let Some(current) = self.current.as_mut().filter(|c| c.dirty) {
            current.written = current.length;
            self.disk.truncate(&current.file, current.length)?;
            current.dirty = false;
        }
        Ok(())
    }

    fn begin(&self) -> io::Result<Current> {
        let segment = Segment::new(&self.dir, self.next);
        let header = segment.header();
        // A file of this name can only be what an earlier attempt left: the entry it is named by does not exist.
        let file = self.disk.open(&segment.path, true)?;
        failpoint::reach("segment.write");
        let made = self
            .disk
            .write_at(&file, &header, 0)
            .and_then(|()| self.disk.sync(&file))
            .inspect(|()| failpoint::reach("segment.sync_dir"))
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .inspect(|()| failpoint::reach("segment.made"));
        if let Err(error) = made {
            disk::remove(&segment.path)?;
            return Err(error);
        }
        let (segment, length) = (segment.first, header.len() as u64);
        Ok(Current { segment, file, length, written: length, dirty: false, distrusted: false })
    }
}
