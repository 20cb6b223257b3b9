//! `chasqui check`: everything the service needs, probed one by one, each with its cause and what mends it. The daemon runs the same
//! probes on a schedule ([`schedule`]).

mod attached;
mod machine;
mod ours;
mod platform;
mod probe;
pub mod schedule;
#[cfg(test)]
mod tests;

use clap::Args;
use serde::Serialize;

pub use self::probe::{Estado, Group, Grupo, Hallazgo, World};
use super::{ConfigOption, Failure, Format, FormatOption, client::Api, daemon::CONTROL_SOCKET, output, runtime};
use crate::{
    config::{self, ConfigError, Loaded},
    exchange::{Clock, SystemClock},
};

/// All groups, in the order in which they are told.
const GROUPS: [Group; 5] = [
    Group { nombre: "Configuración", run: |world| Box::pin(machine::configuration(world)) },
    Group { nombre: "Esta máquina", run: |world| Box::pin(machine::machine(world)) },
    Group { nombre: "La plataforma (PIDE)", run: |world| Box::pin(platform::platform(world)) },
    Group { nombre: "Lo que otros alcanzan de aquí", run: |world| Box::pin(ours::ours(world)) },
    Group { nombre: "Lo que el servicio usa", run: |world| Box::pin(attached::attached(world)) },
];

#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
    /// Una línea y el código de salida que espera Nagios: 0 bien, 1 advertencia, 2 falla
    #[arg(long)]
    nagios: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    estado: Estado,
    grupos: &'a [Grupo],
}

impl Check {
    pub fn run(&self) -> Result<(), Failure> {
        let found = match self.config.load() {
            Ok(loaded) => runtime()?.block_on(look(loaded)),
            Err(error) => vec![unreadable(&error)],
        };
        let worst = probe::worst(&found);
        if self.nagios {
            return nagios(&found, worst);
        }
        match self.format.format {
            Format::Json => output::json(&Report { estado: worst, grupos: &found })?,
            Format::Text => lines(&found).iter().for_each(|line| output::say(line)),
        }
        match worst {
            Estado::Falla => Err(Failure::Failed("hay comprobaciones que fallan".into())),
            _ => Ok(()),
        }
    }
}

async fn look(loaded: Loaded) -> Vec<Grupo> {
    let socket = loaded.config.data_dir.join(CONTROL_SOCKET);
    let running = tokio::net::UnixStream::connect(&socket).await.is_ok();
    let api = if running { Api::control(&socket).ok() } else { None };
    probe_all(&World { loaded, api, now: SystemClock.now() }).await
}

/// Every group's findings.
pub async fn probe_all(world: &World) -> Vec<Grupo> {
    let mut found = Vec::with_capacity(GROUPS.len());
    for group in GROUPS {
        found.push(Grupo { nombre: group.nombre, comprobaciones: (group.run)(world).await });
    }
    found
}

/// All that can be said where the configuration cannot be read.
fn unreadable(error: &ConfigError) -> Grupo {
    let told = |problem: &config::Problem| {
        let remedio = format!("Corrija {}: config.example.toml explica cada clave", problem.place);
        Hallazgo::falla("configuracion", &problem.place, &problem.what).remedio(remedio)
    };
    Grupo { nombre: "Configuración", comprobaciones: error.problems.iter().map(told).collect() }
}

/// `1.2` and the finding.
fn numbered(found: &[Grupo]) -> impl Iterator<Item = (String, &Hallazgo)> {
    found.iter().enumerate().flat_map(|(group, of)| {
        let number = move |n: usize| format!("{}.{}", group + 1, n + 1);
        of.comprobaciones.iter().enumerate().map(move |(n, found)| (number(n), found))
    })
}

fn lines(found: &[Grupo]) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, group) in found.iter().enumerate() {
        lines.push(format!("{} {}", n + 1, group.nombre));
        for (m, found) in group.comprobaciones.iter().enumerate() {
            let number = format!("{}.{}", n + 1, m + 1);
            lines.push(format!("  {number:<5} {:<11}  {}: {}", found.estado.word(), found.nombre, found.detalle));
            lines.extend(found.remedio.iter().map(|what| format!("        {:<11}  → {what}", "")));
        }
    }
    let count = |estado| numbered(found).filter(|(_, found)| found.estado == estado).count();
    let (bien, advertencias, fallas) = (count(Estado::Bien), count(Estado::Advertencia), count(Estado::Falla));
    lines.push(format!("{bien} bien, {advertencias} con advertencia, {fallas} con falla"));
    lines
}

fn nagios(found: &[Grupo], worst: Estado) -> Result<(), Failure> {
    let (word, code) = match worst {
        Estado::Omitida | Estado::Bien => ("OK", 0),
        Estado::Advertencia => ("WARNING", 1),
        Estado::Falla => ("CRITICAL", 2),
    };
    let bad = numbered(found).filter(|(_, found)| found.estado >= Estado::Advertencia && found.estado == worst);
    let told: Vec<String> =
        bad.map(|(number, found)| format!("{number} {}: {}", found.nombre, found.detalle)).collect();
    let count = |estado| numbered(found).filter(|(_, found)| found.estado == estado).count();
    let (warnings, failures) = (count(Estado::Advertencia), count(Estado::Falla));
    let told = if told.is_empty() { "todo bien".into() } else { told.join("; ") };
    // A bar begins the figures, and a line is all that is read.
    let told = told.replace(['|', '\n'], " ");
    output::say(&format!("CHASQUI {word} - {told} | fallas={failures} advertencias={warnings}"));
    if code == 0 { Ok(()) } else { Err(Failure::Ended(code)) }
}
