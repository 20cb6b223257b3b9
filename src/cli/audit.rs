//! `chasqui audit`: the audit log.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use http::Method;
use openssl::x509::X509;
use serde_json::Value;

use super::{
    ConfigOption, Failure, Format, FormatOption,
    client::Api,
    output, runtime,
    store::{purged_too, shown},
};
use crate::{
    audit::{
        evidence::{self, Trust},
        log::Folder,
        note::Verifier,
        verify::{Report, VerifyError, verify_dir},
    },
    domain::{Id, lima},
};

const PATH: &str = "/api/v1/auditoria";

/// Entries asked for at a time.
const PAGE: usize = 500;

#[derive(Subcommand)]
pub enum Audit {
    /// Comprueba el registro entero, sus puntos de control y cada documento; también con el servicio en marcha
    Verify(Verify),
    /// Firma un punto de control de todo lo registrado hasta ahora
    Checkpoint(Checkpoint),
    /// Escribe los asientos, uno por línea en JSON, con las huellas que los prueban
    Export(Export),
    /// Escribe la evidencia de un intercambio en un archivo que se prueba solo
    Evidence(Evidence),
    /// Comprueba una evidencia sin red, sin servicio y sin datos, y dice qué prueba y qué no
    VerifyEvidence(VerifyEvidence),
    /// Muestra la clave pública con la que se comprueban los puntos de control
    Key(Key),
}

#[derive(Args)]
pub struct Verify {
    /// Solo lo registrado desde el último punto de control anterior a esta fecha
    #[arg(long, value_name = "FECHA")]
    since: Option<String>,
    /// Clave pública que se guardó aparte [si no se da: la de la carpeta de datos]
    #[arg(long, value_name = "CLAVE")]
    key: Option<String>,
    /// Carpeta de datos [si no se da: la de la configuración]
    #[arg(long, value_name = "CARPETA")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Checkpoint {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Export {
    /// Solo los hechos de este tipo, por ejemplo «clave» o «despacho.enviado»
    #[arg(long, value_name = "TIPO")]
    tipo: Option<String>,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Args)]
pub struct Evidence {
    /// El identificador del despacho o de la recepción
    #[arg(value_name = "ID")]
    id: String,
    /// Dónde se escribe; no debe existir
    #[arg(long, value_name = "ARCHIVO")]
    out: PathBuf,
    #[command(flatten)]
    config: ConfigOption,
}

#[derive(Args)]
pub struct VerifyEvidence {
    /// El paquete (.asice)
    #[arg(value_name = "ARCHIVO")]
    file: PathBuf,
    /// Certificados en los que usted confía, en PEM; se puede repetir
    #[arg(long, value_name = "PEM")]
    trust: Vec<PathBuf>,
    /// Clave pública de auditoría que se guardó aparte
    #[arg(long, value_name = "CLAVE")]
    key: Option<String>,
    /// Carpeta donde dejar los mensajes rehechos, tal como pasaron por la red
    #[arg(long, value_name = "CARPETA")]
    sobres: Option<PathBuf>,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Key {
    /// Carpeta de datos [si no se da: la de la configuración]
    #[arg(long, value_name = "CARPETA")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
}

impl Audit {
    pub fn run(&self) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Checkpoint(checkpoint) => checkpoint.run(),
            Self::Export(export) => export.run(),
            Self::Evidence(evidence) => evidence.run(),
            Self::VerifyEvidence(verify) => verify.run(),
            Self::Key(key) => key.run(),
        }
    }
}

impl Evidence {
    fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        let id = self.id.parse::<Id>().map_err(|_| Failure::Usage(format!("«{}» no es un identificador", self.id)))?;
        let written = runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = self.write(&api, id).await;
            let closed = api.close().await;
            done.and_then(|written| closed.map(|()| written))
        });
        match written {
            Ok(true) => {
                output::say(&format!("{}", self.out.display()));
                output::note(&format!("Compruébela con: chasqui audit verify-evidence {}", self.out.display()));
                Ok(())
            }
            Ok(false) => {
                std::fs::remove_file(&self.out).ok();
                Err(Failure::Failed(format!("no existe ningún despacho ni recepción {id}")))
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, api: &Api, id: Id) -> Result<bool, Failure> {
        let made = tokio::fs::OpenOptions::new().write(true).create_new(true).open(&self.out).await;
        let mut file = made.map_err(|error| unwritable(&self.out, &error))?;
        for kind in ["despachos", "recepciones"] {
            match api.save(&format!("/api/v1/{kind}/{id}/evidencia"), &mut file).await {
                Ok(false) => {}
                Ok(true) => return Ok(true),
                Err(error) => {
                    // Half a package is none.
                    std::fs::remove_file(&self.out).ok();
                    return Err(error);
                }
            }
        }
        Ok(false)
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Failed(format!("no se puede escribir {}: {}", path.display(), super::causes::in_spanish(error)))
}

impl VerifyEvidence {
    fn run(&self) -> Result<(), Failure> {
        let unreadable = |path: &Path, why: &str| Failure::Usage(format!("no se puede leer {}: {why}", path.display()));
        let mut trust = Trust { key: known_key(self.key.as_deref())?, ..Trust::default() };
        for path in &self.trust {
            let pem = std::fs::read(path).map_err(|error| unreadable(path, &super::causes::in_spanish(&error)))?;
            let found = X509::stack_from_pem(&pem).map_err(|_| unreadable(path, "no son certificados en PEM"))?;
            trust.anchors.extend(found);
        }
        let file =
            File::open(&self.file).map_err(|error| unreadable(&self.file, &super::causes::in_spanish(&error)))?;
        if let Some(folder) = &self.sobres {
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::Usage(format!("no se puede crear {}: {}", folder.display(), super::causes::in_spanish(&error)))
            })?;
        }
        let report = evidence::verify_rebuilding(BufReader::new(file), &trust, self.sobres.as_deref());
        if self.format.format == Format::Json {
            output::json(&report)?;
        } else {
            output::say(&report.to_string());
        }
        if report.is_sound() { Ok(()) } else { Err(Failure::Failed(report.conclusion().into())) }
    }
}

