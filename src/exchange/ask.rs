//! Asking the receiver: whether a send of unknown end arrived, and for the cargo that has not come.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Actor, Exchange, PlatformError, RACES_MAX, Sobres,
    dispatch::job,
    events,
    health::Circuito,
    retry::later,
    sobres::attach,
    step::{Step, in_words},
};
use crate::{
    domain::{
        Consulta, Contenido, Desenlace, Despacho, EstadoDespacho, Falla, cargo::RespuestaConsulta, despacho::Suceso,
        lima, respuestas::Operacion,
    },
    store::{CommitError, Job, JobKind, Staged, StoreError},
};

/// What a consulta told.
pub(super) struct Consultado {
    pub answer: RespuestaConsulta,
    /// The cargo that came with it.
    pub pdf: Option<Staged>,
    /// Its messages, where it found something.
    pub said: Option<Staged>,
}

/// How much earlier than its document a registration may be dated.
const DATE_SLACK: Duration = Duration::from_secs(24 * 3600);

/// Before it nobody registered anything over the platform.
const YEAR_MIN: i16 = 2000;

impl Exchange {
    /// Asks the receiver about a send whose end is not known. `None`: it surely did not arrive, send again.
    pub(super) async fn ask(&self, job: &Job, despacho: Despacho) -> Result<Option<Step>, StoreError> {
        let ready = self.may_ask_at(&despacho);
        if self.now() < ready {
            let settings = self.settings();
            let policy = &settings.retry;
            let mut wait = Duration::try_from(ready.duration_since(self.now())).unwrap_or_default();
            if wait > policy.attempt.saturating_add(policy.ask_after) {
                // The record's times lie ahead: the clock was set back. The wait begins anew, and on record.
                let motivo = "el reloj de esta máquina se atrasó; no se sabe si llegó".to_owned();
                self.note(&despacho, Suceso::FinIncierto { motivo }, events::DESPACHO_POR_CONFIRMAR).await?;
                wait = policy.ask_after;
            }
            let motivo = "el envío no tuvo un fin claro; se consultará si llegó";
            return Ok(Some(Step::again(Falla::EnvioInterrumpido, motivo, Some(wait))));
        }
        let despacho = match despacho.estado {
            EstadoDespacho::Enviando => match self.interrupted(despacho).await? {
                Some(despacho) => despacho,
                None => return Ok(None),
            },
            _ => despacho,
        };
        let probe = self.health.in_doubt(&despacho.destino);
        let (falla, motivo, asked) = match self.consulta(&despacho).await {
            Ok(Consultado { answer, pdf, said }) => match answer.respuesta.codigo() {
                "0000" => return self.found(job, &despacho, Consultado { answer, pdf, said }).await.map(Some),
                "0001" => {
                    let motivo = "la entidad receptora respondió que no lo tiene".to_owned();
                    self.note(&despacho, Suceso::NoLlego { motivo }, events::DESPACHO_NO_LLEGO).await?;
                    // What probed a destination that works again goes out in order of arrival, like all that waited.
                    return Ok(probe.then_some(Step::InLine));
                }
                _ => {
                    let motivo = format!("La consulta no aclaró si llegó: {}", in_words(&answer.respuesta));
                    let falla = self.entendida(Operacion::Consultar, &despacho.destino, &answer.respuesta);
                    (falla, motivo, None)
                }
            },
            Err(error) => (error.falla, format!("La consulta no tuvo respuesta: {error}"), error.retry_after),
        };
        let suceso = Suceso::SinRespuesta { motivo: motivo.clone() };
        self.note(&despacho, suceso, events::DESPACHO_SIN_RESPUESTA).await?;
        Ok(Some(Step::asked(falla, motivo, asked)))
    }

    /// A send that nobody is making any more ended unclearly: a person may decide about it from now on. `None`: the record
    /// went further meanwhile.
    async fn interrupted(&self, despacho: Despacho) -> Result<Option<Despacho>, StoreError> {
        let motivo = "el envío se interrumpió; no se sabe si llegó".to_owned();
        self.note(&despacho, Suceso::FinIncierto { motivo }, events::DESPACHO_POR_CONFIRMAR).await?;
        Ok(self.store.despacho(despacho.id).await?.filter(|now_is| now_is.estado == EstadoDespacho::PorConfirmar))
    }

