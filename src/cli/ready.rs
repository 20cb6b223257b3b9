//! What `/readyz` asks of this machine.

use std::{io::Write, path::Path, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::causes::in_spanish;
use crate::{sgd::rest::Check, store::SharedStore};

/// How long an answer of the disk holds, so that asking often costs nothing.
const KEEP: Duration = Duration::from_secs(5);

/// How long the store may take to say whether it takes changes.
const STORE_MAX: Duration = Duration::from_secs(5);

/// What is written to see whether the disk takes it, in bytes.
const PROBE_BYTES: usize = 4096;

/// The last answer and when it was given.
type Last = Arc<Mutex<Option<(Instant, Result<(), String>)>>>;

/// Whether the folder of the data can be written, and written durably, and the store takes changes.
pub fn disk(data_dir: PathBuf, store: SharedStore) -> Check {
    let last = Last::default();
    Check::new("almacen", move || {
        let (dir, last, store) = (data_dir.clone(), Arc::clone(&last), Arc::clone(&store));
        async move {
            let mut last = last.lock().await;
            if let Some((at, result)) = &*last
                && at.elapsed() < KEEP
            {
                return result.clone();
            }
            let result = look(dir, &store).await;
            *last = Some((Instant::now(), result.clone()));
            result
        }
    })
}

async fn look(dir: PathBuf, store: &SharedStore) -> Result<(), String> {
    tokio::task::spawn_blocking(move || probe(&dir)).await.map_err(|error| error.to_string())??;
    match tokio::time::timeout(STORE_MAX, store.writable()).await {
        Ok(found) => found.map_err(|error| format!("El almacén no admite cambios: {}", error.cause())),
        Err(_) => Err("El almacén no responde: el disco tarda demasiado o el índice se está reconstruyendo".into()),
    }
}

fn probe(dir: &Path) -> Result<(), String> {
    let write = || {
        let mut file = tempfile::tempfile_in(dir)?;
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_data()
    };
    write()
        .map_err(|error: std::io::Error| format!("No se puede escribir en {}: {}", dir.display(), in_spanish(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded;

    #[tokio::test]
    async fn a_store_that_takes_no_changes_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::new(jiff::Timestamp::UNIX_EPOCH);
        let store: SharedStore = embedded::EmbeddedStore::open(folder.path(), options).unwrap();
        assert_eq!(look(folder.path().to_owned(), &store).await, Ok(()));
        store.close().await.unwrap();
        let refused = look(folder.path().to_owned(), &store).await;
        assert!(refused.unwrap_err().starts_with("El almacén no admite cambios: "));
    }

    #[test]
    fn a_folder_that_takes_nothing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(probe(folder.path()), Ok(()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let gone = probe(&folder.path().join("no"));
        assert!(gone.unwrap_err().starts_with("No se puede escribir en "));
    }
}
