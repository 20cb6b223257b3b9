//! The two layers of base64: any text in any pieces yields the same, and what is encoded is decoded.

use chasqui::{
    domain::Contenido,
    soap::base64::{DocumentDecoder, DocumentEncoder, encoded_len},
};

use crate::pieces::cut;

pub fn base64(data: &[u8]) {
    let (first, data) = cut(data);
    let size = first % 11 + 1;
    let (whole, pieces) = (decoded(data, usize::MAX), decoded(data, size));
    assert_eq!(whole.0, pieces.0, "the verdict depends on the pieces");
    if matches!(whole.0, Contenido::Pdf { .. }) {
        assert_eq!(whole.1, pieces.1, "the document depends on the pieces");
    }
    let document = [b"%PDF-1.7\n", data].concat();
    let mut text = Vec::new();
    let mut encoder = DocumentEncoder::default();
    for piece in document.chunks(size) {
        text.extend_from_slice(&encoder.push(piece));
    }
    text.extend_from_slice(&encoder.finish());
    assert_eq!(text.len() as u64, encoded_len(document.len() as u64));
    assert_eq!(decoded(&text, size), (Contenido::Pdf { una_vez: false }, document));
}

fn decoded(text: &[u8], size: usize) -> (Contenido, Vec<u8>) {
    let (mut decoder, mut document) = (DocumentDecoder::default(), Vec::new());
    for piece in text.chunks(size) {
        decoder.push(piece, &mut document);
    }
    (decoder.finish(&mut document), document)
}
