//! Copies of a store's folder, taken while it is in use, and putting one back. Only reads the store and needs no lock.
//!
//! ```text
//! pieces/aa/<sha256>            pieces of files, of up to 4 MiB, each once
//! copia-<time>.json             one copy: its files, their pieces, and a digest over all of that
//! ```
//!
//! What did not change since the last copy is not read again, what is there already is not written again. A copy is whole
//! once its list is there, which comes last. Documents are copied before the journal that names them, and what came meanwhile
//! after it: so every document that the copied journal names is in the copy, or its purge is.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Component, Path, PathBuf},
};

use jiff::Timestamp;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::{config::causes::in_spanish, domain::Sha256};

/// Longest piece, in bytes.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Largest list of a copy, in bytes.
const LIST_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const VERSION: u32 = 1;

/// Left in a folder that was restored, until the service has taken note of it.
pub const MARK: &str = "restaurado.json";

/// What belongs to the process that runs, or is made anew from the rest.
const LEFT_OUT: [&str; 9] =
    ["lock", "control.sock", "index", "index.boot", "incoming", "answered", "clean-stop", "recortado.json", MARK];
/// Beginnings of names in `audit/` that are made anew too.
const AUDIT_LEFT_OUT: &str = "arbol";

const JOURNAL: &str = "journal";
const PACKS: &str = "packs";
const DOCUMENTS: &str = "documents";

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{}: {}", .path.display(), in_spanish(error))]
    Io { path: PathBuf, error: io::Error },
    #[error("{} no es una copia de chasqui, o está dañada: {what}", .path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("no hay ninguna copia en {}", .0.display())]
    None(PathBuf),
    #[error("{} ya tiene algo: se restaura solo en una carpeta vacía o que no existe", .0.display())]
    NotEmpty(PathBuf),
}

/// One file of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Copied {
    bytes: u64,
    /// When it was changed last, in nanoseconds: unchanged, it is not read again.
    mtime_ns: i128,
    pieces: Vec<Sha256>,
}

/// One copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    version: u32,
    pub at: Timestamp,
    files: BTreeMap<String, Copied>,
    /// SHA-256 over `at` and `files`.
    digest: Option<Sha256>,
}

/// What taking a copy did.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    pub nombre: String,
    pub archivos: usize,
    pub bytes: u64,
    /// Of these, the bytes that had to be written.
    pub nuevos: u64,
}

impl Copy {
    fn sum(&self) -> Sha256 {
        let plain = Self { digest: None, ..self.clone() };
        hash(&serde_json::to_vec(&plain).unwrap_or_default())
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}

fn hash(bytes: &[u8]) -> Sha256 {
    Sha256::from_digest(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CopyError + use<> {
    let path = path.to_owned();
    move |error| CopyError::Io { path, error }
}

fn made(path: &Path) -> Result<(), CopyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))
}

fn sync_dir(path: &Path) -> Result<(), CopyError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(at(path))
}

/// The copies there are, oldest first.
pub fn list(place: &Path) -> Result<Vec<String>, CopyError> {
    let entries = match fs::read_dir(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(at(place))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(at(place))?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".json"))
            && name.starts_with("copia-")
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads a copy's list.
pub fn open(place: &Path, name: &str) -> Result<Copy, CopyError> {
    let path = place.join(format!("{name}.json"));
    let damaged = |what: &str| CopyError::Damaged { path: path.clone(), what: what.to_owned() };
    let mut text = Vec::new();
    let file = File::open(&path).map_err(at(&path))?;
    file.take(LIST_BYTES_MAX).read_to_end(&mut text).map_err(at(&path))?;
    let copy: Copy = serde_json::from_slice(&text).map_err(|_| damaged("su lista no se puede leer"))?;
    if copy.version != VERSION {
        return Err(damaged("es de otra versión de chasqui"));
    }
    if copy.digest.as_ref() != Some(&copy.sum()) {
        return Err(damaged("su lista no es la que se escribió"));
    }
    Ok(copy)
}

