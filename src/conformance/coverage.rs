//! Which cases test which statement of the contract. The table is docs/cobertura-pruebas.md.

use std::fmt::Write;

use serde::Deserialize;

use super::case::Catalogo;

const REQUISITOS: &str = include_str!("../../conformance/requisitos.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archivo {
    requisito: Vec<Requisito>,
}

/// A statement of the contract.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requisito {
    pub id: String,
    pub dice: String,
    /// Why no case can see it.
    pub fuera: Option<String>,
}

pub fn requisitos() -> Result<Vec<Requisito>, String> {
    let archivo: Archivo = toml::from_str(REQUISITOS).map_err(|e| format!("requisitos.toml: {e}"))?;
    Ok(archivo.requisito)
}

/// The cases of a statement.
pub fn casos<'a>(catalogo: &'a Catalogo, id: &str) -> Vec<&'a str> {
    catalogo.casos.iter().filter(|c| c.requisitos.iter().any(|r| r == id)).map(|c| c.id.as_str()).collect()
}

/// The section of the contract that a statement stands in.
fn parte(id: &str) -> &'static str {
    match id.split('-').next().unwrap_or_default() {
        "C1" => "Quién habla con quién",
        "C2" => "Servicios y mensajes",
        "C3" => "El documento en base64",
        "C4" => "Campos",
        "C5" => "Estados",
        "C6" => "Respuestas del componente",
        "C7" => "Enviar sin perder ni duplicar",
        "C8" => "Firmas",
        "C9" => "Tiempo",
        "C10" => "Tablas del componente de referencia",
        "C11" => "El puente REST",
        _ => "El camino administrativo",
    }
}

/// The table as Markdown.
pub fn tabla(catalogo: &Catalogo) -> Result<String, String> {
    let mut out = String::from(
        "# Qué prueba cada caso de conformidad\n\nCada enunciado del contrato, con los casos de `chasqui conformance` que \
         lo prueban. Se genera de `conformance/` con `UPDATE_DOCS=1 cargo test --lib conformance::coverage`; una prueba \
         falla si un enunciado queda sin caso.\n",
    );
    let mut part = "";
    for r in requisitos()? {
        if parte(&r.id) != part {
            part = parte(&r.id);
            write!(out, "\n## {part}\n\n| Enunciado | Dice | Casos |\n| --- | --- | --- |\n").ok();
        }
        let cases = casos(catalogo, &r.id);
        let cases = match &r.fuera {
            Some(why) => format!("Fuera de la suite: {why}"),
            None => cases.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" "),
        };
        writeln!(out, "| {} | {} | {cases} |", r.id, r.dice).ok();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_statement_is_tested_or_says_why_not_and_every_case_tests_a_statement() {
        let catalogo = Catalogo::incorporado().unwrap();
        assert!(catalogo.casos.len() >= 120, "{} cases", catalogo.casos.len());
        let all = requisitos().unwrap();
        let ids: BTreeSet<&str> = all.iter().map(|r| r.id.as_str()).collect();
        assert_eq!(ids.len(), all.len(), "a statement stands twice");
        let bare: Vec<_> = all.iter().filter(|r| r.fuera.is_none() && casos(&catalogo, &r.id).is_empty()).collect();
        assert!(bare.is_empty(), "without a case: {bare:?}");
        let both: Vec<_> = all.iter().filter(|r| r.fuera.is_some() && !casos(&catalogo, &r.id).is_empty()).collect();
        assert!(both.is_empty(), "tested, and said to be out of reach: {both:?}");
        for caso in &catalogo.casos {
            assert!(!caso.requisitos.is_empty(), "{} tests nothing", caso.id);
            let unknown: Vec<_> = caso.requisitos.iter().filter(|r| !ids.contains(r.as_str())).collect();
            assert!(unknown.is_empty(), "{} names {unknown:?}", caso.id);
            assert!(!caso.pasos.is_empty() || caso.escenario.is_some(), "{} does nothing", caso.id);
        }
    }

    #[test]
    fn the_manual_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cobertura-pruebas.md");
        let table = tabla(&Catalogo::incorporado().unwrap()).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &table).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), table, "UPDATE_DOCS=1 writes it anew");
    }
}
