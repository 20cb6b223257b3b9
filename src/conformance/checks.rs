//! Whether a message is as a case expects: an answer of the component, or a request of the entity to the platform.

use base64_simd::STANDARD;

use super::{
    case::Espera,
    envelope::{ORDEN_CARGO, ORDEN_ENTIDAD, ORDEN_PLATAFORMA, SOAP11},
    wire::{self, Dicho, Mensaje, operacion},
    xml::{Documento, Elemento},
};
use crate::domain::{Cuo, Ruc, lima};

/// The elements in which the operations are answered (CONTRACT §2).
const RESPUESTAS: [&str; 3] =
    ["recepcionarTramiteResponseResponse", "cargoResponseResponse", "consultarTramiteResponseResponse"];

/// What tells a stranger where a component is and what it is made of.
const INDISCRETO: [&str; 14] = [
    "/home/",
    "/usr/",
    "/var/",
    "/opt/",
    "c:\\",
    "stacktrace",
    "stack trace",
    "exception:",
    ".java:",
    ".java)",
    "at org.",
    "at java.",
    "caused by",
    "traceback",
];

/// What was seen in one step.
#[derive(Debug, Clone, Default)]
pub struct Visto {
    pub mensaje: Option<Mensaje>,
    pub error: Option<String>,
    pub ms: u64,
    /// Nothing ended it but our own patience.
    pub agotado: bool,
    documento: Option<Result<Documento, String>>,
}

impl From<Dicho> for Visto {
    fn from(dicho: Dicho) -> Self {
        let ms = u64::try_from(dicho.duracion.as_millis()).unwrap_or(u64::MAX);
        Self { ms, error: dicho.error, agotado: dicho.agotado, ..Self::de(dicho.mensaje) }
    }
}

impl Visto {
    pub fn de(mensaje: Option<Mensaje>) -> Self {
        let documento = mensaje.as_ref().filter(|m| !m.cuerpo.is_empty()).map(Mensaje::xml);
        Self { mensaje, documento, ..Self::default() }
    }

    pub fn documento(&self) -> Option<&Documento> {
        self.documento.as_ref()?.as_ref().ok()
    }

    /// The element that holds the fields: `return` of an answer, the part of a request.
    pub fn estructura(&self) -> Option<&Elemento> {
        let operacion = operacion(self.documento()?)?;
        match operacion.hijos.as_slice() {
            [one] if !one.hijos.is_empty() || one.local == "return" => Some(one),
            _ => Some(operacion),
        }
    }

    pub fn campo(&self, name: &str) -> Option<&str> {
        self.estructura()?.hijo(name).map(|h| h.texto.as_str())
    }

    /// Code and text of a fault.
    pub fn falta(&self) -> Option<(String, String)> {
        let fault = operacion(self.documento()?).filter(|o| o.local == "Fault" && o.espacio == SOAP11)?;
        let code = fault.hijo("faultcode").map(|c| c.texto.trim().to_owned()).unwrap_or_default();
        let code = code.rsplit(':').next().unwrap_or_default().to_owned();
        Some((code, fault.hijo("faultstring").map(|s| s.texto.clone()).unwrap_or_default()))
    }

    /// In a few words, for people.
    pub fn resumen(&self) -> String {
        if let Some(error) = &self.error {
            return error.clone();
        }
        let Some(mensaje) = &self.mensaje else { return "nada".into() };
        if let Some((code, text)) = self.falta() {
            return format!("SOAP Fault {code} «{}» (HTTP {})", corto(&text), mensaje.estado().unwrap_or(0));
        }
        match (mensaje.estado(), self.campo("vcodres")) {
            (Some(http), Some(code)) => {
                format!("vcodres «{code}», vdesres «{}» (HTTP {http})", corto(self.campo("vdesres").unwrap_or("")))
            }
            (Some(http), None) => match mensaje.comprimido() {
                Some(como) => format!("HTTP {http} comprimida con Content-Encoding: {}, que no se pidió", corto(como)),
                None => format!("HTTP {http} sin vcodres"),
            },
            (None, _) => mensaje.linea.clone(),
        }
    }
}

fn corto(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= 160 {
        text.to_owned()
    } else {
        text.chars().take(160).chain(std::iter::once('…')).collect()
    }
}

