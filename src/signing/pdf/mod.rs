//! A PDF reader for examiners and for incremental updates: lazy, bounded, over anything that reads and seeks. It never
//! holds the file, unfolds no table, does not recurse on what it reads, and counts its work, so a hostile file costs no more
//! than an honest one. Synchronous: async callers use `spawn_blocking`. Knows nothing of signatures; uses nothing of ours.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{self, Read, Seek},
    sync::Arc,
};

mod filter;
mod lexer;
mod object;
mod open;
mod repair;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod xref;

pub use object::{Dict, Entry, Extent, Indirect, Object, Ref};
pub use tree::{Page, PageCount, Pages};

use lexer::Lexer;
use source::{Piece, Slice, Source};
use xref::{Location, Section};

/// Decoded bytes of one object stream.
const OBJECT_STREAM_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Decoded object streams kept, so that neighbours do not decode them again.
const OBJECT_STREAMS_KEPT: usize = 2;
/// Objects that one object stream may hold.
const OBJECT_STREAM_OBJECTS_MAX: u64 = 100_000;
/// References that lead to references.
const INDIRECTION_MAX: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("el archivo no se pudo leer: {0}")]
    Io(io::Error),
    #[error("el archivo no es un PDF: no tiene la cabecera %PDF al comienzo")]
    NotPdf,
    #[error("el PDF está dañado en el byte {place}: {what}")]
    Malformed { place: u64, what: &'static str },
    #[error("el PDF usa algo que no se lee aquí: {0}")]
    Unsupported(&'static str),
    #[error("el PDF pasa un límite del examen: {0}")]
    Limit(&'static str),
    #[error("el PDF no tiene {0}")]
    Missing(&'static str),
}

impl From<io::Error> for Error {
    /// Takes our own error out of one that had to pass through a reader.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Self::Io(error),
        }
    }
}

impl Error {
    /// Not the file's fault in this place: the whole reading ends.
    pub fn ends_all(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Limit("trabajo"))
    }
}

/// What was saved at once: the original document, or one incremental update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// First section, counted from the newest one.
    section: usize,
    sections: usize,
    /// Where its last `%%EOF` ends, line break included; `None` if its end is not as it must be.
    pub end: Option<u64>,
    /// Where its (newest) table stands.
    pub table: u64,
}

pub struct Pdf<R> {
    source: Source<R>,
    /// Bytes before `%PDF`.
    header: u64,
    startxref: u64,
    /// Newest first.
    sections: Vec<Section>,
    /// Oldest first; never empty.
    revisions: Vec<Revision>,
    repaired: Option<Error>,
    streams: VecDeque<(u64, Arc<ObjectStream>)>,
}

struct ObjectStream {
    data: Vec<u8>,
    /// Number and place in `data` of each object.
    objects: Vec<(u32, u64)>,
    at: Extent,
}

impl<R: Read + Seek> Pdf<R> {
    pub fn byte_count(&self) -> u64 {
        self.source.len
    }

    /// Bytes that stand before `%PDF`.
    pub fn bytes_before_header(&self) -> u64 {
        self.header
    }

    /// The place that the file's last `startxref` names: `/Prev` of the next update.
    pub fn startxref(&self) -> u64 {
        self.startxref
    }

    /// Whether the newest table is a stream, so that an update must add a stream too.
    pub fn newest_table_is_stream(&self) -> bool {
        self.sections.first().is_some_and(Section::is_stream)
    }

    /// Whether a classic table and a stream stand side by side: two kinds of viewers may see two documents.
    pub fn is_hybrid(&self) -> bool {
        self.sections.iter().any(|section| section.hybrid.is_some())
    }

    /// Why the file's own tables could not be used and the file was searched instead.
    pub fn repaired(&self) -> Option<&Error> {
        self.repaired.as_ref()
    }

    /// Oldest first; never empty. One only, when the file was repaired.
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    pub fn newest(&self) -> usize {
        self.revisions.len().saturating_sub(1)
    }

    /// The newest trailer.
    pub fn trailer(&self) -> Result<&Dict, Error> {
        self.trailer_at(self.newest())
    }

    /// The trailer as it was after this revision.
    pub fn trailer_at(&self, revision: usize) -> Result<&Dict, Error> {
        let section = self.first_section(revision).and_then(|section| self.sections.get(section));
        section.map(|section| &section.trailer).ok_or(Error::Missing("trailer"))
    }

    pub fn encrypted(&self) -> bool {
        self.sections.iter().any(|section| section.trailer.get("Encrypt").is_some_and(|e| *e != Object::Null))
    }

    /// The largest object number that any table names: an update takes the ones above it.
    pub fn highest_number(&self) -> u32 {
        let named = self.sections.iter().flat_map(Section::ranges);
        let highest = named.map(|(first, count)| first.saturating_add(count).saturating_sub(1)).max().unwrap_or(0);
        let sizes = self.sections.iter().filter_map(|section| section.trailer.get("Size").and_then(Object::as_u64));
        let size = sizes.filter_map(|size| u32::try_from(size.saturating_sub(1)).ok()).max().unwrap_or(0);
        highest.max(size.min(xref::OBJECT_NUMBER_MAX))
    }

