//! What a person does about work that is under way or stuck: looks at it, has it explained, tries it again, gives it up.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Actor, Exchange, ExchangeError, RACES_MAX, events,
    health::{Circuito, Pausa, Salud},
};
use crate::{
    domain::{
        Despacho, EstadoDespacho, Falla, Id, Recepcion, Ruc,
        despacho::Suceso,
        falla::{Entrada, Reintento, Responsable},
        lima,
    },
    store::{Change, CommitError, Fact, Job, JobKind, Record},
};

/// Longest reason a person gives, in characters.
pub const MOTIVO_MAX: usize = 500;

const SE_ENVIA: &str = "Se está enviando en este momento: espere a que ese envío termine";

/// A job with what is known about it.
#[derive(Debug, Clone)]
pub struct Trabajo {
    pub job: Job,
    pub cuo: Option<String>,
    /// The SGD's number of the despacho, or the number under which the recepcion was filed.
    pub numero_registro: Option<String>,
    pub salud: Option<Salud>,
    /// Of a despacho.
    pub camino: Option<Camino>,
    /// When it is tried: its own time, or the end of a pause that holds it.
    pub proximo_en: Timestamp,
    /// One paragraph: why it is where it is, what it means, what to do, what happens next and when.
    pub explicacion: String,
}

/// How far a despacho came, as its record says: attempts that sent it, and those that only asked whether it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Camino {
    pub envios: u32,
    pub consultas: u32,
    /// It is not known whether it arrived: it will be asked before anything is sent.
    pub por_confirmar: bool,
}

