//! What is kept for how long: the plan of a purge, the purge itself, and the daemon's own at its hours. An exchange that ended
//! long enough ago leaves its record without what names people, and the certificate of what went; its documents go unless
//! another exchange names them. One that has not ended, is under a hold, or has work pending is left alone.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::{Actor, Exchange, ExchangeError, events};
use crate::{
    domain::{
        Despacho, EstadoDespacho, EstadoRecepcion, Id, Purga, Recepcion, Ruc, Sha256,
        conservacion::{ClaseDocumento, DocumentoPurgado, RegistroPurgado},
    },
    store::{Change, CommitError, Fact, FactAt, Job, JobKind, Kept, Page, Record, StoreError},
};

/// Exchanges read at a time.
const PAGE: usize = 64;
/// Most exchanges looked at for one part of a plan or of a run.
const LOOKED_AT_MAX: usize = 2_000;
/// Exchanges purged with shared syncs: others' changes wait for no more than that.
const TOGETHER: usize = 8;
/// Most exchanges that one part of a run purges.
pub const PARTE_MAX: usize = 64;
/// Between two parts of the daemon's own runs.
const PAUSE: Duration = Duration::from_millis(500);
/// The daemon's first run comes so long after its start, if not sooner.
const FIRST: Duration = Duration::from_secs(300);

/// How long exchanges are kept after they ended; `None`: for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Politica {
    pub despachos: Option<Duration>,
    pub recepciones: Option<Duration>,
    /// How often the daemon looks.
    pub cada: Duration,
}

/// A place among the exchanges, from which a plan or a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lugar {
    pub clase: Clase,
    /// The last one looked at.
    pub tras: Option<Id>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clase {
    Despachos,
    Recepciones,
}

/// What a purge would do to the exchanges of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conteo {
    pub purgables: u64,
    /// Of these: documents and bytes that would go.
    pub documentos: u64,
    pub bytes: u64,
    /// When the first and the last of these ended.
    pub mas_antiguo: Option<Timestamp>,
    pub mas_reciente: Option<Timestamp>,
    /// Left alone: not ended, with work pending, under a hold, too young.
    pub no_terminados: u64,
    pub en_cola: u64,
    pub bloqueados: u64,
    pub recientes: u64,
    /// Of a class that is kept for ever.
    pub sin_plazo: u64,
}

/// Part of a plan; whole when `siguiente` is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub despachos: Conteo,
    pub recepciones: Conteo,
    pub siguiente: Option<Lugar>,
}

/// Part of a run of purges; the run has ended when `siguiente` is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrida {
    pub id: Id,
    pub intercambios: u64,
    pub documentos: u64,
    pub bytes: u64,
    pub siguiente: Option<Lugar>,
}

/// What is to become of an exchange.
enum Juicio {
    Purgable(Timestamp),
    NoTerminado,
    EnCola,
    Bloqueado,
    Reciente,
    SinPlazo,
}

impl Politica {
    pub fn plazo(&self, clase: Clase) -> Option<Duration> {
        match clase {
            Clase::Despachos => self.despachos,
            Clase::Recepciones => self.recepciones,
        }
    }

    pub fn activa(&self) -> bool {
        self.despachos.is_some() || self.recepciones.is_some()
    }

    /// The rule, as a certificate names it.
    pub fn texto(&self, clase: Clase) -> String {
        let (clave, de) = match clase {
            Clase::Despachos => ("retention.despachos", "despachos"),
            Clase::Recepciones => ("retention.recepciones", "recepciones"),
        };
        let plazo = self.plazo(clase).unwrap_or_default().as_secs();
        let plazo = if plazo >= 86_400 { format!("{} días", plazo / 86_400) } else { format!("{plazo} segundos") };
        format!("el plazo de conservación de {de} ({clave}: {plazo} desde que terminan)")
    }

    /// What ended before this moment goes.
    fn limite(&self, clase: Clase, now: Timestamp) -> Option<Timestamp> {
        let plazo = SignedDuration::try_from(self.plazo(clase)?).ok()?;
        now.checked_sub(plazo).ok()
    }
}

