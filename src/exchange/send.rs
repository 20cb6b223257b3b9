//! A despacho goes to the platform.
//!
//! Each step commits what it is about to do before it does it, so that after a crash the record says what may have
//! happened. The rules are CONTRACT §7; what ended unclearly is asked about before anything is sent again.

use std::time::Duration;

use super::{
    Actor, Exchange, PlatformError, RACES_MAX, Sobres, events,
    retry::bounded,
    sobres::attach,
    step::{Step, in_words},
};
use crate::{
    domain::{
        Cuo, Despacho, EstadoDespacho, Falla, Id, Ruc, cargo::Respuesta, despacho::Suceso, respuestas::Operacion,
    },
    store::{Change, CommitError, Fact, Job, JobKind, Record, Staged, StoreError, UniqueKey},
};

/// New CUOs asked for one despacho before it is given up: a platform that refuses three refuses all.
const CUOS_MAX: usize = 3;

/// How the history tells of a CUO that is another document's.
const CUO_REPETIDO: &str = "La plataforma dio el CUO";

/// How a send ended, read as CONTRACT §7 says.
enum Fin {
    Aceptado,
    CuoNoValido(String),
    Rechazado(Falla, String),
    /// With what the platform asked to wait.
    Incierto(Falla, String, Option<Duration>),
    NoSalio(PlatformError),
}

impl Exchange {
    /// Does what the record's state calls for.
    pub(super) async fn step_despacho(&self, job: &Job) -> Result<Step, StoreError> {
        // Twice at most: a clear "not found" is followed by the send it allows.
        for _ in 0..2 {
            let Some(despacho) = self.store.despacho(job.sujeto).await? else { return self.finished(job).await };
            let step = match despacho.estado {
                EstadoDespacho::Pendiente => return self.send(job, despacho).await,
                EstadoDespacho::Enviando | EstadoDespacho::PorConfirmar => self.ask(job, despacho).await?,
                _ => return self.finished(job).await,
            };
            let Some(step) = step else { continue };
            return Ok(step);
        }
        Ok(Step::again(Falla::EnvioInterrumpido, "el estado cambió mientras se enviaba", None))
    }

    async fn send(&self, job: &Job, despacho: Despacho) -> Result<Step, StoreError> {
        let Some(propia) = self.propia(&despacho.entidad) else {
            let motivo = format!("la entidad {} ya no está en la configuración", despacho.entidad);
            return Ok(Step::again(Falla::EntidadNoConfigurada, motivo, None));
        };
        if let Some(step) = self.unknown_receiver(job, &despacho).await? {
            return Ok(step);
        }
        let cuo = match self.cuo_for(&despacho).await {
            Ok(cuo) => cuo,
            Err(error) => {
                let motivo = format!("No se obtuvo el CUO: {error}");
                self.note(&despacho, Suceso::SinRespuesta { motivo: motivo.clone() }, events::DESPACHO_SIN_RESPUESTA)
                    .await?;
                return Ok(Step::asked(error.falla, motivo, error.retry_after));
            }
        };
        // The document is opened before the send is on record: a damaged one never becomes a send of unknown fate.
        let documento = self.store.open_document(&despacho.documento.sha256).await?;
        let pending = despacho.clone();
        let despacho = match self.begin_send(despacho, cuo).await {
            Ok(despacho) => despacho,
            Err(CommitError::Store(error)) => return Err(error),
            Err(CommitError::Exists { key: UniqueKey::CuoDespacho { cuo, .. }, id }) => {
                let motivo = format!("{CUO_REPETIDO} {cuo}, que ya había dado para otro documento ({id})");
                return self.repeated_cuo(job, &pending, motivo).await;
            }
            Err(other) => return Ok(Step::again(Falla::EnvioInterrumpido, other.to_string(), None)),
        };
        let tramite = despacho.tramite(&propia);
        let mut sobres = Sobres::default();
        let call = self.platform.recepcionar(&tramite, documento, &mut sobres);
        let answer = self.call((&despacho.destino, despacho.id), |a| matches!(a.codigo(), "0000" | "0003"), call).await;
        let sent = Some(&despacho.documento.sha256);
        let said = self.dicho(Operacion::Recepcionar, sobres, (sent, None)).await?;
        let fin = self.read_end(&despacho.destino, answer);
        self.end_send(job, despacho, fin, said).await
    }

