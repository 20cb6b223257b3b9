//! Sees which received documents the SGD answered, rows `R` and `O` whose cargo was not delivered, and answers them here; once the
//! sender has the cargo, the row says so. An answer that is refused is marked (`cflgenvcar` = `E`) and looked at again once the SGD
//! corrected it and put `N` back.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;
use tokio_postgres::Transaction;

use super::{
    Conexion, Failure, Memory,
    arrivals::{contrary_text, delivered, is_contrary, year},
    outgoing::ROWS_PAGE,
    pieces,
    reflect::{OURS, stamp},
    schema::{RECEPCION, Schema},
    session::Session,
    statement::Values,
};
use crate::{
    domain::{Contenido, Cuo, Desenlace, EstadoRecepcion, Recepcion, Ruc},
    exchange::{Exchange, ExchangeError, NuevaRespuesta},
    store::Staged,
};

/// The wait before a row whose document is not known here is looked at again.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(3600);

impl Conexion {
    pub(super) async fn take_answers(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        let table = session.schema.table(RECEPCION)?;
        let sql = format!(
            "SELECT r.\"{key}\"::int8, trim(r.\"vrucentrem\"::text), trim(r.\"vcuo\"::text) FROM {full} r \
             WHERE trim(r.\"cflgest\"::text) IN ('R', 'O') AND {told} = 'N' AND {annulled} <> 'S' AND r.\"{key}\" > $1::int8 \
             ORDER BY r.\"{key}\" LIMIT {ROWS_PAGE}",
            key = table.key,
            full = table.full,
            told = table.flag("r", "cflgenvcar", "N"),
            annulled = table.flag("r", "cflganu", "N"),
        );
        let statement = session.client.prepare(&sql).await?;
        let (mut after, mut seen) = (i64::MIN, 0_usize);
        let mut unknown = HashMap::new();
        loop {
            let rows = session.client.query(&statement, &[&after]).await?;
            for row in &rows {
                after = row.try_get(0)?;
                let (sender, cuo): (Option<String>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
                seen += 1;
                if memory.answered.contains_key(&after) || memory.waits(RECEPCION, after) {
                    continue;
                }
                let until = memory.unknown.get(&after).copied().filter(|until| *until > Instant::now());
                let found = match until {
                    Some(_) => None,
                    None => self.received(exchange, sender, cuo).await?,
                };
                let Some(known) = found else {
                    unknown.insert(after, until.unwrap_or_else(|| Instant::now() + UNKNOWN_AGAIN));
                    continue;
                };
                let done = self.take_answer(exchange, session, memory, after, known).await;
                self.settled(exchange, memory, (RECEPCION, after), done)?;
            }
            if rows.is_empty() {
                break;
            }
        }
        let mut known = self.known();
        known.por_entregar = seen;
        known.desconocidas = unknown.len();
        memory.unknown = unknown;
        Ok(())
    }

    async fn received(
        &self,
        exchange: &Exchange,
        sender: Option<String>,
        cuo: Option<String>,
    ) -> Result<Option<Recepcion>, Failure> {
        let sender = sender.and_then(|text| Ruc::de_contraparte(&text).ok());
        let (Some(sender), Some(cuo)) = (sender, cuo.and_then(|text| Cuo::parse(&text).ok())) else { return Ok(None) };
        Ok(exchange.store().recepcion_by_arrival(&self.options.entidad, &sender, &cuo).await?)
    }

    async fn take_answer(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
        row: i64,
        known: Recepcion,
    ) -> Result<(), Failure> {
        if known.cargo_entregado_en.is_some() {
            let tx = session.client.transaction().await?;
            let contrary = delivered(&tx, &session.schema, exchange, &known, row).await?;
            tx.commit().await?;
            if contrary {
                self.row_failed(exchange, RECEPCION, row, contrary_text(&known));
            }
            return Ok(());
        }
        if known.estado != EstadoRecepcion::Pendiente {
            let tx = session.client.build_transaction().read_only(true).start().await?;
            let contrary = is_contrary(&tx, &session.schema, &known, row).await?;
            tx.rollback().await?;
            if contrary {
                return self.mark(exchange, session, row, contrary_text(&known)).await;
            }
        }
        if known.estado == EstadoRecepcion::Pendiente {
            let tx = session.client.build_transaction().read_only(true).start().await?;
            let answer = read(&tx, &session.schema, exchange, row).await?;
            tx.rollback().await?;
            let Some((respuesta, pdf)) = answer else { return Ok(()) };
            let (actor, entidad) = (self.options.actor(), Some(&self.options.entidad));
            match exchange.responder(&actor, entidad, known.id, &respuesta, pdf).await {
                Ok(_) => {
                    crate::telemetry::failpoint::reach("tables.answered");
                    self.known().cargos += 1;
                    self.wrote(&[], RECEPCION, row);
                }
                Err(error) => match refusal(error) {
                    Ok(why) => return self.mark(exchange, session, row, why).await,
                    Err(error) => return Err(error),
                },
            }
        }
        memory.answered.insert(row, known.id);
        Ok(())
    }

    async fn mark(&self, exchange: &Exchange, session: &mut Session, row: i64, why: String) -> Result<(), Failure> {
        let mut values = Values::of(session.schema.table(RECEPCION)?);
        stamp(&mut values, exchange.now());
        values.set("cflgenvcar", Some("E"));
        let tx = session.client.transaction().await?;
        values.update(&tx, row, "true").await?;
        tx.commit().await?;
        self.row_failed(exchange, RECEPCION, row, why);
        Ok(())
    }
}

fn refusal(error: ExchangeError) -> Result<String, Failure> {
    match error {
        ExchangeError::Defectos(found) => {
            let text = |defecto: &crate::domain::validation::Defecto| format!("{} ({})", defecto.texto, defecto.campo);
            Ok(found.iter().map(text).collect::<Vec<_>>().join("; "))
        }
        error @ (ExchangeError::Firmas(_) | ExchangeError::Estado(_) | ExchangeError::SinCargo(_)) => {
            Ok(error.to_string())
        }
        other => Err(other.into()),
    }
}

/// The answer in a row. `None`: there is none any more.
async fn read(
    tx: &Transaction<'_>,
    schema: &Schema,
    exchange: &Exchange,
    row: i64,
) -> Result<Option<(NuevaRespuesta, Option<Staged>)>, Failure> {
    const COLUMNS: [&str; 7] =
        ["cflgest", "vnumregstd", "vanioregstd", "dfecregstd", "vuniorgstd", "vusuregstd", "vobs"];
    let table = schema.table(RECEPCION)?;
    let columns: Vec<String> = COLUMNS.iter().map(|name| table.read("r", name)).collect();
    let sql = format!("SELECT {} FROM {} r WHERE r.\"{}\" = {row}", columns.join(", "), table.full, table.key);
    let Some(found) = tx.query_opt(sql.as_str(), &[]).await? else { return Ok(None) };
    let said = |name: &str| -> Result<Option<String>, Failure> {
        let at = COLUMNS.iter().position(|known| *known == name);
        let text: Option<String> = at.map(|at| found.try_get(at)).transpose()?.flatten();
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    };
    let Some(desenlace) = said("cflgest")?.and_then(|letter| Desenlace::de_letra(&letter)) else { return Ok(None) };
    let (contenido, pdf) = match table.has("bcarstd") {
        true => pieces::take(tx, exchange, (table.full.as_str(), table.key, "bcarstd"), row).await?.pdf(),
        false => (Contenido::Ausente, None),
    };
    let observed = said("vobs")?.filter(|text| desenlace == Desenlace::Observado && !text.starts_with(OURS));
    let respuesta = NuevaRespuesta {
        desenlace,
        numero_registro: said("vnumregstd")?,
        anio_registro: Some(said("vanioregstd")?.unwrap_or_else(|| year(exchange))),
        fecha_registro: said("dfecregstd")?,
        unidad: said("vuniorgstd")?,
        usuario: said("vusuregstd")?,
        observacion: observed,
        contenido,
    };
    Ok(Some((respuesta, pdf)))
}
