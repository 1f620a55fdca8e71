//! Decoders at work: at most so many at the same time, each kept with its memory for the next one who needs it.
//!
//! Hundreds of readers decode no faster than a few; they would only each hold the memory of a frame meanwhile. Whoever
//! waits here holds nothing but coded bytes, and is next before whoever comes later: a single frame waits for one piece
//! of each bulk reader and not for all of theirs. Deliberately not for codestreams: those wait for processes of their own.

use super::sample::Rooms;
use super::{CodingError, Decoder, codestream};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

/// Decoders at work for each core.
const PER_CORE: usize = 2;
/// Most memory of filtered bytes, and of samples, that an idle decoder keeps: a usual frame's, not a mammogram's.
const KEPT: usize = 1 << 20;

static DECODERS: Mutex<State> = Mutex::new(State { idle: Vec::new(), at_work: 0, waiting: VecDeque::new() });

struct State {
    idle: Vec<Decoder>,
    at_work: usize,
    /// Who came first is next.
    waiting: VecDeque<Waiting>,
}

/// A thread that waits for a place, and whether it was handed one.
struct Waiting {
    thread: Thread,
    has: Arc<AtomicBool>,
}

/// A decoder on loan; it goes back however the work ends.
struct Lent {
    decoder: Option<Decoder>,
}

fn most() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from) * PER_CORE)
}

impl Lent {
    /// Waits for a place among those at work.
    fn take() -> Result<Self, CodingError> {
        let mut state = DECODERS.lock();
        if state.at_work < most() {
            state.at_work += 1;
        } else {
            let has = Arc::new(AtomicBool::new(false));
            state.waiting.push_back(Waiting { thread: thread::current(), has: Arc::clone(&has) });
            drop(state);
            while !has.load(Ordering::Acquire) {
                thread::park();
            }
            state = DECODERS.lock();
        }
        let idle = state.idle.pop();
        drop(state);
        // From here on the place is given back.
        let mut lent = Self { decoder: idle };
        if lent.decoder.is_none() {
            lent.decoder = Some(Decoder::new().map_err(|_| CodingError::Unavailable)?);
        }
        Ok(lent)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let kept = self.decoder.take().filter(|_| !std::thread::panicking()).map(|mut decoder| {
            if decoder.filtered.capacity() > KEPT {
                decoder.filtered = Vec::new();
            }
            if decoder.rooms.bytes() > KEPT {
                decoder.rooms = Rooms::default();
            }
            decoder
        });
        let mut state = DECODERS.lock();
        state.idle.extend(kept);
        match state.waiting.pop_front() {
            // The place is handed over: nobody who comes meanwhile takes it.
            Some(next) => {
                next.has.store(true, Ordering::Release);
                next.thread.unpark();
            }
            None => state.at_work = state.at_work.saturating_sub(1),
        }
    }
}

/// Does something with a decoder.
pub(super) fn lend<T>(work: impl FnOnce(&mut Decoder) -> Result<T, CodingError>) -> Result<T, CodingError> {
    let mut lent = Lent::take()?;
    lent.decoder.as_mut().map_or(Err(CodingError::Unavailable), work)
}

/// Appends the `raw_len` bytes that `coded` stands for to `out`, as [`Decoder::decode`] does.
///
/// # Errors
/// [`CodingError`]; `out` is then as before.
pub(crate) fn decode(coded: &[u8], raw_len: usize, out: &mut Vec<u8>) -> Result<(), CodingError> {
    if let Some((&codestream::FORM, rest)) = coded.split_first() {
        let before = out.len();
        return codestream::decode(rest, raw_len, out).inspect_err(|_| out.truncate(before));
    }
    lend(|decoder| decoder.decode(coded, raw_len, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::{Coder, PixelLayout};
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn many_readers_decode_right_and_few_at_a_time() {
        let layout = PixelLayout { bits_allocated: 16, samples: 1, columns: 200, big_endian: false };
        let frames: Vec<(Vec<u8>, Vec<u8>)> = (0..8_u16)
            .map(|number| {
                let raw: Vec<u8> =
                    (0..40_000_u16).flat_map(|at| (at % 200 + at / 200 + number).to_le_bytes()).collect();
                let coded = Coder::new().expect("coder").encode(&raw, Some(&layout)).expect("shorter").to_vec();
                (raw, coded)
            })
            .collect();
        let (now, highest) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let read = |raw: &[u8], coded: &[u8]| {
            let mut out = Vec::new();
            decode(coded, raw.len(), &mut out).expect("decodes");
            assert!(out == *raw);
            assert!(decode(coded, raw.len() + 1, &mut out).is_err());
            assert_eq!(out.len(), raw.len(), "a failure leaves what was there");
            let counted = lend(|decoder| {
                highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let decoded = decoder.decode(coded, raw.len(), &mut out);
                now.fetch_sub(1, Ordering::SeqCst);
                decoded
            });
            counted.expect("decodes");
        };
        std::thread::scope(|scope| {
            for _ in 0..8 * most() {
                scope.spawn(|| frames.iter().for_each(|(raw, coded)| read(raw, coded)));
            }
        });
        let highest = highest.into_inner();
        assert!((1..=most()).contains(&highest), "{highest} at work");
        assert!(DECODERS.lock().idle.len() <= most());
    }

    #[test]
    fn a_place_is_handed_to_who_waits_and_not_to_who_comes() {
        let mut held: Vec<Lent> = (0..most()).map(|_| Lent::take().expect("a place")).collect();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        thread::scope(|scope| {
            let waits = scope.spawn(move || {
                let lent = Lent::take().expect("a place");
                let _ = told.recv();
                drop(lent);
            });
            let id = waits.thread().id();
            while !DECODERS.lock().waiting.iter().any(|one| one.thread.id() == id) {
                thread::yield_now();
            }
            held.pop();
            assert_eq!(DECODERS.lock().at_work, most(), "nobody who comes finds one");
            drop(tell);
            held.clear();
        });
    }

    #[test]
    fn a_place_comes_back_when_the_work_dies() {
        for _ in 0..=2 * most() {
            let died = std::panic::catch_unwind(|| {
                let _ = lend(|_| -> Result<(), CodingError> { panic!("the work dies") });
            });
            assert!(died.is_err());
        }
        lend(|_| Ok(())).expect("a place");
    }
}
