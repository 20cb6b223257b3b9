//! What reads from outside, under libFuzzer. One binary holds all targets; `CHASQUI_FUZZ=NAME` chooses one, the rest of the
//! command line is libFuzzer's. `./test fuzz` runs them. A target panics where what was read breaks a promise: that would
//! happen whatever the pieces it arrived in, and that what is written reads back the same.

#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // how a target says that it found something

mod pieces;
mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("CHASQUI_FUZZ").unwrap_or_default();
    let found = targets::ALL.iter().find(|(known, _)| *known == name);
    let names: Vec<&str> = targets::ALL.iter().map(|(known, _)| *known).collect();
    found.unwrap_or_else(|| panic!("CHASQUI_FUZZ must be one of {}", names.join(", "))).1
}

fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen)(data));
