//! Writes a received document into the tables: its rows when it arrives, in one transaction and once; afterwards what happened to
//! it here. A document that is there already, whoever wrote it, is known by its sender and its CUO.

use tokio_postgres::{Transaction, error::SqlState};

use super::{
    Conexion, Failure, Memory, pieces,
    reflect::{stamp, stored, time},
    schema::{ANEXO, EXTERNO, PRINCIPAL, RECEPCION, Schema},
    session::Session,
    statement::{DOCUMENT, Drawn, Values},
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
        let mut drawn = memory.drawn.remove(&recepcion.id).map(Drawn::again).unwrap_or_default();
        let mut cut = Vec::new();
        let done = write(exchange, session, recepcion, (document, cargo), &mut drawn, &mut cut).await;
        let Written { row, new, contrary } = match done {
            Ok(written) => written,
            Err(failure) => {
                // A key that somebody else took is of no more use.
                let taken =
                    matches!(&failure, Failure::Database(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION));
                if !taken {
                    memory.drawn.insert(recepcion.id, drawn);
                }
                return Err(failure);
            }
        };
        crate::telemetry::failpoint::reach("tables.written");
        if recepcion.cargo_entregado_en.is_some() {
            memory.answered.remove(&row);
        }
        if new {
            self.known().recibidos += 1;
        }
        self.wrote(&cut, RECEPCION, row);
        if contrary {
            self.row_failed(exchange, RECEPCION, row, contrary_text(recepcion));
        }
        Ok(())
    }
}

/// What came of writing a received document.
struct Written {
    row: i64,
    new: bool,
    /// Its row says another answer than the one that was given.
    contrary: bool,
}

/// All of it in one transaction.
async fn write(
    exchange: &Exchange,
    session: &mut Session,
    recepcion: &Recepcion,
    (document, cargo): (Option<BlobReader>, Option<BlobReader>),
    drawn: &mut Drawn,
    cut: &mut Vec<&'static str>,
) -> Result<Written, Failure> {
    let schema = &session.schema;
    let tx = session.client.transaction().await?;
    let (row, new) = match find(&tx, schema, recepcion).await? {
        Some(row) => (row, false),
        None => {
            let document = document.ok_or(Failure::NoDocument)?;
            (insert(&tx, schema, recepcion, document, drawn, cut).await?, true)
        }
    };
    let contrary = answer(&tx, schema, exchange, recepcion, row, cargo, cut).await?;
    tx.commit().await?;
    Ok(Written { row, new, contrary })
}

/// Why an answer that is in a row is not the one that counts.
pub(super) fn contrary_text(recepcion: &Recepcion) -> String {
    format!(
        "la fila dice otra respuesta que la que se dio: el documento ya está {}, y así la tiene o la recibirá el remitente",
        recepcion.estado.palabra()
    )
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
    drawn: &mut Drawn,
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
    let recibido = row.insert(tx, drawn).await?;
    let mut external = external(schema, r, recibido, &at)?;
    let externo = external.insert(tx, drawn).await?;
    pieces::put(tx, document).await?;
    let mut principal = Values::of(schema.table(PRINCIPAL)?);
    principal
        .set("siddocext", number(externo))
        .set("vnomdoc", Some(r.documento.nombre.as_str()))
        .set("dfecreg", Some(at.as_str()))
        .put("bpdfdoc", DOCUMENT);
    principal.insert(tx, drawn).await?;
    for anexo in &r.anexos {
        let mut annex = Values::of(schema.table(ANEXO)?);
        annex.set("siddocext", number(externo)).set("vnomdoc", Some(anexo.nombre.as_str()));
        annex.set("dfecreg", Some(at.as_str()));
        annex.insert(tx, drawn).await?;
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
/// Says whether the row has another answer.
async fn answer(
    tx: &Transaction<'_>,
    schema: &Schema,
    exchange: &Exchange,
    recepcion: &Recepcion,
    row: i64,
    pdf: Option<BlobReader>,
    cut: &mut Vec<&'static str>,
) -> Result<bool, Failure> {
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
            values.update(tx, row, &format!("{pending} AND coalesce(trim(\"vnumregstd\"::text), '') = ''")).await?;
            cut.append(&mut values.cut);
        }
        _ => {}
    }
    if recepcion.cargo_entregado_en.is_some() {
        delivered(tx, schema, exchange, recepcion, row).await
    } else {
        Ok(false)
    }
}

/// Whether a row has an answer that is not the one that was given.
pub(super) async fn is_contrary(
    tx: &Transaction<'_>,
    schema: &Schema,
    recepcion: &Recepcion,
    row: i64,
) -> Result<bool, Failure> {
    let table = schema.table(RECEPCION)?;
    let sql = format!(
        "SELECT trim(\"cflgest\"::text) IN ('R', 'O') AND trim(\"cflgest\"::text) <> '{}' FROM {} WHERE \"{}\" = {row}",
        recepcion.estado.letra(),
        table.full,
        table.key
    );
    let found = tx.query_opt(sql.as_str(), &[]).await?;
    Ok(found.map(|row| row.try_get::<_, Option<bool>>(0)).transpose()?.flatten().unwrap_or(false))
}

/// The sender has the cargo. A row that says another answer is marked instead; `true` says so.
pub(super) async fn delivered(
    tx: &Transaction<'_>,
    schema: &Schema,
    exchange: &Exchange,
    recepcion: &Recepcion,
    row: i64,
) -> Result<bool, Failure> {
    let contrary = is_contrary(tx, schema, recepcion, row).await?;
    let letter = if contrary { "E" } else { "S" };
    let mut values = Values::of(schema.table(RECEPCION)?);
    stamp(&mut values, exchange.now());
    values.set("cflgenvcar", Some(letter));
    values.update(tx, row, &format!("trim(coalesce(\"cflgenvcar\"::text, '')) <> '{letter}'")).await?;
    Ok(contrary)
}

/// Today's year, for a row that does not say it.
pub(super) fn year(exchange: &Exchange) -> String {
    lima::en_lima(exchange.now()).year().to_string()
}
