//! One step of a job: a despacho goes to the platform, or its fate is asked for; a cargo is delivered.
//!
//! Each step commits what it is about to do before it does it, so that after a crash the record says what may have
//! happened. The rules are CONTRACT §7; what ended unclearly is asked about before anything is sent again.

use std::time::Duration;

use jiff::Timestamp;

use super::{Actor, Alcance, Exchange, PlatformError, RACES_MAX, dispatch::job, events, health::Outcome, retry::later};
use crate::{
    domain::{
        CargoTramite, Consulta, Contenido, Cuo, Desenlace, Despacho, Documento, EstadoDespacho, Id, Recepcion, Ruc,
        cargo::{Respuesta, RespuestaConsulta},
        despacho::Suceso,
        lima,
    },
    store::{Change, CommitError, Job, JobKind, Record, Staged, StoreError},
};

/// New CUOs asked for one despacho before it is given up: a platform that refuses three refuses all.
const CUOS_MAX: usize = 3;

/// How a step left its job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The job's end is committed.
    Done,
    /// Try again: not before `wait`, if given; the reason is on record.
    Again { motivo: String, wait: Option<Duration> },
}

/// How a send ended, read as CONTRACT §7 says.
enum Fin {
    Aceptado,
    CuoNoValido(String),
    Rechazado(String),
    Incierto(String),
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
        Ok(Step::Again { motivo: "el estado cambió mientras se enviaba".into(), wait: None })
    }

    async fn send(&self, job: &Job, despacho: Despacho) -> Result<Step, StoreError> {
        let Some(propia) = self.propia(&despacho.entidad).cloned() else {
            let motivo = format!("la entidad {} ya no está en la configuración", despacho.entidad);
            return Ok(Step::Again { motivo, wait: None });
        };
        let cuo = match self.cuo_for(&despacho).await {
            Ok(cuo) => cuo,
            Err(error) => {
                let motivo = format!("No se obtuvo el CUO: {error}");
                self.note(&despacho, Suceso::SinRespuesta { motivo: motivo.clone() }, events::DESPACHO_SIN_RESPUESTA)
                    .await?;
                return Ok(Step::Again { motivo, wait: error.retry_after });
            }
        };
        // The document is opened before the send is on record: a damaged one never becomes a send of unknown fate.
        let documento = self.store.open_document(&despacho.documento.sha256).await?;
        let despacho = match self.begin_send(despacho, cuo).await {
            Ok(despacho) => despacho,
            Err(CommitError::Store(error)) => return Err(error),
            Err(other) => return Ok(Step::Again { motivo: other.to_string(), wait: None }),
        };
        let tramite = despacho.tramite(&propia);
        let call = self.platform.recepcionar(&tramite, documento);
        let answer = self.call(Some(&despacho.destino), |a| matches!(a.codigo(), "0000" | "0003"), call).await;
        self.end_send(job, despacho, read_end(answer)).await
    }

    /// The CUO it has, or a new one. Taken once: it is committed with the send's beginning, before it is used.
    async fn cuo_for(&self, despacho: &Despacho) -> Result<Cuo, PlatformError> {
        match &despacho.cuo {
            Some(cuo) => Ok(cuo.clone()),
            None => self.call(None, |_| true, self.platform.cuo(&despacho.entidad)).await,
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

    async fn end_send(&self, job: &Job, despacho: Despacho, fin: Fin) -> Result<Step, StoreError> {
        match fin {
            Fin::Aceptado => self.conclude(job, despacho.id, Suceso::Aceptado, events::DESPACHO_ENVIADO, None).await,
            Fin::Rechazado(motivo) => {
                let detalle = Some(motivo.clone());
                self.conclude(job, despacho.id, Suceso::Rechazado { motivo }, events::DESPACHO_FALLIDO, detalle).await
            }
            Fin::CuoNoValido(motivo) if despacho.cuos_anteriores.len() + 1 >= CUOS_MAX => {
                let detalle = Some(motivo.clone());
                self.conclude(job, despacho.id, Suceso::Rechazado { motivo }, events::DESPACHO_FALLIDO, detalle).await
            }
            // The first send under this CUO was refused outright: nothing can have arrived under it.
            Fin::CuoNoValido(motivo) if despacho.intentos_con_cuo <= 1 => self.new_cuo(&despacho, motivo).await,
            // An earlier send under it may have arrived and be the reason: ask before a new CUO makes a second document.
            Fin::CuoNoValido(motivo) => match self.consulta(&despacho).await {
                Ok((answer, _)) if answer.respuesta.codigo() == "0001" => self.new_cuo(&despacho, motivo).await,
                Ok((answer, pdf)) if answer.respuesta.codigo() == "0000" => {
                    self.found(job, &despacho, answer, pdf).await
                }
                _ => self.unclear(&despacho, motivo).await,
            },
            Fin::Incierto(motivo) => self.unclear(&despacho, motivo).await,
            Fin::NoSalio(error) => {
                let motivo = error.detalle.clone();
                let suceso = Suceso::NoLlego { motivo: motivo.clone() };
                self.note(&despacho, suceso, events::DESPACHO_SIN_RESPUESTA).await?;
                Ok(Step::Again { motivo, wait: error.retry_after })
            }
        }
    }

    async fn new_cuo(&self, despacho: &Despacho, motivo: String) -> Result<Step, StoreError> {
        let suceso = Suceso::CuoRechazado { motivo: motivo.clone() };
        self.note(despacho, suceso, events::DESPACHO_CUO_RECHAZADO).await?;
        Ok(Step::Again { motivo, wait: Some(Duration::ZERO) })
    }

    async fn unclear(&self, despacho: &Despacho, motivo: String) -> Result<Step, StoreError> {
        let suceso = Suceso::FinIncierto { motivo: motivo.clone() };
        self.note(despacho, suceso, events::DESPACHO_POR_CONFIRMAR).await?;
        Ok(Step::Again { motivo, wait: Some(self.settings.retry.ask_after) })
    }

    /// Asks the receiver about a send whose end is not known. `None`: it surely did not arrive, send again.
    async fn ask(&self, job: &Job, despacho: Despacho) -> Result<Option<Step>, StoreError> {
        let ready = later(despacho.actualizado_en, self.settings.retry.ask_after);
        // A delivery still under way at the platform must have had the time to end, or "not found" proves nothing.
        if despacho.estado == EstadoDespacho::Enviando && self.now() < ready {
            let wait = Duration::try_from(ready.duration_since(self.now())).unwrap_or_default();
            let motivo = "el envío quedó interrumpido; se consultará si llegó".to_owned();
            return Ok(Some(Step::Again { motivo, wait: Some(wait) }));
        }
        let motivo = match self.consulta(&despacho).await {
            Ok((answer, pdf)) => match answer.respuesta.codigo() {
                "0000" => return self.found(job, &despacho, answer, pdf).await.map(Some),
                "0001" => {
                    let motivo = "la entidad receptora respondió que no lo tiene".to_owned();
                    self.note(&despacho, Suceso::NoLlego { motivo }, events::DESPACHO_NO_LLEGO).await?;
                    return Ok(None);
                }
                _ => format!("La consulta no aclaró si llegó: {}", in_words(&answer.respuesta)),
            },
            Err(error) => format!("La consulta no tuvo respuesta: {error}"),
        };
        let suceso = Suceso::SinRespuesta { motivo: motivo.clone() };
        self.note(&despacho, suceso, events::DESPACHO_SIN_RESPUESTA).await?;
        Ok(Some(Step::Again { motivo, wait: None }))
    }

    async fn consulta(&self, despacho: &Despacho) -> Result<(RespuestaConsulta, Option<Staged>), PlatformError> {
        let consulta = Consulta {
            ruc_remitente: Some(despacho.entidad.to_string()),
            ruc_receptor: Some(despacho.destino.to_string()),
            cuo: despacho.cuo.as_ref().map(ToString::to_string),
        };
        let mut sink = self.stage();
        let clear = |a: &RespuestaConsulta| matches!(a.respuesta.codigo(), "0000" | "0001");
        let answer = self.call(Some(&despacho.destino), clear, self.platform.consultar(&consulta, &mut sink)).await?;
        let staged = match answer.cargo.contenido {
            Contenido::Pdf { .. } => sink.finish().await.ok(),
            _ => None,
        };
        Ok((answer, staged))
    }

    /// One call to the platform, with what it says of the health of the destination, or of the platform if it is `None`.
    /// `clear` tells an answer that can be understood.
    async fn call<T>(
        &self,
        destino: Option<&Ruc>,
        clear: impl Fn(&T) -> bool,
        call: impl Future<Output = Result<T, PlatformError>>,
    ) -> Result<T, PlatformError> {
        let began = self.now();
        let result = call.await;
        let now = self.now();
        let took = Duration::try_from(now.duration_since(began)).unwrap_or_default();
        let failed = |error: &PlatformError| Outcome::Failed(error.detalle.clone());
        match (&result, destino) {
            (Err(error), None) => self.took_note(None, failed(error), took, now).await,
            (Err(error), Some(_)) if error.alcance == Alcance::NoSalio => {
                self.took_note(None, failed(error), took, now).await;
            }
            (Err(error), destino) => self.took_note(destino, failed(error), took, now).await,
            (Ok(answer), destino) => {
                self.took_note(None, Outcome::Answered, took, now).await;
                let unclear = || Outcome::Failed("respondió algo que no se entiende".into());
                let outcome = if clear(answer) { Outcome::Answered } else { unclear() };
                if destino.is_some() {
                    self.took_note(destino, outcome, took, now).await;
                }
            }
        }
        result
    }

    async fn took_note(&self, destino: Option<&Ruc>, outcome: Outcome, took: Duration, now: Timestamp) {
        let recovered = match destino {
            Some(ruc) => self.health.record(ruc, outcome, took, now),
            None => self.health.record_pide(outcome, took, now),
        };
        if recovered {
            tracing::info!(destination = ?destino, "it works again: what waited for it is due now");
            self.store.wake(destino).await;
        }
    }

    /// A consulta found it at the receiver: it was sent, and perhaps answered already.
    async fn found(
        &self,
        job: &Job,
        despacho: &Despacho,
        answer: RespuestaConsulta,
        pdf: Option<Staged>,
    ) -> Result<Step, StoreError> {
        let nombre = despacho.cuo.as_ref().map(|cuo| format!("cargo-{cuo}.pdf")).unwrap_or_default();
        let documento = pdf.as_ref().map(|s| Documento { nombre, bytes: s.bytes, sha256: s.sha256.clone() });
        let Some(cargo) = answer.cargo.cargo(documento) else {
            let detalle = Some("una consulta confirmó que llegó".to_owned());
            return self.conclude(job, despacho.id, Suceso::Aceptado, events::DESPACHO_ENVIADO, detalle).await;
        };
        for _ in 0..RACES_MAX {
            let Some(mut now_is) = self.store.despacho(despacho.id).await? else { break };
            if now_is.aplicar(Suceso::Respondido { cargo: cargo.clone() }, self.now()).is_err() {
                break;
            }
            let mut change = self.respondido(now_is, &Actor::chasqui(), pdf.clone()).await?;
            change.jobs_done.push(job.id);
            match self.store.commit(change).await {
                Ok(_) => return Ok(Step::Done),
                Err(CommitError::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        self.finished(job).await
    }

    /// Commits an outcome that ends the job. If the record went further meanwhile (a cargo came first), only the job ends.
    async fn conclude(
        &self,
        job: &Job,
        id: Id,
        suceso: Suceso,
        tipo: &str,
        detalle: Option<String>,
    ) -> Result<Step, StoreError> {
        for _ in 0..RACES_MAX {
            let Some(mut despacho) = self.store.despacho(id).await? else { break };
            let now = self.now();
            if despacho.aplicar(suceso.clone(), now).is_err() {
                break;
            }
            let actor = Actor::chasqui();
            let mut change = Change {
                facts: vec![events::despacho(&despacho, tipo, &actor, now, detalle.clone())],
                jobs_done: vec![job.id],
                ..Change::default()
            };
            if suceso == Suceso::Aceptado {
                self.close_corrected(&despacho, &actor, &mut change).await?;
                change.jobs.push(self.ask_for_cargo(&despacho));
            }
            change.records.push(Record::Despacho(Box::new(despacho)));
            match self.store.commit(change).await {
                Ok(_) => return Ok(Step::Done),
                Err(CommitError::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        self.finished(job).await
    }

    /// The job that asks for the cargo of what was just accepted, in case the cargo never comes by itself.
    fn ask_for_cargo(&self, d: &Despacho) -> Job {
        let now = self.now();
        let first = later(now, self.settings.retry.ask_cargo(0));
        Job { proximo_en: first, ..job(JobKind::PreguntarCargo, d.id, &d.entidad, &d.destino, now) }
    }

    /// Commits something learnt on the way. What the state does not allow any more is not worth recording.
    async fn note(&self, despacho: &Despacho, suceso: Suceso, tipo: &str) -> Result<(), StoreError> {
        let now = self.now();
        let mut despacho = despacho.clone();
        if despacho.aplicar(suceso, now).is_err() {
            return Ok(());
        }
        let fact = events::despacho(&despacho, tipo, &Actor::chasqui(), now, despacho.ultimo_error.clone());
        let records = vec![Record::Despacho(Box::new(despacho))];
        match self.store.commit(Change { facts: vec![fact], records, ..Change::default() }).await {
            Err(CommitError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends a job whose record needs it no more.
    async fn finished(&self, job: &Job) -> Result<Step, StoreError> {
        self.store.commit(Change { jobs_done: vec![job.id], ..Change::default() }).await.map_or_else(
            |error| match error {
                CommitError::Store(error) => Err(error),
                _ => Ok(Step::Done),
            },
            |_| Ok(Step::Done),
        )
    }

    /// Asks for the cargo of a document that was sent and is not answered.
    pub(super) async fn step_preguntar(&self, job: &Job) -> Result<Step, StoreError> {
        let Some(despacho) = self.store.despacho(job.sujeto).await? else { return self.finished(job).await };
        if despacho.estado != EstadoDespacho::Enviado {
            return self.finished(job).await;
        }
        let wait = Some(self.settings.retry.ask_cargo(job.intentos + 1));
        let motivo = match self.consulta(&despacho).await {
            Ok((answer, pdf)) if answer.respuesta.codigo() == "0000" => match Desenlace::de_letra(estado(&answer)) {
                Some(_) => return self.found(job, &despacho, answer, pdf).await,
                None => "la entidad receptora lo tiene y aún no lo atiende".to_owned(),
            },
            Ok((answer, _)) => format!("La consulta por el cargo no dio resultado: {}", in_words(&answer.respuesta)),
            Err(error) => format!("La consulta por el cargo no tuvo respuesta: {error}"),
        };
        Ok(Step::Again { motivo, wait })
    }

    /// Delivers the cargo of a recepcion.
    pub(super) async fn step_cargo(&self, job: &Job) -> Result<Step, StoreError> {
        let Some(recepcion) = self.store.recepcion(job.sujeto).await? else { return self.finished(job).await };
        let pdf = recepcion.cargo.as_ref().and_then(|c| c.documento.as_ref());
        let (Some(pdf), None) = (pdf, recepcion.cargo_entregado_en) else { return self.finished(job).await };
        let documento = self.store.open_document(&pdf.sha256).await?;
        let tramite = cargo_tramite(&recepcion);
        let clear = |a: &Respuesta| !matches!(a.codigo(), "" | "-1");
        let call = self.platform.cargo(&tramite, documento);
        let (motivo, wait) = match self.call(Some(&recepcion.remitente.ruc), clear, call).await {
            Ok(answer) if cargo_accepted(&answer) => return self.cargo_delivered(job, recepcion.id, &answer).await,
            Ok(answer) => (format!("El cargo no fue aceptado: {}", in_words(&answer)), None),
            Err(error) => (format!("El cargo no pudo entregarse: {error}"), error.retry_after),
        };
        let note = motivo.clone();
        self.change_recepcion(recepcion.id, |mut recepcion| {
            let now = self.now();
            recepcion.cargo_no_entregado(note.clone(), now);
            let tipo = events::RECEPCION_CARGO_SIN_RESPUESTA;
            let fact = events::recepcion(&recepcion, tipo, &Actor::chasqui(), now, Some(note.clone()));
            let records = vec![Record::Recepcion(Box::new(recepcion))];
            Ok(((), Some(Change { facts: vec![fact], records, ..Change::default() })))
        })
        .await
        .or_else(only_store)?;
        Ok(Step::Again { motivo, wait })
    }

    async fn cargo_delivered(&self, job: &Job, id: Id, answer: &Respuesta) -> Result<Step, StoreError> {
        self.change_recepcion(id, |mut recepcion| {
            let now = self.now();
            recepcion.cargo_entregado(now);
            let detalle = answer.descripcion.clone();
            let fact = events::recepcion(&recepcion, events::RECEPCION_CARGO_ENVIADO, &Actor::chasqui(), now, detalle);
            let records = vec![Record::Recepcion(Box::new(recepcion))];
            Ok(((), Some(Change { facts: vec![fact], records, jobs_done: vec![job.id], ..Change::default() })))
        })
        .await
        .or_else(only_store)?;
        Ok(Step::Done)
    }
}

fn estado(answer: &RespuestaConsulta) -> &str {
    answer.cargo.estado.as_deref().unwrap_or_default()
}

/// Of a use case's errors, a job stops only for the store's.
fn only_store(error: super::ExchangeError) -> Result<(), StoreError> {
    match error {
        super::ExchangeError::Store(error) => Err(error),
        _ => Ok(()),
    }
}

/// Reads a send's answer as CONTRACT §7 says: only 0000 and 0003 are clear.
fn read_end(answer: Result<Respuesta, PlatformError>) -> Fin {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.alcance == Alcance::NoSalio => return Fin::NoSalio(error),
        Err(error) => return Fin::Incierto(error.detalle),
    };
    match answer.codigo() {
        "0000" => Fin::Aceptado,
        "0003" if is_cuo_no_valido(answer.descripcion()) => Fin::CuoNoValido(in_words(&answer)),
        "0003" => Fin::Rechazado(in_words(&answer)),
        _ => Fin::Incierto(in_words(&answer)),
    }
}

/// The one refusal that a new CUO cures, told by its text (CONTRACT §7).
fn is_cuo_no_valido(text: &str) -> bool {
    let text = text.to_lowercase().replace('á', "a");
    text.starts_with("cuo no valido")
}

/// A delivered cargo is accepted by 0000, or because it is there already, whatever the code (CONTRACT §7).
fn cargo_accepted(answer: &Respuesta) -> bool {
    answer.codigo() == "0000" || answer.descripcion().to_lowercase().contains("ya se encuentra registrado")
}

/// An answer in words: the other side's own, with its code.
fn in_words(answer: &Respuesta) -> String {
    match (answer.codigo(), answer.descripcion()) {
        ("", "") => "la respuesta llegó vacía, sin código ni descripción".into(),
        ("", text) => format!("la respuesta no trae código; dice «{text}»"),
        (code, "") => format!("código {code}, sin descripción"),
        (code, text) => format!("{text} (código {code})"),
    }
}

fn cargo_tramite(r: &Recepcion) -> CargoTramite {
    let cargo = r.cargo.as_ref();
    let text = |field: fn(&crate::domain::Cargo) -> &Option<String>| cargo.and_then(|c| field(c).clone());
    CargoTramite {
        ruc_emisor: Some(r.entidad.to_string()),
        ruc_destino: Some(r.remitente.ruc.to_string()),
        cuo: Some(r.cuo.to_string()),
        cuo_referencia: r.cuo_referencia.clone(),
        numero_registro: text(|c| &c.numero_registro),
        anio_registro: text(|c| &c.anio_registro),
        fecha_registro: cargo.and_then(|c| c.fecha_registro).map(lima::texto),
        unidad: text(|c| &c.unidad),
        usuario: text(|c| &c.usuario),
        contenido: Contenido::Pdf { una_vez: false },
        observacion: text(|c| &c.observacion),
        estado: cargo.map(|c| c.desenlace.letra().into()),
        anexos: None,
    }
}
