//! The keys of the index: one letter for the kind, then fixed-length fields, so that they sort as they are listed. Records
//! and facts stay in the journal; the index knows where.

use super::placement::{self, Placed};
use crate::{
    domain::{Cuo, Id, Ruc, Sha256},
    store::{Cursor, Kept, Record, Seq, UniqueKey},
};

/// The highest entry applied.
pub const APPLIED: &[u8] = b"mapplied";
/// Where the next small document will lie.
pub const PACK_END: &[u8] = b"mpack";
/// The layout of the index; another one means a rebuild.
pub const FORMAT: &[u8] = b"mformat";
pub const FORMAT_VALUE: &[u8] = b"8";

pub const RECORDS: &[u8] = b"r";
pub const API_KEYS: &[u8] = b"k";
pub const USUARIOS: &[u8] = b"y";
pub const JOBS: &[u8] = b"j";
pub const ENTRIES: &[u8] = b"e";

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub fn record(id: Id) -> Vec<u8> {
    key(b'r', &[id.as_bytes()])
}

pub fn unique(unique: &UniqueKey) -> Vec<u8> {
    key(b'u', &[&unique.digest()])
}

/// Arrivals under a CUO, by id.
pub fn arrivals(entidad: &Ruc, cuo: &Cuo) -> Vec<u8> {
    key(b'c', &[entidad.as_str().as_bytes(), cuo.clave().as_bytes()])
}

/// The records of an entity, by id: despachos or recepciones, in one state if given.
pub fn listing(kind: Listed, entidad: &Ruc, estado: Option<&str>) -> Vec<u8> {
    let all = kind as u8;
    match estado {
        None => key(all, &[entidad.as_str().as_bytes()]),
        Some(estado) => key(all.to_ascii_uppercase(), &[entidad.as_str().as_bytes(), estado.as_bytes(), &[0]]),
    }
}

/// The records of an entity under a number of registration, by id. A number's length has no bound: its digest stands for it.
pub fn numbered(kind: Listed, entidad: &Ruc, numero: &str) -> Vec<u8> {
    let digest = placement::digest(numero.as_bytes()).digest();
    key(b'n', &[&[kind as u8], entidad.as_str().as_bytes(), &digest])
}

