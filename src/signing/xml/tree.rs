//! A document as a tree, with what canonical XML needs to know of it: prefixes as written, namespaces where they are
//! declared, and texts with their line ends and references resolved. Comments are left out: nothing that is signed or read
//! here depends on them, and a text that one divides is whole again.

use std::rc::Rc;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesRef, BytesStart, Event},
};

/// Largest document, in bytes: the largest national lists have about 6 MB.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Elements within elements.
pub const DEPTH_MAX: usize = 64;
/// Elements, texts and processing instructions of one document.
pub const NODES_MAX: usize = 300_000;
/// Attributes and namespace declarations of one element.
const ATTRIBUTES_MAX: usize = 64;
/// Namespace declarations in force at one place: each element's canonical form looks at all of them.
const NAMESPACES_MAX: usize = 64;

pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";

/// Why a document is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlFault {
    #[error("no es XML bien formado")]
    Malformed,
    #[error("no está en UTF-8")]
    Encoding,
    #[error("trae una DTD o entidades propias, que no se admiten")]
    Doctype,
    #[error("usa un prefijo sin declarar su espacio de nombres")]
    Namespace,
    #[error("pasa los límites de tamaño o de anidamiento")]
    TooLarge,
}

/// A name with its prefix as written; `prefix` is empty without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub prefix: Rc<str>,
    pub local: Rc<str>,
    /// Empty: in no namespace.
    pub namespace: Rc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: Name,
    pub value: String,
}

#[derive(Debug)]
pub enum Node {
    Element(Element),
    Text(String),
    /// Target and data.
    Instruction(String, String),
}

#[derive(Debug)]
pub struct Element {
    pub name: Name,
    pub attributes: Vec<Attribute>,
    /// Declared here: prefix (empty for the default) and namespace (empty to undo the default).
    pub namespaces: Vec<(Rc<str>, Rc<str>)>,
    pub children: Vec<usize>,
    pub parent: Option<usize>,
    /// Its own place in the document.
    pub index: usize,
}

/// A whole document.
#[derive(Debug)]
pub struct Document {
    nodes: Vec<Node>,
    root: usize,
    /// The root and the processing instructions beside it, in order.
    pub top: Vec<usize>,
}

impl Document {
    /// Reads a document in UTF-8.
    pub fn parse(bytes: &[u8]) -> Result<Self, XmlFault> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            return Err(XmlFault::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| XmlFault::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // Line ends are one character before anything else is looked at (XML 1.0 §2.11).
        if text.contains('\r') {
            return Builder::default().build(&text.replace("\r\n", "\n").replace('\r', "\n"));
        }
        Builder::default().build(text)
    }

    pub fn root(&self) -> &Element {
        match self.nodes.get(self.root) {
            Some(Node::Element(element)) => element,
            // `build` ends without a root only in an error.
            _ => unreachable!("a document has a root"),
        }
    }

    pub fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    pub fn element(&self, index: usize) -> Option<&Element> {
        match self.nodes.get(index) {
            Some(Node::Element(element)) => Some(element),
            _ => None,
        }
    }

    /// Every element, in document order.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| if let Node::Element(element) = node { Some(element) } else { None })
    }

    pub fn children<'a>(&'a self, element: &'a Element) -> impl Iterator<Item = &'a Element> {
        element.children.iter().filter_map(|index| self.element(*index))
    }

    /// Children with this name.
    pub fn named<'a>(
        &'a self,
        element: &'a Element,
        namespace: &'a str,
        local: &'a str,
    ) -> impl Iterator<Item = &'a Element> {
        self.children(element).filter(move |child| child.is(namespace, local))
    }

    /// The first child with this name.
    pub fn child<'a>(&'a self, element: &'a Element, namespace: &'a str, local: &'a str) -> Option<&'a Element> {
        self.named(element, namespace, local).next()
    }

    /// The text directly inside, without the white space around it.
    pub fn text(&self, element: &Element) -> String {
        let texts = element.children.iter().filter_map(|index| match self.nodes.get(*index) {
            Some(Node::Text(text)) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<String>().trim().to_owned()
    }

    /// From an element's parent up to the root.
    pub fn ancestors<'a>(&'a self, element: &'a Element) -> impl Iterator<Item = &'a Element> {
        std::iter::successors(element.parent.and_then(|index| self.element(index)), |one| {
            one.parent.and_then(|index| self.element(index))
        })
    }

    /// Whether `element` is `within` or inside it.
    pub fn is_within(&self, element: &Element, within: &Element) -> bool {
        element.index == within.index || self.ancestors(element).any(|one| one.index == within.index)
    }
}

impl Element {
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        &*self.name.namespace == namespace && &*self.name.local == local
    }

    /// An attribute in no namespace.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|a| a.name.namespace.is_empty() && &*a.name.local == local)
            .map(|a| a.value.as_str())
    }

    pub fn language(&self) -> Option<&str> {
        let lang = |a: &&Attribute| &*a.name.namespace == XML_NAMESPACE && &*a.name.local == "lang";
        self.attributes.iter().find(lang).map(|a| a.value.as_str())
    }

    /// By any of the names under which signers identify elements.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let id = |a: &&Attribute| match &*a.name.local {
            "Id" | "ID" | "id" => a.name.namespace.is_empty() || &*a.name.namespace == XML_NAMESPACE,
            _ => false,
        };
        self.attributes.iter().filter(id).map(|a| a.value.as_str())
    }
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    top: Vec<usize>,
    root: Option<usize>,
    /// Elements that are open.
    open: Vec<usize>,
    /// What each prefix means now; later ones hide earlier ones.
    scope: Vec<(Rc<str>, Rc<str>)>,
    /// How many of `scope` were there when each open element began.
    marks: Vec<usize>,
}

