//! Whole exchanges between entities over a network that fails, with crashes, from a seed.
//!
//! Our own seam rather than a simulated runtime: the use cases take clock, chance, platform and store as parameters, so a
//! plain loop decides what happens next and in which order. Nothing runs at the same time; what matters of concurrency (a
//! late delivery, a cargo before its send is answered, a crash between two commits) is an event of its own. The store is
//! the real one, reopened after each crash. The same seed makes the same run.
//!
//! The ledger is what the entities' systems were told: at the end, each document accepted is at its receiver once, byte for
//! byte, each cargo at the sender, no exchange without an end, and no state went back.

mod chance;
mod fuse;
mod network;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chance::Chance;
pub use fuse::Fuse;
use jiff::{Timestamp, civil::time};
use network::Network;

use super::world::{CountedIds, StillClock, nuevo, respuesta, ruc};
use crate::{
    domain::{
        Ambiente, Desenlace, EntidadPropia, EstadoDespacho, EstadoRecepcion, Id, Recepcion, Ruc, Sha256,
        calendario::Calendario, lima, validation::Rigor,
    },
    exchange::{Actor, Exchange, Idempotency, NuevoDespacho, Platform, RetryPolicy, Settings},
    store::{
        Claim, Cursor, Listing, SharedStore,
        embedded::{EmbeddedStore, Options},
    },
};

const RUCS: [&str; 3] = ["20168999926", "20537630222", "20131312955"];

/// Most commits between two crashes of an entity.
const COMMITS_BETWEEN_CRASHES: u64 = 120;

struct Entity {
    dir: PathBuf,
    fuse: Arc<Fuse>,
    exchange: Exchange,
}

/// What an entity's system was promised.
struct Promise {
    sender: usize,
    receiver: usize,
    pdf: Vec<u8>,
    id: Id,
}

struct Simulation {
    network: Arc<Network>,
    entities: Vec<Entity>,
    clock: Arc<StillClock>,
    ids: Arc<CountedIds>,
    chance: Chance,
    promises: Vec<Promise>,
    /// Answers that clerks gave and were told are recorded: cargo's PDF by entity and recepcion.
    answers: BTreeMap<(usize, Id), Vec<u8>>,
    crashes: usize,
    _dir: tempfile::TempDir,
}

fn settings(n: usize) -> Settings {
    Settings {
        ambiente: Ambiente::Simulation,
        entidades: vec![EntidadPropia {
            ruc: ruc(RUCS[n]),
            nombre: format!("ENTIDAD {n}"),
            cierre: time(16, 30, 0, 0),
        }],
        rigor: Rigor::Lenient,
        calendario: Calendario::default(),
        document_bytes_max: 1_000_000,
        retry: RetryPolicy::default(),
    }
}

fn open(dir: &Path, now: Timestamp) -> SharedStore {
    EmbeddedStore::open(dir, Options::new(now)).unwrap()
}

impl Simulation {
    fn new(seed: u64) -> Self {
        // In memory where there is such a folder: what is tested here is the order of things, not the disk.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let start = lima::leer("2026-11-20T10:00:00").unwrap();
        let clock = Arc::new(StillClock(AtomicI64::new(start.as_millisecond())));
        let mut chance = Chance(seed);
        let network = Arc::new(Network {
            entities: Mutex::default(),
            chance: Mutex::new(Chance(chance.next())),
            faults: Mutex::new(0),
            late: Mutex::default(),
            cuos: Mutex::new(0),
            clerk: Mutex::default(),
            now: {
                let clock = clock.clone();
                Arc::new(move || crate::exchange::Clock::now(&*clock))
            },
        });
        let mut simulation = Self {
            network,
            entities: Vec::new(),
            clock,
            ids: Arc::new(CountedIds::default()),
            chance,
            promises: Vec::new(),
            answers: BTreeMap::new(),
            crashes: 0,
            _dir: dir,
        };
        for n in 0..RUCS.len() {
            let dir = simulation._dir.path().join(n.to_string());
            let entity = simulation.start(n, &dir);
            simulation.entities.push(entity);
        }
        simulation
    }

    fn now(&self) -> Timestamp {
        crate::exchange::Clock::now(&*self.clock)
    }

