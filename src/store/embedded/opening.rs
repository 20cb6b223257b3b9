//! Opening the store: the lock, recovery, what an unclean stop left, and starting the committer.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Options,
    answered::Answered,
    boot::Boot,
    committer::Committer,
    disk::{self, Disk},
    documents::{self, Documents},
    entry::Prepared,
    index::Index,
    journal::{self, Journal},
    keeper::{Keeper, Request, WAITING_MAX},
    lookup::Lookup,
    moved,
    packs::Packs,
    recovery::{self, End, Missing, Recovered, Setting, index_failed},
    shared::{IndexState, Shared},
};
use crate::{
    domain::Id,
    store::{
        Change, CommitError, Fact, Seq, StoreError,
        blobs::{disk_refuses, lock},
        latest::Latest,
        queue::Queue,
    },
};

/// What is written to see whether the disk takes anything, in bytes: more than a little, or it would refuse again at once.
const PROBE_BYTES: usize = 256 * 1024;

/// A store that is open and whose committer runs.
pub struct Opened {
    pub shared: Arc<Shared>,
    pub requests: mpsc::Sender<Request>,
    pub thread: JoinHandle<()>,
}

/// A store on a disk that takes nothing: what is there is read.
pub struct Refused {
    shared: Arc<Shared>,
    options: Options,
    /// For whoever wants to write.
    why: String,
    /// The last entry that an index knew of, if it is not the one that is read from.
    known: Seq,
}

struct Writer {
    journal: Journal,
    packs: Packs,
    documents: Documents,
    answered: Answered,
}

pub fn open(dir: &Path, options: &Options) -> Result<Opened, StoreError> {
    make_folders(dir, &*options.disk)?;
    let (lock, boot) = (lock(dir)?, Boot::read());
    if let Some(place) = moved::place(dir)?.filter(|_| !options.even_if_moved) {
        return Err(StoreError::Moved(place));
    }
    // Only now: later there are documents on their way in.
    match empty(&dir.join("incoming")) {
        Err(error) if disk_refuses(&error) => tracing::warn!(%error, "what was left of documents taken in stays"),
        emptied => emptied?,
    }
    let setting = setting(dir, &boot, options);
    let (index, next, known, ready) = match ready(&setting, options) {
        Err(error) if error.disk_refuses() => {
            tracing::error!(%error, "the disk takes nothing: what is stored can be read, and nothing is taken in");
            let ((index, scanned), known) = recovery::read(&setting)?;
            (index, scanned.next, known, Err(error.cause()))
        }
        ready => {
            let (index, end, writer) = ready?;
            (index, end.scanned.next, 0, Ok((end.missing, writer)))
        }
    };
    let mut queue = Queue::default();
    let (jobs, _) = Lookup::new(&*index, &dir.join("journal")).jobs_after(None, usize::MAX).map_err(index_failed)?;
    jobs.iter().for_each(|job| queue.put(job));
    let shared = Arc::new(Shared {
        data_dir: dir.to_owned(),
        journal_dir: dir.join("journal"),
        boot,
        open_index: options.index,
        cache_bytes: options.cache_bytes,
        progress: options.progress.clone(),
        index: RwLock::new(IndexState::Ready(index)),
        queue: Mutex::new(queue),
        published: watch::Sender::new(next - 1),
        directory: Latest::default(),
        _lock: lock,
    });
    let refused = |shared, why| Box::new(Refused { shared, options: options.clone(), why, known });
    let keeper = match ready {
        Err(why) => Keeper::Refusing(refused(shared.clone(), why), Instant::now()),
        Ok((missing, writer)) => {
            let mut committer = committer(&shared, writer, options);
            match finish(&mut committer, missing, options) {
                Err(error) if error.disk_refuses() => {
                    tracing::error!(%error, "the disk takes nothing: what is stored can be read, and nothing is taken in");
                    Keeper::Refusing(refused(shared.clone(), error.cause()), Instant::now())
                }
                finished => {
                    finished?;
                    Keeper::Writing(Box::new(committer))
                }
            }
        }
    };
    let (requests, inbox) = mpsc::channel(WAITING_MAX);
    let thread = thread::Builder::new().name("store".into()).spawn(move || keeper.run(inbox))?;
    Ok(Opened { shared, requests, thread })
}

impl Refused {
    pub fn refusal(&self) -> StoreError {
        StoreError::Unwritable(self.why.clone())
    }

    /// If the index that is read from failed, another takes its place.
    pub fn read_again(&self) {
        if self.shared.is_lost() {
            match recovery::read(&Setting::of(&self.shared)) {
                Ok(((index, _), _)) => self.shared.replace_index(index),
                Err(error) => tracing::error!(%error, "the index could not be rebuilt"),
            }
        }
    }

