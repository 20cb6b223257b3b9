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
    fn what_is_no_date_is_none() {
        for text in ["", "?", "01/08/2019", "2019-13-01", "2019-08-01T25:00:00", "2019-08-0ñ"] {
            assert_eq!(leer(text), None, "{text}");
        }
    }
}
