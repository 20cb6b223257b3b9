//! `chasqui simulator`: the simulated platform alone, for teams that have no access to the real one.

use std::{
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigOption, Failure, causes, output::say, runtime};
use crate::{
    config::Config,
    domain::{Ambiente, Ruc},
    simulator::{
        Comportamiento, Options, Simulator, SimulatorError,
        faults::{self, Script},
    },
    telemetry, wsiotramite,
};

#[derive(Args)]
pub struct SimulatorCommand {
    /// Dirección en la que atiende [si no se da: la de simulator.listen]
    #[arg(long, value_name = "DIRECCIÓN")]
    listen: Option<SocketAddr>,
    /// Una entidad registrada y la dirección de su wsiotramite; se repite [además de las de la configuración]
    #[arg(long, value_name = "RUC=URL", value_parser = entity)]
    entity: Vec<(Ruc, String)>,
    /// Archivo TOML con las fallas que debe simular; docs/simulador.md las explica
    #[arg(long, value_name = "ARCHIVO")]
    faults: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigOption,
}

/// Largest file of faults, in bytes.
const FAULTS_BYTES_MAX: u64 = 1024 * 1024;

fn script(path: &Path) -> Result<Script, Failure> {
    let unreadable = |error: &io::Error| {
        Failure::Usage(format!(
            "no se puede leer el archivo de fallas {}: {}",
            path.display(),
            causes::in_spanish(error)
        ))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(FAULTS_BYTES_MAX).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    faults::reading::toml(&path.display().to_string(), &text).map_err(|error| Failure::Usage(error.to_string()))
}

fn entity(text: &str) -> Result<(Ruc, String), String> {
    let (ruc, url) = text.split_once('=').ok_or("se escribe RUC=URL")?;
    let ruc = Ruc::parse(ruc, Ambiente::Simulation).map_err(|error| error.to_string())?;
    crate::platform::client::parse_url(url).map_err(|error| error.to_string())?;
    Ok((ruc, url.to_owned()))
}

impl SimulatorCommand {
    pub fn run(&self) -> Result<(), Failure> {
        let loaded = self.config.load()?;
        telemetry::log::init(&loaded.config.log).map_err(|error| Failure::Failed(error.to_string()))?;
        runtime()?.block_on(self.serve(&loaded.config))
    }

    async fn serve(&self, config: &Config) -> Result<(), Failure> {
        let failed = |error: SimulatorError| Failure::Failed(error.to_string());
        let listen = self.listen.unwrap_or(config.simulator.listen);
        let faults = self.faults.as_deref().map_or_else(|| Ok(Script::default()), script)?;
        let options = Options { listen, limits: config.limits.clone(), faults, ..Options::default() };
        let simulator = Simulator::start(options).await.map_err(failed)?;
        let entities = self.entities(config);
        for (ruc, name, url) in &entities {
            simulator.register(ruc, name, url).map_err(failed)?;
        }
        show(&simulator, &entities);
        let (mut int, mut term) = (wait_for(SignalKind::interrupt())?, wait_for(SignalKind::terminate())?);
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        simulator.shutdown().await;
        Ok(())
    }

    /// The configuration's own entities where it says they listen, and those of the command line, which go first.
    fn entities(&self, config: &Config) -> Vec<(Ruc, String, String)> {
        let service = |base: &str| format!("{}{}", base.trim_end_matches('/'), wsiotramite::PATH);
        let base = config.listen.soap_public_url.clone().unwrap_or_else(|| format!("http://{}", config.listen.soap));
        let mut all: Vec<_> = config.entities().into_iter().map(|e| (e.ruc, e.nombre, service(&base))).collect();
        for (ruc, url) in &self.entity {
            let known = all.iter().position(|(own, ..)| own == ruc).map(|at| all.remove(at).1);
            all.push((ruc.clone(), known.unwrap_or_else(|| format!("ENTIDAD {ruc}")), url.clone()));
        }
        all
    }
}

fn wait_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::Failed(error.to_string()))
}

fn show(simulator: &Simulator, entities: &[(Ruc, String, String)]) {
    let urls = simulator.urls();
    say(&format!("Simulador de la PIDE en http://{}   (Ctrl-C para detenerlo)", simulator.address()));
    say("");
    say("Entidades simuladas, que responden solas:");
    for c in Comportamiento::TODOS {
        say(&format!("  {}  {}", c.ruc(), c.explicacion()));
    }
    say("");
    show_faults(simulator);
    say("Entidades registradas, a las que entrega documentos y cargos:");
    for (ruc, name, url) in entities {
        say(&format!("  {ruc}  {name}"));
        say(&format!("               {url}"));
    }
    say("");
    say("Para que un chasqui lo use (con environment = \"simulation\" y en su dirección habitual no hace falta):");
    say("");
    say("  [pide]");
    say(&format!("  tramite_url = \"{}\"", urls.tramite));
    say(&format!("  entidad_url = \"{}\"", urls.entidad));
    say(&format!("  cuo_url     = \"{}\"", urls.cuo));
    say("");
    say("Para que una entidad simulada envíe un documento a una registrada:");
    say("");
    let ruc = entities.first().map_or("RUC", |(ruc, ..)| ruc.as_str());
    let de = Comportamiento::Recepciona.ruc();
    say(&format!("  curl -H 'Content-Type: application/json' -d '{{\"de\": \"{de}\", \"a\": \"{ruc}\"}}' \\"));
    say(&format!("       http://{}/simulador/enviar", simulator.address()));
    say("");
    say(&format!("Lo que pasa por aquí se ve en http://{}/simulador/mensajes", simulator.address()));
    say(&format!("y las fallas se piden en http://{}/simulador/fallas", simulator.address()));
}

fn show_faults(simulator: &Simulator) {
    let (script, _) = simulator.faults();
    if script == (Script { semilla: script.semilla, ..Script::default() }) {
        return;
    }
    say(&format!("Fallas pedidas (semilla {}):", script.semilla.unwrap_or_default()));
    for rule in &script.reglas {
        let operaciones = rule.operacion.iter().map(|o| o.nombre()).collect::<Vec<_>>().join(", ");
        say(&format!("  {:<16} {operaciones}", rule.falla.nombre()));
    }
    for who in &script.contrapartes {
        say(&format!("  {}      {}", who.ruc, who.responde.explicacion()));
    }
    say("");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_a_ruc_and_an_address() {
        let (ruc, url) = entity("20900000015=http://127.0.0.1:8080/wsiotramite/Tramite").unwrap();
        assert_eq!((ruc.as_str(), url.as_str()), ("20900000015", "http://127.0.0.1:8080/wsiotramite/Tramite"));
        assert!(entity("11111111111=http://x/y").is_ok(), "the platform's test RUCs");
        for wrong in ["20900000015", "20900000016=http://x/y", "=http://x/y", "20900000015=x"] {
            assert!(entity(wrong).is_err(), "{wrong}");
        }
    }
}
