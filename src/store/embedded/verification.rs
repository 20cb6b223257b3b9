//! Reading everything and comparing: every frame, every document, and for an open store its index. Only reads; needs no
//! lock, so that another process may verify a store that is in use.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    io::Read,
    ops::ControlFlow,
    path::Path,
};

use ring::digest;

use super::{
    Reading, answered, documents,
    entry::Entry,
    frame::{Frame, Read1},
    index::{Direction, IndexError},
    journal, keys,
    lookup::Lookup,
    packs,
    placement::{self, Placed},
    recovery,
    segment::{self, Place, Segment, Walker},
    shared::Shared,
    tail::{self, Tail},
    view::Stored,
};
use crate::{
    domain::{Id, Sha256},
    store::{Record, Seq, StoreError, Verification},
};

/// What is read of a large document at a time, in bytes.
const PIECE: usize = 128 * 1024;
/// Most damages named; behind them only their number.
const NAMED_MAX: usize = 1000;

/// Verifies the store in `dir`, open or not, without its lock. `progress` is told now and then how far it is.
pub fn verify_dir(dir: &Path, progress: &mut dyn FnMut(Reading)) -> Result<Verification, StoreError> {
    verify_dir_from(dir, 1, &mut |_, _, _| {}, progress)
}

/// Is shown every sound entry that is read, in order: its number, its facts and its change.
pub type Observer<'a> = dyn FnMut(Seq, &[u8], &[u8]) + 'a;

/// As [`verify_dir`], only the entries from `from` on and the documents that they brought, showing each entry to `observe`.
pub fn verify_dir_from(
    dir: &Path,
    from: Seq,
    observe: &mut Observer<'_>,
    progress: &mut dyn FnMut(Reading),
) -> Result<Verification, StoreError> {
    let acknowledged = recovery::clean_stop(dir).map_or(0, |mark| mark.last_seq).max(answered::read(dir));
    let known = Known::Apart { documents: HashMap::new(), versions: HashMap::new() };
    let mut verifier = Verifier::new(dir, known, acknowledged, None, progress, observe);
    verifier.from = from;
    verifier.unfinished = Tail::read(dir, acknowledged)?.unfinished(dir)?;
    verifier.run()
}

/// Verifies an open store, up to the last entry committed when it begins.
pub fn verify_open(shared: &Shared) -> Result<Verification, StoreError> {
    let upto = *shared.published.borrow();
    let known = Known::Open { shared, matched: 0 };
    Verifier::new(&shared.data_dir, known, upto, Some(upto), &mut |_| {}, &mut |_, _, _| {}).run()
}

/// What records and documents are compared with.
enum Known<'a> {
    /// The index; `matched` counts its records that are as the journal has them.
    Open { shared: &'a Shared, matched: u64 },
    /// What the journal said so far. Documents by the first bytes of their digests, with the last entry that brought them.
    Apart { documents: HashMap<[u8; 8], Seq>, versions: HashMap<Id, u32> },
}

struct Verifier<'a> {
    dir: &'a Path,
    known: Known<'a>,
    /// The last entry known to have been acknowledged.
    acknowledged: Seq,
    /// Where to stop.
    upto: Option<Seq>,
    /// The first entry that is looked at.
    from: Seq,
    /// The first entry that was not answered and whose documents are not there.
    unfinished: Option<Seq>,
    progress: &'a mut dyn FnMut(Reading),
    observe: &'a mut Observer<'a>,
    result: Verification,
    total: u64,
    unnamed: u64,
    /// Bytes of each pack that the journal names.
    packs: BTreeMap<u32, u64>,
    /// Documents that do not read back as they were stored.
    absent: Vec<Absent>,
    /// How many of them are there all the same.
    changed: usize,
    /// Documents that went by certificate, by the first bytes of their digests, and the last entry that says so.
    purges: HashMap<[u8; 8], Seq>,
}

/// A document that is not there, or not as it was stored.
struct Absent {
    placed: Placed,
    /// The entry that brought it.
    seq: Seq,
    /// Nothing of it is left.
    gone: bool,
    /// What was found instead; of too many only some.
    text: Option<String>,
}

