use super::{samples::*, *};
use crate::signing::trust::Purpose;

const PERSON: &[u8] = include_bytes!("../../../fixtures/pki/persona-municipalidad.cert.pem");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn certificate(pem: &[u8]) -> Certificate {
    Certificate::from_der(&openssl::x509::X509::from_pem(pem).unwrap().to_der().unwrap()).unwrap()
}

const NOW: &str = "2026-11-22T12:00:00Z";

fn read(services: &str) -> TrustedList {
    let bytes = list("2026-11-01T00:00:00.210Z", "2027-05-01T00:00:00.210Z", 25, services);
    TrustedList::read(&bytes, &signers(), at(NOW)).unwrap()
}

#[test]
fn a_list_in_the_peruvian_shape_is_read_with_its_services() {
    let issuer = service(ISSUER, INTERMEDIATE, SUPERVISED, "2025-01-19T18:22:13.000Z", &[]);
    let tsa = service(TSA, TSA_CERT, GRANTED, "2025-02-01T00:00:00", &[]);
    let other =
        service("http://uri.etsi.org/TrstSvc/Svctype/unspecified", TSA_CERT, GRANTED, "2025-02-01T00:00:00Z", &[]);
    let broken = service(ISSUER, "AAAA", GRANTED, "2025-02-01T00:00:00Z", &[]);
    let list = read(&[issuer, tsa, other, broken].concat());
    assert_eq!((&*list.operator, &*list.territory, list.sequence), ("AUTORIDAD DE PRUEBA", "PE", 25));
    assert_eq!((list.services.len(), list.ignored), (2, 2));
    let issuer = &list.services[0];
    assert_eq!((&*issuer.provider, &*issuer.name), ("PRESTADOR DE PRUEBA", "SERVICIO DE EMISIÓN"));
    assert_eq!((&*issuer.status, issuer.since), ("undersupervision", at("2025-01-19T18:22:13Z")));
    assert_eq!(list.services[1].since, at("2025-02-01T00:00:00Z"), "without zone: UTC");
    assert!(!list.overdue(at(NOW)) && list.overdue(at("2027-05-02T00:00:00Z")));
}

#[test]
fn a_service_is_believed_for_what_it_does_and_when_it_was_vouched_for() {
    let history =
        [(SUPERVISED, "2025-03-01T00:00:00Z"), (WITHDRAWN, "2025-02-01T00:00:00Z"), (GRANTED, "2025-01-10T00:00:00Z")];
    let services = [
        service(ISSUER, INTERMEDIATE, WITHDRAWN, "2026-06-01T00:00:00Z", &history),
        service(TSA, TSA_CERT, GRANTED, "2025-02-01T00:00:00Z", &[]),
    ];
    let mut trust = Trust::default();
    assert_eq!(trust.with_list(&read(&services.concat()), "lista").unwrap(), 2);
    let person = certificate(PERSON);
    let judge = |when: &str| trust.chain(&person, &[], at(when)).0;
    assert_eq!(judge("2025-01-05T00:00:00Z"), Chain::NotVouched, "not yet");
    assert_eq!(judge("2025-01-20T00:00:00Z"), Chain::Trusted);
    assert_eq!(judge("2025-02-10T00:00:00Z"), Chain::NotVouched, "withdrawn for a month");
    assert_eq!(judge("2026-05-31T23:59:59Z"), Chain::Trusted);
    assert_eq!(judge("2026-06-01T00:00:00Z"), Chain::NotVouched, "withdrawn");
    let tsa = certificate(TSA_CERT.as_bytes());
    assert_eq!(trust.chain_for(Purpose::TimeStamping, &tsa, &[], at(NOW)).0, Chain::Trusted);
    assert_eq!(trust.chain(&tsa, &[], at(NOW)).0, Chain::NotVouched, "it gives timestamps, it does not issue");
    assert_eq!(trust.chain_for(Purpose::TimeStamping, &person, &[], at("2025-01-20T00:00:00Z")).0, Chain::NotVouched);
    // A file of the operator's own is believed whatever a list says.
    assert_eq!(trust.with(INTERMEDIATE.as_bytes(), "propio.pem").unwrap(), 1);
    assert_eq!(trust.chain(&person, &[], at(NOW)).0, Chain::Trusted);
}

