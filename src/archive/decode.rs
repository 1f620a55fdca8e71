//! Decoded frames: one frame's bytes from where they lie, through a decoder that can die without the server.
//!
//! What an image's attributes say is read once and kept while memory allows; nothing of the frame itself is kept.

use crate::error::{DecodeError, RetrieveError};
use crate::memory::{Forget, Memory};
use crate::open::Archive;
use crate::options::Options;
use crate::transcode::Kept;
use codec::pool::Pool;
use codec::{CodecError, Encoded, Target};
use dataset::frames::{FramePlace, align, count, place};
use dataset::json::Parts;
use dataset::pixels::{DecodedFrame, PixelFormat};
use dataset::render::{Description, Embedded, Reals};
use dataset::syntax::Syntax;
use index::InstanceRow;
use model::{Layout, PixelSpan, Span};
use std::sync::Arc;
use std::time::Instant;

/// Pixel Data.
const PIXEL_DATA: u32 = 0x7FE0_0010;
/// Float and Double Float Pixel Data.
const REALS: [u32; 2] = [0x7FE0_0008, 0x7FE0_0009];
/// Big endian pixels in an implicit little endian data set.
const GE_SWAPPED: &str = "1.2.840.113619.5.2";

/// An image's attributes and where its frames lie.
#[derive(Debug)]
pub struct Image {
    /// The instance.
    pub row: InstanceRow,
    /// Where pixel data and frames lie.
    pub layout: Layout,
    /// The pixel data element.
    pub pixel: PixelSpan,
    /// What the attributes say of its display.
    pub description: Description,
    /// The Image Pixel module.
    pub format: PixelFormat,
    /// Bytes of a word of big endian pixels; 1 where nothing is swapped.
    swap: usize,
}

impl Image {
    /// Whether frames lie uncompressed and in little endian order in the stored file itself.
    pub(crate) fn is_plain(&self) -> bool {
        let syntax = self.row.transfer_syntax.as_str();
        let native = codec::coder(syntax) == Some(codec::Coder::Native);
        native
            && !self.is_real()
            && self.swap == 1
            && !Syntax::of(syntax).deflated
            && !Syntax::of(syntax).coding.big_endian
    }

    /// Whether the pixels are real numbers, which have no stored bits.
    pub(crate) fn is_real(&self) -> bool {
        REALS.contains(&self.pixel.tag)
    }

    /// How many frames there are.
    #[must_use]
    pub fn frames(&self) -> u32 {
        count(&self.layout.frames)
    }
}

/// Decoders and what they need of images.
pub(crate) struct Pixels {
    pool: Pool,
    images: Memory<u64, Arc<Image>>,
    /// Frames made for answers.
    pub(crate) made: Kept,
}

impl Pixels {
    pub(crate) fn new(options: &Options) -> Self {
        let weigh = |_: &u64, image: &Arc<Image>| {
            // The values, and the tree that holds them.
            u32::try_from(image.description.size().saturating_mul(4)).unwrap_or(u32::MAX).max(4096)
        };
        let images = Memory::new(options.image_cache, weigh);
        let made = Kept::new(options.frame_cache, &options.decode);
        Self { pool: Pool::new(options.decode.clone()), images, made }
    }

    /// Forgets every image and frame: a study was destroyed.
    pub(crate) fn forget(&self) {
        self.images.forget();
        self.made.forget();
    }

    /// How many images are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> u64 {
        self.images.held().0
    }
}

impl Archive {
    /// What the attributes of an image say, and where its frames lie.
    ///
    /// # Errors
    /// [`DecodeError::NoPixels`] for instances without Pixel Data or without an Image Pixel module that holds together.
    pub fn image(self: &Arc<Self>, row: &InstanceRow) -> Result<Arc<Image>, DecodeError> {
        let begun = self.pixels.images.begin();
        if let Some(known) = self.pixels.images.get(&row.seq) {
            return Ok(known);
        }
        let layout = self.layout(row)?;
        let pixel = layout.pixel.ok_or(DecodeError::NoPixels { what: "the instance has no pixel data" })?;
        if pixel.tag != PIXEL_DATA && !REALS.contains(&pixel.tag) {
            return Err(CodecError::Unsupported("pixel data of this kind".into()).into());
        }
        let (before, after) = self.around_pixels(row, &layout)?;
        let damaged = |error: dataset::ScanError| RetrieveError::Damaged { what: error.to_string() };
        let parts = Parts { before: &before, pixel: Some(pixel), after: &after };
        let description = Description::read(&parts, &row.transfer_syntax).map_err(damaged)?;
        let format = description.format();
        let format = format.ok_or(DecodeError::NoPixels { what: "the attributes do not describe the pixels" })?;
        let swap = word(&before, &pixel, row.transfer_syntax.as_str(), format.allocated);
        let image = Arc::new(Image { row: row.clone(), layout, pixel, description, format, swap });
        self.pixels.images.keep(begun, row.seq, Arc::clone(&image));
        Ok(image)
    }

