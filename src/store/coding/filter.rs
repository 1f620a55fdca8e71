//! The filter of a frame: samples apart by channel, distances, byte planes; and back.
//!
//! It works on any bytes: whole rows are filtered, what is left behind the last whole row is kept as it is.

use super::predict::{self, Predictor};
use super::sample::{Room, Rooms, Sample};
use std::io::{self, Read};

/// Most channels that are told apart.
const CHANNELS: usize = super::CHANNELS_MAX as usize;

/// How the bytes of a frame are looked at. It may be wrong about them: the filter is exact all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Bytes of a sample: 1, 2 or 4.
    pub(super) bytes: u8,
    /// Whether samples are stored highest byte first.
    pub(super) big_endian: bool,
    /// Samples of a pixel that lie side by side, 1 to 4.
    pub(super) channels: u8,
    /// Pixels of a row.
    pub(super) columns: u32,
}

/// What is done to the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Filter {
    /// The expected value of a sample.
    pub(super) predictor: Predictor,
    /// Whether the second channel is taken from the first and the third before predicting.
    pub(super) differences: bool,
}

/// Counts of a shape over a number of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Samples of a row in one channel.
    pub(super) columns: usize,
    /// Whole rows.
    pub(super) rows: usize,
    /// Channels.
    pub(super) channels: usize,
    /// Bytes of all whole rows.
    pub(super) whole: usize,
}

impl Shape {
    /// Bytes of a row; `None` when they cannot be counted or there are none.
    pub(super) fn row_bytes(&self) -> Option<usize> {
        let pixel = usize::from(self.bytes) * usize::from(self.channels);
        usize::try_from(self.columns).ok()?.checked_mul(pixel).filter(|bytes| *bytes > 0)
    }

    /// How a frame of `len` bytes is divided; `None` when not even one row fits.
    pub(super) fn extent(&self, len: usize) -> Option<Extent> {
        let row = self.row_bytes()?;
        let rows = len / row;
        let (columns, channels) = (usize::try_from(self.columns).ok()?, usize::from(self.channels));
        (rows > 0).then_some(Extent { columns, rows, channels, whole: rows * row })
    }
}

/// The filtered form of `raw`, as long as it; nothing when the shape does not fit.
pub(super) fn apply(raw: &[u8], shape: &Shape, filter: Filter, rooms: &mut Rooms, out: &mut Vec<u8>) -> Option<()> {
    match shape.bytes {
        1 => apply_to::<u8>(raw, shape, filter, rooms, out),
        2 => apply_to::<i16>(raw, shape, filter, rooms, out),
        4 => apply_to::<i32>(raw, shape, filter, rooms, out),
        _ => None,
    }
}

/// Undoes [`apply`]; nothing when the shape does not fit.
pub(super) fn undo(filtered: &[u8], shape: &Shape, filter: Filter, rooms: &mut Rooms, out: &mut Vec<u8>) -> Option<()> {
    match shape.bytes {
        1 => undo_to::<u8>(filtered, shape, filter, rooms, out),
        2 => undo_to::<i16>(filtered, shape, filter, rooms, out),
        4 => undo_to::<i32>(filtered, shape, filter, rooms, out),
        _ => None,
    }
}

/// Row by row, so that what is worked on stays in the nearest cache.
fn apply_to<T: Sample>(raw: &[u8], shape: &Shape, filter: Filter, rooms: &mut Rooms, out: &mut Vec<u8>) -> Option<()> {
    let extent = shape.extent(raw.len())?;
    let (whole, rest) = raw.split_at_checked(extent.whole)?;
    let (room, _) = T::room(rooms);
    out.resize(raw.len(), 0);
    let (filtered, kept) = out.split_at_mut_checked(extent.whole)?;
    kept.copy_from_slice(rest);
    let mut places = channel_planes(planes_mut(filtered, T::BYTES, extent.whole / T::BYTES), &extent);
    each_row(whole, shape, &extent, filter.differences, room, |channel, above, row, distances| {
        predict::distances(filter.predictor, above, row, distances);
        let Some(places) = places.get_mut(channel) else { return };
        T::split(distances, places.each_mut().map(|place| cut(place, extent.columns)));
    });
    Some(())
}

/// The part of each byte plane that belongs to a channel.
fn channel_planes<'a>(planes: [&'a mut [u8]; 4], extent: &Extent) -> [[&'a mut [u8]; 4]; CHANNELS] {
    let mut parts: [[&mut [u8]; 4]; CHANNELS] = Default::default();
    for (byte, plane) in planes.into_iter().enumerate() {
        for (part, chunk) in parts.iter_mut().zip(plane.chunks_exact_mut(extent.columns * extent.rows)) {
            part[byte] = chunk;
        }
    }
    parts
}

/// The first `len` bytes of `place`, which keeps the others.
fn cut<'a>(place: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    let (first, others) = std::mem::take(place).split_at_mut_checked(len).unwrap_or_default();
    *place = others;
    first
}

