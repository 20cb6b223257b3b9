//! What every store does with an exchange that is purged: what goes, what stays, and what is refused.

use super::*;
use crate::store::{Job, Kept, Store, samples::purge};

/// Commits a despacho of these bytes.
pub(super) async fn keep(store: &SharedStore, content: &[u8]) -> Despacho {
    let staged = stage(&**store, content).await;
    let despacho = despacho(documento(&staged));
    let mut change = change(record(&despacho), vec![staged.clone()]);
    change.facts[0].documentos.push(staged.sha256);
    store.commit(change).await.unwrap();
    despacho
}

async fn whole(store: &dyn Store, purged: u64) {
    // A purge is answered when it is durable; where bytes go after that, they go before anything else is served.
    store.writable().await.unwrap();
    let found = store.verify().await.unwrap();
    assert_eq!((found.damage, found.remarks, found.purged), (vec![], vec![], purged));
}

pub async fn a_purged_document_is_gone_and_says_where_its_certificate_is(store: SharedStore) {
    let contents = [bytes(1, 700), bytes(2, SMALL_MAX + 9), bytes(3, 900)];
    let mut kept = Vec::new();
    for content in &contents {
        kept.push(keep(&store, content).await);
    }
    for n in [0, 1] {
        store.commit(purge(&kept[n], contents[n].len() as u64, false)).await.unwrap();
    }
    for n in [0, 1] {
        let gone = read(&*store, &kept[n].documento.sha256).await.unwrap_err();
        assert!(matches!(&gone, StoreError::Purged { seq, .. } if *seq == 4 + n as u64), "{gone}");
        assert_eq!(store.named(&kept[n].documento.sha256).await.unwrap(), None);
    }
    assert_eq!(read(&*store, &kept[2].documento.sha256).await.unwrap(), contents[2]);
    let listed =
        async |which| store.kept(which, None, 10).await.unwrap().items.iter().map(Record::id).collect::<Vec<_>>();
    assert_eq!(listed(Kept::Despachos).await, [kept[2].id]);
    assert_eq!(listed(Kept::Purged).await, [kept[0].id, kept[1].id]);
    whole(&*store, 2).await;
}

pub async fn a_document_stays_until_the_last_exchange_that_names_it_is_purged(store: SharedStore) {
    let content = bytes(7, 500);
    let (one, other) = (keep(&store, &content).await, keep(&store, &content).await);
    let mut by = store.named(&one.documento.sha256).await.unwrap().unwrap().by;
    by.sort_unstable();
    assert_eq!(by, [one.id, other.id]);
    let refused = store.commit(purge(&one, 500, false)).await;
    assert!(matches!(refused, Err(CommitError::Stale(id)) if id == one.id), "it would take the other's document");
    store.commit(purge(&one, 500, true)).await.unwrap();
    assert_eq!(read(&*store, &other.documento.sha256).await.unwrap(), content);
    let refused = store.commit(purge(&other, 500, true)).await;
    assert!(matches!(refused, Err(CommitError::Stale(_))), "nobody else would ever take it away");
    store.commit(purge(&other, 500, false)).await.unwrap();
    whole(&*store, 1).await;
}

pub async fn of_two_purges_at_once_that_share_a_document_one_is_decided_anew(store: SharedStore) {
    let content = bytes(8, 500);
    let (one, other) = (keep(&store, &content).await, keep(&store, &content).await);
    let (first, second) = tokio::join!(store.commit(purge(&one, 500, true)), store.commit(purge(&other, 500, true)));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert_eq!(read(&*store, &one.documento.sha256).await.unwrap(), content);
}

pub async fn what_has_work_pending_or_changed_since_it_was_read_is_not_purged(store: SharedStore) {
    let despacho = keep(&store, &bytes(9, 100)).await;
    let mut work = job(at(0));
    work.sujeto = despacho.id;
    work.id = Job::id_for(work.kind, despacho.id);
    store.commit(jobs(vec![work.clone()])).await.unwrap();
    assert!(matches!(store.commit(purge(&despacho, 100, false)).await, Err(CommitError::Stale(_))));
    store.commit(Change { jobs_done: vec![work.id], ..Change::default() }).await.unwrap();
    let mut held = despacho.clone();
    held.version += 1;
    store.commit(change(record(&held), vec![])).await.unwrap();
    assert!(matches!(store.commit(purge(&despacho, 100, false)).await, Err(CommitError::Stale(_))));
    store.commit(purge(&held, 100, false)).await.unwrap();
}

pub async fn a_document_that_comes_again_after_its_purge_is_there(store: SharedStore) {
    for size in [800, SMALL_MAX + 10] {
        let content = bytes(11, size);
        let first = keep(&store, &content).await;
        store.commit(purge(&first, size as u64, false)).await.unwrap();
        let again = keep(&store, &content).await;
        assert_eq!(read(&*store, &again.documento.sha256).await.unwrap(), content, "of {size} bytes");
        store.writable().await.unwrap();
        let found = store.verify().await.unwrap();
        assert_eq!((found.damage, found.remarks), (vec![], vec![]), "of {size} bytes");
    }
}
