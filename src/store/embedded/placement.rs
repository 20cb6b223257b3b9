//! Where a document lies: part of the entry that brought it, and of the index.

use serde::{Deserialize, Serialize};

use super::frame::Fields;
use crate::domain::Sha256;

/// A stored document and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub sha256: Sha256,
    pub bytes: u64,
    /// `None`: a file of its own in `documents/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<InPack>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InPack {
    pub number: u32,
    /// Where its record begins, in bytes.
    pub offset: u64,
}

impl Placed {
    /// As a value of the index, under its SHA-256.
    pub fn to_value(&self) -> Vec<u8> {
        let mut value = self.bytes.to_le_bytes().to_vec();
        value.extend(self.pack.map(InPack::to_value).into_iter().flatten());
        value
    }

    pub fn from_value(sha256: &Sha256, value: &[u8]) -> Option<Self> {
        let mut fields = Fields(value);
        let bytes = fields.u64()?;
        let pack = if fields.0.is_empty() { None } else { Some(InPack::from_value(fields.0)?) };
        Some(Self { sha256: sha256.clone(), bytes, pack })
    }
}

impl InPack {
    /// As a value of the index.
    pub fn to_value(self) -> Vec<u8> {
        [&self.number.to_le_bytes()[..], &self.offset.to_le_bytes()].concat()
    }

    pub fn from_value(value: &[u8]) -> Option<Self> {
        let mut fields = Fields(value);
        Some(Self { number: fields.u32()?, offset: fields.u64()? })
    }
}

/// The digest of some bytes.
pub fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_digest(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_the_index_and_a_digest_from_its_bytes() {
        let sha256 = digest(b"x");
        for pack in [None, Some(InPack { number: 3, offset: 70_000_000_000 })] {
            let placed = Placed { sha256: sha256.clone(), bytes: 12, pack };
            assert_eq!(Placed::from_value(&sha256, &placed.to_value()), Some(placed));
        }
        assert_eq!(Sha256::from_digest(&sha256.digest()), sha256);
    }
}
