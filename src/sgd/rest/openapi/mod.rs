//! The API described by itself: an OpenAPI 3.1 document made of the table of operations and the types of the answers, and a
//! page that shows it with no resource from elsewhere. Both are the same for everybody and need no key.

mod glossary;
pub mod operation;
mod page;
pub mod schemas;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, header};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use self::{
    operation::{Contenido, Operacion},
    schemas::Problema,
};
use super::{intake, routes};
use crate::{
    http::{Code, Grupo, auth},
    store::Rol,
};

const ROLES: [Rol; 5] = [Rol::Sgd, Rol::MesaDePartes, Rol::Operador, Rol::Auditor, Rol::Admin];

/// What a file of this type is.
const PDF: &str = "application/pdf";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| describe(&routes::operaciones()));
static JSON: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&*DOCUMENT).unwrap_or_default().into());
static PAGE: LazyLock<Bytes> = LazyLock::new(|| page::html(&routes::operaciones(), &DOCUMENT).into());

pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], JSON.clone()).into_response()
}

pub async fn page() -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE.clone()).into_response()
}

pub async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE).into_response()
}

/// The whole document.
fn describe(operaciones: &[Operacion]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    // What may be left out of a request is there, and null, in an answer.
    let mut requests = settings.clone().for_deserialize().into_generator();
    let mut answers = settings.for_serialize().into_generator();
    let mut paths = Map::new();
    for operacion in operaciones {
        let path = paths.entry(operacion.ruta).or_insert_with(|| json!({}));
        path[operacion.metodo.as_str().to_lowercase()] = shown(operacion, &mut requests, &mut answers);
    }
    answers.subschema_for::<Problema>();
    let mut schemas = requests.take_definitions(true);
    schemas.extend(answers.take_definitions(true));
    schemas.iter_mut().for_each(|(name, schema)| tidy(name, schema));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "chasqui",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Intercambio de documentos entre entidades públicas",
            "description": page::INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"clave": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"clave": {
                "type": "http", "scheme": "bearer",
                "description": "Una clave de API (chasqui api-key create); su rol dice qué puede hacer y su entidad, de quién.",
            }},
        },
    })
}

fn shown(operacion: &Operacion, requests: &mut SchemaGenerator, answers: &mut SchemaGenerator) -> Value {
    let roles = operacion.grupo.map(roles);
    let mut text = operacion.detalle.to_owned();
    if let Some(roles) = &roles {
        let blank = if text.is_empty() { "" } else { "\n\n" };
        text += &format!("{blank}Roles: {}.", roles.join(", "));
    }
    let mut shown = json!({
        "operationId": operacion.nombre(),
        "tags": [operacion.seccion()],
        "summary": operacion.hace,
        "description": text,
        "parameters": parameters(operacion),
        "responses": responses(operacion, answers),
    });
    match roles {
        Some(roles) => shown["x-roles"] = json!(roles),
        None => shown["security"] = json!([]),
    }
    if let Some(body) = body(operacion, requests) {
        shown["requestBody"] = body;
    }
    shown
}

/// The roles that may use a group, as words.
pub fn roles(grupo: Grupo) -> Vec<&'static str> {
    ROLES.into_iter().filter(|rol| grupo.permite(*rol)).map(auth::rol).collect()
}

fn parameters(operacion: &Operacion) -> Value {
    let meaning = |name: &str| glossary::busca("", name).map(|(_, meaning, _)| *meaning).unwrap_or_default();
    let in_path = operacion.en_ruta().map(|name| {
        json!({"name": name, "in": "path", "required": true, "description": meaning(name), "schema": {"type": "string"}})
    });
    let in_query = operacion.parametros.iter().map(|name| {
        let schema = parameter(operacion, name);
        json!({"name": name, "in": "query", "description": meaning(name), "schema": schema})
    });
    let mut all: Vec<Value> = in_path.chain(in_query).collect();
    if operacion.idempotente {
        all.push(json!({
            "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "description": "Repetir la petición con la misma clave no crea otro despacho: responde el que ya hay",
        }));
    }
    Value::Array(all)
}

fn parameter(operacion: &Operacion, name: &str) -> Value {
    use crate::domain::{EstadoDespacho, EstadoRecepcion};
    match name {
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
        "esperar" => json!({"type": "integer", "minimum": 0, "maximum": 120, "default": 0}),
        "categoria" => json!({"type": "integer", "minimum": 1, "maximum": 8}),
        "entidad" | "ruc" => json!({"type": "string", "pattern": "^[0-9]{11}$"}),
        "por" => json!({"type": "string", "enum": ["dia", "entidad", "contraparte"], "default": "dia"}),
        "q" => json!({"type": "string", "maxLength": 200}),
        "estado" if operacion.ruta.ends_with("despachos") => {
            json!({"type": "string", "enum": EstadoDespacho::TODOS.map(EstadoDespacho::palabra)})
        }
        "estado" => json!({"type": "string", "enum": EstadoRecepcion::TODOS.map(EstadoRecepcion::palabra)}),
        _ => json!({"type": "string"}),
    }
}

fn body(operacion: &Operacion, generator: &mut SchemaGenerator) -> Option<Value> {
    let cuerpo = operacion.cuerpo?;
    let example: Value = serde_json::from_str(cuerpo.ejemplo).unwrap_or_default();
    let mut content = json!({"application/json": {"schema": (cuerpo.json)(generator), "example": example}});
    if let Some((part, datos)) = cuerpo.formulario {
        let file = json!({"type": "string", "contentMediaType": PDF});
        let mut form = json!({
            "schema": {"type": "object", "properties": {"datos": datos(generator), part: file}, "required": ["datos"]},
            "encoding": {"datos": {"contentType": "application/json"}, part: {"contentType": PDF}},
        });
        if part == intake::DOCUMENT.part {
            let files =
                json!({"type": "array", "items": {"type": "string", "contentMediaType": "application/octet-stream"}});
            form["schema"]["properties"]["anexos"] = files;
        }
        content["multipart/form-data"] = form;
    }
    Some(json!({"required": cuerpo.obligatorio, "content": content}))
}

