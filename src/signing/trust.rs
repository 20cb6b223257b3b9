//! Whom we believe: the certificates that vouch for signers and timestamp authorities. They come from files, and are then
//! believed whenever and for both; or from a trusted list (ETSI TS 119 612) that was read and checked, and then for what
//! their service does, in the times for which the list vouches for it.

use std::sync::Arc;

use jiff::Timestamp;
use openssl::{
    stack::Stack,
    x509::{
        X509, X509StoreContext, X509VerifyResult,
        store::{X509Store, X509StoreBuilder},
        verify::{X509VerifyFlags, X509VerifyParam},
    },
};

use super::{
    certificate::Certificate,
    trusted_list::{Service, ServiceKind, TrustedList},
};

/// Anchors held at once: national lists have a few hundred.
const ANCHORS_MAX: usize = 2000;
/// Bytes of one file of anchors.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Debug, Clone, thiserror::Error)]
pub enum TrustError {
    #[error("no contiene ningún certificado en formato PEM o DER")]
    NoCertificate,
    #[error("contiene un certificado dañado")]
    Broken,
    #[error("pasa el límite de {ANCHORS_MAX} certificados de confianza")]
    TooMany,
}

/// One certificate that is believed.
#[derive(Debug, Clone)]
pub struct Anchor {
    pub certificate: Certificate,
    /// Where it was read: the name of a file or the address of a list.
    pub origin: String,
    /// The service of a list that it belongs to.
    pub service: Option<Arc<Service>>,
}

/// What a certificate is to be believed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Signing,
    TimeStamping,
}

impl Anchor {
    fn serves(&self, purpose: Purpose, at: Timestamp) -> bool {
        self.service.as_ref().is_none_or(|service| fits(service, purpose) && service.covers(at))
    }
}

fn fits(service: &Service, purpose: Purpose) -> bool {
    match purpose {
        Purpose::Signing => service.kind == ServiceKind::Issuer,
        Purpose::TimeStamping => service.kind == ServiceKind::TimeStamping,
    }
}

/// The anchors in force; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    anchors: Arc<Vec<Anchor>>,
}

/// What a chain of certificates came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    Trusted,
    /// Leads to nobody we know.
    Unknown,
    /// Leads to a service of a trusted list that was not vouched for at that time, or does something else.
    NotVouched,
    /// One of its certificates was outside its time.
    Expired,
    /// One of its certificates does not hold.
    Broken,
}

impl Trust {
    /// With the certificates of one file more: PEM, as many as it has, or one in DER. Says how many it added.
    pub fn with(&mut self, bytes: &[u8], origin: &str) -> Result<usize, TrustError> {
        let found = read(bytes)?;
        let anchors = Arc::make_mut(&mut self.anchors);
        let before = anchors.len();
        for certificate in found {
            if anchors.iter().any(|known| known.certificate.der == certificate.der && known.service.is_none()) {
                continue;
            }
            if anchors.len() >= ANCHORS_MAX {
                return Err(TrustError::TooMany);
            }
            anchors.push(Anchor { certificate, origin: origin.to_owned(), service: None });
        }
        Ok(anchors.len() - before)
    }

    /// With the services of a list. A certificate may stand in several: each vouches for its own.
    pub fn with_list(&mut self, list: &TrustedList, origin: &str) -> Result<usize, TrustError> {
        let anchors = Arc::make_mut(&mut self.anchors);
        let before = anchors.len();
        for service in &list.services {
            let service = Arc::new(service.clone());
            for certificate in &service.certificates {
                if anchors.len() >= ANCHORS_MAX {
                    return Err(TrustError::TooMany);
                }
                let (certificate, service) = (certificate.clone(), Some(Arc::clone(&service)));
                anchors.push(Anchor { certificate, origin: origin.to_owned(), service });
            }
        }
        Ok(anchors.len() - before)
    }

    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    pub fn has(&self, certificate: &Certificate) -> bool {
        self.anchors.iter().any(|anchor| anchor.certificate.der == certificate.der)
    }

