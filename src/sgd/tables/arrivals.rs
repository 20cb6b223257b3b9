//! Writes a received document into the tables: its rows when it arrives, in one transaction and once; afterwards what happened to
//! it here. A document that is there already, whoever wrote it, is known by its sender and its CUO.

use tokio_postgres::Transaction;

use super::{
    Conexion, Failure, Memory, pieces,
    reflect::{stamp, stored, time},
    schema::{ANEXO, EXTERNO, PRINCIPAL, RECEPCION, Schema},
    session::Session,
    statement::{DOCUMENT, Values},
};
use crate::{
    domain::{Cuo, EstadoRecepcion, Recepcion, lima},
    exchange::Exchange,
    store::BlobReader,
};

impl Conexion {
    pub(super) async fn write_recepcion(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
        recepcion: &Recepcion,
    ) -> Result<(), Failure> {
        // What is left of a purged one is no document.
        if recepcion.purga.is_some() {
            return Ok(());
        }
        let document = stored(exchange, &recepcion.documento).await?;
        let cargo = match recepcion.cargo.as_ref().and_then(|cargo| cargo.documento.as_ref()) {
            Some(documento) => stored(exchange, documento).await?,
            None => None,
        };
        let schema = &session.schema;
        let tx = session.client.transaction().await?;
        let mut cut = Vec::new();
        let (row, new) = match find(&tx, schema, recepcion).await? {
            Some(row) => (row, false),
            None => {
                let Some(document) = document else { return Ok(()) };
                (insert(&tx, schema, recepcion, document, &mut cut).await?, true)
            }
        };
        answer(&tx, schema, exchange, recepcion, row, cargo, &mut cut).await?;
        tx.commit().await?;
        crate::telemetry::failpoint::reach("tables.written");
        if recepcion.cargo_entregado_en.is_some() {
            memory.answered.remove(&row);
        }
        if new {
            self.known().recibidos += 1;
        }
        self.wrote(&cut, RECEPCION, row);
        Ok(())
    }
}

/// The row of a received document, if there is one.
async fn find(tx: &Transaction<'_>, schema: &Schema, recepcion: &Recepcion) -> Result<Option<i64>, Failure> {
    let table = schema.table(RECEPCION)?;
    let sql = format!(
        "SELECT r.\"{key}\"::int8 FROM {} r WHERE trim(r.\"vrucentrem\"::text) = $1 AND trim(r.\"vcuo\"::text) = ANY($2) \
         ORDER BY 1 LIMIT 1",
        table.full,
        key = table.key
    );
    let (remitente, forms) = (recepcion.remitente.ruc.to_string(), forms(&recepcion.cuo));
    let row = tx.query_opt(sql.as_str(), &[&remitente, &forms]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The ways in which a CUO may be written.
fn forms(cuo: &Cuo) -> Vec<String> {
    let short = cuo.as_str().trim_start_matches('0').to_owned();
    let mut forms = vec![cuo.as_str().to_owned(), cuo.clave(), short];
    forms.dedup();
    forms
}

async fn insert(
    tx: &Transaction<'_>,
    schema: &Schema,
    recepcion: &Recepcion,
    document: BlobReader,
    cut: &mut Vec<&'static str>,
) -> Result<i64, Failure> {
    let (r, at) = (recepcion, time(recepcion.recibido_en));
    let number = |n: i64| Some(n.to_string());
    let mut row = Values::of(schema.table(RECEPCION)?);
    row.set("vrucentrem", Some(r.remitente.ruc.as_str()))
        .set("vuniorgrem", Some(r.remitente.unidad.as_str()))
        .set("ctipdociderem", Some(r.remitente.tipo_documento.as_str()))
        .set("vnumdociderem", Some(r.remitente.numero_documento.as_str()))
        .set("vcuo", Some(r.cuo.as_str()))
        .set("vcuoref", r.cuo_referencia.clone())
        .set("cflgest", Some("P"))
        .set("cflgenvcar", Some("N"))
        .set("cflganu", Some("N"))
        .set("dfecreg", Some(at.as_str()));
    let recibido = row.insert(tx).await?;
    let mut external = external(schema, r, recibido, &at)?;
    let externo = external.insert(tx).await?;
    pieces::put(tx, document).await?;
    let mut principal = Values::of(schema.table(PRINCIPAL)?);
    principal
        .set("siddocext", number(externo))
        .set("vnomdoc", Some(r.documento.nombre.as_str()))
        .set("dfecreg", Some(at.as_str()))
        .put("bpdfdoc", DOCUMENT);
    principal.insert(tx).await?;
    for anexo in &r.anexos {
        let mut annex = Values::of(schema.table(ANEXO)?);
        annex.set("siddocext", number(externo)).set("vnomdoc", Some(anexo.nombre.as_str()));
        annex.set("dfecreg", Some(at.as_str()));
        annex.insert(tx).await?;
        cut.append(&mut annex.cut);
    }
    for mut values in [row, external, principal] {
        cut.append(&mut values.cut);
    }
    Ok(recibido)
}

/// What is said of its document.
fn external<'a>(schema: &'a Schema, r: &Recepcion, row: i64, at: &str) -> Result<Values<'a>, Failure> {
    let number = |n: i64| Some(n.to_string());
    let mut external = Values::of(schema.table(EXTERNO)?);
    external
        .set("vnomentemi", Some(r.remitente.nombre.as_str()))
        .set("ccodtipdoc", Some(r.tipo_documento.as_str()))
        .set("vnumdoc", Some(r.numero_documento.as_str()))
        .set("dfecdoc", Some(time(r.fecha_documento.unwrap_or(r.recibido_en))))
        .set("vuniorgdst", Some(r.destinatario.unidad.as_str()))
        .set("vnomdst", Some(r.destinatario.nombre.as_str()))
        .set("vnomcardst", Some(r.destinatario.cargo.as_str()))
        .set("vasu", Some(r.asunto.as_str()))
        .set("snumanx", number(i64::try_from(r.anexos.len()).unwrap_or(i64::MAX)))
        .set("snumfol", r.folios.and_then(number))
        .set("vurldocanx", r.url_anexos.clone())
        .set("dfecreg", Some(at))
        .set("sidrecext", number(row));
    Ok(external)
}

