//! Exchanges of an earlier system come over as they stood there, so that consultas, cargos and repeated arrivals of before find
//! them. Each goes to where it was by the transitions that any other takes, at the times that are on record there, and is
//! committed with one fact that says where it comes from. What is known here already stays as it is.

use jiff::Timestamp;

use super::{
    Actor, Exchange, ExchangeError, RACES_MAX,
    acknowledge::cargo_job,
    dispatch::{Draft, NuevoDespacho},
    events,
};
use crate::{
    domain::{
        CargoTramite, Cuo, Despacho, Documento, EstadoDespacho, Recepcion, Ruc, Tramite, cargo::Cargo, despacho::Suceso,
    },
    store::{Change, CommitError, Record, Staged, UniqueKey},
};

/// A document that was sent before.
#[derive(Debug, Clone)]
pub struct DespachoAnterior {
    /// As it was stated; its destination is the one below.
    pub nuevo: NuevoDespacho,
    pub destino: Ruc,
    pub cuo: Cuo,
    pub creado_en: Timestamp,
    pub enviado_en: Timestamp,
    pub fin: FinAnterior,
    /// `None`: the other system has it no more.
    pub documento: Option<Staged>,
}

/// How far it came.
#[derive(Debug, Clone)]
pub enum FinAnterior {
    /// It was tried, and that it arrived is not known: whoever sends it again asks first.
    Incierto {
        motivo: String,
    },
    Enviado,
    Respondido {
        respuesta: Box<RespuestaAnterior>,
        subsanado: bool,
    },
}

/// A cargo of before, theirs or ours.
#[derive(Debug, Clone)]
pub struct RespuestaAnterior {
    pub cargo: CargoTramite,
    pub pdf: Option<Staged>,
    pub en: Timestamp,
}

/// A document that arrived before.
#[derive(Debug, Clone)]
pub struct RecepcionAnterior {
    pub tramite: Tramite,
    pub remitente: Ruc,
    pub cuo: Cuo,
    pub recibido_en: Timestamp,
    /// Number and year under which it was filed, if it was not answered yet.
    pub registro: Option<(String, String)>,
    pub respuesta: Option<RespuestaAnterior>,
    /// When the sender's side accepted the cargo; `None`: it is delivered from here.
    pub entregado_en: Option<Timestamp>,
    /// `None`: the other system has it no more.
    pub documento: Option<Staged>,
}

