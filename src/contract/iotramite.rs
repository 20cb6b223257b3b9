//! The platform's tramite service: `PcmIMgdTramite` in production, `IOTramite` for tests.

use tokio::io::AsyncRead;

use super::{
    Consulta, Flavour, Incoming, Operation, Outgoing, Tolerancias,
    fields::{self, Side},
    finish,
};
use crate::{
    domain::{
        CargoTramite, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
        entidad::TipoDocumento,
    },
    soap::{AnswerError, DocumentSink, EnvelopeReader, Limits, Message, ReadError, answer, writer::Writer},
};

/// The answers are read as the entity's are: only their namespace differs.
pub use super::tramite::{read_respuesta, read_respuesta_consulta};

pub const NAMESPACE: &str = "http://ws.wsiopidetramite.segdi.gob.pe/";
const TIPO_DOCUMENTO: &str = "getTipoDocumento";
const TIPO_DOCUMENTO_RESPONSE: &str = "getTipoDocumentoResponse";
const REQUEST: &str = "request";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Recepcionar(Box<Tramite>),
    Cargo(Box<CargoTramite>),
    Consultar(Consulta),
    TipoDocumento,
}

/// Reads a whole request as the platform does; its document, if it has one, into `sink`.
pub async fn read<R: AsyncRead + Unpin + Send>(
    mut envelope: EnvelopeReader<R>,
    sink: &mut dyn DocumentSink,
) -> Result<Incoming<Request>, ReadError> {
    let (namespace, local) = (envelope.operation().namespace.clone(), envelope.operation().local.clone());
    let mut tolerancias = Tolerancias::default();
    let r = &mut envelope;
    if namespace == NAMESPACE && local == TIPO_DOCUMENTO {
        fields::leave_operation(r, &[]).await?;
        return finish(envelope, Request::TipoDocumento, tolerancias).await;
    }
    let Some(operation) = Operation::of(&local).filter(|_| namespace == NAMESPACE) else {
        return Err(ReadError::UnknownOperation { namespace, local });
    };
    fields::enter_part(r, &[REQUEST]).await?;
    let request = match operation {
        Operation::Recepcionar => {
            Request::Recepcionar(Box::new(fields::read_tramite(r, sink, &mut tolerancias).await?))
        }
        Operation::Cargo => Request::Cargo(Box::new(fields::read_cargo(r, sink, &mut tolerancias).await?)),
        Operation::Consultar => Request::Consultar(fields::read_consulta(r).await?),
    };
    fields::leave_operation(r, &[REQUEST]).await?;
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

/// The answer to [`Request::TipoDocumento`].
pub fn respuesta_tipos_documento(tipos: &[TipoDocumento]) -> Message {
    let mut w = Writer::new(NAMESPACE, TIPO_DOCUMENTO_RESPONSE);
    for tipo in tipos {
        w.open("return");
        w.text("ccodtipdoctra", &tipo.codigo);
        w.text("vnomtipdoctra", &tipo.nombre);
        w.close("return");
    }
    w.finish()
}

/// Sends a document through the platform.
pub fn recepcionar(flavour: Flavour, tramite: &Tramite, pdf_bytes: Option<u64>) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, Operation::Recepcionar.name());
    w.open(REQUEST);
    fields::write_tramite(&mut w, Side::Platform, tramite, pdf_bytes);
    w.close(REQUEST);
    outgoing(flavour, Operation::Recepcionar.name(), w)
}

/// Sends a cargo through the platform. Only the test flavour takes `vdesanxstdrec`.
pub fn cargo(flavour: Flavour, cargo: &CargoTramite, pdf_bytes: Option<u64>) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, Operation::Cargo.name());
    w.open(REQUEST);
    fields::write_cargo(&mut w, Side::Platform, flavour == Flavour::Test, cargo, pdf_bytes);
    w.close(REQUEST);
    outgoing(flavour, Operation::Cargo.name(), w)
}

/// Asks through the platform what became of a document.
pub fn consultar(flavour: Flavour, consulta: &Consulta) -> Outgoing {
    let mut w = Writer::new(NAMESPACE, Operation::Consultar.name());
    w.open(REQUEST);
    w.optional("vrucentrem", &consulta.ruc_remitente);
    w.optional("vrucentrec", &consulta.ruc_receptor);
    w.optional("vcuo", &consulta.cuo);
    w.close(REQUEST);
    outgoing(flavour, Operation::Consultar.name(), w)
}

/// Asks for the catalogue of document types.
pub fn tipos_documento(flavour: Flavour) -> Outgoing {
    outgoing(flavour, TIPO_DOCUMENTO, Writer::new(NAMESPACE, TIPO_DOCUMENTO))
}

fn outgoing(flavour: Flavour, name: &'static str, w: Writer) -> Outgoing {
    let soap_action = match flavour {
        Flavour::Production => name,
        Flavour::Test => "",
    };
    Outgoing { soap_action, message: w.finish() }
}

