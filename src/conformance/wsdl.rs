//! Service descriptions compared by what they say, not by how they are written: operations, messages, types, bindings.

use std::collections::{BTreeMap, BTreeSet};

use super::xml::{self, Elemento};

const XS: &str = "http://www.w3.org/2001/XMLSchema";
const SOAP: &str = "http://schemas.xmlsoap.org/wsdl/soap/";

/// A description in terms that can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Descripcion {
    pub espacio: String,
    pub operaciones: BTreeSet<String>,
    /// `style` and SOAPAction of each bound operation.
    pub enlaces: BTreeMap<String, (String, String)>,
    /// `use` of the bodies.
    pub usos: BTreeSet<String>,
    /// Fields of each operation's request and answer: path, and what it is (`string ?*`).
    pub campos: BTreeMap<String, String>,
    /// Fields of each structure, in order.
    pub orden: BTreeMap<String, Vec<String>>,
    pub direcciones: Vec<String>,
    /// Schemas and descriptions that stand elsewhere.
    pub importa: Vec<String>,
}

/// Reads a description; `mas`: what it imports.
pub fn leer(wsdl: &str, mas: &[String]) -> Result<Descripcion, String> {
    let root = xml::leer(wsdl)?.raiz;
    if root.local != "definitions" {
        return Err(format!("la raíz es {} y debía ser definitions", root.local));
    }
    let others: Vec<Elemento> = mas.iter().filter_map(|text| xml::leer(text).ok()).map(|d| d.raiz).collect();
    let all: Vec<&Elemento> = std::iter::once(&root).chain(&others).flat_map(Elemento::todos).collect();
    let mut d = Descripcion {
        espacio: root.atributo("targetNamespace").unwrap_or_default().to_owned(),
        ..Descripcion::default()
    };
    let attribute = |e: &Elemento, name: &str| e.atributo(name).unwrap_or_default().to_owned();
    for e in &all {
        match e.local.as_str() {
            "portType" => {
                d.operaciones.extend(e.hijos.iter().filter(|h| h.local == "operation").map(|h| attribute(h, "name")))
            }
            "binding" if e.espacio != SOAP => enlaces(e, &mut d),
            "address" if e.espacio == SOAP => d.direcciones.push(attribute(e, "location")),
            "import" | "include" => {
                d.importa.extend(e.atributo("schemaLocation").or_else(|| e.atributo("location")).map(str::to_owned));
            }
            _ => {}
        }
    }
    let schema = Esquema::de(&all);
    for name in &d.operaciones.clone() {
        for element in [name.clone(), format!("{name}Response")] {
            schema.campos(&element, &element, 0, &mut d);
        }
    }
    Ok(d)
}

fn enlaces(binding: &Elemento, d: &mut Descripcion) {
    let soap = |e: &Elemento, local: &str| e.hijos.iter().find(|h| h.local == local && h.espacio == SOAP).cloned();
    let Some(usual) = soap(binding, "binding") else { return };
    let usual = usual.atributo("style").unwrap_or("document").to_owned();
    for operation in binding.hijos.iter().filter(|h| h.local == "operation") {
        let own = soap(operation, "operation").unwrap_or_default();
        let style = own.atributo("style").unwrap_or(&usual).to_owned();
        let action = own.atributo("soapAction").unwrap_or_default().to_owned();
        d.enlaces.insert(operation.atributo("name").unwrap_or_default().to_owned(), (style, action));
        let bodies = operation.todos();
        let uses = bodies.iter().filter(|h| h.local == "body" && h.espacio == SOAP);
        d.usos.extend(uses.filter_map(|b| b.atributo("use")).map(str::to_owned));
    }
}

/// Elements and types by their local names.
struct Esquema<'a> {
    elementos: BTreeMap<&'a str, &'a Elemento>,
    tipos: BTreeMap<&'a str, &'a Elemento>,
}

fn local(qname: &str) -> &str {
    qname.rsplit(':').next().unwrap_or(qname)
}

