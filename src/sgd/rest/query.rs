//! What stands in a request's address: parameters, checked by name so that a misspelt filter is an error and not ignored,
//! and ids.

use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};

use jiff::{Timestamp, civil::Date};

use crate::{
    config,
    domain::{Id, Ruc, lima},
    http::{Acceso, Code, Problem},
};

/// Items of a page when the caller does not say, and at most.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;

/// A date without a time: `2026-11-21`.
const DATE_CHARS: usize = 10;

/// Which moment of a day a date without a time stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    First,
    Last,
}

/// The parameters of a request, still texts.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::try_from_uri(&parts.uri)
            .map_err(|_| Problem::new(Code::ParametroNoValido, "Los parámetros de la dirección no se pueden leer"))?;
        Ok(Self(pairs))
    }
}

fn invalid(name: &str, what: &str) -> Problem {
    Problem::new(Code::ParametroNoValido, format!("«{name}» {what}"))
}

impl Params {
    /// Refuses parameters other than these, and repeated ones.
    pub fn only(self, known: &[&str]) -> Result<Self, Problem> {
        for (n, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let nearest = config::nearest(name, known.iter().copied());
                let hint = nearest.map(|known| format!("; ¿quiso decir «{known}»?")).unwrap_or_default();
                return Err(invalid(name, &format!("no es un parámetro de esta dirección{hint}")));
            }
            if self.0.iter().take(n).any(|(other, _)| other == name) {
                return Err(invalid(name, "está más de una vez"));
            }
        }
        Ok(self)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).filter(|text| !text.is_empty())
    }

    fn parsed<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Problem> {
        self.text(name).map(|text| text.parse().map_err(|_| invalid(name, what))).transpose()
    }

    /// `limit`, within its bounds.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.parsed("limit", "debe ser un número entre 1 y 500")?.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(invalid("limit", "debe ser un número entre 1 y 500"))
        }
    }

    /// `cursor` of a list of records.
    pub fn cursor(&self) -> Result<Option<Id>, Problem> {
        self.parsed("cursor", "debe ser el next_cursor de una respuesta anterior")
    }

    /// The id of a record.
    pub fn id(&self, name: &str) -> Result<Option<Id>, Problem> {
        self.parsed(name, "debe ser el identificador de un registro")
    }

    pub fn number(&self, name: &str, max: u64) -> Result<Option<u64>, Problem> {
        let what = format!("debe ser un número entre 0 y {max}");
        let number: Option<u64> = self.parsed(name, &what)?;
        if number.is_some_and(|n| n > max) { Err(invalid(name, &what)) } else { Ok(number) }
    }

    /// A moment, or a day in Lima.
    pub fn time(&self, name: &str, edge: Edge) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name).map(str::trim) else { return Ok(None) };
        let whole_day = text.parse::<Date>().ok().filter(|_| text.len() == DATE_CHARS && edge == Edge::Last);
        let read = match whole_day {
            Some(day) => lima::desde_lima(day.at(23, 59, 59, 999_999_999)),
            None => lima::leer(text),
        };
        let what = "debe ser una fecha, como 2026-11-21 o 2026-11-21T09:30:00-05:00";
        read.map(Some).ok_or_else(|| invalid(name, what))
    }

    /// One of a few words, such as a state.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        found.map(Some).ok_or_else(|| invalid(name, &format!("debe ser uno de: {}", all.join(", "))))
    }
}

/// The id in a path. What is no id names no record.
pub fn id(text: &str) -> Result<Id, Problem> {
    text.parse().map_err(|_| not_found(text))
}

pub fn not_found(what: &str) -> Problem {
    Problem::new(Code::NoExiste, format!("No existe «{what}»"))
}

/// The entity a request is for: the key's, or the one it names (`stated`), or the only one there is.
pub fn entity(acceso: &Acceso, stated: Option<&str>, ours: &[crate::domain::EntidadPropia]) -> Result<Ruc, Problem> {
    let not_allowed = |text: &str| {
        Problem::new(Code::EntidadNoPermitida, format!("La entidad {text} no es la de la clave o no se atiende aquí"))
    };
    match (&acceso.entidad, stated.map(str::trim).filter(|text| !text.is_empty())) {
        (Some(own), None) => Ok(own.clone()),
        (own, Some(text)) => {
            let ruc = Ruc::de_contraparte(text).map_err(|_| not_allowed(text))?;
            let allowed = own.as_ref().is_none_or(|own| *own == ruc) && ours.iter().any(|e| e.ruc == ruc);
            if allowed { Ok(ruc) } else { Err(not_allowed(text)) }
        }
        (None, None) => match ours {
            [only] => Ok(only.ruc.clone()),
            _ => Err(Problem::field(
                "entidad",
                "no_especificado",
                "La clave no es de una entidad: diga cuál con «entidad»",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Time;

    use super::*;
    use crate::{domain::EntidadPropia, exchange::Actor, store::Rol};

    fn params(pairs: &[(&str, &str)]) -> Params {
        Params(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn misspelt_and_repeated_parameters_are_errors() {
        let known = ["limit", "cursor", "estado"];
        assert!(params(&[("limit", "5"), ("estado", "enviado")]).only(&known).is_ok());
        let misspelt = params(&[("estados", "enviado")]).only(&known).unwrap_err();
        assert_eq!(misspelt.detail(), "«estados» no es un parámetro de esta dirección; ¿quiso decir «estado»?");
        assert!(params(&[("limit", "5"), ("limit", "6")]).only(&known).is_err());
    }

    #[test]
    fn limits_have_bounds() {
        assert_eq!(params(&[]).limit().unwrap(), 50);
        assert_eq!(params(&[("limit", "500")]).limit().unwrap(), 500);
        for text in ["0", "501", "-1", "x"] {
            assert!(params(&[("limit", text)]).limit().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_of_an_entity_names_no_other() {
        let ruc = |text| Ruc::de_contraparte(text).unwrap();
        let own = |text| EntidadPropia { ruc: ruc(text), nombre: "X".into(), cierre: Time::midnight() };
        let (a, b) = (own("20168999926"), own("20537630222"));
        let key = |entidad| Acceso { actor: Actor::local(), rol: Rol::Sgd, entidad, clave: None };
        let (of_a, of_all) = (key(Some(a.ruc.clone())), key(None));
        let both = [a.clone(), b.clone()];
        assert_eq!(entity(&of_a, None, &both).unwrap(), a.ruc);
        assert_eq!(entity(&of_a, Some("20168999926"), &both).unwrap(), a.ruc);
        assert_eq!(entity(&of_a, Some("20537630222"), &both).unwrap_err().code(), Code::EntidadNoPermitida);
        assert_eq!(entity(&of_all, Some("20537630222"), &both).unwrap(), b.ruc);
        assert_eq!(entity(&of_all, Some("20131312955"), &both).unwrap_err().code(), Code::EntidadNoPermitida);
        assert_eq!(entity(&of_all, None, &both).unwrap_err().code(), Code::CamposNoValidos);
        assert_eq!(entity(&of_all, None, std::slice::from_ref(&a)).unwrap(), a.ruc);
    }
}
