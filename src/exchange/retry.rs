//! When to try again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::health::BreakerPolicy;
use crate::store::JobKind;

/// The retry policy: exponential backoff with full jitter, all of it data from the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Longest wait before the second attempt.
    pub first: Duration,
    /// By how much the longest wait grows with each attempt.
    pub factor: f64,
    /// The longest wait never exceeds this.
    pub max: Duration,
    /// After an unclear end: how long to wait before asking, so that a slow delivery still under way can end.
    pub ask_after: Duration,
    /// How long after an accepted send its cargo is asked for, if it has not come, time after time; the last repeats.
    pub ask_cargo: Vec<Duration>,
    /// How long after an accepted send its cargo is asked for at all.
    pub ask_cargo_for: Duration,
    /// Longest time one attempt may take in all; a lease outlives it.
    pub attempt: Duration,
    /// How old a job may grow before it is given up and waits for a person.
    pub dead_after: Duration,
    /// Jobs under way at once.
    pub workers: usize,
    /// When a destination that fails is left alone.
    pub breaker: BreakerPolicy,
    /// How long a destination, or the platform, may be down before people are told.
    pub alert_after: Duration,
    /// How old the directory of entities may be before it is fetched again.
    pub directory_age: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            factor: 2.0,
            max: Duration::from_secs(30 * 60),
            ask_after: Duration::from_secs(30),
            ask_cargo: [1, 2, 4, 8, 24].map(|hours| Duration::from_secs(hours * 3600)).into(),
            ask_cargo_for: Duration::from_secs(30 * 24 * 3600),
            attempt: Duration::from_secs(180),
            dead_after: Duration::from_secs(5 * 24 * 3600),
            workers: 16,
            breaker: BreakerPolicy::default(),
            alert_after: Duration::from_secs(3600),
            directory_age: Duration::from_secs(24 * 3600),
        }
    }
}

impl RetryPolicy {
    /// The wait after `attempts` failed ones; `chance` in 0 ≤ x < 1 picks a point between a tenth of the longest and the
    /// longest, so that many jobs don't return at the same moment.
    pub fn delay(&self, attempts: u32, chance: f64) -> Duration {
        let exponent = attempts.saturating_sub(1).min(64);
        let longest = self.first.as_secs_f64() * self.factor.powi(i32::try_from(exponent).unwrap_or(64));
        let longest = longest.min(self.max.as_secs_f64());
        Duration::from_secs_f64(longest * (0.1 + 0.9 * chance.clamp(0.0, 1.0)))
    }

    /// How long to wait before asking for a cargo the `n`-th time, from 0.
    pub fn ask_cargo(&self, n: u32) -> Duration {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        self.ask_cargo.get(n).or(self.ask_cargo.last()).copied().unwrap_or(Duration::from_secs(24 * 3600))
    }

    /// When a job made at `creado_en` is given up. A question for a cargo may go on for the month its schedule spans.
    pub fn dead_at(&self, kind: JobKind, creado_en: Timestamp) -> Timestamp {
        match kind {
            JobKind::PreguntarCargo => later(creado_en, self.ask_cargo_for),
            JobKind::Despachar | JobKind::EntregarCargo => later(creado_en, self.dead_after),
        }
    }

    /// The longest any job waits for its next attempt.
    pub fn wait_max(&self) -> Duration {
        let asking = self.ask_cargo.iter().max().copied().unwrap_or_default();
        [self.max, self.first, self.ask_after, ASKED_MAX, asking, self.lease()].into_iter().max().unwrap_or_default()
    }

    /// How long a claimed job stays claimed: longer than an attempt can take, so that no two workers hold one.
    pub fn lease(&self) -> Duration {
        self.attempt * 2 + Duration::from_secs(10)
    }
}

/// The longest wait taken from another side's `Retry-After`.
const ASKED_MAX: Duration = Duration::from_secs(3600);

/// What the other side asked to wait, within reason.
pub(super) fn bounded(asked: Duration) -> Duration {
    asked.min(ASKED_MAX)
}

/// `at` moved on by `wait`; the far future if that is out of range.
pub(super) fn later(at: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| at.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_maximum_and_never_past_it() {
        let policy = RetryPolicy { first: Duration::from_secs(1), max: Duration::from_secs(60), ..Default::default() };
        let longest: Vec<u64> = (1..10).map(|n| policy.delay(n, 1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(policy.delay(u32::MAX, 1.0), Duration::from_secs(60));
        assert_eq!(policy.delay(3, 0.0), Duration::from_millis(400));
    }
}
