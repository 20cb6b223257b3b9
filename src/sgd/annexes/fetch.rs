//! Downloads an annex of a document that was received, when a person asks for it. The address is a stranger's word: internal
//! networks are not called, a redirect leads nowhere but to the same host, and time, size and type are bounded. What came is
//! stored as it is and never opened.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Client, Response, Url, header, redirect};
use tokio::sync::Semaphore;

use crate::{
    config,
    http::download::hidden,
    http::reach::{NotPublic, PublicOnly, is_internal},
    platform,
    store::{BlobWriter, Staged, StoreError},
};

/// Downloads at once.
pub const AT_ONCE: usize = 4;
/// Redirects followed, to the same host.
const REDIRECTS_MAX: usize = 5;
/// How much of a page is looked through for links, in bytes, and how many of them are told.
const PAGE_BYTES_MAX: usize = 256 * 1024;
const LINKS_MAX: usize = 20;
/// Longest name kept, in characters.
const NAME_MAX: usize = 200;
const CONNECT: Duration = Duration::from_secs(10);
const AGENT: &str = concat!("chasqui/", env!("CARGO_PKG_VERSION"));

/// What a program begins with: Windows, Linux, a script.
const PROGRAMS: [&[u8]; 3] = [b"MZ", b"\x7fELF", b"#!"];

/// How annexes are downloaded.
#[derive(Debug, Clone)]
pub struct Fetching {
    allow_private: bool,
    timeout: Duration,
    places: Arc<Semaphore>,
}

impl Default for Fetching {
    fn default() -> Self {
        Self::new(&config::Anexos::default())
    }
}

/// A file that came.
#[derive(Debug)]
pub struct Fetched {
    pub nombre: String,
    /// What its server called it.
    pub tipo: Option<String>,
    /// Where it came from in the end.
    pub url: String,
    pub file: Staged,
}

/// Why none came, for a person; where a page came instead, what it leads to on the same host.
#[derive(Debug, Default)]
pub struct NotFetched {
    pub why: String,
    pub links: Vec<String>,
    /// Others are being downloaded.
    pub busy: bool,
}

impl From<String> for NotFetched {
    fn from(why: String) -> Self {
        Self { why, ..Self::default() }
    }
}

impl Fetching {
    pub fn new(config: &config::Anexos) -> Self {
        let (allow_private, timeout) = (config.allow_private, config.fetch_timeout);
        Self { allow_private, timeout, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    pub async fn fetch(&self, url: &Url, writer: BlobWriter) -> Result<Fetched, NotFetched> {
        let Ok(_place) = self.places.try_acquire() else {
            let why = "Se están descargando otros anexos: vuelva a intentarlo en unos segundos".to_owned();
            return Err(NotFetched { why, busy: true, ..NotFetched::default() });
        };
        let response = self.ask(url.clone()).await?;
        let tipo = media_type(&response);
        if tipo.as_deref().is_some_and(|tipo| matches!(tipo, "text/html" | "application/xhtml+xml")) {
            return Err(page(response).await);
        }
        let (nombre, url) = (name(&response), response.url().to_string());
        Ok(Fetched { nombre, tipo, url, file: self.store(response, writer).await? })
    }

    /// The answer in the end, through redirects of the same host; all of it, and the file, within one time.
    async fn ask(&self, mut url: Url) -> Result<Response, NotFetched> {
        let (client, deadline) = (self.client()?, Instant::now() + self.timeout);
        for _ in 0..=REDIRECTS_MAX {
            // Nobody gave us a name and a password for that server.
            if url.set_username("").is_err() || url.set_password(None).is_err() {
                return Err("no es la dirección de un servidor".to_owned().into());
            }
            let host = url.host_str().unwrap_or_default().to_owned();
            if !self.allow_private && is_internal(&url) {
                return Err(format!("{host} es una dirección interna: no se llama").into());
            }
            let response = client.get(url.clone()).timeout(deadline.saturating_duration_since(Instant::now()));
            let response = response.send().await.map_err(|error| self.failure(&host, &error))?;
            if response.status().is_success() {
                return Ok(response);
            }
            if !response.status().is_redirection() {
                return Err(format!("{host} respondió HTTP {}", response.status().as_u16()).into());
            }
            let next = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            let next = next.and_then(|next| url.join(next).ok());
            let Some(next) = next.filter(|next| same_host(&url, next)) else {
                return Err(format!("{host} lleva a otro servidor, y eso no se sigue: descárguelo una persona").into());
            };
            url = next;
        }
        Err(format!("la dirección lleva a otra más de {REDIRECTS_MAX} veces").into())
    }

    fn client(&self) -> Result<Client, NotFetched> {
        platform::client::install_tls_provider();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT.min(self.timeout))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .user_agent(AGENT);
        if !self.allow_private {
            builder = builder.dns_resolver(PublicOnly);
        }
        builder.build().map_err(|error| error.to_string().into())
    }

    fn failure(&self, host: &str, error: &reqwest::Error) -> NotFetched {
        let why = if NotPublic::caused(error) {
            format!("{host} lleva a una dirección interna: no se llama")
        } else if error.is_timeout() {
            format!("{host} no terminó de responder en {} s", self.timeout.as_secs_f64())
        } else if error.is_connect() {
            format!("no se pudo conectar con {host}")
        } else {
            format!("la respuesta de {host} se cortó")
        };
        why.into()
    }

    async fn store(&self, mut response: Response, mut writer: BlobWriter) -> Result<Staged, NotFetched> {
        let host = response.url().host_str().unwrap_or_default().to_owned();
        let stored = |error: StoreError| NotFetched::from(format!("no se pudo guardar: {error}"));
        let mut head = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.failure(&host, &error))? {
            if head.len() < 4 {
                head.extend(piece.iter().take(4));
                if PROGRAMS.iter().any(|program| head.starts_with(program)) {
                    return Err("es un programa, no un documento: no se guarda".to_owned().into());
                }
            }
            writer.write(&piece).await.map_err(stored)?;
        }
        if writer.bytes() == 0 {
            return Err(format!("{host} respondió con un archivo vacío").into());
        }
        writer.finish().await.map_err(stored)
    }
}

