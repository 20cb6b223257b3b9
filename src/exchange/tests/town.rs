//! One entity that sends to many, with the real worker under tokio's paused clock: simulated days pass in seconds, and every
//! time read is exact.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    simulation::Fuse,
    world::{CountedIds, NUESTRA, nuevo, ruc, settings},
};
use crate::{
    domain::{
        CargoTramite, Categoria, Consulta, Contenido, Cuo, Entidad, EstadoDespacho, Falla, Id, Ruc, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::{TipoDocumento, tipos_documento_conocidos},
        lima,
        validation::Rigor,
    },
    exchange::{Actor, Clock, Exchange, NuevoDespacho, Platform, PlatformError, RetryPolicy, Sobres, Worker},
    soap::sink::DocumentSink,
    store::{
        BlobReader, Cursor,
        embedded::{EmbeddedStore, Options},
    },
};

/// How long a receiver takes to answer.
pub const ANSWERS_IN: Duration = Duration::from_millis(200);

/// How long the platform waits for one that does not.
pub const GIVES_UP_IN: Duration = Duration::from_secs(120);

/// The wall clock that goes with tokio's.
pub struct TokioClock {
    start: Timestamp,
    began: Instant,
    /// By how many seconds it was set.
    set: AtomicI64,
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let set = SignedDuration::from_secs(self.set.load(Ordering::SeqCst));
        crate::exchange::retry::later(self.start, self.began.elapsed()) + set
    }

    fn uptime(&self) -> Duration {
        self.began.elapsed()
    }
}

/// How a receiver behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receiver {
    Well,
    /// Nobody answers for it.
    Dead,
    /// It stores what comes and then resets the connection.
    Resets,
}

/// Receivers behind a platform.
#[derive(Default)]
pub struct Relay {
    pub receivers: Mutex<HashMap<String, Receiver>>,
    /// Subjects of documents that their receiver answers with this code, whatever happens to others; empty: it resets.
    pub poisoned: Mutex<HashMap<String, &'static str>>,
    /// What is stored, in order of arrival: receiver, CUO, number of the document.
    pub arrived: Mutex<Vec<(String, String, String)>>,
    cuos: Mutex<u64>,
}

impl Relay {
    fn how(&self, receiver: &str) -> Receiver {
        self.receivers.lock().unwrap().get(receiver).copied().unwrap_or(Receiver::Well)
    }

    pub fn set(&self, receiver: &str, how: Receiver) {
        self.receivers.lock().unwrap().insert(receiver.to_owned(), how);
    }

    /// The numbers of the documents at a receiver, in order of arrival.
    pub fn arrived_at(&self, receiver: &str) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        arrived.iter().filter(|(at, ..)| at == receiver).map(|(.., number)| number.clone()).collect()
    }

    fn store(&self, receiver: &str, cuo: &str, number: &str) {
        let mut arrived = self.arrived.lock().unwrap();
        if !arrived.iter().any(|(at, known, _)| at == receiver && known == cuo) {
            arrived.push((receiver.to_owned(), cuo.to_owned(), number.to_owned()));
        }
    }

    fn reset() -> PlatformError {
        PlatformError::new(Falla::ConexionCortada, "la conexión se cortó antes de la respuesta")
    }
}

#[async_trait]
impl Platform for Relay {
    async fn cuo(&self, _: &Ruc) -> Result<Cuo, PlatformError> {
        let mut cuos = self.cuos.lock().unwrap();
        *cuos += 1;
        Ok(Cuo::parse(&format!("{:010}", *cuos)).unwrap())
    }

    async fn recepcionar(
        &self,
        tramite: &Tramite,
        mut documento: BlobReader,
        _: &mut Sobres,
    ) -> Result<Respuesta, PlatformError> {
        while documento.next().await.unwrap().is_some() {}
        let [receiver, cuo, number] =
            [&tramite.ruc_receptor, &tramite.cuo, &tramite.numero_documento].map(|text| text.clone().unwrap());
        if self.how(&receiver) == Receiver::Dead {
            sleep(GIVES_UP_IN).await;
            return Err(PlatformError::new(Falla::TiempoAgotado, "no respondió en 120 s"));
        }
        sleep(ANSWERS_IN).await;
        let poison = self.poisoned.lock().unwrap().get(&number).copied();
        match (poison, self.how(&receiver)) {
            (Some(""), _) => Err(Self::reset()),
            (Some(code), _) => Ok(Respuesta::nueva(code, "Error inesperado")),
            (None, Receiver::Resets) => {
                self.store(&receiver, &cuo, &number);
                Err(Self::reset())
            }
            (None, _) => {
                self.store(&receiver, &cuo, &number);
                Ok(Respuesta::nueva("0000", "recibido"))
            }
        }
    }

    async fn cargo(&self, _: &CargoTramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        Ok(Respuesta::nueva("0000", "RECEPCION DE CARGO EXITOSO"))
    }

