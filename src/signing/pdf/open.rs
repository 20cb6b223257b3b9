//! Finding a file's tables, from its end back to its first revision.

use std::{
    collections::HashSet,
    io::{Read, Seek},
};

use super::{
    Error, Object, Pdf, Revision,
    lexer::Lexer,
    repair,
    source::{Slice, Source},
    xref::{self, Location, OBJECT_NUMBER_MAX, Section, TABLES_BYTES_MAX, Table},
};

/// Where `%PDF` may begin.
const HEADER_BYTES: usize = 1024;
/// Where the last `startxref` is looked for, from the end. Some producers append zeros.
const TAIL_BYTES: usize = 64 * 1024;
/// Tables one before the other: an update each. Files that were annotated for years have a few dozen.
const SECTIONS_MAX: usize = 512;
/// Work allowed: this many times the file, and [`WORK_BYTES`] besides.
const WORK_TIMES_FILE: u64 = 10;
const WORK_BYTES: u64 = 64 * 1024 * 1024;

impl<R: Read + Seek> Pdf<R> {
    pub fn open(inner: R) -> Result<Self, Error> {
        let source = Source::new(inner, |len| len.saturating_mul(WORK_TIMES_FILE).saturating_add(WORK_BYTES))?;
        let mut pdf = Self {
            source,
            header: 0,
            startxref: 0,
            sections: Vec::new(),
            revisions: Vec::new(),
            repaired: None,
            streams: std::collections::VecDeque::new(),
        };
        let head = pdf.source.bytes_at(0, HEADER_BYTES)?;
        pdf.header = memchr::memmem::find(&head, b"%PDF-").ok_or(Error::NotPdf)? as u64;
        match pdf.chain() {
            Ok(()) => {}
            Err(error) if error.ends_all() => return Err(error),
            Err(error) => pdf.repair(error)?,
        }
        Ok(pdf)
    }

    /// Reads the tables one after the other, newest first, and checks that they lead to a document.
    fn chain(&mut self) -> Result<(), Error> {
        self.startxref = self.last_startxref()?;
        let mut seen = HashSet::new();
        let mut room = TABLES_BYTES_MAX;
        let mut next = Some(self.startxref);
        while let Some(place) = next {
            if !seen.insert(place) {
                return Err(Error::Malformed { place, what: "las tablas de objetos forman un círculo" });
            }
            if self.sections.len() >= SECTIONS_MAX {
                return Err(Error::Limit("revisiones"));
            }
            let mut section = self.section(place, &mut room)?;
            if let Some(beside) = section.trailer.get("XRefStm").and_then(Object::as_u64) {
                if !seen.insert(beside) {
                    return Err(Error::Malformed { place, what: "las tablas de objetos forman un círculo" });
                }
                section.hybrid = Some(Box::new(self.section(beside, &mut room)?));
            }
            next = match section.trailer.get("Prev") {
                None | Some(Object::Null) => None,
                Some(value) => {
                    Some(value.as_u64().ok_or(Error::Malformed { place, what: "el /Prev de una tabla de objetos" })?)
                }
            };
            self.sections.push(section);
        }
        self.group();
        self.sound_root()
    }

    /// A table that does not lead to the catalog is as good as none.
    fn sound_root(&mut self) -> Result<(), Error> {
        let root = self.trailer()?.get("Root").cloned().ok_or(Error::Missing("catálogo"))?;
        match self.resolve(&root)? {
            Object::Dict(_) => Ok(()),
            _ => Err(Error::Missing("catálogo")),
        }
    }

    fn last_startxref(&mut self) -> Result<u64, Error> {
        let from = self.source.len.saturating_sub(TAIL_BYTES as u64);
        let tail = self.source.bytes_at(from, TAIL_BYTES)?;
        let hit = memchr::memmem::rfind(&tail, b"startxref").ok_or(Error::Missing("startxref"))?;
        let mut slice = Slice(&tail);
        Lexer::new(&mut slice, hit as u64 + 9).take_number()?.ok_or(Error::Missing("startxref"))
    }

