//! The store in a PostgreSQL database, for any number of daemons at once: the same promises, over the same bytes.
//!
//! # A commit
//!
//! Each daemon has one task that takes every change that waits and commits them in one transaction, which begins by taking the
//! row `head`: entries have one order without gaps, a reader never sees a later one before an earlier one, and what is
//! validated cannot change meanwhile. While one daemon commits, the changes of the others gather, so that the database syncs
//! once for many. Where the end of a transaction is not known (the connection broke as it was committed), the entry itself is
//! looked for: it is there whole or not at all.
//!
//! # Documents
//!
//! They travel in chunks under a number of their own, large ones before the commit and small ones in it; a commit names them.
//! What no commit named is deleted: with the change that was refused, or after a day.
//!
//! # Jobs
//!
//! A job belongs to the daemon that claimed it, for the lease; if that daemon is silent for [`SILENT`] its jobs are free. Which
//! are claimed is decided as in the embedded store ([`super::queue`]), on all that any daemon holds.
//!
//! # Many daemons
//!
//! They know of each other by the table `daemon` alone. The eldest that is not silent leads: what must be done once is done
//! by it ([`super::Store::leads`]).
//!
//! May use what `store` may use.

mod address;
mod committer;
mod counting;
mod documents;
mod handle;
mod jobs;
mod known;
mod migrations;
mod moved;
mod presence;
#[cfg(test)]
mod programs;
mod read;
mod rows;
mod shared;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verification;

use std::path::PathBuf;

pub use address::Address;
pub use handle::PostgresStore;
pub use presence::SILENT;

/// Changes that wait for the committer.
pub const WAITING_MAX: usize = 1024;

/// How to open a store.
pub struct Options {
    /// `postgres://user:password@host/database`.
    pub url: String,
    /// Who vouches for the database's certificate, in PEM, beside the machine's anchors.
    pub ca_file: Option<PathBuf>,
    /// The folder of this daemon's own, where documents are kept while they are taken in.
    pub data_dir: PathBuf,
    /// Most connections, besides one that listens.
    pub connections: usize,
    /// To look or to move: it is no daemon among the others, and opens also what went to another store.
    pub apart: bool,
}
