//! What holds for all messages: they survive the way there and back, they are written in the order of the published
//! descriptions, and nothing that arrives can break the reader.

use proptest::prelude::*;

use super::{
    Flavour,
    fixture::{Chunks, Collected, describe, pdf, text, tramite, wire},
    iotramite, tramite as entity, wsdl,
};
use crate::{
    domain::{
        CargoTramite, Contenido, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
    },
    soap::{EnvelopeReader, Limits, sink::Discard},
};

const LIMITS: Limits = Limits::with_document(1_000_000);

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What a text is after a journey: characters XML can not carry are spaces, and nothing but spaces is nothing.
fn arrived(text: &Option<String>) -> Option<String> {
    let carried = |c: char| if matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..) { c } else { ' ' };
    let text: String = text.as_ref()?.chars().map(carried).collect();
    (!text.trim_matches([' ', '\t', '\n', '\r']).is_empty()).then_some(text)
}

fn field() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        any::<String>().prop_map(Some),
        "[<>&\"'\\r\\n\\t \\[\\]ñ😀\u{0}\u{8}]{0,12}".prop_map(Some)
    ]
}

prop_compose! {
    fn any_tramite()(
        t in proptest::collection::vec(field(), 17),
        anexos in proptest::collection::vec(field(), 0..4),
        numero_anexos in any::<Option<i64>>(),
        folios in any::<Option<i64>>(),
    ) -> Tramite {
        let mut t = t.into_iter();
        let mut next = || t.next().unwrap();
        Tramite {
            ruc_remitente: next(),
            ruc_receptor: next(),
            nombre_remitente: next(),
            unidad_remitente: next(),
            tipo_identidad: next(),
            numero_identidad: next(),
            cuo: next(),
            cuo_referencia: next(),
            tipo_documento: next(),
            numero_documento: next(),
            fecha_documento: next(),
            unidad_destino: next(),
            nombre_destinatario: next(),
            cargo_destinatario: next(),
            asunto: next(),
            url_anexos: next().filter(|t| t.trim() != "?"),
            nombre_documento: next(),
            numero_anexos,
            folios,
            contenido: Contenido::Pdf { una_vez: false },
            anexos,
        }
    }
}

fn arrived_tramite(t: &Tramite) -> Tramite {
    Tramite {
        ruc_remitente: arrived(&t.ruc_remitente),
        ruc_receptor: arrived(&t.ruc_receptor),
        nombre_remitente: arrived(&t.nombre_remitente),
        unidad_remitente: arrived(&t.unidad_remitente),
        tipo_identidad: arrived(&t.tipo_identidad),
        numero_identidad: arrived(&t.numero_identidad),
        cuo: arrived(&t.cuo),
        cuo_referencia: arrived(&t.cuo_referencia),
        tipo_documento: arrived(&t.tipo_documento),
        numero_documento: arrived(&t.numero_documento),
        fecha_documento: arrived(&t.fecha_documento),
        unidad_destino: arrived(&t.unidad_destino),
        nombre_destinatario: arrived(&t.nombre_destinatario),
        cargo_destinatario: arrived(&t.cargo_destinatario),
        asunto: arrived(&t.asunto),
        url_anexos: arrived(&t.url_anexos),
        nombre_documento: arrived(&t.nombre_documento),
        anexos: t.anexos.iter().map(arrived).collect(),
        ..t.clone()
    }
}

async fn read_entity(xml: Vec<u8>, chunk: usize) -> (Tramite, Vec<u8>) {
    let mut sink = Collected::default();
    let envelope = EnvelopeReader::open(Chunks::new(xml, chunk), None, LIMITS).await.unwrap();
    match entity::read(envelope, &mut sink).await.unwrap().request {
        entity::Request::Recepcionar(t) => (*t, sink.0),
        other => panic!("{other:?}"),
    }
}

async fn read_platform(xml: Vec<u8>, chunk: usize) -> (Tramite, Vec<u8>) {
    let mut sink = Collected::default();
    let envelope = EnvelopeReader::open(Chunks::new(xml, chunk), None, LIMITS).await.unwrap();
    match iotramite::read(envelope, &mut sink).await.unwrap().request {
        iotramite::Request::Recepcionar(t) => (*t, sink.0),
        other => panic!("{other:?}"),
    }
}

