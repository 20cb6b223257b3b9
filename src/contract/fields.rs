//! The structures that both sides share, field by field.

use tokio::io::AsyncRead;

use super::{Operation, Tolerancia, Tolerancias};
use crate::{
    domain::{
        CargoTramite, Consulta, Contenido, Tramite,
        cargo::{Respuesta, RespuestaConsulta},
    },
    soap::{AnswerError, DocumentSink, EnvelopeReader, Message, ReadError, envelope::Content, writer::Writer},
};

/// Whose contract is written: their fields stand in different order, and the cargo has not the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Entity,
    Platform,
}

type Reader<R> = EnvelopeReader<R>;

/// Reads the text of element `name` into its field, which must not have been read before.
async fn once<R>(r: &mut Reader<R>, seen: &mut Seen, name: &str, field: &mut Option<String>) -> Result<(), ReadError>
where
    R: AsyncRead + Unpin + Send,
{
    seen.mark(name)?;
    *field = r.text().await?;
    Ok(())
}

/// Fields met so far in one structure. A repeated one is refused: two texts for one field are two documents in one.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    fn mark(&mut self, name: &str) -> Result<(), ReadError> {
        if self.0.iter().any(|n| n == name) {
            return Err(ReadError::Repeated(name.to_owned()));
        }
        self.0.push(name.to_owned());
        Ok(())
    }
}

/// The document element `name`, into `sink`.
async fn document<R>(
    r: &mut Reader<R>,
    seen: &mut Seen,
    name: &str,
    sink: &mut dyn DocumentSink,
    tolerancias: &mut Tolerancias,
) -> Result<Contenido, ReadError>
where
    R: AsyncRead + Unpin + Send,
{
    seen.mark(name)?;
    let contenido = r.document(sink).await?;
    tolerancias.note_if(contenido == Contenido::Pdf { una_vez: true }, Tolerancia::EncodedOnce);
    Ok(contenido)
}

/// `RecepcionTramite`; the reader is in it and leaves it.
pub(super) async fn read_tramite<R>(
    r: &mut Reader<R>,
    sink: &mut dyn DocumentSink,
    tolerancias: &mut Tolerancias,
) -> Result<Tramite, ReadError>
where
    R: AsyncRead + Unpin + Send,
{
    let mut t = Tramite::default();
    let mut seen = Seen::default();
    while let Some(element) = r.child().await? {
        let name = element.local.as_str();
        let field = match name {
            "vrucentrem" => &mut t.ruc_remitente,
            "vrucentrec" => &mut t.ruc_receptor,
            "vnomentemi" => &mut t.nombre_remitente,
            "vuniorgrem" => &mut t.unidad_remitente,
            "vcuo" => &mut t.cuo,
            "vcuoref" => &mut t.cuo_referencia,
            "ccodtipdoc" => &mut t.tipo_documento,
            "vnumdoc" => &mut t.numero_documento,
            "dfecdoc" => &mut t.fecha_documento,
            "vuniorgdst" => &mut t.unidad_destino,
            "vnomdst" => &mut t.nombre_destinatario,
            "vnomcardst" => &mut t.cargo_destinatario,
            "vasu" => &mut t.asunto,
            "vurldocanx" => &mut t.url_anexos,
            "vnomdoc" => &mut t.nombre_documento,
            "ctipdociderem" => &mut t.tipo_identidad,
            "vnumdociderem" => &mut t.numero_identidad,
            "snumanx" => {
                seen.mark(name)?;
                t.numero_anexos = number(r.text().await?);
                continue;
            }
            "snumfol" => {
                seen.mark(name)?;
                t.folios = number(r.text().await?);
                continue;
            }
            "bpdfdoc" => {
                t.contenido = document(r, &mut seen, name, sink, tolerancias).await?;
                continue;
            }
            "lstanexos" => {
                t.anexos.extend(read_anexo(r).await?);
                continue;
            }
            _ => {
                r.skip().await?;
                continue;
            }
        };
        once(r, &mut seen, name, field).await?;
    }
    if t.url_anexos.as_deref().map(str::trim) == Some("?") {
        t.url_anexos = None;
        tolerancias.note(Tolerancia::UrlPlaceholder);
    }
    Ok(t)
}

