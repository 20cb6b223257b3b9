//! Pages drawn from elements: text in embedded fonts, boxes, a QR code, an image. As a document it is PDF/A-2a and
//! PDF/UA-1 (or PDF/A-2b): every element says what it is, in the order in which it is read. Also draws the visible stamps of signatures.

use std::{collections::BTreeMap, num::NonZeroU16, sync::LazyLock};

use jiff::Timestamp;
use krilla::{
    Data, Document, SerializeSettings,
    color::rgb,
    configure::{Accessibility, Archival, ConfigurationBuilder, PdfVersion},
    destination::XyzDestination,
    geom::{Path, PathBuilder, Point, Rect, Size, Transform},
    image::Image,
    metadata::{DateTime, Metadata},
    outline::{Outline, OutlineNode},
    page::PageSettings,
    paint::Fill,
    surface::Surface,
    tagging::{
        Artifact, ArtifactType, BBox, ContentTag, Identifier, SpanTag, TableHeaderScope, Tag, TagGroup, TagTree,
    },
    text::{Font, TextDirection},
};
use qrcode::{EcLevel, QrCode};
use rustybuzz::ttf_parser;

use crate::domain::lima;

/// A4, in points.
pub const A4: [f32; 2] = [595.28, 841.89];

/// The language of everything that is drawn.
const LANGUAGE: &str = "es-PE";

/// Largest image taken, in bytes and in pixels of a side.
pub const IMAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
const IMAGE_SIDE_MAX: u32 = 4_000;

/// Why a page could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SheetError {
    #[error("la imagen no es PNG ni JPEG, o pasa de 2 MiB o de {IMAGE_SIDE_MAX} píxeles de lado")]
    Image,
    #[error("el texto del código QR es demasiado largo")]
    Qr,
    #[error("la página no se pudo escribir: {0}")]
    Write(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Face {
    Regular,
    Bold,
    Mono,
}

impl Face {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Regular => include_bytes!("../../assets/fonts/IBMPlexSans-Regular.ttf"),
            Self::Bold => include_bytes!("../../assets/fonts/IBMPlexSans-SemiBold.ttf"),
            Self::Mono => include_bytes!("../../assets/fonts/IBMPlexMono-Regular.ttf"),
        }
    }

    const ALL: [Self; 3] = [Self::Regular, Self::Bold, Self::Mono];
}

/// The faces as read once: for measuring and for drawing.
struct Fonts(BTreeMap<Face, (ttf_parser::Face<'static>, Font)>);

static FONTS: LazyLock<Fonts> = LazyLock::new(|| {
    let read = |face: Face| {
        let metrics = ttf_parser::Face::parse(face.bytes(), 0).ok()?;
        Some((face, (metrics, Font::new(Data::from(face.bytes()), 0)?)))
    };
    Fonts(Face::ALL.into_iter().filter_map(read).collect())
});

/// The text with what the font cannot show replaced, so that no page fails for a stranger's letter.
pub fn showable(text: &str, face: Face) -> String {
    let Some((metrics, _)) = FONTS.0.get(&face) else { return String::new() };
    let shown = |c: char| match c {
        c if c.is_whitespace() || c.is_control() => ' ',
        c if metrics.glyph_index(c).is_some_and(|glyph| glyph.0 != 0) && !('\u{e000}'..='\u{f8ff}').contains(&c) => c,
        _ => '?',
    };
    text.chars().map(shown).collect()
}

/// How wide a text is, in points.
pub fn width(text: &str, face: Face, size: f32) -> f32 {
    let Some((metrics, _)) = FONTS.0.get(&face) else { return 0.0 };
    let advance = |c| metrics.glyph_index(c).and_then(|glyph| metrics.glyph_hor_advance(glyph)).unwrap_or(0);
    let units: f32 = text.chars().map(|c| f32::from(advance(c))).sum();
    units * size / f32::from(metrics.units_per_em())
}

/// Lines no wider than `room`, broken between words where it can be; the last of `lines_max` ends in «…» if more was said.
pub fn wrap(text: &str, face: Face, size: f32, room: f32, lines_max: usize) -> Vec<String> {
    let text = showable(text, face);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&joined, face, size) <= room {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            line.push(c);
            if width(&line, face, size) > room {
                line.pop();
                lines.push(std::mem::replace(&mut line, c.to_string()));
            }
        }
    }
    lines.push(line);
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        if let Some(last) = lines.last_mut() {
            while !last.is_empty() && width(&format!("{last}…"), face, size) > room {
                last.pop();
            }
            last.push('…');
        }
    }
    lines
}

