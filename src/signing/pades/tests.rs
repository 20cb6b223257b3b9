use std::io::Cursor;

use openssl::{
    cms::{CMSOptions, CmsContentInfo},
    x509::{X509, store::X509StoreBuilder},
};

use super::*;
use crate::signing::{
    samples::{self, Tsa},
    sheet::{self, About, Element, Face, Op, Role, Style},
    timestamp::{Client, Transport},
};

const OFICIO: &[u8] = include_bytes!("../../../fixtures/oficio.pdf");

fn now() -> Timestamp {
    "2026-11-21T15:04:12Z".parse().unwrap()
}

fn order<'a>() -> Order<'a> {
    Order { at: now(), reason: Some("Cargo de recepción"), ..Order::default() }
}

/// A page of ours: a classic table, PDF/A.
fn page() -> Vec<u8> {
    let style = Style { face: Face::Regular, size: 12.0, color: [0, 0, 0] };
    let ops = vec![Op::Text { at: [60.0, 80.0], style, text: "Prueba".into() }];
    let about = About { title: "Prueba".into(), description: "Prueba".into(), author: "chasqui".into(), at: now() };
    sheet::document(sheet::A4, &[Element { role: Role::Heading(1), ops }], &about).unwrap()
}

/// The smallest file whose table is a stream, its form an object of its own and its lists too, turned by a quarter.
fn with_stream_table() -> Vec<u8> {
    stream_table_of(&[
        "<</Type /Catalog /Pages 2 0 R /AcroForm 4 0 R>>",
        "<</Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 842 595]>>",
        "<</Type /Page /Parent 2 0 R /Rotate 90 /Resources <<>> /Annots 6 0 R>>",
        "<</Fields 5 0 R /SigFlags 3>>",
        "[]",
        "[]",
    ])
}

/// These objects, from number 1, the first of them the catalog.
fn stream_table_of(objects: &[&str]) -> Vec<u8> {
    let mut file = b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let entry = |place: usize| [1, u8::try_from(place / 256).unwrap(), u8::try_from(place % 256).unwrap(), 0];
    let mut table = vec![0u8, 0, 0, 0xff];
    for (n, object) in (1..).zip(objects) {
        table.extend(entry(file.len()));
        file.extend(format!("{n} 0 obj\n{object}\nendobj\n").bytes());
    }
    let (place, own) = (file.len(), objects.len() + 1);
    table.extend(entry(place));
    let dict = format!("<</Type /XRef /Size {} /W [1 2 1] /Root 1 0 R /Length {}>>", own + 1, table.len());
    file.extend(format!("{own} 0 obj\n{dict}\nstream\n").bytes());
    file.extend(table);
    file.extend(format!("\nendstream\nendobj\nstartxref\n{place}\n%%EOF").bytes());
    file
}

fn signed(pdf: &[u8], identity: &Identity, order: &Order<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let done = sign(Cursor::new(pdf), &mut out, identity, order).unwrap();
    assert_eq!(done.bytes, out.len() as u64);
    assert!(out.starts_with(pdf), "not a byte of the file changes");
    out
}

fn stamp(corner: Corner) -> VisibleStamp {
    let lines = vec!["N.º de registro 2026-004517".into()];
    VisibleStamp { page: PageChoice::First, corner, title: None, lines, qr: Some("CUO 0000000019".into()) }
}

