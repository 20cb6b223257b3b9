//! What a person sees when something cannot be done: what happened, and the way back.

use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::layout;
use crate::{
    exchange::ExchangeError,
    http::{Code, FieldError, Problem, failure},
    store::StoreError,
};

/// Why a page was not shown.
pub enum Fault {
    Problem(Box<Problem>),
    /// The way leads elsewhere: to sign in, most often.
    Elsewhere(String),
}

impl Fault {
    pub fn missing(what: &str) -> Self {
        Problem::new(Code::NoExiste, format!("No existe {what}, o no es de su entidad")).into()
    }

    pub fn forbidden() -> Self {
        let detail = "Su rol no permite esta página o acción. Si la necesita, pídala a quien administra el servicio";
        Problem::new(Code::PermisoInsuficiente, detail).into()
    }

    pub fn wrong(detail: impl Into<String>) -> Self {
        Problem::new(Code::PeticionNoValida, detail).into()
    }

    /// What is wrong field by field, where that is what it is.
    pub fn fields(self) -> Result<Vec<FieldError>, Self> {
        match self {
            Self::Problem(problem) if !problem.errors().is_empty() => Ok(problem.errors().to_vec()),
            // What one can mend in the form is shown with it.
            Self::Problem(problem) if matches!(problem.code(), Code::FirmasInsuficientes | Code::Duplicado) => {
                Ok(vec![FieldError::new("", problem.code().word(), problem.detail())])
            }
            other => Err(other),
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<ExchangeError> for Fault {
    fn from(error: ExchangeError) -> Self {
        failure::exchange(error).into()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        failure::store(error).into()
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Elsewhere(address) => return Redirect::to(&address).into_response(),
            Self::Problem(problem) => problem,
        };
        // The API's titles speak of keys and routes; a person has an account and pages.
        let title = match problem.code() {
            Code::PermisoInsuficiente | Code::EntidadNoPermitida => "Su cuenta no permite esto",
            Code::RutaNoExiste | Code::MetodoNoPermitido => "Esta página no existe",
            code => code.title(),
        };
        let page = layout::bare(
            title,
            html! {
                h1 { (title) }
                p.detalle-falla { (problem.detail()) }
                @if !problem.errors().is_empty() {
                    ul { @for error in problem.errors() { li { strong { (error.field) } ": " (error.detail) } } }
                }
                p.acciones { a.boton href="/" { "Ir al inicio" } }
                p.tenue { "Código: " code { (problem.code().word()) } }
            },
        );
        (problem.code().status(), page).into_response()
    }
}