impl Exchange {
    /// Takes over a despacho. `actor` is known again by whoever looks after the first fact; `origen` says where it comes from.
    pub async fn importar_despacho(
        &self,
        actor: &Actor,
        entidad: &Ruc,
        anterior: &DespachoAnterior,
        origen: &str,
    ) -> Result<Despacho, ExchangeError> {
        let propia = self.propia(entidad).ok_or_else(|| ExchangeError::EntidadAjena(entidad.clone()))?;
        let now = self.now();
        let created = anterior.creado_en.min(now);
        let draft = Draft { propia: &propia, nuevo: &anterior.nuevo, now: created, base: None };
        let (documento, mut documents) = self.anterior(draft.nombre(), anterior.documento.as_ref()).await?;
        let referencia = anterior.nuevo.referencia.as_deref().and_then(|text| Cuo::parse(text).ok());
        let destino = anterior.destino.clone();
        let mut despacho = draft.despacho(self.id(created), destino, documento, referencia);
        for (suceso, at) in sucesos(anterior, created, now) {
            despacho.aplicar(suceso, at).map_err(|error| ExchangeError::Estado(error.to_string()))?;
        }
        despacho.version = 1;
        if let FinAnterior::Respondido { respuesta, .. } = &anterior.fin {
            documents.extend(respuesta.pdf.clone());
        }
        for _ in 0..RACES_MAX {
            let detalle = Some(origen.to_owned());
            let mut change = Change {
                facts: vec![events::despacho(&despacho, events::DESPACHO_IMPORTADO, actor, now, detalle)],
                documents: documents.clone(),
                ..Change::default()
            };
            if despacho.estado == EstadoDespacho::Enviado {
                change.jobs.push(self.ask_for_cargo(&despacho));
            }
            // That its correction was accepted closes the observed one, as ever.
            if despacho.estado != EstadoDespacho::Fallido {
                self.close_corrected(&despacho, actor, &mut change).await?;
            }
            change.records.push(Record::Despacho(Box::new(despacho.clone())));
            match self.store.commit(change).await {
                Ok(_) => return Ok(despacho),
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Exists { key: UniqueKey::NumeroRegistro { .. }, id }) => {
                    return Err(ExchangeError::Duplicado { id });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(despacho.id).into())
    }

    /// Takes over a received document. One that was answered and whose cargo the sender does not have is delivered from here.
    pub async fn importar_recepcion(
        &self,
        actor: &Actor,
        entidad: &Ruc,
        anterior: &RecepcionAnterior,
        origen: &str,
    ) -> Result<Recepcion, ExchangeError> {
        let propia = self.propia(entidad).ok_or_else(|| ExchangeError::EntidadAjena(entidad.clone()))?;
        let (now, t) = (self.now(), &anterior.tramite);
        let at = anterior.recibido_en.min(now);
        let nombre = t.nombre_documento.clone().unwrap_or_default();
        let (documento, mut documents) = self.anterior(nombre, anterior.documento.as_ref()).await?;
        let (remitente, cuo) = (anterior.remitente.clone(), anterior.cuo.clone());
        // Its texts are not on record as they were stated: a repeated delivery is known by its PDF.
        let huella = documento.sha256.clone();
        let mut recepcion = self.nueva_recepcion(t, &propia, remitente, cuo, documento, huella, &[], at);
        let mut jobs = Vec::new();
        match (&anterior.respuesta, &anterior.registro) {
            (Some(respuesta), _) => {
                documents.extend(respuesta.pdf.clone());
                let answered = respuesta.en.clamp(at, now);
                let Some(cargo) = stated(respuesta, &anterior.cuo) else { return Err(ExchangeError::NoExiste) };
                recepcion.responder(cargo, answered)?;
                match anterior.entregado_en {
                    Some(delivered) => recepcion.cargo_entregado(delivered.clamp(answered, now)),
                    None => jobs.push(cargo_job(&recepcion, now)),
                }
            }
            (None, Some((numero, anio))) => recepcion.registrar(numero, anio, at)?,
            (None, None) => {}
        }
        recepcion.version = 1;
        let fact = events::recepcion(&recepcion, events::RECEPCION_IMPORTADA, actor, now, Some(origen.to_owned()));
        let records = vec![Record::Recepcion(Box::new(recepcion.clone()))];
        let change = Change { facts: vec![fact], records, jobs, documents, ..Change::default() };
        self.store.commit(change).await?;
        Ok(recepcion)
    }

    /// A document of before as a record names it. Where the other system has it no more, it has no bytes.
    async fn anterior(
        &self,
        nombre: String,
        staged: Option<&Staged>,
    ) -> Result<(Documento, Vec<Staged>), ExchangeError> {
        let staged = match staged {
            Some(staged) => staged.clone(),
            None => self.stage().finish().await?,
        };
        // How its signatures stood when it came is not known any more: today's judgement would pass for that.
        let documento = Documento { nombre, bytes: staged.bytes, sha256: staged.sha256.clone(), firmas: None };
        Ok((documento, vec![staged]))
    }
}

/// What happened to it, in order, each not before the other.
fn sucesos(anterior: &DespachoAnterior, created: Timestamp, now: Timestamp) -> Vec<(Suceso, Timestamp)> {
    let sent = anterior.enviado_en.clamp(created, now);
    let mut found = vec![(Suceso::EnvioIniciado { cuo: anterior.cuo.clone() }, sent)];
    match &anterior.fin {
        FinAnterior::Incierto { motivo } => {
            found.push((Suceso::FinIncierto { motivo: motivo.clone() }, sent));
            found.push((Suceso::Rechazado { falla: None, motivo: motivo.clone() }, sent));
        }
        FinAnterior::Enviado => found.push((Suceso::Aceptado, sent)),
        FinAnterior::Respondido { respuesta, subsanado } => {
            found.push((Suceso::Aceptado, sent));
            let answered = respuesta.en.clamp(sent, now);
            found.extend(stated(respuesta, &anterior.cuo).map(|cargo| (Suceso::Respondido { cargo }, answered)));
            found.extend(subsanado.then_some((Suceso::Subsanado, answered)));
        }
    }
    found
}

fn stated(respuesta: &RespuestaAnterior, cuo: &Cuo) -> Option<Cargo> {
    let named = |staged: &Staged| Documento {
        nombre: format!("cargo-{cuo}.pdf"),
        bytes: staged.bytes,
        sha256: staged.sha256.clone(),
        firmas: None,
    };
    respuesta.cargo.cargo(respuesta.pdf.as_ref().map(named))
}
