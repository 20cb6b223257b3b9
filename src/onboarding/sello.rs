//! Whether documents of the dossier are signed, and by whom they should be.

use std::io::{Read, Seek};

use openssl::{
    error::ErrorStack,
    pkcs7::{Pkcs7, Pkcs7Flags},
    stack::Stack,
    x509::store::X509StoreBuilder,
};

use super::{Contexto, Problema};
use crate::{
    domain::{
        Ambiente,
        firmas::{Firma, Informe, TipoFirma, Veredicto},
    },
    signing::{
        certificate::Certificate,
        trust::Chain,
        verify::{self, Context},
    },
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

/// Largest detached signature that is read, in bytes.
pub const P7S_BYTES_MAX: u64 = 1024 * 1024;

/// Who signed a file, by its detached signature (CMS), and what of him is not sure. `Err`: it is no signature of this file.
pub fn firmante(contenido: &[u8], p7s: &[u8], contexto: &Contexto<'_>) -> Result<(String, Vec<String>), String> {
    let bad = |_: ErrorStack| "la firma no es de este archivo: se cambió uno de los dos".to_owned();
    let pkcs7 = Pkcs7::from_der(p7s).map_err(|_| "no es una firma CMS".to_owned())?;
    let none = Stack::new().map_err(bad)?;
    let store = X509StoreBuilder::new().map_err(bad)?.build();
    // Who issued the certificate is judged below, by our own anchors.
    let flags = Pkcs7Flags::NOVERIFY | Pkcs7Flags::BINARY | Pkcs7Flags::DETACHED;
    pkcs7.verify(&none, &store, Some(contenido), None, flags).map_err(bad)?;
    let signers = pkcs7.signers(&none, Pkcs7Flags::empty()).map_err(bad)?;
    let signer = signers.iter().next().filter(|_| signers.len() == 1).ok_or("debe llevar una sola firma")?;
    let read = |der: Vec<u8>| Certificate::from_der(&der).map_err(|_| "su certificado no se puede leer".to_owned());
    let leaf = read(signer.to_der().map_err(bad)?)?;
    let along = pkcs7.signed().and_then(|signed| signed.certificates());
    let others: Vec<Certificate> =
        along.into_iter().flatten().filter_map(|one| read(one.to_der().ok()?).ok()).collect();
    let mut unsure = Vec::new();
    if contexto.confianza.chain(&leaf, &others, contexto.ahora).0 != Chain::Trusted {
        unsure.push("su emisor no está entre los de confianza".to_owned());
    }
    let person = leaf.person();
    if let Some(ruc) = person.ruc.as_deref() {
        return Ok((format!("{} (RUC {ruc})", person.nombre), unsure));
    }
    Ok((person.nombre, unsure))
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