    fn section(&mut self, place: u64, room: &mut usize) -> Result<Section, Error> {
        let mut lexer = Lexer::new(&mut self.source, place);
        if lexer.take_word(b"xref")? {
            let after = lexer.place;
            return xref::classic(&mut self.source, place, after);
        }
        // Nothing can be located yet: the length of a table stream must be written in it.
        let object = self.indirect(place, usize::MAX, 0)?;
        if !object.value.as_dict().and_then(|dict| dict.get("Type")).is_some_and(|kind| kind.is_name("XRef")) {
            return Err(Error::Malformed { place, what: "se esperaba una tabla de objetos" });
        }
        let data = self.decoded(&object, *room)?;
        *room -= data.len().min(*room);
        let end = xref::end_of_section(&mut self.source, object.at.end)?;
        xref::stream(place, &object, data, end)
    }

    /// Groups tables into revisions. The original of a linearized file has two: the newer one stands before the older.
    fn group(&mut self) {
        let places: Vec<_> = self.sections.iter().map(xref::extent).collect();
        let mut revisions = Vec::new();
        let mut index = 0;
        while let Some(this) = places.get(index) {
            let original = places.get(index + 1).filter(|next| index + 2 == places.len() && next.start > this.start);
            let sections = if original.is_some() { 2 } else { 1 };
            let ends = self.sections.iter().skip(index).take(sections).map(|section| section.end);
            let end = ends.max().flatten();
            revisions.push(Revision { section: index, sections, end, table: this.start });
            index += sections;
        }
        revisions.reverse();
        self.revisions = revisions;
    }

    /// Looks for objects through the whole file.
    fn repair(&mut self, why: Error) -> Result<(), Error> {
        let scan = repair::scan(&mut self.source)?;
        self.sections = vec![scan.section];
        self.revisions = vec![Revision { section: 0, sections: 1, end: None, table: 0 }];
        self.streams.clear();
        self.repaired = Some(why);
        self.unpack(&scan.streams)?;
        match self.sound_root() {
            Ok(()) => Ok(()),
            Err(error) if error.ends_all() => Err(error),
            Err(_) => Err(Error::Missing("un catálogo que se pueda hallar")),
        }
    }

    /// Adds what object streams hold to what the scan found.
    fn unpack(&mut self, streams: &[u32]) -> Result<(), Error> {
        let mut found = Vec::new();
        for stream in streams {
            match self.object_stream(*stream, 0, 0) {
                Ok(holder) => {
                    let within = (0u32..).zip(&holder.objects);
                    found.extend(
                        within
                            .filter(|(_, (number, _))| *number <= OBJECT_NUMBER_MAX)
                            .map(|(index, (number, _))| (*number, Location::Within(*stream, index))),
                    );
                }
                Err(error) if error.ends_all() => return Err(error),
                Err(_) => {}
            }
            if found.len() > repair::OBJECTS_MAX {
                return Err(Error::Limit("objetos de un archivo dañado"));
            }
        }
        let catalog = self.sections.first().is_some_and(|section| section.trailer.get("Root").is_none());
        if let Some(Section { table: Table::Scanned(entries), .. }) = self.sections.first_mut() {
            entries.extend(found.iter().copied());
            entries.sort_by_key(|(number, _)| *number);
            // An object that stands by itself comes first and is kept.
            entries.dedup_by_key(|(number, _)| *number);
        }
        if catalog {
            self.catalog_within(&found)?;
        }
        Ok(())
    }

    /// The catalog of a file whose trailer is lost, when it lies in an object stream.
    fn catalog_within(&mut self, found: &[(u32, Location)]) -> Result<(), Error> {
        for (number, _) in found {
            let id = super::Ref { number: *number, generation: 0 };
            let object = match self.object(id) {
                Ok(object) => object,
                Err(error) if error.ends_all() => return Err(error),
                Err(_) => continue,
            };
            let dict = object.as_ref().and_then(|object| object.value.as_dict());
            if dict.and_then(|dict| dict.get("Type")).is_some_and(|kind| kind.is_name("Catalog"))
                && let Some(section) = self.sections.first_mut()
            {
                section.trailer.set("Root", Object::Ref(id));
                return Ok(());
            }
        }
        Ok(())
    }
}
