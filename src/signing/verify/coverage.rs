//! What of the file a signature covers: its ByteRange, the revision it belongs to, and the digests over it, which share what
//! they have in common.

use std::io::{Read, Seek};

use openssl::hash::Hasher;

use super::{Findings, fields::Found};
use crate::signing::{
    begun::Begun,
    cms::Digest,
    pdf::{Error, Object, Pdf},
};

const PIECE_BYTES: usize = 64 * 1024;
/// Bytes after the end of the last revision that are looked at.
const TAIL_BYTES: usize = 64 * 1024;

/// All of the file up to `end`, but for the signature itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coverage {
    pub gap_start: u64,
    pub gap_end: u64,
    pub end: u64,
    /// The revision it ends, counted from 0; `None` if it ends none.
    pub revision: Option<usize>,
}

/// Why a ByteRange is no good; a code and a sentence.
pub(super) type Wrong = (&'static str, &'static str);

/// Reads and checks the ByteRange.
pub(super) fn coverage<R: Read + Seek>(pdf: &mut Pdf<R>, found: &Found) -> Result<Result<Coverage, Wrong>, Error> {
    let (dict, len) = (&found.dict, pdf.byte_count());
    if dict.count("ByteRange") > 1 || dict.count("Contents") > 1 {
        return Ok(Err((
            "clave_repetida",
            "La firma dice dos veces qué parte del archivo cubre, o trae dos contenidos.",
        )));
    }
    let Some(contents) = dict.entry("Contents") else {
        return Ok(Err(("sin_contenido", "El campo no contiene ninguna firma.")));
    };
    if !found.in_file || !matches!(contents.value, Object::String { hex: true, .. }) {
        return Ok(Err(("contenido_fuera_de_lugar", "El contenido de la firma no está escrito donde debe estar.")));
    }
    let (gap_start, gap_end) = (contents.start, contents.end);
    let range = pdf.value(dict, "ByteRange")?;
    let numbers: Vec<Option<u64>> = range.as_array().unwrap_or_default().iter().map(Object::as_u64).collect();
    let [Some(0), Some(first), Some(second), Some(rest)] = numbers.as_slice() else {
        return Ok(Err(("rango_mal_formado", "El rango de bytes que la firma dice cubrir está mal formado.")));
    };
    let Some(end) = second.checked_add(*rest).filter(|end| *end <= len) else {
        return Ok(Err(("rango_fuera_del_archivo", "La firma dice cubrir bytes que el archivo no tiene.")));
    };
    if *first != gap_start || *second != gap_end || end < gap_end {
        let text = "La firma no cubre todo lo que la rodea: el hueco de su rango no es exactamente su contenido.";
        return Ok(Err(("rango_desplazado", text)));
    }
    if !uniform(pdf, gap_start, gap_end)? {
        let text = "El contenido de la firma está escrito de un modo irregular, como si lo hubieran retocado.";
        return Ok(Err(("contenido_irregular", text)));
    }
    let revision = pdf.revisions().iter().position(|revision| ends_at(revision.end, end));
    Ok(Ok(Coverage { gap_start, gap_end, end, revision }))
}

/// A signer may leave out the line break after `%%EOF`.
fn ends_at(revision: Option<u64>, end: u64) -> bool {
    revision.is_some_and(|revision| end <= revision && revision - end <= 2)
}

/// Hexadecimal digits only, in one case: another spelling of the same bytes would be a change that no digest sees.
fn uniform<R: Read + Seek>(pdf: &mut Pdf<R>, start: u64, end: u64) -> Result<bool, Error> {
    let (mut lower, mut upper) = (false, false);
    let (mut place, end) = (start.saturating_add(1), end.saturating_sub(1));
    let mut piece = [0; 4096];
    while place < end {
        let wanted = usize::try_from(end - place).unwrap_or(usize::MAX).min(piece.len());
        let read = pdf.read_at(place, piece.get_mut(..wanted).unwrap_or_default())?;
        for byte in piece.get(..read).unwrap_or_default() {
            match byte {
                b'0'..=b'9' => {}
                b'a'..=b'f' => lower = true,
                b'A'..=b'F' => upper = true,
                _ => return Ok(false),
            }
        }
        if read == 0 {
            return Ok(false);
        }
        place = place.saturating_add(read as u64);
    }
    Ok(!(lower && upper) && (end - start.saturating_add(1)).is_multiple_of(2))
}

