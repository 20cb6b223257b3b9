//! Which certificates a list of revoked ones (CRL) speaks of. A list may leave out most of those of its issuer: it names only
//! what changed since another (delta), only authorities, only some reasons, or only the certificates of one place
//! (RFC 5280 §5.2). That a certificate is not in a list from which it would be absent anyway says nothing of it.

use openssl::x509::{X509Crl, X509Ref};

use crate::signing::{
    asn1::{BOOLEAN, context},
    tlv::{self, Malformed, OCTETS, OID, Reader, SEQUENCE},
};

const DELTA: &str = "2.5.29.27";
const ISSUING_POINT: &str = "2.5.29.28";

/// Primitive context tags: of flags and of addresses.
const FLAG: u8 = 0x80;
const ADDRESS: u8 = 0x86;

/// What a list says of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Whether it is revoked.
    All,
    /// That it is revoked, if it is in it; nothing if it is not.
    Part,
    /// Nothing that could be read alone.
    Nothing,
}

pub(super) fn of(list: &X509Crl, certificate: &X509Ref) -> Scope {
    let der = list.to_der().unwrap_or_default();
    judged(&der, certificate).unwrap_or(Scope::Nothing)
}

fn judged(der: &[u8], certificate: &X509Ref) -> Result<Scope, Malformed> {
    let list = tlv::only(der)?.is(SEQUENCE)?.inside().expect(SEQUENCE)?;
    let mut scope = Scope::All;
    // Its extensions are the last field, and the only one with this tag.
    let mut fields = list.inside();
    while !fields.is_empty() {
        let field = fields.element()?;
        if field.tag != context(0) {
            continue;
        }
        for extension in tlv::only(field.value)?.is(SEQUENCE)?.inside() {
            let mut parts = extension?.is(SEQUENCE)?.inside();
            let id = tlv::dotted(parts.expect(OID)?.value);
            let critical = parts.optional(BOOLEAN)?.is_some_and(|flag| flag.value != [0]);
            let value = parts.expect(OCTETS)?.value;
            match &*id {
                DELTA => return Ok(Scope::Nothing),
                ISSUING_POINT => match point(value, certificate)? {
                    Scope::All => {}
                    other => scope = other,
                },
                // Whatever it is, one must know it to read the list.
                _ if critical => return Ok(Scope::Nothing),
                _ => {}
            }
            if scope == Scope::Nothing {
                return Ok(scope);
            }
        }
    }
    Ok(scope)
}

/// The extension that says what a list is about.
fn point(value: &[u8], certificate: &X509Ref) -> Result<Scope, Malformed> {
    let mut scope = Scope::All;
    for field in tlv::only(value)?.is(SEQUENCE)?.inside() {
        let field = field?;
        let set = field.value != [0];
        match field.tag {
            tag if tag == context(0) => {
                if !names_place_of(field.inside(), certificate)? {
                    scope = Scope::Part;
                }
            }
            // Only certificates of users, as those of signers are.
            tag if tag == FLAG | 1 => {}
            // Only authorities, only some reasons, only attributes.
            tag if [FLAG | 2, FLAG | 3, FLAG | 5].contains(&tag) => {
                if set {
                    scope = Scope::Part;
                }
            }
            // Indirect: the entries may be of other issuers. And whatever else may be invented.
            tag if tag == FLAG | 4 && !set => {}
            _ => return Ok(Scope::Nothing),
        }
    }
    Ok(scope)
}

