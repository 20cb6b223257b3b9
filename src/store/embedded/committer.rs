//! How a batch of changes is written: validated in order, their documents and entries with shared syncs, applied to the
//! index, and only then answered.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    answered::Answered,
    disk::Disk,
    documents::Documents,
    entry::{Entry, Prepared, json},
    frame::{self, Parts},
    index::{IndexError, Writes},
    journal::Journal,
    keys, opening,
    packs::Packs,
    placement::Placed,
    recovery::{self, Setting, index_failed},
    segment::Place,
    shared::{IndexState, Shared},
    view::{View, ViewError},
};
use crate::{
    config::causes::in_spanish,
    domain::{Id, Sha256},
    store::{
        CommitError, Gone, Job, Record, Seq, Staged, StoreError, UniqueKey,
        blobs::StagedBody,
        validation::{self, Known},
    },
    telemetry::failpoint,
};

/// Least time between a failed attempt to rebuild the index and the next.
const REBUILD_PAUSE: Duration = Duration::from_secs(2);
/// Least time between two attempts to bring to the disk what it did not take of the index.
const SETTLE_PAUSE: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });

pub type Answer = oneshot::Sender<Result<Seq, CommitError>>;

/// A change that waits, and who is told of its end.
pub type Waiting = (Box<Prepared>, Answer);

pub struct Committer {
    pub shared: Arc<Shared>,
    pub disk: Arc<dyn Disk>,
    pub journal: Journal,
    pub packs: Packs,
    pub documents: Documents,
    pub answered: Answered,
    /// When the last attempt to rebuild the index failed.
    pub rebuild_failed: Option<Instant>,
    /// When the disk last did not take the index.
    pub unsettled: Option<Instant>,
    /// There may be bytes on the disk that were purged.
    pub unerased: bool,
    /// When erasing them last failed.
    pub erase_failed: Option<Instant>,
    /// Something could not be written since the disk was last seen to take what it is given.
    pub doubted: bool,
}

/// A change that will be in the batch.
struct Admitted {
    seq: Seq,
    jobs: Jobs,
    /// What its first fact tells.
    what: Option<String>,
    answer: Answer,
}

/// A change on its way into the batch.
struct Admission {
    parts: Parts,
    writes: Writes,
    jobs: Jobs,
    what: Option<String>,
}

/// What a change does to the queue.
struct Jobs {
    put: Vec<Job>,
    done: Vec<Id>,
}

/// Why a change does not enter the batch.
pub enum Refusal {
    Change(CommitError),
    Index(IndexError),
}

impl From<ViewError> for Refusal {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Index(error) => Self::Index(error),
            ViewError::Store(error) => Self::Change(error.into()),
        }
    }
}

impl From<IndexError> for Refusal {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        Self::Change(error)
    }
}

