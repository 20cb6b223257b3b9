//! Writes a despacho into its row as its record stands: state, CUO, times, and what its cargo brought. Writing it again changes
//! nothing.

use jiff::Timestamp;

use super::{
    Conexion, Failure, Memory, pieces,
    schema::DESPACHO,
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
        if let Some(reader) = pdf {
            pieces::put(&tx, reader).await?;
        }
        // A key that is used again would be another document's row.
        let same = format!("trim(\"vrucentrec\"::text) = '{}'", despacho.destino);
        let there = values.update(&tx, row, &same).await?;
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
