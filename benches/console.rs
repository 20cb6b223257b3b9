//! How long the console's pages take with a full store, embedded and on PostgreSQL, as a Markdown table.
//! `cargo bench --bench console`; `CHASQUI_BENCH_EXCHANGES` (100000), `_ROUNDS` (40), `_DIR` and, for the second store,
//! `_POSTGRES`: the address of an empty database.

#![allow(clippy::expect_used)] // a bench that cannot go on says where

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use chasqui::{
    audit::{self, Log},
    config::Limits,
    console::{self, Console},
    domain::{
        Ambiente, CargoTramite, Categoria, Consulta, Cuo, Despacho, Destinatario, Documento, Entidad, EntidadPropia,
        EstadoDespacho, EstadoRecepcion, Id, Persona, Recepcion, Ruc, Tramite,
        calendario::Calendario,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
        recepcion::Remitente,
        validation::Rigor,
    },
    exchange::{
        Actor, Clock, Exchange, Ids, Platform, PlatformError, RetryPolicy, Settings, Sobres, SystemClock, SystemIds,
        usuarios::NuevoUsuario,
    },
    http::limits::{InFlight, Intake},
    soap::sink::DocumentSink,
    store::{
        BlobReader, Change, Directorio, Fact, Job, JobKind, Record, Rol, SharedStore,
        embedded::{EmbeddedStore, Options},
        postgres::{self, PostgresStore},
    },
};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const OURS: &str = "20900000015";
const PASSWORD: &str = "nevado-huascaran-6768";
const ENTITIES: u64 = 3_000;
/// Entities that exchanges are with, and the days they are spread over.
const COUNTERPARTS: u64 = 800;
const DAYS: u64 = 365;
/// Exchanges of one commit.
const TOGETHER: u64 = 200;
/// Deliveries that wait.
const JOBS: u64 = 300;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let base = std::env::var_os("CHASQUI_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).expect("a folder");
    let address = std::env::var("CHASQUI_BENCH_POSTGRES").ok();
    runtime.block_on(async {
        let embedded = measured(&dir.path().join("embedded"), None).await;
        let postgres = match address {
            Some(url) => Some(measured(&dir.path().join("postgres"), Some(url)).await),
            None => None,
        };
        println!("| página | embebido, p50 | p99 | PostgreSQL, p50 | p99 |\n| --- | ---: | ---: | ---: | ---: |");
        for (n, (name, [p50, p99])) in embedded.iter().enumerate() {
            let other = postgres.as_ref().map_or(["—".into(), "—".into()], |rows| rows[n].1.map(ms));
            println!("| {name} | {} | {} | {} | {} |", ms(*p50), ms(*p99), other[0], other[1]);
        }
    });
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0).replace('.', ",")
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// p50 and p99 of each page.
async fn measured(dir: &Path, postgres: Option<String>) -> Vec<(String, [Duration; 2])> {
    let store: SharedStore = match postgres {
        None => EmbeddedStore::open(dir, Options::new(SystemClock.now())).expect("a store"),
        Some(url) => {
            let options = postgres::Options { url, ca_file: None, data_dir: dir.into(), connections: 8, apart: false };
            PostgresStore::open(options).await.expect("a store")
        }
    };
    let began = Instant::now();
    let (sent, received) = fill(&store, number("CHASQUI_BENCH_EXCHANGES", 100_000)).await;
    eprintln!("filled in {:?}", began.elapsed());
    let (router, cookie) = open(&store, dir).await;
    let job = Job::id_for(JobKind::Despachar, sent);
    let mut rows = Vec::new();
    for (name, path) in [
        ("Entrada, por atender", "/entrada".to_owned()),
        ("Entrada, todos", "/entrada?estado=todos".to_owned()),
        ("Entrada, una página antigua", format!("/entrada?estado=todos&cursor={}", old(&store).await)),
        ("Entrada, buscar lo que hay", "/entrada?estado=todos&q=convenio".to_owned()),
        ("Entrada, buscar lo que no hay", "/entrada?estado=todos&q=inexistente".to_owned()),
        ("Entrada, de un mes", format!("/entrada?estado=todos&desde={}&hasta={}", date(60), date(30))),
        ("Un documento recibido", format!("/entrada/{received}")),
        ("Salida", "/salida".to_owned()),
        ("Salida, fallidos", "/salida?estado=fallido".to_owned()),
        ("Salida, buscar lo que no hay", "/salida?q=inexistente".to_owned()),
        ("Un documento enviado", format!("/salida/{sent}")),
        ("Enviar un documento", "/salida/nuevo".to_owned()),
        ("Entidades, buscar", "/entidades?q=municipalidad+1".to_owned()),
        ("Novedades", "/novedades".to_owned()),
        ("Estadísticas, 30 días", "/estadisticas".to_owned()),
        ("Estadísticas, un año", format!("/estadisticas?desde={}", date(364))),
        ("Operación", "/operacion".to_owned()),
        ("Cola de entregas", "/operacion/cola".to_owned()),
        ("Una entrega", format!("/operacion/cola/{job}")),
        ("Auditoría", "/auditoria".to_owned()),
        ("Auditoría, buscar lo que no hay", "/auditoria?q=inexistente".to_owned()),
        ("Personas", "/personas".to_owned()),
    ] {
        let mut times = Vec::new();
        for round in 0..=number("CHASQUI_BENCH_ROUNDS", 40) {
            let request = Request::get(&path).header(header::COOKIE, &cookie).body(Body::empty()).expect("a request");
            let began = Instant::now();
            let answer = router.clone().oneshot(request).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            answer.into_body().collect().await.expect("a page");
            if round > 0 {
                times.push(began.elapsed());
            }
        }
        times.sort();
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        rows.push((name.to_owned(), [at(50), at(99)]));
    }
    store.close().await.expect("a store that closes");
    rows
}

