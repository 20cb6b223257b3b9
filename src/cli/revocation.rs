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
mod tests {
    use std::{
        process::Command,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use openssl::{
        asn1::{Asn1Integer, Asn1Time},
        bn::BigNum,
        pkey::{PKey, Private},
        x509::{X509Builder, X509Extension, X509NameBuilder},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        domain::firmas::{Firma, VeredictoFirma},
        exchange::SystemClock,
        signing::{
            Identity,
            pades::{self, Order},
            trust::Trust,
            verify::{Context, examine},
        },
    };

    const PKI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki");

    fn pki(name: &str) -> String {
        format!("{PKI}/{name}")
    }

    /// How the responder behaves.
    #[derive(Clone, Copy, PartialEq)]
    enum Conduct {
        Good,
        Revoked,
        Unknown,
        /// Its answer ended long ago.
        Stale,
        /// Signed by somebody that the issuer did not charge with it.
        WrongSigner,
        /// An answer to somebody else's question.
        Replayed,
        /// A fresh answer that repeats no nonce.
        NoNonce,
        Silent,
        /// Serves the list of revoked certificates.
        List,
        ListWithIt,
        Rubbish,
    }

    const SERIAL: &str = "4A11CE";

    /// A folder for `openssl ocsp`, which answers a question in a file.
    struct Responder {
        folder: tempfile::TempDir,
        conduct: Conduct,
        asked: AtomicUsize,
    }

    impl Responder {
        fn answer(&self, question: &[u8]) -> Vec<u8> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.conduct {
                Conduct::Rubbish => b"<html>".to_vec(),
                Conduct::List => std::fs::read(pki("intermediate.crl.pem")).unwrap(),
                Conduct::ListWithIt => std::fs::read(self.folder.path().join("crl.pem")).unwrap(),
                Conduct::Replayed => self.ocsp(&with_nonce(&self.plain(question), b"another question").unwrap()),
                Conduct::NoNonce | Conduct::Stale => self.ocsp(&self.plain(question)),
                _ => self.ocsp(question),
            }
        }

        /// The question without its nonce.
        fn plain(&self, question: &[u8]) -> Vec<u8> {
            let tbs = tlv::only(question).unwrap().inside().expect(tlv::SEQUENCE).unwrap();
            let list = tbs.inside().expect(tlv::SEQUENCE).unwrap();
            asn1::sequence(&[&asn1::sequence(&[list.whole])])
        }

        fn ocsp(&self, question: &[u8]) -> Vec<u8> {
            let (dir, signer) = (
                self.folder.path(),
                match self.conduct {
                    Conduct::WrongSigner => "agente-gobierno",
                    _ => "intermediate",
                },
            );
            std::fs::write(dir.join("q.der"), question).unwrap();
            let state = match self.conduct {
                Conduct::Revoked => {
                    format!("R\t501231235959Z\t260101000000Z,keyCompromise\t{SERIAL}\tunknown\t/CN=x\n")
                }
                Conduct::Unknown => String::new(),
                _ => format!("V\t501231235959Z\t\t{SERIAL}\tunknown\t/CN=x\n"),
            };
            std::fs::write(dir.join("index.txt"), state).unwrap();
            let mut command = Command::new("openssl");
            command.current_dir(dir).args(["ocsp", "-index", "index.txt", "-CA", &pki("intermediate.cert.pem")]);
            command.args(["-rsigner", &pki(&format!("{signer}.cert.pem"))]);
            command.args(["-rkey", &pki(&format!("{signer}.key.pem")), "-reqin", "q.der", "-respout", "a.der"]);
            command.args(["-ndays", "1"]);
            let done = command.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            std::fs::read(dir.join("a.der")).unwrap()
        }
    }

    fn key(name: &str) -> PKey<Private> {
        PKey::private_key_from_pem(&std::fs::read(pki(name)).unwrap()).unwrap()
    }

    fn intermediate() -> X509 {
        X509::from_pem(&std::fs::read(pki("intermediate.cert.pem")).unwrap()).unwrap()
    }

