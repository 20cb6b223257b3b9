//! Requests as the platform sends them, and as a case has them differ: the fields, the envelope around them, its bytes, and
//! how they travel.

use std::{collections::BTreeMap, io::Write, time::Duration};

use super::{
    case::{Crudo, Pedido, Trama},
    template::{Cuos, MARCA, Mundo},
    wire::Guion,
};
use crate::contract;

pub const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// The order in which the entity's contract has its fields, and in which the platform's has them.
pub const ORDEN_ENTIDAD: [&str; 21] = [
    "vrucentrem",
    "vrucentrec",
    "vnomentemi",
    "vuniorgrem",
    "vcuo",
    "vcuoref",
    "ccodtipdoc",
    "vnumdoc",
    "dfecdoc",
    "vuniorgdst",
    "vnomdst",
    "vnomcardst",
    "vasu",
    "snumanx",
    "snumfol",
    "vurldocanx",
    "bpdfdoc",
    "vnomdoc",
    "lstanexos",
    "ctipdociderem",
    "vnumdociderem",
];
pub const ORDEN_PLATAFORMA: [&str; 21] = [
    "vrucentrem",
    "vrucentrec",
    "vnomentemi",
    "vuniorgrem",
    "vcuo",
    "vcuoref",
    "ccodtipdoc",
    "vnumdoc",
    "dfecdoc",
    "vuniorgdst",
    "vnomdst",
    "vnomcardst",
    "vasu",
    "snumanx",
    "snumfol",
    "bpdfdoc",
    "vnomdoc",
    "lstanexos",
    "vurldocanx",
    "ctipdociderem",
    "vnumdociderem",
];
pub const ORDEN_CARGO: [&str; 13] = [
    "vrucentrem",
    "vrucentrec",
    "vcuo",
    "vcuoref",
    "vnumregstd",
    "vanioregstd",
    "dfecregstd",
    "vuniorgstd",
    "vusuregstd",
    "bcarstd",
    "vobs",
    "cflgest",
    "vdesanxstdrec",
];

/// Which of the entity's operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operacion {
    Recepcion,
    Cargo,
    Consulta,
}

impl Operacion {
    pub fn nombre(self) -> &'static str {
        match self {
            Self::Recepcion => contract::Operation::Recepcionar.name(),
            Self::Cargo => contract::Operation::Cargo.name(),
            Self::Consulta => contract::Operation::Consultar.name(),
        }
    }

    fn parte(self) -> &'static str {
        match self {
            Self::Recepcion => "recepcionRequest",
            Self::Cargo => "cargoRequest",
            Self::Consulta => "request",
        }
    }

    /// What is sent where a case says nothing else; templates.
    fn campos(self) -> Vec<(&'static str, String)> {
        let marked = |text: &str| format!("{MARCA} ({text})");
        match self {
            Self::Recepcion => vec![
                ("vrucentrem", "{remitente}".into()),
                ("vrucentrec", "{ruc}".into()),
                ("vnomentemi", "ENTIDAD DE PRUEBAS DE CONFORMIDAD".into()),
                ("vuniorgrem", "OFICINA DE PRUEBAS".into()),
                ("vcuo", "{cuo}".into()),
                ("ccodtipdoc", "01".into()),
                ("vnumdoc", "OFICIO {caso}".into()),
                ("dfecdoc", "{ayer}".into()),
                ("vuniorgdst", "MESA DE PARTES".into()),
                ("vnomdst", "MARÍA QUISPE MAMANI".into()),
                ("vnomcardst", "RESPONSABLE".into()),
                ("vasu", marked("{caso}")),
                ("snumanx", "0".into()),
                ("snumfol", "1".into()),
                ("bpdfdoc", "{pdf}".into()),
                ("vnomdoc", "prueba-{caso}.pdf".into()),
                ("ctipdociderem", "1".into()),
                ("vnumdociderem", "40633367".into()),
            ],
            Self::Cargo => vec![
                ("vcuo", "{cuo}".into()),
                ("vnumregstd", "P-000777".into()),
                ("vanioregstd", "{anio}".into()),
                ("dfecregstd", "{ahora}".into()),
                ("vuniorgstd", "MESA DE PARTES".into()),
                ("vusuregstd", "ROSA ÑAHUI PÉREZ".into()),
                ("bcarstd", "{pdf}".into()),
                ("cflgest", "R".into()),
            ],
            Self::Consulta => vec![("vcuo", "{cuo}".into())],
        }
    }
}

/// The case's world as the builder uses it: what it gives out is kept for the steps that follow.
pub struct Mesa<'a> {
    pub mundo: &'a Mundo,
    pub cuos: &'a mut Cuos,
    pub nuevos: BTreeMap<String, String>,
}

impl Mesa<'_> {
    pub fn texto(&mut self, plantilla: &str) -> Result<String, String> {
        self.mundo.texto(plantilla, self.cuos, &mut self.nuevos)
    }
}

