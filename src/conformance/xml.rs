//! XML as a small tree of names, namespaces and texts, in the order they stand: what a check needs to see of a message that
//! a stranger wrote. Bounded; no DTD is followed and no entity but the five is known.

use quick_xml::{
    NsReader,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
    name::ResolveResult,
};

/// Elements within elements, and elements of a message.
const DEPTH_MAX: usize = 64;
const ELEMENTS_MAX: usize = 200_000;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elemento {
    /// Empty: in no namespace.
    pub espacio: String,
    pub local: String,
    /// Names with their prefixes, as written.
    pub atributos: Vec<(String, String)>,
    /// Its own text, without that of its children.
    pub texto: String,
    pub hijos: Vec<Elemento>,
}

impl Elemento {
    pub fn hijo(&self, local: &str) -> Option<&Self> {
        self.hijos.iter().find(|h| h.local == local)
    }

    pub fn atributo(&self, name: &str) -> Option<&str> {
        self.atributos.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Itself and everything below, in the order of the text.
    pub fn todos(&self) -> Vec<&Self> {
        let mut found = vec![self];
        self.hijos.iter().for_each(|h| found.extend(h.todos()));
        found
    }
}

/// A message's tree with what stands around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documento {
    pub raiz: Elemento,
    pub dtd: bool,
    /// Processing instructions beside the XML declaration.
    pub instrucciones: usize,
}

/// Reads a whole document; in Spanish, why it can't be.
pub fn leer(text: &str) -> Result<Documento, String> {
    let malformed = |why: &dyn std::fmt::Display| format!("no es XML bien formado: {why}");
    let mut reader = NsReader::from_str(text.trim_start_matches('\u{feff}'));
    reader.config_mut().expand_empty_elements = true;
    let (mut open, mut root): (Vec<Elemento>, Option<Elemento>) = (Vec::new(), None);
    let (mut dtd, mut instrucciones, mut elements) = (false, 0, 0usize);
    loop {
        let event = reader.read_event().map_err(|e| malformed(&e))?;
        match event {
            Event::Start(start) => {
                elements += 1;
                if open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                    return Err("pasa los límites de anidamiento o de elementos".into());
                }
                if open.is_empty() && root.is_some() {
                    return Err(malformed(&"hay algo después del elemento raíz"));
                }
                open.push(element(&reader, &start)?);
            }
            Event::End(_) => {
                let done = open.pop().ok_or_else(|| malformed(&"se cierra lo que no se abrió"))?;
                match open.last_mut() {
                    Some(parent) => parent.hijos.push(done),
                    None => root = Some(done),
                }
            }
            Event::Text(text) => add(&mut open, &text)?,
            Event::CData(text) => add(&mut open, &text)?,
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref().map_err(|e| malformed(&e))? {
                    Some(c) => c.to_string(),
                    None => resolve_predefined_entity(&reference)
                        .ok_or_else(|| malformed(&"usa una entidad desconocida"))?
                        .to_owned(),
                };
                add(&mut open, &resolved)?;
            }
            Event::DocType(_) => dtd = true,
            Event::PI(_) => instrucciones += 1,
            Event::Eof => break,
            Event::Empty(_) | Event::Decl(_) | Event::Comment(_) => {}
        }
    }
    match root {
        Some(raiz) if open.is_empty() => Ok(Documento { raiz, dtd, instrucciones }),
        _ => Err(malformed(&"termina antes de tiempo")),
    }
}

fn add(open: &mut [Elemento], text: &str) -> Result<(), String> {
    match open.last_mut() {
        Some(element) => element.texto.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("no es XML bien formado: hay texto fuera del elemento raíz".into()),
    }
    Ok(())
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Elemento, String> {
    let (resolved, local) = reader.resolver().resolve_element(start.name());
    let espacio = match resolved {
        ResolveResult::Bound(namespace) => namespace.as_ref().to_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err("usa un prefijo sin declarar".into()),
    };
    let mut atributos = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| format!("no es XML bien formado: {e}"))?;
        atributos.push((attribute.key.as_ref().to_owned(), attribute.value.to_string()));
    }
    Ok(Elemento { espacio, local: local.as_ref().to_owned(), atributos, ..Elemento::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_namespaces_texts_and_order_are_seen() {
        let read =
            leer("<?xml version='1.0'?><a:b xmlns:a='urn:x'><c>1 &amp; &#50;<![CDATA[<3>]]></c><d/></a:b>").unwrap();
        assert_eq!((read.raiz.espacio.as_str(), read.raiz.local.as_str()), ("urn:x", "b"));
        assert_eq!(read.raiz.hijo("c").unwrap().texto, "1 & 2<3>");
        assert_eq!(read.raiz.todos().iter().map(|e| e.local.as_str()).collect::<Vec<_>>(), ["b", "c", "d"]);
    }

    #[test]
    fn what_is_no_xml_is_told() {
        for wrong in ["", "hola", "<a>", "<a></b>", "<a/><b/>", "<x:a/>", "<a>&nada;</a>", "{}"] {
            assert!(leer(wrong).is_err(), "{wrong}");
        }
        assert!(leer(&"<a>".repeat(1000)).is_err());
    }
}