    /// When "not found" begins to prove something: a delivery that is still under way must have had the time to end. A send
    /// of this process may last as long as an attempt; one begun before it started ended with its process.
    pub(super) fn may_ask_at(&self, despacho: &Despacho) -> Timestamp {
        let settings = self.settings();
        let policy = &settings.retry;
        let begun = despacho.envio_iniciado_en.unwrap_or(despacho.actualizado_en);
        let ended = match (despacho.estado, despacho.envio_incierto_en) {
            (EstadoDespacho::PorConfirmar, ended) => ended.unwrap_or(begun),
            _ if begun < self.started => self.started,
            _ => later(begun, policy.attempt),
        };
        later(ended, policy.ask_after)
    }

    /// Whether the receiver of what failed can be asked now, and its answer would prove something: not while it does not
    /// respond, nor while what had no clear end may still be under way.
    pub fn may_ask(&self, despacho: &Despacho) -> bool {
        let now = self.now();
        let salud = self.health.salud(&despacho.destino, now);
        let open = salud.is_some_and(|salud| salud.circuito == Circuito::Abierto);
        let unclear = !despacho.cuos_inciertos.is_empty() || despacho.envio_incierto_en.is_some();
        !open && self.health.pausa_de_pide(now).is_none() && (!unclear || now >= self.may_ask_at(despacho))
    }

    pub(super) async fn consulta(&self, despacho: &Despacho) -> Result<Consultado, PlatformError> {
        let consulta = Consulta {
            ruc_remitente: Some(despacho.entidad.to_string()),
            ruc_receptor: Some(despacho.destino.to_string()),
            cuo: despacho.cuo.as_ref().map(ToString::to_string),
        };
        let mut sink = self.stage();
        let clear = |a: &RespuestaConsulta| matches!(a.respuesta.codigo(), "0000" | "0001");
        let toward = (&despacho.destino, despacho.id);
        let mut sobres = Sobres::default();
        let answer = self.call(toward, clear, self.platform.consultar(&consulta, &mut sink, &mut sobres)).await?;
        if let Some(error) = self.of_another(despacho, &answer).await {
            return Err(error);
        }
        // A cargo that could not be kept is asked for again; the outcome without it would end the asking.
        let unkept = |error: StoreError| {
            PlatformError::new(Falla::Almacen, format!("El cargo que trae la respuesta no se pudo guardar: {error}"))
        };
        let pdf = match answer.cargo.contenido {
            Contenido::Pdf { .. } => Some(sink.finish().await.map_err(unkept)?),
            _ => None,
        };
        // Only what is found changes anything.
        let said = match answer.respuesta.codigo() {
            "0000" => {
                let came = pdf.as_ref().map(|pdf| &pdf.sha256);
                self.dicho(Operacion::Consultar, sobres, (None, came)).await.map_err(unkept)?
            }
            _ => None,
        };
        Ok(Consultado { answer, pdf, said })
    }

    /// A consulta found it at the receiver: it was sent, and perhaps answered already.
    pub(super) async fn found(
        &self,
        job: &Job,
        despacho: &Despacho,
        consultado: Consultado,
    ) -> Result<Step, StoreError> {
        self.take_answer(despacho, consultado).await?;
        self.finished(job).await
    }

