//! The one thread that writes. It takes every change that waits, and has it committed; on a disk that took nothing when the
//! store was opened it refuses changes until the disk does.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::{
    committer::{Answer, Committer, Waiting, refuse_all},
    entry::Prepared,
    opening::{self, Refused},
};
use crate::store::StoreError;

/// Changes that may wait for the committer; further callers wait to be let in.
pub const WAITING_MAX: usize = 256;
/// Most changes, and about the most bytes of entries and small documents, that share one sync.
const BATCH_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Least time between a look at a disk that refused and the next.
const RESUME_PAUSE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 2 });

pub enum Request {
    Commit(Box<Prepared>, Answer),
    /// Somebody found the index unusable.
    Rebuild,
    /// Somebody asks whether changes are taken in.
    Look(oneshot::Sender<Result<(), StoreError>>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

pub enum Keeper {
    Writing(Box<Committer>),
    /// The disk took nothing; when it was last looked at.
    Refusing(Box<Refused>, Instant),
}

impl Keeper {
    /// Serves requests until it is closed or the store is dropped.
    pub fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut closing = Vec::new();
        while let Some(first) = requests.blocking_recv() {
            let (mut batch, mut looking) = (Vec::new(), Vec::new());
            let mut rebuild = false;
            let (mut next, mut bytes) = (Some(first), 0);
            while let Some(request) = next.take() {
                match request {
                    Request::Commit(prepared, answer) => {
                        bytes += prepared.size();
                        batch.push((prepared, answer));
                    }
                    Request::Rebuild => rebuild = true,
                    Request::Look(answer) => {
                        rebuild = true;
                        looking.push(answer);
                    }
                    Request::Close(answer) => {
                        // What was sent before this is served; what comes later is told that the store is closed.
                        requests.close();
                        closing.push(answer);
                    }
                }
                if batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
                    next = requests.try_recv().ok();
                }
            }
            self = self.serve(batch, rebuild);
            for answer in looking {
                answer.send(self.look()).ok();
            }
        }
        if !closing.is_empty() {
            let text = self.leave_mark().err().map(|error| error.to_string());
            for answer in closing {
                let result = text.clone().map_or(Ok(()), |text| Err(StoreError::Unwritable(text)));
                answer.send(result).ok();
            }
        }
    }

    fn serve(self, batch: Vec<Waiting>, rebuild: bool) -> Self {
        let mut keeper = match self {
            Self::Refusing(refused, last) if last.elapsed() >= RESUME_PAUSE => opening::resume(*refused),
            other => other,
        };
        match &mut keeper {
            Self::Writing(committer) => committer.serve(batch, rebuild),
            Self::Refusing(refused, _) => {
                if rebuild {
                    refused.read_again();
                }
                refuse_all(batch.into_iter().map(|(_, answer)| answer), || refused.refusal());
            }
        }
        keeper
    }

    fn look(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Writing(committer) => committer.look(),
            Self::Refusing(refused, _) => Err(refused.refusal()),
        }
    }

    /// Of a store that was not written there is nothing to mark.
    fn leave_mark(&self) -> Result<(), StoreError> {
        match self {
            Self::Writing(committer) => committer.shared.leave_mark(&*committer.disk, committer.journal.next() - 1),
            Self::Refusing(..) => Ok(()),
        }
    }
}
