//! Signed notes (C2SP signed-note) with Ed25519: a text that a person reads, and a line under it that proves whose it is.
//!
//! Read strictly: a note has exactly one signature, and every byte of it matters.

use std::{fmt, io, path::Path};

use base64_simd::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{files, merkle::hash};

/// Longest note, in bytes.
pub const NOTE_MAX: usize = 16 * 1024;
/// Longest file of a key, in bytes.
const KEY_MAX: u64 = 1024;
/// Longest name of a key, in bytes.
const NAME_MAX: usize = 200;
/// Ed25519 in the encoding of keys.
const ALGORITHM: u8 = 1;
/// What every signature line begins with.
const DASH: &str = "\u{2014} ";

/// Why a note or a key is none. In Spanish, for a report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoteError(pub &'static str);

/// The public part of a key, which the signatures of a log are checked with. As text: `name+hash+base64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: [u8; 32],
}

/// The key of an installation.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: Verifier,
}

fn key_id(name: &str, key: &[u8; 32]) -> [u8; 4] {
    let whole = hash(&[name.as_bytes(), b"\n", &[ALGORITHM], key]);
    let mut id = [0; 4];
    id.copy_from_slice(whole.split_at(4).0);
    id
}

fn name_is_sound(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_MAX
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// Standard base64 in its one right form.
fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode_to_vec(text).ok()?;
    (STANDARD.encode_to_string(&bytes) == text).then_some(bytes)
}

impl Verifier {
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        if !name_is_sound(name) {
            return Err(NoteError("el nombre de la clave no es válido"));
        }
        Ok(Self { name: name.to_owned(), key })
    }

    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const NONE: NoteError = NoteError("no es una clave pública de auditoría (nombre+huella+clave)");
        let (name, rest) = text.split_once('+').ok_or(NONE)?;
        let (id, key) = rest.split_once('+').ok_or(NONE)?;
        let key = decode(key).ok_or(NONE)?;
        let Some((&ALGORITHM, key)) = key.split_first() else { return Err(NONE) };
        let found = Self::new(name, key.try_into().map_err(|_| NONE)?)?;
        if found.id_text() == id {
            Ok(found)
        } else {
            Err(NoteError("la huella de la clave no corresponde a la clave"))
        }
    }

    /// The name, which is also the origin of the log.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn id_text(&self) -> String {
        key_id(&self.name, &self.key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The text of a note signed with this key: all up to the empty line before the signature.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signature) = split(note)?;
        let (name, blob) = signature.rsplit_once(' ').ok_or(NoteError("su línea de firma no se entiende"))?;
        let blob = decode(blob).ok_or(NoteError("su línea de firma no se entiende"))?;
        let (id, signature) = blob.split_at_checked(4).ok_or(NoteError("su línea de firma no se entiende"))?;
        if name != self.name || id != key_id(&self.name, &self.key) {
            return Err(NoteError("está firmado con otra clave"));
        }
        let key = UnparsedPublicKey::new(&ED25519, &self.key);
        key.verify(text.as_bytes(), signature).map_err(|_| NoteError("su firma no corresponde a su texto"))?;
        Ok(text)
    }
}

/// Text and signature line of a note with one signature.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > NOTE_MAX {
        return Err(NoteError("es demasiado largo para ser una nota firmada"));
    }
    let end = note.rfind("\n\n").ok_or(NoteError("no es una nota firmada"))?;
    let (text, rest) = note.split_at(end + 1);
    let line = rest.strip_prefix('\n').and_then(|rest| rest.strip_suffix('\n'));
    let line = line.and_then(|line| line.strip_prefix(DASH)).filter(|line| !line.contains('\n'));
    if text.contains(|c: char| c.is_control() && c != '\n') {
        return Err(NoteError("contiene caracteres de control"));
    }
    line.map(|line| (text, line)).ok_or(NoteError("no termina en una única línea de firma"))
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ALGORITHM], self.key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, self.id_text(), STANDARD.encode_to_string(key))
    }
}

