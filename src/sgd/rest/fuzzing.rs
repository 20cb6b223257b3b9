//! What fuzz/ reaches of the requests' decoding. Built only there.

use axum::{
    body::{Body, Bytes},
    extract::Request,
};

pub use super::scan::MARK;
use super::{form::Form, scan::Scanner};

/// Most that is kept of a JSON request, in bytes.
const KEPT_MAX: usize = 4_000;

/// The request without its document, and the document's text; or why not.
pub fn scanned(json: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<u8>), String> {
    let mut scanner = Scanner::new(&["documento", "contenido"], KEPT_MAX);
    let mut text = Vec::new();
    for piece in json.chunks(piece) {
        scanner.push(piece, &mut text).map_err(|error| format!("{error:?}"))?;
    }
    for place in 0..20 {
        let _ = scanner.column(place / 5, place);
    }
    Ok((scanner.kept().to_vec(), text))
}

/// A form's parts, their names and contents; `Err` if it is none.
pub async fn parts(boundary: &str, body: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, ()> {
    let pieces: Vec<_> =
        body.chunks(piece).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    let kind = format!("multipart/form-data; boundary={boundary}");
    let request = Request::builder().header("content-type", kind);
    let request = request.body(Body::from_stream(futures_util::stream::iter(pieces))).map_err(drop)?;
    let mut form = Form::open(request).await.map_err(drop)?;
    let mut parts = Vec::new();
    while let Some(mut part) = form.next().await.map_err(drop)? {
        let name = format!("{:?} {:?}", part.name(), part.file_name());
        let mut content = Vec::new();
        while let Some(chunk) = part.chunk().await.map_err(drop)? {
            content.extend_from_slice(&chunk);
        }
        parts.push((name, content));
    }
    Ok(parts)
}
