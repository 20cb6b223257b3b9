//! Messages as evidence: whole where they are short, and where they are long shortened in a way that says so.

use super::checks::Visto;

/// Longest evidence of one message, in characters, and longest run of base64 that is shown whole.
const MENSAJE_MAX: usize = 12_000;
const BASE64_MAX: usize = 160;

/// The text with long runs of base64 and its own middle left out.
pub fn corto(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    let end = |run: &mut String, out: &mut String| {
        let count = run.chars().count();
        if count > BASE64_MAX {
            let (first, last): (String, String) =
                (run.chars().take(60).collect(), run.chars().skip(count - 20).collect());
            out.push_str(&format!("{first}[… {} caracteres …]{last}", count - 80));
        } else {
            out.push_str(run);
        }
        run.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') {
            run.push(c);
        } else {
            end(&mut run, &mut out);
            // What no page or XML can hold is told by its name.
            if oculto(c) && !matches!(c, '\n' | '\r' | '\t') {
                out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
            } else {
                out.push(c);
            }
        }
    }
    end(&mut run, &mut out);
    let count = out.chars().count();
    if count > MENSAJE_MAX {
        let (head, tail): (String, String) =
            (out.chars().take(MENSAJE_MAX - 2_000).collect(), out.chars().skip(count - 2_000).collect());
        return format!("{head}\n[… {} caracteres …]\n{tail}", count - MENSAJE_MAX);
    }
    out
}

/// What a terminal or a page would obey and not show: control characters and those that turn a text's direction.
fn oculto(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// A stranger's words as one line that nothing obeys.
pub fn limpio(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if oculto(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// What came back, or why nothing did.
pub fn respuesta(visto: &Visto) -> String {
    match (&visto.mensaje, &visto.error) {
        (Some(mensaje), None) => corto(&mensaje.entero()),
        (Some(mensaje), Some(error)) => format!("{}\n({error})", corto(&mensaje.entero())),
        (None, error) => format!("({})", error.as_deref().unwrap_or("no se esperó respuesta")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_shortened_and_says_so() {
        assert_eq!(corto("<a>hola</a>"), "<a>hola</a>");
        let document = format!("<b>{}</b>", "QUJD".repeat(1000));
        let short = corto(&document);
        assert!(
            short.starts_with("<b>QUJD") && short.ends_with("</b>") && short.contains("3920 caracteres"),
            "{short}"
        );
        assert!(corto(&"a b ".repeat(100_000)).chars().count() < MENSAJE_MAX + 100);
        assert_eq!(corto("a\0b"), "a\\u{0}b");
        assert_eq!(limpio("a\n\u{1b}[31m\u{202e}ñ"), "a \\u{1b}[31m\\u{202e}ñ");
    }
}
