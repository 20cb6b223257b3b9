//! What the tests of the use cases stand on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::{Timestamp, civil::time};

use crate::{
    domain::{
        Ambiente, CargoTramite, Categoria, Consulta, Contenido, Cuo, Desenlace, Despacho, Destinatario, Entidad,
        EntidadPropia, Falla, Id, Persona, Recepcion, Ruc, Tramite,
        calendario::Calendario,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::{TipoDocumento, tipos_documento_conocidos},
        lima,
        validation::Rigor,
    },
    exchange::{
        Actor, Clock, Exchange, Ids, NuevaRespuesta, NuevoDespacho, Platform, PlatformError, RetryPolicy, Settings,
        Sobres,
    },
    soap::sink::DocumentSink,
    store::{
        BlobReader, Claim, JobKind, Staged,
        embedded::{EmbeddedStore, Options},
    },
};

pub const NUESTRA: &str = "20168999926";
pub const OTRA: &str = "20537630222";

/// A clock that a test moves.
pub struct StillClock(pub AtomicI64);

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Ids in order, and chance always at its top.
#[derive(Default)]
pub struct CountedIds(AtomicU64);

impl Ids for CountedIds {
    fn id(&self, now: Timestamp) -> Id {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(now.as_millisecond().try_into().unwrap(), &random).into_uuid()
    }

    fn chance(&self) -> f64 {
        0.999
    }

    fn secret(&self) -> [u8; 32] {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&n.to_be_bytes());
        secret
    }
}

pub type Answer = Result<Respuesta, PlatformError>;

/// An answer to a consulta: code, state letter, cargo's PDF.
#[derive(Clone)]
pub struct Told {
    pub codigo: &'static str,
    pub estado: &'static str,
    pub pdf: Option<Vec<u8>>,
}

/// Answers as scripted, by default well; remembers what it was asked.
#[derive(Default)]
pub struct ScriptedPlatform {
    pub sends: Mutex<VecDeque<Answer>>,
    pub consultas: Mutex<VecDeque<Result<Told, PlatformError>>>,
    pub cargos: Mutex<VecDeque<Answer>>,
    /// Calls in order: `cuo`, `recepcionar <cuo>`, `consultar <cuo>`, `cargo <cuo>`.
    pub calls: Mutex<Vec<String>>,
    /// Runs while a send is under way, before it is answered.
    pub during_send: Mutex<Option<Hook>>,
    /// The same for a cargo.
    pub during_cargo: Mutex<Option<Hook>>,
    /// What `validarEntidad` answers; by default yes.
    pub validations: Mutex<VecDeque<Result<bool, PlatformError>>>,
    /// The entities of the first category; by default [`OTRA`] in all.
    pub listed: Mutex<Option<Vec<Ruc>>>,
    /// Categories after the first by which [`Self::listed`] is shifted.
    pub shifted: AtomicU64,
    /// When consultas say that what they found was registered.
    pub registered: Mutex<Option<&'static str>>,
    /// The document types cannot be had.
    pub no_types: AtomicBool,
    next_cuo: AtomicU64,
    /// How many times the last CUO is given again.
    pub again: AtomicU64,
}

pub type Hook = Box<dyn FnOnce(String) -> futures_util::future::BoxFuture<'static, ()> + Send>;

