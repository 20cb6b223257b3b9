//! A daemon alone, set up to take as much as it is given: what is measured is its work, not its bounds.

use std::{net::SocketAddr, time::Duration};

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    document::{Asked, Wire},
    load::{self, Length, Outcome},
    measured,
    rest::Api,
};

/// No bound of those that stand between one caller on loopback and the work.
const UNBOUNDED: &str = "[limits]\nbytes_in_flight_max = \"64GiB\"\nconnections_max = 4096\n\
    connections_per_peer_max = 4096\nrequests_max = 4096\nrequests_per_peer_max = 4096\n\
    key_rate = 1000000\nkey_burst = 1000000\n";

pub const PATH: &str = "/wsiotramite/Tramite";

/// A daemon and what speaks to it.
pub struct Target {
    _daemon: Daemon,
    pub address: SocketAddr,
    pub pid: u32,
    api: Api,
    runtime: tokio::runtime::Runtime,
}

/// What one load cost.
pub struct Cost {
    pub outcome: Outcome,
    /// Processor time of the daemon.
    pub cpu: Duration,
    /// Its most resident memory in MB, since the load began.
    pub peak: f64,
    /// Times it waited for the disk.
    pub syncs: f64,
}

impl Cost {
    /// Processor time of each request answered, in milliseconds.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / self.outcome.answered.max(1) as f64
    }

    pub fn syncs_each(&self) -> f64 {
        self.syncs / self.outcome.answered.max(1) as f64
    }
}

impl Target {
    /// The receiver `LIMA`, with nobody behind it.
    pub fn start() -> Self {
        Self::with(UNBOUNDED)
    }

    /// The same with other bounds; none of them given, those of the program.
    pub fn with(toml: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut daemon = Daemon::prepare(Setup::of(&[LIMA]).with(toml), "127.0.0.1:9");
        runtime.block_on(daemon.run());
        let (address, api) = (daemon.soap_address(), daemon.api());
        let pid = daemon.process().id();
        Self { _daemon: daemon, address, pid, api, runtime }
    }

    /// A document of about so many bytes for it.
    pub fn document(bytes: usize) -> Asked {
        Asked::Recepcion(Box::new(Wire::new(bytes, CUSCO, LIMA)))
    }

    /// The page of its metrics.
    pub fn metrics(&self) -> String {
        let api = &self.api;
        let page = self.runtime.block_on(async { api.get("/metrics").await });
        String::from_utf8(page.body).expect("text")
    }

    pub fn load(&self, connections: usize, asked: &Asked, length: Length) -> Cost {
        let syncs = || measured::metric(&self.metrics(), "chasqui_store_syncs_total").expect("it counts its syncs");
        measured::forget_peak(self.pid);
        let (cpu, before) = (measured::cpu(self.pid), syncs());
        let outcome = load::run(self.address, PATH, connections, asked, length);
        let (cpu, syncs) = (measured::cpu(self.pid).saturating_sub(cpu), syncs() - before);
        if let Some(failure) = &outcome.first_failure {
            println!("({} requests failed, the first with: {failure})", outcome.failed);
        }
        Cost { outcome, cpu, peak: measured::peak(self.pid), syncs }
    }
}
