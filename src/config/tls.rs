//! TLS on the listeners, as written in `[tls]`, and what is wrong with it. Files are only named here; `http::tls` reads them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Config, unit};

/// Certificates that open the API by themselves.
const IDENTITIES_MAX: usize = 256;
/// Hexadecimal digits of a SHA-256.
const FINGERPRINT_DIGITS: usize = 64;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    pub soap: ListenerTls,
    pub api: ListenerTls,
    /// Whose certificate opens the API as a key does.
    pub identity: Vec<TlsIdentity>,
}

/// Of one listener; without a certificate it speaks plain HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenerTls {
    /// Its own certificate and those above it, PEM.
    pub certificate: Option<PathBuf>,
    /// PEM, without a password.
    pub key: Option<PathBuf>,
    #[serde(deserialize_with = "unit::tls_version")]
    pub min_version: TlsVersion,
    #[serde(deserialize_with = "unit::client_certificate")]
    pub client: ClientCertificate,
    /// Who may have issued the callers' certificates, PEM.
    pub client_ca: Vec<PathBuf>,
    /// Subjects and issuers that are let in, each as in `CN=pide.gob.pe, O=PCM`; empty: any.
    pub client_subjects: Vec<String>,
    pub client_issuers: Vec<String>,
}

impl Default for ListenerTls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            min_version: TlsVersion::Tls12,
            client: ClientCertificate::None,
            client_ca: Vec::new(),
            client_subjects: Vec::new(),
            client_issuers: Vec::new(),
        }
    }
}

impl ListenerTls {
    pub fn enabled(&self) -> bool {
        self.certificate.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

/// Whether callers show a certificate of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    None,
    Optional,
    Required,
}

/// A certificate, by subject or by fingerprint, and the API key whose holder its owner is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsIdentity {
    pub subject: Option<String>,
    /// SHA-256 of the certificate, hexadecimal; colons may stand in it.
    pub fingerprint: Option<String>,
    /// The id that `api-key list` shows.
    pub api_key: String,
}

impl TlsIdentity {
    /// The fingerprint as lower-case digits alone.
    pub fn digits(&self) -> Option<String> {
        let text = self.fingerprint.as_deref()?;
        Some(text.chars().filter(|c| !matches!(c, ':' | ' ')).map(|c| c.to_ascii_lowercase()).collect())
    }
}

/// Attributes that a certificate's name must have, all of them, as in `CN=pide.gob.pe, O=PCM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(pub Vec<(String, String)>);

impl NamePattern {
    /// A comma within a value is written `\,`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = vec![String::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match (c, parts.last_mut()) {
                ('\\', Some(part)) => part.push(chars.next()?),
                (',', _) => parts.push(String::new()),
                (c, Some(part)) => part.push(c),
                (_, None) => return None,
            }
        }
        let pair = |part: &String| {
            let (name, value) = part.split_once('=')?;
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            (!name.is_empty() && !value.is_empty()).then_some((name, value))
        };
        parts.iter().map(pair).collect::<Option<Vec<_>>>().map(Self)
    }
}

pub fn check(config: &Config, found: &mut Vec<(String, String)>) {
    for (name, tls) in [("soap", &config.tls.soap), ("api", &config.tls.api)] {
        listener(name, tls, found);
    }
    let identities = &config.tls.identity;
    if identities.len() > IDENTITIES_MAX {
        found.push(("tls.identity".into(), format!("son {}; el máximo es {IDENTITIES_MAX}", identities.len())));
    }
    if !identities.is_empty() && config.tls.api.client == ClientCertificate::None {
        let what = "nadie mostraría su certificado: falta client = \"optional\" o \"required\" en [tls.api]";
        found.push(("tls.identity".into(), what.into()));
    }
    for (n, identity) in identities.iter().enumerate() {
        self::identity(&format!("tls.identity.{n}"), identity, found);
    }
}

