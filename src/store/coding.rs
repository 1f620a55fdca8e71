//! The coding of stored bytes: a reversible filter for native pixel data, then zstd.
//!
//! Whatever the bytes are and whatever is claimed of them, decoding gives them back bit for bit; a claim that is
//! wrong costs size and nothing else.
//! It deliberately knows nothing of packs, files or DICOM: it takes bytes, perhaps with a [`PixelLayout`], and gives
//! fewer bytes or says that there is nothing to gain.
//!
//! ```text
//! offset size  coded bytes
//!      0    1  form: 1 zstd of the raw bytes; 2 zstd of the filtered bytes; 3 a codestream ([`codestream`])
//!              form 1: the zstd frame (RFC 8878) follows
//!      1    1  bytes of a sample: 1, 2 or 4; + 16 when samples are stored highest byte first
//!      2    1  predictor: 0 nothing, 1 left, 2 above, 3 average, 4 plane, 5 median;
//!              + 16 when the second channel was taken from the first and the third
//!      3    1  channels: samples of a pixel that lie side by side, 1 to 4
//!      4    4  columns: pixels of a row, little endian
//!      8       the zstd frame
//! ```
//!
//! The length of the raw bytes is kept by whoever keeps the coded ones. Coded bytes are always fewer than the raw
//! ones: bytes kept raw need no mark of their own.

mod choose;
mod codestream;
mod decoders;
mod filter;
mod pour;
mod predict;
mod sample;
#[cfg(test)]
mod tests;

pub use codestream::{Cells, Codestreams, Undecoded, install};
pub(crate) use decoders::decode;
use filter::{Filter, Shape};
pub(crate) use pour::pour;
use predict::Predictor;
use sample::Rooms;
use std::io::Cursor;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{CParameter, ParamSwitch};

/// Form of bytes without filter.
const PLAIN: u8 = 1;
/// Form of filtered bytes.
const FILTERED: u8 = 2;
/// In the byte of the sample's width: highest byte first.
const BIG_ENDIAN: u8 = 16;
/// In the byte of the predictor: differences to the second channel.
const DIFFERENCES: u8 = 16;
/// Most channels that are told apart.
const CHANNELS_MAX: u8 = 4;
/// zstd level of pixels: higher ones gain little on distances and cost the most time.
const PIXEL_LEVEL: i32 = 1;
/// Bytes from one place where zstd looks for a repetition to the next, about.
const PIXEL_STEP: u32 = 6;
/// Places that zstd remembers while it looks, as a power of two: so few stay in the nearest cache.
const PIXEL_PLACES: u32 = 12;
/// zstd level of everything else.
const OTHER_LEVEL: i32 = 3;

/// What is known of native pixel data, as the attributes say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelLayout {
    /// Bits Allocated (0028,0100): 8, 16 and 32 are filtered.
    pub bits_allocated: u16,
    /// Samples per Pixel (0028,0002). Whether they lie side by side or by plane is found out.
    pub samples: u16,
    /// Columns (0028,0011).
    pub columns: u32,
    /// Whether samples are stored highest byte first: 16 and 32 bits in Explicit VR Big Endian.
    pub big_endian: bool,
}

impl PixelLayout {
    /// Bytes of a row of pixels whose samples lie side by side, `None` when there are none or they are no whole bytes.
    pub(crate) fn row_len(&self) -> Option<u64> {
        let bits = u64::from(self.columns) * u64::from(self.samples.max(1)) * u64::from(self.bits_allocated);
        (bits > 0 && bits % 8 == 0).then_some(bits / 8)
    }
}

/// Bytes that are not what a [`Coder`] made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// A form this program does not know: it was written by a newer one.
    #[error("unknown form {0} of coded bytes")]
    Unknown(u8),
    /// Header and contents do not fit together.
    #[error("coded bytes are damaged: {0}")]
    Damaged(&'static str),
    /// What decodes them cannot do it now.
    #[error("the decoder of codestreams is busy or has died")]
    Unavailable,
}

/// Codes bytes; keeps its working memory from one call to the next.
pub struct Coder {
    pixels: Compressor<'static>,
    others: Compressor<'static>,
    filtered: Vec<u8>,
    coded: Vec<u8>,
    trial: Vec<u8>,
    rooms: Rooms,
    chosen: Option<Chosen>,
    codestreams: bool,
}

/// A filter that was found best, and for what.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    layout: PixelLayout,
    filter: Option<(Shape, Filter)>,
    /// Bytes that were filtered with it so far.
    bytes: usize,
    /// The fewest coded bytes of 1,024 that came of a frame so far.
    best: Option<usize>,
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coder").finish_non_exhaustive()
    }
}

