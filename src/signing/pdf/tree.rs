//! The catalog and the pages.

use std::{
    collections::HashSet,
    io::{Read, Seek},
};

use super::{Dict, Error, Object, Pdf, Ref};

/// Nodes of the page tree that are visited; beyond them the count is what the tree says of itself.
const NODES_MAX: usize = 20_000;

/// How many pages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageCount {
    /// Counted one by one.
    Counted(u64),
    /// Too many to count: what the root of the tree says.
    Stated(u64),
}

impl PageCount {
    pub fn number(self) -> u64 {
        match self {
            Self::Counted(pages) | Self::Stated(pages) => pages,
        }
    }
}

/// A page with what it inherits.
#[derive(Debug, Clone)]
pub struct Page {
    pub id: Ref,
    pub dict: Dict,
    /// Its own or inherited `MediaBox`, as left, bottom, right, top.
    pub media_box: Option<[f64; 4]>,
    /// Degrees, clockwise.
    pub rotate: i64,
}

/// The pages in their order, one at a time.
pub struct Pages {
    /// Nodes still to visit, the next one last, with what they inherit.
    open: Vec<(Ref, Inherited)>,
    seen: HashSet<Ref>,
    revision: usize,
}

#[derive(Debug, Clone, Default)]
struct Inherited {
    media_box: Option<[f64; 4]>,
    rotate: i64,
}

impl<R: Read + Seek> Pdf<R> {
    /// The catalog with its reference.
    pub fn catalog(&mut self) -> Result<(Ref, Dict), Error> {
        self.catalog_at(self.newest())
    }

    pub fn catalog_at(&mut self, revision: usize) -> Result<(Ref, Dict), Error> {
        let root = self.trailer_at(revision)?.get("Root").and_then(Object::as_ref);
        let root = root.ok_or(Error::Missing("catálogo"))?;
        match self.object_at(root, revision)?.map(|found| found.value) {
            Some(Object::Dict(dict)) => Ok((root, dict)),
            _ => Err(Error::Missing("catálogo")),
        }
    }

    /// The form that holds the signature fields, with its reference if it is an object of its own.
    pub fn acro_form(&mut self) -> Result<Option<(Option<Ref>, Dict)>, Error> {
        let (_, catalog) = self.catalog()?;
        let Some(form) = catalog.get("AcroForm") else { return Ok(None) };
        match self.resolve(form)? {
            Object::Dict(dict) => Ok(Some((form.as_ref(), dict))),
            _ => Ok(None),
        }
    }

    pub fn pages(&mut self) -> Result<Pages, Error> {
        self.pages_at(self.newest())
    }

    pub fn pages_at(&mut self, revision: usize) -> Result<Pages, Error> {
        let (_, catalog) = self.catalog_at(revision)?;
        let root = catalog.get("Pages").and_then(Object::as_ref).ok_or(Error::Missing("páginas"))?;
        Ok(Pages { open: vec![(root, Inherited::default())], seen: HashSet::new(), revision })
    }

    /// The page with this index, from 0.
    pub fn page(&mut self, index: usize) -> Result<Page, Error> {
        let mut pages = self.pages()?;
        for _ in 0..index {
            pages.next(self)?;
        }
        pages.next(self)?.ok_or(Error::Missing("esa página"))
    }

    pub fn page_count(&mut self) -> Result<PageCount, Error> {
        let mut pages = self.pages()?;
        let mut count = 0;
        loop {
            match pages.next(self) {
                Ok(Some(_)) => count += 1,
                Ok(None) => return Ok(PageCount::Counted(count)),
                Err(Error::Limit("páginas")) => break,
                Err(error) => return Err(error),
            }
        }
        let (_, catalog) = self.catalog()?;
        let root = self.value(&catalog, "Pages")?;
        let stated = match root.as_dict() {
            Some(root) => self.value(root, "Count")?.as_u64(),
            None => None,
        };
        Ok(PageCount::Stated(stated.unwrap_or(count)))
    }
}

impl Pages {
    pub fn next<R: Read + Seek>(&mut self, pdf: &mut Pdf<R>) -> Result<Option<Page>, Error> {
        while let Some((id, inherited)) = self.open.pop() {
            if self.seen.len() >= NODES_MAX {
                return Err(Error::Limit("páginas"));
            }
            if !self.seen.insert(id) {
                continue; // a page listed twice, or a circle
            }
            let Some(Object::Dict(dict)) = pdf.object_at(id, self.revision)?.map(|found| found.value) else { continue };
            let inherited = self.inherit(pdf, &dict, inherited)?;
            let kids = pdf.value_at(&dict, "Kids", self.revision)?;
            match kids.as_array() {
                Some(kids) if !dict.get("Type").is_some_and(|kind| kind.is_name("Page")) => {
                    let kids = kids.iter().rev().filter_map(Object::as_ref);
                    self.open.extend(kids.map(|kid| (kid, inherited.clone())).take(NODES_MAX));
                    if self.open.len() > 2 * NODES_MAX {
                        return Err(Error::Limit("páginas"));
                    }
                }
                _ => {
                    let Inherited { media_box, rotate } = inherited;
                    return Ok(Some(Page { id, dict, media_box, rotate }));
                }
            }
        }
        Ok(None)
    }

    fn inherit<R: Read + Seek>(
        &self,
        pdf: &mut Pdf<R>,
        dict: &Dict,
        mut inherited: Inherited,
    ) -> Result<Inherited, Error> {
        if let Some(items) = pdf.value_at(dict, "MediaBox", self.revision)?.as_array() {
            let numbers: Vec<f64> = items.iter().filter_map(Object::as_f64).collect();
            inherited.media_box = <[f64; 4]>::try_from(numbers).ok().or(inherited.media_box);
        }
        if let Some(rotate) = pdf.value_at(dict, "Rotate", self.revision)?.as_int() {
            inherited.rotate = rotate.rem_euclid(360);
        }
        Ok(inherited)
    }
}
