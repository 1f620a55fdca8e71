//! Prediction: every sample is replaced by its distance from what its neighbours suggest, and back.
//!
//! The neighbours are those decoded before it: left (`a`), above (`b`), above left (`c`).
//! Above the first row and left of the first column there is nothing: there the one neighbour that exists stands
//! for all three, and zero for the very first sample.

use super::sample::Sample;

/// What is expected of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Predictor {
    /// Nothing: the sample stays as it is.
    Nothing,
    /// `a`.
    Left,
    /// `b`.
    Above,
    /// Half way from `a` to `b`.
    Average,
    /// `a + b - c`: a plane through the three.
    Plane,
    /// The median of `a`, `b` and `a + b - c`, as in JPEG-LS (ITU-T T.87 A.4.1).
    Median,
}

impl Predictor {
    /// Those that predict something, in the order in which they are tried.
    pub(super) const ALL: [Self; 5] = [Self::Median, Self::Average, Self::Plane, Self::Left, Self::Above];

    /// Its number in the header of a coded frame.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Left => 1,
            Self::Above => 2,
            Self::Average => 3,
            Self::Plane => 4,
            Self::Median => 5,
        }
    }

    /// The predictor of that number.
    pub(super) fn of(code: u8) -> Option<Self> {
        [Self::Nothing, Self::Left, Self::Above, Self::Average, Self::Plane, Self::Median]
            .into_iter()
            .find(|predictor| predictor.code() == code)
    }
}

/// Above or left of the image, for the row functions.
#[derive(Clone, Copy)]
enum Above<'a, T> {
    Nothing,
    Row(&'a [T]),
}

#[inline(always)]
fn left<T: Sample>(a: T, _: T, _: T) -> T {
    a
}

#[inline(always)]
fn above<T: Sample>(_: T, b: T, _: T) -> T {
    b
}

#[inline(always)]
fn average<T: Sample>(a: T, b: T, _: T) -> T {
    a.middle(b)
}

#[inline(always)]
fn plane<T: Sample>(a: T, b: T, c: T) -> T {
    a.plus(b.minus(c))
}

/// With `c` held between `a` and `b` first, `a + b - c` is the median of the three and lies between them.
#[inline(always)]
fn median<T: Sample>(a: T, b: T, c: T) -> T {
    let (low, high) = (a.least(b), a.most(b));
    let held = c.most(low).least(high);
    a.plus(b.minus(held))
}

/// Distances of one row of samples, folded. `above` is the row above, empty for the first row.
pub(super) fn distances<T: Sample>(predictor: Predictor, above_row: &[T], row: &[T], out: &mut [T]) {
    let above_row = if above_row.is_empty() { Above::Nothing } else { Above::Row(above_row) };
    match predictor {
        Predictor::Nothing => out.copy_from_slice(row),
        Predictor::Left => distances_by(left, above_row, row, out),
        Predictor::Above => distances_by(above, above_row, row, out),
        Predictor::Average => distances_by(average, above_row, row, out),
        Predictor::Plane => distances_by(plane, above_row, row, out),
        Predictor::Median => distances_by(median, above_row, row, out),
    }
}

#[inline(always)]
fn distances_by<T: Sample>(expect: impl Fn(T, T, T) -> T, above_row: Above<'_, T>, row: &[T], out: &mut [T]) {
    let (Some((first, rest)), Some((first_out, rest_out))) = (row.split_first(), out.split_first_mut()) else {
        return;
    };
    match above_row {
        Above::Nothing => {
            *first_out = first.fold();
            for ((out, x), a) in rest_out.iter_mut().zip(rest).zip(row) {
                *out = x.minus(*a).fold();
            }
        }
        Above::Row(upper) => {
            let Some((b, uppers)) = upper.split_first() else { return };
            *first_out = first.minus(*b).fold();
            for ((((out, x), a), b), c) in rest_out.iter_mut().zip(rest).zip(row).zip(uppers).zip(upper) {
                *out = x.minus(expect(*a, *b, *c)).fold();
            }
        }
    }
}

/// Turns unfolded distances, at most [`BAND`] rows of `columns` samples, back into samples. `above_row` is the row above
/// them, empty for the first row of an image, which is restored alone.
pub(super) fn restore<T: Sample>(predictor: Predictor, above_row: &[T], columns: usize, samples: &mut [T]) {
    match predictor {
        Predictor::Nothing => {}
        Predictor::Left => restore_rows(left, above_row, columns, samples),
        Predictor::Above => restore_rows(above, above_row, columns, samples),
        Predictor::Average => restore_by(average, average, above_row, columns, samples),
        Predictor::Plane => restore_rows(plane, above_row, columns, samples),
        Predictor::Median => restore_by(median, median, above_row, columns, samples),
    }
}

/// Row after row.
#[inline(always)]
fn restore_rows<T: Sample>(expect: impl Fn(T, T, T) -> T + Copy, above_row: &[T], columns: usize, samples: &mut [T]) {
    let mut above_row = above_row;
    for row in samples.chunks_exact_mut(columns) {
        restore_part(expect, above_row, row, 0);
        above_row = row;
    }
}