impl ScriptedPlatform {
    fn called(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

async fn drain(mut pdf: BlobReader) {
    while pdf.next().await.unwrap().is_some() {}
}

#[async_trait]
impl Platform for ScriptedPlatform {
    async fn cuo(&self, _: &Ruc) -> Result<Cuo, PlatformError> {
        self.called("cuo".into());
        let again = self.again.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let n = self.next_cuo.fetch_add(u64::from(!again), Ordering::SeqCst) + u64::from(!again);
        Ok(Cuo::parse(&format!("{n:010}")).unwrap())
    }

    async fn recepcionar(&self, tramite: &Tramite, documento: BlobReader, _: &mut Sobres) -> Answer {
        let cuo = tramite.cuo.clone().unwrap();
        self.called(format!("recepcionar {cuo}"));
        drain(documento).await;
        let hook = self.during_send.lock().unwrap().take();
        if let Some(hook) = hook {
            hook(cuo).await;
        }
        self.sends.lock().unwrap().pop_front().unwrap_or_else(|| Ok(Respuesta::nueva("0000", "recibido")))
    }

    async fn cargo(&self, cargo: &CargoTramite, documento: BlobReader, _: &mut Sobres) -> Answer {
        self.called(format!("cargo {}", cargo.cuo.clone().unwrap()));
        drain(documento).await;
        let hook = self.during_cargo.lock().unwrap().take();
        if let Some(hook) = hook {
            hook(cargo.cuo.clone().unwrap()).await;
        }
        self.cargos
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Ok(Respuesta::nueva("0000", "RECEPCION DE CARGO EXITOSO")))
    }

    async fn consultar(
        &self,
        consulta: &Consulta,
        sink: &mut dyn DocumentSink,
        _: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        self.called(format!("consultar {}", consulta.cuo.clone().unwrap()));
        let told = self.consultas.lock().unwrap().pop_front().unwrap_or_else(|| Ok(told("0001", "")))?;
        let mut cargo = CargoTramite { estado: Some(told.estado.into()), ..CargoTramite::default() };
        if let Some(pdf) = &told.pdf {
            sink.write(pdf).await.unwrap();
            cargo.contenido = Contenido::Pdf { una_vez: false };
            cargo.numero_registro = Some("77".into());
        }
        cargo.fecha_registro = self.registered.lock().unwrap().map(str::to_owned);
        Ok(RespuestaConsulta { respuesta: Respuesta::nueva(told.codigo, "…"), cargo })
    }

    async fn validar_entidad(&self, ruc: &Ruc) -> Result<bool, PlatformError> {
        // Ordinary sends are asked about too: only a scripted answer is worth remembering.
        let Some(scripted) = self.validations.lock().unwrap().pop_front() else { return Ok(true) };
        self.called(format!("validar {ruc}"));
        scripted
    }

    async fn entidades(&self, categoria: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        let nombre = format!("ENTIDAD DE {}", categoria.nombre());
        if let Some(listed) = &*self.listed.lock().unwrap() {
            let first =
                listed.iter().filter(|_| u64::from(categoria.numero()) == 1 + self.shifted.load(Ordering::SeqCst));
            return Ok(first.map(|ruc| Entidad { ruc: ruc.clone(), nombre: nombre.clone(), categoria }).collect());
        }
        Ok(vec![Entidad { ruc: ruc(OTRA), nombre, categoria }])
    }

    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        if self.no_types.load(Ordering::SeqCst) {
            return Err(unclear("sin respuesta"));
        }
        Ok(tipos_documento_conocidos())
    }
}

pub fn told(codigo: &'static str, estado: &'static str) -> Told {
    Told { codigo, estado, pdf: None }
}

pub fn unclear(detalle: &str) -> PlatformError {
    PlatformError::new(Falla::TiempoAgotado, detalle)
}

pub fn ruc(text: &str) -> Ruc {
    Ruc::de_contraparte(text).unwrap()
}

/// An entity with its store, platform and clock.
pub struct World {
    pub exchange: Exchange,
    pub platform: Arc<ScriptedPlatform>,
    pub clock: Arc<StillClock>,
    _dir: tempfile::TempDir,
}

