//! What examining and auditing add to receiving a signed document of 1 MB, as ratios in one run over one store:
//! `cargo bench --bench proof`; `CHASQUI_BENCH_ROUNDS` and `CHASQUI_BENCH_DIR` change it.
//!
//! The bare way is everything else that receiving does: reading the envelope, both layers of base64, the SHA-256, staging and
//! the synced commit. The whole way is the service itself, its listener's own work included, until it has answered, so it is rather overstated.

#![allow(clippy::expect_used)] // a bench that cannot go on says where

#[allow(dead_code)] // made for tests, which use more of it
#[path = "../tests/it/pdf.rs"]
mod pdf;

use std::{
    io::Cursor,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
};
use bytes::Bytes;
use chasqui::{
    audit::{self, Log},
    config::Limits as ConfigLimits,
    contract::tramite,
    domain::{
        Ambiente, CargoTramite, Categoria, Consulta, Cuo, Entidad, EntidadPropia, Falla, Recepcion, Ruc, Tramite,
        calendario::Calendario,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
        validation::Rigor,
    },
    exchange::{
        Clock, Exchange, Ids, Platform, PlatformError, RetryPolicy, Settings, Sobres, SystemClock, SystemIds,
        examine::Examiner,
    },
    http::limits::{InFlight, Intake},
    signing::{
        Identity,
        pades::{self, Order},
        trust::Trust,
        verify,
    },
    soap::{DocumentSink, EnvelopeReader, Limits, capture::Sobre},
    store::{
        BlobReader, Change, Fact, Record, SharedStore, Staged, StagedBody,
        embedded::{EmbeddedStore, Options},
    },
    telemetry::Metrics,
    wsiotramite::{self, PATH, Wsiotramite, body::BodyReader},
};
use http_body_util::BodyExt;
use tower::ServiceExt;

const OURS: &str = "20900000015";
const THEIRS: &str = "20168999926";
/// Size of the document, in bytes.
const DOCUMENT: usize = 1_000_000;
const DOCUMENT_MAX: u64 = 50 * 1024 * 1024;

/// What one way of receiving does besides what all do.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Bare,
    Envelopes,
    Examined,
    Whole,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Bare, "sin examen ni auditoría"),
    (Way::Envelopes, "con los sobres"),
    (Way::Examined, "con el examen"),
    (Way::Whole, "el servicio entero, hasta que responde"),
];

fn main() {
    let rounds = std::env::var("CHASQUI_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60_usize);
    let base = std::env::var("CHASQUI_BENCH_DIR").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
    let folder = tempfile::tempdir_in(base).expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(folder.path().to_owned(), rounds));
}

