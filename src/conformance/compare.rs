//! Two runs beside each other: what got better, what got worse, what came and went.

use std::collections::BTreeMap;

use serde::Serialize;

use super::report::{Informe, Resultado, Veredicto};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cambio {
    Empeora,
    Mejora,
    /// Neither: measured, skipped or tolerated otherwise.
    Otro,
    Nuevo,
    Falta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diferencia {
    pub caso: String,
    pub titulo: String,
    pub cambio: Cambio,
    pub antes: Option<Veredicto>,
    pub ahora: Option<Veredicto>,
}

/// How good a verdict is, where that can be said.
fn grado(v: Veredicto) -> Option<u8> {
    match v {
        Veredicto::NoCumple => Some(0),
        Veredicto::ConTolerancia => Some(1),
        Veredicto::Cumple | Veredicto::Informativo => Some(2),
        Veredicto::NoAplica | Veredicto::NoEjecutado => None,
    }
}

/// What differs, in the order of the cases; those that are gone at the end.
pub fn diferencias(antes: &Informe, ahora: &Informe) -> Vec<Diferencia> {
    let mut before: BTreeMap<&str, &Resultado> = antes.casos.iter().map(|c| (c.id.as_str(), c)).collect();
    let made = |caso: &Resultado, cambio, antes, ahora| Diferencia {
        caso: caso.id.clone(),
        titulo: caso.titulo.clone(),
        cambio,
        antes,
        ahora,
    };
    let mut found = Vec::new();
    for caso in &ahora.casos {
        let Some(old) = before.remove(caso.id.as_str()) else {
            found.push(made(caso, Cambio::Nuevo, None, Some(caso.veredicto)));
            continue;
        };
        if old.veredicto == caso.veredicto {
            continue;
        }
        let cambio = match (grado(old.veredicto), grado(caso.veredicto)) {
            (Some(a), Some(b)) if a > b => Cambio::Empeora,
            (Some(a), Some(b)) if a < b => Cambio::Mejora,
            (None, Some(0)) => Cambio::Empeora,
            (Some(0), None) | (None | Some(_), Some(_) | None) => Cambio::Otro,
        };
        found.push(made(caso, cambio, Some(old.veredicto), Some(caso.veredicto)));
    }
    found.extend(before.into_values().map(|old| made(old, Cambio::Falta, Some(old.veredicto), None)));
    found
}

/// The differences as lines for people.
pub fn lineas(diferencias: &[Diferencia]) -> String {
    if diferencias.is_empty() {
        return "Las dos corridas dicen lo mismo de cada caso.\n".into();
    }
    let name = |v: Option<Veredicto>| v.map_or("(no estaba)", Veredicto::texto);
    let mut out = String::new();
    for (cambio, title) in [
        (Cambio::Empeora, "Empeora"),
        (Cambio::Mejora, "Mejora"),
        (Cambio::Otro, "Cambia"),
        (Cambio::Nuevo, "Solo en la segunda"),
        (Cambio::Falta, "Solo en la primera"),
    ] {
        let of: Vec<_> = diferencias.iter().filter(|d| d.cambio == cambio).collect();
        if of.is_empty() {
            continue;
        }
        out += &format!("{title} ({}):\n", of.len());
        for d in of {
            out += &format!("  {:<20} {} → {}  {}\n", d.caso, name(d.antes), name(d.ahora), d.titulo);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{
        super::report::samples::{informe, resultado},
        *,
    };

    #[test]
    fn better_worse_new_and_gone_are_told_apart() {
        use Veredicto as V;
        let before = informe(vec![
            resultado("A", V::Cumple),
            resultado("B", V::NoCumple),
            resultado("C", V::Cumple),
            resultado("D", V::NoEjecutado),
            resultado("F", V::Cumple),
        ]);
        let now = informe(vec![
            resultado("A", V::NoCumple),
            resultado("B", V::ConTolerancia),
            resultado("C", V::Cumple),
            resultado("D", V::Cumple),
            resultado("E", V::Cumple),
        ]);
        let found: Vec<_> = diferencias(&before, &now).into_iter().map(|d| (d.caso, d.cambio)).collect();
        let expected = [
            ("A", Cambio::Empeora),
            ("B", Cambio::Mejora),
            ("D", Cambio::Otro),
            ("E", Cambio::Nuevo),
            ("F", Cambio::Falta),
        ];
        assert_eq!(found, expected.map(|(id, c)| (id.to_owned(), c)));
        assert!(lineas(&diferencias(&before, &now)).contains("Empeora (1)"));
        assert!(diferencias(&before, &before).is_empty());
    }
}
