//! The identities that the configuration names, read from their files; and the timestamp authority, asked over HTTP.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};

use reqwest::Url;
use zeroize::Zeroizing;

use super::{
    causes::in_spanish,
    fetch::{Fetcher, Reach},
};
use crate::{
    config::{self, Config},
    domain::{EmisionCargo, Ruc},
    exchange::{Emisor, Ids, SystemIds},
    signing::{
        Identity,
        identity::IDENTITY_BYTES_MAX,
        sheet,
        timestamp::{self, ANSWER_BYTES_MAX, QUERY_TYPE, Transport},
    },
};

/// Longest password in a file, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4 * 1024;

/// Reads an identity and, if it is named, the file of its password.
pub fn from_file(file: &Path, password_file: Option<&Path>) -> Result<Identity, String> {
    let password = password_file.map(password).transpose()?;
    read(file, password.as_ref().map(|text| text.as_str()))
}

/// The password in a file.
pub fn password(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = limited(path, PASSWORD_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| format!("{}: la contraseña no es UTF-8", path.display()))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read(file: &Path, password: Option<&str>) -> Result<Identity, String> {
    let bytes = limited(file, IDENTITY_BYTES_MAX)?;
    Identity::read(&bytes, password).map_err(|error| format!("{}: {error}", file.display()))
}

fn limited(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, String> {
    let failed = |error: &io::Error| format!("{}: {}", path.display(), in_spanish(error));
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > max {
        return Err(format!("{}: tiene más de {max} bytes", path.display()));
    }
    Ok(bytes)
}

/// The identity of one of the configuration's entities: of the only one, or of the one with this RUC.
pub fn of_entity(config: &Config, ruc: Option<&str>) -> Result<Identity, String> {
    let with = |entity: &&config::Entity| entity.identity.is_some() && ruc.is_none_or(|ruc| entity.ruc.trim() == ruc);
    let found: Vec<_> = config.entity.iter().filter(with).collect();
    match found.as_slice() {
        [one] => identity(one).map(|identity| identity.ok_or_else(String::new)).unwrap_or_else(Err),
        [] => Err("la configuración no tiene identidad para esa entidad: escriba [[entity]] identity.file, o use \
                   --identity"
            .into()),
        _ => Err("la configuración tiene varias identidades: diga cuál con --entity RUC".into()),
    }
}

/// The identity of an entity, if it has one.
pub fn identity(entity: &config::Entity) -> Result<Option<Identity>, String> {
    let Some(named) = &entity.identity else { return Ok(None) };
    let identity = read(&named.file, named.password.as_ref().map(config::Secret::reveal))?;
    if let Some(other) = identity.titular().ruc.as_deref().filter(|ruc| *ruc != entity.ruc.trim()) {
        let file = named.file.display();
        return Err(format!("{file}: el certificado es de la entidad con RUC {other}, no de {}", entity.ruc.trim()));
    }
    Ok(Some(identity))
}

/// How each entity issues its cargos.
pub fn issuers(config: &Config) -> Result<HashMap<Ruc, Emisor>, String> {
    let mut issuers = HashMap::new();
    for entity in &config.entity {
        let Ok(ruc) = Ruc::parse(&entity.ruc, config.environment) else { continue };
        let identity = identity(entity)?.map(Arc::new);
        let modo = entity.cargo.unwrap_or(match identity {
            Some(_) => EmisionCargo::Generado,
            None => EmisionCargo::Dado,
        });
        let logo = entity.logo.as_deref().map(logo).transpose()?;
        issuers.insert(ruc, Emisor { modo, identidad: identity, logo });
    }
    Ok(issuers)
}

fn logo(path: &Path) -> Result<Arc<Vec<u8>>, String> {
    let bytes = limited(path, sheet::IMAGE_BYTES_MAX as u64)?;
    sheet::image_size(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Arc::new(bytes.to_vec()))
}

/// The timestamp authority of the configuration, if it names one. Used within a runtime, off its own threads.
pub fn timestamper(config: &Config) -> Option<Result<Arc<timestamp::Client>, String>> {
    let tsa = &config.tsa;
    let url = tsa.url.as_deref()?;
    let made = HttpTransport::new(url, tsa.timeout).map(|transport| {
        let policy = tsa.policy.as_deref().and_then(|policy| policy.parse().ok());
        let nonce = || {
            let secret = SystemIds.secret();
            secret.first_chunk().copied().unwrap_or_default()
        };
        Arc::new(timestamp::Client::new(Box::new(transport), policy, Box::new(nonce)))
    });
    Some(made)
}

/// Questions over HTTP (RFC 3161, 3.4).
struct HttpTransport {
    fetcher: Fetcher,
    url: Url,
}

impl HttpTransport {
    fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|_| format!("tsa.url: «{url}» no es una dirección"))?;
        let fetcher = Fetcher::new(timeout, Reach::Anywhere, url.scheme() == "https");
        let fetcher = fetcher.map_err(|error| format!("no se puede preparar el cliente de [tsa]: {error}"))?;
        Ok(Self { fetcher, url })
    }
}

impl Transport for HttpTransport {
    fn exchange(&self, question: &[u8]) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| "no hay con qué consultar".to_owned())?;
        runtime.block_on(self.fetcher.post(&self.url, QUERY_TYPE, question.to_vec(), ANSWER_BYTES_MAX))
    }
}
