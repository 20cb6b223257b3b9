//! `chasqui store backup | restore | drill`, and the copies that a daemon takes by itself.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{ConfigOption, Failure, Format, FormatOption, output, store::shown, watch::subject};
use crate::{
    config::Config,
    exchange::{ALERTA, Clock, Exchange, SystemClock, notices::Noticia},
    store::embedded::{
        copies::{self, CopyError, MARK, Taken},
        verify_dir,
    },
};

/// After a copy that failed.
const AGAIN: Duration = Duration::from_secs(15 * 60);

/// Largest mark read, in bytes.
const MARK_BYTES_MAX: u64 = 4096;

#[derive(Args)]
pub struct Backup {
    /// Carpeta de las copias [si no se da: backup.to de la configuración]
    #[arg(long, value_name = "CARPETA")]
    to: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Restore {
    /// Carpeta de las copias [si no se da: backup.to de la configuración]
    #[arg(long, value_name = "CARPETA")]
    from: Option<PathBuf>,
    /// Cuál de ellas [si no se da: la última]
    #[arg(long, value_name = "COPIA")]
    copy: Option<String>,
    /// Carpeta vacía en que se restaura [si no se da: data_dir de la configuración]
    #[arg(long, value_name = "CARPETA")]
    into: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Drill {
    /// Carpeta de las copias [si no se da: backup.to de la configuración]
    #[arg(long, value_name = "CARPETA")]
    from: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

/// What putting a copy back found.
#[derive(Debug, Serialize)]
struct Restored {
    copia: String,
    hecha_en: Timestamp,
    carpeta: PathBuf,
    asientos: u64,
    documentos: u64,
    bytes: u64,
    danos: Vec<String>,
}

fn failed(error: &CopyError) -> Failure {
    Failure::Failed(error.to_string())
}

/// The folder of the copies, as given or as configured.
fn place(given: Option<&PathBuf>, config: &ConfigOption) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let what = "no se dijo dónde están las copias: escriba [backup] to en la configuración, o use --to o --from";
    config.load()?.config.backup.to.ok_or_else(|| Failure::Usage(what.into()))
}

impl Backup {
    pub fn run(&self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        let to = place(self.to.as_ref(), &self.config)?;
        if !config.data_dir.join("journal").is_dir() {
            let what = format!("{} no es una carpeta de datos de chasqui", config.data_dir.display());
            return Err(Failure::Usage(what));
        }
        let taken = copies::take(&config.data_dir, &to, SystemClock.now()).map_err(|error| failed(&error))?;
        if self.format.format == Format::Json {
            return output::json(&taken);
        }
        output::say(&told(&taken));
        Ok(())
    }
}

fn told(taken: &Taken) -> String {
    let Taken { nombre, archivos, bytes, nuevos } = taken;
    let (all, new) = (output::bytes(*bytes), output::bytes(*nuevos));
    format!("{nombre}: {archivos} archivos, {all}; se escribieron {new}")
}

impl Restore {
    pub fn run(&self) -> Result<(), Failure> {
        let from = place(self.from.as_ref(), &self.config)?;
        let into = match &self.into {
            Some(into) => into.clone(),
            None => self.config.load()?.config.data_dir,
        };
        let restored = restored(&from, self.copy.as_deref(), &into)?;
        restored.report(self.format.format)?;
        output::note(
            "Los datos están restaurados y enteros. Al iniciar el servicio se pregunta por lo que pasó después de la copia, y lo \
             que pudo enviarse entonces queda detenido: vea «chasqui queue list» y docs/respaldo.md.",
        );
        Ok(())
    }
}

impl Drill {
    pub fn run(&self) -> Result<(), Failure> {
        let from = place(self.from.as_ref(), &self.config)?;
        let scratch = tempfile::Builder::new().prefix(".ensayo-").tempdir_in(&from);
        let scratch = scratch.map_err(|error| Failure::Failed(format!("{}: {error}", from.display())))?;
        let restored = restored(&from, None, &scratch.path().join("datos"))?;
        restored.report(self.format.format)?;
        output::note(
            "La última copia se restauró en una carpeta aparte, se leyó entera y está bien. La carpeta ya se borró.",
        );
        Ok(())
    }
}

/// Puts a copy back and reads all of it.
fn restored(from: &Path, name: Option<&str>, into: &Path) -> Result<Restored, Failure> {
    let (copia, copy) = copies::restore(from, name, into).map_err(|error| failed(&error))?;
    let found = shown(|progress| verify_dir(into, progress));
    let found = found.map_err(|error| Failure::Failed(format!("la copia se restauró y no se puede leer: {error}")))?;
    Ok(Restored {
        copia,
        hecha_en: copy.at,
        carpeta: into.to_owned(),
        asientos: found.entries,
        documentos: found.documents,
        bytes: found.bytes,
        danos: found.damage.iter().map(ToString::to_string).collect(),
    })
}

impl Restored {
    fn report(&self, format: Format) -> Result<(), Failure> {
        if format == Format::Json {
            output::json(self)?;
        } else {
            let Self { copia, asientos, documentos, bytes, danos, .. } = self;
            output::say(&format!("{copia}: {asientos} asientos, {documentos} documentos, {}", output::bytes(*bytes)));
            danos.iter().for_each(|damage| output::say(&format!("DAÑO: {damage}")));
        }
        match self.danos.len() {
            0 => Ok(()),
            n => Err(Failure::Failed(format!("la copia se restauró con {n} daños"))),
        }
    }
}

/// Left in restored data until the service took note.
#[derive(Deserialize)]
struct Mark {
    copia: String,
    hecha_en: Timestamp,
}

/// Takes note that the data were put back from a copy, if they were: before the worker begins.
pub async fn take_note(config: &Config, exchange: &Exchange) -> Result<(), String> {
    let path = config.data_dir.join(MARK);
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let Some(text) = crate::audit::files::read(&path, MARK_BYTES_MAX).map_err(|error| failed(&error))? else {
        return Ok(());
    };
    let mark: Mark = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    exchange.conciliar(&mark.copia, mark.hecha_en).await.map_err(|error| failed(&error))?;
    std::fs::remove_file(&path).map_err(|error| failed(&error))
}

/// Takes copies as the configuration says, until `stop`.
pub async fn on_schedule(config: Config, exchange: Exchange, stop: CancellationToken) {
    let Some(to) = config.backup.to.clone() else { return };
    loop {
        let age = age(&to, exchange.now());
        let due = age.map_or(Duration::ZERO, |age| config.backup.every.saturating_sub(age));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(due) => {}
        }
        let (dir, place, keep, now) = (config.data_dir.clone(), to.clone(), config.backup.keep, exchange.now());
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let taken = tokio::task::spawn_blocking(move || {
            let taken = copies::take(&dir, &place, now)?;
            copies::prune(&place, keep)?;
            Ok::<_, CopyError>(taken)
        });
        let failed = match taken.await {
            Ok(Ok(taken)) => {
                tracing::info!(
                    copy = taken.nombre,
                    bytes = taken.bytes,
                    written = taken.nuevos,
                    "a copy of the data was taken"
                );
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let retry = failed.is_some();
        tell(&exchange, failed).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(if retry { AGAIN } else { Duration::ZERO }) => {}
        }
    }
}

async fn tell(exchange: &Exchange, failed: Option<String>) {
    let sujeto = subject(b"backup");
    let (estado, detalle) = match failed {
        Some(why) => {
            tracing::error!(why, "no copy of the data could be taken");
            ("falla", format!("No se pudo hacer la copia de respaldo: {why}. Se vuelve a intentar solo."))
        }
        None if exchange.avisado(sujeto).await.unwrap_or(false) => {
            ("bien", "La copia de respaldo se hizo bien otra vez.".to_owned())
        }
        None => return,
    };
    let noticia = Noticia { tipo: ALERTA, sujeto, entidad: None, estado: estado.into(), detalle };
    if let Err(error) = exchange.avisar(noticia).await {
        tracing::error!(%error, "a notice could not be stored");
    }
}

/// How old the last copy in a folder is.
pub fn age(place: &Path, now: Timestamp) -> Option<Duration> {
    let (_, last) = copies::latest(place).ok().flatten()?;
    Some(Duration::try_from(now.duration_since(last.at)).unwrap_or_default())
}
