//! What the receivers of the existing bridge are told (CONTRACT §11): a document that arrived, with all its fields and its PDF
//! in base64, and a cargo with its number and letter; as forms, with HTTP Basic. They have no id for an event: one that was
//! registered is not told again.

use std::sync::Arc;

use http::header;
use serde_json::Value;

use super::{
    Endpoint, Refused, Speech, told_at,
    transport::{Letter, escaped},
};
use crate::{
    config::{self, Config, Secret, webhook::BRIDGE_PREFIX},
    domain::{Recepcion, lima},
    exchange::RECEPCION_RECIBIDA,
    sgd::base64::encoded,
    store::{FactAt, Store, StoreError},
};

const FORM: &str = "application/x-www-form-urlencoded";
/// Longest text of a receiver's that is repeated, in characters.
const SAID_MAX: usize = 120;

/// The `Authorization` it is told with.
pub struct Basic(String);

/// The two that a `[[bridge]]` names.
pub fn endpoints(config: &Config, bridge: &config::Bridge) -> Vec<Result<Arc<Endpoint>, String>> {
    let Some(entidad) = bridge.entity(config) else { return Vec::new() };
    let cargos = ["despacho.recepcionado", "despacho.observado"].map(str::to_owned);
    let told = [
        ("recepcion", &bridge.reception_url, vec![RECEPCION_RECIBIDA.to_owned()]),
        ("cargo", &bridge.cargo_url, cargos.to_vec()),
    ];
    let made = told.into_iter().filter_map(|(what, url, events)| {
        let webhook = config::Webhook {
            name: format!("{BRIDGE_PREFIX}{entidad}-{what}"),
            url: url.clone()?,
            entity: Some(entidad.to_string()),
            events,
            allow_private: bridge.allow_private,
            timeout: bridge.timeout,
            ..config::Webhook::default()
        };
        let basic = bridge.user.as_ref().map(|user| basic(user, bridge.password.as_ref().map_or("", Secret::reveal)));
        Some(told_at(&webhook, config.environment, Speech::Forms(basic)))
    });
    made.collect()
}

fn basic(user: &str, password: &str) -> Basic {
    Basic(format!("Basic {}", base64_simd::STANDARD.encode_to_string(format!("{user}:{password}"))))
}

/// What tells an event; `None` if there is nothing to tell any more.
pub async fn letter(store: &dyn Store, at: &FactAt, basic: Option<&Basic>) -> Result<Option<Letter>, StoreError> {
    let headers = basic.map(|Basic(value)| (header::AUTHORIZATION, value.clone())).into_iter().collect();
    if at.fact.tipo == RECEPCION_RECIBIDA {
        // Of a purged one there is nothing left to hand over.
        let waits = |r: &Recepcion| r.numero_registro.is_none() && r.purga.is_none();
        let Some(recepcion) = store.recepcion(at.fact.sujeto).await?.filter(waits) else {
            return Ok(None);
        };
        let sha256 = &recepcion.documento.sha256;
        // Once to know its length, once to send it.
        let (length, document) =
            (length(store.open_document(sha256).await?).await?, store.open_document(sha256).await?);
        let body = format!("{}&bpdfdoc=", written(&reception(&recepcion)));
        return Ok(Some(Letter { content_type: FORM, headers, body: body.into(), document: Some((document, length)) }));
    }
    let Some(despacho) = store.despacho(at.fact.sujeto).await? else { return Ok(None) };
    // As the event says, also where it was corrected since.
    let cflgest = if at.fact.tipo == "despacho.observado" { "O" } else { "R" };
    let fields = [("vnumregstd".to_owned(), despacho.numero_registro), ("cflgest".to_owned(), cflgest.to_owned())];
    Ok(Some(Letter { content_type: FORM, headers, body: written(&fields).into(), document: None }))
}

/// How long a document is as the value of a form.
async fn length(document: crate::store::BlobReader) -> Result<u64, StoreError> {
    use futures_util::TryStreamExt;
    encoded(document).try_fold(0, |sum, piece| async move { Ok(sum + escaped(&piece).len() as u64) }).await
}

