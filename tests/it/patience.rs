//! Waiting for what other processes do: ask again until it is so, and say what was waited for if it never is.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until the answer is `Ok`, for at most `seconds`; the last `Err` says what was found instead.
pub async fn until<T, F>(what: &str, seconds: u64, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        match ask().await {
            Ok(found) => return found,
            Err(instead) if Instant::now() >= end => panic!("not within {seconds} s: {what}; instead: {instead}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
