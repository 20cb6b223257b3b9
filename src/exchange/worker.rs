//! Claims jobs that are due, runs each under a lease and a deadline, and decides when one is tried again.

use std::{pin::pin, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Actor, Exchange, events,
    health::Aviso,
    retry::{bounded, later},
    step::{Again, Step},
};
use crate::{
    domain::Falla,
    store::{AvisoVigente, Avisos, Change, Claim, CommitError, Fact, Job, JobKind, Record, StoreError},
    telemetry::log,
};

/// Attempts before a job is given up, however old it is: after a long stop, or under a clock set far ahead, everything that
/// waits is old at once.
pub(super) const TRIES_MIN: u32 = 5;

/// How long the worker waits at most before it looks again, whatever the store says is next: a guard against a clock
/// that was set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What a clock is set back by at least to be noticed: less is a clock being corrected, and delays nothing worth it.
const STEP_MIN: Duration = Duration::from_secs(30);

/// How long it waits after the store failed, before it asks the store again. Tests let the store fail thousands of times.
const STORE_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 2_000 });

/// An attempt that takes longer gives its slot to another and goes on in the slow lane.
const SLOW: Duration = Duration::from_secs(5);

/// Attempts in the slow lane, for each slot.
const SLOW_FACTOR: usize = 3;

/// How often it is looked whether the directory is old.
const DIRECTORY_LOOK: Duration = Duration::from_secs(600);

/// Runs the jobs of an exchange until it is told to stop.
pub struct Worker {
    exchange: Exchange,
    slots: Arc<Semaphore>,
    /// Where attempts go that take long.
    slow: Arc<Semaphore>,
    /// Told when a slot became free before its attempt ended.
    freed: Arc<Notify>,
}

impl Worker {
    pub fn new(exchange: Exchange) -> Self {
        let workers = exchange.settings().retry.workers.max(1);
        let (slots, slow) = (Arc::new(Semaphore::new(workers)), Arc::new(Semaphore::new(workers * SLOW_FACTOR)));
        Self { exchange, slots, slow, freed: Arc::default() }
    }

