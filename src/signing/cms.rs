//! CMS signatures (RFC 5652), checked over the very bytes of the file: the digest comes from outside, since documents
//! stream. Also the timestamp tokens (RFC 3161) that have the same form.

use jiff::Timestamp;
use openssl::{
    cms::CmsContentInfo,
    hash::{MessageDigest, hash},
    md::{Md, MdRef},
    pkey::Id,
    pkey_ctx::PkeyCtx,
    rsa::Padding,
    sign::RsaPssSaltlen,
};

use super::{
    certificate::Certificate,
    tlv::{self, Element, INTEGER, Malformed, NULL, OCTETS, OID, Reader, SEQUENCE, SET, dotted},
};

/// Certificates in one signature.
const CERTIFICATES_MAX: usize = 32;
/// Attributes of one signer.
const ATTRIBUTES_MAX: usize = 64;

const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const DATA: &str = "1.2.840.113549.1.7.1";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
pub const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
pub const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
pub const SIGNING_CERTIFICATE: &str = "1.2.840.113549.1.9.16.2.12";
pub const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";
pub const REVOCATION: &str = "1.2.840.113583.1.1.8";
pub const TIMESTAMP_TOKEN: &str = "1.2.840.113549.1.9.16.2.14";
/// Other unsigned attributes that the CAdES standards define (ETSI EN 319 122 and its ancestors).
const CADES: [&str; 2] = ["1.2.840.113549.1.9.16.2.", "0.4.0.1733.2."];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    fn from_oid(oid: &str) -> Option<Self> {
        Some(match oid {
            "1.3.14.3.2.26" => Self::Sha1,
            "2.16.840.1.101.3.4.2.4" => Self::Sha224,
            "2.16.840.1.101.3.4.2.1" => Self::Sha256,
            "2.16.840.1.101.3.4.2.2" => Self::Sha384,
            "2.16.840.1.101.3.4.2.3" => Self::Sha512,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    pub fn is_weak(self) -> bool {
        self == Self::Sha1
    }

    pub fn message_digest(self) -> MessageDigest {
        match self {
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha224 => MessageDigest::sha224(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }

    fn md(self) -> &'static MdRef {
        match self {
            Self::Sha1 => Md::sha1(),
            Self::Sha224 => Md::sha224(),
            Self::Sha256 => Md::sha256(),
            Self::Sha384 => Md::sha384(),
            Self::Sha512 => Md::sha512(),
        }
    }

    pub fn of(self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(hash(self.message_digest(), bytes).map_err(|_| Fault::Unsupported)?.to_vec())
    }
}

/// Why a signature does not hold, or cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("su estructura está dañada")]
    Structure,
    #[error("usa un algoritmo que no se reconoce aquí")]
    Unsupported,
    #[error("no trae el certificado de quien firma")]
    NoCertificate,
    #[error("su contenido no es lo que se firmó: el resumen (hash) no coincide")]
    Digest,
    #[error("la firma criptográfica no corresponde a la clave del certificado")]
    Signature,
    #[error("el certificado que trae no es el que dice haber firmado")]
    WrongCertificate,
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Structure
    }
}

/// A signature with one signer, as both PDF and timestamps want it.
#[derive(Debug, Clone)]
pub struct SignedData {
    /// What it carries inside, with its type; a detached signature carries nothing.
    pub content: Option<Vec<u8>>,
    pub is_timestamp: bool,
    pub certificates: Vec<Certificate>,
    pub digest: Digest,
    pub signature: Vec<u8>,
    /// Index of the signer's certificate.
    signer: usize,
    scheme: Scheme,
    /// The attributes as signed: a SET.
    attributes_der: Option<Vec<u8>>,
    attributes: Vec<(String, Vec<u8>)>,
    pub unsigned: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Pkcs1(Digest),
    Pss { digest: Digest, mask: Digest, salt: u32 },
    Ecdsa(Digest),
}

/// The same structure in DER, if it was written in the looser BER as some signers do; trailing bytes are the caller's.
pub fn normalized(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let parsed = CmsContentInfo::from_der(bytes).map_err(|_| Fault::Structure)?;
    parsed.to_der().map_err(|_| Fault::Structure)
}

impl SignedData {
    pub fn parse(der: &[u8]) -> Result<Self, Fault> {
        let mut info = tlv::only(der)?.is(SEQUENCE)?.inside();
        if dotted(info.expect(OID)?.value) != SIGNED_DATA {
            return Err(Fault::Structure);
        }
        let outer = info.expect(0xa0)?;
        info.finish()?;
        let mut fields = tlv::only(outer.value)?.is(SEQUENCE)?.inside();
        let version = fields.expect(INTEGER)?;
        let digests = fields.expect(SET)?;
        let (content_type, content) = encapsulated(&fields.expect(SEQUENCE)?)?;
        let certificates = match fields.optional(0xa0)? {
            Some(list) => certificates(&list)?,
            None => Vec::new(),
        };
        fields.optional(0xa1)?;
        let signers = fields.expect(SET)?;
        fields.finish()?;
        // Several signers in one PDF signature are not allowed (ISO 32000-2 §12.8.3.3).
        let signer = tlv::only(signers.value)?.is(SEQUENCE)?;
        let this = Self::signer(&signer, certificates, content)?;
        let sound = matches!(version.value, [1 | 3..=5]) && announces(&digests, this.digest)?;
        match (sound, &*content_type) {
            (true, DATA) => Ok(this),
            (true, TST_INFO) => Ok(Self { is_timestamp: true, ..this }),
            _ => Err(Fault::Structure),
        }
    }

    fn signer(signer: &Element<'_>, certificates: Vec<Certificate>, content: Option<Vec<u8>>) -> Result<Self, Fault> {
        let mut fields = signer.inside();
        let version = fields.expect(INTEGER)?.value;
        let named = fields.element()?;
        let index = match (named.tag, version) {
            (SEQUENCE, [1]) => {
                let mut named = named.inside();
                let (issuer, serial) = (named.expect(SEQUENCE)?.whole, named.expect(INTEGER)?.value);
                named.finish()?;
                certificates.iter().position(|c| c.issuer == issuer && c.serial == serial)
            }
            (0x80, [3]) => certificates.iter().position(|c| c.key_id.as_deref() == Some(named.value)),
            _ => return Err(Fault::Structure),
        };
        let digest = digest_of(&fields.expect(SEQUENCE)?)?;
        let signed = fields.optional(0xa0)?;
        let scheme = scheme(&fields.expect(SEQUENCE)?, digest)?;
        let signature = fields.expect(OCTETS)?.value.to_vec();
        let unsigned = fields.optional(0xa1)?;
        fields.finish()?;
        let listed = |list: Option<Element<'_>>| list.map_or(Ok(Vec::new()), |list| attributes(&list));
        Ok(Self {
            content,
            is_timestamp: false,
            signer: index.ok_or(Fault::NoCertificate)?,
            certificates,
            digest,
            signature,
            scheme,
            // Signed as a SET, though written under a tag of its own (RFC 5652 §5.4).
            attributes_der: signed.map(|list| [&[SET], list.whole.get(1..).unwrap_or_default()].concat()),
            attributes: listed(signed)?,
            unsigned: listed(unsigned)?,
        })
    }

    pub fn certificate(&self) -> Result<&Certificate, Fault> {
        self.certificates.get(self.signer).ok_or(Fault::NoCertificate)
    }

    /// The one value of a signed attribute; an attribute that stands twice has none.
    pub fn attribute(&self, id: &str) -> Option<&[u8]> {
        let mut found = self.attributes.iter().filter(|(name, _)| name == id);
        let value = found.next()?;
        found.next().is_none().then_some(&*value.1)
    }

    /// Unsigned attributes that no standard for signatures knows.
    pub fn has_strange_attributes(&self) -> bool {
        self.unsigned.iter().any(|(id, _)| !CADES.iter().any(|known| id.starts_with(known)))
    }

    pub fn timestamp_token(&self) -> Option<&[u8]> {
        self.unsigned.iter().find(|(id, _)| id == TIMESTAMP_TOKEN).map(|(_, value)| &**value)
    }

    pub fn signing_time(&self) -> Option<Timestamp> {
        tlv::time(&tlv::only(self.attribute(SIGNING_TIME)?).ok()?).ok()
    }

    /// How it was signed, in words.
    pub fn algorithm(&self) -> String {
        let (kind, digest) = match self.scheme {
            Scheme::Pkcs1(digest) => ("RSA", digest),
            Scheme::Pss { digest, .. } => ("RSA-PSS", digest),
            Scheme::Ecdsa(digest) => ("ECDSA", digest),
        };
        let bits = self.certificate().ok().and_then(|c| c.x509.public_key().ok()).map_or(0, |key| key.bits());
        format!("{kind} de {bits} bits con {}", digest.name())
    }

    /// SHA-1 in any of its parts, or an RSA key under 2048 bits.
    pub fn is_weak(&self) -> bool {
        let (Scheme::Pkcs1(digest) | Scheme::Pss { digest, .. } | Scheme::Ecdsa(digest)) = self.scheme;
        let key = self.certificate().ok().and_then(|c| c.x509.public_key().ok());
        let short = key.is_some_and(|key| key.id() == Id::RSA && key.bits() < 2048);
        self.digest.is_weak() || digest.is_weak() || short
    }

    /// Checks the signature over a content whose digest is `content`.
    pub fn check(&self, content: &[u8]) -> Result<(), Fault> {
        let Some(signed) = &self.attributes_der else {
            return self.check_value(content);
        };
        let stated = self.attribute(MESSAGE_DIGEST).ok_or(Fault::Structure)?;
        if tlv::only(stated)?.is(OCTETS)?.value != content {
            return Err(Fault::Digest);
        }
        let expected = if self.is_timestamp { TST_INFO } else { DATA };
        let kind = self.attribute(CONTENT_TYPE).ok_or(Fault::Structure)?;
        if dotted(tlv::only(kind)?.is(OID)?.value) != expected {
            return Err(Fault::Structure);
        }
        let (Scheme::Pkcs1(digest) | Scheme::Pss { digest, .. } | Scheme::Ecdsa(digest)) = self.scheme;
        self.check_value(&digest.of(signed)?)
    }

    fn check_value(&self, digest_value: &[u8]) -> Result<(), Fault> {
        let key = self.certificate()?.x509.public_key().map_err(|_| Fault::Unsupported)?;
        let mut context = PkeyCtx::new(&key).map_err(|_| Fault::Unsupported)?;
        context.verify_init().map_err(|_| Fault::Unsupported)?;
        let (kind, ready) = match self.scheme {
            Scheme::Pkcs1(digest) => {
                (Id::RSA, context.set_rsa_padding(Padding::PKCS1).and_then(|()| context.set_signature_md(digest.md())))
            }
            Scheme::Pss { digest, mask, salt } => (
                Id::RSA,
                context
                    .set_rsa_padding(Padding::PKCS1_PSS)
                    .and_then(|()| context.set_signature_md(digest.md()))
                    .and_then(|()| context.set_rsa_mgf1_md(mask.md()))
                    .and_then(|()| {
                        context.set_rsa_pss_saltlen(RsaPssSaltlen::custom(i32::try_from(salt).unwrap_or(i32::MAX)))
                    }),
            ),
            Scheme::Ecdsa(digest) => (Id::EC, context.set_signature_md(digest.md())),
        };
        let same = key.id() == kind || (kind == Id::RSA && key.id() == Id::RSA_PSS);
        if !same || ready.is_err() {
            return Err(Fault::Unsupported);
        }
        match context.verify(digest_value, &self.signature) {
            Ok(true) => Ok(()),
            _ => Err(Fault::Signature),
        }
    }

    /// Whether the signed attributes bind the signer's certificate (RFC 5035): `None` if they do not speak of it.
    pub fn binds_certificate(&self) -> Result<Option<()>, Fault> {
        let certificate = self.certificate()?;
        let (value, v2) = match (self.attribute(SIGNING_CERTIFICATE_V2), self.attribute(SIGNING_CERTIFICATE)) {
            (Some(value), _) => (value, true),
            (None, Some(value)) => (value, false),
            (None, None) => return Ok(None),
        };
        let mut ids = tlv::only(value)?.is(SEQUENCE)?.inside().expect(SEQUENCE)?.inside();
        let mut first = ids.expect(SEQUENCE)?.inside();
        let mut digest = if v2 { Digest::Sha256 } else { Digest::Sha1 };
        if v2 && let Some(stated) = first.optional(SEQUENCE)? {
            digest = digest_of(&stated)?;
        }
        let stated = first.expect(OCTETS)?.value;
        if digest.of(&certificate.der)? == stated { Ok(Some(())) } else { Err(Fault::WrongCertificate) }
    }

    /// CRLs and OCSP answers that the signer put in (`adbe-revocationInfoArchival`).
    pub fn revocation(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut crls, mut answers) = (Vec::new(), Vec::new());
        let Some(Ok(list)) = self.attribute(REVOCATION).map(tlv::only) else { return (crls, answers) };
        for part in list.inside().flatten() {
            let items = tlv::only(part.value).map(|list| list.inside()).unwrap_or(Reader::new(&[]));
            let items = items.flatten().take(CERTIFICATES_MAX).map(|item| item.whole.to_vec());
            match part.tag {
                0xa0 => crls.extend(items),
                0xa1 => answers.extend(items),
                _ => {}
            }
        }
        (crls, answers)
    }
}

