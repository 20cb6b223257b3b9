//! What a service description asks for, in short: operations, the fields of each type, and SOAPActions; and where another
//! description departs from ours. Names are compared without their namespace prefixes, order is not compared.

use std::collections::BTreeSet;

use quick_xml::{Reader, events::Event};

/// Deepest nesting of elements followed.
const DEPTH_MAX: usize = 64;

/// Differences that are told; the rest is counted.
const TOLD_MAX: usize = 8;

/// What a description says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    pub operations: BTreeSet<String>,
    /// `type.field`.
    pub fields: BTreeSet<String>,
    pub actions: BTreeSet<String>,
    /// Its types stand in another file.
    pub imports: bool,
}

/// It is no service description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no es una descripción de servicio (WSDL)")]
pub struct NotWsdl;

impl Shape {
    pub fn read(text: &[u8]) -> Result<Self, NotWsdl> {
        let text = std::str::from_utf8(text).map_err(|_| NotWsdl)?;
        let mut reader = Reader::from_str(text);
        let (mut shape, mut path, mut defined) = (Self::default(), Vec::<(String, String)>::new(), false);
        loop {
            let (tag, empty) = match reader.read_event().map_err(|_| NotWsdl)? {
                Event::Start(tag) => (tag, false),
                Event::Empty(tag) => (tag, true),
                Event::End(_) => {
                    path.pop();
                    continue;
                }
                Event::Eof => break,
                _ => continue,
            };
            let get = |key: &str| {
                let found = tag.try_get_attribute(key).ok().flatten();
                found.map(|a| a.value.into_owned()).unwrap_or_default()
            };
            let kind = tag.local_name().as_ref().to_owned();
            let named = get("name");
            let above = path.last().map(|(kind, _)| kind.as_str()).unwrap_or_default();
            match (above, kind.as_str()) {
                (_, "definitions") => defined = true,
                ("portType", "operation") => drop(shape.operations.insert(named.clone())),
                ("operation", "operation") => drop(shape.actions.insert(get("soapAction"))),
                ("sequence" | "all", "element") => {
                    let name = if named.is_empty() { local(&get("ref")) } else { named.clone() };
                    if let Some((_, of)) = path.iter().rev().find(|(kind, name)| is_type(kind) && !name.is_empty()) {
                        shape.fields.insert(format!("{of}.{name}"));
                    }
                }
                ("definitions", "import") | ("schema", "import" | "include") => {
                    shape.imports |= !get("location").is_empty() || !get("schemaLocation").is_empty();
                }
                _ => {}
            }
            if !empty {
                path.push((kind, named));
            }
            if path.len() > DEPTH_MAX {
                return Err(NotWsdl);
            }
        }
        if defined { Ok(shape) } else { Err(NotWsdl) }
    }

    /// Where `other` departs from this one, each in a few words of Spanish. What stands in other files is not judged.
    pub fn drift(&self, other: &Self) -> Vec<String> {
        let mut told = Vec::new();
        if !other.imports || !other.operations.is_empty() {
            differ(&mut told, "la operación", &self.operations, &other.operations);
            differ(&mut told, "la SOAPAction", &self.actions, &other.actions);
        }
        if !other.imports || !other.fields.is_empty() {
            differ(&mut told, "el campo", &self.fields, &other.fields);
        }
        let more = told.len().saturating_sub(TOLD_MAX);
        told.truncate(TOLD_MAX);
        if more > 0 {
            told.push(format!("y {more} diferencias más"));
        }
        told
    }
}

fn differ(told: &mut Vec<String>, what: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
    let clip = |name: &String| name.chars().take(80).collect::<String>();
    told.extend(ours.difference(theirs).map(|name| format!("ya no tiene {what} «{}»", clip(name))));
    told.extend(theirs.difference(ours).map(|name| format!("tiene además {what} «{}»", clip(name))));
}

fn is_type(kind: &str) -> bool {
    matches!(kind, "complexType" | "element")
}

fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::wsdl;

    #[test]
    fn our_own_description_does_not_depart_from_itself_and_a_change_is_told() {
        let ours = Shape::read(wsdl::TRAMITE.as_bytes()).unwrap();
        assert_eq!(ours.operations.len(), 3);
        assert!(ours.fields.iter().any(|field| field.ends_with(".vurldocanx")), "{:?}", ours.fields);
        assert_eq!(ours.drift(&ours), Vec::<String>::new());
        let changed = wsdl::TRAMITE.replace("name=\"vurldocanx\"", "name=\"vurlanexos\"");
        let drift = ours.drift(&Shape::read(changed.as_bytes()).unwrap());
        assert_eq!(drift.len(), 2, "{drift:?}");
        assert!(drift[0].contains("ya no tiene el campo") && drift[1].contains("vurlanexos"), "{drift:?}");
    }

    #[test]
    fn what_is_no_description_is_said_to_be_none() {
        for text in ["", "<html><body>Bienvenido</body></html>", "hola", "<a><b></a>"] {
            assert_eq!(Shape::read(text.as_bytes()), Err(NotWsdl), "{text}");
        }
        assert_eq!(Shape::read("<definitions>".repeat(100).as_bytes()), Err(NotWsdl));
    }
}
