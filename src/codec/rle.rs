//! RLE Lossless (PS3.5 Annex G), both ways, cells of 8, 16 and 32 bits.
//!
//! Output is bounded by the cells that the attributes say; a segment that ends early is an error, what follows its
//! last sample is ignored as padding.

use crate::error::CodecError;
use crate::limits::Checked;
use crate::native;
use dataset::pixels::DecodedFrame;

/// Bytes of the header.
const HEADER: usize = 64;
/// Most segments (G.5).
const SEGMENTS_MAX: usize = 15;

/// Decodes a frame.
pub(crate) fn decode(checked: &Checked<'_>, bytes: &[u8]) -> Result<DecodedFrame, CodecError> {
    let format = checked.format;
    if !format.allocated.is_multiple_of(8) {
        return Err(CodecError::unsupported(format!("RLE of cells of {} bits", format.allocated)));
    }
    let (samples, width) = (usize::from(format.samples), usize::from(format.allocated / 8));
    let segments = segments(bytes, samples * width)?;
    // Cells as in native data, samples of a pixel together, so that one reader of cells serves both.
    let mut cells = vec![0u8; checked.samples * width];
    let mut plane = Vec::with_capacity(checked.pixels);
    for (number, segment) in segments.into_iter().enumerate() {
        plane.clear();
        unpack(segment, checked.pixels, &mut plane)?;
        // The most significant byte of a sample comes first.
        let (sample, byte) = (number / width, width - 1 - number % width);
        let places = cells.iter_mut().skip(sample * width + byte).step_by(samples * width);
        places.zip(&plane).for_each(|(to, from)| *to = *from);
    }
    let by_pixel = dataset::pixels::PixelFormat { planar: false, ..format.clone() };
    native::decode(&Checked { format: &by_pixel, ..*checked }, &cells)
}

/// The segments as the header says, which must be `wanted`.
fn segments(bytes: &[u8], wanted: usize) -> Result<Vec<&[u8]>, CodecError> {
    let header = bytes.get(..HEADER).ok_or_else(|| CodecError::corrupt("no room for the header"))?;
    let mut numbers = header.as_chunks::<4>().0.iter().map(|four| u32::from_le_bytes(*four));
    let count = numbers.next().and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    if count > SEGMENTS_MAX {
        return Err(CodecError::corrupt(format!("{count} segments")));
    }
    if count != wanted {
        return Err(CodecError::disagrees(format!("{count} segments where the attributes make {wanted}")));
    }
    let starts: Vec<usize> = numbers.take(count).map(|at| usize::try_from(at).unwrap_or(usize::MAX)).collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let cut = |(start, end): (&usize, usize)| {
        if *start < HEADER { None } else { bytes.get(*start..end.min(bytes.len())) }
    };
    let segments: Option<Vec<&[u8]>> = starts.iter().zip(ends).map(cut).collect();
    segments.ok_or_else(|| CodecError::corrupt("segments outside of the frame"))
}

/// Unpacks one segment to exactly `count` bytes (G.3.2).
fn unpack(segment: &[u8], count: usize, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let early = || CodecError::corrupt("a segment ends early");
    let mut rest = segment;
    while out.len() < count {
        let (code, after) = rest.split_first().ok_or_else(early)?;
        let left = count - out.len();
        rest = after;
        match *code {
            128 => {}
            literal @ 0..=127 => {
                let run = usize::from(literal) + 1;
                let taken = run.min(left);
                out.extend_from_slice(rest.get(..taken).ok_or_else(early)?);
                rest = rest.get(run..).unwrap_or_default();
            }
            repeated => {
                let (value, after) = rest.split_first().ok_or_else(early)?;
                let run = (257 - usize::from(repeated)).min(left);
                out.resize(out.len() + run, *value);
                rest = after;
            }
        }
    }
    Ok(())
}

/// Encodes native cells, samples of a pixel together, little endian: `rows × columns × samples` of `width` bytes.
pub(crate) fn encode(cells: &[u8], columns: usize, samples: usize, width: usize) -> Result<Vec<u8>, CodecError> {
    let count = samples * width;
    if count == 0 || count > SEGMENTS_MAX || columns == 0 {
        return Err(CodecError::unsupported(format!("RLE of {count} segments")));
    }
    let mut out = vec![0u8; HEADER];
    let mut starts = vec![u32::try_from(count).unwrap_or(0)];
    for number in 0..count {
        let (sample, byte) = (number / width, width - 1 - number % width);
        starts.push(u32::try_from(out.len()).map_err(|_| CodecError::Limit("an RLE frame of 4 GiB".into()))?);
        let plane: Vec<u8> = cells.iter().skip(sample * width + byte).step_by(count).copied().collect();
        plane.chunks(columns).for_each(|row| pack(row, &mut out));
        if out.len() % 2 == 1 {
            out.push(0);
        }
    }
    let places = out.as_chunks_mut::<4>().0.iter_mut();
    places.zip(starts).for_each(|(place, start)| *place = start.to_le_bytes());
    Ok(out)
}

/// Packs one row (G.3.1): runs of two and more as repeats, everything else as it is.
fn pack(row: &[u8], out: &mut Vec<u8>) {
    let mut rest = row;
    let mut literal: &[u8] = &[];
    while let Some(first) = rest.first() {
        let run = rest.iter().take(128).take_while(|byte| *byte == first).count();
        // A pair inside of literals costs as much as it saves.
        if run >= 3 || run == 2 && literal.is_empty() {
            flush(literal, out);
            literal = &[];
            out.push(u8::try_from(257 - run).unwrap_or(255));
            out.push(*first);
            rest = rest.get(run..).unwrap_or_default();
            continue;
        }
        // Literals are one slice of the row that grows towards the rest.
        let begin = row.len() - rest.len() - literal.len();
        let end = row.len() - rest.len() + run;
        literal = row.get(begin..end).unwrap_or_default();
        rest = rest.get(run..).unwrap_or_default();
    }
    flush(literal, out);
}

fn flush(literal: &[u8], out: &mut Vec<u8>) {
    for piece in literal.chunks(128) {
        out.push(u8::try_from(piece.len() - 1).unwrap_or(0));
        out.extend_from_slice(piece);
    }
}
