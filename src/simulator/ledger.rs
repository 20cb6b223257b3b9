//! What the simulator has seen, request by request: an account from outside that a test, or a team, compares with what
//! both entities hold. In memory, the newest only.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{faults::About, request::Said};
use crate::domain::lima;

/// Requests remembered; the oldest is forgotten first.
const OPERACIONES_MAX: usize = 20_000;
/// Longest text kept of what a message states, in characters.
const TEXT_MAX: usize = 300;

/// One request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Counts requests from 1; given by [`Ledger::add`].
    pub n: u64,
    pub fecha: Timestamp,
    pub about: About,
    /// Of the document or cargo in the request.
    pub sha256: Option<String>,
    pub bytes: Option<u64>,
    /// Faults that struck it.
    pub fallas: Vec<&'static str>,
    /// What the receiver answered to each delivery; none if there was no delivery.
    pub entregas: Vec<Answer>,
    /// What the caller was told; `None` if it got no answer it could read.
    pub respuesta: Option<Answer>,
    /// Until it was delivered.
    pub milisegundos: u64,
}

/// The words of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub vcodres: Option<String>,
    pub vdesres: Option<String>,
}

impl Answer {
    pub fn of(said: &Said) -> Self {
        let (vcodres, vdesres) = said.words();
        Self { vcodres, vdesres: vdesres.map(|text| short(&text)) }
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Operation", 12)?;
        map.serialize_field("n", &self.n)?;
        map.serialize_field("fecha", &lima::texto(self.fecha))?;
        map.serialize_field("operacion", &self.about.operacion)?;
        map.serialize_field("cuo", &self.about.cuo)?;
        map.serialize_field("de", &self.about.de)?;
        map.serialize_field("a", &self.about.a)?;
        map.serialize_field("sha256", &self.sha256)?;
        map.serialize_field("bytes", &self.bytes)?;
        map.serialize_field("fallas", &self.fallas)?;
        map.serialize_field("entregas", &self.entregas)?;
        map.serialize_field("respuesta", &self.respuesta)?;
        map.serialize_field("milisegundos", &self.milisegundos)?;
        map.end()
    }
}

#[derive(Default)]
pub struct Ledger(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    operations: VecDeque<Operation>,
    last: u64,
}

impl Ledger {
    pub fn add(&self, mut operation: Operation) {
        let About { de, a, cuo, .. } = &mut operation.about;
        for text in [de, a, cuo] {
            *text = short(text);
        }
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last += 1;
        operation.n = inner.last;
        inner.operations.push_back(operation);
        if inner.operations.len() > OPERACIONES_MAX {
            inner.operations.pop_front();
        }
    }

    /// At most `limit` requests after number `after`, of one CUO if it is given, oldest first; and the number of the last
    /// one of all.
    pub fn after(&self, after: u64, limit: usize, cuo: Option<&str>) -> (Vec<Operation>, u64) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = inner.operations.partition_point(|o| o.n <= after);
        let of = |o: &&Operation| cuo.is_none_or(|cuo| o.about.cuo == cuo);
        (inner.operations.range(begin..).filter(of).take(limit).cloned().collect(), inner.last)
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::faults::Operacion;

    #[test]
    fn it_is_read_in_pages_and_forgets_its_oldest() {
        let ledger = Ledger::default();
        for n in 0..(OPERACIONES_MAX + 10) {
            let about =
                About { operacion: Operacion::Cargo, de: "x".repeat(900), a: String::new(), cuo: n.to_string() };
            ledger.add(Operation {
                n: 0,
                fecha: Timestamp::UNIX_EPOCH,
                about,
                sha256: None,
                bytes: None,
                fallas: vec![],
                entregas: vec![],
                respuesta: None,
                milisegundos: 1,
            });
        }
        let (first, last) = ledger.after(0, 2, None);
        assert_eq!((first.len(), first[0].n, last), (2, 11, OPERACIONES_MAX as u64 + 10));
        assert_eq!(first[0].about.de.len(), TEXT_MAX);
        assert_eq!(ledger.after(last - 1, 100, None).0.len(), 1);
        assert_eq!(ledger.after(0, 100, Some("500")).0[0].n, 501);
    }
}
