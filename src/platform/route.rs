//! How the platform is reached beside its addresses: through a proxy, and with which certificates. Files are read when a client
//! is made.

use std::{path::Path, sync::Arc};

use base64_simd::STANDARD;
use reqwest::{Certificate, ClientBuilder, Identity, Proxy};
use ring::digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;

use super::ClientError;
use crate::{
    config::{self, PideTls, Secret},
    http::tls::{TlsError, files, provider},
};

/// As the configuration has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Route {
    /// Address, and with whom it is asked.
    pub proxy: Option<String>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub tls: PideTls,
}

impl Route {
    pub fn from_config(pide: &config::Pide) -> Self {
        Self {
            proxy: pide.proxy.clone(),
            user: pide.proxy_user.clone(),
            password: pide.proxy_password.clone(),
            tls: pide.tls.clone(),
        }
    }

    /// `https`: whether certificates have to be verified at all; without, the system's roots are not needed.
    pub(super) fn lay(&self, mut builder: ClientBuilder, https: bool) -> Result<ClientBuilder, ClientError> {
        if let Some(address) = &self.proxy {
            let mut proxy = Proxy::all(address).map_err(ClientError::Build)?;
            if let Some(user) = &self.user {
                proxy = proxy.basic_auth(user, self.password.as_ref().map(Secret::reveal).unwrap_or_default());
            }
            builder = builder.proxy(proxy);
        }
        if !https {
            return Ok(builder.tls_certs_only([]));
        }
        if !self.tls.pins.is_empty() {
            return Ok(builder.tls_backend_preconfigured(self.pinned()?));
        }
        let authorities = self.authorities()?;
        let read = authorities.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
        builder = builder.tls_certs_merge(read.map_err(ClientError::Build)?);
        if let (Some(certificate), Some(key)) = (&self.tls.certificate, &self.tls.key) {
            builder = builder.identity(identity(certificate, key)?);
        }
        Ok(builder)
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let mut all = Vec::new();
        for path in &self.tls.ca {
            all.extend(files::certificates(path)?);
        }
        Ok(all)
    }

    /// Beside the usual judgement, the server's key must be one that the operator knows.
    fn pinned(&self) -> Result<ClientConfig, ClientError> {
        let failed = |error: Error| ClientError::Tls(TlsError::Setup(error.to_string()));
        let inner = Verifier::new_with_extra_roots(self.authorities()?, provider()).map_err(failed)?;
        let verifier = Arc::new(Pinned { inner, pins: self.tls.pins.iter().filter_map(|pin| pin_of(pin)).collect() });
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(failed)?.dangerous().with_custom_certificate_verifier(verifier);
        match (&self.tls.certificate, &self.tls.key) {
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(files::certificates(certificate)?, files::private_key(key)?)
                .map_err(failed),
            _ => Ok(builder.with_no_client_auth()),
        }
    }
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, ClientError> {
    // Read by our own reader first: it says in words what is wrong.
    files::certificates(certificate)?;
    files::private_key(key)?;
    let pem = [files::read(key)?.as_slice(), b"\n", files::read(certificate)?.as_slice()].concat();
    Identity::from_pem(&zeroize::Zeroizing::new(pem)).map_err(ClientError::Build)
}

/// The SHA-256 of a public key, as `sha256/BASE64` has it.
fn pin_of(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode_to_vec(text.trim().strip_prefix(config::PIN_PREFIX)?).ok()?.try_into().ok()
}

#[derive(Debug)]
struct Pinned {
    inner: Verifier,
    pins: Vec<[u8; 32]>,
}

#[derive(Debug, thiserror::Error)]
#[error("su clave no es ninguna de las de pide.tls.pins; la que muestra es sha256/{0}")]
struct OtherKey(String);

impl Pinned {
    /// Of what the server shows only its own key counts: anybody may show further certificates of others.
    fn judge(&self, der: &CertificateDer<'_>) -> Result<(), Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let certificate = openssl::x509::X509::from_der(der).map_err(|_| bad())?;
        let key = certificate.public_key().and_then(|key| key.public_key_to_der()).map_err(|_| bad())?;
        let shown = digest::digest(&digest::SHA256, &key);
        if self.pins.iter().any(|pin| pin == shown.as_ref()) {
            return Ok(());
        }
        let other = OtherKey(STANDARD.encode_to_string(shown));
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(other)))))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        self.judge(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