fn known_key(text: Option<&str>) -> Result<Option<Verifier>, Failure> {
    let parsed = text.map(|text| Verifier::parse(text.trim()));
    parsed.transpose().map_err(|error| Failure::Usage(format!("--key: {error}")))
}

fn data_dir(given: Option<&PathBuf>, config: &ConfigOption) -> Result<PathBuf, Failure> {
    let dir = match given {
        Some(dir) => dir.clone(),
        None => config.load()?.config.data_dir,
    };
    if dir.join("journal").is_dir() {
        Ok(dir)
    } else {
        Err(Failure::Usage(format!("{} no es una carpeta de datos de chasqui", dir.display())))
    }
}

impl Verify {
    fn run(&self) -> Result<(), Failure> {
        let since = self.since.as_deref().map(|text| {
            lima::leer(text).ok_or_else(|| {
                Failure::Usage(format!("«{text}» no es una fecha, como 2026-11-21 o 2026-11-21T09:30:00"))
            })
        });
        let key = known_key(self.key.as_deref())?;
        let dir = data_dir(self.data_dir.as_ref(), &self.config)?;
        let since = since.transpose()?;
        let found = shown(|progress| verify_dir(&dir, since, key, progress));
        let found = found.map_err(|error: VerifyError| {
            Failure::Failed(format!("no se pudo verificar {}: {error}", dir.display()))
        })?;
        self.report(&found)
    }

    fn report(&self, found: &Report) -> Result<(), Failure> {
        if self.format.format == Format::Json {
            output::json(found)?;
        } else {
            found.store.remarks.iter().for_each(|remark| output::say(&format!("nota: {remark}")));
            found.store.damage.iter().for_each(|damage| output::say(&format!("DAÑO: {damage}")));
            found.problems.iter().for_each(|problem| output::say(&format!("ALTERADO: {problem}")));
            if found.from > 1 {
                output::say(&format!(
                    "Leído desde el asiento {}; lo anterior, según su punto de control. Los documentos de antes no se releyeron: para \
                     eso, verifique sin --since.",
                    found.from
                ));
            }
            output::say(&format!(
                "{} asientos, {} documentos, {} bytes leídos{}; {} puntos de control correctos ({} con sello de tiempo), \
                 que cubren {} asientos",
                found.store.entries,
                found.store.documents,
                found.store.bytes,
                purged_too(found.store.purged),
                found.checkpoints,
                found.timestamps,
                found.covered
            ));
        }
        if found.is_whole() {
            output::note("El registro está íntegro.");
            return Ok(());
        }
        Err(Failure::Failed(match found.store.damage.len() + found.problems.len() {
            1 => "el registro no está íntegro: 1 problema".into(),
            n => format!("el registro no está íntegro: {n} problemas"),
        }))
    }
}

impl Checkpoint {
    fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        let made = runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let made = api.call(Method::POST, &format!("{PATH}/checkpoint"), None).await;
            let closed = api.close().await;
            made.and_then(|made| closed.map(|()| made))
        })?;
        if self.format.format == Format::Json {
            return output::json(&made);
        }
        output::say(output::text(&made, "nota").trim_end());
        output::note(&format!("Se comprueba con la clave {}", output::text(&made, "clave")));
        Ok(())
    }
}

impl Export {
    fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = self.write(&api).await;
            let closed = api.close().await;
            done.and(closed)
        })
    }

    async fn write(&self, api: &Api) -> Result<(), Failure> {
        let tipo = self.tipo.as_ref().map(|tipo| format!("&tipo={tipo}")).unwrap_or_default();
        let mut after = "0".to_owned();
        loop {
            let page = api.get(&format!("{PATH}?limit={PAGE}&cursor={after}{tipo}")).await?;
            for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
                output::say(&item.to_string());
            }
            let next = output::text(&page, "next_cursor").to_owned();
            if next == after {
                return Ok(());
            }
            after = next;
        }
    }
}

impl Key {
    fn run(&self) -> Result<(), Failure> {
        let dir = data_dir(self.data_dir.as_ref(), &self.config)?;
        let path = Folder::of(&dir).public_key();
        let key = std::fs::read_to_string(&path).map_err(|error| {
            let why = super::causes::in_spanish(&error);
            Failure::Failed(format!("no se puede leer {} (se crea en el primer inicio): {why}", path.display()))
        })?;
        output::say(key.trim_end());
        Ok(())
    }
}
