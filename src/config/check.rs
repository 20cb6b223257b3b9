//! What types cannot say: values that are well formed and still make no sense, alone or together.

use std::time::Duration;

use super::{Config, Secret, Size, StoreKind, bridge, pide, tables, tls, webhook};
use crate::domain::{
    EmisionCargo, Ruc,
    respuestas::{REGLAS_MAX, Regla, ReglaInvalida},
    validation::largo,
};

/// Path of the key and what is wrong with it.
type Found = (String, String);

pub fn check(config: &Config) -> Vec<Found> {
    let mut found = Vec::new();
    entities(config, &mut found);
    listeners(config, &mut found);
    urls(config, &mut found);
    limits(config, &mut found);
    signing(config, &mut found);
    trust(config, &mut found);
    retry(config, &mut found);
    retention(config, &mut found);
    rules(config, &mut found);
    pide::check(config, &mut found);
    tls::check(config, &mut found);
    webhook::check(config, &mut found);
    bridge::check(config, &mut found);
    tables::check(config, &mut found);
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&config.log.level) {
        found.push(("log.level".into(), format!("«{}» no es un nivel ni un filtro: {error}", config.log.level)));
    }
    found
}

fn entities(config: &Config, found: &mut Vec<Found>) {
    if config.entity.is_empty() {
        let what = "falta al menos una entidad: [[entity]] con su ruc y su name";
        found.push(("entity".into(), what.into()));
    }
    for (n, entity) in config.entity.iter().enumerate() {
        if let Err(error) = Ruc::parse(&entity.ruc, config.environment) {
            found.push((format!("entity.{n}.ruc"), error.to_string()));
        }
        let repeated = config.entity.iter().take(n).any(|other| other.ruc.trim() == entity.ruc.trim());
        if repeated && !entity.ruc.trim().is_empty() {
            found.push((format!("entity.{n}.ruc"), format!("el RUC {} está dos veces", entity.ruc.trim())));
        }
        let length = entity.name.trim().chars().count();
        if length == 0 {
            found.push((format!("entity.{n}.name"), "falta el nombre de la entidad".into()));
        } else if length > largo::NOMBRE_ENTIDAD {
            let what = format!("el nombre tiene {length} caracteres; el máximo es {}", largo::NOMBRE_ENTIDAD);
            found.push((format!("entity.{n}.name"), what));
        }
    }
}

fn listeners(config: &Config, found: &mut Vec<Found>) {
    let (soap, api) = (config.listen.soap, config.listen.api);
    // Port 0 is a free port each time, so two of them never meet.
    if soap == api && soap.port() != 0 {
        found.push(("listen.api".into(), format!("listen.soap y listen.api no pueden ser la misma dirección: {api}")));
    }
    if config.store.kind == StoreKind::Postgres {
        let url = config.store.url.as_ref().map_or("", Secret::reveal);
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            let what = "falta la dirección de la base de datos: postgres://usuario:clave@servidor/base, o url_file con su archivo";
            found.push(("store.url".into(), what.into()));
        }
        if !(CONNECTIONS_MIN..=CONNECTIONS_MAX).contains(&config.store.connections) {
            found.push(("store.connections".into(), format!("debe estar entre {CONNECTIONS_MIN} y {CONNECTIONS_MAX}")));
        }
    }
}

fn urls(config: &Config, found: &mut Vec<Found>) {
    let pide = &config.pide;
    let given = [
        ("listen.soap_public_url", &config.listen.soap_public_url),
        ("pide.tramite_url", &pide.tramite_url),
        ("pide.entidad_url", &pide.entidad_url),
        ("pide.cuo_url", &pide.cuo_url),
        ("pide.ip_url", &pide.ip_url),
        ("tsa.url", &config.tsa.url),
    ];
    for (path, url) in given {
        let Some(url) = url else { continue };
        let parsed = url.parse::<http::Uri>().ok();
        let http = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        if !parsed.as_ref().is_some_and(http) {
            found.push((path.into(), format!("«{url}» no es una dirección http:// o https://")));
        } else if path.starts_with("listen.") && parsed.as_ref().is_some_and(|uri| uri.path().len() > 1) {
            found.push((path.into(), format!("«{url}» debe ser solo protocolo y servidor, sin ruta")));
        }
    }
}

