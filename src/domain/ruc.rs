//! RUC, the taxpayer number that identifies every entity: 11 digits, the last a check digit (SUNAT, modulo 11).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Ambiente;

/// RUCs the platform's test service uses; they fail the check digit and are refused in production (CONTRACT §2).
pub const DE_PRUEBA: [&str; 2] = ["11111111111", "22222222222"];

/// What the RUCs of the simulation's entities begin with; they exist nowhere else.
pub const DE_EJEMPLO: &str = "2090000";

const PESOS: [u32; 10] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];

/// Eleven digits. [`Ruc::parse`] also demands the check digit; [`Ruc::de_contraparte`] does not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ruc(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RucInvalido {
    #[error("el RUC no puede estar vacío")]
    Vacio,
    #[error("el RUC «{0}» debe tener exactamente 11 dígitos")]
    Longitud(String),
    #[error("el RUC {0} no es válido: su dígito verificador no corresponde")]
    Digito(String),
    #[error("el RUC {0} es de prueba y no se admite en producción")]
    DePrueba(String),
    #[error("el RUC {0} es de ejemplo: solo existe en el ambiente de simulación")]
    DeEjemplo(String),
}

impl Ruc {
    /// A RUC we answer for or send to: 11 digits with a right check digit, or a test RUC outside production. The simulation's
    /// example RUCs are of no use outside it.
    pub fn parse(text: &str, ambiente: Ambiente) -> Result<Self, RucInvalido> {
        let ruc = Self::de_contraparte(text)?;
        if DE_PRUEBA.contains(&ruc.as_str()) {
            return match ambiente {
                Ambiente::Production => Err(RucInvalido::DePrueba(ruc.0)),
                Ambiente::Simulation | Ambiente::Test => Ok(ruc),
            };
        }
        if ruc.0.starts_with(DE_EJEMPLO) && ambiente != Ambiente::Simulation {
            return Err(RucInvalido::DeEjemplo(ruc.0));
        }
        if ruc.digito_correcto() { Ok(ruc) } else { Err(RucInvalido::Digito(ruc.0)) }
    }

    /// A RUC as a counterpart wrote it: 11 digits. Its check digit is the platform's affair, and a document must not be
    /// lost for it; ask [`Ruc::digito_correcto`] to flag it.
    pub fn de_contraparte(text: &str) -> Result<Self, RucInvalido> {
        let text = text.trim();
        if text.is_empty() {
            return Err(RucInvalido::Vacio);
        }
        if text.len() != 11 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(RucInvalido::Longitud(text.chars().take(20).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the last digit is the one SUNAT computes from the other ten.
    pub fn digito_correcto(&self) -> bool {
        let digits: Vec<u32> = self.0.bytes().map(|b| u32::from(b - b'0')).collect();
        let sum: u32 = PESOS.iter().zip(&digits).map(|(w, d)| w * d).sum();
        let expected = match 11 - sum % 11 {
            10 => 0,
            11 => 1,
            n => n,
        };
        digits.last() == Some(&expected)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ruc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ruc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Ruc {
    type Error = RucInvalido;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::de_contraparte(&text)
    }
}

impl From<Ruc> for String {
    fn from(ruc: Ruc) -> Self {
        ruc.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_rucs_are_accepted_everywhere() {
        for text in ["20168999926", "20537630222", " 20131312955 "] {
            assert!(Ruc::parse(text, Ambiente::Production).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_simulations_examples_live_only_in_the_simulation() {
        for ambiente in [Ambiente::Production, Ambiente::Test] {
            assert!(matches!(Ruc::parse("20900000015", ambiente), Err(RucInvalido::DeEjemplo(_))));
        }
        assert!(Ruc::parse("20900000015", Ambiente::Simulation).is_ok());
    }

    #[test]
    fn a_changed_digit_is_noticed() {
        for position in 0..11 {
            let mut digits: Vec<u8> = b"20168999926".to_vec();
            digits[position] = if digits[position] == b'9' { b'0' } else { digits[position] + 1 };
            let text = String::from_utf8(digits).unwrap();
            assert!(matches!(Ruc::parse(&text, Ambiente::Production), Err(RucInvalido::Digito(_))), "{text}");
        }
    }

    #[test]
    fn test_rucs_live_only_outside_production() {
        for text in DE_PRUEBA {
            assert!(Ruc::parse(text, Ambiente::Simulation).is_ok());
            assert!(Ruc::parse(text, Ambiente::Test).is_ok());
            assert_eq!(Ruc::parse(text, Ambiente::Production), Err(RucInvalido::DePrueba(text.into())));
        }
    }

    #[test]
    fn anything_but_eleven_digits_is_refused() {
        assert_eq!(Ruc::de_contraparte("  "), Err(RucInvalido::Vacio));
        for text in ["2016899992", "201689999261", "2016899992a", "٢٠١٦٨٩٩٩٩٢٦"] {
            assert!(matches!(Ruc::de_contraparte(text), Err(RucInvalido::Longitud(_))), "{text}");
        }
    }
}
