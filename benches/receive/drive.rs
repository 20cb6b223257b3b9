//! Drives a daemon that is running already, on this machine.

use std::{
    net::ToSocketAddrs,
    time::{Duration, UNIX_EPOCH},
};

use crate::{
    daemon::{CUSCO, Entity},
    document::{Asked, Wire},
    load::{self, Length},
    measured,
};

pub fn run(args: &[&str]) {
    let option = |name: &str| args.iter().position(|arg| *arg == name).and_then(|at| args.get(at + 1)).copied();
    let number = |name: &str, usual: u64| option(name).map_or(usual, |text| text.parse().expect(name));
    let url: reqwest::Url = option("--url").expect("--url http://127.0.0.1:PORT/PATH").parse().expect("an address");
    let host = url.host_str().expect("a host");
    let address = (host, url.port_or_known_default().expect("a port")).to_socket_addrs().expect("a known host").next();
    let address = address.expect("an address");
    assert!(address.ip().is_loopback(), "{address} is not this machine: a load is for machines that are yours");
    let ruc = option("--receiver").expect("--receiver RUC, an entity of the daemon's").to_owned();
    // Small and lasting as long as the bench: its fields are written by name elsewhere.
    let receiver = Entity { ruc: ruc.leak(), name: "RECEPTORA" };
    let bytes = size(option("--size").unwrap_or("2MiB"));
    let asked = Asked::Recepcion(Box::new(Wire::new(bytes, CUSCO, receiver)));
    let (connections, time) = (number("--connections", 8), Duration::from_secs(number("--seconds", 10)));
    let since = UNIX_EPOCH.elapsed().expect("a clock after 1970");
    // Tenths of a millisecond, in the nine digits that a document's own bytes have.
    load::begin_at(u64::try_from(since.as_micros() / 100).expect("a date of ours") % 900_000_000);
    let pid = option("--pid").map(|text| text.parse().expect("--pid"));
    let before = pid.map(measured::cpu);
    let length = Length { time, requests: connections };
    let outcome = load::run(address, url.path(), usize::try_from(connections).expect("few"), &asked, length);
    let rate = outcome.per_second();
    println!("{} answered, {} told to come back, {} failed", outcome.answered, outcome.refused, outcome.failed);
    println!("{rate:.1} receptions/s, {:.0} MB/s of wire", rate * asked.body_bytes() as f64 / 1e6);
    println!("p50 {:?}, p99 {:?}", outcome.percentile(50), outcome.percentile(99));
    if let (Some(pid), Some(before)) = (pid, before) {
        let cpu = (measured::cpu(pid) - before).as_secs_f64() * 1e3 / outcome.answered.max(1) as f64;
        println!("{cpu:.3} ms of CPU each; peak memory so far {:.0} MB", measured::peak(pid));
    }
    if let Some(failure) = &outcome.first_failure {
        println!("the first failure: {failure}");
    }
}

/// `20KiB`, `2MiB` or a number of bytes.
fn size(text: &str) -> usize {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        other => panic!("{other} is no unit: KiB, MiB or none"),
    };
    digits.parse::<usize>().expect("a size") * unit
}
