//! What a signature forbade to change after it, beyond what nobody may change: fields that it locked (FieldMDP), and any
//! further signature (the `P` of its field's lock, ISO 32000-2 §12.7.5.5). Every change of a field that is not for signatures
//! counts as one anyway; so what is judged here is who signed a field that stood empty and was locked.

use std::io::{Read, Seek};

use super::fields::{self, Found};
use crate::signing::pdf::{Dict, Error, Object, Pdf};

/// References of one signature that are looked at.
const REFERENCES_MAX: usize = 8;
/// Names of fields that are kept.
const FIELDS_MAX: usize = 1_000;

/// The fields that are locked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Fields {
    #[default]
    None,
    All,
    These(Vec<String>),
    AllBut(Vec<String>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Locks {
    /// Of the signature itself, and of its field.
    fields: Vec<Fields>,
    /// Nothing at all may come after it.
    pub closed: bool,
}

impl Locks {
    pub fn of<R: Read + Seek>(pdf: &mut Pdf<R>, found: &Found) -> Result<Self, Error> {
        let mut locks = Self::default();
        let references = pdf.value(&found.dict, "Reference")?;
        for reference in references.as_array().unwrap_or_default().iter().take(REFERENCES_MAX) {
            let Object::Dict(reference) = pdf.resolve(reference)? else { continue };
            if pdf.value(&reference, "TransformMethod")?.as_name() == Some(b"FieldMDP")
                && let Object::Dict(params) = pdf.value(&reference, "TransformParams")?
            {
                locks.fields.push(locked(pdf, &params)?);
            }
        }
        if let Some(lock) = &found.lock {
            locks.fields.push(locked(pdf, lock)?);
            locks.closed = pdf.value(lock, "P")?.as_int() == Some(1);
        }
        Ok(locks)
    }

    /// Whether a field with this full name is locked, by itself or by one above it.
    pub fn hold(&self, name: &str) -> bool {
        let named = |all: &[String]| {
            all.iter()
                .any(|one| name == one || name.strip_prefix(one.as_str()).is_some_and(|rest| rest.starts_with('.')))
        };
        self.fields.iter().any(|fields| match fields {
            Fields::None => false,
            Fields::All => true,
            Fields::These(all) => named(all),
            Fields::AllBut(all) => !named(all),
        })
    }
}

fn locked<R: Read + Seek>(pdf: &mut Pdf<R>, params: &Dict) -> Result<Fields, Error> {
    let list = pdf.value(params, "Fields")?;
    let mut names = Vec::new();
    for name in list.as_array().unwrap_or_default().iter().take(FIELDS_MAX) {
        names.extend(pdf.resolve(name)?.as_bytes().map(fields::text));
    }
    Ok(match pdf.value(params, "Action")?.as_name() {
        Some(b"All") => Fields::All,
        Some(b"Include") => Fields::These(names),
        Some(b"Exclude") => Fields::AllBut(names),
        _ => Fields::None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_locked_by_its_name_or_by_one_above_it() {
        let names = || vec!["firma.jefe".to_owned()];
        let hold = |fields: Fields, name: &str| Locks { fields: vec![fields], closed: false }.hold(name);
        assert!(hold(Fields::All, "x") && !hold(Fields::None, "x"));
        assert!(hold(Fields::These(names()), "firma.jefe") && hold(Fields::These(names()), "firma.jefe.uno"));
        assert!(!hold(Fields::These(names()), "firma.jefes") && !hold(Fields::These(names()), "firma"));
        assert!(!hold(Fields::AllBut(names()), "firma.jefe") && hold(Fields::AllBut(names()), "otra"));
    }
}