#[test]
fn an_issuer_that_was_withdrawn_is_not_believed_for_the_sake_of_the_one_above_it() {
    let root = include_str!("../../../fixtures/pki/root.cert.pem");
    let services = |below: &str| {
        let history = [(GRANTED, "2025-01-10T00:00:00Z")];
        let below = service(ISSUER, INTERMEDIATE, below, "2026-06-01T00:00:00Z", &history);
        [below, service(ISSUER, root, GRANTED, "2025-01-10T00:00:00Z", &[])].concat()
    };
    let (person, issuer) = (certificate(PERSON), certificate(INTERMEDIATE.as_bytes()));
    let judge = |trust: &Trust, when: &str| trust.chain(&person, std::slice::from_ref(&issuer), at(when)).0;
    let mut trust = Trust::default();
    trust.with_list(&read(&services(WITHDRAWN)), "lista").unwrap();
    assert_eq!(judge(&trust, "2026-05-31T00:00:00Z"), Chain::Trusted);
    assert_eq!(judge(&trust, NOW), Chain::NotVouched);
    let mut granted = Trust::default();
    granted.with_list(&read(&services(GRANTED)), "lista").unwrap();
    assert_eq!(judge(&granted, NOW), Chain::Trusted);
    // The operator's own word on the one above counts for all below it.
    trust.with(root.as_bytes(), "propio.pem").unwrap();
    assert_eq!(judge(&trust, NOW), Chain::Trusted);
}

#[test]
fn who_may_not_sign_lists_is_told_apart_from_who_changed_one() {
    let bytes = list("2026-11-01T00:00:00Z", "2027-05-01T00:00:00Z", 1, "");
    let read = |bytes: &[u8], signers: &Trust, now: &str| TrustedList::read(bytes, signers, at(now)).map(|_| ());
    assert_eq!(read(&bytes, &signers(), NOW), Ok(()));
    assert_eq!(read(&bytes, &Trust::default(), NOW), Err(ListFault::Stranger));
    let mut other = Trust::default();
    other.with(include_bytes!("../../../fixtures/pki/unknown-root.cert.pem"), "x").unwrap();
    assert_eq!(read(&bytes, &other, NOW), Err(ListFault::Stranger));
    assert_eq!(read(&bytes, &signers(), "2060-01-01T00:00:00Z"), Err(ListFault::Stranger), "expired");
    // Below the root that issues those who sign lists stand thousands who sign letters.
    let mut root = Trust::default();
    root.with(include_bytes!("../../../fixtures/pki/chain.pem"), "x").unwrap();
    assert_eq!(read(&bytes, &root, NOW), Err(ListFault::Unfit));

    let text = String::from_utf8(bytes).unwrap();
    let changed = text.replace("AUTORIDAD DE PRUEBA", "AUTORIDAD DE PRUEBAS");
    assert_eq!(read(changed.as_bytes(), &signers(), NOW), Err(ListFault::Signature(SignatureFault::Digest)));
    let comment = text.replace("AUTORIDAD DE PRUEBA", "AUTORIDAD<!-- --> DE PRUEBA");
    assert_eq!(read(comment.as_bytes(), &signers(), NOW), Ok(()));
    assert_eq!(read(b"<html/>", &signers(), NOW), Err(ListFault::NotAList));
}

#[test]
fn below_a_root_only_who_was_issued_for_it_signs_lists() {
    let mut root = Trust::default();
    root.with(include_bytes!("../../../fixtures/pki/chain.pem"), "x").unwrap();
    let with = |usage: &str| {
        let mut one = certificate(PERSON);
        one.extended_usage = Some((vec!["1.3.6.1.5.5.7.3.4".into(), usage.into()], false));
        one
    };
    assert!(may_sign_lists(&with("0.4.0.2231.3.0"), &root));
    assert!(!may_sign_lists(&with("1.3.6.1.5.5.7.3.8"), &root) && !may_sign_lists(&certificate(PERSON), &root));
    assert!(may_sign_lists(&certificate(include_bytes!("../../../fixtures/pki/root.cert.pem")), &root), "named itself");
}

#[test]
fn an_older_list_does_not_follow_a_newer_one() {
    let read = |issued: &str, sequence| {
        let bytes = list(issued, "2027-05-01T00:00:00Z", sequence, "");
        TrustedList::read(&bytes, &signers(), at(NOW)).unwrap()
    };
    let (old, new) = (read("2026-05-01T00:00:00Z", 24), read("2026-11-01T00:00:00Z", 25));
    assert_eq!(new.follows(&old), Ok(()));
    assert_eq!(new.follows(&new), Ok(()));
    assert_eq!(old.follows(&new), Err(ListFault::Older));
}
