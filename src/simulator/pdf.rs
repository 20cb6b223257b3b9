//! A small PDF of one or more pages: a title, facts in two columns, paragraphs. For the documents and cargos that made-up
//! entities send; not signed, and no PDF/A. Uses the fonts every reader has (Helvetica and Courier, WinAnsi), which hold
//! Spanish whole.

use std::fmt::Write;

const WIDTH: f32 = 595.28;
const HEIGHT: f32 = 841.89;
const MARGIN: f32 = 62.0;
/// Where the second column begins.
const COLUMN: f32 = MARGIN + 150.0;
const BOTTOM: f32 = 80.0;
/// Most pages of one sheet: what goes beyond is left out.
const PAGES_MAX: usize = 20;

/// What a sheet says.
#[derive(Debug, Clone, Default)]
pub struct Hoja {
    /// The entity, above the line.
    pub membrete: String,
    pub titulo: String,
    /// Name and value of each fact.
    pub datos: Vec<(String, String)>,
    pub parrafos: Vec<String>,
    /// In small print at the foot of every page.
    pub pie: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Font {
    Plain,
    Bold,
    Mono,
}

impl Font {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "F1",
            Self::Bold => "F2",
            Self::Mono => "F3",
        }
    }
}

impl Hoja {
    /// The PDF's bytes; the same sheet gives the same bytes.
    pub fn render(&self) -> Vec<u8> {
        let mut page = Layout::new(&self.pie);
        page.text(MARGIN, Font::Bold, 9.5, &self.membrete);
        page.line();
        page.down(34.0);
        page.block(MARGIN, Font::Bold, 15.0, &self.titulo);
        page.down(10.0);
        for (name, value) in &self.datos {
            page.fact(name, value);
        }
        page.down(12.0);
        for text in &self.parrafos {
            page.block(MARGIN, Font::Plain, 10.5, text);
            page.down(7.0);
        }
        assemble(&page.finish(), &self.titulo)
    }
}

/// Fills pages from the top.
struct Layout<'a> {
    pages: Vec<Vec<u8>>,
    page: Vec<u8>,
    y: f32,
    foot: &'a str,
}

impl<'a> Layout<'a> {
    fn new(foot: &'a str) -> Self {
        Self { pages: Vec::new(), page: Vec::new(), y: HEIGHT - 66.0, foot }
    }

    fn down(&mut self, by: f32) {
        self.y -= by;
        if self.y < BOTTOM {
            self.break_page();
        }
    }

    fn break_page(&mut self) {
        let foot = self.foot;
        self.y = 48.0;
        self.text(MARGIN, Font::Plain, 7.5, foot);
        self.pages.push(std::mem::take(&mut self.page));
        self.y = HEIGHT - 66.0;
    }

    fn line(&mut self) {
        let y = self.y - 8.0;
        let right = WIDTH - MARGIN;
        self.page.extend(format!("0.6 0.1 0.12 RG 1.2 w {MARGIN:.1} {y:.1} m {right:.1} {y:.1} l S\n").bytes());
    }

    /// One line at the present height.
    fn text(&mut self, x: f32, font: Font, size: f32, text: &str) {
        let (name, y) = (font.name(), self.y);
        self.page.extend(format!("BT /{name} {size} Tf {x:.1} {y:.1} Td (").bytes());
        for byte in text.chars().map(win_ansi) {
            if matches!(byte, b'(' | b')' | b'\\') {
                self.page.push(b'\\');
            }
            self.page.push(byte);
        }
        self.page.extend(b") Tj ET\n");
    }

    /// As many lines as it takes.
    fn block(&mut self, x: f32, font: Font, size: f32, text: &str) {
        for line in wrap(text, font, size, WIDTH - MARGIN - x) {
            self.text(x, font, size, &line);
            self.down(size * 1.45);
        }
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.text(MARGIN, Font::Bold, 9.5, name);
        // Digests are compared letter by letter; this size holds a SHA-256 on one line.
        let digest = value.len() >= 40 && !value.contains(' ');
        let (font, size) = if digest { (Font::Mono, 8.2) } else { (Font::Plain, 9.5) };
        self.block(COLUMN, font, size, if value.is_empty() { "—" } else { value });
        self.down(3.0);
    }

    fn finish(mut self) -> Vec<Vec<u8>> {
        self.break_page();
        self.pages.truncate(PAGES_MAX);
        self.pages
    }
}

/// Breaks a text into lines no wider than `room`, between words where it can.
fn wrap(text: &str, font: Font, size: f32, room: f32) -> Vec<String> {
    let width = |text: &str| text.chars().map(|c| advance(c, font)).sum::<f32>() * size / 1000.0;
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let glue = if line.is_empty() { "" } else { " " };
            if width(&line) + width(glue) + width(word) <= room {
                line.push_str(glue);
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                if width(&line) + width(c.encode_utf8(&mut [0; 4])) > room {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(c);
            }
        }
        lines.push(line);
    }
    lines
}

/// Widths of Helvetica in thousandths of its size, for the letters of Spanish; accents don't change them. Bold is a little
/// wider, which the margin for it covers.
fn advance(c: char, font: Font) -> f32 {
    if font == Font::Mono {
        return 600.0;
    }
    let plain = match unaccented(c) {
        'i' | 'j' | 'l' => 222.0,
        '|' => 260.0,
        ' ' | '!' | ',' | '.' | '/' | ':' | ';' | 'I' | 'f' | 't' | '[' | ']' | '\\' => 278.0,
        '(' | ')' | '-' | 'r' | '`' => 333.0,
        '"' | '*' | '°' | 'º' | 'ª' => 400.0,
        'J' | 'c' | 'k' | 's' | 'v' | 'x' | 'y' | 'z' => 500.0,
        'F' | 'T' | 'Z' => 611.0,
        'A' | 'B' | 'E' | 'K' | 'P' | 'S' | 'V' | 'X' | 'Y' | '&' => 667.0,
        'C' | 'D' | 'H' | 'N' | 'R' | 'U' | 'w' => 722.0,
        'G' | 'O' | 'Q' => 778.0,
        'M' | 'm' => 833.0,
        'W' | '%' | '—' | '@' => 1000.0,
        _ => 556.0,
    };
    if font == Font::Bold { plain * 1.08 } else { plain }
}

