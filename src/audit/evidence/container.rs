//! The container: a ZIP of stored members in its one right form. Nothing is compressed and no field is free, so every byte
//! means something: what a reader finds is compared with what this program would have written.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use flate2::Crc;
use ring::digest;

use crate::{audit::merkle::Hash, store::embedded::Fields};

/// Most members, and the longest name of one, in bytes.
pub const MEMBERS_MAX: usize = 256;
const NAME_MAX: usize = 100;
/// Read at a time, in bytes.
const PIECE: usize = 64 * 1024;

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const END: &[u8; 4] = b"PK\x05\x06";
const LOCAL_BYTES: u64 = 30;
/// Version needed, flags, method, time and date of every member: 1.0, none, stored, 1980-01-01.
const FIXED: [u8; 10] = [10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// Where its bytes begin, and how many they are.
    pub offset: u64,
    pub bytes: u64,
    crc: u32,
}

impl Member {
    fn local(&self) -> Option<Vec<u8>> {
        let mut out = LOCAL.to_vec();
        out.extend_from_slice(&FIXED);
        self.sizes(&mut out)?;
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(self.name.as_bytes());
        Some(out)
    }

    fn sizes(&self, out: &mut Vec<u8>) -> Option<()> {
        let size = u32::try_from(self.bytes).ok()?.to_le_bytes();
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&size);
        out.extend_from_slice(&size);
        out.extend_from_slice(&u16::try_from(self.name.len()).ok()?.to_le_bytes());
        Some(())
    }

    fn central(&self, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(CENTRAL);
        out.extend_from_slice(&[20, 0]);
        out.extend_from_slice(&FIXED);
        self.sizes(out)?;
        // No extra field, no comment, disk 0, no attributes.
        out.extend_from_slice(&[0; 12]);
        let at = self.offset - LOCAL_BYTES - self.name.len() as u64;
        out.extend_from_slice(&u32::try_from(at).ok()?.to_le_bytes());
        out.extend_from_slice(self.name.as_bytes());
        Some(())
    }
}

/// The directory at the end.
fn directory(members: &[Member], at: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    members.iter().try_for_each(|member| member.central(&mut out))?;
    let size = u32::try_from(out.len()).ok()?.to_le_bytes();
    let count = u16::try_from(members.len()).ok()?.to_le_bytes();
    out.extend_from_slice(END);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    out.extend_from_slice(&size);
    out.extend_from_slice(&u32::try_from(at).ok()?.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    Some(out)
}

fn name_is_sound(name: &str) -> bool {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"./_-".contains(&b);
    !name.is_empty()
        && name.len() <= NAME_MAX
        && name.bytes().all(letter)
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "el paquete no puede pasar de 4 GiB")
}

/// Writes a container, member after member.
pub struct Writer {
    file: File,
    at: u64,
    members: Vec<Member>,
    open: Option<Open>,
}

struct Open {
    member: Member,
    crc: Crc,
    hash: digest::Context,
}

impl Writer {
    /// On an empty file.
    pub fn new(file: File) -> Self {
        Self { file, at: 0, members: Vec::new(), open: None }
    }

    pub fn begin(&mut self, name: &str) -> io::Result<()> {
        if !name_is_sound(name) || self.open.is_some() || self.members.len() == MEMBERS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no cabe «{name}» en el paquete")));
        }
        let offset = self.at + LOCAL_BYTES + name.len() as u64;
        let member = Member { name: name.into(), offset, bytes: 0, crc: 0 };
        self.file.write_all(&member.local().ok_or_else(too_large)?)?;
        self.open = Some(Open { member, crc: Crc::new(), hash: digest::Context::new(&digest::SHA256) });
        Ok(())
    }

    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::Error::other("no member is open")) };
        open.member.bytes += piece.len() as u64;
        open.crc.update(piece);
        open.hash.update(piece);
        self.file.write_all(piece)
    }

    /// Ends a member; its length and SHA-256.
    pub fn end(&mut self) -> io::Result<(u64, Hash)> {
        let Some(Open { mut member, crc, hash }) = self.open.take() else {
            return Err(io::Error::other("no member is open"));
        };
        member.crc = crc.sum();
        let end = member.offset + member.bytes;
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.write_all(&member.local().ok_or_else(too_large)?)?;
        self.file.seek(SeekFrom::Start(end))?;
        self.at = end;
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        let bytes = member.bytes;
        self.members.push(member);
        Ok((bytes, digest))
    }

    pub fn member(&mut self, name: &str, content: &[u8]) -> io::Result<Hash> {
        self.begin(name)?;
        self.write(content)?;
        Ok(self.end()?.1)
    }

    /// Writes the directory; the file is whole and on the disk when it returns.
    pub fn finish(mut self) -> io::Result<File> {
        let directory = directory(&self.members, self.at).ok_or_else(too_large)?;
        self.file.write_all(&directory)?;
        self.file.sync_all()?;
        Ok(self.file)
    }
}

/// Why a file is no container of ours. In Spanish, for a report.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    #[error("no se puede leer: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Shape(String),
}

fn shape(what: impl Into<String>) -> ContainerError {
    ContainerError::Shape(what.into())
}

/// Reads a container.
pub struct Container<R> {
    from: R,
    pub members: Vec<Member>,
}

