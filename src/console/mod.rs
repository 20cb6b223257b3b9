//! The console: the pages where mesa de partes works and operators look. Server-made HTML ([`layout`]) with one small script
//! that adds what a page can do without; everything is in the binary and nothing comes from elsewhere.
//!
//! Pages call the use cases of `exchange`, never the REST API, and decide nothing themselves. A visit is a session of a
//! person ([`door`], [`sessions`]); who may do what is one table, [`door::Permiso`]. Every outside text goes through the
//! templates (maud), which escape it; documents are shown in a frame that has no rights of this origin.
//! Uses floors 4 and below; must not use `sgd`.

mod answering;
mod assets;
mod auditing;
mod configuration;
mod confirming;
mod dispatching;
mod door;
mod drafts;
mod failure;
mod forms;
mod inbox;
mod layout;
mod news;
mod operation;
mod outbox;
mod personas;
mod received;
mod sent;
mod sessions;
mod statistics;
mod terms;
#[cfg(test)]
mod tests;
mod words;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{Next, from_fn_with_state, map_request, map_response},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    audit::Log,
    config::Setting,
    exchange::Exchange,
    http::{
        Code, Problem,
        limits::{Intake, bound},
        tls::Secured,
    },
};

use drafts::Drafts;
use failure::Fault;
use sessions::Sessions;

/// What the pages share.
#[derive(Clone)]
pub struct Console {
    exchange: Exchange,
    audit: Arc<Log>,
    sessions: Sessions,
    drafts: Drafts,
    /// Pages that follow what happens end when this is cancelled.
    stop: CancellationToken,
    /// Places for pages that follow what happens.
    followers: Arc<Semaphore>,
    /// One verification of the whole log at a time.
    verifying: Arc<Semaphore>,
    /// Where the log is, for who verifies it.
    data_dir: PathBuf,
    /// The configuration in force, for who operates.
    settings: Arc<[Setting]>,
}

impl Console {
    pub fn new(exchange: Exchange, audit: Arc<Log>, data_dir: PathBuf, stop: CancellationToken) -> Self {
        Self {
            exchange,
            audit,
            sessions: Sessions::default(),
            drafts: Drafts::default(),
            stop,
            followers: news::followers(),
            verifying: Arc::new(Semaphore::new(1)),
            data_dir,
            settings: Arc::default(),
        }
    }

    /// With the configuration in force, which is shown to who operates.
    #[must_use]
    pub fn with_settings(self, settings: Vec<Setting>) -> Self {
        Self { settings: settings.into(), ..self }
    }
}

/// Nothing but what this origin serves, and no inline script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The pages, bounded by `intake`.
pub fn router(console: Console, intake: Intake) -> Router {
    Router::new()
        .route("/", get(door::home))
        .route("/ingresar", get(door::ask).post(door::enter))
        .route("/salir", post(door::leave))
        .route("/entidad", post(door::choose))
        .route("/cuenta", get(door::account).post(door::change))
        .route("/entrada", get(inbox::list))
        .route("/entrada/{id}", get(received::show))
        .route("/entrada/{id}/documento", get(received::document))
        .route("/entrada/{id}/cargo", get(received::cargo))
        .route("/entrada/{id}/evidencia", get(received::evidence))
        .route("/entrada/{id}/anexos/{sha256}", get(received::annex))
        .route("/entrada/{id}/registrar", post(answering::file))
        .route("/entrada/{id}/recepcionar", get(answering::accept_form).post(answering::accept))
        .route("/entrada/{id}/observar", get(answering::object_form).post(answering::object))
        .route("/entrada/{id}/derivar", get(dispatching::pass_on_form).post(dispatching::pass_on))
        .route("/salida", get(outbox::list))
        .route("/salida/nuevo", get(dispatching::new_form).post(dispatching::new))
        .route("/salida/{id}", get(sent::show))
        .route("/salida/{id}/documento", get(sent::document))
        .route("/salida/{id}/cargo", get(sent::cargo))
        .route("/salida/{id}/evidencia", get(sent::evidence))
        .route("/salida/{id}/subsanar", get(dispatching::correct_form).post(dispatching::correct))
        .route("/salida/{id}/{what}", post(sent::decide))
        .route("/entidades", get(dispatching::entities))
        .route("/novedades", get(news::show))
        .route("/sucesos", get(news::follow))
        .route("/estadisticas", get(statistics::show))
        .route("/operacion", get(operation::show))
        .route("/operacion/configuracion", get(configuration::show))
        .route("/operacion/cola", get(operation::queue))
        .route("/operacion/cola/{id}", get(operation::job))
        .route("/operacion/cola/{id}/{what}", post(operation::decide))
        .route("/auditoria", get(auditing::show))
        .route("/auditoria/punto", post(auditing::sign))
        .route("/auditoria/verificar", post(auditing::verify))
        .route("/personas", get(personas::list).post(personas::create))
        .route("/personas/{id}/{what}", post(personas::decide))
        .route("/confirmar", get(confirming::review).post(confirming::confirm))
        .route("/activos/{name}", get(assets::serve))
        .with_state(console)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(intake, bound))
        .layer(map_request(tell_tls))
        .layer(map_response(guarded))
}

/// Where nothing is, a browser is shown a page, and a program the API's answer.
pub async fn lost(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let browser = accepts.contains("text/html") && path != "/api" && !path.starts_with("/api/");
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).map_or(b"".as_slice(), HeaderValue::as_bytes);
    let code = match response.status() {
        StatusCode::NOT_FOUND => Code::RutaNoExiste,
        StatusCode::METHOD_NOT_ALLOWED => Code::MetodoNoPermitido,
        _ => return response,
    };
    if !browser || !kind.starts_with(b"application/problem+json") {
        return response;
    }
    let detail = "No hay ninguna página en esa dirección. Revísela, o vaya al inicio y busque desde allí";
    guarded(Fault::from(Problem::new(code, detail)).into_response()).await
}

/// TLS that ends here is told as a proxy would: cookies go by it.
async fn tell_tls(mut request: Request) -> Request {
    if request.extensions().get::<Secured>().is_some() {
        request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
    }
    request
}

/// Headers that every page has, unless it says otherwise itself.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut put = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    put(header::CONTENT_SECURITY_POLICY, POLICY);
    put(header::CACHE_CONTROL, "no-store");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(header::REFERRER_POLICY, "same-origin");
    put(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    put(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    put(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    response
}
