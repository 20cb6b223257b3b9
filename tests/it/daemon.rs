//! `chasqui serve` as a process: its configuration, its folder, its keys, and the two sides it shows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    envelope::Answer,
    patience::until,
    port::Port,
    process::{self, Process, said},
    rest::{Api, client},
};

/// How long a start may take, in seconds: a debug build makes a large index anew, on a machine that others use.
const READY: u64 = 300;

/// An entity that a daemon serves.
#[derive(Debug, Clone, Copy)]
pub struct Entity {
    pub ruc: &'static str,
    pub name: &'static str,
}

pub const LIMA: Entity = Entity { ruc: "20131380951", name: "MUNICIPALIDAD METROPOLITANA DE LIMA" };
pub const CUSCO: Entity = Entity { ruc: "20177217043", name: "MUNICIPALIDAD PROVINCIAL DEL CUSCO" };
pub const PUNO: Entity = Entity { ruc: "20406325815", name: "GOBIERNO REGIONAL PUNO" };

/// How a daemon is set up beside what every test needs.
#[derive(Debug, Clone)]
pub struct Setup {
    pub entities: Vec<Entity>,
    /// Of `fixtures/pki`, for each of them.
    pub identity: Option<&'static str>,
    pub binary: PathBuf,
    /// Further TOML, at the end of the file.
    pub more: String,
    /// What the daemon finds in its environment.
    pub environment: Vec<(String, String)>,
    /// Where its data are, if not in a folder of its own.
    pub data_dir: Option<PathBuf>,
}

impl Setup {
    pub fn of(entities: &[Entity]) -> Self {
        Self {
            entities: entities.to_vec(),
            identity: None,
            binary: process::binary(),
            more: String::new(),
            environment: Vec::new(),
            data_dir: None,
        }
    }

    /// They sign with this identity of `fixtures/pki`.
    #[must_use]
    #[allow(dead_code)] // the crash tests sign nothing
    pub fn with_identity(self, name: &'static str) -> Self {
        Self { identity: Some(name), ..self }
    }

    #[must_use]
    pub fn with(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self.more.push('\n');
        self
    }
}

/// A daemon with a folder of its own. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct Daemon {
    // Before `dir`: a process must have ended when its folder goes.
    process: Option<Process>,
    dir: TempDir,
    soap: Port,
    api: Port,
    setup: Setup,
    key: Option<String>,
}

impl Daemon {
    /// A folder, ports and a configuration; nothing runs yet. `platform` is the address of the simulator's listener.
    pub fn prepare(setup: Setup, platform: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("chasqui-it-").tempdir().expect("a temporary folder");
        let daemon = Self { process: None, dir, soap: Port::reserve(), api: Port::reserve(), setup, key: None };
        fs::write(daemon.config(), daemon.toml(platform)).expect("the configuration is written");
        daemon
    }

    fn toml(&self, platform: &str) -> String {
        let Self { soap, api, setup, .. } = self;
        let (soap, api) = (soap.address(), api.address());
        let data = self.data_dir();
        let mut toml = format!(
            "environment = \"simulation\"\ndata_dir = {data:?}\n[listen]\nsoap = \"{soap}\"\napi = \"{api}\"\n"
        );
        for Entity { ruc, name } in &setup.entities {
            toml += &format!("[[entity]]\nruc = \"{ruc}\"\nname = \"{name}\"\n");
            if let Some(identity) = setup.identity {
                let pki = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pki");
                toml +=
                    &format!("identity.file = \"{pki}/{identity}.p12\"\nidentity.password_file = \"{pki}/password\"\n");
            }
        }
        toml += &format!("[simulator]\nlisten = \"{platform}\"\n");
        if !setup.more.contains("[retry]") {
            // Waits of people's time would be waits of the tests.
            toml += "[retry]\nfirst_delay = \"200ms\"\ndelay_max = \"1s\"\nask_after = \"200ms\"\n";
        }
        toml + &setup.more
    }

    /// Starts it, on its ports and its folder, and waits until it says that it is ready.
    pub async fn run(&mut self) {
        self.run_until(200).await;
    }

