//! Examines a PDF: its structure, every signature, what changed after each, and what in it acts by itself. The result is a
//! [`Informe`]. Bounded: the reader counts its work, and each list here has a limit. Knows no clock and no network: the time,
//! the anchors and, where wanted, a source of revocation answers are in the [`Context`].

use std::io::{Read, Seek};

use jiff::Timestamp;

mod changes;
mod content;
mod coverage;
mod fields;
mod locks;
mod revocation;
mod scope;
mod signature;
mod step;
#[cfg(test)]
mod tests;

pub use revocation::{Asked, Evidence, RevocationSource, printed_time};

use super::{
    begun::Begun,
    pdf::{Error, Pdf},
    trust::Trust,
};
use crate::domain::firmas::{Gravedad, Hallazgo, Informe, Veredicto, VeredictoFirma};

/// Signatures of one document that are examined; a document with more is not told.
pub const SIGNATURES_MAX: usize = 64;
/// Findings of one list that are kept.
const FINDINGS_MAX: usize = 40;

/// What the examination is told.
pub struct Context<'a> {
    pub now: Timestamp,
    pub trust: &'a Trust,
    /// The number of folios that the sender states.
    pub folios: Option<u64>,
    /// Asked for OCSP answers and CRLs that the document does not bring; `None`: nobody is asked.
    pub revocation: Option<&'a dyn RevocationSource>,
    /// What was hashed of the document before, if it was.
    pub begun: Option<&'a Begun>,
}

/// Findings under construction.
#[derive(Default)]
struct Findings(Vec<Hallazgo>);

impl Findings {
    fn add(&mut self, gravedad: Gravedad, codigo: &str, detalle: impl Into<String>) {
        let detalle = detalle.into();
        let known = self.0.iter().any(|known| known.codigo == codigo && known.detalle == detalle);
        if !known && self.0.len() < FINDINGS_MAX {
            self.0.push(Hallazgo { codigo: codigo.to_owned(), gravedad, detalle });
        }
    }

    fn info(&mut self, codigo: &str, detalle: impl Into<String>) {
        self.add(Gravedad::Informacion, codigo, detalle);
    }

    fn warn(&mut self, codigo: &str, detalle: impl Into<String>) {
        self.add(Gravedad::Aviso, codigo, detalle);
    }

    fn fail(&mut self, codigo: &str, detalle: impl Into<String>) {
        self.add(Gravedad::Grave, codigo, detalle);
    }
}

/// Examines a PDF. Never fails: what cannot be examined is a report that says so. Synchronous and busy: async callers use
/// `spawn_blocking`.
pub fn examine<R: Read + Seek>(reader: R, context: &Context<'_>) -> Informe {
    examine_counting(reader, context).0
}

/// Also gives what it cost, in bytes read and decoded.
pub fn examine_counting<R: Read + Seek>(mut reader: R, context: &Context<'_>) -> (Informe, u64) {
    let bytes = reader.seek(std::io::SeekFrom::End(0)).unwrap_or(0);
    match Pdf::open(reader) {
        Ok(mut pdf) => {
            let report = examined(&mut pdf, context).unwrap_or_else(|error| unexamined(&error, bytes, context.now));
            (report, pdf.work())
        }
        Err(error) => (unexamined(&error, bytes, context.now), 0),
    }
}

fn unexamined(error: &Error, bytes: u64, now: Timestamp) -> Informe {
    let code = match error {
        Error::Io(_) => "no_se_pudo_leer",
        Error::NotPdf => "no_es_pdf",
        Error::Limit(_) => "limite_del_examen",
        Error::Malformed { .. } | Error::Missing(_) | Error::Unsupported(_) => "pdf_danado",
    };
    Informe::no_comprobable(now, bytes, code, sentence(error))
}

/// An error as the sentence of a finding.
fn sentence(error: &Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>() + ".").unwrap_or_default()
}

