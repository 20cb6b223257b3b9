//! The command line: each file one command. Reads the configuration, composes the floors below ([`daemon`]) and talks to
//! a running daemon ([`client`]). What a person reads is Spanish; results go to standard output, all else to standard error.
//!
//! Exit codes: 0 done, 1 the thing asked about failed, 2 wrong usage or configuration, 3 daemon or network not reachable, 4
//! accepted and not ended within the time waited.

mod anchors;
mod api_key;
mod audit;
mod backup;
mod cert;
mod check;
mod client;
mod conformance;
pub mod daemon;
mod demo;
mod fetch;
mod hold;
mod identities;
mod import;
mod limits;
mod lists;
mod maintenance;
#[cfg(test)]
mod manual;
mod migrate;
mod networks;
mod notify;
mod onboarding;
mod output;
mod pdf;
mod programa;
mod purge;
mod queue;
mod ready;
mod reload;
mod revocation;
mod send;
mod serve;
mod shell;
mod simulator;
mod store;
mod tls;
mod usage;
mod user;
mod watch;
mod webhook;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, ConfigError, Loaded, causes};

/// Exchange of documents between public entities.
#[derive(Parser)]
#[command(name = "chasqui", version, about = "Intercambio de documentos entre entidades públicas del Perú por la PIDE")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Muestra un intercambio entero entre dos entidades, sin configurar nada
    Demo(demo::Demo),
    /// Atiende: recibe de la plataforma, despacha, y sirve la API
    Serve(serve::Serve),
    /// Comprueba todo lo que el servicio necesita, y dice qué hacer con lo que falla
    Check(check::Check),
    /// Envía un documento por un chasqui en marcha y espera su estado
    Send(Box<send::Send>),
    /// Las entregas en marcha y las que no avanzan
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Deja de recibir y enviar por un tiempo, y dice a todos que vuelvan después
    #[command(subcommand)]
    Maintenance(maintenance::Maintenance),
    /// Los avisos al SGD: cómo van, probarlos, repetirlos
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// El registro de auditoría: verificarlo, firmarlo, exportarlo
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Certificados de confianza
    #[command(subcommand)]
    Cert(cert::Cert),
    /// Claves de la API para los SGD y las personas
    #[command(subcommand)]
    ApiKey(api_key::ApiKey),
    /// Las personas de la consola
    #[command(subcommand)]
    User(user::User),
    /// Firma documentos PDF y examina sus firmas
    #[command(subcommand)]
    Pdf(pdf::Pdf),
    /// La plataforma simulada, para quien aún no tiene acceso a la real
    Simulator(simulator::SimulatorCommand),
    /// Los seis pasos administrativos: formularios, correos y acta
    #[command(subcommand)]
    Onboarding(onboarding::Onboarding),
    /// «MPV Pruebas»: prueba un componente wsiotramite e informa en qué cumple
    #[command(subcommand)]
    Conformance(conformance::Conformance),
    /// El almacén de datos
    #[command(subcommand)]
    Store(store::Store),
    /// Trae los intercambios de un sistema anterior
    #[command(subcommand)]
    Import(import::Import),
    /// Los límites en vigor: cuánto, en qué unidad y dónde se fijó cada uno
    Limits(limits::LimitsCommand),
    /// Lo que el intérprete de órdenes completa con el tabulador
    Completions(shell::Completions),
    /// Las páginas de manual, una por cada orden
    Man(shell::ManPages),
}

/// How a command ended, if not well.
#[derive(Debug)]
enum Failure {
    /// Exit 1.
    Failed(String),
    /// Exit 2.
    Usage(String),
    /// Exit 3.
    Unreachable(String),
    /// Exit 4: nothing failed, and the end is not known yet.
    Pending(String),
    /// Said already; ends with this.
    Ended(u8),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Pending(_) => 4,
            Self::Ended(code) => *code,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::Unreachable(text) | Self::Pending(text) => text,
            Self::Ended(_) => "",
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// How a command that reports writes its result.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Args)]
struct FormatOption {
    /// Cómo se muestra el resultado: text o json
    #[arg(
        long,
        value_name = "FORMATO",
        default_value = "text",
        hide_default_value = true,
        hide_possible_values = true
    )]
    format: Format,
}

#[derive(Args, Clone)]
struct ConfigOption {
    /// Archivo de configuración [si no se da: chasqui.toml aquí, o los valores incorporados]
    #[arg(long, value_name = "ARCHIVO")]
    config: Option<PathBuf>,
}

impl ConfigOption {
    fn load(&self) -> Result<Loaded, ConfigError> {
        config::load(self.config.as_deref())
    }
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let cli = match usage::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(end) => return end.print(),
    };
    let done = match cli.command {
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Send(send) => send.run(),
        Command::Queue(command) => command.run(),
        Command::Maintenance(command) => command.run(),
        Command::Webhook(command) => command.run(),
        Command::Audit(command) => command.run(),
        Command::Cert(command) => command.run(),
        Command::ApiKey(command) => command.run(),
        Command::User(command) => command.run(),
        Command::Pdf(command) => command.run(),
        Command::Simulator(command) => command.run(),
        Command::Onboarding(command) => command.run(),
        Command::Conformance(command) => command.run(),
        Command::Store(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Limits(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Ended(_)) {
                output::complain(failure.message());
            }
            ExitCode::from(failure.code())
        }
    }
}

/// The runtime of a command that talks or listens.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::Failed(format!("no se pudo iniciar: {}", causes::in_spanish(&error))))
}
