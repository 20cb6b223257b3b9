//! Who is signed in, and how long somebody who failed must wait.
//!
//! Sessions live in memory: they end with the process, so none outlives what it was judged by, and a copy of the data opens no
//! door. Each remembers the version of its person's record and ends when that changes: another password, another role or a
//! disabled account end every session at the next request. Only the digest of a token is kept.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ring::digest;

use crate::{
    domain::{Id, Ruc},
    store::{Cursor, Usuario},
};

/// A session without a request ends after this; a page that follows what happens keeps none alive.
pub const IDLE_MAX: Duration = Duration::from_secs(2 * 60 * 60);
/// No session is longer: a working day.
pub const TOTAL_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions of one person at once; one more ends the oldest.
pub const PER_PERSON_MAX: usize = 8;
/// Sessions in all.
pub const OPEN_MAX: usize = 4096;

/// Failed attempts that cost no wait: of an account from one address, of an address, of an account from anywhere.
const FREE: [u32; 3] = [4, 20, 40];
/// The first wait; each further failure doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(5);
pub const WAIT_MAX: Duration = Duration::from_secs(15 * 60);
/// Failures are forgotten this long after the last.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);
/// Failures remembered at once.
const REMEMBERED_MAX: usize = 8192;

/// One sign-in, as long as it lasts.
#[derive(Debug, Clone)]
pub struct Session {
    pub usuario: Id,
    version: u32,
    /// What every form of this session carries.
    pub csrf: String,
    /// The entity a person of several has chosen to see.
    pub entidad: Option<Ruc>,
    /// Up to where the person has looked at the news.
    pub visto: Option<Cursor>,
    began: Duration,
    seen: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Pair(String, Option<IpAddr>),
    Address(Option<IpAddr>),
    Account(String),
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    failed: u32,
    last: Duration,
}

#[derive(Debug, Default)]
struct Known {
    open: HashMap<[u8; 32], Session>,
    tries: HashMap<Who, Tries>,
}

/// Clones share them. Times are those of a clock that nobody sets.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<Known>>);

