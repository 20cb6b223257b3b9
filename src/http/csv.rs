//! Tables for spreadsheets: RFC 4180, and nothing in a cell that a spreadsheet would take for a formula.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use crate::{
    domain::Ruc,
    exchange::statistics::{Counted, Row},
};

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

const COLUMNS: [&str; 22] = [
    "fecha",
    "entidad",
    "contraparte",
    "nombre",
    "despachos",
    "despachos en curso",
    "despachos enviados",
    "despachos recepcionados",
    "despachos observados",
    "despachos subsanados",
    "despachos fallidos",
    "despachos anulados",
    "cargos recibidos",
    "horas al cargo (mediana)",
    "horas al cargo (p90)",
    "recepciones",
    "recepciones pendientes",
    "recepciones recepcionadas",
    "recepciones observadas",
    "cargos entregados",
    "horas a entregar el cargo (mediana)",
    "horas a entregar el cargo (p90)",
];

/// What was counted, as a file for spreadsheets.
pub fn statistics(counted: &Counted) -> Response {
    let mut table = Table::new(&COLUMNS);
    for row in &counted.items {
        table.row(&cells(row));
    }
    let name = HeaderValue::from_static("attachment; filename=\"estadisticas.csv\"");
    ([(header::CONTENT_TYPE, HeaderValue::from_static(TYPE)), (header::CONTENT_DISPOSITION, name)], table.text())
        .into_response()
}

fn cells(row: &Row) -> [String; 22] {
    let Row { fecha, entidad, contraparte, nombre, despachos: d, recepciones: r } = row;
    let hours = |hours: &Option<f64>| hours.map(|hours| format!("{hours:.2}")).unwrap_or_default();
    let ruc = |ruc: &Option<Ruc>| ruc.as_ref().map(ToString::to_string).unwrap_or_default();
    [
        fecha.map(|fecha| fecha.to_string()).unwrap_or_default(),
        ruc(entidad),
        ruc(contraparte),
        nombre.clone().unwrap_or_default(),
        d.total.to_string(),
        d.en_curso.to_string(),
        d.enviados.to_string(),
        d.recepcionados.to_string(),
        d.observados.to_string(),
        d.subsanados.to_string(),
        d.fallidos.to_string(),
        d.anulados.to_string(),
        d.horas_al_cargo.de.to_string(),
        hours(&d.horas_al_cargo.mediana),
        hours(&d.horas_al_cargo.p90),
        r.total.to_string(),
        r.pendientes.to_string(),
        r.recepcionados.to_string(),
        r.observados.to_string(),
        r.horas_al_cargo.de.to_string(),
        hours(&r.horas_al_cargo.mediana),
        hours(&r.horas_al_cargo.p90),
    ]
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
