//! Places at which a test lets the process die, as a killed one does: nothing is saved, nothing is answered. Only in debug
//! builds; in the others there is nothing of it.
//!
//! `CHASQUI_FAILPOINT=NAME` ends the process when it comes to that place, `NAME*3` when it comes there for the third time.

/// The process dies here if a test asked for it.
pub fn reach(name: &str) {
    reach_half(name, || ());
}

/// The process dies here if a test asked for it, in the middle of something: `half` of it is done.
#[cfg(debug_assertions)]
pub fn reach_half(name: &str, half: impl FnOnce()) {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };
    static ARMED: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var("CHASQUI_FAILPOINT").ok()?;
        let (name, times) = text.split_once('*').unwrap_or((&text, "1"));
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    });
    if let Some((wanted, left)) = armed
        && wanted == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        half();
        tracing::error!(name, "the process ends here because a test asked for it");
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reach_half(_name: &str, _half: impl FnOnce()) {}

/// A size that a test wants smaller than it is, so that files roll over while it looks.
#[cfg(debug_assertions)]
pub fn size(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn size(_variable: &str, usual: u64) -> u64 {
    usual
}

/// What a test says in place of the system.
#[cfg(debug_assertions)]
pub fn told(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn told(_variable: &str) -> Option<String> {
    None
}