    /// Starts it and waits until `/readyz` answers with `status`.
    pub async fn run_until(&mut self, status: u16) {
        self.start();
        let process = self.process.as_mut().expect("it was started");
        let url = format!("http://{}/readyz", self.api.address());
        let client = client();
        until("the daemon is ready", READY, || {
            let alive = process.alive();
            let request = client.get(&url).send();
            async {
                if let Err(ended) = alive {
                    panic!("{ended}");
                }
                match request.await {
                    Ok(response) if response.status() == status => Ok(()),
                    Ok(response) => Err(response.text().await.unwrap_or_default()),
                    Err(error) => Err(error.to_string()),
                }
            }
        })
        .await;
    }

    /// Starts it and waits for nothing.
    pub fn start(&mut self) {
        let config = self.config();
        let args = ["serve", "--config", config.to_str().unwrap()];
        let Setup { binary, environment, .. } = &self.setup;
        self.process = Some(Process::start_with(binary, "serve", self.dir.path(), &args, environment));
    }

    /// What it finds in its environment from its next start on.
    #[allow(dead_code)] // the crash tests use it
    pub fn environment(&mut self) -> &mut Vec<(String, String)> {
        &mut self.setup.environment
    }

    /// Whether it compares its index with one made anew when it starts, which it does not if they differ. Debug builds only.
    #[allow(dead_code)] // the crash tests use it
    pub fn compare_index(&mut self, compare: bool) {
        const NAME: &str = "CHASQUI_INDEX_COMPARE";
        self.setup.environment.retain(|(name, _)| name != NAME);
        if compare {
            self.setup.environment.push((NAME.into(), "1".into()));
        }
    }

    pub fn entities(&self) -> &[Entity] {
        &self.setup.entities
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.setup.data_dir.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("chasqui.toml")
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the daemon runs")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("the daemon runs").kill();
    }

    /// SIGTERM; it must end with 0.
    pub fn stop(&mut self) {
        let status = self.process.take().expect("the daemon runs").terminate();
        assert!(status.success(), "the daemon ended with {status}");
    }

    /// `chasqui ARGS --config FILE` beside it.
    pub fn cli(&self, args: &[&str]) -> Output {
        let config = self.config();
        let args = [args, &["--config", config.to_str().unwrap()]].concat();
        process::run(self.dir.path(), &args)
    }

    /// A new key of the API for a role of an entity, or of all.
    pub fn new_key(&self, role: &str, entity: Option<Entity>) -> String {
        let mut args = vec!["api-key", "create", "--name", "prueba", "--role", role, "--format", "json"];
        if let Some(entity) = entity {
            args.extend(["--entity", entity.ruc]);
        }
        let output = self.cli(&args);
        assert!(output.status.success(), "{}", said(&output));
        let made: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        made["clave"].as_str().unwrap_or_else(|| panic!("no key: {made}")).to_owned()
    }

    /// The API with a key that may do everything for the first entity; made once.
    pub fn api(&mut self) -> Api {
        let first = self.setup.entities[0];
        let key = self.key.take().unwrap_or_else(|| self.new_key("sgd", Some(first)));
        self.key = Some(key.clone());
        Api::new(format!("http://{}", self.api.address()), Some(key))
    }

    /// The API without a key.
    pub fn anonymous(&self) -> Api {
        Api::new(format!("http://{}", self.api.address()), None)
    }

    pub fn soap_address(&self) -> std::net::SocketAddr {
        self.soap.address()
    }

    pub fn api_address(&self) -> std::net::SocketAddr {
        self.api.address()
    }

    /// The component's address, as an entity registers it with the platform.
    pub fn soap_url(&self) -> String {
        format!("http://{}/wsiotramite/Tramite", self.soap.address())
    }

    /// Posts an envelope to the component as the platform does.
    pub async fn soap(&self, envelope: impl Into<reqwest::Body>) -> Answer {
        post(&self.soap_url(), envelope).await
    }

    /// Files under `folder` of the data folder, at any depth.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.data_dir().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.expect("a file's entry").path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

/// Posts an envelope with the head that SOAP 1.1 wants.
pub async fn post(url: &str, envelope: impl Into<reqwest::Body>) -> Answer {
    let request = client().post(url).header("content-type", "text/xml; charset=utf-8").header("soapaction", "\"\"");
    answer(request.body(envelope)).await
}

pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap_or_else(|error| panic!("no answer: {error:?}"));
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let content_type = content_type.to_owned();
    Answer { status, content_type, body: response.text().await.expect("the answer's text") }
}
