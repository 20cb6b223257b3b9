//! Documents made for the tests: an official letter of one page, signed, saved again, and spoilt in every way.

use std::fmt::Write as _;

use jiff::Timestamp;
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Padding,
    sign::{RsaPssSaltlen, Signer},
    x509::X509,
};

use crate::signing::{
    asn1::{self, context, sequence, sorted, tlv},
    cms::Digest,
};

/// Room for a signature, in bytes.
const ROOM: usize = 8000;
/// When the letters are signed, as they say.
pub const SIGNED: &str = "D:20261120100000-05'00'";

pub fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a time")
}

pub fn pem(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/pki/{name}.pem", env!("CARGO_MANIFEST_DIR"))).expect("a fixture")
}

/// How a signature is made.
#[derive(Clone)]
pub struct Pen {
    /// A pair of files of `fixtures/pki`.
    pub who: &'static str,
    pub digest: Digest,
    pub pss: bool,
    pub format: &'static str,
    pub date: &'static str,
    /// Without the attribute that binds the certificate.
    pub unbound: bool,
    /// Binds this certificate instead of the signer's.
    pub bind: Option<&'static str>,
    pub stamp: Option<Stamp>,
    pub crl: bool,
    pub extra_certificate: Option<Vec<u8>>,
    pub docmdp: Option<u8>,
    /// What a FieldMDP of the signature locks.
    pub fieldmdp: Option<&'static str>,
    pub unsigned: Vec<u8>,
}

#[derive(Clone, Copy)]
pub struct Stamp {
    pub who: &'static str,
    pub time: &'static str,
    pub wrong: bool,
}

pub const GOOD_STAMP: Stamp = Stamp { who: "tsa", time: "20261120150100Z", wrong: false };

impl Default for Pen {
    fn default() -> Self {
        Self {
            who: "persona-municipalidad",
            digest: Digest::Sha256,
            pss: false,
            format: "ETSI.CAdES.detached",
            date: SIGNED,
            unbound: false,
            bind: None,
            stamp: None,
            crl: false,
            extra_certificate: None,
            docmdp: None,
            fieldmdp: None,
            unsigned: Vec::new(),
        }
    }
}

impl Pen {
    pub fn of(who: &'static str) -> Self {
        Self { who, ..Self::default() }
    }

    fn key(&self) -> PKey<Private> {
        PKey::private_key_from_pem(&pem(&format!("{}.key", self.who))).expect("a key")
    }

    fn certificate(&self) -> Vec<u8> {
        der(self.who)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = self.key();
        let mut signer = Signer::new(self.digest.message_digest(), &key).expect("a signer");
        if self.pss {
            signer.set_rsa_padding(Padding::PKCS1_PSS).expect("RSA");
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).expect("RSA");
        }
        signer.sign_oneshot_to_vec(message).expect("a signature")
    }

    fn scheme(&self) -> Vec<u8> {
        if self.pss {
            let digest = algorithm(self.digest);
            let mask = sequence(&[&oid("1.2.840.113549.1.1.8"), &digest]);
            let salt = tlv(2, &[32]);
            let params = sequence(&[&tlv(context(0), &digest), &tlv(context(1), &mask), &tlv(context(2), &salt)]);
            return sequence(&[&oid("1.2.840.113549.1.1.10"), &params]);
        }
        if self.key().rsa().is_ok() {
            return sequence(&[&oid("1.2.840.113549.1.1.1"), &[5, 0]]);
        }
        let id = match self.digest {
            Digest::Sha384 => "1.2.840.10045.4.3.3",
            Digest::Sha512 => "1.2.840.10045.4.3.4",
            _ => "1.2.840.10045.4.3.2",
        };
        sequence(&[&oid(id)])
    }

    /// A whole CMS structure over a digest; `info` is what a timestamp token carries.
    fn cms(&self, digest: &[u8], info: Option<&[u8]>) -> Vec<u8> {
        let certificate = self.certificate();
        let kind = if info.is_some() { "1.2.840.113549.1.9.16.1.4" } else { "1.2.840.113549.1.7.1" };
        let mut attributes =
            vec![attribute("1.2.840.113549.1.9.3", &oid(kind)), attribute("1.2.840.113549.1.9.4", &tlv(4, digest))];
        if !self.unbound {
            let bound = self.bind.map_or(certificate.clone(), der);
            let hash = tlv(4, &openssl::sha::sha256(&bound));
            let value = sequence(&[&sequence(&[&sequence(&[&hash])])]);
            attributes.push(attribute("1.2.840.113549.1.9.16.2.47", &value));
        }
        if self.crl {
            let crl = openssl::x509::X509Crl::from_pem(&pem("intermediate.crl")).expect("a CRL");
            let list = tlv(context(0), &sequence(&[&crl.to_der().expect("DER")]));
            attributes.push(attribute("1.2.840.113583.1.1.8", &sequence(&[&list])));
        }
        let attributes = sorted(attributes);
        let signature = self.sign(&tlv(0x31, &attributes));
        let mut unsigned = self.unsigned.clone();
        if let Some(stamp) = self.stamp {
            let imprint = openssl::sha::sha256(if stamp.wrong { b"other" } else { &signature });
            unsigned.extend(attribute("1.2.840.113549.1.9.16.2.14", &token(stamp, &imprint)));
        }
        let parsed = crate::signing::certificate::Certificate::from_der(&certificate).expect("a certificate");
        let signer = sequence(&[
            &tlv(2, &[1]),
            &sequence(&[&parsed.issuer, &tlv(2, &parsed.serial)]),
            &algorithm(self.digest),
            &tlv(context(0), &attributes),
            &self.scheme(),
            &tlv(4, &signature),
            &if unsigned.is_empty() { Vec::new() } else { tlv(context(1), &unsigned) },
        ]);
        let mut along = [certificate, der("intermediate")].concat();
        along.extend(self.extra_certificate.clone().unwrap_or_default());
        let content = info.map(|info| tlv(context(0), &tlv(4, info))).unwrap_or_default();
        let signed = sequence(&[
            &tlv(2, &[if info.is_some() { 3 } else { 1 }]),
            &tlv(0x31, &algorithm(self.digest)),
            &sequence(&[&oid(kind), &content]),
            &tlv(context(0), &along),
            &tlv(0x31, &signer),
        ]);
        sequence(&[&oid("1.2.840.113549.1.7.2"), &tlv(context(0), &signed)])
    }
}