/// Whether two addresses are of one host and port, or the second is the first's with TLS; neither leaves it.
pub fn same_host(one: &Url, other: &Url) -> bool {
    let web = matches!(other.scheme(), "http" | "https") && !(one.scheme() == "https" && other.scheme() == "http");
    let ports = (one.port_or_known_default(), other.port_or_known_default());
    let secured = (one.scheme(), other.scheme()) == ("http", "https") && ports == (Some(80), Some(443));
    let port = ports.0 == ports.1 || secured;
    web && port && one.host_str().is_some() && one.host_str() == other.host_str()
}

fn media_type(response: &Response) -> Option<String> {
    let stated = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    let tipo = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!tipo.is_empty()).then(|| tipo.chars().take(NAME_MAX).collect())
}

/// The name its server gives the file, else the end of its address.
fn name(response: &Response) -> String {
    let stated = response.headers().get(header::CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    let stated = stated.and_then(|value| value.split("filename=\"").nth(1)?.split('"').next());
    let last = response.url().path_segments().and_then(|mut segments| segments.next_back());
    let name = stated.or(last).unwrap_or_default();
    let name: String =
        name.chars().filter(|c| !c.is_control() && !hidden(*c) && !matches!(c, '/' | '\\')).take(NAME_MAX).collect();
    if name.trim().is_empty() { "anexo".to_owned() } else { name }
}

/// A page came where a file was asked for.
async fn page(mut response: Response) -> NotFetched {
    let (base, mut text) = (response.url().clone(), Vec::new());
    while let Ok(Some(piece)) = response.chunk().await {
        text.extend_from_slice(&piece);
        if text.len() >= PAGE_BYTES_MAX {
            text.truncate(PAGE_BYTES_MAX);
            break;
        }
    }
    let why = "Es una página, no un archivo: dé en «url» la dirección de cada anexo".to_owned();
    NotFetched { why, links: links(&String::from_utf8_lossy(&text), &base), busy: false }
}

/// The links of a page that stay on its host, but for itself.
fn links(page: &str, base: &Url) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for rest in page.split("href=").skip(1) {
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
        let Some(link) = rest.get(1..).and_then(|rest| rest.split(quote).next()) else { continue };
        let Ok(mut link) = base.join(&link.replace("&amp;", "&")) else { continue };
        link.set_fragment(None);
        let text = link.to_string();
        if link != *base && same_host(base, &link) && !found.contains(&text) && !text.ends_with(".css") {
            found.push(text);
        }
        if found.len() == LINKS_MAX {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        extract::Path,
        http::{HeaderMap, StatusCode},
        response::IntoResponse,
        routing::get,
    };

    use super::*;
    use crate::exchange::tests::world::World;

    async fn server() -> Url {
        let redirect = |to: &'static str| get(move || async move { (StatusCode::FOUND, [("location", to)]) });
        let router = Router::new()
            .route("/plano", get(|| async {
                let headers = [("content-type", "image/vnd.dwg"), ("content-disposition", "attachment; filename=\"plano 1.dwg\"")];
                (headers, "un plano")
            }))
            .route("/lista", get(|| async {
                let page = "<a href=\"/plano\">1</a><a href='https://otra.pe/x'>2</a><a href=\"?n=1&amp;m=2\">3</a><a href=x>";
                ([("content-type", "text/html; charset=utf-8")], page).into_response()
            }))
            .route("/programa", get(|| async { "MZ\u{0}\u{0}" }))
            .route("/vacio", get(|| async { HeaderMap::new() }))
            .route("/grande", get(|| async { vec![b'x'; 1_000_001] }))
            .route("/aqui", redirect("/plano"))
            .route("/fuera", redirect("http://127.0.0.2/plano"))
            .route("/siempre", redirect("/siempre"))
            .route("/lento/{n}", get(|Path(n): Path<u32>| async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let to = if n > 1 { format!("/lento/{}", n - 1) } else { "/plano".to_owned() };
                (StatusCode::FOUND, [("location", to)])
            }))
            .route("/clave", get(|headers: HeaderMap| async move {
                format!("clave: {}", headers.contains_key("authorization"))
            }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        base.parse().unwrap()
    }

    #[tokio::test]
    async fn a_file_comes_whole_and_what_is_none_is_refused_with_its_reason() {
        let (world, base) = (World::new().await, server().await);
        let ours = Fetching::new(&config::Anexos { allow_private: true, ..config::Anexos::default() });
        let fetch = async |path: &str| ours.fetch(&base.join(path).unwrap(), world.exchange.stage()).await;
        for path in ["plano", "aqui"] {
            let found = fetch(path).await.unwrap();
            assert_eq!((found.nombre.as_str(), found.tipo.as_deref()), ("plano 1.dwg", Some("image/vnd.dwg")));
            assert_eq!((found.file.bytes, found.url), (8, base.join("plano").unwrap().to_string()));
        }
        for (path, said) in [
            ("programa", "es un programa"),
            ("vacio", "vacío"),
            ("grande", "1000000 bytes"),
            ("fuera", "otro servidor"),
            ("siempre", "más de 5 veces"),
            ("nada", "HTTP 404"),
            ("lista", "Es una página"),
        ] {
            let refused = fetch(path).await.unwrap_err();
            assert!(refused.why.contains(said), "{path}: {}", refused.why);
        }
        let listed = fetch("lista").await.unwrap_err().links;
        assert_eq!(listed, ["plano", "lista?n=1&m=2"].map(|path| base.join(path).unwrap().to_string()));
    }

    #[tokio::test]
    async fn all_redirects_share_one_time_and_no_password_of_an_address_is_sent() {
        let (world, base) = (World::new().await, server().await);
        let fetch_timeout = Duration::from_millis(250);
        let hasty = Fetching::new(&config::Anexos { allow_private: true, fetch_timeout, ..config::Anexos::default() });
        let refused = hasty.fetch(&base.join("lento/4").unwrap(), world.exchange.stage()).await.unwrap_err();
        assert!(refused.why.contains("no terminó de responder"), "{}", refused.why);
        let mut with = base.join("clave").unwrap();
        with.set_username("ana").unwrap();
        with.set_password(Some("secreta")).unwrap();
        let ours = Fetching::new(&config::Anexos { allow_private: true, ..config::Anexos::default() });
        let found = ours.fetch(&with, world.exchange.stage()).await.unwrap();
        assert_eq!(
            (found.url, found.file.bytes),
            (base.join("clave").unwrap().to_string(), "clave: false".len() as u64)
        );
    }

    #[test]
    fn a_redirect_keeps_its_port_or_goes_from_80_to_443() {
        let same = |one: &str, other: &str| same_host(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(same("http://a.pe/x", "https://a.pe/y") && same("http://a.pe:8080/x", "http://a.pe:8080/"));
        for (one, other) in [
            ("http://a.pe/", "https://a.pe:8443/"),
            ("http://a.pe:8080/", "https://a.pe/"),
            ("http://a.pe/", "http://a.pe:22/"),
            ("https://a.pe/", "http://a.pe/"),
            ("https://a.pe/", "ftp://a.pe/"),
            ("https://a.pe/", "https://b.pe/"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[tokio::test]
    async fn internal_addresses_are_not_called_by_number_or_by_name() {
        let (world, fetching) = (World::new().await, Fetching::default());
        for url in ["http://127.0.0.1:9/x", "http://169.254.169.254/latest", "http://[::1]:9/", "http://localhost:9/"] {
            let refused = fetching.fetch(&url.parse().unwrap(), world.exchange.stage()).await.unwrap_err();
            assert!(refused.why.contains("dirección interna"), "{url}: {}", refused.why);
        }
    }
}
