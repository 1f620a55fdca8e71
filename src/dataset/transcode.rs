//! Native data sets in Explicit or Implicit VR Little Endian, for viewers and destinations that take nothing else.
//!
//! Values stay equal; numbers of big endian data are swapped, VRs come from the dictionary, sequences and items get
//! delimiters instead of lengths, group lengths are left out. Pixels pass through in pieces: memory is bounded.
//! Compressed pixels are never touched here: [`splice`] writes the elements around pixels that others made.

mod deflating;
mod recoding;
pub mod splice;
#[cfg(test)]
mod tests;

pub use deflating::Deflating;
pub use recoding::Recoding;

use crate::error::ScanError;
use crate::inflate::Inflater;
use crate::limits::Limits;
use crate::resolve::Resolver;
use crate::syntax::{Coding, Syntax};
use crate::vr::Vr;
use crate::walk::{Element, Sink, Walker};
use model::Uid;
use std::io::{self, Read, Write};

const PIECE: usize = 64 << 10;
/// Big endian pixels in an implicit little endian data set.
const GE_SWAPPED: &str = "1.2.840.113619.5.2";

/// Why a data set could not be written in another form.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// The source could not be read.
    #[error("reading the data set")]
    Read(#[source] io::Error),
    /// The destination does not take the bytes.
    #[error("writing the data set")]
    Write(#[source] io::Error),
    /// The bytes are no data set of the syntax: not those that were scanned.
    #[error(transparent)]
    Data(#[from] ScanError),
}

/// Whether a data set of this syntax has to pass [`explicit_le`] to be Explicit VR Little Endian.
pub fn is_needed(transfer_syntax: &Uid) -> bool {
    let syntax = Syntax::of(transfer_syntax.as_str());
    syntax.deflated || syntax.coding != Coding::EXPLICIT
}

/// Writes a scanned data set in Explicit VR Little Endian.
pub fn explicit_le(
    input: &mut impl Read,
    transfer_syntax: &Uid,
    output: &mut impl Write,
) -> Result<(), TranscodeError> {
    let syntax = Syntax::of(transfer_syntax.as_str());
    if syntax.deflated {
        return inflate(input, output);
    }
    if syntax.coding == Coding::EXPLICIT {
        return pieces(input, |piece| output.write_all(piece).map_err(TranscodeError::Write));
    }
    let mut walker = Walker::new(syntax.coding, Limits::passed());
    let swap_pixels = transfer_syntax.as_str() == GE_SWAPPED;
    let mut writer = Writer::new(&mut *output, swap_pixels);
    pieces(input, |piece| {
        walker.feed(piece, &mut writer)?;
        writer.check()
    })?;
    walker.finish(&mut writer)?;
    writer.check()
}

/// Writes a scanned data set in Implicit VR Little Endian; only for native pixels, since compressed ones have no
/// implicit form.
pub fn implicit_le(
    input: &mut impl Read,
    transfer_syntax: &Uid,
    output: &mut impl Write,
) -> Result<(), TranscodeError> {
    let syntax = Syntax::of(transfer_syntax.as_str());
    let mut walker = Walker::new(syntax.coding, Limits::passed());
    let mut writer = Writer::new(&mut *output, transfer_syntax.as_str() == GE_SWAPPED);
    writer.implicit = true;
    let (limits, mut inflater) = (Limits::passed(), Inflater::new());
    pieces(input, |piece| {
        if syntax.deflated {
            inflater.feed(piece, &limits, |bytes| walker.feed(bytes, &mut writer))?;
        } else {
            walker.feed(piece, &mut writer)?;
        }
        writer.check()
    })?;
    if syntax.deflated {
        inflater.finish()?;
    }
    walker.finish(&mut writer)?;
    writer.check()
}

/// Writes a deflated data set inflated (PS3.5 Annex A.5): the bytes that positions of its layout count in.
pub fn inflate(input: &mut impl Read, output: &mut impl Write) -> Result<(), TranscodeError> {
    let limits = Limits::passed();
    let mut inflater = Inflater::new();
    let mut failed = None;
    pieces(input, |piece| {
        inflater.feed(piece, &limits, |bytes| {
            if failed.is_none() {
                failed = output.write_all(bytes).err();
            }
            Ok(())
        })?;
        failed.take().map_or(Ok(()), |error| Err(TranscodeError::Write(error)))
    })?;
    inflater.finish()?;
    Ok(())
}

/// Puts the bytes of each number of `width` bytes in opposite order; a rest that is no whole number stays.
pub fn swap_words(bytes: &mut [u8], width: usize) {
    if width > 1 {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
}

fn pieces(
    input: &mut impl Read,
    mut take: impl FnMut(&[u8]) -> Result<(), TranscodeError>,
) -> Result<(), TranscodeError> {
    let mut buffer = vec![0; PIECE];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => take(buffer.get(..len).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(TranscodeError::Read(error)),
        }
    }
}

/// Writes what a walk meets in little endian.
struct Writer<W> {
    output: W,
    failed: Option<io::Error>,
    resolver: Resolver,
    swap_pixels: bool,
    /// Headers without VR.
    implicit: bool,
    /// The element whose value passes; `None` for one that is left out.
    element: Option<Element>,
    /// Bytes per number to be swapped.
    width: usize,
    /// A number cut by the pieces, or the start of a value that others are read by.
    cut: Vec<u8>,
    learnt: Vec<u8>,
    swapped: Vec<u8>,
}

impl<W: Write> Writer<W> {
    fn new(output: W, swap_pixels: bool) -> Self {
        Self {
            output,
            failed: None,
            resolver: Resolver::new(),
            swap_pixels,
            implicit: false,
            element: None,
            width: 1,
            cut: Vec::new(),
            learnt: Vec::new(),
            swapped: Vec::new(),
        }
    }

    fn check(&mut self) -> Result<(), TranscodeError> {
        self.failed.take().map_or(Ok(()), |error| Err(TranscodeError::Write(error)))
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.output.write_all(bytes).err();
        }
    }

    fn tag(&mut self, tag: u32) {
        let [a, b, c, d] = tag.to_be_bytes();
        self.put(&[b, a, d, c]);
    }

    fn header(&mut self, tag: u32, vr: Vr, len: u32) {
        if self.implicit {
            self.tag(tag);
            return self.put(&len.to_le_bytes());
        }
        // What does not fit the 16-bit length of its VR is written as UN (PS3.5 section 6.2.2).
        let vr = if vr.is_long() || u16::try_from(len).is_ok() { vr } else { Vr::UN };
        self.tag(tag);
        self.put(&vr.bytes());
        match u16::try_from(len) {
            Ok(short) if !vr.is_long() => self.put(&short.to_le_bytes()),
            _ => {
                self.put(&[0, 0]);
                self.put(&len.to_le_bytes());
            }
        }
    }

    fn swap(&mut self, bytes: &[u8]) {
        let mut swapped = std::mem::take(&mut self.swapped);
        swapped.clear();
        swapped.append(&mut self.cut);
        swapped.extend_from_slice(bytes);
        let whole = swapped.len() - swapped.len() % self.width;
        self.cut = swapped.split_off(whole);
        swap_words(&mut swapped, self.width);
        self.put(&swapped);
        self.swapped = swapped;
    }
}

impl<W: Write> Sink for Writer<W> {
    fn element(&mut self, element: &Element) {
        self.element = None;
        if element.tag & 0xFFFF == 0 {
            return;
        }
        let mut vr = self.resolver.vr(element);
        if !vr.is_known() {
            vr = Vr::UN;
        }
        let pixels = self.swap_pixels && element.pixel;
        self.width = if element.coding.big_endian || pixels { vr.word() } else { 1 };
        self.learnt.clear();
        self.cut.clear();
        self.element = Some(*element);
        self.header(element.tag, vr, u32::try_from(element.len.unwrap_or(0)).unwrap_or(u32::MAX));
    }

    fn value(&mut self, bytes: &[u8]) {
        let Some(element) = &self.element else { return };
        if Resolver::listens(element.tag) && self.learnt.len() < 2 {
            self.learnt.extend(bytes.iter().take(2));
        }
        if self.width > 1 {
            self.swap(bytes);
        } else {
            self.put(bytes);
        }
    }

    fn element_end(&mut self) {
        if let Some(element) = self.element.take() {
            self.resolver.learn(&element, &self.learnt);
            let rest = std::mem::take(&mut self.cut);
            self.put(&rest);
        }
    }

    fn sequence(&mut self, element: &Element) {
        self.header(element.tag, Vr::SQ, u32::MAX);
    }

    fn item(&mut self) {
        self.resolver.enter();
        self.put(&[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }

    fn item_end(&mut self) {
        self.resolver.leave();
        self.put(&[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]);
    }

    fn sequence_end(&mut self) {
        self.put(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    }

    fn fragments(&mut self, element: &Element) {
        self.header(element.tag, Vr::OB, u32::MAX);
    }

    fn fragment(&mut self, at: u64, len: u64) {
        self.put(&[0xFE, 0xFF, 0x00, 0xE0]);
        self.put(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        let coding = Coding::EXPLICIT;
        self.width = 1;
        self.learnt.clear();
        self.cut.clear();
        let (tag, vr, len) = (0xFFFE_E000, Vr::OB, Some(len));
        self.element = Some(Element { tag, vr, at, value_at: at, len, coding, depth: 0, pixel: false });
    }

    fn fragment_end(&mut self) {
        self.element = None;
    }

    fn fragments_end(&mut self, _value_end: u64, _end: u64) {
        self.put(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    }
}
