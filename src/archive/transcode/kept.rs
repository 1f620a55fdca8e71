//! Frames made lately, within a bound of bytes, and how many are made at one time.
//!
//! Whoever asks for a frame that is being made waits for that one; who asks for a range of it again, as progressive
//! viewers do, gets it from memory. The cache may be emptied at any time.

use crate::error::DecodeError;
use crate::memory::{Forget, Memory};
use bytes::Bytes;
use codec::CodecError;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A frame: the instance's number, the frame's, and the transfer syntax.
pub(super) type FrameKey = (u64, u32, &'static str);

/// The frames, and those being made.
pub(crate) struct Kept {
    frames: Memory<FrameKey, Bytes>,
    making: Mutex<usize>,
    done: Condvar,
    at_once: usize,
    wait: Duration,
}

/// The right to make one frame.
struct Turn<'a>(&'a Kept);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.making.lock() -= 1;
        self.0.done.notify_one();
    }
}

impl Kept {
    /// Keeps `memory` bytes, makes for twice as many askers as there are processes: one is decoded while the other is
    /// read or written. Nobody waits longer than for a process.
    pub(crate) fn new(memory: u64, decode: &codec::pool::Options) -> Self {
        let weigh = |_: &FrameKey, frame: &Bytes| u32::try_from(frame.len().saturating_add(128)).unwrap_or(u32::MAX);
        Self {
            frames: Memory::new(memory, weigh),
            making: Mutex::new(0),
            done: Condvar::new(),
            at_once: decode.processes.max(1).saturating_mul(2),
            wait: decode.wait,
        }
    }

    /// Forgets every frame: a study was destroyed.
    pub(crate) fn forget(&self) {
        self.frames.forget();
    }

    /// A frame from memory, or made now and kept.
    pub(super) fn get(
        &self,
        key: FrameKey,
        make: impl FnOnce() -> Result<Vec<u8>, DecodeError>,
    ) -> Result<Bytes, DecodeError> {
        let made = self.frames.made(key, || self.in_turn(make).map(Bytes::from));
        made.map_err(|error: Arc<DecodeError>| error.as_ref().clone())
    }

    /// Makes something of a frame when few enough others do: decoded frames are large.
    pub(super) fn in_turn<T>(&self, make: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let until = Instant::now() + self.wait;
        let mut making = self.making.lock();
        while *making >= self.at_once {
            if self.done.wait_until(&mut making, until).timed_out() && *making >= self.at_once {
                return Err(CodecError::Busy("as many frames as allowed are being made".into()).into());
            }
        }
        *making += 1;
        drop(making);
        let _turn = Turn(self);
        make()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn kept(memory: u64, processes: usize, wait: Duration) -> Kept {
        Kept::new(memory, &codec::pool::Options { processes, wait, ..codec::pool::Options::default() })
    }

    #[test]
    fn a_frame_is_made_once_for_all_who_ask_and_kept_within_the_bound() {
        let (kept, made) = (kept(1 << 20, 1, Duration::from_secs(30)), AtomicUsize::new(0));
        let (start, key) = (Barrier::new(8), (1, 0, "1.2"));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    let frame = kept.get(key, || {
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok(vec![7; 1000])
                    });
                    assert_eq!(frame.expect("made").len(), 1000);
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        let failed = kept.get((2, 0, "1.2"), || Err(CodecError::Corrupt("spoilt".into()).into()));
        assert!(matches!(failed, Err(DecodeError::Codec(CodecError::Corrupt(_)))));
        assert!(kept.get((2, 0, "1.2"), || Ok(vec![1])).is_ok(), "a failure is not kept");
        for number in 0..50 {
            kept.get((3, number, "1.2"), || Ok(vec![1; 100_000])).expect("made");
        }
        assert!(kept.frames.held().1 <= 1 << 20);
        kept.forget();
        assert_eq!(kept.frames.held().0, 0);
    }

    #[test]
    fn more_than_the_allowed_number_waits_and_then_is_told_to_come_again() {
        let kept = kept(0, 1, Duration::from_millis(20));
        let inner = kept.in_turn(|| kept.in_turn(|| kept.in_turn(|| Ok(3))));
        assert!(matches!(inner, Err(DecodeError::Codec(CodecError::Busy(_)))), "{inner:?}");
        assert_eq!(kept.in_turn(|| Ok(1)).expect("free again"), 1);
    }
}
