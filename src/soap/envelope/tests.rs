use super::*;
use crate::soap::{
    FaultCode,
    fixture::{Chunks, Collected, envelope, pdf, twice},
    markup::{ATTRIBUTES_MAX, NAME_BYTES_MAX},
    sink::Discard,
};

const LIMITS: Limits = Limits::with_document(20_000_000);

async fn open(xml: &str) -> Result<EnvelopeReader<Chunks>, ReadError> {
    EnvelopeReader::open(Chunks::new(xml, 8192), None, LIMITS).await
}

/// The text of the operation's first child.
async fn field(content: &str) -> Result<Option<String>, ReadError> {
    let xml = envelope(&format!("<op><a>{content}</a></op>"));
    let mut r = open(&xml).await?;
    r.child().await?;
    let text = r.text().await?;
    assert_eq!(r.child().await?, None);
    r.finish().await?;
    Ok(text)
}

/// The document in the operation's first child, arriving in chunks.
async fn document(content: &str, chunk: usize) -> Result<(Contenido, Vec<u8>), ReadError> {
    let xml = envelope(&format!("<op><doc>{content}</doc><after>x</after></op>"));
    let mut r = EnvelopeReader::open(Chunks::new(xml, chunk), None, LIMITS).await?;
    let mut sink = Collected::default();
    r.child().await?;
    let contenido = r.document(&mut sink).await?;
    assert_eq!(r.child().await?.map(|e| e.local).as_deref(), Some("after"), "reading goes on behind it");
    assert_eq!(r.text().await?.as_deref(), Some("x"));
    assert_eq!(r.child().await?, None);
    r.finish().await?;
    Ok((contenido, sink.0))
}

#[tokio::test]
async fn the_operation_is_the_first_child_of_the_body() {
    let r = open(&envelope("<!-- c --><p:op xmlns:p='urn:x'/>")).await.unwrap();
    assert_eq!((r.operation().namespace.as_str(), r.operation().local.as_str()), ("urn:x", "op"));
    let r = open("<?xml version='1.0'?>\n<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'><Body><op xmlns=''/></Body></Envelope>")
        .await
        .unwrap();
    assert_eq!((r.operation().namespace.as_str(), r.operation().local.as_str()), ("", "op"));
}

#[tokio::test]
async fn a_namespace_may_be_written_with_references() {
    let odd = "http&#58;&#x2f;/schemas.xmlsoap.org/soap/envelope/";
    let r = open(&format!("<Envelope xmlns='{odd}'><Body><op xmlns='urn:a&amp;b'/></Body></Envelope>")).await.unwrap();
    assert_eq!(r.operation().namespace, "urn:a&b");
    let disguised = headed(&format!("<h xmlns:x='{odd}' x:mustUnderstand='1'/>"));
    assert!(matches!(open(&disguised).await.err().unwrap(), ReadError::MustUnderstand(_)));
    assert!(open(&headed("<h xmlns='urn:&unknown;'/>")).await.is_err());
}

fn headed(header: &str) -> String {
    format!("<s:Envelope xmlns:s='{ENVELOPE_NS}'><s:Header>{header}</s:Header><s:Body><op/></s:Body></s:Envelope>")
}

#[tokio::test]
async fn headers_are_skipped_unless_they_must_be_understood_by_us() {
    for header in [
        "",
        "<a:h xmlns:a='urn:a'><x>1</x><y/></a:h><b/>",
        "<h s:mustUnderstand='0'/>",
        "<h s:mustUnderstand='1' s:actor='urn:somebody-else'/>",
        "<h mustUnderstand='1'/>",
    ] {
        assert_eq!(open(&headed(header)).await.unwrap().operation().local, "op", "{header}");
    }
    for header in [
        "<h s:mustUnderstand='1'/>",
        "<g/><h s:mustUnderstand='true' s:actor=''/>",
        "<h s:actor='http://schemas.xmlsoap.org/soap/actor/next' s:mustUnderstand='1'><x/></h>",
    ] {
        let error = open(&headed(header)).await.err().unwrap();
        assert!(matches!(&error, ReadError::MustUnderstand(name) if name == "h"), "{header}: {error}");
        assert_eq!(error.fault().code, FaultCode::MustUnderstand);
    }
}

