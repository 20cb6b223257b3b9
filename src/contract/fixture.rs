//! What the tests of all four contracts need.

use bytes::Bytes;
use http_body_util::BodyExt;

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
