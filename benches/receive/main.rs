//! What a daemon takes and what it costs: documents of five sizes received, sent and asked for over loopback, beside what
//! the machine can do at most and beside a loop that does only the work itself. What it prints are the tables of
//! docs/rendimiento.md, as they stand there: nobody types a figure.
//!
//! ```text
//! cargo bench --bench receive                 all of it: some minutes
//! cargo bench --bench receive -- ratios       only what is promised: the ratios of docs/rendimiento.md
//! cargo bench --bench receive -- table | send | attack | memory
//! cargo bench --bench receive -- drive --url http://127.0.0.1:8090/wsiotramite/Tramite --receiver RUC \
//!     [--size 2MiB] [--connections 8] [--seconds 10] [--pid PID]      drives a daemon that runs, on this machine
//! ```
//!
//! `CHASQUI_BENCH_SECONDS` (5) is how long each load lasts; `TMPDIR` chooses the disk. The daemons are those of `tests/it`.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a bench that cannot go on says where

mod attack;
#[path = "../../tests/it/attacker.rs"]
#[allow(dead_code)]
mod attacker;
mod bare;
#[path = "../../tests/it/daemon.rs"]
#[allow(dead_code)]
mod daemon;
mod document;
mod drive;
#[path = "../../tests/it/envelope.rs"]
#[allow(dead_code)]
mod envelope;
mod load;
mod machine;
mod measured;
#[path = "../../tests/it/patience.rs"]
mod patience;
#[path = "../../tests/it/pdf.rs"]
#[allow(dead_code)]
mod pdf;
#[path = "../../tests/it/platform.rs"]
#[allow(dead_code)]
mod platform;
#[path = "../../tests/it/port.rs"]
mod port;
#[path = "../../tests/it/process.rs"]
#[allow(dead_code)]
mod process;
mod ratios;
#[path = "../../tests/it/rest.rs"]
#[allow(dead_code)]
mod rest;
mod send;
mod table;
mod target;

use std::{path::Path, time::Duration};

fn main() {
    // `cargo bench` adds an argument of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--bare", address, dir] => bare::serve(address, Path::new(dir)),
        ["drive", rest @ ..] => drive::run(rest),
        [] => {
            machine();
            ratios::run();
            table::run();
            send::run();
            attack::run();
        }
        [part] => {
            machine();
            match *part {
                "ratios" => ratios::run(),
                "memory" => ratios::memory(),
                "table" => table::run(),
                "send" => send::run(),
                "attack" => attack::run(),
                other => panic!("unknown part {other}: ratios, memory, table, send, attack or drive"),
            }
        }
        other => panic!("unknown arguments {other:?}"),
    }
}

/// How long a load lasts.
fn seconds() -> Duration {
    let given = std::env::var("CHASQUI_BENCH_SECONDS").ok();
    Duration::from_secs(given.map_or(5, |text| text.parse().expect("a number of seconds")))
}

fn machine() {
    let dir = tempfile::tempdir().expect("a folder");
    let m = machine::Machine::measure(dir.path());
    println!("## La máquina, en la misma corrida\n");
    println!("| límite de la máquina | medido |\n| --- | ---: |");
    println!("| procesadores | {} |", m.processors);
    println!("| escrituras de 4 KiB, cada una con su fdatasync | {:.0}/s |", m.syncs_per_second);
    println!("| SHA-256, un procesador | {:.0} MB/s |", m.sha256);
    println!("| quitar las dos capas de base64, un procesador | {:.0} MB/s de mensaje |", m.base64);
    println!("| copia por loopback, un emisor y un receptor | {:.0} MB/s |\n", m.loopback);
}
