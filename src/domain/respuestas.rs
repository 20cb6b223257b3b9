//! What the other side says in words: which texts the catalogue knows, those it does not (counted, so that somebody can
//! add a rule), and the operator's rules that name a failure by its text. A text, known or ruled, only chooses how a
//! failure is explained: what is sent next follows from the code alone (CONTRACT §7).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Falla, Ruc, cargo::Respuesta, falla::Reintento, validation::textos as t};

/// Texts kept at most; past it the one met least, and of these longest ago, is forgotten.
pub const TEXTOS_MAX: usize = 200;

/// Longest text kept, in characters.
pub const TEXTO_MAX: usize = 500;

/// Longest code kept with a text, in characters.
const CODIGO_MAX: usize = 20;

/// Rules at most.
pub const REGLAS_MAX: usize = 200;

/// Letters a rule must name at least: one with fewer would explain everything the same way.
const LETRAS_MIN: usize = 3;

/// An operation of the platform whose answers carry a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, schemars::JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operacion {
    Recepcionar,
    Cargo,
    Consultar,
}

/// A text of the other side that the catalogue does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextoVisto {
    /// Where, when and with which code it was met last.
    pub codigo: String,
    pub operacion: Operacion,
    pub entidad: Ruc,
    pub ultima_vez: Timestamp,
    pub primera_vez: Timestamp,
    pub veces: u64,
}

/// Unknown texts, masked, each with how often it was met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Textos {
    pub vistos: BTreeMap<String, TextoVisto>,
    /// Texts that had to make room for others.
    #[serde(default)]
    pub olvidados: u64,
}

impl Textos {
    /// Counts an answer's text, unless the catalogue knows it or there is none.
    pub fn anota(&mut self, operacion: Operacion, entidad: &Ruc, respuesta: &Respuesta, at: Timestamp) {
        if conocido(respuesta) {
            return;
        }
        let visto = TextoVisto {
            codigo: respuesta.codigo().chars().take(CODIGO_MAX).collect(),
            operacion,
            entidad: entidad.clone(),
            ultima_vez: at,
            primera_vez: at,
            veces: 1,
        };
        self.suma(enmascarado(respuesta.descripcion()), visto);
    }

    /// Adds what was counted elsewhere since.
    pub fn junta(&mut self, otros: Self) {
        self.olvidados = self.olvidados.saturating_add(otros.olvidados);
        otros.vistos.into_iter().for_each(|(texto, visto)| self.suma(texto, visto));
    }

    fn suma(&mut self, texto: String, visto: TextoVisto) {
        if let Some(known) = self.vistos.get_mut(&texto) {
            let veces = known.veces.saturating_add(visto.veces);
            let primera_vez = known.primera_vez.min(visto.primera_vez);
            let last = if visto.ultima_vez >= known.ultima_vez { visto } else { known.clone() };
            *known = TextoVisto { veces, primera_vez, ..last };
            return;
        }
        if self.vistos.len() >= TEXTOS_MAX {
            let least = self.vistos.iter().min_by_key(|(_, v)| (v.veces, v.ultima_vez)).map(|(text, _)| text.clone());
            least.and_then(|text| self.vistos.remove(&text));
            self.olvidados = self.olvidados.saturating_add(1);
        }
        self.vistos.insert(texto, visto);
    }
}

/// A text as it is kept and compared: on one line, at most [`TEXTO_MAX`] characters, and every word with a digit as `#`, so
/// that numbers of people and documents are not kept and don't make many texts of one.
pub fn enmascarado(texto: &str) -> String {
    let (mut masked, mut word) = (String::new(), String::new());
    for c in texto.chars().chain([' ']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        if word.chars().any(char::is_numeric) {
            masked.push('#');
        } else {
            masked.push_str(&word);
        }
        word.clear();
        masked.push(if c.is_control() { ' ' } else { c });
    }
    let line = masked.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(TEXTO_MAX).collect()
}

/// As texts are compared: spelling of capitals and a full stop at the end don't count.
fn comparable(texto: &str) -> String {
    enmascarado(texto).to_lowercase().trim_end_matches('.').to_owned()
}

/// The specification's texts beside those of the table (CONTRACT §6).
const DE_LA_NORMA: [&str; 5] = [
    "RECEPCION DE CARGO EXITOSO",
    "EL CARGO YA SE ENCUENTRA REGISTRADO",
    "NO SE PUDO REGISTRAR EL CARGO",
    "DATOS ENCONTRADOS",
    "DATOS NO ENCONTRADOS",
];

