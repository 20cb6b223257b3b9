//! A message as an HTTP body: its document is read, encoded twice and sent piece by piece, under an exact length.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    base64::{DocumentEncoder, encoded_len},
    writer::Message,
};

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
    Before(Bytes),
    /// Between two pieces.
    Idle(Source),
    Reading(Reading),
    /// A piece that is encoded bit by bit.
    Encoding(Source, Bytes),
    After,
    Done,
}

/// The stream of a message. `Sync` without locking, as HTTP clients ask.
pub struct MessageBody {
    state: Mutex<State>,
    source: Mutex<Option<Source>>,
    encoder: DocumentEncoder,
    after: Bytes,
    /// Bytes of PDF still expected.
    document_left: u64,
    /// Bytes of body still to come.
    left: u64,
}

impl Message {
    /// The body to send. `source` is needed if the message has a place for a document.
    pub fn into_body(self, source: Option<Source>) -> MessageBody {
        let left = self.content_length();
        MessageBody {
            state: Mutex::new(State::Before(self.before)),
            source: Mutex::new(source),
            encoder: DocumentEncoder::default(),
            after: self.after,
            document_left: self.document_len.unwrap_or(0),
            left,
        }
    }
}

impl MessageBody {
    /// One step; `None` means that nothing came of it yet.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let state = match self.state.get_mut() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        };
        match std::mem::replace(state, State::Done) {
            State::Before(piece) => {
                let source = self.source.get_mut().unwrap_or_else(|e| e.into_inner()).take();
                *state = match source {
                    Some(source) => State::Idle(source),
                    None => State::After,
                };
                Poll::Ready(Ok(Some(piece)))
            }
            State::Idle(mut source) => {
                *state = State::Reading(Box::pin(async move {
                    let piece = source.next().await;
                    (source, piece)
                }));
                Poll::Ready(Ok(None))
            }
            State::Reading(mut reading) => {
                let Poll::Ready((source, piece)) = reading.as_mut().poll(cx) else {
                    *state = State::Reading(reading);
                    return Poll::Pending;
                };
                let Some(piece) = piece? else {
                    *state = State::After;
                    return Poll::Ready(Ok(Some(std::mem::take(&mut self.encoder).finish())));
                };
                self.document_left =
                    self.document_left.checked_sub(piece.len() as u64).ok_or_else(|| wrong_length("larger"))?;
                *state = State::Encoding(source, piece);
                Poll::Ready(Ok(None))
            }
            State::Encoding(source, mut piece) => {
                let now = piece.split_to(piece.len().min(PIECE_BYTES));
                *state = if piece.is_empty() { State::Idle(source) } else { State::Encoding(source, piece) };
                Poll::Ready(Ok(Some(self.encoder.push(&now))))
            }
            State::After if self.document_left > 0 => Poll::Ready(Err(wrong_length("smaller"))),
            State::After => Poll::Ready(Ok(Some(std::mem::take(&mut self.after)))),
            State::Done => Poll::Ready(Ok(None)),
        }
    }

    fn is_done(&mut self) -> bool {
        matches!(self.state.get_mut().unwrap_or_else(|e| e.into_inner()), State::Done)
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
        while !this.is_done() {
            let piece = match ready!(this.poll_piece(cx)) {
                Ok(piece) => piece.unwrap_or_default(),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
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

impl Message {
    /// Size of the document's text on the wire, in bytes; 0 without one.
    pub fn document_text_len(&self) -> u64 {
        self.document_len.map_or(0, encoded_len)
    }
}
