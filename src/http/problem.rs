//! Errors as callers of the API see them: RFC 9457 `application/problem+json` with a stable code, in Spanish.
//!
//! `docs/errores.md` is the catalogue: what each code means and what to do; a test holds it to [`Code`].

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::limits::BodyError;

/// What went wrong, as a word that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    JsonNoValido,
    MultipartNoValido,
    ParametroNoValido,
    PeticionNoValida,
    ClaveRequerida,
    PermisoInsuficiente,
    EntidadNoPermitida,
    NoExiste,
    RutaNoExiste,
    MetodoNoPermitido,
    PeticionLenta,
    Duplicado,
    EstadoNoPermite,
    SubsanacionEnCurso,
    Purgado,
    PeticionGrande,
    TipoDeContenido,
    CamposNoValidos,
    FirmasInsuficientes,
    IdempotencyKeyReused,
    ConfiguracionNoValida,
    DemasiadasPeticiones,
    ErrorInterno,
    PlataformaNoResponde,
    ServicioOcupado,
    AlmacenNoDisponible,
    EnMantenimiento,
}

impl Code {
    pub const ALL: [Self; 27] = [
        Self::JsonNoValido,
        Self::MultipartNoValido,
        Self::ParametroNoValido,
        Self::PeticionNoValida,
        Self::ClaveRequerida,
        Self::PermisoInsuficiente,
        Self::EntidadNoPermitida,
        Self::NoExiste,
        Self::RutaNoExiste,
        Self::MetodoNoPermitido,
        Self::PeticionLenta,
        Self::Duplicado,
        Self::EstadoNoPermite,
        Self::SubsanacionEnCurso,
        Self::Purgado,
        Self::PeticionGrande,
        Self::TipoDeContenido,
        Self::CamposNoValidos,
        Self::FirmasInsuficientes,
        Self::IdempotencyKeyReused,
        Self::ConfiguracionNoValida,
        Self::DemasiadasPeticiones,
        Self::ErrorInterno,
        Self::PlataformaNoResponde,
        Self::ServicioOcupado,
        Self::AlmacenNoDisponible,
        Self::EnMantenimiento,
    ];

    /// The code's word, the HTTP status it comes with, and its title.
    fn entry(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::JsonNoValido => ("json_no_valido", S::BAD_REQUEST, "El JSON no es válido"),
            Self::MultipartNoValido => ("multipart_no_valido", S::BAD_REQUEST, "El formulario multipart no es válido"),
            Self::ParametroNoValido => ("parametro_no_valido", S::BAD_REQUEST, "Un parámetro no es válido"),
            Self::PeticionNoValida => ("peticion_no_valida", S::BAD_REQUEST, "La petición no es válida"),
            Self::ClaveRequerida => ("clave_requerida", S::UNAUTHORIZED, "Falta una clave de API válida"),
            Self::PermisoInsuficiente => ("permiso_insuficiente", S::FORBIDDEN, "La clave no permite esta operación"),
            Self::EntidadNoPermitida => ("entidad_no_permitida", S::FORBIDDEN, "La clave es de otra entidad"),
            Self::NoExiste => ("no_existe", S::NOT_FOUND, "No existe"),
            Self::RutaNoExiste => ("ruta_no_existe", S::NOT_FOUND, "La ruta no existe"),
            Self::MetodoNoPermitido => ("metodo_no_permitido", S::METHOD_NOT_ALLOWED, "La ruta no admite ese método"),
            Self::PeticionLenta => ("peticion_lenta", S::REQUEST_TIMEOUT, "La petición tardó demasiado en llegar"),
            Self::Duplicado => ("duplicado", S::CONFLICT, "Ya existe"),
            Self::EstadoNoPermite => ("estado_no_permite", S::CONFLICT, "El estado del documento no lo permite"),
            Self::SubsanacionEnCurso => ("subsanacion_en_curso", S::CONFLICT, "El documento ya se está subsanando"),
            Self::Purgado => ("purgado", S::GONE, "El documento se borró al vencer su plazo de conservación"),
            Self::PeticionGrande => ("peticion_grande", S::PAYLOAD_TOO_LARGE, "La petición es demasiado grande"),
            Self::TipoDeContenido => {
                ("tipo_de_contenido", S::UNSUPPORTED_MEDIA_TYPE, "El tipo de contenido no se admite")
            }
            Self::CamposNoValidos => ("campos_no_validos", S::UNPROCESSABLE_ENTITY, "Hay campos que no son válidos"),
            Self::FirmasInsuficientes => {
                ("firmas_insuficientes", S::UNPROCESSABLE_ENTITY, "Las firmas del PDF no son las que la entidad exige")
            }
            Self::IdempotencyKeyReused => {
                ("idempotency_key_reused", S::UNPROCESSABLE_ENTITY, "La Idempotency-Key ya se usó para otra petición")
            }
            Self::ConfiguracionNoValida => {
                ("configuracion_no_valida", S::UNPROCESSABLE_ENTITY, "La configuración no es válida; sigue la anterior")
            }
            Self::DemasiadasPeticiones => {
                ("demasiadas_peticiones", S::TOO_MANY_REQUESTS, "La clave hace demasiadas peticiones")
            }
            Self::ErrorInterno => ("error_interno", S::INTERNAL_SERVER_ERROR, "Error interno"),
            Self::PlataformaNoResponde => {
                ("plataforma_no_responde", S::BAD_GATEWAY, "La plataforma no respondió como se esperaba")
            }
            Self::ServicioOcupado => ("servicio_ocupado", S::SERVICE_UNAVAILABLE, "El servicio está ocupado"),
            Self::AlmacenNoDisponible => {
                ("almacen_no_disponible", S::SERVICE_UNAVAILABLE, "El almacén no admite escrituras ahora")
            }
            Self::EnMantenimiento => ("en_mantenimiento", S::SERVICE_UNAVAILABLE, "El servicio está en mantenimiento"),
        }
    }

    pub fn word(self) -> &'static str {
        self.entry().0
    }

    pub fn status(self) -> StatusCode {
        self.entry().1
    }

    /// What went wrong in general, as a person reads it.
    pub fn title(self) -> &'static str {
        self.entry().2
    }
}

