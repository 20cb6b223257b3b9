//! Games with the document's two layers of base64.

use super::{are_faults, are_refused, document, took_it, unharmed, victim};
use crate::{
    envelope::{base64, base64_twice},
    pdf::pdf,
};

fn with(text: &str) -> String {
    document().with("bpdfdoc", text).xml()
}

#[tokio::test]
async fn padding_and_letters_where_none_belong() {
    let good = base64_twice(&pdf(1, 3_000));
    let insert = |what: &str| with(&format!("{}{what}{}", &good[..2000], &good[2000..]));
    let inner = base64(&pdf(1, 3_000));
    let inner = |what: &str| with(&base64(format!("{}{what}{}", &inner[..2000], &inner[2000..]).as_bytes()));
    are_refused(vec![
        ("padding in the middle", insert("=")),
        ("more padding in the middle", insert("====")),
        ("padding in the middle, inside", inner("==")),
        ("a letter of no alphabet", insert("*")),
        ("a letter of no alphabet, inside", inner("\u{7f}")),
        ("the alphabet of URLs", insert("-_")),
        ("a NUL, inside", inner("\0")),
        ("a letter beyond ASCII", insert("ñ")),
        ("too much padding", with(&format!("{good}===="))),
        ("padding alone", with("====")),
        ("an address for data", with(&format!("data:application/pdf;base64,{good}"))),
    ])
    .await;
}

#[tokio::test]
async fn one_layer_too_many_and_none_at_all() {
    let thrice = base64(base64_twice(&pdf(1, 3_000)).as_bytes());
    let deep = (0..6).fold(pdf(1, 500), |bytes, _| base64(&bytes).into_bytes());
    are_refused(vec![
        ("three layers", with(&thrice)),
        ("six layers", with(&String::from_utf8(deep).unwrap())),
        ("no layer", with("%PDF-1.7 hola")),
        ("nothing within", with(&base64(b""))),
        ("something else within", with(&base64_twice(b"PK\x03\x04 hola"))),
        ("a PDF far behind", with(&base64_twice(&[vec![b' '; 5_000], pdf(1, 3_000)].concat()))),
    ])
    .await;
}

#[tokio::test]
async fn whitespace_without_end() {
    let (_platform, mut daemon) = victim().await;
    let good = base64_twice(&pdf(1, 600_000));
    let spaced: String = good.as_bytes().chunks(4).map(|c| format!("{}\n", std::str::from_utf8(c).unwrap())).collect();
    let answer = daemon.soap(with(&spaced)).await;
    assert_eq!(answer.verdict().0, "0000", "as much as lines may bring is taken");
    took_it(&mut daemon).await;
    are_faults(vec![
        ("spaces within", "Client", with(&format!("{}{}", &good[..100], " ".repeat(20 << 20))).into()),
        ("references to spaces", "Client", with("@").replace('@', &"&#x20;".repeat(4 << 20)).into()),
    ])
    .await;
}

#[tokio::test]
async fn a_document_larger_than_allowed() {
    are_refused(vec![("a byte too many", with(&base64_twice(&pdf(1, (2 << 20) + 1))))]).await;
    let (_platform, mut daemon) = victim().await;
    let whole = daemon.soap(with(&base64_twice(&pdf(1, 9 << 20)))).await;
    assert_ne!(whole.status, 200, "{}", whole.body);
    unharmed(&mut daemon).await;
}
