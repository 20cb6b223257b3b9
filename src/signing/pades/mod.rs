//! Signs PDFs: PAdES baseline B, or T with a timestamp, as an incremental update. Earlier signatures stay valid, the form
//! that holds them is kept, and the file is only read, hashed and copied on, so its size costs no memory.

mod field;
mod form;
mod stamp;
mod update;

use std::io::{self, Read, Seek, SeekFrom, Write};

use jiff::Timestamp;
use openssl::sha::Sha256;

pub use field::{EmptyField, add_empty_fields, signature_fields};
pub use stamp::{Corner, PageChoice, VisibleStamp};

use super::{
    Identity, IdentityError,
    cades::{self, Stamping},
    pdf::{self, Object, Pdf},
    timestamp::{TOKEN_BYTES_MAX, Timestamper},
};
use crate::domain::lima;
use update::Update;

/// Read and hashed at once, in bytes.
const COPY_BYTES: usize = 64 * 1024;

/// Longest reason or place, in characters.
const NOTE_CHARS_MAX: usize = 200;

/// How a PDF is signed.
#[derive(Default)]
pub struct Order<'a> {
    /// When, as the PDF tells it.
    pub at: Timestamp,
    pub reason: Option<&'a str>,
    pub location: Option<&'a str>,
    /// What is seen of the signature; without it nothing is.
    pub stamp: Option<&'a VisibleStamp>,
    /// Full name of the empty signature field that is filled; without it a new one is added. One that is seen on its page is
    /// filled with the stamp, or with a plain one.
    pub field: Option<&'a str>,
    pub timestamper: Option<&'a dyn Timestamper>,
}

/// What became of it.
#[derive(Debug)]
pub struct Done {
    /// Name of the signature's field.
    pub field: String,
    /// Bytes of the signed file.
    pub bytes: u64,
    /// Whether it has a timestamp: level T; else B.
    pub stamping: Stamping,
}

impl Done {
    pub fn level(&self) -> &'static str {
        if matches!(self.stamping, Stamping::Done(_)) { "PAdES B-T" } else { "PAdES B-B" }
    }
}

/// Why a PDF was not signed. The texts are for people.
#[derive(Debug, thiserror::Error)]
pub enum PadesError {
    #[error(transparent)]
    Pdf(#[from] pdf::Error),
    #[error("el PDF está cifrado: quítele la contraseña antes de firmarlo")]
    Encrypted,
    #[error("el PDF está dañado y firmarlo no sería seguro: {0}")]
    Damaged(String),
    #[error("quien certificó el PDF no permite ningún cambio, tampoco otra firma")]
    ChangesForbidden,
    #[error("el certificado de «{0}» venció el {1}")]
    Expired(String, String),
    #[error("el certificado de «{0}» aún no es válido: lo será desde el {1}")]
    NotYetValid(String, String),
    #[error("el PDF no tiene página {0}")]
    NoPage(usize),
    #[error("en esa página no queda lugar para el sello visible")]
    NoRoom,
    #[error("el PDF no tiene un campo de firma llamado «{name}»{}", known(.empty))]
    NoField { name: String, empty: Vec<String> },
    #[error("el campo «{0}» ya está firmado: elija otro, o firme sin indicar el campo para añadir uno")]
    FieldSigned(String),
    #[error("no se pudo dibujar el sello visible: {0}")]
    Stamp(String),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("no se pudo leer o escribir el archivo: {0}")]
    Io(#[from] io::Error),
}

fn known(empty: &[String]) -> String {
    match empty {
        [] => "; tampoco hay otro por firmar".to_owned(),
        names => format!("; por firmar están: {}", names.join(", ")),
    }
}

/// Signs the PDF that `input` holds and writes the signed one to `output`.
pub fn sign<R: Read + Seek>(
    mut input: R,
    mut output: impl Write,
    identity: &Identity,
    order: &Order<'_>,
) -> Result<Done, PadesError> {
    within_validity(identity, order.at)?;
    let mut pdf = Pdf::open(&mut input)?;
    fit(&mut pdf)?;
    let length = pdf.byte_count();
    let (mut tail, field) = prepared(&mut pdf, identity, order)?;
    drop(pdf);

    input.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    copy(&mut input, &mut output, length, &mut hash)?;
    let (before, after) = tail.signed_parts()?;
    hash.update(before);
    hash.update(after);
    let signed = cades::sign(identity, &hash.finish(), None, order.timestamper)?;
    tail.fill(&signed.cms)?;
    output.write_all(&tail.bytes)?;
    output.flush()?;
    Ok(Done { field, bytes: length + tail.bytes.len() as u64, stamping: signed.stamp })
}

fn within_validity(identity: &Identity, at: Timestamp) -> Result<(), PadesError> {
    let name = identity.titular().nombre.clone();
    let day = |at: Timestamp| lima::en_lima(at).strftime("%d/%m/%Y").to_string();
    if at > identity.valida_hasta() {
        return Err(PadesError::Expired(name, day(identity.valida_hasta())));
    }
    if at < identity.valida_desde() {
        return Err(PadesError::NotYetValid(name, day(identity.valida_desde())));
    }
    Ok(())
}

/// Refuses what a signature would not make better.
fn fit<R: Read + Seek>(pdf: &mut Pdf<R>) -> Result<(), PadesError> {
    if pdf.encrypted() {
        return Err(PadesError::Encrypted);
    }
    if let Some(why) = pdf.repaired() {
        return Err(PadesError::Damaged(why.to_string()));
    }
    if pdf.bytes_before_header() > 0 {
        return Err(PadesError::Damaged("tiene bytes delante de su cabecera".into()));
    }
    if form::changes_forbidden(pdf)? {
        return Err(PadesError::ChangesForbidden);
    }
    Ok(())
}

/// The update with room for its signature, and the field's name.
fn prepared<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    identity: &Identity,
    order: &Order<'_>,
) -> Result<(Tail, String), PadesError> {
    let mut update = Update::new(pdf)?;
    let room = cades::bytes_max(identity, order.timestamper.map_or(0, |_| TOKEN_BYTES_MAX));
    let signature = update.reserve()?;
    let dictionary = Dictionary::new(identity, order, room);
    let place = update.put_raw(signature, &dictionary.bytes);
    let field = match order.field {
        Some(name) => field::fill(pdf, &mut update, signature, identity, order, name)?,
        None => form::add_field(pdf, &mut update, signature, identity, order)?,
    };
    let mut mark = Sha256::new();
    mark.update(identity.titular().nombre.as_bytes());
    mark.update(order.at.to_string().as_bytes());
    mark.update(&pdf.startxref().to_be_bytes());
    let mark = mark.finish();
    let bytes = update.finish(mark.first_chunk().unwrap_or(&[0; 16]))?;
    let hole = place + dictionary.hole..place + dictionary.hole + 2 * room + 2;
    let mut tail = Tail { base: pdf.byte_count(), bytes, hole };
    tail.set_range(place + dictionary.range)?;
    Ok((tail, field))
}

