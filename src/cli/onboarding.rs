//! `chasqui onboarding`: the dossier of the six administrative steps. Needs no daemon; makes files and sends nothing.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{ConfigOption, Failure, Format, FormatOption, anchors, causes::in_spanish, output};
use crate::{
    config::Config,
    domain::{Ambiente, firmas::Veredicto},
    exchange::{Clock, Ids, SystemClock, SystemIds},
    onboarding::{
        Contexto, Expediente, OnboardingError, Problema,
        acta::{self, INFORME_BYTES_MAX, Prueba},
        cartas::{ADJUNTO_BYTES_MAX, Carta},
        expediente::{EJEMPLO, EXPEDIENTE_BYTES_MAX},
        formularios::Formulario,
        sello,
        situacion::{self, Estado},
    },
    signing::trust::Trust,
};

#[derive(Subcommand)]
pub enum Onboarding {
    /// Escribe un expediente.toml con todas sus claves explicadas, para llenarlo
    Init(Init),
    /// En qué paso está la entidad y qué dato falta a cada uno
    Status(Status),
    /// Hace un formulario en PDF: a3, a1-cuo, a1-entidad, a1-tramite, acceso, pruebas o produccion
    Form(Form),
    /// Hace un correo (.eml) con su asunto y sus adjuntos: master, consumo, acceso, componente, pruebas o produccion
    Email(Email),
    /// Hace el acta de conformidad con el informe de la suite, o comprueba quién firmó una
    Acta(Acta),
}

impl Onboarding {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run(),
            Self::Status(status) => status.run(),
            Self::Form(form) => form.run(),
            Self::Email(email) => email.run(),
            Self::Acta(acta) => acta.run(),
        }
    }
}

#[derive(Args)]
pub struct Init {
    /// Dónde se escribe; no debe existir
    #[arg(long, value_name = "ARCHIVO", default_value = "expediente.toml", hide_default_value = true)]
    out: PathBuf,
}

