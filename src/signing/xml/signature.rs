//! The signature of a trusted list: enveloped XML-DSig, plain or XAdES, as ETSI TS 119 612 §5.7.1 profiles it and as lists
//! in use have it (the Peruvian one names its root by its Id and is in inclusive canonical form). There is no general
//! verifier here on purpose: exactly one signature, a child of the root, over the whole document; beside that only its own
//! KeyInfo and SignedProperties may be referred to; no transform but "enveloped" and a canonical form; no key that does not
//! come with a certificate. What is not of this shape is refused, whatever else it would verify.

use openssl::{
    bn::BigNum,
    ecdsa::EcdsaSig,
    hash::MessageDigest,
    pkey::{Id, PKey, Public},
    sign::Verifier,
};

use super::{
    canonical::{self, Method, Part},
    tree::{Document, Element},
};
use crate::signing::{certificate::Certificate, cms::Digest};

pub const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const XADES: [&str; 2] = ["http://uri.etsi.org/01903/v1.3.2#", "http://uri.etsi.org/01903/v1.1.1#"];

/// References of one signature: the document, the signed properties and the key.
const REFERENCES_MAX: usize = 3;
/// Certificates that come along.
const CERTIFICATES_MAX: usize = 16;
/// Smallest RSA key, in bits.
const RSA_BITS_MIN: u32 = 2048;

/// Why a signed document is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("no está firmada")]
    Unsigned,
    #[error("trae varias firmas, o una fuera de su lugar")]
    Misplaced,
    #[error("su firma no tiene la forma que se admite: {0}")]
    Shape(&'static str),
    #[error("su firma usa un algoritmo que no se admite")]
    Algorithm,
    #[error("su firma no trae el certificado con que se hizo")]
    NoCertificate,
    #[error("su contenido no es el que se firmó")]
    Digest,
    #[error("su firma es falsa")]
    Signature,
    #[error("lo que se firmó pasa los límites de tamaño")]
    TooLarge,
}

/// Who signed; whether they are believed is for the caller to judge.
#[derive(Debug, Clone)]
pub struct Signer {
    pub certificate: Certificate,
    /// What came along to build its chain.
    pub others: Vec<Certificate>,
}

type Judged<T> = Result<T, SignatureFault>;

/// Checks that one signature covers the whole document.
pub fn check(document: &Document) -> Judged<Signer> {
    let signature = the_signature(document)?;
    let info = sole(document, signature, "SignedInfo")?;
    let (method, algorithm, references) = signed_info(document, info)?;
    let mut whole = 0;
    for reference in &references {
        let target = target(document, signature, reference.attribute("URI"))?;
        whole += usize::from(matches!(target, Target::Whole(_)));
        digest(document, signature, reference, &target)?;
    }
    if whole != 1 {
        return Err(SignatureFault::Shape("debe cubrir el documento entero, una vez"));
    }
    let signed = canonical(document, Part::Element(info), None, method)?;
    let value = base64(&document.text(sole(document, signature, "SignatureValue")?))?;
    signer(document, signature, algorithm, &signed, &value)
}

fn canonical(document: &Document, part: Part<'_>, without: Option<&Element>, method: Method) -> Judged<Vec<u8>> {
    canonical::write(document, part, without, method).ok_or(SignatureFault::TooLarge)
}

fn the_signature(document: &Document) -> Judged<&Element> {
    let mut all = document.elements().filter(|element| element.is(DSIG, "Signature"));
    let signature = all.next().ok_or(SignatureFault::Unsigned)?;
    if all.next().is_some() || signature.parent != Some(document.root().index) {
        return Err(SignatureFault::Misplaced);
    }
    Ok(signature)
}

/// The one child with this name.
fn sole<'a>(document: &'a Document, within: &'a Element, local: &'static str) -> Judged<&'a Element> {
    let mut found = document.named(within, DSIG, local);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(SignatureFault::Shape(local)),
    }
}

