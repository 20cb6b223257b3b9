//! `chasqui cert`: the certificates that chasqui trusts, with the days they have left.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{ConfigOption, Failure, Format, FormatOption, anchors, output};
use crate::{
    domain::lima,
    exchange::{Clock, SystemClock},
    signing::trust::Anchor,
};

#[derive(Subcommand)]
pub enum Cert {
    /// Los certificados de confianza en uso, con los días que les quedan
    List(List),
    /// Un certificado con todos sus datos
    Show(Show),
    /// Agrega los certificados de confianza de un archivo
    Import(Import),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Show {
    /// Los primeros caracteres de su huella SHA-256, como los muestra cert list
    #[arg(value_name = "HUELLA")]
    fingerprint: String,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Import {
    /// Archivo con certificados en PEM, o uno en DER
    #[arg(value_name = "ARCHIVO")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
}

/// A certificate as it is shown.
#[derive(Serialize)]
struct Shown {
    tipo: &'static str,
    nombre: String,
    emisor: String,
    serie: String,
    desde: String,
    hasta: String,
    dias: i64,
    sha256: String,
    origen: String,
}

impl Cert {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Import(import) => import.run(),
        }
    }
}

impl Shown {
    fn new(anchor: &Anchor) -> Self {
        let summary = anchor.certificate.summary();
        let left = summary.hasta.duration_since(SystemClock.now());
        Self {
            tipo: "confianza",
            nombre: anchor.certificate.name(),
            emisor: summary.emisor,
            serie: summary.serie,
            desde: lima::texto(summary.desde),
            hasta: lima::texto(summary.hasta),
            dias: left.as_hours().div_euclid(24),
            sha256: summary.sha256,
            origen: anchor.origin.clone(),
        }
    }

    fn days(&self) -> String {
        if self.dias < 0 { "vencido".into() } else { self.dias.to_string() }
    }
}

fn shown(config: &ConfigOption) -> Result<Vec<Shown>, Failure> {
    let trust = anchors::load(&config.load()?.config).map_err(Failure::Usage)?;
    Ok(trust.anchors().iter().map(Shown::new).collect())
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let all = shown(&self.config)?;
        if self.format.format == Format::Json {
            return output::json(&all);
        }
        if all.is_empty() {
            output::note(
                "No hay certificados de confianza: agréguelos con «chasqui cert import» o en [trust] de la configuración.",
            );
            return Ok(());
        }
        let row = |one: &Shown| {
            vec![
                one.days(),
                one.tipo.into(),
                one.nombre.clone(),
                one.sha256.chars().take(16).collect(),
                one.origen.clone(),
            ]
        };
        output::table(&["DÍAS", "TIPO", "NOMBRE", "HUELLA", "ORIGEN"], &all.iter().map(row).collect::<Vec<_>>());
        Ok(())
    }
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let wanted = self.fingerprint.to_lowercase();
        let mut found = shown(&self.config)?;
        found.retain(|one| one.sha256.starts_with(&wanted));
        let one = match (found.pop(), found.is_empty()) {
            (Some(one), true) => one,
            (Some(_), false) => {
                return Err(Failure::Failed(format!("varias huellas empiezan con «{wanted}»; escriba más caracteres")));
            }
            (None, _) => {
                return Err(Failure::Failed(format!("ningún certificado tiene una huella que empiece con «{wanted}»")));
            }
        };
        if self.format.format == Format::Json {
            return output::json(&one);
        }
        let Shown { nombre, emisor, serie, desde, hasta, sha256, origen, .. } = &one;
        for (label, value) in [
            ("Nombre", nombre),
            ("Emisor", emisor),
            ("Serie", serie),
            ("Vigente desde", desde),
            ("Vigente hasta", hasta),
            ("Días que le quedan", &one.days()),
            ("Huella SHA-256", sha256),
            ("Origen", origen),
        ] {
            output::say(&format!("{label}: {value}"));
        }
        Ok(())
    }
}

impl Import {
    fn run(&self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        let mut trust = anchors::load(&config).map_err(Failure::Usage)?;
        let known = trust.anchors().len();
        anchors::add(&mut trust, &self.file).map_err(Failure::Failed)?;
        let new = trust.anchors().get(known..).unwrap_or_default();
        keep(&config, new)?;
        for anchor in new {
            output::say(&format!(
                "Agregado: {}, vigente hasta {}",
                anchor.certificate.name(),
                lima::texto(anchor.certificate.not_after)
            ));
        }
        match new.len() {
            0 => output::note("Ese archivo no trae ningún certificado que no estuviera ya."),
            _ => output::note("Un chasqui en marcha los usará desde su próximo inicio."),
        }
        Ok(())
    }
}

/// Each certificate in a file of its own, named by its fingerprint.
fn keep(config: &crate::config::Config, new: &[Anchor]) -> Result<(), Failure> {
    let folder = anchors::folder(config);
    let failed = |error: std::io::Error| {
        Failure::Failed(format!("no se puede guardar en {}: {}", folder.display(), super::causes::in_spanish(&error)))
    };
    fs::create_dir_all(&folder).map_err(failed)?;
    for anchor in new {
        let pem = anchor.certificate.x509.to_pem().map_err(|error| Failure::Failed(error.to_string()))?;
        let name = anchor.certificate.summary().sha256;
        let path = folder.join(format!("{name}.pem"));
        let fresh = folder.join(format!(".{name}.new"));
        fs::write(&fresh, pem).and_then(|()| fs::rename(&fresh, &path)).map_err(failed)?;
    }
    Ok(())
}
