//! The file of the index as redb sees it. Nothing is synced while it is in use: after a power cut the index is built anew.
//! What a full or read-only disk does not take stays in memory, laid over the file, so that reading goes on; it is brought
//! to the file, and the memory given back, when the disk takes it again. A process killed in between leaves a file that does not fit together: its
//! checksums say so at the next start, and the index is built anew.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::StorageBackend;

use crate::store::blobs::disk_refuses;

/// Piece in which memory lies over the file, in bytes.
const PIECE: u64 = 4096;
/// Most that is kept in memory, in bytes: an index that must be built anew on a disk that takes nothing.
const HELD_MAX: usize = 1024 * 1024 * 1024;

/// Shared by redb and the index, which settles it.
#[derive(Debug, Clone)]
pub struct Pages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What was there when it was opened only to be read; `None`: nothing, or `file` has it.
    found: Option<File>,
    /// The file that is written to, once it could be opened so.
    file: OnceLock<File>,
    /// Whether anything is held: asked at every access, so without the lock.
    holding: AtomicBool,
    held: RwLock<Held>,
}

/// What the disk did not take.
#[derive(Debug, Default)]
struct Held {
    /// Length of the whole, in bytes; the file's may be less. Only while anything is held.
    len: u64,
    /// Bytes at the file's begin that still count: it may have been cut since.
    below: u64,
    pieces: BTreeMap<u64, Box<[u8]>>,
}

impl Pages {
    /// Opens the file in a folder, or makes both.
    pub fn open(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let file = OnceLock::from(open_to_write(&path)?);
        Ok(Self(Arc::new(Inner { path, found: None, file, holding: AtomicBool::new(false), held: RwLock::default() })))
    }

    /// In memory, over the file in a folder, which nothing is written to before it is settled.
    pub fn over(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        let found = Some(File::open(&path)?);
        Self::holding(path, found)
    }

    /// In memory, and empty; what is in the file counts no more.
    pub fn apart(folder: &Path, name: &str) -> io::Result<Self> {
        Self::holding(folder.join(name), None)
    }

