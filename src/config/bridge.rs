//! The bridge that an entity's SGD already speaks to, as written in `[[bridge]]`, and what is wrong with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Config, Secret, unit::duration, webhook};
use crate::domain::Ruc;

/// Shortest secret that tokens are signed with, in bytes (RFC 7518 §3.2).
const JWT_SECRET_MIN: usize = 32;
/// Shortest `userAccessApi`, in bytes.
const ACCESS_MIN: usize = 8;
/// A token that holds for longer is a password that nobody changes.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
const WAIT_MAX: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bridge {
    /// Whose SGD it is; may be missing where there is one entity.
    pub entity: Option<String>,
    /// What the SGD is let in with.
    pub user_access_api: Option<Secret>,
    /// With which the tokens are signed.
    pub jwt_secret: Option<Secret>,
    #[serde(with = "duration")]
    pub token_lifetime: Duration,
    /// How long a send waits for the platform before the SGD is answered.
    #[serde(with = "duration")]
    pub wait: Duration,
    /// Where the SGD is told of documents that arrive, and of cargos.
    pub reception_url: Option<String>,
    pub cargo_url: Option<String>,
    /// With which it is told (HTTP Basic).
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// Whether these may stand in a private network, and be reached without TLS.
    pub allow_private: bool,
    #[serde(with = "duration")]
    pub timeout: Duration,
}

impl Default for Bridge {
    fn default() -> Self {
        Self {
            entity: None,
            user_access_api: None,
            jwt_secret: None,
            token_lifetime: Duration::from_secs(6 * 3600),
            wait: Duration::from_secs(50),
            reception_url: None,
            cargo_url: None,
            user: None,
            password: None,
            allow_private: false,
            timeout: Duration::from_secs(30),
        }
    }
}

impl Bridge {
    /// The entity whose SGD it is.
    pub fn entity(&self, config: &Config) -> Option<Ruc> {
        let ours = config.entities();
        match &self.entity {
            Some(ruc) => Ruc::parse(ruc, config.environment).ok().filter(|ruc| ours.iter().any(|own| own.ruc == *ruc)),
            None => match ours.as_slice() {
                [only] => Some(only.ruc.clone()),
                _ => None,
            },
        }
    }
}

/// Adds what is wrong: the path of the key and why.
pub fn check(config: &Config, found: &mut Vec<(String, String)>) {
    for (n, bridge) in config.bridge.iter().enumerate() {
        let wrong = one(config, n, bridge).into_iter().chain(secrets(bridge)).chain(told(bridge));
        found.extend(wrong.map(|(key, what)| (format!("bridge.{n}.{key}"), what)));
    }
}

fn one(config: &Config, n: usize, bridge: &Bridge) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let entity = bridge.entity(config);
    let earlier = || config.bridge.iter().take(n);
    match (&entity, &bridge.entity) {
        (None, Some(written)) => found.push(("entity", format!("«{written}» no es el RUC de ninguna [[entity]]"))),
        (None, None) => found.push(("entity", "falta el RUC de la entidad: hay varias [[entity]]".into())),
        (Some(ruc), _) if earlier().any(|other| other.entity(config).as_ref() == Some(ruc)) => {
            found.push(("entity", format!("la entidad {ruc} ya tiene su [[bridge]]")));
        }
        _ => {}
    }
    let same = |other: &Bridge| other.user_access_api.is_some() && other.user_access_api == bridge.user_access_api;
    if earlier().any(same) {
        let what = "es el de otra [[bridge]]: por él se sabe de qué entidad es el SGD";
        found.push(("user_access_api", what.into()));
    }
    if bridge.token_lifetime.is_zero() || bridge.token_lifetime > LIFETIME_MAX {
        found.push(("token_lifetime", "debe ser mayor que cero y de 24 horas a lo más".into()));
    }
    if bridge.wait.is_zero() || bridge.wait > WAIT_MAX {
        found.push(("wait", format!("debe ser mayor que cero y de {} s a lo más", WAIT_MAX.as_secs())));
    }
    found
}

