//! Each service of the platform: its name, its port, its TLS, and whether its description is still the one we were built to.
//! And our clock, by theirs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{Url, header};
use tokio::net::{TcpStream, lookup_host};

use super::{Estado, Hallazgo, World};
use crate::{
    config::Config,
    contract::{Flavour, shape::Shape, wsdl},
    domain::{Ambiente, lima},
    exchange::{Clock, SystemClock},
    platform::{self, ClientError, SoapClient},
};

/// How long each step may take.
const STEP_MAX: Duration = Duration::from_secs(10);

/// Largest description read, in bytes.
const WSDL_BYTES_MAX: usize = 2 * 1024 * 1024;

/// How far our clock may be from the platform's; a document must not be of the future (CONTRACT §4).
const SKEW_WARNING_S: i64 = 30;
const SKEW_FAILS_S: i64 = 300;

/// One service and its description as we know it.
struct Service {
    name: &'static str,
    url: String,
    wsdl: &'static str,
}

fn services(config: &Config) -> [Service; 3] {
    let (urls, flavour) = (config.pide_urls(), platform::Options::from_config(config).flavour);
    // The simulator has the production's addresses in either environment.
    let flavour = if config.environment == Ambiente::Simulation { Flavour::Production } else { flavour };
    [
        Service { name: "CUO", url: urls.cuo, wsdl: wsdl::CUO },
        Service { name: "entidades", url: urls.entidad, wsdl: wsdl::entidad(flavour) },
        Service { name: "trámites", url: urls.tramite, wsdl: wsdl::iotramite(flavour) },
    ]
}

pub async fn platform(world: &World) -> Vec<Hallazgo> {
    let (services, mut found) = (services(world.config()), Vec::new());
    // By host: three services usually share one.
    let mut hosts: BTreeMap<(String, u16), Option<String>> = BTreeMap::new();
    for service in &services {
        if let Ok(url) = Url::parse(&service.url)
            && let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default())
        {
            hosts.insert((host.to_owned(), port), None);
        }
    }
    for ((host, port), unreached) in &mut hosts {
        let (told, reached) = reach(world.config(), host, *port).await;
        found.extend(told);
        *unreached = (!reached).then(|| format!("no se llega a {host}:{port}"));
    }
    let client = match client(world.config()) {
        Ok(client) => client,
        Err(error) => {
            found.push(Hallazgo::falla("pide_wsdl", "cliente", error.to_string()));
            return found;
        }
    };
    let mut clock = None;
    for service in &services {
        let url = Url::parse(&service.url).ok();
        let of = url.as_ref().and_then(|url| {
            hosts.get(&(url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?))
        });
        let name = format!("servicio de {}", service.name);
        match (url, of) {
            (Some(_), Some(Some(why))) => found.push(Hallazgo::omitida("pide_wsdl", name, why.clone())),
            (Some(url), _) => found.push(describe(&client, service, url, name, &mut clock).await),
            (None, _) => {
                found.push(Hallazgo::falla("pide_wsdl", name, format!("«{}» no es una dirección", service.url)))
            }
        }
    }
    found.push(skew(clock));
    found
}

/// The descriptions of another environment's services, compared with ours as well.
pub async fn descriptions(config: &Config, which: &str) -> Vec<Hallazgo> {
    let client = match client(config) {
        Ok(client) => client,
        Err(error) => return vec![Hallazgo::falla("otro_ambiente", which, error.to_string())],
    };
    let mut found = Vec::new();
    for service in &services(config) {
        let name = format!("servicio de {} {which}", service.name);
        let Ok(url) = Url::parse(&service.url) else { continue };
        let told = describe(&client, service, url, name, &mut None).await;
        // What does not answer there stops nobody who has his acta.
        let estado = told.estado.min(Estado::Advertencia);
        found.push(Hallazgo { clave: "otro_ambiente", estado, ..told });
    }
    found
}

/// As the service asks; where the machine has no certificates at all, at least without TLS.
pub fn client(config: &Config) -> Result<SoapClient, ClientError> {
    let options = platform::Options::from_config(config);
    let made = SoapClient::with_route(options.timeouts, true, &options.route);
    made.or_else(|error| match error {
        ClientError::Build(_) => SoapClient::with_route(options.timeouts, false, &options.route),
        other => Err(other),
    })
}

