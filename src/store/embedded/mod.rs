//! The store in a folder of its own: a journal as the truth, documents beside it, and an index that can be thrown away.
//!
//! ```text
//! lock              held by the process that writes
//! journal/          <first entry, 20 digits>.log: segments; cut-<entry>-<byte>.bin: what was cut off at a start
//! packs/            <number, 10 digits>.pack: documents of up to 256 KiB
//! documents/aa/     <sha256>: larger documents
//! incoming/         documents being taken in; emptied at start
//! index/            redb; index.boot says under which boot of the kernel it was written
//! answered          the last entry answered, not synced
//! clean-stop        left by a clean stop
//! trasladado.json   where all of it went, if it went to another store
//! recortado.json    entries found missing, until a fact about it is in the journal
//! ```
//!
//! # Formats
//!
//! All integers are little-endian. A segment begins with 24 bytes: `CHQDIARI`, format version (u32, now 1), its first
//! entry (u64), CRC32C (u32) of the 20 bytes before. Frames follow, one per entry, entries numbered from 1 without gaps:
//!
//! ```text
//!  0  FF 'C' 'H' 'J'
//!  4  u32  CRC32C of everything behind this field
//!  8  u32  bytes behind this field
//! 12  u64  number of the entry
//! 20  u64  durable: the highest entry known to be synced when this one was written
//! 28  u32  bytes of facts     32  u32  bytes of change     36  u32  bytes of placement
//! 40  facts: JSON array of facts
//!     change: JSON object {records, jobs, jobs_done}
//!     placement: JSON array of {sha256, bytes, pack: {number, offset} or absent: a file in documents/}
//! ```
//!
//! Facts and change are the same bytes in any store, so that the audit log can commit to them; where documents lie is this
//! store's affair and stays out. A pack begins with 16 bytes: `CHQPACK1`, its number (u32), CRC32C (u32) of these 12. Its
//! records: FF 'C' 'H' 'P', CRC32C (u32) of everything behind this field, bytes of the document (u32), its SHA-256 (32
//! bytes), the document.
//!
//! # A commit
//!
//! One thread takes every change that waits. It validates them in order, puts their documents in place, writes all entries
//! with one write, syncs documents, names and entries at the same time, applies the entries to the index, and answers. If any
//! of it fails, nothing is acknowledged and what was written is cut off again, at the latest before the next commit. After a failed sync the file
//! is cut, and gets nothing more: the kernel may have dropped pages it never wrote, so what comes next goes to a new file.
//!
//! # A purge
//!
//! An entry with a record that was purged names the documents that go (`domain::conservacion`). It is validated apart, after
//! what was handed over with it is durable; the index forgets the documents, and then their bytes go: files are removed, and
//! in packs the document is overwritten with zeros and its record begins FF 'C' 'H' 'Z' instead, its checksum of what stands
//! there now. A write of that that is torn harms nobody, as nothing leads there any more; what a start finds half done it
//! does again.
//!
//! # A start
//!
//! A bad frame at the end is the remains of an interrupted write and is cut off (and kept aside), unless a later sound
//! frame knows it to have been durable: then, and anywhere else, it is damage and the store does not open. So is the first
//! entry at the end whose documents are not all there, if nothing proves that it was durable ([`tail`]). Entries that the
//! index, the clean-stop mark or `answered` knows and the journal has no more are recorded as a fact, `almacen.recortado`.
//!
//! # The index
//!
//! It holds keys and places, not records: what a lookup finds is read from the journal. So it is small, its values are
//! short, and damage in a record is seen where it is read. Jobs are the exception; they are few and short-lived. None of it
//! is synced while in use: after a power cut it is built anew.
//!
//! May use what `store` may use. Blocking file work stays off the runtime's threads; reading the index and the frames it
//! points to does not: both are microseconds from the kernel's cache, less than handing them to another thread.

mod answered;
mod boot;
mod committer;
pub mod copies;
mod disk;
mod documents;
mod entry;
mod erasure;
mod folder;
mod frame;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handle;
mod index;
mod journal;
mod keeper;
mod keys;
mod lookup;
pub mod moved;
mod opening;
mod packs;
mod pages;
mod placement;
mod recovery;
mod segment;
mod shared;
mod tail;
#[cfg(test)]
mod tests;
mod verification;
mod view;

use std::sync::Arc;

use jiff::Timestamp;

pub use folder::Folder;
pub use frame::Fields;
pub use handle::EmbeddedStore;
pub use keeper::WAITING_MAX;
pub use verification::{verify_dir, verify_dir_from};

/// How far a replay of the journal, or a verification, has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    pub entries: u64,
    /// Bytes read, of `bytes_total`.
    pub bytes: u64,
    pub bytes_total: u64,
}

/// Is told of a replay's progress.
pub type Progress = dyn Fn(Reading) + Send + Sync;

/// Memory for the pages of the index, in bytes.
pub const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// The present time, for facts about the store itself.
    pub now: Timestamp,
    /// Bound of the index's cache, in bytes.
    pub cache_bytes: u64,
    /// Length at which a segment of the journal is followed by another, in bytes.
    pub segment_bytes: u64,
    /// Length at which a pack is followed by another, in bytes.
    pub pack_bytes: u64,
    pub progress: Option<Arc<Progress>>,
    /// Opens also what went to another store: to bring it back there.
    pub even_if_moved: bool,
    disk: Arc<dyn disk::Disk>,
    index: index::Opener,
}

impl Options {
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            cache_bytes: CACHE_BYTES,
            segment_bytes: 64 * 1024 * 1024,
            pack_bytes: 256 * 1024 * 1024,
            progress: None,
            even_if_moved: false,
            disk: Arc::new(disk::OsDisk),
            index: index::RedbIndex::open,
        }
    }
}
