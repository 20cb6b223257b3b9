//! What a client makes of an answer: the operation's, a fault, or one of the things that are no answer at all. Those mean
//! "unknown", never "delivered" (CONTRACT §2).

use tokio::io::AsyncRead;

use super::{
    envelope::{EnvelopeReader, Limits, from_io},
    error::ReadError,
    fault::Fault,
    source::{self, Source},
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
    /// An Envelope of another version of SOAP, or of none.
    #[error("the answer's envelope is not SOAP 1.1")]
    Version,
    #[error(transparent)]
    Fault(Fault),
    /// The operation answered null.
    #[error("the operation answered null")]
    Null,
    /// An envelope that answers something else.
    #[error("the answer is «{0}»")]
    Unexpected(String),
    /// The operation answered a code that says neither yes nor no.
    #[error("the answer's code is «{0}»")]
    Code(String),
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
    // An encoding that nobody knows is no reason to learn nothing: the answer's own beginning tells as much.
    let charset = charset.filter(|label| source::reads(label));
    let mut source = Source::open(body, charset, limits.message_bytes).await.map_err(from_io)?;
    let head = source.peek(EXCERPT_BYTES).await.map_err(from_io)?;
    let excerpt = excerpt(head);
    if excerpt.is_empty() && head.len() < EXCERPT_BYTES {
        return Err(AnswerError::Empty);
    }
    let mut envelope = EnvelopeReader::with_source(source, limits).await.map_err(|error| match error {
        ReadError::Empty | ReadError::EmptyBody => AnswerError::Empty,
        ReadError::Version(_) => AnswerError::Version,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::fixture::{Chunks, envelope};

    async fn answer(body: &str) -> Result<(), AnswerError> {
        let whole = open(Chunks::new(body, 1 << 20), None, Limits::SMALL, "opResponse").await.map(|_| ());
        let cut = open(Chunks::new(body, 1), None, Limits::SMALL, "opResponse").await.map(|_| ());
        assert_eq!(format!("{whole:?}"), format!("{cut:?}"), "however it arrives");
        whole
    }

    #[tokio::test]
    async fn an_answer_is_known_by_its_local_name_in_any_namespace() {
        for body in ["<opResponse/>", "<x:opResponse xmlns:x='urn:any'><return/></x:opResponse>"] {
            answer(&envelope(body)).await.unwrap();
        }
        let other = answer(&envelope("<otherResponse/>")).await;
        assert!(matches!(other, Err(AnswerError::Unexpected(name)) if name == "otherResponse"));
    }

    #[tokio::test]
    async fn nothing_is_told_from_something_else() {
        for nothing in ["", " \r\n", "\u{feff}"] {
            assert!(matches!(answer(nothing).await, Err(AnswerError::Empty)), "{nothing:?}");
        }
        assert!(matches!(answer(&envelope("")).await, Err(AnswerError::Empty)));
        let html = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>";
        let soap12 = "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body/></e:Envelope>";
        for (body, begins) in [
            (html, "<!DOCTYPE html> <html><head><title>502"),
            ("<html><body>Mantenimiento", "<html>"),
            ("{\"recepcionarTramiteResponseResponse\": null}", "{\"recep"),
            ("<opResponse><return/></opResponse>", "<opResponse>"),
            ("Service unavailable", "Service"),
        ] {
            match answer(body).await {
                Err(AnswerError::NotSoap { excerpt }) => assert!(excerpt.starts_with(begins), "{excerpt}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        assert!(matches!(answer(soap12).await, Err(AnswerError::Version)));
        let long = format!("<html>{}", "ñ".repeat(1000));
        let Err(AnswerError::NotSoap { excerpt }) = answer(&long).await else { panic!() };
        assert!(excerpt.len() <= EXCERPT_BYTES + 3, "{}", excerpt.len());
    }

    #[tokio::test]
    async fn a_stream_that_breaks_is_no_answer_at_all() {
        let begins = bytes::Bytes::from(envelope("<opResponse/>")).slice(..40);
        let broken = tokio_util::io::StreamReader::new(futures_util::stream::iter([
            Ok(begins),
            Err(std::io::Error::from(std::io::ErrorKind::TimedOut)),
        ]));
        let error = open(broken, None, Limits::SMALL, "opResponse").await.err().unwrap();
        assert!(matches!(error, AnswerError::Read(ReadError::Io(_))), "{error}");
    }
}