/// The number of registration that a record is found under.
pub fn numero(record: &Record) -> Option<&str> {
    match record {
        Record::Despacho(d) => Some(&d.numero_registro),
        Record::Recepcion(r) => r.numero_registro.as_deref(),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Listed {
    Despachos = b'd' as isize,
    Recepciones = b'p' as isize,
}

impl Listed {
    /// The list of those that are not purged.
    pub fn kept(self) -> Kept {
        match self {
            Self::Despachos => Kept::Despachos,
            Self::Recepciones => Kept::Recepciones,
        }
    }
}

/// How a record is listed: its kind, entity and state.
pub fn listed(record: &Record) -> Option<(Listed, &Ruc, &'static str)> {
    match record {
        Record::Despacho(d) => Some((Listed::Despachos, &d.entidad, d.estado.palabra())),
        Record::Recepcion(r) => Some((Listed::Recepciones, &r.entidad, r.estado.palabra())),
        Record::ApiKey(_)
        | Record::Idempotencia(_)
        | Record::Directorio(_)
        | Record::Textos(_)
        | Record::Avisos(_)
        | Record::Webhook(_)
        | Record::Usuario(_) => None,
    }
}

/// The exchanges that are not purged, those that are, and those under a hold; by id.
pub fn kept(which: Kept) -> Vec<u8> {
    key(
        b'q',
        &[match which {
            Kept::Despachos => b"d",
            Kept::Recepciones => b"p",
            Kept::Held => b"h",
            Kept::Purged => b"z",
        }],
    )
}

/// Who names a document, by id.
pub fn naming(sha256: &Sha256) -> Vec<u8> {
    key(b'w', &[&sha256.digest()])
}

/// A document that was purged: the entry that says so.
pub fn purged(sha256: &Sha256) -> Vec<u8> {
    key(b't', &[&sha256.digest()])
}

/// Bytes that an entry purged and that may still be on the disk: digest and place. Not a matter of the journal alone: they go
/// when they are gone.
pub const ERASING: &[u8] = b"x";

pub fn erasing(placed: &Placed) -> Vec<u8> {
    key(b'x', &[&placed.sha256.digest(), &placed.to_value()])
}

/// The place in a key of [`erasing`].
pub fn erasing_of(key: &[u8]) -> Option<Placed> {
    let (sha256, place) = key.get(1..)?.split_first_chunk::<32>()?;
    Placed::from_value(&Sha256::from_digest(sha256), place)
}

/// A line of [`tally`](crate::store::tally), by its own key.
pub fn line(of: &[u8]) -> Vec<u8> {
    key(b'o', &[of])
}

pub fn api_key(id: Id) -> Vec<u8> {
    key(b'k', &[id.as_bytes()])
}

pub fn usuario(id: Id) -> Vec<u8> {
    key(b'y', &[id.as_bytes()])
}

pub fn job(id: Id) -> Vec<u8> {
    key(b'j', &[id.as_bytes()])
}

/// Where an entry stands in the journal.
pub fn entry(seq: Seq) -> Vec<u8> {
    key(b'e', &[&seq.to_be_bytes()])
}

pub fn facts_of(subject: Id) -> Vec<u8> {
    key(b's', &[subject.as_bytes()])
}

pub fn facts_in(entidad: &Ruc) -> Vec<u8> {
    key(b'g', &[entidad.as_str().as_bytes()])
}

pub fn document(sha256: &Sha256) -> Vec<u8> {
    key(b'b', &[&sha256.digest()])
}

/// A key of a list with an id or a place in the feed at its end.
pub fn with(mut prefix: Vec<u8>, end: &[u8]) -> Vec<u8> {
    prefix.extend_from_slice(end);
    prefix
}

/// A place in the feed, in order.
pub fn place(at: Cursor) -> [u8; 9] {
    let mut bytes = [0; 9];
    let (seq, n) = bytes.split_at_mut(8);
    seq.copy_from_slice(&at.seq.to_be_bytes());
    n.copy_from_slice(&[at.n]);
    bytes
}

/// The id at the end of a key.
pub fn id_of(key: &[u8]) -> Option<Id> {
    key.last_chunk::<16>().map(|bytes| Id::from_bytes(*bytes))
}

/// The number at the end of a key of [`entry`].
pub fn seq_of(key: &[u8]) -> Option<Seq> {
    key.last_chunk::<8>().map(|bytes| Seq::from_be_bytes(*bytes))
}

/// The place in the feed at the end of a key.
pub fn cursor_of(key: &[u8]) -> Option<Cursor> {
    let (seq, n) = key.last_chunk::<9>()?.split_first_chunk::<8>()?;
    Some(Cursor { seq: Seq::from_be_bytes(*seq), n: *n.first()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_sort_by_place() {
        let id = Id::from_u128(9);
        let (a, b) = (Cursor { seq: 255, n: 9 }, Cursor { seq: 256, n: 0 });
        let key = |at| with(facts_of(id), &place(at));
        assert!(key(a) < key(b) && entry(255) < entry(256));
        assert_eq!((cursor_of(&key(b)), seq_of(&entry(256))), (Some(b), Some(256)));
    }

    #[test]
    fn parts_of_a_unique_key_do_not_run_into_each_other() {
        let ruc = |text: &str| Ruc::de_contraparte(text).unwrap();
        let (one, other) = (ruc("20131312955"), ruc("20168999926"));
        let numero = |entidad: &Ruc, numero: &str, destino: &Ruc| {
            let (entidad, destino) = (entidad.clone(), destino.clone());
            unique(&UniqueKey::NumeroRegistro { entidad, numero: numero.into(), destino })
        };
        assert_ne!(numero(&one, "1", &other), numero(&one, "12", &other));
        assert_ne!(numero(&one, "1", &other), numero(&other, "1", &one));
    }
}
