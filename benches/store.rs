//! Figures of the embedded store: commits per second alone and with 32 writers, memory, and how fast the index is rebuilt.
//! `cargo bench --bench store`; `CHASQUI_BENCH_SECONDS`, `_ENTRIES`, `_CACHE` (bytes) and `_DIR` change what it does.

#![allow(clippy::expect_used)] // a bench that cannot go on says where

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chasqui::{
    domain::{Despacho, Destinatario, Documento, EstadoDespacho, Id, Persona, Ruc},
    store::{
        Change, Cursor, Fact, Listing, Record, Store,
        embedded::{EmbeddedStore, Options},
    },
};
use jiff::Timestamp;

const WRITERS: usize = 32;
/// Size of the document that comes with each commit, in bytes.
const DOCUMENT: usize = 20 * 1024;

/// The phases, each in a process of its own so that its memory is its own.
const PHASES: [&str; 5] = ["commit", "fill", "open", "rebuild", "verify"];

fn main() {
    if let Ok(phase) = std::env::var("CHASQUI_BENCH_PHASE") {
        return run(&phase, Path::new(&std::env::var("CHASQUI_BENCH_STORE").expect("a folder")));
    }
    let base = std::env::var("CHASQUI_BENCH_DIR").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
    let dir = tempfile::tempdir_in(base).expect("a folder");
    for phase in PHASES {
        let program = std::env::current_exe().expect("this program");
        let mut command = std::process::Command::new(program);
        command.env("CHASQUI_BENCH_PHASE", phase).env("CHASQUI_BENCH_STORE", dir.path());
        assert!(command.status().expect("a process").success(), "{phase}");
    }
}