fn signed_info<'a>(document: &'a Document, info: &'a Element) -> Judged<(Method, Algorithm, Vec<&'a Element>)> {
    let mut children = document.children(info);
    let mut expect = |local: &'static str| {
        let child = children.next().filter(|child| child.is(DSIG, local) && document.children(child).next().is_none());
        child.and_then(|child| child.attribute("Algorithm")).ok_or(SignatureFault::Shape(local))
    };
    let method = Method::from_uri(expect("CanonicalizationMethod")?).ok_or(SignatureFault::Algorithm)?;
    let algorithm = Algorithm::from_uri(expect("SignatureMethod")?).ok_or(SignatureFault::Algorithm)?;
    let references: Vec<&Element> = children.collect();
    let sound = (1..=REFERENCES_MAX).contains(&references.len()) && references.iter().all(|r| r.is(DSIG, "Reference"));
    if sound { Ok((method, algorithm, references)) } else { Err(SignatureFault::Shape("Reference")) }
}

/// What a reference is to.
enum Target<'a> {
    /// The document; the signature is left out.
    Whole(Part<'a>),
    /// A part of the signature itself.
    Own(&'a Element),
}

fn target<'a>(document: &'a Document, signature: &'a Element, uri: Option<&str>) -> Judged<Target<'a>> {
    let uri = uri.ok_or(SignatureFault::Shape("URI"))?;
    if uri.is_empty() {
        return Ok(Target::Whole(Part::Whole));
    }
    let id = uri.strip_prefix('#').filter(|id| !id.is_empty()).ok_or(SignatureFault::Shape("URI"))?;
    let mut named = document.elements().filter(|element| element.ids().any(|known| known == id));
    // An Id that stands twice could mean one element here and another to who reads.
    let (Some(element), None) = (named.next(), named.next()) else { return Err(SignatureFault::Shape("URI")) };
    if element.index == document.root().index {
        return Ok(Target::Whole(Part::Element(element)));
    }
    let properties = XADES.iter().any(|namespace| element.is(namespace, "SignedProperties"));
    let own = properties || element.is(DSIG, "KeyInfo");
    match own && document.is_within(element, signature) {
        true => Ok(Target::Own(element)),
        false => Err(SignatureFault::Shape("URI")),
    }
}

/// Whether what a reference is to has the digest it states.
fn digest(document: &Document, signature: &Element, reference: &Element, target: &Target<'_>) -> Judged<()> {
    let transforms = transforms(document, reference)?;
    let (bytes, weak) = match (target, transforms) {
        (Target::Whole(part), (true, method)) => {
            (canonical(document, *part, Some(signature), method.unwrap_or(Method::Inclusive))?, false)
        }
        (Target::Own(element), (false, method)) => {
            // Says nothing of the list: a digest of old in front of the key (as the Peruvian list has) harms nothing.
            (canonical(document, Part::Element(element), None, method.unwrap_or(Method::Inclusive))?, true)
        }
        _ => return Err(SignatureFault::Shape("Transforms")),
    };
    let algorithm = sole(document, reference, "DigestMethod")?.attribute("Algorithm").unwrap_or_default();
    let digest = match algorithm {
        "http://www.w3.org/2000/09/xmldsig#sha1" if weak => Digest::Sha1,
        "http://www.w3.org/2001/04/xmlenc#sha256" => Digest::Sha256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => Digest::Sha384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => Digest::Sha512,
        _ => return Err(SignatureFault::Algorithm),
    };
    let stated = base64(&document.text(sole(document, reference, "DigestValue")?))?;
    match digest.of(&bytes) {
        Ok(made) if made == stated => Ok(()),
        _ => Err(SignatureFault::Digest),
    }
}

/// Whether the signature is left out, and the canonical form if one is named; in this order and nothing else.
fn transforms(document: &Document, reference: &Element) -> Judged<(bool, Option<Method>)> {
    let wrong = SignatureFault::Shape("Transforms");
    let mut lists = document.named(reference, DSIG, "Transforms");
    let (list, None) = (lists.next(), lists.next()) else { return Err(wrong) };
    let Some(list) = list else { return Ok((false, None)) };
    let mut names = Vec::new();
    for transform in document.children(list) {
        if !transform.is(DSIG, "Transform") || document.children(transform).next().is_some() {
            return Err(wrong);
        }
        names.push(transform.attribute("Algorithm").ok_or(wrong)?);
    }
    let form = |uri: &str| Method::from_uri(uri).map(Some).ok_or(wrong);
    match names.as_slice() {
        [ENVELOPED] => Ok((true, None)),
        [ENVELOPED, uri] => Ok((true, form(uri)?)),
        [uri] => Ok((false, form(uri)?)),
        _ => Err(wrong),
    }
}

/// How a list is signed.
#[derive(Debug, Clone, Copy)]
struct Algorithm {
    key: Id,
    digest: Digest,
}

impl Algorithm {
    fn from_uri(uri: &str) -> Option<Self> {
        let (key, digest) = match uri.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#")? {
            "rsa-sha256" => (Id::RSA, Digest::Sha256),
            "rsa-sha384" => (Id::RSA, Digest::Sha384),
            "rsa-sha512" => (Id::RSA, Digest::Sha512),
            "ecdsa-sha256" => (Id::EC, Digest::Sha256),
            "ecdsa-sha384" => (Id::EC, Digest::Sha384),
            "ecdsa-sha512" => (Id::EC, Digest::Sha512),
            _ => return None,
        };
        Some(Self { key, digest })
    }

    fn holds(self, key: &PKey<Public>, signed: &[u8], value: &[u8]) -> bool {
        if key.id() != self.key || (self.key == Id::RSA && key.bits() < RSA_BITS_MIN) {
            return false;
        }
        let value = match self.key {
            Id::EC => in_der(value).unwrap_or_default(),
            _ => value.to_vec(),
        };
        let digest: MessageDigest = self.digest.message_digest();
        Verifier::new(digest, key).is_ok_and(|mut verifier| verifier.verify_oneshot(&value, signed).unwrap_or(false))
    }
}

