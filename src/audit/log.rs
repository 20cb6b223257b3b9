//! The log while the store is open: its tree follows the journal, checkpoints are made of it, entries are proven.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use super::{
    checkpoint::{Checkpoint, Kept, Signed},
    files,
    merkle::{self, Edge, Hash},
    note::{Signer, Verifier},
    tree::{self, Leaf, Tree},
};
use crate::{
    domain::{Id, Sha256},
    signing::timestamp::Timestamper,
    store::{
        Change, CommitError, Fact, RawEntry, Seq, SharedStore, StoreError,
        blobs::{blocking, disk_refuses, unwritable},
    },
};

/// A checkpoint was made.
pub const CHECKPOINT: &str = "auditoria.checkpoint";
/// The journal does not go on from what a checkpoint said.
pub const DISCREPANCIA: &str = "auditoria.discrepancia";

/// What facts about the log itself are about.
pub const SUJETO: Id = Id::from_u128(2);

/// Entries read at a time.
const BATCH: usize = 512;
/// An authority that gave no timestamp is left alone for so long.
const STAMP_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// How long the tree may stay behind the journal when nobody asks.
const FOLLOW_EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no se puede usar la carpeta de auditoría: {0}")]
    Io(#[from] io::Error),
    #[error(
        "el diario no continúa el punto de control de {0} asientos: algo se cambió, se quitó o se perdió. No se firma otro \
         punto de control; ejecute «chasqui audit verify», que dice dónde"
    )]
    Fork(u64),
    #[error("todavía no hay asientos")]
    Empty,
    #[error("el asiento {0} no está en el registro")]
    NoEntry(Seq),
}

impl From<CommitError> for AuditError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::Store(error),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

/// Where the log's files are.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// In the folder of the data.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("audit"))
    }

    pub fn key(&self) -> PathBuf {
        self.0.join("clave")
    }

    pub fn public_key(&self) -> PathBuf {
        self.0.join("clave.pub")
    }

    pub fn tree(&self) -> PathBuf {
        self.0.join("arbol")
    }

    pub fn checkpoints(&self) -> Kept {
        Kept::new(&self.0.join("puntos"))
    }
}

/// How to open a log.
#[derive(Clone)]
pub struct Options {
    pub data_dir: PathBuf,
    /// The name of the key, should one have to be made: origin of the log.
    pub origin: String,
    /// What that key is made of: nobody can guess it.
    pub seed: [u8; 32],
    /// Where each new checkpoint is written as well.
    pub export: Option<PathBuf>,
    /// Puts a time on checkpoints.
    pub timestamper: Option<Arc<dyn Timestamper>>,
}

/// Entries with their place under one checkpoint.
#[derive(Debug, Clone)]
pub struct Proven {
    pub signed: Signed,
    pub timestamp: Option<Vec<u8>>,
    pub entries: Vec<ProvenEntry>,
}

#[derive(Debug, Clone)]
pub struct ProvenEntry {
    pub entry: RawEntry,
    pub index: u64,
    pub path: Vec<Hash>,
}

pub struct Log {
    store: SharedStore,
    folder: Folder,
    kept: Kept,
    signer: Signer,
    export: Option<PathBuf>,
    timestamper: Option<Arc<dyn Timestamper>>,
    /// When the authority last failed; whoever holds it is the one who asks.
    unstamped: Mutex<Option<Timestamp>>,
    /// `None`: no disk takes one yet.
    tree: Arc<Mutex<Option<Standing>>>,
    /// The tree was compared with the journal since it was opened.
    looked: AtomicBool,
}

/// The tree, and where it is if its own folder could not be written.
struct Standing {
    tree: Tree,
    _apart: Option<tempfile::TempDir>,
}

