//! DER, read piece by piece without copying: the structures of CMS, certificates and timestamps are walked, not modelled,
//! so that what a signature covers is always the very bytes of the file. Definite, shortest lengths only: what is written in
//! another way goes through `cms::normalized` first.

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("una estructura ASN.1 dañada")]
pub struct Malformed;

pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OID: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// One element: its tag, what it holds, and all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    pub tag: u8,
    pub value: &'a [u8],
    pub whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn element(&mut self) -> Result<Element<'a>, Malformed> {
        let (tag, length, header) = heading(self.0)?;
        let end = header.checked_add(length).ok_or(Malformed)?;
        let whole = self.0.get(..end).ok_or(Malformed)?;
        let value = whole.get(header..).ok_or(Malformed)?;
        self.0 = self.0.get(end..).ok_or(Malformed)?;
        Ok(Element { tag, value, whole })
    }

    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, Malformed> {
        self.element()?.is(tag)
    }

    /// The next element if it has this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Malformed> {
        if self.0.first() == Some(&tag) { self.element().map(Some) } else { Ok(None) }
    }

    pub fn finish(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

impl<'a> Element<'a> {
    pub fn is(self, tag: u8) -> Result<Self, Malformed> {
        if self.tag == tag { Ok(self) } else { Err(Malformed) }
    }

    /// The elements inside.
    pub fn inside(&self) -> Reader<'a> {
        Reader::new(self.value)
    }
}

/// Iterates over elements; ends at the first broken one, after giving it.
impl<'a> Iterator for Reader<'a> {
    type Item = Result<Element<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let element = self.element();
        if element.is_err() {
            self.0 = &[];
        }
        Some(element)
    }
}

/// The one element that these bytes are; what follows it is an error.
pub fn only(bytes: &[u8]) -> Result<Element<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let element = reader.element()?;
    reader.finish()?;
    Ok(element)
}

/// Tag, length of the value, and length of the heading.
fn heading(bytes: &[u8]) -> Result<(u8, usize, usize), Malformed> {
    let [tag, first, rest @ ..] = bytes else { return Err(Malformed) };
    if tag & 0x1f == 0x1f {
        return Err(Malformed); // no structure here has such tags
    }
    if *first < 0x80 {
        return Ok((*tag, usize::from(*first), 2));
    }
    let count = usize::from(first & 0x7f);
    let length = rest.get(..count).filter(|_| (1..=4).contains(&count)).ok_or(Malformed)?;
    let value = length.iter().fold(0usize, |value, byte| value << 8 | usize::from(*byte));
    let shortest = value >= 0x80 && length.first() != Some(&0);
    if shortest { Ok((*tag, value, 2 + count)) } else { Err(Malformed) }
}

/// An object identifier in dotted decimal; empty if it is none.
pub fn dotted(value: &[u8]) -> String {
    let mut text = String::new();
    let mut arc = 0u64;
    for byte in value {
        arc = arc.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if text.is_empty() {
            let root = (arc / 40).min(2);
            text = format!("{root}.{}", arc - root * 40);
        } else {
            text.push_str(&format!(".{arc}"));
        }
        arc = 0;
    }
    text
}

/// The text of a string type; what is not UTF-8, Latin or UTF-16 is replaced.
pub fn text(element: &Element<'_>) -> String {
    match element.tag {
        0x1e => {
            let units: Vec<u16> = element
                .value
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0u16, |unit, byte| unit << 8 | u16::from(*byte)))
                .collect();
            String::from_utf16_lossy(&units)
        }
        0x14 => element.value.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(element.value).into_owned(),
    }
}

/// `UTCTime` or `GeneralizedTime` in UTC, fractions of a second left out.
pub fn time(element: &Element<'_>) -> Result<jiff::Timestamp, Malformed> {
    let text = std::str::from_utf8(element.value).map_err(|_| Malformed)?;
    let text = text.strip_suffix('Z').ok_or(Malformed)?;
    let text = text.split('.').next().unwrap_or(text);
    let text = match element.tag {
        0x17 if text.len() == 12 => {
            let century = if text.get(..2).ok_or(Malformed)? >= "50" { "19" } else { "20" };
            format!("{century}{text}")
        }
        0x18 if text.len() == 14 => text.to_owned(),
        _ => return Err(Malformed),
    };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    let part = |from: usize, to: usize| text.get(from..to).ok_or(Malformed);
    let written = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    written.parse().map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_indefinite_lengths_are_told_apart_from_sound_ones() {
        assert_eq!(only(&[4, 2, 7, 8]).expect("sound").value, [7, 8]);
        assert_eq!(only(&[4, 0x81, 2, 7, 8]), Err(Malformed), "not the shortest length");
        assert_eq!(only(&[0x30, 0x80, 0, 0]), Err(Malformed), "indefinite");
        assert_eq!(only(&[4, 5, 7]), Err(Malformed), "cut");
        assert_eq!(only(&[4, 1, 7, 0]), Err(Malformed), "something follows");
    }

    #[test]
    fn identifiers_and_times_are_read() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02]), "1.2.840.113549.1.7.2");
        assert_eq!(dotted(&[0x55, 0x04, 0x61]), "2.5.4.97");
        let time_of = |tag, text: &'static str| time(&Element { tag, value: text.as_bytes(), whole: &[] });
        assert_eq!(time_of(0x17, "251231235959Z").map(|t| t.to_string()), Ok("2025-12-31T23:59:59Z".into()));
        assert_eq!(time_of(0x18, "20501231235959.5Z").map(|t| t.to_string()), Ok("2050-12-31T23:59:59Z".into()));
        assert_eq!(time_of(0x18, "20501331235959Z"), Err(Malformed));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            for element in Reader::new(&bytes).flatten() {
                let _ = (dotted(element.value), text(&element), time(&element));
            }
        }
    }
}
