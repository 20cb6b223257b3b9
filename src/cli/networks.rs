//! The parts of each listener and who may reach them, as `[networks]` has it.

use crate::{
    config,
    http::networks::{Networks, Rules},
    wsiotramite,
};

/// The rules of both listeners. Clones share them.
#[derive(Debug, Clone)]
pub struct Reachable {
    soap: Networks,
    api: Networks,
}

impl Reachable {
    pub fn new(networks: &config::Networks) -> Self {
        let [soap, api] = rules(networks);
        Self { soap: Networks::new(soap), api: Networks::new(api) }
    }

    /// From the next request on.
    pub fn set(&self, networks: &config::Networks) {
        let [soap, api] = rules(networks);
        self.soap.set(soap);
        self.api.set(api);
    }

    /// Of the control socket nothing is asked: who opens it may.
    pub fn of(&self, listener: &str) -> Networks {
        if listener == wsiotramite::LISTENER { self.soap.clone() } else { self.api.clone() }
    }
}

fn rules(networks: &config::Networks) -> [Rules; 2] {
    let config::Networks { soap, annexes, api, admin, metrics, trusted_proxies } = networks.clone();
    let trusted = || trusted_proxies.clone();
    [
        Rules { parts: vec![("/wsiotramite", soap), ("/anexos", annexes)], trusted_proxies: trusted() },
        Rules { parts: vec![("/", api), ("/api/v1/admin", admin), ("/metrics", metrics)], trusted_proxies: trusted() },
    ]
}