/// Those of our entity, closing at 16:30.
pub fn settings(rigor: Rigor, retry: RetryPolicy) -> Settings {
    Settings {
        ambiente: Ambiente::Simulation,
        entidades: vec![EntidadPropia {
            ruc: ruc(NUESTRA),
            nombre: "NUESTRA ENTIDAD".into(),
            cierre: time(16, 30, 0, 0),
        }],
        rigor,
        calendario: Calendario::default(),
        document_bytes_max: 1_000_000,
        retry,
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Rigor::Lenient).await
    }

    pub async fn with(rigor: Rigor) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(dir.path(), Options::new(lima::leer("2026-11-20T10:00:00").unwrap())).unwrap();
        let platform = Arc::new(ScriptedPlatform::default());
        let start = lima::leer("2026-11-20T10:00:00").unwrap();
        let clock = Arc::new(StillClock(AtomicI64::new(start.as_millisecond())));
        let settings = settings(rigor, RetryPolicy::default());
        let ids = Arc::new(CountedIds::default());
        let exchange = Exchange::new(store, platform.clone(), clock.clone(), ids, settings);
        Self { exchange, platform, clock, _dir: dir }
    }

    pub fn advance(&self, by: Duration) {
        self.clock.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn claim(&self) -> Claim {
        let lease = self.exchange.settings().retry.lease();
        Claim {
            now: self.exchange.now(),
            uptime: self.clock.uptime(),
            lease,
            wait_max: self.exchange.settings().retry.wait_max(),
            limit: 100,
            concurrency: 100,
            exceptions: HashMap::new(),
            in_doubt: HashSet::new(),
        }
    }

    /// Runs every job that is due now, once each; returns how many.
    pub async fn run_due(&self) -> usize {
        let jobs = self.exchange.store.claim_jobs(&self.claim()).await.unwrap().jobs;
        let n = jobs.len();
        for job in jobs {
            self.exchange.run_job(job).await;
        }
        n
    }

    /// Moves on to the next due time and runs what is due; false if nothing is left but to ask for a cargo some day.
    pub async fn run_next(&self) -> bool {
        let jobs = self.exchange.store.jobs(None, 100).await.unwrap().items;
        let live = jobs.iter().filter(|job| job.kind != JobKind::PreguntarCargo && job.muerto_en.is_none());
        let Some(due) = live.map(|job| job.proximo_en).min() else { return false };
        let now = self.exchange.now();
        if due > now {
            self.advance(Duration::try_from(due.duration_since(now)).unwrap() + Duration::from_millis(1));
        }
        self.run_due().await > 0
    }

    pub async fn stage(&self, bytes: &[u8]) -> Staged {
        let mut writer = self.exchange.stage();
        writer.write(bytes).await.unwrap();
        writer.finish().await.unwrap()
    }

    pub async fn dispatch(&self) -> Id {
        self.dispatch_as(nuevo()).await
    }

    pub async fn dispatch_as(&self, nuevo: NuevoDespacho) -> Id {
        let pdf = self.stage(b"%PDF-1.7 oficio").await;
        self.exchange.despachar(&Actor::local(), &ruc(NUESTRA), &nuevo, Some(pdf), None).await.unwrap()[0].id
    }

    pub async fn despacho(&self, id: Id) -> Despacho {
        self.exchange.store.despacho(id).await.unwrap().unwrap()
    }

    pub async fn recepcion(&self, id: Id) -> Recepcion {
        self.exchange.store.recepcion(id).await.unwrap().unwrap()
    }

    /// What happened to a record, by name.
    pub async fn history(&self, id: Id) -> Vec<String> {
        self.exchange.store.facts_of(id).await.unwrap().into_iter().map(|f| f.fact.tipo).collect()
    }

    pub async fn receive(&self, tramite: &Tramite, pdf: &[u8]) -> (String, String) {
        let pdf = self.stage(pdf).await;
        in_words(&self.exchange.recibir(tramite, Some(pdf), None).await)
    }

    /// A document of ours that was sent and observed.
    pub async fn observed(&self) -> Id {
        let id = self.dispatch().await;
        self.run_due().await;
        self.collect(&cargo("1", "O"), b"%PDF-1.7 c").await;
        id
    }

    /// Begins a send that does not end, and leaves it there as a crash would.
    pub async fn stuck_send(&self) -> Id {
        let id = self.dispatch().await;
        let (tell, entered) = tokio::sync::oneshot::channel();
        *self.platform.during_send.lock().unwrap() = Some(Box::new(move |_| {
            Box::pin(async move {
                tell.send(()).unwrap();
                std::future::pending::<()>().await;
            })
        }));
        tokio::select! {
            _ = self.run_due() => unreachable!("it never ends"),
            _ = entered => {}
        }
        id
    }

    pub async fn collect(&self, cargo: &CargoTramite, pdf: &[u8]) -> (String, String) {
        let pdf = self.stage(pdf).await;
        in_words(&self.exchange.recibir_cargo(cargo, Some(pdf), None).await)
    }

    pub async fn bytes(&self, documento: &crate::domain::Documento) -> Vec<u8> {
        let mut reader = self.exchange.store.open_document(&documento.sha256).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
}

pub fn in_words(respuesta: &Respuesta) -> (String, String) {
    (respuesta.codigo().to_owned(), respuesta.descripcion().to_owned())
}

fn some(text: &str) -> Option<String> {
    Some(text.into())
}

/// A despacho the SGD could state.
pub fn nuevo() -> NuevoDespacho {
    NuevoDespacho {
        numero_registro: some("2026-000123"),
        destinos: vec![OTRA.into()],
        unidad_remitente: some("OFICINA DE TI"),
        codigo_unidad_remitente: some("OTI"),
        usuario: some("jperez"),
        remitente: Persona { tipo_documento: "1".into(), numero_documento: "40633367".into() },
        destinatario: Destinatario { unidad: "MESA".into(), nombre: "ANA".into(), cargo: "JEFA".into() },
        tipo_documento: some("01"),
        numero_documento: some("OFICIO 001-2026"),
        fecha_documento: None,
        asunto: some("Señal & «prueba»"),
        folios: Some(3),
        nombre_documento: some("oficio.pdf"),
        contenido: Contenido::Pdf { una_vez: true },
        anexos: Vec::new(),
        archivos: Vec::new(),
        url_anexos: None,
        referencia: None,
        reemplaza: None,
    }
}

/// A document as it arrives for us under `cuo`.
pub fn arrival(cuo: &str) -> Tramite {
    Tramite {
        ruc_remitente: some(OTRA),
        ruc_receptor: some(NUESTRA),
        nombre_remitente: some("OTRA ENTIDAD"),
        unidad_remitente: some("SEGDI"),
        tipo_identidad: some("1"),
        numero_identidad: some("40633367"),
        cuo: some(cuo),
        cuo_referencia: None,
        tipo_documento: some("01"),
        numero_documento: some("OFICIO 9"),
        fecha_documento: some("2026-11-20T09:00:00"),
        unidad_destino: some("MESA"),
        nombre_destinatario: some("ANA"),
        cargo_destinatario: some("JEFA"),
        asunto: some("Asunto"),
        numero_anexos: Some(0),
        folios: Some(1),
        url_anexos: None,
        nombre_documento: some("a.pdf"),
        contenido: Contenido::Pdf { una_vez: false },
        anexos: Vec::new(),
    }
}

/// A cargo as it arrives for our document under `cuo`.
pub fn cargo(cuo: &str, estado: &str) -> CargoTramite {
    CargoTramite {
        cuo: some(cuo),
        numero_registro: some("55"),
        anio_registro: some("2026"),
        fecha_registro: some("2026-11-20T11:00:00"),
        unidad: some("MESA DE PARTES"),
        usuario: some("ANA PÉREZ"),
        contenido: Contenido::Pdf { una_vez: false },
        observacion: (estado == "O").then(|| "Falta la firma".into()),
        estado: some(estado),
        ..CargoTramite::default()
    }
}

/// What mesa de partes answers.
pub fn respuesta(desenlace: Desenlace) -> NuevaRespuesta {
    NuevaRespuesta {
        desenlace,
        numero_registro: some("1234"),
        anio_registro: None,
        fecha_registro: None,
        unidad: some("MESA DE PARTES"),
        usuario: some("ANA PÉREZ"),
        observacion: (desenlace == Desenlace::Observado).then(|| "Falta la firma".into()),
        contenido: Contenido::Pdf { una_vez: true },
    }
}
