//! The trust anchors that the configuration names, those that were imported into the folder of the data, and the services of
//! the trusted lists.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    lists::{self, Known},
    output,
};
use crate::{
    config::Config,
    exchange::{Clock, SystemClock},
    signing::trust::{FILE_BYTES_MAX, Trust},
};

/// Where `cert import` keeps them, within the folder of the data.
const FOLDER: &str = "anchors";

pub fn folder(config: &Config) -> PathBuf {
    config.data_dir.join(FOLDER)
}

/// All anchors in force, for a command: the lists as they are on this machine, and what is wrong with them told. `Err` is a
/// sentence that names the file.
pub fn load(config: &Config) -> Result<Trust, String> {
    let (trust, lists) = known(config, SystemClock.now())?;
    for problem in lists.iter().filter_map(|known| known.problem.as_deref()) {
        output::note(problem);
    }
    Ok(trust)
}

/// All anchors in force with the lists they are from, without asking the network.
pub fn known(config: &Config, now: Timestamp) -> Result<(Trust, Vec<Known>), String> {
    let lists = lists::known(config, now)?;
    Ok((with(config, &lists)?, lists))
}

/// The files' anchors and those of these lists.
pub fn with(config: &Config, lists: &[Known]) -> Result<Trust, String> {
    let mut trust = from_files(config)?;
    for known in lists {
        if let Some(list) = &known.list {
            trust.with_list(list, &known.source).map_err(|error| format!("{} {error}", known.source))?;
        }
    }
    Ok(trust)
}

/// The anchors that stand in files: those of the configuration and those that were imported.
pub fn from_files(config: &Config) -> Result<Trust, String> {
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
