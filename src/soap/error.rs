//! Why a message could not be read, and what to answer to its sender.

use std::io;

use super::fault::{Fault, FaultCode};

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No byte of content.
    #[error("the message is empty")]
    Empty,
    /// Not well-formed XML, or cut short. `at` is the offset in bytes.
    #[error("not well-formed XML near byte {at}: {what}")]
    NotXml { at: u64, what: String },
    /// XML that SOAP or this reader forbids: a document type, an entity.
    #[error("forbidden in a SOAP message: {0}")]
    Forbidden(&'static str),
    /// Bytes that are not what the encoding says, or an encoding that is not read.
    #[error("{0}")]
    Encoding(&'static str),
    /// The root is no Envelope at all.
    #[error("the root element is «{0}», not a SOAP Envelope")]
    NotEnvelope(String),
    /// An Envelope of another SOAP version, or of none.
    #[error("the Envelope is in namespace «{0}», not SOAP 1.1")]
    Version(String),
    /// A header block that must be understood and is not.
    #[error("header «{0}» must be understood")]
    MustUnderstand(String),
    /// The Body has no content.
    #[error("the SOAP Body is empty")]
    EmptyBody,
    /// The Body's content is no operation of the service.
    #[error("unknown operation «{{{namespace}}}{local}»")]
    UnknownOperation { namespace: String, local: String },
    /// A mandatory structure is missing.
    #[error("element «{0}» is missing")]
    Missing(&'static str),
    /// Elements where they mean nothing.
    #[error("unexpected content in «{0}»")]
    Unexpected(String),
    /// An element that may stand once stands twice: which one is meant cannot be known.
    #[error("element «{0}» is repeated")]
    Repeated(String),
    /// One of the reader's limits.
    #[error("limit exceeded: {0}")]
    Limit(&'static str),
    /// More bytes than the message may have.
    #[error("the message is larger than allowed")]
    TooLarge,
    /// The document's sink failed: our own fault.
    #[error("the document could not be stored: {0}")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stream broke.
    #[error("the message did not arrive whole: {0}")]
    Io(#[source] io::Error),
}

impl ReadError {
    /// A stable code for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotXml { .. } => "not_xml",
            Self::Forbidden(_) => "forbidden_xml",
            Self::Encoding(_) => "encoding",
            Self::NotEnvelope(_) => "not_envelope",
            Self::Version(_) => "version_mismatch",
            Self::MustUnderstand(_) => "must_understand",
            Self::EmptyBody => "empty_body",
            Self::UnknownOperation { .. } => "unknown_operation",
            Self::Missing(_) => "missing_structure",
            Self::Unexpected(_) => "unexpected_content",
            Self::Repeated(_) => "repeated_element",
            Self::Limit(_) => "limit",
            Self::TooLarge => "too_large",
            Self::Sink(_) => "sink",
            Self::Io(_) => "io",
        }
    }

    /// The fault to answer. For [`ReadError::Io`] nobody may be there any more to read it.
    pub fn fault(&self) -> Fault {
        let client = |text: String| Fault::client(text);
        match self {
            Self::Empty => client("El mensaje está vacío.".into()),
            Self::NotXml { at, .. } => {
                client(format!("El mensaje no es XML bien formado (cerca del byte {at}) o llegó incompleto."))
            }
            Self::Forbidden(what) => client(format!("El mensaje contiene algo que SOAP no admite: {what}.")),
            Self::Encoding(_) => client("El mensaje no corresponde a su codificación de caracteres declarada.".into()),
            Self::NotEnvelope(name) => client(format!("Se esperaba un sobre SOAP 1.1 y se recibió «{name}».")),
            Self::Version(_) => Fault {
                code: FaultCode::VersionMismatch,
                text: "Se esperaba un sobre SOAP 1.1 (http://schemas.xmlsoap.org/soap/envelope/).".into(),
            },
            Self::MustUnderstand(name) => Fault {
                code: FaultCode::MustUnderstand,
                text: format!("La cabecera «{name}» es obligatoria y no se conoce en este servicio."),
            },
            Self::EmptyBody => client("El cuerpo del mensaje (Body) está vacío.".into()),
            Self::UnknownOperation { namespace, local } => client(format!(
                "La operación «{local}» del espacio de nombres «{namespace}» no existe en este servicio."
            )),
            Self::Missing(name) => client(format!("Falta el elemento «{name}».")),
            Self::Unexpected(name) => client(format!("El elemento «{name}» tiene un contenido inesperado.")),
            Self::Repeated(name) => client(format!("El elemento «{name}» está repetido.")),
            Self::Limit(what) => client(format!("El mensaje excede un límite: {what}.")),
            Self::TooLarge => client("El mensaje excede el tamaño permitido.".into()),
            Self::Sink(_) => Fault::server("No se pudo guardar el documento. Vuelva a intentarlo más tarde."),
            Self::Io(_) => client("El mensaje llegó incompleto.".into()),
        }
    }

    /// Whether it is our own fault: the same message may succeed later.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Sink(_))
    }
}
