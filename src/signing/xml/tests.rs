//! Signatures that xmlsec1 makes over odd documents are believed here, which tells that the canonical forms are equal byte
//! for byte; the same documents changed in any way are not.

use std::{path::Path, process::Command};

use super::{
    Document, SignatureFault, XmlFault,
    canonical::{Method, Part, write},
    check,
    tree::DEPTH_MAX,
};

pub const INCLUSIVE: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
pub const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const RSA: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const ECDSA: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";

/// What a template of a signature says.
#[derive(Clone)]
pub struct Template {
    pub uri: &'static str,
    pub method: &'static str,
    pub form: &'static str,
    pub transforms: String,
    pub more: String,
    pub object: String,
    pub digest: &'static str,
    pub key: &'static str,
}

fn transform(uri: &str) -> String {
    format!("<ds:Transform Algorithm=\"{uri}\"/>")
}

fn enveloped(form: &str) -> String {
    transform("http://www.w3.org/2000/09/xmldsig#enveloped-signature") + &transform(form)
}

impl Template {
    pub fn new(form: &'static str) -> Self {
        let (more, object) = (String::new(), String::new());
        let digest = "http://www.w3.org/2001/04/xmlenc#sha256";
        Self {
            uri: "",
            method: RSA,
            form,
            transforms: enveloped(form),
            more,
            object,
            digest,
            key: "agente-municipalidad",
        }
    }

    pub fn xml(&self) -> String {
        let Self { uri, method, form, transforms, more, object, digest, .. } = self;
        format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" Id=\"S\">\n<ds:SignedInfo>\
             <ds:CanonicalizationMethod Algorithm=\"{form}\"/>\n <ds:SignatureMethod Algorithm=\"{method}\"/>\
             <ds:Reference URI=\"{uri}\"><ds:Transforms>{transforms}</ds:Transforms>\
             <ds:DigestMethod Algorithm=\"{digest}\"/><ds:DigestValue/></ds:Reference>{more}</ds:SignedInfo>\
             <ds:SignatureValue/>\n<ds:KeyInfo Id=\"K\"><ds:X509Data/></ds:KeyInfo>{object}</ds:Signature>"
        )
    }
}

fn pki(name: &str) -> String {
    format!("{}/fixtures/pki/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn xmlsec1(arguments: &[&str], file: &Path) -> std::process::Output {
    let ids =
        ["--id-attr:Id", "http://uri.etsi.org/02231/v2#:TrustServiceStatusList", "--id-attr:Id", "SignedProperties"];
    let mut command = Command::new("xmlsec1");
    command.args(arguments).args(ids).args(["--id-attr:Id", "KeyInfo", "--id-attr:Id", "lista"]).arg(file);
    command.output().expect("xmlsec1, of the Debian package of that name")
}

/// Has xmlsec1 sign `before` + template + `after`, and judge what it made.
pub fn signed(before: &str, template: &Template, after: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("template.xml"), folder.path().join("signed.xml"));
    std::fs::write(&from, format!("{before}{}{after}", template.xml())).unwrap();
    let key = format!("{},{}", pki(&format!("{}.key.pem", template.key)), pki(&format!("{}.cert.pem", template.key)));
    let done = xmlsec1(&["--sign", "--privkey-pem", &key, "--output", to.to_str().unwrap()], &from);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(judge(&to), "xmlsec1 does not believe itself");
    std::fs::read(&to).unwrap()
}

fn judge(file: &Path) -> bool {
    let (root, middle) = (pki("root.cert.pem"), pki("intermediate.cert.pem"));
    xmlsec1(&["--verify", "--trusted-pem", &root, "--untrusted-pem", &middle], file).status.success()
}

fn xmlsec1_believes(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.xml");
    std::fs::write(&file, bytes).unwrap();
    judge(&file)
}

fn checked(bytes: &[u8]) -> Result<String, SignatureFault> {
    check(&Document::parse(bytes).unwrap()).map(|signer| signer.certificate.name())
}

