//! Copies of a store in use, put back.

use super::*;
use crate::store::embedded::{
    copies::{self, CopyError},
    verify_dir,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_taken_while_commits_go_on_is_whole_when_it_is_put_back() {
    let (dir, place, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open_hastily(dir.path());
    let writing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..150 {
                let size = if n % 10 == 0 { SMALL_MAX + 1000 + n } else { 1000 + n };
                let change = dispatch(&store, size).await;
                store.commit(change).await.unwrap();
            }
        })
    };
    let mut taken = Vec::new();
    while taken.len() < 2 || !writing.is_finished() {
        let (from, to, now) = (dir.path().to_owned(), place.path().to_owned(), at(taken.len() as i64));
        taken.push(tokio::task::spawn_blocking(move || copies::take(&from, &to, now).unwrap()).await.unwrap());
    }
    writing.await.unwrap();
    let (from, to) = (dir.path().to_owned(), place.path().to_owned());
    let last = copies::take(&from, &to, at(100_000)).unwrap();
    taken.push(last.clone());
    for (n, copy) in taken.iter().enumerate() {
        let into = into.path().join(n.to_string());
        copies::restore(place.path(), Some(&copy.nombre), &into).unwrap();
        let found = verify_dir(&into, &mut |_| {}).unwrap();
        assert_eq!(found.damage, Vec::<String>::new(), "{}", copy.nombre);
        let again = open_hastily(&into);
        assert!(cut_facts(&again).await.is_empty());
        again.close().await.unwrap();
    }
    let whole = verify_dir(&into.path().join((taken.len() - 1).to_string()), &mut |_| {}).unwrap();
    assert_eq!((whole.entries, whole.documents), (150, 150));
    // Nothing changed since: nothing is written.
    store.close().await.unwrap();
    assert_eq!(copies::take(&from, &to, at(100_001)).unwrap().nuevos, 0);
}

#[tokio::test]
async fn a_damaged_copy_and_a_place_that_is_taken_are_refused_and_old_copies_go() {
    let (dir, place, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open_hastily(dir.path());
    assert!(matches!(copies::restore(place.path(), None, into.path()), Err(CopyError::None(_))));
    fill(&store).await;
    let first = copies::take(dir.path(), place.path(), at(1)).unwrap();
    fill(&store).await;
    copies::take(dir.path(), place.path(), at(2)).unwrap();
    assert_eq!(copies::prune(place.path(), 1).unwrap(), 1);
    assert!(copies::open(place.path(), &first.nombre).is_err());
    copies::restore(place.path(), None, into.path()).unwrap();
    assert!(into.path().join(copies::MARK).is_file());
    assert!(matches!(copies::restore(place.path(), None, into.path()), Err(CopyError::NotEmpty(_))));
    assert_eq!(verify_dir(into.path(), &mut |_| {}).unwrap().damage, Vec::<String>::new());

    let name = copies::list(place.path()).unwrap().pop().unwrap();
    let list = place.path().join(format!("{name}.json"));
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replacen("\"bytes\":", "\"bytes\":1", 1)).unwrap();
    assert!(matches!(copies::open(place.path(), &name), Err(CopyError::Damaged { .. })));
    fs::write(&list, text).unwrap();
    let piece = walk(&place.path().join("pieces"));
    let mut bytes = fs::read(&piece).unwrap();
    bytes[0] ^= 1;
    fs::write(&piece, bytes).unwrap();
    let again = tempfile::tempdir().unwrap();
    assert!(matches!(copies::restore(place.path(), None, again.path()), Err(CopyError::Damaged { .. })));
    store.close().await.unwrap();
}

/// Some file below a folder.
fn walk(dir: &Path) -> std::path::PathBuf {
    let path = dir.read_dir().unwrap().next().unwrap().unwrap().path();
    if path.is_dir() { walk(&path) } else { path }
}
