//! The platform itself: judges what senders send with the specification's sentences, hands it to the receiver (a
//! registered service over SOAP, or a built-in counterpart) and gives the receiver's answer back. Stores nothing.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    counterpart::{CargoPorEntregar, Comportamiento, Counterparts, Recepcionado},
    faults::Faults,
    identity::Authority,
    ledger::Ledger,
    log::{Log, Mensaje},
    registry::{Destino, Registrada, Registry},
    request::Asked,
    spool::{self, Spool},
    traffic::{self, Lado, Llamada, Traffic},
};
use crate::{
    contract::{Operation, tramite},
    domain::{
        CargoTramite, Consulta, Contenido, Ruc, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::{TipoDocumento, tipos_documento_conocidos},
        validation::{self, Contexto, textos},
    },
    exchange::Clock,
    platform::SoapClient,
    soap::{AnswerError, DocumentSource, Limits, capture::Sobre},
    store::{BlobReader, Staged, StoreError},
};

/// Cargos of counterparts that wait to be delivered; more than these are only to be had by asking.
const CARGOS_PENDIENTES_MAX: usize = 2_000;
/// How often a counterpart tries to deliver a cargo, and the first wait between two tries, which doubles.
const INTENTOS_MAX: u32 = 6;
const ENTRE_INTENTOS: Duration = Duration::from_secs(1);

/// All that the simulated platform is; its services share it.
pub struct Core {
    pub registry: Registry,
    pub counterparts: Counterparts,
    /// With which the counterparts sign.
    pub authority: Arc<Authority>,
    pub faults: Faults,
    pub log: Log,
    pub traffic: Traffic,
    /// Ends the regular sending of counterparts when another script comes.
    pub rounds: Mutex<CancellationToken>,
    pub ledger: Ledger,
    pub spool: Spool,
    pub client: SoapClient,
    pub clock: Arc<dyn Clock>,
    /// How long the counterparts take to answer.
    pub demora_cargo: Duration,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

/// A consulta's answer with its cargo's PDF.
pub struct Consultada {
    pub respuesta: RespuestaConsulta,
    pub documento: Option<Staged>,
}

impl Consultada {
    fn sin_documento(respuesta: Respuesta) -> Self {
        Self { respuesta: RespuestaConsulta { respuesta, ..RespuestaConsulta::default() }, documento: None }
    }
}

/// The platform's catalogue of document types.
pub fn tipos_documento() -> Vec<TipoDocumento> {
    tipos_documento_conocidos()
}

impl Core {
    /// `recepcionarTramiteResponse`.
    pub async fn recepcionar(self: &Arc<Self>, t: &Tramite, documento: Option<&Staged>, now: Timestamp) -> Respuesta {
        let began = Instant::now();
        let respuesta = self.try_recepcionar(t, documento, now).await.unwrap_or_else(|refusal| refusal);
        let parties = [&t.ruc_remitente, &t.ruc_receptor];
        self.note(Operation::Recepcionar, &t.cuo, parties, &respuesta, documento, began);
        respuesta
    }

    async fn try_recepcionar(
        self: &Arc<Self>,
        t: &Tramite,
        documento: Option<&Staged>,
        now: Timestamp,
    ) -> Result<Respuesta, Respuesta> {
        let receptora = self.registry.find(t.ruc_receptor.as_deref());
        let tipos: Vec<String> = tipos_documento().into_iter().map(|t| t.codigo).collect();
        let contexto = Contexto {
            tipos_documento: &tipos,
            remitente_registrada: Some(self.registry.find(t.ruc_remitente.as_deref()).is_some()),
            receptora_registrada: Some(receptora.is_some()),
            ..Contexto::nuevo(now)
        };
        if let Some(defecto) = validation::tramite(t, &contexto).first() {
            return Err(refused(defecto.texto));
        }
        let (Some(receptora), Some(documento)) = (receptora, documento) else {
            return Err(refused(textos::DOCUMENTO[0]));
        };
        match &receptora.destino {
            Destino::Servicio(url) => {
                let outgoing = tramite::recepcionar(t, Some(documento.bytes));
                let ends = [&t.ruc_remitente, &t.cuo];
                self.deliver(url, outgoing, documento, Operation::Recepcionar, &receptora, ends).await
            }
            Destino::Contraparte(quien) if quien.responde != Comportamiento::Caida => {
                let facts = Recepcionado { sha256: &documento.sha256, bytes: documento.bytes };
                let (respuesta, cargo) = self.counterparts.recibir(quien, t, &facts, now);
                if let Some(cargo) = cargo {
                    self.deliver_later(cargo, quien.demora.unwrap_or(self.demora_cargo));
                }
                Ok(respuesta)
            }
            Destino::Contraparte(_) | Destino::Ninguno => Err(unreachable(&receptora)),
        }
    }

