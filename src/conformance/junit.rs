//! A run as JUnit XML, for continuous integration: a suite for each group, a case for each case.

use std::fmt::Write;

use super::report::{Informe, Resultado, Veredicto};
use crate::domain::lima;

/// Attribute values and texts: what XML cannot hold is left out.
fn texto(text: &str) -> String {
    let held =
        |c: &char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let text: String = text.chars().filter(held).collect();
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\n', "&#10;")
        .replace('\r', "&#13;")
}

fn segundos(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn salta(r: &Resultado) -> bool {
    matches!(r.veredicto, Veredicto::NoAplica | Veredicto::NoEjecutado)
}

fn falla(r: &Resultado) -> bool {
    r.veredicto == Veredicto::NoCumple && r.esperado.is_none()
}

pub fn informe(informe: &Informe, nombre_grupo: &dyn Fn(&str) -> String) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for caso in &informe.casos {
        if !groups.contains(&caso.grupo.as_str()) {
            groups.push(&caso.grupo);
        }
    }
    let count = |all: &[&Resultado]| {
        let failures = all.iter().filter(|r| falla(r)).count();
        let skipped = all.iter().filter(|r| salta(r)).count();
        let ms: u64 = all.iter().map(|r| r.milisegundos).sum();
        format!(
            "tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\"",
            all.len(),
            segundos(ms)
        )
    };
    let all: Vec<&Resultado> = informe.casos.iter().collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    writeln!(out, "<testsuites name=\"MPV Pruebas\" {}>", count(&all)).ok();
    for group in groups {
        let of: Vec<&Resultado> = informe.casos.iter().filter(|c| c.grupo == group).collect();
        let at = of.first().map_or(informe.inicio, |c| c.inicio);
        let at = lima::en_lima(at).strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let name = texto(&nombre_grupo(group));
        writeln!(out, "  <testsuite name=\"{name}\" {} timestamp=\"{at}\">", count(&of)).ok();
        of.iter().for_each(|r| caso(r, group, &mut out));
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}

fn caso(r: &Resultado, group: &str, out: &mut String) {
    let name = texto(&format!("{} {}", r.id, r.titulo));
    let time = segundos(r.milisegundos);
    write!(out, "    <testcase classname=\"conformidad.{}\" name=\"{name}\" time=\"{time}\">", texto(group)).ok();
    if salta(r) {
        let why = r.notas.last().map_or("", String::as_str);
        write!(out, "<skipped message=\"{}: {}\"/>", r.veredicto.texto(), texto(why)).ok();
    }
    if let (true, Some(fallo)) = (falla(r), &r.fallo) {
        let causa = fallo.causa.as_ref().map_or(String::new(), |c| format!("\nCausa: {c}"));
        let body = format!(
            "Se exige: {} ({})\nSe encontró: {}\nSignifica: {}{causa}\nRemedio: {}",
            r.exige,
            r.fuente,
            fallo.encontrado.join("; "),
            fallo.significa,
            fallo.remedio
        );
        let message = texto(&fallo.encontrado.join("; "));
        write!(out, "<failure message=\"{message}\" type=\"{}\">{}</failure>", r.severidad.texto(), texto(&body)).ok();
    }
    let mut said: Vec<String> = r.notas.clone();
    said.extend(r.esperado.iter().map(|why| format!("NO CUMPLE, desviación conocida: {why}")));
    if !said.is_empty() {
        write!(out, "<system-out>{}</system-out>", texto(&said.join("\n"))).ok();
    }
    out.push_str("</testcase>\n");
}

#[cfg(test)]
mod tests {
    use super::{super::report::samples, *};

    #[test]
    fn failures_and_skipped_cases_are_counted_and_the_xml_is_well_formed() {
        let mut casos = Veredicto::TODOS.map(|v| samples::resultado(v.texto(), v)).to_vec();
        let mut known = samples::resultado("conocida", Veredicto::NoCumple);
        known.esperado = Some("se corrige en <marzo>".into());
        casos.push(known);
        let xml = informe(&samples::informe(casos), &str::to_owned);
        let root = crate::conformance::xml::leer(&xml).unwrap().raiz;
        let get = |name: &str| root.atributo(name).unwrap().to_owned();
        assert_eq!((get("tests"), get("failures"), get("skipped")), ("7".into(), "1".into(), "2".into()));
        assert_eq!(root.todos().iter().filter(|e| e.local == "failure").count(), 1);
        assert!(xml.contains("time=\"1.234\"") && xml.contains("&lt;marzo&gt;"), "{xml}");
    }
}
