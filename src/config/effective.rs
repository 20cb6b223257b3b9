//! The configuration in force as people are shown it: each key with its value and where it was set. Secrets are not told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Config, EMBEDDED, Origin,
    key::{SECRETS, join},
};

/// One key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Entries of lists of tables by their index: `entity.0.ruc`.
    pub key: String,
    /// `None`: not set, and without a default.
    pub value: Option<String>,
    /// The file and its line, or the variable; `None`: its default.
    pub origin: Option<String>,
}

/// What is shown instead of a secret.
const HIDDEN: &str = "(oculto)";

/// Every key. `file` and `origins` are those of [`super::Loaded`].
pub fn effective(config: &Config, file: &str, origins: &BTreeMap<String, Origin>) -> Vec<Setting> {
    let mut found = Vec::new();
    // What cannot be told is left out: the page is no reason not to start.
    let value = serde_json::to_value(config).unwrap_or_default();
    collect("", &value, &mut |key, value| {
        let set = origins.get(&key).or_else(|| origins.get(&format!("{key}_file")));
        let origin = set.and_then(|origin| match origin {
            Origin::Variable(name) => Some(name.clone()),
            Origin::Line(line) if file != EMBEDDED => Some(format!("{file}:{line}")),
            Origin::Line(_) => None,
        });
        let value = value.map(|value| if is_secret(&key) { HIDDEN.to_owned() } else { without_credentials(&value) });
        found.push(Setting { key, value, origin });
    });
    found
}

fn collect(at: &str, value: &Value, each: &mut impl FnMut(String, Option<String>)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| collect(&join(at, name), value, each)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().enumerate().for_each(|(n, item)| collect(&join(at, &n.to_string()), item, each));
        }
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().map(text).collect();
            each(at.to_owned(), Some(texts.join(", ")).filter(|text| !text.is_empty()));
        }
        Value::Null => each(at.to_owned(), None),
        value => each(at.to_owned(), Some(text(value))),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "sí" } else { "no" }.to_owned(),
        other => other.to_string(),
    }
}

/// By its path without indexes; what only sounds like a secret is taken for one.
fn is_secret(key: &str) -> bool {
    let parts: Vec<&str> = key.split('.').filter(|part| part.parse::<usize>().is_err()).collect();
    let last = parts.last().copied().unwrap_or_default();
    SECRETS.contains(&parts.join(".").as_str()) || ["password", "secret"].iter().any(|word| last.ends_with(word))
}

/// An address without who signs in there.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..end).and_then(|host| host.rfind('@')) {
        Some(at) => format!("{scheme}://***{}", rest.get(at..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn every_key_says_where_it_was_set_and_no_secret_is_told() {
        let text = "environment = \"simulation\"\n[listen]\napi = \"127.0.0.1:9999\"\n\
                    [store]\nkind = \"postgres\"\nurl = \"postgres://ana:mi-clave@db/x\"\n\
                    [pide]\nproxy = \"http://proxy.pe:3128\"\nproxy_user = \"ana\"\nproxy_password = \"otra-clave\"\n\
                    [[entity]]\nruc = \"20900000015\"\nname = \"MUNICIPALIDAD\"\n";
        let environment = [("CHASQUI__LOG__LEVEL".to_owned(), "debug".to_owned())];
        let loaded = parse("chasqui.toml", text, &environment, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let all = effective(&loaded.config, &loaded.file, &loaded.origins);
        let of = |key: &str| {
            let found = all.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("{key}"));
            (found.value.as_deref(), found.origin.as_deref())
        };
        assert_eq!(of("listen.api"), (Some("127.0.0.1:9999"), Some("chasqui.toml:3")));
        assert_eq!(of("log.level"), (Some("debug"), Some("CHASQUI__LOG__LEVEL")));
        assert_eq!(of("listen.soap").1, None);
        assert_eq!(of("store.url"), (Some(HIDDEN), Some("chasqui.toml:6")));
        assert_eq!(of("pide.proxy_password").0, Some(HIDDEN));
        assert_eq!(of("entity.0.ruc"), (Some("20900000015"), Some("chasqui.toml:12")));
        assert_eq!(without_credentials("http://ana:otra@proxy.pe/x?a@b"), "http://***@proxy.pe/x?a@b");
        assert_eq!(without_credentials("http://proxy.pe/a@b"), "http://proxy.pe/a@b");
        let told = format!("{all:?}");
        assert!(!told.contains("mi-clave") && !told.contains("otra-clave"), "{told}");
    }
}
