//! What `/readyz` asks of this machine.

use std::{io::Write, path::Path, path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use super::causes::in_spanish;
use crate::sgd::rest::Check;

/// How long an answer of the disk holds, so that asking often costs nothing.
const KEEP: Duration = Duration::from_secs(5);

/// What is written to see whether the disk takes it, in bytes.
const PROBE_BYTES: usize = 4096;

/// The last answer and when it was given.
type Last = Arc<Mutex<Option<(Instant, Result<(), String>)>>>;

/// Whether the folder of the data can be written, and written durably.
pub fn disk(data_dir: PathBuf) -> Check {
    let last = Last::default();
    Check::new("almacen", move || {
        let (dir, last) = (data_dir.clone(), Arc::clone(&last));
        async move {
            let mut last = last.lock().await;
            if let Some((at, result)) = &*last
                && at.elapsed() < KEEP
            {
                return result.clone();
            }
            let result = tokio::task::spawn_blocking(move || probe(&dir)).await.map_err(|error| error.to_string());
            let result = result.and_then(|probed| probed);
            *last = Some((Instant::now(), result.clone()));
            result
        }
    })
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

    #[test]
    fn a_folder_that_takes_nothing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(probe(folder.path()), Ok(()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let gone = probe(&folder.path().join("no"));
        assert!(gone.unwrap_err().starts_with("No se puede escribir en "));
    }
}
