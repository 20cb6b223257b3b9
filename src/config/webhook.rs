//! Webhooks, as written in `[[webhook]]`, their keys, and what is wrong with them.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Config, Secret,
    unit::{duration, durations},
};
use crate::domain::Ruc;

/// The types of events a webhook is told, as INTERFACES names them.
pub const EVENTS: [&str; 8] = [
    "recepcion.recibida",
    "recepcion.cargo_enviado",
    "despacho.enviado",
    "despacho.recepcionado",
    "despacho.observado",
    "despacho.fallido",
    "certificado.por_vencer",
    "alerta",
];

/// Webhooks of one daemon.
const WEBHOOKS_MAX: usize = 32;
/// Longest name, in characters.
const NAME_MAX: usize = 64;
/// Waits between attempts.
const RETRIES_MAX: usize = 32;
/// An answer that takes longer is none: whoever needs it should answer first and work afterwards.
pub(super) const TIMEOUT_MAX: Duration = Duration::from_secs(120);
const CONCURRENCY_MAX: u32 = 64;

/// What a secret begins with (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a key (Standard Webhooks).
const KEY_BYTES: RangeInclusive<usize> = 24..=64;
/// Keys that sign at once.
const KEYS_MAX: usize = 4;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Under it its place in the feed is kept: another name begins anew.
    pub name: String,
    pub url: String,
    /// One or more, apart by spaces or lines; each signs.
    pub secret: Option<Secret>,
    /// The only one it is told of; else of all.
    pub entity: Option<String>,
    /// What it is told.
    pub events: Vec<String>,
    /// Whether it may stand in a private network, and be reached without TLS.
    pub allow_private: bool,
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Exchanges told of at once.
    pub concurrency: u32,
    /// The wait before each further attempt; after the last one an event is given up.
    #[serde(with = "durations")]
    pub retry: Vec<Duration>,
    /// Failures in a row, of two exchanges at least, after which it is left alone.
    pub pause_failures: u32,
    #[serde(with = "duration")]
    pub pause: Duration,
    #[serde(with = "duration")]
    pub pause_max: Duration,
}

impl Default for Webhook {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let hours = |n: u64| minutes(60 * n);
        Self {
            name: String::new(),
            url: String::new(),
            secret: None,
            entity: None,
            events: EVENTS.map(str::to_owned).into(),
            allow_private: false,
            timeout: Duration::from_secs(15),
            concurrency: 4,
            // Three days in all.
            retry: vec![
                Duration::from_secs(5),
                minutes(5),
                minutes(30),
                hours(2),
                hours(5),
                hours(10),
                hours(14),
                hours(20),
                hours(20),
            ],
            pause_failures: 5,
            pause: minutes(1),
            pause_max: hours(1),
        }
    }
}

/// The keys in a text of secrets: `whsec_` and base64 of 24 to 64 bytes each. Says what is wrong without repeating them.
pub fn keys(secrets: &str) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
    let read = |text: &str| {
        let base64 = text.strip_prefix(SECRET_PREFIX)?.trim_end_matches('=');
        let key = base64_simd::STANDARD_NO_PAD.decode_to_vec(base64).ok().map(Zeroizing::new)?;
        KEY_BYTES.contains(&key.len()).then_some(key)
    };
    let keys: Option<Vec<_>> = secrets.split_whitespace().map(read).collect();
    let keys = keys.ok_or_else(|| {
        let (min, max) = KEY_BYTES.into_inner();
        format!("cada secreto se escribe «{SECRET_PREFIX}» y el base64 de {min} a {max} bytes al azar: echo \"{SECRET_PREFIX}$(openssl rand -base64 32)\"")
    })?;
    match keys.len() {
        0 => Err("falta el secreto con que se firma: secret, o secret_file con su archivo".into()),
        1..=KEYS_MAX => Ok(keys),
        n => Err(format!("son {n} secretos; el máximo es {KEYS_MAX}: el nuevo y los que aún se aceptan")),
    }
}

/// Adds what is wrong: the path of the key and why.
pub fn check(config: &Config, found: &mut Vec<(String, String)>) {
    if config.webhook.len() > WEBHOOKS_MAX {
        found.push(("webhook".into(), format!("son {}; el máximo es {WEBHOOKS_MAX}", config.webhook.len())));
    }
    for (n, webhook) in config.webhook.iter().enumerate() {
        let wrong = one(config, n, webhook).into_iter().chain(times(webhook));
        found.extend(wrong.map(|(key, what)| (format!("webhook.{n}.{key}"), what)));
    }
}

fn one(config: &Config, n: usize, webhook: &Webhook) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let name = webhook.name.as_str();
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
        let what = format!("«{name}» no sirve: de 1 a {NAME_MAX} letras minúsculas sin tilde, cifras, «-» y «_»");
        found.push(("name", what));
    } else if config.webhook.iter().take(n).any(|other| other.name == name) {
        found.push(("name", format!("ya hay un webhook «{name}»")));
    }
    if name.starts_with(BRIDGE_PREFIX) {
        found.push(("name", format!("«{BRIDGE_PREFIX}…» es de los avisos de [[bridge]]")));
    }
    if let Err(what) = address(&webhook.url, webhook.allow_private) {
        found.push(("url", what));
    }
    if let Err(what) = keys(webhook.secret.as_ref().map_or("", Secret::reveal)) {
        found.push(("secret", what));
    }
    if let Some(entity) = &webhook.entity {
        let ours = Ruc::parse(entity, config.environment).ok();
        if !ours.is_some_and(|ruc| config.entities().iter().any(|own| own.ruc == ruc)) {
            found.push(("entity", format!("«{entity}» no es el RUC de ninguna [[entity]]")));
        }
    }
    match webhook.events.iter().find(|event| !EVENTS.contains(&event.as_str())) {
        Some(event) => {
            let nearest = super::nearest(event, EVENTS.into_iter()).unwrap_or_default();
            found.push(("events", format!("«{event}» no es un suceso; ¿quiso decir «{nearest}»?")));
        }
        None if webhook.events.is_empty() => found.push(("events", "debe nombrar al menos un suceso".into())),
        None => {}
    }
    found
}

