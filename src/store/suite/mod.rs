//! What every implementation of [`Store`] must do. Each function takes an empty store; [`store_suite!`] makes tests of them.

mod counting;
mod moving;
mod purging;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    AvisoVigente, Avisos, Change, Claim, CommitError, Cursor, EstadoWebhook, JobKind, Listing, Numbered, Record,
    SharedStore, StoreError, UniqueKey,
    blobs::SMALL_MAX,
    samples::{
        api_key, at, bytes, change, cuo, despacho, directorio, documento, fact, id, idempotencia, job, jobs, read,
        recepcion, ruc, sha256, stage, textos, usuario,
    },
};
use crate::domain::{Despacho, EstadoDespacho, Id, Recepcion};

pub use counting::*;
pub use moving::*;
pub use purging::*;

/// Tests of the whole suite. `$factory` is an async function that returns an empty store and whatever keeps it alive.
macro_rules! store_suite {
    ($factory:path) => {
        store_suite!($factory:
            every_kind_of_record_reads_back,
            a_stale_version_is_refused,
            what_must_be_unique_is_refused_a_second_time,
            a_unique_key_stays_with_its_record_after_a_change,
            concurrent_increments_lose_nothing,
            the_feed_has_every_fact_in_order_while_many_commit,
            facts_are_found_by_entity_and_by_subject,
            entries_are_read_as_they_are_stored_in_order,
            lists_go_newest_first_by_pages_and_by_state,
            arrivals_under_one_cuo_are_all_found,
            records_are_found_by_their_number_of_registration,
            a_number_goes_over_to_another_record_only_when_it_is_given_up,
            jobs_are_claimed_once_when_their_time_has_come,
            destinations_are_served_in_turn_each_within_its_limit,
            a_destination_that_works_again_is_served_at_once,
            a_lease_runs_out_or_is_given_back,
            a_job_replaced_keeps_its_lease_until_it_is_given_back_or_done,
            a_dead_job_is_kept_and_never_claimed,
            jobs_are_listed_page_by_page,
            documents_of_every_size_read_back,
            a_document_is_stored_once_however_often_it_comes,
            a_refused_commit_leaves_no_document,
            a_refused_document_can_be_committed_again,
            a_record_may_not_name_a_document_that_is_not_there,
            a_change_of_nothing_or_of_too_many_facts_is_refused,
            news_are_watched,
            a_whole_store_verifies,
            exchanges_are_counted_by_day_and_counterpart_as_they_change,
            a_closed_store_takes_no_commits,
            a_purged_document_is_gone_and_says_where_its_certificate_is,
            a_document_stays_until_the_last_exchange_that_names_it_is_purged,
            of_two_purges_at_once_that_share_a_document_one_is_decided_anew,
            what_has_work_pending_or_changed_since_it_was_read_is_not_purged,
            a_document_that_comes_again_after_its_purge_is_there,
            everything_of_another_store_is_taken_over_as_it_stands_and_goes_back,
            what_does_not_follow_is_not_taken_over,
        );
    };
    ($factory:path: $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, _guard) = $factory().await;
                $crate::store::suite::$name(store).await;
            }
        )+
    };
}
pub(crate) use store_suite;

/// A despacho that is committed, with a small document.
async fn committed(store: &SharedStore) -> Despacho {
    let staged = stage(&**store, &bytes(1, 100)).await;
    let despacho = despacho(documento(&staged));
    store.commit(change(Record::Despacho(Box::new(despacho.clone())), vec![staged])).await.unwrap();
    despacho
}

fn record(despacho: &Despacho) -> Record {
    Record::Despacho(Box::new(despacho.clone()))
}