#[derive(Args)]
struct Source {
    /// El expediente [si no se da: expediente.toml aquí]
    #[arg(long, value_name = "ARCHIVO", default_value = "expediente.toml", hide_default_value = true)]
    expediente: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Form {
    /// Qué formulario
    #[arg(value_name = "FORMULARIO")]
    name: String,
    /// Dónde se deja el PDF; no debe existir
    #[arg(long, value_name = "ARCHIVO")]
    out: PathBuf,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub struct Email {
    /// Qué correo
    #[arg(value_name = "CORREO")]
    name: String,
    /// Dónde se deja el .eml; no debe existir
    #[arg(long, value_name = "ARCHIVO")]
    out: PathBuf,
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub struct Acta {
    /// Dónde se deja el acta por firmar; no debe existir
    #[arg(long, value_name = "ARCHIVO", required_unless_present = "check", conflicts_with = "check")]
    out: Option<PathBuf>,
    /// Hace un borrador aunque la suite no haya terminado conforme
    #[arg(long, requires = "out")]
    draft: bool,
    /// Comprueba las dos firmas de este acta
    #[arg(long, value_name = "ARCHIVO.pdf")]
    check: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    format: FormatOption,
}

/// A dossier with what is needed to look at it.
pub struct Open {
    pub expediente: Expediente,
    folder: PathBuf,
    config: Config,
    trust: Trust,
}

impl Source {
    fn open(&self) -> Result<Open, Failure> {
        Open::new(&self.expediente, self.config.load()?.config)
    }
}

impl Open {
    pub fn new(file: &Path, config: Config) -> Result<Self, Failure> {
        let bytes = read(file, EXPEDIENTE_BYTES_MAX).map_err(|error| {
            Failure::Usage(format!(
                "no se puede leer el expediente: {error}. «chasqui onboarding init» escribe uno para llenar"
            ))
        })?;
        let wrong = |what: String| Failure::Usage(format!("{}: {what}", file.display()));
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("no es un texto UTF-8".into()))?;
        let expediente = Expediente::leer(text).map_err(|error| wrong(error.to_string()))?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let trust = anchors::load(&config).map_err(Failure::Usage)?;
        Ok(Self { expediente, folder, config, trust })
    }

    /// Run what looks at the dossier as of now.
    pub fn look<T>(&self, ambiente: Ambiente, work: impl FnOnce(&Contexto<'_>) -> T) -> T {
        let calendario = self.config.calendar();
        let ahora = SystemClock.now();
        work(&Contexto { ahora, calendario: &calendario, ambiente, confianza: &self.trust })
    }

    pub fn ambiente(&self) -> Ambiente {
        self.config.environment
    }

    /// A file that the dossier names, as large as such a one may be: the report holds all evidence.
    pub fn named(&self, name: &str) -> Result<Vec<u8>, String> {
        let max = if *name == *self.expediente.acta.informe { INFORME_BYTES_MAX } else { ADJUNTO_BYTES_MAX };
        self.file(name, max)
    }

    /// The signature beside the report that the dossier names: who made it, and what of him is not sure. `None`: there is none.
    pub fn firma_del_informe(&self, informe: &[u8]) -> Option<Result<(String, Vec<String>), String>> {
        let name = format!("{}.p7s", self.expediente.acta.informe);
        if !self.folder.join(&name).exists() {
            return None;
        }
        let told = |why: String| format!("{name}: {why}");
        let p7s = match self.file(&name, sello::P7S_BYTES_MAX) {
            Ok(p7s) => p7s,
            Err(why) => return Some(Err(why)),
        };
        Some(self.look(self.ambiente(), |contexto| sello::firmante(informe, &p7s, contexto)).map_err(told))
    }

    /// A file that the dossier names.
    pub fn file(&self, name: &str, max: u64) -> Result<Vec<u8>, String> {
        read(&self.folder.join(name), max)
    }
}

/// A whole file of at most `max` bytes. `Err` names it.
fn read(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let failed = |error: &io::Error| format!("«{}»: {}", path.display(), in_spanish(error));
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > max {
        return Err(format!("«{}» pasa de {} MiB", path.display(), max / (1024 * 1024)));
    }
    Ok(bytes)
}

/// Writes a file that is not there yet, whole or not at all.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error: &io::Error| Failure::Failed(format!("{}: {}", path.display(), in_spanish(error)));
    if path.exists() {
        return Err(Failure::Usage(format!("«{}» ya existe: dé otro nombre en --out", path.display())));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut made = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    made.write_all(bytes).and_then(|()| made.as_file().sync_all()).map_err(|error| failed(&error))?;
    made.persist_noclobber(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

fn named<T: Copy>(all: &[T], word: fn(T) -> &'static str, name: &str, what: &str) -> Result<T, Failure> {
    all.iter().copied().find(|one| word(*one) == name).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|one| word(*one)).collect();
        Failure::Usage(format!("«{name}» no es {what}: escriba {}", known.join(", ")))
    })
}

impl Init {
    fn run(self) -> Result<(), Failure> {
        write_new(&self.out, EJEMPLO.as_bytes())?;
        output::say(&format!(
            "{} quedó escrito: llénelo, y «chasqui onboarding status» dirá qué falta",
            self.out.display()
        ));
        Ok(())
    }
}

impl Status {
    fn run(self) -> Result<(), Failure> {
        let open = self.source.open()?;
        let files = |name: &str| open.named(name);
        let pasos = open.look(open.ambiente(), |contexto| situacion::pasos(&open.expediente, contexto, &files));
        if self.format.format == Format::Json {
            return output::json(&json!({ "entidad": open.expediente.entidad.ruc.to_string(), "pasos": pasos }));
        }
        for paso in &pasos {
            output::say(&format!("{}. {}: {} ({})", paso.numero, paso.titulo, paso.estado.texto(), paso.detalle));
            tell(&paso.falta);
            if paso.estado != Estado::FaltanDatos {
                paso.siguiente.iter().for_each(|line| output::say(&format!("     → {line}")));
            }
        }
        let done = pasos.iter().filter(|paso| paso.estado == Estado::Hecho).count();
        output::say(&format!("\n{done} de {} pasos hechos", pasos.len()));
        Ok(())
    }
}

fn tell(problemas: &[Problema]) {
    problemas.iter().for_each(|p| output::say(&format!("     {}: {}. {}.", p.clave, p.problema, p.escriba)));
}

impl Form {
    fn run(self) -> Result<(), Failure> {
        let formulario = named(&Formulario::TODOS, Formulario::palabra, &self.name, "un formulario")?;
        let open = self.source.open()?;
        let made = open.look(open.ambiente(), |contexto| formulario.pdf(&open.expediente, contexto));
        write_new(&self.out, &made.map_err(|error| Failure::Failed(error.to_string()))?)?;
        output::say(&format!("{}: {}", self.out.display(), formulario.titulo()));
        output::say("  Revíselo y fírmelo en su recuadro, con Firma Perú o con «chasqui pdf sign --field Firma»");
        Ok(())
    }
}

impl Email {
    fn run(self) -> Result<(), Failure> {
        let carta = named(&Carta::TODAS, Carta::palabra, &self.name, "un correo")?;
        let open = self.source.open()?;
        let files = |name: &str| open.named(name);
        let id = SystemIds.id(SystemClock.now()).simple().to_string();
        let made = open.look(open.ambiente(), |contexto| carta.eml(&open.expediente, contexto, &files, &id));
        write_new(&self.out, &made.map_err(|error| Failure::Failed(error.to_string()))?)?;
        output::say(&format!("{}: correo con asunto «{}»", self.out.display(), carta.asunto()));
        output::say("  Ábralo en su programa de correo, revíselo y envíelo; luego escriba la fecha en [avance]");
        if open.ambiente() != Ambiente::Production {
            output::note("chasqui: es un ensayo: la configuración no está en el ambiente de producción; no lo envíe");
        }
        Ok(())
    }
}

impl Acta {
    fn run(self) -> Result<(), Failure> {
        let open = self.source.open()?;
        match (&self.out, &self.check) {
            (_, Some(file)) => self.check(&open, file),
            (Some(out), None) => self.make(&open, out),
            (None, None) => Err(Failure::Usage("diga --out o --check".into())),
        }
    }

    fn make(&self, open: &Open, out: &Path) -> Result<(), Failure> {
        let name = &open.expediente.acta.informe;
        let read = match name.is_empty() {
            // The dossier's own check tells that it is not written.
            true => Err(None),
            false => open
                .file(name, INFORME_BYTES_MAX)
                .and_then(|bytes| match open.firma_del_informe(&bytes) {
                    Some(Err(why)) => Err(why),
                    _ => Prueba::leer(&bytes).map_err(|what| format!("«{name}» {what}")),
                })
                .map_err(Some),
        };
        let prueba = match read {
            Ok(prueba) => prueba,
            Err(unread) => {
                // All that is missing at once, not the report first and the rest afterwards.
                let mut lacks = open.look(open.ambiente(), |contexto| acta::problemas(&open.expediente, contexto));
                let escriba = "Escriba el nombre del informe JSON de «chasqui conformance run»".to_owned();
                lacks.extend(unread.map(|problema| Problema { clave: "acta.informe".into(), problema, escriba }));
                return Err(Failure::Failed(OnboardingError::Datos(lacks).to_string()));
            }
        };
        let made = open.look(open.ambiente(), |contexto| acta::pdf(&open.expediente, &prueba, self.draft, contexto));
        write_new(out, &made.map_err(|error| Failure::Failed(error.to_string()))?)?;
        if self.format.format == Format::Json {
            return output::json(&json!({
                "archivo": out, "informe_sha256": prueba.sha256.as_str(),
                "conclusion": prueba.informe.resumen.conclusion.texto(), "borrador": self.draft,
                "campos": if self.draft { Vec::new() } else { vec![acta::CAMPO_TI, acta::CAMPO_TRAMITE] },
            }));
        }
        output::say(&format!("{}: {}", out.display(), if self.draft { acta::TITULO_BORRADOR } else { acta::TITULO }));
        output::say(&format!(
            "  informe de la suite: {}, SHA-256 {}",
            prueba.informe.resumen.conclusion.texto(),
            prueba.sha256
        ));
        output::say(&match self.draft {
            true => "  es un borrador: no tiene dónde firmar".to_owned(),
            false => format!("  firman en los campos {} y {}", acta::CAMPO_TI, acta::CAMPO_TRAMITE),
        });
        Ok(())
    }

    fn check(&self, open: &Open, file: &Path) -> Result<(), Failure> {
        let bytes = read(file, ADJUNTO_BYTES_MAX).map_err(Failure::Usage)?;
        let (informe, problemas) = open.look(open.ambiente(), |contexto| {
            acta::firmada(&open.expediente, &bytes, &|name| open.named(name), contexto)
        });
        if self.format.format == Format::Json {
            output::json(&json!({ "conforme": problemas.is_empty(), "problemas": problemas, "firmas": informe }))?;
        } else {
            for firma in &informe.firmas {
                let who = firma.firmante.as_ref().map_or("no se sabe quién", |who| &who.nombre);
                output::say(&format!("  {}: {who}, {}", firma.campo, firma.veredicto.palabra()));
            }
            tell(&problemas);
        }
        if problemas.is_empty() {
            if self.format.format == Format::Text {
                let sure = !informe.firmas.is_empty() && informe.veredicto == Veredicto::Confiable;
                output::say(if sure {
                    "El acta es de esta entidad y de su informe, y la firman las dos personas que deben firmarla"
                } else {
                    "El acta es de esta entidad y de su informe, y la firman las dos personas que deben firmarla; quién emitió \
                     sus certificados no está comprobado: en producción hace falta"
                });
            }
            return Ok(());
        }
        Err(Failure::Failed("el acta no está firmada como debe".into()))
    }
}
