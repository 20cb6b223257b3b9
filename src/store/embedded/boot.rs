//! Whether the index on disk can be what we left: it is trusted after a clean stop, or if the kernel still runs that ran
//! when it was written, since then a killed process lost nothing of what it had handed over.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    disk::{self, Disk},
    entry::json,
};
use crate::{store::StoreError, telemetry::failpoint};

const FILE: &str = "index.boot";
/// What it is called while the index is being opened.
const DOUBTED: &str = "index.boot.doubted";
const KERNEL: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's present boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// `None` where the kernel does not tell.
    pub id: Option<String>,
}

/// Beside the index while it is in use. The folder's identity tells a copy from the original: a copy made while the index
/// was written is not sound.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    boot_id: Option<String>,
    device: u64,
    inode: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Of this boot.
    Same,
    /// Of another boot: only a clean stop vouches for it.
    Other,
    /// Of another place, or its last opening did not come to its end.
    None,
}

impl Boot {
    pub fn read() -> Self {
        let told = failpoint::told("CHASQUI_BOOT_ID").or_else(|| fs::read_to_string(KERNEL).ok());
        Self { id: told.map(|id| id.trim().to_owned()) }
    }

    pub fn judge(&self, data_dir: &Path) -> Trust {
        let mark: Option<Mark> =
            fs::read(data_dir.join(FILE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match (mark, self.mark(data_dir)) {
            (Some(found), Ok(now)) if found == now && self.id.is_some() => Trust::Same,
            (Some(found), Ok(now)) if (found.device, found.inode) == (now.device, now.inode) => Trust::Other,
            _ => Trust::None,
        }
    }

    fn mark(&self, data_dir: &Path) -> io::Result<Mark> {
        let folder = fs::metadata(data_dir.join("index"))?;
        Ok(Mark { boot_id: self.id.clone(), device: folder.dev(), inode: folder.ino() })
    }

    /// Says that the index opened. Needs no room on the disk if there was a mark before.
    pub fn vouch(&self, disk: &dyn Disk, data_dir: &Path) -> Result<(), StoreError> {
        let (mark, doubted) = (json(&self.mark(data_dir)?)?, data_dir.join(DOUBTED));
        if doubted.exists() {
            failpoint::reach("vouch.write");
            let file = disk.open(&doubted, false)?;
            disk.write_at(&file, &mark, 0)?;
            disk.truncate(&file, mark.len() as u64)?;
            failpoint::reach("vouch.rename");
            disk.rename(&doubted, &data_dir.join(FILE))?;
            return Ok(disk.sync_dir(data_dir)?);
        }
        Ok(disk::replace(disk, &data_dir.join(FILE), &mark)?)
    }

    /// Before the index is opened: if that kills the process, the next start does not try it again.
    pub fn doubt(disk: &dyn Disk, data_dir: &Path) -> io::Result<()> {
        match disk.rename(&data_dir.join(FILE), &data_dir.join(DOUBTED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
