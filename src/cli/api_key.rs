//! `chasqui api-key`: through the control socket of the running daemon, or on the store of one that is stopped.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{ConfigOption, Failure, Format, FormatOption, client::Api, output, runtime};
use crate::config::Config;

#[derive(Subcommand)]
pub enum ApiKey {
    /// Crea una clave y la muestra, por única vez
    Create(Create),
    /// Muestra las claves, sin su secreto
    List(List),
    /// Revoca una clave: desde ese momento no abre nada
    Revoke(Revoke),
}

#[derive(Args)]
pub struct Create {
    /// Para quién o para qué sistema es
    #[arg(long, value_name = "NOMBRE")]
    name: String,
    /// Qué permite: sgd, mesa_de_partes, operador, auditor o admin
    #[arg(long, value_name = "ROL", value_parser = ROLES, hide_possible_values = true)]
    role: String,
    /// RUC de la única entidad que verá; obligatorio para sgd y mesa_de_partes si se atiende a varias
    #[arg(long, value_name = "RUC")]
    entity: Option<String>,
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

#[derive(Args)]
pub struct Revoke {
    /// El identificador que muestra «api-key list»
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

const ROLES: [&str; 5] = ["sgd", "mesa_de_partes", "operador", "auditor", "admin"];
const PATH: &str = "/api/v1/admin/api-keys";

impl ApiKey {
    pub fn run(&self) -> Result<(), Failure> {
        let config = match self {
            Self::Create(create) => &create.config,
            Self::List(list) => &list.config,
            Self::Revoke(revoke) => &revoke.config,
        };
        let loaded = config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = match self {
                Self::Create(create) => create.run(&api, &loaded.config).await,
                Self::List(list) => list.run(&api).await,
                Self::Revoke(revoke) => revoke.run(&api).await,
            };
            let closed = api.close().await;
            done.and(closed)
        })
    }
}

impl Create {
    async fn run(&self, api: &Api, config: &Config) -> Result<(), Failure> {
        let body = json!({ "nombre": self.name, "rol": self.role, "entidad": self.entity(config) });
        let made = api.call(Method::POST, PATH, Some(&body)).await?;
        if self.format.format == Format::Json {
            return output::json(&made);
        }
        output::note(&format!(
            "Clave {} creada: rol {}, entidad {}. Guárdela ahora: no se volverá a mostrar.",
            output::text(&made, "id"),
            output::text(&made, "rol"),
            made["entidad"].as_str().unwrap_or("todas"),
        ));
        output::say(output::text(&made, "clave"));
        Ok(())
    }

    /// The only entity there is need not be named for a key that must have one.
    fn entity(&self, config: &Config) -> Option<String> {
        let of_an_entity = matches!(self.role.as_str(), "sgd" | "mesa_de_partes");
        match (&self.entity, config.entities().as_slice()) {
            (None, [only]) if of_an_entity => Some(only.ruc.to_string()),
            (stated, _) => stated.clone(),
        }
    }
}

impl List {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let found = api.get(PATH).await?;
        if self.format.format == Format::Json {
            return output::json(&found);
        }
        let keys = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if keys.is_empty() {
            output::note("No hay claves; cree una con «chasqui api-key create».");
            return Ok(());
        }
        output::table(
            &["ID", "NOMBRE", "ROL", "ENTIDAD", "CREADA", "REVOCADA"],
            &keys.iter().map(row).collect::<Vec<_>>(),
        );
        Ok(())
    }
}

fn row(key: &Value) -> Vec<String> {
    let entity = key["entidad"].as_str().unwrap_or("todas");
    let text = |member| output::text(key, member);
    [text("id"), text("nombre"), text("rol"), entity, text("creada_en"), text("revocada_en")].map(str::to_owned).into()
}

impl Revoke {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        if uuid::Uuid::parse_str(&self.id).is_err() {
            return Err(Failure::Usage(format!("«{}» no es el identificador de una clave", self.id)));
        }
        let revoked = api.call(Method::DELETE, &format!("{PATH}/{}", self.id), None).await?;
        if self.format.format == Format::Json {
            return output::json(&revoked);
        }
        output::say(&format!(
            "Clave {} («{}») revocada desde {}.",
            output::text(&revoked, "id"),
            output::text(&revoked, "nombre"),
            output::text(&revoked, "revocada_en"),
        ));
        Ok(())
    }
}
