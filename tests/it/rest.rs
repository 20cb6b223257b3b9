//! The REST API as an SGD calls it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, header::HeaderMap, multipart};
use serde_json::{Value, json};

use crate::patience::until;

/// One key of one daemon's API.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    key: Option<String>,
    client: reqwest::Client,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{}: {e}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// The JSON of an answer with this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Status, media type and code of an error.
    pub fn problem(&self) -> (u16, String) {
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{problem}");
        assert_eq!(problem["status"], self.status, "{problem}");
        for member in ["type", "title", "detail", "code"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "no {member}: {problem}");
        }
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }
}

/// A client of HTTP for plain loopback addresses.
pub fn client() -> reqwest::Client {
    // reqwest wants a TLS provider even for addresses without TLS; a second call finds it there.
    rustls::crypto::ring::default_provider().install_default().ok();
    // No idle connections: a daemon that stops would wait for them.
    let built =
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(120)).build();
    built.expect("a client of HTTP")
}

impl Api {
    pub fn new(base: String, key: Option<String>) -> Self {
        Self { base, key, client: client() }
    }

    /// The same API with another key, or none.
    #[must_use]
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub async fn send(&self, request: RequestBuilder) -> Result<Reply, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, body: response.bytes().await?.to_vec() })
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await.unwrap_or_else(|e| panic!("GET {path}: {e:?}"))
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await.unwrap_or_else(|e| panic!("POST {path}: {e:?}"))
    }

    /// `multipart/form-data` with `datos` and one file.
    pub async fn form(&self, path: &str, datos: &Value, part: &'static str, file: &[u8]) -> Reply {
        self.try_form(path, datos, part, file).await.unwrap_or_else(|e| panic!("POST {path}: {e:?}"))
    }

    async fn try_form(
        &self,
        path: &str,
        datos: &Value,
        part: &'static str,
        file: &[u8],
    ) -> Result<Reply, reqwest::Error> {
        let datos = multipart::Part::text(datos.to_string()).mime_str("application/json").unwrap();
        let file = multipart::Part::bytes(file.to_vec()).file_name(format!("{part}.pdf"));
        let file = file.mime_str("application/pdf").unwrap();
        let form = multipart::Form::new().part("datos", datos).part(part, file);
        let request = self.request(Method::POST, path).multipart(form);
        self.send(request).await
    }

    /// The items of a list's first page.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.expect(200);
        list["items"].as_array().unwrap_or_else(|| panic!("no items: {list}")).clone()
    }

    /// Hands over a document and returns its despacho.
    pub async fn dispatch(&self, datos: &Value, pdf: &[u8]) -> Value {
        self.form("/api/v1/despachos", datos, "documento", pdf).await.expect(202)
    }

    /// The same, to a daemon that may be gone or in trouble: `None`, unless it was taken in.
    pub async fn try_dispatch(&self, datos: &Value, pdf: &[u8]) -> Option<Value> {
        let reply = self.try_form("/api/v1/despachos", datos, "documento", pdf).await.ok()?;
        (reply.status == 202).then(|| reply.json())
    }

    /// Waits until the record at `path` is in `estado`.
    pub async fn until_state(&self, path: &str, estado: &str) -> Value {
        until(&format!("{path} is {estado}"), 60, || async {
            let record = self.get(path).await.expect(200);
            if record["estado"] == estado { Ok(record) } else { Err(record.to_string()) }
        })
        .await
    }

    /// Waits until the list at `path` has one item.
    pub async fn until_one(&self, path: &str) -> Value {
        until(&format!("{path} has an item"), 60, || async {
            let mut items = self.list(path).await;
            if items.len() == 1 { Ok(items.remove(0)) } else { Err(format!("{} items", items.len())) }
        })
        .await
    }

    /// The words of a record's history, oldest first.
    pub async fn history(&self, path: &str) -> Vec<String> {
        self.facts(path).await.iter().map(|fact| text(fact, "tipo").to_owned()).collect()
    }

    /// The facts of an exchange, oldest first.
    pub async fn facts(&self, path: &str) -> Vec<Value> {
        let history = self.get(&format!("{path}/historial")).await.expect(200);
        let items = history.as_array().or_else(|| history["items"].as_array());
        let items = items.unwrap_or_else(|| panic!("no list: {history}"));
        items.clone()
    }
}

/// The text at `name`, which must be there.
pub fn text<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_else(|| panic!("no {name}: {record}"))
}

/// `datos` of a despacho without a defect, its document in a file beside it.
pub fn despacho(numero_registro: &str, destino: &str) -> Value {
    json!({
        "numero_registro": numero_registro,
        "destino": destino,
        "unidad_remitente": "OFICINA DE TI",
        "codigo_unidad_remitente": "OTI",
        "usuario": "jperez",
        "remitente": {"tipo_documento": "1", "numero_documento": "40633367"},
        "destinatario": {"unidad": "GERENCIA MUNICIPAL", "nombre": "MARÍA QUISPE MAMANI", "cargo": "GERENTE MUNICIPAL"},
        "tipo_documento": "01",
        "numero_documento": "OFICIO 001-2026-OTI",
        "fecha_documento": "2025-06-02T09:30:00-05:00",
        "asunto": "Remito información",
        "folios": 3,
        "documento": {"nombre": "oficio.pdf"},
    })
}