/// A timestamp token for this imprint.
pub fn token(stamp: Stamp, imprint: &[u8]) -> Vec<u8> {
    let info = sequence(&[
        &tlv(2, &[1]),
        &oid("1.2.3.4.1"),
        &sequence(&[&algorithm(Digest::Sha256), &tlv(4, imprint)]),
        &tlv(2, &[7]),
        &tlv(0x18, stamp.time.as_bytes()),
    ]);
    Pen::of(stamp.who).cms(&openssl::sha::sha256(&info), Some(&info))
}

pub fn der(name: &str) -> Vec<u8> {
    X509::from_pem(&pem(&format!("{name}.cert"))).expect("a certificate").to_der().expect("DER")
}

fn attribute(id: &str, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(id), &tlv(0x31, value)])
}

pub fn oid(id: &str) -> Vec<u8> {
    asn1::oid(der::asn1::ObjectIdentifier::new(id).expect("an identifier"))
}

fn algorithm(digest: Digest) -> Vec<u8> {
    let id = match digest {
        Digest::Sha1 => "1.3.14.3.2.26",
        Digest::Sha224 => "2.16.840.1.101.3.4.2.4",
        Digest::Sha256 => "2.16.840.1.101.3.4.2.1",
        Digest::Sha384 => "2.16.840.1.101.3.4.2.2",
        Digest::Sha512 => "2.16.840.1.101.3.4.2.3",
    };
    sequence(&[&oid(id), &[5, 0]])
}

/// A document under construction.
#[derive(Clone)]
pub struct Paper {
    pub bytes: Vec<u8>,
    prev: Option<usize>,
    fields: Vec<u32>,
    catalog_more: String,
}

