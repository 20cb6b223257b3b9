//! CUO, the platform's unique operation code: one per dispatched document.

use std::{fmt, hash};

use serde::{Deserialize, Serialize};

/// Longest CUO accepted, in characters (CONTRACT §4).
pub const LARGO_MAXIMO: usize = 10;

/// One to ten letters or digits; the platform gives ten digits padded with zeros, tests have shorter ones. Two CUOs are
/// equal if they are once padded, so `19` and `0000000019` are the same; the text is kept as it was written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cuo(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CuoInvalido {
    #[error("el CUO no puede estar vacío")]
    Vacio,
    #[error("el CUO «{0}» no es válido: son de 1 a 10 letras o dígitos")]
    Forma(String),
}

impl Cuo {
    pub fn parse(text: &str) -> Result<Self, CuoInvalido> {
        let text = text.trim();
        if text.is_empty() {
            return Err(CuoInvalido::Vacio);
        }
        if text.len() > LARGO_MAXIMO || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(CuoInvalido::Forma(text.chars().take(20).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form to compare and to look up by: padded with zeros to ten characters.
    pub fn clave(&self) -> String {
        format!("{:0>LARGO_MAXIMO$}", self.0)
    }
}

impl PartialEq for Cuo {
    fn eq(&self, other: &Self) -> bool {
        self.clave() == other.clave()
    }
}

impl Eq for Cuo {}

impl hash::Hash for Cuo {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.clave().hash(state);
    }
}

impl fmt::Display for Cuo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Cuo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Cuo {
    type Error = CuoInvalido;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Cuo> for String {
    fn from(cuo: Cuo) -> Self {
        cuo.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_does_not_make_another_cuo() {
        let (short, long) = (Cuo::parse("19").unwrap(), Cuo::parse("0000000019").unwrap());
        assert_eq!(short, long);
        assert_eq!(short.as_str(), "19");
        assert_ne!(short, Cuo::parse("190").unwrap());
    }

    #[test]
    fn what_is_not_a_cuo_is_refused() {
        assert_eq!(Cuo::parse(" "), Err(CuoInvalido::Vacio));
        for text in ["00000000191", "12 3", "../etc", "ñ"] {
            assert!(matches!(Cuo::parse(text), Err(CuoInvalido::Forma(_))), "{text}");
        }
    }
}
