//! Fetching small things over HTTP for signatures: timestamps, trusted lists, answers on revocation. Bounded in time and
//! size, no redirects, no proxy; where an address comes from a certificate and not from the configuration, no private network
//! either.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url, header::CONTENT_TYPE, redirect};

pub use crate::http::reach::Reach;
use crate::{
    http::reach::{PublicOnly, is_internal},
    platform,
};

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
        if self.reach == Reach::Public && is_internal(url) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_or_address_of_this_machine_is_not_asked_when_only_public_ones_may_be() {
        let fetcher = Fetcher::new(Duration::from_secs(5), Reach::Public, false).unwrap();
        let ask = async |url: &str| fetcher.get(&url.parse().unwrap(), 10).await.unwrap_err();
        assert!(ask("http://127.0.0.1:9/x").await.contains("interna"));
        assert!(ask("http://[::1]:9/x").await.contains("interna"));
        assert!(ask("http://localhost:9/x").await.contains("no se pudo conectar"));
    }
}
