//! Verification of a whole log, from its files alone: every entry and document as the store reads them, every leaf, and the
//! root against every checkpoint that was kept. Open store or not; only reads.

use std::{io, path::Path};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    checkpoint::Checkpoint,
    files,
    log::Folder,
    merkle::{self, Edge, Hash},
    note::{NoteError, Verifier},
    stamp,
    tree::{self, Leaf, Reader},
};
use crate::{
    domain::lima,
    store::{
        Seq, StoreError, Verification,
        embedded::{Reading, verify_dir_from},
    },
};

/// Most changed entries named one by one; behind them only their number.
const NAMED_MAX: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("la clave de auditoría: {0}")]
    Key(#[from] NoteError),
}

/// What was read, and everything that is wrong.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    #[serde(flatten)]
    pub store: Verification,
    /// The key that the checkpoints were checked with.
    pub key: Option<String>,
    /// Checkpoints whose root is that of the journal.
    pub checkpoints: u64,
    /// Timestamps beside them that are whole and theirs. Who gave them is not judged here.
    pub timestamps: u64,
    /// Entries covered by the last of them.
    pub covered: u64,
    /// The first entry read.
    pub from: Seq,
    /// What the tree and the checkpoints say is wrong; what the store found is in its own list.
    pub problems: Vec<String>,
}

impl Report {
    pub fn is_whole(&self) -> bool {
        self.store.damage.is_empty() && self.problems.is_empty()
    }
}

/// Verifies the log in `data_dir`: all of it, or the entries since the last checkpoint made before `since`, whose tree is
/// then believed as far as that checkpoint's signature says. Checkpoints are checked with `key`, else with the key kept
/// beside them.
pub fn verify_dir(
    data_dir: &Path,
    since: Option<Timestamp>,
    key: Option<Verifier>,
    progress: &mut dyn FnMut(Reading),
) -> Result<Report, VerifyError> {
    let folder = Folder::of(data_dir);
    let key = match key {
        Some(key) => Some(key),
        None => kept_key(&folder)?,
    };
    let mut report = Report { key: key.as_ref().map(ToString::to_string), from: 1, ..Report::default() };
    let checkpoints = match &key {
        Some(key) => checkpoints(&folder, key, &mut report)?,
        None => {
            report.store.remarks.push("todavía no hay clave de auditoría ni puntos de control".into());
            Vec::new()
        }
    };
    let mut judge = Judge::new(checkpoints, Reader::open_existing(&folder.tree())?);
    if let Some(since) = since {
        report.from = judge.start_at(since, &mut report)?;
    }
    let mut observe = |seq: Seq, facts: &[u8], change: &[u8]| judge.entry(seq, facts, change);
    let mut store = verify_dir_from(data_dir, report.from, &mut observe, progress)?;
    judge.end();
    store.remarks.extend(std::mem::take(&mut report.store.remarks));
    report.store = store;
    report.store.remarks.append(&mut judge.remarks);
    report.problems.append(&mut judge.problems);
    (report.checkpoints, report.covered) = (judge.good, judge.covered);
    if let Some(error) = judge.failed {
        return Err(error.into());
    }
    Ok(report)
}

fn kept_key(folder: &Folder) -> Result<Option<Verifier>, VerifyError> {
    let Some(bytes) = files::read(&folder.public_key(), 1024)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| NoteError("clave.pub no es texto"))?;
    Ok(Some(Verifier::parse(text.trim_end())?))
}