/// One `lstanexos`: its name, `Some(None)` if it has none, `None` if there is no annex at all: some write an empty or nil
/// element for an empty list. A name written without its element is taken.
async fn read_anexo<R: AsyncRead + Unpin + Send>(r: &mut Reader<R>) -> Result<Option<Option<String>>, ReadError> {
    if let Content::Text(name) = r.content().await? {
        return Ok(name.map(Some));
    }
    let (mut name, mut seen) = (None, Seen::default());
    while let Some(element) = r.child().await? {
        match element.local.as_str() {
            "vnomdoc" => once(r, &mut seen, "vnomdoc", &mut name).await?,
            _ => r.skip().await?,
        }
    }
    Ok(Some(name))
}

/// An `xs:int` as senders write it; what is no number is as good as absent.
fn number(text: Option<String>) -> Option<i64> {
    text?.trim().parse().ok()
}

/// `CargoTramite`, and the fields of a consulta's answer, which are the same and two more.
struct CargoFields {
    cargo: CargoTramite,
    respuesta: Respuesta,
}

async fn read_cargo_fields<R>(
    r: &mut Reader<R>,
    sink: &mut dyn DocumentSink,
    tolerancias: &mut Tolerancias,
) -> Result<CargoFields, ReadError>
where
    R: AsyncRead + Unpin + Send,
{
    let (mut c, mut respuesta, mut seen) = (CargoTramite::default(), Respuesta::default(), Seen::default());
    while let Some(element) = r.child().await? {
        let name = element.local.as_str();
        let field = match name {
            "vrucentrem" => &mut c.ruc_emisor,
            "vrucentrec" => &mut c.ruc_destino,
            "vcuo" => &mut c.cuo,
            "vcuoref" => &mut c.cuo_referencia,
            "vnumregstd" => &mut c.numero_registro,
            "vanioregstd" => &mut c.anio_registro,
            "dfecregstd" => &mut c.fecha_registro,
            "vuniorgstd" => &mut c.unidad,
            "vusuregstd" => &mut c.usuario,
            "vobs" => &mut c.observacion,
            "cflgest" => &mut c.estado,
            "vdesanxstdrec" => &mut c.anexos,
            "vcodres" => &mut respuesta.codigo,
            "vdesres" => &mut respuesta.descripcion,
            "bcarstd" => {
                c.contenido = document(r, &mut seen, name, sink, tolerancias).await?;
                continue;
            }
            _ => {
                r.skip().await?;
                continue;
            }
        };
        once(r, &mut seen, name, field).await?;
    }
    Ok(CargoFields { cargo: c, respuesta: trimmed(respuesta) })
}

fn trimmed(respuesta: Respuesta) -> Respuesta {
    let trim = |text: Option<String>| text.map(|t| t.trim().to_owned());
    Respuesta { codigo: trim(respuesta.codigo), descripcion: trim(respuesta.descripcion) }
}

/// The body of `cargoResponse`; the reader is in it and leaves it.
pub(super) async fn read_cargo<R>(
    r: &mut Reader<R>,
    sink: &mut dyn DocumentSink,
    tolerancias: &mut Tolerancias,
) -> Result<CargoTramite, ReadError>
where
    R: AsyncRead + Unpin + Send,
{
    Ok(read_cargo_fields(r, sink, tolerancias).await?.cargo)
}

