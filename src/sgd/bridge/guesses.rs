//! Wrong keys from each address: after a few in a minute nothing is looked at until the minute is over, right or wrong, so that
//! what lets an SGD in is not found by trying. Tokens that were given before go on.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::http::{places::network, server::Peer};

/// Wrong keys a minute from one address, or one IPv6 network.
pub const WRONG_PER_MINUTE: u32 = 10;
/// Addresses remembered; with more, nobody new is let in until the minute is over.
const ADDRESSES_MAX: usize = 4096;

const MINUTE_S: i64 = 60;

/// The minute, and how often each was wrong in it. Who is on this machine is one.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<(i64, HashMap<Option<IpAddr>, u32>)>);

/// How long nothing is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed(pub Duration);

impl Guesses {
    /// Looks whether somebody knows the key, unless they were wrong too often.
    pub fn judge<T>(
        &self,
        peer: Option<Peer>,
        now: Timestamp,
        look: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, Closed> {
        let from = match peer {
            Some(Peer::Network(address)) => Some(network(address.ip())),
            _ => None,
        };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.as_second().div_euclid(MINUTE_S);
        if state.0 != minute {
            *state = (minute, HashMap::new());
        }
        let wrong = &mut state.1;
        let full = wrong.len() >= ADDRESSES_MAX && !wrong.contains_key(&from);
        if full || wrong.get(&from).is_some_and(|n| *n >= WRONG_PER_MINUTE) {
            let left = MINUTE_S - now.as_second().rem_euclid(MINUTE_S);
            return Err(Closed(Duration::from_secs(left.unsigned_abs())));
        }
        let found = look();
        if found.is_none() {
            let n = wrong.entry(from).or_default();
            *n = n.saturating_add(1);
        }
        Ok(found)
    }

    /// Refuses those who were wrong too often before anything of them is read.
    pub fn open(&self, peer: Option<Peer>, now: Timestamp) -> Result<(), Closed> {
        self.judge(peer, now, || Some(())).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_040 + second).unwrap()
    }

    fn peer(address: &str) -> Option<Peer> {
        Some(Peer::Network(address.parse().unwrap()))
    }

    #[test]
    fn who_is_wrong_too_often_is_not_looked_at_until_the_minute_is_over() {
        let guesses = Guesses::default();
        let (one, other) = (peer("[2001:db8::1]:1"), peer("192.0.2.2:1"));
        for _ in 0..100 {
            assert_eq!(guesses.judge(one, at(0), || Some(1)), Ok(Some(1)), "who knows it is never in the way");
        }
        for _ in 0..WRONG_PER_MINUTE {
            assert_eq!(guesses.judge(one, at(0), || None::<()>), Ok(None));
        }
        let neighbour = peer("[2001:db8::ffff]:2");
        let unlooked = guesses.judge(neighbour, at(20), || -> Option<()> { panic!("it was looked at") });
        assert_eq!(
            (unlooked, guesses.open(one, at(20))),
            (Err(Closed(Duration::from_secs(40))), Err(Closed(Duration::from_secs(40))))
        );
        assert_eq!((guesses.open(other, at(59)), guesses.open(peer("[2001:db8:0:1::1]:1"), at(59))), (Ok(()), Ok(())));
        assert_eq!(guesses.open(one, at(60)), Ok(()));
    }

    #[test]
    fn addresses_remembered_are_bounded() {
        let guesses = Guesses::default();
        let address = |n: usize| peer(&format!("10.0.{}.{}:1", n / 256, n % 256));
        for n in 0..ADDRESSES_MAX {
            assert_eq!(guesses.judge(address(n), at(0), || None::<()>), Ok(None));
        }
        assert!(guesses.open(peer("192.0.2.1:1"), at(0)).is_err());
        assert_eq!((guesses.open(address(0), at(0)), guesses.open(peer("192.0.2.1:1"), at(60))), (Ok(()), Ok(())));
    }
}