impl<R: Read + Seek> Container<R> {
    pub fn open(mut from: R) -> Result<Self, ContainerError> {
        let total = from.seek(SeekFrom::End(0))?;
        from.seek(SeekFrom::Start(0))?;
        let (mut members, mut at) = (Vec::<Member>::new(), 0);
        loop {
            let mut head = Vec::new();
            (&mut from).take(LOCAL_BYTES).read_to_end(&mut head)?;
            if head.starts_with(CENTRAL) {
                break;
            }
            let Some(member) = read_local(&head, at, &mut from)? else {
                return Err(shape(format!("en el byte {at} no comienza ni un archivo ni el directorio del paquete")));
            };
            if member.local().is_none_or(|local| !local.starts_with(&head)) {
                return Err(shape(format!("la cabecera de «{}» no está en su forma", member.name)));
            }
            if members.iter().any(|other| other.name == member.name) || members.len() == MEMBERS_MAX {
                return Err(shape(format!("«{}» está repetido, o hay demasiados archivos", member.name)));
            }
            at = member.offset.saturating_add(member.bytes);
            if at > total {
                return Err(shape(format!("«{}» está cortado", member.name)));
            }
            from.seek(SeekFrom::Start(at))?;
            members.push(member);
        }
        let expected = directory(&members, at).ok_or_else(|| shape("es demasiado grande"))?;
        let mut found = Vec::new();
        from.seek(SeekFrom::Start(at))?;
        (&mut from).take(expected.len() as u64 + 1).read_to_end(&mut found)?;
        if found != expected {
            return Err(shape("su directorio no corresponde a los archivos que trae"));
        }
        Ok(Self { from, members })
    }

    pub fn find(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Gives a member's bytes to `each` in pieces; its SHA-256.
    pub fn stream(&mut self, member: &Member, each: &mut dyn FnMut(&[u8])) -> Result<Hash, ContainerError> {
        self.from.seek(SeekFrom::Start(member.offset))?;
        let (mut left, mut piece) = (member.bytes, vec![0; PIECE]);
        let (mut crc, mut hash) = (Crc::new(), digest::Context::new(&digest::SHA256));
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let part = piece.get_mut(..n).unwrap_or_default();
            self.from.read_exact(part)?;
            crc.update(part);
            hash.update(part);
            each(part);
            left -= n as u64;
        }
        if crc.sum() != member.crc {
            return Err(shape(format!("«{}»: sus bytes no corresponden a su suma de control", member.name)));
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        Ok(digest)
    }

    /// A member of at most `max` bytes, whole, with its SHA-256.
    pub fn read(&mut self, name: &str, max: u64) -> Result<(Vec<u8>, Hash), ContainerError> {
        let member = self.find(name).cloned().ok_or_else(|| shape(format!("falta «{name}»")))?;
        if member.bytes > max {
            return Err(shape(format!("«{name}» ocupa {} bytes, más de lo previsto", member.bytes)));
        }
        let mut bytes = Vec::new();
        let hash = self.stream(&member, &mut |piece| bytes.extend_from_slice(piece))?;
        Ok((bytes, hash))
    }
}

/// A local header and the name behind it.
fn read_local(head: &[u8], at: u64, from: &mut impl Read) -> Result<Option<Member>, ContainerError> {
    let mut fields = Fields(head);
    let signature = fields.take(4);
    let rest = (fields.take(FIXED.len()), fields.u32(), fields.u32(), fields.u32(), fields.u32());
    let (Some(_), Some(crc), Some(bytes), Some(_), Some(lengths)) = rest else { return Ok(None) };
    if signature != Some(LOCAL) {
        return Ok(None);
    }
    // Two lengths: of the name, and of an extra field, which there is not.
    let length = usize::try_from(lengths).unwrap_or(usize::MAX);
    if length > NAME_MAX {
        return Ok(None);
    }
    let mut name = vec![0; length];
    from.read_exact(&mut name)?;
    let name = String::from_utf8(name).ok().filter(|name| name_is_sound(name));
    let Some(name) = name else { return Ok(None) };
    Ok(Some(Member { offset: at + LOCAL_BYTES + length as u64, name, bytes: u64::from(bytes), crc }))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sample() -> Vec<u8> {
        let mut writer = Writer::new(tempfile::tempfile().unwrap());
        writer.member("mimetype", b"text/plain").unwrap();
        writer.begin("a/b.txt").unwrap();
        writer.write(b"hola").unwrap();
        writer.write(&[7; 100_000]).unwrap();
        assert_eq!(writer.end().unwrap().0, 100_004);
        writer.member("vacio", b"").unwrap();
        let mut file = writer.finish().unwrap();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_written_is_read_here_and_by_others() {
        let bytes = sample();
        let mut container = Container::open(Cursor::new(&bytes)).unwrap();
        assert_eq!(container.members.iter().map(|m| &*m.name).collect::<Vec<_>>(), ["mimetype", "a/b.txt", "vacio"]);
        assert_eq!(container.read("mimetype", 10).unwrap().0, b"text/plain");
        assert!(container.read("mimetype", 9).is_err());
        let mut other = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        let mut text = Vec::new();
        other.by_name("a/b.txt").unwrap().read_to_end(&mut text).unwrap();
        assert_eq!((text.len(), &text[..4]), (100_004, &b"hola"[..]));
    }

    #[test]
    fn names_that_reach_outside_are_not_taken() {
        for name in ["", "/a", "../a", "a/../b", "a//b", "a\\b", "ñ", "a/"] {
            assert!(Writer::new(tempfile::tempfile().unwrap()).begin(name).is_err(), "{name}");
        }
    }

    #[test]
    fn bytes_before_between_and_behind_are_noticed() {
        let bytes = sample();
        for at in [0, 30, bytes.len() - 22, bytes.len()] {
            let mut more = bytes.clone();
            more.insert(at, b'P');
            let found = Container::open(Cursor::new(more)).map(|mut container| {
                let members = container.members.clone();
                members.iter().try_for_each(|m| container.stream(m, &mut |_| {}).map(drop)).is_ok()
            });
            assert!(!matches!(found, Ok(true)), "{at}");
        }
    }
}