pub async fn every_kind_of_record_reads_back(store: SharedStore) {
    let staged = stage(&*store, &bytes(2, 100)).await;
    let sent = Despacho { cuo: Some(cuo(7)), ..despacho(documento(&staged)) };
    let received = recepcion(cuo(8), ruc(2), documento(&staged));
    let (key, idempotent, directory, texts) = (api_key(1), idempotencia("k"), directorio(), textos());
    let person = usuario("rosa");
    let alerts = Avisos { version: 1, vigentes: vec![AvisoVigente { ruc: None, desde: at(1) }] };
    let webhook = EstadoWebhook {
        id: EstadoWebhook::id_for("sgd"),
        version: 1,
        nombre: "sgd".into(),
        hasta: Cursor { seq: 3, n: 1 },
        retenidos: Vec::new(),
        pausa: None,
    };
    let records = vec![
        record(&sent),
        Record::Recepcion(Box::new(received.clone())),
        Record::ApiKey(key.clone()),
        Record::Idempotencia(idempotent.clone()),
        Record::Directorio(Box::new(directory.clone())),
        Record::Textos(Box::new(texts.clone())),
        Record::Avisos(Box::new(alerts.clone())),
        Record::Webhook(Box::new(webhook.clone())),
        Record::Usuario(Box::new(person.clone())),
    ];
    let facts = vec![fact(sent.id, "a"), fact(received.id, "b")];
    let seq = store.commit(Change { facts, records, documents: vec![staged], ..Change::default() }).await.unwrap();
    assert_eq!(seq, 1);

    assert_eq!(store.despacho(sent.id).await.unwrap().as_ref(), Some(&sent));
    assert_eq!(store.despacho_by_cuo(&ruc(1), &cuo(7)).await.unwrap().as_ref(), Some(&sent));
    assert_eq!(store.recepcion(received.id).await.unwrap().as_ref(), Some(&received));
    let found = store.recepcion_by_arrival(&ruc(1), &ruc(2), &cuo(8)).await.unwrap();
    assert_eq!(found.as_ref(), Some(&received));
    assert_eq!(store.api_key_by_hash(&key.hash).await.unwrap().as_ref(), Some(&key));
    assert_eq!(store.api_keys().await.unwrap(), [key]);
    assert_eq!(store.usuario(person.id).await.unwrap().as_ref(), Some(&person));
    assert_eq!(store.usuario_by_cuenta("rosa").await.unwrap().as_ref(), Some(&person));
    assert_eq!(store.usuario_by_cuenta("ros").await.unwrap(), None);
    assert_eq!(store.usuarios().await.unwrap(), [person]);
    assert_eq!(store.idempotencia(&ruc(1), "k").await.unwrap(), Some(idempotent));
    assert_eq!(store.directorio().await.unwrap().as_deref(), Some(&directory));
    assert_eq!(store.textos().await.unwrap(), Some(texts));
    assert_eq!(store.avisos().await.unwrap(), Some(alerts));
    assert_eq!(store.webhook(webhook.id).await.unwrap().as_ref(), Some(&webhook));
    assert_eq!(store.webhook(EstadoWebhook::id_for("other")).await.unwrap(), None);
    // Where a webhook stands is no event: it is committed alone, and the feed does not grow.
    let next = EstadoWebhook { version: 2, ..webhook };
    let alone = Change { records: vec![Record::Webhook(Box::new(next.clone()))], ..Change::default() };
    assert_eq!(store.commit(alone).await.unwrap(), 2);
    assert_eq!(store.webhook(next.id).await.unwrap(), Some(next));
    assert_eq!(store.facts(Cursor { seq: 1, n: u8::MAX }, None, 10).await.unwrap(), []);

    assert_eq!(store.despacho(received.id).await.unwrap(), None, "a recepcion is no despacho");
    assert_eq!(store.despacho(id()).await.unwrap(), None);
    assert_eq!(store.despacho_by_cuo(&ruc(2), &cuo(7)).await.unwrap(), None, "another entity's");
    assert_eq!(store.idempotencia(&ruc(2), "k").await.unwrap(), None);
}

pub async fn a_stale_version_is_refused(store: SharedStore) {
    let mut despacho = committed(&store).await;
    for version in [0, 1, 3, u32::MAX] {
        despacho.version = version;
        let refused = store.commit(change(record(&despacho), vec![])).await;
        assert!(matches!(refused, Err(CommitError::Stale(id)) if id == despacho.id), "version {version}: {refused:?}");
    }
    despacho.version = 2;
    despacho.asunto = "otro".into();
    store.commit(change(record(&despacho), vec![])).await.unwrap();
    assert_eq!(store.despacho(despacho.id).await.unwrap(), Some(despacho.clone()));
    let unknown = Despacho { id: id(), numero_registro: "nuevo".into(), ..despacho };
    let refused = store.commit(change(record(&unknown), vec![])).await;
    assert!(matches!(refused, Err(CommitError::Stale(_))), "version 2 of what is not there");
}