/// The checkpoints kept, smallest first; those that don't open are problems.
fn checkpoints(folder: &Folder, key: &Verifier, report: &mut Report) -> Result<Vec<Checkpoint>, VerifyError> {
    let (kept, mut found) = (folder.checkpoints(), Vec::new());
    for size in kept.sizes()? {
        let mut wrong = |what: &str| report.problems.push(format!("punto de control {size:020}.note: {what}"));
        match kept.note(size) {
            Err(error) => wrong(&error.to_string()),
            Ok(None) => {}
            Ok(Some(note)) => match Checkpoint::open(&note, key) {
                Err(error) => wrong(&error.to_string()),
                Ok(checkpoint) if checkpoint.size != size => wrong("su nombre no es el de su contenido"),
                Ok(checkpoint) => {
                    found.push(checkpoint);
                    let stamped = kept.timestamp(size).map_err(|error| error.to_string());
                    let judged = stamped.and_then(|token| {
                        token.map(|token| stamp::opened(&token, &merkle::hash(&[note.as_bytes()]))).transpose()
                    });
                    match judged {
                        Ok(at) => report.timestamps += u64::from(at.is_some()),
                        Err(why) => report.problems.push(format!("punto de control {size:020}.tsr: {why}")),
                    }
                }
            },
        }
    }
    Ok(found)
}

/// Follows the journal with two trees: of what is read, and of the leaves kept when each entry was new. Where the first
/// leaves the checkpoints and the second does not, the second says which entry is not what it was.
struct Judge {
    checkpoints: std::iter::Peekable<std::vec::IntoIter<Checkpoint>>,
    kept: Option<Reader>,
    leaves: u64,
    read: Edge,
    remembered: Edge,
    last: Seq,
    /// Differences between the two since the last checkpoint that held.
    differences: Vec<String>,
    unnamed: u64,
    /// The checkpoint that held last: its size.
    covered: u64,
    good: u64,
    /// The trees left a checkpoint for good: what comes later can't be compared.
    lost: bool,
    problems: Vec<String>,
    remarks: Vec<String>,
    failed: Option<io::Error>,
}

impl Judge {
    fn new(checkpoints: Vec<Checkpoint>, kept: Option<Reader>) -> Self {
        let leaves = kept.as_ref().and_then(|kept| kept.leaves().ok()).unwrap_or(0);
        Self {
            checkpoints: checkpoints.into_iter().peekable(),
            kept,
            leaves,
            read: Edge::default(),
            remembered: Edge::default(),
            last: 0,
            differences: Vec::new(),
            unnamed: 0,
            covered: 0,
            good: 0,
            lost: false,
            problems: Vec::new(),
            remarks: Vec::new(),
            failed: None,
        }
    }

    /// Begins behind the last checkpoint made before `since`, if the kept tree has its root. The first entry to read.
    fn start_at(&mut self, since: Timestamp, report: &mut Report) -> Result<Seq, VerifyError> {
        let mut start = None;
        while let Some(checkpoint) = self.checkpoints.next_if(|checkpoint| checkpoint.at <= since) {
            start = Some(checkpoint);
        }
        let (Some(start), Some(kept)) = (start, &mut self.kept) else {
            report
                .store
                .remarks
                .push("no hay un punto de control anterior a esa fecha: se verifica desde el principio".into());
            return Ok(1);
        };
        let edge = if self.leaves >= start.size { Some(Edge::load(start.size, kept)?) } else { None };
        match edge.filter(|edge| edge.root() == start.root) {
            Some(edge) => {
                (self.read, self.remembered) = (edge.clone(), edge);
                (self.last, self.covered, self.good) = (start.last, start.size, 1);
                Ok(start.last + 1)
            }
            None => {
                report.problems.push(format!(
                    "el árbol guardado no corresponde al punto de control de {} asientos ({}): verifique todo, sin --since",
                    start.size,
                    lima::texto(start.at)
                ));
                Ok(1)
            }
        }
    }

