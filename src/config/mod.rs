//! Configuration: its types with their defaults, reading it from text and environment variables, and the checks on what
//! it says. Parses strings and values handed to it; only [`load`] touches files and the process's environment.
//!
//! `config.example.toml` is the documentation and the list of known keys; tests hold it to the types below. May use
//! `domain` and nothing else of ours.

mod bridge;
pub mod causes;
mod check;
mod effective;
mod error;
mod key;
mod load;
pub mod networks;
mod pide;
mod source;
mod tables;
pub mod tls;
pub mod unit;
pub mod webhook;
pub mod words;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

pub use bridge::Bridge;
pub use effective::{Setting, effective};
pub use error::{ConfigError, Problem};
pub use key::{SECRETS, known, nearest, paths};
pub use load::{EMBEDDED, load};
pub use networks::Networks;
pub use pide::{PIN_PREFIX, Pide, PideTls};
pub use source::{Loaded, Origin, parse};
pub use tables::Tables;
pub use tls::{ListenerTls, Tls};
pub use unit::{Secret, Size};
pub use webhook::Webhook;

use crate::domain::{
    Ambiente, EmisionCargo, EntidadPropia, Falla,
    calendario::Calendario,
    firmas::Exigencia,
    respuestas::{Operacion, Regla},
    validation::Rigor,
};

/// Every key with its default and a comment, in the words operators read.
pub const EXAMPLE: &str = include_str!("../../config.example.toml");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    #[serde(deserialize_with = "unit::ambiente")]
    pub environment: Ambiente,
    /// Relative to the working directory.
    pub data_dir: PathBuf,
    pub listen: Listen,
    pub tls: Tls,
    pub networks: Networks,
    pub store: Store,
    /// None by default in a file: an entity is never made up beside a real configuration.
    #[serde(default)]
    pub entity: Vec<Entity>,
    pub pide: Pide,
    /// What texts of other sides mean; [`Config::rules`] gives them checked.
    pub respuesta: Vec<Respuesta>,
    pub tsa: Tsa,
    pub reception: Reception,
    pub limits: Limits,
    pub retry: Retry,
    /// Where the entities' systems are told what happened.
    pub webhook: Vec<Webhook>,
    /// Whose SGD speaks as it does to the bridge that exists.
    pub bridge: Vec<Bridge>,
    /// Whose SGD reads and writes the tables of the reference component.
    pub tables: Vec<Tables>,
    pub anexos: Anexos,
    pub audit: Audit,
    pub backup: Backup,
    pub retention: Retention,
    pub trust: Trust,
    pub log: Log,
    pub simulator: Simulator,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// What the platform reaches.
    #[serde(deserialize_with = "unit::address")]
    pub soap: SocketAddr,
    /// Scheme and host under which the platform reaches it, if not those a caller used.
    pub soap_public_url: Option<String>,
    /// What the SGD and people reach.
    #[serde(deserialize_with = "unit::address")]
    pub api: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    #[serde(deserialize_with = "unit::store_kind")]
    pub kind: StoreKind,
    /// Where the database is, for [`StoreKind::Postgres`].
    pub url: Option<Secret>,
    /// Who vouches for the database's certificate, in PEM, beside the machine's anchors.
    pub ca_file: Option<PathBuf>,
    /// Most connections to it, besides one that listens.
    pub connections: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    Embedded,
    Postgres,
}

/// One of our own entities, as written; [`Config::entities`] gives it checked. What is missing is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entity {
    pub ruc: String,
    pub name: String,
    #[serde(deserialize_with = "unit::optional_time", serialize_with = "unit::write_optional_time")]
    pub reception_closes: Option<Time>,
    /// With which its cargos, and what it is told to, are signed.
    pub identity: Option<IdentityFile>,
    /// Else: `generate` with an identity, `given` without.
    #[serde(deserialize_with = "unit::cargo")]
    pub cargo: Option<EmisionCargo>,
    /// PNG or JPEG, for the cargos.
    pub logo: Option<PathBuf>,
    pub firmas: Firmas,
}

/// A key with its certificate, in a file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityFile {
    /// PKCS#12, or PEM with key and certificates.
    pub file: PathBuf,
    pub password: Option<Secret>,
}

/// The timestamp authority (RFC 3161); without `url` nothing is timestamped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tsa {
    pub url: Option<String>,
    /// The only policy accepted, as an object identifier.
    pub policy: Option<String>,
    #[serde(with = "unit::duration")]
    pub timeout: Duration,
}

