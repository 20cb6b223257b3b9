//! `chasqui store purge` and `store certificate`: what is older than it is kept for, and the proof of what went.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{ConfigOption, Failure, Format, FormatOption, causes::in_spanish, client::Api, hold, output, runtime};

const PLAN: &str = "/api/v1/retencion/plan";
const PURGE: &str = "/api/v1/retencion/purgar";
const CERTIFICATES: &str = "/api/v1/retencion/certificados";

#[derive(Args)]
pub struct Purge {
    /// Solo dice qué se borraría y qué no, y por qué; no cambia nada
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Confirma que se borre: no se puede deshacer
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

#[derive(Args)]
pub struct Certificate {
    /// El identificador del despacho o de la recepción
    #[arg(value_name = "ID", required_unless_present = "run")]
    id: Option<String>,
    /// Los de todo lo que purgó esta corrida
    #[arg(long, value_name = "CORRIDA", conflicts_with = "id")]
    run: Option<String>,
    /// Dónde se escribe; no debe existir [si no se da: en pantalla]
    #[arg(long, value_name = "ARCHIVO")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

impl Purge {
    pub fn run(&self) -> Result<(), Failure> {
        if !self.dry_run && !self.yes {
            return Err(Failure::Usage(
                "lo que se purga no se recupera: vea antes qué se borraría con --dry-run y confírmelo luego con --yes"
                    .into(),
            ));
        }
        let loaded = self.config.load()?;
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = if self.dry_run { self.plan(&api).await } else { self.purge(&api).await };
            let closed = api.close().await;
            done.and(closed)
        })
    }

