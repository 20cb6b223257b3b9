//! Finding the signatures: the fields of the form that hold one.

use std::{
    collections::HashSet,
    io::{Read, Seek},
};

use super::{Findings, SIGNATURES_MAX};
use crate::signing::pdf::{Dict, Error, Object, Pdf, Ref};

/// Fields of one form that are visited.
const FIELDS_MAX: usize = 5_000;
/// Longest text kept from a signature, in characters.
const TEXT_CHARS_MAX: usize = 200;

/// A signature where it was found.
pub(super) struct Found {
    pub name: String,
    /// The object that holds the signature's dictionary, if it is not written in the field itself.
    pub object: Option<Ref>,
    pub dict: Dict,
    /// It lies in the file itself, not in a compressed object: only then can it be left out of its own digest.
    pub in_file: bool,
    /// What its field locks once it is signed.
    pub lock: Option<Dict>,
}

/// A field to visit, with what it inherits.
struct Open {
    id: Ref,
    name: String,
    is_signature: bool,
}

/// Every signature of the form, in the order of the form.
pub(super) fn signatures<R: Read + Seek>(pdf: &mut Pdf<R>, findings: &mut Findings) -> Result<Vec<Found>, Error> {
    let mut found: Vec<Found> = Vec::new();
    let Some((_, form)) = pdf.acro_form()? else { return Ok(found) };
    let roots = pdf.value(&form, "Fields")?;
    let roots = roots.as_array().unwrap_or_default().iter().rev().filter_map(Object::as_ref);
    let mut open: Vec<Open> =
        roots.take(FIELDS_MAX).map(|id| Open { id, name: String::new(), is_signature: false }).collect();
    let mut seen = HashSet::new();
    while let Some(field) = open.pop() {
        if !seen.insert(field.id) {
            continue;
        }
        if seen.len() > FIELDS_MAX {
            findings.fail("demasiadas_firmas", format!("El formulario tiene más de {FIELDS_MAX} campos."));
            break;
        }
        let object = match pdf.object(field.id) {
            Ok(object) => object,
            Err(error) if error.ends_all() => return Err(error),
            Err(_) => {
                findings.warn("objeto_danado", "Un campo del formulario está dañado.");
                continue;
            }
        };
        let Some(Object::Dict(dict)) = object.as_ref().map(|object| &object.value) else { continue };
        let (name, is_signature) = heir(pdf, dict, &field)?;
        let kids = pdf.value(dict, "Kids")?;
        let kids = kids.as_array().unwrap_or_default().iter().rev().filter_map(Object::as_ref);
        open.extend(kids.take(FIELDS_MAX).map(|id| Open { id, name: name.clone(), is_signature }));
        if !is_signature {
            continue;
        }
        let direct = object.as_ref().is_some_and(|object| object.within.is_none());
        if let Some(mut one) = held(pdf, name, dict, direct)? {
            one.lock = pdf.value(dict, "Lock")?.as_dict().cloned();
            if found.len() >= SIGNATURES_MAX {
                findings.fail("demasiadas_firmas", format!("El PDF tiene más de {SIGNATURES_MAX} firmas."));
                break;
            }
            found.push(one);
        }
    }
    Ok(found)
}

/// The full name of a field, and whether it is one for signatures.
fn heir<R: Read + Seek>(pdf: &mut Pdf<R>, dict: &Dict, field: &Open) -> Result<(String, bool), Error> {
    let own = pdf.value(dict, "T")?;
    let own = own.as_bytes().map(text);
    let name = match (own, field.name.is_empty()) {
        (Some(own), true) => own,
        (Some(own), false) => format!("{}.{own}", field.name),
        (None, _) => field.name.clone(),
    };
    let kind = pdf.value(dict, "FT")?;
    let is_signature = kind.as_name().map_or(field.is_signature, |kind| kind == b"Sig");
    Ok((name.chars().take(TEXT_CHARS_MAX).collect(), is_signature))
}

/// The signature that a field holds, if it holds one.
fn held<R: Read + Seek>(pdf: &mut Pdf<R>, name: String, dict: &Dict, direct: bool) -> Result<Option<Found>, Error> {
    match dict.get("V") {
        Some(Object::Ref(id)) => {
            let id = *id;
            let value = match pdf.object(id) {
                Ok(value) => value,
                Err(error) if error.ends_all() => return Err(error),
                // Shown as a signature without anything in it.
                Err(_) => {
                    return Ok(Some(Found {
                        name,
                        object: Some(id),
                        dict: Dict::default(),
                        in_file: false,
                        lock: None,
                    }));
                }
            };
            Ok(value.and_then(|value| {
                let in_file = value.within.is_none();
                let Object::Dict(dict) = value.value else { return None };
                Some(Found { name, object: Some(id), dict, in_file, lock: None })
            }))
        }
        Some(Object::Dict(inner)) => {
            Ok(Some(Found { name, object: None, dict: inner.clone(), in_file: direct, lock: None }))
        }
        _ => Ok(None),
    }
}

/// A text string: UTF-16 or (nearly) Latin-1; control characters left out.
pub(super) fn text(bytes: &[u8]) -> String {
    let decoded = match bytes {
        [0xfe, 0xff, rest @ ..] => {
            let units: Vec<u16> =
                rest.chunks_exact(2).map(|pair| pair.iter().fold(0u16, |unit, b| unit << 8 | u16::from(*b))).collect();
            String::from_utf16_lossy(&units)
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    decoded.trim().chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// `D:20261121093000-05'00'`, which may end after any of its parts.
pub(super) fn date(text: &str) -> Option<jiff::Timestamp> {
    let text = text.strip_prefix("D:").unwrap_or(text);
    let digits: String = text.chars().take_while(char::is_ascii_digit).take(14).collect();
    let zone = text.get(digits.len()..)?;
    let full = format!("{digits}{}", "00000101000000".get(digits.len()..)?);
    let part = |from: usize, to: usize| full.get(from..to);
    let zone: String = zone.chars().filter(|c| *c != '\'').collect();
    let zone = match zone.get(..1) {
        Some("+" | "-") => format!("{}{}:{}", zone.get(..1)?, zone.get(1..3)?, zone.get(3..5).unwrap_or("00")),
        _ => "Z".to_owned(),
    };
    (digits.len() >= 4).then_some(())?;
    let [y, mo, d] = [part(0, 4)?, part(4, 6)?, part(6, 8)?];
    let [h, mi, s] = [part(8, 10)?, part(10, 12)?, part(12, 14)?];
    format!("{y}-{mo}-{d}T{h}:{mi}:{s}{zone}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_a_pdf_are_read() {
        let read = |text| date(text).map(|at| at.to_string());
        assert_eq!(read("D:20261121093000-05'00'").as_deref(), Some("2026-11-21T14:30:00Z"));
        assert_eq!(read("D:20261121143000Z").as_deref(), Some("2026-11-21T14:30:00Z"));
        assert_eq!(read("D:2026").as_deref(), Some("2026-01-01T00:00:00Z"));
        for odd in ["", "D:", "D:20261399", "D:20261121093000+é", "mañana"] {
            assert_eq!(date(odd), None, "{odd}");
        }
    }
}
