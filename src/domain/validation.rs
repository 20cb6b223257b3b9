//! The validation texts of SPEC table 18, word for word, and the rules behind them (CONTRACT §4 and §6).
//!
//! One judge for both directions: what arrives is judged liberally or strictly by the receiver, what leaves is always
//! judged strictly, before the platform does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CargoTramite, Contenido, Cuo, Desenlace, Ruc, Tramite, lima};

/// Longest texts, in characters (CONTRACT §4).
pub mod largo {
    pub const NOMBRE_ENTIDAD: usize = 250;
    pub const UNIDAD_REMITENTE: usize = 250;
    pub const NUMERO_DOCUMENTO: usize = 100;
    pub const UNIDAD_DESTINO: usize = 150;
    pub const NOMBRE_DESTINATARIO: usize = 100;
    pub const CARGO_DESTINATARIO: usize = 100;
    pub const ASUNTO: usize = 500;
    pub const NOMBRE_PDF: usize = 200;
    pub const NOMBRE_ANEXO: usize = 100;
    pub const URL_ANEXOS: usize = 200;
    pub const NUMERO_REGISTRO: usize = 14;
    pub const UNIDAD_REGISTRO: usize = 250;
    pub const USUARIO_REGISTRO: usize = 100;
    pub const OBSERVACION: usize = 250;
}

/// Most folios a document may state; above it the text «excede el tamaño permitido» applies.
pub const FOLIOS_MAX: i64 = 99_999;

/// How far ahead of our clock a document's date may be: clocks of two machines differ.
const ADELANTO_S: i64 = 300;

/// Whether a document with defects that do not make it useless is kept (CONTRACT §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rigor {
    #[default]
    Lenient,
    Strict,
}

/// What kind of defect it is; with the field it is the stable code of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Motivo {
    NoEspecificado,
    Excede,
    NoValido,
}

impl Motivo {
    pub fn codigo(self) -> &'static str {
        match self {
            Self::NoEspecificado => "no_especificado",
            Self::Excede => "excede",
            Self::NoValido => "no_valido",
        }
    }
}

/// One thing wrong with a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defecto {
    /// The field as the REST API names it.
    pub campo: &'static str,
    pub motivo: Motivo,
    /// The specification's sentence, or ours where it has none.
    pub texto: &'static str,
    /// It makes the submission useless: refused even when lenient.
    pub impide: bool,
}

/// What a judgement needs beside the submission itself.
#[derive(Debug, Clone)]
pub struct Contexto<'a> {
    pub ahora: Timestamp,
    /// Known codes of document types; empty if the catalogue is not known.
    pub tipos_documento: &'a [String],
    /// Whether sender and receiver are registered, as far as the judge knows.
    pub remitente_registrada: Option<bool>,
    pub receptora_registrada: Option<bool>,
}

impl<'a> Contexto<'a> {
    pub fn nuevo(ahora: Timestamp) -> Self {
        Self { ahora, tipos_documento: &[], remitente_registrada: None, receptora_registrada: None }
    }
}

struct Juez(Vec<Defecto>);

impl Juez {
    fn anota(&mut self, campo: &'static str, motivo: Motivo, texto: &'static str) {
        self.0.push(Defecto { campo, motivo, texto, impide: false });
    }

    fn impide(&mut self, campo: &'static str, motivo: Motivo, texto: &'static str) {
        self.0.push(Defecto { campo, motivo, texto, impide: true });
    }

    /// A mandatory text of limited length.
    fn texto(
        &mut self,
        campo: &'static str,
        valor: &Option<String>,
        max: usize,
        falta: &'static str,
        excede: &'static str,
    ) {
        match valor {
            None => self.anota(campo, Motivo::NoEspecificado, falta),
            Some(text) if text.trim().is_empty() => self.anota(campo, Motivo::NoEspecificado, falta),
            Some(text) if text.chars().count() > max => self.anota(campo, Motivo::Excede, excede),
            // What arrives was XML and has none; what leaves must not differ from its record.
            Some(text) if !text.chars().all(xml_char) => self.anota(campo, Motivo::NoValido, textos::CONTROL),
            Some(_) => {}
        }
    }

