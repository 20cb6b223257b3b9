//! Reads what a page's form sent. Every form is `multipart/form-data` and begins with its session's token, so that no file is
//! taken in for somebody who only lured a person here; files go to the store's stage as they arrive.

use axum::extract::Request;

use super::failure::Fault;
use crate::{
    exchange::Exchange,
    http::{
        failure,
        form::{Form, Part},
    },
    store::Staged,
};

/// The part with the session's token.
pub const TOKEN: &str = "_csrf";

/// All texts of a form together, in bytes.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Parts of a form.
const PARTS_MAX: usize = 200;
/// How far into a file `%PDF` may stand, in bytes, as PDF readers allow.
const SNIFF_BYTES: usize = 1024;

/// A file that a form brought.
#[derive(Debug, Clone)]
pub struct Archivo {
    pub parte: String,
    pub nombre: String,
    pub es_pdf: bool,
    pub contenido: Staged,
}

/// A form as it was sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    pub textos: Vec<(String, String)>,
    pub archivos: Vec<Archivo>,
}

impl Sent {
    /// The text of a field, without the spaces around it; empty if it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.textos.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.trim())
    }

    /// The same, where nothing and empty are one.
    pub fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub fn files<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Archivo> {
        self.archivos.iter().filter(move |archivo| archivo.parte == part)
    }
}

/// Reads a form that begins with `token`.
pub async fn read(exchange: &Exchange, token: &str, request: Request) -> Result<Sent, Fault> {
    // Browsers that say where a form stood are believed where they say «elsewhere».
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| site != "same-origin") {
        return Err(stale());
    }
    let mut form = Form::open(request).await?;
    let (mut sent, mut bytes, mut first) = (Sent::default(), 0, true);
    while let Some(part) = form.next().await? {
        let name = part.name().unwrap_or_default().to_owned();
        if std::mem::take(&mut first) {
            let given = text(part, &mut bytes).await?;
            let same = given.len() == token.len()
                && given.bytes().zip(token.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0;
            if name != TOKEN || !same || token.is_empty() {
                return Err(stale());
            }
            continue;
        }
        if sent.textos.len() + sent.archivos.len() >= PARTS_MAX {
            return Err(Fault::wrong(format!("El formulario tiene más de {PARTS_MAX} partes")));
        }
        match part.file_name().map(str::to_owned) {
            Some(nombre) => sent.archivos.extend(file(exchange, part, name, nombre).await?),
            None => sent.textos.push((name, text(part, &mut bytes).await?)),
        }
    }
    if first { Err(stale()) } else { Ok(sent) }
}

fn stale() -> Fault {
    Fault::wrong("El formulario venció o no es de esta página. Vuelva atrás, recargue la página y hágalo otra vez")
}

async fn text(mut part: Part<'_>, bytes: &mut usize) -> Result<String, Fault> {
    let mut read = Vec::new();
    while let Some(piece) = part.chunk().await? {
        *bytes += piece.len();
        if *bytes > TEXT_BYTES_MAX {
            return Err(Fault::wrong(format!("Los textos del formulario superan los {TEXT_BYTES_MAX} bytes")));
        }
        read.extend_from_slice(&piece);
    }
    let text = String::from_utf8(read).map_err(|_| Fault::wrong("Un texto del formulario no es UTF-8"))?;
    Ok(text.replace("\r\n", "\n"))
}

/// A field for a file that was left empty brings none.
async fn file(
    exchange: &Exchange,
    mut part: Part<'_>,
    parte: String,
    nombre: String,
) -> Result<Option<Archivo>, Fault> {
    let (mut writer, mut head) = (exchange.stage(), Vec::new());
    while let Some(piece) = part.chunk().await? {
        let missing = (SNIFF_BYTES - head.len()).min(piece.len());
        head.extend_from_slice(piece.get(..missing).unwrap_or_default());
        writer.write(&piece).await.map_err(failure::store)?;
    }
    if head.is_empty() && nombre.is_empty() {
        return Ok(None);
    }
    let es_pdf = memchr::memmem::find(&head, b"%PDF").is_some();
    let contenido = writer.finish().await.map_err(failure::store)?;
    Ok(Some(Archivo { parte, nombre, es_pdf, contenido }))
}
