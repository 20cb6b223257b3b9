//! The bytes of a stream, decoded within a bound: FlateDecode with its predictors, hexadecimal and base 85. The filters of
//! images are not read: nothing that is examined stands in them.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::{Dict, Error, Object};

/// Filters one after the other on one stream.
const FILTERS_MAX: usize = 4;

/// The names of a stream's filters, outermost first, with their parameters.
pub(super) fn filters(dict: &Dict) -> Result<Vec<(Vec<u8>, Dict)>, Error> {
    let list = |object: Option<&Object>| match object {
        None | Some(Object::Null) => Vec::new(),
        Some(Object::Array(items)) => items.iter().take(FILTERS_MAX + 1).cloned().collect(),
        Some(other) => vec![other.clone()],
    };
    let names = list(dict.get("Filter").or_else(|| dict.get("F")));
    let params = list(dict.get("DecodeParms").or_else(|| dict.get("DP")));
    if names.len() > FILTERS_MAX {
        return Err(Error::Limit("filtros de un flujo"));
    }
    let mut params = params.into_iter();
    names
        .into_iter()
        .map(|name| {
            let dict = params.next().and_then(|object| object.as_dict().cloned()).unwrap_or_default();
            match name {
                Object::Name(name) => Ok((name, dict)),
                _ => Err(Error::Unsupported("el filtro de un flujo")),
            }
        })
        .collect()
}

/// Decodes what `raw` gives, to at most `limit` bytes.
pub(super) fn decode(raw: &mut dyn Read, filters: &[(Vec<u8>, Dict)], limit: usize) -> Result<Vec<u8>, Error> {
    let mut data: Option<Vec<u8>> = None;
    for (name, params) in filters {
        let mut before: &[u8];
        let input: &mut dyn Read = match &data {
            None => &mut *raw,
            Some(bytes) => {
                before = bytes;
                &mut before
            }
        };
        data = Some(match &**name {
            b"FlateDecode" | b"Fl" => predict(inflate(input, limit)?, params, limit)?,
            b"ASCIIHexDecode" | b"AHx" => hexadecimal(&bounded(input, limit.saturating_mul(2))?)?,
            b"ASCII85Decode" | b"A85" => base85(&bounded(input, limit.saturating_mul(2))?)?,
            _ => return Err(Error::Unsupported("el filtro de un flujo")),
        });
    }
    match data {
        Some(data) => Ok(data),
        None => bounded(raw, limit),
    }
}

fn bounded(input: &mut dyn Read, limit: usize) -> Result<Vec<u8>, Error> {
    let mut data = Vec::new();
    input.take(limit as u64 + 1).read_to_end(&mut data)?;
    if data.len() > limit { Err(Error::Limit("tamaño de un flujo")) } else { Ok(data) }
}

/// Inflates; a stream that is cut or ends badly gives what came before, as every viewer does.
fn inflate(input: &mut dyn Read, limit: usize) -> Result<Vec<u8>, Error> {
    let mut decoder = ZlibDecoder::new(input);
    let mut data = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        match decoder.read(&mut piece) {
            Ok(0) => return Ok(data),
            Ok(read) => {
                data.extend_from_slice(piece.get(..read).unwrap_or_default());
                if data.len() > limit {
                    return Err(Error::Limit("tamaño de un flujo descomprimido"));
                }
            }
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<Error>()) => return Err(error.into()),
            Err(_) if data.is_empty() => return Err(Error::Unsupported("un flujo comprimido dañado")),
            Err(_) => return Ok(data),
        }
    }
}

fn predict(data: Vec<u8>, params: &Dict, limit: usize) -> Result<Vec<u8>, Error> {
    let number = |key: &str, default: usize| {
        params.get(key).and_then(Object::as_u64).and_then(|value| usize::try_from(value).ok()).unwrap_or(default)
    };
    let predictor = number("Predictor", 1);
    if predictor < 2 {
        return Ok(data);
    }
    let bits = number("Colors", 1).saturating_mul(number("BitsPerComponent", 8));
    let pixel = bits.div_ceil(8).max(1);
    let row = bits.saturating_mul(number("Columns", 1)).div_ceil(8).max(1);
    if row > limit || pixel > row {
        return Err(Error::Unsupported("los parámetros de un filtro"));
    }
    if predictor >= 10 { png(&data, row, pixel) } else { Err(Error::Unsupported("un predictor TIFF")) }
}

