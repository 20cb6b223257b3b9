//! The tree of the log on the disk: hashes alone, all of which the journal gives again. So nothing here is synced but at a
//! checkpoint; what was written since the last sync is written again from the journal after a start.
//!
//! ```text
//! 00.hashes     40 bytes for each entry: its number (u64, little-endian) and its leaf hash
//! 08.hashes …   32 bytes for each whole subtree of 2^8, 2^16, 2^24 leaves
//! synced.json   how far the files were synced, and the root there
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::merkle::{self, Edge, Hash, Nodes};
use crate::{domain::Sha256, store::Seq};

/// Levels between one file and the next: a node between them is made of at most 2^(STEP−1) hashes.
const STEP: u32 = 8;
const FILES: usize = 4;
/// Bytes of one leaf and of one node in the files.
const LEAF: u64 = 40;
const NODE: u64 = 32;
/// Bytes kept back before they are written.
const BUFFER: usize = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Synced {
    size: u64,
    root: Sha256,
}

/// A leaf as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    pub seq: Seq,
    pub hash: Hash,
}

pub struct Tree {
    dir: PathBuf,
    files: Vec<BufWriter<File>>,
    edge: Edge,
    /// The last entry taken in; 0: none.
    last: Seq,
    /// Hashes are still in the buffers.
    buffered: bool,
}

impl Tree {
    /// Opens the tree in `dir`, making it if there is none, as it was last synced.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let synced: Option<Synced> =
            fs::read(dir.join("synced.json")).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(synced) = synced
            && let Some(tree) = Self::reopen(dir, &synced)?
        {
            return Ok(tree);
        }
        Self::begin(dir)
    }

    /// `None` if the files are not what they were.
    fn reopen(dir: &Path, synced: &Synced) -> io::Result<Option<Self>> {
        let mut reader = Reader::open(dir)?;
        for (n, file) in reader.files.iter().enumerate() {
            if file.metadata()?.len() < length(n, synced.size) {
                return Ok(None);
            }
        }
        let edge = Edge::load(synced.size, &mut reader)?;
        if Sha256::from_digest(&edge.root()) != synced.root {
            return Ok(None);
        }
        let last = match synced.size.checked_sub(1) {
            Some(index) => reader.leaf(index)?.seq,
            None => 0,
        };
        Ok(Some(Self { dir: dir.to_owned(), files: writers(dir, synced.size)?, edge, last, buffered: false }))
    }

    /// An empty tree in the place of whatever there is.
    fn begin(dir: &Path) -> io::Result<Self> {
        let files = writers(dir, 0)?;
        Ok(Self { dir: dir.to_owned(), files, edge: Edge::default(), last: 0, buffered: false })
    }

    /// Throws everything away, to be filled again from the journal.
    pub fn clear(&mut self) -> io::Result<()> {
        *self = Self::begin(&self.dir)?;
        Ok(())
    }

    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    pub fn last(&self) -> Seq {
        self.last
    }

    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    pub fn push(&mut self, leaf: Leaf) -> io::Result<()> {
        let mut record = leaf.seq.to_le_bytes().to_vec();
        record.extend_from_slice(&leaf.hash);
        self.buffered = true;
        let mut result = write(&mut self.files, 0, &record);
        let files = &mut self.files;
        self.edge.push(leaf.hash, |level, hash| {
            if level % STEP == 0 && result.is_ok() {
                result = write(files, usize::try_from(level / STEP).unwrap_or(FILES), &hash);
            }
        });
        self.last = leaf.seq;
        result
    }

    /// Puts everything on the disk, and writes down that it is there.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        for file in &self.files {
            file.get_ref().sync_data()?;
        }
        let synced = Synced { size: self.size(), root: Sha256::from_digest(&self.root()) };
        super::files::replace(&self.dir.join("synced.json"), &serde_json::to_vec(&synced)?, 0o600)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffered {
            self.files.iter_mut().try_for_each(Write::flush)?;
            self.buffered = false;
        }
        Ok(())
    }

    /// For proofs about the tree as it is now.
    pub fn reader(&mut self) -> io::Result<Reader> {
        self.flush()?;
        Reader::open(&self.dir)
    }
}

fn write(files: &mut [BufWriter<File>], n: usize, bytes: &[u8]) -> io::Result<()> {
    // A tree of more than 2^32 leaves needs no file of its own for the levels above: they are few.
    files.get_mut(n).map_or(Ok(()), |file| file.write_all(bytes))
}

/// Bytes of file `n` in a tree of `size` leaves.
fn length(n: usize, size: u64) -> u64 {
    let level = STEP * u32::try_from(n).unwrap_or(0);
    if n == 0 { size * LEAF } else { (size >> level) * NODE }
}

fn name(n: usize) -> String {
    format!("{:02}.hashes", n * 8)
}

/// The files, cut to what a tree of `size` leaves has.
fn writers(dir: &Path, size: u64) -> io::Result<Vec<BufWriter<File>>> {
    (0..FILES)
        .map(|n| {
            let path = dir.join(name(n));
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.set_len(length(n, size))?;
            drop(file);
            Ok(BufWriter::with_capacity(BUFFER, OpenOptions::new().append(true).open(path)?))
        })
        .collect()
}

/// Reads the hashes of a tree. Also for one that another process writes.
pub struct Reader {
    files: Vec<File>,
}