pub type Color = [u8; 3];

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    pub face: Face,
    pub size: f32,
    pub color: Color,
}

/// Something drawn. Places are in points from the page's left top corner; a text's is that of its baseline.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    Text {
        at: [f32; 2],
        style: Style,
        text: String,
    },
    /// `x, y, width, height`.
    Fill {
        area: [f32; 4],
        color: Color,
    },
    Qr {
        at: [f32; 2],
        side: f32,
        text: String,
    },
    Image {
        area: [f32; 4],
        bytes: Vec<u8>,
    },
}

/// What an element is to somebody who listens to the page.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// Nothing: it only looks good.
    Decoration,
    Heading(u16),
    Paragraph,
    /// Name and value of a fact, always one after the other: a row of a table.
    Name,
    Value,
    /// In words.
    Figure(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    pub role: Role,
    pub ops: Vec<Op>,
}

impl Element {
    /// All its text.
    fn words(&self) -> String {
        let texts = self.ops.iter().filter_map(|op| match op {
            Op::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join(" ")
    }
}

/// What the document says of itself.
#[derive(Debug, Clone)]
pub struct About {
    pub title: String,
    pub description: String,
    pub author: String,
    pub at: Timestamp,
}

/// What a document promises its readers to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// PDF/A-2a and PDF/UA-1.
    Accessible,
    /// PDF/A-2b: tagged as well, but something will be added to it that is in no structure, as fields for signatures are.
    Archival,
}

/// A place in the document's outline.
#[derive(Debug, Clone, PartialEq)]
pub struct Bookmark {
    pub title: String,
    /// From 0.
    pub page: usize,
    /// From the page's top, in points.
    pub y: f32,
}

/// Draws a document of one page.
pub fn document(size: [f32; 2], elements: &[Element], about: &About) -> Result<Vec<u8>, SheetError> {
    let whole = Bookmark { title: about.title.clone(), page: 0, y: 0.0 };
    pages(size, &[elements], &[whole], about, Profile::Accessible)
}

/// Draws a document of several pages, all of one size.
pub fn pages(
    size: [f32; 2],
    pages: &[&[Element]],
    bookmarks: &[Bookmark],
    about: &About,
    profile: Profile,
) -> Result<Vec<u8>, SheetError> {
    let configuration = match profile {
        Profile::Accessible => ConfigurationBuilder::new()
            .with_archival_validator(Archival::A2_A)
            .with_accessibility_validator(Accessibility::UA1),
        Profile::Archival => ConfigurationBuilder::new().with_archival_validator(Archival::A2_B),
    };
    let configuration = configuration.finish().map_err(|error| SheetError::Write(format!("{error:?}")))?;
    let settings = SerializeSettings { configuration, enable_tagging: true, ..SerializeSettings::default() };
    let mut document = Document::new_with(settings);
    let mut tree = TagTree::new().with_lang(Some(LANGUAGE.into()));
    for (index, elements) in pages.iter().enumerate() {
        page(&mut document, size, elements, Some((index, &mut tree)))?;
    }
    document.set_tag_tree(tree);
    let mut outline = Outline::new();
    for mark in bookmarks {
        let place = XyzDestination::new(mark.page, Point::from_xy(0.0, mark.y));
        outline.push_child(OutlineNode::new(mark.title.clone(), place));
    }
    document.set_outline(outline);
    document.set_metadata(
        Metadata::new()
            .title(about.title.clone())
            .description(about.description.clone())
            .authors(vec![about.author.clone()])
            .language(LANGUAGE.into())
            .creator("chasqui".into())
            .producer("chasqui".into())
            .creation_date(date(about.at)),
    );
    document.finish().map_err(|error| SheetError::Write(format!("{error:?}")))
}

/// Draws what goes onto somebody else's page.
pub fn drawing(size: [f32; 2], elements: &[Element]) -> Result<Vec<u8>, SheetError> {
    let configuration = ConfigurationBuilder::new().with_version(PdfVersion::Pdf17).finish();
    let configuration = configuration.map_err(|error| SheetError::Write(format!("{error:?}")))?;
    let settings =
        SerializeSettings { configuration, enable_tagging: false, xmp_metadata: false, ..SerializeSettings::default() };
    let mut document = Document::new_with(settings);
    page(&mut document, size, elements, None)?;
    document.finish().map_err(|error| SheetError::Write(format!("{error:?}")))
}

fn date(at: Timestamp) -> DateTime {
    let at = lima::en_lima(at);
    let part = |n: i8| u8::try_from(n).unwrap_or_default();
    DateTime::new(u16::try_from(at.year()).unwrap_or_default())
        .month(part(at.month()))
        .day(part(at.day()))
        .hour(part(at.hour()))
        .minute(part(at.minute()))
        .second(part(at.second()))
        .utc_offset_hour(-5)
        .utc_offset_minute(0)
}

fn page(
    document: &mut Document,
    [width, height]: [f32; 2],
    elements: &[Element],
    tree: Option<(usize, &mut TagTree)>,
) -> Result<(), SheetError> {
    let settings = PageSettings::from_wh(width, height).ok_or_else(|| SheetError::Write("sin tamaño".into()))?;
    let mut page = document.start_page_with(settings);
    let mut surface = page.surface();
    let mut tags = Tags { page: tree.as_ref().map_or(0, |(index, _)| *index), ..Tags::default() };
    for element in elements {
        let mut leaves = Vec::new();
        if matches!(element.role, Role::Paragraph | Role::Heading(_) | Role::Name | Role::Value) {
            for (n, op) in element.ops.iter().enumerate() {
                leaves.push(surface.start_tagged(ContentTag::Span(SpanTag::empty())));
                draw(&mut surface, op, n + 1 < element.ops.len())?;
                surface.end_tagged();
            }
        } else {
            let decoration = ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout));
            let tag = if element.role == Role::Decoration { decoration } else { ContentTag::Other };
            leaves.push(surface.start_tagged(tag));
            element.ops.iter().try_for_each(|op| draw(&mut surface, op, false))?;
            surface.end_tagged();
        }
        tags.add(element, leaves);
    }
    surface.finish();
    page.finish();
    if let Some((_, tree)) = tree {
        tags.finish().into_iter().for_each(|group| tree.push(group));
    }
    Ok(())
}