fn examined<R: Read + Seek>(pdf: &mut Pdf<R>, context: &Context<'_>) -> Result<Informe, Error> {
    let mut findings = Findings::default();
    structure(pdf, &mut findings)?;
    let pages = pages(pdf, context.folios, &mut findings)?;
    let revisions = u32::try_from(pdf.revisions().len()).unwrap_or(u32::MAX);
    let mut report = Informe {
        veredicto: Veredicto::SinFirmas,
        resumen: String::new(),
        examinado_en: context.now,
        bytes: pdf.byte_count(),
        paginas: pages,
        revisiones: revisions,
        firmas: Vec::new(),
        hallazgos: Vec::new(),
    };
    if pdf.encrypted() {
        findings.fail("cifrado", "El PDF está cifrado: no se puede examinar lo que contiene ni sus firmas.");
        report.veredicto = Veredicto::NoComprobable;
    } else {
        let found = fields::signatures(pdf, &mut findings)?;
        let loose = content::scan(pdf, &found, &mut findings)?;
        report.firmas = signature::examine_all(pdf, &found, context)?;
        let partial = findings.0.iter().any(|finding| finding.codigo == "demasiadas_firmas");
        report.veredicto = verdict(&report, loose || partial);
    }
    report.hallazgos = findings.0;
    report.resumir();
    Ok(report)
}

/// What is odd about the file itself.
fn structure<R: Read + Seek>(pdf: &mut Pdf<R>, findings: &mut Findings) -> Result<(), Error> {
    if let Some(why) = pdf.repaired() {
        let why = sentence(why);
        findings.warn("tabla_reparada", format!("La tabla de objetos del PDF está dañada y hubo que repararla. {why}"));
    }
    if pdf.bytes_before_header() > 0 {
        let bytes = pdf.bytes_before_header();
        findings.warn("bytes_antes_del_comienzo", format!("Hay {bytes} bytes ajenos antes del comienzo del PDF."));
    }
    if pdf.is_hybrid() {
        findings.info("tabla_hibrida", "El PDF tiene dos tablas de objetos, para visores antiguos y nuevos.");
    }
    if pdf.trailer()?.repeated().is_some() {
        findings.warn("clave_repetida", "El final del PDF (trailer) dice dos veces una misma cosa.");
    }
    coverage::tail(pdf, findings)
}

fn pages<R: Read + Seek>(pdf: &mut Pdf<R>, folios: Option<u64>, findings: &mut Findings) -> Result<Option<u64>, Error> {
    if pdf.encrypted() {
        return Ok(None);
    }
    let pages = match pdf.page_count() {
        Ok(pages) => pages.number(),
        Err(error) if error.ends_all() => return Err(error),
        Err(error) => {
            findings.warn("paginas_danadas", format!("No se pudieron contar las páginas. {}", sentence(&error)));
            return Ok(None);
        }
    };
    if let Some(folios) = folios
        && folios != pages
    {
        let folios = if folios == 1 { "1 folio".to_owned() } else { format!("{folios} folios") };
        let pages = if pages == 1 { "1 página".to_owned() } else { format!("{pages} páginas") };
        let text = format!("El remitente declara {folios} y el PDF tiene {pages}.");
        findings.info("folios_distintos", text);
    }
    Ok(Some(pages))
}

/// The worst of the signatures decides.
fn verdict(report: &Informe, loose: bool) -> Veredicto {
    let worst = report.firmas.iter().map(|firma| firma.veredicto).max();
    match worst {
        Some(VeredictoFirma::Invalida) => Veredicto::Invalido,
        Some(VeredictoFirma::Modificada) => Veredicto::Modificado,
        Some(VeredictoFirma::NoComprobable) => Veredicto::NoComprobable,
        Some(_) if loose => Veredicto::NoComprobable,
        Some(VeredictoFirma::Integra) => Veredicto::Integro,
        Some(VeredictoFirma::Confiable) => Veredicto::Confiable,
        None if loose => Veredicto::NoComprobable,
        None => Veredicto::SinFirmas,
    }
}
