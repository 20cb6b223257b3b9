//! Whether a certificate was revoked: from what the document brings (DSS, or inside the signature) and, if there is one,
//! from a source outside.

use jiff::Timestamp;
use openssl::{
    hash::MessageDigest,
    ocsp::{OcspCertId, OcspCertStatus, OcspFlag, OcspResponse},
    stack::Stack,
    x509::{CrlStatus, X509, X509Crl},
};

use crate::signing::{
    certificate::Certificate,
    identity,
    trust::{Purpose, Trust},
};

/// A piece of evidence in DER.
#[derive(Debug, Clone)]
pub enum Evidence {
    Ocsp(Vec<u8>),
    Crl(Vec<u8>),
}

/// Where evidence that the document does not bring comes from. Whoever implements it bounds and caches what it fetches.
pub trait RevocationSource: Send + Sync {
    fn evidence(&self, certificate: &X509, issuer: &X509) -> Vec<Evidence>;
}

/// What is known of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Nobody says anything that can be believed.
    Unknown,
    Good,
    /// Since then, if it is told.
    Revoked(Option<Timestamp>),
}

/// Judges by each piece in turn. One that says "revoked" counts; else one that says "good" as of `at` or later.
pub(super) fn status(
    certificate: &Certificate,
    issuer: &X509,
    evidence: &[Evidence],
    trust: &Trust,
    at: Timestamp,
) -> Status {
    let mut best = Status::Unknown;
    for piece in evidence {
        let said = match piece {
            Evidence::Ocsp(der) => ocsp(certificate, issuer, der, trust, at),
            Evidence::Crl(der) => crl(certificate, issuer, der, at),
        };
        match said {
            Some(Status::Revoked(since)) => return Status::Revoked(since),
            Some(Status::Good) => best = Status::Good,
            _ => {}
        }
    }
    best
}

fn crl(certificate: &Certificate, issuer: &X509, der: &[u8], at: Timestamp) -> Option<Status> {
    let list = X509Crl::from_der(der).or_else(|_| X509Crl::from_pem(der)).ok()?;
    let key = issuer.public_key().ok()?;
    let same = list.issuer_name().to_der().ok()? == issuer.subject_name().to_der().ok()?;
    if !same || !list.verify(&key).ok()? {
        return None;
    }
    match list.get_by_cert(&certificate.x509) {
        CrlStatus::Revoked(entry) => Some(Status::Revoked(identity::time(entry.revocation_date()).ok())),
        CrlStatus::RemoveFromCrl(_) => Some(Status::Good),
        // An old list says nothing of later days.
        CrlStatus::NotRevoked => {
            let until = list.next_update().and_then(|until| identity::time(until).ok());
            until.is_none_or(|until| until >= at).then_some(Status::Good)
        }
    }
}

fn ocsp(certificate: &Certificate, issuer: &X509, der: &[u8], trust: &Trust, at: Timestamp) -> Option<Status> {
    let basic = OcspResponse::from_der(der).ok()?.basic().ok()?;
    let store = trust.store(Purpose::Signing, at)?;
    let mut along = Stack::new().ok()?;
    along.push(issuer.clone()).ok()?;
    basic.verify(&along, &store, OcspFlag::empty()).ok()?;
    for digest in [MessageDigest::sha1(), MessageDigest::sha256()] {
        let id = OcspCertId::from_cert(digest, &certificate.x509, issuer).ok()?;
        let Some(status) = basic.find_status(&id) else { continue };
        if status.status == OcspCertStatus::REVOKED {
            let since = status.revocation_time.and_then(generalized);
            return Some(Status::Revoked(since));
        }
        let fresh = status.next_update().and_then(generalized).is_none_or(|until| until >= at);
        return (status.status == OcspCertStatus::GOOD && fresh).then_some(Status::Good);
    }
    None
}

/// OpenSSL prints it as `Nov 22 05:38:42 2026 GMT`.
fn generalized(time: &openssl::asn1::Asn1GeneralizedTimeRef) -> Option<Timestamp> {
    let text = time.to_string();
    let text = text.strip_suffix(" GMT").unwrap_or(&text);
    let civil = jiff::civil::DateTime::strptime("%b %e %H:%M:%S %Y", text).ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
