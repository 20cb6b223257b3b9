//! What the SGD may still do with a document it handed over or received: withdraw, ask now, correct, pass on.

use super::{Actor, Documentacion, Exchange, ExchangeError, Idempotency, NuevoDespacho, RACES_MAX, events};
use crate::{
    domain::{
        Contenido, Despacho, EstadoDespacho, Id, Purga, Ruc,
        cargo::Respuesta,
        despacho::Suceso,
        lima,
        validation::{Defecto, Motivo},
    },
    store::{Change, CommitError, Job, JobKind, Record, Staged},
};

/// Most that is kept of what another entity said in its own words, in characters.
const DICHO_MAX: usize = 300;

impl Exchange {
    /// Withdraws a document that was not begun to be sent. No message reports it (CONTRACT §5).
    pub async fn anular(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        motivo: Option<&str>,
    ) -> Result<Despacho, ExchangeError> {
        for _ in 0..RACES_MAX {
            let mut despacho = self.despacho_propio(entidad, id).await?;
            if despacho.estado == EstadoDespacho::Anulado {
                return Ok(despacho);
            }
            let now = self.now();
            despacho.aplicar(Suceso::Anulado, now).map_err(|_| {
                let estado = despacho.estado.palabra();
                let why = if despacho.intentos > 0 { "ya se intentó enviar" } else { "ya no está pendiente" };
                ExchangeError::Estado(format!("No se puede anular: el despacho está {estado} y {why}"))
            })?;
            let detalle = motivo.map(|m| m.chars().take(super::queue::MOTIVO_MAX).collect());
            let change = Change {
                facts: vec![events::despacho(&despacho, events::DESPACHO_ANULADO, actor, now, detalle)],
                records: vec![Record::Despacho(Box::new(despacho.clone()))],
                jobs_done: vec![Job::id_for(JobKind::Despachar, id)],
                ..Change::default()
            };
            match self.store.commit(change).await {
                Ok(_) => return Ok(despacho),
                Err(CommitError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(id).into())
    }

    /// Takes back a document whose sender waits no longer, if it surely did not leave: withdrawn where nothing was tried,
    /// failed where every attempt ended clearly. Anything else is left as it is. Returns the despacho as it is then.
    pub async fn retirar(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        motivo: &str,
    ) -> Result<Despacho, ExchangeError> {
        let _deciding = self.deciding.write().await;
        for _ in 0..RACES_MAX {
            let mut despacho = self.despacho_propio(entidad, id).await?;
            if despacho.estado != EstadoDespacho::Pendiente || !despacho.cuos_inciertos.is_empty() {
                return Ok(despacho);
            }
            let now = self.now();
            let detalle = match &despacho.ultimo_error {
                Some(error) => format!("{motivo}. Último error: {error}"),
                None => motivo.to_owned(),
            };
            let (suceso, tipo) = match despacho.intentos {
                0 => (Suceso::Anulado, events::DESPACHO_ANULADO),
                _ => (Suceso::Rechazado { falla: None, motivo: detalle.clone() }, events::DESPACHO_FALLIDO),
            };
            despacho.aplicar(suceso, now).map_err(|error| ExchangeError::Estado(error.to_string()))?;
            let change = Change {
                facts: vec![events::despacho(&despacho, tipo, actor, now, Some(detalle))],
                records: vec![Record::Despacho(Box::new(despacho.clone()))],
                jobs_done: vec![Job::id_for(JobKind::Despachar, id)],
                ..Change::default()
            };
            match self.store.commit(change).await {
                Ok(_) => return Ok(despacho),
                Err(CommitError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(id).into())
    }

    /// Asks the receiver now, and takes what it tells: that it arrived, or its cargo. Returns the answer and the despacho
    /// as it is after it. A "not found" is left to the worker, which knows when to send again; of one that failed
    /// it is put on record.
    pub async fn consultar(&self, entidad: Option<&Ruc>, id: Id) -> Result<(Respuesta, Despacho), ExchangeError> {
        let despacho = self.despacho_propio(entidad, id).await?;
        if despacho.cuo.is_none() {
            return Err(ExchangeError::Estado("Todavía no tiene CUO: no hay nada que consultar".into()));
        }
        let found = self.consulta(&despacho).await?;
        let told = found.answer.respuesta.clone();
        if told.codigo() == "0000" {
            self.take_answer(&despacho, found).await?;
        }
        // Nothing follows from it but that it has ended: a retry asks again.
        if told.codigo() == "0001"
            && despacho.estado == EstadoDespacho::Fallido
            && self.now() >= self.may_ask_at(&despacho)
        {
            let detalle = Some("la entidad receptora respondió que no lo tiene".to_owned());
            let fact = events::despacho(&despacho, events::DESPACHO_NO_LLEGO, &Actor::chasqui(), self.now(), detalle);
            self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        }
        Ok((told, self.despacho_propio(entidad, id).await?))
    }

    /// The same for a person: that it was asked, and what was said, is on record. Returns what was said, in words.
    pub async fn preguntar(&self, actor: &Actor, entidad: Option<&Ruc>, id: Id) -> Result<String, ExchangeError> {
        let (told, despacho) = self.consultar(entidad, id).await?;
        let said = match (told.codigo(), despacho.estado) {
            ("0000", EstadoDespacho::Recepcionado) => "Respondió que lo recepcionó: aquí está su cargo".to_owned(),
            ("0000", EstadoDespacho::Observado) => "Respondió que lo observó: aquí está su cargo".to_owned(),
            ("0000", _) => "Respondió que lo tiene y sigue sin cargo".to_owned(),
            ("0001", _) => "Respondió que no lo tiene".to_owned(),
            (code, _) => {
                let words: String = told.descripcion().chars().take(DICHO_MAX).collect();
                format!("Respondió con el código «{code}»: «{words}»")
            }
        };
        let detalle = Some(said.clone());
        let fact = events::despacho(&despacho, events::DESPACHO_CONSULTADO, actor, self.now(), detalle);
        self.store.commit(Change { facts: vec![fact], ..Change::default() }).await?;
        Ok(said)
    }

    /// Sends a new document that corrects an observed one, to the same entity unless it says another. The observed one is
    /// `subsanado` once the new one is accepted, not before (CONTRACT §5).
    pub async fn subsanar(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        nuevo: &NuevoDespacho,
        documento: Option<Staged>,
        idempotency: Option<&Idempotency>,
    ) -> Result<Despacho, ExchangeError> {
        let observed = self.despacho_propio(entidad, id).await?;
        // The repetition of a request that was accepted finds the observed one closed already.
        if let Some(made) = self.made_before(&observed.entidad, idempotency).await? {
            return made.into_iter().next().ok_or(ExchangeError::NoExiste);
        }
        if nuevo.destinos.len() > 1 {
            let texto = "Un documento se subsana ante una sola entidad";
            let motivo = Motivo::NoValido;
            return Err(ExchangeError::Defectos(vec![Defecto { campo: "destinos", motivo, texto, impide: true }]));
        }
        if let (EstadoDespacho::Subsanado, Some(id)) = (observed.estado, observed.subsanado_por) {
            return Err(ExchangeError::YaSubsanado { id });
        }
        not_purged(observed.purga.as_deref())?;
        if observed.estado != EstadoDespacho::Observado {
            let estado = observed.estado.palabra();
            return Err(ExchangeError::Estado(format!("Solo se subsana un documento observado; este está {estado}")));
        }
        self.not_being_corrected(&observed).await?;
        let mut nuevo = nuevo.clone();
        nuevo.referencia = observed.cuo.as_ref().map(ToString::to_string);
        if nuevo.destinos.is_empty() {
            nuevo.destinos = vec![observed.destino.to_string()];
        }
        let (entidad, pdf) = (observed.entidad.clone(), documento.map(Documentacion::Nueva));
        let made = self.despachar_pdf(actor, &entidad, &nuevo, pdf, idempotency, Some(observed)).await?;
        made.into_iter().next().ok_or(ExchangeError::NoExiste)
    }

    /// A second correction may follow only one that failed or was withdrawn.
    pub(super) async fn not_being_corrected(&self, observed: &Despacho) -> Result<(), ExchangeError> {
        let Some(under_way) = observed.subsanado_por else { return Ok(()) };
        match self.store.despacho(under_way).await? {
            Some(d) if !matches!(d.estado, EstadoDespacho::Fallido | EstadoDespacho::Anulado) => {
                Err(ExchangeError::SubsanacionEnCurso { id: under_way })
            }
            _ => Ok(()),
        }
    }

    /// Sends a received document on to other entities: the same PDF, with what `nuevo` says of the rest. Texts it does not
    /// give are those of the received document.
    pub async fn derivar(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        nuevo: &NuevoDespacho,
        idempotency: Option<&Idempotency>,
    ) -> Result<Vec<Despacho>, ExchangeError> {
        let received = self.recepcion_propia(entidad, id).await?;
        not_purged(received.purga.as_deref())?;
        let some = |text: &str| (!text.trim().is_empty()).then(|| text.to_owned());
        let nuevo = NuevoDespacho {
            tipo_documento: nuevo.tipo_documento.clone().or_else(|| some(&received.tipo_documento)),
            numero_documento: nuevo.numero_documento.clone().or_else(|| some(&received.numero_documento)),
            asunto: nuevo.asunto.clone().or_else(|| some(&received.asunto)),
            folios: nuevo.folios.or(received.folios),
            nombre_documento: nuevo.nombre_documento.clone().or_else(|| some(&received.documento.nombre)),
            contenido: Contenido::Pdf { una_vez: false },
            ..nuevo.clone()
        };
        let pdf = Documentacion::EnAlmacen(received.documento.clone());
        self.despachar_pdf(actor, &received.entidad, &nuevo, Some(pdf), idempotency, None).await
    }
}

/// What was purged cannot be gone on from.
fn not_purged(purga: Option<&Purga>) -> Result<(), ExchangeError> {
    match purga {
        None => Ok(()),
        Some(purga) => {
            let when = lima::texto(purga.en);
            Err(ExchangeError::Estado(format!("El documento fue purgado el {when}: ya no se puede usar")))
        }
    }
}
