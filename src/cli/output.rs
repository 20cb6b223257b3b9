//! Writing for people and for programs. The only place of the program that writes to its outputs directly.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::Failure;

/// A line of the result.
pub fn say(line: &str) {
    // A reader that has gone away, as `head` does, is no failure of ours.
    writeln!(io::stdout(), "{line}").ok();
}

/// What went wrong.
pub fn complain(message: &str) {
    writeln!(io::stderr(), "chasqui: {message}").ok();
}

/// Something on the way that is not the result.
pub fn note(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

pub fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(error.to_string()))?;
    say(&text);
    Ok(())
}

/// The text of a member, or a dash.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or("—")
}

/// Rows in columns as wide as their longest cell.
pub fn table(head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    line(&head.iter().map(ToString::to_string).collect::<Vec<_>>());
    rows.iter().for_each(|row| line(row));
}

/// A number of bytes for people: `12.3 GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("bytes", 1)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| bytes >= *size).unwrap_or(("bytes", 1));
    let tenths = bytes.saturating_mul(10) / size;
    if size == 1 { format!("{bytes} {unit}") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}
