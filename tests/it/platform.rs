//! `chasqui simulator` as a process: the national platform for the daemons of a test.

use serde_json::{Value, json};

use crate::{
    daemon::{Daemon, Entity, Setup},
    patience::until,
    port::Port,
    process::{self, Process},
    rest::client,
};

/// Which of the platform's two sets of descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Production,
    Test,
}

/// Where a flavour's descriptions are.
#[derive(Debug)]
pub struct Descriptions {
    pub cuo: String,
    pub cuo_operation: &'static str,
    pub entidad: String,
    pub tramite: String,
}

/// The simulator, told where the daemons of its test are reached.
#[derive(Debug)]
pub struct Platform {
    process: Option<Process>,
    dir: tempfile::TempDir,
    port: Port,
    /// What it is told at each start: it keeps nothing.
    entities: Vec<Value>,
}

impl Platform {
    /// A platform that relays to these daemons, and the daemons, all running.
    pub async fn with<const N: usize>(setups: [Setup; N]) -> (Self, Vec<Daemon>) {
        Self::with_faults(json!({}), setups).await
    }

    /// The same, with faults that are there before the daemons are.
    pub async fn with_faults<const N: usize>(faults: Value, setups: [Setup; N]) -> (Self, Vec<Daemon>) {
        let port = Port::reserve();
        let address = port.address().to_string();
        let mut daemons: Vec<Daemon> = setups.into_iter().map(|setup| Daemon::prepare(setup, &address)).collect();
        let dir = tempfile::Builder::new().prefix("chasqui-it-").tempdir().expect("a temporary folder");
        let toml = format!("environment = \"simulation\"\n[simulator]\nlisten = \"{address}\"\n");
        // No RUC that a test has a daemon for.
        let entity = "[[entity]]\nruc = \"20900000023\"\nname = \"NADIE\"\n";
        std::fs::write(dir.path().join("chasqui.toml"), toml + entity).expect("the configuration is written");
        let registered = |daemon: &Daemon| {
            let url = daemon.soap_url();
            let entity = |e: &Entity| json!({"ruc": e.ruc, "nombre": e.name, "url": url, "categoria": 7});
            daemon.entities().iter().map(entity).collect::<Vec<_>>()
        };
        let entities = daemons.iter().flat_map(registered).collect();
        let mut platform = Self { process: None, dir, port, entities };
        platform.run().await;
        platform.faults(&faults).await;
        for daemon in &mut daemons {
            daemon.run().await;
        }
        (platform, daemons)
    }

    /// What goes wrong from now on, in the place of what did.
    pub async fn faults(&self, script: &Value) {
        let told = client().put(self.url("/simulador/fallas")).json(script).send().await.expect("the simulator");
        assert!(told.status().is_success(), "{script}: {}", told.text().await.unwrap_or_default());
    }

    /// Everything the platform has been asked, oldest first.
    pub async fn operations(&self) -> Vec<Value> {
        let (client, mut all, mut after) = (client(), Vec::new(), 0);
        loop {
            let url = self.url(&format!("/simulador/operaciones?desde={after}"));
            let page: Value = client.get(url).send().await.expect("the simulator").json().await.expect("JSON");
            all.extend(page["items"].as_array().expect("items").iter().cloned());
            after = page["siguiente"].as_u64().expect("a number");
            if page["siguiente"] == page["ultima"] {
                return all;
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.port.address())
    }

    pub async fn run(&mut self) {
        let config = self.dir.path().join("chasqui.toml");
        // Known from its first breath: a daemon that was waiting for it asks at once.
        let text = |entity: &Value, member: &str| entity[member].as_str().unwrap_or_default().to_owned();
        let known: Vec<String> =
            self.entities.iter().map(|e| format!("{}={}", text(e, "ruc"), text(e, "url"))).collect();
        let mut args = vec!["simulator", "--config", config.to_str().unwrap()];
        args.extend(known.iter().flat_map(|entity| ["--entity", entity.as_str()]));
        let mut process = Process::start(&process::binary(), "simulator", self.dir.path(), &args);
        let (url, client) = (self.url("/healthz"), client());
        until("the simulator answers", 60, || {
            let alive = process.alive();
            let request = client.get(&url).send();
            async {
                alive.unwrap_or_else(|ended| panic!("{ended}"));
                request.await.map(drop).map_err(|error| error.to_string())
            }
        })
        .await;
        for entity in &self.entities {
            self.tell(entity).await;
        }
        self.process = Some(process);
    }

    async fn tell(&self, entity: &Value) {
        let told = client().post(self.url("/simulador/entidades")).json(entity).send().await.expect("the simulator");
        assert!(told.status().is_success(), "{entity}: {}", told.text().await.unwrap_or_default());
    }

    /// Registers an entity that a test plays itself: the platform knows it and reaches nobody there.
    pub async fn register(&self, entity: &Entity) {
        let nowhere = "http://127.0.0.1:9/";
        self.tell(&json!({"ruc": entity.ruc, "nombre": entity.name, "url": nowhere, "categoria": 7})).await;
    }

    /// SIGKILL: the platform is gone.
    pub fn stop(&mut self) {
        self.process.take().expect("the simulator runs").kill();
    }

    pub fn descriptions(&self, flavour: Flavour) -> Descriptions {
        match flavour {
            Flavour::Production => Descriptions {
                cuo: self.url("/services/PcmCuo?wsdl"),
                cuo_operation: "getCUOEntidad",
                entidad: self.url("/services/PcmIMgdEntidad?wsdl"),
                tramite: self.url("/services/PcmIMgdTramite?wsdl"),
            },
            Flavour::Test => Descriptions {
                cuo: self.url("/services/PcmCuo?wsdl"),
                cuo_operation: "getCUO",
                entidad: self.url("/wsentidad/Entidad?wsdl"),
                tramite: self.url("/wsiopidetramite/IOTramite?wsdl"),
            },
        }
    }
}
