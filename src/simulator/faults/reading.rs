//! Reads a script from TOML or JSON. Whatever is wrong is told in Spanish, all of it at once, with its line where the
//! text has lines, and an unknown word with the nearest known one.

use std::{collections::BTreeMap, fmt, time::Duration};

use humantime_serde::re::humantime;
use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    kind::{Kind, Operacion},
    script::{Charset, Contraparte, Detail, Offset, Rule, Script},
};
use crate::{config::nearest, domain::Ruc, simulator::Comportamiento};

/// Most rules and counterparts of a script.
const REGLAS_MAX: usize = 1_000;
/// Longest wait a rule may ask for.
const TIEMPO_MAX: Duration = Duration::from_secs(3600);
/// Longest text of a rule, in characters.
const TEXTO_MAX: usize = 500;
const COPIAS_MAX: u32 = 10;

const TOP: [&str; 3] = ["semilla", "falla", "contraparte"];
/// What the control route shows beside the script, so that what it gives can be given back.
const SHOWN_ONLY: &str = "cuentas";
const CONTRAPARTE: [&str; 5] = ["ruc", "responde", "demora", "envia_a", "cada"];
/// Shortest time between two documents that a counterpart sends by itself.
const CADA_MIN: Duration = Duration::from_secs(1);
const REGLA: [&str; 11] = [
    "falla",
    "operacion",
    "entidad",
    "remitente",
    "receptora",
    "probabilidad",
    "primeras",
    "cada",
    "veces",
    "por_cuo",
    "entregada",
];

/// Everything that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScriptError(pub Vec<String>);

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// A script in TOML; `file` is its name for messages.
pub fn toml(file: &str, text: &str) -> Result<Script, ScriptError> {
    let line = |byte: usize| text.as_bytes().iter().take(byte).filter(|b| **b == b'\n').count() + 1;
    let document = DeTable::parse(text).map_err(|error| {
        let at = line(error.span().map_or(0, |span| span.start));
        ScriptError(vec![format!("{file}:{at}: no es TOML válido: {}", error.message())])
    })?;
    let mut lines = BTreeMap::new();
    let value = Value::Object(table(document.get_ref(), "", &line, &mut lines));
    read(&value, &|path| {
        let known = std::iter::successors(Some(path), |p| p.rsplit_once('.').map(|(above, _)| above));
        match known.filter_map(|p| lines.get(p)).next() {
            Some(line) => format!("{file}:{line}: "),
            None => format!("{file}: "),
        }
    })
}

/// A script as the control route takes it.
pub fn json(value: &Value) -> Result<Script, ScriptError> {
    read(value, &|path| if path.is_empty() { String::new() } else { format!("{path}: ") })
}

/// TOML as JSON, noting the line of every key by its path.
fn table(
    table: &DeTable<'_>,
    path: &str,
    line: &impl Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in table {
        let path = join(path, name.get_ref());
        lines.insert(path.clone(), line(name.span().start));
        map.insert(name.get_ref().to_string(), plain(value, &path, line, lines));
    }
    map
}