impl<'a> Esquema<'a> {
    fn de(all: &[&'a Elemento]) -> Self {
        let mut schema = Self { elementos: BTreeMap::new(), tipos: BTreeMap::new() };
        for e in all.iter().filter(|e| e.local == "schema" && e.espacio == XS) {
            for child in &e.hijos {
                let Some(name) = child.atributo("name") else { continue };
                match child.local.as_str() {
                    "element" => drop(schema.elementos.insert(name, child)),
                    "complexType" => drop(schema.tipos.insert(name, child)),
                    _ => {}
                }
            }
        }
        schema
    }

    fn tipo(&self, element: &'a Elemento) -> Option<&'a Elemento> {
        element.hijo("complexType").or_else(|| self.tipos.get(local(element.atributo("type")?)).copied())
    }

    /// Notes everything below the element `name` under `path`.
    fn campos(&self, name: &str, path: &str, depth: usize, d: &mut Descripcion) {
        const DEPTH_MAX: usize = 6;
        let tipo = if depth == 0 {
            self.elementos.get(name).copied().and_then(|e| self.tipo(e))
        } else {
            self.tipos.get(name).copied()
        };
        let Some(tipo) = tipo.filter(|_| depth < DEPTH_MAX) else { return };
        let below = tipo.todos();
        let fields = below.iter().filter(|e| e.local == "element" && e.espacio == XS);
        for field in fields {
            let Some(own) = field.atributo("name").or_else(|| field.atributo("ref").map(local)) else { continue };
            let kind = local(field.atributo("type").unwrap_or("anónimo"));
            let many = if field.atributo("maxOccurs").is_some_and(|m| m != "1") { "*" } else { "" };
            let here = format!("{path}/{own}");
            let simple = !self.tipos.contains_key(kind);
            d.campos.insert(here.clone(), format!("{}{many}", if simple { kind } else { "estructura" }));
            d.orden.entry(path.to_owned()).or_default().push(own.to_owned());
            self.campos(kind, &here, depth + 1, d);
        }
    }
}

/// What `otra` lacks, has besides, or has otherwise than `propia`.
pub fn diferencias_de_campos(propia: &Descripcion, otra: &Descripcion) -> Vec<String> {
    let mut found = Vec::new();
    for (path, kind) in &propia.campos {
        match otra.campos.get(path) {
            None => found.push(format!("falta {path}")),
            Some(other) if other != kind => found.push(format!("{path} es {other} y debía ser {kind}")),
            Some(_) => {}
        }
    }
    found.extend(otra.campos.keys().filter(|p| !propia.campos.contains_key(*p)).map(|p| format!("sobra {p}")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::wsdl::TRAMITE;

    #[test]
    fn the_published_description_is_understood() {
        let d = leer(TRAMITE, &[]).unwrap();
        assert_eq!(d.operaciones.len(), 3);
        assert_eq!(d.espacio, crate::contract::tramite::NAMESPACE);
        assert_eq!(d.campos["recepcionarTramiteResponse/recepcionRequest/bpdfdoc"], "base64Binary");
        assert_eq!(d.campos["recepcionarTramiteResponse/recepcionRequest/lstanexos"], "estructura*");
        assert_eq!(d.enlaces["cargoResponse"], ("document".into(), String::new()));
        assert_eq!(d.usos.iter().collect::<Vec<_>>(), ["literal"]);
    }

    #[test]
    fn a_description_split_and_prefixed_otherwise_is_the_same_and_a_changed_one_is_not() {
        let (start, rest) = TRAMITE.split_once("<xs:schema").unwrap();
        let (schema, end) = rest.split_once("</xs:schema>").unwrap();
        let elsewhere = format!("<xs:schema xmlns:xs='{XS}' xmlns:tns='urn:x' {schema}</xs:schema>");
        let split = format!("{start}<xs:schema><xs:import schemaLocation='x?xsd=1'/></xs:schema>{end}");
        let own = leer(TRAMITE, &[]).unwrap();
        let other = leer(&split, std::slice::from_ref(&elsewhere)).unwrap();
        assert_eq!(other.importa, ["x?xsd=1"]);
        assert!(diferencias_de_campos(&own, &other).is_empty());
        let changed = elsewhere.replace("name=\"vobs\"", "name=\"vobservacion\"");
        let found = diferencias_de_campos(&own, &leer(&split, &[changed]).unwrap());
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
