//! A store that dies in the middle: before or after a commit became durable, as a crashed process would leave it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    domain::{Cuo, Despacho, EstadoDespacho, EstadoRecepcion, Id, Recepcion, Ruc, Sha256},
    store::{
        Adopted, ApiKey, Avisos, BlobReader, BlobWriter, Change, Claim, Claimed, CommitError, Cursor, Directorio,
        EstadoWebhook, FactAt, Idempotencia, Job, Kept, Listing, Named, Numbered, Page, RawEntry, Record, Seq,
        SharedStore, Standing, Store, StoreError, TextosVistos, Usuario, Verification,
        tally::{Line, Lines},
    },
};

pub struct Fuse {
    pub inner: SharedStore,
    /// Commits until it burns; never if it starts below zero.
    pub left: AtomicI64,
    /// Whether the last commit is durable although nobody hears of it.
    pub after: bool,
    pub burnt: AtomicBool,
    /// Whether tokio's paused clock stands still while a commit is under way: its thread is not one of tokio's.
    pub holding: bool,
}

impl Fuse {
    pub fn new(inner: SharedStore, commits: i64, after: bool) -> Arc<Self> {
        Arc::new(Self { inner, left: AtomicI64::new(commits), after, burnt: AtomicBool::new(false), holding: false })
    }

    /// One that never burns, and that costs no simulated time.
    pub fn holding_the_clock(inner: SharedStore) -> Arc<Self> {
        let left = AtomicI64::new(-1);
        Arc::new(Self { inner, left, after: false, burnt: AtomicBool::new(false), holding: true })
    }

    fn alive(&self) -> Result<&SharedStore, StoreError> {
        if self.burnt.load(Ordering::SeqCst) { Err(StoreError::Closed) } else { Ok(&self.inner) }
    }
}

#[async_trait]
impl Store for Fuse {
    async fn commit(&self, change: Change) -> Result<Seq, CommitError> {
        let inner = self.alive()?;
        if self.holding {
            // Tokio does not move its paused clock on while a blocking task runs.
            let (done, wait) = std::sync::mpsc::channel::<()>();
            let hold = tokio::task::spawn_blocking(move || wait.recv().ok());
            let committed = inner.commit(change).await;
            drop(done);
            hold.await.ok();
            return committed;
        }
        if self.left.fetch_sub(1, Ordering::SeqCst) != 0 {
            return inner.commit(change).await;
        }
        if self.after {
            inner.commit(change).await?;
        }
        self.burnt.store(true, Ordering::SeqCst);
        Err(StoreError::Closed.into())
    }

    async fn adopt(&self, entries: Vec<Adopted>) -> Result<Seq, CommitError> {
        self.alive()?.adopt(entries).await
    }

    async fn despacho(&self, id: Id) -> Result<Option<Despacho>, StoreError> {
        self.alive()?.despacho(id).await
    }

    async fn despacho_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Option<Despacho>, StoreError> {
        self.alive()?.despacho_by_cuo(entidad, cuo).await
    }

    async fn despachos(&self, listing: Listing<EstadoDespacho>) -> Result<Page<Despacho>, StoreError> {
        self.alive()?.despachos(listing).await
    }

    async fn despachos_by_numero(&self, numbered: Numbered) -> Result<Page<Despacho>, StoreError> {
        self.alive()?.despachos_by_numero(numbered).await
    }

    async fn recepcion(&self, id: Id) -> Result<Option<Recepcion>, StoreError> {
        self.alive()?.recepcion(id).await
    }

    async fn recepcion_by_arrival(
        &self,
        entidad: &Ruc,
        remitente: &Ruc,
        cuo: &Cuo,
    ) -> Result<Option<Recepcion>, StoreError> {
        self.alive()?.recepcion_by_arrival(entidad, remitente, cuo).await
    }

    async fn recepciones_by_cuo(&self, entidad: &Ruc, cuo: &Cuo) -> Result<Vec<Recepcion>, StoreError> {
        self.alive()?.recepciones_by_cuo(entidad, cuo).await
    }

