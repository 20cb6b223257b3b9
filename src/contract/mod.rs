//! The four contracts of the platform, in both directions and from both ends: XML to `domain` and back (CONTRACT §2–§4).
//! The wire's field names live only here. Written in each WSDL's order; read by local name in any order, ignoring what is
//! unknown. Decides nothing: what is missing stays missing for `domain::validation` to judge.

pub mod cuo;
pub mod entidad;
mod fields;
#[cfg(test)]
mod fixture;
pub mod iotramite;
pub mod shape;
#[cfg(test)]
mod tests;
pub mod tramite;
pub mod wsdl;

use crate::soap::{AnswerError, EnvelopeReader, Message, ReadError};

pub use crate::domain::Consulta;

/// Which of the platform's two flavours is spoken to, or played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Production,
    Test,
}

/// The operations that entity and platform share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Recepcionar,
    Cargo,
    Consultar,
}

impl Operation {
    pub const ALL: [Self; 3] = [Self::Recepcionar, Self::Cargo, Self::Consultar];

    /// The wire's name, of the operation and of its request element.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recepcionar => "recepcionarTramiteResponse",
            Self::Cargo => "cargoResponse",
            Self::Consultar => "consultarTramiteResponse",
        }
    }

    fn answer_name(self) -> String {
        format!("{}Response", self.name())
    }

    fn of(local: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == local)
    }
}

/// A departure from the contract that was accepted. Each is counted and shown (CONTRACT §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tolerancia {
    /// The part is named `request` instead of `recepcionRequest` or `cargoRequest`.
    PartNamedRequest,
    /// The operation's element is in the platform's namespace at the entity's side.
    PlatformNamespace,
    /// The consulta is a structure where the entity's contract has the CUO alone.
    ConsultaStructure,
    /// The document was encoded once instead of twice.
    EncodedOnce,
    /// Fields are in a namespace where the contract has none.
    QualifiedFields,
    /// `xsi:nil` instead of leaving an element out.
    XsiNil,
    /// `?` as the address of the annexes.
    UrlPlaceholder,
    /// The message is not in UTF-8.
    OtherEncoding,
}

impl Tolerancia {
    pub const ALL: [Self; 8] = [
        Self::PartNamedRequest,
        Self::PlatformNamespace,
        Self::ConsultaStructure,
        Self::EncodedOnce,
        Self::QualifiedFields,
        Self::XsiNil,
        Self::UrlPlaceholder,
        Self::OtherEncoding,
    ];

    /// Stable name, for metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::PartNamedRequest => "part_named_request",
            Self::PlatformNamespace => "platform_namespace",
            Self::ConsultaStructure => "consulta_structure",
            Self::EncodedOnce => "encoded_once",
            Self::QualifiedFields => "qualified_fields",
            Self::XsiNil => "xsi_nil",
            Self::UrlPlaceholder => "url_placeholder",
            Self::OtherEncoding => "other_encoding",
        }
    }
}

/// What a server read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming<T> {
    pub request: T,
    /// Each at most once.
    pub tolerancias: Vec<Tolerancia>,
}

/// What a client sends: the value of SOAPAction, without quotes, and the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    pub soap_action: &'static str,
    pub message: Message,
}

/// Reads the operation's end and the message's.
async fn finish<R, T>(
    envelope: EnvelopeReader<R>,
    request: T,
    tolerancias: Tolerancias,
) -> Result<Incoming<T>, ReadError>
where
    R: tokio::io::AsyncRead + Unpin + Send,
{
    let mut tolerancias = tolerancias;
    tolerancias.note_if(envelope.saw_nil(), Tolerancia::XsiNil);
    tolerancias.note_if(envelope.saw_qualified(), Tolerancia::QualifiedFields);
    tolerancias.note_if(envelope.transcoded(), Tolerancia::OtherEncoding);
    envelope.finish().await?;
    Ok(Incoming { request, tolerancias: tolerancias.0 })
}

/// The answer's single text, as `getCUO` and `validarEntidad` have it.
async fn return_text<R>(mut envelope: EnvelopeReader<R>) -> Result<String, AnswerError>
where
    R: tokio::io::AsyncRead + Unpin + Send,
{
    let mut text = None;
    while let Some(element) = envelope.child().await? {
        match element.local.as_str() {
            "return" => text = envelope.text().await?,
            _ => envelope.skip().await?,
        }
    }
    envelope.finish().await?;
    text.map(|t| t.trim().to_owned()).ok_or(AnswerError::Null)
}

/// Tolerances met while reading one message.
#[derive(Debug, Default)]
struct Tolerancias(Vec<Tolerancia>);

impl Tolerancias {
    fn note(&mut self, tolerancia: Tolerancia) {
        if !self.0.contains(&tolerancia) {
            self.0.push(tolerancia);
        }
    }

    fn note_if(&mut self, met: bool, tolerancia: Tolerancia) {
        if met {
            self.note(tolerancia);
        }
    }
}
