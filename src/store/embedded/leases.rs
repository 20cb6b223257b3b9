//! Jobs that somebody is working on. In memory only: a restart frees them, and the job's next step asks before it repeats.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::domain::Id;

#[derive(Debug, Default)]
pub struct Leases(HashMap<Id, Timestamp>);

impl Leases {
    /// Until when the job is taken, if it is at `now`.
    pub fn holds(&self, id: Id, now: Timestamp) -> bool {
        self.0.get(&id).is_some_and(|until| *until > now)
    }

    /// When the job was or is taken until.
    pub fn until(&self, id: Id) -> Option<Timestamp> {
        self.0.get(&id).copied()
    }

    pub fn take(&mut self, id: Id, until: Timestamp) {
        self.0.insert(id, until);
    }

    pub fn free(&mut self, id: Id) {
        self.0.remove(&id);
    }
}
