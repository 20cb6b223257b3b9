//! The mark of a folder whose contents went to another store: who opens it by mistake would answer what is answered there.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::disk::{self, OsDisk};
use crate::store::{StoreError, encoding::json};

const FILE: &str = "trasladado.json";

#[derive(Serialize, Deserialize)]
struct Mark {
    a: String,
}

/// Where it went, if it did.
pub fn place(dir: &Path) -> Result<Option<String>, StoreError> {
    match fs::read(dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
        // A mark that cannot be read is one all the same.
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).map_or_else(|_| "otro almacén".into(), |Mark { a }| a))),
    }
}

/// Says where it went, durably. Who calls has the folder open.
pub fn mark(dir: &Path, place: &str) -> Result<(), StoreError> {
    Ok(disk::replace(&OsDisk, &dir.join(FILE), &json(&Mark { a: place.to_owned() })?)?)
}

/// It is in use again.
pub fn unmark(dir: &Path) -> Result<(), StoreError> {
    Ok(disk::remove(&dir.join(FILE))?)
}
