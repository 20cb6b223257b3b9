//! The API as its callers meet it: requests into the router, over a real store and a platform that says what a test wants.

mod answering;
mod auditing;
mod counting;
mod decisions;
mod dispatching;
mod keys;
mod reading;
mod scope;
mod streaming;

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use jiff::{Timestamp, civil::Time};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::{
    audit, config,
    domain::{
        Ambiente, CargoTramite, Categoria, Consulta, Contenido, Cuo, Entidad, EntidadPropia, Falla, Ruc, Tramite,
        calendario::Calendario,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
        lima,
        validation::Rigor,
    },
    exchange::{Actor, Clock, NuevaClave, Platform, PlatformError, RetryPolicy, Settings, Sobres, SystemIds},
    http::{limits::InFlight, server::Peer},
    soap::sink::DocumentSink,
    store::{
        BlobReader, Rol,
        embedded::{EmbeddedStore, Options},
    },
};

const RUC_A: &str = "20168999926";
const RUC_B: &str = "20537630222";
const RUC_DESTINO: &str = "20131312955";

/// Larger than what the store keeps in memory.
const LARGE: usize = 700_000;

fn ruc(text: &str) -> Ruc {
    Ruc::de_contraparte(text).unwrap()
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        lima::leer("2026-11-21T10:00:00").unwrap()
    }
}

/// Accepts everything.
#[derive(Default)]
struct Agreeable {
    cuos: Mutex<u32>,
}

#[async_trait]
impl Platform for Agreeable {
    async fn cuo(&self, _: &Ruc) -> Result<Cuo, PlatformError> {
        let mut n = self.cuos.lock().unwrap();
        *n += 1;
        Ok(Cuo::parse(&format!("{n:010}")).unwrap())
    }

    async fn recepcionar(&self, _: &Tramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        Ok(Respuesta::nueva("0000", "bien"))
    }

    async fn cargo(&self, _: &CargoTramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        Ok(Respuesta::nueva("0000", "bien"))
    }

    async fn consultar(
        &self,
        _: &Consulta,
        _: &mut dyn DocumentSink,
        _: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        Err(PlatformError::new(Falla::ErrorHttp, "no se esperaba"))
    }

    async fn validar_entidad(&self, _: &Ruc) -> Result<bool, PlatformError> {
        Ok(true)
    }

    async fn entidades(&self, categoria: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        let one = |r, nombre: &str| Entidad { ruc: ruc(r), nombre: nombre.into(), categoria };
        Ok(match categoria.numero() {
            1 => vec![one(RUC_A, "PRESIDENCIA DEL CONSEJO DE MINISTROS")],
            8 => vec![one(RUC_DESTINO, "MUNICIPALIDAD DE EJEMPLO")],
            _ => Vec::new(),
        })
    }

    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        let one = |codigo: &str, nombre: &str| TipoDocumento { codigo: codigo.into(), nombre: nombre.into() };
        Ok(vec![one("01", "OFICIO"), one("02", "CARTA"), one("03", "MEMORANDO")])
    }
}

struct World {
    exchange: Exchange,
    router: Router,
    stop: CancellationToken,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json", "{:?}", self.body);
        self.json()["code"].as_str().unwrap().to_owned()
    }

    /// `field code` of each wrong field.
    fn fields(&self) -> Vec<String> {
        let body = self.json();
        let text = |e: &Value, name: &str| e[name].as_str().unwrap().to_owned();
        body["errors"].as_array().unwrap().iter().map(|e| format!("{} {}", text(e, "field"), text(e, "code"))).collect()
    }
}

fn world() -> World {
    world_at(None)
}

/// One that publishes annexes at an address.
fn world_at(base: Option<&str>) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path(), Options::new(Still.now())).unwrap();
    let own =
        |r, nombre: &str| EntidadPropia { ruc: ruc(r), nombre: nombre.into(), cierre: Time::constant(16, 30, 0, 0) };
    let settings = Settings {
        ambiente: Ambiente::Simulation,
        entidades: vec![own(RUC_A, "ENTIDAD A"), own(RUC_B, "ENTIDAD B")],
        rigor: Rigor::Lenient,
        calendario: Calendario::default(),
        document_bytes_max: 1_000_000,
        retry: RetryPolicy::default(),
    };
    let exchange = Exchange::new(store, Arc::new(Agreeable::default()), Arc::new(Still), Arc::new(SystemIds), settings);
    let exchange = exchange.with_anexos(base);
    let stop = CancellationToken::new();
    let audit = audit::log::Options {
        data_dir: folder.path().to_owned(),
        origin: "chasqui/prueba".into(),
        seed: [7; 32],
        export: None,
        timestamper: None,
    };
    let api = Api {
        exchange: exchange.clone(),
        audit: Log::open(Arc::clone(exchange.store()), audit).unwrap(),
        metrics: Arc::new(Metrics::default()),
        webhooks: Webhooks::default(),
        tablas: Default::default(),
        fetching: Fetching::default(),
        json_bytes_max: 20_000,
        checks: Arc::new([Check::new("almacen", || async { Ok(()) })]),
        rates: Rates::new(&config::Limits { key_rate: 1, key_burst: 500, ..config::Limits::default() }),
        reload: None,
        streams: Streams::default(),
        stop: stop.clone(),
    };
    let limits = config::Limits::default();
    let router = router(api, Intake::new(&limits, 3_000_000, InFlight::new(10_000_000)));
    World { exchange, router, stop, _folder: folder }
}

