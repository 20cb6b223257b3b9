use std::collections::BTreeSet;

use super::*;
use crate::sgd::rest::{despachos, recepciones};

/// Every schema under a name anywhere in the document, with the name of the component it stands in.
fn properties<'a>(name: &'a str, schema: &'a Value, found: &mut Vec<(&'a str, &'a str, &'a Value)>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(own)) = members.get("properties") {
                found.extend(own.iter().map(|(property, schema)| (name, property.as_str(), schema)));
            }
            members.values().for_each(|inner| properties(name, inner, found));
        }
        Value::Array(all) => all.iter().for_each(|inner| properties(name, inner, found)),
        _ => {}
    }
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|inner| references(inner, found));
        }
        Value::Array(all) => all.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_to_a_schema_and_every_schema_is_led_to() {
    let mut found = Vec::new();
    references(&DOCUMENT, &mut found);
    let led_to: BTreeSet<&str> = found.into_iter().filter_map(|r| r.strip_prefix("#/components/schemas/")).collect();
    let there: BTreeSet<&str> =
        DOCUMENT["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
    let unused: Vec<_> = there.difference(&led_to).collect();
    assert!(led_to.is_subset(&there) && unused.is_empty(), "{unused:?}");
}

#[test]
fn every_name_has_a_meaning_in_spanish_and_the_glossary_no_other_names() {
    let mut all = Vec::new();
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        properties(name, schema, &mut all);
    }
    let untold: BTreeSet<_> = all.iter().filter(|(.., s)| s["description"].is_null()).map(|(n, p, _)| (n, p)).collect();
    assert!(untold.is_empty(), "{untold:?}");
    let used: BTreeSet<(&str, &str)> = all.iter().map(|(name, property, _)| (*name, *property)).collect();
    let parameters: BTreeSet<&str> = routes::operaciones()
        .iter()
        .flat_map(|o| o.parametros.iter().copied().chain(o.en_ruta()).collect::<Vec<_>>())
        .collect();
    for (word, ..) in glossary::PALABRAS {
        let known = match word.split_once('.') {
            Some(both) => used.contains(&both),
            None => used.iter().any(|(_, property)| property == word) || parameters.contains(word),
        };
        assert!(known, "«{word}» is in no schema");
    }
    for parameter in parameters {
        assert!(glossary::busca("", parameter).is_some(), "{parameter}");
    }
}

#[test]
fn every_example_of_the_glossary_is_json_and_every_example_of_a_body_has_the_fields_of_its_schema() {
    for (word, _, example) in glossary::PALABRAS {
        assert!(example.is_empty() || serde_json::from_str::<Value>(example).is_ok(), "{word}: {example}");
    }
    for operacion in routes::operaciones() {
        let Some(cuerpo) = operacion.cuerpo else { continue };
        let stated: Value = serde_json::from_str(cuerpo.ejemplo).unwrap_or_else(|e| panic!("{}: {e}", operacion.ruta));
        let shown = &DOCUMENT["paths"][operacion.ruta][operacion.metodo.as_str().to_lowercase()]["requestBody"];
        let schema = resolved(&shown["content"]["application/json"]["schema"], &DOCUMENT);
        let stated = stated.as_object().unwrap();
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(stated.contains_key(name.as_str().unwrap()), "{}: {name}", operacion.ruta);
        }
        for name in stated.keys() {
            assert!(!schema["properties"][name].is_null(), "{}: {name}", operacion.ruta);
        }
    }
}

#[test]
fn requests_have_the_members_that_the_handlers_take() {
    let names = |schema: &str| -> BTreeSet<&str> {
        let schema = &DOCUMENT["components"]["schemas"][schema]["properties"];
        schema.as_object().unwrap_or_else(|| panic!("{schema}")).keys().map(String::as_str).collect()
    };
    assert_eq!(names("DespachoConDocumentoNuevo"), despachos::MEMBERS.into());
    assert_eq!(names("NuevaObservada"), recepciones::MEMBERS.into());
    let without: BTreeSet<&str> = recepciones::MEMBERS.into_iter().filter(|name| *name != "observacion").collect();
    assert_eq!(names("NuevaRecepcionada"), without);
}

#[test]
fn no_two_operations_share_a_name_and_every_error_has_an_example() {
    let mut seen = BTreeSet::new();
    for operacion in routes::operaciones() {
        assert!(seen.insert(operacion.nombre()), "{}", operacion.nombre());
        let shown = &DOCUMENT["paths"][operacion.ruta][operacion.metodo.as_str().to_lowercase()];
        for code in operacion.codigos() {
            let answer = &shown["responses"][code.status().as_u16().to_string()];
            let example = &answer["content"]["application/problem+json"]["examples"][code.word()]["value"];
            assert_eq!(example["code"], code.word(), "{}", operacion.ruta);
        }
    }
}

#[test]
fn the_page_shows_every_operation_and_asks_for_nothing_from_elsewhere() {
    let page = std::str::from_utf8(&PAGE).unwrap();
    for operacion in routes::operaciones() {
        assert!(page.contains(&format!("<article id=\"{}\">", operacion.nombre())), "{}", operacion.ruta);
    }
    for bad in ["<script", "<img", " style=", " onclick", "@import", "url("] {
        assert!(!page.contains(bad) && !page::STYLE.contains(bad), "{bad}");
    }
    let outside: Vec<&str> = page.split("href=\"").skip(1).filter(|rest| !rest.starts_with(['#', '/'])).collect();
    assert!(outside.is_empty(), "{outside:?}");
    // Every place that the page leads to is on it.
    for target in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
}