/// Whether one of the addresses of a list is one at which the certificate says that it is looked for.
fn names_place_of(mut name: Reader<'_>, certificate: &X509Ref) -> Result<bool, Malformed> {
    let Some(full) = name.optional(context(0))? else { return Ok(false) };
    let points = certificate.crl_distribution_points();
    let own: Vec<String> = points
        .iter()
        .flat_map(|points| points.iter())
        .filter_map(|point| point.distpoint()?.fullname())
        .flat_map(|names| names.iter())
        .filter_map(|name| name.uri().map(str::to_owned))
        .collect();
    for address in full.inside() {
        let address = address?;
        if address.tag == ADDRESS && own.iter().any(|one| one.as_bytes() == address.value) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use openssl::{
        asn1::{Asn1Integer, Asn1Time},
        bn::BigNum,
        hash::MessageDigest,
        pkey::PKey,
        x509::{X509, X509Builder, X509Extension},
    };

    use super::{
        super::{
            Evidence,
            revocation::{Judge, Status},
        },
        *,
    };
    use crate::signing::{certificate::Certificate, trust::Trust};

    const PKI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki");
    const PLACE: &str = "http://ejemplo.invalid/usuarios.crl";

    fn pki(name: &str) -> Vec<u8> {
        std::fs::read(format!("{PKI}/{name}")).unwrap()
    }

    /// A list of the test issuer with these extensions; with the certificate 4A11CE in it or without.
    fn list(extensions: &str, revoked: bool) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let entry = if revoked { "R\t501231235959Z\t260101000000Z\t4A11CE\tunknown\t/CN=x\n" } else { "" };
        std::fs::write(dir.join("index.txt"), entry).unwrap();
        let config = format!(
            "[ca]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 30\ncrl_extensions = ext\n[ext]\n\
             authorityKeyIdentifier = keyid\n{extensions}\n[only_ca]\nonlyCA = TRUE\n[only_user]\nonlyuser = TRUE\n\
             [reasons]\nonlysomereasons = keyCompromise\n[indirect]\nindirectCRL = TRUE\n[own]\nfullname = URI:{PLACE}\n\
             [other]\nfullname = URI:http://ejemplo.invalid/otros.crl\n"
        );
        std::fs::write(dir.join("ca.cnf"), config).unwrap();
        let made = Command::new("openssl")
            .current_dir(dir)
            .args(["ca", "-config", "ca.cnf", "-name", "ca", "-gencrl", "-out", "crl.pem"])
            .args(["-cert", &format!("{PKI}/intermediate.cert.pem")])
            .args(["-keyfile", &format!("{PKI}/intermediate.key.pem")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        X509Crl::from_pem(&std::fs::read(dir.join("crl.pem")).unwrap()).unwrap().to_der().unwrap()
    }

    /// A signer's certificate that is looked for at [`PLACE`].
    #[allow(deprecated)] // the bindings have no other way to make this extension
    fn signer(issuer: &X509) -> Certificate {
        let key = |name: &str| PKey::private_key_from_pem(&pki(name)).unwrap();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_hex_str("4A11CE").unwrap();
        builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
        builder.set_subject_name(issuer.subject_name()).unwrap();
        builder.set_issuer_name(issuer.subject_name()).unwrap();
        builder.set_pubkey(&key("agente-municipalidad.key.pem")).unwrap();
        builder.set_not_before(&Asn1Time::from_str("20250101000000Z").unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_str("20501231235959Z").unwrap()).unwrap();
        let points = X509Extension::new(None, None, "crlDistributionPoints", &format!("URI:{PLACE}")).unwrap();
        builder.append_extension(points).unwrap();
        builder.sign(&key("intermediate.key.pem"), MessageDigest::sha256()).unwrap();
        Certificate::from_der(&builder.build().to_der().unwrap()).unwrap()
    }

    #[test]
    fn a_list_from_which_a_certificate_would_be_absent_anyway_does_not_say_that_it_is_good() {
        let issuer = X509::from_pem(&pki("intermediate.cert.pem")).unwrap();
        let (certificate, trust) = (signer(&issuer), Trust::default());
        let status = |der: Vec<u8>| {
            // The list was made a moment ago, by the machine's clock.
            let made = X509Crl::from_der(&der).unwrap();
            let now = crate::signing::identity::time(made.last_update()).unwrap();
            let judge = Judge { certificate: &certificate, issuer: &issuer, trust: &trust, at: now, now };
            judge.status([(&Evidence::Crl(der), None)]).0
        };
        let idp = |section: &str| format!("issuingDistributionPoint = critical,@{section}");
        for (extensions, good, revoked) in [
            (String::new(), true, true),
            (idp("only_user"), true, true),
            (idp("own"), true, true),
            (idp("only_ca"), false, true),
            (idp("reasons"), false, true),
            (idp("other"), false, true),
            (idp("indirect"), false, false),
            ("2.5.29.27 = critical,ASN1:INTEGER:1".to_owned(), false, false),
            ("1.2.3.4 = critical,ASN1:NULL".to_owned(), false, false),
            ("1.2.3.4 = ASN1:NULL".to_owned(), true, true),
        ] {
            let expected = if good { Status::Good } else { Status::Unknown };
            assert_eq!(status(list(&extensions, false)), expected, "not in it: {extensions}");
            let told = matches!(status(list(&extensions, true)), Status::Revoked(Some(_)));
            assert_eq!(told, revoked, "in it: {extensions}");
        }
    }
}