impl Standing {
    /// It can be made anew from the journal, so on a disk that takes nothing it stands elsewhere until the next start.
    fn open(dir: &Path) -> io::Result<Self> {
        match Tree::open(dir) {
            Err(error) if disk_refuses(&error) => {
                let elsewhere = || -> io::Result<Self> {
                    let apart = tempfile::tempdir()?;
                    Ok(Self { tree: Tree::open(apart.path())?, _apart: Some(apart) })
                };
                let standing = elsewhere().map_err(|_| error)?;
                tracing::error!("the disk takes nothing: the audit tree is kept in a temporary folder");
                Ok(standing)
            }
            tree => Ok(Self { tree: tree?, _apart: None }),
        }
    }
}

/// The tree for as long as nobody else needs it.
type Held = OwnedMappedMutexGuard<Option<Standing>, Tree>;

impl Log {
    /// Opens the log over an open store; blocks for a moment. The tree follows when it is first needed.
    pub fn open(store: SharedStore, options: Options) -> Result<Arc<Self>, AuditError> {
        let Options { data_dir, origin, seed, export, timestamper } = options;
        let folder = Folder::of(&data_dir);
        std::fs::create_dir_all(&folder.0)?;
        let signer = Signer::open(&folder.key(), &origin, &seed)?;
        let public = format!("{}\n", signer.public());
        if files::read(&folder.public_key(), 1024)?.as_deref() != Some(public.as_bytes()) {
            files::replace(&folder.public_key(), public.as_bytes(), 0o644)?;
        }
        let tree = match Standing::open(&folder.tree()) {
            Err(error) if disk_refuses(&error) => {
                tracing::error!(%error, "no disk of this machine takes the audit tree: it is tried again when it is needed");
                None
            }
            standing => Some(standing?),
        };
        let tree = Arc::new(Mutex::new(tree));
        let (kept, looked) = (folder.checkpoints(), AtomicBool::new(false));
        let unstamped = Mutex::default();
        let log = Self { store, folder, kept, signer, export, timestamper, unstamped, tree, looked };
        Ok(Arc::new(log))
    }

    /// Once after a start: the tree's last leaf must be the journal's; else it is put aside for who investigates, and a new
    /// one begun.
    async fn look(&self, tree: &mut Tree) -> Result<(), AuditError> {
        let Some(before) = tree.last().checked_sub(1) else { return Ok(()) };
        let (last, size) = (tree.last(), tree.size());
        let found = self.store.entries(before, 1).await?.into_iter().find(|entry| entry.seq == last).map(|e| leaf(&e));
        if found == Some(tree.reader()?.leaf(size - 1)?) {
            return Ok(());
        }
        let (dir, aside) = (self.folder.tree(), self.folder.0.join(format!("arbol.apartado-{size}")));
        tracing::error!(entry = last, aside = %aside.display(), "the journal is not what the audit tree remembers");
        std::fs::rename(&dir, &aside)?;
        *tree = Tree::open(&dir)?;
        Ok(())
    }

