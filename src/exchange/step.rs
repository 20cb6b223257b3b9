//! What the steps of all jobs share: how a step leaves its job, calls to the platform, and notes on the record.

use std::time::Duration;

use jiff::Timestamp;

use super::{Actor, Exchange, PlatformError, events, health::Outcome, sobres::attach};
use crate::{
    domain::{
        Despacho, Falla, Id, Ruc,
        cargo::{Respuesta, RespuestaConsulta},
        despacho::Suceso,
    },
    store::{Change, CommitError, Job, Record, Staged, StoreError},
};

/// How a step left its job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The job's end is committed.
    Done,
    /// Try again.
    Again(Again),
    /// Nothing failed: back to its place in the line, due at once.
    InLine,
}

/// Why a job is tried again, and when.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub falla: Falla,
    /// In words; the record has them too.
    pub motivo: String,
    /// Not before; `None`: as the policy says.
    pub wait: Option<Duration>,
    /// The other side asked for the wait: it is bounded, and never shortens our own.
    pub asked: bool,
}

impl Step {
    pub(super) fn again(falla: Falla, motivo: impl Into<String>, wait: Option<Duration>) -> Self {
        Self::Again(Again { falla, motivo: motivo.into(), wait, asked: false })
    }

    /// As the policy says, but not before the other side asked for, if it did.
    pub(super) fn asked(falla: Falla, motivo: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::Again(Again { falla, motivo: motivo.into(), wait: retry_after, asked: true })
    }
}

impl Exchange {
    /// One call to the platform for a document and its destination, with what it says of the health of that destination and
    /// of the platform. `clear` tells an answer that can be understood.
    pub(super) async fn call<T: Coded>(
        &self,
        (ruc, sujeto): (&Ruc, Id),
        clear: impl Fn(&T) -> bool,
        call: impl Future<Output = Result<T, PlatformError>>,
    ) -> Result<T, PlatformError> {
        let began = self.now();
        let result = call.await;
        let now = self.now();
        let took = Duration::try_from(now.duration_since(began)).unwrap_or_default();
        let failed = |error: &PlatformError| Outcome::Failed(error.detalle.clone());
        let destino = Some((ruc, sujeto));
        match &result {
            Err(error) if !error.pudo_llegar() => self.took_note(None, failed(error), took, now).await,
            Err(error) => self.took_note(destino, failed(error), took, now).await,
            Ok(answer) => {
                self.took_note(None, Outcome::Answered, took, now).await;
                let outcome = match answer.code() {
                    _ if clear(answer) => Outcome::Answered,
                    "-1" => Outcome::Declined,
                    _ => Outcome::Failed("respondió algo que no se entiende".into()),
                };
                self.took_note(destino, outcome, took, now).await;
            }
        }
        result
    }

    /// One call to another service of the platform (CUO, directory). That it answers badly holds up only what needs it and is
    /// not recorded; that it cannot even be reached is the platform's.
    pub(super) async fn call_service<T>(
        &self,
        call: impl Future<Output = Result<T, PlatformError>>,
    ) -> Result<T, PlatformError> {
        let began = self.now();
        let result = call.await;
        if let Err(error) = result.as_ref()
            && !error.pudo_llegar()
        {
            let now = self.now();
            let took = Duration::try_from(now.duration_since(began)).unwrap_or_default();
            self.took_note(None, Outcome::Failed(error.detalle.clone()), took, now).await;
        }
        result
    }

    /// The service that documents go to answered something else: if everything was paused for it, the pause is over.
    pub(super) async fn platform_answered(&self) {
        let now = self.now();
        if self.health.pide_in_doubt() {
            self.took_note(None, Outcome::Answered, Duration::ZERO, now).await;
        }
    }

    async fn took_note(&self, destino: Option<(&Ruc, Id)>, outcome: Outcome, took: Duration, now: Timestamp) {
        let recovered = match destino {
            Some((ruc, sujeto)) => self.health.record(ruc, sujeto, outcome, took, now),
            None => self.health.record_pide(outcome, took, now),
        };
        if recovered {
            let destino = destino.map(|(ruc, _)| ruc);
            tracing::info!(destination = ?destino, "it works again: what waited for it is due now");
            self.store.wake(destino).await;
        }
    }

    /// Commits something learnt on the way. What the state does not allow any more is not worth recording.
    pub(super) async fn note(&self, despacho: &Despacho, suceso: Suceso, tipo: &str) -> Result<(), StoreError> {
        self.note_with(despacho, suceso, tipo, None).await
    }

    /// As [`Exchange::note`], with the messages in which it was said.
    pub(super) async fn note_with(
        &self,
        despacho: &Despacho,
        suceso: Suceso,
        tipo: &str,
        said: Option<Staged>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let mut despacho = despacho.clone();
        if despacho.aplicar(suceso, now).is_err() {
            return Ok(());
        }
        let fact = events::despacho(&despacho, tipo, &Actor::chasqui(), now, despacho.ultimo_error.clone());
        let records = vec![Record::Despacho(Box::new(despacho))];
        let mut change = Change { facts: vec![fact], records, ..Change::default() };
        attach(&mut change, said);
        match self.store.commit(change).await {
            Err(CommitError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells people of something about a despacho, once in these words.
    pub(super) async fn alert_once(
        &self,
        despacho: &Despacho,
        actor: &Actor,
        detalle: String,
    ) -> Result<(), StoreError> {
        let told = self.store.facts_of(despacho.id).await?;
        if told.iter().any(|known| known.fact.detalle.as_deref() == Some(detalle.as_str())) {
            return Ok(());
        }
        tracing::warn!(despacho = %despacho.id, destination = %despacho.destino, "alert");
        let fact = events::despacho(despacho, events::ALERTA, actor, self.now(), Some(detalle));
        match self.store.commit(Change { facts: vec![fact], ..Change::default() }).await {
            Err(CommitError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends a job whose record needs it no more, unless the commit that made it so ended it already, or a person made it
    /// anew meanwhile.
    pub(super) async fn finished(&self, job: &Job) -> Result<Step, StoreError> {
        let _deciding = self.deciding.read().await;
        if self.store.job(job.id).await?.as_ref() != Some(job) {
            return Ok(Step::Done);
        }
        self.store.commit(Change { jobs_done: vec![job.id], ..Change::default() }).await.map_or_else(
            |error| match error {
                CommitError::Store(error) => Err(error),
                _ => Ok(Step::Done),
            },
            |_| Ok(Step::Done),
        )
    }
}

/// An answer that may bring a result code.
pub(super) trait Coded {
    fn code(&self) -> &str;
}

impl Coded for Respuesta {
    fn code(&self) -> &str {
        self.codigo()
    }
}

impl Coded for RespuestaConsulta {
    fn code(&self) -> &str {
        self.respuesta.codigo()
    }
}

/// An answer in words: the other side's own, with its code.
pub(super) fn in_words(answer: &Respuesta) -> String {
    match (answer.codigo(), answer.descripcion()) {
        ("", "") => "la respuesta llegó vacía, sin código ni descripción".into(),
        ("", text) => format!("la respuesta no trae código; dice «{text}»"),
        (code, "") => format!("código {code}, sin descripción"),
        (code, text) => format!("{text} (código {code})"),
    }
}
