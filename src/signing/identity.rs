//! Who signs: a certificate with its chain, and the key that belongs to it. Reads PKCS#12 (also with the ciphers of older
//! tools) and PEM from bytes handed to it; opens no file.
//!
//! [`Key`] is the place for a key that lives elsewhere, as in a PKCS#11 token: an [`Identity`] is made with any of them.

use std::fmt;

use jiff::Timestamp;
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    hash::MessageDigest,
    nid::Nid,
    pkcs12::{ParsedPkcs12_2, Pkcs12},
    pkey::{Id, PKey, Private},
    provider::Provider,
    rsa::Padding,
    sign::Signer,
    x509::{X509, X509KeyUsage, X509NameRef, X509Ref},
};
use zeroize::Zeroizing;

/// Largest identity taken, in bytes: a key and a chain take a few KiB.
pub const IDENTITY_BYTES_MAX: u64 = 256 * 1024;

/// Most certificates of a chain that go into a signature.
const CHAIN_MAX: usize = 8;

/// Smallest RSA key that signs, in bits.
const RSA_BITS_MIN: u32 = 2048;

/// What a key signs with; the digest is SHA-256 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5.
    Rsa,
    /// ECDSA.
    Ec,
}

/// A private key, wherever it lives.
pub trait Key: Send + Sync {
    fn algorithm(&self) -> Algorithm;
    /// Longest signature it makes, in bytes.
    fn signature_bytes_max(&self) -> usize;
    /// Signs the SHA-256 of `data`.
    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, IdentityError>;
}

/// Why an identity cannot be used. The texts are for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("no es un PKCS#12 (.p12, .pfx) ni un PEM con certificado y clave")]
    Unreadable,
    #[error("la contraseña no abre la identidad")]
    WrongPassword,
    #[error("la identidad está cifrada: falta su contraseña")]
    PasswordMissing,
    #[error("no contiene ningún certificado")]
    NoCertificate,
    #[error("no contiene ninguna clave privada")]
    NoKey,
    #[error("la clave privada no es la de ningún certificado que contiene")]
    KeyOfAnother,
    #[error("su clave no sirve para firmar: debe ser RSA de {RSA_BITS_MIN} bits o más, o de curva elíptica")]
    UnfitKey,
    #[error("su certificado no permite firmar documentos: le falta el uso digitalSignature o nonRepudiation")]
    UnfitUsage,
    #[error("la clave no pudo firmar: {0}")]
    Failed(String),
}

/// What a certificate says of its owner (CONTRACT §8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Titular {
    pub nombre: String,
    /// `PNOPE-…` in serialNumber.
    pub dni: Option<String>,
    /// `NTRPE-…` in organizationIdentifier.
    pub ruc: Option<String>,
    pub organizacion: Option<String>,
}

/// A key with its certificate and the chain that goes along in signatures.
pub struct Identity {
    key: Box<dyn Key>,
    certificate: X509,
    chain: Vec<X509>,
    titular: Titular,
    desde: Timestamp,
    hasta: Timestamp,
}

impl Identity {
    /// Joins a key from anywhere with its certificate; of `others`, what leads from it to its root goes along.
    pub fn new(key: Box<dyn Key>, certificate: X509, others: &[X509]) -> Result<Self, IdentityError> {
        // Without the extension any usage is allowed.
        let signing = X509KeyUsage::DIGITAL_SIGNATURE | X509KeyUsage::NON_REPUDIATION;
        if certificate.key_usage().is_some_and(|usage| !usage.intersects(signing)) {
            return Err(IdentityError::UnfitUsage);
        }
        let (desde, hasta) = (time(certificate.not_before())?, time(certificate.not_after())?);
        let (chain, titular) = (chain(&certificate, others), titular(&certificate));
        Ok(Self { key, certificate, chain, titular, desde, hasta })
    }

    /// Reads PKCS#12 or PEM; the PEM may hold the key before, between or after the certificates.
    pub fn read(bytes: &[u8], password: Option<&str>) -> Result<Self, IdentityError> {
        let (key, certificates) = if bytes.windows(11).any(|w| w == b"-----BEGIN ") {
            from_pem(bytes, password)?
        } else {
            from_pkcs12(bytes, password)?
        };
        let own = certificates.iter().find(|c| c.public_key().is_ok_and(|public| key.public_eq(&public)));
        let own = own.ok_or(IdentityError::KeyOfAnother)?.clone();
        Self::new(Box::new(FileKey::new(key)?), own, &certificates)
    }

    pub fn key(&self) -> &dyn Key {
        &*self.key
    }

    pub fn certificate(&self) -> &X509Ref {
        &self.certificate
    }

    /// From the certificate's issuer upwards, as far as it was given.
    pub fn chain(&self) -> &[X509] {
        &self.chain
    }