/// One row from column `from` on; what lies before is restored already.
#[inline(always)]
fn restore_part<T: Sample>(expect: impl Fn(T, T, T) -> T, above_row: &[T], row: &mut [T], from: usize) {
    let (done, open) = row.split_at_mut(from.min(row.len()));
    let before = from.checked_sub(1);
    let last = before.and_then(|at| done.get(at));
    if above_row.is_empty() {
        let mut a = last.copied().unwrap_or_default();
        for x in open {
            a = x.plus(a);
            *x = a;
        }
        return;
    }
    let Some(mut uppers) = above_row.get(from..) else { return };
    let mut open = open;
    let (mut a, mut c) = match (last, before.and_then(|at| above_row.get(at))) {
        (Some(a), Some(c)) => (*a, *c),
        _ => {
            let (Some((b, more)), Some((x, rest))) = (uppers.split_first(), open.split_first_mut()) else { return };
            *x = x.plus(*b);
            let state = (*x, *b);
            uppers = more;
            open = rest;
            state
        }
    };
    for (x, b) in open.iter_mut().zip(uppers) {
        a = x.plus(expect(a, *b, c));
        c = *b;
        *x = a;
    }
}

/// Rows restored together. A sample waits for its left neighbour, so one row alone leaves the processor idle; with each
/// row one column behind the row above, the rows of a band do not wait for each other and fill a vector.
pub(super) const BAND: usize = 8;

/// One sample of each row of a band.
type Lanes<T> = [T; BAND];

/// A whole band together, each row one column behind the one above it; fewer rows one after the other.
#[inline(always)]
fn restore_by<T: Sample>(
    expect: impl Fn(T, T, T) -> T + Copy,
    expect_wide: impl Fn(T::Wide, T::Wide, T::Wide) -> T::Wide + Copy,
    above_row: &[T],
    columns: usize,
    samples: &mut [T],
) {
    if columns > 2 * BAND && samples.len() / BAND == columns && !above_row.is_empty() {
        restore_band(expect, expect_wide, above_row, columns, samples);
    } else {
        restore_rows(expect, above_row, columns, samples);
    }
}

/// Row `n` runs with the others from column `BAND - n` on, as far as whole tiles go; before and after it runs alone.
#[inline(always)]
fn restore_band<T: Sample>(
    expect: impl Fn(T, T, T) -> T + Copy,
    expect_wide: impl Fn(T::Wide, T::Wide, T::Wide) -> T::Wide + Copy,
    above_row: &[T],
    columns: usize,
    band: &mut [T],
) {
    let mut rows: [&mut [T]; BAND] = Default::default();
    rows.iter_mut().zip(band.chunks_exact_mut(columns)).for_each(|(row, chunk)| *row = chunk);
    let mut upper: &[T] = above_row;
    let (mut newest, mut older) = ([T::Wide::default(); BAND], [T::Wide::default(); BAND]);
    for (number, row) in rows.iter_mut().enumerate() {
        let (corner, _) = row.split_at_mut(BAND - number);
        restore_part(expect, upper, corner, 0);
        let mut last = corner.iter().rev().map(|sample| sample.widen());
        newest[number] = last.next().unwrap_or_default();
        older[number] = last.next().unwrap_or_default();
        upper = corner;
    }
    let (before, above_tiles) = above_row.split_at(BAND);
    let (above_tiles, _) = above_tiles.as_chunks::<BAND>();
    let mut state = State { newest, older, corner: before.last().copied().unwrap_or_default().widen() };
    {
        let mut number = 0;
        let mut tiles = rows.each_mut().map(|row| {
            let (_, open) = row.split_at_mut(BAND - number);
            number += 1;
            open.as_chunks_mut::<BAND>().0.iter_mut()
        });
        for above_tile in above_tiles {
            let mut tile: [Lanes<T::Wide>; BAND] = [[T::Wide::default(); BAND]; BAND];
            let mut parts = tiles.each_mut().map(|tiles| tiles.next());
            for (row, part) in parts.iter().enumerate() {
                let Some(part) = part else { continue };
                for (lanes, sample) in tile.iter_mut().zip(part.iter()) {
                    lanes[row] = sample.distance();
                }
            }
            restore_tile::<T>(expect_wide, above_tile, &mut tile, &mut state);
            for (row, part) in parts.iter_mut().enumerate() {
                let Some(part) = part else { continue };
                for (lanes, sample) in tile.iter().zip(part.iter_mut()) {
                    *sample = T::narrow(lanes[row]);
                }
            }
        }
    }
    let mut upper: &[T] = above_row;
    for (number, row) in rows.iter_mut().enumerate() {
        restore_part(expect, upper, row, BAND - number + above_tiles.len() * BAND);
        upper = row;
    }
}

/// The samples next to those of a tile.
struct State<T> {
    /// The newest of each row.
    newest: Lanes<T>,
    /// The one before it.
    older: Lanes<T>,
    /// The one above the newest of the first row.
    corner: T,
}

/// Restores a tile: `tile[n]` are the samples of all rows in step `n`.
#[inline(always)]
fn restore_tile<T: Sample>(
    expect: impl Fn(T::Wide, T::Wide, T::Wide) -> T::Wide,
    above_tile: &[T; BAND],
    tile: &mut [Lanes<T::Wide>; BAND],
    state: &mut State<T::Wide>,
) {
    for (lanes, upper) in tile.iter_mut().zip(above_tile) {
        let upper = upper.widen();
        let (mut b, mut c) = ([upper; BAND], [state.corner; BAND]);
        b.iter_mut().skip(1).zip(&state.newest).for_each(|(b, newest)| *b = *newest);
        c.iter_mut().skip(1).zip(&state.older).for_each(|(c, older)| *c = *older);
        for (((x, a), b), c) in lanes.iter_mut().zip(&state.newest).zip(&b).zip(&c) {
            *x = T::wrap(x.plus(expect(*a, *b, *c)));
        }
        (state.older, state.newest, state.corner) = (state.newest, *lanes, upper);
    }
}