/// The last copy that can be read, and its name.
pub fn latest(place: &Path) -> Result<Option<(String, Copy)>, CopyError> {
    match list(place)?.pop() {
        None => Ok(None),
        Some(name) => open(place, &name).map(|copy| Some((name, copy))),
    }
}

/// Copies the store in `dir`, which may be in use, into the folder `place`.
pub fn take(dir: &Path, place: &Path, now: Timestamp) -> Result<Taken, CopyError> {
    made(&place.join("pieces"))?;
    let before = latest(place).ok().flatten().map(|(_, copy)| copy.files).unwrap_or_default();
    let mut taking = Taking { dir, place, before, files: BTreeMap::new(), written: 0, touched: HashSet::new() };
    let top = fs::read_dir(dir).map_err(at(dir))?;
    for entry in top {
        let name = entry.map_err(at(dir))?.file_name().to_string_lossy().into_owned();
        if name != JOURNAL && !name.starts_with('.') && !LEFT_OUT.contains(&name.as_str()) {
            taking.tree(&name)?;
        }
    }
    taking.tree(JOURNAL)?;
    // What the copied journal names and came after its documents were copied.
    taking.tree(PACKS)?;
    taking.tree(DOCUMENTS)?;
    for folder in &taking.touched {
        sync_dir(folder)?;
    }
    let (files, written) = (taking.files, taking.written);
    let copy = Copy { version: VERSION, at: now, files, digest: None };
    let copy = Copy { digest: Some(copy.sum()), ..copy };
    // Its name sorts by time; a second copy in the same second gets another.
    let stamp = now.strftime("%Y%m%dT%H%M%S%6fZ");
    let name = format!("copia-{stamp}");
    let text = serde_json::to_vec(&copy).map_err(|error| at(place)(error.into()))?;
    replace(&place.join(format!("{name}.json")), &text)?;
    sync_dir(place)?;
    Ok(Taken { nombre: name, archivos: copy.files.len(), bytes: copy.bytes(), nuevos: written })
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), CopyError> {
    let beside = path.with_extension("nuevo");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside);
    let written = file.as_mut().map_err(|error| io::Error::from(error.kind())).and_then(|file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, path)).map_err(at(path))
}

struct Taking<'a> {
    dir: &'a Path,
    place: &'a Path,
    before: BTreeMap<String, Copied>,
    files: BTreeMap<String, Copied>,
    written: u64,
    touched: HashSet<PathBuf>,
}

