//! How many exchanges there are by the day of their making and by counterpart, in which states, and how long their cargos
//! took. Both stores keep these lines in the commit that changes a record, so that statistics read a few lines and not every
//! record. Here is what a record counts as, and the bytes of lines and their keys; where they lie is each store's affair.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Record;
use crate::domain::{Despacho, EstadoDespacho, EstadoRecepcion, Recepcion, Ruc, lima};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Despachos,
    Recepciones,
}

/// The states that are told apart: those of a despacho, of which a recepcion has three.
pub const STATES: usize = EstadoDespacho::TODOS.len();

/// Which lines of an entity are wanted: of the days of Lima from the first to the last, both too.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    pub entidad: &'a Ruc,
    pub kind: Kind,
    /// In days since 1970.
    pub days: (u32, u32),
    /// One for each counterpart of a day, or one for each day.
    pub by_counterpart: bool,
}

/// Exchanges of one day, or of one day and counterpart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub day: u32,
    pub counterpart: Option<Ruc>,
    pub counts: Counts,
}

/// How many exchanges are in each state, and how long their cargos took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    states: [u32; STATES],
    /// Cargos by [`class`].
    spans: BTreeMap<u16, u32>,
}

/// What one exchange counts as. Its entity and kind never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    pub kind: Kind,
    pub day: u32,
    pub counterpart: Ruc,
    state: u8,
    span: Option<u16>,
}

/// Bytes of a tally: kind, state, class of the time, day, counterpart.
const TALLY_BYTES: usize = 8;
const NO_SPAN: u16 = u16::MAX;
/// Classes have this many to each doubling: what is told of a time is at most 3 % off.
const PER_DOUBLING: u64 = 16;
const SECONDS_IN_A_DAY: i64 = 86_400;

/// The day of Lima, in days since 1970.
pub fn day_of(at: Timestamp) -> u32 {
    let midnight = lima::inicio_del_dia(at);
    u32::try_from(midnight.as_second().div_euclid(SECONDS_IN_A_DAY)).unwrap_or(0)
}

/// When a day of Lima begins.
pub fn beginning_of(day: u32) -> Timestamp {
    let noon = i64::from(day) * SECONDS_IN_A_DAY + SECONDS_IN_A_DAY / 2;
    Timestamp::from_second(noon).map_or(Timestamp::MAX, lima::inicio_del_dia)
}

/// The class of a time in seconds: exact below 32, then 16 to each doubling.
fn class(seconds: u64) -> u16 {
    let seconds = seconds.min(u64::from(u32::MAX));
    let Some(doublings) = u64::from(seconds.checked_ilog2().unwrap_or(0)).checked_sub(5) else {
        return u16::try_from(seconds).unwrap_or(NO_SPAN);
    };
    let within = (seconds >> (doublings + 1)) & (PER_DOUBLING - 1);
    u16::try_from(2 * PER_DOUBLING + doublings * PER_DOUBLING + within).unwrap_or(NO_SPAN)
}

/// The middle of a class, in seconds.
pub fn seconds_in(class: u16) -> u64 {
    let class = u64::from(class);
    let Some(beyond) = class.checked_sub(2 * PER_DOUBLING) else { return class };
    let (shift, within) = (beyond / PER_DOUBLING + 1, beyond % PER_DOUBLING);
    if shift > 30 {
        return u64::from(u32::MAX);
    }
    ((PER_DOUBLING + within) << shift) + (1 << shift) / 2
}

fn span(from: Timestamp, to: Timestamp) -> u16 {
    class(u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0))
}

