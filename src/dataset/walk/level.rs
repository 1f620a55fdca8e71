//! One open container of the walk: the data set itself, a sequence, an item or encapsulated data.

use crate::syntax::Coding;

/// What is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Elements: the root or an item.
    Item,
    /// Items.
    Sequence,
    /// Fragments.
    Fragments,
}

/// An open container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Level {
    pub(super) kind: Kind,
    /// Tag of the sequence or encapsulated element; that of the sequence for items, 0 for the root.
    pub(super) tag: u32,
    /// Where it ends by its own length; `None` when a delimiter ends it.
    pub(super) end: Option<u64>,
    /// Where the nearest container of defined length ends.
    pub(super) bound: u64,
    /// How the elements inside are coded.
    pub(super) coding: Coding,
    /// Elements, items or fragments seen.
    pub(super) count: u64,
    /// The element seen last.
    pub(super) last: u32,
    /// The fragments are the pixel data of the instance.
    pub(super) pixel: bool,
}

impl Level {
    /// The data set itself, whose length is known only at its end.
    pub(super) fn root(coding: Coding) -> Self {
        Self { kind: Kind::Item, tag: 0, end: None, bound: u64::MAX, coding, count: 0, last: 0, pixel: false }
    }

    /// A container inside this one.
    pub(super) fn inner(&self, kind: Kind, tag: u32, end: Option<u64>, coding: Coding) -> Self {
        Self { kind, tag, end, bound: end.unwrap_or(self.bound), coding, count: 0, last: 0, pixel: false }
    }
}