    /// The service of a list that an anchor stands for at a time, if only a list vouches for it.
    pub fn service(&self, der: &[u8], at: Timestamp) -> Option<&Service> {
        let mut known = self.anchors.iter().filter(|anchor| anchor.certificate.der == der);
        if known.clone().any(|anchor| anchor.service.is_none()) {
            return None;
        }
        known.find(|anchor| anchor.serves(Purpose::Signing, at)).and_then(|anchor| anchor.service.as_deref())
    }

    /// The anchors for a purpose as a store that judges as of `at`.
    pub(super) fn store(&self, purpose: Purpose, at: Timestamp) -> Option<X509Store> {
        store(self.anchors.iter().filter(|anchor| anchor.serves(purpose, at)), at)
    }

    /// Builds the chain of a signer's certificate with what came along, and judges it as of `at`. Also gives the chain, from
    /// the certificate up, as far as it could be built.
    pub fn chain(&self, leaf: &Certificate, others: &[Certificate], at: Timestamp) -> (Chain, Vec<X509>) {
        self.chain_for(Purpose::Signing, leaf, others, at)
    }

    /// The same for any purpose.
    pub fn chain_for(
        &self,
        purpose: Purpose,
        leaf: &Certificate,
        others: &[Certificate],
        at: Timestamp,
    ) -> (Chain, Vec<X509>) {
        let found = self.store(purpose, at).and_then(|store| judged(&store, leaf, others));
        let (chain, path) = found.unwrap_or((Chain::Broken, Vec::new()));
        if chain == Chain::Trusted && self.withdrawn(purpose, &path, at) {
            return (Chain::NotVouched, path);
        }
        // A list that knows the issuer but does not vouch for it then says more than that nobody does.
        let listed = || self.anchors.iter().filter(|anchor| anchor.service.is_some());
        if chain == Chain::Unknown && listed().next().is_some() {
            let known = store(listed(), at).and_then(|store| judged(&store, leaf, others));
            if known.is_some_and(|(chain, _)| chain == Chain::Trusted) {
                return (Chain::NotVouched, path);
            }
        }
        (chain, path)
    }

    /// Whether a chain to a service of a list goes through one that the list names for the same and did not vouch for then:
    /// the issuer above it answers for it no more. A file of the operator's own at the end of the chain answers for all below.
    fn withdrawn(&self, purpose: Purpose, path: &[X509], at: Timestamp) -> bool {
        let known: Vec<Vec<&Anchor>> = path
            .iter()
            .filter_map(|one| one.to_der().ok())
            .map(|der| self.anchors.iter().filter(|anchor| anchor.certificate.der == der).collect())
            .collect();
        let own = |anchors: &[&Anchor]| anchors.iter().any(|anchor| anchor.service.is_none());
        if known.last().is_none_or(|last| own(last)) {
            return false;
        }
        known.iter().filter(|anchors| !own(anchors)).any(|anchors| {
            let listed = |anchor: &&&Anchor| anchor.service.as_ref().is_some_and(|service| fits(service, purpose));
            let mut listed = anchors.iter().filter(listed).peekable();
            listed.peek().is_some() && !listed.any(|anchor| anchor.serves(purpose, at))
        })
    }
}

fn store<'a>(anchors: impl Iterator<Item = &'a Anchor>, at: Timestamp) -> Option<X509Store> {
    let mut builder = X509StoreBuilder::new().ok()?;
    for anchor in anchors {
        builder.add_cert(anchor.certificate.x509.clone()).ok()?;
    }
    let mut param = X509VerifyParam::new().ok()?;
    param.set_time(at.as_second());
    // An anchor need not be a root: an accredited issuer is one by itself.
    param.set_flags(X509VerifyFlags::PARTIAL_CHAIN).ok()?;
    param.set_depth(10);
    builder.set_param(&param).ok()?;
    Some(builder.build())
}

