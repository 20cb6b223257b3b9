//! A run as lines of text: progress while it goes on, and a summary at its end.

use super::report::{Informe, Resultado, Veredicto};

/// A line for a case that has just ended.
pub fn avance(n: usize, total: usize, r: &Resultado) -> String {
    let width = total.to_string().len();
    let mut line =
        format!("[{n:>width$}/{total}] {:<22} {:<20} {} ({} ms)", r.veredicto.texto(), r.id, r.titulo, r.milisegundos);
    if let Some(fallo) = &r.fallo {
        line += &format!("\n        {}", fallo.encontrado.join("; "));
    } else if r.veredicto != Veredicto::Cumple
        && let Some(nota) = r.notas.last()
    {
        line += &format!("\n        {nota}");
    }
    line
}

/// The end of a run: what fails, why, and the counts.
pub fn resumen(informe: &Informe) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let failed = informe.casos.iter().filter(|c| c.veredicto == Veredicto::NoCumple);
    for caso in failed {
        let known = if caso.esperado.is_some() { ", desviación conocida" } else { "" };
        line(String::new());
        line(format!("NO CUMPLE  {}  {}  (severidad {}{known})", caso.id, caso.titulo, caso.severidad.texto()));
        line(format!("  Se exige:    {} ({})", caso.exige, caso.fuente));
        if let Some(fallo) = &caso.fallo {
            line(format!("  Se encontró: {}", fallo.encontrado.join("; ")));
            line(format!("  Significa:   {}", fallo.significa));
            if let Some(causa) = &fallo.causa {
                line(format!("  Causa:       {causa}"));
            }
            line(format!("  Remedio:     {}", fallo.remedio));
        }
        if let Some(why) = &caso.esperado {
            line(format!("  Se conoce:   {why}"));
        }
    }
    line(String::new());
    line(format!("Componente:  {} (RUC {})", informe.objetivo.url, informe.objetivo.ruc));
    let r = &informe.resumen;
    for v in Veredicto::TODOS.into_iter().filter(|v| r.cuenta(*v) > 0) {
        let known = if v == Veredicto::NoCumple && r.esperados > 0 {
            format!(" ({})", cuantos(r.esperados, "conocido", "conocidos"))
        } else {
            String::new()
        };
        line(format!("  {:>4}  {}{known}", r.cuenta(v), v.texto()));
    }
    let reasons = razones(informe);
    if !reasons.is_empty() {
        line("No se ejecutó, o no aplica:".into());
        reasons.into_iter().for_each(|(why, count)| line(format!("  {count:>4}  {why}")));
    }
    if !informe.objetivo.solo.is_empty() {
        let solo = informe.objetivo.solo.join(", ");
        line(format!("Solo se pasó una parte (--only {solo}): no vale como prueba del componente entero"));
    }
    line(format!("Resultado:   {}", r.conclusion.texto()));
    out
}

/// A number with its noun.
pub fn cuantos(n: usize, uno: &str, varios: &str) -> String {
    format!("{n} {}", if n == 1 { uno } else { varios })
}

/// Why cases did not run, with how many.
pub fn razones(informe: &Informe) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    let skipped = |c: &&Resultado| matches!(c.veredicto, Veredicto::NoEjecutado | Veredicto::NoAplica);
    for why in informe.casos.iter().filter(skipped).filter_map(|c| c.notas.last()) {
        match found.iter_mut().find(|(known, _)| known == why) {
            Some((_, count)) => *count += 1,
            None => found.push((why.clone(), 1)),
        }
    }
    found
}