impl World {
    async fn key(&self, rol: Rol, entidad: Option<&str>) -> String {
        let nueva = NuevaClave { nombre: "prueba".into(), rol, entidad: entidad.map(ruc) };
        self.exchange.crear_clave(&Actor::local(), nueva).await.unwrap().0
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 10_000_000).await.unwrap().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// As the operator at the control socket.
    async fn local(&self, method: Method, path: &str, body: &Value) -> Answer {
        let mut request = request(method, path, "", body);
        request.extensions_mut().insert(Peer::Local);
        self.send(request).await
    }

    async fn get(&self, key: &str, path: &str) -> Answer {
        self.send(request(Method::GET, path, key, &Value::Null)).await
    }

    async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.send(request(Method::POST, path, key, body)).await
    }

    /// Posts with an `Idempotency-Key`.
    async fn post_once(&self, key: &str, idempotency: &str, path: &str, body: &Value) -> Answer {
        let mut request = request(Method::POST, path, key, body);
        request.headers_mut().insert("idempotency-key", idempotency.parse().unwrap());
        self.send(request).await
    }

    /// Sends a form: parts of name, file name, content.
    async fn form(&self, key: &str, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
        self.send(form(key, path, parts)).await
    }

    /// A document arrives from the platform for entity A.
    async fn arrival(&self, cuo: &str) -> String {
        let some = |text: &str| Some(text.to_owned());
        let tramite = Tramite {
            ruc_remitente: some(RUC_DESTINO),
            ruc_receptor: some(RUC_A),
            nombre_remitente: some("MUNICIPALIDAD DE EJEMPLO"),
            unidad_remitente: some("ALCALDÍA"),
            tipo_identidad: some("1"),
            numero_identidad: some("40633367"),
            cuo: some(cuo),
            tipo_documento: some("01"),
            numero_documento: some("OFICIO 7-2026"),
            fecha_documento: some("2026-11-20T09:00:00"),
            unidad_destino: some("SECRETARÍA"),
            nombre_destinatario: some("ANA"),
            cargo_destinatario: some("SECRETARIA"),
            asunto: some("Invitación"),
            numero_anexos: Some(0),
            folios: Some(2),
            nombre_documento: some("oficio.pdf"),
            contenido: Contenido::Pdf { una_vez: false },
            ..Tramite::default()
        };
        let mut writer = self.exchange.stage();
        writer.write(&pdf(5000)).await.unwrap();
        let answered = self.exchange.recibir(&tramite, Some(writer.finish().await.unwrap()), None).await;
        assert_eq!(answered.codigo(), "0000", "{answered:?}");
        let cuo = Cuo::parse(cuo).unwrap();
        let found = self.exchange.store().recepciones_by_cuo(&ruc(RUC_A), &cuo).await.unwrap();
        found[0].id.to_string()
    }
}

fn request(method: Method, path: &str, key: &str, body: &Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !key.is_empty() {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = match body {
        Value::Null => Body::empty(),
        Value::String(raw) => Body::from(raw.clone()),
        value => Body::from(value.to_string()),
    };
    request.header("content-type", "application/json").body(body).unwrap()
}

fn form(key: &str, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        body.extend_from_slice(format!("--frontera\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes());
        if let Some(file) = file {
            body.extend_from_slice(format!("; filename=\"{file}\"").as_bytes());
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--frontera--\r\n");
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "multipart/form-data; boundary=frontera")
        .body(Body::from(body))
        .unwrap()
}

fn pdf(bytes: usize) -> Vec<u8> {
    let mut pdf = b"%PDF-1.7\n".to_vec();
    pdf.extend((0..bytes - pdf.len()).map(|n| (n % 251) as u8));
    pdf
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn despacho(numero: &str, document: &[u8]) -> Value {
    json!({
        "numero_registro": numero, "destino": RUC_DESTINO, "unidad_remitente": "OFICINA DE TI",
        "codigo_unidad_remitente": "OTI", "usuario": "jperez",
        "remitente": {"tipo_documento": "1", "numero_documento": "40633367"},
        "destinatario": {"unidad": "SECRETARÍA", "nombre": "ANA ÑAHUI", "cargo": "SECRETARIA"},
        "tipo_documento": "01", "numero_documento": "OFICIO 001-2026-OTI",
        "fecha_documento": "2026-11-21T09:30:00-05:00", "asunto": "Año nuevo & <otros>", "folios": 3,
        "documento": {"nombre": "oficio.pdf", "contenido": base64(document)},
    })
}

/// The same without the document's content, for a form.
fn without_content(mut despacho: Value) -> String {
    despacho["documento"].as_object_mut().unwrap().remove("contenido");
    despacho.to_string()
}
