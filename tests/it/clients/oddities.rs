//! Messages written by hand in every manner that XML, SOAP 1.1 and HTTP/1.1 allow, posted with curl: each is understood as if
//! it had been written plainly.

use base64_simd::STANDARD;

use super::*;
use crate::{
    daemon::{Daemon, Setup},
    envelope::{Answer, ENTITY, Fields, SOAP11, base64, base64_twice, query},
    pdf::{pdf, sha256},
    platform::Platform,
    rest::despacho,
};

const URL: &str = "https://cusco.example/anexos?a=1&b=2";

/// A manner of writing: its name, what it makes of the plain message, and the arguments of curl if not [`PLAIN`].
type Oddity = (&'static str, fn(String) -> Vec<u8>, &'static [&'static str]);

const PLAIN: &[&str] = &["-H", "Content-Type: text/xml; charset=utf-8", "-H", "SOAPAction: \"\""];

/// Of the markup.
const MARKUP: &[Oddity] = &[
    ("as every stack writes it", |xml| xml.into(), PLAIN),
    (
        "SOAP's namespace without a prefix, the wrapper's too",
        |xml| {
            let xml = xml.replace("<s:", "<").replace("</s:", "</").replace("xmlns:s=", "xmlns=");
            let xml = xml.replace("<w:", "<").replace("</w:", "</").replace("xmlns:w=", "xmlns=");
            xml.replace("<recepcionRequest>", "<recepcionRequest xmlns=\"\">").into()
        },
        PLAIN,
    ),
    (
        "long prefixes, declared anew and bound to something else inside",
        |xml| {
            let xml = xml.replace("<w:", "<_ñ.-1:").replace("</w:", "</_ñ.-1:").replace("xmlns:w=", "xmlns:_ñ.-1=");
            xml.replace("<vasu>", "<vasu xmlns:s=\"urn:x\" xmlns:_ñ.-1=\"urn:y\">").into()
        },
        PLAIN,
    ),
    (
        "a namespace written with references",
        |xml| xml.replace("=\"http://ws.", "=\"http&#58;&#x2F;&#47;ws&#46;").into(),
        PLAIN,
    ),
    (
        "types, identifiers and attributes of others on every element",
        |xml| {
            let declared = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                            xmlns:xsd='http://www.w3.org/2001/XMLSchema' xmlns:u=\"urn:u\" \
                            s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\" u:Id='a > b'";
            let xml = xml.replace("<s:Body>", &format!("<s:Body {declared}>"));
            let xml = xml.replace("<vasu>", "<vasu xsi:type=\"xsd:string\" id='i1'>");
            let xml = xml.replace("<snumanx>", "<snumanx xsi:type=\"xsd:int\">");
            let xml = xml.replace("<dfecdoc>", "<dfecdoc u:x='&quot;&#60;&apos;' xsi:type=\"xsd:dateTime\">");
            let xml = xml.replace("<lstanexos>", "<lstanexos xsi:type='w:documentoAnexo' xsi:nil=\"false\">");
            xml.replace("<bpdfdoc>", "<bpdfdoc xsi:type=\"xsd:base64Binary\" xsi:nil='0'>").into()
        },
        PLAIN,
    ),
    (
        "blanks inside tags and between them",
        |xml| {
            let xml = xml.replace("<vasu>", "\r\n\t<vasu\n>").replace("</vasu>", "</vasu\t >");
            let xml = xml.replace("<recepcionRequest>", "\n <recepcionRequest\r\n  a = 'x'\tb\n=\n\"y\" >\n");
            xml.replace("</w:", "\n</w:").replace("?><", "?>\n\n<").into()
        },
        PLAIN,
    ),
    (
        "comments everywhere",
        |xml| {
            let xml = xml.replace("?><", "?><!-- <s:Body> & --><").replace("<snumfol>", "<!----><snumfol><!-- 9 -->");
            let xml = middle(&xml, "bpdfdoc", "<!-- pdf -->");
            let xml = middle(&xml, "vasu", "<!--<vasu>-->");
            (middle(&xml, "vnumdociderem", "<!-- x -->") + "<!-- the end -->\n").into()
        },
        PLAIN,
    ),
    (
        "a head with entries for others",
        |xml| {
            let head = "<s:Header><h:a xmlns:h=\"urn:h\" s:mustUnderstand=\"0\"><h:b>&lt;</h:b></h:a>\
                        <h:c xmlns:h=\"urn:h\" s:actor=\"urn:somebody\" s:mustUnderstand=\"1\"/></s:Header>";
            xml.replace("<s:Body>", &format!("{head}<s:Body>")).into()
        },
        PLAIN,
    ),
    (
        "an empty head, a mark of byte order, no declaration",
        |xml| {
            let xml = xml.replace("<s:Body>", "<s:Header/><s:Body>");
            format!("\u{feff}{}", &xml[xml.find("?>").unwrap() + 2..]).into()
        },
        PLAIN,
    ),
    (
        "a declaration with single quotes and all its parts",
        |xml| format!("<?xml version='1.0'  encoding='utf-8' standalone='yes' ?>{}", after_declaration(&xml)).into(),
        PLAIN,
    ),
    (
        "fields in another order, with fields of a later version between",
        |xml| {
            let (start, end) = (xml.find("<vrucentrem>").unwrap(), xml.find("</recepcionRequest>").unwrap());
            let mut fields = Vec::new();
            let mut rest = &xml[start..end];
            while let Some(name_end) = rest.find('>') {
                let close = format!("</{}>", &rest[1..name_end]);
                let length = rest.find(&close).unwrap() + close.len();
                fields.push(&rest[..length]);
                rest = &rest[length..];
            }
            fields.reverse();
            let between = "<vnuevo><vasu>no</vasu><x y='1'/></vnuevo><otro/>";
            format!("{}{}{}", &xml[..start], fields.join(between), &xml[end..]).into()
        },
        PLAIN,
    ),
    (
        "empty and nil elements for what is absent",
        |xml| {
            let nil = "<vcuoref xsi:nil=\"true\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"/>";
            xml.replace("<ccodtipdoc>", &format!("{nil}<dfecreg></dfecreg><ccodtipdoc>")).into()
        },
        PLAIN,
    ),
    (
        "fields in the wrapper's namespace",
        |xml| {
            xml.replace("<w:recepcionarTramiteResponse xmlns:w", "<recepcionarTramiteResponse xmlns")
                .replace("</w:", "</")
                .into()
        },
        PLAIN,
    ),
];

/// Of the values.
const VALUES: &[Oddity] = &[
    (
        "text in CDATA, in one piece and in several",
        |xml| {
            let xml = content(&xml, "vasu", |_| {
                let (one, two) = SUBJECT.split_at(SUBJECT.find("si a").unwrap());
                format!("<![CDATA[{one}]]><![CDATA[]]>{}", two.replace('&', "&amp;").replace('<', "&lt;"))
            });
            content(&xml, "vurldocanx", |_| format!("<![CDATA[{URL}]]>")).into()
        },
        PLAIN,
    ),
    (
        "base64 in CDATA",
        |xml| {
            content(&xml, "bpdfdoc", |text| {
                let (one, two) = text.split_at(1001);
                format!("<![CDATA[{one}]]>\n<![CDATA[{two}]]>")
            })
            .into()
        },
        PLAIN,
    ),
    (
        "every character of a text a reference",
        |xml| {
            content(&xml, "vasu", |_| {
                let reference = |(at, c): (usize, char)| match at % 3 {
                    0 => format!("&#{};", u32::from(c)),
                    1 => format!("&#x{:X};", u32::from(c)),
                    _ => format!("&#x0000{:x};", u32::from(c)),
                };
                SUBJECT.chars().enumerate().map(reference).collect()
            })
            .into()
        },
        PLAIN,
    ),
    (
        "the five entities",
        |xml| content(&xml, "vasu", |text| text.replace('"', "&quot;").replace('\'', "&apos;")).into(),
        PLAIN,
    ),
    (
        "references inside base64",
        |xml| {
            content(&xml, "bpdfdoc", |text| {
                text.replace('U', "&#85;").replace('=', "&#x3d;").replace('V', "V&#13;&#xa;")
            })
            .into()
        },
        PLAIN,
    ),
    (
        "both layers of base64 in lines of 76 columns",
        |xml| {
            content(&xml, "bpdfdoc", |text| {
                let inner = STANDARD.decode_to_vec(text).unwrap();
                lined(&base64(lined(&String::from_utf8(inner).unwrap(), "\r\n").as_bytes()), "\r\n")
            })
            .into()
        },
        PLAIN,
    ),
    (
        "base64 with blanks of every kind at odd places",
        |xml| {
            content(&xml, "bpdfdoc", |text| {
                let spread: String = text
                    .chars()
                    .enumerate()
                    .map(|(at, c)| match at % 97 {
                        5 => format!("{c}\t"),
                        31 => format!("{c}   "),
                        70 => format!("\n{c}\r"),
                        _ => c.to_string(),
                    })
                    .collect();
                format!("\n\n  {spread}\n\t")
            })
            .into()
        },
        PLAIN,
    ),
    (
        "the document encoded once",
        |xml| content(&xml, "bpdfdoc", |text| String::from_utf8(STANDARD.decode_to_vec(text).unwrap()).unwrap()).into(),
        PLAIN,
    ),
    (
        "numbers as xs:int allows them",
        |xml| {
            let xml = content(&xml, "snumanx", |_| "\n +1 ".into());
            content(&xml, "snumfol", |_| " 0003\t".into()).into()
        },
        PLAIN,
    ),
    (
        "a date with fractions, in another zone",
        |xml| content(&xml, "dfecdoc", |_| "\n2025-06-02T14:30:00.000Z ".into()).into(),
        PLAIN,
    ),
    (
        "a date without a zone, which is Lima's",
        |xml| content(&xml, "dfecdoc", |_| "2025-06-02T09:30:00".into()).into(),
        PLAIN,
    ),
    (
        "ISO-8859-1",
        |xml| {
            let declared = format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{}", after_declaration(&xml));
            declared.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
        },
        &["-H", "Content-Type: text/xml; charset=ISO-8859-1", "-H", "SOAPAction: \"\""],
    ),
    (
        "UTF-16",
        |xml| {
            let declared = format!("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?>{}", after_declaration(&xml));
            declared.encode_utf16().flat_map(u16::to_le_bytes).collect()
        },
        &["-H", "Content-Type: text/xml; charset=utf-16", "-H", "SOAPAction: \"\""],
    ),
];

/// Of the transport.
const TRANSPORT: &[Oddity] = &[
    (
        "in chunks of unknown length",
        |xml| xml.into(),
        &["-H", "Content-Type: text/xml; charset=utf-8", "-H", "Transfer-Encoding: chunked", "-H", "SOAPAction: \"\""],
    ),
    (
        "asking first whether to go on",
        |xml| xml.into(),
        &["-H", "Content-Type: text/xml", "-H", "Expect: 100-continue", "-H", "SOAPAction: \"\""],
    ),
    (
        "in chunks, asking first, as the platform's proxy does",
        |xml| xml.into(),
        &[
            "-H",
            "Content-Type: text/xml; charset=UTF-8",
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Expect: 100-continue",
            "-H",
            "SOAPAction: \"http://ws.wsiotramite.segdi.gob.pe/recepcionarTramiteResponse\"",
        ],
    ),
    ("HTTP/1.0", |xml| xml.into(), &["--http1.0", "-H", "Content-Type: text/xml", "-H", "SOAPAction: \"\""]),
    (
        "without SOAPAction, the type in capitals and quotes",
        |xml| xml.into(),
        &["-H", "content-type: TEXT/XML;CHARSET=\"UTF-8\" ; action=\"\""],
    ),
    (
        "SOAPAction without quotes",
        |xml| xml.into(),
        &["-H", "Content-Type: text/xml", "-H", "SOAPAction: recepcionarTramiteResponse"],
    ),
    (
        "a long list of headers, cookies and a will for every encoding",
        |xml| xml.into(),
        &[
            "-H",
            "Content-Type: text/xml;charset=utf-8",
            "-H",
            "SOAPAction: \"\"",
            "-H",
            "Accept: */*",
            "--compressed",
            "-H",
            "Cookie: a=b; c=\"d\"",
            "-H",
            "Via: 1.1 proxy",
            "-H",
            "X-Forwarded-For: 10.0.0.1",
            "-H",
            "TE: trailers",
        ],
    ),
];

/// The content of the first element `name` made another.
fn content(xml: &str, name: &str, change: impl FnOnce(&str) -> String) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = xml.find(&open).unwrap() + open.len();
    let end = start + xml[start..].find(&close).unwrap();
    format!("{}{}{}", &xml[..start], change(&xml[start..end]), &xml[end..])
}

/// `what` in the middle of an element's content.
fn middle(xml: &str, name: &str, what: &str) -> String {
    content(xml, name, |text| {
        let at = text.char_indices().nth(text.chars().count() / 2).unwrap().0;
        format!("{}{what}{}", &text[..at], &text[at..])
    })
}

fn after_declaration(xml: &str) -> &str {
    &xml[xml.find("?>").unwrap() + 2..]
}

fn lined(text: &str, end: &str) -> String {
    let lines: Vec<&str> = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(end) + end
}

/// What curl got for posting this.
fn posted(files: &Files, url: &str, arguments: &[&str], body: &[u8]) -> Answer {
    let (sent, got) = (files.add("sent.xml", body), files.add("got.xml", b""));
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "-X", "POST", "-w", "%{http_code} %{content_type}"]).args(arguments);
    command.arg("--data-binary").arg(format!("@{}", sent.display())).arg("-o").arg(&got).arg(url);
    let said = String::from_utf8(run("curl", &mut command).stdout).unwrap();
    let (status, content_type) = said.split_once(' ').unwrap();
    let body = std::fs::read_to_string(got).unwrap();
    Answer { status: status.parse().unwrap(), content_type: content_type.to_owned(), body }
}

