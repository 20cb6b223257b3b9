//! Certificates: whom they name, what they may be used for, and until when.

use jiff::Timestamp;
use openssl::x509::X509;

use super::tlv::{self, Element, Malformed, OCTETS, OID, Reader, SEQUENCE, dotted};
use crate::domain::firmas::{Certificado, Firmante};

/// Longest name kept, in characters.
const NAME_CHARS_MAX: usize = 200;

/// A certificate as its own bytes, with what the examination asks of it.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub der: Vec<u8>,
    pub x509: X509,
    /// As encoded, without heading.
    pub serial: Vec<u8>,
    /// The whole encoded name.
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// First byte of the key usage bits, the first bit highest; `None` without the extension.
    pub key_usage: Option<u8>,
    /// Dotted identifiers, and whether the extension is critical.
    pub extended_usage: Option<(Vec<String>, bool)>,
    pub key_id: Option<Vec<u8>>,
}

const DIGITAL_SIGNATURE: u8 = 0x80;
const NON_REPUDIATION: u8 = 0x40;
const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";

impl Certificate {
    pub fn from_der(der: &[u8]) -> Result<Self, Malformed> {
        let x509 = X509::from_der(der).map_err(|_| Malformed)?;
        let certificate = tlv::only(der)?.is(SEQUENCE)?;
        let mut tbs = certificate.inside().expect(SEQUENCE)?.inside();
        tbs.optional(0xa0)?;
        let serial = tbs.expect(tlv::INTEGER)?.value.to_vec();
        tbs.expect(SEQUENCE)?;
        let issuer = tbs.expect(SEQUENCE)?.whole.to_vec();
        let mut validity = tbs.expect(SEQUENCE)?.inside();
        let (not_before, not_after) = (tlv::time(&validity.element()?)?, tlv::time(&validity.element()?)?);
        let subject = tbs.expect(SEQUENCE)?.whole.to_vec();
        let mut this = Self {
            der: der.to_vec(),
            x509,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            key_usage: None,
            extended_usage: None,
            key_id: None,
        };
        tbs.expect(SEQUENCE)?;
        while !tbs.is_empty() {
            let element = tbs.element()?;
            if element.tag == 0xa3 {
                this.extensions(&element)?;
            }
        }
        Ok(this)
    }

    fn extensions(&mut self, list: &Element<'_>) -> Result<(), Malformed> {
        for extension in tlv::only(list.value)?.is(SEQUENCE)?.inside() {
            let mut fields = extension?.is(SEQUENCE)?.inside();
            let id = dotted(fields.expect(OID)?.value);
            let critical = fields.optional(0x01)?.is_some_and(|flag| flag.value == [0xff]);
            let value = fields.expect(OCTETS)?.value;
            match &*id {
                "2.5.29.15" => {
                    let bits = tlv::only(value)?.is(0x03)?.value;
                    self.key_usage = Some(bits.get(1).copied().unwrap_or(0));
                }
                "2.5.29.37" => {
                    let mut uses = Vec::new();
                    for usage in tlv::only(value)?.is(SEQUENCE)?.inside() {
                        uses.push(dotted(usage?.is(OID)?.value));
                    }
                    self.extended_usage = Some((uses, critical));
                }
                "2.5.29.14" => self.key_id = Some(tlv::only(value)?.is(OCTETS)?.value.to_vec()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it may sign documents.
    pub fn may_sign(&self) -> bool {
        self.key_usage.is_none_or(|bits| bits & (DIGITAL_SIGNATURE | NON_REPUDIATION) != 0)
    }

    /// Whether it may give timestamps, and nothing else (RFC 3161 §2.3).
    pub fn may_stamp_time(&self) -> bool {
        self.may_sign()
            && self.extended_usage.as_ref().is_some_and(|(uses, critical)| *critical && uses == &[TIME_STAMPING])
    }

    pub fn valid_at(&self, time: Timestamp) -> bool {
        self.not_before <= time && time <= self.not_after
    }

    /// Whether this one's key made that one's signature.
    pub fn issued(&self, other: &Self) -> bool {
        other.issuer == self.subject && self.x509.public_key().is_ok_and(|key| other.x509.verify(&key).unwrap_or(false))
    }

    /// The person and the entity it names (CONTRACT §8).
    pub fn person(&self) -> Firmante {
        let names = attributes(&self.subject);
        let find = |id: &str| names.iter().find(|(name, _)| name == id).map(|(_, value)| value.as_str());
        let after = |id: &str, prefix: &str| {
            find(id).and_then(|value| value.strip_prefix(prefix)).filter(|v| !v.is_empty()).map(str::to_owned)
        };
        let full = || {
            let (given, family) = (find("2.5.4.42"), find("2.5.4.4"));
            given.zip(family).map(|(given, family)| format!("{family} {given}"))
        };
        Firmante {
            nombre: full().or_else(|| find("2.5.4.3").map(str::to_owned)).unwrap_or_default(),
            nombre_comun: find("2.5.4.3").unwrap_or_default().to_owned(),
            dni: after("2.5.4.5", "PNOPE-").filter(|dni| dni.bytes().all(|b| b.is_ascii_digit())),
            ruc: after("2.5.4.97", "NTRPE-").filter(|ruc| ruc.bytes().all(|b| b.is_ascii_digit())),
            entidad: find("2.5.4.10").map(str::to_owned),
            certificado: self.summary(),
        }
    }

    /// How it is told apart from others.
    pub fn summary(&self) -> Certificado {
        Certificado {
            serie: hex(&self.serial),
            emisor: common_name(&self.issuer),
            desde: self.not_before,
            hasta: self.not_after,
            sha256: hex(&openssl::sha::sha256(&self.der)),
        }
    }

    pub fn name(&self) -> String {
        common_name(&self.subject)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The common name of an encoded name, or its organization.
pub(super) fn common_name(name: &[u8]) -> String {
    let names = attributes(name);
    let find = |id: &str| names.iter().find(|(name, _)| name == id).map(|(_, value)| value.clone());
    find("2.5.4.3").or_else(|| find("2.5.4.11")).or_else(|| find("2.5.4.10")).unwrap_or_default()
}

/// The attributes of an encoded name: identifier and text, without control characters.
fn attributes(name: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Ok(sequence) = tlv::only(name) else { return found };
    for set in sequence.inside().flatten() {
        for pair in set.inside().flatten() {
            let mut pair = Reader::new(pair.value);
            if let (Ok(id), Ok(value)) = (pair.expect(OID), pair.element()) {
                let text = tlv::text(&value);
                let clean = text.trim().chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
                found.push((dotted(id.value), clean));
            }
        }
    }
    found
}