/// The structure as it grows: rows in a row become one table.
#[derive(Default)]
struct Tags {
    page: usize,
    groups: Vec<TagGroup>,
    row: Option<TagGroup>,
    table: Option<TagGroup>,
}

impl Tags {
    fn add(&mut self, element: &Element, leaves: Vec<Identifier>) {
        let with = |mut group: TagGroup| {
            leaves.iter().for_each(|leaf| group.push(*leaf));
            group
        };
        match &element.role {
            Role::Decoration => return,
            Role::Name => {
                let mut row = TagGroup::new(Tag::TR);
                row.push(with(TagGroup::new(Tag::TH(TableHeaderScope::Row))));
                self.row = Some(row);
                return;
            }
            Role::Value => {
                let mut row = self.row.take().unwrap_or_else(|| TagGroup::new(Tag::TR));
                row.push(with(TagGroup::new(Tag::TD)));
                self.table.get_or_insert_with(|| TagGroup::new(Tag::Table)).push(row);
                return;
            }
            _ => {}
        }
        self.groups.extend(self.table.take());
        self.groups.push(match &element.role {
            Role::Heading(level) => {
                let level = NonZeroU16::new(*level).unwrap_or(NonZeroU16::MIN);
                with(TagGroup::new(Tag::Hn(level, Some(element.words()))))
            }
            Role::Figure(words) => {
                let area = element.ops.first().and_then(Op::area).map(|area| BBox::new(self.page, area));
                with(TagGroup::new(Tag::Figure(Some(words.clone())).with_bbox(area)))
            }
            _ => with(TagGroup::new(Tag::P)),
        });
    }

    fn finish(mut self) -> Vec<TagGroup> {
        self.groups.extend(self.table.take());
        self.groups
    }
}

impl Op {
    fn area(&self) -> Option<Rect> {
        match self {
            Self::Qr { at: [x, y], side, .. } => Rect::from_xywh(*x, *y, *side, *side),
            Self::Image { area: [x, y, w, h], .. } | Self::Fill { area: [x, y, w, h], .. } => {
                Rect::from_xywh(*x, *y, *w, *h)
            }
            Self::Text { .. } => None,
        }
    }
}