    async fn consultar(
        &self,
        consulta: &Consulta,
        sink: &mut dyn DocumentSink,
        _: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        let [receiver, cuo] = [&consulta.ruc_receptor, &consulta.cuo].map(|text| text.clone().unwrap());
        if self.how(&receiver) == Receiver::Dead {
            sleep(GIVES_UP_IN).await;
            return Err(PlatformError::new(Falla::TiempoAgotado, "no respondió en 120 s"));
        }
        sleep(ANSWERS_IN).await;
        let known = self.arrived.lock().unwrap().iter().any(|(at, known, _)| *at == receiver && *known == cuo);
        if !known {
            let respuesta = Respuesta::nueva("0001", "DATOS NO ENCONTRADOS");
            return Ok(RespuestaConsulta { respuesta, cargo: CargoTramite::default() });
        }
        let respuesta = Respuesta::nueva("0000", "DATOS ENCONTRADOS");
        if self.how(&receiver) == Receiver::Resets {
            // Nobody there has looked at it.
            let cargo = CargoTramite { estado: Some("P".into()), ..CargoTramite::default() };
            return Ok(RespuestaConsulta { respuesta, cargo });
        }
        sink.write(b"%PDF-1.7 cargo").await.unwrap();
        let contenido = Contenido::Pdf { una_vez: false };
        let cargo = CargoTramite { estado: Some("R".into()), contenido, ..CargoTramite::default() };
        Ok(RespuestaConsulta { respuesta, cargo })
    }

    async fn validar_entidad(&self, _: &Ruc) -> Result<bool, PlatformError> {
        Ok(true)
    }

    async fn entidades(&self, _: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        Ok(Vec::new())
    }

    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        Ok(tipos_documento_conocidos())
    }
}

/// The entity that sends, with its worker running.
pub struct Town {
    pub exchange: Exchange,
    pub relay: Arc<Relay>,
    clock: Arc<TokioClock>,
    began: Instant,
    stop: CancellationToken,
    worker: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Town {
    pub fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let (start, began) = (lima::leer("2026-11-16T08:00:00").unwrap(), Instant::now());
        let store = Fuse::holding_the_clock(EmbeddedStore::open(dir.path(), Options::new(start)).unwrap());
        let relay = Arc::new(Relay::default());
        let retry = RetryPolicy { dead_after: Duration::from_secs(30 * 24 * 3600), ..RetryPolicy::default() };
        let settings = settings(Rigor::Lenient, retry);
        let clock = Arc::new(TokioClock { start, began, set: AtomicI64::new(0) });
        let exchange = Exchange::new(store, relay.clone(), clock.clone(), Arc::new(CountedIds::default()), settings);
        let stop = CancellationToken::new();
        let worker = tokio::spawn(Worker::new(exchange.clone()).run(stop.clone()));
        Self { exchange, relay, clock, began, stop, worker, _dir: dir }
    }

    /// Sends a document numbered `number` to `receiver` at `at` from the beginning.
    pub async fn dispatch_at(&self, at: Duration, receiver: &str, number: &str) -> Id {
        sleep_until(self.began + at).await;
        let mut writer = self.exchange.stage();
        writer.write(b"%PDF-1.7 oficio").await.unwrap();
        let pdf = writer.finish().await.unwrap();
        let stated = NuevoDespacho {
            numero_registro: Some(number.into()),
            numero_documento: Some(number.into()),
            destinos: vec![receiver.into()],
            ..nuevo()
        };
        let made = self.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &stated, Some(pdf), None).await;
        made.unwrap()[0].id
    }

    /// Sets the clock by so many seconds.
    pub fn set_clock(&self, by: i64) {
        self.clock.set.fetch_add(by, Ordering::SeqCst);
    }

    pub async fn pass(&self, until: Duration) {
        sleep_until(self.began + until).await;
    }

    pub async fn estado(&self, id: Id) -> EstadoDespacho {
        self.exchange.store().despacho(id).await.unwrap().unwrap().estado
    }

    /// For each document sent, how long it took from its acceptance until it was known to have arrived.
    pub async fn latencies(&self) -> BTreeMap<Id, Duration> {
        let facts = self.exchange.store().facts(Cursor::default(), None, 1_000_000).await.unwrap();
        let (mut accepted, mut took) = (HashMap::new(), BTreeMap::new());
        let ended: HashSet<&str> = ["despacho.enviado", "despacho.recepcionado"].into();
        for at in facts {
            let fact = at.fact;
            if fact.tipo == "despacho.registrado" {
                accepted.insert(fact.sujeto, fact.at);
            } else if ended.contains(fact.tipo.as_str())
                && let Some(from) = accepted.remove(&fact.sujeto)
            {
                took.insert(fact.sujeto, Duration::try_from(fact.at.duration_since(from)).unwrap());
            }
        }
        took
    }

    /// What alerts told of destinations, in order.
    pub async fn alerts(&self) -> Vec<String> {
        let facts = self.exchange.store().facts(Cursor::default(), None, 1_000_000).await.unwrap();
        facts.into_iter().filter(|at| at.fact.tipo == "alerta").filter_map(|at| at.fact.estado).collect()
    }

    pub async fn close(self) {
        self.stop.cancel();
        self.worker.await.unwrap();
    }
}
