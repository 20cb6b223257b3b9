//! A run as one page that needs nothing else: no network, no file beside it. Readable on a phone, printable, and whole
//! without scripts, which only filter.

use std::fmt::Write;

use super::{
    report::{Evidencia, Informe, Resultado, Veredicto},
    terminal::cuantos,
};
use crate::domain::lima;

const ESTILO: &str = include_str!("../../assets/conformidad/informe.css");
const GUION: &str = include_str!("../../assets/conformidad/informe.js");

fn texto(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// As a class and as the value of the filter.
fn clase(v: Veredicto) -> &'static str {
    match v {
        Veredicto::Cumple => "cumple",
        Veredicto::ConTolerancia => "tolerancia",
        Veredicto::NoCumple => "falla",
        Veredicto::NoAplica => "no-aplica",
        Veredicto::NoEjecutado => "no-ejecutado",
        Veredicto::Informativo => "informativo",
    }
}

pub fn informe(informe: &Informe, nombre_grupo: &dyn Fn(&str) -> String) -> String {
    let conclusion = informe.resumen.conclusion.texto();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"es-PE\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n<title>Informe de \
         conformidad: {conclusion}</title>\n<style>\n{ESTILO}</style>\n</head>\n<body>\n"
    );
    cabeza(informe, &mut out);
    out.push_str("<main>\n");
    filtros(informe, &mut out);
    let mut group = "";
    for caso in &informe.casos {
        if caso.grupo != group {
            if !group.is_empty() {
                out.push_str("</section>\n");
            }
            group = &caso.grupo;
            let name = texto(&nombre_grupo(group));
            writeln!(out, "<section class=\"grupo\" id=\"g-{}\">\n<h2>{name}</h2>", texto(group)).ok();
        }
        resultado(caso, &mut out);
    }
    if !group.is_empty() {
        out.push_str("</section>\n");
    }
    out.push_str("<p id=\"vacio\" hidden>Ningún caso coincide con el filtro.</p>\n</main>\n");
    write!(
        out,
        "<footer><p>chasqui {} · casos {} · informe de formato {}</p></footer>\n<script>\n{GUION}</script>\n</body>\n</html>\n",
        texto(&informe.chasqui),
        texto(informe.catalogo_sha256.get(..16).unwrap_or_default()),
        informe.formato
    )
    .ok();
    out
}