#[tokio::test]
async fn what_is_no_soap_1_1_envelope_gets_the_fault_it_deserves() {
    let soap12 = "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'><e:Body><op/></e:Body></e:Envelope>";
    let cases = [
        ("", "empty", FaultCode::Client),
        (" \n", "empty", FaultCode::Client),
        ("<!-- nothing -->", "empty", FaultCode::Client),
        ("hola", "not_xml", FaultCode::Client),
        ("{\"json\": true}", "not_xml", FaultCode::Client),
        ("<html><body/></html>", "not_envelope", FaultCode::Client),
        (soap12, "version_mismatch", FaultCode::VersionMismatch),
        ("<Envelope><Body><op/></Body></Envelope>", "version_mismatch", FaultCode::VersionMismatch),
        ("<x:Envelope xmlns:x='urn:x'/>", "version_mismatch", FaultCode::VersionMismatch),
        ("<s:Envelope/>", "not_xml", FaultCode::Client),
    ];
    for (xml, code, fault) in cases {
        let error = open(xml).await.err().unwrap();
        assert_eq!((error.code(), error.fault().code), (code, fault), "{xml}: {error}");
        assert!(!error.fault().text.is_empty());
    }
    let inside = |inner: &str| format!("<s:Envelope xmlns:s='{ENVELOPE_NS}'>{inner}</s:Envelope>");
    for (inner, code) in [
        ("", "missing_structure"),
        ("<s:Header/>", "missing_structure"),
        ("<Body><op/></Body>", "missing_structure"),
        ("<s:Body/>", "empty_body"),
        ("<s:Body> <!-- c --> </s:Body>", "empty_body"),
        ("x<s:Body><op/></s:Body>", "not_xml"),
    ] {
        assert_eq!(open(&inside(inner)).await.err().unwrap().code(), code, "{inner}");
    }
}

#[tokio::test]
async fn a_document_type_and_entities_are_refused_wherever_they_stand() {
    let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>";
    let external = "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>";
    for dtd in [bomb, external, "<!doctype html>", "<!DOCTYPE x>"] {
        let error = open(&format!("{dtd}{}", envelope("<op/>"))).await.err().unwrap();
        assert_eq!(error.code(), "forbidden_xml", "{dtd}: {error}");
    }
    for text in ["&b;", "&nbsp;", "x &unknown; y"] {
        assert_eq!(field(text).await.err().unwrap().code(), "forbidden_xml", "{text}");
    }
    assert_eq!(open(&envelope("<op a='&b;'/>")).await.err().unwrap().code(), "forbidden_xml");
    assert_eq!(document("JVBE&b;", 4096).await.err().unwrap().code(), "forbidden_xml");
}

#[tokio::test]
async fn text_is_read_with_references_cdata_and_comments_resolved() {
    for (written, read) in [
        ("ñandú", Some("ñandú")),
        ("a &amp; b &lt;c&gt; &quot;d&quot; &apos;e&apos;", Some("a & b <c> \"d\" 'e'")),
        ("&#241;&#xF1;&#x1F600;", Some("ññ😀")),
        ("a<!-- comment -->b<?pi x?>c", Some("abc")),
        ("<![CDATA[<a> & ]]]]><![CDATA[>]]>", Some("<a> & ]]>")),
        ("a\r\nb\rc\nd", Some("a\nb\nc\nd")),
        ("a&#13;&#10;b", Some("a\r\nb")),
        ("  x  ", Some("  x  ")),
        ("", None),
        (" \r\n\t ", None),
        ("<![CDATA[]]>", None),
        ("&#32;", None),
    ] {
        assert_eq!(field(written).await.unwrap().as_deref(), read, "{written}");
    }
}

