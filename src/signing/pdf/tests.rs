//! Whole files, sound and broken, made here byte by byte.

use std::{
    fmt::Write as _,
    io::{Cursor, Read, Seek, SeekFrom, Write as _},
};

use super::*;

/// A file under construction: objects and their places, and the tables that tell of them.
#[derive(Clone)]
struct Builder {
    bytes: Vec<u8>,
    places: Vec<(u32, usize)>,
    prev: Option<usize>,
}

impl Builder {
    fn new() -> Self {
        Self { bytes: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec(), places: Vec::new(), prev: None }
    }

    fn object(&mut self, number: u32, body: &str) -> &mut Self {
        self.places.push((number, self.bytes.len()));
        self.bytes.extend_from_slice(format!("{number} 0 obj\n{body}\nendobj\n").as_bytes());
        self
    }

    fn stream(&mut self, number: u32, dict: &str, data: &[u8]) -> &mut Self {
        self.places.push((number, self.bytes.len()));
        self.bytes.extend_from_slice(format!("{number} 0 obj\n<<{dict}/Length {}>>\nstream\n", data.len()).as_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.extend_from_slice(b"\nendstream\nendobj\n");
        self
    }

    /// Ends a revision with a classic table.
    fn table(&mut self, more: &str) -> &mut Self {
        let place = self.bytes.len();
        let mut text = String::from("xref\n");
        for (number, at) in std::mem::take(&mut self.places) {
            write!(text, "{number} 1\n{at:010} 00000 n \n").expect("memory");
        }
        let prev = self.prev.map(|prev| format!("/Prev {prev}")).unwrap_or_default();
        write!(text, "trailer\n<</Root 1 0 R/Size 20{prev}{more}>>\nstartxref\n{place}\n%%EOF\n").expect("memory");
        self.bytes.extend_from_slice(text.as_bytes());
        self.prev = Some(place);
        self
    }

    /// Ends a revision with a table stream; `within` are objects inside object streams.
    fn table_stream(&mut self, number: u32, within: &[(u32, u32, u8)]) -> &mut Self {
        let place = self.bytes.len();
        let mut index = String::new();
        let mut rows = Vec::new();
        for (number, at) in std::mem::take(&mut self.places) {
            write!(index, "{number} 1 ").expect("memory");
            rows.extend_from_slice(&[1]);
            rows.extend_from_slice(&u32::try_from(at).expect("small").to_be_bytes());
            rows.push(0);
        }
        for (number, stream, at) in within {
            write!(index, "{number} 1 ").expect("memory");
            rows.push(2);
            rows.extend_from_slice(&stream.to_be_bytes());
            rows.push(*at);
        }
        let prev = self.prev.map(|prev| format!("/Prev {prev}")).unwrap_or_default();
        let dict = format!("/Type/XRef/W[1 4 1]/Index[{index}]/Root 1 0 R/Size 30{prev}/Filter/FlateDecode");
        self.stream(number, &dict, &deflated(&rows));
        self.places.clear();
        self.bytes.extend_from_slice(format!("startxref\n{place}\n%%EOF\n").as_bytes());
        self.prev = Some(place);
        self
    }

    fn open(&self) -> Result<Pdf<Cursor<Vec<u8>>>, Error> {
        Pdf::open(Cursor::new(self.bytes.clone()))
    }
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

fn two_pages() -> Builder {
    let mut file = Builder::new();
    file.object(1, "<</Type/Catalog/Pages 2 0 R>>")
        .object(2, "<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2/MediaBox[0 0 595 842]>>")
        .object(3, "<</Type/Page/Parent 2 0 R>>")
        .object(4, "<</Type/Page/Parent 2 0 R/Rotate 90>>")
        .table("");
    file
}

fn id(number: u32) -> Ref {
    Ref { number, generation: 0 }
}

fn name_of(pdf: &mut Pdf<Cursor<Vec<u8>>>, number: u32, revision: usize) -> Option<String> {
    let object = pdf.object_at(id(number), revision).expect("readable")?;
    let name = object.value.as_dict()?.get("Name")?.as_name()?.to_vec();
    String::from_utf8(name).ok()
}

#[test]
fn the_sample_document_is_read() {
    let bytes = include_bytes!("../../../fixtures/oficio.pdf");
    let mut pdf = Pdf::open(Cursor::new(&bytes[..])).expect("sound");
    assert!(pdf.repaired().is_none());
    assert!(pdf.page_count().expect("pages").number() >= 1);
    assert_eq!(pdf.revisions().last().expect("one").end, Some(bytes.len() as u64));
}

#[test]
fn pages_are_counted_with_what_they_inherit() {
    let mut pdf = two_pages().open().expect("sound");
    assert_eq!(pdf.page_count().expect("pages"), PageCount::Counted(2));
    let second = pdf.page(1).expect("there");
    assert_eq!((second.id, second.rotate), (id(4), 90));
    assert_eq!(second.media_box, Some([0.0, 0.0, 595.0, 842.0]));
    assert!(pdf.page(2).is_err());
    assert_eq!(pdf.highest_number(), 19, "what /Size says");
}

#[test]
fn each_revision_shows_the_document_as_it_was() {
    let mut file = two_pages();
    file.object(9, "<</Name/First>>").table("").object(9, "<</Name/Second>>").table_stream(10, &[]);
    let mut pdf = file.open().expect("sound");
    assert_eq!(pdf.revisions().len(), 3);
    assert!(pdf.newest_table_is_stream());
    assert_eq!(name_of(&mut pdf, 9, 0), None);
    assert_eq!(name_of(&mut pdf, 9, 1).as_deref(), Some("First"));
    assert_eq!(name_of(&mut pdf, 9, 2).as_deref(), Some("Second"));
    assert_eq!(pdf.numbers_in(2, 100).expect("few"), BTreeSet::from([9]));
    assert_eq!(pdf.numbers_in(1, 100).expect("few"), BTreeSet::from([9]));
    assert_eq!(pdf.revisions().last().expect("three").end, Some(file.bytes.len() as u64));
}

#[test]
fn objects_inside_object_streams_are_found() {
    let mut file = two_pages();
    let (a, b) = ("<</Name/Inside>>", "<</Name/Beside>>");
    let head = format!("11 0 12 {} ", a.len() + 1);
    let data = deflated(format!("{head}{a} {b}").as_bytes());
    file.stream(10, &format!("/Type/ObjStm/N 2/First {}/Filter/FlateDecode", head.len()), &data)
        .table_stream(13, &[(11, 10, 0), (12, 10, 1)]);
    let mut pdf = file.open().expect("sound");
    assert_eq!(name_of(&mut pdf, 11, 1).as_deref(), Some("Inside"));
    assert_eq!(name_of(&mut pdf, 12, 1).as_deref(), Some("Beside"));
    assert_eq!(pdf.object(id(11)).expect("readable").and_then(|object| object.within), Some(10));
}

#[test]
fn a_circle_of_tables_is_repaired_and_said() {
    let mut file = two_pages();
    let place = file.bytes.len();
    file.prev = Some(place);
    file.object(9, "<</Name/Loop>>");
    let table = file.bytes.len();
    file.prev = Some(table);
    file.table("");
    let mut pdf = file.open().expect("repaired");
    assert!(pdf.repaired().is_some_and(|why| why.to_string().contains("círculo")));
    assert_eq!(pdf.page_count().expect("pages"), PageCount::Counted(2));
    assert_eq!(name_of(&mut pdf, 9, 0).as_deref(), Some("Loop"));
}

#[test]
fn a_file_cut_before_its_table_is_repaired() {
    let mut file = two_pages();
    let cut = file.bytes.len() - 150;
    file.bytes.truncate(cut);
    let mut pdf = file.open().expect("repaired");
    assert!(pdf.repaired().is_some());
    assert_eq!(pdf.page_count().expect("pages"), PageCount::Counted(2));
}

#[test]
fn a_page_tree_in_a_circle_ends() {
    let mut file = Builder::new();
    file.object(1, "<</Type/Catalog/Pages 2 0 R>>")
        .object(2, "<</Type/Pages/Kids[2 0 R 3 0 R 3 0 R]>>")
        .object(3, "<</Type/Pages/Kids[2 0 R]>>")
        .table("");
    assert_eq!(file.open().expect("sound").page_count().expect("ends"), PageCount::Counted(0));
}

#[test]
fn references_and_lengths_in_circles_are_errors() {
    let mut file = two_pages();
    file.object(9, "10 0 R").object(10, "9 0 R").object(11, "<</Length 11 0 R>>\nstream\nabc\nendstream").table("");
    let mut pdf = file.open().expect("sound");
    assert!(matches!(pdf.resolve(&Object::Ref(id(9))), Err(Error::Limit(_))));
    assert!(matches!(pdf.object(id(11)), Err(Error::Limit(_))));
}

#[test]
fn a_wrong_length_is_mended_by_looking_for_the_end() {
    let mut file = two_pages();
    file.object(9, "<</Length 99999>>\nstream\nabc\nendstream").table("");
    let mut pdf = file.open().expect("sound");
    let object = pdf.object(id(9)).expect("readable").expect("there");
    assert_eq!(pdf.decoded(&object, 100).expect("plain"), b"abc\n");
}

#[test]
fn encryption_and_junk_before_the_header_are_seen() {
    let mut file = two_pages();
    file.object(9, "<</Filter/Standard>>").table("/Encrypt 9 0 R");
    assert!(file.open().expect("sound").encrypted());
    let mut junk = b"junk\n".to_vec();
    junk.extend_from_slice(&two_pages().bytes);
    let mut pdf = Pdf::open(Cursor::new(junk)).expect("repaired");
    assert_eq!(pdf.bytes_before_header(), 5);
    assert_eq!(pdf.page_count().expect("pages"), PageCount::Counted(2));
}

#[test]
fn what_is_no_pdf_is_refused() {
    assert!(matches!(Pdf::open(Cursor::new(b"PK\x03\x04".to_vec())), Err(Error::NotPdf)));
    assert!(matches!(Pdf::open(Cursor::new(Vec::new())), Err(Error::NotPdf)));
    assert!(Pdf::open(Cursor::new(b"%PDF-1.4\nnothing else".to_vec())).is_err());
}

/// A file whose middle is a stream of 200 MB that is never kept anywhere.
struct Huge {
    head: Vec<u8>,
    middle: u64,
    tail: Vec<u8>,
    place: u64,
    largest_read: usize,
    read: u64,
}

impl Read for Huge {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.largest_read = self.largest_read.max(buffer.len());
        let head = self.head.len() as u64;
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = self.place + index as u64;
            *byte = match at.checked_sub(head) {
                None => self.head[at as usize],
                Some(at) if at < self.middle => b'x',
                Some(at) => self.tail[(at - self.middle) as usize],
            };
        }
        self.place += buffer.len() as u64;
        self.read += buffer.len() as u64;
        Ok(buffer.len())
    }
}