    fn advance(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn start(&mut self, n: usize, dir: &Path) -> Entity {
        let commits = if *self.network.faults.lock().unwrap() == 0 {
            -1
        } else {
            i64::try_from(self.chance.below(COMMITS_BETWEEN_CRASHES)).unwrap()
        };
        let fuse = Fuse::new(open(dir, self.now()), commits, self.chance.happens(50));
        let platform: Arc<dyn Platform> = self.network.clone();
        let (clock, ids) = (self.clock.clone(), self.ids.clone());
        let exchange = Exchange::new(fuse.clone(), platform, clock, ids, settings(n));
        self.network.entities.lock().unwrap().insert(RUCS[n].to_owned(), exchange.clone());
        Entity { dir: dir.to_owned(), fuse, exchange }
    }

    /// Starts what has crashed again, from what its store holds.
    fn restart_crashed(&mut self) {
        for n in 0..self.entities.len() {
            if self.entities[n].fuse.burnt.load(Ordering::SeqCst) {
                self.crashes += 1;
                self.restart(n);
            }
        }
    }

    fn restart(&mut self, n: usize) {
        let dir = self.entities[n].dir.clone();
        self.network.entities.lock().unwrap().remove(RUCS[n]);
        // The store is closed when its last handle goes; a placeholder takes this one's place until then.
        let placeholder = self._dir.path().join(format!("{n}-between"));
        let between = self.start(n, &placeholder);
        drop(std::mem::replace(&mut self.entities[n], between));
        let entity = self.start(n, &dir);
        drop(std::mem::replace(&mut self.entities[n], entity));
    }

    /// An entity's system hands over a document, again and again until it is told that it was accepted.
    async fn hand_over(&mut self, n: usize) {
        let number = self.promises.len();
        let sender = usize::try_from(self.chance.below(RUCS.len() as u64)).unwrap();
        let receiver = (sender + 1 + usize::from(self.chance.happens(50))) % RUCS.len();
        let pdf = format!("%PDF-1.7 documento {n} {}", self.chance.next()).into_bytes();
        let stated = NuevoDespacho {
            numero_registro: Some(format!("N-{number}")),
            destinos: vec![RUCS[receiver].into()],
            ..nuevo()
        };
        let key = Idempotency { key: format!("k-{number}"), huella: Sha256::from_digest(&[7; 32]) };
        for _ in 0..20 {
            let exchange = self.entities[sender].exchange.clone();
            let mut writer = exchange.stage();
            writer.write(&pdf).await.unwrap();
            let staged = writer.finish().await.unwrap();
            let made = exchange.despachar(&Actor::local(), &ruc(RUCS[sender]), &stated, Some(staged), Some(&key)).await;
            drop(exchange);
            match made {
                Ok(made) => return self.promises.push(Promise { sender, receiver, pdf, id: made[0].id }),
                Err(_) => self.restart_crashed(),
            }
        }
        panic!("a document was never accepted");
    }

    /// Clerks answer what has arrived, some of it.
    async fn clerks(&mut self, percent: u64) {
        for n in 0..RUCS.len() {
            let pending = self.recepciones(n, Some(EstadoRecepcion::Pendiente), 50).await;
            for recepcion in pending {
                if self.chance.happens(percent) {
                    self.answer(n, &recepcion).await;
                }
            }
        }
    }

    async fn answer(&mut self, n: usize, recepcion: &Recepcion) {
        let exchange = self.entities[n].exchange.clone();
        if let Some(pdf) = clerk(&exchange, recepcion).await {
            self.answers.insert((n, recepcion.id), pdf);
        }
    }

    async fn recepciones(&self, n: usize, estado: Option<EstadoRecepcion>, limit: usize) -> Vec<Recepcion> {
        let listing = Listing { entidad: ruc(RUCS[n]), estado, after: None, limit };
        self.entities[n].exchange.store().recepciones(listing).await.map(|page| page.items).unwrap_or_default()
    }

    /// Runs what is due everywhere.
    async fn work(&mut self) {
        self.network.arrive(self.now()).await;
        for n in 0..self.entities.len() {
            let exchange = self.entities[n].exchange.clone();
            let claim = Claim {
                now: self.now(),
                uptime: crate::exchange::Clock::uptime(&*self.clock),
                lease: exchange.settings().retry.lease(),
                wait_max: exchange.settings().retry.wait_max(),
                limit: 20,
                concurrency: 20,
                exceptions: HashMap::new(),
                in_doubt: HashSet::new(),
            };
            let Ok(claimed) = exchange.store().claim_jobs(&claim).await else { continue };
            for job in claimed.jobs {
                exchange.run_job(job).await;
            }
        }
        self.restart_crashed();
    }

    async fn unfinished(&self) -> usize {
        let mut unfinished = 0;
        for promise in &self.promises {
            let store = self.entities[promise.sender].exchange.store();
            let despacho = store.despacho(promise.id).await.unwrap().unwrap();
            let answered = matches!(despacho.estado, EstadoDespacho::Recepcionado | EstadoDespacho::Observado);
            unfinished += usize::from(!answered);
        }
        unfinished
    }

    async fn run(&mut self, exchanges: usize, faults: u64) {
        *self.network.faults.lock().unwrap() = faults;
        *self.network.clerk.lock().unwrap() = Some(self.clerk_inside());
        (0..RUCS.len()).for_each(|n| self.restart(n));
        for n in 0..exchanges {
            self.hand_over(n).await;
            let pause = Duration::from_millis(500 + self.chance.below(20_000));
            self.advance(pause);
            if n % 3 == 0 {
                self.work().await;
                self.clerks(20).await;
                self.restart_crashed();
            }
        }
        // Everything goes on failing for hours; then the network heals, and all must end by itself.
        for step in 0..2_000 {
            if step == 300 {
                *self.network.faults.lock().unwrap() = 0;
                (0..RUCS.len()).for_each(|n| self.restart(n));
            }
            self.work().await;
            self.clerks(60).await;
            self.restart_crashed();
            self.advance(Duration::from_secs(60));
            let quiet = step > 300 && step % 50 == 0 && self.network.late.lock().unwrap().is_empty();
            if quiet && self.unfinished().await == 0 {
                break;
            }
        }
    }

    /// A clerk who answers a document while its send is still under way.
    fn clerk_inside(&self) -> network::Clerk {
        let network = Arc::downgrade(&self.network);
        Arc::new(move |receiver: Ruc, cuo: String| {
            let network = network.clone();
            Box::pin(async move {
                let Some(network) = network.upgrade() else { return };
                let entity = network.entities.lock().unwrap().get(receiver.as_str()).cloned();
                let Some(exchange) = entity else { return };
                let cuo = crate::domain::Cuo::parse(&cuo).unwrap();
                let found = exchange.store().recepciones_by_cuo(&receiver, &cuo).await.unwrap_or_default();
                for recepcion in found.iter().filter(|r| r.estado == EstadoRecepcion::Pendiente) {
                    clerk(&exchange, recepcion).await;
                    let job = crate::store::Job::id_for(crate::store::JobKind::EntregarCargo, recepcion.id);
                    if let Ok(Some(job)) = exchange.store().job(job).await {
                        exchange.run_job(job).await;
                    }
                }
            })
        })
    }

    /// Compares what was promised with what both stores hold.
    async fn check(&self, seed: u64) {
        let mut arrived: Vec<Vec<Recepcion>> = Vec::new();
        for n in 0..RUCS.len() {
            arrived.push(self.recepciones(n, None, 1_000_000).await);
        }
        self.check_ends(seed).await;
        assert_eq!(arrived.iter().map(Vec::len).sum::<usize>(), self.promises.len(), "seed {seed}: each arrived once");
        for promise in &self.promises {
            let sender = self.entities[promise.sender].exchange.store();
            let despacho = sender.despacho(promise.id).await.unwrap().unwrap();
            let cuo = despacho.cuo.clone().unwrap();
            let found: Vec<&Recepcion> = arrived[promise.receiver].iter().filter(|r| r.cuo == cuo).collect();
            assert_eq!(found.len(), 1, "seed {seed}: {cuo} is at its receiver once");
            let digest = ring::digest::digest(&ring::digest::SHA256, &promise.pdf);
            assert_eq!(found[0].documento.sha256, Sha256::from_digest(digest.as_ref()), "seed {seed}: byte for byte");
            let issued = found[0].cargo.as_ref().unwrap_or_else(|| panic!("seed {seed}: {cuo} was never answered"));
            let collected = despacho.cargo.as_ref().unwrap_or_else(|| panic!("seed {seed}: {cuo} has no cargo"));
            let pdf = |c: &crate::domain::Cargo| c.documento.as_ref().map(|d| d.sha256.clone());
            assert_eq!((pdf(issued), issued.desenlace), (pdf(collected), collected.desenlace), "seed {seed}: {cuo}");
            self.check_history(promise, seed).await;
        }
        for ((n, id), pdf) in &self.answers {
            let recepcion = arrived[*n].iter().find(|r| r.id == *id).unwrap();
            let digest = ring::digest::digest(&ring::digest::SHA256, pdf);
            let kept = recepcion.cargo.as_ref().and_then(|c| c.documento.as_ref()).map(|d| d.sha256.clone());
            assert_eq!(kept, Some(Sha256::from_digest(digest.as_ref())), "seed {seed}: an answer that was confirmed");
        }
    }

    /// Each ended; the story of one that did not is told.
    async fn check_ends(&self, seed: u64) {
        for promise in &self.promises {
            let store = self.entities[promise.sender].exchange.store();
            let estado = store.despacho(promise.id).await.unwrap().unwrap().estado;
            if !matches!(estado, EstadoDespacho::Recepcionado | EstadoDespacho::Observado) {
                let facts = store.facts_of(promise.id).await.unwrap();
                let story: Vec<String> = facts.into_iter().map(|at| format!("{:?}", at.fact)).collect();
                panic!("seed {seed}: {} ended as {estado:?}:\n{}", promise.id, story.join("\n"));
            }
        }
    }

    /// No state went back, and nothing was sent twice without a clear "not found" in between.
    async fn check_history(&self, promise: &Promise, seed: u64) {
        let store = self.entities[promise.sender].exchange.store();
        let (mut furthest, mut begun) = (0, false);
        for at in store.facts_of(promise.id).await.unwrap() {
            let progress = match at.fact.estado.as_deref() {
                Some("enviado") => 1,
                Some("recepcionado" | "observado") => 2,
                Some(_) => 0,
                None => continue,
            };
            assert!(progress >= furthest, "seed {seed}: {} went back to {:?}", promise.id, at.fact.estado);
            furthest = progress;
            match at.fact.tipo.as_str() {
                "despacho.envio_iniciado" => {
                    assert!(!begun, "seed {seed}: {} was sent again without asking", promise.id);
                    begun = true;
                }
                // The receiver said it has nothing, or the request never left, or the CUO was refused outright.
                "despacho.no_llego" | "despacho.cuo_rechazado" => begun = false,
                "despacho.sin_respuesta" if at.fact.estado.as_deref() == Some("pendiente") => begun = false,
                _ => {}
            }
        }
        assert_eq!(furthest, 2, "seed {seed}: {} has no end", promise.id);
    }
}

/// Answers a document as a clerk would. Returns the cargo's PDF if the answer was confirmed.
async fn clerk(exchange: &Exchange, recepcion: &Recepcion) -> Option<Vec<u8>> {
    let outcome = if recepcion.id.as_u128().is_multiple_of(3) { Desenlace::Observado } else { Desenlace::Recepcionado };
    let pdf = format!("%PDF-1.7 cargo de {}", recepcion.cuo).into_bytes();
    let mut writer = exchange.stage();
    writer.write(&pdf).await.unwrap();
    let staged = writer.finish().await.unwrap();
    let done = exchange.responder(&Actor::local(), None, recepcion.id, &respuesta(outcome), Some(staged)).await;
    done.is_ok().then_some(pdf)
}

async fn simulate(seed: u64, exchanges: usize, faults: u64) -> (usize, Vec<u64>) {
    let mut simulation = Simulation::new(seed);
    simulation.run(exchanges, faults).await;
    simulation.check(seed).await;
    let mut ends = Vec::new();
    for entity in &simulation.entities {
        let facts = entity.exchange.store().facts(Cursor::default(), None, 1_000_000).await.unwrap();
        ends.push(facts.len() as u64);
    }
    (simulation.crashes, ends)
}

/// `SEED` and `EXCHANGES` choose another run; a failure prints its seed.
fn chosen(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn a_network_that_works_loses_nothing() {
    simulate(1, 40, 0).await;
}

#[tokio::test]
async fn with_a_fifth_of_all_calls_failing_and_crashes_everything_ends_once_and_whole() {
    let (seed, exchanges) = (chosen("SEED", 20_261_122), chosen("EXCHANGES", 300));
    let (crashes, facts) = simulate(seed, usize::try_from(exchanges).unwrap(), 20).await;
    println!("seed {seed}: {exchanges} exchanges, {crashes} crashes, facts {facts:?}");
    assert!(crashes > 3, "the run is worth nothing without crashes");
}

#[tokio::test]
async fn the_same_seed_makes_the_same_run() {
    assert_eq!(simulate(7, 60, 30).await, simulate(7, 60, 30).await);
}
