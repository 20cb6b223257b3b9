//! What an SGD sends: JSON with a document in it, and forms.

use chasqui::sgd::rest::fuzzing;

use crate::pieces::{cut, now};

pub fn json(data: &[u8]) {
    let (first, data) = cut(data);
    let whole = fuzzing::scanned(data, usize::MAX);
    assert_eq!(whole, fuzzing::scanned(data, first % 9 + 1), "it depends on the pieces");
    let Ok((kept, text)) = whole else { return };
    let Ok(read) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    // Good JSON stays good, and its document is what a parser finds there, as far as it is base64.
    let kept: serde_json::Value = serde_json::from_slice(&kept).expect("what was kept of good JSON is good");
    let document = |json: &serde_json::Value| json.pointer("/documento/contenido")?.as_str().map(str::to_owned);
    if document(&kept).as_deref() == Some(fuzzing::MARK) {
        let base64 =
            |text: &[u8]| text.iter().copied().filter(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)).collect();
        let (found, there): (Vec<u8>, Vec<u8>) =
            (base64(&text), base64(document(&read).unwrap_or_default().as_bytes()));
        // A text that is a mark itself.
        assert!(found == there || there.is_empty(), "{found:?} {there:?}");
    }
}

/// The input's first line is the boundary.
pub fn form(data: &[u8]) {
    let (first, data) = cut(data);
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len()).min(70);
    let (boundary, body) = data.split_at(end);
    let Ok(boundary) = std::str::from_utf8(boundary) else { return };
    let whole = now(fuzzing::parts(boundary, body, usize::MAX));
    let pieces = now(fuzzing::parts(boundary, body, first % 9 + 1));
    assert_eq!(whole, pieces, "it depends on the pieces");
}
