//! A text that grows down a page: headings, paragraphs, facts in two columns. One page, whose maker places things where it
//! wants; or as many as it takes, each with the same foot. What is drawn with is in `sheet`.

use super::sheet::{self, A4, About, Bookmark, Color, Element, Face, Op, Profile, Role, SheetError, Style};

pub const MARGIN: f32 = 56.0;
pub const WIDTH: f32 = A4[0] - 2.0 * MARGIN;
/// Where the values of facts begin, from the margin.
pub const VALUES: f32 = 122.0;

pub const INK: Color = [33, 37, 41];
pub const SOFT: Color = [95, 99, 104];
pub const HAIR: Color = [214, 217, 221];
pub const TINT: Color = [245, 246, 248];

/// Where the text of a page of several begins and ends.
const TOP: f32 = 64.0;
const BOTTOM: f32 = A4[1] - 62.0;
/// Pages of one document; what would come after them is left out.
const PAGES_MAX: usize = 400;
/// Lines of one paragraph or value in a document of several pages: less than a page has.
const LINES_MAX: usize = 40;

/// The page, or pages, as they grow downwards.
pub struct Drawing {
    done: Vec<Vec<Element>>,
    elements: Vec<Element>,
    bookmarks: Vec<Bookmark>,
    /// Whether a new page begins where this one ends.
    flows: bool,
    /// Baseline of the next line.
    pub y: f32,
    pub scale: f32,
    pub lines_max: usize,
    pub accent: Color,
}

impl Drawing {
    /// On one page, which ends nowhere: its maker looks at `y`.
    pub fn one_page(scale: f32, lines_max: usize, accent: Color) -> Self {
        let (done, elements, bookmarks) = (Vec::new(), Vec::new(), Vec::new());
        Self { done, elements, bookmarks, flows: false, y: 0.0, scale, lines_max, accent }
    }

    /// On as many pages as it takes.
    pub fn flowing(accent: Color) -> Self {
        Self { flows: true, y: TOP, ..Self::one_page(1.0, LINES_MAX, accent) }
    }

    /// What the one page holds.
    pub fn into_elements(self) -> Vec<Element> {
        self.elements
    }

    /// The page that is drawn on, from 0.
    pub fn page(&self) -> usize {
        self.done.len()
    }

    /// The document, each page with `foot` and its number beneath.
    pub fn finish(mut self, foot: &str, about: &About, profile: Profile) -> Result<Vec<u8>, SheetError> {
        self.done.push(std::mem::take(&mut self.elements));
        self.done.truncate(PAGES_MAX);
        let count = self.done.len();
        for (n, page) in (1..).zip(&mut self.done) {
            page.push(footer(foot, &format!("Página {n} de {count}")));
        }
        let pages: Vec<&[Element]> = self.done.iter().map(Vec::as_slice).collect();
        self.bookmarks.retain(|mark| mark.page < count);
        sheet::pages(A4, &pages, &self.bookmarks, about, profile)
    }

    /// Makes sure that `height` points are left on this page, else begins the next.
    pub fn need(&mut self, height: f32) {
        if self.flows && self.y + height > BOTTOM && self.y > TOP {
            self.done.push(std::mem::take(&mut self.elements));
            self.y = TOP;
        }
    }

    pub fn element(&mut self, role: Role, ops: Vec<Op>) {
        self.elements.push(Element { role, ops });
    }

    pub fn fill(&mut self, area: [f32; 4], color: Color) {
        self.element(Role::Decoration, vec![Op::Fill { area, color }]);
    }

    /// A text from `y` downwards, which ends on the next line.
    #[allow(clippy::too_many_arguments)] // a place, a look and a text
    pub fn text(
        &mut self,
        role: Role,
        x: f32,
        room: f32,
        face: Face,
        size: f32,
        color: Color,
        text: &str,
        lines_max: usize,
    ) {
        let style = Style { face, size, color };
        let mut ops = Vec::new();
        for line in sheet::wrap(text, face, size, room, lines_max) {
            ops.push(Op::Text { at: [x, self.y], style, text: line });
            self.y += size * 1.4;
        }
        self.element(role, ops);
    }

    /// The document's own title.
    pub fn title(&mut self, text: &str) {
        self.bookmarks.push(Bookmark { title: text.to_owned(), page: self.page(), y: 0.0 });
        self.text(Role::Heading(1), MARGIN, WIDTH, Face::Bold, 19.0 * self.scale, self.accent, text, 3);
        self.y += 4.0 * self.scale;
    }

    pub fn heading(&mut self, text: &str) {
        self.need(70.0);
        if self.flows {
            self.bookmarks.push(Bookmark { title: text.to_owned(), page: self.page(), y: (self.y - 16.0).max(0.0) });
        }
        self.text(Role::Heading(2), MARGIN, WIDTH, Face::Bold, 11.0 * self.scale, self.accent, text, 1);
        self.fill([MARGIN, self.y - 10.0 * self.scale, WIDTH, 0.7], HAIR);
        self.y += 5.0 * self.scale;
    }

