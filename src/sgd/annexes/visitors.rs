//! Who looks up and who downloads: so many lookups a minute for each address, and one entry a day for each download. Both are
//! bounded; they begin anew when the process does. Of IPv6 a whole /64 is one: whoever has one address there has all. Behind
//! a proxy everybody has the proxy's.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
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

/// Who has an address: as IPv4 where it is that within IPv6, else the /64 around it.
fn caller(from: Option<IpAddr>) -> Option<IpAddr> {
    const NETWORK: u128 = !(u64::MAX as u128);
    from.map(|ip| match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & NETWORK)),
        ip => ip,
    })
}

#[derive(Debug, Default)]
pub struct Lookups(Mutex<(i64, HashMap<Option<IpAddr>, u32>)>);

impl Lookups {
    /// Whether an address may look something up now.
    pub fn admit(&self, from: Option<IpAddr>, now: Timestamp) -> bool {
        let from = caller(from);
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
    /// Whether none of its kind was told today, and there is room to remember it.
    pub fn untold(&self, despacho: Id, n: usize, from: Option<IpAddr>, now: Timestamp) -> bool {
        self.today(now, |told| told.len() < DOWNLOADS_MAX && !told.contains(&(despacho, n, caller(from))))
    }

    /// It is on record.
    pub fn told(&self, despacho: Id, n: usize, from: Option<IpAddr>, now: Timestamp) {
        self.today(now, |told| told.insert((despacho, n, caller(from))));
    }

    fn today<T>(&self, now: Timestamp, of: impl FnOnce(&mut HashSet<Download>) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.as_second().div_euclid(DAY_S);
        if state.0 != day {
            *state = (day, HashSet::new());
        }
        of(&mut state.1)
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
        assert!(downloads.untold(id, 1, None, at(0)) && downloads.untold(id, 1, None, at(0)), "not on record yet");
        downloads.told(id, 1, None, at(0));
        assert!(!downloads.untold(id, 1, None, at(80_000)) && downloads.untold(id, 2, None, at(80_000)));
        assert!(downloads.untold(id, 1, None, at(90_000)));
    }

    #[test]
    fn who_has_a_network_of_ipv6_is_one_and_ipv4_within_it_is_ipv4() {
        let lookups = Lookups::default();
        let at = Timestamp::from_second(1_700_000_040).unwrap();
        let tries = |address: &str| (0..20).filter(|_| lookups.admit(address.parse().ok(), at)).count();
        assert_eq!((tries("2001:db8::1"), tries("2001:db8::ffff:2"), tries("2001:db8:0:1::1")), (10, 0, 10));
        assert_eq!((tries("::ffff:192.0.2.1"), tries("192.0.2.1"), tries("::ffff:192.0.2.2")), (10, 0, 10));
    }
}
