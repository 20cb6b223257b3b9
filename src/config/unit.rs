//! Values with a unit or a form of their own, and what an operator is told when one is wrong.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use humantime_serde::re::humantime;
use jiff::civil::{Date, Time};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    LogFormat, StoreKind, key,
    tls::{ClientCertificate, TlsVersion},
};
use crate::domain::{
    Ambiente, EmisionCargo, Falla,
    firmas::Exigencia,
    respuestas::{Operacion, Regla},
    validation::Rigor,
};

/// A number of bytes, written `64KiB`, `256MiB`, `2GiB` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }

    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub fn plus(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }

    /// For sizes that are also counts in memory; saturates on machines with small addresses.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        number.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(bytes)).map(Self).ok_or(())
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "un tamaño: se escribe como 64KiB, 256MiB o 2GiB")
    }
}

/// A text that is never shown, and wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq, Deserialize, zeroize::ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr>(deserializer: D, what: &str) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.trim().parse().map_err(|_| D::Error::custom(format!("«{text}» no es {what}")))
}

pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parsed(deserializer, "una dirección: se escribe IP:PUERTO, como 127.0.0.1:8080 o [::1]:8080")
}

/// Durations as `30s`, `5min`, `2h 30min`, `5days`.
pub mod duration {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        read(&String::deserialize(deserializer)?)
    }

    pub fn read<E: Error>(text: &str) -> Result<Duration, E> {
        humantime::parse_duration(text.trim())
            .map_err(|_| E::custom(format!("«{text}» no es un tiempo: se escribe como 30s, 5min, 2h o 5days")))
    }
}

/// A duration that may be absent.
pub mod optional_duration {
    use super::*;

    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => duration::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }
}

/// Lists of durations.
pub mod durations {
    use super::*;

    pub fn serialize<S: Serializer>(values: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| humantime::format_duration(*value).to_string()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| duration::read(text)).collect()
    }
}

fn hour(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    (two(hour) && two(minute)).then_some(())?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
    let text = String::deserialize(deserializer)?;
    hour(&text).ok_or_else(|| D::Error::custom(format!("«{text}» no es una hora: se escribe como 16:30")))
}

pub fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    time(deserializer).map(Some)
}

pub fn write_time<S: Serializer>(value: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{:02}:{:02}", value.hour(), value.minute()))
}

pub fn write_optional_time<S: Serializer>(value: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => write_time(value, serializer),
        None => serializer.serialize_none(),
    }
}

pub fn dates<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Date>, D::Error> {
    let date = |text: String| {
        text.trim()
            .parse()
            .map_err(|_| D::Error::custom(format!("«{text}» no es una fecha: se escribe como 2026-08-15")))
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(date).collect()
}

/// One of a few words; a wrong one is answered with all of them and the nearest.
fn word<'de, D: Deserializer<'de>, T: Copy>(deserializer: D, words: &[(&str, T)]) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.trim()) {
        return Ok(*value);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let nearest = key::nearest(&text, names.iter().copied()).unwrap_or_default();
    let all = names.join(", ");
    Err(D::Error::custom(format!("«{text}» no es uno de: {all}; ¿quiso decir «{nearest}»?")))
}

pub fn ambiente<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ambiente, D::Error> {
    let words = [("simulation", Ambiente::Simulation), ("test", Ambiente::Test), ("production", Ambiente::Production)];
    word(deserializer, &words)
}

pub fn operacion<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Operacion>, D::Error> {
    let words =
        [("recepcionar", Operacion::Recepcionar), ("cargo", Operacion::Cargo), ("consultar", Operacion::Consultar)];
    word(deserializer, &words).map(Some)
}

pub fn falla<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Falla>, D::Error> {
    word(deserializer, &Regla::FALLAS.map(|falla| (falla.codigo(), falla))).map(Some)
}

pub fn store_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StoreKind, D::Error> {
    word(deserializer, &[("embedded", StoreKind::Embedded), ("postgres", StoreKind::Postgres)])
}

pub fn exigencia<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Exigencia, D::Error> {
    let words = [
        ("inform", Exigencia::Inform),
        ("require_signature", Exigencia::RequireSignature),
        ("require_trusted", Exigencia::RequireTrusted),
    ];
    word(deserializer, &words)
}

pub fn rigor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rigor, D::Error> {
    word(deserializer, &[("lenient", Rigor::Lenient), ("strict", Rigor::Strict)])
}

pub fn cargo<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<EmisionCargo>, D::Error> {
    let words = [("generate", EmisionCargo::Generado), ("stamp", EmisionCargo::Sellado), ("given", EmisionCargo::Dado)];
    word(deserializer, &words).map(Some)
}

pub fn tls_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TlsVersion, D::Error> {
    word(deserializer, &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)])
}

pub fn client_certificate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClientCertificate, D::Error> {
    use ClientCertificate as C;
    word(deserializer, &[("none", C::None), ("optional", C::Optional), ("required", C::Required)])
}

pub fn log_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogFormat, D::Error> {
    word(deserializer, &[("human", LogFormat::Human), ("json", LogFormat::Json)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_in_the_largest_unit_that_fits() {
        for (text, bytes, shown) in [
            ("2GiB", 2 << 30, "2GiB"),
            ("1536 MiB", 1536 << 20, "1536MiB"),
            ("65536", 65536, "64KiB"),
            ("100B", 100, "100B"),
            ("0", 0, "0B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown));
        }
        for text in ["", "GiB", "1.5GiB", "-1", "10MB", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn hours_are_two_digits_and_two_digits() {
        assert_eq!(hour("16:30"), Some(Time::constant(16, 30, 0, 0)));
        for text in ["24:00", "16:60", "1630", "4:30", "16:30:00", "+1:00"] {
            assert_eq!(hour(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_show() {
        let secret = Secret("postgres://u:p@h/d".into());
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** \"***\"");
    }
}