/// The specification's table 18.
const DE_LA_TABLA: [&[&str]; 40] = [
    &t::RUC_REMITENTE,
    &t::RUC_RECEPTOR,
    &t::NOMBRE_REMITENTE,
    &[t::TIPO_IDENTIDAD_FALTA],
    &[t::TIPO_IDENTIDAD_NO_VALIDO],
    &[t::NUMERO_IDENTIDAD_FALTA],
    &[t::DNI_LARGO],
    &[t::CARNE_LARGO],
    &[t::TIPO_DOCUMENTO_FALTA],
    &[t::TIPO_DOCUMENTO_NO_VALIDO],
    &t::NUMERO_DOCUMENTO,
    &[t::FECHA_DOCUMENTO_FALTA],
    &[t::FECHA_DOCUMENTO_FUTURA],
    &t::UNIDAD_REMITENTE,
    &t::UNIDAD_DESTINO,
    &t::NOMBRE_DESTINATARIO,
    &t::CARGO_DESTINATARIO,
    &t::ASUNTO,
    &t::DOCUMENTO,
    &t::NOMBRE_DOCUMENTO,
    &[t::FOLIOS_FALTA],
    &[t::FOLIOS_EXCEDE],
    &[t::ANEXOS_DE_MAS],
    &[t::ANEXOS_DE_MENOS],
    &[t::ANEXOS_SIN_LISTA],
    &[t::URL_FALTA],
    &[t::URL_EXCEDE],
    &[t::NOMBRE_ANEXO_FALTA],
    &[t::NOMBRE_ANEXO_EXCEDE],
    &[t::CUO_FALTA],
    &[t::CUO_NO_VALIDO],
    &[t::CUO_REFERENCIA],
    &t::NUMERO_REGISTRO,
    &[t::FECHA_REGISTRO_FALTA],
    &t::UNIDAD_REGISTRO,
    &t::USUARIO_REGISTRO,
    &t::CARGO,
    &[t::ESTADO_FALTA],
    &[t::ESTADO_NO_VALIDO],
    &[t::NUMERO_ANEXOS_FALTA, t::OBSERVACION_FALTA, t::OBSERVACION_EXCEDE, t::CONTROL],
];

/// Whether the specification has this text, or the catalogue reads it.
fn texto_conocido(texto: &str) -> bool {
    let texto = comparable(texto);
    let known = DE_LA_NORMA.iter().chain(DE_LA_TABLA.into_iter().flatten());
    texto.is_empty()
        || texto.contains("ya se encuentra registrado")
        || known.into_iter().any(|k| comparable(k) == texto)
}

/// Whether nothing is to be learnt from an answer's text.
fn conocido(respuesta: &Respuesta) -> bool {
    use Falla as F;
    let by_text = [F::CargoNoReconocido, F::CuoNoValido, F::RemitenteNoRegistrada, F::ReceptoraNoRegistrada];
    matches!(respuesta.codigo(), "0000" | "0001")
        || by_text.contains(&F::de_respuesta(respuesta))
        || texto_conocido(respuesta.descripcion())
}

/// An operator's word on what a text of the other side means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regla {
    /// `None`: of any operation.
    pub operacion: Option<Operacion>,
    /// Comparable, with `*` for any characters.
    patron: String,
    pub falla: Falla,
}

/// Why a rule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReglaInvalida {
    #[error("falta el texto que dice la otra parte")]
    SinTexto,
    #[error("el texto tiene más de {TEXTO_MAX} caracteres")]
    Largo,
    #[error("«{0}» abarca demasiado: escriba al menos {LETRAS_MIN} letras además de los «*»")]
    Amplio(String),
    #[error("«{0}» ya está en el catálogo de fallas y no necesita regla")]
    Conocido(String),
    #[error("falta la falla: su código, como figura en docs/fallas.md")]
    SinFalla,
    #[error("«cargo_no_reconocido» solo puede explicar lo que se responde a un cargo: agregue operacion = \"cargo\"")]
    SoloDeCargo,
}