fn run(phase: &str, dir: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if phase == "rebuild" {
        println!("index {} MB, journal {} MB", size(&dir.join("index")), size(&dir.join("journal")));
        fs::remove_dir_all(dir.join("index")).expect("the index");
    }
    let started = Instant::now();
    let store = open(dir);
    let (entries, opened) = (*store.watch().borrow(), started.elapsed());
    match phase {
        "commit" => {
            let length = Duration::from_secs(number("CHASQUI_BENCH_SECONDS", 5));
            for (writers, document) in [(1, 0), (WRITERS, 0), (1, DOCUMENT), (WRITERS, DOCUMENT)] {
                let (commits, elapsed) = runtime.block_on(commit(&store, writers, document, length, u64::MAX));
                let per_second = commits as f64 / elapsed.as_secs_f64();
                println!(
                    "{writers:>2} writers, document of {document:>5} bytes: {per_second:>6.0} commits/s  {}",
                    memory()
                );
            }
        }
        "fill" => {
            let target = number("CHASQUI_BENCH_ENTRIES", 100_000);
            runtime.block_on(commit(&store, WRITERS, 0, Duration::MAX, target));
            println!("filled to {} entries  {}", *store.watch().borrow(), memory());
            runtime.block_on(read(&store));
        }
        "open" => {
            println!("opened with {entries} entries: {opened:?}  {}", memory());
            runtime.block_on(read(&store));
        }
        "rebuild" => {
            let per_second = entries as f64 / opened.as_secs_f64();
            println!("index rebuilt: {opened:?}, {per_second:.0} entries/s  {}", memory());
        }
        _ => {
            let started = Instant::now();
            let verified = runtime.block_on(store.verify()).expect("verified");
            let rate = verified.bytes as f64 / started.elapsed().as_secs_f64() / 1e6;
            let damage = verified.damage.len();
            println!("verified: {:?}, {rate:.0} MB/s, {damage} damages  {}", started.elapsed(), memory());
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn open(dir: &Path) -> Arc<EmbeddedStore> {
    let mut options = Options::new(Timestamp::UNIX_EPOCH);
    options.cache_bytes = number("CHASQUI_BENCH_CACHE", options.cache_bytes);
    EmbeddedStore::open(dir, options).expect("the store")
}

/// Commits for a time or until the store has `target` entries.
async fn commit(
    store: &Arc<EmbeddedStore>,
    writers: usize,
    document: usize,
    length: Duration,
    target: u64,
) -> (u64, Duration) {
    let (started, first) = (Instant::now(), *store.watch().borrow());
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let news = store.watch();
                while started.elapsed() < length && *news.borrow() < target {
                    store.commit(change(&store, document).await).await.expect("a commit");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a writer");
    }
    (*store.watch().borrow() - first, started.elapsed())
}

async fn change(store: &EmbeddedStore, document: usize) -> Change {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The phases are processes: each counts from where it found the store.
    NEXT.fetch_max(*store.watch().borrow() + WRITERS as u64, Ordering::Relaxed);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut body = vec![0; document.max(8)];
    body[..8].copy_from_slice(&if document == 0 { 0 } else { n }.to_le_bytes());
    let mut writer = store.stage(1 << 20);
    writer.write(&body).await.expect("a document");
    let staged = writer.finish().await.expect("a document");
    let id = Id::from_u128(u128::from(n) << 64 | u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    let text = |text: &str| text.to_owned();
    let record = Despacho {
        id,
        version: 1,
        entidad: ruc(1),
        numero_registro: format!("2026-{n:06}"),
        codigo_unidad_remitente: Some(text("OTI")),
        unidad_remitente: text("OFICINA DE TECNOLOGÍAS DE LA INFORMACIÓN"),
        usuario: text("jperez"),
        remitente: Persona { tipo_documento: text("1"), numero_documento: text("40633367") },
        destino: ruc(2),
        destinatario: Destinatario {
            unidad: text("MESA DE PARTES"),
            nombre: text("ANA PÉREZ QUISPE"),
            cargo: text("JEFA"),
        },
        tipo_documento: text("01"),
        numero_documento: format!("OFICIO {n}-2026-OTI"),
        fecha_documento: Timestamp::UNIX_EPOCH,
        asunto: text("SOLICITA INFORMACIÓN SOBRE EL ESTADO DEL CONVENIO DE COOPERACIÓN INTERINSTITUCIONAL"),
        folios: 3,
        documento: Documento {
            nombre: text("oficio.pdf"),
            bytes: staged.bytes,
            sha256: staged.sha256.clone(),
            firmas: None,
        },
        anexos: Vec::new(),
        url_anexos: None,
        cuo_referencia: None,
        cuo: None,
        cuos_anteriores: Vec::new(),
        cuos_inciertos: Vec::new(),
        estado: EstadoDespacho::Pendiente,
        intentos: 0,
        intentos_con_cuo: 0,
        consultas: 0,
        envio_iniciado_en: None,
        envio_incierto_en: None,
        enviado_en: None,
        cargo: None,
        ultimo_error: None,
        falla: None,
        subsanado_por: None,
        reemplazado_por: None,
        bloqueo: None,
        purga: None,
        creado_en: Timestamp::UNIX_EPOCH,
        actualizado_en: Timestamp::UNIX_EPOCH,
    };
    let fact = Fact {
        at: Timestamp::UNIX_EPOCH,
        tipo: text("despacho.aceptado"),
        actor: text("local"),
        entidad: Some(ruc(1)),
        sujeto: id,
        cuo: None,
        estado: Some(text("pendiente")),
        detalle: None,
        documentos: vec![staged.sha256.clone()],
        sobres: Vec::new(),
    };
    Change {
        facts: vec![fact],
        records: vec![Record::Despacho(Box::new(record))],
        documents: vec![staged],
        ..Change::default()
    }
}

async fn read(store: &EmbeddedStore) {
    let started = Instant::now();
    let mut after = None;
    let mut pages = 0;
    for _ in 0..200 {
        let listing = Listing { entidad: ruc(1), estado: Some(EstadoDespacho::Pendiente), after, limit: 50 };
        let page = store.despachos(listing).await.expect("a page");
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let facts = store.facts(Cursor::default(), None, 5000).await.expect("facts").len();
    println!("{pages} pages of 50 and {facts} facts: {:?}  {}", started.elapsed(), memory());
}

fn ruc(n: u8) -> Ruc {
    Ruc::de_contraparte(&format!("201000000{n:02}")).expect("a RUC")
}

/// Resident memory, now and at most.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1024
    };
    format!("RSS {} MB, peak {} MB", field("VmRSS:"), field("VmHWM:"))
}

fn size(dir: &Path) -> u64 {
    fn bytes(dir: &Path) -> u64 {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|e| if e.path().is_dir() { bytes(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
    }
    bytes(dir) / 1_000_000
}
