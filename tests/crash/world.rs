//! Two daemons, a platform between them, and what speaks to both.

use std::{path::PathBuf, sync::Arc};

use serde_json::Value;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    ledger::{Ledger, all},
    patience::until,
    platform::Platform,
    process::said,
    rest::Api,
    traffic::{Side, Traffic},
};

/// Waits of people's time would be waits of the tests.
const RETRY: &str = "[retry]\nfirst_delay = \"100ms\"\ndelay_max = \"1s\"\nask_after = \"100ms\"\nask_cargo = [\"2s\"]\n\
                     breaker_pause = \"200ms\"\nbreaker_pause_max = \"1s\"\n";

/// How long no exchange may end once nobody dies any more, in seconds, until all have.
const STUCK: u64 = 180;

pub struct World {
    /// Between the two, as long as they are.
    _platform: Platform,
    pub daemons: Vec<Daemon>,
    pub ledger: Arc<Ledger>,
    seed: u64,
}

impl World {
    /// `data_dirs`: where the first daemons have their data, if not in folders of their own.
    pub async fn start(seed: u64, data_dirs: &[PathBuf]) -> Self {
        let setup = |n: usize, entity| {
            let mut setup = Setup::of(&[entity]).with(RETRY);
            setup.data_dir = data_dirs.get(n).cloned();
            // Files roll over every few documents, and the index is left in a state of its own again and again.
            let sizes = [
                ("CHASQUI_SEGMENT_BYTES", "60000"),
                ("CHASQUI_PACK_BYTES", "90000"),
                ("CHASQUI_INDEX_SAVE_EVERY", "500"),
            ];
            for (name, size) in sizes {
                setup.environment.push((name.into(), size.into()));
            }
            setup
        };
        let (platform, daemons) = Platform::with([setup(0, LIMA), setup(1, CUSCO)]).await;
        Self { _platform: platform, daemons, ledger: Arc::default(), seed }
    }

    pub fn api(&mut self, daemon: usize) -> Api {
        self.daemons[daemon].api()
    }

    fn sides(&mut self) -> Vec<Side> {
        let entities = [LIMA, CUSCO];
        let side = |(n, daemon): (usize, &mut Daemon)| Side {
            daemon: n,
            entity: entities[n],
            other: entities[1 - n],
            api: daemon.api(),
            soap: daemon.soap_url(),
        };
        self.daemons.iter_mut().enumerate().map(side).collect()
    }

    pub fn traffic(&mut self) -> Traffic {
        let seed = self.seed;
        Traffic::start(&self.sides(), &Arc::clone(&self.ledger), seed)
    }

    /// Lets the exchanges come to their end, then holds both daemons to the ledger, as they are and from the journal alone.
    pub async fn judge(&mut self) {
        let desk = self.desk();
        let apis = [self.api(0), self.api(1)];
        let mut fewest = usize::MAX;
        while fewest > 0 {
            // However long there are fewer of them each time: a slow machine has much to catch up with.
            fewest = until(&format!("fewer than {fewest} exchanges are open"), STUCK, || async {
                match open(&apis).await {
                    (count, _) if count < fewest => Ok(count),
                    (count, first) => Err(format!("{count} are open, such as {first:?}")),
                }
            })
            .await;
        }
        desk.stop().await;
        self.ledger.ended([&apis[0], &apis[1]]).await;
        for (n, api) in apis.iter().enumerate() {
            self.ledger.kept_by(n, api, usize::MAX).await;
            self.ledger.forward(api).await;
        }
        for daemon in &mut self.daemons {
            daemon.stop();
            let verified = daemon.cli(&["store", "verify"]);
            assert!(verified.status.success(), "{}", said(&verified));
        }
        println!("{}", self.ledger.summary());
    }

    /// Only answers what has arrived.
    fn desk(&mut self) -> Traffic {
        Traffic::desks(&self.sides(), &Arc::clone(&self.ledger), self.seed)
    }
}

/// How many exchanges have not ended, and one of them.
async fn open(apis: &[Api; 2]) -> (usize, Option<Value>) {
    let mut records = Vec::new();
    for api in apis {
        records.extend(all(api, "despachos").await);
    }
    records.retain(|d| !["recepcionado", "observado"].contains(&d["estado"].as_str().unwrap_or_default()));
    (records.len(), records.pop())
}