    fn remembered_leaf(&mut self) -> Option<Leaf> {
        let index = self.remembered.size();
        let kept = self.kept.as_ref().filter(|_| index < self.leaves)?;
        match kept.leaf(index) {
            Ok(leaf) => Some(leaf),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    fn entry(&mut self, seq: Seq, facts: &[u8], change: &[u8]) {
        let found = tree::leaf(seq, &merkle::hash(&[facts]), &merkle::hash(&[change]));
        // Entries that were there and are not read any more.
        while let Some(leaf) = self.remembered_leaf().filter(|leaf| leaf.seq < seq) {
            self.difference(format!("asiento {}: falta", leaf.seq));
            self.remember(leaf.hash, leaf.seq);
        }
        self.read.push(found.hash, |_, _| {});
        self.last = seq;
        match self.remembered_leaf() {
            Some(leaf) if leaf.seq == seq => {
                if leaf.hash != found.hash {
                    self.difference(format!("asiento {seq}: no es el que se escribió"));
                }
                self.remember(leaf.hash, seq);
            }
            Some(_) => self.difference(format!("asiento {seq}: no estaba")),
            None => self.remember(found.hash, seq),
        }
        if !self.differing() {
            self.compare();
        }
    }

    fn differing(&self) -> bool {
        !self.differences.is_empty()
    }

    fn difference(&mut self, what: String) {
        if self.differences.len() < NAMED_MAX { self.differences.push(what) } else { self.unnamed += 1 }
    }

    /// Adds to the tree of what is remembered; while the journal differs from it, the checkpoints are held against this one.
    fn remember(&mut self, hash: Hash, seq: Seq) {
        self.remembered.push(hash, |_, _| {});
        let size = self.remembered.size();
        if !self.differing() || self.checkpoints.peek().is_none_or(|checkpoint| checkpoint.size != size) {
            return;
        }
        let Some(checkpoint) = self.checkpoints.next() else { return };
        if self.read.size() == size && checkpoint.root == self.read.root() {
            self.remarks.push(format!(
                "arbol: {} hojas no son las del diario, que es el firmado; se rehacen",
                self.differences.len()
            ));
            (self.good, self.covered, self.unnamed) = (self.good + 1, size, 0);
            self.differences.clear();
            self.remembered = self.read.clone();
        } else if checkpoint.root == self.remembered.root() && checkpoint.last == seq {
            // What was remembered is what was signed: it is the journal that was changed.
            self.problems.append(&mut self.differences);
            if self.unnamed > 0 {
                self.problems.push(format!("y otros {} asientos", std::mem::take(&mut self.unnamed)));
            }
            self.read = self.remembered.clone();
            self.covered = size;
        } else {
            self.left(&checkpoint);
        }
    }

    /// Holds a checkpoint of this size, if there is one, against what was read.
    fn compare(&mut self) {
        let size = self.read.size();
        let Some(checkpoint) = self.checkpoints.next_if(|checkpoint| checkpoint.size == size) else { return };
        if checkpoint.root == self.read.root() && checkpoint.last == self.last {
            (self.good, self.covered) = (self.good + 1, size);
        } else {
            self.left(&checkpoint);
        }
    }

    fn left(&mut self, checkpoint: &Checkpoint) {
        if !self.lost {
            let (from, size, at) = (self.covered + 1, checkpoint.size, lima::texto(checkpoint.at));
            self.problems.push(format!(
                "punto de control de {size} asientos ({at}): su raíz no es la del diario; del {from}.º al {size}.º asiento alguno \
                 fue cambiado, quitado, añadido o movido"
            ));
        }
        self.lost = true;
    }

    fn end(&mut self) {
        // What is missing at the end.
        while let Some(leaf) = self.remembered_leaf().filter(|leaf| leaf.seq > self.last) {
            self.difference(format!("asiento {}: falta", leaf.seq));
            self.remember(leaf.hash, leaf.seq);
        }
        self.problems.append(&mut self.differences);
        if self.unnamed > 0 {
            self.problems.push(format!("y otros {} asientos", self.unnamed));
        }
        let size = self.read.size();
        for checkpoint in self.checkpoints.by_ref() {
            let text = if checkpoint.size > size {
                format!("el diario tiene {size} asientos y faltan los que había hasta")
            } else {
                "no se pudo comparar, por lo anterior,".into()
            };
            let (of, at) = (checkpoint.size, lima::texto(checkpoint.at));
            self.problems.push(format!("punto de control de {of} asientos ({at}): {text} él"));
        }
    }
}
