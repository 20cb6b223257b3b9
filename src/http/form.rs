//! A request's form, part by part. The parser takes all that has come before it looks for a part's head or end, and keeps it
//! until it finds one: here it is fed little by little, and no more than a form can need.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, BodyDataStream},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
};
use bytes::Bytes;
use futures_util::Stream;

use super::problem::{self, Code, Problem};

/// Most the parser gets without making a part or a piece of one of it, in bytes: what is before a form's first part, or a
/// part's head, is never this long.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// The parser is fed this many bytes at a time.
const PIECE_BYTES: usize = 16 * 1024;

pub struct Form {
    parts: Multipart,
    unread: Unread,
}

pub struct Part<'a> {
    field: Field<'a>,
    unread: Unread,
}

impl Form {
    pub async fn open(request: Request) -> Result<Self, Problem> {
        let unread = Unread::default();
        let fed = |body: Body| {
            let body = body.into_data_stream();
            Body::from_stream(Feed { body, piece: Bytes::new(), unread: unread.clone(), pause: false })
        };
        let parts = Multipart::from_request(request.map(fed), &()).await.map_err(|_| bad("Falta su boundary"))?;
        Ok(Self { parts, unread })
    }

    pub async fn next(&mut self) -> Result<Option<Part<'_>>, Problem> {
        let field = self.parts.next_field().await.map_err(broken)?;
        self.unread.forget();
        Ok(field.map(|field| Part { field, unread: self.unread.clone() }))
    }
}

impl Part<'_> {
    pub fn name(&self) -> Option<&str> {
        self.field.name()
    }

    pub fn file_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        let chunk = self.field.chunk().await.map_err(broken)?;
        self.unread.forget();
        Ok(chunk)
    }
}

pub fn bad(what: &str) -> Problem {
    Problem::new(Code::MultipartNoValido, what)
}

fn broken(error: MultipartError) -> Problem {
    problem::of_body(&error, || bad("El formulario está mal formado o se interrumpió"))
}

/// Bytes given to the parser since it last gave something back.
#[derive(Clone, Default)]
struct Unread(Arc<AtomicUsize>);

impl Unread {
    fn add(&self, bytes: usize) -> usize {
        self.0.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes)
    }

    fn forget(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more than {UNREAD_BYTES_MAX} bytes of a form without a part in them")]
struct Shapeless;

/// What the parser reads.
struct Feed {
    body: BodyDataStream,
    piece: Bytes,
    unread: Unread,
    pause: bool,
}

impl Stream for Feed {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // The parser looks at what it has only when there is no more for now.
        if std::mem::take(&mut this.pause) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while this.piece.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_next(context)) {
                Some(Ok(piece)) => this.piece = piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => return Poll::Ready(None),
            }
        }
        let piece = this.piece.split_to(PIECE_BYTES.min(this.piece.len()));
        if this.unread.add(piece.len()) > UNREAD_BYTES_MAX {
            return Poll::Ready(Some(Err(Shapeless.into())));
        }
        this.pause = true;
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// A form of these bytes, and how many of them were taken.
    async fn form(pieces: Vec<Vec<u8>>) -> (Form, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let pieces = stream::iter(pieces.into_iter().map(move |piece| {
            counter.fetch_add(piece.len(), Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece)
        }));
        let request = Request::builder().header("content-type", "multipart/form-data; boundary=frontera");
        (Form::open(request.body(Body::from_stream(pieces)).unwrap()).await.unwrap(), taken)
    }

    #[tokio::test]
    async fn a_form_without_parts_or_with_an_endless_head_is_refused_before_it_is_held() {
        let head = b"--frontera\r\nContent-Disposition: form-data; name=\"".to_vec();
        for start in [Vec::new(), head] {
            let mut pieces = vec![start];
            pieces.extend(std::iter::repeat_n(vec![b'x'; 8192], 1000));
            let (mut form, taken) = form(pieces).await;
            let Err(refused) = form.next().await else { panic!("no part came") };
            assert_eq!(refused.code(), Code::MultipartNoValido);
            assert!(taken.load(Ordering::Relaxed) <= UNREAD_BYTES_MAX + 8192, "{taken:?}");
        }
    }

    #[tokio::test]
    async fn a_large_file_passes_whole_in_pieces_of_any_size() {
        // Line ends, and what looks like the beginning of a boundary, all over it.
        let file = b"abc\r\n--frontera".iter().copied().take(13).cycle().take(1_900_000).collect::<Vec<u8>>();
        let mut whole = b"--frontera\r\nContent-Disposition: form-data; name=\"d\"; filename=\"f\"\r\n\r\n".to_vec();
        whole.extend_from_slice(&file);
        whole.extend_from_slice(b"\r\n--frontera--\r\n");
        for size in [1000, 70_001, whole.len()] {
            let (mut form, _) = form(whole.chunks(size).map(<[u8]>::to_vec).collect()).await;
            let mut part = form.next().await.unwrap().unwrap();
            let mut read = Vec::new();
            while let Some(piece) = part.chunk().await.unwrap() {
                read.extend_from_slice(&piece);
            }
            drop(part);
            assert!(read == file, "{} bytes in pieces of {size}", read.len());
            assert!(form.next().await.unwrap().is_none());
        }
    }
}