async fn run(folder: PathBuf, rounds: usize) {
    let bench = Bench::new(folder);
    let mut took: [Vec<Duration>; 4] = Default::default();
    for round in 0..=rounds {
        for (n, (way, _)) in WAYS.iter().enumerate() {
            let (tramite, pdf) = bench.document((round * WAYS.len() + n) as u64);
            let message = tramite::recepcionar(&tramite, Some(pdf.len() as u64)).message;
            let body = message.into_body(Some(Box::new(Some(pdf))));
            let body = body.collect().await.expect("a body").to_bytes();
            let began = Instant::now();
            bench.receive(*way, &tramite, body).await;
            // The first round warms up.
            let elapsed = began.elapsed();
            if round > 0 {
                took[n].push(elapsed);
            }
            // The tree follows the journal at its own pace; it is not to be at work during the next measurement.
            bench.log.settle().await;
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    let medians = took.each_mut().map(median);
    for ((_, name), ms) in WAYS.iter().zip(medians) {
        println!("{name:<36} {ms:>7.2} ms  {:>+6.1} %", (ms / medians[0] - 1.0) * 100.0);
    }
}

struct Bench {
    store: SharedStore,
    router: Router,
    log: Arc<Log>,
    identity: Identity,
    trust: Trust,
}

impl Bench {
    fn new(folder: PathBuf) -> Self {
        let now = SystemClock.now();
        let store: SharedStore = EmbeddedStore::open(&folder, Options::new(now)).expect("a store");
        let mut trust = Trust::default();
        trust.with(include_bytes!("../fixtures/pki/chain.pem"), "chain.pem").expect("anchors");
        let nombre = "MUNICIPALIDAD DISTRITAL DE EJEMPLO".to_owned();
        let settings = Settings {
            ambiente: Ambiente::Simulation,
            entidades: vec![EntidadPropia {
                ruc: ruc(OURS),
                nombre,
                cierre: jiff::civil::Time::constant(16, 30, 0, 0),
            }],
            rigor: Rigor::Lenient,
            calendario: Calendario::default(),
            document_bytes_max: DOCUMENT_MAX,
            retry: RetryPolicy::default(),
        };
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let exchange = Exchange::new(Arc::clone(&store), Arc::new(Nobody), clock, ids, settings);
        let exchange = exchange.with_examiner(Examiner::new(trust.clone(), Default::default()));
        let limits = ConfigLimits::default();
        let intake = Intake::new(&limits, limits.envelope_max().bytes(), InFlight::new(1 << 30)).with_requests(&limits);
        let metrics = Arc::new(Metrics::default());
        let router = wsiotramite::router(Wsiotramite { exchange, intake, metrics, public_url: None });
        let options = audit::log::Options {
            data_dir: folder,
            origin: "chasqui/medida".into(),
            seed: [7; 32],
            export: None,
            timestamper: None,
        };
        let log = Log::open(Arc::clone(&store), options).expect("a log");
        let p12 = include_bytes!("../fixtures/pki/persona-gobierno.p12");
        let password = include_str!("../fixtures/pki/password").trim();
        let identity = Identity::read(p12, Some(password)).expect("an identity");
        Self { store, router, log, identity, trust }
    }

    /// A signed document that nobody sent before.
    fn document(&self, seed: u64) -> (Tramite, Bytes) {
        let (unsigned, mut pdf) = (pdf::pdf(seed, DOCUMENT), Vec::new());
        let order =
            Order { at: SystemClock.now(), reason: None, location: None, stamp: None, field: None, timestamper: None };
        pades::sign(Cursor::new(unsigned), &mut pdf, &self.identity, &order).expect("a signature");
        let some = |text: &str| Some(text.to_owned());
        let tramite = Tramite {
            ruc_remitente: some(THEIRS),
            ruc_receptor: some(OURS),
            nombre_remitente: some("PRESIDENCIA DEL CONSEJO DE MINISTROS"),
            unidad_remitente: some("SECRETARÍA DE GOBIERNO DIGITAL"),
            tipo_identidad: some("1"),
            numero_identidad: some("40633367"),
            cuo: Some(format!("{:010}", seed + 1)),
            tipo_documento: some("01"),
            numero_documento: some("OFICIO N° 001-2026"),
            fecha_documento: some("2026-11-20T09:30:00-05:00"),
            unidad_destino: some("OFICINA DE TI"),
            nombre_destinatario: some("José Ñáñez"),
            cargo_destinatario: some("JEFE"),
            asunto: some("Medida"),
            numero_anexos: Some(0),
            folios: Some(1),
            nombre_documento: some("oficio.pdf"),
            ..Tramite::default()
        };
        (tramite, pdf.into())
    }

    async fn receive(&self, way: Way, tramite: &Tramite, body: Bytes) {
        if way == Way::Whole {
            let request = Request::builder().method("POST").uri(PATH).header("content-type", "text/xml");
            let request = request.body(Body::from(body)).expect("a request");
            let answer = self.router.clone().oneshot(request).await.expect("an answer");
            let answer = to_bytes(answer.into_body(), 1 << 20).await.expect("an answer");
            assert!(memchr::memmem::find(&answer, b"<vcodres>0000").is_some(), "{answer:?}");
            return;
        }
        let mut body = BodyReader::new(Body::from(body), None);
        if way == Way::Envelopes {
            body.capture();
        }
        let envelope = EnvelopeReader::open(&mut body, None, Limits::with_document(DOCUMENT_MAX)).await;
        let mut sink = self.store.stage(DOCUMENT_MAX);
        tramite::read(envelope.expect("an envelope"), &mut sink).await.expect("a request");
        let staged = sink.finish().await.expect("a document");
        let firmas = if way == Way::Examined { Some(self.examined(&staged).await) } else { None };
        let mut recepcion = self.recepcion(tramite, &staged);
        if let Some(firmas) = firmas {
            recepcion["documento"]["firmas"] = serde_json::to_value(firmas).expect("a report");
        }
        let recepcion: Recepcion = serde_json::from_value(recepcion).expect("a record");
        let sobres = match body.captured() {
            Some(sobre) => vec![self.kept(sobre).await],
            None => Vec::new(),
        };
        self.commit(recepcion, staged, sobres).await;
    }

    async fn examined(&self, staged: &Staged) -> chasqui::domain::firmas::Informe {
        let (trust, now) = (self.trust.clone(), SystemClock.now());
        let (body, begun) = (staged.body.clone(), staged.begun.clone());
        let examination = tokio::task::spawn_blocking(move || {
            let context =
                verify::Context { now, trust: &trust, folios: Some(1), revocation: None, begun: Some(&begun) };
            match &body {
                StagedBody::Memory(bytes) => verify::examine(Cursor::new(bytes), &context),
                StagedBody::File(staged) => {
                    verify::examine(std::fs::File::open(staged.path()).expect("a file"), &context)
                }
            }
        });
        examination.await.expect("a report")
    }

    async fn kept(&self, sobre: Sobre) -> Staged {
        let mut writer = self.store.stage(DOCUMENT_MAX);
        writer.write(&serde_json::to_vec(&sobre).expect("JSON")).await.expect("room");
        writer.finish().await.expect("room")
    }

    fn recepcion(&self, t: &Tramite, staged: &Staged) -> serde_json::Value {
        let now = SystemClock.now();
        serde_json::json!({
            "id": SystemIds.id(now), "version": 1, "entidad": OURS, "cuo": t.cuo, "cuo_referencia": null,
            "remitente": {"ruc": THEIRS, "nombre": t.nombre_remitente, "unidad": t.unidad_remitente,
                "tipo_documento": "1", "numero_documento": "40633367"},
            "destinatario": {"unidad": t.unidad_destino, "nombre": t.nombre_destinatario, "cargo": "JEFE"},
            "tipo_documento": "01", "numero_documento": t.numero_documento, "fecha_documento": now, "asunto": t.asunto,
            "folios": 1, "documento": {"nombre": "oficio.pdf", "bytes": staged.bytes, "sha256": staged.sha256},
            "anexos": [], "url_anexos": null, "advertencias": [], "huella": staged.sha256, "estado": "pendiente",
            "recibido_en": now, "fecha_presentacion": "2026-11-23", "numero_registro": null, "anio_registro": null,
            "cargo": null, "cargo_entregado_en": null, "ultimo_error": null, "actualizado_en": now,
        })
    }

    async fn commit(&self, recepcion: Recepcion, staged: Staged, sobres: Vec<Staged>) {
        let fact = Fact {
            at: SystemClock.now(),
            tipo: "recepcion.recibida".into(),
            actor: "pide".into(),
            entidad: Some(recepcion.entidad.clone()),
            sujeto: recepcion.id,
            cuo: Some(recepcion.cuo.to_string()),
            estado: Some("pendiente".into()),
            detalle: None,
            documentos: vec![staged.sha256.clone()],
            sobres: sobres.iter().map(|sobre| sobre.sha256.clone()).collect(),
        };
        let records = vec![Record::Recepcion(Box::new(recepcion))];
        let documents = std::iter::once(staged).chain(sobres).collect();
        let change = Change { facts: vec![fact], records, documents, ..Change::default() };
        self.store.commit(change).await.expect("a commit");
    }
}

fn ruc(text: &str) -> Ruc {
    Ruc::de_contraparte(text).expect("a RUC")
}

/// Nothing goes out here.
struct Nobody;

fn nobody<T>() -> Result<T, PlatformError> {
    Err(PlatformError::new(Falla::SinConexion, "nadie"))
}

#[async_trait]
impl Platform for Nobody {
    async fn cuo(&self, _: &Ruc) -> Result<Cuo, PlatformError> {
        nobody()
    }
    async fn recepcionar(&self, _: &Tramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        nobody()
    }
    async fn cargo(&self, _: &CargoTramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        nobody()
    }
    async fn consultar(
        &self,
        _: &Consulta,
        _: &mut dyn DocumentSink,
        _: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        nobody()
    }
    async fn validar_entidad(&self, _: &Ruc) -> Result<bool, PlatformError> {
        nobody()
    }
    async fn entidades(&self, _: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        nobody()
    }
    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        nobody()
    }
}