    /// A signer whose certificate names these addresses.
    #[allow(deprecated)] // the bindings have no other way to make these two extensions
    fn signer(ocsp: Option<&str>, crl: Option<&str>) -> Identity {
        let (issuer, own) = (intermediate(), key("agente-municipalidad.key.pem"));
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", "QUIEN FIRMA").unwrap();
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_hex_str(SERIAL).unwrap();
        builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
        builder.set_subject_name(&name.build()).unwrap();
        builder.set_issuer_name(issuer.subject_name()).unwrap();
        builder.set_pubkey(&own).unwrap();
        builder.set_not_before(&Asn1Time::from_str("20250101000000Z").unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_str("20501231235959Z").unwrap()).unwrap();
        let mut extend = |name: &str, value: &str| {
            builder.append_extension(X509Extension::new(None, None, name, value).unwrap()).unwrap();
        };
        extend("keyUsage", "critical,digitalSignature,nonRepudiation");
        if let Some(url) = ocsp {
            extend("authorityInfoAccess", &format!("OCSP;URI:{url}"));
        }
        if let Some(url) = crl {
            extend("crlDistributionPoints", &format!("URI:{url}"));
        }
        builder.sign(&key("intermediate.key.pem"), openssl::hash::MessageDigest::sha256()).unwrap();
        let pem = [own.private_key_to_pem_pkcs8().unwrap(), builder.build().to_pem().unwrap()].concat();
        Identity::read(&[pem, issuer.to_pem().unwrap()].concat(), None).unwrap()
    }

    struct World {
        config: Config,
        responder: Arc<Responder>,
        url: String,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn new(conduct: Conduct) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config { data_dir: folder.path().join("data"), ..Config::default() };
            config.trust.fetch_revocation = true;
            config.trust.revocation_private = true;
            config.trust.revocation_budget = Duration::from_secs(if conduct == Conduct::Silent { 1 } else { 20 });
            let responder = Responder { folder: tempfile::tempdir().unwrap(), conduct, asked: AtomicUsize::new(0) };
            let responder = Arc::new(responder);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            tokio::spawn(serve(listener, Arc::clone(&responder)));
            Self { config, responder, url, _folder: folder }
        }

        /// Signs a document with such a certificate and examines it.
        async fn examined(&self, signer: Identity) -> Firma {
            self.examined_by(signer, Arc::new(SystemClock)).await
        }

        async fn examined_by(&self, signer: Identity, clock: Arc<dyn Clock>) -> Firma {
            let now = clock.now();
            let shared = Revocation::new(&self.config, clock).unwrap().unwrap();
            let work = move || {
                let mut signed = Vec::new();
                let pdf = include_bytes!("../../fixtures/oficio.pdf");
                let order = Order { at: now, reason: None, location: None, stamp: None, timestamper: None };
                pades::sign(std::io::Cursor::new(&pdf[..]), &mut signed, &signer, &order).unwrap();
                let mut trust = Trust::default();
                trust.with(&std::fs::read(pki("root.cert.pem")).unwrap(), "root").unwrap();
                let source = shared.for_document();
                let context = Context { now, trust: &trust, folios: None, revocation: Some(&*source) };
                // The sample was signed by somebody else before.
                examine(std::io::Cursor::new(signed), &context).firmas.pop().unwrap()
            };
            tokio::task::spawn_blocking(work).await.unwrap()
        }