/// A document with an annex, written plainly.
fn plain(cuo: &str, pdf: &[u8]) -> String {
    let fields = Fields::document(CUSCO.ruc, LIMA.ruc, cuo, pdf).with("vasu", SUBJECT);
    let fields = fields.with("snumanx", "1").with("vurldocanx", URL).with("lstanexos", "@");
    fields.xml().replace(">@<", "><vnomdoc>plano &amp; corte.dwg</vnomdoc><")
}

async fn understood(oddities: &[Oddity]) {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA])]).await;
    let (daemon, files) = (&mut daemons[0], Files::new());
    let (api, url) = (daemon.api(), daemon.soap_url());
    for (number, (name, write, arguments)) in (1..).zip(oddities) {
        let (cuo, document) = (format!("{number:010}"), pdf(number, 20_000));
        let body = write(plain(&cuo, &document));
        for time in ["first", "second"] {
            let answer = posted(&files, &url, arguments, &body);
            assert_eq!(answer.status, 200, "{name}, the {time} time: {}", answer.body);
            let (code, text) = answer.verdict();
            assert_eq!(code, "0000", "{name}, the {time} time: {text}");
        }
        let stored = api.list(&format!("/api/v1/recepciones?cuo={cuo}")).await;
        assert_eq!(stored.len(), 1, "{name}: stored once");
        let stored = &stored[0];
        let expected = [
            ("asunto", json!(SUBJECT)),
            ("url_anexos", json!(URL)),
            ("folios", json!(3)),
            ("fecha_documento", json!("2025-06-02T09:30:00-05:00")),
            ("referencia", json!(null)),
        ];
        for (field, value) in expected {
            assert_eq!(stored[field], value, "{name}: {field}");
        }
        assert_eq!(stored["anexos"][0]["nombre"], "plano & corte.dwg", "{name}");
        assert_eq!(stored["documento"]["sha256"], sha256(&document), "{name}");
        assert_eq!(stored["remitente"]["numero_documento"], "40633367", "{name}");
    }
}