/// Documents with what canonical forms are about.
const ODD: [(&str, &str); 7] = [
    ("<lista><a/><b></b>", "</lista>"),
    (
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<?estilo  a='1' ?>\n<!-- x -->\n<lista\r\n z='1'\ta = \"2\" >\r\nun\rdos&#13;&#xA;",
        "</lista>\n<?fin?>\n<!-- y -->",
    ),
    (
        "<p:lista xmlns:p='urn:p' xmlns:q='urn:q' xmlns:sin='urn:uso' xmlns='urn:d'><q:a p:z='1' q:a='2' b='3'/><c xmlns=''><d xmlns='urn:d'/></c>",
        "</p:lista>",
    ),
    (
        "<lista xml:lang='es' xml:space='preserve' xmlns:a='urn:z' xmlns:b='urn:a'><x a:n='1' b:n='2' n='3' m='&lt;&amp;\"&quot;&apos;&gt;&#9;&#10;&#13; \t\n.'/>",
        "</lista>",
    ),
    (
        "<lista>&lt;&gt;&amp;&quot;&apos;]]&gt;<![CDATA[<x>&amp;]]]]><![CDATA[>]]> ñandú €&#x1F600;<!-- c -->fin<?pi?><?pi  con datos  ?>",
        "</lista>",
    ),
    (
        "<lista xmlns:x='urn:1'><x:a xmlns:x='urn:2'><x:b xmlns:x='urn:1'/><x:c xmlns:x='urn:2' xmlns:y='urn:y' y:t=''/></x:a>",
        "</lista>",
    ),
    ("\u{feff}<lista xmlns='urn:d'><a xmlns='urn:d' xmlns:xx='urn:d' xx:b='1'>  <xx:c/>\n</a>", "</lista>"),
];

#[test]
fn odd_documents_that_xmlsec1_signed_are_believed_in_both_canonical_forms() {
    for form in [INCLUSIVE, EXCLUSIVE] {
        for (before, after) in ODD {
            let bytes = signed(before, &Template::new(form), after);
            let name = checked(&bytes);
            assert_eq!(name.as_deref(), Ok("AGENTE AUTOMATIZADO 20900000015 soft"), "{form} {before}");
        }
    }
}

#[test]
fn canonical_forms_are_the_ones_the_specifications_show() {
    let text = "<!DOCTYPE x><x/>";
    assert_eq!(Document::parse(text.as_bytes()).unwrap_err(), XmlFault::Doctype);
    let document = Document::parse(b"<a xmlns:q='urn:q' xml:lang='es'><b z='' a='&#13;'>x&#13;&gt;</b></a>").unwrap();
    let b = document.child(document.root(), "", "b").unwrap();
    let text = |method| String::from_utf8(write(&document, Part::Element(b), None, method).unwrap()).unwrap();
    assert_eq!(text(Method::Exclusive), "<b a=\"&#xD;\" z=\"\">x&#xD;&gt;</b>");
    assert_eq!(text(Method::Inclusive), "<b xmlns:q=\"urn:q\" a=\"&#xD;\" z=\"\" xml:lang=\"es\">x&#xD;&gt;</b>");
}

#[test]
fn elliptic_keys_longer_digests_and_the_root_by_its_id_are_believed() {
    let elliptic = Template { method: ECDSA, key: "persona-gobierno", ..Template::new(EXCLUSIVE) };
    assert!(checked(&signed("<lista>", &elliptic, "</lista>")).is_ok());
    let longer = Template {
        method: "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        digest: "http://www.w3.org/2001/04/xmlenc#sha512",
        ..Template::new(INCLUSIVE)
    };
    assert!(checked(&signed("<lista>", &longer, "</lista>")).is_ok());
    let by_id = Template { uri: "#L", ..Template::new(INCLUSIVE) };
    let bytes = signed("<?fuera?><lista Id='L' xmlns:n='urn:n'>", &by_id, "</lista>");
    assert!(checked(&bytes).is_ok());
    // What stands beside the root is then not signed, and not read.
    let text = String::from_utf8(bytes).unwrap().replace("<?fuera?>", "");
    assert!(checked(text.as_bytes()).is_ok());
}

/// As XAdES signers make it: properties and key are signed as well.
fn xades() -> Template {
    let reference = |uri: &str, digest: &str| {
        format!("<ds:Reference URI=\"{uri}\"><ds:DigestMethod Algorithm=\"{digest}\"/><ds:DigestValue/></ds:Reference>")
    };
    let object = "<ds:Object><x:QualifyingProperties xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\" Target=\"#S\">\
                  <x:SignedProperties Id=\"P\"><x:SignedSignatureProperties/></x:SignedProperties>\
                  </x:QualifyingProperties></ds:Object>";
    let more = reference("#P", "http://www.w3.org/2001/04/xmlenc#sha256");
    Template { more, object: object.into(), ..Template::new(INCLUSIVE) }
}

