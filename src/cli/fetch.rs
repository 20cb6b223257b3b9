//! Fetching small things over HTTP for signatures: timestamps, trusted lists, answers on revocation. Bounded in time and
//! size, no redirects, no proxy; where an address comes from a certificate and not from the configuration, no private network
//! either.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::{
    Client, RequestBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
    redirect,
};

use crate::platform;

/// Where connections may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Wherever the operator says.
    Anywhere,
    /// Public addresses alone: who wrote the address must not reach what stands beside us.
    Public,
}

pub struct Fetcher {
    http: Client,
    reach: Reach,
}

impl Fetcher {
    /// `tls`: whether addresses with https will be asked for.
    pub fn new(timeout: Duration, reach: Reach, tls: bool) -> Result<Self, String> {
        platform::client::install_tls_provider();
        let mut builder = Client::builder().timeout(timeout).redirect(redirect::Policy::none()).no_proxy();
        if !tls {
            builder = builder.tls_certs_only([]);
        }
        if reach == Reach::Public {
            builder = builder.dns_resolver(PublicOnly);
        }
        Ok(Self { http: builder.build().map_err(|error| error.to_string())?, reach })
    }

    pub async fn get(&self, url: &Url, bytes_max: usize) -> Result<Vec<u8>, String> {
        self.fetch(self.http.get(url.clone()), url, bytes_max).await
    }

    pub async fn post(
        &self,
        url: &Url,
        kind: &'static str,
        body: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, String> {
        self.fetch(self.http.post(url.clone()).header(CONTENT_TYPE, kind).body(body), url, bytes_max).await
    }

    async fn fetch(&self, request: RequestBuilder, url: &Url, bytes_max: usize) -> Result<Vec<u8>, String> {
        let host = url.host_str().unwrap_or_default().to_owned();
        // A literal address asks no resolver.
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if self.reach == Reach::Public && literal.is_ok_and(|address| !is_public(address)) {
            return Err(format!("{host} es una dirección interna, y no se consulta"));
        }
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => format!("{host} no respondió a tiempo"),
            false if error.is_connect() => format!("no se pudo conectar con {host}"),
            false => format!("la respuesta de {host} se cortó"),
        };
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("{host} respondió HTTP {}", response.status().as_u16()));
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            answer.extend_from_slice(&piece);
            if answer.len() > bytes_max {
                return Err(format!("{host} respondió más de {bytes_max} bytes"));
            }
        }
        Ok(answer)
    }
}

/// Resolves names to public addresses alone.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(io::Error::other("no public address").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
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

    #[tokio::test]
    async fn a_name_or_address_of_this_machine_is_not_asked_when_only_public_ones_may_be() {
        let fetcher = Fetcher::new(Duration::from_secs(5), Reach::Public, false).unwrap();
        let ask = async |url: &str| fetcher.get(&url.parse().unwrap(), 10).await.unwrap_err();
        assert!(ask("http://127.0.0.1:9/x").await.contains("interna"));
        assert!(ask("http://[::1]:9/x").await.contains("interna"));
        assert!(ask("http://localhost:9/x").await.contains("no se pudo conectar"));
    }
}