/// `goes_on`: another line of the same text follows, so a space parts their words for who copies or listens.
fn draw(surface: &mut Surface<'_>, op: &Op, goes_on: bool) -> Result<(), SheetError> {
    match op {
        Op::Text { at: [x, y], style, text } => {
            let Some((_, font)) = FONTS.0.get(&style.face) else { return Ok(()) };
            surface.set_fill(Some(fill(style.color)));
            let mut text = showable(text, style.face);
            if goes_on {
                text.push(' ');
            }
            let direction = TextDirection::LeftToRight;
            surface.draw_text(Point::from_xy(*x, *y), font.clone(), style.size, &text, false, direction);
        }
        Op::Fill { color, .. } => {
            let path = op.area().and_then(|area| {
                let mut path = PathBuilder::new();
                path.push_rect(area);
                path.finish()
            });
            surface.set_fill(Some(fill(*color)));
            if let Some(path) = path {
                surface.draw_path(&path);
            }
        }
        Op::Qr { at, side, text } => {
            surface.set_fill(Some(fill([0, 0, 0])));
            surface.draw_path(&qr(*at, *side, text)?);
        }
        Op::Image { area: [x, y, w, h], bytes } => {
            let (image, size) = (image(bytes)?, Size::from_wh(*w, *h).ok_or(SheetError::Image)?);
            surface.push_transform(&Transform::from_translate(*x, *y));
            surface.draw_image(image, size);
            surface.pop();
        }
    }
    Ok(())
}

fn fill([r, g, b]: Color) -> Fill {
    Fill { paint: rgb::Color::new(r, g, b).into(), ..Fill::default() }
}

/// The dark modules of a QR code, those side by side as one box.
fn qr([x, y]: [f32; 2], side: f32, text: &str) -> Result<Path, SheetError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).map_err(|_| SheetError::Qr)?;
    let count = code.width();
    let colors = code.to_colors();
    #[allow(clippy::cast_precision_loss)] // at most 177 modules
    let module = side / count as f32;
    let mut path = PathBuilder::new();
    for (row, line) in (0u16..).zip(colors.chunks(count)) {
        let mut column = 0u16;
        for run in line.chunk_by(|a, b| a == b) {
            let length = u16::try_from(run.len()).unwrap_or(0);
            if run.first() == Some(&qrcode::Color::Dark) {
                let (left, top) = (x + f32::from(column) * module, y + f32::from(row) * module);
                let area = Rect::from_xywh(left, top, f32::from(length) * module, module);
                area.into_iter().for_each(|area| path.push_rect(area));
            }
            column += length;
        }
    }
    path.finish().ok_or(SheetError::Qr)
}

/// Reads a PNG or JPEG.
fn image(bytes: &[u8]) -> Result<Image, SheetError> {
    if bytes.len() > IMAGE_BYTES_MAX {
        return Err(SheetError::Image);
    }
    let data = Data::from(bytes.to_vec());
    // PDF/A has no interpolated images.
    let image =
        if bytes.starts_with(b"\x89PNG") { Image::from_png(data, false) } else { Image::from_jpeg(data, false) };
    let image = image.map_err(|_| SheetError::Image)?;
    let (width, height) = image.size();
    if width == 0 || height == 0 || width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX {
        return Err(SheetError::Image);
    }
    Ok(image)
}

/// Width and height of an image, in pixels.
pub fn image_size(bytes: &[u8]) -> Result<(u32, u32), SheetError> {
    image(bytes).map(|image| image.size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_of_spanish_is_there_and_strangers_letters_break_nothing() {
        let spanish = "ÁÉÍÓÚÜÑáéíóúüñ¿¡«»—–…ºª°N.º “comillas” ‘simples’ €·";
        for face in Face::ALL {
            assert_eq!(showable(spanish, face), spanish);
            assert_eq!(showable("a\tb\u{0}c\u{e001}d\u{1f600}漢", face), "a b c?d??");
        }
    }

    #[test]
    fn lines_are_as_wide_as_the_room_at_most_and_an_ellipsis_tells_of_more() {
        let text = "palabra ".repeat(60) + &"x".repeat(300);
        let lines = wrap(&text, Face::Regular, 10.0, 120.0, 200);
        assert!(lines.iter().all(|line| width(line, Face::Regular, 10.0) <= 120.0));
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        let cut = wrap(&text, Face::Regular, 10.0, 120.0, 3);
        assert!(cut.len() == 3 && cut[2].ends_with('…') && width(&cut[2], Face::Regular, 10.0) <= 120.0);
        assert_eq!(wrap("", Face::Regular, 10.0, 120.0, 3), [""]);
    }

    #[test]
    fn an_image_that_is_none_is_refused() {
        for bytes in [&b""[..], b"GIF89a", b"\x89PNG\r\n", b"\xff\xd8\xff"] {
            assert_eq!(image_size(bytes), Err(SheetError::Image));
        }
    }
}
