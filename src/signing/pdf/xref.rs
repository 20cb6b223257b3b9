//! The tables that say where objects stand. They are not unfolded in memory: a classic table is read entry by entry where
//! it lies in the file, a stream's is kept as its decoded bytes. So a table costs what its compressed form costs, and the
//! document can be seen as it was before each update: a lookup starts at the section it is told to.

use std::io::{Read, Seek};

use super::{
    Dict, Error, Extent, Indirect, Object,
    lexer::Lexer,
    source::{Bytes, Source},
};

/// Subsections of one table.
const SUBSECTIONS_MAX: usize = 20_000;
/// All that the decoded table streams of one file may take.
pub(super) const TABLES_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The largest object number that PDF readers promise to handle.
pub(super) const OBJECT_NUMBER_MAX: u32 = 8_388_607;

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Location {
    Free,
    At(u64),
    /// Inside this object stream, at this index.
    Within(u32, u32),
}

/// One `xref` table or table stream, with its trailer.
pub(super) struct Section {
    /// Where it stands; `startxref` and `/Prev` name this place.
    pub place: u64,
    pub table: Table,
    pub trailer: Dict,
    /// The table stream that goes with a classic table in a hybrid file.
    pub hybrid: Option<Box<Section>>,
    /// After its `%%EOF` and the line break; `None` if they do not follow it as they should.
    pub end: Option<u64>,
}

pub(super) enum Table {
    Classic(Vec<Rows>),
    Stream {
        ranges: Vec<(u32, u32)>,
        widths: [usize; 3],
        data: Vec<u8>,
    },
    /// Found by looking for objects, because the file's own tables cannot be used; sorted by number.
    Scanned(Vec<(u32, Location)>),
}

/// One subsection of a classic table.
pub(super) struct Rows {
    first: u32,
    count: u32,
    place: u64,
    /// 20, but files with shorter or longer line ends exist.
    width: u8,
}

impl Section {
    pub fn is_stream(&self) -> bool {
        matches!(self.table, Table::Stream { .. })
    }

    /// The numbers it speaks of, as ranges `first..first + count`.
    pub fn ranges(&self) -> Vec<(u32, u32)> {
        let mut ranges = match &self.table {
            Table::Classic(rows) => rows.iter().map(|rows| (rows.first, rows.count)).collect(),
            Table::Stream { ranges, .. } => ranges.clone(),
            Table::Scanned(entries) => entries.iter().map(|(number, _)| (*number, 1)).collect(),
        };
        ranges.extend(self.hybrid.iter().flat_map(|hybrid| hybrid.ranges()));
        ranges
    }

    /// What it says of this object; `None` if it does not speak of it.
    pub fn find<R: Read + Seek>(&self, source: &mut Source<R>, number: u32) -> Result<Option<Location>, Error> {
        let found = self.table.find(source, number)?;
        match (&self.hybrid, found) {
            (Some(hybrid), None | Some(Location::Free)) => Ok(hybrid.find(source, number)?.or(found)),
            _ => Ok(found),
        }
    }
}

impl Table {
    fn find<R: Read + Seek>(&self, source: &mut Source<R>, number: u32) -> Result<Option<Location>, Error> {
        let index_in = |first: u32, count: u32| number.checked_sub(first).filter(|index| *index < count);
        match self {
            Self::Classic(rows) => {
                source.spend(rows.len() as u64)?;
                let found = rows.iter().find_map(|rows| Some((rows, index_in(rows.first, rows.count)?)));
                found.map(|(rows, index)| rows.entry(source, index)).transpose()
            }
            Self::Stream { ranges, widths, data } => {
                source.spend(ranges.len() as u64)?;
                let mut before = 0usize;
                for (first, count) in ranges {
                    if let Some(index) = index_in(*first, *count) {
                        return Ok(stream_entry(data, *widths, before.saturating_add(to_usize(index))));
                    }
                    before = before.saturating_add(to_usize(*count));
                }
                Ok(None)
            }
            Self::Scanned(entries) => Ok(entries
                .binary_search_by_key(&number, |(number, _)| *number)
                .ok()
                .and_then(|index| entries.get(index))
                .map(|(_, location)| *location)),
        }
    }
}

