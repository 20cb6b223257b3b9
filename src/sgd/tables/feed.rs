//! Following the feed: each exchange of which something happened is written as it stands, at least once. The place is kept as a
//! webhook's is, after what was written; an exchange that the database refuses holds up itself alone, and is never given up.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Conexion, Failure, Memory, session::Session};
use crate::{
    domain::Id,
    exchange::{Exchange, RECEPCION_IMPORTADA},
    store::{Change, CommitError, Cursor, EstadoWebhook, FactAt, Record, Retenido, StoreError},
};

/// Facts of the feed looked at at once.
pub const PAGE: usize = 64;
/// Exchanges that the database refuses; with more, all waits.
pub const HELD_MAX: usize = 1000;
/// The waits between attempts at one of them; the last one is for ever.
const WAITS: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(900)];
/// Longest text of an error that is kept, in characters.
const ERROR_MAX: usize = 500;

/// Facts after which the tables say something else.
const WANTED: [&str; 11] = [
    "despacho.enviado",
    "despacho.recepcionado",
    "despacho.observado",
    "despacho.subsanado",
    "despacho.fallido",
    "despacho.anulado",
    "recepcion.recibida",
    "recepcion.registrada",
    "recepcion.recepcionada",
    "recepcion.observada",
    "recepcion.cargo_enviado",
];

impl Conexion {
    /// The place: what this run knows, else what is stored. A new one is at the end of the feed.
    pub(super) async fn place(&self, exchange: &Exchange) -> Result<EstadoWebhook, StoreError> {
        if let Some(known) = self.known().estado.clone() {
            return Ok(known);
        }
        let store = exchange.store();
        let estado = match store.webhook(self.id).await? {
            Some(stored) => stored,
            None => {
                let hasta = Cursor { seq: *store.watch().borrow(), n: u8::MAX };
                let (id, nombre) = (self.id, self.options.place());
                let new = EstadoWebhook { id, version: 0, nombre, hasta, retenidos: Vec::new(), pausa: None };
                self.keep(exchange, new).await?
            }
        };
        let mut known = self.known();
        if !known.otro {
            known.estado = Some(estado.clone());
        }
        drop(known);
        Ok(estado)
    }

    /// Stores the place as `estado` has it.
    async fn keep(&self, exchange: &Exchange, estado: EstadoWebhook) -> Result<EstadoWebhook, StoreError> {
        let next = EstadoWebhook { version: estado.version + 1, ..estado };
        let records = vec![Record::Webhook(Box::new(next.clone()))];
        let kept = exchange.store().commit(Change { records, ..Change::default() }).await;
        // What is stored is not what was thought: it is read again.
        self.known().estado = kept.is_ok().then(|| next.clone());
        match kept {
            Ok(_) => Ok(next),
            Err(CommitError::Store(error)) => Err(error),
            Err(_) => Ok(exchange.store().webhook(self.id).await?.unwrap_or(next)),
        }
    }

    /// Writes everything that happened since.
    pub(super) async fn follow(
        &self,
        exchange: &Exchange,
        session: &mut Session,
        memory: &mut Memory,
    ) -> Result<(), Failure> {
        self.try_held(exchange, session, memory).await?;
        loop {
            let mut estado = self.place(exchange).await?;
            if estado.retenidos.len() >= HELD_MAX {
                return Ok(());
            }
            let facts = exchange.store().facts(estado.hasta, None, PAGE).await?;
            let Some(last) = facts.last().map(|at| at.cursor) else { return Ok(()) };
            if facts.iter().any(|at| at.fact.tipo == RECEPCION_IMPORTADA) {
                // Rows of documents that were not known are looked for again.
                memory.unknown.clear();
            }
            let mut changed = false;
            for sujeto in self.subjects(&facts, &estado) {
                changed = true;
                if let Err(failure) = self.reflect(exchange, session, memory, sujeto).await {
                    if !failure.of_this_row() {
                        return Err(failure);
                    }
                    let now = exchange.now();
                    let new = Retenido {
                        sujeto,
                        desde: last,
                        creado_en: now,
                        proximo_en: now,
                        intentos: 0,
                        ultimo_error: None,
                    };
                    estado.retenidos.push(self.held(new, &failure, now));
                }
            }
            estado.hasta = last;
            if changed {
                self.keep(exchange, estado).await?;
            } else {
                // Not worth an entry of the journal: it is read again after a start.
                self.known().estado = Some(estado);
            }
        }
    }

    /// Exchanges of ours in a page, each once. One that is held is tried in its own time, as it stands then.
    fn subjects(&self, facts: &[FactAt], estado: &EstadoWebhook) -> Vec<Id> {
        let mut found: Vec<Id> = Vec::new();
        for FactAt { fact, .. } in facts {
            let ours = fact.entidad.as_ref() == Some(&self.options.entidad) && WANTED.contains(&fact.tipo.as_str());
            let held = || estado.retenidos.iter().any(|held| held.sujeto == fact.sujeto);
            if ours && !found.contains(&fact.sujeto) && !held() {
                found.push(fact.sujeto);
            }
        }
        found
    }

    async fn try_held(&self, exchange: &Exchange, session: &mut Session, memory: &mut Memory) -> Result<(), Failure> {
        let mut estado = self.place(exchange).await?;
        let now = exchange.now();
        // What is further off than any wait was given by a clock that has been set back.
        let furthest = later(now, WAITS[WAITS.len() - 1].saturating_mul(2));
        let due: Vec<Retenido> = estado
            .retenidos
            .iter()
            .filter(|held| held.proximo_en <= now || held.proximo_en > furthest)
            .cloned()
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        for held in due {
            let done = self.reflect(exchange, session, memory, held.sujeto).await;
            estado.retenidos.retain(|other| other.sujeto != held.sujeto);
            match done {
                Ok(()) => {}
                Err(failure) if failure.of_this_row() => {
                    estado.retenidos.push(self.held(held, &failure, exchange.now()));
                }
                Err(failure) => return Err(failure),
            }
        }
        self.keep(exchange, estado).await?;
        Ok(())
    }

    fn held(&self, held: Retenido, failure: &Failure, now: Timestamp) -> Retenido {
        let error = failure.to_string();
        tracing::warn!(tables = self.options.nombre, subject = %held.sujeto, error, "the database refused an exchange");
        let nth = usize::try_from(held.intentos).unwrap_or(usize::MAX);
        let wait = WAITS.get(nth).or(WAITS.last()).copied().unwrap_or_default();
        Retenido {
            proximo_en: later(now, wait),
            intentos: held.intentos.saturating_add(1),
            ultimo_error: Some(error.chars().take(ERROR_MAX).collect()),
            ..held
        }
    }
}

fn later(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}
