//! The service as the platform meets it: requests into the router, over a real store in a folder of its own.

mod refusals;
mod table;
mod web;

use std::{fs, path::Path, sync::Arc};

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use jiff::{Timestamp, civil::Time};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::{
    config,
    contract::{self, Outgoing},
    domain::{
        Ambiente, CargoTramite, Categoria, Consulta, Cuo, Desenlace, Despacho, Destinatario, Entidad, EntidadPropia,
        Falla, Persona, Ruc, Tramite, calendario::Calendario, cargo::RespuestaConsulta, despacho::Suceso,
        entidad::TipoDocumento, lima, validation::Rigor,
    },
    exchange::{
        Actor, Clock, NuevaRespuesta, NuevoDespacho, Platform, PlatformError, RetryPolicy, Settings, Sobres, SystemIds,
    },
    http::limits::InFlight,
    soap::{AnswerError, DocumentSink, Message, SinkError},
    store::{
        BlobReader, Change, Fact, Record,
        embedded::{EmbeddedStore, Options},
    },
};

const OURS: &str = "20900000015";
const THEIRS: &str = "20168999926";
const CUO: &str = "0000000019";
const DOCUMENT_MAX: u64 = 900_000;
/// Larger than what the store keeps in memory.
const LARGE: usize = 600_000;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        lima::leer("2026-11-21T10:00:00").unwrap()
    }
}

/// No test here goes out.
struct Nowhere;

fn nowhere<T>() -> Result<T, PlatformError> {
    Err(PlatformError::new(Falla::SinConexion, "no se esperaba"))
}

#[async_trait]
impl Platform for Nowhere {
    async fn cuo(&self, _: &Ruc) -> Result<Cuo, PlatformError> {
        nowhere()
    }
    async fn recepcionar(&self, _: &Tramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        nowhere()
    }
    async fn cargo(&self, _: &CargoTramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        nowhere()
    }
    async fn consultar(
        &self,
        _: &Consulta,
        _: &mut dyn DocumentSink,
        _: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        nowhere()
    }
    async fn validar_entidad(&self, _: &Ruc) -> Result<bool, PlatformError> {
        nowhere()
    }
    async fn entidades(&self, _: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        nowhere()
    }
    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        nowhere()
    }
}

struct World {
    exchange: Exchange,
    metrics: Arc<Metrics>,
    router: Router,
    folder: TempDir,
}

fn ruc(text: &str) -> Ruc {
    Ruc::de_contraparte(text).unwrap()
}

fn world() -> World {
    world_with(InFlight::new(10_000_000), None)
}

fn world_with(in_flight: InFlight, public_url: Option<&str>) -> World {
    world_of(&limits(), in_flight, public_url)
}

fn world_bounded(limits: config::Limits) -> World {
    world_of(&limits, InFlight::new(10_000_000), None)
}

fn world_of(limits: &config::Limits, in_flight: InFlight, public_url: Option<&str>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path(), Options::new(Still.now())).unwrap();
    let nombre = "MUNICIPALIDAD DISTRITAL DE EJEMPLO".to_owned();
    let settings = Settings {
        ambiente: Ambiente::Simulation,
        entidades: vec![EntidadPropia { ruc: ruc(OURS), nombre, cierre: Time::constant(16, 30, 0, 0) }],
        rigor: Rigor::Lenient,
        calendario: Calendario::default(),
        document_bytes_max: DOCUMENT_MAX,
        retry: RetryPolicy::default(),
    };
    let exchange = Exchange::new(store, Arc::new(Nowhere), Arc::new(Still), Arc::new(SystemIds), settings);
    let metrics = Arc::new(Metrics::default());
    let state = Wsiotramite {
        exchange: exchange.clone(),
        intake: Intake::new(limits, limits.envelope_max().bytes(), in_flight).with_requests(limits),
        metrics: Arc::clone(&metrics),
        public_url: public_url.map(Into::into),
    };
    World { exchange, metrics, router: router(state), folder }
}

