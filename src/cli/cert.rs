//! `chasqui cert`: the certificates that chasqui signs with and those that it trusts, with the days they have left and, of a
//! service of a trusted list, what the list says of it.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{ConfigOption, Failure, Format, FormatOption, anchors, identities, output, watch};
use crate::{
    domain::lima,
    exchange::{Clock, SystemClock},
    signing::{Identity, certificate::Certificate, trust::Anchor, trusted_list::ServiceKind},
};

#[derive(Subcommand)]
pub enum Cert {
    /// Los certificados con que se firma y aquellos en que se confía, con los días que les quedan
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
    /// Of an identity: the RUC of the entity that signs with it.
    entidad: Option<String>,
    servicio: Option<Servicio>,
}

/// What a trusted list says of a service.
#[derive(Serialize)]
struct Servicio {
    nombre: String,
    prestador: String,
    estado: String,
    desde: String,
    /// Whether the list vouches for it now.
    vigente: bool,
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
    fn new(certificate: &Certificate, origen: String) -> Self {
        let summary = certificate.summary();
        Self {
            tipo: "confianza",
            nombre: certificate.name(),
            emisor: summary.emisor,
            serie: summary.serie,
            desde: lima::texto(summary.desde),
            hasta: lima::texto(summary.hasta),
            dias: watch::days_left(summary.hasta, SystemClock.now()),
            sha256: summary.sha256,
            origen,
            entidad: None,
            servicio: None,
        }
    }

    fn anchor(anchor: &Anchor) -> Self {
        let plain = Self::new(&anchor.certificate, anchor.origin.clone());
        let Some(service) = &anchor.service else { return plain };
        let tipo = match service.kind {
            ServiceKind::Issuer => "emisor",
            ServiceKind::TimeStamping => "sello de tiempo",
        };
        let servicio = Servicio {
            nombre: service.name.clone(),
            prestador: service.provider.clone(),
            estado: service.status.clone(),
            desde: lima::texto(service.since),
            vigente: service.covers(SystemClock.now()),
        };
        Self { tipo, servicio: Some(servicio), ..plain }
    }

    fn identity(identity: &Identity, ruc: &str, file: String) -> Option<Self> {
        let certificate = Certificate::from_der(&identity.certificate().to_der().ok()?).ok()?;
        Some(Self { tipo: "identidad", entidad: Some(ruc.to_owned()), ..Self::new(&certificate, file) })
    }

    fn days(&self) -> String {
        if self.dias < 0 { "vencido".into() } else { self.dias.to_string() }
    }
}

/// The identities first, then the anchors.
fn shown(config: &ConfigOption) -> Result<Vec<Shown>, Failure> {
    let config = config.load()?.config;
    let mut all = Vec::new();
    for entity in &config.entity {
        let file = entity.identity.as_ref().map(|identity| identity.file.display().to_string()).unwrap_or_default();
        match identities::identity(entity) {
            Ok(found) => all.extend(found.and_then(|identity| Shown::identity(&identity, entity.ruc.trim(), file))),
            Err(why) => {
                output::note(&format!("La identidad de la entidad {} no se puede usar: {why}", entity.ruc.trim()))
            }
        }
    }
    let trust = anchors::load(&config).map_err(Failure::Usage)?;
    all.extend(trust.anchors().iter().map(Shown::anchor));
    Ok(all)
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let all = shown(&self.config)?;
        if self.format.format == Format::Json {
            return output::json(&all);
        }
        if all.is_empty() {
            output::note(
                "No hay certificados, ni para firmar ni de confianza: los primeros se ponen en identity.file de cada entidad; \
                 los otros se agregan con «chasqui cert import» o en [trust] de la configuración.",
            );
            return Ok(());
        }
        let row = |one: &Shown| {
            vec![
                one.days(),
                one.tipo.into(),
                one.nombre.clone(),
                one.sha256.chars().take(16).collect(),
                one.servicio.as_ref().map(|service| service.estado.clone()).unwrap_or_default(),
                one.origen.clone(),
            ]
        };
        output::table(
            &["DÍAS", "TIPO", "NOMBRE", "HUELLA", "ESTADO", "ORIGEN"],
            &all.iter().map(row).collect::<Vec<_>>(),
        );
        Ok(())
    }
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let wanted = self.fingerprint.to_lowercase();
        let mut found = shown(&self.config)?;
        found.retain(|one| one.sha256.starts_with(&wanted));
        let Some(first) = found.first() else {
            return Err(Failure::Failed(format!("ningún certificado tiene una huella que empiece con «{wanted}»")));
        };
        // One certificate may be of several services, or in a file and in a list.
        if found.iter().any(|one| one.sha256 != first.sha256) {
            return Err(Failure::Failed(format!("varias huellas empiezan con «{wanted}»; escriba más caracteres")));
        }
        if self.format.format == Format::Json {
            return if let [one] = found.as_slice() { output::json(one) } else { output::json(&found) };
        }
        for (n, one) in found.iter().enumerate() {
            if n > 0 {
                output::say("");
            }
            one.show();
        }
        Ok(())
    }
}

impl Shown {
    fn show(&self) {
        let Self { nombre, emisor, serie, desde, hasta, sha256, origen, .. } = self;
        for (label, value) in [
            ("Nombre", nombre),
            ("Emisor", emisor),
            ("Serie", serie),
            ("Vigente desde", desde),
            ("Vigente hasta", hasta),
            ("Días que le quedan", &self.days()),
            ("Huella SHA-256", sha256),
            ("Origen", origen),
        ] {
            output::say(&format!("{label}: {value}"));
        }
        if let Some(ruc) = &self.entidad {
            output::say(&format!("Firma por la entidad: {ruc}"));
        }
        if let Some(Servicio { nombre, prestador, estado, desde, vigente }) = &self.servicio {
            let counts = if *vigente { "cuenta" } else { "no cuenta" };
            output::say(&format!("Servicio: {nombre}"));
            output::say(&format!("Prestador: {prestador}"));
            output::say(&format!("Estado en la lista: {estado} desde {desde} ({counts})"));
        }
    }
}

impl Import {
    fn run(&self) -> Result<(), Failure> {
        let config = self.config.load()?.config;
        let mut trust = anchors::from_files(&config).map_err(Failure::Usage)?;
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
            _ => output::note(
                "Un chasqui en marcha los usará cuando se le envíe SIGHUP (kill -HUP), o al cabo de un día.",
            ),
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