    /// The bytes of a frame (from 0) as a decoder takes them: fragments put together, native ones shifted to a byte
    /// and in little endian order.
    ///
    /// # Errors
    /// [`DecodeError::NoFrame`]; what reading comes to.
    pub fn frame_bytes(self: &Arc<Self>, image: &Image, number: u32) -> Result<Vec<u8>, DecodeError> {
        self.frame_bytes_of(image, number, None)
    }

    /// The same, from the inflated data set where the asker holds it.
    fn frame_bytes_of(
        self: &Arc<Self>,
        image: &Image,
        number: u32,
        held: Option<&[u8]>,
    ) -> Result<Vec<u8>, DecodeError> {
        let place = place(&image.pixel, &image.layout.frames, number);
        let place = place.ok_or(DecodeError::NoFrame { number, frames: image.frames() })?;
        let limits = self.pixels.pool.limits();
        let len = place.spans.iter().map(|span| span.len).fold(0u64, u64::saturating_add);
        if len > limits.compressed_bytes.max(limits.frame_bytes) {
            return Err(CodecError::Limit(format!("a stored frame of {len} bytes")).into());
        }
        if image.swap > 1 && place.bits > 0 {
            return Ok(self.swapped(image, &place)?);
        }
        let mut bytes = self.spans(&image.row, &place, held)?;
        if place.skip_bits > 0 || !place.bits.is_multiple_of(8) {
            bytes = align(&bytes, place.skip_bits, place.bits);
        }
        Ok(bytes)
    }

    /// The bytes of a frame of big endian words, which may begin and end inside a word.
    fn swapped(self: &Arc<Self>, image: &Image, place: &FramePlace) -> Result<Vec<u8>, RetrieveError> {
        let (value, word) = (image.pixel.value, u64::try_from(image.swap).unwrap_or(1));
        let Some(frame) = place.spans.first() else { return Ok(Vec::new()) };
        let (from, to) = (frame.at - value.at, frame.at - value.at + frame.len);
        let (first, end) = (from / word * word, to.next_multiple_of(word).min(value.len));
        let whole = Span { at: value.at + first, len: end - first };
        let mut bytes = self.spans(&image.row, &FramePlace { spans: vec![whole], ..*place }, None)?;
        dataset::transcode::swap_words(&mut bytes, image.swap);
        if place.skip_bits > 0 || !place.bits.is_multiple_of(8) {
            return Ok(align(&bytes, place.skip_bits, place.bits));
        }
        let cut = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        bytes.truncate(cut(to - first));
        Ok(bytes.split_off(cut(from - first).min(bytes.len())))
    }

    fn spans(
        self: &Arc<Self>,
        row: &InstanceRow,
        place: &FramePlace,
        held: Option<&[u8]>,
    ) -> Result<Vec<u8>, RetrieveError> {
        let short = || RetrieveError::Damaged { what: "a frame is shorter than noted".into() };
        let own;
        let inflated = match Syntax::of(row.transfer_syntax.as_str()).deflated {
            true if held.is_none() => {
                own = self.inflated(row)?;
                Some(own.as_slice())
            }
            true => held,
            false => None,
        };
        let mut bytes = Vec::new();
        for span in &place.spans {
            let end = span.at.saturating_add(span.len);
            if let Some(inflated) = &inflated {
                let range = usize::try_from(span.at).ok().zip(usize::try_from(end).ok());
                bytes.extend_from_slice(range.and_then(|(at, end)| inflated.get(at..end)).ok_or_else(short)?);
                continue;
            }
            // A frame is one read, however large: coded ones are restored as a whole.
            let base = u64::from(row.meta_len);
            let read = self.read(row, base.saturating_add(span.at)..base.saturating_add(end))?;
            if u64::try_from(read.len()) != Ok(span.len) {
                return Err(short());
            }
            if bytes.is_empty() {
                bytes = read;
            } else {
                bytes.extend_from_slice(&read);
            }
        }
        Ok(bytes)
    }

    /// Decodes a frame (from 0) of an image.
    ///
    /// # Errors
    /// No such frame, bytes that cannot be read, and what [`codec::decode`] refuses.
    pub fn decode(self: &Arc<Self>, image: &Image, number: u32) -> Result<DecodedFrame, DecodeError> {
        self.decode_of(image, number, None)
    }

