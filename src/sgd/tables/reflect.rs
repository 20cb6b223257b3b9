//! Writes a despacho into its row as its record stands: state, CUO, times, and what its cargo brought. Writing it again changes
//! nothing.

use jiff::Timestamp;
use tokio_postgres::Transaction;

use super::{
    Conexion, Failure, Memory,
    outgoing::number,
    pieces,
    schema::{DESPACHO, Table},
    session::Session,
    statement::{DOCUMENT, Values},
};
use crate::{
    domain::{Cargo, Despacho, Documento, EstadoDespacho, Id, lima},
    exchange::Exchange,
    store::{BlobReader, StoreError},
};

/// What texts of ours in a column of the SGD's begin with.
pub const OURS: &str = "chasqui: ";
/// Who changed a row, as its own columns say.
const USER: &str = "chasqui";

impl Conexion {
    /// Writes an exchange into its row. One that no row is for is none of these tables'.
    pub(super) async fn reflect(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
        sujeto: Id,
    ) -> Result<(), Failure> {
        let store = exchange.store();
        if let Some(recepcion) = store.recepcion(sujeto).await? {
            return self.write_recepcion(exchange, session, memory, &recepcion).await;
        }
        let Some(despacho) = store.despacho(sujeto).await? else { return Ok(()) };
        match self.row_of(exchange, sujeto).await? {
            Some(row) => self.write_despacho(exchange, session, memory, &despacho, row).await,
            None => Ok(()),
        }
    }

    /// Which row handed a despacho over, if one of these did.
    pub(super) async fn row_of(&self, exchange: &Exchange, despacho: Id) -> Result<Option<i64>, Failure> {
        let history = exchange.store().facts_of(despacho).await?;
        Ok(history.first().and_then(|at| self.options.row_of_actor(&at.fact.actor)))
    }

    pub(super) async fn write_despacho(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
        despacho: &Despacho,
        row: i64,
    ) -> Result<(), Failure> {
        if despacho.estado.en_curso() || despacho.reemplazado_por.is_some() {
            return Ok(());
        }
        let pdf = match despacho.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref()) {
            Some(documento) => stored(exchange, documento).await?,
            None => None,
        };
        let table = session.schema.table(DESPACHO)?;
        let mut values = Values::of(table);
        let now = exchange.now();
        stamp(&mut values, now);
        match despacho.estado {
            EstadoDespacho::Fallido => failed(&mut values, despacho),
            EstadoDespacho::Anulado if table.has("cflganu") => {
                values.set("cflganu", Some("S")).set("vdesanu", Some(format!("{OURS}{}", why(despacho))));
            }
            EstadoDespacho::Anulado => failed(&mut values, despacho),
            _ => sent(&mut values, despacho, pdf.is_some()),
        }
        let tx = session.client.transaction().await?;
        let stands = Standing::read(&tx, table, row).await?;
        // A key that is used again would be another document's row.
        let there = stands.as_ref().is_some_and(|stands| stands.is_of(despacho, row));
        if there && stands.is_some_and(|stands| stands.put_back(despacho)) {
            memory.flying.remove(&row);
            return Ok(tx.rollback().await?);
        }
        if there {
            if let Some(reader) = pdf {
                pieces::put(&tx, reader).await?;
            }
            values.update(&tx, row, "true").await?;
        }
        tx.commit().await?;
        crate::telemetry::failpoint::reach("tables.written");
        memory.flying.remove(&row);
        if !there {
            tracing::warn!(tables = self.options.nombre, row, subject = %despacho.id, "the row of a despacho is gone");
        }
        self.wrote(&values.cut, DESPACHO, row);
        if despacho.estado == EstadoDespacho::Fallido {
            self.row_failed(exchange, DESPACHO, row, why(despacho).to_owned());
        }
        Ok(())
    }
}

/// What a row says before it is written.
struct Standing {
    numero: String,
    destino: String,
    /// To be sent, with the text of ours and the time in which it was changed last.
    waits: bool,
    vobs: String,
    changed: String,
}

