//! The acta de conformidad of the tests: what the suite found, with the digest of its report, and the fields of its two
//! signers; and whether both of them signed.

use std::{collections::BTreeMap, io::Cursor};

use super::{
    Contexto, Expediente, OnboardingError, Problema,
    expediente::Firmante,
    formularios::{Firma, Hoja},
    revision::Revision,
    sello,
};
use crate::{
    conformance::report::{Conclusion, FORMATO, Informe, Veredicto},
    domain::{Sha256, firmas, lima},
};

/// Largest report that is read, in bytes: evidence makes them large.
pub const INFORME_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The fields of the two signers.
pub const CAMPO_TI: &str = "FirmaJefeTI";
pub const CAMPO_TRAMITE: &str = "FirmaJefeTramiteDocumentario";
/// Cases of one verdict that the acta names.
const CASOS_MAX: usize = 60;

pub const TITULO: &str = "Acta de conformidad de las pruebas";

/// The suite's report with the digest of its file.
pub struct Prueba {
    pub informe: Informe,
    pub sha256: Sha256,
}

impl Prueba {
    /// From the report's file. `Err` says what is wrong with it.
    pub fn leer(bytes: &[u8]) -> Result<Self, String> {
        let informe: Informe = serde_json::from_slice(bytes)
            .map_err(|error| format!("no es un informe JSON de «chasqui conformance run»: {error}"))?;
        if informe.formato != FORMATO {
            return Err(format!("es de otra versión del informe ({}): vuelva a pasar la suite", informe.formato));
        }
        Ok(Self { informe, sha256: Sha256::from_digest(&openssl::sha::sha256(bytes)) })
    }

    /// What keeps it from being the ground of an acta.
    pub fn reparos(&self, expediente: &Expediente) -> Vec<Problema> {
        let (informe, mut found) = (&self.informe, Vec::new());
        let mut say = |problema: String, escriba: &str| {
            found.push(Problema { clave: "acta.informe".into(), problema, escriba: escriba.to_owned() });
        };
        let again = "Pase la suite a su componente y escriba aquí ese informe";
        if informe.objetivo.ruc != *expediente.entidad.ruc {
            say(format!("el informe es de la entidad con RUC {}", informe.objetivo.ruc), again);
        }
        if informe.objetivo.url != *expediente.pruebas.url {
            let what =
                format!("el informe probó {}, y pruebas.url es {}", informe.objetivo.url, expediente.pruebas.url);
            say(what, again);
        }
        match informe.resumen.conclusion {
            Conclusion::Conforme => {}
            Conclusion::NoConforme => {
                let what = format!("la conclusión es NO CONFORME: {} casos no cumplen", informe.resumen.no_cumple);
                say(what, "Corrija lo que el informe señala y vuelva a pasar la suite");
            }
            Conclusion::Incompleto if !informe.objetivo.solo.is_empty() => {
                let what = format!("solo se pasó una parte de los casos ({})", informe.objetivo.solo.join(", "));
                say(what, "Pase la suite entera, sin --only");
            }
            Conclusion::Incompleto => {
                let what = format!("la prueba está incompleta: {} casos sin ejecutar", informe.resumen.no_ejecutado);
                say(what, "Vuelva a pasar la suite con lo que a esos casos les faltó");
            }
        }
        found
    }
}

pub fn problemas(expediente: &Expediente, contexto: &Contexto<'_>) -> Vec<Problema> {
    let mut revision = Revision::new(expediente, contexto);
    revision.entidad();
    revision.acta(&expediente.acta, &expediente.pruebas);
    revision.problemas()
}

/// The acta, to be signed in its two fields. `borrador`: although the suite did not end well; it is marked as such.
pub fn pdf(
    expediente: &Expediente,
    prueba: &Prueba,
    borrador: bool,
    contexto: &Contexto<'_>,
) -> Result<Vec<u8>, OnboardingError> {
    let mut lacks = problemas(expediente, contexto);
    let reparos = prueba.reparos(expediente);
    if !borrador {
        lacks.extend(reparos.clone());
    }
    if !lacks.is_empty() {
        return Err(OnboardingError::Datos(lacks));
    }
    let mut hoja = Hoja::nueva(expediente, contexto, TITULO);
    if borrador {
        let mut text = "BORRADOR: no lo firme.".to_owned();
        reparos.iter().for_each(|reparo| text.push_str(&format!(" {}.", capital(&reparo.problema))));
        hoja.d.notice(&text);
    }
    hoja.d.paragraph(&format!(
        "En {}, quienes suscriben dejan constancia de que el componente de trámite de la entidad se sometió a las pruebas de \
         intercambio de documentos con el resultado que se indica, y dan su conformidad para el pase a producción.",
        expediente.acta.lugar
    ));
    hoja.entidad(false);
    hoja.sgd();
    hoja.d.fact("wsiotramite probado", &prueba.informe.objetivo.url);
    hoja.d.y += 8.0;
    resultado(&mut hoja, prueba);
    casos(&mut hoja, prueba);
    hoja.d.heading("Conformidad de la Secretaría de Gobierno y Transformación Digital");
    let conformidad = &expediente.acta.conformidad_sgtd;
    hoja.d.paragraph(if conformidad.is_empty() {
        "Pendiente: se adjuntará cuando la Secretaría la comunique."
    } else {
        conformidad
    });
    hoja.aviso_de_forma();
    let firma = |who: &Firmante| Firma {
        nombre: who.nombre.to_string(),
        cargo: who.cargo.to_string(),
        dni: who.dni.to_string(),
    };
    let acta = &expediente.acta;
    hoja.firmas(&[(CAMPO_TI, &firma(&acta.jefe_ti)), (CAMPO_TRAMITE, &firma(&acta.jefe_tramite))]);
    hoja.terminar(TITULO)
}