    fn ruc(
        &mut self,
        campo: &'static str,
        valor: &Option<String>,
        registrada: Option<bool>,
        [falta, longitud, desconocida]: [&'static str; 3],
    ) {
        match valor.as_deref().map(str::trim) {
            None | Some("") => self.impide(campo, Motivo::NoEspecificado, falta),
            Some(text) if Ruc::de_contraparte(text).is_err() => self.impide(campo, Motivo::NoValido, longitud),
            Some(_) if registrada == Some(false) => self.impide(campo, Motivo::NoValido, desconocida),
            Some(_) => {}
        }
    }

    fn identidad(&mut self, tipo: &Option<String>, numero: &Option<String>) {
        let tipo = tipo.as_deref().map_or("", str::trim);
        match tipo {
            "" => self.anota("remitente.tipo_documento", Motivo::NoEspecificado, textos::TIPO_IDENTIDAD_FALTA),
            "1" | "2" => {}
            _ => self.anota("remitente.tipo_documento", Motivo::NoValido, textos::TIPO_IDENTIDAD_NO_VALIDO),
        }
        let numero = numero.as_deref().map_or("", str::trim);
        let campo = "remitente.numero_documento";
        let digits = |n: usize| numero.len() == n && numero.bytes().all(|b| b.is_ascii_digit());
        match (tipo, numero) {
            (_, "") => self.anota(campo, Motivo::NoEspecificado, textos::NUMERO_IDENTIDAD_FALTA),
            ("1", _) if !digits(8) => self.anota(campo, Motivo::NoValido, textos::DNI_LARGO),
            ("2", _) if !digits(9) => self.anota(campo, Motivo::NoValido, textos::CARNE_LARGO),
            _ => {}
        }
    }

    fn anexos(&mut self, tramite: &Tramite) {
        let listed = i64::try_from(tramite.anexos.len()).unwrap_or(i64::MAX);
        // Absent: the list's size is taken (CONTRACT §6).
        if tramite.numero_anexos.is_none() {
            self.anota("anexos", Motivo::NoEspecificado, textos::NUMERO_ANEXOS_FALTA);
        }
        let stated = tramite.numero_anexos.unwrap_or(listed);
        if stated > 0 && listed == 0 {
            self.anota("anexos", Motivo::NoEspecificado, textos::ANEXOS_SIN_LISTA);
        } else if stated > listed {
            self.anota("anexos", Motivo::NoValido, textos::ANEXOS_DE_MENOS);
        } else if stated < listed {
            self.anota("anexos", Motivo::NoValido, textos::ANEXOS_DE_MAS);
        }
        match tramite.url_anexos.as_deref().map(str::trim) {
            None | Some("" | "?") if stated.max(listed) > 0 => {
                self.anota("url_anexos", Motivo::NoEspecificado, textos::URL_FALTA);
            }
            Some(url) if url.chars().count() > largo::URL_ANEXOS => {
                self.anota("url_anexos", Motivo::Excede, textos::URL_EXCEDE);
            }
            _ => {}
        }
        for nombre in &tramite.anexos {
            let (falta, excede) = (textos::NOMBRE_ANEXO_FALTA, textos::NOMBRE_ANEXO_EXCEDE);
            self.texto("anexos.nombre", nombre, largo::NOMBRE_ANEXO, falta, excede);
        }
    }

    fn pdf(&mut self, campo: &'static str, contenido: Contenido, [falta, excede, base64, pdf]: [&'static str; 4]) {
        match contenido {
            Contenido::Ausente => self.impide(campo, Motivo::NoEspecificado, falta),
            Contenido::Excesivo => self.impide(campo, Motivo::Excede, excede),
            Contenido::NoBase64 => self.impide(campo, Motivo::NoValido, base64),
            Contenido::NoPdf => self.impide(campo, Motivo::NoValido, pdf),
            Contenido::Pdf { .. } => {}
        }
    }
}

