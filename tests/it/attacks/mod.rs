//! The attacks in the books on XML, SOAP and HTTP, one test each; docs/seguridad-soap.md is their table. What they share with
//! `hostile`: whatever was refused leaves nothing, and a good document is still taken.

mod base64;
mod crowd;
mod http;
mod table;
mod xml;

use crate::{
    daemon::Daemon,
    envelope::Answer,
    hostile::{document, unharmed, victim},
};

/// Nothing in an answer tells where we are, what we are made of, or how it came about.
fn discreet(what: &str, answer: &Answer) {
    let said = answer.body.to_lowercase();
    for word in ["/work", "/tmp", "/home", ".rs", "panic", "src/", "rust", "hyper", "axum", "quick", "stack", "0.1.0"] {
        assert!(!said.contains(word), "{what} tells «{word}»: {}", answer.body);
    }
}

/// Each of these messages is a fault of this code, and none leaves anything.
async fn are_faults(cases: Vec<(&str, &str, Vec<u8>)>) {
    let (_platform, mut daemon) = victim().await;
    for (what, code, envelope) in cases {
        let answer = daemon.soap(envelope).await;
        assert_eq!(answer.fault().0, code, "{what}: {}", answer.body);
        discreet(what, &answer);
    }
    unharmed(&mut daemon).await;
}

/// Each of these messages is answered with this code and leaves nothing.
async fn are_refused(cases: Vec<(&str, String)>) {
    let (_platform, mut daemon) = victim().await;
    for (what, envelope) in cases {
        let answer = daemon.soap(envelope).await;
        assert_eq!(answer.verdict().0, "0003", "{what}: {}", answer.body);
        discreet(what, &answer);
    }
    unharmed(&mut daemon).await;
}

/// The daemon took the document of [`document`] once, as if nothing were.
async fn took_it(daemon: &mut Daemon) {
    assert_eq!(daemon.api().list("/api/v1/recepciones").await.len(), 1);
}
