//! From text and environment variables to a checked configuration, keeping where each key was set.

use std::{collections::BTreeMap, io, path::Path};

use serde::Deserialize;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{Config, ConfigError, check, error::Problem, key, words};

/// What the variables of the environment that override keys begin with.
const PREFIX: &str = "CHASQUI__";

/// Longest secret read from a file, in bytes.
pub(super) const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Where a key was set; keys not on record have their default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file, from 1.
    Line(usize),
    /// A variable of the environment.
    Variable(String),
}

/// A configuration that passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: Config,
    /// The file's name, as problems cite it.
    pub file: String,
    /// By path; entries of lists of tables by index: `entity.0.ruc`.
    pub origins: BTreeMap<String, Origin>,
}

/// Reads a configuration file's `text` and lays the `CHASQUI__…` variables among `environment` over it. Secrets named as
/// files are read with `read_secret`. Every problem found is reported, each with its place.
pub fn parse(
    file: &str,
    text: &str,
    environment: &[(String, String)],
    read_secret: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Loaded, ConfigError> {
    let mut reader = Reader { file, text, origins: BTreeMap::new(), problems: Vec::new() };
    let mut table = reader.file()?;
    reader.environment(&mut table, environment);
    reader.secrets(&mut table, read_secret);
    if !reader.problems.is_empty() {
        return Err(ConfigError { problems: reader.problems });
    }
    let config: Config =
        table.try_into().map_err(|e: toml::de::Error| ConfigError::one(file, words::of_value(e.message())))?;
    let place = |path: &str| place(file, path, &reader.origins);
    let problems: Vec<Problem> =
        check::check(&config).into_iter().map(|(path, what)| Problem { place: place(&path), what }).collect();
    if problems.is_empty() {
        Ok(Loaded { config, file: file.to_owned(), origins: reader.origins })
    } else {
        Err(ConfigError { problems })
    }
}

/// Where a path was set, or the nearest section above it, or the file itself.
fn place(file: &str, path: &str, origins: &BTreeMap<String, Origin>) -> String {
    let mut at = path;
    loop {
        match (origins.get(at), at.rsplit_once('.')) {
            (Some(Origin::Line(line)), _) => return format!("{file}:{line}"),
            (Some(Origin::Variable(name)), _) => return name.clone(),
            (None, Some((above, _))) => at = above,
            (None, None) => return file.to_owned(),
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    origins: BTreeMap<String, Origin>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line_of(&self, byte: usize) -> usize {
        self.text.as_bytes().iter().take(byte).filter(|b| **b == b'\n').count() + 1
    }

    fn at(&mut self, place: String, what: String) {
        self.problems.push(Problem { place, what });
    }

    /// The file as a table: its keys known, its values of the right kind and readable.
    fn file(&mut self) -> Result<Table, ConfigError> {
        let syntax = |message: &str| format!("no es TOML válido: {}", words::of_syntax(message));
        let document = DeTable::parse(self.text).map_err(|e| self.failure(&e, syntax))?;
        self.known(document.get_ref(), key::known(), ["", ""]);
        if !self.problems.is_empty() {
            return Err(ConfigError { problems: std::mem::take(&mut self.problems) });
        }
        let table = self.text.parse::<Table>().map_err(|e| self.failure(&e, syntax))?;
        // The types are read from the document itself, which knows the lines; they don't know files of secrets.
        let mut plain = document;
        without_files_in(plain.get_mut(), "");
        Config::deserialize(toml::de::Deserializer::from(plain)).map_err(|e| self.failure(&e, words::of_value))?;
        Ok(table)
    }

    fn failure(&self, error: &toml::de::Error, spanish: impl Fn(&str) -> String) -> ConfigError {
        let byte = error.span().map_or(0, |span| span.start).min(self.text.len());
        let (line, before) = (self.line_of(byte), self.text.get(..byte).unwrap_or_default());
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        ConfigError::one(format!("{}:{line}:{column}", self.file), spanish(error.message()))
    }

    /// Compares a table with the known keys. `at` is its path twice: as keys are known and with indexes of lists.
    fn known(&mut self, table: &DeTable<'_>, known: &Table, at: [&str; 2]) {
        for (name, value) in table {
            let line = self.line_of(name.span().start);
            let [path, origin] = at.map(|prefix| key::join(prefix, name.get_ref()));
            self.origins.insert(origin.clone(), Origin::Line(line));
            let secret = path.strip_suffix("_file").is_some_and(|path| key::SECRETS.contains(&path));
            match known.get(name.get_ref().as_ref()) {
                Some(expected) => self.kind(value, expected, [&path, &origin], line),
                None if secret => {}
                None => {
                    let nearest = key::nearest_path(&path);
                    let what = format!("clave desconocida «{path}»; ¿quiso decir «{nearest}»?");
                    self.at(format!("{}:{line}", self.file), what);
                }
            }
        }
    }

    fn kind(&mut self, value: &Spanned<DeValue<'_>>, expected: &Value, [path, origin]: [&str; 2], line: usize) {
        match (value.get_ref(), expected) {
            (DeValue::Table(inner), Value::Table(known)) => self.known(inner, known, [path, origin]),
            (DeValue::Array(items), Value::Array(known)) => {
                let Some(known) = known.first().and_then(Value::as_table) else { return };
                for (n, item) in items.iter().enumerate() {
                    let origin = format!("{origin}.{n}");
                    let line = self.line_of(item.span().start);
                    self.origins.insert(origin.clone(), Origin::Line(line));
                    match item.get_ref() {
                        DeValue::Table(inner) => self.known(inner, known, [path, &origin]),
                        _ => self.at(format!("{}:{line}", self.file), format!("«{path}» se escribe como [[{path}]]")),
                    }
                }
            }
            (DeValue::Integer(_), Value::Float(_)) => {}
            (found, expected) if found.type_str() != expected.type_str() => {
                let (found, expected) = (kind_name(found.type_str()), kind_name(expected.type_str()));
                let what = format!("«{path}» debe ser {expected}, no {found}");
                self.at(format!("{}:{line}", self.file), what);
            }
            _ => {}
        }
    }

    fn environment(&mut self, table: &mut Table, environment: &[(String, String)]) {
        let mut ours: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        ours.sort();
        for (name, text) in ours {
            let mut trial = table.clone();
            match set(&mut trial, name, text) {
                Ok(path) => {
                    // Laid over one by one, so that a wrong value is told by the name of its variable.
                    if let Err(error) = Config::deserialize(without_secret_files(trial.clone())) {
                        self.at(name.clone(), error.message().to_owned());
                        continue;
                    }
                    *table = trial;
                    self.origins.insert(path, Origin::Variable(name.clone()));
                }
                Err(what) => self.at(name.clone(), what),
            }
        }
    }

    fn secrets(&mut self, table: &mut Table, read: &dyn Fn(&Path) -> io::Result<String>) {
        self.secrets_in(table, ["", ""], read);
    }

    /// `at` is the table's path twice: as keys are known and with indexes of lists.
    fn secrets_in(&mut self, table: &mut Table, at: [&str; 2], read: &dyn Fn(&Path) -> io::Result<String>) {
        let [path, origin] = at;
        for (name, value) in table.iter_mut() {
            let below = key::join(path, name);
            match value {
                Value::Table(inner) => self.secrets_in(inner, [&below, &key::join(origin, name)], read),
                Value::Array(items) => {
                    for (n, inner) in items.iter_mut().enumerate() {
                        let Some(inner) = inner.as_table_mut() else { continue };
                        self.secrets_in(inner, [&below, &format!("{}.{n}", key::join(origin, name))], read);
                    }
                }
                _ => {}
            }
        }
        for secret in key::SECRETS {
            let Some((section, name)) = secret.rsplit_once('.').filter(|(section, _)| *section == path) else {
                continue;
            };
            let Some(file) = table.remove(&format!("{name}_file")) else { continue };
            match self.secret([section, origin, name], &file, table.contains_key(name), read) {
                Some(text) => table.insert(name.to_owned(), text.into()),
                None => continue,
            };
        }
    }

    /// The secret in a file, or a problem.
    fn secret(
        &mut self,
        [section, origin, name]: [&str; 3],
        file: &Value,
        given_too: bool,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Option<String> {
        let named = format!("{name}_file");
        let set = key::join(origin, &named);
        let here = place(self.file, &set, &self.origins);
        let Some(file) = file.as_str() else {
            self.at(here, format!("«{section}.{named}» debe ser un texto: la ruta de un archivo"));
            return None;
        };
        if given_too {
            self.at(here, format!("«{section}.{name}» y «{section}.{named}» no pueden estar a la vez"));
            return None;
        }
        match read(Path::new(file)) {
            Ok(text) => {
                let line = self.origins.get(&set).cloned();
                self.origins.extend(line.map(|line| (key::join(origin, name), line)));
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            Err(error) => {
                self.at(here, format!("no se puede leer el secreto de {file}: {error}"));
                None
            }
        }
    }
}

/// Names of the files of secrets in a section.
fn secret_files(path: &str) -> impl Iterator<Item = String> {
    let in_it = move |secret: &&'static str| secret.rsplit_once('.').filter(|(section, _)| *section == path);
    key::SECRETS.iter().filter_map(in_it).map(|(_, name)| format!("{name}_file"))
}

fn without_files_in(table: &mut DeTable<'_>, path: &str) {
    for name in secret_files(path) {
        table.remove(name.as_str());
    }
    for (name, value) in table.iter_mut() {
        let below = key::join(path, name.get_ref());
        match value.get_mut() {
            DeValue::Table(inner) => without_files_in(inner, &below),
            DeValue::Array(items) => {
                for item in items.iter_mut() {
                    if let DeValue::Table(inner) = item.get_mut() {
                        without_files_in(inner, &below);
                    }
                }
            }
            _ => {}
        }
    }
}

fn without_secret_files(mut table: Table) -> Table {
    fn clean(table: &mut Table, path: &str) {
        for name in secret_files(path) {
            table.remove(&name);
        }
        for (name, value) in table.iter_mut() {
            let below = key::join(path, name);
            match value {
                Value::Table(inner) => clean(inner, &below),
                Value::Array(items) => items.iter_mut().filter_map(Value::as_table_mut).for_each(|t| clean(t, &below)),
                _ => {}
            }
        }
    }
    clean(&mut table, "");
    table
}

/// Sets the key a variable names. Returns its path with indexes.
fn set(table: &mut Table, variable: &str, text: &str) -> Result<String, String> {
    let path: Vec<String> =
        variable.trim_start_matches(PREFIX).split("__").map(|part| part.to_ascii_lowercase()).collect();
    let plain: Vec<&str> = path.iter().filter(|part| part.parse::<usize>().is_err()).map(String::as_str).collect();
    let plain = plain.join(".");
    let unknown = || format!("clave desconocida «{plain}»; ¿quiso decir «{}»?", key::nearest_path(&plain));
    let secret_file = plain.strip_suffix("_file").is_some_and(|path| key::SECRETS.contains(&path));
    let (mut here, mut known) = (table, key::known());
    let mut parts = path.iter();
    loop {
        let name = parts.next().ok_or_else(unknown)?;
        let Some(expected) = known.get(name) else {
            if secret_file && parts.next().is_none() {
                here.insert(name.clone(), text.into());
                return Ok(path.join("."));
            }
            return Err(unknown());
        };
        match expected {
            Value::Table(inner) => {
                known = inner;
                let entry = here.entry(name.clone()).or_insert_with(|| Table::new().into());
                here = entry.as_table_mut().ok_or_else(unknown)?;
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {
                known = items.first().and_then(Value::as_table).ok_or_else(unknown)?;
                let index = parts.next().and_then(|part| part.parse().ok());
                let entry = here.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                here = element(entry, index).ok_or_else(|| {
                    format!("«{name}» es una lista: falta su número, contado desde 0 y sin saltos, como en CHASQUI__ENTITY__0__RUC")
                })?;
            }
            leaf if parts.next().is_none() => {
                here.insert(name.clone(), typed(text, leaf)?);
                return Ok(path.join("."));
            }
            _ => return Err(unknown()),
        }
    }
}

/// The table at `index` of a list, appended if it is the next one.
fn element(list: &mut Value, index: Option<usize>) -> Option<&mut Table> {
    let (items, index) = (list.as_array_mut()?, index?);
    if index == items.len() {
        items.push(Table::new().into());
    }
    items.get_mut(index)?.as_table_mut()
}

/// A variable's text as a TOML value of the kind the key has. Texts need no quotes.
fn typed(text: &str, like: &Value) -> Result<Value, String> {
    if like.is_str() {
        return Ok(text.into());
    }
    let value = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    let fits = |value: &Value| value.same_type(like) || (value.is_integer() && like.is_float());
    value.filter(fits).ok_or_else(|| format!("«{text}» debe ser {}", kind_name(like.type_str())))
}

fn kind_name(kind: &str) -> &'static str {
    match kind {
        "string" => "un texto entre comillas",
        "integer" => "un número entero",
        "float" => "un número",
        "boolean" => "true o false",
        "array" => "una lista",
        "table" => "una sección",
        _ => "una fecha",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Ambiente;

    const ENTITY: &str = "[[entity]]\nruc = \"20168999926\"\nname = \"PCM\"\n";

    fn read(text: &str) -> Result<Loaded, ConfigError> {
        with(text, &[])
    }

    fn with(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let environment: Vec<_> = environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        parse("chasqui.toml", text, &environment, &|path| match path.to_str() {
            Some("/run/url") => Ok("postgres://u:p@h/d\n".into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn problem(result: Result<Loaded, ConfigError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line_and_the_nearest_known_one() {
        let text = format!("{ENTITY}\n[listen]\nsopa = \"127.0.0.1:1\"\napi = \"127.0.0.1:2\"\n");
        assert_eq!(
            problem(read(&text)),
            "chasqui.toml:6: clave desconocida «listen.sopa»; ¿quiso decir «listen.soap»?"
        );
        let several = problem(read("enviroment = \"test\"\nsoap = \"x\"\n[[entity]]\nrucc = \"1\"\n"));
        assert_eq!(several.lines().count(), 3, "{several}");
        assert!(several.contains("chasqui.toml:4: clave desconocida «entity.rucc»; ¿quiso decir «entity.ruc»?"));
    }

    #[test]
    fn wrong_kinds_and_wrong_values_are_told_in_spanish_with_their_line() {
        for (text, expected) in [
            ("data_dir = 5", "chasqui.toml:1: «data_dir» debe ser un texto entre comillas, no un número entero"),
            ("\n[listen]\nsoap = \"aquí\"", "chasqui.toml:3:8: «aquí» no es una dirección: se escribe IP:PUERTO"),
            (
                "environment = \"produccion\"",
                "chasqui.toml:1:15: «produccion» no es uno de: simulation, test, production; ¿quiso decir «production»?",
            ),
            ("[limits]\ndocument_max = \"10MB\"", "chasqui.toml:2:16: «10MB» no es un tamaño"),
            ("[pide]\ntotal_timeout = \"dos\"", "chasqui.toml:2:17: «dos» no es un tiempo"),
            ("[reception]\nholidays = [\"28/07\"]", "chasqui.toml:2:12: «28/07» no es una fecha"),
            ("data_dir = \"a\"\ndata_dir = \"b\"", "chasqui.toml:2:1: no es TOML válido: "),
            ("entity = [\"20168999926\"]", "chasqui.toml:1: «entity» se escribe como [[entity]]"),
        ] {
            let found = problem(read(text));
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_was_written() {
        for (text, expected) in [
            ("", "chasqui.toml: falta al menos una entidad"),
            ("[[entity]]\nruc = \"20168999927\"\nname = \"X\"", "chasqui.toml:2: el RUC 20168999927 no es válido"),
            ("[[entity]]\nruc = \"20168999926\"", "chasqui.toml:1: falta el nombre"),
            (
                "environment = \"production\"\n[[entity]]\nruc = \"11111111111\"\nname = \"X\"",
                "chasqui.toml:3: el RUC 11111111111 es de prueba",
            ),
            (&format!("{ENTITY}{ENTITY}"), "chasqui.toml:5: el RUC 20168999926 está dos veces"),
            (&format!("{ENTITY}[listen]\napi = \"127.0.0.1:8080\""), "chasqui.toml:5: listen.soap y listen.api"),
            (
                &format!("{ENTITY}[pide]\ncuo_url = \"ftp://x/y\""),
                "chasqui.toml:5: «ftp://x/y» no es una dirección http",
            ),
            (
                &format!("{ENTITY}[listen]\nsoap_public_url = \"https://x.pe/wsiotramite\""),
                "chasqui.toml:5: «https://x.pe/wsiotramite» debe ser solo protocolo y servidor",
            ),
            (
                &format!("{ENTITY}[store]\nkind = \"postgres\""),
                "chasqui.toml:4: falta la dirección de la base de datos",
            ),
            (&format!("{ENTITY}[limits]\nbytes_in_flight_max = \"1MiB\""), "chasqui.toml:5: 1MiB es muy poco"),
            (&format!("{ENTITY}[log]\nlevel = \"chasqui=mucho\""), "chasqui.toml:5: «chasqui=mucho» no es un nivel"),
            (&format!("{ENTITY}[retry]\nfactor = 0.5"), "chasqui.toml:5: 0.5 debe estar entre"),
        ] {
            let found = problem(read(text));
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn the_environment_lies_over_the_file_and_texts_need_no_quotes() {
        let loaded = with(
            ENTITY,
            &[
                ("CHASQUI__ENVIRONMENT", "test"),
                ("CHASQUI__ENTITY__0__NAME", "OTRA"),
                ("CHASQUI__ENTITY__1__RUC", "11111111111"),
                ("CHASQUI__ENTITY__1__NAME", "PRUEBA"),
                ("CHASQUI__LIMITS__CONNECTIONS_MAX", "7"),
                ("CHASQUI__RETRY__FACTOR", "3"),
                ("CHASQUI__PIDE__TOTAL_TIMEOUT", "5s"),
                ("CHASQUI__RECEPTION__HOLIDAYS", "[\"2026-08-15\"]"),
                ("CHASQUI_KEY", "not ours"),
            ],
        )
        .unwrap();
        let config = &loaded.config;
        assert_eq!(config.environment, Ambiente::Test);
        let names: Vec<_> = config.entities().into_iter().map(|e| (e.ruc.to_string(), e.nombre)).collect();
        assert_eq!(names, [("20168999926".into(), "OTRA".into()), ("11111111111".to_owned(), "PRUEBA".to_owned())]);
        assert_eq!((config.limits.connections_max, config.retry.factor), (7, 3.0));
        assert_eq!(config.pide.total_timeout, Duration::from_secs(5));
        assert_eq!(config.reception.holidays.len(), 1);
        assert_eq!(loaded.origins["entity.0.ruc"], Origin::Line(2));
        assert_eq!(loaded.origins["entity.0.name"], Origin::Variable("CHASQUI__ENTITY__0__NAME".into()));
    }

    #[test]
    fn a_wrong_variable_is_told_by_its_name() {
        for (variable, value, expected) in [
            (
                "CHASQUI__LISTEN__SOPA",
                "x",
                "CHASQUI__LISTEN__SOPA: clave desconocida «listen.sopa»; ¿quiso decir «listen.soap»?",
            ),
            ("CHASQUI__LISTEN", "x", "CHASQUI__LISTEN: clave desconocida «listen»"),
            ("CHASQUI__LISTEN__SOAP", "x", "CHASQUI__LISTEN__SOAP: «x» no es una dirección"),
            (
                "CHASQUI__LIMITS__HEADERS_MAX",
                "muchas",
                "CHASQUI__LIMITS__HEADERS_MAX: «muchas» debe ser un número entero",
            ),
            ("CHASQUI__ENTITY__RUC", "1", "CHASQUI__ENTITY__RUC: «entity» es una lista: falta su número"),
            ("CHASQUI__ENTITY__2__RUC", "1", "CHASQUI__ENTITY__2__RUC: «entity» es una lista: falta su número"),
            ("CHASQUI__ENTITY__0__RUC", "1", "CHASQUI__ENTITY__0__RUC: el RUC «1» debe tener exactamente 11"),
        ] {
            let found = problem(with(ENTITY, &[(variable, value)]));
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn a_secret_may_be_in_a_file_of_its_own() {
        let loaded = read(&format!("{ENTITY}[store]\nurl_file = \"/run/url\"")).unwrap();
        assert_eq!(loaded.config.store.url.as_ref().map(super::super::Secret::reveal), Some("postgres://u:p@h/d"));
        let loaded = with(ENTITY, &[("CHASQUI__STORE__URL_FILE", "/run/url")]).unwrap();
        assert_eq!(loaded.config.store.url.as_ref().map(super::super::Secret::reveal), Some("postgres://u:p@h/d"));
        assert!(!format!("{loaded:?}").contains("u:p@h"));
        let text = format!("{ENTITY}identity.file = \"a.p12\"\nidentity.password_file = \"/run/url\"");
        let loaded = read(&text).unwrap();
        let identity = loaded.config.entity[0].identity.as_ref().unwrap();
        assert_eq!(identity.password.as_ref().map(super::super::Secret::reveal), Some("postgres://u:p@h/d"));
        let wrong = problem(read(&text.replace("/run/url", "/run/otro")));
        assert!(wrong.starts_with("chasqui.toml:5: no se puede leer el secreto de /run/otro"), "{wrong}");
        let environment = [("CHASQUI__ENTITY__0__IDENTITY__PASSWORD_FILE", "/run/url")];
        let loaded = with(&format!("{ENTITY}identity.file = \"a.p12\""), &environment).unwrap();
        assert!(loaded.config.entity[0].identity.as_ref().unwrap().password.is_some());

        let missing = problem(read(&format!("{ENTITY}[store]\nurl_file = \"/run/otro\"")));
        assert!(missing.starts_with("chasqui.toml:5: no se puede leer el secreto de /run/otro"), "{missing}");
        let both = problem(read(&format!("{ENTITY}[store]\nurl = \"x\"\nurl_file = \"/run/url\"")));
        assert!(both.starts_with("chasqui.toml:6: «store.url» y «store.url_file» no pueden estar a la vez"), "{both}");
    }
}
