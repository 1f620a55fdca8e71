//! A data set whose pixels are decoded, and encoded where that is asked, frame by frame as it is read.

use super::{Form, NATIVE_MAX, lossy};
use crate::decode::Image;
use crate::error::{DecodeError, RetrieveError};
use crate::open::Archive;
use codec::{CodecError, Target, native_bytes};
use dataset::Vr;
use dataset::pixels::{DecodedFrame, Photometric, PixelFormat, Words};
use dataset::syntax::Syntax;
use dataset::transcode::splice::{self, Change, Changes, SpliceError};
use index::InstanceRow;
use std::io::{self, Read};
use std::sync::Arc;

/// Bytes before a compressed frame.
const FRAGMENT_HEADER: usize = 8;

/// The data set as it is read.
pub(super) struct Remade {
    archive: Arc<Archive>,
    image: Arc<Image>,
    form: Form,
    /// The data set inflated, where it is stored deflated.
    held: Option<Vec<u8>>,
    /// Bits of a sample in uncompressed data.
    cell: u8,
    frames: u32,
    /// The frame that comes next, from 0.
    next: u32,
    /// What the first frame was, and all others must be.
    first: Meaning,
    /// Bits of frames that did not fill a byte, with their number.
    rest: (u8, u32),
    ready: Vec<u8>,
    taken: usize,
    /// What follows the last frame; taken when it is read.
    tail: Option<Vec<u8>>,
}

/// What the samples of a frame mean, decoded and as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    decoded: Photometric,
    written: Photometric,
}

/// Bits of a cell that holds samples of `allocated` bits: native data has no others that are read everywhere.
pub(super) fn cell(allocated: u8) -> u8 {
    match allocated {
        0 | 1 => 1,
        2..=8 => 8,
        9..=16 => 16,
        _ => 32,
    }
}

/// Whether nothing but samples lies in the pixels: encoders keep samples alone, and a frame by itself has no other
/// place for an overlay.
pub(super) fn encodable(image: &Image) -> Result<(), DecodeError> {
    if !image.description.embedded().is_empty() {
        return Err(CodecError::Unsupported("an overlay in unused bits of the pixels".into()).into());
    }
    Ok(())
}

impl Remade {
    /// Reads the attributes and makes the first frame, so that what cannot be done is known before anything leaves.
    pub(super) fn open(archive: &Arc<Archive>, row: &InstanceRow, form: Form) -> Result<Self, DecodeError> {
        let image = archive.image(row)?;
        let frames = image.frames();
        if frames == 0 || image.description.frames_declared() != Some(frames) {
            return Err(CodecError::Disagrees("the number of frames and the pixel data".into()).into());
        }
        let held = match Syntax::of(row.transfer_syntax.as_str()).deflated {
            true => Some(archive.inflated(row)?),
            false => None,
        };
        let nothing = Photometric::Monochrome2;
        let mut this = Self {
            archive: Arc::clone(archive),
            cell: cell(image.format.allocated),
            form,
            held,
            frames,
            next: 0,
            first: Meaning { decoded: nothing, written: nothing },
            rest: (0, 0),
            ready: Vec::new(),
            taken: 0,
            tail: None,
            image,
        };
        let (first, meaning) = this.frame()?;
        this.first = meaning;
        this.begin(row, first.len().saturating_sub(FRAGMENT_HEADER))?;
        this.ready.extend_from_slice(&first);
        Ok(this)
    }

    /// Puts what stands before the first frame, which has `len` bytes, and keeps what follows the last.
    fn begin(&mut self, row: &InstanceRow, len: usize) -> Result<(), DecodeError> {
        let (before, after) = self.archive.around_pixels(row, &self.image.layout)?;
        let head = usize::try_from(self.image.pixel.header).unwrap_or(usize::MAX);
        let before = before.get(..head).ok_or_else(|| damaged("the head is shorter than noted"))?.to_vec();
        let before = self.archive.given_head(row, before)?;
        let (syntax, implicit) = (&row.transfer_syntax, self.form == Form::Implicit);
        let mut changes = changes(&self.image.format, self.cell, self.first, row.transfer_syntax.as_str());
        let held = self.held.as_deref();
        changes.extend(super::overlays::moved(&self.archive, &self.image, held)?);
        if let Form::Encoded(target) = self.form
            && target.loses()
        {
            let ratio = lossy::ratio(&self.image.format, self.cell, len);
            changes.extend(lossy::labels(&self.image, target, &ratio));
        }
        self.ready = splice::head(&before, syntax, &changes, implicit).map_err(failed)?;
        let mut tail = Vec::new();
        if let Form::Encoded(_) = self.form {
            self.ready.extend(splice::encapsulated_pixels());
            tail.extend(splice::ENCAPSULATED_END);
        } else {
            let len = self.native_len()?;
            self.ready.extend(splice::native_pixels(self.cell, len.next_multiple_of(2), implicit));
            tail.resize(usize::try_from(len % 2).unwrap_or(0), 0);
        }
        tail.extend(splice::tail(&after, syntax, self.image.pixel.end, implicit).map_err(failed)?);
        self.tail = Some(tail);
        Ok(())
    }