impl Coder {
    /// A coder.
    ///
    /// # Errors
    /// When there is no memory for zstd.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            pixels: pixel_compressor()?,
            others: Compressor::new(OTHER_LEVEL)?,
            filtered: Vec::new(),
            coded: Vec::new(),
            trial: Vec::new(),
            rooms: Rooms::default(),
            chosen: None,
            codestreams: false,
        })
    }

    /// Whether pixels become a codestream where that is shorter, from now on.
    pub fn with_codestreams(&mut self, codestreams: bool) {
        self.codestreams = codestreams;
    }

    /// The coded form, when it is worth having: at least a thirty-second smaller than `raw`.
    pub fn encode(&mut self, raw: &[u8], layout: Option<&PixelLayout>) -> Option<&[u8]> {
        let (header, len) = match layout.and_then(|layout| self.filter_for(raw, layout)) {
            Some((shape, filter)) => {
                filter::apply(raw, &shape, filter, &mut self.rooms, &mut self.filtered)?;
                (header(&shape, filter), 8)
            }
            None => ([PLAIN, 0, 0, 0, 0, 0, 0, 0], 1),
        };
        let input = if len == 1 { raw } else { &self.filtered };
        let compressor = if layout.is_some() { &mut self.pixels } else { &mut self.others };
        let bound = zstd::zstd_safe::compress_bound(input.len());
        // Only ever longer: filling it anew for each frame would cost as much as filtering.
        if self.coded.len() < len + bound {
            self.coded.resize(len + bound, 0);
        }
        let (head, body) = self.coded.split_at_mut_checked(len)?;
        head.copy_from_slice(header.get(..len)?);
        let written = compressor.compress_to_buffer(input, body).ok()?;
        if layout.is_some() {
            choose::judge(&mut self.chosen, raw.len(), len + written);
        }
        let wanted = layout.filter(|_| self.codestreams);
        let codestream = wanted.and_then(|layout| codestream::encode(raw, layout));
        if let Some(shorter) = codestream.filter(|codestream| codestream.len() < len + written) {
            self.trial = shorter;
            return (self.trial.len() + raw.len() / 32 < raw.len()).then_some(&self.trial);
        }
        let coded = self.coded.get(..len + written)?;
        (coded.len() + raw.len() / 32 < raw.len()).then_some(coded)
    }
}

/// zstd for distances: they repeat seldom and never for short, so only long repetitions are worth looking for, and not
/// at every byte. What zstd would do without being told, leave out the coding of single bytes when it looks so seldom,
/// is the opposite of what distances need.
fn pixel_compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(PIXEL_LEVEL)?;
    compressor.set_parameter(CParameter::MinMatch(7))?;
    compressor.set_parameter(CParameter::TargetLength(PIXEL_STEP))?;
    compressor.set_parameter(CParameter::HashLog(PIXEL_PLACES))?;
    compressor.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable))?;
    Ok(compressor)
}

fn header(shape: &Shape, filter: Filter) -> [u8; 8] {
    let [a, b, c, d] = shape.columns.to_le_bytes();
    let sample = shape.bytes + if shape.big_endian { BIG_ENDIAN } else { 0 };
    let predictor = filter.predictor.code() + if filter.differences { DIFFERENCES } else { 0 };
    [FILTERED, sample, predictor, shape.channels, a, b, c, d]
}

fn parse(header: [u8; 7]) -> Option<(Shape, Filter)> {
    let [sample, predictor, channels, columns @ ..] = header;
    let shape = Shape {
        bytes: sample & !BIG_ENDIAN,
        big_endian: sample & BIG_ENDIAN != 0,
        channels,
        columns: u32::from_le_bytes(columns),
    };
    let filter =
        Filter { predictor: Predictor::of(predictor & !DIFFERENCES)?, differences: predictor & DIFFERENCES != 0 };
    let known = matches!(shape.bytes, 1 | 2 | 4) && (1..=CHANNELS_MAX).contains(&channels);
    (known && (!filter.differences || channels == 3)).then_some((shape, filter))
}

/// Decodes bytes; keeps its working memory from one call to the next.
pub struct Decoder {
    zstd: Decompressor<'static>,
    filtered: Vec<u8>,
    rooms: Rooms,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder.
    ///
    /// # Errors
    /// When there is no memory for zstd.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { zstd: Decompressor::new()?, filtered: Vec::new(), rooms: Rooms::default() })
    }

    /// Appends the `raw_len` bytes that `coded` stands for to `out`.
    ///
    /// Memory is bounded by a few times `raw_len`, whatever `coded` says.
    ///
    /// # Errors
    /// [`CodingError`]; `out` is then as before.
    pub fn decode(&mut self, coded: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<(), CodingError> {
        let (form, rest) = coded.split_first().ok_or(CodingError::Damaged("no bytes"))?;
        let before = out.len();
        let decoded = match *form {
            PLAIN => inflate(&mut self.zstd, rest, raw_len, out),
            FILTERED => self.filtered(rest, raw_len, out),
            codestream::FORM => codestream::decode(rest, raw_len, out),
            form => Err(CodingError::Unknown(form)),
        };
        if decoded.is_err() {
            out.truncate(before);
        }
        decoded
    }

    fn filtered(&mut self, rest: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<(), CodingError> {
        let (header, body) = rest.split_first_chunk::<7>().ok_or(CodingError::Damaged("no header"))?;
        let (shape, filter) = parse(*header).ok_or(CodingError::Damaged("the header is no layout"))?;
        shape.extent(raw_len).ok_or(CodingError::Damaged("the layout is larger than the bytes"))?;
        self.filtered.clear();
        inflate(&mut self.zstd, body, raw_len, &mut self.filtered)?;
        let undone = filter::undo(&self.filtered, &shape, filter, &mut self.rooms, out);
        undone.ok_or(CodingError::Damaged("the layout does not fit the bytes"))
    }
}

/// Appends the `len` bytes that the zstd frame holds to `out`.
fn inflate(zstd: &mut Decompressor<'_>, frame: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), CodingError> {
    let before = out.len();
    out.reserve(len);
    let mut target = Cursor::new(out);
    target.set_position(before as u64);
    let written =
        zstd.decompress_to_buffer(frame, &mut target).map_err(|_| CodingError::Damaged("zstd refuses them"))?;
    if written == len { Ok(()) } else { Err(CodingError::Damaged("another number of bytes than were coded")) }
}