impl Regla {
    /// Failures a rule may name. Those that say of the document that it can safely go again, or that make another CUO be
    /// asked for, are not among them; nor those of this machine.
    pub const FALLAS: [Falla; 15] = [
        Falla::TiempoAgotado,
        Falla::ConexionCortada,
        Falla::Ocupada,
        Falla::ErrorHttp,
        Falla::PaginaWeb,
        Falla::RespuestaVacia,
        Falla::FalloSoap,
        Falla::RespuestaIlegible,
        Falla::SinCodigo,
        Falla::CodigoDesconocido,
        Falla::ErrorDeLaReceptora,
        Falla::CampoNoValido,
        Falla::RemitenteNoRegistrada,
        Falla::ReceptoraNoRegistrada,
        // Of a cargo only: to deliver one again harms nobody.
        Falla::CargoNoReconocido,
    ];

    pub fn nueva(texto: &str, operacion: Option<Operacion>, falla: Option<Falla>) -> Result<Self, ReglaInvalida> {
        let patron = comparable(texto);
        if patron.is_empty() {
            return Err(ReglaInvalida::SinTexto);
        }
        if texto.chars().count() > TEXTO_MAX {
            return Err(ReglaInvalida::Largo);
        }
        if patron.chars().filter(|c| c.is_alphabetic()).count() < LETRAS_MIN {
            return Err(ReglaInvalida::Amplio(texto.to_owned()));
        }
        if !patron.contains('*') && texto_conocido(texto) {
            return Err(ReglaInvalida::Conocido(texto.to_owned()));
        }
        let falla = falla.ok_or(ReglaInvalida::SinFalla)?;
        if falla == Falla::CargoNoReconocido && operacion != Some(Operacion::Cargo) {
            return Err(ReglaInvalida::SoloDeCargo);
        }
        Ok(Self { operacion, patron, falla })
    }

    /// Whether both speak of the same answers.
    pub fn repite(&self, otra: &Self) -> bool {
        self.operacion == otra.operacion && self.patron == otra.patron
    }

    /// Whether it explains this text.
    pub fn abarca(&self, operacion: Operacion, texto: &str) -> bool {
        self.operacion.is_none_or(|of| of == operacion) && encaja(&self.patron, &comparable(texto))
    }
}

/// The failure an answer means: the catalogue's, or where it does not know the text that of the first rule which does. A rule
/// never makes a failure look safer to repeat than the catalogue has it.
pub fn falla(operacion: Operacion, respuesta: &Respuesta, reglas: &[Regla]) -> Falla {
    let known = Falla::de_respuesta(respuesta);
    if conocido(respuesta) {
        return known;
    }
    let careful = |regla: &&Regla| {
        operacion == Operacion::Cargo || cautela(regla.falla.entrada().reintento) >= cautela(known.entrada().reintento)
    };
    let ruled = reglas.iter().filter(careful).find(|regla| regla.abarca(operacion, respuesta.descripcion()));
    ruled.map_or(known, |regla| regla.falla)
}

fn cautela(reintento: Reintento) -> u8 {
    match reintento {
        Reintento::Si => 0,
        Reintento::PreguntarAntes => 1,
        Reintento::No => 2,
    }
}