impl Standing {
    async fn read(tx: &Transaction<'_>, table: &Table, row: i64) -> Result<Option<Self>, Failure> {
        let columns: Vec<String> = ["vnumregstd", "vanioregstd", "vrucentrec", "cflgest", "vobs", "dfecmod"]
            .iter()
            .map(|name| table.read("d", name))
            .chain([table.flag("d", "cflgenv", "N")])
            .collect();
        let sql =
            format!("SELECT {} FROM {} d WHERE d.\"{}\" = {row} FOR UPDATE", columns.join(", "), table.full, table.key);
        let Some(found) = tx.query_opt(sql.as_str(), &[]).await? else { return Ok(None) };
        let text = |at: usize| -> Result<String, Failure> {
            let text: Option<String> = found.try_get(at)?;
            Ok(text.unwrap_or_default().trim().to_owned())
        };
        Ok(Some(Self {
            numero: number(&text(0)?, &text(1)?),
            destino: text(2)?,
            waits: text(3)? == "P" && text(6)? == "N",
            vobs: text(4)?,
            changed: text(5)?.replace('T', " "),
        }))
    }

    /// An imported one whose number another had is known by the key of its row behind it.
    fn is_of(&self, despacho: &Despacho, row: i64) -> bool {
        let known = despacho.numero_registro.as_str();
        let own = known.strip_suffix(&format!("#{row}"));
        let same = known == self.numero || own.is_some_and(|own| self.numero.starts_with(own));
        same && self.destino == despacho.destino.as_str()
    }

    /// Whether this failure was written already, and the SGD had the row sent again since: whoever died in between looks at
    /// it once more.
    fn put_back(&self, despacho: &Despacho) -> bool {
        let told = self.vobs.starts_with(OURS) && self.changed >= time(despacho.actualizado_en);
        despacho.estado == EstadoDespacho::Fallido && self.waits && told
    }
}

/// Who and when.
pub(super) fn stamp(values: &mut Values<'_>, now: Timestamp) {
    values.set("vusumod", Some(USER)).set("dfecmod", Some(time(now)));
}

/// A time as the tables have it: Lima's, without zone.
pub(super) fn time(at: Timestamp) -> String {
    lima::en_lima(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn why(despacho: &Despacho) -> &str {
    despacho.ultimo_error.as_deref().unwrap_or("el documento no se envió")
}

fn failed(values: &mut Values<'_>, despacho: &Despacho) {
    values.set("cflgenv", Some("E")).set("vobs", Some(format!("{OURS}{}", why(despacho))));
    if let Some(cuo) = &despacho.cuo {
        values.set("vcuo", Some(cuo.to_string()));
    }
}

fn sent(values: &mut Values<'_>, despacho: &Despacho, pdf: bool) {
    values
        .set("cflgest", Some(despacho.estado.letra()))
        .set("cflgenv", Some("S"))
        .set("dfecenv", despacho.enviado_en.map(time))
        .set("vcuo", despacho.cuo.as_ref().map(ToString::to_string));
    let Some(cargo) = &despacho.cargo else {
        values.put("vobs", &format!("CASE WHEN \"vobs\"::text LIKE '{OURS}%' THEN NULL ELSE \"vobs\" END"));
        return;
    };
    received(values, cargo);
    if pdf {
        values.put("bcarstdrec", DOCUMENT);
    }
}

fn received(values: &mut Values<'_>, cargo: &Cargo) {
    values
        .set("vnumregstdrec", cargo.numero_registro.clone())
        .set("vanioregstdrec", cargo.anio_registro.clone())
        .set("dfecregstdrec", cargo.fecha_registro.map(time))
        .set("vuniorgstdrec", cargo.unidad.clone())
        .set("vusuregstdrec", cargo.usuario.clone())
        .set("vobs", cargo.observacion.clone());
}

/// A document to read; `None` if it was purged since.
pub(super) async fn stored(exchange: &Exchange, documento: &Documento) -> Result<Option<BlobReader>, Failure> {
    match exchange.store().open_document(&documento.sha256).await {
        Ok(reader) => Ok(Some(reader)),
        Err(StoreError::NoDocument(_) | StoreError::Purged { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