    pub fn key(&self) -> &Verifier {
        self.signer.public()
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// A file that nobody else sees and that is gone when it is closed, for a package on its way out.
    pub fn temporary(&self) -> io::Result<std::fs::File> {
        tempfile::tempfile_in(&self.folder.0)
    }

    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Signs a text with the log's key, as a note.
    pub fn sign(&self, text: &str) -> String {
        self.signer.sign(text)
    }

    /// The tree with every entry that is durable now.
    async fn follow(&self) -> Result<Held, AuditError> {
        let mut standing = Arc::clone(&self.tree).lock_owned().await;
        if standing.is_none() {
            let dir = self.folder.tree();
            *standing = Some(blocking(move || Standing::open(&dir).map_err(unwritable)).await?);
        }
        let there = OwnedMutexGuard::try_map(standing, |standing| standing.as_mut().map(|there| &mut there.tree));
        let mut tree = there.map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        if !self.looked.load(Ordering::Relaxed) {
            self.look(&mut tree).await?;
            self.looked.store(true, Ordering::Relaxed);
        }
        loop {
            let entries = self.store.entries(tree.last(), BATCH).await?;
            if entries.is_empty() {
                return Ok(tree);
            }
            for entry in &entries {
                tree.push(leaf(entry))?;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The newest checkpoint there is.
    pub async fn latest(&self) -> Result<Option<Signed>, AuditError> {
        let (kept, key) = (self.kept.clone(), self.signer.public().clone());
        Ok(blocking(move || Ok(kept.latest(&key)?)).await?)
    }

    /// Makes a checkpoint of everything that is durable now, and says so in the log.
    pub async fn checkpoint(&self, now: Timestamp, actor: &str) -> Result<Signed, AuditError> {
        let latest = self.latest().await?;
        let mut tree = self.follow().await?;
        if tree.size() == 0 {
            return Err(AuditError::Empty);
        }
        if let Some(Signed { checkpoint: old, .. }) = &latest
            && !continues(&mut tree, old)?
        {
            let size = old.size;
            drop(tree);
            let detalle = format!("el diario no continúa el punto de control de {size} asientos");
            self.tell(now, actor, DISCREPANCIA, detalle).await?;
            return Err(AuditError::Fork(size));
        }
        let origin = self.signer.public().name().to_owned();
        let (size, root, last) = (tree.size(), tree.root(), tree.last());
        let checkpoint = Checkpoint { origin, size, root, last, at: now };
        let signed = Signed { note: checkpoint.sign(&self.signer), checkpoint };
        let (kept, export, keeping) = (self.kept.clone(), self.export.clone(), signed.clone());
        blocking(move || {
            tree.sync()?;
            kept.keep(&keeping)?;
            if let Some(path) = export
                && let Err(error) = files::replace(&path, keeping.note.as_bytes(), 0o644)
            {
                tracing::error!(path = %path.display(), %error, "the checkpoint could not be written where it is exported");
            }
            Ok(())
        })
        .await?;
        let detalle = format!("{size} asientos, raíz {}", Sha256::from_digest(&root));
        self.tell(now, actor, CHECKPOINT, detalle).await?;
        Ok(signed)
    }

    /// A checkpoint, unless nothing but the last one happened since.
    pub async fn checkpoint_if_news(&self, now: Timestamp, actor: &str) -> Result<Option<Signed>, AuditError> {
        let size = self.follow().await?.size();
        let known = self.latest().await?.map_or(0, |signed| signed.checkpoint.size + 1);
        if size > known || known == 1 && size == 1 {
            return self.checkpoint(now, actor).await.map(Some);
        }
        Ok(None)
    }

    /// Puts a timestamp beside a checkpoint that has none. Without an authority, or if it gives none, there is none yet: that
    /// stops nothing, and a later call tries again.
    pub async fn stamp(&self, signed: &Signed, now: Timestamp) {
        let Some(timestamper) = self.timestamper.clone() else { return };
        let mut failed = self.unstamped.lock().await;
        if failed.is_some_and(|at| now.duration_since(at).abs() < STAMP_AGAIN) {
            return;
        }
        let (kept, size, digest) = (self.kept.clone(), signed.checkpoint.size, merkle::hash(&[signed.note.as_bytes()]));
        let stamped = blocking(move || {
            if kept.timestamp(size)?.is_none() {
                let stamp = timestamper.stamp(&digest).map_err(|error| StoreError::Io(io::Error::other(error)))?;
                kept.keep_timestamp(size, &stamp.token)?;
                tracing::info!(entries = size, authority = stamp.authority, "audit checkpoint timestamped");
            }
            Ok(())
        });
        *failed = match stamped.await {
            Ok(()) => None,
            Err(error) => {
                tracing::warn!(%error, "the audit checkpoint has no timestamp yet");
                Some(now)
            }
        };
    }

    /// The newest checkpoint gets the timestamp that it still lacks.
    async fn stamp_latest(&self, now: Timestamp) {
        if self.timestamper.is_none() {
            return;
        }
        match self.latest().await {
            Ok(Some(signed)) => self.stamp(&signed, now).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the newest audit checkpoint could not be read"),
        }
    }

    async fn tell(&self, at: Timestamp, actor: &str, tipo: &str, detalle: String) -> Result<(), AuditError> {
        let fact = Fact {
            at,
            tipo: tipo.into(),
            actor: actor.into(),
            entidad: None,
            sujeto: SUJETO,
            cuo: None,
            estado: None,
            detalle: Some(detalle),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        Ok(())
    }

    /// Proves these entries under the newest checkpoint, making one if it does not have them all.
    pub async fn prove(&self, seqs: &[Seq], now: Timestamp, actor: &str) -> Result<Proven, AuditError> {
        let last = seqs.iter().copied().max().ok_or(AuditError::Empty)?;
        let signed = match self.latest().await?.filter(|signed| signed.checkpoint.last >= last) {
            Some(signed) => signed,
            None => self.checkpoint(now, actor).await?,
        };
        self.stamp(&signed, now).await;
        let mut entries = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let before = seq.checked_sub(1).ok_or(AuditError::NoEntry(*seq))?;
            let found = self.store.entries(before, 1).await?.into_iter().find(|entry| entry.seq == *seq);
            entries.push(found.ok_or(AuditError::NoEntry(*seq))?);
        }
        let mut tree = self.follow().await?;
        if !continues(&mut tree, &signed.checkpoint)? {
            return Err(AuditError::Fork(signed.checkpoint.size));
        }
        let mut reader = tree.reader()?;
        drop(tree);
        let kept = self.kept.clone();
        blocking(move || {
            let size = signed.checkpoint.size;
            let prove = |entry: RawEntry| {
                let index =
                    reader.index_of(entry.seq, size)?.ok_or_else(|| io::Error::other("entry not in the tree"))?;
                let path = merkle::inclusion(index, size, &mut reader)?;
                Ok(ProvenEntry { entry, index, path })
            };
            let entries = entries.into_iter().map(prove).collect::<io::Result<_>>()?;
            Ok(Proven { timestamp: kept.timestamp(size)?, signed, entries })
        })
        .await
        .map_err(Into::into)
    }

    /// Follows the journal and makes checkpoints every `every`, until it is told to stop.
    pub async fn run(
        self: Arc<Self>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        every: Duration,
        stop: CancellationToken,
    ) {
        let mut due = tokio::time::Instant::now();
        loop {
            // Of several daemons on a store one makes them by itself; another does when evidence is asked of it.
            if tokio::time::Instant::now() >= due && self.store.leads() {
                due += every;
                match self.checkpoint_if_news(now(), "chasqui").await {
                    Ok(Some(signed)) => tracing::info!(entries = signed.checkpoint.size, "audit checkpoint"),
                    Ok(None) | Err(AuditError::Empty) => {}
                    Err(error) => tracing::error!(%error, "no audit checkpoint could be made"),
                }
            } else if let Err(error) = self.follow().await.map(drop) {
                tracing::warn!(%error, "the audit tree could not follow the journal");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.stamp_latest(now()) => {}
            }
            let pause = FOLLOW_EVERY.min(due.saturating_duration_since(tokio::time::Instant::now()));
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.settle().await;
    }

    /// Brings the tree up to the journal and puts it on the disk, so that the next start has nothing to read again.
    pub async fn settle(&self) {
        match self.follow().await {
            Ok(mut tree) => {
                if let Err(error) = blocking(move || Ok(tree.sync()?)).await {
                    tracing::warn!(%error, "the audit tree was not synced");
                }
            }
            Err(error) => tracing::warn!(%error, "the audit tree could not follow the journal"),
        }
    }
}

/// The leaf of an entry as it is stored.
pub fn leaf(entry: &RawEntry) -> Leaf {
    tree::leaf(entry.seq, &merkle::hash(&[&entry.facts]), &merkle::hash(&[&entry.change]))
}

/// Whether the tree begins with what a checkpoint said.
fn continues(tree: &mut Tree, old: &Checkpoint) -> io::Result<bool> {
    if tree.size() < old.size {
        return Ok(false);
    }
    Ok(Edge::load(old.size, &mut tree.reader()?)?.root() == old.root)
}