impl Committer {
    /// A panic costs this batch its answers, not the thread. What of it became durable is brought into the index.
    pub fn serve(&mut self, batch: Vec<Waiting>, rebuild: bool) {
        let work = AssertUnwindSafe(|| {
            if rebuild || !batch.is_empty() {
                self.rebuild_if_lost();
            }
            // What is purged is decided on what is durable, not on what the same batch brings.
            let (purges, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(|(prepared, _)| prepared.purges());
            if !others.is_empty() {
                self.commit(others);
            }
            if !purges.is_empty() {
                self.commit(purges);
                self.unerased = true;
            }
            self.settle_index();
            self.erase(false);
        });
        if panic::catch_unwind(work).is_err() {
            tracing::error!("panic while committing: the batch is given up");
            self.undo();
            if *self.shared.published.borrow() + 1 != self.journal.next() {
                self.shared.lose(&IndexError::new("panic while a batch was applied"));
            }
        }
    }

    fn commit(&mut self, batch: Vec<Waiting>) {
        let start = match self.packs.repair().and_then(|()| self.journal.prepare()) {
            Ok(start) => start,
            Err(error) => {
                self.doubted = true;
                return refuse_all(batch.into_iter().map(|(_, answer)| answer), || unwritable(&error));
            }
        };
        let shared = Arc::clone(&self.shared);
        let state = shared.index.read().unwrap_or_else(PoisonError::into_inner);
        let index = match &*state {
            IndexState::Ready(index) => index,
            IndexState::Lost(why) => {
                return refuse_all(batch.into_iter().map(|(_, answer)| answer), || index_failed(why.clone()));
            }
        };
        let (mut writes, mut frames) = (Writes::new(), Vec::new());
        let (mut admitted, mut refused, mut failure) = (Vec::new(), Vec::new(), None);
        let durable = self.journal.next() - 1;
        for (prepared, answer) in batch {
            let seq = self.journal.next() + admitted.len() as u64;
            let place = Place { offset: start.offset + frames.len() as u64, ..start };
            match self.admit(View::new(&**index, Some(&writes)), seq, place, *prepared) {
                Ok(Admission { parts, writes: more, jobs, what }) => {
                    frame::encode(seq, durable, &parts, &mut frames);
                    writes.extend(more);
                    admitted.push(Admitted { seq, jobs, what, answer });
                }
                Err(Refusal::Change(error)) => refused.push((error, answer)),
                Err(Refusal::Index(error)) => {
                    refused.push((index_failed(error.clone()).into(), answer));
                    failure = Some(error);
                }
            }
        }
        drop(state);
        if let Some(error) = failure {
            self.shared.lose(&error);
        }
        if !admitted.is_empty()
            && let Err(error) = self.write(&frames, admitted.len() as u64)
        {
            tracing::error!(%error, "the store cannot write");
            self.doubted = true;
            self.undo();
            let answers = admitted.into_iter().map(|a| a.answer).chain(refused.into_iter().map(|(_, answer)| answer));
            return refuse_all(answers, || unwritable(&error));
        }
        self.publish(writes, admitted);
        for (error, answer) in refused {
            answer.send(Err(error)).ok();
        }
    }

    /// Takes a change into the batch; refused, it leaves nothing.
    fn admit(&mut self, view: View<'_>, seq: Seq, place: Place, prepared: Prepared) -> Result<Admission, Refusal> {
        let (pack_mark, file_mark) = (self.packs.mark(), self.documents.mark());
        let admission = self.try_admit(view, seq, place, prepared);
        if admission.is_err() {
            self.packs.rewind(pack_mark);
            self.documents.rewind(file_mark);
        }
        admission
    }

    /// Validates a change and puts its documents in their places, not yet synced.
    fn try_admit(
        &mut self,
        mut view: View<'_>,
        seq: Seq,
        place: Place,
        prepared: Prepared,
    ) -> Result<Admission, Refusal> {
        let Prepared { entry, mut parts, documents, gone, seq: expected } = prepared;
        validation::place(expected, seq)?;
        let what = what(&entry);
        if let Some(what) = &what {
            failpoint::reach(&format!("before:{what}"));
        }
        for record in &entry.records {
            validation::record(&view, record, &entry.records)?;
            validation::purge(&view, record, !entry.jobs.is_empty())?;
            view.put_record(seq, record)?;
        }
        let mut placed = Vec::new();
        for staged in documents {
            placed.extend(self.place(&mut view, staged)?);
        }
        for Gone { sha256, bytes } in gone {
            if view.placed(&sha256)?.is_none() {
                let nowhere = Placed { sha256, bytes, pack: None };
                view.put_placed(&nowhere);
                placed.push(nowhere);
            }
        }
        validation::documents(&view, &entry.records, &entry.facts)?;
        view.put_rest(seq, place, &entry)?;
        parts.placement = json(&placed).map_err(CommitError::Store)?;
        let jobs = Jobs { put: entry.jobs, done: entry.jobs_done };
        Ok(Admission { parts, writes: view.writes, jobs, what })
    }

    /// Writes a document unless it is stored already.
    fn place(&mut self, view: &mut View<'_>, staged: Staged) -> Result<Option<Placed>, Refusal> {
        let Staged { sha256, bytes, body, begun: _ } = staged;
        if view.placed(&sha256)?.is_some() {
            return Ok(None);
        }
        let written = match body {
            StagedBody::Memory(body) => self.packs.write(&sha256, &body).map(Some),
            StagedBody::File(staged) => self.documents.write(&sha256, staged).map(|()| None),
        };
        self.doubted |= written.is_err();
        let pack = written.map_err(|error| CommitError::Store(unwritable(&error)))?;
        let placed = Placed { sha256, bytes, pack };
        view.put_placed(&placed);
        Ok(Some(placed))
    }

    /// Makes the batch durable. What the entries name was written before them; a start does without those whose documents
    /// are not there ([`super::tail`]).
    fn write(&mut self, frames: &[u8], count: u64) -> io::Result<()> {
        self.journal.write(frames)?;
        self.sync()?;
        self.packs.keep();
        self.documents.keep();
        self.journal.keep(count);
        Ok(())
    }

    /// Entries, small documents and the names of large ones: none of them waits for the others.
    fn sync(&mut self) -> io::Result<()> {
        let Self { journal, packs, documents, .. } = self;
        thread::scope(|scope| {
            let small = packs.pending().then(|| scope.spawn(|| packs.sync()));
            let large = documents.pending().then(|| scope.spawn(|| documents.sync()));
            let entries = journal.sync();
            let panicked = |_| Err(io::Error::other("the sync of documents panicked"));
            let documents = [small, large].into_iter().flatten().map(|sync| sync.join().unwrap_or_else(panicked));
            documents.fold(entries, io::Result::and)
        })
    }

    /// Takes back what a failed batch wrote. What cannot be cut off now is before the next batch.
    fn undo(&mut self) {
        self.documents.rewind(0);
        if let Err(error) = self.packs.repair().and_then(|()| self.journal.repair()) {
            tracing::error!(%error, "what a failed commit wrote is still there; trying again before the next");
        }
    }

    /// Shows a durable batch to readers and answers it.
    fn publish(&mut self, writes: Writes, admitted: Vec<Admitted>) {
        let Some(last) = admitted.last().map(|a| a.seq) else { return };
        if let Err(error) = self.answered.write(last) {
            tracing::warn!(%error, "a start after a kill may not see entries that go missing from the journal");
        }
        let applied = {
            let state = self.shared.index.write().unwrap_or_else(PoisonError::into_inner);
            match &*state {
                IndexState::Ready(index) => {
                    failpoint::reach("index.apply");
                    index.apply(writes).inspect(|()| failpoint::reach("index.applied"))
                }
                IndexState::Lost(_) => Ok(()),
            }
        };
        if let Err(error) = applied {
            // The changes are durable all the same: the rebuilt index will have them.
            self.shared.lose(&error);
        }
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for Jobs { put, done } in admitted.iter().map(|a| &a.jobs) {
            put.iter().for_each(|job| queue.put(job));
            done.iter().for_each(|id| queue.remove(*id));
        }
        drop(queue);
        self.shared.publish(last);
        for Admitted { seq, what, answer, .. } in admitted {
            if let Some(what) = what {
                failpoint::reach(&format!("after:{what}"));
            }
            answer.send(Ok(seq)).ok();
        }
    }

    /// Whether the next change would be taken in; after one that was not, the disk is tried.
    pub fn look(&mut self) -> Result<(), StoreError> {
        if let IndexState::Lost(why) = &*self.shared.index.read().unwrap_or_else(PoisonError::into_inner) {
            return Err(index_failed(why.clone()));
        }
        self.settle_index();
        if self.doubted {
            let ready = self.packs.repair().and_then(|()| self.journal.prepare().map(drop));
            let probed = ready.and_then(|()| opening::probe(&self.shared.data_dir, &*self.disk));
            probed.map_err(|error| unwritable(&error))?;
            self.doubted = false;
        }
        Ok(())
    }

    /// What the disk did not take of the index is in memory: once it does, it goes there.
    fn settle_index(&mut self) {
        let state = self.shared.index.read().unwrap_or_else(PoisonError::into_inner);
        let IndexState::Ready(index) = &*state else { return };
        if !index.holds() || self.unsettled.is_some_and(|at| at.elapsed() < SETTLE_PAUSE) {
            return;
        }
        let settled = recovery::settle(&Setting::of(&self.shared), &*self.disk, &**index);
        self.unsettled = settled.is_err().then(Instant::now);
        if let Err(error) = settled {
            tracing::warn!(%error, "the disk still does not take the index");
        }
    }

    fn rebuild_if_lost(&mut self) {
        if !self.shared.is_lost() || self.rebuild_failed.is_some_and(|at| at.elapsed() < REBUILD_PAUSE) {
            return;
        }
        let rebuilt = self.journal.repair().map_err(StoreError::Io).and_then(|()| recovery::rebuild(&self.shared));
        self.rebuild_failed = rebuilt.is_err().then(Instant::now);
        if let Err(error) = rebuilt {
            tracing::error!(%error, "the index could not be rebuilt");
        }
    }
}

impl Known for View<'_> {
    type Error = Refusal;

