//! What is promised, each with what it is held against in the same run.

use std::time::Duration;

use crate::{
    bare::Bare,
    load::{self, Length},
    measured,
    port::Port,
    seconds,
    target::{PATH, Target},
};

const MIB: usize = 1024 * 1024;
/// Times that a daemon and the bare loop take turns.
const ROUNDS: usize = 5;

pub fn run() {
    println!("## Lo prometido\n");
    println!("| promesa | medido | límite |\n| --- | ---: | ---: |");
    beside_the_bare_loop();
    small_documents();
    memory();
    println!();
}

/// 2 MiB, 8 connections: the median of the rounds' ratios.
fn beside_the_bare_loop() {
    let (target, dir, port) = (Target::start(), tempfile::tempdir().expect("a folder"), Port::reserve());
    let bare = Bare::start(port.address(), dir.path());
    let asked = Target::document(2 * MIB);
    let length = Length { time: seconds(), requests: 8 };
    let (mut cpus, mut rates) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let cost = target.load(8, &asked, length);
        let before = measured::cpu(bare.id());
        let outcome = load::run(bare.address, PATH, 8, &asked, length);
        let cpu = (measured::cpu(bare.id()) - before).as_secs_f64() * 1e3 / outcome.answered.max(1) as f64;
        // The first round fills caches and pools of threads.
        if round > 0 {
            cpus.push((cost.cpu_each() / cpu, cost.cpu_each(), cpu));
            rates.push((
                cost.outcome.per_second() / outcome.per_second(),
                cost.outcome.per_second(),
                outcome.per_second(),
            ));
        }
    }
    let (cpu, rate) = (median(cpus), median(rates));
    println!(
        "| 2 MiB, 8 conexiones: CPU de una recepción, frente al bucle desnudo | {:.2} ({:.2} ms / {:.2} ms) | a lo sumo 2 |",
        cpu.0, cpu.1, cpu.2
    );
    println!(
        "| 2 MiB, 8 conexiones: recepciones/s, frente al bucle desnudo | {:.2} ({:.0}/s / {:.0}/s) | al menos 0.50 |",
        rate.0, rate.1, rate.2
    );
}

fn small_documents() {
    let (target, asked) = (Target::start(), Target::document(20 * 1024));
    let length = Length { time: seconds(), requests: 32 };
    target.load(32, &asked, Length { time: Duration::from_secs(1), requests: 32 });
    let cost = target.load(32, &asked, length);
    println!("| 20 KiB, 32 conexiones: CPU de una recepción durable | {:.3} ms | a lo sumo 0.5 ms |", cost.cpu_each());
    println!(
        "| 20 KiB, 32 conexiones: recepciones por cada espera al disco | {:.1} | véase abajo |",
        1.0 / cost.syncs_each()
    );
}

pub fn memory() {
    let peak = |connections: usize, bytes: usize| {
        let (target, asked) = (Target::start(), Target::document(bytes));
        let requests = 2 * connections as u64;
        target.load(connections, &asked, Length { time: Duration::ZERO, requests }).peak
    };
    let (many, large) = (peak(32, 20 * MIB), peak(4, 200 * MIB));
    println!("| 32 conexiones de 20 MiB: memoria residente máxima | {many:.0} MB | menos de 96 MB |");
    println!("| 4 conexiones de 200 MiB: memoria residente máxima | {large:.0} MB | menos de 96 MB |");
    println!("| la mayor de las dos, frente a la menor | {:.2} | a lo sumo 1.20 |", many.max(large) / many.min(large));
}

fn median<T: Copy>(mut rounds: Vec<(f64, T, T)>) -> (f64, T, T) {
    rounds.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    rounds[rounds.len() / 2]
}