impl Tally {
    /// What a record counts as, if it is an exchange.
    pub fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Despacho(despacho) => Some(despacho.as_ref().into()),
            Record::Recepcion(recepcion) => Some(recepcion.as_ref().into()),
            _ => None,
        }
    }

    /// As it is kept beside the record, to be taken back when that changes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind.letter(), self.state];
        bytes.extend_from_slice(&self.span.unwrap_or(NO_SPAN).to_le_bytes());
        bytes.extend_from_slice(&self.day.to_le_bytes());
        bytes.extend_from_slice(self.counterpart.as_str().as_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, counterpart) = bytes.split_first_chunk::<TALLY_BYTES>()?;
        let [kind, state, a, b, day @ ..] = *head;
        let span = Some(u16::from_le_bytes([a, b])).filter(|span| *span != NO_SPAN);
        let counterpart = Ruc::de_contraparte(std::str::from_utf8(counterpart).ok()?).ok()?;
        Some(Self { kind: Kind::of(kind)?, day: u32::from_le_bytes(day), counterpart, state, span })
    }

    /// The lines that it counts in.
    pub fn keys(&self, entidad: &Ruc) -> [Vec<u8>; 2] {
        let mut by_counterpart = prefix(entidad, self.kind, true);
        by_counterpart.extend_from_slice(&self.day.to_be_bytes());
        by_counterpart.extend_from_slice(self.counterpart.as_str().as_bytes());
        let mut by_day = prefix(entidad, self.kind, false);
        by_day.extend_from_slice(&self.day.to_be_bytes());
        [by_day, by_counterpart]
    }
}

impl From<&Despacho> for Tally {
    fn from(d: &Despacho) -> Self {
        // The cargo was the last that happened to it; what is being corrected was touched afterwards.
        let answered = matches!(d.estado, EstadoDespacho::Recepcionado | EstadoDespacho::Observado);
        let sent = d.enviado_en.filter(|_| answered && d.subsanado_por.is_none());
        let state = EstadoDespacho::TODOS.iter().position(|estado| *estado == d.estado);
        Self {
            kind: Kind::Despachos,
            day: day_of(d.creado_en),
            counterpart: d.destino.clone(),
            state: place(state),
            span: sent.map(|from| span(from, d.actualizado_en)),
        }
    }
}

impl From<&Recepcion> for Tally {
    fn from(r: &Recepcion) -> Self {
        let state = EstadoRecepcion::TODOS.iter().position(|estado| *estado == r.estado);
        Self {
            kind: Kind::Recepciones,
            day: day_of(r.recibido_en),
            counterpart: r.remitente.ruc.clone(),
            state: place(state),
            span: r.cargo_entregado_en.map(|to| span(r.recibido_en, to)),
        }
    }
}

fn place(position: Option<usize>) -> u8 {
    position.and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX)
}

impl Kind {
    fn letter(self) -> u8 {
        match self {
            Self::Despachos => b'd',
            Self::Recepciones => b'p',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        [Self::Despachos, Self::Recepciones].into_iter().find(|kind| kind.letter() == letter)
    }
}

fn prefix(entidad: &Ruc, kind: Kind, by_counterpart: bool) -> Vec<u8> {
    let mut key = vec![if by_counterpart { b'c' } else { b'd' }, kind.letter()];
    key.extend_from_slice(entidad.as_str().as_bytes());
    key
}

impl Lines<'_> {
    /// What the keys of all these lines begin with.
    pub fn prefix(&self) -> Vec<u8> {
        prefix(self.entidad, self.kind, self.by_counterpart)
    }

    /// The keys of these lines are between these two.
    pub fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let at = |day: u32| [self.prefix(), day.to_be_bytes().to_vec()].concat();
        // Behind every counterpart of the day before.
        let before = self.days.0.checked_sub(1).map(|day| [at(day), vec![u8::MAX; 12]].concat());
        (before.unwrap_or_else(|| self.prefix()), at(self.days.1.saturating_add(1)))
    }

    /// A line as it is kept. `None`: it does not read back.
    pub fn line(&self, key: &[u8], value: &[u8]) -> Option<Line> {
        let rest = key.get(self.prefix().len()..)?;
        let (day, counterpart) = rest.split_first_chunk::<4>()?;
        let counterpart = match counterpart {
            [] => None,
            ruc => Some(Ruc::de_contraparte(std::str::from_utf8(ruc).ok()?).ok()?),
        };
        Some(Line { day: u32::from_be_bytes(*day), counterpart, counts: Counts::from_bytes(value)? })
    }
}

