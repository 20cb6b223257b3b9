//! Asks whether certificates were revoked: OCSP first, then the list of revoked ones (CRL), at the addresses that the
//! certificate names. Only over HTTP, as these answers are signed; not in private networks unless the configuration says so;
//! each document within a budget of time. Answers whose signature holds are kept in the folder of the data until they expire;
//! an address that failed is left alone for a while, so that a dead one is waited for once and not by every document.

use std::{
    collections::HashMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use openssl::{
    hash::MessageDigest,
    ocsp::{OcspCertId, OcspFlag, OcspRequest, OcspResponse},
    stack::Stack,
    x509::{
        X509, X509Crl, X509Ref,
        store::{X509Store, X509StoreBuilder},
        verify::{X509VerifyFlags, X509VerifyParam},
    },
};
use reqwest::Url;
use tokio::{runtime::Handle, time::Instant};

use super::fetch::{Fetcher, Reach};
use crate::{
    config::Config,
    exchange::{Clock, Ids, SystemIds},
    signing::{
        asn1, identity, tlv,
        verify::{Asked, Evidence, RevocationSource},
    },
};

/// Where answers are kept, within the folder of the data.
const FOLDER: &str = "revocation";
/// Answers kept.
const KEPT_MAX: usize = 512;
/// However long an answer says it holds.
const KEPT_FOR_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Largest answers read, in bytes.
const OCSP_BYTES_MAX: usize = 64 * 1024;
const CRL_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Addresses of each kind that are tried for one certificate.
const ADDRESSES_MAX: usize = 2;
/// How long an address that failed is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(60);
/// Addresses remembered as failed.
const FAILED_MAX: usize = 256;

const OCSP_QUERY_TYPE: &str = "application/ocsp-request";
/// id-pkix-ocsp-nonce.
const NONCE: &str = "1.3.6.1.5.5.7.48.1.2";

/// What all documents share.
pub struct Revocation {
    fetcher: Fetcher,
    folder: PathBuf,
    budget: Duration,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    failed: Mutex<HashMap<String, Instant>>,
}

impl Revocation {
    /// If the configuration wants it. To be called within a runtime; to be asked off its own threads.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Option<Result<Arc<Self>, String>> {
        if !config.trust.fetch_revocation {
            return None;
        }
        let reach = if config.trust.revocation_private { Reach::Anywhere } else { Reach::Public };
        let made = || {
            let budget = config.trust.revocation_budget;
            let runtime = Handle::try_current().map_err(|error| error.to_string())?;
            let fetcher = Fetcher::new(budget, reach, false)?;
            let folder = config.data_dir.join(FOLDER);
            Ok(Arc::new(Self { fetcher, folder, budget, clock, runtime, failed: Mutex::default() }))
        };
        Some(made())
    }

    /// For one document, whose time begins now.
    pub fn for_document(self: Arc<Self>) -> Box<dyn RevocationSource> {
        let deadline = Instant::now() + self.budget;
        Box::new(ForDocument { shared: self, deadline })
    }

    fn left_alone(&self, url: &Url) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(url.as_str()).is_some_and(|since| since.elapsed() < LEFT_ALONE)
    }

    fn leave_alone(&self, url: &Url) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, since| since.elapsed() < LEFT_ALONE);
        if failed.len() < FAILED_MAX {
            failed.insert(url.as_str().to_owned(), Instant::now());
        }
    }

    fn place(&self, of: &[&[u8]]) -> PathBuf {
        let digest = openssl::sha::sha256(&of.concat());
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name)
    }

    /// What is kept there and has not expired. It begins with its end, in seconds.
    fn kept(&self, place: &Path) -> Option<Vec<u8>> {
        let bytes = fs::read(place).ok()?;
        let (until, answer) = bytes.split_first_chunk::<8>()?;
        (i64::from_be_bytes(*until) > self.clock.now().as_second()).then(|| answer.to_vec())
    }

    /// Keeps an answer if it says until when it holds. That it cannot be kept stops nothing.
    fn keep(&self, place: &Path, answer: &[u8], until: Option<Timestamp>) {
        let now = self.clock.now();
        let Some(until) = until.filter(|until| *until > now) else { return };
        let until = until.min(now.saturating_add(KEPT_FOR_MAX).unwrap_or(until));
        let written = || {
            fs::create_dir_all(&self.folder)?;
            self.make_room()?;
            let mut fresh = tempfile::NamedTempFile::new_in(&self.folder)?;
            fresh.write_all(&until.as_second().to_be_bytes())?;
            fresh.write_all(answer)?;
            fresh.persist(place).map(|_| ()).map_err(|error| error.error)
        };
        if let Err(error) = written() {
            tracing::debug!(%error, "an answer on revocation could not be kept");
        }
    }

    /// Removes the oldest ones where there are too many.
    fn make_room(&self) -> std::io::Result<()> {
        let entries = fs::read_dir(&self.folder)?.flatten();
        let age = |entry: &fs::DirEntry| entry.metadata().and_then(|data| data.modified()).ok();
        let mut all: Vec<_> = entries.map(|entry| (age(&entry), entry.path())).collect();
        all.sort();
        let over = (all.len() + 1).saturating_sub(KEPT_MAX);
        all.iter().take(over).for_each(|(_, path)| {
            fs::remove_file(path).ok();
        });
        Ok(())
    }
}

