//! Takes in a request that carries a PDF, as JSON with the PDF in base64 or as a form with the PDF as a file. Either way the
//! PDF goes to the store as it arrives, and only the small rest is held.

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::{
    Api, failure,
    form::{self, Form, Part},
    scan::{ScanError, Scanner},
};
use crate::{
    config::words,
    domain::Contenido,
    http::{Code, Problem, problem},
    soap::base64::{DocumentDecoder, FileDecoder},
    store::{BlobWriter, Staged},
};

/// How far into a file `%PDF` may stand, in bytes, as PDF readers allow.
const SNIFF_BYTES: usize = 1024;

/// Where a kind of request carries its PDF.
pub struct Place {
    /// The member of the JSON that holds it.
    pub member: &'static [&'static str],
    /// The file's part of the form.
    pub part: &'static str,
    /// The list of the JSON, and the parts of the form, that bring annexes.
    pub annexes: Option<&'static str>,
}

pub const DOCUMENT: Place = Place { member: &["documento", "contenido"], part: "documento", annexes: Some("anexos") };
pub const CARGO: Place = Place { member: &["cargo", "contenido"], part: "cargo", annexes: None };

/// Most annexes of one request that bring their file.
pub const ANNEXES_MAX: usize = 64;

/// The file of an annex.
pub struct Annex {
    /// Its place in the list of the JSON.
    pub nth: usize,
    /// The name a form gave it.
    pub file_name: Option<String>,
    pub file: Staged,
}

/// A request, taken in.
#[derive(Default)]
pub struct Received {
    pub members: Map<String, Value>,
    /// What was found where the PDF should be.
    pub contenido: Contenido,
    /// The PDF, if it was one.
    pub pdf: Option<Staged>,
    /// The name a form gave the file.
    pub file_name: Option<String>,
    /// In the order in which they stand in their list.
    pub annexes: Vec<Annex>,
    /// The PDF came as a file of a form.
    pub form: bool,
}

impl Api {
    pub async fn receive(&self, request: Request, place: &Place) -> Result<Received, Problem> {
        match content_type(request.headers()) {
            Some(kind) if is_json(&kind) => self.receive_json(request.into_body(), place).await,
            Some(kind) if kind == "multipart/form-data" => self.receive_form(request, place).await,
            found => {
                let found = found.map_or_else(|| "ninguno".to_owned(), |kind| format!("«{kind}»"));
                let detail = format!("Content-Type debe ser application/json o multipart/form-data, no {found}");
                Err(Problem::new(Code::TipoDeContenido, detail))
            }
        }
    }

    /// A request that carries no PDF.
    pub async fn receive_plain(&self, request: Request) -> Result<Map<String, Value>, Problem> {
        if !content_type(request.headers()).is_some_and(|kind| is_json(&kind)) {
            return Err(Problem::new(Code::TipoDeContenido, "Content-Type debe ser application/json"));
        }
        let none = Place { member: &[], part: "", annexes: None };
        self.receive_json(request.into_body(), &none).await.map(|received| received.members)
    }

