//! `Idempotency-Key`: the same request under the same key is answered as the first time; another one is an error.

use http::HeaderMap;
use ring::digest;
use serde_json::{Map, Value};

use crate::{
    domain::{Ruc, Sha256},
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

/// The key with what tells this request from another: its members in any order, and its document.
pub fn of(key: String, entidad: &Ruc, members: &Map<String, Value>, document: Option<&Sha256>) -> Idempotency {
    let mut members = Value::Object(members.clone());
    members.sort_all_objects();
    let document = document.map_or("", Sha256::as_str);
    let text = format!("{entidad}\0{members}\0{document}");
    let huella = Sha256::from_digest(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    Idempotency { key, huella }
}
