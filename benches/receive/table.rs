//! Receptions and consultas by size and number of connections.

use crate::{
    document::Asked,
    load::{self, Length},
    seconds,
    target::{Cost, Target},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// Sizes, and the numbers of connections each is sent over: what is in flight at once stays under 4 GiB of this machine's.
const RECEPTIONS: [(&str, usize, &[usize]); 5] = [
    ("20 KiB", 20 * KIB, &[1, 8, 32, 128]),
    ("200 KiB", 200 * KIB, &[1, 8, 32, 128]),
    ("2 MiB", 2 * MIB, &[1, 8, 32, 128]),
    ("20 MiB", 20 * MIB, &[1, 8, 32, 128]),
    ("200 MiB", 200 * MIB, &[1, 4, 8]),
];

pub fn run() {
    println!("## Recibir\n");
    println!(
        "| documento | conexiones | respondidas/s | MB/s de mensaje | p50 | p99 | ms de CPU cada una | esperas al disco cada una | memoria máxima, MB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, bytes, connections) in RECEPTIONS {
        // A store of its own: what came before is in nobody's way.
        let target = Target::start();
        let asked = Target::document(bytes);
        let first = load::next();
        for connections in connections {
            let cost = target.load(*connections, &asked, Length { time: seconds(), requests: *connections as u64 });
            row(name, *connections, &asked, &cost);
        }
        if bytes == 20 * KIB {
            let asked = Asked::Consulta { first, count: load::next() - first };
            for connections in connections {
                let cost = target.load(*connections, &asked, Length { time: seconds(), requests: 1 });
                row("consulta", *connections, &asked, &cost);
            }
        }
    }
    println!();
}

fn row(name: &str, connections: usize, asked: &Asked, cost: &Cost) {
    let outcome = &cost.outcome;
    let rate = outcome.per_second();
    let wire = rate * asked.body_bytes() as f64 / 1e6;
    let [p50, p99] = [50, 99].map(|percent| outcome.percentile(percent).as_secs_f64() * 1e3);
    println!(
        "| {name} | {connections} | {rate:.1} | {wire:.0} | {p50:.1} ms | {p99:.1} ms | {:.2} | {:.2} | {:.0} |",
        cost.cpu_each(),
        cost.syncs_each(),
        cost.peak
    );
}