/// What a timestamp token says.
#[derive(Debug, Clone)]
pub struct TimeInfo {
    pub time: Timestamp,
    pub digest: Digest,
    pub imprint: Vec<u8>,
    pub policy: String,
}

impl TimeInfo {
    pub fn parse(der: &[u8]) -> Result<Self, Fault> {
        let mut fields = tlv::only(der)?.is(SEQUENCE)?.inside();
        fields.expect(INTEGER)?;
        let policy = dotted(fields.expect(OID)?.value);
        let mut imprint = fields.expect(SEQUENCE)?.inside();
        let digest = digest_of(&imprint.expect(SEQUENCE)?)?;
        let imprint = imprint.expect(OCTETS)?.value.to_vec();
        fields.expect(INTEGER)?;
        let time = tlv::time(&fields.expect(0x18)?)?;
        Ok(Self { time, digest, imprint, policy })
    }
}

fn encapsulated(info: &Element<'_>) -> Result<(String, Option<Vec<u8>>), Fault> {
    let mut info = info.inside();
    let kind = dotted(info.expect(OID)?.value);
    let content = match info.optional(0xa0)? {
        Some(content) => Some(tlv::only(content.value)?.is(OCTETS)?.value.to_vec()),
        None => None,
    };
    info.finish()?;
    Ok((kind, content))
}