/// Calls `each` with every row of every channel: the channel's number, the row above (empty above the first), the row,
/// and room for as many samples.
pub(super) fn each_row<T: Sample>(
    whole: &[u8],
    shape: &Shape,
    extent: &Extent,
    differences: bool,
    room: &mut Room<T>,
    mut each: impl FnMut(usize, &[T], &[T], &mut [T]),
) {
    let across = extent.columns * extent.channels;
    let Room { above, lines, mixed, row: spare } = room;
    grow(above, across);
    grow(lines, across);
    grow(mixed, across);
    grow(spare, extent.columns);
    let (Some(spare), Some(mixed)) = (spare.get_mut(..extent.columns), mixed.get_mut(..across)) else { return };
    for (number, bytes) in whole.chunks_exact(across * T::BYTES).enumerate() {
        let Some(line) = lines.get_mut(..across) else { return };
        if extent.channels == 1 {
            T::load(bytes, shape.big_endian, line);
        } else {
            T::load(bytes, shape.big_endian, mixed);
            for (channel, samples) in line.chunks_exact_mut(extent.columns).enumerate() {
                let places = mixed.iter().skip(channel).step_by(extent.channels);
                samples.iter_mut().zip(places).for_each(|(sample, place)| *sample = *place);
            }
            if differences {
                against_second(line, extent.columns, T::minus);
            }
        }
        for (channel, row) in line.chunks_exact(extent.columns).enumerate() {
            let upper = above.get(channel * extent.columns..).and_then(|rest| rest.get(..extent.columns));
            each(channel, upper.filter(|_| number > 0).unwrap_or_default(), row, spare);
        }
        std::mem::swap(above, lines);
    }
}

/// Makes room for `len` samples; what is in them does not matter.
fn grow<T: Sample>(room: &mut Vec<T>, len: usize) {
    if room.len() < len {
        room.resize(len, T::default());
    }
}

/// Band by band, for the same reason; the bytes are appended to `out`.
fn undo_to<T: Sample>(
    filtered: &[u8],
    shape: &Shape,
    filter: Filter,
    rooms: &mut Rooms,
    out: &mut Vec<u8>,
) -> Option<()> {
    let extent = shape.extent(filtered.len())?;
    let (whole, rest) = filtered.split_at_checked(extent.whole)?;
    let (room, bytes) = T::room(rooms);
    let (columns, plane) = (extent.columns, extent.columns * extent.rows);
    let planes = planes(whole, T::BYTES, extent.whole / T::BYTES);
    out.reserve(filtered.len());
    let Room { above, lines, mixed, .. } = room;
    grow(above, columns * extent.channels);
    let most = columns * extent.channels * predict::BAND.min(extent.rows);
    grow(lines, most);
    grow(mixed, most);
    let mut done = 0;
    while done < extent.rows {
        // The first row has none above it and goes alone.
        let rows = if done == 0 { 1 } else { predict::BAND.min(extent.rows - done) };
        let band = lines.get_mut(..columns * extent.channels * rows)?;
        for (channel, samples) in band.chunks_exact_mut(columns * rows).enumerate() {
            let start = channel * plane + done * columns;
            let mut parts: [&[u8]; 4] = Default::default();
            for (part, plane) in parts.iter_mut().zip(&planes) {
                *part = plane.get(start..start + columns * rows).unwrap_or_default();
            }
            let above = above.get_mut(channel * columns..(channel + 1) * columns)?;
            restore_band(parts, filter.predictor, done == 0, columns, above, samples)?;
        }
        if filter.differences {
            against_second(band, columns * rows, T::plus);
        }
        let stored = side_by_side(band, extent.channels, mixed)?;
        if bytes.len() < stored.len() * T::BYTES {
            bytes.resize(stored.len() * T::BYTES, 0);
        }
        let stored_bytes = bytes.get_mut(..stored.len() * T::BYTES)?;
        T::store(stored, shape.big_endian, stored_bytes);
        out.extend_from_slice(stored_bytes);
        done += rows;
    }
    out.extend_from_slice(rest);
    Some(())
}

/// The samples of a band of one channel from the bytes of their planes. `above` is the row above them, of no meaning for
/// the `first` band, and becomes the last of them.
fn restore_band<T: Sample>(
    parts: [&[u8]; 4],
    predictor: Predictor,
    first: bool,
    columns: usize,
    above: &mut [T],
    samples: &mut [T],
) -> Option<()> {
    T::join(parts, samples);
    if predictor != Predictor::Nothing {
        samples.iter_mut().for_each(|sample| *sample = sample.unfold());
        predict::restore(predictor, if first { &[] } else { above }, columns, samples);
    }
    above.copy_from_slice(samples.rchunks_exact(columns).next()?);
    Some(())
}

