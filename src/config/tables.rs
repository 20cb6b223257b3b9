//! The tables of the reference component that an entity's SGD reads and writes, as written in `[[tables]]`, and what is wrong
//! with it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Config, Secret, unit::duration};
use crate::domain::Ruc;

/// Sections of one daemon: each keeps a connection.
const TABLES_MAX: usize = 32;
/// Longest name, in characters.
const NAME_MAX: usize = 64;
/// Looking more often than this would be work for the database and nothing else.
const EVERY_MIN: Duration = Duration::from_millis(100);
const EVERY_MAX: Duration = Duration::from_secs(3600);
/// Longest name of an object in PostgreSQL, in bytes.
const OBJECT_MAX: usize = 63;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tables {
    /// Under it their place in the feed is kept: another name begins anew.
    pub name: String,
    /// Whose SGD it is; may be missing where there is one entity.
    pub entity: Option<String>,
    /// `postgres://user:password@host/database`.
    pub url: Option<Secret>,
    /// Absent: whichever of the two in use is there.
    pub schema: Option<String>,
    /// How often they are looked at, whatever the database tells.
    #[serde(with = "duration")]
    pub every: Duration,
    /// On which the database tells (NOTIFY) that there is something to do.
    pub channel: String,
    /// Who vouches for the database's certificate, in PEM, beside the machine's anchors.
    pub ca_file: Option<PathBuf>,
    /// `table=sequence`, where it cannot be told from the schema which numbers a table.
    pub sequences: Vec<String>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            name: String::new(),
            entity: None,
            url: None,
            schema: None,
            every: Duration::from_secs(5),
            channel: "chasqui".into(),
            ca_file: None,
            sequences: Vec::new(),
        }
    }
}

impl Tables {
    /// The entity whose SGD it is.
    pub fn entity(&self, config: &Config) -> Option<Ruc> {
        let ours = config.entities();
        match &self.entity {
            Some(ruc) => Ruc::parse(ruc, config.environment).ok().filter(|ruc| ours.iter().any(|own| own.ruc == *ruc)),
            None => match ours.as_slice() {
                [only] => Some(only.ruc.clone()),
                _ => None,
            },
        }
    }
}

/// Adds what is wrong: the path of the key and why.
pub fn check(config: &Config, found: &mut Vec<(String, String)>) {
    if config.tables.len() > TABLES_MAX {
        found.push(("tables".into(), format!("son {}; el máximo es {TABLES_MAX}", config.tables.len())));
    }
    for (n, tables) in config.tables.iter().enumerate() {
        found.extend(one(config, n, tables).into_iter().map(|(key, what)| (format!("tables.{n}.{key}"), what)));
    }
}

fn one(config: &Config, n: usize, tables: &Tables) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let earlier = || config.tables.iter().take(n);
    let name = tables.name.as_str();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
        let what = format!("«{name}» no sirve: de 1 a {NAME_MAX} letras minúsculas sin tilde, cifras, «-» y «_»");
        found.push(("name", what));
    } else if earlier().any(|other| other.name == name) {
        found.push(("name", format!("ya hay unas tablas «{name}»")));
    }
    match (tables.entity(config), &tables.entity) {
        (None, Some(written)) => found.push(("entity", format!("«{written}» no es el RUC de ninguna [[entity]]"))),
        (None, None) => found.push(("entity", "falta el RUC de la entidad: hay varias [[entity]]".into())),
        (Some(ruc), _) if earlier().any(|other| other.entity(config).as_ref() == Some(&ruc)) => {
            found.push(("entity", format!("la entidad {ruc} ya tiene sus [[tables]]")));
        }
        _ => {}
    }
    let url = tables.url.as_ref().map_or("", Secret::reveal);
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        let what =
            "falta la dirección de la base de datos: postgres://usuario:clave@servidor/base, o url_file con su archivo";
        found.push(("url", what.into()));
    } else if earlier().any(|other| same_place(other, tables)) {
        found.push(("url", "otras [[tables]] ya dicen esa base de datos y ese esquema".into()));
    }
    if tables.every < EVERY_MIN || tables.every > EVERY_MAX {
        found.push(("every", "debe estar entre 100 ms y 1 hora".into()));
    }
    if tables.schema.as_deref().is_some_and(|schema| !is_object(schema)) {
        found.push(("schema", "no es el nombre de un esquema de PostgreSQL".into()));
    }
    if !is_object(&tables.channel) {
        found.push(("channel", "no es un nombre: letras sin tilde, cifras y «_»".into()));
    }
    let wrong = |text: &&String| match text.split_once('=') {
        Some((table, sequence)) => !is_object(table.trim()) || sequence.split('.').any(|part| !is_object(part.trim())),
        None => true,
    };
    if let Some(text) = tables.sequences.iter().find(wrong) {
        found.push(("sequences", format!("«{text}» no es «tabla=secuencia»")));
    }
    found
}

/// Whether two sections name the same tables, whoever connects.
fn same_place(one: &Tables, other: &Tables) -> bool {
    let place = |tables: &Tables| -> (String, String) {
        let url = tables.url.as_ref().map_or("", Secret::reveal);
        let (_, rest) = url.split_once("://").unwrap_or_default();
        let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let schema = tables.schema.as_deref().unwrap_or_default();
        (rest.trim_end_matches('/').replace(":5432/", "/"), schema.to_owned())
    };
    place(one) == place(other)
}

/// A plain name, which needs no care within a statement beyond quotes.
fn is_object(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.len() <= OBJECT_MAX && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const URL: &str = "url = \"postgres://sgd:abracadabra@10.1.1.1/tramite\"\n";

    fn read(entities: &[&str], sections: &[&str]) -> Result<Config, String> {
        let mut text = String::new();
        for ruc in entities {
            text += &format!("[[entity]]\nruc = \"{ruc}\"\nname = \"ENTIDAD\"\n");
        }
        for section in sections {
            text += &format!("[[tables]]\nname = \"sgd\"\n{section}");
        }
        parse("c.toml", &text, &[], &|_| Ok(String::new())).map(|l| l.config).map_err(|e| e.to_string())
    }

    #[test]
    fn the_only_entity_need_not_be_named_and_the_rest_has_its_defaults() {
        let config = read(&["20168999926"], &[URL]).unwrap();
        assert_eq!(config.tables[0].entity(&config).unwrap().as_str(), "20168999926");
        assert_eq!(config.tables[0].every, Duration::from_secs(5));
        assert!(read(&["20168999926", "20131312955"], &[URL]).unwrap_err().contains("falta el RUC de la entidad"));
    }

    #[test]
    fn what_makes_no_sense_is_told_and_never_shows_the_password() {
        for (more, said) in [
            ("url = \"mysql://x:abracadabra@y/z\"\n", "falta la dirección"),
            (&format!("{URL}every = \"1ms\"\n"), "entre 100 ms y 1 hora"),
            (&format!("{URL}schema = \"a;b\"\n"), "no es el nombre de un esquema"),
            (&format!("{URL}channel = \"a b\"\n"), "no es un nombre"),
            (&format!("{URL}sequences = [\"a\"]\n"), "«tabla=secuencia»"),
            (&format!("{URL}entity = \"20131312955\"\n"), "no es el RUC de ninguna"),
        ] {
            let error = read(&["20168999926"], &[more]).unwrap_err();
            assert!(error.contains(said) && !error.contains("abracadabra"), "{more}: {error}");
        }
        let twice = read(&["20168999926"], &[URL, URL]).unwrap_err();
        assert!(twice.contains("ya hay unas tablas"), "{twice}");
    }
}