    /// Bytes of all frames uncompressed.
    fn native_len(&self) -> Result<u32, DecodeError> {
        let PixelFormat { rows, columns, samples, .. } = self.image.format;
        let bits = [u64::from(rows), u64::from(columns), u64::from(samples), u64::from(self.cell), self.frames.into()];
        let bytes = bits.into_iter().fold(1u64, u64::saturating_mul).div_ceil(8);
        let fits = u32::try_from(bytes).ok().filter(|_| bytes < NATIVE_MAX);
        fits.ok_or_else(|| CodecError::Limit(format!("{bytes} bytes of uncompressed pixel data")).into())
    }

    /// Makes the next frame as it stands in the data set.
    fn frame(&mut self) -> Result<(Vec<u8>, Meaning), DecodeError> {
        let archive = Arc::clone(&self.archive);
        archive.pixels.made.in_turn(|| self.made())
    }

    fn made(&mut self) -> Result<(Vec<u8>, Meaning), DecodeError> {
        let frame = self.archive.decode_of(&self.image, self.next, self.held.as_deref())?;
        self.next += 1;
        let decoded = frame.photometric;
        match self.form {
            Form::Encoded(target) => self.encoded(target, frame),
            _ => Ok((self.native(&frame)?, Meaning { decoded, written: decoded })),
        }
    }

    fn encoded(&self, target: Target, frame: DecodedFrame) -> Result<(Vec<u8>, Meaning), DecodeError> {
        let decoded = frame.photometric;
        let made = self.archive.encode(target, frame, self.cell)?;
        let padded = made.bytes.len().next_multiple_of(2);
        let len = u32::try_from(padded).map_err(|_| CodecError::Limit("a compressed frame of 4 GiB".into()))?;
        let mut bytes = Vec::with_capacity(padded + FRAGMENT_HEADER);
        bytes.extend(splice::fragment(len));
        bytes.extend(made.bytes);
        bytes.resize(padded + FRAGMENT_HEADER, 0);
        Ok((bytes, Meaning { decoded, written: made.photometric }))
    }

    /// Cells of a frame; single bits follow those of the frame before without a gap (PS3.5 section 8.1.1).
    fn native(&mut self, frame: &DecodedFrame) -> Result<Vec<u8>, DecodeError> {
        let limits = self.archive.frame_limits();
        let (mut byte, mut have) = self.rest;
        let Words::Eight(values) = &frame.words else { return Ok(native_bytes(frame, self.cell, limits)?) };
        if self.cell != 1 || (have == 0 && values.len().is_multiple_of(8)) {
            return Ok(native_bytes(frame, self.cell, limits)?);
        }
        let mut out = Vec::with_capacity(values.len() / 8 + 1);
        for value in values {
            byte |= (value & 1) << have;
            have += 1;
            if have == 8 {
                out.push(byte);
                (byte, have) = (0, 0);
            }
        }
        self.rest = (byte, have);
        if self.next >= self.frames && have > 0 {
            out.push(byte);
        }
        Ok(out)
    }

    /// Makes what comes next; false at the end.
    fn step(&mut self) -> Result<bool, DecodeError> {
        self.taken = 0;
        if self.next < self.frames {
            let (bytes, meaning) = self.frame()?;
            if meaning != self.first {
                return Err(CodecError::Unsupported("frames of different colour spaces".into()).into());
            }
            self.ready = bytes;
            return Ok(true);
        }
        let tail = self.tail.take();
        let more = tail.is_some();
        self.ready = tail.unwrap_or_default();
        Ok(more)
    }
}

impl Read for Remade {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while self.taken >= self.ready.len() {
            if !self.step().map_err(io::Error::other)? {
                return Ok(0);
            }
        }
        let mut rest = self.ready.get(self.taken..).unwrap_or_default();
        let read = rest.read(out)?;
        self.taken += read;
        Ok(read)
    }
}

/// What of the attributes changes with the form of the pixels (PS3.5 section 8.2, PS3.3 C.7.6.3).
fn changes(format: &PixelFormat, cell: u8, meaning: Meaning, stored: &str) -> Changes {
    let mut changes = Changes::new();
    let mut number = |tag: u32, value: u8| changes.insert(tag, Change::Set(Vr::US, vec![value, 0]));
    if format.samples > 1 {
        number(0x0028_0006, 0);
    }
    if format.allocated != cell {
        number(0x0028_0100, cell);
    }
    if format.high != format.stored.saturating_sub(1) {
        number(0x0028_0102, format.stored.saturating_sub(1));
    }
    if format.photometric != meaning.written {
        changes.insert(0x0028_0004, Change::Set(Vr::CS, text(meaning.written.term())));
    }
    if super::loses(stored) {
        changes.insert(0x0028_2110, Change::Fill(Vr::CS, text("01")));
        changes.insert(0x0028_2114, Change::Fill(Vr::CS, text("ISO_10918_1")));
    }
    // The places and the length of fragments that are no more.
    for tag in [0x7FE0_0001, 0x7FE0_0002, 0x7FE0_0003] {
        changes.insert(tag, Change::Remove);
    }
    changes
}

fn text(term: &str) -> Vec<u8> {
    let mut bytes = term.as_bytes().to_vec();
    if bytes.len() % 2 == 1 {
        bytes.push(b' ');
    }
    bytes
}

fn damaged(what: &str) -> DecodeError {
    RetrieveError::Damaged { what: what.to_owned() }.into()
}

fn failed(error: SpliceError) -> DecodeError {
    match error {
        SpliceError::Data(error) => damaged(&error.to_string()),
        SpliceError::Nested => CodecError::Unsupported(error.to_string()).into(),
    }
}
