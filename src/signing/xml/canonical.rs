//! Canonical XML 1.0 and Exclusive XML Canonicalization 1.0, both without comments, of a whole document or of one element
//! with all it holds, less one element where the signature that stands inside is left out. Compared in the tests with what
//! xmlsec1 makes.

use std::{collections::HashMap, rc::Rc};

use super::tree::{Attribute, DOCUMENT_BYTES_MAX, Document, Element, Node, XML_NAMESPACE};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// http://www.w3.org/TR/2001/REC-xml-c14n-20010315
    Inclusive,
    /// http://www.w3.org/2001/10/xml-exc-c14n#
    Exclusive,
}

impl Method {
    pub fn from_uri(uri: &str) -> Option<Self> {
        match uri {
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315" => Some(Self::Inclusive),
            "http://www.w3.org/2001/10/xml-exc-c14n#" => Some(Self::Exclusive),
            _ => None,
        }
    }
}

/// What of a document is written.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    Whole,
    Element(&'a Element),
}

/// Largest canonical form, in bytes. Escapes make it longer than what was read, by little; the exclusive form repeats a
/// namespace wherever it is needed, and would make many gigabytes of a long one that a hundred thousand elements share.
pub const CANONICAL_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;

/// Writes `part` without `without` and what is in it; `None`: it is longer than [`CANONICAL_BYTES_MAX`].
pub fn write(document: &Document, part: Part<'_>, without: Option<&Element>, method: Method) -> Option<Vec<u8>> {
    let mut writer = Writer { document, without: without.map(|e| e.index), method, out: Vec::new(), full: false };
    match part {
        Part::Whole => writer.whole(),
        Part::Element(element) => writer.apex(element),
    }
    (!writer.full).then_some(writer.out)
}

type Scope = HashMap<Rc<str>, Rc<str>>;

struct Writer<'a> {
    document: &'a Document,
    without: Option<usize>,
    method: Method,
    out: Vec<u8>,
    /// There was more than may be written: nothing more is.
    full: bool,
}

