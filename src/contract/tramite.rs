//! The entity's component `Tramite`: what the platform calls at us, and what the simulator calls at an entity.

use tokio::io::AsyncRead;

use super::{
    Consulta, Incoming, Operation, Outgoing, Tolerancia, Tolerancias,
    fields::{self, Side},
    finish, iotramite,
};
use crate::{
    domain::{
        CargoTramite, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
    },
    soap::{
        AnswerError, DocumentSink, EnvelopeReader, Limits, Message, ReadError, answer, envelope::Content,
        writer::Writer,
    },
};

pub const NAMESPACE: &str = "http://ws.wsiotramite.segdi.gob.pe/";
const RECEPCION: &str = "recepcionRequest";
const CARGO: &str = "cargoRequest";
const REQUEST: &str = "request";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Recepcionar(Box<Tramite>),
    Cargo(Box<CargoTramite>),
    Consultar(Consulta),
}

impl Request {
    pub fn operation(&self) -> Operation {
        match self {
            Self::Recepcionar(_) => Operation::Recepcionar,
            Self::Cargo(_) => Operation::Cargo,
            Self::Consultar(_) => Operation::Consultar,
        }
    }
}

/// Which operation an envelope asks for; known before its document is read.
pub fn operation<R: AsyncRead + Unpin + Send>(envelope: &EnvelopeReader<R>) -> Result<Operation, ReadError> {
    let element = envelope.operation();
    let known = matches!(element.namespace.as_str(), NAMESPACE | iotramite::NAMESPACE);
    Operation::of(&element.local).filter(|_| known).ok_or_else(|| ReadError::UnknownOperation {
        namespace: element.namespace.clone(),
        local: element.local.clone(),
    })
}

/// Reads a whole request; its document, if it has one, into `sink`.
pub async fn read<R: AsyncRead + Unpin + Send>(
    mut envelope: EnvelopeReader<R>,
    sink: &mut dyn DocumentSink,
) -> Result<Incoming<Request>, ReadError> {
    let operation = operation(&envelope)?;
    let mut tolerancias = Tolerancias::default();
    tolerancias.note_if(envelope.operation().namespace == iotramite::NAMESPACE, Tolerancia::PlatformNamespace);
    let r = &mut envelope;
    let names: &[&'static str] = match operation {
        Operation::Recepcionar => &[RECEPCION, REQUEST],
        Operation::Cargo => &[CARGO, REQUEST],
        Operation::Consultar => &[REQUEST],
    };
    let part = fields::enter_part(r, names).await?;
    tolerancias.note_if(part == REQUEST && operation != Operation::Consultar, Tolerancia::PartNamedRequest);
    let request = match operation {
        Operation::Recepcionar => {
            Request::Recepcionar(Box::new(fields::read_tramite(r, sink, &mut tolerancias).await?))
        }
        Operation::Cargo => Request::Cargo(Box::new(fields::read_cargo(r, sink, &mut tolerancias).await?)),
        Operation::Consultar => Request::Consultar(match r.content().await? {
            Content::Text(cuo) => Consulta { cuo, ..Consulta::default() },
            Content::Elements => {
                tolerancias.note(Tolerancia::ConsultaStructure);
                fields::read_consulta(r).await?
            }
        }),
    };
    fields::leave_operation(r, names).await?;
    finish(envelope, request, tolerancias).await
}

/// The answer to [`Request::Recepcionar`] or [`Request::Cargo`].
pub fn respuesta(operation: Operation, respuesta: &Respuesta) -> Message {
    fields::respuesta(NAMESPACE, operation, respuesta)
}

/// The answer to [`Request::Consultar`]; `pdf_bytes` is the size of the cargo's PDF, if it is to be streamed.
pub fn respuesta_consulta(answer: &RespuestaConsulta, pdf_bytes: Option<u64>) -> Message {
    fields::respuesta_consulta(NAMESPACE, answer, pdf_bytes)
}

