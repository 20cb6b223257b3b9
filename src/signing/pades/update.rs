//! An incremental update of a PDF: new and changed objects that go after the file as it is, with the table that makes them
//! part of it. Not a byte of the file changes, so earlier signatures stay whole.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, Write},
};

use super::PadesError;
use crate::signing::pdf::{Dict, Object, Pdf, Ref};

/// Highest object number that readers take.
const NUMBER_MAX: u32 = 8_388_607;

pub struct Update {
    /// Where it begins: the length of the file.
    base: u64,
    next: u32,
    body: Vec<u8>,
    /// By number: generation and place in the file.
    places: BTreeMap<u32, (u16, u64)>,
    trailer: Dict,
    previous: u64,
    table_is_stream: bool,
}

impl Update {
    pub fn new<R: Read + Seek>(pdf: &Pdf<R>) -> Result<Self, PadesError> {
        let mut trailer = pdf.trailer()?.clone();
        let of_the_table =
            ["Size", "Prev", "XRefStm", "Type", "W", "Index", "Length", "Filter", "DecodeParms", "DL", "F", "FFilter"];
        of_the_table.iter().for_each(|key| trailer.remove(key));
        Ok(Self {
            base: pdf.byte_count(),
            next: pdf.highest_number().saturating_add(1),
            // The file may end without a line break.
            body: b"\n".to_vec(),
            places: BTreeMap::new(),
            trailer,
            previous: pdf.startxref(),
            table_is_stream: pdf.newest_table_is_stream(),
        })
    }

    /// A number nobody has yet.
    pub fn reserve(&mut self) -> Result<Ref, PadesError> {
        let number = self.next;
        if number > NUMBER_MAX {
            return Err(PadesError::Damaged("usa números de objeto fuera de lo permitido".into()));
        }
        self.next += 1;
        Ok(Ref { number, generation: 0 })
    }

    pub fn put(&mut self, id: Ref, value: &Object) {
        self.open(id);
        value.write(&mut self.body);
        self.close();
    }

    pub fn put_stream(&mut self, id: Ref, mut dict: Dict, bytes: &[u8]) {
        dict.set("Length", Object::Int(i64::try_from(bytes.len()).unwrap_or(i64::MAX)));
        self.open(id);
        dict.write(&mut self.body);
        self.body.extend_from_slice(b"\nstream\n");
        self.body.extend_from_slice(bytes);
        self.body.extend_from_slice(b"\nendstream");
        self.close();
    }

    /// Writes an object as it is given. Returns where its bytes begin in the update.
    pub fn put_raw(&mut self, id: Ref, bytes: &[u8]) -> usize {
        self.open(id);
        let place = self.body.len();
        self.body.extend_from_slice(bytes);
        self.close();
        place
    }

    fn here(&self) -> u64 {
        self.base.saturating_add(self.body.len() as u64)
    }

    fn open(&mut self, id: Ref) {
        self.places.insert(id.number, (id.generation, self.here()));
        writeln!(self.body, "{} {} obj", id.number, id.generation).ok(); // a Vec takes all
    }

    fn close(&mut self) {
        self.body.extend_from_slice(b"\nendobj\n");
    }

    /// Ends it with its table. `mark` makes this state of the file another one in the trailer's `/ID`.
    pub fn finish(mut self, mark: &[u8; 16]) -> Result<Vec<u8>, PadesError> {
        if let Some(Object::Array(ids)) = self.trailer.get("ID")
            && let [first, _] = ids.as_slice()
        {
            let second = Object::String { bytes: mark.to_vec(), hex: true };
            self.trailer.set("ID", Object::Array(vec![first.clone(), second]));
        }
        self.trailer.set("Prev", Object::Int(i64::try_from(self.previous).unwrap_or(i64::MAX)));
        let table = if self.table_is_stream { self.stream_table()? } else { self.classic_table() };
        write!(self.body, "startxref\n{table}\n%%EOF\n").ok();
        Ok(self.body)
    }

    /// Numbers in a row, as tables list them: first number and how many.
    fn runs(&self) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for number in self.places.keys() {
            match runs.last_mut() {
                Some((first, count)) if first.saturating_add(*count) == *number => *count += 1,
                _ => runs.push((*number, 1)),
            }
        }
        runs
    }

    fn classic_table(&mut self) -> u64 {
        let place = self.here();
        self.body.extend_from_slice(b"xref\n");
        for (first, count) in self.runs() {
            writeln!(self.body, "{first} {count}").ok();
            for (generation, at) in self.places.range(first..first.saturating_add(count)).map(|(_, entry)| entry) {
                // 20 bytes each, line break included.
                write!(self.body, "{at:010} {generation:05} n\r\n").ok();
            }
        }
        self.trailer.set("Size", Object::Int(i64::from(self.next)));
        self.body.extend_from_slice(b"trailer\n");
        self.trailer.write(&mut self.body);
        self.body.push(b'\n');
        place
    }

    fn stream_table(&mut self) -> Result<u64, PadesError> {
        let id = self.reserve()?;
        let place = self.here();
        self.places.insert(id.number, (0, place));
        let mut data = Vec::new();
        for (generation, at) in self.places.values() {
            data.push(1);
            data.extend_from_slice(&at.to_be_bytes());
            data.extend_from_slice(&generation.to_be_bytes());
        }
        let runs = self.runs().into_iter().flat_map(|(first, count)| [first, count]);
        let mut dict = self.trailer.clone();
        dict.set("Type", Object::Name(b"XRef".to_vec()));
        dict.set("Size", Object::Int(i64::from(self.next)));
        dict.set("Index", Object::Array(runs.map(|n| Object::Int(i64::from(n))).collect()));
        dict.set("W", Object::Array([1, 8, 2].map(Object::Int).into()));
        self.put_stream(id, dict, &data);
        Ok(place)
    }
}
