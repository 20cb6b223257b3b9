//! `chasqui store`: the folder of the data.

use std::{io::IsTerminal, path::PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{ConfigOption, Failure, Format, FormatOption, daemon::postgres_options, output, runtime};
use crate::{
    config::{Config, StoreKind},
    store::{
        Store as _, Verification,
        embedded::{Reading, verify_dir},
        postgres::{self, PostgresStore},
    },
};

#[derive(Subcommand)]
pub enum Store {
    /// Lee todo lo guardado y dice si algo está dañado; también con el servicio en marcha
    Verify(Verify),
    /// Copia los datos, también con el servicio en marcha; solo se escribe lo que cambió
    Backup(super::backup::Backup),
    /// Restaura una copia en una carpeta vacía, y la lee entera
    Restore(super::backup::Restore),
    /// Ensaya: restaura la última copia aparte, la lee entera y la borra
    Drill(super::backup::Drill),
    /// Traslada todo a otro almacén: de la carpeta a PostgreSQL, o de vuelta; también con el servicio en marcha
    Migrate(super::migrate::Migrate),
    /// Intercambios que se conservan sea cual sea su edad
    #[command(subcommand)]
    Hold(super::hold::Hold),
    /// Borra lo que venció según [retention]; primero, solo decir qué sería
    Purge(super::purge::Purge),
    /// Muestra el certificado de lo que se purgó de un intercambio, o de una corrida
    Certificate(super::purge::Certificate),
}

#[derive(Args)]
pub struct Verify {
    /// Carpeta de datos [si no se da: la de la configuración]
    #[arg(long, value_name = "CARPETA")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

impl Store {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Drill(drill) => drill.run(),
            Self::Migrate(migrate) => migrate.run(),
            Self::Hold(hold) => hold.run(),
            Self::Purge(purge) => purge.run(),
            Self::Certificate(certificate) => certificate.run(),
        }
    }
}

impl Verify {
    fn run(&self) -> Result<(), Failure> {
        let dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => {
                let config = self.config.load()?.config;
                if config.store.kind == StoreKind::Postgres {
                    return self.report(&verify_database(&config)?);
                }
                config.data_dir
            }
        };
        if !dir.join("journal").is_dir() {
            return Err(Failure::Usage(format!("{} no es una carpeta de datos de chasqui", dir.display())));
        }
        let found = shown(|progress| verify_dir(&dir, progress));
        let found =
            found.map_err(|error| Failure::Failed(format!("no se pudo verificar {}: {}", dir.display(), error)))?;
        self.report(&found)
    }

    fn report(&self, found: &Verification) -> Result<(), Failure> {
        if self.format.format == Format::Json {
            output::json(found)?;
        } else {
            for remark in &found.remarks {
                output::say(&format!("nota: {remark}"));
            }
            for damage in &found.damage {
                output::say(&format!("DAÑO: {damage}"));
            }
            let Verification { entries, documents, bytes, purged, .. } = found;
            output::say(&format!(
                "{entries} asientos, {documents} documentos, {bytes} bytes leídos{}",
                purged_too(*purged)
            ));
        }
        match found.damage.len() {
            0 => {
                output::note("El almacén está íntegro.");
                Ok(())
            }
            1 => Err(Failure::Failed("el almacén tiene 1 daño".into())),
            n => Err(Failure::Failed(format!("el almacén tiene {n} daños"))),
        }
    }
}

/// A store in a database is verified beside the daemons that use it.
fn verify_database(config: &Config) -> Result<Verification, Failure> {
    let failed = |error: String| Failure::Failed(format!("no se pudo verificar la base de datos: {error}"));
    let scratch = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let config = Config { data_dir: scratch.path().to_owned(), ..config.clone() };
    let options = postgres::Options { apart: true, ..postgres_options(&config) };
    runtime()?.block_on(async {
        let store = PostgresStore::open(options).await.map_err(|error| failed(error.to_string()))?;
        let found = store.verify().await.map_err(|error| failed(error.to_string()));
        store.close().await.ok();
        found
    })
}

/// How many of the documents are gone by certificate.
pub(super) fn purged_too(purged: u64) -> String {
    match purged {
        0 => String::new(),
        n => format!("; {n} de los documentos fueron purgados y su certificado lo dice"),
    }
}

/// Shows how far a reading of the store has come.
pub(super) fn shown<T>(read: impl FnOnce(&mut dyn FnMut(Reading)) -> T) -> T {
    let bar = bar();
    let result = read(&mut |reading: Reading| {
        bar.set_length(reading.bytes_total);
        bar.set_position(reading.bytes);
    });
    bar.finish_and_clear();
    result
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
