//! PDF's syntax: bytes to objects, without recursion and within bounds of depth and size.

use super::{Dict, Entry, Error, Object, Ref, source::Bytes};

/// Arrays and dictionaries one inside the other.
const NESTING_MAX: usize = 64;
/// What one object may take, counting each value as [`VALUE_BYTES`] besides its text. Signatures with their revocation
/// data are the largest strings; page trees the longest arrays.
const OBJECT_BYTES_MAX: usize = 8 * 1024 * 1024;
const VALUE_BYTES: usize = 64;
/// A name: PDF allows 127; some producers exceed it.
const NAME_BYTES_MAX: usize = 1024;

pub(super) struct Lexer<'a, B> {
    bytes: &'a mut B,
    pub place: u64,
    size: usize,
}

enum Token {
    Value(Object),
    ArrayOpen,
    ArrayClose,
    DictOpen,
    DictClose,
}

/// A container that is still open.
enum Open {
    Array(Vec<Object>),
    Dict(Dict, Option<Vec<u8>>),
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | b'\t' | b'\n' | 0x0c | b'\r' | b' ')
}

fn is_regular(byte: u8) -> bool {
    !is_space(byte) && !b"()<>[]{}/%".contains(&byte)
}

impl<'a, B: Bytes> Lexer<'a, B> {
    pub fn new(bytes: &'a mut B, place: u64) -> Self {
        Self { bytes, place, size: 0 }
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error::Malformed { place: self.place, what })
    }

    fn peek(&mut self) -> Result<Option<u8>, Error> {
        self.bytes.at(self.place)
    }

    fn next(&mut self) -> Result<Option<u8>, Error> {
        let byte = self.bytes.at(self.place)?;
        if byte.is_some() {
            self.place += 1;
        }
        Ok(byte)
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.size = self.size.saturating_add(bytes);
        if self.size > OBJECT_BYTES_MAX { Err(Error::Limit("tamaño de un objeto")) } else { Ok(()) }
    }

    /// White space only.
    pub fn skip_blanks(&mut self) -> Result<(), Error> {
        while self.peek()?.is_some_and(is_space) {
            self.place += 1;
        }
        Ok(())
    }

    /// White space and comments.
    pub fn skip_space(&mut self) -> Result<(), Error> {
        loop {
            self.skip_blanks()?;
            if self.peek()? != Some(b'%') {
                return Ok(());
            }
            while self.peek()?.is_some_and(|byte| byte != b'\n' && byte != b'\r') {
                self.place += 1;
            }
        }
    }

    /// Takes this text if it stands here; says whether it did.
    pub fn take(&mut self, text: &[u8]) -> Result<bool, Error> {
        for (offset, byte) in (0u64..).zip(text) {
            if self.bytes.at(self.place.saturating_add(offset))? != Some(*byte) {
                return Ok(false);
            }
        }
        self.place = self.place.saturating_add(text.len() as u64);
        Ok(true)
    }

    /// Takes this word, with space before it, if nothing regular follows it.
    pub fn take_word(&mut self, word: &[u8]) -> Result<bool, Error> {
        let before = self.place;
        self.skip_space()?;
        if self.take(word)? && !self.peek()?.is_some_and(is_regular) {
            return Ok(true);
        }
        self.place = before;
        Ok(false)
    }

    /// Digits, with space before them; `None`, and nothing taken, if something else stands here.
    pub fn take_number(&mut self) -> Result<Option<u64>, Error> {
        let before = self.place;
        self.skip_space()?;
        let mut value = 0u64;
        let mut digits = 0;
        while let Some(byte @ b'0'..=b'9') = self.peek()? {
            self.place += 1;
            digits += 1;
            value = value.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
        }
        if (1..=19).contains(&digits) {
            return Ok(Some(value));
        }
        self.place = before;
        Ok(None)
    }

    /// `number generation obj`, as an indirect object begins.
    pub fn take_heading(&mut self) -> Result<Option<Ref>, Error> {
        let (Some(number), Some(generation)) = (self.take_number()?, self.take_number()?) else { return Ok(None) };
        if !self.take_word(b"obj")? {
            return Ok(None);
        }
        match (u32::try_from(number), u16::try_from(generation)) {
            (Ok(number), Ok(generation)) => Ok(Some(Ref { number, generation })),
            _ => Ok(None),
        }
    }

    /// One object, whatever its kind.
    pub fn object(&mut self) -> Result<Object, Error> {
        self.size = 0;
        let mut open: Vec<Open> = Vec::new();
        loop {
            self.skip_space()?;
            let start = self.place;
            let done = match self.token()? {
                Token::Value(value) => value,
                Token::ArrayOpen => {
                    self.push(&mut open, Open::Array(Vec::new()))?;
                    continue;
                }
                Token::DictOpen => {
                    self.push(&mut open, Open::Dict(Dict::default(), None))?;
                    continue;
                }
                Token::ArrayClose => match open.pop() {
                    Some(Open::Array(items)) => Object::Array(items),
                    _ => return self.wrong("un corchete que cierra sin abrir"),
                },
                Token::DictClose => match open.pop() {
                    Some(Open::Dict(dict, None)) => Object::Dict(dict),
                    _ => return self.wrong("un diccionario que no cierra bien"),
                },
            };
            self.grow(VALUE_BYTES)?;
            match open.last_mut() {
                None => return Ok(done),
                Some(Open::Array(items)) => items.push(done),
                Some(Open::Dict(dict, key)) => match (key.take(), done) {
                    (Some(key), value) => dict.push(Entry { key, value, start, end: self.place }),
                    (None, Object::Name(name)) => *key = Some(name),
                    (None, _) => return self.wrong("una clave de diccionario que no es un nombre"),
                },
            }
        }
    }

    fn push(&mut self, open: &mut Vec<Open>, container: Open) -> Result<(), Error> {
        if open.len() >= NESTING_MAX {
            return Err(Error::Limit("objetos uno dentro de otro"));
        }
        // A key must stand before a container in a dictionary.
        if matches!(open.last(), Some(Open::Dict(_, None))) {
            return self.wrong("una clave de diccionario que no es un nombre");
        }
        open.push(container);
        Ok(())
    }

    fn token(&mut self) -> Result<Token, Error> {
        let Some(byte) = self.peek()? else { return self.wrong("el archivo termina dentro de un objeto") };
        self.place += 1;
        Ok(match byte {
            b'[' => Token::ArrayOpen,
            b']' => Token::ArrayClose,
            b'<' if self.peek()? == Some(b'<') => {
                self.place += 1;
                Token::DictOpen
            }
            b'>' if self.peek()? == Some(b'>') => {
                self.place += 1;
                Token::DictClose
            }
            b'<' => Token::Value(self.hex_string()?),
            b'(' => Token::Value(self.literal_string()?),
            b'/' => Token::Value(Object::Name(self.name()?)),
            b'0'..=b'9' | b'+' | b'-' | b'.' => {
                self.place -= 1;
                Token::Value(self.number()?)
            }
            b'a'..=b'z' => {
                self.place -= 1;
                Token::Value(self.word()?)
            }
            _ => return self.wrong("un carácter que no empieza ningún objeto"),
        })
    }

    fn word(&mut self) -> Result<Object, Error> {
        for (word, value) in
            [(&b"null"[..], Object::Null), (b"true", Object::Bool(true)), (b"false", Object::Bool(false))]
        {
            if self.take_word(word)? {
                return Ok(value);
            }
        }
        self.wrong("una palabra que no es ningún objeto")
    }

    /// A number, or the reference that begins with it.
    fn number(&mut self) -> Result<Object, Error> {
        let mut text = String::new();
        while let Some(byte @ (b'0'..=b'9' | b'+' | b'-' | b'.')) = self.peek()? {
            self.place += 1;
            text.push(char::from(byte));
            if text.len() > 64 {
                return self.wrong("un número demasiado largo");
            }
        }
        let Ok(value) = text.parse::<i64>() else {
            return match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Object::Real(value)),
                // Seen in the wild: "--5", "1.2.3", "-". Viewers take them as 0.
                _ => Ok(Object::Real(0.0)),
            };
        };
        let after = self.place;
        if let Ok(number) = u32::try_from(value)
            && let Some(generation) = self.take_number()?
            && let Ok(generation) = u16::try_from(generation)
            && self.take_word(b"R")?
        {
            return Ok(Object::Ref(Ref { number, generation }));
        }
        self.place = after;
        Ok(Object::Int(value))
    }

    fn name(&mut self) -> Result<Vec<u8>, Error> {
        let mut name = Vec::new();
        while let Some(byte) = self.peek()?.filter(|byte| is_regular(*byte)) {
            self.place += 1;
            let escaped = (byte == b'#').then(|| self.hex_pair()).transpose()?.flatten();
            name.push(escaped.unwrap_or(byte));
            if name.len() > NAME_BYTES_MAX {
                return Err(Error::Limit("tamaño de un nombre"));
            }
        }
        self.grow(name.len())?;
        Ok(name)
    }

    /// Two hexadecimal digits, taken only if both stand here.
    fn hex_pair(&mut self) -> Result<Option<u8>, Error> {
        let high = self.bytes.at(self.place)?.and_then(hex_digit);
        let low = self.bytes.at(self.place.saturating_add(1))?.and_then(hex_digit);
        let (Some(high), Some(low)) = (high, low) else { return Ok(None) };
        self.place += 2;
        Ok(Some(high << 4 | low))
    }

    fn hex_string(&mut self) -> Result<Object, Error> {
        let mut bytes = Vec::new();
        let mut half: Option<u8> = None;
        loop {
            let Some(byte) = self.next()? else { return self.wrong("una cadena hexadecimal sin fin") };
            if byte == b'>' {
                break;
            }
            match (hex_digit(byte), half) {
                (Some(digit), None) => half = Some(digit << 4),
                (Some(digit), Some(high)) => {
                    bytes.push(high | digit);
                    half = None;
                    self.grow(1)?;
                }
                (None, _) if is_space(byte) => {}
                (None, _) => return self.wrong("una cadena hexadecimal con otros caracteres"),
            }
        }
        bytes.extend(half);
        Ok(Object::String { bytes, hex: true })
    }

    fn literal_string(&mut self) -> Result<Object, Error> {
        let mut bytes = Vec::new();
        let mut depth = 1usize;
        loop {
            let Some(byte) = self.next()? else { return self.wrong("una cadena sin fin") };
            match byte {
                b'(' => depth += 1,
                b')' if depth == 1 => break,
                b')' => depth -= 1,
                b'\\' => {
                    bytes.extend(self.escape()?);
                    self.grow(1)?;
                    continue;
                }
                _ => {}
            }
            bytes.push(byte);
            self.grow(1)?;
        }
        Ok(Object::String { bytes, hex: false })
    }

    /// What stands after a backslash; `None` for a line break that is not part of the text.
    fn escape(&mut self) -> Result<Option<u8>, Error> {
        let Some(byte) = self.next()? else { return self.wrong("una cadena sin fin") };
        Ok(Some(match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'\r' => {
                self.take(b"\n")?;
                return Ok(None);
            }
            b'\n' => return Ok(None),
            b'0'..=b'7' => {
                let mut value = u16::from(byte - b'0');
                for _ in 0..2 {
                    if let Some(digit @ b'0'..=b'7') = self.peek()? {
                        self.place += 1;
                        value = value * 8 + u16::from(digit - b'0');
                    }
                }
                value.to_le_bytes()[0]
            }
            other => other,
        }))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::pdf::source::Slice;

    fn read(text: &[u8]) -> Result<Object, Error> {
        Lexer::new(&mut Slice(text), 0).object()
    }

    #[test]
    fn every_kind_of_object_is_read_and_written_back() {
        let text = b"<</A [1 -2 +3 4.5 true false null] /B (a\\(b\\)\\n\\101(c)) /C <48 65 6> /D 12 0 R /E#20F /G /H <</I 7 8>>>>";
        assert!(read(text).is_err(), "8 is no key");
        let text = b"<</A [1 -2 +3 4.5 true false null] /B (a\\(b\\)\\n\\101(c)) /C <48 65 6> /D 12 0 R /E#20F /G /H <</I 7>>>>";
        let object = read(text).expect("sound");
        let dict = object.as_dict().expect("a dictionary");
        assert_eq!(dict.get("B").and_then(Object::as_bytes), Some(&b"a(b)\nA(c)"[..]));
        assert_eq!(dict.get("C").and_then(Object::as_bytes), Some(&b"He\x60"[..]));
        assert_eq!(dict.get("D").and_then(Object::as_ref), Some(Ref { number: 12, generation: 0 }));
        assert!(dict.get("E F").is_some_and(|value| value.is_name("G")));
        let mut written = Vec::new();
        object.write(&mut written);
        assert_eq!(read(&written).expect("sound"), object);
    }

    #[test]
    fn the_span_of_a_value_is_exactly_its_text() {
        let text = b"<< /Contents  <00ff> /X 1 >>";
        let object = read(text).expect("sound");
        let entry = object.as_dict().and_then(|dict| dict.entry("Contents")).expect("there");
        assert_eq!(&text[entry.start as usize..entry.end as usize], b"<00ff>");
    }

    #[test]
    fn hostile_depth_and_endless_strings_are_errors() {
        assert!(matches!(read(&b"[".repeat(100_000)), Err(Error::Limit(_))));
        assert!(matches!(read(&b"<</A".repeat(100_000)), Err(Error::Limit(_))));
        assert!(matches!(read(b"(abc"), Err(Error::Malformed { .. })));
        assert!(matches!(read(b"<abc"), Err(Error::Malformed { .. })));
        let mut long = b"(".to_vec();
        long.resize(OBJECT_BYTES_MAX + 10, b'x');
        assert!(matches!(read(&long), Err(Error::Limit(_))));
    }

    #[test]
    fn a_repeated_key_is_seen() {
        let object = read(b"<</A 1/B 2/A 3>>").expect("sound");
        assert_eq!(object.as_dict().and_then(Dict::repeated), Some(&b"A"[..]));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }
    }
}
