//! One round of telling: what is due again, and the next page of the feed, exchanges beside each other and each in its own
//! order; then what became of it is stored at once. What is told and not stored, because the process died between, is told
//! again under the same id.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Endpoint, Refused, Speech, form, later, message};
use crate::{
    domain::{Id, lima},
    exchange::{ALERTA, Actor, Exchange, ExchangeError, RECEPCION_RECIBIDA, notices::Noticia},
    store::{Cursor, EstadoWebhook, Fact, FactAt, PausaWebhook, Retenido, StoreError},
};

/// Facts of the feed looked at in one round.
pub const PAGE: usize = 64;
/// Exchanges that are behind and tried again in one round.
const AGAIN_MAX: usize = 16;
/// Facts of one exchange told in one round.
const LINE_MAX: usize = 16;
/// Exchanges that may be behind; with more, the whole webhook waits for them. All of them are stored with its place each time.
pub const HELD_MAX: usize = 256;
/// Entries that are not for it after which its place is stored even so: what a restart reads again.
const UNSTORED_MAX: u64 = 4096;
/// Of different exchanges that fail, before the webhook itself is blamed.
const WITNESSES: usize = 2;
/// Longest error kept with an exchange that is behind, in characters.
const ERROR_MAX: usize = 120;

/// When there is more to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Now,
    At(Timestamp),
    /// When something happens.
    News,
}

/// Facts of one exchange, in order.
struct Line {
    sujeto: Id,
    facts: Vec<FactAt>,
    /// There are more after these.
    more: bool,
}

/// What became of a line: the first `told` were delivered; without `refused` the rest was not tried.
struct Told {
    line: Line,
    told: usize,
    refused: Option<Refused>,
}

/// How the webhook does in this round.
struct Progress {
    worked: AtomicBool,
    failures: AtomicUsize,
    /// Failures after which nobody else is tried, unless one worked.
    enough: usize,
}

impl Progress {
    fn hopeless(&self) -> bool {
        !self.worked.load(Ordering::Relaxed) && self.failures.load(Ordering::Relaxed) >= self.enough
    }
}

impl Endpoint {
    pub(super) async fn round(&self, exchange: &Exchange, stop: &CancellationToken) -> Result<Next, StoreError> {
        let now = exchange.now();
        let mut estado = self.estado(exchange).await?;
        match &estado.pausa {
            Some(pausa) if !self.options.due(pausa.hasta, now) => return Ok(Next::At(pausa.hasta)),
            Some(_) => return self.probe(exchange, estado).await,
            None => {}
        }
        let (before, stored) = (estado.clone(), self.stored(exchange).await?);
        let room = estado.retenidos.len() + PAGE <= HELD_MAX;
        let page = if room { exchange.store().facts(estado.hasta, None, PAGE).await? } else { Vec::new() };
        let full = page.len() == PAGE;
        if !room {
            self.crowded(exchange).await;
        }
        let mut lines = self.again(exchange, &estado, now).await?;
        lines.extend(self.fresh(&estado, &page));
        let progress = self.progress();
        let told = self.tell_all(exchange, lines, &progress, stop).await;
        if let Some(last) = page.last() {
            estado.hasta = last.cursor;
        }
        let mut facts = self.settle(exchange, &mut estado, &told, &page);
        facts.extend(self.judge(&mut estado, &told, &progress, exchange.now()));
        let idle = told.is_empty() && facts.is_empty() && estado.retenidos == before.retenidos;
        if idle && estado.hasta.seq.saturating_sub(stored.seq) < UNSTORED_MAX {
            self.known().estado = Some(estado.clone());
        } else {
            self.keep(exchange, estado.clone(), facts).await?;
        }
        let next = estado.retenidos.iter().map(|held| held.proximo_en).min();
        Ok(match (full, next) {
            (true, _) => Next::Now,
            (false, Some(at)) => Next::At(at),
            (false, None) => Next::News,
        })
    }

