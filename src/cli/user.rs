//! `chasqui user`: people of the console, through the control socket of the running daemon or on the store of one that is
//! stopped.

use std::{io::Read, path::PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{ConfigOption, Failure, Format, FormatOption, client::Api, identities, output, runtime};
use crate::config::Config;

#[derive(Subcommand)]
pub enum User {
    /// Crea una persona y muestra su contraseña provisional, por única vez
    Create(Create),
    /// Muestra las personas de la consola
    List(List),
    /// Da otra contraseña a una persona, también si estaba deshabilitada; sus sesiones terminan
    Reset(Reset),
    /// Deshabilita a una persona: desde ese momento no entra
    Disable(Disable),
}

#[derive(Args)]
pub struct Create {
    /// La cuenta con que ingresará, por ejemplo «rnahui»
    #[arg(value_name = "CUENTA")]
    account: String,
    /// Su nombre, como figurará en los cargos que emita
    #[arg(long, value_name = "NOMBRE")]
    name: String,
    /// Qué permite: mesa_de_partes, operador, auditor o admin
    #[arg(long, value_name = "ROL", value_parser = ROLES, hide_possible_values = true)]
    role: String,
    /// RUC de la única entidad que verá; obligatorio para mesa_de_partes si se atiende a varias
    #[arg(long, value_name = "RUC")]
    entity: Option<String>,
    #[command(flatten)]
    password: PasswordOption,
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
pub struct Reset {
    /// La cuenta de la persona
    #[arg(value_name = "CUENTA")]
    account: String,
    #[command(flatten)]
    password: PasswordOption,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Disable {
    /// La cuenta de la persona
    #[arg(value_name = "CUENTA")]
    account: String,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
struct PasswordOption {
    /// La contraseña, en la primera línea de un archivo; «-» es la entrada estándar. Sin esto se crea una provisional
    #[arg(long, value_name = "ARCHIVO")]
    password_file: Option<PathBuf>,
}

const ROLES: [&str; 4] = ["mesa_de_partes", "operador", "auditor", "admin"];
const PATH: &str = "/api/v1/admin/usuarios";

/// Longest password on standard input, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4 * 1024;

impl PasswordOption {
    fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(path) = &self.password_file else { return Ok(None) };
        if path.as_os_str() != "-" {
            return identities::password(path).map(Some).map_err(Failure::Usage);
        }
        let mut text = Zeroizing::new(String::new());
        let read = std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|_| Failure::Usage("la contraseña de la entrada estándar no se puede leer".into()))?;
        Ok(Some(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())))
    }
}

impl User {
    pub fn run(&self) -> Result<(), Failure> {
        let config = match self {
            Self::Create(create) => &create.config,
            Self::List(list) => &list.config,
            Self::Reset(reset) => &reset.config,
            Self::Disable(disable) => &disable.config,
        };
        let loaded = config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = match self {
                Self::Create(create) => create.run(&api, &loaded.config).await,
                Self::List(list) => list.run(&api).await,
                Self::Reset(reset) => reset.run(&api).await,
                Self::Disable(disable) => disable.run(&api).await,
            };
            let closed = api.close().await;
            done.and(closed)
        })
    }
}

impl Create {
    async fn run(&self, api: &Api, config: &Config) -> Result<(), Failure> {
        let password = self.password.read()?;
        let entity = match (&self.entity, config.entities().as_slice()) {
            (None, [only]) if self.role == "mesa_de_partes" => Some(only.ruc.to_string()),
            (stated, _) => stated.clone(),
        };
        let body = json!({
            "cuenta": self.account, "nombre": self.name, "rol": self.role, "entidad": entity,
            "contrasena": password.as_ref().map(|text| text.as_str()),
        });
        let made = api.call(Method::POST, PATH, Some(&body)).await?;
        if self.format.format == Format::Json {
            return output::json(&made);
        }
        let entity = made["entidad"].as_str().unwrap_or("todas");
        let (account, role) = (output::text(&made, "cuenta"), output::text(&made, "rol"));
        output::note(&format!(
            "Persona «{account}» creada: rol {role}, entidad {entity}. Ingresa en la dirección de listen.api."
        ));
        show_password(&made);
        Ok(())
    }
}

fn show_password(made: &Value) {
    if let Some(password) = made["contrasena"].as_str() {
        output::note("Contraseña provisional; no se volverá a mostrar. Al ingresar se pedirá otra:");
        output::say(password);
    }
}

impl List {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let found = api.get(PATH).await?;
        if self.format.format == Format::Json {
            return output::json(&found);
        }
        let people = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if people.is_empty() {
            output::note(
                "No hay personas; cree la primera con «chasqui user create CUENTA --name NOMBRE --role admin».",
            );
            return Ok(());
        }
        let head = ["CUENTA", "NOMBRE", "ROL", "ENTIDAD", "CREADA", "DESHABILITADA"];
        output::table(&head, &people.iter().map(row).collect::<Vec<_>>());
        Ok(())
    }
}

fn row(person: &Value) -> Vec<String> {
    let text = |member| output::text(person, member);
    let entity = person["entidad"].as_str().unwrap_or("todas");
    [text("cuenta"), text("nombre"), text("rol"), entity, text("creado_en"), text("deshabilitado_en")]
        .map(str::to_owned)
        .into()
}

impl Reset {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let password = self.password.read()?;
        let body = json!({ "contrasena": password.as_ref().map(|text| text.as_str()) });
        let path = format!("{PATH}/{}/restablecer", in_path(&self.account)?);
        let done = api.call(Method::POST, &path, Some(&body)).await?;
        if self.format.format == Format::Json {
            return output::json(&done);
        }
        let account = output::text(&done, "cuenta");
        output::note(&format!("La persona «{account}» tiene otra contraseña, y sus sesiones terminaron."));
        show_password(&done);
        Ok(())
    }
}

impl Disable {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let path = format!("{PATH}/{}/deshabilitar", in_path(&self.account)?);
        let done = api.call(Method::POST, &path, None).await?;
        if self.format.format == Format::Json {
            return output::json(&done);
        }
        let (account, at) = (output::text(&done, "cuenta"), output::text(&done, "deshabilitado_en"));
        output::say(&format!("Persona «{account}» deshabilitada desde {at}; no puede entrar."));
        Ok(())
    }
}

/// An account as it may stand in an address.
fn in_path(account: &str) -> Result<&str, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    match account {
        "" | "." | ".." => Err(Failure::Usage("diga la cuenta de la persona".into())),
        text if text.chars().all(plain) => Ok(text),
        other => Err(Failure::Usage(format!("«{other}» no es una cuenta"))),
    }
}
