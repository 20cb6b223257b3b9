//! What is seen of a signature on the page: a small card with who signed, for whom and when, and a QR code if wanted. Drawn
//! as a PDF of its own and taken over from there, fonts and all, so that it looks the same everywhere.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read, Seek},
};

use super::{Order, PadesError, update::Update};
use crate::{
    domain::lima,
    signing::{
        Identity,
        pdf::{Dict, Object, Page, Pdf, Ref},
        sheet::{self, Color, Element, Face, Op, Role, Style},
    },
};

/// Free room between a stamp and the edge of its page or another stamp, in points.
const MARGIN: f32 = 18.0;
const WIDTH: f32 = 218.0;
const PADDING: f32 = 7.0;
const QR_SIDE: f32 = 52.0;
/// A field's box with a shorter side shows nothing; a longer one is drawn in as if it had this side. In points.
const SEEN_MIN: f64 = 12.0;
const SIDE_MAX: f64 = 2000.0;
/// Lines of one text of the stamp.
const LINES_MAX: usize = 3;
/// Annotations of a page and objects of a drawing that are looked at.
const LOOKED_AT_MAX: usize = 4096;
/// Bytes of one object of a drawing: fonts, mostly.
const OBJECT_BYTES_MAX: u64 = 1024 * 1024;

