//! Who looks up and who downloads: so many lookups a minute for each address, and one entry a day for each download. Both are
//! bounded; they begin anew when the process does.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::domain::Id;

/// Lookups a minute from one address: a CUO can be guessed, and must not be found by trying.
pub const LOOKUPS_PER_MINUTE: u32 = 10;
/// Addresses remembered; with more, nobody new looks anything up until the minute is over.
const ADDRESSES_MAX: usize = 4096;
/// Downloads of a day that are told apart; of more, none is put on record but in the log.
const DOWNLOADS_MAX: usize = 16 * 1024;

const MINUTE_S: i64 = 60;
const DAY_S: i64 = 24 * 3600;

#[derive(Debug, Default)]
pub struct Lookups(Mutex<(i64, HashMap<Option<IpAddr>, u32>)>);

impl Lookups {
    /// Whether an address may look something up now.
    pub fn admit(&self, from: Option<IpAddr>, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.as_second().div_euclid(MINUTE_S);
        if state.0 != minute {
            *state = (minute, HashMap::new());
        }
        let known = &mut state.1;
        if !known.contains_key(&from) && known.len() >= ADDRESSES_MAX {
            return false;
        }
        let n = known.entry(from).or_default();
        *n = n.saturating_add(1);
        *n <= LOOKUPS_PER_MINUTE
    }
}

type Download = (Id, usize, Option<IpAddr>);

#[derive(Debug, Default)]
pub struct Downloads(Mutex<(i64, HashSet<Download>)>);

impl Downloads {
    /// Whether this is the first of its kind today.
    pub fn first(&self, despacho: Id, n: usize, from: Option<IpAddr>, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.as_second().div_euclid(DAY_S);
        if state.0 != day {
            *state = (day, HashSet::new());
        }
        state.1.len() < DOWNLOADS_MAX && state.1.insert((despacho, n, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_looks_up_so_often_a_minute_and_others_are_not_kept_waiting_by_it() {
        let lookups = Lookups::default();
        let at = |second: i64| Timestamp::from_second(1_700_000_040 + second).unwrap();
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        assert_eq!((0..20).filter(|_| lookups.admit(one, at(0))).count(), 10);
        assert!(lookups.admit(other, at(59)) && !lookups.admit(one, at(59)));
        assert!(lookups.admit(one, at(60)));
    }

    #[test]
    fn a_download_is_told_once_a_day() {
        let (downloads, id) = (Downloads::default(), Id::from_u128(1));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(downloads.first(id, 1, None, at(0)) && !downloads.first(id, 1, None, at(80_000)));
        assert!(downloads.first(id, 2, None, at(0)) && downloads.first(id, 1, None, at(90_000)));
    }
}
