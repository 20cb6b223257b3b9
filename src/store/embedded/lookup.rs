//! Reading the index in the store's terms.

use std::ops::ControlFlow;

use serde::de::DeserializeOwned;

use super::{
    index::{
        Direction::{Back, Forward},
        Index, IndexError,
    },
    keys::{self, Listed},
    placement::Placed,
    view::Stored,
};
use crate::{
    domain::{Cuo, Id, Ruc, Sha256},
    store::{Cursor, Fact, FactAt, Job, Record, Seq, UniqueKey},
};

/// Most arrivals told for one CUO.
const ARRIVALS_MAX: usize = 16;

pub struct Lookup<'a>(pub &'a dyn Index);

impl Lookup<'_> {
    pub fn applied(&self) -> Result<Option<Seq>, IndexError> {
        let value = self.0.get(keys::APPLIED)?;
        Ok(value.and_then(|v| v.as_slice().try_into().ok()).map(Seq::from_le_bytes))
    }

    pub fn record(&self, id: Id) -> Result<Option<Record>, IndexError> {
        self.stored(id)?.map(|stored| stored.record()).transpose()
    }

    pub fn stored(&self, id: Id) -> Result<Option<Stored>, IndexError> {
        self.0.get(&keys::record(id))?.map(|value| Stored::from_value(&value)).transpose()
    }

    pub fn by_unique(&self, key: &UniqueKey) -> Result<Option<Record>, IndexError> {
        match self.0.get(&keys::unique(key))?.and_then(|value| keys::id_of(&value)) {
            Some(id) => self.record(id),
            None => Ok(None),
        }
    }

    /// Ids of an entity's records, newest first, and whether there are more.
    pub fn list(
        &self,
        kind: Listed,
        entidad: &Ruc,
        estado: Option<&str>,
        after: Option<Id>,
        limit: usize,
    ) -> Result<(Vec<Id>, bool), IndexError> {
        let prefix = keys::listing(kind, entidad, estado);
        let after = after.map(|id| keys::with(prefix.clone(), id.as_bytes()));
        let (mut ids, mut more) = (Vec::new(), false);
        self.0.scan(&prefix, after.as_deref(), Back, &mut |key, _| {
            more = ids.len() == limit.max(1);
            if more {
                return ControlFlow::Break(());
            }
            ids.extend(keys::id_of(key));
            ControlFlow::Continue(())
        })?;
        Ok((ids, more))
    }

    pub fn arrivals(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Id>, IndexError> {
        self.ids(&keys::arrivals(entidad, cuo), ARRIVALS_MAX)
    }

    pub fn api_keys(&self) -> Result<Vec<Id>, IndexError> {
        self.ids(keys::API_KEYS, usize::MAX)
    }

    fn ids(&self, prefix: &[u8], limit: usize) -> Result<Vec<Id>, IndexError> {
        let mut ids = Vec::new();
        self.0.scan(prefix, None, Forward, &mut |key, _| {
            ids.extend(keys::id_of(key));
            if ids.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(ids)
    }

    /// Facts after a place, oldest first.
    pub fn facts(&self, after: Cursor, limit: usize) -> Result<Vec<FactAt>, IndexError> {
        let (mut facts, mut wrong) = (Vec::new(), None);
        self.0.scan(keys::FACTS, Some(&keys::fact(after)), Forward, &mut |key, value| {
            if facts.len() >= limit {
                return ControlFlow::Break(());
            }
            match (keys::cursor_of(key), decoded::<Fact>(value)) {
                (Some(cursor), Ok(fact)) => facts.push(FactAt { cursor, fact }),
                (_, Err(error)) => wrong = Some(error),
                (None, _) => {}
            }
            ControlFlow::Continue(())
        })?;
        wrong.map_or(Ok(facts), Err)
    }

    pub fn facts_in(&self, entidad: &Ruc, after: Cursor, limit: usize) -> Result<Vec<FactAt>, IndexError> {
        self.facts_under(&keys::facts_in(entidad), Some(after), limit)
    }

    pub fn facts_of(&self, subject: Id) -> Result<Vec<FactAt>, IndexError> {
        self.facts_under(&keys::facts_of(subject), None, usize::MAX)
    }

    /// Facts whose places stand under `prefix`.
    fn facts_under(&self, prefix: &[u8], after: Option<Cursor>, limit: usize) -> Result<Vec<FactAt>, IndexError> {
        let after = after.map(|at| keys::with(prefix.to_vec(), &keys::place(at)));
        let mut places = Vec::new();
        self.0.scan(prefix, after.as_deref(), Forward, &mut |key, _| {
            if places.len() >= limit {
                return ControlFlow::Break(());
            }
            places.extend(keys::cursor_of(key));
            ControlFlow::Continue(())
        })?;
        let fact = |cursor: Cursor| {
            let value = self.0.get(&keys::fact(cursor))?.ok_or_else(|| IndexError("a fact is missing".into()))?;
            Ok(FactAt { cursor, fact: decoded(&value)? })
        };
        places.into_iter().map(fact).collect()
    }

    /// Jobs after an id, by id, and whether there are more.
    pub fn jobs_after(&self, after: Option<Id>, limit: usize) -> Result<(Vec<Job>, bool), IndexError> {
        let (mut jobs, mut wrong, mut more) = (Vec::new(), None, false);
        self.0.scan(keys::JOBS, after.map(keys::job).as_deref(), Forward, &mut |_, value| {
            more = jobs.len() == limit;
            if more {
                return ControlFlow::Break(());
            }
            match decoded(value) {
                Ok(job) => jobs.push(job),
                Err(error) => wrong = Some(error),
            }
            ControlFlow::Continue(())
        })?;
        wrong.map_or(Ok((jobs, more)), Err)
    }

    pub fn job(&self, id: Id) -> Result<Option<Job>, IndexError> {
        self.0.get(&keys::job(id))?.map(|value| decoded(&value)).transpose()
    }

    pub fn document(&self, sha256: &Sha256) -> Result<Option<Placed>, IndexError> {
        Ok(self.0.get(&keys::document(sha256))?.and_then(|value| Placed::from_value(sha256, &value)))
    }
}

fn decoded<T: DeserializeOwned>(value: &[u8]) -> Result<T, IndexError> {
    serde_json::from_slice(value).map_err(|error| IndexError(format!("a value in the index: {error}")))
}
