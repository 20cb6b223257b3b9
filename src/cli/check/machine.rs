//! The configuration, the folder of the data and its disk.

use std::{
    io::Write,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{Hallazgo, World};
use crate::{
    cli::{causes::in_spanish, output},
    config::{self, Size},
    domain::Ambiente,
};

/// Free space below which the disk is a worry, and below which it is an outage that begins.
const FREE_WARNING: Size = Size::mib(5 * 1024);
const FREE_FAILS: Size = Size::mib(512);

/// Syncs that are timed, and how long one of them may take.
const SYNCS: usize = 15;
const SYNC_BYTES: usize = 4096;
const SYNC_WARNING: Duration = Duration::from_millis(50);
const SYNC_FAILS: Duration = Duration::from_millis(500);

pub async fn configuration(world: &World) -> Vec<Hallazgo> {
    let mut found = Vec::new();
    let file = &world.loaded.file;
    found.push(if file == config::EMBEDDED {
        Hallazgo::advertencia(
            "configuracion",
            "archivo",
            "no hay ninguno: valen los valores incorporados, en simulación",
        )
        .remedio("Copie config.example.toml a chasqui.toml, ponga su entidad y dígalo con --config")
    } else {
        Hallazgo::bien("configuracion", "archivo", format!("{file} se lee bien"))
    });
    let config = world.config();
    let entidades: Vec<String> = config.entities().iter().map(|entity| entity.ruc.to_string()).collect();
    found.push(match config.environment {
        Ambiente::Production => {
            Hallazgo::bien("ambiente", "ambiente", format!("producción, con {}", entidades.join(", ")))
        }
        other => {
            let word = if other == Ambiente::Test { "pruebas" } else { "simulación" };
            Hallazgo::bien("ambiente", "ambiente", format!("{word}: nada de lo que se envía tiene valor legal"))
        }
    });
    found.push(match (&world.api, config.data_dir.is_dir()) {
        (Some(_), _) => Hallazgo::bien("servicio", "servicio", "en marcha con estos datos"),
        (None, true) => Hallazgo::advertencia("servicio", "servicio", "no está en marcha con estos datos")
            .remedio("Inícielo: systemctl start chasqui, o chasqui serve --config ARCHIVO"),
        (None, false) => Hallazgo::advertencia("servicio", "servicio", "no está en marcha; todavía no hay datos")
            .remedio("Inícielo: systemctl start chasqui, o chasqui serve --config ARCHIVO"),
    });
    found
}

pub async fn machine(world: &World) -> Vec<Hallazgo> {
    let dir = world.config().data_dir.clone();
    let of_disk = tokio::task::spawn_blocking(move || disk(&dir)).await;
    let mut found = of_disk.unwrap_or_else(|error| vec![Hallazgo::falla("disco", "disco", error.to_string())]);
    found.extend(store(world).await);
    found
}

/// What the daemon says of its store.
async fn store(world: &World) -> Option<Hallazgo> {
    let api = world.api.as_ref()?;
    let name = "almacén";
    Some(match api.get("/readyz").await {
        Ok(_) => Hallazgo::bien("almacen", name, "toma y guarda documentos"),
        Err(failure) => Hallazgo::falla("almacen", name, failure.message().to_owned())
            .remedio("Vea el estado completo: curl --unix-socket DATOS/control.sock http://x/readyz"),
    })
}

fn disk(dir: &Path) -> Vec<Hallazgo> {
    let shown = dir.display();
    // Where there are no data yet they will be made here.
    let place = dir.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    if let Ok(about) = std::fs::metadata(dir)
        && about.mode() & 0o077 != 0
    {
        let what = format!("otros usuarios de esta máquina pueden entrar en {shown}");
        found.push(Hallazgo::advertencia("permisos", "permisos", what).remedio(format!("chmod 700 {shown}")));
    }
    found.push(space(place));
    found.push(syncs(place));
    found
}

fn space(place: &Path) -> Hallazgo {
    let shown = place.display();
    let stat = match rustix::fs::statvfs(place) {
        Ok(stat) => stat,
        Err(error) => {
            let why = in_spanish(&error.into());
            return Hallazgo::falla("espacio", "espacio libre", format!("no se sabe cuánto queda en {shown}: {why}"));
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let told = format!("{} en {shown}", output::bytes(free));
    let remedy = format!("Libere espacio o agrande el disco de {shown}; [retention] borra solo lo que venció");
    if free < FREE_FAILS.bytes() {
        Hallazgo::falla("espacio", "espacio libre", format!("quedan {told}: pronto no se podrá guardar nada"))
            .remedio(remedy)
    } else if free < FREE_WARNING.bytes() {
        Hallazgo::advertencia("espacio", "espacio libre", format!("quedan {told}")).remedio(remedy)
    } else if stat.f_files > 0 && stat.f_favail < 10_000 {
        Hallazgo::advertencia("espacio", "espacio libre", format!("{told}, pero quedan pocos nodos-i")).remedio(remedy)
    } else {
        Hallazgo::bien("espacio", "espacio libre", told)
    }
}

/// How long a small write takes to be durable: each document that is taken in waits for some.
fn syncs(place: &Path) -> Hallazgo {
    let name = "velocidad del disco";
    let timed = || {
        let mut file = tempfile::tempfile_in(place)?;
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let began = Instant::now();
            file.write_all(&[0; SYNC_BYTES])?;
            file.sync_data()?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Ok::<_, std::io::Error>(times.get(SYNCS / 2).copied().unwrap_or_default())
    };
    match timed() {
        Err(error) => {
            let what = format!("no se puede escribir en {}: {}", place.display(), in_spanish(&error));
            Hallazgo::falla("disco", name, what)
                .remedio(format!("Dé la carpeta al usuario del servicio: chown -R chasqui: {}", place.display()))
        }
        Ok(median) => {
            let told = format!("asegurar una escritura toma {:.1} ms", median.as_secs_f64() * 1000.0);
            let remedy = "Ponga data_dir en un disco local y rápido (SSD), no en uno de red";
            if median > SYNC_FAILS {
                Hallazgo::falla("disco", name, told).remedio(remedy)
            } else if median > SYNC_WARNING {
                Hallazgo::advertencia("disco", name, told).remedio(remedy)
            } else {
                Hallazgo::bien("disco", name, told)
            }
        }
    }
}