/// The signed bytes and the signature of each field of the form, as our own reader and OpenSSL see them: how many are
/// valid, and whether the last covers the whole file.
fn valid(file: &[u8]) -> (usize, bool) {
    let mut store = X509StoreBuilder::new().unwrap();
    X509::stack_from_pem(samples::CHAIN).unwrap().into_iter().for_each(|c| store.add_cert(c).unwrap());
    let store = store.build();
    let mut pdf = Pdf::open(Cursor::new(file)).unwrap();
    assert!(pdf.repaired().is_none());
    let (_, form) = pdf.acro_form().unwrap().unwrap();
    assert_eq!(pdf.value(&form, "SigFlags").unwrap().as_int(), Some(3));
    let fields = pdf.value(&form, "Fields").unwrap();
    let (mut count, mut whole) = (0, false);
    for field in fields.as_array().unwrap() {
        let field = pdf.resolve(field).unwrap();
        let value = pdf.value(field.as_dict().unwrap(), "V").unwrap();
        let value = value.as_dict().unwrap();
        let range: Vec<usize> = value
            .get("ByteRange")
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(|n| usize::try_from(n.as_int().unwrap()).unwrap())
            .collect();
        let content = [&file[..range[1]], &file[range[2]..range[2] + range[3]]].concat();
        assert_eq!((file[range[1]], file[range[2] - 1]), (b'<', b'>'));
        let mut cms = CmsContentInfo::from_der(value.get("Contents").unwrap().as_bytes().unwrap()).unwrap();
        let flags = CMSOptions::BINARY | CMSOptions::DETACHED | CMSOptions::NO_SIGNER_CERT_VERIFY;
        cms.verify(None, Some(&store), Some(&content), None, flags).unwrap();
        count += 1;
        whole = range[2] + range[3] == file.len();
    }
    (count, whole)
}

#[test]
fn every_kind_of_file_is_signed_whole_seen_or_unseen() {
    let seen = stamp(Corner::BottomRight);
    for (file, before) in [(page(), 0), (with_stream_table(), 0), (OFICIO.to_vec(), 1)] {
        for stamp in [None, Some(&seen)] {
            let order = Order { stamp, ..order() };
            let out = signed(&file, &samples::agente(), &order);
            assert_eq!(valid(&out), (before + 1, true));
        }
    }
}

#[test]
fn a_second_signature_keeps_the_first_and_takes_another_name_and_place() {
    let seen = stamp(Corner::TopRight);
    let order = Order { stamp: Some(&seen), ..order() };
    for file in [page(), with_stream_table()] {
        let first = signed(&file, &samples::agente(), &order);
        let both = signed(&first, &samples::persona(), &order);
        assert_eq!(valid(&both), (2, true));
        let mut pdf = Pdf::open(Cursor::new(&both)).unwrap();
        let (_, form) = pdf.acro_form().unwrap().unwrap();
        let fields = pdf.value(&form, "Fields").unwrap();
        let mut seen = Vec::new();
        for field in fields.as_array().unwrap() {
            let field = pdf.resolve(field).unwrap();
            let field = field.as_dict().unwrap();
            let name = field.get("T").unwrap().as_bytes().unwrap().to_vec();
            seen.push((String::from_utf8(name).unwrap(), field.get("Rect").cloned().unwrap()));
        }
        assert_eq!((seen[0].0.as_str(), seen[1].0.as_str()), ("Firma1", "Firma2"));
        assert_ne!(seen[0].1, seen[1].1);
    }
}

#[test]
fn a_timestamp_is_added_if_it_can_be_had_and_its_absence_stops_nothing() {
    struct Down;
    impl Transport for Down {
        fn exchange(&self, _: &[u8]) -> Result<Vec<u8>, String> {
            Err("no respondió".into())
        }
    }
    let client = |transport: Box<dyn Transport>| Client::new(transport, None, Box::new(|| [7; 16]));
    let (up, down) = (client(Box::new(Tsa::new())), client(Box::new(Down)));
    for (timestamper, level) in [(&up, "PAdES B-T"), (&down, "PAdES B-B")] {
        let order = Order { timestamper: Some(timestamper), ..order() };
        let mut out = Vec::new();
        let done = sign(Cursor::new(page()), &mut out, &samples::agente(), &order).unwrap();
        assert_eq!((done.level(), valid(&out)), (level, (1, true)));
        let told = matches!(&done.stamping, Stamping::Failed(error) if error.to_string().ends_with("no respondió"));
        assert_eq!(told, level == "PAdES B-B");
    }
}