    pub fn paragraph(&mut self, text: &str) {
        self.block(text, Face::Regular, 10.0, INK, 0.0);
    }

    /// Smaller, for what explains.
    pub fn note(&mut self, text: &str) {
        self.block(text, Face::Regular, 8.3, SOFT, 0.0);
    }

    pub fn item(&mut self, text: &str) {
        self.block(&format!("– {text}"), Face::Regular, 10.0, INK, 12.0);
    }

    fn block(&mut self, text: &str, face: Face, size: f32, color: Color, indent: f32) {
        let (size, room) = (size * self.scale, WIDTH - indent);
        self.need(height(text, face, size, room, self.lines_max));
        self.text(Role::Paragraph, MARGIN + indent, room, face, size, color, text, self.lines_max);
        self.y += 4.0 * self.scale;
    }

    /// Words that must not be overlooked, in a box.
    pub fn notice(&mut self, text: &str) {
        let (size, room) = (9.0 * self.scale, WIDTH - 30.0);
        let tall = height(text, Face::Regular, size, room, self.lines_max) + 14.0;
        self.need(tall + 8.0);
        let top = self.y - 9.0;
        self.fill([MARGIN, top, WIDTH, tall], [253, 245, 230]);
        self.fill([MARGIN, top, 3.5, tall], [156, 87, 0]);
        self.y = top + 7.0 + size;
        self.text(Role::Paragraph, MARGIN + 16.0, room, Face::Regular, size, INK, text, self.lines_max);
        self.y = top + tall + 18.0;
    }

    pub fn fact(&mut self, name: &str, value: &str) {
        let value = if value.trim().is_empty() { "—" } else { value };
        self.row(name, value, Face::Regular, 9.5);
    }

    /// Digests are compared letter by letter: a face whose letters are all alike wide, on one line.
    pub fn digest(&mut self, name: &str, value: &str) {
        self.row(name, value, Face::Mono, 8.9);
    }

    fn row(&mut self, name: &str, value: &str, face: Face, size: f32) {
        let (room, size) = (WIDTH - VALUES, size * self.scale);
        self.need(height(value, face, size, room, self.lines_max).max(26.0));
        let top = self.y;
        self.text(Role::Name, MARGIN, VALUES - 8.0, Face::Regular, 9.0 * self.scale, SOFT, name, 2);
        let below = std::mem::replace(&mut self.y, top);
        // A digest is never cut: it is set smaller instead.
        let size = match face {
            Face::Mono => size.min(size * room / sheet::width(value, face, size).max(1.0)),
            _ => size,
        };
        self.text(Role::Value, MARGIN + VALUES, room, face, size, INK, value, self.lines_max);
        self.y = self.y.max(below) + 2.2 * self.scale;
    }
}

/// How much of the page a text takes.
fn height(text: &str, face: Face, size: f32, room: f32, lines_max: usize) -> f32 {
    let lines = sheet::wrap(text, face, size, room, lines_max).len();
    #[allow(clippy::cast_precision_loss)] // a few dozen
    let lines = lines as f32;
    lines * size * 1.4
}

fn footer(foot: &str, number: &str) -> Element {
    let style = Style { face: Face::Regular, size: 7.5, color: SOFT };
    let right = A4[0] - MARGIN - sheet::width(number, style.face, style.size);
    let room = right - MARGIN - 12.0;
    let foot = sheet::wrap(foot, style.face, style.size, room, 1).concat();
    let line = |x, text: String| Op::Text { at: [x, A4[1] - 26.0], style, text };
    Element { role: Role::Decoration, ops: vec![line(MARGIN, foot), line(right, number.to_owned())] }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::signing::pdf::Pdf;

    #[test]
    fn what_does_not_fit_goes_on_and_no_row_is_parted() {
        let mut d = Drawing::flowing([0, 0, 0]);
        d.title("Informe");
        for n in 0..40 {
            d.heading(&format!("Parte {n}"));
            d.fact("Nombre", &"valor ".repeat(60));
            d.paragraph(&"palabra ".repeat(120));
            d.item("uno");
            d.notice(&"cuidado ".repeat(40));
            assert!(d.y <= BOTTOM + 20.0, "{}", d.y);
        }
        for page in &d.done {
            let mut roles = page.iter().map(|element| &element.role);
            while let Some(role) = roles.next() {
                assert!(*role != Role::Name || roles.next() == Some(&Role::Value));
            }
        }
        let (pages, marks) = (d.done.len() + 1, d.bookmarks.clone());
        assert!(pages > 5 && marks.len() == 41 && marks.iter().any(|mark| mark.page == pages - 1));
        let about = About {
            title: "Informe".into(),
            description: "d".into(),
            author: "a".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let made = d.finish("Pie", &about, Profile::Archival).unwrap();
        assert_eq!(Pdf::open(Cursor::new(&made)).unwrap().page_count().unwrap().number(), pages as u64);
        assert!(memchr::memmem::find(&made, b"<pdfaid:conformance>B<").is_some());
    }
}
