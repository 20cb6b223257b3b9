//! One attempt at telling a webhook, over HTTP: no redirect is followed, no proxy used, internal addresses are not called
//! unless the operator allows it, and the answer is bounded in time and size. Says in Spanish what went wrong.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderName, header};
use reqwest::{Body, Client, Response, Url, redirect};

use super::signature::Signed;
use crate::{
    http::reach::{NotPublic, PublicOnly, Reach, is_internal},
    platform,
    sgd::base64::encoded,
    store::{BlobReader, StoreError},
};

/// Largest answer read, in bytes. What is longer counts as delivered and says nothing.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
const AGENT: &str = concat!("chasqui/", env!("CARGO_PKG_VERSION"));

/// The way to a webhook; a test puts its own in its place.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Gives the answer of one that took it.
    async fn post(&self, letter: Letter) -> Result<Accepted, Refused>;
}

/// A request as it is sent, but for its address.
pub struct Letter {
    pub content_type: &'static str,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
    /// What follows the body: a document in base64, for the value of a form, and how long that is in bytes.
    pub document: Option<(BlobReader, u64)>,
}

impl From<Signed> for Letter {
    fn from(signed: Signed) -> Self {
        let Signed { id, timestamp, signature, body } = signed;
        let headers = vec![
            (HeaderName::from_static("webhook-id"), id),
            (HeaderName::from_static("webhook-timestamp"), timestamp.to_string()),
            (HeaderName::from_static("webhook-signature"), signature),
        ];
        Self { content_type: "application/json", headers, body, document: None }
    }
}

/// Base64 as the value of a form: what it has beside letters and digits means something else there.
pub fn escaped(base64: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(base64.len() + base64.len() / 16);
    for byte in base64 {
        match byte {
            b'+' => text.extend_from_slice(b"%2B"),
            b'/' => text.extend_from_slice(b"%2F"),
            b'=' => text.extend_from_slice(b"%3D"),
            other => text.push(*other),
        }
    }
    text
}

/// The document follows as it is read.
fn followed(head: Bytes, document: BlobReader) -> Body {
    let text = encoded(document).map(|piece| piece.map(|text| Bytes::from(escaped(&text))));
    Body::wrap_stream(stream::iter([Ok::<_, StoreError>(head)]).chain(text))
}

/// The receiver answered 2xx.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    pub status: u16,
    /// Empty where it was too long.
    pub answer: Vec<u8>,
    pub took: Duration,
}

/// It did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    pub motivo: String,
    pub status: Option<u16>,
    pub retry_after: Option<Duration>,
}

impl From<String> for Refused {
    fn from(motivo: String) -> Self {
        Self { motivo, ..Self::default() }
    }
}

pub struct HttpTransport {
    http: Client,
    url: Url,
    host: String,
    reach: Reach,
    timeout: Duration,
}

impl HttpTransport {
    pub fn new(url: &str, reach: Reach, timeout: Duration) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|_| format!("«{url}» no es una dirección"))?;
        platform::client::install_tls_provider();
        let mut builder = Client::builder()
            .timeout(timeout)
            .connect_timeout(CONNECT.min(timeout))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .user_agent(AGENT);
        if url.scheme() != "https" {
            builder = builder.tls_certs_only([]);
        }
        if reach == Reach::Public {
            builder = builder.dns_resolver(PublicOnly);
        }
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self { http: builder.build().map_err(|error| error.to_string())?, url, host, reach, timeout })
    }

    fn failure(&self, error: &reqwest::Error) -> Refused {
        let host = &self.host;
        let motivo = if NotPublic::caused(error) {
            format!("{host} lleva a una dirección interna: no se llama (allow_private lo permitiría)")
        } else if error.is_timeout() {
            format!("{host} no respondió en {} s", self.timeout.as_secs_f64())
        } else if error.is_connect() {
            format!("no se pudo conectar con {host}")
        } else {
            format!("la respuesta de {host} se cortó")
        };
        motivo.into()
    }

    fn refused(&self, response: &Response) -> Refused {
        let (host, status) = (&self.host, response.status());
        let motivo = if status.is_redirection() {
            format!("{host} respondió con una redirección (HTTP {}), que no se sigue: corrija url", status.as_u16())
        } else {
            format!("{host} respondió HTTP {}", status.as_u16())
        };
        let retry_after = platform::client::retry_after(response.headers());
        Refused { motivo, status: Some(status.as_u16()), retry_after }
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn post(&self, letter: Letter) -> Result<Accepted, Refused> {
        if self.reach == Reach::Public && is_internal(&self.url) {
            let why = format!("{} es una dirección interna: no se llama (allow_private lo permitiría)", self.host);
            return Err(why.into());
        }
        let began = Instant::now();
        let mut request = self.http.post(self.url.clone()).header(header::CONTENT_TYPE, letter.content_type);
        for (name, value) in letter.headers {
            request = request.header(name, value);
        }
        let request = match letter.document {
            // Receivers in PHP do not all take a body in chunks.
            Some((document, length)) => {
                let length = length.saturating_add(letter.body.len() as u64);
                request.header(header::CONTENT_LENGTH, length).body(followed(letter.body, document))
            }
            None => request.body(letter.body),
        };
        let mut response = request.send().await.map_err(|error| self.failure(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refused(&response));
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.failure(&error))? {
            if answer.len() + piece.len() > ANSWER_BYTES_MAX {
                answer.clear();
                break;
            }
            answer.extend_from_slice(&piece);
        }
        Ok(Accepted { status: status.as_u16(), answer, took: began.elapsed() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn internal_addresses_are_not_called_by_number_or_by_name() {
        let signed =
            || Signed { id: "evt_1".into(), timestamp: 1, signature: "v1,x".into(), body: b"{}".to_vec().into() };
        for url in ["http://127.0.0.1:9/x", "http://169.254.169.254/latest", "http://[::1]:9/", "http://localhost:9/"] {
            let transport = HttpTransport::new(url, Reach::Public, Duration::from_secs(5)).unwrap();
            let refused = transport.post(signed().into()).await.unwrap_err();
            assert!(refused.motivo.contains("dirección interna"), "{url}: {}", refused.motivo);
        }
    }
}
