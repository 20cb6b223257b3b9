//! Fields for signatures that stand in a form before anybody signs: made empty, found by name, filled. Filling changes the
//! field's value and look and nothing else, so earlier signatures stay whole.

use std::{
    collections::HashSet,
    io::{Read, Seek, Write},
};

use super::{
    Order, PadesError,
    form::{self, LOOKED_AT_MAX, PRINT_AND_LOCKED, SIGNATURES_APPEND_ONLY},
    stamp, text,
    update::Update,
};
use crate::signing::{
    Identity,
    pdf::{Dict, Object, Page, Pdf, Ref},
};

/// AppendOnly (ISO 32000-1, 12.7.2): so that programs add to the file and do not write it anew.
const APPEND_ONLY: i64 = 2;

/// A place for a signature.
#[derive(Debug, Clone, PartialEq)]
pub struct EmptyField {
    /// Without a full stop, which parts the names of fields within fields.
    pub name: String,
    /// What it is for, in words.
    pub about: String,
    /// From 0.
    pub page: usize,
    /// Left, top, width and height in points, from the page's left top corner.
    pub area: [f32; 4],
}

/// A signature field of the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    /// What it is for, in words; empty if it does not say.
    pub about: String,
    pub signed: bool,
}

/// Adds empty signature fields to a PDF, as an update.
pub fn add_empty_fields(
    pdf: &[u8],
    fields: &[EmptyField],
    mark: &[u8; 16],
    mut output: impl Write,
) -> Result<(), PadesError> {
    let mut read = Pdf::open(std::io::Cursor::new(pdf))?;
    super::fit(&mut read)?;
    let mut update = Update::new(&read)?;
    let nothing = update.reserve()?;
    let mut made = Vec::new();
    for field in fields {
        let id = update.reserve()?;
        made.push(id);
        let page = read.page(field.page)?;
        update.put(id, &Object::Dict(empty(field, &page, nothing)));
    }
    // PDF/A wants every field to have a look; this one shows nothing.
    let mut look = Dict::default();
    look.set("Type", Object::Name(b"XObject".to_vec()));
    look.set("Subtype", Object::Name(b"Form".to_vec()));
    look.set("BBox", Object::Array([0, 0, 1, 1].map(Object::Int).into()));
    look.set("Resources", Object::Dict(Dict::default()));
    update.put_stream(nothing, look, b"");
    let mut pages: Vec<usize> = fields.iter().map(|field| field.page).collect();
    pages.sort_unstable();
    pages.dedup();
    for index in pages {
        let page = read.page(index)?;
        let here = fields.iter().zip(&made).filter(|(field, _)| field.page == index).map(|(_, id)| *id);
        let mut dict = page.dict.clone();
        if form::add_to_list(&mut read, &mut update, &mut dict, "Annots", &here.collect::<Vec<_>>())? {
            update.put(page.id, &Object::Dict(dict));
        }
    }
    form::in_the_form(&mut read, &mut update, &made, APPEND_ONLY)?;
    output.write_all(pdf)?;
    output.write_all(&update.finish(mark)?)?;
    Ok(())
}

fn empty(field: &EmptyField, page: &Page, look: Ref) -> Dict {
    let [_, _, _, top] = page.media_box.unwrap_or([0.0, 0.0, 595.28, 841.89]);
    let [left, from_top, width, height] = field.area.map(f64::from);
    let rect = [left, top - from_top - height, left + width, top - from_top];
    let mut dict = Dict::default();
    dict.set("Type", Object::Name(b"Annot".to_vec()));
    dict.set("Subtype", Object::Name(b"Widget".to_vec()));
    dict.set("FT", Object::Name(b"Sig".to_vec()));
    dict.set("T", text(&field.name));
    dict.set("TU", text(&field.about));
    dict.set("P", Object::Ref(page.id));
    dict.set("F", Object::Int(PRINT_AND_LOCKED));
    dict.set("Rect", Object::Array(rect.map(Object::Real).into()));
    let mut normal = Dict::default();
    normal.set("N", Object::Ref(look));
    dict.set("AP", Object::Dict(normal));
    dict
}

/// The signature fields of a PDF, signed or not, in the order of the form.
pub fn signature_fields<R: Read + Seek>(input: R) -> Result<Vec<Known>, PadesError> {
    let mut pdf = Pdf::open(input)?;
    let found = all(&mut pdf)?;
    let mut known = Vec::with_capacity(found.len());
    for Found { dict, name, signed, .. } in found {
        let about = pdf.value(&dict, "TU")?.as_bytes().map(form::plain).unwrap_or_default();
        known.push(Known { name, about, signed });
    }
    Ok(known)
}

