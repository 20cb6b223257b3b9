//! The client against a server that gives whatever answer a test wants, byte by byte.

mod wsi;

use std::{
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::soap::capture::rebuild;
use crate::{
    contract::iotramite::Request,
    domain::Contenido,
    soap::{EnvelopeReader, SinkError},
    store::{StoreError, blobs::BlobSource},
};

const TOTAL: Duration = Duration::from_millis(400);

/// A server that answers every request with the same bytes and then closes.
struct Odd {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Clone)]
enum Behaviour {
    Answer(Vec<u8>),
    /// Answers once, and then holds the connection without ever reading on it again.
    Hold(Vec<u8>),
    /// Sends this over and over.
    Endless(Vec<u8>),
    /// Takes the request and says nothing.
    Silent,
    /// Takes the request and breaks the connection off.
    Reset,
}

impl Odd {
    async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (behaviour, seen) = (behaviour.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    seen.lock().unwrap().push(request);
                    behave(stream, behaviour).await;
                });
            }
        });
        Self { address, requests }
    }

    async fn answering(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        Self::start(Behaviour::Answer([head.as_bytes(), body.as_bytes()].concat())).await
    }

    fn platform(&self, flavour: Flavour) -> PlatformSoap {
        platform(self.address, flavour)
    }

    fn request(&self) -> (String, Vec<u8>) {
        let all = self.requests.lock().unwrap();
        let request = all.last().unwrap();
        let end = memchr::memmem::find(request, b"\r\n\r\n").unwrap();
        (String::from_utf8(request[..end].to_vec()).unwrap().to_lowercase(), request[end + 4..].to_vec())
    }
}

fn platform(address: SocketAddr, flavour: Flavour) -> PlatformSoap {
    let url = |path| format!("http://{address}/{path}");
    let urls = PideUrls { tramite: url("tramite"), entidad: url("entidad"), cuo: url("cuo") };
    let timeouts = Timeouts { connect: TOTAL, total: TOTAL };
    PlatformSoap::new(&Options { flavour, urls, timeouts, document_bytes_max: 100_000, route: Default::default() })
        .unwrap()
}

async fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&request, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            if request.len() >= end + 4 + length.unwrap_or(0) {
                return Some(request);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

async fn behave(mut stream: TcpStream, behaviour: Behaviour) {
    match behaviour {
        Behaviour::Answer(bytes) => {
            stream.write_all(&bytes).await.ok();
        }
        Behaviour::Hold(bytes) => {
            stream.write_all(&bytes).await.ok();
            std::future::pending().await
        }
        Behaviour::Endless(bytes) => while stream.write_all(&bytes).await.is_ok() {},
        Behaviour::Silent => std::future::pending().await,
        Behaviour::Reset => stream.set_zero_linger().unwrap(),
    }
}

const PDF: &[u8] = b"%PDF-1.7 un documento con tildes: \xc3\xb1andu";

struct Memory(Option<Result<Bytes, StoreError>>);

#[async_trait]
impl BlobSource for Memory {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        self.0.take().transpose()
    }
}

fn pdf() -> BlobReader {
    let hash = ring::digest::digest(&ring::digest::SHA256, PDF);
    let sha256 = crate::domain::Sha256::from_digest(hash.as_ref());
    BlobReader::new(sha256, PDF.len() as u64, Box::new(Memory(Some(Ok(Bytes::from_static(PDF))))))
}

#[derive(Default)]
struct Collected(Vec<u8>);

#[async_trait]
impl DocumentSink for Collected {
    async fn write(&mut self, piece: &[u8]) -> Result<(), SinkError> {
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

fn ruc() -> Ruc {
    Ruc::de_contraparte("20900000015").unwrap()
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}\
         </s:Body></s:Envelope>"
    )
}

fn answer(operation: &str, inside: &str) -> String {
    envelope(&format!(
        "<n:{operation}Response xmlns:n=\"http://ws.wsiopidetramite.segdi.gob.pe/\"><return>{inside}</return>\
         </n:{operation}Response>"
    ))
}

fn accepted() -> String {
    answer("recepcionarTramiteResponse", "<vcodres> 0000 </vcodres><vdesres>Recibido, señor</vdesres>")
}

/// What a send learns from an answer.
async fn send(server: &Odd) -> Result<Respuesta, PlatformError> {
    server.platform(Flavour::Production).recepcionar(&Tramite::default(), pdf(), &mut Sobres::default()).await
}

/// The sentence of an unclear end, with the server's address as `X`.
async fn unclear(server: Odd) -> String {
    let error = send(&server).await.unwrap_err();
    assert!(error.pudo_llegar(), "{error}");
    assert_eq!(server.requests.lock().unwrap().len(), 1, "the request is sent once and no more");
    error.detalle.replace(&server.address.to_string(), "X")
}

