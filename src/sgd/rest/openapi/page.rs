//! The document as a page for people: plain HTML with a style sheet of our own, no script and nothing from elsewhere. What is
//! shown comes from the document and from nowhere else, so that both say the same.

use std::fmt::Write;

use http::Method;
use serde_json::Value;

use super::{example, operation::Operacion, resolved};

/// Our style sheet and nothing else: no script, no picture, no frame.
pub const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub const STYLE: &str = include_str!("page.css");

/// Also the document's own description.
pub const INTRODUCTION: &str = "Cada petición lleva la cabecera «Authorization: Bearer CLAVE». Los errores son \
     application/problem+json (RFC 9457) con un «code» que no cambia nunca. Las listas aceptan «limit» y «cursor» y responden \
     «items» y «next_cursor». Las fechas llevan la hora de Lima (-05:00).";

/// The steps that a new user takes, each with what is pasted.
const STEPS: &[(&str, &str)] = &[
    (
        "Cree una clave en la máquina donde corre chasqui, y guárdela con la dirección del servicio",
        "chasqui api-key create --role sgd --entity 20900000015 --name \"Mi SGD\"\n\
         CLAVE=\"Authorization: Bearer chq_…\"\n\
         API=http://127.0.0.1:8081/api/v1",
    ),
    ("Busque a quién enviar", "curl -H \"$CLAVE\" \"$API/entidades?categoria=7\""),
    (
        "Envíe un PDF; la respuesta trae su id y, con esperar, cómo terminó el envío",
        "curl -H \"$CLAVE\" \"$API/despachos?esperar=30\" -F documento=@oficio.pdf -F 'datos={\n  \
         \"numero_registro\": \"2026-000123\", \"destino\": \"20900001003\",\n  \
         \"unidad_remitente\": \"OFICINA DE TI\", \"usuario\": \"jperez\",\n  \
         \"remitente\": {\"tipo_documento\": \"1\", \"numero_documento\": \"40633367\"},\n  \
         \"destinatario\": {\"unidad\": \"GERENCIA MUNICIPAL\", \"nombre\": \"MARÍA QUISPE\", \"cargo\": \"GERENTE\"},\n  \
         \"tipo_documento\": \"01\", \"numero_documento\": \"OFICIO 001-2026-OTI\",\n  \
         \"asunto\": \"Remito información\", \"folios\": 3};type=application/json'",
    ),
    (
        "Siga el envío: su estado, todo lo que le pasó, y su cargo cuando llegue",
        "curl -H \"$CLAVE\" $API/despachos/ID\n\
         curl -H \"$CLAVE\" $API/despachos/ID/historial\n\
         curl -f -H \"$CLAVE\" $API/despachos/ID/cargo -o cargo-recibido.pdf",
    ),
    (
        "Vea lo que llegó y descárguelo (con el simulador: pídale que le envíe algo, como dice al iniciar)",
        "curl -H \"$CLAVE\" \"$API/recepciones?estado=pendiente\"\n\
         curl -f -H \"$CLAVE\" $API/recepciones/ID/documento -o documento.pdf",
    ),
    (
        "Responda con el cargo: su PDF firmado o, sin «-F cargo», el que chasqui hace y firma si la entidad tiene identidad",
        "curl -H \"$CLAVE\" $API/recepciones/ID/recepcionar -F cargo=@cargo.pdf -F 'datos={\n  \
         \"numero_registro\": \"E-2026-777\", \"unidad\": \"GERENCIA MUNICIPAL\",\n  \
         \"usuario\": \"ROSA ÑAHUI PÉREZ\"};type=application/json'",
    ),
    (
        "Entérese de lo que pasa, en el momento (Ctrl+C para terminar)",
        "curl -N -H \"$CLAVE\" -H 'Accept: text/event-stream' \"$API/eventos?desde=ahora\"",
    ),
];

/// Where a text stands in the page; nothing in it is markup.
struct Plain<'a>(&'a str);

impl std::fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