#[tokio::test]
async fn ill_formed_text_is_refused() {
    for text in ["&#0;", "&#1;", "&#xFFFE;", "&#xD800;", "&#99999999;", "a & b", "&amp", "\u{0}", "a\u{8}b", "\u{FFFF}"]
    {
        assert_eq!(field(text).await.err().unwrap().code(), "not_xml", "{text:?}");
    }
    assert_eq!(field("a<b>c</b>").await.err().unwrap().code(), "unexpected_content");
    let invalid = envelope("<op><a>@</a></op>").replace('@', "\u{1}").into_bytes();
    let invalid: Vec<u8> = invalid.into_iter().map(|b| if b == 1 { 0xF1 } else { b }).collect();
    let mut r = EnvelopeReader::open(invalid.as_slice(), None, LIMITS).await.unwrap();
    r.child().await.unwrap();
    assert_eq!(r.text().await.err().unwrap().code(), "encoding", "Latin-1 bytes in what should be UTF-8");
}

#[tokio::test]
async fn ill_formed_markup_is_refused() {
    for body in [
        "<op><a></b></op>",
        "<op><a></op>",
        "<op a=1/>",
        "<op a='1' a='2'/>",
        "<op a='<'/>",
        "<op a='\u{1}'/>",
        "<op a='&#0;'/>",
        "<1op/>",
        "<o$p/>",
        "<a:b:c xmlns:a='urn:a'/>",
        "<p:op/>",
        "<:op/>",
        "<op xmlns:xml='urn:wrong'/>",
        "<op><?xml version='1.0'?></op>",
        "<op><!-- \u{2} --></op>",
        "<op><![CDATA[ ]]</op>",
        "<op><![cdata[x]]></op>",
        "<op><!ELEMENT a></op>",
        "<op",
    ] {
        let xml = envelope(body);
        let result = async {
            let mut r = open(&xml).await?;
            r.skip().await?;
            r.finish().await
        };
        let error = result.await.err().unwrap_or_else(|| panic!("{body} was accepted"));
        assert!(matches!(error.code(), "not_xml" | "forbidden_xml"), "{body}: {error}");
    }
}

#[tokio::test]
async fn nothing_but_whitespace_and_comments_may_stand_around_the_envelope() {
    let inner = envelope("<op/>");
    let all = async |xml: String| {
        let mut r = open(&xml).await?;
        r.skip().await?;
        r.finish().await
    };
    all(format!(" \n<?xml version='1.0'?><!-- a -->\n{inner}\n<!-- b -->\n")).await.unwrap();
    for xml in [
        format!("x{inner}"),
        format!("{inner}x"),
        format!("{inner}\0"),
        format!("{inner}{inner}"),
        format!("{inner}</x>"),
        format!("<?xml version='1.0'?><?xml version='1.0'?>{inner}"),
        inner.replace("</s:Body>", "<second/></s:Body>"),
        inner.replace("</s:Envelope>", "<s:Body/></s:Envelope>"),
        inner.replace("</s:Envelope>", "text</s:Envelope>"),
    ] {
        assert!(all(xml.clone()).await.is_err(), "{xml}");
    }
}

#[tokio::test]
async fn a_message_cut_at_any_byte_is_an_error() {
    let document = twice(&pdf(30));
    let xml =
        envelope(&format!("<op><a>ñ &amp; <![CDATA[x]]><!-- c --></a><b><![CDATA[{document}]]></b><c x='1'/></op>"));
    for end in 0..xml.len() {
        let result = async {
            let mut r = EnvelopeReader::open(xml.as_bytes().get(..end).unwrap(), None, LIMITS).await?;
            while let Some(e) = r.child().await? {
                match e.local.as_str() {
                    "a" => drop(r.text().await?),
                    "b" => drop(r.document(&mut Discard).await?),
                    _ => r.skip().await?,
                }
            }
            r.finish().await
        };
        let error = result.await.err().unwrap_or_else(|| panic!("accepted when cut at {end}"));
        assert!(matches!(error.code(), "not_xml" | "empty" | "encoding"), "{end}: {error}");
    }
}