pub fn escapa(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An element with a value; one that already is markup of a line break stays one.
fn elemento(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", escapa(value).replace("&amp;#xd;", "&#xd;"))
}

/// The envelope as text.
pub fn sobre(operacion: Operacion, pedido: &Pedido, mesa: &mut Mesa<'_>) -> Result<String, String> {
    let mut campos = operacion.campos();
    for (name, value) in &pedido.campos {
        match campos.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => {
                let known = ORDEN_ENTIDAD.iter().chain(&ORDEN_CARGO).find(|k| *k == name);
                campos.push((known.ok_or_else(|| format!("el campo {name} no existe"))?, value.clone()));
            }
        }
    }
    campos.retain(|(name, _)| !pedido.sin.iter().any(|s| s == name));
    let place = |name: &str| match operacion {
        Operacion::Recepcion => ORDEN_ENTIDAD.iter().position(|n| *n == name),
        _ => ORDEN_CARGO.iter().position(|n| *n == name),
    };
    campos.sort_by_key(|(name, _)| place(name));
    let mut inside = String::new();
    for (name, value) in &campos {
        let value = mesa.texto(value)?;
        inside += &if operacion == Operacion::Consulta { escapa(&value) } else { elemento(name, &value) };
        if *name == "vnomdoc" {
            for anexo in &pedido.anexos {
                inside += &format!("<lstanexos>{}</lstanexos>", elemento("vnomdoc", &mesa.texto(anexo)?));
            }
        }
    }
    let espacio = mesa.texto(pedido.espacio.as_deref().unwrap_or("{espacio}"))?;
    let parte = pedido.parte.as_deref().unwrap_or(operacion.parte());
    let name = operacion.nombre();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"{SOAP11}\" xmlns:ws=\"{espacio}\">\
         <soapenv:Header/><soapenv:Body><ws:{name}><{parte}>{inside}</{parte}></ws:{name}></soapenv:Body>\
         </soapenv:Envelope>"
    );
    for [what, with] in &pedido.reemplaza {
        let (what, with) = (mesa.texto(what)?, mesa.texto(with)?);
        if !text.contains(&what) {
            return Err(format!("el sobre no contiene «{what}», que el caso quería cambiar"));
        }
        text = text.replace(&what, &with);
    }
    Ok(text)
}

fn codificado(text: &str, codificacion: Option<&str>) -> Result<Vec<u8>, String> {
    let declared = |name: &str| text.replacen("encoding=\"UTF-8\"", &format!("encoding=\"{name}\""), 1);
    Ok(match codificacion {
        None => text.as_bytes().to_vec(),
        Some("bom") => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        Some("utf-16") => {
            let units = declared("UTF-16").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
            [b"\xff\xfe".to_vec(), units].concat()
        }
        Some("utf-16be") => {
            let units = declared("UTF-16").encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
            [b"\xfe\xff".to_vec(), units].concat()
        }
        Some("iso-8859-1") => encoding_rs::WINDOWS_1252.encode(&declared("ISO-8859-1")).0.into_owned(),
        Some("rota") => [text.as_bytes(), b"\xff\xfe\xfd"].concat(),
        Some(other) => return Err(format!("la codificación {other} no existe")),
    })
}

/// The request as bytes with their pauses, and the envelope's text for the evidence.
pub fn guion(operacion: Operacion, pedido: &Pedido, mesa: &mut Mesa<'_>) -> Result<(Guion, String), String> {
    let text = sobre(operacion, pedido, mesa)?;
    let mut body = codificado(&text, pedido.codificacion.as_deref())?;
    if pedido.trama == Trama::Gzip {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        body = gzip.write_all(&body).and_then(|()| gzip.finish()).map_err(|e| e.to_string())?;
    }
    let head = cabeza(pedido, mesa, body.len())?;
    Ok((trama(pedido.trama, head.clone(), body), format!("{head}{text}")))
}

fn cabeza(pedido: &Pedido, mesa: &mut Mesa<'_>, length: usize) -> Result<String, String> {
    let version = if pedido.trama == Trama::Antigua { "1.0" } else { "1.1" };
    let method = pedido.metodo.as_deref().unwrap_or("POST");
    let path = mesa.texto(pedido.ruta.as_deref().unwrap_or("{ruta}"))?;
    let mut head = format!("{method} {path} HTTP/{version}\r\nHost: {}\r\n", mesa.mundo.autoridad);
    let own = |name: &str| pedido.cabeceras.iter().any(|[n, _]| n.eq_ignore_ascii_case(name));
    match pedido.tipo.as_deref() {
        Some("ausente") => {}
        tipo => head += &format!("Content-Type: {}\r\n", tipo.unwrap_or("text/xml; charset=utf-8")),
    }
    match pedido.accion.as_deref() {
        Some("ausente") => {}
        accion => head += &format!("SOAPAction: {}\r\n", accion.unwrap_or("\"\"")),
    }
    head += match pedido.trama {
        Trama::Trozos => "Transfer-Encoding: chunked\r\n",
        Trama::Continua => "Expect: 100-continue\r\n",
        Trama::Gzip => "Content-Encoding: gzip\r\n",
        _ => "",
    };
    if pedido.trama != Trama::Trozos && !own("content-length") {
        head += &format!("Content-Length: {length}\r\n");
    }
    if !own("connection") {
        head += "Connection: close\r\n";
    }
    for [name, value] in &pedido.cabeceras {
        head += &format!("{name}: {}\r\n", mesa.texto(value)?);
    }
    Ok(head + "\r\n")
}

