//! `chasqui maintenance`: for a while nothing new is taken in and nothing is sent. Also said to a service that is stopped, so that
//! it starts so.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{ConfigOption, Failure, Format, FormatOption, client::Api, output, runtime};

const PATH: &str = "/api/v1/admin/mantenimiento";

#[derive(Subcommand)]
pub enum Maintenance {
    /// Empieza: la plataforma y el SGD reciben 503 y vuelven después; nada se despacha
    On(On),
    /// Termina: se recibe y se envía otra vez
    Off(Plain),
    /// Dice si está en mantenimiento, desde cuándo y por qué
    Status(Plain),
}

#[derive(Args)]
pub struct On {
    /// Por qué: lo lee el personal en la consola y queda en el registro de auditoría
    #[arg(long, value_name = "MOTIVO")]
    reason: String,
    /// Cuándo termina solo, como 2026-11-21T18:00:00-05:00 [si no se da: con «maintenance off»]
    #[arg(long, value_name = "MOMENTO")]
    until: Option<String>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Plain {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

impl Maintenance {
    pub fn run(&self) -> Result<(), Failure> {
        let (config, format) = match self {
            Self::On(on) => (&on.config, on.format.format),
            Self::Off(plain) | Self::Status(plain) => (&plain.config, plain.format.format),
        };
        let loaded = config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let told = match self {
                Self::On(on) => {
                    let body = json!({ "motivo": on.reason, "hasta": on.until });
                    api.call(Method::POST, PATH, Some(&body)).await
                }
                Self::Off(_) => api.call(Method::DELETE, PATH, None).await,
                Self::Status(_) => api.get(PATH).await,
            };
            let closed = api.close().await;
            let told = told?;
            closed?;
            show(&told, format)
        })
    }
}

fn show(told: &Value, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(told);
    }
    if told["activo"] != true {
        output::say("No hay mantenimiento: se recibe y se envía.");
        return Ok(());
    }
    let until = told["hasta"].as_str().map_or("hasta «maintenance off»".to_owned(), |end| format!("hasta {end}"));
    let [since, why] = ["desde", "motivo"].map(|member| output::text(told, member));
    output::say(&format!("En mantenimiento desde {since}, {until}: {why}"));
    Ok(())
}
