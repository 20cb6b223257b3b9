//! `chasqui queue`: deliveries under way, waiting and given up; what a person decides about them.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{ConfigOption, Failure, Format, FormatOption, client::Api, output, runtime};

const PATH: &str = "/api/v1/cola";

/// Items asked for at a time.
const PAGE: usize = 200;

#[derive(Subcommand)]
pub enum Queue {
    /// Muestra las entregas pendientes, las que esperan y las detenidas
    List(List),
    /// Explica una entrega: por qué está donde está, qué hacer y qué pasará
    Show(Show),
    /// Vuelve a intentar una entrega ahora, también si estaba detenida
    Retry(Decide),
    /// Abandona una entrega para siempre
    Discard(Decide),
    /// Muestra lo que respondieron otras entidades y el catálogo de fallas no conoce
    Texts(Texts),
}

#[derive(Args)]
pub struct List {
    /// Solo las detenidas, que esperan a una persona
    #[arg(long)]
    dead: bool,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Show {
    /// El identificador que muestra «queue list»
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Texts {
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Decide {
    /// El identificador que muestra «queue list»
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

impl Queue {
    pub fn run(&self) -> Result<(), Failure> {
        let config = match self {
            Self::List(list) => &list.config,
            Self::Show(show) => &show.config,
            Self::Retry(decide) | Self::Discard(decide) => &decide.config,
            Self::Texts(texts) => &texts.config,
        };
        let loaded = config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = match self {
                Self::List(list) => list.run(&api).await,
                Self::Show(show) => show.run(&api).await,
                Self::Retry(decide) => decide.retry(&api).await,
                Self::Discard(decide) => decide.discard(&api).await,
                Self::Texts(texts) => texts.run(&api).await,
            };
            let closed = api.close().await;
            done.and(closed)
        })
    }
}

impl List {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let jobs = self.fetch(api).await?;
        if self.format.format == Format::Json {
            return output::json(&json!({ "items": jobs }));
        }
        if jobs.is_empty() {
            output::note("No hay entregas en la cola.");
            return Ok(());
        }
        let head = ["ID", "QUÉ", "SITUACIÓN", "DESTINO", "CUO", "INTENTOS", "FALLA", "PRÓXIMO"];
        output::table(&head, &jobs.iter().map(row).collect::<Vec<_>>());
        Ok(())
    }

    async fn fetch(&self, api: &Api) -> Result<Vec<Value>, Failure> {
        let (mut jobs, mut path) = (Vec::new(), format!("{PATH}?limit={PAGE}"));
        loop {
            let page = api.get(&path).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            jobs.extend(items.into_iter().filter(|job| !self.dead || job["situacion"] == "detenido"));
            match page["next_cursor"].as_str() {
                Some(next) => path = format!("{PATH}?limit={PAGE}&cursor={next}"),
                None => return Ok(jobs),
            }
        }
    }
}

fn row(job: &Value) -> Vec<String> {
    let what = match job["tipo"].as_str() {
        Some("despachar") => "documento",
        Some("entregar_cargo") => "cargo",
        Some("preguntar_cargo") => "pregunta por cargo",
        _ => "—",
    };
    let text = |member| output::text(job, member).to_owned();
    vec![
        text("id"),
        what.to_owned(),
        text("situacion"),
        text("destino"),
        text("cuo"),
        job["intentos"].to_string(),
        text("falla"),
        text("proximo_en"),
    ]
}

impl Show {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let job = api.get(&path_of(&self.id)?).await?;
        if self.format.format == Format::Json {
            return output::json(&job);
        }
        output::say(output::text(&job, "explicacion"));
        let line = |name: &str, member: &str| output::say(&format!("  {name:<22}{}", output::text(&job, member)));
        output::say("");
        line("Número de registro", "numero_registro");
        line("CUO", "cuo");
        line("Falla", "falla");
        line("Desde", "creado_en");
        Ok(())
    }
}

impl Decide {
    async fn retry(&self, api: &Api) -> Result<(), Failure> {
        let path = format!("{}/reintentar", path_of(&self.id)?);
        let job = api.call(Method::POST, &path, Some(&json!({ "motivo": self.reason }))).await?;
        if self.format.format == Format::Json {
            return output::json(&job);
        }
        output::say("Se intentará en seguida. Puede seguirla con «chasqui queue show».");
        Ok(())
    }

    async fn discard(&self, api: &Api) -> Result<(), Failure> {
        let path = format!("{}/descartar", path_of(&self.id)?);
        api.call(Method::POST, &path, Some(&json!({ "motivo": self.reason }))).await?;
        if self.format.format == Format::Json {
            return output::json(&json!({ "id": self.id, "descartado": true }));
        }
        output::say("Entrega descartada. El documento y su historia se conservan.");
        Ok(())
    }
}

impl Texts {
    async fn run(&self, api: &Api) -> Result<(), Failure> {
        let found = api.get("/api/v1/salud/textos").await?;
        if self.format.format == Format::Json {
            return output::json(&json!({ "items": found["items"] }));
        }
        let texts = found["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if texts.is_empty() {
            output::note("Todo lo que respondieron las otras entidades está en el catálogo de fallas.");
            return Ok(());
        }
        let row = |text: &Value| {
            let member = |name| output::text(text, name).to_owned();
            let mut row = vec![text["veces"].to_string()];
            row.extend(["codigo", "operacion", "entidad", "ultima_vez", "falla", "texto"].map(member));
            row
        };
        let head = ["VECES", "CÓDIGO", "OPERACIÓN", "ENTIDAD", "ÚLTIMA VEZ", "SE EXPLICA COMO", "TEXTO"];
        output::table(&head, &texts.iter().map(row).collect::<Vec<_>>());
        output::note("Para explicar mejor uno de ellos, agregue una regla [[respuesta]] a la configuración.");
        Ok(())
    }
}

fn path_of(id: &str) -> Result<String, Failure> {
    if uuid::Uuid::parse_str(id).is_err() {
        return Err(Failure::Usage(format!("«{id}» no es el identificador de una entrega; véalos con «queue list»")));
    }
    Ok(format!("{PATH}/{id}"))
}