/// What an entity demands of the signatures of what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Firmas {
    /// Of the documents it sends.
    #[serde(deserialize_with = "unit::exigencia")]
    pub salida: Exigencia,
    /// Of the cargos that its SGD gives.
    #[serde(deserialize_with = "unit::exigencia")]
    pub cargo: Exigencia,
}

/// Whose signatures are believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Files of certificates, PEM or DER.
    pub anchors: Vec<PathBuf>,
    /// Trusted lists (ETSI TS 119 612): files or addresses.
    pub lists: Vec<String>,
    /// Files of the certificates that may sign the lists, or that issue those that do.
    pub list_signers: Vec<PathBuf>,
    /// How often lists are fetched anew.
    #[serde(with = "unit::duration")]
    pub list_refresh: Duration,
    /// Whether OCSP services and CRLs are asked for what a document does not bring.
    pub fetch_revocation: bool,
    /// How long the examination of one document may wait for that.
    #[serde(with = "unit::duration")]
    pub revocation_budget: Duration,
    /// Whether they may stand in private networks.
    pub revocation_private: bool,
}

/// A rule on what a text of the other side means, as written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Respuesta {
    /// As «chasqui queue texts» shows it, or with `*` for any characters.
    pub texto: String,
    /// Else: of any operation.
    #[serde(deserialize_with = "unit::operacion")]
    pub operacion: Option<Operacion>,
    #[serde(deserialize_with = "unit::falla")]
    pub falla: Option<Falla>,
}

/// Where the platform's services are, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PideUrls {
    pub tramite: String,
    pub entidad: String,
    pub cuo: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reception {
    #[serde(deserialize_with = "unit::rigor")]
    pub validation: Rigor,
    #[serde(deserialize_with = "unit::time", serialize_with = "unit::write_time")]
    pub closes: Time,
    #[serde(deserialize_with = "unit::dates")]
    pub holidays: Vec<Date>,
    /// Business days, from the one of presentation, in which a received document is to be answered.
    pub term_days: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub document_max: Size,
    pub json_max: Size,
    pub bytes_in_flight_max: Size,
    pub connections_max: u32,
    pub connections_per_peer_max: u32,
    pub requests_max: u32,
    pub requests_per_peer_max: u32,
    pub gzip_ratio_max: u32,
    /// Requests of one API key a second, on average, and at once after a rest.
    pub key_rate: u32,
    pub key_burst: u32,
    pub headers_max: u32,
    pub header_bytes_max: Size,
    #[serde(with = "unit::duration")]
    pub header_timeout: Duration,
    #[serde(with = "unit::duration")]
    pub body_idle_timeout: Duration,
    #[serde(with = "unit::duration")]
    pub body_total_timeout: Duration,
    #[serde(with = "unit::duration")]
    pub response_idle_timeout: Duration,
    #[serde(with = "unit::duration")]
    pub drain_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    #[serde(with = "unit::duration")]
    pub first_delay: Duration,
    pub factor: f64,
    #[serde(with = "unit::duration")]
    pub delay_max: Duration,
    #[serde(with = "unit::duration")]
    pub ask_after: Duration,
    #[serde(with = "unit::durations")]
    pub ask_cargo: Vec<Duration>,
    #[serde(with = "unit::duration")]
    pub ask_cargo_for: Duration,
    #[serde(with = "unit::duration")]
    pub dead_after: Duration,
    pub workers: u32,
    pub workers_per_destination: u32,
    pub breaker_failures: u32,
    #[serde(with = "unit::duration")]
    pub breaker_pause: Duration,
    #[serde(with = "unit::duration")]
    pub breaker_pause_max: Duration,
    /// How long a counterpart, or the platform, may be down before an alert says so.
    #[serde(with = "unit::duration")]
    pub alert_after: Duration,
}

/// The annexes that are downloaded from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Anexos {
    /// How long after the document was sent.
    #[serde(with = "unit::duration")]
    pub expire_after: Duration,
    /// Whether they can be looked up by what only who has the document knows: CUO, RUC, number and date.
    pub lookup: bool,
    /// How long downloading one of a received document may take, and whether from a private network.
    #[serde(with = "unit::duration")]
    pub fetch_timeout: Duration,
    pub allow_private: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    #[serde(with = "unit::duration")]
    pub checkpoint_every: Duration,
    /// Where each new checkpoint is written as well.
    pub checkpoint_file: Option<PathBuf>,
}

/// Copies that the daemon takes by itself; without `to` it takes none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// A folder on another disk, best of another machine.
    pub to: Option<PathBuf>,
    #[serde(with = "unit::duration")]
    pub every: Duration,
    /// Copies kept; older ones go.
    pub keep: u32,
}