fn responses(operacion: &Operacion, generator: &mut SchemaGenerator) -> Value {
    let mut all = Map::new();
    for (status, contenido) in &operacion.respuestas {
        let description = if *status < 400 { operacion.hace } else { "No puede trabajar" };
        let answer = all.entry(status.to_string()).or_insert_with(|| json!({"description": description}));
        match contenido {
            Contenido::Json(forma) => answer["content"]["application/json"] = json!({"schema": forma(generator)}),
            Contenido::Pdf => answer["content"][PDF] = json!({"schema": {"type": "string", "contentMediaType": PDF}}),
            Contenido::Otro(kind) => answer["content"][*kind] = json!({}),
            Contenido::Nada => {}
        }
    }
    let codes = operacion.codigos();
    for same in codes.chunk_by(|a, b| a.status() == b.status()) {
        let Some(status) = same.first().map(|code| code.status().as_u16()) else { continue };
        all.insert(status.to_string(), problem(same));
    }
    Value::Object(all)
}

/// The answer that tells one of some errors of one status.
fn problem(codes: &[Code]) -> Value {
    let words: Vec<&str> = codes.iter().map(|code| code.word()).collect();
    let titles: Vec<&str> = codes.iter().map(|code| code.title()).collect();
    let examples: Map<String, Value> = codes
        .iter()
        .map(|code| {
            let word = code.word();
            let value = json!({
                "type": format!("urn:chasqui:error:{word}"), "title": code.title(), "status": code.status().as_u16(),
                "detail": code.title(), "code": word,
            });
            (word.to_owned(), json!({ "value": value }))
        })
        .collect();
    json!({
        "description": titles.join(". "),
        "x-codes": words,
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problema"}, "examples": examples,
        }},
    })
}

/// Takes out what is said for programmers, and puts in what the glossary says.
fn tidy(name: &str, schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.remove("description");
            members.remove("title");
            if members
                .get("format")
                .and_then(Value::as_str)
                .is_some_and(|f| f.starts_with("int") || f.starts_with("uint"))
            {
                members.remove("format");
            }
            one_list_of_words(members);
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                for (property, schema) in properties {
                    tidy(name, schema);
                    tell(name, property, schema);
                }
            }
            for (key, schema) in members.iter_mut().filter(|(key, _)| *key != "properties" && *key != "examples") {
                tidy(key, schema);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|schema| tidy(name, schema)),
        _ => {}
    }
}

/// Words that were each told apart, for their comments, become one list.
fn one_list_of_words(members: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = members.get("oneOf") else { return };
    let words = variants.iter().map(|v| match (&v["const"], &v["enum"]) {
        (Value::Null, Value::Array(words)) => Some(words.clone()),
        (Value::Null, _) => None,
        (word, _) => Some(vec![word.clone()]),
    });
    if let Some(words) = words.collect::<Option<Vec<_>>>() {
        members.remove("oneOf");
        members.insert("type".into(), "string".into());
        members.insert("enum".into(), words.concat().into());
    }
}

fn tell(schema_name: &str, property: &str, schema: &mut Value) {
    let Some((_, meaning, example)) = glossary::busca(schema_name, property) else { return };
    if let Value::Bool(_) = schema {
        *schema = json!({});
    }
    let Value::Object(members) = schema else { return };
    members.insert("description".into(), (*meaning).into());
    if let Ok(example) = serde_json::from_str::<Value>(example) {
        members.insert("examples".into(), json!([example]));
    }
}

/// A value that a schema allows, made of the examples in it.
fn example(schema: &Value, document: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return example(&document["components"]["schemas"][name], document);
    }
    if let Some(first) = schema["examples"].get(0) {
        return first.clone();
    }
    let variants = [&schema["anyOf"], &schema["oneOf"]].into_iter().find_map(Value::as_array);
    if let Some(found) = variants.and_then(|all| all.iter().find(|v| v["type"] != "null")) {
        return example(found, document);
    }
    if let Some(word) = schema["enum"].get(0) {
        return word.clone();
    }
    let kinds = &schema["type"];
    let kind = kinds.as_str().or_else(|| kinds.as_array()?.iter().filter_map(Value::as_str).find(|k| *k != "null"));
    match (kind, schema["format"].as_str()) {
        (Some("object"), _) => {
            let properties = schema["properties"].as_object();
            let shown =
                properties.into_iter().flatten().map(|(name, schema)| (name.clone(), example(schema, document)));
            Value::Object(shown.collect())
        }
        (Some("array"), _) => json!([example(&schema["items"], document)]),
        (Some("string"), Some("date-time")) => "2026-11-21T09:30:00-05:00".into(),
        (Some("string"), Some("date")) => "2026-11-21".into(),
        (Some("string"), Some("uuid")) => "019ac0de-7a10-7000-8000-5f1d2c3b4a59".into(),
        (Some("string"), _) if schema["pattern"] == "^[0-9a-f]{64}$" => "9f86d081884c7d65…".into(),
        (Some("string"), _) => "…".into(),
        (Some("integer" | "number"), _) => 0.into(),
        (Some("boolean"), _) => true.into(),
        _ => Value::Null,
    }
}

/// The schema behind a reference.
fn resolved<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        Some(name) => &document["components"]["schemas"][name],
        None => schema,
    }
}
