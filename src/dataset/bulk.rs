//! Bulk data paths: where the value lies that a BulkDataURI of [`crate::json`] names.
//!
//! A path is `TAG`, or `TAG/item/TAG...` with items counted from 1, tags as eight hexadecimal digits.

use crate::limits::Limits;
use crate::syntax::Syntax;
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::{Span, Uid};

const PIECE: usize = 64 << 10;

/// Longest path looked for, in sequences.
const DEPTH: usize = 64;

/// A value found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkPlace {
    /// The value; for encapsulated data from the first item to before the delimiter.
    pub span: Span,
    /// VR as written.
    pub vr: Vr,
    /// Bytes of a number that are to be put in opposite order for little endian; 1 when none are.
    pub swap: usize,
    /// The value is a run of fragments with item headers.
    pub encapsulated: bool,
}

/// Finds the value of a path in a data set, or in its beginning; nothing when there is none or the path is no path.
/// For deflated syntaxes the bytes are the inflated ones.
pub fn locate(bytes: &[u8], transfer_syntax: &Uid, path: &str) -> Option<BulkPlace> {
    let mut finder = Finder { path: parse(path)?, place: Vec::new(), matched: 0, open: None, found: None };
    let mut walker = Walker::new(Syntax::of(transfer_syntax.as_str()).coding, Limits::passed());
    for piece in bytes.chunks(PIECE) {
        walker.feed(piece, &mut finder).ok()?;
        if finder.found.is_some() {
            return finder.found;
        }
    }
    // Encapsulated data whose delimiter was forgotten ends with the data set.
    walker.finish(&mut finder).ok()?;
    finder.found
}

/// The sequences and items of a path, then the tag; item 0 stands for the tag at its end.
fn parse(path: &str) -> Option<Vec<(u32, u32)>> {
    let mut steps = Vec::new();
    let mut parts = path.split('/');
    while let Some(tag) = parts.next() {
        let tag = (tag.len() == 8).then(|| u32::from_str_radix(tag, 16).ok()).flatten()?;
        match parts.next() {
            Some(item) => steps.push((tag, item.parse().ok().filter(|item| *item > 0)?)),
            None => {
                steps.push((tag, 0));
                return (steps.len() <= DEPTH).then_some(steps);
            }
        }
    }
    None
}

struct Finder {
    path: Vec<(u32, u32)>,
    /// Open sequences with their items.
    place: Vec<(u32, u32)>,
    /// How many open sequences, from the outermost, are on the path.
    matched: usize,
    open: Option<Element>,
    found: Option<BulkPlace>,
}

impl Finder {
    fn is_here(&self, element: &Element) -> bool {
        self.found.is_none()
            && element.depth + 1 == self.path.len()
            && self.matched == element.depth
            && self.path.last() == Some(&(element.tag, 0))
    }

    fn match_place(&mut self) {
        self.matched = self.place.iter().zip(&self.path).take_while(|(open, step)| open == step).count();
    }

    fn found(&mut self, element: &Element, len: u64, encapsulated: bool) {
        let swap = if element.coding.big_endian && !encapsulated { element.vr.word() } else { 1 };
        let span = Span { at: element.value_at, len };
        self.found = Some(BulkPlace { span, vr: element.vr, swap, encapsulated });
    }
}

impl Sink for Finder {
    fn element(&mut self, element: &Element) {
        if self.is_here(element) {
            self.found(element, element.len.unwrap_or(0), false);
        }
    }

    fn sequence(&mut self, element: &Element) {
        self.place.push((element.tag, 0));
    }

    fn item(&mut self) {
        if let Some((_, item)) = self.place.last_mut() {
            *item += 1;
        }
        self.match_place();
    }

    fn sequence_end(&mut self) {
        self.place.pop();
        self.match_place();
    }

    fn fragments(&mut self, element: &Element) {
        self.open = self.is_here(element).then_some(*element);
    }

    fn fragments_end(&mut self, value_end: u64, _end: u64) {
        if let Some(element) = self.open.take() {
            self.found(&element, value_end.saturating_sub(element.value_at), true);
        }
    }
}