fn resultado(hoja: &mut Hoja<'_>, prueba: &Prueba) {
    let informe = &prueba.informe;
    hoja.d.heading("Resultado de la suite de conformidad");
    hoja.d.fact("Conclusión", informe.resumen.conclusion.texto());
    for veredicto in Veredicto::TODOS {
        let count = informe.resumen.cuenta(veredicto);
        let known = match (veredicto, informe.resumen.esperados) {
            (Veredicto::NoCumple, n) if n > 0 => format!("{count} (de ellos {n} desviaciones conocidas y aceptadas)"),
            _ => count.to_string(),
        };
        hoja.d.fact(&capital(&veredicto.texto().to_lowercase()), &known);
    }
    hoja.d.fact("Casos en total", &informe.resumen.casos.to_string());
    let intrusive = if informe.objetivo.intrusivo { "con ataques y carga" } else { "sin ataques ni carga" };
    hoja.d.fact("Perfil", &format!("{}, {intrusive}", informe.objetivo.perfil));
    hoja.d.fact("Inicio", &lima::momento_en_palabras(informe.inicio));
    hoja.d.fact("Fin", &lima::momento_en_palabras(informe.fin));
    hoja.d.fact("Programa", &format!("chasqui {}", informe.chasqui));
    hoja.d.digest("Catálogo de casos", &informe.catalogo_sha256);
    hoja.d.digest("SHA-256 del informe", prueba.sha256.as_str());
    hoja.d.note("El informe JSON con esa huella tiene cada caso con su evidencia. Se comprueba con sha256sum.");
    hoja.d.y += 8.0;
}

/// All that is not plainly CUMPLE, by verdict.
fn casos(hoja: &mut Hoja<'_>, prueba: &Prueba) {
    let mut others: BTreeMap<Veredicto, Vec<String>> = BTreeMap::new();
    for caso in prueba.informe.casos.iter().filter(|caso| caso.veredicto != Veredicto::Cumple) {
        let why = caso.esperado.iter().chain(caso.notas.first()).next();
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        others.entry(caso.veredicto).or_default().push(format!("{}: {}{why}", caso.id, caso.titulo));
    }
    for (veredicto, casos) in others {
        hoja.d.heading(&format!("Casos: {}", veredicto.texto().to_lowercase()));
        casos.iter().take(CASOS_MAX).for_each(|caso| hoja.d.item(caso));
        if casos.len() > CASOS_MAX {
            hoja.d.note(&format!("Y {} más, que están en el informe.", casos.len() - CASOS_MAX));
        }
        hoja.d.y += 6.0;
    }
}

/// What is wrong with the signatures of an acta; nothing if both signed validly.
pub fn firmada(expediente: &Expediente, acta: &[u8], contexto: &Contexto<'_>) -> (firmas::Informe, Vec<Problema>) {
    let informe = sello::examinar(Cursor::new(acta), contexto);
    let mut found = sello::reparos(&informe, "archivos.acta", contexto);
    let signers = [
        (CAMPO_TI, "acta.jefe_ti", &expediente.acta.jefe_ti),
        (CAMPO_TRAMITE, "acta.jefe_tramite", &expediente.acta.jefe_tramite),
    ];
    for (campo, clave, quien) in signers {
        match informe.firmas.iter().find(|firma| firma.campo == campo) {
            None => found.push(Problema {
                clave: "archivos.acta".into(),
                problema: format!("falta la firma de {}", quien.nombre),
                escriba: format!("Debe firmar en el campo {campo}"),
            }),
            Some(firma) => found.extend(sello::persona(firma, clave, &quien.dni, &expediente.entidad.ruc)),
        }
    }
    (informe, found)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
