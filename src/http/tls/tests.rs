//! A listener that speaks TLS, called by another implementation (OpenSSL) over loopback.

use std::{net::SocketAddr, path::Path};

use axum::{Router, extract::Extension, routing::get};
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslFiletype, SslMethod, SslVersion};
use std::io::{Read, Write};
use tokio::{net::TcpListener, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::{
    samples::{Pair, Usage},
    *,
};
use crate::{
    config::tls::TlsIdentity,
    domain::Id,
    http::server::{self, Listener, Options},
    telemetry::Metrics,
};

struct World {
    folder: tempfile::TempDir,
    authority: Pair,
    tls: Tls,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

async fn start(change: impl FnOnce(&Path, &Pair, &mut ListenerTls)) -> World {
    start_with(change, &[], |_| {}).await
}

async fn start_with(
    change: impl FnOnce(&Path, &Pair, &mut ListenerTls),
    identities: &[TlsIdentity],
    limit: impl FnOnce(&mut Options),
) -> World {
    let folder = tempfile::tempdir().unwrap();
    let authority = Pair::root("Autoridad de prueba");
    let [certificate, key] = authority.issue(&[("CN", "localhost")], Usage::Server).write(folder.path(), "servidor");
    authority.write(folder.path(), "autoridad");
    let mut options = ListenerTls { certificate: Some(certificate), key: Some(key), ..ListenerTls::default() };
    change(folder.path(), &authority, &mut options);
    let tls = Tls::open(&options, identities).unwrap().unwrap();
    let who = |Extension(secured): Extension<Secured>| async move {
        match secured.caller.as_deref() {
            None => "nobody".to_owned(),
            Some(Caller { api_key, .. }) => format!("{api_key:?}"),
        }
    };
    let (metrics, stop) = (Arc::new(Metrics::default()), CancellationToken::new());
    let mut serving = Options::new("test", &config::Limits::default(), Arc::clone(&metrics));
    serving.tls = Some(tls.clone());
    limit(&mut serving);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve(Listener::Tcp(listener), Router::new().route("/", get(who)), serving, stop.clone()));
    World { folder, authority, tls, address, metrics, stop }
}

impl World {
    /// Asks as a caller that believes our authority, set up further by `change`. The answer's last line, or why not.
    async fn ask(&self, change: impl FnOnce(&mut SslConnectorBuilder)) -> Result<String, String> {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.cert_store_mut().add_cert(self.authority.certificate.clone()).unwrap();
        change(&mut connector);
        let (connector, address) = (connector.build(), self.address);
        spawn_blocking(move || {
            let stream = std::net::TcpStream::connect(address).unwrap();
            let mut stream = connector.connect("localhost", stream).map_err(|error| error.to_string())?;
            let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            let mut answer = String::new();
            let asked = stream.write_all(request).and_then(|()| stream.read_to_string(&mut answer));
            asked.map_err(|error| error.to_string())?;
            Ok(answer.lines().last().unwrap_or_default().to_owned())
        })
        .await
        .unwrap()
    }

    fn shown(&self, pair: &Pair) -> impl FnOnce(&mut SslConnectorBuilder) + use<> {
        let name = format!("cliente-{}", &pair.certificate.serial_number().to_bn().unwrap().to_string());
        let [certificate, key] = pair.write(self.folder.path(), &name);
        move |connector| {
            connector.set_certificate_file(certificate, SslFiletype::PEM).unwrap();
            connector.set_private_key_file(key, SslFiletype::PEM).unwrap();
        }
    }

    fn refused(&self, why: &str) -> bool {
        let page = self.metrics.text().unwrap();
        page.contains(&format!("chasqui_tls_refused_total{{listener=\"test\",why=\"{why}\"}}"))
    }
}

fn asked(asked: ClientCertificate) -> impl Fn(&Path, &Pair, &mut ListenerTls) {
    move |folder, _, options| {
        options.client = asked;
        options.client_ca = vec![folder.join("autoridad.pem")];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_spoken_and_older_ones_are_not() {
    let world = start(|_, _, _| {}).await;
    for (version, spoken) in [(SslVersion::TLS1_3, true), (SslVersion::TLS1_2, true), (SslVersion::TLS1_1, false)] {
        let answer = world
            .ask(|connector| {
                connector.set_min_proto_version(Some(version)).unwrap();
                connector.set_max_proto_version(Some(version)).unwrap();
            })
            .await;
        assert_eq!(answer.is_ok(), spoken, "{version:?}: {answer:?}");
    }
    let strict = start(|_, _, options| options.min_version = TlsVersion::Tls13).await;
    assert!(strict.ask(|connector| connector.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap()).await.is_err());
    assert_eq!(strict.ask(|_| {}).await.unwrap(), "nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_certificate_must_come_from_the_authority_and_be_a_clients() {
    let world = start(asked(ClientCertificate::Required)).await;
    assert!(world.ask(|_| {}).await.is_err());
    let one = world.authority.issue(&[("CN", "pide")], Usage::Client);
    assert_eq!(world.ask(world.shown(&one)).await.unwrap(), "None");
    let stranger = Pair::root("Otra").issue(&[("CN", "pide")], Usage::Client);
    assert!(world.ask(world.shown(&stranger)).await.is_err());
    let unsaid = world.authority.issue(&[("CN", "pide")], Usage::Unsaid);
    assert!(world.ask(world.shown(&unsaid)).await.is_err());
    assert!(world.refused("certificate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_with_other_names_than_the_configured_ones_is_refused() {
    let world = start(|folder, authority, options| {
        asked(ClientCertificate::Required)(folder, authority, options);
        options.client_subjects = vec!["cn = PIDE.gob.pe, O=PCM".into(), "CN=otra".into()];
        options.client_issuers = vec!["CN=Autoridad de prueba".into()];
    })
    .await;
    let named = |parts: &[(&str, &str)]| world.authority.issue(parts, Usage::Client);
    let right = named(&[("C", "PE"), ("O", "PCM"), ("CN", "pide.gob.pe")]);
    assert!(world.ask(world.shown(&right)).await.is_ok());
    assert!(world.ask(world.shown(&named(&[("CN", "otra")]))).await.is_ok());
    for wrong in [named(&[("CN", "pide.gob.pe")]), named(&[("O", "PCM"), ("CN", "pide.gob.pe.mal.com")])] {
        assert!(world.ask(world.shown(&wrong)).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_optional_certificate_says_which_key_its_owner_holds() {
    let key = Id::from_u128(7);
    let identity = TlsIdentity { subject: Some("CN=sgd".into()), fingerprint: None, api_key: key.to_string() };
    let world = start_with(asked(ClientCertificate::Optional), &[identity], |_| {}).await;
    assert_eq!(world.ask(|_| {}).await.unwrap(), "nobody");
    let sgd = world.authority.issue(&[("CN", "sgd")], Usage::Client);
    assert_eq!(world.ask(world.shown(&sgd)).await.unwrap(), format!("Some({key})"));
    let other = world.authority.issue(&[("CN", "sgd2")], Usage::Client);
    assert_eq!(world.ask(world.shown(&other)).await.unwrap(), "None");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_once_its_files_are_there_and_a_broken_one_is_not() {
    let world = start(|_, _, _| {}).await;
    assert!(!world.tls.refresh().unwrap());
    let before = world.tls.certificates();
    // Only half of it is there yet.
    let next = world.authority.issue(&[("CN", "localhost"), ("O", "nueva")], Usage::Server);
    std::fs::write(world.folder.path().join("servidor.pem"), next.pem()).unwrap();
    let error = world.tls.refresh().unwrap_err().to_string();
    assert!(error.ends_with("servidor.pem: el certificado no es de la clave que se dio en key"), "{error}");
    assert_eq!(world.tls.certificates(), before);
    assert!(world.ask(|_| {}).await.is_ok());
    next.write(world.folder.path(), "servidor");
    assert!(world.tls.refresh().unwrap());
    assert_eq!(world.tls.certificates()[0].1.as_ref(), next.certificate.to_der().unwrap());
    assert!(world.ask(|_| {}).await.is_ok());
    std::fs::write(world.folder.path().join("servidor.key"), "nada").unwrap();
    assert!(world.tls.refresh().is_err() && world.ask(|_| {}).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_a_secured_listener_is_counted_and_ended() {
    let world = start(|_, _, _| {}).await;
    let address = world.address;
    let answer = spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        answer
    });
    assert!(!String::from_utf8_lossy(&answer.await.unwrap()).contains("HTTP"));
    assert!(world.refused("not_tls"));
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_let_go_and_holds_a_place_until_then() {
    let world = start_with(|_, _, _| {}, &[], |options| options.connections_max = 1).await;
    let began = tokio::time::Instant::now();
    let mut silent = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let end = tokio::io::AsyncReadExt::read(&mut silent, &mut [0; 1]).await;
    assert!(matches!(end, Ok(0) | Err(_)));
    assert_eq!(began.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
    assert!(world.refused("silent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_does_not_wait_for_who_says_nothing() {
    let world = start(|_, _, _| {}).await;
    let mut silent = tokio::net::TcpStream::connect(world.address).await.unwrap();
    while !world.metrics.text().unwrap().contains("chasqui_http_connections{listener=\"test\"} 1") {
        tokio::task::yield_now().await;
    }
    world.stop.cancel();
    assert!(matches!(tokio::io::AsyncReadExt::read(&mut silent, &mut [0; 1]).await, Ok(0) | Err(_)));
}

#[test]
fn files_that_cannot_be_used_are_told_by_name_and_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let one = Pair::root("Una");
    let [certificate, key] = one.write(folder.path(), "una");
    let sealed = one.key.private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"x").unwrap();
    std::fs::write(folder.path().join("sellada.key"), sealed).unwrap();
    let told = |certificate: &Path, key: &Path| {
        let options = ListenerTls {
            certificate: Some(certificate.to_owned()),
            key: Some(key.to_owned()),
            ..ListenerTls::default()
        };
        Tls::open(&options, &[]).map(|_| ()).unwrap_err().to_string()
    };
    for (certificate, key, expected) in [
        (folder.path().join("no.pem"), key.clone(), "no.pem: no existe"),
        (key.clone(), key.clone(), "una.key: no tiene ningún certificado en PEM"),
        (certificate.clone(), certificate.clone(), "una.pem: no tiene una clave privada en PEM"),
        (certificate.clone(), folder.path().join("sellada.key"), "sellada.key: la clave tiene contraseña"),
    ] {
        let error = told(&certificate, &key);
        assert!(error.contains(expected), "{error}");
    }
}
