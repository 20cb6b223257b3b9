//! What `check` says, with and without the simulator and a daemon.

use super::*;
use crate::{
    cli::daemon::{Daemon, Overrides, tests::config},
    config::Config,
    simulator::{self, Simulator},
};

fn loaded(config: &Config) -> Loaded {
    Loaded { config: config.clone(), file: "chasqui.toml".into(), origins: Default::default() }
}

fn states(found: &[Grupo], key: &str) -> Vec<Estado> {
    numbered(found).filter(|(_, found)| found.clave == key).map(|(_, found)| found.estado).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_simulator_and_the_daemon_running_nothing_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    let free = ([127, 0, 0, 1], 0).into();
    let options = simulator::Options { listen: free, ..simulator::Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    config.simulator.listen = simulator.address();
    let daemon = Daemon::start(&config, Overrides::default()).await.unwrap();
    config.listen.soap_public_url = Some(format!("http://{}", daemon.soap));
    let found = look(loaded(&config)).await;
    let text = lines(&found).join("\n");
    assert_ne!(probe::worst(&found), Estado::Falla, "{text}");
    assert_eq!(states(&found, "pide_wsdl"), [Estado::Bien; 3], "{text}");
    assert_eq!(states(&found, "wsdl_propio"), [Estado::Bien], "{text}");
    assert_eq!(
        (states(&found, "almacen"), states(&found, "reloj")),
        (vec![Estado::Bien], vec![Estado::Bien]),
        "{text}"
    );
    assert_eq!(states(&found, "claves"), [Estado::Advertencia], "{text}");
    assert!(text.contains("→ chasqui api-key create"), "{text}");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_not_there_fails_with_what_to_do_and_is_not_asked_further() {
    let folder = tempfile::tempdir().unwrap();
    let found = look(loaded(&config(folder.path()))).await;
    let text = lines(&found).join("\n");
    assert_eq!(probe::worst(&found), Estado::Falla, "{text}");
    assert_eq!(states(&found, "pide_wsdl"), [Estado::Omitida; 3], "{text}");
    assert!(text.contains("la conexión fue rechazada") && text.contains("→ Inicie el simulador"), "{text}");
    assert!(matches!(nagios(&found, Estado::Falla), Err(Failure::Ended(2))));
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_with_its_lines() {
    let error = config::parse("chasqui.toml", "[listen]\nsopa = \"x\"", &[], &|_| unreachable!()).unwrap_err();
    let told = unreadable(&error);
    assert!(told.comprobaciones.iter().any(|found| found.nombre == "chasqui.toml:2"), "{told:?}");
}
