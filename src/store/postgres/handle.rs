//! The store's handle: opening, closing, and the trait's methods over the parts.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    Address, Options, WAITING_MAX,
    committer::{self, Prepared, Request},
    counting,
    documents::{self, Brought},
    jobs, migrations, moved, presence,
    read::{self, Listed},
    rows::{API_KEY, USUARIO},
    shared::{Failure, Shared},
    verification,
};
use crate::{
    domain::{Cuo, Despacho, EstadoDespacho, EstadoRecepcion, Id, Recepcion, Ruc, Sha256},
    store::{
        Adopted, ApiKey, Avisos, BlobReader, BlobWriter, Change, Claim, Claimed, CommitError, Cursor, Directorio,
        EstadoWebhook, FactAt, Gone, Idempotencia, Job, Kept, Listing, Named, Numbered, Page, RawEntry, Record, Seq,
        Staged, Standing, Store, StoreError, TextosVistos, UniqueKey, Usuario, Verification,
        blobs::lock,
        encoding::{self, Changed, Encoded},
        latest::Latest,
        queue::Queue,
        tally::{Line, Lines},
    },
};

/// No statement, no lock and no silence within a transaction is waited for without end; what is answered as stored is synced.
const SETTINGS: &str = "-c statement_timeout=60000 -c lock_timeout=15000 -c idle_in_transaction_session_timeout=60000 \
                        -c synchronous_commit=on -c standard_conforming_strings=on -c timezone=UTC";

/// How long a connection may be waited for, made or tried.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);

pub struct PostgresStore {
    pub(super) shared: Arc<Shared>,
    /// `None` once closing began.
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    committer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    others: Vec<JoinHandle<()>>,
}

impl PostgresStore {
    /// Connects, brings the database to what this version needs, and begins to commit.
    pub async fn open(options: Options) -> Result<Arc<Self>, StoreError> {
        Ok(Self::start(options).await?)
    }

    async fn start(options: Options) -> Result<Arc<Self>, Failure> {
        let Options { url, ca_file, data_dir, connections, apart } = options;
        let lock = lock(&data_dir)?;
        let incoming = data_dir.join("incoming");
        let address = Address::new(&url, ca_file.as_deref()).map_err(StoreError::Database)?;
        std::fs::create_dir_all(&incoming).map_err(StoreError::Io)?;
        clear(&incoming)?;
        let pool = pool(&address, connections)?;
        migrations::run(&mut pool.get().await?).await?;
        let head: i64 = pool.get().await?.query_one("SELECT seq FROM head", &[]).await?.try_get(0)?;
        let shared = Arc::new(Shared {
            pool,
            incoming,
            published: watch::Sender::new(super::shared::unsigned(head)),
            directory: Latest::default(),
            me: identity()?,
            leases: Mutex::new(HashMap::new()),
            queue: Mutex::new(Queue::default()),
            leads: AtomicBool::new(false),
            stop: CancellationToken::new(),
            _lock: lock,
        });
        if !apart {
            moved::refuse(&shared).await?;
            presence::show(&shared).await?;
        }
        tracing::info!(database = address.shown, daemon = %shared.me, "the store is open");
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let committer = tokio::spawn(committer::serve(Arc::clone(&shared), waiting));
        let mut others = vec![tokio::spawn(presence::listen(Arc::clone(&shared), address))];
        if !apart {
            others.push(tokio::spawn(presence::keep(Arc::clone(&shared))));
        }
        let (requests, committer) = (Mutex::new(Some(requests)), tokio::sync::Mutex::new(Some(committer)));
        Ok(Arc::new(Self { shared, requests, committer, others }))
    }

