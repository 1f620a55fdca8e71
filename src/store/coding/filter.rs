//! The filter of a frame: samples apart by channel, distances, byte planes; and back.
//!
//! It works on any bytes: whole rows are filtered, what is left behind the last whole row is kept as it is.

use super::predict::{self, Predictor};
use super::sample::{Room, Rooms, Sample};

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

fn apply_to<T: Sample>(raw: &[u8], shape: &Shape, filter: Filter, rooms: &mut Rooms, out: &mut Vec<u8>) -> Option<()> {
    let extent = shape.extent(raw.len())?;
    let (whole, rest) = raw.split_at_checked(extent.whole)?;
    let room = T::room(rooms);
    channels(whole, shape, &extent, filter.differences, room);
    out.resize(extent.whole, 0);
    let mut planes = planes_mut(out, T::BYTES, extent.whole / T::BYTES);
    room.row.resize(extent.columns, T::default());
    for channel in room.apart.chunks_exact(extent.columns * extent.rows) {
        let mut above: &[T] = &[];
        for row in channel.chunks_exact(extent.columns) {
            predict::distances(filter.predictor, above, row, &mut room.row);
            let rows = planes.each_mut().map(|plane| {
                let (row, others) = std::mem::take(plane).split_at_mut_checked(extent.columns).unwrap_or_default();
                *plane = others;
                row
            });
            T::split(&room.row, rows);
            above = row;
        }
    }
    out.extend_from_slice(rest);
    Some(())
}

fn undo_to<T: Sample>(
    filtered: &[u8],
    shape: &Shape,
    filter: Filter,
    rooms: &mut Rooms,
    out: &mut Vec<u8>,
) -> Option<()> {
    let extent = shape.extent(filtered.len())?;
    let (whole, rest) = filtered.split_at_checked(extent.whole)?;
    let (count, plane) = (extent.whole / T::BYTES, extent.columns * extent.rows);
    let room = T::room(rooms);
    room.apart.resize(count, T::default());
    T::join(planes(whole, T::BYTES, count), &mut room.apart);
    if filter.predictor != Predictor::Nothing {
        room.apart.iter_mut().for_each(|sample| *sample = sample.unfold());
        room.apart.chunks_exact_mut(plane).for_each(|channel| {
            predict::restore(filter.predictor, extent.columns, channel);
        });
    }
    if filter.differences {
        against_second(&mut room.apart, plane, T::plus);
    }
    let start = out.len();
    out.resize(start + extent.whole, 0);
    let target = out.get_mut(start..)?;
    if extent.channels == 1 {
        T::store(&room.apart, shape.big_endian, target);
    } else {
        room.mixed.resize(count, T::default());
        for (number, channel) in room.apart.chunks_exact(plane).enumerate() {
            let places = room.mixed.iter_mut().skip(number).step_by(extent.channels);
            places.zip(channel).for_each(|(place, sample)| *place = *sample);
        }
        T::store(&room.mixed, shape.big_endian, target);
    }
    out.extend_from_slice(rest);
    Some(())
}

/// The samples of whole rows, one channel after the other, in `room.apart`.
pub(super) fn channels<T: Sample>(whole: &[u8], shape: &Shape, extent: &Extent, differences: bool, room: &mut Room<T>) {
    let count = whole.len() / T::BYTES;
    room.apart.resize(count, T::default());
    if extent.channels == 1 {
        T::load(whole, shape.big_endian, &mut room.apart);
        return;
    }
    room.mixed.resize(count, T::default());
    T::load(whole, shape.big_endian, &mut room.mixed);
    let plane = extent.columns * extent.rows;
    for (number, channel) in room.apart.chunks_exact_mut(plane).enumerate() {
        let places = room.mixed.iter().skip(number).step_by(extent.channels);
        channel.iter_mut().zip(places).for_each(|(sample, place)| *sample = *place);
    }
    if differences {
        against_second(&mut room.apart, plane, T::minus);
    }
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
