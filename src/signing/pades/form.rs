//! The signature's field: in the form, on its page, and named like no other.

use std::{
    collections::BTreeSet,
    io::{Read, Seek},
};

use super::{
    Order, PadesError,
    stamp::{self, Placed},
    text,
    update::Update,
};
use crate::signing::{
    Identity,
    pdf::{Dict, Object, Pdf, Ref},
};

/// Fields of a form and annotations of a page that are looked at.
pub(super) const LOOKED_AT_MAX: usize = 4096;

/// Print, and do not let it be moved (ISO 32000-1, 12.5.3).
pub(super) const PRINT_AND_LOCKED: i64 = 4 + 128;

/// SignaturesExist and AppendOnly (ISO 32000-1, 12.7.2).
pub(super) const SIGNATURES_APPEND_ONLY: i64 = 3;

/// Whether a certification signature allows no change at all (DocMDP, P 1).
pub fn changes_forbidden<R: Read + Seek>(pdf: &mut Pdf<R>) -> Result<bool, PadesError> {
    let (_, catalog) = pdf.catalog()?;
    let Object::Dict(permissions) = pdf.value(&catalog, "Perms")? else { return Ok(false) };
    let Object::Dict(signature) = pdf.value(&permissions, "DocMDP")? else { return Ok(false) };
    let Object::Array(references) = pdf.value(&signature, "Reference")? else { return Ok(false) };
    for reference in references.iter().take(LOOKED_AT_MAX) {
        let Object::Dict(reference) = pdf.resolve(reference)? else { continue };
        let Object::Dict(parameters) = pdf.value(&reference, "TransformParams")? else { continue };
        if pdf.value(&parameters, "P")?.as_int() == Some(1) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds the field that holds `signature`. Returns its name.
pub fn add_field<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    signature: Ref,
    identity: &Identity,
    order: &Order<'_>,
) -> Result<String, PadesError> {
    let placed = match order.stamp {
        Some(stamp) => stamp::place(pdf, update, stamp, identity, order)?,
        None => Placed { page: pdf.page(0)?, rect: [0.0; 4], appearance: None },
    };
    let name = free_name(pdf)?;
    let field = update.reserve()?;
    let mut dict = Dict::default();
    dict.set("Type", Object::Name(b"Annot".to_vec()));
    dict.set("Subtype", Object::Name(b"Widget".to_vec()));
    dict.set("FT", Object::Name(b"Sig".to_vec()));
    dict.set("T", text(&name));
    dict.set("TU", text(&format!("Firma digital de {}", identity.titular().nombre)));
    dict.set("V", Object::Ref(signature));
    dict.set("P", Object::Ref(placed.page.id));
    dict.set("F", Object::Int(PRINT_AND_LOCKED));
    dict.set("Rect", Object::Array(placed.rect.map(Object::Real).into()));
    if let Some(appearance) = placed.appearance {
        let mut normal = Dict::default();
        normal.set("N", Object::Ref(appearance));
        dict.set("AP", Object::Dict(normal));
    }
    update.put(field, &Object::Dict(dict));
    on_its_page(pdf, update, &placed, field)?;
    in_the_form(pdf, update, &[field], SIGNATURES_APPEND_ONLY)?;
    Ok(name)
}

/// `Firma` with the first number that no field of the form has.
fn free_name<R: Read + Seek>(pdf: &mut Pdf<R>) -> Result<String, PadesError> {
    let mut taken = BTreeSet::new();
    if let Some((_, form)) = pdf.acro_form()?
        && let Object::Array(fields) = pdf.value(&form, "Fields")?
    {
        for field in fields.iter().take(LOOKED_AT_MAX) {
            let Object::Dict(field) = pdf.resolve(field)? else { continue };
            let name = pdf.value(&field, "T")?;
            taken.extend(name.as_bytes().map(plain));
        }
    }
    let free = (1..).map(|n| format!("Firma{n}")).find(|name| !taken.contains(name));
    Ok(free.unwrap_or_default())
}

/// A field's name for comparing: ASCII as it is, also out of UTF-16.
pub(super) fn plain(bytes: &[u8]) -> String {
    let utf16 = bytes.strip_prefix(&[0xfe, 0xff]);
    let bytes: Vec<u8> =
        utf16.map_or_else(|| bytes.to_vec(), |units| units.iter().copied().filter(|b| *b != 0).collect());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Puts the field among the annotations of its page.
fn on_its_page<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    placed: &Placed,
    field: Ref,
) -> Result<(), PadesError> {
    let mut page = placed.page.dict.clone();
    if add_to_list(pdf, update, &mut page, "Annots", &[field])? {
        update.put(placed.page.id, &Object::Dict(page));
    }
    Ok(())
}

/// Puts fields into the form, which is made if there is none, and raises these of its `SigFlags`.
pub(super) fn in_the_form<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    fields: &[Ref],
    raised: i64,
) -> Result<(), PadesError> {
    let (root, mut catalog) = pdf.catalog()?;
    let (place, mut form) = pdf.acro_form()?.unwrap_or_default();
    let listed_here = !fields.is_empty() && add_to_list(pdf, update, &mut form, "Fields", fields)?;
    let flags = form.get("SigFlags").and_then(Object::as_int).unwrap_or(0);
    let flagged = flags | raised == flags;
    form.set("SigFlags", Object::Int(flags | raised));
    match place {
        Some(_) if !listed_here && flagged => {}
        Some(place) => update.put(place, &Object::Dict(form)),
        None => {
            let place = update.reserve()?;
            update.put(place, &Object::Dict(form));
            catalog.set("AcroForm", Object::Ref(place));
            update.put(root, &Object::Dict(catalog));
        }
    }
    Ok(())
}

/// Appends to a list in a dictionary. A list that is an object of its own is written there, and the dictionary stays as it
/// was; the answer tells whether the dictionary changed.
pub(super) fn add_to_list<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    dict: &mut Dict,
    key: &str,
    added: &[Ref],
) -> Result<bool, PadesError> {
    let place = dict.get(key).and_then(Object::as_ref);
    let mut items = pdf.value(dict, key)?.as_array().map(<[Object]>::to_vec).unwrap_or_default();
    items.extend(added.iter().copied().map(Object::Ref));
    match place {
        Some(place) => update.put(place, &Object::Array(items)),
        None => dict.set(key, Object::Array(items)),
    }
    Ok(place.is_none())
}
