//! Statements over the columns that are there: a value for a column that an install lacks is left out, a text longer than its
//! column is cut, and all of it goes as parameters.

use tokio_postgres::{Transaction, types::ToSql};

use super::{
    Failure,
    schema::{Kind, Table},
};

/// Where the pieces of a PDF are put together ([`super::pieces`]).
pub const DOCUMENT: &str = "(SELECT string_agg(pieza, ''::bytea ORDER BY n) FROM pg_temp.chasqui_piezas)";

/// Keys drawn for the rows of one exchange, in the order in which it adds them: one that is tried again takes those of before.
#[derive(Default)]
pub struct Drawn {
    keys: Vec<(&'static str, i64)>,
    used: usize,
}

impl Drawn {
    /// For another attempt.
    pub fn again(mut self) -> Self {
        self.used = 0;
        self
    }

    /// The next key for a row of `table`, which numbers its rows with `next`.
    async fn draw(&mut self, tx: &Transaction<'_>, table: &'static str, next: &str) -> Result<i64, Failure> {
        let kept = self.keys.get(self.used).filter(|(of, _)| *of == table).map(|(_, key)| *key);
        let key = match kept {
            Some(key) => key,
            None => {
                let key = tx.query_one(format!("SELECT {next}::int8").as_str(), &[]).await?.try_get(0)?;
                self.keys.truncate(self.used);
                self.keys.push((table, key));
                key
            }
        };
        self.used += 1;
        Ok(key)
    }
}

/// Values for columns of one table.
pub struct Values<'a> {
    table: &'a Table,
    columns: Vec<(&'static str, String)>,
    params: Vec<Option<String>>,
    /// Columns whose text did not fit.
    pub cut: Vec<&'static str>,
}

impl<'a> Values<'a> {
    pub fn of(table: &'a Table) -> Self {
        Self { table, columns: Vec::new(), params: Vec::new(), cut: Vec::new() }
    }

    /// A text, a number or a time in Lima; as much of a text as its column takes.
    pub fn set(&mut self, name: &'static str, value: Option<impl Into<String>>) -> &mut Self {
        let Some(column) = self.table.column(name) else { return self };
        let mut value: Option<String> = value.map(Into::into);
        if let (Some(text), Some(length), Kind::Text) = (&value, column.length, column.kind)
            && text.chars().count() > length
        {
            self.cut.push(name);
            value = Some(text.chars().take(length).collect());
        }
        if value.is_none() && column.required {
            value = match column.kind {
                Kind::Text => Some(String::new()),
                Kind::Number => Some("0".into()),
                _ => None,
            };
        }
        self.params.push(value);
        let n = self.params.len();
        let expression = match column.kind {
            Kind::Text => format!("${n}::text"),
            _ => format!("CAST(${n}::text AS {})", column.data_type),
        };
        self.columns.push((name, expression));
        self
    }

    /// An expression of ours.
    pub fn put(&mut self, name: &'static str, expression: &str) -> &mut Self {
        if self.table.has(name) {
            self.columns.push((name, expression.to_owned()));
        }
        self
    }

    /// Changes the row with this key if `and` holds of it, a condition of ours. Says whether there was one.
    pub async fn update(&mut self, tx: &Transaction<'_>, key: i64, and: &str) -> Result<bool, Failure> {
        if self.columns.is_empty() {
            return Ok(true);
        }
        let sets: Vec<String> = self.columns.iter().map(|(name, value)| format!("\"{name}\" = {value}")).collect();
        let (table, id) = (&self.table.full, self.table.key);
        let sql = format!("UPDATE {table} SET {} WHERE \"{id}\" = {key} AND {and}", sets.join(", "));
        Ok(tx.execute(sql.as_str(), &bound(&self.params)).await? > 0)
    }

    /// Adds a row and gives its key. What it must have and nobody knows here is empty, or the server refuses it by name.
    pub async fn insert(&mut self, tx: &Transaction<'_>, drawn: &mut Drawn) -> Result<i64, Failure> {
        let next = match self.table.next_key() {
            Some(next) => Some(drawn.draw(tx, self.table.name, &next).await?.to_string()),
            None => None,
        };
        let set: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let key = self.table.key;
        let more: Vec<(String, String)> = self
            .table
            .required()
            .filter(|(name, column)| *name != key && !set.contains(name) && column.kind == Kind::Text)
            .map(|(name, _)| (name.to_owned(), "''".to_owned()))
            .chain(next.map(|next| (key.to_owned(), next)))
            .collect();
        let columns = self.columns.iter().map(|(name, value)| (*name, value.as_str()));
        let columns: Vec<(&str, &str)> =
            columns.chain(more.iter().map(|(name, value)| (name.as_str(), value.as_str()))).collect();
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let values: Vec<&str> = columns.iter().map(|(_, value)| *value).collect();
        let (table, names, values) = (&self.table.full, names.join(", "), values.join(", "));
        let sql = format!("INSERT INTO {table} ({names}) VALUES ({values}) RETURNING \"{key}\"::int8");
        Ok(tx.query_one(sql.as_str(), &bound(&self.params)).await?.try_get(0)?)
    }
}

fn bound(params: &[Option<String>]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}
