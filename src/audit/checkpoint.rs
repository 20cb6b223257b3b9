//! Checkpoints (C2SP tlog-checkpoint): how many entries the log had, and its root, signed. Those made are kept one file
//! each, so that what was once said about the log can be held against it.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use base64_simd::STANDARD;
use jiff::Timestamp;

use super::{
    files,
    merkle::Hash,
    note::{NOTE_MAX, NoteError, Signer, Verifier},
};
use crate::store::Seq;

/// Largest timestamp token kept beside a checkpoint, in bytes.
pub const TIMESTAMP_MAX: u64 = 256 * 1024;

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the name of its key.
    pub origin: String,
    /// Entries in the tree.
    pub size: u64,
    pub root: Hash,
    /// The number of the last of them.
    pub last: Seq,
    /// When, by the clock of the machine.
    pub at: Timestamp,
}

impl Checkpoint {
    /// The signed text: origin, entries and root as C2SP has them; then, as lines of our own, the last entry and the time.
    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode_to_string(self.root));
        writeln!(text, "asiento {}\nhora {}", self.last, self.at).ok();
        text
    }

    pub fn sign(&self, key: &Signer) -> String {
        key.sign(&self.text())
    }

    /// Reads a checkpoint of the log that `key` belongs to.
    pub fn open(note: &str, key: &Verifier) -> Result<Self, NoteError> {
        let found = Self::parse(key.open(note)?).ok_or(NoteError("su texto no es el de un punto de control"))?;
        if found.origin == key.name() { Ok(found) } else { Err(NoteError("es de otro registro")) }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?.to_owned(), lines.next()?.parse().ok()?, lines.next()?);
        let root = STANDARD.decode_to_vec(root).ok()?.try_into().ok()?;
        let last = lines.next()?.strip_prefix("asiento ")?.parse().ok()?;
        let at = lines.next()?.strip_prefix("hora ")?.parse().ok()?;
        let found = Self { origin, size, root, last, at };
        // Written in its one right form.
        (found.text() == text).then_some(found)
    }
}

/// A checkpoint as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub checkpoint: Checkpoint,
    pub note: String,
}

/// The folder of the checkpoints.
#[derive(Debug, Clone)]
pub struct Kept {
    dir: PathBuf,
}

impl Kept {
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn note_path(&self, size: u64) -> PathBuf {
        self.dir.join(format!("{size:020}.note"))
    }

    pub fn timestamp_path(&self, size: u64) -> PathBuf {
        self.dir.join(format!("{size:020}.tsr"))
    }

    /// The sizes of those there are, smallest first.
    pub fn sizes(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut sizes = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            sizes.extend(name.to_str().and_then(|n| n.strip_suffix(".note")).and_then(|n| n.parse::<u64>().ok()));
        }
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// The text of one; `None` if there is none of this size.
    pub fn note(&self, size: u64) -> io::Result<Option<String>> {
        let bytes = files::read(&self.note_path(size), NOTE_MAX as u64)?;
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, "no es texto UTF-8");
        bytes.map(|bytes| String::from_utf8(bytes).map_err(invalid)).transpose()
    }

    /// The timestamp token of one, if it has been given one.
    pub fn timestamp(&self, size: u64) -> io::Result<Option<Vec<u8>>> {
        files::read(&self.timestamp_path(size), TIMESTAMP_MAX)
    }

    /// The newest that opens with `key`.
    pub fn latest(&self, key: &Verifier) -> io::Result<Option<Signed>> {
        for size in self.sizes()?.into_iter().rev() {
            if let Some(note) = self.note(size)?
                && let Ok(checkpoint) = Checkpoint::open(&note, key)
            {
                return Ok(Some(Signed { checkpoint, note }));
            }
        }
        Ok(None)
    }

    pub fn keep(&self, signed: &Signed) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        files::replace(&self.note_path(signed.checkpoint.size), signed.note.as_bytes(), 0o644)
    }

    pub fn keep_timestamp(&self, size: u64, token: &[u8]) -> io::Result<()> {
        files::replace(&self.timestamp_path(size), token, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new("chasqui/20900000015/0a1b2c3d", &[3; 32]).unwrap()
    }

    fn sample(size: u64) -> Checkpoint {
        let at = Timestamp::from_second(1_795_000_000).unwrap();
        Checkpoint { origin: signer().public().name().into(), size, root: [9; 32], last: size + 2, at }
    }

    #[test]
    fn a_checkpoint_opens_as_it_was_signed_and_only_for_its_own_log() {
        let note = sample(5).sign(&signer());
        assert!(note.starts_with("chasqui/20900000015/0a1b2c3d\n5\nCQkJ"));
        assert_eq!(Checkpoint::open(&note, signer().public()), Ok(sample(5)));
        let stranger = Checkpoint { origin: "chasqui/otro".into(), ..sample(5) }.sign(&signer());
        assert_eq!(Checkpoint::open(&stranger, signer().public()), Err(NoteError("es de otro registro")));
        assert!(Checkpoint::open(&signer().sign("hola\n"), signer().public()).is_err());
    }

    #[test]
    fn the_latest_kept_is_the_newest_that_opens() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(&dir.path().join("puntos"));
        assert_eq!(kept.latest(signer().public()).unwrap(), None);
        for size in [9, 10, 200] {
            kept.keep(&Signed { checkpoint: sample(size), note: sample(size).sign(&signer()) }).unwrap();
        }
        assert_eq!(kept.sizes().unwrap(), [9, 10, 200]);
        fs::write(dir.path().join("puntos/00000000000000000200.note"), "otra cosa").unwrap();
        assert_eq!(kept.latest(signer().public()).unwrap().map(|s| s.checkpoint), Some(sample(10)));
    }
}