    fn requests(&self) -> Result<mpsc::Sender<Request>, StoreError> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
    }

    /// Says where everything went: no daemon begins to work on this database any more.
    pub async fn mark_moved(&self, place: &str) -> Result<(), StoreError> {
        Ok(moved::mark(&self.shared, place).await?)
    }

    /// It is in use again.
    pub async fn unmark_moved(&self) -> Result<(), StoreError> {
        Ok(moved::unmark(&self.shared).await?)
    }

    /// How many daemons work on it, besides this one if it is [`Options::apart`].
    pub async fn working(&self) -> Result<u64, StoreError> {
        Ok(moved::working(&self.shared).await?)
    }

    async fn record<T>(&self, id: Id, wanted: impl Fn(Record) -> Option<T>) -> Result<Option<T>, StoreError> {
        Ok(read::record(&self.shared, id).await?.and_then(wanted))
    }

    async fn unique<T>(&self, key: UniqueKey, wanted: impl Fn(Record) -> Option<T>) -> Result<Option<T>, StoreError> {
        Ok(read::by_unique(&self.shared, &key).await?.and_then(wanted))
    }

    async fn list<T>(
        &self,
        listed: Listed<'_>,
        after: Option<Id>,
        limit: usize,
        wanted: impl Fn(Record) -> Option<T>,
    ) -> Result<Page<T>, StoreError> {
        let Page { items, next } = read::list(&self.shared, listed, after, limit).await?;
        Ok(Page { items: items.into_iter().filter_map(wanted).collect(), next })
    }

    /// Gets a change ready: its bytes, and its documents where they are large.
    async fn prepare(&self, change: Change) -> Result<Prepared, StoreError> {
        let Change { facts, records, jobs, jobs_done, documents } = change;
        let encoded = encoding::encode(&facts, &records, &jobs, &jobs_done)?;
        let documents = self.bring(&documents).await?;
        Ok(Prepared { facts, records, jobs, jobs_done, encoded, documents, seq: None })
    }

    /// An entry of another store: its bytes stay as they are.
    async fn prepare_adopted(&self, adopted: Adopted) -> Result<Prepared, StoreError> {
        let Adopted { entry, documents, gone } = adopted;
        let (facts, Changed { records, jobs, jobs_done }) = encoding::read(&entry)?;
        let mut documents = self.bring(&documents).await?;
        for Gone { sha256, bytes } in gone {
            documents.push(Brought { sha256, bytes, body: identity()?, inline: None });
        }
        let encoded = Encoded { facts: entry.facts, change: entry.change };
        Ok(Prepared { facts, records, jobs, jobs_done, encoded, documents, seq: Some(entry.seq) })
    }

    /// Brings documents where a commit can name them: all or none.
    async fn bring(&self, documents: &[Staged]) -> Result<Vec<Brought>, StoreError> {
        let mut brought = Vec::with_capacity(documents.len());
        for staged in documents {
            match documents::bring(&self.shared, staged).await {
                Ok(document) => brought.push(document),
                Err(failure) => {
                    let bodies: Vec<Id> = brought.iter().map(|document: &Brought| document.body).collect();
                    documents::abandon(&self.shared, &bodies).await.ok();
                    return Err(failure.into());
                }
            }
        }
        Ok(brought)
    }
}