impl Writer<'_> {
    fn whole(&mut self) {
        let root = self.document.root();
        let mut after = false;
        for index in &self.document.top {
            match self.document.node(*index) {
                Some(Node::Instruction(target, data)) => {
                    if after {
                        self.put("\n");
                    }
                    self.instruction(target, data);
                    if !after {
                        self.put("\n");
                    }
                }
                Some(Node::Element(_)) => {
                    self.apex(root);
                    after = true;
                }
                _ => {}
            }
        }
    }

    /// An element without those above it: it takes over what it inherits of them.
    fn apex(&mut self, element: &Element) {
        let ancestors: Vec<&Element> = self.document.ancestors(element).collect();
        let mut scope = Scope::new();
        for ancestor in ancestors.iter().rev() {
            declare(&mut scope, ancestor);
        }
        let mut inherited: Vec<Attribute> = Vec::new();
        if self.method == Method::Inclusive {
            for attribute in ancestors.iter().flat_map(|one| &one.attributes) {
                let same = |a: &Attribute| a.name.local == attribute.name.local && &*a.name.namespace == XML_NAMESPACE;
                let known = element.attributes.iter().chain(&inherited).any(same);
                if &*attribute.name.namespace == XML_NAMESPACE && !known {
                    inherited.push(attribute.clone());
                }
            }
        }
        self.element(element, &scope, &Scope::new(), &inherited);
    }

    /// `scope` is what prefixes mean outside the element, `written` what the output says of them so far. Recursion is
    /// bounded by the tree's depth.
    fn element(&mut self, element: &Element, scope: &Scope, written: &Scope, inherited: &[Attribute]) {
        if self.full || self.without == Some(element.index) {
            return;
        }
        let (mut scope, mut written) = (scope.clone(), written.clone());
        declare(&mut scope, element);
        self.put("<");
        self.name(&element.name.prefix, &element.name.local);
        for (prefix, namespace) in self.to_write(element, &scope, &written) {
            self.put(if prefix.is_empty() { " xmlns" } else { " xmlns:" });
            self.put(&prefix);
            self.put("=\"");
            self.value(&namespace);
            self.put("\"");
            written.insert(prefix, namespace);
        }
        let mut attributes: Vec<&Attribute> = element.attributes.iter().chain(inherited).collect();
        attributes.sort_by_key(|a| (&a.name.namespace, &a.name.local));
        for attribute in attributes {
            self.put(" ");
            self.name(&attribute.name.prefix, &attribute.name.local);
            self.put("=\"");
            self.value(&attribute.value);
            self.put("\"");
        }
        self.put(">");
        for index in &element.children {
            match self.document.node(*index) {
                Some(Node::Element(child)) => self.element(child, &scope, &written, &[]),
                Some(Node::Text(text)) => self.text(text),
                Some(Node::Instruction(target, data)) => self.instruction(target, data),
                None => {}
            }
        }
        self.put("</");
        self.name(&element.name.prefix, &element.name.local);
        self.put(">");
    }

    /// The namespace declarations that an element needs in the output, in order.
    fn to_write(&self, element: &Element, scope: &Scope, written: &Scope) -> Vec<(Rc<str>, Rc<str>)> {
        let mut prefixes: Vec<Rc<str>> = match self.method {
            Method::Inclusive => scope.keys().cloned().collect(),
            Method::Exclusive => {
                let attributes = element.attributes.iter().map(|a| &a.name.prefix).filter(|prefix| !prefix.is_empty());
                std::iter::once(&element.name.prefix).chain(attributes).filter(|p| &***p != "xml").cloned().collect()
            }
        };
        prefixes.sort();
        prefixes.dedup();
        let none: Rc<str> = "".into();
        let meant = |scope: &Scope, prefix: &Rc<str>| scope.get(prefix).unwrap_or(&none).clone();
        // Nothing at all and an undone default mean the same.
        let needed = prefixes.into_iter().map(|prefix| (meant(scope, &prefix), meant(written, &prefix), prefix));
        needed.filter(|(now, before, _)| now != before).map(|(now, _, prefix)| (prefix, now)).collect()
    }

    fn instruction(&mut self, target: &str, data: &str) {
        self.put("<?");
        self.put(target);
        if !data.is_empty() {
            self.put(" ");
            self.put(data);
        }
        self.put("?>");
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.put(prefix);
            self.put(":");
        }
        self.put(local);
    }

    fn put(&mut self, text: &str) {
        self.full |= text.len() > CANONICAL_BYTES_MAX.saturating_sub(self.out.len());
        if !self.full {
            self.out.extend_from_slice(text.as_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        self.escaped(text, |byte| match byte {
            b'&' => Some("&amp;"),
            b'<' => Some("&lt;"),
            b'>' => Some("&gt;"),
            b'\r' => Some("&#xD;"),
            _ => None,
        });
    }

    fn value(&mut self, text: &str) {
        self.escaped(text, |byte| match byte {
            b'&' => Some("&amp;"),
            b'<' => Some("&lt;"),
            b'"' => Some("&quot;"),
            b'\t' => Some("&#x9;"),
            b'\n' => Some("&#xA;"),
            b'\r' => Some("&#xD;"),
            _ => None,
        });
    }

    fn escaped(&mut self, text: &str, escape: impl Fn(u8) -> Option<&'static str>) {
        let mut begin = 0;
        for (at, byte) in text.bytes().enumerate() {
            if let Some(written) = escape(byte) {
                // What is escaped is one byte, and stands between characters.
                self.put(text.get(begin..at).unwrap_or_default());
                self.put(written);
                begin = at + 1;
            }
        }
        self.put(text.get(begin..).unwrap_or_default());
    }
}

fn declare(scope: &mut Scope, element: &Element) {
    for (prefix, namespace) in &element.namespaces {
        scope.insert(Rc::clone(prefix), Rc::clone(namespace));
    }
}
