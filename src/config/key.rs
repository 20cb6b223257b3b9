//! The known keys, taken from the example, and which one an unknown key was meant to be.

use std::sync::LazyLock;

use toml::{Table, Value};

/// Keys whose value may be in a file of its own, named by `KEY_file`.
pub const SECRETS: [&str; 8] = [
    "pide.proxy_password",
    "store.url",
    "entity.identity.password",
    "webhook.secret",
    "bridge.user_access_api",
    "bridge.jwt_secret",
    "bridge.password",
    "tables.url",
];

/// The example with its optional keys uncommented: every known key with a value of its type.
pub fn known() -> &'static Table {
    static KNOWN: LazyLock<Table> = LazyLock::new(|| whole_example().parse().unwrap_or_default());
    &KNOWN
}

fn whole_example() -> String {
    let uncommented = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) || rest.starts_with("[[") => rest.to_owned(),
        _ => line.to_owned(),
    };
    super::EXAMPLE.lines().map(|line| uncommented(line) + "\n").collect()
}

/// All paths of a table, `section.key`, sorted; the entries of a list of tables share theirs.
pub fn paths(table: &Table) -> Vec<String> {
    fn collect(table: &Table, prefix: &str, paths: &mut Vec<String>) {
        for (name, value) in table {
            let path = join(prefix, name);
            match value {
                Value::Table(inner) => collect(inner, &path, paths),
                Value::Array(items) if items.iter().any(Value::is_table) => {
                    items.iter().filter_map(Value::as_table).for_each(|inner| collect(inner, &path, paths));
                }
                _ => paths.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    collect(table, "", &mut paths);
    paths.sort();
    paths.dedup();
    paths
}

pub fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The candidate that differs least.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates.min_by_key(|candidate| strsim::osa_distance(text, candidate))
}

/// The known key nearest to an unknown path: one of the same name elsewhere, or the least different spelling.
pub fn nearest_path(path: &str) -> String {
    let known = paths(known());
    let sections = super::key::known().iter().filter(|(_, v)| !matches!(v, Value::String(_))).map(|(k, _)| k.clone());
    let leaf = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |candidate: &String| {
        let whole = strsim::osa_distance(path, candidate);
        // Right name, wrong section: as near as one wrong letter.
        if leaf(candidate) == leaf(path) { whole.min(1) } else { whole }
    };
    known.into_iter().chain(sections).min_by_key(distance).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_spellings_and_wrong_sections_find_the_key_meant() {
        for (written, meant) in [
            ("listen.sopa", "listen.soap"),
            ("soap", "listen.soap"),
            ("lisen", "listen"),
            ("enviroment", "environment"),
            ("limits.document_maximum", "limits.document_max"),
            ("entity.nombre", "entity.name"),
            ("pide.cuo", "pide.cuo_url"),
            ("entidad", "entity"),
        ] {
            assert_eq!(nearest_path(written), meant, "{written}");
        }
    }
}
