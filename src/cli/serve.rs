//! `chasqui serve`: the daemon, until it is told to stop.

use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    ConfigOption, Failure,
    daemon::{Daemon, Overrides},
    notify::Supervisor,
    reload::Read,
    runtime,
};
use crate::{config::Loaded, telemetry};

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    config: ConfigOption,
}

impl Serve {
    pub fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        let level = telemetry::log::init(&loaded.config.log).map_err(|error| Failure::Failed(error.to_string()))?;
        let again = self.config.clone();
        let read: Read = Arc::new(move || Ok(again.load().map_err(|error| error.to_string())?.config));
        let origins = Arc::new((loaded.file.clone(), loaded.origins.clone()));
        let overrides = Overrides { read: Some(read), level: Some(level), origins, ..Overrides::default() };
        runtime()?.block_on(serve(&loaded, overrides))
    }
}

async fn serve(loaded: &Loaded, overrides: Overrides) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let mut signals = Signals::new().map_err(|error| failed(&error))?;
    let config = &loaded.config;
    let mut daemon = Daemon::start(config, overrides).await.map_err(|error| failed(&error))?;
    let supervisor = Supervisor::of_environment().map(Arc::new);
    let living = supervisor.clone().and_then(Supervisor::live);
    if let Some(supervisor) = &supervisor {
        supervisor.ready();
    }
    let entities: Vec<String> = config.entities().iter().map(|e| e.ruc.to_string()).collect();
    tracing::info!(
        config = loaded.file,
        environment = ?config.environment,
        soap = %daemon.soap,
        api = %daemon.api,
        data_dir = %config.data_dir.display(),
        entities = entities.join(","),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    let broken = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                HANGUP => {
                    daemon.reload().await;
                }
                signal => {
                    tracing::info!(signal, "stopping: requests under way may end");
                    break None;
                }
            },
            what = daemon.failed() => {
                tracing::error!(what, "stopping: the daemon cannot go on");
                break Some(what);
            }
        }
    };
    if let Some(supervisor) = &supervisor {
        supervisor.stopping();
    }
    tokio::select! {
        stopped = daemon.stop() => stopped.map_err(|error| failed(&error))?,
        signal = signals.stop() => return Err(Failure::Failed(format!("detenido sin esperar, por {signal}"))),
    }
    if let Some(living) = living {
        living.abort();
    }
    tracing::info!("stopped");
    broken.map_or(Ok(()), |what| Err(Failure::Failed(format!("se detuvo por una falla: {what}"))))
}

/// The signal that has things read again.
const HANGUP: &str = "SIGHUP";

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next signal.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            _ = self.hup.recv() => HANGUP,
        }
    }

    /// Ends with the name of a signal that asks to stop.
    async fn stop(&mut self) -> &'static str {
        loop {
            match self.next().await {
                HANGUP => {}
                signal => return signal,
            }
        }
    }
}
