//! The structure of a data set as a walk over pieces of bytes, forward, bounded and without recursion.
//!
//! The walker knows headers, lengths, nesting and limits and tells a [`Sink`] what it meets;
//! what values mean is the sink's business.
//! It keeps no value and never looks back.

mod header;
mod level;

use crate::error::ScanError;
use crate::limits::Limits;
use crate::syntax::Coding;
use crate::vr::Vr;
use level::{Kind, Level};
use model::Flag;
use std::collections::BTreeSet;

/// The pixel data element that holds the frames of an instance: Pixel Data, Float or Double Float Pixel Data.
pub(crate) fn is_pixel_data(tag: u32) -> bool {
    matches!(tag, 0x7FE0_0008..=0x7FE0_0010) && matches!(tag & 0xFF, 0x08 | 0x09 | 0x10)
}

/// The header of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element {
    /// Tag.
    pub tag: u32,
    /// VR as written, or of the dictionary in implicit coding.
    pub vr: Vr,
    /// Position of the header.
    pub at: u64,
    /// Position of the value.
    pub value_at: u64,
    /// Length of the value; `None` when undefined.
    pub len: Option<u64>,
    /// Coding of the value.
    pub coding: Coding,
    /// Number of sequences around it.
    pub depth: usize,
    /// Whether it is the pixel data of the instance: the first such element at root. Later ones are ordinary values.
    pub pixel: bool,
}

/// What is told of a data set on the way. Values come in as many pieces as the bytes came in.
pub(crate) trait Sink {
    /// An element with a value of known length begins.
    fn element(&mut self, element: &Element) {
        let _ = element;
    }
    /// A piece of the value of the element or fragment that began last.
    fn value(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }
    /// The value of the element is complete.
    fn element_end(&mut self) {}
    /// A sequence begins.
    fn sequence(&mut self, element: &Element) {
        let _ = element;
    }
    /// An item of the innermost sequence begins.
    fn item(&mut self) {}
    /// The innermost item ends.
    fn item_end(&mut self) {}
    /// The innermost sequence ends.
    fn sequence_end(&mut self) {}
    /// Encapsulated data begins.
    fn fragments(&mut self, element: &Element) {
        let _ = element;
    }
    /// A fragment begins: the first is the offset table.
    fn fragment(&mut self, at: u64, len: u64) {
        let _ = (at, len);
    }
    /// The fragment is complete.
    fn fragment_end(&mut self) {}
    /// Encapsulated data ends; `value_end` is before the delimiter, `end` after it.
    fn fragments_end(&mut self, value_end: u64, end: u64) {
        let _ = (value_end, end);
    }
    /// Bytes passed by, headers and values alike; `group_length` when they belong to a (gggg,0000) element.
    fn passed(&mut self, bytes: &[u8], group_length: bool) {
        let _ = (bytes, group_length);
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A header is being collected.
    Header,
    /// A value is passing by; `fragment` tells whose.
    Value { left: u64, fragment: bool, group_length: bool },
    /// Only zeros may follow.
    Padding,
}

/// The walk.
#[derive(Debug)]
pub(crate) struct Walker {
    limits: Limits,
    levels: Vec<Level>,
    state: State,
    head: [u8; 12],
    have: usize,
    need: usize,
    pos: u64,
    elements: u64,
    /// Bytes outside the pixel data of the instance.
    outside: u64,
    /// The pixel data of the instance has been met.
    pixel_met: bool,
    flags: BTreeSet<Flag>,
}

impl Walker {
    /// A walk from the first byte of a data set.
    pub(crate) fn new(coding: Coding, limits: Limits) -> Self {
        Self {
            limits,
            levels: vec![Level::root(coding)],
            state: State::Header,
            head: [0; 12],
            have: 0,
            need: 8,
            pos: 0,
            elements: 0,
            outside: 0,
            pixel_met: false,
            flags: BTreeSet::new(),
        }
    }

    /// Bytes walked.
    pub(crate) fn position(&self) -> u64 {
        self.pos
    }

