//! The filter of a frame: samples apart by channel, distances, byte planes; and back.
//!
//! It works on any bytes: whole rows are filtered, what is left behind the last whole row is kept as it is.

use super::predict::{self, Predictor};
use super::sample::Sample;

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
pub(super) fn apply(raw: &[u8], shape: &Shape, filter: Filter, out: &mut Vec<u8>) -> Option<()> {
    match shape.bytes {
        1 => apply_to::<u8>(raw, shape, filter, out),
        2 => apply_to::<i16>(raw, shape, filter, out),
        4 => apply_to::<i32>(raw, shape, filter, out),
        _ => None,
    }
}

/// Undoes [`apply`]; nothing when the shape does not fit.
pub(super) fn undo(filtered: &[u8], shape: &Shape, filter: Filter, out: &mut Vec<u8>) -> Option<()> {
    match shape.bytes {
        1 => undo_to::<u8>(filtered, shape, filter, out),
        2 => undo_to::<i16>(filtered, shape, filter, out),
        4 => undo_to::<i32>(filtered, shape, filter, out),
        _ => None,
    }
}

fn apply_to<T: Sample>(raw: &[u8], shape: &Shape, filter: Filter, out: &mut Vec<u8>) -> Option<()> {
    let extent = shape.extent(raw.len())?;
    let (whole, rest) = raw.split_at_checked(extent.whole)?;
    let samples = channels::<T>(whole, shape, &extent, filter.differences);
    out.clear();
    out.resize(extent.whole, 0);
    let mut planes = planes_mut(out, T::BYTES, extent.whole / T::BYTES);
    let mut distances = vec![T::default(); extent.columns];
    for channel in samples.chunks_exact(extent.columns * extent.rows) {
        let mut above: &[T] = &[];
        for row in channel.chunks_exact(extent.columns) {
            predict::distances(filter.predictor, above, row, &mut distances);
            let rows = planes.each_mut().map(|plane| {
                let (row, others) = std::mem::take(plane).split_at_mut_checked(extent.columns).unwrap_or_default();
                *plane = others;
                row
            });
            T::split(&distances, rows);
            above = row;
        }
    }
    out.extend_from_slice(rest);
    Some(())
}

fn undo_to<T: Sample>(filtered: &[u8], shape: &Shape, filter: Filter, out: &mut Vec<u8>) -> Option<()> {
    let extent = shape.extent(filtered.len())?;
    let (whole, rest) = filtered.split_at_checked(extent.whole)?;
    let count = extent.whole / T::BYTES;
    let mut samples = vec![T::default(); count];
    T::join(planes(whole, T::BYTES, count), &mut samples);
    if filter.predictor != Predictor::Nothing {
        samples.iter_mut().for_each(|sample| *sample = sample.unfold());
        for channel in samples.chunks_exact_mut(extent.columns * extent.rows) {
            predict::restore(filter.predictor, extent.columns, channel);
        }
    }
    if filter.differences {
        join_differences(&mut samples, extent.columns * extent.rows);
    }
    let start = out.len();
    out.resize(start + extent.whole, 0);
    let target = out.get_mut(start..)?;
    if extent.channels == 1 {
        T::store(&samples, shape.big_endian, target);
    } else {
        let mut mixed = vec![T::default(); count];
        for (channel, plane) in samples.chunks_exact(extent.columns * extent.rows).enumerate() {
            let places = mixed.iter_mut().skip(channel).step_by(extent.channels);
            places.zip(plane).for_each(|(place, sample)| *place = *sample);
        }
        T::store(&mixed, shape.big_endian, target);
    }
    out.extend_from_slice(rest);
    Some(())
}

/// The samples, one channel after the other.
pub(super) fn channels<T: Sample>(whole: &[u8], shape: &Shape, extent: &Extent, differences: bool) -> Vec<T> {
    let count = whole.len() / T::BYTES;
    let mut mixed = vec![T::default(); count];
    T::load(whole, shape.big_endian, &mut mixed);
    if extent.channels == 1 {
        return mixed;
    }
    let mut samples: Vec<T> = Vec::with_capacity(count);
    for channel in 0..extent.channels {
        samples.extend(mixed.iter().skip(channel).step_by(extent.channels));
    }
    if differences {
        let (first, others) = samples.split_at_mut(count / extent.channels);
        let (second, others) = others.split_at_mut(count / extent.channels);
        first.iter_mut().zip(&*second).for_each(|(sample, middle)| *sample = sample.minus(*middle));
        others.iter_mut().zip(&*second).for_each(|(sample, middle)| *sample = sample.minus(*middle));
    }
    samples
}

fn join_differences<T: Sample>(samples: &mut [T], plane: usize) {
    let (first, others) = samples.split_at_mut(plane.min(samples.len()));
    let (second, others) = others.split_at_mut(plane.min(others.len()));
    first.iter_mut().zip(&*second).for_each(|(sample, middle)| *sample = sample.plus(*middle));
    others.iter_mut().zip(&*second).for_each(|(sample, middle)| *sample = sample.plus(*middle));
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
