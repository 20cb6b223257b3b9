//! The envelope reader: whatever arrives, it ends, and the pieces it arrives in change nothing.

use std::fmt::Write;

use chasqui::soap::{
    EnvelopeReader, Limits, ReadError,
    envelope::{Content, DEPTH_MAX},
};

use crate::pieces::{Kept, Pieces, cut, now};

const CHARSETS: [Option<&str>; 4] = [None, Some("utf-8"), Some("iso-8859-1"), Some("utf-16")];

pub fn envelope(data: &[u8]) {
    let (first, data) = cut(data);
    let charset = CHARSETS[first % CHARSETS.len()];
    let whole = walked(data, usize::MAX, charset);
    let pieces = walked(data, first / CHARSETS.len() % 9 + 1, charset);
    assert_eq!(whole, pieces, "it depends on the pieces");
}

/// Everything an element may be taken for, by its name, as text.
fn walked(data: &[u8], size: usize, charset: Option<&str>) -> String {
    let mut told = String::new();
    let result: Result<(), ReadError> = now(async {
        let limits = Limits { message_bytes: 100_000, structure_bytes: 20_000 };
        let mut envelope = EnvelopeReader::open(Pieces::new(data, size), charset, limits).await?;
        writeln!(told, "{:?}", envelope.operation()).unwrap();
        inside(&mut envelope, &mut told).await?;
        writeln!(told, "{} {} {}", envelope.saw_nil(), envelope.saw_qualified(), envelope.transcoded()).unwrap();
        envelope.finish().await
    });
    // Of two things that are wrong, the pieces decide which one is met first.
    if result.is_ok() { told } else { "refused".to_owned() }
}

async fn inside(envelope: &mut EnvelopeReader<Pieces<'_>>, told: &mut String) -> Result<(), ReadError> {
    let mut depth = 1;
    while depth > 0 {
        let Some(element) = envelope.child().await? else {
            depth -= 1;
            continue;
        };
        writeln!(told, "{depth} {element:?}").unwrap();
        assert!(depth < DEPTH_MAX, "deeper than allowed");
        match element.local.as_bytes().first() {
            Some(b'b') => {
                let mut kept = Kept::default();
                let contenido = envelope.document(&mut kept).await?;
                writeln!(told, "{contenido:?} {:?}", kept.0).unwrap();
            }
            Some(b's') => envelope.skip().await?,
            Some(b't') => writeln!(told, "{:?}", envelope.text().await?).unwrap(),
            Some(b'c') => match envelope.content().await? {
                Content::Text(text) => writeln!(told, "{text:?}").unwrap(),
                Content::Elements => depth += 1,
            },
            _ => depth += 1,
        }
    }
    Ok(())
}