struct ForDocument {
    shared: Arc<Revocation>,
    deadline: Instant,
}

/// What a fetch gave, or why not, in Spanish.
type Got = Result<Vec<u8>, String>;

impl RevocationSource for ForDocument {
    fn ask(&self, certificate: &X509, issuer: &X509) -> Asked {
        let mut asked = Asked::default();
        let mut failed = |why: String| {
            asked.failed.get_or_insert(why);
        };
        for url in responders(certificate) {
            match self.ocsp(&url, certificate, issuer) {
                Ok(answer) => {
                    asked.evidence.push((Evidence::Ocsp(answer), url.into()));
                    return asked;
                }
                Err(why) => failed(why),
            }
        }
        for url in lists(certificate) {
            match self.crl(&url, issuer) {
                Ok(answer) => {
                    asked.evidence.push((Evidence::Crl(answer), url.into()));
                    return asked;
                }
                Err(why) => failed(why),
            }
        }
        asked.failed.get_or_insert_with(|| "el certificado no dice dónde preguntarlo".to_owned());
        asked
    }
}

impl ForDocument {
    /// Runs a fetch within what is left of the budget, and remembers the address where it fails.
    fn within(&self, url: &Url, fetch: impl Future<Output = Got>) -> Got {
        let host = url.host_str().unwrap_or_default();
        if self.shared.left_alone(url) {
            return Err(format!("{host} falló hace un momento"));
        }
        // Half of it at most for one address, so that another one can be tried.
        let left = self.deadline.saturating_duration_since(Instant::now()).min(self.shared.budget / 2);
        if left.is_zero() {
            return Err("se agotó el tiempo para preguntarlo".to_owned());
        }
        let got = self.shared.runtime.block_on(async { tokio::time::timeout(left, fetch).await });
        let got = got.unwrap_or_else(|_| Err(format!("{host} no respondió a tiempo")));
        if got.is_err() {
            self.shared.leave_alone(url);
        }
        got
    }

    fn ocsp(&self, url: &Url, certificate: &X509Ref, issuer: &X509) -> Got {
        let odd = |_| "no se pudo preparar la pregunta".to_owned();
        let question = question(certificate, issuer).map_err(odd)?;
        let place = self.shared.place(&[b"ocsp", url.as_str().as_bytes(), &question]);
        if let Some(kept) = self.shared.kept(&place) {
            return Ok(kept);
        }
        let nonce = SystemIds.secret();
        let asked = with_nonce(&question, &nonce).map_err(|_| "no se pudo preparar la pregunta".to_owned())?;
        let fetch = self.shared.fetcher.post(url, OCSP_QUERY_TYPE, asked, OCSP_BYTES_MAX);
        let answer = self.within(url, fetch)?;
        let host = url.host_str().unwrap_or_default();
        let store = issuer_alone(issuer, self.shared.clock.now());
        let until = store.and_then(|store| answered(&answer, certificate, issuer, &store, &nonce));
        let until = until.ok_or_else(|| format!("la respuesta OCSP de {host} no vale"))?;
        self.shared.keep(&place, &answer, until);
        Ok(answer)
    }

    fn crl(&self, url: &Url, issuer: &X509) -> Got {
        let place = self.shared.place(&[b"crl", url.as_str().as_bytes()]);
        let sound = |bytes: &[u8]| {
            let list = X509Crl::from_der(bytes).or_else(|_| X509Crl::from_pem(bytes)).ok()?;
            let key = issuer.public_key().ok()?;
            list.verify(&key).ok()?.then(|| list.next_update().and_then(|until| identity::time(until).ok()))
        };
        if let Some(kept) = self.shared.kept(&place).filter(|kept| sound(kept).is_some()) {
            return Ok(kept);
        }
        let answer = self.within(url, self.shared.fetcher.get(url, CRL_BYTES_MAX))?;
        let host = url.host_str().unwrap_or_default();
        let until = sound(&answer).ok_or_else(|| format!("la lista de revocados de {host} no vale"))?;
        self.shared.keep(&place, &answer, until);
        Ok(answer)
    }
}

fn web(text: &str) -> Option<Url> {
    text.parse::<Url>().ok().filter(|url| url.scheme() == "http" && url.host_str().is_some())
}

