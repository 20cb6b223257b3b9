//! `chasqui import tables`: what an earlier system left in the tables of the reference component comes over.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{ConfigOption, Failure, Format, FormatOption, client::Api, output, runtime};

/// Odd rows that are kept for the report; more are counted.
const ROWS_MAX: usize = 100_000;
/// Odd rows shown as text.
const SHOWN_MAX: usize = 200;

#[derive(Subcommand)]
pub enum Import {
    /// Trae de las tablas lo que envió y recibió el sistema anterior; sin --yes solo dice qué haría
    Tables(Tables),
}

#[derive(Args)]
pub struct Tables {
    /// Solo las de la sección [[tables]] con este nombre [si no se da: todas]
    #[arg(long, value_name = "NOMBRE")]
    name: Option<String>,
    /// Lo hace. Lo que ya está no se repite: una segunda vez sigue donde quedó
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

impl Import {
    pub fn run(&self) -> Result<(), Failure> {
        let Self::Tables(tables) = self;
        tables.run()
    }
}

impl Tables {
    fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        let wanted = |name: &&String| self.name.as_ref().is_none_or(|only| only == *name);
        let names: Vec<String> =
            loaded.config.tables.iter().map(|tables| &tables.name).filter(wanted).cloned().collect();
        if names.is_empty() {
            return Err(Failure::Usage(match &self.name {
                Some(name) => format!("no hay ninguna sección [[tables]] con el nombre «{name}»"),
                None => {
                    "la configuración no tiene ninguna sección [[tables]]: ahí se dice dónde están las tablas".into()
                }
            }));
        }
        runtime()?.block_on(async {
            let api = Api::local(&loaded.config).await?;
            let done = self.import(&api, &names).await;
            let closed = api.close().await;
            done.and(closed)
        })
    }

    async fn import(&self, api: &Api, names: &[String]) -> Result<(), Failure> {
        let mut reports = Vec::new();
        for name in names {
            reports.push(self.one(api, name).await?);
        }
        if self.format.format == Format::Json {
            return output::json(&json!({ "hecho": self.yes, "tablas": reports }));
        }
        reports.iter().for_each(tell);
        if !self.yes {
            output::note("No se cambió nada. Para traerlas: chasqui import tables --yes");
        }
        Ok(())
    }

    async fn one(&self, api: &Api, name: &str) -> Result<Value, Failure> {
        let mut total = Value::Null;
        let mut cursor: Option<String> = None;
        loop {
            let part = if self.yes {
                let body = cursor.as_ref().map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
                api.call(Method::POST, &format!("/api/v1/tablas/{name}/importar"), Some(&body)).await
            } else {
                let query = cursor.as_ref().map(|cursor| format!("?cursor={cursor}")).unwrap_or_default();
                api.get(&format!("/api/v1/tablas/{name}/importacion{query}")).await
            };
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    // What came over so far stays: said before the reason.
                    if self.yes && total.is_object() && self.format.format == Format::Text {
                        tell(&total);
                        output::note("Quedó a medias: corrija la causa y repita la orden; sigue donde quedó.");
                    }
                    return Err(error);
                }
            };
            cursor = part["next_cursor"].as_str().map(str::to_owned);
            total = if total.is_null() { part } else { joined(total, &part) };
            if cursor.is_none() {
                break;
            }
        }
        if let Some(members) = total.as_object_mut() {
            members.remove("next_cursor");
        }
        Ok(total)
    }
}

/// A report with another part of it: numbers add up, lists go on.
fn joined(total: Value, part: &Value) -> Value {
    match (total, part) {
        (Value::Object(mut total), Value::Object(part)) => {
            for (member, value) in part {
                let so_far = total.remove(member).unwrap_or(Value::Null);
                total.insert(member.clone(), if so_far.is_null() { value.clone() } else { joined(so_far, value) });
            }
            Value::Object(total)
        }
        (Value::Number(total), Value::Number(more)) => {
            json!(total.as_u64().unwrap_or(0).saturating_add(more.as_u64().unwrap_or(0)))
        }
        (Value::Array(mut total), Value::Array(more)) => {
            let room = ROWS_MAX.saturating_sub(total.len());
            total.extend(more.iter().take(room).cloned());
            Value::Array(total)
        }
        (_, other) => other.clone(),
    }
}

