//! The reports on the signatures of the documents in a package: put in as JSON and in words, and held against the record.

use std::io::{self, Read, Seek};

use super::{CARGO, DOCUMENT, Report, container::Container, write::Subject};
use crate::domain::{Documento, firmas::Informe, lima};

/// The folder they are in.
const FOLDER: &str = "firmas/";
/// Largest report that is read, in bytes: an examination names a bounded number of findings.
const REPORT_MAX: u64 = 4 * 1024 * 1024;

/// The documents of an exchange, as they are called in a package.
fn documents<'a>(subject: &Subject<'a>) -> impl Iterator<Item = (&'static str, &'a Documento)> {
    std::iter::once((DOCUMENT, subject.document)).chain(subject.cargo.map(|cargo| (CARGO, cargo)))
}

fn stem(document: &str) -> String {
    format!("{FOLDER}{}", document.trim_end_matches(".pdf"))
}

/// The files of a package: names and contents.
pub fn files(subject: &Subject<'_>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for (name, document) in documents(subject) {
        if let Some(report) = &document.firmas {
            files.push((format!("{}.json", stem(name)), serde_json::to_vec_pretty(report)?));
            files.push((format!("{}.txt", stem(name)), report.texto().into_bytes()));
        }
    }
    Ok(files)
}

/// Says of each document what its examination found, if the package has the report that the record has.
pub fn judge<R: Read + Seek>(container: &mut Container<R>, subject: &Subject<'_>, report: &mut Report) {
    for (name, document) in documents(subject) {
        let Some(recorded) = &document.firmas else {
            report.warn(format!("Las firmas de {name}: no se examinaron cuando se registró."));
            continue;
        };
        let file = format!("{}.json", stem(name));
        // A package of before reports were put in has them in its record all the same.
        let same = container.find(&file).is_none()
            || container.read(&file, REPORT_MAX).is_ok_and(|(bytes, _)| {
                serde_json::from_slice::<Informe>(&bytes).is_ok_and(|found| found == **recorded)
            });
        if same {
            report.proven(format!(
                "Las firmas de {name} se examinaron el {} y quedó registrado: {} Para examinarlas de nuevo: chasqui pdf \
                 verify {name}.",
                lima::texto(recorded.examinado_en),
                recorded.resumen
            ));
        } else {
            report.fail(format!("«{file}» no es el informe de firmas que se registró."));
        }
    }
}
