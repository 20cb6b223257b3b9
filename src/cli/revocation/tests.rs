//! Asked for real, of an OCSP service and a web server of openssl's making on loopback.

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
            let pdf = include_bytes!("../../../fixtures/oficio.pdf");
            let order = Order { at: now, reason: None, location: None, stamp: None, field: None, timestamper: None };
            pades::sign(std::io::Cursor::new(&pdf[..]), &mut signed, &signer, &order).unwrap();
            let mut trust = Trust::default();
            trust.with(&std::fs::read(pki("root.cert.pem")).unwrap(), "root").unwrap();
            let source = shared.for_document();
            let context = Context { now, trust: &trust, folios: None, revocation: Some(&*source), begun: None };
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