impl Clase {
    fn kept(self) -> Kept {
        match self {
            Self::Despachos => Kept::Despachos,
            Self::Recepciones => Kept::Recepciones,
        }
    }

    pub fn palabra(self) -> &'static str {
        match self {
            Self::Despachos => "despachos",
            Self::Recepciones => "recepciones",
        }
    }

    fn siguiente(self) -> Option<Self> {
        match self {
            Self::Despachos => Some(Self::Recepciones),
            Self::Recepciones => None,
        }
    }
}

impl Lugar {
    const PRIMERO: Self = Self { clase: Clase::Despachos, tras: None };

    /// As callers hold it.
    pub fn texto(&self) -> String {
        let tras = self.tras.map(|id| id.to_string()).unwrap_or_default();
        format!("{}:{tras}", self.clase.palabra())
    }

    pub fn leer(texto: &str) -> Option<Self> {
        let (clase, tras) = texto.split_once(':')?;
        let clase = [Clase::Despachos, Clase::Recepciones].into_iter().find(|c| c.palabra() == clase)?;
        let tras = if tras.is_empty() { None } else { Some(tras.parse().ok()?) };
        Some(Self { clase, tras })
    }

    /// Behind a page that ended at `next`, or at the next class.
    fn after(self, next: Option<Id>) -> Option<Self> {
        match next {
            Some(id) => Some(Self { tras: Some(id), ..self }),
            None => self.clase.siguiente().map(|clase| Self { clase, tras: None }),
        }
    }
}

impl Conteo {
    fn add(&mut self, juicio: &Juicio, gone: &[DocumentoPurgado]) {
        let count = match juicio {
            Juicio::Purgable(at) => {
                self.mas_antiguo = Some(self.mas_antiguo.map_or(*at, |first| first.min(*at)));
                self.mas_reciente = Some(self.mas_reciente.map_or(*at, |last| last.max(*at)));
                &mut self.purgables
            }
            Juicio::NoTerminado => &mut self.no_terminados,
            Juicio::EnCola => &mut self.en_cola,
            Juicio::Bloqueado => &mut self.bloqueados,
            Juicio::Reciente => &mut self.recientes,
            Juicio::SinPlazo => &mut self.sin_plazo,
        };
        *count += 1;
        for documento in gone.iter().filter(|documento| !documento.compartido) {
            self.documentos += 1;
            self.bytes = self.bytes.saturating_add(documento.bytes);
        }
    }
}

impl Exchange {
    /// With a rule on how long exchanges are kept.
    #[must_use]
    pub fn with_retention(self, politica: Politica) -> Self {
        Self { retention: std::sync::Arc::new(politica), ..self }
    }

    pub fn politica(&self) -> &Politica {
        &self.retention
    }

    /// What a purge would do now, from `lugar` on; of one entity if given. Nothing is changed.
    pub async fn planear_purga(&self, entidad: Option<&Ruc>, lugar: Option<Lugar>) -> Result<Plan, ExchangeError> {
        let (mut plan, mut looked_at, now) = (Plan::default(), 0, self.now());
        let mut lugar = Some(lugar.unwrap_or(Lugar::PRIMERO));
        while let Some(here) = lugar.filter(|_| looked_at < LOOKED_AT_MAX) {
            let page = self.store.kept(here.clase.kept(), here.tras, PAGE).await?;
            looked_at += page.items.len();
            tokio::task::yield_now().await;
            for record in page.items.iter().filter(|r| entidad.is_none_or(|ruc| r.entidad() == Some(ruc))) {
                let juicio = self.purgable(record, here.clase, now).await?;
                let gone = match juicio {
                    Juicio::Purgable(_) => self.documents_of(record).await?,
                    _ => Vec::new(),
                };
                match here.clase {
                    Clase::Despachos => plan.despachos.add(&juicio, &gone),
                    Clase::Recepciones => plan.recepciones.add(&juicio, &gone),
                }
            }
            lugar = here.after(page.next);
        }
        plan.siguiente = lugar;
        Ok(plan)
    }