fn certificates(list: &Element<'_>) -> Result<Vec<Certificate>, Fault> {
    let mut certificates = Vec::new();
    for certificate in list.inside() {
        let certificate = certificate?;
        if certificates.len() >= CERTIFICATES_MAX {
            return Err(Fault::Structure);
        }
        // Attribute certificates have another tag; they say nothing of the signature.
        if certificate.tag == SEQUENCE {
            certificates.push(Certificate::from_der(certificate.whole)?);
        }
    }
    Ok(certificates)
}

/// Whether the list of digest algorithms is made of known ones and has this one.
fn announces(list: &Element<'_>, digest: Digest) -> Result<bool, Fault> {
    let mut found = false;
    for item in list.inside() {
        found |= digest_of(&item?.is(SEQUENCE)?)? == digest;
    }
    Ok(found)
}

fn attributes(list: &Element<'_>) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let mut found = Vec::new();
    for attribute in list.inside() {
        let mut fields = attribute?.is(SEQUENCE)?.inside();
        let id = dotted(fields.expect(OID)?.value);
        let values = fields.expect(SET)?;
        fields.finish()?;
        if found.len() >= ATTRIBUTES_MAX {
            return Err(Fault::Structure);
        }
        for value in values.inside().take(ATTRIBUTES_MAX) {
            found.push((id.clone(), value?.whole.to_vec()));
        }
    }
    Ok(found)
}