    /// Works until `stop`; then lets the attempts under way end, each within its deadline.
    pub async fn run(self, stop: CancellationToken) {
        self.exchange.remember_alerts().await;
        let mut running = JoinSet::new();
        let mut news = self.exchange.store.watch();
        let directory = tokio::spawn(keep_directory(self.exchange.clone(), stop.clone()));
        let maintenance = tokio::spawn(self.exchange.clone().keep_maintenance(stop.clone()));
        let mut clock = Steps::default();
        while !stop.is_cancelled() {
            news.borrow_and_update();
            if clock.set_back(self.exchange.now(), self.exchange.clock.uptime()) {
                tracing::warn!("the clock was set back: what waits for another attempt is due now");
                self.exchange.store.wake(None).await;
            }
            self.exchange.tell_people().await;
            self.exchange.store_texts(false).await;
            self.exchange.tell_refusals(false).await;
            let wait = match self.start_due(&mut running).await {
                Ok(next) => until(next, self.exchange.now()),
                Err(error) => {
                    tracing::error!(%error, "the jobs that are due could not be read");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = news.changed() => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
                () = self.freed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        while running.join_next().await.is_some() {}
        self.exchange.store_texts(true).await;
        self.exchange.tell_refusals(true).await;
        directory.await.ok();
        maintenance.await.ok();
    }

    /// Starts as many due jobs as there are free slots and the breakers allow. Returns when there may be more.
    async fn start_due(&self, running: &mut JoinSet<()>) -> Result<Option<Timestamp>, StoreError> {
        let (exchange, now) = (&self.exchange, self.exchange.now());
        if let Some(resumes) = exchange.reanuda() {
            return Ok(Some(resumes));
        }
        let allowance = exchange.health.allowance(now);
        let free = self.slots.available_permits();
        let total = allowance.total.map_or(free, |total| free.min(total.saturating_sub(running.len())));
        if total == 0 {
            return Ok(allowance.reopens);
        }
        let claim = Claim {
            now,
            uptime: exchange.clock.uptime(),
            lease: exchange.settings().retry.lease(),
            wait_max: exchange.settings().retry.wait_max(),
            limit: total,
            concurrency: allowance.concurrency,
            exceptions: allowance.exceptions,
            in_doubt: allowance.in_doubt,
        };
        let claimed = exchange.store.claim_jobs(&claim).await?;
        let full = claimed.jobs.len() == total;
        for job in claimed.jobs {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { break };
            exchange.health.took(&job.destino, &job.entidad, job.creado_en);
            let attempt = attempt(exchange.clone(), job, slot, Arc::clone(&self.slow), Arc::clone(&self.freed));
            running.spawn(attempt);
        }
        // With every slot taken, the end of an attempt wakes the worker; there is nothing to look for before.
        let next = claimed.next.filter(|_| !full);
        Ok([next, allowance.reopens].into_iter().flatten().min())
    }
}

/// One attempt at a job. Destinations that let us wait for minutes must not hold every slot: after a while the attempt makes
/// room, while there is some in the slow lane.
async fn attempt(exchange: Exchange, job: Job, slot: OwnedSemaphorePermit, slow: Arc<Semaphore>, freed: Arc<Notify>) {
    let mut run = pin!(exchange.run_job(job));
    tokio::select! {
        () = &mut run => return,
        () = tokio::time::sleep(SLOW) => {}
    }
    let lane = slow.try_acquire_owned();
    if lane.is_ok() {
        drop(slot);
        freed.notify_one();
        run.await;
    } else {
        run.await;
        drop(slot);
    }
}

/// Notices that the clock was set back: times given before lie too far ahead.
#[derive(Debug, Default)]
struct Steps(Option<(Timestamp, Duration)>);

impl Steps {
    /// Whether it was, since the last call.
    fn set_back(&mut self, now: Timestamp, uptime: Duration) -> bool {
        let before = self.0.replace((now, uptime));
        before.is_some_and(|(wall, up)| later(now, STEP_MIN) < later(wall, uptime.saturating_sub(up)))
    }
}

/// How long to sleep until `next`.
fn until(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let wait = next.and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    match (next, wait) {
        (None, _) => LOOK_AGAIN,
        (Some(_), None) => Duration::from_millis(1), // it is due already
        (Some(_), Some(wait)) => wait.clamp(Duration::from_millis(1), LOOK_AGAIN),
    }
}

/// Fetches the directory of entities when it is old; an unreachable platform is asked again later.
async fn keep_directory(exchange: Exchange, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let wait = match exchange.directory_is_old(exchange.now()).await {
            // Another daemon of the same store fetches it.
            Ok(true) if !exchange.store().leads() => STORE_PAUSE,
            Ok(false) => {
                failures = 0;
                DIRECTORY_LOOK
            }
            Ok(true) => match exchange.actualizar_directorio(&Actor::chasqui()).await {
                Ok(directorio) => {
                    tracing::info!(entities = directorio.entidades.len(), "directory fetched");
                    failures = 0;
                    DIRECTORY_LOOK
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "the directory of entities could not be fetched");
                    exchange.settings().retry.delay(failures, exchange.ids.chance())
                }
            },
            Err(_) => STORE_PAUSE,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Exchange {
    /// One attempt at a job, under the policy's deadline, and its consequence for the job.
    pub(super) async fn run_job(&self, job: Job) {
        let span = log::exchange();
        span.record("id", tracing::field::display(job.sujeto));
        self.attempt_job(job).instrument(span).await;
    }

    async fn attempt_job(&self, job: Job) {
        let work = async {
            match job.kind {
                JobKind::Despachar => self.step_despacho(&job).await,
                JobKind::EntregarCargo => self.step_cargo(&job).await,
                JobKind::PreguntarCargo => self.step_preguntar(&job).await,
            }
        };
        let result = match timeout(self.settings().retry.attempt, work).await {
            Ok(Ok(Step::Done)) => Ok(()),
            Ok(Ok(Step::InLine)) => self.replace(&job, Job { proximo_en: self.now(), ..job.clone() }).await,
            Ok(Ok(Step::Again(again))) => self.reschedule(&job, again).await,
            Ok(Err(error)) => {
                tracing::error!(%error, job = %job.id, "the store failed during a job");
                let again = Again { falla: Falla::Almacen, motivo: error.to_string(), wait: None, asked: false };
                self.reschedule(&job, again).await
            }
            Err(_) => {
                let motivo = format!("el intento superó {} s", self.settings().retry.attempt.as_secs());
                self.reschedule(&job, Again { falla: Falla::TiempoAgotado, motivo, wait: None, asked: false }).await
            }
        };
        if let Err(error) = result {
            // Nothing is on record: what the job was is due again, after a while in which nobody else takes its place.
            tracing::error!(%error, job = %job.id, "a job could not be rescheduled");
            tokio::time::sleep(STORE_PAUSE).await;
        }
        self.store.release_job(job.id).await;
    }

    /// Commits what became of a job, unless somebody decided about it while it was under way: ended it, or made it anew.
    async fn replace(&self, held: &Job, change: impl Into<Change>) -> Result<(), CommitError> {
        let _deciding = self.deciding.read().await;
        if self.store.job(held.id).await?.as_ref() != Some(held) {
            tracing::info!(job = %held.id, "somebody decided about it meanwhile");
            return Ok(());
        }
        self.store.commit(change.into()).await.map(|_| ())
    }

    /// Tells of destinations that have been down for long, and of those that work again, in the feed of events.
    pub(super) async fn tell_people(&self) {
        let now = self.now();
        for aviso in self.health.avisos(self.settings().retry.alert_after, now) {
            tracing::warn!(destination = ?aviso.ruc, since = %aviso.desde, works_again = aviso.vuelve, "alert");
            match self.tell(&aviso, now).await {
                Ok(()) => self.health.avisado(&aviso),
                Err(error) => tracing::error!(%error, "an alert could not be recorded"),
            }
        }
    }

    /// The alert and the list of those in force are one entry: a restart neither repeats one nor forgets to end it.
    async fn tell(&self, aviso: &Aviso, now: Timestamp) -> Result<(), CommitError> {
        let fact = events::aviso(aviso, &Actor::chasqui(), now);
        let version = self.store.avisos().await?.map_or(0, |known| known.version) + 1;
        let vigentes = self.health.vigentes(aviso).into_iter().map(|(ruc, desde)| AvisoVigente { ruc, desde });
        let record = Record::Avisos(Box::new(Avisos { version, vigentes: vigentes.collect() }));
        self.store.commit(Change { facts: vec![fact], records: vec![record], ..Change::default() }).await.map(drop)
    }

    /// Learns what alerts an earlier process told.
    pub(super) async fn remember_alerts(&self) {
        match self.store.avisos().await {
            Ok(known) => {
                let told = known.into_iter().flat_map(|known| known.vigentes);
                self.health.recuerda(told.map(|aviso| (aviso.ruc, aviso.desde)));
            }
            Err(error) => tracing::error!(%error, "the alerts in force could not be read: they may be told again"),
        }
    }

    async fn reschedule(&self, job: &Job, again: Again) -> Result<(), CommitError> {
        let Again { falla, motivo, wait, asked } = again;
        let settings = self.settings();
        let policy = &settings.retry;
        let intentos = job.intentos + 1;
        let backoff = policy.delay(intentos, self.ids.chance());
        let wait = match wait {
            Some(wait) if asked => bounded(wait).max(backoff),
            // A wait of zero is a step that may go on at once; it still backs off when it repeats.
            Some(Duration::ZERO) if job.intentos < 3 => Duration::ZERO,
            Some(Duration::ZERO) | None => backoff,
            Some(wait) => wait,
        };
        let now = self.now();
        let dead_at = policy.dead_at(job.kind, job.creado_en);
        let held = job;
        let job = Job { intentos, falla: Some(falla), ultimo_error: Some(motivo), ..held.clone() };
        let overdue = now >= dead_at;
        if overdue && intentos >= TRIES_MIN {
            return self.give_up(held, job, now).await;
        }
        let proximo_en = if overdue { later(now, wait) } else { later(now, wait).min(dead_at) };
        // Why in words is in the queue: what another side said is not for a log.
        let subject = job.sujeto;
        tracing::info!(job = %job.id, %subject, attempts = intentos, ?wait, %falla, "job rescheduled");
        self.replace(held, Job { proximo_en, ..job }).await
    }

    /// A job that has failed for too long stops: it is kept whole, told of, and waits for a person.
    async fn give_up(&self, held: &Job, job: Job, now: Timestamp) -> Result<(), CommitError> {
        tracing::warn!(job = %job.id, subject = %job.sujeto, "job given up; a person must decide");
        let what = match job.kind {
            JobKind::Despachar => format!("El documento no pudo entregarse a la entidad {}", job.destino),
            JobKind::EntregarCargo => format!("El cargo no pudo entregarse a la entidad {}", job.destino),
            JobKind::PreguntarCargo => format!("La entidad {} no ha emitido el cargo", job.destino),
        };
        let age = match (now.as_second() - job.creado_en.as_second()) / 3600 {
            hours @ 48.. => format!("{} días", hours / 24),
            hours @ 2.. => format!("{hours} horas"),
            _ => "menos de dos horas".to_owned(),
        };
        let last = job.ultimo_error.as_deref().unwrap_or("no se conoce");
        let detalle = format!(
            "{what} en {age} y {} intentos. Último error: {last}. Vea qué hacer con «chasqui queue show {}»",
            job.intentos, job.id
        );
        let fact = Fact {
            at: now,
            tipo: events::ALERTA.into(),
            actor: Actor::chasqui().0,
            entidad: Some(job.entidad.clone()),
            sujeto: job.sujeto,
            cuo: None,
            estado: None,
            detalle: Some(detalle),
            documentos: Vec::new(),
            sobres: Vec::new(),
        };
        let jobs = vec![Job { muerto_en: Some(now), ..job }];
        self.replace(held, Change { facts: vec![fact], jobs, ..Change::default() }).await
    }
}
