//! How many of something may be at once, in all and for each caller's address: connections, requests under way.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::server::Peer;

/// Bits of an IPv6 address that belong to one caller: whoever has a network has all of its addresses.
const IPV6_NETWORK_BITS: u32 = 64;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// For anybody.
    All,
    /// For this caller, who has taken all that one may have.
    Peer,
}

impl Full {
    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Peer => "peer",
        }
    }
}

/// Whom places are counted for. The operator on this machine is bound by the whole alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Caller {
    Network(IpAddr),
    Local,
}

impl From<Peer> for Caller {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Local => Self::Local,
            Peer::Network(address) => Self::Network(network(address.ip())),
        }
    }
}

/// Who an address is counted as: of IPv6 one network is one caller.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << (128 - IPV6_NETWORK_BITS)))),
        ip => ip,
    }
}

/// So many places, of which one caller may have so many. Clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: AtomicUsize,
    per_peer_max: AtomicUsize,
    taken: Mutex<Taken>,
}

/// Callers without a place are not in the table: it never has more rows than there are places.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_caller: HashMap<Caller, usize>,
}

impl Places {
    pub fn new(max: usize, per_peer_max: usize) -> Self {
        let (max, per_peer_max) = (AtomicUsize::new(max), AtomicUsize::new(per_peer_max));
        Self(Arc::new(Shared { max, per_peer_max, taken: Mutex::default() }))
    }

    /// So many from now on; where there are fewer than are taken, nobody loses his.
    pub fn set(&self, max: usize, per_peer_max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
        self.0.per_peer_max.store(per_peer_max, Ordering::Relaxed);
    }

    /// A place, until it is dropped.
    pub fn take(&self, peer: Peer) -> Result<Place, Full> {
        let caller = Caller::from(peer);
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_caller = taken.by_caller.get(&caller).copied().unwrap_or(0);
        if of_caller >= self.0.per_peer_max.load(Ordering::Relaxed) && caller != Caller::Local {
            return Err(Full::Peer);
        }
        if taken.all >= self.0.max.load(Ordering::Relaxed) {
            return Err(Full::All);
        }
        taken.all += 1;
        taken.by_caller.insert(caller, of_caller + 1);
        Ok(Place { shared: Arc::clone(&self.0), caller })
    }
}

/// One place.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    caller: Caller,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let left = taken.by_caller.get(&self.caller).map_or(0, |n| n.saturating_sub(1));
        if left == 0 {
            taken.by_caller.remove(&self.caller);
        } else {
            taken.by_caller.insert(self.caller, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::Network(address.parse().unwrap())
    }

    fn full(places: &Places, peer: Peer) -> Option<Full> {
        places.take(peer).err()
    }

    #[test]
    fn one_caller_cannot_take_the_places_of_all_and_gives_them_back() {
        let places = Places::new(4, 2);
        let (a, b) = (peer("192.0.2.1:1000"), peer("192.0.2.2:1000"));
        let mut taken = vec![places.take(a).unwrap(), places.take(peer("192.0.2.1:2000")).unwrap()];
        assert_eq!(full(&places, a), Some(Full::Peer));
        taken.extend([places.take(b).unwrap(), places.take(b).unwrap()]);
        assert_eq!(full(&places, peer("192.0.2.3:1000")), Some(Full::All));
        places.set(5, 1);
        let fifth = places.take(peer("192.0.2.4:1000")).unwrap();
        assert_eq!(full(&places, peer("192.0.2.4:1000")), Some(Full::Peer));
        places.set(4, 2);
        assert_eq!(full(&places, peer("192.0.2.5:1000")), Some(Full::All), "who has a place keeps it");
        drop(fifth);
        drop(taken.pop());
        let third = places.take(peer("192.0.2.3:1000")).unwrap();
        drop((third, taken));
        let left = places.0.taken.lock().unwrap();
        assert_eq!((left.all, left.by_caller.len()), (0, 0));
    }

    #[test]
    fn a_network_is_one_caller_and_the_operator_is_not_bound_by_one_callers_share() {
        let places = Places::new(3, 1);
        let _first = places.take(peer("[2001:db8:1:2::1]:1")).unwrap();
        assert_eq!(full(&places, peer("[2001:db8:1:2:ffff::9]:1")), Some(Full::Peer));
        assert_eq!(full(&places, peer("[2001:db8:1:3::1]:1")), None);
        let _mapped = places.take(peer("[::ffff:192.0.2.1]:1")).unwrap();
        assert_eq!(full(&places, peer("192.0.2.1:1")), Some(Full::Peer));
        let _local = places.take(Peer::Local).unwrap();
        assert_eq!(full(&places, Peer::Local), Some(Full::All));
    }
}
