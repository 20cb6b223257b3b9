//! Whether documents of the dossier are signed, and by whom they should be.

use std::io::{Read, Seek};

use super::{Contexto, Problema};
use crate::{
    domain::{
        Ambiente,
        firmas::{Firma, Informe, TipoFirma, Veredicto},
    },
    signing::verify::{self, Context},
};

pub fn examinar(pdf: impl Read + Seek, contexto: &Contexto<'_>) -> Informe {
    let context =
        Context { now: contexto.ahora, trust: contexto.confianza, folios: None, revocation: None, begun: None };
    verify::examine(pdf, &context)
}

/// What is against the signatures of a document as a whole. Without trust anchors it is enough that they are sound, but not in
/// production: anybody makes a certificate in anybody's name.
pub fn reparos(informe: &Informe, clave: &str, contexto: &Contexto<'_>) -> Vec<Problema> {
    let signed = informe.firmas.iter().any(|firma| firma.tipo == TipoFirma::Firma);
    let escriba = match informe.veredicto {
        Veredicto::Confiable if signed => return Vec::new(),
        Veredicto::Integro if signed && contexto.confianza.is_empty() && contexto.ambiente != Ambiente::Production => {
            return Vec::new();
        }
        Veredicto::Integro => {
            "Compruebe quién lo firmó; si su emisor es de confianza, impórtelo con «chasqui cert import»"
        }
        _ => "Fírmelo digitalmente, por ejemplo con Firma Perú, y escriba aquí el archivo firmado",
    };
    let problema = informe.resumen.trim_end_matches('.').to_owned();
    vec![Problema { clave: clave.to_owned(), problema, escriba: escriba.to_owned() }]
}

/// Whether a signature is of the person it should be of, for the entity.
pub fn persona(firma: &Firma, clave: &str, dni: &str, ruc: &str) -> Vec<Problema> {
    let mut found = Vec::new();
    let Some(quien) = &firma.firmante else {
        let problema = "la firma no dice de quién es".to_owned();
        let escriba = format!("Pida que firme la persona con DNI {dni}");
        return vec![Problema { clave: clave.to_owned(), problema, escriba }];
    };
    let mut say = |problema: String, escriba: String| {
        found.push(Problema { clave: clave.to_owned(), problema, escriba });
    };
    match quien.dni.as_deref() {
        Some(signed) if signed == dni => {}
        Some(other) => say(
            format!("firmó {} (DNI {other}), y se esperaba a quien tiene DNI {dni}", quien.nombre),
            format!("Pida la firma de la persona con DNI {dni}, o corrija {clave}.dni"),
        ),
        None => say(
            format!("el certificado de {} no dice su DNI", quien.nombre),
            "Firme con un certificado de persona, como el del DNI electrónico".into(),
        ),
    }
    if let Some(other) = quien.ruc.as_deref().filter(|other| *other != ruc) {
        say(
            format!("{} firmó con un certificado de la entidad con RUC {other}", quien.nombre),
            format!("Firme con un certificado personal, o con uno de la entidad con RUC {ruc}"),
        );
    }
    found
}