/// XML-DSig writes both numbers of an ECDSA signature one after the other, each as long as the curve's order.
fn in_der(value: &[u8]) -> Option<Vec<u8>> {
    if !value.len().is_multiple_of(2) || value.len() > 2 * 66 {
        return None;
    }
    let (r, s) = value.split_at(value.len() / 2);
    let number = |bytes| BigNum::from_slice(bytes).ok();
    EcdsaSig::from_private_components(number(r)?, number(s)?).ok()?.to_der().ok()
}

/// Of the certificates that come along, the one whose key made the signature.
fn signer(
    document: &Document,
    signature: &Element,
    algorithm: Algorithm,
    signed: &[u8],
    value: &[u8],
) -> Judged<Signer> {
    let info = sole(document, signature, "KeyInfo").map_err(|_| SignatureFault::NoCertificate)?;
    let data = document.named(info, DSIG, "X509Data");
    let mut found = Vec::new();
    for element in data.flat_map(|data| document.named(data, DSIG, "X509Certificate")).take(CERTIFICATES_MAX) {
        let der = base64(&document.text(element))?;
        found.extend(Certificate::from_der(&der));
    }
    if found.is_empty() {
        return Err(SignatureFault::NoCertificate);
    }
    let made = |one: &Certificate| one.x509.public_key().is_ok_and(|key| algorithm.holds(&key, signed, value));
    let place = found.iter().position(made).ok_or(SignatureFault::Signature)?;
    let certificate = found.swap_remove(place);
    Ok(Signer { certificate, others: found })
}

fn base64(text: &str) -> Judged<Vec<u8>> {
    super::base64(text).ok_or(SignatureFault::Shape("base64"))
}
