//! What a person should know of: the bell and its page, and pages that follow what happens.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use maud::{Markup, html};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Console,
    door::{Permiso, Visit},
    failure::Fault,
    layout, words,
};
use crate::{
    domain::Ruc,
    http::{Code, Problem},
    store::{Cursor, Fact, FactAt, Seq},
};

/// How many entries back news are looked for.
const ENTRIES_BACK: Seq = 1_000;
/// Facts looked at for them, and news shown, at most.
const LOOKED_AT_MAX: usize = 1_000;
const SHOWN_MAX: usize = 60;

/// Pages that follow at once.
pub const FOLLOWERS_MAX: usize = 256;
/// A line at least so often; then the session is looked at again.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// No more often than this, however much happens.
const PAUSE: Duration = Duration::from_millis(500);

/// Where something that happened is shown, if people should know of it.
fn place(visit: &Visit, at: &FactAt) -> Option<String> {
    let id = at.fact.sujeto;
    match at.fact.tipo.as_str() {
        "recepcion.recibida" => Some(format!("/entrada/{id}")),
        "despacho.recepcionado" | "despacho.observado" | "despacho.fallido" => Some(format!("/salida/{id}")),
        "alerta" | "certificado.por_vencer" if visit.puede(Permiso::Operar) => Some("/operacion".into()),
        _ => None,
    }
}

impl Console {
    fn newest(&self) -> Cursor {
        Cursor { seq: *self.exchange.store().watch().borrow(), n: u8::MAX }
    }

    /// The asunto of the document a fact is about, if it is about one that has any.
    async fn asunto(&self, fact: &Fact) -> Result<Option<String>, Fault> {
        let store = self.exchange.store();
        let found = match fact.tipo.split('.').next() {
            Some("recepcion") => store.recepcion(fact.sujeto).await?.map(|r| r.asunto),
            Some("despacho") => store.despacho(fact.sujeto).await?.map(|d| d.asunto),
            _ => None,
        };
        Ok(found.filter(|asunto| !asunto.trim().is_empty()))
    }

    /// What happened lately that this person should know of, oldest first.
    async fn news(&self, visit: &Visit) -> Result<Vec<FactAt>, Fault> {
        let after = Cursor { seq: self.newest().seq.saturating_sub(ENTRIES_BACK), n: u8::MAX };
        // Alerts are of no entity: who operates reads the whole feed.
        let all = visit.acceso.entidad.is_none() && visit.puede(Permiso::Operar);
        let entidad = Some(&visit.entidad).filter(|_| !all);
        let mut facts = self.exchange.store().facts(after, entidad, LOOKED_AT_MAX).await?;
        let own = |of: Option<&Ruc>| of.is_none_or(|ruc| *ruc == visit.entidad);
        facts.retain(|at| own(at.fact.entidad.as_ref()) && place(visit, at).is_some());
        Ok(facts)
    }
}

/// The page of news; having looked at it, the person knows them.
pub async fn show(State(console): State<Console>, visit: Visit) -> Result<Markup, Fault> {
    let mut news = console.news(&visit).await?;
    news.drain(..news.len().saturating_sub(SHOWN_MAX));
    let told = console.exchange.se_cuentan(&news).await?;
    let mut subjects = Vec::with_capacity(news.len());
    for at in &news {
        subjects.push(console.asunto(&at.fact).await?);
    }
    let newest = console.newest();
    console.sessions.change(&visit.token, |session| session.visto = Some(newest));
    let now = console.exchange.now();
    Ok(layout::page(
        &console,
        &visit,
        "Novedades",
        html! {
            h1 { "Novedades" }
            p.tenue { "Lo que llegó, lo que respondieron y lo que necesita atención." }
            @if news.is_empty() { div.vacio { p { strong { "No hay novedades." } } } }
            @else {
                ul.lista { @for ((at, told), asunto) in news.iter().zip(&told).zip(&subjects).rev() {
                    li.fila.nueva[at.cursor > visit.visto] {
                        a.principal href=(place(&visit, at).unwrap_or_default()) {
                            @if at.cursor > visit.visto { span.punto { span.oculto { "Nueva. " } } }
                            span.asunto { (asunto.as_deref().unwrap_or_else(|| words::fact(&at.fact.tipo))) }
                        }
                        p.otra {
                            @if asunto.is_some() { strong { (words::fact(&at.fact.tipo)) } }
                            @if let Some(text) = at.fact.detalle.as_deref().filter(|_| *told) { @if asunto.is_some() { ". " } (text) }
                        }
                        @if let Some(cuo) = &at.fact.cuo { p.senas { "CUO " (cuo) } }
                        p.cuando { (words::ago(at.fact.at, now)) }
                    }
                } }
            }
        },
    ))
}

