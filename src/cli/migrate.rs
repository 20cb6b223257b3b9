//! `chasqui store migrate`: everything from one store into another, beside a running daemon until the last moment.

use std::{
    fs,
    io::{self, IsTerminal},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    ConfigOption, Failure, Format, FormatOption,
    daemon::{CONTROL_SOCKET, embedded_options, postgres_options},
    output, runtime,
};
use crate::{
    audit::{log::leaf, merkle::Edge},
    config::{self, Config, Secret, StoreKind, causes::in_spanish},
    domain::Sha256,
    exchange::SystemClock,
    store::{
        Seq, SharedStore, Store, StoreError,
        embedded::{EmbeddedStore, Folder, moved},
        moving::{self, Moved, Opened, Origin},
        postgres::{self, Address, PostgresStore},
    },
};

/// How often it is looked whether the service has stopped, and what it wrote meanwhile is brought.
const EVERY: Duration = Duration::from_millis(500);
/// Entries read at a time to compare both stores.
const COMPARED: usize = 512;

#[derive(Args)]
pub struct Migrate {
    /// Configuración del almacén de destino: cuentan su [store] y su data_dir
    #[arg(long, value_name = "ARCHIVO")]
    to: PathBuf,
    /// Copia lo que hay y termina, sin pasar al destino: para adelantar trabajo con el servicio en marcha
    #[arg(long)]
    copy_only: bool,
    #[command(flatten)]
    config: ConfigOption,
    #[command(flatten)]
    format: FormatOption,
}

/// What a move ended with.
#[derive(Debug, Serialize)]
struct Done {
    desde: String,
    hasta: String,
    asientos: Seq,
    /// Whether the destination is the one in use from now on.
    trasladado: bool,
    /// Root of the audit log's tree over all entries, the same on both sides.
    raiz: Option<Sha256>,
    documentos: Option<u64>,
    /// Files of the service beside the store that were copied, or that were there already.
    archivos: Vec<String>,
    archivos_que_ya_estaban: Vec<String>,
}

impl Migrate {
    pub fn run(&self) -> Result<(), Failure> {
        let from = self.config.load()?.config;
        let to = config::load(Some(&self.to))?.config;
        if place(&from) == place(&to) {
            return Err(Failure::Usage(format!(
                "las dos configuraciones nombran el mismo almacén ({}): en --to va la del destino",
                place(&from)
            )));
        }
        let done = runtime()?.block_on(self.move_all(&from, &to))?;
        self.report(&done, &from)
    }

    async fn move_all(&self, from: &Config, to: &Config) -> Result<Done, Failure> {
        let into = Into::open(to).await?;
        let bar = bar();
        let mut side = From::open(from, to).await?;
        let store = into.store();
        let fits = moving::continues(side.origin(), &*store).await.map_err(|error| failed(from, &error))?;
        if !fits {
            let what = format!(
                "{} ya tiene otros datos: el traslado se hace a un almacén vacío, o sigue uno interrumpido",
                place(to)
            );
            return Err(Failure::Failed(what));
        }
        let mut told = |moved: Moved| show(&bar, moved);
        let mut waiting = false;
        let seq = loop {
            let seq = moving::bring(side.origin(), &*store, &mut told).await.map_err(|error| failed(from, &error))?;
            if self.copy_only || side.is_held() {
                break seq;
            }
            side = side.hold(from, to).await?;
            if side.is_held() {
                continue;
            }
            if !std::mem::replace(&mut waiting, true) {
                output::note(&format!(
                    "Copiado hasta el asiento {seq}. El servicio sigue en marcha y se copia lo que va llegando. Cuando convenga, \
                     deténgalo (systemctl stop chasqui): lo que falte se copia entonces, se comprueba todo y se pasa al destino.",
                ));
            }
            tokio::time::sleep(EVERY).await;
        };
        bar.finish_and_clear();
        let ended = if self.copy_only { Ok(None) } else { settle(&mut side, &into, from, to).await.map(Some) };
        if ended.is_err() {
            side.give_back().await;
        }
        let checked = ended?;
        store.close().await.ok();
        side.close().await;
        let (copied, there) =
            checked.as_ref().map(|_| beside(&from.data_dir, &to.data_dir)).transpose()?.unwrap_or_default();
        Ok(Done {
            desde: place(from),
            hasta: place(to),
            asientos: seq,
            trasladado: checked.is_some(),
            documentos: checked.as_ref().map(|(_, documents)| *documents),
            raiz: checked.map(|(root, _)| root),
            archivos: copied,
            archivos_que_ya_estaban: there,
        })
    }