impl<'a> Verifier<'a> {
    fn new(
        dir: &'a Path,
        known: Known<'a>,
        acknowledged: Seq,
        upto: Option<Seq>,
        progress: &'a mut dyn FnMut(Reading),
        observe: &'a mut Observer<'a>,
    ) -> Self {
        let (result, packs) = (Verification::default(), BTreeMap::new());
        Self {
            dir,
            known,
            acknowledged,
            upto,
            from: 1,
            unfinished: None,
            progress,
            observe,
            result,
            total: 0,
            unnamed: 0,
            packs,
            absent: Vec::new(),
            changed: 0,
            purges: HashMap::new(),
        }
    }

    fn run(mut self) -> Result<Verification, StoreError> {
        let segments = segment::list(&self.dir.join("journal"))?;
        self.total = self.length(&segments)?;
        let start = segments.iter().rposition(|s| s.first <= self.from).unwrap_or(0);
        let mut next = segments.get(start).filter(|s| s.first <= self.from).map_or(1, |s| s.first);
        for (n, segment) in segments.iter().enumerate().skip(start) {
            if self.upto.is_some_and(|upto| next > upto) {
                break;
            }
            if segment.first != next {
                self.damage(
                    segment.place(0),
                    &format!("faltan los asientos {next} a {}", segment.first.saturating_sub(1)),
                );
                next = segment.first;
            }
            self.segment(segment, n + 1 == segments.len(), &mut next)?;
        }
        if next <= self.acknowledged {
            let what = format!("faltan los asientos {next} a {}, que fueron confirmados", self.acknowledged);
            self.damage("journal, al final".into(), &what);
        }
        self.judge_absent();
        self.index_records();
        self.leftovers()?;
        if self.unnamed > 0 {
            self.result.damage.push(format!("y otros {} daños", self.unnamed));
        }
        Ok(self.result)
    }

    /// Bytes of journal, packs and documents.
    fn length(&self, segments: &[Segment]) -> Result<u64, StoreError> {
        let mut total = 0;
        for segment in segments {
            total += fs::metadata(&segment.path)?.len();
        }
        total += packs::list(&self.dir.join("packs"))?.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let documents = self.dir.join("documents");
        documents::visit(&documents, &mut |found| {
            if let Ok(sha256) = found {
                total += fs::metadata(documents::path(&documents, &sha256)).map_or(0, |m| m.len());
            }
            Ok(())
        })?;
        Ok(total)
    }

    fn damage(&mut self, place: String, what: &str) {
        self.named(format!("{place}: {what}"));
    }

    fn named(&mut self, damage: String) {
        if self.result.damage.len() < NAMED_MAX {
            self.result.damage.push(damage);
        } else {
            self.unnamed += 1;
        }
    }

    fn read(&mut self, bytes: u64) {
        self.result.bytes += bytes;
        (self.progress)(Reading { entries: self.result.entries, bytes: self.result.bytes, bytes_total: self.total });
    }

