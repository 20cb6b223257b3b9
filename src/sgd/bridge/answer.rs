//! What the bridge answers: always HTTP 200 with `{"estado", "data", "error"}`, but for who is not let in. A PDF in an answer
//! leaves in base64 as it is read.

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    exchange::ExchangeError,
    http::Problem,
    http::failure,
    sgd::base64::encoded,
    store::{BlobReader, StoreError},
};

/// Why something was not done: the code and the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub estado: &'static str,
    pub error: String,
}

impl Failure {
    pub fn new(estado: &'static str, error: impl Into<String>) -> Self {
        Self { estado, error: error.into() }
    }

    /// `-1`.
    pub fn unexpected(error: impl Into<String>) -> Self {
        Self::new("-1", error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::unexpected(problem.detail())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        failure::store(error).into()
    }
}

impl From<ExchangeError> for Failure {
    fn from(error: ExchangeError) -> Self {
        failure::exchange(error).into()
    }
}

#[derive(Serialize)]
struct Envelope<'a, D> {
    estado: &'a str,
    data: Option<D>,
    error: Option<&'a str>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        Json(Envelope::<()> { estado: self.estado, data: None, error: Some(&self.error) }).into_response()
    }
}

pub fn done(estado: &str, data: impl Serialize) -> Response {
    Json(Envelope { estado, data: Some(data), error: None }).into_response()
}

/// `data` with one more member: a PDF in base64, or null.
pub fn with_document(mut data: Map<String, Value>, member: &str, document: Option<BlobReader>) -> Response {
    let Some(reader) = document else {
        data.insert(member.to_owned(), Value::Null);
        return done("0000", data);
    };
    let written = Value::Object(data).to_string();
    let comma = if written == "{}" { "" } else { "," };
    let inner = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    let before = format!("{{\"estado\":\"0000\",\"error\":null,\"data\":{{{inner}{comma}\"{member}\":\"");
    let after = "\"}}";
    let length = (before.len() + after.len()) as u64 + reader.bytes().div_ceil(3) * 4;
    let body = Body::from_stream(framed(before, reader, after));
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    response
}

fn framed(
    before: String,
    reader: BlobReader,
    after: &'static str,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    let text = encoded(reader).inspect(|piece| {
        if let Err(error) = piece {
            tracing::error!(%error, "a document in an answer was cut");
        }
    });
    let (before, after) = (Bytes::from(before), Bytes::from_static(after.as_bytes()));
    stream::iter([Ok(before)]).chain(text).chain(stream::iter([Ok(after)]))
}
