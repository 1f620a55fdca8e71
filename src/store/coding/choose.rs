//! Which filter a frame gets: found out on a small part of it.
//!
//! Predictors are compared by the bits their distances need; the best one then competes with no filter at all by
//! the size zstd really gives. A wrong choice costs size, never bytes.

use super::filter::{self, Filter, Shape};
use super::predict::{self, Predictor};
use super::sample::{Rooms, Sample};
use super::{CHANNELS_MAX, Chosen, Coder, PixelLayout};

/// Runs of neighbouring rows that are looked at, spread over the frame.
const RUNS: usize = 4;
/// Bytes that are looked at, at least; a smaller frame is looked at as a whole.
const TRIAL_MIN: usize = 8 << 10;
/// Part of the frame that is looked at.
const TRIAL_PART: usize = 32;

/// Bytes of one layout after which a filter is chosen anew: frames of a series are much alike.
const CHOSEN_FOR: usize = 16 << 20;

/// Takes note of how a frame turned out. One that is coded an eighth worse than the best before it is of another kind:
/// the filter is chosen anew for the next.
pub(super) fn judge(chosen: &mut Option<Chosen>, raw: usize, coded: usize) {
    let Some(made) = chosen else { return };
    let rate = (coded * 1_024).checked_div(raw).unwrap_or(0);
    match made.best {
        Some(best) if rate > best + best / 8 => *chosen = None,
        best => made.best = Some(best.map_or(rate, |best| best.min(rate))),
    }
}

impl Coder {
    /// Shape and filter for a frame, as chosen for those just before it or chosen now.
    pub(super) fn filter_for(&mut self, raw: &[u8], layout: &PixelLayout) -> Option<(Shape, Filter)> {
        let chosen = match self.chosen {
            Some(chosen) if chosen.layout == *layout && chosen.bytes < CHOSEN_FOR => chosen,
            _ => Chosen { layout: *layout, filter: self.choose(raw, layout), bytes: 0, best: None },
        };
        self.chosen = Some(Chosen { bytes: chosen.bytes.saturating_add(raw.len()), ..chosen });
        chosen.filter.filter(|(shape, _)| shape.extent(raw.len()).is_some())
    }

    /// Shape and filter for a frame; `None` where zstd alone does best.
    fn choose(&mut self, raw: &[u8], layout: &PixelLayout) -> Option<(Shape, Filter)> {
        let shapes = shapes(layout);
        let row = shapes.iter().filter_map(Shape::row_bytes).max()?;
        let part = part(raw, row)?;
        let mut best: Option<(u64, Shape, Filter)> = None;
        for shape in shapes {
            for differences in [false, true] {
                if differences && shape.channels != 3 {
                    continue;
                }
                for predictor in Predictor::ALL {
                    let filter = Filter { predictor, differences };
                    let cost = cost(&part, &shape, filter, &mut self.rooms)?;
                    if best.is_none_or(|(least, ..)| cost < least) {
                        best = Some((cost, shape, filter));
                    }
                }
            }
        }
        let (_, shape, filter) = best?;
        let nothing = Filter { predictor: Predictor::Nothing, differences: false };
        let mut least = (self.size(&part), None);
        for filter in [nothing, filter] {
            if filter == nothing && shape.bytes == 1 && shape.channels == 1 {
                continue;
            }
            filter::apply(&part, &shape, filter, &mut self.rooms, &mut self.filtered)?;
            let filtered = std::mem::take(&mut self.filtered);
            let size = self.size(&filtered);
            self.filtered = filtered;
            if size < least.0 {
                least = (size, Some((shape, filter)));
            }
        }
        least.1
    }

    /// Bytes zstd makes of these.
    fn size(&mut self, bytes: &[u8]) -> usize {
        let bound = zstd::zstd_safe::compress_bound(bytes.len());
        if self.trial.len() < bound {
            self.trial.resize(bound, 0);
        }
        self.pixels.compress_to_buffer(bytes, self.trial.as_mut_slice()).unwrap_or(usize::MAX)
    }
}

/// The ways a frame may be laid out.
fn shapes(layout: &PixelLayout) -> Vec<Shape> {
    let bytes = match layout.bits_allocated {
        8 => 1,
        16 => 2,
        32 => 4,
        _ => return Vec::new(),
    };
    let side_by_side = u8::try_from(layout.samples).ok().filter(|samples| (2..=CHANNELS_MAX).contains(samples));
    let shape = |channels| Shape { bytes, big_endian: layout.big_endian, channels, columns: layout.columns };
    side_by_side.into_iter().chain([1]).map(shape).collect()
}

/// Runs of whole rows from all over the frame, one after the other; `None` when there is no row.
fn part(raw: &[u8], row: usize) -> Option<Vec<u8>> {
    let rows = raw.len().checked_div(row).filter(|rows| *rows > 0)?;
    let wanted = (raw.len() / TRIAL_PART).max(TRIAL_MIN);
    let run = wanted.div_ceil(row * RUNS).max(2);
    if run * RUNS >= rows {
        return Some(raw.to_vec());
    }
    let mut part = Vec::with_capacity(run * RUNS * row);
    for number in 0..RUNS {
        // In the middle of each quarter: edges of a frame are often empty.
        let first = (2 * number + 1) * (rows - run) / (2 * RUNS);
        part.extend_from_slice(raw.get(first * row..(first + run) * row)?);
    }
    Some(part)
}

/// Bits that the distances need, roughly.
fn cost(part: &[u8], shape: &Shape, filter: Filter, rooms: &mut Rooms) -> Option<u64> {
    match shape.bytes {
        1 => cost_of::<u8>(part, shape, filter, rooms),
        2 => cost_of::<i16>(part, shape, filter, rooms),
        4 => cost_of::<i32>(part, shape, filter, rooms),
        _ => None,
    }
}

fn cost_of<T: Sample>(part: &[u8], shape: &Shape, filter: Filter, rooms: &mut Rooms) -> Option<u64> {
    let extent = shape.extent(part.len())?;
    let (room, _) = T::room(rooms);
    let mut cost = 0;
    let whole = part.get(..extent.whole)?;
    filter::each_row(whole, shape, &extent, filter.differences, room, |_, above, row, distances| {
        predict::distances(filter.predictor, above, row, distances);
        cost += distances.iter().map(|distance| u64::from(distance.bits())).sum::<u64>();
    });
    Some(cost)
}