#[tokio::test]
async fn odd_but_legal_markup_is_understood() {
    understood(MARKUP).await;
}

#[tokio::test]
async fn odd_but_legal_values_are_understood() {
    understood(VALUES).await;
}

#[tokio::test]
async fn odd_but_legal_transport_is_understood() {
    understood(TRANSPORT).await;
}

#[tokio::test]
async fn cargos_and_questions_written_by_hand_are_understood() {
    let (_platform, mut daemons) = Platform::with([Setup::of(&[LIMA]), Setup::of(&[CUSCO])]).await;
    let (daemon, files) = (&mut daemons[0], Files::new());
    let (api, url) = (daemon.api(), daemon.soap_url());
    for (letter, estado) in [("R", "recepcionado"), ("O", "observado")] {
        let made = api.dispatch(&despacho(&format!("2026-{letter}"), CUSCO.ruc), &pdf(4, 5_000)).await;
        let path = format!("/api/v1/despachos/{}", text(&made, "id"));
        let cuo = text(&api.until_state(&path, "enviado").await, "cuo").to_owned();
        let cargo = pdf(5, 60_000);
        let fields = Fields::cargo(&cuo, letter, &cargo);
        let fields = if letter == "O" { fields.with("vobs", OBSERVATION) } else { fields };
        let odd = content(&fields.xml(), "bcarstd", |text| lined(text, "&#xd;\n")).replace("<vobs>", "<vobs a='>'>");
        for expected in ["RECEPCION DE CARGO EXITOSO", "EL CARGO YA SE ENCUENTRA REGISTRADO"] {
            let answer = posted(&files, &url, &[PLAIN, &["-H", "Transfer-Encoding: chunked"]].concat(), odd.as_bytes());
            assert_eq!(answer.verdict(), ("0000".to_owned(), expected.to_owned()));
        }
        let closed = api.get(&path).await.expect(200);
        assert_eq!(closed["estado"], estado);
        let observation = if letter == "O" { json!(OBSERVATION) } else { json!(null) };
        assert_eq!(closed["cargo"]["observacion"], observation);
        assert!(api.get(&format!("{path}/cargo")).await.body == cargo, "the cargo's bytes");
    }
    asked(daemon, &files).await;
}

