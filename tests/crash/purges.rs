//! Death at every step of a purge: what was purged is gone after the next start, whole, and nothing else is.

use std::path::Path;

use serde_json::json;

use crate::{
    daemon::{CUSCO, Daemon, LIMA, Setup},
    patience::until,
    pdf::{pdf, sha256},
    platform::Platform,
    process::said,
    rest::{Api, despacho, text},
};

/// Places at which the daemon ends itself while it purges; whether the purge is durable by then.
const PLACES: [(&str, bool); 9] = [
    ("before:despacho.purgado", false),
    ("after:despacho.purgado", true),
    ("erase.begin", true),
    ("erase.torn", true),
    ("erase.torn*2", true),
    ("erase.sync", true),
    ("erase.synced", true),
    ("erase.removed", true),
    ("erase.forget", true),
];

/// An exchange that has ended: a large document, which is a file, and a cargo in a pack.
struct Ended {
    path: String,
    document: Vec<u8>,
    cargo: Vec<u8>,
}

async fn ended(sender: &Api, receiver: &Api, n: usize) -> Ended {
    let seed = u64::try_from(n).unwrap() * 2;
    let (document, cargo) = (pdf(seed + 1, 400_000), pdf(seed + 2, 30_000));
    let accepted = sender.dispatch(&despacho(&format!("2026-{n}"), CUSCO.ruc), &document).await;
    let path = format!("/api/v1/despachos/{}", text(&accepted, "id"));
    let enviado = sender.until_state(&path, "enviado").await;
    let found = receiver.until_one(&format!("/api/v1/recepciones?cuo={}", text(&enviado, "cuo"))).await;
    let answer = format!("/api/v1/recepciones/{}/recepcionar", text(&found, "id"));
    let datos = json!({"numero_registro": format!("E-{n}"), "unidad": "GERENCIA", "usuario": "ROSA ÑAHUI"});
    receiver.form(&answer, &datos, "cargo", &cargo).await.expect(200);
    sender.until_state(&path, "recepcionado").await;
    Ended { path, document, cargo }
}

impl Ended {
    /// Holds a daemon to it: there as it was, or purged and not a byte of it on the disk.
    async fn is(&self, purged: bool, daemon: &mut Daemon) {
        let api = daemon.api();
        let record = api.get(&self.path).await.expect(200);
        assert_eq!(record.get("purga").is_some(), purged, "{record}");
        for (what, bytes) in [("documento", &self.document), ("cargo", &self.cargo)] {
            let answer = api.get(&format!("{}/{what}", self.path)).await;
            if purged {
                assert_eq!(answer.problem(), (410, "purgado".into()));
                assert_eq!(record["purga"]["documentos"][usize::from(what == "cargo")]["sha256"], sha256(bytes));
            } else {
                assert_eq!(sha256(&answer.body), sha256(bytes), "{what} of {}", self.path);
            }
            assert_eq!(on_disk(daemon.data_dir(), bytes), !purged, "{what} of {}", self.path);
        }
    }
}

/// Whether a piece from the middle of a document stands in the store.
fn on_disk(dir: impl AsRef<Path>, document: &[u8]) -> bool {
    fn within(dir: &Path, piece: &[u8]) -> bool {
        dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).any(|path| {
            if path.is_dir() {
                return within(&path, piece);
            }
            memchr::memmem::find(&std::fs::read(&path).unwrap(), piece).is_some()
        })
    }
    let middle = document.len() / 2;
    let piece = &document[middle..middle + 200];
    ["packs", "documents"].iter().any(|folder| within(&dir.as_ref().join(folder), piece))
}

/// Purges by command, once it has something to purge, and says whether that ended well.
async fn purge(daemon: &Daemon) -> bool {
    until("it is old enough", 60, || async {
        let plan = daemon.cli(&["store", "purge", "--dry-run", "--format", "json"]);
        let told: serde_json::Value = serde_json::from_slice(&plan.stdout).map_err(|_| said(&plan))?;
        if told["despachos"]["purgables"] == 1 { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    daemon.cli(&["store", "purge", "--yes"]).status.success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_dies_at_whichever_step_is_whole_after_the_next_start_or_never_was() {
    let kept = "[retention]\ndespachos = \"1s\"\nevery = \"1h\"\n";
    let mut sending = Setup::of(&[LIMA]).with(kept);
    // Every start holds the index that was left to one made anew.
    sending.environment.push(("CHASQUI_INDEX_COMPARE".into(), "1".into()));
    let (_platform, mut daemons) = Platform::with([sending, Setup::of(&[CUSCO])]).await;
    let (sender, receiver) = (daemons[0].api(), daemons[1].api());
    let held = ended(&sender, &receiver, 0).await;
    let daemon = &mut daemons[0];
    let hold = daemon.cli(&["store", "hold", "set", text_id(&held.path), "--reason", "Una prueba"]);
    assert!(hold.status.success(), "{}", said(&hold));
    for (n, (place, durable)) in PLACES.iter().enumerate() {
        let ended = ended(&sender, &receiver, n + 1).await;
        daemon.stop();
        daemon.environment().push(("CHASQUI_FAILPOINT".into(), (*place).into()));
        daemon.run().await;
        // What is durable is answered, and then its bytes go.
        let answered = purge(daemon).await;
        assert!(!answered || place.starts_with("erase."), "at {place}: it lived");
        until(&format!("it dies at {place}"), 60, || {
            let ended = daemon.process().alive().err();
            async move {
                let said = ended.ok_or("it lives")?;
                assert!(said.lines().next().is_some_and(|how| how.contains("SIGABRT")), "at {place}: {said}");
                Ok::<_, String>(())
            }
        })
        .await;
        daemon.kill();
        daemon.environment().pop();
        if n % 3 == 2 {
            std::fs::remove_dir_all(daemon.data_dir().join("index")).unwrap();
        }
        daemon.run().await;
        ended.is(*durable, daemon).await;
        if !durable {
            assert!(purge(daemon).await);
            ended.is(true, daemon).await;
        }
        held.is(false, daemon).await;
    }
    daemon.stop();
    for command in ["store", "audit"] {
        let verified = daemon.cli(&[command, "verify"]);
        assert!(verified.status.success(), "{}", said(&verified));
        let told = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(told.contains("fueron purgados") && !told.contains("nota:"), "{told}");
    }
}

fn text_id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}