    /// The same, from the inflated data set where the asker holds it.
    pub(crate) fn decode_of(
        self: &Arc<Self>,
        image: &Image,
        number: u32,
        held: Option<&[u8]>,
    ) -> Result<DecodedFrame, DecodeError> {
        let bytes = self.frame_bytes_of(image, number, held)?;
        self.decode_bytes(image, &image.format, bytes)
    }

    fn decode_bytes(&self, image: &Image, format: &PixelFormat, bytes: Vec<u8>) -> Result<DecodedFrame, DecodeError> {
        if image.is_real() {
            return Err(CodecError::Unsupported("pixel data of floating point".into()).into());
        }
        let start = Instant::now();
        let done = self.pixels.pool.decode(image.row.transfer_syntax.as_str(), format, bytes);
        metrics::histogram!("khoanh_decode_seconds").record(start.elapsed().as_secs_f64());
        if let Err(error) = &done {
            metrics::counter!("khoanh_decode_failed_total", "kind" => kind(error)).increment(1);
        }
        Ok(done?)
    }

    /// The overlay in an unused bit of a frame (from 0), one bit a sample. Only cells that are kept whole have such
    /// bits: uncompressed, RLE and deflated ones.
    ///
    /// # Errors
    /// As [`Archive::decode`].
    pub(crate) fn embedded(
        self: &Arc<Self>,
        image: &Image,
        number: u32,
        plane: Embedded,
        held: Option<&[u8]>,
    ) -> Result<DecodedFrame, DecodeError> {
        if codec::coder(image.row.transfer_syntax.as_str()).is_none_or(|coder| !coder.is_light()) {
            return Err(CodecError::Unsupported("an overlay in unused bits of compressed pixels".into()).into());
        }
        let bytes = self.frame_bytes_of(image, number, held)?;
        self.decode_bytes(image, &plane.format(&image.format), bytes)
    }

    /// A frame (from 0) of Float or Double Float Pixel Data.
    ///
    /// # Errors
    /// As [`Archive::frame_bytes`]; [`CodecError::Unsupported`] where the attributes describe no such pixels.
    pub(crate) fn reals(self: &Arc<Self>, image: &Image, number: u32) -> Result<Reals, DecodeError> {
        let double = image.pixel.tag == REALS[1];
        let PixelFormat { rows, columns, samples, allocated, .. } = image.format;
        if samples != 1 || allocated != if double { 64 } else { 32 } {
            return Err(CodecError::Disagrees("the attributes and pixel data of floating point".into()).into());
        }
        let read = Reals::read(&self.frame_bytes(image, number)?, (rows, columns), double);
        read.ok_or_else(|| CodecError::Corrupt("a frame is shorter than noted".into()).into())
    }

    /// Encodes a frame into cells of `allocated` bits; what comes back was decoded again and compared.
    ///
    /// # Errors
    /// What [`codec::verified`] refuses.
    pub(crate) fn encode(&self, target: Target, frame: DecodedFrame, allocated: u8) -> Result<Encoded, DecodeError> {
        let start = Instant::now();
        let done = self.pixels.pool.encode(target, frame, allocated);
        metrics::histogram!("khoanh_encode_seconds").record(start.elapsed().as_secs_f64());
        if let Err(error) = &done {
            metrics::counter!("khoanh_encode_failed_total", "kind" => kind(error)).increment(1);
        }
        Ok(done?)
    }

    /// Bounds of one frame.
    pub(crate) fn frame_limits(&self) -> &codec::Limits {
        self.pixels.pool.limits()
    }
}

/// Name of a failure for the metrics.
fn kind(error: &CodecError) -> &'static str {
    match error {
        CodecError::Unsupported(_) => "unsupported",
        CodecError::Disagrees(_) => "disagrees",
        CodecError::Corrupt(_) => "corrupt",
        CodecError::Limit(_) => "limit",
        CodecError::NotExact(_) => "not-exact",
        CodecError::Busy(_) => "busy",
        CodecError::Worker(_) => "worker",
    }
}

/// Bytes of a word of the pixels that are in big endian order, by the VR that the data set says; 1 elsewhere.
fn word(head: &[u8], pixel: &PixelSpan, transfer_syntax: &str, allocated: u8) -> usize {
    let cell = usize::from(allocated.div_ceil(8));
    if transfer_syntax == GE_SWAPPED {
        return cell;
    }
    if !Syntax::of(transfer_syntax).coding.big_endian {
        return 1;
    }
    let header = usize::try_from(pixel.header).ok().and_then(|at| head.get(at..));
    match header {
        Some([_, _, _, _, b'O', b'W' | b'F' | b'D', ..]) => cell.max(2),
        _ => 1,
    }
}