fn pool(address: &Address, connections: usize) -> Result<Pool, Failure> {
    let mut config = address.config.clone();
    config.options(SETTINGS);
    let manager =
        Manager::from_config(config, address.tls.clone(), ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let wait = Some(CONNECTION_WAIT);
    let pool = Pool::builder(manager).max_size(connections.max(4)).runtime(Runtime::Tokio1);
    let pool = pool.timeouts(Timeouts { wait, create: wait, recycle: wait }).build();
    Ok(pool.map_err(|error| StoreError::Database(error.to_string()))?)
}

/// What an earlier process was taking in.
fn clear(incoming: &std::path::Path) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(incoming)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// A number that nobody else has: who this daemon is as long as it runs, or what the chunks of a document are kept under.
pub fn identity() -> Result<Id, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Io(std::io::Error::other(error.to_string())))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, change: Change) -> Result<Seq, CommitError> {
        let requests = self.requests()?;
        let prepared = Box::new(self.prepare(change).await?);
        let (answer, result) = oneshot::channel();
        requests.send((prepared, answer)).await.map_err(|_| StoreError::Closed)?;
        drop(requests);
        result.await.map_err(|_| StoreError::Closed)?
    }

    async fn adopt(&self, entries: Vec<Adopted>) -> Result<Seq, CommitError> {
        let mut prepared = Vec::with_capacity(entries.len());
        for adopted in entries {
            prepared.push(Box::new(self.prepare_adopted(adopted).await?));
        }
        let (requests, mut results) = (self.requests()?, Vec::with_capacity(prepared.len()));
        for prepared in prepared {
            let (answer, result) = oneshot::channel();
            requests.send((prepared, answer)).await.map_err(|_| StoreError::Closed)?;
            results.push(result);
        }
        let mut last = *self.shared.published.borrow();
        for result in results {
            last = result.await.map_err(|_| StoreError::Closed)??;
        }
        Ok(last)
    }

    async fn despacho(&self, id: Id) -> Result<Option<Despacho>, StoreError> {
        self.record(id, Record::into_despacho).await
    }

    async fn despacho_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Option<Despacho>, StoreError> {
        self.unique(UniqueKey::CuoDespacho { entidad: entidad.clone(), cuo: cuo.clone() }, Record::into_despacho).await
    }

    async fn despachos(&self, listing: Listing<EstadoDespacho>) -> Result<Page<Despacho>, StoreError> {
        let estado = listing.estado.map(EstadoDespacho::palabra);
        let listed = Listed::Despachos { entidad: &listing.entidad, estado };
        self.list(listed, listing.after, listing.limit, Record::into_despacho).await
    }

    async fn despachos_by_numero(&self, numbered: Numbered) -> Result<Page<Despacho>, StoreError> {
        self.list(Listed::DespachosNumbered(&numbered), numbered.after, numbered.limit, Record::into_despacho).await
    }

    async fn recepcion(&self, id: Id) -> Result<Option<Recepcion>, StoreError> {
        self.record(id, Record::into_recepcion).await
    }

    async fn recepcion_by_arrival(
        &self,
        entidad: &Ruc,
        remitente: &Ruc,
        cuo: &Cuo,
    ) -> Result<Option<Recepcion>, StoreError> {
        let (entidad, remitente, cuo) = (entidad.clone(), remitente.clone(), cuo.clone());
        self.unique(UniqueKey::Arrival { entidad, remitente, cuo }, Record::into_recepcion).await
    }

    async fn recepciones_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Recepcion>, StoreError> {
        Ok(read::arrivals(&self.shared, entidad, cuo).await?.into_iter().filter_map(Record::into_recepcion).collect())
    }

    async fn recepciones(&self, listing: Listing<EstadoRecepcion>) -> Result<Page<Recepcion>, StoreError> {
        let estado = listing.estado.map(EstadoRecepcion::palabra);
        let listed = Listed::Recepciones { entidad: &listing.entidad, estado };
        self.list(listed, listing.after, listing.limit, Record::into_recepcion).await
    }

    async fn recepciones_by_numero(&self, numbered: Numbered) -> Result<Page<Recepcion>, StoreError> {
        self.list(Listed::RecepcionesNumbered(&numbered), numbered.after, numbered.limit, Record::into_recepcion).await
    }

    async fn api_key_by_hash(&self, hash: &Sha256) -> Result<Option<ApiKey>, StoreError> {
        self.unique(UniqueKey::ApiKey { hash: hash.clone() }, Record::into_api_key).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(read::all(&self.shared, API_KEY).await?.into_iter().filter_map(Record::into_api_key).collect())
    }

    async fn usuario(&self, id: Id) -> Result<Option<Usuario>, StoreError> {
        self.record(id, Record::into_usuario).await
    }

    async fn usuario_by_cuenta(&self, cuenta: &str) -> Result<Option<Usuario>, StoreError> {
        self.unique(UniqueKey::Usuario { cuenta: cuenta.to_owned() }, Record::into_usuario).await
    }

    async fn usuarios(&self) -> Result<Vec<Usuario>, StoreError> {
        Ok(read::all(&self.shared, USUARIO).await?.into_iter().filter_map(Record::into_usuario).collect())
    }

    async fn idempotencia(&self, entidad: &Ruc, key: &str) -> Result<Option<Idempotencia>, StoreError> {
        let key = UniqueKey::Idempotency { entidad: entidad.clone(), key: key.to_owned() };
        self.unique(key, |record| match record {
            Record::Idempotencia(found) => Some(found),
            _ => None,
        })
        .await
    }

    async fn directorio(&self) -> Result<Option<Arc<Directorio>>, StoreError> {
        let version = read::version(&self.shared, Directorio::ID).await?;
        if let Some(known) = self.shared.directory.of(version) {
            return Ok(Some(known));
        }
        Ok(self.shared.directory.keep(read::record(&self.shared, Directorio::ID).await?))
    }

    async fn lines(&self, wanted: &Lines<'_>) -> Result<Vec<Line>, StoreError> {
        Ok(counting::lines(&self.shared, wanted).await?)
    }

    async fn textos(&self) -> Result<Option<TextosVistos>, StoreError> {
        self.record(TextosVistos::ID, |record| match record {
            Record::Textos(textos) => Some(*textos),
            _ => None,
        })
        .await
    }

    async fn avisos(&self) -> Result<Option<Avisos>, StoreError> {
        self.record(Avisos::ID, |record| match record {
            Record::Avisos(avisos) => Some(*avisos),
            _ => None,
        })
        .await
    }

    async fn webhook(&self, id: Id) -> Result<Option<EstadoWebhook>, StoreError> {
        self.record(id, |record| match record {
            Record::Webhook(estado) => Some(*estado),
            _ => None,
        })
        .await
    }

    async fn kept(&self, which: Kept, after: Option<Id>, limit: usize) -> Result<Page<Record>, StoreError> {
        Ok(read::kept(&self.shared, which, after, limit).await?)
    }

    async fn named(&self, sha256: &Sha256) -> Result<Option<Named>, StoreError> {
        Ok(read::named(&self.shared, sha256).await?)
    }

    async fn facts(&self, after: Cursor, entidad: Option<&Ruc>, limit: usize) -> Result<Vec<FactAt>, StoreError> {
        Ok(match entidad {
            Some(entidad) => read::facts_of_entity(&self.shared, entidad, after, limit).await?,
            None => read::facts(&self.shared, after, limit).await?,
        })
    }

    async fn facts_of(&self, subject: Id) -> Result<Vec<FactAt>, StoreError> {
        Ok(read::facts_of(&self.shared, subject).await?)
    }

    async fn entries(&self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        Ok(read::entries(&self.shared, after, limit).await?)
    }

    async fn claim_jobs(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        Ok(jobs::claim(&self.shared, claim).await?)
    }

    async fn release_job(&self, id: Id) {
        if let Err(error) = jobs::release(&self.shared, id).await {
            tracing::warn!(%error, job = %id, "a lease could not be given back; it runs out");
        }
    }

    async fn wake(&self, destino: Option<&Ruc>) {
        if let Err(error) = jobs::wake(&self.shared, destino).await {
            tracing::warn!(%error, "what waits for a destination that works again keeps its time");
        }
    }

    async fn job(&self, id: Id) -> Result<Option<Job>, StoreError> {
        Ok(jobs::get(&self.shared, id).await?)
    }

    async fn standing(&self) -> Vec<Standing> {
        jobs::standing(&self.shared).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the queues could not be counted");
            Vec::new()
        })
    }

    async fn jobs(&self, after: Option<Id>, limit: usize) -> Result<Page<Job>, StoreError> {
        Ok(jobs::list(&self.shared, after, limit).await?)
    }

    fn stage(&self, max: u64) -> BlobWriter {
        BlobWriter::new(&self.shared.incoming, max)
    }

    async fn open_document(&self, sha256: &Sha256) -> Result<BlobReader, StoreError> {
        Ok(documents::open(&self.shared, sha256).await?)
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.shared.published.subscribe()
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.requests()?;
        let probe = async {
            let client = self.shared.client().await?;
            let row = client
                .query_one("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean", &[]);
            Ok::<bool, Failure>(row.await?.try_get(0)?)
        };
        match probe.await? {
            false => Ok(()),
            true => Err(StoreError::Database("el servidor es de solo lectura ahora".into())),
        }
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        Ok(verification::verify(&self.shared).await?)
    }

    fn leads(&self) -> bool {
        self.shared.leads.load(Ordering::Relaxed)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(committer) = self.committer.lock().await.take() else { return Ok(()) };
        committer.await.map_err(|_| StoreError::Closed)?;
        self.shared.stop.cancel();
        Ok(presence::leave(&self.shared).await?)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.others.iter().for_each(JoinHandle::abort);
    }
}