fn plain(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    line: &impl Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) -> Value {
    match value.get_ref() {
        DeValue::Table(inner) => Value::Object(table(inner, path, line, lines)),
        DeValue::Array(items) => {
            let item = |(n, item): (usize, &Spanned<DeValue<'_>>)| {
                let path = join(path, &n.to_string());
                lines.insert(path.clone(), line(item.span().start));
                plain(item, &path, line, lines)
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        // A number that JSON has no place for stays a text, and so is told as none.
        DeValue::Integer(n) => {
            let text = n.as_str().replace('_', "");
            text.parse::<i64>().map_or_else(|_| Value::String(text.clone()), Value::from)
        }
        DeValue::Float(n) => {
            let text = n.as_str().replace('_', "");
            text.parse().ok().and_then(Number::from_f64).map_or(Value::String(text), Value::Number)
        }
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Datetime(at) => Value::String(at.to_string()),
    }
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

fn read(value: &Value, place: &dyn Fn(&str) -> String) -> Result<Script, ScriptError> {
    let mut wrong = Vec::new();
    let mut top = Section::new(value, String::new(), place, &mut wrong);
    let semilla = top.whole("semilla");
    let [reglas, contrapartes] = ["falla", "contraparte"].map(|name| top.list(name));
    top.only(&[&TOP[..], &[SHOWN_ONLY]].concat());
    let mut script = Script { semilla, ..Script::default() };
    for (n, value) in reglas.iter().enumerate() {
        script.reglas.extend(rule(Section::new(value, format!("falla.{n}"), place, &mut wrong)));
    }
    for (n, value) in contrapartes.iter().enumerate() {
        let section = Section::new(value, format!("contraparte.{n}"), place, &mut wrong);
        script.contrapartes.extend(contraparte(section));
    }
    if wrong.is_empty() { Ok(script) } else { Err(ScriptError(wrong)) }
}

fn rule(mut s: Section<'_, '_>) -> Option<Rule> {
    let kinds = Kind::TODAS.map(|kind| (kind.nombre(), kind));
    let falla = s.word("falla", &kinds);
    let form = falla.map(Kind::form);
    let operacion = operaciones(&mut s, form.as_ref().map_or(&Operacion::TODAS[..], |form| form.operaciones));
    let [entidad, remitente, receptora] = ["entidad", "remitente", "receptora"].map(|name| s.ruc(name));
    let probabilidad = s.probability("probabilidad");
    let [primeras, cada, veces] = ["primeras", "cada", "veces"].map(|name| s.count(name, u32::MAX));
    let (por_cuo, entregada) = (s.flag("por_cuo"), s.flag("entregada"));
    let detalle = detail(&mut s);
    let claves = form.as_ref().map_or(&[][..], |form| form.claves);
    s.only_of_kind(&[&REGLA[..], claves].concat(), form.as_ref().map_or("", |form| form.nombre));
    let falla = match falla {
        Some(falla) => falla,
        None => {
            if s.value("falla").is_none() {
                s.wrong("", "falta «falla»: qué debe fallar, por ejemplo falla = \"corte\"");
            }
            return None;
        }
    };
    needs(&mut s, falla, &detalle);
    let entregada = match (falla, entregada) {
        (Kind::Caida, Some(true)) => {
            s.wrong("entregada", "con falla = «caida» nada se entrega");
            false
        }
        (falla, said) => said.unwrap_or(falla.delivers()),
    };
    let por_cuo = por_cuo.unwrap_or(false);
    Some(Rule {
        falla,
        operacion,
        entidad,
        remitente,
        receptora,
        probabilidad,
        primeras,
        cada,
        veces,
        por_cuo,
        entregada,
        detalle,
    })
}

fn operaciones(s: &mut Section<'_, '_>, can: &[Operacion]) -> Vec<Operacion> {
    let names = match s.value("operacion") {
        None => return can.to_vec(),
        Some(Value::Array(names)) => names.clone(),
        Some(one) => vec![one.clone()],
    };
    let words = Operacion::TODAS.map(|o| (o.nombre(), o));
    let mut found = Vec::new();
    for name in names {
        let Some(operacion) = s.one_of("operacion", &name, &words) else { continue };
        if can.contains(&operacion) {
            found.push(operacion);
        } else {
            let all = can.iter().map(|o| o.nombre()).collect::<Vec<_>>().join(", ");
            s.wrong("operacion", &format!("esa falla no afecta a «{}», solo a: {all}", operacion.nombre()));
        }
    }
    found
}

fn detail(s: &mut Section<'_, '_>) -> Detail {
    Detail {
        tiempo: s.time("tiempo"),
        antes: s.flag("antes").unwrap_or(false),
        reintentar_en: s.time("reintentar_en"),
        valor: s.text("valor"),
        texto: s.text("texto"),
        copias: s.count("copias", COPIAS_MAX),
        a_la_vez: s.flag("a_la_vez").unwrap_or(false),
        desfase: s.offset("desfase"),
        declarado: s.word("declarado", &Charset::TODOS),
        real: s.word("real", &Charset::TODOS),
    }
}

/// What a kind cannot do without.
fn needs(s: &mut Section<'_, '_>, falla: Kind, d: &Detail) {
    let missing: Option<(&str, &str)> = match falla {
        Kind::Demora if d.tiempo.is_none() => Some(("tiempo", "tiempo = \"3s\"")),
        Kind::Codigo if d.valor.is_none() => Some(("valor", "valor = \"9999\"")),
        Kind::Reloj if d.desfase.is_none() => Some(("desfase", "desfase = \"-2days\"")),
        _ => None,
    };
    // A value that is there and wrong was told of already.
    if let Some((key, example)) = missing
        && s.value(key).is_none()
    {
        s.wrong("", &format!("con falla = «{}» falta «{key}», por ejemplo {example}", falla.nombre()));
    }
}

fn contraparte(mut s: Section<'_, '_>) -> Option<Contraparte> {
    let ruc = s.ruc("ruc");
    let responde = s.word("responde", &Comportamiento::TODOS.map(|c| (c.palabra(), c)));
    let demora = s.time("demora");
    let (envia_a, cada) = (s.ruc("envia_a"), s.time("cada"));
    s.only(&CONTRAPARTE);
    if s.value("envia_a").is_some() != s.value("cada").is_some() {
        s.wrong("", "«envia_a» y «cada» van juntos: a quién envía, y cada cuánto");
    }
    if cada.is_some_and(|cada| cada < CADA_MIN) {
        s.wrong("cada", "debe ser 1s o más");
    }
    for name in ["ruc", "responde"] {
        if s.value(name).is_none() {
            s.wrong("", &format!("falta «{name}»"));
        }
    }
    Some(Contraparte { ruc: ruc?, responde: responde?, demora, envia_a, cada })
}

/// One table of a script: gives its values typed and collects what is wrong.
struct Section<'a, 'p> {
    map: &'a Map<String, Value>,
    path: String,
    place: &'p dyn Fn(&str) -> String,
    problems: &'p mut Vec<String>,
}

impl<'a, 'p> Section<'a, 'p> {
    fn new(value: &'a Value, path: String, place: &'p dyn Fn(&str) -> String, problems: &'p mut Vec<String>) -> Self {
        static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let mut section = Self { map: value.as_object().unwrap_or(&NOTHING), path, place, problems };
        if !value.is_object() {
            section.wrong("", "debe ser una tabla de claves y valores");
        }
        section
    }

    fn wrong(&mut self, name: &str, what: &str) {
        let path = if name.is_empty() { self.path.clone() } else { join(&self.path, name) };
        let place = (self.place)(&path);
        self.problems.push(format!("{place}{what}"));
    }

    /// A value that is there; null is as if it were not.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Complains of every key that is not one of these.
    fn only(&mut self, known: &[&str]) {
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            let near = nearest(name, known.iter().copied()).unwrap_or_default();
            self.wrong(name, &format!("clave desconocida «{name}»; ¿quiso decir «{near}»?"));
        }
    }

    /// The same, telling a key of another kind of fault from one that no kind has.
    fn only_of_kind(&mut self, known: &[&str], kind: &str) {
        let anywhere: Vec<&str> = Kind::TODAS.into_iter().flat_map(|k| k.form().claves).copied().collect();
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            if anywhere.contains(&name.as_str()) {
                if !kind.is_empty() {
                    self.wrong(name, &format!("«{name}» no va con falla = «{kind}»"));
                }
                continue;
            }
            let all = REGLA.into_iter().chain(anywhere.iter().copied());
            let near = nearest(name, all).unwrap_or_default();
            self.wrong(name, &format!("clave desconocida «{name}»; ¿quiso decir «{near}»?"));
        }
    }

    fn typed<T>(&mut self, name: &str, what: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        let read = read(value);
        if read.is_none() {
            self.wrong(name, &format!("«{name}» debe ser {what}"));
        }
        read
    }

    fn list(&mut self, name: &str) -> &'a [Value] {
        let list = self.value(name);
        match list {
            None => &[],
            Some(Value::Array(items)) if items.len() <= REGLAS_MAX => items,
            Some(_) => {
                self.wrong(name, &format!("«{name}» se escribe como [[{name}]], {REGLAS_MAX} veces como máximo"));
                &[]
            }
        }
    }

    fn whole(&mut self, name: &str) -> Option<u64> {
        self.typed(name, "un número entero desde 0", Value::as_u64)
    }

    fn count(&mut self, name: &str, max: u32) -> Option<u32> {
        let fits = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| (1..=max).contains(n));
        self.typed(name, &format!("un número entero de 1 a {max}"), fits)
    }

    fn probability(&mut self, name: &str) -> f64 {
        let fits = |value: &Value| value.as_f64().filter(|p| (0.0..=1.0).contains(p));
        self.typed(name, "un número de 0 a 1", fits).unwrap_or(1.0)
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "true o false", Value::as_bool)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let fits = |value: &Value| value.as_str().filter(|t| t.chars().count() <= TEXTO_MAX).map(str::to_owned);
        self.typed(name, &format!("un texto de {TEXTO_MAX} caracteres como máximo"), fits)
    }

    fn ruc(&mut self, name: &str) -> Option<Ruc> {
        self.typed(name, "un RUC de 11 dígitos entre comillas", |v| Ruc::de_contraparte(v.as_str()?).ok())
    }

    fn time(&mut self, name: &str) -> Option<Duration> {
        let fits = |value: &Value| duration(value.as_str()?).filter(|t| *t <= TIEMPO_MAX);
        self.typed(name, "un tiempo como «250ms», «3s» o «2min», hasta una hora", fits)
    }

    fn offset(&mut self, name: &str) -> Option<Offset> {
        let fits = |value: &Value| {
            let text = value.as_str()?.trim();
            let (behind, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
            Some(Offset { by: duration(text.trim_start_matches('+'))?, behind })
        };
        self.typed(name, "un tiempo como «3h» (adelantado) o «-2days» (atrasado)", fits)
    }

    fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.value(name)?.clone();
        self.one_of(name, &value, words)
    }

    fn one_of<T: Copy>(&mut self, name: &str, value: &Value, words: &[(&str, T)]) -> Option<T> {
        let text = value.as_str().unwrap_or_default().trim();
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
        if found.is_none() {
            let near = nearest(text, words.iter().map(|(word, _)| *word)).unwrap_or_default();
            let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let shown: String = shown.chars().take(60).collect();
            self.wrong(name, &format!("«{shown}» no es uno de: {all}; ¿quiso decir «{near}»?"));
        }
        found
    }
}

fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(text: &str) -> String {
        toml("f.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_the_nearest_word() {
        for (text, expected) in [
            ("[[fallas]]\n", "f.toml:1: clave desconocida «fallas»; ¿quiso decir «falla»?"),
            ("\n[[falla]]\nfalla = \"cortes\"", "f.toml:3: «cortes» no es uno de: demora, corte, "),
            ("[[falla]]\nfalla = \"corte\"\noperasion = \"cargo\"", "f.toml:3: clave desconocida «operasion»; ¿quiso"),
            ("[[falla]]\nfalla = \"corte\"\noperacion = \"cargos\"", "f.toml:3: «cargos» no es uno de: cuo, recep"),
            ("[[falla]]\nfalla = \"corte\"\ncopias = 2", "f.toml:3: «copias» no va con falla = «corte»"),
            ("[[falla]]\nveces = 2", "f.toml:1: falta «falla»: qué debe fallar"),
            ("[[falla]]\nfalla = \"demora\"", "f.toml:1: con falla = «demora» falta «tiempo», por ejemplo"),
            ("[[falla]]\nfalla = \"demora\"\ntiempo = 3", "f.toml:3: «tiempo» debe ser un tiempo como"),
            ("[[falla]]\nfalla = \"reloj\"\ndesfase = \"ayer\"", "f.toml:3: «desfase» debe ser un tiempo como"),
            ("[[falla]]\nfalla = \"corte\"\nprobabilidad = 20", "f.toml:3: «probabilidad» debe ser un número de 0 a 1"),
            ("[[falla]]\nfalla = \"corte\"\nprimeras = 0", "f.toml:3: «primeras» debe ser un número entero de 1 a"),
            ("[[falla]]\nfalla = \"corte\"\nentidad = \"123\"", "f.toml:3: «entidad» debe ser un RUC"),
            (
                "[[falla]]\nfalla = \"cargo_antes\"\noperacion = \"cargo\"",
                "f.toml:3: esa falla no afecta a «cargo», solo a: recepcionar",
            ),
            ("[[falla]]\nfalla = \"caida\"\nentregada = true", "f.toml:3: con falla = «caida» nada se entrega"),
            ("[[contraparte]]\nruc = \"20900001003\"\nresponde = \"callar\"", "f.toml:3: «callar» no es uno de:"),
            ("[[contraparte]]\nresponde = \"calla\"", "f.toml:1: falta «ruc»"),
            ("semilla = -1", "f.toml:1: «semilla» debe ser"),
            ("semilla = ", "f.toml:1: no es TOML válido"),
            ("falla = 3", "f.toml:1: «falla» se escribe como [[falla]]"),
        ] {
            let found = wrong(text);
            assert!(found.starts_with(expected), "{text}: {found}");
            assert_eq!(found.lines().count(), 1, "{text}: {found}");
        }
        let several = wrong("x = 1\n[[falla]]\nfalla = \"corte\"\nveces = \"dos\"\n[[contraparte]]\nruc = \"1\"\n");
        assert_eq!(several.lines().count(), 4, "{several}");
    }

    #[test]
    fn the_control_route_takes_the_same_shape_and_names_the_place() {
        let error = json(&json!({"falla": [{"falla": "corte", "vezes": 1}]})).unwrap_err();
        assert_eq!(error.0, ["falla.0.vezes: clave desconocida «vezes»; ¿quiso decir «veces»?"]);
        assert!(json(&json!([])).is_err());
        assert!(json(&json!({"falla": [3]})).is_err());
    }

    #[test]
    fn what_is_shown_can_be_given_back() {
        let script = toml("ejemplo", super::super::EXAMPLE).unwrap();
        assert!(!script.reglas.is_empty() && !script.contrapartes.is_empty());
        let mut shown = serde_json::to_value(&script).unwrap();
        shown[SHOWN_ONLY] = json!([]);
        assert_eq!(json(&shown).unwrap(), script);
    }

    #[test]
    fn the_example_shows_every_kind_and_every_key() {
        let script = toml("ejemplo", super::super::EXAMPLE).unwrap();
        for kind in Kind::TODAS {
            assert!(script.reglas.iter().any(|rule| rule.falla == kind), "no {}", kind.nombre());
        }
        let keys = Kind::TODAS.into_iter().flat_map(|k| k.form().claves).copied();
        for key in keys.chain(REGLA).chain(CONTRAPARTE).chain(TOP) {
            let shown = |line: &str| line.starts_with(&format!("{key} =")) || line.starts_with(&format!("[[{key}]]"));
            assert!(super::super::EXAMPLE.lines().any(shown), "no line with «{key}»");
        }
        for operacion in Operacion::TODAS {
            assert!(super::super::EXAMPLE.contains(&format!("\"{}\"", operacion.nombre())), "{operacion:?}");
        }
        for who in Comportamiento::TODOS {
            assert!(super::super::EXAMPLE.contains(&format!("\"{}\"", who.palabra())), "{who:?}");
        }
    }
}