    fn version(&self, id: Id) -> Result<Option<u32>, Refusal> {
        Ok(self.stored(id)?.map(|stored| stored.version))
    }

    fn owner(&self, key: &UniqueKey) -> Result<Option<Id>, Refusal> {
        Ok(View::owner(self, key)?)
    }

    fn document(&self, sha256: &Sha256) -> Result<Option<u64>, Refusal> {
        Ok(self.placed(sha256)?.map(|placed| placed.bytes))
    }

    fn naming(&self, sha256: &Sha256) -> Result<Vec<Id>, Refusal> {
        Ok(View::naming(self, sha256)?)
    }

    fn has_jobs(&self, id: Id) -> Result<bool, Refusal> {
        Ok(View::has_jobs(self, id)?)
    }

    fn is_kept(&self, record: &Record) -> Result<bool, Refusal> {
        match keys::listed(record) {
            Some((kind, _, _)) => Ok(View::is_kept(self, kind, record.id())?),
            None => Ok(false),
        }
    }
}

/// What a change tells first, in debug builds.
fn what(entry: &Entry) -> Option<String> {
    entry.facts.first().filter(|_| cfg!(debug_assertions)).map(|fact| fact.tipo.clone())
}

fn unwritable(error: &io::Error) -> StoreError {
    StoreError::Unwritable(in_spanish(error))
}

pub fn refuse_all(answers: impl Iterator<Item = Answer>, why: impl Fn() -> StoreError) {
    for answer in answers {
        answer.send(Err(CommitError::Store(why()))).ok();
    }
}