    /// Purges what the rule says, from `lugar` on: a part of the run `corrida`, or of a new one.
    pub async fn purgar(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        corrida: Option<Id>,
        lugar: Option<Lugar>,
    ) -> Result<Corrida, ExchangeError> {
        // One at a time: two that share a document must not each leave it to the other.
        let _purging = self.purging.lock().await;
        let now = self.now();
        let id = corrida.unwrap_or_else(|| self.id(now));
        let mut done = Corrida { id, intercambios: 0, documentos: 0, bytes: 0, siguiente: None };
        let (mut lugar, mut looked_at) = (Some(lugar.unwrap_or(Lugar::PRIMERO)), 0);
        let more = |done: &Corrida, looked_at| done.intercambios < PARTE_MAX as u64 && looked_at < LOOKED_AT_MAX;
        while let Some(here) = lugar.filter(|_| more(&done, looked_at)) {
            let Some(limit) = self.retention.limite(here.clase, now) else {
                lugar = here.after(None);
                continue;
            };
            let page = self.store.kept(here.clase.kept(), here.tras, PAGE).await?;
            looked_at += page.items.len();
            tokio::task::yield_now().await;
            let (mut ready, mut younger) = (Vec::new(), false);
            for record in page.items {
                // Ids sort by creation: what follows was made later still.
                if created(&record).is_some_and(|at| at > limit) {
                    younger = true;
                    break;
                }
                let ours = entidad.is_none_or(|ruc| record.entidad() == Some(ruc));
                if ours && let Juicio::Purgable(ended) = self.purgable(&record, here.clase, now).await? {
                    ready.push((record, ended));
                }
            }
            for group in ready.chunks(TOGETHER) {
                let purge = |(record, ended): &(Record, Timestamp)| {
                    self.purge_one(actor, id, record.clone(), here.clase, *ended, now)
                };
                for purged in join_all(group.iter().map(purge)).await {
                    if let Some(purga) = purged? {
                        done.intercambios += 1;
                        done.documentos += purga.borrados().count() as u64;
                        done.bytes = done.bytes.saturating_add(purga.bytes());
                    }
                }
            }
            lugar = here.after(page.next.filter(|_| !younger));
        }
        done.siguiente = lugar;
        Ok(done)
    }

    /// What remains of exchanges that were purged, with their certificates; of one entity if given.
    pub async fn purgados(
        &self,
        entidad: Option<&Ruc>,
        after: Option<Id>,
        limit: usize,
    ) -> Result<Page<Record>, StoreError> {
        self.kept_of(Kept::Purged, entidad, after, limit).await
    }

    /// A page of those of one entity. Its `next` is the last looked at of that entity, never another's.
    pub(super) async fn kept_of(
        &self,
        which: Kept,
        entidad: Option<&Ruc>,
        mut after: Option<Id>,
        limit: usize,
    ) -> Result<Page<Record>, StoreError> {
        let Some(entidad) = entidad else { return self.store.kept(which, after, limit).await };
        let mut items: Vec<Record> = Vec::new();
        loop {
            let page = self.store.kept(which, after, PAGE).await?;
            for record in page.items.into_iter().filter(|record| record.entidad() == Some(entidad)) {
                if items.len() == limit.max(1) {
                    return Ok(Page { next: items.last().map(Record::id), items });
                }
                items.push(record);
            }
            if page.next.is_none() {
                return Ok(Page { items, next: None });
            }
            after = page.next;
            tokio::task::yield_now().await;
        }
    }

    /// When an exchange was purged, if it was.
    pub async fn purgado_en(&self, id: Id) -> Result<Option<Timestamp>, StoreError> {
        // Looked for among the purged, in order of id: for what is newer than all of them no record is read.
        let before = id.as_u128().checked_sub(1).map(Id::from_u128);
        let found = self.store.kept(Kept::Purged, before, 1).await?.items.into_iter().next();
        Ok(found.filter(|record| record.id() == id).and_then(|record| record.purga().map(|purga| purga.en)))
    }

