//! `?esperar=SECONDS`: an answer that waits until the platform has spoken.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Api, failure, query::Params};
use crate::{domain::Despacho, http::Problem};

/// Longest wait a caller may ask for, in seconds.
const WAIT_S_MAX: u64 = 120;

/// The wait a request asks for.
pub fn asked(params: &Params) -> Result<Duration, Problem> {
    Ok(Duration::from_secs(params.number("esperar", WAIT_S_MAX)?.unwrap_or(0)))
}

impl Api {
    /// The despachos as they are once none waits for the platform's answer any more, or as they are after `wait`.
    pub async fn settled(&self, mut despachos: Vec<Despacho>, wait: Duration) -> Result<Vec<Despacho>, Problem> {
        let (deadline, store) = (Instant::now() + wait, self.exchange.store());
        let mut news = store.watch();
        while !wait.is_zero() && despachos.iter().any(|d| d.estado.en_curso()) {
            tokio::select! {
                changed = news.changed() => if changed.is_err() { break },
                () = sleep_until(deadline) => break,
                () = self.stop.cancelled() => break,
            }
            for despacho in &mut despachos {
                if let Some(fresh) = store.despacho(despacho.id).await.map_err(failure::store)? {
                    *despacho = fresh;
                }
            }
        }
        Ok(despachos)
    }
}