/// One wrong field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Path in the request's JSON: `destinatario.unidad`.
    pub field: String,
    pub code: String,
    pub detail: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code: code.into(), detail: detail.into() }
    }
}

/// An error answer. Handlers return it as the `Err` of their result.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The record a duplicate collided with.
    id: Option<String>,
}

/// How long a caller should wait when the service is busy.
const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let problem = Self { code, detail: detail.into(), errors: Vec::new(), headers: Vec::new(), id: None };
        match code.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => problem.retry_after(RETRY_AFTER),
            StatusCode::UNAUTHORIZED => {
                problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"chasqui\""))
            }
            _ => problem,
        }
    }

    /// Wrong fields, all of them at once.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.detail),
            many => format!("{} campos no son válidos", many.len()),
        };
        Self { errors, ..Self::new(Code::CamposNoValidos, detail) }
    }

    pub fn field(field: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(field, code, detail)])
    }

    /// Our own fault. The cause goes to the log, not to the caller.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Self::new(Code::ErrorInterno, "El servicio no pudo completar la petición; el motivo está en su registro")
    }

    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.headers.retain(|(name, _)| name != header::RETRY_AFTER);
        let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        self.header(header::RETRY_AFTER, wait.as_secs().max(1).into())
    }

    /// Names the record that is in the way.
    #[must_use]
    pub fn id(mut self, id: impl ToString) -> Self {
        self.id = Some(id.to_string());
        self
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, status, title) = self.code.entry();
        let body = Body {
            kind: format!("urn:chasqui:error:{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code,
            errors: &self.errors,
            id: self.id.as_deref(),
        };
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let mut headers: HeaderMap = self.headers.into_iter().collect();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        (status, headers, text).into_response()
    }
}

impl From<&BodyError> for Problem {
    fn from(error: &BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge(_) => Code::PeticionGrande,
            BodyError::Idle(_) | BodyError::Slow | BodyError::Total(_) => Code::PeticionLenta,
            BodyError::Busy => Code::ServicioOcupado,
            BodyError::Broken(_) => Code::PeticionNoValida,
        };
        Self::new(code, error.to_string())
    }
}

/// The problem behind a failure to read a body: one of our limits if that was it, else what `otherwise` makes of it.
pub fn of_body(error: &(dyn std::error::Error + 'static), otherwise: impl FnOnce() -> Problem) -> Problem {
    BodyError::find(error).map_or_else(otherwise, Problem::from)
}

/// No route is here.
pub async fn no_route(uri: http::Uri) -> Problem {
    let guide = if uri.path() == "/" { ". La guía de la API está en /api/docs" } else { "" };
    Problem::new(Code::RutaNoExiste, format!("No hay nada en {}{guide}", uri.path()))
}

/// The route is here, the method is not. The router adds `Allow`.
pub async fn no_method(method: http::Method, uri: http::Uri) -> Problem {
    Problem::new(Code::MetodoNoPermitido, format!("{} no admite {method}", uri.path()))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_problem_has_the_shape_of_rfc_9457_and_our_members() {
        let problem = Problem::fields(vec![FieldError::new("asunto", "excede", "Es muy largo")]);
        let response = problem.into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:chasqui:error:campos_no_validos",
                "title": "Hay campos que no son válidos",
                "status": 422,
                "detail": "asunto: Es muy largo",
                "code": "campos_no_validos",
                "errors": [{"field": "asunto", "code": "excede", "detail": "Es muy largo"}],
            })
        );
    }

    #[test]
    fn being_busy_says_when_to_return_and_a_missing_key_says_how_to_give_one() {
        let busy = Problem::new(Code::ServicioOcupado, "x").into_response();
        assert_eq!(busy.headers()[header::RETRY_AFTER], "5");
        let no_key = Problem::new(Code::ClaveRequerida, "x").into_response();
        assert_eq!(no_key.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"chasqui\"");
    }

    #[test]
    fn the_catalogue_has_every_code_with_its_status_and_no_other() {
        let catalogue = include_str!("../../docs/errores.md");
        let rows: Vec<(&str, &str)> = catalogue
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .map(|(code, rest)| (code, rest.split(' ').next().unwrap_or_default()))
            .collect();
        let codes: Vec<(&str, String)> = Code::ALL.map(|c| (c.word(), c.status().as_u16().to_string())).into();
        assert_eq!(rows, codes.iter().map(|(c, s)| (*c, s.as_str())).collect::<Vec<_>>());
    }
}
