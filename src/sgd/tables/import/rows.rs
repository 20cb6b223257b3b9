//! Rows of the earlier system with what they say of their document, read in pages by their key. Nothing is written.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::{
    domain::{Contenido, Cuo, lima},
    exchange::Exchange,
    sgd::tables::{
        Failure, pieces,
        pieces::Taken,
        schema::{ANEXO, DESPACHO, EXTERNO, Kind, PRINCIPAL, Schema, Table},
        session::Session,
    },
    store::Staged,
};

/// Rows read in one statement.
pub const PAGE: i64 = 100;
/// Annexes of one document that are read.
const ANNEXES_MAX: i64 = 1000;

const OF_DESPACHO: &[&str] = &[
    "vnumregstd",
    "vanioregstd",
    "ctipdociderem",
    "vnumdociderem",
    "vcoduniorgrem",
    "vuniorgrem",
    "vcuo",
    "vrucentrec",
    "vcuoref",
    "vnumregstdrec",
    "vanioregstdrec",
    "dfecregstdrec",
    "vuniorgstdrec",
    "vusuregstdrec",
    "vobs",
    "vdesanxstdrec",
    "cflgest",
    "cflgenv",
    "cflganu",
    "dfecenv",
    "vusureg",
    "dfecreg",
    "dfecmod",
];
const OF_RECEPCION: &[&str] = &[
    "vrucentrem",
    "vuniorgrem",
    "ctipdociderem",
    "vnumdociderem",
    "vnumregstd",
    "vanioregstd",
    "vuniorgstd",
    "dfecregstd",
    "vusuregstd",
    "vdesanxstd",
    "vcuo",
    "vcuoref",
    "vobs",
    "cflgest",
    "cflgenvcar",
    "cflganu",
    "dfecreg",
    "dfecmod",
];
const OF_DOCUMENT: &[&str] = &[
    "vnomentemi",
    "ccodtipdoc",
    "vnumdoc",
    "dfecdoc",
    "vuniorgdst",
    "vnomdst",
    "vnomcardst",
    "vasu",
    "snumanx",
    "snumfol",
    "vurldocanx",
];

/// One row.
pub struct Fila {
    pub key: i64,
    said: HashMap<&'static str, String>,
    /// Its row of [`EXTERNO`].
    externo: Option<i64>,
    /// The row of its main document, and how many bytes that has.
    principal: Option<(i64, u64)>,
    /// How many bytes its cargo has; `None`: there is none.
    cargo: Option<u64>,
}

/// What a row has in bytes.
#[derive(Default)]
pub struct Archivos {
    pub documento: Option<Staged>,
    pub cargo: Option<Staged>,
    /// What was found wrong with them.
    pub reparos: Vec<&'static str>,
}

impl Fila {
    pub fn said(&self, name: &str) -> Option<&str> {
        self.said.get(name).map(String::as_str)
    }

    pub fn owned(&self, name: &str) -> Option<String> {
        self.said(name).map(str::to_owned)
    }

    pub fn text(&self, name: &str) -> String {
        self.owned(name).unwrap_or_default()
    }

    pub fn time(&self, name: &str) -> Option<Timestamp> {
        lima::leer(self.said(name)?)
    }

    pub fn cuo(&self) -> Option<Cuo> {
        Cuo::parse(self.said("vcuo")?).ok()
    }

    /// `cflgest`.
    pub fn estado(&self) -> &str {
        self.said("cflgest").unwrap_or_default()
    }

    pub fn anulada(&self) -> bool {
        self.said("cflganu") == Some("S")
    }

    pub fn tiene_cargo(&self) -> bool {
        self.cargo.is_some()
    }

    /// All its bytes.
    pub fn bytes(&self) -> u64 {
        self.principal.map_or(0, |(_, bytes)| bytes).saturating_add(self.cargo.unwrap_or(0))
    }

    /// Why its files cannot be taken, if one is larger than this service takes.
    pub fn excesivo(&self, max: u64) -> Option<String> {
        let largest = self.principal.map_or(0, |(_, bytes)| bytes).max(self.cargo.unwrap_or(0));
        (largest > max).then(|| {
            format!("un archivo suyo tiene {largest} bytes y el máximo es {max} (limits.document_max): súbalo y repita")
        })
    }

    /// What is missing of it.
    pub fn reparos(&self) -> Vec<String> {
        let mut found = Vec::new();
        match (self.externo, self.principal) {
            (None, _) => found.push("sin los datos de su documento (iotdtm_doc_externo)".to_owned()),
            (_, None | Some((_, 0))) => found.push("sin el PDF de su documento (iotdtd_doc_principal)".to_owned()),
            _ => {}
        }
        found
    }