fn listener(name: &str, tls: &ListenerTls, found: &mut Vec<(String, String)>) {
    let path = |key: &str| format!("tls.{name}.{key}");
    if tls.certificate.is_some() && tls.key.is_none() {
        found.push((path("certificate"), "falta la clave del certificado: key".into()));
    }
    if tls.key.is_some() && tls.certificate.is_none() {
        found.push((path("key"), "falta el certificado de la clave: certificate".into()));
    }
    if tls.client == ClientCertificate::None {
        let set = !(tls.client_ca.is_empty() && tls.client_subjects.is_empty() && tls.client_issuers.is_empty());
        if set {
            let what = "no se piden certificados a quien llama: falta client = \"optional\" o \"required\"";
            found.push((path("client_ca"), what.into()));
        }
    } else if !tls.enabled() {
        found.push((path("client"), "sin TLS nadie muestra un certificado: faltan certificate y key".into()));
    } else if tls.client_ca.is_empty() {
        let what = "falta quién emite los certificados que se admiten: client_ca";
        found.push((path("client"), what.into()));
    }
    for (key, names) in [("client_subjects", &tls.client_subjects), ("client_issuers", &tls.client_issuers)] {
        for name in names.iter().filter(|name| NamePattern::parse(name).is_none()) {
            found.push((path(key), not_a_name(name)));
        }
    }
}

fn identity(path: &str, identity: &TlsIdentity, found: &mut Vec<(String, String)>) {
    match (&identity.subject, identity.digits()) {
        (None, None) => {
            found.push((path.into(), "falta de qué certificado se trata: subject o fingerprint".into()));
        }
        (Some(name), _) if NamePattern::parse(name).is_none() => {
            found.push((format!("{path}.subject"), not_a_name(name)));
        }
        (_, Some(digits)) if digits.len() != FINGERPRINT_DIGITS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let what = "no es un SHA-256: openssl x509 -in CERTIFICADO -noout -fingerprint -sha256 lo muestra";
            found.push((format!("{path}.fingerprint"), what.into()));
        }
        _ => {}
    }
    if Uuid::parse_str(&identity.api_key).is_err() {
        let what = format!("«{}» no es el id de una clave: «chasqui api-key list» los muestra", identity.api_key);
        found.push((format!("{path}.api_key"), what));
    }
}

fn not_a_name(name: &str) -> String {
    format!("«{name}» no se entiende: se escribe como \"CN=pide.gob.pe, O=PCM\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const ENTITY: &str = "[[entity]]\nruc = \"20168999926\"\nname = \"PCM\"\n";

    #[test]
    fn names_are_read_with_their_attributes_and_escaped_commas() {
        let read = |text: &str| NamePattern::parse(text).map(|p| p.0);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(read("CN=pide.gob.pe, O = PCM"), Some(vec![pair("CN", "pide.gob.pe"), pair("O", "PCM")]));
        assert_eq!(read(r"O=Perú\, Estado"), Some(vec![pair("O", "Perú, Estado")]));
        for text in ["", "pide", "CN=", "=x", "CN=a,", "CN=a\\"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_told_where_it_was_written() {
        for (text, expected) in [
            ("[tls.api]\ncertificate = \"a.pem\"", "chasqui.toml:5: falta la clave del certificado"),
            ("[tls.soap]\nkey = \"a.key\"", "chasqui.toml:5: falta el certificado de la clave"),
            ("[tls.api]\nclient = \"required\"", "chasqui.toml:5: sin TLS nadie muestra"),
            ("[tls.api]\nclient_ca = [\"a\"]", "chasqui.toml:5: no se piden certificados"),
            ("[tls.api]\nclient = \"a\"", "chasqui.toml:5:10: «a» no es uno de: none, optional, required"),
            ("[[tls.identity]]\nsubject = \"CN=a\"\napi_key = \"x\"", "chasqui.toml:4: nadie mostraría su certificado"),
            ("[tls.soap]\nmin_version = \"1.1\"", "chasqui.toml:5:15: «1.1» no es uno de: 1.2, 1.3"),
        ] {
            let error = parse("chasqui.toml", &format!("{ENTITY}{text}"), &[], &|_| unreachable!()).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        let both = format!(
            "{ENTITY}[tls.api]\ncertificate = \"a\"\nkey = \"b\"\nclient = \"optional\"\nclient_ca = [\"c\"]\n\
             [[tls.identity]]\nfingerprint = \"AB:CD\"\napi_key = \"3\"\n"
        );
        let error = parse("chasqui.toml", &both, &[], &|_| unreachable!()).unwrap_err().to_string();
        assert!(
            error.contains("chasqui.toml:10: no es un SHA-256") && error.contains("chasqui.toml:11: «3»"),
            "{error}"
        );
    }
}