    fn report(&self, done: &Done, from: &Config) -> Result<(), Failure> {
        if self.format.format == Format::Json {
            return output::json(done);
        }
        let Done { desde, hasta, asientos, raiz, documentos, archivos_que_ya_estaban, .. } = done;
        let Some((raiz, documentos)) = raiz.as_ref().zip(*documentos) else {
            output::say(&format!(
                "{hasta}: copiado hasta el asiento {asientos}. Falta pasar: repita la orden sin --copy-only."
            ));
            return Ok(());
        };
        output::say(&format!("{hasta}: {asientos} asientos y {documentos} documentos, leídos enteros."));
        output::say(&format!("La raíz del registro es la misma en los dos almacenes: {raiz}"));
        for name in archivos_que_ya_estaban {
            output::say(&format!("nota: «{name}» ya estaba en el destino y no se cambió"));
        }
        output::note(&format!(
            "El servicio ya no se inicia sobre {desde}: desde ahora se usa la configuración {}. Lo de antes queda como estaba; \
             bórrelo cuando el servicio lleve un tiempo en el destino{}.",
            self.to.display(),
            if from.store.kind == StoreKind::Embedded { ", o guárdelo como copia" } else { "" },
        ));
        Ok(())
    }
}

/// A store as a person knows it.
fn place(config: &Config) -> String {
    if config.store.kind == StoreKind::Embedded {
        return format!("la carpeta {}", config.data_dir.display());
    }
    let url = config.store.url.as_ref().map_or("", Secret::reveal);
    let shown = Address::new(url, config.store.ca_file.as_deref()).map(|address| address.shown);
    format!("la base de datos {}", shown.unwrap_or_default())
}

fn failed(config: &Config, error: &StoreError) -> Failure {
    Failure::Failed(format!(
        "el traslado desde {} no terminó: {error}. Lo copiado está guardado; repita la orden y sigue donde quedó",
        place(config)
    ))
}

fn unopened(config: &Config, error: &StoreError) -> Failure {
    Failure::Failed(format!("no se puede abrir {}: {error}", place(config)))
}

/// A folder of data, for its owner alone.
fn make(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// A folder for documents on their way in, of nobody else's: in the folder of the data there may be a daemon.
fn scratch(config: &Config) -> Result<TempDir, Failure> {
    let made = make(&config.data_dir);
    made.and_then(|()| tempfile::Builder::new().prefix(".traslado-").tempdir_in(&config.data_dir)).map_err(|error| {
        Failure::Failed(format!("no se puede escribir en {}: {}", config.data_dir.display(), in_spanish(&error)))
    })
}

/// A database, and the folder that goes when it is closed.
struct Base {
    store: Arc<PostgresStore>,
    _scratch: TempDir,
}

async fn open_database(config: &Config) -> Result<Base, Failure> {
    let scratch = scratch(config)?;
    let apart = Config { data_dir: scratch.path().to_owned(), ..config.clone() };
    let options = postgres::Options { apart: true, ..postgres_options(&apart) };
    let store = PostgresStore::open(options).await.map_err(|error| unopened(config, &error))?;
    Ok(Base { store, _scratch: scratch })
}

async fn open_folder(dir: &Path, even_if_moved: bool) -> Result<Arc<EmbeddedStore>, StoreError> {
    let mut options = embedded_options(&SystemClock);
    options.even_if_moved = even_if_moved;
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, options)).await.map_err(|_| StoreError::Closed)?
}

/// The destination: nobody else uses it.
enum Into {
    Folder(PathBuf, Arc<EmbeddedStore>),
    Database(Base),
}

