//! Who acts for the entity under test where a case needs it: its own chasqui's API, a command of the tester's, or a person
//! who is told what to do. Uses only what such a one has: no store, no use case.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use base64_simd::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::config::{causes, words};

/// How long a command or a request may take, and the most that is read of what a command says.
const ORDEN: Duration = Duration::from_secs(120);
const SALIDA_BYTES_MAX: usize = 64 * 1024;

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoHecho {
    /// It can't do this: the case does not run.
    NoPuede(String),
    /// It tried, and the entity refused or failed.
    Fallo(String),
}

/// What became known by it: `id`, `estado`, `cantidad`.
pub type Hecho = BTreeMap<String, String>;

pub type Avisa = Box<dyn Fn(&str) + Send + Sync>;

pub enum Operador {
    Api {
        base: String,
        clave: String,
        http: reqwest::Client,
    },
    Orden(String),
    /// With what shows an instruction to him.
    Persona(Avisa),
    Nadie,
}

impl Operador {
    pub fn api(base: &str, clave: String) -> Result<Self, String> {
        crate::platform::client::install_tls_provider();
        let builder = reqwest::Client::builder().no_proxy().timeout(ORDEN).tls_certs_only([]);
        let http = if base.starts_with("https:") {
            reqwest::Client::builder().no_proxy().timeout(ORDEN).build()
        } else {
            builder.build()
        };
        let http = http.map_err(|e| format!("no se puede preparar el cliente de la API: {e}"))?;
        Ok(Self::Api { base: base.trim_end_matches('/').to_owned(), clave, http })
    }

    /// As the report names it.
    pub fn nombre(&self) -> &'static str {
        match self {
            Self::Api { .. } => "api",
            Self::Orden(_) => "orden",
            Self::Persona(_) => "persona",
            Self::Nadie => "nadie",
        }
    }

    /// Does `accion` with these values. `Ok` of a person means only that he was told.
    pub async fn hacer(&self, accion: &str, con: &BTreeMap<String, String>, pdf: &[u8]) -> Result<Hecho, NoHecho> {
        match self {
            Self::Nadie => Err(NoHecho::NoPuede(
                "nadie actúa por la entidad: dé --api y --api-key, o --send-command, o --ask".into(),
            )),
            Self::Persona(avisa) => match instruccion(accion, con) {
                Some(text) => {
                    avisa(&text);
                    Ok(Hecho::new())
                }
                None => Err(NoHecho::NoPuede("esto no se le puede pedir a una persona".into())),
            },
            Self::Orden(orden) => por_orden(orden, accion, con, pdf).await,
            Self::Api { base, clave, http } => Api { base, clave, http }.hacer(accion, con, pdf).await,
        }
    }
}

/// What a person is asked to do.
fn instruccion(accion: &str, con: &BTreeMap<String, String>) -> Option<String> {
    let value = |name: &str| con.get(name).map_or("", String::as_str);
    Some(match accion {
        "despachar" => format!(
            "Envíe desde su sistema un documento al RUC {} con el asunto «{}»{}.",
            value("destino"),
            value("asunto"),
            if value("anexos").is_empty() { String::new() } else { format!(" y los anexos {}", value("anexos")) }
        ),
        "subsanar" => format!("Subsane el documento de CUO {}, que fue observado.", value("cuo")),
        "recepcionar" => format!("Recepcione el documento de CUO {}.", value("cuo")),
        "observar" => format!("Observe el documento de CUO {} con el texto «{}».", value("cuo"), value("observacion")),
        _ => return None,
    })
}

async fn por_orden(orden: &str, accion: &str, con: &BTreeMap<String, String>, pdf: &[u8]) -> Result<Hecho, NoHecho> {
    let failed = |why: String| NoHecho::Fallo(format!("la orden de «{accion}» falló: {why}"));
    let mut values = con.clone();
    values.insert("accion".into(), accion.to_owned());
    values.insert("documento".into(), STANDARD.encode_to_string(pdf));
    let input = serde_json::to_vec(&values).map_err(|e| failed(e.to_string()))?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(orden).env("CHASQUI_ACCION", accion);
    for (name, value) in con {
        command.env(format!("CHASQUI_{}", name.to_ascii_uppercase()), value);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing is not wrong.
        stdin.write_all(&input).await.ok();
    }
    let output = timeout(ORDEN, child.wait_with_output()).await;
    let output = output.map_err(|_| failed(format!("no terminó en {} s", ORDEN.as_secs())))?;
    let output = output.map_err(|e| failed(e.to_string()))?;
    let said =
        String::from_utf8_lossy(output.stderr.get(..SALIDA_BYTES_MAX).unwrap_or(&output.stderr)).trim().to_owned();
    match output.status.code() {
        Some(0) => {
            let said: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            Ok(said.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect())
        }
        // By agreement: it does not know how to.
        Some(3) => Err(NoHecho::NoPuede(format!("la orden no sabe «{accion}» (terminó con 3)"))),
        _ => Err(failed(format!("terminó con {}: {said}", output.status))),
    }
}