#[test]
fn signed_properties_and_key_are_checked_when_they_are_referred_to() {
    let bytes = signed("<lista xmlns:n='urn:n' xml:lang='es'>", &xades(), "</lista>");
    assert!(checked(&bytes).is_ok());
    let text = String::from_utf8(bytes).unwrap();
    let changed = text.replace("<x:SignedSignatureProperties/>", "<x:SignedSignatureProperties a=\"1\"/>");
    assert_ne!(text, changed);
    assert_eq!(checked(changed.as_bytes()), Err(SignatureFault::Digest));
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let bytes = signed("<lista xmlns='urn:d'><a b='c'>texto</a>", &Template::new(EXCLUSIVE), "</lista>");
    let text = String::from_utf8(bytes).unwrap();
    // The certificate and unsigned white space in the signature may be written otherwise; nothing else may.
    let key = text.find("<ds:KeyInfo").or_else(|| text.find("<KeyInfo")).unwrap();
    let end = text.rfind("</ds:KeyInfo>").unwrap();
    let mut refused = 0;
    for at in (0..text.len()).filter(|at| !(key..end).contains(at)) {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let believed = Document::parse(&changed).is_ok_and(|document| check(&document).is_ok());
        if believed {
            // Both judges agree that this byte says nothing.
            assert!(xmlsec1_believes(&changed), "byte {at}: {}", String::from_utf8_lossy(&changed));
        } else {
            refused += 1;
        }
    }
    assert!(refused > text[..key].len() / 2, "{refused}");
}

#[test]
fn moved_wrapped_and_doubled_signatures_are_refused() {
    let by_id = Template { uri: "#L", ..Template::new(EXCLUSIVE) };
    let text = String::from_utf8(signed("<lista Id='L'><a>bueno</a>", &by_id, "</lista>")).unwrap();
    let start = text.find("<ds:Signature").unwrap();
    let end = text.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    let signature = &text[start..end];
    let original = text.trim_start_matches(|c| c != '\n').trim();
    let refused = |changed: &str, why: SignatureFault| {
        let document = Document::parse(changed.as_bytes()).unwrap();
        assert_eq!(check(&document).unwrap_err(), why, "{changed}");
    };
    // The signed list inside of another.
    let wrapped = format!("<lista><a>malo</a>{original}</lista>");
    refused(&wrapped, SignatureFault::Misplaced);
    // The signature moved out, what it signs kept somewhere.
    let kept = original.replace(signature, "");
    refused(&format!("<lista><a>malo</a><b>{kept}</b>{signature}</lista>"), SignatureFault::Shape("URI"));
    refused(&format!("<lista Id=\"L\"><a>malo</a><b>{kept}</b>{signature}</lista>"), SignatureFault::Shape("URI"));
    refused(&format!("<lista><a>bueno</a><b>{signature}</b></lista>"), SignatureFault::Misplaced);
    refused(&original.replace("</lista>", &format!("{signature}</lista>")), SignatureFault::Misplaced);
    refused(&original.replace("bueno", "malo"), SignatureFault::Digest);
    refused(&kept, SignatureFault::Unsigned);
    // A comment divides a text and changes nothing; neither for who reads.
    let commented = original.replace("bueno", "bu<!-- no -->eno");
    let document = Document::parse(commented.as_bytes()).unwrap();
    assert!(check(&document).is_ok());
    assert_eq!(document.text(document.child(document.root(), "", "a").unwrap()), "bueno");
}

