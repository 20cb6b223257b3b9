//! How often each key may ask: a bucket of tokens that fills at a steady rate. One key's haste takes nothing from another.
//!
//! Only keys in force have a bucket, so there are no more of them than keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{config, domain::Id};

/// Buckets kept before those that are full again are let go.
const BUCKETS_KEPT: usize = 4096;

/// Clones share their buckets.
#[derive(Debug, Clone)]
pub struct Rates(Arc<Mutex<Buckets>>);

#[derive(Debug)]
struct Buckets {
    /// Tokens a second, and at most.
    rate: f64,
    burst: f64,
    by_key: HashMap<Id, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rates {
    pub fn new(limits: &config::Limits) -> Self {
        let (rate, burst) = (limits.key_rate.into(), limits.key_burst.into());
        Self(Arc::new(Mutex::new(Buckets { rate, burst, by_key: HashMap::new() })))
    }

    /// From now on, for every key.
    pub fn set(&self, limits: &config::Limits) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (buckets.rate, buckets.burst) = (limits.key_rate.into(), limits.key_burst.into());
    }

    /// One request with this key; else how long to wait for the next.
    pub fn take(&self, key: Id) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { rate, burst, ref mut by_key } = *buckets;
        let filled = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.tokens + since * rate).min(burst)
        };
        if by_key.len() >= BUCKETS_KEPT {
            by_key.retain(|_, bucket| filled(bucket) < burst);
        }
        let bucket = by_key.entry(key).or_insert(Bucket { tokens: burst, at: now });
        let tokens = filled(bucket);
        let left = tokens - 1.0;
        *bucket = Bucket { tokens: if left >= 0.0 { left } else { tokens }, at: now };
        if left >= 0.0 { Ok(()) } else { Err(Duration::try_from_secs_f64(-left / rate).unwrap_or(Duration::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_has_its_burst_then_its_rate_and_others_have_theirs() {
        let limits = config::Limits { key_rate: 2, key_burst: 3, ..config::Limits::default() };
        let rates = Rates::new(&limits);
        let (one, other) = (Id::from_u128(1), Id::from_u128(2));
        for _ in 0..3 {
            assert_eq!(rates.take(one), Ok(()));
        }
        assert_eq!(rates.take(one), Err(Duration::from_millis(500)));
        assert_eq!(rates.take(other), Ok(()));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((rates.take(one).is_ok(), rates.take(one).is_ok()), (true, false));
        tokio::time::advance(Duration::from_secs(3600)).await;
        let in_a_row = (0..10).filter(|_| rates.take(one).is_ok()).count();
        assert_eq!(in_a_row, 3, "rest earns no more than the burst");
        rates.set(&config::Limits { key_burst: 5, ..limits });
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..10).filter(|_| rates.take(one).is_ok()).count(), 5);
    }
}
