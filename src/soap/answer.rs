//! What a client makes of an answer: the operation's, a fault, or one of the things that are no answer at all. Those mean
//! "unknown", never "delivered" (CONTRACT §2).

use tokio::io::AsyncRead;

use super::{
    envelope::{EnvelopeReader, Limits, from_io},
    error::ReadError,
    fault::Fault,
    source::Source,
};

/// Longest beginning of a strange answer that is kept, in bytes.
const EXCERPT_BYTES: usize = 300;

#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Nothing came: an empty body or an empty SOAP Body.
    #[error("the answer is empty")]
    Empty,
    /// Something else: an HTML page, JSON, XML without a SOAP 1.1 envelope. Its beginning, for a person to look at.
    #[error("the answer is not SOAP: {excerpt}")]
    NotSoap { excerpt: String },
    #[error(transparent)]
    Fault(Fault),
    /// The operation answered null.
    #[error("the operation answered null")]
    Null,
    /// An envelope that answers something else.
    #[error("the answer is «{0}»")]
    Unexpected(String),
    /// It began like an answer and could not be read to its end; also the sink's own failure and a broken stream.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Reads an answer, whatever its HTTP status was, up to its operation element, whose local name must be `expected`.
pub async fn open<R: AsyncRead + Unpin + Send>(
    body: R,
    charset: Option<&str>,
    limits: Limits,
    expected: &str,
) -> Result<EnvelopeReader<R>, AnswerError> {
    let mut source = match Source::open(body, charset, limits.message_bytes).await.map_err(from_io) {
        Ok(source) => source,
        Err(ReadError::Encoding(what)) => return Err(AnswerError::NotSoap { excerpt: what.to_owned() }),
        Err(error) => return Err(error.into()),
    };
    let head = source.peek(EXCERPT_BYTES).await.map_err(from_io)?;
    let excerpt = excerpt(head);
    if excerpt.is_empty() && head.len() < EXCERPT_BYTES {
        return Err(AnswerError::Empty);
    }
    let mut envelope = EnvelopeReader::with_source(source, limits).await.map_err(|error| match error {
        ReadError::Empty | ReadError::EmptyBody => AnswerError::Empty,
        error @ (ReadError::Io(_) | ReadError::Sink(_) | ReadError::TooLarge) => AnswerError::Read(error),
        _ => AnswerError::NotSoap { excerpt },
    })?;
    if Fault::is(envelope.operation()) {
        return Err(fault(&mut envelope).await?);
    }
    if envelope.operation().local != expected {
        return Err(AnswerError::Unexpected(envelope.operation().local.clone()));
    }
    Ok(envelope)
}

async fn fault<R: AsyncRead + Unpin + Send>(envelope: &mut EnvelopeReader<R>) -> Result<AnswerError, ReadError> {
    let (mut code, mut text) = (None, None);
    while let Some(part) = envelope.child().await? {
        match part.local.as_str() {
            "faultcode" => code = envelope.text().await?,
            "faultstring" => text = envelope.text().await?,
            _ => envelope.skip().await?,
        }
    }
    Ok(AnswerError::Fault(Fault::from_parts(code.as_deref(), text.as_deref())))
}

fn excerpt(head: &[u8]) -> String {
    let head = head.get(..EXCERPT_BYTES).unwrap_or(head);
    let text = String::from_utf8_lossy(head);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}
