//! What a running daemon does about certificates: it reads the anchors and the trusted lists anew, daily and when told to
//! (SIGHUP), and warns before the certificates of its identities and of its TLS expire and when a list is overdue or cannot
//! be used.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use openssl::{
    asn1::Asn1Time,
    x509::{X509, X509Ref},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{anchors, identities, lists, lists::Known, tls::Secure};
use crate::{
    config::Config,
    domain::{Id, Ruc, lima},
    exchange::{ALERTA, CERTIFICADO_POR_VENCER, Exchange, Live, notices::Noticia},
    signing::Identity,
};

/// Looked at least this often: days go by whatever the lists do.
const ROUND_MAX: Duration = Duration::from_secs(24 * 3600);

/// After a list could not be fetched.
const AGAIN: Duration = Duration::from_secs(3600);

/// Days before the end at which it is told that a certificate expires.
const STEPS: [i64; 5] = [1, 7, 14, 30, 60];

pub struct Watch {
    pub config: Live<Config>,
    pub exchange: Exchange,
    /// Told when everything should be read anew at once.
    pub again: Arc<Notify>,
    pub secure: Secure,
}

impl Watch {
    /// Until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let sound = tokio::select! {
                () = stop.cancelled() => return,
                sound = self.round() => sound,
            };
            let every = self.config.get().trust.list_refresh.min(ROUND_MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(if sound { every } else { every.min(AGAIN) }) => {}
                () = self.again.notified() => tracing::info!("reading anchors, trusted lists and identities again"),
            }
        }
    }

    /// Says whether every list is as it should be.
    async fn round(&self) -> bool {
        let sound = self.believe().await;
        self.warn_of_identities().await;
        self.warn_of_tls().await;
        sound
    }

    async fn believe(&self) -> bool {
        let config = self.config.get();
        let fetched = lists::fetch(&config).await;
        let now = self.exchange.now();
        let read = tokio::task::spawn_blocking(move || {
            let lists = lists::take(&config, fetched, now)?;
            Ok::<_, String>((anchors::with(&config, &lists)?, lists))
        });
        let (trust, lists) = match read.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(error, "the anchors could not be read again; those that were read before stay");
                return false;
            }
        };
        tracing::debug!(anchors = trust.anchors().len(), "anchors read");
        self.exchange.examiner().set_trust(trust);
        for known in &lists {
            self.tell_of_list(known).await;
        }
        lists.iter().all(|known| known.problem.is_none())
    }

    async fn tell_of_list(&self, known: &Known) {
        let sujeto = subject(known.source.as_bytes());
        let (estado, detalle) = match (&known.problem, &known.list) {
            (Some(problem), Some(list)) if list.overdue(self.exchange.now()) => ("vencida", problem.clone()),
            (Some(problem), _) => ("no_se_puede_usar", problem.clone()),
            (None, Some(list)) => {
                let issued = lima::texto(list.issued);
                ("vigente", format!("La lista de confianza {} se lee bien otra vez; es la del {issued}.", known.source))
            }
            (None, None) => return,
        };
        // That all is well is news only after it was not.
        if estado == "vigente" && !self.exchange.avisado(sujeto).await.unwrap_or(false) {
            return;
        }
        if estado != "vigente" {
            tracing::warn!(list = known.source, problem = detalle, "a trusted list");
        }
        self.tell(Noticia { tipo: ALERTA, sujeto, entidad: None, estado: estado.into(), detalle }).await;
    }

    async fn warn_of_identities(&self) {
        let config = self.config.get();
        for entity in &config.entity {
            let entity = entity.clone();
            let ruc = Ruc::parse(&entity.ruc, config.environment).ok();
            match tokio::task::spawn_blocking(move || identities::identity(&entity)).await {
                Ok(Ok(Some(identity))) => {
                    if let Some(noticia) = expiry(&identity, ruc, self.exchange.now()) {
                        tracing::warn!(identity = ?identity, state = noticia.estado, "the certificate of an identity expires");
                        self.tell(noticia).await;
                    }
                }
                Ok(Err(error)) => tracing::error!(error, "an identity cannot be read any more"),
                Ok(Ok(None)) | Err(_) => {}
            }
        }
    }

    async fn warn_of_tls(&self) {
        for (path, der) in self.secure.certificates() {
            let Some(until) = X509::from_der(&der).ok().and_then(|found| not_after(&found)) else { continue };
            let what = format!("Un certificado de TLS ({}, huella {})", path.display(), mark(&der));
            let advice = "Pida otro y reemplace el archivo: el servicio lo lee solo, sin reiniciarse.";
            let Some((estado, detalle)) = ending(&what, until, self.exchange.now(), ["ya no se acepta", advice]) else {
                continue;
            };
            tracing::warn!(file = %path.display(), state = estado, "a certificate of TLS expires");
            let sujeto = subject(&der);
            self.tell(Noticia { tipo: CERTIFICADO_POR_VENCER, sujeto, entidad: None, estado, detalle }).await;
        }
    }

    async fn tell(&self, noticia: Noticia) {
        if let Err(error) = self.exchange.avisar(noticia).await {
            tracing::error!(%error, "a notice could not be stored");
        }
    }
}