    fn segment(&mut self, segment: &Segment, newest: bool, next: &mut Seq) -> Result<(), StoreError> {
        let mut walker = match Walker::open(segment)? {
            Ok(walker) => walker,
            Err(why) => match self.resume(segment, newest, 0, next, why)? {
                Some(offset) => Walker::at(segment, offset)?,
                None => return Ok(()),
            },
        };
        let mut again = None;
        while self.upto.is_none_or(|upto| *next <= upto) {
            let step = walker.next()?;
            let why = match step.found {
                Read1::End => return Ok(()),
                // What is being written just now may have been read half: look once more.
                Read1::Bad(_) if again != Some(step.offset) => {
                    again = Some(step.offset);
                    walker.seek(step.offset)?;
                    continue;
                }
                Read1::Bad(why) => why,
                Read1::Frame(frame) if self.unfinished == Some(frame.seq) => tail::UNFINISHED,
                Read1::Frame(frame) if frame.seq == *next => {
                    self.frame(segment, step.offset, &frame)?;
                    *next += 1;
                    continue;
                }
                Read1::Frame(_) => "su número no es el que sigue",
            };
            match self.resume(segment, newest, step.offset, next, why)? {
                Some(offset) => walker.seek(offset)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Where to go on behind a bad frame; `None` if nothing follows in this segment.
    fn resume(
        &mut self,
        segment: &Segment,
        newest: bool,
        offset: u64,
        next: &mut Seq,
        why: &str,
    ) -> Result<Option<u64>, StoreError> {
        let proven = !newest || *next <= self.acknowledged || journal::proves_durable(segment, offset, *next)?;
        if !proven {
            let length = fs::metadata(&segment.path)?.len();
            let (place, bytes) = (segment.place(offset), length.saturating_sub(offset));
            self.result.remarks.push(format!("{place}: {bytes} bytes de un asiento sin terminar ({why})"));
            return Ok(None);
        }
        let mut from = offset;
        while let Some((at, frame)) = segment::find(segment, from)? {
            if frame.seq >= *next {
                let lost = match frame.seq.saturating_sub(1) {
                    last if last > *next => format!("asientos {} a {last}: {why}", *next),
                    _ => format!("asiento {}: {why}", *next),
                };
                self.damage(segment.place(offset), &lost);
                *next = frame.seq;
                return Ok(Some(at));
            }
            from = at + frame.parts.len() as u64;
        }
        self.damage(segment.place(offset), &format!("asiento {} y los que siguen en este segmento: {why}", *next));
        Ok(None)
    }

    fn frame(&mut self, segment: &Segment, offset: u64, frame: &Frame) -> Result<(), StoreError> {
        if frame.seq < self.from {
            return Ok(());
        }
        self.result.entries += 1;
        (self.observe)(frame.seq, &frame.parts.facts, &frame.parts.change);
        self.read(frame.parts.len() as u64);
        let place = || format!("{}, asiento {}", segment.place(offset), frame.seq);
        let entry = match Entry::decode(&frame.parts) {
            Ok(entry) => entry,
            Err(what) => {
                self.damage(place(), &what);
                return Ok(());
            }
        };
        if let Some(what) = self.entry_place(frame.seq, Place { segment: segment.first, offset }) {
            self.damage(place(), what);
        }
        for fact in entry.facts.iter().filter(|fact| fact.tipo == "almacen.recortado") {
            let detalle = fact.detalle.as_deref().unwrap_or_default();
            self.result.remarks.push(format!("asiento {}: {detalle}", frame.seq));
        }
        for placed in &entry.placed {
            self.document(frame.seq, placed)?;
        }
        for (record, purga) in entry.records.iter().filter_map(|record| Some((record, record.purga()?))) {
            // Later versions of what remains tell of the same purge.
            if purga.registro.version.checked_add(1) == Some(record.version()) {
                self.purges.extend(purga.borrados().map(|gone| (first_bytes(&gone.sha256), frame.seq)));
            }
        }
        for sha256 in entry.facts.iter().flat_map(|fact| &fact.sobres) {
            if !self.has_document(sha256) {
                self.damage(place(), &format!("nombra los sobres {sha256}, que no están en el almacén"));
            }
        }
        for record in &entry.records {
            for sha256 in record.documents() {
                if !self.has_document(sha256) {
                    self.damage(place(), &format!("nombra el documento {sha256}, que no está en el almacén"));
                }
            }
            if let Some(what) = self.record(frame.seq, record) {
                self.damage(place(), &format!("registro {}: {what}", record.id()));
            }
        }
        Ok(())
    }

    fn document(&mut self, seq: Seq, placed: &Placed) -> Result<(), StoreError> {
        self.result.documents += 1;
        if let Known::Apart { documents, .. } = &mut self.known {
            documents.insert(first_bytes(&placed.sha256), seq);
        }
        let checked = match placed.pack {
            Some(at) => {
                let record = packs::RECORD_HEADER as u64 + placed.bytes;
                *self.packs.entry(at.number).or_insert(packs::FILE_HEADER) += record;
                let dir = self.dir.join("packs");
                packs::read(&dir, at, &placed.sha256, placed.bytes).and_then(|body| {
                    let same = placement::digest(&body) == placed.sha256;
                    same.then_some(record).ok_or_else(|| wrong_digest(packs::place(at), &placed.sha256))
                })
            }
            None => file(&self.dir.join("documents"), placed),
        };
        match checked {
            Ok(bytes) => self.read(bytes),
            Err(StoreError::Damaged { place, what }) => {
                let gone = self.is_gone(placed)?;
                self.changed += usize::from(!gone);
                let text = (!gone && self.changed <= NAMED_MAX).then(|| format!("{place}: {what}"));
                self.absent.push(Absent { placed: placed.clone(), seq, gone, text });
            }
            Err(StoreError::Io(error)) => self.damage(format!("documento {}", placed.sha256), &error.to_string()),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Whether nothing of a document is left in its place: perhaps it was purged, which a later entry tells.
    fn is_gone(&self, placed: &Placed) -> Result<bool, StoreError> {
        Ok(match placed.pack {
            Some(at) => packs::is_erased(&self.dir.join("packs"), at, &placed.sha256, placed.bytes).unwrap_or(false),
            None => !fs::exists(documents::path(&self.dir.join("documents"), &placed.sha256))?,
        })
    }

    /// What is not as it was stored is damage, unless a certificate of a later entry says that it went.
    fn judge_absent(&mut self) {
        let (mut half, mut missing) = (0_u64, HashSet::new());
        for Absent { placed, seq, gone, text } in std::mem::take(&mut self.absent) {
            let first = first_bytes(&placed.sha256);
            let told = self.purges.get(&first).is_some_and(|purged| *purged > seq);
            if told || self.purged_since(&placed.sha256, seq) {
                self.result.purged += 1;
                half += u64::from(!gone);
                missing.insert(first);
                continue;
            }
            let place = placed.pack.map_or_else(|| documents::place(&placed.sha256), packs::place);
            let what = match placed.pack {
                Some(_) => format!("documento {}: fue borrado y ningún certificado de purga lo dice", placed.sha256),
                None => "falta el archivo y ningún certificado de purga lo dice".into(),
            };
            match text {
                Some(text) => self.named(text),
                None if gone => self.damage(place, &what),
                None => self.damage(place, &format!("documento {}: no es el que se guardó", placed.sha256)),
            }
        }
        if let Known::Apart { documents, .. } = &self.known {
            let left = |sha256: &[u8; 8], purged: &Seq| {
                !missing.contains(sha256) && documents.get(sha256).is_some_and(|placed| placed < purged)
            };
            half += self.purges.iter().filter(|(sha256, purged)| left(sha256, purged)).count() as u64;
        }
        if half > 0 {
            let text =
                format!("{half} documentos purgados todavía no se terminaron de borrar: se hace al abrir el almacén");
            self.result.remarks.push(text);
        }
    }

    /// A store in use may have purged it since the verification began.
    fn purged_since(&self, sha256: &Sha256, seq: Seq) -> bool {
        let Known::Open { shared, .. } = &self.known else { return false };
        shared.read(|lookup| lookup.purged(sha256)).is_ok_and(|purged| purged.is_some_and(|purged| purged > seq))
    }

    fn has_document(&self, sha256: &Sha256) -> bool {
        match &self.known {
            Known::Open { shared, .. } => {
                let known = |lookup: Lookup<'_>| {
                    Ok::<_, IndexError>(lookup.document(sha256)?.is_some() || lookup.purged(sha256)?.is_some())
                };
                shared.read(known).unwrap_or(false)
            }
            // An earlier entry than those looked at may have brought it.
            Known::Apart { documents, .. } => self.from > 1 || documents.contains_key(&first_bytes(sha256)),
        }
    }

    /// What is wrong with a record, if anything.
    fn record(&mut self, seq: Seq, record: &Record) -> Option<String> {
        match &mut self.known {
            Known::Apart { versions, .. } => {
                // What came before the first entry that is looked at is not known.
                let unknown = if self.from > 1 { record.version().saturating_sub(1) } else { 0 };
                let before = versions.insert(record.id(), record.version()).unwrap_or(unknown);
                let expected = before.checked_add(1) == Some(record.version());
                (!expected).then(|| format!("su versión es {} y la anterior era {before}", record.version()))
            }
            Known::Open { shared, matched } => match shared.read(|lookup| lookup.stored(record.id())) {
                Err(error) => Some(format!("el índice no se puede leer: {error}")),
                Ok(None) => Some("falta en el índice".into()),
                Ok(Some(stored)) if stored.seq < seq => Some("el índice tiene una versión anterior".into()),
                Ok(Some(stored)) if stored.seq == seq => {
                    *matched += 1;
                    let same = stored.version == record.version();
                    (!same).then(|| format!("su versión es {} y el índice dice {}", record.version(), stored.version))
                }
                Ok(Some(_)) => None,
            },
        }
    }

    /// What is wrong with what the index says of an entry, if anything.
    fn entry_place(&self, seq: Seq, place: Place) -> Option<&'static str> {
        let Known::Open { shared, .. } = &self.known else { return None };
        match shared.read(|lookup| lookup.place(seq)) {
            Ok(Some(found)) if found == place => None,
            Ok(_) => Some("el índice no lo tiene en su lugar"),
            Err(_) => Some("el índice no se puede leer"),
        }
    }

    /// Whether the index has records that the journal does not.
    fn index_records(&mut self) {
        let Known::Open { shared, matched } = self.known else { return };
        let upto = self.upto.unwrap_or(Seq::MAX);
        let mut count = 0;
        let counted = shared.read(|lookup| {
            lookup.index.scan(keys::RECORDS, None, Direction::Forward, &mut |_, value| {
                count += u64::from(Stored::from_value(value).is_ok_and(|stored| stored.seq <= upto));
                ControlFlow::Continue(())
            })
        });
        match counted {
            Err(error) => self.damage("index".into(), &error.to_string()),
            Ok(()) if count > matched => {
                self.damage("index".into(), &format!("{} registros no están así en el diario", count - matched));
            }
            Ok(()) => {}
        }
    }

    /// What nobody names.
    fn leftovers(&mut self) -> Result<(), StoreError> {
        if self.from > 1 {
            return Ok(());
        }
        for (number, length) in packs::list(&self.dir.join("packs"))? {
            let place = format!("packs/{number:010}.pack");
            let sound = packs::header_is_sound(&self.dir.join("packs"), number)?;
            let named = self.packs.get(&number).copied();
            match (sound, named) {
                (true, _) => {}
                (false, Some(_)) => self.damage(place.clone(), "su cabecera no es válida"),
                // It was being made when the process died.
                (false, None) => {
                    self.result.remarks.push(format!("{place}: se estaba creando y ningún asiento lo nombra"))
                }
            }
            let named = named.unwrap_or(packs::FILE_HEADER);
            if let Some(more) = length.checked_sub(named).filter(|more| *more > 0 && self.upto.is_none()) {
                self.result.remarks.push(format!("{place}: {more} bytes que ningún asiento nombra"));
            }
        }
        let (mut orphans, mut strange) = (0_u64, Vec::new());
        documents::visit(&self.dir.join("documents"), &mut |found| {
            match found {
                Ok(sha256) => orphans += u64::from(!self.has_document(&sha256)),
                Err(path) => strange.push(path),
            }
            Ok(())
        })?;
        if orphans > 0 {
            let text = format!("documents: {orphans} archivos que ningún asiento nombra (o que se están guardando)");
            self.result.remarks.push(text);
        }
        for path in strange.into_iter().chain(journal::cuts(&self.dir.join("journal"))?) {
            let name = path.strip_prefix(self.dir).unwrap_or(&path).display().to_string();
            self.result.remarks.push(format!("{name}: no es parte del almacén"));
        }
        Ok(())
    }
}

fn first_bytes(sha256: &Sha256) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(sha256.digest().split_at(8).0);
    first
}

fn wrong_digest(place: String, sha256: &Sha256) -> StoreError {
    StoreError::Damaged { place, what: format!("documento {sha256}: sus bytes no corresponden a su SHA-256") }
}

/// Reads a large document whole; its length if it is sound.
fn file(dir: &Path, placed: &Placed) -> Result<u64, StoreError> {
    let mut file = documents::open_file(dir, placed)?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => hash.update(piece.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if Sha256::from_digest(hash.finish().as_ref()) == placed.sha256 {
        Ok(placed.bytes)
    } else {
        Err(wrong_digest(documents::place(&placed.sha256), &placed.sha256))
    }
}
