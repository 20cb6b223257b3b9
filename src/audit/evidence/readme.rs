//! LEEME.txt: what the package is, in words that need no program.

use crate::domain::{Purga, lima};

/// What is not in the package any more, and since when.
fn purged(purga: Option<&Purga>) -> String {
    let Some(purga) = purga else { return String::new() };
    let mut text = format!(
        "LO QUE YA NO ESTÁ\n\nEl {} se borraron por {}:\n\n",
        lima::momento_en_palabras(purga.en),
        purga.politica
    );
    for documento in &purga.documentos {
        text += &format!("  {}: {} bytes, SHA-256 {}\n", documento.clase.palabra(), documento.bytes, documento.sha256);
    }
    text += "\nLo certifica el asiento de la purga, que está en asientos.json con su prueba: quien conserve alguno de esos\n\
             archivos puede probar, por su huella, que es el que se intercambió.\n\n";
    text
}

/// The text; `signed`: whether the entity's identity signed the package; `purga`: what was purged of the exchange.
pub fn text(subject: &str, signed: bool, purga: Option<&Purga>) -> String {
    let purged = purged(purga);
    let signature = if signed {
        "META-INF/signature.p7s es la firma digital (CAdES) de la entidad sobre META-INF/ASiCManifest.xml, que contiene la\n\
         huella SHA-256 de cada archivo. Se comprueba también sin chasqui:\n\n  \
         openssl cms -verify -binary -inform DER -in META-INF/signature.p7s \\\n    \
         -content META-INF/ASiCManifest.xml -CAfile RAICES.pem -purpose any -out /dev/null"
    } else {
        "La entidad no tenía una identidad digital configurada cuando se hizo este paquete: no lleva firma CAdES, solo el\n\
         sello de la clave de auditoría (META-INF/sello.note). Ese sello vale lo que valga para usted esa clave: compárela\n\
         con la que la entidad publique o haya guardado aparte."
    };
    format!(
        "EVIDENCIA DE UN INTERCAMBIO DE DOCUMENTOS ENTRE ENTIDADES PÚBLICAS\n\
         \n\
         {subject}\n\
         \n\
         {purged}CÓMO SE COMPRUEBA\n\
         \n\
         Con chasqui, sin red y sin ningún servicio en marcha:\n\
         \n  \
         chasqui audit verify-evidence ESTE_ARCHIVO [--trust RAICES.pem] [--key CLAVE]\n\
         \n\
         QUÉ TRAE\n\
         \n\
         documento.pdf          el documento, byte por byte\n\
         cargo.pdf              el cargo con el que respondió la entidad receptora, si lo hay\n\
         sobres/                los mensajes como pasaron por la red, con la disposición de su documento en lugar de sus\n\
         \u{20}                      bytes; verify-evidence los rehace, y con --sobres CARPETA los deja escritos\n\
         firmas/                lo que se halló al examinar las firmas de cada PDF: en palabras (.txt) y para programas (.json)\n\
         asientos.json          lo que el registro de auditoría dice de este intercambio, con sus pruebas\n\
         auditoria/punto.note   el punto de control: cuántos asientos tenía el registro y la raíz de su árbol de Merkle\n\
         auditoria/punto.tsr    su sello de tiempo (RFC 3161), si lo tiene\n\
         auditoria/clave.txt    la clave pública con la que se firmó el punto de control\n\
         certificados/          el certificado de quien firmó el paquete y su cadena, si lo firmó la entidad\n\
         manifiesto.json        el intercambio y la lista de archivos\n\
         \n\
         QUÉ PRUEBA Y QUÉ NO\n\
         \n\
         Prueba que estos archivos son los que la entidad guardó, que los asientos estaban en su registro cuando se firmó el\n\
         punto de control, y que nada cambió desde entonces. No prueba por sí solo que las horas sean exactas (son las del\n\
         reloj de la entidad; el sello de tiempo, si lo hay, prueba que el punto de control existía a esa hora) ni quién es\n\
         el dueño de una clave o de un certificado: para eso están las raíces de confianza (--trust) y la clave guardada\n\
         aparte (--key).\n\
         \n\
         CÓMO SE COMPRUEBA A MANO\n\
         \n\
         {signature}\n\
         \n\
         Un asiento: SHA-256 de un byte 0, el texto \"chasqui asiento 1\" con su fin de línea, el número en 8 bytes (el más\n\
         significativo primero), el SHA-256 de \"hechos\" y el SHA-256 de \"cambio\" es la hoja. Con \"camino\" se llega de la\n\
         hoja a la raíz como manda el RFC 9162, 2.1.3.2: es la raíz de auditoria/punto.note.\n"
    )
}