fn signing(config: &Config, found: &mut Vec<Found>) {
    for (n, entity) in config.entity.iter().enumerate() {
        match (&entity.identity, entity.cargo) {
            (None, Some(mode @ (EmisionCargo::Generado | EmisionCargo::Sellado))) => {
                let word = if mode == EmisionCargo::Generado { "generate" } else { "stamp" };
                let what = format!("con cargo = \"{word}\" hace falta una identidad que lo firme: identity.file");
                found.push((format!("entity.{n}.cargo"), what));
            }
            (Some(identity), _) if identity.file.as_os_str().is_empty() => {
                let what = "falta el archivo de la identidad: identity.file";
                found.push((format!("entity.{n}.identity"), what.into()));
            }
            _ => {}
        }
    }
    if let Some(policy) = &config.tsa.policy
        && policy.parse::<der::asn1::ObjectIdentifier>().is_err()
    {
        let what = format!("«{policy}» no es un identificador de objeto: se escribe como 1.2.3.4");
        found.push(("tsa.policy".into(), what));
    }
    if config.tsa.timeout.is_zero() {
        found.push(("tsa.timeout".into(), "debe ser mayor que cero".into()));
    }
}

/// Connections to the database of the store.
const CONNECTIONS_MIN: u32 = 4;
const CONNECTIONS_MAX: u32 = 200;

/// A list fetched more often than this is only a burden on who publishes it.
const LIST_REFRESH_MIN: Duration = Duration::from_secs(60);
/// The platform waits while a document is examined, and others wait for a place.
const REVOCATION_BUDGET_MAX: Duration = Duration::from_secs(30);

fn trust(config: &Config, found: &mut Vec<Found>) {
    let trust = &config.trust;
    for (n, source) in trust.lists.iter().enumerate().filter(|(_, source)| source.contains("://")) {
        let uri = source.parse::<http::Uri>().ok();
        let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
        let here = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let fits = match uri.as_ref().and_then(|uri| uri.scheme_str()) {
            Some("https") => !host.is_empty(),
            Some("http") => here,
            _ => false,
        };
        if !fits {
            found.push((format!("trust.lists.{n}"), format!("«{source}» no es un archivo ni una dirección https://")));
        }
    }
    if !trust.lists.is_empty() && trust.list_signers.is_empty() {
        let what = "faltan los certificados que pueden firmar las listas: sin ellos no se cree en ninguna";
        found.push(("trust.list_signers".into(), what.into()));
    }
    let budget = trust.revocation_budget;
    if budget.is_zero() || budget > REVOCATION_BUDGET_MAX {
        found.push(("trust.revocation_budget".into(), "debe ser mayor que cero y de 30 s a lo más".into()));
    }
    if trust.list_refresh < LIST_REFRESH_MIN {
        found.push(("trust.list_refresh".into(), "debe ser de un minuto al menos".into()));
    }
}

/// A directory fetched more often than this is only a burden on the platform.
const DIRECTORY_AGE_MIN: Duration = Duration::from_secs(60);

fn limits(config: &Config, found: &mut Vec<Found>) {
    let limits = &config.limits;
    let mut at_least = |name: &str, value: Size, min: Size, why: &str| {
        if value < min {
            found.push((format!("limits.{name}"), format!("{value} es muy poco: {why}, al menos {min}")));
        }
    };
    at_least("document_max", limits.document_max, Size::kib(64), "un PDF firmado no cabe");
    at_least("json_max", limits.json_max, Size::kib(16), "los datos de un despacho no caben");
    at_least("header_bytes_max", limits.header_bytes_max, Size::kib(8), "las cabeceras corrientes no caben");
    let wire = limits.envelope_max();
    at_least("bytes_in_flight_max", limits.bytes_in_flight_max, wire, "el documento más grande permitido no pasaría");
    let mut positive = |name: &str, value: u128| {
        if value == 0 {
            found.push((name.to_owned(), "debe ser mayor que cero".into()));
        }
    };
    positive("limits.connections_max", limits.connections_max.into());
    positive("limits.connections_per_peer_max", limits.connections_per_peer_max.into());
    positive("limits.requests_max", limits.requests_max.into());
    positive("limits.requests_per_peer_max", limits.requests_per_peer_max.into());
    positive("limits.gzip_ratio_max", limits.gzip_ratio_max.into());
    positive("limits.key_rate", limits.key_rate.into());
    positive("limits.key_burst", limits.key_burst.into());
    positive("limits.headers_max", limits.headers_max.into());
    positive("limits.header_timeout", limits.header_timeout.as_millis());
    positive("limits.body_idle_timeout", limits.body_idle_timeout.as_millis());
    positive("limits.body_total_timeout", limits.body_total_timeout.as_millis());
    positive("limits.response_idle_timeout", limits.response_idle_timeout.as_millis());
    positive("anexos.expire_after", config.anexos.expire_after.as_millis());
    positive("anexos.fetch_timeout", config.anexos.fetch_timeout.as_millis());
    positive("pide.connect_timeout", config.pide.connect_timeout.as_millis());
    positive("pide.total_timeout", config.pide.total_timeout.as_millis());
    if config.pide.directory_age < DIRECTORY_AGE_MIN {
        found.push(("pide.directory_age".into(), "debe ser de un minuto al menos".into()));
    }
}