    /// A receiver that the directory does not list is validated before the first send. `None`: go on.
    async fn unknown_receiver(&self, job: &Job, despacho: &Despacho) -> Result<Option<Step>, StoreError> {
        let destino = &despacho.destino;
        if despacho.intentos > 0 || self.in_directory(destino).await? {
            return Ok(None);
        }
        match self.call_service(self.platform.validar_entidad(destino)).await {
            Ok(true) => Ok(None),
            Ok(false) => {
                let motivo = format!("la plataforma no tiene registrada a la entidad {destino}; nada se envió");
                self.refused(job, despacho, Falla::ReceptoraNoRegistrada, motivo, None).await.map(Some)
            }
            Err(error) => {
                let motivo = format!("No se pudo comprobar si la entidad {destino} está registrada: {error}");
                let suceso = Suceso::SinRespuesta { motivo: motivo.clone() };
                self.note(despacho, suceso, events::DESPACHO_SIN_RESPUESTA).await?;
                Ok(Some(Step::asked(error.falla, motivo, error.retry_after)))
            }
        }
    }

    /// The platform gave a CUO that is another document's: another is asked for, a few times. A person's retry counts anew.
    async fn repeated_cuo(&self, job: &Job, despacho: &Despacho, motivo: String) -> Result<Step, StoreError> {
        let history = self.store.facts_of(despacho.id).await?;
        let since = history.iter().rposition(|known| known.fact.tipo == events::DESPACHO_REINTENTADO).unwrap_or(0);
        let repeated = |fact: &Fact| fact.detalle.as_deref().is_some_and(|text| text.starts_with(CUO_REPETIDO));
        let before = history.iter().skip(since).filter(|known| repeated(&known.fact)).count();
        if before + 1 >= CUOS_MAX {
            return self.refused(job, despacho, Falla::CuoRepetido, motivo, None).await;
        }
        let suceso = Suceso::SinRespuesta { motivo: motivo.clone() };
        self.note(despacho, suceso, events::DESPACHO_SIN_RESPUESTA).await?;
        Ok(Step::again(Falla::CuoRepetido, motivo, None))
    }

    /// The CUO it has, or a new one. Taken once: it is committed with the send's beginning, before it is used.
    async fn cuo_for(&self, despacho: &Despacho) -> Result<Cuo, PlatformError> {
        match &despacho.cuo {
            Some(cuo) => Ok(cuo.clone()),
            None => self.call_service(self.platform.cuo(&despacho.entidad)).await,
        }
    }

    async fn begin_send(&self, mut despacho: Despacho, cuo: Cuo) -> Result<Despacho, CommitError> {
        let (now, actor, fresh) = (self.now(), Actor::chasqui(), despacho.cuo.is_none());
        let id = despacho.id;
        despacho.aplicar(Suceso::EnvioIniciado { cuo }, now).map_err(|_| CommitError::Stale(id))?;
        let mut facts = Vec::with_capacity(2);
        if fresh {
            facts.push(events::despacho(&despacho, events::DESPACHO_CUO_ASIGNADO, &actor, now, None));
        }
        facts.push(events::despacho(&despacho, events::DESPACHO_ENVIO_INICIADO, &actor, now, None));
        let records = vec![Record::Despacho(Box::new(despacho.clone()))];
        self.store.commit(Change { facts, records, ..Change::default() }).await?;
        Ok(despacho)
    }

    /// `said`: the messages of the send.
    async fn end_send(
        &self,
        job: &Job,
        despacho: Despacho,
        fin: Fin,
        said: Option<Staged>,
    ) -> Result<Step, StoreError> {
        match fin {
            Fin::Aceptado => {
                self.conclude(despacho.id, Suceso::Aceptado, events::DESPACHO_ENVIADO, None, said).await?;
                self.finished(job).await
            }
            Fin::Rechazado(falla, motivo) => self.refused(job, &despacho, falla, motivo, said).await,
            // No send under this CUO ended unclearly: it was refused outright, and nothing can have arrived under it.
            Fin::CuoNoValido(motivo) if despacho.cuo.as_ref().is_some_and(|cuo| despacho.cuo_limpio(cuo)) => {
                self.next_cuo(job, &despacho, motivo, said).await
            }
            // An earlier send under it may have arrived and be the reason: ask before a new CUO makes a second document.
            Fin::CuoNoValido(motivo) => match self.consulta(&despacho).await {
                Ok(found) if found.answer.respuesta.codigo() == "0001" => {
                    self.next_cuo(job, &despacho, motivo, said).await
                }
                Ok(found) if found.answer.respuesta.codigo() == "0000" => self.found(job, &despacho, found).await,
                _ => self.unclear(&despacho, (Falla::CuoNoValido, motivo), None, said).await,
            },
            Fin::Incierto(falla, motivo, asked) => self.unclear(&despacho, (falla, motivo), asked, said).await,
            Fin::NoSalio(error) => {
                let motivo = error.detalle.clone();
                let suceso = Suceso::NoLlego { motivo: motivo.clone() };
                self.note(&despacho, suceso, events::DESPACHO_SIN_RESPUESTA).await?;
                Ok(Step::asked(error.falla, motivo, error.retry_after))
            }
        }
    }

