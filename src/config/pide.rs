//! How the platform is reached, as written in `[pide]`, and what is wrong with it.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Config, Secret, unit};

/// What a pinned key is written after.
pub const PIN_PREFIX: &str = "sha256/";

/// The one transport there is.
const SOAP: &str = "soap";

/// Keys that are known at once: the one in use and those to come.
const PINS_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pide {
    pub tramite_url: Option<String>,
    pub entidad_url: Option<String>,
    pub cuo_url: Option<String>,
    /// Where the platform says which address it sees; only `check` asks.
    pub ip_url: Option<String>,
    #[serde(with = "unit::duration")]
    pub connect_timeout: Duration,
    #[serde(with = "unit::duration")]
    pub total_timeout: Duration,
    #[serde(with = "unit::duration")]
    pub directory_age: Duration,
    /// How the services are spoken to. Only `soap`: of the JSON twin the contract knows too little to send documents by it.
    pub transport: String,
    /// An HTTP proxy on the way (CONNECT for https).
    pub proxy: Option<String>,
    pub proxy_user: Option<String>,
    pub proxy_password: Option<Secret>,
    pub tls: PideTls,
}

/// TLS towards the platform.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PideTls {
    /// Authorities believed beside the system's, PEM.
    pub ca: Vec<PathBuf>,
    /// What we show, PEM.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// The only keys a server may have: `sha256/` and the base64 of the SHA-256 of its public key.
    pub pins: Vec<String>,
}

impl Default for Pide {
    fn default() -> Self {
        Self {
            tramite_url: None,
            entidad_url: None,
            cuo_url: None,
            ip_url: None,
            transport: SOAP.to_owned(),
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(120),
            directory_age: Duration::from_secs(24 * 3600),
            proxy: None,
            proxy_user: None,
            proxy_password: None,
            tls: PideTls::default(),
        }
    }
}

pub fn check(config: &Config, found: &mut Vec<(String, String)>) {
    let pide = &config.pide;
    if pide.transport != SOAP {
        let what = match pide.transport.as_str() {
            "rest" => "con el gemelo JSON no se envía: de él no se sabe en qué servidor está cada servicio ni cómo dice una falla, y un \
                       documento podría perderse o duplicarse. Escriba \"soap\", que es lo que usan los componentes en servicio"
                .to_owned(),
            other => format!("«{other}» no es una manera de hablar con la plataforma: escriba \"soap\""),
        };
        found.push(("pide.transport".into(), what));
    }
    if let Some(proxy) = &pide.proxy {
        let uri = proxy.parse::<http::Uri>().ok();
        let fits = uri.as_ref().is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        if !fits || proxy.contains('@') {
            let what = "debe ser http://SERVIDOR:PUERTO; el usuario y la contraseña van en proxy_user y proxy_password";
            found.push(("pide.proxy".into(), what.into()));
        }
    } else if pide.proxy_user.is_some() || pide.proxy_password.is_some() {
        found.push(("pide.proxy_user".into(), "falta el proxy al que se da: pide.proxy".into()));
    }
    let tls = &pide.tls;
    if tls.certificate.is_some() != tls.key.is_some() {
        found.push(("pide.tls".into(), "certificate y key van juntos".into()));
    }
    let digest = |pin: &String| {
        let decoded = base64_simd::STANDARD.decode_to_vec(pin.trim().strip_prefix(PIN_PREFIX)?).ok()?;
        (decoded.len() == 32).then_some(())
    };
    if tls.pins.len() > PINS_MAX || tls.pins.iter().any(|pin| digest(pin).is_none()) {
        let what = format!(
            "cada una se escribe «{PIN_PREFIX}» y el base64 del SHA-256 de la clave pública, y son {PINS_MAX} a lo más; docs/seguridad.md dice cómo se obtiene"
        );
        found.push(("pide.tls.pins".into(), what));
    }
}