/// Whether XML 1.0 can carry a character.
fn xml_char(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Judges a document, field by field in the order of the specification's table; the first defect is what the wire hears.
pub fn tramite(t: &Tramite, contexto: &Contexto<'_>) -> Vec<Defecto> {
    let mut juez = Juez(Vec::new());
    juez.ruc("remitente.ruc", &t.ruc_remitente, contexto.remitente_registrada, textos::RUC_REMITENTE);
    juez.ruc("destino", &t.ruc_receptor, contexto.receptora_registrada, textos::RUC_RECEPTOR);
    let [falta, excede] = textos::NOMBRE_REMITENTE;
    juez.texto("remitente.nombre", &t.nombre_remitente, largo::NOMBRE_ENTIDAD, falta, excede);
    juez.identidad(&t.tipo_identidad, &t.numero_identidad);
    match t.tipo_documento.as_deref().map_or("", str::trim) {
        "" => juez.anota("tipo_documento", Motivo::NoEspecificado, textos::TIPO_DOCUMENTO_FALTA),
        code if !tipo_conocido(code, contexto.tipos_documento) => {
            juez.anota("tipo_documento", Motivo::NoValido, textos::TIPO_DOCUMENTO_NO_VALIDO);
        }
        _ => {}
    }
    let [falta, excede] = textos::NUMERO_DOCUMENTO;
    juez.texto("numero_documento", &t.numero_documento, largo::NUMERO_DOCUMENTO, falta, excede);
    fecha_documento(&mut juez, t, contexto.ahora);
    let [falta, excede] = textos::UNIDAD_REMITENTE;
    juez.texto("unidad_remitente", &t.unidad_remitente, largo::UNIDAD_REMITENTE, falta, excede);
    let [falta, excede] = textos::UNIDAD_DESTINO;
    juez.texto("destinatario.unidad", &t.unidad_destino, largo::UNIDAD_DESTINO, falta, excede);
    let [falta, excede] = textos::NOMBRE_DESTINATARIO;
    juez.texto("destinatario.nombre", &t.nombre_destinatario, largo::NOMBRE_DESTINATARIO, falta, excede);
    let [falta, excede] = textos::CARGO_DESTINATARIO;
    juez.texto("destinatario.cargo", &t.cargo_destinatario, largo::CARGO_DESTINATARIO, falta, excede);
    let [falta, excede] = textos::ASUNTO;
    juez.texto("asunto", &t.asunto, largo::ASUNTO, falta, excede);
    juez.pdf("documento.contenido", t.contenido, textos::DOCUMENTO);
    let [falta, excede] = textos::NOMBRE_DOCUMENTO;
    juez.texto("documento.nombre", &t.nombre_documento, largo::NOMBRE_PDF, falta, excede);
    match t.folios {
        None => juez.anota("folios", Motivo::NoEspecificado, textos::FOLIOS_FALTA),
        Some(n) if n < 1 => juez.anota("folios", Motivo::NoEspecificado, textos::FOLIOS_FALTA),
        Some(n) if n > FOLIOS_MAX => juez.anota("folios", Motivo::Excede, textos::FOLIOS_EXCEDE),
        Some(_) => {}
    }
    juez.anexos(t);
    cuo(&mut juez, &t.cuo, &t.cuo_referencia);
    juez.0
}

/// Judges a cargo as it arrives.
pub fn cargo(c: &CargoTramite) -> Vec<Defecto> {
    let mut juez = Juez(Vec::new());
    cuo(&mut juez, &c.cuo, &c.cuo_referencia);
    let [falta, excede] = textos::NUMERO_REGISTRO;
    juez.texto("numero_registro", &c.numero_registro, largo::NUMERO_REGISTRO, falta, excede);
    if c.fecha_registro.as_deref().and_then(lima::leer).is_none() {
        juez.anota("fecha_registro", Motivo::NoEspecificado, textos::FECHA_REGISTRO_FALTA);
    }
    let [falta, excede] = textos::UNIDAD_REGISTRO;
    juez.texto("unidad", &c.unidad, largo::UNIDAD_REGISTRO, falta, excede);
    let [falta, excede] = textos::USUARIO_REGISTRO;
    juez.texto("usuario", &c.usuario, largo::USUARIO_REGISTRO, falta, excede);
    juez.pdf("cargo.contenido", c.contenido, textos::CARGO);
    match c.estado.as_deref().map_or("", str::trim) {
        "" => juez.impide("estado", Motivo::NoEspecificado, textos::ESTADO_FALTA),
        letter if Desenlace::de_letra(letter).is_none() => {
            juez.impide("estado", Motivo::NoValido, textos::ESTADO_NO_VALIDO);
        }
        _ => {}
    }
    observacion(&mut juez, c);
    juez.0
}

fn tipo_conocido(code: &str, known: &[String]) -> bool {
    code.chars().count() <= 2 && (known.is_empty() || known.iter().any(|k| k == code))
}

fn fecha_documento(juez: &mut Juez, t: &Tramite, ahora: Timestamp) {
    match t.fecha_documento.as_deref().and_then(lima::leer) {
        None => juez.anota("fecha_documento", Motivo::NoEspecificado, textos::FECHA_DOCUMENTO_FALTA),
        Some(at) if at.as_second() > ahora.as_second() + ADELANTO_S => {
            juez.anota("fecha_documento", Motivo::NoValido, textos::FECHA_DOCUMENTO_FUTURA);
        }
        Some(_) => {}
    }
}

fn cuo(juez: &mut Juez, cuo: &Option<String>, referencia: &Option<String>) {
    match cuo.as_deref().map_or("", str::trim) {
        "" => juez.impide("cuo", Motivo::NoEspecificado, textos::CUO_FALTA),
        text if Cuo::parse(text).is_err() => juez.impide("cuo", Motivo::NoValido, textos::CUO_NO_VALIDO),
        _ => {}
    }
    let referencia = referencia.as_deref().map_or("", str::trim);
    if !referencia.is_empty() && Cuo::parse(referencia).is_err() {
        juez.anota("referencia", Motivo::NoValido, textos::CUO_REFERENCIA);
    }
}

fn observacion(juez: &mut Juez, c: &CargoTramite) {
    let observado = c.estado.as_deref().and_then(Desenlace::de_letra) == Some(Desenlace::Observado);
    let text = c.observacion.as_deref().map_or("", str::trim);
    if observado && text.is_empty() {
        juez.anota("observacion", Motivo::NoEspecificado, textos::OBSERVACION_FALTA);
    }
    if text.chars().count() > largo::OBSERVACION {
        juez.anota("observacion", Motivo::Excede, textos::OBSERVACION_EXCEDE);
    }
}

/// The defects that refuse a submission under `rigor`.
pub fn impedimentos(defectos: &[Defecto], rigor: Rigor) -> impl Iterator<Item = &Defecto> {
    defectos.iter().filter(move |d| d.impide || rigor == Rigor::Strict)
}

/// The sentences. Word for word those of SPEC table 18, except the last four, which it lacks.
pub mod textos {
    pub const RUC_REMITENTE: [&str; 3] = [
        "RUC de la entidad remitente no especificado",
        "RUC de Entidad remitente tiene que ser de 11 dígitos",
        "RUC de Entidad remitente no se encuentra registrada",
    ];
    pub const RUC_RECEPTOR: [&str; 3] = [
        "RUC de la entidad receptora no especificado",
        "RUC de Entidad receptora tiene que ser de 11 dígitos",
        "RUC de entidad receptora no se encuentra registrada",
    ];
    pub const NOMBRE_REMITENTE: [&str; 2] =
        ["Nombre de Entidad remitente no especificado", "Nombre de Entidad remitente excede el tamaño permitido"];
    pub const TIPO_IDENTIDAD_FALTA: &str = "Tipo de documento de identidad del remitente no especificado";
    pub const TIPO_IDENTIDAD_NO_VALIDO: &str = "El tipo de documento de identidad del remitente no es válido";
    pub const NUMERO_IDENTIDAD_FALTA: &str = "Número de documento de identidad del remitente no especificado";
    pub const DNI_LARGO: &str = "El número de documento de identidad para tipo de documento DNI debe ser de 8 dígitos";
    pub const CARNE_LARGO: &str =
        "El número de documento de identidad para tipo de documento Carnet de Extranjería debe ser de 9 dígitos";
    pub const TIPO_DOCUMENTO_FALTA: &str = "Tipo de documento no especificado";
    pub const TIPO_DOCUMENTO_NO_VALIDO: &str = "El código de Tipo de documento no es válido";
    pub const NUMERO_DOCUMENTO: [&str; 2] =
        ["Número de documento no especificado", "Número de documento excede el tamaño permitido"];
    pub const FECHA_DOCUMENTO_FALTA: &str = "Fecha de documento no especificado";
    pub const FECHA_DOCUMENTO_FUTURA: &str = "La fecha del documento no debe ser mayor que la fecha actual";
    pub const UNIDAD_REMITENTE: [&str; 2] = [
        "Nombre de la unidad orgánica de remitente no especificado",
        "Nombre de la unidad orgánica remitente excede al tamaño permitido",
    ];
    pub const UNIDAD_DESTINO: [&str; 2] = [
        "Nombre de la unidad orgánica receptora no especificado",
        "Nombre de la unidad orgánica receptora excede al tamaño permitido",
    ];
    pub const NOMBRE_DESTINATARIO: [&str; 2] =
        ["Nombre del destinatario no especificado", "Nombre del destinatario excede el tamaño permitido"];
    pub const CARGO_DESTINATARIO: [&str; 2] =
        ["Nombre de cargo del destino no especificado", "Nombre de cargo del destino excede el tamaño permitido"];
    pub const ASUNTO: [&str; 2] =
        ["Asunto de documento no especificado", "Asunto de documento excede el tamaño permitido"];
    pub const DOCUMENTO: [&str; 4] = [
        "No existe Documento PDF Principal",
        "El Documento principal excede el tamaño permitido",
        "El Documento Principal debe estar codificado en Base64",
        "El Documento Principal no es un archivo PDF válido",
    ];
    pub const NOMBRE_DOCUMENTO: [&str; 2] = [
        "Nombre del documento principal no especificado",
        "Descripción del documento principal excede la longitud permitida",
    ];
    pub const FOLIOS_FALTA: &str = "Número de folio no especificado";
    pub const FOLIOS_EXCEDE: &str = "El número de folio excede el tamaño permitido";
    pub const ANEXOS_DE_MAS: &str =
        "La cantidad de nombres de los archivos anexos es mayor al número de documentos anexos especificados";
    pub const ANEXOS_DE_MENOS: &str =
        "El número de anexos indicado es mayor a la cantidad de nombres de los anexos especificados";
    pub const ANEXOS_SIN_LISTA: &str =
        "Se ha especificado el número de anexos pero no se ha enviado la lista de documentos anexos";
    pub const URL_FALTA: &str =
        "Se ha especificado el número de anexos pero no se especifica la URL de descarga de documentos anexos";
    pub const URL_EXCEDE: &str = "La URL de descarga de los documentos anexos excede la longitud permitida";
    pub const NOMBRE_ANEXO_FALTA: &str = "Nombre del documento anexo no especificado";
    pub const NOMBRE_ANEXO_EXCEDE: &str = "Nombre del documento Anexo excede la longitud permitida";
    pub const CUO_FALTA: &str = "CUO no especificado";
    pub const CUO_NO_VALIDO: &str = "CUO no valido";
    pub const CUO_REFERENCIA: &str = "CUO de referencia no válido";
    pub const NUMERO_REGISTRO: [&str; 2] =
        ["Número de registro del STD no especificado", "Número de registro del STD excede el tamaño permitido"];
    pub const FECHA_REGISTRO_FALTA: &str = "Fecha de registro del STD no especificado";
    pub const UNIDAD_REGISTRO: [&str; 2] = [
        "Nombre de la unidad orgánica de derivación no especificado",
        "Nombre de la unidad orgánica de derivación excede el tamaño permitido",
    ];
    pub const USUARIO_REGISTRO: [&str; 2] = [
        "Nombre de la persona que registra en el STD no especificado",
        "Nombre de la persona que registra en el STD excede el tamaño permitido",
    ];
    /// A cargo whose base64 is broken is told what the table has for a PDF that is none.
    pub const CARGO: [&str; 4] = [
        "No existe documento PDF de cargo de tramite",
        "El Documento excede el tamaño permitido",
        "El Documento de registro de tramite no es un archivo PDF valido",
        "El Documento de registro de tramite no es un archivo PDF valido",
    ];
    pub const ESTADO_FALTA: &str = "Código de Estado no especificado";
    pub const ESTADO_NO_VALIDO: &str = "Código de Estado inválido";
    pub const CONTROL: &str = "Contiene caracteres de control, que no pueden enviarse";
    pub const NUMERO_ANEXOS_FALTA: &str = "Número de anexos no especificado";
    pub const OBSERVACION_FALTA: &str = "Observación no especificada";
    pub const OBSERVACION_EXCEDE: &str = "Observación excede el tamaño permitido";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahora() -> Timestamp {
        lima::leer("2026-11-21T12:00:00").unwrap()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.into())
    }

    fn good() -> Tramite {
        Tramite {
            ruc_remitente: some("20168999926"),
            ruc_receptor: some("20537630222"),
            nombre_remitente: some("PCM"),
            unidad_remitente: some("SEGDI"),
            tipo_identidad: some("1"),
            numero_identidad: some("40633367"),
            cuo: some("0000000019"),
            cuo_referencia: None,
            tipo_documento: some("01"),
            numero_documento: some("OFICIO 1"),
            fecha_documento: some("2026-11-21T09:00:00-05:00"),
            unidad_destino: some("INFORMÁTICA"),
            nombre_destinatario: some("ANA"),
            cargo_destinatario: some("JEFA"),
            asunto: some("Reporte"),
            numero_anexos: Some(0),
            folios: Some(1),
            url_anexos: None,
            nombre_documento: some("a.pdf"),
            contenido: Contenido::Pdf { una_vez: false },
            anexos: Vec::new(),
        }
    }

    fn texts(change: impl FnOnce(&mut Tramite)) -> Vec<&'static str> {
        let mut t = good();
        change(&mut t);
        let tipos = ["01".to_owned(), "02".to_owned()];
        let contexto = Contexto { tipos_documento: &tipos, ..Contexto::nuevo(ahora()) };
        tramite(&t, &contexto).into_iter().map(|d| d.texto).collect()
    }

    #[test]
    fn a_good_document_has_no_defect() {
        assert_eq!(texts(|_| {}), [""; 0]);
    }

    #[test]
    fn every_field_of_a_document_hears_its_own_sentence() {
        type Change = fn(&mut Tramite);
        let long = |n: usize| Some("ñ".repeat(n));
        let cases: Vec<(Change, &str)> = vec![
            (|t| t.ruc_remitente = None, "RUC de la entidad remitente no especificado"),
            (|t| t.ruc_remitente = some("123"), "RUC de Entidad remitente tiene que ser de 11 dígitos"),
            (|t| t.ruc_receptor = some("  "), "RUC de la entidad receptora no especificado"),
            (|t| t.ruc_receptor = some("2053763022x"), "RUC de Entidad receptora tiene que ser de 11 dígitos"),
            (|t| t.nombre_remitente = None, "Nombre de Entidad remitente no especificado"),
            (|t| t.tipo_identidad = None, "Tipo de documento de identidad del remitente no especificado"),
            (|t| t.tipo_identidad = some("3"), "El tipo de documento de identidad del remitente no es válido"),
            (|t| t.numero_identidad = None, "Número de documento de identidad del remitente no especificado"),
            (|t| t.numero_identidad = some("123456789"), textos::DNI_LARGO),
            (|t| t.tipo_identidad = some("2"), textos::CARNE_LARGO),
            (|t| t.tipo_documento = None, "Tipo de documento no especificado"),
            (|t| t.tipo_documento = some("99"), "El código de Tipo de documento no es válido"),
            (|t| t.numero_documento = None, "Número de documento no especificado"),
            (|t| t.fecha_documento = some(""), "Fecha de documento no especificado"),
            (
                |t| t.fecha_documento = some("2026-11-22T12:00:00"),
                "La fecha del documento no debe ser mayor que la fecha actual",
            ),
            (|t| t.unidad_remitente = None, "Nombre de la unidad orgánica de remitente no especificado"),
            (|t| t.unidad_destino = None, "Nombre de la unidad orgánica receptora no especificado"),
            (|t| t.nombre_destinatario = None, "Nombre del destinatario no especificado"),
            (|t| t.cargo_destinatario = None, "Nombre de cargo del destino no especificado"),
            (|t| t.asunto = None, "Asunto de documento no especificado"),
            (|t| t.contenido = Contenido::Ausente, "No existe Documento PDF Principal"),
            (|t| t.contenido = Contenido::Excesivo, "El Documento principal excede el tamaño permitido"),
            (|t| t.contenido = Contenido::NoBase64, "El Documento Principal debe estar codificado en Base64"),
            (|t| t.contenido = Contenido::NoPdf, "El Documento Principal no es un archivo PDF válido"),
            (|t| t.nombre_documento = None, "Nombre del documento principal no especificado"),
            (|t| t.folios = Some(0), "Número de folio no especificado"),
            (|t| t.folios = Some(100_000), "El número de folio excede el tamaño permitido"),
            (|t| t.cuo = None, "CUO no especificado"),
            (|t| t.cuo = some("12345678901"), "CUO no valido"),
            (|t| t.cuo_referencia = some("!"), "CUO de referencia no válido"),
        ];
        for (change, expected) in cases {
            assert_eq!(texts(change), [expected]);
        }
        assert_eq!(texts(|t| t.asunto = long(500)), [""; 0], "lengths are counted in characters");
        assert_eq!(texts(|t| t.asunto = long(501)), ["Asunto de documento excede el tamaño permitido"]);
        assert_eq!(texts(|t| t.unidad_destino = long(151)), [textos::UNIDAD_DESTINO[1]]);
        assert_eq!(texts(|t| t.nombre_destinatario = long(101)), [textos::NOMBRE_DESTINATARIO[1]]);
        assert_eq!(texts(|t| t.cargo_destinatario = long(101)), [textos::CARGO_DESTINATARIO[1]]);
        assert_eq!(texts(|t| t.numero_documento = long(101)), [textos::NUMERO_DOCUMENTO[1]]);
        assert_eq!(texts(|t| t.nombre_remitente = long(251)), [textos::NOMBRE_REMITENTE[1]]);
        assert_eq!(texts(|t| t.unidad_remitente = long(251)), [textos::UNIDAD_REMITENTE[1]]);
        assert_eq!(texts(|t| t.nombre_documento = long(201)), [textos::NOMBRE_DOCUMENTO[1]]);
    }

    #[test]
    fn annexes_their_number_and_their_address_must_agree() {
        let with = |stated: i64, names: &[&str], url: Option<&str>| {
            texts(|t| {
                t.numero_anexos = Some(stated);
                t.anexos = names.iter().map(|n| some(n)).collect();
                t.url_anexos = url.map(str::to_owned);
            })
        };
        let url = Some("https://a.gob.pe/x");
        assert_eq!(texts(|t| t.numero_anexos = None), ["Número de anexos no especificado"]);
        assert_eq!(texts(|t| t.asunto = some("a\u{1}b\u{fffe}")), [textos::CONTROL]);
        assert_eq!(with(2, &["a", "b"], url), [""; 0]);
        assert_eq!(with(1, &[], url), [textos::ANEXOS_SIN_LISTA]);
        assert_eq!(with(2, &["a"], url), [textos::ANEXOS_DE_MENOS]);
        assert_eq!(with(1, &["a", "b"], url), [textos::ANEXOS_DE_MAS]);
        assert_eq!(with(1, &["a"], None), [textos::URL_FALTA]);
        assert_eq!(with(1, &["a"], Some("?")), [textos::URL_FALTA]);
        assert_eq!(with(0, &[], Some("?")), [""; 0]);
        assert_eq!(with(0, &[], Some(&"u".repeat(201))), [textos::URL_EXCEDE]);
        assert_eq!(with(1, &[""], url), ["Nombre del documento anexo no especificado"]);
        assert_eq!(with(1, &[&"n".repeat(101)], url), ["Nombre del documento Anexo excede la longitud permitida"]);
    }

    #[test]
    fn leniently_only_what_makes_a_document_useless_refuses_it() {
        let judged = |change: fn(&mut Tramite), rigor| {
            let mut t = good();
            change(&mut t);
            let defectos = tramite(&t, &Contexto::nuevo(ahora()));
            impedimentos(&defectos, rigor).next().map(|d| d.texto)
        };
        let tolerated: [fn(&mut Tramite); 4] = [
            |t| t.asunto = Some("x".repeat(600)),
            |t| t.numero_identidad = some("123456789"),
            |t| t.fecha_documento = None,
            |t| t.numero_anexos = None,
        ];
        for change in tolerated {
            assert_eq!(judged(change, Rigor::Lenient), None);
        }
        assert_eq!(judged(tolerated[0], Rigor::Strict), Some("Asunto de documento excede el tamaño permitido"));
        let useless: [fn(&mut Tramite); 3] =
            [|t| t.cuo = None, |t| t.contenido = Contenido::NoPdf, |t| t.ruc_receptor = None];
        for change in useless {
            assert!(judged(change, Rigor::Lenient).is_some());
        }
    }

    #[test]
    fn every_field_of_a_cargo_hears_its_own_sentence() {
        let good = CargoTramite {
            cuo: some("19"),
            numero_registro: some("123"),
            anio_registro: some("2026"),
            fecha_registro: some("2026-11-21T10:00:00"),
            unidad: some("MESA DE PARTES"),
            usuario: some("ANA"),
            contenido: Contenido::Pdf { una_vez: false },
            estado: some("R"),
            ..CargoTramite::default()
        };
        let texts = |change: fn(&mut CargoTramite)| {
            let mut c = good.clone();
            change(&mut c);
            cargo(&c).into_iter().map(|d| d.texto).collect::<Vec<_>>()
        };
        assert_eq!(texts(|_| {}), [""; 0]);
        type Change = fn(&mut CargoTramite);
        let cases: [(Change, &str); 12] = [
            (|c| c.cuo = None, "CUO no especificado"),
            (|c| c.numero_registro = None, "Número de registro del STD no especificado"),
            (|c| c.numero_registro = Some("1".repeat(15)), "Número de registro del STD excede el tamaño permitido"),
            (|c| c.fecha_registro = None, "Fecha de registro del STD no especificado"),
            (|c| c.unidad = None, "Nombre de la unidad orgánica de derivación no especificado"),
            (|c| c.usuario = None, "Nombre de la persona que registra en el STD no especificado"),
            (|c| c.contenido = Contenido::Ausente, "No existe documento PDF de cargo de tramite"),
            (|c| c.contenido = Contenido::Excesivo, "El Documento excede el tamaño permitido"),
            (|c| c.contenido = Contenido::NoPdf, "El Documento de registro de tramite no es un archivo PDF valido"),
            (|c| c.estado = None, "Código de Estado no especificado"),
            (|c| c.estado = some("P"), "Código de Estado inválido"),
            (|c| c.estado = some("O"), "Observación no especificada"),
        ];
        for (change, expected) in cases {
            assert_eq!(texts(change), [expected]);
        }
    }
}