#[test]
fn other_keys_and_digests_and_whatever_else_a_signature_could_be_are_refused() {
    let text = String::from_utf8(signed("<lista>", &Template::new(EXCLUSIVE), "</lista>")).unwrap();
    let other = include_str!("../../../fixtures/pki/agente-gobierno.cert.pem");
    let body: String = other.lines().filter(|line| !line.starts_with('-')).collect();
    let start = text.find("<ds:X509Certificate>").unwrap() + "<ds:X509Certificate>".len();
    let end = text.find("</ds:X509Certificate>").unwrap();
    let stranger = format!("{}{body}{}", &text[..start], &text[end..]);
    assert_eq!(checked(stranger.as_bytes()), Err(SignatureFault::Signature));
    let value = text.find("<ds:DigestValue>").unwrap() + "<ds:DigestValue>".len();
    let wrong = format!("{}AAAA{}", &text[..value], &text[value + 4..]);
    assert_eq!(checked(wrong.as_bytes()), Err(SignatureFault::Digest));

    let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\">\
                 <ds:XPath>not(ancestor-or-self::a)</ds:XPath></ds:Transform>";
    let with = |template: Template| checked(&signed("<lista><a>x</a>", &template, "</lista>"));
    let plain = Template::new(EXCLUSIVE);
    let shapes = [
        Template { transforms: format!("{xpath}{}", plain.transforms), ..plain.clone() },
        Template { transforms: format!("{}{}", plain.transforms, transform(EXCLUSIVE)), ..plain.clone() },
        Template { transforms: enveloped("http://www.w3.org/2001/10/xml-exc-c14n#WithComments"), ..plain.clone() },
    ];
    for shape in shapes {
        assert_eq!(with(shape.clone()), Err(SignatureFault::Shape("Transforms")), "{}", shape.transforms);
    }
    let weak = [
        Template { digest: "http://www.w3.org/2000/09/xmldsig#sha1", ..plain.clone() },
        Template { method: "http://www.w3.org/2000/09/xmldsig#rsa-sha1", ..plain.clone() },
        Template { form: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments", ..plain },
    ];
    for weak in weak {
        assert_eq!(with(weak), Err(SignatureFault::Algorithm));
    }
}

#[test]
fn what_is_not_a_plain_document_is_refused() {
    let deep = |n: usize| "<a>".repeat(n) + &"</a>".repeat(n);
    assert!(Document::parse(deep(DEPTH_MAX).as_bytes()).is_ok());
    let attributes: String = (0..100).map(|n| format!(" a{n}=''")).collect();
    let cases: &[(&str, XmlFault)] = &[
        ("", XmlFault::Malformed),
        ("<a/><b/>", XmlFault::Malformed),
        ("<a>&otra;</a>", XmlFault::Doctype),
        ("<a>&#0;</a>", XmlFault::Malformed),
        ("<a>&#11;</a>", XmlFault::Malformed),
        ("<a b='1' b='2'/>", XmlFault::Malformed),
        ("<a xmlns:x='u' xmlns:y='u' x:b='' y:b=''/>", XmlFault::Malformed),
        ("<x:a/>", XmlFault::Namespace),
        ("<a xmlns:x=''/>", XmlFault::Namespace),
        ("<a></b>", XmlFault::Malformed),
        ("<a>", XmlFault::Malformed),
        ("x<a/>", XmlFault::Malformed),
        ("<a/>x", XmlFault::Malformed),
        ("<?xml version='1.1'?><a/>", XmlFault::Malformed),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", XmlFault::Encoding),
        ("<a!/>", XmlFault::Malformed),
    ];
    for (text, why) in cases {
        assert_eq!(Document::parse(text.as_bytes()).unwrap_err(), *why, "{text}");
    }
    assert_eq!(Document::parse(deep(DEPTH_MAX + 1).as_bytes()).unwrap_err(), XmlFault::TooLarge);
    assert_eq!(Document::parse(format!("<a{attributes}/>").as_bytes()).unwrap_err(), XmlFault::TooLarge);
    assert_eq!(Document::parse(b"<a>\xff</a>").unwrap_err(), XmlFault::Encoding);
}

#[test]
fn a_canonical_form_that_would_swell_without_end_is_not_written() {
    // Each of the elements inside needs the namespace anew: one MiB would become 40 GiB.
    let long = "n".repeat(1024 * 1024);
    let (head, tail) = (format!("<lista xmlns:p='{long}'>"), format!("{}</lista>", "<p:a/>".repeat(40_000)));
    let signed = String::from_utf8(signed("<lista>", &Template::new(EXCLUSIVE), "</lista>")).unwrap();
    let swollen = signed.replace("<lista>", &head).replace("</lista>", &tail);
    assert_eq!(checked(swollen.as_bytes()), Err(SignatureFault::TooLarge));
    let plain = Document::parse(format!("{head}{tail}").as_bytes()).unwrap();
    assert!(write(&plain, Part::Whole, None, Method::Inclusive).is_some(), "it needs it once");
}
