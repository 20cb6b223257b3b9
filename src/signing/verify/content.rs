//! What in a document acts by itself or reaches outside, and signatures that no field shows.

use std::io::{Read, Seek};

use super::{Findings, fields::Found};
use crate::signing::pdf::{Dict, Error, Object, Pdf};

/// Objects that are looked at; beyond them the examination is partial and says so.
const OBJECTS_MAX: u32 = 100_000;

/// Looks through every object. Says whether a signature is hidden somewhere, so that no verdict can be given.
pub(super) fn scan<R: Read + Seek>(pdf: &mut Pdf<R>, found: &[Found], findings: &mut Findings) -> Result<bool, Error> {
    let highest = pdf.highest_number();
    let newest = pdf.newest();
    let mut loose = false;
    let mut broken = 0u32;
    for number in 1..=highest.min(OBJECTS_MAX) {
        match pdf.numbered_at(number, newest) {
            Ok(Some(object)) => {
                look(&object.value, findings);
                let shown = found.iter().any(|found| found.object.is_some_and(|id| id.number == number));
                if !shown && object.value.as_dict().is_some_and(is_signature) {
                    loose = true;
                }
            }
            Ok(None) => {}
            Err(error) if error.ends_all() => return Err(error),
            Err(_) => broken += 1,
        }
    }
    if loose {
        findings.fail("firma_fuera_del_formulario", "El PDF contiene una firma que ningún campo muestra.");
    }
    if broken > 0 {
        findings.warn("objeto_danado", format!("Hay {broken} objetos del PDF que no se pueden leer."));
    }
    if highest > OBJECTS_MAX {
        findings
            .warn("examen_parcial", format!("El PDF tiene {highest} objetos; se miraron los primeros {OBJECTS_MAX}."));
    }
    Ok(loose)
}

fn is_signature(dict: &Dict) -> bool {
    dict.get("ByteRange").is_some() && dict.get("Contents").is_some()
}

/// Looks at an object and all in it. What it holds is bounded in depth by the reader.
fn look(value: &Object, findings: &mut Findings) {
    match value {
        Object::Array(items) => items.iter().for_each(|item| look(item, findings)),
        Object::Dict(dict) => {
            look_at(dict, findings);
            dict.iter().for_each(|entry| look(&entry.value, findings));
        }
        _ => {}
    }
}

fn look_at(dict: &Dict, findings: &mut Findings) {
    let name = |key: &str| dict.get(key).and_then(Object::as_name).unwrap_or_default();
    if dict.repeated().is_some() {
        findings.warn(
            "clave_repetida",
            "Un objeto del PDF dice dos veces una misma cosa: dos visores pueden mostrar cosas distintas.",
        );
    }
    if dict.get("JS").is_some() || name("S") == b"JavaScript" {
        findings.warn("javascript", "El PDF contiene programas (JavaScript).");
    }
    match name("S") {
        b"Launch" => findings.warn("lanza_programa", "El PDF puede abrir otro programa o archivo del equipo (Launch)."),
        b"SubmitForm" | b"ImportData" => {
            findings.warn("envia_datos", "El PDF puede enviar o traer datos por la red (SubmitForm).");
        }
        b"URI" => findings.info("enlace_externo", "El PDF contiene enlaces a páginas web."),
        b"GoToR" | b"GoToE" => findings.info("enlace_a_archivo", "El PDF contiene enlaces a otros archivos."),
        b"Rendition" | b"Movie" | b"Sound" | b"RichMediaExecute" => {
            findings.warn("multimedia", "El PDF contiene sonido, video u otro contenido activo.");
        }
        _ => {}
    }
    match dict.get("OpenAction") {
        None | Some(Object::Null | Object::Array(_)) => {}
        Some(Object::Dict(action)) if action.get("S").is_some_and(|kind| kind.is_name("GoTo")) => {}
        Some(_) => findings.warn("accion_al_abrir", "El PDF ejecuta una acción al abrirse (OpenAction)."),
    }
    if dict.get("AA").is_some() {
        findings.warn("acciones_automaticas", "El PDF tiene acciones que se ejecutan solas (AA).");
    }
    if dict.get("EmbeddedFiles").is_some() || dict.get("EF").is_some() {
        findings.warn("archivo_adjunto", "El PDF lleva otros archivos dentro.");
    }
    if dict.get("XFA").is_some() {
        findings.warn("formulario_xfa", "El PDF contiene un formulario XFA, que cada visor muestra a su manera.");
    }
    if name("Subtype") == b"RichMedia" || name("Subtype") == b"3D" {
        findings.warn("multimedia", "El PDF contiene sonido, video u otro contenido activo.");
    }
}