    /// People are told, once, that nothing new goes out until some of what is behind does.
    async fn crowded(&self, exchange: &Exchange) {
        let nombre = &self.options.nombre;
        let detalle = format!(
            "El webhook «{nombre}» rechaza los avisos de muchos documentos: hasta que acepte algunos no se le avisa de otros. Nada \
             se pierde. Vea por qué con «chasqui webhook list», y cuando lo corrija, pruébelo con «chasqui webhook ping {nombre}»"
        );
        let (entidad, estado) = (self.options.entidad.clone(), "webhook_lleno".to_owned());
        let told = exchange.avisar(Noticia { tipo: ALERTA, sujeto: self.id, entidad, estado, detalle }).await;
        if let Err(error) = told {
            tracing::warn!(webhook = nombre, %error, "an alert could not be recorded");
        }
    }

    async fn stored(&self, exchange: &Exchange) -> Result<Cursor, StoreError> {
        Ok(exchange.store().webhook(self.id).await?.map(|stored| stored.hasta).unwrap_or_default())
    }

    fn progress(&self) -> Progress {
        let enough = self.options.pause_failures.saturating_sub(self.known().fallos_seguidos).max(1);
        Progress { worked: AtomicBool::new(false), failures: AtomicUsize::new(0), enough }
    }

    /// Exchanges that are behind and due, those that have waited longest first.
    async fn again(
        &self,
        exchange: &Exchange,
        estado: &EstadoWebhook,
        now: Timestamp,
    ) -> Result<Vec<Line>, StoreError> {
        let mut due: Vec<&Retenido> =
            estado.retenidos.iter().filter(|held| self.options.due(held.proximo_en, now)).collect();
        due.sort_by_key(|held| held.proximo_en);
        let mut lines = Vec::new();
        for held in due.into_iter().take(AGAIN_MAX) {
            let mut facts = self.behind(exchange, estado, held).await?;
            let more = facts.len() > LINE_MAX;
            facts.truncate(LINE_MAX);
            lines.push(Line { sujeto: held.sujeto, facts, more });
        }
        Ok(lines)
    }

    /// What an exchange that is behind has not been told.
    pub(super) async fn behind(
        &self,
        exchange: &Exchange,
        estado: &EstadoWebhook,
        held: &Retenido,
    ) -> Result<Vec<FactAt>, StoreError> {
        let all = exchange.store().facts_of(held.sujeto).await?;
        let missing =
            |at: &FactAt| at.cursor >= held.desde && at.cursor <= estado.hasta && self.options.wants(&at.fact);
        Ok(all.into_iter().filter(missing).collect())
    }

    /// The facts of a page that are for it, by exchange, but for those of exchanges that are behind.
    fn fresh(&self, estado: &EstadoWebhook, page: &[FactAt]) -> Vec<Line> {
        let held: HashSet<Id> = estado.retenidos.iter().map(|held| held.sujeto).collect();
        let mut lines: Vec<Line> = Vec::new();
        for at in page.iter().filter(|at| self.options.wants(&at.fact) && !held.contains(&at.fact.sujeto)) {
            match lines.iter_mut().find(|line| line.sujeto == at.fact.sujeto) {
                Some(line) => line.facts.push(at.clone()),
                None => lines.push(Line { sujeto: at.fact.sujeto, facts: vec![at.clone()], more: false }),
            }
        }
        lines
    }