#[tokio::test]
async fn what_was_on_the_wire_is_told_whether_there_was_an_answer_or_not() {
    let page = "<html>mantenimiento</html>".repeat(3000);
    for (body, whole) in [(accepted(), true), (page, false)] {
        let server = Odd::answering("200 OK", "content-type: text/xml\r\n", &body).await;
        let mut sobres = Sobres::default();
        let answer = server.platform(Flavour::Production).recepcionar(&Tramite::default(), pdf(), &mut sobres).await;
        assert_eq!(answer.is_ok(), whole);
        let mut sent = Vec::new();
        rebuild(&sobres.peticion.unwrap(), &mut |take| take(PDF), &mut |piece| sent.extend_from_slice(piece)).unwrap();
        assert_eq!(String::from_utf8(sent).unwrap(), String::from_utf8(server.request().1).unwrap());
        let (told, mut text) = (sobres.respuesta.unwrap(), Vec::new());
        rebuild(&told, &mut |_| {}, &mut |piece| text.extend_from_slice(piece)).unwrap();
        assert_eq!((told.crc32c.is_some(), text == body.as_bytes()), (whole, whole), "read to its end or not");
        assert!(body.as_bytes().starts_with(&text));
    }
}

#[tokio::test]
async fn a_document_is_sent_whole_under_its_exact_length_and_the_answer_is_read() {
    let server = Odd::answering("200 OK", "content-type: text/xml;charset=UTF-8\r\n", &accepted()).await;
    let tramite = Tramite { asunto: Some("Año & <fin>".into()), ..Tramite::default() };
    let platform = server.platform(Flavour::Production);
    let respuesta = platform.recepcionar(&tramite, pdf(), &mut Sobres::default()).await.unwrap();
    assert_eq!(respuesta, Respuesta::nueva("0000", "Recibido, señor"));
    let (head, body) = server.request();
    assert!(head.starts_with("post /tramite http/1.1"), "{head}");
    assert!(head.contains("soapaction: \"recepcionartramiteresponse\""), "{head}");
    assert!(head.contains("content-type: text/xml; charset=utf-8"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let mut sink = Collected::default();
    let envelope = EnvelopeReader::open(&*body, None, Limits::with_document(100_000)).await.unwrap();
    let Request::Recepcionar(read) = iotramite::read(envelope, &mut sink).await.unwrap().request else { panic!() };
    assert_eq!((read.asunto, read.contenido), (tramite.asunto, Contenido::Pdf { una_vez: false }));
    assert_eq!(sink.0, PDF);
}

#[tokio::test]
async fn each_flavour_calls_its_own_operations() {
    let cuo = |op: &str| {
        envelope(&format!(
            "<n:{op}Response xmlns:n=\"http://pcm.pide.gob.pe/webservice\"><return>0000000019</return></n:{op}Response>"
        ))
    };
    for (flavour, operation, action) in
        [(Flavour::Production, "getCUOEntidad", "#showarchivos\""), (Flavour::Test, "getCUO", "#showarchivo\"")]
    {
        let server = Odd::answering("200 OK", "", &cuo(operation)).await;
        assert_eq!(server.platform(flavour).cuo(&ruc()).await.unwrap().as_str(), "0000000019");
        let (head, body) = server.request();
        let body = String::from_utf8(body).unwrap();
        assert!(head.contains(action), "{head}");
        assert!(
            body.contains(&format!("<ns:{operation} "))
                && body.contains("<ruc>20900000015</ruc><servicio>3011</servicio>"),
            "{body}"
        );
    }
    let valid = envelope(
        "<n:validarEntidadResponse xmlns:n=\"http://ws.wsentidad.segdi.gob.pe/\"><return>0000</return></n:validarEntidadResponse>",
    );
    for (flavour, ip) in [(Flavour::Production, false), (Flavour::Test, true)] {
        let server = Odd::answering("200 OK", "", &valid).await;
        assert!(server.platform(flavour).validar_entidad(&ruc()).await.unwrap());
        assert_eq!(String::from_utf8(server.request().1).unwrap().contains("<vipent>"), ip);
    }
}

#[tokio::test]
async fn lists_are_read_and_rows_without_a_ruc_left_out() {
    let rows = "<return><vnoment>MUNICIPALIDAD</vnoment><vrucent>20900000015</vrucent></return><return><vnoment>X</vnoment><vrucent>0</vrucent></return>";
    let list = envelope(&format!(
        "<n:getListaEntidadResponse xmlns:n=\"http://ws.wsentidad.segdi.gob.pe/\">{rows}</n:getListaEntidadResponse>"
    ));
    let server = Odd::answering("200 OK", "", &list).await;
    let categoria = Categoria::try_from(8).unwrap();
    let entidades = server.platform(Flavour::Test).entidades(categoria).await.unwrap();
    assert_eq!(entidades, [Entidad { ruc: ruc(), nombre: "MUNICIPALIDAD".into(), categoria }]);
    let types = envelope(
        "<n:getTipoDocumentoResponse xmlns:n=\"http://ws.wsiopidetramite.segdi.gob.pe/\"><return><ccodtipdoctra>01</ccodtipdoctra><vnomtipdoctra>OFICIO</vnomtipdoctra></return></n:getTipoDocumentoResponse>",
    );
    let server = Odd::answering("200 OK", "", &types).await;
    let tipos = server.platform(Flavour::Production).tipos_documento().await.unwrap();
    assert_eq!(tipos, [TipoDocumento { codigo: "01".into(), nombre: "OFICIO".into() }]);
}

#[tokio::test]
async fn a_cargo_in_an_answer_goes_to_the_sink() {
    let twice = {
        let once = base64_simd::STANDARD.encode_to_string(PDF);
        base64_simd::STANDARD.encode_to_string(once)
    };
    let inside = format!("<vcodres>0000</vcodres><cflgest>R</cflgest><bcarstd>{twice}</bcarstd>");
    let server = Odd::answering("200 OK", "", &answer("consultarTramiteResponse", &inside)).await;
    let mut sink = Collected::default();
    let consulta = Consulta { cuo: Some("19".into()), ..Consulta::default() };
    let answered =
        server.platform(Flavour::Test).consultar(&consulta, &mut sink, &mut Sobres::default()).await.unwrap();
    assert_eq!(answered.cargo.estado.as_deref(), Some("R"));
    assert_eq!(answered.cargo.contenido, Contenido::Pdf { una_vez: false });
    assert_eq!(sink.0, PDF);
}

#[tokio::test]
async fn only_a_connection_that_was_never_made_is_sure_not_to_have_carried_the_request() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = platform(free, Flavour::Test)
        .recepcionar(&Tramite::default(), pdf(), &mut Sobres::default())
        .await
        .unwrap_err();
    assert!(!error.pudo_llegar());
    assert_eq!(error.detalle, format!("No se pudo conectar con {free}: la conexión fue rechazada"));
}

#[tokio::test]
async fn broken_and_silent_connections_are_unclear() {
    let reset = Odd::start(Behaviour::Reset).await;
    assert_eq!(unclear(reset).await, "La conexión con X se cortó antes de la respuesta");
    let silent = Odd::start(Behaviour::Silent).await;
    assert_eq!(unclear(silent).await, "X no respondió en 0.4 s");
    let closed = Odd::start(Behaviour::Answer(Vec::new())).await;
    assert_eq!(unclear(closed).await, "La conexión con X se cortó antes de la respuesta");
    let garbage = Odd::start(Behaviour::Answer(b"hola\r\n\r\n".to_vec())).await;
    assert_eq!(unclear(garbage).await, "La conexión con X se cortó antes de la respuesta");
    let short = Odd::start(Behaviour::Answer(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n<a>".to_vec())).await;
    assert_eq!(unclear(short).await, "La conexión con X se cortó a mitad de la respuesta");
}

#[tokio::test]
async fn what_is_no_answer_is_unclear_and_says_what_it_was() {
    let page = "<html><title>502 Bad Gateway</title><body>nginx</body></html>";
    let fault = envelope("<s:Fault><faultcode>s:Server</faultcode><faultstring>No hay línea</faultstring></s:Fault>");
    let null = envelope("<n:otraResponse xmlns:n=\"http://ws.wsiopidetramite.segdi.gob.pe/\"/>");
    for (status, body, expected) in [
        ("502 Bad Gateway", page, "X respondió HTTP 502: «502 Bad Gateway nginx»"),
        ("200 OK", page, "X respondió algo que no es SOAP: «502 Bad Gateway nginx»"),
        ("202 Accepted", "", "X respondió vacío (HTTP 202)"),
        ("200 OK", "", "X respondió vacío (HTTP 200)"),
        ("200 OK", " \n ", "X respondió vacío (HTTP 200)"),
        ("500 Internal Server Error", &fault, "X respondió con un fallo SOAP: «No hay línea»"),
        ("200 OK", &fault, "X respondió con un fallo SOAP: «No hay línea»"),
        ("500 Internal Server Error", &accepted(), "X respondió HTTP 500"),
        ("500 Internal Server Error", "", "X respondió HTTP 500"),
        ("403 Forbidden", "", "X respondió HTTP 403 (no autorizado: ¿está registrada la IP pública?)"),
        ("404 Not Found", "no", "X respondió HTTP 404 (no existe: ¿es correcta la dirección?): «no»"),
        ("200 OK", "{\"error\":1}", "X respondió algo que no es SOAP: «{\"error\":1}»"),
        ("200 OK", &null, "X respondió otra operación: «otraResponse»"),
        ("200 OK", &accepted()[..200], "La respuesta de X no se pudo leer (not_xml)"),
    ] {
        assert_eq!(unclear(Odd::answering(status, "", body).await).await, expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let elsewhere = Odd::answering("200 OK", "", &accepted()).await;
    let location = format!("location: http://{}/tramite\r\n", elsewhere.address);
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let said = unclear(Odd::answering(status, &location, "").await).await;
        assert!(said.ends_with("(una redirección, que no se sigue)"), "{said}");
    }
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn no_message_is_trusted_to_a_connection_that_was_used_before() {
    let body = accepted();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let server = Odd::start(Behaviour::Hold(answer.into_bytes())).await;
    let platform = server.platform(Flavour::Production);
    for n in 1..=2 {
        platform.recepcionar(&Tramite::default(), pdf(), &mut Sobres::default()).await.unwrap();
        assert!(server.request().0.contains("connection: close"), "{}", server.request().0);
        assert_eq!(server.requests.lock().unwrap().len(), n);
    }
}

#[tokio::test]
async fn an_overloaded_platform_is_given_the_time_it_asks_for() {
    let server = Odd::answering("503 Service Unavailable", "retry-after: 77\r\n", "").await;
    assert_eq!(send(&server).await.unwrap_err().retry_after, Some(Duration::from_secs(77)));
}

#[tokio::test]
async fn null_and_empty_codes_are_left_for_the_use_case_to_judge() {
    let operation = "recepcionarTramiteResponse";
    let nil = envelope(&format!(
        "<n:{operation}Response xmlns:n=\"http://ws.wsiopidetramite.segdi.gob.pe/\"><return \
         xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:nil=\"true\"/></n:{operation}Response>"
    ));
    for body in [&nil, &answer(operation, ""), &answer(operation, "<vcodres/><vdesres/>")] {
        let respuesta = send(&Odd::answering("200 OK", "", body).await).await.unwrap();
        assert_eq!(respuesta.codigo(), "", "{body}");
    }
}

#[tokio::test]
async fn answers_without_end_are_given_up() {
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let start = accepted().replace("</return>", "<x>");
    let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk(&start[..start.len() / 2]));
    let spaces = chunk(&" ".repeat(60_000));
    for piece in [format!("{head}{spaces}"), spaces] {
        // Whatever comes first is an answer's head or an endless stream of nothing.
        let server = Odd::start(Behaviour::Endless(piece.into_bytes())).await;
        let error = send(&server).await.unwrap_err();
        assert!(error.pudo_llegar());
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(accepted().split("</return>").next().unwrap().as_bytes()).unwrap();
    gzip.write_all(&[b' '; 8 << 20]).unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 20_000);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let server = Odd::start(Behaviour::Answer([head.as_bytes(), &bomb].concat())).await;
    assert_eq!(unclear(server).await, "La respuesta de X excede el tamaño que se admite");
}

#[tokio::test]
async fn a_document_that_cannot_be_read_breaks_the_request_off() {
    let server = Odd::answering("200 OK", "", &accepted()).await;
    let lost = StoreError::Damaged { place: "aquí".into(), what: "algo".into() };
    let sha256 = crate::domain::Sha256::from_digest(&[7; 32]);
    let documento = BlobReader::new(sha256, 100_000, Box::new(Memory(Some(Err(lost)))));
    let error = server
        .platform(Flavour::Test)
        .recepcionar(&Tramite::default(), documento, &mut Sobres::default())
        .await
        .unwrap_err();
    assert_eq!(error.detalle, "El documento no se pudo leer del almacén mientras se enviaba");
    assert!(server.requests.lock().unwrap().is_empty(), "what arrived was not a whole request");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_makes_the_client_panic(cut in 0usize..600, noise in proptest::collection::vec(any::<u8>(), 0..40), at in 0usize..600) {
        let body = accepted();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut bytes = [head.as_bytes(), body.as_bytes()].concat();
        let at = at.min(bytes.len());
        bytes.splice(at..at, noise);
        bytes.truncate(cut.max(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Odd::start(Behaviour::Answer(bytes)).await;
            let _ = send(&server).await;
            let mut sink = Collected::default();
            let _ = server.platform(Flavour::Test).consultar(&Consulta::default(), &mut sink, &mut Sobres::default()).await;
        });
    }
}