#[tokio::test]
async fn children_come_in_order_with_nil_and_stray_text_between_is_ignored() {
    let xml = envelope(
        "<op xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>stray<a xsi:nil='true'/> <b><c>1</c><d/></b> \
         <e xsi:nil='1'>x</e><f/></op>",
    );
    let mut r = open(&xml).await.unwrap();
    assert!(!r.saw_nil());
    let a = r.child().await.unwrap().unwrap();
    assert!(a.nil && r.saw_nil());
    assert_eq!(r.text().await.unwrap(), None);
    assert_eq!(r.child().await.unwrap().unwrap().local, "b");
    assert_eq!(r.content().await.unwrap(), Content::Elements);
    assert_eq!(r.child().await.unwrap().unwrap().local, "c");
    assert_eq!(r.text().await.unwrap().as_deref(), Some("1"));
    assert_eq!(r.child().await.unwrap().unwrap().local, "d");
    assert_eq!(r.child().await.unwrap(), None, "end of d");
    assert_eq!(r.child().await.unwrap(), None, "end of b");
    assert_eq!(r.child().await.unwrap().unwrap().local, "e");
    assert_eq!(r.text().await.unwrap(), None, "nil, whatever it holds");
    assert_eq!(r.child().await.unwrap().unwrap().local, "f");
    assert_eq!(r.content().await.unwrap(), Content::Text(None));
    assert_eq!(r.child().await.unwrap(), None);
    assert!(!r.saw_qualified());
    r.finish().await.unwrap();
}

#[tokio::test]
async fn fields_in_a_namespace_are_noticed() {
    let xml = envelope("<op xmlns='urn:x'><a/></op>");
    let mut r = open(&xml).await.unwrap();
    assert!(!r.saw_qualified(), "the operation itself belongs in one");
    r.child().await.unwrap();
    assert!(r.saw_qualified());
}

#[tokio::test]
async fn depth_attributes_names_and_fields_are_limited() {
    let nested = |n: usize| envelope(&format!("{}{}", "<a>".repeat(n), "</a>".repeat(n)));
    let read = async |xml: String| {
        let mut r = open(&xml).await?;
        r.skip().await?;
        r.finish().await
    };
    read(nested(DEPTH_MAX - 2)).await.unwrap();
    assert_eq!(read(nested(DEPTH_MAX - 1)).await.err().unwrap().code(), "limit");
    let attributes = |n: usize| (0..n).map(|n| format!(" a{n}='1'")).collect::<String>();
    read(envelope(&format!("<op{}/>", attributes(ATTRIBUTES_MAX)))).await.unwrap();
    let many = read(envelope(&format!("<op{}/>", attributes(ATTRIBUTES_MAX + 1)))).await;
    assert_eq!(many.err().unwrap().code(), "limit");
    read(envelope(&format!("<{}/>", "n".repeat(NAME_BYTES_MAX)))).await.unwrap();
    for long in [format!("<{}/>", "n".repeat(NAME_BYTES_MAX + 1)), format!("<a {}='1'/>", "n".repeat(257))] {
        assert_eq!(read(envelope(&long)).await.err().unwrap().code(), "limit");
    }
    let tag = |n: usize| format!("<a b='{}'/>", "x".repeat(n));
    read(envelope(&tag(TAG_BYTES_MAX - 100))).await.unwrap();
    assert_eq!(read(envelope(&tag(TAG_BYTES_MAX))).await.err().unwrap().code(), "limit");
    read(envelope(&format!("<!--{}--><?{}?><a/>", "x".repeat(TAG_BYTES_MAX), "x".repeat(TAG_BYTES_MAX))))
        .await
        .unwrap();
    field(&"x".repeat(FIELD_BYTES_MAX)).await.unwrap();
    assert_eq!(field(&"x".repeat(FIELD_BYTES_MAX + 1)).await.err().unwrap().code(), "limit");
    assert_eq!(field(&"&amp;".repeat(FIELD_BYTES_MAX + 1)).await.err().unwrap().code(), "limit");
    assert_eq!(field(&format!("<!--{}-->", "x".repeat(EVENT_BYTES_MAX))).await.err().unwrap().code(), "limit");
}

