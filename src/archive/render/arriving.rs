//! Strips of a large frame that is still being decoded: each is worked on as soon as its rows are there.
//!
//! One thread decodes and never waits for the others; they take the strips in their order. What comes out is the same
//! as from a frame that was decoded before.

use super::{PictureError, strips};
use crate::error::RetrieveError;
use parking_lot::{Condvar, Mutex};
use std::ops::Range;

/// What takes bytes in their order, and says whether it wants more.
type Take<'a> = dyn FnMut(&[u8]) -> bool + 'a;

/// Makes something of every part, in their order; `pour` gives the bytes from the first row on, `row` of them in each.
/// Parts follow each other; rows before, between and behind them are passed over.
pub(super) fn each<T: Send>(
    parts: &[Range<u32>],
    row: usize,
    pour: impl FnOnce(&mut Take<'_>) -> Result<(), PictureError> + Send,
    make: impl Fn(&[u8]) -> Result<T, PictureError> + Sync,
) -> Result<Vec<T>, PictureError> {
    let at = |rows: u32| usize::try_from(rows).ok().and_then(|rows| rows.checked_mul(row)).ok_or_else(short);
    let bounds = parts.iter().map(|part| Ok(at(part.start)?..at(part.end)?));
    let bounds = bounds.collect::<Result<Vec<Range<usize>>, PictureError>>()?;
    let arrived = Arrived::new(bounds.len());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // However it ends, nobody goes on waiting.
            let mut ending = Ending { arrived: &arrived, how: Err(short()) };
            let mut cutting = Cutting { bounds: &bounds, number: 0, at: 0, open: Vec::new(), arrived: &arrived };
            ending.how = pour(&mut |bytes| cutting.add(bytes));
        });
        // Dropped before the thread is waited for: then it need not go on.
        let _enough = Enough(&arrived);
        strips::numbered(bounds.len(), |number| make(&arrived.take(number)?))
    })
}

fn short() -> PictureError {
    PictureError::Retrieve(RetrieveError::Damaged { what: "a frame is shorter than noted".into() })
}

/// The parts that are there.
struct Arrived {
    state: Mutex<State>,
    more: Condvar,
}

struct State {
    parts: Vec<Option<Vec<u8>>>,
    /// How the decoding ended.
    over: Option<Result<(), PictureError>>,
    /// Nobody waits for more.
    enough: bool,
}

impl Arrived {
    fn new(count: usize) -> Self {
        let parts = (0..count).map(|_| None).collect();
        Self { state: Mutex::new(State { parts, over: None, enough: false }), more: Condvar::new() }
    }

    fn put(&self, number: usize, bytes: Vec<u8>) {
        if let Some(part) = self.state.lock().parts.get_mut(number) {
            *part = Some(bytes);
        }
        self.more.notify_all();
    }

    /// Waits for a part.
    fn take(&self, number: usize) -> Result<Vec<u8>, PictureError> {
        let mut state = self.state.lock();
        loop {
            if let Some(bytes) = state.parts.get_mut(number).and_then(Option::take) {
                return Ok(bytes);
            }
            match &state.over {
                None => self.more.wait(&mut state),
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok(())) => return Err(short()),
            }
        }
    }
}

/// Tells those who wait how the decoding ended.
struct Ending<'a> {
    arrived: &'a Arrived,
    how: Result<(), PictureError>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.arrived.state.lock().over = Some(self.how.clone());
        self.arrived.more.notify_all();
    }
}

/// Tells the decoding that nobody waits any more.
struct Enough<'a>(&'a Arrived);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.state.lock().enough = true;
    }
}

/// Cuts what is poured into parts.
struct Cutting<'a> {
    bounds: &'a [Range<usize>],
    /// The part that comes next, or is open.
    number: usize,
    /// Bytes so far.
    at: usize,
    open: Vec<u8>,
    arrived: &'a Arrived,
}