    /// Names of its annexes.
    pub async fn anexos(&self, session: &Session) -> Result<Vec<Option<String>>, Failure> {
        let Some(externo) = self.externo else { return Ok(Vec::new()) };
        let table = session.schema.table(ANEXO)?;
        let sql = format!(
            "SELECT {} FROM {} a WHERE a.\"siddocext\" = {externo} ORDER BY a.\"{}\" LIMIT {ANNEXES_MAX}",
            table.read("a", "vnomdoc"),
            table.full,
            table.key
        );
        let rows = session.client.query(sql.as_str(), &[]).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// Brings its PDFs into the store; `cargo` is the column of the row's own table.
    pub async fn archivos(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        (table, cargo): (&'static str, &'static str),
    ) -> Result<Archivos, Failure> {
        let tx = session.client.build_transaction().read_only(true).start().await?;
        let (own, principal) = (session.schema.table(table)?, session.schema.table(PRINCIPAL)?);
        let mut found = Archivos::default();
        if let Some((key, _)) = self.principal {
            let place = (principal.full.as_str(), principal.key, "bpdfdoc");
            found.documento =
                kept(pieces::take(&tx, exchange, place, key).await?, &mut found.reparos, "su documento no es un PDF");
        }
        if self.cargo.is_some() {
            let place = (own.full.as_str(), own.key, cargo);
            found.cargo =
                kept(pieces::take(&tx, exchange, place, self.key).await?, &mut found.reparos, "su cargo no es un PDF");
        }
        tx.rollback().await?;
        Ok(found)
    }
}

/// What is no PDF is kept as it was sent or received, and told.
fn kept(taken: Taken, reparos: &mut Vec<&'static str>, what: &'static str) -> Option<Staged> {
    if taken.contenido == Contenido::NoPdf {
        reparos.push(what);
    }
    taken.staged
}

/// The next rows of a table after this key.
pub async fn page(
    client: &Client,
    schema: &Schema,
    table: &'static str,
    (after, limit): (i64, i64),
) -> Result<Vec<Fila>, Failure> {
    let (own, externo, principal) = (schema.table(table)?, schema.table(EXTERNO)?, schema.table(PRINCIPAL)?);
    let (names, cargo) = if table == DESPACHO { (OF_DESPACHO, "bcarstdrec") } else { (OF_RECEPCION, "bcarstd") };
    let columns = names.iter().map(|name| exactly(own, "d", name));
    let columns: Vec<String> = columns.chain(OF_DOCUMENT.iter().map(|name| exactly(externo, "e", name))).collect();
    let cargo = if own.has(cargo) { format!("octet_length(d.\"{cargo}\")::int8") } else { "NULL::int8".into() };
    let sql = format!(
        "SELECT {columns}, p.\"vnomdoc\", e.\"{ekey}\"::int8, p.k, p.bytes, nullif({cargo}, 0), d.\"{key}\"::int8 FROM {full} d \
         LEFT JOIN LATERAL (SELECT * FROM {externo} x WHERE x.\"{key}\" = d.\"{key}\" ORDER BY x.\"{ekey}\" LIMIT 1) e ON true \
         LEFT JOIN LATERAL (SELECT y.\"{pkey}\"::int8 AS k, {named} AS vnomdoc, octet_length(y.\"bpdfdoc\")::int8 AS bytes \
         FROM {principal} y WHERE y.\"siddocext\" = e.\"{ekey}\" ORDER BY y.\"{pkey}\" LIMIT 1) p ON true \
         WHERE d.\"{key}\" > $1::int8 ORDER BY d.\"{key}\" LIMIT {limit}",
        columns = columns.join(", "),
        key = own.key,
        full = own.full,
        ekey = externo.key,
        externo = externo.full,
        pkey = principal.key,
        named = principal.read("y", "vnomdoc"),
        principal = principal.full,
    );
    let rows = client.query(sql.as_str(), &[&after]).await?;
    let known: Vec<&'static str> = names.iter().chain(OF_DOCUMENT).chain(&["vnomdoc"]).copied().collect();
    rows.iter().map(|row| fila(row, &known)).collect()
}

fn fila(row: &tokio_postgres::Row, names: &[&'static str]) -> Result<Fila, Failure> {
    let mut said = HashMap::new();
    for (at, name) in names.iter().enumerate() {
        let text: Option<String> = row.try_get(at)?;
        if let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) {
            said.insert(*name, text);
        }
    }
    let n = names.len();
    let number = |at: usize| -> Result<Option<i64>, Failure> { Ok(row.try_get(n + at)?) };
    let size = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok());
    let principal = number(1)?.map(|key| Ok::<_, Failure>((key, size(number(2)?).unwrap_or(0)))).transpose()?;
    Ok(Fila { said, externo: number(0)?, principal, cargo: size(number(3)?), key: row.try_get(n + 4)? })
}

/// A column as [`Table::read`] has it, times with their fractions: what a repeated cargo is compared with.
fn exactly(table: &Table, alias: &str, name: &str) -> String {
    match table.column(name).map(|column| column.kind) {
        Some(Kind::Time) => format!("to_char({alias}.\"{name}\", 'YYYY-MM-DD\"T\"HH24:MI:SS.MS')"),
        _ => table.read(alias, name),
    }
}