    /// `cargoResponse`: here `vrucentrem` issues the cargo and `vrucentrec` sent the document (CONTRACT §4).
    pub async fn cargo(&self, c: &CargoTramite, documento: Option<&Staged>) -> Respuesta {
        let began = Instant::now();
        let respuesta = self.try_cargo(c, documento).await.unwrap_or_else(|refusal| refusal);
        self.note(Operation::Cargo, &c.cuo, [&c.ruc_emisor, &c.ruc_destino], &respuesta, documento, began);
        respuesta
    }

    async fn try_cargo(&self, c: &CargoTramite, documento: Option<&Staged>) -> Result<Respuesta, Respuesta> {
        self.registered(&c.ruc_emisor, textos::RUC_REMITENTE)?;
        let destino = self.registered(&c.ruc_destino, textos::RUC_RECEPTOR)?;
        if let Some(defecto) = validation::cargo(c).first() {
            return Err(refused(defecto.texto));
        }
        let Some(documento) = documento else { return Err(refused(textos::CARGO[0])) };
        match &destino.destino {
            Destino::Servicio(url) => {
                let outgoing = tramite::cargo(c, Some(documento.bytes));
                let ends = [&c.ruc_emisor, &c.cuo];
                self.deliver(url, outgoing, documento, Operation::Cargo, &destino, ends).await
            }
            Destino::Contraparte(quien) if quien.responde != Comportamiento::Caida => {
                Ok(self.counterparts.recibir_cargo(quien, c, Some(&documento.sha256)))
            }
            Destino::Contraparte(_) | Destino::Ninguno => Err(unreachable(&destino)),
        }
    }

    /// `consultarTramiteResponse`.
    pub async fn consultar(&self, c: &Consulta) -> Consultada {
        let began = Instant::now();
        let answered = self.try_consultar(c).await.unwrap_or_else(Consultada::sin_documento);
        let (parties, said) = ([&c.ruc_remitente, &c.ruc_receptor], &answered.respuesta.respuesta);
        self.note(Operation::Consultar, &c.cuo, parties, said, answered.documento.as_ref(), began);
        answered
    }

    async fn try_consultar(&self, c: &Consulta) -> Result<Consultada, Respuesta> {
        let receptora = self.registered(&c.ruc_receptor, textos::RUC_RECEPTOR)?;
        let Some(cuo) = c.cuo.as_deref().map(str::trim).filter(|cuo| !cuo.is_empty()) else {
            return Err(refused(textos::CUO_FALTA));
        };
        match &receptora.destino {
            Destino::Servicio(url) => self.ask(url, cuo, &receptora, &c.ruc_remitente).await,
            Destino::Contraparte(quien) if quien.responde != Comportamiento::Caida => {
                match self.counterparts.consultar(quien, Some(cuo)) {
                    None => Err(Respuesta::nueva("0001", "DATOS NO ENCONTRADOS")),
                    Some(cargo) => self.known(cuo, cargo).await,
                }
            }
            Destino::Contraparte(_) | Destino::Ninguno => Err(unreachable(&receptora)),
        }
    }

