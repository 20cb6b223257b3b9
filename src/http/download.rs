//! A document as a file: streamed from the store, checked against its SHA-256 while it leaves, and never run by a browser.

use std::fmt::Write;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    failure,
    problem::{Code, Problem},
};
use crate::{
    domain::{Documento, Purga, lima},
    store::{BlobReader, Store, StoreError},
};

/// Of a PDF that is shown in a page: a frame of its own without any right of this origin, and only we may frame it.
const INLINE_POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'self'";

/// How a browser should take a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// To be kept.
    Attachment,
    /// To be shown in a frame of a page of ours, without any right of this origin.
    Inline,
}

/// A PDF with what a cache and a browser must know of it.
pub async fn pdf(
    store: &dyn Store,
    document: &Documento,
    manner: Manner,
    asked: &HeaderMap,
) -> Result<Response, Problem> {
    if document.bytes == 0 {
        let detail = "El archivo no está aquí: el intercambio se trajo de un sistema anterior que ya no lo tenía";
        return Err(Problem::new(Code::NoExiste, detail));
    }
    let etag = format!("\"{}\"", document.sha256);
    let mut headers = HeaderMap::new();
    let mut put = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::ETAG, &etag);
    put(header::CACHE_CONTROL, "private, no-cache");
    put(header::CONTENT_DISPOSITION, &disposed(manner, &document.nombre));
    // A PDF can carry scripts and forms; opened in the browser it gets no rights of this origin.
    put(
        header::CONTENT_SECURITY_POLICY,
        match manner {
            Manner::Attachment => "sandbox; default-src 'none'",
            Manner::Inline => INLINE_POLICY,
        },
    );
    if known(asked, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let reader = store.open_document(&document.sha256).await.map_err(failure::store)?;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/pdf"));
    headers.insert(header::CONTENT_LENGTH, reader.bytes().into());
    Ok((headers, Body::from_stream(pieces(reader))).into_response())
}

/// A file of which nobody knows what is in it: to be kept, and run by no browser.
pub fn attachment(name: &str, reader: BlobReader) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, reader.bytes().into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    if let Ok(value) = HeaderValue::from_str(&disposition(name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    (headers, Body::from_stream(pieces(reader))).into_response()
}

/// What was purged of an exchange cannot be downloaded.
pub fn not_purged(purga: Option<&Purga>) -> Result<(), Problem> {
    let Some(purga) = purga else { return Ok(()) };
    let detail = format!(
        "Se borró el {} por {}; su huella queda en el registro. El certificado: «purga» en el registro del intercambio, o \
         «chasqui store certificate»",
        lima::texto(purga.en),
        purga.politica
    );
    Err(Problem::new(Code::Purgado, detail))
}

/// Whether the caller has it already (RFC 9110 §13.1.2).
fn known(asked: &HeaderMap, etag: &str) -> bool {
    let stated = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    stated.split(',').any(|one| one.trim().trim_start_matches("W/") == etag)
}

/// One piece behind the reader: the last leaves only when the whole was found undamaged, so that a damaged document never
/// arrives with its full length.
pub fn pieces(reader: BlobReader) -> impl futures_util::Stream<Item = Result<Bytes, StoreError>> {
    stream::try_unfold((reader, None), |(mut reader, mut held): (BlobReader, Option<Bytes>)| async move {
        loop {
            let next = reader.next().await.inspect_err(|error| tracing::error!(%error, "a download was cut"))?;
            let ended = next.is_none();
            let ready = std::mem::replace(&mut held, next);
            match ready {
                Some(piece) => return Ok(Some((piece, (reader, held)))),
                None if ended => return Ok(None),
                None => {}
            }
        }
    })
}

/// Whether a character is not seen but changes what is: those that turn the direction of writing, and those without width. A
/// name with them reads otherwise than it is.
pub fn hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `Content-Disposition` of a file to be kept, with a name that is safe as a file's name.
pub fn disposition(name: &str) -> String {
    disposed(Manner::Attachment, name)
}

/// RFC 6266, the plain form for old clients.
fn disposed(manner: Manner, name: &str) -> String {
    let seen = name.chars().filter(|c| !hidden(*c));
    let safe: String = seen.map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c }).collect();
    let safe = safe.trim().trim_start_matches('.');
    let safe = if safe.is_empty() { "documento.pdf" } else { safe };
    let plain: String = safe.chars().map(|c| if c.is_ascii() && c != '%' { c } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in safe.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    let manner = match manner {
        Manner::Attachment => "attachment",
        Manner::Inline => "inline",
    };
    format!("{manner}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_keep_their_letters() {
        for (name, expected) in [
            ("oficio.pdf", "attachment; filename=\"oficio.pdf\"; filename*=UTF-8''oficio.pdf"),
            ("año 1.pdf", "attachment; filename=\"a_o 1.pdf\"; filename*=UTF-8''a%C3%B1o%201.pdf"),
            ("../../etc/passwd", "attachment; filename=\"_.._etc_passwd\"; filename*=UTF-8''_.._etc_passwd"),
            ("a\"\r\nX-Evil: 1", "attachment; filename=\"a___X-Evil_ 1\"; filename*=UTF-8''a___X-Evil_%201"),
            ("a\u{202e}fdp\u{200b}.exe", "attachment; filename=\"afdp.exe\"; filename*=UTF-8''afdp.exe"),
            ("\u{2066}\u{feff}", "attachment; filename=\"documento.pdf\"; filename*=UTF-8''documento.pdf"),
            ("  ", "attachment; filename=\"documento.pdf\"; filename*=UTF-8''documento.pdf"),
        ] {
            assert_eq!(disposition(name), expected);
        }
    }

    #[test]
    fn etags_are_compared_weakly_and_one_by_one() {
        let asked = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(text));
            headers
        };
        assert!(known(&asked("\"x\", W/\"a\""), "\"a\""));
        assert!(!known(&asked("\"x\""), "\"a\""));
        assert!(!known(&HeaderMap::new(), "\"a\""));
    }
}
