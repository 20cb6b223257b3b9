//! Picks up what the SGD put there to be sent: rows `P` with their document. Each is handed over once: its number of registration
//! is claimed in the commit that hands it over, and the first fact of the despacho names the row, so that whoever looks after a
//! crash knows it again. What the specification refuses is written into the row, and looked at again once the SGD corrected it
//! (`cflgenv` back to `N`).

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::{
    Conexion, Failure, Memory, pieces,
    reflect::{OURS, stamp},
    schema::{ANEXO, DESPACHO, EXTERNO, PRINCIPAL, Schema, Table},
    session::Session,
    statement::Values,
};
use crate::{
    domain::{Cuo, Despacho, Destinatario, EstadoDespacho, Persona, despacho::NUMERO_REGISTRO_MAX},
    exchange::{Exchange, ExchangeError, NuevoDespacho},
    store::{Numbered, Staged},
};

/// Rows looked at in one statement.
pub const ROWS_PAGE: i64 = 500;
/// Annexes of one document that are read.
const ANNEXES_MAX: i64 = 1000;
/// Despachos looked at under one number.
const NUMBERED_MAX: usize = 64;
/// An SGD that adds a row and its document apart has this long between.
const INCOMPLETE: Duration = Duration::from_secs(300);
/// The wait before a row that could not be judged is looked at again, and one that was withdrawn.
const AGAIN: Duration = Duration::from_secs(60);
const WITHDRAWN_AGAIN: Duration = Duration::from_secs(3600);
/// Among what is looked at later: rows that were taken back.
const TAKEN_BACK: &str = "iotdtc_despacho.cflganu";
/// Why a row is left whose CUO nobody here knows.
const FOREIGN: &str = "tiene CUO de otro sistema: tráigala con «chasqui import tables» o borre vcuo";
/// The user of a row that names none.
const USER: &str = "sgd";

/// What becomes of a row.
enum Found {
    /// It was handed over, as this despacho.
    Despacho(Box<Despacho>),
    /// It cannot be sent as it is: why.
    Refused(String),
    /// Its document is not there yet.
    Incomplete,
    /// Nothing is known of it now: look again later.
    Later,
    /// Its turn is the next round's.
    NextRound,
}

/// A row with all that it says of its document.
struct Asked {
    nuevo: NuevoDespacho,
    pdf: Option<Staged>,
    destino: String,
    numero: String,
    /// The CUO that its row has already.
    cuo: Option<Cuo>,
}

/// Which rows are looked for: what the SGD changes meanwhile counts.
#[derive(Clone, Copy)]
enum Wanted {
    ToSend,
    Annulled,
}

impl Wanted {
    fn condition(self, table: &Table) -> String {
        format!(
            "trim(d.\"cflgest\"::text) = 'P' AND {} = 'N' AND {} {} 'S'",
            table.flag("d", "cflgenv", "N"),
            table.flag("d", "cflganu", "N"),
            match self {
                Self::ToSend => "<>",
                Self::Annulled => "=",
            }
        )
    }
}

impl Conexion {
    pub(super) async fn pick_up(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        let table = session.schema.table(DESPACHO)?;
        let sql = format!(
            "SELECT d.\"{key}\"::int8, {annulled} = 'S' FROM {full} d WHERE trim(d.\"cflgest\"::text) = 'P' AND {tried} = 'N' \
             AND d.\"{key}\" > $1::int8 ORDER BY d.\"{key}\" LIMIT {ROWS_PAGE}",
            key = table.key,
            full = table.full,
            annulled = table.flag("d", "cflganu", "N"),
            tried = table.flag("d", "cflgenv", "N"),
        );
        let statement = session.client.prepare(&sql).await?;
        let (mut after, mut seen) = (i64::MIN, 0_usize);
        loop {
            let rows = session.client.query(&statement, &[&after]).await?;
            for row in &rows {
                let (id, annulled): (i64, bool) = (row.try_get(0)?, row.try_get(1)?);
                (after, seen) = (id, seen + 1);
                let seen_before = match annulled {
                    true => memory.waits(TAKEN_BACK, id),
                    false => memory.waits(DESPACHO, id) || memory.flying.contains_key(&id),
                };
                if seen_before {
                    continue;
                }
                let done = match annulled {
                    true => self.withdraw(exchange, session, memory, id).await,
                    false => self.pick_up_one(exchange, session, memory, id).await,
                };
                self.settled(exchange, memory, (DESPACHO, id), done)?;
            }
            if rows.is_empty() {
                self.known().por_enviar = seen;
                return Ok(());
            }
        }
    }