fn trama(trama: Trama, head: String, body: Vec<u8>) -> Guion {
    const NONE: Duration = Duration::ZERO;
    /// A server may wait so long for a body that stands still.
    const SILENCE: Duration = Duration::from_secs(120);
    let whole = |head: String, body: &[u8]| [head.as_bytes(), body].concat();
    let half = body.len() / 2;
    let first = body.get(..half).unwrap_or_default();
    match trama {
        Trama::Longitud | Trama::Gzip | Trama::Antigua => Guion::de(whole(head, &body)),
        Trama::Continua => {
            Guion { piezas: vec![(head.into_bytes(), NONE), (body, NONE)], continua: true, ..Guion::default() }
        }
        Trama::Trozos => {
            let mut bytes = head.into_bytes();
            for piece in body.chunks(1000) {
                bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            Guion::de(bytes)
        }
        Trama::Corta => Guion { se_va: true, ..Guion::de(whole(head, first)) },
        Trama::Calla => Guion { total: Some(SILENCE), ..Guion::de(whole(head, first)) },
        Trama::Gotea => {
            let size = body.len().div_ceil(20).max(1);
            let drops = body.chunks(size).map(|d| (d.to_vec(), Duration::from_millis(40)));
            Guion { piezas: std::iter::once((head.into_bytes(), NONE)).chain(drops).collect(), ..Guion::default() }
        }
    }
}

/// Bytes that a case writes itself.
pub fn crudo(crudo: &Crudo, mesa: &mut Mesa<'_>) -> Result<(Guion, String), String> {
    let body = mesa.texto(&crudo.cuerpo)?;
    let text = crudo.texto.replace("{bytes}", &body.len().to_string()).replace("{cuerpo}", "\u{1}");
    let text = mesa.texto(&text)?.replace('\u{1}', &body);
    let bytes = text.clone().into_bytes();
    let drops = usize::try_from(crudo.gotas).unwrap_or(0);
    if drops == 0 {
        let escucha = Duration::from_millis(crudo.escucha_ms);
        return Ok((Guion { escucha, ..Guion::de(bytes) }, text));
    }
    let pause = Duration::from_millis(crudo.pausa_ms);
    let size = bytes.len().div_ceil(drops).max(1);
    let piezas: Vec<_> = bytes.chunks(size).map(|d| (d.to_vec(), pause)).collect();
    Ok((Guion { piezas, total: Some(Duration::from_secs(120)), ..Guion::default() }, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::template::samples::mundo;

    fn build(operacion: Operacion, pedido: &Pedido) -> Result<(Guion, String), String> {
        let (mundo, mut cuos) = (mundo(), Cuos::new("9912345".into()));
        guion(operacion, pedido, &mut Mesa { mundo: &mundo, cuos: &mut cuos, nuevos: BTreeMap::new() })
    }

    #[test]
    fn a_request_that_differs_in_nothing_is_what_the_contract_reads() {
        let (guion, text) = build(Operacion::Recepcion, &Pedido::default()).unwrap();
        assert!(text.contains("Content-Type: text/xml; charset=utf-8\r\nSOAPAction: \"\"\r\n"), "{text}");
        let body = text.split_once("\r\n\r\n").unwrap().1;
        let read = crate::conformance::xml::leer(body).unwrap();
        let part = &crate::conformance::wire::operacion(&read).unwrap().hijos[0];
        let names: Vec<_> = part.hijos.iter().map(|h| h.local.as_str()).collect();
        assert_eq!(names, ORDEN_ENTIDAD.into_iter().filter(|n| names.contains(n)).collect::<Vec<_>>());
        assert_eq!(guion.piezas.len(), 1);
        let (_, consulta) = build(Operacion::Consulta, &Pedido::default()).unwrap();
        assert!(consulta.contains("<request>9912345001</request>"), "{consulta}");
    }

    #[test]
    fn a_case_changes_fields_and_the_text_around_them() {
        let pedido = Pedido {
            campos: [("vasu".to_owned(), "a<b&c".to_owned()), ("vobs".into(), "x".into())].into(),
            sin: vec!["vnumdoc".into()],
            reemplaza: vec![["<snumfol>1".into(), "<snumfol>2".into()]],
            ..Pedido::default()
        };
        let (_, text) = build(Operacion::Recepcion, &pedido).unwrap();
        assert!(
            text.contains("<vasu>a&lt;b&amp;c</vasu>") && text.contains("<snumfol>2") && !text.contains("<vnumdoc>")
        );
        let typo = Pedido { reemplaza: vec![["nada".into(), String::new()]], ..Pedido::default() };
        assert!(build(Operacion::Cargo, &typo).is_err(), "a case whose change changes nothing tests nothing");
        let typo = Pedido { campos: [("vasunto".to_owned(), String::new())].into(), ..Pedido::default() };
        assert!(build(Operacion::Recepcion, &typo).is_err());
    }
}