pub fn html(operaciones: &[Operacion], document: &Value) -> String {
    let mut page = String::with_capacity(256 * 1024);
    head(&mut page);
    let mut sections: Vec<&str> = Vec::new();
    for section in operaciones.iter().map(Operacion::seccion) {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    contents(&mut page, operaciones, &sections);
    // Writing to a String cannot fail, here and below.
    for (n, section) in sections.iter().enumerate() {
        let _ = write!(page, "<section><h2 id=\"s{n}\">{}</h2>", Plain(section));
        for operacion in operaciones.iter().filter(|o| o.seccion() == *section) {
            operation(&mut page, operacion, document);
        }
        page.push_str("</section>");
    }
    page.push_str("</main></body></html>\n");
    page
}

fn head(page: &mut String) {
    let _ = write!(
        page,
        "<!doctype html><html lang=\"es\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>API de chasqui</title><link rel=\"stylesheet\" href=\"/api/docs/estilo.css\"></head><body>\
         <a class=\"saltar\" href=\"#contenido\">Ir al contenido</a>\
         <header><h1>API de chasqui</h1><p>{}</p>\
         <p>Versión {}. Para programas: <a href=\"/api/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p></header>\
         <main id=\"contenido\"><section><h2 id=\"inicio\">Enviar, seguir y responder en diez minutos</h2>\
         <p>Donde dice ID va el «id» de una respuesta anterior.</p><ol>",
        Plain(INTRODUCTION),
        env!("CARGO_PKG_VERSION"),
    );
    for (what, pasted) in STEPS {
        let _ =
            write!(page, "<li><p>{}:</p><pre tabindex=\"0\"><code>{}</code></pre></li>", Plain(what), Plain(pasted));
    }
    page.push_str("</ol></section>");
}

fn contents(page: &mut String, operaciones: &[Operacion], sections: &[&str]) {
    page.push_str("<nav aria-label=\"Operaciones\"><h2>Operaciones</h2><ul>");
    for (n, section) in sections.iter().enumerate() {
        let _ = write!(page, "<li><a href=\"#s{n}\">{}</a><ul>", Plain(section));
        for operacion in operaciones.iter().filter(|o| o.seccion() == *section) {
            let (id, method) = (operacion.nombre(), operacion.metodo.as_str());
            let _ = write!(
                page,
                "<li><a href=\"#{id}\"><b>{method}</b> {}</a> {}</li>",
                Plain(operacion.ruta),
                Plain(operacion.hace)
            );
        }
        page.push_str("</ul></li>");
    }
    page.push_str("</ul></nav>");
}

fn operation(page: &mut String, operacion: &Operacion, document: &Value) {
    let method = operacion.metodo.as_str();
    let shown = &document["paths"][operacion.ruta][method.to_lowercase()];
    let _ = write!(
        page,
        "<article id=\"{}\"><h3><span class=\"metodo {}\">{method}</span> <code>{}</code></h3><p><strong>{}.</strong> {}</p>",
        operacion.nombre(),
        method.to_lowercase(),
        Plain(operacion.ruta),
        Plain(operacion.hace),
        Plain(operacion.detalle),
    );
    match shown["x-roles"].as_array() {
        Some(roles) => {
            let roles: Vec<&str> = roles.iter().filter_map(Value::as_str).collect();
            let _ = write!(page, "<p>Roles: {}.</p>", roles.join(", "));
        }
        None => page.push_str("<p>Sin clave.</p>"),
    }
    let _ = write!(page, "<pre tabindex=\"0\"><code>{}</code></pre>", Plain(&curl(operacion)));
    page.push_str("<details><summary>Parámetros, campos, respuesta y errores</summary>");
    parameters(page, &shown["parameters"]);
    body(page, &shown["requestBody"], document);
    answers(page, &shown["responses"], document);
    page.push_str("</details></article>");
}

/// The operation as it is pasted into a shell.
fn curl(operacion: &Operacion) -> String {
    let key = if operacion.grupo.is_some() { " -H \"$CLAVE\"" } else { "" };
    let path = operacion
        .en_ruta()
        .fold(operacion.ruta.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), &name.to_uppercase()));
    let address = match path.strip_prefix("/api/v1") {
        Some(rest) => format!("$API{rest}"),
        None => format!("${{API%/api/v1}}{path}"),
    };
    let mut line = match (&operacion.metodo, operacion.cuerpo) {
        (&Method::POST, None) | (&Method::DELETE, _) => format!("curl{key} -X {} \"{address}\"", operacion.metodo),
        _ => format!("curl{key} \"{address}\""),
    };
    if let Some(cuerpo) = operacion.cuerpo {
        let _ = write!(line, " -H 'Content-Type: application/json' -d '{}'", cuerpo.ejemplo);
    }
    line
}

