//! Killing a process that commits, again and again.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::*;
use crate::{
    domain::Sha256,
    store::samples::{id, read, sha256},
};

const FOLDER: &str = "CHASQUI_CRASH_TEST_FOLDER";
const ROUND: &str = "CHASQUI_CRASH_TEST_ROUND";
const ROUNDS: u64 = 15;
const WRITERS: u64 = 8;

/// What the killed process says of a commit that was answered.
struct Acknowledged {
    id: Id,
    sha256: Sha256,
}

#[tokio::test]
async fn what_a_killed_process_was_answered_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        // The moment differs in each round, counted in answers.
        let answers = 3 + usize::try_from(round * round * 7 % 113).unwrap();
        all.extend(run_and_kill(dir.path(), round, answers));
        if round % 5 == 4 {
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let store = open(dir.path());
        for Acknowledged { id, sha256 } in &all {
            let found = store.despacho(*id).await.unwrap().expect("an acknowledged record");
            assert_eq!(found.documento.sha256, *sha256);
        }
        for Acknowledged { sha256: expected, .. } in all.iter().rev().take(40) {
            assert_eq!(sha256(&read(&*store, expected).await.unwrap()), *expected);
        }
        assert_eq!(cut_facts(&store).await, Vec::<String>::new());
        same_as_rebuilt(&store);
        assert_eq!(store.verify().await.unwrap().damage, Vec::<String>::new(), "round {round}");
    }
    assert!(all.len() > 300, "{} answers", all.len());
}

#[tokio::test]
async fn entries_that_go_missing_after_a_kill_are_put_on_record_and_their_numbers_not_used_again() {
    const KEPT: usize = 3;
    let dir = tempfile::tempdir().unwrap();
    let answers = run_and_kill(dir.path(), 0, 20).len();
    let ends = frames(dir.path());
    std::fs::File::options().write(true).open(newest(dir.path())).unwrap().set_len(ends[KEPT]).unwrap();
    for _ in 0..2 {
        let store = open(dir.path());
        let facts = cut_facts(&store).await;
        let told = facts.first().and_then(|fact| fact.split_once("asientos 4 a ")).expect("a fact").1;
        let last: usize = told.split(' ').next().unwrap().parse().unwrap();
        assert!(facts.len() == 1 && last >= answers && last < ends.len(), "{facts:?} of {answers}");
        whole(&store).await;
    }
}

fn run_and_kill(dir: &Path, round: u64, answers: usize) -> Vec<Acknowledged> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded::tests::crash::writer", "--ignored", "--nocapture"])
        .env(FOLDER, dir)
        // The index is left in a state of its own again and again.
        .env("CHASQUI_INDEX_SAVE_EVERY", "300")
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((id, sha256)) = line.strip_prefix("answered ").and_then(|rest| rest.split_once(' ')) else { continue };
        // The last line may be cut short.
        let (Ok(id), Ok(sha256)) = (id.parse(), Sha256::parse(sha256)) else { continue };
        acknowledged.push(Acknowledged { id, sha256 });
        if acknowledged.len() == answers {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "it ended by itself after {} answers", acknowledged.len());
    acknowledged
}

/// The process that is killed: commits from many threads and says which commits were answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run and killed by the test above"]
async fn writer() {
    let dir = std::env::var(FOLDER).unwrap();
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = open(Path::new(&dir));
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0.. {
                    commit(&store, round << 40 | writer << 32 | n).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn commit(store: &EmbeddedStore, seed: u64) {
    let size = match seed % 8 {
        0 => SMALL_MAX + 5_000,
        1 => 60_000,
        _ => 2_000,
    };
    let staged = stage(store, &bytes(seed, size)).await;
    let mut new = despacho(documento(&staged));
    // Ids count from the same start in every process.
    new.id = Id::from_u128(id().as_u128() ^ u128::from(seed) << 16);
    new.numero_registro = seed.to_string();
    store.commit(change(Record::Despacho(Box::new(new.clone())), vec![staged])).await.unwrap();
    writeln!(std::io::stdout().lock(), "answered {} {}", new.id, new.documento.sha256).unwrap();
}
