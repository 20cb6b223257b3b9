//! One pass over a JSON request as it arrives: the text of the document is let out piece by piece, everything else is kept
//! for a parser, bounded. A document of any size so passes in the memory of one piece.
//!
//! The pass does not judge the JSON; what is malformed stays malformed for the parser that reads the rest.

use self::Lex::{Between, Text};

/// Deepest nesting of a request.
const DEPTH_MAX: usize = 16;

/// Longest key compared, in bytes; longer ones are none of ours.
const KEY_BYTES_MAX: usize = 32;

/// The name of members that hold a file in base64, where no document is looked for.
const CONTENT: &str = "contenido";

/// What stands in the kept text where a file's content was.
pub const MARK: &str = "@";

#[derive(Debug, PartialEq, Eq)]
pub enum ScanError {
    /// The request without its document is larger than this many bytes.
    TooLarge(usize),
    TooDeep,
    /// The document is given more than once.
    Twice,
}

/// Where in the text the pass is.
#[derive(Clone, Copy)]
enum Lex {
    Between,
    /// In a string that is kept; `key` if it is a member's name.
    Text {
        key: bool,
        escaped: bool,
    },
    /// In a string that holds a file: the document's, or one that nobody asked for.
    File {
        wanted: Wanted,
        escape: Escape,
    },
}

/// Whose content a file's text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    Document,
    /// Of the annex with this place in its list.
    Annex(usize),
}

#[derive(Clone, Copy)]
enum Escape {
    None,
    Backslash,
    /// `\u` and so many hexadecimal digits.
    Unicode {
        digits: u8,
        value: u16,
    },
}

/// An open object or array.
enum Open {
    Object {
        key: Vec<u8>,
        at_key: bool,
    },
    /// With how many elements before this one.
    Array {
        nth: usize,
    },
}

/// Takes a text out of the middle of the kept one: `removed` bytes after `at`.
struct Cut {
    at: usize,
    removed: usize,
}

pub struct Scanner {
    /// The path of the member that holds the document.
    document: &'static [&'static str],
    /// Members of this name hold files; wherever they stand they are not kept.
    content: &'static [u8],
    /// The list whose objects have files too, if any.
    annexes: Option<&'static str>,
    /// Texts of annexes since they were last taken, and the place of the last one begun.
    texts: Vec<(usize, Vec<u8>)>,
    last: Option<usize>,
    kept: Vec<u8>,
    kept_max: usize,
    open: Vec<Open>,
    lex: Lex,
    cuts: Vec<Cut>,
    found: bool,
}

