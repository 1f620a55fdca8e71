//! JPEG 2000 and HTJ2K frames, both ways.
//!
//! HTJ2K is decoded by OpenJPH; what OpenJPH encodes is verified by OpenJPEG, so that one library's mistake does not
//! vouch for itself.

use crate::cells::{self, Cells, Values};
use crate::error::CodecError;
use crate::ffi::{htj2k, jpeg2000};
use crate::limits::Checked;
use dataset::pixels::{DecodedFrame, Photometric, Words};

/// Widest samples that are encoded.
const BITS_MAX: u8 = 16;
/// The lowest resolution of HTJ2K is at most this many pixels wide and high (PS3.5 section 8.2.14).
const SMALLEST: u32 = 64;

/// Marker of a tile part.
const SOT: u16 = 0xFF90;
/// Marker of the end.
const EOC: [u8; 2] = [0xFF, 0xD9];

/// Decodes a JPEG 2000 frame.
pub(crate) fn decode(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    let (decoder, header) = jpeg2000::Decoder::open(bytes).map_err(CodecError::Corrupt)?;
    cells::agree(checked.format, header.rows, header.columns, header.components)?;
    cells::fits(checked.format, header.precision)?;
    let mut values = decoder.decode().map_err(CodecError::Corrupt)?;
    hold(&mut values, header.precision, header.signed);
    let cells = Cells { values: Values::Signed(values), precision: header.precision, signed: header.signed };
    cells::frame(checked, cells, meaning(checked.format.photometric))
}

/// Decodes an HTJ2K frame.
pub(crate) fn decode_high_throughput(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    let bytes = codestream(bytes);
    // OpenJPH fills up what is missing without a word.
    if !is_whole(bytes) {
        return Err(CodecError::corrupt("the codestream ends early"));
    }
    let header = htj2k::header(bytes).map_err(CodecError::Corrupt)?;
    cells::agree(checked.format, header.rows, header.columns, header.components)?;
    cells::fits(checked.format, header.precision)?;
    let mut values = htj2k::decode(bytes, &header).map_err(CodecError::Corrupt)?;
    hold(&mut values, header.precision, header.signed != 0);
    let cells = Cells { values: Values::Signed(values), precision: header.precision, signed: header.signed != 0 };
    cells::frame(checked, cells, meaning(checked.format.photometric))
}

/// Holds values inside of their precision: a lossy one overshoots at edges, and would turn from white to black.
pub(crate) fn hold(values: &mut [i32], precision: u32, signed: bool) {
    if !(1..=30).contains(&precision) {
        return;
    }
    let (low, high) =
        if signed { (-(1i32 << (precision - 1)), (1i32 << (precision - 1)) - 1) } else { (0, (1i32 << precision) - 1) };
    values.iter_mut().for_each(|value| *value = (*value).clamp(low, high));
}

/// The codestream of a JPH file, or the bytes themselves: OpenJPH reads bare codestreams only.
fn codestream(bytes: &[u8]) -> &[u8] {
    if bytes.get(4..8) != Some(b"jP  ") {
        return bytes;
    }
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, kind @ ..] = *head;
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(0);
        if kind == *b"jp2c" {
            return after;
        }
        match rest.get(len..) {
            Some(next) if len >= 8 => rest = next,
            _ => break,
        }
    }
    bytes
}

/// Whether every tile part that begins is there to its end (ISO 15444-1 A.4).
fn is_whole(bytes: &[u8]) -> bool {
    let number = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| usize::try_from(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?)).ok();
    let walk = || {
        // The main header: markers with their lengths, behind the one that starts the codestream.
        let mut at = 2;
        while number(at)? != SOT {
            at += 2 + usize::from(number(at + 2)?.max(2));
        }
        while number(at) == Some(SOT) {
            let len = long(at + 6)?;
            if len == 0 {
                // To the end, which has its own marker, and perhaps a byte of padding.
                let rest = bytes.strip_suffix(&[0]).unwrap_or(bytes);
                return Some(bytes.ends_with(&EOC) || rest.ends_with(&EOC));
            }
            at = at.checked_add(len.max(12)).filter(|end| *end <= bytes.len())?;
        }
        Some(true)
    };
    walk().unwrap_or(false)
}