/// As the platform sends a document to an entity.
pub fn recepcionar(tramite: &Tramite, pdf_bytes: Option<u64>) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, Operation::Recepcionar.name());
    w.open(RECEPCION);
    fields::write_tramite(&mut w, Side::Entity, tramite, pdf_bytes);
    w.close(RECEPCION);
    outgoing(w)
}

/// As the platform sends a cargo to an entity.
pub fn cargo(cargo: &CargoTramite, pdf_bytes: Option<u64>) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, Operation::Cargo.name());
    w.open(CARGO);
    fields::write_cargo(&mut w, Side::Entity, true, cargo, pdf_bytes);
    w.close(CARGO);
    outgoing(w)
}

/// As the platform asks an entity.
pub fn consultar(cuo: &str) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, Operation::Consultar.name());
    w.text(REQUEST, cuo);
    outgoing(w)
}

fn outgoing(w: Writer) -> Outgoing {
    Outgoing { soap_action: "", message: w.finish() }
}

/// The answer to [`recepcionar`] or [`cargo`], whatever its HTTP status.
pub async fn read_respuesta<R: AsyncRead + Unpin + Send>(
    body: R,
    charset: Option<&str>,
    operation: Operation,
) -> Result<Respuesta, AnswerError> {
    let envelope = answer::open(body, charset, Limits::SMALL, &operation.answer_name()).await?;
    fields::read_respuesta(envelope).await
}

/// The answer to [`consultar`]; the cargo's PDF, if it holds one, into `sink`.
pub async fn read_respuesta_consulta<R: AsyncRead + Unpin + Send>(
    body: R,
    charset: Option<&str>,
    limits: Limits,
    sink: &mut dyn DocumentSink,
) -> Result<RespuestaConsulta, AnswerError> {
    let envelope = answer::open(body, charset, limits, &Operation::Consultar.answer_name()).await?;
    fields::read_respuesta_consulta(envelope, sink).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::fixture::{self, Collected, pdf, text, tramite, wire},
        domain::Contenido,
    };

    async fn receive(xml: &[u8]) -> (Result<Incoming<Request>, ReadError>, Vec<u8>) {
        let mut sink = Collected::default();
        let envelope = EnvelopeReader::open(xml, None, Limits::with_document(10_000_000)).await.unwrap();
        (read(envelope, &mut sink).await, sink.0)
    }

    #[tokio::test]
    async fn a_document_written_for_an_entity_is_read_back_whole() {
        let (sent, document) = (tramite(), pdf(20_000));
        let (read, received) = receive(&wire(recepcionar(&sent, Some(20_000)).message, &document).await).await;
        let expected = Tramite { contenido: Contenido::Pdf { una_vez: false }, ..sent };
        assert_eq!(read.unwrap(), Incoming { request: Request::Recepcionar(expected.into()), tolerancias: vec![] });
        assert!(received == document);
    }

    #[tokio::test]
    async fn a_cargo_written_for_an_entity_is_read_back_without_the_rucs_its_contract_lacks() {
        let (sent, document) = (fixture::cargo(), pdf(700));
        let (read, received) = receive(&wire(cargo(&sent, Some(700)).message, &document).await).await;
        let expected =
            CargoTramite { ruc_emisor: None, ruc_destino: None, contenido: Contenido::Pdf { una_vez: false }, ..sent };
        assert_eq!(read.unwrap(), Incoming { request: Request::Cargo(expected.into()), tolerancias: vec![] });
        assert!(received == document);
    }

    #[tokio::test]
    async fn a_question_is_its_cuo() {
        let xml = text(&consultar("0000000019").message);
        assert!(xml.contains("<request>0000000019</request>"), "{xml}");
        let (read, _) = receive(xml.as_bytes()).await;
        let expected = Consulta { cuo: Some("0000000019".into()), ..Consulta::default() };
        assert_eq!(read.unwrap(), Incoming { request: Request::Consultar(expected), tolerancias: vec![] });
    }
}
