//! What the tables are like here: which columns there are, of which type and length, and what numbers the rows. Read from
//! `information_schema` when a session begins; nothing is ever altered.
//!
//! Values travel as text and are cast by the server to the type that the column has, so that installs that made a date of a
//! timestamp, or a `char` of a `varchar`, need no care of ours.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::Failure;

/// The schemas in use, first the one that is looked for first (CONTRACT §10).
const SCHEMAS: [&str; 2] = ["esq_iotramite", "idosgd"];
/// The largest `smallint`.
pub const SMALLINT_MAX: i64 = 32_767;
/// From this share of its range on a key is warned of, in percent.
pub const KEY_WARN_PERCENT: i64 = 80;

pub const DESPACHO: &str = "iotdtc_despacho";
pub const RECEPCION: &str = "iotdtc_recepcion";
pub const EXTERNO: &str = "iotdtm_doc_externo";
pub const PRINCIPAL: &str = "iotdtd_doc_principal";
pub const ANEXO: &str = "iotdtd_anexo";

/// The tables with their keys, and the columns without which nothing can be done.
const TABLES: [(&str, &str, &[&str]); 5] = [
    (DESPACHO, "sidemiext", &["vnumregstd", "vrucentrec", "vcuo", "cflgest", "cflgenv"]),
    (RECEPCION, "sidrecext", &["vrucentrem", "vcuo", "cflgest", "cflgenvcar"]),
    (EXTERNO, "siddocext", &["ccodtipdoc", "vnumdoc", "vasu", "sidemiext", "sidrecext"]),
    (PRINCIPAL, "siddocpri", &["siddocext", "bpdfdoc"]),
    (ANEXO, "siddocanx", &["siddocext", "vnomdoc"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Time,
    Bytes,
    Other,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub kind: Kind,
    /// As the server calls it.
    pub data_type: String,
    /// In characters.
    pub length: Option<usize>,
    /// A row without it is refused.
    pub required: bool,
    has_default: bool,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: &'static str,
    /// Schema and name, quoted.
    pub full: String,
    pub key: &'static str,
    columns: BTreeMap<String, Column>,
    /// What numbers its rows, where the column does not by itself: quoted.
    sequence: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Schema {
    pub name: String,
    tables: Vec<Table>,
}

impl Schema {
    pub async fn discover(client: &Client, wanted: Option<&str>, sequences: &[String]) -> Result<Self, Failure> {
        let mut schema = Self::read_only(client, wanted).await?;
        schema.find_sequences(client, sequences).await?;
        Ok(schema)
    }

    /// For who adds no rows: what numbers them does not matter.
    pub async fn read_only(client: &Client, wanted: Option<&str>) -> Result<Self, Failure> {
        let names: Vec<String> = TABLES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let sql = "SELECT table_schema::text, table_name::text, column_name::text, data_type::text, \
                   character_maximum_length::int4, is_nullable::text = 'YES', column_default IS NOT NULL OR is_identity = 'YES' \
                   FROM information_schema.columns WHERE table_name::text = ANY($1)";
        let rows = client.query(sql, &[&names]).await?;
        let mut found: BTreeMap<String, BTreeMap<String, BTreeMap<String, Column>>> = BTreeMap::new();
        for row in &rows {
            let (schema, table, name): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let column = column(row)?;
            found.entry(schema).or_default().entry(table).or_default().insert(name, column);
        }
        let name = match wanted {
            Some(name) => name.to_owned(),
            None => SCHEMAS.into_iter().find(|name| found.contains_key(*name)).unwrap_or(SCHEMAS[0]).to_owned(),
        };
        let Some(mut there) = found.remove(&name) else {
            return Err(Failure::Schema(format!(
                "en la base de datos no están las tablas del componente en el esquema «{name}», o el usuario no tiene permiso \
                 de verlas"
            )));
        };
        let mut tables = Vec::with_capacity(TABLES.len());
        for (table, key, needed) in TABLES {
            let columns = there.remove(table).unwrap_or_default();
            let missing: Vec<&str> =
                [key].iter().chain(needed).copied().filter(|column| !columns.contains_key(*column)).collect();
            if !missing.is_empty() {
                let missing = missing.join(", ");
                return Err(Failure::Schema(format!(
                    "a la tabla {name}.{table} le faltan columnas, o el permiso de verlas: {missing}"
                )));
            }
            tables.push(Table { name: table, full: format!("\"{name}\".\"{table}\""), key, columns, sequence: None });
        }
        let schema = Self { name, tables };
        schema.bytes()?;
        Ok(schema)
    }

    pub fn table(&self, name: &str) -> Result<&Table, Failure> {
        let found = self.tables.iter().find(|table| table.name == name);
        found.ok_or_else(|| Failure::Schema(format!("no está la tabla {name}")))
    }

    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter()
    }

    fn bytes(&self) -> Result<(), Failure> {
        let wanted = [(DESPACHO, "bcarstdrec"), (RECEPCION, "bcarstd"), (PRINCIPAL, "bpdfdoc")];
        for (table, column) in wanted {
            let found = self.table(table)?.column(column);
            if found.is_some_and(|column| column.kind != Kind::Bytes) {
                return Err(Failure::Schema(format!("la columna {column} de {table} no es bytea")));
            }
        }
        Ok(())
    }

    /// What numbers the rows that are added here: the column's own default, else a sequence that the configuration names, else
    /// the only one named after the table or its key.
    async fn find_sequences(&mut self, client: &Client, stated: &[String]) -> Result<(), Failure> {
        let sql = "SELECT sequence_name::text FROM information_schema.sequences WHERE sequence_schema::text = $1";
        let rows = client.query(sql, &[&self.name]).await?;
        let known = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        // One whose name needs more than quotes is never guessed: it goes into a statement.
        let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let known: Vec<String> = known.into_iter().filter(plain).collect();
        let schema = self.name.clone();
        for table in &mut self.tables {
            if table.name == DESPACHO || table.columns.get(table.key).is_some_and(|key| key.has_default) {
                continue;
            }
            let named = stated.iter().filter_map(|text| text.split_once('='));
            let named = named.filter(|(name, _)| name.trim() == table.name).map(|(_, sequence)| sequence.trim()).next();
            table.sequence = match named {
                Some(sequence) => Some(match sequence.split_once('.') {
                    Some((schema, sequence)) => format!("\"{schema}\".\"{sequence}\""),
                    None => format!("\"{schema}\".\"{sequence}\""),
                }),
                None => Some(table.guess(&schema, &known)?),
            };
        }
        Ok(())
    }
}

fn column(row: &tokio_postgres::Row) -> Result<Column, Failure> {
    let data_type: String = row.try_get(3)?;
    let kind = match data_type.as_str() {
        "character varying" | "character" | "text" => Kind::Text,
        "smallint" | "integer" | "bigint" | "numeric" => Kind::Number,
        "bytea" => Kind::Bytes,
        "date" => Kind::Time,
        other if other.starts_with("timestamp") => Kind::Time,
        _ => Kind::Other,
    };
    let length: Option<i32> = row.try_get(4)?;
    let (nullable, has_default): (bool, bool) = (row.try_get(5)?, row.try_get(6)?);
    let length = length.and_then(|n| usize::try_from(n).ok());
    Ok(Column { kind, data_type, length, required: !nullable && !has_default, has_default })
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.columns.contains_key(name)
    }

    /// Columns that a new row must have.
    pub fn required(&self) -> impl Iterator<Item = (&str, &Column)> {
        self.columns.iter().filter(|(_, column)| column.required).map(|(name, column)| (name.as_str(), column))
    }

    /// The expression that gives a new row its key, where the column does not by itself.
    pub fn next_key(&self) -> Option<String> {
        self.sequence.as_ref().map(|sequence| format!("nextval('{sequence}')"))
    }

    pub fn sequence(&self) -> Option<&str> {
        self.sequence.as_deref()
    }

    pub fn key_is_smallint(&self) -> bool {
        self.columns.get(self.key).is_some_and(|key| key.data_type == "smallint")
    }

    /// A column as text, `NULL` if it is not here: times as `xs:dateTime` of Lima, which is the session's zone.
    pub fn read(&self, alias: &str, name: &str) -> String {
        match self.columns.get(name).map(|column| column.kind) {
            None | Some(Kind::Bytes | Kind::Other) => "NULL::text".into(),
            Some(Kind::Time) => format!("to_char({alias}.\"{name}\", 'YYYY-MM-DD\"T\"HH24:MI:SS')"),
            Some(Kind::Text | Kind::Number) => format!("{alias}.\"{name}\"::text"),
        }
    }

    /// A flag as one letter; `otherwise` where it is empty or there is none.
    pub fn flag(&self, alias: &str, name: &str, otherwise: &str) -> String {
        match self.has(name) {
            true => format!("coalesce(nullif(trim({alias}.\"{name}\"::text), ''), '{otherwise}')"),
            false => format!("'{otherwise}'::text"),
        }
    }

    fn guess(&self, schema: &str, known: &[String]) -> Result<String, Failure> {
        let short = self.name.split_once('_').map_or(self.name, |(_, short)| short);
        for part in [self.name, self.key, short] {
            let mut found = known.iter().filter(|sequence| sequence.contains(part));
            if let (Some(only), None) = (found.next(), found.next()) {
                return Ok(format!("\"{schema}\".\"{only}\""));
            }
        }
        Err(Failure::Schema(format!(
            "no se sabe qué secuencia numera las filas de {schema}.{}: dígala en la configuración, sequences = [\"{}={schema}.…\"]",
            self.name, self.name
        )))
    }
}