    /// Bytes read and decoded so far: what the examination has cost.
    pub fn work(&self) -> u64 {
        self.source.spent
    }

    /// Reads the file itself, as a signature's digest does.
    pub fn read_at(&mut self, place: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.source.read_at(place, buffer)
    }

    fn first_section(&self, revision: usize) -> Option<usize> {
        self.revisions.get(revision).map(|revision| revision.section)
    }

    /// The numbers of which this revision's own tables speak, each once, at most `limit`.
    pub fn numbers_in(&self, revision: usize, limit: usize) -> Result<BTreeSet<u32>, Error> {
        let mut numbers = BTreeSet::new();
        let Some(revision) = self.revisions.get(revision) else { return Ok(numbers) };
        for section in self.sections.iter().skip(revision.section).take(revision.sections) {
            for (first, count) in section.ranges() {
                for number in first..first.saturating_add(count) {
                    if numbers.len() >= limit {
                        return Err(Error::Limit("objetos de una revisión"));
                    }
                    numbers.insert(number);
                }
            }
        }
        Ok(numbers)
    }

    fn locate(&mut self, number: u32, revision: usize) -> Result<Location, Error> {
        let first = self.first_section(revision).ok_or(Error::Missing("esa revisión"))?;
        for section in self.sections.iter().skip(first) {
            if let Some(location) = section.find(&mut self.source, number)? {
                return Ok(location);
            }
        }
        Ok(Location::Free)
    }

    /// An object as it is now; `None` if there is none under this number.
    pub fn object(&mut self, id: Ref) -> Result<Option<Indirect>, Error> {
        self.object_at(id, self.newest())
    }

    /// An object as it was after this revision.
    pub fn object_at(&mut self, id: Ref, revision: usize) -> Result<Option<Indirect>, Error> {
        let found = self.fetch(id.number, revision, 0)?;
        Ok(found.filter(|found| found.id.generation == id.generation || found.within.is_some()))
    }

    /// An object of this number, whatever its generation, as it was after this revision.
    pub fn numbered_at(&mut self, number: u32, revision: usize) -> Result<Option<Indirect>, Error> {
        self.fetch(number, revision, 0)
    }

    fn fetch(&mut self, number: u32, revision: usize, depth: usize) -> Result<Option<Indirect>, Error> {
        if depth > INDIRECTION_MAX {
            return Err(Error::Limit("referencias una tras otra"));
        }
        match self.locate(number, revision)? {
            Location::Free | Location::At(0) => Ok(None),
            // A table that tells of what did not exist yet is none.
            Location::At(place)
                if self.revisions.get(revision).is_some_and(|r| r.end.is_some_and(|end| place >= end)) =>
            {
                Err(Error::Malformed { place, what: "la tabla de objetos señala más allá de su propio fin" })
            }
            Location::At(place) => {
                let found = self.indirect(place, revision, depth)?;
                if found.id.number == number {
                    return Ok(Some(found));
                }
                Err(Error::Malformed { place, what: "la tabla de objetos señala otro objeto" })
            }
            Location::Within(stream, _) => self.compressed(number, stream, revision, depth),
        }
    }

    /// The object that stands at this place of the file.
    fn indirect(&mut self, place: u64, revision: usize, depth: usize) -> Result<Indirect, Error> {
        let mut lexer = Lexer::new(&mut self.source, place);
        let Some(id) = lexer.take_heading()? else {
            return Err(Error::Malformed { place, what: "se esperaba el comienzo de un objeto" });
        };
        let value = lexer.object()?;
        let after_value = lexer.place;
        if !lexer.take_word(b"stream")? {
            // A missing `endobj` is common and hides nothing.
            lexer.take_word(b"endobj")?;
            let at = Extent { start: place, end: lexer.place };
            return Ok(Indirect { id, value, stream: None, at, within: None });
        }
        let Object::Dict(dict) = &value else {
            return Err(Error::Malformed { place: after_value, what: "un flujo sin diccionario" });
        };
        if !lexer.take(b"\r\n")? && !lexer.take(b"\n")? {
            lexer.take(b"\r")?;
        }
        let start = lexer.place;
        let length = dict.get("Length").cloned();
        let length = match length {
            Some(Object::Ref(id)) => self.fetch(id.number, revision, depth + 1)?.and_then(|found| found.value.as_u64()),
            other => other.and_then(|length| length.as_u64()),
        };
        let (stream, end) = self.stream_extent(start, length)?;
        Ok(Indirect { id, value, stream: Some(stream), at: Extent { start: place, end }, within: None })
    }

    /// Where a stream ends: where its length says, if `endstream` follows there; else at the next `endstream`.
    fn stream_extent(&mut self, start: u64, length: Option<u64>) -> Result<(Extent, u64), Error> {
        if let Some(end) = length.and_then(|length| start.checked_add(length)).filter(|end| *end <= self.source.len) {
            let mut lexer = Lexer::new(&mut self.source, end);
            lexer.skip_blanks()?;
            if lexer.take(b"endstream")? {
                lexer.take_word(b"endobj")?;
                return Ok((Extent { start, end }, lexer.place));
            }
        }
        let end = self.find(start, b"endstream")?;
        let end = end.ok_or(Error::Malformed { place: start, what: "un flujo sin fin" })?;
        Ok((Extent { start, end }, end.saturating_add(9)))
    }

