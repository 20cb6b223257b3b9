//! Authorities and certificates made on the spot, for tests of TLS.

use std::path::{Path, PathBuf};

use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{
        X509, X509Builder, X509NameBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, SubjectAlternativeName},
    },
};

/// A key with its certificate.
pub struct Pair {
    pub key: PKey<Private>,
    pub certificate: X509,
}

/// What a certificate is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
    /// A client's without the extended usage that says so.
    Unsaid,
}

impl Pair {
    /// An authority of its own.
    pub fn root(name: &str) -> Self {
        let key = key();
        let mut builder = begun(&[("CN", name)], &key);
        let subject = self::name(&[("CN", name)]);
        builder.set_issuer_name(&subject).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    /// One that this authority issues; a server's is for `localhost` and 127.0.0.1.
    pub fn issue(&self, subject: &[(&str, &str)], usage: Usage) -> Self {
        let key = key();
        let mut builder = begun(subject, &key);
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        builder.append_extension(BasicConstraints::new().build().unwrap()).unwrap();
        match usage {
            Usage::Server => {
                builder.append_extension(ExtendedKeyUsage::new().server_auth().build().unwrap()).unwrap();
                let mut names = SubjectAlternativeName::new();
                names.dns("localhost").ip("127.0.0.1");
                let names = names.build(&builder.x509v3_context(Some(&self.certificate), None)).unwrap();
                builder.append_extension(names).unwrap();
            }
            Usage::Client => builder.append_extension(ExtendedKeyUsage::new().client_auth().build().unwrap()).unwrap(),
            Usage::Unsaid => builder.append_extension(ExtendedKeyUsage::new().server_auth().build().unwrap()).unwrap(),
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> [PathBuf; 2] {
        let [certificate, key] = ["pem", "key"].map(|kind| folder.join(format!("{name}.{kind}")));
        std::fs::write(&certificate, self.pem()).unwrap();
        std::fs::write(&key, self.key_pem()).unwrap();
        [certificate, key]
    }
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn name(parts: &[(&str, &str)]) -> openssl::x509::X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    for (attribute, value) in parts {
        name.append_entry_by_text(attribute, value).unwrap();
    }
    name.build()
}

fn begun(subject: &[(&str, &str)], key: &PKey<Private>) -> X509Builder {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name(subject)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(30).unwrap()).unwrap();
    builder
}
