//! Timestamps of RFC 3161: asks an authority (TSA) to state that a digest existed at a moment, and believes no answer that
//! is not about that digest, that question, and signed by a certificate made for it. Whether the authority is one to trust
//! is for who verifies the document.
//!
//! Opens no connection: [`Transport`] carries the bytes. Blocks while it waits, as signing does.

use der::{
    AnyRef, Decode, Encode, Reader, SliceReader, Tag, Tagged,
    asn1::{ObjectIdentifier, OctetStringRef, UintRef},
    oid::db,
};
use jiff::Timestamp;
use openssl::{
    nid::Nid,
    pkcs7::{Pkcs7, Pkcs7Flags},
    stack::Stack,
    x509::{X509, X509ExtendedKeyUsage, store::X509StoreBuilder},
};

use super::asn1::{BOOLEAN, OCTET_STRING, algorithm, oid, sequence, tlv, unsigned};

/// Largest token taken, in bytes: room for it is kept in a signature before it is asked for.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Largest answer read, in bytes.
pub const ANSWER_BYTES_MAX: usize = TOKEN_BYTES_MAX + 4 * 1024;

/// Media types of question and answer over HTTP (RFC 3161, 3.4).
pub const QUERY_TYPE: &str = "application/timestamp-query";
pub const REPLY_TYPE: &str = "application/timestamp-reply";

/// id-ct-TSTInfo.
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// Carries a question to the authority and its answer back.
pub trait Transport: Send + Sync {
    /// `Err`: what went wrong, in Spanish. Reads at most [`ANSWER_BYTES_MAX`].
    fn exchange(&self, question: &[u8]) -> Result<Vec<u8>, String>;
}

/// Whoever can put a time on a digest.
pub trait Timestamper: Send + Sync {
    /// `digest`: SHA-256.
    fn stamp(&self, digest: &[u8; 32]) -> Result<Stamp, TimestampError>;
}

/// A timestamp that answers our question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The token: ContentInfo in DER.
    pub token: Vec<u8>,
    pub at: Timestamp,
    /// Name of the authority, from its certificate.
    pub authority: String,
}

/// Why there is no timestamp. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    #[error("no se pudo consultar a la autoridad de sellado de tiempo: {0}")]
    Unreachable(String),
    #[error("la autoridad de sellado de tiempo no selló: {0}")]
    Refused(String),
    #[error("la respuesta de la autoridad de sellado de tiempo no se entiende: {0}")]
    Malformed(&'static str),
    #[error("el sello de tiempo es de otro contenido")]
    OtherImprint,
    #[error("el sello de tiempo responde a otra petición")]
    OtherNonce,
    #[error("el sello de tiempo es de la política {0}, no de la pedida")]
    OtherPolicy(String),
    #[error("el certificado que firma el sello de tiempo no está hecho para sellar")]
    UnfitCertificate,
    #[error("la firma del sello de tiempo no es válida")]
    BadSignature,
}

/// 16 bytes that nobody can guess, new at every call.
pub type Nonces = Box<dyn Fn() -> [u8; 16] + Send + Sync>;

/// Asks one authority.
pub struct Client {
    transport: Box<dyn Transport>,
    policy: Option<ObjectIdentifier>,
    nonces: Nonces,
}

impl Client {
    /// `policy`: the only one accepted; without it, whichever the authority applies.
    pub fn new(transport: Box<dyn Transport>, policy: Option<ObjectIdentifier>, nonces: Nonces) -> Self {
        Self { transport, policy, nonces }
    }

    fn question(&self, digest: &[u8; 32], nonce: &[u8]) -> Vec<u8> {
        let imprint = sequence(&[&algorithm(db::rfc5912::ID_SHA_256, true), &tlv(OCTET_STRING, digest)]);
        let policy = self.policy.map(oid).unwrap_or_default();
        let cert_req = tlv(BOOLEAN, &[0xff]);
        sequence(&[&unsigned(&[1]), &imprint, &policy, &unsigned(nonce), &cert_req])
    }
}

