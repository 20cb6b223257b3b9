//! TLS on our listeners: the certificate we show, whether callers show one and which are let in ([`callers`]), and reading the
//! files anew when they change. What cannot be read leaves what was read before in use.
//!
//! Knows nothing of HTTP. The files are the operator's own and are read whole, within a bound.

mod callers;
pub mod files;
#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::CertificateDer,
    version,
};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub use callers::Caller;
pub use files::Material;

use crate::config::{
    self, ListenerTls,
    tls::{ClientCertificate, TlsVersion},
};

/// How long a caller may take to agree on a connection. It holds a place of the listener meanwhile.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The only protocol spoken inside.
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Why TLS cannot be set up, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("{0}")]
    Setup(String),
}

/// The TLS of one listener. Clones share what is in force.
#[derive(Clone)]
pub struct Tls(Arc<Mutex<State>>);

struct State {
    options: ListenerTls,
    identities: Vec<config::tls::TlsIdentity>,
    material: Arc<Material>,
    config: Arc<ServerConfig>,
    callers: Arc<callers::Known>,
}

/// What a connection is known by once it is secured; an extension of every request on it.
#[derive(Debug, Clone)]
pub struct Secured {
    /// Who showed a certificate of an authority that is believed, and fits the listener's demands.
    pub caller: Option<Arc<Caller>>,
}

impl Tls {
    /// `None` if the listener speaks plain HTTP.
    pub fn open(options: &ListenerTls, identities: &[config::tls::TlsIdentity]) -> Result<Option<Self>, TlsError> {
        if !options.enabled() {
            return Ok(None);
        }
        let material = Arc::new(Material::read(options)?);
        let state = State::new(options.clone(), identities.to_vec(), material)?;
        Ok(Some(Self(Arc::new(Mutex::new(state)))))
    }

    /// Reads the files again, and lets new connections use them if they changed. Says whether they did.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let (options, identities, before) = {
            let state = self.state();
            (state.options.clone(), state.identities.clone(), Arc::clone(&state.material))
        };
        let material = Arc::new(Material::read(&options)?);
        if material == before {
            return Ok(false);
        }
        let fresh = State::new(options, identities, material)?;
        *self.state() = fresh;
        Ok(true)
    }

    /// The same listener with other options, if they can be used. It goes on speaking TLS.
    pub fn change(&self, options: &ListenerTls, identities: &[config::tls::TlsIdentity]) -> Result<(), TlsError> {
        if !options.enabled() {
            return Err(TlsError::Setup("un puerto no deja TLS mientras atiende: reinicie el servicio".into()));
        }
        let material = Arc::new(Material::read(options)?);
        let fresh = State::new(options.clone(), identities.to_vec(), material)?;
        *self.state() = fresh;
        Ok(())
    }

    /// The certificates in use: ours first, then those that say who may call.
    pub fn certificates(&self) -> Vec<(PathBuf, CertificateDer<'static>)> {
        self.state().material.certificates()
    }

    /// Agrees with a caller on a secured connection, within [`HANDSHAKE_TIMEOUT`] or `at_most`.
    pub async fn accept<S>(
        &self,
        stream: S,
        at_most: Duration,
    ) -> Result<(tokio_rustls::server::TlsStream<S>, Secured), Refused>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let (config, callers) = {
            let state = self.state();
            (Arc::clone(&state.config), Arc::clone(&state.callers))
        };
        let agreed = timeout(HANDSHAKE_TIMEOUT.min(at_most), TlsAcceptor::from(config).accept(stream)).await;
        let stream = agreed.map_err(|_| Refused::Silent)?.map_err(|error| Refused::of(&error))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let caller = shown.map(|der| Arc::new(callers.identify(der)));
        Ok((stream, Secured { caller }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(
        options: ListenerTls,
        identities: Vec<config::tls::TlsIdentity>,
        material: Arc<Material>,
    ) -> Result<Self, TlsError> {
        let config = Arc::new(server(&options, &material)?);
        let callers = Arc::new(callers::Known::new(&identities));
        Ok(Self { options, identities, material, config, callers })
    }
}

fn server(options: &ListenerTls, material: &Material) -> Result<ServerConfig, TlsError> {
    let own = || options.certificate.clone().unwrap_or_default();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(options.min_version))
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    let builder = match options.client {
        ClientCertificate::None => builder.with_no_client_auth(),
        asked => {
            let verifier = callers::verifier(options, asked == ClientCertificate::Required, material)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = material.key.clone_key();
    let mut config = builder.with_single_cert(material.chain.clone(), key).map_err(|error| {
        let why = match error {
            rustls::Error::InconsistentKeys(_) => "el certificado no es de la clave que se dio en key".to_owned(),
            other => format!("el certificado o su clave no se pueden usar ({other})"),
        };
        TlsError::File { path: own(), why }
    })?;
    config.alpn_protocols = vec![ALPN_HTTP1.to_vec()];
    Ok(config)
}

/// The cryptography of every TLS connection of ours.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn versions(min: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    static FROM_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match min {
        TlsVersion::Tls12 => &FROM_12,
        TlsVersion::Tls13 => &FROM_13,
    }
}

/// Why a connection was not secured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it did not end its handshake in time")]
    Silent,
    /// It went away, or its network did.
    #[error("it ended the connection: {0}")]
    Gone(String),
    #[error("it does not speak TLS")]
    NotTls,
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    #[error("{0}")]
    Other(String),
}

impl Refused {
    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Gone(_) => "gone",
            Self::NotTls => "not_tls",
            Self::Certificate(_) => "certificate",
            Self::Other(_) => "other",
        }
    }

    fn of(error: &std::io::Error) -> Self {
        use rustls::{CertificateError as C, Error as E, InvalidMessage};
        let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<E>()) else {
            return Self::Gone(error.to_string());
        };
        match cause {
            E::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            E::NoCertificatesPresented => Self::Certificate("it shows none".into()),
            E::InvalidCertificate(C::InvalidPurpose | C::InvalidPurposeContext { .. }) => {
                Self::Certificate("it lacks the extended usage clientAuth: have it issued with it".into())
            }
            E::InvalidCertificate(why) => Self::Certificate(why.to_string()),
            E::AlertReceived(alert) => Self::Gone(format!("{alert:?}")),
            other => Self::Other(other.to_string()),
        }
    }
}