impl Into {
    async fn open(config: &Config) -> Result<Self, Failure> {
        if config.store.kind == StoreKind::Embedded {
            let dir = config.data_dir.clone();
            make(&dir).map_err(|error| unopened(config, &error.into()))?;
            let store = open_folder(&dir, true).await.map_err(|error| unopened(config, &error))?;
            return Ok(Self::Folder(dir, store));
        }
        let base = open_database(config).await?;
        match base.store.working().await.map_err(|error| unopened(config, &error))? {
            0 => Ok(Self::Database(base)),
            n => Err(Failure::Failed(format!(
                "en {} hay servicios en marcha ({n}): deténgalos, que el destino no puede cambiar mientras tanto",
                place(config)
            ))),
        }
    }

    fn store(&self) -> SharedStore {
        match self {
            Self::Folder(_, store) => store.clone(),
            Self::Database(base) => base.store.clone(),
        }
    }

    /// It is the one in use.
    async fn unmark(&self) -> Result<(), StoreError> {
        match self {
            Self::Folder(dir, _) => moved::unmark(dir),
            Self::Database(base) => base.store.unmark_moved().await,
        }
    }
}

/// Where everything comes from.
enum From {
    /// A daemon is at work on it.
    Live(Folder),
    Folder(PathBuf, Opened),
    /// `held`: no daemon is at work on it, nor begins to.
    Database {
        base: Base,
        opened: Opened,
        held: bool,
    },
}

impl From {
    async fn open(config: &Config, to: &Config) -> Result<Self, Failure> {
        if config.store.kind == StoreKind::Postgres {
            let base = open_database(config).await?;
            let opened = Opened(base.store.clone());
            return Ok(Self::Database { base, opened, held: false });
        }
        let dir = &config.data_dir;
        if !dir.join("journal").is_dir() {
            return Err(Failure::Usage(format!("{} no es una carpeta de datos de chasqui", dir.display())));
        }
        // Marked for this destination by a move that was cut short at its very end: that one is ended.
        let mark = moved::place(dir).map_err(|error| unopened(config, &error))?;
        match open_folder(dir, mark == Some(place(to))).await {
            Ok(store) => Ok(Self::Folder(dir.clone(), Opened(store))),
            Err(StoreError::Locked(_)) => Ok(Self::Live(Folder::new(dir))),
            Err(error) => Err(unopened(config, &error)),
        }
    }

    fn origin(&mut self) -> &mut dyn Origin {
        match self {
            Self::Live(folder) => folder,
            Self::Folder(_, opened) | Self::Database { opened, .. } => opened,
        }
    }

    fn is_held(&self) -> bool {
        matches!(self, Self::Folder(..) | Self::Database { held: true, .. })
    }

    /// Holds it, if nobody is at work on it any more: what it has then is all there will be.
    async fn hold(self, config: &Config, to: &Config) -> Result<Self, Failure> {
        match self {
            Self::Live(folder) => match Self::open(config, to).await? {
                Self::Live(_) => Ok(Self::Live(folder)),
                held => Ok(held),
            },
            Self::Database { base, opened, held: false } => {
                let store = &base.store;
                let error = |error: StoreError| failed(config, &error);
                let mut held = store.working().await.map_err(error)? == 0;
                if held {
                    store.mark_moved(&place(to)).await.map_err(error)?;
                    // One may have begun between the two.
                    held = store.working().await.map_err(error)? == 0;
                    if !held {
                        store.unmark_moved().await.map_err(error)?;
                    }
                }
                Ok(Self::Database { base, opened, held })
            }
            held => Ok(held),
        }
    }

    /// Everything is at `place` now.
    async fn mark(&self, place: &str) -> Result<(), StoreError> {
        match self {
            Self::Live(_) => Ok(()),
            Self::Folder(dir, _) => moved::mark(dir, place),
            Self::Database { base, .. } => base.store.mark_moved(place).await,
        }
    }

    /// The move did not end well: it stays in use.
    async fn give_back(&self) {
        let given = match self {
            Self::Live(_) => Ok(()),
            Self::Folder(dir, _) => moved::unmark(dir),
            Self::Database { base, .. } => base.store.unmark_moved().await,
        };
        if let Err(error) = given {
            output::complain(&format!("el almacén de origen quedó señalado como trasladado y no lo está: {error}"));
        }
    }

    async fn close(self) {
        match self {
            Self::Live(_) => {}
            Self::Folder(_, Opened(store)) => drop(store.close().await),
            Self::Database { base, .. } => drop(base.store.close().await),
        }
    }
}