/// The digest of each coverage with its algorithm. What comes before the gaps is hashed once for each algorithm, and not
/// even once where that was `begun`.
pub(super) fn digests<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    wanted: &[(Coverage, Digest)],
    begun: Option<&Begun>,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut order: Vec<(usize, Coverage, Digest)> =
        wanted.iter().enumerate().map(|(index, (coverage, digest))| (index, *coverage, *digest)).collect();
    order.sort_by_key(|(_, coverage, _)| coverage.gap_start);
    let mut common: Vec<(Digest, Running, u64)> = Vec::new();
    let mut made = vec![Vec::new(); wanted.len()];
    for (index, coverage, digest) in order {
        let begun = begun.filter(|_| digest == Digest::Sha256).and_then(|begun| begun.until(coverage.gap_start));
        let mut own = match begun {
            Some(begun) => Running::Begun(begun),
            None => {
                let known = common.iter().position(|(known, _, _)| *known == digest);
                let (hash, place) = match known.map(|known| common.swap_remove(known)) {
                    Some((_, hash, place)) => (hash, place),
                    None => (Running::new(digest)?, 0),
                };
                let hash = feed(pdf, place, coverage.gap_start, hash)?;
                common.push((digest, hash.clone(), coverage.gap_start));
                hash
            }
        };
        own = feed(pdf, coverage.gap_end, coverage.end, own)?;
        if let Some(slot) = made.get_mut(index) {
            *slot = own.finish()?;
        }
    }
    Ok(made)
}

/// A digest under way: of our own beginning, or one that whoever took the document in began.
#[derive(Clone)]
enum Running {
    Own(Hasher),
    Begun(ring::digest::Context),
}

impl Running {
    fn new(digest: Digest) -> Result<Self, Error> {
        Hasher::new(digest.message_digest()).map(Self::Own).map_err(refused)
    }

    fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Own(hash) => hash.update(bytes).map_err(refused),
            Self::Begun(hash) => {
                hash.update(bytes);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Own(mut hash) => hash.finish().map(|digest| digest.to_vec()).map_err(refused),
            Self::Begun(hash) => Ok(hash.finish().as_ref().to_vec()),
        }
    }
}

fn feed<R: Read + Seek>(pdf: &mut Pdf<R>, start: u64, end: u64, mut hash: Running) -> Result<Running, Error> {
    let mut piece = vec![0; usize::try_from(end.saturating_sub(start)).unwrap_or(PIECE_BYTES).min(PIECE_BYTES)];
    let mut place = start;
    while place < end {
        let wanted = usize::try_from(end - place).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let read = pdf.read_at(place, piece.get_mut(..wanted).unwrap_or_default())?;
        if read == 0 {
            return Err(Error::Malformed { place, what: "el archivo termina antes de lo que se firmó" });
        }
        hash.update(piece.get(..read).unwrap_or_default())?;
        place = place.saturating_add(read as u64);
    }
    Ok(hash)
}

fn refused(_: openssl::error::ErrorStack) -> Error {
    Error::Unsupported("un algoritmo de resumen")
}

/// What stands after the end of the last revision, and whether the revisions follow one another.
pub(super) fn tail<R: Read + Seek>(pdf: &mut Pdf<R>, findings: &mut Findings) -> Result<(), Error> {
    if pdf.repaired().is_some() {
        return Ok(());
    }
    let mut before = 0;
    for revision in pdf.revisions() {
        match revision.end {
            Some(end) if end > before && revision.table < end && (before == 0 || revision.table >= before) => {
                before = end
            }
            Some(_) => findings.warn("revisiones_desordenadas", "Los guardados del PDF no siguen un orden."),
            None => findings.warn("fin_irregular", "Un guardado del PDF no termina como debe."),
        }
    }
    let Some(end) = pdf.revisions().last().and_then(|revision| revision.end) else { return Ok(()) };
    let extra = pdf.byte_count().saturating_sub(end);
    if extra == 0 {
        return Ok(());
    }
    let mut bytes = vec![0; TAIL_BYTES];
    let read = pdf.read_at(end, &mut bytes)?;
    let blank =
        read as u64 == extra && bytes.iter().take(read).all(|byte| matches!(byte, 0 | b' ' | b'\t' | b'\r' | b'\n'));
    if blank {
        findings.info("blancos_al_final", format!("Hay {extra} bytes en blanco después del fin del PDF."));
    } else {
        findings.warn("bytes_despues_del_fin", format!("Hay {extra} bytes ajenos después del fin del PDF."));
    }
    Ok(())
}
