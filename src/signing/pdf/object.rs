//! The objects of a PDF, as they stand in the file: nothing resolved, nothing decoded.

use std::io::Write;

/// Names an indirect object: number and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref {
    pub number: u32,
    pub generation: u16,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    Null,
    Bool(bool),
    Int(i64),
    Real(f64),
    /// Decoded bytes; `hex` says which of the two ways it is written.
    String {
        bytes: Vec<u8>,
        hex: bool,
    },
    /// Without its slash, `#xx` decoded.
    Name(Vec<u8>),
    Array(Vec<Object>),
    Dict(Dict),
    Ref(Ref),
}

/// The entries in the order of the file, repeated keys included: two values under one key is how a file shows one thing
/// to a viewer and another to an examiner.
#[derive(Debug, Clone, Default)]
pub struct Dict {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub key: Vec<u8>,
    pub value: Object,
    /// Where the value stands, in bytes of the file (or of the object stream that holds it): `start..end`.
    pub start: u64,
    pub end: u64,
}

impl PartialEq for Dict {
    /// Equal in keys and values, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len()
            && self.entries.iter().all(|e| other.entries.iter().any(|o| o.key == e.key && o.value == e.value))
    }
}

/// An object with its number, as found at one place.
#[derive(Debug, Clone)]
pub struct Indirect {
    pub id: Ref,
    pub value: Object,
    /// Where its stream's bytes lie in the file, if it has one.
    pub stream: Option<Extent>,
    /// Where it stands in the file. For an object inside an object stream, where that stream stands.
    pub at: Extent,
    /// The object stream that holds it; then the spans of its entries are within that stream, not the file.
    pub within: Option<u32>,
}

/// A piece of the file: `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub start: u64,
    pub end: u64,
}

impl Extent {
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl Object {
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A number that can be a place or a size.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|value| u64::try_from(value).ok())
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[allow(clippy::cast_precision_loss)] // a length on a page
            Self::Int(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_name(&self) -> Option<&[u8]> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::String { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Object]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_dict(&self) -> Option<&Dict> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    pub fn as_ref(&self) -> Option<Ref> {
        match self {
            Self::Ref(id) => Some(*id),
            _ => None,
        }
    }

    pub fn is_name(&self, name: &str) -> bool {
        self.as_name() == Some(name.as_bytes())
    }

    /// Every reference in it, at any depth.
    pub fn references(&self, out: &mut Vec<Ref>) {
        match self {
            Self::Ref(id) => out.push(*id),
            Self::Array(items) => items.iter().for_each(|item| item.references(out)),
            Self::Dict(dict) => dict.iter().for_each(|entry| entry.value.references(out)),
            _ => {}
        }
    }

    /// Appends it in PDF's syntax.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Int(value) => put(out, format_args!("{value}")),
            Self::Real(value) => put(out, format_args!("{value}")),
            Self::String { bytes, hex } => write_string(bytes, *hex, out),
            Self::Name(name) => write_name(name, out),
            Self::Ref(id) => put(out, format_args!("{} {} R", id.number, id.generation)),
            Self::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Self::Dict(dict) => dict.write(out),
        }
    }
}

impl Dict {
    /// The first value under this key: what most viewers take when it is repeated.
    pub fn get(&self, key: &str) -> Option<&Object> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key.as_bytes())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How often this key stands here; more than once is a fault.
    pub fn count(&self, key: &str) -> usize {
        self.entries.iter().filter(|entry| entry.key == key.as_bytes()).count()
    }

    /// The first key that stands here more than once.
    pub fn repeated(&self) -> Option<&[u8]> {
        let mut keys: Vec<&[u8]> = self.entries.iter().map(|entry| &*entry.key).collect();
        keys.sort_unstable();
        keys.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(*a),
            _ => None,
        })
    }

    /// Sets a key, in place of every value it had.
    pub fn set(&mut self, key: &str, value: Object) {
        self.remove(key);
        self.push(Entry { key: key.as_bytes().to_vec(), value, start: 0, end: 0 });
    }

    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key.as_bytes());
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Appends it in PDF's syntax.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<<");
        for entry in &self.entries {
            write_name(&entry.key, out);
            out.push(b' ');
            entry.value.write(out);
            out.push(b'\n');
        }
        out.extend_from_slice(b">>");
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).ok(); // a Vec takes all
}

fn write_string(bytes: &[u8], hex: bool, out: &mut Vec<u8>) {
    if hex {
        out.push(b'<');
        bytes.iter().for_each(|byte| put(out, format_args!("{byte:02x}")));
        out.push(b'>');
        return;
    }
    out.push(b'(');
    for byte in bytes {
        match byte {
            b'(' | b')' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(*byte),
        }
    }
    out.push(b')');
}

fn write_name(name: &[u8], out: &mut Vec<u8>) {
    out.push(b'/');
    for byte in name {
        match byte {
            b'!'..=b'~' if !b"()<>[]{}/%#".contains(byte) => out.push(*byte),
            _ => put(out, format_args!("#{byte:02x}")),
        }
    }
}