impl Camino {
    fn de(despacho: &Despacho) -> Self {
        let por_confirmar = matches!(despacho.estado, EstadoDespacho::PorConfirmar | EstadoDespacho::Enviando);
        Self { envios: despacho.intentos, consultas: despacho.consultas, por_confirmar }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, schemars::JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Situacion {
    /// Its time has come, or is to come.
    Pendiente,
    /// It failed and is tried again.
    Esperando,
    /// It was given up; a person decides.
    Detenido,
}

impl Trabajo {
    pub fn situacion(&self) -> Situacion {
        match (&self.job.muerto_en, self.job.intentos) {
            (Some(_), _) => Situacion::Detenido,
            (None, 0) => Situacion::Pendiente,
            (None, _) => Situacion::Esperando,
        }
    }
}

impl Exchange {
    /// A job of this entity, explained.
    pub async fn trabajo(&self, entidad: Option<&Ruc>, id: Id) -> Result<Trabajo, ExchangeError> {
        // People also come with the id of the document.
        let kinds = [JobKind::Despachar, JobKind::EntregarCargo, JobKind::PreguntarCargo];
        let mut found = self.store.job(id).await?;
        for kind in kinds {
            if found.is_none() {
                found = self.store.job(Job::id_for(kind, id)).await?;
            }
        }
        match found.filter(|job| entidad.is_none_or(|ruc| *ruc == job.entidad)) {
            Some(job) => self.explicado(job).await,
            None => Err(self.terminado(entidad, id).await?),
        }
    }

    /// What became of a job that is not in the queue any more, by its id or that of its document.
    async fn terminado(&self, entidad: Option<&Ruc>, id: Id) -> Result<ExchangeError, ExchangeError> {
        let sujeto = Job::subject_of(id);
        let ours = |ruc: &Ruc| entidad.is_none_or(|wanted| wanted == ruc);
        let now_is = match self.store.despacho(sujeto).await?.filter(|d| ours(&d.entidad)) {
            Some(d) => format!("el despacho está {}", d.estado.palabra()),
            None => match self.store.recepcion(sujeto).await?.filter(|r| ours(&r.entidad)) {
                Some(r) if r.cargo_entregado_en.is_some() => "el cargo fue entregado".to_owned(),
                Some(r) if r.cargo.is_some() => "el cargo no fue entregado".to_owned(),
                Some(_) => "el documento recibido aún no tiene cargo".to_owned(),
                None => return Ok(ExchangeError::NoExiste),
            },
        };
        let history = self.store.facts_of(sujeto).await?;
        let discarded = history.iter().rev().find(|known| known.fact.tipo == events::TRABAJO_DESCARTADO);
        let Some(Fact { at, actor, detalle, .. }) = discarded.map(|known| &known.fact) else {
            return Ok(ExchangeError::Terminado(format!("No hay nada pendiente de ese documento: {now_is}")));
        };
        let who = if *actor == Actor::local().0 { "desde la línea de órdenes" } else { actor.as_str() };
        let why = detalle.as_deref().unwrap_or("sin motivo");
        let when = reloj(*at);
        let what = format!("Se abandonó el {when}, {who}, por este motivo: «{why}». Ahora {now_is}");
        Ok(ExchangeError::Terminado(what))
    }

    /// Jobs after an id, each explained, and where the list goes on.
    pub async fn trabajos(
        &self,
        entidad: Option<&Ruc>,
        after: Option<Id>,
        limit: usize,
    ) -> Result<(Vec<Trabajo>, Option<Id>), ExchangeError> {
        let (mut trabajos, mut next) = (Vec::new(), after);
        loop {
            let page = self.store.jobs(next, limit.max(1)).await?;
            next = page.next;
            for job in page.items.into_iter().filter(|job| entidad.is_none_or(|ruc| *ruc == job.entidad)) {
                if trabajos.len() == limit {
                    let last: Option<&Trabajo> = trabajos.last();
                    return Ok((trabajos.iter().map(Clone::clone).collect(), last.map(|t| t.job.id)));
                }
                trabajos.push(self.explicado(job).await?);
            }
            if next.is_none() {
                return Ok((trabajos, None));
            }
        }
    }

    async fn explicado(&self, job: Job) -> Result<Trabajo, ExchangeError> {
        let (cuo, camino, numero_registro) = match job.kind {
            JobKind::EntregarCargo => {
                let found = self.store.recepcion(job.sujeto).await?;
                (found.as_ref().map(|r| r.cuo.to_string()), None, found.and_then(|r| r.numero_registro))
            }
            JobKind::Despachar | JobKind::PreguntarCargo => {
                let found = self.store.despacho(job.sujeto).await?;
                let cuo = found.as_ref().and_then(|d| d.cuo.as_ref().map(ToString::to_string));
                (cuo, found.as_ref().map(Camino::de), found.map(|d| d.numero_registro))
            }
        };
        let now = self.now();
        let salud = self.health.salud(&job.destino, now);
        let pide = self.health.pausa_de_pide(now);
        let proximo_en = due(&job, salud.as_ref(), pide.as_ref());
        let dead_at = self.settings().retry.dead_at(job.kind, job.creado_en);
        let explicacion = explain((&job, camino), salud.as_ref(), pide.as_ref(), now, dead_at);
        Ok(Trabajo { job, cuo, numero_registro, salud, camino, proximo_en, explicacion })
    }

    /// Tries a job again now, also one that was given up: its age counts anew.
    pub async fn reintentar_trabajo(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        motivo: &str,
    ) -> Result<Trabajo, ExchangeError> {
        let _deciding = self.deciding.write().await;
        let known = self.trabajo(entidad, id).await?.job;
        self.not_being_sent(&known).await?;
        let now = self.now();
        let creado_en = if known.muerto_en.is_some() { now } else { known.creado_en };
        let job = Job { creado_en, proximo_en: now, muerto_en: None, ..known };
        let fact = decided(&job, events::TRABAJO_REINTENTADO, actor, now, motivo);
        self.store.commit(Change { facts: vec![fact], jobs: vec![job.clone()], ..Change::default() }).await?;
        self.explicado(job).await
    }

    /// Gives a job up for good. A despacho that was not sent ends as `fallido`; a cargo stays undelivered.
    pub async fn descartar_trabajo(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
        motivo: &str,
    ) -> Result<(), ExchangeError> {
        let _deciding = self.deciding.write().await;
        let job = self.trabajo(entidad, id).await?.job;
        self.not_being_sent(&job).await?;
        for _ in 0..RACES_MAX {
            let now = self.now();
            let fact = decided(&job, events::TRABAJO_DESCARTADO, actor, now, motivo);
            let mut change = Change { facts: vec![fact], jobs_done: vec![job.id], ..Change::default() };
            if job.kind == JobKind::Despachar
                && let Some(mut despacho) = self.store.despacho(job.sujeto).await?
            {
                let unknown = matches!(despacho.estado, EstadoDespacho::PorConfirmar | EstadoDespacho::Enviando);
                let fate = if unknown { ". No se sabe si llegó: consulte antes de enviarlo de nuevo" } else { "" };
                let reason = format!("Descartado por una persona: {motivo}{fate}");
                if despacho.aplicar(Suceso::Rechazado { falla: job.falla, motivo: reason.clone() }, now).is_ok() {
                    change.facts.push(events::despacho(&despacho, events::DESPACHO_FALLIDO, actor, now, Some(reason)));
                    change.records.push(Record::Despacho(Box::new(despacho)));
                }
            }
            match self.store.commit(change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(id).into())
    }

    /// Tries a despacho again now: a failed one from its beginning, one under way at once.
    pub async fn reintentar_despacho(
        &self,
        actor: &Actor,
        entidad: Option<&Ruc>,
        id: Id,
    ) -> Result<Despacho, ExchangeError> {
        let _deciding = self.deciding.write().await;
        for _ in 0..RACES_MAX {
            let mut despacho = self.despacho_propio(entidad, id).await?;
            let now = self.now();
            let fresh = super::dispatch::job(JobKind::Despachar, id, &despacho.entidad, &despacho.destino, now);
            let mut change = Change { jobs: vec![fresh], ..Change::default() };
            if despacho.estado == EstadoDespacho::Fallido {
                despacho.aplicar(Suceso::Reintentado, now).map_err(|e| ExchangeError::Estado(e.to_string()))?;
                change.records.push(Record::Despacho(Box::new(despacho.clone())));
            } else if despacho.estado == EstadoDespacho::Enviando {
                return Err(ExchangeError::Estado(SE_ENVIA.into()));
            } else if !despacho.estado.en_curso() {
                let estado = despacho.estado.palabra();
                return Err(ExchangeError::Estado(format!("Un despacho {estado} no necesita reintentarse")));
            }
            change.facts.push(events::despacho(&despacho, events::DESPACHO_REINTENTADO, actor, now, None));
            match self.store.commit(change).await {
                Ok(_) => return Ok(despacho),
                Err(CommitError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Stale(id).into())
    }

    /// A send under way has an end of its own; deciding about it now would throw that end away, or send a second copy.
    async fn not_being_sent(&self, job: &Job) -> Result<(), ExchangeError> {
        let despacho = match job.kind {
            JobKind::Despachar => self.store.despacho(job.sujeto).await?,
            JobKind::EntregarCargo | JobKind::PreguntarCargo => None,
        };
        match despacho {
            Some(d) if d.estado == EstadoDespacho::Enviando && job.muerto_en.is_none() => {
                Err(ExchangeError::Estado(SE_ENVIA.into()))
            }
            _ => Ok(()),
        }
    }

    /// A despacho the caller may see.
    pub(super) async fn despacho_propio(&self, entidad: Option<&Ruc>, id: Id) -> Result<Despacho, ExchangeError> {
        let found = self.store.despacho(id).await?.filter(|d| entidad.is_none_or(|ruc| *ruc == d.entidad));
        found.ok_or(ExchangeError::NoExiste)
    }

    /// A recepcion the caller may see.
    pub(super) async fn recepcion_propia(&self, entidad: Option<&Ruc>, id: Id) -> Result<Recepcion, ExchangeError> {
        let found = self.store.recepcion(id).await?.filter(|r| entidad.is_none_or(|ruc| *ruc == r.entidad));
        found.ok_or(ExchangeError::NoExiste)
    }
}

fn decided(job: &Job, tipo: &str, actor: &Actor, at: Timestamp, motivo: &str) -> Fact {
    Fact {
        at,
        tipo: tipo.into(),
        actor: actor.0.clone(),
        entidad: Some(job.entidad.clone()),
        sujeto: job.sujeto,
        cuo: None,
        estado: None,
        detalle: Some(motivo.chars().take(MOTIVO_MAX).collect()),
        documentos: Vec::new(),
        sobres: Vec::new(),
    }
}

/// Why a job is where it is, for a person who has never seen one.
pub(super) fn explain(
    (job, camino): (&Job, Option<Camino>),
    salud: Option<&Salud>,
    pide: Option<&Pausa>,
    now: Timestamp,
    dead_at: Timestamp,
) -> String {
    let what = match job.kind {
        JobKind::Despachar => format!("Este documento espera llegar a la entidad {}.", job.destino),
        JobKind::EntregarCargo => {
            format!("Este cargo espera llegar a la entidad {}, que envió el documento.", job.destino)
        }
        JobKind::PreguntarCargo => {
            format!("Este documento llegó a la entidad {} y su cargo aún no vuelve.", job.destino)
        }
    };
    let mut sentences = vec![what];
    if let Some(falla) = job.falla {
        sentences.push(last_attempt(job, camino, falla));
    } else if job.intentos == 0 && job.kind != JobKind::PreguntarCargo {
        sentences.push("Todavía no se ha intentado.".into());
    }
    if let Some(salud) = salud.filter(|s| s.circuito != Circuito::Cerrado) {
        sentences.push(paused(salud));
    }
    if let Some(pide) = pide {
        let since = pide.desde.map(|at| format!(" desde el {}", reloj(at))).unwrap_or_default();
        let until = reloj(pide.hasta);
        sentences.push(format!("La plataforma no responde{since} y todo está en pausa; se probará el {until}."));
    }
    sentences.push(next_step((job, camino), due(job, salud, pide), now, dead_at));
    sentences.join(" ")
}

/// When it is tried: its own time, or the end of a pause that holds it.
fn due(job: &Job, salud: Option<&Salud>, pide: Option<&Pausa>) -> Timestamp {
    let held = salud.and_then(|s| s.reabre_en).max(pide.map(|p| p.hasta));
    held.map_or(job.proximo_en, |held| held.max(job.proximo_en))
}

/// The catalogue speaks of documents; what it says of a refused field does not help with a cargo, which was issued already.
fn entrada(kind: JobKind, falla: Falla) -> Entrada {
    match (kind, falla) {
        (JobKind::EntregarCargo, Falla::CampoNoValido) => Entrada {
            titulo: "Un dato del cargo fue rechazado",
            causa: "La plataforma o la otra entidad no aceptan un campo; la respuesta dice cuál.",
            quien: Responsable::Operador,
            reintento: Reintento::No,
            remedio: "Un cargo emitido no se cambia: acuerde con esa entidad que lo acepte, o descarte la entrega y \
                      hágaselo llegar por otra vía.",
        },
        _ => falla.entrada(),
    }
}

fn last_attempt(job: &Job, camino: Option<Camino>, falla: Falla) -> String {
    let Entrada { titulo, causa, quien, remedio, .. } = entrada(job.kind, falla);
    let veces = |n| if n == 1 { "una vez".to_owned() } else { format!("{n} veces") };
    let times = match (job.kind, job.intentos, camino) {
        (JobKind::PreguntarCargo, n, _) => format!("preguntar {}", veces(n)),
        (JobKind::Despachar, _, Some(Camino { envios: sent @ 1.., consultas: asked @ 1.., .. })) => {
            format!("enviarlo {} y preguntar {} si llegó", veces(sent), veces(asked))
        }
        (_, 1, _) => "un intento".to_owned(),
        (_, n, _) => format!("{n} intentos"),
    };
    let words = job.ultimo_error.as_deref().unwrap_or(titulo);
    // Our sentence ends with its own full stop.
    let words = words.strip_suffix('.').unwrap_or(words);
    let acts = match quien {
        Responsable::Nadie if job.muerto_en.is_some() => "No llegó a resolverse solo".to_owned(),
        Responsable::Nadie => "Se resuelve solo".to_owned(),
        other => format!("Debe actuar {}", other.palabras()),
    };
    // The catalogue speaks of documents; a cargo is not asked about but delivered again, which harms nobody.
    let (causa, remedio) = match job.kind {
        JobKind::EntregarCargo => (
            causa.replace("el documento pudo haber llegado", "el cargo pudo haber llegado"),
            remedio.replace(SE_CONSULTA, "se entregará otra vez, y si ya lo tenía esa entidad lo dirá"),
        ),
        _ => (causa.to_owned(), remedio.to_owned()),
    };
    format!("Tras {times}, lo último fue: «{words}». Es decir: {}. {causa} {acts}. {remedio}", minuscula(titulo))
}

fn paused(salud: &Salud) -> String {
    let since = salud.caida_desde.map(|at| format!(" desde el {}", reloj(at))).unwrap_or_default();
    let until = salud.reabre_en.map(|at| format!("; se probará de nuevo el {}", reloj(at))).unwrap_or_default();
    format!("Esa entidad no responde{since} y los envíos hacia ella están en pausa{until}.")
}

fn next_step((job, camino): (&Job, Option<Camino>), due: Timestamp, now: Timestamp, dead_at: Timestamp) -> String {
    if let Some(at) = job.muerto_en {
        return format!(
            "Se dejó de insistir el {}. Nada se ha perdido: puede reintentarlo con «chasqui queue retry {id} --reason \
             MOTIVO» o abandonarlo con «chasqui queue discard {id} --reason MOTIVO».",
            reloj(at),
            id = job.id
        );
    }
    let when = if due <= now { "en seguida".to_owned() } else { format!("el {}", reloj(due)) };
    // The record knows better than the last failure whether something may have arrived.
    let class = job.falla.map(|f| f.entrada().reintento);
    let ask_first = camino.map_or(class == Some(Reintento::PreguntarAntes), |camino| camino.por_confirmar);
    let then = match (job.kind, class) {
        (JobKind::PreguntarCargo, _) => "se le preguntará por el cargo",
        (JobKind::Despachar, _) if ask_first => "se preguntará si llegó, y solo si no llegó se enviará otra vez",
        (_, None) => "se intentará",
        _ => "se intentará otra vez",
    };
    let in_vain = match job.falla.map(|f| (f, f.entrada().reintento)) {
        // Another CUO is asked for by itself.
        Some((falla, Reintento::No)) if !matches!(falla, Falla::CuoNoValido | Falla::CuoRepetido) => {
            "Mientras nadie lo corrija volverá a fallar. "
        }
        _ => "",
    };
    // After a long stop it is overdue already, and is tried some times all the same.
    let end = if dead_at > now { format!("el {}", reloj(dead_at)) } else { "pronto".to_owned() };
    format!("{in_vain}Sin que nadie haga nada, {when} {then}; si sigue así, se dejará de insistir {end}.")
}

/// What the catalogue advises after an unclear send.
const SE_CONSULTA: &str = "se consultará si llegó";

/// A title within a sentence.
fn minuscula(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// `21/11/2026 09:30`, in Lima.
fn reloj(at: Timestamp) -> String {
    lima::en_lima(at).strftime("%d/%m/%Y %H:%M").to_string()
}
