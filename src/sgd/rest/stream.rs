//! `/api/v1/eventos` as a stream (server-sent events): what happened after a cursor, and then what happens, until the caller
//! leaves, its key is revoked, or the daemon stops. Every event's id is its cursor, so that a caller who comes back with
//! `Last-Event-ID` misses nothing.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{Api, view};
use crate::{
    domain::{Id, Ruc},
    http::{Acceso, Code, Problem},
    store::{Cursor, FactAt, Seq},
};

/// Streams open at once, in all and with one key.
pub const STREAMS_MAX: usize = 128;
pub const STREAMS_PER_KEY_MAX: usize = 8;

/// A line at least so often, so that nobody in between takes the connection for dead; as often the key is looked at again.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// The feed is looked at no more often than this, however much is committed.
const PAUSE: Duration = Duration::from_millis(100);
/// Events sent at a time.
const PAGE: usize = 100;
/// How long a caller that lost its connection is asked to wait, in milliseconds.
const RETRY_MS: u32 = 3000;

/// Whether the caller wants a stream.
pub fn wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT);
    accepted.iter().filter_map(|value| value.to_str().ok()).any(|text| text.contains("text/event-stream"))
}

/// The places for streams. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Mutex<HashMap<Option<Id>, usize>>>);

impl Streams {
    fn open(&self, key: Option<Id>) -> Result<Open, Problem> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= STREAMS_MAX {
            let detail = "Hay demasiadas conexiones siguiendo los sucesos; vuelva a intentarlo en unos segundos";
            return Err(Problem::new(Code::ServicioOcupado, detail));
        }
        let of_key = taken.entry(key).or_default();
        if *of_key >= STREAMS_PER_KEY_MAX {
            let detail =
                format!("Con esta clave ya hay {STREAMS_PER_KEY_MAX} conexiones siguiendo los sucesos: cierre alguna");
            return Err(Problem::new(Code::DemasiadasPeticiones, detail));
        }
        *of_key += 1;
        Ok(Open { streams: self.clone(), key })
    }
}

/// One stream's place, until it is dropped.
struct Open {
    streams: Streams,
    key: Option<Id>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut taken = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

/// The answer: what happened after `after` to `entidad`, or to all.
pub fn follow(api: Api, acceso: &Acceso, entidad: Option<Ruc>, after: Cursor) -> Result<Response, Problem> {
    let place = api.streams.open(acceso.clave)?;
    let follower = Follower {
        news: api.exchange.store().watch(),
        key: acceso.clave,
        api,
        entidad,
        after,
        beat: Instant::now() + HEARTBEAT,
        greeted: false,
        rest: false,
        _place: place,
    };
    let body = Body::from_stream(stream::unfold(follower, Follower::next));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // nginx gathers answers unless it is told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok((headers, body).into_response())
}

struct Follower {
    api: Api,
    news: watch::Receiver<Seq>,
    key: Option<Id>,
    entidad: Option<Ruc>,
    after: Cursor,
    /// When the next line is due.
    beat: Instant,
    greeted: bool,
    /// It just looked.
    rest: bool,
    _place: Open,
}

impl Follower {
    /// The next piece; `None` ends the stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !self.greeted {
            self.greeted = true;
            return Some((Ok(format!("retry: {RETRY_MS}\n\n").into()), self));
        }
        let stop = self.api.stop.clone();
        let text = tokio::select! {
            () = stop.cancelled() => None,
            text = self.text() => text,
        };
        text.map(|text| (Ok(text.into()), self))
    }

    async fn text(&mut self) -> Option<String> {
        loop {
            if Instant::now() >= self.beat {
                self.beat = Instant::now() + HEARTBEAT;
                return self.still_allowed().await.then(|| ": latido\n\n".to_owned());
            }
            if std::mem::take(&mut self.rest) {
                sleep(PAUSE).await;
            }
            // Before looking: what is committed meanwhile wakes us again.
            self.news.borrow_and_update();
            let found = self.api.exchange.store().facts(self.after, self.entidad.as_ref(), PAGE).await;
            let found = found.inspect_err(|error| tracing::warn!(%error, "a stream of events was cut")).ok()?;
            self.rest = found.len() < PAGE;
            if let Some(last) = found.last() {
                self.after = last.cursor;
                let told = self.api.exchange.se_cuentan(&found).await;
                let told = told.inspect_err(|error| tracing::warn!(%error, "a stream of events was cut")).ok()?;
                return Some(found.iter().zip(told).map(|(at, told)| event(at, told)).collect());
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = sleep_until(self.beat) => {}
            }
        }
    }

    /// Whether the key opens anything still. Where that cannot be told the stream ends: the next request is judged.
    async fn still_allowed(&self) -> bool {
        match self.key {
            None => true,
            Some(id) => self.api.exchange.clave_en_vigor(id).await.unwrap_or(false),
        }
    }
}

fn event(at: &FactAt, told: bool) -> String {
    // JSON has no line breaks outside its texts, and within them they are escaped.
    let data = serde_json::to_string(&view::fact(at, told)).unwrap_or_default();
    let mut text = String::with_capacity(data.len() + 100);
    // Writing to a String cannot fail.
    let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", view::cursor(at), at.fact.tipo);
    text
}