    pub async fn receive_json(&self, body: Body, place: &Place) -> Result<Received, Problem> {
        let mut scanner = Scanner::new(place.member, self.json_bytes_max).with_annexes(place.annexes);
        let mut annexes = Annexes::default();
        let mut pdf = Encoded { decoder: DocumentDecoder::default(), writer: self.exchange.stage(), out: Vec::new() };
        let (mut body, mut text): (BodyDataStream, Vec<u8>) = (body.into_data_stream(), Vec::new());
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| problem::of_body(&error, interrupted))?;
            text.clear();
            scanner.push(&piece, &mut text).map_err(refused)?;
            pdf.push(&text).await?;
            for (nth, text) in scanner.take_annexes() {
                annexes.push(self, nth, &text).await?;
            }
        }
        let annexes = annexes.finish().await?;
        let members = object(scanner.kept(), |line, column| scanner.column(line, column))?;
        let (contenido, pdf) = pdf.finish().await?;
        Ok(Received { members, contenido, pdf, file_name: None, annexes, form: false })
    }

    async fn receive_form(&self, request: Request, place: &Place) -> Result<Received, Problem> {
        let mut form = Form::open(request).await?;
        let (mut data, mut received) = (None, Received { form: true, ..Received::default() });
        while let Some(part) = form.next().await? {
            match part.name().map(str::to_owned).as_deref() {
                Some("datos") if data.is_none() => data = Some(self.read_data(part).await?),
                Some(name) if name == place.part && received.file_name.is_none() => {
                    received.file_name = Some(part.file_name().unwrap_or_default().to_owned());
                    (received.contenido, received.pdf) = self.read_file(part).await?;
                }
                Some(name) if Some(name) == place.annexes => {
                    let nth = received.annexes.len();
                    room(nth)?;
                    let file_name = part.file_name().map(str::to_owned);
                    let file = self.read_annex(part).await?;
                    received.annexes.push(Annex { nth, file_name, file });
                }
                Some(name) if name == "datos" || name == place.part => {
                    return Err(form::bad(&format!("La parte «{name}» está más de una vez")));
                }
                other => {
                    let name = other.unwrap_or_default();
                    let annexes = place.annexes.map(|part| format!(", y «{part}» por cada anexo")).unwrap_or_default();
                    let detail = format!("La parte no existe; las partes son «datos» y «{}»{annexes}", place.part);
                    return Err(Problem::field(name, "campo_desconocido", detail));
                }
            }
        }
        let data = data.ok_or_else(|| form::bad("Falta la parte «datos», con el JSON de la petición"))?;
        received.members = object(&data, |_, column| column)?;
        Ok(received)
    }

    async fn read_data(&self, mut part: Part<'_>) -> Result<Vec<u8>, Problem> {
        let mut data = Vec::new();
        while let Some(piece) = part.chunk().await? {
            if data.len() + piece.len() > self.json_bytes_max {
                return Err(refused(ScanError::TooLarge(self.json_bytes_max)));
            }
            data.extend_from_slice(&piece);
        }
        Ok(data)
    }

    async fn read_annex(&self, mut part: Part<'_>) -> Result<Staged, Problem> {
        let mut writer = self.exchange.stage();
        while let Some(piece) = part.chunk().await? {
            writer.write(&piece).await.map_err(failure::store)?;
        }
        if writer.bytes() == 0 {
            return Err(Problem::field("anexos", "no_especificado", "Un anexo está vacío"));
        }
        writer.finish().await.map_err(failure::store)
    }

    async fn read_file(&self, mut part: Part<'_>) -> Result<(Contenido, Option<Staged>), Problem> {
        let (mut writer, mut head) = (self.exchange.stage(), Vec::new());
        while let Some(piece) = part.chunk().await? {
            let missing = (SNIFF_BYTES - head.len()).min(piece.len());
            head.extend_from_slice(piece.get(..missing).unwrap_or_default());
            writer.write(&piece).await.map_err(failure::store)?;
        }
        if head.is_empty() {
            return Ok((Contenido::Ausente, None));
        }
        if memchr::memmem::find(&head, b"%PDF").is_none() {
            return Ok((Contenido::NoPdf, None));
        }
        let staged = writer.finish().await.map_err(failure::store)?;
        Ok((Contenido::Pdf { una_vez: true }, Some(staged)))
    }
}

fn room(annexes: usize) -> Result<(), Problem> {
    if annexes < ANNEXES_MAX {
        return Ok(());
    }
    let detail = format!("Son más anexos de los que admite una petición: {ANNEXES_MAX}");
    Err(Problem::field("anexos", "excede", detail))
}

/// Annexes in base64 on their way to the store, one after another.
#[derive(Default)]
struct Annexes {
    done: Vec<Annex>,
    under_way: Option<(usize, FileDecoder, BlobWriter)>,
}