    fn take_up(&self) -> Result<Committer, StoreError> {
        let Self { shared, options, .. } = self;
        probe(&shared.data_dir, &*options.disk)?;
        self.read_again();
        let setting = Setting::of(shared);
        let (missing, writer) = {
            let state = shared.index.read().unwrap_or_else(PoisonError::into_inner);
            let index = match &*state {
                IndexState::Ready(index) => &**index,
                IndexState::Lost(why) => return Err(index_failed(why.clone())),
            };
            let end = recovery::resume(&setting, &*options.disk, index, self.known)?;
            (end.missing, writer(&setting, options, index, &end)?)
        };
        let mut committer = committer(shared, writer, options);
        finish(&mut committer, missing, options).map(|()| committer)
    }
}

/// Looks whether a disk that refused takes something again, and if so goes on as after a start. Reading goes on meanwhile.
pub fn resume(refused: Refused) -> Keeper {
    match refused.take_up() {
        Ok(committer) => {
            tracing::warn!("the disk takes what is written again: work goes on");
            Keeper::Writing(Box::new(committer))
        }
        Err(error) => {
            tracing::error!(%error, "the disk still takes nothing");
            let why = error.cause();
            Keeper::Refusing(Box::new(Refused { why, ..refused }), Instant::now())
        }
    }
}

/// Whether a file can be written.
pub fn probe(dir: &Path, disk: &dyn Disk) -> io::Result<()> {
    let path = dir.join("incoming").join("prueba");
    let file = disk.open(&path, true)?;
    let written = disk.write_at(&file, &[0; PROBE_BYTES], 0).and_then(|()| disk.sync(&file));
    disk::remove(&path)?;
    written
}

fn setting<'a>(dir: &'a Path, boot: &'a Boot, options: &'a Options) -> Setting<'a> {
    Setting {
        data_dir: dir,
        boot,
        open_index: options.index,
        cache_bytes: options.cache_bytes,
        progress: options.progress.as_deref(),
    }
}

/// Makes everything ready to be written. Fails if the disk refuses, and can then be tried again.
fn ready(setting: &Setting<'_>, options: &Options) -> Result<(Box<dyn Index>, End, Writer), StoreError> {
    let Recovered { index, end } = recovery::recover(setting, &*options.disk)?;
    let writer = writer(setting, options, &*index, &end)?;
    Ok((index, end, writer))
}

fn writer(setting: &Setting<'_>, options: &Options, index: &dyn Index, end: &End) -> Result<Writer, StoreError> {
    let (dir, disk) = (setting.data_dir, &options.disk);
    let journal_dir = dir.join("journal");
    if let Some(missing) = end.missing {
        keep_note(dir, missing)?;
    }
    let lookup = Lookup::new(index, &journal_dir);
    let cuts = !journal::cuts(&journal_dir)?.is_empty();
    if !end.clean && !cuts {
        remove_orphans(&dir.join("documents"), &lookup)?;
    }
    // What stands behind the end of the last pack may be the documents of entries that were cut off: it stays.
    let pack_end = lookup.pack_end().map_err(index_failed)?.filter(|_| !cuts);
    drop(lookup);
    Ok(Writer {
        journal: Journal::new(journal_dir, Arc::clone(disk), options.segment_bytes, &end.scanned)?,
        packs: Packs::open(dir.join("packs"), Arc::clone(disk), options.pack_bytes, pack_end)?,
        documents: Documents::new(dir.join("documents"), Arc::clone(disk)),
        answered: Answered::open(dir, Arc::clone(disk))?,
    })
}

fn committer(shared: &Arc<Shared>, writer: Writer, options: &Options) -> Committer {
    let Writer { journal, packs, documents, answered } = writer;
    let disk = Arc::clone(&options.disk);
    Committer {
        shared: Arc::clone(shared),
        disk,
        journal,
        packs,
        documents,
        answered,
        rebuild_failed: None,
        unsettled: None,
        unerased: true,
        erase_failed: None,
        doubted: false,
    }
}

/// The last steps before the first change: what is missing is on record, and the stop is clean no more.
fn finish(committer: &mut Committer, missing: Option<Missing>, options: &Options) -> Result<(), StoreError> {
    let shared = Arc::clone(&committer.shared);
    if let Some(missing) = missing {
        record_missing(committer, missing, options)?;
        committer.answered.lower(committer.journal.next() - 1)?;
        recovery::missing_recorded(&shared.data_dir)?;
    }
    committer.erase(true);
    disk::remove(&shared.data_dir.join("clean-stop"))?;
    Ok(options.disk.sync_dir(&shared.data_dir)?)
}

fn make_folders(dir: &Path, disk: &dyn Disk) -> io::Result<()> {
    let new = !dir.exists();
    for folder in ["", "journal", "packs", "documents", "incoming"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    // The folders' own names, and those in them that a killed process made and did not live to sync.
    for folder in ["", "journal", "packs", "documents"] {
        match disk.sync_dir(&dir.join(folder)) {
            Err(error) if disk_refuses(&error) && !new => {}
            synced => synced?,
        }
    }
    // A new store's own name must last too; the folders above may be somebody else's to read.
    if let Some(parent) = dir.canonicalize()?.parent().filter(|_| new) {
        disk.sync_dir(parent).or_else(|e| if e.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(e) })?;
    }
    Ok(())
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
    let (mut file, _) = journal::cut_file(&dir.join("journal"), first, 0)?;
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
        sobres: Vec::new(),
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
