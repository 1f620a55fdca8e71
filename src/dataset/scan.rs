//! The scanner: one bounded pass over untrusted bytes as they arrive.
//!
//! It gives what the archive needs to know of an instance before it stores it: identity, attributes for
//! finding, the place of every frame, the digest.
//! It refuses only what cannot be framed, bounded or identified; whatever else is odd becomes a [`Flag`].
//! It never changes a byte and keeps none of the pixels.

mod decode;
mod sink;
#[cfg(test)]
mod tests;

use crate::error::ScanError;
use crate::frames;
use crate::inflate::Inflater;
use crate::limits::Limits;
use crate::syntax::{Codec, Syntax};
use crate::walk::{Walker, as_u64};
use model::attribute::key;
use model::facility::CharsetHint;
use model::{AttrKey, Attributes, Flag, Layout, Sameness, SamenessHasher, SamenessKind, Uid};
use sink::ScanSink;
use std::collections::BTreeSet;

/// What one pass over a data set tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID.
    pub sop_instance: Uid,
    /// Study Instance UID.
    pub study: Uid,
    /// Series Instance UID.
    pub series: Uid,
    /// Over transfer syntax UID, one NUL, and the data set bytes as received.
    pub digest: Sameness,
    /// CRC-32C over the data set (inflated) without (gggg,0000) elements: equal when only group lengths differ.
    pub loose_crc: u32,
    /// Bytes fed.
    pub stored_len: u64,
    /// The extracted and stated attributes of [`model::attribute::ATTRIBUTES`].
    pub attributes: Attributes,
    /// Where the parts lie.
    pub layout: Layout,
    /// What is odd, in ascending order, each once.
    pub flags: Vec<Flag>,
}

/// The pass itself: feed it every byte of the data set in pieces of any size, then finish it.
#[derive(Debug)]
pub struct Scanner {
    syntax: Syntax,
    hint: CharsetHint,
    limits: Limits,
    hash: SamenessHasher,
    fed: u64,
    inflater: Option<Inflater>,
    walker: Walker,
    sink: ScanSink,
}

impl Scanner {
    /// A scanner for a data set in the named transfer syntax, without file meta information.
    pub fn new(transfer_syntax: &Uid, hint: CharsetHint, limits: Limits) -> Self {
        Self::taking(SamenessKind::default(), transfer_syntax, hint, limits)
    }

    /// The same, taking a digest of this kind.
    pub fn taking(kind: SamenessKind, transfer_syntax: &Uid, hint: CharsetHint, limits: Limits) -> Self {
        let syntax = Syntax::of(transfer_syntax.as_str());
        Self {
            syntax,
            hint,
            hash: SamenessHasher::new(kind, transfer_syntax),
            fed: 0,
            inflater: syntax.deflated.then(Inflater::new),
            walker: Walker::new(syntax.coding, limits.clone()),
            sink: ScanSink::new(syntax.coding, limits.clone()),
            limits,
        }
    }

    /// Scans the next piece. After an error the data set is to be refused.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        self.hash.update(bytes);
        self.fed += as_u64(bytes.len());
        let (walker, sink) = (&mut self.walker, &mut self.sink);
        match &mut self.inflater {
            Some(inflater) => inflater.feed(bytes, &self.limits, |piece| walker.feed(piece, sink)),
            None => walker.feed(bytes, sink),
        }
    }

    /// Ends the pass: the data set must be complete and have an identity.
    pub fn finish(mut self) -> Result<Scanned, ScanError> {
        let trailing = self.inflater.as_ref().map_or(Ok(0), Inflater::finish)?;
        self.walker.finish(&mut self.sink)?;
        let mut flags = self.walker.flags().clone();
        // One byte pads the deflated stream to even length.
        if trailing > 1 {
            flags.insert(Flag::TrailingBytes);
        }
        if self.syntax.codec == Codec::Unknown {
            flags.insert(Flag::UnknownSyntax);
        }
        let attributes = self.sink.attributes(self.hint, &mut flags);
        let layout = self.layout(&attributes, &mut flags);
        Ok(Scanned {
            sop_class: self.identity(&attributes, key::SOP_CLASS_UID, &mut flags)?,
            sop_instance: self.identity(&attributes, key::SOP_INSTANCE_UID, &mut flags)?,
            study: self.identity(&attributes, key::STUDY_INSTANCE_UID, &mut flags)?,
            series: self.identity(&attributes, key::SERIES_INSTANCE_UID, &mut flags)?,
            digest: self.hash.finish(),
            loose_crc: self.sink.loose_crc(),
            stored_len: self.fed,
            attributes,
            layout,
            flags: flags.into_iter().collect(),
        })
    }

    fn identity(&self, attributes: &Attributes, key: AttrKey, flags: &mut BTreeSet<Flag>) -> Result<Uid, ScanError> {
        let fail = |what| ScanError::Identity { offset: self.sink.offset_of(key), tag: key.tag, what };
        let text = attributes.get(&key).ok_or_else(|| fail("it is missing"))?;
        let uid = Uid::parse(text).map_err(|error| match error {
            model::uid::UidError::Empty => fail("it is empty"),
            model::uid::UidError::TooLong(_) => fail("it has more than 64 characters"),
            model::uid::UidError::Malformed(_) => fail("it is not made of digits and single dots"),
        })?;
        if !uid.is_conformant() {
            flags.insert(Flag::UidForm);
        }
        Ok(uid)
    }

    fn layout(&mut self, attributes: &Attributes, flags: &mut BTreeSet<Flag>) -> Layout {
        let number = |key: AttrKey| attributes.get(&key).and_then(|text| text.split('\\').next()?.trim().parse().ok());
        let image = frames::Image {
            rows: number(key::ROWS).unwrap_or(0),
            columns: number(key::COLUMNS).unwrap_or(0),
            samples: number(key::SAMPLES_PER_PIXEL).unwrap_or(1),
            bits_allocated: number(key::BITS_ALLOCATED).unwrap_or(0),
            frames: number(key::NUMBER_OF_FRAMES).unwrap_or(1).max(1),
            subsampled: attributes
                .get(&key::PHOTOMETRIC_INTERPRETATION)
                .is_some_and(|text| matches!(text.as_str(), "YBR_FULL_422" | "YBR_PARTIAL_422")),
        };
        let (pixel, found) = self.sink.take_pixels();
        let native = self.syntax.codec == Codec::Native || self.syntax.codec == Codec::Unknown;
        let frames = match (&pixel, found) {
            (None, _) => model::Frames::None,
            (Some(pixel), None) => frames::native(&image, pixel.value.len, native, flags),
            (Some(_), Some(found)) => frames::encapsulated(&image, self.syntax.codec, found, flags),
        };
        Layout { pixel, frames, dataset_len: self.walker.position() }
    }
}