/// The same for the same thing.
pub fn subject(of: &[u8]) -> Id {
    let digest = openssl::sha::sha256(of);
    Id::from_u128(digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

/// Whole days until a time; negative once it is past.
pub fn days_left(until: Timestamp, now: Timestamp) -> i64 {
    until.duration_since(now).as_hours().div_euclid(24)
}

/// What is to be told of an identity whose certificate ends within the longest of the steps.
fn expiry(identity: &Identity, entidad: Option<Ruc>, now: Timestamp) -> Option<Noticia> {
    let der = identity.certificate().to_der().unwrap_or_default();
    let of = entidad.as_ref().map(|ruc| format!(" con que firma la entidad {ruc}")).unwrap_or_default();
    // Told by its fingerprint, as `cert list` shows it: an entry of the log keeps no name of a person.
    let what = format!("El certificado{of} (huella {})", mark(&der));
    let advice = "Pida otro a su entidad de certificación, póngalo en identity.file y recargue la configuración («systemctl reload chasqui»).";
    let (estado, detalle) = ending(&what, identity.valida_hasta(), now, ["ya no se firma con él", advice])?;
    Some(Noticia { tipo: CERTIFICADO_POR_VENCER, sujeto: subject(&der), entidad, estado, detalle })
}

fn mark(der: &[u8]) -> String {
    openssl::sha::sha256(der).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The end of a certificate.
pub fn not_after(certificate: &X509Ref) -> Option<Timestamp> {
    let epoch = Asn1Time::from_unix(0).ok()?;
    let since = epoch.diff(certificate.not_after()).ok()?;
    Timestamp::from_second(i64::from(since.days) * 86_400 + i64::from(since.secs)).ok()
}

/// The step that has come, and what is to be told of it; `None` before the first. `said`: what its end brings, and what to do.
fn ending(what: &str, until: Timestamp, now: Timestamp, said: [&str; 2]) -> Option<(String, String)> {
    let ([after, advice], end, days) = (said, lima::texto(until), days_left(until, now));
    if until < now {
        return Some(("vencido".to_owned(), format!("{what} venció el {end}: {after}. {advice}")));
    }
    let step = STEPS.iter().find(|step| days <= **step)?;
    let left = match days {
        0 => "en menos de un día".to_owned(),
        1 => "en un día".to_owned(),
        days => format!("en {days} días"),
    };
    Some((format!("{step}_dias"), format!("{what} vence {left}, el {end}. {advice}")))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::{
        cli::daemon::{self, Overrides, tests::config},
        exchange::SystemClock,
        signing::trusted_list::samples::{GRANTED, INTERMEDIATE, ISSUER, list, service},
        store::Cursor,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn anchors_and_lists_are_read_again_while_the_daemon_runs_and_problems_are_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lista.xml");
        let mut config = config(folder.path());
        config.trust.lists = vec![file.display().to_string()];
        config.trust.list_signers =
            vec![concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki/agente-municipalidad.cert.pem").into()];
        // Without a daemon, whose own watch would look at the same.
        let store = daemon::open_store(&config, &SystemClock).await.unwrap();
        let exchange = daemon::exchange(&config, Overrides::default(), store).unwrap();
        let watch = Watch {
            config: Live::new(config.clone()),
            exchange: exchange.clone(),
            again: Arc::default(),
            secure: Secure::default(),
        };
        let told = async || {
            let facts = exchange.store().facts(Cursor::default(), None, 100).await.unwrap();
            let alerts = facts.into_iter().filter(|at| at.fact.tipo == ALERTA);
            alerts.filter_map(|at| at.fact.estado).collect::<Vec<_>>()
        };
        assert!(!watch.round().await && !watch.round().await);
        assert_eq!(told().await, ["no_se_puede_usar"]);
        assert!(exchange.examiner().trust().is_empty());

        let services = service(ISSUER, INTERMEDIATE, GRANTED, "2025-01-01T00:00:00Z", &[]);
        std::fs::write(&file, list("2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z", 1, &services)).unwrap();
        let anchors = config.data_dir.join("anchors");
        std::fs::create_dir_all(&anchors).unwrap();
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki/root.cert.pem"), anchors.join("a.pem"))
            .unwrap();
        assert!(watch.round().await && watch.round().await);
        assert_eq!(told().await, ["no_se_puede_usar", "vigente"]);
        assert_eq!(exchange.examiner().trust().anchors().len(), 2);

        // A file that is broken now changes nothing.
        std::fs::write(anchors.join("b.pem"), "-----BEGIN nada").unwrap();
        assert!(!watch.round().await);
        assert_eq!(exchange.examiner().trust().anchors().len(), 2);
        exchange.store().close().await.unwrap();
    }

    #[test]
    fn the_end_of_a_certificate_is_told_at_each_step_and_when_it_has_come() {
        let pem = [
            &include_bytes!("../../fixtures/pki/agente-municipalidad.key.pem")[..],
            include_bytes!("../../fixtures/pki/agente-municipalidad.cert.pem"),
        ];
        let identity = Identity::read(&pem.concat(), None).unwrap();
        assert_eq!(identity.valida_hasta().to_string(), "2050-12-31T23:59:59Z");
        let told = |now: &str| expiry(&identity, None, now.parse().unwrap()).map(|n| n.estado);
        for (now, expected) in [
            ("2050-10-01T00:00:00Z", None),
            ("2050-11-02T00:00:00Z", Some("60_dias")),
            ("2050-12-03T00:00:00Z", Some("30_dias")),
            ("2050-12-17T12:00:00Z", Some("14_dias")),
            ("2050-12-25T12:00:00Z", Some("7_dias")),
            ("2050-12-30T12:00:00Z", Some("1_dias")),
            ("2050-12-31T12:00:00Z", Some("1_dias")),
            ("2051-01-01T00:00:01Z", Some("vencido")),
        ] {
            assert_eq!(told(now).as_deref(), expected, "{now}");
        }
        let ruc = Ruc::de_contraparte("20900000015").ok();
        let detalle = expiry(&identity, ruc, "2050-12-25T12:00:00Z".parse().unwrap()).unwrap().detalle;
        assert!(detalle.contains("vence en 6 días") && detalle.contains("identity.file"), "{detalle}");
        assert!(detalle.starts_with("El certificado con que firma la entidad 20900000015 (huella 4d7f048fddde6061)"));
        assert!(!detalle.contains(&identity.titular().nombre), "no name in the log");
    }
}