    pub fn titular(&self) -> &Titular {
        &self.titular
    }

    /// Name of who issued the certificate.
    pub fn emisor(&self) -> String {
        entry(self.certificate.issuer_name(), Nid::COMMONNAME).unwrap_or_default()
    }

    pub fn valida_desde(&self) -> Timestamp {
        self.desde
    }

    pub fn valida_hasta(&self) -> Timestamp {
        self.hasta
    }

    /// Whether its certificate is within its validity.
    pub fn vigente(&self, at: Timestamp) -> bool {
        self.desde <= at && at <= self.hasta
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.titular.nombre)
    }
}

/// A key read from a file. OpenSSL wipes it from memory when it is dropped.
struct FileKey {
    key: PKey<Private>,
    algorithm: Algorithm,
}

impl FileKey {
    fn new(key: PKey<Private>) -> Result<Self, IdentityError> {
        let algorithm = match key.id() {
            Id::RSA if key.bits() >= RSA_BITS_MIN => Algorithm::Rsa,
            Id::EC => Algorithm::Ec,
            _ => return Err(IdentityError::UnfitKey),
        };
        Ok(Self { key, algorithm })
    }
}

impl Key for FileKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn signature_bytes_max(&self) -> usize {
        self.key.size()
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let failed = |error: openssl::error::ErrorStack| IdentityError::Failed(error.to_string());
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).map_err(failed)?;
        if self.algorithm == Algorithm::Rsa {
            signer.set_rsa_padding(Padding::PKCS1).map_err(failed)?;
        }
        signer.sign_oneshot_to_vec(data).map_err(failed)
    }
}

type KeyAndCertificates = (PKey<Private>, Vec<X509>);

fn from_pkcs12(bytes: &[u8], password: Option<&str>) -> Result<KeyAndCertificates, IdentityError> {
    let file = Pkcs12::from_der(bytes).map_err(|_| IdentityError::Unreadable)?;
    let wrong = if password.is_some() { IdentityError::WrongPassword } else { IdentityError::PasswordMissing };
    let parsed = open(&file, password.unwrap_or_default()).ok_or(wrong)?;
    let key = parsed.pkey.ok_or(IdentityError::NoKey)?;
    let mut certificates: Vec<X509> = parsed.cert.into_iter().collect();
    certificates.extend(parsed.ca.into_iter().flatten());
    if certificates.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    Ok((key, certificates))
}

/// With today's ciphers, else with those of older tools (RC2, 3DES), which stay loaded only meanwhile.
fn open(file: &Pkcs12, password: &str) -> Option<ParsedPkcs12_2> {
    file.parse2(password).ok().or_else(|| {
        let _legacy = Provider::try_load(None, "legacy", true).ok()?;
        file.parse2(password).ok()
    })
}

fn from_pem(bytes: &[u8], password: Option<&str>) -> Result<KeyAndCertificates, IdentityError> {
    let certificates = X509::stack_from_pem(bytes).unwrap_or_default();
    if certificates.is_empty() {
        return Err(IdentityError::NoCertificate);
    }
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let is_key = |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with("PRIVATE KEY-----");
    if !text.lines().any(is_key) {
        return Err(IdentityError::NoKey);
    }
    let encrypted = text.contains("ENCRYPTED");
    let key = match password {
        Some(password) => PKey::private_key_from_pem_passphrase(bytes, password.as_bytes()),
        // An empty password keeps OpenSSL from asking at the terminal.
        None => PKey::private_key_from_pem_passphrase(bytes, b""),
    };
    key.map(|key| (key, certificates)).map_err(|_| match (encrypted, password) {
        (true, None) => IdentityError::PasswordMissing,
        (true, Some(_)) => IdentityError::WrongPassword,
        (false, _) => IdentityError::NoKey,
    })
}

/// Issuer after issuer, as far as they are among `others`. Each is signed by the next: names alone could go in circles.
fn chain(leaf: &X509, others: &[X509]) -> Vec<X509> {
    let mut chain: Vec<X509> = Vec::new();
    let mut last = leaf.clone();
    while chain.len() < CHAIN_MAX {
        let issued = |c: &&X509| {
            names_equal(c.subject_name(), last.issuer_name())
                && c.public_key().is_ok_and(|key| last.verify(&key).unwrap_or(false))
        };
        let Some(issuer) = others.iter().find(issued).cloned() else { break };
        if names_equal(last.subject_name(), last.issuer_name()) {
            break;
        }
        chain.push(issuer.clone());
        last = issuer;
    }
    chain
}

fn names_equal(a: &X509NameRef, b: &X509NameRef) -> bool {
    a.try_cmp(b).is_ok_and(|order| order.is_eq())
}

