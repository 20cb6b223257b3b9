//! `Idempotency-Key`: the same request under the same key is answered as the first time; another one is an error.

use http::HeaderMap;
use ring::digest;
use serde_json::{Value, json};

use super::intake::Received;
use crate::{
    domain::{Id, Ruc, Sha256},
    exchange::Idempotency,
    http::{Code, Problem},
};

/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 255;

pub fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() || text.len() > KEY_CHARS_MAX {
        let detail = "Idempotency-Key debe tener de 1 a 255 caracteres visibles de ASCII";
        return Err(Problem::new(Code::PeticionNoValida, detail));
    }
    Ok(Some(text.to_owned()))
}

/// What a request asks, of what.
pub struct Target<'a> {
    pub operation: &'static str,
    /// The record in the request's path.
    pub id: Option<Id>,
    pub entidad: &'a Ruc,
}

/// The key with what tells this request from another: its target, its members in any order, its document and the name that
/// a form gave it.
pub fn of(key: String, target: &Target<'_>, received: &Received) -> Idempotency {
    let mut members = Value::Object(received.members.clone());
    members.sort_all_objects();
    let id = target.id.map(|id| id.to_string());
    let document = received.pdf.as_ref().map(|pdf| pdf.sha256.as_str());
    let mut parts = json!([target.operation, id, target.entidad.as_str(), members, &received.file_name, document]);
    if let Value::Array(parts) = &mut parts {
        // What brings no annexes is told apart as ever.
        parts.extend(received.annexes.iter().map(|annex| json!([annex.nth, &annex.file_name, annex.file.sha256])));
    }
    let text = parts.to_string();
    let huella = Sha256::from_digest(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    Idempotency { key, huella }
}