const INK: Color = [33, 37, 41];
const SOFT: Color = [95, 99, 104];
const ACCENT: Color = [154, 27, 30];
const PAPER: Color = [255, 255, 255];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageChoice {
    First,
    Last,
    /// From 1.
    Number(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corner {
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisibleStamp {
    pub page: PageChoice,
    pub corner: Corner,
    /// Above the signer's name; else «Firmado digitalmente por».
    pub title: Option<String>,
    /// What it says besides the signer, the reason and the time, a text a line.
    pub lines: Vec<String>,
    /// What its QR code holds.
    pub qr: Option<String>,
}

/// Where a signature's field goes, and how it looks.
pub struct Placed {
    pub page: Page,
    /// Left, bottom, right, top.
    pub rect: [f64; 4],
    pub appearance: Option<Ref>,
}

/// Draws the stamp into the update and finds its place on the page: the corner, or beside what is there already.
pub fn place<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    stamp: &VisibleStamp,
    identity: &Identity,
    order: &Order<'_>,
) -> Result<Placed, PadesError> {
    let page = page(pdf, stamp.page)?;
    let (size, elements) = card(stamp, identity, order, WIDTH, 1.0, 0.0);
    let view = View::new(pdf, &page)?;
    let rect = free_place(pdf, &page, &view, size, stamp.corner)?;
    let drawing = sheet::drawing(size, &elements).map_err(|error| PadesError::Stamp(error.to_string()))?;
    let appearance = take_over(drawing, update, size, view.rotate)?;
    Ok(Placed { page, rect, appearance: Some(appearance) })
}

/// Draws what is seen of a signature into the box of a field that stands on the page already. `None` for a box of no size.
pub fn within<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    update: &mut Update,
    page: &Page,
    rect: [f64; 4],
    identity: &Identity,
    order: &Order<'_>,
) -> Result<Option<Ref>, PadesError> {
    let rotate = View::new(pdf, page)?.rotate;
    let [left, bottom, right, top] = normal(rect);
    let (width, height) = if rotate % 180 == 0 { (right - left, top - bottom) } else { (top - bottom, right - left) };
    if width < SEEN_MIN || height < SEEN_MIN {
        return Ok(None);
    }
    #[allow(clippy::cast_possible_truncation)] // points of a page
    let size = [width.min(SIDE_MAX) as f32, height.min(SIDE_MAX) as f32];
    let plain = VisibleStamp { page: PageChoice::First, corner: Corner::TopLeft, title: None, lines: vec![], qr: None };
    let stamp = order.stamp.unwrap_or(&plain);
    let mut elements = Vec::new();
    for scale in [1.25, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5] {
        let ([_, tall], drawn) = card(stamp, identity, order, size[0], scale, size[1]);
        elements = drawn;
        if tall <= size[1] {
            break;
        }
    }
    let drawing = sheet::drawing(size, &elements).map_err(|error| PadesError::Stamp(error.to_string()))?;
    take_over(drawing, update, size, rotate).map(Some)
}

fn page<R: Read + Seek>(pdf: &mut Pdf<R>, choice: PageChoice) -> Result<Page, PadesError> {
    let index = match choice {
        PageChoice::First => 0,
        PageChoice::Last => usize::try_from(pdf.page_count()?.number()).unwrap_or(usize::MAX).saturating_sub(1),
        PageChoice::Number(number) => number.saturating_sub(1),
    };
    let mut pages = pdf.pages()?;
    let mut at = 0;
    while let Some(page) = pages.next(pdf)? {
        if at == index {
            return Ok(page);
        }
        at += 1;
    }
    Err(PadesError::NoPage(index.saturating_add(1)))
}

/// Size and content of the card, which is `tall_min` at least.
fn card(
    stamp: &VisibleStamp,
    identity: &Identity,
    order: &Order<'_>,
    wide: f32,
    scale: f32,
    tall_min: f32,
) -> ([f32; 2], Vec<Element>) {
    let titular = identity.titular();
    let room = wide - 2.0 * PADDING - 3.0 - if stamp.qr.is_some() { QR_SIDE + PADDING } else { 0.0 };
    let title = stamp.title.as_deref().unwrap_or("Firmado digitalmente por");
    let entity = match (&titular.organizacion, &titular.ruc) {
        (Some(name), Some(ruc)) => Some(format!("{name} · RUC {ruc}")),
        (name, _) => name.clone(),
    };
    let when = lima::en_lima(order.at).strftime("Fecha: %d/%m/%Y %H:%M:%S -05:00").to_string();
    let style = |face, size: f32, color| Style { face, size: size * scale, color };
    let mut texts = vec![
        (title.to_owned(), style(Face::Regular, 6.5, SOFT)),
        (titular.nombre.clone(), style(Face::Bold, 8.0, INK)),
    ];
    texts.extend(entity.map(|text| (text, style(Face::Regular, 6.5, INK))));
    texts.extend(order.reason.map(|reason| (format!("Motivo: {reason}"), style(Face::Regular, 6.5, INK))));
    texts.extend(stamp.lines.iter().map(|line| (line.clone(), style(Face::Regular, 6.5, INK))));
    texts.push((when, style(Face::Regular, 6.5, SOFT)));

    let mut y = PADDING;
    let mut ops = Vec::new();
    for (text, style) in texts {
        for line in sheet::wrap(&text, style.face, style.size, room, LINES_MAX) {
            y += style.size * 1.28;
            ops.push(Op::Text { at: [PADDING + 3.0, y - style.size * 0.28], style, text: line });
        }
    }
    let height = (y + PADDING).max(tall_min).max(if stamp.qr.is_some() { QR_SIDE + 2.0 * PADDING } else { 0.0 });
    if let Some(text) = &stamp.qr {
        let at = [wide - PADDING - QR_SIDE, (height - QR_SIDE) / 2.0];
        ops.push(Op::Qr { at, side: QR_SIDE, text: text.clone() });
    }
    let mut all = vec![
        Op::Fill { area: [0.0, 0.0, wide, height], color: [205, 208, 212] },
        Op::Fill { area: [0.6, 0.6, wide - 1.2, height - 1.2], color: PAPER },
        Op::Fill { area: [0.0, 0.0, 2.6, height], color: ACCENT },
    ];
    all.extend(ops);
    ([wide, height], vec![Element { role: Role::Decoration, ops: all }])
}

/// The page as it is seen: turned, and cut to its crop box.
struct View {
    /// Left, bottom, right, top.
    area: [f64; 4],
    rotate: i64,
}

impl View {
    fn new<R: Read + Seek>(pdf: &mut Pdf<R>, page: &Page) -> Result<Self, PadesError> {
        const LETTER_IF_UNKNOWN: [f64; 4] = [0.0, 0.0, 612.0, 792.0];
        let media = normal(page.media_box.unwrap_or(LETTER_IF_UNKNOWN));
        let crop = match pdf.value(&page.dict, "CropBox")? {
            Object::Array(items) => {
                let mut numbers = Vec::new();
                for item in items.iter().take(4) {
                    numbers.extend(pdf.resolve(item)?.as_f64());
                }
                <[f64; 4]>::try_from(numbers).ok().map(normal)
            }
            _ => None,
        };
        let [l, b, r, t] = crop.unwrap_or(media);
        let area = [l.max(media[0]), b.max(media[1]), r.min(media[2]), t.min(media[3])];
        // A page may be turned by quarters only.
        let rotate = if page.rotate % 90 == 0 { page.rotate } else { 0 };
        Ok(Self { area, rotate })
    }

    /// Width and height as seen.
    fn size(&self) -> [f64; 2] {
        let [l, b, r, t] = self.area;
        if self.rotate % 180 == 0 { [r - l, t - b] } else { [t - b, r - l] }
    }

    /// A box in what is seen, from its left bottom corner, as a box of the page.
    fn to_page(&self, [x, y]: [f64; 2], [w, h]: [f64; 2]) -> [f64; 4] {
        let [l, b, r, t] = self.area;
        match self.rotate {
            90 => [r - y - h, b + x, r - y, b + x + w],
            180 => [r - x - w, t - y - h, r - x, t - y],
            270 => [l + y, t - x - w, l + y + h, t - x],
            _ => [l + x, b + y, l + x + w, b + y + h],
        }
    }
}

fn normal([a, b, c, d]: [f64; 4]) -> [f64; 4] {
    [a.min(c), b.min(d), a.max(c), b.max(d)]
}

/// The corner, or the next place above or below it that no other annotation covers.
fn free_place<R: Read + Seek>(
    pdf: &mut Pdf<R>,
    page: &Page,
    view: &View,
    size: [f32; 2],
    corner: Corner,
) -> Result<[f64; 4], PadesError> {
    let taken = taken(pdf, page)?;
    let [width, height] = size.map(f64::from);
    let [page_width, page_height] = view.size();
    let margin = f64::from(MARGIN);
    let x = match corner {
        Corner::TopLeft | Corner::BottomLeft => margin,
        Corner::TopRight | Corner::BottomRight => page_width - margin - width,
    };
    let (mut y, step) = match corner {
        Corner::TopLeft | Corner::TopRight => (page_height - margin - height, -(margin / 3.0)),
        Corner::BottomLeft | Corner::BottomRight => (margin, margin / 3.0),
    };
    let steps = (page_height / step.abs()).clamp(0.0, 4096.0);
    let mut tried = 0.0;
    while tried <= steps {
        let fits = x >= 0.0 && y >= 0.0 && y + height <= page_height;
        let place = view.to_page([x, y], [width, height]);
        if fits && !taken.iter().any(|other| overlap(*other, place)) {
            return Ok(place);
        }
        y += step;
        tried += 1.0;
    }
    Err(PadesError::NoRoom)
}

fn overlap([l, b, r, t]: [f64; 4], [ol, ob, or, ot]: [f64; 4]) -> bool {
    l < or && ol < r && b < ot && ob < t
}

/// What annotations cover; links do not count, for they hide nothing.
fn taken<R: Read + Seek>(pdf: &mut Pdf<R>, page: &Page) -> Result<Vec<[f64; 4]>, PadesError> {
    let mut taken = Vec::new();
    let Object::Array(annotations) = pdf.value(&page.dict, "Annots")? else { return Ok(taken) };
    for annotation in annotations.iter().take(LOOKED_AT_MAX) {
        let Object::Dict(annotation) = pdf.resolve(annotation)? else { continue };
        if annotation.get("Subtype").is_some_and(|kind| kind.is_name("Link")) {
            continue;
        }
        let Object::Array(rect) = pdf.value(&annotation, "Rect")? else { continue };
        let numbers: Vec<f64> = rect.iter().filter_map(Object::as_f64).collect();
        taken.extend(<[f64; 4]>::try_from(numbers).ok().map(normal));
    }
    Ok(taken)
}

/// Copies a drawing's page into the update as a form, with all it uses. Returns the form.
fn take_over(drawing: Vec<u8>, update: &mut Update, size: [f32; 2], rotate: i64) -> Result<Ref, PadesError> {
    let mut from = Pdf::open(Cursor::new(drawing))?;
    let page = from.page(0)?;
    let content = page.dict.get("Contents").and_then(Object::as_ref);
    let content = content.ok_or_else(|| PadesError::Stamp("el dibujo no tiene contenido".into()))?;
    let resources = from.value(&page.dict, "Resources")?;
    let mut taker = Taker { from, names: BTreeMap::new(), open: Vec::new() };
    let resources = taker.renamed(&resources, update)?;
    let (content, bytes) = taker.stream(content)?;

    let form = update.reserve()?;
    let mut dict = Dict::default();
    dict.set("Type", Object::Name(b"XObject".to_vec()));
    dict.set("Subtype", Object::Name(b"Form".to_vec()));
    let [width, height] = size.map(f64::from);
    dict.set("BBox", Object::Array([0.0, 0.0, width, height].map(Object::Real).into()));
    let turn: [i64; 6] = match rotate {
        90 => [0, 1, -1, 0, 0, 0],
        180 => [-1, 0, 0, -1, 0, 0],
        270 => [0, -1, 1, 0, 0, 0],
        _ => [1, 0, 0, 1, 0, 0],
    };
    dict.set("Matrix", Object::Array(turn.map(Object::Int).into()));
    dict.set("Resources", resources);
    for key in ["Filter", "DecodeParms"] {
        content.get(key).cloned().into_iter().for_each(|value| dict.set(key, value));
    }
    update.put_stream(form, dict, &bytes);
    taker.copy(update)?;
    Ok(form)
}

struct Taker {
    from: Pdf<Cursor<Vec<u8>>>,
    /// Numbers there and here.
    names: BTreeMap<Ref, Ref>,
    /// Not copied yet.
    open: Vec<Ref>,
}

impl Taker {
    /// The same with our numbers; what it refers to is copied later.
    fn renamed(&mut self, object: &Object, update: &mut Update) -> Result<Object, PadesError> {
        Ok(match object {
            Object::Ref(id) => Object::Ref(match self.names.get(id) {
                Some(name) => *name,
                None => {
                    let name = update.reserve()?;
                    self.names.insert(*id, name);
                    self.open.push(*id);
                    name
                }
            }),
            Object::Array(items) => {
                Object::Array(items.iter().map(|item| self.renamed(item, update)).collect::<Result<_, _>>()?)
            }
            Object::Dict(dict) => Object::Dict(self.renamed_dict(dict, update)?),
            other => other.clone(),
        })
    }

    fn renamed_dict(&mut self, dict: &Dict, update: &mut Update) -> Result<Dict, PadesError> {
        let mut renamed = Dict::default();
        for entry in dict.iter() {
            renamed.set(&String::from_utf8_lossy(&entry.key), self.renamed(&entry.value, update)?);
        }
        Ok(renamed)
    }

    fn stream(&mut self, id: Ref) -> Result<(Dict, Vec<u8>), PadesError> {
        let strange = || PadesError::Stamp("el dibujo no es como se esperaba".into());
        let object = self.from.object(id)?.ok_or_else(strange)?;
        let (Object::Dict(dict), Some(extent)) = (&object.value, object.stream) else { return Err(strange()) };
        Ok((dict.clone(), self.bytes(extent.start, extent.len())?))
    }

    fn bytes(&mut self, place: u64, length: u64) -> Result<Vec<u8>, PadesError> {
        let length = usize::try_from(length.min(OBJECT_BYTES_MAX)).unwrap_or(0);
        let mut bytes = vec![0; length];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.from.read_at(place + done as u64, rest)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(bytes)
    }

    fn copy(&mut self, update: &mut Update) -> Result<(), PadesError> {
        let mut copied = 0;
        while let (Some(id), true) = (self.open.pop(), copied < LOOKED_AT_MAX) {
            copied += 1;
            let Some(name) = self.names.get(&id).copied() else { continue };
            let Some(object) = self.from.object(id)? else {
                update.put(name, &Object::Null);
                continue;
            };
            match (&object.value, object.stream) {
                (Object::Dict(dict), Some(extent)) => {
                    let dict = self.renamed_dict(dict, update)?;
                    let bytes = self.bytes(extent.start, extent.len())?;
                    update.put_stream(name, dict, &bytes);
                }
                (value, _) => {
                    let value = self.renamed(value, update)?;
                    update.put(name, &value);
                }
            }
        }
        Ok(())
    }
}
