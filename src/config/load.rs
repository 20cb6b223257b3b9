//! Finds and reads the configuration file; the only place here that touches files and the process's environment.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{
    ConfigError, EXAMPLE, Loaded,
    causes::in_spanish,
    parse,
    source::{self},
};

/// The file looked for in the working directory when none is given.
pub const DEFAULT_FILE: &str = "chasqui.toml";

/// What [`Loaded::file`] says where there is no file.
pub const EMBEDDED: &str = "la configuración incorporada";

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Reads `file`, else `chasqui.toml` here, else the embedded defaults, with the environment's `CHASQUI__…` over it.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    let environment: Vec<(String, String)> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let (name, text) = match file {
        Some(path) => (path.display().to_string(), read(path, FILE_BYTES_MAX).map_err(|e| unreadable(path, &e))?),
        None => match read(Path::new(DEFAULT_FILE), FILE_BYTES_MAX) {
            Ok(text) => (DEFAULT_FILE.to_owned(), text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (EMBEDDED.to_owned(), EXAMPLE.to_owned()),
            Err(e) => return Err(unreadable(Path::new(DEFAULT_FILE), &e)),
        },
    };
    parse(&name, &text, &environment, &|path| read(path, source::SECRET_BYTES_MAX))
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    ConfigError::one(path.display().to_string(), format!("no se puede leer la configuración: {}", in_spanish(error)))
}

fn read(path: &Path, max: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(max + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max {
        return Err(io::Error::other(format!("tiene más de {max} bytes")));
    }
    Ok(text)
}
