//! Makes CMS signatures over a digest: CAdES baseline B, and T with a timestamp of the signature. The content itself is
//! never needed, so it may have any size.
//!
//! PDFs ([`super::pades`]) carry them without signing time, which PAdES keeps in the PDF's own dictionary; evidence packages
//! with it.

use der::{asn1::ObjectIdentifier, oid::db};
use jiff::Timestamp;
use openssl::{sha::sha256, x509::X509Ref};

use super::{
    Identity, IdentityError,
    asn1::{
        self, GENERALIZED_TIME, OCTET_STRING, SET, UTC_TIME, algorithm, context, oid, sequence, sorted, tlv, unsigned,
    },
    identity::Algorithm,
    timestamp::{Stamp, TimestampError, Timestamper},
};

/// id-aa-signingCertificateV2, RFC 5035.
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// id-aa-timeStampToken, RFC 3161 appendix A.
const SIGNATURE_TIMESTAMP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.14");

/// A signature, and what became of its timestamp.
#[derive(Debug)]
pub struct Signed {
    /// ContentInfo in DER.
    pub cms: Vec<u8>,
    pub stamp: Stamping,
}

/// Whether a signature has a timestamp. A failure is no obstacle: the signature is then of level B.
#[derive(Debug)]
pub enum Stamping {
    NotAsked,
    Done(Stamp),
    Failed(TimestampError),
}

/// Signs a SHA-256 digest. With a `timestamper`, its timestamp is added if it can be had.
pub fn sign(
    identity: &Identity,
    digest: &[u8; 32],
    signing_time: Option<Timestamp>,
    timestamper: Option<&dyn Timestamper>,
) -> Result<Signed, IdentityError> {
    let failed = |error: openssl::error::ErrorStack| IdentityError::Failed(error.to_string());
    let attributes = signed_attributes(identity, digest, signing_time).map_err(failed)?;
    // Signed as a SET, kept with the implicit tag [0] (RFC 5652, 5.4).
    let signature = identity.key().sign(&tlv(SET, &attributes))?;
    let stamp = match timestamper.map(|t| t.stamp(&sha256(&signature))) {
        None => Stamping::NotAsked,
        Some(Ok(stamp)) => Stamping::Done(stamp),
        Some(Err(error)) => Stamping::Failed(error),
    };
    let unsigned = match &stamp {
        Stamping::Done(stamp) => tlv(context(1), &attribute(SIGNATURE_TIMESTAMP, &stamp.token)),
        _ => Vec::new(),
    };
    let signer = signer_info(identity, &attributes, &signature, &unsigned).map_err(failed)?;
    let cms = content_info(identity, &signer).map_err(failed)?;
    Ok(Signed { cms, stamp })
}

/// Longest signature [`sign`] makes with this identity, in bytes; `token_bytes_max` is room for a timestamp.
pub fn bytes_max(identity: &Identity, token_bytes_max: usize) -> usize {
    let der = |certificate: &X509Ref| certificate.to_der().map_or(0, |der| der.len());
    let certificates = der(identity.certificate()) + identity.chain().iter().map(|c| der(c)).sum::<usize>();
    // Digests, identifiers, lengths, and the issuer's name twice.
    let rest = 512 + 2 * issuer(identity.certificate()).map_or(0, |name| name.len());
    certificates + identity.key().signature_bytes_max() + rest + token_bytes_max
}

fn issuer(certificate: &X509Ref) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    certificate.issuer_name().to_der()
}

fn serial(certificate: &X509Ref) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    Ok(unsigned(&certificate.serial_number().to_bn()?.to_vec()))
}

fn attribute(id: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(id), &tlv(SET, value)])
}

/// Content of the SET OF Attribute.
fn signed_attributes(
    identity: &Identity,
    digest: &[u8; 32],
    signing_time: Option<Timestamp>,
) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let certificate = identity.certificate();
    // GeneralNames with the one directoryName [4], which is explicit as Name is a CHOICE.
    let names = sequence(&[&tlv(context(4), &issuer(certificate)?)]);
    let hash = tlv(OCTET_STRING, &sha256(&certificate.to_der()?));
    // SHA-256 is the default of hashAlgorithm, so DER leaves it out.
    let id = sequence(&[&hash, &sequence(&[&names, &serial(certificate)?])]);
    let mut attributes = vec![
        attribute(db::rfc5911::ID_CONTENT_TYPE, &oid(db::rfc5911::ID_DATA)),
        attribute(db::rfc5911::ID_MESSAGE_DIGEST, &tlv(OCTET_STRING, digest)),
        attribute(SIGNING_CERTIFICATE_V2, &sequence(&[&sequence(&[&id])])),
    ];
    attributes.extend(signing_time.map(|at| attribute(db::rfc5911::ID_SIGNING_TIME, &time(at))));
    Ok(sorted(attributes))
}