fn parameters(page: &mut String, parameters: &Value) {
    let all = parameters.as_array().filter(|all| !all.is_empty());
    let Some(all) = all else { return };
    page.push_str("<h4>Parámetros</h4><div class=\"tabla\"><table><thead><tr><th>Nombre</th><th>Dónde</th><th>Qué es</th></tr></thead><tbody>");
    for parameter in all {
        let place = match parameter["in"].as_str() {
            Some("path") => "ruta",
            Some("header") => "cabecera",
            _ => "dirección",
        };
        let words = words(&parameter["schema"]);
        let (name, meaning) = (text(&parameter["name"]), text(&parameter["description"]));
        let _ = write!(
            page,
            "<tr><td><code>{}</code></td><td>{place}</td><td>{}{}</td></tr>",
            Plain(name),
            Plain(meaning),
            Plain(&words)
        );
    }
    page.push_str("</tbody></table></div>");
}

fn body(page: &mut String, body: &Value, document: &Value) {
    let Some(content) = body["content"].as_object() else { return };
    page.push_str("<h4>Campos de la petición</h4>");
    if content.contains_key("multipart/form-data") {
        page.push_str(
            "<p>También como formulario (multipart/form-data): «datos» con este JSON y el PDF como archivo.</p>",
        );
    }
    fields(page, &content["application/json"]["schema"], document);
}

fn answers(page: &mut String, responses: &Value, document: &Value) {
    let mut errors = String::new();
    for (status, answer) in responses.as_object().into_iter().flatten() {
        if let Some(codes) = answer["x-codes"].as_array() {
            let examples = &answer["content"]["application/problem+json"]["examples"];
            for code in codes.iter().filter_map(Value::as_str) {
                let title = text(&examples[code]["value"]["title"]);
                let _ =
                    write!(errors, "<tr><td>{status}</td><td><code>{code}</code></td><td>{}</td></tr>", Plain(title));
            }
            continue;
        }
        let _ = write!(page, "<h4>Respuesta {status}</h4>");
        for (kind, content) in answer["content"].as_object().into_iter().flatten() {
            if kind != "application/json" || content["schema"].is_null() {
                let _ = write!(page, "<p><code>{}</code></p>", Plain(kind));
                continue;
            }
            let shown = serde_json::to_string_pretty(&example(&content["schema"], document)).unwrap_or_default();
            let _ = write!(page, "<pre tabindex=\"0\"><code>{}</code></pre>", Plain(&shown));
            fields(page, &content["schema"], document);
        }
    }
    if !errors.is_empty() {
        page.push_str("<h4>Errores</h4><div class=\"tabla\"><table><thead><tr><th>Estado</th><th><code>code</code></th><th>Qué pasó</th></tr></thead><tbody>");
        page.push_str(&errors);
        page.push_str("</tbody></table></div>");
    }
}

/// A table of an object's members; of a page or a choice, those of its records.
fn fields(page: &mut String, schema: &Value, document: &Value) {
    let schema = resolved(schema, document);
    let inner = schema["anyOf"].get(0).or_else(|| schema["properties"]["items"].get("items"));
    if let Some(inner) = inner {
        return fields(page, inner, document);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str("<div class=\"tabla\"><table><thead><tr><th>Campo</th><th>Qué es</th></tr></thead><tbody>");
    for (name, schema) in properties {
        let nullable =
            schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == "null")) || has_null(schema);
        let mark = if required.contains(&name.as_str()) && !nullable { " *" } else { "" };
        let words = words(resolved(schema, document));
        let meaning = text(&schema["description"]);
        let _ = write!(
            page,
            "<tr><td><code>{}</code>{mark}</td><td>{}{}</td></tr>",
            Plain(name),
            Plain(meaning),
            Plain(&words)
        );
    }
    page.push_str("</tbody></table></div><p class=\"nota\">* siempre está y no es nulo</p>");
}

fn has_null(schema: &Value) -> bool {
    schema["anyOf"].as_array().is_some_and(|all| all.iter().any(|v| v["type"] == "null"))
}

/// The words that a schema allows and its bounds, after its meaning.
fn words(schema: &Value) -> String {
    let mut text = String::new();
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let _ = write!(text, ": {}", words.join(", "));
    }
    if let Some(max) = schema["maxLength"].as_u64() {
        let _ = write!(text, " (hasta {max} caracteres)");
    }
    text
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
