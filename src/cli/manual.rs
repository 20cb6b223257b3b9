//! docs/configuracion.md: every key with its default, and whether a reload applies it, made of `config.example.toml` and of the
//! reload itself, so that none of it can drift; and every command of the manual held to the commands that there are. Only built
//! for tests: `UPDATE_DOCS=1 cargo test --lib manual` writes the page.

use std::{ffi::OsString, path::Path};

use toml::{Table, Value};

use super::{reload, usage};
use crate::config::{Config, EXAMPLE, SECRETS, known, paths};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuracion.md");

const HEAD: &str = "# Configuración

Todas las claves, con su valor por omisión. Esta página se hace de `config.example.toml` y del programa; una prueba falla si deja de \
ser cierta.

- El archivo es TOML. Con el paquete de Debian es `/etc/chasqui/chasqui.toml`; si no, el que se da con `--config`, o `chasqui.toml` en
  la carpeta desde la que se da la orden.
- Cualquier clave se puede dar también en el entorno, que manda sobre el archivo: `CHASQUI__SECCION__CLAVE`, por ejemplo
  `CHASQUI__LISTEN__API` o `CHASQUI__ENTITY__0__RUC`.
- Un **secreto** se puede dejar en un archivo aparte, que solo lea el servicio: en lugar de `url` se escribe `url_file = \"ruta\"`.
- Tamaños: `\"64KiB\"`, `\"256MiB\"`, `\"2GiB\"` o un número de bytes entre comillas. Tiempos: `\"30s\"`, `\"5min\"`, `\"2h\"`, `\"5days\"`.
- Una clave que no existe es un error, y el mensaje dice cuál es la más parecida. `chasqui check` dice si el archivo se lee bien;
  `chasqui limits`, qué límites valen y en qué línea se fijó cada uno.
- **al recargar**: basta `systemctl reload chasqui` (`kill -HUP`, o `POST /api/v1/admin/reload`), sin cortar conexiones.
  **al reiniciar**: `systemctl restart chasqui`. La recarga dice qué aplicó y qué espera un reinicio. Que un puerto empiece o deje de
  hablar TLS espera siempre un reinicio.
";

/// One key of the example, or several that one comment explains.
struct Key {
    path: String,
    value: String,
    /// The value is an example; there is none by default.
    optional: bool,
    about: String,
}

/// A section as it stands in the example: its heading, what is said of it, its keys.
struct Section {
    title: String,
    about: Vec<String>,
    keys: Vec<Key>,
}

/// What a line of the example is; a key that is commented out is one still.
fn key_of(line: &str) -> Option<(&str, &str, bool)> {
    let (bare, optional) = line.strip_prefix('#').map_or((line, false), |bare| (bare, true));
    let (name, value) = bare.split_once(" = ")?;
    let named = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
    named.then_some((name, value, optional))
}

fn heading_of(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .unwrap_or(line)
        .strip_suffix(']')
        .filter(|bare| bare.starts_with('['))
        .map(|bare| bare.trim_matches(['[', ']']))
}

fn sections() -> Vec<Section> {
    let mut sections = vec![Section { title: String::new(), about: Vec::new(), keys: Vec::new() }];
    let mut said: Vec<&str> = Vec::new();
    // What the file says of itself stands in the head of the page.
    for line in EXAMPLE.lines().skip_while(|line| !line.is_empty()) {
        let list = line.strip_prefix('#').unwrap_or(line).starts_with("[[");
        if let Some(path) = heading_of(line) {
            let title = if list { format!("[[{path}]]") } else { format!("[{path}]") };
            sections.push(Section { title, about: vec![said.join(" ")], keys: Vec::new() });
            said.clear();
        } else if let (Some((name, value, optional)), Some(section)) = (key_of(line), sections.last_mut()) {
            let inside = section.title.trim_matches(['[', ']']);
            let path = if inside.is_empty() { name.to_owned() } else { format!("{inside}.{name}") };
            let about = if said.is_empty() && !section.keys.is_empty() { "″".into() } else { said.join(" ") };
            section.keys.push(Key { path, value: value.to_owned(), optional, about });
            said.clear();
        } else if let Some(words) = line.strip_prefix("# ") {
            said.push(words);
        }
    }
    sections
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("docs/", "")
}