/// The answer to [`tipos_documento`]. Rows without a code are left out.
pub async fn read_tipos_documento<R: AsyncRead + Unpin + Send>(
    body: R,
    charset: Option<&str>,
) -> Result<Vec<TipoDocumento>, AnswerError> {
    let mut r = answer::open(body, charset, Limits::LIST, TIPO_DOCUMENTO_RESPONSE).await?;
    let mut tipos = Vec::new();
    while let Some(row) = r.child().await? {
        if row.local != "return" {
            r.skip().await?;
            continue;
        }
        let (mut codigo, mut nombre) = (None, None);
        while let Some(field) = r.child().await? {
            match field.local.as_str() {
                "ccodtipdoctra" => codigo = r.text().await?,
                "vnomtipdoctra" => nombre = r.text().await?,
                _ => r.skip().await?,
            }
        }
        let text = |t: Option<String>| t.map(|t| t.trim().to_owned()).unwrap_or_default();
        if codigo.is_some() {
            tipos.push(TipoDocumento { codigo: text(codigo), nombre: text(nombre) });
        }
    }
    r.finish().await?;
    Ok(tipos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        contract::fixture::{self, Collected, envelope, pdf, text, tramite, wire},
        domain::Contenido,
        soap::sink::Discard,
    };

    const LIMITS: Limits = Limits::with_document(1_000_000);
    const FLAVOURS: [Flavour; 2] = [Flavour::Production, Flavour::Test];

    async fn receive(xml: &[u8]) -> (Result<Incoming<Request>, ReadError>, Vec<u8>) {
        let mut sink = Collected::default();
        let envelope = EnvelopeReader::open(xml, None, LIMITS).await.unwrap();
        (read(envelope, &mut sink).await, sink.0)
    }

    #[tokio::test]
    async fn what_a_client_of_either_flavour_writes_the_platform_reads_back() {
        let (document, contenido) = (pdf(500), Contenido::Pdf { una_vez: false });
        for flavour in FLAVOURS {
            let (read, received) =
                receive(&wire(recepcionar(flavour, &tramite(), Some(500)).message, &document).await).await;
            let expected = Tramite { contenido, ..tramite() };
            assert_eq!(read.unwrap(), Incoming { request: Request::Recepcionar(expected.into()), tolerancias: vec![] });
            assert!(received == document);

            let (read, received) =
                receive(&wire(cargo(flavour, &fixture::cargo(), Some(500)).message, &document).await).await;
            let anexos = fixture::cargo().anexos.filter(|_| flavour == Flavour::Test);
            let expected = CargoTramite { contenido, anexos, ..fixture::cargo() };
            assert_eq!(read.unwrap(), Incoming { request: Request::Cargo(expected.into()), tolerancias: vec![] });
            assert!(received == document);

            let some = |t: &str| Some(t.to_owned());
            let asked = Consulta { ruc_remitente: some("1"), ruc_receptor: some("2"), cuo: some("3") };
            let (read, _) = receive(text(&consultar(flavour, &asked).message).as_bytes()).await;
            assert_eq!(read.unwrap().request, Request::Consultar(asked));
            let (read, _) = receive(text(&tipos_documento(flavour).message).as_bytes()).await;
            assert_eq!(read.unwrap().request, Request::TipoDocumento);
        }
    }

    #[test]
    fn the_soap_action_is_the_operations_name_in_production_and_empty_for_tests() {
        let actions = FLAVOURS.map(|f| {
            let consulta = consultar(f, &Consulta::default());
            [recepcionar(f, &tramite(), None), cargo(f, &fixture::cargo(), None), consulta, tipos_documento(f)]
                .map(|o| o.soap_action)
        });
        let names = ["recepcionarTramiteResponse", "cargoResponse", "consultarTramiteResponse", "getTipoDocumento"];
        assert_eq!(actions, [names, [""; 4]]);
    }

    #[tokio::test]
    async fn the_entitys_contract_is_refused_here() {
        let read = async |body: &str| receive(envelope(body).as_bytes()).await.0.err().unwrap();
        for (xml, code) in [
            (text(&super::super::tramite::consultar("1").message), "unknown_operation"),
            (text(&tipos_documento(Flavour::Test).message).replace("getTipo", "getOtro"), "unknown_operation"),
        ] {
            assert_eq!(receive(xml.as_bytes()).await.0.err().unwrap().code(), code);
        }
        let p = NAMESPACE;
        for (body, code) in [
            (format!("<a:cargoResponse xmlns:a='{p}'><cargoRequest/></a:cargoResponse>"), "missing_structure"),
            (format!("<a:cargoResponse xmlns:a='{p}'/>"), "missing_structure"),
        ] {
            assert_eq!(read(&body).await.code(), code, "{body}");
        }
    }

    #[tokio::test]
    async fn answers_of_the_platform_are_read_back() {
        let sent = Respuesta::nueva("0003", "CUO no valido");
        let xml = text(&respuesta(Operation::Recepcionar, &sent));
        assert!(xml.contains(NAMESPACE));
        assert_eq!(read_respuesta(xml.as_bytes(), None, Operation::Recepcionar).await.unwrap(), sent);
        let found = RespuestaConsulta { respuesta: Respuesta::nueva("0000", "x"), ..RespuestaConsulta::default() };
        let xml = text(&respuesta_consulta(&found, None));
        assert_eq!(read_respuesta_consulta(xml.as_bytes(), None, LIMITS, &mut Discard).await.unwrap(), found);

        let tipos = crate::domain::entidad::tipos_documento_conocidos();
        let xml = text(&respuesta_tipos_documento(&tipos));
        assert_eq!(read_tipos_documento(xml.as_bytes(), None).await.unwrap(), tipos);
        let odd = envelope(
            "<getTipoDocumentoResponse><return><vnomtipdoctra>SIN CÓDIGO</vnomtipdoctra></return><return/><x/>\
             <return><otro/><vnomtipdoctra> MEMO </vnomtipdoctra><ccodtipdoctra> 07 </ccodtipdoctra></return>\
             </getTipoDocumentoResponse>",
        );
        let read = read_tipos_documento(odd.as_bytes(), None).await.unwrap();
        assert_eq!(read, [TipoDocumento { codigo: "07".into(), nombre: "MEMO".into() }]);
    }
}