fn limits() -> config::Limits {
    config::Limits { document_max: config::Size::kib(1024), ..config::Limits::default() }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// `vcodres` and `vdesres`, of an answer that is one.
    async fn respuesta(&self, operation: Operation) -> (String, String) {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.headers["content-type"], "text/xml; charset=utf-8");
        let r = tramite::read_respuesta(&*self.body, None, operation).await.unwrap();
        (r.codigo().to_owned(), r.descripcion().to_owned())
    }

    /// Code and text of a fault, which comes under `status`.
    async fn fault(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "text/xml; charset=utf-8");
        match tramite::read_respuesta(&*self.body, None, Operation::Cargo).await {
            Err(AnswerError::Fault(fault)) => (fault.code.name().to_owned(), fault.text),
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Default)]
struct Collected(Vec<u8>);

#[async_trait]
impl DocumentSink for Collected {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

impl World {
    async fn send(&self, request: Request) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: to_bytes(body, 10_000_000).await.unwrap().into() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::builder().uri(path).header("host", "x.gob.pe:8080").body(Body::empty()).unwrap()).await
    }

    async fn post(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(PATH);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// As the platform does.
    async fn xml(&self, body: impl Into<Body>) -> Answer {
        self.post(&[("content-type", "text/xml; charset=utf-8"), ("soapaction", "\"\"")], body).await
    }

    async fn call(&self, outgoing: Outgoing, pdf: &[u8]) -> Answer {
        self.xml(wire(outgoing.message, pdf).await).await
    }

    async fn recepcionar(&self, tramite: &Tramite, pdf: &[u8]) -> (String, String) {
        let outgoing = tramite::recepcionar(tramite, Some(pdf.len() as u64));
        self.call(outgoing, pdf).await.respuesta(Operation::Recepcionar).await
    }

    async fn cargo(&self, cargo: &CargoTramite, pdf: &[u8]) -> (String, String) {
        let outgoing = tramite::cargo(cargo, Some(pdf.len() as u64));
        self.call(outgoing, pdf).await.respuesta(Operation::Cargo).await
    }

    async fn consultar(&self, cuo: &str) -> (RespuestaConsulta, Vec<u8>) {
        let answer = self.call(tramite::consultar(cuo), &[]).await;
        assert_eq!(answer.status, 200);
        let mut sink = Collected::default();
        let limits = Limits::with_document(DOCUMENT_MAX);
        let read = tramite::read_respuesta_consulta(&*answer.body, None, limits, &mut sink).await.unwrap();
        (read, sink.0)
    }

    /// Every arrival under the CUO.
    async fn arrivals(&self, cuo: &str) -> Vec<crate::domain::Recepcion> {
        self.exchange.store().recepciones_by_cuo(&ruc(OURS), &Cuo::parse(cuo).unwrap()).await.unwrap()
    }

    async fn document(&self, sha256: &crate::domain::Sha256) -> Vec<u8> {
        let mut reader = self.exchange.store().open_document(sha256).await.unwrap();
        let mut all = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        all
    }

    /// A document of ours that was sent (or is being sent, or was withdrawn) under [`CUO`].
    async fn despacho(&self, sucesos: Vec<Suceso>) -> Despacho {
        let some = |text: &str| Some(text.to_owned());
        let nuevo = NuevoDespacho {
            numero_registro: some("2026-7"),
            destinos: vec![THEIRS.into()],
            unidad_remitente: some("OTI"),
            usuario: some("jperez"),
            remitente: Persona { tipo_documento: "1".into(), numero_documento: "40633367".into() },
            destinatario: Destinatario { unidad: "OTD".into(), nombre: "ANA".into(), cargo: "JEFA".into() },
            tipo_documento: some("01"),
            numero_documento: some("OFICIO 7"),
            asunto: some("Prueba"),
            nombre_documento: some("oficio.pdf"),
            contenido: Contenido::Pdf { una_vez: true },
            ..NuevoDespacho::default()
        };
        let mut writer = self.exchange.stage();
        writer.write(&pdf(3000)).await.unwrap();
        let staged = writer.finish().await.unwrap();
        let made = self.exchange.despachar(&Actor::local(), &ruc(OURS), &nuevo, Some(staged), None).await.unwrap();
        let mut despacho = made.into_iter().next().unwrap();
        for suceso in sucesos {
            despacho.aplicar(suceso, Still.now()).unwrap();
            let fact = Fact {
                at: Still.now(),
                tipo: "despacho.prueba".into(),
                actor: "local".into(),
                entidad: Some(ruc(OURS)),
                sujeto: despacho.id,
                cuo: None,
                estado: None,
                detalle: None,
                documentos: Vec::new(),
                sobres: Vec::new(),
            };
            let records = vec![Record::Despacho(Box::new(despacho.clone()))];
            self.exchange.store().commit(Change { facts: vec![fact], records, ..Change::default() }).await.unwrap();
        }
        despacho
    }

    fn begun() -> Suceso {
        Suceso::EnvioIniciado { cuo: Cuo::parse(CUO).unwrap() }
    }

    /// What documents left on disk: files being taken in, large documents, bytes of small ones.
    fn on_disk(&self) -> (usize, usize, u64) {
        let root = self.folder.path();
        let packs = fs::read_dir(root.join("packs")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        (files(&root.join("incoming")), files(&root.join("documents")), packs)
    }

    fn tolerated(&self, name: &str) -> bool {
        self.metrics.text().unwrap().contains(&format!("chasqui_tolerances_total{{name=\"{name}\"}} 1"))
    }
}

fn files(dir: &Path) -> usize {
    let count = |entry: fs::DirEntry| if entry.path().is_dir() { files(&entry.path()) } else { 1 };
    fs::read_dir(dir).unwrap().map(|entry| count(entry.unwrap())).sum()
}

/// The message as it stands on the wire.
async fn wire(message: Message, pdf: &[u8]) -> Vec<u8> {
    let source = message.document_len.map(|_| Box::new(Some(Bytes::copy_from_slice(pdf))) as _);
    message.into_body(source).collect().await.unwrap().to_bytes().into()
}

/// Bytes that begin like a PDF and go on like noise.
fn pdf(bytes: usize) -> Vec<u8> {
    let noise = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    b"%PDF-1.7\n".iter().copied().chain(noise).take(bytes).collect()
}

fn documento() -> Tramite {
    let some = |t: &str| Some(t.to_owned());
    Tramite {
        ruc_remitente: some(THEIRS),
        ruc_receptor: some(OURS),
        nombre_remitente: some("PRESIDENCIA DEL CONSEJO DE MINISTROS"),
        unidad_remitente: some("SECRETARÍA DE GOBIERNO DIGITAL"),
        tipo_identidad: some("1"),
        numero_identidad: some("40633367"),
        cuo: some(CUO),
        tipo_documento: some("01"),
        numero_documento: some("OFICIO N° 001-2026"),
        fecha_documento: some("2026-11-20T09:30:00-05:00"),
        unidad_destino: some("OFICINA DE TI"),
        nombre_destinatario: some("José Ñáñez"),
        cargo_destinatario: some("JEFE"),
        asunto: some("Año \"fiscal\" & <otros>"),
        numero_anexos: Some(1),
        folios: Some(3),
        url_anexos: some("https://ejemplo.gob.pe/anexos?a=1&b=2"),
        nombre_documento: some("oficio.pdf"),
        anexos: vec![some("plano.dwg")],
        ..Tramite::default()
    }
}

fn su_cargo() -> CargoTramite {
    let some = |t: &str| Some(t.to_owned());
    CargoTramite {
        cuo: some(CUO),
        numero_registro: some("2026-000777"),
        anio_registro: some("2026"),
        fecha_registro: some("2026-11-21T09:00:00-05:00"),
        unidad: some("MESA DE PARTES"),
        usuario: some("María Peña"),
        estado: some("R"),
        ..CargoTramite::default()
    }
}