fn retry(config: &Config, found: &mut Vec<Found>) {
    let retry = &config.retry;
    if !(1.0..=100.0).contains(&retry.factor) {
        found.push(("retry.factor".into(), format!("{} debe estar entre 1 y 100", retry.factor)));
    }
    if retry.first_delay.is_zero() {
        found.push(("retry.first_delay".into(), "debe ser mayor que cero".into()));
    }
    if retry.delay_max < retry.first_delay {
        found.push(("retry.delay_max".into(), "no puede ser menor que retry.first_delay".into()));
    }
    if retry.dead_after < retry.delay_max {
        found.push(("retry.dead_after".into(), "no puede ser menor que retry.delay_max".into()));
    }
    if retry.breaker_pause.is_zero() || retry.breaker_pause_max < retry.breaker_pause {
        let what = "debe ser mayor que cero y no pasar de retry.breaker_pause_max";
        found.push(("retry.breaker_pause".into(), what.into()));
    }
    if retry.ask_cargo.is_empty() || retry.ask_cargo.iter().any(|wait| wait.is_zero()) {
        found.push(("retry.ask_cargo".into(), "debe tener al menos una espera, y ninguna de cero".into()));
    }
    let counts = [
        ("workers", retry.workers),
        ("workers_per_destination", retry.workers_per_destination),
        ("breaker_failures", retry.breaker_failures),
    ];
    for (name, _) in counts.into_iter().filter(|(_, n)| *n == 0) {
        found.push((format!("retry.{name}"), "debe ser mayor que cero".into()));
    }
}

/// What is kept for less was a slip of the pen, which nothing undoes; tests have less time.
const KEPT_MIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 1 } else { 30 * 24 * 3600 });
const PURGE_EVERY_MIN: Duration = Duration::from_secs(if cfg!(debug_assertions) { 1 } else { 60 });

const BACKUP_EVERY_MIN: Duration = Duration::from_secs(300);

fn retention(config: &Config, found: &mut Vec<Found>) {
    let retention = &config.retention;
    for (name, kept) in [("despachos", retention.despachos), ("recepciones", retention.recepciones)] {
        if kept.is_some_and(|kept| kept < KEPT_MIN) {
            let what = "debe ser de 30 días al menos: lo que se purga no se recupera";
            found.push((format!("retention.{name}"), what.into()));
        }
    }
    if config.backup.every < BACKUP_EVERY_MIN {
        found.push(("backup.every".into(), "debe ser de cinco minutos al menos".into()));
    }
    if config.backup.keep == 0 {
        found.push(("backup.keep".into(), "debe ser mayor que cero".into()));
    }
    if config.backup.to.is_some() && config.store.kind == StoreKind::Postgres {
        let what =
            "las copias son del almacén \"embedded\"; con PostgreSQL las hace la base de datos (pg_dump o su réplica)";
        found.push(("backup.to".into(), what.into()));
    }
    let inside = config.backup.to.as_ref().is_some_and(|to| to.starts_with(&config.data_dir));
    if inside {
        found.push(("backup.to".into(), "no puede estar dentro de data_dir: se copiaría a sí misma".into()));
    }
    if retention.every < PURGE_EVERY_MIN {
        found.push(("retention.every".into(), "debe ser de un minuto al menos".into()));
    }
}

fn rules(config: &Config, found: &mut Vec<Found>) {
    let mut rules: Vec<Regla> = Vec::new();
    if config.respuesta.len() > REGLAS_MAX {
        let what = format!("son {} reglas; el máximo es {REGLAS_MAX}", config.respuesta.len());
        found.push(("respuesta".into(), what));
        return;
    }
    for (n, super::Respuesta { texto, operacion, falla }) in config.respuesta.iter().enumerate() {
        use ReglaInvalida as I;
        let rule = match Regla::nueva(texto, *operacion, *falla) {
            Ok(rule) => rule,
            Err(error) => {
                let key = if matches!(error, I::SinFalla | I::SoloDeCargo) { "falla" } else { "texto" };
                found.push((format!("respuesta.{n}.{key}"), error.to_string()));
                continue;
            }
        };
        if rules.iter().any(|earlier| earlier.repite(&rule)) {
            found.push((format!("respuesta.{n}.texto"), "ya hay una regla para ese texto y esa operación".into()));
        }
        rules.push(rule);
    }
}
