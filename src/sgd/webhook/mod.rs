//! Webhooks: the entities' own systems are told what happens, signed as Standard Webhooks has it (INTERFACES, "Webhooks"), or
//! as forms where they were written for the bridge that exists ([`form`]).
//!
//! Each webhook follows the feed of facts at its own place, which is kept in the store: what was not told before a crash is
//! told after it, at least once, under the same id. Facts of one exchange are told in their order; one that fails holds up
//! its own exchange alone ([`round`]). Nothing is sent while a change is being stored. A webhook that fails altogether is
//! left alone and probed ([`probe`]), and nothing is given up meanwhile.
//!
//! Uses the store and the use case that files a document; decides nothing about exchanges.

mod form;
mod message;
mod probe;
mod replay;
mod round;
mod signature;
mod standing;
mod tellers;
#[cfg(test)]
mod tests;
mod transport;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use replay::Desde;
pub use round::{HELD_MAX, PAGE};
pub use standing::{Situacion, WebhookView};
pub use tellers::Tellers;
pub use transport::{ANSWER_BYTES_MAX, Accepted, Refused};

use form::Basic;
use round::Next;
use signature::Keys;
use transport::{HttpTransport, Transport};

use crate::{
    config::{self, Config, Secret},
    domain::{Ambiente, Id, Ruc},
    exchange::{ALERTA, Actor, Exchange},
    http::{Acceso, reach::Reach},
    store::{Change, CommitError, Cursor, EstadoWebhook, Fact, FactAt, Record, StoreError},
};

/// How long a webhook with nothing to do waits before it looks again, whatever the store says: a guard against a clock that
/// was set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long news are gathered, so that what comes together is told and stored together; and longer for each exchange that is
/// behind, as all of them are stored each time.
const GATHER: Duration = Duration::from_millis(50);
const GATHER_FOR_EACH: Duration = Duration::from_millis(4);
/// How long it waits after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(2);
/// The longest wait taken from a receiver's `Retry-After`, with room for what is added to a wait by chance.
const WAIT_EXTRA: Duration = Duration::from_secs(2 * 3600);

/// All webhooks of a daemon. Cheap to clone.
#[derive(Clone, Default)]
pub struct Webhooks(Arc<[Arc<Endpoint>]>);

/// One webhook.
pub struct Endpoint {
    options: Options,
    /// Under which its place is kept, and what is told of it.
    id: Id,
    speech: Speech,
    transport: Arc<dyn Transport>,
    known: Mutex<Known>,
    /// Told when somebody decided about it.
    wake: Notify,
}

/// In which manner it is told.
enum Speech {
    /// Standard Webhooks: JSON, signed.
    Signed(Keys),
    /// As the existing bridge does: forms, with HTTP Basic.
    Forms(Option<Basic>),
}

/// What the configuration says, decided.
#[derive(Debug, Clone)]
struct Options {
    nombre: String,
    /// Without what stands after `?`, which may be a secret.
    url: String,
    entidad: Option<Ruc>,
    sucesos: Vec<String>,
    concurrency: usize,
    retry: Vec<Duration>,
    pause_failures: usize,
    pause: Duration,
    pause_max: Duration,
}

/// What this process learnt of a webhook, beside what is stored.
#[derive(Debug, Default)]
struct Known {
    /// Its place as it is, which may be ahead of what is stored by facts that are not for it.
    estado: Option<EstadoWebhook>,
    entregados: u64,
    fallidos: u64,
    abandonados: u64,
    ultimo_exito: Option<Timestamp>,
    ultimo_fallo: Option<Timestamp>,
    ultimo_error: Option<String>,
    /// Failures since the last success, and of which exchanges.
    fallos_seguidos: usize,
    testigos: Vec<Id>,
}

impl Webhooks {
    pub fn from_config(config: &Config) -> Result<Self, String> {
        let own = config.webhook.iter().map(|one| endpoint(one, config.environment));
        let forms = config.bridge.iter().flat_map(|one| form::endpoints(config, one));
        let made: Result<Vec<_>, String> = own.chain(forms).collect();
        Ok(Self(made?.into()))
    }

    /// Gives webhooks that are new their place at the end of the feed: from here on they are told everything. One that the
    /// disk does not take is given it later.
    pub async fn prepare(&self, exchange: &Exchange) {
        for endpoint in self.0.iter() {
            if let Err(error) = endpoint.estado(exchange).await {
                tracing::warn!(webhook = endpoint.options.nombre, %error, "a webhook's place could not be read or made");
            }
        }
    }