/// Reads bytes as every kind of message there is.
async fn read_as_anything(bytes: &[u8], chunk: usize) {
    let body = || Chunks::new(bytes, chunk);
    if let Ok(envelope) = EnvelopeReader::open(body(), None, LIMITS).await {
        let _ = entity::read(envelope, &mut Discard).await;
    }
    if let Ok(envelope) = EnvelopeReader::open(body(), None, LIMITS).await {
        let _ = iotramite::read(envelope, &mut Discard).await;
    }
    if let Ok(envelope) = EnvelopeReader::open(body(), None, LIMITS).await {
        let _ = super::entidad::read(envelope).await;
    }
    if let Ok(envelope) = EnvelopeReader::open(body(), None, LIMITS).await {
        let _ = super::cuo::read(envelope).await;
    }
    let _ = entity::read_respuesta(body(), None, super::Operation::Cargo).await;
    let _ = entity::read_respuesta_consulta(body(), None, LIMITS, &mut Discard).await;
    let _ = iotramite::read_tipos_documento(body(), None).await;
    let _ = super::entidad::read_lista(body(), None, 1.try_into().unwrap()).await;
    let _ = super::cuo::read_respuesta(body(), None, Flavour::Test).await;
}

/// Whole messages of each kind, to be damaged.
fn messages() -> Vec<Vec<u8>> {
    let found = RespuestaConsulta { respuesta: Respuesta::nueva("0000", "x"), cargo: super::fixture::cargo() };
    run(async {
        vec![
            wire(entity::recepcionar(&tramite(), Some(300)).message, &pdf(300)).await,
            wire(entity::cargo(&super::fixture::cargo(), Some(30)).message, &pdf(30)).await,
            wire(entity::respuesta_consulta(&found, Some(30)), &pdf(30)).await,
            text(&iotramite::consultar(Flavour::Test, &super::Consulta::default()).message).into_bytes(),
            text(&entity::respuesta(super::Operation::Cargo, &found.respuesta)).into_bytes(),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_document_survives_the_way_to_an_entity_and_to_the_platform(
        t in any_tramite(),
        bytes in 4usize..2000,
        chunk in 1usize..3000,
    ) {
        run(async {
            let (document, expected, size) = (pdf(bytes), arrived_tramite(&t), Some(bytes as u64));
            let at_entity = read_entity(wire(entity::recepcionar(&t, size).message, &document).await, chunk).await;
            prop_assert_eq!(&at_entity.0, &expected);
            prop_assert!(at_entity.1 == document);
            let sent = wire(iotramite::recepcionar(Flavour::Test, &t, size).message, &document).await;
            let at_platform = read_platform(sent, chunk).await;
            prop_assert_eq!(&at_platform.0, &expected);
            prop_assert!(at_platform.1 == document);
            Ok(())
        })?;
    }

    #[test]
    fn bytes_of_any_kind_are_refused_without_panicking(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        chunk in 1usize..100,
    ) {
        run(read_as_anything(&bytes, chunk));
    }

    #[test]
    fn damaged_messages_are_read_or_refused_without_panicking(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..4usize), 1..6),
        cut in any::<proptest::sample::Index>(),
        chunk in 1usize..500,
    ) {
        for mut xml in messages() {
            let interesting = b"<>&;/\"'=! []-?\0\xC3x";
            for (at, byte, kind) in &damage {
                let at = at.index(xml.len());
                match kind {
                    0 => xml[at] = *byte,
                    1 => drop(xml.remove(at)),
                    2 => xml.insert(at, interesting[usize::from(*byte) % interesting.len()]),
                    _ => xml.truncate(at.max(cut.index(xml.len()))),
                }
                if xml.is_empty() {
                    break;
                }
            }
            run(read_as_anything(&xml, chunk));
        }
    }
}

/// Repeats itself without end, and counts what was taken of it.
struct Endless<'a>(&'a [u8], &'a [u8], u64);

impl tokio::io::AsyncRead for Endless<'_> {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let from = if this.0.is_empty() { this.1 } else { std::mem::take(&mut this.0) };
        let n = from.len().min(buf.remaining());
        buf.put_slice(&from[..n]);
        this.2 += n as u64;
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn messages_without_end_are_stopped_by_a_limit() {
    let begin = super::fixture::envelope(&format!("<a:cargoResponse xmlns:a='{}'><cargoRequest>@", entity::NAMESPACE));
    let begin = begin.split('@').next().unwrap();
    for (after, repeated) in [
        ("", "<a>"),
        ("", "<a/>"),
        ("", "<vobs>x</vobs>"),
        ("", "<x>xxxx</x>"),
        ("", "texto"),
        ("", "<!-- c -->"),
        ("", "<?pi x?>"),
        ("<!--", "comentario "),
        ("<x>", "AAAA"),
        ("<x><![CDATA[", "AAAA"),
        ("<x>", "&#13;"),
        ("<x>", "&lt;"),
        ("<bcarstd>", "JVBERi0x"),
        ("<bcarstd>", "&#xd;"),
        ("<bcarstd>", "&#65;"),
        ("<bcarstd><![CDATA[", "JVBERi0x"),
        ("<vobs>", "texto"),
        ("<vobs><![CDATA[", "texto"),
        ("<vobs>", "&amp;"),
        ("<vobs", " a='1'"),
        ("<vobs", "x"),
        ("<vobs a='", "x"),
        ("<", "x"),
        ("&", "x"),
    ] {
        let (first, repeated_many) = (format!("{begin}{after}"), repeated.repeat(500));
        let mut endless = Endless(first.as_bytes(), repeated_many.as_bytes(), 0);
        let error = match EnvelopeReader::open(&mut endless, None, LIMITS).await {
            Ok(envelope) => entity::read(envelope, &mut Discard).await.err().unwrap(),
            Err(error) => error,
        };
        let stopped = ["limit", "too_large", "not_xml", "repeated_element"];
        assert!(stopped.contains(&error.code()), "{after}{repeated}…: {error}");
        assert!(endless.2 <= LIMITS.message_bytes + 128 * 1024, "{after}{repeated}…: {} bytes taken", endless.2);
    }
}

/// Names of the elements within `part`, in order, each once.
fn written(xml: &str, part: &str) -> Vec<String> {
    let (open, close) = (format!("<{part}>"), format!("</{part}>"));
    let inside = xml.split(&open).nth(1).and_then(|rest| rest.split(&close).next()).unwrap();
    let mut names: Vec<String> = Vec::new();
    let mut depth = 0;
    for tag in inside.split('<').skip(1) {
        match tag.strip_prefix('/') {
            Some(_) => depth -= 1,
            None => {
                let name = tag.split('>').next().unwrap().to_owned();
                if depth == 0 && names.last() != Some(&name) {
                    names.push(name);
                }
                depth += 1;
            }
        }
    }
    names
}

/// Names of the fields of a type, as a description has them.
fn described(wsdl: &str, name: &str) -> Vec<String> {
    let line =
        describe(wsdl).into_iter().find_map(|l| l.strip_prefix(&format!("type {name}:")).map(str::to_owned)).unwrap();
    line.split_whitespace().map(|f| f.split([':', '?', '*', '!']).next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn messages_are_written_in_the_order_of_their_descriptions() {
    let (t, c) = (tramite(), super::fixture::cargo());
    let xml = async |message| String::from_utf8(wire(message, &pdf(9)).await).unwrap();
    let consulta = super::Consulta { ruc_remitente: t.cuo.clone(), ruc_receptor: t.cuo.clone(), cuo: t.cuo.clone() };
    let without_rucs = CargoTramite { ruc_emisor: None, ruc_destino: None, ..c.clone() };
    let found = RespuestaConsulta { respuesta: Respuesta::nueva("0000", "x"), cargo: without_rucs };

    let recepcion = xml(entity::recepcionar(&t, Some(9)).message).await;
    assert_eq!(written(&recepcion, "recepcionRequest"), described(wsdl::TRAMITE, "RecepcionTramite"));
    let cargo = xml(entity::cargo(&c, Some(9)).message).await;
    assert_eq!(written(&cargo, "cargoRequest"), described(wsdl::TRAMITE, "CargoTramite"));
    let answer = xml(entity::respuesta_consulta(&found, Some(9))).await;
    assert_eq!(written(&answer, "return"), described(wsdl::TRAMITE, "RespuestaConsultaTramite"));
    for flavour in [Flavour::Production, Flavour::Test] {
        let wsdl = wsdl::iotramite(flavour);
        let recepcion = xml(iotramite::recepcionar(flavour, &t, Some(9)).message).await;
        assert_eq!(written(&recepcion, "request"), described(wsdl, "RecepcionTramite"));
        let cargo = xml(iotramite::cargo(flavour, &c, Some(9)).message).await;
        assert_eq!(written(&cargo, "request"), described(wsdl, "CargoTramite"));
        let asked = text(&iotramite::consultar(flavour, &consulta).message);
        assert_eq!(written(&asked, "request"), described(wsdl, "ConsultaTramite"));
        let answer = xml(iotramite::respuesta_consulta(&found, Some(9))).await;
        assert_eq!(written(&answer, "return"), described(wsdl, "RespuestaConsultaTramite"));
    }
}