/// Undoes [`apply`] for pixels of one channel while the filtered bytes still come: rows go to `each` as they are
/// restored, until it wants no more. All planes but that of the highest byte come first and are awaited. Whether
/// everything was wanted.
pub(super) fn undo_rows(
    source: &mut impl Read,
    len: usize,
    shape: &Shape,
    predictor: Predictor,
    rooms: &mut Rooms,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    match shape.bytes {
        1 => undo_rows_of::<u8>(source, len, shape, predictor, rooms, each),
        2 => undo_rows_of::<i16>(source, len, shape, predictor, rooms, each),
        4 => undo_rows_of::<i32>(source, len, shape, predictor, rooms, each),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn undo_rows_of<T: Sample>(
    source: &mut impl Read,
    len: usize,
    shape: &Shape,
    predictor: Predictor,
    rooms: &mut Rooms,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    let misfit = || io::Error::from(io::ErrorKind::InvalidInput);
    let Some(Extent { columns, rows, channels: 1, whole }) = shape.extent(len) else { return Err(misfit()) };
    let mut early = vec![0; columns * rows * (T::BYTES - 1)];
    source.read_exact(&mut early)?;
    let early = planes(&early, T::BYTES - 1, columns * rows);
    let most = columns * predict::BAND.min(rows);
    let (Room { above, lines, .. }, bytes) = T::room(rooms);
    grow(above, columns);
    grow(lines, most);
    if bytes.len() < most * T::BYTES {
        bytes.resize(most * T::BYTES, 0);
    }
    let mut highest = vec![0; most];
    let mut done = 0;
    while done < rows {
        // The first row has none above it and goes alone.
        let more = if done == 0 { 1 } else { predict::BAND.min(rows - done) };
        let (start, count) = (done * columns, more * columns);
        let highest = highest.get_mut(..count).ok_or_else(misfit)?;
        source.read_exact(highest)?;
        let mut parts = early.map(|plane| plane.get(start..start + count).unwrap_or_default());
        parts[T::BYTES - 1] = &*highest;
        let samples = lines.get_mut(..count).ok_or_else(misfit)?;
        let above = above.get_mut(..columns).ok_or_else(misfit)?;
        restore_band(parts, predictor, done == 0, columns, above, samples).ok_or_else(misfit)?;
        let stored = bytes.get_mut(..count * T::BYTES).ok_or_else(misfit)?;
        T::store(samples, shape.big_endian, stored);
        if !each(stored) {
            return Ok(false);
        }
        done += more;
    }
    let mut rest = vec![0; len - whole];
    source.read_exact(&mut rest)?;
    Ok(rest.is_empty() || each(&rest))
}

/// The samples of a band, which stand one channel after the other, as they are stored.
fn side_by_side<'a, T: Sample>(band: &'a [T], channels: usize, mixed: &'a mut [T]) -> Option<&'a [T]> {
    if channels == 1 {
        return Some(band);
    }
    let mixed = mixed.get_mut(..band.len())?;
    for (channel, samples) in band.chunks_exact(band.len() / channels).enumerate() {
        let places = mixed.iter_mut().skip(channel).step_by(channels);
        places.zip(samples).for_each(|(place, sample)| *place = *sample);
    }
    Some(mixed)
}

/// Changes the first and the third channel by the second.
fn against_second<T: Sample>(samples: &mut [T], plane: usize, change: impl Fn(T, T) -> T) {
    let mut channels = samples.chunks_exact_mut(plane);
    let (Some(first), Some(second), Some(third)) = (channels.next(), channels.next(), channels.next()) else {
        return;
    };
    for ((first, second), third) in first.iter_mut().zip(second).zip(third) {
        (*first, *third) = (change(*first, *second), change(*third, *second));
    }
}

/// The planes of `count` bytes each; those beyond `bytes` are empty.
fn planes(whole: &[u8], bytes: usize, count: usize) -> [&[u8]; 4] {
    let mut planes: [&[u8]; 4] = Default::default();
    planes.iter_mut().zip(whole.chunks_exact(count)).take(bytes).for_each(|(plane, chunk)| *plane = chunk);
    planes
}

fn planes_mut(whole: &mut [u8], bytes: usize, count: usize) -> [&mut [u8]; 4] {
    let mut planes: [&mut [u8]; 4] = Default::default();
    planes.iter_mut().zip(whole.chunks_exact_mut(count)).take(bytes).for_each(|(plane, chunk)| *plane = chunk);
    planes
}