fn secrets(bridge: &Bridge) -> Vec<(&'static str, String)> {
    let length = |secret: &Option<Secret>| secret.as_ref().map_or(0, |secret| secret.reveal().len());
    let mut found = Vec::new();
    if length(&bridge.user_access_api) < ACCESS_MIN {
        let what = format!("falta, o tiene menos de {ACCESS_MIN} caracteres: es la llave con que entra el SGD");
        found.push(("user_access_api", what));
    }
    if length(&bridge.jwt_secret) < JWT_SECRET_MIN {
        let what = format!("falta, o tiene menos de {JWT_SECRET_MIN} caracteres: con él se firman los tokens");
        found.push(("jwt_secret", what));
    }
    found
}

fn told(bridge: &Bridge) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (key, url) in [("reception_url", &bridge.reception_url), ("cargo_url", &bridge.cargo_url)] {
        if let Some(url) = url
            && let Err(what) = webhook::address(url, bridge.allow_private)
        {
            found.push((key, what));
        }
    }
    if bridge.user.is_some() != bridge.password.is_some() {
        found.push(("user", "user y password van juntos".into()));
    }
    if bridge.user.as_deref().is_some_and(|user| user.contains(':') || user.contains(char::is_control)) {
        found.push(("user", "no puede llevar dos puntos".into()));
    }
    if bridge.timeout.is_zero() || bridge.timeout > webhook::TIMEOUT_MAX {
        let what = format!("debe ser mayor que cero y de {} s a lo más", webhook::TIMEOUT_MAX.as_secs());
        found.push(("timeout", what));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const SECRETS: &str = "user_access_api = \"user_access_api\"\njwt_secret = \"un_secreto_jwt_un_secreto_jwt_un\"\n";

    fn read(entities: &[&str], bridges: &[&str]) -> Result<Config, String> {
        let mut text = String::new();
        for ruc in entities {
            text += &format!("[[entity]]\nruc = \"{ruc}\"\nname = \"X\"\n");
        }
        for bridge in bridges {
            text += &format!("[[bridge]]\n{bridge}");
        }
        parse("c.toml", &text, &[], &|_| Ok("x".into())).map(|l| l.config).map_err(|e| e.to_string())
    }

    #[test]
    fn a_bridge_is_of_the_only_entity_or_of_the_one_it_names() {
        let config = read(&["20168999926"], &[SECRETS]).unwrap();
        assert_eq!(config.bridge[0].entity(&config).unwrap().as_str(), "20168999926");
        let two = ["20168999926", "20131312955"];
        assert!(read(&two, &[SECRETS]).unwrap_err().contains("falta el RUC de la entidad"));
        let named = format!("entity = \"20131312955\"\n{SECRETS}");
        let config = read(&two, &[&named]).unwrap();
        assert_eq!(config.bridge[0].entity(&config).unwrap().as_str(), "20131312955");
        let again = named.replace("user_access_api\"\n", "otra_llave\"\n");
        assert!(read(&two, &[&named, &again]).unwrap_err().contains("ya tiene su [[bridge]]"));
        let other = named.replace("20131312955", "20168999926");
        assert!(read(&two, &[&named, &other]).unwrap_err().contains("es el de otra [[bridge]]"));
        let stranger = named.replace("20131312955", "20537630222");
        assert!(read(&two, &[&stranger]).unwrap_err().contains("no es el RUC de ninguna"));
    }

    #[test]
    fn what_makes_no_sense_is_told_and_no_secret_shown() {
        for (more, said) in [
            ("user_access_api = \"corta\"\njwt_secret = \"un_secreto_jwt_un_secreto_jwt_un\"\n", "menos de 8"),
            ("user_access_api = \"user_access_api\"\njwt_secret = \"corto_secreto\"\n", "menos de 32"),
            (&format!("{SECRETS}reception_url = \"http://sgd.pe/x\"\n"), "va sin cifrar"),
            (&format!("{SECRETS}cargo_url = \"sgd.pe\"\n"), "no es una dirección"),
            (&format!("{SECRETS}user = \"u\"\n"), "van juntos"),
            (&format!("{SECRETS}wait = \"0s\"\n"), "mayor que cero"),
            (&format!("{SECRETS}token_lifetime = \"30days\"\n"), "24 horas"),
        ] {
            let error = read(&["20168999926"], &[more]).unwrap_err();
            assert!(error.contains(said), "{more}: {error}");
            assert!(!error.contains("corto_secreto") && !error.contains("un_secreto"), "{error}");
        }
    }
}
