//! Who may use the bridge: the secret that an SGD is let in with, and the tokens it is given for it (JWT, RFC 7519, HS256
//! alone). A token is of one entity and signed with that entity's secret. Everything is compared in constant time.

use std::time::Duration;

use jiff::Timestamp;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::domain::Ruc;

/// Longest token looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 2048;
const ALGORITHM: &str = "HS256";
/// What the existing bridge names in every token.
const SUBJECT: &str = "componente-proxy";

/// The way in of one entity.
pub struct Tokens {
    key: hmac::Key,
    /// Of what the SGD is let in with.
    access: hmac::Tag,
    entidad: Ruc,
    lifetime: Duration,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    /// Extensions that must be understood: we understand none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    /// The entity's RUC.
    aud: String,
    /// Seconds since 1970.
    iat: i64,
    exp: i64,
}

impl Tokens {
    pub fn new(entidad: Ruc, access: &str, secret: &str, lifetime: Duration) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let access = hmac::sign(&key, access.as_bytes());
        Self { key, access, entidad, lifetime }
    }

    pub fn entidad(&self) -> &Ruc {
        &self.entidad
    }

    /// Whether this is what the SGD is let in with.
    pub fn lets_in(&self, access: &str) -> bool {
        hmac::verify(&self.key, access.as_bytes(), self.access.as_ref()).is_ok()
    }

    pub fn issue(&self, now: Timestamp) -> Option<String> {
        let iat = now.as_second();
        let exp = iat.saturating_add(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX));
        let header = Header { alg: ALGORITHM.into(), typ: Some("JWT".into()), crit: None };
        let claims = Claims { sub: SUBJECT.into(), aud: self.entidad.to_string(), iat, exp };
        let signed = format!("{}.{}", encoded(&header)?, encoded(&claims)?);
        let signature = hmac::sign(&self.key, signed.as_bytes());
        Some(format!("{signed}.{}", base64_simd::URL_SAFE_NO_PAD.encode_to_string(signature.as_ref())))
    }

    /// Whether it is a token of this entity in force. Nothing of it is read before its signature holds, but its algorithm.
    pub fn accepts(&self, token: &str, now: Timestamp) -> bool {
        self.read(token).is_some_and(|claims| claims.aud == self.entidad.as_str() && claims.exp > now.as_second())
    }

    fn read(&self, token: &str) -> Option<Claims> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let stated: Header = serde_json::from_slice(&decoded(header)?).ok()?;
        if stated.alg != ALGORITHM || stated.crit.is_some() {
            return None;
        }
        hmac::verify(&self.key, signed.as_bytes(), &decoded(signature)?).ok()?;
        serde_json::from_slice(&decoded(claims)?).ok()
    }
}

fn encoded(value: &impl Serialize) -> Option<String> {
    Some(base64_simd::URL_SAFE_NO_PAD.encode_to_string(serde_json::to_vec(value).ok()?))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "un_secreto_jwt_un_secreto_jwt_un";

    fn tokens(ruc: &str, secret: &str) -> Tokens {
        Tokens::new(Ruc::de_contraparte(ruc).unwrap(), "user_access_api", secret, Duration::from_secs(3600))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn forged(header: &str, claims: &str, secret: &str) -> String {
        let encode = |bytes: &[u8]| base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes()).as_ref()))
    }

    #[test]
    fn a_token_holds_for_its_entity_and_its_time_and_no_longer() {
        let ours = tokens("20168999926", SECRET);
        let token = ours.issue(at(0)).unwrap();
        assert!(ours.accepts(&token, at(0)) && ours.accepts(&token, at(3599)));
        assert!(!ours.accepts(&token, at(3600)));
        // Another entity's, also if somebody gave both the same secret.
        assert!(!tokens("20131312955", SECRET).accepts(&token, at(0)));
        assert!(!tokens("20168999926", "otro_secreto_jwt_otro_secreto_jw").accepts(&token, at(0)));
        assert!(ours.lets_in("user_access_api") && !ours.lets_in("user_access_ap") && !ours.lets_in(""));
    }

    #[test]
    fn a_token_of_any_library_is_accepted_and_no_other_algorithm_or_shape() {
        let ours = tokens("20168999926", SECRET);
        let claims = format!(r#"{{"sub":"x","aud":"20168999926","iat":0,"exp":{}}}"#, at(10).as_second());
        assert!(ours.accepts(&forged(r#"{"typ":"JWT","alg":"HS256"}"#, &claims, SECRET), at(0)));
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        ] {
            assert!(!ours.accepts(&forged(header, &claims, SECRET), at(0)), "{header}");
        }
        let good = forged(r#"{"alg":"HS256"}"#, &claims, SECRET);
        let (signed, _) = good.rsplit_once('.').unwrap();
        let long = format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX));
        for token in
            [signed, &format!("{signed}."), "", ".", "..", "a.b.c", &format!("{good}A"), &format!("x.{good}"), &long]
        {
            assert!(!ours.accepts(token, at(0)), "{token}");
        }
        for claims in [r#"{"aud":"20168999926","iat":0,"exp":0}"#, r#"{"sub":"x","aud":"20168999926","iat":0}"#, "[]"] {
            assert!(!ours.accepts(&forged(r#"{"alg":"HS256"}"#, claims, SECRET), at(0)), "{claims}");
        }
    }
}