/// Follows what happens for an open page: how much is new, and of what kind.
pub async fn follow(State(console): State<Console>, visit: Visit) -> Result<Response, Fault> {
    let busy = "Hay demasiadas páginas abiertas que siguen lo que pasa; esta no se actualizará sola";
    let place = console.followers.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::new(Code::ServicioOcupado, busy))?;
    let follower = Follower {
        news: console.exchange.store().watch(),
        after: console.newest(),
        console,
        visit,
        beat: Instant::now() + HEARTBEAT,
        greeted: false,
        _place: place,
    };
    let body = Body::from_stream(stream::unfold(follower, Follower::next));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // nginx gathers answers unless it is told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Places for pages that follow.
pub fn followers() -> std::sync::Arc<Semaphore> {
    std::sync::Arc::new(Semaphore::new(FOLLOWERS_MAX))
}

struct Follower {
    console: Console,
    visit: Visit,
    news: watch::Receiver<Seq>,
    after: Cursor,
    beat: Instant,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next piece; `None` ends the stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let stop = self.console.stop.clone();
        let text = tokio::select! {
            () = stop.cancelled() => None,
            text = self.text() => text,
        };
        text.map(|text| (Ok(text.into()), self))
    }

    async fn text(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(format!("retry: 5000\n\n{}", self.count().await?));
        }
        loop {
            self.news.borrow_and_update();
            let found = self.console.exchange.store().facts(self.after, Some(&self.visit.entidad), 200).await.ok()?;
            if let Some(last) = found.last() {
                self.after = last.cursor;
                let kinds: std::collections::BTreeSet<&str> =
                    found.iter().filter_map(|at| at.fact.tipo.split('.').next()).collect();
                let subjects: std::collections::BTreeSet<String> =
                    found.iter().map(|at| at.fact.sujeto.to_string()).collect();
                let words: Vec<&str> = kinds.into_iter().chain(subjects.iter().map(String::as_str)).collect();
                let told = format!("event: cambio\ndata: {}\n\n{}", words.join(" "), self.count().await?);
                sleep(PAUSE).await;
                return Some(told);
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = sleep_until(self.beat) => {
                    self.beat = Instant::now() + HEARTBEAT;
                    return self.still_in().await.then(|| ": latido\n\n".to_owned());
                }
            }
            if !self.console.sessions.lasts(&self.visit.token, self.console.exchange.uptime()) {
                return None;
            }
            // Many commits at once are one piece of news.
            sleep(PAUSE).await;
        }
    }

    /// Whether the session goes on: a page that follows keeps none alive.
    async fn still_in(&self) -> bool {
        let session = self.console.sessions.peek(&self.visit.token, self.console.exchange.uptime());
        let Some(session) = session else { return false };
        let person = self.console.exchange.store().usuario(session.usuario).await.ok().flatten();
        person.is_some_and(|person| session.is_of(&person))
    }

    async fn count(&self) -> Option<String> {
        let session = self.console.sessions.peek(&self.visit.token, self.console.exchange.uptime())?;
        let seen = session.visto.unwrap_or_default();
        let news = self.console.news(&self.visit).await.ok()?;
        let count = news.iter().filter(|at| at.cursor > seen).count();
        Some(format!("event: novedades\ndata: {count}\n\n"))
    }
}