fn judged(store: &X509Store, leaf: &Certificate, others: &[Certificate]) -> Option<(Chain, Vec<X509>)> {
    let mut along = Stack::new().ok()?;
    for other in others {
        along.push(other.x509.clone()).ok()?;
    }
    let mut context = X509StoreContext::new().ok()?;
    let (good, why, chain) = context
        .init(store, &leaf.x509, &along, |context| {
            let good = context.verify_cert()?;
            let chain = context.chain().map(|chain| chain.iter().map(ToOwned::to_owned).collect::<Vec<_>>());
            Ok((good, context.error(), chain.unwrap_or_default()))
        })
        .ok()?;
    Some((if good { Chain::Trusted } else { verdict(why) }, chain))
}

/// OpenSSL's reasons, `X509_V_ERR_*`.
fn verdict(why: X509VerifyResult) -> Chain {
    match why.as_raw() {
        // No issuer found, self-signed, or a chain that ends nowhere.
        2 | 18..=21 => Chain::Unknown,
        9 | 10 => Chain::Expired,
        _ => Chain::Broken,
    }
}

fn read(bytes: &[u8]) -> Result<Vec<Certificate>, TrustError> {
    let pem = memchr::memmem::find(bytes, b"-----BEGIN").is_some();
    let found = if pem {
        X509::stack_from_pem(bytes).map_err(|_| TrustError::Broken)?
    } else {
        vec![X509::from_der(bytes).map_err(|_| TrustError::NoCertificate)?]
    };
    if found.is_empty() {
        return Err(TrustError::NoCertificate);
    }
    let der = |x509: X509| x509.to_der().ok().and_then(|der| Certificate::from_der(&der).ok());
    found.into_iter().map(|x509| der(x509).ok_or(TrustError::Broken)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: &[u8] = include_bytes!("../../fixtures/pki/chain.pem");
    const ROOT: &[u8] = include_bytes!("../../fixtures/pki/root.cert.pem");

    fn certificate(pem: &[u8]) -> Certificate {
        read(pem).expect("a certificate").remove(0)
    }

    #[test]
    fn chains_are_told_apart() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a time");
        let mut trust = Trust::default();
        assert_eq!(trust.with(ROOT, "root.pem").expect("sound"), 1);
        assert_eq!(trust.with(CHAIN, "chain.pem").expect("sound"), 1, "the root is known already");
        let judge = |pem: &[u8]| trust.chain(&certificate(pem), &[], now).0;
        assert_eq!(judge(include_bytes!("../../fixtures/pki/persona-gobierno.cert.pem")), Chain::Trusted);
        assert_eq!(judge(include_bytes!("../../fixtures/pki/unknown-ca.cert.pem")), Chain::Unknown);
        assert_eq!(judge(include_bytes!("../../fixtures/pki/expired.cert.pem")), Chain::Expired);
        assert_eq!(judge(include_bytes!("../../fixtures/pki/not-yet-valid.cert.pem")), Chain::Expired);
    }

    #[test]
    fn an_intermediate_alone_is_an_anchor() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a time");
        let mut trust = Trust::default();
        trust.with(include_bytes!("../../fixtures/pki/intermediate.cert.pem"), "i").expect("sound");
        let leaf = certificate(include_bytes!("../../fixtures/pki/persona-gobierno.cert.pem"));
        assert_eq!(trust.chain(&leaf, &[], now).0, Chain::Trusted);
    }

    #[test]
    fn a_person_and_an_entity_are_read_from_the_certificate() {
        let person = certificate(include_bytes!("../../fixtures/pki/persona-municipalidad.cert.pem")).person();
        assert_eq!(person.nombre, "PÉREZ QUISPE Juana Rosa");
        assert_eq!((person.dni.as_deref(), person.ruc.as_deref()), (Some("40633367"), Some("20900000015")));
        assert_eq!(person.entidad.as_deref(), Some("MUNICIPALIDAD DISTRITAL DE EJEMPLO"));
    }

    #[test]
    fn what_holds_no_certificate_is_refused() {
        let mut trust = Trust::default();
        assert!(trust.with(b"nothing", "x").is_err());
        assert!(trust.with(include_bytes!("../../fixtures/pki/root.key.pem"), "x").is_err());
    }
}