/// Whether a text is what a pattern with `*` says. Steps are bounded by the product of both lengths.
fn encaja(patron: &str, texto: &str) -> bool {
    let mut pieces = patron.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| texto.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn ruc() -> Ruc {
        Ruc::de_contraparte("20537630222").unwrap()
    }

    fn regla(texto: &str, falla: Falla) -> Regla {
        Regla::nueva(texto, None, Some(falla)).unwrap()
    }

    #[test]
    fn numbers_of_people_and_documents_are_masked_and_make_one_text_of_many() {
        assert_eq!(
            enmascarado("  El DNI 40633367\ndel CUO N° 0000000019 (ORA-00942) no va "),
            "El DNI # del CUO N° # (ORA-#) no va"
        );
        assert_eq!(enmascarado(&"ñ ".repeat(900)).chars().count(), TEXTO_MAX);
        let mut textos = Textos::default();
        for n in 0..5 {
            let said = Respuesta::nueva("-1", format!("Ya existe el expediente {n}"));
            textos.anota(Operacion::Recepcionar, &ruc(), &said, at(n));
        }
        let visto = &textos.vistos["Ya existe el expediente #"];
        assert_eq!((visto.veces, visto.primera_vez, visto.ultima_vez), (5, at(0), at(4)));
    }

    #[test]
    fn what_the_specification_says_is_known_and_not_counted() {
        let mut textos = Textos::default();
        for (codigo, texto) in [
            ("0000", "cualquier cosa"),
            ("-1", ""),
            ("-1", "NO SE PUDO REGISTRAR EL CARGO"),
            ("0002", "EL CARGO YA SE ENCUENTRA REGISTRADO."),
            ("0003", "asunto de documento excede el tamaño permitido"),
            ("0003", "CUO no válido"),
            ("0003", "El número de documento de identidad para tipo de documento DNI debe ser de 8 dígitos"),
        ] {
            textos.anota(Operacion::Recepcionar, &ruc(), &Respuesta::nueva(codigo, texto), at(0));
        }
        assert_eq!(textos, Textos::default());
    }

    #[test]
    fn many_texts_make_room_for_each_other_and_the_frequent_stay() {
        let mut textos = Textos::default();
        let said = |n: usize| Respuesta::nueva("-1", "x".repeat(n + 1));
        for _ in 0..2 {
            textos.anota(Operacion::Cargo, &ruc(), &Respuesta::nueva("-1", "frecuente"), at(0));
        }
        for n in 0..TEXTOS_MAX + 10 {
            textos.anota(Operacion::Cargo, &ruc(), &said(n), at(1));
        }
        assert_eq!((textos.vistos.len(), textos.olvidados), (TEXTOS_MAX, 11));
        assert!(textos.vistos.contains_key("frecuente"));
        let mut stored = textos.clone();
        stored.junta(textos);
        assert_eq!((stored.vistos.len(), stored.vistos["frecuente"].veces), (TEXTOS_MAX, 4));
    }

    #[test]
    fn a_rule_explains_the_texts_it_names_and_no_others() {
        for (patron, texto, holds) in [
            ("Servicio caído", "SERVICIO CAÍDO.", true),
            ("servicio caído", "El servicio caído", false),
            ("*servicio*", "Error en el servicio interno", true),
            ("Expediente 77 *duplicado", "expediente 1234 está duplicado", true),
            ("expediente # duplicado", "Expediente 9 duplicado", true),
            ("abc*c", "abc", false),
            ("*fin", "sin fin alguno", false),
        ] {
            assert_eq!(regla(patron, Falla::Ocupada).abarca(Operacion::Cargo, texto), holds, "{patron} · {texto}");
        }
        let only = Regla::nueva("*servicio*", Some(Operacion::Consultar), Some(Falla::Ocupada)).unwrap();
        assert!(!only.abarca(Operacion::Cargo, "servicio") && only.abarca(Operacion::Consultar, "servicio"));
    }

    #[test]
    fn a_rule_never_makes_a_failure_look_safer_to_repeat() {
        let rules = [regla("*revise*", Falla::Ocupada), regla("*revise el asunto*", Falla::CampoNoValido)];
        let said = |codigo| Respuesta::nueva(codigo, "Revise el asunto");
        assert_eq!(falla(Operacion::Recepcionar, &said("-1"), &rules), Falla::Ocupada, "the first that fits");
        assert_eq!(falla(Operacion::Recepcionar, &said("0003"), &rules), Falla::CampoNoValido, "a refusal stays one");
        let known = Respuesta::nueva("0003", "CUO no valido");
        assert_eq!(falla(Operacion::Recepcionar, &known, &[regla("*cuo*", Falla::Ocupada)]), Falla::CuoNoValido);
        for allowed in Regla::FALLAS.iter().filter(|f| **f != Falla::CargoNoReconocido) {
            assert_ne!(allowed.entrada().reintento, Reintento::Si, "{allowed}");
        }
        assert!(!Regla::FALLAS.contains(&Falla::CuoNoValido));
    }

    #[test]
    fn what_is_no_rule_says_why() {
        use ReglaInvalida as I;
        let refused = |texto: &str, operacion, falla| Regla::nueva(texto, operacion, falla).unwrap_err();
        let busy = Some(Falla::Ocupada);
        assert_eq!(refused(" ", None, busy), I::SinTexto);
        assert_eq!(refused("*12*", None, busy), I::Amplio("*12*".into()));
        assert_eq!(refused(&"ab ".repeat(200), None, busy), I::Largo);
        assert_eq!(refused("CUO no valido", None, busy), I::Conocido("CUO no valido".into()));
        assert_eq!(refused("no va", None, None), I::SinFalla);
        assert_eq!(refused("no va", None, Some(Falla::CargoNoReconocido)), I::SoloDeCargo);
        assert!(Regla::nueva("no va", Some(Operacion::Cargo), Some(Falla::CargoNoReconocido)).is_ok());
    }
}
