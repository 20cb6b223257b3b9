//! Callers that show a certificate: which are let in, and which of them hold an API key by it.

use std::sync::Arc;

use openssl::{
    nid::Nid,
    x509::{X509, X509NameRef},
};
use ring::digest;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::{TlsError, files::Material, provider};
use crate::{
    config::{
        ListenerTls,
        tls::{NamePattern, TlsIdentity},
    },
    domain::{Id, Sha256},
};

/// Who showed a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
    /// The API key whose holder the certificate's owner is.
    pub api_key: Option<Id>,
}

/// The certificates that open the API as a key does.
pub struct Known(Vec<(Option<NamePattern>, Option<String>, Id)>);

impl Known {
    pub fn new(identities: &[TlsIdentity]) -> Self {
        let known = |identity: &TlsIdentity| {
            let id = identity.api_key.parse().ok()?;
            Some((identity.subject.as_deref().and_then(NamePattern::parse), identity.digits(), id))
        };
        Self(identities.iter().filter_map(known).collect())
    }

    pub fn identify(&self, der: &CertificateDer<'_>) -> Caller {
        let digest = digest::digest(&digest::SHA256, der);
        let fingerprint = Sha256::from_digest(digest.as_ref()).as_str().to_owned();
        let certificate = X509::from_der(der).ok();
        let fits = |(subject, digits, _): &&(Option<NamePattern>, Option<String>, Id)| {
            let subject = subject
                .as_ref()
                .map(|wanted| certificate.as_ref().is_some_and(|shown| has(shown.subject_name(), wanted)));
            let digits = digits.as_ref().map(|wanted| *wanted == fingerprint);
            // What is asked for must fit, and something must be.
            (subject.is_some() || digits.is_some()) && subject.unwrap_or(true) && digits.unwrap_or(true)
        };
        let api_key = self.0.iter().find(fits).map(|(_, _, id)| *id);
        Caller { fingerprint, api_key }
    }
}

/// Whether a name has all attributes of a pattern. Values are compared whole, without regard to case.
fn has(name: &X509NameRef, wanted: &NamePattern) -> bool {
    wanted.0.iter().all(|(attribute, value)| {
        name.entries().any(|entry| {
            let object = entry.object();
            let nid = object.nid();
            let named = nid.short_name().is_ok_and(|short| nid != Nid::UNDEF && short.eq_ignore_ascii_case(attribute))
                || object.to_string().eq_ignore_ascii_case(attribute);
            let said = entry.data().to_string();
            named && said.is_ok_and(|said| said.trim().to_lowercase() == value.to_lowercase())
        })
    })
}

/// Judges the certificates that callers show.
pub fn verifier(
    options: &ListenerTls,
    required: bool,
    material: &Material,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for (path, found) in &material.authorities {
        for der in found {
            roots.add(der.clone()).map_err(|error| TlsError::File {
                path: path.clone(),
                why: format!("tiene un certificado que no puede ser de una autoridad ({error})"),
            })?;
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let inner = builder.build().map_err(|error| TlsError::Setup(error.to_string()))?;
    let patterns = |texts: &[String]| texts.iter().filter_map(|text| NamePattern::parse(text)).collect();
    let (subjects, issuers) = (patterns(&options.client_subjects), patterns(&options.client_issuers));
    Ok(Arc::new(Named { inner, subjects, issuers }))
}

/// A certificate of a believed authority whose names fit.
#[derive(Debug)]
struct Named {
    inner: Arc<dyn ClientCertVerifier>,
    subjects: Vec<NamePattern>,
    issuers: Vec<NamePattern>,
}

#[derive(Debug, thiserror::Error)]
#[error("its {0} is none of those that are let in")]
struct Stranger(&'static str);

impl Named {
    fn judge(&self, der: &CertificateDer<'_>) -> Result<(), Error> {
        let certificate = X509::from_der(der).map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let fits = |name: &X509NameRef, wanted: &[NamePattern]| {
            wanted.is_empty() || wanted.iter().any(|pattern| has(name, pattern))
        };
        let stranger = |what| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Stranger(what)))));
        if !fits(certificate.subject_name(), &self.subjects) {
            return Err(stranger("subject"));
        }
        if !fits(certificate.issuer_name(), &self.issuers) {
            return Err(stranger("issuer"));
        }
        Ok(())
    }
}

impl ClientCertVerifier for Named {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
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