impl Seek for Huge {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.place = match to {
            SeekFrom::Start(at) => at,
            _ => self.head.len() as u64 + self.middle + self.tail.len() as u64,
        };
        Ok(self.place)
    }
}

#[test]
fn two_hundred_megabytes_cost_a_few_kilobytes() {
    let middle = 200 * 1024 * 1024;
    let mut file = two_pages();
    file.places.push((9, file.bytes.len()));
    file.bytes.extend_from_slice(format!("9 0 obj\n<</Length {middle}>>\nstream\n").as_bytes());
    let head = std::mem::take(&mut file.bytes);
    // The builder's places are those of the bytes it holds: count the middle in by hand.
    let place = head.len() as u64 + middle;
    let end = b"\nendstream\nendobj\n";
    let table = place + end.len() as u64;
    let (at, prev) = (file.places[0].1, file.prev.expect("one table"));
    let mut tail = end.to_vec();
    tail.extend_from_slice(
        format!(
            "xref\n9 1\n{at:010} 00000 n \ntrailer\n<</Root 1 0 R/Size 20/Prev {prev}>>\nstartxref\n{table}\n%%EOF\n"
        )
        .as_bytes(),
    );
    let mut pdf = Pdf::open(Huge { head, middle, tail, place: 0, largest_read: 0, read: 0 }).expect("sound");
    let stream = pdf.object(id(9)).expect("readable").expect("there").stream.expect("a stream");
    assert_eq!(stream.len(), middle);
    assert_eq!(pdf.page_count().expect("pages"), PageCount::Counted(2));
    assert!(pdf.work() < 300 * 1024, "{} bytes were read", pdf.work());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn no_flipped_bytes_make_the_reader_panic(flips in proptest::collection::vec((0usize..2000, proptest::prelude::any::<u8>()), 1..8)) {
        let mut file = two_pages();
        let head = "11 0 ";
        let data = deflated(format!("{head}<</Name/In>>").as_bytes());
        file.stream(10, &format!("/Type/ObjStm/N 1/First {}/Filter/FlateDecode", head.len()), &data)
            .table_stream(13, &[(11, 10, 0)]);
        for (at, byte) in flips {
            let len = file.bytes.len();
            file.bytes[at % len] = byte;
        }
        if let Ok(mut pdf) = file.open() {
            let _ = pdf.page_count();
            for number in 0..20 {
                let _ = pdf.object(id(number));
            }
        }
    }
}