#[test]
fn what_must_not_be_signed_is_refused_with_its_reason() {
    let certified = |allows: &str| {
        stream_table_of(&[
            "<</Type /Catalog /Pages 2 0 R /Perms 4 0 R>>",
            "<</Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 842 595]>>",
            "<</Type /Page /Parent 2 0 R /Resources <<>>>>",
            "<</DocMDP 5 0 R>>",
            &format!("<</Type /Sig /Reference [<</TransformMethod /DocMDP /TransformParams <</P {allows}>>>>]>>"),
        ])
    };
    let refusal = |file: &[u8], order: &Order<'_>| {
        sign(Cursor::new(file), Vec::new(), &samples::agente(), order).unwrap_err().to_string()
    };
    assert!(refusal(&certified("1"), &order()).starts_with("quien certificó el PDF no permite ningún cambio"));
    assert!(sign(Cursor::new(certified("2")), Vec::new(), &samples::agente(), &order()).is_ok());

    let mut cut = page();
    cut.truncate(cut.len() - 200);
    assert!(refusal(&cut, &order()).starts_with("el PDF está dañado y firmarlo no sería seguro"));
    assert!(refusal(&[b"basura\n".as_slice(), &page()].concat(), &order()).starts_with("el PDF está dañado"));
    assert!(refusal(b"hola", &order()).starts_with("el archivo no es un PDF"));
    let late = Order { at: "2051-01-01T12:00:00Z".parse().unwrap(), ..order() };
    let expected = "el certificado de «AGENTE AUTOMATIZADO 20900000015 soft» venció el 31/12/2050";
    assert_eq!(refusal(&page(), &late), expected);
    let early = Order { at: "2024-01-01T12:00:00Z".parse().unwrap(), ..order() };
    assert!(refusal(&page(), &early).ends_with("aún no es válido: lo será desde el 31/12/2024"));
    let far = VisibleStamp { page: PageChoice::Number(9), ..stamp(Corner::TopLeft) };
    assert_eq!(refusal(&page(), &Order { stamp: Some(&far), ..order() }), "el PDF no tiene página 9");
}

/// The file is read from elsewhere and written on: nothing of its size is kept.
#[test]
fn a_large_file_is_copied_piece_by_piece() {
    const PADDING: u64 = 300 * 1024 * 1024;
    /// The file with a comment of spaces in its middle.
    struct Large {
        file: Vec<u8>,
        at: u64,
        reads_max: usize,
    }
    impl Read for Large {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads_max = self.reads_max.max(buffer.len());
            let head = 16;
            let mut done = 0;
            while done < buffer.len() {
                let byte = match self.at {
                    at if at < head => self.file[usize::try_from(at).unwrap()],
                    at if at < head + PADDING => {
                        let run = usize::try_from(head + PADDING - at).unwrap().min(buffer.len() - done);
                        buffer[done..done + run].fill(b'\n');
                        (done, self.at) = (done + run, self.at + run as u64);
                        continue;
                    }
                    at => match self.file.get(usize::try_from(at - PADDING).unwrap()) {
                        Some(byte) => *byte,
                        None => break,
                    },
                };
                buffer[done] = byte;
                (done, self.at) = (done + 1, self.at + 1);
            }
            Ok(done)
        }
    }
    impl Seek for Large {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.at = match to {
                SeekFrom::Start(at) => at,
                SeekFrom::Current(by) => self.at.saturating_add_signed(by),
                SeekFrom::End(by) => (self.file.len() as u64 + PADDING).saturating_add_signed(by),
            };
            Ok(self.at)
        }
    }
    struct Sink {
        bytes: u64,
        piece_max: usize,
    }
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes += bytes.len() as u64;
            self.piece_max = self.piece_max.max(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // Places in the smallest file's table would all be off: one whose table is classic, made again with the gap in mind.
    let file = gapped(PADDING);
    let (mut input, mut output) = (Large { file, at: 0, reads_max: 0 }, Sink { bytes: 0, piece_max: 0 });
    let done = sign(&mut input, &mut output, &samples::agente(), &order()).unwrap();
    assert_eq!(done.bytes, output.bytes);
    assert!(output.bytes > PADDING);
    assert!(
        input.reads_max <= 256 * 1024 && output.piece_max <= 256 * 1024,
        "{} {}",
        input.reads_max,
        output.piece_max
    );
}

