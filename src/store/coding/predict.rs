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

/// Turns the unfolded distances of a channel, rows of `columns` samples, back into samples.
pub(super) fn restore<T: Sample>(predictor: Predictor, columns: usize, samples: &mut [T]) {
    match predictor {
        Predictor::Nothing => {}
        Predictor::Left => restore_rows(left, columns, samples),
        Predictor::Above => restore_rows(above, columns, samples),
        Predictor::Average => restore_by(average, columns, samples),
        Predictor::Plane => restore_rows(plane, columns, samples),
        Predictor::Median => restore_by(median, columns, samples),
    }
}

/// Row after row.
#[inline(always)]
fn restore_rows<T: Sample>(expect: impl Fn(T, T, T) -> T + Copy, columns: usize, samples: &mut [T]) {
    let mut above_row: &[T] = &[];
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

/// Rows restored together. A sample waits for its left neighbour, so one row alone leaves the processor idle;
/// with each row one column behind the row above, the rows of a band do not wait for each other.
const BAND: usize = 8;

/// Bands of rows, each row of a band one column behind the one above it.
#[inline(always)]
fn restore_by<T: Sample>(expect: impl Fn(T, T, T) -> T + Copy, columns: usize, samples: &mut [T]) {
    let Some((first, mut rest)) = samples.split_at_mut_checked(columns) else { return };
    restore_part(expect, &[], first, 0);
    let mut above_row: &[T] = first;
    while columns > BAND && rest.len() / BAND >= columns {
        let (band, others) = std::mem::take(&mut rest).split_at_mut(columns * BAND);
        restore_band(expect, above_row, columns, band);
        above_row = band.rchunks_exact(columns).next().unwrap_or_default();
        rest = others;
    }
    for row in rest.chunks_exact_mut(columns) {
        restore_part(expect, above_row, row, 0);
        above_row = row;
    }
}

#[inline(always)]
fn restore_band<T: Sample>(expect: impl Fn(T, T, T) -> T + Copy, above_row: &[T], columns: usize, band: &mut [T]) {
    let mut rows: [&mut [T]; BAND] = Default::default();
    rows.iter_mut().zip(band.chunks_exact_mut(columns)).for_each(|(row, chunk)| *row = chunk);
    // The upper left corner, so that every row has a left neighbour when all run together.
    let mut upper: &[T] = above_row;
    for (number, row) in rows.iter_mut().enumerate() {
        let (corner, _) = row.split_at_mut(BAND - number);
        restore_part(expect, upper, corner, 0);
        upper = corner;
    }
    together(expect, above_row, &mut rows);
    // The lower right corner.
    let mut upper: &[T] = above_row;
    for (number, row) in rows.iter_mut().enumerate() {
        restore_part(expect, upper, row, columns - number);
        upper = row;
    }
}

/// The part of a band where all its rows run: row `n` from column `BAND - n` to `columns - n`.
#[inline(always)]
fn together<T: Sample>(expect: impl Fn(T, T, T) -> T, above_row: &[T], rows: &mut [&mut [T]; BAND]) {
    let count = above_row.len().saturating_sub(BAND);
    let mut newest = [T::default(); BAND];
    let mut older = [T::default(); BAND];
    for (number, row) in rows.iter().enumerate() {
        newest[number] = row[BAND - number - 1];
        older[number] = if number + 1 < BAND { row[BAND - number - 2] } else { T::default() };
    }
    let mut corner = above_row[BAND - 1];
    let above_row = &above_row[BAND..][..count];
    let mut number = 0;
    let windows: [&mut [T]; BAND] = rows.each_mut().map(|row| {
        number += 1;
        &mut row[BAND + 1 - number..][..count]
    });
    for at in 0..count {
        let upper = above_row[at];
        let mut b = [upper; BAND];
        let mut c = [corner; BAND];
        b[1..].copy_from_slice(&newest[..BAND - 1]);
        c[1..].copy_from_slice(&older[..BAND - 1]);
        let mut x = [T::default(); BAND];
        for row in 0..BAND {
            x[row] = windows[row][at];
        }
        for row in 0..BAND {
            x[row] = x[row].plus(expect(newest[row], b[row], c[row]));
        }
        for row in 0..BAND {
            windows[row][at] = x[row];
        }
        corner = upper;
        older = newest;
        newest = x;
    }
}