/// The same question in all its known forms, of a document that was answered.
async fn asked(daemon: &mut Daemon, files: &Files) {
    let (api, url, cargo) = (daemon.api(), daemon.soap_url(), pdf(6, 60_000));
    assert_eq!(posted(files, &url, PLAIN, plain("0000000019", &pdf(7, 5_000)).as_bytes()).verdict().0, "0000");
    let stored = api.until_one("/api/v1/recepciones").await;
    let filing = json!({"numero_registro": "E-777", "unidad": "GERENCIA", "usuario": "ROSA ÑAHUI PÉREZ"});
    let path = format!("/api/v1/recepciones/{}/recepcionar", text(&stored, "id"));
    api.form(&path, &filing, "cargo", &cargo).await.expect(200);
    let plain = query("0000000019");
    let structure =
        format!("<vrucentrem>{}</vrucentrem><vrucentrec>{}</vrucentrec><vcuo>0000000019</vcuo>", CUSCO.ruc, LIMA.ruc);
    let forms = [
        plain.clone(),
        content(&plain, "request", |cuo| format!("<![CDATA[{cuo}]]>")),
        content(&plain, "request", |cuo| cuo.replace('0', "&#48;")),
        content(&plain, "request", |_| structure.clone()),
        plain.replace("<request>", "<request xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:type='string'>"),
        plain.replace(ENTITY, "http://ws.wsiopidetramite.segdi.gob.pe/"),
        plain.replace("<s:", "<SOAP-ENV:").replace("</s:", "</SOAP-ENV:").replace("xmlns:s=", "xmlns:SOAP-ENV="),
    ];
    for form in forms {
        assert!(form.contains(SOAP11));
        let answer = posted(files, &url, PLAIN, form.as_bytes());
        assert_eq!(answer.verdict().0, "0000", "{form}");
        assert_eq!(answer.field("cflgest").as_deref(), Some("R"), "{form}");
        assert_eq!(answer.field("vusuregstd").as_deref(), Some("ROSA ÑAHUI PÉREZ"), "{form}");
        assert!(answer.field("bcarstd") == Some(base64_twice(&cargo)), "the cargo, for {form}");
    }
}
