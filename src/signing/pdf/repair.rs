//! When a file's own tables cannot be used: one pass over the file that notes where objects begin. What is found so is
//! shown as repaired, since two viewers may repair differently.

use std::io::{Read, Seek};

use super::{
    Dict, Error, Object,
    lexer::{Lexer, is_space},
    source::{Bytes, Source},
    xref::{Location, Section, Table},
};

/// Objects noted in one pass.
pub(super) const OBJECTS_MAX: usize = 500_000;
/// Trailers looked at.
const TRAILERS_MAX: usize = 64;
const CHUNK_BYTES: usize = 64 * 1024;
/// `1234567890 65535 obj`: bytes kept from one chunk to the next so that no heading is cut in two.
const OVERLAP_BYTES: usize = 64;

/// What the pass found.
pub(super) struct Scan {
    pub section: Section,
    /// Object streams, to be opened by whoever knows how.
    pub streams: Vec<u32>,
}

/// Looks through the whole file. Of two objects with one number the later one counts, as an update means it.
pub(super) fn scan<R: Read + Seek>(source: &mut Source<R>) -> Result<Scan, Error> {
    let places = headings(source)?;
    let mut trailer = Dict::default();
    for place in places.trailers.iter().take(TRAILERS_MAX) {
        if let Ok(Object::Dict(dict)) = Lexer::new(source, *place).object() {
            merge(&mut trailer, &dict);
        }
    }
    let mut streams = Vec::new();
    for (number, location) in &places.objects {
        let Location::At(place) = location else { continue };
        match kind(source, *place) {
            Ok(Some((kind, dict))) => match &*kind {
                b"XRef" => merge(&mut trailer, &dict),
                b"ObjStm" => streams.push(*number),
                b"Catalog" if trailer.get("Root").is_none() => {
                    trailer.set("Root", Object::Ref(super::Ref { number: *number, generation: 0 }));
                }
                _ => {}
            },
            Ok(None) => {}
            Err(error @ (Error::Limit("trabajo") | Error::Io(_))) => return Err(error),
            Err(_) => {}
        }
    }
    let section =
        Section { place: 0, table: Table::Scanned(places.objects), trailer, hybrid: None, end: Some(source.len) };
    Ok(Scan { section, streams })
}

/// Later trailers win, but one without a root says nothing.
fn merge(trailer: &mut Dict, found: &Dict) {
    if found.get("Root").is_none() {
        return;
    }
    for key in ["Root", "Info", "Encrypt", "ID"] {
        if let Some(value) = found.get(key) {
            trailer.set(key, value.clone());
        }
    }
}

struct Places {
    objects: Vec<(u32, Location)>,
    trailers: Vec<u64>,
}

fn headings<R: Read + Seek>(source: &mut Source<R>) -> Result<Places, Error> {
    let mut objects: Vec<(u32, Location)> = Vec::new();
    let mut trailers: Vec<u64> = Vec::new();
    let mut place = 0u64;
    while place < source.len {
        let chunk = source.bytes_at(place, CHUNK_BYTES)?;
        for hit in memchr::memmem::find_iter(&chunk, b"obj") {
            if let Some((number, start)) = heading_before(&chunk, hit) {
                if objects.len() >= OBJECTS_MAX {
                    return Err(Error::Limit("objetos de un archivo dañado"));
                }
                objects.push((number, Location::At(place.saturating_add(start as u64))));
            }
        }
        for hit in memchr::memmem::find_iter(&chunk, b"trailer") {
            trailers.push(place.saturating_add(hit as u64 + 7));
            // The last ones count.
            if trailers.len() > 2 * TRAILERS_MAX {
                trailers.drain(..TRAILERS_MAX);
            }
        }
        if chunk.len() < CHUNK_BYTES {
            break;
        }
        place = place.saturating_add((CHUNK_BYTES - OVERLAP_BYTES) as u64);
    }
    // Stable: of equal numbers the later place stays last, and is the one kept.
    objects.sort_by_key(|(number, _)| *number);
    objects.reverse();
    objects.dedup_by_key(|(number, _)| *number);
    objects.reverse();
    let excess = trailers.len().saturating_sub(TRAILERS_MAX);
    trailers.drain(..excess);
    Ok(Places { objects, trailers })
}

/// The number and the start of the heading `n g obj` whose word stands at `hit`; `None` for `endobj` and the like.
fn heading_before(chunk: &[u8], hit: usize) -> Option<(u32, usize)> {
    if chunk.get(hit + 3).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let (generation_start, _) = number_before(chunk, hit, true)?;
    let (start, number) = number_before(chunk, generation_start, true)?;
    (number <= u64::from(super::xref::OBJECT_NUMBER_MAX)).then_some(())?;
    Some((u32::try_from(number).ok()?, start))
}

/// The digits that end, after some space, right before `end`.
fn number_before(chunk: &[u8], end: usize, spaced: bool) -> Option<(usize, u64)> {
    let before = chunk.get(end.saturating_sub(OVERLAP_BYTES / 2)..end)?;
    let text = before.trim_ascii_end();
    if spaced && text.len() == before.len() {
        return None;
    }
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (rest, digits) = text.split_at(text.len() - digits);
    if digits.is_empty() || digits.len() > 10 || rest.last().is_some_and(|byte| !is_space(*byte) && !rest_ends(rest)) {
        return None;
    }
    let value = digits.iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    Some((end - (before.len() - rest.len()), value))
}

/// Some producers write `endobj12 0 obj`.
fn rest_ends(rest: &[u8]) -> bool {
    rest.ends_with(b"endobj") || rest.ends_with(b">") || rest.ends_with(b"%%EOF")
}

/// The `/Type` of the object that stands here, with its dictionary.
fn kind<R: Read + Seek>(source: &mut Source<R>, place: u64) -> Result<Option<(Vec<u8>, Dict)>, Error> {
    let mut lexer = Lexer::new(source, place);
    if lexer.take_heading()?.is_none() {
        return Ok(None);
    }
    lexer.skip_space()?;
    let place = lexer.place;
    if source.at(place)? != Some(b'<') {
        return Ok(None);
    }
    match Lexer::new(source, place).object()? {
        Object::Dict(dict) => {
            Ok(dict.get("Type").and_then(Object::as_name).map(<[u8]>::to_vec).map(|kind| (kind, dict)))
        }
        _ => Ok(None),
    }
}
