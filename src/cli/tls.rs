//! The TLS of a daemon's listeners: opened with it, and its files read again when they change. A problem is told once, and so
//! is its end.

use std::{path::PathBuf, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use super::watch::subject;
use crate::{
    config::{self, Config},
    exchange::{ALERTA, Exchange, notices::Noticia},
    http::tls::{Tls, TlsError},
};

/// How often the files are looked at: replacing them is all that has to be done.
const LOOK_EVERY: Duration = Duration::from_secs(if cfg!(debug_assertions) { 1 } else { 30 });

/// One for each listener; those without speak plain HTTP.
#[derive(Clone, Default)]
pub struct Secure {
    pub soap: Option<Tls>,
    pub api: Option<Tls>,
}

impl Secure {
    /// Fails with the section of the configuration that is to be mended.
    pub fn open(config: &config::Tls) -> Result<Self, String> {
        let open = |section, options| {
            Tls::open(options, &config.identity).map_err(|error: TlsError| format!("[{section}] {error}"))
        };
        Ok(Self { soap: open("tls.soap", &config.soap)?, api: open("tls.api", &config.api)? })
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Tls)> {
        let both = [("tls.soap", &self.soap), ("tls.api", &self.api)];
        both.into_iter().filter_map(|(section, tls)| Some((section, tls.as_ref()?)))
    }

    /// The certificates in use, with their files.
    pub fn certificates(&self) -> Vec<(PathBuf, CertificateDer<'static>)> {
        self.all().flat_map(|(_, tls)| tls.certificates()).collect()
    }

    /// Has other options in force, if all of them can be used.
    pub fn change(&self, fresh: &config::Tls) -> Result<(), String> {
        // What cannot be used is found before anything changes.
        Self::open(fresh)?;
        for (section, tls) in self.all() {
            let options = if section == "tls.soap" { &fresh.soap } else { &fresh.api };
            tls.change(options, &fresh.identity).map_err(|error| format!("[{section}] {error}"))?;
        }
        Ok(())
    }

    /// Whether this configuration has TLS on other listeners than are served: that takes a restart.
    pub fn differs(&self, config: &Config) -> bool {
        (self.soap.is_some(), self.api.is_some()) != (config.tls.soap.enabled(), config.tls.api.enabled())
    }

    /// Looks at the files until `stop`.
    pub async fn watch(self, exchange: Exchange, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            for (section, tls) in self.all() {
                let tls = tls.clone();
                let read = tokio::task::spawn_blocking(move || tls.refresh()).await;
                match read {
                    Ok(found) => tell(&exchange, section, found).await,
                    Err(error) => tracing::error!(%error, section, "the files of TLS were not looked at"),
                }
            }
        }
    }
}

/// Tells what looking at the files found, unless it was told already.
async fn tell(exchange: &Exchange, section: &str, found: Result<bool, TlsError>) {
    let sujeto = subject(section.as_bytes());
    let (estado, detalle) = match found {
        Ok(true) => {
            tracing::info!(section, "new connections use the certificate and authorities read anew");
            ("vigente", format!("Los archivos de [{section}] se leyeron bien y están en uso."))
        }
        // Replaced half by half, the second half makes it right: what was in use stays in use.
        Ok(false) => ("vigente", format!("Los archivos de [{section}] se leen bien otra vez.")),
        Err(error) => {
            tracing::warn!(section, %error, "the files of TLS cannot be used; those read before stay in use");
            let detalle =
                format!("Los archivos de [{section}] no se pueden usar y se sigue con los anteriores: {error}.");
            ("no_se_puede_usar", detalle)
        }
    };
    if estado == "vigente" && !exchange.avisado(sujeto).await.unwrap_or(false) {
        return;
    }
    let noticia = Noticia { tipo: ALERTA, sujeto, entidad: None, estado: estado.into(), detalle };
    if let Err(error) = exchange.avisar(noticia).await {
        tracing::error!(%error, "a notice could not be stored");
    }
}

#[cfg(test)]
mod tests {
    use reqwest::{Certificate, Client, Identity, StatusCode, header};