#[tokio::test]
async fn all_fields_together_are_limited_but_documents_and_skipped_text_are_not_counted() {
    let megabyte = "A".repeat(1024 * 1024);
    let xml =
        envelope(&format!("<op><skipped><x>{megabyte}</x>{megabyte}<y/></skipped><doc>{megabyte}</doc><a>1</a></op>"));
    let mut r = open(&xml).await.unwrap();
    r.child().await.unwrap();
    r.skip().await.unwrap();
    r.child().await.unwrap();
    r.document(&mut Discard).await.unwrap();
    r.child().await.unwrap();
    assert_eq!(r.text().await.unwrap().as_deref(), Some("1"));

    let many = format!("<a>{}</a>", "x".repeat(1000)).repeat(1100);
    let xml = envelope(&format!("<op>{many}</op>"));
    let mut r = open(&xml).await.unwrap();
    let read = async {
        while r.child().await?.is_some() {
            r.text().await?;
        }
        Ok::<_, ReadError>(())
    };
    let error = read.await.err().unwrap();
    assert_eq!(error.code(), "limit");
    let mut r = open(&envelope(&format!("<op>{}</op>", "<a/>".repeat(270_000)))).await.unwrap();
    assert_eq!(r.skip().await.err().unwrap().code(), "limit", "tags are counted when skipped, too");
}

#[tokio::test]
async fn a_message_larger_than_allowed_stops_being_read() {
    let xml = envelope(&format!("<op>{}</op>", "A".repeat(100_000)));
    let limits = Limits { message_bytes: 50_000, ..LIMITS };
    let mut r = EnvelopeReader::open(Chunks::new(xml, 1000), None, limits).await.unwrap();
    let error = r.skip().await.err().unwrap();
    assert!(matches!(error, ReadError::TooLarge), "{error}");
}

#[tokio::test]
async fn a_broken_stream_is_told_from_a_broken_message() {
    let xml = envelope("<op></op>").replace("</op></s:Body></s:Envelope>", "");
    let broken = tokio_util::io::StreamReader::new(futures_util::stream::iter([
        Ok(bytes::Bytes::from(xml)),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ]));
    let error = match EnvelopeReader::open(broken, None, LIMITS).await {
        Ok(mut r) => r.skip().await.err().unwrap(),
        Err(error) => error,
    };
    assert!(matches!(&error, ReadError::Io(e) if e.kind() == io::ErrorKind::ConnectionReset), "{error}");
}

/// What pins the use of quick-xml that it does not document.
#[tokio::test]
async fn a_document_arrives_whole_however_it_is_cut_and_dressed() {
    let pdf = pdf(10_000);
    let plain = twice(&pdf);
    let lines =
        |end: &str| plain.as_bytes().chunks(76).map(|l| format!("{}{end}", str::from_utf8(l).unwrap())).collect();
    let (first, second) = plain.split_at(4001);
    let dressed: [String; 12] = [
        plain.clone(),
        lines("\n"),
        lines("\r\n"),
        lines("&#xd;\n"),
        lines("&#13;&#10;"),
        format!("\n\t  {plain}\n"),
        format!("<![CDATA[{plain}]]>"),
        format!("<![CDATA[{first}]]>{second}"),
        format!("<![CDATA[{first}]]><![CDATA[{second}]]>"),
        format!("{first}<!-- comment -->{second}"),
        format!("{first}<?pi x?>&#x9;&#x20;{second}"),
        format!("<!---->&#{};{}", u32::from(plain.as_bytes()[0]), &plain[1..]),
    ];
    for content in &dressed {
        for chunk in [1, 2, 3, 7, 4096, 1 << 20] {
            let (contenido, read) = document(content, chunk).await.unwrap();
            let shown = content.chars().take(40).collect::<String>();
            assert_eq!(contenido, Contenido::Pdf { una_vez: false }, "{shown} in chunks of {chunk}");
            assert!(read == pdf, "{shown} in chunks of {chunk}");
        }
    }
}