    /// Takes what a consulta that found the document tells. If the record went further meanwhile, nothing is to be learnt.
    pub(super) async fn take_answer(
        &self,
        despacho: &Despacho,
        Consultado { answer, pdf, said }: Consultado,
    ) -> Result<(), StoreError> {
        let nombre = despacho.cuo.as_ref().map(|cuo| format!("cargo-{cuo}.pdf")).unwrap_or_default();
        let documento = match &pdf {
            Some(staged) => Some(self.examinado(nombre, staged, None).await),
            None => None,
        };
        let Some(cargo) = answer.cargo.cargo(documento) else {
            let detalle = Some("una consulta confirmó que llegó".to_owned());
            return self.conclude(despacho.id, Suceso::Aceptado, events::DESPACHO_ENVIADO, detalle, said).await;
        };
        for _ in 0..RACES_MAX {
            let Some(mut now_is) = self.store.despacho(despacho.id).await? else { break };
            if now_is.aplicar(Suceso::Respondido { cargo: cargo.clone() }, self.now()).is_err() {
                break;
            }
            let mut change = self.respondido(now_is, &Actor::chasqui(), pdf.clone()).await?;
            attach(&mut change, said.clone());
            match self.store.commit(change).await {
                Ok(_) => break,
                Err(CommitError::Store(error)) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Asks for the cargo of a document that was sent and is not answered.
    pub(super) async fn step_preguntar(&self, job: &Job) -> Result<Step, StoreError> {
        let Some(despacho) = self.store.despacho(job.sujeto).await? else { return self.finished(job).await };
        let without_pdf = despacho.cargo.as_ref().is_some_and(|cargo| cargo.documento.is_none());
        if despacho.estado != EstadoDespacho::Enviado && !without_pdf {
            return self.finished(job).await;
        }
        let wait = Some(self.settings().retry.ask_cargo(job.intentos + 1));
        let (falla, motivo) = match self.consulta(&despacho).await {
            Ok(found) if found.answer.respuesta.codigo() == "0000" => {
                match Desenlace::de_letra(estado(&found.answer)) {
                    Some(_) if found.pdf.is_some() => return self.found(job, &despacho, found).await,
                    Some(_) => {
                        self.take_answer(&despacho, found).await?;
                        (
                            Falla::SinCargo,
                            "la entidad receptora dice el resultado y no entrega el PDF del cargo".to_owned(),
                        )
                    }
                    None => (Falla::SinCargo, "la entidad receptora lo tiene y aún no lo atiende".to_owned()),
                }
            }
            Ok(Consultado { answer, .. }) if answer.respuesta.codigo() == "0001" => self.denied(job, &despacho).await?,
            Ok(Consultado { answer, .. }) => {
                let motivo = format!("La consulta por el cargo no dio resultado: {}", in_words(&answer.respuesta));
                (self.entendida(Operacion::Consultar, &despacho.destino, &answer.respuesta), motivo)
            }
            Err(error) => (error.falla, format!("La consulta por el cargo no tuvo respuesta: {error}")),
        };
        Ok(Step::again(falla, motivo, wait))
    }

    /// The receiver says that it does not have what it accepted. Once may be a slip; people are told when it says so again.
    /// Nothing is sent by itself: it did accept, and may hold what its consulta does not find.
    async fn denied(&self, job: &Job, despacho: &Despacho) -> Result<(Falla, String), StoreError> {
        if job.falla == Some(Falla::NegadoTrasAceptar) {
            let detalle = format!(
                "La entidad {} aceptó este documento y dice una y otra vez que no lo tiene. No se envía otra vez solo: llame a su \
                 mesa de partes; si de verdad no lo tienen, registre un despacho nuevo",
                despacho.destino
            );
            self.alert_once(despacho, &Actor::chasqui(), detalle).await?;
        }
        let motivo = "la entidad receptora respondió que no lo tiene, y lo había aceptado".to_owned();
        Ok((Falla::NegadoTrasAceptar, motivo))
    }

    /// A receiver cannot have registered a document days before it was handed over here: with such a date it speaks of another
    /// one under the same CUO (the platform has given one twice, and test CUOs are short), or its clock is wrong. Neither its
    /// outcome nor its cargo is believed, nor that ours arrived; it is asked again, and people are told once. What it
    /// delivers by itself as a cargo is judged by the CUO alone, as ever. A day is left to clocks and to dates without a time.
    async fn of_another(&self, despacho: &Despacho, answer: &RespuestaConsulta) -> Option<PlatformError> {
        let stated = answer.cargo.fecha_registro.as_deref().and_then(lima::leer)?;
        // No date at all, as programs write it that must write one: the year 1, 1753, 1900, 1970.
        let none = lima::en_lima(stated).year() < YEAR_MIN;
        if none || answer.respuesta.codigo() != "0000" || later(stated, DATE_SLACK) >= despacho.creado_en {
            return None;
        }
        let detalle = format!(
            "La entidad {} dice haber registrado el {} lo que tiene con el CUO de este documento, que es del {}: habla de otro \
             documento y no se toma por respuesta",
            despacho.destino,
            lima::en_lima(stated).strftime("%d/%m/%Y %H:%M"),
            lima::en_lima(despacho.creado_en).strftime("%d/%m/%Y %H:%M"),
        );
        if let Err(error) = self.alert_once(despacho, &Actor::chasqui(), detalle.clone()).await {
            tracing::error!(%error, "an alert could not be recorded");
        }
        Some(PlatformError::new(Falla::RespuestaAjena, detalle))
    }

    /// The job that asks for the cargo of what was just accepted, in case the cargo never comes by itself.
    pub(super) fn ask_for_cargo(&self, d: &Despacho) -> Job {
        let now = self.now();
        let first = later(now, self.settings().retry.ask_cargo(0));
        Job { proximo_en: first, ..job(JobKind::PreguntarCargo, d.id, &d.entidad, &d.destino, now) }
    }
}

fn estado(answer: &RespuestaConsulta) -> &str {
    answer.cargo.estado.as_deref().unwrap_or_default()
}