    /// As another configuration wants them; those that it wants as `before` did are the same ones and know what they knew.
    pub fn renewed(&self, before: &Config, after: &Config) -> Result<Self, String> {
        let same = |nombre: &str| {
            let of = |config: &Config| config.webhook.iter().find(|one| one.name == nombre).cloned();
            match (of(before), of(after)) {
                (None, None) => before.bridge == after.bridge && before.entity == after.entity,
                (before, after) => before == after,
            }
        };
        let known = |fresh: &Arc<Endpoint>| {
            let known = self.0.iter().find(|known| known.nombre() == fresh.nombre() && same(fresh.nombre()));
            Arc::clone(known.unwrap_or(fresh))
        };
        Ok(Self(Self::from_config(after)?.0.iter().map(known).collect()))
    }

    /// Those a caller may see.
    pub fn of<'a>(&'a self, acceso: &'a Acceso) -> impl Iterator<Item = &'a Endpoint> {
        let seen = |one: &&Arc<Endpoint>| match (&acceso.entidad, &one.options.entidad) {
            (None, _) => true,
            (Some(own), of) => of.as_ref() == Some(own),
        };
        self.0.iter().filter(seen).map(|one| &**one)
    }

    pub fn all(&self) -> impl Iterator<Item = &Endpoint> {
        self.0.iter().map(|one| &**one)
    }
}

fn endpoint(config: &config::Webhook, environment: Ambiente) -> Result<Arc<Endpoint>, String> {
    let wrong = |what: String| format!("webhook «{}»: {what}", config.name);
    let keys = config::webhook::keys(config.secret.as_ref().map_or("", Secret::reveal)).map_err(wrong)?;
    let speech = Speech::Signed(Keys::new(&keys));
    told_at(config, environment, speech)
}

/// The webhook of a configuration, told in some manner.
fn told_at(config: &config::Webhook, environment: Ambiente, speech: Speech) -> Result<Arc<Endpoint>, String> {
    let wrong = |what: String| format!("webhook «{}»: {what}", config.name);
    let reach = if config.allow_private { Reach::Anywhere } else { Reach::Public };
    let transport = HttpTransport::new(&config.url, reach, config.timeout).map_err(wrong)?;
    let options = Options {
        nombre: config.name.clone(),
        url: config.url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        entidad: config.entity.as_ref().and_then(|ruc| Ruc::parse(ruc, environment).ok()),
        sucesos: config.events.clone(),
        concurrency: usize::try_from(config.concurrency).unwrap_or(usize::MAX),
        retry: config.retry.clone(),
        pause_failures: usize::try_from(config.pause_failures).unwrap_or(usize::MAX),
        pause: config.pause,
        pause_max: config.pause_max,
    };
    Ok(Arc::new(Endpoint::new(options, speech, Arc::new(transport))))
}

impl Options {
    /// Whether a fact is for it. What is of no entity (the platform, a counterpart) is for all.
    fn wants(&self, fact: &Fact) -> bool {
        let ours = match (&self.entidad, &fact.entidad) {
            (Some(own), Some(of)) => own == of,
            _ => true,
        };
        ours && self.sucesos.contains(&fact.tipo)
    }

    /// The longest that anything waits here; what is further off was given by a clock that has been set back.
    fn wait_max(&self) -> Duration {
        let longest = self.retry.iter().max().copied().unwrap_or_default();
        longest.max(self.pause_max).saturating_add(WAIT_EXTRA)
    }

    fn due(&self, at: Timestamp, now: Timestamp) -> bool {
        at <= now || at > later(now, self.wait_max())
    }
}

impl Endpoint {
    fn new(options: Options, speech: Speech, transport: Arc<dyn Transport>) -> Self {
        let id = EstadoWebhook::id_for(&options.nombre);
        Self { options, id, speech, transport, known: Mutex::default(), wake: Notify::new() }
    }

    pub fn nombre(&self) -> &str {
        &self.options.nombre
    }

