//! Opening the store: the lock, recovery, what an unclean stop left, and starting the committer.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    sync::{Arc, Mutex, RwLock},
    thread::{self, JoinHandle},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Options,
    boot::Boot,
    committer::{Committer, Request, WAITING_MAX},
    disk::{self, Disk},
    documents::{self, Documents},
    entry::Prepared,
    journal::{self, Journal},
    lookup::Lookup,
    packs::Packs,
    queue::Queue,
    recovery::{self, Missing, Recovered, Setting, index_failed},
    shared::{IndexState, Shared},
};
use crate::{
    domain::Id,
    store::{Change, CommitError, Fact, StoreError},
};

/// A store that is open and whose committer runs.
pub struct Opened {
    pub shared: Arc<Shared>,
    pub requests: mpsc::Sender<Request>,
    pub thread: JoinHandle<()>,
}

pub fn open(dir: &Path, options: &Options) -> Result<Opened, StoreError> {
    make_folders(dir, &*options.disk)?;
    let lock = lock(dir)?;
    empty(&dir.join("incoming"))?;
    let (boot, journal_dir) = (Boot::read(), dir.join("journal"));
    let setting = Setting {
        data_dir: dir,
        boot: &boot,
        open_index: options.index,
        cache_bytes: options.cache_bytes,
        progress: options.progress.as_deref(),
    };
    let Recovered { index, scanned, clean, missing } = recovery::recover(&setting, &*options.disk)?;
    if let Some(missing) = missing {
        keep_note(dir, missing)?;
    }
    let lookup = Lookup::new(&*index, &journal_dir);
    let cuts = !journal::cuts(&journal_dir)?.is_empty();
    if !clean && !cuts {
        remove_orphans(&dir.join("documents"), &lookup)?;
    }
    // What stands behind the end of the last pack may be the documents of entries that were cut off: it stays.
    let pack_end = lookup.pack_end().map_err(index_failed)?.filter(|_| !cuts);
    let mut queue = Queue::default();
    let (jobs, _) = lookup.jobs_after(None, usize::MAX).map_err(index_failed)?;
    jobs.iter().for_each(|job| queue.put(job));
    let disk = Arc::clone(&options.disk);
    let shared = Arc::new(Shared {
        data_dir: dir.to_owned(),
        journal_dir: journal_dir.clone(),
        boot,
        open_index: options.index,
        cache_bytes: options.cache_bytes,
        progress: options.progress.clone(),
        index: RwLock::new(IndexState::Ready(index)),
        queue: Mutex::new(queue),
        published: watch::Sender::new(scanned.next - 1),
        _lock: lock,
    });
    let mut committer = Committer {
        shared: Arc::clone(&shared),
        journal: Journal::new(journal_dir, Arc::clone(&disk), options.segment_bytes, &scanned)?,
        packs: Packs::open(dir.join("packs"), Arc::clone(&disk), options.pack_bytes, pack_end)?,
        documents: Documents::new(dir.join("documents"), Arc::clone(&disk)),
        disk,
        rebuild_failed: None,
    };
    if let Some(missing) = missing {
        record_missing(&mut committer, missing, options)?;
        recovery::missing_recorded(dir)?;
    }
    disk::remove(&dir.join("clean-stop"))?;
    options.disk.sync_dir(dir)?;
    let (requests, inbox) = mpsc::channel(WAITING_MAX);
    let thread = thread::Builder::new().name("store".into()).spawn(move || committer.run(inbox))?;
    Ok(Opened { shared, requests, thread })
}

fn make_folders(dir: &Path, disk: &dyn Disk) -> io::Result<()> {
    let new = !dir.exists();
    for folder in ["", "journal", "packs", "documents", "incoming"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    disk.sync_dir(dir)?;
    // A new store's own name must last too; the folders above may be somebody else's to read.
    if let Some(parent) = dir.canonicalize()?.parent().filter(|_| new) {
        disk.sync_dir(parent).or_else(|e| if e.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(e) })?;
    }
    Ok(())
}

/// One process writes. The lock goes with the process, however it ends.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn empty(dir: &Path) -> io::Result<()> {
    for entry in dir.read_dir()? {
        disk::remove(&entry?.path())?;
    }
    Ok(())
}

/// Documents that a commit renamed and did not live to name.
fn remove_orphans(dir: &Path, lookup: &Lookup<'_>) -> Result<(), StoreError> {
    documents::visit(dir, &mut |found| {
        let Ok(sha256) = found else { return Ok(()) };
        let known = lookup.document(&sha256).map_err(index_failed)?;
        if known.is_none() {
            tracing::warn!(%sha256, "removing a document that an interrupted commit left and no entry names");
            disk::remove(&documents::path(dir, &sha256))?;
        }
        Ok(())
    })
}

/// While a file of this kind is there nothing is removed as an orphan: a person decides.
fn keep_note(dir: &Path, missing: Missing) -> Result<(), StoreError> {
    let Missing { first, last } = missing;
    tracing::error!(first, last, "acknowledged entries are missing at the journal's end");
    let mut file = journal::cut_file(&dir.join("journal"), first, 0)?;
    io::Write::write_all(&mut file, format!("faltan los asientos {first} a {last}\n").as_bytes())?;
    Ok(file.sync_all()?)
}

fn record_missing(committer: &mut Committer, missing: Missing, options: &Options) -> Result<(), StoreError> {
    let Missing { first, last } = missing;
    let fact = Fact {
        at: options.now,
        tipo: "almacen.recortado".into(),
        actor: "chasqui".into(),
        entidad: None,
        sujeto: Id::nil(),
        cuo: None,
        estado: None,
        detalle: Some(format!("al abrir el almacén faltaban los asientos {first} a {last} al final del diario")),
        documentos: Vec::new(),
    };
    let prepared = Prepared::new(Change { facts: vec![fact], ..Change::default() })?;
    let (answer, mut result) = oneshot::channel();
    committer.serve(vec![(Box::new(prepared), answer)], false);
    match result.try_recv() {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(CommitError::Store(error))) => Err(error),
        Ok(Err(other)) => Err(StoreError::Unwritable(other.to_string())),
        Err(_) => Err(StoreError::Closed),
    }
}