/// All fields of a document, under the names of the wire.
fn reception(r: &Recepcion) -> Vec<(String, String)> {
    let some = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut fields: Vec<(String, String)> = [
        ("vrucentrem", r.remitente.ruc.to_string()),
        ("vrucentrec", r.entidad.to_string()),
        ("vnomentemi", r.remitente.nombre.clone()),
        ("vuniorgrem", r.remitente.unidad.clone()),
        ("ctipdociderem", r.remitente.tipo_documento.clone()),
        ("vnumdociderem", r.remitente.numero_documento.clone()),
        ("vcuo", r.cuo.to_string()),
        ("vcuoref", some(&r.cuo_referencia)),
        ("ccodtipdoc", r.tipo_documento.clone()),
        ("vnumdoc", r.numero_documento.clone()),
        ("dfecdoc", r.fecha_documento.map(lima::texto).unwrap_or_default()),
        ("vuniorgdst", r.destinatario.unidad.clone()),
        ("vnomdst", r.destinatario.nombre.clone()),
        ("vnomcardst", r.destinatario.cargo.clone()),
        ("vasu", r.asunto.clone()),
        ("snumanx", r.anexos.len().to_string()),
        ("snumfol", r.folios.map(|folios| folios.to_string()).unwrap_or_default()),
        ("vurldocanx", some(&r.url_anexos)),
        ("vnomdoc", r.documento.nombre.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    // PHP makes a list of objects of these, as the SGD gives one when it sends.
    let named =
        r.anexos.iter().enumerate().map(|(n, anexo)| (format!("lstanexos[{n}][vnomdoc]"), anexo.nombre.clone()));
    fields.extend(named);
    fields
}

/// The fields as a form.
fn written(fields: &[(String, String)]) -> String {
    reqwest::Url::parse_with_params("http://x/", fields)
        .ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default()
}

/// The number in an answer that took the event; why not, in one that did not.
pub fn filed_as(answer: &[u8]) -> Result<Option<(String, Option<String>)>, Refused> {
    let shown = || String::from_utf8_lossy(answer).chars().take(SAID_MAX).collect::<String>();
    let said: Value = serde_json::from_slice(answer)
        .map_err(|_| Refused::from(format!("el SGD no respondió con {{\"estado\": …}}, sino «{}»", shown())))?;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match said.get("estado").and_then(text).as_deref() {
        Some("0000") => {}
        estado => {
            let error = said.get("error").and_then(text).unwrap_or_default();
            let error: String = error.chars().take(SAID_MAX).collect();
            return Err(format!("el SGD respondió con el estado «{}»: {error}", estado.unwrap_or_default()).into());
        }
    }
    let numero = said.get("data").and_then(|data| data.get("vnumregstd")).and_then(text);
    Ok(numero.filter(|numero| !numero.is_empty()).map(|numero| (numero, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_from_an_answer_that_says_0000_and_from_no_other() {
        let numero = |answer: &str| filed_as(answer.as_bytes()).map(|found| found.map(|(numero, _)| numero));
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(numero(r#"{"estado":"0000","data":{"vnumregstd":"00123"},"error":""}"#), some("00123"));
        assert_eq!(numero(r#"{"estado":"0000","data":{"vnumregstd":123},"error":null}"#), some("123"));
        assert_eq!(numero(r#"{"estado":"0000","data":"","error":""}"#), Ok(None));
        for (answer, said) in [
            (r#"{"estado":"-1","data":null,"error":"sin espacio"}"#, "estado «-1»: sin espacio"),
            (r#"{"data":{"vnumregstd":"1"}}"#, "estado «»"),
            ("<br>Warning: x", "sino «<br>Warning: x»"),
            ("", "sino «»"),
        ] {
            assert!(numero(answer).unwrap_err().motivo.contains(said), "{answer}");
        }
    }

    #[test]
    fn base64_means_itself_in_a_form() {
        assert_eq!(escaped(b"ab+/=="), b"ab%2B%2F%3D%3D");
        let fields =
            [("vasu".to_owned(), "a&b=c +ñ\n".to_owned()), ("lstanexos[0][vnomdoc]".to_owned(), "x".to_owned())];
        assert_eq!(written(&fields), "vasu=a%26b%3Dc+%2B%C3%B1%0A&lstanexos%5B0%5D%5Bvnomdoc%5D=x");
    }
}
