//! The store's suite on a real server, and what only this store does. `CHASQUI_TEST_POSTGRES` names a server where databases may
//! be made (`./test` starts one); without it each test starts one of its own.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::{
    domain::{Despacho, EstadoDespacho},
    store::{
        Claim, CommitError, Job, Record, SharedStore, Store,
        samples::{at, bytes, change, despacho, documento, fact, id, job, jobs, read, ruc, stage},
        suite::store_suite,
        tally,
    },
};

store_suite!(store);

/// What keeps a test's database alive.
struct Guard {
    server: testing::Server,
    database: String,
    _folder: tempfile::TempDir,
}

async fn store() -> (SharedStore, Guard) {
    let server = testing::Server::new().await;
    let url = server.database().await;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&url, &folder).await;
    let database = url.rsplit('/').next().unwrap().to_owned();
    (store, Guard { server, database, _folder: folder })
}

async fn open(url: &str, folder: &tempfile::TempDir) -> Arc<PostgresStore> {
    let options =
        Options { url: url.into(), ca_file: None, data_dir: folder.path().into(), connections: 8, apart: false };
    PostgresStore::open(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_on_one_database_see_each_other_s_commits_and_are_told_of_them() {
    let (server, folders) =
        (testing::Server::new().await, [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let url = server.database().await;
    let (one, other) = (open(&url, &folders[0]).await, open(&url, &folders[1]).await);
    assert!(one.leads() && !other.leads(), "the eldest");
    let mut news = other.watch();
    let staged = stage(&*one, &bytes(1, 700_000)).await;
    let despacho = despacho(documento(&staged));
    let seq = one.commit(change(Record::Despacho(Box::new(despacho.clone())), vec![staged])).await.unwrap();
    news.wait_for(|known| *known >= seq).await.unwrap();
    assert_eq!(read(&*other, &despacho.documento.sha256).await.unwrap(), bytes(1, 700_000));
    let same = Despacho { id: id(), ..despacho.clone() };
    let refused = other.commit(change(Record::Despacho(Box::new(same)), vec![])).await;
    assert!(matches!(refused, Err(CommitError::Exists { .. })), "{refused:?}");
    // Many at once from both: one order, no gap.
    let commits = (0..40).map(|n| {
        let store = if n % 2 == 0 { Arc::clone(&one) } else { Arc::clone(&other) };
        tokio::spawn(async move { store.commit(jobs(vec![job(at(n))])).await.unwrap() })
    });
    let mut seqs = Vec::new();
    for commit in commits.collect::<Vec<_>>() {
        seqs.push(commit.await.unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (seq + 1..=seq + 40).collect::<Vec<_>>());
    assert_eq!(other.verify().await.unwrap().damage, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_one_daemon_s_until_it_gives_it_back_or_goes() {
    let (server, folders) =
        (testing::Server::new().await, [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()]);
    let url = server.database().await;
    let (one, other) = (open(&url, &folders[0]).await, open(&url, &folders[1]).await);
    let all: Vec<Job> = (0..3).map(|n| job(at(n))).collect();
    one.commit(jobs(all.clone())).await.unwrap();
    let claimed = async |store: &PostgresStore, limit| store.claim_jobs(&claim(limit)).await.unwrap().jobs;
    assert_eq!(claimed(&one, 2).await, all[..2]);
    assert_eq!(claimed(&other, 9).await, all[2..], "what the first holds is not the second's");
    one.release_job(all[0].id).await;
    assert_eq!(claimed(&other, 9).await, all[..1]);
    one.close().await.unwrap();
    assert_eq!(claimed(&other, 9).await, all[1..2], "one that stops leaves what it held");
    // One that is silent, as if it had been killed.
    let (shared, silent) = (&other.shared, "UPDATE daemon SET seen = now() - interval '1 minute'");
    shared.stop.cancel();
    let third = open(&url, &tempfile::tempdir().unwrap()).await;
    assert!(!third.leads());
    assert_eq!(claimed(&third, 9).await, []);
    shared.client().await.unwrap().execute(silent, &[]).await.unwrap();
    presence::show(&third.shared).await.unwrap();
    assert!(third.leads());
    assert_eq!(claimed(&third, 9).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_and_comes_back_takes_what_waited_for_it() {
    let (store, guard) = store().await;
    store.commit(jobs(vec![job(at(0))])).await.unwrap();
    // Every connection is cut, again and again, while changes come.
    let url = guard.server.of("postgres");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let cut =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1";
    for n in 1..=20 {
        let committing = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.commit(jobs(vec![job(at(n))])).await }
        });
        client.execute(cut, &[&guard.database]).await.unwrap();
        assert_eq!(committing.await.unwrap().unwrap(), u64::try_from(n).unwrap() + 1, "once, whatever was cut");
    }
    assert_eq!(store.jobs(None, 100).await.unwrap().items.len(), 21);
    assert_eq!(store.verify().await.unwrap().damage, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_the_database_refuses_takes_no_other_with_it() {
    let (store, guard) = store().await;
    let url = guard.server.of(&guard.database);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                  $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '22000'; END $$; \
                  CREATE TRIGGER poison BEFORE INSERT ON fact FOR EACH ROW WHEN (NEW.n = 1) EXECUTE FUNCTION refuse()";
    client.batch_execute(refuse).await.unwrap();
    // While the first holds the row, the others gather into one batch.
    client.batch_execute("BEGIN; SELECT seq FROM head FOR UPDATE").await.unwrap();
    let commits: Vec<_> = (0..12)
        .map(|n| {
            let store = Arc::clone(&store);
            let mut change = jobs(vec![job(at(n))]);
            change.facts = vec![fact(id(), "x"); if n % 4 == 3 { 2 } else { 1 }];
            tokio::spawn(async move { store.commit(change).await })
        })
        .collect();
    client.batch_execute("COMMIT").await.unwrap();
    for (n, commit) in commits.into_iter().enumerate() {
        let done = commit.await.unwrap();
        assert_eq!(done.is_err(), n % 4 == 3, "{n}: {done:?}");
    }
    assert_eq!(store.jobs(None, 100).await.unwrap().items.len(), 9);
    assert_eq!(store.verify().await.unwrap().damage, Vec::<String>::new());
}

fn claim(limit: usize) -> Claim {
    Claim {
        now: at(100),
        uptime: Duration::from_secs(100),
        lease: Duration::from_secs(60),
        wait_max: Duration::from_secs(1_000_000),
        limit,
        concurrency: 9,
        exceptions: HashMap::new(),
        in_doubt: HashSet::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_before_there_were_counts_is_counted_at_the_next_start() {
    let (server, folder) = (testing::Server::new().await, tempfile::tempdir().unwrap());
    let url = server.database().await;
    let store = open(&url, &folder).await;
    let staged = stage(&*store, &bytes(1, 100)).await;
    let made = [despacho(documento(&staged)), despacho(documento(&staged))];
    let mut documents = vec![staged];
    for one in &made {
        let brought = std::mem::take(&mut documents);
        store.commit(change(Record::Despacho(Box::new(one.clone())), brought)).await.unwrap();
    }
    let days = (tally::day_of(at(0)), tally::day_of(at(0)));
    let entidad = ruc(1);
    let wanted = tally::Lines { entidad: &entidad, kind: tally::Kind::Despachos, days, by_counterpart: true };
    let expected = store.lines(&wanted).await.unwrap();
    assert_eq!(expected.len(), 1);
    store.close().await.unwrap();
    drop(store);
    // As a daemon of before would have left it.
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("UPDATE record SET tally = NULL; DELETE FROM line").await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let store = open(&url, &folder).await;
    assert_eq!(store.lines(&wanted).await.unwrap(), expected);
    // And what changes after that is counted once.
    let changed = Despacho { version: 2, estado: EstadoDespacho::Anulado, ..made[0].clone() };
    store.commit(change(Record::Despacho(Box::new(changed)), vec![])).await.unwrap();
    let counts = &store.lines(&wanted).await.unwrap()[0].counts;
    assert_eq!((counts.despachos(EstadoDespacho::Anulado), counts.despachos(EstadoDespacho::Pendiente)), (1, 1));
}
