//! The pages as a browser without scripts asks for them, over a store and a still clock.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Console, router};
use crate::{
    audit::{self, Log},
    config::{self, Config, Setting},
    domain::{EstadoRecepcion, Id},
    exchange::{
        Actor,
        tests::world::{World, arrival, ruc, unclear},
        usuarios::NuevoUsuario,
    },
    http::limits::{InFlight, Intake},
    store::{Cursor, Listing, Rol},
};

const PASSWORD: &str = "nevado-huascaran-6768";
const NUESTRA: &str = crate::exchange::tests::world::NUESTRA;

struct Browser {
    world: World,
    router: Router,
    cookie: String,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        self.headers[header::LOCATION].to_str().unwrap()
    }

    fn cookie(&self) -> String {
        self.headers[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
    }
}

/// A form's parts, a file by its name.
fn form(parts: &[(&str, Option<&str>, &str)]) -> String {
    let part = |(name, file, value): &(&str, Option<&str>, &str)| {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
        format!("--limite\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    };
    parts.iter().map(part).collect::<String>() + "--limite--\r\n"
}

impl Browser {
    async fn of(rol: Rol) -> Self {
        let (world, folder) = (World::new().await, tempfile::tempdir().unwrap());
        let nuevo = NuevoUsuario { cuenta: "rosa".into(), nombre: "ROSA".into(), rol, entidad: None };
        let password = zeroize::Zeroizing::new(PASSWORD.to_owned());
        world.exchange.crear_usuario(&Actor::local(), nuevo, Some(password)).await.unwrap();
        let log = audit::log::Options {
            data_dir: folder.path().to_owned(),
            origin: "chasqui/prueba".into(),
            seed: [7; 32],
            export: None,
            timestamper: None,
        };
        let log = Log::open(Arc::clone(world.exchange.store()), log).unwrap();
        let limits = config::Limits::default();
        let settings: Vec<Setting> = config::effective(&Config::default(), "chasqui.toml", &Default::default());
        let console = Console::new(world.exchange.clone(), log, folder.path().to_owned(), CancellationToken::new());
        let intake = Intake::new(&limits, 3_000_000, InFlight::new(10_000_000));
        let router = router(console.with_settings(settings), intake);
        Self { world, router, cookie: String::new(), _folder: folder }
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=limite")
            .body(Body::from(body))
            .unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, String::new()).await
    }

    async fn enter(&mut self, account: &str) -> Answer {
        self.cookie = self.get("/ingresar").await.cookie();
        let token = self.cookie.split_once('=').unwrap().1.to_owned();
        let parts = [("_csrf", None, token.as_str()), ("cuenta", None, account), ("contrasena", None, PASSWORD)];
        let answer = self.send("POST", "/ingresar", form(&parts)).await;
        if answer.status == StatusCode::SEE_OTHER {
            self.cookie = answer.cookie();
        }
        answer
    }

    /// The token of a page's forms.
    fn token(page: &Answer) -> String {
        let (_, rest) = page.text.split_once("name=\"_csrf\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }

    async fn arrived(&self) -> Id {
        self.world.receive(&arrival("0000000081"), b"%PDF-1.7 oficio").await;
        let listing = Listing { entidad: ruc(NUESTRA), estado: None, after: None, limit: 1 };
        self.world.exchange.store().recepciones(listing).await.unwrap().items[0].id
    }
}

#[tokio::test]
async fn what_is_to_be_confirmed_has_an_address_of_its_own_that_leads_on_once_it_was() {
    let mut browser = Browser::of(Rol::Admin).await;
    let id = browser.arrived().await;
    browser.enter("rosa").await.location();
    let token = Browser::token(&browser.get(&format!("/entrada/{id}")).await);
    let parts = [
        ("_csrf", None, token.as_str()),
        ("numero_registro", None, "E-1"),
        ("unidad", None, "GERENCIA <b>MUNICIPAL</b>"),
        ("usuario", None, "ROSA"),
        ("cargo", Some("cargo.pdf"), "%PDF-1.7 cargo"),
    ];
    let reviewed = browser.send("POST", &format!("/entrada/{id}/recepcionar"), form(&parts)).await;
    let address = reviewed.location().to_owned();
    assert!(address.starts_with("/confirmar?borrador="), "{address}");
    let page = browser.get(&address).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Revise antes de enviar") && !page.text.contains("<b>MUNICIPAL"), "{}", page.text);
    assert!(page.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    let name = address.rsplit('=').next().unwrap();
    let confirmed =
        browser.send("POST", "/confirmar", form(&[("_csrf", None, &token), ("borrador", None, name)])).await;
    let done = format!("/entrada/{id}?hecho=recepcionado");
    assert_eq!(confirmed.location(), done);
    assert_eq!(browser.world.recepcion(id).await.estado, EstadoRecepcion::Recepcionado);
    // Who goes back is shown what came of it.
    assert_eq!(browser.get(&address).await.location(), done);
    assert_eq!(browser.get("/confirmar?borrador=otro").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_number_that_is_there_already_is_told_on_the_documents_page() {
    let mut browser = Browser::of(Rol::Admin).await;
    let id = browser.arrived().await;
    browser.enter("rosa").await.location();
    let token = Browser::token(&browser.get(&format!("/entrada/{id}")).await);
    let file = async |number: &str| {
        let parts = [("_csrf", None, token.as_str()), ("numero_registro", None, number)];
        browser.send("POST", &format!("/entrada/{id}/registrar"), form(&parts)).await
    };
    assert_eq!(file("E-1").await.location(), format!("/entrada/{id}?hecho=registrado"));
    let again = file("E-2").await;
    assert_eq!(again.location(), format!("/entrada/{id}?hecho=ya_registrado"));
    let page = browser.get(again.location()).await;
    assert!(page.text.contains("un número no se cambia") && page.text.contains("E-1"), "{}", page.text);
}

#[tokio::test]
async fn a_try_with_an_account_that_does_not_exist_is_a_row_of_the_log_without_its_name() {
    let mut browser = Browser::of(Rol::Admin).await;
    assert_eq!(browser.enter("mi-contrasena-secreta").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let facts = browser.world.exchange.store().facts(Cursor::default(), None, 100).await.unwrap();
    let last = &facts.last().unwrap().fact;
    assert_eq!((last.tipo.as_str(), last.actor.as_str()), ("sesion.rechazada", "desconocido"));
    assert!(!format!("{facts:?}").contains("mi-contrasena-secreta"));
}

#[tokio::test]
async fn who_operates_sees_the_configuration_and_what_is_failing_and_who_answers_does_not() {
    let mut operator = Browser::of(Rol::Operador).await;
    operator.enter("rosa").await.location();
    let page = operator.get("/operacion/configuracion").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("listen.soap") && page.text.contains("valor por omisión"), "{}", page.text);
    operator.world.platform.sends.lock().unwrap().push_back(Err(unclear("sin respuesta")));
    operator.world.dispatch().await;
    operator.world.run_due().await;
    let page = operator.get("/operacion").await;
    assert!(page.text.contains("Qué está fallando") && page.text.contains("Qué hacer: "), "{}", page.text);
    assert!(page.text.contains(" libres de "), "{}", page.text);
    let mut auditor = Browser::of(Rol::Auditor).await;
    auditor.enter("rosa").await.location();
    assert_eq!(auditor.get("/operacion/configuracion").await.status, StatusCode::FORBIDDEN);
}