/// Name, person and entity of a certificate.
pub fn titular(certificate: &X509Ref) -> Titular {
    let name = certificate.subject_name();
    let after = |nid, prefix: &str| {
        let text = entry(name, nid)?;
        text.trim().strip_prefix(prefix).map(str::to_owned)
    };
    Titular {
        nombre: entry(name, Nid::COMMONNAME).unwrap_or_default(),
        dni: after(Nid::SERIALNUMBER, "PNOPE-"),
        ruc: after(organization_identifier(), "NTRPE-"),
        organizacion: entry(name, Nid::ORGANIZATIONNAME),
    }
}

/// 2.5.4.97, for which the bindings have no constant.
fn organization_identifier() -> Nid {
    openssl::asn1::Asn1Object::from_str("2.5.4.97").map_or(Nid::UNDEF, |object| object.nid())
}

fn entry(name: &X509NameRef, nid: Nid) -> Option<String> {
    let entry = name.entries_by_nid(nid).next()?;
    entry.data().to_string().ok()
}

/// A time of ASN.1 as ours.
pub fn time(at: &Asn1TimeRef) -> Result<Timestamp, IdentityError> {
    const DAY: i64 = 24 * 3600;
    let since = Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(at));
    let since = since.map_err(|error| IdentityError::Failed(error.to_string()))?;
    let seconds = i64::from(since.days) * DAY + i64::from(since.secs);
    Timestamp::from_second(seconds).map_err(|error| IdentityError::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::samples::{self, PASSWORD};

    fn pem(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn pkcs12_of_today_and_of_older_tools_open_with_their_password_alone() {
        for bytes in [samples::AGENTE_P12, samples::AGENTE_LEGACY_P12] {
            let identity = Identity::read(bytes, Some(PASSWORD)).unwrap();
            assert_eq!(identity.titular().ruc.as_deref(), Some("20900000015"));
            assert_eq!(identity.chain().len(), 2, "intermediate and root");
            assert_eq!(Identity::read(bytes, Some("otra")).unwrap_err(), IdentityError::WrongPassword);
            assert_eq!(Identity::read(bytes, None).unwrap_err(), IdentityError::PasswordMissing);
        }
    }

    #[test]
    fn pem_opens_plain_and_encrypted_in_any_order() {
        let plain = pem(&[samples::PERSONA_EC_KEY, samples::PERSONA_EC_CERT]);
        let identity = Identity::read(&plain, None).unwrap();
        assert_eq!(identity.key().algorithm(), Algorithm::Ec);
        let titular = identity.titular();
        assert_eq!(titular.nombre, "ÑAUPARI GÜERE María Elena FIR 20900000023 soft");
        assert_eq!(titular.dni.as_deref(), Some("41234567"));
        assert_eq!(titular.organizacion.as_deref(), Some("GOBIERNO REGIONAL DE MUESTRA"));
        assert!(identity.chain().is_empty());

        let encrypted = pem(&[samples::AGENTE_CERT, samples::CHAIN, samples::AGENTE_ENCRYPTED_KEY]);
        assert_eq!(Identity::read(&encrypted, Some(PASSWORD)).unwrap().chain().len(), 2);
        assert_eq!(Identity::read(&encrypted, Some("otra")).unwrap_err(), IdentityError::WrongPassword);
        assert_eq!(Identity::read(&encrypted, None).unwrap_err(), IdentityError::PasswordMissing);
    }

    #[test]
    fn what_cannot_sign_is_refused_with_its_reason() {
        let cases: [(Vec<u8>, IdentityError); 5] = [
            (b"hola".to_vec(), IdentityError::Unreadable),
            (samples::AGENTE_CERT.to_vec(), IdentityError::NoKey),
            (samples::PERSONA_EC_KEY.to_vec(), IdentityError::NoCertificate),
            (pem(&[samples::AGENTE_CERT, samples::PERSONA_EC_KEY]), IdentityError::KeyOfAnother),
            (pem(&[samples::WRONG_USAGE_CERT, samples::WRONG_USAGE_KEY]), IdentityError::UnfitUsage),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Identity::read(&bytes, None).unwrap_err(), expected);
        }
    }

    #[test]
    fn validity_is_that_of_the_certificate() {
        let identity = samples::agente();
        assert_eq!(identity.valida_desde().to_string(), "2025-01-01T00:00:00Z");
        assert_eq!(identity.valida_hasta().to_string(), "2050-12-31T23:59:59Z");
        assert!(identity.vigente(identity.valida_hasta()));
        assert!(!identity.vigente("2051-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(identity.emisor(), "ECEP DE PRUEBA DE CHASQUI CA Class 1");
    }

    #[test]
    fn a_key_does_not_show() {
        assert_eq!(format!("{:?}", samples::agente()), "Identity(AGENTE AUTOMATIZADO 20900000015 soft)");
    }
}