        fn asked(&self) -> usize {
            self.responder.asked.load(Ordering::SeqCst)
        }
    }

    async fn serve(listener: TcpListener, responder: Arc<Responder>) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let (mut head, mut length) = (None, 0);
            while head.is_none_or(|head: usize| request.len() < head + length) {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
                head = memchr::memmem::find(&request, b"\r\n\r\n").map(|at| at + 4);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let stated = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
                length = stated.and_then(|n| n.parse().ok()).unwrap_or(0);
            }
            if responder.conduct == Conduct::Silent {
                responder.asked.fetch_add(1, Ordering::SeqCst);
                // Held open, and never answered.
                tokio::spawn(async move {
                    let _open = stream;
                    std::future::pending::<()>().await;
                });
                continue;
            }
            let body = responder.answer(&request[head.unwrap_or(0)..]);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        }
    }

    fn text(firma: &Firma, code: &str) -> String {
        let found = firma.hallazgos.iter().find(|found| found.codigo == code);
        found.unwrap_or_else(|| panic!("no {code}: {:?}", firma.hallazgos)).detalle.clone()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_good_answer_is_told_with_its_source_and_kept() {
        for conduct in [Conduct::Good, Conduct::NoNonce] {
            let world = World::new(conduct).await;
            for _ in 0..2 {
                let firma = world.examined(signer(Some(&world.url), None)).await;
                assert_eq!(firma.veredicto, VeredictoFirma::Confiable);
                let told = text(&firma, "no_revocado");
                assert!(told.contains(&format!("respuesta OCSP de {}", world.url)), "{told}");
            }
            assert_eq!(world.asked(), 1, "the second time it is known");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_revoked_certificate_makes_the_signature_invalid() {
        let world = World::new(Conduct::Revoked).await;
        let firma = world.examined(signer(Some(&world.url), None)).await;
        assert_eq!(firma.veredicto, VeredictoFirma::Invalida);
        let told = text(&firma, "certificado_revocado");
        assert!(told.contains("2025-12-31") && told.contains(&world.url), "in Lima: {told}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_told_is_no_failure_of_the_signature() {
        for (conduct, word) in [
            (Conduct::Unknown, "No se pudo comprobar"),
            (Conduct::WrongSigner, "no vale"),
            (Conduct::Replayed, "no vale"),
            (Conduct::Rubbish, "no vale"),
        ] {
            let world = World::new(conduct).await;
            let firma = world.examined(signer(Some(&world.url), None)).await;
            assert_eq!(firma.veredicto, VeredictoFirma::Confiable);
            let told = text(&firma, "revocacion_sin_comprobar");
            assert!(told.contains(word), "{told}");
        }
        let world = World::new(Conduct::Good).await;
        let told = text(&world.examined(signer(None, None)).await, "revocacion_sin_comprobar");
        assert!(told.contains("no dice dónde preguntarlo"), "{told}");
        assert_eq!(world.asked(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_silent_address_is_waited_for_once_and_not_longer_than_the_budget() {
        let world = World::new(Conduct::Silent).await;
        let shared = Revocation::new(&world.config, Arc::new(SystemClock)).unwrap().unwrap();
        let (one, url) = (signer(Some(&world.url), Some(&world.url)), world.url.clone());
        let ask = move || {
            let certificate = one.certificate().to_owned();
            let first = Arc::clone(&shared).for_document().ask(&certificate, &intermediate()).failed;
            let second = Arc::clone(&shared).for_document().ask(&certificate, &intermediate()).failed;
            let alone = shared.left_alone(&url.parse().unwrap());
            (first, second, alone)
        };
        let (first, second, alone) = tokio::task::spawn_blocking(ask).await.unwrap();
        assert!(first.unwrap().contains("no respondió a tiempo"));
        assert!(second.unwrap().contains("falló hace un momento") && alone);
        assert_eq!(world.asked(), 1);
    }

    /// As if time had passed since the answer was made.
    struct Later(SignedDuration);

    impl Clock for Later {
        fn now(&self) -> Timestamp {
            SystemClock.now().saturating_add(self.0).unwrap()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_from_the_past_does_not_count_and_one_kept_is_asked_for_again_when_it_ends() {
        let world = World::new(Conduct::Stale).await;
        let later = || Arc::new(Later(SignedDuration::from_hours(48)));
        let firma = world.examined_by(signer(Some(&world.url), None), later()).await;
        text(&firma, "revocacion_sin_comprobar");
        let world = World::new(Conduct::Good).await;
        world.examined(signer(Some(&world.url), None)).await;
        world.examined_by(signer(Some(&world.url), None), later()).await;
        assert_eq!(world.asked(), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_list_is_asked_where_there_is_no_service() {
        let world = World::new(Conduct::List).await;
        for _ in 0..2 {
            let firma = world.examined(signer(None, Some(&world.url))).await;
            let told = text(&firma, "no_revocado");
            assert!(told.contains("lista de revocados (CRL) de http://127.0.0.1"), "{told}");
        }
        assert_eq!(world.asked(), 1);

        let world = World::new(Conduct::ListWithIt).await;
        let dir = world.responder.folder.path();
        let entry = format!("R\t501231235959Z\t260101000000Z,keyCompromise\t{SERIAL}\tunknown\t/CN=x\n");
        std::fs::write(dir.join("index.txt"), entry).unwrap();
        std::fs::write(dir.join("ca.cnf"), "[ca]\ndatabase = index.txt\ndefault_md = sha256\ndefault_crl_days = 30\n")
            .unwrap();
        let made = Command::new("openssl")
            .current_dir(dir)
            .args(["ca", "-config", "ca.cnf", "-name", "ca", "-gencrl"])
            .args(["-cert", &pki("intermediate.cert.pem"), "-keyfile", &pki("intermediate.key.pem"), "-out", "crl.pem"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let firma = world.examined(signer(None, Some(&world.url))).await;
        assert_eq!(firma.veredicto, VeredictoFirma::Invalida);
        text(&firma, "certificado_revocado");

        let world = World::new(Conduct::Rubbish).await;
        let told = text(&world.examined(signer(None, Some(&world.url))).await, "revocacion_sin_comprobar");
        assert!(told.contains("no vale"), "{told}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_is_asked_about_a_signer_that_nobody_vouches_for_nor_in_private_networks() {
        let mut world = World::new(Conduct::Good).await;
        world.config.trust.revocation_private = false;
        let told = text(&world.examined(signer(Some(&world.url), None)).await, "revocacion_sin_comprobar");
        assert!(told.contains("dirección interna"), "{told}");
        assert_eq!(world.asked(), 0);
    }
}
