//! One saving compared with the one before it. What further signatures, their fields and their evidence need is explained
//! by walking to it from the catalog; every other change is named. An object counts as explained only if nothing that stood
//! there before shows it: a document can be prepared so that a later "signature" fills a hole in a page.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Seek},
};

use super::{changes::Difference, fields};
use crate::{
    domain::firmas::Gravedad,
    signing::pdf::{Dict, Error, Indirect, Object, Pdf, Ref},
};

/// Objects of which one saving may speak.
const NUMBERS_MAX: usize = 100_000;
/// Objects searched for references.
const OBJECTS_MAX: usize = 200_000;
/// Fields within fields.
const FIELD_DEPTH_MAX: usize = 16;
/// Differences named for one saving.
const NAMED_MAX: usize = 20;

pub(super) struct Step<'a, R> {
    pub pdf: &'a mut Pdf<R>,
    pub old: usize,
    pub new: usize,
    /// Numbers whose content is not what it was; `true` if there was nothing before.
    changed: BTreeMap<u32, bool>,
    explained: BTreeSet<u32>,
    /// Explained, though they existed: they must have one role only.
    sensitive: BTreeSet<u32>,
    /// Widgets and fields of signatures.
    widgets: BTreeSet<u32>,
    differences: Vec<Difference>,
}

/// What this saving did to the one before.
pub(super) fn compare<R: Read + Seek>(pdf: &mut Pdf<R>, new: usize) -> Result<Vec<Difference>, Error> {
    let old = new.saturating_sub(1);
    let mut step = Step {
        pdf,
        old,
        new,
        changed: BTreeMap::new(),
        explained: BTreeSet::new(),
        sensitive: BTreeSet::new(),
        widgets: BTreeSet::new(),
        differences: Vec::new(),
    };
    step.collect()?;
    if !step.changed.is_empty() || step.pdf.trailer_at(old)?.get("Root") != step.pdf.trailer_at(new)?.get("Root") {
        step.catalog()?;
        step.signed_fields()?;
        step.pages()?;
        step.metadata()?;
        step.single_roles()?;
        step.leftovers()?;
    }
    Ok(step.differences)
}

/// The saving of a certifying signature that allows no change at all (DocMDP with `P` 1).
pub(super) fn sealed<R: Read + Seek>(pdf: &mut Pdf<R>) -> Result<Option<usize>, Error> {
    let (_, catalog) = pdf.catalog()?;
    let Object::Dict(perms) = pdf.value(&catalog, "Perms")? else { return Ok(None) };
    let Some(id) = perms.get("DocMDP").and_then(Object::as_ref) else { return Ok(None) };
    let Some(signature) = pdf.object(id)? else { return Ok(None) };
    let Some(dict) = signature.value.as_dict() else { return Ok(None) };
    let references = pdf.value(dict, "Reference")?;
    for reference in references.as_array().unwrap_or_default().iter().take(8) {
        let Object::Dict(reference) = pdf.resolve(reference)? else { continue };
        let Object::Dict(params) = pdf.value(&reference, "TransformParams")? else { continue };
        if pdf.value(&params, "P")?.as_int() == Some(1) {
            let at = signature.at.start;
            return Ok(pdf.revisions().iter().position(|revision| revision.end.is_some_and(|end| at < end)));
        }
    }
    Ok(None)
}