/// What is not as expected, a sentence each; empty: all is. `texto` expands templates.
pub fn faltas(espera: &Espera, visto: &Visto, texto: &mut dyn FnMut(&str) -> String) -> Vec<String> {
    let mut wrong = Vec::new();
    if espera.sin_respuesta {
        if let Some(error) = visto.error.as_ref().filter(|error| error.starts_with(wire::SIN_CONEXION)) {
            // Nobody at home is no refusal: an earlier request may have ended the component.
            wrong.push(format!("debía cerrar la conexión sin responder, y {error}"));
        } else if visto.agotado {
            wrong.push(format!("la conexión seguía abierta: {}", visto.resumen()));
        } else if let Some(mensaje) = &visto.mensaje {
            wrong.push(format!("respondió «{}» y debía cerrar la conexión sin responder", mensaje.linea));
        }
        return wrong;
    }
    if let Some(max) = espera.ms_max.filter(|max| visto.ms > *max) {
        wrong.push(format!("tardó {} ms y debía terminar en {max} ms", visto.ms));
    }
    let Some(mensaje) = &visto.mensaje else {
        wrong.push(visto.error.clone().unwrap_or_else(|| "no hubo respuesta".into()));
        return wrong;
    };
    if let Some(error) = &visto.error {
        wrong.push(error.clone());
    }
    estado(espera, mensaje, &mut wrong);
    falta(espera, visto, &mut wrong);
    codigo(espera, visto, texto, &mut wrong);
    campos(espera, visto, texto, &mut wrong);
    for (name, expected) in &espera.cabeceras {
        let (found, expected) = (mensaje.cabecera(name), texto(expected));
        let fits = match (found, expected.as_str()) {
            (None, "ausente") => true,
            (Some(found), prefix) if prefix.ends_with('*') => {
                found.to_ascii_lowercase().starts_with(&prefix.trim_end_matches('*').to_ascii_lowercase())
            }
            (Some(found), value) => value.split('|').any(|v| found.trim_matches('"') == v.trim_matches('"')),
            (None, _) => false,
        };
        if !fits {
            wrong.push(format!("la cabecera {name} es «{}» y debía ser «{expected}»", found.unwrap_or("(ausente)")));
        }
    }
    wrong.extend(espera.comprueba.iter().filter_map(|name| comprueba(name, visto, mensaje).err()));
    wrong
}

fn estado(espera: &Espera, mensaje: &Mensaje, wrong: &mut Vec<String>) {
    let expected = match (espera.http.as_slice(), espera.codigo.is_empty(), espera.falta.is_empty()) {
        ([], false, _) => &[200][..],
        ([], _, false) => &[500][..],
        (given, ..) => given,
    };
    if let Some(http) = mensaje.estado()
        && !expected.is_empty()
        && !expected.contains(&http)
    {
        let list: Vec<_> = expected.iter().map(ToString::to_string).collect();
        wrong.push(format!("respondió HTTP {http} y debía responder {}", list.join(" o ")));
    }
    if mensaje.cortado {
        wrong.push("el cuerpo terminó antes de lo que anunciaba".into());
    }
}

fn falta(espera: &Espera, visto: &Visto, wrong: &mut Vec<String>) {
    if espera.falta.is_empty() {
        return;
    }
    match visto.falta() {
        None => wrong.push(format!("debía responder un SOAP Fault y respondió {}", visto.resumen())),
        Some((code, _)) if !espera.falta.iter().any(|f| es_de(f, &code)) => {
            wrong.push(format!("el faultcode es «{code}» y debía ser «{}»", espera.falta.join("» o «")));
        }
        Some((_, text)) if text.trim().is_empty() => wrong.push("el faultstring está vacío".into()),
        Some(_) => {}
    }
}

/// Whether a fault's code is the expected one, or one of those that SOAP 1.1 (4.4.1) lets begin with it and a full stop.
fn es_de(expected: &str, code: &str) -> bool {
    let finer = code.strip_prefix(expected).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    expected == "*" || finer
}

fn codigo(espera: &Espera, visto: &Visto, texto: &mut dyn FnMut(&str) -> String, wrong: &mut Vec<String>) {
    let description = visto.campo("vdesres").unwrap_or_default().trim().to_owned();
    if !espera.codigo.is_empty() {
        match visto.campo("vcodres").map(str::trim) {
            Some(code) if espera.codigo.iter().any(|c| c == code) => {}
            None | Some("") if espera.codigo.iter().any(String::is_empty) => {}
            Some(code) => {
                wrong.push(format!("vcodres es «{code}» y debía ser «{}»", espera.codigo.join("» o «")));
            }
            None => wrong.push(format!("no trae vcodres: {}", visto.resumen())),
        }
    }
    if !espera.texto.is_empty() {
        let expected: Vec<String> = espera.texto.iter().map(|t| texto(t)).collect();
        let vacio = visto.campo("vdesres").is_none() && expected.iter().any(String::is_empty);
        if !vacio && !expected.contains(&description) {
            wrong.push(format!("vdesres es «{}» y debía ser «{}»", corto(&description), expected.join("» o «")));
        }
    }
    if !espera.contiene.is_empty() {
        let said = visto.falta().map_or(description, |(_, text)| text);
        let expected: Vec<String> = espera.contiene.iter().map(|t| texto(t)).collect();
        if !expected.iter().all(|t| said.contains(t)) {
            wrong.push(format!("el texto es «{}» y debía contener «{}»", corto(&said), expected.join("» y «")));
        }
    }
}

