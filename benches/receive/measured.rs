//! A process seen from outside: its processor time, its peak of memory, and what it counts itself.

use std::{fs, time::Duration};

/// Linux tells processor time in hundredths of a second.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time used so far, its own and the kernel's for it.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // Behind the name, which may hold anything: utime and stime are the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// From now on [`peak`] is the most memory since.
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is ours");
}

/// The most resident memory, in MB (10⁶ bytes).
pub fn peak(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kib * 1024.0 / 1e6
}

/// The value of the first line of `/metrics` that begins so.
pub fn metric(page: &str, begins: &str) -> Option<f64> {
    page.lines().find(|line| line.starts_with(begins))?.rsplit(' ').next()?.parse().ok()
}