fn unaccented(c: char) -> char {
    match c {
        'á' | 'à' | 'ä' => 'a',
        'é' | 'è' | 'ë' => 'e',
        'í' | 'ì' | 'ï' => 'i',
        'ó' | 'ò' | 'ö' => 'o',
        'ú' | 'ù' | 'ü' => 'u',
        'ñ' => 'n',
        'Á' => 'A',
        'É' => 'E',
        'Í' => 'I',
        'Ó' => 'O',
        'Ú' | 'Ü' => 'U',
        'Ñ' => 'N',
        other => other,
    }
}

/// A character in the encoding of the fonts; what it lacks is a question mark.
fn win_ansi(c: char) -> u8 {
    match c {
        ' '..='~' => u8::try_from(c).unwrap_or(b'?'),
        '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).unwrap_or(b'?'),
        '€' => 0x80,
        '…' => 0x85,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '•' => 0x95,
        '–' => 0x96,
        '—' => 0x97,
        '\t' | '\n' | '\r' => b' ',
        _ => b'?',
    }
}

/// Puts the file together: objects, their places, the trailer.
fn assemble(pages: &[Vec<u8>], title: &str) -> Vec<u8> {
    const FIRST_PAGE: usize = 7;
    let kids: String = (0..pages.len()).map(|n| format!("{} 0 R ", FIRST_PAGE + 2 * n)).collect();
    let font = |name: &str| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>").into_bytes()
    };
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R /Lang (es-PE) >>".to_vec(),
        format!("<< /Type /Pages /Kids [ {kids}] /Count {} >>", pages.len()).into_bytes(),
        font("Helvetica"),
        font("Helvetica-Bold"),
        font("Courier"),
        [b"<< /Producer (chasqui) /Title <FEFF".as_slice(), &utf16_hex(title), b"> >>"].concat(),
    ];
    for (n, content) in pages.iter().enumerate() {
        let stream = FIRST_PAGE + 2 * n + 1;
        objects.push(
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents {stream} 0 R \
                 /Resources << /Font << /F1 3 0 R /F2 4 0 R /F3 5 0 R >> >> >>"
            )
            .into_bytes(),
        );
        let head = format!("<< /Length {} >>\nstream\n", content.len());
        objects.push([head.as_bytes(), content, b"\nendstream"].concat());
    }
    // Bytes above 127 in a comment tell transports that the file is binary.
    let mut file = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (n, object) in (1..).zip(&objects) {
        writeln!(table, "{:010} 00000 n ", file.len()).ok();
        file.extend(format!("{n} 0 obj\n").bytes());
        file.extend_from_slice(object);
        file.extend_from_slice(b"\nendobj\n");
    }
    let trailer = format!(
        "trailer\n<< /Size {} /Root 1 0 R /Info 6 0 R >>\nstartxref\n{}\n%%EOF\n",
        objects.len() + 1,
        file.len()
    );
    file.extend(table.bytes().chain(trailer.bytes()));
    file
}

fn utf16_hex(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| format!("{unit:04X}").into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hoja() -> Hoja {
        Hoja {
            membrete: "MUNICIPALIDAD DE ÑAHUIPAMPA".into(),
            titulo: "Cargo de recepción".into(),
            datos: vec![("CUO".into(), "0000000019".into()), ("SHA-256".into(), "ab".repeat(32))],
            parrafos: vec!["Razón (única) de la observación \\ fin. ".repeat(40)],
            pie: "Sin valor legal".into(),
        }
    }

    /// Every entry of the table of places points at the object it says.
    #[test]
    fn the_table_of_places_is_right() {
        let file = hoja().render();
        let find = |what: &[u8]| memchr::memmem::rfind(&file, what).unwrap();
        let start: usize =
            String::from_utf8_lossy(&file[find(b"startxref") + 10..find(b"%%EOF")]).trim().parse().unwrap();
        let table = String::from_utf8_lossy(&file[start..]).into_owned();
        let places: Vec<usize> =
            table.lines().filter(|l| l.ends_with(" n ")).map(|l| l[..10].parse().unwrap()).collect();
        assert!(places.len() >= 8);
        for (n, place) in (1..).zip(places) {
            assert!(file[place..].starts_with(format!("{n} 0 obj\n").as_bytes()), "object {n}");
        }
    }

    #[test]
    fn letters_of_spanish_are_kept_and_marks_of_the_format_escaped() {
        let file = hoja().render();
        assert!(memchr::memmem::find(&file, b"(MUNICIPALIDAD DE \xd1AHUIPAMPA) Tj").is_some());
        assert!(memchr::memmem::find(&file, b"\\(\xfanica\\)").is_some());
    }

    #[test]
    fn long_words_are_broken_and_long_texts_go_on_to_the_next_page() {
        let narrow = wrap(&"x".repeat(200), Font::Mono, 10.0, 100.0);
        assert!(narrow.iter().all(|line| line.len() <= 16) && narrow.concat().len() == 200);
        let long = Hoja { parrafos: vec!["palabra ".repeat(3000)], ..hoja() }.render();
        let pages = memchr::memmem::find_iter(&long, b"/Type /Page ").count();
        assert!((2..=PAGES_MAX).contains(&pages), "{pages}");
    }
}
