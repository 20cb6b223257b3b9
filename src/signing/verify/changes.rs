//! What happened to a document after each saving, told to the signatures that came before.

use std::io::{Read, Seek};

use super::{Findings, locks::Locks, step};
use crate::{
    domain::firmas::{Gravedad, TipoFirma, VeredictoFirma},
    signing::pdf::{Error, Pdf},
};

/// Savings that are compared, one with the next. Documents of many signers have a few dozen.
const STEPS_MAX: usize = 128;

/// One difference between two savings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub code: &'static str,
    pub severity: Gravedad,
    pub text: String,
    /// The full name of the field that stood empty before and was signed.
    pub signs: Option<String>,
}

/// All savings after the first signature.
pub(super) struct History {
    /// The saving that the differences led to, counted from 0, with them.
    steps: Vec<(usize, Vec<Difference>)>,
    /// Some savings were too many, or could not be compared.
    untold: bool,
    /// Something stands after the end of the last one.
    tail: bool,
    /// A certifying signature allows no further signature (DocMDP 1), from this saving on.
    sealed_from: Option<usize>,
}

/// Compares every saving after `first` with the one before.
pub(super) fn history<R: Read + Seek>(pdf: &mut Pdf<R>, first: &Option<usize>) -> Result<History, Error> {
    let mut tail = Findings::default();
    super::coverage::tail(pdf, &mut tail)?;
    let has = |code: &str| tail.0.iter().any(|finding| finding.codigo == code);
    let mut history = History {
        steps: Vec::new(),
        untold: has("revisiones_desordenadas") || has("fin_irregular"),
        tail: has("bytes_despues_del_fin"),
        sealed_from: None,
    };
    let Some(first) = *first else { return Ok(history) };
    if pdf.repaired().is_some() {
        return Ok(history);
    }
    history.sealed_from = step::sealed(pdf)?;
    for revision in first + 1..=pdf.newest() {
        if history.steps.len() >= STEPS_MAX {
            history.untold = true;
            break;
        }
        match step::compare(pdf, revision) {
            Ok(differences) => history.steps.push((revision, differences)),
            Err(error) if error.ends_all() => return Err(error),
            Err(_) => history.untold = true,
        }
    }
    Ok(history)
}

impl History {
    /// Tells a signature that ends `revision` what came after it.
    pub fn tell(
        &self,
        revision: usize,
        (kind, locks): (TipoFirma, &Locks),
        findings: &mut Findings,
        verdict: &mut VeredictoFirma,
    ) {
        let mut later = self.steps.iter().filter(|(at, _)| *at > revision).peekable();
        if later.peek().is_some() {
            findings.info("guardados_posteriores", "El PDF se volvió a guardar después de esta firma.");
        }
        for difference in later.flat_map(|(_, differences)| differences) {
            findings.add(difference.severity, difference.code, difference.text.clone());
            if difference.severity == Gravedad::Grave {
                *verdict = (*verdict).max(VeredictoFirma::Modificada);
            }
            let sealed = self.sealed_from.is_some_and(|sealed| sealed == revision);
            if sealed && difference.code == "firma_agregada" && kind == TipoFirma::Firma {
                *verdict = (*verdict).max(VeredictoFirma::Modificada);
                findings
                    .fail("certificacion_violada", "Quien certificó el documento no permitía ningún cambio posterior.");
            }
        }
        let later = self.steps.iter().filter(|(at, _)| *at > revision).flat_map(|(_, differences)| differences);
        for signed in later.filter(|difference| difference.code == "firma_agregada") {
            let held = signed.signs.as_deref().filter(|name| locks.hold(name));
            if let Some(name) = held {
                *verdict = (*verdict).max(VeredictoFirma::Modificada);
                let text = format!("Después se firmó el campo «{name}», que esta firma había bloqueado.");
                findings.fail("campo_bloqueado", text);
            } else if locks.closed {
                *verdict = (*verdict).max(VeredictoFirma::Modificada);
                findings.fail("campo_bloqueado", "Después se agregó una firma, y esta no permitía ningún cambio más.");
            }
        }
        if self.tail {
            *verdict = (*verdict).max(VeredictoFirma::Modificada);
            findings.fail("bytes_despues_del_fin", "Después de firmar se agregaron bytes al final del archivo.");
        }
        if self.untold {
            *verdict = (*verdict).max(VeredictoFirma::NoComprobable);
            findings.fail("cambios_sin_comparar", "No se pudo establecer qué cambió después de firmar.");
        }
    }
}