impl Cutting<'_> {
    /// Takes more bytes; whether any further ones are wanted.
    fn add(&mut self, mut bytes: &[u8]) -> bool {
        while let Some(part) = self.bounds.get(self.number) {
            let before = part.start.saturating_sub(self.at).min(bytes.len());
            let rest = bytes.get(before..).unwrap_or_default();
            let (now, rest) = rest.split_at(part.end.saturating_sub(self.at + before).min(rest.len()));
            if self.open.is_empty() {
                self.open.reserve_exact(part.end.saturating_sub(part.start));
            }
            self.open.extend_from_slice(now);
            self.at += before + now.len();
            bytes = rest;
            if self.at < part.end {
                return !self.arrived.state.lock().enough;
            }
            self.arrived.put(self.number, std::mem::take(&mut self.open));
            self.number += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A frame of 100 rows of 3 bytes, poured in portions of `portion` bytes.
    fn poured(portion: usize, take: &mut Take<'_>) -> usize {
        let frame: Vec<u8> = (0..100).flat_map(|row| [row, 100 + row, 7]).collect();
        frame.chunks(portion).take_while(|bytes| take(bytes)).count()
    }

    #[test]
    fn parts_are_those_of_the_whole_frame_however_it_comes() {
        let lists: [Vec<Range<u32>>; 4] = [
            (0..10).map(|at| at * 10..(at + 1) * 10).collect(),
            vec![0..1, 1..99, 99..100],
            vec![5..20, 30..31, 31..40, 60..61, 61..70, 70..80],
            Vec::new(),
        ];
        for parts in &lists {
            for portion in [1, 3, 7, 24, 29, 300] {
                let pour = |take: &mut Take<'_>| {
                    poured(portion, take);
                    Ok(())
                };
                let made = each(parts, 3, pour, |bytes| Ok(bytes.to_vec())).expect("parts");
                let expected = parts.iter().map(|part| {
                    (part.start..part.end)
                        .flat_map(|row| u8::try_from(row).map(|row| [row, 100 + row, 7]).expect("small"))
                        .collect::<Vec<u8>>()
                });
                assert_eq!(made, expected.collect::<Vec<_>>(), "{parts:?} from {portion} bytes");
            }
        }
    }

    #[test]
    fn a_failure_ends_both_sides() {
        let parts: Vec<Range<u32>> = (0..10).map(|at| at * 10..(at + 1) * 10).collect();
        let broken = |take: &mut Take<'_>| {
            take(&[0; 99]);
            Err(PictureError::NoPixels)
        };
        let made = AtomicUsize::new(0);
        let make = |bytes: &[u8]| Ok(made.fetch_add(bytes.len(), Ordering::Relaxed));
        assert_eq!(each(&parts, 3, broken, make), Err(PictureError::NoPixels));
        assert!(made.into_inner() <= 90, "three parts came");
        let early = |take: &mut Take<'_>| {
            take(&[0; 99]);
            Ok(())
        };
        assert_eq!(each(&parts, 3, early, |_| Ok(())), Err(short()), "the frame ends early");
        // Once nobody makes anything of them, no more are wanted: otherwise this decoder never ends.
        let endless = |take: &mut Take<'_>| {
            take(&[0]);
            while take(&[]) {
                std::thread::yield_now();
            }
            Ok(())
        };
        let refused = each(&[0..1, 1..2], 1, endless, |_| Err::<(), _>(PictureError::NoPixels));
        assert_eq!(refused, Err(PictureError::NoPixels));
    }

    #[test]
    fn a_decoder_that_dies_leaves_nobody_waiting() {
        let parts: Vec<Range<u32>> = (0..10).map(|at| at * 10..(at + 1) * 10).collect();
        let died = std::panic::catch_unwind(|| {
            let dies = |take: &mut Take<'_>| -> Result<(), PictureError> {
                take(&[0; 60]);
                panic!("the decoder dies")
            };
            each(&parts, 3, dies, |_| Ok(()))
        });
        assert!(died.is_err());
    }
}
