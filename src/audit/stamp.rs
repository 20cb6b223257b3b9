//! Timestamps of checkpoints (RFC 3161): what they say and whether they hold.

use jiff::Timestamp;
use openssl::{
    cms::{CMSOptions, CmsContentInfo},
    error::ErrorStack,
    x509::{X509, store::X509StoreRef},
};

use super::{
    evidence::{
        Report,
        verify::{anchors, reason},
    },
    merkle::Hash,
};
use crate::{domain::lima, signing::timestamp};

/// When, as a token says, what has this digest existed. The error, a sentence: the token is not whole, or of something else.
pub fn opened(token: &[u8], digest: &Hash) -> Result<Timestamp, String> {
    match timestamp::open(token) {
        Ok((info, _)) if info.imprint == digest => Ok(info.at),
        Ok(_) => Err("El sello de tiempo es de otra cosa, no de este punto de control.".into()),
        Err(error) => Err(format!("El sello de tiempo no está íntegro: {error}.")),
    }
}

/// Whether a token is of this digest, whole, and of somebody trusted.
pub fn judge(token: &[u8], digest: &Hash, trusted: &[X509], report: &mut Report) {
    let at = match opened(token, digest) {
        Ok(at) => at,
        Err(why) => return report.fail(why),
    };
    let when = lima::texto(at);
    report.proven(format!("El punto de control ya existía el {when}, según su sello de tiempo."));
    if trusted.is_empty() {
        report.warn("Que la autoridad del sello de tiempo sea auténtica: no se dieron raíces de confianza (--trust).");
        return;
    }
    match anchors(trusted, at).and_then(|store| vouched(token, &store)) {
        Ok(()) => report.proven(
            "El certificado del sello de tiempo lleva a una de sus raíces de confianza y estaba vigente cuando lo dio.",
        ),
        Err(error) => {
            report.distrust(format!(
                "El certificado del sello de tiempo no lleva a sus raíces de confianza: {}",
                reason(&error)
            ));
        }
    }
}

/// Whether the certificates that come with a token lead to a trusted one.
fn vouched(token: &[u8], trusted: &X509StoreRef) -> Result<(), ErrorStack> {
    let mut content = Vec::new();
    let mut info = CmsContentInfo::from_der(token)?;
    info.verify(None, Some(trusted), None, Some(&mut content), CMSOptions::BINARY)
}

#[cfg(test)]
mod tests {
    use openssl::sha::sha256;

    use super::*;
    use crate::signing::{
        samples::{CHAIN, Tsa, UNKNOWN_ROOT},
        timestamp::{Client, Timestamper},
    };

    fn token(digest: &Hash) -> Vec<u8> {
        let client = Client::new(Box::new(Tsa::new()), None, Box::new(|| [7; 16]));
        client.stamp(digest).unwrap().token
    }

    fn judged(token: &[u8], digest: &Hash, trusted: &[u8]) -> (bool, String) {
        let mut report = Report::default();
        judge(token, digest, &X509::stack_from_pem(trusted).unwrap(), &mut report);
        (report.is_sound(), report.to_string())
    }

    #[test]
    fn a_timestamp_proves_what_it_is_of_and_says_who_vouches_for_it() {
        let digest = sha256(b"un punto de control");
        let token = token(&digest);
        let (sound, text) = judged(&token, &digest, CHAIN);
        assert!(sound && text.contains("ya existía el") && text.contains("lleva a una de sus raíces"), "{text}");
        let (sound, text) = judged(&token, &digest, b"");
        assert!(sound && text.contains("no se dieron raíces de confianza"), "{text}");
        let (sound, text) = judged(&token, &digest, UNKNOWN_ROOT);
        assert!(!sound && text.contains("no lleva a sus raíces de confianza"), "{text}");
        let (sound, text) = judged(&token, &sha256(b"otro"), CHAIN);
        assert!(!sound && text.contains("es de otra cosa"), "{text}");
    }

    #[test]
    fn what_is_no_timestamp_proves_nothing() {
        let digest = sha256(b"un punto de control");
        let token = token(&digest);
        let mut changed = token.clone();
        let at = memchr::memmem::find(&token, &digest).unwrap();
        changed[at] ^= 1;
        for bad in [&changed[..], &token[..token.len() / 2], b"", b"hola"] {
            let (sound, text) = judged(bad, &digest, b"");
            assert!(!sound && text.contains("no está íntegro"), "{text}");
        }
    }
}