/// A date so many days ago.
fn date(days: i64) -> String {
    let at = SystemClock.now() - SignedDuration::from_hours(24 * days);
    chasqui::domain::lima::en_lima(at).date().to_string()
}

/// The pages, and a cookie of somebody who may see all of them.
async fn open(store: &SharedStore, dir: &Path) -> (Router, String) {
    let settings = Settings {
        ambiente: Ambiente::Simulation,
        entidades: vec![EntidadPropia {
            ruc: ruc(OURS),
            nombre: "MUNICIPALIDAD DISTRITAL DE EJEMPLO".into(),
            cierre: jiff::civil::Time::constant(16, 30, 0, 0),
        }],
        rigor: Rigor::Lenient,
        calendario: Calendario::default(),
        document_bytes_max: 1 << 20,
        retry: RetryPolicy::default(),
    };
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let exchange = Exchange::new(Arc::clone(store), Arc::new(Nobody), clock, ids, settings);
    let nuevo = NuevoUsuario { cuenta: "admin".into(), nombre: "ROSA ÑAHUI".into(), rol: Rol::Admin, entidad: None };
    let password = zeroize::Zeroizing::new(PASSWORD.to_owned());
    exchange.crear_usuario(&Actor::local(), nuevo, Some(password)).await.expect("a person");
    let options = audit::log::Options {
        data_dir: dir.into(),
        origin: "chasqui/medida".into(),
        seed: [7; 32],
        export: None,
        timestamper: None,
    };
    let log = Log::open(Arc::clone(store), options).expect("a log");
    log.settle().await;
    let limits = Limits::default();
    let intake = Intake::new(&limits, 1 << 20, InFlight::new(1 << 30)).with_requests(&limits);
    let console = Console::new(exchange, log, dir.into(), CancellationToken::new());
    let router = console::router(console, intake);
    let asked = Request::get("/ingresar").header(header::HOST, "localhost").body(Body::empty()).expect("a request");
    let door = router.clone().oneshot(asked).await.expect("the door");
    let before = cookie_of(door.headers());
    let token = before.split_once('=').expect("a token").1.to_owned();
    let part = |name: &str, value: &str| {
        format!("--limite\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let form = part("_csrf", &token) + &part("cuenta", "admin") + &part("contrasena", PASSWORD) + "--limite--\r\n";
    let request = Request::post("/ingresar")
        .header(header::HOST, "localhost")
        .header(header::COOKIE, before)
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=limite")
        .body(Body::from(form))
        .expect("a request");
    let entered = router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(entered.status(), StatusCode::SEE_OTHER);
    (router, cookie_of(entered.headers()))
}

fn cookie_of(headers: &http::HeaderMap) -> String {
    let cookie = headers.get(header::SET_COOKIE).expect("a cookie").to_str().expect("text");
    cookie.split(';').next().expect("a cookie").to_owned()
}

fn ruc(text: &str) -> Ruc {
    Ruc::de_contraparte(text).expect("a RUC")
}

fn counterpart(n: u64) -> Ruc {
    ruc(&format!("20{:09}", 100_000_000 + n * 7))
}

/// An id as those made at that time are.
fn id(at: Timestamp, n: u64) -> Id {
    let ms = u64::try_from(at.as_millisecond()).expect("after 1970");
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&n.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid()
}

/// The id of a document of months ago.
async fn old(store: &SharedStore) -> Id {
    let before = SystemClock.now() - SignedDuration::from_hours(24 * 200);
    let listing = chasqui::store::Listing { entidad: ruc(OURS), estado: None, after: Some(id(before, 0)), limit: 1 };
    store.recepciones(listing).await.expect("a list").items[0].id
}

/// A year of a busy entity, half of it sent; what is recent waits. Returns the last that was sent and the last received.
async fn fill(store: &SharedStore, exchanges: u64) -> (Id, Id) {
    let mut writer = store.stage(1 << 20);
    writer.write(b"%PDF-1.7 de mentira").await.expect("a document");
    let staged = writer.finish().await.expect("a document");
    let nombre = "oficio.pdf".to_owned();
    let documento = Documento { nombre, bytes: staged.bytes, sha256: staged.sha256.clone(), firmas: None };
    let mut documents = vec![staged];
    let begin = SystemClock.now() - SignedDuration::from_hours(24 * 364);
    let step = SignedDuration::from_secs(i64::try_from((DAYS - 1) * 86_400 / exchanges).expect("seconds"));
    let (mut at, mut n, mut last) = (begin, 0, [Id::nil(); 2]);
    let entidades = (0..ENTITIES).map(|n| Entidad {
        ruc: counterpart(n),
        nombre: format!("MUNICIPALIDAD DISTRITAL NÚMERO {n}"),
        categoria: Categoria::todas().last().expect("a category"),
    });
    let directorio = Directorio {
        version: 1,
        entidades: entidades.collect(),
        tipos_documento: Vec::new(),
        actualizado_en: SystemClock.now(),
        ausentes: Default::default(),
    };
    let mut records = vec![Record::Directorio(Box::new(directorio))];
    while n < exchanges {
        let (mut facts, mut jobs) = (Vec::new(), Vec::new());
        for _ in 0..TOGETHER.min(exchanges - n) {
            let fresh = exchanges - n;
            if n.is_multiple_of(2) {
                let despacho = sent(n, at, fresh, &documento);
                facts.push(fact(despacho.id, "despacho.enviado", at));
                if fresh <= 2 * JOBS {
                    jobs.push(job(&despacho, at));
                }
                last[0] = despacho.id;
                records.push(Record::Despacho(Box::new(despacho)));
            } else {
                let recepcion = received(n, at, fresh, &documento);
                facts.push(fact(recepcion.id, "recepcion.recibida", at));
                last[1] = recepcion.id;
                records.push(Record::Recepcion(Box::new(recepcion)));
            }
            (n, at) = (n + 1, at + step);
        }
        let (records, documents) = (std::mem::take(&mut records), std::mem::take(&mut documents));
        store.commit(Change { facts, records, jobs, documents, ..Change::default() }).await.expect("a commit");
    }
    (last[0], last[1])
}

fn fact(sujeto: Id, tipo: &str, at: Timestamp) -> Fact {
    Fact {
        at,
        tipo: tipo.into(),
        actor: "pide".into(),
        entidad: Some(ruc(OURS)),
        sujeto,
        cuo: None,
        estado: None,
        detalle: Some("Se recibió el documento por la plataforma".into()),
        documentos: Vec::new(),
        sobres: Vec::new(),
    }
}

fn job(d: &Despacho, at: Timestamp) -> Job {
    Job {
        id: Job::id_for(JobKind::Despachar, d.id),
        kind: JobKind::Despachar,
        sujeto: d.id,
        entidad: d.entidad.clone(),
        destino: d.destino.clone(),
        creado_en: at,
        proximo_en: at + SignedDuration::from_hours(1),
        intentos: 3,
        falla: Some(chasqui::domain::Falla::TiempoAgotado),
        ultimo_error: Some("La respuesta no llegó en 120 s".into()),
        muerto_en: None,
    }
}

fn destinatario() -> Destinatario {
    Destinatario { unidad: "MESA DE PARTES".into(), nombre: "ANA PÉREZ QUISPE".into(), cargo: "JEFA".into() }
}

const ASUNTO: &str = "SOLICITA INFORMACIÓN SOBRE EL ESTADO DEL CONVENIO DE COOPERACIÓN INTERINSTITUCIONAL";

fn sent(n: u64, at: Timestamp, fresh: u64, documento: &Documento) -> Despacho {
    let estado = match n / 2 % 50 {
        _ if fresh <= 2 * JOBS => EstadoDespacho::Pendiente,
        0 => EstadoDespacho::Fallido,
        1..=4 => EstadoDespacho::Observado,
        5..=9 => EstadoDespacho::Enviado,
        _ => EstadoDespacho::Recepcionado,
    };
    Despacho {
        id: id(at, n),
        version: 1,
        entidad: ruc(OURS),
        numero_registro: format!("2026-{n:06}"),
        codigo_unidad_remitente: Some("OTI".into()),
        unidad_remitente: "OFICINA DE TECNOLOGÍAS DE LA INFORMACIÓN".into(),
        usuario: "jperez".into(),
        remitente: Persona { tipo_documento: "1".into(), numero_documento: "40633367".into() },
        destino: counterpart(n * 31 % COUNTERPARTS),
        destinatario: destinatario(),
        tipo_documento: "01".into(),
        numero_documento: format!("OFICIO {n}-2026-OTI"),
        fecha_documento: at,
        asunto: ASUNTO.into(),
        folios: 3,
        documento: documento.clone(),
        anexos: Vec::new(),
        url_anexos: None,
        cuo_referencia: None,
        cuo: Some(Cuo::parse(&format!("{n:010}")).expect("a CUO")),
        cuos_anteriores: Vec::new(),
        cuos_inciertos: Vec::new(),
        estado,
        intentos: 1,
        intentos_con_cuo: 1,
        consultas: 0,
        envio_iniciado_en: Some(at),
        envio_incierto_en: None,
        enviado_en: Some(at),
        cargo: None,
        ultimo_error: None,
        falla: None,
        subsanado_por: None,
        reemplazado_por: None,
        bloqueo: None,
        purga: None,
        creado_en: at,
        actualizado_en: at + SignedDuration::from_secs(i64::try_from(n * 7919 % 400_000).expect("seconds")),
    }
}

fn received(n: u64, at: Timestamp, fresh: u64, documento: &Documento) -> Recepcion {
    let closed = fresh > 1_000;
    Recepcion {
        id: id(at, n),
        version: 1,
        entidad: ruc(OURS),
        cuo: Cuo::parse(&format!("{n:010}")).expect("a CUO"),
        cuo_referencia: None,
        remitente: Remitente {
            ruc: counterpart(n * 17 % COUNTERPARTS),
            nombre: "MUNICIPALIDAD DISTRITAL REMITENTE".into(),
            unidad: "GERENCIA MUNICIPAL".into(),
            tipo_documento: "1".into(),
            numero_documento: "40633367".into(),
        },
        destinatario: destinatario(),
        tipo_documento: "01".into(),
        numero_documento: format!("OFICIO {n}-2026-GM"),
        fecha_documento: Some(at),
        asunto: ASUNTO.into(),
        folios: Some(3),
        huella: documento.sha256.clone(),
        documento: documento.clone(),
        anexos: Vec::new(),
        url_anexos: None,
        anexos_traidos: Vec::new(),
        advertencias: Vec::new(),
        visto_en: Some(at),
        estado: if closed { EstadoRecepcion::Recepcionado } else { EstadoRecepcion::Pendiente },
        recibido_en: at,
        fecha_presentacion: chasqui::domain::lima::en_lima(at).date(),
        numero_registro: closed.then(|| format!("E-{n:06}")),
        anio_registro: closed.then(|| "2026".to_owned()),
        cargo: None,
        cargo_entregado_en: closed
            .then(|| at + SignedDuration::from_secs(i64::try_from(n * 4057 % 200_000).expect("seconds"))),
        ultimo_error: None,
        bloqueo: None,
        purga: None,
        actualizado_en: at,
    }
}

/// The console sends nothing while it is looked at.
struct Nobody;

fn away() -> PlatformError {
    PlatformError::new(chasqui::domain::Falla::SinConexion, "no hay plataforma aquí")
}

#[async_trait]
impl Platform for Nobody {
    async fn cuo(&self, _: &Ruc) -> Result<Cuo, PlatformError> {
        Err(away())
    }

    async fn recepcionar(&self, _: &Tramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        Err(away())
    }

    async fn cargo(&self, _: &CargoTramite, _: BlobReader, _: &mut Sobres) -> Result<Respuesta, PlatformError> {
        Err(away())
    }

    async fn consultar(
        &self,
        _: &Consulta,
        _: &mut dyn DocumentSink,
        _: &mut Sobres,
    ) -> Result<RespuestaConsulta, PlatformError> {
        Err(away())
    }

    async fn validar_entidad(&self, _: &Ruc) -> Result<bool, PlatformError> {
        Err(away())
    }

    async fn entidades(&self, _: Categoria) -> Result<Vec<Entidad>, PlatformError> {
        Err(away())
    }

    async fn tipos_documento(&self) -> Result<Vec<TipoDocumento>, PlatformError> {
        Err(away())
    }
}