    async fn refused(
        &self,
        job: &Job,
        despacho: &Despacho,
        falla: Falla,
        motivo: String,
        said: Option<Staged>,
    ) -> Result<Step, StoreError> {
        tracing::warn!(despacho = %despacho.id, %falla, "refused for good; a person must look at it");
        let detalle = Some(motivo.clone());
        let suceso = Suceso::Rechazado { falla: Some(falla), motivo };
        self.conclude(despacho.id, suceso, events::DESPACHO_FALLIDO, detalle, said).await?;
        self.finished(job).await
    }

    /// Under the refused CUO nothing arrived: another is asked for, or the despacho given up. A person's retry counts anew.
    async fn next_cuo(
        &self,
        job: &Job,
        despacho: &Despacho,
        motivo: String,
        said: Option<Staged>,
    ) -> Result<Step, StoreError> {
        if (despacho.cuos_anteriores.len() + 1).is_multiple_of(CUOS_MAX) {
            return self.refused(job, despacho, Falla::CuoNoValido, motivo, said).await;
        }
        let suceso = Suceso::CuoRechazado { motivo: motivo.clone() };
        self.note_with(despacho, suceso, events::DESPACHO_CUO_RECHAZADO, said).await?;
        Ok(Step::again(Falla::CuoNoValido, motivo, Some(Duration::ZERO)))
    }

    async fn unclear(
        &self,
        despacho: &Despacho,
        (falla, motivo): (Falla, String),
        asked: Option<Duration>,
        said: Option<Staged>,
    ) -> Result<Step, StoreError> {
        let suceso = Suceso::FinIncierto { motivo: motivo.clone() };
        self.note_with(despacho, suceso, events::DESPACHO_POR_CONFIRMAR, said).await?;
        let wait = self.settings().retry.ask_after.max(asked.map(bounded).unwrap_or_default());
        Ok(Step::again(falla, motivo, Some(wait)))
    }

    /// Commits an outcome that ends the sending, and its job with it. If the record went further meanwhile (a cargo came
    /// first), nothing is to be said.
    pub(super) async fn conclude(
        &self,
        id: Id,
        suceso: Suceso,
        tipo: &str,
        detalle: Option<String>,
        said: Option<Staged>,
    ) -> Result<(), StoreError> {
        for _ in 0..RACES_MAX {
            let Some(mut despacho) = self.store.despacho(id).await? else { break };
            let now = self.now();
            if let Err(error) = despacho.aplicar(suceso.clone(), now) {
                tracing::info!(despacho = %id, %error, "the record went further than this outcome");
                break;
            }
            let actor = Actor::chasqui();
            let mut change = Change {
                facts: vec![events::despacho(&despacho, tipo, &actor, now, detalle.clone())],
                jobs_done: vec![Job::id_for(JobKind::Despachar, id)],
                ..Change::default()
            };
            if suceso == Suceso::Aceptado {
                self.close_corrected(&despacho, &actor, &mut change).await?;
                change.jobs.push(self.ask_for_cargo(&despacho));
            }
            change.records.push(Record::Despacho(Box::new(despacho)));
            attach(&mut change, said.clone());
            match self.store.commit(change).await {
                Ok(_) => break,
                Err(CommitError::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Reads a send's answer as CONTRACT §7 says: only 0000 and 0003 are clear. An operator's rule may say what its text means,
    /// not what is done about it.
    fn read_end(&self, destino: &Ruc, answer: Result<Respuesta, PlatformError>) -> Fin {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if !error.pudo_llegar() => return Fin::NoSalio(error),
            Err(error) => return Fin::Incierto(error.falla, error.detalle, error.retry_after),
        };
        if answer.codigo() == "0000" {
            return Fin::Aceptado;
        }
        let (falla, words) = (self.entendida(Operacion::Recepcionar, destino, &answer), in_words(&answer));
        match answer.codigo() {
            // The one refusal that a new CUO cures, told by its text (CONTRACT §7).
            "0003" if Falla::de_respuesta(&answer) == Falla::CuoNoValido => Fin::CuoNoValido(words),
            "0003" => Fin::Rechazado(falla, words),
            _ => Fin::Incierto(falla, words, None),
        }
    }
}