    /// What a counterpart says of a document it has.
    async fn known(&self, cuo: &str, cargo: Option<CargoPorEntregar>) -> Result<Consultada, Respuesta> {
        let respuesta = Respuesta::nueva("0000", "DATOS ENCONTRADOS");
        let Some(CargoPorEntregar { cargo, pdf }) = cargo else {
            let cargo = CargoTramite { cuo: Some(cuo.into()), estado: Some("P".into()), ..CargoTramite::default() };
            return Ok(Consultada { respuesta: RespuestaConsulta { respuesta, cargo }, documento: None });
        };
        let documento = self.spool.keep(&pdf).await.map_err(|error| our_fault(&error))?;
        Ok(Consultada { respuesta: RespuestaConsulta { respuesta, cargo }, documento: Some(documento) })
    }

    fn registered(
        &self,
        ruc: &Option<String>,
        [falta, longitud, desconocida]: [&'static str; 3],
    ) -> Result<Registrada, Respuesta> {
        let text = ruc.as_deref().map_or("", str::trim);
        if text.is_empty() {
            return Err(refused(falta));
        }
        if Ruc::de_contraparte(text).is_err() {
            return Err(refused(longitud));
        }
        self.registry.find(Some(text)).ok_or_else(|| refused(desconocida))
    }

    /// Hands a document or a cargo to a registered service.
    async fn deliver(
        &self,
        url: &reqwest::Url,
        outgoing: crate::contract::Outgoing,
        documento: &Staged,
        operation: Operation,
        to: &Registrada,
        [de, cuo]: [&Option<String>; 2],
    ) -> Result<Respuesta, Respuesta> {
        let reader = spool::open(documento).await.map_err(|error| our_fault(&error))?;
        let name = match operation {
            Operation::Recepcionar => "recepcionar",
            Operation::Cargo => "cargo",
            Operation::Consultar => "consultar",
        };
        let mut seen = self.handed(name, de, to, cuo.as_deref());
        seen.pedido = Some(traffic::text(&Sobre::from(&outgoing.message), Some(documento)));
        let (began, mut heard) = (Instant::now(), None);
        let said = async {
            let answer = self.client.send(url, outgoing, Some(boxed(reader))).await?;
            let read = answer.hear(&mut heard, async |body, charset| {
                match tramite::read_respuesta(body, charset, operation).await {
                    Err(AnswerError::Null) => Ok(Respuesta::default()),
                    other => other,
                }
            });
            read.await
        };
        let said = said.await;
        seen.codigo = said.as_ref().ok().and_then(|said| said.codigo.clone());
        seen.respuesta = heard.map(|heard| traffic::text(&heard, None));
        self.note_call(seen, began);
        said.map_err(|error| no_answer(to, &error))
    }

    /// A call to a registered service, as far as it is known beforehand.
    fn handed(&self, operacion: &'static str, de: &Option<String>, to: &Registrada, cuo: Option<&str>) -> Llamada {
        Llamada {
            n: 0,
            fecha: self.clock.now(),
            lado: Lado::Salida,
            operacion,
            de: de.as_deref().map(str::trim).unwrap_or_default().to_owned(),
            a: to.entidad.ruc.to_string(),
            cuo: cuo.map(str::trim).unwrap_or_default().to_owned(),
            codigo: None,
            fallas: Vec::new(),
            milisegundos: 0,
            pedido: None,
            respuesta: None,
        }
    }

    fn note_call(&self, mut seen: Llamada, began: Instant) {
        seen.milisegundos = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.traffic.add(seen);
    }

    /// Asks a registered service; the cargo in its answer goes through the spool.
    async fn ask(
        &self,
        url: &reqwest::Url,
        cuo: &str,
        to: &Registrada,
        de: &Option<String>,
    ) -> Result<Consultada, Respuesta> {
        let outgoing = tramite::consultar(cuo);
        let mut seen = self.handed("consultar", de, to, Some(cuo));
        seen.pedido = Some(traffic::text(&Sobre::from(&outgoing.message), None));
        let (began, mut heard) = (Instant::now(), None);
        let (limits, mut sink) = (Limits::with_document(self.spool.document_bytes_max()), self.spool.writer());
        let said = async {
            let answer = self.client.send(url, outgoing, None).await?;
            let read = answer.hear(&mut heard, async |body, charset| {
                match tramite::read_respuesta_consulta(body, charset, limits, &mut sink).await {
                    Err(AnswerError::Null) => Ok(RespuestaConsulta::default()),
                    other => other,
                }
            });
            read.await
        };
        let said = said.await;
        let documento = match said.as_ref().map(|said| said.cargo.contenido) {
            Ok(Contenido::Pdf { .. }) => Some(sink.finish().await.map_err(|error| our_fault(&error))?),
            _ => None,
        };
        seen.codigo = said.as_ref().ok().and_then(|said| said.respuesta.codigo.clone());
        seen.respuesta = heard.map(|heard| traffic::text(&heard, documento.as_ref()));
        self.note_call(seen, began);
        let respuesta = said.map_err(|error| no_answer(to, &error))?;
        Ok(Consultada { respuesta, documento })
    }

    /// A counterpart's cargo goes out after a while, and again if it is not accepted.
    pub fn deliver_later(self: &Arc<Self>, cargo: CargoPorEntregar, after: Duration) {
        if self.tasks.len() >= CARGOS_PENDIENTES_MAX {
            tracing::warn!("too many cargos of counterparts are waiting; this one is only to be had by asking");
            return;
        }
        let core = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut wait = after;
            for attempt in 0..INTENTOS_MAX {
                tokio::select! {
                    () = core.stop.cancelled() => return,
                    () = sleep(wait) => {}
                }
                let Ok(documento) = core.spool.keep(&cargo.pdf).await else { return };
                let (said, plan) = core.attend(Asked::Cargo(Box::new(cargo.cargo.clone()), Some(documento))).await;
                let accepted = said.respuesta().is_some_and(|r| matches!(r.codigo(), "0000" | "0002"));
                if accepted && plan.answers() {
                    return;
                }
                wait = ENTRE_INTENTOS * 2u32.pow(attempt);
            }
        });
    }