fn tell(report: &Value) {
    let (name, schema) = (output::text(report, "nombre"), output::text(report, "esquema"));
    output::say(&format!("Tablas «{name}» (esquema {schema}, entidad {})", output::text(report, "entidad")));
    let done = report["hecho"].as_bool() == Some(true);
    for (member, table) in [("despachos", "iotdtc_despacho"), ("recepciones", "iotdtc_recepcion")] {
        lines(table, &report[member], done).iter().for_each(|line| output::say(line));
    }
    let odd = report["filas"].as_array().map(Vec::as_slice).unwrap_or_default();
    if odd.is_empty() {
        return;
    }
    output::say("");
    output::say("Filas que conviene mirar:");
    let row = |one: &Value| {
        let text = |member| output::text(one, member).to_owned();
        let came = match (one["tomada"].as_bool(), done) {
            (Some(true), true) => "traída",
            (Some(true), false) => "se traería",
            _ => "se deja",
        };
        vec![text("tabla"), one["fila"].to_string(), text("estado"), text("cuo"), came.to_owned(), text("motivo")]
    };
    let rows: Vec<Vec<String>> = odd.iter().take(SHOWN_MAX).map(row).collect();
    output::table(&["TABLA", "FILA", "ESTADO", "CUO", "QUÉ", "POR QUÉ"], &rows);
    if odd.len() > SHOWN_MAX {
        output::say(&format!("… y {} más: con --format json están todas", odd.len() - SHOWN_MAX));
    }
}

/// One table of a report in words.
fn lines(table: &str, counted: &Value, done: bool) -> Vec<String> {
    let count = |member: &str| counted[member].as_u64().unwrap_or(0);
    let counts = |member: &str| -> Vec<(String, u64)> {
        let empty = Map::new();
        let found = counted[member].as_object().unwrap_or(&empty);
        found.iter().map(|(name, n)| (name.clone(), n.as_u64().unwrap_or(0))).collect()
    };
    let states: Vec<String> = counts("por_estado").iter().map(|(letter, n)| format!("{letter} {n}")).collect();
    let states = if states.is_empty() { String::new() } else { format!(" ({})", states.join(", ")) };
    let came = if done { "se trajeron" } else { "se traerían" };
    let mut lines = vec![
        format!("{table}: {} filas{states}", count("filas")),
        format!("  {came:<12} {}: {} bytes de documentos y cargos", count("tomadas"), count("bytes")),
    ];
    if count("ya_estaban") > 0 {
        lines.push(format!("  {:<12} {}", "ya estaban", count("ya_estaban")));
    }
    lines.extend(counts("omitidas").iter().map(|(why, n)| format!("  {:<12} {n}: {why}", "se dejan")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_one_report() {
        let part = |rows: u64, letter: &str, row: i64| {
            json!({"nombre": "tramite", "hecho": true, "filas": [{"fila": row}],
                   "despachos": {"filas": rows, "tomadas": rows, "ya_estaban": 0, "bytes": 100,
                                 "por_estado": {letter: rows}, "omitidas": {"anulada": 1}}})
        };
        let total = joined(joined(part(100, "R", 1), &part(50, "R", 2)), &part(7, "E", 3));
        assert_eq!(total["filas"].as_array().unwrap().len(), 3);
        assert_eq!(total["nombre"], "tramite");
        assert_eq!(
            lines("iotdtc_despacho", &total["despachos"], true),
            [
                "iotdtc_despacho: 157 filas (E 7, R 150)",
                "  se trajeron  157: 300 bytes de documentos y cargos",
                "  se dejan     3: anulada",
            ]
        );
    }
}