    async fn run(self: Arc<Self>, exchange: Exchange, stop: CancellationToken) {
        let mut news = exchange.store().watch();
        while !stop.is_cancelled() {
            news.borrow_and_update();
            if !exchange.store().leads() {
                // Another daemon of the same store tells.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(STORE_PAUSE) => continue,
                }
            }
            let wait = match self.round(&exchange, &stop).await {
                Ok(Next::Now) => continue,
                Ok(Next::At(at)) => until(at, exchange.now()),
                Ok(Next::News) => LOOK_AGAIN,
                Err(error) => {
                    tracing::error!(webhook = self.options.nombre, %error, "a webhook's place could not be read or kept");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = news.changed() => tokio::time::sleep(self.gather()).await,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn gather(&self) -> Duration {
        let held = self.known().estado.as_ref().map_or(0, |estado| estado.retenidos.len());
        GATHER + GATHER_FOR_EACH * u32::try_from(held).unwrap_or(u32::MAX)
    }

    /// Its place: what this process knows, if nobody decided about it since, else what is stored. A new one begins at the
    /// end of the feed.
    async fn estado(&self, exchange: &Exchange) -> Result<EstadoWebhook, StoreError> {
        let store = exchange.store();
        if let Some(stored) = store.webhook(self.id).await? {
            let known = self.known().estado.clone();
            return Ok(known.filter(|known| known.version == stored.version).unwrap_or(stored));
        }
        let hasta = Cursor { seq: *store.watch().borrow(), n: u8::MAX };
        let (id, nombre) = (self.id, self.options.nombre.clone());
        let new = EstadoWebhook { id, version: 0, nombre, hasta, retenidos: Vec::new(), pausa: None };
        self.keep(exchange, new.clone(), Vec::new()).await?;
        Ok(store.webhook(self.id).await?.unwrap_or(new))
    }

    /// Stores its place, with what is to be told of it. `false`: somebody decided about it meanwhile, and that holds. Where
    /// the disk takes nothing this process goes on from it all the same, and nobody is told the same thing every second.
    async fn keep(&self, exchange: &Exchange, estado: EstadoWebhook, facts: Vec<Fact>) -> Result<bool, StoreError> {
        let next = EstadoWebhook { version: estado.version + 1, ..estado.clone() };
        let records = vec![Record::Webhook(Box::new(next.clone()))];
        match exchange.store().commit(Change { facts, records, ..Change::default() }).await {
            Ok(_) => {
                self.known().estado = Some(next);
                Ok(true)
            }
            Err(CommitError::Store(error)) => {
                self.known().estado = Some(estado);
                Err(error)
            }
            Err(_) => {
                self.known().estado = None;
                Ok(false)
            }
        }
    }

    /// Tries whether it works, with a message of its own. One that is left alone and works is told at once what waits.
    pub async fn ping(&self, exchange: &Exchange) -> Result<Accepted, Refused> {
        let now = exchange.now();
        let Speech::Signed(keys) = &self.speech else {
            let why = "los avisos del puente no tienen ping: el SGD registraría un documento que no existe. Se prueba con el primero \
                       que llegue, o repitiendo el de uno con «chasqui webhook replay»";
            return Err(why.to_owned().into());
        };
        let body = message::ping(&self.options.nombre, now).map_err(|error| error.to_string())?;
        let signed = keys.sign(format!("ping_{}", now.as_millisecond()), now, body);
        let accepted = self.transport.post(signed.into()).await?;
        if let Ok(estado) = self.estado(exchange).await
            && let Some(pausa) = estado.pausa.clone()
        {
            let pausa = Some(crate::store::PausaWebhook { hasta: now, ..pausa });
            self.keep(exchange, EstadoWebhook { pausa, ..estado }, Vec::new()).await.ok();
            self.wake.notify_one();
        }
        Ok(accepted)
    }

    /// An alert that the feed tells people.
    fn alerta(&self, about: Option<&FactAt>, estado: &str, detalle: String, at: Timestamp) -> Fact {
        tracing::warn!(webhook = self.options.nombre, estado, "alert");
        Fact {
            at,
            tipo: ALERTA.into(),
            actor: Actor::chasqui().0,
            entidad: about.map_or(&self.options.entidad, |at| &at.fact.entidad).clone(),
            sujeto: about.map_or(self.id, |at| at.fact.sujeto),
            cuo: about.and_then(|at| at.fact.cuo.clone()),
            estado: Some(estado.into()),
            detalle: Some(detalle),
            documentos: Vec::new(),
            sobres: Vec::new(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `at` moved on by `wait`; the far future if that is out of range.
fn later(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

/// How long to sleep until `at`.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    wait.clamp(Duration::from_millis(1), LOOK_AGAIN)
}
