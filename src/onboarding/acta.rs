//! The acta de conformidad of the tests: what the suite found, with the digest of its report, and the fields of its two
//! signers; and whether both of them signed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
};

use jiff::Timestamp;

use super::{
    Contexto, Expediente, OnboardingError, Problema,
    cartas::Lector,
    constancia::{self, Constancia},
    expediente::Firmante,
    formularios::{Firma, Hoja},
    revision::Revision,
    sello,
};
use crate::{
    config::words,
    conformance::{
        case::Catalogo,
        report::{Conclusion, FORMATO, Informe, Resumen, Severidad, Veredicto},
        terminal::cuantos,
    },
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
/// Of what is no acta yet: it gives no conformity, and nobody is to take it for one.
pub const TITULO_BORRADOR: &str = "Borrador del acta de las pruebas, sin conformidad";
/// The profile that an acta stands on: who takes part sends and receives.
const PERFIL: &str = "completo";
/// Known deviations that one fault names.
const NOMBRADOS_MAX: usize = 5;

/// The suite's report with the digest of its file.
pub struct Prueba {
    pub informe: Informe,
    pub sha256: Sha256,
}

impl Prueba {
    /// From the report's file. `Err` says what is wrong with it.
    pub fn leer(bytes: &[u8]) -> Result<Self, String> {
        let informe: Informe = serde_json::from_slice(bytes).map_err(|error| {
            format!("no es un informe JSON de «chasqui conformance run»: {}", words::of_json(&error))
        })?;
        if informe.formato != FORMATO {
            return Err(format!("es de otra versión del informe ({}): vuelva a pasar la suite", informe.formato));
        }
        Ok(Self { informe, sha256: Sha256::from_digest(&openssl::sha::sha256(bytes)) })
    }

    /// What is wrong with the report itself: it must be what a run writes, of the cases of this program. A person may have
    /// changed a text file; nobody who can count should find it.
    fn incoherencias(&self, ahora: Timestamp) -> Vec<String> {
        let (informe, mut found) = (&self.informe, Vec::new());
        if informe.resumen != Resumen::de(&informe.casos, informe.objetivo.solo.is_empty()) {
            found.push("su resumen no es el de sus casos: no está como lo escribió la suite".to_owned());
        }
        if informe.fin > ahora || informe.fin < informe.inicio {
            found.push(format!("su hora de término no puede ser: {}", lima::texto(informe.fin)));
        }
        match Catalogo::incorporado() {
            Err(why) => found.push(why),
            Ok(catalogo) if catalogo.sha256 != informe.catalogo_sha256 => {
                found.push("se hizo con los casos de otra versión de chasqui".to_owned());
            }
            Ok(catalogo) if informe.objetivo.solo.is_empty() && informe.objetivo.perfil == PERFIL => {
                let ran: BTreeSet<&str> = informe.casos.iter().map(|caso| caso.id.as_str()).collect();
                let lacks = catalogo.casos.iter().filter(|caso| !ran.contains(caso.id.as_str())).count();
                if lacks > 0 {
                    found.push(format!("le faltan casos de la suite: {lacks}"));
                }
            }
            Ok(_) => {}
        }
        found
    }

    /// Grave failures that were declared as known: a reason written beside them mends nothing.
    fn graves(&self) -> Vec<&str> {
        let grave = |severidad| matches!(severidad, Severidad::Critica | Severidad::Alta);
        let casos = self.informe.casos.iter();
        let failed = casos.filter(|caso| caso.veredicto == Veredicto::NoCumple && grave(caso.severidad));
        failed.map(|caso| caso.id.as_str()).collect()
    }

    /// What keeps it from being the ground of an acta.
    pub fn reparos(&self, expediente: &Expediente, ahora: Timestamp) -> Vec<Problema> {
        let (informe, mut found) = (&self.informe, Vec::new());
        let mut say = |problema: String, escriba: &str| {
            found.push(Problema { clave: "acta.informe".into(), problema, escriba: escriba.to_owned() });
        };
        let again = "Pase la suite a su componente y escriba aquí ese informe";
        if informe.objetivo.ruc != *expediente.entidad.ruc {
            say(format!("el informe es de la entidad con RUC {}", informe.objetivo.ruc), again);
        }
        if informe.objetivo.url != *expediente.pruebas.url {
            let declared = &expediente.pruebas.url;
            let declared = if declared.is_empty() { "no está escrita".to_owned() } else { format!("es {declared}") };
            say(format!("el informe probó {}, y pruebas.url {declared}", informe.objetivo.url), again);
        }
        if informe.objetivo.perfil != PERFIL {
            let what = format!("el informe es del perfil {}, y hace falta el {PERFIL}", informe.objetivo.perfil);
            say(what, "Pase la suite con --profile completo, con --platform y con quien actúe por la entidad");
        }
        self.incoherencias(ahora).into_iter().for_each(|what| say(what, again));
        let graves = self.graves();
        if informe.resumen.conclusion == Conclusion::Conforme && !graves.is_empty() {
            let named: Vec<&str> = graves.iter().copied().take(NOMBRADOS_MAX).collect();
            let count = cuantos(graves.len(), "caso grave no se cumple", "casos graves no se cumplen");
            let what = format!("{count}, aunque sea una desviación conocida: {}", named.join(", "));
            say(
                what,
                "Corrija lo que el informe señala: una desviación de severidad alta o crítica no se puede dar por buena",
            );
        }
        match informe.resumen.conclusion {
            Conclusion::Conforme => {}
            Conclusion::NoConforme => {
                let count = cuantos(informe.resumen.no_cumple, "caso no cumple", "casos no cumplen");
                let what = format!("la conclusión es NO CONFORME: {count}");
                say(what, "Corrija lo que el informe señala y vuelva a pasar la suite");
            }
            Conclusion::Incompleto if !informe.objetivo.solo.is_empty() => {
                let what = format!("solo se pasó una parte de los casos ({})", informe.objetivo.solo.join(", "));
                say(what, "Pase la suite entera, sin --only");
            }
            Conclusion::Incompleto => {
                let count = cuantos(informe.resumen.no_ejecutado, "caso", "casos");
                let what = format!("la prueba está incompleta: {count} sin ejecutar");
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
    let reparos = prueba.reparos(expediente, contexto.ahora);
    if !borrador {
        lacks.extend(reparos.clone());
    }
    if !lacks.is_empty() {
        return Err(OnboardingError::Datos(lacks));
    }
    let titulo = if borrador { TITULO_BORRADOR } else { TITULO };
    let constancia = Constancia {
        informe: Some(prueba.sha256.as_str().to_owned()),
        ..Constancia::nueva("acta", expediente, contexto)
    };
    let mut hoja = Hoja::nueva(expediente, contexto, titulo, constancia);
    if borrador {
        let mut text = "BORRADOR: no lo firme.".to_owned();
        reparos.iter().for_each(|reparo| text.push_str(&format!(" {}.", capital(&reparo.problema))));
        hoja.d.notice(&text);
    }
    let tested = "el componente de trámite de la entidad se sometió a las pruebas de intercambio de documentos con el resultado \
                  que se indica";
    hoja.d.paragraph(&match borrador {
        true => format!("{}. Este borrador no da conformidad para el pase a producción.", capital(tested)),
        false => format!(
            "En {}, quienes suscriben dejan constancia de que {tested}, y dan su conformidad para el pase a producción.",
            expediente.acta.lugar
        ),
    });
    hoja.entidad(false);
    hoja.sgd();
    hoja.d.fact("wsiotramite probado", &prueba.informe.objetivo.url);
    hoja.d.y += 8.0;
    resultado(&mut hoja, prueba);
    casos(&mut hoja, prueba);
    if borrador {
        // Nothing to sign: what is signed would be taken for an acta.
        return hoja.terminar(titulo);
    }
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
    hoja.terminar(titulo)
}

fn resultado(hoja: &mut Hoja<'_>, prueba: &Prueba) {
    let informe = &prueba.informe;
    hoja.d.heading("Resultado de la suite de conformidad");
    hoja.d.fact("Conclusión", informe.resumen.conclusion.texto());
    for veredicto in Veredicto::TODOS {
        let count = informe.resumen.cuenta(veredicto);
        let known = match (veredicto, informe.resumen.esperados) {
            (Veredicto::NoCumple, n) if n > 0 => {
                let known = cuantos(n, "desviación conocida y aceptada", "desviaciones conocidas y aceptadas");
                format!("{count} (de ellos {known})")
            }
            _ => count.to_string(),
        };
        hoja.d.fact(&capital(&veredicto.texto().to_lowercase()), &known);
    }
    hoja.d.fact("Casos en total", &informe.resumen.casos.to_string());
    hoja.d.fact("Perfil", &informe.objetivo.perfil);
    let intrusive =
        if informe.objetivo.intrusivo { "se probaron (--intrusive)" } else { "no se probaron (sin --intrusive)" };
    hoja.d.fact("Ataques y carga", intrusive);
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

/// What is wrong with a signed acta; nothing if it is of this entity and of the report that the dossier names, and both signed
/// validly.
pub fn firmada(
    expediente: &Expediente,
    acta: &[u8],
    lector: Lector<'_>,
    contexto: &Contexto<'_>,
) -> (firmas::Informe, Vec<Problema>) {
    let informe = sello::examinar(Cursor::new(acta), contexto);
    let mut found = sello::reparos(&informe, "archivos.acta", contexto);
    let prueba = match &*expediente.acta.informe {
        "" => Err("no está escrito".to_owned()),
        name => lector(name).map(|bytes| Sha256::from_digest(&openssl::sha::sha256(&bytes))),
    };
    found.extend(constancia::del_acta(acta, [CAMPO_TI, CAMPO_TRAMITE], expediente, &prueba, contexto));
    let signers = [
        (CAMPO_TI, "acta.jefe_ti", &expediente.acta.jefe_ti),
        (CAMPO_TRAMITE, "acta.jefe_tramite", &expediente.acta.jefe_tramite),
    ];
    if !expediente.acta.jefe_ti.dni.is_empty() && expediente.acta.jefe_ti.dni == expediente.acta.jefe_tramite.dni {
        found.push(Problema {
            clave: "acta.jefe_tramite.dni".into(),
            problema: "es la misma persona que acta.jefe_ti".into(),
            escriba: "Firman dos personas: escriba el DNI de la otra".into(),
        });
    }
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
