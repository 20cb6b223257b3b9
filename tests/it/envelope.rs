//! SOAP 1.1 as a counterpart writes and reads it, built by hand here so that what judges the daemon shares nothing with it.

use std::fmt::Write;

use base64_simd::STANDARD;
use quick_xml::{Reader, events::Event};

pub const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub const ENTITY: &str = "http://ws.wsiotramite.segdi.gob.pe/";

/// Encoded once.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode_to_string(bytes)
}

/// Encoded twice, as deployed senders do.
pub fn base64_twice(bytes: &[u8]) -> String {
    base64(base64(bytes).as_bytes())
}

/// Takes both layers off.
pub fn from_base64_twice(text: &str) -> Vec<u8> {
    let inner = STANDARD.decode_to_vec(text.trim()).expect("the outer base64");
    STANDARD.decode_to_vec(inner).expect("the inner base64")
}

/// The fields of a request, in the order they are written.
#[derive(Debug, Clone)]
pub struct Fields {
    operation: &'static str,
    part: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl Fields {
    /// `recepcionarTramiteResponse`: a document without a defect from `sender` to `receiver`.
    pub fn document(sender: &str, receiver: &str, cuo: &str, pdf: &[u8]) -> Self {
        let fields = [
            ("vrucentrem", sender),
            ("vrucentrec", receiver),
            ("vnomentemi", "GOBIERNO REGIONAL DE PRUEBA"),
            ("vuniorgrem", "OFICINA DE TECNOLOGÍA"),
            ("vcuo", cuo),
            ("ccodtipdoc", "01"),
            ("vnumdoc", "OFICIO 001-2026-OTI"),
            ("dfecdoc", "2025-06-02T09:30:00-05:00"),
            ("vuniorgdst", "GERENCIA MUNICIPAL"),
            ("vnomdst", "MARÍA QUISPE MAMANI"),
            ("vnomcardst", "GERENTE MUNICIPAL"),
            ("vasu", "Remito información"),
            ("snumanx", "0"),
            ("snumfol", "3"),
            ("bpdfdoc", &base64_twice(pdf)),
            ("vnomdoc", "oficio.pdf"),
            ("ctipdociderem", "1"),
            ("vnumdociderem", "40633367"),
        ];
        Self::new("recepcionarTramiteResponse", "recepcionRequest", &fields)
    }

    /// `cargoResponse`: the receiver's `R` or `O` (`letter`) for a document.
    pub fn cargo(cuo: &str, letter: &str, pdf: &[u8]) -> Self {
        let fields = [
            ("vcuo", cuo),
            ("vnumregstd", "000777"),
            ("vanioregstd", "2026"),
            ("dfecregstd", "2025-06-02T10:00:00-05:00"),
            ("vuniorgstd", "GERENCIA MUNICIPAL"),
            ("vusuregstd", "ROSA ÑAHUI PÉREZ"),
            ("bcarstd", &base64_twice(pdf)),
            ("cflgest", letter),
        ];
        let cargo = Self::new("cargoResponse", "cargoRequest", &fields);
        if letter == "O" { cargo.with("vobs", "El documento no está firmado") } else { cargo }
    }

    fn new(operation: &'static str, part: &'static str, fields: &[(&'static str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { operation, part, fields }
    }

    /// The same with another value of `name`, added at the end if it was absent.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.fields.push((name, value.to_owned())),
        }
        self
    }

    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| *known != name);
        self
    }

    /// The body's child, in the entity's namespace.
    pub fn body(&self) -> String {
        let mut xml = format!("<w:{} xmlns:w=\"{ENTITY}\"><{}>", self.operation, self.part);
        for (name, value) in &self.fields {
            write!(xml, "<{name}>{}</{name}>", escape(value)).expect("memory takes it");
        }
        write!(xml, "</{}></w:{}>", self.part, self.operation).expect("memory takes it");
        xml
    }

    pub fn xml(&self) -> String {
        wrap(&self.body())
    }
}

/// `consultarTramiteResponse` for a CUO, as the entity's WSDL has it.
pub fn query(cuo: &str) -> String {
    let body = format!("<request>{}</request>", escape(cuo));
    wrap(&format!("<w:consultarTramiteResponse xmlns:w=\"{ENTITY}\">{body}</w:consultarTramiteResponse>"))
}

pub fn wrap(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"{SOAP11}\"><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Answer {
    /// The text of the first element with this local name; `None` if there is none.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut reader = Reader::from_str(&self.body);
        let mut found: Option<String> = None;
        loop {
            match (reader.read_event().expect("the answer is XML"), &mut found) {
                (Event::Start(e), None) if e.local_name().as_ref() == name => found = Some(String::new()),
                (Event::Empty(e), None) if e.local_name().as_ref() == name => return Some(String::new()),
                (Event::Text(t), Some(text)) => text.push_str(&t.xml10_content()),
                (Event::GeneralRef(r), Some(text)) => {
                    let written = format!("&{};", &*r);
                    text.push_str(&quick_xml::escape::unescape(&written).expect("a known entity"));
                }
                (Event::End(e), Some(_)) if e.local_name().as_ref() == name => return found,
                (Event::Eof, _) => return None,
                _ => {}
            }
        }
    }

    /// `vcodres` and `vdesres` of an answer that is one.
    pub fn verdict(&self) -> (String, String) {
        assert_eq!(self.status, 200, "{}", self.body);
        assert!(self.content_type.starts_with("text/xml"), "{}", self.content_type);
        (self.field("vcodres").unwrap_or_default(), self.field("vdesres").unwrap_or_default())
    }

    /// The local part of `faultcode` and the `faultstring` of an answer that is a fault.
    pub fn fault(&self) -> (String, String) {
        assert_eq!(self.status, 500, "{}", self.body);
        assert!(self.content_type.starts_with("text/xml"), "{}", self.content_type);
        let code = self.field("faultcode").expect("a faultcode");
        let code = code.rsplit(':').next().unwrap_or_default().to_owned();
        (code, self.field("faultstring").expect("a faultstring"))
    }
}