/// An algorithm that takes no parameters: absent or NULL.
fn plain(algorithm: &Element<'_>) -> Result<String, Fault> {
    let mut fields = algorithm.inside();
    let id = dotted(fields.expect(OID)?.value);
    if let Some(null) = fields.optional(NULL)?
        && !null.value.is_empty()
    {
        return Err(Fault::Structure);
    }
    fields.finish()?;
    Ok(id)
}

fn digest_of(algorithm: &Element<'_>) -> Result<Digest, Fault> {
    Digest::from_oid(&plain(algorithm)?).ok_or(Fault::Unsupported)
}

fn scheme(algorithm: &Element<'_>, digest: Digest) -> Result<Scheme, Fault> {
    let id = dotted(algorithm.inside().expect(OID)?.value);
    if id == "1.2.840.113549.1.1.10" {
        return pss(algorithm, digest);
    }
    // Each of these names its digest; it must be the one the signer announced (RFC 5754 §3).
    let (stated, ecdsa) = match &*plain(algorithm)? {
        "1.2.840.113549.1.1.1" => (digest, false),
        "1.2.840.113549.1.1.5" => (Digest::Sha1, false),
        "1.2.840.113549.1.1.14" => (Digest::Sha224, false),
        "1.2.840.113549.1.1.11" => (Digest::Sha256, false),
        "1.2.840.113549.1.1.12" => (Digest::Sha384, false),
        "1.2.840.113549.1.1.13" => (Digest::Sha512, false),
        "1.2.840.10045.2.1" => (digest, true),
        "1.2.840.10045.4.1" => (Digest::Sha1, true),
        "1.2.840.10045.4.3.1" => (Digest::Sha224, true),
        "1.2.840.10045.4.3.2" => (Digest::Sha256, true),
        "1.2.840.10045.4.3.3" => (Digest::Sha384, true),
        "1.2.840.10045.4.3.4" => (Digest::Sha512, true),
        _ => return Err(Fault::Unsupported),
    };
    Ok(if ecdsa { Scheme::Ecdsa(stated) } else { Scheme::Pkcs1(stated) })
}

