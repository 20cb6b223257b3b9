//! Ports for the processes of a test: known before the process starts and kept through its restarts, so that others can be
//! told where it is. Below the range the kernel gives to outgoing connections, and locked against tests that run beside.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on loopback that no other test uses while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub fn reserve() -> Self {
        let locks = std::env::temp_dir().join("chasqui-it-ports");
        fs::create_dir_all(&locks).expect("the folder of the ports' locks");
        let spread = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).unwrap_or(0);
        for _ in 0..COUNT {
            let number = FIRST + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let Ok(lock) = File::create(locks.join(number.to_string())) else { continue };
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no port is free from {FIRST} on");
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