impl Reader {
    pub fn open(dir: &Path) -> io::Result<Self> {
        let open = |n| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(name(n)));
        Ok(Self { files: (0..FILES).map(open).collect::<io::Result<_>>()? })
    }

    /// As [`Reader::open`], changing nothing: `None` if there is no tree.
    pub fn open_existing(dir: &Path) -> io::Result<Option<Self>> {
        let open = |n| match File::open(dir.join(name(n))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        let files = (0..FILES).map(open).collect::<io::Result<Option<_>>>()?;
        Ok(files.map(|files| Self { files }))
    }

    /// Leaves in the file.
    pub fn leaves(&self) -> io::Result<u64> {
        Ok(self.file(0)?.metadata()?.len() / LEAF)
    }

    pub fn leaf(&self, index: u64) -> io::Result<Leaf> {
        let mut record = [0; LEAF as usize];
        self.file(0)?.read_exact_at(&mut record, index * LEAF)?;
        let (seq, hash) = record.split_at(8);
        Ok(Leaf { seq: u64::from_le_bytes(array(seq)), hash: array(hash) })
    }

    /// Which of the first `size` leaves is entry `seq`.
    pub fn index_of(&self, seq: Seq, size: u64) -> io::Result<Option<u64>> {
        let (mut low, mut high) = (0, size);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.leaf(middle)?.seq;
            if found == seq {
                return Ok(Some(middle));
            }
            if found < seq { low = middle + 1 } else { high = middle }
        }
        Ok(None)
    }

    fn file(&self, n: usize) -> io::Result<&File> {
        self.files.get(n).ok_or_else(|| io::Error::other("no such level"))
    }

    fn stored(&self, n: usize, index: u64) -> io::Result<Hash> {
        if n == 0 {
            return Ok(self.leaf(index)?.hash);
        }
        let mut hash = [0; 32];
        self.file(n)?.read_exact_at(&mut hash, index * NODE)?;
        Ok(hash)
    }
}

impl Nodes for Reader {
    type Error = io::Error;

    fn node(&mut self, level: u32, index: u64) -> io::Result<Hash> {
        let n = usize::try_from(level / STEP).unwrap_or(FILES).min(FILES - 1);
        let below = STEP * u32::try_from(n).unwrap_or(0);
        let width = 1_u64 << (level - below);
        let mut edge = Edge::default();
        for at in index * width..(index + 1) * width {
            edge.push(self.stored(n, at)?, |_, _| {});
        }
        Ok(edge.root())
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

/// The leaf of an entry. It commits to the entry's number and to its two parts separately, so that one of them can be gone
/// and the other still be proven.
pub fn leaf(seq: Seq, facts: &Hash, change: &Hash) -> Leaf {
    Leaf { seq, hash: merkle::leaf(&leaf_input(seq, facts, change)) }
}

/// What is hashed for a leaf: a fixed line, the number (big-endian), SHA-256 of the facts and SHA-256 of the change.
pub fn leaf_input(seq: Seq, facts: &Hash, change: &Hash) -> Vec<u8> {
    let mut input = b"chasqui asiento 1\n".to_vec();
    input.extend_from_slice(&seq.to_be_bytes());
    input.extend_from_slice(facts);
    input.extend_from_slice(change);
    input
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::merkle::tests::Naive, *};

    fn fill(tree: &mut Tree, naive: &Naive, upto: usize) {
        for n in usize::try_from(tree.size()).unwrap()..upto {
            tree.push(Leaf { seq: n as u64 * 2 + 1, hash: naive.0[n] }).unwrap();
        }
    }

    #[test]
    fn proofs_from_the_files_are_those_of_the_definition() {
        let dir = tempfile::tempdir().unwrap();
        let (mut tree, mut naive) = (Tree::open(dir.path()).unwrap(), Naive::of(70_000));
        for size in [1_usize, 255, 256, 257, 511, 65_535, 65_536, 65_537, 70_000] {
            fill(&mut tree, &naive, size);
            let n = size as u64;
            assert_eq!(tree.root(), naive.root(size), "{size}");
            let mut reader = tree.reader().unwrap();
            for index in [0, n / 3, n / 2, n - 1] {
                let path = merkle::inclusion(index, n, &mut reader).unwrap();
                assert!(merkle::includes(&naive.0[usize::try_from(index).unwrap()], index, n, &path, &tree.root()));
                let path = merkle::consistency(index + 1, n, &mut reader).unwrap();
                assert_eq!(path, merkle::consistency(index + 1, n, &mut naive).unwrap());
            }
            assert_eq!(reader.index_of(n * 2 - 1, n).unwrap(), Some(n - 1));
            assert_eq!(reader.index_of(2, n).unwrap(), None);
        }
    }

    #[test]
    fn what_was_not_synced_is_forgotten_and_changed_files_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let naive = Naive::of(1000);
        let mut tree = Tree::open(dir.path()).unwrap();
        fill(&mut tree, &naive, 600);
        tree.sync().unwrap();
        fill(&mut tree, &naive, 1000);
        drop(tree);
        let mut tree = Tree::open(dir.path()).unwrap();
        assert_eq!((tree.size(), tree.last(), tree.root()), (600, 1199, naive.root(600)));
        fill(&mut tree, &naive, 1000);
        assert_eq!(tree.root(), naive.root(1000));
        tree.sync().unwrap();
        drop(tree);

        let path = dir.path().join("08.hashes");
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(Tree::open(dir.path()).unwrap().size(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn stops_at_any_place_change_nothing(stops in prop::collection::vec((1_usize..700, any::<bool>()), 1..6)) {
            let dir = tempfile::tempdir().unwrap();
            let naive = Naive::of(700);
            for (upto, synced) in stops {
                let mut tree = Tree::open(dir.path()).unwrap();
                fill(&mut tree, &naive, upto);
                prop_assert_eq!(tree.root(), naive.root(usize::try_from(tree.size()).unwrap()));
                if synced {
                    tree.sync().unwrap();
                }
            }
            let mut tree = Tree::open(dir.path()).unwrap();
            fill(&mut tree, &naive, 700);
            prop_assert_eq!(tree.root(), naive.root(700));
        }
    }
}
