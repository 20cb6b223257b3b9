//! The corpus: sound, odd and hostile documents, each with the verdict it must get.

use std::io::Cursor;

use super::{Context, examine_counting};
use crate::{
    domain::firmas::{Exigencia, Informe, TipoFirma, Veredicto, VeredictoFirma},
    signing::{begun::Hashing, trust::Trust},
};

mod cases;
mod paper;

use paper::{GOOD_STAMP, Paper, Pen, now, pem};

/// The root of `fixtures/pki` only, as an entity would configure it.
fn trust() -> Trust {
    let mut trust = Trust::default();
    trust.with(&pem("root.cert"), "root").expect("a root");
    trust
}

fn examine_with(bytes: &[u8], trust: &Trust) -> Informe {
    let context = Context { now: now(), trust, folios: Some(1), revocation: None, begun: None };
    let (report, work) = examine_counting(Cursor::new(bytes), &context);
    let allowed = 64 * 1024 * 1024 + 10 * bytes.len() as u64;
    assert!(work <= allowed, "{work} bytes of work on {} bytes", bytes.len());
    report
}

fn examine(bytes: &[u8]) -> Informe {
    examine_with(bytes, &trust())
}

#[test]
fn every_case_of_the_corpus_gets_its_verdict() {
    let cases = cases::all();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let report = examine(&case.bytes);
        if report.veredicto != case.verdict || !(case.code.is_empty() || report.tiene(case.code)) {
            let expected = (case.verdict.palabra(), case.code);
            wrong.push(format!("{}: expected {expected:?}\n{}", case.name, report.texto()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn a_document_hashed_as_it_came_in_gets_the_same_report_for_less_work() {
    let trust = trust();
    for case in &cases::all() {
        let mut hashing = Hashing::default();
        case.bytes.chunks(997).for_each(|piece| hashing.update(piece));
        let (_, begun) = hashing.finish();
        let examined = |begun| {
            let context = Context { now: now(), trust: &trust, folios: Some(1), revocation: None, begun };
            examine_counting(Cursor::new(&case.bytes), &context)
        };
        let ((plain, work), (report, less)) = (examined(None), examined(Some(&begun)));
        assert_eq!(serde_json::to_value(&report).unwrap(), serde_json::to_value(&plain).unwrap(), "{}", case.name);
        assert!(less <= work, "{}: {less} bytes instead of {work}", case.name);
    }
    let mut paper = Paper::new();
    paper.sign(&Pen::default());
    let text = String::from_utf8_lossy(&paper.bytes);
    let gap: u64 = text.split("/ByteRange").nth(1).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    let mut hashing = Hashing::default();
    hashing.update(&paper.bytes);
    let (_, begun) = hashing.finish();
    assert!(begun.until(gap).is_some(), "{begun:?} has no {gap}");
}

#[test]
fn a_signed_letter_says_who_signed_and_when() {
    let mut paper = Paper::new();
    paper.sign(&Pen { stamp: Some(GOOD_STAMP), ..Pen::default() });
    let report = examine(&paper.bytes);
    let signature = &report.firmas[0];
    let person = signature.firmante.as_ref().expect("a person");
    assert_eq!(person.nombre, "PÉREZ QUISPE Juana Rosa");
    assert_eq!((person.dni.as_deref(), person.ruc.as_deref()), (Some("40633367"), Some("20900000015")));
    let stamp = signature.sello_de_tiempo.as_ref().expect("a timestamp");
    assert_eq!((stamp.fecha.to_string().as_str(), stamp.confiable), ("2026-11-20T15:01:00Z", true));
    assert_eq!(signature.fecha_declarada.map(|at| at.to_string()).as_deref(), Some("2026-11-20T15:00:00Z"));
    assert!(signature.cubre_todo);
    assert_eq!((signature.revision, report.revisiones, report.paginas), (Some(2), 2, Some(1)));
    let text = report.texto();
    for words in ["FIRMAS CONFIABLES", "PÉREZ QUISPE Juana Rosa, DNI 40633367", "RUC 20900000015", "todo el documento"]
    {
        assert!(text.contains(words), "{words} is missing in\n{text}");
    }
}

#[test]
fn two_signers_each_cover_what_they_saw() {
    let mut paper = Paper::new();
    paper.sign(&Pen::default()).sign(&Pen::of("persona-gobierno"));
    let report = examine(&paper.bytes);
    assert_eq!(report.veredicto, Veredicto::Confiable, "{}", report.texto());
    assert_eq!(report.firmas.iter().map(|f| f.cubre_todo).collect::<Vec<_>>(), [false, true]);
    assert!(report.firmas[0].hallazgos.iter().any(|finding| finding.codigo == "firma_agregada"));
}

#[test]
fn without_anchors_nobody_is_vouched_for() {
    let mut paper = Paper::new();
    paper.sign(&Pen::default());
    let report = examine_with(&paper.bytes, &Trust::default());
    assert_eq!(report.veredicto, Veredicto::Integro);
    assert!(report.tiene("sin_anclas"));
}

#[test]
fn a_demand_that_is_not_met_is_explained() {
    let unsigned = examine(&Paper::new().bytes);
    assert_eq!(unsigned.incumple(Exigencia::Inform), None);
    let why = unsigned.incumple(Exigencia::RequireSignature).expect("refused");
    assert!(why.contains("no tiene ninguna firma"), "{why}");
    let mut unknown = Paper::new();
    unknown.sign(&Pen::of("unknown-ca"));
    let unknown = examine(&unknown.bytes);
    assert_eq!(unknown.incumple(Exigencia::RequireSignature), None);
    let why = unknown.incumple(Exigencia::RequireTrusted).expect("refused");
    assert!(why.contains("no lleva a ninguna entidad de confianza"), "{why}");
}

#[test]
fn a_stamp_alone_is_no_signature_of_a_person() {
    let mut paper = Paper::new();
    paper.sign(&Pen { format: "ETSI.RFC3161", ..Pen::default() });
    let report = examine(&paper.bytes);
    assert_eq!(report.veredicto, Veredicto::Confiable, "{}", report.texto());
    assert_eq!(report.firmas[0].tipo, TipoFirma::SelloDeTiempo);
    assert!(report.incumple(Exigencia::RequireSignature).is_some());
}

#[test]
fn the_number_of_pages_is_compared_with_the_folios() {
    let context = Context { now: now(), trust: &trust(), folios: Some(3), revocation: None, begun: None };
    let report = super::examine(Cursor::new(Paper::new().bytes), &context);
    assert!(report.tiene("folios_distintos"));
    assert!(!examine(&Paper::new().bytes).tiene("folios_distintos"));
}

/// Whether a report says: valid, and covering the whole file.
fn passes(report: &Informe) -> bool {
    report.veredicto == Veredicto::Confiable
        && report.firmas.iter().all(|firma| firma.veredicto == VeredictoFirma::Confiable)
        && report.firmas.iter().any(|firma| firma.cubre_todo)
}

#[test]
fn no_changed_byte_leaves_a_signed_letter_valid_and_covering() {
    let mut paper = Paper::new();
    paper.sign(&Pen { stamp: Some(GOOD_STAMP), ..Pen::default() });
    assert!(passes(&examine(&paper.bytes)));
    let trust = trust();
    let mut bytes = paper.bytes.clone();
    // Every third byte, another bit each time; a case bit of a hexadecimal digit is among them.
    for place in (0..bytes.len()).step_by(3) {
        let flip = 1u8 << ((place / 3) % 8);
        bytes[place] ^= flip;
        let report = examine_with(&bytes, &trust);
        assert!(!passes(&report), "byte {place} with {flip:#x} changed:\n{}", report.texto());
        bytes[place] ^= flip;
    }
}

#[test]
fn no_cut_leaves_a_signed_letter_valid_and_covering() {
    let mut paper = Paper::new();
    paper.sign(&Pen::default());
    let trust = trust();
    for length in (0..paper.bytes.len()).step_by(211).chain(paper.bytes.len() - 40..paper.bytes.len()) {
        let report = examine_with(&paper.bytes[..length], &trust);
        assert!(!passes(&report), "cut to {length}:\n{}", report.texto());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_splice_makes_the_examination_panic_or_pass(
        from in 0usize..20_000, to in 0usize..20_000, length in 1usize..3000, byte in proptest::prelude::any::<u8>()
    ) {
        let mut paper = Paper::new();
        paper.sign(&Pen::default());
        let size = paper.bytes.len();
        let (from, to) = (from % size, to % size);
        let piece: Vec<u8> = paper.bytes[from..(from + length).min(size)].to_vec();
        let mut bytes = paper.bytes.clone();
        bytes.splice(to..to, piece);
        bytes.push(byte);
        proptest::prop_assert!(!passes(&examine(&bytes)));
    }
}