    fn note(
        &self,
        operation: Operation,
        cuo: &Option<String>,
        [de, a]: [&Option<String>; 2],
        respuesta: &Respuesta,
        documento: Option<&Staged>,
        began: Instant,
    ) {
        let text = |field: &Option<String>| field.as_deref().map(str::trim).unwrap_or_default().to_owned();
        self.log.add(Mensaje {
            fecha: self.clock.now(),
            operacion: operation.name(),
            cuo: text(cuo),
            de: text(de),
            a: text(a),
            vcodres: respuesta.codigo.clone(),
            vdesres: respuesta.descripcion.clone(),
            sha256: documento.map(|d| d.sha256.to_string()),
            bytes: documento.map(|d| d.bytes),
            milisegundos: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

pub fn boxed(reader: BlobReader) -> Box<dyn DocumentSource> {
    Box::new(reader)
}

fn refused(text: &str) -> Respuesta {
    Respuesta::nueva("0003", text)
}

fn unreachable(to: &Registrada) -> Respuesta {
    let text = format!("No se pudo establecer comunicación con la entidad {}", to.entidad.nombre);
    Respuesta::nueva("-1", text)
}

fn no_answer(to: &Registrada, error: &crate::exchange::PlatformError) -> Respuesta {
    Respuesta::nueva("-1", format!("{}: {}", unreachable(to).descripcion(), error.detalle))
}

/// The simulator's own failure.
pub fn our_fault(error: &StoreError) -> Respuesta {
    tracing::error!(%error, "the simulator could not spool a document");
    Respuesta::nueva("-1", "El simulador no pudo guardar el documento temporalmente")
}