    use super::*;
    use crate::{
        cli::daemon::{Daemon, Overrides, tests::config},
        config::{
            ListenerTls,
            tls::{ClientCertificate, TlsIdentity},
        },
        exchange::{Actor, NuevaClave},
        http::tls::samples::{Pair, Usage},
        platform::client::install_tls_provider,
        store::{Cursor, Rol},
    };

    fn client(authority: &Pair, own: Option<&Pair>) -> Client {
        install_tls_provider();
        let mut builder =
            Client::builder().no_proxy().tls_certs_only([Certificate::from_pem(&authority.pem()).unwrap()]);
        if let Some(own) = own {
            builder = builder.identity(Identity::from_pem(&[own.key_pem(), own.pem()].concat()).unwrap());
        }
        builder.build().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_certificate_of_an_sgd_opens_the_api_as_its_key_does_until_that_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Pair::root("Autoridad");
        let [certificate, key] = authority.issue(&[("CN", "localhost")], Usage::Server).write(folder.path(), "api");
        let [authorities, _] = authority.write(folder.path(), "autoridad");
        let mut config = config(folder.path());
        let listener = ListenerTls { certificate: Some(certificate), key: Some(key), ..ListenerTls::default() };
        config.tls.soap = listener.clone();
        config.tls.api = ListenerTls { client: ClientCertificate::Optional, client_ca: vec![authorities], ..listener };
        // The key's id is known only once it is made: a daemon before it makes it.
        let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
        let new = NuevaClave { nombre: "SGD".into(), rol: Rol::Sgd, entidad: None };
        let (_, made) = daemon.exchange().crear_clave(&Actor::local(), new).await.unwrap();
        daemon.stop().await.unwrap();
        let subject = Some("CN=sgd.entidad.gob.pe".into());
        config.tls.identity = vec![TlsIdentity { subject, fingerprint: None, api_key: made.id.to_string() }];

        let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
        let sgd = authority.issue(&[("CN", "sgd.entidad.gob.pe")], Usage::Client);
        let (stranger, known) = (client(&authority, None), client(&authority, Some(&sgd)));
        let url = |path: &str| format!("https://localhost:{}{path}", daemon.api.port());
        let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status();
        let list = url("/api/v1/despachos");
        assert_eq!(status(stranger.get(&list)).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(known.get(&list)).await, StatusCode::OK);
        let page = known.get(&list).header(header::ORIGIN, "https://otra.pe");
        assert_eq!(status(page).await, StatusCode::UNAUTHORIZED, "a page of somebody else acts with no certificate");
        assert_eq!(status(known.get(&list).bearer_auth("chq_no")).await, StatusCode::UNAUTHORIZED);
        let admin = url("/api/v1/admin/api-keys");
        assert_eq!(status(known.get(&admin)).await, StatusCode::FORBIDDEN);
        let wsdl = format!("https://localhost:{}/wsiotramite/Tramite?wsdl", daemon.soap.port());
        let text = stranger.get(&wsdl).send().await.unwrap().text().await.unwrap();
        assert!(text.contains(&format!("location=\"https://localhost:{}/", daemon.soap.port())), "{text}");
        daemon.exchange().revocar_clave(&Actor::local(), made.id).await.unwrap();
        assert_eq!(status(known.get(&list)).await, StatusCode::UNAUTHORIZED);
        daemon.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_that_cannot_be_used_are_told_once_and_their_end_too() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
        let broken = || Err(TlsError::Setup("el certificado no es de la clave".into()));
        for found in [Ok(false), broken(), broken(), Ok(true), Ok(false)] {
            tell(daemon.exchange(), "tls.api", found).await;
        }
        let facts = daemon.exchange().store().facts(Cursor::default(), None, 100).await.unwrap();
        let told: Vec<_> =
            facts.into_iter().filter(|at| at.fact.tipo == ALERTA).filter_map(|at| at.fact.estado).collect();
        assert_eq!(told, ["no_se_puede_usar", "vigente"]);
        daemon.stop().await.unwrap();
    }
}