    async fn tell_all(
        &self,
        exchange: &Exchange,
        lines: Vec<Line>,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Vec<Told> {
        let tell = |line| self.tell_line(exchange, line, progress, stop);
        stream::iter(lines).map(tell).buffer_unordered(self.options.concurrency).collect().await
    }

    async fn tell_line(&self, exchange: &Exchange, line: Line, progress: &Progress, stop: &CancellationToken) -> Told {
        for (told, at) in line.facts.iter().enumerate() {
            if stop.is_cancelled() || progress.hopeless() {
                return Told { told, refused: None, line };
            }
            if let Err(refused) = self.tell(exchange, at).await {
                progress.failures.fetch_add(1, Ordering::Relaxed);
                return Told { told, refused: Some(refused), line };
            }
            progress.worked.store(true, Ordering::Relaxed);
        }
        Told { told: line.facts.len(), refused: None, line }
    }

    /// One attempt at one fact.
    pub(super) async fn tell(&self, exchange: &Exchange, at: &FactAt) -> Result<(), Refused> {
        let done = self.attempt(exchange, at).await;
        let now = exchange.now();
        let mut known = self.known();
        match &done {
            Ok(()) => {
                known.entregados = known.entregados.saturating_add(1);
                known.ultimo_exito = Some(now);
            }
            Err(refused) => {
                let (webhook, motivo) = (&self.options.nombre, &refused.motivo);
                tracing::info!(webhook, subject = %at.fact.sujeto, kind = at.fact.tipo, "a webhook was not told");
                known.fallidos = known.fallidos.saturating_add(1);
                known.ultimo_fallo = Some(now);
                known.ultimo_error = Some(motivo.clone());
            }
        }
        done
    }

    async fn attempt(&self, exchange: &Exchange, at: &FactAt) -> Result<(), Refused> {
        let ours = |error: &StoreError| Refused::from(format!("no se pudo leer o guardar aquí: {}", error.cause()));
        let store = &**exchange.store();
        let said = match &self.speech {
            Speech::Signed(keys) => {
                let body = message::body(exchange, at).await.map_err(|error| ours(&error))?;
                let signed = keys.sign(message::id(at), exchange.now(), body);
                filed_as(&self.transport.post(signed.into()).await?.answer)
            }
            Speech::Forms(basic) => {
                match form::letter(store, at, basic.as_ref()).await.map_err(|error| ours(&error))? {
                    Some(letter) => form::filed_as(&self.transport.post(letter).await?.answer)?,
                    None => None,
                }
            }
        };
        let Some((numero, anio)) = said.filter(|_| at.fact.tipo == RECEPCION_RECIBIDA) else { return Ok(()) };
        let actor = Actor(format!("webhook:{}", self.options.nombre));
        let filed =
            exchange.registrar(&actor, at.fact.entidad.as_ref(), at.fact.sujeto, &numero, anio.as_deref()).await;
        match filed {
            Ok(_) => Ok(()),
            Err(ExchangeError::Store(error)) => Err(ours(&error)),
            Err(error) => self.not_filed(exchange, at, &numero, &error).await.map_err(|error| match error {
                ExchangeError::Store(error) => ours(&error),
                other => other.to_string().into(),
            }),
        }
    }

    /// The receiver has the event, and answered a number that is none: telling it again would not change that.
    async fn not_filed(
        &self,
        exchange: &Exchange,
        at: &FactAt,
        numero: &str,
        why: &ExchangeError,
    ) -> Result<(), ExchangeError> {
        let why = match why {
            ExchangeError::Defectos(found) => found.iter().map(|d| d.texto).collect::<Vec<_>>().join("; "),
            other => other.to_string(),
        };
        let numero: String = numero.chars().take(ERROR_MAX).collect();
        let detalle = format!(
            "El webhook «{}» respondió el número de registro «{numero}», que no se pudo anotar: {why}. Anótelo con \
             «registrar»",
            self.options.nombre
        );
        let (sujeto, entidad) = (at.fact.sujeto, at.fact.entidad.clone());
        let estado = "numero_no_anotado".to_owned();
        exchange.avisar(Noticia { tipo: ALERTA, sujeto, entidad, estado, detalle }).await.map(drop)
    }

    /// Puts what became of each line into the place. Returns what is to be told of it.
    fn settle(&self, exchange: &Exchange, estado: &mut EstadoWebhook, told: &[Told], page: &[FactAt]) -> Vec<Fact> {
        let (now, mut alerts) = (exchange.now(), Vec::new());
        for Told { line, told, refused } in told {
            let held = estado.retenidos.iter().position(|held| held.sujeto == line.sujeto);
            let before = held.map(|n| estado.retenidos.swap_remove(n));
            let waits =
                before.is_some() && page.iter().any(|at| at.fact.sujeto == line.sujeto && self.options.wants(&at.fact));
            // One that was not tried after all is where it was: its attempts count on.
            let untried = before.as_ref().filter(|_| *told == 0 && refused.is_none());
            let (mut intentos, mut proximo_en, mut ultimo_error) =
                untried.map_or((0, now, None), |held| (held.intentos, held.proximo_en, held.ultimo_error.clone()));
            let mut next = *told;
            if let Some(refused) = refused {
                let earlier = before.as_ref().filter(|_| *told == 0).map_or(0, |held| held.intentos);
                intentos = earlier.saturating_add(1);
                ultimo_error = Some(refused.motivo.chars().take(ERROR_MAX).collect::<String>());
                match self.wait(intentos, refused.retry_after, exchange.chance()) {
                    Some(wait) => proximo_en = later(now, wait),
                    None => {
                        alerts.extend(line.facts.get(*told).and_then(|at| self.given_up(at, &refused.motivo, now)));
                        (intentos, ultimo_error, next) = (0, None, *told + 1);
                    }
                }
            }
            let rest = line.facts.get(next).map(|at| at.cursor);
            if rest.is_none() && !line.more && !waits {
                continue;
            }
            let desde = rest.or_else(|| line.facts.last().map(|at| after(at.cursor)));
            let desde = desde.or(before.as_ref().map(|held| held.desde)).unwrap_or_default();
            let creado_en = before.map_or(now, |held| held.creado_en);
            let sujeto = line.sujeto;
            estado.retenidos.push(Retenido { sujeto, desde, creado_en, proximo_en, intentos, ultimo_error });
        }
        alerts
    }

    /// The wait after the `n`-th failure, a tenth more or less by chance; `None` after the last one.
    fn wait(&self, n: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        let n = usize::try_from(n).ok()?.checked_sub(1)?;
        let wait = self.options.retry.get(n)?.mul_f64(spread(chance));
        Some(wait.max(asked.unwrap_or_default()))
    }

    /// An event that is not tried again; an alert says so, unless it is one itself.
    fn given_up(&self, at: &FactAt, motivo: &str, now: Timestamp) -> Option<Fact> {
        {
            let mut known = self.known();
            known.abandonados = known.abandonados.saturating_add(1);
        }
        let (nombre, fact) = (&self.options.nombre, &at.fact);
        tracing::warn!(webhook = nombre, subject = %fact.sujeto, kind = fact.tipo, "an event was given up");
        if fact.tipo == ALERTA {
            return None;
        }
        let detalle = format!(
            "El aviso «{}» del {} no pudo entregarse al webhook «{nombre}». Último error: {motivo}. Cuando esté corregido, \
             repítalo con «chasqui webhook replay {nombre} --exchange {}»",
            fact.tipo,
            lima::texto(fact.at),
            fact.sujeto
        );
        Some(self.alerta(Some(at), "aviso_abandonado", detalle, now))
    }

    /// Leaves the webhook alone if nothing works any more.
    fn judge(&self, estado: &mut EstadoWebhook, told: &[Told], progress: &Progress, now: Timestamp) -> Option<Fact> {
        let mut known = self.known();
        if progress.worked.load(Ordering::Relaxed) {
            (known.fallos_seguidos, known.testigos) = (0, Vec::new());
            return None;
        }
        for line in told.iter().filter(|told| told.refused.is_some()) {
            known.fallos_seguidos = known.fallos_seguidos.saturating_add(1);
            if known.testigos.len() < WITNESSES && !known.testigos.contains(&line.line.sujeto) {
                known.testigos.push(line.line.sujeto);
            }
        }
        if known.fallos_seguidos < self.options.pause_failures || known.testigos.len() < WITNESSES {
            return None;
        }
        let motivo = known.ultimo_error.clone().unwrap_or_default();
        let (nombre, n) = (&self.options.nombre, known.fallos_seguidos);
        let detalle = format!(
            "El webhook «{nombre}» falló {n} veces seguidas y queda en pausa: se prueba cada cierto tiempo y nada se pierde. \
             Último error: {motivo}. Cuando lo corrija, pruébelo con «chasqui webhook ping {nombre}»"
        );
        let hasta = later(now, self.options.pause);
        estado.pausa = Some(PausaWebhook { desde: now, hasta, pruebas: 0, motivo });
        drop(known);
        Some(self.alerta(None, "webhook_en_pausa", detalle, now))
    }
}

/// Between nine and eleven tenths.
pub(super) fn spread(chance: f64) -> f64 {
    0.9 + 0.2 * chance.clamp(0.0, 1.0)
}

/// The place just after another.
pub(super) fn after(at: Cursor) -> Cursor {
    match at.n.checked_add(1) {
        Some(n) => Cursor { n, ..at },
        None => Cursor { seq: at.seq.saturating_add(1), n: 0 },
    }
}

/// The number of registration in an answer, and its year if it says one.
fn filed_as(answer: &[u8]) -> Option<(String, Option<String>)> {
    let said: Value = serde_json::from_slice(answer).ok()?;
    let text = |name| said.get(name).and_then(Value::as_str).map(|text| text.trim().to_owned());
    Some((text("numero_registro").filter(|numero| !numero.is_empty())?, text("anio_registro")))
}
