//! From where a listener's parts may be reached, and who is really calling where a trusted proxy stands between.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};

use http::{HeaderMap, HeaderName};

use super::server::Peer;
use crate::config::networks::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses of that header that are looked at, from its end.
const HOPS_MAX: usize = 16;

/// A part of a listener, by the beginning of its paths, and who may reach it; an empty list: everybody.
pub type Rule = (&'static str, Vec<Network>);

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rules {
    /// Every one that a path begins with must let its caller in.
    pub parts: Vec<Rule>,
    pub trusted_proxies: Vec<Network>,
}

/// The rules of one listener, that change while it serves. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Networks(Arc<RwLock<Rules>>);

impl Networks {
    pub fn new(rules: Rules) -> Self {
        Self(Arc::new(RwLock::new(rules)))
    }

    /// From the next request on.
    pub fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Who is calling: the connection's other end, or for whom a trusted proxy says that it calls.
    pub fn caller(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        let Peer::Network(address) = peer else { return peer };
        let rules = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let trusted = |ip: IpAddr| rules.trusted_proxies.iter().any(|network| network.contains(ip));
        if !trusted(address.ip()) {
            return peer;
        }
        // Each proxy adds whom it saw at the end: what stands before the first stranger is that one's own word.
        let stated = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let all: Vec<&str> = stated.flat_map(|value| value.split(',')).collect();
        let mut caller = address.ip();
        for hop in all.into_iter().rev().take(HOPS_MAX) {
            let Ok(ip) = hop.trim().trim_matches(['[', ']']).parse::<IpAddr>() else { break };
            caller = ip;
            if !trusted(ip) {
                break;
            }
        }
        if caller == address.ip() { peer } else { Peer::Network(SocketAddr::new(caller, 0)) }
    }

    /// Whether somebody may reach a path.
    pub fn let_in(&self, peer: Peer, path: &str) -> bool {
        let Peer::Network(address) = peer else { return true };
        let rules = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_path = rules.parts.iter().filter(|(part, _)| path.starts_with(part));
        of_path
            .all(|(_, networks)| networks.is_empty() || networks.iter().any(|network| network.contains(address.ip())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks() -> Networks {
        let list = |text: &str| text.split(' ').map(|one| one.parse().unwrap()).collect();
        let parts = vec![("/", list("10.0.0.0/8 192.0.2.0/24")), ("/api/v1/admin", list("10.1.0.0/16"))];
        Networks::new(Rules { parts, trusted_proxies: list("10.9.9.9 10.9.9.8") })
    }

    fn peer(ip: &str) -> Peer {
        Peer::Network(SocketAddr::new(ip.parse().unwrap(), 1))
    }

    #[test]
    fn every_rule_of_a_path_must_let_its_caller_in() {
        let networks = networks();
        assert!(networks.let_in(peer("10.2.0.1"), "/api/v1/despachos"));
        assert!(!networks.let_in(peer("10.2.0.1"), "/api/v1/admin/reload"));
        assert!(networks.let_in(peer("10.1.0.1"), "/api/v1/admin/reload"));
        assert!(!networks.let_in(peer("8.8.8.8"), "/metrics"));
        assert!(networks.let_in(Peer::Local, "/api/v1/admin/reload"));
        networks.set(Rules::default());
        assert!(networks.let_in(peer("8.8.8.8"), "/api/v1/admin/reload"));
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_calls_and_only_the_last_stranger_counts() {
        let networks = networks();
        let caller = |from: &str, stated: &'static str| {
            let headers = [(FORWARDED_FOR, stated.parse().unwrap())].into_iter().collect();
            match networks.caller(peer(from), &headers) {
                Peer::Network(address) => address.ip().to_string(),
                Peer::Local => "local".into(),
            }
        };
        assert_eq!(caller("8.8.8.8", "10.1.0.1"), "8.8.8.8");
        assert_eq!(caller("10.9.9.9", "192.0.2.7"), "192.0.2.7");
        assert_eq!(caller("10.9.9.9", "10.1.0.1, 203.0.113.5"), "203.0.113.5", "what a stranger says is not believed");
        assert_eq!(caller("10.9.9.9", "203.0.113.5, 10.9.9.8"), "203.0.113.5");
        assert_eq!(caller("10.9.9.9", "nadie"), "10.9.9.9");
    }
}