#[tokio::test]
async fn five_megabytes_arrive_whole_in_lines_and_in_chunks() {
    let pdf = pdf(5_000_000);
    let plain = twice(&pdf);
    let lines: String = plain.as_bytes().chunks(76).flat_map(|l| [str::from_utf8(l).unwrap(), "&#xd;\n"]).collect();
    let cdata = format!("<![CDATA[{plain}]]>");
    for (content, chunk) in [(&plain, 4096), (&plain, 1447), (&lines, 65_536), (&lines, 8192), (&cdata, 16_000)] {
        let (contenido, read) = document(content, chunk).await.unwrap();
        assert!(contenido == Contenido::Pdf { una_vez: false } && read == pdf, "chunks of {chunk}");
    }
}

#[tokio::test]
async fn what_is_no_document_is_told_and_the_rest_is_still_read() {
    let once = base64_simd::STANDARD.encode_to_string(pdf(5000));
    for (content, expected) in [
        (String::new(), Contenido::Ausente),
        (" \n&#xd;<![CDATA[ ]]>".into(), Contenido::Ausente),
        (once, Contenido::Pdf { una_vez: true }),
        ("no es base64".into(), Contenido::NoBase64),
        (twice(b"PK\x03\x04 a document of another kind"), Contenido::NoPdf),
        (format!("{}!", twice(&pdf(100_000))), Contenido::NoBase64),
        ("ñ".into(), Contenido::NoBase64),
    ] {
        for chunk in [3, 4096] {
            assert_eq!(document(&content, chunk).await.unwrap().0, expected, "{content:.40}");
        }
    }
    let nested = document("JVBE<x/>", 100).await;
    assert_eq!(nested.err().unwrap().code(), "unexpected_content");
    let nil = envelope("<op xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'><d xsi:nil='true'>JVBE</d></op>");
    let mut r = open(&nil).await.unwrap();
    r.child().await.unwrap();
    assert_eq!(r.document(&mut Discard).await.unwrap(), Contenido::Ausente);
    assert_eq!(r.child().await.unwrap(), None);
}

#[tokio::test]
async fn an_empty_tag_takes_nothing_of_what_stands_behind_it() {
    let xml = envelope("<op><doc/>JVBERg==<x/>stray<y/><a/>text<b>1</b></op>");
    let mut r = open(&xml).await.unwrap();
    r.child().await.unwrap();
    assert_eq!(r.document(&mut Discard).await.unwrap(), Contenido::Ausente);
    for name in ["x", "y"] {
        assert_eq!(r.child().await.unwrap().unwrap().local, name);
        r.skip().await.unwrap();
    }
    r.child().await.unwrap();
    assert_eq!(r.text().await.unwrap(), None);
    r.child().await.unwrap();
    assert_eq!(r.text().await.unwrap().as_deref(), Some("1"));
    assert_eq!(r.child().await.unwrap(), None);
    r.finish().await.unwrap();
}

/// Takes a while, then says `error`.
struct Refusing(Option<SinkError>, usize);

#[async_trait::async_trait]
impl DocumentSink for Refusing {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        match self.1.checked_sub(piece.len()) {
            Some(left) => {
                self.1 = left;
                Ok(())
            }
            None => Err(self.0.take().expect("written to again after it refused")),
        }
    }
}

#[tokio::test]
async fn a_full_sink_is_the_senders_fault_and_a_failed_one_ours() {
    let xml = envelope(&format!("<op><doc>{}</doc><after/></op>", twice(&pdf(300_000))));
    let mut r = open(&xml).await.unwrap();
    r.child().await.unwrap();
    let mut full = Refusing(Some(SinkError::TooLarge), 100_000);
    assert_eq!(r.document(&mut full).await.unwrap(), Contenido::Excesivo);
    assert_eq!(r.child().await.unwrap().unwrap().local, "after", "the rest was consumed");

    let mut r = open(&xml).await.unwrap();
    r.child().await.unwrap();
    let mut failing = Refusing(Some(SinkError::Failed("disk".into())), 100_000);
    let error = r.document(&mut failing).await.err().unwrap();
    assert!(error.is_ours() && error.fault().code == FaultCode::Server, "{error}");
}
