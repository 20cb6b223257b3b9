//! The file, read by places: a window of it in memory, and a count of all that was read, so that no file makes us read
//! for ever.

use std::io::{Read, Seek, SeekFrom};

use super::Error;

/// What one look at a random place reads.
const WINDOW_BYTES: usize = 4 * 1024;
/// What is read at once while going forward.
const STRIDE_BYTES: usize = 64 * 1024;

/// Where bytes come from: the file, or a decoded object stream.
pub(super) trait Bytes {
    /// The byte at this place; `None` beyond the end.
    fn at(&mut self, place: u64) -> Result<Option<u8>, Error>;
}

pub(super) struct Source<R> {
    inner: R,
    pub len: u64,
    window: Vec<u8>,
    start: u64,
    /// Bytes that may still be read or decoded.
    budget: u64,
    pub spent: u64,
}

impl<R: Read + Seek> Source<R> {
    pub fn new(mut inner: R, budget: impl FnOnce(u64) -> u64) -> Result<Self, Error> {
        let len = inner.seek(SeekFrom::End(0))?;
        Ok(Self { inner, len, window: Vec::new(), start: 0, budget: budget(len), spent: 0 })
    }

    /// Counts work done on `bytes` bytes.
    pub fn spend(&mut self, bytes: u64) -> Result<(), Error> {
        self.spent = self.spent.saturating_add(bytes);
        self.budget = self.budget.checked_sub(bytes).ok_or(Error::Limit("trabajo"))?;
        Ok(())
    }

    /// Reads up to `buffer.len()` bytes from this place; fewer only at the end of the file.
    pub fn read_at(&mut self, place: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let left = usize::try_from(self.len.saturating_sub(place)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        self.spend(wanted as u64)?;
        let Some(buffer) = buffer.get_mut(..wanted) else { return Ok(0) };
        self.inner.seek(SeekFrom::Start(place))?;
        self.inner.read_exact(buffer)?;
        Ok(wanted)
    }

    /// Up to `wanted` bytes from this place, in a new buffer. The caller bounds `wanted`.
    pub fn bytes_at(&mut self, place: u64, wanted: usize) -> Result<Vec<u8>, Error> {
        let left = usize::try_from(self.len.saturating_sub(place)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; wanted.min(left)];
        let read = self.read_at(place, &mut buffer)?;
        buffer.truncate(read);
        Ok(buffer)
    }

    fn refill(&mut self, place: u64) -> Result<(), Error> {
        let forward = !self.window.is_empty() && place == self.start.saturating_add(self.window.len() as u64);
        let size = if forward { STRIDE_BYTES } else { WINDOW_BYTES };
        let mut window = std::mem::take(&mut self.window);
        window.resize(size, 0);
        let read = self.read_at(place, &mut window)?;
        window.truncate(read);
        self.window = window;
        self.start = place;
        Ok(())
    }
}

impl<R: Read + Seek> Bytes for Source<R> {
    fn at(&mut self, place: u64) -> Result<Option<u8>, Error> {
        if place >= self.len {
            return Ok(None);
        }
        let index = place.checked_sub(self.start).and_then(|index| usize::try_from(index).ok());
        if let Some(byte) = index.and_then(|index| self.window.get(index)) {
            return Ok(Some(*byte));
        }
        self.refill(place)?;
        Ok(self.window.first().copied())
    }
}

/// Bytes in memory.
pub(super) struct Slice<'a>(pub &'a [u8]);

impl Bytes for Slice<'_> {
    fn at(&mut self, place: u64) -> Result<Option<u8>, Error> {
        Ok(usize::try_from(place).ok().and_then(|index| self.0.get(index)).copied())
    }
}

/// A piece of the file as a reader.
pub(super) struct Piece<'a, R> {
    pub source: &'a mut Source<R>,
    pub place: u64,
    pub end: u64,
}

impl<R: Read + Seek> Read for Piece<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.place)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..wanted) else { return Ok(0) };
        let read = self.source.read_at(self.place, buffer).map_err(|error| match error {
            Error::Io(error) => error,
            other => std::io::Error::other(other),
        })?;
        self.place = self.place.saturating_add(read as u64);
        Ok(read)
    }
}
