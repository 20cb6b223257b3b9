//! Whole daemons that die: killed at random moments and at every durable step, cut off from the current, on a disk that is
//! full or read-only; and what they had answered must be there. The processes and what speaks to them are those of `it`.
//!
//! `CHASQUI_CRASH_KILLS`, `CHASQUI_CRASH_CUTS` and `CHASQUI_CRASH_SEED` make a run longer, or the same again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a test says that it failed

#[path = "../it/daemon.rs"]
#[allow(dead_code)]
mod daemon;
mod disk;
#[path = "../it/envelope.rs"]
#[allow(dead_code)]
mod envelope;
mod failpoints;
mod full;
mod kills;
mod ledger;
#[path = "../it/patience.rs"]
mod patience;
#[path = "../it/pdf.rs"]
#[allow(dead_code)]
mod pdf;
#[path = "../it/platform.rs"]
#[allow(dead_code)]
mod platform;
#[path = "../it/port.rs"]
mod port;
mod power;
#[path = "../it/process.rs"]
#[allow(dead_code)]
mod process;
mod purges;
#[path = "../it/rest.rs"]
#[allow(dead_code)]
mod rest;
mod traffic;
mod world;

/// A number from the environment.
fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The run's seed: printed, so that it can be asked for again.
fn seed() -> u64 {
    let mut chance = [0; 4];
    getrandom::fill(&mut chance).unwrap();
    let seed = number("CHASQUI_CRASH_SEED", u32::from_le_bytes(chance).into());
    println!("CHASQUI_CRASH_SEED={seed}");
    seed
}

/// Random numbers that a seed repeats.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
