//! The platform's JSON twin (CONTRACT §2): the same services under `/Rest/…`, what comes in as `{"PIDE": {…}}` written as the
//! SOAP message it stands for, and the answer told as JSON. Nothing is decided here: both ways lead through `services`.
//!
//! A message is held whole here, unlike everywhere else, so it may be of [`MENSAJE_BYTES_MAX`] only.

use std::fmt::Write;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use quick_xml::{Reader, escape::resolve_predefined_entity, events::Event};
use serde_json::{Map, Value, json};

use super::services::{Service, Services};
use crate::{
    contract::{Operation, cuo, entidad, iotramite},
    soap::writer::Writer,
};

/// Largest message taken or given as JSON, in bytes: a document of about 18 MiB.
const MENSAJE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Objects within objects.
const DEPTH_MAX: usize = 16;

/// One route of the twin.
#[derive(Clone, Copy)]
struct Twin {
    path: &'static str,
    service: Service,
    namespace: &'static str,
    operation: &'static str,
    /// The fields stand within this element.
    part: Option<&'static str>,
}

const fn tramite(path: &'static str, operation: &'static str, part: Option<&'static str>) -> Twin {
    Twin { path, service: Service::Tramite, namespace: iotramite::NAMESPACE, operation, part }
}

fn twins() -> [Twin; 8] {
    let request = Some("request");
    let cuo = |path, operation| Twin { path, service: Service::Cuo, namespace: cuo::NAMESPACE, operation, part: None };
    let entidad = |path, operation| Twin {
        path,
        service: Service::Entidad,
        namespace: entidad::NAMESPACE,
        operation,
        part: None,
    };
    [
        cuo("/Rest/PCM/CEntidad", "getCUOEntidad"),
        cuo("/Rest/PCM/CTest", "getCUO"),
        entidad("/Rest/Pcm/ListaEntidad", "getListaEntidad"),
        entidad("/Rest/Pcm/ValidarEntidad", "validarEntidad"),
        tramite("/Rest/Pcm/TipoDocumento", "getTipoDocumento", None),
        tramite("/Rest/Pcm/RecepcionarTramite", Operation::Recepcionar.name(), request),
        tramite("/Rest/Pcm/ConsultarTramite", Operation::Consultar.name(), request),
        tramite("/Rest/Pcm/CargoTramite", Operation::Cargo.name(), request),
    ]
}

pub fn router(services: Services) -> Router {
    let mut router = Router::new();
    for twin in twins() {
        let call =
            move |State(services): State<Services>, request: Request| async move { twin.call(services, request).await };
        router = router.route(twin.path, post(call));
    }
    router.with_state(services)
}

impl Twin {
    async fn call(self, services: Services, request: Request) -> Response {
        let (mut head, body) = request.into_parts();
        let body = match Limited::new(body, MENSAJE_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return wrong(StatusCode::PAYLOAD_TOO_LARGE, "el mensaje no llegó entero, o pasa de 32 MiB"),
        };
        let asked: Value = match serde_json::from_slice(&body) {
            Ok(asked) => asked,
            Err(error) => return wrong(StatusCode::BAD_REQUEST, &format!("no es JSON: {error}")),
        };
        let Some(Value::Object(fields)) = asked.get("PIDE") else {
            return wrong(StatusCode::BAD_REQUEST, "se espera {\"PIDE\": {…}} con los campos del servicio");
        };
        let message = self.message(fields);
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(crate::soap::CONTENT_TYPE));
        let answered = services.call(self.service, Request::from_parts(head, Body::from(message))).await;
        told(answered).await
    }

    fn message(self, fields: &Map<String, Value>) -> Vec<u8> {
        let mut w = Writer::new(self.namespace, self.operation);
        self.part.into_iter().for_each(|part| w.open(part));
        write(&mut w, fields, 0);
        self.part.into_iter().for_each(|part| w.close(part));
        w.finish().before.to_vec()
    }
}

fn wrong(status: StatusCode, words: &str) -> Response {
    (status, axum::Json(json!({ "error": words }))).into_response()
}

/// The members as elements; a list as an element repeated, `{"$": …}` as a text.
fn write(w: &mut Writer, fields: &Map<String, Value>, depth: usize) {
    for (name, value) in fields {
        // A name becomes a tag: only what is one.
        if depth > DEPTH_MAX || name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let items = match value {
            Value::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            match item {
                Value::Object(inner) => match inner.get("$") {
                    Some(Value::String(text)) => w.text(name, text),
                    _ => {
                        w.open(name);
                        write(w, inner, depth + 1);
                        w.close(name);
                    }
                },
                Value::String(text) => w.text(name, text),
                Value::Number(number) => w.text(name, &number.to_string()),
                Value::Bool(flag) => w.text(name, if *flag { "true" } else { "false" }),
                Value::Null | Value::Array(_) => {}
            }
        }
    }
}

/// A SOAP answer as JSON; what is none goes as it is, for faults spoil answers on purpose.
async fn told(answered: Response) -> Response {
    let (mut head, body) = answered.into_parts();
    let body = match Limited::new(body, MENSAJE_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        // Cut off: so is the twin's answer.
        Err(error) => return Response::from_parts(head, Body::new(failing(error.to_string()))),
    };
    head.headers.remove(header::CONTENT_LENGTH);
    match body_as_json(&body) {
        Some(value) => {
            head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            Response::from_parts(head, Body::from(value.to_string()))
        }
        None => Response::from_parts(head, Body::from(body)),
    }
}

fn failing(why: String) -> Body {
    Body::from_stream(futures_util::stream::once(async move { Err::<bytes::Bytes, _>(std::io::Error::other(why)) }))
}

/// What stands in the envelope's Body: the operation's element with its members.
fn body_as_json(xml: &[u8]) -> Option<Value> {
    let mut reader = Reader::from_str(std::str::from_utf8(xml).ok()?);
    // Elements that are open: name, text, children.
    let mut open: Vec<(String, String, Map<String, Value>)> = vec![Default::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                let name = tag.local_name().as_ref().to_owned();
                open.push((name, String::new(), Map::new()));
                if open.len() > 2 * DEPTH_MAX {
                    return None;
                }
            }
            Event::Empty(tag) => {
                let name = tag.local_name().as_ref().to_owned();
                add(&mut open.last_mut()?.2, name, Value::Null);
            }
            Event::Text(text) => open.last_mut()?.1.push_str(&text),
            Event::GeneralRef(reference) => {
                let text = &mut open.last_mut()?.1;
                match reference.resolve_char_ref().ok()? {
                    Some(c) => text.push(c),
                    None => text.push_str(resolve_predefined_entity(&reference)?),
                }
            }
            Event::End(_) => {
                let (name, text, inner) = open.pop()?;
                let value = if inner.is_empty() { Value::String(text) } else { Value::Object(inner) };
                add(&mut open.last_mut()?.2, name, value);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let (_, _, mut root) = open.pop().filter(|_| open.is_empty())?;
    let envelope = root.remove("Envelope")?;
    match envelope.get("Body")? {
        Value::Object(body) => Some(Value::Object(body.clone())),
        _ => None,
    }
}

/// A name that comes again becomes a list.
fn add(fields: &mut Map<String, Value>, name: String, value: Value) {
    match fields.get_mut(&name) {
        None => {
            fields.insert(name, value);
        }
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// The routes, for the page.
pub fn addresses() -> String {
    let mut out = String::new();
    for twin in twins() {
        writeln!(out, "<li><code>{}?out=json</code>: <code>{}</code></li>", twin.path, twin.operation).ok();
    }
    out
}