    /// Goes on behind the pixel data, which ends at `pos`: for the parts of a data set read one by one.
    pub(crate) fn jump(&mut self, pos: u64) {
        self.pixel_met = true;
        self.pos = pos;
    }

    /// What was odd so far.
    pub(crate) fn flags(&self) -> &BTreeSet<Flag> {
        &self.flags
    }

    /// Walks the next piece.
    pub(crate) fn feed<S: Sink>(&mut self, mut input: &[u8], sink: &mut S) -> Result<(), ScanError> {
        while !input.is_empty() {
            match self.state {
                State::Header => {
                    let (taken, rest) = input.split_at(input.len().min(self.need - self.have));
                    if let Some(room) = self.head.get_mut(self.have..self.have + taken.len()) {
                        room.copy_from_slice(taken);
                    }
                    self.have += taken.len();
                    input = rest;
                    if self.have == self.need {
                        self.header(sink)?;
                    }
                }
                State::Value { left, fragment, group_length } => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let (taken, rest) = input.split_at(take);
                    sink.passed(taken, group_length);
                    sink.value(taken);
                    self.advance(taken.len());
                    input = rest;
                    let left = left - as_u64(taken.len());
                    self.state = State::Value { left, fragment, group_length };
                    if left == 0 {
                        self.value_end(fragment, sink);
                    }
                }
                State::Padding => {
                    let (zeros, rest) = input.split_at(input.iter().take_while(|byte| **byte == 0).count());
                    sink.passed(zeros, false);
                    self.advance(zeros.len());
                    if !rest.is_empty() {
                        return Err(self.framing(0, "bytes that are no element follow the data set"));
                    }
                    input = rest;
                }
            }
        }
        Ok(())
    }

    /// Ends the walk: everything that began must be complete.
    pub(crate) fn finish<S: Sink>(&mut self, sink: &mut S) -> Result<(), ScanError> {
        if let State::Value { .. } = self.state {
            return Err(self.framing(self.last_tag(), "the data set ends inside a value"));
        }
        if self.have > 0 {
            let rest = self.head.get(..self.have).unwrap_or_default();
            if self.levels.len() > 1 || rest.iter().any(|byte| *byte != 0) {
                return Err(self.framing(0, "the data set ends inside an element header"));
            }
            sink.passed(rest, false);
            self.flags.insert(Flag::TrailingBytes);
            self.advance(self.have);
            self.have = 0;
        }
        match self.levels.as_slice() {
            [_] => Ok(()),
            [_, last] if last.kind == Kind::Fragments && last.count > 0 => {
                self.flags.insert(Flag::MissingDelimiter);
                self.levels.pop();
                sink.fragments_end(self.pos, self.pos);
                Ok(())
            }
            _ => Err(self.framing(self.last_tag(), "the data set ends inside a sequence")),
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.pos += as_u64(bytes);
    }

    fn last_tag(&self) -> u32 {
        self.levels.last().map_or(0, |level| if level.last == 0 { level.tag } else { level.last })
    }

    fn framing(&self, tag: u32, what: &'static str) -> ScanError {
        ScanError::Framing { offset: self.pos, tag, what }
    }

    fn within(&self, tag: u32, limit: &'static str, allowed: u64, found: u64) -> Result<(), ScanError> {
        if found <= allowed {
            return Ok(());
        }
        Err(ScanError::Bound { offset: self.pos, tag, limit, allowed, found })
    }

    fn value_end<S: Sink>(&mut self, fragment: bool, sink: &mut S) {
        self.state = State::Header;
        if fragment {
            sink.fragment_end();
        } else {
            sink.element_end();
        }
        self.close(sink);
    }

    /// Ends the items and sequences of defined length whose last byte has passed.
    fn close<S: Sink>(&mut self, sink: &mut S) {
        while let Some(level) = self.levels.last() {
            if level.end != Some(self.pos) {
                return;
            }
            match level.kind {
                Kind::Item => sink.item_end(),
                Kind::Sequence => sink.sequence_end(),
                Kind::Fragments => sink.fragments_end(self.pos, self.pos),
            }
            self.levels.pop();
        }
    }
}

/// A length in memory as a position.
pub(crate) fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