impl Timestamper for Client {
    fn stamp(&self, digest: &[u8; 32]) -> Result<Stamp, TimestampError> {
        let nonce = (self.nonces)();
        let answer = self.transport.exchange(&self.question(digest, &nonce)).map_err(TimestampError::Unreachable)?;
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(TimestampError::Malformed("es demasiado grande"));
        }
        let token = token_of(&answer)?;
        let (info, signer) = open(&token)?;
        if info.digest_algorithm != db::rfc5912::ID_SHA_256 || info.imprint != digest {
            return Err(TimestampError::OtherImprint);
        }
        if info.nonce.as_deref() != Some(trimmed(&nonce)) {
            return Err(TimestampError::OtherNonce);
        }
        if self.policy.is_some_and(|asked| asked != info.policy) {
            return Err(TimestampError::OtherPolicy(info.policy.to_string()));
        }
        let name = signer.subject_name().entries_by_nid(Nid::COMMONNAME).next();
        let authority = name.and_then(|name| name.data().to_string().ok()).unwrap_or_default();
        Ok(Stamp { token, at: info.at, authority })
    }
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The token in a TimeStampResp, or what the authority says instead.
fn token_of(answer: &[u8]) -> Result<Vec<u8>, TimestampError> {
    let malformed = |_: der::Error| TimestampError::Malformed("no es una respuesta de RFC 3161");
    let whole = AnyRef::from_der(answer).map_err(malformed)?;
    let (status, texts, token): (u8, Vec<String>, Option<Vec<u8>>) = whole
        .sequence(|answer| {
            let info: AnyRef<'_> = answer.decode()?;
            let (status, texts) = info.sequence(read_status)?;
            let token = if answer.is_finished() { None } else { Some(answer.decode::<AnyRef<'_>>()?.to_der()?) };
            Ok((status, texts, token))
        })
        .map_err(malformed)?;
    match (status, token) {
        // granted, grantedWithMods
        (0 | 1, Some(token)) if token.len() <= TOKEN_BYTES_MAX => Ok(token),
        (0 | 1, Some(_)) => Err(TimestampError::Malformed("su sello es demasiado grande")),
        (0 | 1, None) => Err(TimestampError::Malformed("dice que selló y no trae el sello")),
        (status, _) => Err(TimestampError::Refused(reason(status, &texts))),
    }
}

/// PKIStatusInfo: the status and the texts; the failure bits add nothing that a person can use.
fn read_status(info: &mut SliceReader<'_>) -> der::Result<(u8, Vec<String>)> {
    let status: u8 = info.decode()?;
    let mut texts = Vec::new();
    while !info.is_finished() {
        let part: AnyRef<'_> = info.decode()?;
        if part.tag() == Tag::Sequence {
            let mut inside = SliceReader::new(part.value())?;
            while !inside.is_finished() {
                let text: AnyRef<'_> = inside.decode()?;
                texts.push(String::from_utf8_lossy(text.value()).into_owned());
            }
        }
    }
    Ok((status, texts))
}

fn reason(status: u8, texts: &[String]) -> String {
    // A stranger's words: no more than fits in a sentence.
    const TEXT_CHARS_MAX: usize = 200;
    let word = match status {
        2 => "petición rechazada",
        3 => "respuesta en espera",
        4 => "aviso de revocación",
        5 => "fue revocada",
        _ => "estado desconocido",
    };
    let told: String = texts.join(" ").chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect();
    if told.is_empty() { word.to_owned() } else { format!("{word} («{told}»)") }
}

/// What a token states, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TstInfo {
    pub policy: ObjectIdentifier,
    pub digest_algorithm: ObjectIdentifier,
    pub imprint: Vec<u8>,
    pub at: Timestamp,
    pub nonce: Option<Vec<u8>>,
}

impl TstInfo {
    pub fn read(bytes: &[u8]) -> Result<Self, TimestampError> {
        let parsed = AnyRef::from_der(bytes).and_then(|any| any.sequence(Self::fields)).ok();
        let (mut info, at) = parsed.ok_or(TimestampError::Malformed("su contenido no es un sello"))?;
        info.at = generalized(&at).ok_or(TimestampError::Malformed("no dice la hora"))?;
        Ok(info)
    }

    fn fields(reader: &mut SliceReader<'_>) -> der::Result<(Self, Vec<u8>)> {
        let _version: u8 = reader.decode()?;
        let policy = reader.decode()?;
        let imprint: AnyRef<'_> = reader.decode()?;
        let (digest_algorithm, imprint) = imprint.sequence(|imprint| {
            let id: AnyRef<'_> = imprint.decode()?;
            let id = SliceReader::new(id.value())?.decode()?;
            Ok((id, imprint.decode::<OctetStringRef<'_>>()?.as_bytes().to_vec()))
        })?;
        let _serial: AnyRef<'_> = reader.decode()?;
        let at: AnyRef<'_> = reader.decode()?;
        let mut nonce = None;
        while !reader.is_finished() {
            let part: AnyRef<'_> = reader.decode()?;
            if part.tag() == Tag::Integer {
                nonce = Some(part.decode_as::<UintRef<'_>>()?.as_bytes().to_vec());
            }
        }
        let time = if at.tag() == Tag::GeneralizedTime { at.value().to_vec() } else { Vec::new() };
        Ok((Self { policy, digest_algorithm, imprint, at: Timestamp::UNIX_EPOCH, nonce }, time))
    }
}

/// GeneralizedTime with or without a fraction of the second, always in UTC (RFC 3161, 2.4.2).
fn generalized(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}.{:.9}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?,
        fraction
    );
    iso.parse().ok()
}

/// What a token says and who signed it, its signature and the signer's purpose checked; not who vouches for the signer.
pub fn open(token: &[u8]) -> Result<(TstInfo, X509), TimestampError> {
    if content_type(token).ok() != Some(TST_INFO) {
        return Err(TimestampError::Malformed("el sello no es CMS firmado"));
    }
    let (content, signer) = verified(token)?;
    Ok((TstInfo::read(&content)?, signer))
}

/// What the SignedData in a ContentInfo is about. Only walks the outside: authorities are not all strict about DER within.
fn content_type(token: &[u8]) -> der::Result<ObjectIdentifier> {
    AnyRef::from_der(token)?.sequence(|info| {
        let _signed_data: ObjectIdentifier = info.decode()?;
        let explicit: AnyRef<'_> = info.decode()?;
        let data: AnyRef<'_> = SliceReader::new(explicit.value())?.decode()?;
        let mut data = SliceReader::new(data.value())?;
        let (_version, _digests): (AnyRef<'_>, AnyRef<'_>) = (data.decode()?, data.decode()?);
        let content: AnyRef<'_> = data.decode()?;
        SliceReader::new(content.value())?.decode()
    })
}

/// The content of a token and the one certificate that signed it.
fn verified(token: &[u8]) -> Result<(Vec<u8>, X509), TimestampError> {
    let bad = |_: openssl::error::ErrorStack| TimestampError::BadSignature;
    let pkcs7 = Pkcs7::from_der(token).map_err(bad)?;
    let none = Stack::new().map_err(bad)?;
    let store = X509StoreBuilder::new().map_err(bad)?.build();
    // The chain is judged by who verifies the document, with its anchors.
    let flags = Pkcs7Flags::NOVERIFY | Pkcs7Flags::BINARY;
    let mut content = Vec::new();
    pkcs7.verify(&none, &store, None, Some(&mut content), flags).map_err(bad)?;
    let signers = pkcs7.signers(&none, Pkcs7Flags::empty()).map_err(bad)?;
    let signer = signers.iter().next().filter(|_| signers.len() == 1).ok_or(TimestampError::BadSignature)?.to_owned();
    // RFC 3161, 2.3: this purpose, and no other.
    match signer.extended_key_usage() {
        Some(usage) if usage == X509ExtendedKeyUsage::TIMESTAMP => Ok((content, signer)),
        _ => Err(TimestampError::UnfitCertificate),
    }
}

#[cfg(test)]
mod tests {
    use openssl::sha::sha256;

    use super::*;
    use crate::signing::samples::Tsa;

    const DIGEST: [u8; 32] = [7; 32];

    fn client(transport: impl Transport + 'static) -> Client {
        Client::new(Box::new(transport), None, Box::new(|| [0, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5]))
    }

    /// Puts something between question and answer.
    struct Between<F>(F);

    impl<F: Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync> Transport for Between<F> {
        fn exchange(&self, question: &[u8]) -> Result<Vec<u8>, String> {
            self.0(question)
        }
    }

    #[test]
    fn an_honest_answer_is_taken_with_its_time_and_authority() {
        let stamp = client(Tsa::new()).stamp(&DIGEST).unwrap();
        assert_eq!(stamp.authority, "TSA DE PRUEBA DE CHASQUI");
        assert!(stamp.at > "2026-01-01T00:00:00Z".parse().unwrap(), "{}", stamp.at);
        assert!(stamp.token.len() < TOKEN_BYTES_MAX);
        let asked = Client { policy: Some(ObjectIdentifier::new_unwrap("1.2.3.4.1")), ..client(Tsa::new()) };
        assert!(asked.stamp(&DIGEST).is_ok());
    }

    #[test]
    fn answers_to_another_question_are_not_taken() {
        let nonce_of_another = Between(|question: &[u8]| {
            let at = question.len() - 5;
            let mut other = question.to_vec();
            other[at] ^= 1;
            Tsa::new().exchange(&other)
        });
        assert_eq!(client(nonce_of_another).stamp(&DIGEST), Err(TimestampError::OtherNonce));
        let digest_of_another = Between(|question: &[u8]| {
            let at = question.windows(32).position(|w| w == DIGEST).unwrap();
            let mut other = question.to_vec();
            other[at] ^= 1;
            Tsa::new().exchange(&other)
        });
        assert_eq!(client(digest_of_another).stamp(&DIGEST), Err(TimestampError::OtherImprint));
        let asked = Client { policy: Some(ObjectIdentifier::new_unwrap("1.2.3.4.1")), ..client(Tsa::new()) };
        let (other, question) = (client(Tsa::new()), asked.question(&DIGEST, &(asked.nonces)()));
        let answer = Tsa::new().exchange(&other.question(&DIGEST, &(asked.nonces)())).unwrap();
        assert_ne!(question, other.question(&DIGEST, &(asked.nonces)()));
        let policy_of_another = Client { transport: Box::new(Between(move |_: &[u8]| Ok(answer.clone()))), ..asked };
        assert_eq!(policy_of_another.stamp(&DIGEST), Err(TimestampError::OtherPolicy("1.2.3.4.9".into())));
    }

    #[test]
    fn a_refusal_is_told_in_the_authoritys_words() {
        let unknown = Client { policy: Some(ObjectIdentifier::new_unwrap("1.2.3.4.777")), ..client(Tsa::new()) };
        let error = unknown.stamp(&DIGEST).unwrap_err();
        let expected =
            "la autoridad de sellado de tiempo no selló: petición rechazada («Requested policy is not supported.»)";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_changed_token_and_a_certificate_made_for_something_else_are_not_taken() {
        let changed = Between(|question: &[u8]| {
            let mut answer = Tsa::new().exchange(question)?;
            let last = answer.len() - 1;
            answer[last] ^= 1;
            Ok(answer)
        });
        assert_eq!(client(changed).stamp(&DIGEST), Err(TimestampError::BadSignature));
        let unfit = Between(|question: &[u8]| Tsa::without_usage().exchange(question));
        assert_eq!(client(unfit).stamp(&DIGEST), Err(TimestampError::UnfitCertificate));
    }

    #[test]
    fn what_is_no_answer_at_all_is_told_and_nothing_breaks() {
        let honest = Tsa::new().exchange(&client(Tsa::new()).question(&DIGEST, &[1; 16])).unwrap();
        let mut wrong = vec![b"<html>".to_vec(), Vec::new(), vec![0x30, 0x80], vec![0; ANSWER_BYTES_MAX + 1]];
        wrong.extend((0..honest.len()).step_by(7).map(|at| honest[..at].to_vec()));
        for answer in wrong {
            let told = client(Between(move |_: &[u8]| Ok(answer.clone()))).stamp(&DIGEST).unwrap_err();
            assert!(matches!(told, TimestampError::Malformed(_)), "{told}");
        }
        let down = client(Between(|_: &[u8]| Err("no respondió en 10 s".into())));
        let expected = "no se pudo consultar a la autoridad de sellado de tiempo: no respondió en 10 s";
        assert_eq!(down.stamp(&sha256(b"x")).unwrap_err().to_string(), expected);
    }

    #[test]
    fn times_may_have_fractions_of_a_second() {
        let at = |text: &str| generalized(text.as_bytes()).map(|at| at.to_string());
        assert_eq!(at("20261121150000Z").as_deref(), Some("2026-11-21T15:00:00Z"));
        assert_eq!(at("20261121150000.25Z").as_deref(), Some("2026-11-21T15:00:00.25Z"));
        for wrong in ["2026112115Z", "20261121150000", "20261321150000Z", "20261121150000.Z", "202611211500-5Z"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
