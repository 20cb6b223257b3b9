//! HTML by hand: everything that came from outside is escaped here, and the page allows no script and nothing from
//! elsewhere.

use std::fmt::Write;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

pub const STYLE_PATH: &str = "/simulador/estilo.css";

const STYLE: &str = include_str!("style.css");

/// No script, no frame, nothing from elsewhere; forms only to ourselves.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

/// Text as HTML. Marks that turn the direction of writing, or cannot be seen, are left out.
pub fn t(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// What a page is called, with its place in the menu.
pub fn page(status: StatusCode, title: &str, body: &str) -> Response {
    const MENU: [(&str, &str); 4] = [
        ("/", "Inicio"),
        ("/simulador/trafico", "Mensajes"),
        ("/simulador/mesa", "Mesa de partes"),
        ("/simulador/ayuda", "Servicios y fallas"),
    ];
    let mut menu = String::new();
    for (path, name) in MENU {
        write!(menu, "<a href=\"{path}\">{name}</a>").ok();
    }
    let text = format!(
        "<!doctype html>\n<html lang=\"es\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title} · Simulador de la PIDE</title>\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\"></head>\n<body><header><p class=\"marca\">Simulador de la PIDE \
         <span>sin valor legal</span></p><nav aria-label=\"Principal\">{menu}</nav></header>\n<main>\n<h1>{title}</h1>\n\
         {body}\n</main></body></html>\n",
        title = t(title)
    );
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page of one sentence.
pub fn message(status: StatusCode, title: &str, words: &str) -> Response {
    page(
        status,
        title,
        &format!("<p>{}</p>\n<p><a href=\"/simulador/mesa\">Volver a la mesa de partes</a></p>", t(words)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(t("<script>\"'&\u{202e}\u{0}"), "&lt;script&gt;&quot;&#39;&amp; ");
    }
}