impl Scanner {
    /// `document` is the path of the document's content, such as `["documento", "contenido"]`.
    pub fn new(document: &'static [&'static str], kept_max: usize) -> Self {
        let content = document.last().copied().unwrap_or(CONTENT).as_bytes();
        Self {
            document,
            content,
            annexes: None,
            texts: Vec::new(),
            last: None,
            kept: Vec::new(),
            kept_max,
            open: Vec::new(),
            lex: Between,
            cuts: Vec::new(),
            found: false,
        }
    }

    /// The objects in the list at this member have files too.
    #[must_use]
    pub fn with_annexes(self, member: Option<&'static str>) -> Self {
        Self { annexes: member, ..self }
    }

    /// The texts of annexes since this was last asked, each with its place in the list; the last may go on.
    pub fn take_annexes(&mut self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut self.texts)
    }

    /// Takes the next piece. The document's text in it, its escapes resolved, is appended to `text`.
    pub fn push(&mut self, piece: &[u8], text: &mut Vec<u8>) -> Result<(), ScanError> {
        let mut rest = piece;
        while let Some((byte, after)) = rest.split_first() {
            rest = match self.lex {
                Lex::File { wanted, escape: Escape::None } => self.file(rest, wanted, text),
                Lex::File { wanted, escape } => {
                    let (decoded, escape) = unescape(escape, *byte);
                    if let Some(byte) = decoded {
                        self.let_out(wanted, &[byte], text);
                    }
                    self.lex = Lex::File { wanted, escape };
                    self.cut(1);
                    after
                }
                Text { key, escaped } => {
                    self.string(*byte, key, escaped)?;
                    after
                }
                Between => {
                    self.between(*byte)?;
                    after
                }
            };
        }
        Ok(())
    }

    /// The request without the contents of files, each replaced by [`MARK`].
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// The column in the request as it came of a place in the kept text, both from 1.
    pub fn column(&self, line: usize, column: usize) -> usize {
        let begins = match line.checked_sub(2) {
            Some(nth) => memchr::memchr_iter(b'\n', &self.kept).nth(nth).map_or(0, |at| at + 1),
            None => 0,
        };
        let before = |cut: &&Cut| (begins..begins + column).contains(&cut.at);
        // Each cut left a mark in its place.
        let (marks, removed) = self.cuts.iter().filter(before).fold((0, 0), |(n, sum), cut| (n + 1, sum + cut.removed));
        (column + removed).saturating_sub(marks * MARK.len())
    }

    /// A run of a file's text without escapes, up to its end or the next escape.
    fn file<'a>(&mut self, piece: &'a [u8], wanted: Wanted, text: &mut Vec<u8>) -> &'a [u8] {
        let end = memchr::memchr2(b'"', b'\\', piece);
        let (run, rest) = piece.split_at(end.unwrap_or(piece.len()));
        self.let_out(wanted, run, text);
        self.cut(run.len());
        match rest.split_first() {
            None => rest,
            Some((b'"', after)) => {
                self.lex = Between;
                after
            }
            Some((_, after)) => {
                self.cut(1);
                self.lex = Lex::File { wanted, escape: Escape::Backslash };
                after
            }
        }
    }

    fn let_out(&mut self, wanted: Wanted, run: &[u8], text: &mut Vec<u8>) {
        match wanted {
            Wanted::No => {}
            Wanted::Document => text.extend_from_slice(run),
            Wanted::Annex(nth) => match self.texts.last_mut() {
                Some((last, text)) if *last == nth => text.extend_from_slice(run),
                _ => self.texts.push((nth, run.to_vec())),
            },
        }
    }

    fn cut(&mut self, bytes: usize) {
        if let Some(cut) = self.cuts.last_mut() {
            cut.removed += bytes;
        }
    }

    fn string(&mut self, byte: u8, key: bool, escaped: bool) -> Result<(), ScanError> {
        self.keep(byte)?;
        if byte == b'"' && !escaped {
            self.lex = Between;
            return Ok(());
        }
        if let (true, Some(Open::Object { key, .. })) = (key, self.open.last_mut())
            && key.len() <= KEY_BYTES_MAX
        {
            key.push(byte);
        }
        self.lex = Text { key, escaped: byte == b'\\' && !escaped };
        Ok(())
    }

    fn between(&mut self, byte: u8) -> Result<(), ScanError> {
        match byte {
            b'{' => self.open(Open::Object { key: Vec::new(), at_key: true })?,
            b'[' => self.open(Open::Array { nth: 0 })?,
            b'}' | b']' => drop(self.open.pop()),
            b',' | b':' => match self.open.last_mut() {
                Some(Open::Object { at_key, .. }) => *at_key = byte == b',',
                Some(Open::Array { nth }) => *nth += 1,
                None => {}
            },
            b'"' => return self.begin_string(),
            _ => {}
        }
        self.keep(byte)
    }

    fn open(&mut self, open: Open) -> Result<(), ScanError> {
        if self.open.len() == DEPTH_MAX {
            return Err(ScanError::TooDeep);
        }
        self.open.push(open);
        Ok(())
    }

    fn begin_string(&mut self) -> Result<(), ScanError> {
        let (key, content) = match self.open.last_mut() {
            Some(Open::Object { key, at_key: true }) => {
                key.clear();
                (true, false)
            }
            Some(Open::Object { key, at_key: false }) => (false, key == self.content),
            _ => (false, false),
        };
        if !content {
            self.lex = Text { key, escaped: false };
            return self.keep(b'"');
        }
        let wanted = match self.at_annex() {
            Some(nth) => Wanted::Annex(nth),
            None if self.at_document() => Wanted::Document,
            None => Wanted::No,
        };
        match wanted {
            Wanted::Document if self.found => return Err(ScanError::Twice),
            Wanted::Document => self.found = true,
            Wanted::Annex(nth) if self.last.is_some_and(|last| nth <= last) => return Err(ScanError::Twice),
            Wanted::Annex(nth) => {
                self.last = Some(nth);
                self.texts.push((nth, Vec::new()));
            }
            Wanted::No => {}
        }
        for byte in [b"\"", MARK.as_bytes(), b"\""].concat() {
            self.keep(byte)?;
        }
        // The mark stands for so much of what was there.
        self.cuts.push(Cut { at: self.kept.len() - 1, removed: 0 });
        self.lex = Lex::File { wanted, escape: Escape::None };
        Ok(())
    }

    fn at_document(&self) -> bool {
        let named = |open: &Open, name: &str| matches!(open, Open::Object { key, .. } if key == name.as_bytes());
        self.open.len() == self.document.len() && self.open.iter().zip(self.document).all(|(o, name)| named(o, name))
    }

    /// The place in their list of the annex whose content begins here.
    fn at_annex(&self) -> Option<usize> {
        let member = self.annexes?.as_bytes();
        match self.open.as_slice() {
            [Open::Object { key, .. }, Open::Array { nth }, Open::Object { .. }] if key == member => Some(*nth),
            _ => None,
        }
    }

    fn keep(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.kept.len() == self.kept_max {
            return Err(ScanError::TooLarge(self.kept_max));
        }
        self.kept.push(byte);
        Ok(())
    }
}