/// RSASSA-PSS with its parameters (RFC 4055); left-out ones are SHA-1 and 20.
fn pss(algorithm: &Element<'_>, announced: Digest) -> Result<Scheme, Fault> {
    let mut fields = algorithm.inside();
    fields.expect(OID)?;
    let mut params = fields.expect(SEQUENCE)?.inside();
    fields.finish()?;
    let (mut digest, mut mask, mut salt) = (Digest::Sha1, Digest::Sha1, 20);
    if let Some(stated) = params.optional(0xa0)? {
        digest = digest_of(&tlv::only(stated.value)?.is(SEQUENCE)?)?;
    }
    if let Some(stated) = params.optional(0xa1)? {
        let mut generator = tlv::only(stated.value)?.is(SEQUENCE)?.inside();
        if dotted(generator.expect(OID)?.value) != "1.2.840.113549.1.1.8" {
            return Err(Fault::Unsupported);
        }
        mask = digest_of(&generator.expect(SEQUENCE)?)?;
    }
    if let Some(stated) = params.optional(0xa2)? {
        let value = tlv::only(stated.value)?.is(INTEGER)?.value;
        salt = value.iter().take(4).fold(0u32, |salt, byte| salt << 8 | u32::from(*byte));
    }
    // The trailer field has one value only.
    if let Some(stated) = params.optional(0xa3)?
        && tlv::only(stated.value)?.is(INTEGER)?.value != [1]
    {
        return Err(Fault::Unsupported);
    }
    params.finish()?;
    if digest != announced || salt > 512 {
        return Err(Fault::Unsupported);
    }
    Ok(Scheme::Pss { digest, mask, salt })
}
