//! What happened to a call that brought no answer, in a sentence for a person. Only a connection that was never made is
//! sure not to have carried the request; all else is unclear (CONTRACT §7).

use std::{error::Error, io, time::Duration};

use http::StatusCode;

use super::client::Timeouts;
use crate::{
    domain::Falla,
    exchange::PlatformError,
    soap::{AnswerError, ReadError},
};

/// Longest text of the other side that is repeated, in characters.
const EXCERPT_MAX: usize = 200;

/// The request failed before an answer began.
pub fn not_sent(host: &str, timeouts: Timeouts, error: &reqwest::Error) -> PlatformError {
    if error.is_connect() {
        let detalle = format!("No se pudo conectar con {host}: {}", why_no_connection(timeouts, error));
        return PlatformError::new(Falla::SinConexion, detalle);
    }
    if error.is_timeout() {
        PlatformError::new(Falla::TiempoAgotado, too_late(host, timeouts.total))
    } else if error.is_builder() {
        PlatformError::new(Falla::RespuestaIlegible, format!("La petición a {host} no se pudo preparar"))
    } else if find_io(error).is_some_and(|e| e.kind() == io::ErrorKind::InvalidData) || find_store(error) {
        let detalle = "El documento no se pudo leer del almacén mientras se enviaba";
        PlatformError::new(Falla::Almacen, detalle)
    } else {
        PlatformError::new(Falla::ConexionCortada, format!("La conexión con {host} se cortó antes de la respuesta"))
    }
}

/// An answer began and is none.
pub fn no_answer(host: &str, code: StatusCode, total: Duration, error: &AnswerError) -> PlatformError {
    let (falla, detalle) = match error {
        AnswerError::Fault(fault) if is_busy(code) => return status(host, code, Some(&fault.text)),
        AnswerError::Fault(fault) if fault.text.is_empty() => {
            (Falla::FalloSoap, format!("{host} respondió con un fallo SOAP sin explicación"))
        }
        AnswerError::Fault(fault) => {
            (Falla::FalloSoap, format!("{host} respondió con un fallo SOAP: «{}»", excerpt(&fault.text)))
        }
        AnswerError::Read(ReadError::Io(error)) if is_timeout(error) => (Falla::TiempoAgotado, too_late(host, total)),
        AnswerError::Read(ReadError::Io(_)) => {
            (Falla::ConexionCortada, format!("La conexión con {host} se cortó a mitad de la respuesta"))
        }
        AnswerError::Read(ReadError::Sink(_)) => {
            (Falla::Almacen, format!("El documento que trae la respuesta de {host} no se pudo guardar"))
        }
        AnswerError::NotSoap { excerpt: text } if !code.is_success() => return status(host, code, Some(text)),
        _ if !code.is_success() => return status(host, code, None),
        AnswerError::Empty => (Falla::RespuestaVacia, format!("{host} respondió vacío (HTTP {})", code.as_u16())),
        AnswerError::NotSoap { excerpt: text } => {
            (Falla::PaginaWeb, format!("{host} respondió algo que no es SOAP: «{}»", excerpt(text)))
        }
        AnswerError::Null => (Falla::SinCodigo, format!("{host} respondió nulo")),
        AnswerError::Version => {
            (Falla::RespuestaIlegible, format!("{host} respondió con una versión de SOAP que no es la 1.1"))
        }
        AnswerError::Unexpected(name) => {
            (Falla::RespuestaIlegible, format!("{host} respondió otra operación: «{}»", excerpt(name)))
        }
        AnswerError::Code(code) => {
            (Falla::CodigoDesconocido, format!("{host} respondió un código que no se conoce: «{}»", excerpt(code)))
        }
        AnswerError::Read(ReadError::TooLarge | ReadError::Limit(_)) => {
            (Falla::RespuestaIlegible, format!("La respuesta de {host} excede el tamaño que se admite"))
        }
        AnswerError::Read(error) => {
            (Falla::RespuestaIlegible, format!("La respuesta de {host} no se pudo leer ({})", error.code()))
        }
    };
    PlatformError::new(falla, detalle)
}

/// A status that is not the service's own answer.
pub fn status(host: &str, code: StatusCode, text: Option<&str>) -> PlatformError {
    let what = match code {
        _ if code.is_redirection() => " (una redirección, que no se sigue)",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => " (no autorizado: ¿está registrada la IP pública?)",
        StatusCode::NOT_FOUND => " (no existe: ¿es correcta la dirección?)",
        code if is_busy(code) => " (pide volver más tarde)",
        _ => "",
    };
    let said = text.map(excerpt).filter(|text| !text.is_empty()).map_or(String::new(), |text| format!(": «{text}»"));
    let falla = if is_busy(code) { Falla::Ocupada } else { Falla::ErrorHttp };
    PlatformError::new(falla, format!("{host} respondió HTTP {}{what}{said}", code.as_u16()))
}

/// Whoever answers this takes no more for the moment, whether it says so in a fault or not.
fn is_busy(code: StatusCode) -> bool {
    matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn too_late(host: &str, total: Duration) -> String {
    format!("{host} no respondió en {} s", total.as_secs_f64())
}

fn why_no_connection(timeouts: Timeouts, error: &reqwest::Error) -> String {
    use io::ErrorKind as K;
    if error.is_timeout() {
        return format!("no contestó en {} s", timeouts.connect.as_secs_f64());
    }
    if error.is_dns() {
        return "su nombre no se encuentra en el DNS".into();
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return format!("no se aceptó su TLS ({tls})");
    }
    match find_io(error).map(io::Error::kind) {
        Some(K::ConnectionRefused) => "la conexión fue rechazada".into(),
        Some(K::HostUnreachable | K::NetworkUnreachable) => "la red no llega hasta allí".into(),
        Some(K::ConnectionReset | K::UnexpectedEof | K::BrokenPipe) => "la conexión se cortó al iniciarse".into(),
        _ => "la conexión falló".into(),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<reqwest::Error>());
    error.kind() == io::ErrorKind::TimedOut || inner.is_some_and(reqwest::Error::is_timeout)
}

fn find_store(error: &reqwest::Error) -> bool {
    find::<crate::store::StoreError>(error).is_some()
}

fn find_io(error: &reqwest::Error) -> Option<&io::Error> {
    find::<io::Error>(error)
}

/// The first error of this type in the chain, looking into I/O errors too.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The beginning of a text, without markup, on one line.
fn excerpt(text: &str) -> String {
    let (mut plain, mut in_tag) = (String::new(), false);
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                plain.push(' ');
            }
            c if !in_tag => plain.push(c),
            _ => {}
        }
    }
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= EXCERPT_MAX {
        return words;
    }
    words.chars().take(EXCERPT_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_one_short_line_of_text() {
        assert_eq!(excerpt("<html><title>502 Bad\nGateway</title> <h1>nginx</h1"), "502 Bad Gateway nginx");
        assert_eq!(excerpt(&"á".repeat(300)).chars().count(), EXCERPT_MAX + 1);
        assert_eq!(excerpt("<"), "");
    }
}