/// The signature's dictionary, with places for what is known last.
struct Dictionary {
    bytes: Vec<u8>,
    /// Where `/ByteRange`'s numbers go.
    range: usize,
    /// Where `<` of `/Contents` stands.
    hole: usize,
}

/// Room for the numbers of a ByteRange: 20 digits each.
const RANGE_BYTES: usize = 1 + 3 * 21 + 1;

impl Dictionary {
    fn new(identity: &Identity, order: &Order<'_>, room: usize) -> Self {
        let mut bytes =
            b"<</Type /Sig\n/Filter /Adobe.PPKLite\n/SubFilter /ETSI.CAdES.detached\n/ByteRange [0".to_vec();
        let range = bytes.len();
        bytes.resize(range + RANGE_BYTES, b' ');
        bytes.extend_from_slice(b"]\n/Contents ");
        let hole = bytes.len();
        bytes.push(b'<');
        bytes.resize(bytes.len() + 2 * room, b'0');
        bytes.extend_from_slice(b">\n");
        let moment = lima::en_lima(order.at).strftime("D:%Y%m%d%H%M%S-05'00'").to_string();
        let notes = [
            ("M", Some(moment.as_str())),
            ("Name", Some(identity.titular().nombre.as_str())),
            ("Reason", order.reason),
            ("Location", order.location),
        ];
        for (key, note) in notes {
            let Some(note) = note else { continue };
            bytes.push(b'/');
            bytes.extend_from_slice(key.as_bytes());
            bytes.push(b' ');
            text(note).write(&mut bytes);
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(b">>");
        Self { bytes, range, hole }
    }
}

/// A text as PDF has it: plain if it can be, else UTF-16.
fn text(text: &str) -> Object {
    let text: String = text.chars().filter(|c| !c.is_control()).take(NOTE_CHARS_MAX).collect();
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Object::String { bytes: text.into_bytes(), hex: false };
    }
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    Object::String { bytes: units.flat_map(u16::to_be_bytes).collect(), hex: true }
}

/// The update as it goes after the file, the signature's place still empty.
struct Tail {
    /// Bytes of the file before it.
    base: u64,
    bytes: Vec<u8>,
    /// `<`, the signature in hexadecimal, `>`.
    hole: std::ops::Range<usize>,
}

impl Tail {
    fn set_range(&mut self, at: usize) -> Result<(), PadesError> {
        let (start, end) = (self.base + self.hole.start as u64, self.base + self.hole.end as u64);
        let rest = (self.bytes.len() - self.hole.end) as u64;
        let range = format!(" {start} {end} {rest}");
        let place = self.bytes.get_mut(at..at + range.len()).ok_or_else(lost)?;
        place.copy_from_slice(range.as_bytes());
        Ok(())
    }

    fn signed_parts(&self) -> Result<(&[u8], &[u8]), PadesError> {
        let before = self.bytes.get(..self.hole.start).ok_or_else(lost)?;
        Ok((before, self.bytes.get(self.hole.end..).ok_or_else(lost)?))
    }

    fn fill(&mut self, cms: &[u8]) -> Result<(), PadesError> {
        let hex: String = cms.iter().map(|byte| format!("{byte:02x}")).collect();
        let from = self.hole.start + 1;
        let place = self.bytes.get_mut(from..from + hex.len()).filter(|_| from + hex.len() < self.hole.end);
        place.ok_or_else(lost)?.copy_from_slice(hex.as_bytes());
        Ok(())
    }
}

/// What cannot happen while the room is counted as it is.
fn lost() -> PadesError {
    PadesError::Identity(IdentityError::Failed("la firma no cabe en el lugar que se le guardó".into()))
}

/// Copies exactly `length` bytes, hashing them.
fn copy(input: &mut impl Read, output: &mut impl Write, mut length: u64, hash: &mut Sha256) -> Result<(), PadesError> {
    let mut buffer = vec![0; COPY_BYTES];
    while length > 0 {
        let wanted = usize::try_from(length).unwrap_or(COPY_BYTES).min(COPY_BYTES);
        let read = input.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        hash.update(piece);
        output.write_all(piece)?;
        length -= read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