/// Decoders undo the colour transformation of the codestream.
fn meaning(photometric: Photometric) -> Photometric {
    match photometric {
        Photometric::YbrRct | Photometric::YbrIct => Photometric::Rgb,
        Photometric::YbrFull422 => Photometric::YbrFull,
        other => other,
    }
}

/// Stored values with their signs.
fn signed_values(frame: &DecodedFrame) -> Result<Vec<i32>, CodecError> {
    if frame.stored > BITS_MAX {
        return Err(CodecError::unsupported(format!("JPEG 2000 of {} bits", frame.stored)));
    }
    let sign = if frame.signed { 1i32 << (u32::from(frame.stored.max(1)) - 1) } else { 0 };
    let value = |word: i32| if word & sign != 0 { word - 2 * sign } else { word };
    Ok(match &frame.words {
        Words::Eight(words) => words.iter().map(|word| value(i32::from(*word))).collect(),
        Words::Sixteen(words) => words.iter().map(|word| value(i32::from(*word))).collect(),
        Words::ThirtyTwo(_) => return Err(CodecError::unsupported("JPEG 2000 of more than 16 bits")),
    })
}

/// Whether red, green and blue are decorrelated by the reversible transformation.
fn transforms(frame: &DecodedFrame) -> bool {
    frame.photometric == Photometric::Rgb && frame.samples == 3
}

/// Encodes, and says what the photometric interpretation becomes. Losslessly without `decibels`, else irreversibly, so
/// that the noise is that far below the range of the frame's own values; 0 leaves nothing out that was coded.
pub(crate) fn encode(frame: &DecodedFrame, decibels: Option<u16>) -> Result<(Vec<u8>, Photometric), CodecError> {
    let values = signed_values(frame)?;
    let header = jpeg2000::Header {
        rows: frame.rows,
        columns: frame.columns,
        components: u32::from(frame.samples),
        precision: u32::from(frame.stored),
        signed: frame.signed,
    };
    let transform = transforms(frame);
    let below = decibels.map(|decibels| match decibels {
        0 => 0,
        decibels => decibels.saturating_add(unused(&values, frame.stored)),
    });
    let bytes = jpeg2000::encode(&values, &header, transform, below).map_err(CodecError::Unsupported)?;
    let transformed = if decibels.is_some() { Photometric::YbrIct } else { Photometric::YbrRct };
    Ok((bytes, if transform { transformed } else { frame.photometric }))
}

/// How far the range of values is below that of their bits at most, in decibels: 6 for every bit.
fn unused(values: &[i32], stored: u8) -> u16 {
    let (low, high) = values.iter().fold((i32::MAX, i32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let range = high.saturating_sub(low).max(1).unsigned_abs();
    u16::try_from(u32::from(stored).saturating_sub(range.ilog2()).saturating_mul(6)).unwrap_or(u16::MAX)
}

/// Encodes losslessly by HTJ2K, by resolution.
pub(crate) fn encode_high_throughput(frame: &DecodedFrame) -> Result<(Vec<u8>, Photometric), CodecError> {
    let values = signed_values(frame)?;
    let transform = transforms(frame);
    let header = htj2k::Header {
        rows: frame.rows,
        columns: frame.columns,
        components: u32::from(frame.samples),
        precision: u32::from(frame.stored),
        signed: u32::from(frame.signed),
        reversible: 1,
        colour_transform: u32::from(transform),
    };
    let longest = frame.rows.max(frame.columns);
    // Without any halving OpenJPH leaves no bit for the lowest value, which then reads as the middle: seen, verified.
    let halvings = (1..32).find(|n| longest.div_ceil(1 << n) <= SMALLEST).unwrap_or(32);
    let bytes = htj2k::encode(&values, &header, halvings).map_err(CodecError::Unsupported)?;
    Ok((bytes, if transform { Photometric::YbrRct } else { frame.photometric }))
}
