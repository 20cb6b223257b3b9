//! Answers as bytes: what stands in for one, and what becomes of one on its way. Streams; holds a piece at a time.

use std::{io, io::Write, time::Duration};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header};

use super::script::Charset;
use crate::{
    http::server::Hangup,
    soap::{self, Fault},
};

/// How long after an answer the connection is closed: it has left by then, and the caller thinks the connection good.
const CLOSE_AFTER: Duration = Duration::from_millis(100);

/// How long the first half of an answer gets to leave.
const CUT_AFTER: Duration = Duration::from_millis(20);

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>Servicio en mantenimiento\
                    </h1><p>Página del simulador en lugar de la respuesta.</p></body></html>\n";

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub fn fault(fault: &Fault) -> Response {
    let body = Body::new(fault.message().into_body(None));
    answer(StatusCode::INTERNAL_SERVER_ERROR, soap::CONTENT_TYPE, body)
}

pub fn page() -> Response {
    answer(StatusCode::OK, "text/html; charset=utf-8", PAGE)
}

pub fn nothing() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

pub fn busy(retry_after: Option<Duration>) -> Response {
    let text = "El servicio está saturado (falla del simulador).\n";
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text);
    if let Some(wait) = retry_after {
        // The header has whole seconds: never less than was asked for.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Half of an answer, then the end of the connection.
pub fn cut_short(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = http_body::Body::size_hint(&body).exact().unwrap_or(0);
    parts.headers.insert(header::CONTENT_LENGTH, whole.into());
    let pieces = stream::unfold((body.into_data_stream(), whole / 2), |(mut body, left)| async move {
        if left == 0 {
            // An error that comes with its piece would take the piece along.
            tokio::time::sleep(CUT_AFTER).await;
            let cut = Err(io::Error::other("cut by the simulator"));
            return Some((cut, (body, left)));
        }
        let piece: Bytes = body.next().await?.ok()?;
        let taken = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        Some((Ok(piece.slice(..taken)), (body, left - taken as u64)))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

pub fn gzip(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let pieces = stream::unfold((body.into_data_stream(), Some(encoder)), |(mut body, encoder)| async move {
        let mut encoder = encoder?;
        match body.next().await {
            Some(Ok(piece)) => {
                let written = encoder.write_all(&piece).and_then(|()| encoder.flush());
                let out = written.map(|()| Bytes::from(std::mem::take(encoder.get_mut())));
                Some((out, (body, Some(encoder))))
            }
            Some(Err(error)) => Some((Err(io::Error::other(error)), (body, None))),
            None => Some((encoder.finish().map(Bytes::from), (body, None))),
        }
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Says one encoding and uses another.
pub fn charset(response: Response, declared: Charset, real: Charset) -> Response {
    let (mut parts, body) = response.into_parts();
    let content_type = match declared {
        Charset::Utf8 => "text/xml; charset=utf-8",
        Charset::Latin1 => "text/xml; charset=iso-8859-1",
    };
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if real == Charset::Utf8 {
        return Response::from_parts(parts, body);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let decoder = encoding_rs::UTF_8.new_decoder_without_bom_handling();
    let pieces = stream::unfold((body.into_data_stream(), decoder), |(mut body, mut decoder)| async move {
        let piece: Bytes = match body.next().await? {
            Ok(piece) => piece,
            Err(error) => return Some((Err(io::Error::other(error)), (body, decoder))),
        };
        // A letter may lie across two pieces.
        let room = decoder.max_utf8_buffer_length(piece.len()).unwrap_or(piece.len() * 3 + 4);
        let mut text = String::with_capacity(room);
        let (_, _, _) = decoder.decode_to_string(&piece, &mut text, false);
        let (latin1, _, _) = encoding_rs::WINDOWS_1252.encode(&text);
        Some((Ok(Bytes::from(latin1.into_owned())), (body, decoder)))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Closes the connection a moment after the answer, without a word in its head.
pub fn close_after(hangup: Hangup) {
    tokio::spawn(async move {
        tokio::time::sleep(CLOSE_AFTER).await;
        hangup.cut();
    });
}
