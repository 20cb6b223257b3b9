//! Whether a certificate was revoked: from what the document brings (DSS, or inside the signature) and, where that does not
//! tell and there is one, from a source outside. Says by what it knows, and as of when.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use openssl::{
    hash::MessageDigest,
    ocsp::{OcspCertId, OcspCertStatus, OcspFlag, OcspResponse},
    stack::Stack,
    x509::{CrlStatus, X509, X509Crl, store::X509Store},
};

use super::scope::{self, Scope};
use crate::{
    domain::lima,
    signing::{
        certificate::Certificate,
        identity,
        trust::{Purpose, Trust},
    },
};

/// How long an answer holds that does not say until when.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Clocks differ: an answer from further ahead is not believed.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(10);

/// A piece of evidence in DER.
#[derive(Debug, Clone)]
pub enum Evidence {
    Ocsp(Vec<u8>),
    Crl(Vec<u8>),
}

/// What a source outside has to say of a certificate.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Each with the address it is from.
    pub evidence: Vec<(Evidence, String)>,
    /// Why there is none, or not all, in Spanish; for the report.
    pub failed: Option<String>,
}

/// Where evidence that the document does not bring comes from. Whoever implements it bounds and caches what it fetches. Asked
/// only of certificates that an anchor vouches for.
pub trait RevocationSource: Send + Sync {
    fn ask(&self, certificate: &X509, issuer: &X509) -> Asked;
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

/// By what something is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct By {
    kind: &'static str,
    /// The address it was fetched from; `None`: the document brings it.
    source: Option<String>,
    made: Timestamp,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = lima::texto(self.made);
        match &self.source {
            Some(source) => write!(f, "{} de {source}, del {made}", self.kind),
            None => write!(f, "{} que trae el documento, del {made}", self.kind),
        }
    }
}

/// What one piece says, and when it was made.
struct Said {
    status: Status,
    made: Timestamp,
}

/// Judges certificates of one issuer by pieces of evidence, as of a time.
pub(super) struct Judge<'a> {
    pub certificate: &'a Certificate,
    pub issuer: &'a X509,
    pub trust: &'a Trust,
    pub at: Timestamp,
    pub now: Timestamp,
}

impl Judge<'_> {
    /// Judges by each piece in turn. One that says "revoked" counts; else one that says "good" as of `at` or later.
    pub fn status<'e>(
        &self,
        evidence: impl IntoIterator<Item = (&'e Evidence, Option<&'e str>)>,
    ) -> (Status, Option<By>) {
        let mut best = (Status::Unknown, None);
        // Made of hundreds of anchors, and the same for all pieces.
        let mut store = None;
        for (piece, source) in evidence {
            let (said, kind) = match piece {
                Evidence::Ocsp(der) => (self.ocsp(der, &mut store), "respuesta OCSP"),
                Evidence::Crl(der) => (self.crl(der), "lista de revocados (CRL)"),
            };
            let Some(Said { status, made }) = said else { continue };
            let by = || Some(By { kind, source: source.map(str::to_owned), made });
            match status {
                Status::Revoked(_) => return (status, by()),
                Status::Good => best = (status, by()),
                Status::Unknown => {}
            }
        }
        best
    }

    /// Whether what was made then, and holds until then, says how things stand at the time that counts.
    fn fresh(&self, made: Timestamp, until: Option<Timestamp>) -> bool {
        let ahead = self.now.saturating_add(CLOCK_SKEW).unwrap_or(self.now);
        let end = until.unwrap_or_else(|| made.saturating_add(AGE_MAX).unwrap_or(made));
        made <= ahead && end >= self.at
    }

    fn crl(&self, der: &[u8]) -> Option<Said> {
        let list = X509Crl::from_der(der).or_else(|_| X509Crl::from_pem(der)).ok()?;
        let key = self.issuer.public_key().ok()?;
        let same = list.issuer_name().to_der().ok()? == self.issuer.subject_name().to_der().ok()?;
        if !same || !list.verify(&key).ok()? {
            return None;
        }
        let made = identity::time(list.last_update()).ok()?;
        let scope = scope::of(&list, &self.certificate.x509);
        let status = match list.get_by_cert(&self.certificate.x509) {
            _ if scope == Scope::Nothing => return None,
            CrlStatus::Revoked(entry) => Status::Revoked(identity::time(entry.revocation_date()).ok()),
            // Only of lists that say what changed, which are not read alone.
            CrlStatus::RemoveFromCrl(_) => return None,
            CrlStatus::NotRevoked if scope == Scope::Part => return None,
            // An old list says nothing of later days.
            CrlStatus::NotRevoked => {
                let until = list.next_update().and_then(|until| identity::time(until).ok());
                if !self.fresh(made, until) {
                    return None;
                }
                Status::Good
            }
        };
        Some(Said { status, made })
    }

    /// `store`: of the anchors, once it was made.
    fn ocsp(&self, der: &[u8], store: &mut Option<Option<X509Store>>) -> Option<Said> {
        let basic = OcspResponse::from_der(der).ok()?.basic().ok()?;
        let store = store.get_or_insert_with(|| self.trust.store(Purpose::Signing, self.at)).as_ref()?;
        let mut along = Stack::new().ok()?;
        along.push(self.issuer.clone()).ok()?;
        basic.verify(&along, store, OcspFlag::empty()).ok()?;
        for digest in [MessageDigest::sha1(), MessageDigest::sha256()] {
            let id = OcspCertId::from_cert(digest, &self.certificate.x509, self.issuer).ok()?;
            let Some(status) = basic.find_status(&id) else { continue };
            let made = generalized(status.this_update)?;
            if status.status == OcspCertStatus::REVOKED {
                let since = status.revocation_time.and_then(generalized);
                return Some(Said { status: Status::Revoked(since), made });
            }
            let fresh = self.fresh(made, status.next_update().and_then(generalized));
            return (status.status == OcspCertStatus::GOOD && fresh).then_some(Said { status: Status::Good, made });
        }
        None
    }
}

fn generalized(time: &openssl::asn1::Asn1GeneralizedTimeRef) -> Option<Timestamp> {
    printed_time(&time.to_string())
}

/// A time as OpenSSL prints it: `Nov 22 05:38:42 2026 GMT`.
pub fn printed_time(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix(" GMT").unwrap_or(text);
    let civil = jiff::civil::DateTime::strptime("%b %e %H:%M:%S %Y", text).ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