    async fn plan(&self, api: &Api) -> Result<(), Failure> {
        let mut plan = json!({ "despachos": {}, "recepciones": {} });
        let mut cursor: Option<String> = None;
        loop {
            let path = cursor.as_ref().map_or_else(|| PLAN.to_owned(), |cursor| format!("{PLAN}?cursor={cursor}"));
            let part = api.get(&path).await?;
            for class in ["despachos", "recepciones"] {
                join(&mut plan[class], &part[class]);
            }
            match part["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        if self.format.format == Format::Json {
            return output::json(&plan);
        }
        for (class, title) in [("despachos", "Despachos"), ("recepciones", "Recepciones")] {
            told(title, &plan[class]).iter().for_each(|line| output::say(line));
        }
        output::note("No se cambió nada. Para borrar: chasqui store purge --yes");
        Ok(())
    }

    async fn purge(&self, api: &Api) -> Result<(), Failure> {
        let mut totals = json!({});
        let mut body = json!({});
        loop {
            let part = api.call(Method::POST, PURGE, Some(&body)).await?;
            for member in ["intercambios", "documentos", "bytes"] {
                totals[member] = json!(number(&totals, member).saturating_add(number(&part, member)));
            }
            totals["corrida"] = part["corrida"].clone();
            match part["next_cursor"].as_str() {
                Some(next) => body = json!({ "corrida": part["corrida"], "cursor": next }),
                None => break,
            }
        }
        if self.format.format == Format::Json {
            return output::json(&totals);
        }
        let count = |member| number(&totals, member);
        let run = output::text(&totals, "corrida");
        if count("intercambios") == 0 {
            output::say("No había nada que purgar. Qué se deja y por qué: chasqui store purge --dry-run");
            return Ok(());
        }
        output::say(&format!(
            "Se purgaron {} intercambios: {} archivos, {} bytes. Corrida {run}.",
            count("intercambios"),
            count("documentos"),
            count("bytes")
        ));
        output::note(&format!("Los certificados: chasqui store certificate --run {run}"));
        Ok(())
    }
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or(0)
}

/// Adds a part of a plan to what came before it.
fn join(total: &mut Value, part: &Value) {
    for (member, value) in part.as_object().into_iter().flatten() {
        let so_far = &total[member.as_str()];
        let joined = match (member.as_str(), value) {
            ("plazo_segundos", value) => value.clone(),
            (_, Value::Number(_)) => json!(number(total, member).saturating_add(number(part, member))),
            // Texts of one form, with one offset: they sort as times do.
            ("mas_antiguo", Value::String(at)) => {
                json!(so_far.as_str().map_or(at.as_str(), |old| old.min(at.as_str())))
            }
            ("mas_reciente", Value::String(at)) => {
                json!(so_far.as_str().map_or(at.as_str(), |old| old.max(at.as_str())))
            }
            _ => so_far.clone(),
        };
        total[member.as_str()] = joined;
    }
}

/// A class of a plan in words.
fn told(title: &str, plan: &Value) -> Vec<String> {
    let count = |member| number(plan, member);
    let kept = match plan["plazo_segundos"].as_u64() {
        None => "se conservan para siempre: [retention] no les da plazo".to_owned(),
        Some(seconds) if seconds >= 86_400 => format!("se conservan {} días desde que terminan", seconds / 86_400),
        Some(seconds) => format!("se conservan {seconds} segundos desde que terminan"),
    };
    let mut lines = vec![format!("{title}: {kept}")];
    if plan["plazo_segundos"].is_u64() {
        lines.push(match count("purgables") {
            0 => "  se purgarían     ninguno".to_owned(),
            n => format!(
                "  se purgarían     {n}: {} archivos, {} bytes; terminaron entre {} y {}",
                count("documentos"),
                count("bytes"),
                output::text(plan, "mas_antiguo"),
                output::text(plan, "mas_reciente")
            ),
        });
    }
    let left = [
        ("recientes", "terminaron hace menos de ese plazo"),
        ("no_terminados", "no han terminado"),
        ("en_cola", "terminaron, pero tienen entregas en la cola (chasqui queue list)"),
        ("bloqueados", "están bloqueados (chasqui store hold list)"),
        ("sin_plazo", "terminaron y no tienen plazo"),
    ];
    let left = left.into_iter().filter(|(member, _)| count(member) > 0);
    lines.extend(left.map(|(member, why)| format!("  se dejan         {}: {why}", count(member))));
    lines
}

impl Certificate {
    pub fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        let found = runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let found = self.find(&api).await;
            let closed = api.close().await;
            found.and_then(|found| closed.map(|()| found))
        })?;
        if found.is_empty() {
            return Err(Failure::Failed("esa corrida no purgó nada que se conozca aquí".into()));
        }
        let text = match self.format.format {
            Format::Json => serde_json::to_string_pretty(&json!({ "items": found })).unwrap_or_default(),
            Format::Text => {
                let texts: Vec<&str> = found.iter().map(|one| output::text(one, "texto").trim_end()).collect();
                texts.join("\n\n")
            }
        };
        match &self.out {
            None => output::say(&text),
            Some(path) => {
                let made = OpenOptions::new().write(true).create_new(true).open(path);
                let written = made.and_then(|mut file| writeln!(file, "{text}").and_then(|()| file.sync_all()));
                written.map_err(|error| {
                    Failure::Failed(format!("no se puede escribir {}: {}", path.display(), in_spanish(&error)))
                })?;
                output::note(&format!("{} certificado(s) en {}", found.len(), path.display()));
            }
        }
        Ok(())
    }

    async fn find(&self, api: &Api) -> Result<Vec<Value>, Failure> {
        let ids: Vec<String> = match (&self.id, &self.run) {
            (Some(id), _) => vec![id.clone()],
            (None, run) => {
                let of_run = |one: &Value| one["purga"]["corrida"].as_str() == run.as_deref();
                let purged = hold::all(api, CERTIFICATES).await?.into_iter().filter(of_run);
                purged.map(|one| output::text(&one, "id").to_owned()).collect()
            }
        };
        let mut found = Vec::new();
        for id in ids {
            if uuid::Uuid::parse_str(&id).is_err() {
                return Err(Failure::Usage(format!("«{id}» no es un identificador")));
            }
            found.push(api.get(&format!("{CERTIFICATES}/{id}")).await?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_in_parts_is_told_whole() {
        let part = |purgables: u64, first: &str, last: &str| {
            json!({"plazo_segundos": 86_400 * 30, "purgables": purgables, "documentos": 3 * purgables, "bytes": 1000,
                   "mas_antiguo": first, "mas_reciente": last, "recientes": 1, "bloqueados": 2, "no_terminados": 0})
        };
        let mut plan = json!({});
        join(&mut plan, &part(2, "2020-01-02T00:00:00-05:00", "2020-03-01T00:00:00-05:00"));
        join(&mut plan, &part(1, "2020-01-01T00:00:00-05:00", "2020-02-01T00:00:00-05:00"));
        join(&mut plan, &json!({"purgables": 0, "mas_antiguo": null, "plazo_segundos": 86_400 * 30}));
        assert_eq!(
            told("Despachos", &plan),
            [
                "Despachos: se conservan 30 días desde que terminan",
                "  se purgarían     3: 9 archivos, 2000 bytes; terminaron entre 2020-01-01T00:00:00-05:00 y \
                 2020-03-01T00:00:00-05:00",
                "  se dejan         2: terminaron hace menos de ese plazo",
                "  se dejan         4: están bloqueados (chasqui store hold list)",
            ]
        );
    }
}