pub async fn what_must_be_unique_is_refused_a_second_time(store: SharedStore) {
    let staged = stage(&*store, &bytes(3, 100)).await;
    let sent = Despacho { cuo: Some(cuo(7)), ..despacho(documento(&staged)) };
    let received = recepcion(cuo(8), ruc(2), documento(&staged));
    let (key, idempotent, person) = (api_key(1), idempotencia("k"), usuario("rosa"));
    let first = [
        record(&sent),
        Record::Recepcion(Box::new(received.clone())),
        Record::ApiKey(key.clone()),
        Record::Idempotencia(idempotent.clone()),
        Record::Usuario(Box::new(person.clone())),
    ];
    for record in first {
        store.commit(change(record, vec![staged.clone()])).await.unwrap();
    }

    let same_number = Despacho { id: id(), cuo: None, ..sent.clone() };
    let same_cuo = Despacho { id: id(), numero_registro: "otro".into(), ..sent.clone() };
    let mut same_arrival = recepcion(cuo(8), ruc(2), documento(&staged));
    same_arrival.asunto = "otro".into();
    let attempts = [
        (record(&same_number), sent.id),
        (record(&same_cuo), sent.id),
        (Record::Recepcion(Box::new(same_arrival)), received.id),
        (Record::ApiKey(api_key(1)), key.id),
        (Record::Idempotencia(idempotencia("k")), idempotent.id),
        (Record::Usuario(Box::new(usuario("rosa"))), person.id),
    ];
    for (attempt, owner) in attempts {
        let refused = store.commit(change(attempt.clone(), vec![])).await;
        let Err(CommitError::Exists { key, id }) = refused else { panic!("{attempt:?} was not refused: {refused:?}") };
        assert!(attempt.unique_keys().contains(&key) && id == owner, "{key:?} of {id}");
    }

    // In another scope the same is another.
    let elsewhere = Despacho { id: id(), entidad: ruc(3), ..sent.clone() };
    let other_destination = Despacho { id: id(), destino: ruc(4), cuo: None, ..sent };
    let other_sender = recepcion(cuo(8), ruc(5), documento(&staged));
    for record in [record(&elsewhere), record(&other_destination), Record::Recepcion(Box::new(other_sender))] {
        store.commit(change(record, vec![])).await.unwrap();
    }
    let twice = vec![Record::ApiKey(api_key(9)), Record::ApiKey(api_key(9))];
    let refused = store.commit(Change { facts: vec![fact(id(), "x")], records: twice, ..Change::default() }).await;
    assert!(matches!(refused, Err(CommitError::Exists { key: UniqueKey::ApiKey { .. }, .. })), "within one change");
}

pub async fn a_unique_key_stays_with_its_record_after_a_change(store: SharedStore) {
    let mut first = committed(&store).await;
    first.cuo = Some(cuo(1));
    first.version = 2;
    store.commit(change(record(&first), vec![])).await.unwrap();
    first.cuos_anteriores = first.cuo.replace(cuo(2)).into_iter().collect();
    first.version = 3;
    store.commit(change(record(&first), vec![])).await.unwrap();

    let other = Despacho { id: id(), version: 1, numero_registro: "otro".into(), cuo: Some(cuo(1)), ..first.clone() };
    let refused = store.commit(change(record(&other), vec![])).await;
    assert!(matches!(refused, Err(CommitError::Exists { id, .. }) if id == first.id));
    let found = store.despacho_by_cuo(&ruc(1), &cuo(1)).await.unwrap();
    assert_eq!(found.map(|d| d.id), Some(first.id), "a late cargo under the old CUO finds its despacho");
    first.cuo = Some(cuo(1));
    first.version = 4;
    store.commit(change(record(&first), vec![])).await.unwrap();
}

