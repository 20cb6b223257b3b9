//! Tables for spreadsheets: RFC 4180, and nothing in a cell that a spreadsheet would take for a formula.

/// The type of [`Table::text`].
pub const TYPE: &str = "text/csv; charset=utf-8; header=present";

/// By this spreadsheets know that the text is UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

pub struct Table(String);

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        let mut table = Self(BYTE_ORDER_MARK.into());
        table.row(columns);
        table
    }

    pub fn row<C: AsRef<str>>(&mut self, cells: &[C]) {
        for (n, cell) in cells.iter().enumerate() {
            if n > 0 {
                self.0.push(',');
            }
            self.cell(cell.as_ref());
        }
        self.0.push_str("\r\n");
    }

    pub fn text(self) -> String {
        self.0
    }

    fn cell(&mut self, text: &str) {
        // An apostrophe before it makes it a text for every spreadsheet.
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
        let quoted = formula || text.contains([',', '"', '\r', '\n', ';']);
        if !quoted {
            self.0.push_str(text);
            return;
        }
        self.0.push('"');
        if formula {
            self.0.push('\'');
        }
        self.0.push_str(&text.replace('"', "\"\""));
        self.0.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_are_never_formulas() {
        let mut table = Table::new(&["a", "b"]);
        table.row(&["una, dos", "dice \"sí\""]);
        table.row(&["=HYPERLINK(\"http://x\")", "@SUM(1)"]);
        table.row(&["-1", "línea\r\notra"]);
        let expected = "\u{feff}a,b\r\n\"una, dos\",\"dice \"\"sí\"\"\"\r\n\"'=HYPERLINK(\"\"http://x\"\")\",\"'@SUM(1)\"\r\n\
                        \"'-1\",\"línea\r\notra\"\r\n";
        assert_eq!(table.text(), expected);
    }
}
