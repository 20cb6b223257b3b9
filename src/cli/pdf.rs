//! `chasqui pdf`: signs PDF files and examines their signatures. Needs no daemon.

mod verify;

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{ConfigOption, Failure, Format, FormatOption, causes::in_spanish, identities, output};
use crate::{
    domain::lima,
    exchange::{Clock, SystemClock},
    signing::{
        Identity,
        cades::Stamping,
        pades::{self, Corner, Done, Order, PageChoice, VisibleStamp},
        timestamp::Timestamper,
    },
};

#[derive(Subcommand)]
pub enum Pdf {
    /// Examina las firmas de un PDF: quién firmó, quién responde por él, qué cambió después
    Verify(verify::Verify),
    /// Firma un PDF con la identidad de una entidad (PAdES)
    Sign(Box<Sign>),
}

impl Pdf {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Sign(sign) => sign.run(),
        }
    }
}

#[derive(Args)]
pub struct Sign {
    /// El PDF que se firma; no cambia
    #[arg(value_name = "ARCHIVO.pdf")]
    file: PathBuf,
    /// Dónde se deja el PDF firmado; no debe existir
    #[arg(long, value_name = "ARCHIVO")]
    out: PathBuf,
    /// Identidad en un archivo PKCS#12 (.p12, .pfx) o PEM [si no se da: la de la entidad en la configuración]
    #[arg(long, value_name = "ARCHIVO")]
    identity: Option<PathBuf>,
    /// Archivo con la contraseña de --identity
    #[arg(long, value_name = "ARCHIVO", requires = "identity")]
    password_file: Option<PathBuf>,
    /// RUC de la entidad, si la configuración tiene varias
    #[arg(long, value_name = "RUC", conflicts_with = "identity")]
    entity: Option<String>,
    /// Nivel: b-b, o b-t con sello de tiempo de [tsa] [si no se da: b-t si hay [tsa], si no b-b]
    #[arg(long, value_name = "NIVEL", hide_possible_values = true)]
    level: Option<Level>,
    /// Sello visible en una esquina: arriba-izquierda, arriba-derecha, abajo-izquierda o abajo-derecha [si no se da: firma
    /// invisible]
    #[arg(long, value_name = "ESQUINA", hide_possible_values = true)]
    stamp: Option<CornerOption>,
    /// Página del sello, desde 1, o «ultima» [si no se da: 1]
    #[arg(long, value_name = "PÁGINA", requires = "stamp", default_value = "1", hide_default_value = true)]
    page: String,
    /// Campo de firma vacío que se llena, si el PDF trae uno; la firma se ve en el recuadro que el campo tenga
    #[arg(long, value_name = "NOMBRE", conflicts_with = "stamp")]
    field: Option<String>,
    /// Texto que se añade al sello; se repite
    #[arg(long, value_name = "TEXTO", requires = "stamp")]
    text: Vec<String>,
    /// Contenido de un código QR en el sello
    #[arg(long, value_name = "TEXTO", requires = "stamp")]
    qr: Option<String>,
    /// Motivo de la firma
    #[arg(long, value_name = "TEXTO")]
    reason: Option<String>,
    /// Lugar de la firma
    #[arg(long, value_name = "TEXTO")]
    location: Option<String>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    #[value(name = "b-b")]
    B,
    #[value(name = "b-t")]
    T,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CornerOption {
    ArribaIzquierda,
    ArribaDerecha,
    AbajoIzquierda,
    AbajoDerecha,
}

impl From<CornerOption> for Corner {
    fn from(corner: CornerOption) -> Self {
        match corner {
            CornerOption::ArribaIzquierda => Self::TopLeft,
            CornerOption::ArribaDerecha => Self::TopRight,
            CornerOption::AbajoIzquierda => Self::BottomLeft,
            CornerOption::AbajoDerecha => Self::BottomRight,
        }
    }
}

impl Sign {
    fn run(self) -> Result<(), Failure> {
        let stamp = self.visible_stamp()?;
        let config = self.config.load()?.config;
        let identity = match &self.identity {
            Some(file) => identities::from_file(file, self.password_file.as_deref()),
            None => identities::of_entity(&config, self.entity.as_deref()),
        };
        let identity = identity.map_err(Failure::Usage)?;
        let authority = if self.level == Some(Level::B) { None } else { identities::timestamper(&config) };
        let authority = authority.transpose().map_err(Failure::Usage)?;
        if self.level == Some(Level::T) && authority.is_none() {
            let what = "para el nivel b-t hace falta una autoridad de sellado de tiempo: [tsa] url en la configuración";
            return Err(Failure::Usage(what.into()));
        }
        // The authority is asked over HTTP while the signature is made.
        let runtime = super::runtime()?;
        let _within = runtime.enter();
        let order = Order {
            at: SystemClock.now(),
            reason: self.reason.as_deref(),
            location: self.location.as_deref(),
            stamp: stamp.as_ref(),
            field: self.field.as_deref(),
            timestamper: authority.as_deref().map(|authority| authority as &dyn Timestamper),
        };
        let done = self.write(&identity, &order)?;
        self.report(&identity, &done, &order)?;
        match (&done.stamping, self.level) {
            (Stamping::Failed(error), Some(Level::T)) => {
                Err(Failure::Failed(format!("quedó firmado sin sello de tiempo: {error}")))
            }
            _ => Ok(()),
        }
    }