/// A chasqui's own API.
struct Api<'a> {
    base: &'a str,
    clave: &'a str,
    http: &'a reqwest::Client,
}

impl Api<'_> {
    async fn hacer(&self, accion: &str, con: &BTreeMap<String, String>, pdf: &[u8]) -> Result<Hecho, NoHecho> {
        let value = |name: &str| con.get(name).cloned().unwrap_or_default();
        let documento = STANDARD.encode_to_string(pdf);
        let made = match accion {
            "despachar" => self.llama(Method::POST, "/despachos", Some(&despacho(con, &documento))).await?,
            "subsanar" => {
                let id = self.busca("despachos", &value("cuo")).await?;
                self.llama(Method::POST, &format!("/despachos/{id}/subsanar"), Some(&despacho(con, &documento))).await?
            }
            "consultar" => {
                let id = self.busca("despachos", &value("cuo")).await?;
                self.llama(Method::POST, &format!("/despachos/{id}/consultar"), Some(&json!({}))).await?
            }
            "recepcionar" | "observar" => {
                let id = self.busca("recepciones", &value("cuo")).await?;
                let mut body = json!({
                    "numero_registro": value("numero"), "unidad": "MESA DE PARTES", "usuario": "PERSONA DE PRUEBAS",
                    "cargo": {"contenido": documento},
                });
                if accion == "observar" {
                    body["observacion"] = value("observacion").into();
                }
                self.llama(Method::POST, &format!("/recepciones/{id}/{accion}"), Some(&body)).await?
            }
            "estado" => {
                let kind = if value("de") == "recepcion" { "recepciones" } else { "despachos" };
                let id = self.busca(kind, &value("cuo")).await?;
                self.llama(Method::GET, &format!("/{kind}/{id}"), None).await?
            }
            "contar" => {
                let list = self.llama(Method::GET, &format!("/recepciones?cuo={}", value("cuo")), None).await?;
                let count = list["items"].as_array().map_or(0, Vec::len);
                return Ok([("cantidad".to_owned(), count.to_string())].into());
            }
            other => return Err(NoHecho::NoPuede(format!("la API no tiene «{other}»"))),
        };
        let text = |name: &str| made[name].as_str().map(|v| (name.to_owned(), v.to_owned()));
        Ok(["id", "estado", "cuo"].into_iter().filter_map(text).collect())
    }

    async fn busca(&self, kind: &str, cuo: &str) -> Result<String, NoHecho> {
        let list = self.llama(Method::GET, &format!("/{kind}?cuo={cuo}"), None).await?;
        let id = list["items"].as_array().and_then(|items| items.first()).and_then(|item| item["id"].as_str());
        id.map(str::to_owned).ok_or_else(|| NoHecho::Fallo(format!("la API no conoce el CUO {cuo} entre {kind}")))
    }

    async fn llama(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, NoHecho> {
        let failed = |why: String| NoHecho::Fallo(format!("la API de la entidad ({path}): {why}"));
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(self.clave);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| failed(causa(&e)))?;
        let status = response.status();
        let text = response.text().await.map_err(|e| failed(causa(&e)))?;
        if !status.is_success() {
            return Err(failed(format!("respondió {status}: {}", text.chars().take(300).collect::<String>())));
        }
        serde_json::from_str(&text).map_err(|e| failed(format!("no respondió JSON: {}", words::of_json(&e))))
    }
}

/// Why a call did not end, in Spanish as far as it is known.
fn causa(error: &reqwest::Error) -> String {
    let what = if error.is_connect() {
        "no se pudo conectar"
    } else if error.is_timeout() {
        "no respondió a tiempo"
    } else {
        "la llamada se interrumpió"
    };
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        if let Some(error) = next.downcast_ref::<std::io::Error>() {
            return format!("{what}: {}", causes::in_spanish(error));
        }
        source = next.source();
    }
    what.to_owned()
}

fn despacho(con: &BTreeMap<String, String>, documento: &str) -> Value {
    let value = |name: &str| con.get(name).cloned().unwrap_or_default();
    let names: Vec<String> =
        value("anexos").split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    let anexos: Vec<Value> = names.iter().map(|n| json!({"nombre": n})).collect();
    let mut body = json!({
        "numero_registro": value("numero"), "destino": value("destino"), "unidad_remitente": "OFICINA DE PRUEBAS",
        "usuario": "pruebas", "remitente": {"tipo_documento": "1", "numero_documento": "40633367"},
        "destinatario": {"unidad": "MESA DE PARTES", "nombre": "MARÍA QUISPE MAMANI", "cargo": "RESPONSABLE"},
        "tipo_documento": "01", "numero_documento": value("numero"), "fecha_documento": value("fecha"),
        "asunto": value("asunto"), "folios": 1, "documento": {"nombre": "prueba.pdf", "contenido": documento},
    });
    if !anexos.is_empty() {
        body["anexos"] = anexos.into();
        body["url_anexos"] = "https://pruebas.gob.pe/anexos".into();
    }
    body
}