impl Taking<'_> {
    /// Copies what is at a path of the store, and below it.
    fn tree(&mut self, name: &str) -> Result<(), CopyError> {
        let mut pending = vec![name.to_owned()];
        while let Some(name) = pending.pop() {
            let path = self.dir.join(&name);
            let about = match fs::symlink_metadata(&path) {
                // Purged meanwhile, or never there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                about => about.map_err(at(&path))?,
            };
            if about.is_dir() {
                for entry in fs::read_dir(&path).map_err(at(&path))? {
                    let below = entry.map_err(at(&path))?.file_name().to_string_lossy().into_owned();
                    if !(name == "audit" && below.starts_with(AUDIT_LEFT_OUT)) {
                        pending.push(format!("{name}/{below}"));
                    }
                }
            } else if about.is_file() {
                self.file(name, &path, &about)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, name: String, path: &Path, about: &fs::Metadata) -> Result<(), CopyError> {
        let mtime_ns = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
        let bytes = about.len();
        let same = |known: &&Copied| known.bytes == bytes && known.mtime_ns == mtime_ns;
        let known = self.files.get(&name).or_else(|| self.before.get(&name)).filter(same);
        if let Some(known) = known.filter(|known| known.pieces.iter().all(|piece| self.piece(piece).is_file())) {
            let known = known.clone();
            self.files.insert(name, known);
            return Ok(());
        }
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(at(path))?.take(bytes),
        };
        let (mut pieces, mut read) = (Vec::new(), 0);
        loop {
            let mut piece = Vec::new();
            (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(at(path))?;
            if piece.is_empty() {
                break;
            }
            read += piece.len() as u64;
            pieces.push(self.keep(&piece)?);
        }
        self.files.insert(name, Copied { bytes: read, mtime_ns, pieces });
        Ok(())
    }

    fn piece(&self, sha256: &Sha256) -> PathBuf {
        piece(self.place, sha256)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<Sha256, CopyError> {
        let sha256 = hash(bytes);
        let path = self.piece(&sha256);
        if fs::metadata(&path).is_ok_and(|about| about.len() == bytes.len() as u64) {
            return Ok(sha256);
        }
        if let Some(folder) = path.parent() {
            made(folder)?;
            self.touched.insert(folder.to_owned());
        }
        replace(&path, bytes)?;
        self.written += bytes.len() as u64;
        Ok(sha256)
    }
}

fn piece(place: &Path, sha256: &Sha256) -> PathBuf {
    let name = sha256.as_str();
    place.join("pieces").join(name.get(..2).unwrap_or_default()).join(name)
}

/// Puts a copy back into `into`, which must be empty: every piece is compared with its digest.
pub fn restore(place: &Path, name: Option<&str>, into: &Path) -> Result<(String, Copy), CopyError> {
    let (name, copy) = match name {
        Some(name) => (name.to_owned(), open(place, name)?),
        None => latest(place)?.ok_or_else(|| CopyError::None(place.to_owned()))?,
    };
    if fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CopyError::NotEmpty(into.to_owned()));
    }
    made(into)?;
    for (file, copied) in &copy.files {
        let relative = Path::new(file);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(CopyError::Damaged { path: place.join(&name), what: format!("nombra el archivo «{file}»") });
        }
        put(place, copied, &into.join(relative))?;
    }
    for folder in [JOURNAL, PACKS, DOCUMENTS] {
        made(&into.join(folder))?;
    }
    let mark = serde_json::json!({ "copia": name, "hecha_en": copy.at });
    replace(&into.join(MARK), mark.to_string().as_bytes())?;
    sync_dir(into)?;
    Ok((name, copy))
}

fn put(place: &Path, copied: &Copied, path: &Path) -> Result<(), CopyError> {
    if let Some(folder) = path.parent() {
        made(folder)?;
    }
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let mut file = file.map_err(at(path))?;
    for sha256 in &copied.pieces {
        let from = piece(place, sha256);
        let bytes = fs::read(&from).map_err(at(&from))?;
        if hash(&bytes) != *sha256 {
            return Err(CopyError::Damaged { path: from, what: "no es lo que se copió".into() });
        }
        file.write_all(&bytes).map_err(at(path))?;
    }
    file.sync_all().map_err(at(path))
}

/// Lets go of all copies but the last `keep`, and of the pieces that no copy has any more. Says how many copies went.
pub fn prune(place: &Path, keep: usize) -> Result<usize, CopyError> {
    let names = list(place)?;
    let (old, kept) = names.split_at(names.len().saturating_sub(keep.max(1)));
    if old.is_empty() {
        return Ok(0);
    }
    // Read first: where one cannot be read nothing is let go.
    let mut needed = HashSet::new();
    for name in kept {
        needed.extend(open(place, name)?.files.into_values().flat_map(|file| file.pieces));
    }
    for name in old {
        let path = place.join(format!("{name}.json"));
        fs::remove_file(&path).map_err(at(&path))?;
    }
    sync_dir(place)?;
    let pieces = place.join("pieces");
    for folder in fs::read_dir(&pieces).map_err(at(&pieces))? {
        let folder = folder.map_err(at(&pieces))?.path();
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let path = entry.map_err(at(&folder))?.path();
            let known = path.file_name().and_then(|name| name.to_str()).and_then(|name| Sha256::parse(name).ok());
            if known.is_none_or(|sha256| !needed.contains(&sha256)) {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
    }
    Ok(old.len())
}