impl Builder {
    fn build(mut self, text: &str) -> Result<Document, XmlFault> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader.config_mut().check_comments = true;
        let mut first = true;
        loop {
            match reader.read_event().map_err(|_| XmlFault::Malformed)? {
                Event::Start(start) => self.start(&start)?,
                Event::End(_) => self.end()?,
                Event::Empty(_) => return Err(XmlFault::Malformed), // expanded above
                Event::Text(text) => self.text(&text)?,
                Event::CData(_) if self.open.is_empty() => return Err(XmlFault::Malformed),
                Event::CData(text) => self.text(&text)?,
                Event::GeneralRef(reference) => self.reference(&reference)?,
                Event::PI(pi) => self.instruction(pi.target(), pi.content())?,
                Event::Decl(declaration) => {
                    let utf8 =
                        |label: &str| label.eq_ignore_ascii_case("utf-8") || label.eq_ignore_ascii_case("us-ascii");
                    match declaration.encoding() {
                        _ if !first => return Err(XmlFault::Malformed),
                        Some(Ok(label)) if !utf8(&label) => return Err(XmlFault::Encoding),
                        Some(Err(_)) => return Err(XmlFault::Malformed),
                        _ => {}
                    }
                    if declaration.version().map_err(|_| XmlFault::Malformed)? != "1.0" {
                        return Err(XmlFault::Malformed);
                    }
                }
                Event::Comment(_) => {}
                Event::DocType(_) => return Err(XmlFault::Doctype),
                Event::Eof => break,
            }
            first = false;
        }
        match self.root {
            Some(root) if self.open.is_empty() => Ok(Document { nodes: self.nodes, root, top: self.top }),
            _ => Err(XmlFault::Malformed),
        }
    }

    fn add(&mut self, node: Node) -> Result<usize, XmlFault> {
        let index = self.nodes.len();
        if index >= NODES_MAX {
            return Err(XmlFault::TooLarge);
        }
        self.nodes.push(node);
        match self.open.last().and_then(|parent| self.nodes.get_mut(*parent)) {
            Some(Node::Element(parent)) => parent.children.push(index),
            _ => self.top.push(index),
        }
        Ok(index)
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), XmlFault> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(XmlFault::Malformed);
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(XmlFault::TooLarge);
        }
        self.marks.push(self.scope.len());
        let mut written: Vec<(String, String)> = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| XmlFault::Malformed)?;
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|_| XmlFault::Malformed)?;
            if written.len() >= ATTRIBUTES_MAX {
                return Err(XmlFault::TooLarge);
            }
            written.push((attribute.key.as_ref().to_owned(), allowed(&value)?.to_owned()));
        }
        let mut namespaces: Vec<(Rc<str>, Rc<str>)> = Vec::new();
        for (key, value) in &written {
            if let Some(prefix) = declares(key) {
                declaration(prefix, value)?;
                namespaces.push((prefix.into(), value.as_str().into()));
            }
        }
        self.scope.extend(namespaces.iter().cloned());
        if self.scope.len() > NAMESPACES_MAX {
            return Err(XmlFault::TooLarge);
        }
        let mut attributes: Vec<Attribute> = Vec::new();
        for (key, value) in written.into_iter().filter(|(key, _)| declares(key).is_none()) {
            let name = self.name(&key, false)?;
            let same = |a: &Attribute| a.name.namespace == name.namespace && a.name.local == name.local;
            if attributes.iter().any(same) {
                return Err(XmlFault::Malformed);
            }
            attributes.push(Attribute { name, value });
        }
        let name = self.name(start.name().as_ref(), true)?;
        let (index, parent) = (self.nodes.len(), self.open.last().copied());
        let element = Element { name, attributes, namespaces, children: Vec::new(), parent, index };
        self.add(Node::Element(element))?;
        if parent.is_none() {
            self.root = Some(index);
        }
        self.open.push(index);
        Ok(())
    }

    fn end(&mut self) -> Result<(), XmlFault> {
        self.open.pop().ok_or(XmlFault::Malformed)?;
        self.scope.truncate(self.marks.pop().unwrap_or(0));
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlFault> {
        allowed(text)?;
        let Some(parent) = self.open.last().copied() else {
            return if text.chars().all(is_space) { Ok(()) } else { Err(XmlFault::Malformed) };
        };
        if text.is_empty() {
            return Ok(());
        }
        let last = match self.nodes.get(parent) {
            Some(Node::Element(parent)) => parent.children.last().copied(),
            _ => None,
        };
        if let Some(Node::Text(before)) = last.and_then(|index| self.nodes.get_mut(index)) {
            before.push_str(text);
            return Ok(());
        }
        self.add(Node::Text(text.to_owned())).map(|_| ())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), XmlFault> {
        if self.open.is_empty() {
            return Err(XmlFault::Malformed);
        }
        match reference.resolve_char_ref() {
            Ok(Some(character)) => self.text(character.encode_utf8(&mut [0; 4])),
            Ok(None) => {
                let text = resolve_predefined_entity(reference).ok_or(XmlFault::Doctype)?;
                self.text(text)
            }
            Err(_) => Err(XmlFault::Malformed),
        }
    }

    fn instruction(&mut self, target: &str, data: &str) -> Result<(), XmlFault> {
        if !is_name(target) || target.eq_ignore_ascii_case("xml") {
            return Err(XmlFault::Malformed);
        }
        let node = Node::Instruction(target.to_owned(), allowed(data)?.trim_start_matches(is_space).to_owned());
        self.add(node).map(|_| ())
    }

    /// A name as written, with the namespace its prefix means; an attribute without prefix is in none.
    fn name(&self, written: &str, element: bool) -> Result<Name, XmlFault> {
        let (prefix, local) = written.split_once(':').unwrap_or(("", written));
        if !is_name(local) || (!prefix.is_empty() && !is_name(prefix)) || (prefix.is_empty() && written.contains(':')) {
            return Err(XmlFault::Malformed);
        }
        let namespace = match prefix {
            "xml" => XML_NAMESPACE.into(),
            "" if !element => "".into(),
            _ => match self.scope.iter().rev().find(|(known, _)| &**known == prefix) {
                Some((_, namespace)) => Rc::clone(namespace),
                None if prefix.is_empty() => "".into(),
                None => return Err(XmlFault::Namespace),
            },
        };
        Ok(Name { prefix: prefix.into(), local: local.into(), namespace })
    }
}

/// The prefix that an attribute of this name declares.
fn declares(key: &str) -> Option<&str> {
    if key == "xmlns" { Some("") } else { key.strip_prefix("xmlns:") }
}

/// What Namespaces in XML 1.0 §3 and §2.2 do not allow is refused.
fn declaration(prefix: &str, namespace: &str) -> Result<(), XmlFault> {
    let bad = match prefix {
        "" => namespace == XML_NAMESPACE,
        "xml" | "xmlns" => true,
        _ => namespace.is_empty() || namespace == XML_NAMESPACE || !is_name(prefix),
    };
    if bad || namespace == XMLNS_NAMESPACE { Err(XmlFault::Namespace) } else { Ok(()) }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// A name without colon. Narrower than the specification for the sake of few signs: what it lets through cannot be taken for
/// markup in a canonical form.
fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    let starts = |c: char| c.is_alphabetic() || c == '_';
    characters.next().is_some_and(starts)
        && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '·'))
}

/// Characters that XML 1.0 §2.2 knows.
fn allowed(text: &str) -> Result<&str, XmlFault> {
    let bad = |c: char| (c < ' ' && !is_space(c)) || matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.contains(bad) { Err(XmlFault::Malformed) } else { Ok(text) }
}