impl Rows {
    fn entry<R: Read + Seek>(&self, source: &mut Source<R>, index: u32) -> Result<Location, Error> {
        let place = self.place.saturating_add(u64::from(index) * u64::from(self.width));
        let wrong = Error::Malformed { place, what: "una fila de la tabla de objetos" };
        let mut digits = 0u64;
        for offset in 0..10 {
            match source.at(place + offset)? {
                Some(digit @ b'0'..=b'9') => digits = digits * 10 + u64::from(digit - b'0'),
                _ => return Err(wrong),
            }
        }
        match source.at(place + 17)? {
            Some(b'n') => Ok(Location::At(digits)),
            Some(b'f') => Ok(Location::Free),
            _ => Err(wrong),
        }
    }
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn stream_entry(data: &[u8], widths: [usize; 3], index: usize) -> Option<Location> {
    let [a, b, c] = widths;
    let start = index.checked_mul(a + b + c)?;
    let row = data.get(start..start.checked_add(a + b + c)?)?;
    let field = |from: usize, width: usize| {
        row.get(from..from + width).unwrap_or_default().iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let kind = if a == 0 { 1 } else { field(0, a) };
    Some(match kind {
        0 => Location::Free,
        1 => Location::At(field(a, b)),
        2 => Location::Within(u32::try_from(field(a, b)).ok()?, u32::try_from(field(a + b, c)).ok()?),
        // Unknown kinds are references to null.
        _ => Location::Free,
    })
}

/// A classic table, from after the word `xref`.
pub(super) fn classic<R: Read + Seek>(source: &mut Source<R>, place: u64, after: u64) -> Result<Section, Error> {
    let mut rows = Vec::new();
    let mut at = after;
    loop {
        let mut lexer = Lexer::new(source, at);
        if lexer.take_word(b"trailer")? {
            at = lexer.place;
            break;
        }
        let (Some(first), Some(count)) = (lexer.take_number()?, lexer.take_number()?) else {
            return Err(Error::Malformed { place: lexer.place, what: "la tabla de objetos" });
        };
        lexer.skip_blanks()?;
        let start = lexer.place;
        let (first, count) = small(first, count).ok_or(Error::Limit("números de objeto"))?;
        if rows.len() >= SUBSECTIONS_MAX {
            return Err(Error::Limit("secciones de la tabla de objetos"));
        }
        let width = if count == 0 { 20 } else { row_width(source, start)? };
        rows.push(Rows { first, count, place: start, width });
        at = start.saturating_add(u64::from(count) * u64::from(width));
    }
    let mut lexer = Lexer::new(source, at);
    let object = lexer.object()?;
    let after = lexer.place;
    let Object::Dict(trailer) = object else {
        return Err(Error::Malformed { place: at, what: "el trailer" });
    };
    let end = end_of_section(source, after)?;
    Ok(Section { place, table: Table::Classic(rows), trailer, hybrid: None, end })
}

fn small(first: u64, count: u64) -> Option<(u32, u32)> {
    let last = first.checked_add(count)?;
    (last <= u64::from(OBJECT_NUMBER_MAX) + 1).then_some(())?;
    Some((u32::try_from(first).ok()?, u32::try_from(count).ok()?))
}

/// The bytes of one row, from its first one: ten digits, a space, five digits, a space, a letter and the line's end.
fn row_width<R: Read + Seek>(source: &mut Source<R>, start: u64) -> Result<u8, Error> {
    let mut width = 18u8;
    while width < 20 && source.at(start + u64::from(width))?.is_some_and(super::lexer::is_space) {
        width += 1;
    }
    if width > 18 { Ok(width) } else { Err(Error::Malformed { place: start, what: "una fila de la tabla de objetos" }) }
}

/// A table stream, already read as an object and decoded.
pub(super) fn stream(place: u64, object: &Indirect, data: Vec<u8>, end: Option<u64>) -> Result<Section, Error> {
    let wrong = Error::Malformed { place, what: "la tabla de objetos en flujo" };
    let Object::Dict(dict) = &object.value else { return Err(wrong) };
    let widths: Vec<usize> = dict
        .get("W")
        .and_then(Object::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|width| width.as_u64().and_then(|width| usize::try_from(width).ok()).filter(|width| *width <= 8))
        .collect();
    let Ok(widths) = <[usize; 3]>::try_from(widths) else { return Err(wrong) };
    if widths[1] == 0 {
        return Err(wrong);
    }
    let size = dict.get("Size").and_then(Object::as_u64).unwrap_or(0);
    let numbers: Vec<u64> = match dict.get("Index").and_then(Object::as_array) {
        Some(items) => items.iter().filter_map(Object::as_u64).collect(),
        None => vec![0, size],
    };
    if numbers.len() > SUBSECTIONS_MAX {
        return Err(Error::Limit("secciones de la tabla de objetos"));
    }
    let mut ranges = Vec::new();
    for pair in numbers.chunks_exact(2) {
        if let [first, count] = pair {
            ranges.push(small(*first, *count).ok_or(Error::Limit("números de objeto"))?);
        }
    }
    Ok(Section { place, table: Table::Stream { ranges, widths, data }, trailer: dict.clone(), hybrid: None, end })
}

/// `startxref`, a number, `%%EOF` and at most one line break must follow a section; gives the place after them.
pub(super) fn end_of_section<R: Read + Seek>(source: &mut Source<R>, place: u64) -> Result<Option<u64>, Error> {
    let mut lexer = Lexer::new(source, place);
    if !lexer.take_word(b"startxref")? || lexer.take_number()?.is_none() {
        return Ok(None);
    }
    lexer.skip_blanks()?;
    if !lexer.take(b"%%EOF")? {
        return Ok(None);
    }
    if !lexer.take(b"\r\n")? && !lexer.take(b"\n")? {
        lexer.take(b"\r")?;
    }
    Ok(Some(lexer.place))
}

/// Where a section's own bytes lie, as far as it is known: used to order updates.
pub(super) fn extent(section: &Section) -> Extent {
    Extent { start: section.place, end: section.end.unwrap_or(section.place) }
}
