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
        contract::fixture::{self, Chunks, Collected, envelope, pdf, text, tramite, twice, wire},
        domain::Contenido,
        soap::{FaultCode, sink::Discard},
    };

    const LIMITS: Limits = Limits::with_document(10_000_000);

    async fn receive(xml: &[u8]) -> (Result<Incoming<Request>, ReadError>, Vec<u8>) {
        let mut sink = Collected::default();
        let read = match EnvelopeReader::open(Chunks::new(xml, 1000), None, LIMITS).await {
            Ok(envelope) => read(envelope, &mut sink).await,
            Err(error) => Err(error),
        };
        (read, sink.0)
    }

    /// What a Body is read as, and the tolerances it took.
    async fn body(xml: &str) -> Result<Incoming<Request>, ReadError> {
        receive(envelope(xml).as_bytes()).await.0
    }

    async fn recepcion(fields: &str) -> (Tramite, Vec<Tolerancia>) {
        let xml = format!(
            "<t:recepcionarTramiteResponse xmlns:t='{NAMESPACE}' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>\
             <recepcionRequest>{fields}</recepcionRequest></t:recepcionarTramiteResponse>"
        );
        match body(&xml).await.unwrap() {
            Incoming { request: Request::Recepcionar(tramite), tolerancias } => (*tramite, tolerancias),
            other => panic!("{other:?}"),
        }
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

    #[tokio::test]
    async fn every_departure_from_the_contract_is_accepted_and_named() {
        let consulta = |xml: &str| xml.replace("{E}", NAMESPACE).replace("{P}", iotramite::NAMESPACE);
        let cases = [
            (
                "<a:recepcionarTramiteResponse xmlns:a='{E}'><request/></a:recepcionarTramiteResponse>",
                "part_named_request",
            ),
            ("<a:cargoResponse xmlns:a='{E}'><request/></a:cargoResponse>", "part_named_request"),
            ("<a:cargoResponse xmlns:a='{P}'><cargoRequest/></a:cargoResponse>", "platform_namespace"),
            (
                "<a:recepcionarTramiteResponse xmlns:a='{P}'><request/></a:recepcionarTramiteResponse>",
                "platform_namespace part_named_request",
            ),
            (
                "<a:consultarTramiteResponse xmlns:a='{E}'><request><vcuo>1</vcuo></request></a:consultarTramiteResponse>",
                "consulta_structure",
            ),
            (
                "<consultarTramiteResponse xmlns='{E}'><request>1</request></consultarTramiteResponse>",
                "qualified_fields",
            ),
            (
                "<a:cargoResponse xmlns:a='{E}' xmlns:i='http://www.w3.org/2001/XMLSchema-instance'><cargoRequest>\
                 <vobs i:nil='true'/></cargoRequest></a:cargoResponse>",
                "xsi_nil",
            ),
            ("<a:cargoResponse xmlns:a='{E}'><cargoRequest/></a:cargoResponse>", ""),
        ];
        for (xml, expected) in cases {
            let tolerancias = body(&consulta(xml)).await.unwrap().tolerancias;
            let names: Vec<&str> = tolerancias.iter().map(|t| t.name()).collect();
            assert_eq!(names.join(" "), expected, "{xml}");
        }
        let once = base64_simd::STANDARD.encode_to_string(pdf(100));
        assert_eq!(recepcion(&format!("<bpdfdoc>{once}</bpdfdoc>")).await.1, [Tolerancia::EncodedOnce]);
        let (placeholder, tolerancias) = recepcion("<vurldocanx> ? </vurldocanx>").await;
        assert_eq!((placeholder.url_anexos, tolerancias), (None, vec![Tolerancia::UrlPlaceholder]));
        let utf16: Vec<u8> = text(&consultar("1").message).encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(receive(&utf16).await.0.unwrap().tolerancias, [Tolerancia::OtherEncoding]);
    }

    #[tokio::test]
    async fn a_consulta_as_a_structure_keeps_its_rucs() {
        let xml = format!(
            "<consultarTramiteResponse xmlns='{NAMESPACE}'><request xmlns=''><vrucentrem>20168999926</vrucentrem>\
             <vrucentrec>20900000015</vrucentrec><vcuo>19</vcuo></request></consultarTramiteResponse>"
        );
        let Request::Consultar(consulta) = body(&xml).await.unwrap().request else { panic!() };
        let some = |t: &str| Some(t.to_owned());
        let expected =
            Consulta { ruc_remitente: some("20168999926"), ruc_receptor: some("20900000015"), cuo: some("19") };
        assert_eq!(consulta, expected);
    }

    #[tokio::test]
    async fn fields_come_in_any_order_and_what_is_unknown_is_ignored() {
        let document = twice(&pdf(50));
        let (t, tolerancias) = recepcion(&format!(
            "<x>{document}</x><bpdfdoc>{document}</bpdfdoc> <snumfol> 3 </snumfol><vcuo>19</vcuo><nested><vcuo>20</vcuo></nested>\
             <snumanx>+1</snumanx><vasu xsi:type='string'>Ñ</vasu><vrucentrem/><dfecdoc> </dfecdoc>\
             <lstanexos><dfecreg>2026-01-01T00:00:00</dfecreg><siddocanx>0</siddocanx><siddocext>0</siddocext>\
             <vnomdoc>a.pdf</vnomdoc></lstanexos><lstanexos/><lstanexos xsi:nil='true'/><lstanexos><vnomdoc/></lstanexos>\
             <lstanexos>b.pdf</lstanexos>"
        ))
        .await;
        let expected = Tramite {
            contenido: Contenido::Pdf { una_vez: false },
            folios: Some(3),
            numero_anexos: Some(1),
            cuo: Some("19".into()),
            asunto: Some("Ñ".into()),
            anexos: vec![Some("a.pdf".into()), None, Some("b.pdf".into())],
            ..Tramite::default()
        };
        assert_eq!((t, tolerancias), (expected, vec![Tolerancia::XsiNil]));
        let (t, _) = recepcion("<snumfol>tres</snumfol><snumanx>1.5</snumanx>").await;
        assert_eq!((t.folios, t.numero_anexos), (None, None), "no numbers");
    }

    #[tokio::test]
    async fn what_is_no_request_gets_a_fault() {
        let e = NAMESPACE;
        let wrap = |op: &str, inner: &str| format!("<a:{op} xmlns:a='{e}'>{inner}</a:{op}>");
        let recibir = |inner: &str| wrap("recepcionarTramiteResponse", inner);
        let nil = "xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:nil='true'";
        for (xml, code) in [
            (recibir(""), "missing_structure"),
            (recibir("<vcuo>19</vcuo>"), "missing_structure"),
            (recibir(&format!("<recepcionRequest {nil}/>")), "missing_structure"),
            (wrap("cargoResponse", "<recepcionRequest/>"), "missing_structure"),
            (wrap("consultarTramiteResponse", ""), "missing_structure"),
            (wrap("borrarTramite", "<request/>"), "unknown_operation"),
            (wrap("getTipoDocumento", ""), "unknown_operation"),
            (
                "<recepcionarTramiteResponse><recepcionRequest/></recepcionarTramiteResponse>".into(),
                "unknown_operation",
            ),
            ("<a:cargoResponse xmlns:a='urn:x'><cargoRequest/></a:cargoResponse>".into(), "unknown_operation"),
            (recibir("<recepcionRequest/><recepcionRequest/>"), "repeated_element"),
            (recibir("<recepcionRequest/><request/>"), "repeated_element"),
            (recibir("<recepcionRequest><vcuo>1</vcuo><vcuo>2</vcuo></recepcionRequest>"), "repeated_element"),
            (recibir("<recepcionRequest><vcuo/><vcuo>2</vcuo></recepcionRequest>"), "repeated_element"),
            (
                recibir("<recepcionRequest><snumfol>1</snumfol><snumfol>1</snumfol></recepcionRequest>"),
                "repeated_element",
            ),
            (recibir("<recepcionRequest><bpdfdoc/><bpdfdoc/></recepcionRequest>"), "repeated_element"),
            (recibir("<recepcionRequest><vcuo><b/></vcuo></recepcionRequest>"), "unexpected_content"),
            (format!("{}<second/>", recibir("<recepcionRequest/>")), "unexpected_content"),
        ] {
            let error = body(&xml).await.err().unwrap_or_else(|| panic!("{xml} was accepted"));
            assert_eq!((error.code(), error.fault().code), (code, FaultCode::Client), "{xml}");
        }
    }

    #[tokio::test]
    async fn the_operation_is_known_before_the_document_arrives() {
        let xml = wire(recepcionar(&tramite(), Some(100)).message, &pdf(100)).await;
        let envelope = EnvelopeReader::open(&xml[..500], None, LIMITS).await.unwrap();
        assert_eq!(operation(&envelope).unwrap(), Operation::Recepcionar);
    }

    #[tokio::test]
    async fn answers_are_read_back_trimmed_and_null_is_told() {
        for op in [Operation::Recepcionar, Operation::Cargo] {
            let sent = Respuesta::nueva("0000", "El documento N° CUO 19 <está> a disposición");
            let xml = text(&respuesta(op, &sent));
            assert_eq!(read_respuesta(xml.as_bytes(), None, op).await.unwrap(), sent);
        }
        let answer = async |inner: &str| {
            let xml = envelope(&format!(
                "<n:cargoResponseResponse xmlns:n='urn:any' xmlns:i='http://www.w3.org/2001/XMLSchema-instance'>{inner}\
                 </n:cargoResponseResponse>"
            ));
            read_respuesta(xml.as_bytes(), None, Operation::Cargo).await
        };
        let spaced = answer(
            "<n:return i:type='n:x'><n:vdesres> si </n:vdesres><n:vcodres> 0000\n</n:vcodres><n:otro/></n:return>",
        );
        assert_eq!(spaced.await.unwrap(), Respuesta::nueva("0000", "si"));
        let none = answer("<return><vcodres i:nil='true'/><vdesres/></return>").await.unwrap();
        assert_eq!(none, Respuesta::default());
        assert_eq!(answer("<return/>").await.unwrap(), Respuesta::default());
        for null in ["", "<return i:nil='true'/>", "<other/>"] {
            assert!(matches!(answer(null).await, Err(AnswerError::Null)), "{null}");
        }
        let twice = answer("<return><vcodres>0000</vcodres><vcodres>0003</vcodres></return>").await;
        assert!(matches!(twice, Err(AnswerError::Read(ReadError::Repeated(_)))));
    }

    #[tokio::test]
    async fn a_consultas_answer_brings_its_cargo() {
        let document = pdf(3000);
        let cargo = CargoTramite { ruc_emisor: None, ruc_destino: None, anexos: None, ..fixture::cargo() };
        let sent = RespuestaConsulta { respuesta: Respuesta::nueva("0000", "DATOS ENCONTRADOS"), cargo };
        let xml = wire(respuesta_consulta(&sent, Some(3000)), &document).await;
        let mut sink = Collected::default();
        let mut read = read_respuesta_consulta(Chunks::new(xml, 999), None, LIMITS, &mut sink).await.unwrap();
        assert_eq!(std::mem::take(&mut read.cargo.contenido), Contenido::Pdf { una_vez: false });
        assert_eq!((read, sink.0 == document), (sent, true));

        let missing = RespuestaConsulta {
            respuesta: Respuesta::nueva("0001", "DATOS NO ENCONTRADOS"),
            ..RespuestaConsulta::default()
        };
        let xml = text(&respuesta_consulta(&missing, None));
        assert_eq!(read_respuesta_consulta(xml.as_bytes(), None, LIMITS, &mut Discard).await.unwrap(), missing);
    }
}