/// The next byte of an escape: what it stands for, once that is clear, and what comes next. What is no character of base64
/// becomes one that the decoder refuses.
fn unescape(escape: Escape, byte: u8) -> (Option<u8>, Escape) {
    const NOT_BASE64: u8 = b'?';
    match (escape, byte) {
        (Escape::Backslash, b'u') => (None, Escape::Unicode { digits: 0, value: 0 }),
        (Escape::Backslash, b'n' | b'r' | b't') => (Some(b'\n'), Escape::None),
        (Escape::Backslash, b'/') => (Some(b'/'), Escape::None),
        (Escape::Unicode { digits, value }, _) => {
            let Some(digit) = char::from(byte).to_digit(16).and_then(|d| u16::try_from(d).ok()) else {
                return (Some(NOT_BASE64), Escape::None);
            };
            let value = value << 4 | digit;
            if digits < 3 {
                return (None, Escape::Unicode { digits: digits + 1, value });
            }
            (Some(u8::try_from(value).ok().filter(u8::is_ascii).unwrap_or(NOT_BASE64)), Escape::None)
        }
        _ => (Some(NOT_BASE64), Escape::None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const PATH: &[&str] = &["documento", "contenido"];

    fn scan_in(pieces: &[&[u8]], kept_max: usize) -> Result<(String, String, Scanner), ScanError> {
        let mut scanner = Scanner::new(PATH, kept_max);
        let mut text = Vec::new();
        for piece in pieces {
            scanner.push(piece, &mut text)?;
        }
        let kept = String::from_utf8(scanner.kept().to_vec()).unwrap();
        Ok((kept, String::from_utf8(text).unwrap(), scanner))
    }

    fn scan(json: &str) -> (String, String) {
        let (kept, text, _) = scan_in(&[json.as_bytes()], 10_000).unwrap();
        (kept, text)
    }

    #[test]
    fn the_documents_text_leaves_and_the_rest_stays() {
        let (kept, text) =
            scan(r#"{"asunto": "con \"comillas\"", "documento": {"contenido": "JVBERi0=", "nombre": "a.pdf"}}"#);
        assert_eq!(text, "JVBERi0=");
        assert_eq!(kept, r#"{"asunto": "con \"comillas\"", "documento": {"contenido": "@", "nombre": "a.pdf"}}"#);
    }

    #[test]
    fn it_does_not_matter_where_the_pieces_end() {
        let json = r#"{"a\\":["{",{"contenido":"no"}],"documento":{"nombre":"x","contenido":"AB\/C\u002bD\u003D\nE"}}"#;
        let whole = scan(json);
        assert_eq!(whole.1, "AB/C+D=\nE");
        for at in 0..json.len() {
            let (first, second) = json.as_bytes().split_at(at);
            let (kept, text, _) = scan_in(&[first, second], 10_000).unwrap();
            assert_eq!((kept, text), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = json.as_bytes().chunks(1).collect();
        let (kept, text, _) = scan_in(&bytes, 10_000).unwrap();
        assert_eq!((kept, text), whole);
    }

    #[test]
    fn only_the_member_at_its_place_is_the_document() {
        for json in [
            r#"{"contenido":"JVBERi0="}"#,
            r#"{"documento":"contenido"}"#,
            r#"{"documento":["contenido","JVBERi0="]}"#,
            r#"{"anexos":[{"contenido":"JVBERi0="}]}"#,
            r#"{"x":{"documento":{"contenido":"JVBERi0="}}}"#,
            r#"{"documento":{"x":"contenido","y":"JVBERi0="}}"#,
            r#"{"documento":{"contenido":null}}"#,
        ] {
            let (_, text, scanner) = scan_in(&[json.as_bytes()], 10_000).unwrap();
            assert_eq!((text.as_str(), scanner.found), ("", false), "{json}");
        }
        assert_eq!(
            scan(r#"{"anexos":[{"nombre":"a","contenido":"JVBERi0="}]}"#).0,
            r#"{"anexos":[{"nombre":"a","contenido":"@"}]}"#
        );
    }

    #[test]
    fn annexes_leave_by_their_place_however_the_pieces_end() {
        let json = r#"{"anexos":[{"nombre":"a"},{"contenido":"QUJD","nombre":"b"},7,{"contenido":""},{"contenido":"X\/Y"},
            {"x":[{"contenido":"no"}]}],"otros":[{"contenido":"no"}],"documento":{"contenido":"JVBERi0="}}"#;
        for size in 1..json.len() {
            let mut scanner = Scanner::new(PATH, 1000).with_annexes(Some("anexos"));
            let (mut text, mut found) = (Vec::new(), std::collections::BTreeMap::<usize, String>::new());
            for piece in json.as_bytes().chunks(size) {
                scanner.push(piece, &mut text).unwrap();
                for (nth, run) in scanner.take_annexes() {
                    found.entry(nth).or_default().push_str(std::str::from_utf8(&run).unwrap());
                }
            }
            let found: Vec<_> = found.into_iter().collect();
            assert_eq!(found, [(1, "QUJD".into()), (3, String::new()), (4, "X/Y".into())], "in pieces of {size}");
            assert_eq!(text, b"JVBERi0=");
        }
        let twice = r#"{"anexos":[{"contenido":"A","contenido":"B"}]}"#;
        let mut scanner = Scanner::new(PATH, 1000).with_annexes(Some("anexos"));
        assert_eq!(scanner.push(twice.as_bytes(), &mut Vec::new()), Err(ScanError::Twice));
    }

    #[test]
    fn what_is_kept_is_bounded_in_size_and_depth_and_the_document_is_not() {
        let long = format!(r#"{{"documento":{{"contenido":"{}"}}}}"#, "A".repeat(100_000));
        let (kept, text, _) = scan_in(&[long.as_bytes()], 100).unwrap();
        assert_eq!((kept.len(), text.len()), (31, 100_000));
        let long = format!(r#"{{"asunto":"{}"}}"#, "A".repeat(100));
        assert_eq!(scan_in(&[long.as_bytes()], 100).err(), Some(ScanError::TooLarge(100)));
        assert_eq!(scan_in(&["[".repeat(17).as_bytes()], 100).err(), Some(ScanError::TooDeep));
        let twice = r#"{"documento":{"contenido":"A","contenido":"B"}}"#;
        assert_eq!(scan_in(&[twice.as_bytes()], 100).err(), Some(ScanError::Twice));
    }

    #[test]
    fn what_cannot_be_base64_reaches_the_decoder_as_such() {
        for escaped in [r"\u00f1", r"\uzzzz", r"\x", r#"\""#, r"\ud83d"] {
            let (_, text) = scan(&format!(r#"{{"documento":{{"contenido":"AA{escaped}"}}}}"#));
            assert!(text.starts_with("AA?"), "{escaped}: {text}");
        }
    }

    #[test]
    fn columns_are_those_of_the_request_as_it_came() {
        let json = "{\"documento\":\n {\"contenido\":\"JVBERi0=\", x}}";
        let (kept, _, scanner) = scan_in(&[json.as_bytes()], 1000).unwrap();
        let error = serde_json::from_str::<serde_json::Value>(&kept).unwrap_err();
        let column = scanner.column(error.line(), error.column());
        let line = json.lines().nth(error.line() - 1).unwrap();
        assert_eq!(&line[column - 1..column], "x");
    }

    /// What the pass should keep of a value, worked out on the parsed JSON.
    fn marked(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(text) if name == "contenido" => MARK.clone_into(text),
                        value => marked(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(marked),
            _ => {}
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[\\PC\"\\\\\n{}\\[\\]:,]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let name = prop_oneof!["contenido", "documento", "[a-z\"\\\\]{0,4}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_the_json_and_its_pieces_the_rest_stays_and_the_document_leaves(
            other in json(), document in "[A-Za-z0-9+/=\\r\\n]{0,60}", piece in 1usize..20,
        ) {
            let mut value = json!({"antes": other, "documento": {"contenido": document}, "otro": other});
            let text = value.to_string();
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(piece).collect();
            let (kept, found, _) = scan_in(&pieces, 100_000).unwrap();
            marked(&mut value);
            prop_assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), value);
            // Every line break is one for base64, however it was written.
            prop_assert_eq!(found, document.replace('\r', "\n"));
        }
    }
}
