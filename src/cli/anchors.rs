//! The trust anchors that the configuration names and those that were imported into the folder of the data.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    config::Config,
    signing::trust::{FILE_BYTES_MAX, Trust},
};

/// Where `cert import` keeps them, within the folder of the data.
const FOLDER: &str = "anchors";

pub fn folder(config: &Config) -> PathBuf {
    config.data_dir.join(FOLDER)
}

/// All anchors in force. `Err` is a sentence that names the file.
pub fn load(config: &Config) -> Result<Trust, String> {
    let mut trust = Trust::default();
    for path in &config.trust.anchors {
        add(&mut trust, path)?;
    }
    let Ok(entries) = fs::read_dir(folder(config)) else { return Ok(trust) };
    let mut imported: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    imported.sort();
    for path in imported.iter().filter(|path| path.extension().is_some_and(|extension| extension == "pem")) {
        add(&mut trust, path)?;
    }
    Ok(trust)
}

/// Adds the certificates of one file.
pub fn add(trust: &mut Trust, path: &Path) -> Result<usize, String> {
    let bytes = read(path)?;
    trust.with(&bytes, &path.display().to_string()).map_err(|error| format!("{} {error}", path.display()))
}

pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!(
            "no se pueden leer los certificados de {}: {}",
            path.display(),
            super::causes::in_spanish(&error)
        )),
    }
}