fn row(key: &Key, listed: bool) -> String {
    let secret = if SECRETS.contains(&key.path.as_str()) { " (secreto)" } else { "" };
    let value = match (key.optional, key.value.as_str()) {
        // A commented list of tables shows its defaults too; only what has none is an example.
        (true, value) if listed => format!("`{}` en el ejemplo", cell(value)),
        (true, value) => format!("ninguno; por ejemplo `{}`", cell(value)),
        (false, value) => format!("`{}`", cell(value)),
    };
    let applied = if applies(&key.path) { "al recargar" } else { "al reiniciar" };
    format!("| `{}`{secret} | {value} | {applied} | {} |\n", key.path, cell(&key.about))
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in sections() {
        let title = if section.title.is_empty() { "Lo general".to_owned() } else { format!("`{}`", section.title) };
        page += &format!("\n## {title}\n");
        for about in section.about.iter().filter(|about| !about.is_empty()) {
            page += &format!("\n{}\n", cell(about));
        }
        page += "\n| clave | por omisión | se aplica | qué es |\n| --- | --- | --- | --- |\n";
        page.extend(section.keys.iter().map(|key| row(key, section.title.starts_with("[["))));
    }
    page
}

/// Whether a reload takes up another value of this key, by asking the reload.
fn applies(path: &str) -> bool {
    let running: Config = known().clone().try_into().unwrap();
    let others = [
        "7s",
        "7days",
        "7MiB",
        "127.0.0.9:9",
        "07:07",
        "production",
        "postgres",
        "stamp",
        "require_signature",
        "1.3",
        "optional",
        "strict",
        "json",
        "cargo",
        "tiempo_agotado",
        "x",
    ];
    let lists = ["x", "10.9.0.0/16", "7s", "2026-07-07"].map(|item| Value::Array(vec![item.into()]));
    let mut changed =
        others.map(Value::from).into_iter().chain(lists).chain([7.into(), 7.7.into(), true.into(), false.into()]);
    let fresh = changed.find_map(|value| {
        let mut table = known().clone();
        *leaf(&mut table, path) = value;
        table.try_into::<Config>().ok().filter(|fresh| *fresh != running)
    });
    let fresh = fresh.unwrap_or_else(|| panic!("no other value fits {path}"));
    reload::merged(&running, &fresh, false) == fresh
}

/// The value at a path; in a list of tables, that of the first; in a table, its first.
fn leaf<'a>(table: &'a mut Table, path: &str) -> &'a mut Value {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = table.get_mut(first).unwrap_or_else(|| panic!("no {path}"));
    if rest.is_empty() && !value.is_table() {
        return value;
    }
    match value {
        Value::Table(inner) => {
            let first = inner.keys().next().cloned().unwrap();
            leaf(inner, if rest.is_empty() { &first } else { rest })
        }
        Value::Array(items) => leaf(items[0].as_table_mut().unwrap(), rest),
        _ => panic!("no {path}"),
    }
}

#[test]
fn the_page_of_the_configuration_is_as_the_example_and_the_reload_say() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(PAGE), page()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PAGE).unwrap(), page(), "run UPDATE_DOCS=1 cargo test --lib manual");
}

#[test]
fn every_key_that_is_known_has_a_row() {
    let page = page();
    // An inline table stands in one row.
    let known = paths(known()).into_iter().filter(|path| !path.starts_with("entity.firmas."));
    let missing: Vec<String> = known.filter(|path| !page.contains(&format!("| `{path}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The words of a line as a shell would part them; what follows `#` or a pipe is no part of the command.
fn words(line: &str) -> Vec<OsString> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#' | '|' | '>', None) if word.is_none() => break,
            (' ', None) => words.extend(word.take().map(OsString::from)),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.map(OsString::from));
    words
}

#[test]
fn every_command_of_the_manual_is_a_command_with_those_options() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(folder.join("docs")).unwrap().map(|page| page.unwrap().path());
    let pages = pages.chain(["README.md", "README.es.md", "SECURITY.md"].map(|page| folder.join(page)));
    let mut tried = 0;
    for page in pages.filter(|page| page.extension().is_some_and(|kind| kind == "md")) {
        let text = std::fs::read_to_string(&page).unwrap();
        let mut shell = false;
        for line in text.lines() {
            shell = if line.starts_with("```") { line == "```sh" } else { shell };
            let bare =
                line.strip_prefix("runuser -u chasqui -- ").or(line.strip_prefix("target/release/")).unwrap_or(line);
            if !shell || !bare.starts_with("chasqui ") {
                continue;
            }
            tried += 1;
            match usage::parse(words(bare)) {
                Ok(_) | Err(usage::End::Shown(_)) => {}
                Err(usage::End::Wrong(why)) | Err(usage::End::Incomplete(why)) => {
                    panic!("{}: {line}\n{why}", page.display())
                }
            }
        }
    }
    assert!(tried > 60, "{tried}");
}