    fn holding(path: PathBuf, found: Option<File>) -> io::Result<Self> {
        let inner =
            Inner { path, found, file: OnceLock::new(), holding: AtomicBool::new(false), held: RwLock::default() };
        inner.hold(&mut inner.held.write().unwrap_or_else(PoisonError::into_inner))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Whether the file lacks something.
    pub fn holds(&self) -> bool {
        self.0.holding.load(Ordering::Acquire)
    }

    /// Brings what is held to the file, and gives its memory back. redb must not be writing. Fails if the file does not
    /// take all of it: then all is held as before.
    pub fn settle(&self) -> io::Result<()> {
        if !self.holds() {
            return Ok(());
        }
        let inner = &*self.0;
        let mut held = inner.held.write().unwrap_or_else(PoisonError::into_inner);
        let file = match inner.file.get() {
            Some(file) => file,
            None => {
                let file = open_to_write(&inner.path)?;
                inner.file.get_or_init(|| file)
            }
        };
        file.set_len(held.below)?;
        file.set_len(held.len)?;
        // The head last: until then what was there before is what is found.
        for (n, piece) in held.pieces.iter().rev() {
            let length = held.len.saturating_sub(n * PIECE).min(PIECE);
            file.write_all_at(piece.get(..in_memory(length)).unwrap_or(piece), n * PIECE)?;
        }
        *held = Held::default();
        inner.holding.store(false, Ordering::Release);
        tracing::info!("the disk takes the index again");
        Ok(())
    }
}

fn open_to_write(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

impl Inner {
    /// What is read from, beneath what is held.
    fn file(&self) -> Option<&File> {
        self.file.get().or(self.found.as_ref())
    }

    fn file_len(&self) -> io::Result<u64> {
        self.file().map_or(Ok(0), |file| Ok(file.metadata()?.len()))
    }

    /// From now on everything is written to memory.
    fn hold(&self, held: &mut Held) -> io::Result<()> {
        if !self.holding.load(Ordering::Acquire) {
            held.len = self.file_len()?;
            held.below = held.len;
            self.holding.store(true, Ordering::Release);
            tracing::warn!("the disk does not take the index; its changes are kept in memory until it does");
        }
        Ok(())
    }

    /// A piece as it is now.
    fn piece(&self, held: &Held, n: u64) -> io::Result<Box<[u8]>> {
        if let Some(piece) = held.pieces.get(&n) {
            return Ok(piece.clone());
        }
        let mut piece = vec![0; in_memory(PIECE)];
        let (mut at, end) = (n * PIECE, (n * PIECE + PIECE).min(held.below));
        while let (Some(file), true) = (self.file(), at < end) {
            let rest = piece.get_mut(in_memory(at - n * PIECE)..in_memory(end - n * PIECE)).unwrap_or_default();
            match file.read_at(rest, at)? {
                0 => break,
                more => at += more as u64,
            }
        }
        Ok(piece.into())
    }

    fn read_held(&self, held: &Held, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > held.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let piece = self.piece(held, at / PIECE)?;
            let from = piece.get(in_memory(at % PIECE)..).unwrap_or_default();
            let n = from.len().min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(from.get(..n).unwrap_or_default());
            (rest, at) = (later, at + n as u64);
        }
        Ok(())
    }

    fn write_held(&self, held: &mut Held, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let mut piece = self.piece(held, at / PIECE)?;
            let to = piece.get_mut(in_memory(at % PIECE)..).unwrap_or_default();
            let n = to.len().min(rest.len());
            let (now, later) = rest.split_at(n);
            to.get_mut(..n).unwrap_or_default().copy_from_slice(now);
            if held.pieces.insert(at / PIECE, piece).is_none() && held.pieces.len() * in_memory(PIECE) > HELD_MAX {
                return Err(io::Error::new(io::ErrorKind::StorageFull, "the index does not fit in memory"));
            }
            (rest, at) = (later, at + n as u64);
        }
        held.len = held.len.max(at);
        Ok(())
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        if self.0.holding.load(Ordering::Acquire) {
            return Ok(self.0.held.read().unwrap_or_else(PoisonError::into_inner).len);
        }
        self.0.file_len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if !self.0.holding.load(Ordering::Acquire)
            && let Some(file) = self.0.file()
        {
            return file.read_exact_at(out, offset);
        }
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        if self.0.holding.load(Ordering::Acquire) {
            return self.0.read_held(&held, offset, out);
        }
        // It was settled meanwhile.
        self.0.file().map_or(Err(io::ErrorKind::NotFound.into()), |file| file.read_exact_at(out, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if !self.0.holding.load(Ordering::Acquire)
            && let Some(file) = self.0.file()
        {
            match file.set_len(len) {
                Err(error) if refused(&error) => {}
                done => return done,
            }
        }
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        self.0.hold(&mut held)?;
        if len < held.len {
            // What was cut off is zero if it comes back.
            let last = held.pieces.split_off(&(len / PIECE));
            if let Some(mut piece) = last.into_iter().next().filter(|(n, _)| *n == len / PIECE).map(|(_, piece)| piece)
            {
                piece.get_mut(in_memory(len % PIECE)..).unwrap_or_default().fill(0);
                held.pieces.insert(len / PIECE, piece);
            }
        }
        held.len = len;
        held.below = held.below.min(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if !self.0.holding.load(Ordering::Acquire)
            && let Some(file) = self.0.file()
        {
            match file.write_all_at(data, offset) {
                Err(error) if refused(&error) => {}
                done => return done,
            }
        }
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        self.0.hold(&mut held)?;
        self.0.write_held(&mut held, offset, data)
    }
}

/// A file that could only be opened for reading does not take anything either (EBADF, EINVAL).
fn refused(error: &io::Error) -> bool {
    disk_refuses(error) || matches!(error.raw_os_error(), Some(9 | 22))
}

/// Offsets within a piece.
fn in_memory(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was opened for reading refuses as a full disk does.
    fn refusing(folder: &Path) -> Pages {
        let path = folder.join("x");
        let file = OnceLock::from(File::open(&path).unwrap());
        Pages(Arc::new(Inner { path, found: None, file, holding: AtomicBool::new(false), held: RwLock::default() }))
    }

    fn read(pages: &Pages, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![7; len];
        pages.read(offset, &mut out).unwrap();
        out
    }

    #[test]
    fn what_the_disk_does_not_take_is_read_back_and_brought_to_it_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, [1; 10_000]).unwrap();
        let mut pages = refusing(folder.path());
        pages.write(4_000, &[2; 300]).unwrap();
        pages.write(12_000, &[3; 10]).unwrap();
        assert_eq!(StorageBackend::len(&pages).unwrap(), 12_010);
        let mut expected = vec![1; 10_000];
        expected[4_000..4_300].fill(2);
        expected.resize(12_000, 0);
        expected.resize(12_010, 3);
        assert_eq!(read(&pages, 0, 12_010), expected);
        assert!(pages.read(12_000, &mut [0; 11]).is_err());
        // Cut and grown again, what was behind the cut is zero.
        pages.set_len(9_000).unwrap();
        pages.set_len(12_000).unwrap();
        expected.truncate(9_000);
        expected.resize(12_000, 0);
        assert_eq!(read(&pages, 0, 12_000), expected);
        assert!(pages.settle().is_err(), "it still refuses");
        assert_eq!(fs::read(&path).unwrap(), [1; 10_000]);
        let inner = Arc::get_mut(&mut pages.0).unwrap();
        inner.file = OnceLock::from(open_to_write(&path).unwrap());
        pages.settle().unwrap();
        assert_eq!(fs::read(&path).unwrap(), expected);
        assert_eq!(read(&pages, 0, 12_000), expected);
    }

    #[test]
    fn what_was_only_read_is_written_to_once_it_settles_and_gives_its_memory_back() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, path) = (folder.path().join("index"), folder.path().join("index/x"));
        assert!(Pages::over(&inside, "x").is_err());
        let pages = Pages::apart(&inside, "x").unwrap();
        pages.write(3, &[1; 5_000]).unwrap();
        assert!(!path.exists() && pages.holds());
        pages.settle().unwrap();
        drop(pages);
        let pages = Pages::over(&inside, "x").unwrap();
        pages.write(5_003, &[2; 10]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 5_003);
        pages.settle().unwrap();
        assert!(!pages.holds() && pages.0.held.read().unwrap().pieces.is_empty());
        pages.write(5_013, &[3; 10]).unwrap();
        let expected = [vec![0; 3], vec![1; 5_000], vec![2; 10], vec![3; 10]].concat();
        assert_eq!(fs::read(&path).unwrap(), expected);
        assert_eq!(read(&pages, 0, 5_023), expected);
        // What was there counts no more.
        let pages = Pages::apart(&inside, "x").unwrap();
        pages.write(0, &[4; 3]).unwrap();
        pages.settle().unwrap();
        assert_eq!(fs::read(&path).unwrap(), [4; 3]);
    }
}
