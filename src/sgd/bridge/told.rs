//! Which outcomes callers were told. One who repeats a request that was answered made a mistake; one who never heard the
//! answer is told it now. Forgotten at a restart: then the same document under the same number hears that it had arrived.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::domain::Id;

/// Outcomes remembered.
const TOLD_MAX: usize = 4096;

#[derive(Debug, Default)]
pub struct Told(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    ids: HashSet<Id>,
    order: VecDeque<Id>,
}

impl Told {
    /// Remembers that the outcome of a record was told. `false`: it was before.
    pub fn tell(&self, id: Id) -> bool {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !remembered.ids.insert(id) {
            return false;
        }
        remembered.order.push_back(id);
        if remembered.order.len() > TOLD_MAX
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_once_and_the_oldest_are_forgotten() {
        let told = Told::default();
        assert!(told.tell(Id::from_u128(0)) && !told.tell(Id::from_u128(0)));
        for n in 1..=TOLD_MAX as u128 {
            assert!(told.tell(Id::from_u128(n)));
        }
        assert!(told.tell(Id::from_u128(0)) && !told.tell(Id::from_u128(TOLD_MAX as u128)));
    }
}