/// How long exchanges are kept after they ended. Without a time: for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    #[serde(with = "unit::optional_duration")]
    pub despachos: Option<Duration>,
    #[serde(with = "unit::optional_duration")]
    pub recepciones: Option<Duration>,
    /// How often the daemon looks for what to purge.
    #[serde(with = "unit::duration")]
    pub every: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level or a filter by module, as tracing-subscriber's `EnvFilter` reads it.
    pub level: String,
    #[serde(deserialize_with = "unit::log_format")]
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Human,
    Json,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Simulator {
    #[serde(deserialize_with = "unit::address")]
    pub listen: SocketAddr,
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl Default for Config {
    /// What holds without a configuration file: the simulation, with a test entity.
    fn default() -> Self {
        let name = "MUNICIPALIDAD DISTRITAL DE EJEMPLO".to_owned();
        Self {
            environment: Ambiente::Simulation,
            data_dir: "data".into(),
            listen: Listen::default(),
            tls: Tls::default(),
            networks: Networks::default(),
            store: Store::default(),
            entity: vec![Entity { ruc: "20900000015".into(), name, ..Entity::default() }],
            pide: Pide::default(),
            respuesta: Vec::new(),
            tsa: Tsa::default(),
            reception: Reception::default(),
            limits: Limits::default(),
            retry: Retry::default(),
            webhook: Vec::new(),
            bridge: Vec::new(),
            tables: Vec::new(),
            anexos: Anexos::default(),
            audit: Audit::default(),
            backup: Backup::default(),
            retention: Retention::default(),
            trust: Trust::default(),
            log: Log::default(),
            simulator: Simulator::default(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { soap: loopback(8080), soap_public_url: None, api: loopback(8081) }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { kind: StoreKind::Embedded, url: None, ca_file: None, connections: 16 }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            anchors: Vec::new(),
            lists: Vec::new(),
            list_signers: Vec::new(),
            list_refresh: Duration::from_secs(24 * 3600),
            fetch_revocation: false,
            revocation_budget: Duration::from_secs(5),
            revocation_private: false,
        }
    }
}

impl Default for Tsa {
    fn default() -> Self {
        Self { url: None, policy: None, timeout: Duration::from_secs(10) }
    }
}

impl Default for Reception {
    fn default() -> Self {
        Self { validation: Rigor::Lenient, closes: Time::constant(16, 30, 0, 0), holidays: Vec::new(), term_days: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_max: Size::mib(256),
            json_max: Size::kib(256),
            bytes_in_flight_max: Size::mib(2048),
            connections_max: 512,
            connections_per_peer_max: 256,
            requests_max: 256,
            requests_per_peer_max: 128,
            gzip_ratio_max: 100,
            key_rate: 500,
            key_burst: 2000,
            headers_max: 100,
            header_bytes_max: Size::kib(32),
            header_timeout: Duration::from_secs(20),
            body_idle_timeout: Duration::from_secs(30),
            body_total_timeout: Duration::from_secs(30 * 60),
            response_idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(10),
            factor: 2.0,
            delay_max: Duration::from_secs(30 * 60),
            ask_after: Duration::from_secs(30),
            ask_cargo: [1, 2, 4, 8, 24].map(|hours| Duration::from_secs(hours * 3600)).into(),
            ask_cargo_for: Duration::from_secs(30 * 24 * 3600),
            dead_after: Duration::from_secs(5 * 24 * 3600),
            workers: 16,
            workers_per_destination: 4,
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(30),
            breaker_pause_max: Duration::from_secs(15 * 60),
            alert_after: Duration::from_secs(3600),
        }
    }
}

impl Default for Anexos {
    fn default() -> Self {
        Self {
            expire_after: Duration::from_secs(180 * 24 * 3600),
            lookup: false,
            fetch_timeout: Duration::from_secs(60),
            allow_private: false,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { checkpoint_every: Duration::from_secs(3600), checkpoint_file: None }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self { to: None, every: Duration::from_secs(24 * 3600), keep: 30 }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { despachos: None, recepciones: None, every: Duration::from_secs(24 * 3600) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Human }
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self { listen: loopback(8090) }
    }
}

impl Limits {
    /// Largest SOAP message: twice base64 with line breaks in both layers stays under this; its texts come on top.
    pub fn envelope_max(&self) -> Size {
        let document = self.document_max.bytes();
        Size::from_bytes(document.saturating_mul(9) / 4).plus(Size::mib(2))
    }

    /// Largest REST request: base64 of the document and JSON, or multipart.
    pub fn request_max(&self) -> Size {
        self.document_max.plus(self.document_max).plus(self.json_max)
    }
}

impl Config {
    /// Our own entities. Empty if the configuration names none or was not checked; [`parse`] checks.
    pub fn entities(&self) -> Vec<EntidadPropia> {
        let closes = |entity: &Entity| entity.reception_closes.unwrap_or(self.reception.closes);
        let checked = |entity: &Entity| {
            let ruc = crate::domain::Ruc::parse(&entity.ruc, self.environment).ok()?;
            Some(EntidadPropia { ruc, nombre: entity.name.trim().to_owned(), cierre: closes(entity) })
        };
        self.entity.iter().filter_map(checked).collect()
    }

    /// What each of our entities demands of signatures.
    pub fn demands(&self) -> Vec<(crate::domain::Ruc, Firmas)> {
        let checked =
            |entity: &Entity| Some((crate::domain::Ruc::parse(&entity.ruc, self.environment).ok()?, entity.firmas));
        self.entity.iter().filter_map(checked).collect()
    }

    /// The rules on what texts of other sides mean, in their order.
    pub fn rules(&self) -> Vec<Regla> {
        self.respuesta.iter().filter_map(|r| Regla::nueva(&r.texto, r.operacion, r.falla).ok()).collect()
    }

    pub fn calendar(&self) -> Calendario {
        Calendario { feriados: self.reception.holidays.clone(), plazo_dias: self.reception.term_days.map(u32::from) }
    }

    /// Where the platform is: what the configuration says, else what the environment implies (CONTRACT §2).
    pub fn pide_urls(&self) -> PideUrls {
        let (tramite, entidad, cuo) = match self.environment {
            Ambiente::Production => {
                let base = "https://ws6.pide.gob.pe/services";
                (format!("{base}/PcmIMgdTramite"), format!("{base}/PcmIMgdEntidad"), format!("{base}/PcmCuo"))
            }
            Ambiente::Test => {
                let base = "https://ws1.pide.gob.pe/services";
                let cuo = "https://ws6.pide.gob.pe/services/PcmCuo".to_owned();
                (format!("{base}/PcmEnvioPrueba"), format!("{base}/PcmEntidadPrueba"), cuo)
            }
            Ambiente::Simulation => {
                let base = format!("http://{}/services", self.simulator.listen);
                (format!("{base}/PcmIMgdTramite"), format!("{base}/PcmIMgdEntidad"), format!("{base}/PcmCuo"))
            }
        };
        PideUrls {
            tramite: self.pide.tramite_url.clone().unwrap_or(tramite),
            entidad: self.pide.entidad_url.clone().unwrap_or(entidad),
            cuo: self.pide.cuo_url.clone().unwrap_or(cuo),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_says_exactly_the_defaults() {
        let example = parse("config.example.toml", EXAMPLE, &[], &|_| unreachable!()).unwrap();
        assert_eq!(example.config, Config::default());
    }

    /// Optional keys are commented in the example; with them uncommented none of the types' keys may be left over.
    #[test]
    fn every_key_of_the_types_is_in_the_example() {
        fn missing(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
            match value {
                serde_json::Value::Null => found.push(path.to_owned()),
                serde_json::Value::Object(map) => {
                    map.iter().for_each(|(k, v)| missing(v, &format!("{path}.{k}"), found))
                }
                serde_json::Value::Array(items) => items.iter().for_each(|v| missing(v, path, found)),
                _ => {}
            }
        }
        let whole: Config = key::known().clone().try_into().unwrap();
        let mut found = Vec::new();
        missing(&serde_json::to_value(&whole).unwrap(), "", &mut found);
        assert_eq!(found, Vec::<String>::new(), "optional keys without a commented line");
        let written = toml::Table::try_from(&whole).unwrap();
        assert_eq!(key::paths(&written), key::paths(key::known()), "keys of the types and of the example");
    }

    #[test]
    fn addresses_follow_the_environment_until_one_is_given() {
        let mut config = Config::default();
        assert_eq!(config.pide_urls().cuo, "http://127.0.0.1:8090/services/PcmCuo");
        config.environment = Ambiente::Test;
        assert_eq!(config.pide_urls().tramite, "https://ws1.pide.gob.pe/services/PcmEnvioPrueba");
        config.environment = Ambiente::Production;
        config.pide.entidad_url = Some("https://ws7.pide.gob.pe/e".into());
        let urls = config.pide_urls();
        assert_eq!(urls.tramite, "https://ws6.pide.gob.pe/services/PcmIMgdTramite");
        assert_eq!(urls.entidad, "https://ws7.pide.gob.pe/e");
    }
}
