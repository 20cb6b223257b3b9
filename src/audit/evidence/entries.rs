//! The entries of a package, with what proves each of them.

use serde::{Deserialize, Serialize};

use crate::{
    audit::{
        checkpoint::Checkpoint,
        log::Proven,
        merkle::{self, Hash, PATH_MAX},
        tree,
    },
    domain::Sha256,
    store::{Fact, Record, Seq},
};

/// Most entries of one exchange in a package.
pub const ENTRIES_MAX: usize = 10_000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entries {
    pub asientos: Vec<Asiento>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asiento {
    pub asiento: Seq,
    /// Its place among the leaves, from 0.
    pub indice: u64,
    /// The bytes of the journal.
    pub hechos: String,
    pub cambio: String,
    /// Inclusion proof, from the leaf up.
    pub camino: Vec<Sha256>,
}

/// What an entry says.
pub struct Said {
    pub facts: Vec<Fact>,
    pub records: Vec<Record>,
}

#[derive(Deserialize)]
struct Change {
    records: Vec<Record>,
}

impl Entries {
    /// `None` if an entry of the journal is no text, which none is.
    pub fn of(proven: &Proven) -> Option<Self> {
        let asientos = proven.entries.iter().map(|one| {
            Some(Asiento {
                asiento: one.entry.seq,
                indice: one.index,
                hechos: String::from_utf8(one.entry.facts.clone()).ok()?,
                cambio: String::from_utf8(one.entry.change.clone()).ok()?,
                camino: one.path.iter().map(|hash| Sha256::from_digest(hash)).collect(),
            })
        });
        Some(Self { asientos: asientos.collect::<Option<_>>()? })
    }
}

impl Asiento {
    /// Whether it is in the tree that the checkpoint tells of.
    pub fn is_in(&self, checkpoint: &Checkpoint) -> bool {
        let hash = |text: &str| merkle::hash(&[text.as_bytes()]);
        let leaf = tree::leaf(self.asiento, &hash(&self.hechos), &hash(&self.cambio));
        let path: Option<Vec<Hash>> = self.camino.iter().take(PATH_MAX + 1).map(raw).collect();
        path.is_some_and(|path| merkle::includes(&leaf.hash, self.indice, checkpoint.size, &path, &checkpoint.root))
    }

    pub fn said(&self) -> Option<Said> {
        let facts = serde_json::from_str(&self.hechos).ok()?;
        let Change { records } = serde_json::from_str(&self.cambio).ok()?;
        Some(Said { facts, records })
    }
}

fn raw(hash: &Sha256) -> Option<Hash> {
    let mut out = [0; 32];
    for (n, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hash.as_str().get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(out)
}
