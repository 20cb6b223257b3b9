//! `chasqui pdf verify`: examines the signatures of a PDF, without a daemon.

use std::{fs::File, path::PathBuf, sync::Arc};

use clap::Args;

use crate::{
    cli::{
        ConfigOption, Failure, Format, FormatOption, anchors, causes::in_spanish, output, revocation::Revocation,
        runtime,
    },
    config::Config,
    domain::firmas::Veredicto,
    exchange::{Clock, SystemClock},
    signing::{trust::Trust, verify},
};

#[derive(Args)]
#[command(
    after_help = "Termina con 0 si todas las firmas valen y nada cambió después de ellas. Si se conocen certificados \
                        de confianza (con --trust, en [trust] o importados con cert import), además deben responder por \
                        cada firmante. Termina con 1 en otro caso; también si no hay ninguna firma."
)]
pub struct Verify {
    /// El PDF
    #[arg(value_name = "ARCHIVO.pdf")]
    file: PathBuf,
    /// Certificados de confianza, en PEM o DER; se puede repetir [si no se da: los de la configuración]
    #[arg(long, value_name = "ARCHIVO")]
    trust: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

impl Verify {
    pub fn run(&self) -> Result<(), Failure> {
        let (trust, revocation) = self.anchors()?;
        // Questions on revocation, where the configuration wants them, need one.
        let runtime = runtime()?;
        let source = {
            let _within = runtime.enter();
            revocation.map(|config| Revocation::new(&config, Arc::new(SystemClock))).unwrap_or_default()
        };
        let source = source.transpose().map_err(Failure::Failed)?.map(Revocation::for_document);
        let file = File::open(&self.file).map_err(|error| {
            Failure::Usage(format!("no se puede leer {}: {}", self.file.display(), in_spanish(&error)))
        })?;
        let context = verify::Context {
            now: SystemClock.now(),
            trust: &trust,
            folios: None,
            revocation: source.as_deref(),
            begun: None,
        };
        let report = verify::examine(file, &context);
        match self.format.format {
            Format::Json => output::json(&report)?,
            Format::Text => output::say(report.texto().trim_end()),
        }
        match report.veredicto {
            Veredicto::Confiable => Ok(()),
            Veredicto::Integro if trust.is_empty() => Ok(()),
            _ => Err(Failure::Failed(report.resumen)),
        }
    }

    /// Whom to believe, and the configuration that says whom to ask about revocation.
    fn anchors(&self) -> Result<(Trust, Option<Config>), Failure> {
        if self.trust.is_empty() {
            let config = self.config.load()?.config;
            return Ok((anchors::load(&config).map_err(Failure::Usage)?, Some(config)));
        }
        let mut trust = Trust::default();
        for path in &self.trust {
            anchors::add(&mut trust, path).map_err(Failure::Usage)?;
        }
        Ok((trust, None))
    }
}