/// A file with a classic table whose objects stand `gap` bytes later than they do here, but for the first 16.
fn gapped(gap: u64) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n\n".to_vec();
    let mut table = String::from("xref\n0 4\n0000000000 65535 f \n");
    let objects = [
        "<</Type /Catalog /Pages 2 0 R>>",
        "<</Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 595 842]>>",
        "<</Type /Page /Parent 2 0 R /Resources <<>>>>",
    ];
    for (n, object) in (1..).zip(objects) {
        table.push_str(&format!("{:010} 00000 n \n", file.len() as u64 + gap));
        file.extend(format!("{n} 0 obj\n{object}\nendobj\n").bytes());
    }
    let place = file.len() as u64 + gap;
    file.extend(format!("{table}trailer\n<</Size 4 /Root 1 0 R>>\nstartxref\n{place}\n%%EOF\n").bytes());
    file
}

/// Two boxes on our page, as the acta has them.
fn with_fields() -> Vec<u8> {
    let field = |name: &str, left: f32| EmptyField {
        name: name.into(),
        about: format!("Firma de {name}"),
        page: 0,
        area: [left, 600.0, 200.0, 80.0],
    };
    let mut out = Vec::new();
    add_empty_fields(&page(), &[field("FirmaA", 56.0), field("FirmaB", 300.0)], &[1; 16], &mut out).unwrap();
    out
}

#[test]
fn empty_fields_are_filled_by_name_each_once_and_both_signatures_hold() {
    let prepared = with_fields();
    assert!(prepared.starts_with(&page()));
    let names = |file: &[u8]| -> Vec<(String, bool)> {
        signature_fields(Cursor::new(file)).unwrap().into_iter().map(|known| (known.name, known.signed)).collect()
    };
    assert_eq!(names(&prepared), [("FirmaA".to_owned(), false), ("FirmaB".to_owned(), false)]);
    let in_field = |name| Order { field: Some(name), ..order() };
    let first = signed(&prepared, &samples::agente(), &in_field("FirmaB"));
    assert_eq!(names(&first), [("FirmaA".to_owned(), false), ("FirmaB".to_owned(), true)]);
    let both = signed(&first, &samples::persona(), &in_field("FirmaA"));
    assert!(names(&both).iter().all(|(_, signed)| *signed));
    assert_eq!(valid(&both).0, 2);

    let mut trust = crate::signing::trust::Trust::default();
    trust.with(samples::CHAIN, "pruebas").unwrap();
    let context =
        crate::signing::verify::Context { now: now(), trust: &trust, folios: None, revocation: None, begun: None };
    let report = crate::signing::verify::examine(Cursor::new(&both), &context);
    assert_eq!(report.veredicto, crate::domain::firmas::Veredicto::Confiable, "{}", report.texto());

    let refusal = |file: &[u8], name| {
        sign(Cursor::new(file), Vec::new(), &samples::agente(), &in_field(name)).unwrap_err().to_string()
    };
    assert!(refusal(&first, "FirmaB").starts_with("el campo «FirmaB» ya está firmado"));
    assert_eq!(refusal(&first, "Otra"), "el PDF no tiene un campo de firma llamado «Otra»; por firmar están: FirmaA");
    assert!(refusal(&page(), "Otra").ends_with("tampoco hay otro por firmar"));
}
