//! Who tells the webhooks: a task for each, as long as it is wanted.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Endpoint, STORE_PAUSE, Webhooks};
use crate::exchange::Exchange;

/// How long one that is not wanted any more has to end what it is telling.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// The tasks. Each webhook has at most one: one that changed ends before its successor begins.
pub struct Tellers {
    exchange: Exchange,
    stop: CancellationToken,
    running: Mutex<Vec<Teller>>,
}

struct Teller {
    endpoint: Arc<Endpoint>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Tellers {
    /// Nobody yet; all of them end what is under way and then themselves at `stop`.
    pub fn new(exchange: Exchange, stop: CancellationToken) -> Self {
        Self { exchange, stop, running: Mutex::default() }
    }

    /// Has these told, and none other.
    pub async fn tell(&self, webhooks: &Webhooks) {
        let mut running = self.running.lock().await;
        let wanted = |teller: &Teller| webhooks.0.iter().any(|one| Arc::ptr_eq(one, &teller.endpoint));
        let (mut kept, gone): (Vec<_>, Vec<_>) = running.drain(..).partition(wanted);
        end(gone, LAST_WORDS).await;
        webhooks.prepare(&self.exchange).await;
        for endpoint in webhooks.0.iter() {
            if kept.iter().any(|teller| Arc::ptr_eq(endpoint, &teller.endpoint)) {
                continue;
            }
            let (endpoint, stop) = (Arc::clone(endpoint), self.stop.child_token());
            let task = tokio::spawn(keep_running(Arc::clone(&endpoint), self.exchange.clone(), stop.clone()));
            kept.push(Teller { endpoint, stop, task });
        }
        *running = kept;
    }

    /// Ends them all; what is not told within `drain` is told after the next start.
    pub async fn end(&self, drain: Duration) {
        end(self.running.lock().await.drain(..).collect(), drain).await;
    }
}

/// What was told and is not on record as told is told again.
async fn end(tellers: Vec<Teller>, within: Duration) {
    tellers.iter().for_each(|teller| teller.stop.cancel());
    let mut tasks: Vec<_> = tellers.into_iter().map(|teller| teller.task).collect();
    if timeout(within, futures_util::future::join_all(&mut tasks)).await.is_err() {
        tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A panic over one event stops neither the daemon nor this webhook for good.
async fn keep_running(endpoint: Arc<Endpoint>, exchange: Exchange, stop: CancellationToken) {
    let mut running = JoinSet::new();
    while !stop.is_cancelled() {
        running.spawn(Arc::clone(&endpoint).run(exchange.clone(), stop.clone()));
        if let Some(Err(error)) = running.join_next().await {
            tracing::error!(webhook = endpoint.options.nombre, %error, "telling a webhook broke off; it begins again");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}