/// Resolves a host and connects to it. Says whether it can be asked.
async fn reach(config: &Config, host: &str, port: u16) -> (Vec<Hallazgo>, bool) {
    let host = host.trim_matches(['[', ']']);
    if config.pide.proxy.is_some() {
        let why = "la consulta la hace el proxy de pide.proxy";
        return (vec![Hallazgo::omitida("pide_dns", format!("nombre {host}"), why)], true);
    }
    let looked = tokio::time::timeout(STEP_MAX, lookup_host((host, port))).await;
    let addresses: Vec<_> = match looked {
        Ok(Ok(found)) => found.collect(),
        _ => Vec::new(),
    };
    let Some(first) = addresses.first().copied() else {
        let remedy = format!("Revise el DNS de esta máquina (/etc/resolv.conf): getent hosts {host}");
        let told = Hallazgo::falla("pide_dns", format!("nombre {host}"), "no se encuentra en el DNS").remedio(remedy);
        return (vec![told], false);
    };
    let shown: Vec<String> = addresses.iter().take(4).map(|address| address.ip().to_string()).collect();
    let mut told = vec![Hallazgo::bien("pide_dns", format!("nombre {host}"), shown.join(", "))];
    let began = Instant::now();
    let connected = tokio::time::timeout(config.pide.connect_timeout.min(STEP_MAX), TcpStream::connect(first)).await;
    let name = format!("conexión a {host}:{port}");
    let why = match connected {
        Ok(Ok(_)) => {
            told.push(Hallazgo::bien("pide_tcp", name, format!("{} ms", began.elapsed().as_millis())));
            return (told, true);
        }
        Ok(Err(error)) => crate::cli::causes::in_spanish(&error),
        Err(_) => "no contesta".into(),
    };
    let remedy = if config.environment == Ambiente::Simulation {
        "Inicie el simulador: chasqui simulator".to_owned()
    } else {
        format!(
            "Pida que el cortafuegos deje salir hacia {host}, puerto {port}, y que la PIDE tenga registrada su IP pública"
        )
    };
    told.push(Hallazgo::falla("pide_tcp", name, why).remedio(remedy));
    (told, false)
}

/// Asks a service for its description and compares it with ours.
async fn describe(
    client: &SoapClient,
    service: &Service,
    mut url: Url,
    name: String,
    clock: &mut Option<(Timestamp, Timestamp)>,
) -> Hallazgo {
    url.set_query(Some("wsdl"));
    let key = "pide_wsdl";
    let remedy = "Compare la dirección con la de su acceso en [pide], o escriba a mesadeayuda@gobiernodigital.gob.pe";
    let answer = match client.get(&url, STEP_MAX, WSDL_BYTES_MAX).await {
        Ok(answer) => answer,
        Err(error) => return Hallazgo::falla(key, name, error.detalle).remedio(remedy),
    };
    if let Some(theirs) = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(date) {
        *clock = Some((theirs, SystemClock.now()));
    }
    if !answer.status.is_success() {
        let why = format!("{} respondió HTTP {}", service.url, answer.status.as_u16());
        return Hallazgo::falla(key, name, why).remedio(remedy);
    }
    let (Ok(ours), theirs) = (Shape::read(service.wsdl.as_bytes()), Shape::read(&answer.body)) else {
        return Hallazgo::falla(key, name, "nuestra descripción no se puede leer");
    };
    match theirs.map(|theirs| ours.drift(&theirs)) {
        Err(error) => Hallazgo::advertencia(key, name, format!("responde, pero {error}"))
            .remedio("Algunos proxys no publican ?wsdl: si los envíos funcionan, no hay que hacer nada"),
        Ok(drift) if drift.is_empty() => Hallazgo::bien(key, name, "responde, con la descripción que conocemos"),
        Ok(drift) => Hallazgo::advertencia(key, name, format!("su descripción cambió: {}", drift.join("; ")))
            .remedio("Actualice chasqui o avise a quien lo mantiene: la plataforma cambió su contrato"),
    }
}

fn date(text: &str) -> Option<Timestamp> {
    static PARSER: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new();
    PARSER.parse_timestamp(text.trim()).ok()
}

/// Our clock by theirs.
fn skew(clock: Option<(Timestamp, Timestamp)>) -> Hallazgo {
    let name = "reloj";
    let Some((theirs, ours)) = clock else {
        return Hallazgo::omitida("reloj", name, "ningún servicio dijo su hora");
    };
    let seconds = ours.duration_since(theirs).as_secs();
    let remedy = "Ponga la máquina en hora y que se mantenga: timedatectl set-ntp true";
    let told = match seconds {
        0 => "coincide con el de la plataforma".to_owned(),
        s if s > 0 => format!("va {s} s adelantado al de la plataforma"),
        s => format!("va {} s atrasado del de la plataforma", s.abs()),
    };
    let told = format!("{told} ({})", lima::texto(ours));
    match seconds.abs() {
        s if s > SKEW_FAILS_S => Hallazgo::falla("reloj", name, told).remedio(remedy),
        s if s > SKEW_WARNING_S => Hallazgo::advertencia("reloj", name, told).remedio(remedy),
        _ => Hallazgo::new("reloj", name, Estado::Bien, told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_judged_by_the_platforms() {
        let theirs: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let at = |s: i64| skew(Some((theirs, Timestamp::from_second(theirs.as_second() + s).unwrap())));
        assert_eq!(at(5).estado, Estado::Bien);
        assert_eq!(at(-60).estado, Estado::Advertencia);
        assert!(at(-600).detalle.starts_with("va 600 s atrasado") && at(600).estado == Estado::Falla);
        assert_eq!(skew(None).estado, Estado::Omitida);
        assert_eq!(date("Sun, 22 Nov 2026 12:00:00 GMT"), Some(theirs));
    }
}
