//! Reading PDFs: tables, objects, streams and pages of whatever file, within the reader's own bounds.

use std::io::Cursor;

use chasqui::signing::pdf::{Object, Pdf, Ref};

/// Objects looked at.
const OBJECTS: usize = 50;
/// Decoded bytes of a stream asked for.
const STREAM_MAX: usize = 100_000;
const PAGES: usize = 20;

pub fn pdf(data: &[u8]) {
    let Ok(mut pdf) = Pdf::open(Cursor::new(data)) else { return };
    let _ = (pdf.trailer().map(|_| ()), pdf.encrypted(), pdf.highest_number(), pdf.acro_form().map(|_| ()));
    for revision in 0..pdf.revisions().len().min(5) {
        let _ = (pdf.trailer_at(revision).map(|_| ()), pdf.catalog_at(revision).map(|_| ()));
        for number in pdf.numbers_in(revision, OBJECTS).unwrap_or_default() {
            let Ok(Some(object)) = pdf.object_at(Ref { number, generation: 0 }, revision) else { continue };
            if let Ok(decoded) = pdf.decoded(&object, STREAM_MAX) {
                assert!(decoded.len() <= STREAM_MAX, "more than was asked for");
            }
            let (mut written, mut references) = (Vec::new(), Vec::new());
            object.value.write(&mut written);
            object.value.references(&mut references);
            for reference in references.into_iter().take(5) {
                let _ = pdf.resolve_at(&Object::Ref(reference), revision);
            }
        }
    }
    let Ok(mut pages) = pdf.pages() else { return };
    for _ in 0..PAGES {
        if !matches!(pages.next(&mut pdf), Ok(Some(_))) {
            break;
        }
    }
}