fn campos(espera: &Espera, visto: &Visto, texto: &mut dyn FnMut(&str) -> String, wrong: &mut Vec<String>) {
    for (name, expected) in &espera.campos {
        let (found, expected) = (visto.campo(name), texto(expected));
        if found.map(str::trim) != Some(expected.as_str()) {
            let found = found.map_or("no viene".to_owned(), |f| format!("es «{}»", corto(f)));
            wrong.push(format!("{name} {found} y debía ser «{}»", corto(&expected)));
        }
    }
    for (name, other) in &espera.difieren {
        let other = texto(other);
        if visto.campo(name).map(str::trim) == Some(other.as_str()) {
            wrong.push(format!("{name} es «{}» y debía ser otro", corto(&other)));
        }
    }
    for (name, form) in &espera.formas {
        let found = visto.campo(name).map(str::trim);
        if let Err(why) = forma(form, found) {
            wrong.push(format!("{name} {why}"));
        }
    }
    for name in &espera.ausentes {
        if let Some(found) = visto.campo(name).filter(|f| !f.trim().is_empty()) {
            wrong.push(format!("{name} es «{}» y no debía venir", corto(found)));
        }
    }
    if let Some(order) = &espera.orden {
        let list: &[&str] = match order.as_str() {
            "entidad" => &ORDEN_ENTIDAD,
            "cargo" => &ORDEN_CARGO,
            _ => &ORDEN_PLATAFORMA,
        };
        let names: Vec<&str> =
            visto.estructura().map(|e| e.hijos.iter().map(|h| h.local.as_str()).collect()).unwrap_or_default();
        let places: Vec<Option<usize>> = names.iter().map(|n| list.iter().position(|k| k == n)).collect();
        if let Some(unknown) = names.iter().zip(&places).find(|(_, p)| p.is_none()) {
            wrong.push(format!("trae el elemento {}, que el contrato no tiene", unknown.0));
        } else if !places.is_sorted() {
            wrong.push(format!("los elementos vienen en otro orden que el del WSDL: {}", names.join(", ")));
        }
    }
}

/// What a field's value must look like; in Spanish, what it is not.
fn forma(form: &str, value: Option<&str>) -> Result<(), String> {
    let Some(value) = value else { return Err("no viene".into()) };
    let digits = |n: usize| value.len() == n && value.bytes().all(|b| b.is_ascii_digit());
    let shown = || format!("es «{}»", corto(value));
    let fits = match form {
        "presente" => !value.is_empty(),
        "ruc" => Ruc::de_contraparte(value).is_ok(),
        "cuo" => Cuo::parse(value).is_ok(),
        "cuo10" => digits(10),
        "anio" => digits(4),
        "entero" => value.parse::<i32>().is_ok(),
        "positivo" => value.parse::<i32>().is_ok_and(|n| n > 0),
        "fecha" => lima::leer(value).is_some(),
        "fecha_zona" => value.parse::<jiff::Timestamp>().is_ok(),
        "estado" => matches!(value, "P" | "R" | "O"),
        "pdf_doble" => return doble(value),
        "pdf_doble_limpio" => {
            doble(value)?;
            let inner = STANDARD.decode_to_vec(value.split_whitespace().collect::<String>()).unwrap_or_default();
            return if inner.iter().any(u8::is_ascii_whitespace) {
                Err("lleva saltos de línea en la capa interior de base64".into())
            } else {
                Ok(())
            };
        }
        largo if largo.starts_with("hasta") => {
            let max = largo.trim_start_matches("hasta").parse::<usize>().unwrap_or(0);
            !value.is_empty() && value.chars().count() <= max
        }
        other => return Err(format!("no se puede juzgar: la forma {other} no existe")),
    };
    if fits {
        return Ok(());
    }
    Err(format!(
        "{} y debía ser {}",
        shown(),
        match form {
            "presente" => "un texto no vacío",
            "ruc" => "un RUC de 11 dígitos",
            "cuo" | "cuo10" => "un CUO de 10 dígitos",
            "anio" => "un año de 4 dígitos",
            "entero" | "positivo" => "un número",
            "fecha" => "una fecha",
            "fecha_zona" => "una fecha con hora y zona",
            "estado" => "P, R u O",
            _ => "un texto presente y no más largo que lo permitido",
        }
    ))
}

