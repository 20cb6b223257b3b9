//! `chasqui webhook`: how the webhooks of the configuration are doing, a message that tries one, and telling again.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{ConfigOption, Failure, Format, FormatOption, client::Api, output, runtime};

const PATH: &str = "/api/v1/webhooks";

#[derive(Subcommand)]
pub enum Webhook {
    /// Muestra los webhooks configurados y cómo va cada uno
    List(List),
    /// Envía un aviso de prueba, firmado, y dice qué respondió
    Ping(Named),
    /// Repite los avisos desde un momento, o los de un documento
    Replay(Replay),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Named {
    /// El name de su sección [[webhook]]
    #[arg(value_name = "NOMBRE")]
    name: String,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Replay {
    #[command(flatten)]
    named: Named,
    /// Desde cuándo: una fecha (2026-11-21 o 2026-11-21T09:30:00) o un cursor de los sucesos
    #[arg(long, value_name = "DESDE", required_unless_present = "exchange")]
    from: Option<String>,
    /// Solo los de este despacho o recepción
    #[arg(long, value_name = "ID", conflicts_with = "from")]
    exchange: Option<String>,
}

impl Webhook {
    pub fn run(&self) -> Result<(), Failure> {
        let config = match self {
            Self::List(list) => &list.config,
            Self::Ping(named) => &named.config,
            Self::Replay(replay) => &replay.named.config,
        };
        let loaded = config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = match self {
                Self::List(list) => list.run(&api).await,
                Self::Ping(named) => named.ping(&api).await,
                Self::Replay(replay) => replay.run(&api).await,
            };
            let closed = api.close().await;
            done.and(closed)
        })
    }
}

impl List {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let found = api.get(PATH).await?;
        if self.format.format == Format::Json {
            return output::json(&json!({ "items": found["items"] }));
        }
        let all = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if all.is_empty() {
            output::note("No hay webhooks: cada uno es una sección [[webhook]] de la configuración.");
            return Ok(());
        }
        let row = |one: &Value| {
            let text = |member| output::text(one, member).to_owned();
            let mut row =
                vec![text("nombre"), text("situacion"), one["atraso"].to_string(), one["retenidos"].to_string()];
            row.extend(["ultimo_exito", "proxima_prueba", "ultimo_error", "url"].map(text));
            row
        };
        let head =
            ["NOMBRE", "SITUACIÓN", "ATRASO", "RETENIDOS", "ÚLTIMO ÉXITO", "SE PRUEBA", "ÚLTIMO ERROR", "DIRECCIÓN"];
        output::table(&head, &all.iter().map(row).collect::<Vec<_>>());
        Ok(())
    }
}

impl Named {
    fn path(&self, what: &str) -> Result<String, Failure> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.name.is_empty() || !self.name.chars().all(fits) {
            return Err(Failure::Usage(format!(
                "«{}» no es el nombre de un webhook; véalos con «webhook list»",
                self.name
            )));
        }
        Ok(format!("{PATH}/{}/{what}", self.name))
    }

    async fn ping(&self, api: &Api) -> Result<(), Failure> {
        let said = api.call(Method::POST, &self.path("ping")?, None).await?;
        let delivered = said["entregado"] == true;
        if self.format.format == Format::Json {
            output::json(&said)?;
        } else if delivered {
            output::say(&format!("Recibido: HTTP {}, en {} ms.", said["estado_http"], said["milisegundos"]));
        }
        match delivered {
            true => Ok(()),
            false => Err(Failure::Failed(format!("el aviso de prueba no llegó: {}", output::text(&said, "detalle")))),
        }
    }
}

impl Replay {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let body = match (&self.from, &self.exchange) {
            (Some(from), _) => json!({ "desde": from }),
            (None, id) => json!({ "id": id }),
        };
        let said = api.call(Method::POST, &self.named.path("repetir")?, Some(&body)).await?;
        if self.named.format.format == Format::Json {
            return output::json(&said);
        }
        let name = &self.named.name;
        output::say(&format!(
            "Los avisos se repiten en seguida, con los mismos identificadores. Vea cómo va «{name}» con «chasqui webhook list»."
        ));
        Ok(())
    }
}
