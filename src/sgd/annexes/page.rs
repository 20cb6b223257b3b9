//! The pages: HTML without scripts, one style of our own, readable on a telephone and by a screen reader.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;

use crate::{
    domain::{Despacho, lima},
    exchange::anexos::PATH,
    http::download::hidden,
};

const STYLE: &str = "body{font:1.05rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}\
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.5rem;border-bottom:1px solid #bbb;\
vertical-align:top}code{overflow-wrap:anywhere;font-size:.85rem}label{display:block;margin-top:1rem}\
input{font:inherit;padding:.4rem;width:100%;max-width:20rem}button{font:inherit;margin-top:1rem;padding:.5rem 1.2rem}\
a,button{min-height:2.75rem}.aviso{border-left:.3rem solid #b00;padding-left:.8rem}";

pub async fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, STYLE).into_response()
}

pub fn html(status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// Text as HTML: what comes from outside is never markup.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c if hidden(c) => {}
            c => escaped.push(c),
        }
    }
    escaped
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"es\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"{PATH}/estilo.css\"></head>\n<body><main>\n<h1>{title}</h1>\n{body}\n\
         </main></body></html>\n"
    )
}

pub fn message(title: &str, words: &str) -> String {
    page(&text(title), &format!("<p>{}</p>", text(words)))
}

/// The form, with what was wrong.
pub fn form(wrong: Option<&str>) -> String {
    let wrong =
        wrong.map(|wrong| format!("<p class=\"aviso\" role=\"alert\">{}</p>\n", text(wrong))).unwrap_or_default();
    let body = format!(
        "{wrong}<p>Busque los anexos de un documento que su entidad recibió por la plataforma de interoperabilidad.</p>\n\
         <form method=\"get\" action=\"{PATH}\"><label for=\"cuo\">CUO del documento</label>\
         <input id=\"cuo\" name=\"cuo\" required maxlength=\"10\" autocomplete=\"off\">\
         <label for=\"ruc\">RUC de la entidad receptora</label>\
         <input id=\"ruc\" name=\"ruc\" required inputmode=\"numeric\" maxlength=\"11\" pattern=\"[0-9]{{11}}\">\
         <label for=\"numero\">Número del documento, tal como está en él</label>\
         <input id=\"numero\" name=\"numero\" required maxlength=\"100\" autocomplete=\"off\">\
         <label for=\"fecha\">Fecha del documento</label>\
         <input id=\"fecha\" name=\"fecha\" type=\"date\" required placeholder=\"AAAA-MM-DD\">\
         <button type=\"submit\">Buscar</button></form>"
    );
    page("Anexos de un documento", &body)
}

/// A document's annexes: names, sizes, digests.
pub fn list(despacho: &Despacho, sender: &str, token: &str, until: Timestamp) -> String {
    let cuo = despacho.cuo.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut rows = String::new();
    for (n, anexo) in (1..).zip(&despacho.anexos) {
        let nombre = text(&anexo.nombre);
        let row = match &anexo.archivo {
            Some(archivo) => format!(
                "<tr><td><a href=\"{PATH}/{}/{n}\" download>{nombre}</a></td><td>{}</td><td><code>{}</code></td></tr>\n",
                text(token),
                size(archivo.bytes),
                archivo.sha256
            ),
            None => format!("<tr><td>{nombre}</td><td colspan=\"2\">no se publica aquí</td></tr>\n"),
        };
        rows.push_str(&row);
    }
    let mut body = String::new();
    let _ = write!(
        body,
        "<p>{} remitió el documento <strong>{}</strong>, con el CUO <strong>{cuo}</strong>, a la entidad con RUC {}.</p>\n\
         <table><thead><tr><th scope=\"col\">Anexo</th><th scope=\"col\">Tamaño</th><th scope=\"col\">SHA-256</th></tr></thead>\n\
         <tbody>{rows}</tbody></table>\n<p>Se pueden descargar hasta el {}. El SHA-256 permite comprobar que un archivo llegó íntegro. \
         Ábralos con cuidado: aquí no se examina su contenido.</p>",
        text(sender),
        text(&despacho.numero_documento),
        despacho.destino,
        lima::en_lima(until).strftime("%d/%m/%Y"),
    );
    page("Anexos de un documento", &body)
}

/// A size as people read it.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = KIB * KIB;
    match bytes {
        0..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{} KiB", bytes.div_ceil(KIB)),
        _ => format!("{},{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_no_markup() {
        assert_eq!(text("<script>\"a\"&'b'\u{0}"), "&lt;script&gt;&quot;a&quot;&amp;&#39;b&#39; ");
        assert_eq!(text("a\u{202e}fdp"), "afdp");
    }

    #[test]
    fn sizes_are_read_by_people() {
        assert_eq!([size(0), size(1023), size(1025), size(1_572_864)], ["0 bytes", "1023 bytes", "2 KiB", "1,5 MiB"]);
    }
}