impl Paper {
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// A letter whose catalog and page say more.
    pub fn with(catalog: &str, page: &str) -> Self {
        let mut paper = Self {
            bytes: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec(),
            prev: None,
            fields: Vec::new(),
            catalog_more: catalog.to_owned(),
        };
        let text = "BT /F1 12 Tf 72 720 Td (OFICIO 001-2026) Tj ET";
        paper.save(&[
            (1, paper.catalog()),
            (2, "<</Type/Pages/Kids[3 0 R]/Count 1>>".into()),
            (3, format!("{}{page}>>", page_dict("[]"))),
            (4, stream("", text)),
            (5, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".into()),
            (6, "<</Fields[]/SigFlags 3>>".into()),
            (7, "<</Title(Oficio)>>".into()),
        ]);
        paper
    }

    fn catalog(&self) -> String {
        format!("<</Type/Catalog/Pages 2 0 R/AcroForm 6 0 R{}>>", self.catalog_more)
    }

    /// Adds a revision with these objects.
    pub fn save(&mut self, objects: &[(u32, String)]) -> &mut Self {
        let mut places = Vec::new();
        for (number, body) in objects {
            places.push((*number, self.bytes.len()));
            self.bytes.extend_from_slice(format!("{number} 0 obj\n{body}\nendobj\n").as_bytes());
        }
        self.table(&places, "")
    }

    pub fn table(&mut self, places: &[(u32, usize)], more: &str) -> &mut Self {
        let at = self.bytes.len();
        let mut text = String::from("xref\n");
        if self.prev.is_none() {
            text.push_str("0 1\n0000000000 65535 f \n");
        }
        for (number, place) in places {
            write!(text, "{number} 1\n{place:010} 00000 n \n").expect("memory");
        }
        let prev = self.prev.map(|prev| format!("/Prev {prev}")).unwrap_or_default();
        write!(text, "trailer\n<</Root 1 0 R/Info 7 0 R/Size 100{prev}{more}>>\nstartxref\n{at}\n%%EOF\n")
            .expect("memory");
        self.bytes.extend_from_slice(text.as_bytes());
        self.prev = Some(at);
        self
    }

    /// Signs in a revision of its own.
    pub fn sign(&mut self, pen: &Pen) -> &mut Self {
        self.sign_with(pen, &[])
    }

    /// Signs, in a revision that also brings these objects.
    pub fn sign_with(&mut self, pen: &Pen, objects: &[(u32, String)]) -> &mut Self {
        let index = u32::try_from(self.fields.len()).expect("few");
        let (value, field) = (20 + 2 * index, 21 + 2 * index);
        self.fields.push(field);
        let list: String = self.fields.iter().map(|field| format!("{field} 0 R ")).collect();
        let reference = pen.docmdp.map(|p| {
            format!("/Reference[<</Type/SigRef/TransformMethod/DocMDP/TransformParams<</Type/TransformParams/P {p}/V/1.2>>>>]")
        });
        let reference = reference.or_else(|| {
            let locks = pen.fieldmdp?;
            Some(format!("/Reference[<</Type/SigRef/TransformMethod/FieldMDP/TransformParams<</Type/TransformParams/V/1.2{locks}>>>>]"))
        });
        let kind = if pen.format == "ETSI.RFC3161" { "DocTimeStamp" } else { "Sig" };
        let blank = "0".repeat(2 * ROOM);
        let dict = format!(
            "<</Type/{kind}/Filter/Adobe.PPKLite/SubFilter/{}/ByteRange[0 {:>10} {:>10} {:>10}]/Contents<{blank}>/M({}){}>>",
            pen.format,
            0,
            0,
            0,
            pen.date,
            reference.unwrap_or_default()
        );
        let widget =
            format!("<</Type/Annot/Subtype/Widget/FT/Sig/T(Firma{index})/V {value} 0 R/Rect[0 0 0 0]/F 132/P 3 0 R>>");
        let mut all = vec![
            (value, dict),
            (field, widget),
            (6, format!("<</Fields[{list}]/SigFlags 3>>")),
            (3, format!("{}>>", page_dict(&format!("[{list}]")))),
        ];
        if pen.docmdp.is_some() {
            self.catalog_more = format!("/Perms<</DocMDP {value} 0 R>>");
            all.push((1, self.catalog()));
        }
        all.retain(|(number, _)| objects.iter().all(|(other, _)| other != number));
        all.extend_from_slice(objects);
        let before = self.bytes.len();
        self.save(&all);
        self.seal(pen, before);
        self
    }

    /// Fills in the last signature that was begun after `from`.
    pub fn seal(&mut self, pen: &Pen, from: usize) {
        let hit = |text: &[u8]| from + memchr::memmem::find(&self.bytes[from..], text).expect("a signature");
        let start = hit(b"/Contents<0000") + "/Contents".len();
        let end = start + 2 * ROOM + 2;
        let range = hit(b"/ByteRange[") + "/ByteRange[".len();
        let text = format!("0 {start:>10} {end:>10} {:>10}", self.bytes.len() - end);
        self.bytes[range..range + text.len()].copy_from_slice(text.as_bytes());
        let signed = [&self.bytes[..start], &self.bytes[end..]].concat();
        let hash = |digest: MessageDigest| openssl::hash::hash(digest, &signed).expect("a digest").to_vec();
        let cms = if pen.format == "ETSI.RFC3161" {
            let stamp = pen.stamp.unwrap_or(GOOD_STAMP);
            token(stamp, &hash(MessageDigest::sha256()))
        } else {
            pen.cms(&hash(pen.digest.message_digest()), None)
        };
        self.put(start, &cms);
    }

    /// Writes a signature into its place.
    pub fn put(&mut self, start: usize, cms: &[u8]) {
        assert!(cms.len() <= ROOM, "{} bytes", cms.len());
        let text: String = cms.iter().map(|byte| format!("{byte:02x}")).collect();
        self.bytes[start + 1..start + 1 + text.len()].copy_from_slice(text.as_bytes());
    }

    /// Replaces the first occurrence of a text by one of the same length.
    pub fn swap(&mut self, from: &str, to: &str) -> &mut Self {
        assert_eq!(from.len(), to.len());
        let at = memchr::memmem::find(&self.bytes, from.as_bytes()).expect("the text");
        self.bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        self
    }

    pub fn find(&self, text: &str) -> usize {
        memchr::memmem::find(&self.bytes, text.as_bytes()).expect("the text")
    }
}

pub fn page_dict(annotations: &str) -> String {
    format!(
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>/Annots{annotations}"
    )
}

pub fn stream(dict: &str, data: &str) -> String {
    format!("<<{dict}/Length {}>>\nstream\n{data}\nendstream", data.len())
}