struct Found {
    id: Ref,
    dict: Dict,
    name: String,
    signed: bool,
}

fn all<R: Read + Seek>(pdf: &mut Pdf<R>) -> Result<Vec<Found>, PadesError> {
    let mut found = Vec::new();
    let Some((_, form)) = pdf.acro_form()? else { return Ok(found) };
    let roots = pdf.value(&form, "Fields")?;
    let ids = |list: &Object| -> Vec<Ref> {
        let items = list.as_array().unwrap_or_default().iter().rev();
        items.filter_map(Object::as_ref).take(LOOKED_AT_MAX).collect()
    };
    let mut open: Vec<(Ref, String, bool)> = ids(&roots).into_iter().map(|id| (id, String::new(), false)).collect();
    let mut seen = HashSet::new();
    while let Some((id, above, inherited)) = open.pop() {
        if seen.len() >= LOOKED_AT_MAX {
            break;
        }
        if !seen.insert(id) {
            continue;
        }
        let Some(Object::Dict(dict)) = pdf.object(id)?.map(|object| object.value) else { continue };
        let own = pdf.value(&dict, "T")?.as_bytes().map(form::plain);
        let name = match own {
            Some(own) if above.is_empty() => own,
            Some(own) => format!("{above}.{own}"),
            // A widget of the field above it.
            None => continue,
        };
        let is_signature = pdf.value(&dict, "FT")?.as_name().map_or(inherited, |kind| kind == b"Sig");
        let kids = pdf.value(&dict, "Kids")?;
        open.extend(ids(&kids).into_iter().map(|kid| (kid, name.clone(), is_signature)));
        if is_signature {
            let signed = pdf.value(&dict, "V")? != Object::Null;
            found.push(Found { id, dict, name, signed });
        }
    }
    Ok(found)
}

/// Puts the signature into the empty field of this name. Returns the name.
pub(super) fn fill<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    signature: Ref,
    identity: &Identity,
    order: &Order<'_>,
    name: &str,
) -> Result<String, PadesError> {
    let fields = all(pdf)?;
    let Some(field) = fields.iter().find(|field| field.name == name) else {
        let empty = fields.into_iter().filter(|field| !field.signed).map(|field| field.name).collect();
        return Err(PadesError::NoField { name: name.to_owned(), empty });
    };
    if field.signed {
        return Err(PadesError::FieldSigned(name.to_owned()));
    }
    let mut dict = field.dict.clone();
    dict.set("V", Object::Ref(signature));
    // The place on the page is the field itself, or its only kid.
    let kids = pdf.value(&dict, "Kids")?;
    let kid = kids.as_array().unwrap_or_default().first().and_then(Object::as_ref);
    let widget = match kid {
        Some(kid) => pdf.object(kid)?.and_then(|object| object.value.as_dict().cloned()).map(|dict| (kid, dict)),
        None => None,
    };
    match widget {
        Some((id, mut widget)) => {
            if look(pdf, update, &mut widget, identity, order)? {
                update.put(id, &Object::Dict(widget));
            }
        }
        None => {
            look(pdf, update, &mut dict, identity, order)?;
        }
    }
    update.put(field.id, &Object::Dict(dict));
    form::in_the_form(pdf, update, &[], SIGNATURES_APPEND_ONLY)?;
    Ok(name.to_owned())
}

/// Draws the signature into its box. `false` if it is seen nowhere.
fn look<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    widget: &mut Dict,
    identity: &Identity,
    order: &Order<'_>,
) -> Result<bool, PadesError> {
    let rect = pdf.value(widget, "Rect")?;
    let numbers: Vec<f64> = rect.as_array().unwrap_or_default().iter().take(4).filter_map(Object::as_f64).collect();
    let Ok(rect) = <[f64; 4]>::try_from(numbers) else { return Ok(false) };
    let page = page_of(pdf, widget)?;
    let Some(drawn) = stamp::within(pdf, update, &page, rect, identity, order)? else { return Ok(false) };
    let mut normal = Dict::default();
    normal.set("N", Object::Ref(drawn));
    widget.set("AP", Object::Dict(normal));
    Ok(true)
}

fn page_of<R: Read + Seek>(pdf: &mut Pdf<R>, widget: &Dict) -> Result<Page, PadesError> {
    let stated = widget.get("P").and_then(Object::as_ref);
    let mut pages = pdf.pages()?;
    while let Some(page) = pages.next(pdf)? {
        if Some(page.id) == stated {
            return Ok(page);
        }
    }
    Ok(pdf.page(0)?)
}
