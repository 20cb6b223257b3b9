//! Signatures that others made: examining PDFs, the structure of CMS, certificates.

use std::{io::Cursor, sync::OnceLock};

use chasqui::signing::{
    certificate::Certificate,
    cms::{self, SignedData, TimeInfo},
    trust::Trust,
    verify::{Context, examine_counting},
};

/// Bytes read and decoded for one examination, at most: what the reader allows for small files, and a little more.
const WORK_MAX: u64 = 300 * 1024 * 1024;

/// The test PKI, whose keys signed the corpus.
fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let mut trust = Trust::default();
        trust.with(include_bytes!("../../../fixtures/pki/chain.pem"), "chain.pem").expect("the test PKI");
        trust
    })
}

pub fn examination(data: &[u8]) {
    let now = "2026-11-22T12:00:00Z".parse().expect("a time");
    let context = Context { now, trust: trust(), folios: Some(1), revocation: None, begun: None };
    let (report, work) = examine_counting(Cursor::new(data), &context);
    assert!(work <= WORK_MAX, "{work} bytes of work");
    assert!(!report.resumen.is_empty(), "a report without a word");
}

pub fn cms(data: &[u8]) {
    let normalized = cms::normalized(data);
    for der in [Some(data), normalized.as_deref().ok()].into_iter().flatten() {
        if let Ok(signed) = SignedData::parse(der) {
            let _ = (signed.certificate().map(Certificate::summary), signed.binds_certificate(), signed.revocation());
            let _ = (signed.signing_time(), signed.algorithm(), signed.is_weak(), signed.has_strange_attributes());
            assert!(signed.check(&[0; 32]).is_err(), "nobody signed it");
            if let Some(token) = signed.timestamp_token() {
                let _ = SignedData::parse(token).map(|token| token.algorithm());
            }
        }
    }
    let _ = TimeInfo::parse(data);
    if let Ok(certificate) = Certificate::from_der(data) {
        let _ = (certificate.person(), certificate.summary(), certificate.name(), certificate.may_sign());
        let _ = (certificate.issued(&certificate), certificate.may_stamp_time());
    }
}

pub fn anchors(data: &[u8]) {
    let mut trust = Trust::default();
    if let Ok(added) = trust.with(data, "x.pem") {
        assert_eq!(added, trust.anchors().len());
    }
}
