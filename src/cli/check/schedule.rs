//! The same probes in the daemon, on a schedule: what they find is shown among the metrics, and what fails twice in a row is told
//! with an alert, as is its end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Estado, World, probe_all};
use crate::{
    cli::{client::Api, daemon::CONTROL_SOCKET, watch::subject},
    config::{Config, Loaded},
    exchange::{ALERTA, Exchange, Live, notices::Noticia},
    telemetry::Metrics,
};

/// The first round, so that what starts with the service has started; and every further one.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(15 * 60);

pub struct Schedule {
    pub config: Live<Config>,
    pub exchange: Exchange,
    pub metrics: Arc<Metrics>,
}

/// The worst that each kind of probe found, with what it said.
type Found = BTreeMap<&'static str, (Estado, String)>;

impl Schedule {
    pub async fn run(self, stop: CancellationToken) {
        let (mut wait, mut before) = (FIRST, Found::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => wait = EVERY,
            }
            let found = tokio::select! {
                () = stop.cancelled() => return,
                found = self.round() => found,
            };
            self.tell(&before, &found).await;
            before = found;
        }
    }

    async fn round(&self) -> Found {
        let config = self.config.get();
        let socket = config.data_dir.join(CONTROL_SOCKET);
        let loaded = Loaded { config: (*config).clone(), file: String::new(), origins: BTreeMap::new() };
        let world = World { loaded, api: Api::control(&socket).ok(), now: self.exchange.now() };
        let mut worst = Found::new();
        for found in probe_all(&world).await.into_iter().flat_map(|group| group.comprobaciones) {
            let told = format!("{}: {}", found.nombre, found.detalle);
            let entry = worst.entry(found.clave).or_insert((found.estado, told.clone()));
            if found.estado > entry.0 {
                *entry = (found.estado, told);
            }
        }
        worst
    }

    /// Shows all, and alerts of what failed this time and the last.
    async fn tell(&self, before: &Found, found: &Found) {
        self.metrics.checked(self.exchange.now().as_second());
        for (key, (state, told)) in found {
            self.metrics.check(key, gravity(*state));
            let failed = |state: Option<Estado>| state == Some(Estado::Falla);
            let last = before.get(key).map(|(state, _)| *state);
            let sujeto = subject(format!("check:{key}").as_bytes());
            let (estado, detalle) = match (failed(Some(*state)), failed(last)) {
                (true, true) => ("falla", format!("Una comprobación falla: {told}. «chasqui check» dice qué hacer.")),
                (false, _) => ("bien", format!("Una comprobación que fallaba ya no falla: {told}.")),
                (true, false) => continue,
            };
            if estado == "bien" && !self.exchange.avisado(sujeto).await.unwrap_or(false) {
                continue;
            }
            if estado == "falla" {
                tracing::warn!(probe = key, "a probe fails");
            }
            let noticia = Noticia { tipo: ALERTA, sujeto, entidad: None, estado: estado.into(), detalle };
            if let Err(error) = self.exchange.avisar(noticia).await {
                tracing::error!(%error, "a notice could not be stored");
            }
        }
    }
}

fn gravity(state: Estado) -> i64 {
    match state {
        Estado::Omitida | Estado::Bien => 0,
        Estado::Advertencia => 1,
        Estado::Falla => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::daemon::{Daemon, Overrides, tests::config},
        store::Cursor,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failure_is_told_when_it_stays_and_its_end_too() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
        let metrics = Arc::new(Metrics::default());
        let exchange = daemon.exchange().clone();
        let schedule =
            Schedule { config: Live::new(config), exchange: exchange.clone(), metrics: Arc::clone(&metrics) };
        let found = schedule.round().await;
        // Nobody is at the platform's address in this test.
        assert_eq!(found["pide_tcp"].0, Estado::Falla, "{found:?}");
        assert_eq!(found["almacen"].0, Estado::Bien, "{found:?}");
        schedule.tell(&Found::new(), &found).await;
        schedule.tell(&found, &found).await;
        schedule.tell(&found, &found).await;
        let mut mended = found.clone();
        mended.insert("pide_tcp", (Estado::Bien, "conexión: 3 ms".into()));
        schedule.tell(&found, &mended).await;
        let facts = exchange.store().facts(Cursor::default(), None, 100).await.unwrap();
        let told: Vec<_> =
            facts.into_iter().filter(|at| at.fact.tipo == ALERTA).filter_map(|at| at.fact.estado).collect();
        assert_eq!(told, ["falla", "bien"]);
        let page = metrics.text().unwrap();
        assert!(page.contains("chasqui_check{probe=\"pide_tcp\"} 0"), "{page}");
        daemon.stop().await.unwrap();
    }
}