impl Annexes {
    async fn push(&mut self, api: &Api, nth: usize, text: &[u8]) -> Result<(), Problem> {
        if self.under_way.as_ref().is_none_or(|(at, ..)| *at != nth) {
            self.end().await?;
            room(self.done.len())?;
            self.under_way = Some((nth, FileDecoder::default(), api.exchange.stage()));
        }
        let Some((_, decoder, writer)) = &mut self.under_way else { return Ok(()) };
        let mut out = Vec::new();
        decoder.push(text, &mut out);
        writer.write(&out).await.map_err(failure::store)
    }

    async fn end(&mut self) -> Result<(), Problem> {
        let Some((nth, decoder, mut writer)) = self.under_way.take() else { return Ok(()) };
        let wrong = |code, detail| Problem::field(format!("anexos[{nth}].contenido"), code, detail);
        let mut out = Vec::new();
        if !decoder.finish(&mut out) {
            return Err(wrong("no_valido", "El contenido del anexo debe estar en base64"));
        }
        writer.write(&out).await.map_err(failure::store)?;
        if writer.bytes() == 0 {
            return Err(wrong("no_especificado", "El anexo está vacío"));
        }
        let file = writer.finish().await.map_err(failure::store)?;
        self.done.push(Annex { nth, file_name: None, file });
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Annex>, Problem> {
        self.end().await?;
        Ok(self.done)
    }
}

/// A PDF in base64 on its way to the store.
struct Encoded {
    decoder: DocumentDecoder,
    writer: BlobWriter,
    out: Vec<u8>,
}

impl Encoded {
    async fn push(&mut self, text: &[u8]) -> Result<(), Problem> {
        if text.is_empty() {
            return Ok(());
        }
        self.out.clear();
        self.decoder.push(text, &mut self.out);
        self.writer.write(&self.out).await.map_err(failure::store)
    }

    async fn finish(mut self) -> Result<(Contenido, Option<Staged>), Problem> {
        self.out.clear();
        let contenido = self.decoder.finish(&mut self.out);
        if !matches!(contenido, Contenido::Pdf { .. }) {
            return Ok((contenido, None));
        }
        self.writer.write(&self.out).await.map_err(failure::store)?;
        Ok((contenido, Some(self.writer.finish().await.map_err(failure::store)?)))
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let stated = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The request's JSON object. `column` finds the column in the request as it came.
fn object(text: &[u8], column: impl FnOnce(usize, usize) -> usize) -> Result<Map<String, Value>, Problem> {
    let invalid = |detail| Problem::new(Code::JsonNoValido, detail);
    match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(invalid("El JSON debe ser un objeto: { … }".to_owned())),
        Err(error) => {
            let (line, column) = (error.line(), column(error.line(), error.column()));
            let why = words::of_json_syntax(&error);
            let near = last_quoted(text, &error).map(|name| format!(", cerca de «{name}»")).unwrap_or_default();
            Err(invalid(format!("El JSON {why} en la línea {line}, columna {column}{near}")))
        }
    }
}

/// Longest text of the caller's that is repeated, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// The last text in quotes before the place of the error: a member's name, most often.
fn last_quoted(text: &[u8], error: &serde_json::Error) -> Option<String> {
    let line =
        text.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum::<usize>();
    let before = text.get(..(line + error.column()).min(text.len()))?;
    let end = before.iter().rposition(|b| *b == b'"')?;
    let start = before.get(..end)?.iter().rposition(|b| *b == b'"')?;
    let name = std::str::from_utf8(before.get(start + 1..end)?).ok()?;
    (!name.is_empty() && name.chars().count() <= QUOTED_CHARS_MAX && !name.contains(char::is_control))
        .then(|| name.to_owned())
}

fn refused(error: ScanError) -> Problem {
    match error {
        ScanError::TooLarge(max) => {
            let detail = format!("Los datos de la petición, sin contar el documento, superan el máximo de {max} bytes");
            Problem::new(Code::PeticionGrande, detail)
        }
        ScanError::TooDeep => Problem::new(Code::JsonNoValido, "El JSON tiene demasiados niveles"),
        ScanError::Twice => Problem::new(Code::JsonNoValido, "El contenido del documento está más de una vez"),
    }
}

fn interrupted() -> Problem {
    Problem::new(Code::PeticionNoValida, "La petición se interrumpió antes de llegar entera")
}