/// By what a token is known here.
fn mark(token: &str) -> [u8; 32] {
    let mut mark = [0; 32];
    mark.iter_mut().zip(digest::digest(&digest::SHA256, token.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    mark
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Sessions {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one; `secrets` are two that nobody can guess. Returns its token, which is kept nowhere.
    pub fn open(&self, usuario: &Usuario, visto: Cursor, secrets: [[u8; 32]; 2], now: Duration) -> String {
        let [token, csrf] = secrets.map(|secret| hex(&secret));
        let mut known = self.known();
        known.open.retain(|_, session| session.lasts(now));
        while known.open.values().filter(|session| session.usuario == usuario.id).count() >= PER_PERSON_MAX {
            known.end_oldest(Some(usuario.id));
        }
        if known.open.len() >= OPEN_MAX {
            known.end_oldest(None);
        }
        let session = Session {
            usuario: usuario.id,
            version: usuario.version,
            csrf,
            entidad: None,
            visto: Some(visto),
            began: now,
            seen: now,
        };
        known.open.insert(mark(&token), session);
        token
    }

    /// The session of a token, if it lasts.
    pub fn find(&self, token: &str, now: Duration) -> Option<Session> {
        let mut known = self.known();
        let session = known.open.get_mut(&mark(token)).filter(|session| session.lasts(now))?;
        session.seen = now;
        Some(session.clone())
    }

    /// The same, without its being a sign of life.
    pub fn peek(&self, token: &str, now: Duration) -> Option<Session> {
        self.known().open.get(&mark(token)).filter(|session| session.lasts(now)).cloned()
    }

    /// Whether a session goes on.
    pub fn lasts(&self, token: &str, now: Duration) -> bool {
        self.peek(token, now).is_some()
    }

    /// Changes what a session remembers.
    pub fn change(&self, token: &str, change: impl FnOnce(&mut Session)) {
        if let Some(session) = self.known().open.get_mut(&mark(token)) {
            change(session);
        }
    }

    /// The person's record changed by the session's own doing: this one goes on, others end.
    pub fn renewed(&self, token: &str, usuario: &Usuario) {
        let own = mark(token);
        let mut known = self.known();
        known.open.retain(|mark, session| session.usuario != usuario.id || *mark == own);
        if let Some(session) = known.open.get_mut(&own) {
            session.version = usuario.version;
        }
    }

    pub fn close(&self, token: &str) {
        self.known().open.remove(&mark(token));
    }

    /// How long this caller must wait before another attempt.
    pub fn wait(&self, cuenta: &str, address: Option<IpAddr>, now: Duration) -> Option<Duration> {
        let known = self.known();
        let left = |(who, free): (Who, u32)| {
            let tries = known.tries.get(&who)?;
            let over = tries.failed.checked_sub(free)?;
            let wait = WAIT_FIRST.saturating_mul(1_u32.checked_shl(over).unwrap_or(u32::MAX)).min(WAIT_MAX);
            (tries.last + wait).checked_sub(now).filter(|left| !left.is_zero())
        };
        whom(cuenta, address).into_iter().zip(FREE).filter_map(left).max()
    }

    /// An attempt failed.
    pub fn failed(&self, cuenta: &str, address: Option<IpAddr>, now: Duration) {
        let mut known = self.known();
        if known.tries.len() + 3 > REMEMBERED_MAX {
            known.tries.retain(|_, tries| tries.last + FORGOTTEN > now);
        }
        if known.tries.len() + 3 > REMEMBERED_MAX {
            // Somebody tries one account after another: what is known of addresses is worth more than of accounts.
            known.tries.retain(|who, _| matches!(who, Who::Address(_)));
        }
        for who in whom(cuenta, address) {
            let tries = known.tries.entry(who).or_insert(Tries { failed: 0, last: now });
            if tries.last + FORGOTTEN <= now {
                tries.failed = 0;
            }
            *tries = Tries { failed: tries.failed.saturating_add(1), last: now };
        }
    }

    /// An attempt succeeded: what this account failed from this address is forgotten.
    pub fn succeeded(&self, cuenta: &str, address: Option<IpAddr>) {
        let mut known = self.known();
        known.tries.remove(&Who::Pair(cuenta.to_owned(), address));
        known.tries.remove(&Who::Account(cuenta.to_owned()));
    }
}

fn whom(cuenta: &str, address: Option<IpAddr>) -> [Who; 3] {
    [Who::Pair(cuenta.to_owned(), address), Who::Address(address), Who::Account(cuenta.to_owned())]
}

impl Session {
    fn lasts(&self, now: Duration) -> bool {
        now < self.began + TOTAL_MAX && now < self.seen + IDLE_MAX
    }

    /// Whether it is still of this person as the record is now.
    pub fn is_of(&self, usuario: &Usuario) -> bool {
        self.usuario == usuario.id && self.version == usuario.version && usuario.deshabilitado_en.is_none()
    }
}

impl Known {
    fn end_oldest(&mut self, of: Option<Id>) {
        let those = self.open.iter().filter(|(_, session)| of.is_none_or(|id| session.usuario == id));
        if let Some(oldest) = those.min_by_key(|(_, session)| session.seen).map(|(mark, _)| *mark) {
            self.open.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::usuario;

    const MINUTE: Duration = Duration::from_secs(60);

    fn open(sessions: &Sessions, person: &Usuario, n: u8, now: Duration) -> String {
        sessions.open(person, Cursor::default(), [[n; 32], [n.wrapping_add(100); 32]], now)
    }

    #[test]
    fn a_session_ends_when_idle_when_long_and_when_its_person_changes() {
        let (sessions, mut rosa) = (Sessions::default(), usuario("rosa"));
        let token = open(&sessions, &rosa, 1, Duration::ZERO);
        assert!(sessions.find("otra", MINUTE).is_none());
        let found = sessions.find(&token, MINUTE).unwrap();
        assert!(found.is_of(&rosa));
        rosa.version += 1;
        assert!(!found.is_of(&rosa));
        assert!(sessions.find(&token, MINUTE + IDLE_MAX).is_none(), "idle");
        let mut now = Duration::ZERO;
        let token = open(&sessions, &rosa, 2, now);
        while now + MINUTE < TOTAL_MAX {
            now += MINUTE;
            assert!(sessions.find(&token, now).is_some());
        }
        assert!(sessions.find(&token, TOTAL_MAX).is_none(), "a day");
    }

    #[test]
    fn one_session_too_many_ends_the_oldest_and_another_password_all_others() {
        let (sessions, rosa) = (Sessions::default(), usuario("rosa"));
        let tokens: Vec<String> = (0..9).map(|n| open(&sessions, &rosa, n, MINUTE * n.into())).collect();
        let now = MINUTE * 10;
        assert!(sessions.find(&tokens[0], now).is_none() && sessions.find(&tokens[1], now).is_some());
        sessions.renewed(&tokens[8], &Usuario { version: 2, ..rosa.clone() });
        assert!(sessions.find(&tokens[1], now).is_none());
        assert!(sessions.find(&tokens[8], now).unwrap().is_of(&Usuario { version: 2, ..rosa }));
    }

    #[test]
    fn failures_cost_a_wait_that_doubles_and_has_an_end_and_success_forgets_them() {
        let (sessions, here) = (Sessions::default(), Some(IpAddr::from([10, 0, 0, 1])));
        let elsewhere = Some(IpAddr::from([10, 0, 0, 2]));
        for _ in 0..3 {
            sessions.failed("rosa", here, MINUTE);
        }
        assert_eq!(sessions.wait("rosa", here, MINUTE), None);
        let mut waits = Vec::new();
        for _ in 0..12 {
            sessions.failed("rosa", here, MINUTE);
            waits.extend(sessions.wait("rosa", here, MINUTE));
        }
        assert_eq!(waits[..3], [5, 10, 20].map(Duration::from_secs));
        assert_eq!(waits[11], WAIT_MAX);
        assert_eq!(sessions.wait("rosa", elsewhere, MINUTE), None, "she can enter from her own desk");
        assert_eq!(sessions.wait("rosa", here, MINUTE + WAIT_MAX), None);
        sessions.succeeded("rosa", here);
        assert_eq!(sessions.wait("rosa", here, MINUTE), None);
        for n in 0..30 {
            sessions.failed(&format!("persona{n}"), here, MINUTE);
        }
        assert!(sessions.wait("otra", here, MINUTE).is_some(), "one address tries everybody");
    }
}