/// Compares both stores, reads every document of the new one, and makes it the one in use. Gives the root that both have, and
/// how many documents there are.
async fn settle(side: &mut From, into: &Into, from: &Config, to: &Config) -> Result<(Sha256, u64), Failure> {
    let store = into.store();
    output::note("Comparando los dos registros y leyendo cada documento del destino…");
    let before = root(side.origin()).await.map_err(|error| failed(from, &error))?;
    let after = root(&mut Opened(store.clone())).await.map_err(|error| failed(to, &error))?;
    if before != after {
        let what = "los dos almacenes no tienen el mismo registro: no se pasa al destino, y el de origen sigue en uso";
        return Err(Failure::Failed(what.into()));
    }
    let found = store.verify().await.map_err(|error| failed(to, &error))?;
    if !found.damage.is_empty() {
        found.damage.iter().for_each(|damage| output::say(&format!("DAÑO: {damage}")));
        let what = "lo copiado no está entero: no se pasa al destino, y el de origen sigue en uso. Lo dañado puede estar así \
                    también en el origen: vea «chasqui store verify»";
        return Err(Failure::Failed(what.into()));
    }
    // In this order: interrupted between the two, neither is used, and the same command ends it.
    side.mark(&place(to)).await.map_err(|error| failed(from, &error))?;
    into.unmark().await.map_err(|error| failed(to, &error))?;
    Ok((before, found.documents))
}

/// The root of the audit log's tree over all entries.
async fn root(origin: &mut dyn Origin) -> Result<Sha256, StoreError> {
    let (mut edge, mut at) = (Edge::default(), 0);
    loop {
        let entries = origin.entries(at, COMPARED).await?;
        let Some(last) = entries.last() else { return Ok(Sha256::from_digest(&edge.root())) };
        at = last.seq;
        entries.iter().for_each(|entry| edge.push(leaf(entry).hash, |_, _| {}));
    }
}

/// What is the store's own or of the process that runs, in a folder of data.
const STORES_OWN: [&str; 13] = [
    "lock",
    CONTROL_SOCKET,
    "index",
    "index.boot",
    "incoming",
    "answered",
    "clean-stop",
    "recortado.json",
    "restaurado.json",
    "trasladado.json",
    "journal",
    "packs",
    "documents",
];
/// Of the log: made anew from the entries.
const TREE: &str = "arbol";

/// Copies what the service keeps beside its store (keys and checkpoints of the log, certificates) from one folder of data to
/// another. What is there stays. Says what was copied, and what was there.
fn beside(from: &Path, to: &Path) -> Result<(Vec<String>, Vec<String>), Failure> {
    let (mut copied, mut there) = (Vec::new(), Vec::new());
    if from == to {
        return Ok((copied, there));
    }
    let done = copy_tree([from, to], Path::new(""), &mut copied, &mut there);
    done.map_err(|error| {
        let what = "el traslado terminó, pero no se pudo copiar lo que el servicio guarda junto al almacén";
        Failure::Failed(format!("{what}, de {} a {}: {}", from.display(), to.display(), in_spanish(&error)))
    })?;
    Ok((copied, there))
}

fn copy_tree([from, to]: [&Path; 2], at: &Path, copied: &mut Vec<String>, there: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(from.join(at))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let top = at.as_os_str().is_empty();
        if top && (STORES_OWN.contains(&name.as_str()) || name.starts_with('.')) || !top && name.starts_with(TREE) {
            continue;
        }
        let (path, kind) = (at.join(&name), entry.file_type()?);
        let (source, target) = (from.join(&path), to.join(&path));
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
            fs::set_permissions(&target, fs::metadata(&source)?.permissions())?;
            copy_tree([from, to], &path, copied, there)?;
        } else if kind.is_file() {
            let shown = path.display().to_string();
            if fs::exists(&target)? {
                if fs::read(&source)? != fs::read(&target)? {
                    there.push(shown);
                }
                continue;
            }
            fs::copy(&source, &target)?;
            fs::File::open(&target)?.sync_all()?;
            copied.push(shown);
        }
    }
    fs::File::open(to.join(at))?.sync_all()
}

fn bar() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} asiento {pos} de {len}, faltan {eta}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, moved: Moved) {
    bar.set_length(moved.last);
    bar.set_position(moved.seq);
}