    /// Of each of these facts, whether its words are told still: not of an exchange that was purged since, for they may name
    /// people. That it happened, and to which documents, is; and so is what was purged.
    pub async fn se_cuentan(&self, facts: &[FactAt]) -> Result<Vec<bool>, StoreError> {
        let mut known: HashMap<Id, Option<Timestamp>> = HashMap::new();
        let mut told = Vec::with_capacity(facts.len());
        for Fact { at, tipo, sujeto, detalle, .. } in facts.iter().map(|at| &at.fact) {
            if detalle.is_none() || [events::DESPACHO_PURGADO, events::RECEPCION_PURGADA].contains(&tipo.as_str()) {
                told.push(true);
                continue;
            }
            let purged = match known.get(sujeto) {
                Some(purged) => *purged,
                None => *known.entry(*sujeto).or_insert(self.purgado_en(*sujeto).await?),
            };
            told.push(purged.is_none_or(|purged| *at > purged));
        }
        Ok(told)
    }

    /// Purges at its hours, in small parts, until it is told to stop.
    pub async fn conservar(self, stop: CancellationToken) {
        let mut wait = FIRST.min(self.retention.cada);
        let mut part: Option<Corrida> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            if !self.store.leads() {
                // Another daemon of the same store does it.
                wait = self.retention.cada.min(FIRST);
                continue;
            }
            let (corrida, lugar) = part.take().map_or((None, None), |part| (Some(part.id), part.siguiente));
            wait = self.retention.cada;
            match self.purgar(&Actor::chasqui(), None, corrida, lugar).await {
                Ok(done) => {
                    if done.intercambios > 0 {
                        let Corrida { id, intercambios, documentos, bytes, .. } = &done;
                        tracing::info!(run = %id, exchanges = intercambios, documents = documentos, bytes, "purged");
                    }
                    if done.siguiente.is_some() {
                        (wait, part) = (PAUSE, Some(done));
                    }
                }
                Err(error) => tracing::error!(%error, "the purge stopped; it goes on at its next hour"),
            }
        }
    }

    async fn purgable(&self, record: &Record, clase: Clase, now: Timestamp) -> Result<Juicio, StoreError> {
        if record.bloqueo().is_some() {
            return Ok(Juicio::Bloqueado);
        }
        let ended = match record {
            Record::Despacho(despacho) => self.despacho_ended(despacho).await?,
            Record::Recepcion(recepcion) => ended(recepcion),
            _ => None,
        };
        let Some(ended) = ended else { return Ok(Juicio::NoTerminado) };
        let Some(limit) = self.retention.limite(clase, now) else { return Ok(Juicio::SinPlazo) };
        if ended > limit {
            return Ok(Juicio::Reciente);
        }
        for kind in JobKind::ALL {
            if self.store.job(Job::id_for(kind, record.id())).await?.is_some() {
                return Ok(Juicio::EnCola);
            }
        }
        Ok(Juicio::Purgable(ended))
    }

    /// When a despacho ended, if it has: one that is being corrected has not.
    async fn despacho_ended(&self, despacho: &Despacho) -> Result<Option<Timestamp>, StoreError> {
        use EstadoDespacho as E;
        let ended = match despacho.estado {
            E::Recepcionado | E::Subsanado | E::Anulado => true,
            E::Fallido => !despacho.espera_cargo() || self.surely_not_there(despacho).await?,
            E::Observado => match despacho.subsanado_por {
                None => true,
                Some(id) => {
                    let correction = self.store.despacho(id).await?;
                    correction.is_none_or(|d| matches!(d.estado, E::Fallido | E::Anulado))
                }
            },
            E::Pendiente | E::Enviando | E::PorConfirmar | E::Enviado => false,
        };
        Ok(ended.then_some(despacho.actualizado_en))
    }

    /// Whether the receiver said that it does not have it, after the last send under its one CUO.
    async fn surely_not_there(&self, despacho: &Despacho) -> Result<bool, StoreError> {
        if despacho.cuos_inciertos.iter().any(|cuo| despacho.cuo.as_ref() != Some(cuo)) {
            return Ok(false);
        }
        let facts = self.store.facts_of(despacho.id).await?;
        let last = facts.iter().rev().map(|at| at.fact.tipo.as_str());
        let mut last = last.filter(|tipo| [events::DESPACHO_NO_LLEGO, events::DESPACHO_ENVIO_INICIADO].contains(tipo));
        Ok(last.next() == Some(events::DESPACHO_NO_LLEGO))
    }

    /// Every document of an exchange that is in the store: those of its record, of its facts, and the messages.
    async fn documents_of(&self, record: &Record) -> Result<Vec<DocumentoPurgado>, StoreError> {
        let facts = self.store.facts_of(record.id()).await?;
        let mut named: Vec<(ClaseDocumento, Sha256)> = Vec::new();
        let (main, cargo) = match record {
            Record::Despacho(d) => (Some(&d.documento), d.cargo.as_ref()),
            Record::Recepcion(r) => (Some(&r.documento), r.cargo.as_ref()),
            _ => (None, None),
        };
        named.extend(main.map(|documento| (ClaseDocumento::Documento, documento.sha256.clone())));
        let cargo = cargo.and_then(|cargo| cargo.documento.as_ref());
        named.extend(cargo.map(|documento| (ClaseDocumento::Cargo, documento.sha256.clone())));
        // What is left that it names: annexes.
        named.extend(record.documents().into_iter().map(|sha256| (ClaseDocumento::Anexo, sha256.clone())));
        for Fact { documentos, sobres, .. } in facts.iter().map(|at| &at.fact) {
            named.extend(sobres.iter().map(|sha256| (ClaseDocumento::Sobre, sha256.clone())));
            named.extend(documentos.iter().map(|sha256| (ClaseDocumento::Otro, sha256.clone())));
        }
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        for (clase, sha256) in named {
            if !seen.insert(sha256.clone()) {
                continue;
            }
            if let Some(stored) = self.store.named(&sha256).await? {
                let compartido = stored.by.iter().any(|by| *by != record.id());
                found.push(DocumentoPurgado { clase, bytes: stored.bytes, sha256, compartido });
            }
        }
        Ok(found)
    }

    /// Purges one exchange as it was read; `None` if it changed meanwhile: a later run looks at it again.
    async fn purge_one(
        &self,
        actor: &Actor,
        corrida: Id,
        mut record: Record,
        clase: Clase,
        terminado_en: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Purga>, ExchangeError> {
        let documentos = self.documents_of(&record).await?;
        let before = serde_json::to_vec(&record).map_err(|error| StoreError::Io(error.into()))?;
        let registro = RegistroPurgado {
            version: record.version(),
            bytes: before.len() as u64,
            sha256: Sha256::from_digest(ring::digest::digest(&ring::digest::SHA256, &before).as_ref()),
        };
        let politica = self.retention.texto(clase);
        let purga = Purga { corrida, en: now, por: actor.0.clone(), politica, terminado_en, documentos, registro };
        match &mut record {
            Record::Despacho(despacho) => despacho.purgar(purga.clone()),
            Record::Recepcion(recepcion) => recepcion.purgar(purga.clone()),
            _ => return Ok(None),
        }
        let tipos = (events::DESPACHO_PURGADO, events::RECEPCION_PURGADA);
        let fact = events::intercambio(&record, tipos, actor, now, purga.resumen());
        let change = Change { facts: fact.into_iter().collect(), records: vec![record], ..Change::default() };
        match self.store.commit(change).await {
            Ok(_) => Ok(Some(purga)),
            Err(CommitError::Stale(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn ended(recepcion: &Recepcion) -> Option<Timestamp> {
    (recepcion.estado != EstadoRecepcion::Pendiente).then_some(recepcion.actualizado_en)
}

fn created(record: &Record) -> Option<Timestamp> {
    match record {
        Record::Despacho(despacho) => Some(despacho.creado_en),
        Record::Recepcion(recepcion) => Some(recepcion.recibido_en),
        _ => None,
    }
}