    /// One row that cannot be dealt with now waits by itself; what concerns all ends the round.
    pub(super) fn settled(
        &self,
        exchange: &Exchange,
        memory: &mut Memory,
        (table, row): (&'static str, i64),
        done: Result<(), Failure>,
    ) -> Result<(), Failure> {
        match done {
            Err(failure) if failure.leaves_others() => {
                memory.look_later(table, row, AGAIN);
                self.row_failed(exchange, table, row, failure.to_string());
                Ok(())
            }
            other => other,
        }
    }

    async fn pick_up_one(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
        row: i64,
    ) -> Result<(), Failure> {
        match self.judge(exchange, session, memory, row).await? {
            Found::NextRound => Ok(()),
            Found::Despacho(despacho) => {
                memory.flying.insert(row, despacho.id);
                memory.incomplete.remove(&row);
                self.wrote(&[], DESPACHO, row);
                // One that ended already: its row does not say so.
                self.write_despacho(exchange, session, memory, &despacho, row).await
            }
            Found::Refused(why) => self.refuse(exchange, session, row, &why).await,
            Found::Later => {
                memory.look_later(DESPACHO, row, AGAIN);
                Ok(())
            }
            Found::Incomplete => {
                let since = *memory.incomplete.entry(row).or_insert_with(Instant::now);
                if since.elapsed() < INCOMPLETE {
                    return Ok(());
                }
                memory.incomplete.remove(&row);
                let why = "el despacho no tiene su documento (iotdtm_doc_externo e iotdtd_doc_principal)";
                self.refuse(exchange, session, row, why).await
            }
        }
    }

    async fn judge(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
        row: i64,
    ) -> Result<Found, Failure> {
        // No transaction is open while others are asked.
        let tx = session.client.build_transaction().read_only(true).start().await?;
        let found = read(&tx, &session.schema, row, Wanted::ToSend).await?;
        tx.rollback().await?;
        let Some((asked, document)) = found else { return Ok(Found::Later) };
        let holder = self.holder(exchange, &asked).await?;
        let mut known = holder.clone();
        if let (None, Some(cuo)) = (&known, &asked.cuo) {
            // The SGD corrected under which number, or to whom; or it is another system's.
            known = exchange.store().despacho_by_cuo(&self.options.entidad, cuo).await?;
            if known.is_none() {
                return Ok(Found::Refused(FOREIGN.to_owned()));
            }
        }
        if let Some(known) = &known {
            let ours = self.row_of(exchange, known.id).await? == Some(row);
            match over(known) {
                false if ours => return Ok(Found::Despacho(Box::new(known.clone()))),
                false => return Ok(Found::Refused(taken(known))),
                // Its end is not written into the row yet: what the row says is from before.
                true if ours && !self.was_told(exchange, known).await? => {
                    return Ok(Found::Despacho(Box::new(known.clone())));
                }
                true => {}
            }
            if let Some(found) = self.arrived_after_all(exchange, memory, known, ours).await? {
                return Ok(found);
            }
        }
        if document.is_none() {
            return Ok(Found::Incomplete);
        }
        match whole(exchange, session, row).await? {
            // The SGD changed which document it is meanwhile.
            Some(now) if now.numero != asked.numero || now.destino != asked.destino => Ok(Found::Later),
            Some(now) => self.hand_over(exchange, now, row, holder).await,
            None => Ok(Found::Later),
        }
    }

    async fn hand_over(
        &self,
        exchange: &Exchange,
        asked: Asked,
        row: i64,
        failed: Option<Despacho>,
    ) -> Result<Found, Failure> {
        let actor = self.options.actor_of_row(row);
        let nuevo = NuevoDespacho { reemplaza: failed.map(|failed| failed.id), ..asked.nuevo };
        match exchange.despachar(&actor, &self.options.entidad, &nuevo, asked.pdf, None).await {
            Ok(made) => {
                crate::telemetry::failpoint::reach("tables.handed_over");
                self.known().despachados += 1;
                Ok(made.into_iter().next().map_or(Found::Later, |made| Found::Despacho(Box::new(made))))
            }
            // Somebody was faster; the next look sees who.
            Err(ExchangeError::Duplicado { .. }) => Ok(Found::Later),
            Err(error) => refusal(error).map(Found::Refused),
        }
    }

    /// The despacho that has the number for this destination.
    async fn holder(&self, exchange: &Exchange, asked: &Asked) -> Result<Option<Despacho>, Failure> {
        let (entidad, numero) = (self.options.entidad.clone(), asked.numero.clone());
        let numbered = Numbered { entidad, numero, after: None, limit: NUMBERED_MAX };
        let found = exchange.store().despachos_by_numero(numbered).await?.items;
        let same = |despacho: &Despacho| despacho.destino.as_str() == asked.destino;
        Ok(found.into_iter().find(|despacho| same(despacho) && despacho.reemplazado_por.is_none()))
    }

    /// Whether the end of a failed despacho is written: then what the row says came after it.
    async fn was_told(&self, exchange: &Exchange, despacho: &Despacho) -> Result<bool, Failure> {
        let estado = self.place(exchange).await?;
        let history = exchange.store().facts_of(despacho.id).await?;
        let ended =
            history.iter().rev().find(|at| matches!(at.fact.tipo.as_str(), "despacho.fallido" | "despacho.anulado"));
        let held = estado.retenidos.iter().any(|held| held.sujeto == despacho.id);
        Ok(!held && ended.is_none_or(|at| at.cursor <= estado.hasta))
    }

    /// What failed may have arrived: the receiver is asked before anything is sent in its place (CONTRACT §7). `None`: it did not.
    async fn arrived_after_all(
        &self,
        exchange: &Exchange,
        memory: &mut Memory,
        known: &Despacho,
        ours: bool,
    ) -> Result<Option<Found>, Failure> {
        if known.intentos == 0 || known.cuo.is_none() {
            return Ok(None);
        }
        if !exchange.may_ask(known) {
            return Ok(Some(Found::Later));
        }
        // The round waits for the answer, and with it all the other rows.
        if std::mem::replace(&mut memory.asked, true) {
            return Ok(Some(Found::NextRound));
        }
        let asked = exchange.consultar(Some(&self.options.entidad), known.id).await;
        match asked {
            Ok((told, after)) if told.codigo() == "0000" && !over(&after) => Ok(Some(match ours {
                true => Found::Despacho(Box::new(after)),
                false => Found::Refused(taken(&after)),
            })),
            Ok((told, _)) if matches!(told.codigo(), "0000" | "0001") => Ok(None),
            Ok(_) | Err(ExchangeError::Platform(_)) => Ok(Some(Found::Later)),
            Err(error) => Err(error.into()),
        }
    }

    /// The SGD took a row back: so is its despacho, if it surely did not leave.
    async fn withdraw(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
        row: i64,
    ) -> Result<(), Failure> {
        let reading = session.client.build_transaction().read_only(true);
        let tx = reading.start().await?;
        let asked = read(&tx, &session.schema, row, Wanted::Annulled).await?;
        tx.rollback().await?;
        let known = match asked {
            Some((asked, _)) => self.holder(exchange, &asked).await?,
            None => None,
        };
        memory.look_later(TAKEN_BACK, row, WITHDRAWN_AGAIN);
        let Some(known) = known else { return Ok(()) };
        if !known.estado.en_curso() || self.row_of(exchange, known.id).await? != Some(row) {
            return Ok(());
        }
        let actor = self.options.actor();
        let motivo = "El SGD lo anuló en sus tablas";
        let after = exchange.retirar(&actor, Some(&self.options.entidad), known.id, motivo).await?;
        if after.estado.en_curso() {
            let what = "se anuló en las tablas, pero ya se estaba enviando: sigue su curso";
            self.row_failed(exchange, DESPACHO, row, what.to_owned());
        }
        Ok(())
    }

    /// Writes into the row why it cannot be sent.
    async fn refuse(&self, exchange: &Exchange, session: &mut Session, row: i64, why: &str) -> Result<(), Failure> {
        let table = session.schema.table(DESPACHO)?;
        let mut values = Values::of(table);
        stamp(&mut values, exchange.now());
        values.set("cflgenv", Some("E")).set("vobs", Some(format!("{OURS}{why}")));
        let tx = session.client.transaction().await?;
        values.update(&tx, row, "trim(\"cflgest\"::text) = 'P'").await?;
        tx.commit().await?;
        self.row_failed(exchange, DESPACHO, row, why.to_owned());
        Ok(())
    }
}

/// Nothing more will come of it by itself.
fn over(despacho: &Despacho) -> bool {
    matches!(despacho.estado, EstadoDespacho::Fallido | EstadoDespacho::Anulado)
}

fn taken(known: &Despacho) -> String {
    let Despacho { numero_registro, destino, id, .. } = known;
    format!("el número {numero_registro} para la entidad {destino} es de otro despacho ({id}): no se envía dos veces")
}

/// What the SGD can correct; anything else is no refusal of the row.
fn refusal(error: ExchangeError) -> Result<String, Failure> {
    match error {
        ExchangeError::Defectos(found) => Ok(found.iter().map(|defecto| defecto.texto).collect::<Vec<_>>().join("; ")),
        error @ (ExchangeError::Firmas(_)
        | ExchangeError::Estado(_)
        | ExchangeError::SubsanacionEnCurso { .. }
        | ExchangeError::YaSubsanado { .. }) => Ok(error.to_string()),
        other => Err(other.into()),
    }
}

/// The number under which a row is known here. Many SGDs begin anew every year, so the year belongs to it.
pub(super) fn number(stated: &str, year: &str) -> String {
    let (stated, year) = (stated.trim(), year.trim());
    let whole = format!("{year}-{stated}");
    let known = stated.is_empty() || year.is_empty() || stated.contains(year);
    if known || whole.chars().count() > NUMERO_REGISTRO_MAX { stated.to_owned() } else { whole }
}

/// Which row of the main document.
struct Document {
    externo: i64,
    principal: i64,
}

/// What a row and its document say, but for the PDF. `None`: there is no row, or no document yet.
async fn read(
    tx: &Transaction<'_>,
    schema: &Schema,
    row: i64,
    wanted: Wanted,
) -> Result<Option<(Asked, Option<Document>)>, Failure> {
    const OF_ROW: [&str; 11] = [
        "vnumregstd",
        "vanioregstd",
        "vrucentrec",
        "vuniorgrem",
        "vcoduniorgrem",
        "vusureg",
        "ctipdociderem",
        "vnumdociderem",
        "vcuoref",
        "vnomentrec",
        "vcuo",
    ];
    const OF_DOCUMENT: [&str; 10] = [
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
    let (despacho, externo) = (schema.table(DESPACHO)?, schema.table(EXTERNO)?);
    let columns = OF_ROW.iter().map(|name| despacho.read("d", name));
    let columns: Vec<String> = columns.chain(OF_DOCUMENT.iter().map(|name| externo.read("e", name))).collect();
    let sql = format!(
        "SELECT {}, e.\"{ekey}\"::int8 FROM {} d LEFT JOIN LATERAL (SELECT * FROM {} x WHERE x.\"{key}\" = d.\"{key}\" \
         ORDER BY x.\"{ekey}\" LIMIT 1) e ON true WHERE d.\"{key}\" = {row} AND {there}",
        columns.join(", "),
        despacho.full,
        externo.full,
        key = despacho.key,
        ekey = externo.key,
        there = wanted.condition(despacho),
    );
    let Some(found) = tx.query_opt(sql.as_str(), &[]).await? else { return Ok(None) };
    let said = |name: &str| -> Result<Option<String>, Failure> {
        let at = OF_ROW.iter().chain(&OF_DOCUMENT).position(|known| *known == name);
        let text: Option<String> = at.map(|at| found.try_get(at)).transpose()?.flatten();
        Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    };
    let some = |name: &str| said(name).map(Option::unwrap_or_default);
    let (numero, destino) = (number(&some("vnumregstd")?, &some("vanioregstd")?), some("vrucentrec")?);
    let nuevo = NuevoDespacho {
        numero_registro: Some(numero.clone()),
        destinos: vec![destino.clone()],
        unidad_remitente: said("vuniorgrem")?,
        codigo_unidad_remitente: said("vcoduniorgrem")?,
        usuario: Some(said("vusureg")?.unwrap_or_else(|| USER.to_owned())),
        remitente: Persona { tipo_documento: some("ctipdociderem")?, numero_documento: some("vnumdociderem")? },
        destinatario: Destinatario {
            unidad: some("vuniorgdst")?,
            nombre: some("vnomdst")?,
            cargo: some("vnomcardst")?,
        },
        tipo_documento: said("ccodtipdoc")?,
        numero_documento: said("vnumdoc")?,
        fecha_documento: said("dfecdoc")?,
        asunto: said("vasu")?,
        folios: said("snumfol")?.and_then(|text| text.parse().ok()),
        url_anexos: said("vurldocanx")?,
        referencia: said("vcuoref")?,
        ..NuevoDespacho::default()
    };
    let cuo = said("vcuo")?.and_then(|text| Cuo::parse(&text).ok());
    let asked = Asked { nuevo, pdf: None, destino, numero, cuo };
    let externo: Option<i64> = found.try_get(OF_ROW.len() + OF_DOCUMENT.len())?;
    let document = match externo {
        Some(externo) => main_document(tx, schema, externo).await?,
        None => None,
    };
    Ok(Some((asked, document)))
}

async fn main_document(tx: &Transaction<'_>, schema: &Schema, externo: i64) -> Result<Option<Document>, Failure> {
    let table = schema.table(PRINCIPAL)?;
    let sql = format!(
        "SELECT p.\"{key}\"::int8 FROM {} p WHERE p.\"siddocext\" = {externo} ORDER BY 1 LIMIT 1",
        table.full,
        key = table.key
    );
    let found: Option<Row> = tx.query_opt(sql.as_str(), &[]).await?;
    let principal = found.map(|row| row.try_get(0)).transpose()?;
    Ok(principal.map(|principal| Document { externo, principal }))
}

/// A row with its PDF, all of one moment.
async fn whole(exchange: &Exchange, session: &mut Session, row: i64) -> Result<Option<Asked>, Failure> {
    let reading = session.client.build_transaction().read_only(true).isolation_level(IsolationLevel::RepeatableRead);
    let tx = reading.start().await?;
    let Some((asked, Some(document))) = read(&tx, &session.schema, row, Wanted::ToSend).await? else {
        return Ok(None);
    };
    let asked = with_pdf(&tx, &session.schema, exchange, asked, document).await?;
    tx.rollback().await?;
    Ok(Some(asked))
}

/// With its PDF in the store, and the names of its annexes.
async fn with_pdf(
    tx: &Transaction<'_>,
    schema: &Schema,
    exchange: &Exchange,
    mut asked: Asked,
    document: Document,
) -> Result<Asked, Failure> {
    let (principal, annexes) = (schema.table(PRINCIPAL)?, schema.table(ANEXO)?);
    let named = format!(
        "SELECT {} FROM {} p WHERE p.\"{}\" = {}",
        principal.read("p", "vnomdoc"),
        principal.full,
        principal.key,
        document.principal
    );
    asked.nuevo.nombre_documento = tx.query_one(named.as_str(), &[]).await?.try_get(0)?;
    let sql = format!(
        "SELECT {} FROM {} a WHERE a.\"siddocext\" = {} ORDER BY a.\"{}\" LIMIT {ANNEXES_MAX}",
        annexes.read("a", "vnomdoc"),
        annexes.full,
        document.externo,
        annexes.key
    );
    for row in tx.query(sql.as_str(), &[]).await? {
        asked.nuevo.anexos.push(row.try_get(0)?);
    }
    let place = (principal.full.as_str(), principal.key, "bpdfdoc");
    (asked.nuevo.contenido, asked.pdf) = pieces::take(tx, exchange, place, document.principal).await?.pdf();
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn the_year_belongs_to_a_number_that_does_not_have_it_and_no_number_grows_too_long() {
        assert_eq!(number(" 000123 ", "2026"), "2026-000123");
        assert_eq!(number("000123-2026", "2026"), "000123-2026");
        assert_eq!(number("000123", ""), "000123");
        let long = "X".repeat(28);
        assert_eq!(number(&long, "2026"), long);
    }
}