impl Signer {
    /// The key made of 32 bytes that nobody can guess.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError("la clave no es válida"))?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| NoteError("la clave no es válida"))?;
        Ok(Self { public: Verifier::new(name, key)?, pair })
    }

    pub fn public(&self) -> &Verifier {
        &self.public
    }

    /// Signs a text, which ends in a line's end.
    pub fn sign(&self, text: &str) -> String {
        let mut blob = key_id(&self.public.name, &self.public.key).to_vec();
        blob.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{DASH}{} {}\n", self.public.name, STANDARD.encode_to_string(blob))
    }

    /// Reads the key kept in `path`; if there is none, makes one of `name` and `seed` and keeps it there, for the file's
    /// owner alone.
    pub fn open(path: &Path, name: &str, seed: &[u8; 32]) -> io::Result<Self> {
        let invalid = |error: NoteError| {
            io::Error::new(io::ErrorKind::InvalidData, format!("la clave de auditoría {}: {error}", path.display()))
        };
        if let Some(bytes) = files::read(path, KEY_MAX)? {
            let bytes = Zeroizing::new(bytes);
            let text = std::str::from_utf8(&bytes).unwrap_or_default();
            return Self::parse(text.trim_end()).map_err(invalid);
        }
        let made = Self::new(name, seed).map_err(invalid)?;
        files::replace(path, made.private(seed).as_bytes(), 0o600)?;
        Ok(made)
    }

    /// The key as text: `PRIVATE+KEY+name+hash+base64`, and a line's end.
    fn private(&self, seed: &[u8; 32]) -> Zeroizing<String> {
        let key = Zeroizing::new([&[ALGORITHM], seed.as_slice()].concat());
        let key = Zeroizing::new(STANDARD.encode_to_string(&*key));
        Zeroizing::new(format!("PRIVATE+KEY+{}+{}+{}\n", self.public.name, self.public.id_text(), *key))
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        const NONE: NoteError = NoteError("no es una clave privada de auditoría");
        let rest = text.strip_prefix("PRIVATE+KEY+").ok_or(NONE)?;
        let (name, rest) = rest.split_once('+').ok_or(NONE)?;
        let (id, key) = rest.split_once('+').ok_or(NONE)?;
        let key = Zeroizing::new(decode(key).ok_or(NONE)?);
        let Some((&ALGORITHM, seed)) = key.split_first() else { return Err(NONE) };
        let found = Self::new(name, seed.try_into().map_err(|_| NONE)?)?;
        if found.public.id_text() == id { Ok(found) } else { Err(NONE) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// The example of the signed-note specification's own implementation (golang.org/x/mod/sumdb/note).
    const KNOWN_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const KNOWN_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_known_elsewhere_opens_with_its_key() {
        let key = Verifier::parse(KNOWN_KEY).unwrap();
        assert_eq!(key.to_string(), KNOWN_KEY);
        assert!(key.open(KNOWN_NOTE).unwrap().ends_with("your problem is.\n"));
    }

    #[test]
    fn every_changed_byte_of_a_note_is_noticed() {
        let signer = Signer::new("chasqui/x", &[7; 32]).unwrap();
        let note = signer.sign("uno\ndos\n");
        assert_eq!(signer.public().open(&note), Ok("uno\ndos\n"));
        for at in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let changed = String::from_utf8(bytes);
                assert!(changed.is_err() || signer.public().open(&changed.unwrap()).is_err(), "byte {at}, bit {bit}");
            }
        }
        let other = Signer::new("chasqui/x", &[8; 32]).unwrap();
        assert_eq!(other.public().open(&note), Err(NoteError("está firmado con otra clave")));
        let twice = format!("{note}\u{2014} otro AAAA\n");
        assert!(signer.public().open(&twice).is_err());
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("clave");
        let made = Signer::open(&path, "chasqui/uno", &[1; 32]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = Signer::open(&path, "chasqui/dos", &[2; 32]).unwrap();
        assert_eq!(made.public(), again.public());
        assert_eq!(made.sign("x\n"), again.sign("x\n"));
        assert_eq!(Verifier::parse(&made.public().to_string()).as_ref(), Ok(made.public()));
        std::fs::write(&path, "otra cosa").unwrap();
        assert!(Signer::open(&path, "chasqui/uno", &[1; 32]).is_err());
    }
}
