//! What the XML parser leaves unchecked: names, characters, attributes, references. Only what SOAP messages need is let
//! through.

use std::borrow::Cow;

use quick_xml::{
    events::{BytesRef, BytesStart},
    name::{NamespaceResolver, QName, ResolveResult},
};

use super::{
    envelope::{ENVELOPE_NS, Element},
    error::ReadError,
};

const ACTOR_NEXT: &str = "http://schemas.xmlsoap.org/soap/actor/next";
const XSI_NS: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Attributes of one element.
pub const ATTRIBUTES_MAX: usize = 64;
/// Names of elements and attributes with their prefix, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// A tag's name and the attributes that matter; all of them are checked.
pub(super) fn element(tag: &BytesStart<'_>, resolver: &NamespaceResolver) -> Result<Element, ReadError> {
    let name = tag.name();
    check_name(name)?;
    let (namespace, local) = resolver.resolve_element(name);
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => unescape(namespace.as_ref())?.into_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err(ill_formed("a prefix that is not declared")),
    };
    let mut element = Element { local: local.as_ref().to_owned(), namespace, nil: false, must_understand: false };
    let mut actor_is_other = false;
    for (n, attribute) in tag.attributes().enumerate() {
        if n >= ATTRIBUTES_MAX {
            return Err(ReadError::Limit("atributos de un elemento"));
        }
        let attribute = attribute.map_err(|e| ill_formed(&e.to_string()))?;
        check_name(attribute.key)?;
        check_chars(&attribute.value)?;
        if attribute.value.contains('<') {
            return Err(ill_formed("«<» in an attribute"));
        }
        let value = unescape(&attribute.value)?;
        check_chars(&value)?;
        let (ResolveResult::Bound(namespace), local) = resolver.resolve_attribute(attribute.key) else { continue };
        let truth = matches!(value.trim(), "1" | "true");
        match (unescape(namespace.as_ref())?.as_ref(), local.as_ref()) {
            (XSI_NS, "nil") => element.nil = truth,
            // What does not plainly say no may mean yes.
            (ENVELOPE_NS, "mustUnderstand") => element.must_understand = !matches!(value.trim(), "0" | "false"),
            (ENVELOPE_NS, "actor") => actor_is_other = !matches!(value.trim(), "" | ACTOR_NEXT),
            _ => {}
        }
    }
    element.must_understand &= !actor_is_other;
    Ok(element)
}

/// An attribute's value with its references resolved; the parser leaves those of namespaces too.
fn unescape(value: &str) -> Result<Cow<'_, str>, ReadError> {
    quick_xml::escape::unescape(value).map_err(|_| ReadError::Forbidden("una entidad que no es de las cinco de XML"))
}

fn check_name(name: QName<'_>) -> Result<(), ReadError> {
    let name: &str = name.as_ref();
    if name.len() > NAME_BYTES_MAX {
        return Err(ReadError::Limit("el nombre de un elemento o atributo"));
    }
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii());
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':') || !c.is_ascii();
    let parts = name.split(':').count();
    if parts > 2 || !name.split(':').all(begins) || !name.chars().all(legal) {
        return Err(ill_formed("a name that is none"));
    }
    Ok(())
}

/// Appends text with its line ends made `\n`, as XML asks.
pub(super) fn append(to: &mut String, text: &str) -> Result<(), ReadError> {
    check_chars(text)?;
    let mut lines = text.split('\r');
    to.push_str(lines.next().unwrap_or_default());
    for line in lines {
        if !line.starts_with('\n') {
            to.push('\n');
        }
        to.push_str(line);
    }
    Ok(())
}

pub(super) fn check_chars(text: &str) -> Result<(), ReadError> {
    if text.chars().all(is_xml_char) { Ok(()) } else { Err(ill_formed("a character that XML does not allow")) }
}

/// `Char` of XML 1.0 §2.2.
pub fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// A reference to a character or one of the five entities.
pub(super) fn resolve(reference: &BytesRef<'_>) -> Result<char, ReadError> {
    let named = match reference.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    };
    if let Some(c) = named {
        return Ok(c);
    }
    match reference.resolve_char_ref() {
        Ok(Some(c)) if is_xml_char(c) => Ok(c),
        Ok(None) => Err(ReadError::Forbidden("una entidad que no es de las cinco de XML")),
        Ok(Some(_)) | Err(_) => Err(ill_formed("a reference to no character")),
    }
}

/// Its place is filled in by the reader.
fn ill_formed(what: &str) -> ReadError {
    ReadError::NotXml { at: 0, what: what.to_owned() }
}
