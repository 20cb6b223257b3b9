//! Where a component is, and whether it may be tested without asking twice.

use std::net::IpAddr;

use super::wire::Destino;

/// Words in host names by which test installations are known, alone or with a number behind.
const DE_PRUEBA: [&str; 10] =
    ["test", "prueba", "pruebas", "dev", "desa", "desarrollo", "qa", "uat", "staging", "preprod"];

/// Scheme, host, port and path of an address.
pub fn leer(url: &str, confia: bool) -> Result<(Destino, String), String> {
    let parsed = reqwest::Url::parse(url.trim()).map_err(|_| format!("«{url}» no es una dirección http o https"))?;
    let https = match parsed.scheme() {
        "http" => false,
        "https" => true,
        _ => return Err(format!("«{url}» no es una dirección http o https")),
    };
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
        return Err(format!("«{url}» no es una dirección http o https"));
    };
    Ok((Destino { host: host.to_owned(), port, https, confia }, parsed.path().to_owned()))
}

/// Whether documents sent there may be taken for real ones: whatever is neither on this machine or network, nor named as a
/// place for tests.
pub fn parece_produccion(destino: &Destino) -> bool {
    let host = nombre(destino);
    // The platform's own hosts are never a component to be tested, whatever they are called.
    let platform = host.ends_with(".pide.gob.pe");
    platform || !(es_de_la_red(&host) || host.parse::<IpAddr>().is_err() && es_de_prueba(&host))
}

/// Whether an address of the own network may as well be where production is served: nothing in it says that it is for tests.
pub fn puede_ser_produccion(destino: &Destino) -> bool {
    let host = nombre(destino);
    let here = host == "localhost" || host.ends_with(".localhost");
    let loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let named = host.parse::<IpAddr>().is_err() && palabras(host.split('.'));
    es_de_la_red(&host) && !here && !loopback && !named
}

/// A dot at the end says the same name.
fn nombre(destino: &Destino) -> String {
    destino.host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// On this machine or a network that is not the internet.
fn es_de_la_red(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => {
            host == "localhost" || host.ends_with(".localhost") || host.ends_with(".local") || !host.contains('.')
        }
    }
}

/// Whether the installation's own part of a name says so. Whose it is (`x.gob.pe`) says nothing: Devida or Presidencia are
/// no places for tests.
fn es_de_prueba(host: &str) -> bool {
    let owner = if host.ends_with(".pe") { 3 } else { 2 };
    let labels: Vec<&str> = host.split('.').collect();
    palabras(labels.iter().copied().take(labels.len().saturating_sub(owner)))
}

fn palabras<'a>(labels: impl Iterator<Item = &'a str>) -> bool {
    let mut words =
        labels.flat_map(|label| label.split('-')).map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    words.any(|word| DE_PRUEBA.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn production(url: &str) -> bool {
        parece_produccion(&leer(url, false).unwrap().0)
    }

    #[test]
    fn addresses_of_the_world_are_production_unless_their_name_says_otherwise() {
        for url in [
            "http://mpv.municusco.gob.pe/wsiotramite/Tramite",
            "https://ws6.pide.gob.pe/x",
            "http://200.48.1.1/x",
            "https://tramite.munidemo.gob.pe/x",
            "https://mpv.munidesaguaderito.gob.pe/x",
            "https://tramite.presidenciaficticia.gob.pe/x",
            "https://presidencia.x.gob.pe/x",
            "https://demo.gob.pe/x",
            "https://demo.gob.pe./x",
            "https://test.pide.gob.pe./x",
            "https://calidad.minsa.gob.pe/x",
            "https://pre.unsa.edu.pe/x",
            "https://lab.x.edu.pe/x",
        ] {
            assert!(production(url), "{url}");
        }
        for url in [
            "http://127.0.0.1:8080/x",
            "http://10.1.2.3/x",
            "http://localhost/x",
            "https://mpv-desa.x.gob.pe/",
            "https://qa2.x.gob.pe/",
            "http://servidor/x",
        ] {
            assert!(!production(url), "{url}");
        }
        let told = |url: &str| puede_ser_produccion(&leer(url, false).unwrap().0);
        assert!(["http://10.1.2.3/x", "http://servidor/x", "http://mpv.local/x"].into_iter().all(told));
        assert!(
            !["http://127.0.0.1/x", "http://localhost/x", "http://mpv-qa/x", "https://x.gob.pe/"].into_iter().any(told)
        );
    }

    #[test]
    fn an_address_is_read_with_its_usual_port() {
        let (destino, path) = leer("https://x.gob.pe/wsiotramite/Tramite", false).unwrap();
        assert_eq!((destino.port, destino.https, path.as_str()), (443, true, "/wsiotramite/Tramite"));
        assert!(leer("ftp://x/", false).is_err() && leer("x", false).is_err());
    }
}
