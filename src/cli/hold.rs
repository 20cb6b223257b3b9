//! `chasqui store hold`: exchanges that are kept whatever their age.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{ConfigOption, Failure, Format, FormatOption, client::Api, output, runtime};
use crate::domain::Id;

const PATH: &str = "/api/v1/retencion/bloqueos";

/// Items asked for at a time.
const PAGE: usize = 200;

#[derive(Subcommand)]
pub enum Hold {
    /// Impide que se purgue un intercambio, por ejemplo porque hay un proceso en curso
    Set(Decide),
    /// Levanta el bloqueo: el intercambio se purgará cuando venza su plazo
    Lift(Decide),
    /// Muestra los intercambios bloqueados
    List(List),
}

#[derive(Args)]
pub struct Decide {
    /// El identificador del despacho o de la recepción
    #[arg(value_name = "ID")]
    id: String,
    /// Por qué se decide: queda en el registro de auditoría
    #[arg(long, value_name = "MOTIVO")]
    reason: String,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

impl Hold {
    pub fn run(&self) -> Result<(), Failure> {
        let config = match self {
            Self::Set(decide) | Self::Lift(decide) => &decide.config,
            Self::List(list) => &list.config,
        };
        let loaded = config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = match self {
                Self::Set(decide) => decide.run(&api, "bloquear").await,
                Self::Lift(decide) => decide.run(&api, "desbloquear").await,
                Self::List(list) => list.run(&api).await,
            };
            let closed = api.close().await;
            done.and(closed)
        })
    }
}

/// The path of an exchange of which only the id is known.
pub(super) async fn path_of(api: &Api, id: &str) -> Result<String, Failure> {
    let id = id.parse::<Id>().map_err(|_| Failure::Usage(format!("«{id}» no es un identificador")))?;
    for kind in ["despachos", "recepciones"] {
        let path = format!("/api/v1/{kind}/{id}");
        match api.get(&path).await {
            Ok(_) => return Ok(path),
            Err(Failure::Failed(why)) if why.contains("no_existe") => {}
            Err(error) => return Err(error),
        }
    }
    Err(Failure::Failed(format!("no existe ningún despacho ni recepción {id}")))
}

impl Decide {
    async fn run(&self, api: &Api, verb: &str) -> Result<(), Failure> {
        let path = format!("{}/{verb}", path_of(api, &self.id).await?);
        let record = api.call(Method::POST, &path, Some(&json!({ "motivo": self.reason }))).await?;
        if self.format.format == Format::Json {
            return output::json(&record);
        }
        output::say(match verb {
            "bloquear" => "Bloqueado: no se purga nada de este intercambio hasta que se levante el bloqueo.",
            _ => "Bloqueo levantado: el intercambio se purgará cuando venza su plazo.",
        });
        Ok(())
    }
}

impl List {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let held = all(api, PATH).await?;
        if self.format.format == Format::Json {
            return output::json(&json!({ "items": held }));
        }
        if held.is_empty() {
            output::note("No hay intercambios bloqueados.");
            return Ok(());
        }
        let row = |one: &Value| {
            let text = |member| output::text(one, member).to_owned();
            let of = |member| output::text(&one["bloqueo"], member).to_owned();
            vec![text("id"), text("tipo"), text("cuo"), text("estado"), of("desde"), of("por"), of("motivo")]
        };
        let head = ["ID", "QUÉ", "CUO", "ESTADO", "DESDE", "POR", "MOTIVO"];
        output::table(&head, &held.iter().map(row).collect::<Vec<_>>());
        Ok(())
    }
}

/// Every item of a list.
pub(super) async fn all(api: &Api, path: &str) -> Result<Vec<Value>, Failure> {
    let (mut items, mut next) = (Vec::new(), format!("{path}?limit={PAGE}"));
    loop {
        let page = api.get(&next).await?;
        items.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}?limit={PAGE}&cursor={cursor}"),
            None => return Ok(items),
        }
    }
}