impl Counts {
    pub fn add(&mut self, tally: &Tally) {
        if let Some(count) = self.states.get_mut(usize::from(tally.state)) {
            *count = count.saturating_add(1);
        }
        if let Some(span) = tally.span {
            let count = self.spans.entry(span).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub fn take(&mut self, tally: &Tally) {
        if let Some(count) = self.states.get_mut(usize::from(tally.state)) {
            *count = count.saturating_sub(1);
        }
        if let Some(span) = tally.span
            && let Some(count) = self.spans.get_mut(&span)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.spans.remove(&span);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.states.iter().all(|count| *count == 0)
    }

    pub fn despachos(&self, estado: EstadoDespacho) -> u64 {
        self.state(EstadoDespacho::TODOS.iter().position(|one| *one == estado))
    }

    pub fn recepciones(&self, estado: EstadoRecepcion) -> u64 {
        self.state(EstadoRecepcion::TODOS.iter().position(|one| *one == estado))
    }

    fn state(&self, position: Option<usize>) -> u64 {
        position.and_then(|n| self.states.get(n)).copied().map_or(0, u64::from)
    }

    /// Cargos by class of their time, the quickest first.
    pub fn spans(&self) -> impl Iterator<Item = (u16, u64)> {
        self.spans.iter().map(|(class, count)| (*class, u64::from(*count)))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let states = self.states.iter().flat_map(|count| count.to_le_bytes());
        let spans = self.spans.iter().flat_map(|(class, count)| {
            let [a, b] = class.to_le_bytes();
            let [c, d, e, f] = count.to_le_bytes();
            [a, b, c, d, e, f]
        });
        states.chain(spans).collect()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (states, spans) = bytes.split_at_checked(STATES * 4)?;
        let (states, spans) = (states.as_chunks::<4>().0, spans.as_chunks::<6>());
        let mut counts = Self::default();
        for (count, bytes) in counts.states.iter_mut().zip(states) {
            *count = u32::from_le_bytes(*bytes);
        }
        let (spans, []) = spans else { return None };
        counts.spans = spans
            .iter()
            .map(|[a, b, c, d, e, f]| (u16::from_le_bytes([*a, *b]), u32::from_le_bytes([*c, *d, *e, *f])))
            .collect();
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn a_time_is_told_within_three_in_a_hundred() {
        let mut last = 0;
        for seconds in (0..5_000).chain((5_000..40_000_000).step_by(997)) {
            let class = class(seconds);
            assert!(class >= last, "{seconds}");
            last = class;
            assert!(seconds_in(class).abs_diff(seconds) * 100 <= seconds * 32 / 10, "{seconds}: {}", seconds_in(class));
        }
        assert!(seconds_in(class(u64::MAX)) > 4_000_000_000 && class(u64::MAX) < NO_SPAN);
    }

    #[test]
    fn what_is_kept_reads_back_and_taken_back_leaves_nothing() {
        let received = samples::recepcion(samples::cuo(1), samples::ruc(2), samples::documento_de_nada());
        let tally = Tally::from(&Recepcion { cargo_entregado_en: Some(samples::at(7_200)), ..received });
        assert_eq!(Tally::from_bytes(&tally.to_bytes()).as_ref(), Some(&tally));
        let mut counts = Counts::default();
        counts.add(&tally);
        counts.add(&tally);
        assert_eq!(Counts::from_bytes(&counts.to_bytes()).as_ref(), Some(&counts));
        assert_eq!(counts.spans().map(|(_, n)| n).sum::<u64>(), 2);
        counts.take(&tally);
        counts.take(&tally);
        assert_eq!((counts.is_empty(), counts), (true, Counts::default()));
        assert!(Tally::from_bytes(b"d").is_none() && Counts::from_bytes(&[0; STATES * 4 + 1]).is_none());
    }

    #[test]
    fn days_are_those_of_lima() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let day = day_of(at("2026-11-21T04:59:59Z"));
        assert_eq!(day_of(at("2026-11-21T05:00:00Z")), day + 1);
        assert_eq!(beginning_of(day + 1), at("2026-11-21T05:00:00Z"));
        assert_eq!(day_of(beginning_of(day)), day);
    }
}
