//! What the tests of all four contracts need.

use bytes::Bytes;
use http_body_util::BodyExt;
use quick_xml::events::Event;

use crate::{
    domain::{CargoTramite, Tramite},
    soap::Message,
};

pub use crate::soap::fixture::{Chunks, Collected, envelope, pdf, twice};

/// The message as it stands on the wire.
pub async fn wire(message: Message, pdf: &[u8]) -> Vec<u8> {
    let length = message.content_length();
    let source = Some(Bytes::copy_from_slice(pdf));
    let body = message.into_body(Some(Box::new(source))).collect().await.unwrap().to_bytes();
    assert_eq!(body.len() as u64, length, "the length said beforehand");
    body.into()
}

/// A message without a document, as text.
pub fn text(message: &Message) -> String {
    assert_eq!(message.document_len, None);
    String::from_utf8(message.before.to_vec()).unwrap()
}

pub fn tramite() -> Tramite {
    let some = |t: &str| Some(t.to_owned());
    Tramite {
        ruc_remitente: some("20168999926"),
        ruc_receptor: some("20900000015"),
        nombre_remitente: some("PRESIDENCIA DEL CONSEJO DE MINISTROS"),
        unidad_remitente: some("SECRETARÍA & GOBIERNO <DIGITAL>"),
        tipo_identidad: some("1"),
        numero_identidad: some("40633367"),
        cuo: some("0000000019"),
        cuo_referencia: some("0000000018"),
        tipo_documento: some("01"),
        numero_documento: some("OFICIO N° 001-2026"),
        fecha_documento: some("2026-11-21T09:30:00-05:00"),
        unidad_destino: some("OFICINA DE TI"),
        nombre_destinatario: some("José Ñáñez"),
        cargo_destinatario: some("JEFE"),
        asunto: some("Año \"fiscal\"\r\nsegunda línea ]]> fin"),
        numero_anexos: Some(2),
        folios: Some(3),
        url_anexos: some("https://ejemplo.gob.pe/anexos?a=1&b=2"),
        nombre_documento: some("oficio.pdf"),
        anexos: vec![some("plano.dwg"), None],
        ..Tramite::default()
    }
}

pub fn cargo() -> CargoTramite {
    let some = |t: &str| Some(t.to_owned());
    CargoTramite {
        ruc_emisor: some("20900000015"),
        ruc_destino: some("20168999926"),
        cuo: some("0000000019"),
        cuo_referencia: some("0000000018"),
        numero_registro: some("2026-000777"),
        anio_registro: some("2026"),
        fecha_registro: some("2026-11-21T10:00:00-05:00"),
        unidad: some("MESA DE PARTES"),
        usuario: some("María Peña"),
        observacion: some("Falta el anexo 2"),
        estado: some("O"),
        anexos: some("1 plano"),
        ..CargoTramite::default()
    }
}

/// A service description in short: namespace, service, operations with their messages, and every type with its fields in
/// order; `?` may be left out, `*` any number, `!` may be nil.
pub fn describe(wsdl: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(wsdl);
    let (mut lines, mut path): (Vec<String>, Vec<(String, String)>) = (Vec::new(), Vec::new());
    loop {
        let (tag, empty) = match reader.read_event().unwrap() {
            Event::Start(tag) => (tag, false),
            Event::Empty(tag) => (tag, true),
            Event::End(_) => {
                path.pop();
                continue;
            }
            Event::Eof => return lines,
            _ => continue,
        };
        let get = |key: &str| tag.try_get_attribute(key).unwrap().map(|a| a.value.into_owned()).unwrap_or_default();
        let kind = tag.name().as_ref().to_owned();
        let parents: Vec<&str> = path.iter().map(|(kind, _)| kind.as_str()).collect();
        let line = match (parents.as_slice(), kind.as_str()) {
            (_, "definitions") => format!("namespace {}", get("targetNamespace")),
            (_, "xs:schema") => format!("schema {} {}", get("targetNamespace"), get("elementFormDefault")),
            ([.., "xs:schema"], "xs:element") => format!("element {} = {}", get("name"), get("type")),
            ([.., "xs:schema"], "xs:complexType") => format!("type {}:", get("name")),
            ([.., "message"], "part") => {
                format!("message {} = {} {}", path.last().unwrap().1, get("name"), get("element"))
            }
            ([.., "portType"], "operation") => format!("port {} operation {}:", path.last().unwrap().1, get("name")),
            ([.., "binding"], "operation") => format!("binding {} operation {}:", path.last().unwrap().1, get("name")),
            (_, "service") => format!("service {}:", get("name")),
            _ => String::new(),
        };
        let more = match (parents.as_slice(), kind.as_str()) {
            ([.., "xs:sequence"], "xs:element") => {
                let mark = |key, value, mark| if get(key) == value { mark } else { "" };
                let marks =
                    [mark("minOccurs", "0", "?"), mark("maxOccurs", "unbounded", "*"), mark("nillable", "true", "!")];
                format!(" {}{}:{}", get("name"), marks.concat(), get("type"))
            }
            ([.., "portType", "operation"], "input" | "output" | "fault") => format!(" {kind}={}", get("message")),
            (_, "soap:operation") => format!(" {}, SOAPAction={:?}", get("style"), get("soapAction")),
            ([.., "input" | "output"], "soap:body") => format!(" {}", get("use")),
            (_, "port") => format!(" {} {}", get("name"), get("binding")),
            (_, "soap:address") => format!(" at {}", get("location")),
            _ => String::new(),
        };
        if !line.is_empty() {
            lines.push(line);
        }
        if let Some(last) = lines.last_mut() {
            last.push_str(&more);
        }
        if !empty {
            path.push((kind, get("name")));
        }
    }
}