fn cabeza(informe: &Informe, out: &mut String) {
    let (o, r) = (&informe.objetivo, &informe.resumen);
    let state = r.conclusion.texto().to_lowercase().replace(' ', "-");
    write!(
        out,
        "<header class=\"{state}\">\n<p class=\"rotulo\">MPV Pruebas · Informe de conformidad</p>\n<h1>{}</h1>\n<dl>\n",
        r.conclusion.texto()
    )
    .ok();
    let platform = o.plataforma.clone().unwrap_or_else(|| "no se hizo de plataforma".into());
    let facts = [
        ("Componente", o.url.clone()),
        ("RUC", o.ruc.clone()),
        ("Perfil", format!("{}{}", o.perfil, if o.intrusivo { ", con ataques y carga" } else { "" })),
        ("Inicio", lima::momento_en_palabras(informe.inicio)),
        ("Fin", lima::momento_en_palabras(informe.fin)),
        ("Plataforma de pruebas", platform),
        ("Actuó por la entidad", o.operador.clone()),
        ("CUO de prueba", format!("los que empiezan con {}", o.prefijo_cuo)),
    ];
    for (name, value) in facts {
        writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", texto(&value)).ok();
    }
    out.push_str("</dl>\n<ul class=\"cuentas\">\n");
    for v in Veredicto::TODOS {
        let count = r.cuenta(v);
        writeln!(out, "<li class=\"{}\"><b>{count}</b> {}</li>", clase(v), v.texto()).ok();
    }
    out.push_str("</ul>\n");
    if r.esperados > 0 {
        let known = cuantos(r.esperados, "es una desviación conocida", "son desviaciones conocidas");
        writeln!(out, "<p>De los que no cumplen, {known}.</p>").ok();
    }
    let reasons = super::terminal::razones(informe);
    if !reasons.is_empty() {
        out.push_str("<h2 class=\"menor\">Lo que no se ejecutó, o no aplica</h2>\n<ul class=\"razones\">\n");
        for (why, count) in reasons {
            writeln!(out, "<li>{count}: {}</li>", texto(&why)).ok();
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</header>\n");
}

fn filtros(informe: &Informe, out: &mut String) {
    out.push_str("<form id=\"filtro\" hidden>\n<label>Buscar <input type=\"search\" id=\"buscar\" placeholder=\"caso, texto o requisito\"></label>\n<fieldset><legend>Veredicto</legend>\n");
    for v in Veredicto::TODOS.into_iter().filter(|v| informe.resumen.cuenta(*v) > 0) {
        writeln!(
            out,
            "<label class=\"{0}\"><input type=\"checkbox\" name=\"v\" value=\"{0}\" checked> {1}</label>",
            clase(v),
            v.texto()
        )
        .ok();
    }
    out.push_str("</fieldset>\n<p><button type=\"button\" id=\"abrir\">Abrir todos</button> <button type=\"button\" id=\"imprimir\">Imprimir</button> <output id=\"cuenta\"></output></p>\n</form>\n");
}

fn resultado(r: &Resultado, out: &mut String) {
    let open = if r.veredicto == Veredicto::NoCumple { " open" } else { "" };
    write!(
        out,
        "<details class=\"caso {0}\" data-v=\"{0}\" id=\"{1}\"{open}>\n<summary><span class=\"sello\">{2}</span> <code>{1}</code> \
         <span class=\"titulo\">{3}</span></summary>\n<dl>\n",
        clase(r.veredicto),
        texto(&r.id),
        r.veredicto.texto(),
        texto(&r.titulo)
    )
    .ok();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            writeln!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", texto(value)).ok();
        }
    };
    fact("Se exige", &r.exige);
    fact("Fuente", &r.fuente);
    if let Some(fallo) = &r.fallo {
        fact("Se encontró", &fallo.encontrado.join("; "));
        fact("Significa", &fallo.significa);
        fact("Causa probable", fallo.causa.as_deref().unwrap_or_default());
        fact("Remedio", &fallo.remedio);
    }
    fact("Desviación conocida", r.esperado.as_deref().unwrap_or_default());
    fact("Notas", &r.notas.join("; "));
    let attack = if r.intrusivo { ", intrusivo" } else { "" };
    fact(
        "Severidad",
        &format!("{}{attack}; requisitos {}; {} ms", r.severidad.texto(), r.requisitos.join(", "), r.milisegundos),
    );
    out.push_str("</dl>\n");
    r.evidencia.iter().for_each(|e| evidencia(e, out));
    out.push_str("</details>\n");
}

fn evidencia(e: &Evidencia, out: &mut String) {
    write!(
        out,
        "<details class=\"evidencia\"><summary>{} <small>{}, {} ms</small></summary>\n<h4>Pedido</h4>\n<pre>{}</pre>\n\
         <h4>Respuesta</h4>\n<pre>{}</pre>\n</details>\n",
        texto(&e.paso),
        lima::en_lima(e.inicio).strftime("%H:%M:%S"),
        e.milisegundos,
        texto(&e.pedido),
        texto(&e.respuesta)
    )
    .ok();
}

#[cfg(test)]
mod tests {
    use super::{super::report::samples, *};

    #[test]
    fn the_page_holds_everything_and_asks_for_nothing() {
        let page = informe(
            &samples::informe(Veredicto::TODOS.map(|v| samples::resultado(v.texto(), v)).to_vec()),
            &str::to_owned,
        );
        for held in [
            "NO CONFORME",
            "Un documento «de prueba» &amp; más",
            "&lt;a&gt;&amp;amp;&lt;/a&gt;",
            "El componente de referencia",
        ] {
            assert!(page.contains(held), "{held}");
        }
        for outside in ["src=", "href=", "@import", "url(", "https://", "<ajeno>"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
