//! What systemd is told, over the datagram socket that it names in the environment (sd_notify): that the service is ready, that it
//! stops, and now and then that it lives. Without systemd nothing happens.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::MissedTickBehavior};

/// A supervisor that wants to be told.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    /// It restarts a service of which it hears nothing for so long.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As this process's environment names it.
    pub fn of_environment() -> Option<Self> {
        let text = |name| std::env::var(name).ok();
        // A variable that was inherited is another process's.
        let ours = text("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let every = text("WATCHDOG_USEC").filter(|_| ours);
        match Self::new(&text("NOTIFY_SOCKET")?, every.as_deref()) {
            Ok(supervisor) => Some(supervisor),
            Err(error) => {
                tracing::warn!(%error, "systemd cannot be told how the service is");
                None
            }
        }
    }

    fn new(address: &str, watchdog_usec: Option<&str>) -> io::Result<Self> {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let every = watchdog_usec.and_then(|text| text.parse().ok()).filter(|usec| *usec > 0);
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, watchdog: every.map(Duration::from_micros) })
    }

    fn tell(&self, what: &str) {
        if let Err(error) = self.socket.send_to_addr(what.as_bytes(), &self.address) {
            tracing::debug!(%error, what, "systemd was not told");
        }
    }

    pub fn ready(&self) {
        self.tell("READY=1");
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that we live, twice as often as asked for, as long as the runtime runs tasks at all.
    pub fn live(self: std::sync::Arc<Self>) -> Option<JoinHandle<()>> {
        let every = self.watchdog? / 2;
        Some(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.tell("WATCHDOG=1");
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    // It listens with its own thread, which must not be the one that tells.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_supervisor_hears_that_we_are_ready_live_and_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let theirs = UnixDatagram::bind(&path).unwrap();
        let supervisor = Arc::new(Supervisor::new(path.to_str().unwrap(), Some("2000")).unwrap());
        let heard = || {
            let mut text = [0; 64];
            let length = theirs.recv(&mut text).unwrap();
            String::from_utf8_lossy(&text[..length]).into_owned()
        };
        supervisor.ready();
        assert_eq!(heard(), "READY=1");
        let living = Arc::clone(&supervisor).live().unwrap();
        assert_eq!(heard(), "WATCHDOG=1");
        living.abort();
        assert!(living.await.is_err());
        let silent = Arc::new(Supervisor::new(path.to_str().unwrap(), None).unwrap());
        assert!(Arc::clone(&silent).live().is_none());
        silent.stopping();
        while heard() != "STOPPING=1" {}
    }

    #[test]
    fn a_name_that_is_no_socket_is_refused_and_one_that_nobody_reads_harms_nothing() {
        assert!(Supervisor::new(&"x".repeat(200), None).is_err());
        Supervisor::new("@chasqui-nadie-escucha", Some("nada")).unwrap().ready();
    }
}
