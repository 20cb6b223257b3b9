//! What a chasqui of this machine is made of: the SHA-256 of its executable and of its configuration, section by section. A run
//! of the suite with `--config` records it of the daemon that it tested; `check --for production` compares it with what is to serve.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::SystemTime,
};

use ring::digest;

use super::{Failure, causes::in_spanish, daemon::CONTROL_SOCKET};
use crate::{
    config::{Config, Loaded},
    conformance::report::Programa,
};

/// Bytes of an executable read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// This program with that configuration.
pub fn propio(config: &Config) -> Result<Programa, String> {
    de(Path::new("/proc/self/exe"), config)
}

/// The daemon that runs on this configuration's data: the file that it was started from, and the configuration as it stands, which
/// must not have changed since.
pub async fn en_marcha(loaded: &Loaded) -> Result<Programa, Failure> {
    let socket = loaded.config.data_dir.join(CONTROL_SOCKET);
    let nobody = |why: String| {
        Failure::Unreachable(format!(
            "--config: no hay un servicio en marcha con esa configuración ({}: {why}); inícielo, o quite --config",
            socket.display()
        ))
    };
    let stream = tokio::net::UnixStream::connect(&socket).await.map_err(|error| nobody(in_spanish(&error)))?;
    let pid = stream.peer_cred().ok().and_then(|cred| cred.pid());
    let pid = pid.ok_or_else(|| nobody("no se sabe qué proceso atiende".into()))?;
    let modified = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    if changed_since(modified(Path::new(&loaded.file)), modified(&socket)) {
        let what =
            format!("--config: {} cambió después de iniciarse el servicio: reinícielo y pase la suite", loaded.file);
        return Err(Failure::Usage(what));
    }
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    de(&exe, &loaded.config).map_err(|why| Failure::Failed(format!("--config: {why}")))
}

/// Whether a configuration was written after its daemon began. One that is in no file did not change.
fn changed_since(file: Option<SystemTime>, began: Option<SystemTime>) -> bool {
    matches!((file, began), (Some(file), Some(began)) if file > began)
}

fn de(exe: &Path, config: &Config) -> Result<Programa, String> {
    let binario_sha256 = sha256(exe).map_err(|error| {
        format!("no se puede leer el programa del servicio ({}): {}", exe.display(), in_spanish(&error))
    })?;
    Ok(Programa { version: env!("CARGO_PKG_VERSION").into(), binario_sha256, configuracion: secciones(config) })
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, digest::Context::new(&digest::SHA256));
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(hash.finish().as_ref())),
            n => hash.update(piece.get(..n).unwrap_or_default()),
        }
    }
}

/// The SHA-256 of each section as it is in force. Secrets are written as `***`: of them nothing can be learnt here.
fn secciones(config: &Config) -> BTreeMap<String, String> {
    let value = serde_json::to_value(config).unwrap_or_default();
    let sections = value.as_object().into_iter().flatten();
    let told = |(name, value): (&String, &serde_json::Value)| {
        (name.clone(), hex(digest::digest(&digest::SHA256, value.to_string().as_bytes()).as_ref()))
    };
    sections.map(told).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sections that say where something is, and so differ between the environments.
const DEL_AMBIENTE: [&str; 16] = [
    "environment",
    "data_dir",
    "listen",
    "tls",
    "networks",
    "store",
    "pide",
    "tsa",
    "webhook",
    "bridge",
    "tables",
    "audit",
    "backup",
    "log",
    "simulator",
    "retention",
];
/// Sections that decide what is answered to others.
const DE_FONDO: [&str; 2] = ["reception", "limits"];

/// Sections in which two configurations differ: those that decide what is answered, and the others that should not.
pub fn distintas(probada: &Programa, esta: &Programa) -> (Vec<String>, Vec<String>) {
    let differs = |name: &&String| probada.configuracion.get(*name) != esta.configuracion.get(*name);
    let mut names: Vec<&String> =
        probada.configuracion.keys().chain(esta.configuracion.keys()).filter(differs).collect();
    names.sort();
    names.dedup();
    let of_ours = names.into_iter().filter(|name| !DEL_AMBIENTE.contains(&name.as_str())).cloned();
    of_ours.partition(|name| DE_FONDO.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::validation::Rigor;

    #[test]
    fn configurations_are_compared_by_what_they_decide_and_not_by_where_they_stand() {
        let one = Config::default();
        let mut other = one.clone();
        other.data_dir = "otra".into();
        let of = |config: &Config| propio(config).unwrap();
        assert_eq!(of(&one).binario_sha256.len(), 64);
        assert_eq!(distintas(&of(&one), &of(&other)), (vec![], vec![]));
        other.reception.validation = Rigor::Strict;
        other.retry.first_delay += Duration::from_secs(1);
        assert_eq!(distintas(&of(&one), &of(&other)), (vec!["reception".to_owned()], vec!["retry".to_owned()]));
    }

    #[test]
    fn a_configuration_written_after_the_start_is_not_the_one_that_runs() {
        let at = |s| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        assert!(changed_since(at(2), at(1)) && !changed_since(at(1), at(2)) && !changed_since(None, at(1)));
    }
}
