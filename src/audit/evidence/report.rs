//! What a verification found, for a person and for a program.

use std::fmt::{self, Write as _};

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Proven.
    Probado,
    /// Not wrong, but not proven by what is at hand.
    Aviso,
    /// Whole, and from somebody who is not believed.
    Ajeno,
    /// Wrong.
    Falla,
}

#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub veredicto: Verdict,
    pub texto: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The exchange in a few lines, as far as it could be read.
    pub intercambio: Vec<String>,
    pub hallazgos: Vec<Finding>,
}

impl Report {
    pub fn proven(&mut self, text: impl Into<String>) {
        self.add(Verdict::Probado, text);
    }

    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Verdict::Aviso, text);
    }

    pub fn fail(&mut self, text: impl Into<String>) {
        self.add(Verdict::Falla, text);
    }

    /// Of somebody whom those who were named do not vouch for.
    pub fn distrust(&mut self, text: impl Into<String>) {
        self.add(Verdict::Ajeno, text);
    }

    fn add(&mut self, veredicto: Verdict, text: impl Into<String>) {
        self.hallazgos.push(Finding { veredicto, texto: text.into() });
    }

    /// Nothing in it is wrong, and whoever made it is believed as far as that was asked.
    pub fn is_sound(&self) -> bool {
        !self.has(Verdict::Falla) && !self.has(Verdict::Ajeno)
    }

    /// What follows from all findings together.
    pub fn conclusion(&self) -> &'static str {
        if self.has(Verdict::Falla) {
            "El paquete NO está íntegro: lo que dice no se puede dar por cierto."
        } else if self.has(Verdict::Ajeno) {
            "El paquete está íntegro, pero NO es de quien usted confía: vea si dio las raíces y la clave que corresponden."
        } else {
            "El paquete está íntegro."
        }
    }

    fn has(&self, verdict: Verdict) -> bool {
        self.hallazgos.iter().any(|finding| finding.veredicto == verdict)
    }

    fn section(&self, f: &mut fmt::Formatter<'_>, title: &str, verdict: Verdict) -> fmt::Result {
        let mut findings = self.hallazgos.iter().filter(|finding| finding.veredicto == verdict).peekable();
        if findings.peek().is_some() {
            writeln!(f, "\n{title}")?;
        }
        findings.try_for_each(|finding| writeln!(f, "  - {}", finding.texto))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = String::new();
        for line in &self.intercambio {
            writeln!(head, "{line}")?;
        }
        f.write_str(&head)?;
        self.section(f, "NO CORRESPONDE", Verdict::Falla)?;
        self.section(f, "NO ES DE QUIEN USTED CONFÍA", Verdict::Ajeno)?;
        self.section(f, "Queda probado", Verdict::Probado)?;
        self.section(f, "No queda probado con lo que se tiene", Verdict::Aviso)?;
        write!(f, "\n{}", self.conclusion())
    }
}
