//! Where connections of ours may go when the address is not the operator's own word: not into private networks. A name is
//! resolved here and the connection is made to the addresses that were judged, so that a second answer of the DNS changes
//! nothing. Knows nothing of who calls and why.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Where connections may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Wherever the operator says.
    Anywhere,
    /// Public addresses alone: who wrote the address must not reach what stands beside us.
    Public,
}

/// A name that leads to internal addresses alone.
#[derive(Debug, thiserror::Error)]
#[error("{0} lleva a una dirección interna")]
pub struct NotPublic(String);

impl NotPublic {
    /// Whether an error came of this.
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            next = error.source();
        }
        false
    }
}

/// Whether an address is written as the number of an internal host. Such a one asks no resolver.
pub fn is_internal(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| !is_public(address))
}

/// Resolves names to public addresses alone.
pub struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NotPublic(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = (a == 100 && (64..128).contains(&b)) || (a == 192 && b == 0 && c == 0) || (a == 198 && b & 0xfe == 18);
    let special = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast();
    !(special || shared || a == 0 || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, .., g, h] = address.segments();
    let inner = Ipv4Addr::from((u32::from(g) << 16) | u32::from(h));
    if address.to_ipv4_mapped().is_some() || (a == 0x64 && b == 0xff9b) {
        return is_public_v4(inner);
    }
    // 2000::/3 is what is given out; 6to4 and Teredo carry an address of version 4 that may be anything.
    a & 0xe000 == 0x2000 && a != 0x2002 && !(a == 0x2001 && b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_addresses_in_any_spelling_are_not_public() {
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fc00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "ff02::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["8.8.8.8", "161.132.1.1", "2800:200::1", "::ffff:8.8.8.8"] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }
}