/// As RFC 5652 (11.3) wants it: two digits for the year until 2049.
fn time(at: Timestamp) -> Vec<u8> {
    let zoned = at.to_zoned(jiff::tz::TimeZone::UTC);
    let (tag, form) = if (1950..2050).contains(&zoned.year()) {
        (UTC_TIME, "%y%m%d%H%M%SZ")
    } else {
        (GENERALIZED_TIME, "%Y%m%d%H%M%SZ")
    };
    tlv(tag, zoned.strftime(form).to_string().as_bytes())
}

fn signer_info(
    identity: &Identity,
    attributes: &[u8],
    signature: &[u8],
    unsigned_attributes: &[u8],
) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let certificate = identity.certificate();
    let signature_algorithm = match identity.key().algorithm() {
        Algorithm::Rsa => algorithm(db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION, true),
        Algorithm::Ec => algorithm(db::rfc5912::ECDSA_WITH_SHA_256, false),
    };
    Ok(sequence(&[
        &unsigned(&[1]),
        &sequence(&[&issuer(certificate)?, &serial(certificate)?]),
        &algorithm(db::rfc5912::ID_SHA_256, true),
        &tlv(context(0), attributes),
        &signature_algorithm,
        &tlv(OCTET_STRING, signature),
        unsigned_attributes,
    ]))
}

fn content_info(identity: &Identity, signer: &[u8]) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let mut certificates = vec![identity.certificate().to_der()?];
    for issuer in identity.chain() {
        certificates.push(issuer.to_der()?);
    }
    let signed_data = sequence(&[
        &unsigned(&[1]),
        &tlv(SET, &algorithm(db::rfc5912::ID_SHA_256, true)),
        &sequence(&[&oid(db::rfc5911::ID_DATA)]),
        &tlv(context(0), &sorted(certificates)),
        &tlv(SET, signer),
    ]);
    Ok(asn1::sequence(&[&oid(db::rfc5911::ID_SIGNED_DATA), &tlv(context(0), &signed_data)]))
}

#[cfg(test)]
mod tests {
    use cms::{content_info::ContentInfo, signed_data::SignedData};
    use der::{Decode, Encode};
    use openssl::{
        cms::{CMSOptions, CmsContentInfo},
        x509::{X509, store::X509StoreBuilder},
    };

    use super::*;
    use crate::signing::samples;

    const CONTENT: &[u8] = b"%PDF- un documento";

    /// OpenSSL's own CMS, as an outside judge.
    fn verify(cms: &[u8], content: &[u8]) -> bool {
        let mut store = X509StoreBuilder::new().unwrap();
        for certificate in X509::stack_from_pem(samples::CHAIN).unwrap() {
            store.add_cert(certificate).unwrap();
        }
        let mut info = CmsContentInfo::from_der(cms).unwrap();
        let flags = CMSOptions::BINARY | CMSOptions::DETACHED;
        info.verify(None, Some(&store.build()), Some(content), None, flags).is_ok()
    }

    #[test]
    fn signatures_of_rsa_and_ec_keys_are_valid_for_their_content_alone() {
        for identity in [samples::agente(), samples::persona()] {
            let at = Some("2026-11-21T15:00:00Z".parse().unwrap());
            for time in [None, at] {
                let signed = sign(&identity, &sha256(CONTENT), time, None).unwrap();
                assert!(verify(&signed.cms, CONTENT));
                assert!(!verify(&signed.cms, b"otro documento"));
                assert!(signed.cms.len() <= bytes_max(&identity, 0));
                assert!(matches!(signed.stamp, Stamping::NotAsked));
            }
        }
    }

    #[test]
    fn it_is_strict_der_and_names_its_certificate() {
        let signed = sign(&samples::agente(), &sha256(CONTENT), None, None).unwrap();
        let info = ContentInfo::from_der(&signed.cms).unwrap();
        let data: SignedData = info.content.decode_as().unwrap();
        assert_eq!(data.certificates.as_ref().unwrap().0.len(), 3);
        let signer = data.signer_infos.0.get(0).unwrap();
        let attributes = signer.signed_attrs.as_ref().unwrap();
        let ids: Vec<_> = attributes.iter().map(|a| a.oid).collect();
        assert!(ids.contains(&SIGNING_CERTIFICATE_V2) && !ids.contains(&db::rfc5911::ID_SIGNING_TIME), "{ids:?}");
        assert_eq!(info.to_der().unwrap(), signed.cms);
    }

    #[test]
    fn years_from_2050_have_four_digits() {
        let at = |text: &str| String::from_utf8(time(text.parse().unwrap())[2..].to_vec()).unwrap();
        assert_eq!(at("2026-11-21T15:00:00Z"), "261121150000Z");
        assert_eq!(at("2050-01-01T00:00:00Z"), "20500101000000Z");
    }
}