impl<R: Read + Seek> Step<'_, R> {
    fn grave(&mut self, code: &'static str, text: impl Into<String>) {
        self.tell(Gravedad::Grave, code, text.into());
    }

    fn tell(&mut self, severity: Gravedad, code: &'static str, text: String) {
        self.note(Difference { code, severity, text, signs: None });
    }

    /// What says nothing bad must not take the place of what does; and who signed more fields in one saving than are named may
    /// have signed one that was locked.
    fn note(&mut self, difference: Difference) {
        if self.differences.contains(&difference) {
            return;
        }
        let alike = self.differences.iter().filter(|known| known.severity == difference.severity).count();
        if alike < NAMED_MAX {
            self.differences.push(difference);
        } else if difference.signs.is_some() {
            self.grave(
                "cambio_formulario",
                "Después de firmar se firmaron de una vez más campos de los que se comparan.",
            );
        }
    }

    fn before(&mut self, number: u32) -> Result<Option<Indirect>, Error> {
        self.any(number, self.old)
    }

    fn after(&mut self, number: u32) -> Result<Option<Indirect>, Error> {
        self.any(number, self.new)
    }

    /// An object of any generation; one that cannot be read is as good as none.
    fn any(&mut self, number: u32, revision: usize) -> Result<Option<Indirect>, Error> {
        match self.pdf.numbered_at(number, revision) {
            Err(error) if error.ends_all() => Err(error),
            Err(_) => Ok(None),
            found => found,
        }
    }

    fn dict_before(&mut self, number: u32) -> Result<Option<Dict>, Error> {
        Ok(self.before(number)?.and_then(|found| found.value.as_dict().cloned()))
    }

    fn dict_after(&mut self, number: u32) -> Result<Option<Dict>, Error> {
        Ok(self.after(number)?.and_then(|found| found.value.as_dict().cloned()))
    }

    fn is_new(&self, number: u32) -> bool {
        self.changed.get(&number) == Some(&true)
    }

    /// Finds the objects that are not what they were.
    fn collect(&mut self) -> Result<(), Error> {
        for number in self.pdf.numbers_in(self.new, NUMBERS_MAX)? {
            if number == 0 {
                continue;
            }
            let (before, after) = (self.before(number)?, self.after(number)?);
            let structural = |found: &Option<Indirect>| {
                let kind = found.as_ref().and_then(|found| found.value.as_dict()?.get("Type")?.as_name());
                matches!(kind, Some(b"XRef" | b"ObjStm"))
            };
            let scaffold = structural(&after) && (before.is_none() || structural(&before));
            if !scaffold && !self.same(&before, &after)? {
                self.changed.insert(number, before.is_none());
            }
        }
        Ok(())
    }

    fn same(&mut self, before: &Option<Indirect>, after: &Option<Indirect>) -> Result<bool, Error> {
        let (Some(before), Some(after)) = (before, after) else { return Ok(before.is_none() && after.is_none()) };
        if before.value != after.value {
            return Ok(false);
        }
        let (Some(one), Some(other)) = (before.stream, after.stream) else {
            return Ok(before.stream.is_none() && after.stream.is_none());
        };
        if one == other {
            return Ok(true);
        }
        if one.len() != other.len() {
            return Ok(false);
        }
        let (mut left, mut right) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        let mut done = 0;
        while done < one.len() {
            let wanted = usize::try_from(one.len() - done).unwrap_or(usize::MAX).min(left.len());
            let read = self.pdf.read_at(one.start + done, left.get_mut(..wanted).unwrap_or_default())?;
            self.pdf.read_at(other.start + done, right.get_mut(..wanted).unwrap_or_default())?;
            if read == 0 || left.get(..wanted) != right.get(..wanted) {
                return Ok(false);
            }
            done += read as u64;
        }
        Ok(true)
    }

    /// Explains what is new and is reached from this value through what is new.
    fn explain_new(&mut self, value: &Object) -> Result<(), Error> {
        let mut open = Vec::new();
        value.references(&mut open);
        while let Some(id) = open.pop() {
            if self.is_new(id.number)
                && self.explained.insert(id.number)
                && let Some(found) = self.after(id.number)?
            {
                found.value.references(&mut open);
            }
        }
        Ok(())
    }

    /// Explains this object itself; if it existed, it must turn out to have no other role.
    fn explain(&mut self, id: Option<Ref>) {
        if let Some(id) = id {
            self.explained.insert(id.number);
            if self.changed.get(&id.number) == Some(&false) {
                self.sensitive.insert(id.number);
            }
        }
    }

    fn catalog(&mut self) -> Result<(), Error> {
        let (old_id, old) = self.pdf.catalog_at(self.old)?;
        let (new_id, new) = self.pdf.catalog_at(self.new)?;
        if old_id.number != new_id.number {
            self.grave("catalogo_reemplazado", "Después de firmar se reemplazó la raíz del documento.");
        }
        self.explained.insert(new_id.number);
        for key in differing(&old, &new) {
            match &*key {
                "DSS" | "AcroForm" | "Extensions" | "Version" | "Metadata" => {}
                "Perms" if old.get("Perms").is_none() => {}
                "OpenAction" | "AA" => {
                    self.grave(
                        "accion_agregada",
                        "Después de firmar se puso una acción que se ejecuta al abrir el PDF.",
                    );
                }
                "Pages" => self.grave("cambio_pagina", "Después de firmar se reemplazó el conjunto de páginas."),
                key => {
                    let text = format!("Después de firmar se cambió «{key}» en la raíz del documento.");
                    self.grave("cambio_catalogo", text);
                }
            }
        }
        for key in ["Extensions", "Perms"] {
            self.explain_new(new.get(key).unwrap_or(&Object::Null))?;
        }
        self.form(&old, &new)?;
        self.store(old.get("DSS"), new.get("DSS"))
    }

    /// The form: further fields for signatures, and nothing else.
    fn form(&mut self, old: &Dict, new: &Dict) -> Result<(), Error> {
        let as_dict = |value: Object| value.as_dict().cloned().unwrap_or_default();
        let before = as_dict(self.pdf.value_at(old, "AcroForm", self.old)?);
        let after = as_dict(self.pdf.value_at(new, "AcroForm", self.new)?);
        if let Some(id) = new.get("AcroForm").and_then(Object::as_ref) {
            self.explained.insert(id.number);
        }
        for key in differing(&before, &after) {
            if !matches!(&*key, "Fields" | "SigFlags" | "DR" | "DA") {
                let text = format!("Después de firmar se cambió «{key}» en el formulario.");
                self.grave("cambio_formulario", text);
            }
        }
        self.explain_new(after.get("DR").unwrap_or(&Object::Null))?;
        self.explain(after.get("Fields").and_then(Object::as_ref));
        let list = |value: Object| -> BTreeSet<Ref> {
            value.as_array().unwrap_or_default().iter().filter_map(Object::as_ref).collect()
        };
        let old_fields = list(self.pdf.value_at(&before, "Fields", self.old)?);
        let new_fields = list(self.pdf.value_at(&after, "Fields", self.new)?);
        if old_fields.difference(&new_fields).next().is_some() {
            self.grave("campo_quitado", "Después de firmar se quitaron campos del formulario.");
        }
        for id in new_fields.difference(&old_fields) {
            self.new_field(*id)?;
        }
        Ok(())
    }

    fn new_field(&mut self, id: Ref) -> Result<(), Error> {
        let Some(dict) = self.dict_after(id.number)? else { return Ok(()) };
        if !dict.get("FT").is_some_and(|kind| kind.is_name("Sig")) {
            self.explained.insert(id.number);
            self.grave("campo_agregado", "Después de firmar se agregó un campo de formulario que no es de firma.");
            return Ok(());
        }
        // One that existed as something else stays unexplained.
        if self.is_new(id.number) {
            self.explained.insert(id.number);
        }
        self.widgets.insert(id.number);
        for key in ["V", "AP", "MK", "Lock", "SV", "Kids"] {
            self.explain_new(dict.get(key).unwrap_or(&Object::Null))?;
        }
        let kids = dict.get("Kids").and_then(Object::as_array).unwrap_or_default();
        self.widgets.extend(kids.iter().filter_map(Object::as_ref).map(|kid| kid.number));
        self.tell_signature(&dict, None)
    }

    /// `signs`: the name of the field, if it stood there before.
    fn tell_signature(&mut self, field: &Dict, signs: Option<String>) -> Result<(), Error> {
        let Object::Dict(value) = self.pdf.value_at(field, "V", self.new)? else { return Ok(()) };
        let stamp = value.get("SubFilter").is_some_and(|format| format.is_name("ETSI.RFC3161"));
        if stamp {
            self.tell(Gravedad::Informacion, "sello_agregado", "Después se agregó un sello de tiempo.".into());
        } else {
            let (code, text) = ("firma_agregada", "Después se agregó otra firma.".into());
            self.note(Difference { code, severity: Gravedad::Informacion, text, signs });
        }
        Ok(())
    }

    /// Fields for signatures that stood empty and were signed.
    fn signed_fields(&mut self) -> Result<(), Error> {
        for number in self.unexplained() {
            let (Some(old), Some(new)) = (self.dict_before(number)?, self.dict_after(number)?) else { continue };
            let parent = old.get("Parent").and_then(Object::as_ref);
            let of_signature = match parent {
                Some(parent) => self.dict_before(parent.number)?.is_some_and(|dict| is_signature_field(&dict)),
                None => false,
            };
            if !is_signature_field(&old) && !of_signature {
                continue;
            }
            let fine = |key: &String| matches!(&**key, "V" | "AP" | "AS" | "F" | "M" | "MK" | "DA");
            if !differing(&old, &new).iter().all(fine) {
                continue;
            }
            self.explained.insert(number);
            self.widgets.insert(number);
            if old.get("V").is_some_and(|value| *value != Object::Null) && old.get("V") != new.get("V") {
                self.grave("firma_reemplazada", "Después de firmar se reemplazó el contenido de un campo de firma.");
                continue;
            }
            for key in ["V", "AP", "MK"] {
                self.explain_new(new.get(key).unwrap_or(&Object::Null))?;
            }
            if old.get("V") != new.get("V") {
                let name = self.full_name(&new)?;
                self.tell_signature(&new, Some(name))?;
            } else {
                // Another look for a signature that was made already, or for none.
                self.grave("cambio_anotacion", "Después de firmar se cambió cómo se ve una firma en la página.");
            }
        }
        Ok(())
    }

    /// The name of a field with those of the fields above it.
    fn full_name(&mut self, field: &Dict) -> Result<String, Error> {
        let (mut parts, mut at) = (Vec::new(), field.clone());
        for _ in 0..FIELD_DEPTH_MAX {
            parts.extend(self.pdf.value_at(&at, "T", self.new)?.as_bytes().map(fields::text));
            let Some(parent) = at.get("Parent").and_then(Object::as_ref) else { break };
            let Some(above) = self.dict_after(parent.number)? else { break };
            at = above;
        }
        parts.reverse();
        Ok(parts.join("."))
    }

    fn unexplained(&self) -> Vec<u32> {
        self.changed.keys().filter(|number| !self.explained.contains(number)).copied().collect()
    }

    /// Pages may gain the widgets of signatures, and nothing else.
    fn pages(&mut self) -> Result<(), Error> {
        if self.unexplained().is_empty() {
            return Ok(());
        }
        let mut pages = self.pdf.pages_at(self.new)?;
        let mut page_number = 0u64;
        while let Some(page) = pages.next(self.pdf)? {
            page_number += 1;
            let list = page.dict.get("Annots").and_then(Object::as_ref);
            let touched = self.changed.contains_key(&page.id.number)
                || list.is_some_and(|id| self.changed.contains_key(&id.number));
            if !touched {
                continue;
            }
            let Some(old) = self.dict_before(page.id.number)? else {
                self.explained.insert(page.id.number);
                self.grave("cambio_pagina", format!("Después de firmar se agregó la página {page_number}."));
                continue;
            };
            self.explained.insert(page.id.number);
            for key in differing(&old, &page.dict).iter().filter(|key| *key != "Annots") {
                let text = format!("Después de firmar se cambió la página {page_number} («{key}»).");
                self.grave("cambio_pagina", text);
            }
            self.annotations(&old, &page.dict, page_number)?;
        }
        Ok(())
    }

    fn annotations(&mut self, old: &Dict, new: &Dict, page: u64) -> Result<(), Error> {
        let before = self.pdf.value_at(old, "Annots", self.old)?;
        let after = self.pdf.value_at(new, "Annots", self.new)?;
        self.explain(new.get("Annots").and_then(Object::as_ref));
        let (before, after) = (before.as_array().unwrap_or_default(), after.as_array().unwrap_or_default());
        let set = |list: &[Object]| -> BTreeSet<Ref> { list.iter().filter_map(Object::as_ref).collect() };
        let (old_set, new_set) = (set(before), set(after));
        if old_set.difference(&new_set).next().is_some() {
            self.grave("cambio_anotacion", format!("Después de firmar se quitaron anotaciones de la página {page}."));
        }
        let direct = |list: &[Object]| list.iter().filter(|item| item.as_ref().is_none()).cloned().collect::<Vec<_>>();
        let mut foreign = direct(before) != direct(after);
        for id in new_set.difference(&old_set) {
            if !self.widgets.contains(&id.number) {
                foreign = true;
                self.explained.insert(id.number);
                if let Some(found) = self.after(id.number)? {
                    self.explain_new(&found.value)?;
                }
            }
        }
        if foreign {
            self.grave("cambio_anotacion", format!("Después de firmar se agregaron anotaciones a la página {page}."));
        }
        Ok(())
    }

    /// The document's security store: evidence for signatures, in the places that the standard gives it.
    fn store(&mut self, old: Option<&Object>, new: Option<&Object>) -> Result<(), Error> {
        let Some(new) = new else { return Ok(()) };
        let mut pairs = vec![(old.cloned(), new.clone(), 0u8)];
        while let Some((old, new, depth)) = pairs.pop() {
            let held = (old.as_ref().and_then(Object::as_ref), new.as_ref());
            if let (Some(before), Some(after)) = held
                && before == after
            {
                self.explain(Some(after));
            }
            self.explain_new(&new)?;
            if depth >= 3 {
                continue;
            }
            let before = match old {
                Some(old) => self.pdf.resolve_at(&old, self.old)?.as_dict().cloned().unwrap_or_default(),
                None => Dict::default(),
            };
            let Object::Dict(after) = self.pdf.resolve_at(&new, self.new)? else { continue };
            if after.iter().any(|entry| matches!(&*entry.key, b"Contents" | b"Resources" | b"Parent")) {
                self.grave(
                    "cambio_otro",
                    "Después de firmar se cambió un objeto que hace las veces de evidencia y de página.",
                );
            }
            for entry in after.iter().take(256) {
                let key = String::from_utf8_lossy(&entry.key);
                pairs.push((before.get(&key).cloned(), entry.value.clone(), depth + 1));
            }
            if pairs.len() > 4096 {
                return Err(Error::Limit("evidencias de un documento"));
            }
        }
        Ok(())
    }

    fn metadata(&mut self) -> Result<(), Error> {
        let info = |trailer: &Dict| trailer.get("Info").and_then(Object::as_ref);
        let old_info = info(self.pdf.trailer_at(self.old)?);
        let new_info = info(self.pdf.trailer_at(self.new)?);
        let (_, old) = self.pdf.catalog_at(self.old)?;
        let (_, new) = self.pdf.catalog_at(self.new)?;
        let xmp = |catalog: &Dict| catalog.get("Metadata").and_then(Object::as_ref);
        for (before, after) in [(old_info, new_info), (xmp(&old), xmp(&new))] {
            let Some(after) = after.filter(|id| self.changed.contains_key(&id.number)) else { continue };
            if before == Some(after) || self.is_new(after.number) {
                self.explain(Some(after));
                let text = "Después se cambiaron los datos descriptivos del archivo (metadatos).";
                self.tell(Gravedad::Informacion, "metadatos_cambiados", text.into());
            }
        }
        Ok(())
    }

    /// Looks for what else refers to explained objects: new ones must have no place in what stood there before, and changed
    /// ones only the one that explained them.
    fn single_roles(&mut self) -> Result<(), Error> {
        let new: BTreeSet<u32> = self.explained.iter().filter(|number| self.is_new(**number)).copied().collect();
        if new.is_empty() && self.sensitive.is_empty() {
            return Ok(());
        }
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        let mut filled = false;
        let highest = self.pdf.highest_number();
        if usize::try_from(highest).unwrap_or(usize::MAX) > OBJECTS_MAX {
            return Err(Error::Limit("objetos"));
        }
        for number in 1..=highest {
            // A hole is a reference that stood there and led nowhere, whatever became of who holds it.
            filled |= refers(self.before(number)?).intersection(&new).next().is_some();
            if !self.sensitive.is_empty() {
                for sensitive in refers(self.after(number)?).intersection(&self.sensitive) {
                    *counts.entry(*sensitive).or_default() += 1;
                }
            }
        }
        if filled {
            let text = "Después de firmar se llenó un hueco que el documento traía preparado.";
            self.grave("hueco_llenado", text);
        }
        if counts.values().any(|count| *count > 1) {
            let text = "Después de firmar se cambió un objeto que también se muestra en otra parte del documento.";
            self.grave("objeto_doble", text);
        }
        Ok(())
    }

    /// Names what nothing explains.
    fn leftovers(&mut self) -> Result<(), Error> {
        for number in self.unexplained() {
            let found = match self.after(number)? {
                Some(found) => Some(found),
                None => self.before(number)?,
            };
            let (code, what) = kind(found.as_ref());
            self.grave(code, format!("Después de firmar se cambió {what}."));
        }
        Ok(())
    }
}

