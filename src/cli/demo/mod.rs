//! `chasqui demo`: two entities and a simulated platform in this process, and a real document from one to the other and
//! its cargo back, through their APIs. Needs no configuration; exits 0 only if everything was as it must be.

mod cast;
mod evidence;
mod history;
mod papers;
mod screen;
mod story;

use std::{path::Path, time::Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    cast::{Cast, Member},
    screen::{Screen, span},
};
use super::{Failure, causes::in_spanish, runtime};
use crate::{
    config::{Log, LogFormat},
    simulator::Comportamiento,
    telemetry,
};

#[derive(Args)]
pub struct Demo {
    /// Al terminar lo deja todo en marcha y muestra direcciones y claves, hasta Ctrl-C
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub fn run(&self) -> Result<(), Failure> {
        // Only what goes wrong: the rest is told by the demo itself.
        let log = Log { level: "error".into(), format: LogFormat::Human };
        telemetry::log::init(&log).map_err(|error| Failure::Failed(error.to_string()))?;
        let folder = tempfile::Builder::new().prefix("chasqui-demo-").tempdir();
        let folder = folder.map_err(|error| {
            Failure::Failed(format!("no se puede crear una carpeta temporal: {}", in_spanish(&error)))
        })?;
        let done = runtime()?.block_on(self.play(folder.path()));
        // The data are thrown away, however it ended.
        folder.close().ok();
        done
    }

    async fn play(&self, folder: &Path) -> Result<(), Failure> {
        let mut screen = Screen::new();
        let cast = tokio::select! {
            told = perform(&mut screen, folder) => told?,
            () = interrupted() => return Err(Failure::Failed("interrumpido".into())),
        };
        if self.keep {
            let password = cast.people().await?;
            keep(&screen, &cast, folder, &password);
            interrupted().await;
        } else {
            screen.line("Para dejarlo en marcha y usar su API: chasqui demo --keep");
        }
        cast.stop().await
    }
}

/// Starts everybody and tells the story.
async fn perform(screen: &mut Screen, folder: &Path) -> Result<Cast, Failure> {
    let began = Instant::now();
    screen.title(
        "chasqui demo",
        "Un documento de ida y vuelta entre dos entidades, por una plataforma simulada, en esta máquina.",
    );
    screen.waiting("se inician la plataforma y las dos entidades");
    let cast = Cast::start(folder).await;
    screen.arrived();
    let cast = cast?;
    screen.part("Plataforma", "SIMULADOR DE LA PIDE", &format!("http://{}", cast.simulator.address()));
    for (role, member) in [("Remite", &cast.sender), ("Recibe", &cast.receiver)] {
        screen.part(role, member.name, &format!("RUC {}", member.ruc));
    }
    let first = story::tell(screen, &cast).await?;
    evidence::show(screen, &cast, &first, folder).await?;
    screen.line("");
    let (checks, took) = (screen.checks(), span(began.elapsed()));
    screen.line(&screen.bold(&format!("Todo en orden: {checks} comprobaciones en {took}.")));
    Ok(cast)
}

/// Shows how to go on by hand.
fn keep(screen: &Screen, cast: &Cast, folder: &Path, password: &str) {
    screen.line("");
    screen.line(&screen.bold("Queda en marcha hasta Ctrl-C"));
    let member = |role: &str, m: &Member| {
        screen.line("");
        screen.line(&format!("   {role}: {}, RUC {}", m.name, m.ruc));
        screen.line(&format!("   Consola      http://{}/", m.daemon.api));
        screen.line(&format!("   API          http://{}", m.daemon.api));
        screen.line(&format!("   Guía         http://{}/api/docs", m.daemon.api));
        screen.line(&format!("   Clave (sgd)  {}", m.key));
        screen.line(&format!("   wsiotramite  {}?wsdl", m.service()));
    };
    member("Remitente", &cast.sender);
    member("Receptora", &cast.receiver);
    screen.line("");
    screen.line("   En las consolas ingresa una persona de cada rol, todas con la misma contraseña:");
    screen.line(&format!("   Cuentas      {}", cast::PEOPLE.map(|(account, ..)| account).join(", ")));
    screen.line(&format!("   Contraseña   {password}"));
    screen.line("");
    screen.line(&format!("   Simulador de la PIDE   http://{}", cast.simulator.address()));
    for c in Comportamiento::TODOS {
        screen.line(&format!("   RUC {}        {}", c.ruc(), c.explicacion()));
    }
    screen.line("");
    screen.line(&format!("   Los datos están en {} y se borran al terminar.", folder.display()));
    screen.line("");
    screen.line("   Por ejemplo, lo que la municipalidad ha despachado:");
    screen.line("");
    screen.line(&format!("     curl -H 'Authorization: Bearer {}' \\", cast.sender.key));
    screen.line(&format!("          http://{}/api/v1/despachos", cast.sender.daemon.api));
    screen.line("");
}

/// Ends when somebody wants the process to end.
async fn interrupted() {
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}