/// Addresses of OCSP services (authority information access).
fn responders(certificate: &X509Ref) -> Vec<Url> {
    let all = certificate.ocsp_responders();
    all.iter().flat_map(|all| all.iter()).filter_map(|url| web(url)).take(ADDRESSES_MAX).collect()
}

/// Addresses of lists of revoked certificates (CRL distribution points).
fn lists(certificate: &X509Ref) -> Vec<Url> {
    let points = certificate.crl_distribution_points();
    let names = points.iter().flat_map(|points| points.iter()).filter_map(|point| point.distpoint()?.fullname());
    let urls = names.flat_map(|names| names.iter()).filter_map(|name| web(name.uri()?));
    urls.take(ADDRESSES_MAX).collect()
}

/// The question of RFC 6960 about one certificate.
fn question(certificate: &X509Ref, issuer: &X509Ref) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let mut request = OcspRequest::new()?;
    request.add_id(OcspCertId::from_cert(MessageDigest::sha1(), certificate, issuer)?)?;
    request.to_der()
}

/// The same question with something that only an answer to it can repeat (RFC 9654).
fn with_nonce(question: &[u8], nonce: &[u8]) -> Result<Vec<u8>, tlv::Malformed> {
    let inner = tlv::only(question)?.is(tlv::SEQUENCE)?.inside().expect(tlv::SEQUENCE)?.value;
    let id = asn1::oid(der::asn1::ObjectIdentifier::new_unwrap(NONCE));
    let value = asn1::tlv(asn1::OCTET_STRING, &asn1::tlv(asn1::OCTET_STRING, nonce));
    let extensions = asn1::sequence(&[&asn1::sequence(&[&id, &value])]);
    Ok(asn1::sequence(&[&asn1::sequence(&[inner, &asn1::tlv(asn1::context(2), &extensions)])]))
}

/// The issuer alone: who answers is it, or somebody it charged with it.
fn issuer_alone(issuer: &X509, now: Timestamp) -> Option<X509Store> {
    let mut builder = X509StoreBuilder::new().ok()?;
    builder.add_cert(issuer.clone()).ok()?;
    let mut param = X509VerifyParam::new().ok()?;
    param.set_time(now.as_second());
    param.set_flags(X509VerifyFlags::PARTIAL_CHAIN).ok()?;
    builder.set_param(&param).ok()?;
    Some(builder.build())
}

/// Whether this answers the question, signed by who may; until when, if it says so.
fn answered(
    answer: &[u8],
    certificate: &X509Ref,
    issuer: &X509,
    store: &X509Store,
    nonce: &[u8],
) -> Option<Option<Timestamp>> {
    let basic = OcspResponse::from_der(answer).ok()?.basic().ok()?;
    let mut along = Stack::new().ok()?;
    along.push(issuer.clone()).ok()?;
    basic.verify(&along, store, OcspFlag::empty()).ok()?;
    // Many services repeat no nonce; their answers are as good as they are fresh, which the examination judges.
    if nonce_of(answer).ok()?.is_some_and(|repeated| repeated != nonce) {
        return None;
    }
    let id = OcspCertId::from_cert(MessageDigest::sha1(), certificate, issuer).ok()?;
    let status = basic.find_status(&id)?;
    let until = status.next_update().map(ToString::to_string);
    Some(until.and_then(|text| crate::signing::verify::printed_time(&text)))
}

/// The nonce of an answer: of its response data, after version, responder, time and answers.
fn nonce_of(answer: &[u8]) -> Result<Option<Vec<u8>>, tlv::Malformed> {
    let mut response = tlv::only(answer)?.is(tlv::SEQUENCE)?.inside();
    response.element()?;
    let bytes = response.expect(asn1::context(0))?;
    let mut bytes = tlv::only(bytes.value)?.is(tlv::SEQUENCE)?.inside();
    bytes.expect(tlv::OID)?;
    let basic = tlv::only(bytes.expect(tlv::OCTETS)?.value)?.is(tlv::SEQUENCE)?;
    let data = basic.inside().expect(tlv::SEQUENCE)?.inside();
    // Extensions are the last field; a responder named by its name has the same tag, and is no list of them.
    let Some(last) = data.flatten().last().filter(|last| last.tag == asn1::context(1)) else { return Ok(None) };
    for extension in tlv::only(last.value)?.is(tlv::SEQUENCE)?.inside() {
        let mut fields = extension?.is(tlv::SEQUENCE)?.inside();
        let id = fields.expect(tlv::OID)?;
        fields.optional(asn1::BOOLEAN)?;
        let value = fields.expect(tlv::OCTETS)?.value;
        if tlv::dotted(id.value) == NONCE {
            return Ok(Some(tlv::only(value)?.is(tlv::OCTETS)?.value.to_vec()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