/// Undoes PNG's filters, row by row.
fn png(data: &[u8], row: usize, pixel: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(data.len());
    let mut above = vec![0u8; row];
    for line in data.chunks(row + 1) {
        let Some((kind, line)) = line.split_first() else { break };
        let mut current = vec![0u8; row];
        for (index, byte) in line.iter().enumerate() {
            let earlier = index.checked_sub(pixel);
            let left = earlier.and_then(|i| current.get(i)).copied().unwrap_or(0);
            let up = above.get(index).copied().unwrap_or(0);
            let corner = earlier.and_then(|i| above.get(i)).copied().unwrap_or(0);
            let guess = match kind {
                0 => 0,
                1 => left,
                2 => up,
                3 => u16::midpoint(u16::from(left), u16::from(up)).to_le_bytes()[0],
                4 => paeth(left, up, corner),
                _ => return Err(Error::Unsupported("una fila de un flujo comprimido")),
            };
            if let Some(place) = current.get_mut(index) {
                *place = byte.wrapping_add(guess);
            }
        }
        out.extend_from_slice(current.get(..line.len()).unwrap_or_default());
        above = current;
    }
    Ok(out)
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
    let guess = a + b - c;
    let (da, db, dc) = ((guess - a).abs(), (guess - b).abs(), (guess - c).abs());
    if da <= db && da <= dc {
        left
    } else if db <= dc {
        up
    } else {
        corner
    }
}

fn hexadecimal(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(text.len() / 2);
    let mut half: Option<u8> = None;
    for byte in text {
        let digit = match byte {
            b'>' => break,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            other if super::lexer::is_space(*other) => continue,
            _ => return Err(Error::Unsupported("un flujo hexadecimal dañado")),
        };
        match half.take() {
            None => half = Some(digit << 4),
            Some(high) => out.push(high | digit),
        }
    }
    out.extend(half);
    Ok(out)
}

fn base85(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut group: Vec<u8> = Vec::with_capacity(5);
    let flush = |group: &mut Vec<u8>, out: &mut Vec<u8>| {
        let given = group.len();
        group.resize(5, 84);
        let value = group.iter().fold(0u64, |value, digit| value * 85 + u64::from(*digit));
        let bytes = value.to_be_bytes();
        out.extend(bytes.iter().skip(4).take(given.saturating_sub(1)));
        group.clear();
    };
    for byte in text {
        match byte {
            b'~' => break,
            b'z' if group.is_empty() => out.extend_from_slice(&[0; 4]),
            b'!'..=b'u' => {
                group.push(byte - b'!');
                if group.len() == 5 {
                    flush(&mut group, &mut out);
                }
            }
            other if super::lexer::is_space(*other) => {}
            _ => return Err(Error::Unsupported("un flujo en base 85 dañado")),
        }
    }
    if !group.is_empty() {
        flush(&mut group, &mut out);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn deflated(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    fn flate() -> Vec<(Vec<u8>, Dict)> {
        vec![(b"FlateDecode".to_vec(), Dict::default())]
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = deflated(&vec![0; 50 * 1024 * 1024]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(decode(&mut &*bomb, &flate(), 1024 * 1024), Err(Error::Limit(_))));
    }

    #[test]
    fn a_bomb_within_a_bomb_stops_too() {
        let twice = deflated(&deflated(&vec![0; 50 * 1024 * 1024]));
        let filters = [flate(), flate()].concat();
        assert!(matches!(decode(&mut &*twice, &filters, 1024 * 1024), Err(Error::Limit(_))));
    }

    #[test]
    fn rows_of_png_are_undone() {
        // Sub, Up, Average, Paeth on rows of four bytes.
        let rows = [[1, 1, 1, 1, 1], [2, 1, 1, 1, 1], [3, 5, 5, 5, 5], [4, 1, 1, 1, 1]].concat();
        let mut params = Dict::default();
        params.set("Predictor", Object::Int(12));
        params.set("Columns", Object::Int(4));
        let filters = vec![(b"FlateDecode".to_vec(), params)];
        let out = decode(&mut &*deflated(&rows), &filters, 1000).expect("sound");
        assert_eq!(out, [1, 2, 3, 4, 2, 3, 4, 5, 6, 9, 11, 13, 7, 10, 12, 14]);
    }

    #[test]
    fn hexadecimal_and_base_85_are_read() {
        assert_eq!(hexadecimal(b"48 65 6C6c 6F>zz").expect("sound"), b"Hello");
        assert_eq!(base85(b"87cURD]i,\"Ebo80~>").expect("sound"), b"Hello World!");
    }
}
