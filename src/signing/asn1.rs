//! DER as it is written here: a few constructors over bytes. What comes from outside is kept byte for byte, never decoded
//! and encoded again, so a certificate that is not strict DER goes into a signature as its issuer signed it.

use der::{Encode, asn1::ObjectIdentifier};

pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
pub const OCTET_STRING: u8 = 0x04;
pub const INTEGER: u8 = 0x02;
pub const BOOLEAN: u8 = 0x01;
pub const NULL: u8 = 0x05;
pub const UTC_TIME: u8 = 0x17;
pub const GENERALIZED_TIME: u8 = 0x18;

/// Explicit or implicit constructed context tag `n` (0 to 30).
pub const fn context(n: u8) -> u8 {
    0xa0 | n
}

pub fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = content.len().to_be_bytes();
            let length: Vec<u8> = bytes.into_iter().skip_while(|b| *b == 0).collect();
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
            out.extend(length);
        }
    }
    out.extend_from_slice(content);
    out
}

pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

/// The content of a SET OF: DER wants it sorted.
pub fn sorted(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    parts.concat()
}

/// A number that is not negative, from its big-endian bytes.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    if content.first().is_none_or(|b| *b >= 0x80) {
        content.insert(0, 0);
    }
    tlv(INTEGER, &content)
}

pub fn oid(id: ObjectIdentifier) -> Vec<u8> {
    // An identifier that the types hold has an encoding.
    id.to_der().unwrap_or_default()
}

/// AlgorithmIdentifier; `null`: with NULL parameters, as RSA and (in older verifiers) digests have them.
pub fn algorithm(id: ObjectIdentifier, null: bool) -> Vec<u8> {
    sequence(&[&oid(id), if null { &[NULL, 0] } else { &[] }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_fewest_bytes() {
        assert_eq!(tlv(OCTET_STRING, &[7; 3]), [4, 3, 7, 7, 7]);
        assert_eq!(tlv(OCTET_STRING, &[0; 127])[..2], [4, 127]);
        assert_eq!(tlv(OCTET_STRING, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(OCTET_STRING, &[0; 65_536])[..5], [4, 0x83, 1, 0, 0]);
    }

    #[test]
    fn numbers_are_short_and_never_negative() {
        for (bytes, der) in [(&[][..], &[2, 1, 0][..]), (&[0, 0, 5], &[2, 1, 5]), (&[0x80], &[2, 2, 0, 0x80])] {
            assert_eq!(unsigned(bytes), der);
        }
    }
}
