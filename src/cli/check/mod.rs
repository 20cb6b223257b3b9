//! `chasqui check`: everything the service needs, probed one by one, each with its cause and what mends it. The daemon runs the same
//! probes on a schedule ([`schedule`]).

mod attached;
mod machine;
mod ours;
mod platform;
mod probe;
mod production;
pub mod schedule;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
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
    #[arg(long, conflicts_with = "goal")]
    nagios: bool,
    /// Decide si se puede pasar a ese ambiente, con sus razones: production
    #[arg(long = "for", value_name = "AMBIENTE", hide_possible_values = true)]
    goal: Option<Goal>,
    /// Con --for: el expediente [si no se da: expediente.toml aquí]
    #[arg(long, value_name = "ARCHIVO", requires = "goal")]
    expediente: Option<PathBuf>,
    /// Con --for: deja el resultado también en un PDF; no debe existir
    #[arg(long, value_name = "ARCHIVO.pdf", requires = "goal")]
    out: Option<PathBuf>,
}

/// What is decided about.
#[derive(Clone, Copy, ValueEnum)]
enum Goal {
    Production,
}

#[derive(Serialize)]
struct Report<'a> {
    estado: Estado,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<production::Decision>,
    grupos: &'a [Grupo],
}

impl Check {
    pub fn run(&self) -> Result<(), Failure> {
        let found = match (self.config.load(), self.goal) {
            (Ok(loaded), None) => runtime()?.block_on(look(loaded)),
            (Ok(loaded), Some(Goal::Production)) => runtime()?.block_on(self.decide(loaded))?,
            (Err(error), _) => vec![unreadable(&error)],
        };
        let worst = probe::worst(&found);
        if self.nagios {
            return nagios(&found, worst);
        }
        match self.format.format {
            Format::Json => {
                let decision = self.goal.map(|_| production::Decision::of(&found));
                output::json(&Report { estado: worst, decision, grupos: &found })?;
            }
            Format::Text => {
                lines(&found).iter().for_each(|line| output::say(line));
                if self.goal.is_some() {
                    production::told(&found).iter().for_each(|line| output::say(line));
                }
            }
        }
        match worst {
            Estado::Falla => Err(Failure::Failed("hay comprobaciones que fallan".into())),
            _ => Ok(()),
        }
    }
}

impl Check {
    /// All that `check` looks at, and what production asks for besides.
    async fn decide(&self, loaded: Loaded) -> Result<Vec<Grupo>, Failure> {
        let world = world(loaded).await;
        let expediente = self.expediente.clone().unwrap_or_else(|| "expediente.toml".into());
        let found = production::look(&world, probe_all(&world).await, &expediente).await;
        if let Some(out) = &self.out {
            production::pdf(&found, &world, out)?;
        }
        Ok(found)
    }
}

async fn look(loaded: Loaded) -> Vec<Grupo> {
    probe_all(&world(loaded).await).await
}

async fn world(loaded: Loaded) -> World {
    let socket = loaded.config.data_dir.join(CONTROL_SOCKET);
    let running = tokio::net::UnixStream::connect(&socket).await.is_ok();
    let api = if running { Api::control(&socket).ok() } else { None };
    World { loaded, api, now: SystemClock.now() }
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