/// What was done here, and not by the SGD in the tables: the number it was filed under, the answer, and that the cargo arrived.
async fn answer(
    tx: &Transaction<'_>,
    schema: &Schema,
    exchange: &Exchange,
    recepcion: &Recepcion,
    row: i64,
    pdf: Option<BlobReader>,
    cut: &mut Vec<&'static str>,
) -> Result<(), Failure> {
    let table = schema.table(RECEPCION)?;
    let pending = "trim(\"cflgest\"::text) = 'P'";
    match (&recepcion.cargo, &recepcion.numero_registro) {
        (Some(cargo), _) if recepcion.estado != EstadoRecepcion::Pendiente => {
            let mut values = Values::of(table);
            stamp(&mut values, exchange.now());
            values
                .set("cflgest", Some(recepcion.estado.letra()))
                .set("vnumregstd", cargo.numero_registro.clone())
                .set("vanioregstd", cargo.anio_registro.clone())
                .set("vuniorgstd", cargo.unidad.clone())
                .set("dfecregstd", cargo.fecha_registro.map(time))
                .set("vusuregstd", cargo.usuario.clone())
                .set("vobs", cargo.observacion.clone());
            let sql = format!("SELECT 1 FROM {} WHERE \"{}\" = {row} AND {pending}", table.full, table.key);
            if tx.query_opt(sql.as_str(), &[]).await?.is_some() {
                if let Some(reader) = pdf {
                    pieces::put(tx, reader).await?;
                    values.put("bcarstd", DOCUMENT);
                }
                values.update(tx, row, pending).await?;
                cut.append(&mut values.cut);
            }
        }
        (None, Some(numero)) if table.has("vnumregstd") => {
            let mut values = Values::of(table);
            values.set("vnumregstd", Some(numero.as_str())).set("vanioregstd", recepcion.anio_registro.clone());
            values.update(tx, row, &format!("{pending} AND \"vnumregstd\" IS NULL")).await?;
            cut.append(&mut values.cut);
        }
        _ => {}
    }
    if recepcion.cargo_entregado_en.is_some() {
        delivered(tx, schema, exchange, row).await?;
    }
    Ok(())
}

/// The sender has the cargo.
pub(super) async fn delivered(
    tx: &Transaction<'_>,
    schema: &Schema,
    exchange: &Exchange,
    row: i64,
) -> Result<(), Failure> {
    let mut values = Values::of(schema.table(RECEPCION)?);
    stamp(&mut values, exchange.now());
    values.set("cflgenvcar", Some("S"));
    values.update(tx, row, "trim(coalesce(\"cflgenvcar\"::text, '')) <> 'S'").await?;
    Ok(())
}

/// Today's year, for a row that does not say it.
pub(super) fn year(exchange: &Exchange) -> String {
    lima::en_lima(exchange.now()).year().to_string()
}
