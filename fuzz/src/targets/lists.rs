//! Trusted lists: the tree, its canonical forms, the signature and the list itself.

use chasqui::signing::{
    trust::Trust,
    trusted_list::fuzzing,
    xml::{
        Document,
        canonical::{Method, Part, write},
        check,
    },
};

pub fn lists(data: &[u8]) {
    let Ok(document) = Document::parse(data) else { return };
    let whole = |document: &Document| write(document, Part::Whole, None, Method::Inclusive);
    if let Some(canonical) = whole(&document) {
        let again = Document::parse(&canonical).expect("a canonical form is a document");
        assert_eq!(Some(canonical), whole(&again), "the canonical form of a canonical form is another");
    }
    if let Some(exclusive) = write(&document, Part::Whole, None, Method::Exclusive) {
        let again = Document::parse(&exclusive).expect("a canonical form is a document");
        assert_eq!(Some(exclusive), write(&again, Part::Whole, None, Method::Exclusive));
    }
    let _ = check(&document);
    if let Some(list) = fuzzing::read(&document) {
        let mut trust = Trust::default();
        let _ = trust.with_list(&list, "lista");
        for service in &list.services {
            assert!(service.spans.iter().all(|span| span.until.is_none_or(|until| span.from < until)));
        }
    }
}