/// The numbers of all objects that this one refers to. A table stream is also a trailer: what it names as one does not count.
fn refers(found: Option<Indirect>) -> BTreeSet<u32> {
    let mut references = Vec::new();
    match found {
        Some(Indirect { value: Object::Dict(dict), stream: Some(_), .. })
            if dict.get("Type").is_some_and(|kind| kind.is_name("XRef")) =>
        {
            let other = dict.iter().filter(|entry| !matches!(&*entry.key, b"Root" | b"Info" | b"Encrypt"));
            other.for_each(|entry| entry.value.references(&mut references));
        }
        Some(found) => found.value.references(&mut references),
        None => {}
    }
    references.into_iter().map(|id| id.number).collect()
}

fn is_signature_field(dict: &Dict) -> bool {
    dict.get("FT").is_some_and(|kind| kind.is_name("Sig"))
}

/// The keys under which two dictionaries differ.
fn differing(old: &Dict, new: &Dict) -> BTreeSet<String> {
    let name = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let keys: BTreeSet<String> = old.iter().chain(new.iter()).map(|entry| name(&entry.key)).collect();
    // A repeated key counts as a difference of its own.
    keys.into_iter().filter(|key| old.get(key) != new.get(key) || new.count(key) != old.count(key)).collect()
}

/// What an object is, as far as it says.
fn kind(found: Option<&Indirect>) -> (&'static str, &'static str) {
    let Some(found) = found else { return ("cambio_otro", "un objeto que no se puede leer") };
    let Some(dict) = found.value.as_dict() else { return ("cambio_otro", "un dato del documento") };
    let name = |key: &str| dict.get(key).and_then(Object::as_name).unwrap_or_default();
    match (name("Type"), name("Subtype")) {
        (b"Page" | b"Pages", _) => ("cambio_pagina", "una página"),
        (b"Annot", _) | (_, b"Widget" | b"FreeText" | b"Stamp" | b"Highlight" | b"Text" | b"Link") => {
            if dict.get("FT").is_some() || dict.get("V").is_some() {
                ("cambio_campo", "el valor o el aspecto de un campo del formulario")
            } else {
                ("cambio_anotacion", "una anotación")
            }
        }
        (_, b"Image") => ("cambio_contenido", "una imagen"),
        (b"Font" | b"FontDescriptor", _) => ("cambio_contenido", "una fuente de letra"),
        _ if dict.get("FT").is_some() => ("cambio_campo", "el valor de un campo del formulario"),
        _ if dict.get("S").is_some() && dict.get("JS").is_some() => ("accion_agregada", "una acción"),
        _ if found.stream.is_some() => ("cambio_contenido", "lo que muestra una página"),
        _ => ("cambio_otro", "un objeto del documento"),
    }
}