/// Base64 of base64 of a PDF.
fn doble(value: &str) -> Result<(), String> {
    let decode = |text: &str| STANDARD.decode_to_vec(text.split_whitespace().collect::<String>()).ok();
    let outer = decode(value).ok_or("no es base64")?;
    if outer.starts_with(b"%PDF") {
        return Err("está codificado una sola vez en base64 y debía estarlo dos veces".into());
    }
    let inner = std::str::from_utf8(&outer).ok().and_then(decode).ok_or("no es base64 de base64")?;
    if inner.starts_with(b"%PDF") { Ok(()) } else { Err("no es un PDF".into()) }
}

/// A check by its name.
fn comprueba(name: &str, visto: &Visto, mensaje: &Mensaje) -> Result<(), String> {
    let must = |holds: bool, text: &str| if holds { Ok(()) } else { Err(text.to_owned()) };
    let documento = || visto.documento().ok_or_else(|| "no es XML bien formado".to_owned());
    match name {
        "xml" => documento().map(drop),
        "discreto" => {
            let said = mensaje.texto().to_ascii_lowercase();
            let told = INDISCRETO.iter().find(|word| said.contains(*word));
            told.map_or(Ok(()), |word| Err(format!("la respuesta revela datos internos («{}»)", word.trim())))
        }
        "texto_no_vacio" => must(
            visto.campo("vdesres").is_some_and(|t| !t.trim().is_empty()),
            "vdesres viene vacío o nulo: nadie sabrá qué pasó",
        ),
        "tipo_xml" => {
            let tipo = mensaje.cabecera("content-type").unwrap_or_default().to_ascii_lowercase();
            must(tipo.starts_with("text/xml"), &format!("el Content-Type es «{tipo}» y debía ser text/xml"))
        }
        "sobre_11" => must(
            documento()?.raiz.espacio == SOAP11 && documento()?.raiz.local == "Envelope",
            "la raíz no es un Envelope de SOAP 1.1",
        ),
        "sin_dtd" => must(!documento()?.dtd, "trae una DTD"),
        "sin_instrucciones" => must(documento()?.instrucciones == 0, "trae instrucciones de proceso"),
        "sin_encoding_style" => must(
            documento()?.raiz.todos().iter().all(|e| e.atributos.iter().all(|(n, _)| !n.ends_with("encodingStyle"))),
            "trae soap:encodingStyle, que en literal no va",
        ),
        "envoltura" => {
            let operacion = operacion(documento()?).ok_or("el Body está vacío")?;
            let expected = crate::contract::tramite::NAMESPACE;
            must(operacion.espacio == expected, &format!("la respuesta está en el espacio «{}»", operacion.espacio))?;
            let known = RESPUESTAS.contains(&operacion.local.as_str());
            must(known, &format!("la respuesta se llama {}, que no es de ninguna operación", operacion.local))?;
            let inside = operacion.hijos.first().map_or("nada", |hijo| hijo.local.as_str());
            must(inside == "return", &format!("la respuesta trae {inside} y debía traer return"))
        }
        "envoltura_plataforma" => {
            let operacion = operacion(documento()?).ok_or("el Body está vacío")?;
            let expected = crate::contract::iotramite::NAMESPACE;
            must(operacion.espacio == expected, &format!("la operación está en el espacio «{}»", operacion.espacio))
        }
        "sin_calificar" => {
            let estructura = visto.estructura().ok_or("no trae la estructura")?;
            let bad = estructura.todos().into_iter().find(|e| !e.espacio.is_empty());
            bad.map_or(Ok(()), |e| Err(format!("el elemento {} está en un espacio de nombres y no debía", e.local)))
        }
        "un_hijo" => {
            let body = documento()?.raiz.hijo("Body").map_or(0, |b| b.hijos.len());
            must(body == 1, &format!("el Body tiene {body} hijos y debía tener uno"))
        }
        "fault_limpio" => {
            let fault = operacion(documento()?).ok_or("el Body está vacío")?;
            let known = ["faultcode", "faultstring", "faultactor", "detail"];
            let bad = fault.hijos.iter().find(|h| !known.contains(&h.local.as_str()) || !h.espacio.is_empty());
            bad.map_or(Ok(()), |h| Err(format!("el Fault trae {} que SOAP 1.1 no tiene o no califica", h.local)))
        }
        "una_respuesta" => must(mensaje.sobra == 0, "llegó algo más después de la respuesta"),
        "anexos" => {
            let estructura = visto.estructura().ok_or("no trae la estructura")?;
            let list = estructura.hijos.iter().filter(|h| h.local == "lstanexos").count();
            let stated = visto.campo("snumanx").and_then(|n| n.trim().parse::<usize>().ok());
            must(stated == Some(list), &format!("snumanx dice {stated:?} y la lista tiene {list}"))
        }
        "rechazo_http" => must(
            mensaje.estado().is_some_and(|s| (400..=599).contains(&s)),
            &format!("respondió «{}» y debía rechazarlo", mensaje.linea),
        ),
        "no_aceptado" => {
            must(visto.campo("vcodres").map(str::trim) != Some("0000"), "respondió 0000 a algo que no debía aceptar")
        }
        other => Err(format!("la comprobación {other} no existe")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visto(status: u16, xml: &str) -> Visto {
        let linea = format!("HTTP/1.1 {status} X");
        Visto::de(Some(Mensaje { linea, cuerpo: xml.as_bytes().to_vec(), ..Mensaje::default() }))
    }

    fn answer(inner: &str) -> Visto {
        visto(
            200,
            &format!(
                "<s:Envelope xmlns:s='{SOAP11}'><s:Body><n:cargoResponseResponse xmlns:n='{}'><return>{inner}</return>\
             </n:cargoResponseResponse></s:Body></s:Envelope>",
                crate::contract::tramite::NAMESPACE
            ),
        )
    }

    fn judge(toml: &str, visto: &Visto) -> Vec<String> {
        faltas(&toml::from_str(toml).unwrap(), visto, &mut str::to_owned)
    }

    #[test]
    fn codes_texts_and_fields_are_compared() {
        let seen = answer("<vcodres> 0003 </vcodres><vdesres>CUO no valido</vdesres><cflgest>P</cflgest>");
        assert!(judge("codigo=['0003']\ntexto=['CUO no valido']\ncampos={cflgest='P'}", &seen).is_empty());
        assert_eq!(judge("codigo=['0000']", &seen), ["vcodres es «0003» y debía ser «0000»"]);
        assert_eq!(judge("ausentes=['cflgest']", &seen).len(), 1);
        assert_eq!(judge("falta=['*']", &seen).len(), 2, "the status and the fault");
        assert!(judge("comprueba=['envoltura','sin_calificar','un_hijo','texto_no_vacio']", &seen).is_empty());
        assert_eq!(judge("comprueba=['texto_no_vacio']", &answer("<vcodres>-1</vcodres>")).len(), 1);
        assert!(judge("codigo=['']", &answer("")).is_empty());
    }

    #[test]
    fn no_answer_is_told_apart_from_any() {
        let gone = Visto { error: Some("cerró la conexión sin responder".into()), ..Visto::default() };
        assert!(judge("sin_respuesta=true", &gone).is_empty());
        let dead =
            Visto { error: Some(format!("{}: la conexión fue rechazada", wire::SIN_CONEXION)), ..Visto::default() };
        assert_eq!(judge("sin_respuesta=true", &dead).len(), 1, "who is gone has refused nothing");
        let open = Visto { agotado: true, ..gone.clone() };
        assert_eq!(judge("sin_respuesta=true", &open).len(), 1, "who waits for ever has not closed");
        assert_eq!(judge("codigo=['0000']", &gone), ["cerró la conexión sin responder"]);
        assert_eq!(judge("sin_respuesta=true", &answer("")).len(), 1);
    }

    #[test]
    fn documents_must_be_encoded_twice_and_forms_be_kept() {
        let pdf = STANDARD.encode_to_string(b"%PDF-1.7");
        assert!(forma("pdf_doble", Some(&STANDARD.encode_to_string(&pdf))).is_ok());
        assert!(forma("pdf_doble", Some(&pdf)).unwrap_err().contains("una sola vez"));
        assert!(forma("pdf_doble_limpio", Some(&STANDARD.encode_to_string(format!("{pdf}\r\n")))).is_err());
        assert!(forma("hasta3", Some("ñañ")).is_ok() && forma("hasta3", Some("ñaña")).is_err());
        assert!(
            forma("cuo10", Some("123456789")).is_err() && forma("fecha_zona", Some("2026-01-01T00:00:00")).is_err()
        );
        assert!(forma("presente", None).is_err());
    }
}