    /// The next place, from `start` on, where these bytes stand.
    fn find(&mut self, start: u64, wanted: &[u8]) -> Result<Option<u64>, Error> {
        const CHUNK_BYTES: usize = 64 * 1024;
        let mut place = start;
        loop {
            let chunk = self.source.bytes_at(place, CHUNK_BYTES)?;
            if let Some(hit) = memchr::memmem::find(&chunk, wanted) {
                return Ok(Some(place.saturating_add(hit as u64)));
            }
            if chunk.len() < CHUNK_BYTES {
                return Ok(None);
            }
            place = place.saturating_add((CHUNK_BYTES - wanted.len()) as u64);
        }
    }

    fn compressed(
        &mut self,
        number: u32,
        stream: u32,
        revision: usize,
        depth: usize,
    ) -> Result<Option<Indirect>, Error> {
        let holder = self.object_stream(stream, revision, depth)?;
        let Some((_, start)) = holder.objects.iter().find(|(n, _)| *n == number) else { return Ok(None) };
        let mut slice = Slice(&holder.data);
        let mut lexer = Lexer::new(&mut slice, *start);
        let value = lexer.object()?;
        let read = lexer.place.saturating_sub(*start);
        self.source.spend(read)?;
        let id = Ref { number, generation: 0 };
        Ok(Some(Indirect { id, value, stream: None, at: holder.at, within: Some(stream) }))
    }

    fn object_stream(&mut self, number: u32, revision: usize, depth: usize) -> Result<Arc<ObjectStream>, Error> {
        let wrong = |place| Error::Malformed { place, what: "un flujo de objetos" };
        let Location::At(place) = self.locate(number, revision)? else { return Err(wrong(0)) };
        if let Some((_, kept)) = self.streams.iter().find(|(at, _)| *at == place) {
            return Ok(Arc::clone(kept));
        }
        let object = self.indirect(place, revision, depth + 1)?;
        let Object::Dict(dict) = &object.value else { return Err(wrong(place)) };
        let count = dict.get("N").and_then(Object::as_u64).filter(|count| *count <= OBJECT_STREAM_OBJECTS_MAX);
        let (Some(count), Some(first)) = (count, dict.get("First").and_then(Object::as_u64)) else {
            return Err(wrong(place));
        };
        let data = self.decoded(&object, OBJECT_STREAM_BYTES_MAX)?;
        let mut slice = Slice(&data);
        let mut lexer = Lexer::new(&mut slice, 0);
        let mut objects = Vec::new();
        for _ in 0..count {
            let (Some(number), Some(offset)) = (lexer.take_number()?, lexer.take_number()?) else { break };
            objects.push((u32::try_from(number).map_err(|_| wrong(place))?, first.saturating_add(offset)));
        }
        let holder = Arc::new(ObjectStream { data, objects, at: object.at });
        if self.streams.len() >= OBJECT_STREAMS_KEPT {
            self.streams.pop_front();
        }
        self.streams.push_back((place, Arc::clone(&holder)));
        Ok(holder)
    }

    /// A stream's bytes with its filters undone, at most `limit` of them.
    pub fn decoded(&mut self, object: &Indirect, limit: usize) -> Result<Vec<u8>, Error> {
        let (Object::Dict(dict), Some(stream)) = (&object.value, object.stream) else {
            return Err(Error::Malformed { place: object.at.start, what: "se esperaba un flujo" });
        };
        let filters = filter::filters(dict)?;
        let mut piece = Piece { source: &mut self.source, place: stream.start, end: stream.end };
        let data = filter::decode(&mut piece, &filters, limit)?;
        self.source.spend(data.len() as u64)?;
        Ok(data)
    }

    /// Follows references until something else is found; null if they lead nowhere.
    pub fn resolve(&mut self, object: &Object) -> Result<Object, Error> {
        self.resolve_at(object, self.newest())
    }

    pub fn resolve_at(&mut self, object: &Object, revision: usize) -> Result<Object, Error> {
        let mut object = object.clone();
        for _ in 0..INDIRECTION_MAX {
            let Object::Ref(id) = object else { return Ok(object) };
            object = self.object_at(id, revision)?.map_or(Object::Null, |found| found.value);
        }
        Err(Error::Limit("referencias una tras otra"))
    }

    /// The value under a key, resolved.
    pub fn value_at(&mut self, dict: &Dict, key: &str, revision: usize) -> Result<Object, Error> {
        match dict.get(key) {
            Some(value) => self.resolve_at(&value.clone(), revision),
            None => Ok(Object::Null),
        }
    }

    pub fn value(&mut self, dict: &Dict, key: &str) -> Result<Object, Error> {
        self.value_at(dict, key, self.newest())
    }
}