/// A consulta's structure; the reader is in it and leaves it.
pub(super) async fn read_consulta<R: AsyncRead + Unpin + Send>(r: &mut Reader<R>) -> Result<Consulta, ReadError> {
    let (mut c, mut seen) = (Consulta::default(), Seen::default());
    while let Some(element) = r.child().await? {
        let field = match element.local.as_str() {
            "vrucentrem" => &mut c.ruc_remitente,
            "vrucentrec" => &mut c.ruc_receptor,
            "vcuo" => &mut c.cuo,
            _ => {
                r.skip().await?;
                continue;
            }
        };
        once(r, &mut seen, &element.local, field).await?;
    }
    Ok(c)
}

/// Finds the part of a request by one of its names and enters it; which of them it was.
pub(super) async fn enter_part<R: AsyncRead + Unpin + Send>(
    r: &mut Reader<R>,
    names: &[&'static str],
) -> Result<&'static str, ReadError> {
    let missing = ReadError::Missing(names.first().copied().unwrap_or("request"));
    while let Some(element) = r.child().await? {
        match names.iter().find(|n| **n == element.local) {
            Some(_) if element.nil => break,
            Some(name) => return Ok(name),
            None => r.skip().await?,
        }
    }
    Err(missing)
}

/// Leaves the operation's element. A part that comes twice is refused.
pub(super) async fn leave_operation<R>(r: &mut Reader<R>, names: &[&'static str]) -> Result<(), ReadError>
where
    R: AsyncRead + Unpin + Send,
{
    while let Some(element) = r.child().await? {
        if names.contains(&element.local.as_str()) {
            return Err(ReadError::Repeated(element.local));
        }
        r.skip().await?;
    }
    Ok(())
}

/// Enters the answer's `return`. Null if it is nil or absent.
async fn enter_return<R: AsyncRead + Unpin + Send>(r: &mut Reader<R>) -> Result<(), AnswerError> {
    match enter_part(r, &["return"]).await {
        Err(ReadError::Missing(_)) => Err(AnswerError::Null),
        other => Ok(other.map(|_| ())?),
    }
}

/// The answer to a document or a cargo.
pub(super) async fn read_respuesta<R>(mut r: Reader<R>) -> Result<Respuesta, AnswerError>
where
    R: AsyncRead + Unpin + Send,
{
    enter_return(&mut r).await?;
    let (mut respuesta, mut seen) = (Respuesta::default(), Seen::default());
    while let Some(element) = r.child().await? {
        let field = match element.local.as_str() {
            "vcodres" => &mut respuesta.codigo,
            "vdesres" => &mut respuesta.descripcion,
            _ => {
                r.skip().await?;
                continue;
            }
        };
        once(&mut r, &mut seen, &element.local, field).await?;
    }
    leave_operation(&mut r, &[]).await?;
    r.finish().await?;
    Ok(trimmed(respuesta))
}

/// The answer to a consulta, its cargo into `sink`.
pub(super) async fn read_respuesta_consulta<R>(
    mut r: Reader<R>,
    sink: &mut dyn DocumentSink,
) -> Result<RespuestaConsulta, AnswerError>
where
    R: AsyncRead + Unpin + Send,
{
    enter_return(&mut r).await?;
    let CargoFields { cargo, respuesta } = read_cargo_fields(&mut r, sink, &mut Tolerancias::default()).await?;
    leave_operation(&mut r, &[]).await?;
    r.finish().await?;
    Ok(RespuestaConsulta { respuesta, cargo })
}

/// `RecepcionTramite`, in the order of the side it is written for. `pdf_bytes` opens a slot for the document.
pub(super) fn write_tramite(w: &mut Writer, side: Side, t: &Tramite, pdf_bytes: Option<u64>) {
    w.optional("vrucentrem", &t.ruc_remitente);
    w.optional("vrucentrec", &t.ruc_receptor);
    w.optional("vnomentemi", &t.nombre_remitente);
    w.optional("vuniorgrem", &t.unidad_remitente);
    w.optional("vcuo", &t.cuo);
    w.optional("vcuoref", &t.cuo_referencia);
    w.optional("ccodtipdoc", &t.tipo_documento);
    w.optional("vnumdoc", &t.numero_documento);
    w.optional("dfecdoc", &t.fecha_documento);
    w.optional("vuniorgdst", &t.unidad_destino);
    w.optional("vnomdst", &t.nombre_destinatario);
    w.optional("vnomcardst", &t.cargo_destinatario);
    w.optional("vasu", &t.asunto);
    w.optional("snumanx", &t.numero_anexos.map(|n| n.to_string()));
    w.optional("snumfol", &t.folios.map(|n| n.to_string()));
    if side == Side::Entity {
        w.optional("vurldocanx", &t.url_anexos);
    }
    if let Some(bytes) = pdf_bytes {
        w.document("bpdfdoc", bytes);
    }
    w.optional("vnomdoc", &t.nombre_documento);
    for nombre in &t.anexos {
        w.open("lstanexos");
        w.text("vnomdoc", nombre.as_deref().unwrap_or_default());
        w.close("lstanexos");
    }
    if side == Side::Platform {
        w.optional("vurldocanx", &t.url_anexos);
    }
    w.optional("ctipdociderem", &t.tipo_identidad);
    w.optional("vnumdociderem", &t.numero_identidad);
}

/// `CargoTramite`. The RUCs stand only on the platform's side, the text on annexes where that contract has it.
pub(super) fn write_cargo(w: &mut Writer, side: Side, anexos: bool, c: &CargoTramite, pdf_bytes: Option<u64>) {
    if side == Side::Platform {
        w.optional("vrucentrem", &c.ruc_emisor);
        w.optional("vrucentrec", &c.ruc_destino);
    }
    w.optional("vcuo", &c.cuo);
    w.optional("vcuoref", &c.cuo_referencia);
    w.optional("vnumregstd", &c.numero_registro);
    w.optional("vanioregstd", &c.anio_registro);
    w.optional("dfecregstd", &c.fecha_registro);
    w.optional("vuniorgstd", &c.unidad);
    w.optional("vusuregstd", &c.usuario);
    if let Some(bytes) = pdf_bytes {
        w.document("bcarstd", bytes);
    }
    w.optional("vobs", &c.observacion);
    w.optional("cflgest", &c.estado);
    if anexos {
        w.optional("vdesanxstdrec", &c.anexos);
    }
}

/// The answer to a document or a cargo.
pub(super) fn respuesta(namespace: &str, operation: Operation, respuesta: &Respuesta) -> Message {
    let mut w = Writer::new(namespace, &operation.answer_name());
    w.open("return");
    write_respuesta(&mut w, respuesta);
    w.close("return");
    w.finish()
}

fn write_respuesta(w: &mut Writer, respuesta: &Respuesta) {
    w.optional("vcodres", &respuesta.codigo);
    w.optional("vdesres", &respuesta.descripcion);
}

/// The answer to a consulta; both sides have the same fields in the same order.
pub(super) fn respuesta_consulta(namespace: &str, answer: &RespuestaConsulta, pdf_bytes: Option<u64>) -> Message {
    let mut w = Writer::new(namespace, &Operation::Consultar.answer_name());
    let c = &answer.cargo;
    w.open("return");
    write_respuesta(&mut w, &answer.respuesta);
    w.optional("vcuo", &c.cuo);
    w.optional("vcuoref", &c.cuo_referencia);
    w.optional("vnumregstd", &c.numero_registro);
    w.optional("vanioregstd", &c.anio_registro);
    w.optional("vuniorgstd", &c.unidad);
    w.optional("dfecregstd", &c.fecha_registro);
    w.optional("vusuregstd", &c.usuario);
    if let Some(bytes) = pdf_bytes {
        w.document("bcarstd", bytes);
    }
    w.optional("vobs", &c.observacion);
    w.optional("cflgest", &c.estado);
    w.close("return");
    w.finish()
}
