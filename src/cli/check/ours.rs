//! What others reach of us: the listeners and their TLS, our public address as the platform sees it, and our own description
//! under it.

use std::{net::SocketAddr, time::Duration};

use reqwest::Url;

use super::{Hallazgo, World};
use crate::{
    cli::{
        tls::Secure,
        watch::{days_left, not_after},
    },
    config::{Config, ListenerTls},
    contract::{shape::Shape, wsdl},
    domain::{Ambiente, lima},
    platform::SoapClient,
};

/// How long each question may take, and how much of an answer is read.
const STEP_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Where the platform says which address it sees.
const IP_URL: &str = "https://ws1.pide.gob.pe/Rest/Pide/IP";

/// Days before the end of a certificate that are a worry.
const DAYS_WARNING: i64 = 30;

pub async fn ours(world: &World) -> Vec<Hallazgo> {
    let config = world.config();
    let mut found = vec![
        listener("listen.soap", config.listen.soap, &config.tls.soap),
        listener("listen.api", config.listen.api, &config.tls.api),
    ];
    found.extend(tls(world));
    match super::platform::client(config) {
        Ok(client) => {
            found.push(public_ip(config, &client).await);
            found.push(own_wsdl(config, &client).await);
        }
        Err(error) => found.push(Hallazgo::falla("ip_publica", "cliente", error.to_string())),
    }
    found
}

fn listener(key: &'static str, address: SocketAddr, tls: &ListenerTls) -> Hallazgo {
    let name = format!("{key} = {address}");
    let section = key.replace("listen.", "tls.");
    match (address.ip().is_loopback(), tls.enabled()) {
        (_, true) => Hallazgo::bien("puertos", name, "atiende con TLS"),
        (true, false) => Hallazgo::bien("puertos", name, "sin TLS, solo para esta máquina"),
        (false, false) => {
            Hallazgo::advertencia("puertos", name, "sin TLS y abierto a la red: lo que pasa se puede leer").remedio(
                format!("Ponga certificate y key en [{section}], o un proxy con TLS delante y 127.0.0.1 en {key}"),
            )
        }
    }
}

/// The certificates of TLS, read as the service reads them.
fn tls(world: &World) -> Vec<Hallazgo> {
    let config = world.config();
    if !config.tls.soap.enabled() && !config.tls.api.enabled() {
        return Vec::new();
    }
    let secure = match Secure::open(&config.tls) {
        Ok(secure) => secure,
        Err(why) => {
            let told = Hallazgo::falla("tls", "certificados de TLS", why);
            return vec![told.remedio("Corrija el archivo que se nombra: docs/seguridad.md dice cómo debe ser")];
        }
    };
    let judged = secure.certificates().into_iter().filter_map(|(path, der)| {
        let read = openssl::x509::X509::from_der(&der).ok()?;
        let until = not_after(&read)?;
        let (name, end) = (format!("certificado {}", path.display()), lima::texto(until));
        let remedy = "Pida otro y reemplace el archivo: el servicio lo lee solo";
        Some(match days_left(until, world.now) {
            days if days < 0 => Hallazgo::falla("tls", name, format!("venció el {end}")).remedio(remedy),
            days if days < DAYS_WARNING => {
                Hallazgo::advertencia("tls", name, format!("vence el {end}, en {days} días")).remedio(remedy)
            }
            _ => Hallazgo::bien("tls", name, format!("vale hasta el {end}")),
        })
    });
    judged.collect()
}

async fn public_ip(config: &Config, client: &SoapClient) -> Hallazgo {
    let (key, name) = ("ip_publica", "IP pública");
    if config.environment == Ambiente::Simulation && config.pide.ip_url.is_none() {
        return Hallazgo::omitida(key, name, "en simulación nadie la mira");
    }
    let text = config.pide.ip_url.as_deref().unwrap_or(IP_URL);
    let Ok(url) = Url::parse(text) else {
        return Hallazgo::falla(key, name, format!("«{text}» no es una dirección"));
    };
    match client.get(&url, STEP_MAX, ANSWER_BYTES_MAX).await {
        Err(error) => Hallazgo::advertencia(key, name, format!("la plataforma no la dijo: {}", error.detalle)),
        Ok(answer) => match address_in(&String::from_utf8_lossy(&answer.body)) {
            Some(ip) => Hallazgo::bien(key, name, format!("la plataforma ve {ip}: debe ser la del Formato A-1")),
            None => Hallazgo::advertencia(key, name, "la plataforma respondió algo que no es una dirección"),
        },
    }
}

/// The first address that stands in a text, in JSON or XML.
fn address_in(text: &str) -> Option<std::net::IpAddr> {
    let apart = |c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':'));
    text.split(apart).filter(|part| part.len() >= 7).find_map(|part| part.trim_matches([':', '.']).parse().ok())
}

async fn own_wsdl(config: &Config, client: &SoapClient) -> Hallazgo {
    let (key, name) = ("wsdl_propio", "wsiotramite visto desde fuera");
    let Some(public) = &config.listen.soap_public_url else {
        return Hallazgo::omitida(key, name, "no se dijo bajo qué dirección se alcanza: listen.soap_public_url");
    };
    let url = format!("{}/wsiotramite/Tramite?wsdl", public.trim_end_matches('/'));
    let remedy =
        format!("Pruebe desde otra red: curl -v {url}; revise el DNS, el cortafuegos y la redirección a listen.soap");
    let Ok(parsed) = Url::parse(&url) else {
        return Hallazgo::falla(key, name, format!("«{url}» no es una dirección"));
    };
    match client.get(&parsed, STEP_MAX, ANSWER_BYTES_MAX).await {
        Err(error) => {
            let told = format!("{}; desde dentro algunas redes no se alcanzan a sí mismas", error.detalle);
            Hallazgo::advertencia(key, name, told).remedio(remedy)
        }
        Ok(answer) => match (Shape::read(wsdl::TRAMITE.as_bytes()), Shape::read(&answer.body)) {
            (Ok(ours), Ok(shown)) if ours == shown => {
                Hallazgo::bien(key, name, format!("{url} responde con el nuestro"))
            }
            _ => {
                let told = format!("{url} respondió HTTP {}, y no es nuestro servicio", answer.status.as_u16());
                Hallazgo::falla(key, name, told).remedio(remedy)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_whatever_stands_around_it() {
        for text in ["161.132.1.9", "{\"ip\":\"161.132.1.9\"}", "<ip>161.132.1.9</ip>\n"] {
            assert_eq!(address_in(text).map(|ip| ip.to_string()).as_deref(), Some("161.132.1.9"), "{text}");
        }
        assert_eq!(address_in("<html>Error 404</html>"), None);
        assert_eq!(address_in("{\"ip\": \"2800:200::1\"}").map(|ip| ip.to_string()).as_deref(), Some("2800:200::1"));
    }
}