pub async fn concurrent_increments_lose_nothing(store: SharedStore) {
    let despacho = committed(&store).await;
    let add = |store: SharedStore, id: Id| async move {
        loop {
            let mut despacho = store.despacho(id).await.unwrap().unwrap();
            despacho.version += 1;
            despacho.folios += 1;
            match store.commit(change(record(&despacho), vec![])).await {
                Ok(_) => return,
                Err(CommitError::Stale(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(add(store.clone(), despacho.id))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let after = store.despacho(despacho.id).await.unwrap().unwrap();
    assert_eq!((after.folios, after.version), (despacho.folios + 64, 65));
}

pub async fn the_feed_has_every_fact_in_order_while_many_commit(store: SharedStore) {
    const WRITERS: usize = 16;
    const COMMITS: usize = 20;
    let writer = |store: SharedStore| async move {
        for n in 0..COMMITS {
            let facts = (0..=n % 3).map(|_| fact(id(), "x")).collect();
            store.commit(Change { facts, jobs: vec![job(at(0))], ..Change::default() }).await.unwrap();
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(writer(store.clone()))).collect();
    let per_writer: usize = (0..COMMITS).map(|n| n % 3 + 1).sum();
    let (mut cursor, mut news) = (Cursor::default(), store.watch());
    let mut seen = Vec::new();
    while seen.len() < WRITERS * per_writer {
        let page = store.facts(cursor, None, 7).await.unwrap();
        assert!(page.len() <= 7);
        match page.last() {
            Some(last) => cursor = last.cursor,
            None => news.changed().await.unwrap(),
        }
        seen.extend(page.into_iter().map(|fact| fact.cursor));
    }
    for task in writers {
        task.await.unwrap();
    }
    for pair in seen.windows(2) {
        let next = Cursor { seq: pair[0].seq, n: pair[0].n + 1 };
        let first_of_next = Cursor { seq: pair[0].seq + 1, n: 0 };
        assert!(pair[1] == next || pair[1] == first_of_next, "a gap: {pair:?}");
    }
    assert!(store.facts(cursor, None, 7).await.unwrap().is_empty());
}

pub async fn facts_are_found_by_entity_and_by_subject(store: SharedStore) {
    let (one, other) = (id(), id());
    for n in 0..3 {
        let elsewhere = super::Fact { entidad: Some(ruc(2)), ..fact(other, "b") };
        let nobody = super::Fact { entidad: None, ..fact(other, "c") };
        let facts = vec![fact(one, &format!("a{n}")), elsewhere, nobody];
        store.commit(Change { facts, jobs: vec![job(at(0))], ..Change::default() }).await.unwrap();
    }
    let tipos = |facts: Vec<super::FactAt>| facts.into_iter().map(|f| f.fact.tipo).collect::<Vec<_>>();
    assert_eq!(tipos(store.facts_of(one).await.unwrap()), ["a0", "a1", "a2"]);
    assert_eq!(store.facts_of(other).await.unwrap().len(), 6);
    let page = store.facts(Cursor::default(), Some(&ruc(1)), 2).await.unwrap();
    let rest = store.facts(page[1].cursor, Some(&ruc(1)), 9).await.unwrap();
    assert_eq!((tipos(page), tipos(rest)), (vec!["a0".into(), "a1".into()], vec!["a2".to_owned()]));
    assert_eq!(store.facts(Cursor { seq: 1, n: 1 }, None, 1).await.unwrap()[0].fact.tipo, "c");
}

pub async fn entries_are_read_as_they_are_stored_in_order(store: SharedStore) {
    let subject = id();
    for n in 0..5 {
        let facts = vec![fact(subject, &format!("a{n}")), fact(subject, &format!("b{n}"))];
        store.commit(Change { facts, jobs: vec![job(at(0))], ..Change::default() }).await.unwrap();
    }
    let all = store.entries(0, 9).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!([store.entries(0, 2).await.unwrap(), store.entries(2, 9).await.unwrap()].concat(), all);
    assert!(store.entries(5, 9).await.unwrap().is_empty());
    let facts: Vec<super::Fact> = serde_json::from_slice(&all[3].facts).unwrap();
    assert_eq!(facts.iter().map(|fact| &*fact.tipo).collect::<Vec<_>>(), ["a3", "b3"]);
    let change: serde_json::Value = serde_json::from_slice(&all[3].change).unwrap();
    assert_eq!(change["jobs"].as_array().map(Vec::len), Some(1));
}

pub async fn lists_go_newest_first_by_pages_and_by_state(store: SharedStore) {
    let staged = stage(&*store, &bytes(4, 100)).await;
    let mut ids = Vec::new();
    for n in 0..7_u32 {
        let despacho = despacho(documento(&staged));
        ids.push(despacho.id);
        let elsewhere = Despacho { id: id(), entidad: ruc(2), ..despacho.clone() };
        store.commit(change(record(&despacho), vec![staged.clone()])).await.unwrap();
        store.commit(change(record(&elsewhere), vec![])).await.unwrap();
        if n % 2 == 0 {
            let sent = Despacho { version: 2, estado: EstadoDespacho::Enviado, ..despacho };
            store.commit(change(record(&sent), vec![])).await.unwrap();
        }
    }
    ids.reverse();
    let list = |estado, after, limit| {
        let store = store.clone();
        async move {
            let page = store.despachos(Listing { entidad: ruc(1), estado, after, limit }).await.unwrap();
            (page.items.into_iter().map(|d| d.id).collect::<Vec<_>>(), page.next)
        }
    };
    let (first, next) = list(None, None, 3).await;
    assert_eq!((&first[..], next), (&ids[..3], Some(ids[2])));
    let (second, next) = list(None, next, 4).await;
    assert_eq!((&second[..], next), (&ids[3..], None), "a full last page has no next");
    let (pending, _) = list(Some(EstadoDespacho::Pendiente), None, 100).await;
    assert_eq!(pending, [ids[1], ids[3], ids[5]]);
    let (sent, next) = list(Some(EstadoDespacho::Enviado), None, 2).await;
    assert_eq!((sent, next), (vec![ids[0], ids[2]], Some(ids[2])));
    let (sent, next) = list(Some(EstadoDespacho::Enviado), next, 2).await;
    assert_eq!((sent, next), (vec![ids[4], ids[6]], None));
    assert_eq!(list(Some(EstadoDespacho::Anulado), None, 5).await, (vec![], None));
}

pub async fn records_are_found_by_their_number_of_registration(store: SharedStore) {
    let staged = stage(&*store, &bytes(6, 100)).await;
    let commit = |record| store.commit(change(record, vec![staged.clone()]));
    let of = |entidad, numero: &str, after, limit| Numbered { entidad, numero: numero.into(), after, limit };
    let mut ids = Vec::new();
    for destino in [ruc(8), ruc(9), ruc(10)] {
        let sent = Despacho { numero_registro: "E-7".into(), destino, ..despacho(documento(&staged)) };
        ids.push(sent.id);
        commit(record(&sent)).await.unwrap();
        let elsewhere = Despacho { id: id(), entidad: ruc(2), ..sent };
        commit(record(&elsewhere)).await.unwrap();
    }
    commit(record(&Despacho { numero_registro: "E-70".into(), ..despacho(documento(&staged)) })).await.unwrap();
    let found = |numbered| async {
        let page = store.despachos_by_numero(numbered).await.unwrap();
        (page.items.into_iter().map(|d| d.id).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(found(of(ruc(1), "E-7", None, 2)).await, (vec![ids[2], ids[1]], Some(ids[1])));
    assert_eq!(found(of(ruc(1), "E-7", Some(ids[1]), 2)).await, (vec![ids[0]], None));
    assert_eq!(found(of(ruc(1), "E-", None, 2)).await, (vec![], None));

    let arrived = recepcion(cuo(77), ruc(5), documento(&staged));
    commit(Record::Recepcion(Box::new(arrived.clone()))).await.unwrap();
    let by_number = |numero: &str| store.recepciones_by_numero(of(ruc(1), numero, None, 5));
    assert!(by_number("M-1").await.unwrap().items.is_empty());
    let filed = Recepcion { version: 2, numero_registro: Some("M-1".into()), ..arrived };
    commit(Record::Recepcion(Box::new(filed.clone()))).await.unwrap();
    assert_eq!(by_number("M-1").await.unwrap().items, [filed]);
}

pub async fn a_number_goes_over_to_another_record_only_when_it_is_given_up(store: SharedStore) {
    let staged = stage(&*store, &bytes(6, 100)).await;
    let mut first = Despacho { numero_registro: "2026/7 «ñ»".into(), ..despacho(documento(&staged)) };
    store.commit(change(record(&first), vec![staged])).await.unwrap();
    let again = Despacho { id: id(), ..first.clone() };
    let refused = store.commit(change(record(&again), vec![])).await;
    assert!(matches!(refused, Err(CommitError::Exists { id, .. }) if id == first.id));

    (first.reemplazado_por, first.version) = (Some(again.id), 2);
    let mut over = change(record(&first), vec![]);
    over.records.push(record(&again));
    store.commit(over).await.unwrap();
    let third = Despacho { id: id(), ..again.clone() };
    let refused = store.commit(change(record(&third), vec![])).await;
    assert!(matches!(refused, Err(CommitError::Exists { id, .. }) if id == again.id));
    // The one that gave it up changes on, and takes nothing back.
    (first.version, first.folios) = (3, 9);
    store.commit(change(record(&first), vec![])).await.unwrap();
    let of = Numbered { entidad: ruc(1), numero: "2026/7 «ñ»".into(), after: None, limit: 9 };
    let found = store.despachos_by_numero(of).await.unwrap().items;
    assert_eq!(found.iter().map(|d| d.id).collect::<Vec<_>>(), [again.id, first.id]);
}

pub async fn arrivals_under_one_cuo_are_all_found(store: SharedStore) {
    let staged = stage(&*store, &bytes(5, 100)).await;
    let mut ids = Vec::new();
    for n in 0..20 {
        let received = recepcion(cuo(19), ruc(n), documento(&staged));
        ids.push(received.id);
        store.commit(change(Record::Recepcion(Box::new(received)), vec![staged.clone()])).await.unwrap();
    }
    let unpadded = crate::domain::Cuo::parse("19").unwrap();
    let found = store.recepciones_by_cuo(&ruc(1), &unpadded).await.unwrap();
    assert_eq!(found.iter().map(|r| r.id).collect::<Vec<_>>(), ids[..16], "oldest first, at most 16");
    assert!(store.recepciones_by_cuo(&ruc(2), &unpadded).await.unwrap().is_empty());
}

const LEASE: Duration = Duration::from_secs(60);

fn at_most(now: Timestamp, limit: usize) -> Claim {
    let (exceptions, in_doubt) = (HashMap::new(), HashSet::new());
    let uptime = Duration::try_from(now.as_duration()).unwrap();
    let wait_max = Duration::from_secs(1_000_000_000);
    Claim { now, uptime, lease: LEASE, wait_max, limit, concurrency: usize::MAX, exceptions, in_doubt }
}

async fn claim(store: &SharedStore, now: Timestamp, limit: usize) -> Vec<super::Job> {
    store.claim_jobs(&at_most(now, limit)).await.unwrap().jobs
}

/// When the next job can be claimed.
async fn next(store: &SharedStore, now: Timestamp) -> Option<Timestamp> {
    store.claim_jobs(&at_most(now, 0)).await.unwrap().next
}

pub async fn jobs_are_claimed_once_when_their_time_has_come(store: SharedStore) {
    assert_eq!(next(&store, at(1)).await, None);
    let (late, soon, now) = (job(at(30)), job(at(10)), job(at(20)));
    store.commit(jobs(vec![late.clone(), soon.clone(), now.clone()])).await.unwrap();
    assert_eq!(next(&store, at(1)).await, Some(at(10)));
    assert_eq!(claim(&store, at(9), 10).await, []);
    assert_eq!(claim(&store, at(20), 1).await, [soon]);
    assert_eq!(claim(&store, at(20), 10).await, [now]);
    assert_eq!(claim(&store, at(20), 10).await, []);
    assert_eq!(next(&store, at(20)).await, Some(at(30)), "before those under lease");
    assert_eq!(claim(&store, at(30), 10).await, [late]);
}

pub async fn destinations_are_served_in_turn_each_within_its_limit(store: SharedStore) {
    let to = |n: u8, made: i64| super::Job { destino: ruc(n), creado_en: at(made), ..job(at(5)) };
    let all = [to(1, 1), to(1, 2), to(1, 3), to(2, 4), to(3, 5)];
    store.commit(jobs(all.to_vec())).await.unwrap();
    let mut limited = at_most(at(10), 4);
    limited.exceptions.insert(ruc(3), 0);
    let claimed = store.claim_jobs(&limited).await.unwrap().jobs;
    assert_eq!(claimed, [&all[0], &all[3], &all[1], &all[2]].map(Clone::clone), "in turn, then by age");
    assert_eq!(claim(&store, at(10), 9).await, [all[4].clone()]);
}

pub async fn a_destination_that_works_again_is_served_at_once(store: SharedStore) {
    let waiting = super::Job { destino: ruc(1), ..job(at(500)) };
    let question = super::Job { kind: JobKind::PreguntarCargo, ..super::Job { destino: ruc(1), ..job(at(500)) } };
    store.commit(jobs(vec![waiting.clone(), question])).await.unwrap();
    store.wake(Some(&ruc(2))).await;
    assert_eq!(claim(&store, at(10), 9).await, []);
    store.wake(Some(&ruc(1))).await;
    assert_eq!(claim(&store, at(10), 9).await, [waiting], "questions for a cargo keep their day");
}

pub async fn a_lease_runs_out_or_is_given_back(store: SharedStore) {
    let only = job(at(10));
    store.commit(jobs(vec![only.clone()])).await.unwrap();
    assert_eq!(claim(&store, at(10), 1).await, std::slice::from_ref(&only));
    assert_eq!(next(&store, at(11)).await, Some(at(70)), "when its lease runs out");
    assert_eq!(claim(&store, at(69), 1).await, []);
    assert_eq!(claim(&store, at(70), 1).await, std::slice::from_ref(&only));
    store.release_job(only.id).await;
    assert_eq!(claim(&store, at(71), 1).await, [only]);
}

pub async fn a_job_replaced_keeps_its_lease_until_it_is_given_back_or_done(store: SharedStore) {
    let first = job(at(10));
    store.commit(jobs(vec![first.clone()])).await.unwrap();
    claim(&store, at(10), 1).await;
    let again = super::Job { proximo_en: at(20), intentos: 1, ..first.clone() };
    store.commit(jobs(vec![again.clone()])).await.unwrap();
    assert_eq!(next(&store, at(10)).await, Some(at(70)), "the worker that holds it may still be at it");
    store.release_job(first.id).await;
    assert_eq!(next(&store, at(10)).await, Some(at(20)));
    assert_eq!(claim(&store, at(19), 9).await, [], "its old time is gone");
    assert_eq!(claim(&store, at(20), 9).await, [again]);
    store.commit(Change { jobs_done: vec![first.id, id()], ..Change::default() }).await.unwrap();
    assert_eq!(next(&store, at(20)).await, None);
    assert_eq!(claim(&store, at(1000), 9).await, []);
}

pub async fn a_dead_job_is_kept_and_never_claimed(store: SharedStore) {
    let living = job(at(10));
    let dead = super::Job { muerto_en: Some(at(5)), ..living.clone() };
    store.commit(jobs(vec![living.clone()])).await.unwrap();
    store.commit(jobs(vec![dead.clone()])).await.unwrap();
    assert_eq!(next(&store, at(20)).await, None);
    assert_eq!(claim(&store, at(1000), 9).await, []);
    assert_eq!(store.job(dead.id).await.unwrap(), Some(dead.clone()));
    assert_eq!(store.jobs(None, 9).await.unwrap().items, [dead]);
    store.commit(jobs(vec![living.clone()])).await.unwrap();
    assert_eq!(claim(&store, at(10), 9).await, [living], "a person tried it again");
}

pub async fn jobs_are_listed_page_by_page(store: SharedStore) {
    let mut all: Vec<_> = (0..5).map(|n| job(at(n))).collect();
    store.commit(jobs(all.clone())).await.unwrap();
    all.sort_by_key(|job| job.id);
    let first = store.jobs(None, 3).await.unwrap();
    assert_eq!((&first.items[..], first.next), (&all[..3], Some(all[2].id)));
    let second = store.jobs(first.next, 3).await.unwrap();
    assert_eq!((&second.items[..], second.next), (&all[3..], None));
}

pub async fn documents_of_every_size_read_back(store: SharedStore) {
    for (seed, size) in [0, 1, 1000, SMALL_MAX, SMALL_MAX + 1, 1_500_000].into_iter().enumerate() {
        let body = bytes(seed as u64, size);
        let staged = stage(&*store, &body).await;
        assert!(matches!(read(&*store, &staged.sha256).await, Err(StoreError::NoDocument(_))), "not before the commit");
        let despacho = despacho(documento(&staged));
        store.commit(change(record(&despacho), vec![staged])).await.unwrap();
        let reader = store.open_document(&despacho.documento.sha256).await.unwrap();
        assert_eq!(reader.bytes(), size as u64);
        assert!(read(&*store, &despacho.documento.sha256).await.unwrap() == body, "{size} bytes");
    }
}

pub async fn a_document_is_stored_once_however_often_it_comes(store: SharedStore) {
    for size in [5_000, SMALL_MAX + 9] {
        let body = bytes(6, size);
        let before = store.verify().await.unwrap().documents;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (store, body) = (store.clone(), body.clone());
                tokio::spawn(async move {
                    let staged = stage(&*store, &body).await;
                    let twice = vec![staged.clone(), staged.clone()];
                    store.commit(change(record(&despacho(documento(&staged))), twice)).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(read(&*store, &sha256(&body)).await.unwrap() == body);
        let verified = store.verify().await.unwrap();
        assert_eq!((verified.documents, verified.damage), (before + 1, vec![]));
    }
}

pub async fn a_refused_commit_leaves_no_document(store: SharedStore) {
    let despacho = committed(&store).await;
    for size in [5_000, SMALL_MAX + 9] {
        let staged = stage(&*store, &bytes(7, size)).await;
        let sha256 = staged.sha256.clone();
        let stale = Despacho { documento: documento(&staged), ..despacho.clone() };
        let refused = store.commit(change(record(&stale), vec![staged])).await;
        assert!(matches!(refused, Err(CommitError::Stale(_))));
        assert!(matches!(read(&*store, &sha256).await, Err(StoreError::NoDocument(_))));
    }
    let verified = store.verify().await.unwrap();
    assert_eq!((verified.documents, verified.damage, verified.remarks), (1, vec![], vec![]));
}

pub async fn a_refused_document_can_be_committed_again(store: SharedStore) {
    let before = committed(&store).await;
    for size in [5_000, SMALL_MAX + 9] {
        let body = bytes(8, size);
        let staged = stage(&*store, &body).await;
        let stale = Despacho { documento: documento(&staged), ..before.clone() };
        store.commit(change(record(&stale), vec![staged.clone()])).await.unwrap_err();
        let new = despacho(documento(&staged));
        store.commit(change(record(&new), vec![staged])).await.unwrap();
        assert!(read(&*store, &new.documento.sha256).await.unwrap() == body);
    }
}

pub async fn a_record_may_not_name_a_document_that_is_not_there(store: SharedStore) {
    let staged = stage(&*store, &bytes(9, 100)).await;
    let despacho = despacho(documento(&staged));
    let refused = store.commit(change(record(&despacho), vec![])).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::NoDocument(sha256))) if sha256 == staged.sha256));
    assert_eq!(store.despacho(despacho.id).await.unwrap(), None);
}

pub async fn a_change_of_nothing_or_of_too_many_facts_is_refused(store: SharedStore) {
    let facts = |n: usize| vec![fact(id(), "x"); n];
    let key = || vec![Record::ApiKey(api_key(1))];
    assert!(store.commit(Change::default()).await.is_err());
    assert!(store.commit(Change { records: key(), ..Change::default() }).await.is_err(), "a record without a fact");
    assert!(store.commit(Change { facts: facts(256), records: key(), ..Change::default() }).await.is_err());
    assert_eq!(store.commit(Change { facts: facts(255), records: key(), ..Change::default() }).await.unwrap(), 1);
    let all = store.facts(Cursor::default(), None, 1000).await.unwrap();
    assert_eq!(all.iter().map(|f| f.cursor.n).collect::<BTreeSet<_>>().len(), 255);
}

pub async fn news_are_watched(store: SharedStore) {
    let mut news = store.watch();
    assert_eq!(*news.borrow_and_update(), 0);
    let committing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(jobs(vec![job(at(0))])).await.unwrap() }
    });
    news.changed().await.unwrap();
    // Held over an await, it would hold up who tells.
    let told = *news.borrow();
    assert_eq!(told, committing.await.unwrap());
    assert_eq!(claim(&store, at(0), 9).await.len(), 1, "what is news can be read");
}

pub async fn a_whole_store_verifies(store: SharedStore) {
    let despacho = committed(&store).await;
    let staged = stage(&*store, &bytes(10, SMALL_MAX + 1)).await;
    let changed = Despacho { version: 2, documento: documento(&staged), ..despacho };
    store.commit(change(record(&changed), vec![staged])).await.unwrap();
    let verified = store.verify().await.unwrap();
    assert_eq!((verified.entries, verified.documents), (2, 2));
    assert_eq!((verified.damage, verified.remarks), (vec![], vec![]));
    assert!(verified.bytes > SMALL_MAX as u64);
}

pub async fn a_closed_store_takes_no_commits(store: SharedStore) {
    let underway: Vec<_> = (0..32)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(jobs(vec![job(at(0))])).await })
        })
        .collect();
    store.close().await.unwrap();
    let mut committed = 0;
    for task in underway {
        match task.await.unwrap() {
            Ok(_) => committed += 1,
            Err(CommitError::Store(StoreError::Closed)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let refused = store.commit(jobs(vec![job(at(0))])).await;
    assert!(matches!(refused, Err(CommitError::Store(StoreError::Closed))));
    assert_eq!(claim(&store, at(0), 100).await.len(), committed, "reading goes on");
    store.close().await.unwrap();
}
