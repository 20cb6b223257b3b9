//! The store's handle: the trait's methods over the index, and requests to the committer.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Options, documents,
    entry::Prepared,
    index::IndexError,
    keeper::Request,
    keys::Listed,
    lookup::Lookup,
    opening::{self, Opened},
    shared::Shared,
    verification,
    view::ViewError,
};
use crate::{
    domain::{Cuo, Despacho, EstadoDespacho, EstadoRecepcion, Id, Recepcion, Ruc, Sha256},
    store::{
        Adopted, ApiKey, Avisos, BlobReader, BlobWriter, Change, Claim, Claimed, CommitError, Cursor, Directorio,
        EstadoWebhook, FactAt, Idempotencia, Job, Kept, Listing, Named, Numbered, Page, RawEntry, Record, Seq,
        Standing, Store, StoreError, TextosVistos, UniqueKey, Usuario, Verification,
        blobs::blocking,
        queue::Queue,
        tally::{Line, Lines},
    },
};

pub struct EmbeddedStore {
    pub(super) shared: Arc<Shared>,
    /// `None` once closing began.
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens the store in `dir`, making it if there is none. Blocks: for as long as a replay of the journal takes, if the
    /// index must be rebuilt. Needs no runtime.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<Self>, StoreError> {
        let Opened { shared, requests, thread } = opening::open(dir, &options)?;
        Ok(Arc::new(Self { shared, requests: Mutex::new(Some(requests)), thread: Mutex::new(Some(thread)) }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requests(&self) -> Result<mpsc::Sender<Request>, StoreError> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
    }

    /// Reads the index in one state, between two batches.
    pub(super) fn read<T, E: Into<ViewError>>(
        &self,
        work: impl FnOnce(Lookup<'_>) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let failure = match self.shared.read(work) {
            Ok(found) => return Ok(found),
            Err(ViewError::Store(error)) => return Err(error),
            Err(ViewError::Index(error)) => error,
        };
        self.shared.lose(&failure);
        // A full inbox means that the committer is about to look anyway.
        self.requests()?.try_send(Request::Rebuild).ok();
        Err(StoreError::Index(failure.to_string()))
    }

    /// Why a document is not there.
    fn absent(&self, sha256: &Sha256) -> Result<StoreError, StoreError> {
        let sha256 = sha256.clone();
        Ok(match self.read(|lookup| lookup.purged(&sha256))? {
            Some(seq) => StoreError::Purged { sha256, seq },
            None => StoreError::NoDocument(sha256),
        })
    }

    fn listing<T>(
        &self,
        kind: Listed,
        listing: &Listing<impl Copy>,
        estado: Option<&str>,
        wanted: impl Fn(Record) -> Option<T>,
    ) -> Result<Page<T>, StoreError> {
        let Listing { entidad, after, limit, .. } = listing;
        self.page(|lookup| lookup.list(kind, entidad, estado, *after, *limit), wanted)
    }

    fn page<T>(
        &self,
        ids: impl FnOnce(&Lookup<'_>) -> Result<(Vec<Id>, bool), IndexError>,
        wanted: impl Fn(Record) -> Option<T>,
    ) -> Result<Page<T>, StoreError> {
        self.read(|lookup| {
            let (ids, more) = ids(&lookup)?;
            let next = ids.last().copied().filter(|_| more);
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                items.extend(lookup.record(id)?.and_then(&wanted));
            }
            Ok::<_, ViewError>(Page { items, next })
        })
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn commit(&self, change: Change) -> Result<Seq, CommitError> {
        for document in &change.documents {
            document.synced().await?;
        }
        let prepared = Box::new(Prepared::new(change)?);
        let (answer, result) = oneshot::channel();
        self.requests()?.send(Request::Commit(prepared, answer)).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    async fn adopt(&self, entries: Vec<Adopted>) -> Result<Seq, CommitError> {
        let mut prepared = Vec::with_capacity(entries.len());
        for adopted in entries {
            for document in &adopted.documents {
                document.synced().await?;
            }
            prepared.push(Box::new(Prepared::adopted(adopted)?));
        }
        let (requests, mut results) = (self.requests()?, Vec::with_capacity(prepared.len()));
        for prepared in prepared {
            let (answer, result) = oneshot::channel();
            requests.send(Request::Commit(prepared, answer)).await.map_err(|_| StoreError::Closed)?;
            results.push(result);
        }
        let mut last = *self.shared.published.borrow();
        for result in results {
            last = result.await.map_err(|_| StoreError::Closed)??;
        }
        Ok(last)
    }

    async fn despacho(&self, id: Id) -> Result<Option<Despacho>, StoreError> {
        Ok(self.read(|lookup| lookup.record(id))?.and_then(Record::into_despacho))
    }

    async fn despacho_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Option<Despacho>, StoreError> {
        let key = UniqueKey::CuoDespacho { entidad: entidad.clone(), cuo: cuo.clone() };
        Ok(self.read(|lookup| lookup.by_unique(&key))?.and_then(Record::into_despacho))
    }

    async fn despachos(&self, listing: Listing<EstadoDespacho>) -> Result<Page<Despacho>, StoreError> {
        self.listing(Listed::Despachos, &listing, listing.estado.map(EstadoDespacho::palabra), Record::into_despacho)
    }

    async fn despachos_by_numero(&self, numbered: Numbered) -> Result<Page<Despacho>, StoreError> {
        self.page(|lookup| lookup.numbered(Listed::Despachos, &numbered), Record::into_despacho)
    }

    async fn recepcion(&self, id: Id) -> Result<Option<Recepcion>, StoreError> {
        Ok(self.read(|lookup| lookup.record(id))?.and_then(Record::into_recepcion))
    }

    async fn recepcion_by_arrival(
        &self,
        entidad: &Ruc,
        remitente: &Ruc,
        cuo: &Cuo,
    ) -> Result<Option<Recepcion>, StoreError> {
        let (entidad, remitente, cuo) = (entidad.clone(), remitente.clone(), cuo.clone());
        let key = UniqueKey::Arrival { entidad, remitente, cuo };
        Ok(self.read(|lookup| lookup.by_unique(&key))?.and_then(Record::into_recepcion))
    }

    async fn recepciones_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Recepcion>, StoreError> {
        self.read(|lookup| {
            let ids = lookup.arrivals(entidad, cuo)?;
            let found = ids.into_iter().map(|id| lookup.record(id)).collect::<Result<Vec<_>, ViewError>>()?;
            Ok::<_, ViewError>(found.into_iter().flatten().filter_map(Record::into_recepcion).collect())
        })
    }

    async fn recepciones(&self, listing: Listing<EstadoRecepcion>) -> Result<Page<Recepcion>, StoreError> {
        self.listing(
            Listed::Recepciones,
            &listing,
            listing.estado.map(EstadoRecepcion::palabra),
            Record::into_recepcion,
        )
    }

    async fn recepciones_by_numero(&self, numbered: Numbered) -> Result<Page<Recepcion>, StoreError> {
        self.page(|lookup| lookup.numbered(Listed::Recepciones, &numbered), Record::into_recepcion)
    }

    async fn api_key_by_hash(&self, hash: &Sha256) -> Result<Option<ApiKey>, StoreError> {
        let key = UniqueKey::ApiKey { hash: hash.clone() };
        Ok(self.read(|lookup| lookup.by_unique(&key))?.and_then(Record::into_api_key))
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(|lookup| {
            let ids = lookup.api_keys()?;
            let found = ids.into_iter().map(|id| lookup.record(id)).collect::<Result<Vec<_>, ViewError>>()?;
            Ok::<_, ViewError>(found.into_iter().flatten().filter_map(Record::into_api_key).collect())
        })
    }

    async fn usuario(&self, id: Id) -> Result<Option<Usuario>, StoreError> {
        Ok(self.read(|lookup| lookup.record(id))?.and_then(Record::into_usuario))
    }

    async fn usuario_by_cuenta(&self, cuenta: &str) -> Result<Option<Usuario>, StoreError> {
        let key = UniqueKey::Usuario { cuenta: cuenta.to_owned() };
        Ok(self.read(|lookup| lookup.by_unique(&key))?.and_then(Record::into_usuario))
    }

    async fn usuarios(&self) -> Result<Vec<Usuario>, StoreError> {
        self.read(|lookup| {
            let ids = lookup.usuarios()?;
            let found = ids.into_iter().map(|id| lookup.record(id)).collect::<Result<Vec<_>, ViewError>>()?;
            Ok::<_, ViewError>(found.into_iter().flatten().filter_map(Record::into_usuario).collect())
        })
    }

    async fn idempotencia(&self, entidad: &Ruc, key: &str) -> Result<Option<Idempotencia>, StoreError> {
        let key = UniqueKey::Idempotency { entidad: entidad.clone(), key: key.to_owned() };
        Ok(self.read(|lookup| lookup.by_unique(&key))?.and_then(|record| match record {
            Record::Idempotencia(found) => Some(found),
            _ => None,
        }))
    }

    async fn directorio(&self) -> Result<Option<Arc<Directorio>>, StoreError> {
        let version = self.read(|lookup| lookup.stored(Directorio::ID))?.map(|stored| stored.version);
        if let Some(known) = self.shared.directory.of(version) {
            return Ok(Some(known));
        }
        let read = self.read(|lookup| lookup.record(Directorio::ID))?;
        Ok(self.shared.directory.keep(read))
    }

    async fn lines(&self, wanted: &Lines<'_>) -> Result<Vec<Line>, StoreError> {
        self.read(|lookup| lookup.lines(wanted))
    }

    async fn textos(&self) -> Result<Option<TextosVistos>, StoreError> {
        Ok(self.read(|lookup| lookup.record(TextosVistos::ID))?.and_then(|record| match record {
            Record::Textos(textos) => Some(*textos),
            _ => None,
        }))
    }

    async fn avisos(&self) -> Result<Option<Avisos>, StoreError> {
        Ok(self.read(|lookup| lookup.record(Avisos::ID))?.and_then(|record| match record {
            Record::Avisos(avisos) => Some(*avisos),
            _ => None,
        }))
    }

    async fn webhook(&self, id: Id) -> Result<Option<EstadoWebhook>, StoreError> {
        Ok(self.read(|lookup| lookup.record(id))?.and_then(|record| match record {
            Record::Webhook(estado) => Some(*estado),
            _ => None,
        }))
    }

    async fn kept(&self, which: Kept, after: Option<Id>, limit: usize) -> Result<Page<Record>, StoreError> {
        self.read(|lookup| {
            let (ids, more) = lookup.kept(which, after, limit)?;
            let next = ids.last().copied().filter(|_| more);
            let found = ids.into_iter().map(|id| lookup.record(id)).collect::<Result<Vec<_>, ViewError>>()?;
            Ok::<_, ViewError>(Page { items: found.into_iter().flatten().collect(), next })
        })
    }

    async fn named(&self, sha256: &Sha256) -> Result<Option<Named>, StoreError> {
        self.read(|lookup| lookup.named(sha256))
    }

    async fn standing(&self) -> Vec<Standing> {
        self.queue().standing()
    }

    async fn facts(&self, after: Cursor, entidad: Option<&Ruc>, limit: usize) -> Result<Vec<FactAt>, StoreError> {
        self.read(|lookup| match entidad {
            Some(entidad) => lookup.facts_in(entidad, after, limit),
            None => lookup.facts(after, limit),
        })
    }

    async fn entries(&self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.read(|lookup| lookup.entries(after, limit))
    }

    async fn facts_of(&self, subject: Id) -> Result<Vec<FactAt>, StoreError> {
        self.read(|lookup| lookup.facts_of(subject))
    }

    async fn claim_jobs(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        let (ids, next) = self.queue().claim(claim);
        // A job that ended since it was claimed is not there any more.
        let found = self.read(|lookup| ids.iter().filter_map(|id| lookup.job(*id).transpose()).collect());
        match found {
            Ok(jobs) => Ok(Claimed { jobs, next }),
            Err(error) => {
                let mut queue = self.queue();
                ids.into_iter().for_each(|id| queue.release(id));
                Err(error)
            }
        }
    }

    async fn release_job(&self, id: Id) {
        self.queue().release(id);
    }

    async fn wake(&self, destino: Option<&Ruc>) {
        self.queue().wake(destino);
        // Whoever waits for news looks again.
        self.shared.published.send_modify(|_| {});
    }

    async fn job(&self, id: Id) -> Result<Option<Job>, StoreError> {
        self.read(|lookup| lookup.job(id))
    }

    async fn jobs(&self, after: Option<Id>, limit: usize) -> Result<Page<Job>, StoreError> {
        self.read(|lookup| {
            let (items, more) = lookup.jobs_after(after, limit)?;
            let next = items.last().map(|job| job.id).filter(|_| more);
            Ok::<_, IndexError>(Page { items, next })
        })
    }

    fn stage(&self, max: u64) -> BlobWriter {
        BlobWriter::new(&self.shared.data_dir.join("incoming"), max)
    }

    async fn open_document(&self, sha256: &Sha256) -> Result<BlobReader, StoreError> {
        let placed = self.read(|lookup| lookup.document(sha256))?;
        let Some(placed) = placed else { return Err(self.absent(sha256)?) };
        let opened = documents::open(&self.shared.data_dir, placed).await;
        match opened {
            // It may have been purged between the two.
            Err(StoreError::Damaged { .. }) if self.read(|lookup| lookup.document(sha256))?.is_none() => {
                Err(self.absent(sha256)?)
            }
            opened => opened,
        }
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.shared.published.subscribe()
    }

    async fn writable(&self) -> Result<(), StoreError> {
        let (answer, result) = oneshot::channel();
        self.requests()?.send(Request::Look(answer)).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || verification::verify_open(&shared)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(requests) = requests else { return Ok(()) };
        let (answer, result) = oneshot::channel();
        requests.send(Request::Close(answer)).await.map_err(|_| StoreError::Closed)?;
        result.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the commit under way, so that the folder can be opened again at once. Without [`Store::close`] there is no
    /// clean-stop mark.
    fn drop(&mut self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            thread.join().ok();
        }
    }
}