    fn visible_stamp(&self) -> Result<Option<VisibleStamp>, Failure> {
        let Some(corner) = self.stamp else { return Ok(None) };
        let page = match self.page.trim() {
            "ultima" | "última" => PageChoice::Last,
            number => match number.parse() {
                Ok(0) | Err(_) => {
                    let what = format!("--page: «{number}» no es un número de página ni «ultima»");
                    return Err(Failure::Usage(what));
                }
                Ok(number) => PageChoice::Number(number),
            },
        };
        let (lines, qr) = (self.text.clone(), self.qr.clone());
        Ok(Some(VisibleStamp { page, corner: corner.into(), title: None, lines, qr }))
    }

    /// Writes beside its place and moves it there whole.
    fn write(&self, identity: &Identity, order: &Order<'_>) -> Result<Done, Failure> {
        let failed =
            |path: &Path, error: &std::io::Error| Failure::Failed(format!("{}: {}", path.display(), in_spanish(error)));
        let input = File::open(&self.file).map_err(|error| failed(&self.file, &error))?;
        if self.out.exists() {
            return Err(Failure::Usage(format!("«{}» ya existe: dé otro nombre en --out", self.out.display())));
        }
        let folder = self.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&self.out, &error))?;
        let mut output = BufWriter::new(made);
        let done = pades::sign(BufReader::new(input), &mut output, identity, order);
        let done = done.map_err(|error| Failure::Failed(format!("{}: {error}", self.file.display())))?;
        output.flush().map_err(|error| failed(&self.out, &error))?;
        let made = output.into_inner().map_err(|error| failed(&self.out, error.error()))?;
        made.as_file().sync_all().map_err(|error| failed(&self.out, &error))?;
        made.persist_noclobber(&self.out).map_err(|error| failed(&self.out, &error.error))?;
        Ok(done)
    }

    fn report(&self, identity: &Identity, done: &Done, order: &Order<'_>) -> Result<(), Failure> {
        let titular = identity.titular();
        let (stamp, failure) = match &done.stamping {
            Stamping::NotAsked => (None, None),
            Stamping::Done(stamp) => (Some(stamp), None),
            Stamping::Failed(error) => (None, Some(error.to_string())),
        };
        if self.format.format == Format::Json {
            return output::json(&json!({
                "archivo": self.out, "bytes": done.bytes, "nivel": done.level(), "campo": done.field,
                "firmante": titular.nombre, "dni": titular.dni, "ruc": titular.ruc, "firmado_en": lima::texto(order.at),
                "sello_de_tiempo": stamp.map(|s| json!({"autoridad": s.authority, "fecha": lima::texto(s.at)})),
                "sin_sello_porque": failure,
            }));
        }
        output::say(&format!("{} quedó firmado ({}, campo {})", self.out.display(), done.level(), done.field));
        output::say(&format!("  firmante: {}", titular.nombre));
        if let Some(stamp) = stamp {
            output::say(&format!("  sello de tiempo: {} de {}", lima::texto(stamp.at), stamp.authority));
        }
        if let (Some(failure), None) = (failure, self.level) {
            output::note(&format!("chasqui: sin sello de tiempo: {failure}"));
        }
        Ok(())
    }
}