/// What the names of webhooks that a `[[bridge]]` brings begin with.
pub const BRIDGE_PREFIX: &str = "puente-";

pub(super) fn address(url: &str, allow_private: bool) -> Result<(), String> {
    let uri = url.parse::<http::Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    let authority = uri.as_ref().and_then(|uri| uri.authority());
    if authority.is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("no puede llevar usuario ni contraseña: lo que se envía va firmado".into());
    }
    match uri.as_ref().and_then(|uri| uri.scheme_str()) {
        Some("https") => Ok(()),
        Some("http") if allow_private => Ok(()),
        Some("http") => {
            Err(format!("«{url}» va sin cifrar: use https://, o allow_private = true si está en la red de la entidad"))
        }
        _ => Err(format!("«{url}» no es una dirección https://")),
    }
}

fn times(webhook: &Webhook) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if webhook.timeout.is_zero() || webhook.timeout > TIMEOUT_MAX {
        found.push(("timeout", format!("debe ser mayor que cero y de {} s a lo más", TIMEOUT_MAX.as_secs())));
    }
    if !(1..=CONCURRENCY_MAX).contains(&webhook.concurrency) {
        found.push(("concurrency", format!("debe estar entre 1 y {CONCURRENCY_MAX}")));
    }
    if webhook.retry.is_empty() || webhook.retry.len() > RETRIES_MAX || webhook.retry.iter().any(Duration::is_zero) {
        found.push(("retry", format!("debe tener de 1 a {RETRIES_MAX} esperas, y ninguna de cero")));
    }
    if webhook.pause_failures == 0 {
        found.push(("pause_failures", "debe ser mayor que cero".into()));
    }
    if webhook.pause.is_zero() || webhook.pause_max < webhook.pause {
        found.push(("pause", "debe ser mayor que cero y no pasar de pause_max".into()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(more: &str) -> Result<Config, String> {
        let entity = "[[entity]]\nruc = \"20168999926\"\nname = \"PCM\"\n";
        let text = format!("{entity}[[webhook]]\nname = \"sgd\"\nurl = \"https://sgd.pe/x\"\n{more}");
        parse("c.toml", &text, &[], &|_| Ok(format!("{SECRET}\n"))).map(|l| l.config).map_err(|e| e.to_string())
    }

    #[test]
    fn a_webhook_needs_a_name_an_address_and_a_secret_which_may_be_in_a_file() {
        let config = read("secret_file = \"/run/secreto\"").unwrap();
        assert_eq!(config.webhook[0].secret.as_ref().map(Secret::reveal), Some(SECRET));
        let three_days = config.webhook[0].retry.iter().sum::<Duration>().as_secs() / 3600;
        assert_eq!(three_days, 71);
        assert!(read("").unwrap_err().contains("falta el secreto"));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line_and_never_shows_the_secret() {
        let secret = format!("secret = \"{SECRET}\"\n");
        for (more, said) in [
            ("secret = \"whsec_bXV5IGNvcnRv\"".to_owned(), "de 24 a 64 bytes"),
            ("secret = \"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"".to_owned(), "cada secreto se escribe"),
            (format!("{secret}events = [\"recepcion.recivida\"]"), "¿quiso decir «recepcion.recibida»?"),
            (format!("{secret}entity = \"20131312955\""), "no es el RUC de ninguna"),
            (format!("{secret}retry = []"), "de 1 a 32 esperas"),
            (format!("{secret}pause = \"2h\""), "no pasar de pause_max"),
            (format!("{secret}timeout = \"10min\""), "120 s a lo más"),
        ] {
            let error = read(&more).unwrap_err();
            assert!(error.contains(said) && error.starts_with("c.toml:"), "{more}: {error}");
            assert!(!error.contains("bXV5IGNvcnRv") && !error.contains("MfKQ9r8"), "{error}");
        }
    }

    #[test]
    fn addresses_are_https_unless_the_network_is_ours_and_carry_no_password() {
        let judged = |url: &str, allow_private| address(url, allow_private).is_ok();
        assert!(judged("https://sgd.entidad.gob.pe/x", false) && judged("http://10.0.0.7/x", true));
        assert!(!judged("http://sgd.entidad.gob.pe/x", false) && !judged("https://a:b@sgd.pe/x", true));
        assert!(!judged("ftp://sgd.pe/x", true) && !judged("", true) && !judged("/x", true));
    }

    #[test]
    fn several_secrets_are_read_for_a_change_of_keys() {
        assert_eq!(keys(&format!("{SECRET}\n{SECRET} {SECRET}")).unwrap().len(), 3);
        assert!(keys(&[SECRET; 5].join(" ")).unwrap_err().contains("máximo es 4"));
    }
}
