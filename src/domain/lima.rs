//! Lima time: UTC-05:00 all year (CONTRACT §9). Instants are stored in UTC and shown with the offset.

use jiff::{
    Timestamp, Zoned,
    civil::{Date, DateTime},
    fmt::temporal::DateTimeParser,
    tz::{Offset, TimeZone},
};

const LIMA: Offset = Offset::constant(-5);

/// The instant as people in Lima read it.
pub fn en_lima(at: Timestamp) -> Zoned {
    at.to_zoned(TimeZone::fixed(LIMA))
}

/// A civil time of Lima as an instant; `None` only outside the calendar's range.
pub fn desde_lima(civil: DateTime) -> Option<Timestamp> {
    LIMA.to_timestamp(civil).ok()
}

/// When the day of an instant began in Lima.
pub fn inicio_del_dia(at: Timestamp) -> Timestamp {
    desde_lima(en_lima(at).date().at(0, 0, 0, 0)).unwrap_or(at)
}

/// RFC 3339 and `xs:dateTime` with Lima's offset, to the second: `2026-11-21T09:30:00-05:00`.
pub fn texto(at: Timestamp) -> String {
    en_lima(at).strftime("%Y-%m-%dT%H:%M:%S-05:00").to_string()
}

/// A date or time as senders write them: `2019-08-01`, `2019-08-01T10:00:00`, with fractions, offset or `Z`. Without an
/// offset it is Lima's (CONTRACT §4). `None` for what is no date.
pub fn leer(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(civil) = PARSER.parse_datetime(text) {
        return desde_lima(civil);
    }
    // xs:date with an offset: `2019-08-01-05:00`
    let date: Date = text.get(..10)?.parse().ok()?;
    let offset = text.get(10..)?;
    format!("{date}T00:00:00{offset}").parse().ok()
}

const DIAS: [&str; 7] = ["lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"];
const MESES: [&str; 12] = [
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
];

/// A day as people write it: `viernes 20 de noviembre de 2026`.
pub fn dia_en_palabras(dia: Date) -> String {
    let nombre = |nombres: &[&'static str], n: i8| {
        usize::try_from(n - 1).ok().and_then(|n| nombres.get(n).copied()).unwrap_or_default()
    };
    let semana = nombre(&DIAS, dia.weekday().to_monday_one_offset());
    format!("{semana} {} de {} de {}", dia.day(), nombre(&MESES, dia.month()), dia.year())
}

/// An instant as people in Lima write it: `viernes 20 de noviembre de 2026, 15:04:12 (hora de Lima)`.
pub fn momento_en_palabras(at: Timestamp) -> String {
    let lima = en_lima(at);
    format!("{}, {} (hora de Lima)", dia_en_palabras(lima.date()), lima.strftime("%H:%M:%S"))
}

/// Serialises instants as the API shows them: RFC 3339 with Lima's offset.
pub mod rfc3339 {
    use jiff::Timestamp;
    use serde::Serializer;

    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::texto(*at))
    }

    /// The same for an instant that may be unknown.
    pub mod option {
        use jiff::Timestamp;
        use serde::Serializer;

        pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, serializer),
                None => serializer.serialize_none(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_deployed_senders_write_them() {
        for (text, expected) in [
            ("2019-08-01", "2019-08-01T00:00:00-05:00"),
            ("2019-08-01T10:20:30", "2019-08-01T10:20:30-05:00"),
            ("2019-08-01T10:20:30.123", "2019-08-01T10:20:30-05:00"),
            ("2019-08-01T10:20:30.123-05:00", "2019-08-01T10:20:30-05:00"),
            ("2019-08-01T15:20:30Z", "2019-08-01T10:20:30-05:00"),
            (" 2019-08-01-05:00 ", "2019-08-01T00:00:00-05:00"),
        ] {
            assert_eq!(leer(text).map(texto).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn days_and_moments_in_words() {
        let words = |text: &str| momento_en_palabras(leer(text).unwrap());
        assert_eq!(words("2026-11-20T15:04:12"), "viernes 20 de noviembre de 2026, 15:04:12 (hora de Lima)");
        assert_eq!(words("2026-03-02T03:00:00Z"), "domingo 1 de marzo de 2026, 22:00:00 (hora de Lima)");
        assert_eq!(words("2028-02-29"), "martes 29 de febrero de 2028, 00:00:00 (hora de Lima)");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "?", "01/08/2019", "2019-13-01", "2019-08-01T25:00:00", "2019-08-0ñ"] {
            assert_eq!(leer(text), None, "{text}");
        }
    }
}
