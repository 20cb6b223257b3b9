//! A message as an HTTP body: its document is read, encoded twice and sent piece by piece, under an exact length.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{base64::DocumentEncoder, writer::Message};

/// Largest piece of PDF that is encoded at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Where a document's bytes come from while a message is sent.
#[async_trait]
pub trait DocumentSource: Send {
    /// The next piece; `None` at the end. An error breaks the message off: the other side sees it cut short.
    async fn next(&mut self) -> io::Result<Option<Bytes>>;
}

/// A document that is in memory already.
#[async_trait]
impl DocumentSource for Option<Bytes> {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(self.take())
    }
}

type Source = Box<dyn DocumentSource>;
type Reading = Pin<Box<dyn Future<Output = (Source, io::Result<Option<Bytes>>)> + Send>>;

enum State {
    Before(Bytes, Option<Source>),
    /// Between two pieces.
    Idle(Source),
    Reading(Reading),
    /// A piece that is encoded bit by bit.
    Encoding(Source, Bytes),
    After,
    Done,
}

/// The stream of a message.
pub struct MessageBody {
    /// Never locked: the mutex makes the body `Sync`, as HTTP clients ask, whatever the source is.
    state: Mutex<State>,
    encoder: DocumentEncoder,
    after: Bytes,
    /// Bytes of PDF still expected.
    document_left: u64,
    /// Bytes of body still to come.
    left: u64,
}

impl Message {
    /// The body to send. `source` is needed if the message has a place for a document; it must yield exactly the bytes
    /// the message was told, else the body ends in an error.
    pub fn into_body(self, source: Option<Box<dyn DocumentSource>>) -> MessageBody {
        let left = self.content_length();
        MessageBody {
            state: Mutex::new(State::Before(self.before, source)),
            encoder: DocumentEncoder::default(),
            after: self.after,
            document_left: self.document_len.unwrap_or(0),
            left,
        }
    }
}

impl MessageBody {
    fn state(&mut self) -> &mut State {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step; it may yield nothing yet.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let (next, piece) = match std::mem::replace(self.state(), State::Done) {
            State::Before(piece, Some(source)) => (State::Idle(source), piece),
            State::Before(piece, None) => (State::After, piece),
            State::Idle(mut source) => {
                let reading = async move {
                    let piece = source.next().await;
                    (source, piece)
                };
                (State::Reading(Box::pin(reading)), Bytes::new())
            }
            State::Reading(mut reading) => match reading.as_mut().poll(cx) {
                Poll::Pending => {
                    *self.state() = State::Reading(reading);
                    return Poll::Pending;
                }
                Poll::Ready((source, piece)) => match piece? {
                    Some(piece) => (State::Encoding(source, self.counted(piece)?), Bytes::new()),
                    None => (State::After, std::mem::take(&mut self.encoder).finish()),
                },
            },
            State::Encoding(source, mut piece) => {
                let now = piece.split_to(piece.len().min(PIECE_BYTES));
                let text = self.encoder.push(&now);
                (if piece.is_empty() { State::Idle(source) } else { State::Encoding(source, piece) }, text)
            }
            State::After if self.document_left > 0 => return Poll::Ready(Err(wrong_length("smaller"))),
            State::After => (State::Done, std::mem::take(&mut self.after)),
            State::Done => (State::Done, Bytes::new()),
        };
        *self.state() = next;
        Poll::Ready(Ok(piece))
    }

    fn counted(&mut self, piece: Bytes) -> io::Result<Bytes> {
        let left = self.document_left.checked_sub(piece.len() as u64);
        self.document_left = left.ok_or_else(|| wrong_length("larger"))?;
        Ok(piece)
    }
}

fn wrong_length(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the document is {what} than the message said"))
}

impl Body for MessageBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        while !matches!(this.state(), State::Done) {
            let piece = ready!(this.poll_piece(cx))?;
            if !piece.is_empty() {
                this.left = this.left.saturating_sub(piece.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::soap::{
        fixture::{pdf, twice},
        writer::Writer,
    };

    /// Yields its pieces, waiting before each.
    struct Pieces(Vec<Bytes>);

    #[async_trait]
    impl DocumentSource for Pieces {
        async fn next(&mut self) -> io::Result<Option<Bytes>> {
            tokio::task::yield_now().await;
            Ok((!self.0.is_empty()).then(|| self.0.remove(0)))
        }
    }

    fn message(bytes: u64) -> Message {
        let mut w = Writer::new("urn:x", "op");
        w.document("doc", bytes);
        w.text("after", "1");
        w.finish()
    }

    async fn send(message: Message, pdf: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let pieces = pdf.chunks(piece).map(Bytes::copy_from_slice).collect();
        let body = message.into_body(Some(Box::new(Pieces(pieces))));
        Ok(body.collect().await?.to_bytes().into())
    }

    #[tokio::test]
    async fn a_document_is_streamed_between_what_stands_around_it_under_its_exact_length() {
        for size in [0, 1, 8, 9, 10, 70_000, 300_000] {
            let pdf = pdf(size);
            let message = message(size as u64);
            let sent = send(message.clone(), &pdf, 4099).await.unwrap();
            let expected = [&message.before[..], twice(&pdf).as_bytes(), &message.after[..]].concat();
            assert!(sent == expected, "{size} bytes");
            assert_eq!(sent.len() as u64, message.content_length());
        }
    }

    #[tokio::test]
    async fn the_length_left_is_exact_at_every_step_and_pieces_are_small() {
        let pdf = pdf(1_000_000);
        let body = message(1_000_000).into_body(Some(Box::new(Some(Bytes::from(pdf)))));
        let (mut body, mut left) = (Box::pin(body), None);
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES * 2, "{}", piece.len());
            let now = body.size_hint().exact().unwrap();
            assert!(left.is_none_or(|left| left == now + piece.len() as u64));
            left = Some(now);
        }
        assert!(left == Some(0) && body.is_end_stream());
    }

    #[tokio::test]
    async fn a_document_of_another_length_than_was_said_breaks_the_message_off() {
        for (said, pdf) in [(100, pdf(99)), (100, pdf(101)), (1, pdf(0)), (0, pdf(1))] {
            let error = send(message(said), &pdf, 10).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "said {said}, was {}", pdf.len());
        }
        let none = message(100).into_body(None).collect().await;
        assert!(none.is_err(), "no document at all");
    }

    #[tokio::test]
    async fn a_source_that_fails_breaks_the_message_off() {
        struct Failing;
        #[async_trait]
        impl DocumentSource for Failing {
            async fn next(&mut self) -> io::Result<Option<Bytes>> {
                Err(io::ErrorKind::NotFound.into())
            }
        }
        let error = message(100).into_body(Some(Box::new(Failing))).collect().await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_body_can_be_given_to_http_clients_and_servers() {
        fn takes<B: Body<Data = Bytes, Error = io::Error> + Send + Sync + Unpin + 'static>(_: B) {}
        takes(message(1).into_body(None));
    }
}