    async fn recepciones(&self, listing: Listing<EstadoRecepcion>) -> Result<Page<Recepcion>, StoreError> {
        self.alive()?.recepciones(listing).await
    }

    async fn recepciones_by_numero(&self, numbered: Numbered) -> Result<Page<Recepcion>, StoreError> {
        self.alive()?.recepciones_by_numero(numbered).await
    }

    async fn api_key_by_hash(&self, hash: &Sha256) -> Result<Option<ApiKey>, StoreError> {
        self.alive()?.api_key_by_hash(hash).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.alive()?.api_keys().await
    }

    async fn usuario(&self, id: Id) -> Result<Option<Usuario>, StoreError> {
        self.alive()?.usuario(id).await
    }

    async fn usuario_by_cuenta(&self, cuenta: &str) -> Result<Option<Usuario>, StoreError> {
        self.alive()?.usuario_by_cuenta(cuenta).await
    }

    async fn usuarios(&self) -> Result<Vec<Usuario>, StoreError> {
        self.alive()?.usuarios().await
    }

    async fn idempotencia(&self, entidad: &Ruc, key: &str) -> Result<Option<Idempotencia>, StoreError> {
        self.alive()?.idempotencia(entidad, key).await
    }

    async fn avisos(&self) -> Result<Option<Avisos>, StoreError> {
        self.alive()?.avisos().await
    }

    async fn webhook(&self, id: Id) -> Result<Option<EstadoWebhook>, StoreError> {
        self.alive()?.webhook(id).await
    }

    async fn kept(&self, which: Kept, after: Option<Id>, limit: usize) -> Result<Page<Record>, StoreError> {
        self.alive()?.kept(which, after, limit).await
    }

    async fn named(&self, sha256: &Sha256) -> Result<Option<Named>, StoreError> {
        self.alive()?.named(sha256).await
    }

    async fn standing(&self) -> Vec<Standing> {
        self.inner.standing().await
    }

    async fn textos(&self) -> Result<Option<TextosVistos>, StoreError> {
        self.alive()?.textos().await
    }

    async fn directorio(&self) -> Result<Option<Arc<Directorio>>, StoreError> {
        self.alive()?.directorio().await
    }

    async fn lines(&self, wanted: &Lines<'_>) -> Result<Vec<Line>, StoreError> {
        self.alive()?.lines(wanted).await
    }

    async fn facts(&self, after: Cursor, entidad: Option<&Ruc>, limit: usize) -> Result<Vec<FactAt>, StoreError> {
        self.alive()?.facts(after, entidad, limit).await
    }

    async fn entries(&self, after: Seq, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.alive()?.entries(after, limit).await
    }

    async fn facts_of(&self, subject: Id) -> Result<Vec<FactAt>, StoreError> {
        self.alive()?.facts_of(subject).await
    }

    async fn claim_jobs(&self, claim: &Claim) -> Result<Claimed, StoreError> {
        self.alive()?.claim_jobs(claim).await
    }

    async fn release_job(&self, id: Id) {
        self.inner.release_job(id).await;
    }

    async fn wake(&self, destino: Option<&Ruc>) {
        self.inner.wake(destino).await;
    }

    async fn job(&self, id: Id) -> Result<Option<Job>, StoreError> {
        self.alive()?.job(id).await
    }

    async fn jobs(&self, after: Option<Id>, limit: usize) -> Result<Page<Job>, StoreError> {
        self.alive()?.jobs(after, limit).await
    }

    fn stage(&self, max: u64) -> BlobWriter {
        self.inner.stage(max)
    }

    async fn open_document(&self, sha256: &Sha256) -> Result<BlobReader, StoreError> {
        self.alive()?.open_document(sha256).await
    }

    fn watch(&self) -> watch::Receiver<Seq> {
        self.inner.watch()
    }

    async fn writable(&self) -> Result<(), StoreError> {
        self.alive()?.writable().await
    }

    async fn verify(&self) -> Result<Verification, StoreError> {
        self.inner.verify().await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
